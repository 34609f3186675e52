"""DBN files that are cut, changed, or not what they are said to be: refused at the byte, never read as if nothing were wrong."""

import struct
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from spymaster_assets import dbn
from spymaster_assets.dbn import DbnError
from tests.dbn_files import EVERY_SCHEMA, SIZES, error_of, frame, header, put, read, read_until_error, records_of, skippable, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dbn")


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
