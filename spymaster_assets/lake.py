"""The lake: where a table of a date lives, how it is published, how it is read.

    <root>/lake.json                                        the number of this layout; no file: 1
    <root>/<stage>/<table>/date=YYYY-MM-DD/manifest.json    what the partition holds; it alone makes the partition exist
                                          /<key>.parquet    the data that the manifest names
                                          /checks.json      what the checks found of it

Publishing: write to a temporary file, fsync, rename, then replace the manifest the same way; a reader follows the manifest, so
it sees the old partition or the new one, never a part. Whatever a killed process leaves behind is swept by the next writer
of that partition, which holds its lock. A manifest records the hashes of inputs, config and code (its fingerprint): the same
fingerprint is not computed again. The content hash is over canonical column bytes, not over Parquet's, so it does not depend
on chunking, compression or library versions. No wall clock: the same data give the same manifest.
"""

from __future__ import annotations

import ast
import contextlib
import datetime as dt
import hashlib
import importlib.util
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from spymaster_assets.ahead import ahead
from spymaster_assets.config import Config, data_root, data_url
from spymaster_assets.config import Store as Settings
from spymaster_assets.schema import TEXT, Column, Table
from spymaster_assets.store import LOCK, Disk, Stat, Store
from spymaster_assets.store import MANIFEST as MANIFEST

FORMAT = 1  # of the layout below; what a change of it asks for: docs/operate.md#upgrade
FORMAT_FILE = "lake.json"
VERDICT = "checks.json"  # what the checks found of the partition; quality.py decides what it says
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class LakeError(RuntimeError):
    """A partition that is missing, incomplete or not what its manifest says."""


@dataclass(frozen=True)
class Fingerprint:
    """What an artifact was made from. `inputs`: name -> content hash of each input."""

    inputs: Mapping[str, str]
    config: str
    code: str
    schema: str

    @property
    def key(self) -> str:
        """16 hex digits over all of it; names the data file."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    def differences(self, other: Fingerprint) -> list[str]:
        """What changed against `other`, in words."""
        changed = [name for name in ("config", "code", "schema") if getattr(self, name) != getattr(other, name)]
        for name in sorted({*self.inputs, *other.inputs}):
            if self.inputs.get(name) != other.inputs.get(name):
                verb = "new" if name not in other.inputs else "gone" if name not in self.inputs else "changed"
                changed.append(f"input {name} {verb}")
        return changed


@dataclass(frozen=True)
class Manifest:
    """What a published partition holds. `size`: bytes of its file; `facts`: what its maker has to say (coverage, counts, ...)."""

    table: str
    date: str
    rows: int
    file: str
    size: int
    content: str
    fingerprint: Fingerprint
    facts: Mapping[str, Any] = field(default_factory=dict)

    def encode(self) -> bytes:
        return (json.dumps(asdict(self), indent=1, sort_keys=True, allow_nan=False) + "\n").encode()

    @staticmethod
    def decode(raw: bytes) -> Manifest:
        values = json.loads(raw)
        return Manifest(**{**values, "fingerprint": Fingerprint(**values["fingerprint"])})


class ContentHash:
    """Hash of a table's values, independent of chunking: per column the little-endian bytes of its values, nulls as zero and
    marked; text as lengths and UTF-8. `update` takes Arrow arrays in schema order."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._hashes = [(xxhash.xxh3_128(), xxhash.xxh3_128()) for _ in table.columns]
        self.rows = 0

    def update(self, arrays: Sequence[pa.Array]) -> None:
        for column, array, (values, marks) in zip(self._table.columns, arrays, self._hashes, strict=True):
            if column.dtype == TEXT:
                text = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
                marks.update(pc.fill_null(pc.binary_length(text), -1).to_numpy(zero_copy_only=False).tobytes())
                values.update("".join(filter(None, text.to_pylist())).encode())
                continue
            if column.null:
                marks.update(array.is_valid().to_numpy(zero_copy_only=False).tobytes())
            values.update(np.ascontiguousarray(to_numpy(column, array)).data)
        self.rows += len(arrays[0])

    def hexdigest(self) -> str:
        total = xxhash.xxh3_128(f"{self._table.digest}:{self.rows}".encode())
        for values, marks in self._hashes:
            total.update(values.digest() + marks.digest())
        return str(total.hexdigest())


