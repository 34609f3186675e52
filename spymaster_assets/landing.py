"""The landing folder: which DBN files there are, what they hold, which of them serve a trading date.

A file is what its DBN header says, never its name; the folder is searched recursively. Files below `landing/capture/` are our own
capture of a live day: for one UTC day and schema a vendor's file wins over them. Copies of one file count once. A file that
cannot be read, or holds nothing that Bronze takes, is listed with the reason and changes nothing. Where the lake is on object
storage, landing is this machine's folder and what machines have shared there (sharing.py):

    landing/<content hash>/<name>    a file, never changed
    landing_index.json               path below landing -> what the file is, and what lies beside it
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import math
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

import xxhash

from spymaster_assets import dbn
from spymaster_assets.config import Config
from spymaster_assets.fingerprint import code_digest
from spymaster_assets.lake import Lake
from spymaster_assets.sessions import DAY, MONTHS, Session, Window, calendar, utc_day, utc_midnight
from spymaster_assets.store import Store, locked, sweep_temporaries, sync, temporary_of, write_atomic

Product = Literal["futures", "options"]
Origin = Literal["vendor", "capture"]
ENDINGS: Final = (".dbn", ".dbn.zst")
KEEP_SECONDS: Final = 10.0  # of looking at new files after which what was found out is kept
SHARED: Final = "landing_index.json"  # in the store: what machines have shared

# The schemas that a Bronze table is made from, best first: the first that the date has is taken.
FEEDS: Final[dict[str, tuple[Product | None, tuple[str, ...]]]] = {
    "definitions": (None, ("definition",)),
    "futures_trades": ("futures", ("trades",)),
    "futures_mbp10": ("futures", ("mbp-10",)),
    "option_trades": ("options", ("trades",)),
    "option_quotes": ("options", ("tbbo", "bbo-1s", "bbo-1m")),
    "option_statistics": ("options", ("statistics",)),
}
UNPRINTABLE: Final = "a name with signs that cannot be printed; rename it"
_USED: Final = {schema for _, schemas in FEEDS.values() for schema in schemas}


@dataclass(frozen=True)
class LandingFile:
    """One file: where it lies below landing, its content's hash, and what its header says. `problem`: why it is not used."""

    path: str
    digest: str
    bytes: int
    origin: Origin
    dataset: str = ""
    schema: str | None = None
    start: int = 0  # ns UTC, [start, end)
    end: int = 0
    products: tuple[Product, ...] = ()
    problem: str | None = None

    def holds(self, schema: str, product: Product | None) -> bool:
        return not self.problem and self.schema in (schema, None) and (product is None or product in self.products)

    def overlaps(self, start: int, end: int) -> bool:
        return self.start < end and start < self.end


@dataclass(frozen=True)
class Source:
    """A file that serves a date, and the part of its receive times [start, end) that is taken from it."""

    file: LandingFile
    start: int
    end: int


@dataclass(frozen=True)
class Supply:
    """What serves one table of one date: its sources in time order, and per UTC day how well it is covered and by whom."""

    schema: str | None
    sources: tuple[Source, ...]
    coverage: dict[str, str]

    @property
    def complete(self) -> bool:
        return all(state.startswith("full") for state in self.coverage.values())


def outright(config: Config) -> re.Pattern[str]:
    """The symbols of single futures: root, contract month, one or two digits of year."""
    return re.compile(rf"{config.instrument.root}[{config.instrument.months}]\d{{1,2}}")


def option(config: Config) -> re.Pattern[str]:
    """The symbols of listed options on the future, e.g. `EW2F6 C7000`; none where no root is named."""
    roots = "|".join(config.instrument.option_parents) or r"\b\B"
    return re.compile(rf"({roots})[{MONTHS}]\d{{1,2}} [CP]\d+(\.\d+)?")


def _products(names: Collection[str], config: Config) -> tuple[Product, ...]:
    """Which of our products a file may hold, by the symbols it names; both where it does not tell."""
    if not names or "ALL_SYMBOLS" in names:
        return ("futures", "options")
    root, future, listed = config.instrument.root, outright(config), option(config)
    continuous = re.compile(rf"{root}\.(FUT|[cvn]\.\d+)")
    parents = {f"{parent}.OPT" for parent in config.instrument.option_parents}
    found: list[Product] = []
    if any(future.fullmatch(name) or continuous.fullmatch(name) for name in names):
        found.append("futures")
    if any(name in parents or listed.fullmatch(name) for name in names):
        found.append("options")
    return tuple(found)


