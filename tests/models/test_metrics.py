"""Scores against numbers worked out by hand, definitions written as loops, and what theory says of worlds that are known."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import approx

from spymaster_assets.models.metrics import (
    auc,
    break_given_resolved,
    brier,
    brier_scores,
    day_bootstrap,
    log_loss,
    log_losses,
    stratified_auc,
)
from spymaster_assets.states import BOUNCE, BREAK, CENSORED, CHOP

THREE = np.array([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7], [1.0, 0.0, 0.0]])
HAPPENED = np.array([BOUNCE, CHOP, BREAK])
LISTS = st.lists(st.tuples(st.integers(-3, 3), st.booleans(), st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=25)


def naive_auc(scores, positive, weights, strata):
    """Every pair, one by one."""
    won = total = 0.0
    for i, j in itertools.product(range(len(scores)), repeat=2):
        if positive[i] and not positive[j] and strata[i] == strata[j]:
            total += weights[i] * weights[j]
            won += weights[i] * weights[j] * (1.0 if scores[i] > scores[j] else 0.5 if scores[i] == scores[j] else 0.0)
    return won / total if total else math.nan


def columns(rows):
    return tuple(np.array(column) for column in zip(*rows, strict=True))


# Proper scores


def test_log_loss_and_brier_by_hand():
    """-ln .25, -ln .7, 0; .25 + .5625 + .0625, .01 + .04 + .09, 0."""
    assert log_losses(THREE, HAPPENED) == approx([math.log(4), math.log(10 / 7), 0.0])
    assert brier_scores(THREE, HAPPENED) == approx([0.875, 0.14, 0.0])
    weights = np.array([1.0, 2.0, 1.0])
    assert log_loss(THREE, HAPPENED, weights) == approx((math.log(4) + 2 * math.log(10 / 7)) / 4)
    assert brier(THREE, HAPPENED, weights) == approx((0.875 + 0.28) / 4)


def test_what_was_impossible_costs_infinitely_much():
    assert log_losses(THREE[2:], np.array([CHOP])) == approx([math.inf])


@settings(deadline=None)
@given(st.tuples(*[st.floats(0.05, 1)] * 3), st.tuples(*[st.floats(0.05, 1)] * 3))
def test_truth_is_the_best_answer(true, said):
    """Both scores are proper: on average over the truth, saying anything else costs more."""
    true, said = np.array(true) / sum(true), np.array(said) / sum(said)
    for score in (log_losses, brier_scores):
        honest, other = (true @ score(np.tile(answer, (3, 1)), np.arange(3)) for answer in (true, said))
        assert honest <= other + 1e-12


@pytest.mark.parametrize(
    ("probabilities", "outcomes", "words"),
    [
        (THREE[:, :2], HAPPENED, "shape"),
        (THREE[:2], HAPPENED, "shape"),
        (THREE * 1.01, HAPPENED, "no distribution"),
        (np.array([[1.2, -0.2, 0.0]]), HAPPENED[:1], "no distribution"),
        (np.array([[0.5, 0.5, math.nan]]), HAPPENED[:1], "no distribution"),
        (THREE, np.array([BREAK, CENSORED, CHOP]), "outcomes"),
        (THREE, np.array([BREAK, -1, CHOP]), "outcomes"),
    ],
)
def test_what_is_no_probability_or_outcome_is_refused(probabilities, outcomes, words):
    for score in (log_losses, brier_scores):
        with pytest.raises(ValueError, match=words):
            score(probabilities, outcomes)


def test_break_given_resolved_by_hand():
    assert break_given_resolved(np.array([[0.3, 0.1, 0.6], [0.0, 0.0, 1.0], [0.0, 0.5, 0.5]])) == approx([0.75, 0.5, 0.0])


# Ranks


def test_auc_by_hand():
    """Pairs of (3; 1, 2) and (2; 1, 2): won, won, won, tie."""
    assert auc(np.array([3, 2, 2, 1]), np.array([True, True, False, False]), np.ones(4)) == 3.5 / 4
    assert auc(np.array([3, 2, 2, 1]), np.array([True, True, False, False]), np.array([1, 3, 1, 1])) == 6.5 / 8


@settings(deadline=None)
@given(LISTS)
def test_auc_is_the_share_of_pairs(rows):
    scores, positive, weights, strata = columns(rows)
    assert auc(scores, positive, weights) == approx(naive_auc(scores, positive, weights, np.zeros(len(scores))), nan_ok=True)
    by = stratified_auc(scores, positive, weights, strata.astype(float), 1000)  # so many that each value is a stratum
    assert by == approx(naive_auc(scores, positive, weights, strata), nan_ok=True)


@settings(deadline=None)
@given(LISTS, st.randoms(use_true_random=False))
def test_auc_knows_ranks_alone(rows, random):
    """A rising map and the order of rows leave it; the other direction and the other class mirror it; weight is repetition."""
    scores, positive, weights, _ = columns(rows)
    expected = auc(scores, positive, weights)
    order = np.array(random.sample(range(len(scores)), len(scores)))
    assert auc(np.exp(scores / 2) - 7, positive, weights) == approx(expected, nan_ok=True)
    assert auc(scores[order], positive[order], weights[order]) == approx(expected, nan_ok=True)
    assert auc(-scores, positive, weights) == approx(1 - expected, nan_ok=True)
    assert auc(scores, ~positive, weights) == approx(1 - expected, nan_ok=True)
    ones = np.ones(weights.sum())
    assert auc(scores.repeat(weights), positive.repeat(weights), ones) == approx(expected, nan_ok=True)


def test_auc_without_a_pair_is_unknown_and_an_unknown_score_is_refused():
    assert math.isnan(auc(np.arange(3.0), np.ones(3, bool), np.ones(3)))
    assert math.isnan(auc(np.zeros(0), np.zeros(0, bool), np.zeros(0)))
    assert math.isnan(stratified_auc(np.zeros(0), np.zeros(0, bool), np.zeros(0), np.zeros(0)))
    with pytest.raises(ValueError, match="1 of 2 scores"):
        auc(np.array([1.0, math.nan]), np.array([True, False]), np.ones(2))
    with pytest.raises(ValueError, match="1 of 2 rows"):
        stratified_auc(np.ones(2), np.array([True, False]), np.ones(2), np.array([0.5, math.nan]))


def test_stratified_auc_by_hand():
    """Two strata: (.1, .2) with a lost pair that weighs 2, (.6, .7) with a won one of 1; a third, of one class, tells nothing."""
    scores, broke = np.array([1, 2, 6, 5, 9, 9]), np.array([True, False, True, False, True, True])
    geometry, weights = np.array([0.1, 0.2, 0.6, 0.7, 0.95, 0.99]), np.array([2, 1, 1, 1, 5, 5])
    assert stratified_auc(scores, broke, weights, geometry, 3) == approx(1 / 3)
    assert auc(scores, broke, weights) == approx((0 + 0 + 1 + 1 + 10 + 10) / (13 * 2))


def test_strata_hold_equally_many_rows_and_never_split_equal_geometry():
    """Of 100 rows in pairs (2i, 2i + 1), 50 strata let the score decide each pair alone; with equal geometry all pairs count."""
    geometry, broke = np.random.default_rng(1).random(100), np.arange(100) % 2 == 0
    geometry.sort()
    scores = np.where(broke, -np.arange(100.0), -np.arange(100.0) + 1.5)  # lower than its partner's, higher than all later ones
    assert stratified_auc(scores, broke, np.ones(100), geometry) == 0.0
    even = stratified_auc(scores, broke, np.ones(100), np.full(100, 0.5))
    assert even == naive_auc(scores, broke, np.ones(100), np.zeros(100)) == approx(0.5, abs=0.02)


def test_permuted_within_strata_it_is_a_half_on_average_where_raw_auc_is_not():
    """A score that follows geometry: position decides the raw AUC, and nothing the stratified one. 200 permutations, 4 errors."""
    rng = np.random.default_rng(2)
    geometry = (np.arange(2000) + 0.5) / 2000
    broke, strata = rng.random(2000) < geometry, np.arange(2000) // 40
    scores = geometry + rng.normal(size=2000) * 0.1
    found, raw = [], []
    for _ in range(200):
        order = np.lexsort((rng.random(2000), strata))
        found.append(stratified_auc(scores, broke[order], np.ones(2000), geometry))
        raw.append(auc(scores, broke[order], np.ones(2000)))
    assert np.mean(found) == approx(0.5, abs=4 * np.std(found) / math.sqrt(200))
    assert min(raw) > 0.75


def test_geometrys_own_stratified_auc_is_what_varies_within_strata():
    """.51 for a uniform P and 50 strata: 1/600 over the mean of P(1 - P), 1/6. A score that repeats geometry is no better."""
    rng = np.random.default_rng(3)
    geometry = rng.random(200_000)
    broke = rng.random(200_000) < geometry
    assert stratified_auc(geometry, broke, np.ones(200_000), geometry) == approx(0.51, abs=0.004)
    assert auc(geometry, broke, np.ones(200_000)) == approx(5 / 6, abs=0.005)


# Whole dates


def test_the_interval_is_that_of_all_possible_draws():
    """Four dates of unequal weight have 256 equally likely draws: the ends are the quantiles of those."""
    values, weights, days = np.array([1.0, 3.0, -2.0, 0.5, 4.0]), np.array([1.0, 1.0, 2.0, 1.0, 0.5]), np.array([7, 7, 9, 12, 30])
    sums, weight = np.array([4.0, -4.0, 0.5, 2.0]), np.array([2.0, 2.0, 1.0, 0.5])
    drawn = [sums[list(draw)].sum() / weight[list(draw)].sum() for draw in itertools.product(range(4), repeat=4)]
    low, high = np.quantile(drawn, (0.025, 0.975), method="inverted_cdf")
    found = day_bootstrap(values, weights, days, draws=100_000)
    assert found.mean == approx(2.5 / 5.5)
    assert (found.low, found.high) == approx((low, high))


def test_the_interval_of_normal_dates_has_the_width_of_theory():
    """100 dates of 30 equal rows: 3.92 s / 10, s the standard deviation of the dates' means; the 3,000 rows do not shrink it."""
    means = np.random.default_rng(4).normal(0.3, 2.0, 100)
    values, days = means.repeat(30), np.arange(100).repeat(30)
    found = day_bootstrap(values, np.ones(3000), days, draws=20_000)
    assert found.high - found.low == approx(2 * 1.96 * means.std() / 10, rel=0.04)
    assert (found.low + found.high) / 2 == approx(means.mean(), abs=0.02)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """300 samples of 60 normal dates: .95 covered, 3 errors of .0126."""
    rng = np.random.default_rng(5)
    covered = 0
    for seed in range(300):
        values = rng.normal(0.0, 1.0, 60).repeat(4) + rng.normal(size=240)
        found = day_bootstrap(values, np.ones(240), np.arange(60).repeat(4), draws=500, seed=seed)
        covered += found.low <= 0.0 <= found.high
    assert covered / 300 == approx(0.945, abs=0.04)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(-5, 5), st.integers(1, 3), st.integers(0, 5)), min_size=2, max_size=30), st.floats(0.5, 4))
