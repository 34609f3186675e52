"""Which instruments exist on a day, and their definition records, as CME lists them.

Futures: the front contract by the calendar rule, the next one, and the calendar spread between them. Options expire at the
regular close of a trading date, in the root of that date: EW if it is the month's last, EYC on the quarterly expiry (the third
Friday of March, June, September, December), EW1..EW4 on other Fridays, E1A..E5D on Monday (A) to Thursday (D) by week of month;
the quarterly root ES expires with the future at 09:30 New York. Another instrument's roots stand in their place, in the order of
`option_parents`; it has no options where that is empty. A symbol is root, month letter, year digit, space, right and strike. What a
definition says depends on the instrument and the UTC day alone.

Units: prices 1e-9 USD, times ns UTC, strikes points. Values of constant fields: genuine definitions of ESM3, EW2F6 C7000.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from spymaster_assets.config import Config
from spymaster_assets.dbn import DEFINITION, UNDEF_PRICE
from spymaster_assets.sessions import DAY, MONTHS, NS_PER_SECOND, calendar, expiry_of, nearest_contract, utc_midnight, wall
from spymaster_assets.simulator.price import Clock, level
from spymaster_assets.simulator.rng import mix, stream

FEWEST_ROOTS: Final = 7  # of options: with fewer, those of neighbouring dates would have the same symbols
NUMBERS: Final = 8192  # of a root's options of a month
STRIKES: Final = 20  # on either side of the middle, of the date's own options
FAR_STRIKES: Final = 10  # of later expiries
LATE_STRIKES: Final = 2  # beyond the outermost, listed during the session
SENT: Final = wall(dt.date(1970, 1, 1), "11:03", "UTC") + 56 * NS_PER_SECOND  # Sunday's start of the week, ns after midnight
LATER: Final = 2  # expiries of following trading dates


@dataclass(frozen=True)
class Leg:
    """Part of a spread: bought (B) or sold (A), `count` each."""

    instrument: Instrument
    side: str
    count: int = 1


@dataclass(frozen=True)
class Instrument:
    """One listed instrument. `letter`: class F, S, C, P or T. `born`: ns UTC of a listing within a session, else None."""

    symbol: str
    number: int
    letter: str
    asset: str
    expiration: int
    underlying: str = ""
    underlying_number: int = 0
    strike: float | None = None
    user_defined: bool = False
    legs: tuple[Leg, ...] = ()
    born: int | None = None


def root_of(day: dt.date, config: Config) -> str:
    """Root of the options that expire on a trading date. ValueError for an instrument with too few of them."""
    roots, week = config.instrument.option_parents, (day.day + 6) // 7
    if len(roots) < FEWEST_ROOTS:
        raise ValueError(f"option_parents: the simulator needs none, or at least {FEWEST_ROOTS}; found {', '.join(roots)}")
    if calendar(config).after(day).month != day.month:
        place = MONTH_END
    elif day.weekday() >= 4:
        place = AFTERNOON if day.month % 3 == 0 and week == 3 else FIRST_FRIDAY + week - 1
    else:
        place = FIRST_MONDAY + 5 * day.weekday() + week - 1
    return roots[1 + (place - 1) % (len(roots) - 1)]


MONTH_END, FIRST_FRIDAY, AFTERNOON, FIRST_MONDAY = 1, 2, 6, 7  # places of ES's roots in option_parents; 0: with the future


def future(symbol: str, near: dt.date, config: Config) -> Instrument:
    """An outright future by its symbol, read as the contract closest to `near`."""
    expiry = expiry_of(symbol, near, config)
    number = 42_140_000 + expiry.year % 100 * 12 + expiry.month
    return Instrument(symbol, number, "F", config.instrument.root, _opening(expiry, config))


def _opening(date: dt.date, config: Config) -> int:
    """The regular open of a day, which need not be a trading date."""
    return wall(date, config.sessions.regular_open, config.sessions.market_zone)


def futures(day: dt.date, config: Config) -> tuple[Instrument, Instrument, Instrument]:
    """Front, next and the calendar spread between them (buy the near leg, sell the far one) on a trading date."""
    front = future(nearest_contract(day, config), day, config)
    past = expiry_of(front.symbol, day, config) + DAY
    following = future(nearest_contract(past, config), past, config)
    spread = Instrument(
        f"{front.symbol}-{following.symbol}", front.number + 10_000, "S", front.asset, front.expiration,
        legs=(Leg(front, "B"), Leg(following, "A")),
    )  # fmt: skip
    return front, following, spread


@dataclass(frozen=True)
class Expiry:
    """The options of one root and expiration: two instruments per strike, numbered from `base`. `step`: points between strikes."""

    root: str
    date: dt.date
    expiration: int
    underlying: Instrument
    base: int
    step: float

    def option(self, right: str, strike: float, born: int | None = None) -> Instrument:
        letter = MONTHS[self.date.month - 1]
        return Instrument(
            f"{self.root}{letter}{self.date.year % 10} {right}{strike:.10g}", self.number(right, strike), right, self.root,
            self.expiration, self.underlying.symbol, self.underlying.number, strike, born=born,
        )  # fmt: skip

    def number(self, right: str, strike: float) -> int:
        """ValueError for a strike that is too many steps from zero to be numbered."""
        if not 0 <= (place := 2 * round(strike / self.step)) < NUMBERS:
            raise ValueError(
                f"fuel.es_0dte_strike_spacing {self.step:g}: strike {strike:g} is step {place // 2:,} of {NUMBERS // 2:,}"
            )
        return self.base + place + (right == "P")


def expiry(root: str, date: dt.date, config: Config) -> Expiry:
    """The options of a root that expire on a date; those of the first root at the regular open, with the future, the others' at
    the regular close."""
    roots = config.instrument.option_parents
    quarterly = root == roots[0]
    expiration = _opening(date, config) if quarterly else calendar(config).session(date).regular.end
    underlying = future(nearest_contract(date - config.instrument.roll_days * DAY if quarterly else date, config), date, config)
    base = 100_000_000 + ((roots.index(root) * 12 + date.month - 1) * 10 + date.year % 10) * NUMBERS
    return Expiry(root, date, expiration, underlying, base, config.fuel.es_0dte_strike_spacing)


def expiries(day: dt.date, config: Config) -> list[Expiry]:
    """What is traded on a date: its own options first, then those of following trading dates, then the front's quarterly."""
    if not config.instrument.option_parents:
        return []
    found, date = [], day
    for _ in range(1 + LATER):
        found.append(expiry(root_of(date, config), date, config))
        date = calendar(config).after(date)
    front = nearest_contract(day, config)
    return [*found, expiry(config.instrument.option_parents[0], expiry_of(front, day, config), config)]


