"""DBN files against three other readers: databento's own decoder, a naive twin, and the facts of genuine files.

Record contents are random bytes: the reader has to hand on every bit, so no value is special except where a test says so.
Genuine files are read when SPYMASTER_REAL_DATA names their folder.
"""

import datetime as dt
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import databento
import databento_dbn
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from spymaster_assets import dbn
from spymaster_assets.dbn import SCHEMAS, DbnError, Interval, Writer
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
DAY1, DAY2, DAY3 = (dt.date(2023, 12, 24 + i) for i in range(3))

quick = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32 - 1)
chunk_sizes = st.one_of(st.integers(1, 600), st.integers(601, 20_000), st.just(dbn.CHUNK_BYTES))


# ----------------------------------------------------------------------------------------------------- making and reading


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dbn")


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


# --------------------------------------------------------------------------------------------------------------- layouts


@pytest.mark.parametrize("schema", EVERY_SCHEMA)
def test_sizes_and_types_of_records(schema: str) -> None:
    assert (SCHEMAS[schema].dtype.itemsize, SCHEMAS[schema].rtype) == (SIZES[schema], RTYPES[schema])


def decode(schema: str, record: np.ndarray) -> Any:
    """One record as databento's object."""
    return databento_dbn.DBNDecoder().write_and_decode(header(schema) + record.tobytes())[1]


ENUMERATED = {"stat_type"}  # databento raises where a random number names no member


@pytest.mark.parametrize("schema", EVERY_SCHEMA)
def test_every_number_has_the_name_that_databento_gives_it(schema: str) -> None:
    record = records_of(schema, 1)[0]
    theirs = decode(schema, record)
    dtype = SCHEMAS[schema].dtype
    names = [n for n in dtype.names or () if dtype[n].kind in "iu" and dtype[n].itemsize > 1 and n not in ENUMERATED]
    names = [n for n in names if hasattr(theirs, n)]
    assert {"publisher_id", "instrument_id", "ts_event", "ts_recv"} < set(names)
    assert {name: int(record[name]) for name in names} == {name: getattr(theirs, name) for name in names}


@pytest.mark.parametrize("schema", ["mbp-10", "mbp-1", "tbbo", "bbo-1s", "bbo-1m"])
def test_every_level_lies_where_databento_has_it(schema: str) -> None:
    record = records_of(schema, 1)[0]
    theirs = decode(schema, record).levels
    deep = schema == "mbp-10"
    fields = ["bid_px", "ask_px", "bid_sz", "ask_sz", "bid_ct", "ask_ct"]
    ours = [{f: int(record["levels"][i][f] if deep else record[f + "_00"]) for f in fields} for i in range(10 if deep else 1)]
    assert ours == [{f: getattr(level, f) for f in fields} for level in theirs]


@pytest.mark.parametrize("schema", EVERY_SCHEMA)
def test_the_vendor_cuts_files_and_ranges_by_the_time_of_receipt(schema: str) -> None:
    """databento's own `ts_index`, whatever the schema: what [start, end) of a header is about."""
    record = records_of(schema, 1)[0]
    assert int(record["ts_recv"]) == decode(schema, record).ts_index


def test_a_record_happens_at_its_event_but_a_sample_or_restatement_when_it_is_sent() -> None:
    """A quote sample carries the time of its last trade, a definition that of its last change, both days old at times."""
    received = {schema for schema, layout in SCHEMAS.items() if layout.index == "ts_recv"}
    assert received == {"bbo-1s", "bbo-1m", "definition"}
    assert {layout.index for schema, layout in SCHEMAS.items() if schema not in received} == {"ts_event"}


def test_named_numbers_are_databentos() -> None:
    assert (dbn.UNDEF_PRICE, dbn.UNDEF_TIMESTAMP) == (2**63 - 1, 2**64 - 1)
    assert (dbn.F_LAST, dbn.F_SNAPSHOT, dbn.F_BAD_TS_RECV, dbn.F_MAYBE_BAD_BOOK) == (128, 32, 8, 4)


# ----------------------------------------------------------------------------------------------- what is written is read


@quick
@given(st.sampled_from(EVERY_SCHEMA), st.integers(0, 40), seeds, chunk_sizes)
def test_written_records_are_read_back_in_any_chunks(folder: Path, schema: str, count: int, seed: int, size: int) -> None:
    records = records_of(schema, count, seed)
    path = write(folder / "any.dbn.zst", schema, records)
    assert read(path, schema, size) == naive(path, schema) == by_databento(path, schema) == records.tobytes()
    assert all(chunk.nbytes <= max(size, SIZES[schema]) for chunk in chunks(path, schema, size))


