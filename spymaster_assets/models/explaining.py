"""What a model goes by: exact TreeSHAP by feature, and what it loses when a family of features is dealt anew within a date."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from spymaster_assets.features import FEATURES
from spymaster_assets.models.examples import FAMILIES, Examples
from spymaster_assets.models.metrics import log_losses
from spymaster_assets.states import BOUNCE, BREAK

if TYPE_CHECKING:
    from spymaster_assets.models.trees import Trees

FAMILY_OF: Final = {
    feature.name: family for family, parts in FAMILIES.items() for feature in FEATURES if feature.family in parts
}  # feature -> family of an ablation


def shap_shares(trees: Trees, rows: np.ndarray) -> dict[str, float]:
    """Mean absolute TreeSHAP of each feature on the log-odds of BREAK against BOUNCE."""
    if not trees.rounds or not len(rows):
        return dict.fromkeys(trees.features, 0.0)
    told = trees.contributions(rows)
    apart = np.abs(told[:, BREAK, :-1] - told[:, BOUNCE, :-1]).mean(axis=0)
    return dict(zip(trees.features, apart.tolist(), strict=True))


def losses_without(trees: Trees, part: Examples, seed: int = 0) -> dict[str, np.ndarray]:
    """Of each family: the log loss (n,) of rows whose features of it are those of another row of the same landmark and date.

    A date's rows keep its market and lose their own touch. `part`: of one stage; geometry stays each row's own.
    """
    rng, found = np.random.default_rng(seed), {}
    key = part.days.astype(np.int64) << 10 | part.rows["elapsed"].astype(np.int64)
    dealt = np.arange(len(part))
    for one in np.unique(key):
        at = np.flatnonzero(key == one)
        dealt[at] = at[rng.permutation(len(at))]
    base = {name: part.rows[name].copy() for name in part.rows.dtype.names or () if name.startswith("geometry_")}
    for family in FAMILIES:
        names = [name for name in trees.features if FAMILY_OF.get(name) == family and name not in base]
        rows = part.rows.copy()
        for name in names:
            rows[name] = part.rows[name][dealt]
        found[family] = log_losses(trees.predict(rows), part.outcomes)
    return found


def joined(parts: list[Mapping[str, float]], sizes: list[int]) -> dict[str, float]:
    """Means of several models' shares, weighted by the rows of each."""
    total = max(1, sum(sizes))
    names, both = sorted({name for part in parts for name in part}), list(zip(parts, sizes, strict=True))
    return {name: sum(part.get(name, 0.0) * size for part, size in both) / total for name in names}
