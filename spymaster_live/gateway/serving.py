"""The gateway as a process: FastAPI on uvicorn, with the relay beside it."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.websockets import WebSocket

from spymaster_assets.lake import Lake, LakeError
from spymaster_assets.logs import say
from spymaster_live.gateway import stream
from spymaster_live.gateway.aside import Aside
from spymaster_live.gateway.guard import Guard, check_binding, token
from spymaster_live.gateway.relay import Relay, look_after
from spymaster_live.gateway.rest import ENDPOINTS, router

PAGE: Final = Path(__file__).parents[1] / "page"
MOST_BYTES: Final = 4096  # of a message from a client
MOST_HEADERS: Final = 16 << 10  # bytes of a request's head
log = logging.getLogger("spymaster.live")


def application(relay: Relay, lake: Lake, aside: Aside, secret: str | None, hosts: tuple[str, ...] = ()) -> FastAPI:
    """Everything that answers. `hosts`: names by which it is asked for, beside this machine's own."""
    app = FastAPI(title="Spymaster", openapi_url=None)
    app.include_router(router(relay, lake, aside))

    @app.websocket("/ws/stream")
    async def live(websocket: WebSocket) -> None:
        await stream.serve(websocket, relay.hub)

    @app.exception_handler(StarletteHTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def misread(request: Request, error: RequestValidationError) -> Response:
        told = "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors())
        return JSONResponse({"error": told}, 422)

    @app.exception_handler(OSError)
    @app.exception_handler(LakeError)
    async def unreadable(request: Request, error: Exception) -> Response:
        log.error("%s", error)
        return JSONResponse({"error": "the lake cannot be read there: spymaster doctor says more"}, 500)

    if PAGE.is_dir():
        app.mount("/", StaticFiles(directory=PAGE, html=True))
    else:

        @app.get("/")
        async def endpoints() -> Response:
            return PlainTextResponse("".join(f"{path:<14}{meaning}\n" for path, meaning in ENDPOINTS.items()))

    app.add_middleware(Guard, limits=relay.hub.limits, hosts=hosts, secret=secret, refused=relay.hub.metrics.refused)
    return app


class Gateway:
    """One gateway; `writer`: not ready without one. ValueError if it may not be bound so; RuntimeError if the port is taken."""

    def __init__(
        self, url: str, lake: Lake, host: str, port: int, cert: Path | None = None, key: Path | None = None, writer: bool = False
    ) -> None:  # fmt: skip
        secret = token()
        check_binding(host, secret, cert is not None)
        self.relay = Relay(url, lake.config, writer)
        self._aside = Aside(lake)
        settings = uvicorn.Config(
            application(self.relay, lake, self._aside, secret, (host,)), host=host, port=port, ws=stream.Connection,
            http="h11", h11_max_incomplete_event_size=MOST_HEADERS,  # httptools would keep a head of any size
            ws_per_message_deflate=False, ws_max_size=MOST_BYTES, ws_ping_interval=None, proxy_headers=False, server_header=False,
            access_log=False, log_config=None, log_level="warning", timeout_graceful_shutdown=2, lifespan="off",
            ssl_certfile=cert, ssl_keyfile=key, ssl_context_factory=_tls if cert else None,
        )  # fmt: skip
        self._server = uvicorn.Server(settings)
        try:
            self._socket = settings.bind_socket()
        except SystemExit as error:  # uvicorn logs why and would end the process
            raise RuntimeError(f"port {port} of {host} cannot be had: choose another with --port") from error
        self.address = f"{'https' if cert else 'http'}://{host}:{self._socket.getsockname()[1]}"

    async def run(self) -> None:
        """Serve until stopped."""
        say(f"gateway {self.address}")
        beside = [asyncio.ensure_future(one) for one in (self.relay.run(), look_after(self.relay.hub))]
        serving = asyncio.ensure_future(self._server.serve([self._socket]))
        try:
            await asyncio.wait([serving, *beside], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._server.should_exit = True
            for task in beside:
                task.cancel()
            await asyncio.gather(serving, *beside, return_exceptions=True)
            self._aside.close()
        for task in beside:
            if not task.cancelled() and (error := task.exception()):
                raise error

    def state(self) -> dict[str, Any]:
        """How things stand, as /readyz says it: `ok`, and `why` not."""
        return self.relay.state()


def _tls(config: uvicorn.Config, make: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    context = make()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context
