"""Which dates a model of a date may learn from: by hand over a holiday, and for every date of a year."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spymaster_assets.config import Config, Models
from spymaster_assets.lake import Lake, LakeError
from spymaster_assets.models.as_of import AsOf, as_of, contents, rows_of
from spymaster_assets.sessions import NotATradingDate, calendar
from spymaster_assets.tables import SEQUENCES, TRAINING
from tests.models.small_lake import put, training

CALENDAR = calendar(Config())
ALL = CALENDAR.dates(dt.date(2025, 5, 19), dt.date(2025, 7, 11))  # with Memorial Day, Juneteenth and 4 July


def day(text):
    return dt.date.fromisoformat(f"2025-{text}")


def lake_of(root, dates, **rules):
    """A lake in which the dates have training, of no row."""
    lake = Lake(root, Config(models=Models(**rules)))
    for date in dates:
        put(lake, TRAINING, date, np.zeros(0, TRAINING.dtype))
    return lake


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a lake with training of ALL."""
    return lake_of(tmp_path_factory.mktemp("as_of"), ALL).root


def with_rules(root, **rules):
    return Lake(root, Config(models=Models(**rules)))


@pytest.mark.parametrize(
    ("asked", "since", "last"),
    [
        ("06-02", "06-02", "05-29"),  # Monday: Friday is embargoed
        ("06-06", "06-02", "05-29"),  # Friday of the same week
        ("05-27", "05-27", "05-22"),  # Tuesday after Memorial Day: Friday is embargoed
        ("05-30", "05-27", "05-22"),
        ("06-20", "06-16", "06-12"),  # the day after Juneteenth
        ("07-03", "06-30", "06-26"),
        ("07-07", "07-07", "07-02"),  # Monday after the fourth: the third is embargoed
    ],
)
def test_the_week_by_hand(whole, asked, since, last):
    found = as_of(with_rules(whole), day(asked))
    assert (found.date, found.since) == (day(asked), day(since))
    assert found.dates == tuple(CALENDAR.dates(ALL[0], day(last)))
    assert found.missing == () and found.coverage == 1.0


def test_a_date_without_a_session_has_no_model(whole):
    for asked in ("06-07", "06-19"):
        with pytest.raises(NotATradingDate):
            as_of(with_rules(whole), day(asked))


def test_the_window_is_so_many_dates_long_and_the_embargo_left_out(whole):
    found = as_of(with_rules(whole, train_dates=3, embargo=2), day("06-18"))  # embargoed: 13 and 12 June
    assert found.dates == (day("06-09"), day("06-10"), day("06-11"))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(ALL), st.sampled_from(["day", "week"]), st.integers(1, 4), st.integers(2, 30))
def test_every_window_ends_before_the_date_and_its_week(whole, date, retrain, embargo, length):
    """More than the embargo lies between the last date and the one as of which it is trained; no date is left out between."""
    found = as_of(with_rules(whole, retrain=retrain, embargo=embargo, train_dates=length), date)
    week = [one for one in ALL if one.isocalendar()[:2] == date.isocalendar()[:2] and one <= date]
    assert found.since == (date if retrain == "day" else week[0])
    expected = [one for one in ALL if one < found.since][: -embargo or None][-length:]
    assert list(found.dates) == expected
    assert all(len([one for one in ALL if last < one < found.since]) >= embargo for last in found.dates[-1:])


@pytest.mark.parametrize("retrain", ["week", "never"])
def test_the_dates_of_a_week_share_a_window(whole, retrain):
    lake = with_rules(whole, retrain=retrain, min_dates=5)
    windows = {}
    for date in ALL:
        found = as_of(lake, date)
        windows.setdefault(date.isocalendar()[:2], set()).add((found.since, found.dates, found.missing))
    assert len(windows) == 8 and all(len(of_week) == 1 for of_week in windows.values())


def test_by_day_each_has_its_own(whole):
    lake = with_rules(whole, retrain="day")
    assert len({as_of(lake, one).dates for one in ALL[2:]}) == len(ALL) - 2


def test_never_stays_with_the_first_that_has_enough(whole):
    """Eight dates, 19 to 29 May, and one embargoed: from 2 June on the same; before, the week's own, which has too few."""
    lake = with_rules(whole, retrain="never", min_dates=8)
    assert ALL[7] == day("05-29")
    for date in CALENDAR.dates(day("06-02"), ALL[-1]):
        found = as_of(lake, date)
        assert found.since == day("06-02") and found.dates == tuple(ALL[:8])
    for date in CALENDAR.dates(ALL[0], day("05-30")):
        assert as_of(lake, date).since == as_of(with_rules(whole), date).since
        assert len(as_of(lake, date).dates) < 8


