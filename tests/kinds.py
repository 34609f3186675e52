"""A table with one column of every kind, and rows of it: what they ought to be is said here, not computed."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from hypothesis import settings
from hypothesis import strategies as st

from spymaster_assets.columnar import ContentHash, to_arrow
from spymaster_assets.config import Bronze, Config
from spymaster_assets.fingerprint import Fingerprint, Manifest
from spymaster_assets.lake import Lake
from spymaster_assets.schema import DELTA, TEXT, Column, Table
from spymaster_assets.tables import UNDEF_PRICE
from tests.build import DATE

SMALL = Config(bronze=Bronze(row_group=16))
PRINT = Fingerprint({"a.dbn": "1"}, "config", "code", "schema")
OTHER = Fingerprint({"a.dbn": "2"}, "config", "code", "schema")
LETTERS = {"A": "ask", "B": "bid", "N": "none"}
ALL_KINDS = Table(
    "kinds", "bronze", "arrival", "one column of every kind",
    (
        Column("ts_event", "i8", "ns UTC", "rising", encoding=DELTA),
        Column("step", "i4", "ns", "differences, unknown for some", null=True, encoding=DELTA),
        Column("number", "u4", "count", "differences of unsigned numbers", encoding=DELTA),
        Column("price", "i8", "1e-9 USD", "a price", unknown=UNDEF_PRICE),
        Column("depth", "u1", "level", "small", null=True),
        Column("ratio", "f8", "1", "a float"),
        Column("side", "u1", "code", "letters", codes=LETTERS),
        Column("action", "u1", "code", "letters, unknown for some", null=True, codes=LETTERS),
        Column("symbol", TEXT, "symbol", "words, unknown for some", null=True),
    ),
)  # fmt: skip
Row = tuple[Any, ...]  # one value per column of ALL_KINDS; None: unknown; letters as str
quick = settings(max_examples=30, deadline=None)


def whole(dtype: str) -> st.SearchStrategy[int]:
    """Numbers of a type, its extremes often."""
    limits = np.iinfo(dtype)
    return st.one_of(st.sampled_from((int(limits.min), int(limits.max), 0, 1)), st.integers(int(limits.min), int(limits.max)))


letters = st.sampled_from(sorted(LETTERS))
rows_of_all_kinds = st.tuples(
    whole("i8"),
    st.none() | whole("i4"),
    whole("u4"),
    st.sampled_from((UNDEF_PRICE, -(2**63), 0)) | whole("i8"),
    st.none() | whole("u1"),
    st.floats(allow_nan=False),
    letters,
    st.none() | letters,
    st.none() | st.text(max_size=4),
)
ROW: Row = (5, 6, 7, 8, 9, 0.5, "A", "B", "word")


def columns_of(rows: Sequence[Row]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Rows as `append` takes them: columns and masks."""
    columns, null = {}, {}
    for i, column in enumerate(ALL_KINDS.columns):
        values = [row[i] for row in rows]
        if column.dtype == TEXT:
            columns[column.name] = np.array([*values, None], object)[:-1]
            continue
        if column.null:
            null[column.name] = np.array([value is None for value in values], bool)
        known = [0 if value is None else ord(value) if column.codes else value for value in values]
        columns[column.name] = np.array(known, column.dtype)
    return columns, null


def publish(
    lake: Lake, rows: Sequence[Row], cuts: Sequence[int] = (), fingerprint: Fingerprint = PRINT, date: dt.date = DATE
) -> Manifest:
    """Write the rows in pieces that end at `cuts`."""
    with lake.write(ALL_KINDS, date, fingerprint) as writer:
        for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True):
            writer.append(*columns_of(rows[start:end]))
        return writer.publish({})


def read(lake: Lake, date: dt.date = DATE) -> list[Row]:
    """The rows by plain pyarrow: unknown is None."""
    return [tuple(row.values()) for row in pq.read_table(lake.path(ALL_KINDS, date), partitioning=None).to_pylist()]


def content(rows: Sequence[Row], cuts: Sequence[int] = ()) -> str:
    columns, null = columns_of(rows)
    hashed = ContentHash(ALL_KINDS)
    for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        masks = {name: mask[start:end] for name, mask in null.items()}
        hashed.update([to_arrow(c, columns[c.name][start:end], masks.get(c.name)) for c in ALL_KINDS.columns])
    return hashed.hexdigest()


def with_(row: Row, **values: Any) -> Row:
    return tuple(values.get(name, value) for name, value in zip(ALL_KINDS.names, row, strict=True))


OLD, NEW = [ROW] * 3, [with_(ROW, number=n) for n in range(40)]
