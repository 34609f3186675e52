"""What the earlier system's tests asked of its physics, asked of ours, on small days made by hand.

Where ours differs on purpose the test holds ours, and its docstring says what changed. Elsewhere:

- Fuel: test_naive_fuel.py, whose cases go through the product too (::test_customers_buy_dealers_are_short_and_amplify,
  ::test_customers_sell_dealers_are_long_and_dampen, ::test_little_is_neutral, ::test_only_strikes_within_fifteen_points_count,
  ::test_walls_are_the_most_damping_strikes_on_either_side_of_the_mid, ::test_flip_between_two_strikes,
  ::test_no_flip_for_the_same_sign_nor_from_strikes_farther_than_fifty_points). Changed: the threshold is in contracts a point; a
  wall is of any size; nothing known is UNKNOWN (::test_nothing_is_known_before_the_first_row), nothing traded NEUTRAL; in place of
  a confidence, fuel is UNKNOWN where most lots have no aggressor (::test_mostly_unsigned_is_unknown). Options of another expiry,
  sums by strike: test_fuel.py::test_other_options_change_nothing, ::test_profile_of_any_snap_is_that_inventory.
- State of the market (latest price, extremes by clock, bars, averages, ATR): test_naive_grid.py, test_silver_twins.py. Changed: a
  Day holds one date, so there are no buffers to trim and nothing to clear.
- Times in order: test_quality.py. Replay that says the same: test_chunks.py, live/test_parity.py. Look-ahead: test_lookahead.py.
  The mirrored market: test_mirror.py. Schemas: test_tables.py, test_storage.py, live/test_messages.py. Manifests and the lake:
  test_lake.py, test_kill.py. The live service: live/test_engine.py. Edges of the clock (09:30:00, 09:45:00): test_sessions.py,
  test_naive_grid.py::test_levels.
- Labels, levels and their surroundings: test_behaviours_levels.py.
- Gateway, models and statistics of experiments come with later steps. Hot zones, and strikes as levels, are no more.
"""

import itertools
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from pytest import approx

from spymaster_assets.compute.barrier import Barrier
from spymaster_assets.compute.fuel import Exposure
from spymaster_assets.compute.growing import Growing
from spymaster_assets.compute.score import (
    SCORING,
    Inputs,
    combine,
    confidence,
    hedge_score,
    liquidity_score,
    score_params,
    smooth,
    tape_score,
    trigger,
)
from spymaster_assets.compute.stream import Day
from spymaster_assets.compute.tape import Tape
from spymaster_assets.config import Config
from spymaster_assets.sessions import Window
from spymaster_assets.states import BARRIER_STATES, CONFIDENCES, FUEL_EFFECTS, FUEL_UNKNOWN, NEUTRAL, TRIGGERS
from spymaster_assets.tables import SNAPS, TOUCHES
from tests import build, flow_cases, toy_days
from tests.flow_cases import ASKS, but
from tests.rows import packed
from tests.toy_days import INTERVAL, K0, OPEN, QUIET_BOOK, L, barrier_day, ladder, toy_day, toy_touch
from tests.toy_product import CONFIG, features, features_of, has, signals

SCORE = score_params(CONFIG, 4)
BOTH = pytest.mark.parametrize("direction", ["UP", "DOWN"])
SIGN = {"UP": 1, "DOWN": -1}


def recorded(*records, **touch):
    """A Day of MBP-10 records over four snaps, with a touch of the price 100 at snap 1."""
    session = replace(build.SESSION, globex=Window(OPEN, OPEN + flow_cases.COUNT * INTERVAL))
    made = Day(session, CONFIG)
    made.take(np.concatenate([flow_cases.book(0), *records]))
    made.complete(session.globex.end)
    row = toy_touch(SimpleNamespace(session=session), k=1, ticks=100, thetas=(40, 40, 40), **touch)
    made.touches = Growing.of(packed(TOUCHES, [row]))
    return made


# ---- barrier: D = 90 lots over the nine prices of the zone, 10 % of it are significant ----


def defended(direction, flow, book=None, **touch):
    """A touch whose level is the best price of the defending side; {ticks beyond the level: (added, pulled, filled)} after it."""
    side, sign = ("A", 1) if direction == "UP" else ("B", -1)
    quiet = ladder(L - 1, L) if direction == "UP" else ladder(L, L + 1)
    rows = {(26, side, L + sign * i): lots for i, lots in flow.items()}
    return barrier_day(rows, book=book or quiet, first_book=quiet, direction=direction, **touch)


