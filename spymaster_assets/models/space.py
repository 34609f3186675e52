"""Where touches lie: features as points of a space in which near ones are alike."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from spymaster_assets.compute.kernel import kernel
from spymaster_assets.models import odds
from spymaster_assets.models.examples import Examples
from spymaster_assets.models.odds import CLASSES

REACH: Final = 5.0  # interquartile ranges at which a feature is cut off
_CONTRASTS: Final = np.array([[1, -1, 0], [1, 1, -2]]) / np.sqrt([[2], [6]])  # break v bounce, resolved v chop; orthonormal


class Space(NamedTuple):
    """How a row becomes a point. `centre`, `scale`: (f,); a scale is 0 where a feature never varied: there every row is at 0.

    `transform`: (f, f), applied to scaled features as a row; with the metric "leaves" nothing of it is used.
    """

    metric: str
    centre: np.ndarray
    scale: np.ndarray
    transform: np.ndarray

    def points(self, values: np.ndarray, leaves: np.ndarray | None) -> np.ndarray:
        """(n, dims) f4 of features (n, f), NaN where unknown, or of leaf numbers (n, trees)."""
        if self.metric == "leaves":
            if leaves is None:
                raise ValueError("this index compares leaves: give those of the rows")
            return leaves.astype(np.float32)
        out = np.empty((len(values), self.transform.shape[1]), np.float32)
        _transformed(scaled(values, self.centre, self.scale), self.transform, out)
        return out


def fit_space(metric: str, examples: Examples, values: np.ndarray) -> Space:
    """Centre, scale and transform of a metric from examples and their features (n, f).

    The scale of one that is the same in half of the rows and not in all is its standard deviation.
    """
    size = values.shape[1]
    centre, scale = np.zeros(size), np.zeros(size)
    for f, column in enumerate(values.T):
        if len(known := column[~np.isnan(column)]):
            low, centre[f], high = np.quantile(known, (0.25, 0.5, 0.75))
            scale[f] = high - low if high > low else known.std() if np.ptp(known) > 0 else 0.0
    at, transform = scaled(values, centre, scale), np.eye(size)
    if metric == "whitened" and len(at):
        transform = whitening(at)
    elif metric == "relevant" and len(at):
        transform = np.diag(relevance(at, examples))
    return Space(metric, centre, scale, transform)


def scaled(values: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Features (n, f) less `centre`, over `scale`, cut off at REACH; 0 where unknown, or where a feature never varied."""
    away = np.divide(values - centre, scale, out=np.zeros(values.shape), where=scale > 0)
    return np.where(np.isnan(away), 0.0, np.clip(away, -REACH, REACH))


def relevance(at: np.ndarray, examples: Examples) -> np.ndarray:
    """Factor of each scaled feature (n, f), (f,): root of what it tells beyond geometry, over its standard deviation.

    What it tells: Σ over both contrasts of the outcome of U² / var U, U = Σ w z (happened - geometry), the score of a regression
    around geometry in which the feature alone would enter, with whole dates as the independent units; less 2, what chance
    gives on average. All 1 if none tells anything.
    """
    beyond = (np.eye(len(CLASSES))[examples.outcomes] - odds.geometry(examples.rows, examples.horizon)) @ _CONTRASTS.T
    spread, told = at.std(axis=0), np.zeros(at.shape[1])
    date = np.unique(examples.days, return_inverse=True)[1].reshape(-1)
    for f, column in enumerate(at.T):
        for contrast in beyond.T:
            sums = np.bincount(date, examples.weights * (column - column.mean()) * contrast)
            rest = sums - sums.mean()
            told[f] += sums.sum() ** 2 / (rest @ rest) if rest.any() else 0.0
    told = np.where(spread > 0, np.maximum(told - 2.0, 0.0), 0.0)
    if not told.any():
        return np.ones(len(told))
    return np.sqrt(told / told.max()) / np.where(spread > 0, spread, 1.0)


def whitening(at: np.ndarray) -> np.ndarray:
    """L of the inverse covariance L L' of points (n, f): between rows of (points @ L) distance is Mahalanobis's.

    The covariance is shrunk toward the mean variance times 1 by as much as its own noise calls for (Ledoit, Wolf 2004).
    """
    count, size = at.shape
    at = at - at.mean(axis=0)
    covariance = np.einsum("ni,nj->ij", at, at) / count
    mean = np.trace(covariance) / size
    if mean <= 0:
        return np.eye(size)
    apart = ((covariance - mean * np.eye(size)) ** 2).sum()
    noise = ((at**2).sum(axis=1) ** 2).sum() / count**2 - (covariance**2).sum() / count
    shrunk = min(noise / apart, 1.0) if apart > 0 else 1.0
    return np.linalg.cholesky(np.linalg.inv((1 - shrunk) * covariance + shrunk * mean * np.eye(size)))


@kernel
def _transformed(at: np.ndarray, transform: np.ndarray, out: np.ndarray) -> None:
    """out = at @ transform, summed in the order of features: a row's bytes do not depend on the others."""
    for i in range(at.shape[0]):
        for j in range(transform.shape[1]):
            total = 0.0
            for f in range(at.shape[1]):
                total += at[i, f] * transform[f, j]
            out[i, j] = total
