"""What is stale and why, what follows from it, that nothing happens to it by itself, and what `spymaster status` says of it.

One file, because all of it begins with the same lake of several dates, made once.
"""

import datetime as dt
import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
from click.testing import CliRunner, Result

from spymaster_assets.cli import main
from spymaster_assets.config import Config
from spymaster_assets.daily import EVERY, Report, run_dates
from spymaster_assets.doctor import examine_lake
from spymaster_assets.gold import STAGES
from spymaster_assets.lake import MANIFEST, VERDICT, Lake
from spymaster_assets.layout import FORMAT, FORMAT_FILE, format_of
from spymaster_assets.maker import Maker
from spymaster_assets.simulator.write import simulate
from spymaster_assets.staleness import MISSING, Staleness
from spymaster_assets.status import STAGES as SHOWN
from spymaster_assets.status import Status
from spymaster_assets.store import Disk
from spymaster_assets.tables import BRONZE, TABLES
from tests.build import disordered, rewrite

FIRST, SECOND, THIRD = DATES = [dt.date(2025, 6, day) for day in (2, 3, 4)]
SOUND = {
    "covered_share_min": 0.3,
    "silent_share_max": 0.5,
    "geometry_z_max": 50.0,
    "resolved_share_max": 1.0,
    "censored_share_max": 1.0,
}
GRID = {"interval_ns": 1_000_000_000}  # a quarter of the snaps
BASE = {"quality": SOUND, "priors": {"min_dates": 1}, "grid": GRID}  # thin dates pass, one earlier date tells what is usual
CONFIG = Config.model_validate(BASE)
NAMES = [table.name for table in EVERY]
BOOK = {"snaps", "prints", "flow", "bars", "levels", "day_summary"}  # of Silver: what the book alone decides
TOUCHED = {"touches", "features", "signals", "labels", "training", "sequences"}  # what follows touches, and they


def make(lake: Lake, dates: Sequence[dt.date]) -> list[Report]:
    """Make dates as `spymaster day` does on the day itself: without Dagster, judged by every check."""
    with dg.partition_loading_context(effective_dt=dt.datetime(2025, 6, 1, tzinfo=dt.UTC)):
        return list(run_dates(lake, dates))


def contents(lake: Lake, dates: Sequence[dt.date] = DATES) -> dict[tuple[str, dt.date], str]:
    found = {(table.name, date): lake.manifest(table, date) for table in EVERY for date in dates}
    return {key: manifest.content for key, manifest in found.items() if manifest}


def files(root: Path) -> dict[str, str]:
    """Every file below a folder but landing's index, by the hash of its bytes."""
    paths = (path for path in root.rglob("*") if path.is_file() and path.name != "landing_index.json")
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def reasons(lake: Lake, date: dt.date) -> dict[str, list[str]]:
    """Table -> why it is stale, of those that are there."""
    staleness = Staleness(lake)
    return {table.name: why for table in EVERY if (why := staleness.why(table, date)) not in ([], [MISSING])}


def follows(why: Sequence[str]) -> bool:
    """Whether a table is stale only because another is."""
    return all(one.endswith(" is stale") for one in why)


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("landing")
    simulate(root / "landing", DATES, events_per_session=20_000, seed=11, config=CONFIG)
    return root


