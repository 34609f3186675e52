"""Several models' odds as one: P ∝ geometry · Π (p of a member / geometry) ^ its weight, a weight per group of landmarks.

A multinomial logistic regression on the members' log-probabilities out of fold, drawn by a ridge toward equal weights that sum to
one. It serves only if it is not worse out of fold than its best member by more than noise; else that member does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from spymaster_assets.models.metrics import day_bootstrap, log_losses
from spymaster_assets.models.odds import logs, softmax

RIDGE: Final = 30.0  # episodes that speak for equal weights: per squared difference of a weight from 1 / members
_STEPS: Final = 50


@dataclass(frozen=True)
class Ensemble:
    """`members`: names; `weights`: (groups, members); `server`: the member that serves instead of all, or ""."""

    members: tuple[str, ...]
    weights: np.ndarray
    server: str = ""

    def predict(self, odds: Mapping[str, np.ndarray], geometry: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Probabilities (n, 3). `odds`: of each member, (n, 3), NaN where it is silent; `geometry`: (n, 3); `groups`: (n,)."""
        weights = self.weights[groups]
        if self.server:
            weights = np.broadcast_to(np.array([float(name == self.server) for name in self.members]), weights.shape)
        return _blend(_added(self.members, odds, geometry), logs(geometry), weights)

    def as_json(self) -> dict[str, Any]:
        return {"members": list(self.members), "weights": self.weights.tolist(), "server": self.server}

    @staticmethod
    def from_json(facts: Mapping[str, Any]) -> Ensemble:
        return Ensemble(tuple(facts["members"]), np.array(facts["weights"], np.float64), facts["server"])


def fit_ensemble(
    odds: Mapping[str, np.ndarray], geometry: np.ndarray, outcomes: np.ndarray, weights: np.ndarray, groups: np.ndarray,
    days: np.ndarray, count: int,
) -> Ensemble:  # fmt: skip
    """Learn from out-of-fold odds of the members, (n, 3) each, NaN where one is silent; `count`: of groups.

    The comparison with the best member is on the same rows, by whole dates: the ensemble serves unless the 95 % interval of its
    gain over that member lies below 0.
    """
    members = tuple(odds)
    added, offset = _added(members, odds, geometry), logs(geometry)
    fitted = np.full((count, len(members)), 1 / len(members))
    for group in range(count):
        at = groups == group
        if at.any():
            fitted[group] = _newton(added[at], offset[at], outcomes[at], weights[at])
    losses = log_losses(_blend(added, offset, fitted[groups]), outcomes)
    alone = {name: log_losses(_blend(added[:, [i]], offset, np.ones((len(offset), 1))), outcomes) for i, name in enumerate(members)}
    best = min(members, key=lambda name: float(np.average(alone[name], weights=weights)))
    gain = day_bootstrap(alone[best] - losses, weights, days)
    return Ensemble(members, fitted, best if gain.high < 0 else "")


def _added(members: Sequence[str], odds: Mapping[str, np.ndarray], geometry: np.ndarray) -> np.ndarray:
    """(n, members, 3): ln p - ln geometry; 0 where a member is silent."""
    offset = logs(geometry)
    parts = []
    for name in members:
        silent = np.isnan(odds[name]).any(axis=1)
        parts.append(logs(np.where(silent[:, None], geometry, odds[name])) - offset)
    return np.stack(parts, axis=1)


def _blend(added: np.ndarray, offset: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Probabilities (n, 3); members are summed in their order, so that a row's bytes do not depend on the others."""
    total = offset.copy()
    for place in range(added.shape[1]):
        total += weights[:, place, None] * added[:, place]
    return softmax(total)


def _newton(added: np.ndarray, offset: np.ndarray, outcomes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weights (members,) that minimise the weighted log loss plus RIDGE/2 Σ (weight - 1/members)²."""
    count = added.shape[1]
    equal, happened = np.full(count, 1 / count), np.eye(3)[outcomes]

    def loss(now: np.ndarray) -> float:
        chances = _blend(added, offset, np.broadcast_to(now, (len(offset), count)))
        return float(weights @ log_losses(chances, outcomes) + RIDGE / 2 * ((now - equal) ** 2).sum())

    now, value = equal, loss(equal)
    for _ in range(_STEPS):
        chances = _blend(added, offset, np.broadcast_to(now, (len(offset), count)))
        slope = np.einsum("n,nmc,nc->m", weights, added, chances - happened) + RIDGE * (now - equal)
        means = np.einsum("nmc,nc->nm", added, chances)
        squares = np.einsum("n,nmc,nkc,nc->mk", weights, added, added, chances)
        curvature = squares - np.einsum("n,nm,nk->mk", weights, means, means) + RIDGE * np.eye(count)
        step = -np.linalg.solve(curvature, slope)
        if -(slope @ step) / 2 <= 1e-12 * weights.sum():
            break
        while loss(now + step) > value + 1e-12 * abs(value):
            step = step / 2
        now = now + step
        value = loss(now)
    return now
