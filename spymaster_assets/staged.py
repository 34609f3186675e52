"""A downloaded file on its way into landing: its state, whether it is whole, its place, and what is kept about it.

    landing/.download/DATE/<name>.dbn.zst   on its way; landing's scan does not see it
                          /<name>.json      its state: what was asked for, at which price, by which batch job
    landing/download/DATE/<name>.dbn.zst    there, as the vendor sent it
                         /manifest.json     of each file: request, hashes, records, cost, what the vendor remarked

A file is on the disk and read whole before it gets its name in landing; its entry in the manifest is last. A process that is killed
between any two steps leaves what the next one goes on with.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from spymaster_assets import dbn
from spymaster_assets.asking import Broken, Quote, Request
from spymaster_assets.landing import Landing, file_hash
from spymaster_assets.store import MANIFEST, sync, write_atomic

LOCK: Final = ".lock"
STAGING: Final = ".download"  # below landing, and so on the same disk
ENDING: Final = ".dbn.zst"
NAME: Final = re.compile(r"\w[\w.-]*", re.ASCII)  # of a file, without the ending


class Busy(RuntimeError):
    """Another process downloads the same date."""


def folder(landing: Landing, date: dt.date) -> Path:
    """Where the downloaded files of a date lie."""
    return landing.root / landing.config.vendor.folder / date.isoformat()


def staging(landing: Landing, date: dt.date) -> Path:
    """Where those lie that are on their way."""
    return landing.root / STAGING / date.isoformat()


def entries(landing: Landing, date: dt.date) -> dict[str, dict[str, Any]]:
    """The manifest of a date's downloaded files: name -> facts; empty without one. ValueError if it cannot be read."""
    path = folder(landing, date) / MANIFEST
    try:
        found: dict[str, dict[str, Any]] = json.loads(path.read_bytes())["files"]
        if odd := [name for name in found if not NAME.fullmatch(name)]:
            raise ValueError(f"{odd[0]!r} is no name of a file in that folder")
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected the manifest of a download: {error}") from None
    return found


def dates_downloaded(landing: Landing) -> list[dt.date]:
    """The trading dates of which something was downloaded."""
    found = (landing.root / landing.config.vendor.folder).glob(f"{'[0-9]' * 4}-[01][0-9]-[0-3][0-9]/{MANIFEST}")
    return sorted(dt.date.fromisoformat(path.parent.name) for path in found)


@contextlib.contextmanager
def alone(landing: Landing, date: dt.date) -> Iterator[None]:
    """No other process downloads a date meanwhile. Busy if one does."""
    held = staging(landing, date) / LOCK
    held.parent.mkdir(parents=True, exist_ok=True)
    with held.open("w") as lock:
        for _ in range(10):  # whoever only looks lets go at once
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(0.05)
        else:
            raise Busy(f"{date}: another process downloads it")
        yield


