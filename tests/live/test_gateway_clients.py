"""Who is let in, and what becomes of a client that is slow, silent or loud: a real gateway, with messages of the test."""

import asyncio
import dataclasses
import json
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import uvicorn
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.typing import Subprotocol

from spymaster_assets.tables import BARS
from spymaster_live import bus, messages, server
from spymaster_live.client import Refused, Stream
from spymaster_live.gateway import stream as live_stream
from spymaster_live.gateway.fold import Said
from spymaster_live.gateway.guard import GUARDED, HEADERS, PROTOCOL
from spymaster_live.messages import ROWS, Message, pack
from tests.live.asking import TOKEN, Asked, heard, heard_until, start
from tests.live.rig import Rig, rig, short
from tests.live.test_faults import publish
from tests.live.test_messages import noise

RUN, DATE = "2025-06-03.1", "2025-06-03"
SMALL = """
[live.gateway]
hosts = ["Desk.Example"]
clients = 12
clients_per_address = 10
requests_per_second = 200.0
connects_per_second = 200.0
messages_per_second = 10.0
heartbeat_seconds = 0.3
patience_seconds = 4.0
send_seconds = 3.0
"""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A server that knows a session, without feed and engine."""
    folder = tmp_path_factory.mktemp("live")
    configs = {"": short(folder / "small.toml", SMALL), "rare": short(folder / "rare.toml", SMALL.replace("200.0", "2.0"))}
    with pytest.MonkeyPatch.context() as patch, rig(folder / "lake", folder, configs) as made:
        patch.setenv("SPYMASTER_GATEWAY_TOKEN", TOKEN)
        facts = {"Nats-Msg-Id": "session", "Version": "1", "Run": RUN, "Date": DATE, "Contract": "ESM5 by volume"}
        publish(made, [Message(messages.SESSION, facts, b"")])
        yield made


@pytest.fixture(scope="module")
def gateway(live: Rig) -> Asked:
    asked = start(live)
    say(live, [status(0)])
    asked.until(lambda told: bool(told.get("ok")))
    return asked


def say(live: Rig, said: list[Message]) -> None:
    async def work(client: Any) -> None:
        publisher = bus.Publisher(client, bus.LEVELS)
        for one in said:
            await publisher.put(one)
        await publisher.flush()

    live.ask(work)


COUNT = iter(range(10**9))


def message(subject: str, data: bytes, **headers: str) -> Message:
    number = next(COUNT)
    return Message(
        subject, {"Nats-Msg-Id": f"test {number}", "Run": RUN, "Date": DATE, "Snaps": f"{number}-{number}", **headers}, data
    )


def status(number: int, state: str = "running") -> Message:
    return message(messages.LEVELS_STATUS, json.dumps({"run": RUN, "state": state, "watermark": number}).encode())


def signals(number: int, size: int = 1000) -> Message:
    return message(messages.LEVELS_SIGNALS, json.dumps({"snap": number, "ts": number, "room": "x" * size}).encode() + b"\n")


def rows(number: int) -> Message:
    found = {table.name: noise(table.dtype, 0) for table in ROWS}
    found["bars"] = noise(BARS.dtype, 1)
    found["bars"]["minutes"], found["bars"]["k"] = 1, number
    counts, data = pack(ROWS, found)
    return message(messages.LEVELS_ROWS, data, Rows=counts)


def bar_numbers(told: list[dict[str, Any]]) -> list[int]:
    return [row[1] for one in told if one["type"] == "rows" for row in one["data"]["bars"]["rows"]]


# ---- who is let in ----


@pytest.mark.parametrize(
    "path", ["/api/levels", "/api/bars", "/api/tables", "/api/models", "/api/dates", "/metrics", "/api/nothing"]
)
def test_without_the_token_nothing_is_told(gateway: Asked, path: str) -> None:
    assert path.startswith(GUARDED)
    for wrong in ({"Authorization": ""}, {"Authorization": "Bearer x"}, {"Authorization": f"Basic {TOKEN}"}):
        code, told, headers = gateway.ask(path, wrong)
        assert (code, told, headers["www-authenticate"]) == (401, {"error": "the token is missing or wrong"}, "Bearer")
    assert gateway.ask(f"{path}?token={TOKEN}", {"Authorization": ""})[0] == 401  # it is never in an address


def test_orders_need_the_token_too(gateway: Asked) -> None:
    assert gateway.ask("/api/replay", {"Authorization": "Bearer no"}, b'{"do":"pause"}')[0] == 401


def test_whoever_has_no_token_learns_whether_all_is_well(gateway: Asked) -> None:
    for path in ("/healthz", "/readyz", "/"):
        code, _, headers = gateway.ask(path, {"Authorization": ""})
        assert code in (200, 503) and all(headers[name.lower()] == value for name, value in HEADERS.items())


def refused(gateway: Asked, query: str = "", **settings: Any) -> tuple[int, str]:
    """Status and reason with which a stream is refused."""
    with pytest.raises(InvalidStatus) as caught:
        gateway.stream(query, **settings)
    return caught.value.response.status_code, json.loads(caught.value.response.body)["error"]


@pytest.mark.parametrize("said", [[PROTOCOL], [PROTOCOL, "token.wrong-wrong-wrong"], [f"token.{TOKEN}", "token.x"], [TOKEN], None])
def test_streams_without_the_token(gateway: Asked, said: list[str] | None) -> None:
    assert refused(gateway, f"?token={TOKEN}", subprotocols=said) == (401, "the token is missing or wrong")


def test_pages_and_names_of_others(gateway: Asked) -> None:
    for origin in ("http://evil.example", "null", f"https://127.0.0.1:{gateway.port}", "http://127.0.0.1:1"):
        assert refused(gateway, origin=origin)[0] == gateway.ask("/api/tables", {"Origin": origin})[0] == 403
        assert gateway.ask("/", {"Origin": origin})[0] == 200  # the page's own files, which then say why it may not ask
    for host in ("evil.example", f"evil.example:{gateway.port}", "127.0.0.1.evil.example", "", "[::1", "localhost@evil"):
        assert gateway.ask("/api/tables", {"Host": host})[0] == 400, host
    for host in ("desk.example:443", "localhost", f"127.0.0.1:{gateway.port}", "[::1]:80", "LOCALHOST"):
        assert gateway.ask("/api/tables", {"Host": host})[0] == 200, host
    own = f"http://127.0.0.1:{gateway.port}"
    assert gateway.ask("/api/tables", {"Origin": own})[0] == 200
    with gateway.stream(origin=own) as stream:
        assert stream.subprotocol == PROTOCOL and heard(stream)["type"] == "snapshot"


def test_topics_and_places_that_are_none(gateway: Asked) -> None:
    assert refused(gateway, "?topics=news") == (400, "topics: expected some of signals, rows, flow, status")
    assert refused(gateway, "?after=x")[0] == 400


def test_the_client_of_the_package_is_told_why(gateway: Asked) -> None:
    async def listen() -> None:
        async with Stream(f"ws://127.0.0.1:{gateway.port}", "another-token-that-is-wrong") as stream:
            async for _ in stream:
                raise AssertionError("it was let in")

    with pytest.raises(Refused, match="401: the token is missing or wrong"):
        asyncio.run(asyncio.wait_for(listen(), 10))


# ---- clients that are loud, silent, slow or many ----


def closed(stream: ClientConnection, seconds: float = 15) -> tuple[int, str]:
    """Code and reason with which a stream is closed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            stream.recv(1)
        except TimeoutError:
            continue
        except ConnectionClosed as error:
            assert error.rcvd is not None, "the connection broke without a word"
            return error.rcvd.code, error.rcvd.reason
    raise AssertionError(f"open after {seconds} s")