def middle_strike(seed: int, day: dt.date, carried: int, config: Config) -> float:
    """The strike next to where the front contract opens. `carried`: its ticks above the level."""
    ticks, step = level(seed, day) + carried, step_ticks(config)
    return (ticks + step // 2) // step * config.fuel.es_0dte_strike_spacing


def step_ticks(config: Config) -> int:
    """Ticks of the future from one strike to the next. ValueError where they are no whole number."""
    step, rest = divmod(round(config.fuel.es_0dte_strike_spacing * config.instrument.point), config.instrument.tick)
    if rest or not step:
        raise ValueError("fuel.es_0dte_strike_spacing: the simulator needs strikes a whole number of the future's ticks apart")
    return step


def strikes(middle: float, count: int, config: Config) -> list[float]:
    return [middle + config.fuel.es_0dte_strike_spacing * k for k in range(-count, count + 1)]


def specials(day: dt.date, own: Expiry, middle: float, seed: int, born: int) -> tuple[Instrument, Instrument]:
    """A user-defined call and a vertical spread (buy the middle call, sell the one two strikes up) on the date's own options."""
    word = stream(seed, day, "specials")
    first, second = 2_800_000 + 2 * (word % 40_000), 2_880_000 + 2 * (mix(word) % 40_000)
    call, above = own.option("C", middle), own.option("C", middle + 2 * own.step)
    single = replace(call, symbol=f"UD:1V: GN {first}", number=first, user_defined=True, legs=(Leg(call, "B"),), born=born)
    vertical = replace(
        call, symbol=f"UD:1V: VT {second}", number=second, letter="T", strike=None, user_defined=True,
        legs=(Leg(call, "B"), Leg(above, "A")), born=born,
    )  # fmt: skip
    return single, vertical


def options(day: dt.date, times: Clock, middle: float, seed: int, config: Config) -> list[Instrument]:
    """Every option instrument of a trading date: its own chain, later expiries, strikes and specials listed 5 and 30 minutes after
    the regular open."""
    if not config.instrument.option_parents:
        return []
    own, *later = expiries(day, config)
    opened = times.open + times.regular[0] * 60 * NS_PER_SECOND
    found = [own.option(right, strike) for strike in strikes(middle, STRIKES, config) for right in "CP"]
    found += [one.option(right, strike) for one in later for strike in strikes(middle, FAR_STRIKES, config) for right in "CP"]
    late = [middle + sign * (STRIKES + k) * own.step for sign in (-1, 1) for k in range(1, LATE_STRIKES + 1)]
    found += [own.option(right, strike, opened + 30 * 60 * NS_PER_SECOND) for strike in late for right in "CP"]
    return [*found, *specials(day, own, middle, seed, opened + 5 * 60 * NS_PER_SECOND)]


_CONSTANTS: Final[Mapping[str, object]] = {
    "length": DEFINITION.itemsize // 4, "rtype": 19, "publisher_id": 1, "display_factor": 10_000_000,
    "min_price_increment": UNDEF_PRICE, "high_limit_price": UNDEF_PRICE, "low_limit_price": UNDEF_PRICE,
    "max_price_variation": UNDEF_PRICE, "unit_of_measure_qty": 50_000_000_000, "min_price_increment_amount": UNDEF_PRICE,
    "price_ratio": UNDEF_PRICE, "strike_price": UNDEF_PRICE, "leg_price": UNDEF_PRICE, "leg_delta": UNDEF_PRICE,
    "max_trade_vol": 3_000, "min_trade_vol": 1, "contract_multiplier": 2_147_483_647, "decay_quantity": 2_147_483_647,
    "original_contract_size": 2_147_483_647, "decay_start_date": 65_535, "currency": b"USD", "exchange": b"XCME",
    "unit_of_measure": b"IPNT", "match_algorithm": ord("F"), "main_fraction": 255, "price_display_format": 255, "sub_fraction": 255,
    "underlying_product": 5, "security_update_action": ord("A"), "maturity_day": 255, "maturity_week": 255,
    "user_defined_instrument": ord("N"), "contract_multiplier_unit": 127, "flow_schedule_type": 127, "tick_rule": 255,
    "leg_instrument_class": 0, "leg_side": ord("N"),
}  # fmt: skip
_BY_CLASS: Final[Mapping[str, Mapping[str, object]]] = {
    "F": {"inst_attrib_value": 270_351, "market_depth": 10, "market_segment_id": 64, "appl_id": 310, "cfi": b"FFIXSX",
          "security_type": b"FUT", "max_price_variation": 6_000_000_000, "min_price_increment_amount": 125_000_000},
    "S": {"inst_attrib_value": 271_371, "market_depth": 10, "market_segment_id": 64, "appl_id": 310, "cfi": b"FMIXSX",
          "security_type": b"FUT", "secsubtype": b"EQ", "min_price_increment": 50_000_000, "max_price_variation": 1_500_000_000,
          "max_trade_vol": 15_000, "unit_of_measure": b"CTRCT", "unit_of_measure_qty": UNDEF_PRICE},
    "C": {"inst_attrib_value": 270_343, "market_depth": 3, "market_segment_id": 54, "appl_id": 311, "channel_id": 1,
          "cfi": b"OCEFPS", "security_type": b"OOF", "strike_price_currency": b"USD", "low_limit_price": 50_000_000,
          "min_price_increment_amount": 0, "tick_rule": 15},
}  # fmt: skip


def _row(instrument: Instrument, day: dt.date, config: Config, limit: int) -> np.ndarray:
    """One definition of a UTC day, without times and legs. `limit`: price around which the day's limits stand."""
    tick = config.instrument.tick
    row = np.zeros(1, DEFINITION)
    letter = instrument.letter
    values = dict(_CONSTANTS) | dict(_BY_CLASS[letter if letter in "FS" else "C"])
    if letter == "F":
        values |= {"min_price_increment": tick, "high_limit_price": limit * 107 // 100 // tick * tick}
        values |= {"low_limit_price": limit * 93 // 100 // tick * tick}
    if letter == "P":
        values["cfi"] = b"OPEFPS"
    if letter == "T":
        values |= {"cfi": b"OMIXSX", "secsubtype": b"VT", "strike_price_currency": b"", "low_limit_price": UNDEF_PRICE}
    expires = dt.datetime.fromtimestamp(instrument.expiration // NS_PER_SECOND, dt.UTC).date()
    if letter in "CPT" and instrument.asset[1:2].isdigit():
        values["maturity_week"] = int(instrument.asset[1])
    elif letter in "CPT" and instrument.asset[2:].isdigit():
        values["maturity_week"] = int(instrument.asset[2:])
    activated = utc_midnight(expires - (1827 if letter in "FS" else 60) * DAY) + 77_400 * NS_PER_SECOND
    values |= {
        "instrument_id": instrument.number, "raw_instrument_id": instrument.number, "expiration": instrument.expiration,
        "activation": activated, "raw_symbol": instrument.symbol.encode(), "asset": instrument.asset.encode(),
        "group": config.instrument.root.encode() if letter in "FS" else config.instrument.option_parents[1].encode(),
        "instrument_class": ord(letter),
        "underlying": instrument.underlying.encode(), "underlying_id": instrument.underlying_number,
        "maturity_year": expires.year, "maturity_month": expires.month,
        "user_defined_instrument": ord("Y" if instrument.user_defined else "N"), "currency": config.instrument.currency.encode(),
    }  # fmt: skip
    if instrument.strike is not None:
        values["strike_price_currency"] = config.instrument.currency.encode()
        values["strike_price"] = round(instrument.strike * config.instrument.point)
    for name, value in values.items():
        row[name] = value
    return row


def _with_legs(row: np.ndarray, legs: Sequence[Leg]) -> np.ndarray:
    """One record per leg, as DBN version 3 has it; the record itself without legs."""
    rows = np.repeat(row, max(1, len(legs)))
    for index, leg in enumerate(legs):
        one = rows[index : index + 1]
        one["leg_count"], one["leg_index"], one["leg_instrument_id"] = len(legs), index, leg.instrument.number
        one["leg_raw_symbol"], one["leg_instrument_class"] = leg.instrument.symbol.encode(), ord(leg.instrument.letter)
        one["leg_side"], one["leg_ratio_qty_numerator"], one["leg_ratio_qty_denominator"] = ord(leg.side), leg.count, 1
        one["leg_underlying_id"] = leg.instrument.underlying_number
    return rows


def records(instruments: Iterable[Instrument], day: dt.date, seed: int, config: Config) -> np.ndarray:
    """DEFINITION records of a UTC day in order of sending.

    On a Sunday they are sent when the week starts; on other days all are restated at midnight with the times of that Sunday;
    one that is born on the day or after it is sent when it is born, or not yet.
    """
    start, end = utc_midnight(day), utc_midnight(day + DAY)
    sunday = utc_midnight(day - (day.weekday() + 1) % 7 * DAY) + SENT
    limit = level(seed, day) * config.instrument.tick
    restated, born = [], []
    for instrument in sorted(set(instruments), key=lambda one: one.number):
        rows = _with_legs(_row(instrument, day, config, limit), instrument.legs)
        if instrument.born is None or instrument.born < start:
            rows["ts_event"] = sunday + mix(instrument.number) % 100_000_000_000 if instrument.born is None else instrument.born
            rows["ts_recv"] = rows["ts_event"] + 116_945_976 if day.weekday() == 6 else start
            restated.append(rows)
        elif instrument.born < end:
            rows["ts_event"], rows["ts_recv"] = instrument.born, instrument.born + 104_217
            born.append(rows)
    found = np.concatenate([*restated, *born]) if restated or born else np.zeros(0, DEFINITION)
    return found[np.lexsort((found["instrument_id"], found["ts_recv"]))]
