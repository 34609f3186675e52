"""Rows to columns: the one pass that turns decoded records into the arrays that Parquet is written from.

A record is seen as a row of machine words, once per word size, so one generic kernel serves every field; blocks of rows stay
in the cache while each of their fields is copied. Nothing is converted: bytes in, the same bytes out.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from spymaster_assets.compute.kernel import kernel

_WORDS = (8, 4, 2, 1)  # bytes of the fields that can be copied
BLOCK = 128  # rows whose bytes fit the first-level cache
TILE = 1024  # rows whose bytes fit the second-level cache: the word sizes take turns within it


@kernel
def _copy(rows: np.ndarray, words: np.ndarray, out: np.ndarray, at: int) -> None:
    """out[c, at + r] = rows[r, words[c]] for rows (n, words per row), out (columns, capacity)."""
    for start in range(0, rows.shape[0], BLOCK):
        stop = min(start + BLOCK, rows.shape[0])
        for column in range(words.size):
            word = words[column]
            for row in range(start, stop):
                out[column, at + row] = rows[row, word]


@kernel
def _scatter(columns: tuple[np.ndarray, ...], first: int, words: np.ndarray, rows: np.ndarray) -> None:
    """rows[r, words[c]] = columns[c][first + r]: the way back."""
    for start in range(0, rows.shape[0], BLOCK):
        stop = min(start + BLOCK, rows.shape[0])
        for c in range(words.size):
            column, word = columns[c], words[c]
            for row in range(start, stop):
                rows[row, word] = column[first + row]


class Records:
    """The way back: columns as rows of a record type, in two buffers that take turns; fields that are not given keep zero.

    `dtype`, `fields` as for Columns; `capacity`: rows of a buffer.
    """

    def __init__(self, dtype: np.dtype, fields: Mapping[str, tuple[int, str]], capacity: int) -> None:
        self._rows, self._others = np.zeros(capacity, dtype), np.zeros(capacity, dtype)
        self._groups: list[tuple[list[str], np.dtype, np.ndarray]] = []
        for size in _WORDS:
            chosen = {name: place[0] // size for name, place in fields.items() if np.dtype(place[1]).itemsize == size}
            if chosen:
                self._groups.append((list(chosen), np.dtype(f"u{size}"), np.array(list(chosen.values()), np.int64)))

    def fill(self, columns: Mapping[str, np.ndarray]) -> Iterator[np.ndarray]:
        """The rows of `columns` (equally long), `capacity` at a time, as views of the buffers."""
        count = len(next(iter(columns.values())))
        groups = [(tuple(_words(columns[name], word) for name in names), word, words) for names, word, words in self._groups]
        for start in range(0, count, len(self._rows)):
            self._rows, self._others = self._others, self._rows
            rows = self._rows[: count - start]
            for given, word, words in groups:
                _scatter(given, start, words, rows.view(word).reshape(len(rows), -1))
            yield rows


def _words(column: np.ndarray, word: np.dtype) -> np.ndarray:
    """A column as unsigned words that cannot be written: all of one type for the compiler."""
    words = column.view(word)
    words.flags.writeable = False
    return words


class Columns:
    """A fixed number of rows of some fields of a record type, held column by column and reused.

    `dtype`: the records' dtype; `fields`: column name -> (byte offset, numpy type), aligned to its size. `fill` copies records
    in until full; `arrays` gives the columns filled so far, as views that the next `clear` lets be overwritten.
    """

    def __init__(self, dtype: np.dtype, fields: Mapping[str, tuple[int, str]], capacity: int) -> None:
        self._dtype, self.capacity, self.rows = dtype, capacity, 0
        self._groups: list[tuple[np.dtype, np.ndarray, np.ndarray]] = []
        self._columns: dict[str, np.ndarray] = {}
        if wide := [name for name, (_, kind) in fields.items() if np.dtype(kind).itemsize not in _WORDS]:
            raise ValueError(f"fields {', '.join(wide)} are of no width in {_WORDS} bytes")
        for size in _WORDS:
            chosen = {name: place for name, place in fields.items() if np.dtype(place[1]).itemsize == size}
            if any(offset % size or dtype.itemsize % size for offset, _ in chosen.values()):
                raise ValueError(f"a field of {size} bytes is not aligned")
            out = np.empty((len(chosen), capacity), f"u{size}")
            words = np.array([offset // size for offset, _ in chosen.values()], np.int64)
            self._groups.append((np.dtype(f"u{size}"), words, out))
            self._columns |= {name: out[i].view(kind) for i, (name, (_, kind)) in enumerate(chosen.items())}

    def fill(self, records: np.ndarray) -> int:
        """Copy as many of `records` (contiguous) as there is room for; how many."""
        taken = min(len(records), self.capacity - self.rows)
        for start in range(0, taken, TILE):
            tile = records[start : min(start + TILE, taken)]
            for word, words, out in self._groups:
                if words.size:
                    _copy(tile.view(word).reshape(len(tile), -1), words, out, self.rows + start)
        self.rows += taken
        return taken

    def arrays(self) -> dict[str, np.ndarray]:
        return {name: column[: self.rows] for name, column in self._columns.items()}

    def clear(self) -> None:
        self.rows = 0


def field_places(dtype: np.dtype, names: Sequence[str]) -> dict[str, tuple[int, str]]:
    """(byte offset, numpy type) of each named column of a record dtype; `bid_px_03` is field bid_px of levels[3]."""
    places: dict[str, tuple[int, str]] = {}
    fields: Mapping[str, Any] = dtype.fields or {}
    for name in names:
        if name in fields:
            kind, offset = fields[name][:2]
            places[name] = (offset, kind.str)
        elif "levels" in fields and name[-2:].isdigit() and int(name[-2:]) < fields["levels"][0].shape[0]:
            level, start = fields["levels"][0].base, fields["levels"][1]
            kind, offset = (level.fields or {})[name[:-3]][:2]
            places[name] = (start + int(name[-2:]) * level.itemsize + offset, kind.str)
    return places
