"""Live equals batch: what a run says on the bus is Dagster's Silver, byte for byte, whatever happens on the way.

The quick tests replay a small date and the genuine hour. The slow ones (`make test-slow`) replay whole dates of three seeds, cut
into frames of all sizes, paced, and with processes killed at random moments.
"""

import datetime as dt
import random
import shutil
import time
from pathlib import Path

import pytest

from spymaster_assets.cli import prepare_dagster
from spymaster_assets.config import load
from spymaster_assets.daily import run_date
from spymaster_assets.ingest import Intake, ingest_date
from spymaster_assets.lake import Lake
from spymaster_assets.landing import Landing
from spymaster_assets.maker import Maker
from spymaster_assets.silver import SILVER_STAGES
from spymaster_assets.simulator.write import simulate
from spymaster_assets.states import LEVEL_KINDS
from spymaster_live.parity import differences
from tests.live.rig import Rig, rig, short, small_lake

DATE = dt.date(2025, 6, 3)


def materialized(root: Path, date: dt.date, config: Path | None = None) -> Path:
    """A lake whose landing lies there, with the date made by Dagster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPYMASTER_DATA", str(root))
        patch.setenv("DAGSTER_HOME", str(root / "dagster"))
        if config is not None:
            patch.setenv("SPYMASTER_CONFIG", str(config))
        prepare_dagster(root)
        run_date(Lake(root, load(config) if config else load()), date)
    return root


def simulated(root: Path, events: int, seed: int) -> Path:
    simulate(root / "landing", [DATE], events_per_session=events, seed=seed, config=load())
    return materialized(root, DATE)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated(tmp_path_factory.mktemp("lake"), 20_000, 5)


@pytest.fixture(scope="module")
def brief(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same date with an hour of signals, as short.toml says, made without Dagster."""
    return small_lake(tmp_path_factory.mktemp("brief"), DATE, 20_000, silver=True)


def test_a_run_says_what_dagster_stored(lake: Path, tmp_path: Path) -> None:
    with rig(lake, tmp_path) as live:
        live.engine()
        live.feed(DATE, "--speed", "0", "--frame-records", "64")
        live.finish()
        counts = live.compared(DATE)
        assert min(counts.values()) > 0
        told = live.said()
    assert sorted(told.lines) == list(range(min(told.lines), max(told.lines) + 1))
    assert len(told.lines) >= 4 * 3600 * 4  # every snap of the signal window


def test_a_date_that_knows_the_day_before(tmp_path: Path) -> None:
    """Its levels are there live too: PD_HIGH, PD_LOW, PD_CLOSE."""
    root, following, config = tmp_path / "two", dt.date(2025, 6, 4), short(tmp_path / "short.toml")
    simulate(root / "landing", [DATE, following], events_per_session=20_000, seed=5, config=load(config))
    before = Lake(root, load(config))
    ingest_date(Intake(DATE, before, Landing(root / "landing", before.config)))
    for stage in SILVER_STAGES:
        if stage.name in ("grid", "option_flow", "bars", "day_summary"):
            Maker(DATE, before).make(stage)
    materialized(root, following, config)
    with rig(root, tmp_path, {"": config}) as live:
        live.engine()
        live.feed(following, "--speed", "0", "--frame-records", "512")
        live.finish()
        assert min(live.compared(following).values()) > 0
        kinds = {LEVEL_KINDS[kind] for kind in live.said().rows["levels"]["kind"].tolist()}
    assert {"PD_HIGH", "PD_LOW", "PD_CLOSE"} <= kinds


@pytest.mark.slow
def test_kills_do_not_show(brief: Path, tmp_path: Path) -> None:
    """Feed, engines and server are killed again and again while the date runs at 1000 times real time, with two engines."""
    with rig(brief, tmp_path / "quiet", {"": brief / "short.toml"}) as live:
        live.engine()
        live.feed(DATE, "--speed", "1000", "--from", "16:00")
        live.finish()
        undisturbed = live.said()
    with rig(brief, tmp_path / "killed", {"": brief / "short.toml"}) as live:
        killed_at_random(live, 6, 20.0, random.Random(1), "--from", "10:00")
        counts = live.compared(DATE)
        told = live.said()
    assert told.lines == undisturbed.lines and min(counts.values()) > 0
    assert len(set(told.ids)) == len(told.ids)


def killed_at_random(live: Rig, kills: int, seconds: float, chance: random.Random, *words: str) -> None:
    """A run at 1000 times real time, with two engines and so many kills at random moments of its first `seconds`."""
    names = ["feed", "engine", "second", "nats-server"]
    live.engine()
    live.engine("second")
    live.feed(DATE, "--speed", "1000", *words)
    started = time.monotonic()
    moments = sorted(chance.uniform(1.0, seconds) for _ in range(kills))
    for number, moment in enumerate(moments):
        time.sleep(max(0.0, started + moment - time.monotonic()))
        name = names[number % len(names)] if number < len(names) else chance.choice(names)
        live.kill(name)
        time.sleep(chance.uniform(0.0, 0.5))
        live.start(name)
    live.finish(600)
    assert live.kills == kills


