"""What may go wrong between the bus and the disk: kills between any two steps, a full disk, holes and damage on the bus, seeks.

One file, because most of it asks one server after the same five runs.
"""

import asyncio
import datetime as dt
import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest
import zstandard
from nats.aio.client import Client

from spymaster_assets import dbn
from spymaster_assets.config import Config
from spymaster_assets.lake import Lake
from spymaster_assets.landing import Landing
from spymaster_assets.sessions import calendar
from spymaster_assets.tables import LEVELS, SIGNALS
from spymaster_live import bus, capture, messages
from spymaster_live.capture import Stream
from spymaster_live.feed import moment, plan
from spymaster_live.handover import Refused, captured, hand_over
from spymaster_live.messages import CHANNELS, ROWS, VERSION, Message, pack
from spymaster_live.symbols import unpacked
from spymaster_live.writer import Writer, resumed
from tests.live.rig import Rig, publish, rig, small_lake

DATE = dt.date(2025, 6, 3)
CONFIG = Config.model_validate({"live": {"capture_seconds": 0.1}})
STREAMS = [Stream(name, "then", "then") for name in (bus.MARKET, bus.LEVELS)]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_lake(tmp_path_factory.mktemp("lake"), DATE, 5_000)


def said(lake: Path, run: str, join: str | None = None) -> list[Message]:
    """The messages of a run over the date, in frames of a minute."""
    config = Config()
    planned = plan(Lake(lake, config), DATE, 0, join=moment(join, DATE, config) if join else None)
    return [item.message() for item in planned.messages(run)]


def held(folder: Path) -> dict[str, bytes]:
    """What a run's files hold, however it is spread over them."""
    found: dict[str, bytes] = {}
    for channel in CHANNELS:
        paths = sorted((folder / channel).glob("*"), key=capture.span)
        schemas = [dbn.read_header(path).schema or "" for path in paths]
        parts = [chunk.tobytes() for path, schema in zip(paths, schemas, strict=True) for chunk in dbn.read(path, schema)]
        found[channel] = b"".join(parts)
    for kind in ("clock", "signals", *(f"rows/{table.name}" for table in ROWS)):
        tables = [pq.read_table(path) for path in sorted((folder / kind).glob("*"), key=capture.span)]
        found[kind] = str([row for table in tables for row in table.to_pylist()]).encode()
    return found


# Kills


def go(root: Path, stream: Stream, items: Sequence[Message], every: int = 8) -> None:
    """Capture messages of a stream from where its files end, `every` so many in a batch."""
    line = resumed(root, stream, CONFIG)
    for sequence, message in enumerate(items, 1):
        if sequence > line.batch.last:
            line.batch.take(sequence, message.subject, message.headers, message.data)
            if sequence % every == 0 or sequence == len(items):
                assert line.attempt(), line.trouble


def spoken(count: int) -> list[Message]:
    """Messages as of an engine."""
    found = []
    for number in range(count):
        about = {"Version": str(VERSION), "Run": "2025-06-03.1", "Date": str(DATE), "Nats-Msg-Id": str(number)}
        lines = b"\n".join(b'{"schema":1,"snap":%d,"ts":0}' % snap for snap in range(number * 3, number * 3 + 3))
        counts, data = pack(ROWS, {table.name: np.zeros(number % 3 if len(table.names) < 30 else 0, table.dtype) for table in ROWS})
        found.append(Message(messages.LEVELS_SIGNALS, about, lines))
        found.append(Message(messages.LEVELS_ROWS, about | {"Rows": counts}, data))
        found.append(Message(messages.LEVELS_STATUS, {}, b"{}"))
    return found


