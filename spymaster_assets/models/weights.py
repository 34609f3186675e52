"""How much a row counts. An episode is one event, however many landmarks and confluent levels tell of it.

Rows of an episode look at the same minutes of the market: their labels overlap. Each counts as its label's average uniqueness
(Lopez de Prado 2018, Advances in Financial Machine Learning, 4.3-4.5). Over which rows an
episode is shared is the caller's choice: models share it at each landmark (`examples.landmark_weights`).
"""

from __future__ import annotations

import numpy as np


def episodes_of(rows: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Number of each row's episode, (n,), from 0, over all dates. `rows`: of training; `days`: (n,), the date of each."""
    day = np.unique(days, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return np.unique(day << 32 | rows["episode"].astype(np.int64), return_inverse=True)[1].reshape(-1)


def average_uniqueness(starts: np.ndarray, ends: np.ndarray, episodes: np.ndarray) -> np.ndarray:
    """Mean over (start, end] of 1 / the number of labels of the episode that hold the moment; (n,), above 0, at most 1.

    `starts`, `ends`: (n,), integer ns, of the labels; `episodes`: (n,), whose labels they are. ValueError if a label has no length.
    """
    if not (ends > starts).all():
        raise ValueError(f"the label of row {(ends <= starts).argmax()} ends before it starts")
    out = np.empty(len(starts))
    order = np.argsort(episodes, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(episodes[order])) + 1):
        out[members] = _uniqueness(starts[members], ends[members])
    return out


def episode_weights(starts: np.ndarray, ends: np.ndarray, episodes: np.ndarray) -> np.ndarray:
    """Weight of each row, (n,): one in total for each episode, within it in proportion to average uniqueness."""
    unique, numbers = average_uniqueness(starts, ends, episodes), np.unique(episodes, return_inverse=True)[1].reshape(-1)
    return unique / np.bincount(numbers, unique)[numbers]


def day_design_effect(values: np.ndarray, weights: np.ndarray, episodes: np.ndarray, days: np.ndarray) -> float:
    """Variance of the weighted mean of `values` with dates as the independent units, over that with episodes; at least 1.

    All (n,). Both are the linearised variance of a ratio mean (Kish 1965): units / (units - 1) · Σ (Σ w (v - mean))² over units.
    What rows of an episode share is counted by uniqueness already, hence episodes and not rows below. ValueError under two dates.
    """
    if len(np.unique(days)) < 2:
        raise ValueError("the design effect of dates needs at least two of them")
    rest = weights * (values - np.average(values, weights=weights))
    between = _between(rest, episodes)
    return max(1.0, _between(rest, days) / between) if between > 0 else 1.0


def n_eff(uniqueness: np.ndarray, design_effect: float) -> float:
    """Independent rows to which these amount: the sum of their average uniqueness over the design effect of dates."""
    return float(uniqueness.sum()) / design_effect


def _between(rest: np.ndarray, units: np.ndarray) -> float:
    sums = np.bincount(np.unique(units, return_inverse=True)[1].reshape(-1), rest)
    return float(sums @ sums) * len(sums) / (len(sums) - 1)


def _uniqueness(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Of labels that compete: the integral of 1 / their number, read off at both ends of each."""
    times = np.unique(np.concatenate((starts, ends)))
    first, last = np.searchsorted(times, starts), np.searchsorted(times, ends)
    change = np.bincount(first, minlength=len(times)) - np.bincount(last, minlength=len(times))
    labels = np.cumsum(change)[:-1]  # at work from each time to the next
    shares = np.divide(np.diff(times), labels, out=np.zeros(len(labels)), where=labels > 0)
    integral = np.r_[0.0, np.cumsum(shares)]
    return (integral[last] - integral[first]) / (ends - starts)
