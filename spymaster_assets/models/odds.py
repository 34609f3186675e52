"""Probabilities of the three classes as logarithms and back, row by row.

exp and log are taken inside kernels: numpy's may differ in the last bit with the place of a row in its array, and a row's
prediction has to be the same alone and in a batch. Every model's odds are geometry's, times exp of what the model adds.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from spymaster_assets.compute.kernel import kernel
from spymaster_assets.states import BOUNCE, BREAK, CHOP, OUTCOMES

CLASSES: Final = (BREAK, BOUNCE, CHOP)  # columns of probabilities
LEAST: Final = 1e-4  # probability that anything gets before the three are made to sum to one: what seems impossible happens


def geometry_columns(horizon: str) -> list[str]:
    """Names of the three columns of training that hold geometry's probabilities at a horizon ("4min")."""
    return [f"geometry_{OUTCOMES[outcome].lower()}_{horizon}" for outcome in CLASSES]


def geometry_known(rows: np.ndarray, horizon: str) -> np.ndarray:
    """Whether a row's three probabilities are known, (n,)."""
    return np.asarray(~np.isnan([rows[name] for name in geometry_columns(horizon)]).any(axis=0))


def geometry(rows: np.ndarray, horizon: str) -> np.ndarray:
    """The rows' own probabilities of a driftless price (docs/physics.md, 4.3), (n, 3), clipped to [LEAST, 1], summing to one.

    ValueError if they are unknown for a row (see `examples.usable`).
    """
    probabilities = np.stack([rows[name] for name in geometry_columns(horizon)], axis=1)
    unknown = np.isnan(probabilities).any(axis=1)
    if unknown.any():
        raise ValueError(f"geometry of {horizon} is unknown for {unknown.sum()} of {len(rows)} rows: leave them out")
    return clipped(probabilities)


def clipped(probabilities: np.ndarray) -> np.ndarray:
    """(n, 3) probabilities, each at least LEAST before the three are made to sum to one."""
    probabilities = np.clip(probabilities, LEAST, 1.0)
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def logs(probabilities: np.ndarray) -> np.ndarray:
    """Natural logarithms, elementwise, of `clipped` probabilities (n, 3)."""
    out = np.empty(probabilities.shape)
    _logs(np.ascontiguousarray(clipped(probabilities)), out)
    return out


def softmax(logits: np.ndarray) -> np.ndarray:
    """exp of each of (n, 3) logits over their sum, (n, 3); a constant added to a row's three changes nothing but rounding."""
    out = np.empty(logits.shape)
    _softmax(np.ascontiguousarray(logits, np.float64), out)
    return out


@kernel
def _logs(probabilities: np.ndarray, out: np.ndarray) -> None:
    for i in range(probabilities.shape[0]):
        for j in range(probabilities.shape[1]):
            out[i, j] = np.log(probabilities[i, j])


@kernel
def _softmax(logits: np.ndarray, out: np.ndarray) -> None:
    for i in range(logits.shape[0]):
        most = logits[i, 0]
        for j in range(1, logits.shape[1]):
            most = max(most, logits[i, j])
        total = 0.0
        for j in range(logits.shape[1]):
            out[i, j] = np.exp(logits[i, j] - most)
            total += out[i, j]
        for j in range(logits.shape[1]):
            out[i, j] /= total
