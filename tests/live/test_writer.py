"""The writer with real processes: what it captured is what was on the bus and in landing, whatever happened to it, byte for byte."""

import datetime as dt
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import databento
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from nats.aio.client import Client

from spymaster_assets import dbn
from spymaster_assets.ingest import Intake, ingest_date
from spymaster_assets.lake import Lake, to_numpy
from spymaster_assets.landing import Landing
from spymaster_assets.schema import TEXT
from spymaster_assets.tables import BRONZE, FUTURES_MBP10
from spymaster_live import bus, capture, messages
from spymaster_live.handover import captured, hand_over
from spymaster_live.messages import CHANNELS, ROWS
from tests.live.rig import Rig, make_silver, rig, short, small_lake

DATE = dt.date(2025, 6, 3)
OFTEN = "[live]\ncapture_seconds = 0.2\ncapture_bytes = 2000000\n"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small date with its Silver and an hour of signals."""
    root = small_lake(tmp_path_factory.mktemp("lake"), DATE, 20_000)
    make_silver(root, DATE)
    return root


@pytest.fixture(scope="module")
def killed(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A date with an engine and a writer that was killed again and again while it wrote often; its capture lies beside the lake."""
    folder = tmp_path_factory.mktemp("live")
    own = folder / "own"
    shutil.copytree(lake, own)
    rng = random.Random(7)
    with rig(own, folder, {"": short(folder / "often.toml", OFTEN)}) as live:
        live.feed(DATE, "--speed", "0")
        live.engine()
        live.start("writer", "writer", "--until-done")
        due = time.monotonic()

        def kill() -> None:
            nonlocal due
            if time.monotonic() > due and live.kills < 12 and live.processes["writer"].poll() is None:
                live.kill("writer")
                live.start("writer")
                due = time.monotonic() + rng.uniform(0.2, 1.2)

        live.finish(meanwhile=kill)
        yield live


def run_of(live: Rig) -> Path:
    return live.lake / "capture" / str(DATE) / live.run()


def records_of(folder: Path, channel: str) -> bytes:
    """The records of a channel as its segments hold them."""
    paths = sorted((folder / channel).glob("*.dbn.zst"), key=capture.span)
    schemas = [dbn.read_header(path).schema for path in paths]
    return b"".join(chunk.tobytes() for path, schema in zip(paths, schemas, strict=True) for chunk in dbn.read(path, schema or ""))


def landed(root: Path, channel: str) -> bytes:
    """The records of a channel as landing's files of the date have them."""
    config = Lake(root, live_config(root)).config
    intake = Intake(DATE, Lake(root, config), Landing(root / "landing", config))
    table = next(table for table in BRONZE if table.name == channel)
    return b"".join(chunk.tobytes() for chunk in intake.records(table))


def live_config(root: Path):
    from spymaster_assets.config import load

    return load(root / "short.toml")


def test_records_are_those_of_landing_whenever_the_writer_was_killed(killed: Rig, lake: Path) -> None:
    assert killed.kills >= 5
    folder = run_of(killed)
    for channel in CHANNELS:
        assert records_of(folder, channel) == landed(lake, channel) != b"", channel