@BOTH
def test_lots_pulled_without_trades_are_a_vacuum(direction):
    found = features(defended(direction, {0: (0, 40, 0), 3: (0, 20, 0)}), 30)
    has(found, barrier_state="VACUUM", pull_ratio=1, barrier_delta_liq=-60, replenishment_ratio=0, filled_rate_5=0)
    assert found["pulled_rate_5"] == approx(60 / 2.5 / 90)


@BOTH
@pytest.mark.parametrize(("added", "filled", "state"), [(70, 30, "WALL"), (44, 40, "ABSORPTION")])
def test_refilled_beyond_what_was_traded_is_a_wall_or_absorption(direction, added, filled, state):
    found = features(defended(direction, {0: (added, 0, filled)}), 30)
    has(found, barrier_state=state, replenishment_ratio=added / filled, barrier_delta_liq=added - filled, pull_ratio=0)
    assert found["replenishment_ratio"] > 1


@BOTH
@pytest.mark.parametrize(
    ("lots", "state"), [((0, 0, 60), "VACUUM"), ((20, 0, 50), "CONSUMED"), ((20, 30, 20), "CONSUMED"), ((20, 40, 10), "NEUTRAL")]
)
def test_eaten_by_trades_is_consumed_or_a_vacuum(direction, lots, state):
    """Changed: CONSUMED asks for a share of trades above .25, not for more filled than pulled."""
    added, pulled, filled = lots
    found = features(defended(direction, {0: lots}), 30)
    has(found, barrier_state=state, pull_ratio=pulled / (pulled + filled), barrier_delta_liq=added - pulled - filled)


def test_records_that_eat_the_asks_and_records_that_pull_them():
    """Asks 100: 20, 101: 30, 102: 40. Buyers take 20 and 30: the best moves up two ticks, which is 20 of the usual lots. Then 101
    and 102 vanish behind the best, without a trade. Changed: lots are counted, not guessed from the change of depth."""
    first, then = but(ASKS, _100=0, _110=5), but(ASKS, _100=0, _101=0, _110=5, _111=5)
    eaten = [
        flow_cases.trade(300, "B", 20, 100), flow_cases.book(300, asks=first),
        flow_cases.trade(400, "B", 30, 101, asks=first), flow_cases.book(400, asks=then),
    ]  # fmt: skip
    found = features_of(recorded(*eaten), 4)
    has(found, barrier_state="CONSUMED", pull_ratio=0, barrier_turnover=50 / 90, barrier_delta_liq_raw=-50, barrier_delta_liq=-30)
    has(found, barrier_position=2, tape_buy_volume=50, tape_sell_volume=0)
    pulled = flow_cases.book(300, asks=but(ASKS, _101=0, _102=0, _110=5, _111=5))
    found = features_of(recorded(pulled), 4)
    has(found, barrier_state="VACUUM", pull_ratio=1, barrier_turnover=70 / 90, barrier_position=0, tape_buy_volume=0)


@BOTH
def test_without_a_book_the_barrier_is_unobserved(direction):
    """Changed: nothing to see was NEUTRAL with zeros; it is a state of its own, and its numbers are null."""
    blind = ladder(L - 1, L, ask_shown=0, bid_shown=0)
    day = defended(direction, {0: (0, 60, 0)}, book=blind)
    null = dict.fromkeys(("barrier_depth", "wall_ratio", "barrier_turnover", "replenishment_ratio", "barrier_delta_liq"))
    has(features(day, 30), barrier_state="UNOBSERVED", barrier_observed=0, pull_ratio=None, **null)
    has(signals(day)[40], barrier_state="UNOBSERVED", score_liquidity=None, break_score_raw=None, confidence="LOW")
    has(features(day, K0), barrier_state=None, barrier_turnover=None, approach_barrier_state="NEUTRAL", approach_barrier_turnover=0)


def test_the_best_ask_defends_from_above_and_the_best_bid_from_below():
    """Bid three ticks under the level, ask two above it: ticks beyond the level as seen by the break."""
    book = ladder(L - 3, L + 2)
    assert [features(defended(way, {}, book=book), 30)["barrier_position"] for way in ("UP", "DOWN")] == [2, 3]