@quick
@given(st.data(), st.sampled_from(EVERY_SCHEMA), st.integers(0, 20), chunk_sizes)
def test_frames_laid_end_to_end_are_one_stream(folder: Path, data: st.DataObject, schema: str, count: int, size: int) -> None:
    """Cut anywhere, also within the header or a record, and with empty and skippable frames between."""
    records = records_of(schema, count)
    plain = header(schema) + records.tobytes()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(plain)), max_size=5)))
    pieces = [frame(plain[a:b]) for a, b in pairwise([0, *cuts, len(plain)])]
    for at in data.draw(st.lists(st.integers(1, len(pieces)), max_size=3)):
        pieces.insert(at, skippable(data.draw(st.integers(0, 15)), data.draw(st.integers(0, 50))))
    path = put(folder / "frames.dbn.zst", b"".join(pieces))
    assert read(path, schema, size) == naive(path, schema) == records.tobytes()


@pytest.mark.parametrize("number", range(16))
def test_a_file_may_begin_with_any_skippable_frame(folder: Path, number: int) -> None:
    records = records_of("trades", 3)
    path = put(folder / "skip.dbn.zst", skippable(number, 9) + frame(header("trades") + records.tobytes()))
    assert read(path, "trades") == naive(path, "trades") == records.tobytes()


@quick
@given(st.sampled_from(EVERY_SCHEMA), st.integers(0, 40), chunk_sizes)
def test_an_uncompressed_file_reads_the_same(folder: Path, schema: str, count: int, size: int) -> None:
    records = records_of(schema, count)
    path = put(folder / "plain.dbn", header(schema) + records.tobytes())
    assert read(path, schema, size) == naive(path, schema) == by_databento(path, schema) == records.tobytes()


def test_a_reader_hears_how_far_the_file_has_been_read(folder: Path) -> None:
    path = write(folder / "progress.dbn.zst", "mbp-10", records_of("mbp-10", 2_000))
    heard: list[int] = []
    count = sum(1 for _ in dbn.read(path, "mbp-10", 100_000, on_bytes=heard.append))
    assert len(heard) == count > 5
    assert heard == sorted(heard)
    assert 0 < heard[0] < heard[-1] <= path.stat().st_size


def test_the_name_of_a_file_means_nothing(folder: Path) -> None:
    records = records_of("trades", 3)
    plain = header("trades") + records.tobytes()
    for name, data in {"plain.dbn.zst": plain, "packed.dbn": frame(plain), "neither.txt": frame(plain)}.items():
        assert read(put(folder / name, data), "trades") == records.tobytes()


# --------------------------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("schema", ["mbp-10", "definition", "trades"])
def test_a_plain_file_cut_at_any_byte_is_refused_at_the_cut_record(folder: Path, schema: str) -> None:
    """Only a cut between two records cannot be seen: what is left is a shorter file."""
    head, records = header(schema), records_of(schema, 3)
    plain, size = head + records.tobytes(), SIZES[schema]
    for cut in range(len(plain)):
        seen, error = read_until_error(put(folder / "cut.dbn", plain[:cut]), schema, 2 * size)
        whole, rest = divmod(cut - len(head), size)
        assert records.tobytes().startswith(seen), cut
        if cut < len(head):
            assert error is not None, cut
            assert error.offset == (cut if cut >= 8 else 0), cut
        elif rest:
            assert error is not None, cut
            assert error.offset == len(head) + whole * size, cut
        else:
            assert error is None, cut
            assert len(seen) == whole * size, cut


def test_a_zstd_file_cut_at_any_byte_is_refused(folder: Path) -> None:
    records = records_of("trades", 5)
    path = write(folder / "whole.dbn.zst", "trades", records)
    packed, head = path.read_bytes(), dbn.read_header(path).length
    for cut in range(len(packed)):
        seen, error = read_until_error(put(folder / "cut.dbn.zst", packed[:cut]), "trades", 96)
        assert error is not None, cut
        assert records.tobytes().startswith(seen), cut
        assert error.offset <= head + records.nbytes, cut
        assert not seen or error.offset >= head + len(seen), cut


def test_a_file_of_two_frames_is_refused_unless_cut_between_them(folder: Path) -> None:
    records = records_of("trades", 6)
    first, second = frame(header("trades") + records[:3].tobytes()), frame(records[3:].tobytes())
    packed = first + second
    fine = [cut for cut in range(len(packed)) if read_until_error(put(folder / "cut.dbn.zst", packed[:cut]), "trades")[1] is None]
    assert fine == [len(first)]
    assert read(put(folder / "cut.dbn.zst", first), "trades") == records[:3].tobytes()


def test_a_frame_that_ends_at_a_record_but_is_not_closed_is_refused(folder: Path) -> None:
    """All that was written decodes, and ends between two records: only the open frame tells that more was to come."""
    records = records_of("trades", 4)
    packer = zstandard.ZstdCompressor().compressobj()
    packed = packer.compress(header("trades") + records.tobytes()) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    assert zstandard.ZstdDecompressor().decompressobj().decompress(packed).endswith(records.tobytes())
    seen, error = read_until_error(put(folder / "open.dbn.zst", packed), "trades", 48)
    assert error is not None
    assert records.tobytes().startswith(seen)


