"""The k nearest points of a query among those it may know of: exact, and the same bytes alone and in any batch.

A query may know points of earlier dates only, an embargo left out, and at most MOST of them from one episode, the nearest ones; of
two at one distance the earlier place is nearer. So its answer is the greedy one: points by (distance, place), those of an episode
that has had its share left out, until there are k. That rule is a matroid's (a partition's, truncated at k), hence a list of the
best so far is all that need be kept of the points already seen.

Distance is the sum over dimensions, in their order, of (point - query)², all in f4, or of (point != query) for leaf numbers. The
points lie dimension by dimension in blocks of WIDTH, so that the sum runs over many points at once and each keeps its own order of
summation. A matrix product would sum in an order that depends on the size of the batch, and lose digits where |x|² is large.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from spymaster_assets.compute.kernel import kernel

MOST: Final = 2  # neighbours from one episode: its rows tell of one event
WIDTH: Final = 512  # points of a block: one dimension of it and the sums stay in the first cache, 64 dimensions in the second
_NONE: Final = int(np.array(np.inf, np.float32).view(np.int32)) << 32 | 0xFFFF_FFFF  # key of no neighbour: behind every other


@dataclass(frozen=True)
class Points:
    """Points to be searched, by rising date. `blocks`: (blocks, dims, WIDTH) f4, the last filled up with inf; `episodes`: (m,) i8.

    `dates`: (d,), distinct, rising; `ends`: (d,), the place behind each date's last point. `differ`: coordinates are names (of
    leaves), and distance counts those that differ.
    """

    blocks: np.ndarray
    episodes: np.ndarray
    dates: np.ndarray
    ends: np.ndarray
    differ: bool = False

    def __len__(self) -> int:
        return len(self.episodes)

    def known(self, days: np.ndarray, embargo: int) -> np.ndarray:
        """How many points a query of each date (n,) may know: those of earlier dates but the `embargo` latest that there are."""
        if embargo < 0:
            raise ValueError(f"embargo {embargo}: a query would know its own date")
        dates = np.searchsorted(self.dates, days) - embargo
        return np.concatenate(([0], self.ends))[np.maximum(dates, 0)]


def lay_out(values: np.ndarray, days: np.ndarray, episodes: np.ndarray, *, differ: bool = False) -> Points:
    """Points from (m, dims) values, their dates and episodes >= 0, (m,). ValueError if dates fall or a value is not finite."""
    if (fall := days[1:] < days[:-1]).any():
        raise ValueError(f"date {days[1:][fall][0]} follows a later one: points go by date")
    if not np.isfinite(values).all():
        raise ValueError(f"the point at {(~np.isfinite(values)).any(axis=1).argmax()} has a coordinate that is not finite")
    count, dims = values.shape
    blocks = np.full((-(-count // WIDTH), dims, WIDTH), np.inf, np.float32)
    for number, block in enumerate(blocks):
        part = values[number * WIDTH : (number + 1) * WIDTH]
        block[:, : len(part)] = part.T
    dates = np.unique(days)
    return Points(blocks, episodes.astype(np.int64), dates, np.searchsorted(days, dates, side="right"), differ)


def nearest(points: Points, queries: np.ndarray, days: np.ndarray, k: int, embargo: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest points that queries (n, dims) of dates (n,) may know: distances (n, k) f4, rising, and places (n, k) i8.

    Where there are fewer: inf and -1.
    """
    first = points.known(days, embargo)
    return _nearest(points, queries, np.stack([first, np.full(len(first), len(points))], axis=1), k)


