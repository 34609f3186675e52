"""What a check of Gold that fails stops in the same run, and what one that only warns lets go on."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from spymaster_assets.assets import stages
from spymaster_assets.assets.checks import key_of
from spymaster_assets.assets.partitions import trading_dates
from spymaster_assets.assets.resources import resources
from spymaster_assets.assets.stages import stage_assets
from spymaster_assets.gold_quality import GOLD_CHECKS
from spymaster_assets.lake import Lake
from spymaster_assets.maker import Maker
from spymaster_assets.quality import Check
from spymaster_assets.schema import Table
from spymaster_assets.tables import GOLD, SEQUENCES, TRAINING
from tests.defects import DATE, beside, name_of
from tests.gold_defects import DEFECTS, GoldDefect, missed
from tests.gold_lakes import knowing, sound_date, with_earlier_dates


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return sound_date(tmp_path_factory.mktemp("gold_downstream"))


@pytest.fixture(scope="module")
def warm(made: Lake, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return with_earlier_dates(made, tmp_path_factory.mktemp("warm"))


@pytest.fixture
def unpictured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The date's picture takes half of a run's time."""
    monkeypatch.setattr(stages, "gold_picture", lambda *_: "")


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def run(lake: Lake, instance: dg.DagsterInstance) -> tuple[dg.ExecuteInProcessResult, set[str]]:
    """One run of Gold and of two assets downstream; with what was made in it."""
    stages._latest[:] = [knowing(lake)]
    after = [_downstream("report", TRAINING), _downstream("model", SEQUENCES)]
    gold = [asset for asset in stage_assets if asset.keys & {key_of(table) for table in GOLD}]
    result = dg.materialize(
        [*gold, *after], partition_key=str(DATE), resources=resources(lake.root), instance=instance, raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )  # fmt: skip
    events = [event.step_materialization_data.materialization for event in result.get_asset_materialization_events()]
    return result, {event.asset_key.path[-1] for event in events}


def _downstream(name: str, table: Table) -> dg.AssetsDefinition:
    @dg.asset(name=name, deps=[key_of(table)], partitions_def=trading_dates)
    def asset() -> None:
        pass

    return asset


def spoiling(defect: GoldDefect, monkeypatch: pytest.MonkeyPatch) -> None:
    """A maker that publishes the defect in place of what it made."""
    sound = Maker._publish

    def spoiled(maker: Maker, table: Table, *rest: Any) -> Any:
        manifest = sound(maker, table, *rest)
        if table is defect.damaged:
            defect.damage(maker.lake)
        return maker.lake.manifest(table, maker.date) or manifest

    monkeypatch.setattr(Maker, "_publish", spoiled)


def damaged_in_the_run(defect: GoldDefect, made: Lake, warm: Lake, root: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake without Gold, in which it will be made with the defect: from damaged tables, or damaged as it is published."""
    lake = defect.lake(made, warm, root)
    for table in GOLD:
        shutil.rmtree(lake.folder(table, DATE))
    if defect.of:
        defect.damage(lake)
    else:
        spoiling(defect, monkeypatch)
    return lake


STOPPING = [check for check in GOLD_CHECKS if check.blocking and (check.table is TRAINING or check.name == "steps_complete")]


def evaluations(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    return {(found.asset_key.path[-1], found.check_name): found for found in result.get_asset_check_evaluations()}


def alone(check: Check) -> GoldDefect:
    """The first defect that fails a check, and only it where there is such a one."""
    its = [defect for defect in DEFECTS if (defect.table, defect.check) == (check.table, check.name)]
    return min(its, key=lambda defect: len(defect.also))


def test_a_sound_date_runs_through_to_sequences_and_beyond(made: Lake, tmp_path: Path, instance: dg.DagsterInstance) -> None:
    lake = beside(made, tmp_path, *GOLD)
    for table in GOLD:
        shutil.rmtree(lake.folder(table, DATE))
    result, there = run(lake, instance)
    assert result.success
    assert there == {"training", "sequences", "report", "model"}
    found = evaluations(result)
    assert set(found) == {(check.table.name, check.name) for check in GOLD_CHECKS}
    assert all(one.passed for one in found.values())
    for table in GOLD:
        ours, theirs = lake.manifest(table, DATE), made.manifest(table, DATE)
        assert ours is not None and theirs is not None and ours.content == theirs.content


@pytest.mark.usefixtures("unpictured")
@pytest.mark.parametrize("check", STOPPING, ids=name_of)
def test_a_blocking_check_that_fails_stops_what_lies_downstream_in_the_same_run(
    check: Check, made: Lake, warm: Lake, tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    defect = alone(check)
    lake = damaged_in_the_run(defect, made, warm, tmp_path, monkeypatch)
    result, there = run(lake, instance)
    assert not result.success
    found = evaluations(result)
    wrong = {(check.table.name, name) for name in (check.name, *defect.also)}
    assert {key for key, one in found.items() if not one.passed} == wrong
    failed = found[check.table.name, check.name]
    assert failed.blocking and failed.severity is dg.AssetCheckSeverity.ERROR
    missed(failed, defect)

    before = {"training"} if check.table is TRAINING else {"training", "report", "sequences"}
    assert there == before  # the table itself is published and says what is wrong with it
    started = {event.step_key for event in result.all_events if event.event_type_value == "STEP_START"}
    assert started & {"gold_sequences", "report", "model"} == (set() if check.table is TRAINING else {"gold_sequences", "report"})
    assert (lake.manifest(SEQUENCES, DATE) is not None) == (check.table is SEQUENCES)


@pytest.mark.usefixtures("unpictured")
@pytest.mark.parametrize("check", [check for check in GOLD_CHECKS if not check.blocking], ids=name_of)
def test_a_check_that_warns_lets_the_run_go_on(
    check: Check, made: Lake, warm: Lake, tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    defect = alone(check)
    result, there = run(damaged_in_the_run(defect, made, warm, tmp_path, monkeypatch), instance)
    assert result.success
    assert there == {"training", "sequences", "report", "model"}
    found = evaluations(result)
    assert {key for key, one in found.items() if not one.passed} == {(check.table.name, check.name)}
    failed = found[check.table.name, check.name]
    assert not failed.blocking and failed.severity is dg.AssetCheckSeverity.WARN
    missed(failed, defect)
