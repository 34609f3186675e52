"""The naive twin of fuel (physics.md, 4.4) on small cases worked out by hand, then the product against it on random option flow.

By hand: the future stands at 6000, the options have 8,760 s to live when they are looked at, 1/3600 of a year, and are quoted at
60 % a year: v = .6/60 = .01, F v = 60, and gamma = phi(d)/60 with d = ln(6000/K)/.01 + .005. GAMMA lists it, made with mpmath:

    for K in (...): print(K, mp.nstr(mp.npdf(mp.log(mp.mpf(6000) / K) / mp.mpf(".01") + mp.mpf(".005")) / 60, 6))
"""

import math
from dataclasses import replace
from statistics import NormalDist
from types import SimpleNamespace

import numpy as np
import pytest
from pytest import approx

from spymaster_assets.compute.clock import clock_of
from spymaster_assets.compute.option_flow import NEW, OPEN_REPORT, OptionGrid
from spymaster_assets.compute.stream import NO_PRIORS, Day
from spymaster_assets.config import Config
from spymaster_assets.sessions import Window
from spymaster_assets.tables import BARS, FEATURE_ROWS, OPTION_FLOW, PRIORS, SNAPS, TOUCHES
from tests import short_day
from tests.naive_fuel import (
    COLUMNS,
    Options,
    exposure_known,
    implied_v,
    inventory,
    naive_fuel,
    naive_gamma_thresholds,
    points_of_row,
    smile,
    smile_at,
    strike_volatility,
    velocity,
)
from tests.rows import packed, plain
from tests.toy_days import INTERVAL, OPEN, SECOND, toy_bars1, toy_session, toy_touch

CONFIG = Config()
POINT = CONFIG.instrument.point
MID2 = 48_000  # 6000
NOW = 4_000  # the snap that is looked at: 1,000 s after the open
EXPIRATION = OPEN + NOW * INTERVAL + 8760 * SECOND
GAMMA = {
    5900: 0.00160586, 5975: 0.00608121, 5985: 0.00643582, 5990: 0.00655163, 5995: 0.00662313, 6000: 0.00664895, 6005: 0.00662869,
    6010: 0.00656286, 6015: 0.00645294, 6025: 0.00611102, 6050: 0.00473158,
}  # fmt: skip
RELATIVE, ABSOLUTE = 1e-9, 1e-11  # product and twin; the latter for sums of what cancels
BY_HAND = 2e-6  # relative: the numbers above have six digits, quotes nine decimals
NORMAL = NormalDist()


def black(forward, strike, v, call):
    d = math.log(forward / strike) / v + v / 2
    price = forward * NORMAL.cdf(d) - strike * NORMAL.cdf(d - v)
    return price if call else price - forward + strike


def nanos(points):
    return round(points * POINT)


def row(k, strike, call, **columns):
    """A row of option flow; strike and prices in points."""
    found = {
        "k": k, "strike": nanos(strike), "call": call, "expiration": EXPIRATION, "signed": 0, "volume": 0, "unsigned": 0,
        "trades": 0, "quotes": 0, "premium": 0, "last": None, "bid": None, "ask": None, **columns,
    }  # fmt: skip
    assert set(found) == set(OPTION_FLOW.names)
    return found | {name: None if found[name] is None else nanos(found[name]) for name in ("last", "bid", "ask")}


def out_of_the_money(strike):
    return 1 if strike >= 6000 else 0


def quote(k, strike, sigma=0.6, call=None, expiration=EXPIRATION):
    """A quote at a volatility, of the contract that is out of the money at 6000."""
    call = out_of_the_money(strike) if call is None else call
    v = sigma * math.sqrt((expiration - OPEN - k * INTERVAL) / SECOND / 31_536_000)
    price = black(6000, strike, v, call)
    return row(k, strike, call, quotes=1, bid=price - 0.001, ask=price + 0.001, expiration=expiration)


def quotes(k, strikes=GAMMA, **how):
    return [quote(k, strike, **how) for strike in strikes]


def trade(k, strike, call, lots, side="B", last=None):
    """Lots traded; without a price they are no point."""
    signed = {"B": lots, "A": -lots, "N": 0}[side]
    return row(k, strike, call, signed=signed, volume=lots, unsigned=lots if side == "N" else 0, trades=1, last=last)


def options(rows, mids=None, open_interest=(), session=None, count=NOW + 4001):
    """The day around them; `mids`: {k: mid2}, each until the next."""
    snaps, mid2 = [], MID2
    for k in range(count):
        mid2 = (mids or {}).get(k, mid2)
        snaps.append({"k": k, "ts": OPEN + k * INTERVAL, "mid2": mid2})
    rows = sorted(rows, key=lambda row: (row["k"], row["strike"], row["call"]))
    session = replace(session or toy_session(regular=500), globex=Window(OPEN, OPEN + (count - 1) * INTERVAL))
    return Options(snaps, rows, list(open_interest), session, CONFIG)


def touch(price=6000.0, k=NOW, direction="UP"):
    return {"price": nanos(price), "k": k, "direction": direction}


def fuel(rows, k=NOW, touch=touch(), priors=None, **how):  # noqa: B008
    """What the twin says, and the product with it. `priors`: {bucket: gamma_threshold}, those of the others unknown."""
    day, array = options(rows, **how), None
    if priors is not None:
        array = short_day.priors().copy()
        array["gamma_threshold"] = [priors.get(bucket, math.nan) for bucket in range(144)]
    values = naive_fuel(day, touch, k, None if array is None else plain(PRIORS, array))
    made = product(day, [whole_touch(**touch)], array)
    assert not differences(values, columns(made, 0, k))
    return values


