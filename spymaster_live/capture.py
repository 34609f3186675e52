"""The capture of live on disk: what counts as captured, where it goes on after a kill, whether it is still what was written.

    capture/{date}/{run}/session.json                       the message that began the run
                        /{channel}/{first}-{last}.dbn.zst   segments; numbers of records in channel and run
                        /clock/{first}-{last}.parquet       watermarks; sequences of MARKET, as in market/
                        /market/{first}-{last}.json         manifests: what a batch of MARKET holds
                        /signals/, rows/{table}/ and levels/ the same of LEVELS, by its sequences

A batch is what was read of one stream between two moments. Its files are written, synced and renamed, then its manifest: that alone
makes them count. Sequences of a stream's manifests follow one another without a hole, over all runs; what the stream no longer held
stands in them as lost. So the latest manifest tells where to go on, and files behind it are what a killed writer left.
"""

from __future__ import annotations

import base64
import datetime as dt
import fcntl
import itertools
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

import orjson

from spymaster_assets.landing import file_hash
from spymaster_assets.store import sync, write_atomic
from spymaster_live.messages import CHANNELS, SESSION, BadMessage, Session, read

FOLDER: Final = "capture"  # below the lake's root
OPENING: Final = "session.json"
OUTCOME: Final = "outcome.json"  # in market/: what became of a run that is over
RUN: Final = re.compile(r"(\d{4}-\d{2}-\d{2})\.\d{1,19}", re.ASCII)
_SPAN: Final = re.compile(r"(\d+)-(\d+)\..+")
_SEQUENCED: Final = {"MARKET": ("clock",), "LEVELS": ("signals", "rows/*")}  # folders whose files are named by sequences

Write = Callable[[Path], None]


log = logging.getLogger("spymaster.live")


class CaptureError(RuntimeError):
    """A capture that is not what its manifests say, or cannot be used; says which file, and of which sequences."""


@dataclass(frozen=True)
class Stream:
    """A stream as it was made: `created` tells it from one of its name that was made anew, `bus` is when MARKET was made.

    `first`: the number of its first message.
    """

    name: str
    created: str
    bus: str
    first: int = field(default=1, compare=False)


@dataclass(frozen=True)
class Where:
    """Where a stream's capture stands: its last sequence on disk (none: before its first), and the manifest that says so."""

    last: int = 0
    folder: Path | None = None
    manifest: Mapping[str, Any] | None = None