def test_another_threshold_in_live_is_told_by_row_and_column(brief: Path, tmp_path: Path) -> None:
    """The check of the check: an engine whose VACUUM begins elsewhere."""
    planted = short(tmp_path / "planted.toml", "[barrier]\nr_vac = 0.9\n")
    with rig(brief, tmp_path, {"": brief / "short.toml", "engine": planted}) as live:
        live.engine()
        live.feed(DATE, "--speed", "0")
        live.finish()
        found, _ = differences(Lake(brief, live.config()), DATE, live.said())
        assert any(one["same_config"] is False for one in live.status() if one["run"])
    assert found and all(text.startswith("silver/") and "column" in text and "Dagster has" in text for text in found)
    assert any("barrier_state" in text for text in found)


# ---- whole dates ----


@pytest.fixture(scope="module", params=[11, 12, 13])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated(tmp_path_factory.mktemp(f"seed{request.param}"), 300_000, request.param)


@pytest.mark.slow
@pytest.mark.parametrize("most", [7, 64, 512, 0])
def test_frames_of_any_size_say_the_same(whole: Path, tmp_path: Path, most: int) -> None:
    with rig(whole, tmp_path) as live:
        live.engine()
        live.feed(DATE, "--speed", "0", "--frame-records", str(most))
        live.finish(600)
        print(most, live.compared(DATE))


@pytest.mark.slow
def test_frames_of_one_record(tmp_path: Path) -> None:
    root = simulated(tmp_path / "lake", 50_000, 21)
    with rig(root, tmp_path / "live") as live:
        live.engine()
        live.feed(DATE, "--speed", "0", "--frame-records", "1")
        live.finish(900)
        print(live.compared(DATE))


@pytest.mark.slow
def test_fifty_times_real_time(whole: Path, tmp_path: Path) -> None:
    """Paced through the two hours in which the most happens, at once before and after."""
    with rig(whole, tmp_path) as live:
        live.engine()
        live.feed(DATE, "--speed", "50", "--from", "09:25")
        while live.control(do="state")["position"] < at("11:25"):
            time.sleep(1)
        live.control(do="seek", to="16:00")
        live.finish(600)
        print(live.compared(DATE))


@pytest.mark.slow
def test_a_whole_date_at_fifty_times_real_time(tmp_path: Path) -> None:
    """Paced from the open of the evening before to the close: half an hour."""
    root = simulated(tmp_path / "lake", 300_000, 14)
    with rig(root, tmp_path / "live") as live:
        live.engine()
        live.feed(DATE, "--speed", "50")
        live.finish(2400)
        print(live.compared(DATE))


def at(clock: str) -> int:
    from spymaster_assets.sessions import wall

    return wall(DATE, clock, "America/New_York")


@pytest.mark.slow
def test_twenty_kills(whole: Path, tmp_path: Path) -> None:
    with rig(whole, tmp_path) as live:
        killed_at_random(live, 20, 80.0, random.Random(7))
        print(live.kills, live.compared(DATE))


HOUR = """
[sessions]
premarket_start = "-18:00"
regular_open = "-18:15"
opening_range_end = "-18:30"
signals_end = "-19:00"
[levels]
sma_bars = [5, 10]
[labels]
diurnal_shape = [["-18:00", 1.0]]
"""


HOUR_DATE = dt.date(2023, 12, 26)


@pytest.fixture(scope="module")
def hour(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A lake with an hour of real ES, and the configuration that lays the windows of the day into it."""
    folder = tmp_path_factory.mktemp("hour")
    config, landing = folder / "hour.toml", folder / "lake" / "landing"
    config.write_text(HOUR)
    landing.mkdir(parents=True)
    for path in real_data.glob("esh4-20231225.*"):
        shutil.copy(path, landing / path.name)
    return materialized(folder / "lake", HOUR_DATE, config), config


@pytest.mark.parametrize("most", [pytest.param(1, marks=pytest.mark.slow), 64, 0])
def test_the_genuine_hour(hour: tuple[Path, Path], tmp_path: Path, most: int) -> None:
    root, config = hour
    with rig(root, tmp_path, {"": config}) as live:
        live.engine()
        live.feed(HOUR_DATE, "--speed", "0", "--frame-records", str(most))
        live.finish()
        counts = live.compared(HOUR_DATE)
    assert min(counts.values()) > 0
    print(most, counts)
