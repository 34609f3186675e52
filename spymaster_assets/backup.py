"""A copy of everything that cannot be made again, taken while everything runs; copied back, it is a lake like any other.

The order is what makes it whole. Dagster's history first: whatever it says was made lies in the lake by then. Then models, then
partitions, each with the file that its manifest names, and the manifest last. What has the size and time of the copy is not copied
again. Nothing that the lake has lost is taken out of the copy. Keys are not in it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spymaster_assets.fingerprint import Manifest
from spymaster_assets.lake import MANIFEST, VERDICT, Lake, LakeError
from spymaster_assets.layout import FORMAT, FORMAT_FILE, format_of, name_instrument
from spymaster_assets.models.artifacts import CHAMPION
from spymaster_assets.progress import Progress
from spymaster_assets.schema import Table
from spymaster_assets.store import Disk, files_below, sync, write_atomic
from spymaster_assets.tables import TABLES

HISTORY: Final = "dagster"  # where Dagster's history lies in a copy
TRIES: Final = 20  # reads of a partition that is made anew all the time
_NAMES: Final = (MANIFEST, CHAMPION)  # files that say which others count


@dataclass
class Copied:
    """What a copy holds: partitions, files, and bytes that were copied now; whether Dagster's history is in it."""

    partitions: int = 0
    files: int = 0
    bytes: int = 0
    history: bool = False


def back_up(lake: Lake, home: Path, to: Path, landing: bool = False, progress: Progress | None = None) -> Copied:
    """Copy to a folder. `home`: of Dagster's instance; `landing`: its files, too. ValueError for a folder of the lake itself.

    Of a lake on object storage, what is on this machine: its tables are copied where they are.
    """
    to = to.absolute()
    if to == lake.root or lake.root in to.parents or to in lake.root.parents:
        raise ValueError(f"{to}: expected a folder outside of {lake.root}")
    if not lake.root.is_dir():
        raise LakeError(f"{lake.root} is not there")
    to.mkdir(parents=True, exist_ok=True)
    if (to / FORMAT_FILE).exists() and format_of(Disk(to)) != FORMAT:
        raise LakeError(f"{to} holds a copy of a lake of format {format_of(Disk(to))}: expected {FORMAT}, or an empty folder")
    name_instrument(Disk(to), lake.config)
    copied = Copied()
    _history(home, to / HISTORY, copied)
    _models(lake.root / "models", to / "models", copied)
    stored = [(table, date) for table in TABLES.values() for date in lake.dates(table)] if not lake.url else []
    for done, (table, date) in enumerate(stored, 1):
        if progress is not None:
            progress("backing up partitions", done, len(stored))
        _partition(lake, table, date, to, copied)
    for name in ("truth", *(("landing",) if landing else ())):
        _tree(lake.root / name, to / name, copied)
    return copied


def _history(home: Path, to: Path, copied: Copied) -> None:
    """Dagster's folder: each database as of one moment, the index of runs before the runs."""
    copied.history = (home / "history").is_dir()
    if copied.history:
        for path in sorted(_files(home), key=lambda one: one.name != "index.db"):
            if path.suffix == ".db":
                _database(path, to / path.relative_to(home), copied)
            elif not path.name.endswith(("-wal", "-shm", "-journal")):
                _copy(path, to / path.relative_to(home), copied)


def _models(root: Path, to: Path, copied: Copied) -> None:
    """Manifests as they are now, but written last: the folders that they name never change."""
    manifests = {path: path.read_bytes() for path in _files(root) if path.name in _NAMES}
    _tree(root, to, copied, *_NAMES)
    for path, content in manifests.items():
        _write(to / path.relative_to(root), content, copied)


def _partition(lake: Lake, table: Table, date: dt.date, to: Path, copied: Copied) -> None:
    """A partition as one manifest says it. LakeError if it is made anew faster than it can be copied."""
    folder = lake.folder(table, date)
    there = to / folder.relative_to(lake.root)
    for _ in range(TRIES):
        raw = (folder / MANIFEST).read_bytes()
        try:
            named = Manifest.decode(raw).file
        except (ValueError, TypeError, KeyError) as error:
            raise LakeError(f"{folder / MANIFEST}: expected a manifest: {error}; spymaster doctor says more") from error
        verdict = None
        with contextlib.suppress(FileNotFoundError):
            verdict = (folder / VERDICT).read_bytes()
        try:
            _copy(folder / named, there / named, copied)
        except FileNotFoundError:
            if (folder / MANIFEST).read_bytes() == raw:
                raise LakeError(f"{folder / named} is gone: spymaster doctor says more") from None
            continue
        if (folder / MANIFEST).read_bytes() != raw:
            continue
        if verdict is not None:
            _write(there / VERDICT, verdict, copied)
        _write(there / MANIFEST, raw, copied)
        for path in there.iterdir():
            if path.name not in (named, MANIFEST, VERDICT):
                path.unlink()
        copied.partitions += 1
        return
    raise LakeError(f"{folder}: made anew {TRIES} times while it was copied: try again")


def _files(root: Path) -> Iterator[Path]:
    """Files below a folder, but for locks and what is being written."""
    for path in sorted(files_below(root)):
        if not any(part.startswith(".") for part in path.relative_to(root).parts):
            yield path


def _tree(root: Path, to: Path, copied: Copied, *but: str) -> None:
    for path in _files(root):
        if path.name not in but:
            with contextlib.suppress(FileNotFoundError):  # it went meanwhile: nothing names it any more
                _copy(path, to / path.relative_to(root), copied)


def _copy(path: Path, to: Path, copied: Copied) -> None:
    """A file that never changes under its name."""
    there, here = to.stat() if to.exists() else None, path.stat()
    copied.files += 1
    if there is not None and (there.st_size, there.st_mtime_ns) == (here.st_size, here.st_mtime_ns):
        return
    with _fresh(to) as new:
        shutil.copy2(path, new)
    copied.bytes += here.st_size


def _write(to: Path, content: bytes, copied: Copied) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(to, content)
    copied.files += 1
    copied.bytes += len(content)


def _database(path: Path, to: Path, copied: Copied) -> None:
    """A SQLite file as of one moment, whoever writes to it."""
    closing = contextlib.closing
    with _fresh(to) as new, closing(sqlite3.connect(path, timeout=60)) as source, closing(sqlite3.connect(new)) as target:
        source.backup(target)
    copied.files += 1
    copied.bytes += to.stat().st_size


@contextlib.contextmanager
def _fresh(to: Path) -> Iterator[Path]:
    """Where to write what then takes the place of a file, whole and on the disk."""
    to.parent.mkdir(parents=True, exist_ok=True)
    new = to.with_name(f".{to.name}.new")
    new.unlink(missing_ok=True)
    yield new
    sync(new)
    new.replace(to)
