"""The clients: what each has still to be sent, what it may miss, who is given up.

The gateway itself skips nothing. A client that is slower than the market has one slot for each of signals, flow and status, in
which a newer message takes an older one's place; rows wait until they are sent, since they are state. What is sent has a growing
seq.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge

from spymaster_assets.config import Gateway as Limits
from spymaster_live.gateway import wire
from spymaster_live.gateway.fold import Fold, Said

AGAIN_LATER: Final = 1013  # close code: the client may come again


class Metrics:
    """What is counted, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"spymaster_gateway_{name}", meaning, labels, registry=self.registry)

        def gauge(name: str, meaning: str, *labels: str) -> Gauge:
            return Gauge(f"spymaster_gateway_{name}", meaning, labels, registry=self.registry)

        self.clients = gauge("clients", "clients that are connected")
        self.messages = counter("messages", "messages of LEVELS that were told, by topic", "topic")
        self.sent = counter("sent", "messages sent to clients")
        self.bytes = counter("sent_bytes", "bytes of the messages sent to clients")
        self.conflated = counter("conflated", "messages that a slow client missed for newer ones, by topic", "topic")
        self.given_up = counter("given_up", "clients that were closed, by close code", "code")
        self.refused = counter("refused", "requests and streams that were refused, by status", "status")
        self.unread = counter("unread", "messages of LEVELS that could not be read")
        self.age = gauge("age_seconds", "seconds since the engine spoke, and since the market's clock moved", "of")
        self.ready = gauge("ready", "1: as /readyz says")


class Line(Protocol):
    """What leads to a client."""

    @property
    def free(self) -> bool:
        """Whether a frame can be written at once."""

    def write(self, frame: bytes) -> None:
        """Write a frame, behind those that were written before."""

    async def drain(self) -> None:
        """Wait until it is free; an exception if it is broken."""


@dataclass(eq=False)
class Client:
    """A client's end of the gateway. `ended`: close code and reason, once it is to go."""

    address: str
    line: Line
    topics: frozenset[str]
    queue: deque[Said] = field(default_factory=deque)
    slots: dict[str, Said] = field(default_factory=dict)
    ended: tuple[int, str] | None = None
    sent: int = -1  # seq of the latest message
    sending: float | None = None  # since when a message is being sent
    pinged: float = 0.0  # when it was asked last whether it lives
    asked: float | None = None  # when the oldest such question was asked that is not answered
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    def offer(self, said: Said) -> bool:
        """Have a message sent as soon as may be; whether it took the place of an older one."""
        conflated = False
        if said.topic in wire.LATEST:
            conflated = said.topic in self.slots
            self.slots[said.topic] = said
        else:
            self.queue.append(said)
        self.wake.set()
        return conflated

    @property
    def idle(self) -> bool:
        """Whether everything was sent that was for it, and more can be."""
        return self.sending is None and not self.queue and not self.slots and self.line.free

    def restart(self, snapshot: Said) -> None:
        """Begin anew with a snapshot: nothing older is sent any more."""
        self.queue.clear()
        self.slots.clear()
        self.asked = None  # the question may have been among them
        self.offer(snapshot)

    def end(self, code: int, why: str) -> None:
        """Have it closed, with a code and a reason."""
        if self.ended is None:
            self.ended = code, why
            self.gone.set()

    def answered(self) -> None:
        """It lives."""
        self.asked = None

    def take(self) -> Said | None:
        """The waiting message with the smallest seq."""
        topic = min(self.slots, key=lambda one: self.slots[one].seq, default=None)
        if self.queue and (topic is None or self.queue[0].seq <= self.slots[topic].seq):
            return self.queue.popleft()
        return None if topic is None else self.slots.pop(topic)


