"""A lake remembers which instrument it holds: settings of another one are refused, wherever it lies and whoever asks."""

import json
import multiprocessing
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner

from spymaster_assets.assets.resources import LakeResource
from spymaster_assets.backup import back_up
from spymaster_assets.cli import main
from spymaster_assets.config import Config, load
from spymaster_assets.definitions import build as built
from spymaster_assets.ingest import Intake, ingest_date
from spymaster_assets.lake import Lake, LakeError, opened
from spymaster_assets.landing import Landing
from spymaster_assets.layout import FORMAT, FORMAT_FILE, format_of, write_format
from spymaster_assets.store import Disk
from spymaster_live.__main__ import main as live
from tests import build
from tests.build import DATE
from tests.instruments import FOLDER, config_of
from tests.kinds import ALL_KINDS, NEW, OLD, OTHER, publish
from tests.s3_server import BUCKET, S3Server, reached, serving

ES, NQ, MES = "GLBX.MDP3 ES", "GLBX.MDP3 NQ", "GLBX.MDP3 MES"
REFUSED = f"holds {ES}, but the settings are those of {NQ}: name another lake"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with serving(tmp_path_factory.mktemp("server")) as found, reached(found):
        yield found


@pytest.fixture(params=["disk", "bucket"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    """An empty lake of ES."""
    if request.param == "disk":
        return Lake(tmp_path / "lake", Config())
    request.getfixturevalue("server")
    return Lake(tmp_path / "machine", Config(), f"s3://{BUCKET}/{secrets.token_hex(4)}")


def said(lake: Lake) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(lake.store.read(FORMAT_FILE))
    return found


def settings(monkeypatch: pytest.MonkeyPatch, lake: Lake, name: str) -> None:
    """This process is one with the settings of an instrument, and a lake."""
    monkeypatch.setenv("SPYMASTER_CONFIG", str(FOLDER / f"{name}.toml"))
    monkeypatch.setenv("SPYMASTER_DATA", lake.url or str(lake.root))
    monkeypatch.setenv("SPYMASTER_LOCAL", str(lake.root))
    monkeypatch.setenv("DAGSTER_HOME", str(lake.root.parent / "dagster"))


def test_the_first_partition_names_the_instrument_and_another_is_refused(lake: Lake) -> None:
    publish(lake, OLD)
    assert said(lake) == {"format": FORMAT, "instrument": ES}
    assert opened(Config(), lake.root, lake.url) == lake
    with pytest.raises(LakeError, match=REFUSED):
        opened(config_of("NQ"), lake.root, lake.url)
    fresh = lake.root.with_name("fresh")
    if lake.url:  # a machine that was never here
        with pytest.raises(LakeError, match=REFUSED):
            opened(config_of("NQ"), fresh, lake.url)
        with pytest.raises(LakeError, match=REFUSED):
            publish(Lake(fresh, config_of("NQ"), lake.url), NEW, fingerprint=OTHER)
    publish(lake, NEW, fingerprint=OTHER)
    other_parameters = Config.model_validate({"instrument": {"roll_days": 5}, "touches": {"cooldown_seconds": 200}})
    assert opened(other_parameters, lake.root, lake.url).manifest(ALL_KINDS, DATE) == lake.manifest(ALL_KINDS, DATE)


def test_a_machines_folder_of_models_and_captures_is_one_instruments_too(server: S3Server, tmp_path: Path) -> None:
    """Two buckets, one SPYMASTER_LOCAL: the champion there would serve the other instrument."""
    publish(Lake(tmp_path, Config(), f"s3://{BUCKET}/{secrets.token_hex(4)}"), OLD)
    with pytest.raises(LakeError, match=f"{tmp_path} {REFUSED}"):
        opened(config_of("NQ"), tmp_path, f"s3://{BUCKET}/{secrets.token_hex(4)}")


@pytest.mark.parametrize(
    "words",
    [
        ("status",), ("day", str(DATE)), ("backfill", str(DATE), str(DATE)), ("doctor",), ("report",), ("sql", "select 1"),
        ("simulate", "--dates", str(DATE)), ("backup", "copy"),
    ],
    ids=lambda words: words[0],
)  # fmt: skip
def test_every_command_refuses(lake: Lake, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    publish(lake, OLD)
    settings(monkeypatch, lake, "NQ")
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 1 and REFUSED in done.output and len(done.output.splitlines()) == 1


@pytest.mark.parametrize("words", [("all",), ("feed", "--live"), ("engine",), ("writer",), ("gateway",), ("hand-over", str(DATE))],
                         ids=lambda words: words[0])  # fmt: skip
def test_every_part_of_live_refuses(lake: Lake, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    publish(lake, OLD)
    settings(monkeypatch, lake, "NQ")
    bus = () if words[0] in ("hand-over", "all") else ("--nats", "nats://127.0.0.1:9")
    done = CliRunner().invoke(live, [*words, *bus])
    assert done.exit_code == 1 and REFUSED in done.output


def test_dagster_refuses_before_it_reads_or_writes(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(lake, OLD)
    nq = str(FOLDER / "NQ.toml")
    with pytest.raises(LakeError, match=REFUSED):
        LakeResource(root=str(lake.root), url=lake.url, config_file=nq).lake()
    build.landing_of_a_date(lake.root)
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    resource = {"resources": {"lake": {"config": {"root": str(lake.root), "url": lake.url, "config_file": nq}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        job = built(lake.root, lake.url).resolve_job_def("bronze_job")
        found = job.execute_in_process(instance=instance, partition_key=str(DATE), raise_on_error=False,
                                       run_config={**quiet, **resource})  # fmt: skip
    assert not found.success
    assert any(REFUSED in str(event.event_specific_data) for event in found.all_events if event.is_step_failure)


def test_a_bucket_of_a_later_format_is_refused_by_dagster_and_workers(server: S3Server, tmp_path: Path) -> None:
    lake = Lake(tmp_path, Config(), f"s3://{BUCKET}/{secrets.token_hex(4)}")
    lake.store.write(FORMAT_FILE, json.dumps({"format": FORMAT + 1}).encode())
    with pytest.raises(LakeError, match="made by a later version"):
        LakeResource(root=str(lake.root), url=lake.url).lake()
    with pytest.raises(LakeError, match="made by a later version"):
        publish(lake, OLD)
    assert lake.dates(ALL_KINDS) == []


# --------------------------------------------------------------------------------------------- lakes of before, and races


def test_a_lake_without_a_name_is_its_books(tmp_path: Path) -> None:
    """As an earlier version left it: the contract of its latest book tells. The next partition writes it down."""
    lake = Lake(tmp_path / "lake", build.CONFIG)
    build.landing_of_a_date(lake.root)
    ingest_date(Intake(DATE, lake, Landing(lake.root / "landing", lake.config)))
    for left in ('{"format": 1}', None):
        (lake.root / FORMAT_FILE).unlink()
        if left:
            (lake.root / FORMAT_FILE).write_text(left)
        with pytest.raises(LakeError, match="holds ES, but the settings are those of MES"):
            opened(config_of("MES"), lake.root)
        publish(lake, OLD)
        assert said(lake)["instrument"] == ES


def _first(root: Path, url: str, name: str, start: Any, told: Any) -> None:
    start.wait(60)
    try:
        publish(Lake(root / (name if url else ""), config_of(name), url), OLD)
        told.put((name, ""))
    except LakeError as error:
        told.put((name, str(error)))


def test_of_two_that_begin_a_lake_at_once_one_does(lake: Lake) -> None:
    context = multiprocessing.get_context("spawn")
    start, told = context.Barrier(2), context.Queue()
    both = [context.Process(target=_first, args=(lake.root, lake.url, name, start, told)) for name in ("ES", "NQ")]
    for process in both:
        process.start()
    found = dict(told.get(timeout=60) for _ in both)
    for process in both:
        process.join()
    [winner] = [name for name, error in found.items() if not error]
    [error] = [error for error in found.values() if error]
    assert said(lake)["instrument"] == f"GLBX.MDP3 {winner}" and f"holds GLBX.MDP3 {winner}" in error


def test_a_copy_is_of_one_instrument_and_says_so(tmp_path: Path) -> None:
    lakes = [Lake(tmp_path / name, config_of(name)) for name in ("ES", "NQ")]
    for lake in lakes:
        publish(lake, OLD)
    back_up(lakes[0], tmp_path / "dagster", tmp_path / "copy")
    with pytest.raises(LakeError, match=f"copy {REFUSED}"):
        back_up(lakes[1], tmp_path / "dagster", tmp_path / "copy")
    shutil.rmtree(lakes[0].root)
    shutil.copytree(tmp_path / "copy", lakes[0].root)
    with pytest.raises(LakeError, match=REFUSED):
        Lake(lakes[0].root, config_of("NQ"))


def test_a_step_of_a_migration_keeps_the_name(tmp_path: Path) -> None:
    publish(Lake(tmp_path, load()), OLD)
    write_format(Disk(tmp_path), FORMAT + 1)
    assert format_of(Disk(tmp_path)) == FORMAT + 1
    assert json.loads((tmp_path / FORMAT_FILE).read_text())["instrument"] == ES
