"""What may go wrong on the bus, with real processes: each fault is survived as designed, and told on levels.status.

`doctored`: the messages of a whole date, changed by the test and published by it instead of by a feed.
"""

import asyncio
import datetime as dt
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nats.aio.client import Client

from spymaster_assets.lake import Lake
from spymaster_assets.states import LEVEL_KINDS
from spymaster_assets.tables import LEVELS
from spymaster_live import bus, messages
from spymaster_live.feed import moment, plan
from spymaster_live.messages import CHANNELS, Clock, Frame, Message, Session
from spymaster_live.parity import differences
from tests.live.asking import start
from tests.live.rig import Rig, publish, rig, short, small_lake

DATE = dt.date(2025, 6, 3)
Item = Session | Frame | Clock


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small date with its Silver and an hour of signals."""
    return small_lake(tmp_path_factory.mktemp("lake"), DATE, 20_000, silver=True)


@pytest.fixture
def live(lake: Path, tmp_path: Path) -> Iterator[Rig]:
    with rig(lake, tmp_path, {"": lake / "short.toml"}) as made:
        yield made


def original(live: Rig) -> list[Item]:
    """The messages of the date, in frames of a minute."""
    return list(plan(Lake(live.lake, live.config()), DATE, 0).messages("2025-06-03.1"))


def doctored(live: Rig, change: Callable[[list[Message]], list[Message]]) -> None:
    """Publish a changed date and run an engine over it."""
    publish(live, change([item.message() for item in original(live)]))
    live.engine()
    live.finish()


def ended(live: Rig) -> dict[str, Any]:
    """The last status of a run that is over."""
    return [one for one in live.status() if one["state"] == "done"][-1]


def books(said: list[Message]) -> list[int]:
    """Which messages are frames of the book."""
    return [number for number, message in enumerate(said) if message.subject == messages.CHANNELS["futures_mbp10"]]


def replaced(message: Message, data: bytes | None = None, **headers: str) -> Message:
    changed = {**message.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Message(message.subject, changed, message.data if data is None else data)


def buried(live: Rig) -> list[tuple[str, str, bytes]]:
    """(subject, reason, data) of the dead letters."""

    async def read(client: Client) -> list[tuple[str, str, bytes]]:
        state = (await client.jsm().stream_info(bus.DLQ)).state
        reader, found = bus.Reader(client, bus.DLQ, 1), []
        while reader.next <= state.last_seq:
            found += [(m.subject, (m.headers or {})["Reason"], m.data) for _, m in await reader.read()]
        await reader.close()
        return found

    return live.ask(read)


def test_a_session_without_its_headers_does_not_stop_the_engine(live: Rig) -> None:
    said = [item.message() for item in original(live)]
    publish(live, [*said, Message(messages.SESSION, {"Nats-Msg-Id": "odd"}, b"")])
    live.engine()
    live.finish()
    assert [(subject, reason) for subject, reason, _ in buried(live)] == [("dlq.market.session", "header Version is missing")]
    assert ended(live)["signals"] > 0


def test_a_message_that_the_server_lost_is_sent_again_soon(live: Rig) -> None:
    """Acknowledgements are looked at while the window is far from full."""

    async def work(client: Client) -> tuple[int, float]:
        publisher = bus.Publisher(client, bus.MARKET, base=0)
        said = [item.message() for item in original(live)[:3]]
        await publisher.put(said[0])
        await publisher.flush()
        await publisher.put(said[1])
        publisher._waiting[0].ack = None  # it never left
        started = time.monotonic()
        await publisher.put(said[2])
        return len(publisher._waiting), time.monotonic() - started

    waiting, seconds = live.ask(work)
    assert waiting <= 1 and seconds < 5


def test_messages_stay_in_order_when_the_server_dies_with_some_of_them(tmp_path: Path) -> None:
    """What was on its way is lost; what is published while the server is away comes behind it all the same."""

    async def work(client: Client) -> list[str]:
        publisher, said = bus.Publisher(client, bus.LEVELS), [Message("levels.x", {"Nats-Msg-Id": str(n)}, b"") for n in range(8)]
        await publisher.put(said[0])
        await publisher.flush()
        live.signal("nats-server", signal.SIGSTOP)
        for one in said[1:4]:
            await publisher.put(one)
        await asyncio.sleep(0.2)  # they lie in the server's socket
        live.kill("nats-server")
        await publisher.put(said[4])  # the client does not know yet
        while client.is_connected:
            await asyncio.sleep(0.01)
        for one in said[5:]:
            await publisher.put(one)
        live.start("nats-server")
        await publisher.flush()
        held = [await client.jsm().get_msg(bus.LEVELS, seq=1 + n) for n in range(len(said))]
        assert await bus.last_sequence(client, bus.LEVELS) == len(said)
        return [(one.headers or {})["Nats-Msg-Id"] for one in held]

    with rig(tmp_path / "lake", tmp_path) as live:
        assert live.ask(work) == [str(n) for n in range(8)]


def test_repeated_frames_change_nothing(live: Rig) -> None:
    """Under other ids, so that the server keeps them."""

    def twice(said: list[Message]) -> list[Message]:
        at = set(books(said)[10:60:5])
        return [one for n, m in enumerate(said) for one in ([m, replaced(m, Nats_Msg_Id=f"again {n}")] if n in at else [m])]

    doctored(live, twice)
    assert min(live.compared(DATE).values()) > 0
    status = ended(live)
    assert status["repeated"] > 0 and status["missing"] == status["dead"] == 0


def test_a_missing_frame_is_counted_and_told_in_every_later_payload(live: Rig) -> None:
    gone: list[Message] = []

    def without(said: list[Message]) -> list[Message]:
        gone.append(said.pop(books(said)[len(books(said)) // 3]))
        return said

    doctored(live, without)
    count = int(gone[0].headers["Count"])
    assert ended(live)["missing"] == count
    lines = live.said().lines
    assert f'"gaps":{count}'.encode() in lines[max(lines)]
    found, _ = differences(Lake(live.lake, live.config()), DATE, live.said())
    assert found != []  # what was lost is lost, and parity sees it


DAMAGES: list[tuple[str, Callable[[Message], Message]]] = [
    ("hash", lambda m: replaced(m, data=m.data[:100] + bytes([m.data[100] ^ 4]) + m.data[101:])),
    ("version 9", lambda m: replaced(m, Version="9")),
    ("expected", lambda m: replaced(m, data=m.data[:-5], Hash=messages.digest(m.data[:-5]))),
    ("schema mbp-99 is unknown", lambda m: replaced(m, Schema="mbp-99")),
    ("run 2020-01-01.1", lambda m: replaced(m, Run="2020-01-01.1")),
]


def test_frames_that_cannot_be_read_are_buried_as_they_came_and_the_stream_goes_on(live: Rig) -> None:
    """A flipped bit, another version, a cut, an unknown schema, another run; each leaves a gap that is counted.

    So does a frame that comes after the next one of its channel: its records are missing there, and repeated when they come.
    """
    bad: list[Message] = []
    overtaken: list[Message] = []

    def spoilt(said: list[Message]) -> list[Message]:
        for (_, damage), at in zip(DAMAGES, books(said)[50::20], strict=False):
            said[at] = damage(said[at])
            bad.append(said[at])
        early, late = books(said)[200:202]
        overtaken.append(said[early])
        said[early], said[late] = said[late], said[early]
        return said

    doctored(live, spoilt)
    dead = buried(live)
    assert [(subject, data) for subject, _, data in dead] == [(f"dlq.{one.subject}", one.data) for one in bad]
    assert all(reason in told for (reason, _), (_, told, _) in zip(DAMAGES, dead, strict=True))
    status = ended(live)
    assert (status["dead"], status["missing"]) == (len(DAMAGES), sum(int(one.headers["Count"]) for one in bad + overtaken))
    assert status["repeated"] == int(overtaken[0].headers["Count"])


def test_records_behind_the_watermark_are_late_and_are_worked_on(live: Rig) -> None:
    """A watermark that ran ahead, as live ones may."""

    def hasty(said: list[Message]) -> list[Message]:
        at = max(books(said)[:-2], key=lambda number: int(said[number].headers["Count"]))
        ahead = int(said[at].headers["End"]) + 90_000_000_000
        said[at] = replaced(said[at], Watermark=str(ahead))
        return said

    doctored(live, hasty)
    status = ended(live)
    assert status["late"] > 0 and status["missing"] == status["dead"] == 0
    assert status["records"]["futures_mbp10"] == sum(
        len(i.records) for i in original(live) if isinstance(i, Frame) and i.channel == "futures_mbp10"
    )


def test_a_full_stream_holds_the_feed_back_and_loses_nothing(lake: Path, tmp_path: Path) -> None:
    small = short(tmp_path / "small.toml", "[live]\nmarket_bytes = 3000000\n")
    with rig(lake, tmp_path, {"": small}) as live:
        live.engine()
        gateway = start(live)
        live.feed(DATE, "--speed", "0")
        wait_for(live, lambda one: one.get("market_full") is True)
        gateway.until(lambda told: "MARKET is full: the feed waits" in (told.get("why") or ""))
        assert live.processes["feed"].poll() is None
        short(small, "[live]\nmarket_bytes = 300000000\n")
        live.ask(lambda client: bus.provision(client, live.config()))
        live.finish()
        assert min(live.compared(DATE).values()) > 0


def wait_for(live: Rig, true: Callable[[dict[str, Any]], bool], seconds: float = 60) -> dict[str, Any]:
    """The first status for which something holds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for one in live.status():
            if true(one):
                return one
        time.sleep(0.2)
    raise AssertionError(f"not told within {seconds} s; the last: {live.status()[-1:]}")