def killed(root: Path, stream: Stream, items: Sequence[Message], point: int) -> bool:
    """Capture in a process that is killed before its `point`-th step of those that reach the disk; whether it came so far."""
    child = os.fork()
    if child == 0:
        steps = 0

        def dying(step: Callable[..., Any]) -> Callable[..., Any]:
            def taken(*words: Any) -> Any:
                nonlocal steps
                steps += 1
                if steps == point:
                    if step is os.fsync and point % 2:  # what was written is not all there
                        os.truncate(f"/proc/self/fd/{words[0]}", 7)
                    os._exit(9)
                return step(*words)

            return taken

        os.fsync, Path.replace = dying(os.fsync), dying(Path.replace)  # type: ignore[method-assign, assignment]
        go(root, stream, items)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_killed_before_any_step_nothing_is_lost_or_doubled(stream: Stream, lake: Path, tmp_path: Path) -> None:
    items = spoken(5) if stream.name == bus.LEVELS else said(lake, "2025-06-03.1")[:20]
    go(tmp_path / "whole", stream, items)
    whole = held(tmp_path / "whole" / str(DATE) / "2025-06-03.1")
    assert sum(map(len, whole.values())) > 1000
    points = 0
    while killed(root := tmp_path / f"at-{points + 1}", stream, items, points + 1):
        points += 1
        go(root, stream, items)
        folder = root / str(DATE) / "2025-06-03.1"
        assert held(folder) == whole, points
        assert capture.verify(folder) == []
        named = {name for facts in capture.batches(folder, stream.name) for name in facts["files"]}
        there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert {name for name in there if not name.startswith(stream.name.lower())} == named, points
        shutil.rmtree(root)
    assert points > 15


# What cannot be stored


def dead(stream: Stream, root: Path, *items: Message) -> list[str]:
    """Why messages are dead, of a batch that was written."""
    line = resumed(root, stream, CONFIG)
    for message in items:
        line.batch.take(line.batch.last + 1, message.subject, message.headers, message.data)
    assert line.attempt()
    [folder] = capture.runs(root)
    return [one["reason"] for facts in capture.batches(folder, stream.name) for one in facts["dead"]]


def test_levels_that_cannot_be_stored_are_dead_and_the_rest_is_stored(tmp_path: Path) -> None:
    good, rows, _ = spoken(1)
    odd = np.zeros(1, SIGNALS.dtype)
    odd["trigger"] = 99
    counts, data = pack(
        ROWS, {table.name: odd if table is SIGNALS else np.zeros(int(table is LEVELS), table.dtype) for table in ROWS}
    )
    why = dead(
        STREAMS[1],
        tmp_path,
        Message(rows.subject, {**rows.headers, "Rows": counts}, data),
        Message(rows.subject, {**rows.headers, "Rows": "silver/levels=1"}, data),
        Message(good.subject, good.headers, b'{"snap":1}\n{"shape":1}'),
        Message(good.subject, good.headers, b'{"snap":1,"note":"\xff"}'),
        Message(good.subject, {**good.headers, "Run": "../../elsewhere.1"}, good.data),
        Message(good.subject, {**good.headers, "Version": "9"}, good.data),
        good,
    )
    words = ("column trigger", "header Rows", "names no snap", "can't decode", "expected a date", "version 9")
    assert len(why) == len(words) and all(word in reason for word, reason in zip(words, why, strict=True))
    [folder] = capture.runs(tmp_path)
    assert b"'snap': 0" in held(folder)["signals"] and held(folder)["rows/levels"] == b"[]"


def test_a_session_that_tells_no_symbols_or_no_date_begins_no_run(lake: Path, tmp_path: Path) -> None:
    items = said(lake, "2025-06-03.1")[:3]
    facts, data = items[0].headers, items[0].data
    wrong = data[:-5] + b"wrong"
    why = dead(
        STREAMS[0],
        tmp_path,
        Message(items[0].subject, {**facts, "Hash": messages.digest(wrong)}, wrong),
        Message(items[0].subject, {**facts, "Run": "2025-06-07.1", "Date": "2025-06-07"}, data),
        Message(items[0].subject, {**facts, "Run": "x/../y.1"}, data),
        items[1],
        *items,
    )
    words = ("symbology cannot be read", "2025-06-07 is a weekend", "expected a date", "no session has begun")
    assert len(why) == len(words) and all(word in reason for word, reason in zip(words, why, strict=True))


