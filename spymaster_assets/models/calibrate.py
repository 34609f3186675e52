"""How far a model's odds should be believed: a temperature per group of landmarks, and the line that tells whether they are.

What a model adds to geometry's log-odds is multiplied by T: P ∝ geometry · exp(T (ln p - ln geometry)). T = 0 is geometry, 1 the
model as it is; below 1 it was too sure (temperature scaling, Guo et al. 2017, around geometry instead of equal odds).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from spymaster_assets.models.examples import GROUPS
from spymaster_assets.models.metrics import break_given_resolved, check_outcomes
from spymaster_assets.models.odds import LEAST, logs, softmax
from spymaster_assets.states import BOUNCE, BREAK, CHOP

HOTTEST: Final = 4.0  # largest temperature
ENOUGH: Final = 300.0  # effective episodes from which a group's own temperature counts alone
_HALVINGS: Final = 60
_FLAT: Final = 1e-12  # squared log-odds: a model that adds less on average adds rounding, which tells no temperature
_EQUAL: Final = 1e-6  # log-odds: by less nothing varies
_STEPS: Final = 100
_CONVERGED: Final = 1e-20  # squared Newton decrement per weight
_DAMPING: Final = 1e-12  # of the curvature, per weight: where all chances are 0 or 1 there is none


@dataclass(frozen=True)
class Calibrator:
    """Temperatures of one horizon. `pooled`: of all rows; `temperatures`: of each group, shrunk to it; `effective`: episodes."""

    pooled: float
    temperatures: tuple[float, ...]
    effective: tuple[float, ...]

    def apply(self, probabilities: np.ndarray, geometry: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Calibrated (n, 3) of a model's and geometry's (n, 3), and groups (n,) as numbers; a row's are the same in any batch."""
        check_groups(groups)
        base = logs(geometry)
        return softmax(base + np.array(self.temperatures)[groups, None] * (logs(probabilities) - base))

    def as_json(self) -> dict[str, Any]:
        """As a dict that JSON holds and `from_json` reads back, bit for bit."""
        return {"pooled": self.pooled, "temperatures": list(self.temperatures), "effective": list(self.effective)}

    @staticmethod
    def from_json(told: Mapping[str, Any]) -> Calibrator:
        return Calibrator(told["pooled"], tuple(told["temperatures"]), tuple(told["effective"]))


class Line(NamedTuple):
    """logit P(event) = intercept + slope · logit p: 0 and 1 where p is true, a slope below 1 where it is too sure."""

    slope: float
    intercept: float


def fit_calibrator(
    probabilities: np.ndarray, geometry: np.ndarray, outcomes: np.ndarray, weights: np.ndarray, groups: np.ndarray
) -> Calibrator:
    """Temperatures with the least weighted log loss on out-of-fold `probabilities` (n, 3), in [0, HOTTEST].

    `geometry`: (n, 3); `outcomes`, `groups`: (n,). `weights`: (n,), of which a group's sum is its number of effective episodes (so
    divide `Examples.weights` by the design effect of dates). With n of them it gets the share n / ENOUGH of its own temperature,
    the pooled one the rest. Where nothing tells the temperature, it is 1.
    """
    check_outcomes(outcomes)
    check_groups(groups)
    base = logs(geometry)
    added = logs(probabilities) - base
    pooled = _temperature(base, added, outcomes, weights)
    effective = [float(weights[groups == group].sum()) for group in range(len(GROUPS))]
    temperatures = []
    for group, number in enumerate(effective):
        at = groups == group
        share = min(1.0, number / ENOUGH)
        temperatures.append(share * _temperature(base[at], added[at], outcomes[at], weights[at]) + (1 - share) * pooled)
    return Calibrator(pooled, tuple(temperatures), tuple(effective))


def slope_and_intercept(probabilities: np.ndarray, happened: np.ndarray, weights: np.ndarray) -> Line:
    """Weighted logistic regression of `happened` (n,) on the logit of its `probabilities` (n,) (Cox 1958), by Newton's method.

    Probabilities are clipped to [LEAST, 1 - LEAST]. NaN where no finite line is best, since the logits do not vary or those of both
    classes do not overlap (Albert and Anderson 1984), or where they overlap so little that it is not found.
    """
    unknown, kept = Line(float("nan"), float("nan")), weights > 0
    happened, weights = happened[kept].astype(bool), weights[kept]
    clipped = np.clip(probabilities[kept], LEAST, 1 - LEAST)
    logits = np.log(clipped / (1 - clipped))
    yes, no = logits[happened], logits[~happened]
    if not (len(yes) and len(no) and np.ptp(logits) > _EQUAL and yes.min() < no.max() and no.min() < yes.max()):
        return unknown
    centre, scale = logits.mean(), logits.std()
    design, line = np.stack([(logits - centre) / scale, np.ones(len(logits))], axis=1), np.zeros(2)

    def loss(line: np.ndarray) -> float:
        score = design @ line
        return float((weights * (np.logaddexp(0.0, score) - happened * score)).sum())

    now = loss(line)
    for _ in range(_STEPS):
        chance = (1 + np.tanh(design @ line / 2)) / 2
        gradient = np.einsum("nm,n->m", design, weights * (chance - happened))
        curvature = np.einsum("ni,n,nj->ij", design, weights * chance * (1 - chance), design)
        step = -np.linalg.solve(curvature + _DAMPING * weights.sum() * np.eye(2), gradient)
        if -(gradient @ step) <= _CONVERGED * weights.sum():
            slope, constant = line + step
            return Line(float(slope / scale), float(constant - slope * centre / scale))
        while (then := loss(line + step)) > now + 1e-14 * abs(now):
            step /= 2
        line, now = line + step, then
    return unknown


def slopes_and_intercepts(probabilities: np.ndarray, outcomes: np.ndarray, weights: np.ndarray) -> dict[str, Line]:
    """The `slope_and_intercept` of each class, and of BREAK among the resolved rows, of (n, 3) probabilities."""
    check_outcomes(outcomes)
    resolved = outcomes != CHOP
    broke = slope_and_intercept(break_given_resolved(probabilities[resolved]), outcomes[resolved] == BREAK, weights[resolved])
    classes = {"break": BREAK, "bounce": BOUNCE, "chop": CHOP}
    return {"break given resolved": broke} | {
        name: slope_and_intercept(probabilities[:, outcome], outcomes == outcome, weights) for name, outcome in classes.items()
    }


def check_groups(groups: np.ndarray) -> None:
    """ValueError unless all are numbers of groups of landmarks: seconds since the touch are not."""
    if len(groups) and not (groups.min() >= 0 and groups.max() < len(GROUPS)):
        raise ValueError(f"groups {np.unique(groups)}: expected numbers below {len(GROUPS)}")


def _temperature(base: np.ndarray, added: np.ndarray, outcomes: np.ndarray, weights: np.ndarray) -> float:
    """The root of the log loss's slope by halving [0, HOTTEST], or the end beyond which it lies: the loss is convex in T."""
    told = added[np.arange(len(outcomes)), outcomes]

    def slope(temperature: float) -> float:
        return float((weights * ((softmax(base + temperature * added) * added).sum(axis=1) - told)).sum())

    low, high = 0.0, HOTTEST
    at_low, at_high = slope(low), slope(high)
    if at_high - at_low <= _FLAT * weights.sum():
        return 1.0
    if at_low >= 0 or at_high <= 0:
        return low if at_low >= 0 else high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return (low + high) / 2
