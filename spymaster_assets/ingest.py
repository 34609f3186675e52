"""Landing files of a trading date -> its Bronze tables, lossless.

Bronze of D is every record of the table's instruments whose time lies in (16:00 Chicago of the calendar day before, 16:00 of D], as
Databento wrote it and in the order it arrived. Every record read is accounted for in the manifest: kept, outside the date (and
which date it belongs to), another instrument, unresolved, or held by two files. The same files, parameters and code give the
same bytes and are not read twice.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
import pyarrow as pa

from spymaster_assets import dbn
from spymaster_assets.ahead import ahead
from spymaster_assets.arrival import Overlap, in_order
from spymaster_assets.compute.transpose import Columns, field_places
from spymaster_assets.config import Config
from spymaster_assets.contract import Contract, choose, traded
from spymaster_assets.fingerprint import Fingerprint, Manifest, code_digest
from spymaster_assets.lake import Lake, LakeError, PartitionWriter
from spymaster_assets.landing import Landing, LandingFile, Source, Supply, file_hash, supply
from spymaster_assets.lateness import CLOCK, Lateness
from spymaster_assets.schema import Table
from spymaster_assets.sessions import DAY, Session, Window, calendar, utc_day
from spymaster_assets.symbology import DAY_NS, Kind, Symbology
from spymaster_assets.tables import BRONZE, DEFINITIONS, FUTURES_MBP10, FUTURES_TRADES, OPTION_QUOTES

_CODE: Final = "arrival columnar contract dbn fingerprint ingest lake landing lateness sessions symbology compute.transpose"
CODE: Final = tuple(f"spymaster_assets.{module}" for module in _CODE.split())
CONFIG_GROUPS: Final = ("instrument", "sessions", "landing", "bronze")
NO_DATE: Final = "no trading date"
Progress = Callable[[str, int, int], None]


class MissingInput(RuntimeError):
    """A table cannot be made because landing does not hold what it needs; says what was expected and what is there."""


@dataclass
class Account:
    """What became of the records of one file: read = kept + outside + other_instruments + unresolved."""

    path: str
    digest: str
    origin: str
    read: int = 0
    kept: int = 0
    outside: Counter[str] = field(default_factory=Counter)
    other_instruments: Counter[str] = field(default_factory=Counter)
    unresolved: int = 0

    def facts(self) -> dict[str, Any]:
        return {
            "path": self.path, "digest": self.digest, "origin": self.origin, "read": self.read, "kept": self.kept,
            "outside": dict(sorted(self.outside.items())), "other_instruments": dict(sorted(self.other_instruments.items())),
            "unresolved": self.unresolved,
        }  # fmt: skip


@dataclass(frozen=True)
class Ingested:
    """A partition and how it came about: `unchanged` if it was there already; `note`: something its reader should know."""

    manifest: Manifest
    unchanged: bool
    note: str | None = None


class _Clock:
    """Tells for whole arrays which trading date their times belong to."""

    def __init__(self, session: Session, config: Config) -> None:
        trading = calendar(config)
        dates = [*trading.before(session.date, 15)[::-1], session.date, trading.after(session.date)]
        windows = [trading.session(date).bronze for date in dates]
        self.window: Window = session.bronze
        self._names = [date.isoformat() for date in dates]
        self._starts = np.array([window.start for window in windows])
        self._ends = np.array([window.end for window in windows])

    def inside(self, times: np.ndarray) -> np.ndarray | None:
        """Which times lie in the date; None: all of them."""
        if times.size and times.min() > self.window.start and times.max() <= self.window.end:
            return None
        return (times > self.window.start) & (times <= self.window.end)

    def count(self, times: np.ndarray) -> Counter[str]:
        """Times outside the date, by the trading date they belong to."""
        at = np.searchsorted(self._starts, times, side="left") - 1
        named = np.where((at >= 0) & (times <= self._ends[np.maximum(at, 0)]), at, -1)
        found = Counter(
            {self._names[i] if i >= 0 else NO_DATE: int(n) for i, n in zip(*np.unique(named, return_counts=True), strict=True)}
        )
        return found


class Intake:
    """The landing files of one trading date on their way into the lake. Scans the folder once, serves all tables."""

    def __init__(
        self, date: dt.date, lake: Lake, landing: Landing, progress: Progress | None = None, files: list[LandingFile] | None = None
    ) -> None:
        """`files`: what landing was found to hold, if it was scanned before."""
        self._files = files
        self.config = lake.config
        self.session = calendar(self.config).session(date)
        self.date, self.lake, self.landing, self._progress = date, lake, landing, progress
        self._clock = _Clock(self.session, self.config)

    @cached_property
    def files(self) -> list[LandingFile]:
        return self.landing.scan() if self._files is None else self._files

    @cached_property
    def _near(self) -> list[LandingFile]:
        """Those that hold something of the date: of the thousands of a year some twenty."""
        return [file for file in self.files if file.overlaps(*self.session.bronze)]

    def supply(self, table: Table) -> Supply:
        return supply(self._near, table.name, self.session)

    @cached_property
    def symbology(self) -> Symbology:
        paths = [self.landing.path(source.file) for source in self.supply(DEFINITIONS).sources]
        return Symbology(paths, self.config, self.session.bronze.end)

    @cached_property
    def contract(self) -> Contract:
        """The date's contract. MissingInput if there is no MBP-10 of the date at all."""
        sources = self.supply(FUTURES_MBP10).sources
        if not sources:
            raise MissingInput(self._nothing(FUTURES_MBP10))
        chosen = choose(self.date, self.lake, (), self.config)
        if chosen.basis == "volume":  # whatever the files name: they need not be opened, or brought from elsewhere
            return chosen
        days = [day for source in sources for day in _days(source)]
        paths = [self.landing.path(source.file) for source in sources]
        named = {entry for path in paths for day in days for entry in self.symbology.named(path, day)}
        return choose(self.date, self.lake, {symbol for symbol, kind in named if kind == "outright"}, self.config)

    def volumes(self) -> Mapping[str, int]:
        """Lots of the date by outright: as Bronze has them, else as the files in landing tell; empty without any."""
        if self._published(FUTURES_TRADES) is not None or not self.supply(FUTURES_TRADES).sources:
            return traded(self.lake, self.date)
        lots: Counter[str] = Counter()
        for records, symbols in self._symbols(self.records(FUTURES_TRADES), self.supply(FUTURES_TRADES)):
            lots.update(_lots(records, symbols))
        return lots

    def fingerprint(self, table: Table) -> Fingerprint:
        """What the table would be made from now."""
        used = {**self._digests(DEFINITIONS), **self._digests(table)}
        if table is FUTURES_MBP10:
            used["contract"] = json.dumps(self.contract.facts(), sort_keys=True)
        schema = table.digest
        return Fingerprint(dict(sorted(used.items())), self.config.digest(*CONFIG_GROUPS), code_digest(*CODE), schema)

    def _digests(self, table: Table) -> dict[str, str]:
        sources = self.supply(table).sources
        clocks = {
            PurePosixPath(source.file.path).with_name(CLOCK).as_posix(): clock
            for source in sources
            if (clock := self._clock_of(source)) is not None
        }
        used = {source.file.path: source.file.digest for source in sources}
        return used | {name: file_hash(clock) for name, clock in clocks.items()}

    def _clock_of(self, source: Source) -> Path | None:
        """The clock beside a captured file; None where there is none."""
        return self.landing.beside(source.file, CLOCK) if source.file.origin == "capture" else None

    def mappings(self, table: Table) -> dict[str, list[dbn.Interval]]:
        """Which numbers each symbol has on the UTC days of the date, as the table's files tell."""
        found: dict[str, dict[dbn.Interval, None]] = {}
        for source in self.supply(table).sources:
            for number in _days(source):
                day = utc_day(number * DAY_NS)
                for instrument, symbol in self.symbology.told(self.landing.path(source.file), number).items():
                    found.setdefault(symbol, {})[dbn.Interval(day, day + DAY, instrument)] = None
        return {symbol: list(intervals) for symbol, intervals in sorted(found.items())}

    def stale(self, table: Table) -> list[str]:
        """Why the published partition is not what landing would give now; empty if it is."""
        manifest = self._published(table)
        if manifest is None:
            return ["not made yet"]
        try:
            changes = self.fingerprint(table).differences(manifest.fingerprint)
        except MissingInput:
            changes = ["input all files gone"]
        return [] if self._only_gone(changes) or self._shrinks(table, manifest) else changes

    def _shrinks(self, table: Table, manifest: Manifest) -> bool:
        """Whether landing covers a UTC day worse than when the partition was made: Bronze is the record of what was read."""
        rank = {"missing": 0, "partial": 1, "full": 2}
        made = {table.name: manifest, DEFINITIONS.name: self._published(DEFINITIONS)}
        return any(
            rank[now.split()[0]] < rank[before.facts["coverage"][day].split()[0]]
            for name, before in made.items()
            if before is not None
            for day, now in supply(self._near, name, self.session).coverage.items()
        )

    def _published(self, table: Table) -> Manifest | None:
        """The partition's manifest; one that cannot be read counts as none, so that the partition is made again."""
        try:
            return self.lake.manifest(table, self.date)
        except LakeError:
            return None

    @staticmethod
    def _only_gone(changes: list[str]) -> bool:
        """Files that were removed after they were read: Bronze stays, it is the record of them."""
        return bool(changes) and all(change.endswith(" gone") for change in changes)

    def ingest(self, table: Table, force: bool = False) -> Ingested:
        """Make one table of the date, or find it made. MissingInput if the table cannot be empty and there is nothing."""
        before = self._published(table)
        found = self.supply(table)
        if before is not None and not force:
            changes = self.stale(table)
            if not changes and self.lake.current(table, self.date, before.fingerprint):
                gone = sorted(set(before.fingerprint.inputs) - {*self._digests(table), *self._digests(DEFINITIONS), "contract"})
                return Ingested(before, True, f"kept although landing lost {', '.join(gone)}" if gone else None)
        market = (FUTURES_MBP10,) if table is FUTURES_MBP10 else (table, FUTURES_MBP10, FUTURES_TRADES)
        if not any(self.supply(one).sources for one in market):
            raise MissingInput(self._nothing(table))
        fingerprint = self.fingerprint(table)
        with self.lake.write(table, self.date, fingerprint) as writer:
            facts = self._fill(table, found, writer)
            if table is FUTURES_MBP10 and not writer.rows:
                raise MissingInput(self._no_records(facts))
            manifest = writer.publish(facts)
        return Ingested(manifest, False, None if found.complete else f"coverage {_words(found.coverage)}")

    def records(self, table: Table) -> Iterator[np.ndarray]:
        """The table's records of the date as they came, in the order of Bronze. Views of buffers that are reused."""
        found = self.supply(table)
        return self._run(table, found, self._accounts(found), [None] * len(found.sources), Overlap())

    @staticmethod
    def _accounts(found: Supply) -> list[Account]:
        return [Account(source.file.path, source.file.digest, source.file.origin) for source in found.sources]

    def _run(
        self, table: Table, found: Supply, accounts: list[Account], clocks: Sequence[Lateness | None], overlap: Overlap
    ) -> Iterator[np.ndarray]:
        """The records of all sources, as one run."""
        runs = [
            (max(s.start, s.file.start), min(s.end, s.file.end), self._records(table, found.schema or "", s, account, clock))
            for s, account, clock in zip(found.sources, accounts, clocks, strict=True)
        ]
        return in_order(runs, overlap)

    def _fill(self, table: Table, found: Supply, writer: PartitionWriter) -> dict[str, Any]:
        """Write all rows; the facts of the manifest."""
        accounts, overlap = self._accounts(found), Overlap()
        paths = [self._clock_of(source) for source in found.sources]
        clocks = [None if path is None else Lateness(path, table.name) for path in paths]
        run = self._run(table, found, accounts, clocks, overlap)
        facts: dict[str, Any] = {"schema": found.schema, "coverage": found.coverage}
        if table is FUTURES_MBP10:
            self._write_wide(writer, run)
            facts["contract"] = self.contract.facts()
        else:
            volumes: Counter[str] = Counter()
            self._write_narrow(table, writer, self._symbols(run, found), volumes, found.schema or "")
            if table is FUTURES_TRADES:
                facts["volumes"] = dict(sorted(volumes.items()))
        facts["files"] = [account.facts() for account in accounts]
        facts["overlap"] = {"in_both_files": overlap.same, "in_one_file": overlap.single}
        if any(clocks) and not (overlap.same or overlap.single):  # else a row's number tells no record of the clock's
            facts["lateness"] = _joined(clocks, accounts)
        return facts

    def _records(self, table: Table, schema: str, source: Source, account: Account, clock: Lateness | None) -> Iterator[np.ndarray]:
        """The records of one file that belong to the table and date; everything read is accounted for."""
        path, index = self.landing.path(source.file), dbn.SCHEMAS[schema].index
        for chunk in dbn.read(path, schema, on_bytes=self._bar(table, source)):
            account.read += len(chunk)
            records = chunk
            wanted = self._wanted(table, path, records, account)
            if wanted is not None:
                records = dbn.pick(records, wanted)
            times = records[index].view("i8")
            inside = self._clock.inside(times)
            if source.file.origin == "capture":  # on other days the vendor's file may win
                received = records["ts_recv"].view("i8")
                clipped = (received >= source.start) & (received < source.end)
                inside = clipped if inside is None else inside & clipped
            if clock is not None:
                clock.see(chunk[index].view("i8"), _kept(len(chunk), wanted, inside))
            if inside is not None:
                account.outside += self._clock.count(times[~inside])
                records = dbn.pick(records, inside)
            account.kept += len(records)
            if len(records):
                yield records

    def _bar(self, table: Table, source: Source) -> Callable[[int], None] | None:
        if self._progress is None:
            return None
        progress, label = self._progress, f"{table.name} {source.file.path}"
        return lambda done: progress(label, done, source.file.bytes)

    def _wanted(self, table: Table, path: Path, records: np.ndarray, account: Account) -> np.ndarray | None:
        """Which records are of the table's instruments; None: all of them."""
        if table is DEFINITIONS:
            return self._wanted_definitions(records, account)
        if table is FUTURES_MBP10 and (number := self._contract_number(path, records)) is not None:
            of_contract: np.ndarray = records["instrument_id"] == number
            if of_contract.all():
                return None
            self._count_others(table, path, dbn.pick(records, ~of_contract), account)
            return of_contract
        return self._count_others(table, path, records, account)

    def _contract_number(self, path: Path, records: np.ndarray) -> int | None:
        """The contract's instrument_id where all records are of one UTC day and one number is the contract's; else None."""
        days = {int(records["ts_recv"].min()) // DAY_NS, int(records["ts_recv"].max()) // DAY_NS}
        numbers = self.symbology.numbers_of(self.contract.symbol, path, days.pop())
        return numbers[0] if len(numbers) == 1 and not days else None

    def _count_others(self, table: Table, path: Path, records: np.ndarray, account: Account) -> np.ndarray | None:
        """Which records are of the table's instruments (None: all); the others are counted by symbol."""
        index, symbols, kinds = self.symbology.resolve(path, records)
        keep = np.array([self._fits(table, symbol, kind) for symbol, kind in zip(symbols, kinds, strict=True)])
        counts = np.bincount(index, minlength=len(keep))
        for i in np.flatnonzero(~keep):
            if kinds[i] == "unknown":
                account.unresolved += int(counts[i])
            else:
                account.other_instruments[str(symbols[i])] += int(counts[i])
        return None if keep.all() else keep[index]

    def _fits(self, table: Table, symbol: str | None, kind: Kind) -> bool:
        if table is FUTURES_MBP10:
            return symbol == self.contract.symbol
        if table is FUTURES_TRADES:
            return kind == "outright"
        return kind in ("option", "unknown")

    def _wanted_definitions(self, records: np.ndarray, account: Account) -> np.ndarray | None:
        """Definitions of our product: its futures and spreads, its options, and what users built of them."""
        parents = {parent.encode() for parent in self.config.instrument.option_parents}
        root = self.config.instrument.root.encode()
        keep = np.array(
            [
                asset in parents or asset == root or underlying.startswith(root) or symbol.startswith(b"UD:")
                for asset, underlying, symbol in zip(
                    records["asset"].tolist(), records["underlying"].tolist(), records["raw_symbol"].tolist(), strict=True
                )
            ]
        )
        account.other_instruments += Counter(dbn.text(symbol) for symbol in records["raw_symbol"][~keep].tolist())
        return None if keep.all() else keep

    def _symbols(self, run: Iterable[np.ndarray], found: Supply) -> Iterator[tuple[np.ndarray, pa.Array]]:
        """Records with their raw symbols (null where unknown). Any of the date's files may tell."""
        paths = [self.landing.path(source.file) for source in found.sources]
        for records in run:
            index, symbols, _ = self.symbology.resolve(paths[0], records)
            for path in paths[1:]:
                if None not in symbols:
                    break
                other = self.symbology.resolve(path, records)[1]
                symbols = [mine or theirs for mine, theirs in zip(symbols, other, strict=True)]
            names = sorted({symbol for symbol in symbols if symbol is not None})
            places = np.array([-1 if symbol is None else names.index(symbol) for symbol in symbols], np.int32)[index]
            yield records, pa.DictionaryArray.from_arrays(pa.array(places, mask=places < 0), pa.array(names, pa.string()))

    def _write_wide(self, writer: PartitionWriter, run: Iterable[np.ndarray]) -> None:
        """MBP-10, many rows: a row group is written while the next is read."""
        for columns in ahead(self._row_groups(run)):
            writer.append(columns)

    def _row_groups(self, run: Iterable[np.ndarray]) -> Iterator[dict[str, np.ndarray | pa.Array]]:
        """The columns of one row group after the other, in two buffers that take turns."""
        places, size = field_places(dbn.MBP10, FUTURES_MBP10.names), self.config.bronze.row_group
        columns, other = Columns(dbn.MBP10, places, size), Columns(dbn.MBP10, places, size)
        for records in run:
            done = 0
            while done < len(records):
                done += columns.fill(records[done:])
                if columns.rows == columns.capacity:
                    yield _signed(columns.arrays())
                    columns, other = other, columns
                    columns.clear()
        if columns.rows:
            yield _signed(columns.arrays())

    def _write_narrow(
        self, table: Table, writer: PartitionWriter, run: Iterable[tuple[np.ndarray, pa.Array]], volumes: Counter[str], schema: str
    ) -> None:
        """Every other table: columns as they come, plus symbol and, of quotes, the schema they came in."""
        sampled = table is OPTION_QUOTES and schema != "tbbo"
        for chunk, symbols in run:
            records = chunk.copy()
            columns: dict[str, np.ndarray | pa.Array] = dict(dbn.columns(records, table.names))
            if "symbol" in table.names:
                columns["symbol"] = symbols
            if table is OPTION_QUOTES:
                columns["source"] = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(records), np.int32)), pa.array([schema]))
            null = {name: np.full(len(records), True) for name in ("action", "depth", "ts_in_delta") if sampled}
            columns |= {name: np.zeros(len(records), table[name].dtype) for name in null}
            writer.append(columns, null)
            if table is FUTURES_TRADES:
                volumes.update(_lots(records, symbols))

    def _nothing(self, table: Table) -> str:
        """Why there is nothing to make the table from, with what lies in landing instead."""
        unused = [f"{file.path} ({file.problem})" for file in self.files if file.problem]
        others = sorted({file.schema or "live stream" for file in self.files if not file.problem})
        there = f"it holds {', '.join(others)} for other days or tables" if others else "it holds no usable file"
        if not self.files:
            there = "it is empty: put Databento files there, or run `spymaster simulate`"
        days = " and ".join(day.isoformat() for day in self.session.utc_days)
        more = f"; not used: {'; '.join(unused[:5])}" if unused else ""
        return f"{self.date}: no {table.name} in {self.landing.root} (UTC days {days}): {there}{more}"

    def _no_records(self, facts: dict[str, Any]) -> str:
        seen: Counter[str] = Counter()
        for entry in facts["files"]:
            seen.update(entry["other_instruments"])
            seen.update({f"outside the date ({key})": n for key, n in entry["outside"].items()})
        found = ", ".join(f"{name}: {n:,}" for name, n in seen.most_common(5)) or "no records"
        contract = facts["contract"]
        return f"{self.date}: expected MBP-10 of {contract['symbol']} (by {contract['basis']}), found {found}"


