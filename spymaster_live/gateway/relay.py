"""LEVELS, from the latest session on, into the fold and to the clients; and whether all is well.

Started late in a session, it reads rows and flow of the session and the latest of everything else, which takes seconds; from there
on every message, in order, whatever happens to the server. A stream that was made anew, or lost what was told, is begun anew.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

import nats.errors
import nats.js.errors
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg

from spymaster_assets.config import Config
from spymaster_assets.logs import about, shown
from spymaster_assets.sessions import to_datetime
from spymaster_assets.version import VERSION
from spymaster_live import bus, health, messages
from spymaster_live.bus import LEVELS, MARKET, TROUBLE, Reader, Shorter, held, last, last_sequence, patiently
from spymaster_live.gateway.fold import SUBJECTS, Fold
from spymaster_live.gateway.hub import Hub
from spymaster_live.messages import BadMessage

log = logging.getLogger("spymaster.live")
LOOK_SECONDS = 1.0  # between two looks at the stream and the replay
SOON_SECONDS = 0.25  # for the answer of a replay, and of the writer
RECALLED = (messages.LEVELS_ROWS, messages.LEVELS_FLOW)  # of which everything since the session's beginning makes the state
UNREADABLE = (BadMessage, KeyError, ValueError, TypeError, IndexError)


class Relay:
    """The gateway's end of the bus. `writer`: there has to be one."""

    def __init__(self, url: str, config: Config, writer: bool = False) -> None:
        self._url, self._limits = url, config.live.gateway
        self.fold = Fold(config.grid.interval_ns)
        self.hub = Hub(self._limits, self.fold)
        self.client: Client | None = None
        self.replay: dict[str, Any] | None = None  # where the replay stands; None: none answers
        self.writer: dict[str, Any] | None = None  # whether the writer is well, and why not; None: none answers
        self._health: dict[str, dict[str, Any] | None] = {}  # what feed and writer said of themselves, as far as they answered
        self._captured = writer
        self._over: set[str] = set()  # runs that are not the latest
        self._stream, self._begun = "", 0  # which LEVELS is read, and how often it was begun anew because it had lost something
        self._trouble: str | None = "LEVELS was not read yet"
        # When the engine spoke last, when the market's clock moved, and when the writer answered.
        self._heard = self._moved = self._answered = time.monotonic()
        self._watermark = 0

    async def run(self) -> None:
        """Relay until cancelled. A server that is away is waited for."""
        async with bus.connected(self._url, "gateway") as client:
            self.client = client
            await health.answer(client, "gateway", self.state)
            while True:
                await self._follow(client)

    async def _follow(self, client: Client) -> None:
        """Read the stream as it is now, until it is another one."""
        stream, end = await patiently(lambda: self._load(client))
        reader, looked = Reader(client, LEVELS, end + 1), 0.0
        try:
            while True:
                for seq, message in await reader.read(LOOK_SECONDS / 4):
                    await self._take(client, seq, message)
                    await asyncio.sleep(0)  # whoever is not slow gets every message of a burst
                if time.monotonic() - looked >= LOOK_SECONDS:
                    looked = time.monotonic()
                    if await self._look(client) not in (None, stream):
                        log.warning("%s was made anew", LEVELS)
                        return
        except Shorter as error:
            log.warning("%s", error)
        finally:
            await reader.close()

    # ---- the state, at once ----

    async def _load(self, client: Client) -> tuple[str, int]:
        """Fold what the stream holds of the latest session; which stream that was, and its last sequence then."""
        stream = await self._made(client)
        end = await last_sequence(client, LEVELS)
        session = await last(client, MARKET, messages.SESSION)
        facts = session.headers or {} if session else {}
        run = facts.get("Run")
        since = session.time - bus.BACK if session and session.time else None
        latest = [await last(client, LEVELS, subject) for subject in SUBJECTS if subject not in RECALLED]
        about(run=run, date=facts.get("Date"))
        self.fold.begin(facts if run else None)
        if since is not None:
            for subject in RECALLED:
                async for message in held(client, LEVELS, subject, since, end):
                    if (message.headers or {}).get("Run") == run:
                        self._recall(subject, message.headers or {}, message.data)
        for one in latest:
            if one is not None and one.subject and run and _run(one.subject, one.headers or {}, one.data or b"") == run:
                self._fold(end, one.subject, one.headers or {}, one.data or b"")
        self._begun = self._begun + 1 if stream == self._stream else 0
        self._stream = stream
        self.fold.seq, self.hub.stream, self._trouble = end, f"{stream} {self._begun}" if self._begun else stream, None
        self._over.clear()
        self.hub.restart("resync")
        return stream, end

    # ---- every message ----

    async def _take(self, client: Client, seq: int, message: Msg) -> None:
        """One message of the stream: of the run, of a new one, or of one that is over."""
        headers, data = message.headers or {}, message.data
        run = _run(message.subject, headers, data)
        if run is None or message.subject not in SUBJECTS or run in self._over:
            return
        self._heard = time.monotonic()
        if run == self.fold.run:
            self._fold(seq, message.subject, headers, data, tell=True)
            return
        session = await patiently(lambda: last(client, MARKET, messages.SESSION))
        facts = (session.headers or {}) if session else {}
        if facts.get("Run") != run:
            self._over.add(run)
            return
        about(run=run, date=facts.get("Date"))
        log.info("run %s begins", run)
        self.fold.begin(facts)
        self._watermark = 0
        self._fold(seq, message.subject, headers, data)
        self.fold.seq = seq
        self.hub.restart("session")

    def _recall(self, subject: str, headers: Mapping[str, str], data: bytes) -> None:
        try:
            self.fold.recall(subject, headers, data)
        except UNREADABLE as error:
            log.error("a message on %s cannot be told: %s", subject, error)
            self.hub.metrics.unread.inc()

    def _fold(self, seq: int, subject: str, headers: Mapping[str, str], data: bytes, tell: bool = False) -> None:
        try:
            said = self.fold.take(seq, subject, headers, data, {"replay": self.replay, "writer": self.writer})
        except UNREADABLE as error:
            log.error("message %d on %s cannot be told: %s", seq, subject, error)
            self.hub.metrics.unread.inc()
            return
        if tell and said is not None:
            self.hub.tell(said)
        if self.fold.watermark != self._watermark:
            self._watermark, self._moved = self.fold.watermark, time.monotonic()

    # ---- whether all is well ----

    async def _look(self, client: Client) -> str | None:
        """Which stream there is, None if nobody says; where the replay stands, and how the writer is."""
        stream = None
        try:
            stream = await self._made(client)
            self._trouble = None
        except TROUBLE as error:
            log.debug("%s: %s", self._trouble, error)
        self.replay, writer, feed = await asyncio.gather(
            _asked(client, messages.CONTROL, b'{"do":"state"}'),
            *(_asked(client, health.subject(one)) for one in ("writer", "feed")),
        )
        self._health = {"writer": writer, "feed": feed}
        if writer is not None:
            self._answered, self.writer = time.monotonic(), {"ok": writer.get("ok"), "why": writer.get("why")}
        elif time.monotonic() - self._answered > self._limits.stale_seconds:  # it may be at work on a large batch
            self.writer = None
        return stream

    async def _made(self, client: Client) -> str:
        """What tells the stream from another one of its name. TROUBLE, which is noted, if it does not answer."""
        try:
            info = await client.jsm().stream_info(LEVELS)
        except nats.js.errors.NotFoundError:
            self._trouble = f"the stream {LEVELS} is gone"
            raise
        except TROUBLE as error:
            self._trouble = f"{LEVELS} does not answer: {error or type(error).__name__}"
            raise
        return info.created.isoformat() if info.created else ""

    @property
    def ages(self) -> dict[str, float]:
        """Seconds since the engine spoke, and since the market's clock moved."""
        now = time.monotonic()
        return {"engine": now - self._heard, "market": now - self._moved}

    @property
    def parts(self) -> dict[str, dict[str, Any] | None]:
        """What the other parts say of themselves; None: it is not there, or has not said anything yet."""
        silent = self.ages["engine"] > self._limits.stale_seconds
        return {"engine": None if silent else self.fold.status or None, **self._health}

    def reasons(self) -> list[str]:
        """Why what is shown may not be how things are, or is not captured; empty: all is well."""
        if self.client is None or not self.client.is_connected:
            return [f"NATS at {shown(self._url)} is not connected"]
        return [*self._of_what_is_shown(), *self._of_the_capture()]

    def _of_the_capture(self) -> list[str]:
        """What troubles the writer, or that there is none though there has to be one."""
        if self.writer is not None:
            return [] if self.writer["ok"] else [f"the writer: {self.writer['why']}"]
        silent = time.monotonic() - self._answered
        return [f"no writer answers for {silent:.0f} s"] if self._captured and silent > self._limits.stale_seconds else []

    def _of_what_is_shown(self) -> list[str]:
        if self._trouble is not None:
            return [self._trouble]
        if self.fold.run is None:
            return ["no session has begun"]
        stale, ages = self._limits.stale_seconds, self.ages
        if ages["engine"] > stale:
            return [f"the engine has said nothing for {ages['engine']:.0f} s"]
        found = []
        if self.rest() is None and ages["market"] > stale:
            who = "the replay gives no more" if self.replay else "no feed answers"
            at = f"{to_datetime(self._watermark):%H:%M:%S} UTC"
            found.append(f"the market's clock stands at {at} for {ages['market']:.0f} s: {who}")
        if self.fold.status.get("market_full"):
            found.append(f"{MARKET} is full: the feed waits")
        if self.fold.status.get("trouble"):
            found.append(f"the engine: {self.fold.status['trouble']}")
        return found

    def rest(self) -> str | None:
        """Why the market's clock may well stand still; None if it may not."""
        if self.fold.status.get("state") == "done":
            return "the date is over"
        return "the replay is paused" if self.replay and self.replay.get("paused") else None

    def state(self) -> dict[str, Any]:
        """How things stand: `ok`, `why` (None if all is well), `rest`, and where it is."""
        reasons = self.reasons()
        return {
            "ok": not reasons, "why": "; ".join(reasons) or None, "rest": self.rest(), "run": self.fold.run, "seq": self.fold.seq,
            "writer": self.writer, "version": VERSION,
            "clients": len(self.hub.clients), "ages": {name: round(age, 1) for name, age in self.ages.items()},
        }  # fmt: skip

    async def order(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Have a replay do something; its answer. NoRespondersError if there is none, other TROUBLE."""
        if self.client is None:
            raise nats.errors.NoRespondersError
        answer = await self.client.request(messages.CONTROL, orjson.dumps(wanted), timeout=5)
        return dict(orjson.loads(answer.data))


async def look_after(hub: Hub) -> None:
    """Give up the clients that do not live, for ever."""
    loop = asyncio.get_running_loop()
    while True:
        hub.look_after(loop.time())
        await asyncio.sleep(min(0.25, hub.limits.heartbeat_seconds / 4))


async def _asked(client: Client, subject: str, question: bytes = b"") -> dict[str, Any] | None:
    """What a service answers to a question; None if none does soon."""
    try:
        return dict(orjson.loads((await client.request(subject, question, timeout=SOON_SECONDS)).data))
    except (*TROUBLE, ValueError):
        return None


def _run(subject: str, headers: Mapping[str, str], data: bytes) -> str | None:
    """The run that a message of LEVELS is about; None if it is about none."""
    if subject != messages.LEVELS_STATUS:
        return headers.get("Run")
    try:
        return orjson.loads(data).get("run")
    except (ValueError, AttributeError):
        return None
