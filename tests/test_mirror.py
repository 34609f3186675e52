"""Symmetries of the whole chain: a market upside down, and a market a few ticks higher.

Upside down: prices reflected through C ticks (p -> 2C - p), bids and asks swapped, buyers and sellers too, in the priors as well.
Highs become lows and every touch has its mirror at the same moment with the other direction; "toward the break" stays what it was,
so features are equal or swap with the column that `mirror` names, scores and labels stay. Higher: every price + n ticks moves
prices and nothing else.

Four things are not symmetric, and are treated so: the value of a sweep in USD grows with the price; the nearest tick of a level
that lies half way between two is rounded up (touches of such levels are left out); `consumed_share` and `acceleration_coefficient`
of day_summary look from the nearest tick of the mid, which is half way most of the time; Black's formula lives on ratios of prices,
so fuel agrees within 2 %.
"""

from dataclasses import replace
from functools import cache, cached_property
from types import SimpleNamespace

import numpy as np
import pytest

from spymaster_assets import dbn
from spymaster_assets.compute.barrier import Barrier
from spymaster_assets.compute.fuel import Exposure
from spymaster_assets.compute.geometry import geometry
from spymaster_assets.compute.grid import NO_ASK, NO_BID, UNKNOWN
from spymaster_assets.compute.score import SCORING, Inputs, score_params, tape_score, trigger
from spymaster_assets.compute.tape import Tape
from spymaster_assets.features import FEATURES
from spymaster_assets.states import BREAK_TRIGGER, CONSUMED, FUEL_UNKNOWN, LEVEL_KINDS, NEUTRAL, NO_TRIGGER, REJECT_TRIGGER
from tests import short_day

CONFIG = short_day.CONFIG
SCORE = score_params(CONFIG, 4)
TICK, USD = CONFIG.instrument.tick, CONFIG.instrument.multiplier / CONFIG.instrument.point
REFLECTED = {  # kinds that change places; the others stay
    "PM_HIGH": "PM_LOW", "OR_HIGH": "OR_LOW", "PD_HIGH": "PD_LOW", "ON_HIGH": "ON_LOW", "VWAP_UPPER": "VWAP_LOWER",
    "CALL_WALL": "PUT_WALL",
}  # fmt: skip
REFLECTED |= {b: a for a, b in REFLECTED.items()}
KIND = np.array([LEVEL_KINDS.index(REFLECTED.get(name, name)) for name in LEVEL_KINDS])
ROUND_TICKS = round(CONFIG.levels.round_points * CONFIG.instrument.point) // TICK
SESSION = {"session_high": "session_low", "session_low": "session_high", "session_close": "session_close"}  # ticks, as floats
OTHER = np.arange(256, dtype=np.uint8)
OTHER[[ord("A"), ord("B")]] = ord("B"), ord("A")
SWAPPED = {  # columns that change places
    "bid_size": "ask_size", "bid_shown": "ask_shown", "buy_volume": "sell_volume", "buy_prints": "sell_prints", "bid_m": "ask_m",
    "bought": "sold",
}  # fmt: skip
SWAPPED |= {b: a for a, b in SWAPPED.items()}
PRICED = {  # columns in ticks, and the column whose reflection they are
    "ticks": "ticks", "last": "last", "high": "low", "low": "high", "open": "open", "close": "close", "entry_ticks": "entry_ticks",
    "entry_high": "entry_low", "entry_low": "entry_high",
} | {f"future_price_{name}": f"future_price_{name}" for name in ("2min", "4min", "8min")}  # fmt: skip
SORTED_BY = {  # what names a row
    "flow": ["k", "side", "ticks"], "levels": ["valid_from", "kind"], "features": ["touch", "k"], "signals": ["touch", "k"],
}  # fmt: skip


