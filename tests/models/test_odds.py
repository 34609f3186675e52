"""Probabilities and their logarithms: the same bytes whatever stands beside a row, and nothing is impossible."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import approx

from spymaster_assets.features import HORIZONS
from spymaster_assets.models.odds import LEAST, clipped, geometry, geometry_columns, geometry_known, logs, softmax
from spymaster_assets.states import BOUNCE, BREAK, CHOP
from tests.models.small_lake import DATES, training

RNG = np.random.default_rng(1)
ODDS = RNG.dirichlet((0.3, 1.0, 2.0), 1001)
LOGITS = RNG.normal(0, 5, (1001, 3))


@pytest.mark.parametrize(("function", "values"), [(softmax, LOGITS), (logs, ODDS)])
def test_the_same_bytes_alone_in_a_batch_and_in_any_order(function, values):
    whole = function(values)
    alone = np.concatenate([function(values[i : i + 1]) for i in range(len(values))])
    assert alone.tobytes() == whole.tobytes()
    order = RNG.permutation(len(values))
    assert function(values[order]).tobytes() == whole[order].tobytes()
    assert function(values[::2]).tobytes() == whole[::2].tobytes()
    assert function(np.asfortranarray(values)).tobytes() == whole.tobytes()
    assert function(values[:0]).shape == (0, 3)


def test_softmax_by_hand():
    found = softmax(np.log([[0.2, 0.3, 0.5], [1.0, 1.0, 1.0], [8.0, 1.0, 1.0]]))
    assert found == approx(np.array([[0.2, 0.3, 0.5], [1 / 3, 1 / 3, 1 / 3], [0.8, 0.1, 0.1]]))
    assert softmax(np.array([[1000.0, 0.0, -1000.0]])).tolist() == [[1.0, 0.0, 0.0]]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-50, 50), min_size=3, max_size=3), st.floats(-500, 500))
def test_a_constant_added_changes_nothing(logits, constant):
    one = np.array([logits])
    assert softmax(one + constant) == approx(softmax(one), abs=1e-12)
    assert softmax(one).sum() == approx(1.0)


def test_softmax_undoes_logs():
    assert softmax(logs(ODDS)) == approx(clipped(ODDS), abs=1e-15)


def test_nothing_is_impossible():
    found = clipped(np.array([[0.0, 0.0, 1.0], [0.2, 0.3, 0.5]]))
    assert found[0] == approx(np.array([LEAST, LEAST, 1.0]) / (1 + 2 * LEAST))
    assert found[1] == approx([0.2, 0.3, 0.5])
    assert np.isfinite(logs(np.array([[0.0, 1.0, 0.0]]))).all()


@pytest.mark.parametrize("horizon", HORIZONS)
def test_geometry_is_the_rows_own_in_the_order_of_classes(horizon):
    rows = training(DATES[0])
    names = geometry_columns(horizon)
    assert [names[outcome] for outcome in (BREAK, BOUNCE, CHOP)] == [
        f"geometry_{word}_{horizon}" for word in ("break", "bounce", "chop")
    ]
    for value, name in zip((0.5, 0.3, 0.2), names, strict=True):
        rows[name][3] = value
    assert geometry(rows, horizon)[3] == approx([0.5, 0.3, 0.2])
    rows[names[1]][6] = np.nan
    assert np.flatnonzero(~geometry_known(rows, horizon)).tolist() == [6]
    with pytest.raises(ValueError, match=f"geometry of {horizon} is unknown for 1 of {len(rows)} rows"):
        geometry(rows, horizon)
