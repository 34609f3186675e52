"""NATS JetStream: the streams, publishing and reading without loss or repetition, and dead letters.

MARKET has one publisher, the feed, so that the sequence of its n-th message is known before it is sent: each message names it
(Nats-Expected-Last-Sequence), the server refuses anything else, and after a crash the stream's last sequence tells how much was
published. LEVELS may have several publishers that say the same: there the server drops a message whose id it knows.
A reader holds the sequence up to which it has read, and asks again from there after any trouble.
A server whose file was damaged drops the damaged message and all behind it. Of MARKET they come again under the same sequences,
of LEVELS under others: there publisher and reader find out, after every new connection and consumer, and raise Shorter.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext, api

from spymaster_assets.config import Config
from spymaster_live.connection import TROUBLE as TROUBLE
from spymaster_live.connection import Absent as Absent
from spymaster_live.connection import Denied as Denied
from spymaster_live.connection import connected as connected
from spymaster_live.messages import DEAD, LEVELS_ROWS, LEVELS_SIGNALS, Message

MARKET: Final = "MARKET"
LEVELS: Final = "LEVELS"
DLQ: Final = "DLQ"
STATE: Final = "levels_state"  # key-value: the latest of each level
URL: Final = "nats://127.0.0.1:4222"
DAY_SECONDS: Final = 86_400.0
HELD_AT_ONCE: Final = 256  # messages that are fetched together
ACK_SECONDS: Final = 5.0  # a message that is not acknowledged within is sent again
_SAID: Final = (  # what we say of a stream; the rest is the server's
    "subjects", "discard", "max_bytes", "max_age", "max_msgs_per_subject", "duplicate_window", "allow_direct", "num_replicas",
)  # fmt: skip
_FULL: Final = 10077  # JetStream's error code of a stream that has reached its limit
BACK: Final = dt.timedelta(hours=1)  # by which the server's clock may have been set back since a run began
_CLOSE: Final = dt.timedelta(milliseconds=1)  # nats-py rounds times in two ways

Answer = TypeVar("Answer")
log = logging.getLogger("spymaster.live")


class Fenced(RuntimeError):
    """Somebody else publishes to a stream that is ours."""


class Shorter(RuntimeError):
    """A stream no longer holds what it had acknowledged: it was made anew, or its file was damaged."""


def streams(config: Config) -> list[api.StreamConfig]:
    """What `provision` makes. MARKET refuses messages when it is full: unread ones are never dropped for new ones.

    The last one is the key-value bucket: to the server it is a stream that keeps the latest message of each subject.
    """
    live = config.live
    file: dict[str, Any] = {
        "storage": api.StorageType.FILE, "allow_direct": True, "num_replicas": live.replicas,
        "max_age": live.kept_days * DAY_SECONDS,
    }  # fmt: skip
    return [
        api.StreamConfig(
            name=MARKET, subjects=["market.>"], discard=api.DiscardPolicy.NEW, max_bytes=live.market_bytes,
            duplicate_window=120, **file,
        ),
        api.StreamConfig(name=LEVELS, subjects=["levels.>"], max_bytes=live.levels_bytes, duplicate_window=DAY_SECONDS, **file),
        api.StreamConfig(name=DLQ, subjects=[f"{DEAD}.>"], max_bytes=live.dead_bytes, duplicate_window=DAY_SECONDS, **file),
        api.StreamConfig(
            name=f"KV_{STATE}", subjects=[f"$KV.{STATE}.>"], discard=api.DiscardPolicy.NEW, max_bytes=-1,
            max_msgs_per_subject=1, duplicate_window=120, deny_delete=True, allow_rollup_hdrs=True, **(file | {"max_age": 0.0}),
        ),
    ]  # fmt: skip


async def answering(client: Client, seconds: float = 60.0) -> None:
    """Until JetStream answers: servers of a cluster that have just started have to find one another. Absent if it does not."""
    end = time.monotonic() + seconds
    while True:
        try:
            await client.jsm().stream_info(MARKET)
            return
        except nats.js.errors.NotFoundError:
            return
        except (nats.js.errors.ServiceUnavailableError, nats.errors.TimeoutError) as error:
            if time.monotonic() > end:
                raise Absent(f"JetStream does not answer within {seconds:.0f} s: {error or type(error).__name__}") from error
            await asyncio.sleep(0.5)


async def provision(client: Client, config: Config, check: bool = False) -> list[str]:
    """Make the streams, or bring them to what the configuration says; what was changed, in words. `check`: what would be."""
    manager, told = client.jsm(), []
    for wanted in streams(config):
        try:
            found = (await manager.stream_info(str(wanted.name))).config
        except nats.js.errors.NotFoundError:
            told.append(f"{wanted.name}: {'missing' if check else 'made'}")
            if not check:
                await manager.add_stream(replace(wanted, first_seq=await _first(client)) if wanted.name == MARKET else wanted)
            continue
        changed = {name: getattr(wanted, name) for name in _SAID if getattr(found, name) != getattr(wanted, name)}
        told += [f"{wanted.name}: {name} {getattr(found, name)} -> {value}" for name, value in changed.items()]
        if changed and not check:
            await manager.update_stream(replace(found, **changed))
    return told


async def _first(client: Client) -> int | None:
    """The first sequence of a MARKET made anew, so that no run takes the name of one that LEVELS knows; None: any."""
    spoken = [await last(client, LEVELS, subject) for subject in (LEVELS_SIGNALS, LEVELS_ROWS)]
    runs = [(one.headers or {}).get("Run", "") for one in spoken if one is not None]
    numbers = [int(number) for run in runs if (number := run.rpartition(".")[2]).isdecimal()]
    return max(numbers) + 1 if numbers else None


async def made(client: Client, stream: str) -> dt.datetime | None:
    """When a stream was made, which tells it from another of its name. TROUBLE if there is none."""
    return (await client.jsm().stream_info(stream)).created


async def last(client: Client, stream: str, subject: str) -> api.RawStreamMsg | None:
    """The latest message of a subject."""
    try:
        return await client.jsm().get_last_msg(stream, subject)
    except nats.js.errors.NotFoundError:
        return None


async def last_sequence(client: Client, stream: str) -> int:
    """The sequence of the latest message that was ever stored."""
    return (await client.jsm().stream_info(stream)).state.last_seq


async def holds(client: Client, stream: str, sequence: int, same: Callable[[api.RawStreamMsg], bool]) -> bool:
    """Whether a message still has its sequence in a stream, or had it until it was dropped for its age. `same`: is this it?"""
    state = (await client.jsm().stream_info(stream)).state
    if not state.first_seq <= sequence <= state.last_seq:
        return sequence <= state.last_seq
    try:
        return same(await client.jsm().get_msg(stream, seq=sequence))
    except nats.js.errors.NotFoundError:  # it alone is gone: what lies behind has kept its sequences
        return True


def stored_at(moment: dt.datetime | None) -> Callable[[api.RawStreamMsg], bool]:
    """Whether a message is the one that was stored at a moment of the server's clock; None: any is."""
    return lambda found: moment is None or found.time is None or abs(found.time - moment) < _CLOSE


