"""The secured bus, with a real server: who is let in, who may do what, and that what must be done can be done.

What each user may do is written down here once more, by hand: the table does not come from access.py.
"""

import asyncio
import datetime as dt
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import nats
import nats.aio.msg
import nats.errors
import orjson
import pytest
from click.testing import CliRunner
from nats.aio.client import Client

from spymaster_live import access, bus, health, messages, server
from spymaster_live.__main__ import main
from spymaster_live.connection import CA, NKEY, credentials, is_request
from spymaster_live.keys import make, public_key
from tests.live.rig import small_lake
from tests.live.secured import Secured

DATE = dt.date(2025, 6, 3)
USERS = ("feed", "engine", "writer", "gateway", "provision", "control")
API = "$JS.API"

PUBLISHES = {  # a subject, and the only users that may publish to it
    "market.session": "feed",
    "market.futures.mbp10": "feed",
    "levels.signals": "engine",
    "levels.status": "engine",
    "dlq.market.session": "engine",
    "$KV.levels_state.PM_HIGH": "engine",
    "control.replay": "gateway control",
    "health.feed": "feed gateway control",
    "health.engine": "engine control",
    "health.writer": "writer gateway control",
    f"{API}.STREAM.CREATE.MARKET": "provision",
    f"{API}.STREAM.UPDATE.LEVELS": "provision",
    f"{API}.STREAM.UPDATE.KV_levels_state": "provision",
    f"{API}.STREAM.CREATE.OTHER": "",
    f"{API}.STREAM.DELETE.MARKET": "",
    f"{API}.STREAM.PURGE.LEVELS": "",
    f"{API}.STREAM.MSG.DELETE.MARKET": "",
    f"{API}.STREAM.SNAPSHOT.MARKET": "",
    f"{API}.STREAM.MSG.GET.MARKET": "feed engine writer gateway",
    f"{API}.STREAM.MSG.GET.LEVELS": "engine writer gateway provision",
    f"{API}.STREAM.MSG.GET.DLQ": "",
    f"{API}.CONSUMER.CREATE.MARKET.x": "engine writer",
    f"{API}.CONSUMER.CREATE.LEVELS.x": "engine writer gateway",
    f"{API}.CONSUMER.CREATE.DLQ.x": "",
    f"{API}.CONSUMER.CREATE.LEVELS.x.levels.rows": "gateway",
    f"{API}.CONSUMER.MSG.NEXT.MARKET.x": "engine writer",
    f"{API}.CONSUMER.DURABLE.CREATE.MARKET.x": "",
    f"{API}.CONSUMER.DELETE.MARKET.x": "",
    "$SYS.REQ.SERVER.PING": "",
    "anything": "",
}
LISTENS = {  # the same of listening
    "market.>": "",
    "market.session": "",
    "levels.>": "",
    "levels.signals": "",
    "dlq.>": "",
    "$KV.levels_state.>": "",
    "control.replay": "feed",
    "health.feed": "feed",
    "health.>": "",
    "$JS.>": "",
    "_INBOX.>": "",
    ">": "",
}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A secured server with streams, and a date's run over it by feed and engine."""
    lake = small_lake(tmp_path_factory.mktemp("lake"), DATE, 5_000, silver=True)
    made = Secured(lake, tmp_path_factory.mktemp("rig"), {"": lake / "short.toml"})
    try:
        made.start("nats-server")
        with made.being("provision"):
            assert len(made.ask(lambda client: bus.provision(client, made.config()))) == 4
        made.engine()
        made.start("writer", "writer", "--until-done")
        made.feed(DATE, "--speed", "0")
        made.finish()
        yield made
    finally:
        made.stop()


def refused(live: Secured, user: str, work: Callable[[Client], Awaitable[Any]]) -> list[str]:
    """What the server refuses a user, in its own words."""
    told: list[str] = []

    async def note(error: Exception) -> None:
        told.append(str(error))

    async def whole() -> None:
        client = await nats.connect(live.url, error_cb=note, **credentials(live.url))
        await work(client)
        await asyncio.sleep(0.3)  # the client sends its pings before what it has not sent yet
        await client.flush()
        await client.close()

    with live.being(user):
        asyncio.run(asyncio.wait_for(whole(), 30))
    return told


