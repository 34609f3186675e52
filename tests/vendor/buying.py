"""`spymaster download` run in a test, and what it left in landing."""

import datetime as dt
import json
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
from click.testing import CliRunner, Result

from spymaster_assets import dbn
from spymaster_assets.cli import main
from spymaster_assets.config import load
from spymaster_assets.definitions import build
from spymaster_assets.lake import MANIFEST
from spymaster_assets.landing import Landing
from tests.vendor.historical import Historical

DATE = dt.date(2025, 6, 3)
ROLL = [dt.date(2025, 6, 12), dt.date(2025, 6, 13)]  # on the 12th, volume moves from ESM5 to ESU5
HOLIDAY = [dt.date(2025, 6, 18), dt.date(2025, 6, 20)]  # the 19th is a holiday
HALF = dt.date(2025, 7, 3)  # closes at 13:00 New York time
NAMES = ["definitions", "futures_mbp10-ESM5", "futures_trades", "option_quotes", "option_statistics", "option_trades"]
SETTINGS = """
[vendor]
gateway = "{gateway}"
retries = 3
retry_seconds = 0.01
poll_seconds = 0.01
wait_seconds = {wait}
timeout_seconds = 5
{more}
[quality]  # thin dates may pass
covered_share_min = 0.3
silent_share_max = 0.5
geometry_z_max = 50.0
resolved_share_max = 1.0
censored_share_max = 1.0
"""


def configure(double: Historical, folder: Path, monkeypatch: pytest.MonkeyPatch, more: str = "", wait: float = 60) -> None:
    settings = folder / "settings.toml"
    settings.write_text(SETTINGS.format(gateway=double.gateway, more=more, wait=wait))
    monkeypatch.setenv("SPYMASTER_CONFIG", str(settings))


def spymaster(root: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--data", str(root), *words], catch_exceptions=False)


def download(root: Path, dates: Sequence[dt.date], *words: str, schemas: str = "") -> Result:
    more = ("--schemas", schemas) if schemas else ()
    return spymaster(root, "download", "--from", str(dates[0]), "--to", str(dates[-1]), *more, *words)


def materialize(root: Path, usd: float | None = None) -> dg.ExecuteInProcessResult:
    config = {} if usd is None else {"ops": {"vendor__download": {"config": {"usd": usd}}}}
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        return (
            build(root)
            .resolve_job_def("download_job")
            .execute_in_process(instance=instance, partition_key=str(DATE), raise_on_error=False, run_config={**config, **quiet})
        )


def landing_of(root: Path) -> Landing:
    return Landing(root / "landing", load())


def contents(root: Path) -> dict[str, bytes]:
    """Every file in landing by its path, what is on its way left out."""
    paths = [path for path in (root / "landing").rglob("*") if path.is_file() and ".download" not in path.parts]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def on_its_way(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "landing").rglob(".download/*/*") if path.name != ".lock")


def records(root: Path, date: dt.date, name: str) -> np.ndarray:
    """The records of a downloaded file."""
    path = root / "landing" / "download" / str(date) / f"{name}.dbn.zst"
    schema = dbn.read_header(path).schema
    assert schema is not None
    return np.concatenate([chunk.copy() for chunk in dbn.read(path, schema)])


def utc(text: str) -> int:
    return int(dt.datetime.fromisoformat(f"{text}+00:00").timestamp()) * 10**9


def without_costs(files: dict[str, bytes]) -> dict[str, object]:
    """Contents of landing; of manifests, what does not depend on how a file came."""
    found: dict[str, object] = {}
    for name, raw in files.items():
        kept = ("bytes", "digest", "records", "request")
        found[name] = (
            {one: {key: entry[key] for key in kept} for one, entry in json.loads(raw)["files"].items()}
            if name.endswith(MANIFEST)
            else raw
        )
    return found
