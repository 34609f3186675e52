"""Trading dates and their times in ns UTC. The only file that knows time zones and calendars.

A trading date D is a session of the regular stock market (XNYS by default). Its Globex session opens at 17:00 Chicago time of
the calendar day before and closes at 16:00 of D. Globex hours of a holiday belong to no trading date. Wall-clock times are
constructed in their zone, never by adding hours to midnight, so daylight saving cannot shift them. Every interval is
(start, end]. A market without a daily pause has its open, its close and the cut of Bronze at one clock time, so its dates join.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from spymaster_assets.config import Config, Sessions

DAY: dt.timedelta = dt.timedelta(days=1)
NS_PER_SECOND = 1_000_000_000
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Window(NamedTuple):
    """(start, end] in ns UTC."""

    start: int
    end: int

    def holds(self, time: int) -> bool:
        return self.start < time <= self.end


@dataclass(frozen=True)
class Session:
    """The times of one trading date, ns UTC."""

    date: dt.date
    bronze: Window  # what Bronze of the date holds, by event time
    globex: Window
    premarket: Window
    opening_range: Window
    signals: Window  # cut at `end` on half days
    regular: Window  # 09:30 to 16:00 or to the early close, in the session
    end: int  # minutes before the regular close; outcomes are measured up to here
    early_close: bool

    @property
    def utc_days(self) -> tuple[dt.date, ...]:
        """The UTC days whose files hold records of this date."""
        first, last = utc_day(self.bronze.start + 1), utc_day(self.bronze.end)
        return tuple(first + DAY * i for i in range((last - first).days + 1))


class NotATradingDate(ValueError):
    """A day on which no session is held; says which dates are the nearest."""


def to_ns(moment: dt.datetime) -> int:
    """ns UTC of an aware datetime, exact."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * NS_PER_SECOND + delta.microseconds * 1000


