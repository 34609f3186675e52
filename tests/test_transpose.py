"""Rows to columns, against plain numpy field access."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spymaster_assets import dbn
from spymaster_assets.compute.transpose import BLOCK, TILE, Columns, Records, field_places
from spymaster_assets.tables.bronze import FUTURES_MBP10, HEAD, OPTION_QUOTES

HEAD_NAMES = tuple(column.name for column in HEAD)
CASES = {
    "MBP10": (dbn.MBP10, FUTURES_MBP10.names),
    "TRADE": (dbn.TRADE, HEAD_NAMES),
    "MBP1": (dbn.MBP1, OPTION_QUOTES.names[: len(HEAD) + 6]),
}
quick = settings(max_examples=60, deadline=None)


def random_records(dtype: np.dtype, count: int, seed: int) -> np.ndarray:
    """Rows of random bytes: no value is special."""
    return np.frombuffer(np.random.default_rng(seed).bytes(count * dtype.itemsize), dtype)


def naive_columns(records: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Field by field; `bid_px_03` is the bid price of the fourth level where levels are sub-records."""
    nested = "levels" in (records.dtype.names or ())
    return {n: records["levels"][:, int(n[-2:])][n[:-3]] if nested and n[-2:].isdigit() else records[n] for n in names}


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(found) == list(expected)
    for name, column in expected.items():
        assert found[name].dtype == column.dtype, name
        np.testing.assert_array_equal(found[name], column, err_msg=name)


def in_order_of(names: tuple[str, ...], columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: columns[name] for name in names}


@pytest.mark.parametrize("case", CASES)
def test_the_columns_are_all_that_the_records_hold(case: str) -> None:
    dtype, names = CASES[case]
    assert set(field_places(dtype, names)) == set(names)