@BOTH
def test_the_zone_ends_eight_ticks_beyond_the_level(direction):
    """Changed: it reached as far before the level, where nothing of this side stands."""
    has(features(defended(direction, {8: (0, 60, 0)}), 30), barrier_state="VACUUM", barrier_turnover=60 / 90)
    has(features(defended(direction, {9: (0, 60, 0), -1: (0, 60, 0)}), 30), barrier_state="NEUTRAL", barrier_turnover=0)


@pytest.mark.parametrize(
    ("lots", "state"),
    [((0, 60, 0), "VACUUM"), ((0, 10, 0), "NEUTRAL"), ((60, 0, 0), "NEUTRAL"), ((60, 23, 0), "WALL"), ((23, 23, 0), "NEUTRAL")],
)
def test_less_depth_is_the_vacuum_family_and_more_is_the_wall_family(lots, state):
    """Changed: as long as under a quarter of the usual depth has left, no change of depth makes a state."""
    assert features(defended("UP", {0: lots}), 30)["barrier_state"] == state


# ---- tape: kappa = 20 lots ----


def traded(*trades, direction="UP"):
    """Features at snap 30 of prints (ticks from the level, lots, aggressor), each in a snap of its own after the touch."""
    day = toy_day(41, {0: QUIET_BOOK}, [(21 + i, 50, L + ticks, lots, side) for i, (ticks, lots, side) in enumerate(trades)])
    day.touches.append(toy_touch(day, direction, thetas=(40, 40, 40)))
    return features(day, 30)


@BOTH
def test_imbalance_of_buyers_and_sellers(direction):
    """Changed: positive toward the break; thin tape shrinks to 0 by kappa, and under 20 lots it is null."""
    toward = {"B": SIGN[direction], "A": -SIGN[direction]}
    for side in "BA":
        assert traded((0, 180, side), direction=direction)["tape_imbalance"] == approx(0.9 * toward[side])
    even = traded((0, 90, "B"), (1, 90, "A"), direction=direction)
    has(even, tape_imbalance=0, tape_buy_volume=90, tape_sell_volume=90)
    assert traded((0, 19, "B"), direction=direction)["tape_imbalance"] is None


def test_volumes_are_exact_and_of_the_band():
    """Half a point either side of the level, ends included; without an aggressor a print counts as one only."""
    found = traded((-3, 1000, "B"), (-2, 1, "B"), (2, 20, "B"), (3, 1000, "A"), (0, 7, "A"), (1, 300, "N"))
    has(found, tape_buy_volume=21, tape_sell_volume=7, tape_prints=4, tape_imbalance=14 / 48)