def in_the_midst_of_signals(live: Rig) -> None:
    """A replay at 1000 times real time that is past 09:32."""
    live.feed(DATE, "--speed", "1000", "--from", "09:30")
    wait_for(live, lambda one: one.get("snap", 0) > 223_800)


def consumers(live: Rig) -> list[str]:
    async def names(client: Client) -> list[str]:
        return [one.name for one in await client.jsm().consumers_info(bus.MARKET)]

    return list(live.ask(names))


def test_a_deleted_consumer_is_made_anew(live: Rig) -> None:
    live.engine()
    in_the_midst_of_signals(live)
    for name in consumers(live):
        live.ask(lambda client, name=name: client.jsm().delete_consumer(bus.MARKET, name))
    live.control(do="speed", speed=0)
    live.finish()
    assert min(live.compared(DATE).values()) > 0
    assert ended(live)["consumers"] >= 2


@pytest.mark.slow
def test_a_server_that_is_away_for_17_seconds(live: Rig) -> None:
    live.engine()
    in_the_midst_of_signals(live)
    live.kill("nats-server")
    time.sleep(17)
    live.start("nats-server")
    live.control(do="speed", speed=0)
    live.finish()
    assert min(live.compared(DATE).values()) > 0
    told = live.said()
    assert len(told.ids) == len(set(told.ids))


