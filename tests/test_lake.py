"""The lake: what is written reads back, and a crash, a second writer or damage leaves a whole partition or is told.

Values come back to a reader by `arrays`, by plain pyarrow and by DuckDB; what they ought to be is said here, not computed.
"""

import datetime as dt
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spymaster_assets import dbn
from spymaster_assets import lake as lake_module
from spymaster_assets.catalog import connect
from spymaster_assets.columnar import to_arrow
from spymaster_assets.config import Config
from spymaster_assets.fingerprint import Fingerprint, Manifest
from spymaster_assets.lake import MANIFEST, Lake, LakeError
from spymaster_assets.schema import Column
from spymaster_assets.tables import FUTURES_MBP10, FUTURES_TRADES, UNDEF_PRICE
from tests.build import DATE, EVE, books, times, trades
from tests.kinds import (
    ALL_KINDS,
    LETTERS,
    NEW,
    OLD,
    OTHER,
    PRINT,
    ROW,
    SMALL,
    Row,
    columns_of,
    publish,
    quick,
    read,
    rows_of_all_kinds,
    with_,
)

# ------------------------------------------------------------------------------------------------------ rows, in and out


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "it's a lake", SMALL)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake that many examples write over."""
    return Lake(tmp_path_factory.mktemp("scratch"), SMALL)


@quick
@given(st.lists(rows_of_all_kinds, max_size=50), st.lists(st.integers(0, 50), max_size=4))
def test_every_kind_of_column_reads_back_as_it_was_written(scratch: Lake, rows: list[Row], cuts: list[int]) -> None:
    manifest = publish(scratch, rows, sorted(min(cut, len(rows)) for cut in cuts))
    assert manifest.rows == len(rows)
    assert read(scratch) == rows
    columns, _ = columns_of(rows)
    found = scratch.arrays(ALL_KINDS, DATE)
    assert list(found) == list(ALL_KINDS.names)
    for column in ALL_KINDS.columns:
        expected = columns[column.name]
        assert found[column.name].dtype == expected.dtype
        np.testing.assert_array_equal(found[column.name], expected)
    assert scratch.verify(ALL_KINDS, DATE) is None


def test_chosen_columns_come_alone(lake: Lake) -> None:
    publish(lake, [ROW, ROW])
    found = lake.arrays(ALL_KINDS, DATE, ["side", "number"])
    assert {name: values.tolist() for name, values in found.items()} == {"side": [65, 65], "number": [7, 7]}


def test_rows_of_chosen_columns_have_their_fields_alone(lake: Lake) -> None:
    publish(lake, [ROW, ROW])
    whole, some = lake.rows(ALL_KINDS, DATE), lake.rows(ALL_KINDS, DATE, ["side", "number"])
    assert some.dtype.names == tuple(name for name in whole.dtype.names or () if name in ("side", "number"))
    assert all(some[name].tolist() == whole[name].tolist() for name in ("side", "number")) and some["number"].tolist() == [7, 7]


def test_a_date_that_is_not_published_is_an_error_that_says_so(lake: Lake) -> None:
    assert (lake.manifest(ALL_KINDS, DATE), lake.verify(ALL_KINDS, DATE), lake.dates(ALL_KINDS)) == (None, "no manifest", [])
    with pytest.raises(LakeError, match=f"date={DATE}: expected a published partition of kinds"):
        lake.arrays(ALL_KINDS, DATE)


# ------------------------------------------------------------------------------------------------------------------ codes


def test_a_letter_that_is_not_declared_is_refused_and_leaves_nothing(lake: Lake) -> None:
    columns, null = columns_of([ROW] * 20)
    columns["side"][17] = ord("X")
    with pytest.raises(ValueError, match="column side: 'X' is not one of A, B, N"), lake.write(ALL_KINDS, DATE, PRINT) as writer:
        writer.append(*columns_of([ROW] * 20))
        writer.append(columns, null)
    assert lake.leftovers(ALL_KINDS, DATE) == []
    assert lake.dates(ALL_KINDS) == []


def test_columns_of_one_name_keep_their_own_letters() -> None:
    """`side` of a level need not have the letters of `side` of a trade."""
    first = Column("side", "u1", "code", "", codes=LETTERS)
    second = Column("side", "u1", "code", "", codes={"D": "down", "U": "up"})
    assert to_arrow(first, np.frombuffer(b"AB", np.uint8)).to_pylist() == ["A", "B"]
    assert to_arrow(second, np.frombuffer(b"UD", np.uint8)).to_pylist() == ["U", "D"]


def test_an_unknown_value_in_a_column_without_unknowns_is_refused(lake: Lake) -> None:
    columns, null = columns_of([ROW])
    with pytest.raises(pa.ArrowException), lake.write(ALL_KINDS, DATE, PRINT) as writer:
        writer.append(columns, {**null, "number": np.array([True])})
        writer.publish({})
    assert (lake.leftovers(ALL_KINDS, DATE), lake.dates(ALL_KINDS)) == ([], [])


def test_a_column_that_is_missing_or_too_short_is_refused(lake: Lake) -> None:
    columns, null = columns_of([ROW, ROW])
    for wrong in ({n: c for n, c in columns.items() if n != "price"}, {**columns, "price": columns["price"][:1]}):
        with pytest.raises((KeyError, ValueError)), lake.write(ALL_KINDS, DATE, PRINT) as writer:
            writer.append(wrong, null)
    assert (lake.leftovers(ALL_KINDS, DATE), lake.dates(ALL_KINDS)) == ([], [])


# ---------------------------------------------------------------------------------------------------------------- crashes


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the writer's own cleaning up happens after it."""


