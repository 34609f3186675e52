"""Chunks, watermarks and restarts do not show: any way of feeding a date gives the same bytes.

The reference is the short day in one piece. Two days are fed: the simulated one, and an unruly one with late, flagged, unpriced and
clearing records, whose state between two records is richer. A watermark says "everything up to here has come", so it may be any
moment before the effective time of the next record.
"""

import pickle
from functools import cache

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from spymaster_assets import dbn
from spymaster_assets.compute.stream import Day
from spymaster_assets.states import CONTEXT_KINDS, LEVEL_KINDS
from tests import short_day

END, NS, SNAP = short_day.SESSION.globex.end, 1_000_000_000, 250_000_000
KEYS = {"features": ["touch", "k"], "signals": ["touch", "k"]}
DAYS = ("simulated", "unruly")


@cache
def records(name):
    rows = short_day.records()
    return unruly(rows) if name == "unruly" else rows


def unruly(rows):
    """The same records with late ones, resets, events without an end, undefined prices and trades without an aggressor."""
    rows, rng = rows.copy(), np.random.default_rng(5)
    trades = rows["action"] == ord("T")

    def some(share, of):
        return of & (rng.random(len(rows)) < share)

    late = some(0.02, trades | ~trades)
    rows["ts_event"][late] -= rng.integers(1, 2 * NS, late.sum()).astype(np.uint64)
    rows["action"][some(0.001, ~trades)] = ord("R")
    rows["flags"][some(0.1, ~trades)] &= 127
    rows["flags"][some(0.01, ~trades)] |= 32
    rows["flags"][some(0.01, ~trades)] |= 4
    rows["side"][some(0.05, trades)] = ord("N")
    rows["price"][some(0.01, trades)] = dbn.UNDEF_PRICE
    return rows


@cache
def effective(name):
    """Effective time of each record, and the end of the day behind the last."""
    return np.append(np.maximum.accumulate(records(name)["ts_event"].astype(np.int64)), END + 1)


def bytes_of(day):
    """Every table of a finished day; those that are written touch by touch or snap by snap sorted by their key."""
    tables = {
        "snaps": day.snaps, "prints": day.prints.rows, "flow": day.flow.rows, "bars 1": day.bars[1].rows,
        "bars 2": day.bars[2].rows, "levels": day.levels.rows, "touches": day.touches.rows, "signals": day.signals.rows,
        "options": day.options.flow.rows, "chain": day.chain.rows.rows, "features": day.features.rows, "labels": day.labels(),
        "summary": day.summary(), "sequences": short_day.sequences(day),
    }  # fmt: skip
    return {name: (np.sort(rows, order=KEYS[name]) if name in KEYS else rows).tobytes() for name, rows in tables.items()}


def assert_same(found, expected):
    assert [name for name in expected if found[name] != expected[name]] == []


def new_day():
    """A day that knows its open interest and no record."""
    return short_day.begin(Day(short_day.SESSION, short_day.CONFIG, short_day.priors()), short_day.option_events()[:0])


def offered(day, since, until):
    """Feed the option events from number `since` on, up to a moment; the number of the next."""
    behind = max(since, int(np.searchsorted(short_day.option_events()["ts"], until, side="right")))
    short_day.offer(day, short_day.option_events()[since:behind])
    return behind


@cache
def reference(name):
    """The day in one piece, as bytes."""
    return bytes_of(short_day.run(records(name), short_day.priors()))


@cache
def touched(name):
    """The moments of the touches."""
    return [int(t0) for t0 in short_day.run(records(name), short_day.priors()).touches.rows["t0"]]


@cache
def cores(name):
    """Records around which something happens: at the touches, at the ends of their windows, at 09:30 and around the halt."""
    moments = [t0 + seconds * NS for t0 in touched(name) for seconds in (0, 5, 60, 240)]
    moments += [short_day.at(clock) for clock in ("08:30", "09:30", "09:45", *short_day.HALT, "10:45")]
    return np.searchsorted(effective(name)[:-1], moments, side="right").tolist()


def pieces(name):
    """A way of feeding the day: (records up to, watermark or None, advance the tables, restart) for each step, in order."""
    rows = len(records(name))
    place = st.one_of(st.integers(0, rows), st.tuples(st.sampled_from(cores(name)), st.integers(-3, 3)).map(sum))
    mark = st.one_of(st.none(), st.just(1.0), st.floats(0, 1), st.integers(-3 * 3600, -1))
    piece = st.tuples(place.map(lambda at: min(max(at, 0), rows)), mark, st.integers(0, 3).map(bool), st.booleans())
    return st.lists(piece, min_size=1, max_size=14).map(lambda found: sorted(found, key=lambda piece: piece[0]))


