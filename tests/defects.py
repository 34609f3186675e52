"""Seeded defects: a lake beside a sound one, a partition edited and published again, and what its checks then say."""

import datetime as dt
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spymaster_assets.assets.checks import results
from spymaster_assets.config import Config
from spymaster_assets.gold import STAGES
from spymaster_assets.ingest import Intake, ingest_date
from spymaster_assets.lake import VERDICT, Lake
from spymaster_assets.landing import Landing
from spymaster_assets.maker import Maker
from spymaster_assets.quality import Check
from spymaster_assets.schema import TEXT, Table
from spymaster_assets.simulator.write import simulate
from spymaster_assets.tables import TABLES
from tests.made_once import made_once

DATE = dt.date(2025, 6, 3)
CONFIG = Config()
SECOND = 1_000_000_000
FOLDERS = ("bronze", "silver", "gold")

Text = dict[str, np.ndarray]
Where = Callable[[np.ndarray], Any]
Edit = Callable[[np.ndarray, Text], Any]  # changes rows and texts in place; an answer: which rows are stored instead, in order
Found = dict[str, dg.AssetCheckResult]


# Lakes


def made_of(root: Path, events: int, seed: int) -> Lake:
    """A simulated date from landing to sequences, without earlier dates: a copy of what is made once a test run."""

    def make(folder: Path) -> None:
        lake = Lake(folder, CONFIG)
        simulate(folder / "landing", [DATE], events_per_session=events, seed=seed, config=CONFIG)
        for result in ingest_date(Intake(DATE, lake, Landing(folder / "landing", CONFIG))).values():
            assert not isinstance(result, Exception), result
        maker = Maker(DATE, lake)
        for stage in STAGES:
            maker.make(stage)

    shutil.copytree(made_once(f"date-{events}-{seed}", make), root, dirs_exist_ok=True)
    return Lake(root, CONFIG)


def beside(sound: Lake, root: Path, *copied: Table) -> Lake:
    """A lake that has copies of some tables, not judged yet, and links to the others."""
    for stage in filter(lambda stage: (sound.root / stage).exists(), FOLDERS):
        (root / stage).mkdir()
        for folder in (sound.root / stage).iterdir():
            if TABLES[f"{stage}/{folder.name}"] in copied:
                shutil.copytree(folder, root / stage / folder.name, ignore=shutil.ignore_patterns(VERDICT))
            else:
                (root / stage / folder.name).symlink_to(folder.resolve())
    return Lake(root, sound.config)


def clone(sound: Lake, root: Path, *stages: str) -> Lake:
    """A lake of its own."""
    for stage in stages or ("bronze", "silver"):
        shutil.copytree(sound.root / stage, root / stage)
    return Lake(root, sound.config)


_held: dict[str, tuple[np.ndarray, Text]] = {}  # content hash -> rows and texts, read once


def edited(lake: Lake, table: Table, edit: Edit | None) -> tuple[np.ndarray, Text]:
    """Rows and texts of a partition after an edit."""
    manifest = lake.manifest(table, DATE)
    assert manifest is not None
    if manifest.content not in _held:
        names = [column.name for column in table.columns if column.dtype == TEXT]
        _held[manifest.content] = lake.rows(table, DATE), lake.arrays(table, DATE, names) if names else {}
    held, words = _held[manifest.content]
    rows, text = held.copy(), {name: column.copy() for name, column in words.items()}
    stored = edit(rows, text) if edit else None
    if stored is not None:
        rows, text = rows[stored], {name: column[stored] for name, column in text.items()}
    return rows, text


def publish(
    lake: Lake, table: Table, edit: Edit | None = None, facts: Mapping[str, Any] | None = None, date: dt.date = DATE
) -> None:
    """Publish a partition again (or as another date's), edited, as a defective maker would have: its manifest fits its rows."""
    manifest = lake.manifest(table, DATE)
    assert manifest is not None
    rows, text = edited(lake, table, edit)
    with lake.write(table, date, manifest.fingerprint) as writer:
        writer.append_rows(rows, text)
        writer.publish({**manifest.facts, **(facts or {})})


def store(lake: Lake, table: Table, change: Callable[[pa.Table], pa.Table]) -> None:
    """Exchange the stored file for another, behind the manifest's back."""
    path = lake.path(table, DATE)
    pq.write_table(change(pq.read_table(path, partitioning=None)), path)


# Edits


def at(rows: np.ndarray, where: Any) -> Any:
    """A place in rows: a number, a slice, or the first row (of several that must be there) that a condition holds for."""
    if not callable(where):
        return where
    found = np.flatnonzero(where(rows))
    assert found.size, "the date has no row for this defect"
    return found[:1]


