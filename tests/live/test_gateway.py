"""The gateway with a real server, feed and engine: what it tells is what the engine said, and it says so when it cannot.

One replay, paused at 09:50 and steered over the gateway; the tests stand in the order of the date.
"""

import asyncio
import json
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from spymaster_assets.lake import Lake
from spymaster_assets.states import LEVEL_KINDS, OUTCOMES
from spymaster_assets.tables import BARS, DEALERS, HEAT, LABELS, LEVELS, SIGNALS, STRIKES, TABLES, TOUCHES
from spymaster_live import bus, messages
from spymaster_live.client import Stream, line
from spymaster_live.gateway import wire
from spymaster_live.gateway.fold import KEPT, SUBJECTS, TRACE, Fold
from spymaster_live.gateway.past import Past
from tests.live.asking import TOKEN, folded, heard, heard_until, said, snapshot, start
from tests.live.rig import Rig, rig, short, small_lake
from tests.live.test_faults import DATE

NAME = re.compile(r"spymaster_\w+")  # of a metric, in an expression
QUICK = """
[live.gateway]
stale_seconds = 3.0
heartbeat_seconds = 0.5
requests_per_second = 1000.0
connects_per_second = 1000.0
"""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_lake(tmp_path_factory.mktemp("lake"), DATE, 20_000, silver=True)


