"""Sets of classes that hold what happens nine times in ten, per group of landmarks; one that holds both answers abstains.

Split conformal prediction (Vovk, Gammerman, Shafer 2005), Mondrian by group: a class has the score 1 - its probability, and is in
the set if that is no higher than the k-th lowest score of what happened among n calibration rows, k = ceil((n + 1) level). If those
and new rows are exchangeable, coverage is at least the level, whatever the model. That score makes the smallest sets on
average (Sadinle, Lei, Wasserman 2019); cumulative ones (APS; Romano, Sesia, Candes 2020) are coarse with three classes: where it
abstains on 34 % of the rows, APS does on 64 % and covers 98 %. Rows count alike; those of one episode are not independent, so a
group's coverage is checked, not promised.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from spymaster_assets.models.calibrate import check_groups
from spymaster_assets.models.examples import GROUPS
from spymaster_assets.models.metrics import check_outcomes
from spymaster_assets.states import BOUNCE, BREAK

LEVEL: Final = 0.90


@dataclass(frozen=True)
class Conformal:
    """Of each group: the highest score that its sets admit (infinite: every class), and the number of calibration rows."""

    level: float
    thresholds: tuple[float, ...]
    counts: tuple[int, ...]

    def sets(self, probabilities: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Which classes each row's set holds, (n, 3), of probabilities (n, 3) and groups (n,)."""
        check_groups(groups)
        return 1 - probabilities <= np.array(self.thresholds)[groups, None]

    def as_json(self) -> dict[str, Any]:
        """As a dict that JSON holds and `from_json` reads back, bit for bit; an infinite threshold is null."""
        finite = [threshold if math.isfinite(threshold) else None for threshold in self.thresholds]
        return {"level": self.level, "thresholds": finite, "counts": list(self.counts)}

    @staticmethod
    def from_json(told: Mapping[str, Any]) -> Conformal:
        thresholds = tuple(math.inf if one is None else one for one in told["thresholds"])
        return Conformal(told["level"], thresholds, tuple(told["counts"]))


class Coverage(NamedTuple):
    """Of a group: its rows, the share of them whose set holds what happened, and the share that abstains; NaN without rows."""

    rows: int
    covered: float
    abstained: float


def fit_conformal(probabilities: np.ndarray, outcomes: np.ndarray, groups: np.ndarray, level: float = LEVEL) -> Conformal:
    """Thresholds from out-of-fold `probabilities` (n, 3), calibrated ones, `outcomes` (n,) and `groups` (n,).

    A group of too few rows to promise the level (n < level / (1 - level), 9 for .90) gets an infinite threshold.
    """
    check_outcomes(outcomes)
    check_groups(groups)
    scores = 1 - probabilities[np.arange(len(outcomes)), outcomes]
    parts = [np.sort(scores[groups == group]) for group in range(len(GROUPS))]
    places = [math.ceil(round((len(part) + 1) * level, 9)) for part in parts]  # rounded: 9.000...1 is 9
    thresholds = [float(part[k - 1]) if k <= len(part) else math.inf for part, k in zip(parts, places, strict=True)]
    return Conformal(level, tuple(thresholds), tuple(map(len, parts)))


def abstains(sets: np.ndarray) -> np.ndarray:
    """Which of the sets (n, 3) say neither BREAK nor BOUNCE rather than the other: they hold both, or are empty, (n,).

    Empty: each class conforms worse than nine in ten did; the row is unlike those that were learnt from.
    """
    return (sets[:, BREAK] & sets[:, BOUNCE]) | ~sets.any(axis=1)


def coverage(sets: np.ndarray, outcomes: np.ndarray, groups: np.ndarray) -> tuple[Coverage, ...]:
    """How each group's sets (n, 3) did against `outcomes` (n,)."""
    check_outcomes(outcomes)
    held, silent = sets[np.arange(len(outcomes)), outcomes], abstains(sets)
    parts = [groups == group for group in range(len(GROUPS))]
    return tuple(Coverage(int(at.sum()), _share(held[at]), _share(silent[at])) for at in parts)


def _share(flags: np.ndarray) -> float:
    return float(flags.mean()) if len(flags) else math.nan
