"""Trading dates from landing to Gold, at once: what `spymaster day` and the workers of `spymaster backfill` do.

A date that is over runs as a Dagster job in this process, recorded in the instance, so that the UI shows it. A date whose
partition does not exist yet (it does from 00:00 New York time of the next day) is computed by the same functions without Dagster.
"""

from __future__ import annotations

import datetime as dt
import gc
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import dagster as dg
import duckdb

from spymaster_assets.assets.checks import EVERY_CHECK, key_of
from spymaster_assets.assets.partitions import trading_dates
from spymaster_assets.collecting import collect_rarely
from spymaster_assets.definitions import build
from spymaster_assets.gold import STAGES
from spymaster_assets.ingest import Ingested, Intake, ingest_date
from spymaster_assets.lake import Lake
from spymaster_assets.landing import landing_of
from spymaster_assets.maker import TROUBLE, Made, Maker
from spymaster_assets.progress import terminal
from spymaster_assets.quality import examine, recall
from spymaster_assets.schema import Table
from spymaster_assets.store import alive
from spymaster_assets.tables import BRONZE, FUTURES_MBP10

EVERY: Final = (*BRONZE, *(table for stage in STAGES for table in stage.tables))
STEPS: Final = {table.name: f"bronze__{table.name}" for table in BRONZE} | {
    table.name: stage.step for stage in STAGES for table in stage.tables
}
PROCESS: Final = "spymaster/process"  # tag of a run: the process that does it
HOST: Final = "spymaster/host"  # and the machine that it ran on
PARTITION: Final = "dagster/partition"
QUIET: Final = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class Report:
    """What became of a date, in lines for a reader. `trouble`: why a table was not made, or which blocking check refused it."""

    lines: list[str] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)

    @property
    def succeeded(self) -> bool:
        return not self.trouble

    def add(self, table: Table, state: str, warnings: list[str], errors: list[str]) -> None:
        self.lines.append(f"  {table.name:<18} {state}")
        self.lines += [f"      blocked: {text}" for text in errors] + [f"      warning: {text}" for text in warnings]
        self.trouble += [f"{table.name}: {text}" for text in errors]

    def skip(self, table: Table) -> None:
        self.lines.append(f"  {table.name:<18} skipped: something upstream failed")
        self.trouble.append(f"{table.name}: skipped")


def refused(lake: Lake, table: Table, date: dt.date) -> list[str] | None:
    """The blocking checks that a partition did not pass when it was last judged; None if it was not judged as it is now."""
    checks = [check for check in EVERY_CHECK if check.table is table]
    found = recall(lake, table, date, checks)
    return None if found is None else [check.name for check in checks if check.blocking and not found[check.name].passed]


