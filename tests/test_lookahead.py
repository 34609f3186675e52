"""Nothing looks ahead: what was known at a moment t depends on the records up to t alone.

The short day is run again with the records after t cut off, and with nonsense in their place, for moments all over the day. Every
row that was known at t must have the bytes of the full run, column by column. `leaks` is the check, a function of the Day that is
used, so that Days with a planted leak can show that it sees them.
"""

from functools import cache, lru_cache

import numpy as np
import pytest

from spymaster_assets.compute.context import position
from spymaster_assets.compute.stream import Day
from spymaster_assets.features import FEATURES, HORIZONS
from tests import short_day

END, NS, SNAP, TICK = short_day.SESSION.globex.end, 1_000_000_000, 250_000_000, short_day.CONFIG.instrument.tick
PLACE = {  # what names a row
    "touches": ("touch",), "features": ("touch", "k"), "signals": ("touch", "k"), "labels": ("touch", "k"),
    "sequences": ("touch", "k", "scale", "step"),
}  # fmt: skip
KNOWN = {"levels": "valid_from", "touches": "t0"}  # when a row is known, if not at its ts
TABLES = ("snaps", "prints", "flow", "bars", "levels", "touches", "features", "signals", "sequences", "options")
CHANGES = ("cut", "scrambled")


@cache
def times():
    """Effective times of the records."""
    return np.maximum.accumulate(short_day.records()["ts_event"].astype(np.int64))


def made(make, rows, until, events=None):
    """A day of `make` fed with some records and option events and complete up to `until`."""
    day = make(short_day.SESSION, short_day.CONFIG, short_day.priors())
    short_day.begin(day, short_day.option_events() if events is None else events)
    day.step(rows, until)
    return day


def options(change, after):
    """The option events once those after a moment are cut off, or are as many others: other contracts, prices, sizes and sides."""
    events, rng = short_day.option_events().copy(), np.random.default_rng(after % 2**32)
    first = int(np.searchsorted(events["ts"], after, side="right"))
    if change == "cut":
        return events[:first]
    part, count = events[first:], len(events) - first
    part["ts"], part["contract"] = np.sort(rng.integers(after + 1, END + 1, count)), rng.choice(list(short_day.contracts()), count)
    part["price"], part["size"], part["side"] = rng.integers(1, 400, count) * 50_000_000, rng.integers(1, 90, count), ord("B")
    part["ask"] = part["price"] + 50_000_000
    return events


@lru_cache(maxsize=8)
def scrambled(after):
    """The records, with nonsense in place of those after a moment: as many, later than it, of random books, trades and sides."""
    rows, rng = short_day.records().copy(), np.random.default_rng(after % 2**32)
    first = int(np.searchsorted(times(), after, side="right"))
    part, count = rows[first:], len(rows) - first
    part["ts_event"] = np.sort(rng.integers(after + 1, END + 1, count))
    part["ts_recv"] = part["ts_event"] + np.uint64(1000)
    part["action"], part["side"] = rng.choice(list(b"ACMT"), count), rng.choice(list(b"ABN"), count)
    part["flags"] = rng.choice([130, 128, 0, 32, 4], count, p=[0.5, 0.3, 0.18, 0.01, 0.01])
    middle = int(np.median(rows["levels"]["bid_px"][:, 0])) // TICK + rng.integers(-60, 61, count)
    part["price"], part["size"] = (middle + rng.integers(-9, 10, count)) * TICK, rng.integers(1, 200, count)
    steps = np.cumsum(rng.integers(1, 3, (2, count, 10)), axis=2)
    levels = part["levels"]
    levels["bid_px"] = (middle[:, None] - steps[0]) * TICK
    levels["ask_px"] = (middle[:, None] - 1 + steps[1]) * TICK
    levels["bid_sz"], levels["ask_sz"] = rng.integers(1, 200, (2, count, 10))
    return rows


def options_of(day, closed):
    """Option flow up to a snap."""
    rows = day.options.flow.rows
    return rows[rows["k"] <= closed]


