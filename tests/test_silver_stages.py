"""Silver's stages: what a defect stops, what makes a stage stale, and what one says that lacks its input."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from spymaster_assets.compute.stream import Day
from spymaster_assets.config import Config
from spymaster_assets.definitions import build
from spymaster_assets.lake import Lake
from spymaster_assets.maker import Maker, MissingTable
from spymaster_assets.silver import SILVER_STAGES
from spymaster_assets.tables import SILVER, TOUCHES
from tests.defects import CONFIG, DATE, add, beside, clone, made_of, publish

STAGE = {stage.name: stage for stage in SILVER_STAGES}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A simulated date, without earlier dates."""
    return made_of(tmp_path_factory.mktemp("silver_quality"), events=20_000, seed=5)


# What a defect does downstream


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def test_a_corrupt_grid_stops_everything_that_reads_it_in_the_same_run(
    made: Lake, tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = Day.complete

    def corrupt(day: Day, watermark: int) -> None:
        complete(day, watermark)
        day.flow.rows["filled"][0] += 1

    monkeypatch.setattr(Day, "complete", corrupt)
    lake = clone(made, tmp_path, "landing", "bronze")
    result = build(tmp_path).resolve_job_def("date_job").execute_in_process(
        instance=instance, partition_key=str(DATE), raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )  # fmt: skip
    assert not result.success

    checks = {(found.asset_key.path[-1], found.check_name): found for found in result.get_asset_check_evaluations()}
    failed = {key for key, found in checks.items() if not found.passed and found.blocking}
    assert failed == {("flow", "volume_conservation")}
    flow = checks["flow", "volume_conservation"]
    assert flow.severity is dg.AssetCheckSeverity.ERROR
    assert flow.description == "flow and prints tell different volumes"
    assert flow.metadata["filled_beyond_traded"].value == 1 > flow.metadata["threshold: filled_beyond_traded"].value
    assert [event.step_key for event in result.get_step_failure_events()] == ["silver_grid"]

    started = {event.step_key for event in result.all_events if event.event_type_value == "STEP_START"}
    others = {"silver_option_flow", "silver_priors"}  # read nothing of it
    assert {step for step in started if step and step.startswith("silver")} == {"silver_grid", *others}
    events = [event.step_materialization_data.materialization.asset_key for event in result.get_asset_materialization_events()]
    reported = {key.path[-1] for key in events if key.path[0] == "silver"}
    stored = {table.name for table in SILVER if lake.manifest(table, DATE)}
    assert reported == stored == {"snaps", "prints", "flow", "option_flow", "open_interest", "priors"}


# When a stage is stale


def reasons(lake: Lake) -> dict[str, list[str]]:
    """Stage -> why it would be made again, of those that would; all tables of a stage say the same."""
    silver = Maker(DATE, lake)
    found = {stage.name: [silver.stale(stage, table) for table in stage.tables] for stage in SILVER_STAGES}
    assert all(same == words[0] for words in found.values() for same in words)
    return {name: words[0] for name, words in found.items() if words[0]}


@pytest.mark.parametrize(
    ("group", "name", "value", "stale"),
    [
        ("touches", "monitor_band", 0.5, {"touches", "features", "signals", "labels"}),
        ("score", "tau_score", 3.0, {"signals"}),
        ("fuel", "w_g", 30.0, {"day_summary", "levels", "features", "signals"}),
        ("labels", "halt_seconds", 30.0, {"day_summary", "touches", "features", "labels"}),
        ("levels", "atr_bars", 10, {"bars", "levels", "day_summary", "touches", "features"}),
        ("grid", "reference_clusters", 100, set(STAGE)),
        ("quality", "identity_share_max", 0.5, set()),
        ("bronze", "zstd_level", 3, set()),
    ],
)
def test_an_edited_parameter_makes_the_stages_stale_that_read_its_group(
    made: Lake, group: str, name: str, value: float, stale: set[str]
) -> None:
    edited = Config.model_validate({group: {name: value}})
    assert reasons(Lake(made.root, edited)) == {name: ["config"] for name in stale}
    assert stale == {stage.name for stage in SILVER_STAGES if group in stage.groups}


def test_a_wider_band_remakes_the_touches_and_what_reads_them_and_not_the_snaps(made: Lake, tmp_path: Path) -> None:
    clone(made, tmp_path)
    lake = Lake(tmp_path, Config.model_validate({"touches": {"monitor_band": 1.0}}))
    silver = Maker(DATE, lake)
    remade = {name for stage in SILVER_STAGES for name, one in silver.make(stage).items() if not one.unchanged}
    assert remade == {"touches", "features", "signals", "labels"}
    for table in SILVER:
        before, after = made.manifest(table, DATE), lake.manifest(table, DATE)
        assert before is not None and after is not None
        assert (before.content != after.content) == (table.name in remade), table.name
    assert reasons(lake) == {}


def test_touches_with_other_content_make_stale_what_reads_them_and_say_so(made: Lake, tmp_path: Path) -> None:
    lake = beside(made, tmp_path, TOUCHES)
    publish(lake, TOUCHES, add("theta_2min", 1, 0))
    assert reasons(lake) == {name: ["input silver/touches changed"] for name in ("features", "signals", "labels")}


def test_the_same_touches_published_again_make_nothing_stale(made: Lake, tmp_path: Path) -> None:
    lake = beside(made, tmp_path, TOUCHES)
    publish(lake, TOUCHES)
    assert reasons(lake) == {}


def test_where_nothing_changed_nothing_is_written(made: Lake, tmp_path: Path) -> None:
    lake = clone(made, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    silver = Maker(DATE, lake)
    again = {name: one for stage in SILVER_STAGES for name, one in silver.make(stage).items()}
    assert set(again) == {table.name for table in SILVER}
    assert all(one.unchanged for one in again.values())
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


# What is missing


def test_without_the_book_silver_says_so_and_leaves_nothing_behind(made: Lake, tmp_path: Path) -> None:
    lake = beside(made, tmp_path)
    (tmp_path / "bronze" / "futures_mbp10").unlink()
    shutil.rmtree(tmp_path / "silver")
    silver, sentence = Maker(DATE, lake), f"{DATE}: no Silver without the date's book (bronze/futures_mbp10); make Bronze first"
    with pytest.raises(MissingTable) as error:
        silver.make(STAGE["grid"])
    assert str(error.value) == sentence
    assert not (tmp_path / "silver").exists()


@pytest.mark.parametrize("stage", [name for name, stage in STAGE.items() if stage.inputs and name != "grid"])
def test_a_stage_without_its_input_says_which_and_leaves_nothing_behind(stage: str, tmp_path: Path) -> None:
    first = STAGE[stage].inputs[0]
    sentence = f"{DATE}: {stage} needs {first.stage}/{first.name}, which is not there"
    silver = Maker(DATE, Lake(tmp_path, CONFIG))
    with pytest.raises(MissingTable) as error:
        silver.make(STAGE[stage])
    assert str(error.value) == sentence
    assert list(tmp_path.iterdir()) == []


def test_priors_need_the_book_of_their_date(tmp_path: Path) -> None:
    with pytest.raises(MissingTable):
        Maker(DATE, Lake(tmp_path, CONFIG)).make(STAGE["priors"])
