"""An engine that stopped, hangs or stands still beside its feed: doctor says so, and whoever else is not well."""

import datetime as dt
import json
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from nats.aio.client import Client

from spymaster_assets.config import Config
from spymaster_assets.finding import Finding
from spymaster_live import health
from spymaster_live.__main__ import main
from spymaster_live.doctor import examine
from tests.live.asking import TOKEN, start
from tests.live.rig import Rig, rig, short, small_lake

DATE = dt.date(2025, 6, 3)
QUICK = "[doctor]\nstill_seconds = 0.3\n"
SECRET = "hunter2"  # of an address; a server without users lets anybody in


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A replay that is paused in the midst of the signals, and an engine that has said all of it."""
    folder = tmp_path_factory.mktemp("stale")
    lake = small_lake(folder / "lake", DATE, 5_000)
    with pytest.MonkeyPatch.context() as patch, rig(lake, folder, {"": short(folder / "quick.toml", QUICK)}) as made:
        patch.setenv("SPYMASTER_LOG", "json")
        made.url = made.url.replace("nats://", f"nats://user:{SECRET}@")
        made.start("engine", "engine")
        made.feed(DATE, "--speed", "1", "--from", "09:40", "--paused")
        end = time.monotonic() + 60
        while not any(one.get("snap", 0) > 225_000 for one in made.status()[-1:]):
            assert time.monotonic() < end, made.log("engine")
            time.sleep(0.2)
        yield made


def events(live: Rig, part: str) -> list[dict[str, Any]]:
    """What a part logged, once it logged anything: each sees by itself that the bus is away."""
    deadline = time.monotonic() + 20
    while not (text := (live.folder / f"{part}.log").read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return [json.loads(line) for line in text.splitlines()]


def doctor(live: Rig) -> tuple[int, list[Finding]]:
    """Exit code and findings of the command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPYMASTER_CONFIG", str(live.configs[""]))
        done = CliRunner().invoke(main, ["doctor", "--nats", live.url])
    found = [Finding.read(line) for line in done.stdout.splitlines()]
    assert None not in found, done.output
    return done.exit_code, [one for one in found if one]


def until(live: Rig, wanted: str) -> list[str]:
    """Problems, once one of them begins as wanted."""
    end = time.monotonic() + 30
    while True:
        code, found = doctor(live)
        problems = [one.message for one in found if not one.well]
        if any(one.startswith(wanted) for one in problems):
            assert code == 1
            return problems
        assert time.monotonic() < end, found
        time.sleep(0.2)


def test_all_is_well_while_the_engine_keeps_up(live: Rig) -> None:
    code, found = doctor(live)
    assert code == 0 and [one.well for one in found] == 4 * [True], found
    told = {one.message.partition(":")[0]: one.message for one in found}
    assert told["engine"].startswith(f"engine: run {DATE}.1, snap 22") and told["writer"].endswith(": nothing is captured")


def test_an_engine_that_hangs_is_named(live: Rig) -> None:
    live.signal("engine", signal.SIGSTOP)
    try:
        assert until(live, "engine: ") == ["engine: engine does not answer within 5 s"]
    finally:
        live.signal("engine", signal.SIGCONT)


def test_an_engine_that_was_killed_is_named(live: Rig) -> None:
    live.kill("engine")
    assert until(live, "engine: ") == ["engine: no engine is connected to the bus"]


def test_an_engine_that_stands_still_while_the_feed_is_ahead_is_named(live: Rig) -> None:
    """It answers, and reads nothing more: one that speaks for it says where it stands."""
    config, stands = Config.model_validate({"doctor": {"still_seconds": 0.2}}), {"at": 0}

    async def work(client: Client) -> list[list[str]]:
        told = []
        feed = await health.ask(client, "feed")
        stands["at"] = feed["position"] - 60_000_000_000

        def state() -> dict[str, Any]:
            stands["at"] += stands.get("step", 0)
            return {"ok": True, "why": None, "age": 0.0, "run": f"{DATE}.1", "date": str(DATE), "watermark": stands["at"]}

        await health.answer(client, "engine", state)
        for step in (0, 1_000_000):
            stands["step"] = step
            told.append([one.message for one in await examine(client, config) if not one.well])
        return told

    still, moving = live.ask(work)
    assert still == ["engine: it stands at 09:39:00 New York time, the feed is at 09:40:00"] and moving == []


def test_what_parts_count_is_told(live: Rig) -> None:
    async def work(client: Client) -> list[str]:
        said = {"ok": True, "why": None, "age": 61.0, "run": "r", "missing": 3, "dead": 1, "model_trouble": "gone"}
        said["same_config"] = False
        await health.answer(client, "engine", lambda: said)
        lines = {"LEVELS": {"dead": 2, "lost": 0}}
        await health.answer(client, "writer", lambda: {"ok": False, "why": "No space left on device", "streams": lines})
        return [one.message for one in await examine(client, Config()) if not one.well]

    assert live.ask(work) == [
        "engine: at the same work for 61 s",
        "engine: 3 records never came",
        "engine: 1 messages could not be read (dlq.>)",
        "engine: no model serves: gone",
        "engine: its configuration is not the feed's",
        "writer: No space left on device",
        "writer: LEVELS: 2 messages could not be read (dlq.>)",
    ]


def test_parts_log_json_with_run_and_date_and_no_credentials(live: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line of every part; and where the bus is away /readyz and the log name it without its user and password."""
    monkeypatch.setenv("SPYMASTER_LOG", "json")
    monkeypatch.setenv("SPYMASTER_GATEWAY_TOKEN", TOKEN)
    gateway = start(live)
    gateway.until(lambda told: told.get("run") is not None)
    live.kill("nats-server")
    told = gateway.until(lambda told: "is not connected" in (told.get("why") or ""))
    assert told["why"] == f"NATS at nats://127.0.0.1:{live.port} is not connected"
    for part in ("engine", "feed", "gateway"):
        lines = events(live, part)
        assert {one["part"] for one in lines} == {part} and {"time", "level", "logger", "message"} <= set.intersection(
            *map(set, lines)
        )
        if part != "feed":  # which has nothing to say of its run
            assert {(one["run"], one["date"]) for one in lines} - {(None, None)} == {(f"{DATE}.1", str(DATE))}
        assert SECRET not in live.log(part)
    assert any(one["message"].startswith("gateway http://127.0.0.1:") for one in events(live, "gateway"))