def tables_of(day, until):
    """The rows that were known at a moment, by table, in the order of their names."""
    closed = (until - day.clock.open) // SNAP
    flow = day.flow.rows
    tables = {
        "snaps": day.snaps[: day.closed + 1], "prints": day.prints.rows, "flow": flow[flow["k"] <= closed],
        "bars": np.concatenate([bars.rows for bars in day.bars.values()]), "levels": day.levels.rows,
        "touches": day.touches.rows, "features": day.features.rows, "signals": day.signals.rows,
        "sequences": short_day.sequences(day), "options": options_of(day, closed),
    }  # fmt: skip
    known = {
        name: rows if name in ("flow", "options") else rows[rows[KNOWN.get(name, "ts")] <= until] for name, rows in tables.items()
    }
    return {name: np.sort(rows, order=PLACE[name]) if name in PLACE else rows for name, rows in known.items()}


def differing(expected, found):
    """The columns in which two tables differ; {"rows"} if they do not have the same rows."""
    names = expected.dtype.names
    if len(expected) != len(found) or any(expected[name].tobytes() != found[name].tobytes() for name in {"k", "touch"} & {*names}):
        return {"rows"}
    return {name for name in names if expected[name].tobytes() != found[name].tobytes()}


def leaks(make, change, moments):
    """table -> columns whose known values are other ones once the records after a moment are cut off or scrambled."""
    full, found = made(make, short_day.records(), END), {name: set() for name in TABLES}
    for t in moments:
        rows = short_day.records()[times() <= t] if change == "cut" else scrambled(t)
        part = tables_of(made(make, rows, t if change == "cut" else END, options(change, t)), t)
        for name, expected in tables_of(full, t).items():
            found[name] |= differing(expected, part[name]) if expected.tobytes() != part[name].tobytes() else set()
    return found


@cache
def moments():
    """At touches and just before and after them, at landmarks and a snap after, within a snap, at bars and buckets, anywhere."""
    touches = made(Day, short_day.records(), END).touches.rows
    t0, rng = [int(t) for t in touches["t0"]], np.random.default_rng(0)
    found = [*t0[::3], t0[4] - SNAP, t0[7] - 1, t0[5] + SNAP, t0[9] + 1]
    found += [t0[3] + 15 * NS, t0[6] + 60 * NS, t0[6] + 60 * NS + SNAP, t0[-1] + 240 * NS, t0[8] + 7 * NS + 3 * SNAP + 1]
    found += [short_day.at(clock) for clock in ("09:30", "09:45", "10:00")]
    return (*found, *(int(t) for t in rng.integers(short_day.at("08:05"), short_day.at("10:45"), 4)))


@cache
def found(change):
    return leaks(Day, change, moments())


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("feature", FEATURES, ids=[feature.name for feature in FEATURES])
def test_feature(feature, change):
    assert not found(change)["features"] & {feature.name, "rows"}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("table", TABLES)
def test_table(table, change):
    assert found(change)[table] == set()


def test_moments_are_telling():
    """Moments lie right at touches and landmarks; tables hold something at them, and nonsense changes the rest of the day."""
    full, changed = made(Day, short_day.records(), END), 0
    assert len({int(t) for t in full.touches.rows["t0"]} & set(moments())) >= 6
    assert len({int(t) for t in full.features.rows["ts"]} & set(moments())) >= 9
    for t in moments()[:6]:
        later = made(Day, scrambled(t), END)
        assert all(len(rows) for rows in tables_of(full, t).values())
        changed += full.features.rows[-1:].tobytes() != later.features.rows[-1:].tobytes()
    assert changed == 6


# ---- planted leaks are found, each in its column and nowhere else ----


class PositionAhead(Day):
    def features_at(self, number, k, row):
        """The mid of the next snap."""
        super().features_at(number, k, row)
        row["position"] = position(k + 1, self.snaps, self.touches.array[number : number + 1], TICK, 4 * TICK)