@pytest.fixture(scope="module")
def live(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("live")
    with pytest.MonkeyPatch.context() as patch, rig(lake, folder, {"": short(folder / "quick.toml", QUICK)}) as made:
        patch.setenv("SPYMASTER_GATEWAY_TOKEN", TOKEN)
        made.engine()
        yield made


@pytest.fixture(scope="module")
def gateway(live: Rig) -> Any:
    """A gateway that saw the date from its first message on; the replay is paused at 09:50."""
    asked = start(live)
    live.feed(DATE, "--speed", "1", "--from", "09:50", "--paused")
    asked.until(lambda told: told.get("rest") == "the replay is paused" and told["ok"])
    asked.until(lambda told: isinstance(told, dict) and told.get("snap", 0) >= at("09:50"), "/api/levels")
    return asked


def at(clock: str) -> int:
    """The snap that ends at a New York time."""
    hours, minutes = map(int, clock.split(":"))
    return ((hours + 6) * 60 + minutes) * 240


def told_rows(live: Rig) -> list[int]:
    """The sequences of the messages of levels.rows that hold a row for clients."""
    found = []
    for seq, subject, headers, _ in said(live):
        counts = dict(one.split("=") for one in headers["Rows"].split()) if subject == messages.LEVELS_ROWS else {}
        if any(int(counts.get(table.name, 0)) for table in KEPT):
            found.append(seq)
    return found


def table(told: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(zip(told["columns"], row, strict=True)) for row in told["rows"]]


def expected(of: Any, rows: np.ndarray) -> list[list[Any]]:
    return json.loads(wire.encoded(of, rows))["rows"]


def test_a_snapshot_is_the_fold_of_the_stream(live: Rig, gateway: Any) -> None:
    """Of a gateway that saw everything, and of one that came late."""
    mine = json.loads(folded(live).snapshot("begin", wire.TOPICS, ""))["data"]
    for asked in (gateway, start(live, "late")):
        asked.until(lambda told: told["ok"])
        theirs = snapshot(asked)
        for name in ("session", "signals", "rows"):
            assert theirs[name] == mine[name], name
        assert theirs["flow"]["snaps"] == mine["flow"]["snaps"] and theirs["flow"]["flow"] == mine["flow"]["flow"]
        assert theirs["session"]["run"] == live.run() and theirs["session"]["date"] == str(DATE)
        assert theirs["status"]["state"] == "running" and theirs["why"] == "begin"
        bars = table(theirs["rows"]["bars"])
        assert [one["k"] for one in bars if one["minutes"] == 1] == list(range(240, at("09:50") + 1, 240))
    live.kill("late")


def test_only_the_topics_that_are_wanted(gateway: Any) -> None:
    told = snapshot(gateway, "?topics=status,rows")
    assert told["topics"] == ["rows", "status"] and "signals" not in told and "flow" not in told
    with gateway.stream("?topics=status") as stream:
        assert heard(stream)["data"]["topics"] == ["status"]
        stream.send(json.dumps({"do": "subscribe", "topics": ["signals"]}))
        told = heard_until(stream, lambda one: one["type"] == "snapshot")[-1]["data"]
        assert (told["why"], told["topics"]) == ("subscribe", ["signals"]) and told["signals"][0]["snap"] >= at("09:50")


def test_what_is_new_comes_in_order_and_once(live: Rig, gateway: Any) -> None:
    with gateway.stream() as stream:
        begun = heard(stream)
        status, state = gateway.order(do="step", seconds=65)
        assert status == 200 and state["paused"]
        told = heard_until(stream, lambda one: one["type"] == "signals" and one["data"][-1]["snap"] >= at("09:51") + 10)
    seqs = [begun["seq"], *(one["seq"] for one in told)]
    assert seqs == sorted(set(seqs))
    snaps = [one["snap"] for message in told if message["type"] == "signals" for one in message["data"]]
    assert snaps == list(range(snaps[0], snaps[-1] + 1)) and len(snaps) >= 250  # a client that is not slow misses nothing
    closed = [row for one in told if one["type"] == "rows" and "bars" in one["data"] for row in table(one["data"]["bars"])]
    assert (1, at("09:51")) in [(row["minutes"], row["k"]) for row in closed]
    assert line(told[-1]["data"][-1], "America/New_York").startswith(f"{DATE} 09:51:0")


def test_the_minute_that_is_not_closed_comes_out_as_its_bar(live: Rig, gateway: Any) -> None:
    """All but its open, which is known at the close: flow alone, minute by minute, beside the bars that the engine told."""
    fold, formed = Fold(live.config().grid.interval_ns), {}
    fold.begin({"Run": live.run()})
    for seq, subject, headers, data in said(live):
        if subject == messages.LEVELS_FLOW and headers["Run"] == fold.run:
            fold.take(seq, subject, headers, data)
            if fold.forming["from"] == fold.forming["k"] - 239:
                formed[fold.forming["k"]] = dict(fold.forming)
    bars = {row["k"]: row for row in table(json.loads(wire.encoded(BARS, folded(live).rows(BARS)))) if row["minutes"] == 1}
    whole = {
        k: one for k, one in list(formed.items())[1:] if one["ts"] == bars.get(k, {}).get("ts")
    }  # of the first none knew the lots
    names = ("high", "low", "close", "volume", "ts")
    assert len(whole) >= 5 and sum(one["volume"] for one in whole.values()) > 0
    assert [[one[name] for name in names] for one in whole.values()] == [[bars[k][name] for name in names] for k in whole]


def test_who_comes_back_goes_on_where_it_was(live: Rig, gateway: Any) -> None:
    with gateway.stream() as stream:
        begun = heard(stream)
    gateway.order(do="step", seconds=125)
    gateway.until(lambda told: told["snap"] >= at("09:53"), "/api/levels")
    with gateway.stream(f"?after={begun['seq']}&stream={begun['data']['stream'].replace('+', '%2B')}") as stream:
        assert heard(stream) == {"type": "resumed", "seq": begun["seq"]}
        told = heard_until(stream, lambda one: one["type"] == "signals" and one["data"][-1]["snap"] >= at("09:53"))
    rows = [seq for seq in told_rows(live) if begun["seq"] < seq <= told[-1]["seq"]]
    assert rows and [one["seq"] for one in told if one["type"] == "rows"] == rows
    assert len({one["seq"] for one in told}) == len(told)
    for query in ("?after=1", f"?after={begun['seq']}&stream=another", "?after=999999999"):
        assert snapshot(gateway, query)["why"] == "resync"


def test_a_server_that_was_away_changes_nothing_for_a_client(live: Rig, gateway: Any) -> None:
    """The client of the package is across a restart of the server, and across one of the gateway."""
    found: list[dict[str, Any]] = []

    async def listen() -> None:
        async with Stream(f"ws://127.0.0.1:{gateway.port}", TOKEN, ["rows", "signals"]) as stream:
            async for message in stream:
                found.append(message)
                if message["type"] == "signals" and message["data"][-1]["snap"] >= at("09:56"):
                    return

    def trouble() -> None:
        live.kill("nats-server")
        gateway.until(lambda told: not told["ok"] and "is not connected" in told["why"])
        assert gateway.ask("/healthz")[0] == 200 and gateway.ask("/readyz")[0] == 503
        live.start("nats-server")
        gateway.until(lambda told: told["ok"])
        step(60)
        gateway.until(lambda told: told["snap"] >= at("09:54"), "/api/levels")
        live.kill("gateway")
        live.start("gateway")
        gateway.until(lambda told: bool(told.get("ok")))
        step(130)

    def step(seconds: int) -> None:
        while gateway.order(do="step", seconds=seconds)[0] != 200:  # the feed is not back yet
            time.sleep(0.1)

    async def work() -> None:
        await asyncio.wait_for(asyncio.gather(listen(), asyncio.to_thread(trouble)), 60)

    asyncio.run(work())
    stored = [seq for seq in told_rows(live) if found[0]["seq"] < seq <= found[-1]["seq"]]
    known = set()
    for message in found[1:]:
        seqs = [seq for seq in stored if seq <= message["seq"]] if message["type"] == "snapshot" else [message["seq"]]
        known.update(seqs)
    assert stored and set(stored) <= known  # a snapshot holds all rows before it


def test_what_stalls_is_told(live: Rig, gateway: Any) -> None:
    for name, words in (("feed", "no feed answers"), ("engine", "the engine has said nothing")):
        os.kill(live.processes[name]._process.pid, signal.SIGSTOP)
        told = gateway.until(lambda told: not told["ok"])
        assert words in told["why"] and gateway.ask("/readyz")[0] == 503
        os.kill(live.processes[name]._process.pid, signal.SIGCONT)
        gateway.until(lambda told: told["ok"])
    assert "spymaster_gateway_ready 1.0" in gateway.ask("/metrics")[1]


def test_dashboard_and_alerts_ask_for_what_metrics_tell(live: Rig, gateway: Any) -> None:
    """Every name in them is one of /metrics, every metric of another part is on the dashboard; and the engine's are its own."""
    text = gateway.ask("/metrics")[1]
    told = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    told -= {name for name in told if name.endswith("_created")}
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    board, rules = (Path(__file__).parents[2] / "deploy" / name for name in ("grafana-dashboard.json", "alerts.yml"))
    on_it = {
        name for panel in json.loads(board.read_text())["panels"] for one in panel["targets"] for name in NAME.findall(one["expr"])
    }
    alarms = {
        name
        for group in yaml.safe_load(rules.read_text())["groups"]
        for one in group["rules"]
        for name in NAME.findall(one["expr"])
    }
    assert (on_it | alarms) - told == set()
    assert {name for name in told if name.split("_")[1] in ("engine", "writer", "feed")} - on_it == set()
    status = live.status()[-1]
    assert float(values["spymaster_engine_snap"]) == status["snap"] and float(values["spymaster_engine_well"]) == 1
    channel = 'spymaster_engine_records_total{channel="futures_mbp10"}'
    assert float(values[channel]) == status["records"]["futures_mbp10"] > 0
    assert float(values["spymaster_feed_well"]) == 1 and "spymaster_writer_well" not in values  # there is none
    assert 0 < float(values['spymaster_engine_snap_seconds{quantile="0.99"}']) < 10


def test_another_session_begins_anew_for_everybody(live: Rig, gateway: Any) -> None:
    with gateway.stream() as stream:
        before = heard(stream)["data"]["session"]["run"]
        assert gateway.order(do="seek", to="09:47")[0] == 200
        told = heard_until(stream, lambda one: one["type"] == "snapshot")[-1]["data"]
    assert told["why"] == "session" and told["session"]["run"] == live.run() != before
    gateway.until(lambda told: isinstance(told, dict) and at("09:47") <= told.get("snap", 0) < at("09:50"), "/api/levels")


def test_trouble_of_requests_is_one_sentence(gateway: Any) -> None:
    for path, status, words in (
        ("/api/bars?date=2025-06-07", 404, "weekend"),
        ("/api/bars?date=yesterday", 422, "YYYY-MM-DD"),
        ("/api/bars?minutes=5", 422, "1 or 2"),
        ("/api/bars?date=2025-06-04", 404, "no bars of 2025-06-04"),
        ("/api/touches?date=2025-06-04", 404, "spymaster day 2025-06-04"),
        ("/api/moment?date=2025-06-04&k=1", 404, "no snaps of 2025-06-04"),
        ("/api/moment?date=2025-06-03&k=x", 422, "k: "),
        ("/api/moment?k=1", 422, "date: "),
        ("/api/nothing", 404, "Not Found"),
    ):
        assert gateway.ask(path)[0] == status and words in gateway.ask(path)[1]["error"]
    for body, status in (
        (b"{", 400),
        (b"[]", 400),
        (b'{"do":"fly"}', 400),
        (b"x" * 5000, 413),
        (b'{"do":"speed","speed":-1}', 400),
    ):
        assert gateway.ask("/api/replay", body=body)[0] == status


def test_a_broken_manifest_is_told_and_nothing_of_the_disk(live: Rig, gateway: Any, lake: Path) -> None:
    broken = lake / "silver" / "bars" / "date=2025-06-05" / "manifest.json"
    broken.parent.mkdir()
    broken.write_text("{")
    status, told, _ = gateway.ask("/api/bars?date=2025-06-05")
    broken.unlink()
    assert status == 500 and told == {"error": "the lake cannot be read there: spymaster doctor says more"}


def test_names_and_units(gateway: Any) -> None:
    told = gateway.get("/api/tables")
    assert list(told["tables"]) == list(TABLES)
    kind = next(column for column in told["tables"]["silver/touches"]["columns"] if column["name"] == "kind")
    assert kind["unit"] == "name" and "PM_HIGH" in kind["words"]
    assert {"name": "es.spot", "unit": "points", "meaning": "latest print"} in told["levels.signals"]


def test_a_date_that_is_over_is_that_of_the_lake(live: Rig, gateway: Any, lake: Path) -> None:
    """Bars, levels and touches, beside what Dagster would have stored."""
    gateway.order(do="seek", to="16:59:59")  # in large frames up to there
    gateway.order(do="speed", speed=0)
    gateway.order(do="start")
    told = gateway.until(lambda told: told.get("rest") == "the date is over", seconds=120)
    assert told["ok"]
    stored = Lake(lake, live.config())
    bars = stored.rows(BARS, DATE)
    for minutes in (1, 2):
        told = gateway.get(f"/api/bars?minutes={minutes}")
        assert told["running"] and told["bars"]["rows"] == expected(BARS, bars[bars["minutes"] == minutes])
    told = gateway.get("/api/touches")
    assert told["touches"]["rows"] == expected(TOUCHES, stored.rows(TOUCHES, DATE)) and "labels" not in told
    assert sorted(told["levels"]["rows"]) == sorted(expected(LEVELS, stored.rows(LEVELS, DATE)))
    assert gateway.get("/api/dates") == {"running": str(DATE), "dates": [str(DATE)], "simulated": []}
    models = gateway.get("/api/models")
    assert models["champion"]["name"] == "geometry" and models["models"] == {} and models["session"] == ""
    status, _, headers = gateway.ask("/api/bars")
    assert status == 200 and gateway.ask("/api/bars", {"If-None-Match": headers["etag"]})[0] == 304


def test_a_moment_of_the_lake_is_what_live_said(live: Rig, gateway: Any) -> None:
    """Every touch at its first snap and later, and snaps without one: the payload, the book, and the dealers of the minute."""
    run, lines, held = live.run(), {}, {}
    for _, subject, headers, data in said(live):
        if subject == messages.LEVELS_SIGNALS and headers["Run"] == run:
            lines |= {line["snap"]: line for line in map(json.loads, data.splitlines())}
        elif subject == messages.LEVELS_FLOW and headers["Run"] == run:
            rows = messages.unpack(messages.FLOWS, headers["Rows"], data)
            held |= {int(row["k"]): (rows["dealers"][n : n + 1], rows["strikes"][rows["strikes"]["k"] == row["k"]])
                     for n, row in enumerate(rows["dealers"])}  # fmt: skip
    begun = [k for k, line in lines.items() if any(one["touch"] and one["touch"]["elapsed"] == 0 for one in line["levels"])]
    assert len(begun) >= 5
    for k in [*begun, *(k + 40 for k in begun), *(k // 240 * 240 for k in begun), min(lines)]:
        told = gateway.get(f"/api/moment?date={DATE}&k={k}")
        assert told["signals"] == [lines[k]]
        assert table(told["flow"]["snaps"])[0]["k"] == k and told["running"] is False
        if k in held:
            dealers, strikes = held[k]
            assert told["flow"]["dealers"]["rows"] == expected(DEALERS, dealers)
            assert told["flow"]["strikes"]["rows"] == expected(STRIKES, strikes)
    assert sum(k // 240 * 240 in held for k in begun) >= 4
    for query, status in ((f"date={DATE}&k=331201", 422), (f"date={DATE}&k=-1", 422), ("date=2025-06-04&k=5", 404)):
        assert gateway.ask(f"/api/moment?{query}")[0] == status


def test_pictures_of_the_run_are_those_of_the_lake(live: Rig, gateway: Any, lake: Path) -> None:
    """Liquidity and scores, from the stream and from Parquet: the gateway that saw the date, one that came late, and the lake's."""
    past, stored = Past(Lake(lake, live.config())), Lake(lake, live.config())
    cells = past.heat(DATE, 240)
    assert len(np.unique(cells["k"])) == 60 and len(cells) > 1000  # minutes of the window
    late = start(live, "late")
    late.until(lambda told: told["ok"])
    for asked in (gateway, late):
        assert asked.get("/api/heat")["heat"]["rows"] == expected(HEAT, cells)
        after = int(cells["k"][len(cells) // 2])
        assert asked.get(f"/api/heat?after={after}")["heat"]["rows"] == expected(HEAT, cells[cells["k"] > after])
        for touch in range(0, len(stored.rows(TOUCHES, DATE)), 3):
            told = asked.get(f"/api/scores?touch={touch}")["scores"]
            assert told["columns"] == list(TRACE) and told["rows"]
            assert told["rows"] == json.loads(wire.encoded(SIGNALS, past.trace(DATE, touch), TRACE))["rows"]
    live.kill("late")


def test_what_came_of_it_before(live: Rig, gateway: Any, lake: Path) -> None:
    """For the date after: outcomes counted one by one. No model, so no odds and no analogs."""
    stored = Lake(lake, live.config())
    labels, touches = stored.rows(LABELS, DATE), stored.rows(TOUCHES, DATE)
    counts: Counter[tuple[str, str]] = Counter()
    for label in labels:
        if label["elapsed"] == 0 and OUTCOMES[label["outcome_4min"]] in ("BREAK", "BOUNCE", "CHOP"):
            counts[LEVEL_KINDS[touches[label["touch"]]["kind"]], OUTCOMES[label["outcome_4min"]].lower()] += 1
    told = gateway.get("/api/outcomes?date=2025-06-04")
    found = {(one["kind"], word): one[word] for one in told["levels"] for word in ("break", "bounce", "chop") if one[word]}
    assert found == counts and sum(counts.values()) >= 5
    assert all(one["touches"] == one["break"] + one["bounce"] + one["chop"] for one in told["levels"])
    assert told["dates"] == 1 and told["champion"] == "geometry" and not sum(one["touches"] for one in told["odds"])
    assert gateway.get("/api/outcomes")["dates"] == 0  # of the running date nothing counts
    assert gateway.get("/api/analogs?touch=0") is None


def test_a_stream_that_is_gone_and_made_anew(live: Rig, gateway: Any, lake: Path) -> None:
    """It says so, begins anew, and tells dates of the lake as before."""
    live.ask(lambda client: client.jsm().delete_stream(bus.LEVELS))
    told = gateway.until(lambda told: told["why"] == "the stream LEVELS is gone")  # at first it may be the engine that is silent
    assert not told["ok"]
    with gateway.stream() as stream:
        heard(stream)
        live.ask(lambda client: bus.provision(client, live.config()))
        told = heard_until(stream, lambda one: one["type"] == "snapshot")[-1]["data"]
    assert told["why"] == "resync" and told["rows"]["bars"]["rows"] == []
    live.ask(lambda client: client.jsm().purge_stream(bus.MARKET))
    live.kill("gateway")
    live.start("gateway")
    told = gateway.until(lambda told: "why" in told and told["why"] == "no session has begun")
    stored, told = Lake(lake, live.config()), gateway.get(f"/api/touches?date={DATE}")
    assert not told["running"] and told["labels"]["rows"] == expected(LABELS, stored.rows(LABELS, DATE))
    assert gateway.ask("/api/bars")[1] == {"error": "no session has begun: name a date"}
    assert gateway.order(do="state")[0] == 409


def test_every_subject_has_a_topic() -> None:
    assert set(SUBJECTS) == {getattr(messages, name) for name in dir(messages) if name.startswith("LEVELS_")}
    assert SimpleNamespace(**dict.fromkeys(SUBJECTS.values())) == SimpleNamespace(**dict.fromkeys(wire.TOPICS))


def test_the_token_is_in_no_log(live: Rig) -> None:
    for path in live.folder.glob("*.log"):
        assert TOKEN not in path.read_text()
