"""Records as they arrive -> the frames that a replay would cut from them, while nobody knows yet what will come.

Everything with an event time up to the watermark should have come: it is the newest event time less the stated lateness, and
stands at the end of a span. A record that comes later counts at the watermark + 1 ns. So on what comes in time, frames do not
depend on how channels arrive among each other, nor on the pieces in which they do: they are those of `frames.frames`.

While the gateway repeats the past, channel by channel in an order of its own, the newest time of one says nothing of another:
there the watermark waits for the slowest. What has to wait and does not fit into memory lies in a temporary file.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO

import numpy as np

from spymaster_assets import dbn
from spymaster_assets.lateness import NEVER
from spymaster_assets.sessions import Window
from spymaster_live.frames import Cutting, cut
from spymaster_live.messages import CHANNELS, SCHEMAS, Clock, Frame


@dataclass
class Spool:
    """Arrays that wait, oldest first out: up to `room` bytes in memory, the rest in a file that has no name."""

    room: int
    held: int = 0  # bytes in memory
    stored: int = 0  # bytes in the file
    _file: IO[bytes] | None = None

    def put(self, array: np.ndarray) -> np.ndarray | tuple[int, np.dtype, int]:
        """What `get` takes: the array, or where it lies."""
        if self.held + array.nbytes <= self.room:
            self.held += array.nbytes
            return array
        self._file = self._file or tempfile.TemporaryFile()  # noqa: SIM115  # for as long as the feed
        at = self._file.seek(0, 2)
        self._file.write(array.tobytes())
        self.stored += array.nbytes
        return at, array.dtype, len(array)

    def get(self, kept: np.ndarray | tuple[int, np.dtype, int]) -> np.ndarray:
        """An array, for good."""
        if isinstance(kept, np.ndarray):
            self.held -= kept.nbytes
            return kept
        assert self._file is not None, "something was stored"
        at, dtype, count = kept
        self._file.seek(at)
        array = np.frombuffer(self._file.read(count * dtype.itemsize), dtype)
        self.stored -= array.nbytes
        if not self.stored:
            self.close()
        return array

    def close(self) -> None:
        """Forget what lies in the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


class _Channel:
    """What came of one channel and is not cut yet, with effective times. `taken`: records that were."""

    def __init__(self, name: str, schema: str, taken: int, spool: Spool) -> None:
        self.name, self.schema, self.taken = name, schema, taken
        self.reached = NEVER  # the latest event time
        self._effective = NEVER
        self._spool = spool
        self._parts: deque[tuple[int, int, np.ndarray | tuple[int, np.dtype, int]]] = deque()  # first and last time, and what
        dtype = dbn.SCHEMAS[schema].dtype
        self._row = np.dtype([("time", "i8"), ("record", f"V{dtype.itemsize}")])
        self._dtype = dtype

    def add(self, records: np.ndarray, times: np.ndarray, known: np.ndarray) -> int:
        """Records, their event times, and the watermarks when they came; how many of them came behind theirs."""
        reached = np.maximum.accumulate(np.maximum(times, self.reached))
        effective = np.maximum(np.maximum(reached, known + 1), self._effective)
        self.reached, self._effective = int(reached[-1]), int(effective[-1])
        rows = np.empty(len(records), self._row)
        rows["time"], rows["record"] = effective, records.view(f"V{self._dtype.itemsize}")
        self._parts.append((int(effective[0]), int(effective[-1]), self._spool.put(rows)))
        return int((known >= reached).sum())

    def upto(self, time: int) -> tuple[np.ndarray, np.ndarray]:
        """Take the records whose effective time is up to `time`: (records, effective times)."""
        taken = []
        while self._parts and self._parts[0][0] <= time:
            _, last, kept = self._parts.popleft()
            rows = self._spool.get(kept)
            if last > time:
                at = int(np.searchsorted(rows["time"], time, side="right"))
                rows, rest = rows[:at], rows[at:]
                self._parts.appendleft((int(rest["time"][0]), last, self._spool.put(rest)))
            taken.append(rows)
        rows = np.concatenate([np.empty(0, self._row), *taken])
        return np.ascontiguousarray(rows["record"]).view(self._dtype), rows["time"]


