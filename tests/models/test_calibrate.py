"""Temperatures and recalibration against truths that were tilted by hand, brute force and scikit-learn."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import approx

from spymaster_assets.models.calibrate import (
    HOTTEST,
    Calibrator,
    fit_calibrator,
    slope_and_intercept,
    slopes_and_intercepts,
)
from spymaster_assets.models.metrics import log_loss
from spymaster_assets.models.odds import clipped
from spymaster_assets.states import BOUNCE, BREAK, CENSORED, CHOP
from tests.models.worlds import drawn, tilted


def made(seed, n, true_temperatures, spread=1.0):
    """(what a model says, geometry, outcomes, groups): the truth is what it adds times its group's temperature."""
    rng = np.random.default_rng(seed)
    geometry, added = rng.dirichlet((3.0, 3.0, 2.0), n) * 0.97 + 0.01, rng.normal(size=(n, 3)) * spread
    groups = np.arange(n) % len(true_temperatures)
    truth = tilted(geometry, np.array(true_temperatures)[groups, None] * added)
    return tilted(geometry, added), geometry, drawn(truth, rng), groups


# Temperatures


def test_known_temperatures_are_found():
    """22,500 rows a group; four standard errors, 1 / sqrt(n · variance of what was added, about .8)."""
    said, geometry, outcomes, groups = made(1, 90_000, (0.5, 1.0, 2.0, 1.5), spread=0.7)
    found = fit_calibrator(said, geometry, outcomes, np.ones(90_000), groups)
    assert found.temperatures == approx((0.5, 1.0, 2.0, 1.5), abs=0.07)
    assert found.effective == (22_500.0,) * 4
    assert min(found.temperatures) < found.pooled < max(found.temperatures)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 3.0))
def test_no_other_temperature_loses_less(seed, true):
    """Against a grid of 401, and weight is repetition."""
    said, geometry, outcomes, _ = made(seed, 120, (true,) * 3)
    times = np.random.default_rng(seed).integers(0, 4, 120)
    groups = np.zeros(120, int)
    found = fit_calibrator(said, geometry, outcomes, times * 10.0, groups)
    added, base = np.log(clipped(said)) - np.log(clipped(geometry)), clipped(geometry)
    losses = [log_loss(tilted(base, t * added), outcomes, times) for t in np.linspace(0, HOTTEST, 401)]
    assert log_loss(found.apply(said, geometry, groups), outcomes, times) <= min(losses) + 1e-12
    parts = [part.repeat(times, axis=0) for part in (said, geometry, outcomes)]
    repeated = fit_calibrator(*parts, np.ones(times.sum()), groups.repeat(times))
    assert repeated.pooled == approx(found.pooled, abs=1e-9)


def test_temperature_by_hand():
    """Geometry even, p = (1/2, 1/4, 1/4): odds 2^T : 1 : 1. Three of four break: 2^T = 6, T = log2 6. Nothing but breaks: HOTTEST.

    One of four: below the share of geometry, so 0.
    """
    said, geometry = np.tile([0.5, 0.25, 0.25], (4, 1)), np.full((4, 3), 1 / 3)
    for outcomes, expected in (([0, 0, 0, 1], math.log2(6)), ([0, 0, 0, 0], HOTTEST), ([0, 1, 1, 2], 0.0)):
        found = fit_calibrator(said, geometry, np.array(outcomes), np.full(4, 100.0), np.zeros(4, int))
        assert found.temperatures == approx((expected,) * 4)


def test_a_small_group_is_drawn_to_all_of_them():
    """A group of n effective episodes has n / 300 of its own temperature: computed apart, then mixed."""
    said, geometry, outcomes, _ = made(2, 1000, (0.3, 0.3, 0.3))
    groups = np.repeat([0, 1], [925, 75])
    said[groups == 1] = tilted(geometry, 0.5 * np.log(said / geometry))[groups == 1]
    found = fit_calibrator(said, geometry, outcomes, np.ones(1000), groups)
    alone = fit_calibrator(said[groups == 1], geometry[groups == 1], outcomes[groups == 1], np.full(75, 4.0), groups[groups == 1])
    assert found.effective == (925.0, 75.0, 0.0, 0.0)
    assert abs(alone.temperatures[1] - found.pooled) > 0.1
    assert found.temperatures[1] == approx(0.25 * alone.temperatures[1] + 0.75 * found.pooled)
    assert found.temperatures[2] == approx(found.pooled)


def test_a_model_that_adds_nothing_has_the_temperature_one():
    """Rounding is nothing; neither tells no rows at all."""
    geometry = np.random.default_rng(3).dirichlet((3.0, 3.0, 2.0), 500) * 0.97 + 0.01
    outcomes, groups = drawn(geometry, np.random.default_rng(4)), np.arange(500) % 3
    said = np.exp(np.log(geometry) + 1e-9 * np.random.default_rng(5).normal(size=(500, 3)))
    found = fit_calibrator(said / said.sum(axis=1, keepdims=True), geometry, outcomes, np.ones(500), groups)
    assert (found.pooled, found.temperatures) == (1.0, (1.0,) * 4)
    nothing = fit_calibrator(said[:0], geometry[:0], outcomes[:0], np.ones(0), groups[:0])
    assert nothing == Calibrator(1.0, (1.0,) * 4, (0.0,) * 4)


