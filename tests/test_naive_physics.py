"""The naive twins of barrier, tape and geometry (physics.md, section 4) against numbers worked out by hand on toy days."""

import math
import random

import pytest
from pytest import approx

from spymaster_assets.features.physics import PHYSICS
from spymaster_assets.tables import LABELS, PRIORS, SIGNALS
from tests import toy_days
from tests.naive_labels import naive_geometry
from tests.naive_physics import naive_landmarks
from tests.naive_score import naive_signals
from tests.toy_days import BARRIER_DAYS, K0, L, barrier_day, ladder, toy_day, toy_touch
from tests.toy_physics import CONFIG, features, has, labels, rows_of, signals

RATES = tuple(f"{what}_rate_{seconds}" for seconds in (5, 15, 60) for what in ("added", "pulled", "filled"))


def all_priors(**columns):
    empty = dict.fromkeys(PRIORS.names)
    return [{**empty, "bucket": bucket, "dates": 20, **columns} for bucket in range(144)]


# ---- columns ----


def test_every_column_is_there_on_every_toy_day():
    for name, day in toy_days.all_days():
        rows = rows_of(day)
        for touch in day.touches:
            for k in naive_landmarks(rows, touch, day.session, CONFIG):
                assert set(features(day, k, touch)) == {feature.name for feature in PHYSICS}
            if len(day.snaps) < 200:
                for row in naive_signals(rows, touch, day.session, CONFIG, None):
                    assert set(row) == set(SIGNALS.names) - {"event_id"}
        if name in ("label_day", "halt_day"):
            assert set(labels(day, K0)) == set(LABELS.names) - {"event_id"}


def test_values_are_in_the_declared_range_and_null_only_where_declared():
    for _, day in toy_days.all_days():
        for touch in day.touches:
            for k in (K0, K0 + 10):
                values = features(day, k, touch)
                for feature in PHYSICS:
                    value = values[feature.name]
                    assert value is not None or feature.null, feature.name
                    if feature.categories:
                        assert value is None or value in feature.categories
                    elif value is not None:
                        low = -math.inf if feature.low is None else feature.low
                        assert low <= value <= (math.inf if feature.high is None else feature.high), feature.name


# ---- 4.1 barrier: D = 9 prices x 10 lots = 90, F_thresh = 9, zone 24000 … 24008 of the asks ----


@pytest.mark.parametrize("state", list(BARRIER_DAYS))
def test_state_of_the_reaction(state):
    assert features(barrier_day(**BARRIER_DAYS[state]), 30)["barrier_state"] == state


@pytest.mark.parametrize("state", list(BARRIER_DAYS))
def test_state_of_the_mirrored_reaction(state):
    """Bids for asks, prices reflected through the level, DOWN for UP."""
    facts = dict(BARRIER_DAYS[state])
    mirror = {"A": "B", "B": "A"}
    facts["flow"] = {(k, mirror[side], 2 * L - ticks): lots for (k, side, ticks), lots in facts["flow"].items()}
    facts["first_book"] = ladder(L, L + 1)
    book = facts.get("book", toy_days.QUIET_BOOK)
    facts["book"] = ladder(
        2 * L - book["ask_ticks_00"],
        2 * L - book["bid_ticks_00"],
        bids=[book[f"ask_size_{i:02}"] for i in range(10)],
    )
    straight = features(barrier_day(**BARRIER_DAYS[state]), 30)
    mirrored = features(barrier_day(**facts, direction="DOWN"), 30)
    assert mirrored["barrier_state"] == state
    has(mirrored, {name: straight[name] for name in straight if "barrier" in name or "_rate_" in name or "position" in name})


