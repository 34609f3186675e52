"""The realism report, against slow twins over the raw records of a small simulated date and records with known answers."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left, bisect_right
from itertools import groupby, pairwise
from math import ceil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from spymaster_assets import dbn
from spymaster_assets.config import Config
from spymaster_assets.dbn import F_LAST, F_SNAPSHOT
from spymaster_assets.sessions import NS_PER_SECOND, Window, calendar, to_ns
from spymaster_assets.simulator.observing import MINUTE, Observed, Tape, autocorrelation, gap_bin, gap_edges, kurtosis
from spymaster_assets.simulator.realism import Realism, report
from spymaster_assets.simulator.write import simulate

CONFIG = Config()
TICK, POINT = CONFIG.instrument.tick, CONFIG.instrument.point
DATE, EVENTS, SEED = dt.date(2026, 1, 6), 20_000, 3
SESSION = calendar(CONFIG).session(DATE)
START = SESSION.regular.start
LEVELS = 10


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("realism")
    simulate(folder, [DATE], events_per_session=EVENTS, seed=SEED, config=CONFIG)
    return folder


def files(landing: Path) -> list[Path]:
    return sorted(landing.rglob("*.dbn.zst"))


@pytest.fixture(scope="module")
def told() -> list[tuple[str, int, int]]:
    return []


@pytest.fixture(scope="module")
def found(landing: Path, told: list[tuple[str, int, int]]) -> Realism:
    return report(files(landing), landing / "page.html", None, lambda *progress: told.append(progress))


@pytest.fixture(scope="module")
def rows(landing: Path) -> np.ndarray:
    """The front contract's MBP-10 records of the date."""
    parts = []
    for path in sorted(landing.glob("futures/*.mbp-10.dbn.zst")):
        numbers = {one.instrument_id for one in dbn.read_header(path).mappings["ESH6"]}
        parts += [chunk[np.isin(chunk["instrument_id"], list(numbers))] for chunk in dbn.read(path, "mbp-10")]
    return np.concatenate(parts)


@pytest.fixture(scope="module")
def regular(rows: np.ndarray) -> list[np.void]:
    """Those of the regular session, one by one."""
    times = rows["ts_event"].astype(np.int64)
    return list(rows[(times > SESSION.regular.start) & (times <= SESSION.regular.end)])


def is_book(row: np.void) -> bool:
    return chr(row["action"]) in "ACM" and bool(row["flags"] & F_LAST)


def spread(row: np.void) -> int:
    return int(row["levels"]["ask_px"][0] - row["levels"]["bid_px"][0]) // TICK


# --- a simulated date, against twins ---------------------------------------------------------------------------------------------


def test_counts(found: Realism, regular: list[np.void]) -> None:
    value = {key: number.simulated for key, number in found.numbers.items()}
    assert (found.date, found.symbol, found.hour) == (DATE, "ESH6", None)
    assert value["records"] == len(regular)
    for letter in "ACMTR":
        assert value[f"share_{letter}"] == sum(chr(row["action"]) == letter for row in regular) / len(regular)
    events = [list(group) for _, group in groupby(regular, key=lambda row: int(row["ts_event"]))]
    assert value["event_records"] == len(regular) / len(events)
    bought = sum(int(row["size"]) for row in regular if chr(row["action"]) == "T" and chr(row["side"]) == "B")
    sold = sum(int(row["size"]) for row in regular if chr(row["action"]) == "T" and chr(row["side"]) == "A")
    assert value["bought"] == bought / (bought + sold)
    takers = [chr(event[0]["side"]) for event in events if chr(event[0]["action"]) == "T"]
    assert value["taker_lots"] == (bought + sold) / len(takers)
    assert value["repeats"] == sum(a == b for a, b in pairwise(takers)) / (len(takers) - 1)
    alone = [event[0] for event in events if len(event) == 1 and chr(event[0]["action"]) == "C"]
    assert value["best_C"] == sum(row["depth"] == 0 for row in alone) / len(alone)


