"""Arrays that grow: the tables of a date in memory, appended to and never moved by their readers."""

from __future__ import annotations

from typing import Any

import numpy as np


class Growing:
    """Rows of one dtype. `array` has room for more than the `count` rows that are there; kernels write behind them."""

    def __init__(self, dtype: np.dtype[Any], capacity: int = 1024) -> None:
        self.array, self.count = np.zeros(capacity, dtype), 0

    @classmethod
    def of(cls, rows: np.ndarray) -> Growing:
        """Rows that are there already; the array is theirs."""
        grown = cls(rows.dtype, 0)
        grown.array, grown.count = rows, len(rows)
        return grown

    @property
    def rows(self) -> np.ndarray:
        return self.array[: self.count]

    def reserve(self, more: int) -> np.ndarray:
        """The array, with room for at least `more` rows; at least doubled where it has none."""
        if self.count + more > len(self.array):
            larger = np.zeros(max(self.count + more, 2 * len(self.array)), self.array.dtype)
            larger[: self.count] = self.rows
            self.array = larger
        return self.array