def is_unknown(values):
    known = [name for name in COLUMNS if values[name] is not None and not name.startswith("gex_oi")]
    return values["fuel_effect"] == "UNKNOWN" and known == ["fuel_effect"]


def near(value):
    return approx(value, rel=BY_HAND, abs=1e-12)


# ---- the product ----


def whole_touch(**columns):
    """A touch with everything that the product wants to know of it."""
    return toy_touch(SimpleNamespace(session=toy_session()), **columns)


def last_reports(day):
    """The product's open interest from reports in order of arrival."""
    grid, reported = OptionGrid(clock_of(day.session, CONFIG)), day.open_interest
    numbers = [grid.contract(row["strike"], bool(row["call"]), EXPIRATION) for row in reported]
    kinds, actions = np.full(len(reported), OPEN_REPORT), np.full(len(reported), NEW)
    quantities, times = (np.array([row[name] for row in reported], np.int64) for name in ("quantity", "ts"))
    return grid.open_interest(np.array(numbers, np.int64), kinds, actions, quantities, times)


def product(day, touches, priors=None, until=None):
    """A Day of the same rows; with `until` of those up to that snap, nothing is there after it."""
    snaps, flow = packed(SNAPS, day.snaps), packed(OPTION_FLOW, day.rows)
    if until is not None:
        snaps[until + 1 :] = 0
        flow = flow[flow["k"] <= until]
    tables = {
        "snaps": snaps, "option_flow": flow, "open_interest": last_reports(day), "touches": packed(TOUCHES, touches),
        "bars": packed(BARS, toy_bars1(len(snaps), [])),
    }  # fmt: skip
    return Day.of(day.session, CONFIG, NO_PRIORS if priors is None else priors, tables)


def columns(made, number, k):
    """The fuel columns of the product."""
    row = np.zeros(1, FEATURE_ROWS.dtype)
    made.features_at(number, k, row)
    (found,) = plain(FEATURE_ROWS, row)
    return {name: found[name] for name in COLUMNS}


def same(expected, found):
    """Words and nulls exactly, numbers within rounding."""
    if isinstance(expected, str) or expected is None or found is None:
        return found == expected
    return found == approx(expected, rel=RELATIVE, abs=ABSOLUTE)


def differences(expected, found):
    """The columns that differ, with both."""
    return {name: (expected[name], found[name]) for name in COLUMNS if not same(expected[name], found[name])}


# ---- inventory and effect ----


def test_every_column_is_there():
    assert set(fuel(quotes(NOW))) == set(COLUMNS)


def test_customers_buy_dealers_are_short_and_amplify():
    values = fuel([*quotes(NOW), trade(NOW - 4, 6000, 1, 10_000, "B")])
    assert values["gamma_exposure"] == near(-10_000 * GAMMA[6000])
    assert values["fuel_effect"] == "AMPLIFY"


def test_customers_sell_dealers_are_long_and_dampen():
    values = fuel([*quotes(NOW), trade(NOW - 4, 6000, 0, 10_000, "A")])
    assert values["gamma_exposure"] == near(10_000 * GAMMA[6000])
    assert values["fuel_effect"] == "DAMPEN"


def test_little_is_neutral():
    """2,000 lots: 13.3 contracts a point, below the 15 of a date without priors; 2,300: 15.3."""
    assert fuel([*quotes(NOW), trade(9, 6000, 1, 2_000)])["fuel_effect"] == "NEUTRAL"
    assert fuel([*quotes(NOW), trade(9, 6000, 1, 2_300)])["fuel_effect"] == "AMPLIFY"


def test_the_threshold_of_priors_is_at_least_five():
    """T(NOW) = 1,000 s lies in bucket 3 (900, 1200]. 800 lots are 5.3, 700 lots 4.7 contracts a point."""
    for lots, known, effect in (
        (800, {}, "NEUTRAL"), (800, {2: 5.0, 4: 5.0}, "NEUTRAL"), (800, {3: 1.0}, "AMPLIFY"), (700, {3: 1.0}, "NEUTRAL"),
        (2_000, {3: 14.0}, "NEUTRAL"), (2_000, {3: 13.0}, "AMPLIFY"),
    ):  # fmt: skip
        assert fuel([*quotes(NOW), trade(9, 6000, 1, lots)], priors=known)["fuel_effect"] == effect


def test_before_the_buckets_begin_the_threshold_is_cold():
    priors = dict.fromkeys(range(144), 5.0)
    late = toy_session(premarket=2000, regular=3000)
    assert fuel([*quotes(NOW), trade(9, 6000, 1, 2_000)], priors=priors)["fuel_effect"] == "AMPLIFY"
    assert fuel([*quotes(NOW), trade(9, 6000, 1, 2_000)], priors=priors, session=late)["fuel_effect"] == "NEUTRAL"


def test_without_trades_exposure_is_nothing_but_known():
    values = fuel(quotes(NOW))
    assert (values["gamma_exposure"], values["fuel_effect"]) == (0, "NEUTRAL")
    assert values["gex_ratio"] is None and values["gamma_flip"] is None and values["gamma_wall_ahead"] is None


def test_calls_and_puts_add_up_and_later_trades_do_not_count():
    flow = [*quotes(NOW), trade(10, 6000, 1, 70), trade(20, 6000, 0, 30, "A"), trade(NOW + 1, 6000, 1, 500)]
    day = options(flow)
    assert (inventory(day, nanos(6000), 1, NOW), inventory(day, nanos(6000), 0, NOW)) == (-70, 30)
    assert naive_fuel(day, touch(), NOW)["gamma_exposure"] == near(-40 * GAMMA[6000])


