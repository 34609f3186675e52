"""The feed from the vendor, a real process against a double of the gateway that speaks its protocol (tests/vendor/gateway.py)."""

import datetime as dt
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nats.aio.client import Client

from spymaster_assets.config import Config, load
from spymaster_assets.ingest import Intake, ingest_date
from spymaster_assets.lake import Lake
from spymaster_assets.landing import Landing
from spymaster_assets.sessions import calendar, wall
from spymaster_assets.tables import SILVER, SNAPS
from spymaster_live import bus, health, messages
from spymaster_live.engine import Engine
from spymaster_live.messages import CHANNELS, Clock, Frame, Session, read
from spymaster_live.parity import Said
from tests.live.rig import Rig, make_silver, rig, short, small_lake
from tests.vendor.gateway import KEY, Gateway, Tape, dropped, seen, sent, serving, settings, stalled, tape

DATE = dt.date(2025, 6, 3)
DAY = calendar(Config()).session(DATE)
END = DAY.globex.end + 1_000_000_000  # of the double's heartbeats
MS = 1_000_000
COARSE = "\n[live]\nframe_ms = 1000.0\nclock_ms = 60000.0\ncapture_seconds = 0.5\n"  # a fiftieth of the messages
FEED = ("feed", "--live", "--date", str(DATE))


def at(clock: str, date: dt.date = DATE) -> int:
    return wall(date, clock, "America/New_York")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small date with its Silver and an hour of signals: what the batch makes of the records that the double sends."""
    root = small_lake(tmp_path_factory.mktemp("lake"), DATE, 20_000)
    make_silver(root, DATE)
    return root


@pytest.fixture(scope="module")
def reel(lake: Path) -> Tape:
    return tape(lake / "landing")


@pytest.fixture(autouse=True, scope="module")
def key() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABENTO_API_KEY", KEY)
        yield


@contextmanager
def live_rig(gateway: Gateway, folder: Path, more: str = "") -> Iterator[Rig]:
    """The double at work, and a rig whose lake holds nothing but the settings that lead to it."""
    own = folder / "own"
    own.mkdir(parents=True)
    with serving(gateway):
        config = short(own / "short.toml", COARSE + settings(gateway, more))
        with rig(own, folder / "rig", {"": config}) as made:
            yield made


def market(live: Rig) -> list[Frame | Session | Clock]:
    """Everything in MARKET."""

    async def work(client: Client) -> list[Frame | Session | Clock]:
        end = await bus.last_sequence(client, bus.MARKET)
        reader, found = bus.Reader(client, bus.MARKET, 1), []
        while reader.next <= end:
            found += [read(m.subject, m.headers, m.data) for _, m in await reader.read()]
        await reader.close()
        return found

    return list(live.ask(work))


def records(items: list[Frame | Session | Clock]) -> dict[str, bytes]:
    """Of each channel its records; AssertionError if one is missing or there twice, or a watermark falls."""
    data, count, watermark = dict.fromkeys(CHANNELS, b""), dict.fromkeys(CHANNELS, 0), 0
    for item in items:
        if isinstance(item, Session):
            continue
        assert item.watermark >= watermark
        watermark = item.watermark
        if isinstance(item, Frame):
            assert item.first == count[item.channel]
            count[item.channel] += len(item.records)
            data[item.channel] += item.records.tobytes()
    return data


def signals(live: Rig, items: list[Frame | Session | Clock]) -> bytes:
    """What an engine says about a run: all signals and rows."""
    engine, said = Engine(live.config()), []
    for item in items:
        said += engine.take(item)
    assert engine.done and not engine.tally.missing and not engine.tally.repeated
    return b"".join(one.data for one in said if one.subject in (messages.LEVELS_SIGNALS, messages.LEVELS_ROWS))


def lines(said: bytes) -> bytes:
    return b"\n".join(line for line in said.splitlines() if b'"snap":' in line)


def silver(root: Path) -> dict[str, str]:
    """Content hashes of a date's Silver."""
    lake = Lake(root, load(root / "short.toml"))
    return {table.name: manifest.content for table in SILVER if (manifest := lake.manifest(table, DATE)) is not None}


def made_of_the_capture(root: Path) -> dict[str, str]:
    """Silver of what the writer handed over."""
    own = Lake(root, load(root / "short.toml"))
    done = ingest_date(Intake(DATE, own, Landing(root / "landing", own.config)))
    assert not any(isinstance(one, Exception) for one in done.values()), done
    make_silver(root, DATE)
    return silver(root)


def state(live: Rig) -> dict[str, Any]:
    return dict(live.ask(lambda client: health.ask(client, "feed")))


def wait_for(live: Rig, true: Callable[[dict[str, Any]], bool], seconds: float = 60) -> dict[str, Any]:
    end = time.monotonic() + seconds
    while not true(now := state(live)):
        assert time.monotonic() < end, f"{now}\n{live.log('feed')}"
        time.sleep(0.05)
    return now


