"""A backup where the tables are on object storage: what is on the machine is copied, and where the rest is stands in a sentence."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from spymaster_assets.cli import main
from spymaster_assets.config import Config
from spymaster_assets.lake import Lake
from spymaster_assets.models.artifacts import Artifacts
from tests.kinds import ALL_KINDS, OLD, publish
from tests.s3_server import BUCKET, S3Server, reached, serving


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with serving(tmp_path_factory.mktemp("server")) as found, reached(found):
        yield found


@pytest.mark.usefixtures("server")
def test_models_and_landing_of_the_machine_are_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(tmp_path / "machine", Config(), f"s3://{BUCKET}/lake")
    publish(lake, OLD)
    champion = {"name": "geometry", "since": None, "why": "a test", "verdicts": []}
    Artifacts(lake).crown(champion)
    (lake.root / "landing").mkdir()
    (lake.root / "landing" / "kept.dbn").write_bytes(b"DBN")
    monkeypatch.setenv("SPYMASTER_DATA", lake.url)
    monkeypatch.setenv("SPYMASTER_LOCAL", str(lake.root))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    done = CliRunner().invoke(main, ["backup", str(tmp_path / "copy"), "--landing"])
    assert done.exit_code == 0 and f"{lake.url} is not in it: back up the bucket too" in done.output
    restored = Lake(tmp_path / "copy", Config(), lake.url)
    assert Artifacts(restored).champion() == Artifacts(lake).champion()
    assert (restored.root / "landing" / "kept.dbn").read_bytes() == b"DBN"
    assert restored.manifest(ALL_KINDS, lake.dates(ALL_KINDS)[0]) and not (restored.root / "cache").exists()