def test_never_does_not_depend_on_what_comes_later(tmp_path):
    """The window of a date is the same whether the lake ends the day before or goes on."""
    rules = {"retrain": "never", "min_dates": 8}
    short = lake_of(tmp_path / "short", ALL[:12], **rules)
    whole = lake_of(tmp_path / "whole", ALL, **rules)
    for date in ALL[:13]:
        before, after = as_of(short, date), as_of(whole, date)
        if before.date <= ALL[8]:
            assert before == after


@pytest.mark.parametrize("retrain", ["day", "week", "never"])
def test_what_comes_from_the_week_on_changes_no_window(tmp_path, whole, retrain):
    """Without the training of the date, or of its week, the window is the same: it may be computed before the week begins."""
    date = day("06-18")
    rules = {"retrain": retrain, "min_dates": 8}
    full = as_of(with_rules(whole, **rules), date)
    known = lake_of(tmp_path, [one for one in ALL if one < full.since], **rules)
    assert as_of(known, date) == full


def test_missing_dates_are_listed_and_counted(tmp_path):
    """Since the lake's first only: what lies before it is not missed."""
    there = [one for one in ALL if one >= day("05-28") and one not in (day("06-03"), day("06-10"))]
    found = as_of(lake_of(tmp_path, there), day("06-18"))
    assert found.missing == (day("06-03"), day("06-10"))
    assert found.dates == tuple(one for one in there if one <= day("06-12"))
    assert found.coverage == len(found.dates) / (len(found.dates) + 2)
    assert found.facts == {
        "since": "2025-06-16", "dates": [str(one) for one in found.dates], "missing": ["2025-06-03", "2025-06-10"],
        "coverage": round(found.coverage, 4),
    }  # fmt: skip


def test_without_training_there_is_an_empty_window(tmp_path):
    found = as_of(lake_of(tmp_path / "none", []), day("06-18"))
    assert (found.dates, found.missing, found.coverage) == ((), (), 0.0)
    later = as_of(lake_of(tmp_path / "later", [day("07-01")]), day("06-18"))
    assert (later.dates, later.missing) == ((), ())


def test_training_of_another_schema_is_missing(tmp_path):
    lake = lake_of(tmp_path, [day("06-09"), day("06-11")])
    put(lake, TRAINING, day("06-10"), np.zeros(0, TRAINING.dtype), schema="an older one")
    assert as_of(lake, day("06-18")).missing == (day("06-10"), day("06-12"))


def test_rows_come_with_their_dates(tmp_path):
    lake = lake_of(tmp_path, [day("06-11")])
    for date in (day("06-09"), day("06-10")):
        put(lake, TRAINING, date, training(date))
    asked = (day("06-09"), day("06-11"), day("06-10"))
    rows, days = rows_of(lake, TRAINING, asked)
    expected = np.concatenate([training(one) for one in (asked[0], asked[2])])
    assert rows.tobytes() == expected.tobytes()
    assert days.tolist() == [asked[0].toordinal()] * 24 + [asked[2].toordinal()] * 24
    rows, days = rows_of(lake, TRAINING, ())
    assert len(rows) == len(days) == 0 and rows.dtype == TRAINING.dtype
    with pytest.raises(LakeError, match="2025-06-12: gold/training is not there"):
        rows_of(lake, TRAINING, (*asked, day("06-12")))


def test_contents_name_what_is_learnt_from(tmp_path):
    """Every table of every date of the window; one that is remade has another hash, one that is not there has none."""
    lake = lake_of(tmp_path, [day("06-09"), day("06-10")])
    window = AsOf(day("06-18"), day("06-16"), (day("06-09"), day("06-10")), ())
    before = contents(lake, window)
    assert sorted(before) == [f"gold/{table} 2025-{one}" for table in ("sequences", "training") for one in ("06-09", "06-10")]
    assert {before[f"gold/sequences 2025-{one}"] for one in ("06-09", "06-10")} == {"none"}
    put(lake, TRAINING, day("06-10"), training(day("06-10")))
    put(lake, SEQUENCES, day("06-09"), np.zeros(0, SEQUENCES.dtype))
    after = contents(lake, window)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"gold/training 2025-06-10", "gold/sequences 2025-06-09"}
    assert set(contents(lake, window, TRAINING)) == {"gold/training 2025-06-09", "gold/training 2025-06-10"}