@pytest.mark.parametrize("tail", [b"g", b"\0", b"DBN\3", b"\x28\xb5\x2f\xfd"])
def test_anything_after_the_last_frame_is_refused(folder: Path, tail: bytes) -> None:
    packed = frame(header("trades") + records_of("trades", 3).tobytes())
    for count in range(1, 33):
        path = put(folder / "tail.dbn.zst", packed + (tail * 32)[:count])
        assert read_until_error(path, "trades")[1] is not None, count


def test_no_flipped_bit_of_a_written_file_goes_unseen(folder: Path) -> None:
    """Every single bit: the file is refused, or the bit did not matter (a wider window, an unused bit)."""
    records = records_of("trades", 2)
    packed = write(folder / "whole.dbn.zst", "trades", records).read_bytes()
    refused = 0
    for bit in range(8 * len(packed)):
        flipped = bytearray(packed)
        flipped[bit // 8] ^= 1 << bit % 8
        seen, error = read_until_error(put(folder / "flip.dbn.zst", bytes(flipped)), "trades")
        assert error is not None or seen == records.tobytes(), bit
        refused += error is not None
    assert refused > 0.98 * 8 * len(packed)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("empty.dbn.zst", b""),
        ("one.dbn", b"D"),
        ("text.dbn", b"Dear Databento,\nplease find enclosed\n"),
        ("table.dbn.zst", b"ts_event,price,size\n1703462400000000000,4800.25,1\n"),
        ("packed-table.dbn.zst", frame(b"ts_event,price,size\n1703462400000000000,4800.25,1\n")),
        ("packed-nothing.dbn.zst", frame(b"")),
        ("skipped.dbn.zst", skippable(0, 40)),
        ("old.dbz", b"\x51\x2a\x4d\x18" + struct.pack("<I", 40) + b"DBZ\0" + b"\0" * 36),
        ("parquet.dbn", b"PAR1" + b"\0" * 100 + b"PAR1"),
        ("zip.dbn.zst", b"PK\3\4" + b"\0" * 100),
        ("zeros.dbn", b"\0" * 1000),
        ("only-magic.dbn.zst", b"\x28\xb5\x2f\xfd"),
        ("only-dbn.dbn", b"DBN"),
    ],
)
def test_a_file_that_is_not_dbn_is_refused_at_its_beginning(folder: Path, name: str, data: bytes) -> None:
    path = put(folder / name, data)
    assert error_of(path, "trades").offset == 0
    with pytest.raises(DbnError, match="expected"):
        dbn.read_header(path)


def test_a_missing_file_is_not_a_damaged_one(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        dbn.read_header(folder / "nothing.dbn.zst")


@pytest.mark.parametrize("version", [0, 4, 255])
def test_an_unknown_version_is_refused(folder: Path, version: int) -> None:
    plain = bytearray(header("trades"))
    plain[3] = version
    error = error_of(put(folder / "version.dbn", bytes(plain)), "trades")
    assert error.offset == 3
    assert str(version) in error.found


def test_a_header_of_any_other_length_is_refused(folder: Path) -> None:
    """Whatever the four bytes of the length say, the answer is DbnError and not an exception of the decoder below."""
    head = header("trades")
    for size in [*range(len(head) - 8), 1 << 20, 1 << 28, 2**32 - 1]:
        path = put(folder / "length.dbn", head[:4] + struct.pack("<I", size) + head[8:] + records_of("trades", 2).tobytes())
        assert read_until_error(path, "trades")[1] is not None, size


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 400), st.binary(min_size=1, max_size=8))
def test_a_garbled_header_is_refused_or_harmless(folder: Path, at: int, garbage: bytes) -> None:
    """The records behind it are never read as anything else, and no other exception escapes."""
    records = records_of("trades", 2)
    head = header("trades")
    at %= len(head)
    garbled = head[:at] + garbage[: len(head) - at] + head[at + len(garbage) :]
    seen, error = read_until_error(put(folder / "garbled.dbn", garbled + records.tobytes()), "trades")
    assert seen == (records.tobytes() if error is None else b"")


@pytest.mark.parametrize("schema", EVERY_SCHEMA)
def test_a_file_of_another_schema_is_refused(folder: Path, schema: str) -> None:
    path = write(folder / "other.dbn.zst", schema, records_of(schema, 2))
    for wanted in EVERY_SCHEMA:
        if wanted != schema:
            error = error_of(path, wanted)
            assert wanted in error.expected
            assert schema in error.found


@pytest.mark.parametrize("chunk_bytes", [1, 100_000])
@pytest.mark.parametrize("at", [0, 1, 4])
@pytest.mark.parametrize("schema", EVERY_SCHEMA)
def test_a_record_of_another_type_is_refused_where_it_stands(folder: Path, schema: str, at: int, chunk_bytes: int) -> None:
    records = records_of(schema, 5)
    records["rtype"][at] = 23
    path = put(folder / "rtype.dbn.zst", frame(header(schema) + records.tobytes()))
    seen, error = read_until_error(path, schema, chunk_bytes)
    assert error is not None
    assert error.offset == len(header(schema)) + at * SIZES[schema]
    assert "23" in error.found
    assert records[:at].tobytes().startswith(seen)


