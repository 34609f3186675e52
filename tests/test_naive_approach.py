"""The naive twin of physics.md, section 4.5, against numbers worked out by hand: what led to the touch.

Order flow, kinematics, the barrier before it, approach and dwell. Most days have the level at 6000.00 (24,000 ticks), ten lots at
every price, m_j = 10 and so D = 90, and sigma = .1.
"""

import math
import random
from fractions import Fraction

import numpy as np
import pytest
from pytest import approx

from tests import toy_days
from tests.naive_approach import fit_points, kinematics, parabola
from tests.toy_context import CONFIG, POINT, all_priors, context, loadings, path_day, quiet
from tests.toy_days import OPEN, QUIET_BOOK, SECOND, TICK, L, ladder, toy_day, toy_touch
from tests.toy_physics import has, rows_of

FIT = ("velocity", "acceleration", "jerk", "fit_error", "path_efficiency")


# ---- order flow ----


def imbalanced(count, counter, **touch):
    """A quiet day on which the counter at depth i is counter(i, k)."""
    day = quiet(count, **touch)
    for snap in day.snaps:
        snap.update({f"ofi_{i:02}": counter(i, snap["k"]) for i in range(10)})
    return day


def test_order_flow_imbalance():
    """Depth i gains i + 1 lots a snap: 120 (i + 1) in 30 s, 1,200 (i + 1) in 300 s; 55 of all depths."""
    day = imbalanced(1301, lambda i, k: (i + 1) * k, k=1300)
    values = context(day)
    has(
        values,
        {
            "ofi_0_30s": 120 / 90, "ofi_9_30s": 1200 / 90, "ofi_3_60s": 960 / 90, "ofi_0_120s": 480 / 90, "ofi_9_300s": 12000 / 90,
            "ofi_30s": 6600 / 900, "ofi_60s": 13200 / 900, "ofi_120s": 26400 / 900, "ofi_300s": 66000 / 900,
            "ofi_acceleration": 0, "ofi_integrated_30s": None, "ofi_integrated_300s": None,
        },
    )  # fmt: skip
    down = context(day, toy_touch(day, "DOWN", k=1300))
    has(down, {"ofi_0_30s": -120 / 90, "ofi_300s": -66000 / 900})
    has(context(day, toy_touch(day, k=1300, m=(None, *(10,) * 9))), {"ofi_0_30s": None, "ofi_30s": None, "ofi_acceleration": None})


def test_order_flow_imbalance_of_an_early_touch_begins_at_snap_0():
    values = context(imbalanced(41, lambda i, k: (i + 1) * k))
    has(
        values,
        {"ofi_1_30s": 40 / 90, "ofi_1_300s": 40 / 90, "ofi_60s": 1100 / 900, "ofi_acceleration": 1100 / 900 * (1 / 30 - 1 / 120)},
    )


def test_signed_volume():
    """Bought 7 and 5, sold 2, 9 without a side; 200 lots a minute are usual. The first print lies right before the last 30 s."""
    trades = [(480, 10, L - 3, 7, "B"), (481, 10, L - 3, 5, "B"), (500, 10, L - 2, 9, "N"), (600, 240, L, 2, "A")]
    day = toy_day(700, {0: QUIET_BOOK}, trades)
    up, down = (context(day, toy_touch(day, way, k=600)) for way in ("UP", "DOWN"))
    expected = {"signed_volume_30s": 3 / 100, "signed_volume_60s": 10 / 200, "signed_volume_120s": 10 / 400}
    has(up, expected)
    has(down, {name: -value for name, value in expected.items()})
    for usual in (None, 0.0):
        has(context(day, toy_touch(day, k=600, minute_volume=usual)), dict.fromkeys(expected))


def test_integrated_order_flow_imbalance():
    """Loadings 1, -1/2 and, at depth 9, 1/2: over their absolute sum 2. Depths 0, 1, 9 gain 120, 240, 1,200 lots in 30 s."""
    day = imbalanced(1301, lambda i, k: (i + 1) * k, k=1300)
    usual = all_priors(**loadings(1.0, -0.5, *(0.0,) * 7, 0.5))
    has(context(day, priors=usual), {"ofi_integrated_30s": (120 - 120 + 600) / 2 / 90, "ofi_integrated_60s": 600 / 90})
    has(context(day, toy_touch(day, "DOWN", k=1300), priors=usual), {"ofi_integrated_30s": -300 / 90})
    unknown = all_priors(**loadings(1.0, None))
    has(context(day, priors=unknown), {"ofi_integrated_30s": None, "ofi_0_30s": 120 / 90})
    has(context(day, priors=all_priors(**loadings())), {"ofi_integrated_30s": None})
    has(context(day, toy_touch(day, k=1300, t0=OPEN), priors=usual), {"ofi_integrated_30s": None})  # before the first bucket


