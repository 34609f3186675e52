"""One trading date from landing to the last stage that exists, at once: what `spymaster day` does.

A date that is over runs as a Dagster job in this process, recorded in the instance, so that the UI shows it. A date whose
partition does not exist yet (it does from 00:00 New York time of the next day) is computed by the same functions without Dagster.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

import dagster as dg

from spymaster_assets.assets.partitions import trading_dates
from spymaster_assets.definitions import build
from spymaster_assets.ingest import Ingested, Intake, ingest_date
from spymaster_assets.lake import Lake
from spymaster_assets.landing import Landing
from spymaster_assets.progress import terminal
from spymaster_assets.quality import CHECKS, examine
from spymaster_assets.schema import Table
from spymaster_assets.tables import BRONZE


@dataclass
class Report:
    """What became of a date, in lines for a reader; `succeeded`: every table was made and no blocking check failed."""

    lines: list[str] = field(default_factory=list)
    succeeded: bool = True

    def add(self, table: Table, state: str, warnings: list[str], errors: list[str]) -> None:
        self.lines.append(f"  {table.name:<18} {state}")
        self.lines += [f"      blocked: {text}" for text in errors] + [f"      warning: {text}" for text in warnings]
        self.succeeded &= not errors


def run_date(lake: Lake, date: dt.date, force: bool = False) -> Report:
    """Make everything of a date. `force`: again, even if nothing changed."""
    report = Report([str(date)])
    if force or not trading_dates.has_partition_key(str(date)):
        report.lines[0] += " (not recorded in Dagster: forced)" if force else " (not over yet, so not recorded in Dagster)"
        intake = Intake(date, lake, Landing(lake.root / "landing", lake.config), terminal())
        return _without_dagster(report, lake, intake, force)
    before = {table.name: lake.manifest(table, date) for table in BRONZE}
    job = build(lake.root).resolve_job_def("bronze_job")
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
    for table in BRONZE:
        manifest, failed = lake.manifest(table, date), failures.get(f"bronze__{table.name}")
        found = {name: outcome for (of, name), outcome in checks.items() if of == table.name}
        if manifest is not None and found:
            _describe(report, table, Ingested(manifest, manifest == before[table.name]), found)
        else:
            reason = (
                failed.user_failure_data.description
                if failed and failed.user_failure_data
                else failed and failed.error_display_string
            )
            report.add(table, "failed", [], [reason or "not made: something upstream failed"])
    report.lines.append(f"  Dagster run {result.run_id}")
    report.succeeded &= result.success
    return report


def _without_dagster(report: Report, lake: Lake, intake: Intake, force: bool) -> Report:
    """The same functions, called directly."""
    for name, made in ingest_date(intake, force).items():
        table = next(table for table in BRONZE if table.name == name)
        if isinstance(made, Exception):
            report.add(table, "failed", [], [str(made)])
        else:
            outcomes = examine(lake, table, intake.date)
            _describe(report, table, made, {check: (outcome.passed, outcome.message) for check, outcome in outcomes.items()})
    return report


def _describe(report: Report, table: Table, made: Ingested, checks: Mapping[str, tuple[bool, str]]) -> None:
    """One table's line: rows, size, whether anything was done, and the checks that failed."""
    manifest = made.manifest
    each = f", {manifest.size / manifest.rows:.1f} B a row" if manifest.rows else ""
    state = f"{manifest.rows:>12,} rows, {manifest.size / 1e6:,.1f} MB{each}{', unchanged' if made.unchanged else ''}"
    blocking = {check.name for check in CHECKS if check.table is table and check.blocking}
    failed = {name: message for name, (passed, message) in checks.items() if not passed}
    warnings = [f"{name}: {message}" for name, message in failed.items() if name not in blocking]
    errors = [f"{name}: {message}" for name, message in failed.items() if name in blocking]
    report.add(table, state, warnings, errors)
