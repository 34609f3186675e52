"""What the earlier system's tests asked of its labels, its levels and their surroundings, asked of ours (test_behaviours.py)."""

import itertools
import math

import pytest

from spymaster_assets.compute.black76 import price
from spymaster_assets.states import LEVEL_KINDS
from spymaster_assets.tables import LABELS, LEVELS
from tests.rows import plain
from tests.toy_days import K0, QUIET_BOOK, L, at, toy_day, toy_session, toy_touch
from tests.toy_product import features, has, product

BOTH = pytest.mark.parametrize("direction", ["UP", "DOWN"])


# ---- labels: horizons of 2, 4, 8 minutes need 2, 2.5, 3 points ----


def labels(*trades, direction="UP", end=725.0, count=K0 + 2881, elapsed=0, **touch):
    """The labels at so many seconds after the touch; prints as (seconds after the touch, ticks from the level)."""
    rows = []
    for seconds, ticks in trades:
        k = math.ceil((seconds + 5) * 4)
        rows.append((k, (seconds + 5) * 1000 - 250 * (k - 1), L + ticks, 1, "B"))
    day = toy_day(count, {0: QUIET_BOOK}, rows, session=toy_session(end=end))
    day.touches.append(toy_touch(day, direction, thetas=(8, 10, 12), **touch))
    found = {row["elapsed"]: row for row in plain(LABELS, product(day).labels())}
    return found[elapsed]


@pytest.mark.parametrize(("ticks", "up", "down"), [(8, "BREAK", "BOUNCE"), (-8, "BOUNCE", "BREAK"), (7, "CHOP", "CHOP")])
def test_what_is_reached_first_and_its_mirror(ticks, up, down):
    trades = ((30, ticks), (60, -ticks))
    assert labels(*trades)["outcome_2min"] == up
    assert labels(*trades, direction="DOWN")["outcome_2min"] == down


def test_both_sides_within_a_snap():
    """Changed: that was CHOP, or what the whole horizon's excursions said; the earlier print decides."""
    first = labels((30.01, 8), (30.02, -8), (100, -20))
    assert (first["outcome_2min"], first["time_to_break_2_2min"], first["time_to_bounce_2_2min"]) == ("BREAK", 30.01, 30.02)
    assert labels((30.01, -8), (30.02, 8), (100, 20))["outcome_2min"] == "BOUNCE"


def test_a_horizon_ends_to_the_nanosecond():
    """Changed: it had a minute more. A print at its end counts, one after it does not."""
    assert labels((120, 8))["outcome_2min"] == "BREAK"
    assert labels((120.001, 8))["outcome_2min"] == "CHOP"


def test_what_came_before_the_touch_decides_nothing():
    """Changed: the minute of the touch counted from its beginning."""
    assert labels((-1, -20), (30, 8))["outcome_8min"] == "CHOP"
    assert labels((-1, -20), (30, 8))["outcome_2min"] == "BREAK"
    assert labels((-1, -20), (30, 8))["excursion_min_8min"] == 0


def test_nothing_traded_is_a_chop_and_nothing_observed_is_censored():
    """Changed: both were UNDEFINED, or CHOP. What was reached before t is RESOLVED."""
    quiet = labels()
    has(quiet, outcome_2min="CHOP", outcome_8min="CHOP", excursion_max_2min=0, strength_abs_2min=0, tradeable_1_2min=0)
    has(quiet, future_price_2min=None, time_to_break_1_2min=None)
    cut = labels((110, 8), end=100.0)
    has(cut, outcome_2min="CENSORED", outcome_8min="CENSORED", excursion_max_2min=None, tradeable_1_2min=None)
    late = labels((10, 8), (100, 10), elapsed=15)
    has(late, outcome_2min="RESOLVED", excursion_max_2min=None, outcome_4min="BREAK", time_to_break_2_4min=85, outcome_8min="CHOP")


# ---- levels ----


def levels_of(day, options=()):
    """The levels that the product finds, by kind, each in order of time."""
    made = product(day, options=options)
    made.advance_path()
    found = {}
    for row in plain(LEVELS, made.levels.rows):
        found.setdefault(row["kind"], []).append(row)
    return found


