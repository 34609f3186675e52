"""Distances of samples against closed forms and scipy; and the flag of a new regime, on normal dates and in simulated worlds."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import approx

from spymaster_assets.models.drift import LIMIT, REFERENCE, kolmogorov_smirnov, psi, regime, rolling
from spymaster_assets.models.metrics import log_losses
from spymaster_assets.models.weights import episode_weights, episodes_of
from spymaster_assets.simulator.fast import fast_dates
from spymaster_assets.simulator.world import WORLDS
from tests.simulator.test_science import geometry_of, told, walked

VALUES = st.lists(
    st.one_of(st.integers(-300, 300).map(lambda n: n / 64), st.sampled_from([0.0, 1.0, math.nan])), min_size=1, max_size=60
).map(np.array)
SHIFTED = 90  # number of the date from which the world SHIFT is another


# Features


def test_psi_by_hand():
    """Two bins of a half each, then of .2 and .8: .3 ln 1.6 + .3 ln 2.5. One in four unknown where none was: floored at 1e-4."""
    reference = np.arange(10.0)
    now = np.r_[np.arange(2.0), np.arange(5.0, 9.0), np.arange(5.0, 9.0)]
    assert psi(reference, now, 2) == approx(0.3 * math.log(1.6) + 0.3 * math.log(2.5))
    gone = np.array([1.0, 2.0, 6.0, math.nan])
    unknown = (0.25 - 1e-4) * math.log(0.25 / 1e-4)
    assert psi(reference, gone, 2) == approx(0.25 * math.log(2) + unknown)


def test_a_value_that_is_frequent_is_a_bin():
    """A flag that is 1 in .05, then in .2: (.15) ln 4 + (-.15) ln (.8 / .95); the same whichever way it is coded."""
    before, after = np.arange(100) < 5, np.arange(100) < 20
    expected = 0.15 * math.log(4) - 0.15 * math.log(0.8 / 0.95)
    for one in (lambda flags: flags * 1.0, lambda flags: 1.0 - flags, lambda flags: np.where(flags, 7.0, math.nan)):
        assert psi(one(before), one(after)) == approx(expected)


def test_psi_of_the_same_world_is_what_theory_says():
    """9 · (1/500 + 1/300) = .048 for ten bins of 500 and 300 rows (chi-squared); a shift of a half deviation has about .25."""
    rng = np.random.default_rng(1)
    found = [psi(rng.normal(size=500), rng.normal(size=300)) for _ in range(500)]
    assert np.mean(found) == approx(0.048, abs=0.004)
    assert psi(rng.normal(size=100_000), rng.normal(0.5, 1.0, 100_000)) == approx(0.25, abs=0.03)


@settings(deadline=None)
@given(VALUES, VALUES)
def test_distances_know_no_unit(first, second):
    assert psi(first, first) == 0.0
    assert psi(first, second) >= 0.0
    assert psi(4 * first, 4 * second, 5) == psi(first, second, 5)
    assert kolmogorov_smirnov(first, second) == approx(kolmogorov_smirnov(4 * second, 4 * first), nan_ok=True)


def test_without_rows_a_distance_is_unknown():
    nothing, unknown, some = np.zeros(0), np.full(3, math.nan), np.arange(3.0)
    assert math.isnan(psi(nothing, some)) and math.isnan(psi(some, nothing))
    assert np.isnan(kolmogorov_smirnov(unknown, some)).all() and np.isnan(kolmogorov_smirnov(some, nothing)).all()
    assert psi(unknown, unknown) == 0.0 and psi(unknown, some) > 5


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(30, 800), st.integers(30, 800), st.floats(0, 0.6))
def test_kolmogorov_smirnov_is_scipys(seed, first, second, shift):
    """The distance exactly; the chance, the limit's with a correction, within .04 of scipy's asymptotic one, of small ones .01."""
    stats, special = pytest.importorskip("scipy.stats"), pytest.importorskip("scipy.special")
    rng = np.random.default_rng(seed)
    reference, now = np.r_[rng.normal(size=first), math.nan], rng.normal(shift, 1.1, second)
    found, theirs = kolmogorov_smirnov(reference, now), stats.ks_2samp(reference[:-1], now, method="asymp")
    assert found.distance == approx(theirs.statistic, abs=1e-12)
    assert found.chance == approx(theirs.pvalue, abs=0.01 if theirs.pvalue < 0.1 else 0.04)
    size = math.sqrt(first * second / (first + second))
    assert found.chance == approx(special.kolmogorov((size + 0.12 + 0.11 / size) * found.distance), abs=1e-12)


# By date


def test_rolling_by_hand():
    """Dates 3, 5, 9 with means 1, 4, 6 of weights 2, 1, 1; date 7 has none. Two at a time: 1, 2, 5."""
    values, weights, days = np.array([6.0, 0.0, 2.0, 4.0, 99.0]), np.array([1.0, 1, 1, 1, 0]), np.array([9, 3, 3, 5, 7])
    dates, means = rolling(values, weights, days, 2)
    assert dates.tolist() == [3, 5, 9]
    assert means == approx([1.0, 2.0, 5.0])
    assert rolling(values, weights, days, 1)[1] == approx([1.0, 4.0, 6.0])
    assert rolling(values, weights, days, 99)[1][-1] == approx(np.average(values, weights=weights))
    assert rolling(np.array([1.0, math.inf, 2.0]), np.ones(3), np.arange(3), 1)[1].tolist() == [1.0, math.inf, 2.0]


# A new regime


def plain(means):
    """The watch over one row a date."""
    return regime(means, np.ones(len(means)), np.arange(len(means)))


def test_the_sum_by_hand():
    """25 dates of ±1 (mean .04, squared deviations 24.96 of 24), then ones that lack 2.04 and more of their deviations."""
    before = np.r_[np.tile([1.0, -1.0], 12), 1.0]
    spread = math.sqrt((25 - 25 * 0.04**2) / 24 * (1 + 1 / 25))
    found = plain(np.r_[before, -2.0])
    assert found.excess[:REFERENCE].tolist() == [0.0] * 25
    assert found.excess[25] == approx((0.04 + 2.0) / spread - 0.5)
    assert found.flagged is None
    assert plain(np.r_[before, -1e9]).excess[25] == 2.5  # one date counts three deviations, and no more
    assert plain(np.r_[before, -20.0, -20.0, -20.0, -20.0, -20.0]).flagged == 27
    assert plain(np.r_[before, 1e3, 1e3, 1e3]).excess.tolist() == [0.0] * 28  # doing better is no new regime


def test_a_date_is_the_weighted_mean_of_its_rows_under_its_own_name():
    rng = np.random.default_rng(2)
    gains, weights, numbers = rng.normal(size=400), rng.random(400), rng.integers(0, 60, 400)
    gains[numbers >= 45] -= 3.0
    dates = np.datetime64("2025-01-06") + numbers
    means = np.array([np.average(gains[numbers == one], weights=weights[numbers == one]) for one in np.unique(numbers)])
    found = regime(np.r_[gains, 1e9], np.r_[weights, 0.0], np.r_[dates, np.datetime64("2025-01-01")])
    assert found.excess == approx(plain(means).excess)
    assert found.flagged == np.unique(dates)[plain(means).flagged] and found.flagged >= np.datetime64("2025-01-06") + 45


def test_a_gain_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="1 of 30 gains"):
        plain(np.r_[np.zeros(29), -math.inf])


def test_constant_gains_and_few_dates_raise_no_flag():
    assert plain(np.zeros(60)).excess.tolist() == [0.0] * 60
    assert plain(-np.arange(REFERENCE * 1.0)).flagged is None
    assert plain(np.zeros(0)).flagged is None


def test_flags_come_as_seldom_and_as_soon_as_theory_says():
    """Once in 938 normal dates (Siegmund 1985): in 234 of 1,000 stretches of 250; three errors. 1.5 deviations: median 6 dates."""
    rng = np.random.default_rng(3)
    false = [plain(rng.normal(size=REFERENCE + 250)).flagged is not None for _ in range(150)]
    assert np.mean(false) == approx(0.234, abs=0.1)
    delays = []
    for _ in range(150):
        means = rng.normal(size=100)
        means[60:] -= 1.5
        flagged = plain(means).flagged
        delays.append(100 if flagged is None else flagged - 59)
    delays = np.array(delays)
    assert 4 <= np.median(delays[delays > 0]) <= 7
    assert np.mean(delays <= 10) > 0.85


def watched(name, seed, dates):
    """The watch over a regression's gains in a world, walked forward from date 40 on; every episode weighs one."""
    rows, odds = walked(told(fast_dates(WORLDS[name], seed, range(dates), shift=SHIFTED)))
    outcomes = rows["outcome_4min"].astype(int)
    gains = log_losses(geometry_of(rows), outcomes) - log_losses(odds, outcomes)
    weights = episode_weights(rows["t_label_start"], rows["t_label_end"], episodes_of(rows, rows["date"]))
    return regime(gains, weights, rows["date"])


def test_a_shift_of_the_world_is_flagged_within_ten_dates_and_nothing_before():
    assert SHIFTED <= watched("SHIFT", 1, SHIFTED + 10).flagged < SHIFTED + 10


def test_a_world_without_forces_raises_no_flag():
    found = watched("NULL", 1, SHIFTED)
    assert found.flagged is None and 0 < found.excess.max() < LIMIT


@pytest.mark.slow
def test_shifts_of_many_worlds_are_flagged_within_ten_dates_and_worlds_that_stay_hardly_ever():
    """Of 24 seeds: all within ten dates, and neither of the others in 55 dates each. Stated: 22 of them, and 4 of 48."""
    flagged = {name: [watched(name, seed, 120).flagged for seed in range(24)] for name in ("SHIFT", "LINEAR", "NULL")}
    print(flagged)
    assert sum(one is not None and SHIFTED <= one < SHIFTED + 10 for one in flagged["SHIFT"]) >= 22
    assert sum(one is not None for one in flagged["LINEAR"] + flagged["NULL"]) <= 4