def test_times_between_events(found: Realism, regular: list[np.void]) -> None:
    times = sorted({int(row["ts_event"]) for row in regular})
    gaps = sorted(b - a for a, b in pairwise(times))
    for q in (10, 50, 90, 99):
        exact = gaps[ceil(len(gaps) * q / 100) - 1] / 1e6
        assert exact * (1 - 1 / 256) <= found.numbers[f"gap_{q}"].simulated <= exact
    assert found.numbers["gap_short"].simulated == sum(gap < 1_000_000 for gap in gaps) / len(gaps)
    assert found.numbers["gap_variation"].simulated == pytest.approx(np.std(gaps) / np.mean(gaps))


def test_spread_and_depth(found: Realism, regular: list[np.void]) -> None:
    books = [row for row in regular if is_book(row)]
    assert found.numbers["tick_books"].simulated == sum(spread(row) == 1 for row in books) / len(books)
    held = [(spread(a), int(b["ts_event"]) - int(a["ts_event"])) for a, b in pairwise(books)]
    assert found.numbers["tick_time"].simulated == sum(ns for ticks, ns in held if ticks == 1) / sum(ns for _, ns in held)
    sizes = np.array([[row["levels"]["bid_sz"], row["levels"]["ask_sz"]] for row in books], float)
    means = np.nanmean(np.where(sizes > 0, sizes, np.nan), axis=0)
    assert found.numbers["depth_least"].simulated == pytest.approx(means.min())
    assert found.numbers["depth_most"].simulated == pytest.approx(means.max())
    assert found.numbers["depth_best"].simulated == pytest.approx(means[:, 0].mean())
    scale = (len(regular) / 10.5e6) ** 0.5
    assert found.numbers["depth_most"].quantity.high == pytest.approx(272 * scale)


def test_trades(found: Realism, regular: list[np.void], landing: Path) -> None:
    sizes = [int(row["size"]) for row in regular if chr(row["action"]) == "T"]
    prices = [int(row["price"]) for row in regular if chr(row["action"]) == "T"]
    assert found.numbers["trade_mean"].simulated == sum(sizes) / len(sizes)
    assert found.numbers["trade_one"].simulated == sizes.count(1) / len(sizes)
    assert found.numbers["points"].simulated == (max(prices) - min(prices)) / POINT
    assert found.trades[0] == found.trades[1] > len(sizes)


def test_returns(found: Realism, rows: np.ndarray) -> None:
    books = [row for row in rows if is_book(row) and not row["flags"] & F_SNAPSHOT]
    times = [int(row["ts_event"]) for row in books]
    mids = [(int(row["levels"]["bid_px"][0]) + int(row["levels"]["ask_px"][0])) / 2 / POINT for row in books]

    def changes(step: int) -> np.ndarray:
        ends = range(START, SESSION.regular.end + 1, step * NS_PER_SECOND)
        return np.diff([mids[bisect_right(times, end) - 1] for end in ends])

    second, minute = changes(1), changes(60)
    away = second - second.mean()
    assert found.numbers["autocorrelation"].simulated == pytest.approx((away[1:] * away[:-1]).sum() / (away**2).sum())
    away = minute - minute.mean()
    assert found.numbers["kurtosis_minute"].simulated == pytest.approx((away**4).mean() / (away**2).mean() ** 2)
    assert found.numbers["volatility"].simulated == pytest.approx((minute**2).sum() ** 0.5)
    assert found.numbers["still"].simulated == (second == 0).mean()


def test_hours_of_the_date(found: Realism, rows: np.ndarray) -> None:
    kept = sorted(int(time) for time in rows["ts_event"][rows["flags"] & F_SNAPSHOT == 0] if SESSION.globex.start < time)

    def count(start: int, end: int) -> int:
        return bisect_right(kept, end) - bisect_right(kept, start)

    start, end = SESSION.regular
    noon = (start + end) // 2
    middle = count(noon - 30 * MINUTE, noon + 30 * MINUTE) / 60
    assert found.numbers["first_half_hour"].simulated == pytest.approx(count(start, start + 30 * MINUTE) / 30 / middle)
    assert found.numbers["last_half_hour"].simulated == pytest.approx(count(end - 30 * MINUTE, end) / 30 / middle)
    assert found.numbers["premarket"].simulated == count(*SESSION.premarket) / len(kept)
    assert found.numbers["overnight"].simulated == bisect_left(kept, SESSION.premarket.start + 1) / len(kept)


