"""The writer: what is on the bus to disk, every message once. capture.py says how it lies there, batches.py what of it.

Two readers, one a stream, each with a batch that grows until it is old or large enough and is then written; meanwhile nothing more
is read of that stream. What is on disk is the checkpoint: nothing is acknowledged, and after a kill the files tell where to go on.
A full disk holds it up and loses nothing as long as the streams keep what was not read.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import RawStreamMsg

from spymaster_assets.config import Config
from spymaster_assets.lake import Lake
from spymaster_assets.logs import about
from spymaster_live import capture, health, messages
from spymaster_live.batches import Batch, Levels, Market, date_of
from spymaster_live.bus import LEVELS, MARKET, Reader, Shorter, holds, last, patiently, stored_at
from spymaster_live.capture import CaptureError, Stream
from spymaster_live.handover import Refused, hand_over

AGAIN_SECONDS: Final = 1.0  # between a write that failed and the next
LATER_SECONDS: Final = 10.0  # between a hand-over that the disk did not take and the next
READ_SECONDS: Final = 0.25
log = logging.getLogger("spymaster.live")


class Line:
    """One stream on its way to disk. `trouble`: why the latest batch is not there yet; None: nothing is wrong."""

    def __init__(self, root: Path, stream: Stream, batch: Market | Levels) -> None:
        self.root, self.stream, self.batch = root, stream, batch
        self.trouble: str | None = None
        self.stored: dt.datetime | None = None  # when the batch's last message was, of the server's clock
        self.batches = self.dead = self.lost = 0
        self._since = 0.0  # when the batch's first message that is kept was read, of the monotonic clock
        self._even = time.monotonic()  # when everything that the stream held had been read
        self._more = False  # it held more than was read, last time
        self._runs: dict[str, tuple[Path, int]] = {}  # where each run is captured, and the last sequence of its latest batch

    @property
    def waiting(self) -> float:
        """Seconds for which the batch's oldest message has been in memory."""
        return time.monotonic() - self._since if self.batch.filled and self.batch.run else 0.0

    @property
    def behind(self) -> float:
        """Seconds that the disk is behind the stream: for which there was more than had been read, and what was read has waited."""
        return self.waiting + (time.monotonic() - self._even if self._more else 0.0)

    @property
    def due(self) -> bool:
        live = self.batch.config.live
        return self.waiting >= live.capture_seconds or (self.waiting > 0 and self.batch.size >= live.capture_bytes)

    def heard(self, more: bool) -> None:
        """What there was has been read; `more`: the stream holds more by now."""
        self._more = more
        if not more:
            self._even = time.monotonic()

    async def take(self, sequence: int, message: Msg) -> None:
        """The next message; the batch is written before it where it begins another run, behind it where it is due."""
        if self.batch.begins(message.subject, message.headers):
            await self.write()
        filled = self.batch.filled
        self.batch.take(sequence, message.subject, message.headers, message.data)
        if self.stream.name == MARKET and message.subject == messages.SESSION:
            _at(self.batch.run)
        self.stored = message.metadata.timestamp
        if not filled:
            self._since = time.monotonic()
        self.heard(more=message.metadata.num_pending > 0)
        if self.due:
            await self.write()

    async def write(self) -> None:
        """Put the batch on disk, trying until it is there."""
        while not self.attempt():
            await asyncio.sleep(AGAIN_SECONDS)

    def attempt(self) -> bool:
        """Put the batch on disk; False, and `trouble`, if that cannot be done now."""
        batch = self.batch
        if not batch.filled or batch.run is None:
            return True
        try:
            self._publish(batch.run)
        except OSError as error:
            self.trouble = f"{self.stream.name} {batch.first}-{batch.last}: {error}"
            log.error("not written: %s", self.trouble)
            return False
        self.trouble = None
        self._tell(batch)
        batch.clear()
        return True

    def _publish(self, run: str) -> None:
        folder, after = self._place(run)
        first, last = self.batch.first, self.batch.last
        about = {"after": after, "stored": self.stored, **self.batch.facts()}
        capture.publish(folder, self.stream, (first, last), self.batch.files(), about)
        self._runs[run] = folder, last

    def _place(self, run: str) -> tuple[Path, int]:
        """Where a run is captured, and the last sequence of its latest batch; looked up once."""
        if run not in self._runs:
            folder = capture.folder_of(self.root, run, self.stream)
            latest = capture.manifests(folder, self.stream.name)[-1:]
            self._runs[run] = folder, capture.span(latest[0])[1] if latest else 0
        return self._runs[run]

    def folder(self, run: str) -> Path:
        """Where a run is captured."""
        return self._place(run)[0]

    def _tell(self, batch: Batch) -> None:
        self.batches += 1
        self.dead += len(batch.dead)
        self.lost += sum(end - start + 1 for start, end in batch.lost)
        for start, end in batch.lost:
            log.error("%s %d-%d: the stream no longer held them", self.stream.name, start, end)
        for one in batch.dead:
            log.error("%s %d on %s: %s", self.stream.name, one["sequence"], one["subject"], one["reason"])


