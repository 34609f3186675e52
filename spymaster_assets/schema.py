"""What a column and a table are: one declaration from which every other form of them derives.

A column states its name, type, unit, meaning, allowed values and what stands for "unknown"; the numpy dtype, the Arrow schema
with its metadata, the Dagster column schema, the quality checks, docs/tables.md and the page's legend derive from it. The
declarations themselves stand in tables/ and features/.

In memory a table is a structured array (`Table.dtype`): codes are their ASCII letter, categories their number (-1 unknown), an
unknown float is NaN, an unknown integer is the column's `unknown`. In Parquet the unknown is null (Bronze alone keeps Databento's
own undefined values).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa

TEXT: Final = "text"  # dtype of a string column
DELTA: Final = "DELTA_BINARY_PACKED"  # rising values: their differences
PLAIN: Final = "PLAIN"  # words as they are: zstd finds what repeats
SPLIT: Final = "BYTE_STREAM_SPLIT"  # small numbers in wide words: first bytes, second bytes, ...


@dataclass(frozen=True)
class Column:
    """One column. `dtype`: a numpy type, or TEXT. `codes`: one-letter values (stored as text) with their meaning.

    `categories`: named values (stored as text, an i1 in memory). `low`, `high`: range of a known value, ends included.
    `unknown`: the integer that stands for "unknown", in Parquet too unless `null`. `part_of`: the array of which this column is
    an element, in memory. `encoding`: how Parquet is to hold
    the values, by its own name; unless given, SPLIT words of four bytes and more, and through a dictionary all else.
    """

    name: str
    dtype: str
    unit: str
    meaning: str
    null: bool = False
    low: int | float | None = None
    high: int | float | None = None
    unknown: int | None = None
    codes: Mapping[str, str] | None = None
    categories: tuple[str, ...] | None = None
    part_of: str | None = None
    encoding: str | None = None

    @property
    def is_text(self) -> bool:
        return bool(self.codes or self.categories) or self.dtype == TEXT

    @property
    def arrow(self) -> pa.DataType:
        return pa.dictionary(pa.int32(), pa.string()) if self.is_text else pa.from_numpy_dtype(np.dtype(self.dtype))

    @property
    def stored(self) -> str | None:
        """The encoding; None: a dictionary of the values, and their numbers."""
        wide = not self.is_text and np.dtype(self.dtype).itemsize >= 4
        return self.encoding or (SPLIT if wide else None)

    @property
    def field(self) -> pa.Field:
        described = {"unit": self.unit, "meaning": self.meaning}
        if self.unknown is not None and not self.null:
            described["unknown"] = str(self.unknown)
        return pa.field(self.name, self.arrow, nullable=self.null, metadata=described)

    def unknowns(self, values: np.ndarray) -> np.ndarray | None:
        """Which values of the in-memory form stand for null; None if none does."""
        if not self.null or self.dtype == TEXT:
            return None
        mask: np.ndarray
        if self.categories:
            mask = values < 0
        elif values.dtype.kind == "f":
            mask = np.isnan(values)
        elif self.unknown is not None:
            mask = values == self.unknown
        else:
            return None
        return mask if mask.any() else None


@dataclass(frozen=True, eq=False)
class Table:
    """One table: where it belongs, the columns it is sorted by (arrival: the order of the source). `optional`: may be absent."""

    name: str
    stage: str
    grain: str
    meaning: str
    columns: tuple[Column, ...]
    optional: bool = False

    @cached_property
    def schema(self) -> pa.Schema:
        return pa.schema([column.field for column in self.columns], metadata={"table": self.name, "grain": self.grain})

    @cached_property
    def digest(self) -> str:
        """Hash (16 hex digits) of names, types and codes: what makes stored bytes incompatible, not what describes them."""
        facts = [(c.name, c.dtype, c.null, sorted(c.codes or ()), *((c.categories,) if c.categories else ())) for c in self.columns]
        return hashlib.sha256(json.dumps([self.name, facts]).encode()).hexdigest()[:16]

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """A row in memory, packed; text columns other than codes and categories have no place in it."""
        fields: dict[str, tuple[str, int]] = {}
        for column in self.columns:
            if column.dtype != TEXT:
                name = column.part_of or column.name
                fields[name] = (column.dtype, fields.get(name, ("", 0))[1] + 1)
        arrays = {column.part_of for column in self.columns}
        return np.dtype([(name, kind, (count,)) if name in arrays else (name, kind) for name, (kind, count) in fields.items()])

    def place(self, column: Column, rows: np.ndarray) -> np.ndarray:
        """A view of one column of rows of `dtype`."""
        if column.part_of is None:
            return rows[column.name]
        first = next(i for i, c in enumerate(self.columns) if c.part_of == column.part_of)
        return rows[column.part_of][:, self.columns.index(column) - first]

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def __getitem__(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)


def series(name: str, count: int, dtype: str, unit: str, meaning: str, **facts: Any) -> tuple[Column, ...]:
    """The columns name_00, name_01, ... that are one array in memory; `{i}` in the meaning is the number."""
    return tuple(Column(f"{name}_{i:02}", dtype, unit, meaning.format(i=i), part_of=name, **facts) for i in range(count))


def time_column(name: str, meaning: str, *, encoding: str | None = DELTA, unknown: int | None = None) -> Column:
    """A moment in ns UTC."""
    return Column(name, "i8", "ns UTC", meaning, encoding=encoding, unknown=unknown)