class Runner:
    """Runs dates as Dagster jobs in this process, one after the other; `tags`: of every run."""

    def __init__(self, lake: Lake, tags: Mapping[str, str] | None = None) -> None:
        self.lake, self._tags = lake, {PROCESS: str(os.getpid()), HOST: socket.gethostname(), **(tags or {})}
        defined = build(lake.root, lake.url)
        self._job, self._models = defined.resolve_job_def("date_job"), defined.resolve_job_def("models_job")
        self._instance = dg.DagsterInstance.get()
        os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "1000")  # what a run intends is stored at once, not event by event
        collect_rarely()  # in the workers of a backfill, too
        gc.freeze()  # what is loaded by now stays

    def close_dead_runs(self) -> set[dt.date]:
        """Runs of processes that were killed would stand as started, or about to be, for ever; the dates that they were at."""
        status = dg.DagsterRunStatus
        open_runs = self._instance.get_runs(dg.RunsFilter(statuses=[status.NOT_STARTED, status.STARTING, status.STARTED]))
        here = [run for run in open_runs if PROCESS in run.tags and run.tags.get(HOST, self._tags[HOST]) == self._tags[HOST]]
        dead = [run for run in here if not alive(int(run.tags[PROCESS]))]
        for run in dead:
            self._instance.report_run_failed(run, f"process {run.tags[PROCESS]} was killed; the lake is whole, run the date again")
        return {dt.date.fromisoformat(run.tags[PARTITION]) for run in dead if PARTITION in run.tags}

    def run(self, date: dt.date, tables: Sequence[Table] = EVERY) -> Report:
        """Make some tables of a date, or all; what is unchanged is found, not made."""
        report = Report([str(date)])
        before = {table.name: self.lake.published(table, date) for table in tables}
        result = self._job.execute_in_process(
            instance=self._instance,
            partition_key=str(date),
            raise_on_error=False,
            run_config=QUIET,
            tags=self._tags,
            asset_selection=[key_of(table) for table in tables] if len(tables) < len(EVERY) else None,
        )
        failures = {e.step_key: e.step_failure_data for e in result.get_step_failure_events()} if not result.success else {}
        checks: dict[str, dict[str, tuple[bool, str]]] = {}
        for evaluation in result.get_asset_check_evaluations():
            outcome = evaluation.passed, evaluation.description or ""
            checks.setdefault("/".join(evaluation.asset_key.path), {})[evaluation.check_name] = outcome
        for table in tables:
            manifest, failed = self.lake.published(table, date), failures.get(STEPS[table.name])
            found = checks.get(f"{table.stage}/{table.name}")
            if failed is not None and not _refused_by_a_check(failed):
                known = failed.user_failure_data
                report.add(table, "failed", [], [(known and known.description) or failed.error_display_string])
            elif manifest is not None and found:
                _describe(report, table, Ingested(manifest, manifest == before[table.name]), found)
            else:
                report.skip(table)
        report.lines.append(f"  Dagster run {result.run_id}")
        gc.collect()  # a run leaves cycles that hold the date's tables; a worker that keeps them grows, and takes a tenth longer
        return report

    def models(self, date: dt.date) -> list[str]:
        """Make the models of a date and their predictions, or find them; what went wrong."""
        result = self._models.execute_in_process(
            instance=self._instance, partition_key=str(date), raise_on_error=False, run_config=QUIET, tags=self._tags
        )
        trouble = []
        for event in result.get_step_failure_events():
            failed = event.step_failure_data
            known = failed.user_failure_data
            trouble.append(f"{event.step_key}: {(known and known.description) or failed.error_display_string}")
        gc.collect()
        return trouble


def _refused_by_a_check(failed: Any) -> bool:
    """Whether a step failed for no other reason than a blocking check: Dagster's own error, after the work was done."""
    return bool(failed.error) and failed.error.cls_name == "DagsterAssetCheckFailedError"


def run_dates(lake: Lake, dates: Sequence[dt.date], force: bool = False) -> Iterator[Report]:
    """Make everything of dates, one after the other. `force`: again, even if nothing changed."""
    runner: Runner | None = None
    for date in dates:
        if not force and trading_dates.has_partition_key(str(date)):
            if runner is None:
                runner = Runner(lake)
                runner.close_dead_runs()
            yield runner.run(date)
            continue
        report = Report([f"{date} (not recorded in Dagster: {'forced' if force else 'not over yet'})"])
        intake = Intake(date, lake, landing_of(lake), terminal())
        with duckdb.connect() as connection:
            _without_dagster(report, lake, intake, force, connection)
        yield report


def run_date(lake: Lake, date: dt.date, force: bool = False) -> Report:
    """Make everything of one date."""
    return next(run_dates(lake, [date], force))


def _without_dagster(report: Report, lake: Lake, intake: Intake, force: bool, connection: duckdb.DuckDBPyConnection) -> None:
    """The same functions, called directly, and as in Dagster: what fails, or a blocking check refuses, stops what needs it."""
    stopped: set[str] = set()
    made: dict[str, Ingested | Made | Exception] = dict(ingest_date(intake, force))
    tables = list(BRONZE)
    maker = Maker(intake.date, lake, terminal())
    for stage in (None, *STAGES):
        if stage is not None:
            tables = list(stage.tables)
            if any(table.name in stopped for table in stage.inputs) or (stage.earlier and FUTURES_MBP10.name in stopped):
                stopped |= {table.name for table in tables}
                continue
            try:
                made |= maker.make(stage, force)
            except TROUBLE as error:
                made |= {table.name: error for table in tables}
        for table in tables:
            if not _tell(report, table, made[table.name], lake, intake.date, connection):
                stopped.add(table.name)
    for table in EVERY:
        if table.name not in made:
            report.skip(table)


def _tell(
    report: Report,
    table: Table,
    made: Ingested | Made | Exception,
    lake: Lake,
    date: dt.date,
    connection: duckdb.DuckDBPyConnection,
) -> bool:
    """Report one table; whether what needs it may go on."""
    if isinstance(made, Exception):
        report.add(table, "failed", [], [str(made)])
        return False
    outcomes = examine(lake, table, date, EVERY_CHECK, connection)
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