def resumed(root: Path, stream: Stream, config: Config) -> Line:
    """A line that goes on where its files end; what a killed writer left behind them is removed."""
    at = capture.where(root, stream)
    capture.sweep(root, stream, at)
    batch: Market | Levels = Levels(config, at.last) if stream.name == LEVELS else Market(config, at.last)
    line = Line(root, stream, batch)
    if at.folder is not None and at.manifest is not None:
        line.stored = capture.stored(at.manifest)
        if isinstance(batch, Market):
            batch.go_on(capture.session_of(at.folder), at.manifest)
            _at(batch.run)
    return line


def _at(run: str | None) -> None:
    """What the log says that this process is at."""
    about(run=run, date=None if run is None else str(date_of(run)))


class Writer:
    """The process. `lake`: below whose root the capture lies, and whose landing a complete run is handed over to."""

    def __init__(self, client: Client, lake: Lake) -> None:
        self.client, self.lake = client, lake
        self.root = lake.root / capture.FOLDER
        self.lines: dict[str, Line] = {}
        self.handed: dict[str, str] = {}  # what became of runs that are over
        self.trouble: str | None = None  # why a run that is over is not handed over yet
        self._handing: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()  # one after the other, in order
        self._said: str | None = None  # the run of which an engine has said everything

    async def run(self, until_done: bool = False) -> None:
        """Capture until cancelled; `until_done`: or until a run is over and an engine has said everything about it."""
        with capture.locked(self.root):
            await health.answer(self.client, "writer", self.state)
            readings = [asyncio.create_task(self._read(name, until_done)) for name in (MARKET, LEVELS)]
            try:
                await asyncio.gather(*readings)
            finally:
                while not all(reading.done() for reading in readings):  # Python's wait_for may lose a cancellation (before 3.12)
                    for reading in readings:
                        reading.cancel()
                    await asyncio.wait(readings, timeout=AGAIN_SECONDS)
                await asyncio.gather(*readings, return_exceptions=True)

    async def _stream(self, name: str) -> Stream:
        """A stream as it is now."""
        manager = self.client.jsm()
        its, bus = [await patiently(partial(manager.stream_info, one)) for one in (name, MARKET)]
        return Stream(name, str(its.created), str(bus.created), its.config.first_seq or 1)

    async def _read(self, name: str, until_done: bool) -> None:
        """Read a stream from where its capture ends; of one that was made anew, from its beginning."""
        while True:
            stream = await self._stream(name)
            if name == LEVELS:
                await self._rewind(stream)
            line = self.lines[name] = await asyncio.to_thread(resumed, self.root, stream, self.lake.config)
            if name == MARKET:  # a writer that was killed may have left runs that were over before the latest began
                for run, folder in await asyncio.to_thread(capture.unsettled, self.root, stream):
                    self._begin_to_hand_over(run, folder)
            if name == LEVELS:  # an engine that is done says nothing more, and what it said may be captured already
                said = await patiently(partial(last, self.client, LEVELS, messages.LEVELS_STATUS))
                if said is not None and (said.seq or 0) <= line.batch.last:
                    self._listen(said)
            reader = Reader(self.client, name, line.batch.last + 1, latest=line.stored)
            try:
                await self._follow(line, reader, until_done)
                if until_done and self._done:
                    return
            except Shorter as error:
                log.error("%s", error)
            finally:
                await reader.close()

    async def _rewind(self, stream: Stream) -> None:
        """Give up batches of LEVELS that the stream no longer holds to their end: an engine says them again, under other sequences.

        CaptureError if they are of a run of which no engine will say anything again.
        """
        while (at := await asyncio.to_thread(capture.where, self.root, stream)).manifest is not None:
            if await patiently(partial(holds, self.client, LEVELS, at.last, stored_at(capture.stored(at.manifest)))):
                return
            session = await patiently(partial(last, self.client, MARKET, messages.SESSION))
            if session is None or (session.headers or {}).get("Run") != at.manifest["run"]:
                raise CaptureError(f"{LEVELS} lost what is captured up to {at.last}, of run {at.manifest['run']}, which is over")
            log.error("%s lost what was captured up to %d: captured again", LEVELS, at.last)
            await asyncio.to_thread(capture.give_up, at)

    async def _follow(self, line: Line, reader: Reader, until_done: bool) -> None:
        """Take what comes, until the stream was made anew or everything is done."""
        consumers, runs = 0, set[str | None]()
        await self._end(line)
        try:
            while not (until_done and self._done):
                found = await reader.read(READ_SECONDS)
                if reader.restarts != consumers:
                    if await self._anew(line):
                        return
                    consumers = reader.restarts
                for sequence, message in found:
                    run = (message.headers or {}).get("Run")
                    if run is not None and run not in runs and await self._anew(line):
                        return
                    runs.add(run)
                    await line.take(sequence, message)
                    self._listen(message)
                    await self._end(line)
                if not found:
                    line.heard(more=False)
                if line.due:
                    await line.write()
            await line.write()
        finally:
            line.attempt()

    async def _anew(self, line: Line) -> bool:
        """Whether a line's stream, or MARKET beside it, was made anew; if so what there is of the old one is written."""
        if await self._stream(line.stream.name) == line.stream:
            return False
        await line.write()
        return True

    def _listen(self, message: Msg | RawStreamMsg) -> None:
        """What an engine says of itself: whether it has said everything about a run."""
        if message.subject == messages.LEVELS_STATUS:
            with suppress(ValueError, AttributeError):
                status = orjson.loads(message.data or b"")
                if status.get("state") == "done" and not status.get("behind"):
                    self._said = status.get("run")

    @property
    def _done(self) -> bool:
        market = self.lines.get(MARKET)
        return (
            market is not None and isinstance(market.batch, Market) and market.batch.over
            and market.batch.run in self.handed and self._said == market.batch.run
        )  # fmt: skip

    async def _end(self, line: Line) -> None:
        """Write a run that is over, and begin to hand it over."""
        batch = line.batch
        if isinstance(batch, Market) and batch.run is not None and batch.over and batch.run not in self._handing:
            await line.write()
            self._begin_to_hand_over(batch.run, line.folder(batch.run))

    def _begin_to_hand_over(self, run: str, folder: Path) -> None:
        if run not in self._handing:
            self._handing[run] = asyncio.create_task(self._hand_over(run, folder))

    async def _hand_over(self, run: str, folder: Path) -> None:
        """Hand a run over, trying until the disk takes it, and write down what became of it."""
        async with self._turn:
            while run not in self.handed:
                try:
                    told = await asyncio.to_thread(self._outcome, run, folder)
                    await asyncio.to_thread(capture.settle, folder, told)
                    self.handed[run] = told
                except OSError as error:
                    self.trouble = f"run {run} is not handed over yet: {error}"
                    log.error("%s", self.trouble)
                    await asyncio.sleep(LATER_SECONDS)
                except Exception as error:  # whatever it is, capturing goes on; the next start tries again
                    log.exception("run %s", run)
                    self.handed[run] = f"not handed over: {type(error).__name__}: {error}"
            self.trouble = None
        log.warning("run %s: %s", run, self.handed[run])

    def _outcome(self, run: str, folder: Path) -> str:
        """Hand a run over; what became of it."""
        try:
            return hand_over(self.lake, date_of(run), folder.name)
        except (Refused, CaptureError) as error:
            return str(error)

    def state(self) -> dict[str, Any]:
        """How things stand: `ok`, and `why` not."""
        late = self.lake.config.live.capture_behind_seconds
        why = [trouble for trouble in (*(line.trouble for line in self.lines.values()), self.trouble) if trouble]
        slow = {name: line.behind for name, line in self.lines.items() if not line.trouble and line.behind > late}
        why += [f"{name}: {seconds:.0f} s behind" for name, seconds in slow.items()]
        return {
            "ok": bool(self.lines) and not why,
            "why": "; ".join(why) or (None if self.lines else "waiting for the streams"),
            "streams": {
                name: {
                    "run": line.batch.run, "sequence": line.batch.last, "on_disk": line.batch.first - 1,
                    "seconds_behind": round(line.behind, 1), "batches": line.batches, "dead": line.dead, "lost": line.lost,
                }
                for name, line in self.lines.items()
            },
            "handed_over": self.handed,
        }  # fmt: skip