def put(name: str, value: Any, where: Any) -> Edit:
    def edit(rows: np.ndarray, _: Text) -> None:
        rows[name][at(rows, where)] = value

    return edit


def add(name: str, step: Any, where: Any) -> Edit:
    def edit(rows: np.ndarray, _: Text) -> None:
        rows[name][at(rows, where)] += step

    return edit


def each(*edits: Edit) -> Edit:
    """Several edits of the same rows."""

    def edit(rows: np.ndarray, text: Text) -> None:
        for one in edits:
            one(rows, text)

    return edit


def lose(where: Any) -> Edit:
    return lambda rows, _: np.delete(np.arange(len(rows)), at(rows, where))


def double(where: Any) -> Edit:
    return lambda rows, _: np.sort(np.append(np.arange(len(rows)), np.atleast_1d(at(rows, where))))


def swapped(one: str, other: str) -> Edit:
    def edit(rows: np.ndarray, _: Text) -> None:
        rows[one], rows[other] = rows[other].copy(), rows[one].copy()

    return edit


def nullable(name: str) -> Callable[[pa.Table], pa.Table]:
    """A column's first value is null, and the file declares that it may be."""

    def change(stored: pa.Table) -> pa.Table:
        column = stored.column(name).to_pylist()
        field = stored.schema.field(name).with_nullable(True)
        return stored.set_column(stored.schema.get_field_index(name), field, pa.array([None, *column[1:]], field.type))

    return change


def wider(name: str) -> Callable[[pa.Table], pa.Table]:
    """A column of another type."""
    return lambda file: file.set_column(
        file.schema.get_field_index(name), name, file.column(name).cast(pa.int64()).combine_chunks()
    )


def flip(lake: Lake, table: Table, column: int) -> None:
    """Flip a bit in the last bytes of a column's first chunk."""
    path = lake.path(table, DATE)
    chunk = pq.ParquetFile(path).metadata.row_group(0).column(column)
    content = bytearray(path.read_bytes())
    start = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
    content[start + chunk.total_compressed_size - 2] ^= 1
    path.write_bytes(content)


def at_elapsed(seconds: float) -> Where:
    return lambda rows: rows["elapsed"] == seconds


def came_out(name: str, outcome: int) -> Where:
    return lambda rows: rows[f"outcome_{name}"] == outcome


# Defects


@dataclass(frozen=True)
class Defect:
    """What goes wrong in a table, and the check that must say so.

    `off`: by how much the measured values named miss their thresholds (0 where none is declared); None: they miss them; a text:
    the measured value holds it. `also`: checks of the table that fail too, because they must. `of`: the table that is damaged, if
    not the one that is checked.
    """

    table: Table
    check: str
    what: str
    spoil: Edit | None
    off: Mapping[str, float | str | None]
    also: tuple[str, ...] = ()
    of: Table | None = None
    facts: Mapping[str, Any] | None = None
    stored: Callable[[pa.Table], pa.Table] | None = None

    def apply(self, sound: Lake, root: Path) -> Lake:
        damaged = self.of or self.table
        lake = beside(sound, root, damaged)
        if self.stored:
            store(lake, damaged, self.stored)
        else:
            publish(lake, damaged, self.spoil, self.facts)
        return lake

    def __str__(self) -> str:
        return f"{self.table.name}/{self.check}: {self.what}"


def name_of(check: Check) -> str:
    return f"{check.table.name}/{check.name}"


# What the checks say


def measured(lake: Lake, table: Table) -> Found:
    """The checks of a table as Dagster shows them."""
    return {result.check_name or "": result for result in results(lake, table, DATE, _connection())}


@cache
def _connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})


def shown(result: dg.AssetCheckResult | dg.AssetCheckEvaluation) -> tuple[dict[str, Any], dict[str, Any]]:
    """(measured, threshold) of a result."""
    values = {name: value.value for name, value in (result.metadata or {}).items()}
    limits = {name.removeprefix("threshold: "): value for name, value in values.items() if name.startswith("threshold: ")}
    return {name: value for name, value in values.items() if not name.startswith("threshold: ")}, limits


def misses(result: dg.AssetCheckResult, off: Mapping[str, float | str | None]) -> None:
    """Assert that measured values miss their thresholds as a defect's `off` says."""
    values, limits = shown(result)
    for name, by in off.items():
        if by is None:
            assert values[name] != limits[name], name
        elif isinstance(by, str):
            assert by in values[name], name
        else:
            assert values[name] - limits.get(name, 0) == by, name
