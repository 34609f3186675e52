"""The state of a run, folded from what the engine says about it: the same whoever folds, from whatever point it joined.

A message of LEVELS goes in, a message for clients comes out; `snapshot` is everything that came so far. Rows are kept for the date;
of signals, flow and status the latest.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import orjson
from websockets.frames import Frame, Opcode

from spymaster_assets.compute.clock import NS
from spymaster_assets.compute.grid import UNKNOWN
from spymaster_assets.schema import Table
from spymaster_assets.tables import BARS, LEVELS, PREDICTIONS, SNAPS, TOUCHES
from spymaster_assets.tables import FLOW as FLOW_TABLE
from spymaster_live import messages
from spymaster_live.gateway import wire
from spymaster_live.messages import FLOWS, unpack

KEPT: Final = (BARS, LEVELS, TOUCHES, PREDICTIONS)  # of levels.rows; what the others say, signals say too
SUBJECTS: Final[Mapping[str, str]] = {
    messages.LEVELS_SIGNALS: wire.SIGNALS, messages.LEVELS_ROWS: wire.ROWS, messages.LEVELS_FLOW: wire.FLOW,
    messages.LEVELS_STATUS: wire.STATUS,
}  # fmt: skip
_FACTS: Final = {
    "run": "Run", "date": "Date", "contract": "Contract", "complete_from": "Complete-From", "model": "Model", "config": "Config",
}  # fmt: skip


@dataclass(frozen=True)
class Said:
    """A message for clients: its topic, its place in LEVELS, its text; `frame`: as it is written to every client."""

    topic: str
    seq: int
    text: bytes

    @cached_property
    def frame(self) -> bytes:
        return Frame(Opcode.TEXT, self.text).serialize(mask=False)


class Fold:
    """One run after the other. `interval`: ns of a snap; `seq`: the sequence in LEVELS up to which it is folded."""

    def __init__(self, interval: int) -> None:
        self._minute = 60 * NS // interval
        self.seq = 0
        self.begin(None)

    def begin(self, session: Mapping[str, str] | None) -> None:
        """A run begins, with the headers of its market.session; None: there is none."""
        self.session = {name: session.get(header, "") for name, header in _FACTS.items()} if session else None
        self._rows: dict[str, list[np.ndarray]] = {table.name: [] for table in KEPT}
        self._lines: dict[str, list[bytes]] = {table.name: [] for table in KEPT}
        self.payload: bytes | None = None  # the latest of levels.signals
        self.status: dict[str, Any] = {}
        self._flow: bytes | None = None
        self._bar: dict[str, Any] | None = None  # the minute that is not closed yet
        self._printed = False  # whether that minute has a print
        self._closed = 0  # snap at which the latest bar of a minute closed
        self._volume: tuple[int, int] | None = None  # the last snap that was seen, and the lots traded up to it

    @property
    def run(self) -> str | None:
        return self.session["run"] if self.session else None

    def rows(self, table: Table) -> np.ndarray:
        """The rows of a kept table so far."""
        return np.concatenate([np.zeros(0, table.dtype), *self._rows[table.name]])

    @property
    def forming(self) -> dict[str, Any] | None:
        """The minute that is not closed yet, as far as snaps tell; None outside of the signal window."""
        return self._bar

    def take(
        self, seq: int, subject: str, headers: Mapping[str, str], data: bytes, beside: Mapping[str, Any] | None = None
    ) -> Said | None:
        """Fold one message of this run; None if it holds nothing for clients. BadMessage if it cannot be read.

        `beside`: what is told beside status: where the replay stands, how the writer is.
        """
        topic = SUBJECTS[subject]
        if topic == wire.SIGNALS:
            payloads = data.splitlines()
            self.payload, told = payloads[-1], b"[%b]" % b",".join(payloads)
        elif topic == wire.ROWS:
            told = self._take_rows(unpack(messages.ROWS, headers["Rows"], data))
        elif topic == wire.FLOW:
            self._flow = told = self._take_flow(unpack(FLOWS, headers["Rows"], data))
        else:
            self.status = {**orjson.loads(data), **(beside or {})}
            told = orjson.dumps(self.status)
        self.seq = seq
        return Said(topic, seq, wire.message(topic, seq, told)) if told != wire.NOTHING else None

    def _take_rows(self, rows: Mapping[str, np.ndarray]) -> bytes:
        told = {}
        for table in KEPT:
            if len(found := rows[table.name]):
                lines = wire.lines(table, found)
                self._rows[table.name].append(found)
                self._lines[table.name].append(lines)
                told[table.name] = wire.joined(table, [lines])
        minutes = rows[BARS.name][rows[BARS.name]["minutes"] == 1]
        if len(minutes):
            self._closed = int(minutes["k"][-1])
            if self._bar is not None and self._bar["k"] <= self._closed:
                self._bar = None
        return wire.members(told)

    def _take_flow(self, rows: Mapping[str, np.ndarray]) -> bytes:
        for snap in rows[SNAPS.name]:
            self._form(snap)
        told = {SNAPS.name: wire.encoded(SNAPS, rows[SNAPS.name]), FLOW_TABLE.name: wire.encoded(FLOW_TABLE, rows[FLOW_TABLE.name])}
        return wire.members({**told, "bar": orjson.dumps(self._bar)})

    def _form(self, snap: np.void) -> None:
        """Add a snap to the minute that it lies in."""
        k, last, before, lots = int(snap["k"]), int(snap["last"]), self._volume, int(snap["volume"])
        self._volume = k, lots
        if k <= self._closed or last == UNKNOWN:
            return
        start, printed = (k - 1) // self._minute * self._minute, int(snap["low"]) != UNKNOWN
        if self._bar is None or self._bar["k"] != start + self._minute:
            whole = before is not None and before[0] == start
            self._bar = {"minutes": 1, "k": start + self._minute, "from": k, "volume": 0 if whole else None}
            self._printed = False
        bar = self._bar
        if not self._printed:
            bar["open"] = bar["high"] = bar["low"] = last
        if printed:
            bar["high"] = max(int(snap["high"]), bar["high"] if self._printed else UNKNOWN)
            bar["low"] = min(int(snap["low"]), bar["low"] if self._printed else -UNKNOWN)
            self._printed = True
        bar["ts"], bar["close"] = int(snap["ts"]), last
        if bar["volume"] is not None and before is not None:
            bar["volume"] += lots - before[1]

    def snapshot(self, why: str, topics: Collection[str], stream: str) -> bytes:
        """Everything so far of the topics, as a message. `why`: begin, resync, session or subscribe; `stream`: which LEVELS."""
        parts = {
            wire.SIGNALS: b"[%b]" % (self.payload or b""),
            wire.ROWS: wire.members({table.name: wire.joined(table, self._lines[table.name]) for table in KEPT}),
            wire.FLOW: self._flow or b"null",
            wire.STATUS: orjson.dumps(self.status or None),
        }
        wanted = [topic for topic in wire.TOPICS if topic in topics]
        head = {"why": why, "stream": stream, "session": self.session, "topics": wanted}
        told = {name: orjson.dumps(value) for name, value in head.items()}
        return wire.message("snapshot", self.seq, wire.members(told | {topic: parts[topic] for topic in wanted}))


assert SNAPS["last"].unknown == UNKNOWN, "an unknown print has one number"
