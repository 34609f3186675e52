"""Credible intervals of a share: quantiles of the Beta distribution, compiled."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from spymaster_assets.compute.kernel import kernel

COVERED: Final = 0.90
_HALVINGS: Final = 44  # of [0, 1], for a quantile
_TERMS: Final = 1000  # of a continued fraction, at most


def credible(means: np.ndarray, totals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the central interval of COVERED of each class, (n, 3) each, of a Dirichlet with these means and total counts (n,).

    Of an infinite total, the mean itself.
    """
    low, high = means.copy(), means.copy()
    _ends(means, totals, (1 - COVERED) / 2, low, high)
    return low, high


@kernel
def _ends(means: np.ndarray, totals: np.ndarray, tail: float, low: np.ndarray, high: np.ndarray) -> None:
    for i in range(means.shape[0]):
        if np.isinf(totals[i]):
            continue
        for c in range(means.shape[1]):
            a, b = means[i, c] * totals[i], (1.0 - means[i, c]) * totals[i]
            low[i, c] = beta_quantile(tail, a, b)
            high[i, c] = 1.0 - beta_quantile(tail, b, a)


@kernel
def beta_quantile(share: float, a: float, b: float) -> float:
    """x with P(Beta(a, b) <= x) = share, within 2^-44: bisection."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if beta_below(middle, a, b) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


@kernel
def beta_below(x: float, a: float, b: float) -> float:
    """P(Beta(a, b) <= x), the regularised incomplete beta function, 0 < x < 1: continued fraction DLMF 8.17.22."""
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x > (a + 1.0) / (a + b + 2.0):  # where the fraction of the mirror image converges faster
        return 1.0 - front * _fraction(1.0 - x, b, a) / b
    return front * _fraction(x, a, b) / a


@kernel
def _fraction(x: float, a: float, b: float) -> float:
    """1 / (1 + d1 / (1 + d2 / ...)) by the ratios of successive numerators and denominators (Lentz 1976)."""
    value, above, below = 1.0, 1.0, 0.0
    for term in range(1, _TERMS):
        m = term // 2
        if term % 2:
            d = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        else:
            d = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        below = 1.0 / _away_from_0(1.0 + d * below)
        above = _away_from_0(1.0 + d / above)
        value *= above * below
        if abs(above * below - 1.0) < 1e-15:
            break
    return 1.0 / value


@kernel
def _away_from_0(value: float) -> float:
    return value if abs(value) > 1e-300 else 1e-300