@pytest.mark.parametrize("length", [0, 1, 3, 11, 13, 21, 63])
def test_a_record_of_another_length_is_refused_where_it_stands(folder: Path, length: int) -> None:
    records = records_of("trades", 5)
    records["length"][2] = length
    error = error_of(put(folder / "length.dbn.zst", frame(header("trades") + records.tobytes())), "trades")
    assert error.offset == len(header("trades")) + 2 * 48
    assert f"of {4 * length} bytes" in error.found


@pytest.mark.parametrize("length", [64, 92, 130, 255])
def test_a_record_of_256_bytes_or_more_is_refused_with_its_true_length(folder: Path, length: int) -> None:
    """The length is one byte that counts words: as bytes it no longer fits one byte."""
    records = records_of("trades", 5)
    records["length"][2] = length
    error = error_of(put(folder / "length.dbn.zst", frame(header("trades") + records.tobytes())), "trades")
    assert f"of {4 * length} bytes" in error.found


@pytest.mark.parametrize("schema", [*EVERY_SCHEMA, None])
def test_records_with_a_send_time_are_refused(folder: Path, schema: str | None) -> None:
    path = put(folder / "ts_out.dbn", header(schema, ts_out=True) + b"".join(b"\x0e" + bytes(55) for _ in range(3)))
    assert dbn.read_header(path).ts_out
    assert "ts_out" in str(error_of(path, schema or "trades"))


# ------------------------------------------------------------------------------------------------------- older versions


@quick
@given(st.sampled_from(VERSIONED), st.sampled_from([1, 2, 3]), st.integers(0, 30), seeds, chunk_sizes)
def test_older_records_are_widened_as_databento_does(
    folder: Path, schema: str, version: int, count: int, seed: int, size: int
) -> None:
    records = older_records(schema, version, count, seed)
    path = put(folder / "older.dbn", header(schema, version=version) + records.tobytes())
    ours = read(path, schema, size)
    assert ours == by_databento(path, schema)
    assert len(ours) == count * SIZES[schema]


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_statistic_keeps_its_values(folder: Path, version: int) -> None:
    """Open interest of 2,147,483,646 lots is a number; of one more it is undefined, and is so in 64 bits."""
    old = older_records("statistics", version, 4)
    old["quantity"] = [2**31 - 2, 2**31 - 1, -(2**31), 0]
    old["price"] = [4_800_250_000_000, 2**63 - 1, -1, 0]
    (new,) = chunks(put(folder / "statistics.dbn", header("statistics", version=version) + old.tobytes()), "statistics")
    assert new["quantity"].tolist() == [2**31 - 2, databento_dbn.UNDEF_STAT_QUANTITY, -(2**31), 0]
    assert new["price"].tolist() == old["price"].tolist()
    assert new["length"].tolist() == [20] * 4
    for name in ("instrument_id", "ts_event", "ts_recv", "ts_ref", "sequence", "ts_in_delta", "stat_type", "update_action"):
        assert new[name].tolist() == old[name].tolist()


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("schema", ["mbp-10", "mbp-1", "trades", "tbbo", "bbo-1s", "bbo-1m"])
def test_market_data_is_the_same_in_every_version(folder: Path, schema: str, version: int) -> None:
    records = records_of(schema, 7)
    path = put(folder / "older.dbn.zst", frame(header(schema, version=version) + records.tobytes()))
    assert dbn.read_header(path).version == version
    assert read(path, schema, 1) == records.tobytes() == by_databento(path, schema)


@pytest.mark.parametrize("schema", VERSIONED)
def test_a_new_record_in_an_old_file_is_refused(folder: Path, schema: str) -> None:
    path = put(folder / "mixed.dbn", header(schema, version=1) + records_of(schema, 2).tobytes())
    assert error_of(path, schema).offset == len(header(schema, version=1))


# ---------------------------------------------------------------------------------------------------------- live streams


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


@quick
@given(st.sampled_from(EVERY_SCHEMA), seeds, st.integers(0, 120), st.booleans(), chunk_sizes)
def test_a_live_stream_gives_the_records_of_each_type(
    folder: Path, schema: str, seed: int, count: int, packed: bool, size: int
) -> None:
    plain = live_stream(seed, count)
    path = put(folder / "live.dbn", frame(plain) if packed else plain)
    assert dbn.read_header(path).schema is None
    assert read(path, schema, size) == naive(path, schema)


