"""Sets against quantiles by hand, the exact law of split conformal coverage, and MAPIE."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import approx

from spymaster_assets.models.conformal import Conformal, abstains, coverage, fit_conformal
from spymaster_assets.states import BOUNCE, BREAK, CENSORED, CHOP
from tests.models.worlds import drawn, tilted


def made(seed, n, strength=1.0):
    """(probabilities that are true, outcomes): break and bounce are told apart with a strength."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    probabilities = tilted(np.full((n, 3), 1 / 3), strength * np.column_stack([x, -x, rng.normal(size=n) * 0.3]))
    return probabilities, drawn(probabilities, rng)


def said(chances):
    """(n, 3): what BREAK was given, the rest halved."""
    chances = np.array(chances)
    return np.column_stack([chances, (1 - chances) / 2, (1 - chances) / 2])


def test_the_threshold_by_hand():
    """Scores .1 to .9 of nine breaks: k = ceil(10 · .9) = 9, so .9; for .75: ceil(7.5) = 8, so .8; eight are too few for .9."""
    probabilities, breaks = said(np.arange(9, 0, -1) / 10), np.full(9, BREAK)
    first = np.zeros(9, int)
    assert fit_conformal(probabilities, breaks, first).thresholds == approx((0.9, math.inf, math.inf, math.inf))
    assert fit_conformal(probabilities, breaks, first, 0.75).thresholds[0] == approx(0.8)
    assert fit_conformal(probabilities[:8], breaks[:8], first[:8]).thresholds[0] == math.inf
    assert fit_conformal(probabilities, breaks, np.repeat([2, 0, 1], 3), 0.5).counts == (3, 3, 3, 0)


@pytest.mark.parametrize("n", [9, 19, 29, 49, 69, 99, 199, 999])
def test_rounding_makes_no_place_higher(n):
    """(n + 1) · .9 is a whole number k: the k-th score, not the next."""
    scores = (np.arange(n) + 1) / (n + 2)
    found = fit_conformal(said(1 - scores), np.full(n, BREAK), np.zeros(n, int))
    assert found.thresholds[0] == approx(scores[(n + 1) * 9 // 10 - 1], abs=1e-12)


def test_a_set_holds_what_conforms():
    one = Conformal(0.9, (0.65, 0.4, math.inf), (100, 100, 3))
    probabilities = np.array([[0.5, 0.35, 0.15], [0.5, 0.35, 0.15], [0.5, 0.35, 0.15], [0.2, 0.1, 0.7]])
    found = one.sets(probabilities, np.array([0, 1, 2, 1]))
    assert found.tolist() == [[True, True, False], [False, False, False], [True, True, True], [False, False, True]]
    assert abstains(found).tolist() == [True, True, True, False]


def test_only_a_set_that_decides_between_break_and_bounce_or_says_chop_speaks():
    every = np.array([[bool(n & 4), bool(n & 2), bool(n & 1)] for n in range(8)])
    for held, silent in zip(every, abstains(every), strict=True):
        classes = {outcome for outcome in (BREAK, BOUNCE, CHOP) if held[outcome]}
        assert silent == (classes >= {BREAK, BOUNCE} or not classes)


def test_coverage_by_hand():
    sets = np.array([[True, True, False], [True, False, False], [False, False, True], [False, False, False]])
    found = coverage(sets, np.array([BREAK, BOUNCE, CHOP, CHOP]), np.array([0, 0, 0, 2]))
    assert found[0] == approx((3, 2 / 3, 1 / 3))
    assert found[1][0] == 0 and np.isnan(found[1][1:]).all()
    assert found[2] == (1, 0.0, 1.0)


def test_coverage_has_the_law_of_the_theory():
    """Over calibration sets of n it is Beta(k, n + 1 - k) (Vovk 2012): n = 99, k = 90: mean .9, deviation .0299. 400 of them."""
    new, happened = made(1, 4000)
    found = []
    for seed in range(2, 402):
        one = fit_conformal(*made(seed, 99), np.zeros(99, int))
        found.append(coverage(one.sets(new, np.zeros(4000, int)), happened, np.zeros(4000, int))[0].covered)
    assert np.mean(found) == approx(0.9, abs=0.012)  # the new rows' own error, .0047, and that of the mean
    assert np.std(found) == approx(math.sqrt(0.9 * 0.1 / 101), rel=0.2)


def test_each_group_is_covered_though_they_differ():
    """A group of strong odds beside one of weak ones and one of odds that are wrong: .9 each, which one threshold misses."""
    parts = [made(1, 20_000, 3.0), made(2, 20_000, 0.3), made(3, 20_000, 1.0), made(4, 20_000, 2.0)]
    wrong = parts[2][0][:, [BOUNCE, BREAK, CHOP]]
    probabilities = np.concatenate([parts[0][0], parts[1][0], wrong, parts[3][0]])
    outcomes, groups = np.concatenate([part[1] for part in parts]), np.arange(4).repeat(20_000)
    half = np.arange(80_000) % 2 == 0
    one = fit_conformal(probabilities[half], outcomes[half], groups[half])
    for found in coverage(one.sets(probabilities[~half], groups[~half]), outcomes[~half], groups[~half]):
        assert found.covered == approx(0.9, abs=0.012)
    pooled = fit_conformal(probabilities[half], outcomes[half], np.zeros(40_000, int))
    same = coverage(pooled.sets(probabilities[~half], np.zeros(40_000, int)), outcomes[~half], groups[~half])
    assert max(abs(found.covered - 0.9) for found in same) > 0.05


def test_stronger_odds_abstain_less():
    shares = []
    for strength in (0.3, 1.0, 3.0):
        probabilities, outcomes = made(4, 8000, strength)
        groups = np.zeros(8000, int)
        one = fit_conformal(probabilities[:4000], outcomes[:4000], groups[:4000])
        shares.append(coverage(one.sets(probabilities, groups)[4000:], outcomes[4000:], groups[4000:])[0].abstained)
    assert shares[0] > 0.4 > shares[1] > 0.2 > 0.1 > shares[2]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60), st.floats(0.5, 0.97))