def test_only_strikes_within_fifteen_points_count():
    """5985 and 6015 are in, 5975 and 6025 are not."""
    flow = [trade(9, strike, 1, 1_000, "A") for strike in (5975, 5985, 6015, 6025)]
    values = fuel([*quotes(NOW), *flow])
    assert values["gamma_exposure"] == near(1000 * (GAMMA[5985] + GAMMA[6015]))
    assert fuel([*quotes(NOW), *flow], touch=touch(6000.25))["gamma_exposure"] == near(1000 * GAMMA[6015])
    assert fuel([*quotes(NOW), *flow], touch=touch(5999.75))["gamma_exposure"] == near(1000 * GAMMA[5985])


def test_mostly_unsigned_is_unknown():
    """Half of the lots may be without an aggressor. Those farther than 15 points do not matter."""
    half = [*quotes(NOW), trade(9, 6000, 1, 30), trade(9, 6005, 1, 30, "N"), trade(9, 6025, 1, 999, "N")]
    assert not is_unknown(fuel(half))
    assert is_unknown(fuel([*half, trade(10, 6015, 1, 1, "N")]))
    assert not is_unknown(fuel([*half, trade(NOW + 1, 6015, 1, 1, "N")]))


# ---- what must be known ----


def test_three_strikes_near_the_mid_are_needed():
    assert is_unknown(fuel([*quotes(NOW, (6000, 6005, 5900)), trade(9, 6000, 1, 100)]))
    assert not is_unknown(fuel([*quotes(NOW, (6000, 6005, 6050)), trade(9, 6000, 1, 100)]))


def test_fifteen_minutes_to_expiration_and_a_mid():
    for seconds, known in ((900, False), (900.25, True)):
        expiration = OPEN + NOW * INTERVAL + round(seconds * SECOND)
        flow = quotes(NOW, (5995, 6000, 6005), expiration=expiration)
        assert exposure_known(options(flow), NOW) == known
        assert is_unknown(fuel(flow)) != known
    assert is_unknown(fuel(quotes(NOW - 1), mids={NOW: None}))
    assert not is_unknown(fuel(quotes(NOW - 1), mids={NOW + 1: None}))


def test_nothing_is_known_before_the_first_row():
    assert is_unknown(fuel(quotes(NOW + 1)))


def test_quotes_serve_for_fifteen_minutes():
    """900 s are 3,600 snaps."""
    assert not is_unknown(fuel(quotes(NOW - 3600)))
    assert is_unknown(fuel(quotes(NOW - 3601)))
    two_fresh = [*quotes(NOW, (6000, 6005)), quote(NOW - 3601, 6010)]
    assert is_unknown(fuel(two_fresh))


# ---- points of a row ----


def kinds(row, mids=None):
    return [point["kind"] for point in points_of_row(row, options([], mids).snaps[row["k"]], CONFIG)]


def test_points_of_a_row():
    assert kinds(row(9, 6000, 1, trades=1, last=5, quotes=1, bid=4, ask=6)) == ["trade", "quote"]
    assert kinds(row(9, 6000, 1, trades=0, last=5, quotes=0, bid=4, ask=6)) == []
    assert kinds(row(9, 6000, 1, trades=1, quotes=1)) == []
    assert kinds(row(9, 6000, 1, quotes=1, bid=4)) == kinds(row(9, 6000, 1, quotes=1, ask=4)) == []
    assert kinds(row(9, 6000, 1, quotes=1, bid=4, ask=4)) == ["quote"]
    assert kinds(row(9, 6000, 1, quotes=1, bid=4, ask=3.95)) == kinds(row(9, 6000, 1, quotes=1, bid=0, ask=5)) == []
    assert kinds(row(9, 6000, 1, trades=1, last=5), {0: None}) == []


def test_points_are_out_of_the_money_or_at_it():
    call, put = (row(9, 6000, right, trades=1, last=5) for right in (1, 0))
    higher, lower = {0: 48_001}, {0: 47_999}
    assert kinds(call) == kinds(put) == kinds(put, higher) == kinds(call, lower) == ["trade"]
    assert kinds(call, higher) == kinds(put, lower) == []


def test_points_have_two_ticks_of_price():
    assert kinds(row(9, 6000, 1, trades=1, last=0.10)) == ["trade"]
    assert kinds(row(9, 6000, 1, trades=1, last=0.05)) == kinds(row(9, 6000, 1, quotes=1, bid=0.05, ask=0.10)) == []
    assert kinds(row(9, 6000, 1, quotes=1, bid=0.05, ask=0.15)) == ["quote"]


def test_points_come_before_expiration_and_within_bounds():
    gone = {"expiration": OPEN + 9 * INTERVAL}
    assert kinds(row(9, 6000, 1, trades=1, last=5) | gone) == []
    assert kinds(row(8, 6000, 1, trades=1, last=5) | gone) == ["trade"]
    assert kinds(row(9, 6100, 1, trades=1, last=6000)) == kinds(row(9, 5900, 0, trades=1, last=5900)) == []
    assert kinds(row(9, 6100, 1, trades=1, last=5999)) == ["trade"]


def test_implied_volatility_inverts_the_price():
    """At the money a price is F (2 N(v/2) - 1): for v = 2 68.27 % of F."""
    assert implied_v(6000 * 0.682689492137086, 6000, 6000, 1) == approx(2, rel=1e-12)
    assert implied_v(100, 6100, 6000, 1) is implied_v(6100, 6100, 6000, 1) is None
    assert implied_v(0, 6100, 6000, 0) is implied_v(6000, 6100, 6000, 0) is None
    for strike, call, v in ((6000, 1, 0.01), (5900, 0, 0.01), (6100, 1, 0.02)):
        assert implied_v(black(6000, strike, v, call), 6000, strike, call) == approx(v, rel=1e-10)


# ---- volatility of a strike ----


