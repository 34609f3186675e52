"""Feed, engine, writer, gateway and server are killed at random moments: what a run leaves is what an undisturbed one leaves.

One seed is tried every time; `make test-slow` tries the others, and makes Silver of what each of them handed over.
"""

import dataclasses
import datetime as dt
import random
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest

from spymaster_assets.config import load
from spymaster_assets.ingest import Intake, ingest_date
from spymaster_assets.lake import Lake
from spymaster_assets.landing import Landing
from spymaster_assets.tables import BRONZE, SILVER
from tests.live.asking import TOKEN
from tests.live.chaos import OFTEN, Killing, Left, begin, landed, left, mirrored
from tests.live.rig import make_silver, rig, short, small_lake

DATE = dt.date(2025, 6, 3)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small date with its Silver and an hour of signals."""
    return small_lake(tmp_path_factory.mktemp("lake"), DATE, 5_000, silver=True)


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPYMASTER_GATEWAY_TOKEN", TOKEN)


def ran(lake: Path, folder: Path, seed: int | None) -> tuple[Left, Counter[str]]:
    """A run, with kills or without, in a lake of its own at `folder`/lake; what it left, and the kills by process."""
    shutil.copytree(lake, folder / "lake")
    with rig(folder / "lake", folder, {"": short(folder / "often.toml", f"{OFTEN}frame_ms = 50.0\n")}) as live:
        chance = random.Random(seed)
        killing = Killing(live, chance, 0 if seed is None else chance.randint(7, 10), (0.3, 2.0))
        gateway = begin(live, DATE, "--speed", "400", "--from", "09:28")  # frames of 20 s; the hour of signals in 9 s
        while killing.left > 2:
            killing()
            time.sleep(0.02)
        killing.spare("feed")  # started again it would be slow
        live.control(do="speed", speed=0)
        live.finish(meanwhile=killing)  # the last two, if there is still somebody
        told = gateway.until(lambda told: told.get("rest") == "the date is over" and told["ok"])  # soon after the last kill
        assert told["why"] is None
        assert mirrored(live, gateway) == {}
        assert min(live.compared(DATE).values()) > 0
        return left(live, DATE), killing.counts


@pytest.fixture(scope="module")
def undisturbed(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Left:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPYMASTER_GATEWAY_TOKEN", TOKEN)
        found, _ = ran(lake, tmp_path_factory.mktemp("quiet"), None)
    assert found.records == landed(Lake(lake, load(lake / "short.toml")), DATE)
    assert set(found.handed_over) >= {"futures_mbp10.dbn.zst", "clock.parquet", "run.json"}
    assert found.repeated == found.lost == found.buried == 0
    return found


def same_silver(lake: Path, folder: Path) -> int:
    """Make Bronze and Silver of what was handed over, and of nothing else; rows that are the vendor's."""
    root = folder / "handed"
    shutil.copytree(folder / "lake" / "landing" / "capture", root / "landing" / "capture")
    shutil.copy(lake / "short.toml", root)
    mine, theirs = (Lake(one, load(lake / "short.toml")) for one in (root, lake))
    ingest_date(Intake(DATE, mine, Landing(root / "landing", mine.config)))
    make_silver(root, DATE)
    facts = [(mine.manifest(table, DATE), theirs.manifest(table, DATE)) for table in (*BRONZE, *SILVER)]
    assert all(a and b and (a.rows, a.content) == (b.rows, b.content) for a, b in facts)
    return sum(a.rows for a, _ in facts if a)


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 21))])
def test_kills_leave_nothing_behind(seed: int, undisturbed: Left, lake: Path, tmp_path: Path) -> None:
    found, kills = ran(lake, tmp_path, seed)
    assert dataclasses.asdict(found) == dataclasses.asdict(undisturbed)
    rows = same_silver(lake, tmp_path) if seed > 1 else 0
    print(f"seed {seed}: kills {dict(kills)}, {found.counts}, repeated {found.repeated}, lost {found.lost}, Silver {rows:,} rows")
    shutil.rmtree(tmp_path)