def test_numbers_of_a_vacuum():
    """A = 6, P = 50, F = 10 over the whole window of 2.5 s: 60 of 90 lots left; the book at the end is as at the start."""
    values = features(barrier_day(**BARRIER_DAYS["VACUUM"]), 30)
    has(
        values,
        {
            "barrier_observed": 1.0, "barrier_position": 0, "barrier_depth": 90, "wall_ratio": 1.0,
            "barrier_turnover": 60 / 90, "barrier_seconds": 2.5,
            "replenishment_ratio": 0.1, "replenishment_ratio_raw": 0.1,
            "barrier_delta_liq": -54, "barrier_delta_liq_raw": -54, "barrier_delta_share": -0.6, "pull_ratio": 50 / 60,
            "added_rate_5": 6 / 2.5 / 90, "pulled_rate_5": 50 / 2.5 / 90, "filled_rate_5": 10 / 2.5 / 90,
            "added_rate_15": None, "pulled_rate_60": None,
        },
    )  # fmt: skip


def test_approach_window_is_the_grid_so_far_where_that_is_shorter():
    """The same flow before a touch at snap 30 (7.5 s): clock and the 15-s rates reach back to snap 0, the 5-s rates do not."""
    day = barrier_day(**BARRIER_DAYS["VACUUM"])
    values = features(day, 30, toy_touch(day, k=30))
    has(
        values,
        {
            "approach_barrier_state": "VACUUM", "approach_barrier_seconds": 7.5, "approach_barrier_turnover": 60 / 90,
            "approach_pulled_rate_5": 50 / 5 / 90, "approach_pulled_rate_15": 50 / 7.5 / 90,
            "approach_pulled_rate_240": 50 / 7.5 / 90,
            "barrier_state": None, "barrier_turnover": None, "pulled_rate_5": None, "barrier_depth": 90,
        },
    )  # fmt: skip


def test_volume_clock_stops_when_the_reference_depth_has_left():
    """Back from snap 30: 40 lots at 29, 60 more at 25 make 100 >= 90; snap 22 is not needed. Start: snap 24, 1.5 s before."""
    flow = {(22, "A", L): (7, 50, 0), (25, "A", L + 1): (5, 60, 0), (29, "A", L + 2): (3, 0, 40)}
    values = features(barrier_day(flow), 30)
    has(values, {"barrier_turnover": 100 / 90, "barrier_seconds": 1.5, "replenishment_ratio": 0.08, "pull_ratio": 0.6})


def test_shift_of_the_ladder_is_taken_out():
    """m_j = 5, 10, … 50, D = 225. Asks from 24000 to 24004: E_start = 5 + … + 45 = 225, E_end = 5 + … + 25 = 75: shift -150.

    P = 50, F = 100, A = 0: raw ratio 0 and delta -150, net of the shift 150 / 150 = 1 and 0: absorption (100 > 22.5).
    """
    flow = {(24, "A", L): (0, 50, 60), (25, "A", L + 1): (0, 0, 40)}
    values = features(barrier_day(flow, book=ladder(L + 3, L + 4), m=toy_days.RISING_M), 30)
    has(
        values,
        {
            "replenishment_ratio": 1.0, "replenishment_ratio_raw": 0.0, "barrier_delta_liq": 0, "barrier_delta_liq_raw": -150,
            "barrier_state": "ABSORPTION", "barrier_position": 4, "barrier_depth": 50, "wall_ratio": 50 / 75,
            "barrier_turnover": 150 / 225,
        },
    )  # fmt: skip


def test_consumed_share_of_priors():
    """F/(P + F) = 30/40: consumed above .25, not above the .8 of priors (then neutral: R = .5, wall 1)."""
    day = barrier_day(**BARRIER_DAYS["CONSUMED"])
    has(features(day, 30), {"barrier_state": "CONSUMED", "replenishment_ratio": 0.5, "barrier_delta_liq": -20})
    assert features(day, 30, priors=all_priors(consumed_share=0.7))["barrier_state"] == "CONSUMED"
    assert features(day, 30, priors=all_priors(consumed_share=0.8))["barrier_state"] == "NEUTRAL"


