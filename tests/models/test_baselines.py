"""Baselines against closed forms, a loss written anew here, and worlds whose truth is known."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import approx

from spymaster_assets.features import FEATURES
from spymaster_assets.models.baselines import (
    TEN,
    Logistic,
    base_rate,
    fit_logistic,
    fit_multinomial,
)
from spymaster_assets.models.examples import usable
from spymaster_assets.models.metrics import auc, break_given_resolved, day_bootstrap, log_loss, log_losses, stratified_auc
from spymaster_assets.models.odds import LEAST, geometry
from spymaster_assets.models.walk_forward import out_of_sample
from spymaster_assets.states import BOUNCE, BREAK, CENSORED, CHOP
from tests.models.worlds import EFFECT, drawn, tilted, world

H, STAGE_A = "4min", TEN["stage_a"]
TINY = 1e-9
ROOT = Path(__file__).parents[2]
REGISTRY = {feature.name: feature for feature in FEATURES}


def naive_loss(coefficients, design, offset, outcomes, weights, ridge):
    """The penalised loss as the docstring states it, from odds."""
    chances = tilted(np.exp(offset), design @ coefficients)
    return -(weights * np.log(chances[np.arange(len(outcomes)), outcomes])).sum() + ridge / 2 * (coefficients**2).sum()


def slopes(function, at, h=1e-5):
    """Central differences of a function of an array, entry by entry."""
    out = np.zeros(at.shape)
    for place in np.ndindex(*at.shape):
        step = np.zeros(at.shape)
        step[place] = h
        out[place] = (function(at + step) - function(at - step)) / (2 * h)
    return out


def problem(seed, n=120, m=4):
    """Design, offset, outcomes and weights that mean nothing."""
    rng = np.random.default_rng(seed)
    design = np.hstack([np.ones((n, 1)), rng.normal(size=(n, m - 1)) * rng.uniform(0.2, 3, m - 1)])
    return design, np.log(rng.dirichlet((1.0, 1.0, 1.0), n) + 1e-3), rng.integers(0, 3, n), rng.random(n)


def without_effect(logistic):
    return Logistic(logistic.horizon, logistic.features, logistic.centre, logistic.scale, np.zeros_like(logistic.coefficients))


# What they are made of


def test_ten_are_ten_numbers_of_barrier_tape_and_fuel():
    """Known at their stage: what reacts is unknown at the touch, and what is fixed then would not move after it."""
    for stage, names in TEN.items():
        assert len(set(names)) == 10
        assert {REGISTRY[name].family for name in names} >= {"barrier", "tape", "fuel"}
        assert not any(REGISTRY[name].categories for name in names)
        assert any(REGISTRY[name].reaction for name in names) == (stage == "stage_b")
    assert not any(name.startswith("approach_") for name in TEN["stage_b"])


def test_base_rate_by_hand():
    outcomes, weights = np.array([BREAK, BREAK, BOUNCE, CHOP]), np.array([1.0, 2.0, 1.0, 4.0])
    assert base_rate(outcomes, weights) == approx([3 / 8, 1 / 8, 1 / 2])
    assert base_rate(outcomes[:2], weights[:2]) == approx(np.array([1, LEAST, LEAST]) / (1 + 2 * LEAST))
    with pytest.raises(ValueError, match="outcomes"):
        base_rate(np.array([BREAK, CENSORED]), np.ones(2))


def test_geometry_is_the_rows_own_and_never_impossible():
    rows, _, _ = world(1, 2, seed=0)
    for name, column in zip(("break", "bounce", "chop"), ([0.2, 1.0], [0.5, 0.0], [0.3, 0.0]), strict=True):
        rows[f"geometry_{name}_{H}"] = column
    assert geometry(rows, H) == approx(np.array([[0.2, 0.5, 0.3], np.array([1, 1e-4, 1e-4]) / 1.0002]))
    rows[f"geometry_chop_{H}"][1] = math.nan
    with pytest.raises(ValueError, match="1 of 2 rows"):
        geometry(rows, H)


def test_usable_rows_are_trainable_with_known_geometry():
    rows, _, _ = world(1, 4, seed=0)
    rows[f"trainable_{H}"][1] = 0
    rows[f"geometry_bounce_{H}"][2] = math.nan
    assert usable(rows, H).tolist() == [True, False, False, True]


# The solution


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1e-3, 1.0, 50.0]))
def test_the_solution_has_no_slope(seed, ridge):
    """By differences of the loss written here, in all 3m directions; it is convex, so this is the minimum."""
    design, offset, outcomes, weights = problem(seed)
    found = fit_multinomial(design, offset, outcomes, weights, ridge)
    assert np.abs(slopes(lambda at: naive_loss(at, design, offset, outcomes, weights, ridge), found)).max() < 1e-6
    assert found.sum(axis=1) == approx(np.zeros(4), abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.permutations([0, 1, 2]))
def test_no_class_is_special_and_weight_is_repetition(seed, order):
    """Renaming the classes renames the columns; a row of weight 3 is three rows; the order of rows does not matter."""
    design, offset, outcomes, weights = problem(seed)
    renamed = fit_multinomial(design, offset[:, order], np.argsort(order)[outcomes], weights, 2.0)
    assert renamed == approx(fit_multinomial(design, offset, outcomes, weights, 2.0)[:, order], abs=1e-9)
    times = np.random.default_rng(seed).integers(0, 4, len(outcomes))
    parts = [part.repeat(times, axis=0)[::-1] for part in (design, offset, outcomes)]
    repeated = fit_multinomial(*parts, np.ones(times.sum()), 2.0)
    assert repeated == approx(fit_multinomial(design, offset, outcomes, times.astype(float), 2.0), abs=1e-9)


def test_with_a_constant_alone_it_is_the_base_rate():
    """The score equation: the mean probability of each class is its share, so without offsets every row's is."""
    outcomes, weights = np.array([0, 0, 1, 2, 2, 2]), np.array([1.0, 1.0, 2.0, 1.0, 0.5, 0.5])
    found = fit_multinomial(np.ones((6, 1)), np.zeros((6, 3)), outcomes, weights, TINY)
    assert tilted(np.ones((1, 3)), found)[0] == approx([1 / 3, 1 / 3, 1 / 3])
    found = fit_multinomial(np.ones((6, 1)), np.tile(np.log([0.6, 0.3, 0.1]), (6, 1)), outcomes, weights, TINY)
    assert tilted(np.array([[0.6, 0.3, 0.1]]), found)[0] == approx([1 / 3, 1 / 3, 1 / 3])


