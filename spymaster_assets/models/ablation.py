"""What trees are worth with some families of features only, walked forward: paired with the full set, by whole dates."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import numpy as np

from spymaster_assets.config import Models
from spymaster_assets.models.examples import ABLATIONS, STAGES, Examples, feature_names
from spymaster_assets.models.metrics import day_bootstrap, log_losses
from spymaster_assets.models.odds import geometry
from spymaster_assets.models.trees import Trees, fit_trees
from spymaster_assets.models.walk_forward import out_of_sample
from spymaster_assets.progress import Progress

STEP: Final = 20  # dates from one training to the next: nine sets of features, each at both stages
FULL: Final = "full"


def ablations(every: Examples, first: int, rules: Models, progress: Progress | None = None) -> list[dict[str, Any]]:
    """Of each stage and set of families: "gain" over geometry, and "delta", the gain less that of all families, both with interval.

    `first`: dates before the first that is tested, enough for the folds of `rules`.
    """
    found = []
    for number, stage in enumerate(STAGES):
        part, lost = every.stage(stage), {}
        for done, name in enumerate(ABLATIONS):
            fit = partial(_fit, part.horizon, feature_names(stage, name), rules, part)
            odds = out_of_sample(part.rows, part.days, part.weights, fit, _predict, first=first, step=STEP)
            tested = ~np.isnan(odds[:, 0])
            lost[name] = log_losses(odds[tested], part.outcomes[tested])
            if progress:
                progress("ablations", number * len(ABLATIONS) + done + 1, len(STAGES) * len(ABLATIONS))
        told = part.at(tested)
        base = log_losses(geometry(told.rows, told.horizon), told.outcomes)
        for name, losses in lost.items():
            gain, delta = (day_bootstrap(one, told.weights, told.days) for one in (base - losses, lost[FULL] - losses))
            found.append({"name": name, "stage": stage, "gain": list(gain), "delta": list(delta)})
    return found


def _fit(horizon: str, features: tuple[str, ...], rules: Models, part: Examples, rows: np.ndarray, weights: np.ndarray) -> Trees:
    return fit_trees(Examples(horizon, rows, _days(part, rows), weights), features, rules)[0]


def _days(part: Examples, rows: np.ndarray) -> np.ndarray:
    """The date of each row, found by its moment of decision."""
    order = np.argsort(part.rows["t_decision"], kind="stable")
    places = order[np.searchsorted(part.rows["t_decision"], rows["t_decision"], sorter=order)]
    return part.days[places]


def _predict(model: Trees, rows: np.ndarray) -> np.ndarray:
    return model.predict(rows)