class Mirror:
    """Reflection through a round number in the middle of the day's prices."""

    @cached_property
    def center(self):
        return int(np.median(short_day.records()["levels"]["bid_px"][:, 0])) // TICK // ROUND_TICKS * ROUND_TICKS

    def price(self, prices):
        return np.where(prices == dbn.UNDEF_PRICE, prices, 2 * self.center * TICK - prices)

    def ticks(self, ticks, unknown=UNKNOWN):
        return np.where(ticks == unknown, ticks, 2 * self.center - ticks)

    def ladder(self, rows, side):
        """Prices of one side of the book from those of the other; an unlisted bid and an unlisted ask have numbers of their own."""
        ticks, unlisted, here = (rows["ask_ticks"], NO_ASK, NO_BID) if side == "bid" else (rows["bid_ticks"], NO_BID, NO_ASK)
        return np.where(ticks == unlisted, here, self.ticks(ticks))

    def mid2(self, mid2):
        return np.where(mid2 == UNKNOWN, mid2, 4 * self.center - mid2)

    def records(self):
        rows = short_day.records().copy()
        rows["price"], rows["side"] = self.price(rows["price"]), OTHER[rows["side"]]
        levels, before = rows["levels"], short_day.records()["levels"]
        for name in ("px", "sz", "ct"):
            for side, other in (("bid", "ask"), ("ask", "bid")):
                values = before[f"{other}_{name}"]
                levels[f"{side}_{name}"] = self.price(values) if name == "px" else values
        return rows

    def contracts(self):
        """Calls become puts."""
        return {
            instrument: replace(one, strike=2 * self.center * TICK - one.strike, call=not one.call)
            for instrument, one in short_day.contracts().items()
        }

    def priors(self):
        return self.table("priors", short_day.priors())

    def column(self, name, rows):
        """A column of the mirrored table from the table's rows."""
        if name in PRICED:
            return self.ticks(rows[PRICED[name]])
        if name in ("bid_ticks", "ask_ticks"):
            return self.ladder(rows, name[:3])
        if name in ("mid2", "anchor_spot"):
            return self.mid2(rows[name])
        if name == "price":
            return self.price(rows[name])
        if name == "kind":
            return KIND[rows[name]]
        if name in SESSION:
            return 2.0 * self.center - rows[SESSION[name]]
        if name == "direction":
            return 1 - rows[name]
        if name == "side":
            return OTHER[rows[name]]
        if name == "ofi":
            return -rows[name]
        return rows[SWAPPED.get(name, name)]

    def table(self, name, rows):
        """The mirrored table, in the order of its key."""
        found = np.zeros(len(rows), rows.dtype)
        for column in rows.dtype.names:
            found[column] = self.column(column, rows)
        return np.sort(found, order=SORTED_BY[name]) if name in SORTED_BY else found


class Shift(Mirror):
    """Every price so many ticks higher."""

    def __init__(self, ticks):
        self.by = ticks

    def price(self, prices):
        return np.where(prices == dbn.UNDEF_PRICE, prices, prices + self.by * TICK)

    def ticks(self, ticks, unknown=UNKNOWN):
        return np.where(ticks == unknown, ticks, ticks + self.by)

    def ladder(self, rows, side):
        return self.ticks(rows[f"{side}_ticks"], NO_BID if side == "bid" else NO_ASK)

    def mid2(self, mid2):
        return np.where(mid2 == UNKNOWN, mid2, mid2 + 2 * self.by)

    def records(self):
        rows = short_day.records().copy()
        rows["price"] = self.price(rows["price"])
        for name in ("bid_px", "ask_px"):
            rows["levels"][name] = self.price(rows["levels"][name])
        return rows

    def contracts(self):
        return {instrument: replace(one, strike=one.strike + self.by * TICK) for instrument, one in short_day.contracts().items()}

    def column(self, name, rows):
        if name in PRICED:
            return self.ticks(rows[name])
        if name in SESSION:
            return rows[name] + self.by
        if name in ("mid2", "anchor_spot", "price", "bid_ticks", "ask_ticks"):
            return super().column(name, rows)
        return rows[name]


CHANGES = {"mirror": Mirror(), "+49 ticks": Shift(ROUND_TICKS), "-147 ticks": Shift(-3 * ROUND_TICKS)}
UPSIDE_DOWN = "mirror"


