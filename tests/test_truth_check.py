"""The truth check on two simulated dates, and its parts against numbers made by hand."""

import datetime as dt
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from spymaster_assets.cli import main
from spymaster_assets.config import Config
from spymaster_assets.gold import STAGES
from spymaster_assets.ingest import Intake, ingest_date
from spymaster_assets.lake import Lake
from spymaster_assets.landing import Landing
from spymaster_assets.maker import Maker
from spymaster_assets.simulator.truth import simulate_with_truth
from spymaster_assets.simulator.world import WORLDS
from spymaster_assets.tables import PATH_TRUTH, TOUCHES_TRUTH, TRAINING
from spymaster_assets.truth_check import LATENTS, SEEN, Seen, _ranks, check, dates_with_truth
from spymaster_assets.truth_page import is_right, page, summary

CONFIG, DATES = Config(), [dt.date(2025, 6, 2), dt.date(2025, 6, 3)]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(tmp_path_factory.mktemp("lake"), CONFIG)
    simulate_with_truth(lake, DATES, 60_000, 6, {}, world=WORLDS["LINEAR"])
    for date in DATES:
        ingest_date(Intake(date, lake, Landing(lake.root / "landing", CONFIG)))
        maker = Maker(date, lake)
        for stage in STAGES:
            if stage.name != "sequences":
                maker.make(stage)
    return lake


def test_check_of_two_dates(lake: Lake) -> None:
    """Too few to learn from; touches are the simulator's own, and every planted column has a place."""
    assert dates_with_truth(lake) == DATES
    found = check(lake, DATES)
    rows = sum(len(lake.rows(TRAINING, date)) for date in DATES)
    assert found.world == "LINEAR" and found.same_touches == found.touches >= 20
    assert [one.column for one in found.seen] == [*SEEN] and {*found.seen[0].correlations} == {*LATENTS}
    assert found.scorers == [] and found.permuted == []
    at_touch = [one for one in found.shares if one.elapsed == 0]
    assert sum(one.oracle for one in at_touch) == pytest.approx(1) and any(one.z != one.z_oracle for one in found.shares)
    assert sum(one.share for one in at_touch) == pytest.approx(1) and sum(one.rows for one in found.shares) <= 3 * rows
    text = page(found)
    assert text.startswith("<!doctype html>") and "<svg" in text and text == page(found)
    asks_nothing = text.replace('<link rel="icon" href="data:,">', "")  # an icon that is no icon: else a browser asks for one
    assert not any(word in asks_nothing for word in ("<script", "<link", "src="))
    assert "Too few dates" in summary(found) and "World LINEAR: 2 dates" in text


def test_command_writes_the_page(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPYMASTER_DATA", str(lake.root))
    result = CliRunner().invoke(main, ["truth-check", "--out", str(tmp_path / "truth.html")])
    assert result.exit_code == 0, result.output
    assert "World LINEAR: 2 dates" in result.output and (tmp_path / "truth.html").stat().st_size > 10_000
    monkeypatch.setenv("SPYMASTER_DATA", str(tmp_path))
    result = CliRunner().invoke(main, ["truth-check"])
    assert result.exit_code != 0 and "simulate with --world" in result.output


def test_a_truth_of_another_market_and_mixed_worlds_are_refused(lake: Lake, tmp_path: Path) -> None:
    other = Lake(tmp_path, CONFIG)
    shutil.copytree(lake.root, tmp_path, dirs_exist_ok=True)
    simulate_with_truth(other, DATES, 20_000, 77, {}, world=WORLDS["LINEAR"])
    with pytest.raises(ValueError, match=r"2025-06-02: \d+ of \d+ touches are those of the truth"):
        check(other, DATES)
    simulate_with_truth(other, DATES, 5_000, 6, {})
    assert dates_with_truth(other) == []
    shutil.copytree(lake.root / "truth", tmp_path / "truth", dirs_exist_ok=True)
    for table in (PATH_TRUTH, TOUCHES_TRUTH):
        manifest = other.folder(table, DATES[0]) / "manifest.json"
        manifest.write_text(manifest.read_text().replace('"world": "LINEAR"', '"world": "NULL"'))
    with pytest.raises(ValueError, match="dates of several worlds, LINEAR, NULL: name some of one by --dates"):
        check(other, DATES)


def test_ranks() -> None:
    assert _ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [2.5, 0.0, 2.5, 1.0]


@pytest.mark.parametrize(
    ("w", "a", "g", "right"), [(-0.4, 0.1, 0.3, True), (-0.2, 0.1, 0.3, False), (0.4, 0.0, 0.0, False), (-0.4, -0.5, 0.0, False)]
)
def test_a_column_is_right_if_it_follows_its_own_latent_most(w: float, a: float, g: float, right: bool) -> None:
    assert is_right(Seen("wall_ratio", "w", -1, 100, {"w": w, "a": a, "g": g})) is right