def _describe(path: Path, relative: str, config: Config) -> LandingFile:
    """Read a file's header; whatever stands in the way of using it becomes its `problem`."""
    origin: Origin = "capture" if relative.split("/")[0] == config.landing.capture_folder else "vendor"
    size, digest = 0, ""
    try:
        size, digest = path.stat().st_size, file_hash(path)
        header = dbn.read_header(path)
    except (dbn.DbnError, OSError) as error:
        return LandingFile(relative, digest, size, origin, problem=str(error))
    symbols, start, end = set(header.symbols) | set(header.mappings), header.start, header.end
    try:
        if header.schema is None:
            symbols, start, end = set(dbn.live_symbols(path).values()), *dbn.live_range(path)
    except dbn.DbnError as error:
        return LandingFile(relative, digest, size, origin, header.dataset, problem=str(error))
    if end is None:
        end = utc_midnight(utc_day(start) + DAY)
    products = _products(symbols, config)
    problem = None
    if header.dataset != config.instrument.dataset:
        problem = f"dataset {header.dataset}; expected {config.instrument.dataset}"
    elif header.schema is not None and header.schema not in _USED:
        problem = f"schema {header.schema}; Bronze is made from {', '.join(sorted(_USED))}"
    elif not products:
        problem = f"symbols {', '.join(sorted(symbols)[:3])}; expected futures or options of {config.instrument.root}"
    return LandingFile(relative, digest, size, origin, header.dataset, header.schema, start, end, products, problem=problem)


