"""Ten minutes of live with clients that come and go: memory stays, files are closed, nobody falls behind, the rows are right."""

import asyncio
import random
import shutil
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from spymaster_live import bus, capture
from spymaster_live.client import Stream
from spymaster_live.gateway.guard import PROTOCOL
from tests.live.asking import TOKEN, Asked
from tests.live.chaos import NAMES, begin, left, mirrored
from tests.live.rig import Rig, make_silver, rig, small_lake
from tests.live.test_faults import DATE, wait_for

SECONDS, WARM = 600.0, 120.0  # of the soak, and of it before anything is judged
CLIENTS = 30  # at once
GROWTH = 64 << 20  # bytes of memory that a process may gain once it is warm
BEHIND = 100  # messages of MARKET that an engine may not have read
LATE = 10.0  # seconds between two batches on disk
ROOMY = "[live.gateway]\nconnects_per_second = 1000.0\nrequests_per_second = 1000.0\nclients_per_address = 1000\n"


async def visits(port: int, seed: int, end: float) -> tuple[int, int]:
    """One client after the other until `end`: some read what comes, some read nothing, some leave at once; visits and messages."""
    chance, count, told = random.Random(seed), 0, 0
    protocols = [Subprotocol(PROTOCOL), Subprotocol(f"token.{TOKEN}")]
    while time.monotonic() < end:
        stay, count = chance.choice((0.0, 2.0, 10.0, 30.0)), count + 1
        with suppress(OSError, TimeoutError, WebSocketException):
            if chance.random() < 0.3:
                async with connect(f"ws://127.0.0.1:{port}/ws/stream", subprotocols=protocols, compression=None, max_size=None):
                    await asyncio.sleep(stay)
                continue
            async with Stream(f"ws://127.0.0.1:{port}", TOKEN) as stream:
                with suppress(TimeoutError):
                    async with asyncio.timeout(stay + 0.1):
                        async for _ in stream:
                            told += 1
    return count, told


def measured(live: Rig) -> dict[str, tuple[int, int]]:
    """Bytes of memory and open files of every process."""
    found = {name: psutil.Process(live.processes[name].pid) for name in NAMES}
    return {name: (process.memory_info().rss, process.num_fds()) for name, process in found.items()}


async def watched(live: Rig, gateway: Asked, folder: Path, end: float, seen: dict[str, list[tuple[int, int]]]) -> list[str]:
    """Measure all processes every 5 s until `end`; what was wrong meanwhile with the gateway, or the capture in `folder`."""
    wrong: list[str] = []
    while time.monotonic() < end:
        await asyncio.sleep(5)
        for name, one in measured(live).items():
            seen[name].append(one)
        status, told, _ = await asyncio.to_thread(gateway.ask, "/readyz")
        latest = max(path.stat().st_mtime for path in capture.manifests(folder, bus.MARKET))
        wrong += [str(told)] * (status != 200) + [f"the disk is {time.time() - latest:.0f} s behind"] * (
            time.time() - latest > LATE
        )
    return wrong


@pytest.mark.slow
def test_ten_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPYMASTER_GATEWAY_TOKEN", TOKEN)
    lake = tmp_path / "lake"
    lake.mkdir()
    small_lake(lake, DATE, 20_000)
    (lake / "short.toml").write_text(ROOMY)  # signals of the whole window
    make_silver(lake, DATE)
    with rig(lake, tmp_path / "live", {"": lake / "short.toml"}) as live:
        gateway = begin(live, DATE, "--speed", "20", "--from", "09:30")
        wait_for(live, lambda one: one.get("snap", 0) > 223_300)
        folder = lake / capture.FOLDER / str(DATE) / live.run()
        seen: dict[str, list[tuple[int, int]]] = defaultdict(list)

        async def work() -> tuple[list[str], list[tuple[int, int]]]:
            end = time.monotonic() + SECONDS
            found, *visited = await asyncio.gather(
                watched(live, gateway, folder, end, seen), *(visits(gateway.port, seed, end - 10) for seed in range(CLIENTS))
            )
            return found, visited

        wrong, visited = asyncio.run(work())
        behind = [one["behind"] for one in live.status() if one.get("snap", 0) > 223_300 and one["behind"] is not None]
        live.control(do="speed", speed=0)
        live.finish(900)
        rows = live.compared(DATE)
        gateway.until(lambda told: told.get("rest") == "the date is over" and told["clients"] == 0)
        assert mirrored(live, gateway) == {}
        found = left(live, DATE)
    warm = round(len(seen["engine"]) * WARM / SECONDS)
    came, told = (sum(one[number] for one in visited) for number in (0, 1))
    print(f"{came:,} visits, {told:,} messages told, behind at most {max(behind)}, rows {rows}")
    for name, those in seen.items():
        memory, files = ([one[number] for one in those[warm:]] for number in (0, 1))
        print(f"{name}: MB {[round(one / 2**20) for one in (memory[0], max(memory), memory[-1])]} warm, at most, at last")
        print(f"{name}: open files {min(files)} to {max(files)}")
        assert max(memory) - memory[0] < GROWTH, name
        assert max(files) - min(files) <= (CLIENTS if name == "gateway" else 2), name
    assert wrong == []
    assert max(behind) <= BEHIND
    assert min(rows.values()) > 0 and found.repeated == found.lost == found.buried == 0
    shutil.rmtree(lake)
