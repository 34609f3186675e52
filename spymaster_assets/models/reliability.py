"""Whether probabilities of an event come true as often as they say, and how well scores rank it.

Everything is about one event, in (n,) arrays: its `probabilities` (or `scores`, which need only rise), whether it `happened`, and
`weights`; rows of weight 0 do not count, and ValueError if there is no other. Bins hold equal weight; equal probabilities share
one. A simulation draws events independently: give it rows of one landmark, one of each episode.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

BINS: Final = 10
DRAWS: Final = 1000


class Murphy(NamedTuple):
    """Brier score = reliability - resolution + uncertainty + within.

    `within`: what probabilities that differ within a bin add (Stephenson, Coelho, Jolliffe 2008); 0 where none do.
    """

    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float


class Reliability(NamedTuple):
    """Of each bin, (m,): its share of weight, its mean probability, how often the event happened; where true ones would lie."""

    share: np.ndarray
    said: np.ndarray
    happened: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Curve(NamedTuple):
    """Points (x, y) for falling thresholds, from which scores on the event is called."""

    x: np.ndarray
    y: np.ndarray
    threshold: np.ndarray


def bins_of(probabilities: np.ndarray, weights: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Number of each row's bin, (n,), from 0, rising: by which of `bins` equal shares of the weight its probability's middle is in.

    A share that no middle is in makes no bin. Weights are above 0.
    """
    place = np.unique(probabilities, return_inverse=True)[1].reshape(-1)
    weight = np.bincount(place, weights)
    middle = (weight.cumsum() - weight / 2) / weight.sum()
    return np.unique(np.floor(middle * bins), return_inverse=True)[1].reshape(-1)[place]


def ece(probabilities: np.ndarray, happened: np.ndarray, weights: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error: the distance between mean probability and frequency, averaged over bins by weight."""
    probabilities, happened, weights = _weighty(probabilities, happened, weights)
    return _ece(bins_of(probabilities, weights, bins), probabilities, happened, weights)


def ece_floor(probabilities: np.ndarray, weights: np.ndarray, bins: int = BINS, *, draws: int = DRAWS, seed: int = 0) -> float:
    """What `ece` shows on average when events are drawn from the probabilities themselves.

    About sqrt(2 bins p (1 - p) / (pi n)): .056 for 10 bins of 500 rows near one half.
    """
    probabilities, weights = _weighty(probabilities, weights)
    number, rng = bins_of(probabilities, weights, bins), np.random.default_rng(seed)
    return float(np.mean([_ece(number, probabilities, rng.random(len(weights)) < probabilities, weights) for _ in range(draws)]))


def murphy(probabilities: np.ndarray, happened: np.ndarray, weights: np.ndarray, bins: int = BINS) -> Murphy:
    """The Brier score of one event, mean of (probability - happened)², and its parts (Murphy 1973): they add up exactly.

    Three classes' scores add up to `metrics.brier`.
    """
    probabilities, happened, weights = _weighty(probabilities, happened, weights)
    weights = weights / weights.sum()
    number = bins_of(probabilities, weights, bins)
    share, base = np.bincount(number, weights), float(weights @ happened)
    said, came = (np.bincount(number, weights * column) / share for column in (probabilities, happened))
    apart = probabilities - said[number]
    return Murphy(
        brier=float(weights @ (probabilities - happened) ** 2),
        reliability=float(share @ (said - came) ** 2),
        resolution=float(share @ (came - base) ** 2),
        uncertainty=base * (1 - base),
        within=float(weights @ (apart * (apart - 2 * (happened - came[number])))),
    )


def reliability(
    probabilities: np.ndarray, happened: np.ndarray, weights: np.ndarray, bins: int = BINS, *, draws: int = DRAWS, seed: int = 0
) -> Reliability:
    """The reliability diagram with consistency bands (Bröcker and Smith 2007): 5 % to 95 % of what true probabilities would show.

    Rows are drawn anew with what they said, events from that; rows keep their bins.
    """
    probabilities, happened, weights = _weighty(probabilities, happened, weights)
    number, rng, count = bins_of(probabilities, weights, bins), np.random.default_rng(seed), len(weights)
    share = np.bincount(number, weights)
    said, came = (np.bincount(number, weights * column) / share for column in (probabilities, happened))
    simulated = np.empty((draws, len(share)))
    for draw in range(draws):
        rows = rng.integers(count, size=count)
        true = rng.random(count) < probabilities[rows]
        weight = np.bincount(number[rows], weights[rows], len(share))
        events = np.bincount(number[rows], weights[rows] * true, len(share))
        simulated[draw] = np.divide(events, weight, out=said.copy(), where=weight > 0)  # a bin without rows: in the middle
    low, high = np.quantile(simulated, (0.05, 0.95), axis=0)
    return Reliability(share / share.sum(), said, came, low, high)


def roc_curve(scores: np.ndarray, happened: np.ndarray, weights: np.ndarray) -> Curve:
    """Share of the other rows called (x) and of the events called (y), from (0, 0) to (1, 1); `metrics.auc` is the area below."""
    threshold, events, others = _called(scores, happened, weights)
    x, y = (np.r_[0.0, _over(called, called[-1])] for called in (others, events))
    return Curve(x, y, np.r_[np.inf, threshold])


def precision_recall(scores: np.ndarray, happened: np.ndarray, weights: np.ndarray) -> Curve:
    """Share of the events called (x, recall) and share of events among the called (y, precision)."""
    threshold, events, others = _called(scores, happened, weights)
    return Curve(_over(events, events[-1]), events / (events + others), threshold)


def average_precision(scores: np.ndarray, happened: np.ndarray, weights: np.ndarray) -> float:
    """Precision averaged over the steps of recall, none interpolated; the base rate for scores that tell nothing."""
    recall, precision, _ = precision_recall(scores, happened, weights)
    return float(np.diff(recall, prepend=0.0) @ precision)


def lift(scores: np.ndarray, happened: np.ndarray, weights: np.ndarray, top: float = 0.1) -> float:
    """How many times the base rate the event happens in the `top` share of weight with the highest scores; NaN without events.

    Of equal scores across the border each counts in part.
    """
    _, events, others = _called(scores, happened, weights)
    called = np.r_[0.0, events + others]
    caught = np.interp(top * called[-1], called, np.r_[0.0, events])
    return float(_over(caught / top, events[-1]))


def _ece(number: np.ndarray, probabilities: np.ndarray, happened: np.ndarray, weights: np.ndarray) -> float:
    return float(np.abs(np.bincount(number, weights * (happened - probabilities))).sum() / weights.sum())


def _called(scores: np.ndarray, happened: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct scores, falling, and the weight of events and of other rows with at least each."""
    scores, happened, weights = _weighty(scores, happened, weights)
    values, place = np.unique(-scores, return_inverse=True)
    place = place.reshape(-1)
    events, others = np.bincount(place, weights * happened), np.bincount(place, weights * (1 - happened))
    return -values, events.cumsum(), others.cumsum()


def _over(part: np.ndarray, total: float) -> np.ndarray:
    return part / total if total > 0 else np.full_like(part, np.nan)


def _weighty(*columns: np.ndarray) -> tuple[np.ndarray, ...]:
    """The rows that have weight, the last column, as numbers. ValueError if there is none, or one has no probability or score."""
    kept = columns[-1] > 0
    if not kept.any():
        raise ValueError("no row has weight: there is nothing to tell")
    if np.isnan(columns[0][kept]).any():
        raise ValueError(f"{np.isnan(columns[0][kept]).sum()} of {kept.sum()} rows have no number to rank them by")
    return tuple(column[kept].astype(np.float64) for column in columns)
