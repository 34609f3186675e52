"""One trading date from landing to the last stage that exists, at once: what `spymaster day` does.

A date that is over runs as a Dagster job in this process, recorded in the instance, so that the UI shows it. A date whose
partition does not exist yet (it does from 00:00 New York time of the next day) is computed by the same functions without Dagster.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from spymaster_assets.assets.checks import EVERY_CHECK
from spymaster_assets.assets.partitions import trading_dates
from spymaster_assets.definitions import build
from spymaster_assets.ingest import Ingested, Intake, ingest_date
from spymaster_assets.lake import Lake
from spymaster_assets.landing import Landing
from spymaster_assets.progress import terminal
from spymaster_assets.quality import examine
from spymaster_assets.schema import Table
from spymaster_assets.silver import STAGES, TROUBLE, Made, Silver
from spymaster_assets.tables import BRONZE, FUTURES_MBP10

EVERY = (*BRONZE, *(table for stage in STAGES for table in stage.tables))
STEPS = {table.name: f"bronze__{table.name}" for table in BRONZE} | {
    table.name: f"silver_{stage.name}" for stage in STAGES for table in stage.tables
}


@dataclass
class Report:
    """What became of a date, in lines for a reader; `succeeded`: every table was made and no blocking check failed."""

    lines: list[str] = field(default_factory=list)
    succeeded: bool = True

    def add(self, table: Table, state: str, warnings: list[str], errors: list[str]) -> None:
        self.lines.append(f"  {table.name:<18} {state}")
        self.lines += [f"      blocked: {text}" for text in errors] + [f"      warning: {text}" for text in warnings]
        self.succeeded &= not errors

    def skip(self, table: Table) -> None:
        self.lines.append(f"  {table.name:<18} skipped: something upstream failed")
        self.succeeded = False


def run_date(lake: Lake, date: dt.date, force: bool = False) -> Report:
    """Make everything of a date. `force`: again, even if nothing changed."""
    report = Report([str(date)])
    if force or not trading_dates.has_partition_key(str(date)):
        report.lines[0] += " (not recorded in Dagster: forced)" if force else " (not over yet, so not recorded in Dagster)"
        intake = Intake(date, lake, Landing(lake.root / "landing", lake.config), terminal())
        return _without_dagster(report, lake, intake, force)
    before = {table.name: lake.manifest(table, date) for table in EVERY}
    job = build(lake.root).resolve_job_def("date_job")
    result = job.execute_in_process(
        instance=dg.DagsterInstance.get(),
        partition_key=str(date),
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    failures = {event.step_key: event.step_failure_data for event in result.get_step_failure_events()} if not result.success else {}
    checks: dict[tuple[str, str], tuple[bool, str]] = {
        (evaluation.asset_key.path[-1], evaluation.check_name): (evaluation.passed, evaluation.description or "")
        for evaluation in result.get_asset_check_evaluations()
    }
    for table in EVERY:
        manifest, failed = lake.manifest(table, date), failures.get(STEPS[table.name])
        found = {name: outcome for (of, name), outcome in checks.items() if of == table.name}
        if manifest is not None and found:
            _describe(report, table, Ingested(manifest, manifest == before[table.name]), found)
        else:
            _missed(report, table, failed)
    report.lines.append(f"  Dagster run {result.run_id}")
    report.succeeded &= result.success
    return report


def _missed(report: Report, table: Table, failed: Any) -> None:
    """A table that was not made: its step failed (`failed`: Dagster's data), or was skipped because one before it did."""
    if failed is None:
        report.skip(table)
    else:
        known = failed.user_failure_data
        report.add(table, "failed", [], [(known and known.description) or failed.error_display_string])


def _without_dagster(report: Report, lake: Lake, intake: Intake, force: bool) -> Report:
    """The same functions, called directly, and as in Dagster: what fails, or a blocking check refuses, stops what needs it."""
    stopped: set[str] = set()
    made: dict[str, Ingested | Made | Exception] = dict(ingest_date(intake, force))
    tables = list(BRONZE)
    silver = Silver(intake.date, lake, terminal())
    for stage in (None, *STAGES):
        if stage is not None:
            tables = list(stage.tables)
            if any(table.name in stopped for table in stage.inputs) or (stage.earlier and FUTURES_MBP10.name in stopped):
                stopped |= {table.name for table in tables}
                continue
            try:
                made |= silver.make(stage, force)
            except TROUBLE as error:
                made |= {table.name: error for table in tables}
        for table in tables:
            if not _tell(report, table, made[table.name], lake, intake.date):
                stopped.add(table.name)
    for table in EVERY:
        if table.name not in made:
            report.skip(table)
    return report


def _tell(report: Report, table: Table, made: Ingested | Made | Exception, lake: Lake, date: dt.date) -> bool:
    """Report one table; whether what needs it may go on."""
    if isinstance(made, Exception):
        report.add(table, "failed", [], [str(made)])
        return False
    outcomes = examine(lake, table, date, EVERY_CHECK)
    return _describe(report, table, made, {check: (outcome.passed, outcome.message) for check, outcome in outcomes.items()})


def _describe(report: Report, table: Table, made: Ingested | Made, checks: Mapping[str, tuple[bool, str]]) -> bool:
    """One table's line: rows, size, whether anything was done, and the checks that failed; whether no blocking one did."""
    manifest = made.manifest
    each = f", {manifest.size / manifest.rows:.1f} B a row" if manifest.rows else ""
    state = f"{manifest.rows:>12,} rows, {manifest.size / 1e6:,.1f} MB{each}{', unchanged' if made.unchanged else ''}"
    blocking = {check.name for check in EVERY_CHECK if check.table is table and check.blocking}
    failed = {name: message for name, (passed, message) in checks.items() if not passed}
    warnings = [f"{name}: {message}" for name, message in failed.items() if name not in blocking]
    errors = [f"{name}: {message}" for name, message in failed.items() if name in blocking]
    report.add(table, state, warnings, errors)
    return not errors
