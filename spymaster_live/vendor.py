"""A connection to the vendor's live gateway: Databento's own protocol up to the first record, then bytes as they come.

Greeting, authentication and subscriptions are databento's client's. Records are not: its decoder makes a Python object of each,
and ends the connection at a type that it does not know. Bytes wait here up to a limit; beyond it nothing more is read from the
socket, so that the gateway learns that we are slow and nothing is lost.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from databento.common.error import BentoError
from databento.live.protocol import DatabentoLiveProtocol

from spymaster_assets.config import LiveVendor

KEY: Final = "DATABENTO_API_KEY"  # environment: the key
KEY_FILE: Final = "DATABENTO_API_KEY_FILE"  # environment: a file that holds it
CONNECT_SECONDS: Final = 10.0
PIECE: Final = 1 << 18  # bytes that are read at once
logging.getLogger("databento").setLevel(
    logging.CRITICAL
)  # what it would say we say, and what it says of authentication nobody need see


class Refused(RuntimeError):
    """The vendor will not have us, or not give what we ask for: asking again would not help."""


class Dropped(RuntimeError):
    """A connection that is over; says why."""


@dataclass(frozen=True)
class Subscription:
    """What is asked for. `start`: ns UTC from which on the past is repeated; 0 all there is, None nothing of it."""

    schema: str
    symbols: Sequence[str]
    stype: str
    start: int | None


def api_key() -> str:
    """The vendor's key: the first line of the file DATABENTO_API_KEY_FILE, or DATABENTO_API_KEY. Refused if there is none."""
    if path := os.environ.get(KEY_FILE):
        try:
            found = Path(path).read_text().strip()
        except OSError as error:
            raise Refused(f"{KEY_FILE}: {path}: {error.strerror}") from error
    else:
        found = os.environ.get(KEY, "").strip()
    if not found:
        raise Refused(f"no key of the vendor: set {KEY_FILE} (a file that holds it) or {KEY}")
    if not (found.isascii() and found.isprintable() and 8 <= len(found) <= 256):
        raise Refused("the vendor's key: expected 8 to 256 printable ASCII characters")
    return found


class Line(DatabentoLiveProtocol):  # type: ignore[misc]
    """One connection. `waiting`: bytes that were not taken; `paused`: how often the socket was not read because of them."""

    def __init__(self, key: str, dataset: str, vendor: LiveVendor) -> None:
        super().__init__(key, dataset, heartbeat_interval_s=vendor.heartbeat_seconds, slow_reader_behavior="warn")
        self._room = vendor.buffer_bytes
        self._space = memoryview(bytearray(PIECE))
        self._ours = False  # whose buffer was given out last
        self._parts: list[bytes] = []
        self._came = asyncio.Event()
        self._held = False
        self.waiting = 0
        self.paused = 0
        self.heard = time.monotonic()

    def get_buffer(self, sizehint: int) -> bytearray:
        self._ours = self.authenticated.done()
        return self._space if self._ours else super().get_buffer(sizehint)  # type: ignore[return-value]

    def buffer_updated(self, nbytes: int) -> None:
        self.heard = time.monotonic()
        if not self._ours:
            super().buffer_updated(nbytes)
            return
        self._parts.append(bytes(self._space[:nbytes]))
        self.waiting += nbytes
        if self.waiting > self._room and not self._held:
            self._held = True
            self.paused += 1
            self.transport.pause_reading()
        self._came.set()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if not self.authenticated.done():
            self.authenticated.set_exception(Dropped(str(exc or "the connection was closed before it was authenticated")))
        self._came.set()

    async def take(self, seconds: float) -> bytes:
        """What has come since the last time. Dropped if the connection is over, or silent for `seconds`."""
        while not self._parts:
            if self.disconnected.done():
                error = self.disconnected.exception()
                raise Dropped(f"the connection ended: {error}" if error else "the gateway closed the connection")
            self._came.clear()
            try:
                await asyncio.wait_for(self._came.wait(), seconds)
            except TimeoutError as error:
                raise Dropped(f"nothing came for {seconds:g} s, not even a heartbeat") from error
        data, self._parts, self.waiting = b"".join(self._parts), [], 0
        if self._held:
            self._held = False
            self.transport.resume_reading()
        return data

    def ask(self, subscriptions: Sequence[Subscription]) -> None:
        """Subscribe and start."""
        for number, one in enumerate(subscriptions):
            self.subscribe(one.schema, list(one.symbols), one.stype, one.start, subscription_id=number)
        self.start()

    def end(self) -> None:
        """Close the connection; what is waiting is dropped."""
        self._parts.clear()
        if not self.disconnected.done():
            self.disconnected.cancel()
            self.transport.abort()
        elif not self.disconnected.cancelled():
            self.disconnected.exception()  # known to whoever wants to know


async def connected(key: str, dataset: str, vendor: LiveVendor) -> Line:
    """An authenticated connection. Dropped if there is none to be had now, Refused if the gateway does not accept the key."""
    host, loop = vendor.gateway or f"{dataset.lower().replace('.', '-')}.lsg.databento.com", asyncio.get_running_loop()
    where = f"{host}:{vendor.port}"
    try:
        _, line = await asyncio.wait_for(
            loop.create_connection(lambda: Line(key, dataset, vendor), host, vendor.port), CONNECT_SECONDS
        )
    except (OSError, TimeoutError) as error:
        raise Dropped(f"no connection to {where}: {error or f'nothing within {CONNECT_SECONDS:g} s'}") from error
    try:
        await asyncio.wait_for(asyncio.shield(line.authenticated), CONNECT_SECONDS)
    except TimeoutError as error:
        line.end()
        raise Dropped(f"{where} did not authenticate within {CONNECT_SECONDS:g} s") from error
    except Dropped as error:
        line.end()
        raise Dropped(f"{where}: {error}") from error
    except BentoError as error:
        line.end()
        raise Refused(f"{where} refuses the key: {error}") from error
    return line
