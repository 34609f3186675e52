"""Which earlier dates a model of a date may learn from.

A model "as of D" is the one to use on D. It is trained as of the first trading date of D's week (config: models.retrain), from the
trading dates before that one, the embargo left out: all dates of a week share it, and any of them alone leads to the same.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np

from spymaster_assets.lake import Lake, LakeError
from spymaster_assets.schema import Table
from spymaster_assets.sessions import calendar
from spymaster_assets.tables import SEQUENCES, TRAINING


@dataclass(frozen=True)
class AsOf:
    """What a model of `date` learns from. `since`: the date as of which it is trained; `dates`: what there is of the window.

    `missing`: trading dates of the window, since the lake's first, that have no training.
    """

    date: dt.date
    since: dt.date
    dates: tuple[dt.date, ...]
    missing: tuple[dt.date, ...]

    @property
    def coverage(self) -> float:
        """Share of the window's trading dates since the lake's first that there are."""
        return len(self.dates) / max(1, len(self.dates) + len(self.missing))

    @property
    def facts(self) -> dict[str, Any]:
        return {
            "since": self.since.isoformat(), "dates": [date.isoformat() for date in self.dates],
            "missing": [date.isoformat() for date in self.missing], "coverage": round(self.coverage, 4),
        }  # fmt: skip


def as_of(lake: Lake, date: dt.date) -> AsOf:
    """The window of a date, from what the lake has now. ValueError if the date is no trading date."""
    rules, days = lake.config.models, calendar(lake.config)
    days.session(date)
    there = [one for one in lake.dates(TRAINING) if lake.readable(TRAINING, one)]
    since = _since(lake, date, there)
    window = days.before(since, rules.train_dates + rules.embargo)[rules.embargo :][::-1]
    window = [one for one in window if there and one >= there[0]]
    return AsOf(date, since, tuple(one for one in window if one in there), tuple(one for one in window if one not in there))


def _since(lake: Lake, date: dt.date, there: list[dt.date]) -> dt.date:
    """The date as of which the model of a date is trained."""
    rules, days = lake.config.models, calendar(lake.config)
    if rules.retrain == "day":
        return date
    monday = date - dt.timedelta(days=date.weekday())
    first = days.dates(monday, date)[0]
    if rules.retrain == "week" or len(there) <= rules.min_dates:
        return first
    enough = days.dates(there[rules.min_dates - 1] + dt.timedelta(days=1), date)[rules.embargo :]
    return min(enough[0], first) if enough else first


def rows_of(lake: Lake, table: Table, dates: tuple[dt.date, ...]) -> tuple[np.ndarray, np.ndarray]:
    """All rows of a table of some dates, and the ordinal of each row's date. LakeError if a date is not there."""
    parts = []
    for date in dates:
        if not lake.readable(table, date):
            raise LakeError(f"{date}: {table.stage}/{table.name} is not there")
        parts.append(lake.rows(table, date))
    rows = np.concatenate(parts) if parts else np.zeros(0, table.dtype)
    return rows, np.repeat([date.toordinal() for date in dates], [len(part) for part in parts]).astype(np.int64)


def contents(lake: Lake, window: AsOf, *tables: Table) -> dict[str, str]:
    """Content hash of what is learnt from: "gold/training 2025-06-02" -> hash."""
    found = {}
    for table in tables or (TRAINING, SEQUENCES):
        for date in window.dates:
            manifest = lake.manifest(table, date)
            found[f"{table.stage}/{table.name} {date}"] = manifest.content if manifest else "none"
    return found
