"""Who may come in: the name that was asked for, the page that asks, how often, and the token. Nothing here is ever logged."""

from __future__ import annotations

import hmac
import os
import re
import time
from collections.abc import Collection
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from prometheus_client import Counter
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spymaster_assets.config import Gateway as Limits

PROTOCOL: Final = "spymaster.v1"  # of /ws/stream
TOKEN: Final = "token."  # before the token in the list of subprotocols
GUARDED: Final = ("/api/", "/ws/", "/metrics")  # paths that want the token; the others tell nothing of the market
LOCAL: Final = ("localhost", "127.0.0.1", "::1")
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_MOST: Final = 10_000  # addresses that are remembered


def token() -> str | None:
    """The token: the first line of the file SPYMASTER_GATEWAY_TOKEN_FILE, or SPYMASTER_GATEWAY_TOKEN. ValueError if it is none."""
    if path := os.environ.get("SPYMASTER_GATEWAY_TOKEN_FILE"):
        try:
            found = Path(path).read_text().strip()
        except OSError as error:
            raise ValueError(f"SPYMASTER_GATEWAY_TOKEN_FILE: {path}: {error.strerror}") from error
    else:
        found = os.environ.get("SPYMASTER_GATEWAY_TOKEN", "")
        if not found:
            return None
    if not re.fullmatch(r"[A-Za-z0-9._~-]{16,256}", found):
        raise ValueError("the gateway's token: expected 16 to 256 of A-Z a-z 0-9 . _ ~ -")
    return found


def check_binding(host: str, secret: str | None, encrypted: bool) -> None:
    """ValueError if an address beyond this machine would be open to all, or its token to be read on the way."""
    if _is_local(host):
        return
    missing = [what for what, there in (("a token (SPYMASTER_GATEWAY_TOKEN_FILE)", secret), ("--tls-cert and --tls-key", encrypted))
               if not there]  # fmt: skip
    if missing:
        raise ValueError(f"{host} can be reached from other machines: the gateway binds to it only with {' and '.join(missing)}")


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Rate:
    """How often somebody may do something: `each` a second, after twice as many at once."""

    def __init__(self, each: float) -> None:
        self._each, self._most = each, 2 * each
        self._left: dict[str, tuple[float, float]] = {}  # by whom: how many are left, and when that was

    def allows(self, whom: str, now: float) -> bool:
        """Whether it may be done now; if so it counts."""
        if len(self._left) > _MOST:
            self._left = {one: (n, at) for one, (n, at) in self._left.items() if n + (now - at) * self._each < self._most}
        left, since = self._left.get(whom, (self._most, now))
        left = min(self._most, left + (now - since) * self._each)
        allowed = left >= 1
        self._left[whom] = left - allowed, now
        return allowed


class Guard:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, limits: Limits, hosts: Collection[str], secret: str | None, refused: Counter) -> None:
        self.app, self._origins, self._refused = app, limits.origins, refused
        self._hosts = {one.lower() for one in (*LOCAL, *hosts, *limits.hosts)}
        self._secret = None if secret is None else secret.encode()
        self._rates = {"http": Rate(limits.requests_per_second), "websocket": Rate(limits.connects_per_second)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in self._rates:
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            status, why = refusal
            self._refused.labels(status).inc()
            more = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "1"}}.get(status, {})
            await JSONResponse({"error": why}, status, headers={**HEADERS, **more})(scope, receive, send)
            return

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, secured)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and reason for which a request is refused."""
        headers, address = Headers(scope=scope), scope["client"][0] if scope["client"] else ""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or _name(hosts[0]) not in self._hosts:
            return 400, "this name is not one of the gateway's: [live.gateway] hosts"
        origin = headers.get("origin")
        own = f"{scope['scheme'].replace('ws', 'http')}://{hosts[0]}"
        guarded = scope["path"].startswith(GUARDED)  # the page's own files tell anybody why it may not ask
        if guarded and origin is not None and origin != own and origin not in self._origins:
            return 403, "this page may not ask: [live.gateway] origins"
        if not self._rates[scope["type"]].allows(address, time.monotonic()):
            return 429, "too often"
        if self._secret is not None and guarded and not self._knows(scope, headers):
            return 401, "the token is missing or wrong"
        return None

    def _knows(self, scope: Scope, headers: Headers) -> bool:
        """Whether a request brings the token: as a subprotocol of a stream, else as Bearer."""
        if scope["type"] == "websocket":
            said = [one.removeprefix(TOKEN) for one in scope["subprotocols"] if one.startswith(TOKEN)]
        else:
            kind, _, found = headers.get("authorization", "").partition(" ")
            said = [found.strip()] if kind.lower() == "bearer" else []
        return len(said) == 1 and hmac.compare_digest(said[0].encode(), self._secret or b"")


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    found = re.fullmatch(r"\[([0-9a-fA-F:.]+)\](?::\d+)?|([^:\[\]]+)(?::\d+)?", host)
    return "" if found is None else (found[1] or found[2]).lower()