@pytest.mark.parametrize("case", CASES)
@quick
@given(data=st.data())
def test_columns_equal_plain_field_access_however_the_rows_come(case: str, data: st.DataObject) -> None:
    """Any chunk sizes into any capacity: emptied when full, every row arrives once and in order."""
    dtype, names = CASES[case]
    count = data.draw(st.sampled_from((0, 1, 7, BLOCK, BLOCK + 1, TILE - 1, TILE + 1, 2 * TILE + 3)))
    capacity = data.draw(st.one_of(st.integers(max(1, count // 20), count + 5), st.just(TILE), st.just(BLOCK)))
    chunk = data.draw(st.integers(max(1, count // 20), count + 5))
    records = random_records(dtype, count, data.draw(st.integers(0, 1000)))
    columns = Columns(dtype, field_places(dtype, names), capacity)
    parts: list[dict[str, np.ndarray]] = []
    for start in range(0, count, chunk):
        rest = records[start : start + chunk]
        while len(rest):
            room = columns.capacity - columns.rows
            taken = columns.fill(rest)
            assert taken == min(room, len(rest))
            rest = rest[taken:]
            if columns.rows == columns.capacity:
                parts.append({name: values.copy() for name, values in columns.arrays().items()})
                columns.clear()
    parts.append(columns.arrays())
    found = {name: np.concatenate([part[name] for part in parts]) for name in names}
    assert_same(found, naive_columns(records, names))


def test_a_full_buffer_takes_nothing_and_keeps_what_it_holds() -> None:
    dtype, names = CASES["TRADE"]
    records = random_records(dtype, 9, 1)
    columns = Columns(dtype, field_places(dtype, names), 5)
    assert (columns.fill(records), columns.fill(records[5:]), columns.rows) == (5, 0, 5)
    assert_same(in_order_of(names, columns.arrays()), naive_columns(records[:5], names))


def test_records_may_lie_anywhere_in_memory() -> None:
    dtype, names = CASES["MBP10"]
    records = random_records(dtype, 200, 2)
    raw = np.empty(records.nbytes + 3, np.uint8)
    raw[3:] = records.view(np.uint8)
    columns = Columns(dtype, field_places(dtype, names), 200)
    columns.fill(raw[3:].view(dtype))
    assert_same(in_order_of(names, columns.arrays()), naive_columns(records, names))


def test_rows_with_gaps_between_them_are_refused() -> None:
    dtype, names = CASES["TRADE"]
    columns = Columns(dtype, field_places(dtype, names), 10)
    with pytest.raises(ValueError, match="contiguous"):
        columns.fill(random_records(dtype, 10, 3)[::2])


@pytest.mark.parametrize("dtype", [np.dtype([("a", "u1"), ("b", "u8"), ("pad", "u1", (7,))]), np.dtype([("b", "u4"), ("a", "u1")])])
def test_a_field_that_no_machine_word_covers_is_refused(dtype: np.dtype) -> None:
    with pytest.raises(ValueError, match="not aligned"):
        Columns(dtype, field_places(dtype, ["b"]), 10)


def test_a_field_of_another_width_is_refused() -> None:
    dtype = np.dtype([("a", "u8"), ("text", "S5"), ("pad", "u1", (3,))])
    with pytest.raises(ValueError, match="text"):
        Columns(dtype, field_places(dtype, ["a", "text"]), 10)


@pytest.mark.parametrize("name", ["bid_px_10", "bid_px_99"])
def test_a_level_that_the_book_does_not_have_is_not_found(name: str) -> None:
    assert name not in field_places(dbn.MBP10, [name])


@pytest.mark.parametrize("case", CASES)
def test_places_are_those_of_the_flat_record(case: str) -> None:
    """Databento's flat field list, added up: a place is the sum of the widths before it."""
    dtype, names = CASES[case]
    flat: dict[str, tuple[int, str]] = {}
    at = 0
    for name in dtype.names or ():
        kind = dtype[name]
        if name == "levels":
            for level in range(dbn.BOOK_LEVELS):
                for field in dbn.LEVEL.names or ():
                    flat[f"{field}_{level:02}"] = (at, dbn.LEVEL[field].str)
                    at += dbn.LEVEL[field].itemsize
        else:
            flat[name] = (at, kind.str)
            at += kind.itemsize
    assert at == dtype.itemsize
    assert field_places(dtype, names) == {name: flat[name] for name in names}


@pytest.mark.parametrize("count", [1, 99, 100, 101, 250])
@pytest.mark.parametrize("case", CASES)
def test_rows_come_back_from_their_columns(case: str, count: int) -> None:
    """Some of the columns: the rest stays zero. A part is not overwritten before the next but one."""
    dtype, names = CASES[case]
    records, given, wanted = random_records(dtype, count, 5), names[::2], np.zeros(count, dtype)
    columns, target = naive_columns(records, given), naive_columns(wanted, given)
    for name, column in columns.items():
        target[name][:] = column
    rows, done, last = Records(dtype, field_places(dtype, given), 100), 0, np.zeros(0, dtype)
    for part in rows.fill({name: np.ascontiguousarray(column) for name, column in columns.items()}):
        assert last.tobytes() == wanted[max(done - 100, 0) : done].tobytes()
        assert part.tobytes() == wanted[done : done + 100].tobytes()
        done, last = done + len(part), part
    assert done == count


def test_the_same_bytes_without_the_compiler() -> None:
    dtype, names = CASES["MBP10"]
    code = (
        "import sys, numpy as np, numba\n"
        "assert numba.config.DISABLE_JIT\n"
        "from spymaster_assets import dbn, tables\n"
        "from spymaster_assets.compute.transpose import Columns, field_places\n"
        "raw = np.random.default_rng(4).bytes(150 * dbn.MBP10.itemsize)\n"
        "columns = Columns(dbn.MBP10, field_places(dbn.MBP10, tables.FUTURES_MBP10.names), 150)\n"
        "columns.fill(np.frombuffer(raw, dbn.MBP10))\n"
        "sys.stdout.buffer.write(b''.join(columns.arrays()[n].tobytes() for n in tables.FUTURES_MBP10.names))\n"
    )
    plain = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, capture_output=True, check=True
    ).stdout
    columns = Columns(dtype, field_places(dtype, names), 150)
    columns.fill(random_records(dtype, 150, 4))
    assert plain == b"".join(columns.arrays()[name].tobytes() for name in names)
