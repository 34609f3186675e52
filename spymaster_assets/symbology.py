"""Which instrument a number means on a day.

An instrument_id is unique within a day only. A file's header maps symbols to ids by UTC day; a live stream maps them in messages;
definitions name every instrument and say what kind it is. Without definitions a future is told from a spread or an option by
the form of its symbol.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from spymaster_assets import dbn
from spymaster_assets.config import Config
from spymaster_assets.landing import option, outright
from spymaster_assets.sessions import NS_PER_SECOND

DAY_NS = 86_400 * NS_PER_SECOND
Kind = Literal["outright", "option", "other", "unknown"]
_CLASSES: Mapping[int, Kind] = {ord("F"): "outright", ord("C"): "option", ord("P"): "option"}


class Symbology:
    """Symbols and kinds of the instruments in the files of one trading date.

    `definitions`: the definition files that serve it; `until`: the date's end, ns UTC. What was sent later is not read, and of
    two definitions of one instrument on a day the first holds.
    """

    def __init__(self, definitions: Iterable[Path], config: Config, until: int) -> None:
        self._until = np.uint64(until)
        self._config = config
        self._definition_files = tuple(definitions)
        self._outright, self._option = outright(config), option(config)
        self._numbers: dict[tuple[str, Path, int], tuple[int, ...]] = {}
        self._known: dict[tuple[Path, int], dict[int, tuple[str, Kind]]] = {}

    @cached_property
    def _defined(self) -> dict[int, dict[int, tuple[str, Kind]]]:
        """UTC day number -> instrument_id -> (symbol, kind) from the definition files."""
        found: dict[int, dict[int, tuple[str, Kind]]] = {}
        for path in self._definition_files:
            for records in dbn.read(path, "definition"):
                chunk = records[records["ts_recv"] <= self._until]
                days = (chunk["ts_recv"] // DAY_NS).tolist()
                symbols = [dbn.text(raw) for raw in chunk["raw_symbol"].tolist()]
                rows = zip(days, chunk["instrument_id"].tolist(), symbols, chunk["instrument_class"].tolist(), strict=True)
                for day, number, symbol, letter in rows:
                    found.setdefault(day, {}).setdefault(number, (symbol, self._kind(symbol, letter)))
        return found

    def _kind(self, symbol: str, letter: int | None) -> Kind:
        """Outright of our root, listed or user-defined option of ours, or other. `letter`: the definition's class, if known."""
        if self._outright.fullmatch(symbol):
            return "outright" if letter is None else _CLASSES.get(letter, "other")
        if self._option.fullmatch(symbol) or symbol.startswith("UD:"):
            return "option"
        return "other"

    def _mapped(self, path: Path, day: int) -> dict[int, str]:
        """instrument_id -> symbol on a UTC day number, by a file's header or its mapping messages."""
        header = dbn.read_header(path)
        if header.schema is None:
            return dbn.live_symbols(path)
        return header.symbols_on(dt.date(1970, 1, 1) + dt.timedelta(days=day))

    def instruments(self, path: Path, day: int) -> dict[int, tuple[str, Kind]]:
        """instrument_id -> (symbol, kind) for a file's records of a UTC day number (days since 1970-01-01); made once."""
        if (path, day) in self._known:
            return self._known[path, day]
        known = self._known[path, day] = dict(self._defined.get(day, {}))
        for number, symbol in self._mapped(path, day).items():
            if number not in known and not symbol.startswith(f"{self._config.instrument.root}."):
                known[number] = (symbol, self._kind(symbol, None))
        return known

    def told(self, path: Path, day: int) -> dict[int, str]:
        """instrument_id -> symbol on a UTC day number as a file itself tells; of one that tells nothing, as definitions do."""
        return self._mapped(path, day) or {number: symbol for number, (symbol, _) in self.instruments(path, day).items()}

    def named(self, path: Path, day: int) -> set[tuple[str, Kind]]:
        """(symbol, kind) of the instruments that a file itself maps on a UTC day number."""
        known = self.instruments(path, day)
        return {known[number] for number in self._mapped(path, day) if number in known}

    def numbers_of(self, symbol: str, path: Path, day: int) -> tuple[int, ...]:
        """The instrument_ids that a symbol has in a file on a UTC day number; made once."""
        key = (symbol, path, day)
        if key not in self._numbers:
            known = self.instruments(path, day)
            self._numbers[key] = tuple(number for number, (name, _) in known.items() if name == symbol)
        return self._numbers[key]

    def resolve(self, path: Path, records: np.ndarray) -> tuple[np.ndarray, list[str | None], list[Kind]]:
        """Per record an index into symbols and kinds (None, "unknown" where neither header nor definitions tell)."""
        days = (records["ts_recv"] // DAY_NS).astype(np.int64)
        keys = days << 32 | records["instrument_id"].astype(np.int64)
        coded = pa.array(keys).dictionary_encode()  # by hash: numpy's unique sorts, which takes ten times as long
        symbols: list[str | None] = []
        kinds: list[Kind] = []
        for key in coded.dictionary.to_pylist():
            found = self.instruments(path, key >> 32).get(key & 0xFFFFFFFF)
            symbols.append(found[0] if found else None)
            kinds.append(found[1] if found else "unknown")
        return coded.indices.to_numpy(), symbols, kinds
