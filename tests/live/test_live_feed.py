"""The feed from the vendor, a real process against a double of the gateway that speaks its protocol (tests/vendor/gateway.py)."""

import asyncio
import datetime as dt
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import databento_dbn as databento
import numpy as np
import pytest
from nats.aio.client import Client

from spymaster_assets.config import Config, load
from spymaster_assets.fingerprint import Fingerprint
from spymaster_assets.ingest import Intake, ingest_date
from spymaster_assets.lake import Lake
from spymaster_assets.landing import Landing
from spymaster_assets.sessions import calendar, wall
from spymaster_assets.tables import FUTURES_TRADES, SILVER, SNAPS
from spymaster_live import bus, health, server
from spymaster_live.live_dates import LiveDates
from spymaster_live.messages import CHANNELS, Clock, Frame, Session, read
from spymaster_live.parity import Said
from tests.live.rig import ROOT, Rig, make_silver, publish, rig, short, small_lake
from tests.vendor.gateway import KEY, Gateway, Tape, dropped, seen, sent, serving, settings, stalled, tape
from tests.vendor.gateway import Session as Vendors

DATE = dt.date(2025, 6, 3)
DAY = calendar(Config()).session(DATE)
END = DAY.globex.end + 1_000_000_000  # of the double's heartbeats
MS = 1_000_000
COARSE = "\n[live]\nframe_ms = 2000.0\nclock_ms = 60000.0\ncapture_seconds = 0.5\n"  # a hundredth of the messages
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
    port: int  # of the gateway, which is part of the configuration


def whole_date(gateway: Gateway, folder: Path, kills: tuple[threading.Event, ...] = (), more: str = "") -> Got:
    """The date with an engine and a writer to its hand-over. `kills`: the feed is killed and started again at each."""
    with live_rig(gateway, folder, more) as live:
        due = list(kills)

        def meanwhile() -> None:
            if due and due[0].is_set():
                due.pop(0)
                live.kill("feed")
                live.start("feed")

        live.engine()
        live.start("writer", "writer", "--until-done")
        live.start("feed", *FEED)
        live.finish(meanwhile=meanwhile)
        assert not due, "every kill has happened"
        log = (folder / "rig" / "feed.log").read_text()
        return Got(live.lake, market(live), live.said(), made_of_the_capture(live.lake), log, gateway.port)


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


def skipped(session: Vendors) -> bytes:
    return session.error("too slow", databento.ErrorCode.SKIPPED_RECORDS_AFTER_SLOW_READING)


@pytest.mark.slow
def test_drops_kills_disorder_and_strange_records_do_not_show(reel: Tape, calm: Got, lake: Path, tmp_path: Path) -> None:
    """Options come up to 300 ms after the book; the connection breaks three times, in the midst of a record and after a silence."""
    other = tape(lake / "landing", {"tbbo": 300 * MS, "trades": 200 * MS, "statistics": 100 * MS})
    kills = tuple(threading.Event() for _ in range(3))
    strange = struct.pack("<BBHIQ", 4, 0xC8, 1, 7, 123) + struct.pack("<BBHIQ", 4, 10, 1, 7, 123)  # a type, and a length
    wrong = other.records["trades"][:1].copy()
    wrong["ts_event"] = END + 3_600_000 * MS  # after its receipt, and after the date
    moments = {
        "09:45": sent(strange, wrong.tobytes(), strange), "09:46": stalled, "09:48": skipped, "09:49": stalled, "09:52": dropped,
        "09:55": seen(kills[0]), "10:07": seen(kills[1]), "10:20": dropped, "15:59": seen(kills[2]),
    }  # fmt: skip
    acts = {other.upto("mbp-10", at(clock)): act for clock, act in moments.items()}
    gateway = Gateway(other, other.upto("mbp-10", at("09:40")), END, acts, missed=300, quiet=True)
    got = whole_date(gateway, tmp_path, kills, "silent_seconds = 1.0\nspool_bytes = 65536\n")
    assert records(got.items) == records(calm.items)
    assert got.said.lines == calm.said.lines
    assert {name: rows.tobytes() for name, rows in got.said.rows.items()} == {n: r.tobytes() for n, r in calm.said.rows.items()}
    assert got.silver == calm.silver
    assert {item.run for item in got.items} == {f"{DATE}.1"}
    assert "the gateway skipped records: too slow" in got.log
    assert "nothing came for 1 s" in got.log and "records of type 200 that nobody asked for" in got.log
    assert KEY not in got.log and not gateway.acts