def test_flow_near_the_level():
    """Bids + 15 and, at snap 80, + 100; asks 8 ticks above - 16; 9 ticks away nothing counts, nor after the touch at snap 200."""
    flow = {
        (80, "B", L - 8): (100, 0, 0),
        (81, "B", L): (30, 10, 5),
        (200, "A", L + 8): (4, 20, 0),
        (150, "A", L + 9): (0, 500, 0),
        (150, "B", L - 9): (500, 0, 0),
        (201, "A", L): (0, 500, 0),
    }
    day = toy_day(241, {0: QUIET_BOOK}, flow=flow)
    values = context(day, toy_touch(day, k=200))
    has(values, {"ofi_near_level_30s": 31 / 90, "ofi_near_level_60s": 131 / 90, "ofi_near_level_300s": 131 / 90})
    has(context(day, toy_touch(day, "DOWN", k=200)), {"ofi_near_level_30s": -31 / 90})


# ---- kinematics: the mid at so many seconds before t0, in eighths of a point from the level ----


def test_a_parabola_is_found_again():
    """x = (j^2 - 10 j) / 8 points: with tau = -j, tau^2 / 8 + 1.25 tau, so v = 1.25 and a = .25 points, over sigma .1.

    The path of a minute: 25 eighths down to j = 5 and up again to 0, then up to 59 x 49 = 2,891; with 66 points to 65 x 55 = 3,575.
    """
    day = path_day(263, lambda j: j * j - 10 * j, 260)
    values = context(day)
    for minutes in (1, 3, 5, 10, 20):
        has(values, {f"velocity_{minutes}min": 12.5, f"acceleration_{minutes}min": 2.5})
        assert values[f"fit_error_{minutes}min"] == 0
    has(values, {"jerk_1min": 0, "jerk_3min": None, "jerk_20min": None})
    has(values, {"path_efficiency_1min": 2891 / 2941, "path_efficiency_3min": 3575 / 3625, "path_efficiency_20min": 3575 / 3625})
    down = context(day, toy_touch(day, "DOWN", k=260, sigma=0.2))
    has(down, {"velocity_1min": -6.25, "acceleration_1min": -1.25, "path_efficiency_1min": 2891 / 2941})
    unknown = context(day, toy_touch(day, k=260, sigma=None))
    has(unknown, dict.fromkeys(f"{what}_1min" for what in FIT[:4]) | {"path_efficiency_1min": 2891 / 2941})


def test_the_level_does_not_matter_for_the_movement():
    day = path_day(263, lambda j: j * j - 10 * j, 260)
    values = context(day, toy_touch(day, k=260, price=L * TICK + 123_456_789))
    has(values, {"velocity_1min": 12.5, "acceleration_3min": 2.5})


def test_jerk_is_the_difference_of_the_halves():
    """Nothing moves for 30 s; before that (j - 30)^2 eighths: a = .25 / .1 in the earlier half, 0 in the later."""
    values = context(path_day(263, lambda j: max(0, j - 30) ** 2, 240))
    has(values, {"jerk_1min": -2.5 / 30})


def test_eight_points_are_needed():
    """Snaps 8, 12, … are seconds; the touch at snap 148 has 38 of them, 8 in the earlier half; at snap 144 seven are left."""
    day = path_day(200, lambda j: j * j, 148)
    assert context(day)["jerk_1min"] == 0
    assert context(day, toy_touch(day, k=144))["jerk_1min"] is None
    has(context(day, toy_touch(day, k=144)), {"acceleration_1min": 2.5})
    has(context(day, toy_touch(day, k=28)), {"acceleration_1min": 2.5})  # 0, 4, … 28
    has(context(day, toy_touch(day, k=27)), dict.fromkeys(f"{what}_1min" for what in FIT))  # 3, 7, … 27


def test_only_good_books_are_points():
    day = path_day(263, lambda j: j * j, 260)
    for k in range(260 - 4 * 52, 261):
        day.snaps[k]["book_ok"] = 0
    values = context(day)  # of the last minute j = 53 … 59 are left: seven
    has(values, dict.fromkeys(f"{what}_1min" for what in FIT) | {"acceleration_3min": 2.5, "path_efficiency_3min": 1})


def test_a_mid_that_stands_still_has_no_path():
    has(context(quiet(41, k=40)), {"velocity_1min": 0, "fit_error_1min": 0, "path_efficiency_1min": None})


