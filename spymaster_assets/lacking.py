"""What a trading date lacks in landing, as requests to the vendor.

A date's files hold what was received in its Bronze window. Definitions, and trades of all outrights, tell the rest: the contract of
the book, by the pipeline's own rule (contract.py), and the options that expire on the date (expiring.py). What landing holds
already, whoever brought it, is not lacking.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from spymaster_assets import dbn
from spymaster_assets.asking import Request
from spymaster_assets.compute.clock import clock_of
from spymaster_assets.contract import choose
from spymaster_assets.expiring import FACTS, Contract, sorted_out
from spymaster_assets.ingest import Intake
from spymaster_assets.lake import Lake
from spymaster_assets.landing import FEEDS, Landing, LandingFile, supply
from spymaster_assets.sessions import calendar
from spymaster_assets.staged import ENDING, entries, folder
from spymaster_assets.tables import DEFINITIONS, FUTURES_MBP10, FUTURES_TRADES

TELLING: Final = (DEFINITIONS.name, FUTURES_TRADES.name)  # what tells the rest


class NotTold(RuntimeError):
    """Landing does not tell what a date needs."""


@dataclass(frozen=True)
class Wanted:
    """One file of a date; `name` without its ending."""

    date: dt.date
    table: str
    name: str
    request: Request


def tables_of(schemas: Sequence[str]) -> dict[str, str]:
    """Bronze table -> the schema that it is made from, for those that `schemas` serve. ValueError for one that serves none."""
    known = dict.fromkeys(schema for _, feeds in FEEDS.values() for schema in feeds)
    if unknown := [schema for schema in schemas if schema not in known]:
        raise ValueError(f"schema {', '.join(unknown)}: expected some of {', '.join(known)}")
    chosen = {table: next((schema for schema in feeds if schema in schemas), None) for table, (_, feeds) in FEEDS.items()}
    return {table: schema for table, schema in chosen.items() if schema}


class Lacking:
    """Looks once what landing holds, and tells what dates lack of `schemas`."""

    def __init__(self, lake: Lake, schemas: Sequence[str]) -> None:
        self.lake, self.config = lake, lake.config
        self.landing = Landing(lake.root / "landing", lake.config)
        self._files: list[LandingFile] = self.landing.scan()
        self._tables = tables_of(schemas)

    def telling(self, date: dt.date) -> list[Wanted]:
        """Definitions and trades of all outrights, if they are lacking."""
        futures = f"{self.config.instrument.root}.FUT"
        options = tuple(f"{parent}.OPT" for parent in self.config.instrument.option_parents)
        wanted = zip(TELLING, ((futures, *options), (futures,)), strict=True)
        return self._lacking(one for table, symbols in wanted for one in self._of(date, table, table, symbols, "parent"))

    def told(self, date: dt.date) -> list[Wanted]:
        """The book of the date's contract, and what its options did, if they are lacking. NotTold without definitions."""
        book = FUTURES_MBP10.name
        symbol = choose(date, self.lake, (), self.config, self._volumes).symbol
        wanted = list(self._of(date, book, f"{book}-{symbol}", (symbol,), "raw_symbol"))
        of_options = [table for table in self._tables if table not in (*TELLING, book)]
        symbols = self.expiring(date) if of_options else ()
        most = self.config.vendor.symbols_max
        for table in of_options:
            for first in range(0, len(symbols), most):
                name = f"{table}-{first // most + 1}" if len(symbols) > most else table
                wanted += self._of(date, table, name, symbols[first : first + most], "raw_symbol")
        return self._lacking(wanted)

    def expiring(self, date: dt.date) -> tuple[str, ...]:
        """Raw symbols of the options that are the date's own. NotTold without definitions."""
        intake = Intake(date, self.lake, self.landing, files=self._files)
        if not intake.supply(DEFINITIONS).sources:
            raise NotTold("its options are not known: definitions of the date tell them (schema definition)")
        clock, found = clock_of(intake.session, self.config), set()
        for records in intake.records(DEFINITIONS):
            facts = {name: _as_facts(name, records[name]) for name in FACTS}
            sorted_symbols = zip(facts["raw_symbol"].tolist(), sorted_out(facts, self.config, clock), strict=True)
            found |= {symbol for symbol, kind in sorted_symbols if isinstance(kind, Contract)}
        return tuple(sorted(found))

    def _of(self, date: dt.date, table: str, name: str, symbols: tuple[str, ...], stype: str) -> Iterator[Wanted]:
        """A file of a table, if its schema is asked for."""
        if table in self._tables:
            window, dataset = calendar(self.config).session(date).bronze, self.config.instrument.dataset
            yield Wanted(date, table, name, Request(dataset, self._tables[table], symbols, stype, window.start, window.end))

    def _volumes(self, date: dt.date) -> Mapping[str, int]:
        return Intake(date, self.lake, self.landing, files=self._files).volumes()

    def _lacking(self, wanted: Iterator[Wanted] | list[Wanted]) -> list[Wanted]:
        return [one for one in wanted if not self._is_there(one)]

    def _is_there(self, wanted: Wanted) -> bool:
        """Whether landing holds all of it: the date's hours, the schema, the symbols, and what was downloaded as it came."""
        found = supply(self._files, wanted.table, calendar(self.config).session(wanted.date))
        feeds = FEEDS[wanted.table][1]
        as_good = feeds[: feeds.index(wanted.request.schema) + 1]  # of a better schema than the one asked for, Bronze is made
        if found.schema not in as_good or any(state != "full (vendor)" for state in found.coverage.values()):
            return False
        kept = folder(self.landing, wanted.date)
        came = {kept / f"{name}{ENDING}": entry["digest"] for name, entry in entries(self.landing, wanted.date).items()}
        named: set[str] = set()
        for source in found.sources:
            path = self.landing.path(source.file)
            if came.get(path, source.file.digest) != source.file.digest:
                return False
            header = dbn.read_header(path)
            named |= {*header.symbols, *header.mappings}
        return "ALL_SYMBOLS" in named or named >= {*wanted.request.symbols}


def _as_facts(name: str, values: np.ndarray) -> np.ndarray:
    """A column of definition records as expiring.py reads it: text as str, times as int64."""
    if values.dtype.kind == "S":
        return np.char.decode(values, "latin-1")
    if name in ("instrument_class", "user_defined_instrument"):
        return values.view("S1").astype("U1")
    return values.view("i8") if values.dtype == np.uint64 else values