@pytest.mark.slow
def test_late_records_are_late_in_live_and_in_the_silver_of_the_capture(lake: Path, tmp_path: Path) -> None:
    """Records of the book that come five seconds late, and a drop: what live says is what the batch makes of the capture."""

    def held(schema: str, found: np.ndarray) -> np.ndarray:
        times = found["ts_event"].view("i8")
        some = (schema == "mbp-10") & (times > at("09:50")) & (times < at("10:10")) & (np.arange(len(found)) % 40 == 0)
        return np.where(some, 5_000 * MS, 0)

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


@pytest.mark.slow
def test_killed_before_its_last_word_a_run_is_ended_and_a_run_that_is_over_stays(reel: Tape, calm: Got, tmp_path: Path) -> None:
    with live_rig(Gateway(reel, len(reel), END, port=calm.port), tmp_path) as live:
        publish(live, [item.message() for item in calm.items[:-1]])
        for _ in range(2):
            live.start("feed", *FEED)
            live.finish()
            again = market(live)
            assert len(again) == len(calm.items) and again[-1] == calm.items[-1]


@pytest.mark.slow
def test_a_slow_bus_holds_the_vendor_back_and_loses_nothing(reel: Tape, calm: Got, tmp_path: Path) -> None:
    """The server stands still: what comes waits, then the socket is not read, and the gateway says that we are slow."""
    due, told = threading.Event(), list[dict[str, Any]]()
    gateway = Gateway(reel, reel.upto("mbp-10", at("09:40")), END, slow_after=0.3)

    def act(session: Any) -> bytes:
        due.set()
        return b""

    gateway.acts[reel.upto("mbp-10", at("09:41"))] = act
    with live_rig(gateway, tmp_path, "buffer_bytes = 65536\n") as live:

        def meanwhile() -> None:
            if due.is_set() and not told:
                live.signal("nats-server", signal.SIGSTOP)
                time.sleep(2)
                live.signal("nats-server", signal.SIGCONT)
                told.append({})
            elif told and live.processes["feed"].poll() is None:
                told.append(state(live))

        live.start("feed", *FEED)
        live.finish(meanwhile=meanwhile)
        assert records(market(live)) == records(calm.items)
        best = max((one for one in told if "paused" in one), key=lambda one: one["slow"])
        assert best["paused"] > 0 and gateway.slow > 0 and "the vendor: Slow reader" in live.log("feed")
        assert best["mappings"] > 0 and best["repeating"] == []
        assert best["live"] and best["run"] == f"{DATE}.1" and best["records"]["futures_mbp10"] > 0


def refused_past(one: Any) -> tuple[str, databento.ErrorCode] | None:
    if one.start is None or one.schema == "definition":
        return None
    return "replay is not part of this plan", databento.ErrorCode.INVALID_SUBSCRIPTION