@cache
def tables(change):
    """Every table of the day after a change; None: as it is."""
    if change is None:
        day = short_day.run(short_day.records(), short_day.priors())
    else:
        day = short_day.run(CHANGES[change].records(), CHANGES[change].priors(), of=CHANGES[change].contracts())
    found = {name: getattr(day, name).rows for name in ("prints", "flow", "levels", "touches", "features", "signals")}
    found |= {"snaps": day.snaps, "bars 1": day.bars[1].rows, "bars 2": day.bars[2].rows}
    found |= {"summary": day.summary(), "labels": day.labels(), "sequences": short_day.sequences(day)}
    return {name: np.sort(rows, order=SORTED_BY[name]) if name in SORTED_BY else rows for name, rows in found.items()}


@cache
def pairs(change):
    """The numbers of the day's touches, and of the touches that belong to them after a change."""
    before, after = tables(None)["touches"], tables(change)["touches"]
    number = {(int(touch["k"]), int(touch["kind"])): int(touch["touch"]) for touch in after}
    kind = KIND if change == UPSIDE_DOWN else np.arange(len(LEVEL_KINDS))
    left_out = (change == UPSIDE_DOWN) & (before["price"] % TICK == TICK // 2)
    found = {int(touch["touch"]): number[int(touch["k"]), int(kind[touch["kind"]])] for touch in before[~left_out]}
    return SimpleNamespace(touch=found, after={b: a for a, b in found.items()})


def of_pairs(name, change):
    """Rows of a table (by touch) and those that belong to them, in the same order."""
    before, after = tables(None)[name], tables(change)[name]
    numbers = pairs(change)
    before = before[np.isin(before["touch"], list(numbers.touch))].copy()
    after = after[np.isin(after["touch"], list(numbers.after))].copy()
    after["touch"] = [numbers.after[int(number)] for number in after["touch"]]
    return before, np.sort(after, order=[key for key in ("touch", "k", "scale", "step") if key in after.dtype.names])


def same(expected, found):
    """Equal values, nulls in the same places. (Bytes would tell 0 from -0: a velocity of nothing times -1.)"""
    return np.array_equal(expected, found, equal_nan=expected.dtype.kind == "f")


def near(expected, found):
    """Within 2 %, of the value or of the column's larger ones (sums cancel out); nulls in the same places."""
    large = np.nanquantile(np.abs(expected), 0.9) if not np.isnan(expected).all() else 0.0
    return np.allclose(expected, found, rtol=0.02, atol=0.02 * large, equal_nan=True)


def differing(expected, found, but=()):
    """The columns in which two tables differ; {"rows"} if they have not as many rows."""
    if len(expected) != len(found):
        return {"rows"}
    return {name for name in expected.dtype.names if name not in but and not same(expected[name], found[name])}


def test_short_day_has_enough_touches():
    assert len(tables(None)["touches"]) == len(tables(UPSIDE_DOWN)["touches"])
    for change in CHANGES:
        assert len(pairs(change).touch) >= 12
        assert len(of_pairs("features", change)[0]) > 80
    assert (Mirror().table("snaps", tables(None)["snaps"])["mid2"] != tables(None)["snaps"]["mid2"]).mean() > 0.9


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["snaps", "prints", "flow", "bars 1", "bars 2", "levels", "summary"])
def test_path(name, change):
    expected, found, but = CHANGES[change].table(name, tables(None)[name]), tables(change)[name], set()
    if change == UPSIDE_DOWN and name == "summary":
        but = {"consumed_share", "acceleration_coefficient"}
    if change == UPSIDE_DOWN and name == "levels":
        clear = expected["price"] % TICK != TICK // 2
        assert clear.mean() > 0.8
        expected, found = expected[clear], found[clear]
    if name == "summary":
        assert near(expected["gamma_threshold"], found["gamma_threshold"]) and not np.isnan(expected["gamma_threshold"]).all()
        but |= {"gamma_threshold"}
    assert differing(expected, found, but) == set()


@pytest.mark.parametrize("change", CHANGES)
def test_touches(change):
    before, after = of_pairs("touches", change)
    after["episode"] = [pairs(change).after.get(int(number), -1) for number in after["episode"]]
    assert differing(CHANGES[change].table("touches", before), after) == set()
    assert set(before["direction"]) == {0, 1}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("feature", FEATURES, ids=[feature.name for feature in FEATURES])