async def held(client: Client, stream: str, subject: str, since: dt.datetime, end: int) -> AsyncIterator[Msg]:
    """The messages of a subject that a stream holds from a moment of the server's clock on, up to sequence `end`, in order.

    One that is damaged on the server's disk is passed over, as the server does. TimeoutError if another one did not arrive.
    """
    consumer = api.ConsumerConfig(
        deliver_policy=api.DeliverPolicy.BY_START_TIME, opt_start_time=since, ack_policy=api.AckPolicy.NONE,
        filter_subject=subject, inactive_threshold=60, mem_storage=True,
    )  # fmt: skip
    subscription = await client.jetstream().pull_subscribe(subject, stream=stream, config=consumer)
    seen = 0
    try:
        left = (await subscription.consumer_info()).num_pending or 0
        while left:
            try:
                fetched = await subscription.fetch(HELD_AT_ONCE, timeout=5)
            except TimeoutError:
                if (await subscription.consumer_info()).num_pending:
                    raise
                break
            for message in fetched:
                place, seen = message.metadata.sequence, seen + 1
                if place.consumer != seen:
                    raise TimeoutError(f"{stream}: message {seen} of {subject} did not arrive")
                if place.stream <= end:
                    yield message
                left = 0 if place.stream >= end else message.metadata.num_pending or 0
    finally:
        await subscription.unsubscribe()


