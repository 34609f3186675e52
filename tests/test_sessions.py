"""Trading dates and their times, against answers made outside the code.

The holidays are the New York Stock Exchange's published ones, written down by hand. Instants are ns UTC worked out by hand:
Chicago is UTC-6 and New York UTC-5 in winter, UTC-5 and UTC-4 in summer; an instant is (days since 1970-01-01) * 86,400
+ seconds of the UTC day, and then nine zeros (2024-01-17 is day 19,739: 14:30 UTC is 19,739 * 86,400 + 52,200).
"""

import datetime as dt
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spymaster_assets import sessions
from spymaster_assets.config import Config
from spymaster_assets.sessions import NotATradingDate, Session, Window

CONFIG = Config()
CALENDAR = sessions.calendar(CONFIG)
FIRST, LAST = dt.date(2022, 1, 1), dt.date(2026, 12, 31)
DAY = dt.timedelta(days=1)
SECOND = 1_000_000_000
HOUR = 3_600 * SECOND

# Weekdays on which the New York Stock Exchange is shut. New Year of 2022 fell on a Saturday and was not made up for.
HOLIDAYS = {
    2022: "01-17 02-21 04-15 05-30 06-20 07-04 09-05 11-24 12-26",
    2023: "01-02 01-16 02-20 04-07 05-29 06-19 07-04 09-04 11-23 12-25",
    2024: "01-01 01-15 02-19 03-29 05-27 06-19 07-04 09-02 11-28 12-25",
    2025: "01-01 01-09 01-20 02-17 04-18 05-26 06-19 07-04 09-01 11-27 12-25",  # 01-09: mourning for President Carter
    2026: "01-01 01-19 02-16 04-03 05-25 06-19 07-03 09-07 11-26 12-25",
}
TRADING_DATES = {2022: 251, 2023: 250, 2024: 252, 2025: 250, 2026: 251}

# Days that close at 13:00 in New York. No 3 July in 2022 (Sunday) and 2026 (the holiday itself); no Christmas Eve in 2022 and
# 2023 (weekends).
HALF_DAYS = {
    2022: "11-25",
    2023: "07-03 11-24",
    2024: "07-03 11-29 12-24",
    2025: "07-03 11-28 12-24",
    2026: "11-27 12-24",
}

# Third Fridays of March, June, September and December.
THIRD_FRIDAYS = {
    2022: (18, 17, 16, 16),
    2023: (17, 16, 15, 15),
    2024: (15, 21, 20, 20),
    2025: (21, 20, 19, 19),
    2026: (20, 19, 18, 18),
    2027: (19, 18, 17, 17),
    2028: (17, 16, 15, 15),
    2029: (16, 15, 21, 21),
    2030: (15, 21, 20, 20),
}


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def utc(text: str) -> int:
    """ns of an instant such as "2024-01-17 14:30" or "2024-01-17 14:30:00.5", read as UTC."""
    return int(np.datetime64(text.replace(" ", "T"), "ns").astype(np.int64))


def days_of(table: dict[int, str]) -> list[dt.date]:
    return [day(f"{year}-{rest}") for year, line in table.items() for rest in line.split()]


WEEKDAYS = [d for i in range((LAST - FIRST).days + 1) if (d := FIRST + DAY * i).weekday() < 5]
DATES = [d for d in WEEKDAYS if d not in set(days_of(HOLIDAYS))]


# ---------------------------------------------------------------------------------------------------------- trading dates


def test_trading_dates_are_the_weekdays_that_are_no_holiday() -> None:
    assert CALENDAR.dates(FIRST, LAST) == DATES
    assert CALENDAR.holidays(FIRST, LAST) == days_of(HOLIDAYS)
    assert [d for i in range((LAST - FIRST).days + 1) if CALENDAR.is_trading_date(d := FIRST + DAY * i)] == DATES


