"""What every model must beat: the base rate, geometry, and a logistic regression on ten features around geometry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from spymaster_assets.features import FEATURES
from spymaster_assets.models.metrics import check_outcomes
from spymaster_assets.models.odds import CLASSES, clipped, geometry, logs, softmax

RIDGE: Final = 10.0  # per squared coefficient, over a weight of one per episode: coefficients of about 1 / sqrt(10) are expected
REACH: Final = 5.0  # standard deviations at which a feature is cut off: ratios have long tails
TEN: Final = {
    "stage_a": (
        "approach_barrier_delta_share", "approach_added_rate_60", "approach_pulled_rate_60", "approach_replenishment_ratio",
        "wall_ratio", "depth_imbalance", "signed_volume_60s", "signed_volume_120s", "gamma_exposure", "gex_above_3strike",
    ),
    "stage_b": (
        "barrier_delta_share", "pull_ratio", "replenishment_ratio", "wall_ratio", "depth_imbalance",
        "tape_imbalance", "tape_velocity", "signed_volume_60s", "gamma_exposure", "gex_above_3strike",
    ),
}  # barrier, tape and fuel: at the touch, and of the reaction after it  # fmt: skip

_NUMBERS: Final = frozenset(feature.name for feature in FEATURES if not feature.categories)
_CONTRASTS: Final = np.array([[1, -1, 0], [1, 1, -2]]) / np.sqrt([[2], [6]])  # break v bounce, resolved v chop; orthonormal
_STEPS: Final = 100
_CONVERGED: Final = 1e-16  # nats, per weight, that the last step gains: half the squared Newton decrement


def base_rate(outcomes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted shares of the three classes among `outcomes` (n,), (3,), each at least LEAST before they are made to sum to one."""
    check_outcomes(outcomes)
    shares = np.bincount(outcomes, weights, minlength=len(CLASSES))
    return clipped(shares[None] / shares.sum())[0]


