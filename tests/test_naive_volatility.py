"""The naive twin of fuel (physics.md, 4.4): which rows are points, and the volatility of a strike, worked out by hand."""

import math

from pytest import approx

from tests.naive_fuel import exposure_known, implied_v, points_of_row, smile, smile_at, strike_volatility
from tests.toy_days import INTERVAL, OPEN, SECOND
from tests.toy_options import CONFIG, EXPIRATION, NOW, black, fuel, nanos, near, options, quote, quotes, row, trade, traded

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
