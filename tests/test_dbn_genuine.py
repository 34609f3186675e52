"""Genuine DBN files, read when SPYMASTER_REAL_DATA names their folder: as databento reads them, and what is known of them."""

import datetime as dt
import os
from functools import cache
from pathlib import Path

import databento_dbn
import numpy as np
import pytest

from spymaster_assets import dbn
from tests.dbn_files import END, EVERY_SCHEMA, START, by_databento, chunks, read, store
from tests.naive import naive_dbn_records

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
