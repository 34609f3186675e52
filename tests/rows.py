"""Tables in their in-memory form as plain rows and back, so that fast code and naive twins can be compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spymaster_assets.schema import TEXT, Table

Row = dict[str, Any]


def plain(table: Table, rows: np.ndarray) -> list[Row]:
    """Rows of `table.dtype` as dicts: None for unknown, codes as letters, categories as words."""
    columns: dict[str, list[Any]] = {}
    for column in table.columns:
        if column.dtype == TEXT:
            continue
        values = table.place(column, rows).tolist()
        if column.codes:
            values = [chr(value) for value in values]
        elif column.categories:
            values = [column.categories[value] if value >= 0 else None for value in values]
        elif column.null and np.dtype(column.dtype).kind == "f":
            values = [None if math.isnan(value) else value for value in values]
        elif column.null:
            values = [None if value == column.unknown else value for value in values]
        columns[column.name] = values
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def packed(table: Table, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """The way back; columns that a row does not have stay 0."""
    out = np.zeros(len(rows), table.dtype)
    for column in table.columns:
        if column.dtype == TEXT or not rows or column.name not in rows[0]:
            continue
        values = [row[column.name] for row in rows]
        if column.codes:
            values = [ord(value) for value in values]
        elif column.categories:
            values = [column.categories.index(value) if value is not None else -1 for value in values]
        elif np.dtype(column.dtype).kind == "f":
            values = [math.nan if value is None else value for value in values]
        else:
            values = [column.unknown if value is None else value for value in values]
        table.place(column, out)[:] = values
    return out


def difference(expected: Sequence[Row], found: Sequence[Row], tolerance: float = 0.0) -> str:
    """The first difference between two lists of rows, in words; empty if there is none. Compares the columns of `found`."""
    if len(expected) != len(found):
        return f"{len(expected)} rows expected, {len(found)} found"
    for number, (wanted, row) in enumerate(zip(expected, found, strict=True)):
        for name, value in row.items():
            want = wanted[name]
            if isinstance(value, float) and isinstance(want, int | float) and not isinstance(want, bool):
                if abs(value - want) <= tolerance * max(1.0, abs(want)):
                    continue
            elif value == want:
                continue
            return f"row {number}, {name}: {want!r} expected, {value!r} found; the row: {row}"
    return ""