def test_zero_is_geometry_and_one_the_model():
    said, geometry, _, groups = made(6, 60, (1.0, 1.0, 1.0))
    base = clipped(geometry)
    assert Calibrator(1.0, (0.0, 0.0, 0.0), (0.0,) * 3).apply(said, geometry, groups) == approx(base, rel=1e-12)
    assert Calibrator(0.0, (1.0, 1.0, 1.0), (0.0,) * 3).apply(said, geometry, groups) == approx(clipped(said), rel=1e-12)
    mixed = Calibrator(0.0, (0.0, 1.0, 2.0), (0.0,) * 3).apply(said, geometry, groups)
    expected = tilted(base, groups[:, None] * (np.log(clipped(said)) - np.log(base)))
    assert mixed == approx(expected, rel=1e-12)


def test_a_row_is_the_same_alone_and_in_a_batch():
    said, geometry, outcomes, groups = made(7, 301, (0.5, 1.0, 2.0))
    found = fit_calibrator(said, geometry, outcomes, np.ones(301), groups)
    batch = found.apply(said, geometry, groups)
    alone = np.concatenate([found.apply(said[i : i + 1], geometry[i : i + 1], groups[i : i + 1]) for i in range(301)])
    assert batch.tobytes() == alone.tobytes()


def test_it_is_read_back_bit_for_bit():
    said, geometry, outcomes, groups = made(8, 100, (0.5, 1.0, 2.0))
    found = fit_calibrator(said, geometry, outcomes, np.full(100, 0.1), groups)
    assert Calibrator.from_json(json.loads(json.dumps(found.as_json(), allow_nan=False))) == found


def test_what_is_no_group_or_outcome_is_refused():
    said, geometry, outcomes, groups = made(9, 6, (1.0, 1.0, 1.0))
    for wrong in (-1, 4):
        with pytest.raises(ValueError, match="groups"):
            fit_calibrator(said, geometry, outcomes, np.ones(6), np.full(6, wrong))
        with pytest.raises(ValueError, match="groups"):
            Calibrator(1.0, (1.0,) * 3, (0.0,) * 3).apply(said, geometry, np.full(6, wrong))
    with pytest.raises(ValueError, match="outcomes"):
        fit_calibrator(said, geometry, np.full(6, CENSORED), np.ones(6), groups)


# Slope and intercept


def test_a_line_that_was_bent_is_found():
    """logit P = .3 + .6 logit p, two probabilities: solved exactly by the frequencies."""
    p = np.repeat([0.2, 0.7], 1000)
    logit = np.log(p / (1 - p))
    share = 1 / (1 + np.exp(-(0.3 + 0.6 * logit)))
    both = np.r_[p, p]
    found = slope_and_intercept(both, np.repeat([True, False], 2000), np.r_[share, 1 - share])
    assert found == approx((0.6, 0.3), abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.2, 3.0), st.floats(-1.0, 1.0))
def test_the_line_is_that_of_an_unpenalised_logistic_regression(seed, slope, intercept):
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(seed)
    logit = rng.normal(size=200)
    happened = rng.random(200) < 1 / (1 + np.exp(-(intercept + slope * logit)))
    weights = rng.integers(0, 3, 200)
    found = slope_and_intercept(1 / (1 + np.exp(-logit)), happened, weights)
    theirs = linear_model.LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000, solver="newton-cholesky")
    theirs.fit(logit[:, None], happened, weights)
    assert found == approx((theirs.coef_[0, 0], theirs.intercept_[0]), abs=1e-6)


def test_true_probabilities_have_slope_one_and_those_of_a_hot_model_less():
    said, geometry, outcomes, _ = made(10, 40_000, (1.0, 1.0, 1.0))
    lines = slopes_and_intercepts(said, outcomes, np.ones(40_000))
    assert set(lines) == {"break given resolved", "break", "bounce", "chop"}
    for line in lines.values():
        assert line == approx((1.0, 0.0), abs=0.05)
    hot = tilted(geometry, 2 * np.log(said / geometry))
    assert max(line.slope for line in slopes_and_intercepts(hot, outcomes, np.ones(40_000)).values()) < 0.85


def test_among_the_resolved_chop_does_not_count():
    said, _, outcomes, _ = made(11, 500, (1.0, 1.0, 1.0))
    other = said.copy()
    other[outcomes == CHOP] = [0.9, 0.05, 0.05]
    first, second = (slopes_and_intercepts(these, outcomes, np.ones(500)) for these in (said, other))
    assert first["break given resolved"] == second["break given resolved"]
    assert first["break"] != second["break"]
    kept = outcomes != CHOP
    p = said[kept, BREAK] / (said[kept, BREAK] + said[kept, BOUNCE])
    assert first["break given resolved"] == slope_and_intercept(p, outcomes[kept] == BREAK, np.ones(kept.sum()))


@pytest.mark.parametrize(
    ("probabilities", "happened"),
    [
        ([0.2, 0.4, 0.6], [False, False, True]),
        ([0.2, 0.4, 0.6], [True, False, False]),
        ([0.2, 0.4, 0.4], [False, False, True]),  # they meet, and do not overlap
        ([0.3, 0.3, 0.3], [False, True, True]),
        ([0.3, 0.3 + 1e-12, 0.3 + 2e-12], [False, True, False]),
        ([0.3, 0.5, 0.6], [True, True, True]),
        ([], []),
    ],
)
def test_where_no_line_is_best_it_is_unknown(probabilities, happened):
    found = slope_and_intercept(np.array(probabilities), np.array(happened, bool), np.ones(len(happened)))
    assert np.isnan(found).all()


def test_nearly_separated_and_impossible_probabilities_still_have_a_line():
    p, happened = np.array([0.0, 0.1, 0.4, 0.41, 0.9, 1.0]), np.array([False, False, True, False, True, True])
    found = slope_and_intercept(p, happened, np.ones(6))
    assert np.isfinite(found).all() and found.slope > 1
