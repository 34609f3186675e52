"""Models through Dagster and the command line, on a small lake: what a user materializes, what is shown, what a defect does."""

import json
import os
from html import escape

import dagster as dg
import pytest
from click.testing import CliRunner

from spymaster_assets.assets.models import model_key
from spymaster_assets.cli import main
from spymaster_assets.definitions import build
from spymaster_assets.lake import Lake
from spymaster_assets.models.artifacts import Artifacts
from spymaster_assets.tables import PREDICTIONS, TRAINING
from spymaster_assets.tables.predictions import MEMBERS
from tests.models import small_lake
from tests.models.small_lake import CONFIG, DATES, RULES

LAST = DATES[-1]
EARLY = DATES[3]  # too few dates before it


@pytest.fixture(scope="module", autouse=True)
def settings(tmp_path_factory):
    """The small lake's rules as the configuration of everything here."""
    file = tmp_path_factory.mktemp("settings") / "settings.toml"
    changed = RULES.model_dump(exclude_defaults=True)
    file.write_text("[models]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in changed.items()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPYMASTER_CONFIG", str(file))
        yield


@pytest.fixture
def lake(tmp_path):
    return small_lake.copied(small_lake.trained(), tmp_path)


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def run(lake, instance, name, date):
    job = build(lake.root).resolve_job_def("models_job") if name == "models" else None
    if job:
        return job.execute_in_process(instance=instance, partition_key=str(date), raise_on_error=False)
    assets = build(lake.root).resolve_implicit_global_asset_job_def()
    chosen = [model_key(one) for one in ("evaluation", "drift", "champion")]
    return assets.execute_in_process(instance=instance, partition_key=str(date), asset_selection=chosen, raise_on_error=False)


def materialized(result):
    return {"/".join(event.asset_key.path): event.materialization for event in result.get_asset_materialization_events()}


def checks(result):
    return {(one.asset_key.path[-1], one.check_name): one.passed for one in result.get_asset_check_evaluations()}


def test_the_models_of_a_date_are_found_checked_and_asked(lake, instance):
    result = run(lake, instance, "models", LAST)
    assert result.success
    made = materialized(result)
    assert set(made) == {"model/trees", "model/patchtst", "index/retrieval", "model/ensemble", "gold/predictions"}
    for name in MEMBERS:
        shown = made["/".join(model_key(name).path)].metadata
        assert shown["status"].value == "trained" and shown["carried"].value is True
        assert shown["content"].value == Artifacts(lake).manifest(name, LAST).content
    assert made["gold/predictions"].metadata["dagster/row_count"].value == lake.manifest(TRAINING, LAST).rows
    found = checks(result)
    assert {name for name, _ in found} == set(MEMBERS) and found["retrieval", "retrieval_exclusion"]
    assert all(passed for (_, check), passed in found.items() if check in ("leak_timestamps", "coverage"))


def test_too_few_dates_are_an_outcome_not_a_failure(lake, instance):
    result = run(lake, instance, "models", EARLY)
    assert result.success
    assert materialized(result)["model/trees"].metadata["status"].value == "insufficient_data"
    rows = lake.rows(PREDICTIONS, EARLY)
    training = lake.rows(TRAINING, EARLY)
    assert rows["ensemble_break"] == pytest.approx(training["geometry_break_4min"], abs=1e-3)


def test_a_tampered_file_is_trained_again_and_a_broken_window_stops_what_follows(lake, instance):
    manifest = Artifacts(lake).manifest("trees", LAST)
    file = lake.root / "models" / "trees" / manifest.content / "stage_a_4min.txt"
    before = file.read_bytes()
    file.write_bytes(before.replace(b"leaf_value=", b"leaf_value=9", 1))
    assert run(lake, instance, "models", LAST).success
    again = lake.root / "models" / "trees" / Artifacts(lake).manifest("trees", LAST).content / "stage_a_4min.txt"
    assert again.read_bytes() == before


def test_an_evaluation_shows_the_report_the_drift_and_who_serves(lake, instance):
    result = run(lake, instance, "evaluation", LAST)
    assert result.success
    made = materialized(result)
    assert set(made) == {"model/evaluation", "model/drift", "model/champion"}
    assert "geometry" in made["model/evaluation"].metadata["report"].value
    assert made["model/champion"].metadata["serves"].value == Artifacts(lake).champion()["name"]
    assert {check for _, check in checks(result)} == {"absurd_skill", "calibration_slope", "conformal_coverage", "regime"}


def test_an_evaluation_of_nothing_says_so(lake, instance):
    result = run(lake, instance, "evaluation", EARLY)
    assert result.success and "no model" in materialized(result)["model/evaluation"].metadata["note"].value


def command(lake, *words):
    return CliRunner().invoke(main, ["--data", str(lake.root), *words], catch_exceptions=False)


def test_train_says_what_it_made_and_works_before_the_date(lake):
    after = small_lake.trading(str(LAST), 3)[1]
    said = command(lake, "train", str(after))
    assert said.exit_code == 0 and all(f"{after} {name}" in said.output for name in MEMBERS)
    assert "geometry" in said.output and all(Artifacts(lake).manifest(name, after) for name in MEMBERS)


def test_report_names_who_serves_and_copies_the_page(lake, tmp_path):
    page = tmp_path / "page.html"
    said = command(lake, "report", "--out", str(page))
    assert said.exit_code == 0 and f": {Artifacts(lake).champion()['name']} (" in said.output
    told = page.read_text()
    assert told.startswith("<!doctype html>")
    decision = Artifacts(lake).champion()
    assert f"{decision['name']} ({escape(decision['why'])}).</strong>" in told
    assert decision["name"] == "geometry" or "Over all landmarks it gains" in told


def test_reports_of_nothing_are_a_sentence(tmp_path):
    said = command(Lake(tmp_path / "empty", CONFIG), "report")
    assert said.exit_code == 1 and "walk-forward" in said.output


def test_a_walk_forward_goes_on_where_it_was(lake, tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    (lake.folder(PREDICTIONS, LAST) / "manifest.json").unlink()
    said = command(lake, "walk-forward", "--dates", f"{DATES[-2]}:{LAST}", "--workers", "1")
    assert said.exit_code == 0, said.output
    assert "2 of 2 trading dates have models and predictions, 1 of them had before" in said.output
    assert lake.rows(PREDICTIONS, LAST).tobytes() == small_lake.trained().rows(PREDICTIONS, LAST).tobytes()
    assert os.environ["SPYMASTER_DATA"] == str(lake.root)