def morning(trades, seconds=1270):
    """04:00 is 60 s after the open, 09:30 after 360 s, 09:45 after 1,260 s; prints as (seconds, ticks from 6000)."""
    rows = [(round(when * 4), 250, L + ticks, 1, "B") for when, ticks in trades]
    return toy_day(seconds * 4 + 1, {0: QUIET_BOOK}, rows, session=toy_session(premarket=60, regular=360))


def test_without_prints_there_are_no_levels():
    assert levels_of(morning(())) == {}


def test_levels_are_there_once_they_are_known():
    """Changed: live showed extremes while they were forming, and opening ranges held before they were complete."""
    trades = ((30, 90), (100, 9), (200, -7), (360, 3), (400, 20), (900, -4))
    found, fixed = levels_of(morning(trades)), ("ON_HIGH", "ON_LOW", "PM_HIGH", "PM_LOW", "OR_HIGH", "OR_LOW")
    assert {kind: [(row["ticks"] - L, row["valid_from"]) for row in found[kind]] for kind in fixed} == {
        "ON_HIGH": [(90, at(360))], "ON_LOW": [(-7, at(360))], "PM_HIGH": [(9, at(360))], "PM_LOW": [(-7, at(360))],
        "OR_HIGH": [(20, at(1260))], "OR_LOW": [(-4, at(1260))],
    }  # fmt: skip
    assert levels_of(morning(trades[:4], seconds=359)) == {}


def test_no_two_levels_of_a_kind_hold_at_once():
    for rows in levels_of(morning(((30, 90), (400, 20), (900, -4), (1000, 51)))).values():
        assert all(row["valid_to"] <= after["valid_from"] for row, after in itertools.pairwise(rows))


def test_the_round_number_is_the_nearest_one():
    """Changed: there was one every ten points; ours is the multiple of 25 nearest to the last print, half up, told every two
    minutes. 6012.25 is nearer to 6000, 6012.50 as near to 6025."""
    found = levels_of(morning(((30, 0), (500, 49), (700, 50), (1000, -51))))["ROUND"]
    assert [(row["valid_from"], row["price"] / 1e9) for row in found] == [
        (at(360), 6000), (at(480), 6000), (at(600), 6000), (at(720), 6025), (at(840), 6025), (at(960), 6025), (at(1080), 5975),
        (at(1200), 5975),
    ]  # fmt: skip


def option(strike, sold=0, k=1400):
    """A row of option flow: dealers bought `sold` lots from customers; a quote at 60 % a year, out of the money."""
    call, total = int(strike >= 6000), 0.6 * math.sqrt(8760 / 31_536_000)
    mid = round(price(6000.0, float(strike), total, bool(call)) * 1e9)
    return {
        "k": k, "strike": strike * 10**9, "call": call, "expiration": at(k / 4 + 8760), "signed": -sold, "volume": abs(sold),
        "unsigned": 0, "trades": int(sold != 0), "quotes": 1, "premium": 0, "last": None, "bid": mid - 10**6, "ask": mid + 10**6,
    }  # fmt: skip


def test_walls_lie_on_either_side_of_the_price():
    """The call wall above, the put wall below: the strikes that dampen most. Changed: any size will do (it was 50,000), and calls
    and puts count together. Strikes of which dealers are short (5990, 6005) are none, nor are those 60 points away."""
    lots = {5940: 9000, 5980: 90, 5985: 100, 5990: -900, 5995: 0, 6000: 0, 6005: -900, 6010: 700, 6025: 600, 6060: 9000}
    found = levels_of(morning(((30, 0),)), [option(*one) for one in lots.items()])
    for kind, strike in (("CALL_WALL", 6010), ("PUT_WALL", 5985)):
        assert {row["price"] for row in found[kind]} == {strike * 10**9}
        assert [row["valid_from"] for row in found[kind]][:2] == [at(360), at(480)]
    short = levels_of(morning(((30, 0),)), [option(strike, -100) for strike in lots])
    assert not {"CALL_WALL", "PUT_WALL"} & {*short} and "ROUND" in short


# ---- surroundings: a touch of PM_HIGH at 6000 with the mid an eighth of a point below, sigma .1, ATR 1 ----


