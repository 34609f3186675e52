"""The naive twin of physics.md, section 4.5, against numbers by hand: what surrounds a touch, and the whole of it.

What led to the touch: test_naive_approach.py. Most days have the level at 6000.00 (24,000 ticks), ten lots at every price,
m_j = 10 and so D = 90, and sigma = .1.
"""

import math
import random
from fractions import Fraction

from spymaster_assets.features.context import CONTEXT
from tests import toy_days
from tests.naive_context import context_at_touch
from tests.naive_touches import KINDS
from tests.toy_context import CONFIG, EXACT, POINT, all_priors, context, level, loadings, mid_book, quiet
from tests.toy_days import QUIET_BOOK, TICK, L, ladder, toy_day, toy_session, toy_touch
from tests.toy_physics import has, rows_of

NAMES = {feature.name for feature in CONTEXT}


def test_every_column_is_there_on_every_toy_day():
    for _, day in toy_days.all_days():
        for touch in day.touches:
            for k in (touch["k"], touch["k"] + 10):
                assert set(context(day, touch, k)) == NAMES


# ---- surroundings: level 6000, mid 5999.875 ----

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
