"""Frames against a twin that follows the rule record by record, and what has to hold of them whatever the rule.

Record contents are random bytes, so that a frame has to hand on every bit; types, lengths and event times alone are set. Sources
reuse their array, as the reader of DBN files does.
"""

from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spymaster_assets.dbn import SCHEMAS
from spymaster_assets.sessions import Window
from spymaster_live.frames import Cutting, Source, frames
from spymaster_live.messages import CHANNELS, Clock, Frame

START = 1_748_952_000_000_000_000
CARRIED = {
    "definitions": ["definition"], "option_statistics": ["statistics"], "option_quotes": ["tbbo", "bbo-1s"],
    "option_trades": ["trades"], "futures_mbp10": ["mbp-10"], "futures_trades": ["trades"],
}  # fmt: skip
fast = settings(max_examples=100, deadline=None, derandomize=True, database=None)


class Case(NamedTuple):
    """What is cut: the event times of each channel (ns after START) and its schema, how a source hands them out, and how to cut."""

    channels: dict
    pieces: list
    window: Window
    cutting: Cutting


@st.composite
def cases(draw):
    length = draw(st.integers(1, 80))
    names = draw(st.permutations(draw(st.lists(st.sampled_from(list(CHANNELS)), unique=True, max_size=5))))
    moves = st.lists(st.tuples(st.integers(0, 9), st.one_of(st.just(0), st.integers(0, 15))), max_size=14)
    channels = {}
    for name in names:
        schema, steps = draw(st.sampled_from(CARRIED[name])), draw(moves)
        clock = np.cumsum([step for step, _ in steps], dtype=int)
        times = [int(at) - late for at, (_, late) in zip(clock, steps, strict=True)]
        channels[name] = schema, [time for time in times if 0 < time <= length]
    sizes = [SCHEMAS[schema].dtype.itemsize for schema, _ in channels.values()]
    room = draw(st.integers(max(sizes, default=1), 2000))
    span, clock, coarse = (draw(st.integers(1, 40)) for _ in range(3))
    begin = draw(st.one_of(st.just(0), st.integers(START - 5, START + length + 5)))
    pieces = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    cutting = Cutting(span, clock, room, draw(st.integers(0, 6)), begin, coarse)
    return Case(channels, pieces, Window(START, START + length), cutting)


@cache
def noise(schema):
    return np.random.default_rng(len(schema)).bytes(64 * SCHEMAS[schema].dtype.itemsize)


def records_of(schema, times):
    """Records with these event times (ns after START), the rest of them noise."""
    layout = SCHEMAS[schema]
    rows = np.frombuffer(noise(schema), layout.dtype)[: len(times)].copy()
    rows["rtype"], rows["length"] = layout.rtype, layout.dtype.itemsize // 4
    rows[layout.index] = START + np.array(times, np.int64)
    return rows


def chunks(rows, pieces):
    """The rows piece by piece, in an array that is spoilt when the next piece is asked for."""
    at = number = 0
    while at < len(rows):
        piece = rows[at : at + pieces[number % len(pieces)]].copy()
        yield piece
        at, number = at + len(piece), number + 1
        piece.view(np.uint8)[:] = 0xAA


def cut(case, pieces=None):
    """The messages of a case."""
    pieces = pieces or case.pieces
    sources = {name: Source(schema, chunks(records_of(schema, times), pieces)) for name, (schema, times) in case.channels.items()}
    return list(frames("run", sources, case.window, case.cutting))


def plain(message):
    """A message as numbers and bytes."""
    if isinstance(message, Clock):
        return message.run, message.watermark
    return message.run, message.channel, message.schema, message.first, message.records.tobytes(), message.watermark


def twin(case):
    """The rule, with lists: what `plain` makes of the messages."""
    merged, rows, (start, end) = [], {}, case.window
    for rank, name in enumerate(CHANNELS):
        if name in case.channels:
            schema, times = case.channels[name]
            rows[name] = records_of(schema, times)
            merged += [(START + max(times[: number + 1]), rank, number) for number in range(len(times))]
    merged.sort()
    fitting = case.cutting.room // max([SCHEMAS[schema].dtype.itemsize for schema, _ in case.channels.values()], default=1)
    most = min(fitting, case.cutting.most) if case.cutting.most else fitting
    told, found = start, []
    while start < end:
        begin = case.cutting.begin
        until = min(start + case.cutting.coarse, begin) if start < begin else start + case.cutting.span
        until = min(until, end)
        inside = [one for one in merged if start < one[0] <= until]
        if not inside and until - told >= case.cutting.clock and until < end:
            found.append(("run", until))
            told = until
        while inside:
            frame, inside = inside[:most], inside[most:]
            mark = inside[0][0] - 1 if inside else until
            ranks = sorted({rank for _, rank, _ in frame})
            for rank in ranks:
                name, numbers = list(CHANNELS)[rank], [number for _, its, number in frame if its == rank]
                data = b"".join(rows[name][number].tobytes() for number in numbers)
                found.append(("run", name, case.channels[name][0], numbers[0], data, mark if rank == ranks[-1] else told))
            told = mark
        start = until
    return [*found, ("run", end)]


@fast
@given(cases())
def test_twin(case):
    assert [plain(message) for message in cut(case)] == twin(case)


@fast
@given(cases())
def test_every_record_once_and_in_order(case):
    found = [message for message in cut(case) if isinstance(message, Frame)]
    assert {frame.channel for frame in found} == {name for name, (_, times) in case.channels.items() if times}
    for name, (schema, times) in case.channels.items():
        its = [frame for frame in found if frame.channel == name]
        assert [frame.first for frame in its] == np.cumsum([0, *(len(frame.records) for frame in its)])[:-1].tolist()
        assert b"".join(frame.records.tobytes() for frame in its) == records_of(schema, times).tobytes()
        assert all(len(frame.records) and frame.schema == schema for frame in its)


