"""Out-of-sample predictions: every date from earlier dates only, the date right before it left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

Model = TypeVar("Model")


def folds(days: np.ndarray, first: int, step: int, embargo: int = 1) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs (places in `days` to train on, places to test on), the training set growing.

    `days`: (d,), distinct dates, rising. The first test date has `first` dates before it; each fold tests `step` dates (the last
    one what is left) and trains on all dates before its first test date but the `embargo` latest. Every date from `first` on is
    tested once; of fewer dates than that, none. ValueError if dates do not rise, or none would be left to train on.
    """
    if not (days[1:] > days[:-1]).all():
        raise ValueError("dates do not rise")
    if step < 1 or embargo < 0 or first <= embargo:
        raise ValueError(f"first {first}, step {step}, embargo {embargo}: expected step >= 1 and first > embargo >= 0")
    for start in range(first, len(days), step):
        yield np.arange(start - embargo), np.arange(start, min(start + step, len(days)))


def out_of_sample(
    rows: np.ndarray, days: np.ndarray, weights: np.ndarray,
    fit: Callable[[np.ndarray, np.ndarray], Model], predict: Callable[[Model, np.ndarray], np.ndarray],
    *, first: int, step: int, embargo: int = 1,
) -> np.ndarray:  # fmt: skip
    """Probabilities (n, 3) of every row by a model of earlier dates; NaN for rows of the dates before the first test date.

    `rows`: (n,) of training, in any order; `days`: (n,), their dates; `weights`: (n,). `fit(rows, weights)` gives a model,
    `predict(model, rows)` its (m, 3) probabilities. ValueError if a label to learn from ends after a decision to be tested.
    """
    dates, number = np.unique(days, return_inverse=True)
    number = number.reshape(-1)
    out = np.full((len(rows), 3), np.nan)
    for train, test in folds(dates, first, step, embargo):
        known, asked = np.isin(number, train), np.isin(number, test)
        if rows["t_label_end"][known].max() > rows["t_decision"][asked].min():
            raise ValueError(f"a label of {dates[train[-1]]} or before ends after a decision of {dates[test[0]]} or later")
        out[asked] = predict(fit(rows[known], weights[known]), rows[asked])
    return out