@pytest.mark.slow
def test_without_the_past_a_run_is_partial_from_the_moment_it_began(reel: Tape, tmp_path: Path) -> None:
    """By the gateway's clock. After a drop there is a hole that nothing fills: another run, that says so."""
    now, fall = reel.upto("mbp-10", at("09:40")), reel.upto("mbp-10", at("11:00"))
    gateway = Gateway(reel, now, END, {fall: dropped}, refuse=refused_past)
    with live_rig(gateway, tmp_path) as live:
        live.start("feed", *FEED)
        live.finish()
        assert "the vendor does not repeat the past: replay is not part of this plan" in live.log("feed")
        items = market(live)
    opened = [item for item in items if isinstance(item, Session)]
    assert len(opened) == 2 and len({one.run for one in opened}) == 2
    for one, clock in zip(opened, ("09:40", "11:00"), strict=True):
        frames = [item for item in items if isinstance(item, Frame) and item.run == one.run]
        assert abs(one.complete_from - at(clock)) < 60 * 1_000 * MS
        books = np.concatenate([item.records for item in frames if item.channel == "futures_mbp10"])
        assert len(books) and int(books["ts_event"].min()) > one.complete_from
        assert any(item.channel == "definitions" for item in frames)  # definitions hold whenever sent
    last = items[-1]
    assert isinstance(last, Clock) and last.watermark == DAY.globex.end


def of_the_eve(root: Path, volumes: dict[str, int]) -> None:
    """What the lake knows of the trading date before: lots by contract."""
    own, eve = Lake(root, load(root / "short.toml")), calendar(Config()).before(DATE, 1)[0]
    with own.write(FUTURES_TRADES, eve, Fingerprint({}, "", "", FUTURES_TRADES.digest)) as writer:
        writer.publish({"volumes": volumes})


def test_after_a_roll_the_contract_is_what_the_lakes_volumes_say(reel: Tape, tmp_path: Path) -> None:
    gateway = Gateway(reel, reel.upto("mbp-10", at("09:40")), END)
    with live_rig(gateway, tmp_path) as live:
        of_the_eve(live.lake, {"ESM5": 40, "ESU5": 60})
        live.start("feed", *FEED)
        wait_for(live, lambda now: bool(now.get("run")))
        live.kill("feed")
        session = market(live)[0]
    assert isinstance(session, Session) and session.contract == "ESU5 by volume"
    [asked] = [one for one in gateway.sessions[-1] if one.schema == "mbp-10"]
    assert asked.symbols == ["ESU5"] and asked.stype == "raw_symbol" and asked.start == DAY.bronze.start
    assert [one.schema for one in gateway.sessions[0]] == ["definition"]  # first, and alone
    [trades] = [one for one in gateway.sessions[-1] if one.schema == "trades"]
    assert trades.symbols == ["ES.FUT", "E1B.OPT"]  # the date's options, by what definitions say


def told_why(gateway: Gateway, folder: Path, prepare: Callable[[Rig], None] = lambda live: None) -> str:
    """What a feed says that ends with exit code 1; its key stands nowhere."""
    with live_rig(gateway, folder) as live:
        prepare(live)
        live.start("feed", *FEED)
        feed = live.processes["feed"]
        feed.wait(60)
        assert feed.poll() == 1
        text = live.log("feed")
        assert KEY not in text and "Traceback" not in text
        return text


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"DATABENTO_API_KEY": ""}, "no key of the vendor: set DATABENTO_API_KEY_FILE (a file that holds it) or DATABENTO_API_KEY"),
        ({"DATABENTO_API_KEY_FILE": "/nowhere"}, "DATABENTO_API_KEY_FILE: /nowhere: No such file or directory"),
        ({"DATABENTO_API_KEY": KEY[::-1]}, "refuses the key: Authentication failed."),
    ],
)
def test_a_key_that_is_missing_or_wrong_is_told_in_a_sentence(
    reel: Tape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], words: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    text = told_why(Gateway(reel, len(reel), END), tmp_path)
    assert words in text and KEY[::-1] not in text