@pytest.mark.parametrize("minutes", [1, 3])
def test_the_fit_is_that_of_numpy(minutes):
    """A random walk with holes: weighted least squares by another program; numpy's weights multiply the residuals."""
    walk, rng = [0], random.Random(minutes)
    for _ in range(200):
        walk.append(walk[-1] + rng.randint(-3, 3))
    day = path_day(750, lambda j: walk[min(abs(j), 200)], 745)
    for snap in day.snaps:
        snap["book_ok"] = int(rng.random() > 0.2)
    n, touch = 60 * minutes, day.touches[0]
    found = kinematics(rows_of(day), touch, minutes, CONFIG)
    j, doubled = np.array(fit_points(rows_of(day), touch, minutes, CONFIG)).T
    x = doubled / 2 / POINT / touch["sigma"]
    half_a, v, c = np.polyfit(-j, x, 2, w=np.sqrt(n - j))
    residuals = x - (c - v * j + half_a * j**2)
    error = math.sqrt((residuals**2 * (n - j)).sum() / (n - j).sum()) / math.sqrt(n)
    late, early = j < n / 2, j >= n / 2
    jerk = 2 * np.polyfit(-j[late], x[late], 2, w=np.sqrt(n / 2 - j[late]))[0]
    jerk = (jerk - 2 * np.polyfit(-j[early], x[early], 2, w=np.sqrt(n - j[early]))[0]) / (n / 2)
    for what, value in (("velocity", v), ("acceleration", 2 * half_a), ("fit_error", error), ("jerk", jerk)):
        assert float(found[f"{what}_{minutes}min"]) == approx(value, rel=1e-8)


def test_one_point_aside():
    """Nine points of weight 1 at 0 but for the middle one, which is 1.

    Over tau = -4 … 4 the parabola 3 tau^2 - 20 is orthogonal to 1 and tau, has the squares 2,772 and is -20 in the middle.
    """
    c, v, a = parabola([(tau, int(tau == 0), 1) for tau in range(-4, 5)])
    assert (c, v, a) == (Fraction(1, 9) + Fraction(400, 2772), 0, 2 * 3 * Fraction(-20, 2772))


# ---- barrier before the touch, attacking side ----


def barrier_path(before, after, m=toy_days.RISING_M, **touch):
    """`before` until snap 99, `after` from 100 on; a touch at snap 300."""
    day = toy_day(400, {0: before, 100: after})
    day.touches.append(toy_touch(day, k=300, m=m, **touch))
    return day


def test_change_of_the_barrier():
    """m_j = 5, 10, … 50 and D = 225. Asks from 24000 on: 90 lots, 225 expected; from 24004 on: 50 lots, 75 expected.

    So it has 110 lots more than the shift explains. A minute before the touch is snap 60, three and five minutes end at snap 0.
    """
    values = context(barrier_path(QUIET_BOOK, ladder(L + 3, L + 4)))
    has(values, dict.fromkeys(("barrier_delta_1min", "barrier_delta_3min", "barrier_delta_5min"), (-40 + 150) / 225))
    later = barrier_path(QUIET_BOOK, ladder(L + 3, L + 4))
    has(context(later, toy_touch(later, k=341, m=toy_days.RISING_M)), {"barrier_delta_1min": 0, "barrier_delta_3min": 110 / 225})


def test_change_of_the_mirrored_barrier():
    values = context(barrier_path(ladder(L, L + 1), ladder(L - 4, L - 3), direction="DOWN"))
    has(values, {"barrier_delta_1min": 110 / 225})


def test_change_of_a_barrier_of_which_little_is_shown():
    """Asks from 23995 on are shown up to 24004, five of the nine: 50 and 50 lots, 5 + … + 25 and 30 + … + 50 expected."""
    has(context(barrier_path(QUIET_BOOK, ladder(L - 6, L - 5))), {"barrier_delta_1min": -125 / 225})
    has(context(barrier_path(ladder(L - 6, L - 5), QUIET_BOOK)), {"barrier_delta_1min": 125 / 225})
    has(context(barrier_path(QUIET_BOOK, ladder(L - 7, L - 6))), {"barrier_delta_1min": None})
    has(context(barrier_path(QUIET_BOOK, ladder(L - 1, L, ask_shown=0))), {"barrier_delta_1min": None})


