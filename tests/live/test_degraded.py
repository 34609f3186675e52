"""Parts that stand still, end, or have no disk: what is told meanwhile, and that nothing of it shows afterwards.

One replay, with wall clocks that leap an hour and back every second; the tests stand in the order in which it is disturbed.
"""

import datetime as dt
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from nats.aio.client import Client

from spymaster_assets.lake import Lake
from spymaster_live import bus, capture, messages
from spymaster_live.engine import Engine
from spymaster_live.feed import plan
from spymaster_live.messages import LEVELS_SIGNALS, digest
from tests.disks import disk
from tests.live.asking import TOKEN, Asked, heard_until, start
from tests.live.chaos import OFTEN, begin, captured_lines, landed, left, mirrored
from tests.live.rig import Rig, rig, short, small_lake
from tests.live.test_faults import DATE, wait_for

SOON = f"{OFTEN}[live.gateway]\nstale_seconds = 2.0\nrequests_per_second = 1000.0\n"


@pytest.fixture(scope="module", autouse=True)
def token() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPYMASTER_GATEWAY_TOKEN", TOKEN)
        yield


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_lake(tmp_path_factory.mktemp("lake"), DATE, 5_000, silver=True)


@pytest.fixture(scope="module")
def live(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("live")
    shutil.copytree(lake, folder / "lake")
    with rig(folder / "lake", folder, {"": short(folder / "soon.toml", SOON)}, leaps=True) as made:
        yield made


@pytest.fixture(scope="module")
def gateway(live: Rig) -> Asked:
    asked = paced(live, 20)
    asked.until(lambda told: told.get("ok") is True)
    return asked


def paced(live: Rig, speed: float) -> Asked:
    """All of live over the date, in frames of 20 s, from 09:31 on at a speed; the gateway."""
    asked = begin(live, DATE, "--speed", "1000", "--from", "09:31", "--paused", gateway=("--writer",))
    wait_for(live, lambda one: one.get("snap", 0) > 223_200)
    live.control(do="speed", speed=speed)
    live.control(do="start")
    return asked


def unwell(gateway: Asked, *words: str) -> None:
    """Wait until /readyz says one of the words."""
    gateway.until(lambda told: told.get("ok") is False and any(word in told["why"] for word in words))
    assert gateway.ask("/readyz")[0] == 503


def well(gateway: Asked) -> None:
    gateway.until(lambda told: told.get("ok") is True)


SILENT = "the engine has said nothing", "does not answer", "is not connected"


@pytest.mark.parametrize(
    ("name", "seconds", "words"),
    [
        ("feed", 0, ("no feed answers",)),
        ("engine", 0, SILENT[:1]),
        ("writer", 0, ("no writer answers",)),
        ("nats-server", 17, SILENT),
    ],
)
def test_what_stands_still_is_told(live: Rig, gateway: Asked, name: str, seconds: float, words: tuple[str, ...]) -> None:
    """A server that answers nothing for 17 s is noticed as soon as one that is dead."""
    live.signal(name, signal.SIGSTOP)
    started = time.monotonic()
    unwell(gateway, *words)
    assert time.monotonic() - started < 12
    time.sleep(max(0.0, started + seconds - time.monotonic()))
    live.signal(name, signal.SIGCONT)
    well(gateway)


def test_who_stands_still_goes_on(live: Rig, gateway: Asked) -> None:
    """The writer and the gateway itself: what came meanwhile is there a moment later."""
    folder = live.lake / capture.FOLDER / str(DATE) / live.run()
    for name in ("writer", "gateway"):
        live.signal(name, signal.SIGSTOP)
    time.sleep(1.5)
    captured = len(capture.manifests(folder, bus.LEVELS))
    for name in ("writer", "gateway"):
        live.signal(name, signal.SIGCONT)
    well(gateway)
    end = time.monotonic() + 20
    while len(capture.manifests(folder, bus.LEVELS)) == captured:
        assert time.monotonic() < end, "the writer does not go on"
        time.sleep(0.1)


def test_a_writer_that_was_killed_is_missed_where_there_has_to_be_one(live: Rig, gateway: Asked) -> None:
    """A gateway that was not told to expect one is well without; both tell it beside the engine's status."""
    other = start(live, "unaware")
    other.until(lambda told: told.get("ok") is True and told["writer"] == {"ok": True, "why": None})
    live.kill("writer")
    unwell(gateway, "no writer answers for")
    other.until(lambda told: told["writer"] is None)
    assert other.until(lambda told: told["rest"] is None)["ok"]
    with gateway.stream("?topics=status") as stream:
        assert heard_until(stream, lambda one: one["type"] == "status")[-1]["data"]["writer"] is None
    live.kill("unaware")
    live.processes.pop("unaware")
    live.start("writer")
    well(gateway)
    with gateway.stream("?topics=status") as stream:
        assert heard_until(stream, lambda one: one["type"] == "status")[-1]["data"]["writer"] == {"ok": True, "why": None}


def test_a_second_writer_ends_at_once_and_says_why(live: Rig, gateway: Asked) -> None:
    live.start("other", "writer")
    live.processes["other"].wait(30)
    assert live.processes.pop("other").poll() == 1 and "a writer is at work" in live.log("other")
    assert live.processes["writer"].poll() is None


@pytest.mark.parametrize("name", ["gateway", "writer", "engine", "feed", "nats-server"])
def test_a_graceful_stop_is_soon_and_leaves_nothing(live: Rig, gateway: Asked, name: str) -> None:
    """SIGTERM: within 5 s, with exit code 0, no temporary file and no lock; started again it goes on."""
    process, started = live.processes[name], time.monotonic()
    live.signal(name, signal.SIGTERM)
    process.wait(10)
    assert process.poll() == 0 and time.monotonic() - started < 5
    if name == "writer":  # while it runs it may be writing one
        assert [path for path in live.lake.rglob("*") if path.name.endswith(".tmp")] == []
    live.start(name)
    well(gateway)


def test_nothing_of_it_shows(live: Rig, gateway: Asked, lake: Path) -> None:
    live.control(do="speed", speed=0)
    live.control(do="start")
    live.finish()
    recovered(live, gateway, lake)


def recovered(live: Rig, gateway: Asked, lake: Path) -> None:
    """Whether everything is as without a fault."""
    assert min(live.compared(DATE).values()) > 0
    gateway.until(lambda told: told.get("rest") == "the date is over" and told["run"] == live.run())
    assert mirrored(live, gateway) == {}
    found, vendors = left(live, DATE), Lake(lake, live.config())
    assert found.records == landed(vendors, DATE)
    assert found.lines == undisturbed(vendors)
    assert found.repeated == found.lost == found.buried == 0
    assert {"futures_mbp10.dbn.zst", "clock.parquet", "run.json"} <= set(found.handed_over)


def undisturbed(lake: Lake) -> str:
    """Hash of the payloads of the date, from an engine without a bus."""
    engine, planned = Engine(lake.config), plan(lake, DATE, 0)
    said = [one for item in planned.messages(f"{DATE}.1") for one in engine.take(item) if one.subject == LEVELS_SIGNALS]
    return digest(b"\n".join(line for one in said for line in one.data.splitlines()))


@pytest.mark.slow
def test_a_stream_that_is_gone_and_made_anew_gets_a_new_run(lake: Path, tmp_path: Path) -> None:
    """MARKET is deleted in the midst of a run: the feed begins anew under another name, and everybody follows."""
    shutil.copytree(lake, tmp_path / "lake")
    with rig(tmp_path / "lake", tmp_path, {"": short(tmp_path / "soon.toml", SOON)}) as live:
        gateway = paced(live, 60)
        wait_for(live, lambda one: one.get("snap", 0) > 224_000)
        first = live.run()
        live.ask(lambda client: client.jsm().delete_stream(bus.MARKET))
        unwell(gateway, "the stream MARKET is gone")
        for _ in range(2):  # again changes nothing
            live.ask(lambda client: bus.provision(client, live.config()))
        live.control(do="speed", speed=0)
        live.finish()
        second = live.run()
        assert (first, second) == (f"{DATE}.1", f"{DATE}.2")
        recovered(live, gateway, lake)


@pytest.mark.slow
def test_levels_that_were_deleted_hold_the_whole_run_once_made_anew(lake: Path, tmp_path: Path) -> None:
    """The engine says everything again, the gateway tells it, and it is captured in a folder of its own."""
    shutil.copytree(lake, tmp_path / "lake")
    with rig(tmp_path / "lake", tmp_path, {"": short(tmp_path / "soon.toml", SOON)}) as live:
        gateway = paced(live, 60)
        wait_for(live, lambda one: one.get("snap", 0) > 224_000)
        live.ask(lambda client: client.jsm().delete_stream(bus.LEVELS))
        unwell(gateway, "the stream LEVELS is gone")
        live.ask(lambda client: bus.provision(client, live.config()))
        live.control(do="speed", speed=0)
        live.finish()
        assert min(live.compared(DATE).values()) > 0
        gateway.until(lambda told: told.get("rest") == "the date is over")
        assert mirrored(live, gateway) == {}
        first, again = capture.runs(live.lake / capture.FOLDER)
        said = live.said().lines
        assert (first.name, again.name) == (live.run(), f"{live.run()}~1")
        assert captured_lines(again) == [said[snap] for snap in sorted(said)]


def test_a_feed_in_whose_stream_another_run_began_ends_and_says_why(lake: Path, tmp_path: Path) -> None:
    with rig(lake, tmp_path, {"": lake / "short.toml"}) as live:
        live.feed(DATE, "--speed", "1000", "--from", "09:31", "--paused")
        while live.control(do="state")["new_york"] < f"{DATE} 09:31":
            time.sleep(0.1)
        live.start("other", "feed", "--date", str(DATE), "--speed", "0")
        live.processes["other"].wait(60)
        assert live.processes["other"].poll() == 0 and live.processes["feed"].poll() is None
        live.control(do="start")
        live.processes["feed"].wait(60)
        assert live.processes["feed"].poll() == 1 and "is another feed running?" in live.log("feed")


def flip(folder: Path, stream: str) -> None:
    """Flip a bit in the midst of the file that holds a stream's latest messages."""
    path = max(folder.glob(f"jetstream/*/streams/{stream}/msgs/*.blk"), key=lambda one: int(one.stem))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def test_a_message_that_was_damaged_is_passed_over(lake: Path, tmp_path: Path) -> None:
    """A server that was stopped in good order trusts its files, and finds out when it reads: that message alone is missing."""
    with rig(lake, tmp_path) as live:
        begun = dt.datetime.now(dt.UTC) - bus.BACK

        async def publish(client: Client) -> None:
            for number in range(5):
                about = {"Nats-Msg-Id": str(number), "Run": "r"}
                await client.jetstream().publish(messages.LEVELS_ROWS, bytes(10_000), headers=about)

        async def read(client: Client) -> tuple[list[int], set[str], list[int], int]:
            reader, found = bus.Reader(client, bus.LEVELS, 1), list[int]()
            for _ in range(3):
                found += [sequence for sequence, _ in await reader.read(0.2)]
            await reader.close()
            held = bus.held(client, bus.LEVELS, messages.LEVELS_ROWS, begun, 5)
            return (
                [one.metadata.sequence.stream async for one in held],
                await bus.ids_of(client, bus.LEVELS, "r", begun),
                found,
                reader.next,
            )

        live.ask(publish)
        live.signal("nats-server", signal.SIGTERM)
        live.processes["nats-server"].wait(10)
        [path] = (tmp_path / "nats").glob(f"jetstream/*/streams/{bus.LEVELS}/msgs/1.blk")
        content = bytearray(path.read_bytes())
        content[-3000] ^= 4
        path.write_bytes(content)
        live.start("nats-server")
        assert live.ask(read) == ([1, 2, 3, 4], {"0", "1", "2", "3"}, [1, 2, 3, 4], 5)


@pytest.mark.slow
@pytest.mark.parametrize("running", [("writer", "gateway"), ()], ids=["noticed", "found"])
def test_what_levels_lost_is_said_again_and_captured_once(lake: Path, tmp_path: Path, running: tuple[str, ...]) -> None:
    """The same of LEVELS, whose messages come again under other sequences: while writer and gateway run, and while they do not."""
    shutil.copytree(lake, tmp_path / "lake")
    with rig(tmp_path / "lake", tmp_path, {"": short(tmp_path / "soon.toml", SOON)}) as live:
        gateway = paced(live, 60)
        wait_for(live, lambda one: one.get("snap", 0) > 226_000)
        names = {"writer", "gateway"} - {*running}
        for name in ("nats-server", *names):
            live.kill(name)
        flip(tmp_path / "nats", bus.LEVELS)
        live.start("nats-server")
        for name in names:
            live.start(name)
        well(gateway)
        live.control(do="speed", speed=0)
        live.finish()
        assert "no longer holds" in live.log("engine")
        assert "captured again" in (tmp_path / "writer.log").read_text()
        recovered(live, gateway, lake)


@pytest.mark.slow
def test_a_server_that_lost_what_it_had_acknowledged_is_given_it_again(lake: Path, tmp_path: Path) -> None:
    """A bit of MARKET's file flips while the server is away: it drops that message and all behind it. Nobody else notices."""
    shutil.copytree(lake, tmp_path / "lake")
    with rig(tmp_path / "lake", tmp_path, {"": short(tmp_path / "soon.toml", SOON)}) as live:
        gateway = paced(live, 60)
        wait_for(live, lambda one: one.get("snap", 0) > 224_000)
        before = live.ask(lambda client: bus.last_sequence(client, bus.MARKET))
        live.signal("feed", signal.SIGSTOP)
        live.kill("nats-server")
        flip(tmp_path / "nats", bus.MARKET)
        live.start("nats-server")
        assert live.ask(lambda client: bus.last_sequence(client, bus.MARKET)) < before
        live.signal("feed", signal.SIGCONT)
        live.control(do="speed", speed=0)
        live.finish()
        recovered(live, gateway, lake)


@pytest.mark.slow
def test_a_writer_without_disk_is_told_and_loses_nothing(lake: Path, tmp_path: Path) -> None:
    shutil.copytree(lake, tmp_path / "lake")
    config = {"": short(tmp_path / "soon.toml", SOON)}
    with disk(tmp_path / "lake" / capture.FOLDER, "400k") as make_room, rig(tmp_path / "lake", tmp_path, config) as live:
        gateway = begin(live, DATE, "--speed", "0")
        unwell(gateway, "No space left on device")
        make_room()
        well(gateway)
        live.finish()
        recovered(live, gateway, lake)


@pytest.mark.slow
def test_a_server_without_disk_is_told_and_loses_nothing(lake: Path, tmp_path: Path) -> None:
    """It stays so until there is room and the server was started again: what it acknowledged is there, and no more."""
    shutil.copytree(lake, tmp_path / "lake")
    config = {"": short(tmp_path / "soon.toml", SOON)}
    with disk(tmp_path / "nats", "2m") as make_room, rig(tmp_path / "lake", tmp_path, config) as live:
        gateway = begin(live, DATE, "--speed", "0")
        unwell(gateway, SILENT[0])
        make_room()
        live.kill("nats-server")
        live.start("nats-server")
        live.finish()
        recovered(live, gateway, lake)
