"""The process around the engine: messages from MARKET to the engine, what it says to LEVELS, trouble to levels.status.

It keeps no state on disk. Started again, it reads the run's messages from the first on; what it says again carries the same ids, so
that the stream holds it once; what the stream is known to hold is not even sent. It does the same if LEVELS lost what it had said.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import nats.js.errors
import numpy as np
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg

from spymaster_assets.config import Config
from spymaster_assets.lake import Lake, LakeError
from spymaster_assets.logs import about
from spymaster_live import bus, health, messages
from spymaster_live.bus import DLQ, LEVELS, MARKET, STATE, TROUBLE, Publisher, Reader, bury, ids_of, last, last_sequence, patiently
from spymaster_live.engine import Engine
from spymaster_live.messages import VERSION, BadMessage, Message, Session, read

if TYPE_CHECKING:
    from spymaster_assets.served import Served

log = logging.getLogger("spymaster.live")
STATE_SECONDS: Final = 0.25  # between two writes of the state for those who connect


class Serving:
    """An engine on the bus. `name`: tells two engines apart in levels.status; `lake`: where its models are."""

    def __init__(self, client: Client, config: Config, name: str = "engine", lake: Lake | None = None) -> None:
        self.client, self.config, self.name, self._lake = client, config, name, lake
        self._reader: Reader | None = None
        self._begin()
        self._told = self._stated = 0.0
        self._turned = time.monotonic()  # when it last asked for messages
        self._seconds: deque[float] = deque(maxlen=10_000)  # of work per closed snap

    def _begin(self) -> None:
        """Know nothing yet."""
        self.engine = Engine(self.config, partial(_models, self._lake))
        # Of several servers one may die, with what was on its way, and the connection stay: then nothing is sent before what
        # came before it is stored.
        alone = self.config.live.replicas == 1
        self._out = Publisher(self.client, LEVELS, window=self.config.live.window if alone else 1)
        self._dead = Publisher(self.client, DLQ, window=16)
        self._known: set[str] = set()  # ids that the stream held when we began
        self._state: bytes | None = None

    async def run(self, until_done: bool = False) -> None:
        """Serve until cancelled; `until_done`: or until the run's date is over and everything is stored."""
        await health.answer(self.client, "engine", self.state)
        try:
            while not await self._served(until_done):
                log.warning("read anew")
        finally:
            await self._say_state()
            await self._tell("stopped")

    async def _served(self, until_done: bool) -> bool:
        """Whether everything is done; False: it is to be read anew, because a stream is another one or lost something."""
        try:
            return await self._follow(until_done)
        except bus.Shorter as error:
            log.error("%s: it is said again", error)
            self._begin()
            return False

    async def _follow(self, until_done: bool) -> bool:
        """Serve the stream as it is now: False once it may be another one, True once everything is done."""
        stream, first = await patiently(partial(bus.made, self.client, MARKET)), await patiently(self._start)
        self._reader = reader = Reader(self.client, MARKET, first)
        consumers = 0
        await self._tell("started")
        try:
            while not (until_done and self.engine.done):
                self._turned = time.monotonic()
                found = await reader.read(min(1.0, self.config.live.status_seconds))
                if reader.restarts != consumers:
                    try:
                        if await bus.made(self.client, MARKET) != stream:
                            return False
                        consumers = reader.restarts
                    except TROUBLE:
                        if found:  # of which stream nobody says: read again
                            return False
                for sequence, message in found:
                    await self._take(sequence, message)
                if found:
                    await self._out.flush()
                    await self._dead.flush()
                await self._regularly()
            await patiently(partial(self._tell, "done", stored=True))
            return True
        finally:
            await reader.close()

    def state(self) -> dict[str, Any]:
        """For health.engine. `age`: seconds since it last asked for messages."""
        trouble = self._out.trouble or self._dead.trouble
        lost = self._reader.lost if self._reader else 0
        return {"ok": trouble is None, "why": trouble, "age": time.monotonic() - self._turned, "lost": lost, **self.engine.status()}

    async def _start(self) -> int:
        """Where to begin: with the latest session, else with whatever comes."""
        end = await last_sequence(self.client, MARKET)  # asked for first: a session that begins meanwhile lies behind it
        session = await last(self.client, MARKET, messages.SESSION)
        if session is None or session.seq is None or session.time is None:
            return end + 1
        run = (session.headers or {}).get("Run")
        if run is None:  # no session at all: the one that counts lies somewhere before
            return 1
        self._known = await ids_of(self.client, LEVELS, run, session.time - bus.BACK)
        return session.seq

    async def _take(self, sequence: int, message: Msg) -> None:
        """One message of the market: to the engine, and what it says to the stream."""
        started = time.perf_counter()
        before = self.engine.day.closed if self.engine.session else 0
        try:
            taken = read(message.subject, message.headers, message.data)
            said = self.engine.take(taken)
        except BadMessage as error:
            self.engine.tally.dead += 1
            await bury(self._dead, sequence, message, str(error))
            return
        if isinstance(taken, Session):
            about(run=taken.run, date=taken.date)
            log.info("run %s: %s, %s", taken.run, taken.date, taken.contract)
            return
        closed = self.engine.day.closed - before
        if closed > 0:
            self._seconds.append((time.perf_counter() - started) / closed)
        for one in said:
            await self._say(one)

    async def _say(self, message: Message) -> None:
        """Publish, unless the stream held it before we started."""
        if message.subject == messages.LEVELS_SIGNALS:
            self._state = message.data
        if message.id in self._known:
            self._known.discard(message.id)
        else:
            await self._out.put(message)

    async def _regularly(self) -> None:
        """The state for those who connect, and how things stand. Shorter if the stream lost what was said."""
        with suppress(*TROUBLE):
            await self._out.check()
        now = time.monotonic()
        if now - self._stated >= STATE_SECONDS:
            self._stated = now
            await self._say_state()
        if now - self._told >= self.config.live.status_seconds:
            self._told = now
            await self._tell("serving")

    async def _say_state(self) -> None:
        """The latest snap, level by level, into the key-value bucket."""
        if self._state is None:
            return
        latest, self._state = orjson.loads(self._state.splitlines()[-1]), None
        try:
            bucket = await self.client.jetstream().key_value(STATE)
            about = {name: latest[name] for name in ("schema", "date", "snap", "ts", "es", "quality")}
            for level in latest["levels"]:
                await bucket.put(level["id"], orjson.dumps({**about, "level": level}))
        except TROUBLE as error:
            log.warning("%s: %s", STATE, error or type(error).__name__)

    async def _tell(self, what: str, stored: bool = False) -> None:
        """levels.status. Nothing waits for it but at the end, when the writer does: `stored` raises TROUBLE if it is not kept."""
        payload = orjson.dumps({"version": VERSION, "engine": self.name, "what": what, **await self._status()})
        if stored:
            await self.client.jetstream().publish(messages.LEVELS_STATUS, payload)
            return
        try:
            await self.client.publish(messages.LEVELS_STATUS, payload)
        except TROUBLE as error:
            log.warning("levels.status: %s", error or type(error).__name__)

    async def _status(self) -> dict[str, Any]:
        reader = self._reader
        behind = full = gone = None
        try:
            market = await self.client.jsm().stream_info(MARKET)
            behind = market.state.last_seq - (reader.next - 1 if reader else 0)
            full = market.state.bytes + self.config.live.frame_bytes > (market.config.max_bytes or 0)
        except nats.js.errors.NotFoundError:
            gone = f"the stream {MARKET} is gone"
        except TROUBLE as error:
            gone = f"{MARKET} does not answer: {error or type(error).__name__}"
        return {
            **self.engine.status(),
            "behind": behind,
            "market_full": full,
            "lost": reader.lost if reader else 0,
            "consumers": reader.restarts + 1 if reader else 0,
            "recovering": bool(self._known),
            "trouble": gone or self._out.trouble or self._dead.trouble,
            "microseconds_a_snap": _quantiles(self._seconds),
        }


def _models(lake: Lake | None, date: dt.date, model: str) -> Served | None:
    """What scores a run; None where its session names nothing. LakeError if it is not to be had."""
    if not model:
        return None
    if lake is None:
        raise LakeError(f"no lake to take {model} from")
    from spymaster_assets.served import served  # torch and lightgbm take seconds to import: only where there is a model

    return served(lake, date, model)


def _quantiles(seconds: deque[float]) -> dict[str, float] | None:
    if not seconds:
        return None
    p50, p99 = np.quantile(np.array(seconds), [0.5, 0.99]) * 1e6
    return {"p50": round(float(p50), 1), "p99": round(float(p99), 1), "snaps": len(seconds)}