FROM_NINE = {"OR_HIGH", "OR_LOW", "VWAP", "VWAP_UPPER", "VWAP_LOWER"}  # what one knows who joins then


def test_joining_late_says_nothing_that_reaches_behind(live: Rig) -> None:
    """From 09:00 on: no premarket levels, averages too late to know; opening range and VWAP, and the payload says partial."""
    live.engine()
    live.feed(DATE, "--speed", "0", "--join", "09:00")
    live.finish()
    told = live.said()
    rows = told.rows["levels"]
    assert {LEVEL_KINDS[kind] for kind in rows["kind"].tolist()} == FROM_NINE
    assert b'"partial":true' in told.lines[max(told.lines)]
    assert ended(live)["partial"] is True
    whole = Lake(live.lake, live.config()).rows(LEVELS, DATE)
    assert rows.tobytes() == whole[np.isin(whole["kind"], [LEVEL_KINDS.index(kind) for kind in FROM_NINE])].tobytes()


def test_definitions_of_before_are_there_after_joining_late(live: Rig) -> None:
    lake = Lake(live.lake, live.config())

    def counted(join: int | None) -> dict[str, int]:
        frames = [one for one in plan(lake, DATE, 0, join=join).messages("run") if isinstance(one, Frame)]
        return {name: sum(len(one.records) for one in frames if one.channel == name) for name in CHANNELS}

    whole, late = counted(None), counted(moment("09:00", DATE, lake.config))
    assert late["definitions"] == whole["definitions"] > 0
    assert 0 < late["futures_mbp10"] < whole["futures_mbp10"]


@pytest.mark.slow
def test_joining_after_the_open_there_is_no_touch_before_twenty_minutes_are_known(lake: Path, tmp_path: Path) -> None:
    with rig(lake, tmp_path) as live:  # signals to 13:30
        live.engine()
        live.feed(DATE, "--speed", "0", "--join", "09:30")
        live.finish()
        t0 = live.said().rows["touches"]["t0"]
        assert len(t0) == 0 or (t0 > plan(Lake(live.lake, live.config()), DATE, 0).session.complete_from + 1200 * 10**9).all()


def test_the_replay_is_steered(live: Rig) -> None:
    """Paused it stands still, a step is a step, a seek is a new run, in the end with the same bytes."""
    live.engine()
    live.feed(DATE, "--speed", "1", "--from", "09:30", "--paused")
    at = wait_for(live, lambda one: one.get("snap", 0) > 220_000) and still(live)
    first = live.run()
    assert still(live) == at
    live.control(do="step", seconds=2)
    time.sleep(0.5)
    assert still(live) - at == pytest.approx(2e9, abs=0.25e9)
    live.control(do="seek", to="11:00")
    wait_for(live, lambda one: one["run"] not in (None, first))
    second = live.run()
    wait_for(live, lambda one: one["run"] == second and one["watermark"] >= at + 89 * 60 * 10**9)
    live.control(do="seek", to="10:00")
    wait_for(live, lambda one: one["run"] not in (None, first, second))
    assert live.control(do="speed", speed="x").get("error") and live.control(do="leap").get("error")
    live.control(do="seek", to="15:59")
    live.control(do="speed", speed=0)
    live.control(do="start")
    live.finish()
    assert min(live.compared(DATE).values()) > 0


def test_a_paced_replay_begins_at_once_and_keeps_its_pace(live: Rig) -> None:
    """Without a moment to begin at it is paced from the session's first record time on."""
    live.feed(DATE, "--speed", "500")
    first = live.control(do="state")["position"]
    time.sleep(4)
    assert live.control(do="state")["position"] - first == pytest.approx(4 * 500e9, rel=0.4)


def still(live: Rig) -> int:
    """Where the replay stands, once it stands still."""
    before, now = -1, 0
    while before != now:
        before = now
        time.sleep(0.3)
        now = live.control(do="state")["position"]
    return now