@pytest.mark.parametrize(
    ("said", "code", "why"),
    [
        ("x" * 5000, 1009, ""),
        ("{", 1008, ""),
        ("[]", 1008, 'expected {"do"'),
        ('{"do":"subscribe","topics":["news"]}', 1008, "topics: expected"),
        ('{"do":"subscribe","topics":{}}', 1008, "topics: expected"),
        (b"\x00\x01", 1008, "expected text"),
    ],
)
def test_what_a_client_may_not_say(gateway: Asked, said: str | bytes, code: int, why: str) -> None:
    with gateway.stream() as stream:
        stream.send(said)
        told = closed(stream)
        assert told[0] == code and told[1].startswith(why)


def test_a_request_whose_head_does_not_end_is_refused(gateway: Asked) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), 5) as plain:
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000)
        assert plain.recv(12) == b"HTTP/1.1 400"


def closed_for(stream: ClientConnection, often: int, say: Callable[[], object]) -> tuple[int, str]:
    """Code and reason with which a stream is closed that is told something so often."""
    with suppress(ConnectionClosed):  # the gateway may have had enough before the last one is sent
        for _ in range(often):
            say()
    return closed(stream)


def test_too_many_pings(gateway: Asked) -> None:
    with gateway.stream() as stream:
        assert closed_for(stream, 20, stream.ping) == (1008, "too many pings")


