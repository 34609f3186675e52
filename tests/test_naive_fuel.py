"""The naive twin of fuel (physics.md, 4.4), and the product with it, on small cases worked out by hand (toy_options.py)."""

import math

import pytest
from pytest import approx

from spymaster_assets.compute.stream import Day
from tests.naive_fuel import COLUMNS, Options, exposure_known, inventory, naive_fuel, naive_gamma_thresholds, velocity
from tests.toy_days import INTERVAL, OPEN, SECOND, toy_session
from tests.toy_options import (
    CONFIG,
    EXPIRATION,
    GAMMA,
    MID2,
    NOW,
    columns,
    differences,
    fuel,
    held,
    is_unknown,
    nanos,
    near,
    options,
    product,
    quote,
    quotes,
    reports,
    touch,
    trade,
    whole_touch,
)

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


# ---- around the level ----

AROUND = {5975: 100, 5985: -200, 5990: 300, 5995: 400, 6000: 500, 6005: -600, 6010: 700, 6015: 800, 6025: 900}  # dealers' calls


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


def test_fuel_is_unknown_to_one_who_joined_late():
    """Trades before it are missing; what was open is not."""
    day = options([*quotes(NOW), trade(9, 6000, 1, 10_000)], open_interest=reports({(6000, 1): 100}))
    late = Options(day.snaps, day.rows, day.open_interest, day.session, CONFIG, whole=False)
    values = naive_fuel(late, touch(), NOW)
    assert is_unknown(values) and values["gex_oi"] == near(100 * GAMMA[6000])
    whole, made = product(day, [whole_touch(**touch())]), Day(day.session, CONFIG, complete_from=OPEN + SECOND)
    made.snaps, made.options, made.chain, made.touches = whole.snaps, whole.options, whole.chain, whole.touches
    assert not differences(values, columns(made, 0, NOW))
