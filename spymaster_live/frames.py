"""A date's channels, merged by effective time and cut into frames: the same frames for the same inputs, whoever cuts them again.

Effective time: the running maximum of the event times of a channel. Channels merge by (effective time, rank of the channel,
arrival). The merged records are cut at every span of event time and, within it, after `most` records or as many as fit
into `room` bytes. A cut gives one frame for each channel that has records in it; the last of them carries the watermark. A span
without records gives nothing, until the clock is due.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from spymaster_assets import dbn
from spymaster_assets.sessions import Window
from spymaster_live.messages import CHANNELS, Clock, Frame


@dataclass(frozen=True)
class Cutting:
    """How frames are cut. `span`, `clock`: ns of event time; `room`: bytes; `most`: records, 0 for as many as fit.

    Up to `begin` (ns UTC) nobody waits for the frames: there a span is `coarse` ns long.
    """

    span: int
    clock: int
    room: int
    most: int = 0
    begin: int = 0
    coarse: int = 1

    def end_of(self, times: np.ndarray, window: Window) -> np.ndarray:
        """The ends of the spans that hold moments in the window; a moment at its start is its own end."""
        begin = max(min(self.begin, window.end), window.start)
        coarse = np.minimum(window.start + -((window.start - times) // self.coarse) * self.coarse, begin)
        fine = np.minimum(begin + -((begin - times) // self.span) * self.span, window.end)
        ends: np.ndarray = np.where(times <= begin, coarse, fine)
        return ends

    def last_end(self, times: np.ndarray, window: Window) -> np.ndarray:
        """The latest ends of spans up to some moments; the window's start before the first."""
        inside = np.clip(times, window.start, window.end)
        begin = max(min(self.begin, window.end), window.start)
        coarse = np.where(inside >= begin, begin, window.start + (inside - window.start) // self.coarse * self.coarse)
        fine = np.where(inside >= window.end, window.end, begin + (inside - begin) // self.span * self.span)
        ends: np.ndarray = np.where(inside < begin, coarse, fine)
        return ends

    def ends(self, window: Window) -> Iterator[int]:
        """The ends of the spans of a window."""
        at, begin = window.start, min(self.begin, window.end)
        while at < begin:
            at = min(at + self.coarse, begin)
            yield at
        while at < window.end:
            at = min(at + self.span, window.end)
            yield at


class Source(NamedTuple):
    """The records of one channel, in order of arrival, in arrays that may be reused once the next is asked for."""

    schema: str
    records: Iterator[np.ndarray]


class Numbered(Protocol):
    """A channel whose records are numbered as they are handed out."""

    name: str
    schema: str
    taken: int


class _Channel:
    """One channel's records with their effective times, read as far as they are needed."""

    def __init__(self, name: str, source: Source) -> None:
        self.name, self.schema = name, source.schema
        self.taken = 0  # records handed out
        self._source = source.records
        self._index = dbn.SCHEMAS[source.schema].index
        self._records = np.zeros(0, dbn.SCHEMAS[source.schema].dtype)
        self._times = np.zeros(0, np.int64)
        self._last = -(2**62)
        self._done = False

    def upto(self, time: int) -> tuple[np.ndarray, np.ndarray]:
        """Take the records whose effective time is up to `time`: (records, effective times)."""
        while not self._done and (not self._times.size or self._times[-1] <= time):
            self._pull()
        cut = int(np.searchsorted(self._times, time, side="right"))
        taken, times = self._records[:cut], self._times[:cut]
        self._records, self._times = self._records[cut:], self._times[cut:]
        return taken, times

    def _pull(self) -> None:
        chunk = next(self._source, None)
        if chunk is None:
            self._done = True
            return
        times = np.maximum.accumulate(np.maximum(chunk[self._index].view("i8"), self._last))
        self._last = int(times[-1])
        self._records = np.concatenate([self._records, chunk]) if len(self._records) else chunk.copy()
        self._times = np.concatenate([self._times, times])


def frames(run: str, sources: Mapping[str, Source], window: Window, cutting: Cutting) -> Iterator[Frame | Clock]:
    """The frames and clock messages of a run, in order; the last is a clock at the window's end."""
    channels = [_Channel(name, sources[name]) for name in CHANNELS if name in sources]
    told = window.start
    for end in cutting.ends(window):
        parts = [channel.upto(end) for channel in channels]
        if any(len(records) for records, _ in parts):
            yield from cut(run, channels, parts, told, end, cutting)
            told = end
        elif end - told >= cutting.clock and end < window.end:
            yield Clock(run, end)
            told = end
    yield Clock(run, window.end)


def cut(
    run: str, channels: Sequence[Numbered], parts: Sequence[tuple[np.ndarray, np.ndarray]], told: int, end: int, cutting: Cutting
) -> Iterator[Frame]:  # fmt: skip
    """The frames of one span: of each channel its records and their effective times. `told`: the watermark before it."""
    times = np.concatenate([times for _, times in parts])
    rank = np.repeat(np.arange(len(parts)), [len(records) for records, _ in parts])
    order = np.lexsort((rank, times))  # stable: arrival within a channel
    most = min(cutting.most or 2**62, *(cutting.room // dbn.SCHEMAS[channel.schema].dtype.itemsize for channel in channels))
    merged, done = rank[order], [0] * len(parts)
    for start in range(0, len(order), most):
        stop = min(start + most, len(order))
        mark = end if stop == len(order) else int(times[order[stop]]) - 1
        counts = np.bincount(merged[start:stop], minlength=len(parts)).tolist()
        last = max(number for number, count in enumerate(counts) if count)
        for number, count in enumerate(counts):
            if count:
                channel, records = channels[number], parts[number][0][done[number] : done[number] + count]
                mark_now = max(told, mark) if number == last else told
                yield Frame(run, channel.name, channel.schema, channel.taken, records, mark_now)
                channel.taken += count
                done[number] += count
        told = max(told, mark)