@quick
@given(st.sampled_from(VERSIONED), st.sampled_from([1, 2]), seeds, chunk_sizes)
def test_a_live_stream_of_an_older_version_is_widened(folder: Path, schema: str, version: int, seed: int, size: int) -> None:
    old = older_records(schema, version, 30, seed)
    known = [records_of("trades", 1, i).tobytes() + record.tobytes() for i, record in enumerate(old)]
    path = put(folder / "live.dbn", header(None, version=version) + b"".join(known))
    assert read(path, schema, size) == by_databento(path, schema)


def test_a_live_stream_cut_at_any_byte_gives_a_whole_prefix_or_is_refused(folder: Path) -> None:
    first, other, last = records_of("mbp-1", 1, 1), records_of("trades", 2, 2), records_of("mbp-1", 1, 3)
    head = header(None)
    plain = head + first.tobytes() + other.tobytes() + last.tobytes()
    boundaries = [len(head) + size for size in (0, 80, 128, 176)]
    for cut in range(len(plain)):
        seen, error = read_until_error(put(folder / "cut.dbn", plain[:cut]), "mbp-1")
        assert (error is None) == (cut in boundaries), cut
        assert (first.tobytes() + last.tobytes()).startswith(seen), cut
        if error is not None and cut > len(head):
            assert error.offset == max(b for b in boundaries if b < cut), cut


@pytest.mark.parametrize("length", [0, 1, 2, 3, 11, 13, 92])
def test_a_wrong_length_in_a_live_stream_is_refused_where_it_stands(folder: Path, length: int) -> None:
    """A record is never shorter than its own head of 16 bytes, and of the type asked for it has that type's length."""
    records = records_of("trades", 20)
    records["length"][2] = length
    path = put(folder / "length.dbn", header(None) + records.tobytes())
    seen, error = read_until_error(path, "trades")
    assert error is not None
    assert error.offset == len(header(None)) + 2 * 48
    assert f"{4 * length} bytes" in error.found
    assert records[:2].tobytes().startswith(seen)


@pytest.mark.parametrize("length", [0, 1, 2, 3])
def test_a_record_shorter_than_its_head_is_refused_whatever_its_type(folder: Path, length: int) -> None:
    """Its length is all that leads to the next record: believed, it would make records of what lies within others."""
    other = records_of("statistics", 1)
    other["length"] = length
    path = put(folder / "short.dbn", header(None) + records_of("trades", 1).tobytes() + other.tobytes())
    assert error_of(path, "trades").offset == len(header(None)) + 48


def mapping(version: int, number: int, symbol: bytes) -> bytes:
    """The message by which a live stream says what an instrument id means."""
    message = databento_dbn.v1.SymbolMappingMsg if version == 1 else databento_dbn.SymbolMappingMsg
    record = np.zeros(1, np.dtype(message._dtypes))
    record["length"], record["rtype"] = record.itemsize // 4, 22
    record["instrument_id"], record["stype_in_symbol"], record["stype_out_symbol"] = number, b"ES.FUT", symbol
    return record.tobytes()


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_live_stream_says_what_its_ids_mean(folder: Path, version: int) -> None:
    trade = records_of("trades", 1).tobytes()
    pieces = [mapping(version, 17_077, b"ESH4"), trade, mapping(version, 42, b"ESH4-ESM4"), mapping(version, 17_077, b"ESM4")]
    path = put(folder / "live.dbn", header(None, version=version) + b"".join(pieces))
    assert dbn.live_symbols(path) == {17_077: "ESM4", 42: "ESH4-ESM4"}
    assert read(path, "trades") == trade


def test_a_historical_file_has_no_messages_about_symbols(folder: Path) -> None:
    assert dbn.live_symbols(write(folder / "historical.dbn.zst", "trades", records_of("trades", 2))) == {}


def test_the_range_of_a_live_stream_runs_over_all_that_it_holds(folder: Path) -> None:
    trades, books = records_of("trades", 2), records_of("mbp-10", 2)
    trades["ts_recv"], books["ts_recv"] = [START + 5, START + 9], [START + 7, START + 2]
    path = put(folder / "live.dbn", header(None) + trades.tobytes() + books.tobytes())
    assert dbn.live_range(path) == (START + 2, START + 10)
    assert dbn.live_range(put(folder / "empty.dbn", header(None) + mapping(3, 1, b"ESH4"))) == (0, 0)


# ------------------------------------------------------------------------------------------------------------- the writer

MAPPINGS = {
    "ESH4": (Interval(DAY1, DAY2, 17077), Interval(DAY2, DAY3, 42)),
    "ESM4": (Interval(DAY2, DAY3, 17077),),
}


