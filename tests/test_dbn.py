"""DBN files against two other readers, databento's own decoder and a naive twin: what is written is read, in every version."""

import datetime as dt
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import databento_dbn
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spymaster_assets import dbn
from spymaster_assets.dbn import SCHEMAS, Interval, Writer
from tests.dbn_files import (
    END,
    EVERY_SCHEMA,
    RTYPES,
    SIZES,
    START,
    VERSIONED,
    by_databento,
    chunk_sizes,
    chunks,
    error_of,
    frame,
    header,
    naive,
    naive_plain,
    older_records,
    put,
    quick,
    read,
    records_of,
    seeds,
    skippable,
    store,
    write,
)
from tests.naive import naive_dbn_records

DAY1, DAY2, DAY3 = (dt.date(2023, 12, 24 + i) for i in range(3))


# ----------------------------------------------------------------------------------------------------- making and reading


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dbn")


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
