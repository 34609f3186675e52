"""Blocks of dates: by hand, their rules as properties, and against purgedcv, with the outer walk beside them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spymaster_assets.models.inner_folds import date_blocks
from spymaster_assets.models.walk_forward import folds


def test_blocks_by_hand():
    """Dates 3, 5, 8, 9, 12 in 2 blocks, one embargoed: (3, 5, 8) on 12, (9, 12) on (3, 5). Rows come in any order."""
    days = np.array([9, 3, 12, 5, 8, 3])
    found = [(train.tolist(), test.tolist()) for train, test in date_blocks(days, 2, 1)]
    assert found == [([2], [1, 3, 4, 5]), ([1, 3, 5], [0, 2])]


@settings(deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=80), st.integers(2, 6), st.integers(0, 3))
def test_every_row_is_tested_once_by_dates_that_are_not_near(days, count, embargo):
    days = np.array(days)
    dates = np.unique(days).tolist()
    tested, sizes = [], []
    try:
        pairs = list(date_blocks(days, count, embargo))
    except ValueError:
        longest = -(-len(dates) // count) + embargo  # at an end; in the middle there are two sides
        middle = longest + embargo if count > 2 else longest
        assert count > len(dates) or middle >= len(dates)
        return
    for train, test in pairs:
        block = np.unique(days[test]).tolist()
        first, last = dates.index(block[0]), dates.index(block[-1])
        assert block == dates[first : last + 1]
        far = dates[: max(0, first - embargo)] + dates[last + 1 + embargo :]
        assert train.tolist() == np.flatnonzero(np.isin(days, far)).tolist()
        tested += test.tolist()
        sizes.append(len(block))
    assert sorted(tested) == list(range(len(days)))
    assert len(sizes) == count and max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("dates", "count", "embargo"), [(5, 1, 0), (5, 6, 0), (5, 2, -1), (4, 2, 2), (0, 2, 0)])
def test_blocks_that_make_no_sense_are_refused(dates, count, embargo):
    with pytest.raises(ValueError, match=r"expected|no date is left"):
        list(date_blocks(np.arange(dates), count, embargo))


# Against purgedcv, which purges by the time that labels take.


def labelled(dates, per_day, span):
    """(date of each row, prediction times, evaluation times): rows of a date are hours apart, labels end `span` dates later."""
    pandas = pytest.importorskip("pandas")
    days = np.repeat(np.arange(dates), per_day)
    start = pandas.Timestamp("2025-01-01") + pandas.to_timedelta(days * 24 + np.tile(np.arange(per_day), dates), unit="h")
    end = pandas.Timestamp("2025-01-01") + pandas.to_timedelta((days + span) * 24 + 12, unit="h")
    return days, pandas.Series(start), pandas.Series(end)


@pytest.mark.parametrize("span", [0, 1, 2])
@pytest.mark.parametrize(("dates", "count"), [(12, 2), (13, 3), (20, 4), (31, 6)])
def test_blocks_are_those_of_purged_folds_where_labels_reach_as_far_as_the_embargo(dates, count, span):
    purgedcv = pytest.importorskip("purgedcv")
    days, start, end = labelled(dates, 3, span)
    theirs = purgedcv.PurgedGroupKFold(count, prediction_times=start, evaluation_times=end, groups=days)
    compared = 0
    for ours, (train, test) in zip(date_blocks(days, count, span), theirs.split(np.zeros((len(days), 1))), strict=True):
        assert ours[0].tolist() == sorted(train.tolist())
        assert ours[1].tolist() == sorted(test.tolist())
        compared += 1
    assert compared == count


@pytest.mark.parametrize("embargo", [0, 1, 3])
@pytest.mark.parametrize(("dates", "first", "step"), [(10, 4, 2), (20, 8, 3), (30, 5, 5)])
def test_the_outer_walk_is_that_of_purgedcv_where_labels_reach_as_far_as_the_embargo(dates, first, step, embargo):
    purgedcv = pytest.importorskip("purgedcv")
    pytest.importorskip("pandas")
    days, start, end = labelled(dates, 1, embargo)
    theirs = purgedcv.WalkForwardSplit((dates - first) // step, step, prediction_times=start, evaluation_times=end)
    ours = list(folds(days, first, step, embargo))
    assert (dates - first) % step == 0
    for (known, asked), (train, test) in zip(ours, theirs.split(np.zeros((dates, 1))), strict=True):
        assert known.tolist() == train.tolist()
        assert asked.tolist() == test.tolist()
