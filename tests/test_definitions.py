"""What Dagster loads, and what a run leaves behind: in process, on a landing folder made by hand."""

import base64
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow.parquet as pq
import pytest

from spymaster_assets.assets.bronze import bronze_assets
from spymaster_assets.assets.partitions import trading_dates
from spymaster_assets.assets.resources import resources
from spymaster_assets.daily import run_date
from spymaster_assets.definitions import build
from spymaster_assets.gold import STAGES
from spymaster_assets.tables import BRONZE, FUTURES_MBP10, FUTURES_TRADES, GOLD
from tests.build import (
    DATE,
    EVE,
    SECOND,
    SESSION,
    SOUND,
    books,
    lake_at,
    landing_of_a_date,
    new_york,
    split_days,
    times,
    trades,
    write,
)

PROJECT = Path(__file__).parents[1]
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["bronze", name])


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def run_bronze(root: Path, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """Bronze of DATE from the landing folder below `root`."""
    job = build(root).resolve_job_def("bronze_job")
    return job.execute_in_process(instance=instance, partition_key=str(DATE), raise_on_error=False, run_config=QUIET)


def materialized(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetMaterialization]:
    events = [event.step_materialization_data.materialization for event in result.get_asset_materialization_events()]
    return {event.asset_key.path[-1]: event for event in events}


def checked(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    return {(found.asset_key.path[-1], found.check_name): found for found in result.get_asset_check_evaluations()}


def failures(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """Step -> the sentence its failure shows in the UI."""
    return {
        event.step_key: event.step_failure_data.user_failure_data.description or ""
        for event in result.get_step_failure_events()
        if event.step_failure_data.user_failure_data
    }


def data_version(event: dg.AssetMaterialization) -> str:
    return event.tags["dagster/data_version"]


# Loading


def test_the_definitions_are_valid(tmp_path: Path) -> None:
    dg.Definitions.validate_loadable(build(tmp_path))


def test_the_workspace_loads_from_the_repository_root(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_bytes((PROJECT / "spymaster_assets" / "settings" / "dagster.yaml").read_bytes())
    found = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"],
        cwd=PROJECT,
        env={**os.environ, "DAGSTER_HOME": str(tmp_path), "SPYMASTER_DATA": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.returncode == 0, found.stderr
    assert "Validation successful for code location spymaster" in found.stdout + found.stderr


def test_every_bronze_table_is_an_asset_made_from_landing(tmp_path: Path) -> None:
    graph = build(tmp_path).resolve_asset_graph()
    made = {name.path[-1] for name in graph.materializable_asset_keys if name.path[0] == "bronze"}
    assert made == {table.name for table in BRONZE}
    assert {name.path[-1] for name in graph.external_asset_keys if name.path[0] == "landing"} == {table.name for table in BRONZE}
    for table in BRONZE:
        assert dg.AssetKey(["landing", table.name]) in graph.get(key(table.name)).parent_keys


def test_every_later_table_is_an_asset_of_its_stage_made_from_what_its_stage_reads(tmp_path: Path) -> None:
    graph = build(tmp_path).resolve_asset_graph()
    for stage in STAGES:
        for table in stage.tables:
            node = graph.get(dg.AssetKey([table.stage, table.name]))
            assert node.group_name == table.stage and node.is_materializable
            assert node.parent_keys >= {dg.AssetKey([one.stage, one.name]) for one in stage.inputs}
    assert {node.key.path[-1] for node in graph.asset_nodes if node.group_name == "gold" and node.is_materializable} == {
        table.name for table in GOLD
    }


# Partitions


@pytest.mark.parametrize("day", ["2023-12-26", "2025-06-03", "2025-01-10", "2024-11-29"])
def test_a_trading_date_is_a_partition(day: str) -> None:
    assert trading_dates.has_partition_key(day)


@pytest.mark.parametrize("day", ["2023-12-25", "2025-01-09", "2025-06-19", "2025-06-07", "2025-06-08"])
def test_a_holiday_or_a_weekend_is_no_partition(day: str) -> None:
    assert not trading_dates.has_partition_key(day)


def test_the_partitions_of_2023_to_2025_are_the_trading_days_of_the_exchange() -> None:
    keys = trading_dates.get_partition_keys()
    assert [sum(day.startswith(year) for day in keys) for year in ("2023", "2024", "2025")] == [250, 252, 250]


def test_a_date_becomes_a_partition_at_midnight_in_new_york() -> None:
    for now, there in (("2025-06-03 16:00", False), ("2025-06-03 23:59:59", False), ("2025-06-04 00:00", True)):
        with dg.partition_loading_context(effective_dt=new_york(now)):
            assert trading_dates.has_partition_key("2025-06-03") == there, now


@pytest.mark.parametrize(
    ("day", "earlier"),
    [
        ("2025-06-20", {"2025-06-12", "2025-06-13", "2025-06-16", "2025-06-17", "2025-06-18"}),  # over Juneteenth and a weekend
        ("2022-01-05", {"2022-01-03", "2022-01-04"}),  # the lake begins on 2022-01-03
        ("2022-01-03", set()),
    ],
)
def test_the_contract_of_a_date_comes_from_the_five_trading_dates_before_it(tmp_path: Path, day: str, earlier: set[str]) -> None:
    graph = build(tmp_path).resolve_asset_graph()
    found = graph.get_parent_partition_keys_for_child(day, dg.AssetKey(["history", "futures_trades"]), key("futures_mbp10"))
    assert set(found.partitions_subset.get_partition_keys()) == earlier


# One run


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dg.ExecuteInProcessResult, dg.DagsterInstance]]:
    """A landing folder of futures only, and the run that made Bronze of it."""
    root = tmp_path_factory.mktemp("lake")
    landing_of_a_date(root)
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield root, run_bronze(root, ephemeral), ephemeral


def test_a_run_publishes_what_it_reports(done: tuple[Path, dg.ExecuteInProcessResult, dg.DagsterInstance]) -> None:
    root, result, _ = done
    assert result.success
    events = materialized(result)
    rows = {name: event.metadata["dagster/row_count"].value for name, event in events.items()}
    assert rows == {"futures_mbp10": 500, "futures_trades": 100} | dict.fromkeys(
        ("definitions", "option_trades", "option_quotes", "option_statistics"), 0
    )
    for table in BRONZE:
        event, manifest = events[table.name], lake_at(root).manifest(table, DATE)
        assert manifest is not None
        assert event.partition == str(DATE)
        assert pq.read_metadata(lake_at(root).path(table, DATE)).num_rows == rows[table.name]
        assert event.metadata["bytes"].value == lake_at(root).path(table, DATE).stat().st_size
        assert data_version(event) == event.metadata["content hash"].value == manifest.content
        assert event.metadata["unchanged"].value is False


def test_a_run_shows_the_columns_as_stored(done: tuple[Path, dg.ExecuteInProcessResult, dg.DagsterInstance]) -> None:
    root, result, _ = done
    for table in BRONZE:
        shown = materialized(result)[table.name].metadata["dagster/column_schema"].value.columns
        assert [column.name for column in shown] == pq.read_schema(lake_at(root).path(table, DATE)).names == list(table.names)
        for column, declared in zip(shown, table.columns, strict=True):
            assert column.constraints.nullable == declared.null
            assert declared.meaning in (column.description or "") and declared.unit in (column.description or "")


def test_the_books_picture_is_a_png(done: tuple[Path, dg.ExecuteInProcessResult, dg.DagsterInstance]) -> None:
    text = materialized(done[1])["futures_mbp10"].metadata["picture"].value
    head, _, rest = text.partition("data:image/png;base64,")
    picture = base64.b64decode(rest.removesuffix(")"), validate=True)
    assert head == "![picture]("
    assert picture.startswith(b"\x89PNG\r\n\x1a\n") and picture.endswith(b"IEND\xaeB`\x82")
    assert (int.from_bytes(picture[16:20]), int.from_bytes(picture[20:24])) == (640, 256)  # small: the event log holds it


def test_a_date_without_options_says_so_and_does_not_fail(done: tuple[Path, dg.ExecuteInProcessResult, dg.DagsterInstance]) -> None:
    events, found = materialized(done[1]), checked(done[1])
    assert events["futures_mbp10"].metadata["facts"].value["coverage"] == {str(EVE): "full (vendor)", str(DATE): "full (vendor)"}
    for name in ("option_trades", "option_quotes", "option_statistics"):
        assert events[name].metadata["facts"].value["coverage"] == {str(EVE): "missing", str(DATE): "missing"}
        assert found[name, "coverage"].severity is dg.AssetCheckSeverity.WARN
        assert found[name, "coverage"].passed == (name == "option_statistics")  # the one that a date may well do without


def test_every_declared_check_ran_on_the_partition_and_shows_value_and_threshold(
    done: tuple[Path, dg.ExecuteInProcessResult, dg.DagsterInstance],
) -> None:
    root, result, instance = done
    found = checked(result)
    graph = build(root).resolve_asset_graph()
    declared = [check for check in graph.asset_check_keys if check.asset_key.path[0] == "bronze"]
    assert {dg.AssetCheckKey(key(name), check) for name, check in found} == set(declared)
    for evaluation in found.values():
        thresholds = [name for name in evaluation.metadata if name.startswith("threshold: ")]
        assert evaluation.partition == str(DATE)
        assert thresholds and len(evaluation.metadata) > len(thresholds)
        assert evaluation.description
    records = instance.event_log_storage.get_asset_check_execution_history(dg.AssetCheckKey(key("futures_mbp10"), "order"), limit=5)
    assert [record.event.asset_check_evaluation.partition for record in records] == [str(DATE)]


def test_a_second_run_finds_the_partition_made(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    landing_of_a_date(tmp_path)
    first, second = (materialized(run_bronze(tmp_path, instance)) for _ in range(2))
    for name, event in second.items():
        assert event.metadata["unchanged"].value is True
        assert data_version(event) == data_version(first[name])


# What a defect does downstream


def landing_with(root: Path, book: np.ndarray) -> None:
    """A landing folder of DATE with this book."""
    for day, rows in zip((EVE, DATE), split_days(book), strict=True):
        write(root / "landing", f"book-{day}.dbn.zst", "mbp-10", rows, day)


def reader_runs(root: Path, instance: dg.DagsterInstance) -> tuple[bool, dg.ExecuteInProcessResult]:
    """Whether an asset downstream of the book ran in the same run as the book."""
    ran = []

    @dg.asset(partitions_def=trading_dates, deps=[key("futures_mbp10")])
    def reader() -> None:
        ran.append(True)

    result = dg.materialize(
        [*bronze_assets, reader], partition_key=str(DATE), resources=resources(root), instance=instance, raise_on_error=False,
        run_config=QUIET,
    )  # fmt: skip
    return bool(ran), result


def test_a_book_out_of_order_stops_what_is_downstream(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    book = books(times(400, step=200 * SECOND))
    book["ts_event"][200] -= np.uint64(1_000 * SECOND)  # 1 of 400 late: above the allowed 0.1 %
    landing_with(tmp_path, book)
    ran, result = reader_runs(tmp_path, instance)
    order = checked(result)["futures_mbp10", "order"]
    assert not ran and not result.success
    assert not order.passed and order.blocking and order.severity is dg.AssetCheckSeverity.ERROR
    assert order.metadata["late"].value == 1 and order.metadata["threshold: late_share"].value == 0.001


def test_a_book_with_a_hole_warns_and_lets_downstream_run(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    landing_with(tmp_path, books(times(400, step=200 * SECOND)))  # 200 s apart: every pause is a gap
    ran, result = reader_runs(tmp_path, instance)
    gaps = checked(result)["futures_mbp10", "gaps"]
    assert ran and result.success
    assert not gaps.passed and not gaps.blocking and gaps.severity is dg.AssetCheckSeverity.WARN
    assert gaps.metadata["longest_seconds"].value == 200.0 > gaps.metadata["threshold: longer_than_seconds"].value


def test_trades_without_a_book_fail_with_what_is_missing_and_keep_the_trades(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    write(tmp_path / "landing", "trades.dbn.zst", "trades", trades(times(10, SESSION.regular.start)), DATE)
    result = run_bronze(tmp_path, instance)
    assert not result.success
    assert failures(result) == {
        "bronze__futures_mbp10": f"{DATE}: no futures_mbp10 in {tmp_path}/landing (UTC days {EVE} and {DATE}): "
        "it holds trades for other days or tables"
    }
    assert materialized(result)["futures_trades"].metadata["dagster/row_count"].value == 10
    assert lake_at(tmp_path).manifest(FUTURES_TRADES, DATE) is not None
    assert lake_at(tmp_path).manifest(FUTURES_MBP10, DATE) is None


# spymaster day


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "dagster"
    folder.mkdir()
    (folder / "dagster.yaml").write_bytes((PROJECT / "spymaster_assets" / "settings" / "dagster.yaml").read_bytes())
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    return folder


def recorded(root: Path) -> list[tuple[str, Mapping[str, str], dg.DagsterRunStatus]]:
    with dg.DagsterInstance.from_config(str(root / "dagster")) as stored:
        return [(run.run_id, run.tags, run.status) for run in stored.get_runs()]


def test_a_date_that_is_over_is_recorded_in_dagster(tmp_path: Path, home: Path) -> None:
    landing_of_a_date(tmp_path, *SOUND)
    report = run_date(lake_at(tmp_path), DATE)
    [(run_id, tags, status)] = recorded(tmp_path)
    assert report.succeeded
    assert report.lines[-1] == f"  Dagster run {run_id}"
    assert tags["dagster/partition"] == str(DATE) and status is dg.DagsterRunStatus.SUCCESS
    assert lake_at(tmp_path).dates(FUTURES_MBP10) == [DATE]
    with dg.DagsterInstance.from_config(str(home)) as stored:
        assert stored.get_materialized_partitions(key("futures_mbp10")) == {str(DATE)}


def test_a_failed_date_is_reported_with_its_reason(tmp_path: Path, home: Path) -> None:
    write(tmp_path / "landing", "trades.dbn.zst", "trades", trades(times(10, SESSION.regular.start)), DATE)
    report = run_date(lake_at(tmp_path), DATE)
    assert not report.succeeded
    assert any("no futures_mbp10 in" in line for line in report.lines)
    assert [status for *_, status in recorded(tmp_path)] == [dg.DagsterRunStatus.FAILURE]


def test_a_blocked_date_is_reported_with_the_check_that_blocks(tmp_path: Path, home: Path) -> None:
    book = books(times(400, step=200 * SECOND))
    book["ts_event"][200] -= np.uint64(1_000 * SECOND)
    landing_with(tmp_path, book)
    report = run_date(lake_at(tmp_path), DATE)
    assert not report.succeeded
    assert [line.strip() for line in report.lines if "blocked" in line] == [
        "blocked: order: records are out of order: files were joined wrongly, or the feed was disturbed"
    ]


def test_a_table_that_was_skipped_is_not_reported_as_made(tmp_path: Path, home: Path) -> None:
    _, prints = landing_of_a_date(tmp_path, *SOUND)
    assert run_date(lake_at(tmp_path), DATE).succeeded
    prints["ts_event"][50] -= np.uint64(1_000 * SECOND)  # trades out of order: blocked, so the book is skipped
    for day, sold in zip((EVE, DATE), split_days(prints), strict=True):
        write(tmp_path / "landing", f"trades-{day}.dbn.zst", "trades", sold, day)
    report = run_date(lake_at(tmp_path), DATE)
    [at] = [number for number, line in enumerate(report.lines) if line.split()[0] == "futures_mbp10"]
    assert not report.succeeded
    assert report.lines[at].endswith("skipped: something upstream failed")


def test_a_date_that_is_not_over_is_made_without_dagster(tmp_path: Path, home: Path) -> None:
    landing_of_a_date(tmp_path, *SOUND)
    with dg.partition_loading_context(effective_dt=new_york("2025-06-03 17:30")):
        early = run_date(lake_at(tmp_path), DATE)
    assert early.succeeded and "not over yet" in early.lines[0]
    assert recorded(tmp_path) == []
    before = {table.name: lake_at(tmp_path).manifest(table, DATE) for table in BRONZE}
    with dg.partition_loading_context(effective_dt=new_york("2025-06-04 00:05")):
        late = run_date(lake_at(tmp_path), DATE)
    assert late.succeeded and len(recorded(tmp_path)) == 1
    assert all(before.values()) and before == {table.name: lake_at(tmp_path).manifest(table, DATE) for table in BRONZE}
    assert [line.replace(", unchanged", "") for line in late.lines[1:-1]] == early.lines[1:]  # and says the same about it
