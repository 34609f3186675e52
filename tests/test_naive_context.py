"""The naive twin of physics.md, section 4.5, and what it made new in sections 2 and 7, against numbers worked out by hand.

Most days have the level at 6000.00 (24,000 ticks), ten lots at every price, m_j = 10 and so D = 90, and sigma = .1.
"""

import math
import random
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from pytest import approx

from spymaster_assets.config import Config
from spymaster_assets.features.context import CONTEXT
from tests import naive_fuel, toy_days
from tests.naive_context import DEPTHS, context_at_touch, fit_points, kinematics, naive_context, parabola
from tests.naive_grid import naive_bars
from tests.naive_labels import LOADINGS, SESSION_COLUMNS, naive_day_summary, naive_priors
from tests.naive_physics import Rows, approach_columns
from tests.naive_touches import KINDS, naive_levels, naive_touches, nearest_root
from tests.toy_days import INTERVAL, OPEN, QUIET_BOOK, SECOND, TICK, L, ladder, toy_day, toy_session, toy_touch


def changed(config, group, **values):
    return config.model_copy(update={group: getattr(config, group).model_copy(update=values)})


WEIGHTS = dict.fromkeys(KINDS, 0.5) | {"OR_HIGH": 0.8, "SMA_200": 1.0, "ROUND": 0.25, "CALL_WALL": 1.0}
CONFIG = changed(Config(), "levels", weights=SimpleNamespace(**WEIGHTS))
EXACT = changed(CONFIG, "instrument", point=Fraction(CONFIG.instrument.point), tick=Fraction(CONFIG.instrument.tick))
EXACT = changed(EXACT, "grid", interval_ns=Fraction(CONFIG.grid.interval_ns))
POINT = CONFIG.instrument.point
FIT = ("velocity", "acceleration", "jerk", "fit_error", "path_efficiency")
NAMES = {feature.name for feature in CONTEXT}


def rows_of(day):
    return Rows(day.snaps, day.prints, day.flow)


def context(day, touch=None, k=None, priors=None, levels=(), bars1=None, touches=None, config=CONFIG):
    """What the twin says of a touch, at t0 if no moment is named."""
    touch, rows = touch or day.touches[0], rows_of(day)

    def approach(other):
        found = approach_columns(rows, other, day.session, config, priors)
        return {f"approach_{name}": value for name, value in found.items()}

    bars1 = day.bars1 if bars1 is None else bars1
    k = touch["k"] if k is None else k
    return naive_context(rows, touch, k, day.session, config, priors, list(levels), bars1, touches or [touch], approach)


def has(values, expected):
    """Whether the named values are as expected; None exactly, numbers within rounding."""
    assert {name: values[name] for name in expected} == approx(expected)


def all_priors(**columns):
    return [{"bucket": bucket, "dates": 20, "consumed_share": None, "cluster_p99": None, **columns} for bucket in range(144)]


def loadings(*values):
    return dict(zip(LOADINGS, (*values, *(0.0,) * (DEPTHS - len(values))), strict=True))


def quiet(count, **touch):
    """A day on which nothing moves, with one touch."""
    day = toy_day(count, {0: QUIET_BOOK})
    day.touches.append(toy_touch(day, **touch))
    return day


def mid_book(mid2):
    """A book whose best prices sum to mid2: one or two ticks wide, ten lots at every price."""
    bid = (mid2 - 1) // 2
    return ladder(bid, mid2 - bid)