@dataclass(frozen=True)
class Logistic:
    """A fitted multinomial logistic regression around geometry.

    `centre`, `scale`: (k,), of the features on the rows it learnt from; a scale is infinite where nothing varied. `coefficients`:
    (1 + k, 3), the constant first, per standard deviation and class; each row sums to zero. All zero: geometry exactly.
    """

    horizon: str
    features: tuple[str, ...]
    centre: np.ndarray
    scale: np.ndarray
    coefficients: np.ndarray

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Probabilities (n, 3) of rows of training whose geometry is known."""
        design = _design(_values(rows, self.features), self.centre, self.scale)
        return softmax(logs(geometry(rows, self.horizon)) + np.einsum("nm,mc->nc", design, self.coefficients))


def fit_logistic(rows: np.ndarray, weights: np.ndarray, horizon: str, features: tuple[str, ...], ridge: float = RIDGE) -> Logistic:
    """Learn from `usable` rows (n,) of training, `weights` (n,). `features`: names of the registry's numbers, else ValueError.

    A feature is standardised by its known values (weighted) and cut off at REACH; unknown, it is 0, its mean. One that does not
    vary gets the coefficient 0.
    """
    values = _values(rows, features)
    known = ~np.isnan(values)
    share, total = weights[:, None] * known, (weights[:, None] * known).sum(axis=0)
    filled = np.where(known, values, 0.0)
    centre = (share * filled).sum(axis=0) / np.where(total > 0, total, 1.0)
    spread = np.sqrt((share * (filled - centre) ** 2).sum(axis=0) / np.where(total > 0, total, 1.0))
    scale = np.where(spread > 1e-9 * np.abs(filled).max(axis=0, initial=0.0), spread, np.inf)
    design, offset = _design(values, centre, scale), logs(geometry(rows, horizon))
    coefficients = fit_multinomial(design, offset, rows[f"outcome_{horizon}"], weights, ridge)
    return Logistic(horizon, tuple(features), centre, scale, coefficients)


def fit_multinomial(design: np.ndarray, offset: np.ndarray, outcomes: np.ndarray, weights: np.ndarray, ridge: float) -> np.ndarray:
    """Coefficients b (m, 3) that minimise Σ w (-ln P(outcome)) + ridge/2 Σ b², P = softmax(offset + design b).

    `design`: (n, m); `offset`: (n, 3), log-probabilities, fixed; `outcomes`: (n,); `weights`: (n,). The penalty, which the constant
    pays too, makes the solution unique whichever class is absent; its rows sum to zero. Newton's method with halved steps (IRLS;
    Hastie, Tibshirani, Friedman 2009, 4.4). einsum sums in one order: the same bytes for any number of threads.
    ValueError if ridge or the weights' sum is not above 0; RuntimeError if it does not converge.
    """
    check_outcomes(outcomes)
    if not (ridge > 0 and weights.sum() > 0):
        raise ValueError(f"ridge {ridge}, sum of weights {weights.sum()}: both must be above 0")
    happened, inner = np.eye(len(CLASSES))[outcomes], np.zeros((design.shape[1], len(_CONTRASTS)))

    def loss(inner: np.ndarray) -> float:
        logs = _log_probabilities(design, offset, inner @ _CONTRASTS)
        return float(ridge / 2 * (inner**2).sum() - (weights * logs[np.arange(len(outcomes)), outcomes]).sum())

    now = loss(inner)
    for _ in range(_STEPS):
        chances = np.exp(_log_probabilities(design, offset, inner @ _CONTRASTS))
        slope = np.einsum("nm,nc->mc", design, weights[:, None] * (chances - happened)) @ _CONTRASTS.T + ridge * inner
        step = -np.linalg.solve(_curvature(design, chances, weights, ridge), slope.ravel()).reshape(slope.shape)
        if -(slope * step).sum() / 2 <= _CONVERGED * weights.sum():
            return (inner + step) @ _CONTRASTS
        rounding = 1e-14 * abs(now)
        while (then := loss(inner + step)) > now + rounding:
            step /= 2
        inner, now = inner + step, then
    raise RuntimeError(f"Newton's method did not converge in {_STEPS} steps on {len(outcomes)} rows")


def _curvature(design: np.ndarray, chances: np.ndarray, weights: np.ndarray, ridge: float) -> np.ndarray:
    """Second derivatives in the plane of the contrasts: (2m, 2m), rows of the coefficients' ravelled (m, 2)."""
    size, count = design.shape[1], len(_CONTRASTS)
    out = np.zeros((size, count, size, count))
    means = chances @ _CONTRASTS.T
    for a in range(count):
        for b in range(count):
            covariance = chances @ (_CONTRASTS[a] * _CONTRASTS[b]) - means[:, a] * means[:, b]
            out[:, a, :, b] = np.einsum("ni,nj->ij", design * (weights * covariance)[:, None], design)
    return out.reshape(size * count, size * count) + ridge * np.eye(size * count)


def _log_probabilities(design: np.ndarray, offset: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    logits = offset + np.einsum("nm,mc->nc", design, coefficients)
    logits = logits - logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def _values(rows: np.ndarray, features: tuple[str, ...]) -> np.ndarray:
    """(n, k) features, NaN where unknown."""
    if strange := [name for name in features if name not in _NUMBERS]:
        raise ValueError(f"{', '.join(strange)}: not among the registry's numbers")
    values = np.stack([rows[name] for name in features], axis=1) if features else np.zeros((len(rows), 0))
    if np.isinf(values).any():
        raise ValueError(f"{features[np.isinf(values).any(axis=0).argmax()]} is infinite in a row")
    return values


def _design(values: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(n, 1 + k): a one, then the standardised features, 0 where unknown."""
    standard = np.clip((values - centre) / scale, -REACH, REACH)
    return np.hstack([np.ones((len(values), 1)), np.where(np.isnan(standard), 0.0, standard)])
