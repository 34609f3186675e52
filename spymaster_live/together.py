"""Everything on one machine: a NATS server, the streams, a feed, an engine, a gateway and, if asked for, a writer.

Each is a process that is started again if it dies.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from tqdm import tqdm

from spymaster_assets.lake import Lake
from spymaster_assets.tables import PREDICTIONS
from spymaster_live import bus, messages, server
from spymaster_live.parity import differences, said, verdict

CANNOT = 1  # exit code of a part that started again would say the same: a missing file, a date without a session
SAID_SECONDS = 10.0  # between lines where no terminal shows a bar
AGAIN_SECONDS = 1.0  # between a process's death and its next start


@dataclass
class Kept:
    """A process that is kept alive. `once`: one that ends well has done its work."""

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    once: bool
    process: subprocess.Popen[bytes] | None = None
    died: float = 0.0
    deaths: int = 0

    def look_after(self) -> None:
        """Start it, or start it again a moment after it died."""
        if self.process is None:
            if time.monotonic() - self.died >= AGAIN_SECONDS:
                self.process = self.start()
            return
        code = self.process.poll()
        if code is None or (code == 0 and self.once):
            return
        if code == CANNOT:
            raise RuntimeError(f"{self.name} cannot go on; it said why")
        self.deaths, self.died, self.process = self.deaths + 1, time.monotonic(), None
        click.echo(f"{self.name} ended with {code}; starting it again", err=True)
        if self.deaths >= 20:
            raise RuntimeError(f"{self.name} ended {self.deaths} times; giving up")

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def _part(lake: Lake, url: str, *words: str) -> Callable[[], subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "spymaster_live", "--data", lake.url or str(lake.root), *words, "--nats", url]
    return lambda: subprocess.Popen(command, env=os.environ.copy())


def together(lake: Lake, feed: Sequence[str], port: int, until_done: bool, capture: bool, gateway_port: int) -> int:
    """Run everything until stopped, or until the date is over. `feed`: its words; `capture`: with a writer.

    `gateway_port`: 0 for no gateway. The exit code.
    """
    url = f"nats://127.0.0.1:{port}"
    gateway = ("gateway", "--port", str(gateway_port), *(("--writer",) if capture else ()))
    kept = [
        Kept("nats-server", lambda: server.start(port, lake.root / "nats"), once=False),
        Kept("engine", _part(lake, url, "engine"), once=False),
        *([Kept("writer", _part(lake, url, "writer", *(["--until-done"] * until_done)), once=until_done)] if capture else []),
        *([Kept("gateway", _part(lake, url, *gateway), once=False)] if gateway_port else []),
        Kept("feed", _part(lake, url, "feed", *feed), once=True),
    ]
    try:
        server.make_sure(port)
        return asyncio.run(_watch(lake, kept, url, port, until_done))
    except RuntimeError as error:
        click.echo(f"Error: {error}", err=True)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        for one in reversed(kept):
            one.stop()


async def _watch(lake: Lake, kept: list[Kept], url: str, port: int, until_done: bool) -> int:
    """Keep the processes alive and show what the engine says."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    kept[0].look_after()
    await server.listening(port)
    async with bus.connected(url, "all") as client:
        await bus.provision(client, lake.config)
        shown = _Shown()
        await client.subscribe(messages.LEVELS_STATUS, cb=shown.status)
        click.echo(f"bus {url}; subjects and payloads: docs/live.md; steer: python -m spymaster_live control pause --nats {url}")
        click.echo("Ctrl-C ends everything; what has come stays in the streams")
        while not ended.is_set() and not (until_done and await _over(client, kept, shown)):
            for one in kept:
                one.look_after()
            try:
                await asyncio.wait_for(ended.wait(), 0.2)
            except TimeoutError:
                continue
        shown.bar.close()
        return 0 if ended.is_set() else await _compare(lake, client, shown)


async def _over(client: Client, kept: list[Kept], shown: _Shown) -> bool:
    """Whether the feed has published its run, the engine has worked on all of it, and the writer has it."""
    if any(one.once and (one.process is None or one.process.poll() != 0) for one in kept) or not shown.done:
        return False
    session = await bus.patiently(lambda: bus.last(client, bus.MARKET, messages.SESSION))
    return session is not None and (session.headers or {}).get("Run") == shown.status_now["run"]


async def _compare(lake: Lake, client: Client, shown: _Shown) -> int:
    """The run beside Dagster's Silver, if the date was materialized."""
    run, date = shown.status_now["run"], dt.date.fromisoformat(shown.status_now["date"])
    if any(lake.manifest(table, date) is None for table in messages.ROWS if table is not PREDICTIONS):
        click.echo(f"run {run} is over; {date} has no Silver to compare with: spymaster day {date}")
        return 0
    found, counts = differences(lake, date, await said(client, run))
    click.echo(verdict(run, found, counts))
    return 1 if found else 0


class _Shown:
    """The engine's status as a bar over the date's snaps."""

    def __init__(self) -> None:
        self.status_now: dict[str, Any] = {}
        self._said = 0.0
        self.bar = tqdm(desc="waiting for a session", disable=None, unit=" snaps", unit_scale=True, dynamic_ncols=True)

    @property
    def done(self) -> bool:
        return self.status_now.get("state") == "done" and not self.status_now.get("behind")

    async def status(self, message: Msg) -> None:
        try:
            now = orjson.loads(message.data)
        except orjson.JSONDecodeError:
            return
        self.status_now = now
        if now.get("run"):
            self.bar.total = now["of"]
            self.bar.n = max(0, now["snap"])
            if self.bar.disable and time.monotonic() - self._said >= SAID_SECONDS:
                self._said = time.monotonic()
                click.echo(
                    f"run {now['run']}: snap {now['snap']:,} of {now['of']:,}, {now['touches']} touches, {now['signals']:,} signals"
                )
            self.bar.set_description(f"run {now['run']}")
            self.bar.set_postfix_str(f"{now['touches']} touches, {now['signals']:,} signals")