def crash(lake: Lake, monkeypatch: pytest.MonkeyPatch, step: int) -> bool:
    """Write NEW over what is there and die before the `step`-th row group, fsync or rename, with everything left as it lies
    then; False if the writer has no so many steps and lives."""
    steps = iter(range(step, -1, -1))

    def dying(function: Callable[..., Any]) -> Callable[..., Any]:
        def step_or_die(*args: Any, **kwargs: Any) -> Any:
            if next(steps) == 0:
                raise Killed
            return function(*args, **kwargs)

        return step_or_die

    with monkeypatch.context() as patch:
        patch.setattr(lake_module.PartitionWriter, "abandon", lambda self: None)
        patch.setattr(Lake, "_sweep", lambda *_: None)
        patch.setattr(lake_module.PartitionWriter, "_flush", dying(lake_module.PartitionWriter._flush))
        patch.setattr("os.fsync", dying(os.fsync))
        patch.setattr(Path, "replace", dying(Path.replace))
        try:
            publish(lake, NEW, fingerprint=OTHER)
        except Killed:
            return True
        return False


@pytest.mark.parametrize("before", [None, OLD], ids=["nothing there", "older partition there"])
def test_a_crash_at_any_step_leaves_the_old_partition_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: list[Row] | None
) -> None:
    seen = []
    killed = True
    while killed:
        lake = Lake(tmp_path / f"step{len(seen)}", SMALL)
        lake.root.mkdir()
        lake.name()  # which the first write of all does
        if before is not None:
            publish(lake, before)
        killed = crash(lake, monkeypatch, len(seen))
        there = lake.manifest(ALL_KINDS, DATE)
        if there is None:
            assert lake.dates(ALL_KINDS) == []
        else:
            assert lake.verify(ALL_KINDS, DATE) is None
            assert lake.current(ALL_KINDS, DATE, there.fingerprint) == there
        seen.append(None if there is None else read(lake))
        if seen[-1] != NEW:
            assert lake.leftovers(ALL_KINDS, DATE) != []
        publish(lake, NEW, fingerprint=OTHER)
        assert read(lake) == NEW
        assert lake.verify(ALL_KINDS, DATE) is None
        assert lake.leftovers(ALL_KINDS, DATE) == []
    turn = seen.index(NEW)
    assert seen == [before] * turn + [NEW] * (len(seen) - turn)
    assert turn >= 7  # three row groups, the data's fsync and rename, the manifest's fsync and rename