def test_a_run_is_the_same_with_keys_as_without(live: Secured) -> None:
    with live.being("writer"):  # reads both streams
        counts = live.compared(DATE)
    assert min(counts.values()) > 0


@pytest.mark.parametrize("user", USERS)
def test_a_user_publishes_what_is_its_own_and_nothing_else(live: Secured, user: str) -> None:
    async def everything(client: Client) -> None:
        for subject in PUBLISHES:  # no stream takes a message that follows on number 999999999
            await client.publish(subject, b"", headers={"Nats-Expected-Last-Sequence": "999999999"})

    told = refused(live, user, everything)
    wanted = [subject for subject, may in PUBLISHES.items() if user not in may.split()]
    meant = [f"BUS.{subject}" if subject.startswith(API) else subject for subject in wanted]  # the streams' account
    assert set(told) == {f'nats: permissions violation for publish to "{subject}"'.lower() for subject in meant}


@pytest.mark.parametrize("user", USERS)
def test_a_user_listens_to_what_is_its_own_and_not_to_others_inboxes(live: Secured, user: str) -> None:
    others = [f"_INBOX_{public_key(live.keys / f'{name}.nk')}.>" for name in USERS if name != user]

    async def everywhere(client: Client) -> None:
        for subject in (*LISTENS, *others):
            await client.subscribe(subject)

    told = refused(live, user, everywhere)
    wanted = {subject for subject, may in LISTENS.items() if user not in may.split()}
    assert set(told) == {f'nats: permissions violation for subscription to "{subject}"'.lower() for subject in (*wanted, *others)}


def test_every_user_has_a_row_in_the_tables() -> None:
    assert tuple(access.MAY) == USERS


def test_nothing_that_was_refused_left_a_trace(live: Secured) -> None:
    """The streams hold what the run put there: their last messages are the run's."""
    with live.being("writer"):
        last = live.ask(lambda client: bus.last(client, bus.MARKET, ">"))
    assert last is not None and last.subject == messages.CLOCK


