"""What the twins of physics.md, sections 4 to 7, say of toy days, and what tests of them expect."""

from pytest import approx

from spymaster_assets.config import Config
from tests.naive_labels import naive_labels
from tests.naive_physics import Rows, naive_features
from tests.naive_score import naive_signals

CONFIG = Config()


def rows_of(day):
    return Rows(day.snaps, day.prints, day.flow)


def features(day, k, touch=0, priors=None):
    found = day.touches[touch] if isinstance(touch, int) else touch
    return naive_features(rows_of(day), found, k, day.session, CONFIG, priors, found["sigma"])


def signals(day, touch=0, priors=None):
    """The signal rows by snap."""
    found = day.touches[touch] if isinstance(touch, int) else touch
    return {row["k"]: row for row in naive_signals(rows_of(day), found, day.session, CONFIG, priors)}


def labels(day, k, touch=0):
    return naive_labels(rows_of(day), day.touches[touch], k, day.session, CONFIG)


def has(values, expected):
    """Whether the named values are as expected; None exactly, numbers within rounding."""
    assert {name: values[name] for name in expected} == approx(expected)