@pytest.mark.parametrize(("year", "count"), TRADING_DATES.items())
def test_number_of_trading_dates_in_a_year(year: int, count: int) -> None:
    assert len(CALENDAR.dates(dt.date(year, 1, 1), dt.date(year, 12, 31))) == count


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-15",  # Martin Luther King
        "2024-02-19",  # Presidents
        "2024-05-27",  # Memorial
        "2024-06-19",  # Juneteenth
        "2024-07-04",
        "2024-09-02",  # Labor
        "2024-11-28",  # Thanksgiving
        "2025-01-09",  # day of mourning: the futures traded until 08:30 in Chicago
        "2026-04-03",  # Good Friday with a jobs report: the futures traded until 08:15 in Chicago
    ],
)
def test_days_on_which_only_the_futures_trade_are_no_trading_dates(text: str) -> None:
    assert not CALENDAR.is_trading_date(day(text))
    with pytest.raises(NotATradingDate):
        CALENDAR.session(day(text))


@pytest.mark.parametrize(
    "text",
    [
        "2021-12-31",  # New Year of 2022 was a Saturday and is not observed on the Friday before
        "2022-10-10",  # Columbus, a bank holiday
        "2022-11-11",  # Veterans, a bank holiday
        "2023-12-26",
        "2024-12-31",
        "2026-07-02",  # the day before an observed 4 July
    ],
)
def test_days_that_look_like_holidays_but_are_trading_dates(text: str) -> None:
    assert CALENDAR.is_trading_date(day(text))
    assert not CALENDAR.session(day(text)).early_close


def test_ranges_include_both_ends_and_may_be_empty() -> None:
    assert CALENDAR.dates(day("2024-07-03"), day("2024-07-05")) == [day("2024-07-03"), day("2024-07-05")]
    assert CALENDAR.dates(day("2024-07-04"), day("2024-07-04")) == []
    assert CALENDAR.dates(day("2024-07-06"), day("2024-07-07")) == []
    assert CALENDAR.holidays(day("2024-07-04"), day("2024-07-04")) == [day("2024-07-04")]
    assert CALENDAR.holidays(day("2024-07-05"), day("2024-07-07")) == []


def test_neighbours_of_a_date() -> None:
    assert CALENDAR.before(day("2024-01-02"), 3) == [day("2023-12-29"), day("2023-12-28"), day("2023-12-27")]
    assert CALENDAR.before(day("2024-07-04"), 1) == [day("2024-07-03")]
    assert CALENDAR.before(day("2024-07-05"), 0) == []
    assert CALENDAR.after(day("2024-07-03")) == day("2024-07-05")
    assert CALENDAR.after(day("2024-07-04")) == day("2024-07-05")
    assert CALENDAR.after(day("2025-01-08")) == day("2025-01-10")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2024-07-06", ("2024-07-06", "weekend", "2024-07-05", "2024-07-08")),
        ("2024-07-04", ("2024-07-04", "holiday", "XNYS", "2024-07-03", "2024-07-05")),
        ("2025-01-09", ("2025-01-09", "holiday", "2025-01-08", "2025-01-10")),
        ("1999-01-04", ("1999-01-04", "outside", "2030-12-31")),
        ("2040-01-03", ("2040-01-03", "outside", "2030-12-31")),
    ],
)
def test_a_refused_date_is_told_why_and_what_is_near(text: str, words: tuple[str, ...]) -> None:
    with pytest.raises(NotATradingDate) as refused:
        CALENDAR.require(day(text))
    assert [word for word in words if word not in str(refused.value)] == []


def test_a_trading_date_is_let_through() -> None:
    assert CALENDAR.require(day("2024-07-05")) == day("2024-07-05")


def test_a_configuration_has_one_calendar() -> None:
    assert sessions.calendar(Config()) is CALENDAR


# -------------------------------------------------------------------------------------------------------- times of a date