@contextmanager
def served(work: Callable[[WebSocket], Awaitable[None]]) -> Iterator[tuple[uvicorn.Server, socket.socket]]:
    """A server of the gateway's connections that does `work` for each, and a client's socket, upgraded, with a small buffer."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        websocket = WebSocket(scope, receive, send)
        await websocket.accept()
        await work(websocket)

    settings = uvicorn.Config(application, port=0, ws=live_stream.Connection, lifespan="off", log_config=None)
    serving, listening = uvicorn.Server(settings), settings.bind_socket()
    beside = Thread(target=lambda: asyncio.run(serving.serve([listening])))
    beside.start()
    server.wait(listening.getsockname()[1])
    try:
        with socket.socket() as plain:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            plain.connect(listening.getsockname())
            wanted = f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {'A' * 22}=="
            upgrade = "Host: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade"
            plain.sendall(f"GET / HTTP/1.1\r\n{upgrade}\r\n{wanted}\r\n\r\n".encode())
            assert plain.recv(12) == b"HTTP/1.1 101"
            yield serving, plain
    finally:
        serving.should_exit = True
        beside.join(10)


def connection_of(websocket: WebSocket) -> live_stream.Connection:
    found: live_stream.Connection = websocket.scope["extensions"][live_stream.CONNECTION]
    return found


def test_a_client_that_goes_without_taking_what_waits_for_it_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says goodbye while its buffers are full. uvicorn itself would keep them, and the socket, without end."""
    monkeypatch.setattr(live_stream, "GRACE_SECONDS", 0.5)

    async def work(websocket: WebSocket) -> None:
        for _ in range(200):
            connection_of(websocket).write(Said("rows", 1, b"x" * 60_000).frame)
        with suppress(WebSocketDisconnect):
            await websocket.receive_text()

    with served(work) as (serving, plain):
        plain.sendall(b"\x88\x82\0\0\0\0\x03\xe8")  # close, 1000
        end = time.monotonic() + 10
        while serving.server_state.connections and time.monotonic() < end:
            time.sleep(0.05)
        assert not serving.server_state.connections


def test_little_is_on_its_way_to_a_client_that_takes_nothing() -> None:
    """What the kernel holds for it was news once; by itself it holds 2.6 MB."""
    written, stalled = 0, Event()

    async def work(websocket: WebSocket) -> None:
        nonlocal written
        connection, frame = connection_of(websocket), Said("rows", 1, b"x" * 20_000).frame
        while connection.free and written < 10_000_000:
            connection.write(frame)
            written += len(frame)
            await asyncio.sleep(0.001)
        stalled.set()
        connection.transport.abort()

    with served(work):
        assert stalled.wait(20)
    assert 100_000 < written < 800_000