def to_numpy(column: Column, array: pa.Array) -> np.ndarray:
    """Values of an Arrow array as the column's dtype: the in-memory form of schema.py, text as objects (None for null).

    The null of an integer that declares no `unknown` becomes 0.
    """
    if column.dtype == TEXT:
        text = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
        return np.array(text.to_pylist(), dtype=object)
    if column.is_text:
        words = array.dictionary.to_pylist() or [None]
        places = {word: number for number, word in enumerate(column.categories)} if column.categories else {}
        values = np.array([(places[word] if places else ord(word)) if word else 0 for word in words], np.dtype(column.dtype))
        indices = array.indices
        picked = values[(pc.fill_null(indices, 0) if indices.null_count else indices).to_numpy(zero_copy_only=False)]
        if indices.null_count:
            picked[array.is_null().to_numpy(zero_copy_only=False)] = -1 if column.categories else 0
        return picked
    if not array.null_count:
        return array.to_numpy(zero_copy_only=False)
    unknown = math.nan if pa.types.is_floating(array.type) else column.unknown or 0
    return pc.fill_null(array, unknown).to_numpy(zero_copy_only=False)


@cache
def _letters(codes: str) -> tuple[np.ndarray, pa.Array]:
    """Lookup from ASCII letter to its index among the codes (-1: not declared), and the codes as Arrow."""
    lookup = np.full(256, -1, np.int32)
    lookup[[ord(code) for code in codes]] = np.arange(len(codes))
    return lookup, pa.array(list(codes), pa.string())