@BOTH
@pytest.mark.parametrize("ticks", [1, -1, 0])
def test_velocity_has_the_sign_of_the_move(direction, ticks):
    """A tick a second is a quarter of a point. Changed: of the mid and not of prints, over 3 s, toward the break."""
    day = toy_day(41, {k: ladder(L - 1 + ticks * (k // 4), L + ticks * (k // 4)) for k in range(41)})
    day.touches.append(toy_touch(day, direction))
    found = features(day, 40)["tape_velocity"] * SIGN[direction]
    assert 0.20 <= found * ticks <= 0.30 if ticks else found == 0


def test_velocity_without_a_book_is_unknown():
    """Changed: it was 0. Seven good snaps are not enough."""
    day = toy_day(41, {0: QUIET_BOOK, 28: QUIET_BOOK | {"book_ok": 0}})
    day.touches.append(toy_touch(day))
    assert (features(day, 40)["tape_velocity"], features(day, 34)["tape_velocity"]) == (None, None)
    assert features(day, 27)["tape_velocity"] == 0


def swept(*trades):
    """What the latest sweep is after prints (ms, ticks, lots, side) of records."""
    found = features_of(recorded(*(flow_cases.trade(ms, side, lots, ticks) for ms, ticks, lots, side in trades)), 4)
    return found["sweep_direction"], found["sweep_size"]


def test_a_sweep_goes_through_prices_on_one_side_without_a_pause():
    """Changed: what counts is a second price (or an unusual size), not 500,000 USD, which are two contracts."""
    assert swept((300, 100, 1, "B"), (350, 101, 1, "B")) == (1, 2)
    assert swept((300, 100, 1, "A"), (350, 99, 2, "A")) == (-1, 3)
    assert swept((300, 100, 1, "B"), (400, 101, 1, "B")) == (1, 2)
    assert swept((300, 100, 1, "B"), (401, 101, 1, "B")) == (None, None), "more than 100 ms"
    assert swept((300, 100, 5, "B"), (310, 101, 5, "A")) == (None, None), "two sides"
    assert swept((300, 100, 5, "N"), (310, 101, 5, "N")) == (None, None), "no aggressor"
    assert swept((300, 100, 999, "B"), (310, 100, 999, "B")) == (None, None), "one price, and no usual size to compare with"
    assert swept((300, 109, 5, "B"), (310, 110, 5, "B")) == (None, None), "more than 8 ticks away"


# ---- score ----


def inputs(velocity=math.nan, imbalance=0.0, sweep=0, prints=9, turnover=math.nan):
    nan = math.nan
    barrier = Barrier(NEUTRAL, turnover, nan, nan, nan, nan, nan, nan, nan)
    tape = Tape(0, 0, prints, nan, imbalance, nan, nan, nan, nan, nan, nan, -1)
    return Inputs(barrier, tape, velocity, nan, sweep, Exposure(FUEL_UNKNOWN, nan, nan))


def state(name):
    return BARRIER_STATES.index(name)


LIQUIDITY = {"VACUUM": 100.0, "WEAK": 80.0, "CONSUMED": 60.0, "NEUTRAL": 50.0, "PASSED": 50.0, "ABSORPTION": 20.0, "WALL": 0.0}
HEDGE = {"AMPLIFY": 100.0, "NEUTRAL": 50.0, "DAMPEN": 0.0}


def test_what_each_state_scores():
    """Changed: WEAK 80 for 75, CONSUMED always 60, ABSORPTION 20 for 0; what is not known has no score instead of 50."""
    scores = {name: liquidity_score(i) for i, name in enumerate(BARRIER_STATES)}
    assert math.isnan(scores.pop("UNOBSERVED")) and scores == LIQUIDITY
    effects = {name: hedge_score(i) for i, name in enumerate(FUEL_EFFECTS)}
    assert math.isnan(effects.pop("UNKNOWN")) and effects == HEDGE


def test_a_sweep_decides_the_tape():
    assert tape_score(inputs(velocity=-9.0, imbalance=-1.0, sweep=1, prints=0), 0.1, SCORE) == 100
    assert tape_score(inputs(velocity=9.0, imbalance=1.0, sweep=-1, prints=0), 0.1, SCORE) == 0


def test_tape_without_a_sweep_pulls_both_ways():
    """Changed: it reached from 0 to 50 and never spoke against a break."""
    assert tape_score(inputs(velocity=9.0, imbalance=1.0), 0.1, SCORE) == approx(100)
    assert tape_score(inputs(velocity=-9.0, imbalance=-1.0), 0.1, SCORE) == approx(0)
    assert tape_score(inputs(velocity=0.0), 0.1, SCORE) == 50
    assert math.isnan(tape_score(inputs(velocity=9.0, imbalance=1.0, prints=4), 0.1, SCORE))


def test_everything_for_a_break_and_everything_against_it():
    """Changed: a break can do without a sweep and without dealers (it ended at 77.5)."""
    assert combine(LIQUIDITY["VACUUM"], HEDGE["AMPLIFY"], 100.0, SCORE) == approx(100)
    assert combine(LIQUIDITY["WALL"], HEDGE["DAMPEN"], 0.0, SCORE) == 0
    assert combine(LIQUIDITY["VACUUM"], HEDGE["NEUTRAL"], 100.0, SCORE) == approx(82.5)
    assert combine(LIQUIDITY["VACUUM"], math.nan, math.nan, SCORE) == 100


def test_scores_lie_between_0_and_100():
    """Of every state of barrier and fuel, and of every tape; null only where barrier and fuel are unknown."""
    tapes = [
        tape_score(inputs(velocity=v, imbalance=i, sweep=s), 0.1, SCORE)
        for v, i, s in itertools.product((-99.0, 0.0, math.nan, 99.0), (-1.0, 0.3, 1.0), (-1, 0, 1))
    ]
    for barrier, fuel in itertools.product(range(len(BARRIER_STATES)), range(len(FUEL_EFFECTS))):
        found = np.array([combine(liquidity_score(barrier), hedge_score(fuel), tape, SCORE) for tape in (*tapes, math.nan)])
        if BARRIER_STATES[barrier] == "UNOBSERVED" and FUEL_EFFECTS[fuel] == "UNKNOWN":
            assert np.isnan(found).all()
        else:
            assert ((found >= 0) & (found <= 100)).all()


def told(scores, barrier="NEUTRAL", rate=0.0):
    """The trigger after each of some smoothed scores."""
    scoring = np.zeros(1, SCORING)
    return [TRIGGERS[trigger(score, state(barrier), rate, scoring, SCORE)] for score in scores]


def test_a_break_takes_three_seconds_and_a_dip_begins_them_anew():
    """Changed: 80 itself is enough, three seconds are twelve snaps, and below 65 the trigger is released (it stayed for good)."""
    assert told([80.0] * 12) == ["NEUTRAL"] * 11 + ["BREAK"]
    assert told([80.0] * 11 + [79.9] + [80.0] * 12) == ["NEUTRAL"] * 23 + ["BREAK"]
    assert told([80.0] * 12 + [79.9, 65.0, 64.9, 80.0])[11:] == ["BREAK", "BREAK", "BREAK", "NEUTRAL", "NEUTRAL"]


def test_a_reject_takes_three_seconds_too():
    assert told([20.0] * 12 + [35.0, 35.1]) == ["NEUTRAL"] * 11 + ["REJECT", "REJECT", "NEUTRAL"]
    assert told([20.0] * 11 + [20.1] + [20.0] * 11) == ["NEUTRAL"] * 23


def test_mixed_evidence_is_contested_or_neutral():
    """Changed: the tape is fast at twice its usual pace (it was 50,000 lots, which never came)."""
    for score, barrier, rate, expected in (
        (50.0, "CONSUMED", 2.1, "CONTESTED"), (30.0, "CONSUMED", 2.1, "CONTESTED"), (70.0, "CONSUMED", 2.1, "CONTESTED"),
        (29.9, "CONSUMED", 2.1, "NEUTRAL"), (70.1, "CONSUMED", 2.1, "NEUTRAL"),
        (50.0, "CONSUMED", 2.0, "NEUTRAL"), (50.0, "WALL", 2.1, "NEUTRAL"), (50.0, "NEUTRAL", 0.0, "NEUTRAL"),
    ):  # fmt: skip
        assert told([score], barrier, rate) == [expected], (score, barrier, rate)


def test_a_score_that_is_lost_clears_the_trigger():
    """Changed: nobody resets it; a score that is unknown for more than 5 s does, and the next one begins afresh."""
    assert told([80.0] * 12 + [math.nan] + [80.0] * 12)[11:] == ["BREAK"] + ["NEUTRAL"] * 12 + ["BREAK"]
    scoring = np.zeros(1, SCORING)
    scoring["smooth"], scoring["raw_k"] = np.nan, -1
    scores = [smooth(k, raw, scoring, SCORE.tau, SCORE.hold, 0.25) for k, raw in enumerate([60.0, *[math.nan] * 21, 100.0])]
    assert scores[:21] == [60.0] * 21 and math.isnan(scores[21]) and scores[22] == 100


def test_reject_needs_the_price_in_the_band():
    """Changed: the trigger goes on by the score alone; it is the signal that needs the price within .25 points (it was 2)."""
    rows = signals(toy_days.trigger_day())
    assert [k for k, row in rows.items() if row["trigger"] == "REJECT"] == list(range(103, 121))
    assert [k for k, row in rows.items() if row["signal"] == "REJECT"] == list(range(103, 110))
    assert {row["phase"] for k, row in rows.items() if k >= 110} == {"following"}


def test_each_touch_has_a_trigger_of_its_own():
    """Changed: all levels shared one. The second touch begins with the vacuum of its approach, 5 s later nothing has happened
    after it: 50 + 50 exp(-n/8) is under 65 from n = 10 on."""
    alone = signals(toy_days.trigger_day())
    day = toy_days.trigger_day()
    day.touches.append(toy_touch(day, k=60, touch=1, kind="OR_HIGH"))
    assert signals(day) == alone
    assert [k for k, row in alone.items() if row["trigger"] == "BREAK"] == list(range(58, 83))
    assert [k for k, row in signals(day, 1).items() if row["trigger"] == "BREAK"] == list(range(71, 89))


def test_more_evidence_is_more_confidence():
    """Changed: by turnover of the barrier, by prints, and by how many of barrier, fuel and tape are known."""
    for turnover, prints, parts, raw, expected in (
        (1.0, 20, 3, 50.0, "HIGH"), (0.99, 20, 3, 50.0, "MEDIUM"), (1.0, 19, 3, 50.0, "MEDIUM"), (1.0, 20, 2, 50.0, "MEDIUM"),
        (0.25, 5, 2, 50.0, "MEDIUM"), (0.24, 20, 3, 50.0, "LOW"), (1.0, 4, 3, 50.0, "LOW"), (1.0, 20, 1, 50.0, "LOW"),
        (math.nan, 20, 3, 50.0, "LOW"), (1.0, 20, 3, math.nan, "LOW"),
    ):  # fmt: skip
        found = CONFIDENCES[confidence(inputs(prints=prints, turnover=turnover), parts, raw, SCORE)]
        assert found == expected, (turnover, prints, parts, raw)


def test_weights_sum_to_one():
    assert SCORE.liquidity + SCORE.hedge + SCORE.tape == approx(1)
    with pytest.raises(ValueError, match="score weights sum to"):
        Config.model_validate({"score": {"w_l": 0.55, "w_h": 0.35, "w_t": 0.35}})


# ---- batch: a day at once ----


def busy_day():
    """Three touches of one level, one of them from above, over trades, flow and a moving book."""
    trades = [(k, 50, L + k % 3 - 1, 3 + k % 5, "BA"[k % 2]) for k in range(2, 118, 3)]
    flow = {(k, "AB"[k % 2], L + k % 4 - 1): (k % 7, k % 5, k % 6) for k in range(1, 119, 2)}
    books = {0: QUIET_BOOK, 50: ladder(L - 2, L - 1), 90: ladder(L, L + 1)}
    day = toy_day(121, books, trades, flow)
    for touch, (k, direction) in enumerate(((20, "UP"), (40, "DOWN"), (60, "UP"))):
        day.touches.append(toy_touch(day, direction, k=k, touch=touch, thetas=(40, 40, 40), attempt_index=touch + 1))
    return day


def test_a_book_has_ten_levels_a_side():
    snaps = packed(SNAPS, busy_day().snaps)
    assert {snaps[f"{side}_{what}"].shape for side in ("bid", "ask") for what in ("ticks", "size")} == {(121, 10)}
    assert (snaps["ts"][1:] > snaps["ts"][:-1]).all()


def test_many_touches_are_scored_as_each_would_be_alone():
    day = busy_day()
    together = {touch: signals(day, touch) for touch in range(3)}
    for number, touch in enumerate(day.touches):
        alone = replace(day, touches=[touch | {"touch": 0}])
        rows = signals(alone)
        assert len(rows) == 121 - touch["k"]
        assert {k: row | {"touch": number} for k, row in rows.items()} == together[number]


def test_features_and_scores_say_the_same_of_the_same_moment():
    """From 5 s after the touch on both tell the reaction; before, the score tells the approach."""
    day, same = busy_day(), ("barrier_state", "barrier_turnover", "replenishment_ratio", "barrier_delta_liq")
    same += ("wall_ratio", "tape_velocity", "tape_rate", "tape_prints", "fuel_effect", "gamma_exposure")
    for touch, k in ((0, 40), (0, 120), (1, 60), (2, 99)):
        found, row = features(day, k, touch), signals(day, touch)[k]
        assert {name: found[name] for name in same} == {name: row[name] for name in same}
    found, row = features(day, 20), signals(day)[30]
    for name in ("barrier_state", "barrier_turnover", "replenishment_ratio", "tape_velocity", "tape_prints"):
        assert found[f"approach_{name}"] == row[name]


@BOTH
def test_nothing_happened(direction):
    """Changed: what is counted is 0, what is a share or a mean of nothing is null."""
    day = toy_day(41, {0: QUIET_BOOK})
    day.touches.append(toy_touch(day, direction))
    found = features(day, 40)
    has(found, tape_buy_volume=0, tape_sell_volume=0, tape_prints=0, tape_rate=0, barrier_turnover=0, barrier_state="NEUTRAL")
    has(found, tape_imbalance=None, tape_mean_size=None, tape_large_share=None, sweep_direction=None, pull_ratio=None)
    has(found, fuel_effect="UNKNOWN", gamma_exposure=None, excursion_max=0, excursion_min=0)
