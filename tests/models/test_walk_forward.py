"""Folds look back only, and a model that could look ahead is caught."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spymaster_assets.models.walk_forward import folds, out_of_sample
from tests.models.worlds import NS, world


def spy(rows, weights):
    """A "model" that is what it learnt from."""
    return rows, weights


def shares(model, rows):
    """The weighted class shares of what it learnt from, for all rows."""
    learnt, weights = model
    counts = np.bincount(learnt["outcome_4min"], weights, minlength=3)
    return np.tile(counts / counts.sum(), (len(rows), 1))


def test_folds_by_hand():
    """Seven dates, three before the first test, two a fold, one embargoed: test 3-4 on 0-1, 5-6 on 0-3."""
    found = [(train.tolist(), test.tolist()) for train, test in folds(np.arange(10, 17), 3, 2)]
    assert found == [([0, 1], [3, 4]), ([0, 1, 2, 3], [5, 6])]


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(1, 10), st.integers(1, 9), st.integers(0, 4))
def test_every_date_is_tested_once_from_earlier_dates(count, more, step, embargo):
    first = embargo + more
    tested, before = [], 0
    for train, test in folds(np.arange(count), first, step, embargo):
        assert train.tolist() == list(range(test[0] - embargo))  # all of them, and a gap of `embargo` dates
        assert len(train) > before
        before = len(train)
        tested += test.tolist()
    assert tested == list(range(first, count))


@pytest.mark.parametrize(("days", "first", "step", "embargo"), [([1, 3, 2], 2, 1, 1), ([1, 1, 2], 2, 1, 1), ([1, 2, 3], 1, 1, 1),
                                                                ([1, 2, 3], 2, 0, 1), ([1, 2, 3], 2, 1, -1)])  # fmt: skip
def test_folds_that_make_no_sense_are_refused(days, first, step, embargo):
    with pytest.raises(ValueError, match=r"expected|rise"):
        next(folds(np.array(days), first, step, embargo))


def test_predictions_are_of_earlier_dates_in_any_order_of_rows():
    """Class shares of the dates before, made by a loop over dates; NaN before the first test date."""
    rows, days, _ = world(12, 5, seed=1)
    weights = np.random.default_rng(1).random(60)
    order = np.random.default_rng(2).permutation(60)
    found = np.empty((60, 3))
    found[order] = out_of_sample(rows[order], days[order], weights[order], spy, shares, first=4, step=1)
    for day in range(12):
        learnt = days < day - 1
        counts = [weights[learnt & (rows["outcome_4min"] == outcome)].sum() for outcome in range(3)]
        expected = np.array(counts) / sum(counts) if day >= 4 else np.full(3, np.nan)
        np.testing.assert_allclose(found[days == day], np.tile(expected, (5, 1)), rtol=1e-12)


def test_later_outcomes_and_those_of_the_embargo_change_nothing_before_them():
    """Every byte of the predictions up to a date stays if that date, the one before it and all later ones turn out otherwise."""
    rows, days, _ = world(20, 6, seed=3)
    other = rows.copy()
    other["outcome_4min"][days >= 10] = 2
    plan = {"first": 5, "step": 3}
    before, after = (out_of_sample(these, days, np.ones(120), spy, shares, **plan) for these in (rows, other))
    same = (before == after).all(axis=1) | np.isnan(before).all(axis=1)
    assert same[days < 11].all()  # the fold of 11, 12, 13 trains up to 9
    assert same[days < 14].all()
    assert not same[days >= 14].any()


def test_dates_that_are_named_wrongly_are_caught():
    """Rows of a later date that claim an earlier one: their labels end after the decisions that are tested."""
    rows, days, _ = world(8, 4, seed=4)
    days[days == 7] = 0
    with pytest.raises(ValueError, match="a label of 1 or before ends after a decision of 3 or later"):
        out_of_sample(rows, days, np.ones(32), spy, shares, first=3, step=1)


def test_a_label_that_reaches_into_the_test_dates_is_caught():
    rows, days, _ = world(8, 4, seed=5)
    rows["t_label_end"][days == 2] += 3 * 86_400 * NS
    with pytest.raises(ValueError, match="ends after a decision"):
        out_of_sample(rows, days, np.ones(32), spy, shares, first=3, step=1, embargo=1)
