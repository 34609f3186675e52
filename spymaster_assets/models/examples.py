"""Rows of `gold/training` as a model sees them: which may be learnt from, which columns may be read, what each row weighs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from spymaster_assets.features import FEATURES
from spymaster_assets.models.odds import geometry_known
from spymaster_assets.models.weights import episode_weights, episodes_of
from spymaster_assets.tables import TRAINING

PRIMARY: Final = "4min"  # the horizon that decides: calibration, promotion, retrieval's metric
GROUPS: Final = ((0,), (5, 15, 30), (60, 120), (240,))  # landmarks, seconds: what tells fades, and is gone with the drift
STAGES: Final = ("stage_a", "stage_b")  # at the touch; after it, where elapsed is a feature
FAMILIES: Final = {  # family of an ablation -> families of the registry
    "context": ("geometry", "position", "surroundings", "attempts"),
    "book": ("barrier",),
    "ofi": ("order flow",),
    "tape": ("tape", "force"),
    "options": ("fuel",),
    "kinematics": ("kinematics", "approach"),
    "clock": ("clock", "volatility"),
}
ABLATIONS: Final = {
    "full": tuple(FAMILIES),
    "ta": ("context", "kinematics", "clock"),
    "mechanics": ("book", "ofi", "tape", "options"),
    **{f"without {family}": tuple(other for other in FAMILIES if other != family) for family in FAMILIES},
}
_FORBIDDEN: Final = frozenset(TRAINING.names) - {feature.name for feature in FEATURES} - {"elapsed"}


@dataclass(frozen=True)
class Examples:
    """Rows to learn from or to be tested on, at one horizon.

    `rows`: (n,) of training; `days`: (n,), ordinal of each row's date; `weights`: (n,), see `landmark_weights`.
    """

    horizon: str
    rows: np.ndarray
    days: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def outcomes(self) -> np.ndarray:
        """(n,) BREAK, BOUNCE or CHOP."""
        return self.rows[f"outcome_{self.horizon}"].astype(np.int64)

    @property
    def groups(self) -> np.ndarray:
        """(n,) number of each row's group of landmarks."""
        return groups_of(self.rows["elapsed"])

    def at(self, places: np.ndarray) -> Examples:
        """Some of them, by places or flags; weights as they are."""
        return Examples(self.horizon, self.rows[places], self.days[places], self.weights[places])

    def stage(self, stage: str) -> Examples:
        """Those at the touch (stage_a) or after it (stage_b)."""
        return self.at((self.rows["elapsed"] == 0) == (stage == "stage_a"))


def examples(rows: np.ndarray, days: np.ndarray, horizon: str = PRIMARY) -> Examples:
    """The usable ones among rows of training, (n,), with their weights."""
    kept = usable(rows, horizon)
    rows, days = rows[kept], days[kept]
    return Examples(horizon, rows, days, landmark_weights(rows, days, horizon))


def landmark_weights(rows: np.ndarray, days: np.ndarray, horizon: str) -> np.ndarray:
    """Weight of each row (n,): at each landmark an episode has one over the number of landmarks of its group, shared by uniqueness.

    Shared over all its landmarks instead, touches that resolve soon, and so have few, would weigh more at each: weights would know
    the outcome, and CHOP be a tenth too rare at the touch (docs/decisions/0013).
    """
    episodes, landmarks = episodes_of(rows, days), rows["elapsed"].astype(np.int64)
    shares = episode_weights(rows["t_label_start"], rows[f"label_end_{horizon}"], episodes << 10 | landmarks)
    return shares / np.array([len(group) for group in GROUPS])[groups_of(rows["elapsed"])]


def usable(rows: np.ndarray, horizon: str) -> np.ndarray:
    """Which rows (n,) of training can be learnt from or tested at a horizon ("4min"): trainable, and geometry known."""
    return np.asarray((rows[f"trainable_{horizon}"] == 1) & geometry_known(rows, horizon))


def groups_of(elapsed: np.ndarray) -> np.ndarray:
    """(n,) number of the group of landmarks to which seconds since the touch belong; between two landmarks: the earlier one's."""
    starts = np.array([group[0] for group in GROUPS])
    return np.searchsorted(starts, elapsed, side="right") - 1


def feature_names(stage: str, ablation: str = "full") -> tuple[str, ...]:
    """The columns that a stage may read, in the order of the registry: an allow-list. stage_b: with `elapsed` first."""
    families = {name for family in ABLATIONS[ablation] for name in FAMILIES[family]}
    names = tuple(one.name for one in FEATURES if one.family in families and not (one.reaction and stage == "stage_a"))
    return names if stage == "stage_a" else ("elapsed", *names)


def matrix(rows: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Columns as (n, k) f8, NaN where unknown; a category is its number.

    ValueError for a column of training that is no feature (a price, a time, an identifier, a label) or a value that is infinite.
    """
    if strange := [name for name in names if name in _FORBIDDEN]:
        raise ValueError(f"{', '.join(strange)}: not in the registry of features; a model may not read it")
    values = np.empty((len(rows), len(names)))
    for place, name in enumerate(names):
        column = rows[name]
        values[:, place] = np.where(column < 0, np.nan, column) if column.dtype.kind == "i" and name != "elapsed" else column
    if np.isinf(values).any():
        raise ValueError(f"{names[int(np.isinf(values).any(axis=0).argmax())]} is infinite in a row")
    return values


_STRANGE = {one.family for one in FEATURES} ^ {name for names in FAMILIES.values() for name in names}
assert not _STRANGE, f"FAMILIES: each family of features in one ablation; in the registry alone, or here alone: {sorted(_STRANGE)}"