def traded(k, strike, sigma, call=None):
    """One lot traded at a volatility."""
    quoted = quote(k, strike, sigma, call)
    return quoted | {
        "quotes": 0, "trades": 1, "volume": 1, "signed": 1, "last": (quoted["bid"] + quoted["ask"]) // 2, "bid": None, "ask": None,
    }  # fmt: skip


def sigma_of(rows, k=NOW, strike=6000, mids=None):
    return strike_volatility(options(rows, mids), nanos(strike), k)


def test_a_trade_comes_before_a_quote_for_a_minute():
    flow = [traded(1000, 6000, 0.5), quote(1100, 6000, 0.6)]
    assert sigma_of(flow, 1239) == near(0.5)  # 59.75 s
    assert sigma_of(flow, 1240) == near(0.6)
    assert sigma_of(flow, 1339) == near(0.6)
    assert sigma_of(flow, 1340) == near(0.6)  # both are old: the later one
    assert sigma_of(flow, 1100 + 3600) == near(0.6)
    assert sigma_of(flow, 1100 + 3601) is None


def test_of_old_ones_the_later_serves_and_the_trade_on_a_tie():
    assert sigma_of([quote(1000, 6000, 0.6), traded(1001, 6000, 0.5)], 1300) == near(0.5)
    both = quote(1000, 6000, 0.6) | {"trades": 1, "last": traded(1000, 6000, 0.5)["last"]}
    assert sigma_of([both], 1300) == near(0.5)
    assert sigma_of([both, quote(1001, 6000, 0.7)], 1300) == near(0.7)


def test_a_quote_that_is_no_point_leaves_the_one_before():
    crossed = row(1200, 6000, 1, quotes=1, bid=9, ask=8)
    assert sigma_of([quote(1000, 6000, 0.6), crossed], 1239) == near(0.6)
    assert sigma_of([quote(1000, 6000, 0.6), row(1200, 6000, 1, quotes=1, bid=9)], 1300) == near(0.6)


def test_call_or_put_whichever_is_later_the_call_on_a_tie():
    assert sigma_of([quote(1000, 6000, 0.6, 1), quote(1001, 6000, 0.7, 0)], 1300) == near(0.7)
    assert sigma_of([quote(1002, 6000, 0.6, 1), quote(1001, 6000, 0.7, 0)], 1300) == near(0.6)
    assert sigma_of([quote(1001, 6000, 0.6, 1), quote(1001, 6000, 0.7, 0)], 1300) == near(0.6)


def test_a_contract_that_came_into_the_money_keeps_its_point():
    """The call of 6000 is quoted at 6000; then the future rises and its quotes are points no longer, those of the put are."""
    flow = [quote(1000, 6000, 0.6, 1), row(1010, 6000, 1, quotes=1, bid=29, ask=31), row(1020, 6000, 0, quotes=1, bid=9, ask=11)]
    mids = {1005: 48_160}
    assert sigma_of(flow, 1019, mids=mids) == near(0.6)
    seconds = (EXPIRATION - OPEN - 1020 * INTERVAL) / SECOND
    v = implied_v(10, 6020, 6000, 0)
    assert sigma_of(flow, 1020, mids=mids) == near(v / math.sqrt(seconds / 31_536_000))


def test_smile_is_linear_in_the_logarithm_and_flat_outside():
    flow = [quote(NOW, 5960, 0.8), quote(NOW, 6000, 0.6), quote(NOW, 6040, 0.4), quote(NOW, 6051, 2.0)]
    known = smile(options(flow), NOW)
    assert set(known) == {nanos(5960), nanos(6000), nanos(6040)}
    halfway = 0.6 - 0.2 * math.log(6020 / 6000) / math.log(6040 / 6000)
    expected = {5900: 0.8, 5960: 0.8, 6000: 0.6, 6020: halfway, 6040: 0.4, 6051: 0.4, 6100: 0.4}
    assert {strike: smile_at(known, nanos(strike)) for strike in expected} == approx(expected, rel=1e-6)


def test_fifty_points_from_the_mid_is_near_enough():
    for strike, known in ((5950, True), (5949.5, False), (6050, True), (6050.5, False)):
        assert exposure_known(options(quotes(NOW, (6000, 6005, strike))), NOW) == known


def test_volatility_has_a_floor_of_two_points():
    """At 2 % a year v is .000333: 2 points. At 1 % it counts as 2 % all the same: gamma at the money is .3989/2 per contract."""
    for sigma in (0.02, 0.01):
        flow = [*quotes(NOW, (5999.5, 6000, 6000.5), sigma=sigma), trade(9, 6000, 1, 100, "A")]
        assert fuel(flow)["gamma_exposure"] == approx(19.947, rel=1e-4)


# ---- around the level ----

AROUND = {5975: 100, 5985: -200, 5990: 300, 5995: 400, 6000: 500, 6005: -600, 6010: 700, 6015: 800, 6025: 900}  # dealers' calls


def held(contracts, call=1, k=9):
    """Trades after which dealers hold so many of each strike."""
    return [trade(k, strike, call, abs(n), "B" if n < 0 else "A") for strike, n in contracts.items()]


