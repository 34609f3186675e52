"""The stages of Gold: what models learn from."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from spymaster_assets.features import HORIZONS
from spymaster_assets.maker import Maker, Rows, Stage
from spymaster_assets.silver import SILVER_STAGES
from spymaster_assets.states import BOUNCE, BREAK, CHOP, OUTCOMES
from spymaster_assets.tables import FEATURE_ROWS, FLOW, LABELS, OPTION_FLOW, SCORED, SEQUENCES, SIGNALS, SNAPS, TOUCHES, TRAINING


def _training(maker: Maker) -> tuple[Rows, dict[str, Any]]:
    """Features, score and labels of each touch and landmark in one row. ValueError if they are not of the same moments."""
    features, labels = maker.rows(FEATURE_ROWS), maker.rows(LABELS)
    if any((features[name] != labels[name]).any() for name in ("touch", "k")):
        raise ValueError(f"{maker.date}: features and labels are not of the same moments")
    touches = maker.rows(TOUCHES)[features["touch"]]
    signals = maker.rows(SIGNALS)
    if len(features) and not len(signals):
        raise ValueError(f"{maker.date}: a landmark has no signal")
    places = np.searchsorted(_key(signals), _key(features))
    if (_key(signals)[places.clip(max=len(signals) - 1)] != _key(features)).any():
        raise ValueError(f"{maker.date}: a landmark has no signal")
    rows = np.zeros(len(features), TRAINING.dtype)
    parts = ((touches, TOUCHES.names), (signals[places], SCORED), (labels, LABELS.names), (features, FEATURE_ROWS.names))
    for part, names in parts:
        for name in {*names} & {*TRAINING.names} & {*(part.dtype.names or ())}:
            rows[name] = part[name]
    gap = maker.rows(SNAPS)["gap_ns"][features["k"]]
    rows["t_decision"], rows["t_label_start"] = features["ts"], features["ts"] + 1
    rows["t_feature"] = features["ts"] - np.maximum(gap, 0)
    rows["t_label_end"] = np.max([labels[f"label_end_{name}"] for name in HORIZONS], axis=0)
    for name in HORIZONS:
        known = np.isin(labels[f"outcome_{name}"], (BREAK, BOUNCE, CHOP))
        rows[f"trainable_{name}"] = known & ~np.isnan(touches["sigma"])
    facts = {
        "touches": len(np.unique(rows["touch"])),
        **{f"trainable_{name}": int(rows[f"trainable_{name}"].sum()) for name in HORIZONS},
        "outcomes": {
            name: {word: int(n) for word, n in zip(OUTCOMES, np.bincount(rows[f"outcome_{name}"], minlength=5), strict=True) if n}
            for name in HORIZONS
        },
    }
    return {TRAINING: rows}, facts


def _key(rows: np.ndarray) -> np.ndarray:
    """One rising number per (touch, k)."""
    return rows["touch"].astype(np.int64) << 32 | rows["k"]


def _sequences(maker: Maker) -> tuple[Rows, dict[str, Any]]:
    training = maker.rows(TRAINING)
    day = maker.day(SNAPS, FLOW, OPTION_FLOW, TOUCHES)
    at = training[np.isin(training["elapsed"], maker.config.sequences.landmarks)]
    rows = day.sequences(zip(at["touch"].tolist(), at["k"].tolist(), strict=True), len(at))
    return {SEQUENCES: rows}, {"sequences": len(at)}


GOLD_STAGES: Final = (
    Stage("training", (TRAINING,), (TOUCHES, FEATURE_ROWS, SIGNALS, LABELS, SNAPS), ("labels",), (), _training),
    Stage(
        "sequences", (SEQUENCES,), (TRAINING, SNAPS, FLOW, OPTION_FLOW, TOUCHES),
        ("instrument", "sessions", "grid", "fuel", "sequences"),
        ("sequences",), _sequences,
    ),
)  # fmt: skip
STAGES: Final = (*SILVER_STAGES, *GOLD_STAGES)  # every stage after Bronze, in order
