"""Quotes and trades of the option chain around the efficient price F, which side the customer took, and what is open before.

Premiums: Black (1976), undiscounted, on the variance that the date's clock has left, with a smile in standardised strikes. Quotes
stand around the premium on the option tick, of ES 0.05 points below 10 points, else 0.25. Trades are a Poisson process on the clock
of records (none after the date's own options expire), strikes near F more often, out of the money more often than in.

The customer buys with probability (1 + net) / 2 (in a world: more often, the more dealers hold beyond what they shall) and is the
aggressor: T has side B and trades at the ask, or A at the bid; some trades have no side (N) and lie between. What customers did is
the truth that `option_flow` keeps.

Units: F, strikes and volatility 1/65536 tick; quotes 1e-9 USD; probabilities 16.16.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import Any, Final

import numpy as np

from spymaster_assets.compute.kernel import kernel
from spymaster_assets.config import Config
from spymaster_assets.dbn import MBP1, STATISTICS, UNDEF_PRICE
from spymaster_assets.sessions import NS_PER_SECOND
from spymaster_assets.simulator.book import ASK, BID, NONE, PUBLISHER, TRADE
from spymaster_assets.simulator.definitions import FAR_STRIKES, STRIKES, Expiry, Instrument, step_ticks
from spymaster_assets.simulator.drive import Driven, G
from spymaster_assets.simulator.price import CARRY, DAY_VOLATILITY, MINUTE, STEP, STEPS, Clock
from spymaster_assets.simulator.rng import (
    CDF_ONE,
    CDF_SPAN,
    CDF_STEPS,
    ONE,
    draw,
    exponential,
    exponential_table,
    mix,
    normal_table,
    quantile_table,
    stream,
)

EVENTS_PER_TRADE: Final = 50  # front records of the regular session for one option trade
FEWEST, MOST = 400, 60_000  # option trades of a date
LEAST_VOLATILITY: Final = 2 * ONE  # half a point of total volatility
SKEW, SMILE = -2_600, 1_000  # per standardised strike and its square, 16.16
TRADES_PER_LOT_HELD: Final = 50  # of a date, for one contract of a strike that dealers hold at g = 1
UNSIGNED: Final = 5_243  # 8 % of trades have no side
BLOCKS: Final = 262  # 0.4 % are blocks of 50 to 305
SPECIAL: Final = 262  # 0.4 % are in the user-defined call or the vertical
DAY_NS: Final = 86_400 * NS_PER_SECOND
OPEN_INTEREST: Final = 9  # StatType
REPORTS: Final = ((-1_800 * NS_PER_SECOND, 0), (11 * 3_600 * NS_PER_SECOND, 1))  # ns after midnight UTC, flags: 1 final
EXPIRY_WEIGHTS: Final = {0: 920, 1: 40, 2: 20, 3: 20}  # own, next, the one after, quarterly
SIZES: Final = {1: 520, 2: 170, 3: 80, 4: 40, 5: 80, 8: 10, 10: 70, 20: 20, 25: 10}
DISTANCES: Final = {k: 1000 * 4 ** abs(k) // 5 ** abs(k) for k in range(-STRIKES, STRIKES + 1)}  # strikes away from F

FLOW: Final = np.dtype(
    [("ts_event", "u8"), ("sequence", "u4"), ("instrument_id", "u4"), ("symbol", "S24"), ("customer_side", "i1")]
)
CHAIN: Final = np.dtype([("base", "i8"), ("count", "i8"), ("carry", "i8")])  # per expiry: id of strike 0, strikes a side, ticks
RULES: Final = np.dtype(
    [
        ("rng", "u8", (1,)), ("open", "i8"), ("middle", "i8"), ("buys", "i8"), ("sequence", "i8"), ("single", "i8"),
        ("vertical", "i8"), ("specials_from", "i8"), ("usd", "i8"), ("held", "i8"),
        ("step", "i8"), ("small", "i8"), ("large", "i8"), ("cheap", "i8"), ("waits", "i8", (4097,)),
        ("normal", "i8", (2 * CDF_SPAN * CDF_STEPS + 1,)), ("sizes", "i8", (4096,)),
        ("distances", "i8", (4096,)), ("expiries", "i8", (4096,)),
    ]
)  # fmt: skip


def trades_of(events: int) -> int:
    """Option trades of a date, on average, by the budget."""
    return min(max(events // EVENTS_PER_TRADE, FEWEST), MOST)


def total_volatility(times: Clock, sigma: np.ndarray, expiries: Sequence[Expiry]) -> np.ndarray:
    """Standard deviation of F from each minute to each expiration, int64 (expiries, minutes + 1)."""
    own = times.regular[1]
    left = [0] * (times.minutes + 1)
    for minute in range(own - 1, -1, -1):
        left[minute] = left[minute + 1] + int(sigma[minute]) ** 2 * STEPS
    daily = (DAY_VOLATILITY * ONE) ** 2 * 5 // 4
    days = [(one.date - times.date).days for one in expiries]
    return np.array([[max(isqrt(part + daily * d * 5 // 7), LEAST_VOLATILITY) for part in left] for d in days], np.int64)


@kernel
def _normal(x: int, table: np.ndarray) -> int:
    """Phi(x) times 2**30 for x in 2**-20."""
    shifted = x + (CDF_SPAN << 20)
    if shifted < 0:
        return 0
    if shifted >= 2 * CDF_SPAN << 20:
        return CDF_ONE
    cell = shifted >> 12
    return table[cell] + (((table[cell + 1] - table[cell]) * (shifted & 0xFFF)) >> 12)


@kernel
def premium(forward: int, strike: int, volatility: int, call: bool, table: np.ndarray) -> int:
    """Black (1976) without discount, all in 1/65536 tick; `volatility` at the money, widened by the smile.

    ln(F/K) by its series to the fourth power: exact to 1e-7 within 5 %.
    """
    away = min(max(((strike - forward) << 16) // volatility, -4 * ONE), 4 * ONE)
    smiled = volatility * (ONE + ((SKEW * away) >> 16) + ((SMILE * ((away * away) >> 16)) >> 16)) >> 16
    x = ((forward - strike) << 34) // strike
    x2 = (x * x) >> 34
    log = x - x2 // 2 + ((x2 * x) >> 34) // 3 - ((x2 * x2) >> 34) // 4
    total = (smiled << 34) // forward
    up = (log << 20) // total + (total >> 15)
    value = (forward * _normal(up, table) - strike * _normal(up - (total >> 14), table)) >> 30
    return max(value if call else value - forward + strike, 0)


@kernel
def _quote(value: int, rules: Any, row: Any) -> None:
    """Bid and ask around a premium (1/65536 tick) on the option tick, at least one tick apart, the bid at least one."""
    usd = (value * rules["usd"]) >> 16
    bits = draw(rules["rng"])
    tick = rules["small"] if usd < rules["cheap"] else rules["large"]
    half = tick // 2 + usd // 80
    bid = max((usd - half) // tick * tick, rules["small"])
    ask = max(-(-(usd + half) // tick) * tick, bid + tick)
    if ask > rules["cheap"]:
        ask = -(-ask // rules["large"]) * rules["large"]
    row["bid_px_00"], row["ask_px_00"] = bid, ask
    row["bid_sz_00"], row["ask_sz_00"] = 5 + (bits & 63), 5 + ((bits >> 6) & 63)
    row["bid_ct_00"], row["ask_ct_00"] = 1 + ((bits >> 12) & 3), 1 + ((bits >> 14) & 3)


@kernel
def _choose(rules: Any, chains: np.ndarray, volatility: np.ndarray, time: int, f: int, row: Any) -> None:
    """Pick an instrument, and quote it in `row`."""
    bits = draw(rules["rng"])
    minute = min((time - rules["open"]) // MINUTE, volatility.shape[1] - 1)
    which = rules["expiries"][bits & 0xFFF]
    step = rules["step"]
    offset = ((f >> 16) + step // 2) // step - rules["middle"] + rules["distances"][(bits >> 12) & 0xFFF]
    special = time > rules["specials_from"] and (bits >> 24) & 0xFFFF < SPECIAL
    if special:
        which, offset = 0, 0
    chain = chains[which]
    strike = rules["middle"] + min(max(offset, -chain["count"]), chain["count"])
    forward, ticks = f + (chain["carry"] << 16), (strike * step) << 16
    call = special or (ticks > forward) == ((bits >> 40) & 0xFF >= 51)  # four of five out of the money
    value = premium(forward, ticks, volatility[which, minute], call, rules["normal"])
    row["instrument_id"] = chain["base"] + 2 * strike + (0 if call else 1)
    if special and (bits >> 48) & 1:
        value -= premium(forward, ticks + ((2 * step) << 16), volatility[which, minute], call, rules["normal"])
        row["instrument_id"] = rules["vertical"]
    elif special:
        row["instrument_id"] = rules["single"]
    _quote(value, rules, row)


@kernel
def _deal(rules: Any, row: Any, target: int, base: int, held: np.ndarray) -> int:
    """Who trades how much at the quote in `row`; returns the customer's side, 1 bought, -1 sold.

    In a world customers trade toward what dealers shall hold of a strike, `target` times a usual amount.
    """
    bits = draw(rules["rng"])
    own = (row["instrument_id"] - base) // 2 - rules["middle"] + STRIKES
    steered = rules["held"] > 0 and 0 <= own < held.size
    buys = rules["buys"]
    if steered:
        buys += (held[own] - ((target * rules["held"]) >> 16)) * (ONE // 2) // rules["held"]
    customer = 1 if bits & 0xFFFF < buys else -1
    row["size"] = rules["sizes"][(bits >> 16) & 0xFFF]
    if (bits >> 28) & 0xFFFF < BLOCKS:
        row["size"] = 50 + ((bits >> 44) & 0xFF)
    if draw(rules["rng"]) & 0xFFFF < UNSIGNED:
        tick = rules["small"] if row["ask_px_00"] <= rules["cheap"] else rules["large"]
        row["side"], row["price"] = NONE, max((row["bid_px_00"] + row["ask_px_00"]) // (2 * tick) * tick, row["bid_px_00"])
    else:
        row["side"] = BID if customer > 0 else ASK
        row["price"] = row["ask_px_00"] if customer > 0 else row["bid_px_00"]
        if steered:
            held[own] -= customer * row["size"]
    return customer


@kernel
def _fill(
    state: np.ndarray,
    chains: np.ndarray,
    plan: np.ndarray,
    volatility: np.ndarray,
    path: np.ndarray,
    target: np.ndarray,
    held: np.ndarray,
    out: np.ndarray,
    sides: np.ndarray,
) -> int:
    """Trades of a date in order of time into `out` (MBP1) and `sides`; returns how many.

    `plan`: expected trades before each minute, 16.16; the process runs in expected trades and reads its time off the plan.
    `target`: dealers' gamma by second; `held`: what dealers hold of each own strike, mutated.
    """
    rules = state[0]
    expected, minute, n, received = np.int64(0), 0, 0, np.int64(0)
    while n < out.size:
        bits = draw(rules["rng"])
        expected += exponential(bits & 0xFFFFF, rules["waits"])
        while minute < plan.size - 1 and plan[minute + 1] <= expected:
            minute += 1
        if minute == plan.size - 1:
            break
        time = rules["open"] + minute * MINUTE + (expected - plan[minute]) * MINUTE // (plan[minute + 1] - plan[minute])
        time += 1_000_000 + ((bits >> 20) & 0xFFFFF)
        row = out[n]
        _choose(rules, chains, volatility, time, path[(time - rules["open"]) // STEP], row)
        second = min((time - rules["open"]) // NS_PER_SECOND, target.size - 1)
        sides[n] = _deal(rules, row, target[second], chains[0]["base"], held)
        rules["sequence"] += 1 + ((bits >> 40) & 31)
        received = max(received + 900, time + 79_000 + ((bits >> 45) & 0x7FFF))
        row["ts_event"], row["ts_recv"] = np.uint64(time), np.uint64(received)
        row["sequence"], row["ts_in_delta"] = np.uint32(rules["sequence"]), 12_700 + ((bits >> 48) & 0xFFF)
        n += 1
    return n


def trade(
    times: Clock, driven: Driven, expiries: Sequence[Expiry], instruments: Sequence[Instrument], *,
    middle: float, events: int, net: float, seed: int, sequence: int, config: Config,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The option trades of a date: TBBO records (MBP1) in order of time, and the customer's side of each (FLOW).

    `driven`: F of the front contract, its volatility, and in a world what dealers shall hold; `middle`: strike in points;
    `net`: expected share of volume that customers buy less what they sell, -1 to 1; `sequence`: of the channel at the open.
    """
    total = trades_of(events)
    shares = times.records[: times.regular[1]]
    plan = np.zeros(len(shares) + 1, np.int64)
    np.cumsum([int(share) * total * ONE // int(shares.sum()) for share in shares], out=plan[1:])
    single, vertical = instruments[-2:]
    rules = np.zeros(1, RULES)
    rules["rng"], rules["open"], rules["middle"] = stream(seed, times.date, "options"), times.open, round(middle / expiries[0].step)
    rules["buys"], rules["sequence"] = round((1 + net) * ONE / 2), sequence
    rules["single"], rules["vertical"], rules["specials_from"] = single.number, vertical.number, (single.born or 0) + MINUTE
    rules["step"] = step_ticks(config)
    for name, points in (
        ("small", config.fuel.option_tick), ("large", config.fuel.option_large_tick), ("cheap", config.fuel.option_large_from),
    ):  # fmt: skip
        rules[name] = round(points * config.instrument.point)
    rules["usd"], rules["waits"], rules["normal"] = config.instrument.tick, exponential_table(), normal_table()
    rules["sizes"], rules["distances"], rules["expiries"] = map(quantile_table, (SIZES, DISTANCES, EXPIRY_WEIGHTS))
    chains = np.zeros(len(expiries), CHAIN)
    for chain, one in zip(chains, expiries, strict=True):
        further = (one.underlying.expiration - expiries[-1].underlying.expiration + DAY_NS // 2) // DAY_NS
        chain["base"], chain["count"], chain["carry"] = one.base, FAR_STRIKES, CARRY * further
    chains[0]["count"] = STRIKES
    out, sides = np.zeros(2 * total, MBP1), np.zeros(2 * total, np.int8)
    out["length"], out["rtype"], out["publisher_id"], out["action"] = MBP1.itemsize // 4, 1, PUBLISHER, TRADE
    target, held = driven.latents[G], np.zeros(2 * STRIKES + 1, np.int64)
    rules["held"] = total // TRADES_PER_LOT_HELD if driven.drive["on"][0] else 0
    n = _fill(rules, chains, plan, total_volatility(times, driven.sigma, expiries), driven.path, target, held, out, sides)
    return out[:n], _flow(out[:n], sides[:n], instruments)


def open_interest(times: Clock, instruments: Sequence[Instrument], step: float, midnight: int, seed: int) -> np.ndarray:
    """The reports of a date's open contracts: a preliminary one before `midnight` (ns UTC), the final one before the open.
    `step`: points between strikes.

    Single options that are listed before the session; more contracts are open at every fifth strike.
    """
    listed = [one for one in instruments if one.letter in "CP" and not one.user_defined and one.born is None]
    rows = np.zeros(len(REPORTS) * len(listed), STATISTICS)
    for turn, (after, flags) in enumerate(REPORTS):
        for place, one in enumerate(listed):
            word, row = mix(stream(seed, times.date, "open interest") + one.number), rows[turn * len(listed) + place]
            usual = 4_000 if round((one.strike or 0) / step) % 5 == 0 else 800
            row["ts_event"] = midnight + after + place * 10_000
            row["ts_recv"] = int(row["ts_event"]) + 80_000 + word % 30_000
            row["quantity"] = 20 + (word >> 20) % usual + (turn * (word >> 40)) % 100
            row["instrument_id"], row["stat_flags"], row["sequence"] = one.number, flags, place + 1
    rows["length"], rows["rtype"], rows["publisher_id"] = STATISTICS.itemsize // 4, 24, PUBLISHER
    rows["ts_ref"], rows["price"], rows["ts_in_delta"] = np.uint64(midnight - DAY_NS), UNDEF_PRICE, 12_700
    rows["stat_type"], rows["update_action"] = OPEN_INTEREST, 1
    rows["ts_recv"] = np.maximum.accumulate(rows["ts_recv"])  # a file stands in the order of receipt
    return rows


def _flow(rows: np.ndarray, sides: np.ndarray, instruments: Sequence[Instrument]) -> np.ndarray:
    """FLOW: one row per trade, with the instrument's symbol."""
    ordered = sorted(instruments, key=lambda one: one.number)
    at = np.searchsorted(np.array([one.number for one in ordered]), rows["instrument_id"])
    flow = np.zeros(len(rows), FLOW)
    for name in ("ts_event", "sequence", "instrument_id"):
        flow[name] = rows[name]
    flow["symbol"], flow["customer_side"] = np.array([one.symbol for one in ordered], "S24")[at], sides
    return flow