def test_the_interval_keeps_to_sums_of_dates(rows, factor):
    """Names of dates, repetition for weight, and the unit of weights leave it; the mean lies within the extremes of dates."""
    values, weights, days = columns(rows)
    found = day_bootstrap(values, weights, days, draws=200)
    for other in (
        day_bootstrap(values, factor * weights, days * 10 + 3, draws=200),
        day_bootstrap(values.repeat(weights), np.ones(weights.sum()), days.repeat(weights), draws=200),
    ):
        assert other == approx(found, abs=1e-9)
    assert found.mean == approx(np.average(values, weights=weights), abs=1e-12)
    if len(set(days.tolist())) > 1:
        assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9


def test_draws_repeat_with_their_seed_alone():
    values, days = np.random.default_rng(6).normal(size=50), np.arange(50)
    first, again, other = (day_bootstrap(values, np.ones(50), days, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_one_date_knows_no_spread_and_dates_without_weight_do_not_count():
    values, days = np.array([1.0, 2.0, 9.0]), np.array([0, 0, 1])
    assert day_bootstrap(values, np.array([1.0, 1.0, 0.0]), days) == (1.5, -math.inf, math.inf)
    with pytest.raises(ValueError, match="no row has weight"):
        day_bootstrap(values, np.zeros(3), days)
    with pytest.raises(ValueError, match="1 of 3 values"):
        day_bootstrap(np.array([1.0, math.inf, 2.0]), np.ones(3), days)
