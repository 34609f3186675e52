"""Whether a gain is more than luck: after several tries, over few dates, from few touches."""

from __future__ import annotations

from bisect import bisect_left
from math import ceil, e, log10, sqrt
from statistics import NormalDist
from typing import Final

import numpy as np

from spymaster_assets.models.metrics import day_means

LEVEL: Final = 0.05  # of a one-sided test
POWER: Final = 0.80
_NORMAL: Final = NormalDist()
_MOST: Final = 10**9  # rows
_STEPS: Final = 100_000  # of an AUC from .5 to 1


def holm(chances: np.ndarray) -> np.ndarray:
    """p-values (k,) of a family of k tests, adjusted so that each may be compared with the level of the family (Holm 1979).

    The i-th smallest is multiplied by k - i + 1; none falls below that of a smaller one, none exceeds 1. ValueError if one is no
    p-value.
    """
    if not ((chances >= 0) & (chances <= 1)).all():
        raise ValueError(f"p-values {chances}: expected numbers from 0 to 1")
    order, adjusted = np.argsort(chances, kind="stable"), np.empty(len(chances))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(chances[order] * np.arange(len(chances), 0, -1)))
    return adjusted


def gain_p_value(gains: np.ndarray, weights: np.ndarray, days: np.ndarray, *, draws: int = 2000, seed: int = 0) -> float:
    """One-sided p-value of a weighted mean gain: the share of draws of whole dates whose mean is not above 0, itself counted in.

    All (n,). The draws are those of `metrics.day_bootstrap`: below .025 where the low end of its interval is above 0. Never below
    1 / (draws + 1) (Davison and Hinkley 1997, 4.2); 1 for fewer than two dates of weight. ValueError if a gain is not finite.
    """
    means = day_means(gains, weights, days, draws, seed) if (weights > 0).any() else np.zeros(0)
    return float((1 + (means <= 0).sum()) / (1 + draws)) if len(means) else 1.0


def deflated_sharpe(sharpe: float, count: int, skew: float, kurtosis: float, trials: int, variance: float) -> float:
    """Probability that the best of `trials` strategies is better than the best of as many worthless ones is expected to be.

    `sharpe`: mean over standard deviation of its `count` values (a date's gain, say), per value, not annualised; `skew`,
    `kurtosis`: theirs, 3 for a normal one; `variance`: of the Sharpe ratios among the trials, per value too. At least 2 trials.
    (Bailey and Lopez de Prado 2014, equations 1 and 2.)
    """
    if trials < 2 or count < 2:
        raise ValueError(f"{trials} trials, {count} values: expected two or more of both")
    luck = (1 - np.euler_gamma) * _NORMAL.inv_cdf(1 - 1 / trials) + np.euler_gamma * _NORMAL.inv_cdf(1 - 1 / (trials * e))
    spread = sqrt(1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2)
    return _NORMAL.cdf((sharpe - sqrt(variance) * luck) * sqrt(count - 1) / spread)


def auc_error(auc: float, rows: float, share: float = 0.5) -> float:
    """Standard error of an AUC from independent rows, of which a share is positive (Hanley and McNeil 1982)."""
    positive, negative = share * rows, (1 - share) * rows
    twice_positive, twice_negative = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    pairs = (positive - 1) * (twice_positive - auc**2) + (negative - 1) * (twice_negative - auc**2)
    return sqrt((auc * (1 - auc) + pairs) / (positive * negative))


def auc_power(auc: float, rows: float, share: float = 0.5, level: float = LEVEL) -> float:
    """How likely a one-sided test of the level, that AUC is one half, finds a true `auc` from as many independent rows."""
    beyond = _NORMAL.inv_cdf(1 - level) * auc_error(0.5, rows, share)
    return _NORMAL.cdf((auc - 0.5 - beyond) / auc_error(auc, rows, share))


def rows_for_auc(auc: float, share: float = 0.5, level: float = LEVEL, power: float = POWER) -> int:
    """Fewest independent rows from which a true `auc` is found with that power: 822 for .55, 204 for .60."""
    if not 0.5 < auc < 1:
        raise ValueError(f"AUC {auc}: expected more than one half and less than one")
    return bisect_left(range(_MOST), power, lo=4, key=lambda rows: auc_power(auc, rows, share, level))


def least_auc(rows: float, share: float = 0.5, level: float = LEVEL, power: float = POWER) -> float:
    """The lowest AUC, to five digits, that is found with that power from as many independent rows; 1 if none is."""
    steps = range(_STEPS)
    return 0.5 + bisect_left(steps, power, key=lambda step: auc_power(0.5 + step / _STEPS / 2, rows, share, level)) / _STEPS / 2


def power_statement(rows: float, share: float = 0.5) -> str:
    """A sentence for a report on `rows` effective resolved test rows (counted at the touch), of which a share broke."""
    if rows < 4:
        return f"{rows:.0f} effective resolved test rows tell nothing about an AUC."
    need = " and ".join(f"{_about(rows_for_auc(auc, share))} for an AUC of {auc:.2f}" for auc in (0.55, 0.60))
    return (
        f"With {rows:.0f} effective resolved test rows, a one-sided test at {LEVEL:.0%} has {POWER:.0%} power against an AUC "
        f"of {least_auc(rows, share):.3f} or more; about {need} would be needed."
    )


def _about(number: int) -> int:
    """Rounded up to two digits."""
    unit = 10 ** max(0, int(log10(number)) - 1)
    return ceil(number / unit) * unit
