"""Every check passes on sound data and fails on its own defect; the list of defects covers the list of checks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spymaster_assets import dbn
from spymaster_assets.contract import choose
from spymaster_assets.ingest import Intake, ingest_date
from spymaster_assets.lake import MANIFEST
from spymaster_assets.quality import CHECKS, Outcome, examine
from spymaster_assets.sessions import DAY, calendar, utc_midnight
from spymaster_assets.tables import BRONZE, FUTURES_TRADES
from tests import build
from tests.build import CONFIG, DATE, EVE, FRONT, NEXT, SECOND, SESSION, lake_at, landing_at

TABLE = {table.name: table for table in BRONZE}
REGULAR = SESSION.regular


def regular_book(step: int = 30 * SECOND) -> np.ndarray:
    """A book with a record at least every 30 s of the regular session, and trades in it."""
    when = build.times((REGULAR.end - REGULAR.start) // step, REGULAR.start + SECOND, step)
    return build.books(when, first_sequence=100_000)


def sound(root: Path, change: Callable[[np.ndarray], np.ndarray] | None = None) -> None:
    """Landing of DATE with both UTC days, trades of the date before, definitions and options; `change` spoils the book."""
    landing = root / "landing"
    prints = build.trades(build.times(50, REGULAR.start + 5 * SECOND, 60 * SECOND))
    book = np.concatenate([regular_book(), build.trade_books(prints)])
    book = book[np.argsort(book["ts_recv"], kind="stable")]
    evening = build.books(build.times(20), first_sequence=1)
    earlier = build.trades(build.times(10, utc_midnight(EVE) + 15 * 3600 * SECOND))
    option = "E1BM5 C6000"
    names = [FRONT, NEXT, option]
    for day, rows, sold in ((EVE, evening, earlier), (DATE, book if change is None else change(book), prints)):
        build.write(landing, f"book-{day}.dbn.zst", "mbp-10", rows, day, symbols=[FRONT, NEXT])
        build.write(landing, f"trades-{day}.dbn.zst", "trades", sold, day, symbols=[FRONT, NEXT])
        build.write(landing, f"def-{day}.dbn.zst", "definition", build.definitions(names, day), day, symbols=names)
        bought = build.trades(build.times(3, max(utc_midnight(day), SESSION.globex.start) + SECOND), option)
        build.write(landing, f"opt-{day}.dbn.zst", "trades", bought, day, symbols=[option])
        quotes = np.zeros(2, dbn.MBP1)
        quotes["length"], quotes["rtype"], quotes["instrument_id"] = 20, 1, build.IDS[option]
        quotes["ts_event"] = quotes["ts_recv"] = build.times(2, max(utc_midnight(day), SESSION.globex.start) + SECOND)
        quotes["action"], quotes["side"] = ord("T"), ord("B")
        build.write(landing, f"tbbo-{day}.dbn.zst", "tbbo", quotes, day, symbols=[option])
        stat = np.zeros(1, dbn.STATISTICS)
        stat["length"], stat["rtype"], stat["instrument_id"] = dbn.STATISTICS.itemsize // 4, 24, build.IDS[option]
        stat["ts_event"] = stat["ts_recv"] = max(utc_midnight(day), SESSION.globex.start) + SECOND
        build.write(landing, f"stat-{day}.dbn.zst", "statistics", stat, day, symbols=[option])


def published(root: Path) -> None:
    lake = lake_at(root)
    Intake(EVE, lake, landing_at(root)).ingest(FUTURES_TRADES)
    ingest_date(Intake(DATE, lake, landing_at(root)))


def measured(root: Path, table: str, check: str) -> Outcome:
    return examine(lake_at(root), TABLE[table], DATE)[check]


def set_field(name: str, value: int, share: float = 0.5) -> Callable[[np.ndarray], np.ndarray]:
    """A defect: a field of the later part of the book is wrong."""

    def change(book: np.ndarray) -> np.ndarray:
        book[name][int(len(book) * (1 - share)) :] = value
        return book

    return change


def crossed(book: np.ndarray) -> np.ndarray:
    book["levels"][::20, 0] = np.array((build.PX, build.PX - build.TICK, 1, 1, 1, 1), dbn.LEVEL)
    return book


def hole(book: np.ndarray) -> np.ndarray:
    noon = REGULAR.start + 2 * 3600 * SECOND
    return book[(book["ts_event"] < noon) | (book["ts_event"] > noon + 90 * SECOND)]


def swapped(book: np.ndarray) -> np.ndarray:
    """Two blocks exchanged, as when files are joined in the wrong order."""
    return np.concatenate([book[len(book) // 2 :], book[: len(book) // 2]])


def without_a_trade(book: np.ndarray) -> np.ndarray:
    return np.delete(book, np.flatnonzero(book["action"] == ord("T"))[7])


def spoil_book(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        sound(root, change)
        published(root)

    return spoil


def spoil_manifest(table: str, old: str, new: str) -> Callable[[Path], None]:
    """What a defective maker would have written."""

    def spoil(root: Path) -> None:
        sound(root)
        published(root)
        path = lake_at(root).folder(TABLE[table], DATE) / MANIFEST
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return spoil


def spoil_file(table: str, change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    """The stored file is exchanged for another."""

    def spoil(root: Path) -> None:
        sound(root)
        published(root)
        path = lake_at(root).path(TABLE[table], DATE)
        pq.write_table(change(pq.read_table(path, partitioning=None)), path)

    return spoil


def one_instrument_more(root: Path) -> None:
    """Two numbers for one symbol on one day: the second file's header maps ESM5 to 777."""
    sound(root)
    extra = build.books(build.times(5, REGULAR.start + 7 * SECOND))
    extra["instrument_id"] = 777
    path = root / "landing" / "more.dbn.zst"
    maps = {FRONT: [dbn.Interval(DATE, DATE + DAY, 777)]}
    start, end = utc_midnight(DATE), utc_midnight(DATE + DAY)
    with dbn.Writer(path, "mbp-10", dataset="GLBX.MDP3", start=start, end=end, symbols=[FRONT], mappings=maps) as writer:
        writer.write(extra)
    published(root)


