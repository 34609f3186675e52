"""Scores of three-class probabilities, and whether a gain is more than luck.

Proper scores first: log loss in nats, Brier. Both come per row too, since skill is the mean of per-row differences to geometry, and
its interval comes from whole dates: touches of one date share its market. Raw AUC tells nothing after the touch, when position
alone decides; the stratified AUC compares rows of like position only.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from spymaster_assets.models.odds import CLASSES
from spymaster_assets.states import BOUNCE, BREAK

STRATA: Final = 50
_SUM: Final = 1e-6  # by how much three probabilities may miss a sum of one


class Interval(NamedTuple):
    """A mean, and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


def log_losses(probabilities: np.ndarray, outcomes: np.ndarray) -> np.ndarray:
    """-ln of the probability that each row gave to what happened, nats; infinite where it gave none.

    `probabilities`: (n, 3), each row sums to one; `outcomes`: (n,), BREAK, BOUNCE or CHOP; else ValueError.
    """
    _check(probabilities, outcomes)
    with np.errstate(divide="ignore"):
        return -np.log(probabilities[np.arange(len(outcomes)), outcomes])


def brier_scores(probabilities: np.ndarray, outcomes: np.ndarray) -> np.ndarray:
    """Summed squared distance of three probabilities from what happened, per row, 0 to 2 (Brier 1950). As `log_losses`."""
    _check(probabilities, outcomes)
    return ((probabilities - np.eye(3)[outcomes]) ** 2).sum(axis=1)


def log_loss(probabilities: np.ndarray, outcomes: np.ndarray, weights: np.ndarray) -> float:
    """Weighted mean of `log_losses`."""
    return float(np.average(log_losses(probabilities, outcomes), weights=weights))


def brier(probabilities: np.ndarray, outcomes: np.ndarray, weights: np.ndarray) -> float:
    """Weighted mean of `brier_scores`."""
    return float(np.average(brier_scores(probabilities, outcomes), weights=weights))


def break_given_resolved(probabilities: np.ndarray) -> np.ndarray:
    """P(BREAK) / (P(BREAK) + P(BOUNCE)) of (n, 3) probabilities, (n,); one half where both are 0."""
    resolved = probabilities[:, BREAK] + probabilities[:, BOUNCE]
    return np.divide(probabilities[:, BREAK], resolved, out=np.full(len(resolved), 0.5), where=resolved > 0)