def test_databento_reads_the_header_as_it_was_written(folder: Path) -> None:
    path = write(
        folder / "head.dbn.zst", "mbp-10", records_of("mbp-10", 1), symbols=["ESH4", "ESM4"], mappings=MAPPINGS, stype_in="parent"
    )
    theirs = store(path).metadata
    assert (theirs.version, theirs.dataset, theirs.schema, theirs.ts_out) == (3, "GLBX.MDP3", "mbp-10", False)
    assert (theirs.start, theirs.end) == (START, END)
    assert (theirs.stype_in, theirs.stype_out) == ("parent", "instrument_id")
    assert (theirs.symbols, theirs.partial, theirs.not_found) == (["ESH4", "ESM4"], [], [])
    assert theirs.mappings == {
        "ESH4": [
            {"start_date": DAY1, "end_date": DAY2, "symbol": "17077"},
            {"start_date": DAY2, "end_date": DAY3, "symbol": "42"},
        ],
        "ESM4": [{"start_date": DAY2, "end_date": DAY3, "symbol": "17077"}],
    }


def test_our_header_says_what_was_written(folder: Path) -> None:
    path = write(folder / "head.dbn.zst", "tbbo", records_of("tbbo", 1), symbols=["ESH4", "ESM4"], mappings=MAPPINGS)
    ours = dbn.read_header(path)
    assert (ours.path, ours.version, ours.dataset, ours.schema, ours.ts_out) == (path, 3, "GLBX.MDP3", "tbbo", False)
    assert (ours.start, ours.end, ours.symbols) == (START, END, ("ESH4", "ESM4"))
    assert ours.mappings == MAPPINGS
    assert ours.length == len(naive_plain(path)) - 80


def naive_plain(path: Path) -> bytes:
    return zstandard.ZstdDecompressor().stream_reader(path.read_bytes(), read_across_frames=True).read()


def test_an_id_means_another_symbol_on_another_day(folder: Path) -> None:
    ours = dbn.read_header(write(folder / "head.dbn.zst", "trades", records_of("trades", 0), mappings=MAPPINGS))
    assert ours.symbols_on(DAY1 - (DAY2 - DAY1)) == {}
    assert ours.symbols_on(DAY1) == {17077: "ESH4"}
    assert ours.symbols_on(DAY2) == {42: "ESH4", 17077: "ESM4"}
    assert ours.symbols_on(DAY3) == {}


def test_a_live_stream_has_no_schema_and_no_end(folder: Path) -> None:
    ours = dbn.read_header(put(folder / "live.dbn", header(None)))
    assert (ours.schema, ours.end, ours.symbols, ours.mappings) == (None, None, (), {})


@quick
@given(st.data(), st.sampled_from(EVERY_SCHEMA), st.integers(0, 30))
def test_records_may_be_written_in_any_pieces(folder: Path, data: st.DataObject, schema: str, count: int) -> None:
    records = records_of(schema, count)
    cuts = sorted(data.draw(st.lists(st.integers(0, count), max_size=5)))
    path = folder / "pieces.dbn.zst"
    with Writer(path, schema, dataset="GLBX.MDP3", start=START, end=END, symbols=["ESH4"], mappings={}) as writer:
        for a, b in pairwise([0, *cuts, count]):
            writer.write(records[a:b])
    assert writer.rows == count
    assert naive(path, schema) == records.tobytes()


def test_every_second_record_is_written_as_it_lies(folder: Path) -> None:
    records = records_of("mbp-10", 9)
    path = write(folder / "strided.dbn.zst", "mbp-10", records[::2])
    assert naive(path, "mbp-10") == b"".join(records[i].tobytes() for i in range(0, 9, 2))


def test_records_of_another_dtype_are_not_written(folder: Path) -> None:
    for wrong in (records_of("trades", 1), older_records("definition", 1, 1), np.zeros(368, np.uint8)):
        with pytest.raises(ValueError, match="records of"):
            write(folder / "wrong.dbn.zst", "mbp-10", wrong)


def test_a_closed_file_may_be_closed_again(folder: Path) -> None:
    path = folder / "closed.dbn.zst"
    writer = Writer(path, "trades", dataset="GLBX.MDP3", start=START, end=END, symbols=[], mappings={})
    writer.write(records_of("trades", 2))
    writer.close()
    before = path.read_bytes()
    writer.close()
    assert path.read_bytes() == before
    assert len(naive_dbn_records(path)) == 2


# --------------------------------------------------------------------------------------------------------------- memory