def test_change_of_a_barrier_without_references():
    """m_09 alone is unknown: D is known, the price ten ticks behind the best of 23990 is not; of m_00 all is null."""
    m = (*toy_days.RISING_M[:9], None)
    has(context(barrier_path(QUIET_BOOK, ladder(L + 3, L + 4), m=m)), {"barrier_delta_1min": 110 / 225})
    has(context(barrier_path(QUIET_BOOK, ladder(L - 6, L - 5, asks=(10,) * 9), m=m)), {"barrier_delta_1min": None})
    nothing = context(barrier_path(QUIET_BOOK, QUIET_BOOK, m=(None,) * 10))
    has(
        nothing, {"barrier_delta_1min": None, "attacking_depth": 80, "depth_imbalance": None, "approach_attacking_added_rate": None}
    )


def test_attacking_depth():
    """Bids of 23999 … 23990: eight of the nine prices of the zone 24000 … 23992 hold ten lots; the asks hold 90."""
    has(context(quiet(41)), {"attacking_depth": 80, "depth_imbalance": -10 / 170})
    has(context(quiet(41, direction="DOWN")), {"attacking_depth": 90, "depth_imbalance": 10 / 170})
    day = toy_days.barrier_day({}, book=ladder(L + 5, L + 6))
    has(context(day, k=20), {"attacking_depth": 80})
    has(context(day, k=21), {"attacking_depth": 50, "depth_imbalance": (50 - 30) / 80})  # bids down to 23996, asks 24006 … 24008
    has(context(toy_days.barrier_day({}, book=ladder(L + 6, L + 7)), k=21), {"attacking_depth": None, "depth_imbalance": None})
    has(context(toy_days.barrier_day({}, book=ladder(None, L + 9)), k=21), {"attacking_depth": 0, "depth_imbalance": None})


def test_flow_of_the_attacking_side():
    """Before the touch at snap 300: 9 lots of snap 61, not those of 60. After it 6, 60 and 90 lots at 2.5 and 80 s."""
    flow = {
        (60, "B", L): (999, 0, 0),
        (61, "B", L): (9, 18, 27),
        (200, "B", L - 9): (999, 0, 0),
        (200, "A", L): (999, 0, 0),
        (305, "B", L - 8): (6, 0, 90),
        (600, "B", L - 4): (90, 60, 0),
    }
    day = toy_day(700, {0: QUIET_BOOK}, flow=flow)
    touch, names = toy_touch(day, k=300), ("attacking_added_rate", "attacking_pulled_rate", "attacking_filled_rate")
    for k in (300, 310):
        has(context(day, touch, k), {f"approach_{name}": lots / 60 / 90 for name, lots in zip(names, (9, 18, 27), strict=True)})
    has(context(day, touch), dict.fromkeys(names))
    has(context(day, touch, 310), {name: lots / 2.5 / 90 for name, lots in zip(names, (6, 0, 90), strict=True)})
    has(context(day, touch, 620), {name: lots / 60 / 90 for name, lots in zip(names, (90, 60, 0), strict=True)})
    early = toy_touch(day, k=80)
    has(context(day, early), {f"approach_{name}": lots / 20 / 90 for name, lots in zip(names, (1008, 18, 27), strict=True)})
    day.snaps[310].update(ladder(L - 1, L, bid_shown=0))
    has(context(day, touch, 310), dict.fromkeys(("attacking_depth", *names)) | {"approach_attacking_added_rate": 9 / 60 / 90})
    has(context(day, touch, 312), {"attacking_added_rate": 6 / 3 / 90})


def test_flow_of_the_other_attacking_side():
    day = toy_day(41, {0: QUIET_BOOK}, flow={(25, "A", L + 8): (6, 0, 9), (26, "A", L - 1): (999, 0, 0), (27, "B", L): (999, 0, 0)})
    has(context(day, toy_touch(day, "DOWN"), 30), {"attacking_added_rate": 6 / 2.5 / 90, "attacking_filled_rate": 9 / 2.5 / 90})


# ---- approach and dwell ----


def bars(*closes, reach=1):
    """1-minute bars of so many ticks from the level, that range `reach` ticks to either side of the close; None: unknown."""
    return [
        {
            "minutes": 1, "k": 240 * i, "ts": OPEN + 60 * SECOND * i, "volume": 0, "prints": 0,
            **dict.fromkeys(("open", "high", "low", "close")),
            **({} if c is None else {"open": L + c, "high": L + c + reach, "low": L + c - reach, "close": L + c}),
        }
        for i, c in enumerate(closes, 1)
    ]  # fmt: skip


def approached(day, *closes, **touch):
    return context(day, toy_touch(day, **touch), bars1=bars(*closes))


