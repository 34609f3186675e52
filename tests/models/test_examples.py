"""Which rows are learnt from and which columns may be read: nothing but features, whatever a caller asks for."""

import numpy as np
import pytest
from pytest import approx

from spymaster_assets.features import FEATURES, HORIZONS
from spymaster_assets.models.examples import (
    ABLATIONS,
    FAMILIES,
    GROUPS,
    STAGES,
    examples,
    feature_names,
    groups_of,
    matrix,
    usable,
)
from spymaster_assets.states import BREAK
from spymaster_assets.tables import TRAINING
from tests.models.small_lake import DATES, LANDMARKS, training

REGISTRY = {feature.name: feature for feature in FEATURES}
ROWS = training(DATES[0])
DAYS = np.full(len(ROWS), DATES[0].toordinal())


# Columns


@pytest.mark.parametrize("name", [name for name in TRAINING.dtype.names if name not in REGISTRY and name != "elapsed"])
def test_a_column_that_is_no_feature_reaches_no_matrix(name):
    """Labels, prices, times, identifiers, what the score said: alone and among features."""
    for names in ((name,), ("sigma", name, "atr")):
        with pytest.raises(ValueError, match=f"^{name}: not in the registry"):
            matrix(ROWS, names)


def test_what_would_tell_the_answer_is_no_feature():
    """By name, so that a registry that grows one is caught."""
    telling = ("outcome", "time_to", "strength", "future", "label", "trade", "trainable", "anchor", "t_", "ts", "price", "theta")
    assert not [name for name in REGISTRY if name.startswith(telling)]
    assert not {"touch", "episode", "event_id", "k", "kind", "direction", "price"} & set(REGISTRY)


def test_every_feature_may_be_read():
    values = matrix(ROWS, tuple(REGISTRY))
    assert values.shape == (len(ROWS), len(REGISTRY)) and values.dtype == np.float64
    for place, name in enumerate(REGISTRY):
        np.testing.assert_array_equal(values[:, place], ROWS[name].astype(float))


def test_an_unknown_category_is_nan_and_a_negative_number_is_itself():
    rows = ROWS[:3].copy()
    rows["fuel_effect"], rows["velocity_1min"], rows["gamma_exposure"] = [-1, 0, 2], [-1.5, 0.0, np.nan], [1.0, 2.0, -3.0]
    found = matrix(rows, ("fuel_effect", "velocity_1min", "gamma_exposure"))
    np.testing.assert_array_equal(found, [[np.nan, -1.5, 1.0], [0.0, 0.0, 2.0], [2.0, np.nan, -3.0]])


def test_infinity_is_refused_by_name():
    rows = ROWS.copy()
    rows["atr"][4] = -np.inf
    with pytest.raises(ValueError, match="atr is infinite"):
        matrix(rows, ("sigma", "atr"))


def test_stages():
    """At the touch nothing that reacts to it, after it everything, and the seconds first."""
    before, after = feature_names("stage_a"), feature_names("stage_b")
    assert before == tuple(name for name, feature in REGISTRY.items() if not feature.reaction)
    assert after == ("elapsed", *REGISTRY)
    assert 0 < len(before) < len(after) - 1


def test_families_part_the_registry():
    parts = [name for names in FAMILIES.values() for name in names]
    assert sorted(parts) == sorted({feature.family for feature in FEATURES})


@pytest.mark.parametrize("stage", STAGES)
def test_ablations_part_what_a_stage_reads(stage):
    """`ta` and `mechanics` are two halves; leaving a family out and that family are the whole."""
    every = set(feature_names(stage)) - {"elapsed"}
    halves = [set(feature_names(stage, name)) - {"elapsed"} for name in ("ta", "mechanics")]
    assert halves[0] | halves[1] == every and not halves[0] & halves[1]
    left = [every - set(feature_names(stage, f"without {family}")) for family in FAMILIES]
    assert sum(map(len, left)) == len(every) and set().union(*left) == every
    for family, names in zip(FAMILIES, left, strict=True):
        assert {REGISTRY[name].family for name in names} <= set(FAMILIES[family])
    assert set(ABLATIONS) == {"full", "ta", "mechanics", *(f"without {family}" for family in FAMILIES)}
    assert all(("elapsed" in feature_names(stage, name)) == (stage == "stage_b") for name in ABLATIONS)


# Rows


def test_groups_hold_their_landmarks_and_what_lies_between():
    for number, group in enumerate(GROUPS):
        assert groups_of(np.array(group)).tolist() == [number] * len(group)
    assert groups_of(np.array([0.0, 0.25, 4.99, 5.0, 59.75, 60.0, 239.0, 241.0])).tolist() == [0, 0, 0, 1, 1, 2, 2, 3]


@pytest.mark.parametrize("horizon", HORIZONS)
def test_usable_rows_are_trainable_and_have_a_geometry(horizon):
    rows = training(DATES[0])
    rows[f"trainable_{horizon}"][2] = 0
    rows[f"geometry_chop_{horizon}"][5] = np.nan
    other = "8min" if horizon != "8min" else "2min"
    rows[f"trainable_{other}"][7] = 0
    assert np.flatnonzero(~usable(rows, horizon)).tolist() == [2, 5]
    found = examples(rows, DAYS, horizon)
    assert found.rows["k"].tolist() == [k for k in range(len(rows)) if k not in (2, 5)]
    assert found.outcomes.tolist() == found.rows[f"outcome_{horizon}"].tolist()


def test_an_episode_weighs_one_over_its_group_at_each_landmark():
    """One at the touch, a third or half at one of the landmarks of a later group, however many touches it has; dates are apart."""
    rows = np.concatenate([training(DATES[0]), training(DATES[1])])
    days = np.repeat([one.toordinal() for one in DATES[:2]], len(ROWS))
    rows["episode"][rows["touch"] == 1] = 0
    found = examples(rows, days)
    for day in np.unique(days):
        for elapsed, weight in zip(LANDMARKS, (1, 1 / 3, 1 / 2), strict=True):
            part = found.at((found.days == day) & (found.rows["elapsed"] == elapsed))
            sums = np.bincount(part.rows["episode"], part.weights)
            assert sums[sums > 0] == approx(np.full(len(np.unique(part.rows["episode"])), weight))
    assert (found.weights > 0).all()


def test_how_soon_a_touch_is_over_does_not_change_its_weight():
    """Of a touch that has no later landmark: at the touch it weighs what the others do, so that weights do not know outcomes."""
    rows = ROWS[(ROWS["touch"] != 3) | (ROWS["elapsed"] == 0)]
    found = examples(rows, DAYS[: len(rows)])
    assert found.stage("stage_a").weights == approx(np.ones(8))


def test_weights_stay_as_they_are_in_a_part():
    found = examples(ROWS, DAYS)
    first, after = found.stage("stage_a"), found.stage("stage_b")
    assert set(first.rows["elapsed"]) == {0} and set(after.rows["elapsed"]) == set(LANDMARKS) - {0}
    assert len(first) + len(after) == len(found)
    assert first.weights.sum() + after.weights.sum() == approx(found.weights.sum())
    picked = found.at(np.array([4, 1]))
    assert picked.rows["k"].tolist() == [4, 1] and picked.weights.tolist() == found.weights[[4, 1]].tolist()
    assert picked.groups.tolist() == groups_of(picked.rows["elapsed"]).tolist()
    assert BREAK in found.outcomes
