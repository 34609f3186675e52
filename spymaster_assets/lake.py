"""The lake: where a table of a date lives, how it is published, how it is read.

    <root>/lake.json                                        the number of this layout, and whose instrument it is: layout.py
    <root>/<stage>/<table>/date=YYYY-MM-DD/manifest.json    what the partition holds; it alone makes the partition exist
                                          /<key>.parquet    the data that the manifest names
                                          /checks.json      what the checks found of it

Publishing: write to a temporary file, fsync, rename, then replace the manifest the same way; a reader follows the manifest, so
it sees the old partition or the new one, never a part. Whatever a killed process leaves behind is swept by the next writer
of that partition, which holds its lock.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spymaster_assets.ahead import ahead
from spymaster_assets.columnar import ContentHash, to_arrow, to_numpy
from spymaster_assets.config import Config, data_root, data_url
from spymaster_assets.config import Store as Settings
from spymaster_assets.fingerprint import Fingerprint, Manifest
from spymaster_assets.layout import LakeError as LakeError
from spymaster_assets.layout import name_instrument, require
from spymaster_assets.schema import TEXT, Table
from spymaster_assets.store import LOCK, Disk, Stat, Store
from spymaster_assets.store import MANIFEST as MANIFEST
from spymaster_assets.version import VERSION

VERDICT = "checks.json"  # what the checks found of the partition; quality.py decides what it says
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class PartitionWriter:
    """Writes one partition; made by `Lake.write`. `append` takes columns, `publish` makes them the partition."""

    def __init__(self, lake: Lake, table: Table, date: dt.date, fingerprint: Fingerprint, folder: Path) -> None:
        """`folder`: where the file is written."""
        self._lake, self._table, self._date, self._fingerprint = lake, table, date, fingerprint
        self._temporary = folder / f".{fingerprint.key}.tmp"
        self._pending: list[pa.RecordBatch] = []
        self._waiting = 0
        self._hash = ContentHash(table)
        bronze = lake.config.bronze
        encodings = {c.name: c.stored for c in table.columns}
        self._row_group = bronze.row_group
        self._parquet = pq.ParquetWriter(
            self._temporary,
            table.schema,
            compression="zstd",
            compression_level=bronze.zstd_level,
            use_dictionary=[name for name, encoding in encodings.items() if encoding is None],
            column_encoding={name: encoding for name, encoding in encodings.items() if encoding},
            write_statistics=[c.name for c in table.columns if c.name.startswith("ts_")],
            write_page_checksum=True,
            max_rows_per_page=self._row_group,  # zstd sets up a context for every page
        )

    @property
    def rows(self) -> int:
        return self._hash.rows + self._waiting

    def append(self, columns: Mapping[str, np.ndarray | pa.Array], null: Mapping[str, np.ndarray] | None = None) -> None:
        """Add rows. `columns`: every column of the table, equally long; `null`: masks of nullable columns, True is null.

        A full row group is written at once and its arrays may be reused; fewer rows must not be overwritten by the caller.
        """
        masks = null or {}
        batch = pa.record_batch([to_arrow(c, columns[c.name], masks.get(c.name)) for c in self._table.columns], self._table.schema)
        self._pending.append(batch)
        self._waiting += batch.num_rows
        while self._waiting >= self._row_group:
            self._flush(self._row_group)

    def append_rows(self, rows: np.ndarray, text: Mapping[str, np.ndarray | pa.Array] | None = None) -> None:
        """Add rows in their in-memory form (`Table.dtype`), a row group at a time; `text`: the columns that it has no place for."""
        table, size = self._table, self._row_group
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            columns: dict[str, np.ndarray | pa.Array] = {name: words[start : start + size] for name, words in (text or {}).items()}
            columns |= {c.name: np.ascontiguousarray(table.place(c, part)) for c in table.columns if c.dtype != TEXT}
            self.append(columns)

    def _flush(self, rows: int) -> None:
        """Write the first `rows` pending rows as one row group."""
        if len(self._pending) == 1 and self._waiting == rows:
            ready, self._pending = pa.Table.from_batches(self._pending), []
        else:
            whole = pa.Table.from_batches(self._pending).unify_dictionaries().combine_chunks()
            ready = whole.slice(0, rows)
            self._pending = whole.slice(rows).to_batches()
        self._waiting -= rows
        with ThreadPoolExecutor(1, thread_name_prefix="hash") as beside:
            hashed = beside.submit(self._hash_batches, ready.to_batches())
            self._parquet.write_table(ready, row_group_size=self._row_group)
        hashed.result()

    def _hash_batches(self, batches: Sequence[pa.RecordBatch]) -> None:
        for batch in batches:
            self._hash.update(batch.columns)

    def publish(self, facts: Mapping[str, Any]) -> Manifest:
        """Make the rows the partition of the date; whatever was there before is replaced."""
        if self._waiting:
            self._flush(self._waiting)
        self._parquet.close()
        manifest = Manifest(
            table=f"{self._table.stage}/{self._table.name}",
            date=self._date.isoformat(),
            rows=self._hash.rows,
            file="",
            size=self._temporary.stat().st_size,
            content=self._hash.hexdigest(),
            fingerprint=self._fingerprint,
            facts={**facts, "version": VERSION},  # which made it; no part of its hashes
        )

        def named(name: str) -> Manifest:
            return replace(manifest, file=name)

        place, stem = self._lake.key(self._table, self._date), self._fingerprint.key
        return named(self._lake.store.publish(place, self._temporary, stem, lambda name: named(name).encode()))

    def abandon(self) -> None:
        """Close and remove what was written."""
        with contextlib.suppress(Exception):  # the writer may be the thing that failed
            self._parquet.close()
        self._temporary.unlink(missing_ok=True)


@cache
def _store(root: Path, url: str, settings: Settings) -> Store:
    """One for all that a process asks of it."""
    if not url:
        return Disk(root)
    from spymaster_assets.object_store import Bucket

    return Bucket(url, root / "cache", settings)


@dataclass(frozen=True)
class Lake:
    """All partitions below `root`; or, if `url` names a bucket and prefix (s3://BUCKET/PREFIX), those there.

    Whatever is no partition (landing, models, Dagster's own) is below `root` either way. LakeError if what is there is laid out in
    another way than this program's, or of another instrument; of object storage `opened` looks at that.
    """

    root: Path
    config: Config
    url: str = ""

    @property
    def store(self) -> Store:
        return _store(self.root, self.url, self.config.store)

    @property
    def local(self) -> Lake:
        """The partitions that stay on this machine wherever the others are: the simulator's truth."""
        return Lake(self.root, self.config)

    @staticmethod
    def key(table: Table, date: dt.date) -> str:
        """A partition's place in the store."""
        return f"{table.stage}/{table.name}/date={date.isoformat()}"

    def __post_init__(self) -> None:
        require(Disk(self.root), self.config)

    def name(self) -> None:
        """Say whose instrument it holds, here and on object storage. LakeError if that is another one."""
        name_instrument(self.store, self.config)
        if self.url:  # models, captures and the bus are here
            name_instrument(Disk(self.root), self.config)

    def folder(self, table: Table, date: dt.date) -> Path:
        """The same on a disk."""
        return self.root / self.key(table, date)

    def manifest(self, table: Table, date: dt.date) -> Manifest | None:
        """The published partition's manifest, None if there is none. An unreadable one is a LakeError."""
        key = f"{self.key(table, date)}/{MANIFEST}"
        try:
            return Manifest.decode(self.store.read(key))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError) as error:
            raise LakeError(f"{self.store.where(key)}: expected a manifest: {error}") from error

    def published(self, table: Table, date: dt.date) -> Manifest | None:
        """The same, where an unreadable manifest counts as none: the partition can be made again."""
        try:
            return self.manifest(table, date)
        except LakeError:
            return None

    def current(self, table: Table, date: dt.date, fingerprint: Fingerprint) -> Manifest | None:
        """The manifest if the partition was made from exactly this and its file is there, whole."""
        manifest = self.published(table, date)
        if manifest is None or manifest.fingerprint != fingerprint:
            return None
        return manifest if self.is_whole(table, date, manifest) else None

    def is_whole(self, table: Table, date: dt.date, manifest: Manifest) -> bool:
        """Whether the file that a manifest names is there, in its size; `verify` reads every byte."""
        found = self.stat(table, date, manifest)
        return found is not None and found.size == manifest.size

    def stat(self, table: Table, date: dt.date, manifest: Manifest) -> Stat | None:
        """What there is of the file that a manifest names."""
        return self.store.stat(f"{self.key(table, date)}/{manifest.file}")

    def readable(self, table: Table, date: dt.date) -> bool:
        """Whether a partition is published, with the columns that the table has now."""
        manifest = self.manifest(table, date)
        return manifest is not None and manifest.fingerprint.schema == table.digest

    def dates(self, table: Table) -> list[dt.date]:
        """The dates of which a partition is published."""
        names = (name.removeprefix("date=") for name in self.store.holders(f"{table.stage}/{table.name}", MANIFEST))
        return sorted(dt.date.fromisoformat(name) for name in names if _DATE.fullmatch(name))

    @contextlib.contextmanager
    def write(self, table: Table, date: dt.date, fingerprint: Fingerprint) -> Iterator[PartitionWriter]:
        """A writer of one partition. On a disk it is alone in it, a second writer waits; of two on object storage the last one
        to publish is the partition. Unpublished rows are removed, leftovers swept."""
        with self.store.alone(self.key(table, date)) as folder:
            self.name()
            self._sweep(table, date)
            writer = PartitionWriter(self, table, date, fingerprint, folder)
            try:
                yield writer
            finally:
                writer.abandon()
                self._sweep(table, date)

    def leftovers(self, table: Table, date: dt.date) -> list[PurePath]:
        """What lies in a partition and its manifest does not name: what a killed writer left, or one at work has not named yet."""
        key, kept = self.key(table, date), self._kept(table, date)
        return sorted(self.store.where(f"{key}/{name}") for name in self.store.names(key) if name not in kept)

    def _kept(self, table: Table, date: dt.date) -> set[str]:
        manifest = self.published(table, date)
        return {MANIFEST, VERDICT, LOCK, manifest.file if manifest else MANIFEST}

    def _sweep(self, table: Table, date: dt.date) -> None:
        self.store.sweep(self.key(table, date), lambda: self._kept(table, date))

    def verdict(self, table: Table, date: dt.date) -> bytes:
        """What was kept about the checks of a partition. FileNotFoundError if nothing was."""
        return self.store.read(f"{self.key(table, date)}/{VERDICT}")

    def keep_verdict(self, table: Table, date: dt.date, verdict: bytes) -> None:
        self.store.write(f"{self.key(table, date)}/{VERDICT}", verdict)

    def path(self, table: Table, date: dt.date, fresh: bool = False) -> Path:
        """The Parquet file of a published partition, on this machine. LakeError if there is none.

        `fresh`: as it lies in the store now, not as it was copied from there before.
        """
        manifest = self._required(table, date)
        while True:
            try:
                return self.store.file(f"{self.key(table, date)}/{manifest.file}", fresh)
            except FileNotFoundError:  # a writer replaced it since its manifest was read
                before, manifest = manifest, self._required(table, date)
                if before == manifest:
                    raise

    def _required(self, table: Table, date: dt.date) -> Manifest:
        manifest = self.manifest(table, date)
        if manifest is None:
            where = self.store.where(self.key(table, date))
            raise LakeError(f"{where}: expected a published partition of {table.name}, found none")
        return manifest

    def _open(self, table: Table, date: dt.date) -> pq.ParquetFile:
        """The published file; if a writer replaced it since its manifest was read, the new one."""
        while True:
            path = self.path(table, date)
            try:
                return pq.ParquetFile(path, page_checksum_verification=True)
            except FileNotFoundError:
                if self.path(table, date) == path:
                    raise

    def batches(self, table: Table, date: dt.date, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows in order, a row group at a time."""
        with self._open(table, date) as file:
            for group in range(file.num_row_groups):
                rows = file.read_row_group(group, columns=None if columns is None else list(columns))
                yield from rows.combine_chunks().to_batches()

    def arrays(self, table: Table, date: dt.date, columns: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """Whole columns as numpy; codes as ASCII letters, text as objects, nulls as 0 or None."""
        names = columns or table.names
        parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
        for batch in self.batches(table, date, names):
            for name in names:
                parts[name].append(to_numpy(table[name], batch.column(name)))
        empty = {name: np.empty(0, object if table[name].dtype == TEXT else table[name].dtype) for name in names}
        return {name: np.concatenate(found) if found else empty[name] for name, found in parts.items()}

    def rows(self, table: Table, date: dt.date, columns: Sequence[str] | None = None) -> np.ndarray:
        """The whole partition in its in-memory form (`Table.dtype`). `columns`: only the fields that hold these, no others read."""
        manifest = self.manifest(table, date)
        stored, at = [c for c in table.columns if c.dtype != TEXT and (columns is None or c.name in columns)], 0
        held = {column.part_of or column.name for column in stored}
        fields = [(name, table.dtype[name]) for name in table.dtype.names or () if name in held]
        rows = np.zeros(manifest.rows if manifest else 0, fields)
        for batch in self.batches(table, date, [column.name for column in stored]):
            part = rows[at : at + batch.num_rows]
            for column in stored:
                table.place(column, part)[:] = to_numpy(column, batch.column(column.name))
            at += batch.num_rows
        return rows

    def verify(self, table: Table, date: dt.date, fresh: bool = False) -> str | None:
        """Read a partition back and compare it with its manifest; what is wrong, or None. `fresh`: see `path`."""
        manifest = self.manifest(table, date)
        if manifest is None:
            return "no manifest"
        if (manifest.table, manifest.date) != (f"{table.stage}/{table.name}", date.isoformat()):
            return f"the manifest is that of {manifest.table} of {manifest.date}"
        content = ContentHash(table)
        try:
            if (size := self.path(table, date, fresh).stat().st_size) != manifest.size:
                return f"{manifest.file}: expected {manifest.size:,} bytes, found {size:,}"
            for batch in ahead(self.batches(table, date)):
                if not batch.schema.equals(table.schema):
                    return f"{manifest.file}: expected the columns of {table.name}, found {', '.join(batch.schema.names)}"
                content.update(batch.columns)
        except (OSError, pa.ArrowException) as error:
            return f"{manifest.file}: {error}"
        if content.rows != manifest.rows:
            return f"{manifest.file}: expected {manifest.rows:,} rows, found {content.rows:,}"
        if content.hexdigest() != manifest.content:
            return f"{manifest.file}: expected content {manifest.content}, found {content.hexdigest()}"
        return None


def opened(config: Config, root: Path | None = None, url: str = "") -> Lake:
    """The lake at `root` and, if given, `url`; or the one that the environment names. LakeError if it is not for this program, or
    not for these settings."""
    lake = Lake(root, config, url) if root else Lake(data_root(), config, data_url())
    if lake.url:
        require(lake.store, config)
    return lake


def scan(files: Sequence[str]) -> str:
    """SQL that reads partitions' files in row order; `date` comes from the folder."""
    listed = ", ".join(f"'{pattern(file)}'" for file in files)
    return f"""select * exclude (filename), regexp_extract(filename, '.*/date=([0-9-]+)/', 1)::date as date
               from read_parquet([{listed}], hive_partitioning = false, filename = true)"""


def pattern(path: str) -> str:
    """A path inside an SQL literal that DuckDB takes for a pattern: it matches this path alone."""
    return "".join({"'": "''", "*": "[*]", "?": "[?]", "[": "[[]"}.get(letter, letter) for letter in path)
