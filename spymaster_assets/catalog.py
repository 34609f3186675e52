"""SQL over the lake: one DuckDB view per table, with a `date` column, here and in a file that any SQL tool opens.

A view follows the manifests at the moment of the query, so it shows what is published then: new dates without being made anew, and
never what a killed writer left. `publish` writes the views to <root>/spymaster.duckdb by rename, whoever has the old one open;
what others wrote into that file is not kept. A lake on object storage has no such file: `connect` reads its manifests at once, and
of its data what a query asks for.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import duckdb

from spymaster_assets.fingerprint import Manifest
from spymaster_assets.lake import MANIFEST, Lake, pattern
from spymaster_assets.object_store import Bucket
from spymaster_assets.schema import Table
from spymaster_assets.store import write_atomic
from spymaster_assets.tables import TABLES

FILE: Final = "spymaster.duckdb"


def view(lake: Lake, table: Table) -> str:
    """SQL of all published partitions of a table, in no particular order; columns that a partition lacks are null."""
    folder = f"{pattern(str(lake.root / table.stage / table.name))}/date=*"
    return f"""
        select * exclude (filename), regexp_extract(filename, '.*/date=([0-9-]+)/', 1)::date as date
        from read_parquet('{folder}/*.parquet', hive_partitioning = false, filename = true, union_by_name = true)
        where filename in (select left(filename, -{len(MANIFEST)}) || file
                           from read_json('{folder}/{MANIFEST}', columns = {{file: 'varchar'}}, filename = true,
                                          ignore_errors = true))"""


def connect(lake: Lake, file: Path | None = None, query: str = "") -> duckdb.DuckDBPyConnection:
    """DuckDB, in memory or in a new file, with the views `bronze_futures_mbp10`, ...; tables without partitions have none.

    `query`: only the views that it names, if it names any, since making one opens every file of the table.
    """
    connection = duckdb.connect(str(file) if file else ":memory:")
    names = {f"{table.stage}_{table.name}": table for table in TABLES.values()}
    named = {name: table for name, table in names.items() if name in query.lower()} or names
    for name, table in named.items():
        if isinstance(lake.store, Bucket):
            if dates := lake.dates(table):
                parts = [f"date={date}" for date in dates]
                found = lake.store.dataset(
                    f"{table.stage}/{table.name}", parts, table.schema, lambda raw: Manifest.decode(raw).file
                )
                connection.register(name, found)
        elif lake.dates(table):
            connection.execute(f"create view {name} as {view(lake, table)}")
    return connection


def publish(lake: Lake) -> Path:
    """Write the views to <root>/spymaster.duckdb."""
    target = lake.root / FILE
    lake.root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:  # DuckDB cannot write to every path that the lake may have
        connect(lake, Path(folder) / FILE).close()
        target.with_name(f"{FILE}.wal").unlink(missing_ok=True)  # of the old file: beside it the new one could not be opened
        write_atomic(target, (Path(folder) / FILE).read_bytes())
    return target
