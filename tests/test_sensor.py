"""When Dagster runs dates by itself: the sensor of landing's files, and the daily schedule."""

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from spymaster_assets.assets.automation import respond
from spymaster_assets.assets.resources import resources
from spymaster_assets.definitions import build
from spymaster_assets.landing import LandingFile
from tests.build import DATE, EVE, SECOND, landing_at, landing_of_a_date, new_york

DAY = dt.timedelta(days=1)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


# The sensor


def vendor_file(day: dt.date, content: str = "a", schema: str = "mbp-10") -> LandingFile:
    """What landing says of a file of one UTC day: it serves the trading date of that day and, from 21:00Z on, the next one."""
    start = int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp()) * SECOND
    name = f"{schema}-{day}.dbn.zst"
    digest = hashlib.sha256(f"{content} {name}".encode()).hexdigest()
    return LandingFile(name, digest, 1, "vendor", "GLBX.MDP3", schema, start, start + 86_400 * SECOND, ("futures",))


def requests(outcome: dg.SensorResult | dg.SkipReason) -> dict[str, str]:
    """Partition -> run key."""
    assert isinstance(outcome, dg.SensorResult), outcome
    return {request.partition_key or "": request.run_key or "" for request in outcome.run_requests or []}


LATER = new_york("2025-06-30 12:00")


def test_new_files_start_exactly_the_dates_they_serve() -> None:
    outcome = respond([vendor_file(DATE), vendor_file(DATE, schema="trades")], None, LATER)
    assert set(requests(outcome)) == {"2025-06-03", "2025-06-04"}
    assert isinstance(outcome, dg.SensorResult)
    assert {(event.asset_key.path[-1], event.partition, event.metadata["file"].value) for event in outcome.asset_events} == {
        (table, day, f"{schema}-2025-06-03.dbn.zst")
        for table, schema in (("futures_mbp10", "mbp-10"), ("futures_trades", "trades"))
        for day in ("2025-06-03", "2025-06-04")
    }


@pytest.mark.parametrize(("day", "date"), [("2025-06-06", "2025-06-06"), ("2025-06-08", "2025-06-09")])
def test_a_fridays_file_starts_friday_and_a_sundays_monday(day: str, date: str) -> None:
    assert set(requests(respond([vendor_file(dt.date.fromisoformat(day))], None, LATER))) == {date}


def test_definitions_alone_start_nothing_and_go_with_the_dates_of_others() -> None:
    defined = vendor_file(DATE, schema="definition")
    assert isinstance(respond([defined], None, LATER), dg.SkipReason)
    outcome = respond([defined, vendor_file(dt.date(2025, 6, 6))], None, LATER)
    assert set(requests(outcome)) == {"2025-06-06"}
    together = respond([defined, vendor_file(DATE)], None, LATER)
    assert requests(together).keys() == {"2025-06-03", "2025-06-04"}
    assert isinstance(together, dg.SensorResult)
    assert {event.asset_key.path[-1] for event in together.asset_events} == {"definitions", "futures_mbp10"}


def test_files_already_reported_are_passed_over() -> None:
    files = [vendor_file(DATE)]
    first = respond(files, None, LATER)
    assert isinstance(first, dg.SensorResult)
    again = respond(files, first.cursor, LATER)
    assert isinstance(again, dg.SkipReason) and again.skip_message == "no new file in landing"


def test_a_changed_file_starts_its_dates_again_under_another_run_key() -> None:
    first = respond([vendor_file(DATE, "a")], None, LATER)
    assert isinstance(first, dg.SensorResult)
    second = respond([vendor_file(DATE, "b")], first.cursor, LATER)
    assert requests(first).keys() == requests(second).keys()
    assert not set(requests(first).values()) & set(requests(second).values())


def test_a_further_file_starts_only_its_own_dates() -> None:
    first = respond([vendor_file(EVE)], None, LATER)
    assert isinstance(first, dg.SensorResult)
    second = respond([vendor_file(EVE), vendor_file(DATE)], first.cursor, LATER)
    assert isinstance(second, dg.SensorResult)
    assert set(requests(second)) == {"2025-06-03", "2025-06-04"}
    assert {event.metadata["file"].value for event in second.asset_events} == {"mbp-10-2025-06-03.dbn.zst"}


