"""Landing and Bronze as assets. Landing belongs to the vendor, so it is external: a sensor reports what arrives.

Each Bronze asset is one call into `ingest`; its result carries rows, bytes, content hash, coverage, the column schema and, for the
book, a picture of the date.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dagster as dg
from dagster_duckdb import DuckDBResource

from spymaster_assets.assets.checks import key_of, results, specs
from spymaster_assets.assets.history import LOOKBACK, earlier, observed
from spymaster_assets.assets.partitions import CONFIG, date_of, trading_dates
from spymaster_assets.assets.pictures import date_picture, drawn
from spymaster_assets.assets.resources import LakeResource
from spymaster_assets.fingerprint import code_digest
from spymaster_assets.ingest import CODE, CONFIG_GROUPS, TROUBLE, Ingested, Intake
from spymaster_assets.landing import FEEDS
from spymaster_assets.maker import Made
from spymaster_assets.progress import terminal
from spymaster_assets.schema import Table
from spymaster_assets.tables import BRONZE, DEFINITIONS, FUTURES_MBP10, FUTURES_TRADES, describe

CODE_VERSION = f"{code_digest(*CODE)}-{CONFIG.digest(*CONFIG_GROUPS)}"


def landing_key(table: Table) -> dg.AssetKey:
    return dg.AssetKey(["landing", table.name])


landing_assets = [
    dg.AssetSpec(
        landing_key(table),
        group_name="landing",
        partitions_def=trading_dates,
        description=f"DBN files ({', '.join(FEEDS[table.name][1])}) below landing/ that serve bronze/{table.name}.",
        kinds={"databento"},
    )
    for table in BRONZE
]


def _deps(table: Table) -> list[dg.AssetDep]:
    """Landing of the date; for the book also its trades, against which it is checked, and earlier ones, which choose contracts."""
    deps = [dg.AssetDep(landing_key(one)) for one in {table.name: table, DEFINITIONS.name: DEFINITIONS}.values()]
    if table is FUTURES_MBP10:
        deps += [dg.AssetDep(key_of(FUTURES_TRADES)), earlier(FUTURES_TRADES)]
    return deps


def column_schema(table: Table) -> dg.TableSchema:
    """The declared columns as Dagster shows them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(c["name"], c["type"], c["description"], constraints=dg.TableColumnConstraints(nullable=c["nullable"]))
            for c in describe(table)
        ]
    )


def published(table: Table, made: Ingested | Made) -> dict[str, Any]:
    """What every table's result carries."""
    manifest = made.manifest
    facts = {name: fact for name, fact in manifest.facts.items() if name != "files"}
    return {
        "dagster/row_count": manifest.rows,
        "dagster/column_schema": column_schema(table),
        "bytes": manifest.size,
        "content hash": manifest.content,
        "unchanged": made.unchanged,
        "facts": dg.MetadataValue.json(facts),
    }


def _metadata(table: Table, made: Ingested) -> dict[str, Any]:
    """The same, and which files it came from."""
    note = {"note": made.note} if made.note else {}
    return {**published(table, made), "files": dg.MetadataValue.json(made.manifest.facts["files"]), **note}


def bronze_asset(table: Table) -> dg.AssetsDefinition:
    """The asset of one Bronze table, with its checks."""

    @dg.asset(
        key=key_of(table),
        group_name="bronze",
        partitions_def=trading_dates,
        deps=_deps(table),
        check_specs=specs(table),
        code_version=CODE_VERSION,
        description=f"{table.meaning[0].upper()}{table.meaning[1:]}.",
        kinds={"parquet"},
        metadata={"dagster/column_schema": column_schema(table)},
    )
    def asset(context: dg.AssetExecutionContext, lake: LakeResource, duckdb: DuckDBResource) -> Iterator[object]:
        date, store = date_of(context), lake.lake()
        try:
            made = Intake(date, store, lake.landing(), terminal()).ingest(table)
        except TROUBLE as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        with duckdb.get_connection() as connection, ThreadPoolExecutor(1) as beside:
            judged = beside.submit(lambda: [*results(store, table, date, connection)])
            metadata = _metadata(table, made)
            if table is FUTURES_MBP10:
                metadata["picture"] = dg.MetadataValue.md(drawn(lambda: date_picture(store, date, connection)))
            yield dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(made.manifest.content))
            if table in LOOKBACK:
                context.log_event(observed(table, made.manifest))
            yield from judged.result()

    return asset


bronze_assets = [bronze_asset(table) for table in BRONZE]