def test_little_turnover_is_no_flow_state():
    """Ten lots pulled of 90 would be a vacuum (R = 0, delta = -10 < -9), but turnover is .11; asks of 6 lots: 54/90 = .6 < .7."""
    has(
        features(barrier_day(**BARRIER_DAYS["WEAK"]), 30), {"barrier_state": "WEAK", "wall_ratio": 0.6, "barrier_turnover": 10 / 90}
    )
    nothing = {"barrier_turnover": 0, "replenishment_ratio": 0, "barrier_delta_liq": 0, "pull_ratio": None}
    has(features(barrier_day(**BARRIER_DAYS["NEUTRAL"]), 30), {"barrier_state": "NEUTRAL", **nothing})


def test_passed():
    passed = features(barrier_day(**BARRIER_DAYS["PASSED"]), 30)
    has(passed, {"barrier_position": 9, "barrier_depth": 0, "wall_ratio": None, "barrier_turnover": 60 / 90, "barrier_observed": 1})
    # the best at the last zone price is not beyond it: F = 60, A = 0, E 90 -> 10: R = 80/60, delta = 20, F > 9: absorption
    has(features(barrier_day({(26, "A", L): (0, 0, 60)}, book=ladder(L + 7, L + 8)), 30), {"barrier_state": "ABSORPTION"})
    empty = features(barrier_day({}, book=ladder(L - 1, None)), 30)
    has(empty, {"barrier_state": "PASSED", "barrier_position": None, "barrier_observed": 1, "barrier_depth": 0, "position": None})


def test_unobserved():
    """Asks 23994 … 24003 show four zone prices of nine, asks 23995 … 24004 five: then j = 5 … 9, 50 lots expected and there."""
    names = ("barrier_depth", "wall_ratio", "barrier_turnover", "replenishment_ratio", "pulled_rate_5")
    four = features(barrier_day(**BARRIER_DAYS["UNOBSERVED"]), 30)
    has(four, {"barrier_observed": 4 / 9, "barrier_position": -6, **dict.fromkeys(names)})
    five = features(barrier_day({}, book=ladder(L - 6, L - 5)), 30)
    has(five, {"barrier_observed": 5 / 9, "barrier_position": -5, "barrier_depth": 50, "wall_ratio": 1, "barrier_state": "NEUTRAL"})
    unknown = features(barrier_day(BARRIER_DAYS["VACUUM"]["flow"], m=(None,) * 10), 30)
    has(unknown, {"barrier_state": "UNOBSERVED", "barrier_observed": 1, "barrier_position": 0, **dict.fromkeys(names)})
    blind = features(barrier_day({}, book=ladder(L - 1, L, ask_shown=0)), 30)
    has(blind, {"barrier_state": "UNOBSERVED", "barrier_observed": 0, "barrier_position": 0, **dict.fromkeys(names)})


def test_few_listed_levels_show_everything():
    """Three asks listed, 30 lots, nothing else: 30 / 90."""
    has(features(barrier_day({}, book=ladder(L - 1, L, asks=(10,) * 3)), 30), {"barrier_observed": 1, "wall_ratio": 1 / 3})


def test_fixed_windows_after_the_touch_are_kept_once():
    """Five seconds: only the window of 5; from 5.25 s on the one of 15, with its true length."""
    day = toy_day(200, {0: toy_days.QUIET_BOOK}, flow={(K0 + 1, "A", L): (9, 18, 27)})
    day.touches.append(toy_touch(day))
    has(features(day, K0), dict.fromkeys(RATES))
    has(features(day, K0 + 20), {"added_rate_5": 9 / 5 / 90, "filled_rate_5": 27 / 5 / 90, "added_rate_15": None})
    has(features(day, K0 + 21), {"added_rate_5": 0, "pulled_rate_15": 18 / 5.25 / 90, "added_rate_60": None})
    has(features(day, K0 + 61), {"pulled_rate_15": 0, "pulled_rate_60": 18 / 15.25 / 90})


# ---- 4.2 tape ----