async def patiently(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """Ask until there is an answer: a server that is away is waited for."""
    while True:
        try:
            return await ask()
        except TROUBLE as error:
            log.warning("asking again: %s", error or type(error).__name__)
            await asyncio.sleep(0.5)


@dataclass
class _Sent:
    message: Message
    ack: asyncio.Future[api.PubAck] | None = None  # None: it is not under way
    at: float = 0.0  # when it was sent, of the monotonic clock
    link: int = 0  # how often the client had connected again by then

    def under_way(self, link: int) -> bool:
        """Whether it was sent over this connection, so that what is sent now comes behind it."""
        return self.ack is not None and self.link == link

    def due(self, link: int) -> bool:
        """Whether there is something to learn about it, or something to do."""
        return self.ack is None or self.ack.done() or self.link != link or time.monotonic() - self.at > ACK_SECONDS


class Publisher:
    """Publishes in order, a window ahead of the acknowledgements; from the first that fails on, everything again.

    What was sent over a connection that broke may be lost. So nothing is sent over the next one before all of that.

    `base`: the stream's last sequence before the first message, if this is its only publisher: message n then has sequence
    base + 1 + n or is refused. Without `base` messages are told apart by their ids, and `check` says whether those that were
    acknowledged are still there. `trouble`: why it has to wait, or None.
    """

    def __init__(self, client: Client, stream: str, *, base: int | None = None, window: int = 256) -> None:
        self._client, self._js, self._stream = client, client.jetstream(publish_async_max_pending=4 * window), stream
        self._base, self._window = base, window
        self._acked = 0  # messages known to be stored
        self._latest: str | None = None  # the id of the last of them
        self._place = 0, ""  # without `base`: the highest sequence that was acknowledged, and the id there
        self._connections = 0  # that were made anew when this was looked at
        self._waiting: deque[_Sent] = deque()
        self.trouble: str | None = None

    async def put(self, message: Message) -> None:
        """Send a message; waits while the window is full. Raises Fenced if somebody else publishes to our stream, and Shorter."""
        await patiently(self.check)
        self._waiting.append(_Sent(message))
        await self._send(len(self._waiting) - 1)
        while self._waiting and (len(self._waiting) >= self._window or self._waiting[0].due(self._link)):
            await self._settle()

    async def flush(self) -> None:
        """Wait until everything is stored."""
        while self._waiting:
            await self._settle()

    @property
    def _link(self) -> int:
        return self._client.stats["reconnects"]

    async def check(self) -> None:
        """After every new connection: Shorter if the stream no longer holds what it acknowledged. TROUBLE if it does not answer."""
        if (now := self._client.stats["reconnects"]) != self._connections:
            await self._still_there()
            self._connections = now

    async def _still_there(self) -> None:
        sequence, known = self._place
        if sequence and not await holds(
            self._client, self._stream, sequence, lambda one: (one.headers or {}).get("Nats-Msg-Id") == known
        ):
            raise Shorter(f"{self._stream} no longer holds {known}, which was acknowledged as {sequence}")

    async def _send(self, number: int) -> None:
        """Send a message that waits, unless the one before it is not under way: then it is sent when its turn comes."""
        sent, link = self._waiting[number], self._link
        sent.ack, sent.at, sent.link = None, time.monotonic(), link
        if not self._client.is_connected or (number and not self._waiting[number - 1].under_way(link)):
            return
        headers = dict(sent.message.headers)
        if self._base is not None:
            headers["Nats-Expected-Last-Sequence"] = str(self._base + self._acked + number)
        try:
            sent.ack = await self._js.publish_async(sent.message.subject, sent.message.data, headers=headers)
        except TROUBLE:
            sent.ack = None

    async def _settle(self) -> None:
        """Wait for the first acknowledgement; if there is none, find out why and send again."""
        first = self._waiting[0]
        try:
            if first.ack is None or (first.link != self._link and not first.ack.done()):
                raise nats.errors.ConnectionClosedError
            stored = await asyncio.wait_for(asyncio.shield(first.ack), max(0.05, first.at + ACK_SECONDS - time.monotonic()))
        except TROUBLE as error:
            await self._again(error)
            return
        self.trouble = None
        if self._base is None and stored.seq > self._place[0]:
            self._place = stored.seq, first.message.id
        elif self._base is None and not stored.duplicate:
            raise Shorter(f"{self._stream} gave sequence {stored.seq}, after {self._place[0]}")
        self._stored(1)

    def _stored(self, count: int) -> None:
        for _ in range(count):
            self._latest = self._waiting.popleft().message.id
        self._acked += count

    async def _again(self, error: BaseException) -> None:
        """Drop what is stored after all, then send the rest again."""
        self.trouble = f"{self._stream} is full" if getattr(error, "err_code", 0) == _FULL else str(error) or type(error).__name__
        for sent in self._waiting:
            if sent.ack is not None:
                sent.ack.cancel()
        await asyncio.sleep(0.5 if getattr(error, "err_code", 0) == _FULL else 0.05)
        try:
            await (self._still_there() if self._base is None else self._catch_up(self._base))
            for number in range(len(self._waiting)):
                await self._send(number)
        except TROUBLE as again:
            log.warning("%s: %s, trying again", self._stream, again or type(again).__name__)
            for sent in self._waiting:
                sent.ack = None
            await asyncio.sleep(0.25)

    async def _catch_up(self, base: int) -> None:
        """Let the stream itself tell how many of the waiting messages it holds."""
        stored = await last_sequence(self._client, self._stream) - base
        if stored < self._acked:
            raise Shorter(f"{self._stream} ends at {base + stored}, {base + self._acked} was acknowledged")
        if stored > self._acked + len(self._waiting):
            raise Fenced(f"{self._stream} holds {stored} messages of this run, {self._acked} to {self._acked + len(self._waiting)} "
                         "were published here: is another feed running?")  # fmt: skip
        self._stored(stored - self._acked)
        if stored and self._latest is not None:
            held = (await self._client.jsm().get_msg(self._stream, seq=base + stored)).headers or {}
            if held.get("Nats-Msg-Id") != self._latest:
                raise Fenced(f"{self._stream}: message {base + stored} is {held.get('Nats-Msg-Id')}, not {self._latest}: "
                             "is another feed running?")  # fmt: skip


class Reader:
    """Reads a stream from a sequence on, every message once and in order, whatever happens to the consumer or the server.

    `next`: the sequence of the next message. `lost`: messages that the stream no longer held. `latest`: when the one before `next`
    was stored, None: unknown; Shorter is raised once the stream holds another one in its place (but for MARKET).
    """

    def __init__(self, client: Client, stream: str, first: int, batch: int = 64, latest: dt.datetime | None = None) -> None:
        self._client, self._stream, self._batch = client, stream, batch
        self.latest = latest
        self._subscription: JetStreamContext.PullSubscription | None = None
        self._fresh = False  # nothing was read through this consumer yet
        self.next = first
        self.lost = 0
        self.restarts = -1  # consumers that had to be made anew

    async def read(self, seconds: float = 1.0) -> list[tuple[int, Msg]]:
        """The next messages with their sequences; none if nothing comes within `seconds`."""
        try:
            subscription = self._subscription or await self._subscribe()
            found = await subscription.fetch(self._batch, timeout=seconds)
        except TimeoutError:
            await self._look_after()
            return []
        except TROUBLE as error:
            log.info("%s: consumer made anew: %s", self._stream, error or type(error).__name__)
            await self._drop()
            await asyncio.sleep(0.1)
            return []
        return await self._in_order(found)

    async def _in_order(self, found: list[Msg]) -> list[tuple[int, Msg]]:
        messages = []
        for message in found:
            sequence = message.metadata.sequence.stream
            if sequence < self.next:
                continue
            if sequence > self.next:
                if not self._fresh:  # something was not delivered: ask for it
                    await self._drop()
                    break
                self.lost += sequence - self.next
            self._fresh = False
            self.next, self.latest = sequence + 1, message.metadata.timestamp
            messages.append((sequence, message))
        return messages

    async def _subscribe(self) -> JetStreamContext.PullSubscription:
        consumer = api.ConsumerConfig(
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=self.next, ack_policy=api.AckPolicy.NONE,
            inactive_threshold=60, mem_storage=True,
        )  # fmt: skip
        self._fresh = True
        self.restarts += 1
        self._subscription = made = await self._client.jetstream().pull_subscribe(">", stream=self._stream, config=consumer)
        if self._stream != MARKET and not await holds(self._client, self._stream, self.next - 1, stored_at(self.latest)):
            raise Shorter(f"{self._stream} no longer holds what was read up to {self.next - 1}")
        return made

    async def _look_after(self) -> None:
        """Nothing came: is the consumer still there?"""
        try:
            if self._subscription is not None:
                await self._subscription.consumer_info()
        except TROUBLE:
            await self._drop()

    async def _drop(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            try:
                await subscription.unsubscribe()
            except TROUBLE:
                log.debug("%s: the old subscription is gone already", self._stream)

    async def close(self) -> None:
        await self._drop()


async def ids_of(client: Client, stream: str, run: str, since: dt.datetime) -> set[str]:
    """The ids of a run's messages that a stream holds from a moment of the server's clock on; headers alone are read."""
    end = await last_sequence(client, stream)
    consumer = api.ConsumerConfig(
        deliver_policy=api.DeliverPolicy.BY_START_TIME, opt_start_time=since, ack_policy=api.AckPolicy.NONE, headers_only=True,
        inactive_threshold=60, mem_storage=True,
    )  # fmt: skip
    subscription = await client.jetstream().pull_subscribe(">", stream=stream, config=consumer)
    found: set[str] = set()
    at = 0
    try:
        while at < end and (await subscription.consumer_info()).num_pending:
            for message in await subscription.fetch(1000, timeout=5):
                at, headers = message.metadata.sequence.stream, message.headers or {}
                if headers.get("Run") == run:
                    found.add(headers["Nats-Msg-Id"])
    finally:
        await subscription.unsubscribe()
    return found


async def bury(publisher: Publisher, sequence: int, message: Msg, reason: str) -> None:
    """A message that cannot be read, as it came, with the reason, to dlq.SUBJECT."""
    log.error("message %d on %s: %s", sequence, message.subject, reason)
    kept = {name: value for name, value in (message.headers or {}).items() if not name.startswith("Nats-")}
    headers = {**kept, "Nats-Msg-Id": f"dead:{sequence}", "Reason": reason, "Stream-Sequence": str(sequence)}
    await publisher.put(Message(f"{DEAD}.{message.subject}", headers, message.data))
