"""How touches came out, beside what a driftless price would have done: the first table to look at."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence

from spymaster_assets import catalog
from spymaster_assets.lake import Lake
from spymaster_assets.tables import TRAINING

QUERY = """
    select coalesce(kind, 'all') as kind, count(*) as touches,
           {observed},
           {expected}
    from gold_training where elapsed = 0 and trainable_4min = 1 and geometry_break_4min is not null {only}
    group by grouping sets ((kind), ()) order by kind = 'all', kind"""
WORDS = ("break", "bounce", "chop")


def table(lake: Lake, dates: Sequence[dt.date] | None = None) -> Iterator[str]:
    """Lines: per kind of level the touches, how they came out within 4 minutes, and the same by geometry; in percent."""
    known = lake.dates(TRAINING)
    shown = [date for date in known if dates is None or date in dates]
    if not shown:
        yield "no Gold yet: make a date with `spymaster day DATE` or `spymaster backfill FROM TO`"
        return
    observed = ", ".join(f"avg((outcome_4min = '{word.upper()}')::int) * 100" for word in WORDS)
    expected = ", ".join(f"avg(geometry_{word}_4min) * 100" for word in WORDS)
    listed = ", ".join(f"'{date}'" for date in shown)
    query = QUERY.format(observed=observed, expected=expected, only=f"and date in ({listed})")
    rows = catalog.connect(lake, query=query).execute(query).fetchall()
    if rows[-1][1] == 0:
        yield f"No touch of a key level on {len(shown)} dates whose outcome is known: spymaster status has what there is of them"
        return
    heads = [*(f"{word} %" for word in WORDS), *(f"{word} %" for word in WORDS)]
    yield f"What {sum(row[1] for row in rows[:-1]):,} touches of key levels on {len(shown)} dates did within 4 minutes:"
    yield f"{'':<18}{'what happened':^33}{'by chance from there':^33}"
    yield f"{'level':<9}{'touches':>9}" + "".join(f"{head:>11}" for head in heads)
    for kind, touches, *shares in rows:
        yield f"{kind:<9}{touches:>9,}" + "".join(f"{share:>11.1f}" for share in shares)
    yield "break: the price went through and on; bounce: it turned back; chop: neither. By chance: what a price without"
    yield "memory would do from the same place with the same volatility (docs/physics.md, 4.3): the baseline to beat."