def drop_day(name: str) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        sound(root)
        (root / "landing" / f"{name}-{EVE}.dbn.zst").unlink()
        published(root)

    return spoil


def spoil_trades(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        sound(root)
        prints = build.trades(build.times(50, REGULAR.start + 5 * SECOND, 60 * SECOND))
        build.write(root / "landing", f"trades-{DATE}.dbn.zst", "trades", change(prints), DATE, symbols=[FRONT, NEXT])
        published(root)

    return spoil


def split_volume(root: Path) -> None:
    """Half of the earlier date's lots are in the next contract."""
    sound(root)
    when = build.times(20, utc_midnight(EVE) + 15 * 3600 * SECOND)
    earlier = np.concatenate([build.trades(when[:11]), build.trades(when[11:], NEXT)])
    build.write(root / "landing", f"trades-{EVE}.dbn.zst", "trades", earlier, EVE, symbols=[FRONT, NEXT])
    published(root)


def unnamed_option(root: Path) -> None:
    sound(root)
    for kind, schema, dtype, rtype in (
        ("opt", "trades", dbn.TRADE, 0),
        ("tbbo", "tbbo", dbn.MBP1, 1),
        ("stat", "statistics", dbn.STATISTICS, 24),
    ):
        rows = np.zeros(1, dtype)
        rows["length"], rows["rtype"], rows["instrument_id"] = dtype.itemsize // 4, rtype, 999
        rows["ts_event"] = rows["ts_recv"] = utc_midnight(DATE) + SECOND
        if "action" in dtype.names:
            rows["action"], rows["side"] = ord("T"), ord("B")
        build.write(root / "landing", f"{kind}-{DATE}.dbn.zst", schema, rows, DATE, symbols=["E1BM5 C6000"])
    published(root)


LANDING_NAME = dict(zip(TABLE, ("def", "trades", "book", "opt", "tbbo", "stat"), strict=True))


def contradiction(root: Path) -> None:
    """A corrected book downloaded beside the first: same hours, other records."""
    sound(root)
    again = regular_book()[100:200]
    again["size"] += 1
    start, end = int(again["ts_recv"][0]), int(again["ts_recv"][-1]) + 1
    build.write(root / "landing", "again.dbn.zst", "mbp-10", again, DATE, start=start, end=end)
    published(root)


def adjoining_twice(name: str, schema: str) -> Callable[[Path], None]:
    """The same records again in a file that claims a later hour."""

    def spoil(root: Path) -> None:
        sound(root)
        records = np.concatenate([chunk.copy() for chunk in dbn.read(root / "landing" / f"{name}-{EVE}.dbn.zst", schema)])
        build.write(root / "landing", f"{name}-z.dbn.zst", schema, np.concatenate([records, records]), EVE, symbols=["E1BM5 C6000"])
        (root / "landing" / f"{name}-{EVE}.dbn.zst").unlink()
        published(root)

    return spoil


DEFECTS: dict[tuple[str, str], Callable[[Path], None]] = {
    **{(name, "coverage"): drop_day(file) for name, file in LANDING_NAME.items()},
    **{(name, "accounted"): spoil_manifest(name, '"kept": ', '"kept": 1') for name in TABLE},
    **{(name, "schema"): spoil_file(name, lambda stored: stored.slice(1)) for name in TABLE},
    **{(name, "symbols"): unnamed_option for name in ("option_trades", "option_quotes", "option_statistics")},
    ("futures_trades", "symbols"): spoil_file(
        "futures_trades", lambda stored: stored.set_column(12, "symbol", pa.array(["ESM5-ESU5"] * len(stored)).dictionary_encode())
    ),
    ("futures_trades", "order"): spoil_trades(swapped),
    ("futures_trades", "flags"): spoil_trades(set_field("flags", 8)),
    ("option_trades", "order"): adjoining_twice("opt", "trades"),
    ("option_quotes", "order"): adjoining_twice("tbbo", "tbbo"),
    ("option_statistics", "order"): spoil_file("option_statistics", lambda stored: stored.take([1, 0])),
    ("futures_mbp10", "agreement"): contradiction,
    ("futures_mbp10", "order"): spoil_book(swapped),
    ("futures_mbp10", "flags"): spoil_book(set_field("flags", 130 | dbn.F_MAYBE_BAD_BOOK)),
    ("futures_mbp10", "gaps"): spoil_book(hole),
    ("futures_mbp10", "crossed"): spoil_book(crossed),
    ("futures_mbp10", "reconciliation"): spoil_book(without_a_trade),
    ("futures_mbp10", "purity"): one_instrument_more,
    ("futures_mbp10", "contract"): split_volume,
}


@pytest.fixture(scope="module")
def sound_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sound")
    sound(root)
    published(root)
    return root


def test_every_check_has_a_defect() -> None:
    assert set(DEFECTS) == {(check.table.name, check.name) for check in CHECKS}


@pytest.mark.parametrize(("table", "check"), sorted(DEFECTS), ids="/".join)
def test_check_passes_on_sound_data(sound_root: Path, table: str, check: str) -> None:
    outcome = measured(sound_root, table, check)
    assert outcome.passed, (dict(outcome.measured), outcome.message)


@pytest.mark.parametrize(("table", "check"), sorted(DEFECTS), ids="/".join)
def test_check_fails_on_its_defect(tmp_path: Path, table: str, check: str) -> None:
    DEFECTS[table, check](tmp_path)
    outcome = measured(tmp_path, table, check)
    assert not outcome.passed, dict(outcome.measured)
    assert outcome.message


def test_a_value_out_of_its_range_fails_the_schema_check(tmp_path: Path) -> None:
    sound(tmp_path, set_field("depth", 10))
    published(tmp_path)
    outcome = measured(tmp_path, "futures_mbp10", "schema")
    assert not outcome.passed
    assert outcome.measured["values_out_of_range"] > 0


def test_a_missing_trades_file_is_said_not_passed(tmp_path: Path) -> None:
    sound(tmp_path)
    for day in (EVE, DATE):
        (tmp_path / "landing" / f"trades-{day}.dbn.zst").unlink()
    published(tmp_path)
    assert measured(tmp_path, "futures_mbp10", "reconciliation").message == f"no trades of {FRONT} to compare with"


def test_gap_at_the_end_of_the_session_is_found(tmp_path: Path) -> None:
    sound(tmp_path, lambda book: book[book["ts_event"] < REGULAR.end - 61 * SECOND])
    published(tmp_path)
    outcome = measured(tmp_path, "futures_mbp10", "gaps")
    assert (outcome.passed, outcome.measured["gaps"]) == (False, 1)
    assert 61 < outcome.measured["longest_seconds"] < 95


def test_a_crossed_book_before_the_open_is_usual(tmp_path: Path) -> None:
    sound(tmp_path)
    early = build.books(build.times(20, SESSION.globex.start - 600 * SECOND))
    crossed(early)
    rows = np.concatenate([early, build.books(build.times(20))])
    build.write(tmp_path / "landing", f"book-{EVE}.dbn.zst", "mbp-10", rows, EVE, symbols=[FRONT, NEXT])
    published(tmp_path)
    assert measured(tmp_path, "futures_mbp10", "crossed").passed


def volumes(root: Path, when: int, lots: dict[str, int], date_offset: int = 1) -> None:
    """Publish futures_trades of the trading date `date_offset` before DATE with these lots."""
    date = calendar(CONFIG).before(DATE, date_offset)[-1]
    rows = [
        build.trades(build.times(1, utc_midnight(date) + when * SECOND + i), name, size=size)
        for i, (name, size) in enumerate(lots.items())
    ]
    build.write(root / "landing", f"v{date}.dbn.zst", "trades", np.concatenate(rows), date, symbols=list(lots))
    Intake(date, lake_at(root), landing_at(root)).ingest(FUTURES_TRADES)


class TestContract:
    def test_the_latest_earlier_volume_decides(self, tmp_path: Path) -> None:
        volumes(tmp_path, 50_000, {FRONT: 90, NEXT: 10}, 2)
        volumes(tmp_path, 50_000, {FRONT: 30, NEXT: 70}, 1)
        chosen = choose(DATE, lake_at(tmp_path), [FRONT], CONFIG)
        assert (chosen.symbol, chosen.basis, chosen.volume_date, chosen.dominance, chosen.flagged) == (
            NEXT,
            "volume",
            "2025-06-02",
            0.7,
            False,
        )

    def test_a_thin_majority_is_flagged(self, tmp_path: Path) -> None:
        volumes(tmp_path, 50_000, {FRONT: 55, NEXT: 45})
        assert choose(DATE, lake_at(tmp_path), [], CONFIG).flagged

    def test_five_dates_back_counts_and_six_does_not(self, tmp_path: Path) -> None:
        volumes(tmp_path, 50_000, {NEXT: 1}, 6)
        assert choose(DATE, lake_at(tmp_path), [FRONT], CONFIG).basis == "only outright"
        volumes(tmp_path, 50_000, {NEXT: 1}, 5)
        assert choose(DATE, lake_at(tmp_path), [FRONT], CONFIG).symbol == NEXT

    def test_the_dates_own_volume_is_never_read(self, tmp_path: Path) -> None:
        sound(tmp_path)
        published(tmp_path)
        before = choose(DATE, lake_at(tmp_path), [], CONFIG)
        rows = build.trades(build.times(5), NEXT, size=100_000)
        build.write(tmp_path / "landing", f"trades-{DATE}.dbn.zst", "trades", rows, DATE, symbols=[FRONT, NEXT])
        Intake(DATE, lake_at(tmp_path), landing_at(tmp_path)).ingest(FUTURES_TRADES)
        assert choose(DATE, lake_at(tmp_path), [], CONFIG) == before

    def test_without_volumes_the_only_outright_else_the_calendar(self, tmp_path: Path) -> None:
        assert choose(DATE, lake_at(tmp_path), ["ESZ9"], CONFIG).symbol == "ESZ9"
        assert choose(DATE, lake_at(tmp_path), [FRONT, NEXT], CONFIG).symbol == FRONT
        by_calendar = choose(DATE + 10 * DAY, lake_at(tmp_path), [FRONT, NEXT], CONFIG)
        assert (by_calendar.symbol, by_calendar.basis) == (NEXT, "calendar")  # ESM5 expires 2025-06-20, seven days later


def test_every_bronze_table_has_checks_and_every_check_says_what_it_is() -> None:
    assert {check.table.name for check in CHECKS} == set(TABLE)
    assert all(check.description.endswith(".") for check in CHECKS)
