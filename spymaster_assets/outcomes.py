"""How touches came out, beside what a driftless price would have done: the first table to look at."""

from __future__ import annotations

import datetime as dt
import math
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, Final

from spymaster_assets import catalog
from spymaster_assets.lake import Lake
from spymaster_assets.tables import PATH_TRUTH, TRAINING

QUERY = """
    select coalesce(kind, 'all') as kind, count(*) as touches,
           {observed},
           {expected}
    from gold_training where elapsed = 0 and trainable_4min = 1 and geometry_break_4min is not null {only}
    group by grouping sets ((kind), ()) order by kind = 'all', kind"""
FAR = """
    select quantile_cont(theta_4min, [0.25, 0.75])
    from gold_training where elapsed = 0 and trainable_4min = 1 and geometry_break_4min is not null {only}"""
WIDTH: Final = 120  # of a line
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
    only = f"and date in ({listed})"
    query = QUERY.format(observed=observed, expected=expected, only=only)
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
    yield from textwrap.wrap(_meaning(lake, rows, only), WIDTH)
    if planted := len(set(shown) & set(lake.local.dates(PATH_TRUTH))):
        yield f"{planted} of {len(shown)} dates are simulated: they tell nothing of the market."


def _meaning(lake: Lake, rows: Sequence[tuple[Any, ...]], only: str) -> str:
    """What the table's words mean, how far a break is, and what luck alone does to its shares."""
    query, tick = FAR.format(only=only), lake.config.instrument.tick / lake.config.instrument.point
    near, far = (ticks * tick for ticks in catalog.connect(lake, query=query).execute(query).fetchall()[0][0])
    few, many = min(row[1] for row in rows), max(row[1] for row in rows)
    return (
        "break: the price went through the level and on; bounce: it turned back; chop: neither. How far decides depends on the "
        f"volatility before the touch: {near:.2f} to {far:.2f} points from the level for the middle half of them. By chance: what "
        "a price without memory would do from the same place with the same volatility (docs/physics.md, 4.3): the baseline to "
        f"beat. Luck alone moves a share of {many:,} touches by up to {_luck(many):.0f} percentage points, of {few:,} by "
        f"{_luck(few):.0f}, nineteen times of twenty."
    )


def _luck(touches: int) -> float:
    """Percentage points: 1.96 standard errors of a share of one third, of touches that have nothing to do with each other."""
    return 196 * math.sqrt(2 / 9 / touches)
