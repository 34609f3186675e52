"""The short day without its signals, asked where quicker tests noticed nothing: a stand-in for tests/test_golden.py.

That test remembers the bytes of every table of the whole day, which takes half a minute without compilation, most of it for
signals. Here the first run, unchanged, keeps the bytes, and later ones compare.
"""

import os
from pathlib import Path

from spymaster_assets.compute.stream import Day
from tests import made_once, short_day


def test_tables_of_the_short_day() -> None:
    day = short_day.begin(Day(short_day.SESSION, short_day.CONFIG, short_day.priors()), short_day.option_events())
    day.take(short_day.records())
    day.complete(short_day.SESSION.globex.end)
    for advance in (day.advance_options, day.advance_path, day.advance_touches, day.advance_features):
        advance()
    grown = (day.prints, day.flow, day.levels, day.touches, day.features, *day.bars.values())
    tables = [day.snaps, day.labels(), day.summary(), *(one.rows for one in grown)]
    found = b"".join(table.tobytes() for table in tables)
    kept = Path(os.environ[made_once.FOLDER]) / "day.bytes"
    if not kept.exists():
        kept.write_bytes(found)
    assert found == kept.read_bytes(), "other bytes"