def nearest_of_others(points: Points, queries: np.ndarray, days: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The same among the points of all dates but the query's own: how far apart points lie, whatever came of them."""
    first, after = points.known(days, 0), points.known(days + 1, 0)
    return _nearest(points, queries, np.stack([first, after], axis=1), k)


def _nearest(points: Points, queries: np.ndarray, hidden: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """`hidden`: (n, 2), the run of places that each query may not know, its end excluded."""
    queries = np.ascontiguousarray(queries, np.float32)
    if len(points) and queries.shape[1] != points.blocks.shape[1]:
        raise ValueError(f"queries have {queries.shape[1]} dimensions, points {points.blocks.shape[1]}")
    if not np.isfinite(queries).all():
        raise ValueError(f"query {(~np.isfinite(queries)).any(axis=1).argmax()} has a coordinate that is not finite")
    keys, owners = np.full((len(queries), k), _NONE, np.int64), np.full((len(queries), k), -1, np.int64)
    limits, sums = np.full(len(queries), np.inf, np.float32), np.empty(WIDTH, np.float32)
    _search(
        points.blocks, points.episodes, queries, hidden.astype(np.int64), points.differ, keys, owners,
        limits, limits.view(np.int32), sums, sums.view(np.int32),
    )  # fmt: skip
    return (keys >> 32).astype(np.int32).view(np.float32), np.where(keys == _NONE, -1, keys & 0xFFFF_FFFF)


@kernel
def _search(
    blocks: np.ndarray, episodes: np.ndarray, queries: np.ndarray, hidden: np.ndarray, differ: bool, keys: np.ndarray,
    owners: np.ndarray, limits: np.ndarray, limit_bits: np.ndarray, sums: np.ndarray, sum_bits: np.ndarray,
) -> None:  # fmt: skip
    """Fill `keys` (n, k), sorted, each a distance's bits and a place; bits of floats >= 0 are in the floats' order.

    `owners`: the keys' episodes; `limits`: the distance of each query's last key. Both of `_bits` are views of what they name.
    """
    for number in range(blocks.shape[0]):
        start, stop = number * WIDTH, min((number + 1) * WIDTH, episodes.size)
        for i in range(queries.shape[0]):
            first, after = hidden[i]
            if first <= start and after >= stop:
                continue
            if differ:
                _count_differences(blocks[number], queries[i], sums)
            else:
                _sum_squares(blocks[number], queries[i], sums)
            for low, high in ((start, min(first, stop)), (max(after, start), stop)):
                if _are_below(sums, low - start, high - start, limits[i]):
                    best, whose = keys[i], owners[i]
                    for place in range(low, high):
                        if sums[place - start] < limits[i]:
                            _offer(np.int64(sum_bits[place - start]) << 32 | place, episodes[place], best, whose)
                            limit_bits[i] = best[-1] >> 32


@kernel
def _sum_squares(block: np.ndarray, query: np.ndarray, sums: np.ndarray) -> None:
    sums[:] = 0
    for d in range(query.size):
        row, value = block[d], query[d]
        for j in range(sums.size):
            away = row[j] - value
            sums[j] += away * away


@kernel
def _count_differences(block: np.ndarray, query: np.ndarray, sums: np.ndarray) -> None:
    sums[:] = 0
    for d in range(query.size):
        row, value = block[d], query[d]
        for j in range(sums.size):
            sums[j] += np.float32(row[j] != value)


@kernel
def _are_below(sums: np.ndarray, low: int, high: int, limit: float) -> bool:
    """Whether any of them is; without a way out of the loop, so that it runs over many at once."""
    found = False
    for j in range(low, high):
        found |= sums[j] < limit
    return found


@kernel
def _offer(key: np.int64, episode: int, keys: np.ndarray, owners: np.ndarray) -> None:
    """Put a key below the last one in its place; the last one goes, or the last of its episode if that has MOST already."""
    same, gone = 0, keys.size - 1
    for at in range(keys.size):
        same += owners[at] == episode
    if same == MOST:
        while owners[gone] != episode:
            gone -= 1
        if keys[gone] < key:
            return
    while gone > 0 and keys[gone - 1] > key:
        keys[gone], owners[gone] = keys[gone - 1], owners[gone - 1]
        gone -= 1
    keys[gone], owners[gone] = key, episode