def test_too_many_messages(gateway: Asked) -> None:
    with gateway.stream() as stream:
        assert closed_for(stream, 40, lambda: stream.send('{"do":"ack","seq":1}')) == (1008, "too many messages")


def test_a_client_that_does_not_answer_is_closed_and_may_come_again(gateway: Asked) -> None:
    with gateway.stream() as mute, gateway.stream() as lively:
        heard(lively)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            told = json.loads(lively.recv(3))
            if told["type"] == "ping":
                lively.send(json.dumps({"do": "ack", "seq": told["seq"]}))
        assert closed(mute) == (1013, "no answer to the heartbeat")
        lively.ping().wait(3)


@contextmanager
def saying_that_it_lives(stream: ClientConnection) -> Iterator[None]:
    """Answers heartbeats unasked, from another thread, and reads nothing."""
    over = Event()

    def say_so() -> None:
        with suppress(ConnectionClosed):
            while not over.wait(0.25):
                stream.send('{"do":"ack","seq":0}')

    thread = Thread(target=say_so)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_client_that_takes_nothing_is_let_go_and_the_others_get_all(live: Rig, gateway: Asked) -> None:
    """Its buffers fill up; the others do not notice."""
    count = 300
    with gateway.stream(max_queue=1) as stalled, saying_that_it_lives(stalled):
        with gateway.stream() as stream:
            begun = heard(stream)
            say(live, [one for number in range(1, count + 1) for one in (signals(number, 60_000), rows(number))])
            told = heard_until(stream, lambda one: one["type"] == "rows" and bar_numbers([one]) == [count], 30)
        assert bar_numbers(told) == list(range(1, count + 1))
        assert [one["seq"] for one in told] == sorted({one["seq"] for one in told}) and told[0]["seq"] > begun["seq"]
        gateway.until(lambda told: told["clients"] == 0)
        assert closed(stalled) == (1013, "too slow: a message could not be sent in time")


def test_too_many_clients(gateway: Asked) -> None:
    gateway.until(lambda told: told["clients"] == 0)
    with ExitStack() as streams:
        for _ in range(10):
            streams.enter_context(gateway.stream())
        assert refused(gateway) == (503, "10 clients of this address are connected, which is the limit")
        gateway.until(lambda told: told["clients"] == 10)
    gateway.until(lambda told: told["clients"] == 0)
    with gateway.stream() as stream:
        assert heard(stream)["type"] == "snapshot"


def test_too_often(live: Rig, gateway: Asked) -> None:
    """Four at once, then two a second: requests, and streams beside them."""
    asked = start(live, "rare")
    assert [asked.ask("/healthz")[0] for _ in range(8)] == [200] * 4 + [429] * 4
    with ExitStack() as streams:
        for _ in range(4):
            streams.enter_context(asked.stream())
        assert refused(asked) == (429, "too often")
        time.sleep(0.6)
        streams.enter_context(asked.stream())
    live.kill("rare")


def test_a_message_that_cannot_be_read_is_counted_and_passed_over(live: Rig, gateway: Asked) -> None:
    bad = [message(messages.LEVELS_ROWS, b"xy", Rows="bars=1"), message(messages.LEVELS_FLOW, b""), message("levels.news", b"")]
    bad += [message(messages.LEVELS_STATUS, json.dumps({"run": RUN, "watermark": "noon"}).encode())]
    with gateway.stream() as stream:
        heard(stream)
        say(live, [*bad, signals(7777)])
        told = heard_until(stream, lambda one: one["type"] == "signals" and one["data"][0]["snap"] == 7777)
    assert [one["type"] for one in told] == ["signals"]
    assert "spymaster_gateway_unread_total 3.0" in gateway.ask("/metrics")[1]


