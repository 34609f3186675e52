"""What tests ask of a gateway: requests over HTTP, and streams; and what it ought to say."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from websockets.sync.client import ClientConnection, connect

from spymaster_live import bus, messages, server
from spymaster_live.gateway.fold import Fold
from spymaster_live.gateway.guard import PROTOCOL
from tests.live.rig import Rig

TOKEN = "a-token-for-tests-alone"


def start(live: Rig, name: str = "gateway", *words: str) -> Asked:
    """Start a gateway on a port of its own, or start it again as it was."""
    port = server.free_port()
    live.staying.add(name)
    live.start(name, "gateway", "--port", str(port), *words)
    server.wait(port)
    return Asked(port)


class Asked:
    """A gateway on a port of this machine."""

    def __init__(self, port: int, token: str | None = TOKEN) -> None:
        self.port, self.token = port, token

    def ask(
        self, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Status, JSON or text, headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        authorized = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            connection.request("GET" if body is None else "POST", path, body, {**authorized, **(headers or {})})
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        told = json.loads(text) if text and "json" in answer.getheader("content-type", "") else text
        return answer.status, told, {name.lower(): value for name, value in answer.getheaders()}

    def get(self, path: str) -> Any:
        """The JSON of a path; AssertionError if it is refused."""
        status, told, _ = self.ask(path)
        assert status == 200, (path, status, told)
        return told

    def order(self, **wanted: Any) -> tuple[int, Any]:
        return self.ask("/api/replay", body=json.dumps(wanted).encode())[:2]

    def until(self, true: Callable[[Any], bool], path: str = "/readyz", seconds: float = 60) -> Any:
        """The first answer for which something holds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                told = self.ask(path)[1]
            except OSError as error:
                told = {"error": str(error)}
            if true(told):
                return told
            time.sleep(0.1)
        raise AssertionError(f"not told within {seconds} s; the last: {told}")

    def stream(self, query: str = "", **settings: Any) -> ClientConnection:
        protocols = [PROTOCOL, *([f"token.{self.token}"] if self.token else [])]
        wanted = {"subprotocols": protocols, "compression": None, "max_size": None, **settings}
        return connect(f"ws://127.0.0.1:{self.port}/ws/stream{query}", **wanted)


def heard(stream: ClientConnection, seconds: float = 10) -> dict[str, Any]:
    """The next message, but for heartbeats, which are answered."""
    while True:
        told = json.loads(stream.recv(seconds))
        if told["type"] != "ping":
            return told
        stream.send(json.dumps({"do": "ack", "seq": told["seq"]}))


def heard_until(stream: ClientConnection, true: Callable[[dict[str, Any]], bool], seconds: float = 20) -> list[dict[str, Any]]:
    """Messages up to the first for which something holds."""
    end, found = time.monotonic() + seconds, []
    while time.monotonic() < end:
        found.append(heard(stream, max(0.1, end - time.monotonic())))
        if true(found[-1]):
            return found
    raise AssertionError(f"not told within {seconds} s; heard {[one['type'] for one in found]}")


def snapshot(asked: Asked, query: str = "") -> dict[str, Any]:
    """The data of the snapshot with which a stream begins."""
    with asked.stream(query) as stream:
        told = heard(stream)
    assert told["type"] == "snapshot"
    return dict(told["data"])


def said(live: Rig) -> list[Any]:
    """(sequence, subject, headers, data) of everything in LEVELS."""

    async def read(client: Any) -> list[Any]:
        state = (await client.jsm().stream_info(bus.LEVELS)).state
        reader, found = bus.Reader(client, bus.LEVELS, max(1, state.first_seq)), []
        while reader.next <= state.last_seq:
            found += [(seq, one.subject, one.headers or {}, one.data) for seq, one in await reader.read()]
        await reader.close()
        return found

    return list(live.ask(read))


def folded(live: Rig) -> Fold:
    """A fold of the stream, by itself."""
    fold = Fold(live.config().grid.interval_ns)
    session = live.ask(lambda client: bus.last(client, bus.MARKET, messages.SESSION))
    fold.begin(session.headers)
    for seq, subject, headers, data in said(live):
        if subject != messages.LEVELS_STATUS and headers["Run"] == fold.run:
            fold.take(seq, subject, headers, data)
    return fold
