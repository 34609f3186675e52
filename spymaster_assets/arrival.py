"""One run of records out of several files, in arrival order, each record once.

Vendor files usually follow one another. Where the receive times of two files overlap, both tell the same story, so the two runs
are aligned: a record that both hold is kept once, as often as the file that repeats it more (repeats within one file are real
and stay), a record that only one holds is kept. Memory is bounded by the chunks, whatever the length of the overlap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

Run = Iterator[np.ndarray]


@dataclass
class Overlap:
    """What aligning found: `same` records that both files hold, `single` that only one holds within the common time."""

    same: int = 0
    single: int = 0


class _Reader:
    """A run with a look at what comes: `upto(limit)` hands out the records received until then."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._held: np.ndarray | None = None
        self._last = 0
        self.done = False
        self._pull()

    def _pull(self) -> None:
        """Hold at least two different receive times, or all there is."""
        while not self.done and (self._held is None or not self._times.size or self._times[0] == self._times[-1]):
            chunk = next(self._run, None)
            if chunk is None:
                self.done = True
            else:
                self._held = chunk.copy() if self._held is None else np.concatenate([self._held, chunk])
        if self._held is None:
            self.done = True

    @property
    def _times(self) -> np.ndarray:
        """Receive times made rising, so that a stray early stamp stays where it arrived."""
        if self._held is None:
            return np.empty(0, np.uint64)
        return np.maximum.accumulate(np.maximum(self._held["ts_recv"], self._last))

    @property
    def settled(self) -> int | None:
        """The receive time up to which every record is at hand; None: all of them."""
        return None if self.done else int(self._times[-1]) - 1

    def upto(self, limit: int | None) -> np.ndarray | None:
        if self._held is None:
            return None
        times = self._times
        cut = len(times) if limit is None else int(np.searchsorted(times, np.uint64(limit), side="right"))
        taken, self._held = self._held[:cut], self._held[cut:]
        if cut:
            self._last = int(times[cut - 1])
        self._pull()
        return taken


def _union(left: np.ndarray, right: np.ndarray, seen: Overlap) -> np.ndarray:
    """Records of two slices of the same time, each as often as the slice that holds it more often, in order of receipt."""
    if left.tobytes() == right.tobytes():
        seen.same += len(left)
        return left
    if not len(left) or not len(right):
        seen.single += len(left) + len(right)
        return left if len(left) else right
    both = np.concatenate([left, right])
    _, kind = np.unique(both.view(f"V{both.dtype.itemsize}"), return_inverse=True)
    in_left = np.bincount(kind[: len(left)], minlength=int(kind.max()) + 1)
    extra = _repeat(kind[len(left) :]) >= in_left[kind[len(left) :]]
    seen.same += int((~extra).sum())
    seen.single += int(extra.sum()) + len(left) - int((~extra).sum())
    kept = np.concatenate([left, right[extra]])
    return kept[np.argsort(kept["ts_recv"], kind="stable")]


def _repeat(kinds: np.ndarray) -> np.ndarray:
    """For each element, how many equal ones came before it."""
    order = np.argsort(kinds, kind="stable")
    ranked = kinds[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]]) if len(ranked) else np.empty(0, np.int64)
    lengths = np.diff(np.r_[starts, len(ranked)])
    counts = np.empty(len(kinds), np.int64)
    counts[order] = np.arange(len(kinds)) - np.repeat(starts, lengths)
    return counts


def align(first: Run, second: Run, seen: Overlap) -> Run:
    """Two runs of one record type as one. Records within a run keep their order; `seen` counts what was found."""
    left, right = _Reader(first), _Reader(second)
    while True:
        settled = [limit for limit in (left.settled, right.settled) if limit is not None]
        limit = min(settled) if settled else None
        a, b = left.upto(limit), right.upto(limit)
        if a is None and b is None:
            return
        merged = b if a is None else a if b is None else _union(a, b, seen)
        if merged is not None and len(merged):
            yield merged
        if limit is None:
            return


def in_order(runs: Sequence[tuple[int, int, Run]], seen: Overlap) -> Run:
    """Runs with their receive times [start, end), sorted by start: chained where they follow, aligned where they overlap."""
    cluster: Run | None = None
    reach = 0
    for start, end, run in runs:
        if cluster is None:
            cluster = run
        elif start < reach:
            cluster = align(cluster, run, seen)
        else:
            yield from cluster
            cluster = run
        reach = max(reach, end)
    if cluster is not None:
        yield from cluster
