"""Rows of training from a world that is known: outcomes drawn from geometry, tilted by two features or not at all."""

import numpy as np

from spymaster_assets.models.baselines import TEN
from spymaster_assets.tables import TRAINING

NS = 1_000_000_000
OPEN = 1_748_871_000 * NS  # 2025-06-02 09:30 New York
COLUMNS = (
    "touch", "episode", "elapsed", "t_feature", "t_decision", "t_label_start", "t_label_end", "trainable_4min", "outcome_4min",
    "geometry_break_4min", "geometry_bounce_4min", "geometry_chop_4min", *TEN["stage_a"],
)  # fmt: skip
DTYPE = np.dtype([(name, TRAINING.dtype[name]) for name in COLUMNS])
EFFECT = {"approach_pulled_rate_60": (0.8, -0.8, 0.0), "signed_volume_60s": (0.2, 0.2, -0.4)}  # on the log-odds of each class


def drawn(probabilities, rng):
    """An outcome for each row of probabilities."""
    return (rng.random((len(probabilities), 1)) > probabilities.cumsum(axis=1)).sum(axis=1).clip(max=2)


def tilted(geometry, logits):
    """Softmax of ln geometry + logits, written as odds."""
    odds = geometry * np.exp(logits)
    return odds / odds.sum(axis=1, keepdims=True)


def world(days, per_day, seed, effect=EFFECT):
    """(rows, date of each, true probabilities): `per_day` episodes of one row a date. Without effect geometry is the truth."""
    rng, n = np.random.default_rng(seed), days * per_day
    rows, day = np.zeros(n, DTYPE), np.repeat(np.arange(days), per_day)
    number = np.tile(np.arange(per_day), days)
    rows["touch"] = rows["episode"] = number
    rows["t_decision"] = rows["t_feature"] = OPEN + day * 86_400 * NS + number * 600 * NS
    rows["t_label_start"], rows["t_label_end"] = rows["t_decision"] + 1, rows["t_decision"] + 480 * NS
    rows["trainable_4min"] = 1
    geometry = rng.dirichlet((3.0, 3.0, 2.0), n) * 0.97 + 0.01
    for name, column in zip(("break", "bounce", "chop"), geometry.T, strict=True):
        rows[f"geometry_{name}_4min"] = column
    for name in TEN["stage_a"]:
        rows[name] = rng.normal(size=n)
    true = tilted(geometry, sum(np.outer(rows[name], on) for name, on in effect.items()) if effect else np.zeros((n, 3)))
    rows["outcome_4min"] = drawn(true, rng)
    return rows, day, true