def test_a_date_that_is_not_over_waits_until_five_past_midnight() -> None:
    friday = vendor_file(dt.date(2025, 6, 6))  # serves that date only
    for now in ("2025-06-06 23:00", "2025-06-07 00:04:59"):
        waiting = respond([friday], None, new_york(now))
        assert isinstance(waiting, dg.SkipReason)
        assert waiting.skip_message and "2025-06-06" in waiting.skip_message and "00:05" in waiting.skip_message
    assert set(requests(respond([friday], None, new_york("2025-06-07 00:05")))) == {"2025-06-06"}


def test_a_waiting_date_does_not_hold_up_a_ready_one_and_nothing_starts_twice() -> None:
    files = [vendor_file(DATE)]
    first = respond(files, None, new_york("2025-06-04 09:00"))
    assert set(requests(first)) == {"2025-06-03"}
    assert isinstance(first, dg.SensorResult)
    assert isinstance(respond(files, first.cursor, new_york("2025-06-04 23:00")), dg.SkipReason)
    second = respond(files, first.cursor, new_york("2025-06-05 00:05"))
    assert set(requests(second)) == {"2025-06-04"}
    assert isinstance(second, dg.SensorResult)
    assert isinstance(respond(files, second.cursor, new_york("2025-06-06 12:00")), dg.SkipReason)


def test_run_keys_depend_on_the_files_and_not_on_their_order_or_the_time() -> None:
    files = [vendor_file(DATE), vendor_file(EVE), vendor_file(DATE, schema="trades")]
    assert requests(respond(files, None, LATER)) == requests(respond(files[::-1], None, LATER + DAY))


def test_a_file_that_cannot_be_used_starts_nothing() -> None:
    broken = dataclasses.replace(vendor_file(DATE), problem="not a DBN file")
    assert isinstance(respond([broken], None, LATER), dg.SkipReason)


def test_the_sensor_reads_the_landing_folder_of_its_lake(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    landing_of_a_date(tmp_path)
    repository = build(tmp_path).get_repository_def()
    context = dg.build_sensor_context(instance=instance, repository_def=repository, resources=resources(tmp_path))
    tick = repository.get_sensor_def("landing_sensor").evaluate_tick(context)
    assert {request.partition_key for request in tick.run_requests or []} == {"2025-06-02", "2025-06-03", "2025-06-04"}
    assert len(json.loads(tick.cursor or "[]")) == 2 * len(landing_at(tmp_path).scan())


# The schedule


@pytest.mark.parametrize(
    ("tick", "date"),
    [
        ("2025-06-04 00:05", "2025-06-03"),
        ("2025-06-07 00:05", "2025-06-06"),  # Saturday: Friday
        ("2025-06-08 00:05", None),  # Sunday
        ("2025-06-09 00:05", None),  # Monday: Sunday is no trading date
        ("2025-06-10 00:05", "2025-06-09"),
        ("2025-06-20 00:05", None),  # the day after Juneteenth
        ("2025-06-21 00:05", "2025-06-20"),
        ("2025-03-10 00:05", None),  # the Monday after the clocks went forward
        ("2025-03-11 00:05", "2025-03-10"),
        ("2025-11-04 00:05", "2025-11-03"),  # the first trading date after the clocks went back
    ],
)
def test_the_schedule_runs_the_date_that_has_just_ended(
    tmp_path: Path, instance: dg.DagsterInstance, tick: str, date: str | None
) -> None:
    repository = build(tmp_path).get_repository_def()
    schedule = repository.get_schedule_def("daily")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("5 0 * * *", "America/New_York")
    context = dg.build_schedule_context(instance=instance, scheduled_execution_time=new_york(tick), repository_def=repository)
    found = schedule.evaluate_tick(context)
    assert [request.partition_key for request in found.run_requests or []] == ([date] if date else [])
    assert bool(found.skip_message) == (date is None)
