"""The partitions: one per trading date.

A key exists once its day is over in the market's zone, New York (00:00 of the next day); weekends and holidays of the calendar are
left out, so that offsets count trading dates.
"""

import datetime as dt

import dagster as dg

from spymaster_assets.config import load
from spymaster_assets.sessions import calendar

CONFIG = load()
_rules = CONFIG.sessions
_trading = calendar(CONFIG)
_holidays = _trading.holidays(_rules.first_date, _rules.last_date)
_closed = {*range(7)} - {day.weekday() for day in _trading.dates(_rules.first_date, _rules.last_date)}
_weekend = ",".join(str((day + 1) % 7) for day in sorted(_closed))  # cron's days: 0 is Sunday

trading_dates = dg.DailyPartitionsDefinition(
    start_date=dt.datetime.combine(_rules.first_date, dt.time()),
    timezone=_rules.market_zone,
    exclusions=[*([f"0 0 * * {_weekend}"] if _weekend else []), *(dt.datetime.combine(day, dt.time()) for day in _holidays)],
    end_offset=0,
)


def date_of(context: dg.AssetExecutionContext) -> dt.date:
    """The trading date of a run."""
    return dt.date.fromisoformat(context.partition_key)