# bronze, globex, premarket, opening range, signals, regular as (start, end], then the session end
TIMES = {
    "2024-01-17": (  # winter
        (1_705_442_400_000_000_000, 1_705_528_800_000_000_000),  # 16 Jan 22:00, 17 Jan 22:00 UTC
        (1_705_446_000_000_000_000, 1_705_528_800_000_000_000),  # 16 Jan 23:00, 17 Jan 22:00
        (1_705_482_000_000_000_000, 1_705_501_800_000_000_000),  # 09:00, 14:30
        (1_705_501_800_000_000_000, 1_705_502_700_000_000_000),  # 14:30, 14:45
        (1_705_501_800_000_000_000, 1_705_516_200_000_000_000),  # 14:30, 18:30
        (1_705_501_800_000_000_000, 1_705_525_200_000_000_000),  # 14:30, 21:00
        1_705_524_300_000_000_000,  # 20:45
    ),
    "2024-07-10": (  # summer
        (1_720_558_800_000_000_000, 1_720_645_200_000_000_000),  # 9 Jul 21:00, 10 Jul 21:00
        (1_720_562_400_000_000_000, 1_720_645_200_000_000_000),  # 9 Jul 22:00, 10 Jul 21:00
        (1_720_598_400_000_000_000, 1_720_618_200_000_000_000),  # 08:00, 13:30
        (1_720_618_200_000_000_000, 1_720_619_100_000_000_000),  # 13:30, 13:45
        (1_720_618_200_000_000_000, 1_720_632_600_000_000_000),  # 13:30, 17:30
        (1_720_618_200_000_000_000, 1_720_641_600_000_000_000),  # 13:30, 20:00
        1_720_640_700_000_000_000,  # 19:45
    ),
    "2024-03-11": (  # Monday: the clocks went forward on Sunday at 02:00, before the session opened
        (1_710_104_400_000_000_000, 1_710_190_800_000_000_000),  # 10 Mar 21:00, 11 Mar 21:00
        (1_710_108_000_000_000_000, 1_710_190_800_000_000_000),  # 10 Mar 22:00, 11 Mar 21:00
        (1_710_144_000_000_000_000, 1_710_163_800_000_000_000),  # 08:00, 13:30
        (1_710_163_800_000_000_000, 1_710_164_700_000_000_000),  # 13:30, 13:45
        (1_710_163_800_000_000_000, 1_710_178_200_000_000_000),  # 13:30, 17:30
        (1_710_163_800_000_000_000, 1_710_187_200_000_000_000),  # 13:30, 20:00
        1_710_186_300_000_000_000,  # 19:45
    ),
    "2024-11-04": (  # Monday: the clocks went back on Sunday at 02:00
        (1_730_671_200_000_000_000, 1_730_757_600_000_000_000),  # 3 Nov 22:00, 4 Nov 22:00
        (1_730_674_800_000_000_000, 1_730_757_600_000_000_000),  # 3 Nov 23:00, 4 Nov 22:00
        (1_730_710_800_000_000_000, 1_730_730_600_000_000_000),  # 09:00, 14:30
        (1_730_730_600_000_000_000, 1_730_731_500_000_000_000),  # 14:30, 14:45
        (1_730_730_600_000_000_000, 1_730_745_000_000_000_000),  # 14:30, 18:30
        (1_730_730_600_000_000_000, 1_730_754_000_000_000_000),  # 14:30, 21:00
        1_730_753_100_000_000_000,  # 20:45
    ),
    "2024-11-29": (  # half day in winter, opening on the evening of Thanksgiving
        (1_732_831_200_000_000_000, 1_732_917_600_000_000_000),  # 28 Nov 22:00, 29 Nov 22:00
        (1_732_834_800_000_000_000, 1_732_917_600_000_000_000),  # 28 Nov 23:00, 29 Nov 22:00
        (1_732_870_800_000_000_000, 1_732_890_600_000_000_000),  # 09:00, 14:30
        (1_732_890_600_000_000_000, 1_732_891_500_000_000_000),  # 14:30, 14:45
        (1_732_890_600_000_000_000, 1_732_902_300_000_000_000),  # 14:30, 17:45: cut, 13:30 New York would be 18:30
        (1_732_890_600_000_000_000, 1_732_903_200_000_000_000),  # 14:30, 18:00
        1_732_902_300_000_000_000,  # 17:45
    ),
    "2024-07-03": (  # half day in summer
        (1_719_954_000_000_000_000, 1_720_040_400_000_000_000),  # 2 Jul 21:00, 3 Jul 21:00
        (1_719_957_600_000_000_000, 1_720_040_400_000_000_000),  # 2 Jul 22:00, 3 Jul 21:00
        (1_719_993_600_000_000_000, 1_720_013_400_000_000_000),  # 08:00, 13:30
        (1_720_013_400_000_000_000, 1_720_014_300_000_000_000),  # 13:30, 13:45
        (1_720_013_400_000_000_000, 1_720_025_100_000_000_000),  # 13:30, 16:45: cut
        (1_720_013_400_000_000_000, 1_720_026_000_000_000_000),  # 13:30, 17:00
        1_720_025_100_000_000_000,  # 16:45
    ),
}


