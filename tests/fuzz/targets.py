"""What must hold of any bytes whatever: one function a reader, which raises where the reader does not keep it.

A reader says what is wrong in its one documented error, or gives exactly what the bytes hold. Nothing else may come out of it. What
the bytes hold is told by plain loops here, not by the readers.
"""

import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import orjson
import zstandard

from spymaster_assets import dbn
from spymaster_live import symbols
from spymaster_live.messages import FLOWS, ROWS, BadMessage, Session, pack, read, unpack
from spymaster_live.split import Damaged, Splitter

Plain = list[tuple[int, bytes]]  # records: rtype, bytes
MOST: Final = 1 << 18  # decoded bytes that are looked at; a bomb has a test of its own
CHUNKS: Final = (1, 97, 4096, dbn.CHUNK_BYTES)
FOLDER: Final = tempfile.TemporaryDirectory(prefix="spymaster_fuzz_")


class Broken(AssertionError):
    """A reader did not keep what it promises."""


def require(holds: bool, what: str) -> None:
    if not holds:
        raise Broken(what)


class Long(Exception):
    """More decodes than we look at."""


def content(data: bytes) -> bytes | None:
    """What a file decodes to; None if a frame is damaged or not closed. Long if it is too much."""
    if data[:3] == b"DBN":
        return data
    found = b""
    while data:
        if len(data) >= 8 and data[1:4] == b"\x2a\x4d\x18" and data[0] & 0xF0 == 0x50:
            size = 8 + int.from_bytes(data[4:8], "little")
            if len(data) < size:
                return None
            data = data[size:]
            continue
        frame = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
        try:
            for at in range(0, len(data), 64):
                found += frame.decompress(data[at : at + 64])
                if len(found) > MOST:
                    raise Long
                if frame.eof:
                    data = frame.unused_data + data[at + 64 :]
                    break
            else:
                return None
        except zstandard.ZstdError:
            return None
    return found


def chain(plain: bytes) -> tuple[Plain, bool]:
    """The records that follow one another by their lengths, and whether they end with the bytes."""
    at, found = 8 + int.from_bytes(plain[4:8], "little"), []
    while at < len(plain):
        size = 4 * plain[at]
        if size < 16 or at + size > len(plain):
            return found, False
        found.append((plain[at + 1], plain[at : at + size]))
        at += size
    return found, True


def held(records: Plain, layout: dbn.Layout, version: int, mixed: bool) -> tuple[list[bytes], bool]:
    """The records of one layout up to the first that contradicts it, and whether none does."""
    size, found = layout.written_by(version).itemsize, []
    for rtype, raw in records:
        if rtype == layout.rtype and len(raw) == size:
            found.append(raw)
        elif rtype == layout.rtype or not mixed:
            return found, False
    return found, True


def widened(raw: list[bytes], layout: dbn.Layout, version: int) -> bytes:
    return dbn.widen(np.frombuffer(b"".join(raw), layout.written_by(version)), layout.dtype).tobytes()


def check_dbn(data: bytes) -> str:
    """A file: DbnError, or its records, all of them, by whatever schema it is read. What became of it, in a word."""
    try:
        plain = content(data)
    except Long:
        return "long"
    path = Path(FOLDER.name) / "any.dbn.zst"
    path.write_bytes(data)
    try:
        header = dbn.read_header(path)
    except dbn.DbnError as error:
        require(str(path) in str(error) and error.offset >= 0, "an error names the file and the place")
        return "no header"
    mixed = header.schema is None
    try:
        require(not any("\0" in name for name in dbn.live_symbols(path).values()), "symbols are words")
        if mixed:
            first, last = dbn.live_range(path)
            require(first <= last, "a range has an order")
    except dbn.DbnError:
        pass
    records, whole = chain(plain) if plain is not None else ([], False)
    outcome = "whole"
    for schema in dbn.SCHEMAS if mixed else {header.schema, "trades"} & {*dbn.SCHEMAS}:
        layout, came, error = dbn.SCHEMAS[schema], b"", None
        try:
            for chunk in dbn.read(path, schema, CHUNKS[len(data) % len(CHUNKS)]):
                came += chunk.tobytes()
        except dbn.DbnError as refused:
            error = refused
        if plain is None:
            require(error is not None, "a damaged file is refused")
            outcome = "damaged"
            continue
        raw, consistent = held(records, layout, header.version, mixed)
        expected = widened(raw, layout, header.version)
        if header.ts_out or (not mixed and schema != header.schema):
            require(error is not None and not came, "records of another kind are refused")
        elif whole and consistent:
            require(error is None and came == expected, f"{schema}: all records come")
        else:
            require(error is not None and expected.startswith(came), f"{schema}: refused, and what came before is right")
            outcome = "refused"
    return outcome