@dataclass
class Arrivals:
    """One run's records on their way into frames. `lateness`: ns; `told`: the watermark so far; `quotes`: their schema.

    `numbers`: of each channel, how many records were published before. `late`: records that came behind the watermark; `newest`:
    the latest event time that came, ns UTC.
    """

    run: str
    window: Window
    cutting: Cutting
    lateness: int
    told: int
    quotes: str
    spool: Spool
    numbers: Mapping[str, int] = field(default_factory=dict)
    late: int = 0
    newest: int = NEVER

    def __post_init__(self) -> None:
        schemas = {name: self.quotes if name == "option_quotes" else SCHEMAS[name][0] for name in CHANNELS}
        self._channels = {name: _Channel(name, schemas[name], self.numbers.get(name, 0), self.spool) for name in CHANNELS}
        self._known = self.told  # the watermark that what arrived so far has made
        self._clocked = self.told  # the watermark that was told last

    @property
    def done(self) -> bool:
        """Whether the date is over."""
        return self.told >= self.window.end

    def schema(self, channel: str) -> str:
        return self._channels[channel].schema

    def take(self, parts: Mapping[str, tuple[np.ndarray, np.ndarray]], moments: np.ndarray, slowest: int | None = None) -> None:
        """Records that arrived together. `parts`: of each channel (places, records), the places in the order of arrival of all.

        `moments`: the event time (ns UTC) at each place, NEVER where there is none. `slowest`: while the past is repeated, the
        newest event time of the channel that has come least far.
        """
        reached = np.maximum.accumulate(np.r_[self.newest, moments])
        self.newest = int(reached[-1])
        if slowest is None:
            known = np.maximum(self.cutting.last_end(reached - self.lateness, self.window), self._known)
        else:
            known = np.full(len(reached), self._known)
        for name, (places, records) in parts.items():
            if len(records):
                channel = self._channels[name]
                times = records[dbn.SCHEMAS[channel.schema].index].view("i8")
                self.late += channel.add(records, times, known[places])
        if slowest is not None:
            known[-1] = max(self._known, int(self.cutting.last_end(np.array([slowest - self.lateness]), self.window)[0]))
        self._known = int(known[-1])

    def frames(self) -> Iterator[Frame | Clock]:
        """What can be cut now, in order; the last of a date is a clock at its end."""
        while self.told < self._known:
            until = self._known
            if until - self.told > self.cutting.coarse:  # not hours at once
                ahead = self.cutting.last_end(np.array([self.told + self.cutting.coarse]), self.window)
                until = max(int(ahead[0]), int(self.cutting.end_of(np.array([self.told + 1]), self.window)[0]))
            yield from self._upto(until)

    def _upto(self, until: int) -> Iterator[Frame | Clock]:
        channels = list(self._channels.values())
        parts = [channel.upto(until) for channel in channels]
        ends = [self.cutting.end_of(times, self.window) for _, times in parts]
        for end in np.unique(np.concatenate(ends)).tolist():
            yield from self._silence(end)
            inside = [slice(*np.searchsorted(its, [end, end + 1])) for its in ends]
            here = [(records[one], times[one]) for (records, times), one in zip(parts, inside, strict=True)]
            yield from cut(self.run, channels, here, self._clocked, end, self.cutting)
            self._clocked = end
        yield from self._silence(until + 1)
        self.told = until
        if self.done:
            yield Clock(self.run, self.window.end)

    def _silence(self, until: int) -> Iterator[Clock]:
        """The clock told alone before `until`, where no frame has been cut for long enough."""
        while True:
            due = int(self.cutting.end_of(np.array([self._clocked + self.cutting.clock]), self.window)[0])
            if due >= min(until, self.window.end):
                return
            yield Clock(self.run, due)
            self._clocked = due