def to_datetime(ns: int, zone: str = "UTC") -> dt.datetime:
    """The aware datetime of ns UTC, cut to microseconds."""
    return (_EPOCH + dt.timedelta(microseconds=ns // 1000)).astimezone(ZoneInfo(zone))


def utc_day(ns: int) -> dt.date:
    """The UTC day on which an instant lies."""
    return to_datetime(ns).date()


def utc_midnight(day: dt.date) -> int:
    """ns UTC at which a UTC day starts."""
    return to_ns(dt.datetime.combine(day, dt.time(), dt.UTC))


def wall(day: dt.date, clock: str, zone: str) -> int:
    """ns UTC at which the clock of `zone` shows `clock` ("HH:MM") on `day`, or ("-HH:MM") on the day before."""
    if clock.startswith("-"):
        return wall(day - DAY, clock[1:], zone)
    return to_ns(dt.datetime.combine(day, dt.time.fromisoformat(clock), ZoneInfo(zone)))


@cache
def closes_of(exchange: str, first: dt.date, last: dt.date) -> dict[dt.date, int]:
    """The trading dates of an exchange in order, and when it closes on them (ns UTC). To lay them out takes most of a second."""
    import exchange_calendars  # brings pandas: a command that asks for no date does without

    schedule = exchange_calendars.get_calendar(exchange, start=str(first), end=str(last)).schedule
    days = schedule.index.to_numpy().astype("datetime64[D]").astype(object)
    closes = schedule["close"].astype("int64").to_numpy()
    scale = {"ns": 1, "us": 1000, "ms": 10**6, "s": 10**9}[schedule["close"].dt.unit]
    return {day: int(close) * scale for day, close in zip(days, closes, strict=True)}


class Calendar:
    """The trading dates of a configuration. One per process and `sessions`: `calendar(config)`."""

    def __init__(self, rules: Sessions) -> None:
        self._sessions = rules
        self._closes = closes_of(rules.calendar, rules.first_date - 60 * DAY, rules.last_date)
        self._dates = list(self._closes)

    def covers(self, day: dt.date) -> bool:
        return self._dates[0] <= day <= self._dates[-1]

    def is_trading_date(self, day: dt.date) -> bool:
        return day in self._closes

    def dates(self, first: dt.date, last: dt.date) -> list[dt.date]:
        """The trading dates from `first` to `last`, both included."""
        return self._dates[bisect_left(self._dates, first) : bisect_left(self._dates, last + DAY)]

    def holidays(self, first: dt.date, last: dt.date) -> list[dt.date]:
        """The weekdays, Monday to Friday, from `first` to `last` that are not trading dates."""
        days = (first + DAY * i for i in range((last - first).days + 1))
        return [day for day in days if day.weekday() < 5 and day not in self._closes]

    def before(self, day: dt.date, count: int) -> list[dt.date]:
        """The `count` trading dates that precede `day`, latest first."""
        at = bisect_left(self._dates, day)
        return self._dates[max(0, at - count) : at][::-1]

    def after(self, day: dt.date) -> dt.date:
        """The first trading date later than `day`."""
        return self._dates[bisect_left(self._dates, day + DAY)]

    def require(self, day: dt.date) -> dt.date:
        """`day` if it is a trading date, else NotATradingDate with a reason and the nearest dates."""
        if day in self._closes:
            return day
        if not self._dates[0] <= day <= self._dates[-1]:
            raise NotATradingDate(f"{day} lies outside the calendar ({self._dates[0]} to {self._dates[-1]})")
        reason = "a weekend" if day.weekday() >= 5 else f"a holiday of {self._sessions.calendar}"
        raise NotATradingDate(
            f"{day} is {reason}, not a trading date; the nearest are {self.before(day, 1)[0]} and {self.after(day)}"
        )

    def session(self, day: dt.date) -> Session:
        """The times of a trading date. Raises NotATradingDate, and ValueError where the configured times fit into no session."""
        rules = self._sessions
        self.require(day)
        eve = day - DAY
        exchange, market = rules.exchange_zone, rules.market_zone
        globex = Window(wall(eve, rules.globex_open, exchange), wall(day, rules.globex_close, exchange))
        premarket_start, regular_open = (wall(day, clock, market) for clock in (rules.premarket_start, rules.regular_open))
        usual_close = wall(day, rules.regular_close, market)
        close = min(self._closes[day], usual_close)
        if not globex.start <= premarket_start <= regular_open < close <= globex.end or utc_day(globex.end) != day:
            raise ValueError(
                f"sessions: on {day} expected globex_open <= premarket_start <= regular_open < regular_close <= globex_close,"
                " which lies on that day in UTC"
            )
        end = close - rules.session_end_minutes * 60 * NS_PER_SECOND
        opening_range_end = wall(day, rules.opening_range_end, market)
        return Session(
            date=day,
            bronze=Window(wall(eve, rules.bronze_cut, exchange), wall(day, rules.bronze_cut, exchange)),
            globex=globex,
            premarket=Window(premarket_start, regular_open),
            opening_range=Window(regular_open, opening_range_end),
            signals=Window(regular_open, min(wall(day, rules.signals_end, market), end)),
            regular=Window(regular_open, close),
            end=end,
            early_close=close < usual_close,
        )

    def date_of(self, time: int) -> dt.date | None:
        """The trading date whose Bronze holds an instant; None in the Globex hours of a holiday and at weekends."""
        zone, cut = self._sessions.exchange_zone, self._sessions.bronze_cut
        local = to_datetime(time, zone).date()
        day = local + DAY if time > wall(local, cut, zone) else local
        return day if day in self._closes else None


_calendar = cache(Calendar)


def calendar(config: Config) -> Calendar:
    """The calendar of a configuration, made once."""
    return _calendar(config.sessions)


MONTHS: Final = "FGHJKMNQUVXZ"  # letters of contract months, January to December


def third_friday(year: int, month: int) -> dt.date:
    """The day on which index futures expire."""
    first = dt.date(year, month, 1)
    return first + DAY * ((4 - first.weekday()) % 7 + 14)


def _last_day(year: int, month: int) -> dt.date:
    return dt.date(year + month // 12, month % 12 + 1, 1) - DAY


def _last_friday(year: int, month: int) -> dt.date:
    last = _last_day(year, month)
    return last - DAY * ((last.weekday() - 4) % 7)


def _twenty_fifth_before(year: int, month: int) -> dt.date:
    return (dt.date(year, month, 1) - DAY).replace(day=25)


EXPIRIES: Final[Mapping[str, tuple[Callable[[int, int], dt.date], int]]] = {  # rule -> a day, how many trading dates before it
    "third friday": (third_friday, 0),  # equity indices; a holiday's: the last date before it (CME 35803.A)
    "last friday": (_last_friday, 0),  # crypto currencies
    "third last date": (_last_day, 2),  # metals: the third last of the contract month
    "before the 25th": (_twenty_fifth_before, 3),  # crude oil: three before the 25th of the month before the contract's
}


def expiry(year: int, month: int, config: Config) -> dt.date:
    """The last trading date of a contract month's future, by the instrument's rule. Beyond the calendar weekdays count as dates."""
    anchor, back = EXPIRIES[config.instrument.expiry]
    day, trading = anchor(year, month), calendar(config)
    if trading.covers(day) and len(found := trading.before(day + DAY, back + 1)) > back:
        return found[back]
    while day.weekday() > 4 or back:
        back -= day.weekday() <= 4
        day -= DAY
    return day


def expiry_of(symbol: str, near: dt.date, config: Config) -> dt.date:
    """The expiry of an outright such as ESH4: one or two digits of year, read as the year closest to `near`."""
    root = config.instrument.root
    letter, digits = symbol[len(root)], symbol[len(root) + 1 :]
    span = 10 ** len(digits)
    year = near.year - near.year % span + int(digits)
    year = min((year + span, year, year - span), key=lambda y: abs(y - near.year))
    return expiry(year, MONTHS.index(letter) + 1, config)


def nearest_contract(day: dt.date, config: Config) -> str:
    """The calendar rule: the nearest contract that expires at least `roll_days` after `day`, e.g. ESH4."""
    limit = day + DAY * config.instrument.roll_days
    for ahead in range(day.month - 1, day.month + 35):
        year, month = day.year + ahead // 12, ahead % 12 + 1
        letter = MONTHS[month - 1]
        if letter in config.instrument.months and expiry(year, month, config) >= limit:
            return f"{config.instrument.root}{letter}{year % 10}"
    raise ValueError(f"no contract expires within three years of {day} and {config.instrument.roll_days} days after it")


def exchange_dates(times: np.ndarray, config: Config) -> np.ndarray:
    """Dates in exchange time (datetime64[D]) of ns UTC instants: an option is 0DTE if its expiration's is the trading date."""
    unique, index = np.unique(np.asarray(times, dtype=np.int64), return_inverse=True)
    zone = config.sessions.exchange_zone
    days = np.array([to_datetime(int(time), zone).date() for time in unique], dtype="datetime64[D]")
    return days[index]
