"""Out-of-fold predictions within a training set: what calibration, early stopping and stacking learn from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def date_blocks(days: np.ndarray, count: int, embargo: int = 1) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs (rows to train on, rows to test on), as places in `days`; every row is tested once.

    `days`: (n,), the date of each row, in any order. The distinct dates are cut into `count` blocks of neighbours, the first ones
    a date longer where it does not divide. A block is tested by a model of all other dates but the `embargo` on either side of it.
    ValueError for fewer than two blocks, more than dates, or if none would be left to train on.
    """
    dates, number = np.unique(days, return_inverse=True)
    number = number.reshape(-1)
    if not 2 <= count <= len(dates) or embargo < 0:
        raise ValueError(f"count {count}, embargo {embargo}, {len(dates)} dates: expected 2 <= count <= dates and embargo >= 0")
    for block in np.array_split(np.arange(len(dates)), count):
        train = np.flatnonzero((number < block[0] - embargo) | (number > block[-1] + embargo))
        if not len(train):
            raise ValueError(f"no date is left to train on beside {len(block)} tested ones and {embargo} on either side")
        yield train, np.flatnonzero((number >= block[0]) & (number <= block[-1]))