def test_chunks_do_not_matter(rows: np.ndarray) -> None:
    whole, parts = Observed(SESSION.regular, CONFIG), Observed(SESSION.regular, CONFIG)
    one, many = Tape(SESSION), Tape(SESSION)
    whole.take(rows)
    one.take(rows, TICK)
    for chunk in np.array_split(rows, 97):
        parts.take(chunk)
        many.take(chunk, TICK)
    assert whole.state == parts.state
    assert (one.minutes == many.minutes).all()
    assert (one.returns(SESSION.globex, 1) == many.returns(SESSION.globex, 1)).all()


# --- the page --------------------------------------------------------------------------------------------------------------------


def test_the_page_stands_alone(found: Realism, landing: Path) -> None:
    page = (landing / "page.html").read_text()
    assert page.count("<svg") == 6
    assert "plausible, not calibrated" in page
    assert "{{" not in page
    assert not any(reference in page for reference in ("<script", "src=", "@import", "url(http", '<a href="http'))
    assert page.count('class="outside"') == len(found.missed)
    for number in found.missed:
        assert number.quantity.told(number.simulated) in page


def test_the_same_files_make_the_same_page(landing: Path, found: Realism, tmp_path: Path) -> None:
    report(files(landing), tmp_path / "page.html", None, None)
    assert (tmp_path / "page.html").read_bytes() == (landing / "page.html").read_bytes()


def test_progress_rises_to_its_total(found: Realism, told: list[tuple[str, int, int]]) -> None:
    done = [progress[1] for progress in told]
    assert done == sorted(done)
    assert told[-1][1] == told[-1][2]
    assert all(progress[1] < progress[2] for progress in told[:-1])


