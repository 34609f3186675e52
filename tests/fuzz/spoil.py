"""Inputs that are nearly right: seeds, and ways to spoil them that know what a file, a stream or a message is made of.

Bytes changed blindly hardly get past a checksum; here what is inside is changed, and then packed again, most of the time.
"""

import random
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import zstandard

from spymaster_assets import dbn
from spymaster_assets.tables import BARS, PRIORS
from spymaster_live.messages import CHANNELS, FLOWS, ROWS, SCHEMAS, Clock, Frame, Session, digest, pack
from spymaster_live.symbols import packed as packed_symbology
from tests.dbn_files import EVERY_SCHEMA, frame, header, live_stream, mapping, older_records, records_of, skippable
from tests.fuzz.targets import Long, chain, content, message_of, packed

MOST: Final = 1 << 14  # bytes of an input


# ---- seeds ----


def _files() -> Iterator[bytes]:
    for schema in EVERY_SCHEMA:
        yield frame(header(schema) + records_of(schema, 3).tobytes())
    for version in (1, 2):
        for schema in ("definition", "statistics", "trades"):
            rows = records_of(schema, 2) if schema == "trades" else older_records(schema, version, 2)
            yield header(schema, version=version) + rows.tobytes()
        yield header(None, version=version) + mapping(version, 7, b"ESM5") + records_of("trades", 1).tobytes()
    plain = header("trades") + records_of("trades", 4).tobytes()
    yield skippable(3, 5) + frame(plain[:150]) + frame(b"") + frame(plain[150:])
    yield header("trades", ts_out=True) + records_of("trades", 1).tobytes()
    yield frame(live_stream(5, 8))


def _streams() -> Iterator[bytes]:
    for version in (1, 2, 3):
        yield live_stream(version, 6, version) + mapping(version, 7, b"ESM5")
    yield header(None)


def _messages() -> Iterator[bytes]:
    for channel, schemas in SCHEMAS.items():
        for schema in schemas:
            sent = Frame("2025-06-03.1", channel, schema, 70, records_of(schema, 2), 1 << 60).message()
            yield packed(sent.subject, sent.headers, sent.data)
    told = {channel: {"ESM5": [dbn.Interval(DAY, DAY, 7)]} for channel in CHANNELS}
    for count in (0, 1):
        times = (1 << 60, 60_000_000_000, 9, 0)
        priors = np.zeros(count, PRIORS.dtype)
        session = Session("run", "2025-06-03", "ESM5", *times, "in", "config", "model", priors, packed_symbology(told))
        yield packed(session.message().subject, session.message().headers, session.message().data)
    clock = Clock("run", 1 << 60).message()
    yield packed(clock.subject, clock.headers, clock.data)
    for tables in (ROWS, FLOWS):
        counts, data = pack(tables, {table.name: np.zeros(int(table is BARS), table.dtype) for table in tables})
        yield packed("levels.rows", {"Rows": counts}, data)


DAY: Final = dbn.dt.date(2025, 6, 3)
SEEDS: Final = {"dbn": _files, "split": _streams, "frames": _messages}


# ---- spoiling bytes ----


def _flip(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 2, 8))):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _number(data: bytearray, rng: random.Random) -> None:
    """A number at the edge of its width, anywhere."""
    width = rng.choice((1, 2, 4, 8))
    at = rng.randrange(max(1, len(data) - width))
    data[at : at + width] = rng.choice((0, 1, 2 ** (8 * width) - 1, 2 ** (8 * width - 1))).to_bytes(width, "little")


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _extend(data: bytearray, rng: random.Random) -> None:
    data += rng.choice((b"\0", b"\x04\x16", b"DBN\3", rng.randbytes(16))) * rng.randrange(1, 9)


def _move(data: bytearray, rng: random.Random) -> None:
    """A piece taken out, twice in, or somewhere else."""
    start = rng.randrange(len(data) + 1)
    piece = data[start : start + rng.choice((1, 4, 16, 48, 200))]
    if rng.random() < 0.5:
        del data[start : start + len(piece)]
    to = rng.randrange(len(data) + 1)
    data[to:to] = piece if rng.random() < 0.7 else b""


BYTES: Final = (_flip, _number, _cut, _extend, _move)


