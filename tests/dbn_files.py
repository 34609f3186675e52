"""DBN files and streams of random content, and how others read them: databento's own decoder and a naive twin.

Record contents are random bytes: the reader has to hand on every bit, so no value is special except where a test says so.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import databento
import databento_dbn
import numpy as np
import zstandard
from hypothesis import settings
from hypothesis import strategies as st

from spymaster_assets import dbn
from spymaster_assets.dbn import SCHEMAS, DbnError, Writer
from tests.naive import naive_dbn_records

EVERY_SCHEMA = tuple(SCHEMAS)
VERSIONED = ("definition", "statistics")  # the schemas whose records grew with the DBN version
SIZES = {  # bytes of a record in DBN version 3
    "mbp-10": 368,
    "mbp-1": 80,
    "trades": 48,
    "tbbo": 80,
    "bbo-1s": 80,
    "bbo-1m": 80,
    "definition": 520,
    "statistics": 80,
}
RTYPES = {"mbp-10": 10, "mbp-1": 1, "trades": 0, "tbbo": 1, "bbo-1s": 195, "bbo-1m": 196, "definition": 19, "statistics": 24}
START, END = 1_703_462_400_000_000_000, 1_703_548_800_000_000_000  # 2023-12-25, a UTC day

quick = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32 - 1)
chunk_sizes = st.one_of(st.integers(1, 600), st.integers(601, 20_000), st.just(dbn.CHUNK_BYTES))


def random_records(dtype: np.dtype[Any], rtype: int, count: int, seed: int) -> np.ndarray:
    """`count` records of random content under a right length and type."""
    records = np.frombuffer(np.random.default_rng(seed).bytes(count * dtype.itemsize), dtype).copy()
    records["length"] = dtype.itemsize // 4
    records["rtype"] = rtype
    return records


def records_of(schema: str, count: int, seed: int = 0) -> np.ndarray:
    return random_records(SCHEMAS[schema].dtype, RTYPES[schema], count, seed)


def older_records(schema: str, version: int, count: int, seed: int = 0) -> np.ndarray:
    """Records as databento wrote them in an older DBN version, in databento's own dtype."""
    module = {1: databento_dbn.v1, 2: databento_dbn.v2, 3: databento_dbn.v3}[version]
    message = {"definition": module.InstrumentDefMsg, "statistics": module.StatMsg}[schema]
    return random_records(np.dtype(message._dtypes), RTYPES[schema], count, seed)


def header(schema: str | None, *, version: int = 3, ts_out: bool = False) -> bytes:
    """A DBN header by databento's own encoder; without a schema, that of a live stream."""
    metadata = databento_dbn.Metadata(
        dataset="GLBX.MDP3",
        start=START,
        end=None if schema is None else END,
        stype_in=None if schema is None else databento_dbn.SType.RAW_SYMBOL,
        stype_out=databento_dbn.SType.INSTRUMENT_ID,
        schema=None if schema is None else databento_dbn.Schema.from_str(schema),
        symbols=[] if schema is None else ["ESH4"],
        ts_out=ts_out,
        version=version,
    )
    return metadata.encode()


def write(path: Path, schema: str, records: np.ndarray, **changes: Any) -> Path:
    facts = {"dataset": "GLBX.MDP3", "start": START, "end": END, "symbols": ["ESH4"], "mappings": {}} | changes
    with Writer(path, schema, **facts) as writer:
        writer.write(records)
    return path


def frame(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def skippable(number: int, size: int) -> bytes:
    return struct.pack("<II", 0x184D2A50 + number, size) + b"s" * size


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def chunks(path: Path, schema: str, chunk_bytes: int = dbn.CHUNK_BYTES) -> Iterator[np.ndarray]:
    """Copies of what the reader hands out, whose arrays are views that it overwrites."""
    for chunk in dbn.read(path, schema, chunk_bytes):
        assert chunk.dtype == SCHEMAS[schema].dtype
        assert len(chunk)
        yield chunk.copy()


def read(path: Path, schema: str, chunk_bytes: int = dbn.CHUNK_BYTES) -> bytes:
    return b"".join(chunk.tobytes() for chunk in chunks(path, schema, chunk_bytes))


def read_until_error(path: Path, schema: str, chunk_bytes: int = dbn.CHUNK_BYTES) -> tuple[bytes, DbnError | None]:
    """What the reader hands out before it ends or raises DbnError; nothing else may be raised."""
    seen = b""
    try:
        for chunk in chunks(path, schema, chunk_bytes):
            seen += chunk.tobytes()
    except DbnError as error:
        assert error.path == path
        assert str(path) in str(error)
        assert f"{error.offset:,}" in str(error)
        assert error.expected
        assert error.expected in str(error)
        return seen, error
    return seen, None


def error_of(path: Path, schema: str, chunk_bytes: int = dbn.CHUNK_BYTES) -> DbnError:
    _, error = read_until_error(path, schema, chunk_bytes)
    assert error is not None, "the file was read as if nothing were wrong"
    return error


def naive(path: Path, schema: str) -> bytes:
    return b"".join(record for _, record in naive_dbn_records(path, RTYPES[schema]))


def store(path: Path) -> databento.DBNStore:
    """databento's own reader of a file, from its bytes because `from_file` never closes the file."""
    return databento.DBNStore.from_bytes(path.read_bytes())


def by_databento(path: Path, schema: str) -> bytes:
    """The records of a file by databento's own reader, upgraded to version 3."""
    return b"".join(raw for record in store(path) if (raw := bytes(record))[1] == RTYPES[schema])


def live_stream(seed: int, count: int, version: int = 3) -> bytes:
    """Records of our schemas in any order among records of types that we do not know, of any length from 16 to 1,020 bytes."""
    rng = np.random.default_rng(seed)
    pieces = []
    for number in range(count):
        schema = EVERY_SCHEMA[rng.integers(len(EVERY_SCHEMA))]
        if rng.random() < 0.4:
            size = 4 * int(rng.integers(4, 256))
            pieces.append(random_records(np.dtype([("length", "u1"), ("rtype", "u1"), ("rest", f"V{size - 2}")]), 22, 1, number))
        elif schema in VERSIONED:
            pieces.append(older_records(schema, version, 1, number))
        else:
            pieces.append(records_of(schema, 1, number))
    return header(None, version=version) + b"".join(piece.tobytes() for piece in pieces)


def mapping(version: int, number: int, symbol: bytes) -> bytes:
    """The message by which a live stream says what an instrument id means."""
    message = databento_dbn.v1.SymbolMappingMsg if version == 1 else databento_dbn.SymbolMappingMsg
    record = np.zeros(1, np.dtype(message._dtypes))
    record["length"], record["rtype"] = record.itemsize // 4, 22
    record["instrument_id"], record["stype_in_symbol"], record["stype_out_symbol"] = number, b"ES.FUT", symbol
    return record.tobytes()


def naive_plain(path: Path) -> bytes:
    return zstandard.ZstdDecompressor().stream_reader(path.read_bytes(), read_across_frames=True).read()
