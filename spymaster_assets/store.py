"""Where the lake's bytes lie: whole objects by key, on a disk (`Disk`) or on object storage (`Bucket` in object_store.py).

A key is a path of names: bronze/futures_trades/date=2025-06-02/manifest.json. Either kind promises that a reader finds an object as
it was before a write or after it, and that a manifest never names a file that is not there, whole, whoever is killed and when.
A disk keeps that by rename, fsync and locks; object storage has none of them, but puts that depend on what is there.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import re
import socket
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final, Protocol

MANIFEST: Final = "manifest.json"
LOCK: Final = ".lock"
ENDING: Final = ".parquet"
DAY: Final = 86_400  # seconds


@dataclass(frozen=True)
class Stat:
    """An object's bytes, and a mark that is another one once it was written again."""

    size: int
    mark: int | str


class Store(Protocol):
    """Objects by key. Trouble is an OSError; an object that is not there, FileNotFoundError."""

    def prove(self) -> None:
        """Try out whether what is promised above can be kept here; an OSError that says so if not."""

    def where(self, key: str) -> PurePath:
        """Where an object lies, for a reader."""

    def read(self, key: str) -> bytes:
        """An object's bytes."""

    def stat(self, key: str) -> Stat | None:
        """None if there is no such object."""

    def names(self, folder: str) -> list[str]:
        """The names right below a folder."""

    def holders(self, folder: str, name: str) -> list[str]:
        """The folders right below a folder that hold an object of this name."""

    def size(self, folder: str) -> int:
        """Bytes of everything below a folder; writers may be at work there."""

    def file(self, key: str, fresh: bool = False) -> Path:
        """An object as a file of this machine. `fresh`: as it lies in the store now, not as it was copied before."""

    def write(self, key: str, content: bytes) -> None:
        """Replace an object, whole."""

    def update(self, key: str, change: Callable[[bytes | None], bytes]) -> None:
        """Replace an object by what `change` makes of it (None: it is not there), whoever does so meanwhile."""

    def alone(self, folder: str) -> AbstractContextManager[Path]:
        """A folder of this machine in which a file of the partition is written."""

    def publish(self, folder: str, made: Path, stem: str, manifest: Callable[[str], bytes]) -> str:
        """Make a file a partition's only one, under a name that begins with `stem`; the name. `manifest`: its manifest, by that."""

    def sweep(self, folder: str, kept: Callable[[], Collection[str]]) -> None:
        """Remove what killed writers left in a partition, whose own names are `kept`; only for who is alone in it."""

    def claim(self, name: str) -> AbstractContextManager[bool]:
        """Whether a piece of work is this process's, for as long as this lasts: no other process is given it meanwhile."""


@dataclass(frozen=True)
class Disk:
    """Files below `root`."""

    root: Path

    def prove(self) -> None:
        """Rename and lock are a disk's own."""

    def where(self, key: str) -> Path:
        return self.root / key

    def read(self, key: str) -> bytes:
        return (self.root / key).read_bytes()

    def stat(self, key: str) -> Stat | None:
        try:
            found = (self.root / key).stat()
        except FileNotFoundError:
            return None
        return Stat(found.st_size, found.st_mtime_ns)

    def names(self, folder: str) -> list[str]:
        place = self.root / folder
        return [path.name for path in place.iterdir()] if place.exists() else []

    def holders(self, folder: str, name: str) -> list[str]:
        return [path.parent.name for path in (self.root / folder).glob(f"*/{name}")]

    def size(self, folder: str) -> int:
        return size_of(self.root / folder)

    def file(self, key: str, fresh: bool = False) -> Path:
        return self.root / key

    def write(self, key: str, content: bytes) -> None:
        write_atomic(self.root / key, content)

    def update(self, key: str, change: Callable[[bytes | None], bytes]) -> None:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.parent):
            content = path.read_bytes() if path.exists() else None
            if (changed := change(content)) != content:
                write_atomic(path, changed)

    @contextlib.contextmanager
    def alone(self, folder: str) -> Iterator[Path]:
        """The partition's own folder, locked: a second writer waits."""
        place = self.root / folder
        place.mkdir(parents=True, exist_ok=True)
        with (place / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield place

    def publish(self, folder: str, made: Path, stem: str, manifest: Callable[[str], bytes]) -> str:
        """Data synced and renamed, then the manifest: whoever is alone may sweep what it does not name."""
        name = f"{stem}{ENDING}"
        sync(made)
        made.replace(self.root / folder / name)
        sync(self.root / folder)
        write_atomic(self.root / folder / MANIFEST, manifest(name))
        return name

    def sweep(self, folder: str, kept: Callable[[], Collection[str]]) -> None:
        own = kept()
        for name in self.names(folder):
            if name not in own:
                (self.root / folder / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def claim(self, name: str) -> Iterator[bool]:
        """Always: the processes that share a disk have one parent, which gives each piece of work to one of them."""
        yield True


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """No other process is in here for the same folder; nothing is left in it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def sync(path: Path) -> None:
    """Have a file's bytes, or a folder's names, on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomic(path: Path, content: bytes) -> None:
    """Replace a file so that a reader, or a crash, finds the old content or the new. What killed writers left of it is swept."""
    temporary = temporary_of(path)
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sweep_temporaries(path)
    sync(path.parent)


def temporary_of(path: Path) -> Path:
    """Where this process writes what will take a file's place. Containers share a folder, and each counts its processes anew."""
    return path.with_name(f".{path.name}.{_host()}.{os.getpid()}.tmp")


def sweep_temporaries(path: Path) -> None:
    """Remove what killed processes left of a file; those of another machine, of which nothing is known, after a day."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        *_, host, process, _suffix = left.name.split(".")
        ours = host == _host() and process.isdecimal()
        with contextlib.suppress(FileNotFoundError):  # its writer was done with it, or another one swept it
            dead = not alive(int(process)) if ours else time.time() - left.stat().st_mtime > DAY
            if dead:
                left.unlink()


def _host() -> str:
    """This machine's name, or this container's, as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def files_below(folder: Path) -> Iterator[Path]:
    """Files below a folder, those that there are while one looks: whole folders may go or get another name meanwhile."""
    for place, _, names in os.walk(folder):
        yield from (path for name in names if (path := Path(place, name)).is_file())


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder; writers may be at work there."""
    size = 0
    for path in files_below(folder):
        with contextlib.suppress(FileNotFoundError):
            size += path.stat().st_size
    return size