def test_at_least_the_level_of_the_calibration_rows_themselves_is_covered(seed, n, level):
    """And no more than it takes: without the last row of it, too few. Sets grow with the level; a row's is the same alone."""
    probabilities, outcomes = made(seed, n)
    groups = np.random.default_rng(seed).integers(0, 3, n)
    one, more = fit_conformal(probabilities, outcomes, groups, level), fit_conformal(probabilities, outcomes, groups, 0.98)
    sets = one.sets(probabilities, groups)
    for group, found in enumerate(coverage(sets, outcomes, groups)):
        if found.rows:
            needed = level * (found.rows + 1)
            assert found.covered * found.rows >= min(needed, found.rows) - 1e-6
            assert found.covered * found.rows <= needed + 1 or one.thresholds[group] == math.inf
    assert (sets <= more.sets(probabilities, groups)).all()
    alone = np.concatenate([one.sets(probabilities[i : i + 1], groups[i : i + 1]) for i in range(n)])
    assert (alone == sets).all()


def test_it_is_read_back_bit_for_bit_and_infinity_is_null():
    probabilities, outcomes = made(5, 104)
    one = fit_conformal(probabilities, outcomes, np.r_[np.zeros(100, int), np.ones(4, int)])
    told = json.dumps(one.as_json(), allow_nan=False)
    assert json.loads(told)["thresholds"][1:] == [None, None, None]
    assert Conformal.from_json(json.loads(told)) == one
    for wrong in (np.full(104, 5), np.full(104, -1)):
        for use in (lambda groups: fit_conformal(probabilities, outcomes, groups), lambda groups: one.sets(probabilities, groups)):
            with pytest.raises(ValueError, match="groups"):
                use(wrong)
    with pytest.raises(ValueError, match="outcomes"):
        fit_conformal(probabilities, np.full(104, CENSORED), np.zeros(104, int))


@pytest.mark.parametrize(("seed", "n", "strength"), [(1, 37, 0.3), (2, 200, 1.0), (3, 1000, 4.0), (4, 999, 8.0)])
def test_the_sets_are_those_of_mapie(seed, n, strength):
    classification = pytest.importorskip("mapie.classification")
    base = pytest.importorskip("sklearn.base")

    class Told(base.ClassifierMixin, base.BaseEstimator):
        """A fitted classifier whose features are its answers."""

        classes_ = np.arange(3)

        def __sklearn_is_fitted__(self):
            return True

        def fit(self, x, y):
            return self

        def predict_proba(self, x):
            return x

        def predict(self, x):
            return x.argmax(axis=1)

    probabilities, outcomes = made(seed, n + 500, strength)
    groups = np.zeros(n + 500, int)
    theirs = classification.SplitConformalClassifier(Told(), confidence_level=0.9, conformity_score="lac", prefit=True)
    theirs.conformalize(probabilities[:n], outcomes[:n])
    sets = fit_conformal(probabilities[:n], outcomes[:n], groups[:n]).sets(probabilities[n:], groups[n:])
    assert (sets == theirs.predict_set(probabilities[n:])[1][:, :, 0]).all()
    assert 0.2 < sets.mean() < 0.95
