"""All of live, killed at random moments; and what a run leaves behind, which must not depend on that."""

from __future__ import annotations

import datetime as dt
import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from nats.aio.client import Client

from spymaster_assets import dbn
from spymaster_assets.columnar import to_numpy
from spymaster_assets.ingest import Intake
from spymaster_assets.lake import Lake
from spymaster_assets.landing import Landing, file_hash
from spymaster_assets.schema import TEXT
from spymaster_assets.tables import TABLES
from spymaster_live import bus, capture
from spymaster_live.gateway import wire
from spymaster_live.messages import CHANNELS, ROWS, digest
from tests.live import asking
from tests.live.rig import Rig

NAMES: Final = ("feed", "engine", "writer", "gateway", "nats-server")
OFTEN: Final = "[live]\ncapture_seconds = 0.2\ncapture_bytes = 2000000\nframe_seconds = 180.0\n"


def begin(live: Rig, date: dt.date, *words: str, gateway: tuple[str, ...] = ()) -> asking.Asked:
    """Start all of live over a date; the gateway. `words`: of the feed, `gateway`: of the gateway."""
    live.engine()
    live.start("writer", "writer", "--until-done")
    asked = asking.start(live, "gateway", *gateway)
    live.feed(date, *words)
    return asked


class Killing:
    """Kills so many processes, now one, now two at once, at random moments `apart` seconds apart; each starts again.

    Each process has its turn before one is killed again.
    """

    def __init__(self, live: Rig, chance: random.Random, kills: int, apart: tuple[float, float]) -> None:
        self.live, self.chance, self.left, self.apart = live, chance, kills, apart
        self.names = list(NAMES)
        self.counts: Counter[str] = Counter()
        self._turns: list[str] = []
        self._due = time.monotonic() + chance.uniform(*apart)

    def __call__(self) -> None:
        """To be called again and again while the run goes on."""
        if not self.left or time.monotonic() < self._due:
            return
        dying = self._chosen(min(self.left, self.chance.choice((1, 1, 2))))
        for name in dying:
            self.live.kill(name)
        self.left -= len(dying)
        self.counts.update(dying)
        time.sleep(self.chance.uniform(0.0, 0.5))
        for name in sorted(dying, key=lambda name: name != "nats-server"):
            if self.live.processes[name].poll() != 0:  # else it had done its work just before
                self.live.start(name)
        self._due = time.monotonic() + self.chance.uniform(*self.apart)

    def spare(self, name: str) -> None:
        """Kill a process no more."""
        self.names.remove(name)
        self._turns.clear()

    def _chosen(self, count: int) -> list[str]:
        """So many of those that run whose turn it is."""
        if len(self._turns) < count:
            self._turns += self.chance.sample(self.names, len(self.names))
        chosen, self._turns = self._turns[:count], self._turns[count:]
        return [name for name in dict.fromkeys(chosen) if self.live.processes[name].poll() is None]


@dataclass(frozen=True)
class Left:
    """What a run left, as hashes: messages in order, all lines, rows by table, records by channel, what the files hold."""

    market: str
    lines: str
    rows: Mapping[str, str]
    records: Mapping[str, str]
    handed_over: Mapping[str, str]
    repeated: int  # ids that stand in a stream more than once
    lost: int  # sequences, records and messages that the writer's accounts miss
    buried: int  # dead letters
    counts: Mapping[str, int]


