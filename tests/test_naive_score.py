"""The naive twins of score and triggers (physics.md, section 5) against numbers worked out by hand on toy days."""

import math

from pytest import approx

from tests import toy_days
from tests.naive_physics import naive_landmarks, naive_resolved
from tests.naive_score import confidence, raw_score, score_tape, smooth_scores, triggers
from tests.toy_days import K0, L, toy_touch
from tests.toy_physics import CONFIG, has, rows_of, signals


def test_parts_of_the_score():
    """v / (1.6 sigma) = .5: 50 + 25 x .46211715726 + 25 / 3. VACUUM and a tape of 50: (45 + 10) / .65."""
    tape = {"sweep_direction": 0, "tape_prints": 5, "tape_velocity": 0.08, "tape_imbalance": 1 / 3}
    assert score_tape(tape, 0.1, CONFIG) == approx(50 + 11.5529289315 + 25 / 3)
    assert score_tape(tape, None, CONFIG) == approx(50 + 25 / 3)
    assert score_tape({**tape, "tape_velocity": None}, 0.1, CONFIG) == approx(50 + 25 / 3)
    assert score_tape({**tape, "tape_prints": 4}, 0.1, CONFIG) is None
    assert score_tape({**tape, "tape_prints": 0, "sweep_direction": 1}, 0.1, CONFIG) == 100
    assert score_tape({**tape, "tape_prints": 0, "sweep_direction": -1}, 0.1, CONFIG) == 0
    assert raw_score(100, None, 50, CONFIG) == approx(55 / 0.65)
    assert raw_score(100, 0, 50, CONFIG) == approx(55)
    assert raw_score(80, None, None, CONFIG) == approx(80)
    assert raw_score(None, 100, None, CONFIG) == approx(100)
    assert raw_score(None, None, 50, CONFIG) is None


def test_smooth_score():
    """A step decays by exp(-1/8) a snap. 5 s of nothing hold; after 20 snaps a raw score has Δ = 5 s, after 21 it seeds."""
    assert smooth_scores([0, 100, 100], CONFIG) == approx([0, 100 * (1 - math.exp(-1 / 8)), 100 * (1 - math.exp(-2 / 8))])
    held = smooth_scores([60, *[None] * 19, 100], CONFIG)
    assert held[:20] == [60] * 20
    assert held[20] == approx(100 - 40 * math.exp(-5 / 2))
    lost = smooth_scores([60, *[None] * 21, 100], CONFIG)
    assert lost[20:] == [60, None, 100]


def test_trigger():
    assert triggers([80] * 12, [False] * 12, CONFIG) == ["NEUTRAL"] * 11 + ["BREAK"]
    assert triggers([80] * 11 + [79.9] + [80] * 11, [False] * 23, CONFIG) == ["NEUTRAL"] * 23
    assert triggers([80] * 12 + [65, 64.9], [False] * 14, CONFIG)[11:] == ["BREAK", "BREAK", "NEUTRAL"]
    assert triggers([20] * 12 + [35, 35.1], [False] * 14, CONFIG)[10:] == ["NEUTRAL", "REJECT", "REJECT", "NEUTRAL"]
    assert triggers([80] * 12 + [None, 80], [False] * 14, CONFIG)[11:] == ["BREAK", "NEUTRAL", "NEUTRAL"]
    assert triggers([29.9, 30, 70, 70.1, 50], [True] * 4 + [False], CONFIG) == [
        "NEUTRAL",
        "CONTESTED",
        "CONTESTED",
        "NEUTRAL",
        "NEUTRAL",
    ]
    assert triggers([80] * 12 + [68], [True] * 13, CONFIG)[-1] == "BREAK"


def test_confidence():
    sure = {
        "break_score_raw": 50, "barrier_turnover": 1.0, "tape_prints": 20,
        "score_liquidity": 50, "score_hedge": 50, "score_tape": 50,
    }  # fmt: skip
    assert confidence(sure, CONFIG) == "HIGH"
    assert confidence({**sure, "score_hedge": None}, CONFIG) == "MEDIUM"
    assert confidence({**sure, "score_hedge": None, "score_tape": None}, CONFIG) == "LOW"
    assert confidence({**sure, "barrier_turnover": 0.99}, CONFIG) == "MEDIUM"
    assert confidence({**sure, "barrier_turnover": 0.24}, CONFIG) == "LOW"
    assert confidence({**sure, "barrier_turnover": None}, CONFIG) == "LOW"
    assert confidence({**sure, "tape_prints": 19}, CONFIG) == "MEDIUM"
    assert confidence({**sure, "tape_prints": 4}, CONFIG) == "LOW"
    assert confidence({**sure, "break_score_raw": None}, CONFIG) == "LOW"


