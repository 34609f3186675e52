"""A local double of the vendor's live gateway, which speaks its protocol over TCP, and a market that it serves.

Greeting, challenge, the answer's hash, session id, subscriptions and the start are lines of text; then come one DBN header and
records of several types. The market is a tape: records of a date's files in the order in which they come. Of the tape, what lies
before `now` is the past, which is repeated to whoever asks for it, schema by schema; the rest is sent once, while somebody listens.
What passes while nobody does (`missed`) is the past of the next connection.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import databento_dbn as databento
import numpy as np

from spymaster_assets import dbn

KEY = "db-0123456789abcdefghijKLMNOPQRS"
ORDER = ("definition", "statistics", "tbbo", "trades", "mbp-10")  # of the repeated past
Act = Callable[["Session"], bytes]
FALL = b"fall"  # of an act: the connection ends in the midst of a record
STALL = b"stall"  # of an act: nothing more comes until the client has gone


@dataclass(frozen=True)
class Tape:
    """Records in the order in which they come. `places`: of each schema, where its records stand in the tape."""

    records: Mapping[str, np.ndarray]
    places: Mapping[str, np.ndarray]
    schemas: np.ndarray  # of each place, number of the schema in ORDER
    rows: np.ndarray  # of each place, row of its records

    def __len__(self) -> int:
        return len(self.rows)

    def upto(self, schema: str, time: int) -> int:
        """The first place behind the records of a schema up to an event time."""
        times = self.records[schema][dbn.SCHEMAS[schema].index].view("i8")
        return int(self.places[schema][max(0, np.searchsorted(np.maximum.accumulate(times), time, side="right") - 1)]) + 1


def tape(
    landing: Path, delay: Mapping[str, int] | None = None, held: Callable[[str, np.ndarray], np.ndarray] | None = None
) -> Tape:
    """The tape of landing's files. `delay`: ns by which records of a schema come later than others; `held`: ns of each record."""
    records = {}
    for schema in ORDER:
        parts = [
            chunk.copy()
            for kind in ("futures", "options")
            for path in sorted((landing / kind).glob(f"*.{schema}.dbn.zst"))
            for chunk in dbn.read(path, schema)
        ]
        found = np.concatenate(parts)
        records[schema] = found[np.argsort(found["ts_recv"], kind="stable")]
    comes = {
        schema: np.maximum.accumulate(found["ts_recv"].view("i8")) + (delay or {}).get(schema, 0)
        + (held(schema, found) if held else 0)
        for schema, found in records.items()
    }  # fmt: skip
    order = {schema: np.argsort(times, kind="stable") for schema, times in comes.items()}
    records = {schema: found[order[schema]] for schema, found in records.items()}
    comes = {schema: times[order[schema]] for schema, times in comes.items()}
    schemas = np.repeat(np.arange(len(ORDER)), [len(records[schema]) for schema in ORDER])
    rows = np.concatenate([np.arange(len(records[schema])) for schema in ORDER])
    at = np.lexsort((schemas, np.concatenate([comes[schema] for schema in ORDER])))
    schemas, rows = schemas[at], rows[at]
    places = {schema: np.flatnonzero(schemas == number) for number, schema in enumerate(ORDER)}
    return Tape(records, places, schemas, rows)


@dataclass
class Subscription:
    schema: str
    symbols: list[str]
    stype: str
    start: int | None


