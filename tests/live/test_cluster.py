"""A bus of three servers, whose leaders are killed in the midst of a replay: nothing is lost, doubled or out of order."""

import asyncio
import datetime as dt
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from nats.aio.client import Client

from spymaster_assets.config import load
from spymaster_assets.lake import Lake
from spymaster_live import bus, capture, messages, server
from spymaster_live.feed import moment, plan
from spymaster_live.keys import make
from spymaster_live.messages import CHANNELS, Message
from spymaster_live.serving import Serving
from tests.live.asking import TOKEN, said
from tests.live.chaos import OFTEN, _market, _records, begin, captured_lines, landed, mirrored
from tests.live.cluster import NODES, Cluster, cluster
from tests.live.rig import short, small_lake

DATE = dt.date(2025, 6, 3)


def test_the_configuration_of_a_cluster_is_one_that_the_server_takes(tmp_path: Path) -> None:
    make(tmp_path)
    words = ["-c", "nats-cluster.conf", "-n", "nats-1", "--cluster", "nats://127.0.0.1:6222", "--routes", "nats://127.0.0.1:6223"]
    done = subprocess.run(
        [server.program(), "-t", *words, "-sd", str(tmp_path / "bus")], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0 and "is valid" in done.stdout + done.stderr, done.stderr


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_lake(tmp_path_factory.mktemp("lake"), DATE, 5_000, silver=True)


def past(live: Cluster, snap: int, seconds: float = 60) -> None:
    """Wait until the engine has said something about a snap."""
    end = time.monotonic() + seconds
    while True:
        with live.being("engine"):
            latest = live.ask(lambda client: bus.patiently(lambda: bus.last(client, bus.LEVELS, messages.LEVELS_SIGNALS)))
        if latest is not None and int((latest.headers or {})["Snaps"].split("-")[1]) >= snap:
            return
        assert time.monotonic() < end, live.log("engine")
        time.sleep(0.05)


def at(clock: str) -> int:
    """The snap that ends at a New York time."""
    hours, minutes = map(int, clock.split(":"))
    return ((hours + 6) * 60 + minutes) * 240


@pytest.mark.slow
def test_leaders_that_die_lose_and_double_nothing(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First the one that leads MARKET, then the one that leads LEVELS; each comes back, with its disk, a moment later."""
    monkeypatch.setenv("SPYMASTER_GATEWAY_TOKEN", TOKEN)
    shutil.copytree(lake, tmp_path / "lake")
    config = short(tmp_path / "three.toml", f"{OFTEN}frame_ms = 50.0\nreplicas = 3\n")
    with cluster(tmp_path / "lake", tmp_path, {"": config}) as live:
        gateway = begin(live, DATE, "--speed", "400", "--from", "09:28")
        for stream, till in ((bus.MARKET, "09:38"), (bus.LEVELS, "09:52")):
            past(live, at(till))
            dying = live.leader(stream)
            live.kill(dying)
            died = time.monotonic()
            assert live.leader(stream, but=dying) in NODES
            past(live, at(till) + 240)
            print(f"{stream}: {dying} died, the next minute was told {time.monotonic() - died:.1f} s later")
            live.start(dying)
        with live.being("control"):
            live.control(do="speed", speed=0)
        live.finish()
        gateway.until(lambda told: told.get("rest") == "the date is over" and told["ok"])
        with live.being("engine"):  # may read both streams
            market, told, everything = live.ask(_market), live.said(), said(live)
            assert min(live.compared(DATE).values()) > 0
            assert mirrored(live, gateway) == {}
            run = live.run()
            replicas = [live.ask(lambda client, name=name: client.jsm().stream_info(name)) for name in (bus.MARKET, bus.LEVELS)]
        here = Lake(live.lake, load(config))
        planned = plan(here, DATE, 400, begin=moment("09:28", DATE, here.config)).messages(run)
        assert market == [(one.id, one.headers.get("Hash", "")) for one in (item.message() for item in planned)]
        assert len(told.ids) == len(set(told.ids))
        spans = [headers["Snaps"] for _, subject, headers, _ in everything if subject == messages.LEVELS_SIGNALS]
        firsts = [int(span.split("-")[0]) for span in spans]
        assert firsts == sorted(set(firsts)) and len(firsts) > 100  # in order, too
        folder = live.lake / capture.FOLDER / str(DATE) / run
        assert captured_lines(folder) == [told.lines[snap] for snap in sorted(told.lines)] and capture.verify(folder) == []
        assert {channel: _records(folder / channel)[0] for channel in CHANNELS} == landed(Lake(lake, here.config), DATE)
        assert [len((one.cluster and one.cluster.replicas) or ()) for one in replicas] == [2, 2]
        assert live.kills == 2


@pytest.mark.slow
def test_what_the_engine_says_stays_in_order_when_a_leader_dies_with_some_of_it(tmp_path: Path) -> None:
    """Its own server lives, so that no connection breaks: what was on its way is lost, and what is said next comes behind it."""

    async def work(client: Client, dying: str) -> list[str]:
        out, said = Serving(client, live.config())._out, [Message("levels.x", {"Nats-Msg-Id": str(n)}, b"") for n in range(8)]
        await out.put(said[0])
        await out.flush()
        live.signal(dying, signal.SIGSTOP)
        another = asyncio.Event()

        async def say() -> None:
            for one in said[1:4]:
                await out.put(one)
            await another.wait()
            for one in said[4:]:
                await out.put(one)
            await out.flush()

        saying = asyncio.create_task(say())
        await asyncio.sleep(0.5)  # they lie in its socket
        live.kill(dying)
        while True:
            info = await bus.patiently(lambda: client.jsm().stream_info(bus.LEVELS))
            if info.cluster and info.cluster.leader not in (None, "", dying):
                break
            await asyncio.sleep(0.1)
        another.set()
        await saying
        assert client.stats["reconnects"] == 0 and await bus.last_sequence(client, bus.LEVELS) == len(said)
        return [((await client.jsm().get_msg(bus.LEVELS, seq=1 + n)).headers or {})["Nats-Msg-Id"] for n in range(len(said))]

    (tmp_path / "three.toml").write_text("[live]\nreplicas = 3\n")
    with cluster(tmp_path / "lake", tmp_path, {"": tmp_path / "three.toml"}) as live:
        dying = live.leader(bus.LEVELS)
        others = ",".join(f"nats://127.0.0.1:{port}" for node, (port, _) in live.ports.items() if node != dying)

        async def connected() -> list[str]:
            async with bus.connected(others, "test") as client:
                return await work(client, dying)

        with live.being("engine"):
            assert asyncio.run(asyncio.wait_for(connected(), 60)) == [str(n) for n in range(8)]


@pytest.mark.slow
def test_three_copies_of_one_server_are_refused_with_a_sentence(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from spymaster_live.__main__ import main

    (tmp_path / "three.toml").write_text("[live]\nreplicas = 3\n")
    port = server.free_port()
    alone = server.start(port, tmp_path / "nats")
    try:
        server.wait(port)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SPYMASTER_CONFIG", str(tmp_path / "three.toml"))
            done = CliRunner().invoke(main, ["provision", "--nats", f"nats://127.0.0.1:{port}"])
        assert done.exit_code == 1 and "the server says: replicas > 1 not supported" in done.stderr, done.output
    finally:
        alone.kill()
        alone.wait()