def watermark(name, at, mark):
    """None; far behind the next record (whole seconds); or the last moments before it (a share of the way from the last one)."""
    times = effective(name)
    last, following = int(times[at - 1]) if at else short_day.SESSION.globex.start, int(times[at])
    if mark is None or isinstance(mark, int):
        return mark and following + mark * NS
    return following - 1 if mark == 1.0 else last - 1 + int((following - last) * mark)


def fed(name, plan):
    """A day fed by a plan, and completed."""
    day, start, options = new_day(), 0, 0
    for at, mark, advance, restart in (*plan, (len(records(name)), 1.0, True, False)):
        day.take(records(name)[start:at])
        limit = watermark(name, at, mark)
        if limit is not None:
            options = offered(day, options, limit + (at % 3) * SNAP)  # later ones may come early
            day.complete(limit)
        if advance:
            day.step(records(name)[at:at])
        if restart:
            day = pickle.loads(pickle.dumps(day, protocol=5))
        start = at
    return day


@pytest.mark.parametrize("name", DAYS)
def test_any_pieces_and_restarts(name):
    @settings(max_examples=20, deadline=None, derandomize=True, database=None, phases=[Phase.generate])  # shrinking takes minutes
    @given(pieces(name))
    def check(plan):
        assert_same(bytes_of(fed(name, plan)), reference(name))

    check()


@pytest.mark.parametrize("name", DAYS)
def test_one_record_a_step(name):
    """Around a touch, each record by itself, with every watermark that is allowed after it in turn."""
    for around in cores(name)[8:36:9]:
        plan = [(at, (1.0, None, 0.5, -7)[at % 4], True, at % 50 == 0) for at in range(around - 60, around + 60)]
        assert_same(bytes_of(fed(name, plan)), reference(name))


def minutes(name):
    return range(short_day.SESSION.globex.start, END, 60 * NS)


def snaps_of_touches(name):
    """The ends of the snaps around every touch and every landmark."""
    landmarks = short_day.CONFIG.touches.landmarks
    return [t0 + seconds * NS + number * SNAP for t0 in touched(name) for seconds in landmarks for number in range(-2, 3)]


@pytest.mark.parametrize("name", DAYS)
@pytest.mark.parametrize("frames", [minutes, snaps_of_touches])
def test_frames_as_in_live(name, frames):
    """Frame by frame; a frame ends with the watermark that closes its last snap."""
    marks, day, start, options = sorted(frames(name)), new_day(), 0, 0
    for mark, at in zip(marks, np.searchsorted(effective(name)[:-1], marks, side="right").tolist(), strict=True):
        options = offered(day, options, mark)
        day.step(records(name)[start:at], mark)
        start = at
    offered(day, options, END)
    day.step(records(name)[start:], END)
    assert_same(bytes_of(day), reference(name))


@pytest.mark.parametrize("name", DAYS)
def test_batch(name):
    """Everything at once, table after table, in another order where two do not need each other."""
    day = new_day()
    day.take(records(name))
    offered(day, 0, END)
    day.complete(END)
    for advance in (day.advance_options, day.advance_path, day.advance_touches, day.advance_signals, day.advance_features):
        advance()
    assert_same(bytes_of(day), reference(name))


def test_reference_is_not_empty():
    for name in DAYS:
        assert min(map(len, reference(name).values())) > 0
    assert reference("simulated")["flow"] != reference("unruly")["flow"]
    day = short_day.run(records("unruly"), short_day.priors())
    assert min(int(day.snaps[name][-1]) for name in ("late", "resets")) > 100
    assert int(day.grid.hidden["unpriced"][0]) > 5 and int(day.grid.hidden["discarded"][0]) > 0
    assert day.touches.count > 10


def test_any_kind_of_level_can_be_touched():
    """All as signal kinds: each has rows, kinds of context are touched, and chunks do not show."""
    levels = short_day.CONFIG.levels.model_copy(update={"signal_kinds": LEVEL_KINDS, "context_kinds": ()})
    config = short_day.CONFIG.model_copy(update={"levels": levels})
    days = []
    for count in (1, 40):
        day = short_day.begin(Day(short_day.SESSION, config, short_day.priors()), short_day.option_events())
        for part in np.array_split(short_day.records(), count):
            day.step(part, int(part["ts_event"].astype(np.int64).max()) - 1)
        day.step(short_day.records()[:0], short_day.SESSION.globex.end)
        days.append(day)
    whole, pieces = days
    assert {LEVEL_KINDS[kind] for kind in whole.levels.rows["kind"]} == {*LEVEL_KINDS}
    touched = {LEVEL_KINDS[kind] for kind in whole.touches.rows["kind"]}
    assert len(touched & {*CONTEXT_KINDS}) >= 4 and whole.touches.count > 20
    for name in ("levels", "touches", "features", "signals"):
        rows = [getattr(one, name).rows for one in (whole, pieces)]
        one, other = (np.sort(part, order=KEYS[name]) if name in KEYS else part for part in rows)
        assert one.tobytes() == other.tobytes(), name
