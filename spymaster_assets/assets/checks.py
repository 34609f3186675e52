"""Asset checks: the measures of quality.py, silver_quality.py and gold_quality.py as Dagster results, with value and threshold."""

import datetime as dt
import inspect
import math
from collections.abc import Iterator

import dagster as dg
import duckdb

from spymaster_assets.assets.partitions import trading_dates
from spymaster_assets.gold_quality import GOLD_CHECKS
from spymaster_assets.lake import Lake
from spymaster_assets.quality import CHECKS, Outcome, examine
from spymaster_assets.schema import Table
from spymaster_assets.silver_quality import SILVER_CHECKS

EVERY_CHECK = (*CHECKS, *SILVER_CHECKS, *GOLD_CHECKS)


def key_of(table: Table) -> dg.AssetKey:
    return dg.AssetKey([table.stage, table.name])


def specs(table: Table) -> list[dg.AssetCheckSpec]:
    """The checks of a table, partitioned by trading date."""
    return [
        dg.AssetCheckSpec(
            name=check.name,
            asset=key_of(table),
            blocking=check.blocking,
            description=inspect.cleandoc(check.description),  # Markdown, where indented lines are code
            partitions_def=trading_dates,
        )
        for check in EVERY_CHECK
        if check.table is table
    ]


def results(lake: Lake, table: Table, date: dt.date, connection: duckdb.DuckDBPyConnection) -> Iterator[dg.AssetCheckResult]:
    """Run the checks of a table on a published partition."""
    blocking = {check.name: check.blocking for check in EVERY_CHECK if check.table is table}
    for name, outcome in examine(lake, table, date, EVERY_CHECK, connection).items():
        yield result(key_of(table), name, outcome, blocking[name])


def result(asset: dg.AssetKey, name: str, outcome: Outcome, blocking: bool) -> dg.AssetCheckResult:
    """An outcome as Dagster has it."""
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=name,
        passed=outcome.passed,
        severity=dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN,
        description=outcome.message,
        metadata=_metadata(outcome),
    )


def _metadata(outcome: Outcome) -> dict[str, dg.MetadataValue]:
    measured = {name: _value(value) for name, value in outcome.measured.items()}
    return measured | {f"threshold: {name}": _value(value) for name, value in outcome.threshold.items()}


def _value(value: object) -> dg.MetadataValue:
    if isinstance(value, bool) or value is None:
        return dg.MetadataValue.text(str(value) or "none")
    if isinstance(value, int):
        return dg.MetadataValue.int(value)
    if isinstance(value, float) and math.isfinite(value):
        return dg.MetadataValue.float(value)
    return dg.MetadataValue.text(str(value) or "none")
