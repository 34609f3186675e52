"""The partitions: one per trading date.

A key exists once its day is over in New York (00:00 of the next day); weekends and holidays of the exchange are left out, so that
offsets count trading dates.
"""

import datetime as dt

import dagster as dg

from spymaster_assets.config import load
from spymaster_assets.sessions import calendar

CONFIG = load()
_rules = CONFIG.sessions
_holidays = calendar(CONFIG).holidays(_rules.first_date, _rules.last_date)

trading_dates = dg.DailyPartitionsDefinition(
    start_date=dt.datetime.combine(_rules.first_date, dt.time()),
    timezone=_rules.market_zone,
    exclusions=["0 0 * * 6,0", *(dt.datetime.combine(day, dt.time()) for day in _holidays)],
    end_offset=0,
)


def date_of(context: dg.AssetExecutionContext) -> dt.date:
    """The trading date of a run."""
    return dt.date.fromisoformat(context.partition_key)