def test_leftovers_name_the_debris(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(lake, OLD)
    assert crash(lake, monkeypatch, 2)
    assert [path.name for path in lake.leftovers(ALL_KINDS, DATE)] == [f".{OTHER.key}.tmp"]
    assert crash(lake, monkeypatch, 5)
    assert f"{OTHER.key}.parquet" in [path.name for path in lake.leftovers(ALL_KINDS, DATE)]


def test_a_writer_that_does_not_publish_leaves_what_was_there(lake: Lake) -> None:
    publish(lake, OLD)
    with lake.write(ALL_KINDS, DATE, OTHER) as writer:
        writer.append(*columns_of(NEW))
    assert (read(lake), lake.leftovers(ALL_KINDS, DATE)) == (OLD, [])


def test_a_new_partition_replaces_the_old_file(lake: Lake) -> None:
    publish(lake, OLD)
    publish(lake, NEW, fingerprint=OTHER)
    assert (read(lake), lake.leftovers(ALL_KINDS, DATE)) == (NEW, [])


def test_the_same_data_give_the_same_manifest_wherever_and_whenever(tmp_path: Path) -> None:
    texts = set()
    for name in ("one", "two"):
        lake = Lake(tmp_path / name, SMALL)
        publish(lake, NEW, [7])
        texts.add((lake.folder(ALL_KINDS, DATE) / MANIFEST).read_bytes())
    assert len(texts) == 1


def test_a_reader_overtaken_by_a_writer_sees_the_old_partition_or_the_new(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer publishes between the reader's look at the manifest and its opening of the file."""
    publish(lake, OLD)
    opened = pq.ParquetFile
    waiting = [lambda: publish(lake, NEW, fingerprint=OTHER)]

    def overtaken(*args: Any, **kwargs: Any) -> pq.ParquetFile:
        if waiting:
            waiting.pop()()
        return opened(*args, **kwargs)

    monkeypatch.setattr(pq, "ParquetFile", overtaken)
    assert len(lake.arrays(ALL_KINDS, DATE)["number"]) in (len(OLD), len(NEW))


def _write_often(root: Path, number: int, start: Any) -> None:
    lake = Lake(root, SMALL)
    start.wait(30)
    for turn in range(6):
        rows = [with_(ROW, number=number, step=turn)] * (40 + number)
        publish(lake, rows, [13], fingerprint=Fingerprint({"writer": f"{number}-{turn}"}, "", "", ""))


def test_two_writers_of_one_partition_both_finish_and_leave_one_whole_partition(lake: Lake) -> None:
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    writers = [context.Process(target=_write_often, args=(lake.root, number, start)) for number in (1, 2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert lake.verify(ALL_KINDS, DATE) is None
    assert lake.leftovers(ALL_KINDS, DATE) == []
    rows = read(lake)
    assert rows[0][2] in (1, 2)
    assert rows == [with_(ROW, number=rows[0][2], step=5)] * (40 + rows[0][2])


# ----------------------------------------------------------------------------------------------------------------- damage


def damaged(lake: Lake, change: Callable[[bytes], bytes]) -> str | None:
    file = lake.path(ALL_KINDS, DATE)
    file.write_bytes(change(file.read_bytes()))
    return lake.verify(ALL_KINDS, DATE)


def test_a_flipped_byte_in_a_page_is_caught_by_its_checksum(lake: Lake) -> None:
    publish(lake, NEW)
    with pq.ParquetFile(lake.path(ALL_KINDS, DATE)) as file:
        page = file.metadata.row_group(1).column(0)
    end = page.data_page_offset + page.total_compressed_size - 1  # a column without a dictionary: its one page ends here
    found = damaged(lake, lambda raw: raw[:end] + bytes([raw[end] ^ 1]) + raw[end + 1 :])
    assert found is not None
    assert "CRC" in found or "checksum" in found.lower()


def test_no_flipped_byte_gives_other_values_unnoticed(lake: Lake) -> None:
    """Every fifth byte of the file, header to footer: what verifies reads as it was written."""
    publish(lake, OLD)
    file = lake.path(ALL_KINDS, DATE)
    raw = file.read_bytes()
    expected = lake.arrays(ALL_KINDS, DATE)
    for at in range(0, len(raw), 5):
        file.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
        if lake.verify(ALL_KINDS, DATE) is None:
            found = lake.arrays(ALL_KINDS, DATE)
            assert {n: v.tolist() for n, v in found.items()} == {n: v.tolist() for n, v in expected.items()}, f"byte {at}"


@pytest.mark.parametrize("left", [0, 3, 100, -1])
def test_a_truncated_file_is_caught(lake: Lake, left: int) -> None:
    publish(lake, NEW)
    assert damaged(lake, lambda raw: raw[:left]) is not None
    assert lake.current(ALL_KINDS, DATE, PRINT) is None


def test_a_missing_file_is_caught(lake: Lake) -> None:
    publish(lake, NEW)
    lake.path(ALL_KINDS, DATE).unlink()
    assert lake.verify(ALL_KINDS, DATE) is not None
    assert lake.current(ALL_KINDS, DATE, PRINT) is None


def test_a_file_of_another_date_is_caught(lake: Lake) -> None:
    publish(lake, NEW)
    publish(lake, [with_(row, price=1) for row in NEW], date=EVE)
    shutil.copyfile(lake.path(ALL_KINDS, EVE), lake.path(ALL_KINDS, DATE))
    assert "expected content" in (lake.verify(ALL_KINDS, DATE) or "")


def test_a_whole_partition_of_another_date_is_caught(lake: Lake) -> None:
    publish(lake, NEW, date=EVE)
    shutil.copytree(lake.folder(ALL_KINDS, EVE), lake.folder(ALL_KINDS, DATE))
    assert lake.verify(ALL_KINDS, DATE) is not None


@pytest.mark.parametrize("change", [{"rows": 41}, {"content": "0" * 32}, {"file": "other.parquet"}, {"size": 7}])
def test_a_changed_manifest_is_caught(lake: Lake, change: dict[str, Any]) -> None:
    publish(lake, NEW)
    path = lake.folder(ALL_KINDS, DATE) / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert lake.verify(ALL_KINDS, DATE) is not None


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", "null", '{"rows": 1, "more": 2}', "\xff"])
def test_a_manifest_that_is_none_is_an_error_that_names_it(lake: Lake, text: str) -> None:
    publish(lake, NEW)
    path = lake.folder(ALL_KINDS, DATE) / MANIFEST
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(LakeError, match=f"{MANIFEST}: expected a manifest"):
        lake.manifest(ALL_KINDS, DATE)


# ---------------------------------------------------------------------------------------------------- DuckDB and Parquet


def test_duckdb_sees_every_published_date_with_its_date(lake: Lake) -> None:
    for date, count in ((EVE, 5), (DATE, 20)):
        rows = trades(times(count))
        with lake.write(FUTURES_TRADES, date, PRINT) as writer:
            writer.append({**dbn.columns(rows, FUTURES_TRADES.names), "symbol": pa.array(["ESM5", *[None] * (count - 1)])})
            writer.publish({})
    con = connect(lake)
    views = con.execute("select view_name from duckdb_views() where not internal").fetchall()
    assert views == [("bronze_futures_trades",)]
    per_date = "select date, count(*), count(symbol), min(action) from bronze_futures_trades group by 1 order by 1"
    assert con.execute(per_date).fetchall() == [(EVE, 5, 1, "T"), (DATE, 20, 1, "T")]
    names = [row[0] for row in con.execute("describe bronze_futures_trades").fetchall()]
    assert names == [*FUTURES_TRADES.names, "date"]
    sequence = con.execute(f"select sequence from bronze_futures_trades where date = '{DATE}' order by all").fetchall()
    assert [row[0] for row in sequence] == list(range(1, 21))


def append_books(root: Path, cuts: Sequence[int], count: int) -> tuple[Lake, Manifest]:
    lake = Lake(root, Config())
    columns = dbn.columns(books(times(count, step=10_000_000)), FUTURES_MBP10.names)
    with lake.write(FUTURES_MBP10, DATE, PRINT) as writer:
        for start, end in zip([0, *cuts], [*cuts, count], strict=True):
            writer.append({name: values[start:end] for name, values in columns.items()})
        return lake, writer.publish({})


@pytest.mark.parametrize("cuts", [[], [1, 131_072], [100_000, 200_000]], ids=["at once", "at the border", "anywhere"])
def test_the_book_lies_in_parquet_as_measured_best(tmp_path: Path, cuts: list[int]) -> None:
    """zstd, row groups of 131,072 however the rows came, rising columns as differences, prices as they are,
    sizes and counts byte by byte, codes through dictionaries."""
    count = 2 * 131_072 + 5
    lake, manifest = append_books(tmp_path, cuts, count)
    with pq.ParquetFile(lake.path(FUTURES_MBP10, DATE)) as file:
        facts = file.metadata
        groups = [facts.row_group(i) for i in range(facts.num_row_groups)]
        assert [group.num_rows for group in groups] == [131_072, 131_072, 5]
        for group in groups:
            for column in map(group.column, range(group.num_columns)):
                name = column.path_in_schema
                assert column.compression == "ZSTD"
                rising, price = name in {"ts_event", "ts_recv", "sequence"}, "price" in name or "_px_" in name
                wide = name == "ts_in_delta" or (column.physical_type == "INT32" and ("_sz_" in name or "_ct_" in name))
                expected = "DELTA_BINARY_PACKED" if rising else "PLAIN" if price else "BYTE_STREAM_SPLIT" if wide else None
                if expected:
                    assert expected in column.encodings and not column.has_dictionary_page, name
                else:
                    assert column.has_dictionary_page == (name not in {"size", "instrument_id"}), name
        assert file.schema_arrow.equals(FUTURES_MBP10.schema)
        assert file.schema_arrow.field("price").metadata[b"unknown"] == str(UNDEF_PRICE).encode()
    assert manifest.rows == count


def test_the_file_is_the_same_bytes_however_the_rows_came(tmp_path: Path) -> None:
    files = [append_books(tmp_path / str(i), cuts, 140_000) for i, cuts in enumerate(([], [131_072], [1, 139_999]))]
    assert len({lake.path(FUTURES_MBP10, DATE).read_bytes() for lake, _ in files}) == 1


@pytest.mark.parametrize("name", ["it's", "symbol=NQ", "date=2020-01-01", "l[1]", "wh?t", "a*"])
def test_a_folders_name_means_nothing_to_sql(tmp_path: Path, name: str) -> None:
    lake = Lake(tmp_path / name, Config())
    with lake.write(FUTURES_TRADES, dt.date(2025, 6, 3), Fingerprint({}, "", "", "")) as writer:
        rows = trades(times(3))
        writer.append({**dbn.columns(rows, FUTURES_TRADES.names), "symbol": pa.array(["ESM5"] * 3)})
        writer.publish({})
    found = connect(lake).execute("select count(*), min(symbol), min(date) from bronze_futures_trades").fetchone()
    assert found == (3, "ESM5", dt.date(2025, 6, 3))