def _kept(count: int, wanted: np.ndarray | None, inside: np.ndarray | None) -> np.ndarray:
    """Which of `count` records stay: those wanted and, of them, those inside; None: all."""
    kept = np.full(count, True) if wanted is None else wanted.copy()
    if inside is not None:
        kept[kept] = inside
    return kept


def _lots(trades: np.ndarray, symbols: pa.Array) -> dict[str, int]:
    """Lots by symbol, of those that have any. `symbols`: one for each trade, none null."""
    lots = np.bincount(symbols.indices.to_numpy(), trades["size"], minlength=len(symbols.dictionary))
    return {name: int(each) for name, each in zip(symbols.dictionary.to_pylist(), lots, strict=True) if each}


def _joined(clocks: Sequence[Lateness | None], accounts: Sequence[Account]) -> dict[str, Any]:
    """What the clocks of sources that follow one another say, in rows of the table."""
    before = np.cumsum([0, *(account.kept for account in accounts)]).tolist()
    told = [(first, clock) for first, clock in zip(before[:-1], clocks, strict=True) if clock is not None]
    marks = [[first + row, watermark] for first, clock in told for row, watermark in clock.marks]
    return {"records": sum(clock.late for _, clock in told), "watermarks": marks}


def _days(source: Source) -> range:
    """The UTC days that a source serves, as day numbers."""
    return range(source.start // DAY_NS, source.end // DAY_NS)


def _signed(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray | pa.Array]:
    """Times as int64: undefined, 2**64 - 1, becomes -1."""
    return {name: values.view("i8") if values.dtype == np.uint64 else values for name, values in columns.items()}


def _words(coverage: dict[str, str]) -> str:
    return ", ".join(f"{day} {state}" for day, state in coverage.items())


TROUBLE: Final = (MissingInput, dbn.DbnError, LakeError, OSError)  # with files; the message says which and what


def ingest_date(intake: Intake, force: bool = False) -> dict[str, Ingested | Exception]:
    """All six tables of a date, in order; trouble with the files of one does not stop the others."""
    results: dict[str, Ingested | Exception] = {}
    for table in BRONZE:
        try:
            results[table.name] = intake.ingest(table, force)
        except TROUBLE as error:
            results[table.name] = error
    return results