def at_work(landing: Landing, date: dt.date) -> bool:
    """Whether a process downloads a date now."""
    try:
        with (staging(landing, date) / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def unfinished(landing: Landing) -> list[Path]:
    """States of files that are on their way: the next download of their date goes on with them."""
    return sorted((landing.root / STAGING).glob("*/*.json"))


def damaged(landing: Landing, date: dt.date) -> list[str]:
    """Downloaded files of a date that are gone, or not what came, in words. Reads every byte."""
    found = []
    for name, entry in entries(landing, date).items():
        path = folder(landing, date) / f"{name}{ENDING}"
        if not path.exists():
            found.append(f"{path}: gone")
        elif (digest := file_hash(path)) != entry["digest"]:
            found.append(f"{path}: expected content {entry['digest']}, found {digest}")
    return found


@dataclass
class State:
    """What is known of a file on its way. `short`: records that came where the vendor had counted more; `checked`: it is whole.

    `begun`: USD of each stream that the vendor began to send: of all but the last one nothing is left, yet they may be charged.
    """

    request: Request
    quote: Quote
    conditions: Mapping[str, str] = field(default_factory=dict)
    job: str | None = None
    begun: list[float] = field(default_factory=list)
    short: int | None = None
    remarks: list[str] = field(default_factory=list)
    checked: dict[str, Any] | None = None

    @property
    def usd(self) -> float:
        """What it cost, at most."""
        return sum(self.begun) + (self.quote.usd if self.job or not self.begun else 0.0)

    def encode(self) -> bytes:
        return (json.dumps(asdict(self), indent=1, sort_keys=True) + "\n").encode()

    @staticmethod
    def decode(raw: bytes) -> State:
        values = json.loads(raw)
        request = Request(**{**values["request"], "symbols": tuple(values["request"]["symbols"])})
        return State(**{**values, "request": request, "quote": Quote(**values["quote"])})


@dataclass(frozen=True)
class Staged:
    """One file of a date, by its name without ending."""

    landing: Landing
    date: dt.date
    name: str

    @property
    def path(self) -> Path:
        return staging(self.landing, self.date) / f"{self.name}{ENDING}"

    @property
    def target(self) -> Path:
        return folder(self.landing, self.date) / f"{self.name}{ENDING}"

    @property
    def _note(self) -> Path:
        return staging(self.landing, self.date) / f"{self.name}.json"

    def state(self) -> State | None:
        """Its state; None if there is none, or none that can be read: a job that was ordered is found at the vendor's."""
        try:
            return State.decode(self._note.read_bytes())
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def keep(self, state: State) -> None:
        """Have its state on the disk."""
        write_atomic(self._note, state.encode())

    def forget(self) -> None:
        """It is not on its way any more."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def check(self, state: State, confirmed: bool = False) -> None:
        """Read what came, whole; Broken if it is not all of what was asked for. `confirmed`: its checksum is the vendor's.

        A file may be cut where no reader can see it, so the vendor's own count of records is the measure. Where a second
        attempt brings as few as the first, they are all there are, and a remark says so.
        """
        request, rows = state.request, 0
        try:
            header = dbn.read_header(self.path)
            for chunk in dbn.read(self.path, request.schema):
                rows += len(chunk)
        except dbn.DbnError as error:
            raise Broken(str(error)) from None
        if header.dataset != request.dataset:
            raise Broken(f"expected dataset {request.dataset}, found {header.dataset}")
        if header.start > request.start or (header.end or request.end) < request.end:
            raise Broken(f"expected the time from {request.start} to {request.end}, found {header.start} to {header.end}")
        if missing := {*request.symbols} - {*header.symbols, *header.mappings}:
            raise Broken(f"expected {len(request.symbols)} symbols, found none of {', '.join(sorted(missing)[:3])}")
        counted = state.quote.records
        if rows < counted and not confirmed and state.short != rows:
            state.short = rows
            raise Broken(f"expected {counted:,} records, found {rows:,}")
        if rows != counted:
            state.remarks.append(f"{self.name}: {rows:,} records came, the vendor had counted {counted:,}")
        state.checked = {"bytes": self.path.stat().st_size, "digest": file_hash(self.path), "records": rows}

    def publish(self, state: State) -> None:
        """Give a checked file its place in landing, then its entry in the manifest; done again, it changes nothing."""
        assert state.checked is not None, "only what was checked is published"
        self.target.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            sync(self.path)
            self.path.replace(self.target)
            sync(self.target.parent)
        facts = {
            **state.checked, "usd": state.usd, "billed_bytes": state.quote.bytes, "job": state.job, "remarks": state.remarks,
            "conditions": state.conditions, "request": asdict(state.request),
        }  # fmt: skip
        manifest = {"date": self.date.isoformat(), "files": {**entries(self.landing, self.date), self.name: facts}}
        write_atomic(self.target.parent / MANIFEST, (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode())
        self.forget()

    def resume(self) -> None:
        """Publish what a killed process had checked."""
        state = self.state()
        if state is not None and state.checked is not None:
            there = next((path for path in (self.path, self.target) if path.exists()), None)
            if there is not None and file_hash(there) == state.checked["digest"]:
                self.publish(state)
            else:
                self.forget()


def on_their_way(landing: Landing, date: dt.date) -> Iterator[Staged]:
    """The files of a date that have a state."""
    for note in sorted(staging(landing, date).glob("*.json")):
        yield Staged(landing, date, note.stem)
