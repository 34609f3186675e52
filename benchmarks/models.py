"""Boosted trees beside scikit-learn's, the scoring of eight levels, and the simulator beside what compression alone takes."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

ROWS, FEATURES, ROUNDS = 50_000, 180, 200
SNAPS, LEVELS = 500, 8
RECORDS = 1_000_000


@cache
def problem() -> tuple[np.ndarray, np.ndarray]:
    """Normal features with a tenth unknown, and three classes that three of them decide in part."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(ROWS, FEATURES))
    values[rng.random(values.shape) < 0.1] = np.nan
    drawn = np.nan_to_num(values[:, :3]) @ np.array([[0.8, -0.8, 0.0], [0.4, 0.0, -0.4], [0.0, 0.5, -0.5]]) + rng.gumbel(
        size=(ROWS, 3)
    )
    return values, drawn.argmax(axis=1)


def trees(root: Path) -> tuple[int, int]:
    """Ours: LightGBM as `models.trees` sets it, 31 leaves and all features as the peer has them, one thread."""
    import lightgbm

    values, outcomes = problem()
    parameters = {
        "objective": "multiclass", "num_class": 3, "num_threads": 1, "deterministic": True, "force_row_wise": True, "seed": 1,
        "verbosity": -1, "learning_rate": 0.1, "num_leaves": 31, "max_bin": 255,
    }  # fmt: skip
    booster = lightgbm.train(parameters, lightgbm.Dataset(values, outcomes), ROUNDS)
    assert booster.num_trees() == 3 * ROUNDS
    return ROWS, 0


def trees_peer(root: Path) -> tuple[int, int]:
    """scikit-learn: HistGradientBoostingClassifier, as many rounds, leaves and bins."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    values, outcomes = problem()
    HistGradientBoostingClassifier(max_iter=ROUNDS, max_leaf_nodes=31, max_bins=255, early_stopping=False).fit(values, outcomes)
    return ROWS, 0


@cache
def served() -> tuple[Any, np.ndarray]:
    """Trees of both stages at the primary horizon, trained on drawn rows, and rows of training to score."""
    from spymaster_assets.config import Models
    from spymaster_assets.features import FEATURES as REGISTRY
    from spymaster_assets.models.examples import Examples, feature_names
    from spymaster_assets.models.trees import fit_trees
    from spymaster_assets.tables import TRAINING

    rng, count = np.random.default_rng(2), 4000
    rows = np.zeros(count, TRAINING.dtype)
    for feature in REGISTRY:
        rows[feature.name] = rng.normal(size=count) if not feature.categories else 0
    rows["elapsed"] = 60.0
    odds = rng.dirichlet([3.0, 3.0, 2.0], size=count)
    for place, word in enumerate(("break", "bounce", "chop")):
        rows[f"geometry_{word}_4min"] = odds[:, place]
    tilt = 0.8 * rows["signed_volume_60s"] + 0.5 * rows["wall_ratio"]
    drawn = np.log(odds) + np.outer(tilt, [1.0, -1.0, 0.0]) + rng.gumbel(size=odds.shape)
    rows["outcome_4min"] = drawn.argmax(axis=1)
    every = Examples("4min", rows, np.arange(count) // 40, np.ones(count))
    return fit_trees(every, feature_names("stage_b"), Models())[0], rows


def scoring(root: Path) -> tuple[int, int]:
    """Ours: the odds of eight levels, snap by snap, from rows of features to probabilities."""
    model, rows = served()
    for snap in range(SNAPS):
        model.predict(rows[LEVELS * snap : LEVELS * (snap + 1)])
    return SNAPS, 0


def simulator(root: Path) -> tuple[int, int]:
    """Ours: a date from nothing to DBN files, futures and options."""
    import datetime as dt

    from spymaster_assets.config import Config
    from spymaster_assets.simulator.write import simulate

    with tempfile.TemporaryDirectory() as folder:
        simulate(Path(folder), [dt.date(2025, 6, 3)], events_per_session=RECORDS, seed=1, config=Config())
        return RECORDS * 117 // 100, sum(path.stat().st_size for path in Path(folder).rglob("*.zst"))


def simulator_floor(root: Path) -> tuple[int, int]:
    """Compression alone, as the simulator compresses, of as many records of the book that it would write."""
    import zstandard

    from benchmarks.stages import held

    rows, written, left = held(root, "rows"), 0, RECORDS * 117 // 100
    while left > 0:
        part = rows[:left]
        written += len(zstandard.ZstdCompressor(level=3).compress(part.tobytes()))
        left -= len(part)
    return RECORDS * 117 // 100, written