@dataclass
class Got:
    """What came of a date: its messages, what live said of them, Silver of what was handed over."""

    root: Path
    items: list[Frame | Session | Clock]
    said: Said
    silver: dict[str, str]
    log: str
    states: list[dict[str, Any]] = field(default_factory=list)


def whole_date(
    gateway: Gateway,
    folder: Path,
    kills: tuple[threading.Event, ...] = (),
    more: str = "",
    act: Callable[[Rig], None] | None = None,
) -> Got:
    """The date with an engine and a writer to its hand-over. `kills`: the feed is killed and started again at each."""
    with live_rig(gateway, folder, more) as live:
        due = list(kills)

        def meanwhile() -> None:
            if due and due[0].is_set():
                due.pop(0)
                live.kill("feed")
                live.start("feed")
            if act is not None:
                act(live)

        live.engine()
        live.start("writer", "writer", "--until-done")
        live.start("feed", *FEED)
        live.finish(meanwhile=meanwhile)
        assert not due, "every kill has happened"
        return Got(live.lake, market(live), live.said(), made_of_the_capture(live.lake), (folder / "rig" / "feed.log").read_text())


@pytest.fixture(scope="module")
def calm(reel: Tape, tmp_path_factory: pytest.TempPathFactory) -> Got:
    """The date undisturbed: everything up to 09:40 is told as the past."""
    return whole_date(Gateway(reel, reel.upto("mbp-10", at("09:40")), END), tmp_path_factory.mktemp("calm"))


def test_a_live_date_is_captured_and_its_silver_is_the_batchs(calm: Got, lake: Path) -> None:
    """The same records as files of the vendor, made by the batch, give the same Silver; and that is what live said."""
    assert calm.silver == silver(lake) and len(calm.silver) > 5
    session = calm.items[0]
    assert isinstance(session, Session) and session.contract == "ESM5 by calendar"
    assert session.complete_from == DAY.globex.start and session.run == f"{DATE}.1"
    last = calm.items[-1]
    assert isinstance(last, Clock) and last.watermark == DAY.globex.end
    assert len(calm.said.lines) >= 3600 * 4


def test_drops_kills_disorder_and_strange_records_do_not_show(reel: Tape, calm: Got, lake: Path, tmp_path: Path) -> None:
    """Options come up to 300 ms after the book; the connection breaks three times, in the midst of a record and after a silence."""
    other = tape(lake / "landing", {"tbbo": 300 * MS, "trades": 200 * MS, "statistics": 100 * MS})
    kills = tuple(threading.Event() for _ in range(3))
    strange = struct.pack("<BBHIQ", 4, 0xC8, 1, 7, 123) + struct.pack("<BBHIQ", 4, 10, 1, 7, 123)  # a type, and a length
    moments = {
        "09:45": dropped, "09:50": seen(kills[0]), "09:52": sent(strange, strange), "09:55": dropped, "10:00": stalled,
        "10:07": seen(kills[1]), "10:20": dropped, "15:59": seen(kills[2]),
    }  # fmt: skip
    acts = {other.upto("mbp-10", at(clock)): act for clock, act in moments.items()}
    gateway = Gateway(other, other.upto("mbp-10", at("09:40")), END, acts, missed=300, quiet=True)
    got = whole_date(gateway, tmp_path, kills, "silent_seconds = 1.0\nspool_bytes = 65536\n")
    assert records(got.items) == records(calm.items)
    assert got.said.lines == calm.said.lines
    assert {name: rows.tobytes() for name, rows in got.said.rows.items()} == {n: r.tobytes() for n, r in calm.said.rows.items()}
    assert got.silver == calm.silver
    assert {item.run for item in got.items} == {f"{DATE}.1"}
    assert "nothing came for 1 s" in got.log and "records of type 200 that nobody asked for" in got.log
    assert KEY not in got.log and not gateway.acts


def test_late_records_are_late_in_live_and_in_the_silver_of_the_capture(lake: Path, tmp_path: Path) -> None:
    """Records of the book that come three seconds late, and a drop: what live says is what the batch makes of the capture."""

    def held(schema: str, found: np.ndarray) -> np.ndarray:
        times = found["ts_event"].view("i8")
        some = (schema == "mbp-10") & (times > at("09:50")) & (times < at("10:10")) & (np.arange(len(found)) % 40 == 0)
        return np.where(some, 3_000 * MS, 0)

    other = tape(lake / "landing", held=held)
    gateway = Gateway(other, other.upto("mbp-10", at("09:40")), END, {other.upto("mbp-10", at("10:20")): dropped}, missed=100)
    with live_rig(gateway, tmp_path) as live:
        live.engine()
        live.start("writer", "writer", "--until-done")
        live.start("feed", *FEED)
        live.finish()
        found = made_of_the_capture(live.lake)
        assert min(live.compared(DATE).values()) > 0
    assert found != silver(lake)
    snaps = Lake(live.lake, live.config()).rows(SNAPS, DATE)
    assert int(snaps["late"][-1]) > 20
