"""Real processes for tests of live: a NATS server, a feed and engines, which may be killed at any moment and started again."""

from __future__ import annotations

import asyncio
import datetime as dt
import multiprocessing
import os
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nats.errors
import orjson
import pytest
from nats.aio.client import Client

from spymaster_assets.config import Config, load
from spymaster_assets.ingest import Intake, ingest_date
from spymaster_assets.lake import Lake
from spymaster_assets.landing import Landing
from spymaster_assets.maker import Maker
from spymaster_assets.silver import SILVER_STAGES
from spymaster_assets.simulator.write import simulate
from spymaster_live import bus, messages, server
from spymaster_live.messages import Message
from spymaster_live.parity import Said, differences, said
from tests.made_once import made_once

ROOT = Path(__file__).parents[2]
SHORT = """
[sessions]
signals_end = "10:30"  # an hour of signals: the other three cost three times as much, and tell nothing else of the bus
"""
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.live.warm"])


def leaping(clock: Callable[[], float]) -> Callable[[], float]:
    """A wall clock that leaps an hour ahead, and back, every second."""
    return lambda: clock() + 3600 * (int(clock()) % 2)


def command(words: Sequence[str], environment: dict[str, str], log: Path, leaps: bool) -> None:
    """`python -m spymaster_live WORDS`, in a process that has its modules already. `leaps`: with a clock that does."""
    from spymaster_live.__main__ import main

    if leaps:
        time.time = leaping(time.time)

    said = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(said, stream)
    os.environ.clear()
    os.environ.update(environment)
    multiprocessing.current_process()._config["daemon"] = False  # as a command it may have children
    main(words)


class Part:
    """A feed or an engine, forked: to start it as a command takes three seconds, of which test_together.py has its share.

    It is a process like any other, with the methods of subprocess.Popen that are needed here.
    """

    def __init__(self, words: Sequence[str], environment: dict[str, str], log: Path, leaps: bool) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(ROOT))  # of the fork server, which starts with the first part
            self._process = FORKS.Process(target=command, args=(words, environment, log, leaps), daemon=True)
            self._process.start()

    def poll(self) -> int | None:
        return self._process.exitcode

    @property
    def pid(self) -> int:
        assert self._process.pid is not None, "it was started"
        return self._process.pid

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float | None = None) -> None:
        self._process.join(timeout)


