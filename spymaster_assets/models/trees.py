"""Boosted trees around geometry (LightGBM): a head per horizon with three classes, and heads of strength and reach.

Trees add to geometry's log-probabilities: none of them is geometry exactly. How many are kept is chosen by loss out of fold, by
blocks of dates. One thread, deterministic, seeded: the same rows in the same order give the same file. A stored head is
LightGBM's own text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np

from spymaster_assets.config import Models
from spymaster_assets.models.examples import Examples, matrix
from spymaster_assets.models.inner_folds import date_blocks
from spymaster_assets.models.metrics import log_losses
from spymaster_assets.models.odds import CLASSES, geometry, logs, softmax
from spymaster_assets.tables.predictions import HEADS, Head


@dataclass(frozen=True)
class Trees:
    """The three classes at one horizon and stage. `rounds` 0: geometry. `tried`: rounds -> loss out of fold, nats a row."""

    horizon: str
    features: tuple[str, ...]
    rounds: int
    tried: dict[int, float]
    text: str  # LightGBM's

    @cached_property
    def booster(self) -> lightgbm.Booster:
        return lightgbm.Booster(model_str=self.text)

    def raw(self, rows: np.ndarray) -> np.ndarray:
        """(n, 3): what the trees add to geometry's log-probabilities."""
        if not self.rounds or not len(rows):
            return np.zeros((len(rows), len(CLASSES)))
        return np.asarray(self.booster.predict(matrix(rows, self.features), raw_score=True, num_threads=1))

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Probabilities (n, 3); a row's are the same alone and in a batch."""
        return softmax(logs(geometry(rows, self.horizon)) + self.raw(rows))

    def leaves(self, rows: np.ndarray) -> np.ndarray:
        """(n, trees) i4: number of the leaf in which a row ends."""
        if not self.rounds or not len(rows):
            return np.zeros((len(rows), 0), np.int32)
        found = self.booster.predict(matrix(rows, self.features), pred_leaf=True, num_threads=1)
        return np.asarray(found, np.int32).reshape(len(rows), -1)

    def contributions(self, rows: np.ndarray) -> np.ndarray:
        """(n, 3, 1 + k): exact TreeSHAP, what each feature adds to each class; the constant last (Lundberg, Lee 2017)."""
        count = 1 + len(self.features)
        if not self.rounds or not len(rows):
            return np.zeros((len(rows), len(CLASSES), count))
        found = self.booster.predict(matrix(rows, self.features), pred_contrib=True, num_threads=1)
        return np.asarray(found).reshape(len(rows), len(CLASSES), count)

    def save(self, folder: Path, name: str) -> None:
        (folder / f"{name}.txt").write_text(self.text)
        facts = {
            "horizon": self.horizon, "features": list(self.features), "rounds": self.rounds,
            "tried": {str(rounds): loss for rounds, loss in self.tried.items()},
        }  # fmt: skip
        (folder / f"{name}.json").write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n")

    @staticmethod
    def load(folder: Path, name: str) -> Trees:
        facts = json.loads((folder / f"{name}.json").read_text())
        tried = {int(rounds): loss for rounds, loss in facts["tried"].items()}
        text = (folder / f"{name}.txt").read_text()
        return Trees(facts["horizon"], tuple(facts["features"]), facts["rounds"], tried, text)


def fit_trees(examples: Examples, features: Sequence[str], rules: Models) -> tuple[Trees, np.ndarray]:
    """Learn the three classes; also the out-of-fold probabilities (n, 3) of the same rows.

    Folds are blocks of dates. The number of rounds has the least weighted loss over all of them; more rounds must gain something.
    ValueError under two dates a fold.
    """
    values, offset, outcomes = matrix(examples.rows, features), logs(geometry(examples.rows, examples.horizon)), examples.outcomes
    counts = range(0, rules.tree_rounds + 1, rules.tree_step)
    scores = np.zeros((len(counts), len(examples), len(CLASSES)))  # what the trees add, out of fold, by the number of rounds
    for known, asked in date_blocks(examples.days, rules.folds, rules.embargo):
        booster = _train(
            values[known], outcomes[known], examples.weights[known], rules.tree_rounds, _classes(rules), rules, offset[known]
        )
        for place, rounds in enumerate(counts):
            if rounds:
                scores[place, asked] = booster.predict(values[asked], raw_score=True, num_iteration=rounds, num_threads=1)
    odds = [softmax(offset + added) for added in scores]
    losses = [float(np.average(log_losses(one, outcomes), weights=examples.weights)) for one in odds]
    best = int(np.argmin(losses))
    rounds = counts[best]
    whole = _train(values, outcomes, examples.weights, max(rounds, 1), _classes(rules), rules, offset)
    tried = dict(zip(counts, losses, strict=True))
    return Trees(examples.horizon, tuple(features), rounds, tried, whole.model_to_string()), odds[best]