def test_a_flag_gives_each_cell_its_own_shares():
    """Saturated: with a flag, the cells' shares (.5, .25, .25) and (.2, .2, .6) whatever the cells' offsets."""
    flag = np.repeat([0.0, 1.0], [4, 5])
    outcomes, offset = np.array([0, 0, 1, 2, 0, 1, 2, 2, 2]), np.log(np.where(flag[:, None] > 0, [0.7, 0.2, 0.1], [0.1, 0.1, 0.8]))
    design = np.stack([np.ones(9), flag], axis=1)
    found = tilted(np.exp(offset), design @ fit_multinomial(design, offset, outcomes, np.ones(9), TINY))
    assert found[0] == approx([0.5, 0.25, 0.25])
    assert found[-1] == approx([0.2, 0.2, 0.6])


def test_the_coefficients_of_a_known_world_are_found_within_three_errors():
    """Against CHOP: true differences within 3 standard errors each, errors from the curvature of the loss written here.

    Together the squared standardised misses are chi-squared with 22 degrees of freedom: between 6.98 and 48.3, .1 % on either side.
    """
    rows, _, _ = world(100, 60, seed=11)
    design = np.stack([np.ones(len(rows)), *(rows[name] for name in STAGE_A)], axis=1)
    outcomes, offset = rows[f"outcome_{H}"], np.log(geometry(rows, H))
    found = fit_multinomial(design, offset, outcomes, np.ones(len(rows)), TINY)
    true = np.array([(0.0, 0.0, 0.0), *(EFFECT.get(name, (0.0, 0.0, 0.0)) for name in STAGE_A)])
    miss, against = found - true, np.array([[1, 0], [0, 1], [-1, -1]])  # columns of free coefficients: sum zero

    def loss(free):
        return naive_loss(found + free.reshape(11, 2) @ against.T, design, offset, outcomes, np.ones(len(rows)), 0.0)

    bent = np.array([slopes(loss, step, 1e-3) - slopes(loss, -step, 1e-3) for step in np.eye(22) * 1e-3]) / 2e-3
    errors = np.sqrt(np.diag(np.linalg.inv(bent)))
    free = miss[:, :2].ravel()
    assert (np.abs(free) < 3 * errors).all()
    assert 6.98 < free @ bent @ free < 48.3
    assert np.abs(true[:, :2].ravel() / errors).max() > 20  # and the errors are small enough to tell