# With a server


@pytest.fixture(scope="module")
def live(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(lake, tmp_path_factory.mktemp("live")) as made:
        yield made


def write(live: Rig, root: Path, until: Callable[[Writer], bool]) -> dict[str, Any]:
    """A writer below `root` until something holds; its last state."""

    async def work(client: Client) -> dict[str, Any]:
        writer = Writer(client, Lake(root, CONFIG))
        running = asyncio.create_task(writer.run())
        while not until(writer):
            assert not running.done(), running.exception()
            await asyncio.sleep(0.05)
        state = writer.state()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return state

    return dict(live.ask(work))


def handed(run: str) -> Callable[[Writer], bool]:
    return lambda writer: run in writer.handed


def spoilt(message: Message, **headers: str) -> Message:
    changed = {name.replace("_", "-"): value for name, value in headers.items()}
    return Message(message.subject, {**message.headers, "Nats-Msg-Id": f"{message.id} spoilt", **changed}, message.data)


@pytest.fixture(scope="module")
def five(live: Rig, lake: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], int]:
    """One date five times on the bus: holes and damage; broken off by a seek; joined late; whole; whole again. And captured."""
    root = tmp_path_factory.mktemp("five")
    first = said(lake, "2025-06-03.1")
    books = [n for n, one in enumerate(first) if one.subject == CHANNELS["futures_mbp10"]]
    first[books[40]] = spoilt(first[books[40]], Hash="0" * 16)
    first[books[60]] = spoilt(first[books[60]], Schema="trades")
    del first[books[80]]
    publish(live, first)
    live.ask(lambda client: client.jsm().delete_msg(bus.MARKET, books[20] + 1))
    publish(live, said(lake, "2025-06-03.2")[:500])
    publish(live, said(lake, "2025-06-03.3", join="09:00"))
    publish(live, [spoilt(said(lake, "2025-06-03.2")[600], Nats_Msg_Id="of another run")])
    publish(live, said(lake, "2025-06-03.4"))
    publish(live, said(lake, "2025-06-03.5"))
    return root, write(live, root, handed("2025-06-03.5")), books[20] + 1


def test_holes_and_damage_are_in_the_account_and_told(five: tuple[Path, dict[str, Any], int]) -> None:
    root, state, deleted = five
    run = root / "capture" / str(DATE) / "2025-06-03.1"
    account = list(capture.batches(run, bus.MARKET))
    dead = [one for facts in account for one in facts["dead"]]
    assert ["hash" in dead[0]["reason"], "records of" in dead[1]["reason"]] == [True, True]
    gaps = [one for facts in account for one in facts["gaps"]]
    assert [one["channel"] for one in gaps] == ["futures_mbp10"] * 4
    segments = sorted((run / "futures_mbp10").glob("*"), key=capture.span)
    ends = {capture.span(path)[1] for path in segments}
    assert all(one["first"] - 1 in ends for one in gaps)  # no segment goes on over a hole
    assert [one for facts in account for one in facts["lost"]] == [[deleted, deleted]]
    assert state["streams"]["MARKET"]["lost"] == 1 and state["streams"]["MARKET"]["dead"] == 3