def test_bands_of_strikes():
    g = {strike: n * GAMMA[strike] for strike, n in AROUND.items()}
    values = fuel([*quotes(NOW), *held(AROUND), *held({5995: 50, 6005: 70}, call=0)])
    g[5995] += 50 * GAMMA[5995]
    g[6005] += 70 * GAMMA[6005]
    assert values["gex_at"] == near(g[6000])
    assert values["gex_above_1strike"] == near(g[6005])
    assert values["gex_above_2strike"] == near(g[6005] + g[6010])
    assert values["gex_above_3strike"] == near(g[6005] + g[6010] + g[6015])
    assert values["gex_below_1strike"] == near(g[5995])
    assert values["gex_below_2strike"] == near(g[5995] + g[5990])
    assert values["gex_below_3strike"] == near(g[5995] + g[5990] + g[5985])
    assert values["call_gex_above_1strike"] == near(-600 * GAMMA[6005])
    assert values["call_gex_above_3strike"] == near(-600 * GAMMA[6005] + g[6010] + g[6015])
    assert values["put_gex_below_1strike"] == values["put_gex_below_3strike"] == near(50 * GAMMA[5995])
    above, below = values["gex_above_3strike"], values["gex_below_3strike"]
    assert values["gamma_exposure"] == near(above + below + g[6000])
    assert values["gex_asymmetry"] == near(above - below)
    assert values["gex_ratio"] == near(above / below)


def test_down_looks_the_other_way():
    flow = [*quotes(NOW), *held({5995: -200, 6005: 210})]
    up, down = (fuel(flow, touch=touch(direction=direction)) for direction in ("UP", "DOWN"))
    below, above = -200 * GAMMA[5995], 210 * GAMMA[6005]
    assert (up["gex_asymmetry"], down["gex_asymmetry"]) == (near(above - below), near(below - above))
    assert (up["gex_ratio"], down["gex_ratio"]) == (near(above / -below), near(below / above))
    assert down["gex_above_3strike"] == up["gex_above_3strike"]
    assert down["gamma_flip"] == -up["gamma_flip"]


def test_ratio_is_null_over_nothing():
    flow = [*quotes(NOW), *held({6005: 200})]
    assert fuel(flow)["gex_ratio"] is None
    assert fuel(flow, touch=touch(direction="DOWN"))["gex_ratio"] == 0


def test_a_level_between_strikes_has_none_at_it():
    """L = 6000.25: 6000 lies below, 6005 is the first above, and 6015 is still within 15 points while 5985 is not."""
    values = fuel([*quotes(NOW), *held(AROUND)], touch=touch(6000.25))
    assert values["gex_at"] == 0
    assert values["gex_below_1strike"] == near(500 * GAMMA[6000])
    assert values["gex_below_3strike"] == near(500 * GAMMA[6000] + 400 * GAMMA[5995] + 300 * GAMMA[5990])
    assert values["gex_above_1strike"] == near(-600 * GAMMA[6005])


def test_velocity_counts_the_trades_of_a_minute_after_the_touch():
    """Touch 100 s before NOW. 60 s are (NOW - 240, NOW]; on the first snap of them the trade does not count any more."""
    flow = [*quotes(NOW), trade(NOW - 240, 6000, 1, 600, "A"), trade(NOW - 239, 6000, 1, 1200, "A"), trade(NOW, 6005, 0, 300)]
    flow += [trade(NOW, 6025, 0, 5000)]
    values = fuel(flow, touch=touch(k=NOW - 400))
    assert values["gamma_velocity"] == near((1200 * GAMMA[6000] - 300 * GAMMA[6005]) / 60)


def test_velocity_begins_at_the_touch():
    flow = [*quotes(NOW), trade(NOW - 40, 6000, 1, 600, "A"), trade(NOW - 39, 6000, 1, 1200, "A")]
    assert fuel(flow, touch=touch(k=NOW - 40))["gamma_velocity"] == near(1200 * GAMMA[6000] / 10)
    at_touch = fuel(flow, touch=touch(k=NOW))
    assert at_touch["gamma_velocity"] is None
    assert at_touch["approach_gamma_velocity"] == near(1800 * GAMMA[6000] / 60)


def test_velocity_of_the_approach_is_frozen_at_the_touch():
    flow = [*quotes(NOW), trade(NOW - 100, 6000, 1, 600, "A"), trade(NOW + 1, 6000, 1, 999)]
    first, later = (fuel(flow, k)["approach_gamma_velocity"] for k in (NOW, NOW + 8))
    assert first == later == near(600 * GAMMA[6000] / 60)


def test_velocity_of_the_approach_is_known_where_fuel_was_at_the_touch():
    flow = quotes(NOW - 1)
    assert fuel(flow, NOW, mids={NOW: None, NOW + 1: MID2})["approach_gamma_velocity"] is None
    later = fuel(flow, NOW + 1, mids={NOW: None, NOW + 1: MID2})
    assert later["approach_gamma_velocity"] is None and later["gamma_velocity"] == 0
    gone = fuel(flow, NOW + 1, mids={NOW + 1: None})
    assert gone["approach_gamma_velocity"] == 0 and gone["gamma_exposure"] is None


def test_velocity_of_the_approach_does_not_reach_before_the_open():
    """Touch at snap 40: the trades of (0, 40], 10 s. Those of snap 0 were there."""
    expiration = OPEN + 40 * INTERVAL + 8760 * SECOND
    flow = [*quotes(40, expiration=expiration), trade(0, 6000, 1, 600, "A"), trade(1, 6000, 1, 1200, "A")]
    flow = [row | {"expiration": expiration} for row in flow]
    day = options(flow)
    assert naive_fuel(day, touch(k=40), 40)["approach_gamma_velocity"] == near(1200 * GAMMA[6000] / 10)
    assert velocity(day, nanos(6000), 0, 40) == near(1200 * GAMMA[6000] / 10)


# ---- walls and flip ----


