"""The engine without I/O: market messages in, messages with rows and signals out. It calls compute.stream and nothing else.

What it says about a snap depends on the records up to that snap alone: not on frames, restarts or the time of day. Every closed
snap is worked on, in order. Messages that it cannot read or place are refused with BadMessage and change nothing.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from spymaster_assets import dbn
from spymaster_assets.compute.clock import BUCKETS
from spymaster_assets.compute.display import dealers
from spymaster_assets.compute.grid import FARTHEST
from spymaster_assets.compute.growing import Growing
from spymaster_assets.compute.stream import Day
from spymaster_assets.config import Config
from spymaster_assets.lake import LakeError
from spymaster_assets.schema import Table
from spymaster_assets.sessions import calendar
from spymaster_assets.tables import (
    BARS,
    DEALERS,
    FEATURE_ROWS,
    FLOW,
    FUTURES_MBP10,
    LEVELS,
    PREDICTIONS,
    SIGNALS,
    SNAPS,
    STRIKES,
    TOUCHES,
)
from spymaster_live import messages
from spymaster_live.messages import FLOWS, ROWS, SCHEMAS, VERSION, BadMessage, Clock, Frame, Message, Session, pack
from spymaster_live.options import OptionRecords
from spymaster_live.payload import lines, opinions

if TYPE_CHECKING:
    from spymaster_assets.served import Served

BOOK: Final = FUTURES_MBP10.name  # the channel that the tables are made from
SNAPS_A_MESSAGE: Final = 128
MOST_MISSING: Final = 1_000_000_000  # records: more than a date has; a header that says so is wrong


Models = Callable[[dt.date, str], "Served | None"]


def no_models(date: dt.date, model: str) -> None:
    """Without models."""


def check(message: Frame | Clock, expected: int, end: int, config: Config) -> None:
    """Whether a message can belong to a date that ends at `end` (ns UTC), before anything of it is used; else BadMessage.

    `expected`: the number of the next record of a frame's channel.
    """
    if message.watermark > end:
        raise BadMessage(f"watermark {message.watermark} lies after the end of the date, {end}")
    if not isinstance(message, Frame):
        return
    if (gap := message.first - expected) > MOST_MISSING:
        raise BadMessage(f"header First is {message.first}: {gap} records of {message.channel} would be missing")
    if message.schema not in SCHEMAS[message.channel]:
        allowed = ", ".join(SCHEMAS[message.channel])
        raise BadMessage(f"schema {message.schema} on channel {message.channel}; expected {allowed}")
    if int(message.records[dbn.SCHEMAS[message.schema].index].max()) > end:
        raise BadMessage(f"a record lies after the end of the date, {end}")
    if message.channel != BOOK:
        return
    levels, farthest = message.records["levels"], FARTHEST * config.instrument.tick
    for prices in (message.records["price"], levels["bid_px"], levels["ask_px"]):
        if (((prices > farthest) & (prices != dbn.UNDEF_PRICE)) | (prices < -farthest)).any():
            raise BadMessage(f"a price lies farther than {FARTHEST} ticks from zero")


@dataclass
class Tally:
    """What came in, beside the result."""

    frames: int = 0
    records: Counter[str] = field(default_factory=Counter)
    repeated: int = 0  # records that had come before
    missing: int = 0  # records that never came
    dead: int = 0  # messages that could not be read


class Engine:
    """One run after the other; `take` returns what is to be published, in order."""

    def __init__(self, config: Config, models: Models = no_models) -> None:
        """`models`: from the date and the session's header Model to what scores it; LakeError where that is not to be had."""
        self.config, self._models = config, models
        self.session: Session | None = None
        self.tally = Tally()
        self.watermark = 0

    @property
    def done(self) -> bool:
        """Whether the run's date is over."""
        return self.session is not None and self.watermark >= self.day.clock.globex_end

    def take(self, message: Frame | Session | Clock) -> list[Message]:
        """Work on one message. Raises BadMessage for one that does not belong here."""
        if isinstance(message, Session):
            return self._begin(message)
        if self.session is None or message.run != self.session.run:
            here = f"the session is of run {self.session.run}" if self.session else "no session has begun"
            raise BadMessage(f"run {message.run}: {here}")
        expected = self._next[message.channel] if isinstance(message, Frame) else 0
        check(message, expected, self.day.clock.globex_end, self.config)
        if isinstance(message, Frame):
            self._feed(message)
        return self._close(message.watermark)

    def _begin(self, session: Session) -> list[Message]:
        if self.session is not None and session.run == self.session.run:
            return []  # the feed was started again
        if len(session.priors) not in (0, BUCKETS):
            raise BadMessage(f"{len(session.priors)} rows of priors; expected {BUCKETS}, or none")
        try:
            date = dt.date.fromisoformat(session.date)
            if not 0 <= session.complete_from <= calendar(self.config).session(date).globex.end:
                raise ValueError(f"header Complete-From is {session.complete_from}, after the date's end")
            day = Day(
                calendar(self.config).session(date), self.config, np.array(session.priors), complete_from=session.complete_from
            )
        except ValueError as error:
            raise BadMessage(f"session of {session.date}: {error}") from error
        self.session, self.day, self.tally, self.watermark = session, day, Tally(), 0
        self.options = OptionRecords(day)
        self.model_trouble: str | None = None
        self.served: Served | None = None
        try:
            self.served = self._models(date, session.model)
        except (LakeError, OSError, ValueError) as error:  # it goes on without, and says so
            self.model_trouble = str(error)
        self._predictions = Growing(PREDICTIONS.dtype, 64)
        self._bars = Growing(BARS.dtype)  # of every length, in order of their close
        self._next: Counter[str] = Counter()
        self._told = self._flowed = self._barred = -1  # the last snap that was told about, whose flow was, whose bars are there
        self._seconds = np.zeros(0, np.int64)  # last snaps of seconds that are told about and not complete
        self._seen = dict.fromkeys((table.name for table in ROWS), 0)
        self._partial = session.complete_from > day.clock.open
        return []

    def _feed(self, frame: Frame) -> None:
        """Place a frame in its channel and feed its records."""
        expected, behind = self._next[frame.channel], frame.first + len(frame.records)
        fresh = frame.records[max(0, expected - frame.first) :]
        self.tally.frames += 1
        self.tally.repeated += len(frame.records) - len(fresh)
        if not len(fresh):
            return
        if frame.channel == BOOK:
            self.day.take(np.array(fresh))  # writable: the kernels are compiled for that
        else:
            self.options.take(frame.channel, frame.schema, fresh)
        self.tally.missing += max(0, frame.first - expected)
        self.tally.records[frame.channel] += len(fresh)
        self._next[frame.channel] = behind

    def _close(self, watermark: int) -> list[Message]:
        """Close the snaps up to a watermark, run the steps over them, and say what is to be said."""
        if watermark <= self.watermark:
            return []
        self.watermark = watermark
        self.options.open_by(watermark)
        before = self.day.features.count
        self.day.step(_NOTHING, watermark)
        if self.served and self.day.features.count > before:
            _append(self._predictions, self.served.predictions(self.day, self.day.features.rows[before:]))
        fresh = np.concatenate([bars.rows[bars.rows["k"] > self._barred] for bars in self.day.bars.values()])
        _append(self._bars, fresh[np.lexsort([fresh["minutes"], fresh["k"]])])
        self._barred = self.day.closed
        told = self._tell()
        return [*told, *self._rest()] if self.done else told

    def _tell(self) -> list[Message]:
        """The messages about the snaps that were closed since the last time, where anything is to be said about them."""
        clock, closed = self.day.clock, self.day.closed
        first = (clock.signals_start - clock.open) // clock.interval + 1
        last = (clock.signals_end - clock.open) // clock.interval
        scored = self._after(SIGNALS)[1]
        window = np.arange(max(self._told + 1, first), min(closed, last) + 1)
        ks = np.union1d(window, scored[scored > self._told])
        said: list[Message] = []
        for start in range(0, len(ks), SNAPS_A_MESSAGE):
            said += self._messages(ks[start : start + SNAPS_A_MESSAGE], self._new(int(ks[start : start + SNAPS_A_MESSAGE][-1])))
        if len(ks):
            self._see(int(ks[-1]))
        return said or [*self._between(), *self._flow(ks)]

    def _between(self) -> list[Message]:
        """Rows of snaps about which nothing else is said, as soon as a bar closes: before and after the signals."""
        _, k = self._after(BARS)
        if not len(k):
            return []
        first, last = self._told + 1, self.day.closed
        rows = self._new(last)
        self._see(last)
        return self._rows(rows, f"{first}-{last}")

    def _rest(self) -> list[Message]:
        """What came after the last snap that was told about."""
        rows = self._new(self.day.closed)
        self._see(self.day.closed)
        return self._rows(rows, "end")

    def _of(self, table: Table) -> Growing:
        return {
            BARS: self._bars, LEVELS: self.day.levels, TOUCHES: self.day.touches, FEATURE_ROWS: self.day.features,
            SIGNALS: self.day.signals, PREDICTIONS: self._predictions,
        }[table]  # fmt: skip

    def _after(self, table: Table) -> tuple[np.ndarray, np.ndarray]:
        """The rows of a table from the first one on that was not told, and their snaps."""
        rows = self._of(table).rows[self._seen[table.name] :]
        k = (rows["valid_from"] - self.day.clock.open) // self.day.clock.interval if table is LEVELS else rows["k"]
        return rows, k

    def _new(self, until: int) -> dict[str, np.ndarray]:
        """Rows of snaps after the last one told about, up to `until`."""
        found = {}
        for table in ROWS:
            rows, k = self._after(table)
            found[table.name] = rows[(k > self._told) & (k <= until)]
        return found

    def _see(self, until: int) -> None:
        """Everything up to a snap was told."""
        self._told = until
        for table in ROWS:
            _, k = self._after(table)
            later = np.flatnonzero(k > until)
            self._seen[table.name] += int(later[0]) if len(later) else len(k)

    def _messages(self, ks: np.ndarray, rows: dict[str, np.ndarray]) -> list[Message]:
        """What is said about some snaps: signals, rows and flow."""
        day, (first, last) = self.day, (int(ks[0]), int(ks[-1]))
        signals, k = self._after(SIGNALS)
        scored = signals[(k >= first) & (k <= last)]
        opinion = opinions(self.served, day, scored, self._predictions.rows) if self.served else {}
        text = lines(day, ks, scored, self.tally.missing, self._partial, opinion)
        self._told = last
        span = f"{first}-{last}"
        return [
            Message(messages.LEVELS_SIGNALS, self._headers("signals", span, ""), text),
            *self._rows(rows, span),
            *self._flow(ks),
        ]

    def _flow(self, ks: np.ndarray) -> list[Message]:
        """Books and flow of the whole seconds that are told about, each once it is complete; dealers at whole minutes."""
        day, second = self.day, self.day.clock.second
        ends = np.union1d(self._seconds, (ks + second - 1) // second * second)
        ends, self._seconds = ends[ends <= day.closed], ends[ends > day.closed]
        wanted = (ends[:, None] + np.arange(1 - second, 1)).ravel()
        wanted = wanted[wanted > self._flowed]
        if not len(wanted):
            return []
        minutes = [int(k) for k in ends[ends > self._flowed] if k % (60 * second) == 0]
        first, self._flowed = int(wanted[0]), int(wanted[-1])
        flow = day.flow.rows[int(day.snaps["flow_rows"][first - 1]) : int(day.snaps["flow_rows"][self._flowed])]
        held = [dealers(k, day.snaps, day.chain.options, day.physics.fuel, day.clock) for k in minutes]
        counts, data = pack(FLOWS, {
            SNAPS.name: day.snaps[wanted], FLOW.name: flow[np.isin(flow["k"], wanted)],
            DEALERS.name: np.concatenate([np.zeros(0, DEALERS.dtype), *(row for row, _ in held)]),
            STRIKES.name: np.concatenate([np.zeros(0, STRIKES.dtype), *(strikes for _, strikes in held)]),
        })  # fmt: skip
        return [Message(messages.LEVELS_FLOW, self._headers("flow", f"{first}-{self._flowed}", counts), data)]

    def _rows(self, rows: dict[str, np.ndarray], span: str) -> list[Message]:
        """New rows, if there are any."""
        if not any(len(one) for one in rows.values()):
            return []
        counts, data = pack(ROWS, rows)
        return [Message(messages.LEVELS_ROWS, self._headers("rows", span, counts), data)]

    def _headers(self, what: str, span: str, counts: str) -> dict[str, str]:
        assert self.session is not None, "there is something to say only within a session"
        run, date = self.session.run, self.session.date
        headers = {"Nats-Msg-Id": f"{run}:{date}:{what}:{span}", "Version": str(VERSION), "Run": run, "Date": date, "Snaps": span}
        return headers | ({"Rows": counts} if counts else {})

    def status(self) -> dict[str, Any]:
        """Where the run stands, without the wall clock."""
        if self.session is None:
            return {"state": "waiting for a session", "run": None}
        day = self.day
        return {
            "state": "done" if self.done else "running", "run": self.session.run, "date": self.session.date,
            "contract": self.session.contract, "snap": day.closed, "of": day.clock.count, "watermark": self.watermark,
            "frames": self.tally.frames, "records": dict(self.tally.records), "repeated": self.tally.repeated,
            "missing": self.tally.missing, "dead": self.tally.dead, "late": int(day.snaps["late"][max(day.closed, 0)]),
            "levels": day.levels.count, "touches": day.touches.count, "features": day.features.count, "signals": day.signals.count,
            "partial": self._partial, "same_config": self.session.config == self.config.digest(),
            "model": f"{self.served.name} {self.served.version}" if self.served else None, "model_trouble": self.model_trouble,
        }  # fmt: skip


def _append(rows: Growing, more: np.ndarray) -> None:
    rows.reserve(len(more))[rows.count : rows.count + len(more)] = more
    rows.count += len(more)


_NOTHING: Final = np.zeros(0, dbn.MBP10)