def test_feature(feature, change):
    before, after = of_pairs("features", change)
    assert before["k"].tobytes() == after["k"].tobytes()
    name = feature.mirror if feature.mirror and change == UPSIDE_DOWN else feature.name
    if feature.family == "fuel" and not feature.categories:
        sign = -1 if name.startswith("-") else 1
        assert near(sign * before[feature.name], after[name.removeprefix("-")])
        return
    if not feature.name.endswith("sweep_notional"):
        assert same(before[feature.name], after[name])
        return
    lots = before[feature.name.replace("notional", "size")]
    price = before[feature.name] / (lots * USD)
    moved = 2 * CHANGES[change].center * TICK - price if change == UPSIDE_DOWN else price + CHANGES[change].by * TICK
    np.testing.assert_allclose(after[name], lots * USD * moved, rtol=1e-12)
    assert not np.isnan(lots).all()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["signals", "labels", "sequences"])
def test_scores_labels_and_sequences(name, change):
    before, after = of_pairs(name, change)
    for column in {"gamma_exposure", "exposure"} & {*before.dtype.names}:
        assert near(before[column], after[column])
    assert differing(CHANGES[change].table(name, before), after, {"gamma_exposure", "exposure"}) == set()


def test_registry_mirrors_both_ways():
    named = {feature.name: feature.mirror for feature in FEATURES}
    assert all(named[mirror.removeprefix("-")].removeprefix("-") == name for name, mirror in named.items() if mirror)
    assert any(named.values())


# ---- the price alone reflected through the level: a break becomes a bounce ----


def inputs(velocity, imbalance, sweep, prints=9):
    nan = np.nan
    barrier = Barrier(NEUTRAL, nan, nan, nan, nan, nan, nan, nan, nan)
    tape = Tape(0, 0, prints, nan, imbalance, nan, nan, nan, nan, nan, nan, -1)
    return Inputs(barrier, tape, velocity, nan, sweep, Exposure(FUEL_UNKNOWN, nan, nan))


@pytest.mark.parametrize("seed", range(20))
def test_tape_score_of_the_opposite_tape(seed):
    rng = np.random.default_rng(seed)
    velocity, imbalance, sweep = rng.normal() if seed % 4 else np.nan, rng.uniform(-1, 1), int(rng.choice([-1, 0, 0, 1]))
    sigma = rng.uniform(0.03, 0.5)
    score = tape_score(inputs(velocity, imbalance, sweep), sigma, SCORE)
    assert tape_score(inputs(-velocity, -imbalance, -sweep), sigma, SCORE) == pytest.approx(100 - score, abs=1e-12)
    assert (score > 50) == (sweep > 0 or (not sweep and 25 * np.tanh(np.nan_to_num(velocity) / (1.6 * sigma)) + 25 * imbalance > 0))
    assert np.isnan(tape_score(inputs(velocity, imbalance, 0, 4), sigma, SCORE))


@pytest.mark.parametrize("state", [NEUTRAL, CONSUMED])
def test_trigger_of_the_opposite_scores(state):
    """BREAK and REJECT change places, CONTESTED stays."""
    rng, params = np.random.default_rng(1), score_params(CONFIG, 4)
    here, there = np.zeros(1, SCORING), np.zeros(1, SCORING)
    opposite, seen = {BREAK_TRIGGER: REJECT_TRIGGER, REJECT_TRIGGER: BREAK_TRIGGER}, set()
    score = 50.0
    for _ in range(5000):
        score = min(max(score + rng.integers(-24, 25) / 4, 0.0), 100.0)
        found = trigger(score, state, 3.0, here, params)
        assert trigger(100.0 - score, state, 3.0, there, params) == opposite.get(found, found)
        seen.add(found)
    assert seen >= {BREAK_TRIGGER, REJECT_TRIGGER, NO_TRIGGER}


@pytest.mark.parametrize("seed", range(20))
def test_geometry_of_the_opposite_position(seed):
    rng = np.random.default_rng(seed)
    x, theta, sigma, spacing = rng.uniform(-4, 4), rng.integers(8, 30) / 4, rng.uniform(0.03, 0.4), rng.uniform(0.01, 2)
    odds, opposite = (geometry(at, theta, sigma, spacing, 240.0, 0.25) for at in (x, -x))
    assert opposite == pytest.approx((odds.bounce, odds.break_, odds.chop), abs=1e-12)
    assert (odds.break_ > odds.bounce) == (x > 0)