PEAK = """
import sys
from pathlib import Path
from spymaster_assets import dbn

def peak():  # KiB; unlike ru_maxrss it does not begin at the size of the process that started this one
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1])

small, big, keep = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "keep"
kept = sum(len(chunk) for chunk in dbn.read(small, "mbp-10"))
before = peak()
kept = [chunk.copy() if keep else len(chunk) for chunk in dbn.read(big, "mbp-10")]
print(sum(map(len, kept)) if keep else sum(kept), peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from Linux's /proc")
def test_memory_stays_bounded_however_long_the_file(folder: Path) -> None:
    """300,000 rows are 105 MiB: kept they show, read in passing they do not."""
    part = records_of("mbp-10", 20_000)
    small, big = folder / "small.dbn.zst", folder / "big.dbn.zst"
    for path, repeats in ((small, 2), (big, 15)):
        with Writer(path, "mbp-10", dataset="GLBX.MDP3", start=START, end=END, symbols=[], mappings={}, level=1) as writer:
            for _ in range(repeats):
                writer.write(part)

    def grown(mode: str) -> float:
        command = [sys.executable, "-c", PEAK, str(small), str(big), mode]
        rows, kib = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        assert int(rows) == 300_000
        return int(kib) / 1024

    assert grown("keep") > 90
    assert grown("pass") < 16


# --------------------------------------------------------------------------------------------------------- genuine files

REAL = os.environ.get("SPYMASTER_REAL_DATA")
GLBX = Path(REAL) / "glbx" if REAL else Path("absent")
genuine = pytest.mark.skipif(REAL is None, reason="SPYMASTER_REAL_DATA does not name the folder of genuine files")
ES_HOUR = GLBX / "esh4-20231225.mbp-10.dbn.zst"
ES_TRADES = GLBX / "esh4-20231225.trades.dbn.zst"
MBP1 = GLBX / "futures_mbp-1_2024-07-01T23-58_2024-07-02T00-02.dbn.zst"
TRADES = GLBX / "futures_trades_2024-07-01T23-58_2024-07-02T00-02.dbn.zst"
LIVE = GLBX / "test_data.live.dbn.zst"
OPEN = 1_703_545_200_000_000_000  # 2023-12-25 23:00 UTC


@cache
def rows(path: Path, schema: str) -> np.ndarray:
    return np.concatenate(list(chunks(path, schema)))


@genuine
@pytest.mark.parametrize("path", sorted(GLBX.glob("*.dbn.zst")), ids=lambda path: path.name)
def test_a_genuine_file_is_read_as_databento_reads_it(path: Path) -> None:
    schema = dbn.read_header(path).schema
    for wanted in EVERY_SCHEMA if schema is None else [schema]:
        ours = read(path, wanted)
        assert ours == by_databento(path, wanted)
        assert schema is None or ours


@genuine
@pytest.mark.parametrize("path", sorted(GLBX.glob("*.dbn.zst")), ids=lambda path: path.name)
def test_a_genuine_header_is_read_as_databento_reads_it(path: Path) -> None:
    ours, theirs = dbn.read_header(path), store(path).metadata
    assert ours.version == theirs.version
    assert (ours.dataset, ours.schema, ours.start) == (theirs.dataset, theirs.schema, theirs.start)
    assert ours.end == (None if theirs.schema is None else theirs.end)
    assert ours.symbols == tuple(theirs.symbols)
    ours_flat = {(symbol, i.start, i.end, str(i.instrument_id)) for symbol, line in ours.mappings.items() for i in line}
    theirs_flat = {(symbol, i["start_date"], i["end_date"], i["symbol"]) for symbol, line in theirs.mappings.items() for i in line}
    assert ours_flat == {entry for entry in theirs_flat if entry[3]}  # without those that did not resolve
    assert set(ours.mappings) == {entry[0] for entry in theirs_flat}


@genuine
def test_there_are_genuine_files() -> None:
    assert len(list(GLBX.glob("*.dbn.zst"))) == 16


@genuine
def test_header_of_the_es_hour() -> None:
    head = dbn.read_header(ES_HOUR)
    assert (head.version, head.dataset, head.schema, head.start, head.end) == (3, "GLBX.MDP3", "mbp-10", START, END)
    assert head.symbols == ("ESH4",)
    assert set(head.symbols_on(dt.date(2023, 12, 25)).values()) == {"ESH4"}


@genuine
def test_counts_of_the_es_hour() -> None:
    book = rows(ES_HOUR, "mbp-10")
    assert len(book) == 40_038
    assert {letter: int((book["action"] == ord(letter)).sum()) for letter in "ACMT"} == {
        "A": 14_589,
        "C": 11_530,
        "M": 10_946,
        "T": 2_973,
    }
    prints = book[book["action"] == ord("T")]
    assert int((book["side"] == ord("N")).sum()) == 195  # records of any action; of the trades, the opening match alone
    assert prints["ts_event"][prints["side"] == ord("N")].tolist() == [OPEN]
    assert int(prints["size"].sum()) == 9_892
    assert (int(prints["price"].min()), int(prints["price"].max())) == (4_800_250_000_000, 4_811_750_000_000)
    assert set(rows(ES_HOUR, "mbp-10")["instrument_id"].tolist()) == set(dbn.read_header(ES_HOUR).symbols_on(dt.date(2023, 12, 25)))


@genuine
def test_the_es_hour_opens_with_a_snapshot_and_the_match_at_the_open() -> None:
    book = rows(ES_HOUR, "mbp-10")
    assert int((book["ts_event"] <= OPEN).sum()) == 149
    first = book[0]
    assert first["flags"] & dbn.F_SNAPSHOT
    assert int(first["ts_recv"]) == START
    assert int(first["ts_event"]) < START
    prints = book[book["action"] == ord("T")]
    assert int(prints["ts_event"].min()) == OPEN


@genuine
def test_after_the_open_no_book_is_crossed_and_at_the_open_only_the_match_shows_one() -> None:
    """Before the open the orders of the coming match stand crossed: 143 records."""
    book = rows(ES_HOUR, "mbp-10")
    bid, ask = book["levels"]["bid_px"][:, 0], book["levels"]["ask_px"][:, 0]
    crossed = (bid >= ask) & (bid != dbn.UNDEF_PRICE) & (ask != dbn.UNDEF_PRICE)
    time, action = book["ts_event"], book["action"]
    assert int((crossed & (time < OPEN)).sum()) == 143
    assert action[crossed & (time == OPEN)].tolist() == [ord("T")]
    assert not (crossed & (time > OPEN)).any()
    assert not ((bid == ask) & (bid != dbn.UNDEF_PRICE)).any()


@genuine
@pytest.mark.parametrize(("points", "turns", "crossings"), [(4_805, 28, 9), (4_810, 106, 49)])
def test_how_often_the_mid_turns_around_a_price(points: int, turns: int, crossings: int) -> None:
    """A turn is a change among below, at and above; a crossing goes from below to above or back, by way of at or not."""
    book = rows(ES_HOUR, "mbp-10")
    book = book[book["ts_event"] > OPEN]
    side = np.sign(book["levels"]["bid_px"][:, 0] + book["levels"]["ask_px"][:, 0] - 2 * points * 10**9)
    assert int(np.count_nonzero(np.diff(side))) == turns
    assert int(np.count_nonzero(np.diff(side[side != 0]))) == crossings


@genuine
def test_the_trades_file_holds_the_trades_of_the_book() -> None:
    prints, book = rows(ES_TRADES, "trades"), rows(ES_HOUR, "mbp-10")
    book = book[book["action"] == ord("T")]
    assert (len(prints), int(prints["size"].sum())) == (2_973, 9_892)
    for name in ("ts_event", "price", "size", "side"):
        assert prints[name].tolist() == book[name].tolist()


@genuine
def test_counts_of_the_genuine_minutes() -> None:
    prints, book = rows(TRADES, "trades"), rows(MBP1, "mbp-1")
    assert (len(prints), int(prints["size"].sum())) == (120, 253)
    assert len(book) == 2_288
    assert int((book["flags"] == 168).sum()) >= 1
    assert dbn.read_header(MBP1).version == 1


@genuine
@pytest.mark.parametrize("path", [ES_HOUR, MBP1], ids=["es hour", "minutes"])
def test_a_trade_shows_the_book_before_it(path: Path) -> None:
    book = rows(path, str(dbn.read_header(path).schema))
    names = list(book.dtype.names or ())
    levels = book["levels"] if "levels" in names else book[[name for name in names if name.endswith("_00")]]
    trades = [i for i in np.flatnonzero(book["action"] == ord("T")).tolist() if i]
    assert len(trades) > 100
    assert [i for i in trades if levels[i].tolist() != levels[i - 1].tolist()] == []


@genuine
@pytest.mark.parametrize("path", [ES_HOUR, ES_TRADES, MBP1, TRADES], ids=lambda path: path.name[:22])
def test_a_genuine_file_is_cut_by_the_time_of_receipt(path: Path) -> None:
    head = dbn.read_header(path)
    book = rows(path, str(head.schema))
    assert head.end is not None
    assert head.start <= int(book["ts_recv"].min())
    assert int(book["ts_recv"].max()) < head.end


@genuine
def test_a_weekly_option_expires_at_nine_in_the_evening_utc() -> None:
    option = rows(GLBX / "options_definition.dbn.zst", "definition")
    assert option["raw_symbol"].tolist() == [b"EW2F6 C7000"]
    assert option["expiration"].tolist() == [1_767_992_400_000_000_000]  # 2026-01-09 21:00 UTC
    assert option["strike_price"].tolist() == [7_000_000_000_000]
    assert option["instrument_class"].tolist() == [ord("C")]
    assert option["security_type"].tolist() == [b"OOF"]


@genuine
def test_the_live_stream_holds_what_it_is_known_to_hold() -> None:
    counts = {schema: sum(len(chunk) for chunk in chunks(LIVE, schema, 1)) for schema in EVERY_SCHEMA}
    assert counts == {
        "mbp-10": 2,
        "mbp-1": 2,
        "trades": 2,
        "tbbo": 2,  # its records are mbp-1's
        "bbo-1s": 0,
        "bbo-1m": 0,
        "definition": 2,
        "statistics": 9,
    }
    assert len(naive_dbn_records(LIVE)) == 46
    assert len(naive_dbn_records(LIVE, 22)) == 20


@genuine
def test_the_live_stream_names_its_instruments_as_databento_does() -> None:
    theirs = {r.instrument_id: r.stype_out_symbol for r in store(LIVE) if isinstance(r, databento_dbn.SymbolMappingMsg)}
    assert dbn.live_symbols(LIVE) == theirs
    assert theirs
