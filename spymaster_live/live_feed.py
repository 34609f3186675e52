"""The feed from the vendor: a trading date's records as they come, in the same messages as a replay's, exactly once.

First a connection for definitions alone: they tell the date's contract (by the rule of the batch) and its options. Then one for
everything, whose records are repeated from the session's start on. A drop is a restart: what came and is not in the stream is
forgotten, what is there says where to go on, whether the process lived or was killed. The past is asked for again from before the
watermark, and of each channel as many records are passed over as the stream holds with the same bytes.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import nats.js.errors
import numpy as np
from nats.aio.client import Client

from spymaster_assets import dbn
from spymaster_assets.contract import choose
from spymaster_assets.lake import Lake
from spymaster_assets.lateness import NEVER
from spymaster_assets.logs import about
from spymaster_assets.maker import Maker
from spymaster_assets.models.artifacts import Artifacts
from spymaster_assets.sessions import Window, calendar, to_datetime
from spymaster_assets.tables import DEFINITIONS
from spymaster_live import messages, split
from spymaster_live.arrived import Arrivals, Spool
from spymaster_live.bus import MARKET, Publisher, Shorter, last, last_sequence, patiently
from spymaster_live.frames import Cutting
from spymaster_live.listing import Listing
from spymaster_live.messages import CHANNELS, Clock, Frame, Session, read
from spymaster_live.sieve import Found, Known, Sieve, bytes_of
from spymaster_live.split import Piece, Splitter, Told
from spymaster_live.symbols import packed
from spymaster_live.vendor import Dropped, Line, Refused, Subscription, connected

NS: Final = 1_000_000_000
DOUBLINGS: Final = 5  # of the wait between connections that do not come about
log = logging.getLogger("spymaster.live")

TOLD: Final[dict[str, str]] = {  # what health.feed says beside ok, why and age
    "live": "true",
    "date, run": "the trading date, and the run's id once it has begun",
    "position, of, new_york": "the watermark, the date's end (ns UTC), and the watermark in New York",
    "lag": "seconds of this machine's clock behind the newest event time",
    "records": "published, by channel",
    "late": "records that came behind the watermark",
    "again": "records that came again and are in the stream once",
    "others": "records of other instruments, or of another date",
    "unknown": "records of types that were not asked for, by type",
    "connections, drops": "how many there were",
    "errors, said, mappings": "errors that the vendor told, what it said last, and how many symbols it mapped",
    "repeating": "schemas whose past the vendor is still telling: the watermark waits for the slowest",
    "slow": "times at which the vendor said that we are slow",
    "paused, waiting_bytes": "times at which the socket was not read, and what waits before it is worked on",
    "spooled_bytes": "what waits for the watermark",
    "waiting_for": "alone: the date whose session has not opened yet",
}


class NoReplay(RuntimeError):
    """The gateway does not repeat the past that was asked for; says why."""


@dataclass
class Standing:
    """What the stream holds of a date's run. `end`: its last sequence; `told`: its watermark; `numbers`: records by channel."""

    session: Session
    end: int
    told: int
    numbers: dict[str, int]
    known: Known
    closed: bool = False  # whether the clock at the date's end is there


