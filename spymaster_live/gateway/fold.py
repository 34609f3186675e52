"""The state of a run, folded from what the engine says about it: the same whoever folds, from whatever point it joined.

A message of LEVELS goes in, a message for clients comes out; `snapshot` is everything that came so far. Rows are kept for the date,
liquidity by minutes; of signals, flow and status the latest.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import orjson
from numpy.lib.recfunctions import repack_fields
from websockets.frames import Frame, Opcode

from spymaster_assets.compute.clock import NS
from spymaster_assets.compute.grid import UNKNOWN
from spymaster_assets.schema import Table
from spymaster_assets.tables import BARS, DEALERS, FEATURE_ROWS, HEAT, LEVELS, PREDICTIONS, SIGNALS, SNAPS, STRIKES, TOUCHES
from spymaster_assets.tables import FLOW as FLOW_TABLE
from spymaster_live import messages
from spymaster_live.gateway import wire
from spymaster_live.gateway.minutes import Minutes
from spymaster_live.messages import FLOWS, unpack

KEPT: Final = (BARS, LEVELS, TOUCHES, PREDICTIONS)  # of levels.rows; what the others say, signals say too
TRACE: Final = ("touch", "k", "elapsed", "break_score_raw", "break_score_smooth", "trigger")  # of signals, for whoever asks
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
        self.watermark = 0  # ns UTC: the market's clock, as status said last
        self._traces = [np.zeros(0, SIGNALS.dtype)[list(TRACE)]]
        self.features: dict[int, np.ndarray] = {}  # by touch, its first row
        self.minutes = Minutes(self._minute)
        self._flow: dict[str, np.ndarray] | None = None  # the latest of levels.flow, with the dealers as they were told last
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

    def trace(self, touch: int) -> np.ndarray:
        """The score of a touch, snap by snap: rows of SIGNALS, of which only TRACE is there."""
        rows = np.concatenate(self._traces)
        self._traces = [rows]
        return rows[rows["touch"] == touch]

    def recall(self, subject: str, headers: Mapping[str, str], data: bytes) -> None:
        """Fold one of levels.flow or levels.rows that nobody waits for any more. BadMessage if it cannot be read."""
        if subject == messages.LEVELS_FLOW:
            self._fold_flow(unpack(FLOWS, headers["Rows"], data))
        else:
            self._take_rows(unpack(messages.ROWS, headers["Rows"], data))

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
            self._fold_flow(unpack(FLOWS, headers["Rows"], data))
            told = self._told_flow()
        else:
            status = {**orjson.loads(data), **(beside or {})}
            told = orjson.dumps(status)
            self.watermark, self.status = int(status.get("watermark") or 0), status
        self.seq = seq
        return Said(topic, seq, wire.message(topic, seq, told)) if told != wire.NOTHING else None

    def _take_rows(self, rows: Mapping[str, np.ndarray]) -> bytes:
        lines = {table: wire.lines(table, rows[table.name]) for table in KEPT if len(rows[table.name])}
        for table, text in lines.items():  # all of them can be told, so that the message counts as a whole or not at all
            self._rows[table.name].append(rows[table.name])
            self._lines[table.name].append(text)
        for row in rows[FEATURE_ROWS.name]:
            self.features.setdefault(int(row["touch"]), np.array([row]))
        if len(rows[SIGNALS.name]):
            self._traces.append(repack_fields(rows[SIGNALS.name][list(TRACE)]))
        minutes = rows[BARS.name][rows[BARS.name]["minutes"] == 1]
        if len(minutes):
            self._closed = int(minutes["k"][-1])
            if self._bar is not None and self._bar["k"] <= self._closed:
                self._bar = None
        return wire.members({table.name: wire.joined(table, [text]) for table, text in lines.items()})

    def _fold_flow(self, rows: dict[str, np.ndarray]) -> None:
        for snap in rows[SNAPS.name]:
            self._form(snap)
        self.minutes.take(rows[SNAPS.name], rows[FLOW_TABLE.name])
        of = self._flow if self._flow is not None and not len(rows[DEALERS.name]) else rows
        latest = of[DEALERS.name][-1:]
        strikes = of[STRIKES.name]
        strikes = strikes[strikes["k"] == latest["k"]] if len(latest) else strikes
        self._flow = {**rows, DEALERS.name: latest, STRIKES.name: strikes}

    def _told_flow(self) -> bytes:
        if self._flow is None:
            return b"null"
        told = {table.name: wire.encoded(table, self._flow[table.name]) for table in FLOWS}
        return wire.members({**told, HEAT.name: wire.encoded(HEAT, self.minutes.forming), "bar": orjson.dumps(self._bar)})

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
            wire.FLOW: self._told_flow(),
            wire.STATUS: orjson.dumps(self.status or None),
        }
        wanted = [topic for topic in wire.TOPICS if topic in topics]
        head = {"why": why, "stream": stream, "session": self.session, "topics": wanted}
        told = {name: orjson.dumps(value) for name, value in head.items()}
        return wire.message("snapshot", self.seq, wire.members(told | {topic: parts[topic] for topic in wanted}))


assert SNAPS["last"].unknown == UNKNOWN, "an unknown print has one number"
