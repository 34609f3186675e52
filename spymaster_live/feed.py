"""The feed as a replay: a trading date's landing files as market messages, paced, controlled, and exactly once.

The messages of a run are a function of the files, the contract, the priors and how frames are cut. So a feed that was killed cuts
them again, asks the stream how many it holds, and goes on behind them.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Final

import numpy as np
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg

from spymaster_assets import dbn
from spymaster_assets.config import Config
from spymaster_assets.ingest import Intake
from spymaster_assets.lake import Lake
from spymaster_assets.landing import landing_of
from spymaster_assets.logs import about
from spymaster_assets.maker import Maker
from spymaster_assets.models.artifacts import Artifacts
from spymaster_assets.progress import Progress
from spymaster_assets.sessions import Window, calendar, to_datetime, wall
from spymaster_assets.tables import BRONZE, DEFINITIONS, FUTURES_MBP10
from spymaster_live import health, messages
from spymaster_live.bus import MARKET, Publisher, Shorter, last, last_sequence, patiently
from spymaster_live.connection import is_request
from spymaster_live.frames import Cutting, Source, frames
from spymaster_live.messages import CHANNELS, Clock, Frame, Message, Session
from spymaster_live.symbols import packed

NS: Final = 1_000_000_000
NEAR: Final = 60 * NS  # a seek within this is run through
log = logging.getLogger("spymaster.live")


@dataclass(frozen=True)
class Plan:
    """What a run is cut from, and how. `join`: ns UTC from which on there are records; definitions hold whenever sent."""

    session: Session
    window: Window
    cutting: Cutting
    intake: Intake
    channels: tuple[str, ...]
    join: int

    def begun_at(self, begin: int) -> Plan:
        """The same, paced from another moment on."""
        return replace(self, session=replace(self.session, paced_from=begin), cutting=replace(self.cutting, begin=begin))

    def messages(self, run: str) -> Iterator[Session | Frame | Clock]:
        """Everything that is published, in order; each call reads the files anew."""
        first = replace(self.session, run=run)
        sources = {name: Source(self._schema(name), self._records(name)) for name in self.channels}
        return chain([first], frames(run, sources, self.window, self.cutting))

    def _schema(self, name: str) -> str:
        schema = self.intake.supply(_TABLES[name]).schema
        assert schema is not None, "a channel is there because landing holds its files"
        return schema

    def _records(self, name: str) -> Iterator[np.ndarray]:
        everything = self.join <= self.window.start or name == DEFINITIONS.name
        for records in self.intake.records(_TABLES[name]):
            fresh = records if everything else dbn.pick(records, records["ts_event"].view("i8") > self.join)
            if len(fresh):
                yield fresh


_TABLES: Final = {table.name: table for table in BRONZE}


def plan(
    lake: Lake,
    date: dt.date,
    speed: float,
    most: int = 0,
    begin: int = 0,
    join: int | None = None,
    progress: Progress | None = None,
) -> Plan:
    """How a date is replayed. Raises MissingInput if landing holds no book of the date, NotATradingDate, DbnError.

    `speed`: at the start, 0 as fast as possible; `most`: records in a frame, 0 for as many as fit; `begin`: ns UTC from which on it
    is paced; `join`: ns UTC from which on there are records at all.
    """
    config, live = lake.config, lake.config.live
    session = calendar(config).session(date)
    intake = Intake(date, lake, landing_of(lake), progress)
    contract = intake.contract
    present = tuple(name for name in CHANNELS if intake.supply(_TABLES[name]).sources)
    used = {name: intake.fingerprint(_TABLES[name]).inputs for name in present}
    known = Maker(date, lake).usual(contract.symbol)
    span = round((live.frame_seconds if speed == 0 else live.frame_ms / 1000 * speed) * NS)
    start = session.globex.start if join is None else max(join, session.globex.start)
    first = Session(
        run="", date=str(date), contract=f"{contract.symbol} by {contract.basis}", complete_from=start, frame_span=span,
        paced_from=begin, frame_records=most, inputs=_hash([used, start, begin, messages.digest(known.tobytes())]),
        config=config.digest(), model=Artifacts(lake).serving(date), priors=known,
        symbology=packed({name: intake.mappings(_TABLES[name]) for name in present}),
    )  # fmt: skip
    cutting = Cutting(
        span=span, clock=round(live.clock_ms * 1_000_000), room=live.frame_bytes, most=most, begin=begin,
        coarse=round(live.frame_seconds * NS),
    )  # fmt: skip
    return Plan(first, Window(session.bronze.start, session.globex.end), cutting, intake, present, 0 if join is None else start)


def _hash(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


@dataclass
class Pace:
    """When a moment of event time is due: an anchor of both clocks, and a speed. `speed` 0: at once.

    `free`: up to this moment everything is due at once (a start later in the date, a seek forward); `paused`: nothing is, up to
    `allowed` (steps).
    """

    speed: float
    free: int = 0
    paused: bool = False
    allowed: int = 0
    position: int = 0  # the watermark that was published last
    _anchor: tuple[float, int] | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def change(self, **facts: Any) -> None:
        for name, value in facts.items():
            setattr(self, name, value)
        self._anchor = None
        self._changed.set()

    def _delay(self, moment: int) -> float | None:
        """Seconds until a moment is due; None: not before something changes."""
        if moment <= self.free:
            return 0.0
        if self.paused:
            return 0.0 if moment <= self.allowed else None
        if self.speed == 0:
            return 0.0
        now = time.monotonic()
        if self._anchor is None:
            self._anchor = now, max(self.position, self.free)
        started, since = self._anchor
        return started + (moment - since) / NS / self.speed - now

    async def until(self, moment: int) -> None:
        """Wait until a moment of event time is due."""
        while (delay := self._delay(moment)) is None or delay > 0:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), delay)
            except TimeoutError:
                continue


class Restart(Exception):
    """A seek: a new run begins."""


@dataclass
class Replay:
    """One date on its way to the bus. `window`: messages ahead of their acknowledgements; `restart`: ns UTC of a seek."""

    client: Client
    plan: Plan
    pace: Pace
    window: int
    published: int = 0
    restart: int | None = None
    _publisher: Publisher | None = None
    _since: float | None = None  # when the message that is under way was given to the publisher, of the monotonic clock

    async def run(self) -> str:
        """Publish the date; goes on with an unfinished run of the same plan. The run's id."""
        await health.answer(self.client, "feed", self.state)
        control = await self.client.subscribe(messages.CONTROL, cb=self._control)
        try:
            run, base, done = await patiently(self._where)
            while True:
                try:
                    await self._publish(run, base, done)
                    return run
                except Restart:
                    base, done = await patiently(lambda: last_sequence(self.client, MARKET)), 0
                    run = self._new(base)
                except Shorter as error:
                    log.error("%s: published again from there", error)
                    run, base, done = await patiently(self._where)
        finally:
            await control.unsubscribe()

    def state(self) -> dict[str, Any]:
        """For health.feed. `age`: seconds that the stream has not taken the message that is due."""
        trouble = self._publisher.trouble if self._publisher else None
        age = 0.0 if self._since is None else time.monotonic() - self._since
        return {"ok": trouble is None, "why": trouble, "age": age, **self._where_it_stands()}

    def _new(self, sequence: int) -> str:
        return f"{self.plan.session.date}.{sequence + 1}"

    async def _where(self) -> tuple[str, int, int]:
        """The run to publish: its id, the stream's last sequence before it, and how many of its messages are stored."""
        end = await last_sequence(self.client, MARKET)
        session = await last(self.client, MARKET, messages.SESSION)
        clock = await last(self.client, MARKET, messages.CLOCK)
        if session is not None and session.seq is not None:
            facts, wanted = session.headers or {}, self.plan.session.message().headers
            same = all(facts.get(name) == wanted[name] for name in ("Date", "Inputs", "Config", "Frame-Span", "Frame-Records"))
            over = (
                clock is not None and (clock.headers or {}).get("Nats-Msg-Id") == f"{facts.get('Run')}:clock:{self.plan.window.end}"
            )
            if same and not over:
                self.plan = self.plan.begun_at(int(facts["Paced-From"]))  # where a seek led to
                self.pace.free = int(facts["Paced-From"])
                return facts["Run"], session.seq - 1, end - session.seq + 1
        return self._new(end), end, 0

    async def _publish(self, run: str, base: int, done: int) -> None:
        """Publish the messages of a run behind the `done` that the stream holds."""
        about(run=run, date=self.plan.session.date)
        self._publisher = publisher = Publisher(self.client, MARKET, base=base + done, window=self.window)
        self.published, previous, self.pace.position = done, None, self.plan.window.start
        for number, item in enumerate(self.plan.messages(run)):
            if number < done:
                previous = item if number == done - 1 else None
                if not isinstance(item, Session):
                    self.pace.position = max(self.pace.position, item.watermark)
                continue
            if previous is not None:
                await self._same(previous.message(), base + done)
                previous = None
            if not isinstance(item, Session):
                await self.pace.until(item.watermark)
            if self.restart is not None:
                await publisher.flush()
                to, self.restart = self.restart, None
                self.plan = self.plan.begun_at(to)
                self.pace.change(free=to, allowed=0)
                raise Restart
            self._since = time.monotonic()
            await publisher.put(item.message())
            self._since = None
            self.published = number + 1
            if not isinstance(item, Session):
                self.pace.position = item.watermark
        await publisher.flush()

    async def _same(self, message: Message, sequence: int) -> None:
        """Whether the stream's last message is the one that we cut there. RuntimeError if not: the inputs changed."""
        held = (await patiently(lambda: self.client.jsm().get_msg(MARKET, seq=sequence))).headers or {}
        if (held.get("Nats-Msg-Id"), held.get("Hash")) != (message.id, message.headers["Hash"]):
            raise RuntimeError(
                f"{MARKET} message {sequence} is {held.get('Nats-Msg-Id')}, expected {message.id}: the inputs changed"
            )

    async def _control(self, message: Msg) -> None:
        """Answer a request on control.replay."""
        if not is_request(message):
            return
        try:
            answer = self.order(orjson.loads(message.data))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            answer = {"error": f"expected {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__}
        await message.respond(orjson.dumps(answer))

    def order(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Do what a request says; ValueError says what was expected. The state afterwards."""
        pace, what = self.pace, wanted.get("do", "state")
        if what == "pause":
            pace.change(paused=True, allowed=pace.position)
        elif what == "start":
            pace.change(paused=False)
        elif what == "step":
            to = max(pace.allowed, pace.position) + round(_number(wanted.get("seconds", 0.25), "seconds") * NS)
            pace.change(paused=True, allowed=to)
            return self._where_it_stands(to)
        elif what == "speed":
            if not 0 <= (speed := _number(wanted["speed"], "speed")) <= 1000:
                raise ValueError(f"speed {speed}: expected 0 (as fast as possible) to 1000")
            pace.change(speed=speed)
        elif what == "seek":
            to = moment(wanted["to"], dt.date.fromisoformat(self.plan.session.date), self.plan.intake.config)
            self._seek(to)
            return self._where_it_stands(to)
        elif what != "state":
            raise ValueError(f"do {what!r}: expected start, pause, step, seek, speed or state")
        return self._where_it_stands()

    def _where_it_stands(self, to: int | None = None) -> dict[str, Any]:
        """`to`: where it was just told to go."""
        pace, zone = self.pace, self.plan.intake.config.sessions.market_zone
        going = {} if to is None else {"going_to": to_datetime(to, zone).strftime("%H:%M:%S")}
        return going | {
            "date": self.plan.session.date, "position": pace.position, "of": self.plan.window.end, "speed": pace.speed,
            "new_york": to_datetime(pace.position, zone).strftime("%Y-%m-%d %H:%M:%S"),
            "paused": pace.paused, "messages": self.published,
        }  # fmt: skip

    def _seek(self, to: int) -> None:
        """Back, or far ahead: a new run, in large frames up to there. A little ahead: the same run, at once."""
        if 0 <= to - self.pace.position <= NEAR:
            self.pace.change(free=to)
        else:
            self.restart = to
            self.pace.change(free=2**62)  # whatever waits is let go, and sees the restart


def _number(said: Any, what: str) -> float:
    try:
        return float(said)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} {said!r}: expected a number") from error


def moment(said: Any, date: dt.date, config: Config) -> int:
    """ns UTC of ns UTC, or of "HH:MM[:SS]" New York time on the trading date. ValueError outside of the date."""
    window = calendar(config).session(date).bronze
    try:
        if isinstance(said, str) and ":" in said:
            hours, minutes, *seconds = said.split(":")
            found = wall(date, f"{hours}:{minutes}", config.sessions.market_zone) + int(seconds[0] if seconds else 0) * NS
        else:
            found = int(said)
    except ValueError as error:
        raise ValueError(f"{said!r}: expected HH:MM or HH:MM:SS of New York time, or ns UTC") from error
    if not window.start <= found <= window.end:
        raise ValueError(f"{said!r} lies outside of the trading date {date}")
    return found


assert FUTURES_MBP10.name in CHANNELS and set(CHANNELS) <= set(_TABLES), "channels are tables of Bronze"