class OnePrintMore(Day):
    def features_at(self, number, k, row):
        """The first print after t0, if it is near."""
        super().features_at(number, k, row)
        touch = self.touches.array[number]
        after = self.prints.array[int(self.snaps[touch["k"]]["prints"])]
        row["approach_tape_prints"] += abs(int(after["ticks"]) * TICK - int(touch["price"])) <= 500_000_000


class FlowAhead(Day):
    def features_at(self, number, k, row):
        """What is added in the snap after t."""
        super().features_at(number, k, row)
        row["added_rate_5"] += self.flow.array["added"][self.flow.array["k"] == k + 1].sum()


class EntryAhead(Day):
    def _freeze(self, touch):
        """The latest print a snap after the touch."""
        super()._freeze(touch)
        touch["entry_ticks"] = self.snaps["last"][int(touch["k"][0]) + 1]


class ScoreAhead(Day):
    def advance_signals(self):
        """The book of the next snap."""
        super().advance_signals()
        rows = self.signals.rows
        rows["mid2"] = self.snaps["mid2"][np.minimum(rows["k"] + 1, self.clock.count)]


class LevelAhead(Day):
    def advance_levels(self):
        """A level that ends when the day's last record comes."""
        super().advance_levels()
        self.levels.rows["valid_to"][:1] = self.grid.hidden["time"][0]


class FuelAhead(Day):
    def features_at(self, number, k, row):
        """The next trade after t."""
        super().features_at(number, k, row)
        flow = self.options.flow.rows
        row["gex_at"] += flow["volume"][(flow["k"] > k) & (flow["trades"] > 0)][:1].sum()


class SequenceAhead(Day):
    def sequences(self, at, count):
        """The prints of a snap after the last step."""
        rows = super().sequences(at, count)
        rows["trades"] += self.snaps["prints"][np.minimum(rows["k"] + 1, self.clock.count)] - self.snaps["prints"][rows["k"]]
        return rows


PLANTED = {
    PositionAhead: ("features", "position"),
    OnePrintMore: ("features", "approach_tape_prints"),
    FlowAhead: ("features", "added_rate_5"),
    EntryAhead: ("touches", "entry_ticks"),
    FuelAhead: ("features", "gex_at"),
    ScoreAhead: ("signals", "mid2"),
    LevelAhead: ("levels", "valid_to"),
    SequenceAhead: ("sequences", "trades"),
}
AllAhead = type("AllAhead", tuple(PLANTED), {})  # one day with all of them, each in a column of its own


@pytest.mark.parametrize("change", CHANGES)
def test_planted_leaks_are_found(change):
    seen = leaks(AllAhead, change, (*moments()[:3], moments()[10]))
    expected = {name: {column for table, column in PLANTED.values() if table == name} for name in TABLES}
    assert seen == expected


# ---- labels end where they say ----


@cache
def labels_of(after):
    """Labels of the day whose records after a moment are nonsense, by (touch, k)."""
    day = Day(short_day.SESSION, short_day.CONFIG, short_day.priors())
    day.take(short_day.records() if after is None else scrambled(after))
    day.complete(END)
    day.advance_path()
    day.advance_touches()
    return {(int(row["touch"]), int(row["k"])): row for row in day.labels()}


@pytest.mark.parametrize("name", HORIZONS)
def test_labels_do_not_read_past_their_end(name):
    """Nonsense after label_end changes no label of the horizon; nonsense after t does."""
    full, changed = labels_of(None), 0
    columns = [column for column in next(iter(full.values())).dtype.names if column.endswith(f"_{name}")]
    assert len(columns) == 13
    for (number, k), row in list(full.items())[::12]:
        assert row[f"label_end_{name}"] == row["ts"] + HORIZONS[name] * NS
        cut = labels_of(int(row[f"label_end_{name}"]))[number, k]
        assert [column for column in columns if cut[column].tobytes() != row[column].tobytes()] == []
        after = labels_of(int(row["ts"]))[number, k]
        assert after["anchor_spot"] == row["anchor_spot"]
        changed += any(after[column].tobytes() != row[column].tobytes() for column in columns)
    assert changed >= 4
