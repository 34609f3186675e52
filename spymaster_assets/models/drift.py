"""Whether the market is still the one that was learnt from: features, losses and silence by date, and a flag for a new regime."""

from __future__ import annotations

from math import exp, nan, pi, sqrt
from typing import Any, Final, NamedTuple

import numpy as np

from spymaster_assets.models.odds import LEAST

BINS: Final = 10
WINDOW: Final = 10  # dates
REFERENCE: Final = 25  # dates before the first that is judged
REACH: Final = 3.0  # standard deviations that one date can count
SLACK: Final = 0.5  # of them that a date may lose for nothing: half the loss to be found soonest
LIMIT: Final = 5.0  # sum of the rest that raises the flag
_SERIES: Final = 1.18  # between the two series of Kolmogorov's distribution: five terms of either suffice


class Distance(NamedTuple):
    """Of two samples: the largest between their distribution functions, and how likely chance alone reaches it."""

    distance: float
    chance: float


class Watch(NamedTuple):
    """`days`: dates, rising; `excess`: (d,), the sum after each, 0 before REFERENCE dates; `flagged`: the first above the limit."""

    days: np.ndarray
    excess: np.ndarray
    flagged: Any | None


def psi(reference: np.ndarray, now: np.ndarray, bins: int = BINS) -> float:
    """Population stability index: Σ (b - a) ln(b / a) over bins with shares a of `reference` and b of `now`, each at least LEAST.

    Bins hold equal shares of the reference; a value that would fill more than one is a bin, and so is NaN. Below .1 is usually
    called stable, above .25 shifted (Siddiqi 2006); n and m rows of the same give (bins - 1)(1/n + 1/m) on average. NaN if either
    is empty.
    """
    if not len(reference) or not len(now):
        return nan
    known = reference[~np.isnan(reference)]
    quantiles = np.quantile(known, np.arange(1, bins) / bins) if len(known) else np.zeros(0)
    edges, times = np.unique(quantiles, return_counts=True)
    atoms, size = edges[times > 1], len(edges) + (times > 1).sum() + 2

    def shares(values: np.ndarray) -> np.ndarray:
        number = np.searchsorted(edges, values, side="right") + np.searchsorted(atoms, values, side="left")
        return np.maximum(np.bincount(np.where(np.isnan(values), size - 1, number), minlength=size) / len(values), LEAST)

    before, after = shares(reference), shares(now)
    return float((after - before) @ np.log(after / before))


def kolmogorov_smirnov(reference: np.ndarray, now: np.ndarray) -> Distance:
    """The two-sample test on what is known of both; NaN if nothing is of one.

    The chance is asymptotic with Stephens' correction (1970) and takes rows for independent: of dependent ones it is too small.
    """
    first, second = (np.sort(values[~np.isnan(values)]) for values in (reference, now))
    if not len(first) or not len(second):
        return Distance(nan, nan)
    at = np.concatenate((first, second))
    shares = [np.searchsorted(values, at, side="right") / len(values) for values in (first, second)]
    distance, size = float(np.abs(shares[0] - shares[1]).max()), sqrt(len(first) * len(second) / (len(first) + len(second)))
    return Distance(distance, _kolmogorov((size + 0.12 + 0.11 / size) * distance))


def rolling(values: np.ndarray, weights: np.ndarray, days: np.ndarray, window: int = WINDOW) -> tuple[np.ndarray, np.ndarray]:
    """Dates with weight, rising, and the weighted mean of `values` (n,) over the last `window` of them up to each.

    The first have what there is. Of `metrics.log_losses` it is the rolling log loss, of `conformal.abstains` the share of silence.
    """
    dates, sums, weight = _by_date(values, weights, days)
    starts = [max(0, end - window) for end in range(1, len(dates) + 1)]
    means = [sums[start:end].sum() / weight[start:end].sum() for end, start in enumerate(starts, 1)]
    return dates, np.array(means)


def regime(gains: np.ndarray, weights: np.ndarray, days: np.ndarray) -> Watch:
    """Since when a model does worse against geometry than before: CUSUM of the dates' mean gains (Page 1954), self-starting.

    `gains`: (n,), log loss of geometry less the model's, out of sample; `weights`: as in `Examples`. A date's mean is
    standardised by the mean and deviation of all dates before it (Hawkins 1987); what it lacks beyond SLACK adds up, never below 0.
    Where nothing changes, a flag comes once in 940 dates (Siegmund 1985); a loss of 1.5 deviations is flagged after six.
    ValueError if a gain is not finite.
    """
    if not np.isfinite(gains).all():
        raise ValueError(f"{(~np.isfinite(gains)).sum()} of {len(gains)} gains are not finite: their mean is not known")
    dates, sums, weight = _by_date(gains, weights, days)
    means, excess = sums / weight, np.zeros(len(dates))
    for place in range(REFERENCE, len(dates)):
        before = means[:place]
        spread = before.std(ddof=1) * sqrt(1 + 1 / place)
        lacks = np.clip((before.mean() - means[place]) / spread, -REACH, REACH) if spread > 0 else 0.0
        excess[place] = max(0.0, excess[place - 1] + lacks - SLACK)
    above = excess > LIMIT
    return Watch(dates, excess, dates[above.argmax()] if above.any() else None)


def _by_date(values: np.ndarray, weights: np.ndarray, days: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Dates with weight, their weighted sums of values, and their weights."""
    dates, number = np.unique(days, return_inverse=True)
    number = number.reshape(-1)
    weight = np.bincount(number, weights, len(dates))
    kept = weight > 0
    return dates[kept], np.bincount(number, weights * values, len(dates))[kept], weight[kept]


def _kolmogorov(x: float) -> float:
    """Chance that the supremum of a Brownian bridge's absolute value exceeds x (Kolmogorov 1933)."""
    if x <= 0.1:
        return 1.0  # to the last bit
    if x < _SERIES:
        return 1 - sqrt(2 * pi) / x * sum(exp(-((2 * k - 1) ** 2) * pi**2 / (8 * x**2)) for k in range(1, 6))
    return 2 * sum((-1) ** (k - 1) * exp(-2 * (k * x) ** 2) for k in range(1, 6))