class Landing:
    """The files below `root`. What was found out about an unchanged file (same size and time of change) is kept in `index`.

    `shared`: where others lie that machines have shared; of one path the file below `root` counts.
    """

    def __init__(self, root: Path, config: Config, index: Path | None = None, shared: Store | None = None) -> None:
        self.root, self.config = root, config
        self._index = index or root.parent / "landing_index.json"
        self._shared = shared
        self._beside: dict[str, dict[str, str]] = {}  # path of a shared file -> name -> content hash of what lies beside it
        self.rules = code_digest("spymaster_assets.landing", "spymaster_assets.dbn") + config.digest("instrument", "landing")

    def path(self, file: LandingFile) -> Path:
        """The file on this machine; brought, if it is a shared one that never was."""
        own = self.root / file.path
        return own if self._shared is None or own.exists() else self._shared.file(shared_key(own.name, file.digest))

    def beside(self, file: LandingFile, name: str) -> Path | None:
        """What lies beside a file under a name; None if nothing does."""
        own = (self.root / file.path).with_name(name)
        if self._shared is not None and (digest := self._beside.get(file.path, {}).get(name)) and not own.exists():
            return self._shared.file(shared_key(name, digest))
        return own if own.exists() else None

    def captured(self, date: dt.date) -> Path:
        """Where our own capture of a trading date lies."""
        return self.root / self.config.landing.capture_folder / date.isoformat()

    def scan(self) -> list[LandingFile]:
        """Every DBN file, by path; a copy of an earlier one carries that as its problem."""
        return self.look(math.inf)[0]

    def look(self, seconds: float) -> tuple[list[LandingFile], int]:
        """The same of what is known after looking at new files for so long, at one at least; how many are left for next time."""
        files, left = self._own(time.monotonic() + seconds)
        if self._shared is not None:
            there = {file.path for file in files}
            files += [file for file in self._others(self._shared) if file.path not in there]
            files.sort(key=lambda file: PurePosixPath(file.path))
        seen: dict[str, str] = {}
        for place, file in enumerate(files):
            if not file.problem and file.digest in seen:
                files[place] = replace(file, problem=f"a copy of {seen[file.digest]}")
            seen.setdefault(file.digest, file.path)
        return files, left

    def _own(self, until: float) -> tuple[list[LandingFile], int]:
        """The files below `root`. What is found out is kept now and then: it takes hours where a disk full of files arrives."""
        known = self._load()
        fresh: dict[str, dict[str, object]] = {}
        files: list[LandingFile] = []
        left, looked, kept = 0, False, time.monotonic()
        for relative, stat in self._present():
            if not relative.isprintable():
                relative = ascii(relative)[1:-1]
                files.append(LandingFile(relative, "", stat.st_size, "vendor", problem=UNPRINTABLE))
                continue
            stamp = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, self.rules]
            entry = known.get(relative)
            if entry is None or entry.get("stamp") != stamp:
                if looked and time.monotonic() >= until:
                    left += 1
                    continue
                found, looked = _describe(self.root / relative, relative, self.config), True
                entry = {"stamp": stamp, "file": {**asdict(found), "products": list(found.products)}}
            fresh[relative] = entry
            files.append(_decode(entry["file"]))
            if time.monotonic() - kept >= KEEP_SECONDS:
                self._keep(known | fresh)
                kept = time.monotonic()
        if fresh != known:
            self._keep(known | fresh if left else fresh)
        return files, left

    def _keep(self, found: dict[str, dict[str, object]]) -> None:
        with contextlib.suppress(OSError):  # a lake that cannot be written to can still be read
            write_atomic(self._index, json.dumps(found, indent=0, sort_keys=True).encode())

    def _others(self, shared: Store) -> Iterator[LandingFile]:
        """The shared files. Where other rules than ours said what a file is, it is brought and looked at."""
        for path, entry in shared_index(shared).items():
            self._beside[path] = entry["beside"]
            file = _decode(entry["file"])
            yield file if entry["rules"] == self.rules else _describe(self.path(file), path, self.config)

    def _present(self) -> list[tuple[str, os.stat_result]]:
        """Regular files, or links to some, that are not hidden. Links to folders are passed over, and what vanishes meanwhile.

        By strings: a year has 3,500 files, and every table of every date asks.
        """
        found, folders = {}, [""]
        while folders:
            above = folders.pop()
            with contextlib.suppress(OSError), os.scandir(self.root / above) as there:
                for entry in there:
                    path = f"{above}/{entry.name}" if above else entry.name
                    with contextlib.suppress(FileNotFoundError):
                        if entry.name.startswith("."):
                            continue
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(path)
                        elif entry.name.endswith(ENDINGS) and entry.is_file():
                            found[path] = entry.stat()
        return sorted(found.items(), key=lambda file: file[0].split("/"))

    def _load(self) -> dict[str, dict[str, object]]:
        try:
            loaded: dict[str, dict[str, object]] = json.loads(self._index.read_bytes())
        except (OSError, ValueError):
            return {}
        return loaded if isinstance(loaded, dict) and all(isinstance(entry, dict) for entry in loaded.values()) else {}


def landing_of(lake: Lake) -> Landing:
    """The landing that a lake's dates are made from."""
    return Landing(lake.root / "landing", lake.config, shared=lake.store if lake.url else None)


def shared_index(shared: Store) -> dict[str, dict[str, Any]]:
    """Path of a shared file below landing -> "file": what it is, "rules": by which we know, "beside": name -> content hash."""
    try:
        found: dict[str, dict[str, Any]] = json.loads(shared.read(SHARED))
    except FileNotFoundError:
        return {}
    return found


def shared_key(name: str, digest: str) -> str:
    """Where a shared file lies in the store."""
    return f"landing/{digest}/{name}"


def _decode(facts: Any) -> LandingFile:
    return LandingFile(**{**facts, "products": tuple(facts["products"])})


def file_hash(path: Path) -> str:
    """Hash of a file's bytes."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return str(digest.hexdigest())


def supply(files: Sequence[LandingFile], table: str, session: Session) -> Supply:
    """The files that serve a Bronze table on a trading date, by UTC day: the vendor's if there is one, else the capture."""
    product, schemas = FEEDS[table]
    days = [(day, utc_midnight(day), utc_midnight(day + DAY)) for day in session.utc_days]
    for schema in schemas:
        fitting = [file for file in files if file.holds(schema, product)]
        chosen: dict[str, Source] = {}
        coverage: dict[str, str] = {}
        for day, start, end in days:
            hours = max(start, session.bronze.start), min(end, session.bronze.end)
            there = [file for file in fitting if file.overlaps(*hours)]
            winner: Origin = "vendor" if any(file.origin == "vendor" for file in there) else "capture"
            taken = [file for file in there if file.origin == winner]
            needed = Window(max(start, session.globex.start), min(end, session.globex.end))
            coverage[day.isoformat()] = _coverage(taken, needed, winner)
            for file in taken:
                earlier = chosen.get(file.path)
                chosen[file.path] = Source(file, earlier.start if earlier else start, end)
        if chosen:
            ordered = sorted(chosen.values(), key=lambda source: (max(source.start, source.file.start), source.file.path))
            return Supply(schema, tuple(ordered), coverage)
    return Supply(None, (), {day.isoformat(): "missing" for day, _, _ in days})