def span(path: Path) -> tuple[int, int]:
    """First and last of a file's name; (0, 0) if it names none."""
    found = _SPAN.fullmatch(path.name)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def locked(root: Path) -> TextIO:
    """Be the only writer below `root` as long as the file is open. RuntimeError if there is one."""
    root.mkdir(parents=True, exist_ok=True)
    lock = (root / ".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise RuntimeError(f"a writer is at work in {root}") from error
    return lock


def manifests(folder: Path, stream: str) -> list[Path]:
    """The manifests of a run's batches, by sequence."""
    return sorted((folder / stream.lower()).glob("*-*.json"), key=span)


def batches(folder: Path, stream: str) -> Iterator[dict[str, Any]]:
    """What the manifests say. CaptureError for one that cannot be read."""
    return map(_loaded, manifests(folder, stream))


def _loaded(path: Path) -> dict[str, Any]:
    try:
        return dict(orjson.loads(path.read_bytes()))
    except (ValueError, OSError) as error:
        first, last = span(path)
        raise CaptureError(f"{path} ({path.parent.name.upper()} sequences {first}-{last}): {error}") from error


def runs(root: Path, date: str = "*") -> list[Path]:
    """The folders of captured runs, by name; `date`: YYYY-MM-DD."""
    return sorted(path for path in root.glob(f"{date}/*") if path.is_dir() and not path.name.startswith("."))


def where(root: Path, stream: Stream) -> Where:
    """The end of what is captured of a stream. Of manifests of no later sequences none has to be readable."""
    latest = [(path, folder) for folder in runs(root) for path in manifests(folder, stream.name)[-1:]]
    for path, folder in sorted(latest, key=lambda one: span(one[0])[1], reverse=True):
        if span(path)[1] >= stream.first and _is_of(manifest := _loaded(path), stream):
            return Where(span(path)[1], folder, manifest)
    return Where(stream.first - 1)


def stored(manifest: Mapping[str, Any]) -> dt.datetime | None:
    """When the last message of a batch was stored, of the server's clock; None where the manifest does not say."""
    said = manifest.get("stored")
    return dt.datetime.fromisoformat(said) if said else None


def give_up(at: Where) -> None:
    """Have the latest batch of LEVELS count no more; its files are swept away like those that a killed writer left."""
    assert at.folder is not None and at.manifest is not None, "there is a batch"
    folder = at.folder / "levels"
    (folder / f"{at.manifest['first']}-{at.manifest['last']}.json").unlink()
    sync(folder)


def _is_of(manifest: Mapping[str, Any], stream: Stream) -> bool:
    return bool(manifest["created"] == stream.created if manifest["stream"] == stream.name else manifest["bus"] == stream.bus)


def folder_of(root: Path, run: str, stream: Stream) -> Path:
    """Where a run is captured: {date}/{run}; with a number where a run of that name came from streams that are gone."""
    date = run.rsplit(".", 1)[0]
    for number in itertools.count():
        folder = root / date / (run if number == 0 else f"{run}~{number}")
        latest = [path for name in _SEQUENCED for path in manifests(folder, name)[-1:]]
        if all(_is_of(_loaded(path), stream) for path in latest):
            return folder
    raise AssertionError("counting does not end")


def sweep(root: Path, stream: Stream, at: Where) -> None:
    """Remove what a killed writer left of a batch of the stream: files without a manifest."""
    for folder in runs(root):
        try:
            if (latest := manifests(folder, stream.name)[-1:]) and not _is_of(_loaded(latest[0]), stream):
                continue  # of streams that are gone: finished
        except CaptureError as error:  # of an older run, else `where` had raised it
            log.error("%s", error)
            continue
        for pattern in (*_SEQUENCED[stream.name], stream.name.lower()):
            for path in folder.glob(f"{pattern}/*"):
                if path.name.startswith(".") or span(path)[0] > at.last:
                    path.unlink()
        if stream.name == "MARKET":
            known = at.manifest["next"] if at.manifest and at.folder == folder else {}
            for channel in CHANNELS:
                for path in (folder / channel).glob("*"):
                    if path.name.startswith(".") or not latest or (folder == at.folder and span(path)[0] >= known.get(channel, 0)):
                        path.unlink()
            for path in folder.glob(f".{OPENING}.*" if latest else f"*{OPENING}*"):
                path.unlink()


def publish(folder: Path, stream: Stream, sequences: tuple[int, int], files: Mapping[str, Write], facts: Mapping[str, Any]) -> None:
    """Put a batch on disk: its files by their paths below `folder`, then the manifest. OSError leaves no temporary file behind."""
    written: dict[str, dict[str, Any]] = {}
    for name, write in files.items():
        path = folder / name
        make(path.parent)
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            write(temporary)
            sync(temporary)
            written[name] = {"hash": file_hash(temporary), "bytes": temporary.stat().st_size}
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    for parent in {(folder / name).parent for name in files}:
        sync(parent)
    first, last = sequences
    manifest = folder / stream.name.lower() / f"{first}-{last}.json"
    make(manifest.parent)
    told = {"stream": stream.name, "created": stream.created, "bus": stream.bus, "first": first, "last": last, **facts}
    try:
        write_atomic(manifest, orjson.dumps({**told, "files": written}, option=orjson.OPT_INDENT_2))
    except OSError:
        for left in manifest.parent.glob(f".{manifest.name}.*.tmp"):
            left.unlink(missing_ok=True)
        raise


def make(folder: Path) -> None:
    """Make a folder and those above it, and have their names on the disk."""
    if not folder.is_dir():
        make(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def opening(headers: Mapping[str, str], data: bytes) -> Write:
    """What writes the session of a run."""
    content = orjson.dumps({"headers": dict(headers), "data": base64.b64encode(data).decode()})

    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


def session_of(folder: Path) -> Session:
    """The session of a captured run. CaptureError if there is none that can be read."""
    try:
        kept = orjson.loads((folder / OPENING).read_bytes())
        session = read(SESSION, kept["headers"], base64.b64decode(kept["data"]))
    except (OSError, ValueError, KeyError, BadMessage) as error:
        raise CaptureError(f"{folder / OPENING}: {error}") from error
    assert isinstance(session, Session), "the subject decides"
    return session


def settle(folder: Path, told: str) -> None:
    """Write down what became of a run that is over."""
    write_atomic(folder / "market" / OUTCOME, orjson.dumps({"outcome": told}))


def unsettled(root: Path, stream: Stream) -> list[tuple[str, Path]]:
    """Runs from MARKET as it is now that are over and of which nobody wrote down what became: run and folder, in their order."""
    found = []
    for folder in runs(root):
        if (folder / "market" / OUTCOME).exists():
            continue
        for path in manifests(folder, stream.name)[-1:]:
            try:
                manifest = _loaded(path)
            except CaptureError as error:
                log.error("%s", error)
                continue
            if manifest["over"] and _is_of(manifest, stream):
                found.append((manifest["last"], manifest["run"], folder))
    return [(run, folder) for _, run, folder in sorted(found)]


def verify(folder: Path) -> list[str]:
    """Read every file of a run again and compare it with its manifest; what is wrong, with the file and its sequences."""
    found = []
    for stream in _SEQUENCED:
        before = 0
        for facts in batches(folder, stream):
            sequences = f"{stream} sequences {facts['first']}-{facts['last']}"
            if facts["after"] != before:
                found.append(f"{folder}: no manifest of {stream} sequences after {before} up to {facts['after']}")
            before = facts["last"]
            found += [
                f"{folder / name} ({sequences}): {wrong}"
                for name, its in facts["files"].items()
                if (wrong := _compare(folder / name, its["hash"], its["bytes"]))
            ]
    return found


def _compare(path: Path, digest: str, size: int) -> str | None:
    try:
        if (there := path.stat().st_size) != size:
            return f"expected {size:,} bytes, found {there:,}"
        return None if (now := file_hash(path)) == digest else f"expected xxh3 {digest}, found {now}"
    except OSError as error:
        return str(error)
