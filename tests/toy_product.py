"""What the product says of small days made by hand."""

from dataclasses import replace

import numpy as np
from pytest import approx

from spymaster_assets.compute.stream import NO_PRIORS, Day
from spymaster_assets.config import Config
from spymaster_assets.sessions import Window
from spymaster_assets.tables import BARS, FEATURE_ROWS, FLOW, LEVELS, OPTION_FLOW, PRINTS, SIGNALS, SNAPS, TOUCHES
from tests.rows import packed, plain
from tests.toy_days import INTERVAL, OPEN

CONFIG = Config()


def product(day, levels=(), options=()):
    """The product's Day of a toy day; features, scores and labels are still to be made."""
    rows = {
        SNAPS: day.snaps, PRINTS: day.prints, FLOW: day.flow, BARS: day.bars1, TOUCHES: day.touches, LEVELS: levels,
        OPTION_FLOW: options,
    }  # fmt: skip
    session = replace(day.session, globex=Window(OPEN, OPEN + (len(day.snaps) - 1) * INTERVAL))
    return Day.of(session, CONFIG, NO_PRIORS, {table.name: packed(table, of) for table, of in rows.items()})


def features_of(made, k, touch=0):
    row = np.zeros(1, FEATURE_ROWS.dtype)
    made.features_at(touch, k, row)
    return plain(FEATURE_ROWS, row)[0]


def features(day, k, touch=0, levels=()):
    return features_of(product(day, levels), k, touch)


def signals(day, touch=0):
    """The signal rows of a touch by snap."""
    made = product(day)
    made.advance_signals()
    return {row["k"]: row for row in plain(SIGNALS, made.signals.rows) if row["touch"] == touch}


def has(values, **expected):
    """Whether the named values are as expected; None and words exactly, numbers within rounding."""
    assert {name: values[name] for name in expected} == approx(expected)
