"""What the lake holds, for a reader: trading dates by stages or by tables, what is stale and why, disk."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Final

from spymaster_assets.assets.checks import EVERY_CHECK
from spymaster_assets.daily import refused
from spymaster_assets.fingerprint import Manifest
from spymaster_assets.lake import Lake
from spymaster_assets.landing import dates_served
from spymaster_assets.progress import terminal
from spymaster_assets.quality import recall
from spymaster_assets.schema import Table
from spymaster_assets.sessions import calendar
from spymaster_assets.staleness import MISSING, Staleness
from spymaster_assets.store import size_of
from spymaster_assets.tables import BRONZE, GOLD, SILVER, TRAINING
from spymaster_assets.whole import broken

MARKS: Final = {"fresh": "✓", "refused": "✗", "unjudged": "?", "stale": "~", "holes": "!", "absent": "-", "missing": "·"}
WORDS: Final = {
    "fresh": "complete", "refused": "a blocking check failed", "unjudged": "not judged as it is now",
    "stale": "made from other input than there is now",
    "holes": "files do not cover the whole date", "absent": "no files", "missing": "not made",
}  # fmt: skip
# Of the states of a stage's tables, the one that the stage shows: the first of these that is among them.
_WORST: Final = ("refused", "unjudged", "missing", "stale", "holes", "fresh", "absent")
STAGES: Final = {"bronze": BRONZE, "silver": SILVER, "gold": GOLD}
_ALL: Final = tuple(table for tables in STAGES.values() for table in tables)
SHORT: Final = {"futures": "fut", "option": "opt", "statistics": "stats", "definitions": "defs"}  # for column heads


class Status:
    """The state of a lake at one moment."""

    def __init__(self, lake: Lake, dates: Sequence[dt.date] | None = None) -> None:
        self.lake, self.staleness = lake, Staleness(lake)
        self.dates = list(dates) if dates else self._known_dates()

    def _known_dates(self) -> list[dt.date]:
        """The trading dates whose regular session landing holds books of, or of which a partition is published."""
        trading = calendar(self.lake.config)
        books = [file for file in self.staleness.files if file.schema == "mbp-10"]
        served = {
            date for file in books for date in dates_served(file, self.lake.config) if file.overlaps(*trading.session(date).regular)
        }
        return sorted(served | {date for table in BRONZE for date in self.lake.dates(table)})

    def nothing(self) -> str:
        """Why there is no date to show, and what makes one."""
        useful = [file for file in self.staleness.files if not file.problem]
        served = sorted({date for file in useful for date in dates_served(file, self.lake.config)})
        folder = self.lake.root / "landing"
        if not served:
            return f"nothing below {self.lake.root} yet: put Databento files into {folder}, or run `spymaster simulate`"
        listed = ", ".join(map(str, served[:5])) + (" ..." if len(served) > 5 else "")
        return (
            f"no date is made, and none of the {len(useful)} files in {folder} holds the book (mbp-10) of a regular session. "
            f"They touch {listed}: spymaster day DATE makes what there is of a date"
        )

    def state(self, table: Table, date: dt.date) -> str:
        """A key of MARKS."""
        why = self.staleness.why(table, date)
        if why:
            return "missing" if why == [MISSING] else "stale"
        found = refused(self.lake, table, date)
        if found != []:
            return "unjudged" if found is None else "refused"
        manifest = self.lake.published(table, date)
        assert manifest is not None, "what is not missing has a manifest"
        return _completeness(manifest)

    def by_stage(self) -> Iterator[str]:
        """One line per date: per stage rows, bytes and its worst table's state; and how touches came out."""
        yield f"{'':<10}  " + "  ".join(f"{stage + ' rows':>14} {'MB':>7}  " for stage in STAGES) + "  touches  trainable"
        show = terminal()
        for done, date in enumerate(self.dates, 1):
            show("status", done, len(self.dates))
            cells = []
            for tables in STAGES.values():
                found = [manifest for table in tables if (manifest := self.lake.published(table, date))]
                states = {self.state(table, date) for table in tables}
                mark = MARKS[next(state for state in _WORST if state in states)]
                rows, size = sum(manifest.rows for manifest in found), sum(manifest.size for manifest in found)
                cells.append(f"{rows:>14,} {size / 1e6:>7,.1f} {mark}" if found else f"{'':>14} {'':>7} {mark}")
            training = self.lake.published(TRAINING, date)
            facts = training.facts if training else {}
            yield f"{date}  " + "  ".join(cells) + f"  {facts.get('touches', ''):>7}  {facts.get('trainable_4min', ''):>9}"

    def by_table(self) -> Iterator[str]:
        """Per stage one line per date with the rows and state of each table."""
        for stage, tables in STAGES.items():
            heads = ["_".join(SHORT.get(word, word) for word in table.name.split("_")) for table in tables]
            yield f"{stage:<10}  " + " ".join(f"{head:>{max(11, len(head))}}" for head in heads)
            for date in self.dates:
                cells = []
                for table, head in zip(tables, heads, strict=True):
                    manifest, state = self.lake.published(table, date), self.state(table, date)
                    rows = f"{manifest.rows:,} " if manifest and state != "absent" else ""
                    cells.append(f"{rows + MARKS[state]:>{max(11, len(head))}}")
                yield f"{date}  " + " ".join(cells)
            yield ""

    def reasons(self) -> Iterator[str]:
        """What is stale and why, once for all of which the same is said, and which blocking checks failed with what."""
        alike: dict[tuple[str, ...], list[dt.date]] = {}
        for date in self.dates:
            alike.setdefault(tuple(self._stale(date)), []).append(date)
        for said, dates in alike.items():
            yield from (f"{_several(dates)} {line}" for line in said)
        for date in self.dates:
            for table in _ALL:
                for name in refused(self.lake, table, date) or ():
                    found = recall(self.lake, table, date, [check for check in EVERY_CHECK if check.table is table]) or {}
                    yield f"{date} {table.stage}/{table.name}, check {name} failed: {found[name].message}"
        yield from self.landing()

    def _stale(self, date: dt.date) -> Iterator[str]:
        """What of a date is stale and why, without the date: a line for each reason, and one for what only follows."""
        known = {table: why for table in _ALL if (why := self.staleness.why(table, date)) and why != [MISSING]}
        roots = {table: why for table, why in known.items() if not all(one.endswith(" is stale") for one in why)}
        tables: dict[str, list[str]] = {}
        for table, why in (roots or known).items():
            tables.setdefault("; ".join(why), []).append(f"{table.stage}/{table.name}")
        for reason, names in tables.items():
            yield f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} stale: {reason}"
        if roots and len(known) > len(roots):
            yield f"and so are {', '.join(table.name for table in known if table not in roots)}"

    def landing(self) -> Iterator[str]:
        """Files of landing that are of no use, and those of dates without Bronze that cannot be read to their end; and why."""
        made = set.intersection(*(set(self.lake.dates(table)) for table in BRONZE))
        for file in self.staleness.files:
            if file.problem:
                yield f"not used: landing/{file.path}: {file.problem}"
            elif set(dates_served(file, self.lake.config)) - made and (trouble := broken(self.staleness.landing.path(file))):
                yield f"cannot be read: landing/{file.path}: {trouble}"

    def disk(self) -> Iterator[str]:
        """Bytes of each folder, and of a date of the lake, whichever are shown."""
        names = ("landing", "bronze", "silver", "gold", "models", "truth", "dagster", "nats", *(["cache"] * bool(self.lake.url)))
        sizes = {name: self.lake.store.size(name) if name in STAGES else size_of(self.lake.root / name) for name in names}
        made = len(self._known_dates()) or 1
        for name, size in sizes.items():
            yield f"{name:<8} {size / 1e6:>12,.1f} MB {size / made / 1e6:>10,.1f} MB a date"


def _several(dates: Sequence[dt.date]) -> str:
    """A date, or two, or how many of them from the first to the last."""
    few = len(dates) <= 2
    return ", ".join(map(str, dates)) if few else f"{dates[0]} to {dates[-1]} ({len(dates)} dates)"


def _completeness(manifest: Manifest) -> str:
    """How well the files of a partition cover its date, as a key of MARKS."""
    states = list(manifest.facts.get("coverage", {"": "full"}).values())
    return "fresh" if all(state.startswith("full") for state in states) else "absent" if set(states) == {"missing"} else "holes"
