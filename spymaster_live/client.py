"""A client of the gateway's stream: what it says as dicts, one after the other, across its restarts and one's own.

    async with Stream("ws://127.0.0.1:8000", token, ["signals"]) as stream:
        async for message in stream:
            ...

The first message is a snapshot; after trouble it goes on behind the last one, or with a new snapshot if the gateway knows no more.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from spymaster_assets.sessions import to_datetime

PROTOCOL: Final = "spymaster.v1"
AGAIN_SECONDS: Final = 0.5  # between two attempts
HOPELESS: Final = (400, 401, 403)  # statuses of a request that will be refused again
log = logging.getLogger("spymaster.live")


class Refused(RuntimeError):
    """The gateway will not have us: its status and its reason."""


class Stream(AbstractAsyncContextManager["Stream"]):
    """One stream. `url`: the gateway's, http or ws; `topics`: all if none; `tls`: how certificates are checked."""

    def __init__(self, url: str, token: str | None = None, topics: Sequence[str] = (), tls: ssl.SSLContext | None = None) -> None:
        self._url, self._topics, self._tls = _address(url), topics, tls
        self._protocols = [PROTOCOL, *([f"token.{token}"] if token else [])]
        self._connection: ClientConnection | None = None
        self._place: dict[str, Any] = {}  # the last message, and the stream it stands in
        self._trouble: str | None = None  # why the last attempt failed
        self.connections = 0

    async def __aexit__(self, *trouble: object) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        """Messages for ever: snapshot, signals, rows, flow, status. Raises Refused if it is no use to try again."""
        while True:
            try:
                self._connection = await self._connect()
                async for text in self._connection:
                    message = orjson.loads(text)
                    if message["type"] == "ping":
                        await self._connection.send(orjson.dumps({"do": "ack", "seq": message["seq"]}), text=True)
                        continue
                    self._place["after"] = message["seq"]
                    if message["type"] == "snapshot":
                        self._place["stream"] = message["data"]["stream"]
                    if message["type"] != "resumed":
                        yield message
            except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed) as error:
                why = str(error) or type(error).__name__
                log.log(logging.INFO if why == self._trouble else logging.WARNING, "%s: %s; trying again", self._url, why)
                self._trouble = why
            await asyncio.sleep(AGAIN_SECONDS)

    async def _connect(self) -> ClientConnection:
        query = {**({"topics": ",".join(self._topics)} if self._topics else {}), **self._place}
        address = f"{self._url}/ws/stream?{urlencode(query)}"
        try:
            made = await connect(address, subprotocols=self._protocols, compression=None, max_size=None, ssl=self._tls)  # type: ignore[arg-type]
        except InvalidStatus as error:
            if error.response.status_code in HOPELESS:
                raise Refused(f"{self._url}: {error.response.status_code}: {_reason(error.response.body)}") from error
            raise
        self.connections += 1
        self._trouble = None
        return made


def _address(url: str) -> str:
    """The same as ws:// or wss://. ValueError for what is no address."""
    scheme, _, host = url.rstrip("/").rpartition("://")
    if scheme not in ("", "http", "https", "ws", "wss") or not host:
        raise ValueError(f"{url!r}: expected http://HOST:PORT, or the same with https, ws or wss")
    return f"{'wss' if scheme in ('https', 'wss') else 'ws'}://{host}"


def _reason(body: bytes | bytearray | None) -> str:
    try:
        return str(orjson.loads(body or b"")["error"])
    except (ValueError, KeyError, TypeError):
        return "no reason given"


def line(payload: dict[str, Any], zone: str) -> str:
    """The levels of a snap as one line: time in a zone, price, and each level; of a touched one score and odds of a break."""
    told = [f"{to_datetime(payload['ts'], zone):%Y-%m-%d %H:%M:%S} {_number(payload['es']['spot'], 9, 2)}"]
    for level in sorted(payload["levels"], key=lambda one: -one["price"]):
        model = level["model"] or {}
        odds = f", break {model['break']:.0%}" if model.get("break") is not None else ""
        score = f": score {_number(level['break_score_smooth'], 3, 0)}{odds}" if level["touch"] else ""
        told.append(f"{level['id']} {level['price']:.2f}{score}")
    return " | ".join(told)


def _number(value: float | None, width: int, digits: int) -> str:
    return f"{'-' if value is None else format(value, f'.{digits}f'):>{width}}"