def test_tape_near_the_level():
    """Near are 24001 (30 bought), 23999 (10 sold), 24000 (4 unknown): kappa = .1 x 200 = 20, (30 - 10) / 60. 49 lots in 2.5 s."""
    day = toy_days.tape_day()
    expected = {
        "tape_buy_volume": 30, "tape_sell_volume": 10, "tape_prints": 3, "tape_imbalance": 1 / 3, "tape_rate": 1.6,
        "tape_mean_size": 49 / 4, "tape_large_share": 40 / 49, "sweep_direction": None, "sweep_size": None, "sweep_notional": None,
        "approach_tape_sell_volume": 2, "approach_tape_prints": 1, "approach_tape_imbalance": None, "approach_tape_rate": 0.2,
        "approach_tape_mean_size": 2, "approach_tape_large_share": None,
    }  # fmt: skip
    has(features(day, 30), expected)
    has(features(day, 30, 1), {**expected, "tape_imbalance": -1 / 3})
    has(features(day, K0), {"tape_buy_volume": None, "tape_prints": None, "tape_rate": None, "approach_tape_prints": 1})


def test_tape_references_that_are_unknown():
    """Touch at snap 8: 30 bought, 12 sold. Without minute_volume the column is null, and the score's takes kappa = 10: 18 / 52."""
    day = toy_days.tape_day()
    day.touches = [toy_touch(day, k=8, minute_volume=None, minute_prints=None)]
    has(features(day, 30), {"tape_imbalance": None, "tape_rate": None})
    has(signals(day)[28], {"elapsed": 5, "tape_imbalance": 18 / 52})


def test_position_and_excursions():
    """Mid 5999.875; the entry snap's prints from 23998 to 24001, later up to 24003. theta 2 points, sigma .1."""
    day = toy_days.tape_day()
    theta = {"position_theta_2min": -0.0625, "position_sigma_4min": -0.125 / (0.1 * math.sqrt(240))}
    has(features(day, K0), {"position": -0.125, "excursion_max": 0.25, "excursion_min": 0.5, **theta, "sigma": 0.1, "atr": 1})
    has(features(day, 30), {"position": -0.125, "excursion_max": 0.75, "excursion_min": 0.5})
    has(features(day, 30, 1), {"position": 0.125, "excursion_max": 0.5, "excursion_min": 0.75})


def test_velocity_of_a_ramp():
    """Half a tick per snap is .125 points per .25 s. Eight good snaps are needed, none from before the touch for the reaction."""
    day = toy_days.ramp_day()
    found = {k: features(day, k)["tape_velocity"] for k in (20, 26, 27, 30, 35, 36, 40)}
    assert found == approx({20: None, 26: None, 27: 0.5, 30: 0.5, 35: 0.5, 36: None, 40: None})
    has(features(day, 30), {"approach_tape_velocity": 0.5})
    has(features(day, 27, toy_touch(day, "DOWN")), {"approach_tape_velocity": -0.5, "tape_velocity": -0.5})


def test_velocity_of_a_step():
    """13 snaps, 6 before and 7 after a step of one point: sum(t y) = .25 (0 + … + 6) = 5.25, sum(t²) = .0625 x 182: 6/13."""
    has(features(toy_days.step_day(), 30), {"approach_tape_velocity": 6 / 13, "tape_velocity": 0})


def test_sweep_by_span():
    """The second print spans a tick: 5 + 7 lots at 6000.25, x 50 USD. The third is of a cluster that is a sweep already; the later
    sweep ends ten ticks from the level."""
    day = toy_days.span_sweep_day()
    has(features(day, 30), {"sweep_direction": 1, "sweep_size": 12, "sweep_notional": 12 * 6000.25 * 50})
    has(features(day, 30, 1), {"sweep_direction": -1, "sweep_size": 12})
    has(features(day, 24), {"sweep_direction": None})
    near = toy_touch(day, ticks=L + 2, thetas=(20, 20, 20))
    has(features(day, 30, near), {"sweep_direction": -1, "sweep_size": 10, "sweep_notional": 10 * 6002.5 * 50})