def left(live: Rig, date: dt.date) -> Left:
    """What the one run of a rig left. AssertionError if the capture is not what was on the bus, or not sound."""
    said, market = live.said(), live.ask(_market)
    folder = live.lake / capture.FOLDER / str(date) / live.run()
    lines = [said.lines[snap] for snap in sorted(said.lines)]
    rows = {table.name: [table.place(c, said.rows[table.name]) for c in table.columns if c.dtype != TEXT] for table in ROWS}
    hashed = {name: digest(b"".join(part.tobytes() for part in parts)) for name, parts in rows.items()}
    assert captured_lines(folder) == lines
    assert _captured_rows(folder) == {name: value for name, value in hashed.items() if len(said.rows[name])}
    assert capture.verify(folder) == []
    account = [facts for stream in (bus.MARKET, bus.LEVELS) for facts in capture.batches(folder, stream)]
    records = {channel: _records(folder / channel) for channel in CHANNELS}
    handed = Landing(live.lake / "landing", live.config()).captured(date)
    dead = live.ask(lambda client: bus.last_sequence(client, bus.DLQ))
    counts = {"messages": len(market) + len(said.ids), "records": sum(count for _, count in records.values()), "lines": len(lines)}
    return Left(
        market=digest(repr(market).encode()), lines=digest(b"\n".join(lines)), rows=hashed,
        records={channel: value for channel, (value, _) in records.items()},
        handed_over={path.name: _held(path) for path in sorted(handed.iterdir())},
        repeated=len(said.ids) - len(set(said.ids)) + len(market) - len(set(market)),
        lost=sum(len(facts["lost"]) + len(facts["dead"]) + len(facts.get("gaps", ())) for facts in account), buried=dead,
        counts={**counts, **{name: len(found) for name, found in said.rows.items() if len(found)}},
    )  # fmt: skip


def _held(path: Path) -> str:
    """Hash of a landing file's bytes; of a clock, its rows (batches become row groups); of run.json, the counts."""
    if path.suffix == ".parquet":
        return digest(b"".join(column.to_numpy().tobytes() for column in pq.read_table(path).columns))
    return str(orjson.loads(path.read_bytes())["records"]) if path.suffix == ".json" else file_hash(path)


async def _market(client: Client) -> list[tuple[str, str]]:
    """Id and hash of every message of MARKET, in order."""
    end, found = await bus.last_sequence(client, bus.MARKET), []
    reader = bus.Reader(client, bus.MARKET, 1)
    while reader.next <= end:
        for _, message in await reader.read():
            facts = message.headers or {}
            found.append((facts["Nats-Msg-Id"], facts.get("Hash", "")))
    await reader.close()
    return found


def _parquet(folder: Path) -> list[pa.Table]:
    return [pq.read_table(path, page_checksum_verification=True) for path in sorted(folder.glob("*.parquet"), key=capture.span)]


def captured_lines(folder: Path) -> list[bytes]:
    """Payloads in the order of their snaps, each as often as it was captured."""
    held = pa.concat_tables(_parquet(folder / "signals")).sort_by("snap")
    return [line.encode() for line in held["payload"].to_pylist()]


def _captured_rows(folder: Path) -> dict[str, str]:
    found = {}
    for table in ROWS:
        if parts := _parquet(folder / "rows" / table.name):
            held = pa.concat_tables(parts).unify_dictionaries()
            columns = [c for c in table.columns if c.dtype != TEXT]
            arrays = [np.concatenate([to_numpy(c, chunk) for chunk in held[c.name].chunks]) for c in columns]
            found[table.name] = digest(b"".join(array.tobytes() for array in arrays))
    return found


def _records(folder: Path) -> tuple[str, int]:
    """Hash of a channel's records, and how many there are."""
    paths = sorted(folder.glob("*.dbn.zst"), key=capture.span)
    parts = [chunk for path in paths for chunk in dbn.read(path, dbn.read_header(path).schema or "")]
    return digest(b"".join(part.tobytes() for part in parts)), sum(map(len, parts))


def landed(lake: Lake, date: dt.date) -> dict[str, str]:
    """Hash of each channel's records as landing's files have them."""
    intake = Intake(date, lake, Landing(lake.root / "landing", lake.config))
    return {
        channel: digest(b"".join(chunk.tobytes() for chunk in intake.records(TABLES[f"bronze/{channel}"]))) for channel in CHANNELS
    }


def mirrored(live: Rig, gateway: asking.Asked) -> dict[str, Any]:
    """What of a gateway's snapshot is not what a fold of the stream says; empty if all is."""
    theirs = asking.snapshot(gateway)
    mine = orjson.loads(asking.folded(live).snapshot("begin", wire.TOPICS, ""))["data"]
    return {name: theirs[name] for name in ("session", "signals", "rows") if theirs[name] != mine[name]}