def test_the_gateway_reads_levels_and_the_session(live: Secured) -> None:
    """A gateway with its key, beyond this machine's plain port: TLS and a token."""
    port = server.free_port()
    files = ("--tls-cert", str(live.keys / "gateway.pem"), "--tls-key", str(live.keys / "gateway.key"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPYMASTER_GATEWAY_TOKEN_FILE", str(live.keys / "gateway.token"))
        live.start("gateway", "gateway", "--host", "0.0.0.0", "--port", str(port), *files)
    try:
        with live.being("gateway"):
            state = live.ask(lambda client: answered(client, "gateway"))
        assert state["run"] == f"{DATE}.1" and state["rest"] == "the date is over"
        trusted = ssl.create_default_context(cafile=str(live.keys / "ca.pem"))
        asked = urllib.request.Request(f"https://localhost:{port}/api/levels")
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(asked, context=trusted)
        asked.add_header("Authorization", f"Bearer {(live.keys / 'gateway.token').read_text().strip()}")
        with urllib.request.urlopen(asked, context=trusted) as found:
            assert orjson.loads(found.read())["date"] == str(DATE)
    finally:
        live.kill("gateway")


def test_the_writer_captured_and_handed_over_the_run(live: Secured) -> None:
    assert (live.lake / "landing" / "capture" / str(DATE) / "clock.parquet").exists()


def test_what_is_refused_ends_a_service_with_a_sentence(live: Secured, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine with the writer's key: it does not wait for ever for what it will never get."""
    monkeypatch.setenv("SPYMASTER_DATA", str(live.lake))
    with live.being("writer"):
        done = CliRunner().invoke(main, ["engine", "--nats", live.url])
    assert done.exit_code == 1 and "permissions violation" in done.stderr.lower(), done.output


def told_of(url: str, *words: str) -> str:
    """What a command says that fails."""
    done = CliRunner().invoke(main, [*words, "--nats", url])
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit), done.exception
    return done.stderr


@pytest.mark.parametrize("words", [("control", "state"), ("provision",)])
def test_strangers_are_refused_and_told_so(live: Secured, words: tuple[str, ...], tmp_path: Path) -> None:
    make(tmp_path)  # another deployment's keys
    url = live.url
    assert "certificate" in told_of(url, *words)  # no credentials at all: the system's authorities do not know our CA
    with live.being("control", authority=tmp_path / "ca.pem"):
        assert "certificate verify failed" in told_of(url, *words)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CA, str(live.keys / "ca.pem"))
        assert f"{NKEY} and {CA} belong together" in told_of(url, *words)
        patch.setenv(NKEY, str(tmp_path / "control.nk"))
        assert "authorization" in told_of(url, *words).lower()
        patch.setenv(NKEY, str(tmp_path / "absent.nk"))
        assert "holds no nkey seed" in told_of(url, *words)


def greeting(port: int) -> bytes:
    """What the server says to one who speaks no TLS, until it hangs up."""
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        heard = plain.recv(65536)
        plain.sendall(b'CONNECT {"verbose":false}\r\nPUB market.session 0\r\n\r\nPING\r\n')
        while more := plain.recv(65536):
            heard += more
    return heard


def test_plain_tcp_is_refused(live: Secured) -> None:
    assert b"PONG" not in greeting(live.port)


def test_tls_before_1_3_is_refused(live: Secured) -> None:
    old = ssl.create_default_context(cafile=str(live.keys / "ca.pem"))
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", live.port), 10) as plain, pytest.raises(ssl.SSLError, match="protocol version"):
        old.wrap_socket(plain, server_hostname="localhost")


def test_with_keys_a_plain_server_is_not_spoken_to(live: Secured, tmp_path: Path) -> None:
    """Whoever sits between cannot talk us out of TLS."""
    port = server.free_port()
    with server.start(port, tmp_path) as plain:
        server.wait(port)
        with live.being("control"):
            assert "no TLS with that server" in told_of(f"nats://127.0.0.1:{port}", "control", "state")
        plain.kill()


def test_without_keys_no_server_beyond_this_machine_is_spoken_to() -> None:
    for host in ("192.0.2.1", "nats", "[2001:db8::1]"):
        assert "is not on this machine" in told_of(f"nats://{host}:4222", "provision")


def test_a_password_in_the_servers_address_is_not_repeated() -> None:
    port = server.free_port()
    for url, why in (
        (f"nats://someone:hunter2@127.0.0.1:{port}", f"no NATS server at nats://127.0.0.1:{port}"),
        (f"nats://hunter2@127.0.0.1:{port}", f"no NATS server at nats://127.0.0.1:{port}"),
        ("tls://a:hunter2@example.org", "tls://example.org is not on this machine"),
    ):
        for command in (("health", "engine"), ("control", "state")):
            told = told_of(url, *command)
            assert why in told and "hunter2" not in told


def test_the_local_server_listens_on_this_machine_alone(tmp_path: Path) -> None:
    words = server.command(4222, tmp_path)
    assert words[words.index("-a") + 1] == "127.0.0.1"


def test_provision_says_what_it_changes_and_what_it_would(live: Secured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def provision(*words: str) -> tuple[int, str]:
        with live.being("provision"):
            done = CliRunner().invoke(main, ["provision", "--nats", live.url, *words])
        return done.exit_code, done.stdout

    assert provision("--check") == (0, "MARKET, LEVELS, DLQ and levels_state are as they should be\n")
    (tmp_path / "more.toml").write_text("[live]\nmarket_bytes = 30000000000\n")
    monkeypatch.setenv("SPYMASTER_CONFIG", str(tmp_path / "more.toml"))
    would = 1, f"MARKET: max_bytes {24 << 30} -> 30000000000\n"
    assert provision("--check") == would == provision("--check")
    assert provision() == (0, would[1])
    assert provision("--check")[0] == 0


def test_making_keys_says_where_they_are_and_nothing_of_them(tmp_path: Path) -> None:
    said = CliRunner().invoke(main, ["keys", str(tmp_path)]).output
    said += CliRunner().invoke(main, ["keys", str(tmp_path), "--renew", "postgres", "--renew", "token"]).output
    secret = [path for path in tmp_path.iterdir() if path.suffix in (".nk", ".key", ".token", ".password", ".pgpass")]
    assert all(str(path) in said for path in secret)
    assert not [path.name for path in secret for line in path.read_text().split() if len(line) > 20 and line in said]


def test_keys_that_nobody_knows_cannot_be_renewed(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["keys", str(tmp_path), "--renew", "king"])
    assert done.exit_code == 1 and "--renew king: expected one of feed, engine" in done.stderr


def test_health_of_the_server_and_of_services(live: Secured) -> None:
    def asked(*words: str) -> tuple[int, dict[str, Any]]:
        done = CliRunner().invoke(main, ["health", *words, "--nats", live.url])
        return done.exit_code, orjson.loads(done.stdout)

    assert asked("nats", "--monitor", f"http://127.0.0.1:{live.monitor}")[0] == 0
    assert asked("nats", "--monitor", f"http://127.0.0.1:{server.free_port()}")[0] == 1
    with live.being("engine"):
        code, state = asked("engine")
        assert code == 1 and "no engine is connected" in state["why"]

        async def work(client: Client) -> list[dict[str, Any]]:
            found = {"ok": True, "why": None, "age": 30.0}
            await health.answer(client, "engine", lambda: found)
            first = await health.ask(client, "engine")
            found |= {"ok": False, "why": "MARKET is full"}
            return [first, await health.ask(client, "engine")]

        first, second = live.ask(work)
    assert first["ok"] and second["why"] == "MARKET is full"


def test_feed_and_engine_tell_their_health(live: Secured, monkeypatch: pytest.MonkeyPatch) -> None:
    live.start("engine", "engine")
    live.feed(DATE, "--speed", "1", "--from", "09:30", "--paused")
    try:
        for name in ("engine", "feed"):
            with live.being(name):
                state = live.ask(lambda client, name=name: answered(client, name))
            assert state["ok"] is True and state["why"] is None and state["age"] < 30
    finally:
        for name in ("engine", "feed"):
            live.kill(name)


async def answered(client: Client, name: str) -> dict[str, Any]:
    """What a service says, once it is there."""
    while not (state := await health.ask(client, name)).get("ok"):
        await asyncio.sleep(0.2)
    return state


def test_a_renewed_key_replaces_one_user_and_the_old_one_is_put_out(live: Secured, tmp_path: Path) -> None:
    old = (live.keys / "control.nk").read_bytes()
    kept = (live.keys / "feed.nk").read_bytes()
    assert make(live.keys) == [live.keys / "users.conf"]  # what is there stays
    make(live.keys, renew=["control"])
    assert (live.keys / "feed.nk").read_bytes() == kept and (live.keys / "control.nk").read_bytes() != old
    live.processes["nats-server"].send_signal(1)  # SIGHUP: read the configuration again
    with live.being("control"):
        assert "no replay is running" in until(lambda: told_of(live.url, "control", "state"), "no replay")
    (tmp_path / "control.nk").write_bytes(old)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(NKEY, str(tmp_path / "control.nk"))
        patch.setenv(CA, str(live.keys / "ca.pem"))
        assert "authorization" in told_of(live.url, "control", "state").lower()


def until(said: Callable[[], str], word: str) -> str:
    for _ in range(50):
        if word in (text := said()):
            break
    return text


def test_secrets_are_for_their_owner_alone_and_in_no_log(live: Secured) -> None:
    secret = [path for path in live.keys.iterdir() if path.suffix in (".nk", ".key", ".token", ".password", ".pgpass")]
    assert len(secret) == len(USERS) + 3 + 3
    assert {path.stat().st_mode & 0o777 for path in secret} == {0o600}
    logs = live.said_anywhere()
    assert "Violation" in logs  # of the refusals above: they are logged, and by the public key
    assert not [path.name for path in secret for line in path.read_text().split() if len(line) > 20 and line in logs]


async def delivered(live: Secured, to: str, listener: str) -> tuple[int, int]:
    """The writer wants LEVELS delivered to a subject: messages that a listener heard, and that the server delivered."""
    with live.being(listener):
        hearing = await nats.connect(live.url, error_cb=ignored, **credentials(live.url))
    with live.being("writer"):
        writing = await nats.connect(live.url, **credentials(live.url))
    heard, name = await hearing.subscribe(to), f"to_{listener}"
    await asyncio.sleep(0.3)
    config = {"name": name, "deliver_subject": to, "deliver_policy": "last", "ack_policy": "none", "mem_storage": True}
    asked = orjson.dumps({"stream_name": bus.LEVELS, "config": config})
    await writing.request(f"{API}.CONSUMER.CREATE.{bus.LEVELS}.{name}", asked, timeout=5)
    await asyncio.sleep(1)
    made = await writing.jsm().consumer_info(bus.LEVELS, name)
    await hearing.close()
    await writing.close()
    assert made.delivered is not None
    return heard.pending_msgs, made.delivered.consumer_seq


async def ignored(error: Exception) -> None:
    """What the server refuses shows in what is heard."""


def test_no_stream_takes_what_a_consumer_delivers(live: Secured) -> None:
    """The server delivers where somebody listens to just that subject, and nobody may listen to a stream's."""
    assert asyncio.run(delivered(live, messages.SESSION, "gateway")) == (0, 0)


def test_market_holds_the_feeds_messages_alone(live: Secured) -> None:
    async def subjects(client: Client) -> tuple[set[str], set[str]]:
        reader, end, found, runs = bus.Reader(client, bus.MARKET, 1), await bus.last_sequence(client, bus.MARKET), set(), set()
        while reader.next <= end:
            for _, message in await reader.read(2):
                found.add(message.subject)
                runs.add((message.headers or {})["Run"])
        await reader.close()
        return found, runs

    with live.being("writer"):
        found, runs = live.ask(subjects)
    assert found <= {*messages.CHANNELS.values(), messages.SESSION, messages.CLOCK}
    assert all(run.startswith(f"{DATE}.") for run in runs)


def test_what_asks_for_no_answer_is_no_request() -> None:
    replies = {"_INBOX_U1.x": True, "_R_.x": True, "": False, "$JS.ACK.LEVELS.x.1.1.1.1.0": False, "market.session": False}
    assert {reply: is_request(nats.aio.msg.Msg(None, reply=reply)) for reply in replies} == replies


def test_what_a_consumer_delivers_reaches_no_service(live: Secured) -> None:
    """Not where a feed listens to just that subject."""
    assert asyncio.run(delivered(live, messages.CONTROL, "feed")) == (0, 0)


@pytest.mark.parametrize("user", ["gateway", "writer", "engine", "feed", "provision"])
def test_an_answer_reaches_nobody_but_the_one_who_asked(live: Secured, user: str) -> None:
    """Whoever asks names the subject of the answer, and the server may publish everywhere: nothing is stored, purged or deleted."""
    requests = [f"{API}.STREAM.{what}.{stream}" for what in ("PURGE", "DELETE") for stream in (bus.DLQ, bus.MARKET)]
    subjects = ["market.session", "dlq.x", "levels.status", "$KV.levels_state.x"] if user not in ("feed", "engine") else []
    places = [*requests, *subjects]

    async def stand() -> list[tuple[int, int]]:
        with live.being("provision"):
            client = await nats.connect(live.url, **credentials(live.url))
        found = [(await client.jsm().stream_info(str(one.name))).state for one in bus.streams(live.config())]
        await client.close()
        return [(one.messages, one.last_seq) for one in found]

    async def attack() -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        with live.being(user):
            client = await nats.connect(live.url, error_cb=ignored, **credentials(live.url))
        before, name = await stand(), f"answers_{user}"
        config = {"name": name, "deliver_policy": "last", "ack_policy": "none", "mem_storage": True}
        asked = orjson.dumps({"stream_name": bus.LEVELS, "config": config})
        with suppress(nats.errors.Error):
            await client.request(f"{API}.CONSUMER.CREATE.{bus.LEVELS}.{name}", asked, timeout=1)
        for place in places:
            await client.publish(f"{API}.STREAM.INFO.{bus.LEVELS}", b"", reply=place)
            await client.publish(f"{API}.STREAM.INFO.{bus.MARKET}", b"", reply=place)
            for _ in range(2):  # a message of LEVELS, then word that there is none: without data, like a request to delete
                await client.publish(f"{API}.CONSUMER.MSG.NEXT.{bus.LEVELS}.{name}", b'{"batch":1,"no_wait":true}', reply=place)
        await client.flush()
        await asyncio.sleep(0.5)
        await client.close()
        return before, await stand()

    before, after = asyncio.run(attack())
    assert before == after
