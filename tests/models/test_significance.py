"""p-values, the deflated Sharpe ratio and the power of an AUC, against published answers, exact draws and simulation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import approx

from spymaster_assets.models.metrics import auc, day_bootstrap
from spymaster_assets.models.significance import (
    auc_error,
    auc_power,
    deflated_sharpe,
    gain_p_value,
    holm,
    least_auc,
    power_statement,
    rows_for_auc,
)

CHANCES = st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.01, 0.5, 1.0])), min_size=0, max_size=12)


# A family of tests


def test_holm_by_hand():
    """Of .01, .04, .03, .005: 4 · .005, 3 · .01, 2 · .03, and .04 after it: no less than .06."""
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.7, 0.4])) == approx([0.8, 0.8])
    assert holm(np.array([0.6, 0.6, 0.6])) == approx([1.0, 1.0, 1.0])


@settings(deadline=None)
@given(CHANCES, st.floats(0.001, 0.999))
def test_holm_rejects_what_stepping_down_rejects(chances, level):
    """The procedure itself: the smallest against level / k, the next against level / (k - 1), until one fails."""
    chances = np.array(chances)
    rejected = np.zeros(len(chances), bool)
    for step, place in enumerate(np.argsort(chances, kind="stable")):
        if chances[place] * (len(chances) - step) > level:
            break
        rejected[place] = True
    assert (holm(chances) <= level).tolist() == rejected.tolist()


def test_holm_keeps_the_error_of_the_family():
    """Ten true null hypotheses: any rejected at .05 in at most .05 of 4,000 families, and not far fewer: 1 - .995^10 = .0489."""
    chances = np.random.default_rng(1).random((4000, 10))
    assert np.mean([(holm(one) <= 0.05).any() for one in chances]) == approx(0.0489, abs=3 * 0.0034)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan])
def test_what_is_no_p_value_is_refused(wrong):
    with pytest.raises(ValueError, match="p-values"):
        holm(np.array([0.5, wrong]))


# A gain, by whole dates


def test_the_p_value_is_the_share_of_all_possible_draws():
    """Four dates of unequal weight have 256 equally likely draws; 100,000 of them, three errors."""
    gains, weights, days = np.array([1.0, 3.0, -2.0, 0.5, 4.0]), np.array([1.0, 1.0, 2.0, 1.0, 0.5]), np.array([7, 7, 9, 12, 30])
    sums = np.array([4.0, -4.0, 0.5, 2.0])
    exact = np.mean([sums[list(draw)].sum() <= 0 for draw in itertools.product(range(4), repeat=4)])
    assert 0.1 < exact < 0.4
    assert gain_p_value(gains, weights, days, draws=100_000) == approx(exact, abs=3 * math.sqrt(exact * (1 - exact) / 100_000))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(-0.1, 0.5))
def test_it_is_below_a_fortieth_where_the_interval_lies_above_zero(seed, mean):
    rng = np.random.default_rng(seed)
    days = rng.integers(0, 20, 100)
    gains, weights = rng.normal(mean, 1.0, 100) + rng.normal(size=20)[days] * 0.3, rng.random(100)
    low, chance = day_bootstrap(gains, weights, days, seed=seed).low, gain_p_value(gains, weights, days, seed=seed)
    if abs(chance - 0.025) > 0.001:  # between two draws the interval's end is interpolated
        assert (low > 0) == (chance < 0.025)


def test_it_is_as_small_as_it_says_where_nothing_is_gained():
    """600 samples of 60 normal dates: .05 below .05, three errors of .009 and .004 for the percentile's narrowness."""
    rng = np.random.default_rng(2)
    found = []
    for seed in range(600):
        gains = rng.normal(size=60).repeat(4) + rng.normal(size=240)
        found.append(gain_p_value(gains, np.ones(240), np.arange(60).repeat(4), draws=400, seed=seed))
    assert np.mean(np.array(found) < 0.05) == approx(0.054, abs=0.027)
    assert np.mean(found) == approx(0.5, abs=0.05)


def test_no_p_value_is_zero_and_one_date_tells_nothing():
    days = np.arange(10).repeat(2)
    assert gain_p_value(np.ones(20), np.ones(20), days, draws=999) == 1 / 1000
    assert gain_p_value(-np.ones(20), np.ones(20), days, draws=999) == 1.0
    assert gain_p_value(np.ones(20), np.ones(20), np.zeros(20)) == 1.0
    assert gain_p_value(np.ones(20), (days == 3) * 1.0, days) == 1.0
    with pytest.raises(ValueError, match="1 of 2 values"):
        gain_p_value(np.array([1.0, math.inf]), np.ones(2), np.arange(2))


# The best of many


def test_the_worked_example_of_bailey_and_lopez_de_prado():
    """Annual Sharpe ratio 2.5 over 1250 dates of 250 a year, 100 trials of variance .5, skew -3, kurtosis 10: .9004.

    Only 46 trials make .9505 of it, and with normal returns 88 do.
    """
    daily = 2.5 / math.sqrt(250)
    assert deflated_sharpe(daily, 1250, -3.0, 10.0, 100, 0.5 / 250) == approx(0.9004, abs=5e-5)
    assert deflated_sharpe(daily, 1250, -3.0, 10.0, 46, 0.5 / 250) == approx(0.9505, abs=5e-5)
    assert deflated_sharpe(daily, 1250, 0.0, 3.0, 88, 0.5 / 250) == approx(0.9505, abs=5e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 200), st.floats(0.0, 0.05))