def test_walls_are_the_most_damping_strikes_on_either_side_of_the_mid():
    """Ahead 6010 (4.59) beats 6025 (3.66); behind 5990. The strike at the mid, and 100 points below, are none."""
    flow = [*quotes(NOW), *held({5900: 9000, 5990: 100, 5995: -900, 6000: 5000, 6005: -100, 6010: 700, 6025: 600})]
    values = fuel(flow)
    assert (values["gamma_wall_ahead"], values["gamma_wall_behind"]) == (10, 10)
    assert values["gamma_wall_ahead_size"] == near(700 * GAMMA[6010])
    assert values["gamma_wall_behind_size"] == near(100 * GAMMA[5990])
    down = fuel(flow, touch=touch(direction="DOWN"))
    assert down["gamma_wall_ahead_size"] == values["gamma_wall_behind_size"]
    assert fuel(flow, touch=touch(6100))["gamma_wall_ahead"] == 10, "walls are seen from the mid, not from the level"


def test_walls_reach_fifty_points_and_damp():
    values = fuel([*quotes(NOW), *held({6050: 10, 5995: -10, 5900: 10})])
    assert (values["gamma_wall_ahead"], values["gamma_wall_behind"]) == (50, None)
    assert values["gamma_wall_ahead_size"] == near(10 * GAMMA[6050])
    assert values["gamma_wall_behind_size"] is None


def test_flip_between_two_strikes():
    """Long 5990, short 6010: equal gammas where d = -d', at sqrt(5990 * 6010) exp(-v^2/2) = 5999.692; long below, short above."""
    values = fuel([*quotes(NOW), *held({5990: 100, 6010: -100})])
    assert values["gamma_flip"] == approx(-0.308, abs=2e-3)
    assert fuel([*quotes(NOW), *held({5990: -100, 6010: 100})])["gamma_flip"] == approx(-0.308, abs=2e-3)


def test_no_flip_for_the_same_sign_nor_from_strikes_farther_than_fifty_points():
    assert fuel([*quotes(NOW), *held({5990: 100, 6010: 100})])["gamma_flip"] is None
    assert fuel([*quotes(NOW), *held({5990: 100, 5900: -900})])["gamma_flip"] is None


def test_the_nearest_of_several_flips():
    """Short at 5970 and 6030, long at 6010, narrow gammas (v F = 6): the signs change about halfway, at 5990 and 6020."""
    flow = quotes(NOW, (5995, 6000, 6005), sigma=0.06)
    zero = fuel([*flow, *held({5970: -100, 6010: 100, 6030: -100})])["gamma_flip"]
    assert zero == approx(-10, abs=0.5)
    zero = fuel([*flow, *held({5970: -100, 6010: 100, 6016: -100})])["gamma_flip"]
    assert zero is not None and abs(zero) < 14


def test_a_profile_that_vanishes_has_no_flip():
    """With 2 points of volatility gamma underflows to 0 at 90 points: 0 is of no sign."""
    flow = quotes(NOW, (5999, 6000, 6001), sigma=0.02)
    assert fuel([*flow, *held({5950: 100})])["gamma_flip"] is None


# ---- open interest ----


def reports(contracts, seconds=400):
    """{(strike, call): contracts}, reported so long after the open."""
    ts = OPEN + seconds * SECOND
    return [{"strike": nanos(strike), "call": call, "quantity": n, "ts": ts} for (strike, call), n in contracts.items()]


def test_open_interest_as_if_dealers_were_long_calls_and_short_puts():
    """5980 lies beyond 15 points; 6007 was never traded nor quoted: its gamma is that of a volatility of 60 %."""
    contracts = {(5980, 1): 999, (5990, 0): 50, (5990, 1): 20, (6000, 1): 100, (6010, 1): 10, (6007, 0): 4}
    values = fuel(quotes(NOW), open_interest=reports(contracts))
    between = math.exp(-((math.log(6000 / 6007) / 0.01 + 0.005) ** 2) / 2) / math.sqrt(2 * math.pi) / 60
    below, above = -30 * GAMMA[5990], 10 * GAMMA[6010] - 4 * between
    assert values["gex_oi_below"] == near(below)
    assert values["gex_oi_above"] == near(above)
    assert values["gex_oi"] == near(below + above + 100 * GAMMA[6000])
    assert values["gamma_exposure"] == 0


def test_open_interest_is_known_after_0930_where_exposure_is():
    held_open = reports({(6000, 1): 100})
    unsigned = [*quotes(NOW), trade(9, 6000, 1, 10, "N")]
    values = fuel(unsigned, open_interest=held_open)
    assert is_unknown(values) and values["gex_oi"] == near(100 * GAMMA[6000])
    assert values["gex_oi_above"] is None and values["gex_oi_below"] is None, "no contract of these strikes"
    for regular, known in ((999.75, True), (1000, False)):
        values = fuel(quotes(NOW), open_interest=held_open, session=toy_session(regular=regular))
        assert (values["gex_oi"] is not None) == known
    assert fuel(quotes(NOW, (6000, 6005)), open_interest=held_open)["gex_oi"] is None
    assert fuel(quotes(NOW))["gex_oi"] is None


def test_the_last_report_up_to_0930_counts():
    several = [*reports({(6000, 1): 5}, 300), *reports({(6000, 1): 100}, 500), *reports({(6000, 1): 7}, 501)]
    assert fuel(quotes(NOW), open_interest=several)["gex_oi"] == near(100 * GAMMA[6000])


# ---- the day's threshold ----


def test_threshold_is_the_median_size_at_the_closes_of_minutes():
    """04:00 lies at 0 s. Quotes of 0 s are good up to 900 s: of the first half hour the closes of minutes 1 … 15 are known.

    Dealers are short 1000 of 6000 from 421 s on, long 3000 from 721 s on: minutes 1 … 7 tell 0, 8 … 12 tell 1000 lots, 13 … 15
    tell 3000 lots. The median is the 8th of them, 1000 lots, all but at minute 8, which has the least gamma: the longest to live.
    """
    expiration = OPEN + (480 + 8760) * SECOND
    flow = [*quotes(0, expiration=expiration), trade(1684, 6000, 1, 1000), trade(2884, 6000, 0, 4000, "A")]
    flow = [row | {"expiration": expiration} for row in flow]
    found = naive_gamma_thresholds(options(flow, count=7201))
    assert len(found) == 144
    assert found[:6] == [near(1000 * GAMMA[6000])] * 6
    assert found[6:] == [None] * 138