@dataclass
class Gateway:
    """The double. `acts`: what happens at places of the tape, or once somebody listens behind them; each once.

    `end`: ns UTC of the heartbeats behind the tape.
    """

    tape: Tape
    now: int
    end: int
    acts: dict[int, Act] = field(default_factory=dict)
    missed: int = 0  # places that pass between two sessions
    refuse: Callable[[Subscription], tuple[str, databento.ErrorCode] | None] = lambda one: None
    version: int = 3
    quiet: bool = False  # does not name the schema whose past is told
    slow_after: float = 2.0  # seconds that the socket takes nothing, after which a reader is slow
    sessions: list[list[Subscription]] = field(default_factory=list)
    refused: int = 0  # connections with a wrong key
    slow: int = 0
    port: int = 0
    clock: int | None = None  # ns UTC of its own words; None: of the record before `now`
    close: Callable[[], object] = lambda: None
    current: Session | None = None  # which has the tape

    async def serve(self, ready: threading.Event) -> None:
        """Serve until `close`."""
        done, loop = asyncio.Event(), asyncio.get_running_loop()
        self.close = lambda: loop.call_soon_threadsafe(done.set)
        listening = socket.create_server(("127.0.0.1", self.port))
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        self.port = listening.getsockname()[1]
        async with await asyncio.start_server(self._client, sock=listening) as server:
            ready.set()
            await done.wait()
            server.close()
            for task in asyncio.all_tasks():
                if task is not asyncio.current_task():
                    task.cancel()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await Session(self, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    def words_at(self) -> int:
        """The time of the gateway's own words."""
        if self.clock is not None:
            return self.clock
        at = max(0, min(self.now, len(self.tape)) - 1)
        return int(self.tape.records[ORDER[self.tape.schemas[at]]][self.tape.rows[at]]["ts_recv"])


class Session:
    """One connection."""

    def __init__(self, gateway: Gateway, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.gateway, self.reader, self.writer = gateway, reader, writer
        self.asked: list[Subscription] = []

    async def _line(self) -> dict[str, str]:
        line = (await self.reader.readuntil(b"\n")).decode().strip()
        return dict(part.partition("=")[::2] for part in line.split("|"))  # type: ignore[misc]

    async def run(self) -> None:
        challenge = f"challenge-{len(self.gateway.sessions)}"
        self.writer.write(f"lsg_version=0.6.0\ncram={challenge}\n".encode())
        facts = await self._line()
        expected = f"{hashlib.sha256(f'{challenge}|{KEY}'.encode()).hexdigest()}-{KEY[-5:]}"
        if facts["auth"] != expected or facts["dataset"] != "GLBX.MDP3" or facts["encoding"] != "dbn" or facts["ts_out"] != "0":
            self.gateway.refused += 1
            self.writer.write(b"success=0|error=Authentication failed.\n")
            await self.writer.drain()
            return
        self.writer.write(b"success=1|session_id=1\n")
        while "start_session" not in (facts := await self._line()):
            start = int(facts["start"]) if "start" in facts else None
            self.asked.append(Subscription(facts["schema"], facts["symbols"].split(","), facts["stype_in"], start))
        self.gateway.sessions.append(self.asked)
        await self._stream()

    async def send(self, data: bytes) -> None:
        """Send; a reader that takes nothing for long is told so once it reads again."""
        self.writer.write(data)
        try:
            await asyncio.wait_for(self.writer.drain(), self.gateway.slow_after)
        except TimeoutError:
            self.gateway.slow += 1
            await self.writer.drain()
            self.writer.write(self.system(databento.SystemCode.SLOW_READER_WARNING, "Slow reader: records are waiting"))

    def system(self, code: databento.SystemCode, words: str, ts: int | None = None) -> bytes:
        return bytes(databento.SystemMsg(self.gateway.words_at() if ts is None else ts, words, code=code))

    def error(self, words: str, code: databento.ErrorCode) -> bytes:
        return bytes(databento.ErrorMsg(self.gateway.words_at(), words, code=code))

    async def _stream(self) -> None:
        gateway = self.gateway
        starts = [one.start for one in self.asked if one.start is not None]
        meta = databento.Metadata(
            dataset="GLBX.MDP3", start=min([gateway.words_at(), *starts]), stype_in=None, schema=None, symbols=[], partial=[],
            stype_out=databento.SType.INSTRUMENT_ID, not_found=[], mappings=[], version=gateway.version,
        )  # fmt: skip
        await self.send(meta.encode())
        for one in self.asked:
            if refusal := gateway.refuse(one):
                await self.send(self.error(*refusal))
                if refusal[1] != databento.ErrorCode.SYMBOL_RESOLUTION_FAILED:
                    return
            else:
                words = f"Subscription request for {one.schema} data succeeded"
                await self.send(self.system(databento.SystemCode.SUBSCRIPTION_ACK, words))
        wanted = self._wanted()
        if len(self.asked) > 1:  # one for definitions alone moves nothing
            if gateway.current is not None:
                gateway.now = min(len(gateway.tape), gateway.now + gateway.missed)
            gateway.current = self
        await self.send(self._mapped(wanted))
        await self._past(wanted)
        await self._present(wanted)

    def _wanted(self) -> dict[str, np.ndarray]:
        """Of each schema that was asked for, which rows are of the symbols."""
        listed = self.gateway.tape.records["definition"]
        named: dict[str, set[int]] = {}
        for number, raw, asset, letter in zip(
            listed["instrument_id"].tolist(), listed["raw_symbol"].tolist(), listed["asset"].tolist(),
            listed["instrument_class"].tolist(), strict=True,
        ):  # fmt: skip
            parent = f"{asset.decode()}.{'FUT' if chr(letter) in 'FS' else 'OPT'}"
            for name in (raw.decode(), parent):
                named.setdefault(name, set()).add(number)
        wanted = {}
        for one in self.asked:
            numbers = sorted(set().union(*(named.get(symbol, set()) for symbol in one.symbols)))
            wanted[one.schema] = np.isin(self.gateway.tape.records[one.schema]["instrument_id"], numbers)
        return wanted

    def _mapped(self, wanted: Mapping[str, np.ndarray]) -> bytes:
        """What the numbers of everything that was asked for mean."""
        listed, records = self.gateway.tape.records["definition"], self.gateway.tape.records
        numbers = set().union(*(np.unique(records[schema]["instrument_id"][rows]).tolist() for schema, rows in wanted.items()))
        symbols = dict(zip(listed["instrument_id"].tolist(), listed["raw_symbol"].tolist(), strict=True))
        raw, number = databento.SType.RAW_SYMBOL, databento.SType.INSTRUMENT_ID
        return b"".join(
            bytes(databento.SymbolMappingMsg(1, one, 0, raw, (name := symbols[one].decode()), number, name, 0, 0))
            for one in sorted(numbers)
        )

    async def _past(self, wanted: Mapping[str, np.ndarray]) -> None:
        """What lies before now, from where each subscription starts; one schema after the other."""
        gateway, now = self.gateway, self.gateway.now
        for one in sorted(self.asked, key=lambda one: ORDER.index(one.schema)):
            if one.start is None:
                continue
            records, places = gateway.tape.records[one.schema], gateway.tape.places[one.schema]
            sampled = one.schema.startswith("bbo")
            times = records["ts_recv" if sampled else "ts_event"].view("i8")
            rows = np.flatnonzero(wanted[one.schema] & (places < now) & ((times >= one.start) | (one.start == 0)))
            for at in range(0, len(rows), 256):
                await self.send(records[rows[at : at + 256]].tobytes())
            name = "" if gateway.quiet else f"{one.schema} "
            await self.send(self.system(databento.SystemCode.REPLAY_COMPLETED, f"Finished {name}replay"))

    async def _present(self, wanted: Mapping[str, np.ndarray]) -> None:
        """The rest of the tape as it comes, as long as no later session has it, then heartbeats."""
        gateway, held = self.gateway, list[bytes]()
        data = {schema: (records.tobytes(), records.itemsize) for schema, records in gateway.tape.records.items()}
        while gateway.current is self and gateway.now < len(gateway.tape):
            at = gateway.now
            if gateway.acts and min(gateway.acts) <= at:
                await self.send(b"".join(held))
                held.clear()
                extra = gateway.acts.pop(min(gateway.acts))(self)
                if extra == FALL:
                    await self._fall(data)
                    return
                if extra == STALL:
                    await self.reader.read()
                    return
                await self.send(extra)
                continue
            schema, row = ORDER[gateway.tape.schemas[at]], int(gateway.tape.rows[at])
            if schema in wanted and wanted[schema][row]:
                raw, size = data[schema]
                held.append(raw[row * size : (row + 1) * size])
            gateway.now += 1
            if len(held) >= 64:
                await self.send(b"".join(held))
                held.clear()
        await self.send(b"".join(held))
        while not self.reader.at_eof():
            over = gateway.now >= len(gateway.tape)
            await self.send(self.system(databento.SystemCode.HEARTBEAT, "Heartbeat", gateway.end if over else None))
            await asyncio.sleep(0.1)

    async def _fall(self, data: Mapping[str, tuple[bytes, int]]) -> None:
        """Half a record, then the connection is gone."""
        raw, size = data["mbp-10"]
        self.writer.write(raw[: size // 2])
        await self.writer.drain()
        await asyncio.sleep(0.05)
        self.writer.transport.abort()


def dropped(session: Session) -> bytes:
    """The connection ends in the midst of a record."""
    return FALL


def stalled(session: Session) -> bytes:
    """Nothing comes any more, and the connection stays."""
    return STALL


def sent(*records: bytes) -> Act:
    """Something else in between."""
    return lambda session: b"".join(records)


def seen(event: threading.Event) -> Act:
    """The test is told that the tape has come this far; nothing more comes until the client has gone."""

    def act(session: Session) -> bytes:
        event.set()
        return STALL

    return act


@contextmanager
def serving(gateway: Gateway) -> Iterator[Gateway]:
    """The double at work, in a thread."""
    ready = threading.Event()

    def work() -> None:
        asyncio.run(gateway.serve(ready))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield gateway
    finally:
        gateway.close()
        thread.join(10)


def settings(gateway: Gateway, more: str = "") -> str:
    """What of the configuration leads a feed to the double."""
    return f'\n[live.vendor]\ngateway = "127.0.0.1"\nport = {gateway.port}\nagain_seconds = 0.1\n{more}\n'
