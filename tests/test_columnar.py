"""The content hash: it is of the values alone, and of every one of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spymaster_assets.columnar import ContentHash
from spymaster_assets.config import Bronze, Config
from spymaster_assets.lake import Lake
from spymaster_assets.schema import TEXT, Column, Table
from spymaster_assets.tables import UNDEF_PRICE
from tests.kinds import ALL_KINDS, ROW, Row, content, publish, quick, rows_of_all_kinds, with_


@quick
@given(st.lists(rows_of_all_kinds, max_size=40), st.lists(st.integers(0, 40), max_size=5))
def test_the_content_hash_does_not_depend_on_the_pieces(rows: list[Row], cuts: list[int]) -> None:
    assert content(rows, sorted(min(cut, len(rows)) for cut in cuts)) == content(rows)


@pytest.mark.parametrize("row_group", [1, 3, 16, 1000])
def test_the_content_hash_does_not_depend_on_row_groups(tmp_path: Path, row_group: int) -> None:
    words = (None, "", "a", "ab", "s")
    rows = [(i, None if i % 3 else i, i, UNDEF_PRICE, i, i / 7, "ABN"[i % 3], None, words[i % 5]) for i in range(40)]
    written = publish(Lake(tmp_path, Config(bronze=Bronze(row_group=row_group))), rows, [1, 2, 30])
    assert written.content == content(rows)


def naive_key(rows: Sequence[Row]) -> tuple[Any, ...]:
    """What makes two tables different: their values, floats by their bytes (0.0 is not -0.0)."""
    return tuple(tuple(np.float64(v).tobytes() if isinstance(v, float) else v for v in row) for row in rows)


@quick
@given(st.lists(rows_of_all_kinds, min_size=1, max_size=6), st.data())
def test_the_content_hash_changes_with_any_single_value(rows: list[Row], data: st.DataObject) -> None:
    at, column = data.draw(st.integers(0, len(rows) - 1)), data.draw(st.integers(0, len(ALL_KINDS.columns) - 1))
    other = data.draw(rows_of_all_kinds)
    changed = [*rows]
    changed[at] = (*rows[at][:column], other[column], *rows[at][column + 1 :])
    assert (content(changed) == content(rows)) == (naive_key(changed) == naive_key(rows))


@pytest.mark.parametrize("column", range(len(ALL_KINDS.columns)))
def test_a_change_in_each_column_shows(column: int) -> None:
    other: Row = (6, 7, 8, 9, 10, 0.25, "B", "A", "work")
    assert content([(*ROW[:column], other[column], *ROW[column + 1 :])]) != content([ROW])


@pytest.mark.parametrize(
    ("one", "another"),
    [
        ([with_(ROW, step=None)], [with_(ROW, step=0)]),
        ([with_(ROW, depth=None)], [with_(ROW, depth=0)]),
        ([with_(ROW, symbol=None)], [with_(ROW, symbol="")]),
        ([with_(ROW, symbol="ab"), with_(ROW, symbol="c")], [with_(ROW, symbol="a"), with_(ROW, symbol="bc")]),
        ([with_(ROW, symbol=None), with_(ROW, symbol="a")], [with_(ROW, symbol="a"), with_(ROW, symbol=None)]),
        ([with_(ROW, step=None), with_(ROW, step=0)], [with_(ROW, step=0), with_(ROW, step=None)]),
        ([with_(ROW, number=1), with_(ROW, number=2)], [with_(ROW, number=2), with_(ROW, number=1)]),
        ([], [ROW]),
        ([with_(ROW, side="A", action="B")], [with_(ROW, side="B", action="A")]),
    ],
)
def test_tables_that_look_alike_have_different_hashes(one: list[Row], another: list[Row]) -> None:
    assert content(one) != content(another)


def test_text_hashes_the_same_through_any_dictionary() -> None:
    table = Table("words", "bronze", "arrival", "", (Column("word", TEXT, "", "", null=True),))
    forms = [
        pa.array(["b", None, "a", "b"]),
        pa.array(["b", None, "a", "b"]).dictionary_encode(),
        pa.DictionaryArray.from_arrays(pa.array([2, 1, 0, 2], pa.int32()), pa.array(["a", None, "b", "unused"])),
    ]
    found = set()
    for form in forms:
        hashed = ContentHash(table)
        hashed.update([form])
        found.add(hashed.hexdigest())
    assert len(found) == 1