class LiveFeed:
    """One date on its way from the vendor to the bus."""

    def __init__(self, client: Client, lake: Lake, key: str, date: dt.date) -> None:
        self.client, self.lake, self.config, self.date = client, lake, lake.config, date
        self._vendor = self.config.live.vendor
        self._key = key
        self.day = calendar(self.config).session(date)
        self.window = Window(self.day.bronze.start, self.day.globex.end)
        self.listing = Listing(self.day, self.config)
        self.sieve = Sieve(self.listing, self.window, self._vendor.quotes)
        self.tally = self.sieve.tally
        self.run_id: str | None = None
        self._now = self.window.start  # the gateway's clock when it had told all definitions
        self._repeats = True  # whether the past is asked for
        self._worked = False  # whether anything of the market came since the process began
        self._trouble: str | None = None
        self._heard = time.monotonic()
        self._line: Line | None = None
        self._past: dict[str, int] = {}  # of each schema that is still repeated, the newest event time
        self._arrivals: Arrivals | None = None
        self._publisher: Publisher | None = None

    async def run(self) -> str:
        """Publish the date until it is over; the run's id. Refused says why the vendor will not serve us."""
        failures = 0
        while True:
            before = self.tally.connections
            try:
                return await self._once()
            except (Dropped, Shorter, split.Damaged) as error:
                self._drop(str(error))
            except Refused as error:
                if not self._worked:
                    raise
                self._drop(str(error))
            except NoReplay as error:
                log.warning("the vendor does not repeat the past: %s; a run begins with what comes now", error)
                self._repeats = False
                continue
            failures = 0 if self.tally.connections > before else failures + 1
            await asyncio.sleep(self._vendor.again_seconds * 2 ** min(failures, DOUBLINGS))

    def _drop(self, why: str) -> None:
        self.tally.drops += 1
        self._trouble = why
        log.warning("%s: %s; connecting again", self.date, why)

    # ---- one connection after the other ----

    async def _once(self) -> str:
        """Everything from a connection to its end, or to the end of the date."""
        if not self.listing.seen:
            await self._list()
        standing = await patiently(self._standing) if self._repeats else None
        if standing is not None and standing.told >= self.window.end:
            return await self._close(standing)
        contract, basis = standing.session.contract.split(" by ") if standing else self._contract()
        asked = self._asked(contract, standing)
        line = await self._connect(asked)
        try:
            return await self._follow(line, asked, standing, f"{contract} by {basis}")
        except (Dropped, Refused, NoReplay, split.Damaged):
            if self._publisher is not None:
                await self._publisher.flush()
            raise
        finally:
            self.tally.paused += line.paused
            self._line = None
            line.end()
            if self._arrivals is not None:
                self._arrivals.spool.close()

    async def _close(self, standing: Standing) -> str:
        """A run that is over has a clock at its end, even if the feed was killed just before it."""
        if not standing.closed:
            publisher = Publisher(self.client, MARKET, base=standing.end)
            await publisher.put(Clock(standing.session.run, self.window.end).message())
            await publisher.flush()
        return standing.session.run

    async def _connect(self, asked: Sequence[Subscription]) -> Line:
        line = await connected(self._key, self.config.instrument.dataset, self._vendor)
        self._line = line
        line.ask(asked)
        return line

    async def _list(self) -> None:
        """Take all definitions that there are. Refused if they name no future of ours."""
        asked = [self._definitions()]
        line, splitter, complete = await self._connect(asked), Splitter(), False
        try:
            while not complete:
                piece = await self._next(line, splitter)
                self.listing.take(piece.records(dbn.SCHEMAS["definition"])[1])
                for told in piece.told():
                    self._hear(told, asked)
                    self._now = max(self._now, told.ts)
                    complete |= told.rtype == split.SYSTEM and told.code == split.REPLAY_COMPLETED
        except NoReplay as error:
            raise Refused(f"the vendor tells no definitions: {error}") from error
        finally:
            self._line = None
            line.end()
        self._now = min(max(self._now, self.window.start), self.window.end)
        if not self.listing.outrights:
            raise Refused(f"the vendor's {self.listing.seen:,} definitions name no {self.config.instrument.root} future")
        log.info("%s: %d futures, %d options of %s", self.date, len(self.listing.outrights), len(self.listing.options),
                 ", ".join(sorted(self.listing.parents)) or "no root")  # fmt: skip

    async def _next(self, line: Line, splitter: Splitter) -> Piece:
        piece = splitter.take(await line.take(self._vendor.silent_seconds))
        self._heard = time.monotonic()
        return piece

    def _contract(self) -> tuple[str, str]:
        """The date's contract and how it was chosen. Refused if the vendor lists no such future."""
        present = set(self.listing.outrights.values())
        chosen = choose(self.date, self.lake, present, self.config)
        if chosen.symbol not in present:
            raise Refused(f"{chosen.symbol}, the contract of {self.date} by {chosen.basis}, is not among the vendor's definitions: "
                          f"{', '.join(sorted(present))}")  # fmt: skip
        return chosen.symbol, chosen.basis

    def _definitions(self) -> Subscription:
        names = [f"{self.config.instrument.root}.FUT", *(f"{parent}.OPT" for parent in self.config.instrument.option_parents)]
        return Subscription("definition", names, "parent", 0)

    def _asked(self, contract: str, standing: Standing | None) -> list[Subscription]:
        """The subscriptions: each schema once, so that its end of the past can be told."""
        start = self.window.start
        if standing is not None:
            start = max(start, standing.told - self._overlap)
        since = start if self._repeats else None
        options = [f"{parent}.OPT" for parent in sorted(self.listing.parents)]
        if not options:
            log.warning("%s: no option expires on it", self.date)
        schemas = [
            ("trades", [f"{self.config.instrument.root}.FUT", *options], "parent"),
            *((schema, options, "parent") for schema in ("statistics", self._vendor.quotes) if options),
            ("mbp-10", [contract], "raw_symbol"),
        ]
        return [self._definitions(), *(Subscription(*one, since) for one in schemas)]

    @property
    def _overlap(self) -> int:
        return round(self._vendor.overlap_seconds * NS)

    # ---- what the stream holds ----

    @property
    def _constant(self) -> dict[str, Any]:
        """What every session of the date says that is cut as we would."""
        return {
            "date": str(self.date), "frame_span": round(self.config.live.frame_ms * 1_000_000), "frame_records": 0,
            "inputs": messages.digest(f"live {self.config.instrument.dataset}".encode()), "config": self.config.digest(),
        }  # fmt: skip

    def _opening(self, run: str, contract: str, complete_from: int) -> Session:
        """The session of a run that begins now."""
        symbol = contract.split(" by ")[0]
        return Session(
            run=run, contract=contract, complete_from=complete_from, paced_from=self._now,
            model=Artifacts(self.lake).serving(self.date), priors=Maker(self.date, self.lake).usual(symbol),
            symbology=packed(self.listing.symbology(symbol)), **self._constant,
        )  # fmt: skip

    async def _standing(self) -> Standing | None:
        """The date's run in the stream, if its latest run is that, with its watermark and latest records."""
        end, found = await last_sequence(self.client, MARKET), await last(self.client, MARKET, messages.SESSION)
        if found is None or found.seq is None:
            return None
        session = read(messages.SESSION, found.headers, found.data or b"")
        assert isinstance(session, Session), "the subject decides"
        if any(getattr(session, name) != value for name, value in self._constant.items()):
            return None
        latest = [await last(self.client, MARKET, subject) for subject in CHANNELS.values()]
        numbers = {
            channel: int(one.headers["First"]) + int(one.headers["Count"])
            for channel, one in zip(CHANNELS, latest, strict=True)
            if one is not None and one.headers and one.headers.get("Run") == session.run
        }
        standing = Standing(session, end, self.window.start, numbers, {channel: Counter() for channel in CHANNELS})
        await self._remember(standing, found.seq)
        return standing

    async def _remember(self, standing: Standing, began: int) -> None:
        """What a gateway may send again: all definitions, and the records behind the watermark less twice the overlap.

        Records with an effective time up to a watermark stand in its message or before it, and those of one cut may stand
        before messages that still carry the watermark before the cut: so one watermark farther back is read.
        """
        limit = edge = None
        for sequence in range(standing.end, began, -1):
            held = await self.client.jsm().get_msg(MARKET, seq=sequence)
            message = read(held.subject or "", held.headers, held.data or b"")
            assert not isinstance(message, Session), "the run's session is the latest"
            if limit is None:
                standing.told = max(standing.told, message.watermark)
                standing.closed = isinstance(message, Clock) and message.watermark >= self.window.end
                limit = standing.told - 2 * self._overlap
            if edge is None and message.watermark < limit:
                edge = message.watermark
            if edge is not None and message.watermark < edge:
                break
            if isinstance(message, Frame) and message.channel != DEFINITIONS.name:
                standing.known[message.channel].update(bytes_of(message.records))
        at = began
        while True:
            try:
                held = await self.client.jsm().get_msg(MARKET, seq=at + 1, subject=CHANNELS[DEFINITIONS.name], next=True)
            except nats.js.errors.NotFoundError:
                return
            assert held.seq is not None, "a stored message has a sequence"
            frame, at = read(held.subject or "", held.headers, held.data or b""), held.seq
            assert isinstance(frame, Frame), "the subject decides"
            standing.known[DEFINITIONS.name].update(bytes_of(frame.records))

    async def _begin(self, contract: str, standing: Standing | None, started: int) -> tuple[Session, Known]:
        """Go on with the run that the stream holds, or begin one. `started`: the gateway's clock before the first record."""
        live = self.config.live
        if standing is not None:
            session, end, told, numbers, known = standing.session, standing.end, standing.told, standing.numbers, standing.known
        else:
            end = await patiently(lambda: last_sequence(self.client, MARKET))
            complete_from = self.day.globex.start if self._repeats else max(started, self.day.globex.start)
            session = self._opening(f"{self.date}.{end + 1}", contract, complete_from)
            told, numbers, known = self.window.start, {}, {channel: Counter() for channel in CHANNELS}
        cutting = Cutting(
            span=session.frame_span, clock=round(live.clock_ms * 1_000_000), room=live.frame_bytes, begin=session.paced_from,
            coarse=round(live.frame_seconds * NS),
        )  # fmt: skip
        self._arrivals = Arrivals(
            session.run, self.window, cutting, round(self._vendor.lateness_ms * 1_000_000), told, self._vendor.quotes,
            Spool(self._vendor.spool_bytes), numbers,
        )  # fmt: skip
        self._publisher = Publisher(self.client, MARKET, base=end, window=live.window)
        if standing is None:
            await self._publisher.put(session.message())
        self.run_id, self._repeats = session.run, True
        about(run=session.run)
        self.tally.records = Counter(numbers)
        return session, known

    # ---- what comes ----

    async def _follow(self, line: Line, asked: Sequence[Subscription], standing: Standing | None, contract: str) -> str:
        """Take what comes until the date is over; the run's id."""
        splitter = Splitter()
        past = self._past = {one.schema: NEVER for one in asked if one.start is not None}
        unnamed, since, started = 0, self.window.start, self._now
        session: Session | None = None
        known: Known = {}
        while True:
            piece = await self._next(line, splitter)
            repeated, said, beats = set(past), piece.told(), list[Told]()
            for told in said:
                self._hear(told, asked)
                if told.rtype == split.SYSTEM and told.code == split.REPLAY_COMPLETED:
                    unnamed += not _complete(past, told.words)
                    if unnamed >= len(past):
                        past.clear()
                elif told.rtype == split.SYSTEM and told.code == split.HEARTBEAT:
                    beats.append(told)
            found = {one.schema: piece.records(dbn.SCHEMAS[one.schema]) for one in asked}
            self.sieve.count_unknown(piece, found)
            if session is None:
                started = max([started, *(one.ts for one in said if one.place < _first(found, len(piece)))])
                if not (beats or repeated - set(past) or any(len(places) for places, _ in found.values())):
                    continue
                session, known = await self._begin(contract, standing, started)
                since = session.complete_from if session.complete_from > self.day.globex.start else self.window.start
                self.tally.connections += 1
                self._worked, self._trouble = True, None
            assert self._arrivals is not None and self._publisher is not None, "the run has begun"
            moments = np.full(len(piece), NEVER)
            for schema, (places, records) in found.items():
                its = np.minimum(records[dbn.SCHEMAS[schema].index], records["ts_recv"])  # no event is newer than its receipt
                moments[places] = times = its.view("i8")
                if schema in past and len(times):
                    past[schema] = max(past[schema], int(times.max()))
            if not repeated:
                moments[[one.place for one in beats]] = [one.ts for one in beats]
            slowest = min(past.values()) if past else max(moments.max(initial=NEVER), self._arrivals.newest) if repeated else None
            parts = {
                channel: self.sieve.fresh(known, channel, places, records)
                for channel, (places, records) in self.sieve.sorted(found, since).items()
            }
            self._arrivals.take(parts, moments, slowest)
            await self._publish()
            if not past:
                known.clear()
            if self._arrivals.done:
                await self._publisher.flush()
                return session.run
            if new := {parent for parent in self.listing.parents if all(f"{parent}.OPT" not in one.symbols for one in asked[1:])}:
                raise Dropped(f"options of another root were listed: {', '.join(sorted(new))}")

    async def _publish(self) -> None:
        assert self._arrivals is not None and self._publisher is not None, "the run has begun"
        for item in self._arrivals.frames():
            await self._publisher.put(item.message())
            if isinstance(item, Frame):
                self.tally.records[item.channel] += len(item.records)
        self.tally.late += self._arrivals.late
        self._arrivals.late = 0

    def _hear(self, told: Told, asked: Sequence[Subscription]) -> None:
        """What the gateway says of itself; trouble that ends the connection is raised."""
        if told.rtype == split.SYSTEM:
            if told.code == split.SLOW_READER:
                self.tally.slow += 1
                self.tally.latest = told.words
                log.warning("the vendor: %s", told.words)
            return
        self.tally.errors += 1
        self.tally.latest = told.words
        log.warning("the vendor: %s (code %d)", told.words, told.code)
        if told.code in (split.AUTH_FAILED, split.DEACTIVATED):
            raise Refused(f"the vendor refuses the key: {told.words}")
        if told.code in (split.AGED_OUT, split.INVALID):
            if any(one.start is not None for one in asked if one.schema != "definition" or len(asked) == 1):
                raise NoReplay(told.words)
            raise Refused(f"the vendor refuses a subscription: {told.words}")
        if told.code == split.SKIPPED:
            raise Dropped(f"the gateway skipped records: {told.words}")
        if told.code != split.UNRESOLVED:
            raise Dropped(f"the gateway said: {told.words}")

    # ---- how it stands ----

    def state(self) -> dict[str, Any]:
        """For health.feed. `age`: seconds since the vendor was heard; `lag`: seconds of our clock behind the newest event time."""
        bus = self._publisher.trouble if self._publisher else None
        arrivals, line, tally = self._arrivals, self._line, self.tally
        newest = arrivals.newest if arrivals else NEVER
        position = arrivals.told if arrivals else self.window.start
        return {
            "ok": self._trouble is None and bus is None, "why": self._trouble or bus, "age": time.monotonic() - self._heard,
            "live": True, "date": str(self.date), "run": self.run_id, "position": position, "of": self.window.end,
            "new_york": to_datetime(position, self.config.sessions.market_zone).strftime("%Y-%m-%d %H:%M:%S"),
            "lag": round(time.time() - newest / NS, 3) if newest > 0 else None, "records": dict(tally.records), "late": tally.late,
            "again": tally.again, "others": tally.others, "unknown": {str(rtype): count for rtype, count in tally.unknown.items()},
            "connections": tally.connections, "drops": tally.drops, "errors": tally.errors, "slow": tally.slow,
            "said": tally.latest, "mappings": tally.mappings, "repeating": sorted(self._past),
            "paused": tally.paused + (line.paused if line else 0),
            "waiting_bytes": line.waiting if line else 0,
            "spooled_bytes": arrivals.spool.held + arrivals.spool.stored if arrivals else 0,
        }  # fmt: skip


def _first(found: Found, end: int) -> int:
    """The place of the first record that is no definition; `end` if there is none."""
    return min((int(places[0]) for schema, (places, _) in found.items() if schema != "definition" and len(places)), default=end)


def _complete(past: dict[str, int], words: str) -> bool:
    """Take note that the past of a schema is told; whether the words name it."""
    named = [schema for schema in past if schema in words]
    for schema in named:
        del past[schema]
    return bool(named)
