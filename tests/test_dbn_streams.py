"""Live streams in DBN, which hold records of every schema and of types that we do not know."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spymaster_assets import dbn
from tests.dbn_files import (
    EVERY_SCHEMA,
    START,
    VERSIONED,
    by_databento,
    chunk_sizes,
    error_of,
    frame,
    header,
    live_stream,
    mapping,
    naive,
    older_records,
    put,
    quick,
    read,
    read_until_error,
    records_of,
    seeds,
    write,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dbn")


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
