"""A live stream in pieces of any size, against the reader of DBN files, and what the gateway says in it."""

from pathlib import Path

import databento_dbn as databento
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spymaster_assets import dbn
from spymaster_live.split import HEARTBEAT, REPLAY_COMPLETED, UNTOLD, Damaged, Piece, Splitter
from tests.dbn_files import EVERY_SCHEMA, header, live_stream, records_of

quick = settings(max_examples=40, deadline=None, derandomize=True, database=None)
sizes = st.lists(st.integers(1, 3000), min_size=1, max_size=4)


def pieces(plain: bytes, cuts: list[int]) -> list[Piece]:
    """A stream as it comes: in bites of these sizes, in turn."""
    splitter, found, at, number = Splitter(), [], 0, 0
    while at < len(plain):
        size = cuts[number % len(cuts)]
        found.append(splitter.take(plain[at : at + size]))
        at, number = at + size, number + 1
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("split")


@quick
@given(st.integers(0, 2**20), st.integers(0, 60), st.sampled_from([1, 2, 3]), sizes)
def test_the_records_of_each_type_are_those_of_the_reader_of_files(
    folder: Path, seed: int, count: int, version: int, cuts: list[int]
) -> None:
    plain = live_stream(seed, count, version)
    path = folder / "live.dbn"
    path.write_bytes(plain)
    found = pieces(plain, cuts)
    for schema in EVERY_SCHEMA:
        layout = dbn.SCHEMAS[schema]
        assert b"".join(piece.records(layout)[1].tobytes() for piece in found) == b"".join(
            chunk.tobytes() for chunk in dbn.read(path, schema)
        )
    assert sum(len(piece) for piece in found) == count


def test_places_are_those_of_arrival() -> None:
    parts = [records_of("trades", 2), records_of("mbp-10", 1), records_of("trades", 1, 7)]
    [piece] = [one for one in pieces(header(None) + b"".join(part.tobytes() for part in parts), [1 << 20]) if len(one)]
    assert piece.records(dbn.SCHEMAS["trades"])[0].tolist() == [0, 1, 3]
    assert piece.records(dbn.SCHEMAS["mbp-10"])[0].tolist() == [2]


def test_what_the_gateway_says_in_every_version() -> None:
    said = [
        databento.SystemMsg(5, "Finished trades replay", code=databento.SystemCode.REPLAY_COMPLETED),
        databento.ErrorMsg(6, "no licence", code=databento.ErrorCode.INVALID_SUBSCRIPTION),
    ]
    [piece] = [one for one in pieces(header(None) + b"".join(map(bytes, said)), [1 << 20]) if len(one)]
    assert [(one.ts, one.code, one.words) for one in piece.told()] == [
        (5, REPLAY_COMPLETED, "Finished trades replay"),
        (6, 5, "no licence"),
    ]
    old = [databento.v1.SystemMsg(5, "Heartbeat"), databento.v1.ErrorMsg(6, "no licence")]
    [piece] = [one for one in pieces(header(None, version=1) + b"".join(map(bytes, old)), [1 << 20]) if len(one)]
    assert [(one.ts, one.code, one.words) for one in piece.told()] == [(5, HEARTBEAT, "Heartbeat"), (6, UNTOLD, "no licence")]


@pytest.mark.parametrize(("data", "words"), [(b"HTTP/1.1 400", "expected the DBN header"), (bytes(12), "expected the DBN header")])
def test_what_is_no_dbn_is_told(data: bytes, words: str) -> None:
    with pytest.raises(Damaged, match=words):
        Splitter().take(data)


def test_a_record_without_a_length_is_told_where_it_stands() -> None:
    head, records = header(None), records_of("trades", 3)
    records["length"][1] = 2
    with pytest.raises(Damaged, match=f"at byte {len(head) + 48:,} of the stream: expected a record with a length, found 8 bytes"):
        Splitter().take(head + records.tobytes())


def test_a_send_time_is_refused() -> None:
    with pytest.raises(Damaged, match="ts_out off"):
        Splitter().take(header(None, ts_out=True))