def test_threshold_looks_at_the_mid_of_the_minute():
    """One close is known: the only mid. Of 5985 … 6015 those within 15 points of 6000.125 are 5990 … 6015."""
    flow = [*quotes(239), *held({5985: 1000, 6015: 1000}, k=100)]
    mids = {0: None, 239: 48_000, 240: 48_001, 241: None}
    found = naive_gamma_thresholds(options(flow, mids, count=7201))
    v = 0.6 * math.sqrt((EXPIRATION - OPEN - 60 * SECOND) / SECOND / 31_536_000)
    d = math.log(6000.125 / 6015) / v + v / 2
    assert found[0] == approx(1000 * math.exp(-d * d / 2) / math.sqrt(2 * math.pi) / 6000.125 / v, rel=1e-4)
    assert found[6] is None


@pytest.mark.parametrize("lots", [10, 11])
def test_threshold_leaves_out_what_is_unknown(lots):
    flow = [*quotes(240), trade(9, 6000, 1, 10), trade(9, 6005, 1, lots, "N")]
    found = naive_gamma_thresholds(options(flow, {0: None, 240: MID2, 241: None}, count=7201))
    assert (found[0] is None) == (lots == 11)


# ---- the product against the twin, on random option flow ----

COUNT = 9_600  # snaps of a random day: 40 minutes
DAYS = tuple(range(30))


def random_mids(rng, kind):
    """Twice the mid in ticks by snap: a walk with stretches at which nothing is known."""
    steps = rng.choice([-1, 0, 0, 0, 0, 1], COUNT + 1) * (6 if kind["wild"] else 1)
    mids = MID2 + int(rng.integers(-40, 41)) + np.cumsum(steps)
    mids = (MID2 + np.abs((mids - MID2 + 320) % 1280 - 640) - 320).tolist()  # reflected at 40 points
    for start in rng.integers(0, COUNT - 400, 6):
        length = int(rng.integers(1, 400))
        mids[start : start + length] = [None] * length
    return mids


def random_price(rng, mid2, strike, call, seconds):
    """A price in 1e-9 USD as it might be quoted, now and then one that tells nothing."""
    forward = 6000 if mid2 is None else mid2 / 8
    v = max(rng.uniform(0.05, 0.8) * math.sqrt(max(seconds, 1) / 31_536_000), 1e-6)
    ticks = max(round(black(forward, strike, v, call) / 0.05), 0)
    odd = rng.integers(0, 40)
    if odd == 0:
        return int(rng.choice([-50_000_000, nanos(strike), nanos(forward), *map(nanos, (0, 0.05, 0.1, 9.95, 10))]))
    return int(rng.integers(1, 400)) * 50_000_000 if odd == 1 else ticks * 50_000_000


def random_flow(rng, kind, mids, expiration):
    """Rows of option flow in order of (k, strike, call), prices carried on from row to row as the grid does."""
    step = 5 if rng.integers(0, 2) else 10
    strikes = [x for x in range(5880, 6121, step) if abs(x - 6000) < 60 or rng.integers(0, 2)]
    if not kind["rich"]:
        strikes = list(rng.choice(strikes, 7, replace=False))
    moments = sorted(rng.choice(range(kind["from"], COUNT + 1), kind["moments"], replace=False).tolist())
    if kind["rich"]:
        moments[0] = 0
    rows, latest = [], {}
    for k in moments:
        for strike in sorted(rng.choice(strikes, min(len(strikes), int(rng.integers(1, 5))), replace=False).tolist()):
            for call in (0, 1):
                if rng.integers(0, 3) == 0:
                    continue
                known = latest.setdefault((strike, call), {"last": None, "bid": None, "ask": None})
                found = row(k, strike, call, expiration=expiration)
                price = random_price(rng, mids[k], strike, call, (expiration - OPEN) / SECOND - k / 4)
                found["trades"], found["quotes"] = int(rng.integers(0, 3)), int(rng.integers(0, 3))
                if found["trades"] + found["quotes"] == 0:
                    found["quotes"] = 1
                if found["trades"]:
                    bought, sold, unknown = (int(rng.integers(0, 400) * share) for share in kind["sides"])
                    found |= {"signed": bought - sold, "unsigned": unknown, "volume": bought + sold + unknown}
                    known["last"] = price if rng.integers(0, 20) else None
                if found["quotes"]:
                    half = int(rng.integers(0, 3)) * 50_000_000
                    known |= {"bid": price - half, "ask": price + half}
                    odd = rng.integers(0, 12)
                    if odd < 2:
                        known["ask" if odd else "bid"] = None
                    elif odd == 2:
                        known |= {"bid": price + 50_000_000, "ask": price}
                rows.append(found | known)
    return rows


def random_interest(rng, kind):
    chosen = [] if kind["no_interest"] else sorted(rng.choice(range(5900, 6101, 5), 15, replace=False).tolist())
    contracts = {(strike, call): int(rng.integers(0, 3000)) for strike in chosen for call in (0, 1) if rng.integers(0, 3)}
    return reports(contracts)


def random_touches(rng):
    """Levels at strikes, between them, off the tick and far away; touches early and late."""
    prices = [6000.0, 5997.25, 6003.123456789, 6040.0, 5985.0, float(rng.integers(5950, 6050)), 6400.0]
    ks = [1, 100, *rng.integers(240, COUNT - 970, 5)]
    return [
        whole_touch(price=nanos(price), direction=str(rng.choice(["UP", "DOWN"])), k=int(k), touch=number)
        for number, (price, k) in enumerate(zip(prices, ks, strict=True))
    ]