def test_approach_of_the_bars():
    """Thirteen bars, the last after the touch at 12 min 15 s; the first two are too old. From -20 to -2 ticks in nine minutes."""
    day = quiet(3000)
    closes = (-99, 99, -20, -18, -16, -17, -12, -12, -8, -6, -4, -2, 50)
    values = approached(day, *closes, k=2940, atr=2.5)
    has(
        values,
        {"approach_velocity": 4.5 / 9, "approach_bars": 4, "approach_distance": 21 / 4, "approach_distance_atr": 21 / 4 / 2.5},
    )
    down = approached(day, *closes, k=2940, direction="DOWN", atr=0.0)
    has(down, {"approach_velocity": -4.5 / 9, "approach_bars": 0, "approach_distance": 0, "approach_distance_atr": None})
    away = approached(day, *(-c for c in closes), k=2940, direction="DOWN", atr=None)
    has(away, {"approach_velocity": 4.5 / 9, "approach_bars": 4, "approach_distance": 21 / 4, "approach_distance_atr": None})


def test_a_bar_that_closes_at_the_touch_is_closed():
    day = quiet(3000)
    has(approached(day, -4, -2, k=480), {"approach_velocity": 0.5, "approach_bars": 1, "approach_distance": 1.25})
    has(approached(day, -4, -2, k=479), {"approach_velocity": None, "approach_bars": 0, "approach_distance": 1.25})


def test_bars_without_prices():
    """The first two minutes have no print yet; of the two others one closes lower than the other."""
    day = quiet(3000)
    has(approached(day, None, None, -4, -6, k=960), {"approach_velocity": -0.5, "approach_bars": 0, "approach_distance": 1.75})
    nothing = approached(day, None, None, k=600)
    has(
        nothing,
        {"approach_velocity": None, "approach_bars": 0, "approach_distance": None, "approach_distance_atr": None},
    )
    has(approached(day, 9, 12, k=600), {"approach_distance": 0})  # all of it beyond the level


def test_bars_in_a_row_are_counted_within_the_ten():
    day = quiet(3000)
    has(approached(day, *range(-12, 0), k=2999), {"approach_bars": 9, "approach_velocity": 0.25})


def test_time_in_the_zone():
    """The mid comes to 8 ticks below the level at snap 40, is unknown in snaps 50 … 54 and leaves at 60."""
    books = {
        0: ladder(L - 9, L - 8),
        40: ladder(L - 9, L - 7),
        50: ladder(None, L),
        55: ladder(L - 9, L - 7),
        60: ladder(L + 8, L + 9),
    }
    day = toy_day(700, books)
    has(context(day, toy_touch(day, k=100)), dict.fromkeys(("time_in_zone_60s", "time_in_zone_300s", "time_in_zone_1200s"), 15 / 4))
    has(context(day, toy_touch(day, k=285)), {"time_in_zone_60s": 9 / 4, "time_in_zone_300s": 15 / 4})  # snaps 46 … 49, 55 … 59
    has(context(day, toy_touch(day, k=40)), {"time_in_zone_60s": 1 / 4})
    has(context(day, toy_touch(day, "DOWN", k=100, price=L * TICK + 1)), {"time_in_zone_60s": 0})


def test_entries_before_the_touch():
    """Snap 10: 10 ticks away, then one: an entry. Snap 11 begins within the band; 20 jumps over it; 30 is the touch's own."""
    trades = [(5, 1, L - 10, 1, "B"), (10, 1, L - 1, 1, "B"), (11, 1, L, 1, "B"), (15, 1, L - 5, 1, "A")]
    trades += [(20, 1, L + 3, 1, "B"), (25, 1, L + 2, 1, "A"), (30, 1, L + 1, 1, "A"), (40, 1, L + 9, 1, "B"), (50, 1, L, 1, "A")]
    day = toy_day(300, {0: QUIET_BOOK}, trades)
    has(context(day, toy_touch(day, k=30)), dict.fromkeys(("touch_count_60s", "touch_count_300s", "touch_count_1200s"), 2))
    has(context(day, toy_touch(day, "DOWN", k=31)), {"touch_count_60s": 3})
    has(context(day, toy_touch(day, k=250)), {"touch_count_60s": 3, "touch_count_300s": 4})  # (10, 250)
    has(context(day, toy_touch(day, k=249)), {"touch_count_60s": 4})
    # a level half a tick higher: one tick below it is outside of the band, then 24000 comes in; 20 crosses, 30 is a tick above
    has(context(day, toy_touch(day, k=31, price=L * TICK + TICK // 2)), {"touch_count_60s": 3})