def auc(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> float:
    """Weighted share of pairs (a positive row, another) in which the positive one has the higher score; ties count half.

    All (n,); `positive`: flags. A pair weighs the product of its rows' weights. Exact (Mann, Whitney 1947); NaN without a pair.
    ValueError if a score is NaN.
    """
    return _share_won(scores, positive, weights, np.zeros(len(scores), np.int64))


def stratified_auc(
    scores: np.ndarray, positive: np.ndarray, weights: np.ndarray, geometry: np.ndarray, strata: int = STRATA
) -> float:
    """`auc` over the pairs of rows whose geometry is alike: of the same of so many quantile strata of it, pooled over all pairs.

    Rows are the resolved ones, `positive`: those that broke, `geometry`: (n,), its P(break | resolved). One half on average for a
    score that tells nothing more within a stratum. A stratum with one class has no pair; equal geometry means one stratum. What
    varies within strata remains: geometry's own stratified AUC is one half + (mean width of a stratum / 12) / (mean of P(1 - P))
    where P is even within each; .51 for a uniform P and 50 strata.
    """
    if np.isnan(geometry).any():
        raise ValueError(f"geometry is unknown in {np.isnan(geometry).sum()} of {len(geometry)} rows: it gives them no stratum")
    edges = np.quantile(geometry, np.arange(1, strata) / strata) if len(geometry) else np.zeros(0)
    return _share_won(scores, positive, weights, np.searchsorted(edges, geometry, side="right"))


def stratified_auc_error(positive: np.ndarray, geometry: np.ndarray, strata: int = STRATA) -> float:
    """Standard error of `stratified_auc` of independent rows of weight one for a score that tells nothing (van Elteren 1960).

    Only pairs within a stratum tell: sqrt(Σ a b (a + b + 1) / 12) / Σ a b, with a positive and b other rows of each. Infinite
    without a pair.
    """
    edges = np.quantile(geometry, np.arange(1, strata) / strata) if len(geometry) else np.zeros(0)
    stratum = np.searchsorted(edges, geometry, side="right")
    a, b = (np.bincount(stratum, flags, minlength=strata) for flags in (positive, ~positive))
    pairs = float((a * b).sum())
    return float(np.sqrt((a * b * (a + b + 1)).sum() / 12) / pairs) if pairs else float("inf")


def day_bootstrap(values: np.ndarray, weights: np.ndarray, days: np.ndarray, *, draws: int = 2000, seed: int = 0) -> Interval:
    """Weighted mean of `values` and its 95 % interval when whole dates are drawn anew (percentiles; Efron 1979, by blocks).

    All (n,); `days`: any number or date that names a row's date. Dates of weight 0 are left out; fewer than two others know no
    spread: the interval is infinite. A draw is the number of times that each date occurs in it: memory is draws x dates.
    ValueError without weight, or if a value is not finite.
    """
    means = day_means(values, weights, days, draws, seed)
    mean = float(np.average(values, weights=weights))
    if not len(means):
        return Interval(mean, -np.inf, np.inf)
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(mean, float(low), float(high))


def day_means(values: np.ndarray, weights: np.ndarray, days: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Weighted means (draws,) of `values` when whole dates are drawn anew; none, (0,), of fewer than two dates with weight.

    ValueError without weight, or if a value is not finite.
    """
    if not np.isfinite(values).all():
        raise ValueError(f"{(~np.isfinite(values)).sum()} of {len(values)} values are not finite: their mean is not known")
    numbers = np.unique(days, return_inverse=True)[1].reshape(-1)
    sums, weight = np.bincount(numbers, weights * values), np.bincount(numbers, weights)
    sums, weight = sums[weight > 0], weight[weight > 0]
    if not len(weight):
        raise ValueError("no row has weight: there is no mean")
    if len(weight) < 2:
        return np.zeros(0)
    counts = np.random.default_rng(seed).multinomial(len(weight), np.full(len(weight), 1 / len(weight)), size=draws)
    means: np.ndarray = (counts @ sums) / (counts @ weight)
    return means


def check_outcomes(outcomes: np.ndarray) -> None:
    """ValueError unless all are BREAK, BOUNCE or CHOP: rows whose outcome is another state or unknown belong in no score."""
    if not np.isin(outcomes, CLASSES).all():
        raise ValueError(f"outcomes are {np.unique(outcomes)}: expected BREAK, BOUNCE and CHOP, {CLASSES}")


def _check(probabilities: np.ndarray, outcomes: np.ndarray) -> None:
    if probabilities.shape != (len(outcomes), len(CLASSES)):
        raise ValueError(f"probabilities have the shape {probabilities.shape}, expected {(len(outcomes), len(CLASSES))}")
    bad = ~((probabilities >= 0).all(axis=1) & (np.abs(probabilities.sum(axis=1) - 1) <= _SUM))
    if bad.any():
        raise ValueError(f"row {bad.argmax()} has the probabilities {probabilities[bad.argmax()]}: no distribution")
    check_outcomes(outcomes)


def _share_won(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray, strata: np.ndarray) -> float:
    """Share of the pairs within strata that their positive row wins, ties half; NaN without a pair."""
    if np.isnan(scores).any():
        raise ValueError(f"{np.isnan(scores).sum()} of {len(scores)} scores are NaN: they have no rank")
    if not len(scores):
        return float("nan")
    order = np.lexsort((scores, strata))
    scores, strata = scores[order], strata[order]
    begins = np.r_[True, strata[1:] != strata[:-1]]  # of a stratum
    ties = np.cumsum(begins | np.r_[True, scores[1:] != scores[:-1]]) - 1  # number of the group of equal scores
    positives = np.bincount(ties, np.where(positive, weights, 0.0)[order])
    negatives = np.bincount(ties, np.where(positive, 0.0, weights)[order])
    stratum = np.bincount(ties[begins], minlength=len(positives)).cumsum() - 1  # of a group
    below = negatives.cumsum() - negatives
    below -= below[ties[begins]][stratum]
    pairs = float(np.bincount(stratum, positives) @ np.bincount(stratum, negatives))
    return float(positives @ (below + negatives / 2)) / pairs if pairs > 0 else float("nan")