@dataclass(frozen=True)
class Heads:
    """The heads of strength and reach of one stage: LightGBM's text of each, by name."""

    features: tuple[str, ...]
    texts: dict[str, str]

    @cached_property
    def boosters(self) -> dict[str, lightgbm.Booster]:
        return {name: lightgbm.Booster(model_str=text) for name, text in self.texts.items()}

    def predict(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """(n,) of each head: points of strength and excursions, probabilities of reach."""
        values = matrix(rows, self.features)
        return {name: np.asarray(booster.predict(values, num_threads=1)) for name, booster in self.boosters.items()}

    def save(self, folder: Path, stage: str) -> None:
        (folder / f"{stage}_heads").mkdir()
        for name, text in self.texts.items():
            (folder / f"{stage}_heads" / f"{name}.txt").write_text(text)
        (folder / f"{stage}_heads.json").write_text(json.dumps(list(self.features), indent=1) + "\n")

    @staticmethod
    def load(folder: Path, stage: str) -> Heads:
        features = tuple(json.loads((folder / f"{stage}_heads.json").read_text()))
        return Heads(features, {head.name: (folder / f"{stage}_heads" / f"{head.name}.txt").read_text() for head in HEADS})


def fit_heads(examples: Examples, features: Sequence[str], rules: Models) -> Heads:
    """Learn all heads of strength and reach, rules.head_rounds of trees each."""
    values, texts = matrix(examples.rows, features), {}
    for head in HEADS:
        objective: dict[str, Any] = {"objective": head.objective, **({"alpha": head.quantile} if head.quantile else {})}
        target = _told(head, examples.rows)
        known = ~np.isnan(target)
        if not known.any():
            raise ValueError(f"{head.target} is unknown in all {len(examples)} rows")
        booster = _train(values[known], target[known], examples.weights[known], rules.head_rounds, objective, rules)
        texts[head.name] = booster.model_to_string()
    return Heads(tuple(features), texts)


def _told(head: Head, rows: np.ndarray) -> np.ndarray:
    """What a head is to tell of rows of training, (n,); of a reach: 1 where the time to it is known and within its seconds."""
    column = rows[head.target].astype(np.float64)
    return np.where(column <= head.seconds, 1.0, 0.0) if head.seconds else column


def _classes(rules: Models) -> dict[str, Any]:
    return {"objective": "multiclass", "num_class": len(CLASSES)}


def _train(
    values: np.ndarray, target: np.ndarray, weights: np.ndarray, rounds: int, objective: dict[str, Any], rules: Models,
    offset: np.ndarray | None = None,
) -> lightgbm.Booster:  # fmt: skip
    parameters = {
        **objective,
        "num_threads": 1, "deterministic": True, "force_row_wise": True, "seed": rules.seed, "verbosity": -1,
        "learning_rate": rules.tree_learning_rate, "num_leaves": rules.tree_leaves, "min_data_in_leaf": rules.tree_least_rows,
        "feature_fraction": rules.tree_share_of_features, "bagging_fraction": rules.tree_share_of_rows, "bagging_freq": 1,
        "lambda_l2": rules.tree_ridge, "max_bin": rules.tree_bins, "feature_pre_filter": False,
    }  # fmt: skip
    scale = weights / weights.mean()  # leaves' least weight and ridge are meant per row of average weight
    data = lightgbm.Dataset(values, target, weight=scale, init_score=offset, params=parameters)
    return lightgbm.train(parameters, data, rounds)
