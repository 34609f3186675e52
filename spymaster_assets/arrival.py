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
_NEVER = 2**64 - 1  # a receive time after all others


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
        self.start = int(self._times[0]) if self._times.size else _NEVER

    def _pull(self) -> None:
        """Hold at least two different receive times, or all there is."""
        while not self.done and (not self._times.size or self._times[0] == self._times[-1]):
            chunk = next(self._run, None)
            if chunk is None:
                self.done = True
            else:
                self._held = chunk.copy() if self._held is None else np.concatenate([self._held, chunk])

    @property
    def _times(self) -> np.ndarray:
        """Receive times made rising, so that a stray early stamp stays where it arrived."""
        if self._held is None:
            return np.empty(0, np.uint64)
        return np.maximum.accumulate(np.maximum(self._held["ts_recv"], self._last))

    @property
    def settled(self) -> int:
        """The receive time up to which every record is at hand."""
        return _NEVER if self.done else int(self._times[-1]) - 1

    @property
    def end(self) -> int:
        """The last receive time, once it is known."""
        return _NEVER if not self.done else int(self._times[-1]) if self._times.size else self._last

    def upto(self, limit: int) -> tuple[np.ndarray, np.ndarray] | None:
        """The records received until `limit` and their receive times made rising; None of an empty run."""
        if self._held is None:
            return None
        times = self._times
        cut = int(np.searchsorted(times, np.uint64(limit), side="right"))
        taken, self._held = self._held[:cut], self._held[cut:]
        if cut:
            self._last = int(times[cut - 1])
        self._pull()
        return taken, times[:cut]


def _union(
    left: np.ndarray, at: np.ndarray, right: np.ndarray, bt: np.ndarray, common: tuple[int, int], seen: Overlap
) -> np.ndarray:
    """Records of two slices of the same time, each as often as the slice that holds it more often, in order of receipt.

    `at`, `bt`: their receive times; `common`: the time that both runs cover. Records of one receive time come as the slice
    that lacks none of them has them; if both lack some, the left's first.
    """
    if left.tobytes() == right.tobytes():
        seen.same += len(left)
        return left
    both = np.empty(len(left) + len(right), [("time", "u8"), ("record", left.dtype)])
    both["time"], both["record"] = np.concatenate([at, bt]), np.concatenate([left, right])
    kind = np.unique(both.view(f"V{both.dtype.itemsize}"), return_inverse=True)[1]
    mine, theirs = kind[: len(left)], kind[len(left) :]
    only_left = _repeat(mine) >= np.bincount(theirs, minlength=len(both))[mine]
    only_right = _repeat(theirs) >= np.bincount(mine, minlength=len(both))[theirs]
    lonely = both["time"][np.concatenate([only_left, only_right])]
    seen.same += int((~only_left).sum())
    seen.single += int(((lonely >= common[0]) & (lonely <= common[1])).sum())
    known = at[only_left]  # receive times of which the left knows something alone
    kept = both[np.concatenate([np.isin(at, known), only_right | ~np.isin(bt, known)])]
    merged: np.ndarray = kept["record"][np.argsort(kept["time"], kind="stable")]
    return merged


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
    start = max(left.start, right.start)
    while True:
        limit, end = min(left.settled, right.settled), min(left.end, right.end)
        a, b = left.upto(limit), right.upto(limit)
        alone = a or b
        merged = _union(*a, *b, (start, end), seen) if a and b else alone[0] if alone else None
        if merged is not None and len(merged):
            yield merged
        if limit == _NEVER:
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