def check_split(data: bytes) -> str:
    """A live stream in pieces: Damaged, or its records by type."""
    sizes, splitter, pieces = [1 + 8 * byte for byte in data[-5:]] or [1], Splitter(), []
    at = number = 0
    try:
        while at < len(data):
            size = sizes[number % len(sizes)]
            pieces.append(splitter.take(data[at : at + size]))
            at, number = at + size, number + 1
    except Damaged:
        return "damaged"
    finally:
        for piece in pieces:
            piece.told()
    walked = sum(len(piece) for piece in pieces)
    if len(data) < 8 or len(data) < 8 + int.from_bytes(data[4:8], "little"):
        require(not walked, "no record before the header's end")
        return "no header"
    records, _ = chain(data)
    require(walked == len(records), "every whole record is walked")
    for layout in (*dbn.SCHEMAS.values(), dbn.SYMBOL_MAPPING):
        fitting = [raw for rtype, raw in records if rtype == layout.rtype and len(raw) == layout.written_by(data[3]).itemsize]
        came = b"".join(piece.records(layout)[1].tobytes() for piece in pieces if len(piece))
        require(came == widened(fitting, layout, data[3]), "the records of a type come")
    return "whole"


def packed(subject: str, headers: Mapping[str, str], data: bytes) -> bytes:
    """A message of the bus as one input."""
    return orjson.dumps([subject, dict(headers)]) + b"\n" + data


def message_of(data: bytes) -> tuple[str, dict[str, str], bytes] | None:
    """The message that an input stands for."""
    head, _, rest = data.partition(b"\n")
    try:
        subject, headers = orjson.loads(head)
    except ValueError:
        return None
    if not isinstance(subject, str) or not isinstance(headers, dict) or not all(isinstance(v, str) for v in headers.values()):
        return None
    return subject, headers, rest


def check_frames(data: bytes) -> str:
    """A message of the bus: BadMessage, or one that sends the same again; rows and symbology likewise."""
    if (found := message_of(data)) is None:
        return "no message"
    subject, headers, body = found
    for tables in (ROWS, FLOWS):
        try:
            rows = unpack(tables, headers.get("Rows", ""), body)
        except BadMessage:
            continue
        told, again = pack(tables, rows)
        require(
            again == body and [*map(int, re.findall("=([0-9]+)", told))] == [len(row) for row in rows.values()], "rows are kept"
        )
    try:
        message = read(subject, headers, body)
    except BadMessage as error:
        require(bool(str(error)), "a refusal says why")
        return "bad"
    sent = message.message()
    require((sent.subject, sent.data) == (subject, body), "subject and data are kept")
    for name in {*sent.headers} - {"Nats-Msg-Id", "Start", "End"}:
        same = sent.headers[name] == headers[name] or int(sent.headers[name]) == int(headers[name])
        require(same, f"header {name} is kept")
    if isinstance(message, Session):
        try:
            mappings = symbols.unpacked(message.symbology)
        except BadMessage:
            return "bad symbology"
        require(symbols.unpacked(symbols.packed(mappings)) == mappings, "symbology is kept")
    return "good"


TARGETS: Final[Mapping[str, Callable[[bytes], str]]] = {"dbn": check_dbn, "frames": check_frames, "split": check_split}
