"""/ws/stream: one client's connection. It says {"do": "ack", "seq": N} to a ping, and {"do": "subscribe", "topics": [...]}."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from asyncio.transports import BaseTransport
from typing import Any, Final

import orjson
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request

from spymaster_live.gateway import wire
from spymaster_live.gateway.guard import HEADERS, PROTOCOL, Rate
from spymaster_live.gateway.hub import Client, Hub

CONNECTION: Final = "spymaster.connection"  # an extension of ASGI: the connection itself
GRACE_SECONDS: Final = 5.0  # for a client that is given up to read that it is
POLICY: Final = 1008  # close code: it said what it may not
KERNEL_BYTES: Final = 262_144  # that the kernel holds for a client; left to itself it takes half a minute of messages
PINGS_PER_SECOND: Final = 2.0  # of the protocol itself, after twice as many at once
log = logging.getLogger("spymaster.live")


class Connection(WebSocketsSansIOProtocol):
    """uvicorn's connection, which also writes frames that are encoded already, and can let go of a client that takes nothing more.

    uvicorn itself encodes each message for each client, and waits for ever until one that it closes has taken what was sent before.
    """

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[CONNECTION] = self

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
        self._pings = Rate(PINGS_PER_SECOND)

    def handle_ping(self) -> None:
        """Answer. Answers are kept until they are taken, so somebody who asks without end is given up."""
        if not self.close_sent and self._pings.allows("", time.monotonic()):
            super().handle_ping()
            return
        self.conn.data_to_send()
        self.give_up(POLICY, "too many pings")

    def handle_close(self, event: Frame) -> None:
        super().handle_close(event)
        self._let_go()

    def handle_parser_exception(self) -> None:
        super().handle_parser_exception()
        self._let_go()

    def _let_go(self) -> None:
        """The connection ends soon: a transport that is only closed waits without end until everything is taken."""
        self.loop.call_later(GRACE_SECONDS, self.transport.abort)

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            self.handshake_complete = True  # else a refusal would be logged as an error of ours

    @property
    def free(self) -> bool:
        return self.writable.is_set() and self.handshake_complete and not self.close_sent

    def write(self, frame: bytes) -> None:
        if not self.close_sent and not self.transport.is_closing():
            self.transport.write(frame)

    async def drain(self) -> None:
        await self.writable.wait()
        if self.disconnected:
            raise ClientDisconnected

    def give_up(self, code: int, reason: str) -> None:
        """Close, with a code and a reason, whatever waits to be sent."""
        if self.close_sent or self.transport.is_closing():
            return
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(GRACE_SECONDS, self.transport.abort)


def topics_of(said: Any) -> frozenset[str]:
    """Names of topics; ValueError says what was expected."""
    if not isinstance(said, list) or not said or not set(map(str, said)) <= set(wire.TOPICS):
        raise ValueError(f"topics: expected some of {', '.join(wire.TOPICS)}")
    return frozenset(said)


async def serve(websocket: WebSocket, hub: Hub) -> None:
    """One client, from its request to its end. Query: `topics` (all), `after` and `stream` to go on behind a message."""
    address, query = websocket.client.host if websocket.client else "", websocket.query_params
    try:
        topics = topics_of(query["topics"].split(",")) if "topics" in query else frozenset(wire.TOPICS)
        after = int(query["after"]) if "after" in query else None
    except ValueError as error:
        await _refuse(websocket, hub, 400, str(error))
        return
    if (why := hub.full(address)) is not None:
        await _refuse(websocket, hub, 503, why)
        return
    connection: Connection = websocket.scope["extensions"][CONNECTION]
    client = Client(address, connection, topics, pinged=asyncio.get_running_loop().time())
    hub.join(client, after, query.get("stream"))
    tasks = []
    try:
        await websocket.accept(PROTOCOL if PROTOCOL in websocket.scope["subprotocols"] else None)
        tasks = [asyncio.ensure_future(one) for one in (hub.serve(client), _hear(websocket, hub, client), client.gone.wait())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for trouble in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(trouble, Exception) and not isinstance(trouble, ClientDisconnected):
                log.error("a client's stream broke: %r", trouble)
        hub.leave(client)
    if client.ended is not None:
        connection.give_up(*client.ended)


async def _refuse(websocket: WebSocket, hub: Hub, status: int, why: str) -> None:
    hub.metrics.refused.labels(status).inc()
    await websocket.send_denial_response(JSONResponse({"error": why}, status, headers=HEADERS))


async def _hear(websocket: WebSocket, hub: Hub, client: Client) -> None:
    """What a client says, until it goes or says what it may not."""
    rate = Rate(hub.limits.messages_per_second)
    while True:
        try:
            text = await websocket.receive_text()
        except WebSocketDisconnect:
            return
        except KeyError:
            client.end(POLICY, "expected text")
            return
        if not rate.allows("", time.monotonic()):
            client.end(POLICY, "too many messages")
            return
        try:
            _do(orjson.loads(text), hub, client)
        except ValueError as error:
            client.end(POLICY, str(error)[:100])
            return


def _do(said: Any, hub: Hub, client: Client) -> None:
    """Do what a client says; ValueError says what was expected."""
    what = said.get("do") if isinstance(said, dict) else None
    if what == "ack":
        client.answered()
    elif what == "subscribe":
        hub.subscribe(client, topics_of(said.get("topics")))
    else:
        raise ValueError('expected {"do": "ack", "seq": N} or {"do": "subscribe", "topics": [...]}')