def spoilt_bytes(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        rng.choice(BYTES)(changed, rng)
    return bytes(changed)


# ---- files and streams ----


def spoilt_plain(plain: bytes, rng: random.Random) -> bytes:
    """A header and records, one of them or their order changed."""
    records = [raw for _, raw in chain(plain)[0]]
    head = plain[: len(plain) - sum(map(len, records))]
    match rng.randrange(7):
        case 0:
            changed = bytearray(head)
            rng.choice((_flip, _number))(changed, rng)
            head = bytes(changed)
        case 1:  # another version, or another length of the header
            version = rng.choice((0, 1, 2, 3, 4, head[3] if len(head) > 3 else 3))
            size = max(0, len(head) - 8 + rng.choice((-8, -1, 0, 0, 0, 1, 8, 1 << 20, 1 << 28, 1 << 31)))
            head = head[:3] + bytes([version]) + min(size, 2**32 - 1).to_bytes(4, "little") + head[8:]
        case 2:
            schema = rng.choice(EVERY_SCHEMA)
            records.insert(rng.randrange(len(records) + 1), records_of(schema, 1, rng.randrange(99)).tobytes())
        case 3:
            records.insert(rng.randrange(len(records) + 1), mapping(rng.choice((1, 3)), rng.randrange(9), rng.randbytes(70)))
        case 4 if records:
            at = rng.randrange(len(records))
            records[at] = bytes([rng.choice((0, 3, 4, 12, 255)), *records[at][1:]])  # another length
        case 5 if records:
            at = rng.randrange(len(records))
            records[at] = spoilt_bytes(records[at], rng)
        case _:
            rng.shuffle(records)
            records = records[: rng.randrange(len(records) + 1)] + records[: rng.randrange(3)]
    return head + b"".join(records)


def as_file(plain: bytes, rng: random.Random) -> bytes:
    """Bytes as a file: plain or in frames, sound most of the time."""
    match rng.randrange(6):
        case 0:
            return plain
        case 1:
            at = rng.randrange(len(plain) + 1)
            return frame(plain[:at]) + skippable(rng.randrange(16), rng.randrange(9)) + frame(plain[at:])
        case 2:  # not closed
            packer = zstandard.ZstdCompressor().compressobj()
            return packer.compress(plain) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        case 3:
            return zstandard.ZstdCompressor(level=rng.choice((1, 19)), write_content_size=False).compress(plain)
        case 4:
            return spoilt_bytes(frame(plain), rng)
        case _:
            return frame(plain)


def spoilt_file(data: bytes, rng: random.Random) -> bytes:
    try:
        plain = content(data)
    except Long:
        plain = None
    if plain is None or rng.random() < 0.1:
        return spoilt_bytes(data, rng)
    return as_file(spoilt_plain(plain, rng), rng)


def spoilt_stream(data: bytes, rng: random.Random) -> bytes:
    return spoilt_plain(data, rng) if rng.random() < 0.8 else spoilt_bytes(data, rng)


# ---- messages ----

ODD: Final = ("", "0", "-1", "00", "1", "1e3", " 7", "٣", str(2**63), str(-(2**63)), "9" * 40, "trades", "mbp-10", "a\nb")


def spoilt_message(data: bytes, rng: random.Random) -> bytes:
    """Another subject, header or body; the hash fits, most of the time."""
    if (found := message_of(data)) is None:
        return rng.choice([*_messages()])
    subject, headers, body = found
    names = [*headers]
    match rng.randrange(6):
        case 0:
            subject = rng.choice((*CHANNELS.values(), "market.session", "market.clock", "levels.rows", subject + "x"))
        case 1 if names:
            headers[rng.choice(names)] = rng.choice(ODD)
        case 2 if names:
            del headers[rng.choice(names)]
        case 3:
            for name in ("Count", "Symbology"):
                if name in headers:
                    headers[name] = str(rng.randrange(-1, 5))
        case 4 if "Symbology" in headers:
            plain = b'{"definitions":{"ESM5":[["2025-06-03",7]]}}'
            names_ = zstandard.ZstdCompressor().compress(spoilt_bytes(plain, rng))
            size = int(headers["Symbology"]) if headers["Symbology"].isdecimal() and headers["Symbology"].isascii() else 0
            body = body[: len(body) - min(size, len(body))] + names_
            headers["Symbology"] = str(len(names_))
        case _:
            body = spoilt_bytes(body, rng)
    if "Hash" in headers and rng.random() < 0.9:
        headers["Hash"] = digest(body)
    return packed(subject, headers, body)


SPOIL: Final[dict[str, Callable[[bytes, random.Random], bytes]]] = {
    "dbn": spoilt_file, "split": spoilt_stream, "frames": spoilt_message,
}  # fmt: skip


def spoilt(target: str, data: bytes, rng: random.Random) -> bytes:
    """An input of a target spoilt a little, no longer than MOST."""
    return SPOIL[target](data, rng)[:MOST]