def test_sweep_by_size():
    """30 + 11 lots exceed the 40 of the print, or of the priors where the print has none; a cluster of unknown side is none."""
    expected = {"sweep_direction": -1, "sweep_size": 41, "sweep_notional": 41 * 6000 * 50}
    has(features(toy_days.size_sweep_day(), 30), expected)
    bare = toy_days.size_sweep_day(cluster_p99=None)
    has(features(bare, 30), dict.fromkeys(expected))
    has(features(bare, 30, priors=all_priors(cluster_p99=40.0)), expected)
    has(features(bare, 30, priors=all_priors(cluster_p99=42.0)), {"sweep_direction": -1, "sweep_size": 43})
    has(features(bare, 30, priors=all_priors()), dict.fromkeys(expected))


# ---- 4.3 geometry ----


def wide(x, sigma=0.1, spacing=0.0, horizon=240.0, theta=2.0, tick=0.0):
    return naive_geometry(x, theta, sigma, spacing, horizon, tick)


def test_geometry_of_a_long_time_is_the_ratio_of_distances():
    """u = (x + B)/(2B) with B = 2: 3/8 from x = -.5."""
    assert wide(-0.5, horizon=1e7) == approx((3 / 8, 5 / 8, 0), abs=1e-12)


def test_geometry_of_no_time_is_chop():
    assert wide(0.5, horizon=1e-3) == approx((0, 0, 1), abs=1e-300)


def test_geometry_of_one_near_barrier_is_twice_the_tail():
    """One standard deviation (.1 √240) below the upper barrier, the other far away: 2 (1 - Phi(1)) = .317310507863."""
    sd = 0.1 * math.sqrt(240)
    assert wide(100 - sd, theta=100)[0] == approx(0.317310507863, rel=1e-11)


def test_geometry_is_symmetric_and_sums_to_one():
    for x in (-1.9, -1, -0.3, 0, 0.4, 1.7):
        for horizon in (1, 120, 480, 5000):
            up, down = wide(x, horizon=horizon), wide(-x, horizon=horizon)
            assert up == approx((down[1], down[0], down[2]), abs=1e-12)
            assert sum(up) == approx(1, abs=1e-12)
            assert all(0 <= p <= 1 for p in up)


def test_geometry_outside_the_barriers_and_unknown():
    """B = 2 - .125 + .5826 x .1 x √4 = 1.99152."""
    assert naive_geometry(1.9916, 2.0, 0.1, 4.0, 240, 0.25) == (1, 0, 0)
    assert naive_geometry(-1.9916, 2.0, 0.1, 4.0, 240, 0.25) == (0, 1, 0)
    assert naive_geometry(1.9915, 2.0, 0.1, 4.0, 240, 0.25)[2] > 0
    assert naive_geometry(None, 2.0, 0.1, 4.0, 240, 0.25) == (None, None, None)
    assert naive_geometry(0.0, 2.0, None, 4.0, 240, 0.25) == (None, None, None)
    assert naive_geometry(0.0, 2.0, 0.1, None, 240, 0.25) == (None, None, None)


def test_geometry_of_a_simulated_walk():
    """4,000 walks seen every half second against a barrier at 1 point: standard errors at most √(.25 / 4000) = .0079."""
    x, theta, sigma, spacing, horizon, paths = 0.2, 1.0, 0.08, 0.5, 120, 4000
    generator = random.Random(7)
    ends = {"break": 0, "bounce": 0, "chop": 0}
    for _ in range(paths):
        place, result = x, "chop"
        for _ in range(round(horizon / spacing)):
            place += generator.gauss(0, sigma * math.sqrt(spacing))
            if abs(place) >= theta:
                result = "break" if place > 0 else "bounce"
                break
        ends[result] += 1
    shares = tuple(count / paths for count in ends.values())
    assert shares == approx(naive_geometry(x, theta, sigma, spacing, horizon, 0.0), abs=3 * 0.0079)