def to_arrow(column: Column, values: np.ndarray | pa.Array, null: np.ndarray | None = None) -> pa.Array:
    """A column's in-memory values as Arrow; `null`: mask of nulls beside those that the values tell. Text: Arrow or objects.

    A code or category that is not declared is a ValueError.
    """
    if isinstance(values, pa.Array):
        return values if values.type == column.arrow else values.cast(column.arrow)
    if null is None:
        null = column.unknowns(values)
    if column.categories:
        lowest, highest = (int(values.min()), int(values.max())) if values.size else (0, 0)
        if highest >= len(column.categories) or (null is None and lowest < 0):
            raise ValueError(f"column {column.name}: expected the numbers of {', '.join(column.categories)}")
        return pa.DictionaryArray.from_arrays(
            pa.array(values.astype(np.int32), mask=null), pa.array(column.categories, pa.string())
        )
    if column.dtype == TEXT:
        if values.dtype == np.uint8:  # single letters, NUL for none
            values = np.array([chr(code) if code else "" for code in range(256)], object)[values]
        kept = [v.decode("latin-1") if isinstance(v, bytes) else v for v in values.tolist()]
        return pa.array(kept, pa.string(), from_pandas=True).dictionary_encode()
    if column.codes:
        lookup, codes = _letters("".join(sorted(column.codes)))
        indices = lookup[values]
        bad = indices < 0 if null is None else (indices < 0) & ~null
        if bad.any():
            raise ValueError(f"column {column.name}: {chr(values[np.argmax(bad)])!r} is not one of {', '.join(codes.to_pylist())}")
        return pa.DictionaryArray.from_arrays(pa.array(indices, mask=null), codes)
    return pa.array(np.ascontiguousarray(values), column.arrow, mask=null)


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
        delta = [c.name for c in table.columns if c.delta]
        self._row_group = bronze.row_group
        self._parquet = pq.ParquetWriter(
            self._temporary,
            table.schema,
            compression="zstd",
            compression_level=bronze.zstd_level,
            use_dictionary=[c.name for c in table.columns if not c.delta],
            column_encoding=dict.fromkeys(delta, "DELTA_BINARY_PACKED"),
            write_statistics=[c.name for c in table.columns if c.name.startswith("ts_")],
            write_page_checksum=True,
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
        for batch in ready.to_batches():
            self._hash.update(batch.columns)
        self._parquet.write_table(ready, row_group_size=self._row_group)

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
            facts=facts,
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


def format_of(store: Store) -> int:
    """The number of the layout in which a lake is laid out: lake.json's, 1 if there is none. LakeError for a broken file."""
    try:
        found = json.loads(store.read(FORMAT_FILE))["format"]
        if type(found) is not int or found < 1:
            raise ValueError(f"format {found!r}")
    except (FileNotFoundError, NotADirectoryError):
        return 1
    except (ValueError, TypeError, KeyError) as error:
        raise LakeError(f'{store.where(FORMAT_FILE)}: expected {{"format": NUMBER}}: {error}') from error
    return found


def require_format(store: Store) -> None:
    """LakeError if a lake is laid out in another way than this program's."""
    root = store.where(FORMAT_FILE).parent
    if (found := format_of(store)) > FORMAT:
        raise LakeError(f"{root} is a lake of format {found}, made by a later version; this one knows up to {FORMAT}: upgrade")
    if found < FORMAT:
        raise LakeError(f"{root} is a lake of format {found}, this version has {FORMAT}: back it up, then spymaster migrate")


def write_format(store: Store, number: int) -> None:
    """Say in which layout a lake is laid out."""
    store.write(FORMAT_FILE, json.dumps({"format": number}).encode() + b"\n")


@dataclass(frozen=True)
class Lake:
    """All partitions below `root`; or, if `url` names a bucket and prefix (s3://BUCKET/PREFIX), those there.

    Whatever is no partition (landing, models, Dagster's own) is below `root` either way. LakeError if what is there is laid out in
    another way than this program's; of object storage `opened` looks at that.
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
        require_format(Disk(self.root))

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
            if self.store.stat(FORMAT_FILE) is None:
                write_format(self.store, FORMAT)
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

    def rows(self, table: Table, date: dt.date) -> np.ndarray:
        """The whole partition in its in-memory form (`Table.dtype`)."""
        manifest = self.manifest(table, date)
        rows = np.zeros(manifest.rows if manifest else 0, table.dtype)
        stored, at = [column for column in table.columns if column.dtype != TEXT], 0
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


def opened(config: Config) -> Lake:
    """The lake that the environment names. LakeError if it is laid out in another way than this program's."""
    lake = Lake(data_root(), config, data_url())
    require_format(lake.store)
    return lake


def scan(files: Sequence[str]) -> str:
    """SQL that reads partitions' files in row order; `date` comes from the folder."""
    listed = ", ".join(f"'{pattern(file)}'" for file in files)
    return f"""select * exclude (filename), regexp_extract(filename, '.*/date=([0-9-]+)/', 1)::date as date
               from read_parquet([{listed}], hive_partitioning = false, filename = true)"""


def pattern(path: str) -> str:
    """A path inside an SQL literal that DuckDB takes for a pattern: it matches this path alone."""
    return "".join({"'": "''", "*": "[*]", "?": "[?]", "[": "[[]"}.get(letter, letter) for letter in path)


def code_digest(*modules: str) -> str:
    """Hash (16 hex digits) of modules' code: their syntax trees, so that comments, docstrings and layout change nothing."""
    return hashlib.sha256("".join(_module_digest(module) for module in modules).encode()).hexdigest()[:16]


@cache
def _module_digest(module: str) -> str:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise LakeError(f"expected a module {module}, found none")
    return hashlib.sha256(_spelled(ast.parse(Path(spec.origin).read_bytes())).encode()).hexdigest()


def _spelled(node: Any) -> str:
    """What `ast.dump` says of a node, without docstrings, in half the time: processes begin with this."""
    kind = type(node)
    if kind is list:
        return f"[{', '.join([_spelled(one) for one in node])}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    parts = []
    for name in node._fields:
        value = getattr(node, name, None)
        if value is None and (not hasattr(node, name) or getattr(kind, name, ...) is None):
            continue
        if name == "body" and type(value) is list and value and type(value[0]) is ast.Expr and type(value[0].value) is ast.Constant:
            value = value[1:]
        parts.append(f"{name}={_spelled(value)}")
    return f"{kind.__name__}({', '.join(parts)})"
