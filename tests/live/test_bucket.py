"""Live beside a lake on object storage, as processes: what it says, captures, and tells of a date is what it is on a disk."""

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from spymaster_assets.cli import main as spymaster
from spymaster_assets.config import load
from spymaster_assets.ingest import Ingested, Intake, ingest_date
from spymaster_assets.lake import Lake
from spymaster_assets.landing import landing_of
from spymaster_assets.maker import Maker
from spymaster_assets.sharing import share
from spymaster_assets.silver import SILVER_STAGES
from spymaster_assets.tables import SIGNALS
from spymaster_live import server
from tests.live.rig import small_lake
from tests.live.test_together import DATE, ROOT
from tests.s3_server import BUCKET, S3Server, reached, serving


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with serving(tmp_path_factory.mktemp("server")) as found, reached(found):
        yield found


@pytest.fixture(scope="module")
def lake(store: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A machine that has made and shared a date."""
    first = small_lake(tmp_path_factory.mktemp("first"), DATE, 5_000)
    made = Lake(first, load(first / "short.toml"), f"s3://{BUCKET}/lake")
    share(made)
    assert all(isinstance(one, Ingested) for one in ingest_date(Intake(DATE, made, landing_of(made))).values())
    for stage in SILVER_STAGES:
        Maker(DATE, made).make(stage)
    return made


def environment(lake: Lake, folder: Path) -> dict[str, str]:
    """That of a machine which has nothing of the lake."""
    settings = {"SPYMASTER_DATA": lake.url, "SPYMASTER_LOCAL": str(folder), "SPYMASTER_CONFIG": str(lake.root / "short.toml")}
    return {**os.environ, **settings}


def asked(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
        return orjson.loads(answer.read())


@pytest.mark.slow
def test_a_machine_with_nothing_runs_live_as_on_a_disk_and_shows_its_dates(lake: Lake, tmp_path: Path) -> None:
    """Feed from what was shared, engine, writer, gateway, and the same bytes as the bucket's Silver; then the capture goes there"""
    here, port = tmp_path / "machine", server.free_port()
    words = ["all", "--speed", "0", "--until-done", "--capture", "--port", str(server.free_port()), "--gateway-port", str(port)]
    with subprocess.Popen([sys.executable, "-m", "spymaster_live", *words], cwd=ROOT, env=environment(lake, here),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:  # fmt: skip
        dates = None
        while dates is None and process.poll() is None:
            try:
                dates = asked(port, "/api/dates")["dates"]
                moment = asked(port, f"/api/moment?date={DATE}&k={16 * 3600 * 4}")  # 10:00, as the bucket has it
            except OSError:
                time.sleep(0.2)
        said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "the same bytes as Dagster's Silver" in said and "is handed over by run" in said, said
    assert dates == [str(DATE)] and moment["signals"][0]["snap"] == 16 * 3600 * 4
    assert {path.name for path in here.iterdir()} <= {"lake.json", "cache", "capture", "landing", "landing_index.json", "nats"}
    assert f"spymaster share brings it to {lake.url}" in said
    assert not [path for path in here.rglob("*.parquet") if "silver" in path.parts and "cache" not in path.parts]
    shutil.rmtree(here / "cache")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(lake, here).items():
            patch.setenv(name, value)
        done = CliRunner().invoke(spymaster, ["share"])
    assert done.exit_code == 0, done.output
    third = Lake(tmp_path / "third", lake.config, lake.url)
    assert {file.origin for file in landing_of(third).scan()} == {"vendor", "capture"} and third.manifest(SIGNALS, DATE)


@pytest.mark.parametrize("words", [("engine",), ("writer",), ("gateway", "--port", "0"), ("all",)], ids=lambda words: words[0])
def test_a_bucket_that_is_away_is_one_sentence(lake: Lake, tmp_path: Path, words: tuple[str, ...]) -> None:
    away = environment(lake, tmp_path) | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}
    done = subprocess.run([sys.executable, "-m", "spymaster_live", *words], cwd=ROOT, env=away, capture_output=True, text=True,
                          timeout=120, check=False)  # fmt: skip
    assert done.returncode == 1 and "127.0.0.1:9" in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 1