def test_files_of_another_date_are_refused(landing: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ESH6 on 2026-01-08"):
        report(files(landing), tmp_path / "page.html", None, None, date=dt.date(2026, 1, 8))
    with pytest.raises(ValueError, match="no MBP-10 file"):
        report([], tmp_path / "page.html", None, None)
    with pytest.raises(FileNotFoundError, match="no genuine MBP-10 hour"):
        report(files(landing), tmp_path / "page.html", tmp_path / "absent", None)
    assert not list(tmp_path.iterdir())


# --- records made by hand --------------------------------------------------------------------------------------------------------


def record(
    at: int, action: str, side: str, price: int, size: int, book: dict[int, int], depth: int = 0, flags: int = F_LAST
) -> dict[str, Any]:
    """A record `at` us after the regular open. `book`: lots by price in ticks; prices under 100 are bids."""
    return {
        "ts_event": START + at * 1000, "action": action, "side": side, "price": price, "size": size, "depth": depth, "book": book,
        "flags": 0 if action == "T" else flags,
    }  # fmt: skip


def records(made: list[dict[str, Any]]) -> np.ndarray:
    out = np.zeros(len(made), dbn.MBP10)
    out["levels"]["bid_px"], out["levels"]["ask_px"] = dbn.UNDEF_PRICE, dbn.UNDEF_PRICE
    for row, one in zip(out, made, strict=True):
        for name in ("ts_event", "size", "depth", "flags"):
            row[name] = one[name]
        row["action"], row["side"], row["price"] = ord(one["action"]), ord(one["side"]), one["price"] * TICK
        for name, prices in (
            ("bid", sorted((p for p in one["book"] if p < 100), reverse=True)),
            ("ask", sorted(p for p in one["book"] if p >= 100)),
        ):
            for k, price in enumerate(prices):
                row["levels"][f"{name}_px"][k] = price * TICK
                row["levels"][f"{name}_sz"][k] = one["book"][price]
                row["levels"][f"{name}_ct"][k] = 2
    return out


def measured(made: list[dict[str, Any]]) -> SimpleNamespace:
    part, tape = Observed(SESSION.regular, CONFIG), Tape(SESSION)
    chunk = records(made)
    part.take(chunk)
    tape.take(chunk, TICK)
    return SimpleNamespace(state=part.state, **part.numbers(tape))


WIDE = {99: 4, 98: 6, 100: 10, 101: 20}


def test_an_hour_of_five_events() -> None:
    swept = {99: 4, 98: 6, 101: 17}
    made = [
        record(0, "A", "B", 99, 4, WIDE),  # at the open itself: before the window
        record(1000, "A", "A", 101, 5, WIDE, depth=1),
        record(3000, "T", "B", 100, 10, WIDE),
        record(3000, "T", "B", 101, 3, WIDE),
        record(3000, "C", "A", 101, 3, swept),
        record(3500, "M", "B", 98, 6, swept, depth=1),  # as many as before
        record(7500, "T", "B", 101, 2, swept),
        record(7500, "C", "A", 101, 2, swept | {101: 15}),
        record(9500, "R", "N", 0, 0, {}),
    ]
    found = measured(made)
    assert (found.records, found.state["events"], found.state["books"]) == (8, 5, 4)
    assert (found.share_T, found.share_R, found.share_both) == (3 / 8, 1 / 8, 1 / 8)
    assert found.state["lengths"].tolist()[:4] == [0, 2, 1, 1]  # the last event runs on
    assert found.state["gaps"].sum() == 4
    assert found.gap_short == 1 / 4
    # one tick from 1 to 3 ms, two from 3 to 7.5 ms; the last book is in force until something follows it
    assert found.state["spread_ns"].tolist()[:3] == [0, 2_000_000, 4_500_000]
    assert (found.tick_time, found.tick_books) == (2 / 6.5, 1 / 4)
    assert found.state["depth_sums"][0, 0] == 16
    assert found.state["depth_sums"][1].tolist()[:2] == [10 + 17 + 17 + 15, 20]
    assert (found.depth_least, found.depth_most) == (4, 20)
    assert (found.best_A, found.best_M, found.add_mean, found.modify_same) == (0, 0, 5, 1)
    assert (found.trade_mean, found.trade_one, found.taker_lots, found.bought, found.repeats) == (5, 0, 7.5, 1, 1)
    assert found.points == TICK / POINT
    assert found.refilled == 0


def test_lots_that_a_price_did_not_lose_were_refilled() -> None:
    made = [
        record(1, "A", "A", 100, 10, WIDE),
        record(2, "T", "B", 100, 8, WIDE),
        record(2, "T", "B", 100, 4, WIDE),
        record(2, "C", "A", 100, 4, WIDE | {100: 7}),  # 12 traded, 3 lost
        record(3, "T", "A", 99, 2, WIDE | {100: 7}),
        record(4, "A", "A", 101, 1, WIDE | {100: 7}),  # a trade of 2 without its change
    ]
    found = measured(made)
    assert (found.state["settled"], found.state["refilled"]) == (14, 9 + 2)
    assert (found.bought, found.repeats) == (12 / 14, 0)


def test_a_restatement_sets_the_book_and_is_not_counted() -> None:
    made = [
        record(1, "A", "A", 100, 10, WIDE),
        record(2, "T", "B", 100, 8, WIDE),
        record(2, "A", "N", 100, 1, WIDE | {98: 3}, flags=F_LAST | F_SNAPSHOT),
        record(3, "M", "B", 98, 6, WIDE, depth=1),
    ]
    found = measured(made)
    assert (found.records, found.state["settled"], found.modify_more) == (3, 0, 1)


def test_messages_of_one_event_are_one_event_and_one_book() -> None:
    made = [
        record(1, "C", "A", 100, 10, {99: 4, 101: 20}, flags=0),
        record(1, "A", "A", 100, 3, WIDE | {100: 3}),
        record(1, "A", "A", 100, 3, WIDE | {100: 6}),  # a second event of the same time
    ]
    found = measured(made)
    assert (found.state["events"], found.state["books"], found.event_records) == (2, 2, 1.5)
    assert found.gap_50 == 0
    assert found.add_mean == 3
    assert found.tick_books == 1


def test_crossed_and_locked_books_are_counted() -> None:
    chunk = records([record(1, "A", "A", 100, 1, WIDE), record(2, "A", "A", 100, 1, WIDE)])
    chunk["levels"]["bid_px"][0, 0] = 100 * TICK
    part = Observed(SESSION.regular, CONFIG)
    part.take(chunk)
    assert (part.state["crossed"], part.state["spreads"].tolist()[:2]) == (1, [1, 1])


@pytest.mark.parametrize("gap", [0, 1, 511, 512, 513, 1023, 1024, 10**6, 123_456_789, 10**13])
def test_bins_of_gaps(gap: int) -> None:
    edge = int(gap_edges()[gap_bin(gap)])
    assert gap * (1 - 1 / 256) <= edge <= gap
    assert edge == gap or gap >= 512


def test_moments_with_known_answers() -> None:
    assert kurtosis(np.array([-1.0, 1.0, -1.0, 1.0])) == 1
    assert kurtosis(np.array([0.0, 0, 0, 0, 5])) == pytest.approx(3.25)
    assert autocorrelation(np.array([1.0, -1.0, 1.0, -1.0])) == -0.75
    assert np.isnan(autocorrelation(np.zeros(4)))
    assert np.isnan(kurtosis(np.zeros(0)))


def test_unknown_mids_make_no_returns() -> None:
    tape = Tape(SESSION)
    window = Window(START, START + 4 * NS_PER_SECOND)
    assert tape.returns(window, 1).size == 0
    made = [record(1_500_000, "A", "B", 99, 1, WIDE), record(3_000_000, "A", "B", 99, 1, {98: 1, 100: 1})]
    tape.take(records(made), TICK)
    assert tape.returns(window, 1).tolist() == [-1, 0]  # known from the end of second 2 on; the end of second 3 belongs to it


# --- the genuine hour ------------------------------------------------------------------------------------------------------------


def test_the_genuine_hour(landing: Path, real_data: Path, tmp_path: Path) -> None:
    found = report(files(landing), tmp_path / "page.html", real_data.parent, None)
    start = to_ns(dt.datetime(2023, 12, 25, 23, tzinfo=dt.UTC))
    assert found.hour == Window(start, start + 60 * MINUTE)
    value = {key: number.real for key, number in found.numbers.items()}
    chunks = [chunk.copy() for chunk in dbn.read(real_data / "esh4-20231225.mbp-10.dbn.zst", "mbp-10")]
    genuine = np.concatenate(chunks)
    genuine = genuine[genuine["ts_event"].astype(np.int64) > start]
    assert value["records"] == len(genuine) == 40_038 - 149
    assert value["crossed"] == 0
    trades = genuine[genuine["action"] == ord("T")]
    assert value["share_T"] == len(trades) / len(genuine)
    assert value["trade_mean"] == trades["size"].sum() / len(trades)
    assert value["points"] == 4811.75 - 4800.25
    books = genuine[(genuine["action"] != ord("T")) & (genuine["flags"] & F_LAST > 0)]["levels"]
    assert value["tick_books"] == (books["ask_px"][:, 0] - books["bid_px"][:, 0] == TICK).sum() / len(books)
    # the same hour of the simulated date: its first
    same = found.numbers["records"].same_hour
    assert same is not None and 0 < same < found.numbers["records"].simulated / 100
    page = (tmp_path / "page.html").read_text()
    assert "2023-12-25 17:00 to 18:00" in page
    assert page.count("genuine hour</text>") == 6
    assert value["refilled"] is not None and 0 < value["refilled"] < 0.2
    assert [number.quantity.key for number in found.farthest]
