"""Whether a service does its work: it answers on health.NAME with {"ok": bool, "why": text or null, "version", ...} to whoever
asks.

A service that hangs does not answer, and one whose connection is down cannot: both are as unhealthy as one that says so.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, Final

import nats.errors
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg

from spymaster_assets.version import VERSION
from spymaster_live.connection import is_request

MONITOR: Final = "http://127.0.0.1:8222"  # where the server's own answers are to be had, on its machine


def subject(name: str) -> str:
    """Where a service is asked."""
    return f"health.{name}"


async def answer(client: Client, name: str, state: Callable[[], dict[str, Any]]) -> None:
    """Answer for a service as long as its connection is. `state`: how it stands, with `ok` and `why`."""

    async def reply(message: Msg) -> None:
        if is_request(message):
            await message.respond(orjson.dumps({**state(), "version": VERSION}))

    await client.subscribe(subject(name), cb=reply)


async def ask(client: Client, name: str, seconds: float = 5.0) -> dict[str, Any]:
    """What a service says of itself; not ok if nothing comes within `seconds`, and `absent` if there is none."""
    try:
        return dict(orjson.loads((await client.request(subject(name), timeout=seconds)).data))
    except nats.errors.NoRespondersError:
        return {"ok": False, "absent": True, "why": f"no {name} is connected to the bus"}
    except nats.errors.TimeoutError:
        return {"ok": False, "why": f"{name} does not answer within {seconds:g} s"}


def of_server(monitor: str = MONITOR, seconds: float = 5.0) -> dict[str, Any]:
    """What a nats-server says of itself and of its JetStream; a full disk shows here, too."""
    try:
        with urllib.request.urlopen(f"{monitor}/healthz", timeout=seconds) as found:
            return {"ok": True, "why": None, **orjson.loads(found.read())}
    except urllib.error.HTTPError as error:
        with error:
            return {"ok": False, "why": error.read().decode(errors="replace").strip() or str(error)}
    except (OSError, ValueError) as error:
        return {"ok": False, "why": f"{monitor} does not answer: {error}"}