def test_a_run_that_is_over_is_passed_over(live: Rig, gateway: Asked) -> None:
    old = dataclasses.replace(signals(5), headers={**signals(5).headers, "Run": "2025-06-02.1"})
    with gateway.stream() as stream:
        heard(stream)
        say(live, [old, signals(8888)])
        told = heard_until(stream, lambda one: one["type"] == "signals")
    assert told[-1]["data"][0]["snap"] == 8888


def test_a_graceful_stop_is_soon_and_is_told(live: Rig, gateway: Asked) -> None:
    asked = start(live, "stopped")
    with asked.stream() as stream:
        heard(stream)
        started = time.monotonic()
        live.processes["stopped"]._process.terminate()
        assert closed(stream)[0] == 1012
        live.processes["stopped"].wait()
    assert time.monotonic() - started < 5 and live.processes["stopped"].poll() == 0


def test_the_token_is_in_no_log(live: Rig) -> None:
    for path in live.folder.glob("*.log"):
        assert TOKEN not in path.read_text()


MANY = """
[live.gateway]
clients = 1000
clients_per_address = 1000
connects_per_second = 5000.0
patience_seconds = 60.0
"""


@pytest.mark.slow
def test_a_thousand_clients_at_once(live: Rig) -> None:
    """They come all at the same time, each gets every row in order, the next one is refused, and all go well."""
    count, messages_told = 1000, 20
    live.configs["many"] = short(live.folder / "many.toml", MANY)
    asked = start(live, "many")
    say(live, [status(1)])
    asked.until(lambda told: bool(told.get("ok")))

    async def client(ready: asyncio.Semaphore) -> list[int]:
        protocols, found = [Subprotocol(PROTOCOL), Subprotocol(f"token.{TOKEN}")], []
        where = f"ws://127.0.0.1:{asked.port}/ws/stream?topics=rows"
        async with connect(where, subprotocols=protocols, compression=None, open_timeout=60, ping_interval=None) as stream:
            async for text in stream:
                told = json.loads(text)
                if told["type"] == "snapshot":
                    ready.release()
                elif told["type"] == "rows":
                    found.append(told["data"]["bars"]["rows"][0][1])
                    if len(found) == messages_told:
                        return found
        raise AssertionError("the stream ended")

    async def work() -> list[list[int]]:
        ready, started = asyncio.Semaphore(0), time.monotonic()
        clients = [asyncio.ensure_future(client(ready)) for _ in range(count)]
        for _ in range(count):
            await ready.acquire()
        print(f"{count} clients have their snapshot after {time.monotonic() - started:.1f} s")
        assert (await asyncio.to_thread(refused, asked))[0] == 503
        told = [rows(10**6 + number) for number in range(messages_told)]
        await asyncio.to_thread(say, live, told)
        return await asyncio.gather(*clients)

    for found in asyncio.run(asyncio.wait_for(work(), 240)):
        assert found == [10**6 + number for number in range(messages_told)]
    asked.until(lambda told: told["clients"] == 0)
    live.kill("many")


# ---- beyond this machine ----


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_encrypted(live: Rig, gateway: Asked, tmp_path: Path) -> None:
    """With TLS 1.3 and no less."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    making = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    named = ("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert))
    subprocess.run([*making.split(), *named], check=True, capture_output=True)
    asked = start(live, "encrypted", "--tls-cert", str(cert), "--tls-key", str(key))

    async def first(tls: ssl.SSLContext) -> str:
        async with Stream(f"wss://127.0.0.1:{asked.port}", TOKEN, tls=tls) as stream:
            async for message in stream:
                return str(message["type"])
        raise AssertionError("the stream ended")

    tls = ssl.create_default_context(cafile=cert)
    assert asyncio.run(asyncio.wait_for(first(tls), 10)) == "snapshot"
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError), socket.create_connection(("127.0.0.1", asked.port)) as plain:
        tls.wrap_socket(plain, server_hostname="127.0.0.1")
    live.kill("encrypted")