def test_hard_cases_converge():
    """A class that never happens, a feature that separates, twin columns, nothing but ridge: finite, without a slope."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=200)
    separating = np.stack([np.ones(200), x, x], axis=1)
    cases = (
        (separating, np.zeros((200, 3)), (x > 0).astype(int)),
        (separating * 5, np.log(rng.dirichlet((0.1, 0.1, 0.1), 200) + 1e-4), np.zeros(200, int)),
        (np.zeros((200, 2)), np.zeros((200, 3)), rng.integers(0, 3, 200)),
    )
    for design, offset, outcomes in cases:
        for ridge in (1e-4, 1.0):
            found = fit_multinomial(design, offset, outcomes, np.ones(200), ridge)
            assert np.isfinite(found).all()
            chances = tilted(np.exp(offset), design @ found)
            rest = design.T @ (chances - np.eye(3)[outcomes]) + ridge * found
            assert np.abs(rest).max() < 1e-10


def test_what_has_no_solution_is_refused():
    design, offset, outcomes, weights = problem(1)
    with pytest.raises(ValueError, match="above 0"):
        fit_multinomial(design, offset, outcomes, weights, 0.0)
    with pytest.raises(ValueError, match="above 0"):
        fit_multinomial(design, offset, outcomes, weights * 0, 1.0)
    for state in (-1, CENSORED):
        with pytest.raises(ValueError, match="outcomes"):
            fit_multinomial(design, offset, np.where(outcomes == CHOP, state, outcomes), weights, 1.0)


def test_the_same_bytes_for_any_number_of_threads():
    program = (
        "import numpy as np; from tests.models.test_baselines import problem; from spymaster_assets.models.baselines import *;"
        "print(fit_multinomial(*problem(1, 60_000, 11), 1.0).tobytes().hex())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "OPENBLAS_NUM_THREADS": n},
            cwd=ROOT,
            check=True,
            capture_output=True,
        ).stdout
        for n in ("1", "2")
    }
    assert len(found) == 1


# The regression on rows


def test_without_coefficients_it_is_geometry():
    rows, _, _ = world(20, 10, seed=1)
    fitted = fit_logistic(rows, np.ones(200), H, STAGE_A)
    assert without_effect(fitted).predict(rows) == approx(geometry(rows, H), rel=1e-12)
    assert fit_logistic(rows, np.ones(200), H, STAGE_A, ridge=1e12).predict(rows) == approx(geometry(rows, H), rel=1e-8)


def test_units_and_origin_of_a_feature_do_not_matter():
    rows, _, _ = world(20, 10, seed=2)
    other = rows.copy()
    other["gamma_exposure"] = 1e6 + 300 * rows["gamma_exposure"]
    first, second = (fit_logistic(these, np.ones(200), H, STAGE_A).predict(these) for these in (rows, other))
    assert first == approx(second, abs=1e-8)


def test_what_is_unknown_stands_at_the_mean_of_what_is_known():
    """The weighted mean and deviation of the known values by hand; a row that knows nothing gets the constant alone."""
    rows, _, _ = world(1, 5, seed=3)
    rows["wall_ratio"] = [1.0, 2.0, math.nan, 5.0, math.nan]
    fitted = fit_logistic(rows, np.array([1.0, 1.0, 7.0, 2.0, 1.0]), H, ("wall_ratio",))
    assert fitted.centre == approx([13 / 4])
    assert fitted.scale == approx([math.sqrt((2.25**2 + 1.25**2 + 2 * 1.75**2) / 4)])
    expected = tilted(geometry(rows, H), np.tile(fitted.coefficients[0], (5, 1)))
    assert fitted.predict(rows)[[2, 4]] == approx(expected[[2, 4]])


def test_a_long_tail_is_cut_off():
    """A value of 1e9 tells no more than five deviations do."""
    rows, _, _ = world(20, 10, seed=4)
    fitted = fit_logistic(rows, np.ones(200), H, STAGE_A)
    far, five = rows[:1].copy(), rows[:1].copy()
    far["approach_pulled_rate_60"] = 1e9
    at = STAGE_A.index("approach_pulled_rate_60")
    five["approach_pulled_rate_60"] = fitted.centre[at] + 5 * fitted.scale[at]
    assert fitted.predict(far) == approx(fitted.predict(five))
    assert fitted.predict(far) != approx(fitted.predict(rows[:1]), rel=0.01)


@pytest.mark.parametrize("value", [0.1, 0.0, math.nan])
def test_a_feature_that_never_varied_has_no_say(value):
    rows, _, _ = world(20, 10, seed=5)
    rows["gamma_exposure"] = value
    fitted = fit_logistic(rows, np.ones(200), H, STAGE_A)
    assert fitted.coefficients[1 + STAGE_A.index("gamma_exposure")] == approx(np.zeros(3), abs=0)
    other = rows.copy()
    other["gamma_exposure"] = 777.0
    assert fitted.predict(other).tobytes() == fitted.predict(rows).tobytes()
    less = tuple(name for name in STAGE_A if name != "gamma_exposure")
    assert fit_logistic(rows, np.ones(200), H, less).predict(rows) == approx(fitted.predict(rows), rel=1e-9)


@pytest.mark.parametrize("name", ["t_decision", "outcome_4min", "barrier_state", "episode"])
def test_only_the_registrys_numbers_can_be_learnt_from(name):
    rows, _, _ = world(2, 5, seed=6)
    with pytest.raises(ValueError, match=name):
        fit_logistic(rows, np.ones(10), H, (*STAGE_A, name))


def test_an_infinite_feature_is_refused():
    rows, _, _ = world(2, 5, seed=6)
    rows["signed_volume_120s"][3] = math.inf
    with pytest.raises(ValueError, match="signed_volume_120s"):
        fit_logistic(rows, np.ones(10), H, STAGE_A)


# Out of sample


def gains(rows, days, first=30, ridge=TINY):
    """(probabilities, log-loss gain over geometry) of the rows of the dates from `first` on."""
    found = out_of_sample(
        rows, days, np.ones(len(rows)), lambda rows, weights: fit_logistic(rows, weights, H, STAGE_A, ridge), Logistic.predict,
        first=first, step=30,
    )  # fmt: skip
    tested = days >= first
    outcomes = rows[f"outcome_{H}"][tested]
    return found[tested], log_losses(geometry(rows, H)[tested], outcomes) - log_losses(found[tested], outcomes)


def test_where_geometry_is_the_truth_learning_costs_what_theory_says():
    """Per row -d/2n out of sample (Akaike 1974), d = 22 free coefficients, n = 29 · 50 = 1450: -.0076 nats; mean of 30 worlds."""
    found = [gains(*world(60, 50, seed, effect=None)[:2])[1].mean() for seed in range(30)]
    assert np.mean(found) == approx(-22 / 2 / 1450, abs=4 * np.std(found) / math.sqrt(30))
    assert np.mean(found) < -0.004


def test_the_slope_at_geometry_is_zero_on_average_where_geometry_is_the_truth():
    """Gain of a small step in any fixed direction: zero mean to the first order, over labels drawn anew from geometry."""
    rows, _, _ = world(10, 50, seed=1, effect=None)
    rng, base = np.random.default_rng(2), geometry(rows, H)
    push = rng.normal(size=(500, 3)) * 0.01
    said = tilted(base, push)
    found = []
    for _ in range(400):
        outcomes = drawn(base, rng)
        found.append((log_losses(base, outcomes) - log_losses(said, outcomes)).mean())
    costs = (base * np.log(base / said)).sum(axis=1).mean()  # Kullback-Leibler: the second order
    assert np.mean(found) == approx(-costs, abs=4 * np.std(found) / 20)


def test_labels_permuted_where_geometry_is_equal_leave_nothing_to_learn():
    """Four geometries; before the permutation the gain is plain, after it the interval's low end is not above zero."""
    rows, days, _ = world(60, 50, seed=3)
    kind = np.random.default_rng(4).integers(0, 4, len(rows))
    base = np.array([[0.4, 0.4, 0.2], [0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.3, 0.3, 0.4]])[kind]
    for name, column in zip(("break", "bounce", "chop"), base.T, strict=True):
        rows[f"geometry_{name}_{H}"] = column
    rng = np.random.default_rng(5)
    rows[f"outcome_{H}"] = drawn(tilted(base, sum(np.outer(rows[name], on) for name, on in EFFECT.items())), rng)
    _, gain = gains(rows, days)
    assert day_bootstrap(gain, np.ones(len(gain)), days[days >= 30]).low > 0.1
    areas, lows = [], []
    for _ in range(10):
        order = np.lexsort((rng.random(len(rows)), kind))
        rows[f"outcome_{H}"][np.lexsort((np.arange(len(rows)), kind))] = rows[f"outcome_{H}"][order]
        found, gain = gains(rows, days, ridge=10.0)
        lows.append(day_bootstrap(gain, np.ones(len(gain)), days[days >= 30]).low)
        resolved = rows[f"outcome_{H}"][days >= 30] != CHOP
        broke = rows[f"outcome_{H}"][days >= 30] == BREAK
        told = (break_given_resolved(found)[resolved], broke[resolved], np.ones(resolved.sum()))
        areas.append(stratified_auc(*told, break_given_resolved(base[days >= 30])[resolved]))
        assert auc(*told) > 0.55  # geometry tells, all the same
    assert max(lows) <= 0
    assert np.mean(areas) == approx(0.5, abs=0.015)


def test_it_comes_close_to_the_oracle_of_a_world_that_it_can_describe():
    """Gain over geometry at least .9 of what the true probabilities gain; each class as frequent as said, within 3 errors."""
    rows, days, true = world(90, 50, seed=6)
    found, gain = gains(rows, days)
    outcomes, tested = rows[f"outcome_{H}"][days >= 30], days >= 30
    oracle = log_loss(geometry(rows, H)[tested], outcomes, np.ones(3000)) - log_loss(true[tested], outcomes, np.ones(3000))
    assert 0.9 * oracle < gain.mean() < oracle
    assert oracle > 0.1
    shares = np.bincount(outcomes) / 3000
    assert (np.abs(found.mean(axis=0) - shares) < 3 * np.sqrt(shares * (1 - shares) / 3000)).all()