def test_break_and_reject_triggers_of_a_day():
    """Raw 50 until 5 s (no flow before the touch), then 100 (R = 0, delta = -60): S = 100 - 50 exp(-n/8) at snap 39 + n.

    S >= 80 from n = 8 on, twelve of them at n = 19: BREAK from snap 58. From snap 80 on a wall (A = 100: R = 1.67, delta 40):
    S = 99.663 exp(-m/8) at snap 79 + m: 68.5 at m = 3, 60.4 at m = 4: released at 83; 19.6 at m = 13: REJECT at snap 103.
    From snap 110 on the mid is 3/8 of a point from the level.
    """
    rows = signals(toy_days.trigger_day())
    assert list(rows) == list(range(20, 121))
    has(rows[20], {"elapsed": 0, "barrier_state": "NEUTRAL", "barrier_turnover": 0, "break_score_raw": 50, "tape_prints": 0})
    has(rows[39], {"elapsed": 4.75, "barrier_state": "NEUTRAL", "break_score_smooth": 50, "score_tape": None, "score_hedge": None})
    has(
        rows[40],
        {"elapsed": 5, "barrier_state": "VACUUM", "barrier_turnover": 60 / 90, "score_liquidity": 100, "confidence": "LOW"},
    )
    has(rows[47], {"break_score_smooth": 100 - 50 * math.exp(-1)})
    has(
        rows[82],
        {"barrier_state": "WALL", "break_score_raw": 0, "break_score_smooth": (100 - 50 * math.exp(-5)) * math.exp(-3 / 8)},
    )
    runs = {"NEUTRAL": [*range(20, 58), *range(83, 103)], "BREAK": list(range(58, 83)), "REJECT": list(range(103, 121))}
    for trigger, snaps in runs.items():
        assert [k for k, row in rows.items() if row["trigger"] == trigger] == snaps
    assert [k for k, row in rows.items() if row["signal"] == "REJECT"] == list(range(103, 110))
    assert [k for k, row in rows.items() if row["phase"] == "following"] == list(range(110, 121))


def test_hold_of_an_unknown_barrier_of_a_day():
    """Raw 100 until snap 69, unknown from 70 to 95: held until 5 s after snap 69, null from 90; snap 96 seeds 100, BREAK at 107."""
    rows = signals(toy_days.hold_day())
    held = 100 - 50 * math.exp(-30 / 8)
    has(rows[69], {"break_score_raw": 100, "break_score_smooth": held, "trigger": "BREAK"})
    has(rows[70], {"barrier_state": "UNOBSERVED", "break_score_raw": None, "break_score_smooth": held, "trigger": "BREAK"})
    has(rows[89], {"break_score_smooth": held, "trigger": "BREAK", "confidence": "LOW", "wall_ratio": None})
    has(rows[90], {"break_score_smooth": None, "trigger": "NEUTRAL"})
    has(rows[96], {"break_score_raw": 100, "break_score_smooth": 100, "trigger": "NEUTRAL"})
    assert [k for k, row in rows.items() if row["trigger"] == "BREAK"] == [*range(58, 90), *range(107, 121)]


def test_sweep_of_the_last_three_seconds():
    """Touch at snap 5: from 5 s on (snap 25) the sweep of snap 25 counts for twelve snaps; neutral barrier: (22.5 + 20) / .65.

    Touch at snap 30: as at t0 the sweep is in the last 3 s of the approach.
    """
    day = toy_days.span_sweep_day()
    rows = signals(day, toy_touch(day, k=5, thetas=(20, 20, 20)))
    assert [k for k, row in rows.items() if row["sweep_direction"]] == list(range(25, 37))
    has(rows[30], {"sweep_direction": 1, "score_tape": 100, "tape_prints": 3, "break_score_raw": 42.5 / 0.65})
    has(rows[37], {"sweep_direction": 0, "score_tape": None, "break_score_raw": 50})
    late = signals(day, toy_touch(day, "DOWN", k=30, thetas=(20, 20, 20)))
    assert {row["sweep_direction"] for row in late.values()} == {-1}


def test_rows_end_when_the_touch_is_resolved():
    """A print eight ticks beyond the level at 20 s: the snap at which it is known has no row. Beyond 240 s there are none."""
    day = toy_days.label_day()
    assert list(signals(day, toy_touch(day, thetas=(8, 8, 8)))) == list(range(K0, K0 + 80))
    assert list(signals(day, toy_touch(day, thetas=(12, 12, 12))))[-1] == K0 + 960


def test_landmarks():
    day, rows = toy_days.label_day(), rows_of(toy_days.label_day())
    every = [K0 + 4 * seconds for seconds in (0, 5, 15, 30, 60, 120, 240)]
    assert naive_landmarks(rows, day.touches[0], day.session, CONFIG) == every
    assert naive_landmarks(rows, toy_touch(day, thetas=(8, 8, 8)), day.session, CONFIG) == every[:3]
    assert naive_landmarks(rows, toy_touch(day, entry=(L - 8, L)), day.session, CONFIG) == []
    short = toy_days.trigger_day()
    assert naive_landmarks(rows_of(short), short.touches[0], short.session, CONFIG) == every[:3]
    assert not naive_resolved(rows, day.touches[0], K0 + 79, 8, CONFIG)
    assert naive_resolved(rows, day.touches[0], K0 + 80, 8, CONFIG)
    assert (
        naive_resolved(rows, toy_touch(day, price=L * toy_days.TICK + 1), K0 + 99, 8, CONFIG) is False
    )  # a little short of 2 points
    assert naive_resolved(rows, toy_touch(day, price=L * toy_days.TICK + 1), K0 + 100, 8, CONFIG)