class Rig:
    """Processes by name. `configs`: TOML files by name of process, `""` for all others; `leaps`: their wall clocks do."""

    def __init__(self, lake: Path, folder: Path, configs: dict[str, Path] | None = None, leaps: bool = False) -> None:
        self.lake, self.folder, self.configs, self.leaps = lake, folder, configs or {}, leaps
        self.port = server.free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.processes: dict[str, subprocess.Popen[bytes] | Part] = {}
        self.words: dict[str, tuple[str, ...]] = {}
        self.kills = 0
        self.staying: set[str] = set()  # processes that do not end by themselves
        folder.mkdir(parents=True, exist_ok=True)

    def config(self, name: str = "") -> Config:
        path = self.configs.get(name, self.configs.get(""))
        return load(path) if path else Config()

    def serve(self) -> None:
        """Start the server and make the streams."""
        self.start("nats-server")
        self.ask(lambda client: bus.provision(client, self.config()))

    def start(self, name: str, *words: str) -> None:
        """Start a process, or start it again as it was; what it says goes to NAME.log."""
        self.words[name] = words or self.words.get(name, ())
        if name == "nats-server":
            self.processes[name] = server.start(self.port, self.folder / "nats")
            server.wait(self.port)
        else:
            environment = {**os.environ, "SPYMASTER_DATA": str(self.lake)}
            if path := self.configs.get(name, self.configs.get("")):
                environment["SPYMASTER_CONFIG"] = str(path)
            words = ("--verbose", *self.words[name], "--nats", self.url)
            self.processes[name] = Part(words, environment, self.folder / f"{name}.log", self.leaps)

    def feed(self, date: dt.date, *words: str) -> None:
        self.start("feed", "feed", "--date", str(date), *words)

    def engine(self, name: str = "engine") -> None:
        self.start(name, "engine", "--name", name, "--until-done")

    def kill(self, name: str) -> None:
        """kill -9."""
        self.processes[name].kill()
        self.processes[name].wait()
        self.kills += 1

    def signal(self, name: str, number: int) -> None:
        self.processes[name].send_signal(number)

    def finish(self, seconds: float = 180, meanwhile: Callable[[], None] | None = None) -> None:
        """Wait until every feed and engine ended well; AssertionError with its log if one did not."""
        end = time.monotonic() + seconds
        waiting = {name for name in self.processes if name not in ("nats-server", *self.staying)}
        while waiting:
            if meanwhile is not None:
                meanwhile()
            for name in sorted(waiting):
                code = self.processes[name].poll()
                assert code in (None, 0), f"{name} ended with {code}:\n{self.log(name)}"
                if code == 0:
                    waiting.discard(name)
            assert time.monotonic() < end, f"{sorted(waiting)} are not done after {seconds} s:\n{self.log(sorted(waiting)[0])}"
            time.sleep(0.02)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()[-3000:]

    def ask(self, question: Callable[[Client], Awaitable[Any]]) -> Any:
        """Ask something over a connection of its own."""

        async def work() -> Any:
            async with bus.connected(self.url, "test") as client:
                return await question(client)

        return asyncio.run(asyncio.wait_for(work(), 120))

    def run(self) -> str:
        """The id of the latest run."""
        session = self.ask(lambda client: bus.last(client, bus.MARKET, messages.SESSION))
        assert session is not None
        return str((session.headers or {})["Run"])

    def said(self, run: str | None = None) -> Said:
        name = run or self.run()
        return self.ask(lambda client: said(client, name))

    def compared(self, date: dt.date) -> dict[str, int]:
        """Rows compared with Dagster's Silver; AssertionError with the first difference."""
        found, counts = differences(Lake(self.lake, self.config()), date, self.said())
        assert found == []
        return counts

    def status(self) -> list[dict[str, Any]]:
        """Everything that was said on levels.status."""

        async def read(client: Client) -> list[dict[str, Any]]:
            state = (await client.jsm().stream_info(bus.LEVELS)).state
            reader, found = bus.Reader(client, bus.LEVELS, max(1, state.first_seq)), []
            while reader.next <= state.last_seq:
                found += [orjson.loads(m.data) for _, m in await reader.read() if m.subject == messages.LEVELS_STATUS]
            await reader.close()
            return found

        return self.ask(read)

    def control(self, **wanted: Any) -> dict[str, Any]:
        async def order(client: Client) -> dict[str, Any]:
            while True:  # until the feed listens
                try:
                    return dict(orjson.loads((await client.request(messages.CONTROL, orjson.dumps(wanted), timeout=10)).data))
                except nats.errors.NoRespondersError:
                    await asyncio.sleep(0.2)

        return self.ask(order)

    def stop(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()


def publish(live: Rig, items: Iterable[Message]) -> None:
    """As the feed does: each message names the sequence before it."""

    async def work(client: Client) -> None:
        publisher = bus.Publisher(client, bus.MARKET, base=await bus.last_sequence(client, bus.MARKET))
        for item in items:
            await publisher.put(item)
        await publisher.flush()

    live.ask(work)


def short(path: Path, more: str = "") -> Path:
    """A configuration file: SHORT, and more."""
    path.write_text(SHORT + more)
    return path


def small_lake(root: Path, date: dt.date, events: int, silver: bool = False) -> Path:
    """A lake with a simulated date in landing and Bronze, and Silver if wanted, made without Dagster; beside them short.toml.

    It is a copy of one that is made once a test run. short.toml: the configuration with which its Silver is made.
    """

    def landed(folder: Path) -> None:
        short(folder / "short.toml")
        simulate(folder / "landing", [date], events_per_session=events, seed=5, config=Config())
        lake = Lake(folder, Config())
        ingest_date(Intake(date, lake, Landing(folder / "landing", lake.config)))

    def made(folder: Path) -> None:
        shutil.copytree(bronze, folder, dirs_exist_ok=True)
        make_silver(folder, date)

    bronze = made_once(f"live-{date}-{events}", landed)
    found = made_once(f"live-{date}-{events}-silver", made) if silver else bronze
    shutil.copytree(found, root, dirs_exist_ok=True)
    return root


def make_silver(root: Path, date: dt.date) -> None:
    """Silver, as short.toml wants it, of a date whose Bronze is there."""
    maker = Maker(date, Lake(root, load(root / "short.toml")))
    for stage in SILVER_STAGES:
        maker.make(stage)


@contextmanager
def rig(lake: Path, folder: Path, configs: dict[str, Path] | None = None, leaps: bool = False) -> Iterator[Rig]:
    """A rig with a running server; whatever is left is killed at the end."""
    made = Rig(lake, folder, configs, leaps)
    try:
        made.serve()
        yield made
    finally:
        made.stop()