def test_it_is_purgedcvs(seed, trials, variance):
    purgedcv, stats = pytest.importorskip("purgedcv"), pytest.importorskip("scipy.stats")
    returns = np.random.default_rng(seed).standard_t(6, 300) * 0.01 + 0.001
    sharpe = returns.mean() / returns.std(ddof=1)
    found = deflated_sharpe(sharpe, 300, stats.skew(returns), stats.kurtosis(returns, fisher=False), trials, variance)
    assert found == approx(purgedcv.deflated_sharpe_ratio(returns, trials, variance), abs=0.002)


def test_the_luck_of_the_best_of_many_is_that_of_normal_draws():
    """The mean of the best of 100 worthless ratios has half a chance. Their formula is .023 deviations above it: .47."""
    best = np.random.default_rng(3).normal(size=(20_000, 100)).max(axis=1).mean() * 0.1
    assert deflated_sharpe(best, 1000, 0.0, 3.0, 100, 0.01) == approx(0.5, abs=0.04)
    assert deflated_sharpe(best, 1000, 0.0, 3.0, 50, 0.01) > 0.7
    with pytest.raises(ValueError, match="two or more"):
        deflated_sharpe(0.1, 100, 0.0, 3.0, 1, 0.1)


# Power


def test_the_error_of_an_auc_is_that_of_mann_and_whitney_without_a_difference():
    """Exactly: sqrt((m + n + 1) / (12 m n))."""
    assert auc_error(0.5, 100, 0.4) == approx(math.sqrt(101 / (12 * 40 * 60)))


@pytest.mark.parametrize(("ratio", "share"), [(2.0, 0.5), (4.0, 0.3)])
def test_the_error_of_an_auc_is_exact_for_exponential_scores(ratio, share):
    """Means in a ratio r: AUC r / (1 + r), the case from which the formula comes. Deviation of 4,000 samples of 60 rows."""
    rng, positive = np.random.default_rng(5), np.arange(60) < 60 * share
    found = [auc(rng.exponential(size=60) * np.where(positive, ratio, 1.0), positive, np.ones(60)) for _ in range(4000)]
    assert np.mean(found) == approx(ratio / (1 + ratio), abs=0.005)
    assert np.std(found) == approx(auc_error(ratio / (1 + ratio), 60, share), rel=0.04)


def test_the_rows_that_the_design_states():
    """About 830 and 210 are one-sided at 5 % with 80 % power; two-sided they would be 1,040 and 260."""
    assert rows_for_auc(0.55) == approx(830, rel=0.02)
    assert rows_for_auc(0.60) == approx(210, rel=0.04)
    assert (rows_for_auc(0.55, level=0.025), rows_for_auc(0.60, level=0.025)) == (approx(1040, rel=0.02), approx(260, rel=0.02))
    normal = ((1.6449 + 0.8416) ** 2 / 3 / 0.05**2, (1.6449 + 0.8416) ** 2 / 3 / 0.1**2)
    assert (rows_for_auc(0.55), rows_for_auc(0.60)) == (approx(normal[0], rel=0.01), approx(normal[1], rel=0.02))


@settings(max_examples=40, deadline=None)
@given(st.floats(0.51, 0.95), st.floats(0.2, 0.8), st.floats(0.01, 0.2), st.floats(0.5, 0.95))
def test_these_rows_suffice_and_one_fewer_does_not(true, share, level, power):
    rows = rows_for_auc(true, share, level, power)
    assert auc_power(true, rows, share, level) >= power
    assert rows == 4 or auc_power(true, rows - 1, share, level) < power
    if rows > 20:
        assert least_auc(rows, share, level, power) == approx(true, abs=0.02)


def test_that_many_rows_find_it_as_often_as_they_say():
    """Normal scores 1.4142 · z(.60) apart, rows_for_auc(.60) rows, half of each: found in .80 of 2,000 samples, three errors."""
    rows, found = rows_for_auc(0.60), 0
    rng, positive = np.random.default_rng(4), np.arange(rows) % 2 == 0
    for _ in range(2000):
        scores = rng.normal(size=rows) + 0.35828 * positive
        found += auc(scores, positive, np.ones(rows)) > 0.5 + 1.6449 * auc_error(0.5, rows)
    assert found / 2000 == approx(0.80, abs=0.027)


def test_the_sentence():
    assert power_statement(512.3) == (
        "With 512 effective resolved test rows, a one-sided test at 5% has 80% power against an AUC of 0.563 or more; "
        "about 830 for an AUC of 0.55 and 210 for an AUC of 0.60 would be needed."
    )
    assert power_statement(2.0) == "2 effective resolved test rows tell nothing about an AUC."
    assert least_auc(4) == 1.0
    for wrong in (0.5, 1.0):
        with pytest.raises(ValueError, match="AUC"):
            rows_for_auc(wrong)