class Hub:
    """All clients, and the latest messages for those who come back. `stream`: which LEVELS the sequences belong to."""

    def __init__(self, limits: Limits, fold: Fold) -> None:
        self.limits, self.fold, self.metrics = limits, fold, Metrics()
        self.clients: set[Client] = set()
        self.stream = ""
        self._kept: deque[Said] = deque()
        self._size = 0
        self._since = 0  # every message after this one is kept
        self._snapshots: dict[tuple[str, frozenset[str]], Said] = {}  # of the fold as it is

    # ---- what is told ----

    def tell(self, said: Said) -> None:
        """A message for all whom its topic concerns."""
        self.metrics.messages.labels(said.topic).inc()
        self._snapshots.clear()
        self._kept.append(said)
        self._size += len(said.text)
        while len(self._kept) > self.limits.kept_messages or self._size > self.limits.kept_bytes:
            gone = self._kept.popleft()
            self._size -= len(gone.text)
            self._since = gone.seq
        at_once, behind = 0, []
        for client in self.clients:
            if said.topic not in client.topics:
                continue
            if client.idle:
                client.line.write(said.frame)
                client.sent, at_once = said.seq, at_once + 1
            else:
                behind.append(client)
        self.metrics.conflated.labels(said.topic).inc(sum([client.offer(said) for client in behind]))
        self._count(said, at_once)

    def _count(self, said: Said, times: int) -> None:
        self.metrics.sent.inc(times)
        self.metrics.bytes.inc(times * len(said.frame))

    def restart(self, why: str) -> None:
        """The fold began anew: everybody gets a snapshot, and nobody can go on from before."""
        self._snapshots.clear()
        self._kept.clear()
        self._size, self._since = 0, self.fold.seq
        for client in self.clients:
            client.restart(self.snapshot(why, client.topics))

    def snapshot(self, why: str, topics: frozenset[str]) -> Said:
        """Everything so far; encoded once for all who come between two messages."""
        if (key := (why, topics)) not in self._snapshots:
            self._snapshots[key] = Said("snapshot", self.fold.seq, self.fold.snapshot(why, topics, self.stream))
        return self._snapshots[key]

    # ---- who comes and goes ----

    def full(self, address: str) -> str | None:
        """Why nobody more is let in from an address; None if there is room."""
        if len(self.clients) >= self.limits.clients:
            return f"{self.limits.clients} clients are connected, which is the limit"
        if sum(client.address == address for client in self.clients) >= self.limits.clients_per_address:
            return f"{self.limits.clients_per_address} clients of this address are connected, which is the limit"
        return None

    def join(self, client: Client, after: int | None, stream: str | None) -> None:
        """A client begins: behind the message `after` of `stream` if everything since is kept, else with a snapshot."""
        self.clients.add(client)
        self.metrics.clients.set(len(self.clients))
        if after is None:
            client.offer(self.snapshot("begin", client.topics))
        elif stream == self.stream and self._since <= after <= self.fold.seq:
            client.sent = after
            client.offer(Said("resumed", after, b'{"type":"resumed","seq":%d}' % after))
            for said in self._kept:
                if said.seq > after and said.topic in client.topics:
                    client.offer(said)
        else:
            client.offer(self.snapshot("resync", client.topics))

    def subscribe(self, client: Client, topics: Collection[str]) -> None:
        """Other topics from now on, beginning with a snapshot of them."""
        client.topics = frozenset(topics)
        client.restart(self.snapshot("subscribe", client.topics))

    def leave(self, client: Client) -> None:
        self.clients.discard(client)
        self.metrics.clients.set(len(self.clients))
        if client.ended is not None:
            self.metrics.given_up.labels(client.ended[0]).inc()

    async def serve(self, client: Client) -> None:
        """Send a client what waits for it, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            said = client.take()
            if said is None:
                client.wake.clear()
                await client.wake.wait()
                continue
            client.sending = loop.time()
            await client.line.drain()
            client.line.write(said.frame)
            client.sending, client.sent = None, max(client.sent, said.seq)
            self._count(said, 1)

    def look_after(self, now: float) -> None:
        """Ask whether clients live; those who do not take what they are sent, or do not answer, are given up."""
        for client in self.clients:
            if client.sending is not None and now - client.sending > self.limits.send_seconds:
                client.end(AGAIN_LATER, "too slow: a message could not be sent in time")
            elif client.asked is not None and now - client.asked > self.limits.patience_seconds:
                client.end(AGAIN_LATER, "no answer to the heartbeat")
            elif now - client.pinged >= self.limits.heartbeat_seconds:
                client.pinged = now
                client.asked = now if client.asked is None else client.asked
                seq = max(client.sent, client.queue[-1].seq if client.queue else -1)
                client.queue.append(Said("ping", seq, b'{"type":"ping","seq":%d}' % max(seq, 0)))
                client.wake.set()