@pytest.fixture(scope="module")
def in_order(landing: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """All three dates, made one after the other."""
    root = tmp_path_factory.mktemp("in_order")
    shutil.copytree(landing, root, dirs_exist_ok=True)
    lake = Lake(root, CONFIG)
    assert [report.trouble for report in make(lake, DATES)] == [[], [], []]
    return lake


def copy(lake: Lake, root: Path) -> Lake:
    shutil.copytree(lake.root, root, dirs_exist_ok=True)
    return Lake(root, lake.config)


@pytest.fixture
def made(in_order: Lake, tmp_path: Path) -> Lake:
    return copy(in_order, tmp_path / "lake")


# A date that comes late


def test_what_was_made_in_order_is_not_stale(in_order: Lake) -> None:
    assert {date: reasons(in_order, date) for date in DATES} == {date: {} for date in DATES}
    later = dt.date(2025, 6, 5)
    assert {tuple(Staleness(in_order).why(table, later)) for table in EVERY} == {(MISSING,)}


def test_an_older_date_that_comes_late_makes_stale_what_it_changes_and_what_follows(
    landing: Path, in_order: Lake, tmp_path: Path
) -> None:
    root = tmp_path / "lake"
    shutil.copytree(landing, root)
    lake = Lake(root, CONFIG)
    assert all(report.succeeded for report in make(lake, [SECOND, THIRD]))
    assert reasons(lake, SECOND) == {} == reasons(lake, THIRD)
    before = {date: [files(lake.folder(table, date)) for table in EVERY] for date in (SECOND, THIRD)}
    without = contents(lake)

    assert all(report.succeeded for report in make(lake, [FIRST]))
    found = reasons(lake, THIRD)
    assert set(found) == {"priors", "levels", *TOUCHED}
    assert found["priors"][0] == f"input silver/day_summary {FIRST} new"
    assert found["touches"] == ["silver/levels is stale", "silver/priors is stale"]
    assert found["features"] == ["silver/levels is stale", "silver/touches is stale", "silver/priors is stale"]
    assert found["labels"] == ["silver/touches is stale"]
    assert found["sequences"] == ["gold/training is stale", "silver/touches is stale"]
    found = reasons(lake, SECOND)  # its contract is now chosen by the first date's volume, no longer by the calendar
    assert found["futures_mbp10"] == ["input contract changed"]
    assert set(found) == {"futures_mbp10", *BOOK, "priors", *TOUCHED}
    assert found["snaps"] == ["bronze/futures_mbp10 is stale"]
    assert [name for name, why in found.items() if not follows(why)] == ["futures_mbp10", "priors"]
    assert reasons(lake, FIRST) == {}

    said = status(lake)  # neither looking nor waiting changes anything
    assert f"{THIRD} silver/priors is stale: input silver/day_summary {FIRST} new" in said.output
    assert f"{THIRD} and so are levels, touches, features, signals, labels, training, sequences" in said.output
    assert {date: [files(lake.folder(table, date)) for table in EVERY] for date in (SECOND, THIRD)} == before
    assert {key: content for key, content in contents(lake).items() if key[1] != FIRST} == without

    reports = make(lake, [SECOND, THIRD])
    assert all(report.succeeded for report in reports)
    unchanged = {line.split()[0] for line in reports[1].lines if line.endswith("unchanged")}
    assert unchanged >= {*NAMES} - {"priors", "levels", *TOUCHED}
    assert not unchanged & {"priors", "touches", "features", "signals"}
    assert {date: reasons(lake, date) for date in DATES} == {date: {} for date in DATES}
    assert contents(lake) == contents(in_order)
    assert contents(lake)["priors", THIRD] != without["priors", THIRD]


def test_a_stale_summary_makes_the_priors_of_later_dates_stale_and_no_others(made: Lake) -> None:
    """Without a change of its own: the book of the first date is another one."""
    rewrite(file_of(made.root, "futures", "mbp-10", SECOND), shortened)
    found = reasons(made, SECOND)
    assert not follows(found["futures_mbp10"]) and set(found) == {"futures_mbp10", *BOOK, "priors", *TOUCHED}
    assert reasons(made, FIRST) == {}
    third = reasons(made, THIRD)
    assert third["futures_mbp10"] == found["futures_mbp10"]  # the evening of that UTC day is its own
    assert f"silver/day_summary of {SECOND} is stale" in third["priors"] and follows(third["priors"])
    make(made, [SECOND])
    assert reasons(made, THIRD)["priors"] == [f"input silver/day_summary {SECOND} changed"]
    make(made, [THIRD])
    assert {date: reasons(made, date) for date in DATES} == {date: {} for date in DATES}


def test_a_table_that_lost_its_input_says_which(made: Lake) -> None:
    shutil.rmtree(made.folder(TABLES["silver/touches"], THIRD))
    found = reasons(made, THIRD)
    assert found["features"] == [f"{THIRD}: features needs silver/touches, which is not there"]
    assert set(found) == TOUCHED - {"touches"}
    assert Staleness(made).why(TABLES["silver/touches"], THIRD) == [MISSING]
    make(made, [THIRD])
    assert reasons(made, THIRD) == {}


# A changed configuration

CHANGES: Mapping[str, Mapping[str, object]] = {
    "instrument": {"roll_days": 9},
    "sessions": {"signals_end": "13:00"},
    "landing": {"capture_folder": "ours"},
    "bronze": {"contract_lookback": 4},
    "quality": {**SOUND, "gap_seconds": 45.0},
    "grid": {**GRID, "reference_clusters": 150},
    "levels": {"atr_bars": 20},
    "touches": {"cooldown_seconds": 120.0},
    "barrier": {"w_b": 200.0},
    "tape": {"w_t": 45.0},
    "fuel": {"threshold_cold": 12.0},
    "score": {"tau_score": 3.0},
    "labels": {"half_life_seconds": 500.0},
    "priors": {"min_dates": 2},
    "sequences": {"depth_ticks": 5},
    "models": {"folds": 4},
    "live": {"frame_ms": 40.0},
    "vendor": {"retries": 3},
    "doctor": {"hung_seconds": 50.0},
    "store": {"cache_bytes": 1},
}
OPTIONS = {"option_flow", "open_interest"}
FUELLED = {"day_summary", "levels", *TOUCHED}  # what reads options, and what follows it on the date
SILVER_GOLD = {*BOOK, *OPTIONS, "priors", *TOUCHED}
OWN: Mapping[str, set[str]] = {  # the tables that read a group of parameters themselves
    "instrument": {*NAMES} - {"training"},
    "sessions": {*NAMES} - {"training"},
    "landing": {table.name for table in BRONZE},
    "bronze": {table.name for table in BRONZE},
    "quality": set(),
    "grid": SILVER_GOLD - {"training"},
    "levels": {"bars", "levels", "day_summary", "touches", "features"},
    "touches": {"touches", "features", "signals", "labels"},
    "barrier": {"day_summary", "features", "signals"},
    "tape": {"snaps", "prints", "flow", "day_summary", "features", "signals"},
    "fuel": {"day_summary", "levels", "features", "signals", "sequences"},
    "score": {"signals"},
    "labels": {"day_summary", "touches", "features", "labels", "training"},
    "priors": {"day_summary", "priors", "touches", "features", "signals"},
    "sequences": {"sequences"},
    "models": set(),
    "live": set(),
    "vendor": set(),
    "doctor": set(),
    "store": set(),
}
ALL: Mapping[str, set[str]] = {  # and those that follow, of a date with earlier ones
    "instrument": {*NAMES},
    "sessions": {*NAMES},
    "landing": {*NAMES},
    "bronze": {*NAMES},
    "quality": set(),
    "grid": SILVER_GOLD,
    "levels": {"bars", "levels", "day_summary", "priors", *TOUCHED},
    "touches": TOUCHED,
    "barrier": {"day_summary", "priors", "levels", *TOUCHED},
    "tape": {"snaps", "prints", "flow", "bars", "levels", "day_summary", "priors", *TOUCHED},
    "fuel": {"day_summary", "priors", "levels", *TOUCHED},
    "score": {"signals", "training", "sequences"},
    "labels": {"day_summary", "priors", "levels", *TOUCHED},
    "priors": {"day_summary", "priors", "levels", *TOUCHED},
    "sequences": {"sequences"},
    "models": set(),
    "live": set(),
    "vendor": set(),
    "doctor": set(),
    "store": set(),
}


def changed(group: str) -> Config:
    config = Config.model_validate({**BASE, group: CHANGES[group]})
    assert config.digest(group) != CONFIG.digest(group)
    return config


def test_every_group_of_the_configuration_is_asked_about() -> None:
    assert set(CHANGES) == set(OWN) == set(ALL) == set(Config.model_fields)


@pytest.mark.parametrize("group", CHANGES)
def test_a_changed_parameter_makes_stale_what_reads_it_and_what_follows(in_order: Lake, group: str) -> None:
    before = files(in_order.root)
    other = Lake(in_order.root, changed(group))
    found = reasons(other, THIRD)
    assert {name for name, why in found.items() if "config" in why} == OWN[group]
    assert set(found) == ALL[group]
    assert all(why == ["config"] for name, why in found.items() if name in OWN[group])
    assert all(follows(why) for name, why in found.items() if name not in OWN[group])
    assert files(in_order.root) == before


@pytest.mark.parametrize("group", [group for group in CHANGES if len(ALL[group]) < len(NAMES)])
def test_what_a_changed_parameter_does_not_make_stale_would_be_the_same(made: Lake, group: str) -> None:
    """Made again by force with the changed parameter: the same content. So no stage reads a group that it does not name."""
    before = contents(made, [THIRD])
    other = Lake(made.root, changed(group))
    maker = Maker(THIRD, other)
    for stage in STAGES:
        if not {table.name for table in stage.tables} & ALL[group]:
            maker.make(stage, force=True)
    after = contents(other, [THIRD])
    assert after == before


# Changed files


def file_of(root: Path, kind: str, schema: str, day: dt.date) -> Path:
    return root / "landing" / kind / f"glbx-mdp3-{day:%Y%m%d}.{schema}.dbn.zst"


def shortened(rows: np.ndarray) -> np.ndarray:
    """A UTC day's records without a twentieth of them, in the date's own session."""
    return np.delete(rows, slice(len(rows) // 2, len(rows) // 2 + len(rows) // 20))


def test_a_changed_file_makes_stale_what_was_made_from_it_and_what_follows(made: Lake) -> None:
    rewrite(file_of(made.root, "options", "trades", SECOND), shortened)
    name = f"options/glbx-mdp3-{SECOND:%Y%m%d}.trades.dbn.zst"
    second, third = reasons(made, SECOND), reasons(made, THIRD)
    assert set(second) == {"option_trades", *OPTIONS, *FUELLED}
    assert set(third) == {*second, "priors"}  # its evening is in the file too, and its priors come from the second date
    for found in (second, third):
        assert found["option_trades"] == [f"input {name} changed"]
        assert {tuple(found[one]) for one in OPTIONS} == {("bronze/option_trades is stale",)}
        assert all(follows(why) for one, why in found.items() if one != "option_trades")
    assert reasons(made, FIRST) == {}
    said = status(made)
    assert f"{SECOND} bronze/option_trades is stale: input {name} changed" in said.output
    assert f"{SECOND} and so are option_flow, open_interest, " in said.output
    before = contents(made)
    make(made, [SECOND, THIRD])
    assert reasons(made, SECOND) == {} == reasons(made, THIRD)
    differing = {key for key, content in contents(made).items() if content != before[key]}
    assert {("option_trades", SECOND)} <= differing
    later = {(one, THIRD) for one in ("priors", *TOUCHED)}
    assert differing <= {(one, SECOND) for one in ("option_trades", "option_flow", *FUELLED)} | later


def test_a_new_file_makes_stale_what_it_would_be_read_for(made: Lake) -> None:
    folder = made.root / "landing" / "futures"
    shutil.move(folder / f"glbx-mdp3-{FIRST:%Y%m%d}.trades.dbn.zst", made.root / "kept")
    assert {date: reasons(made, date) for date in DATES} == {date: {} for date in DATES}  # Bronze is the record of what was read
    shutil.move(made.root / "kept", folder / "renamed.dbn.zst")
    old, new = f"input futures/glbx-mdp3-{FIRST:%Y%m%d}.trades.dbn.zst gone", "input futures/renamed.dbn.zst new"
    assert reasons(made, FIRST) == {"futures_trades": [old, new]}


def test_changed_definitions_make_all_of_bronze_and_what_follows_stale(made: Lake) -> None:
    rewrite(file_of(made.root, "futures", "definition", THIRD), lambda rows: rows[::-1])
    found = reasons(made, THIRD)
    assert set(found) == {*NAMES}
    assert {name for name, why in found.items() if not follows(why)} == {table.name for table in BRONZE}


# What status says


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command reads the configuration from a file and sets SPYMASTER_DATA."""
    monkeypatch.setenv("SPYMASTER_DATA", "")
    settings(tmp_path)
    monkeypatch.setenv("SPYMASTER_CONFIG", str(tmp_path / "settings.toml"))
    yield


def settings(folder: Path, **quality: float) -> None:
    """A settings file that says BASE, and other thresholds."""
    groups = {**BASE, "quality": {**SOUND, **quality}}
    text = "".join(f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in of.items()) for group, of in groups.items())
    (folder / "settings.toml").write_text(text)


def status(lake: Lake, *words: str) -> Result:
    result = CliRunner().invoke(main, ["--data", str(lake.root), "status", *words], catch_exceptions=False)
    assert result.exit_code == 0
    return result


def marks(lake: Lake) -> dict[tuple[str, dt.date], str]:
    """(table, date) -> its mark in `status --tables`: the letter below the end of the table's name."""
    found, ends, names = {}, [], []
    for line in status(lake, "--tables").output.splitlines():
        if line.startswith(("bronze  ", "silver  ", "gold  ")) and not line.endswith("a date"):
            ends = [match.end() for match in re.finditer(r"\S+", line)][1:]
            names = [table.name for table in SHOWN[line.split()[0]]]
        elif re.match(r"\d{4}-\d\d-\d\d  ", line):
            found |= {(name, dt.date.fromisoformat(line[:10])): line[end - 1] for name, end in zip(names, ends, strict=True)}
    return found


def by_stage(lake: Lake) -> dict[dt.date, str]:
    """date -> the marks of its three stages in `status`."""
    lines = [line for line in status(lake).output.splitlines() if re.match(r"\d{4}-\d\d-\d\d  ", line)]
    return {dt.date.fromisoformat(line[:10]): "".join(re.findall(r"[✓✗?~!·-](?=  )", line[10:])) for line in lines}


def test_status_of_a_sound_lake(made: Lake) -> None:
    assert by_stage(made) == dict.fromkeys(DATES, "✓✓✓")
    assert marks(made) == {(name, date): "✓" for name in NAMES for date in DATES}
    assert "stale:" not in status(made).output and "failed:" not in status(made).output
    line = next(line for line in status(made).output.splitlines() if line.startswith(str(THIRD)))
    training = made.manifest(TABLES["gold/training"], THIRD)
    assert training is not None
    assert line.split()[-2:] == [str(training.facts["touches"]), str(training.facts["trainable_4min"])]
    rows = [
        sum(m.rows for table in EVERY if table.stage == stage and (m := made.manifest(table, THIRD)))
        for stage in ("bronze", "silver", "gold")
    ]
    assert [word for word in line.split() if word in {f"{count:,}" for count in rows}] == [f"{count:,}" for count in rows]


def test_status_marks_what_is_stale_and_nothing_else(made: Lake) -> None:
    rewrite(file_of(made.root, "options", "trades", SECOND), shortened)
    stale = {(name, date) for name in ("option_trades", *OPTIONS, *FUELLED) for date in (SECOND, THIRD)}
    stale |= {("priors", THIRD)}
    found = marks(made)
    assert {key for key, mark in found.items() if mark == "~"} == stale
    assert by_stage(made) == {FIRST: "✓✓✓", SECOND: "~~~", THIRD: "~~~"}


def test_what_is_said_of_all_dates_is_said_once(made: Lake) -> None:
    """After an upgrade or a changed parameter everything is stale for one reason: a line, not one for each table of each date."""
    found = Status(Lake(made.root, Config.model_validate({**BASE, "grid": {"interval_ns": 500_000_000}}))).reasons()
    [line, follows] = [one for one in found if "stale" in one or "so are" in one]
    assert line.startswith(f"{FIRST} to {THIRD} (3 dates) silver/") and line.endswith(" are stale: config")
    assert follows.startswith(f"{FIRST} to {THIRD} (3 dates) and so are ")


def test_status_of_some_dates_shows_those(made: Lake) -> None:
    lines = status(made, "--dates", str(SECOND)).output.splitlines()
    assert [line[:10] for line in lines if re.match(r"\d{4}-\d\d-\d\d  ", line)] == [str(SECOND)]


@pytest.mark.parametrize("schema", ["trades", "mbp-10"])
def test_status_shows_a_failed_blocking_check_with_its_message(landing: Path, tmp_path: Path, schema: str) -> None:
    """Out of order: the date is stopped where the check stands; what follows is not made, and the stage shows the check."""
    lake = Lake(tmp_path / "lake", CONFIG)
    shutil.copytree(landing, lake.root)
    rewrite(file_of(lake.root, "futures", schema, FIRST), disordered)
    [report] = make(lake, [FIRST])
    table = {"trades": "futures_trades", "mbp-10": "futures_mbp10"}[schema]
    assert report.trouble[0].startswith(f"{table}: order: records are out of order")
    found = {name: mark for (name, date), mark in marks(lake).items() if date == FIRST}
    assert [name for name, mark in found.items() if mark == "✗"] == [table]
    assert f"{FIRST} bronze/{table}, check order failed: records are out of order: files were joined wrongly" in status(lake).output
    if schema == "mbp-10":
        assert {name for name, mark in found.items() if mark == "·"} == SILVER_GOLD - OPTIONS
        assert by_stage(lake)[FIRST] == "✗··"
    else:
        assert by_stage(lake)[FIRST] == "✗✓✓"
    assert by_stage(lake)[SECOND] == "···"


def test_status_says_refused_even_where_later_tables_of_the_stage_are_missing(made: Lake) -> None:
    """Gold: training refused, so sequences were not made."""
    strict = Lake(made.root, Config.model_validate({**BASE, "quality": {**SOUND, "covered_share_min": 1.0}}))
    shutil.rmtree(strict.folder(TABLES["gold/sequences"], THIRD))
    [report] = make(strict, [THIRD])
    assert [line.split(":")[0] for line in report.trouble] == ["training", "sequences"]
    settings(made.root.parent, covered_share_min=1.0)
    assert by_stage(made)[THIRD] == "✓✓✗"
    assert marks(made)["training", THIRD] == "✗" and marks(made)["sequences", THIRD] == "·"


def test_a_verdict_of_another_configuration_does_not_count(made: Lake) -> None:
    """A threshold changed since: not judged as it is now, so neither refused nor blamed."""
    verdict = made.folder(TABLES["gold/training"], THIRD) / VERDICT
    verdict.write_text(verdict.read_text().replace('"passed": true', '"passed": false'))
    assert by_stage(made)[THIRD] == "✓✓✗"
    settings(made.root.parent, covered_share_min=0.25)
    assert by_stage(made)[THIRD] == "???"  # neither refused nor called complete


def test_doctor_names_a_date_that_is_missing_between_others(made: Lake) -> None:
    assert [one.message for one in examine_lake(made) if not one.well and "missing" in one.message] == []
    for table in EVERY:
        shutil.rmtree(made.folder(table, SECOND))
    told = [one.message for one in examine_lake(made) if not one.well and "missing" in one.message]
    missing = f"1 trading dates missing between {FIRST} and {THIRD}: {SECOND}"
    assert told == [f"bronze/futures_mbp10: {missing}", f"gold/training: {missing}"]


def test_doctor_names_a_page_that_was_changed(made: Lake) -> None:
    """One bit of one page of each stage, in the middle of the file: the page's own checksum tells."""
    for name in ("bronze/futures_mbp10", "silver/snaps", "gold/training"):
        path = made.path(TABLES[name], SECOND)
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2] ^= 0x10
        path.write_bytes(raw)
        told = [
            one.message for one in examine_lake(made) if not one.well and one.message.startswith(f"{name} {SECOND}: {path.name}")
        ]
        assert len(told) == 1, name


def test_a_lake_that_an_earlier_version_made_is_stale_where_it_differs_and_made_anew(made: Lake) -> None:
    """Other code made snaps, other columns were in labels: what an upgrade leaves is told by name, and a run mends it."""
    for name, what in (("silver/snaps", "code"), ("silver/labels", "schema")):
        path = made.folder(TABLES[name], THIRD) / MANIFEST
        manifest = json.loads(path.read_text())
        manifest["fingerprint"][what] = "0123456789abcdef"
        path.write_text(json.dumps(manifest))
    (made.root / FORMAT_FILE).unlink()  # the lake of a version before there was one
    found = reasons(made, THIRD)
    assert found["snaps"] == ["code"] and found["labels"] == ["schema"]
    told = [one.message for one in examine_lake(made) if not one.well and "judged" not in one.message]
    assert told == [f"silver/labels: other columns than now, of another version: {THIRD}; run these dates again"]
    assert {name for name, why in found.items() if follows(why)} >= {"bars", "training"} and "futures_mbp10" not in found
    before = contents(made)
    assert all(report.succeeded for report in make(made, [THIRD]))
    assert reasons(made, THIRD) == {} and contents(made) == before and format_of(Disk(made.root)) == FORMAT


def test_disk_is_told_by_folder_and_date(made: Lake) -> None:
    lines = status(made).output.splitlines()[-8:]
    cells = {line.split()[0]: line.split()[1:] for line in lines}
    assert list(cells) == ["landing", "bronze", "silver", "gold", "models", "truth", "dagster", "nats"]
    for name, (whole, unit, each, unit_each, *words) in cells.items():
        size = sum(path.stat().st_size for path in (made.root / name).rglob("*") if path.is_file()) / 1e6
        assert (whole, unit, unit_each, words) == (f"{size:,.1f}", "MB", "MB", ["a", "date"])
        assert each == f"{size / 3:,.1f}"
    assert float(cells["silver"][0]) > 3 and cells["dagster"][0] == "0.0"


def test_manifests_tell_no_time(made: Lake, in_order: Lake) -> None:
    """The same by the byte wherever and whenever: what is compared above is all there is."""
    for date in DATES:
        for table in EVERY:
            one, other = (asdict(lake.manifest(table, date)) for lake in (made, in_order))  # type: ignore[call-overload]
            assert one == other
            assert (made.folder(table, date) / MANIFEST).read_bytes() == (in_order.folder(table, date) / MANIFEST).read_bytes()