def test_a_run_that_is_no_whole_date_is_not_handed_over_and_says_why(five: tuple[Path, dict[str, Any], int]) -> None:
    root, state, deleted = five
    opened = calendar(CONFIG).session(DATE).globex.start
    why = {run.name: " ".join(run.wanting(opened)) for run in captured(root / "capture", DATE)}
    assert list(why) == [f"2025-06-03.{number}" for number in (1, 2, 3, 4, 5)]
    assert f"no longer held sequences {deleted}-{deleted}" in why["2025-06-03.1"] and "was dead" in why["2025-06-03.1"]
    assert "before the end of the date" in why["2025-06-03.2"]
    assert "partial: it holds records from" in why["2025-06-03.3"]
    assert why["2025-06-03.4"] == why["2025-06-03.5"] == ""
    for name in ("2025-06-03.1", "2025-06-03.3"):
        assert "is not handed over" in state["handed_over"][name]
    assert "futures_mbp10 lacks records" in state["handed_over"]["2025-06-03.1"]
    with pytest.raises(Refused, match=r"was handed over by run 2025-06-03\.4"):
        hand_over(Lake(root, CONFIG), DATE, "2025-06-03.1")


def test_of_several_runs_one_is_handed_over_once(five: tuple[Path, dict[str, Any], int], lake: Path) -> None:
    root, state, _ = five
    assert "is handed over by run 2025-06-03.4" in state["handed_over"]["2025-06-03.4"]
    assert "was handed over by run 2025-06-03.4" in state["handed_over"]["2025-06-03.5"]
    folder = Landing(root / "landing", CONFIG).captured(DATE)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert "was handed over before, by run 2025-06-03.4" in hand_over(Lake(root, CONFIG), DATE)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert {path.name for path in folder.parent.iterdir()} == {str(DATE), ".lock"}
    shutil.rmtree(folder)
    assert "is handed over by run 2025-06-03.5" in hand_over(Lake(root, CONFIG), DATE)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "run.json"} == {
        name: content for name, content in before.items() if name not in ("run.json", "clock.parquet")
    } | {"clock.parquet": (folder / "clock.parquet").read_bytes()}


def test_there_is_one_writer(tmp_path: Path) -> None:
    with capture.locked(tmp_path), pytest.raises(RuntimeError, match="a writer is at work"):
        capture.locked(tmp_path)
    capture.locked(tmp_path).close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 KB."""
    if os.geteuid():
        pytest.skip("only root may mount")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "spymaster-test", disk], capture_output=True).returncode:
        pytest.skip("nothing may be mounted here")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_full_disk_is_told_and_loses_nothing(live: Rig, small_disk: Path, five: tuple[Path, dict[str, Any], int]) -> None:
    """The writer waits and says why; when there is room it goes on, and has what a writer with room has."""
    told: list[dict[str, Any]] = []

    def until(writer: Writer) -> bool:
        state = writer.state()
        if "No space left" in (state["why"] or ""):
            if not told or len(told) < 10:
                told.append(state)
            else:
                subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
        return "2025-06-03.5" in writer.handed and state["ok"]

    state = write(live, small_disk, until)
    assert told[0]["ok"] is False
    first, last = (one["streams"]["MARKET"] for one in (told[0], told[-1]))
    assert first["sequence"] == last["sequence"] > first["on_disk"] == last["on_disk"]  # nothing more is read meanwhile
    assert state["ok"] is True and state["why"] is None
    for run in ("2025-06-03.1", "2025-06-03.4"):
        mine, theirs = (root / "capture" / str(DATE) / run for root in (small_disk, five[0]))
        assert held(mine) == held(theirs)
        assert capture.verify(mine) == []
    assert not list(small_disk.rglob(".*.tmp"))


def test_a_hand_over_that_the_disk_does_not_take_is_told_and_tried_again(
    live: Rig, five: tuple[Path, dict[str, Any], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runs after it wait for it, and the first whole one is handed over as it is with room."""
    full = [OSError(errno.ENOSPC, "No space left on device")] * 2
    told: list[str] = []

    def handing(*words: Any) -> str:
        if full:
            raise full.pop()
        return hand_over(*words)

    def until(writer: Writer) -> bool:
        if writer.trouble is not None:
            told.append(writer.state()["why"])
        return "2025-06-03.5" in writer.handed and writer.state()["ok"]

    monkeypatch.setattr("spymaster_live.writer.hand_over", handing)
    monkeypatch.setattr("spymaster_live.writer.LATER_SECONDS", 0.2)
    state = write(live, tmp_path, until)
    assert "run 2025-06-03.1 is not handed over yet: [Errno 28] No space left on device" in told[0]
    assert state["handed_over"]["2025-06-03.4"] == five[1]["handed_over"]["2025-06-03.4"]
    assert list(state["handed_over"]) == list(five[1]["handed_over"])