def _coverage(files: Sequence[LandingFile], needed: Window, origin: Origin) -> str:
    """`full`, `partial` (the files' ranges leave a hole in the session's hours of the day) or `missing`, and whose files."""
    if not files:
        return "missing"
    reached = needed.start
    for start, end in sorted((file.start, file.end) for file in files):
        if start <= reached:
            reached = max(reached, end)
    return f"{'full' if reached >= needed.end else 'partial'} ({origin})"


@dataclass(frozen=True)
class Receipt:
    """What became of a file brought in: `taken` into landing or refused, and why, in a sentence."""

    taken: bool
    message: str


def receive(
    path: Path, root: Path, config: Config, move: bool = False, progress: Callable[[str, int, int], None] | None = None,
    held: dict[str, str] | None = None,
) -> Receipt:  # fmt: skip
    """Read a file whole, and if every record is sound put it below `root`; nothing is left behind if it is not.

    Read is the copy, so that what lands is what was read, however the file changes meanwhile. `held`: content hash -> path below
    `root` of what is there, which is not taken again under another name; it learns of the file.
    """
    held = {} if held is None else held
    if not str(path).isprintable():
        return Receipt(False, UNPRINTABLE)
    if path.name.startswith("."):
        return Receipt(False, "a hidden name, which landing passes over; rename it")
    file = _describe(path, path.name, config)
    if file.problem:
        return Receipt(False, file.problem)
    target = root / ("-".join(file.products) if file.schema != "definition" else file.products[0]) / path.name
    temporary = temporary_of(target)
    if (other := held.get(file.digest)) not in (None, target.relative_to(root).as_posix()):
        return Receipt(True, f"already in landing, as {other}")
    try:
        if target.exists():
            return _there(target, file)
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep_temporaries(target)
        shutil.copyfile(path, temporary)
        if file_hash(temporary) != file.digest:
            return Receipt(False, "it changed while it was copied; try again when it is complete")
        heard = (lambda done: progress(path.name, done, file.bytes)) if progress else None
        schemas = (file.schema,) if file.schema else sorted(_USED)
        rows = sum(len(chunk) for schema in schemas for chunk in dbn.read(temporary, schema, on_bytes=heard))
        sync(temporary)
        with locked(target.parent):  # whoever brings another file of that name sees this one
            if target.exists():
                return _there(target, file)
            temporary.replace(target)
        sync(target.parent)
    except dbn.DbnError as error:
        return Receipt(False, str(dbn.DbnError(path, error.offset, error.expected, error.found)))
    except OSError as error:
        return Receipt(False, f"{error.filename or target}: {error.strerror}")
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    held[file.digest] = target.relative_to(root).as_posix()
    if move:
        path.unlink()
    dates = dates_served(file, config)
    serves = (
        f"trading dates {dates[0]} to {dates[-1]}" if len(dates) > 1 else f"trading date {dates[0]}" if dates else "no trading date"
    )
    return Receipt(True, f"{file.schema or 'live stream'}, {'/'.join(file.products)}, {rows:,} records, serves {serves}")


def _there(target: Path, file: LandingFile) -> Receipt:
    same = target.is_file() and file_hash(target) == file.digest
    return Receipt(same, "already in landing" if same else f"{target} exists with other content; rename one of them")


def dates_served(file: LandingFile, config: Config) -> list[dt.date]:
    """The trading dates whose Bronze a file may change."""
    if file.problem:
        return []
    trading = calendar(config)
    first, last = utc_day(file.start), utc_day(max(file.start, file.end - 1))
    return [
        date
        for date in trading.dates(first - DAY, last + DAY)
        if file.overlaps(trading.session(date).bronze.start, trading.session(date).bronze.end)
    ]
