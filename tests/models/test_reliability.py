"""Calibration against exact expectations, Murphy's identity, and curves against scikit-learn's."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import approx

from spymaster_assets.models.metrics import auc, brier
from spymaster_assets.models.reliability import (
    average_precision,
    bins_of,
    ece,
    ece_floor,
    lift,
    murphy,
    precision_recall,
    reliability,
    roc_curve,
)
from tests.models.worlds import drawn

ROWS = st.lists(st.tuples(st.integers(0, 10), st.booleans(), st.integers(1, 4)), min_size=1, max_size=40)


def columns(rows):
    probabilities, happened, weights = (np.array(column) for column in zip(*rows, strict=True))
    return probabilities / 10, happened, weights.astype(float)


# Bins


def test_bins_by_hand():
    """Two bins of .1, .2, .2, .2, .9: middles at .1, .5, .9, so 0, 1, 1, 1, 1. With a weight of 7 on .1 it is 0 and the rest 1."""
    probabilities = np.array([0.2, 0.1, 0.9, 0.2, 0.2])
    assert bins_of(probabilities, np.ones(5), 2).tolist() == [1, 0, 1, 1, 1]
    assert bins_of(probabilities, np.array([1.0, 7.0, 1.0, 1.0, 1.0]), 10).tolist() == [1, 0, 2, 1, 1]


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 200), st.integers(1, 20))
def test_bins_hold_equally_much(seed, n, bins):
    """Within a row's weight, where no probabilities are equal; they rise with probability, and rows' order is nothing to them."""
    rng = np.random.default_rng(seed)
    probabilities, weights = rng.random(n), rng.random(n) + 0.1
    number = bins_of(probabilities, weights, bins)
    assert number.min() == 0 and (np.diff(number[np.argsort(probabilities)]) >= 0).all()
    held = np.bincount(number, weights)
    assert (held > 0).all() and held.max() <= weights.sum() / bins + weights.max() + 1e-9
    order = rng.permutation(n)
    assert (bins_of(probabilities[order], weights[order], bins) == number[order]).all()
    if n % bins == 0:
        assert np.bincount(bins_of(probabilities, np.ones(n), bins)).tolist() == [n // bins] * bins


# Calibration error


def test_the_error_by_hand():
    """Two bins: .2 against 1/2, .8 against 3/4 of weight 2: (2 · .3 + 2 · .05) / 4."""
    probabilities, happened = np.array([0.2, 0.2, 0.8, 0.8]), np.array([True, False, True, False])
    assert ece(probabilities, happened, np.array([1.0, 1.0, 1.5, 0.5]), 2) == approx(0.175)


def test_the_floor_is_the_exact_mean_of_binomials():
    """One bin of ten rows at .3: mean |X / 10 - .3| over Binomial(10, .3), written out. Weight 0 is not there."""
    exact = sum(math.comb(10, k) * 0.3**k * 0.7 ** (10 - k) * abs(k / 10 - 0.3) for k in range(11))
    found = ece_floor(np.r_[np.full(10, 0.3), 0.9], np.r_[np.ones(10), 0.0], 10, draws=20_000)
    assert found == approx(exact, abs=4 * 0.09 / math.sqrt(20_000))


def test_a_perfect_model_shows_what_the_design_states():
    """.055 at n = 500 with 10 bins of probabilities near one half (deviation .09); 15 bins of even ones have .054.

    Whatever spreads them, about sqrt(2 bins / (pi n)) times the mean of sqrt(p (1 - p)).
    """
    rng = np.random.default_rng(0)
    near, even = 1 / (1 + np.exp(-0.4 * rng.normal(size=500))), (np.arange(500) + 0.5) / 500
    assert ece_floor(near, np.ones(500)) == approx(0.055, abs=0.001)
    assert ece_floor(even, np.ones(500), 15) == approx(0.054, abs=0.001)
    for p, bins in ((near, 10), (even, 15)):
        theory = math.sqrt(2 * bins / (math.pi * 500)) * np.sqrt(p * (1 - p)).mean()
        assert ece_floor(p, np.ones(500), bins) == approx(theory, rel=0.03)
    happened = rng.random((300, 500)) < near
    assert np.mean([ece(near, one, np.ones(500)) for one in happened]) == approx(0.055, abs=0.003)


def test_a_model_that_is_too_sure_stands_above_the_floor():
    rng = np.random.default_rng(1)
    logit = rng.normal(size=2000)
    happened, hot = rng.random(2000) < 1 / (1 + np.exp(-logit)), 1 / (1 + np.exp(-2 * logit))
    assert ece(hot, happened, np.ones(2000)) > 2.5 * ece_floor(hot, np.ones(2000))


# Murphy


def test_the_parts_by_hand():
    """.2 and .2 with one event, .8 and .8 with two: reliability (.09 + .04) / 2, resolution .0625, uncertainty .1875."""
    found = murphy(np.array([0.2, 0.2, 0.8, 0.8]), np.array([True, False, True, True]), np.ones(4))
    assert found == approx((0.19, 0.065, 0.0625, 0.1875, 0.0), abs=1e-12)


@settings(deadline=None)
@given(ROWS, st.integers(1, 15))
def test_the_parts_add_up(rows, bins):
    probabilities, happened, weights = columns(rows)
    found = murphy(probabilities, happened, weights, bins)
    assert found.brier == approx(np.average((probabilities - happened) ** 2, weights=weights), abs=1e-12)
    assert found.reliability - found.resolution + found.uncertainty + found.within == approx(found.brier, abs=1e-12)
    assert min(found[:4]) >= -1e-12 and found.resolution <= found.uncertainty + 1e-12
    fine = murphy(probabilities, happened, weights, 10_000)  # each probability a bin: nothing differs within
    assert fine.within == approx(0.0, abs=1e-12)


def test_three_classes_add_up_to_the_brier_score_and_truth_is_reliable():
    rng = np.random.default_rng(2)
    probabilities = rng.dirichlet((2.0, 2.0, 1.0), 20_000)
    outcomes, weights = drawn(probabilities, rng), rng.random(20_000)
    parts = [murphy(probabilities[:, outcome], outcomes == outcome, weights) for outcome in range(3)]
    assert sum(part.brier for part in parts) == approx(brier(probabilities, outcomes, weights))
    for part in parts:
        assert part.reliability < 5e-4 < 0.02 < part.resolution


# The diagram


def test_the_diagram_by_hand():
    found = reliability(np.array([0.2, 0.3, 0.8]), np.array([True, False, True]), np.array([1.0, 1.0, 2.0]), 2)
    assert found.share == approx([0.5, 0.5])
    assert found.said == approx([0.25, 0.8])
    assert found.happened == approx([0.5, 1.0])


def test_the_bands_are_those_of_the_binomial():
    """One bin of 400 rows at .3: quantiles of Binomial(400, .3) / 400, .2625 and .3375."""
    found = reliability(np.full(400, 0.3), np.zeros(400, bool), np.ones(400), draws=4000)
    assert (found.low[0], found.high[0]) == approx((0.2625, 0.3375), abs=0.004)


def test_true_probabilities_lie_within_the_bands_nine_times_in_ten_and_others_do_not():
    rng = np.random.default_rng(3)
    inside, outside = [], []
    for seed in range(40):
        logit = rng.normal(size=600)
        happened = rng.random(600) < 1 / (1 + np.exp(-logit))
        for scale, kept in ((1, inside), (2, outside)):
            found = reliability(1 / (1 + np.exp(-scale * logit)), happened, np.ones(600), draws=200, seed=seed)
            kept.append((found.low <= found.happened) & (found.happened <= found.high))
    assert np.mean(inside) == approx(0.9, abs=0.05)
    assert np.mean(outside) < 0.6


def test_bands_repeat_with_their_seed_and_a_bin_that_is_seldom_drawn_has_some():
    seldom = reliability(np.r_[0.1, np.full(9, 0.6)], np.ones(10, bool), np.ones(10))
    assert np.isfinite(seldom.low).all() and len(seldom.low) == 2
    p = np.random.default_rng(4).random(200)
    first, again, other = (reliability(p, p > 0.5, np.ones(200), seed=seed) for seed in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert not all((a == b).all() for a, b in zip(first, other, strict=True))


# Curves


def test_the_curves_by_hand():
    """Scores 3 (event), 2 (event, other of weight 2), 1 (other): recall 1/2, 1, 1; precision 1, 2/4, 2/5; AP 1/2 + 1/4."""
    scores, happened, weights = np.array([1, 2, 3, 2]), np.array([False, True, True, False]), np.array([1.0, 1.0, 1.0, 2.0])
    found = precision_recall(scores, happened, weights)
    assert [column.tolist() for column in found] == [[0.5, 1.0, 1.0], [1.0, 0.5, 0.4], [3.0, 2.0, 1.0]]
    assert average_precision(scores, happened, weights) == 0.75
    found = roc_curve(scores, happened, weights)
    assert found.x == approx([0, 0, 2 / 3, 1])
    assert found.y == approx([0, 0.5, 1, 1])
    assert found.threshold.tolist() == [math.inf, 3.0, 2.0, 1.0]


@settings(deadline=None)
@given(ROWS)
def test_the_curves_are_those_of_scikit_learn(rows):
    theirs = pytest.importorskip("sklearn.metrics")
    scores, happened, weights = columns(rows)
    if happened.all() or not happened.any():
        return
    found = roc_curve(scores, happened, weights)
    x, y, threshold = theirs.roc_curve(happened, scores, sample_weight=weights, drop_intermediate=False)
    assert (found.x, found.y, found.threshold) == (approx(x), approx(y), approx(threshold))
    found = precision_recall(scores, happened, weights)
    y, x, threshold = theirs.precision_recall_curve(happened, scores, sample_weight=weights)
    assert (found.x, found.y, found.threshold) == (approx(x[-2::-1]), approx(y[-2::-1]), approx(threshold[::-1]))
    assert average_precision(scores, happened, weights) == approx(
        theirs.average_precision_score(happened, scores, sample_weight=weights)
    )
    said = murphy(scores, happened, weights).brier
    assert said == approx(theirs.brier_score_loss(happened, scores, sample_weight=weights))


@settings(deadline=None)
@given(ROWS)
def test_the_area_below_is_the_auc(rows):
    scores, happened, weights = columns(rows)
    x, y, _ = roc_curve(scores, happened, weights)
    area = float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum())
    assert area == approx(auc(scores, happened, weights), nan_ok=True)


def test_lift_by_hand():
    """Ten rows, two events: the best row is one: 1 / .2. Among 4 equals at the top 2 are: 2/4 / .2. Weight 0 is not there."""
    happened = np.arange(10) >= 8
    assert lift(np.arange(10.0), happened, np.ones(10)) == approx(5.0)
    assert lift(np.minimum(np.arange(10.0), 6), happened, np.ones(10)) == approx(2.5)
    assert lift(-np.arange(10.0), happened, np.ones(10)) == 0.0
    assert lift(np.arange(10.0), happened, np.ones(10), top=0.4) == approx(2.5)
    assert lift(np.arange(11.0), np.arange(11) >= 8, np.r_[np.ones(10), 0.0]) == approx(5.0)


@settings(deadline=None)
@given(ROWS, st.randoms(use_true_random=False))
def test_lift_knows_no_order_of_rows_and_weight_is_repetition(rows, random):
    scores, happened, weights = columns(rows)
    order = np.array(random.sample(range(len(scores)), len(scores)))
    expected = lift(scores, happened, weights)
    assert lift(scores[order], happened[order], weights[order]) == approx(expected, nan_ok=True)
    times = weights.astype(int)
    assert lift(scores.repeat(times), happened.repeat(times), np.ones(times.sum())) == approx(expected, nan_ok=True)
    assert lift(np.zeros(len(scores)), happened, weights) == approx(1.0 if happened.any() else math.nan, nan_ok=True)


def test_without_a_class_shares_are_unknown_and_without_weight_there_is_nothing():
    scores, none = np.array([0.1, 0.2]), np.zeros(2, bool)
    assert np.isnan(roc_curve(scores, none, np.ones(2)).y[1:]).all()
    assert math.isnan(average_precision(scores, none, np.ones(2))) and math.isnan(lift(scores, none, np.ones(2)))
    for measure in (ece, murphy, reliability, roc_curve, lift):
        with pytest.raises(ValueError, match="no row has weight"):
            measure(scores, none, np.zeros(2))
        with pytest.raises(ValueError, match="1 of 2 rows"):
            measure(np.array([0.1, math.nan]), none, np.ones(2))