def test_a_key_may_stand_in_a_file(reel: Tape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    monkeypatch.delenv("DATABENTO_API_KEY")
    monkeypatch.setenv("DATABENTO_API_KEY_FILE", str(tmp_path / "key"))
    gateway = Gateway(reel, len(reel), END, refuse=lambda one: ("not for this account", databento.ErrorCode.INVALID_SUBSCRIPTION))
    assert "Error: the vendor tells no definitions: not for this account" in told_why(gateway, tmp_path / "rig")
    assert gateway.refused == 0


def test_what_the_vendor_or_the_rule_refuses_is_told_in_a_sentence(reel: Tape, tmp_path: Path) -> None:
    def book(one: Any) -> tuple[str, databento.ErrorCode] | None:
        return ("no licence for mbp-10", databento.ErrorCode.INVALID_SUBSCRIPTION) if one.schema == "mbp-10" else None

    text = told_why(Gateway(reel, len(reel), END, refuse=book), tmp_path / "book")
    assert "Error: the vendor refuses a subscription: no licence for mbp-10" in text
    text = told_why(Gateway(reel, len(reel), END), tmp_path / "rule", lambda live: of_the_eve(live.lake, {"ESZ5": 7}))
    assert "ESZ5, the contract of 2025-06-03 by volume, is not among the vendor's definitions: ESM5, ESU5" in text


def test_a_vendor_who_is_away_is_waited_for_and_health_says_so(reel: Tape, tmp_path: Path) -> None:
    gateway = Gateway(reel, len(reel), END, port=server.free_port())
    config = short(tmp_path / "short.toml", COARSE + settings(gateway))
    with rig(tmp_path / "own", tmp_path / "rig", {"": config}) as live:
        live.start("feed", *FEED)
        now = wait_for(live, lambda now: not now["ok"] and now.get("drops", 0) > 1)
        assert now["why"].startswith(f"no connection to 127.0.0.1:{gateway.port}: ")
        with serving(gateway):
            live.finish()
        last = market(live)[-1]
    assert isinstance(last, Clock) and last.watermark == DAY.globex.end


@pytest.mark.parametrize(
    ("now", "date"),
    [
        ("2025-06-02 16:55", "2025-06-03"),  # ten minutes before the session opens, Chicago time
        ("2025-06-03 09:00", "2025-06-03"),
        ("2025-06-03 15:59", "2025-06-03"),
        ("2025-06-03 16:30", None),  # between two sessions
        ("2025-06-07 12:00", None),  # a Saturday
        ("2025-06-08 16:51", "2025-06-09"),  # Sunday evening
        ("2025-07-04 12:00", None),  # a holiday
    ],
)
def test_which_date_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: str, date: str | None) -> None:
    """Waiting, it says for which."""
    moment = dt.datetime.fromisoformat(now).replace(tzinfo=ZoneInfo("America/Chicago"))
    monkeypatch.setattr("spymaster_live.live_dates.time.time_ns", lambda: int(moment.timestamp()) * 1_000_000_000)
    dates = LiveDates(None, Lake(tmp_path, Config()), KEY, None)  # type: ignore[arg-type]  # no client: nothing is said

    async def due() -> str | None:
        try:
            return str(await asyncio.wait_for(dates._due(), 0.2))
        except TimeoutError:
            return None

    assert asyncio.run(due()) == date
    if date is None:
        assert dates.state()["ok"] and dates.state()["waiting_for"] > now[:10]


@pytest.mark.slow
def test_one_command_for_everything(reel: Tape, tmp_path: Path) -> None:
    with serving(Gateway(reel, reel.upto("mbp-10", at("09:40")), END)) as gateway:
        config = short(tmp_path / "short.toml", COARSE + settings(gateway))
        words = ["--data", str(tmp_path / "own"), "all", "--live", "--date", str(DATE), "--until-done", "--capture"]
        ports = ["--port", str(server.free_port()), "--gateway-port", "0"]
        environment = {**os.environ, "SPYMASTER_CONFIG": str(config)}
        command = [sys.executable, "-m", "spymaster_live", *words, *ports]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert f"{DATE} is handed over by run {DATE}.1" in done.stdout and KEY not in done.stdout + done.stderr
