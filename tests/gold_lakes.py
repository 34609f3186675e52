"""A sound date to Gold, alone or beside earlier dates, and Gold made again from what a lake holds: for tests of Gold's checks."""

import datetime as dt
import shutil
from pathlib import Path

import numpy as np

from spymaster_assets.features import FEATURES
from spymaster_assets.gold import GOLD_STAGES
from spymaster_assets.lake import MANIFEST, Lake
from spymaster_assets.maker import Maker, Stage
from spymaster_assets.schema import Table
from spymaster_assets.sessions import calendar
from spymaster_assets.tables import FUTURES_MBP10, GOLD, PRIORS, SEQUENCES, TRAINING
from tests.defects import CONFIG, DATE, Edit, Found, Text, beside, made_of, measured, publish

EARLIER = calendar(CONFIG).before(DATE, 6)[::-1]
TRAIN, SEQUENCE = GOLD_STAGES


def sound_date(root: Path) -> Lake:
    """A simulated date from landing to sequences, without earlier dates."""
    lake = made_of(root, events=60_000, seed=1)
    maker = Maker(DATE, lake)
    for table in {table for stage in GOLD_STAGES for table in stage.inputs}:
        maker.rows(table)
    _sound.update(maker._held)
    return lake


_sound: dict[tuple[str, str], np.ndarray] = {}  # (table, content hash) -> rows of the sound date, read once


def knowing(lake: Lake) -> Maker:
    """A maker that has the sound date in memory."""
    maker = Maker(DATE, lake)
    maker._held.update(_sound)
    return maker


def make(lake: Lake, *those: Stage) -> None:
    """Make tables from what the lake holds now."""
    maker = knowing(lake)
    for stage in those:
        maker.make(stage)


def with_earlier_dates(sound: Lake, root: Path) -> Lake:
    """The same as if six earlier dates had been there, much like it."""
    lake = beside(sound, root, *GOLD, PRIORS, FUTURES_MBP10)
    for number, date in enumerate(EARLIER):
        publish(lake, TRAINING, noise(number), date=date)
    with_books(lake, EARLIER)
    publish(lake, PRIORS, facts={"dates": [date.isoformat() for date in EARLIER], "missing": []})
    return lake


def with_books(lake: Lake, dates: list[dt.date]) -> None:
    """Books of other dates, as far as anyone asks: that they are there."""
    for date in dates:
        folder = lake.folder(FUTURES_MBP10, date)
        folder.mkdir()
        shutil.copy(lake.folder(FUTURES_MBP10, DATE) / MANIFEST, folder)


def noise(number: int) -> Edit:
    """Every feature up to 1 % off; on the first date others too, and those known that the rest do not have, for want of priors."""

    def edit(rows: np.ndarray, _: Text) -> None:
        of = np.random.default_rng(number)
        for feature in FEATURES:
            if not feature.categories:
                rows[feature.name] *= of.uniform(0.99, 1.01, len(rows))
                if number == 0 and np.unique(rows[feature.name][~np.isnan(rows[feature.name])]).size < 2:
                    rows[feature.name] = of.normal(size=len(rows))
            elif number == 0:
                rows[feature.name][::2] = (rows[feature.name][::2] + 1) % len(feature.categories)

    return edit


def judged(lake: Lake, table: Table) -> Found:
    """The checks of a table of Gold, made from what the lake holds now."""
    make(lake, TRAIN, *([SEQUENCE] if table is SEQUENCES else []))
    return measured(lake, table)