def path_day(count, offset, k, **touch):
    """A day whose doubled mid is that of the level + offset(seconds before snap k), with a touch there."""
    day = toy_day(count, {j: mid_book(2 * L + offset(-((j - k) // 4))) for j in range(count)})
    day.touches.append(toy_touch(day, k=k, **touch))
    return day


def test_every_column_is_there_on_every_toy_day():
    for _, day in toy_days.all_days():
        for touch in day.touches:
            for k in (touch["k"], touch["k"] + 10):
                assert set(context(day, touch, k)) == NAMES


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


# ---- surroundings: level 6000, mid 5999.875 ----


def level(kind, points, start=0, end=10_000):
    """A row of levels that holds over (start, end] seconds."""
    price = round(points * POINT)
    return {
        "kind": kind, "price": price, "ticks": price // TICK,
        "valid_from": OPEN + start * SECOND, "valid_to": OPEN + end * SECOND,
    }  # fmt: skip


AROUND = [
    level("PM_HIGH", 6000), level("PM_LOW", 5990), level("OR_HIGH", 6002), level("OR_LOW", 5998), level("SMA_200", 6005),
    level("SMA_400", 5995), level("VWAP", 6010), level("ROUND", 6000), level("CALL_WALL", 6050),
    level("PD_HIGH", 6001, 5, 9), level("PD_LOW", 6001, 0, 4.75), level("ON_HIGH", 6001.5, 4.75, 5),
]  # fmt: skip


def test_distances():
    """ATR 1.25, sigma .1: 4 minutes are .1 sqrt(240) points. The touch's own kind, and what does not hold at 5 s, has none."""
    day = quiet(41, atr=1.25)
    values = context(day, levels=AROUND)
    spread = 0.1 * math.sqrt(240)
    expected = {"pm_low": -9.875, "or_high": 2.125, "or_low": -1.875, "sma_200": 5.125, "sma_400": -4.875, "pm_high": None}
    for kind, points in expected.items():
        has(values, {f"dist_to_{kind}": points})
        has(values, {f"dist_to_{kind}_atr": points and points / 1.25, f"dist_to_{kind}_sigma": points and points / spread})
    expected = {"vwap": 10.125, "round": 0.125, "call_wall": 50.125, "on_high": 1.625}
    has(values, {f"dist_to_{kind}_sigma": points / spread for kind, points in expected.items()})
    has(
        values,
        {f"dist_to_{kind}_sigma": None for kind in ("pd_high", "pd_low", "pd_close", "put_wall", "vwap_upper", "vwap_lower")},
    )
    down = context(day, toy_touch(day, "DOWN", atr=0.0, sigma=None), levels=AROUND)
    has(down, {"dist_to_pm_low": 9.875, "dist_to_pm_low_atr": None, "dist_to_pm_low_sigma": None, "dist_to_vwap_sigma": None})


def test_distances_from_no_mid():
    day = toy_day(41, {0: ladder(L - 1, None)})
    values = context(day, toy_touch(day), levels=AROUND)
    has(values, {"dist_to_pm_low": None, "dist_to_pm_low_atr": None, "dist_to_pm_low_sigma": None, "level_stacking_2pt": 4})


def test_stacking_and_confluence():
    """Within 2 points 6002, 5998, 6000, 6001.5; within 5 both averages more; within 10 also 5990, 6010. 6050 is far.

    Weights .8, .5, .25, .5, 1, .5 within 5 points, and .5, .5, 1 beyond.
    """
    values = context(quiet(41), levels=AROUND)
    near = 0.8 * (1 - 2 / 5) + 0.5 * (1 - 2 / 5) + 0.25 + 0.5 * (1 - 1.5 / 5)
    has(
        values,
        {
            "level_stacking_2pt": 4, "level_stacking_5pt": 6, "level_stacking_10pt": 8,
            "confluence_count": 3.55, "confluence_pressure": near / 5.55, "confluence_alignment": 1,
        },
    )  # fmt: skip
    lonely = context(quiet(41), levels=AROUND[:1])
    has(lonely, {"level_stacking_10pt": 0, "confluence_count": 0, "confluence_pressure": None, "confluence_alignment": None})
    far = context(quiet(41), levels=[level("PM_LOW", 5990)])
    has(far, {"level_stacking_5pt": 0, "level_stacking_10pt": 1, "confluence_count": 0, "confluence_pressure": 0})
    a_nano_more = context(quiet(41), levels=[level("PM_LOW", 5990) | {"price": 5990 * POINT - 1}])
    has(a_nano_more, {"level_stacking_10pt": 0})


def test_alignment():
    """The averages of 6005 and 5995 stand with a rise; .05 points apart they do not stand at all. The own kind counts here."""
    day = quiet(41)
    has(context(day, toy_touch(day, "DOWN"), levels=AROUND), {"confluence_alignment": -1})
    has(context(day, toy_touch(day, kind="SMA_400"), levels=AROUND), {"confluence_alignment": 1, "dist_to_sma_400": None})
    equal = [level("SMA_200", 5999.95), level("SMA_400", 6000)]
    has(context(day, levels=equal), {"confluence_alignment": 0})
    equal[0]["price"] -= 1
    has(context(day, levels=equal), {"confluence_alignment": -1})
    has(context(day, levels=equal[:1]), {"confluence_alignment": None})


def test_runway():
    """Up: 6001.5 and VWAP are weak, 6002 has weight .8. Down: 5998 and 5995 are weak, and 5990: nothing."""
    day, spread = quiet(41), 0.1 * math.sqrt(240)
    has(context(day, levels=AROUND), {"runway": 2, "runway_sigma": 2 / spread})
    has(context(day, toy_touch(day, "DOWN"), levels=AROUND), {"runway": None, "runway_sigma": None})
    has(context(day, toy_touch(day, "DOWN"), levels=[*AROUND, level("PUT_WALL", 5970), level("CALL_WALL", 5980)]), {"runway": 20})
    has(context(day, toy_touch(day, kind="OR_HIGH", sigma=None), levels=AROUND), {"runway": 5, "runway_sigma": None})
    has(context(day, levels=[level("SMA_200", 6000)]), {"runway": None})  # at the level, not beyond it


# ---- force and mass ----


def forced(**touch):
    """Bought 30, sold 10 lots in the 30 s before the touch at snap 260; 45 lots of imbalance at the best; a parabola of mids."""
    trades = [(140, 1, L, 500, "B"), (141, 1, L, 30, "B"), (260, 1, L, 10, "A"), (250, 1, L, 7, "N"), (261, 1, L, 500, "B")]
    day = toy_day(280, {k: mid_book(2 * L + ((260 - k) // 4) ** 2) for k in range(280)}, sorted(trades))
    for snap in day.snaps:
        snap["ofi_00"] = 45 * (snap["k"] > 200)
    day.touches.append(toy_touch(day, k=260, **touch))
    return day


def test_force_and_mass():
    """.5 of the imbalance, 20 lots of 100: .7 over 1 + 80/80 (24000 is better than the best). a = .25 points/s^2."""
    usual = all_priors(**loadings(2.0), acceleration_coefficient=0.5)
    has(context(forced(), priors=usual), {"force_mass_ratio": 0.35, "predicted_accel": 0.175, "accel_residual": 0.25 - 0.175})
    down = context(forced(direction="DOWN"), priors=usual)
    has(down, {"force_mass_ratio": -0.35, "predicted_accel": -0.175, "accel_residual": -0.25 + 0.175})
    heavier = context(forced(m=(5,) * 10), priors=usual)  # D = 45, wall ratio 2
    has(heavier, {"force_mass_ratio": 1.2 / 3})


def test_unknown_force():
    usual = all_priors(**loadings(2.0), acceleration_coefficient=0.5)
    nothing = dict.fromkeys(("force_mass_ratio", "predicted_accel", "accel_residual"))
    has(context(forced()), nothing)
    has(context(forced(minute_volume=0.0), priors=usual), nothing)
    has(context(forced(minute_volume=None), priors=usual), nothing)
    has(context(forced(m=(None,) * 10), priors=usual), nothing)
    has(context(forced(), priors=all_priors(**loadings(2.0))), nothing | {"force_mass_ratio": 0.35})
    has(context(forced(sigma=None), priors=usual), {"predicted_accel": 0.175, "accel_residual": None})


# ---- volatility ----


def jump_day(**touch):
    """The mid rises by a point at snap 30: the return from sample 20 to sample 40."""
    day = toy_day(300, {0: QUIET_BOOK, 30: ladder(L + 3, L + 4)})
    day.touches.append(toy_touch(day, **touch))
    return day


def test_realized_volatility():
    """Samples at snaps 20, 40, …; of a touch at 240 eleven returns of 5 s, at 279 the twelve of (39, 279], at 280 none jumps."""
    day = jump_day(k=240)
    has(context(day), {f"realized_volatility_{minutes}min": math.sqrt(1 / 55) for minutes in (1, 5, 20)})
    has(context(day, toy_touch(day, k=279)), {"realized_volatility_1min": math.sqrt(1 / 60)})
    has(context(day, toy_touch(day, k=280)), {"realized_volatility_1min": 0, "realized_volatility_5min": math.sqrt(1 / 65)})
    has(context(day, toy_touch(day, k=39)), dict.fromkeys(f"realized_volatility_{minutes}min" for minutes in (1, 5, 20)))


def test_realized_volatility_over_holes():
    """No good book at snaps 21 … 139: samples 20 and 140 are 30 s apart, a return; a snap later they are not."""
    day = jump_day(k=140)
    for k in range(21, 140):
        day.snaps[k]["book_ok"] = 0
    has(context(day), {"realized_volatility_1min": math.sqrt(1 / 30)})
    day.snaps[140]["book_ok"] = 0
    has(context(day, toy_touch(day, k=200)), {"realized_volatility_1min": 0})


# ---- clock, attempts ----


def attempts():
    """Touches of two kinds; a break at 20 s after the first (2 points above it), a bounce 25 s after the third, from above."""
    trades = [(60, 250, L + 7, 1, "B"), (100, 250, L + 8, 1, "B"), (101, 250, L - 8, 1, "A"), (1400, 250, L + 9, 1, "B")]
    day = toy_day(5000, {0: QUIET_BOOK}, trades, session=toy_session(regular=2))
    day.touches += [
        toy_touch(day, touch=0),
        toy_touch(day, "DOWN", k=50, kind="OR_LOW", touch=1),
        toy_touch(day, "DOWN", k=1300, touch=2, attempt_index=2),
        toy_touch(day, k=2400, touch=3, attempt_index=3),
        toy_touch(day, k=3500, touch=4, attempt_index=4),
    ]
    return day


def at_touch(day, number):
    return context(day, day.touches[number], touches=day.touches)


def outcomes(breaks, bounces, chops, last):
    return {"prior_breaks": breaks, "prior_bounces": bounces, "prior_chops": chops, "last_outcome": last}


def test_attempts():
    day = attempts()
    first = {"attempt_index": 1, "minutes_since_open": 3 / 60, "minutes_since_touch": None, **outcomes(0, 0, 0, None)}
    has(at_touch(day, 0), first)
    has(at_touch(day, 1), {"minutes_since_touch": None, **outcomes(0, 0, 0, None)})
    second = {"attempt_index": 2, "minutes_since_open": 323 / 60, "minutes_since_touch": 320 / 60, **outcomes(1, 0, 0, 1)}
    has(at_touch(day, 2), second)
    has(at_touch(day, 3), {"minutes_since_touch": 275 / 60, **outcomes(1, 1, 0, -1)})
    has(at_touch(day, 4), {"minutes_since_touch": 275 / 60, **outcomes(1, 1, 1, 0)})


def test_an_attempt_is_open_until_a_print_or_four_minutes():
    """A touch at snap 20 on a day whose prints stay within 2 points: a chop at snap 980, not at 979."""
    day = toy_day(1200, {0: QUIET_BOOK}, [(60, 250, L + 7, 1, "B"), (980, 250, L - 8, 1, "A")])
    before = toy_touch(day)
    for k, expected in ((979, outcomes(0, 0, 0, None)), (980, outcomes(0, 1, 0, -1)), (1100, outcomes(0, 1, 0, -1))):
        has(context(day, toy_touch(day, k=k, touch=1), touches=[before]), expected)
    before = toy_touch(day, k=19)  # the print is a snap too late
    for k, expected in ((978, outcomes(0, 0, 0, None)), (979, outcomes(0, 0, 1, 0)), (1100, outcomes(0, 0, 1, 0))):
        has(context(day, toy_touch(day, k=k, touch=1), touches=[before]), expected)


def test_a_touch_that_was_over_at_once_does_not_count():
    """Its entry snap reached the 2 points of 4 minutes, but not 2.25. The one before it is the last with an outcome."""
    day = attempts()
    day.touches[2] = toy_touch(day, "DOWN", k=1300, touch=2, entry=(L - 8, L))
    has(at_touch(day, 3), {"minutes_since_touch": 275 / 60, **outcomes(1, 0, 0, 1)})
    day.touches[2] = toy_touch(day, "DOWN", k=1300, touch=2, entry=(L - 8, L), thetas=(4, 9, 9))
    has(at_touch(day, 3), outcomes(1, 1, 0, -1))


def test_trends():
    """Against the first earlier touch of the kind from the same side, whatever happened in between."""
    day = attempts()
    found = ((1.5, 0.25, None, 0.5), (9.0,) * 4, (2.0, 0.5, 1.0, 0.5), (5.0,) * 4, (4.0, 0.0, 1.0, -0.5))
    columns = ("replenishment_ratio", "barrier_delta_share", "tape_velocity", "tape_imbalance")

    def approach(touch):
        return {f"approach_{name}": value for name, value in zip(columns, found[touch["touch"]], strict=True)}

    def trends(number):
        rows, touch = rows_of(day), day.touches[number]
        values = context_at_touch(rows, touch, day.session, CONFIG, None, [], [], day.touches, approach)
        names = ("barrier_replenishment_trend", "barrier_delta_liq_trend", "tape_velocity_trend", "tape_imbalance_trend")
        return [values[name] for name in names]

    assert trends(0) == trends(1) == trends(2) == [None] * 4
    assert trends(3) == [3.5, 4.75, None, 4.5]
    assert trends(4) == [2.5, -0.25, None, -1.0]


# ---- mirror, exactness ----


def restless(seed=1):
    """A day of 650 s on which everything moves, with some touches, levels and priors."""
    rng, mid2, books, trades, flow = random.Random(seed), 2 * L, {}, [], {}
    for k in range(2601):
        mid2 += rng.choice((-2, -1, 0, 0, 0, 1, 2)) - (mid2 > 2 * L + 6) + (mid2 < 2 * L - 6)
        width = rng.choice((1, 1, 1, 2, 3)) // 2
        bid = (mid2 - 1) // 2 - width
        sizes = [[rng.randint(0, 30) for _ in range(rng.choice((10, 10, 10, 9)))] for _ in "BA"]
        books[k] = ladder(bid, mid2 - bid, *sizes)
        if rng.random() < 0.01:
            books[k] = ladder(None, mid2 - bid, *sizes)
        times = sorted(rng.sample(range(1, 250), rng.randint(0, 2)))
        trades += [(k, ms, mid2 // 2 + rng.randint(-1, 1), rng.randint(1, 20), rng.choice("BBAAN")) for ms in times]
        for _ in range(2):
            flow[k, rng.choice("BA"), L + rng.randint(-12, 12)] = tuple(rng.randint(0, 9) for _ in range(3))
    day = toy_day(2601, books, [trade for trade in trades if trade[0]], flow, quiet=set(rng.sample(range(2601), 200)))
    for snap, earlier in zip(day.snaps[1:], day.snaps, strict=False):
        snap.update({f"ofi_{i:02}": earlier[f"ofi_{i:02}"] + rng.randint(-9, 9) for i in range(10)})
    m = [rng.randint(1, 20) / 2 for _ in range(10)]
    for number, k in enumerate((20, 700, 1400, 2590)):
        day.touches.append(toy_touch(day, "UP" if number != 1 else "DOWN", k=k, m=m, touch=number, sigma=0.123, thetas=(8, 20, 40)))
    levels = [level(kind, 6000 + rng.randint(-40, 40) / 4) for kind in KINDS]
    return day, levels, all_priors(**loadings(*(rng.random() for _ in range(10))), acceleration_coefficient=0.07)


def reflected(day, levels):
    """Book, tape and levels reflected through the level of the touches, 6000."""
    other = {"A": "B", "B": "A", "N": "N"}

    def turned(value, about=2 * L):
        return None if value is None else about - value

    snaps = []
    for snap in day.snaps:
        row = snap | {"mid2": turned(snap["mid2"], 4 * L)}
        for i in range(10):
            for one, two in (("bid", "ask"), ("ask", "bid")):
                row[f"{one}_ticks_{i:02}"] = turned(snap[f"{two}_ticks_{i:02}"])
                row[f"{one}_size_{i:02}"] = snap[f"{two}_size_{i:02}"]
            row[f"ofi_{i:02}"] = -snap[f"ofi_{i:02}"]
        row |= {"bid_shown": snap["ask_shown"], "ask_shown": snap["bid_shown"], "last": turned(snap["last"])}
        snaps.append(row | {"high": turned(snap["low"]), "low": turned(snap["high"])})
    prints = [row | {"ticks": turned(row["ticks"]), "side": other[row["side"]]} for row in day.prints]
    flow = [row | {"ticks": turned(row["ticks"]), "side": other[row["side"]]} for row in day.flow]
    bars1 = [
        row | {"open": turned(row["open"]), "close": turned(row["close"]), "high": turned(row["low"]), "low": turned(row["high"])}
        for row in day.bars1
    ]
    touches = [
        touch | {"direction": {"UP": "DOWN", "DOWN": "UP"}[touch["direction"]], "entry_high": L, "entry_low": L}
        for touch in day.touches
    ]
    mirror = toy_days.ToyDay(snaps, prints, flow, bars1, day.session, touches)
    return mirror, [row | {"price": 2 * L * TICK - row["price"]} for row in levels]


def test_the_mirrored_day_is_the_same():
    """No column changes when book, tape and levels are reflected through the level: all point toward the break."""
    day, levels, usual = restless()
    mirror, mirrored = reflected(day, levels)
    known = set()
    for touch, other in zip(day.touches, mirror.touches, strict=True):
        k = touch["k"] + 10
        values = context(day, touch, k, usual, levels, touches=day.touches)
        assert values == context(mirror, other, k, usual, mirrored, touches=mirror.touches)
        known |= {name for name, value in values.items() if value is not None}
    assert NAMES - known == {"dist_to_pm_high", "dist_to_pm_high_atr", "dist_to_pm_high_sigma"}


def test_fractions_give_the_same():
    """With instrument and grid in fractions, and the touch too, as tests/test_silver_twins.py has them."""
    day, levels, usual = restless()
    for touch in day.touches:
        exact = {name: Fraction(value) if isinstance(value, float) and name != "sigma" else value for name, value in touch.items()}
        values = context(day, exact, touch["k"] + 10, usual, levels, touches=day.touches, config=EXACT)
        has(values, context(day, touch, touch["k"] + 10, usual, levels, touches=day.touches))
        rounded = {name for name, value in values.items() if isinstance(value, float)}
        assert {name for name in rounded if not name.endswith("_sigma") and not name.startswith(("fit_error", "realized"))} == set()


# ---- 2 levels of the context ----


def levels_of(trades, count=2401, regular=120, kinds=KINDS, **given):
    """{kind: [(price in points, from, to)]} in seconds from the open, of a day whose 09:30 is two minutes after it."""
    session, prints = toy_session(regular=regular), toy_days.toy_prints(trades)
    config = changed(CONFIG, "levels", context_kinds=tuple(kind for kind in kinds if kind not in CONFIG.levels.signal_kinds))
    rows = naive_levels(prints, naive_bars(prints, OPEN, count - 1, 2), session, config, **given)
    assert rows == sorted(rows, key=lambda row: (row["valid_from"], KINDS.index(row["kind"])))
    found = {}
    for row in rows:
        assert row["ticks"] == (2 * row["price"] + TICK) // (2 * TICK)
        start, end = ((row[name] - OPEN) // SECOND for name in ("valid_from", "valid_to"))
        found.setdefault(row["kind"], []).append((row["price"] / POINT, start, end))
    return found


TRADES = [
    (0, 250, L - 99, 1, "B"),  # up to the open
    (1, 1, L - 4, 5, "B"),
    (480, 250, L + 4, 5, "B"),  # at 09:30
    (481, 1, L, 2, "B"),
    (960, 250, L + 3, 1, "N"),  # at the first close after it
    (961, 1, L + 99, 1, "A"),
]
END = 82_800  # of Globex


def test_levels_overnight():
    """Of (open, 09:30]: not the print of the open, the one of 09:30; nothing without prints."""
    found = levels_of(TRADES, snaps=[])
    assert found["ON_HIGH"] == [(6001, 120, END)]
    assert found["ON_LOW"] == [(5999, 120, END)]
    assert "ON_HIGH" not in levels_of(TRADES[3:], snaps=[])


def test_levels_of_the_average_price():
    """Twice 6000 and once 6000.75: 6000.25, variance .125. The average of 2, 1 and 1 lots with 6024.75: 6006.375."""
    found = levels_of(TRADES, count=1441, snaps=[])
    assert [row[1:] for row in found["VWAP"]] == [(240, 360), (360, 480)]
    assert found["VWAP"][0][0] == 6000.25
    assert found["VWAP_UPPER"][0][0] == 6000.603553391  # .3535533906
    assert found["VWAP_LOWER"][0][0] == 5999.896446609
    assert found["VWAP"][1][0] == 6006.375
    assert "VWAP" not in levels_of(TRADES[:3], snaps=[])


def test_nearest_root():
    assert [nearest_root(Fraction(n, 4)) for n in (0, 1, 9, 8, 25, 24)] == [0, 1, 2, 1, 3, 2]
    assert nearest_root(Fraction(9, 4) - Fraction(1, 10**30)) == 1
    assert nearest_root(10**36) == 10**18


def test_round_levels():
    """The last print at 09:30 is 6001, then 6000.75, then 6024.75; half of 25 points rounds up."""
    found = levels_of(TRADES, count=1441, snaps=[])
    assert found["ROUND"] == [(6000, 120, 240), (6000, 240, 360), (6025, 360, 480)]
    assert levels_of([(1, 1, L + 50, 1, "B")], count=481, snaps=[])["ROUND"] == [(6025, 120, 240)]
    assert levels_of([(1, 1, L + 49, 1, "B")], count=481, snaps=[])["ROUND"] == [(6000, 120, 240)]
    assert "ROUND" not in levels_of([], snaps=[])


def test_levels_of_the_date_before():
    usual = all_priors(session_high=L + 8.0, session_low=L - 8.0, session_close=None)
    found = levels_of(TRADES, priors=usual)
    assert found["PD_HIGH"] == [(6002, 120, END)]
    assert found["PD_LOW"] == [(5998, 120, END)]
    assert "PD_CLOSE" not in found


def test_only_the_kinds_that_are_asked_for():
    usual = all_priors(session_high=L + 8.0, session_low=L - 8.0, session_close=L)
    assert set(levels_of(TRADES)) == {"PM_HIGH", "PM_LOW", "OR_HIGH", "OR_LOW"}
    assert set(levels_of(TRADES, kinds=("ROUND", "PD_LOW"), priors=usual)) == {
        "PM_HIGH",
        "PM_LOW",
        "OR_HIGH",
        "OR_LOW",
        "ROUND",
        "PD_LOW",
    }


EXPIRATION = OPEN + 30_000 * SECOND


def option(k, strike, call, lots=0, unsigned=0, price=None):
    """A row of option flow: customers sold `lots`, which dealers now hold; a quote if there is a price, in points."""
    return {
        "k": k, "strike": round(strike * POINT), "call": call, "expiration": EXPIRATION, "signed": -lots,
        "volume": abs(lots) + unsigned, "unsigned": unsigned, "trades": 0, "quotes": int(price is not None), "premium": 0,
        "last": None, "bid": price and round(price * POINT), "ask": price and round(price * POINT),
    }  # fmt: skip


QUOTES = [option(400, 6000 + d, int(d >= 0), price=20 - abs(d) / 5) for d in (-50, -30, -10, 0, 10, 30, 50)]


def walls_of(flow, mids=(), count=961):
    """(call walls, put walls) of a day whose mid is 6000 but for {k: mid2}."""
    snaps = [{"k": k, "ts": OPEN + k * INTERVAL, "mid2": dict(mids).get(k, 2 * L)} for k in range(count)]
    rows = sorted([*QUOTES, *flow], key=lambda row: (row["k"], row["strike"], row["call"]))
    options = naive_fuel.Options(snaps, rows, [], toy_session(regular=120), CONFIG)
    found = levels_of([], count=count, snaps=snaps, options=options)
    return found.get("CALL_WALL", []), found.get("PUT_WALL", [])


def test_walls():
    """Dealers hold 100 and 200 contracts 5 and 10 points above, 90 and 60 below; short ones and those at the mid are none."""
    flow = [option(450, 6005, 1, 100), option(460, 6010, 0, 200), option(460, 5995, 1, 90), option(480, 5990, 0, 60)]
    flow += [option(470, 6020, 1, -900), option(470, 6000, 1, 900), option(481, 6030, 1, 900)]
    assert walls_of(flow) == ([(6010, 120, 240), (6030, 240, 360)], [(5995, 120, 240), (5995, 240, 360)])


def test_walls_reach_fifty_points():
    assert walls_of([option(450, 6050, 1, 100), option(450, 5949, 0, 900)], count=481) == ([(6050, 120, 240)], [])
    assert walls_of([option(450, 6050, 1, 100)], {480: 2 * L - 1}, count=481) == ([], [])  # 50.125 points


def test_walls_that_are_unknown():
    """Without a mid, or where most lots near it have no aggressor."""
    flow = [option(450, 6005, 1, 100)]
    assert walls_of(flow, {480: None}) == ([(6005, 240, 360)], [])
    assert walls_of([*flow, option(451, 6005, 1, 0, unsigned=100)], count=481) == ([(6005, 120, 240)], [])
    assert walls_of([*flow, option(451, 6005, 1, 0, unsigned=101)], count=481) == ([], [])
    assert walls_of([], count=481) == ([], [])


def test_touches_are_of_signal_kinds():
    """A level of the context is touched only where it is named among them."""
    trades = [(1, 1, L - 20, 1, "B"), (600, 1, L, 1, "B")]
    day = toy_day(700, {0: QUIET_BOOK}, trades)
    rows = [level("ROUND", 6000), level("PM_HIGH", 6000)]
    other = changed(CONFIG, "levels", signal_kinds=("ROUND", "OR_LOW"))
    for config, kinds in ((CONFIG, ["PM_HIGH"]), (other, ["ROUND"])):
        found = naive_touches(day.snaps, day.prints, day.bars1, rows, day.session, config, None, day.session.date)
        assert [(touch["kind"], touch["k"]) for touch in found] == [(kind, 600) for kind in kinds]


# ---- 7 summaries and priors ----


def summary(day):
    found = naive_day_summary(rows_of(day), day.bars1, day.session, CONFIG)
    names = (*SESSION_COLUMNS, *LOADINGS, "acceleration_coefficient")
    assert all(row[name] == found[0][name] for row in found for name in names)
    return found[0]


def test_prices_of_the_session():
    """09:30 is at 300 s, the regular close at 1,200 s: prints at 300 and after 1,200 s do not count."""
    trades = [(1200, 250, L + 99, 1, "B"), (1201, 1, L - 3, 1, "B"), (3000, 1, L + 5, 1, "N"), (4800, 250, L + 1, 1, "A")]
    day = toy_day(4900, {0: QUIET_BOOK}, [*trades, (4801, 1, L - 99, 1, "A")], session=toy_session(regular=300, end=300))
    has(summary(day), {"session_high": L + 5, "session_low": L - 3, "session_close": L + 1})
    has(summary(toy_days.barrier_day({})), dict.fromkeys(SESSION_COLUMNS))


def minutes_of_imbalance(*minutes, signals=540.0):
    """A day of ten minutes, "09:30" after five of them, with so much imbalance in the minutes from the sixth on, by depth."""
    day = toy_day(2401, {0: QUIET_BOOK}, session=toy_session(regular=300, signals=signals))
    total = [0] * 10
    for snap in day.snaps:
        number, rest = divmod(snap["k"] - 1201, 240)
        if rest == 0 and 0 <= number < len(minutes):
            total = [one + more for one, more in zip(total, (*minutes[number], *(0,) * 10), strict=False)]
        snap.update({f"ofi_{i:02}": value for i, value in enumerate(total)})
    return day


def test_loadings():
    """All but a constant varies along (3, 4), more than along depth 2; the tenth minute lies after the signal window."""
    day = minutes_of_imbalance((10, 3, 4, 0), (10, -3, -4, 0), (10, 0, 0, 1), (10, 0, 0, -1), (999, 0, 0, 0))
    has(summary(day), loadings(0.0, 3 / 7, 4 / 7))


def test_loadings_sum_to_a_positive_number():
    """Along (-1, 3) and (-3, 1): entries of three to one, turned so that the larger one is positive."""
    has(summary(minutes_of_imbalance((-1, 3), (1, -3), (-2, 6), (2, -6))), loadings(-0.25, 0.75))
    has(summary(minutes_of_imbalance((-3, 1), (3, -1), (6, -2))), loadings(0.75, -0.25))


def test_loadings_where_nothing_varies():
    nothing = dict.fromkeys((*LOADINGS, "acceleration_coefficient"))
    has(summary(minutes_of_imbalance(*[(5, 7)] * 5)), nothing)
    has(summary(minutes_of_imbalance((5, 7), signals=360.0)), nothing)  # one minute
    has(summary(toy_days.barrier_day({})), nothing)  # none


def pushed_day(**other):
    """Two minutes: nothing in the first but 40 lots; in the last 30 s of the second 45 lots of imbalance and 40 bought ones.

    The mid is (seconds before the end)^2 eighths above the level, in the first minute that of a minute before the end.
    """
    books = {k: mid_book(2 * L + min(60, (480 - k) // 4) ** 2) for k in range(481)}
    trades = [(8, 1, L + 900, 40, "B"), (400, 1, L, 40, "B")]
    day = toy_day(481, books, trades, session=toy_session(signals=120), **other)
    for snap in day.snaps:
        snap["ofi_00"] = 45 * (snap["k"] > 400)
    return day


def test_acceleration_coefficient():
    """At the first close nothing pushes. At the second: D = 90, .5 + 40/20 = 2.5 over a mass of 2, and a = .25 points/s^2; the
    other direction has both negative: the slope is .25 / 1.25."""
    has(summary(pushed_day()), loadings(1.0) | {"acceleration_coefficient": 0.2})


def test_acceleration_coefficient_where_little_is_known():
    """No good books in the second minute: no acceleration at its close. Nothing pushes at the first: no slope."""
    day = pushed_day()
    for snap in day.snaps[244:]:
        snap["book_ok"] = 0
    has(summary(day), {"ofi_loading_00": 1.0, "acceleration_coefficient": None})


def test_priors_of_the_new_columns():
    """Loadings and coefficient are medians of dates; the session's prices are those of the date right before alone."""
    dates = [
        [{"bucket": b, "ofi_loading_03": x, "acceleration_coefficient": x, **dict.fromkeys(SESSION_COLUMNS, x)} for b in range(144)]
        for x in (1.0, 2.0, 6.0)
    ]
    dates = [[dict.fromkeys(LOADINGS) | row for row in date] for date in dates]
    has(
        naive_priors(dates, CONFIG, dates[2])[9],
        {"ofi_loading_03": 2, "acceleration_coefficient": 2, "session_high": 6, "dates": 3},
    )
    has(naive_priors(dates, CONFIG)[9], {"ofi_loading_03": 2, **dict.fromkeys(SESSION_COLUMNS)})
    has(naive_priors(dates[1:], CONFIG, dates[2])[9], {"ofi_loading_03": None, "session_low": 6, "session_close": 6})
