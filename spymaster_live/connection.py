"""The connection to NATS: who we are, whom we trust, and what to do when the server is away or does not want us.

Plain to a server on this machine; to any other with TLS 1.3 and an nkey, both named by the environment. A server that is away is
waited for. A server that refuses us, or something that we do, would refuse again: that ends in Denied.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nkeys import NkeysError, from_seed

NKEY: Final = "SPYMASTER_NATS_NKEY"  # environment: a file that holds our nkey's seed
CA: Final = "SPYMASTER_NATS_CA"  # environment: the certificate that the server's is signed with
INBOX: Final = "_INBOX"  # how the subjects begin at which whoever asks waits
_ELSEWHERE: Final = "_R_."  # how the server's begin that stand for an inbox in another account
TROUBLE: Final = (nats.errors.Error, nats.js.errors.Error, asyncio.TimeoutError, OSError)
_PATIENT: Final[dict[str, Any]] = {
    "max_reconnect_attempts": -1, "reconnect_time_wait": 0.25, "ping_interval": 5, "max_outstanding_pings": 2, "drain_timeout": 3,
    "pending_size": 64 << 20,
}  # fmt: skip
_ONCE: Final[dict[str, Any]] = {
    "allow_reconnect": False, "max_reconnect_attempts": 1, "reconnect_time_wait": 0.1, "connect_timeout": 3,
}  # fmt: skip
_NEVER: Final = ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")  # a stranger, or no TLS at all
log = logging.getLogger("spymaster.live")


class Absent(RuntimeError):
    """There is no server, or nobody who would answer."""


class Denied(RuntimeError):
    """The server does not let us in, or does not let us do what we tried. Waiting would not help."""


async def _silent(error: Exception) -> None:
    """Whoever asks is told in other words."""


def inbox(public: str) -> str:
    """Where answers to a user come: below its own public key, so that no other user may listen."""
    return f"{INBOX}_{public}"


def credentials(url: str) -> dict[str, Any]:
    """Who we are and whom we trust, as the environment says, for nats.connect. Denied if that is not enough for that server."""
    if "@" in urlsplit(url).netloc:
        raise Denied(f"the server's address holds a user or a password, which every list of processes shows; {NKEY} names a file")
    seed, authority = os.environ.get(NKEY), os.environ.get(CA)
    if not seed and not authority:
        if not on_this_machine(urlsplit(url).hostname or ""):
            raise Denied(f"{url} is not on this machine: that needs {NKEY} and {CA} (python -m spymaster_live keys)")
        return {}
    if not seed or not authority:
        raise Denied(f"{NKEY} and {CA} belong together: only one of them is set")
    try:
        pair = from_seed(bytearray(Path(seed).read_bytes().strip()))
        public = pair.public_key.decode()
        pair.wipe()
    except (OSError, ValueError, NkeysError) as error:
        raise Denied(f"{NKEY}: {seed} holds no nkey seed that can be read ({type(error).__name__})") from None
    try:
        trusted = ssl.create_default_context(cafile=authority)
    except OSError as error:
        raise Denied(f"{CA}: {authority} is no certificate that can be read ({type(error).__name__})") from error
    trusted.minimum_version = ssl.TLSVersion.TLSv1_3
    return {"nkeys_seed": seed, "tls": trusted, "tls_handshake_first": True, "inbox_prefix": inbox(public)}


def is_request(message: Msg) -> bool:
    """Whether somebody waits at an inbox for an answer. What a consumer delivers, to wherever its maker wants, asks nothing."""
    return message.reply.startswith((INBOX, _ELSEWHERE))


def on_this_machine(host: str) -> bool:
    """Whether a host is the loopback: what is said there leaves no machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _denial(error: BaseException) -> str | None:
    """Why the server will not have us, if that is what an error says."""
    text = str(error) or type(error).__name__
    if isinstance(error, ssl.SSLError) and error.reason in _NEVER:
        return f"no TLS with that server: {text}"
    if any(word in text.lower() for word in ("authorization", "authentication", "permissions violation", "secure connection")):
        return text
    return None


@asynccontextmanager
async def connected(url: str, name: str, patient: bool = True) -> AsyncIterator[Client]:
    """A connection that is kept up for ever: a server that is away is waited for. Not `patient`: Absent if there is none.

    Denied, at whatever the caller waits for, once the server refuses the user, or something that the user does.
    """
    ours, owner = credentials(url), asyncio.current_task()
    assert owner is not None, "connected is entered by a task"
    cancelled, denials, there, over = owner.cancelling(), list[str](), False, False

    def deny(why: str) -> None:
        if not denials:
            denials.append(why)
            owner.cancel()

    async def trouble(error: Exception) -> None:
        log.warning("%s: %s", name, error or type(error).__name__)
        if (why := _denial(error)) is not None:
            if not there:  # connect, which waits for this, would not close what it has opened if it were cancelled
                raise Denied(f"{name}: {url}: {why}") from error
            deny(why)

    async def closed() -> None:
        if not over:
            deny(str(client.last_error or "the server closed the connection"))

    async def broken() -> None:
        """Whoever needs to have something sent sends it again, in order. The client's own rest would come before what was lost."""
        client._pending.clear()
        client._pending_data_size = 0

    if not patient:
        await _asked_once(url, ours)
    client = Client()
    try:
        await client.connect(url, name=name, error_cb=trouble, disconnected_cb=broken, closed_cb=closed, **_PATIENT, **ours)
        there = True
        yield client
    except asyncio.CancelledError:
        if denials and owner.uncancel() <= cancelled:
            raise Denied(f"{name}: {url}: {denials[0]}") from None
        raise
    finally:
        over = True
        await (client.close() if there else _given_up(client))


async def _given_up(client: Client) -> None:
    """Close what was refused. Where the handshake failed nats-py waits for ever for the end of a stream that TLS had replaced."""
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(client.close(), 0.5)


async def _asked_once(url: str, ours: dict[str, Any]) -> None:
    """Whether a server is there and lets us in: Absent or Denied if not."""
    client = Client()
    try:
        await client.connect(url, error_cb=_silent, **_ONCE, **ours)
    except TROUBLE as error:
        if (why := _denial(error)) is not None:
            raise Denied(f"{url}: {why}") from error
        raise Absent(f"no NATS server at {url}: start `python -m spymaster_live all`, or name another with --nats") from error
    finally:
        await _given_up(client)