def beside(direction="UP", kind="PM_HIGH", since=0, **others):
    """The features of a touch at t0 = 5 s; other levels by kind, in points from the level, in force after `since` seconds."""
    day = toy_day(41, {0: QUIET_BOOK})
    day.touches.append(toy_touch(day, direction, kind=kind))
    rows = [
        {"kind": other, "price": round((6000 + points) * 1e9), "ticks": L, "valid_from": at(since), "valid_to": at(80_000)}
        for other, points in sorted(({kind: 0} | others).items(), key=lambda one: LEVEL_KINDS.index(one[0]))
    ]
    return features(day, K0, levels=rows)


def test_the_runway_ends_at_the_nearest_strong_level_in_the_direction_of_the_break():
    """Changed: weak kinds are passed over (ROUND weighs .3, VWAP .7; .8 is strong), and it is told over volatility too."""
    others = {"ROUND": 1, "VWAP": 2, "OR_HIGH": 3, "SMA_200": 8, "OR_LOW": -2.5, "SMA_400": -20}
    has(beside("UP", **others), runway=3, runway_sigma=3 / (0.1 * math.sqrt(240)))
    has(beside("DOWN", **others), runway=2.5)
    has(beside("UP", SMA_200=8, SMA_400=-20), runway=8)


def test_without_an_obstacle_the_runway_is_unknown():
    """Changed: it was infinite. A level at the very price of the touched one, its own kind, a weak one and one that is not yet in
    force are no obstacles."""
    for others in ({}, {"OR_LOW": -1}, {"OR_HIGH": 0}, {"VWAP": 5}, {"OR_HIGH": 5, "since": 5}):
        has(beside("UP", **others), runway=None, runway_sigma=None)
    has(beside("UP", OR_HIGH=5, since=4.75), runway=5)


@BOTH
@pytest.mark.parametrize(("points", "pressure"), [(0, 1), (1, 0.8), (-2.5, 0.5), (5, 0), (-5.25, 0)])
def test_confluence_fades_with_distance(direction, points, pressure):
    """Of a single other level, on either side. At five points it is counted still."""
    has(beside(direction, OR_HIGH=points), confluence_pressure=pressure, confluence_count=0.9 * (abs(points) <= 5))


def test_confluence_is_weighted_by_kind():
    """Changed: kinds that were ignored count a little; in place of grades from 0 to 10 there are the numbers themselves."""
    found = beside(OR_HIGH=1, ROUND=-2.5, PD_CLOSE=20)
    has(found, confluence_count=1.2, confluence_pressure=(0.9 * 0.8 + 0.3 * 0.5) / 2.0)
    has(beside(), confluence_count=0, confluence_pressure=None, level_stacking_10pt=0)


def test_stacking_counts_levels_within_two_five_and_ten_points():
    """Ends included; the touched level is not one of them."""
    found = beside(OR_HIGH=2, OR_LOW=-2.25, SMA_200=5, VWAP=-10, PUT_WALL=10.25, ROUND=0)
    has(found, level_stacking_2pt=2, level_stacking_5pt=4, level_stacking_10pt=5)


@pytest.mark.parametrize(("apart", "up"), [(1, 1), (-1, -1), (0.05, 0), (-0.05, 0), (0.051, 1)])
def test_alignment_is_the_trend_toward_the_break(apart, up):
    """Changed: +1 where the shorter average lies toward the break of the longer one; it was +1 where the trend holds the level."""
    averages = {"SMA_200": -20 + apart, "SMA_400": -20}
    has(beside("UP", **averages), confluence_alignment=up)
    has(beside("DOWN", **averages), confluence_alignment=-up)
    assert beside("UP", kind="SMA_200", SMA_200=0, SMA_400=-apart)["confluence_alignment"] == up
    assert beside("UP", SMA_200=5)["confluence_alignment"] is None


def test_distances_count_from_the_mid_toward_the_break():
    found, down = beside("UP", OR_HIGH=3, VWAP=-1), beside("DOWN", OR_HIGH=3, VWAP=-1)
    has(found, dist_to_or_high=3.125, dist_to_or_high_atr=3.125, dist_to_vwap_sigma=-0.875 / (0.1 * math.sqrt(240)))
    has(down, dist_to_or_high=-3.125, dist_to_or_high_atr=-3.125, dist_to_vwap_sigma=0.875 / (0.1 * math.sqrt(240)))
    has(found, dist_to_pm_high=None, dist_to_pm_high_sigma=None, dist_to_or_low=None)
