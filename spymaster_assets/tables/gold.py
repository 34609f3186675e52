"""Gold: what models learn from. One row per touch and landmark (training), one per step before it (sequences)."""

from __future__ import annotations

from typing import Final

from spymaster_assets.features import CHANNELS, FEATURES, HORIZONS
from spymaster_assets.schema import Column, Table, time_column
from spymaster_assets.tables.silver import ELAPSED, EVENT_ID, LABELS, SIGNALS, TOUCH, TOUCHES, K

SCORED: Final = (
    "score_liquidity", "score_hedge", "score_tape", "break_score_raw", "break_score_smooth",
    "trigger", "signal", "phase", "confidence",
)  # columns of signals; its others are inputs of the score, and stand among the features  # fmt: skip
_OF_TOUCH: Final = ("kind", "direction", "price", "sigma_cold", *(f"theta_{name}" for name in HORIZONS))
_OF_LABELS: Final = tuple(column for column in LABELS.columns if column.name not in {"touch", "event_id", "k", "ts", "elapsed"})

TRAINING = Table(
    "training", "gold", "touch, elapsed", "a touch at a landmark: what was known, what the score said, and what came after",
    (
        TOUCH, EVENT_ID, TOUCHES["episode_id"], TOUCHES["episode"],
        *(TOUCHES[name] for name in _OF_TOUCH),
        K,
        ELAPSED,
        time_column("t_feature", "effective time of the latest record that a feature may have read"),
        time_column("t_decision", "the moment of decision: end of snap k"),
        time_column("t_label_start", "first moment that a label may read"),
        time_column("t_label_end", "last moment that a label may read, of the longest horizon"),
        *(
            Column(f"trainable_{name}", "i1", "flag", f"1: outcome within {seconds} s and volatility are known", low=0, high=1)
            for name, seconds in HORIZONS.items()
        ),
        *(feature.column for feature in FEATURES),
        *(SIGNALS[name] for name in SCORED),
        *_OF_LABELS,
    ),
)  # fmt: skip
SEQUENCES = Table(
    "sequences", "gold", "touch, elapsed, scale, step", "the time before a landmark in equal steps, seen from the level",
    (
        TOUCH, EVENT_ID, K,
        time_column("ts", "the moment of decision: end of the last step"),
        ELAPSED,
        Column("scale", "i2", "s", "length of a step", low=1, high=3600),
        Column("step", "i2", "number", "from 0, the earliest", low=0, high=10_000),
        Column("observed", "i1", "flag", "1: within the session, a sound book at both ends; 0: channels are null", low=0, high=1),
        *(channel.column for channel in CHANNELS),
    ),
)  # fmt: skip
GOLD: Final = (TRAINING, SEQUENCES)