def test_runs_that_were_over_when_the_writer_died_are_handed_over_though_others_began(
    live: Rig, five: tuple[Path, dict[str, Any], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first writer hands nothing over; the next one has to know of more than the latest run."""

    def never(*words: Any) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    end = five[1]["streams"]["MARKET"]["sequence"]
    with monkeypatch.context() as patch:
        patch.setattr("spymaster_live.writer.hand_over", never)
        first = write(live, tmp_path, lambda writer: bus.MARKET in writer.lines and writer.lines[bus.MARKET].batch.last == end)
    assert first["handed_over"] == {}
    state = write(live, tmp_path, handed("2025-06-03.5"))
    assert list(state["handed_over"]) == list(five[1]["handed_over"])
    assert state["handed_over"]["2025-06-03.4"] == five[1]["handed_over"]["2025-06-03.4"]
    assert list(write(live, tmp_path, handed("2025-06-03.5"))["handed_over"]) == ["2025-06-03.5"]  # of the others it is known


def test_a_hand_over_that_breaks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*words: Any) -> str:
        raise KeyError("records")

    monkeypatch.setattr("spymaster_live.writer.hand_over", broken)
    writer = Writer(Client(), Lake(tmp_path, CONFIG))
    asyncio.run(writer._hand_over("2025-06-03.1", tmp_path))
    assert writer.handed == {"2025-06-03.1": "not handed over: KeyError: 'records'"}
    assert writer.state()["why"] == "waiting for the streams"


def test_a_damaged_manifest_stops_the_writer_only_where_it_goes_on(lake: Path, tmp_path: Path) -> None:
    items = [*said(lake, "2025-06-03.1")[:20], *said(lake, "2025-06-03.2")[:20]]
    line = resumed(tmp_path, STREAMS[0], CONFIG)
    for sequence, message in enumerate(items, 1):
        if line.batch.begins(message.subject, message.headers):
            assert line.attempt()
        line.batch.take(sequence, message.subject, message.headers, message.data)
    assert line.attempt()
    older, latest = (capture.manifests(folder, bus.MARKET)[-1] for folder in capture.runs(tmp_path))
    older.write_bytes(older.read_bytes()[:100])
    assert resumed(tmp_path, STREAMS[0], CONFIG).batch.last == 40
    assert capture.unsettled(tmp_path, STREAMS[0]) == []
    latest.write_bytes(latest.read_bytes()[:100])
    with pytest.raises(capture.CaptureError, match=r"MARKET sequences 21-40"):
        resumed(tmp_path, STREAMS[0], CONFIG)


def test_symbology_that_claims_to_be_huge_is_dead() -> None:
    huge = zstandard.ZstdCompressor(level=3).compressobj(size=1 << 40).compress(b"0" * (1 << 20))
    with pytest.raises(messages.BadMessage, match="at most"):
        unpacked(huge)


def test_streams_that_were_made_anew_are_captured_from_their_beginning(live: Rig, lake: Path, tmp_path: Path) -> None:
    """Runs of the old ones stay; a run of the same name gets a folder of its own."""

    def anew(client: Client) -> Any:
        async def work() -> None:
            for name in (bus.MARKET, bus.LEVELS):
                await client.jsm().delete_stream(name)
            await bus.provision(client, CONFIG)

        return work()

    write(live, tmp_path, handed("2025-06-03.5"))
    shutil.rmtree(tmp_path / "landing")
    live.ask(anew)
    items = said(lake, "2025-06-03.1")
    publish(live, items)
    state = write(live, tmp_path, handed("2025-06-03.1"))
    [again] = [folder for folder in capture.runs(tmp_path / "capture") if "~" in folder.name]
    assert again.name == "2025-06-03.1~1"
    assert "is handed over by run 2025-06-03.1~1" in state["handed_over"]["2025-06-03.1"]
    whole = held(again)
    go(tmp_path / "twin", STREAMS[0], items, every=500)
    assert whole == held(tmp_path / "twin" / str(DATE) / "2025-06-03.1")


def speak(live: Rig, run: str) -> int:
    """Messages as of an engine, of a run, on the bus; the last sequence of LEVELS."""

    async def work(client: Client) -> int:
        publisher = bus.Publisher(client, bus.LEVELS)
        for number, item in enumerate(one for one in spoken(3) if one.headers):
            await publisher.put(Message(item.subject, {**item.headers, "Run": run, "Nats-Msg-Id": f"{run}:{number}"}, item.data))
        await publisher.flush()
        return await bus.last_sequence(client, bus.LEVELS)

    return int(live.ask(work))


def test_what_levels_no_longer_holds_is_captured_again_or_told(live: Rig, lake: Path, tmp_path: Path) -> None:
    """As after a server that gave the sequence of a batch's last message to another one, here by another time in the manifest."""

    def captured_up_to(sequence: int) -> Callable[[Writer], bool]:
        return lambda writer: bus.LEVELS in writer.lines and writer.lines[bus.LEVELS].batch.last >= sequence

    def lose() -> None:
        for folder in capture.runs(tmp_path / "capture"):
            for path in capture.manifests(folder, bus.LEVELS)[-1:]:
                facts = orjson.loads(path.read_bytes())
                path.write_bytes(orjson.dumps({**facts, "stored": "2025-01-02T00:00:00+00:00"}))

    def kept() -> dict[str, bytes]:
        return {name: content for name, content in held(folder).items() if name.startswith(("signals", "rows"))}

    run = "2025-06-03.6"
    publish(live, said(lake, run)[:3])
    folder, last = tmp_path / "capture" / str(DATE) / run, speak(live, run)
    write(live, tmp_path, captured_up_to(last))
    before = kept()
    lose()
    write(live, tmp_path, captured_up_to(last))
    assert kept() == before and b"'snap': 5" in before["signals"] and capture.verify(folder) == []
    last = speak(live, "2025-06-03.77")
    write(live, tmp_path, captured_up_to(last))
    lose()
    with pytest.raises(AssertionError, match=r"of run 2025-06-03\.77, which is over"):
        write(live, tmp_path, captured_up_to(last))
    assert kept() == before


def test_publisher_and_reader_find_out_that_levels_are_others(live: Rig) -> None:
    """Also where another message has the sequence of the last one."""
    item = Message(messages.LEVELS_SIGNALS, {"Nats-Msg-Id": "one", "Run": "2025-06-03.78"}, b"{}")

    async def work(client: Client) -> None:
        async def anew() -> None:
            await client.jsm().delete_stream(bus.LEVELS)
            await bus.provision(client, CONFIG)
            await client.jetstream().publish(messages.LEVELS_STATUS, b"{}")

        await anew()
        publisher, reader = bus.Publisher(client, bus.LEVELS), bus.Reader(client, bus.LEVELS, 1)
        for _ in range(2):  # again changes nothing
            await publisher.put(item)
            await publisher.flush()
        assert [sequence for sequence, _ in await reader.read()] == [1, 2]
        await anew()
        with pytest.raises(bus.Shorter, match="gave sequence 2, after 2"):
            await publisher.put(item)
            await publisher.flush()
        with pytest.raises(bus.Shorter, match="read up to 2"):
            while True:
                await reader.read(0.2)
        await reader.close()

    live.ask(work)
