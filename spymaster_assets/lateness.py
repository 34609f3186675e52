"""Which records came behind their watermark: what a captured clock adds to the records of a live day.

Live, everything with an event time up to a watermark should have come before it. A record that comes later counts at the watermark
+ 1 ns. Where a clock (Parquet: the watermark after each message, and how many records of each channel had come by then) lies beside
a captured file, Bronze keeps the watermarks that moved records, so that Silver of the date is what live computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet as pq

CLOCK: Final = "clock.parquet"  # beside the captured files
NEVER: Final = -(2**62)

Marks = Sequence[Sequence[int]]  # (row, watermark): the watermark moved this row, and stood before it came


class Lateness:
    """Follows one channel's records, in order of arrival. `path`: the clock; `channel`: its column of the channel's records.

    `marks`: the watermarks that moved records, each with the kept row before which it stood; `late`: how many kept records came
    when their watermark had passed everything before them.
    """

    def __init__(self, path: Path, channel: str) -> None:
        clock = pq.read_table(path, columns=["watermark", channel], page_checksum_verification=True)
        self._watermarks = np.maximum.accumulate(np.r_[NEVER, clock["watermark"].to_numpy()])
        self._came = clock[channel].to_numpy()
        self._number = self._row = 0  # of the next record, and of the next that is kept
        self._time = self._mark = NEVER
        self.marks: list[list[int]] = []
        self.late = 0

    def see(self, times: np.ndarray, kept: np.ndarray) -> None:
        """The event times (ns UTC) of the next records, at least one, and which of them are kept."""
        known = self._watermarks[np.searchsorted(self._came, self._number + np.arange(len(times)), side="right")]
        reached = np.maximum.accumulate(np.maximum(times, self._time))
        late = known >= reached
        told = np.maximum.accumulate(np.r_[self._mark, np.where(late, known, NEVER)])
        fresh = late & (known > told[:-1])
        rows = self._row + np.cumsum(kept) - kept
        self.marks += [[int(row), int(mark)] for row, mark in zip(rows[fresh], known[fresh], strict=True)]
        self.late += int((late & kept).sum())
        self._number, self._row = self._number + len(times), self._row + int(kept.sum())
        self._time, self._mark = int(reached[-1]), int(told[-1])


def floors(marks: Marks, start: int, count: int) -> np.ndarray:
    """The earliest effective times (ns UTC) that rows [start, start + count) may have; NEVER where no watermark moved them."""
    rows = np.array([row for row, _ in marks], np.int64)
    earliest = np.array([NEVER, *(watermark + 1 for _, watermark in marks)], np.int64)
    return earliest[np.searchsorted(rows, np.arange(start, start + count), side="right")]