def windows(session: Session) -> tuple[Window, ...]:
    return session.bronze, session.globex, session.premarket, session.opening_range, session.signals, session.regular


@pytest.mark.parametrize("text", TIMES)
def test_times_of_a_date_to_the_nanosecond(text: str) -> None:
    session = CALENDAR.session(day(text))
    assert session.date == day(text)
    assert (*windows(session), session.end) == TIMES[text]


def test_half_days_close_at_one_in_new_york_and_cut_the_signals() -> None:
    early = [d for d in DATES if CALENDAR.session(d).early_close]
    assert early == days_of(HALF_DAYS)
    for session in map(CALENDAR.session, early):
        assert session.regular.end - session.regular.start == 3 * HOUR + HOUR // 2  # 09:30 to 13:00
        assert session.end - session.regular.start == 3 * HOUR + HOUR // 4  # 12:45
        assert session.signals.end == session.end


LENGTHS = {"bronze": 24, "globex": 23, "premarket": 5.5, "opening_range": 0.25, "signals": 4, "regular": 6.5}  # h; every window


def test_lengths_of_the_windows_never_change() -> None:
    """Whatever the clocks did: the day's windows in their wall-clock lengths, but for those that an early close cuts."""
    for s in map(CALENDAR.session, DATES):
        lengths = {name: (w.end - w.start) / HOUR for name, w in vars(s).items() if isinstance(w, Window)}
        cut = {"signals": 3.25, "regular": 3.5} if s.early_close else {}
        assert lengths == LENGTHS | cut, s.date
        assert s.regular.end - s.end == HOUR // 4, s.date


def test_windows_of_a_date_follow_each_other() -> None:
    for s in map(CALENDAR.session, DATES):
        assert s.premarket.end == s.opening_range.start == s.signals.start == s.regular.start, s.date
        assert s.bronze.start + HOUR == s.globex.start < s.premarket.start, s.date
        assert s.opening_range.end < s.signals.end <= s.end < s.regular.end < s.globex.end == s.bronze.end, s.date


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2024-01-17", "2024-01-16", "2024-01-17"),
        ("2024-07-08", "2024-07-07", "2024-07-08"),
        ("2025-01-02", "2025-01-01", "2025-01-02"),
    ],
)
def test_a_date_reads_the_files_of_two_utc_days(text: str, first: str, last: str) -> None:
    assert CALENDAR.session(day(text)).utc_days == (day(first), day(last))


def test_every_date_reads_its_own_utc_day_and_the_one_before() -> None:
    assert all(CALENDAR.session(d).utc_days == (d - DAY, d) for d in DATES)