def random_priors(rng, kind):
    """None, or 144 rows as short_day has them, with thresholds of which some are unknown."""
    if kind["no_priors"]:
        return None
    rows = short_day.priors().copy()
    rows["gamma_threshold"] = np.where(rng.integers(0, 2, 144), rng.uniform(0, 30, 144), np.nan)
    return rows


def random_day(seed):
    """(options of the twin, touches, priors as an array) of a day of one kind or another."""
    rng = np.random.default_rng(seed)
    kind = {
        "rich": seed % 3 > 0, "wild": seed % 4 == 1, "no_interest": seed % 5 == 3, "no_priors": seed % 2 == 0,
        "from": (1, 3000)[seed % 7 == 2], "moments": (60, 220, 500)[seed % 3],
        "sides": ((1, 1, 0), (1, 0.2, 0.1), (0.2, 1, 0.5), (0.5, 0.5, 1), (0, 0, 1))[seed % 5],
    }  # fmt: skip
    session = replace(toy_session(premarket=120, regular=700, signals=2000, end=2300), globex=Window(OPEN, OPEN + COUNT * INTERVAL))
    expiration = OPEN + (COUNT * INTERVAL if seed % 4 == 3 else 6 * 3600 * SECOND) + int(rng.integers(0, 300)) * SECOND
    mids = random_mids(rng, kind)
    snaps = [{"k": k, "ts": OPEN + k * INTERVAL, "mid2": mid2} for k, mid2 in enumerate(mids)]
    flow = random_flow(rng, kind, mids, expiration)
    day = Options(snaps, flow, random_interest(rng, kind), session, CONFIG)
    return day, random_touches(rng), random_priors(rng, kind)


def moments_of(rng, touch):
    after = [0, 1, 20, 239, 240, 241, 960]
    return sorted({touch["k"] + more for more in [*rng.choice(after, 4, replace=False).tolist(), int(rng.integers(0, 960))]})


@pytest.mark.parametrize("seed", DAYS)
def test_product(seed):
    """Every column of touches at strikes, between them and far away, at t0 and after it."""
    day, touches, priors = random_day(seed)
    made, rng = product(day, touches, priors), np.random.default_rng(1000 + seed)
    usual = None if priors is None else plain(PRIORS, priors)
    wrong = {
        (touch["touch"], k): found
        for touch in touches
        for k in moments_of(rng, touch)
        if (found := differences(naive_fuel(day, touch, k, usual), columns(made, touch["touch"], k)))
    }
    assert not wrong


def test_random_days_tell_everything():
    """Every column is known somewhere, every state is met."""
    values = [
        naive_fuel(day, touch, touch["k"] + 20)
        for seed in (1, 3, 4, 5, 6)
        for day, touches, _ in [random_day(seed)]
        for touch in touches
    ]
    assert {row["fuel_effect"] for row in values} == {"UNKNOWN", "AMPLIFY", "NEUTRAL", "DAMPEN"}
    assert all(any(row[name] is not None for row in values) for name in COLUMNS)


@pytest.mark.parametrize("seed", DAYS)
def test_product_does_not_look_ahead(seed):
    """To the last bit what a Day says that has nothing after k, whatever followed in the other."""
    day, touches, priors = random_day(seed)
    whole = product(day, touches, priors)
    for touch in touches[1:5]:
        for k in (touch["k"], touch["k"] + 77):
            assert columns(whole, touch["touch"], k) == columns(product(day, touches, priors, k), touch["touch"], k)


@pytest.mark.parametrize("seed", DAYS[:6])
def test_product_takes_rows_in_pieces(seed):
    """Snaps close a few at a time, strikes come up one by one; and contracts that come one after the other."""
    day, touches, priors = random_day(seed)
    whole, pieces, shuffled = (product(day, touches, priors, until) for until in (None, -1, -1))
    rows = packed(OPTION_FLOW, day.rows)
    for made, order in ((pieces, ("k", "strike", "call")), (shuffled, ("strike", "call", "k"))):
        made.snaps = whole.snaps
        for piece in np.array_split(np.sort(rows, order=order), 17):
            grown = made.options.flow
            grown.reserve(len(piece))[grown.count : grown.count + len(piece)] = piece
            grown.count += len(piece)
            made.advance_options()
        for touch in touches:
            k = touch["k"] + 300
            assert columns(made, touch["touch"], k) == columns(whole, touch["touch"], k)


@pytest.mark.parametrize("seed", DAYS)
def test_threshold_of_the_product(seed):
    day, touches, priors = random_day(seed)
    found = product(day, touches, priors).summary()["gamma_threshold"].tolist()
    pairs = zip(naive_gamma_thresholds(day), [None if math.isnan(value) else value for value in found], strict=True)
    assert not [pair for pair in pairs if not same(*pair)]


def test_fuel_is_unknown_to_one_who_joined_late():
    """Trades before it are missing; what was open is not."""
    day = options([*quotes(NOW), trade(9, 6000, 1, 10_000)], open_interest=reports({(6000, 1): 100}))
    late = Options(day.snaps, day.rows, day.open_interest, day.session, CONFIG, whole=False)
    values = naive_fuel(late, touch(), NOW)
    assert is_unknown(values) and values["gex_oi"] == near(100 * GAMMA[6000])
    whole, made = product(day, [whole_touch(**touch())]), Day(day.session, CONFIG, complete_from=OPEN + SECOND)
    made.snaps, made.options, made.chain, made.touches = whole.snaps, whole.options, whole.chain, whole.touches
    assert not differences(values, columns(made, 0, NOW))
