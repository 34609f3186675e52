"""What is said about rows of live and of Dagster: nothing if they are the same, else the row and the column that differ first."""

import numpy as np
import pytest

from spymaster_assets.tables import SIGNALS
from spymaster_live.messages import ROWS
from spymaster_live.parity import KEYS, difference

TABLES = {table.name: table for table in ROWS}
COUNT = 12
every_table = pytest.mark.parametrize("name", TABLES)


def rows(name):
    """Rows whose values are all different and whose keys rise, several rows to a first key; every seventh float is unknown."""
    table = TABLES[name]
    found, rng = np.zeros(COUNT, table.dtype), np.random.default_rng(3)
    for column in table.dtype.names:
        values = found[column]
        values[:] = rng.integers(1, 100, values.shape)
        if values.dtype.kind == "f":
            values.reshape(-1)[::7] = np.nan
    first, *rest = KEYS[name]
    found[first] = np.arange(COUNT) // 3 if rest else np.arange(COUNT)
    for key in rest:
        found[key] = np.arange(COUNT) % 3
    return found


def full(name):
    return f"{TABLES[name].stage}/{name}"


def at(name, row):
    """A row's key in words."""
    return ", ".join(f"{key} {row[key]}" for key in KEYS[name])


@every_table
def test_equal_in_any_order(name):
    batch = rows(name)
    for seed in range(5):
        assert difference(TABLES[name], batch[np.random.default_rng(seed).permutation(COUNT)], batch) is None
    assert difference(TABLES[name], batch, batch[::-1]) is None
    assert difference(TABLES[name], batch[:0], batch[:0]) is None


@every_table
def test_rows_are_left_as_they_are(name):
    live, batch = rows(name)[::-1].copy(), rows(name)
    before = live.tobytes(), batch.tobytes()
    difference(TABLES[name], live, batch)
    assert (live.tobytes(), batch.tobytes()) == before


@every_table
@pytest.mark.parametrize("number", [0, 5, COUNT - 1])
def test_a_value(name, number):
    """Each column in turn, the smallest change."""
    for column in TABLES[name].dtype.names:
        if column in KEYS[name]:
            continue
        live, batch = rows(name), rows(name)
        cell = live[number : number + 1][column].reshape(-1)[-1:]
        cell[:] = 7 if np.isnan(cell[0]) else np.nextafter(cell, np.inf) if cell.dtype.kind == "f" else cell + 1
        live[number : number + 1][column].reshape(1, -1)[:, -1] = cell
        assert difference(TABLES[name], live[::-1], batch) == (
            f"{full(name)} row {number} ({at(name, batch[number])}), column {column}: "
            f"live has {live[number][column]}, Dagster has {batch[number][column]}"
        )


@every_table
def test_the_first_of_several(name):
    """The first row in order of the key, and in it the first column."""
    live, batch = rows(name), rows(name)
    free = [column for column in TABLES[name].dtype.names if column not in KEYS[name]]
    for number, column in ((9, free[0]), (4, free[-1]), (4, free[1])):
        live[column][number] = 99
        batch[column][number] = 98
    assert difference(TABLES[name], live[::-1], batch).startswith(
        f"{full(name)} row 4 ({at(name, batch[4])}), column {free[1]}: live has "
    )


@every_table
@pytest.mark.parametrize("number", [0, 5, COUNT - 2])
def test_a_missing_row(name, number):
    batch = rows(name)
    assert difference(TABLES[name], np.delete(batch, number), batch) == (
        f"{full(name)} row {number}: live has {at(name, batch[number + 1])}, Dagster has {at(name, batch[number])}"
    )


@every_table
@pytest.mark.parametrize("number", [0, 5, COUNT - 2])
def test_an_extra_row(name, number):
    live = rows(name)
    assert difference(TABLES[name], live, np.delete(live, number)) == (
        f"{full(name)} row {number}: live has {at(name, live[number])}, Dagster has {at(name, live[number + 1])}"
    )


@every_table
def test_rows_at_the_end(name):
    batch = rows(name)
    for live_count, batch_count in ((COUNT - 1, COUNT), (COUNT, COUNT - 2), (0, COUNT), (COUNT, 0)):
        assert difference(TABLES[name], batch[:live_count], batch[:batch_count]) == (
            f"{full(name)}: live has {live_count} rows, Dagster has {batch_count}; the first {min(live_count, batch_count)} agree"
        )


@every_table
def test_a_row_twice(name):
    batch = rows(name)
    twice = np.concatenate([batch, batch[4:5]])
    assert difference(TABLES[name], twice, batch).startswith(f"{full(name)} row 5: live has {at(name, batch[4])}, Dagster has ")
    assert difference(TABLES[name], batch, twice).startswith(f"{full(name)} row 5: live has {at(name, batch[5])}, Dagster has ")


@every_table
def test_a_key(name):
    """A key that no other row has: it is the key that is told, not a column."""
    live, batch = rows(name), rows(name)
    live[KEYS[name][-1]][COUNT - 1] += 50
    assert difference(TABLES[name], live, batch) == (
        f"{full(name)} row {COUNT - 1}: live has {at(name, live[-1])}, Dagster has {at(name, batch[-1])}"
    )


NANS = np.array([0x7FF8000000000000, 0xFFF8000000000000, 0x7FF8000000000123, 0x7FF0000000000001], np.uint64).view("f8")


@pytest.mark.parametrize("name", ["touches", "features", "signals"])
def test_all_nans_are_one(name):
    """Whatever their bits; but no number is one, and 0 is not -0."""
    floats = [
        column for column in TABLES[name].dtype.names if TABLES[name].dtype[column].base.kind == "f" and column not in KEYS[name]
    ]
    for column in floats:
        live, batch = rows(name), rows(name)
        for number, nan in enumerate(NANS):
            live[column][number], batch[column][number] = nan, np.nan
        assert live.tobytes() != batch.tobytes() and difference(TABLES[name], live, batch) is None
        batch[column][2] = 1.5
        assert f"column {column}: live has " in difference(TABLES[name], live, batch)
        live[column][2], batch[column][2] = 0.0, -0.0
        assert f"column {column}: live has " in difference(TABLES[name], live, batch)


def test_nan_beside_a_number():
    live, batch = rows("signals"), rows("signals")
    live["tape_rate"][3], batch["tape_rate"][3] = np.nan, 2.5
    expected = "silver/signals row 3 (touch 1, k 0), column tape_rate: live has "
    assert difference(SIGNALS, live, batch) == f"{expected}nan, Dagster has 2.5"
    assert difference(SIGNALS, batch, live) == f"{expected}2.5, Dagster has nan"


@every_table
def test_keys_name_a_row(name):
    """The keys are columns, and the table's own order begins with them (levels: valid_from, kind)."""
    assert [key for key in TABLES[name].grain.split(", ") if key in TABLES[name].dtype.names] == list(KEYS[name])


assert set(KEYS) == set(TABLES)