@fast
@given(cases())
def test_a_watermark_never_lies(case):
    """Nothing that comes after a message is as early as its watermark, and watermarks never fall."""
    told, latest = case.window.start, dict.fromkeys(case.channels, 0)
    for message in cut(case):
        if isinstance(message, Frame):
            for time in message.records[SCHEMAS[message.schema].index].view("i8").tolist():
                latest[message.channel] = max(latest[message.channel], time)
                assert latest[message.channel] > told
        assert message.watermark >= told
        told = message.watermark
    assert isinstance(message, Clock) and told == case.window.end


@fast
@given(cases(), st.lists(st.integers(1, 20), min_size=1, max_size=3))
def test_chunks_of_the_source_do_not_show(case, pieces):
    assert [plain(message) for message in cut(case, pieces)] == [plain(message) for message in cut(case)]


@fast
@given(cases())
def test_a_frame_fits(case):
    for message in cut(case):
        if isinstance(message, Frame):
            assert message.records.nbytes <= case.cutting.room and len(message.records) <= (case.cutting.most or 2**62)


def one(times, span, clock=1000, most=0, begin=0, length=100, **channels):
    """A case of trades at these times, beside other channels; up to `begin` ns after START in spans of 40 ns."""
    sources = {"futures_trades": ("trades", times)} | {name: (CARRIED[name][0], its) for name, its in channels.items()}
    return Case(sources, [3], Window(START, START + length), Cutting(span, clock, 1 << 16, most, START + begin, 40))


def told(case):
    """(channel or clock, records, watermark after START) of each message."""
    return [
        ("clock", 0, message.watermark - START) if isinstance(message, Clock)
        else (message.channel, len(message.records), message.watermark - START)
        for message in cut(case)
    ]  # fmt: skip


TRADES = "futures_trades"


@pytest.mark.parametrize(
    "case, expected",
    [
        (one([], 10), [("clock", 0, 100)]),
        (one([], 10, clock=30), [("clock", 0, 30), ("clock", 0, 60), ("clock", 0, 90), ("clock", 0, 100)]),
        (one([], 10, clock=50), [("clock", 0, 50), ("clock", 0, 100)]),  # the last one tells the end itself
        (one([10, 11], 10), [(TRADES, 1, 10), (TRADES, 1, 20), ("clock", 0, 100)]),  # a span holds its end
        (one([15], 10, clock=30), [(TRADES, 1, 20), ("clock", 0, 50), ("clock", 0, 80), ("clock", 0, 100)]),
        (one([99], 60), [(TRADES, 1, 100), ("clock", 0, 100)]),  # the last span is shorter
        (one([5, 12, 41, 60, 61], 10, begin=55), [(TRADES, 2, 40), (TRADES, 1, 55), (TRADES, 2, 65), ("clock", 0, 100)]),
        (one([5, 3, 8], 10, most=2), [(TRADES, 2, 7), (TRADES, 1, 10), ("clock", 0, 100)]),
        (one([5, 5, 5], 10, most=2), [(TRADES, 2, 4), (TRADES, 1, 10), ("clock", 0, 100)]),  # records of a moment are parted
        (one([25, 4, 31], 10), [(TRADES, 2, 30), (TRADES, 1, 40), ("clock", 0, 100)]),  # a late record counts when it came
        (
            one([5, 9], 10, definitions=[7], futures_mbp10=[5, 7]),
            [("definitions", 1, 0), ("futures_mbp10", 2, 0), (TRADES, 2, 10), ("clock", 0, 100)],
        ),
        (
            one([5], 10, most=1, definitions=[5], futures_mbp10=[5]),
            [("definitions", 1, 4), ("futures_mbp10", 1, 4), (TRADES, 1, 10), ("clock", 0, 100)],
        ),
    ],
)
def test_by_hand(case, expected):
    assert told(case) == expected


def test_a_source_is_read_no_further_than_needed():
    """Up to the end of the span: the first record after it may be in the chunk that was read, no chunk behind that one is."""
    asked, rows = [], records_of("trades", range(1, 61))

    def source():
        for number in range(60):
            asked.append(number)
            yield rows[number : number + 1]

    for message in frames("run", {TRADES: Source("trades", source())}, Window(START, START + 60), Cutting(10, 60, 1 << 16)):
        assert len(asked) <= message.watermark - START + 1
    assert len(asked) == 60


def test_the_cases_are_rich():
    """Ties between channels, late records, spans of several frames, clocks and empty inputs occur among what is drawn."""
    seen = set()

    @fast
    @given(cases())
    def look(case):
        messages = cut(case)
        moments = [{max(times[: n + 1]) for n in range(len(times))} for _, times in case.channels.values()]
        seen.update(
            name for name, holds in {
                "ties": len(set().union(*moments)) < sum(map(len, moments)),
                "late": any(b < a for _, times in case.channels.values() for a, b in pairwise(times)),
                "clocks": sum(isinstance(message, Clock) for message in messages) > 1,
                "cuts": any(isinstance(m, Frame) and m.watermark not in case.cutting.ends(case.window) for m in messages),
                "channels": len(case.channels) > 3,
                "nothing": not case.channels,
                "coarse": START < case.cutting.begin < case.window.end,
            }.items() if holds
        )  # fmt: skip

    look()
    assert seen == {"ties", "late", "clocks", "cuts", "channels", "nothing", "coarse"}
