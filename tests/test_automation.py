"""What runs by itself around Gold: is the latest date there, and completing a date of which only Bronze was made."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from spymaster_assets.assets.automation import freshness, latest_date, latest_due
from spymaster_assets.assets.checks import key_of
from spymaster_assets.config import Config
from spymaster_assets.definitions import build
from spymaster_assets.fingerprint import Fingerprint
from spymaster_assets.lake import Lake
from spymaster_assets.simulator.write import simulate
from spymaster_assets.tables import BRONZE, DAY_SUMMARY, FUTURES_MBP10, PRIORS, SNAPS, TRAINING
from tests.build import new_york

CONFIG = Config()
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


# Freshness: answers made by hand with a calendar


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2025-06-04 11:59", "2025-06-02"),  # Tuesday's Gold is due on Wednesday at noon
        ("2025-06-04 12:00", "2025-06-03"),
        ("2025-06-07 12:00", "2025-06-06"),  # Friday's on Saturday
        ("2025-06-08 18:00", "2025-06-06"),
        ("2025-06-09 12:00", "2025-06-06"),  # Sunday was no trading date
        ("2025-06-10 12:00", "2025-06-09"),
        ("2025-06-20 12:00", "2025-06-18"),  # the 19th is a holiday
        ("2025-06-21 11:00", "2025-06-18"),
        ("2025-06-21 12:00", "2025-06-20"),
    ],
)
def test_gold_of_a_date_is_due_at_noon_of_the_next_day(now: str, due: str) -> None:
    assert str(latest_due(CONFIG, new_york(now))) == due
    assert str(latest_due(CONFIG, new_york(now).astimezone(dt.UTC))) == due


def with_gold(root: Path, *dates: str) -> Lake:
    lake = Lake(root, CONFIG)
    for date in dates:
        with lake.write(TRAINING, dt.date.fromisoformat(date), Fingerprint({}, "", "", TRAINING.digest)) as writer:
            writer.publish({})
    return lake


@pytest.mark.parametrize(
    ("dates", "passed", "behind"),
    [
        (("2025-06-02", "2025-06-03"), True, 0),
        (("2025-06-02",), False, 1),
        (("2025-05-29",), False, 3),
        (("2025-06-05",), False, "all"),  # a later date does not stand for the latest one that is due
        ((), False, "all"),
    ],
)
def test_freshness_is_about_the_latest_date_that_is_due(
    tmp_path: Path, dates: tuple[str, ...], passed: bool, behind: object
) -> None:
    result = freshness(with_gold(tmp_path, *dates), new_york("2025-06-04 12:00"))
    assert result.passed == passed
    assert result.severity is dg.AssetCheckSeverity.WARN
    assert result.metadata["trading dates behind"].value == behind
    assert result.metadata["threshold: latest"].value == "2025-06-03"


def test_the_check_runs_by_its_job_and_not_with_a_date(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    definitions = build(tmp_path)
    result = definitions.resolve_job_def("freshness_job").execute_in_process(instance=instance, run_config=QUIET)
    [found] = result.get_asset_check_evaluations()
    assert (found.check_name, found.asset_key, found.passed) == ("freshness", latest_date.key, False)
    job = definitions.resolve_job_def("date_job").asset_layer
    assert key_of(TRAINING) in job.executable_asset_keys and latest_date.key not in job.executable_asset_keys
    assert "freshness" not in {check.name for check in job.asset_graph.asset_check_keys if check.asset_key == key_of(TRAINING)}


# Automation


def requested(definitions: dg.Definitions, instance: dg.DagsterInstance, now: dt.datetime, cursor: object = None) -> object:
    everything = dg.AssetSelection.all()
    return dg.evaluate_automation_conditions(definitions, instance, everything, evaluation_time=now, cursor=cursor)


def report(instance: dg.DagsterInstance, key: dg.AssetKey, date: str) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=date))


def test_a_latest_date_of_which_only_bronze_was_made_is_completed(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """No earlier date is there: priors do not wait for summaries that nobody will make."""
    definitions, date, now = build(tmp_path), "2025-06-03", new_york("2025-06-04 06:00")
    first = requested(definitions, instance, now)
    assert first.total_requested == 0
    for table in BRONZE:
        report(instance, key_of(table), date)
    second = requested(definitions, instance, now + dt.timedelta(minutes=1), first.cursor)
    assert second.get_requested_partitions(key_of(SNAPS)) == {date}
    assert second.get_requested_partitions(key_of(TRAINING)) <= {date}
    third = requested(definitions, instance, now + dt.timedelta(minutes=2), second.cursor)
    assert third.get_requested_partitions(key_of(SNAPS)) == set()  # asked for once


def test_an_older_date_that_arrives_late_starts_nothing(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    definitions, now = build(tmp_path), new_york("2025-06-04 06:00")
    for table in build(tmp_path).resolve_asset_graph().materializable_asset_keys:
        report(instance, table, "2025-06-03")
    first = requested(definitions, instance, now)
    for table in (*BRONZE, DAY_SUMMARY):
        report(instance, key_of(table), "2025-05-30")
    second = requested(definitions, instance, now + dt.timedelta(minutes=1), first.cursor)
    assert (first.total_requested, second.total_requested) == (0, 0)


# The edges between dates


def stale(definitions: dg.Definitions, instance: dg.DagsterInstance, key: dg.AssetKey, date: str) -> set[str]:
    """Which upstream partitions Dagster's UI names as the reason why a partition is stale."""
    from dagster._core.definitions.data_version import CachingStaleStatusResolver
    from dagster._core.loader import LoadingContextForTest

    resolver = CachingStaleStatusResolver(instance, definitions.resolve_asset_graph(), LoadingContextForTest(instance))
    causes = resolver.get_stale_causes(key, date)
    return {
        f"{cause.dependency.asset_key.to_user_string()} {cause.dependency.partition_key}" for cause in causes if cause.dependency
    }


def test_a_late_older_date_shows_in_dagster_as_the_reason_why_later_ones_are_stale(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("[grid]\ninterval_ns = 1000000000\n")  # a quarter of the snaps
    monkeypatch.setenv("SPYMASTER_CONFIG", str(settings))
    for day in (2, 4, 6):  # days apart: they share no file
        simulate(tmp_path / "landing", [dt.date(2025, 6, day)], events_per_session=20_000, seed=5, config=CONFIG)
    definitions = build(tmp_path)
    job, graph = definitions.resolve_job_def("date_job"), definitions.resolve_asset_graph()
    wanted = dg.AssetSelection.assets(key_of(PRIORS), key_of(DAY_SUMMARY)).upstream().required_multi_asset_neighbors()
    made = list(wanted.resolve(graph) & graph.materializable_asset_keys)
    for day in (2, 6, 4):
        date = f"2025-06-0{day}"
        assert job.execute_in_process(
            instance=instance, partition_key=date, run_config=QUIET, asset_selection=made
        ).success  # fmt: skip
    late = "2025-06-04"
    assert stale(definitions, instance, key_of(PRIORS), "2025-06-06") == {f"history/day_summary {late}"}
    assert stale(definitions, instance, key_of(FUTURES_MBP10), "2025-06-06") == {f"history/futures_trades {late}"}
    assert stale(definitions, instance, key_of(FUTURES_MBP10), late) == stale(definitions, instance, key_of(PRIORS), late) == set()
