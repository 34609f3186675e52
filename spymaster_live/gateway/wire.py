"""Rows and messages as JSON. A table is {"columns": [...], "rows": [[...], ...]}, its names and units those of tables.py.

Categories and codes are words, what is unknown is null. A message is encoded once, whoever it goes to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import orjson

from spymaster_assets.schema import Column, Table

SIGNALS: Final = "signals"
ROWS: Final = "rows"
FLOW: Final = "flow"
STATUS: Final = "status"
TOPICS: Final = (SIGNALS, ROWS, FLOW, STATUS)
NOTHING: Final = b"{}"
LATEST: Final = (SIGNALS, FLOW, STATUS)  # a client that is slow gets the latest of these; of rows it gets all


def columns(table: Table) -> tuple[str, ...]:
    """The names of what `cells` gives; an array is one of them (snaps: bid_ticks for bid_ticks_00, ...)."""
    return table.dtype.names or ()


def _plain(column: Column, values: np.ndarray) -> list[Any]:
    if column.categories:
        return [column.categories[value] if value >= 0 else None for value in values.tolist()]
    if column.codes:
        return [chr(value) if value else None for value in values.tolist()]
    told: list[Any] = values.tolist()
    unknown = column.unknowns(values)
    if unknown is None or values.dtype.kind == "f":  # orjson writes NaN as null
        return told
    return [None if nothing else value for value, nothing in zip(told, unknown.tolist(), strict=True)]


def cells(table: Table, rows: np.ndarray, names: Sequence[str] = ()) -> list[tuple[Any, ...]]:
    """Rows of `table.dtype` as plain values, one tuple a row, in the order of `names`, else of `columns`."""
    found: list[list[Any]] = []
    for name in names or columns(table):
        column = next(column for column in table.columns if name in (column.part_of, column.name))
        values = rows[name]
        if values.ndim == 1:
            found.append(_plain(column, values))
        else:
            flat, width = _plain(column, values.reshape(-1)), values.shape[1]
            found.append([flat[at : at + width] for at in range(0, len(flat), width)])
    return list(zip(*found, strict=True))


def lines(table: Table, rows: np.ndarray, names: Sequence[str] = ()) -> bytes:
    """The rows as JSON arrays with commas between them, so that pieces can be joined; empty for none."""
    return orjson.dumps(cells(table, rows, names))[1:-1]


def joined(table: Table, pieces: list[bytes], names: Sequence[str] = ()) -> bytes:
    """A table from pieces that `lines` made."""
    return b'{"columns":%b,"rows":[%b]}' % (orjson.dumps(names or columns(table)), b",".join(piece for piece in pieces if piece))


def encoded(table: Table, rows: np.ndarray, names: Sequence[str] = ()) -> bytes:
    """A table from its rows; `names`: of the columns that are told."""
    return joined(table, [lines(table, rows, names)], names)


def members(of: dict[str, bytes]) -> bytes:
    """A JSON object from names and values that are JSON already."""
    return b"{%b}" % b",".join(b'"%b":%b' % (name.encode(), value) for name, value in of.items())


def message(kind: str, seq: int, data: bytes) -> bytes:
    """A message for clients."""
    return b'{"type":"%b","seq":%d,"data":%b}' % (kind.encode(), seq, data)
