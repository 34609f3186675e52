"""The short day as messages, and what the engine says to them.

Every message goes through its bytes, as on the bus.
"""

import json
from collections import Counter
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

from spymaster_assets import dbn
from spymaster_assets.compute.stream import Day
from spymaster_assets.sessions import Window, calendar
from spymaster_live import engine as live
from spymaster_live.engine import Engine
from spymaster_live.frames import Cutting, Source, frames
from spymaster_live.messages import FLOWS, ROWS, Frame, Session, read, unpack
from spymaster_live.parity import difference
from tests import short_day, test_chunks

S, NS = short_day.SESSION, 1_000_000_000
RUN = "2025-06-03.7741"
SPANS = {"250 ms": NS // 4, "1 s": NS, "60 s": 60 * NS}
PART = short_day.at("09:50")  # where the day is cut off for tests that need not see all of it


@pytest.fixture(scope="module", autouse=True)
def calendar_of_the_short_day():
    """The engine asks the calendar for the times of a date; for short_day's date it is told short_day's own, else the truth."""

    def short(config):
        return SimpleNamespace(session=lambda date: S if date == S.date else calendar(config).session(date))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "calendar", short)
        yield


@cache
def day(name="simulated"):
    """The day in one piece; its options are only in the one of that name."""
    if name == "with options":
        return short_day.run(short_day.records(), short_day.priors())
    made = Day(S, short_day.CONFIG, short_day.priors())
    made.step(test_chunks.records(name), S.globex.end)
    return made


def session(run=RUN, **changed):
    first = Session(run, str(S.date), "ESM5 by volume", S.globex.start, 60 * NS, 0, 0, "in", "cfg", "", short_day.priors())
    return replace(first, **changed)


def other_channels():
    """Trades at the times of the book's trades, sampled quotes every 3 s, and a few definitions."""
    book = short_day.records()
    times = {
        "futures_trades": ("trades", book["ts_event"][book["action"] == ord("T")]),
        "option_quotes": ("bbo-1s", np.arange(S.globex.start + NS, S.globex.end, 3 * NS)),
        "definitions": ("definition", S.globex.start + NS * np.array([1, 1, 2, 4000, 9000])),
    }
    return {name: (schema, records_at(schema, at)) for name, (schema, at) in times.items()}


@cache
def option_channels():
    """Definitions and open interest, sent before the session, and the options' quotes and trades in it."""
    sent = {schema: short_day.simulated()[schema] for schema in ("definition", "statistics", "tbbo")}
    quotes = sent["tbbo"][(sent["tbbo"]["ts_event"] > S.globex.start) & (sent["tbbo"]["ts_event"] <= S.globex.end)]
    trades = records_at("trades", quotes["ts_event"])
    for name in ("instrument_id", "price", "size", "action", "side", "ts_recv", "sequence"):
        trades[name] = quotes[name]
    return {
        "definitions": ("definition", sent["definition"]), "option_statistics": ("statistics", sent["statistics"]),
        "option_quotes": ("tbbo", quotes), "option_trades": ("trades", trades),
    }  # fmt: skip


def records_at(schema, times):
    rows, layout = np.zeros(len(times), dbn.SCHEMAS[schema].dtype), dbn.SCHEMAS[schema]
    rows["rtype"], rows["length"], rows[layout.index] = layout.rtype, layout.dtype.itemsize // 4, times
    return rows


def cut(most, span, name="simulated", window=S.globex, run=RUN, others=()):
    """The frames and clocks of the records of a window."""
    rows = test_chunks.records(name)
    effective = test_chunks.effective(name)[:-1]
    rows = rows[(effective > window.start) & (effective <= window.end)]
    channels = {"futures_mbp10": ("mbp-10", rows), **dict(others)}
    sources = {channel: Source(schema, iter([records])) for channel, (schema, records) in channels.items() if len(records)}
    return list(frames(run, sources, Window(*window), Cutting(SPANS[span], NS, 1 << 19, most)))


def spliced(most, span, start, end, until=PART, others=()):
    """The day up to a moment, in frames of another cutting between two moments and in large ones before and after."""
    found, counts, large = [], Counter(), (0, "60 s")
    for cutting, *window in ((large, S.globex.start, start), ((most, span), start, end), (large, end, until)):
        after = window[0] if found else 0  # what was sent before the session comes first of all
        beside = {channel: (schema, within(schema, rows, after, window[1])) for channel, (schema, rows) in others}
        part = cut(*cutting, window=Window(*window), others=beside.items())
        found += [replace(one, first=one.first + counts[one.channel]) if isinstance(one, Frame) else one for one in part]
        for one in part:
            if isinstance(one, Frame):
                counts[one.channel] += len(one.records)
    return found


def within(schema, rows, after, until):
    """The records of a channel whose effective time lies in (after, until]."""
    times = np.maximum.accumulate(rows[dbn.SCHEMAS[schema].index].astype(np.int64))
    return rows[(times > after) & (times <= until)]


def wire(message):
    """A message as it comes out of the bus: read-only arrays among them."""
    sent = message.message()
    return read(sent.subject, sent.headers, sent.data)


class Said:
    """What an engine says to messages, in order."""

    def __init__(self, messages, first=None, engine=None):
        self.engine = engine or Engine(short_day.CONFIG)
        self.messages = []
        self.take(first or session())
        for message in messages:
            self.take(message)

    def take(self, message):
        said = self.engine.take(wire(message))
        self.messages += said
        return said

    def of(self, subject):
        return [message for message in self.messages if message.subject == subject]

    @property
    def lines(self):
        return [line for message in self.of("levels.signals") for line in message.data.splitlines()]

    def rows(self, subject="levels.rows", tables=ROWS):
        parts = [unpack(tables, message.headers["Rows"], message.data) for message in self.of(subject)]
        return {table.name: np.concatenate([part[table.name] for part in parts]) for table in tables}


def assert_same(said, expected):
    """The same lines, rows and flow."""
    assert said.lines == expected.lines
    mine, theirs = said.rows(), expected.rows()
    assert [difference(table, mine[table.name], theirs[table.name]) for table in ROWS] == [None] * len(ROWS)
    mine, theirs = (one.rows("levels.flow", FLOWS) for one in (said, expected))
    assert [mine[table.name].tobytes() == theirs[table.name].tobytes() for table in FLOWS] == [True] * len(FLOWS)


@cache
def whole(name="simulated"):
    """What is said to the whole day."""
    return Said(cut(512, "60 s", name, others=option_channels().items() if name == "with options" else ()))


@cache
def part():
    """The first messages of the day in frames of 64 records, up to PART."""
    return [message for message in cut(64, "60 s") if message.watermark <= PART]


@cache
def said_to_part():
    """Compared with the day in test_part_of_a_day."""
    return Said(part())


def strict(line):
    """The payload of a line; AssertionError if it is not JSON by the letter."""

    def no(word):
        raise AssertionError(f"{word} in a payload")

    return json.loads(line, parse_constant=no)


POINT, TICK, BAND, NEAR = 1_000_000_000, 250_000_000, 250_000_000, 1_000_000_000
