"""Columns are declared once, completely, and everything that shows them derives from that."""

import numpy as np
import pytest

from spymaster_assets import dbn
from spymaster_assets.tables import (
    BRONZE,
    DEFINITIONS,
    FUTURES_MBP10,
    FUTURES_TRADES,
    OPTION_STATISTICS,
    TABLES,
    Table,
    describe,
    markdown,
)

IMPLIED = {"length", "rtype", "_reserved"}  # given by the table; reserved bytes are zero


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_column_has_unit_and_meaning_and_a_name_of_its_own(table: Table) -> None:
    assert all(column.unit and column.meaning for column in table.columns)
    assert len(set(table.names)) == len(table.names)
    assert [field["name"] for field in describe(table)] == list(table.names)
    assert table.schema.names == list(table.names)


@pytest.mark.parametrize(
    ("table", "dtype"), [(FUTURES_TRADES, dbn.TRADE), (DEFINITIONS, dbn.DEFINITION), (OPTION_STATISTICS, dbn.STATISTICS)], ids=str
)
def test_every_field_of_a_record_has_its_column(table: Table, dtype: np.dtype) -> None:
    assert set(dtype.names) - IMPLIED <= set(table.names)


def test_every_level_of_the_book_has_its_six_columns() -> None:
    levels = {f"{name}_{level:02}" for name in dbn.LEVEL.names for level in range(10)}
    assert set(dbn.MBP10.names) - IMPLIED - {"levels"} | levels == set(FUTURES_MBP10.names)


def test_the_page_names_every_table_and_column() -> None:
    page = markdown()
    for key, table in TABLES.items():
        section = page.split(f"## {key}\n")[1].split("\n## ")[0]
        assert all(f"| {name} |" in section for name in table.names)


def test_times_are_signed_so_that_sql_can_subtract_them() -> None:
    assert all(c.dtype == "i8" for table in BRONZE for c in table.columns if c.unit == "ns UTC")