def test_a_window_is_open_at_its_start_and_closed_at_its_end() -> None:
    assert [Window(10, 12).holds(time) for time in (9, 10, 11, 12, 13)] == [False, False, True, True, False]


# ------------------------------------------------------------------------------------------------- the date of an instant


def test_bronze_windows_never_overlap_and_touch_only_on_consecutive_days() -> None:
    for date, following in pairwise(DATES):
        gap = CALENDAR.session(following).bronze.start - CALENDAR.session(date).bronze.end
        assert gap >= 0
        assert (gap == 0) == (following - date == DAY)


def test_date_of_agrees_with_bronze_at_its_edges() -> None:
    for date in DATES:
        bronze = CALENDAR.session(date).bronze
        assert CALENDAR.date_of(bronze.start) != date
        assert CALENDAR.date_of(bronze.start + 1) == date
        assert CALENDAR.date_of(bronze.end) == date
        assert CALENDAR.date_of(bronze.end + 1) != date


@given(st.integers(utc("2022-01-01"), utc("2026-12-31")))
def test_an_instant_belongs_to_the_one_date_whose_bronze_holds_it(time: int) -> None:
    around = dt.date(1970, 1, 1) + DAY * (time // (24 * HOUR))
    holders = [d for d in CALENDAR.dates(around - 3 * DAY, around + 3 * DAY) if CALENDAR.session(d).bronze.holds(time)]
    assert holders == ([] if (found := CALENDAR.date_of(time)) is None else [found])


@pytest.mark.parametrize(
    ("instant", "date"),
    [
        ("2024-01-07 23:30", "2024-01-08"),  # Sunday 17:30 in Chicago, half an hour into Monday's session
        ("2024-01-07 22:00", None),  # Sunday 16:00: not yet
        ("2024-01-07 22:00:00.000000001", "2024-01-08"),  # the pre-open book
        ("2024-07-07 21:00:00.000000001", "2024-07-08"),  # the same in summer
        ("2024-01-05 22:00", "2024-01-05"),  # Friday 16:00, the last instant of the week
        ("2024-01-05 22:00:00.000000001", None),
        ("2024-01-06 18:00", None),  # Saturday
        ("2023-12-25 23:00", "2023-12-26"),  # the opening match on Christmas evening
        ("2023-12-25 18:00", None),  # Christmas
        ("2023-11-23 18:00", None),  # Thanksgiving, 12:00 in Chicago
        ("2023-11-22 23:30", None),  # the evening before Thanksgiving: the session of the holiday
        ("2023-11-23 23:30", "2023-11-24"),
        ("2024-01-14 23:30", None),  # the Sunday evening before Martin Luther King day
        ("2024-01-15 18:00", None),
        ("2024-01-15 23:30", "2024-01-16"),
        ("2025-01-09 14:00", None),  # day of mourning, 08:00 in Chicago
        ("2026-04-03 13:00", None),  # Good Friday, 08:00 in Chicago
        ("2024-03-10 21:00:00.000000001", "2024-03-11"),  # Sunday of the change to summer time
        ("2024-11-03 22:00", None),  # Sunday of the change to winter time
        ("2024-11-03 22:00:00.000000001", "2024-11-04"),
    ],
)
def test_date_of_an_instant(instant: str, date: str | None) -> None:
    assert CALENDAR.date_of(utc(instant)) == (None if date is None else day(date))


# --------------------------------------------------------------------------------------------------- clocks and instants


@pytest.mark.parametrize(
    ("date", "clock", "zone", "ns"),
    [
        ("1970-01-01", "00:00", "UTC", 0),
        ("2024-01-17", "09:30", "America/New_York", 1_705_501_800_000_000_000),
        ("2024-07-10", "08:30", "America/Chicago", 1_720_618_200_000_000_000),
        ("2024-03-10", "17:00", "America/Chicago", 1_710_108_000_000_000_000),
    ],
)
def test_a_wall_clock_is_an_instant(date: str, clock: str, zone: str, ns: int) -> None:
    assert sessions.wall(day(date), clock, zone) == ns


def test_instants_and_datetimes_convert_exactly() -> None:
    moment = dt.datetime(2024, 1, 17, 14, 30, 0, 123_457, dt.UTC)
    assert sessions.to_ns(moment) == 1_705_501_800_123_457_000
    assert sessions.to_datetime(1_705_501_800_123_457_999) == moment
    assert sessions.to_datetime(1_705_501_800_000_000_000, "America/New_York").isoformat() == "2024-01-17T09:30:00-05:00"


def test_utc_days_start_at_midnight() -> None:
    midnight = 1_705_449_600_000_000_000  # 19,739 * 86,400 s
    assert sessions.utc_midnight(day("2024-01-17")) == midnight
    assert sessions.utc_day(midnight) == day("2024-01-17")
    assert sessions.utc_day(midnight - 1) == day("2024-01-16")


# --------------------------------------------------------------------------------------------------------------- contracts


def test_third_fridays() -> None:
    found = {year: tuple(sessions.third_friday(year, month).day for month in (3, 6, 9, 12)) for year in THIRD_FRIDAYS}
    assert found == THIRD_FRIDAYS


@pytest.mark.parametrize(
    ("last_day", "contract", "following"),
    [  # the last day with at least eight days to the third Friday, the contract then, and the one from the next day on
        ("2023-03-09", "ESH3", "ESM3"),
        ("2023-06-08", "ESM3", "ESU3"),
        ("2023-09-07", "ESU3", "ESZ3"),
        ("2023-12-07", "ESZ3", "ESH4"),
        ("2024-03-07", "ESH4", "ESM4"),
        ("2024-06-13", "ESM4", "ESU4"),
        ("2024-09-12", "ESU4", "ESZ4"),
        ("2024-12-12", "ESZ4", "ESH5"),
        ("2025-03-13", "ESH5", "ESM5"),
        ("2025-06-12", "ESM5", "ESU5"),
        ("2025-09-11", "ESU5", "ESZ5"),
        ("2025-12-11", "ESZ5", "ESH6"),
        ("2026-03-12", "ESH6", "ESM6"),
        ("2026-09-10", "ESU6", "ESZ6"),
        ("2026-12-10", "ESZ6", "ESH7"),
        ("2029-12-13", "ESZ9", "ESH0"),
    ],
)
def test_the_contract_turns_eight_days_before_the_third_friday(last_day: str, contract: str, following: str) -> None:
    assert sessions.nearest_contract(day(last_day) - 7 * DAY, CONFIG) == contract
    assert sessions.nearest_contract(day(last_day), CONFIG) == contract
    assert sessions.nearest_contract(day(last_day) + DAY, CONFIG) == following
    assert sessions.nearest_contract(day(last_day) + 8 * DAY, CONFIG) == following  # on the expiry itself


@pytest.mark.parametrize(
    ("text", "contract"),
    [("2024-12-31", "ESH5"), ("2025-01-02", "ESH5"), ("2025-12-31", "ESH6"), ("2023-12-26", "ESH4"), ("2029-12-31", "ESH0")],
)
def test_the_contract_around_new_year(text: str, contract: str) -> None:
    assert sessions.nearest_contract(day(text), CONFIG) == contract


def test_the_contract_names_follow_the_configuration() -> None:
    nasdaq = Config.model_validate({"instrument": {"root": "NQ", "roll_days": 0}})
    assert sessions.nearest_contract(day("2025-12-19"), nasdaq) == "NQZ5"
    assert sessions.nearest_contract(day("2025-12-20"), nasdaq) == "NQH6"
    assert sessions.expiry_of("NQZ5", day("2025-12-19"), nasdaq) == day("2025-12-19")


@pytest.mark.parametrize(
    ("symbol", "near", "expiry"),
    [
        ("ESH4", "2023-12-25", "2024-03-15"),
        ("ESZ3", "2024-01-02", "2023-12-15"),
        ("ESU5", "2024-07-02", "2025-09-19"),
        ("ESZ9", "2029-06-01", "2029-12-21"),
        ("ESH0", "2029-11-01", "2030-03-15"),
        ("ESZ9", "2030-02-01", "2029-12-21"),
        ("ESM24", "2024-01-02", "2024-06-21"),
        ("ESM24", "2020-01-02", "2024-06-21"),
        ("ESZ29", "2024-01-02", "2029-12-21"),
        ("ESH00", "2099-12-01", "2100-03-19"),
        ("ESZ99", "2001-01-02", "1999-12-17"),
    ],
)
def test_expiry_of_a_symbol(symbol: str, near: str, expiry: str) -> None:
    assert sessions.expiry_of(symbol, day(near), CONFIG) == day(expiry)


def test_a_far_one_digit_year_is_ahead_not_behind() -> None:
    """The exchange lists 21 quarters: in March 2024, ESH9 is 2029's; 2019's is long gone, though five years away as well."""
    assert sessions.expiry_of("ESH9", day("2024-03-25"), CONFIG) == day("2029-03-16")


def test_a_contract_expires_on_the_first_earlier_day_when_its_friday_is_a_holiday() -> None:
    """CME 35803.A: settled on the third Friday or, if the index is not published then, the first earlier day on which it is.

    Juneteenth 2026 is a third Friday: ESM6 ends on Thursday 18 June, so the rule of eight days turns on 11 June.
    """
    assert sessions.expiry_of("ESM6", day("2026-01-02"), CONFIG) == day("2026-06-18")
    assert sessions.nearest_contract(day("2026-06-10"), CONFIG) == "ESM6"
    assert sessions.nearest_contract(day("2026-06-11"), CONFIG) == "ESU6"


# ------------------------------------------------------------------------------------------------------ option expirations


@pytest.mark.parametrize(
    ("expiration", "date"),
    [
        ("2026-01-09 21:00", "2026-01-09"),  # 15:00 in Chicago: EW2F6 is 0DTE on its Friday
        ("2026-01-09 22:00", "2026-01-09"),  # 16:00 in winter
        ("2026-07-10 20:00", "2026-07-10"),
        ("2026-07-10 22:00", "2026-07-10"),  # 17:00 in summer
        ("2026-01-10 00:30", "2026-01-09"),  # 18:30 of the day before
        ("2026-07-11 00:30", "2026-07-10"),  # 19:30 of the day before
        ("2026-01-10 05:30", "2026-01-09"),  # 23:30 in winter
        ("2026-07-11 05:30", "2026-07-11"),  # 00:30 in summer
        ("2026-01-10 06:00", "2026-01-10"),  # midnight
        ("2026-01-10 05:59:59.999999999", "2026-01-09"),
    ],
)
def test_an_option_expires_on_the_date_in_chicago(expiration: str, date: str) -> None:
    assert sessions.exchange_dates(np.array([utc(expiration)]), CONFIG).tolist() == [day(date)]


def test_expirations_keep_their_order_and_repeats() -> None:
    instants = ("2026-01-10 00:30", "2026-07-10 20:00", "2026-01-09 21:00", "2026-07-10 20:00")
    times = np.array([utc(instant) for instant in instants], np.uint64)
    found = sessions.exchange_dates(times, CONFIG)
    assert found.dtype == np.dtype("datetime64[D]")
    assert found.tolist() == [day("2026-01-09"), day("2026-07-10"), day("2026-01-09"), day("2026-07-10")]
    assert sessions.exchange_dates(times[:0], CONFIG).tolist() == []


def test_an_undefined_expiration_is_on_no_trading_date() -> None:
    undefined = np.array([2**64 - 1], np.uint64)
    assert not CALENDAR.is_trading_date(sessions.exchange_dates(undefined, CONFIG).tolist()[0])
