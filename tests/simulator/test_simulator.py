"""What the simulator's files promise, read back from their bytes: by databento, and record by record."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import erf, log, sqrt
from pathlib import Path

import databento
import numpy as np
import pytest
import zstandard

from spymaster_assets import dbn
from spymaster_assets.config import Config
from spymaster_assets.sessions import calendar, utc_midnight
from spymaster_assets.simulator import definitions, options
from spymaster_assets.simulator.rng import ONE, normal_table
from spymaster_assets.simulator.write import simulate

MONDAY, TUESDAY = dt.date(2026, 1, 5), dt.date(2026, 1, 6)
EVENTS = 20_000
ROOT = Path(__file__).parents[2]
CONFIG = Config()
TICK = CONFIG.instrument.tick
BID, ASK, NONE = ord("B"), ord("A"), ord("N")
# sha256 of the decoded streams of TUESDAY at 20,000 events and seed 7, in order of file name
GOLDEN_REPORTS = "ade90261018136fd11bfa5f9e1dcb51f6c7f2f474443705f1dfa296872a3e771"
GOLDEN = "872365ebc7feb5132e4fbfb356ce01f92199cc7f253ea073e1865d1b61324400"


@dataclass
class Run:
    """One call of `simulate` and what it handed out."""

    landing: Path
    paths: list[Path] = field(default_factory=list)
    flow: dict[dt.date, np.ndarray] = field(default_factory=dict)
    progress: list[tuple[str, int, int]] = field(default_factory=list)

    def read(self, name: str) -> np.ndarray:
        """All records of `kind/schema`, over the UTC days."""
        kind, schema = name.split("/")
        paths = sorted((self.landing / kind).glob(f"*.{schema}.dbn.zst"))
        return np.concatenate([chunk.copy() for path in paths for chunk in dbn.read(path, schema)])


def run(landing: Path, dates: list[dt.date], events: int = EVENTS, seed: int = 7, net: dict[dt.date, float] | None = None) -> Run:
    made = Run(landing)
    made.paths = simulate(
        landing, dates, events_per_session=events, seed=seed, config=CONFIG, customer_net=net,
        on_progress=lambda *told: made.progress.append(told), on_truth=lambda date, flow, _: made.flow.update({date: flow}),
    )  # fmt: skip
    return made


@pytest.fixture(scope="session")
def one(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(tmp_path_factory.mktemp("one"), [TUESDAY])


@pytest.fixture(scope="session")
def two(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(tmp_path_factory.mktemp("two"), [TUESDAY, MONDAY], net={MONDAY: -0.8, TUESDAY: 0.0})


@pytest.fixture(scope="session")
def book(one: Run) -> np.ndarray:
    """The front contract's MBP-10 records of TUESDAY."""
    rows = one.read("futures/mbp-10")
    return rows[rows["instrument_id"] == definitions.futures(TUESDAY, CONFIG)[0].number]


def of_date(rows: np.ndarray, day: dt.date) -> np.ndarray:
    """The records that arrived in a date's session, restatements of midnight included."""
    bronze = calendar(CONFIG).session(day).bronze
    return rows[(rows["ts_recv"] > bronze.start) & (rows["ts_recv"] <= bronze.end + 10**9)]


def digest(paths: list[Path]) -> str:
    """sha256 of the decoded streams: compression may differ between zstd versions."""
    found = hashlib.sha256()
    for path in sorted(paths):
        found.update(path.name.encode())
        with path.open("rb") as file:
            for part in zstandard.ZstdDecompressor().read_to_iter(file):
                found.update(part)
    return found.hexdigest()


# --- files ---------------------------------------------------------------------------------------------------------------------


def test_databento_reads_every_file_and_resolves_every_symbol(two: Run) -> None:
    assert len(two.paths) == 3 * 7
    for path in two.paths:
        store = databento.DBNStore.from_bytes(path.read_bytes())
        frame = store.to_df()
        assert str(store.schema) == path.name.split(".")[1]
        assert len(frame) > 0
        named = frame["raw_symbol"] if "raw_symbol" in frame else frame["symbol"]
        assert named.notna().all(), path
        first = store.start.date()
        assert store.end - store.start <= dt.timedelta(days=1)
        received = store.to_ndarray()["ts_recv"]
        assert store.metadata.start <= received.min() and received.max() < store.metadata.end
        assert path.name == f"glbx-mdp3-{first:%Y%m%d}.{store.schema}.dbn.zst"
        assert (frame.index.date == first).all() or str(store.schema) == "mbp-10"  # its snapshot rows carry an older ts_event


def test_no_temporary_file_is_left(two: Run) -> None:
    assert sorted(two.landing.rglob("*.*")) == sorted(two.paths)


def test_a_failure_leaves_no_files(tmp_path: Path) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path, [TUESDAY], events_per_session=EVENTS, seed=7, config=CONFIG, on_progress=fail)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_futures_hold_two_outrights_and_a_spread(one: Run) -> None:
    names = {schema: set() for schema in ("mbp-10", "trades", "definition")}
    for path in (path for path in one.paths if path.parent.name == "futures"):
        frame = databento.DBNStore.from_bytes(path.read_bytes()).to_df()
        names[path.name.split(".")[1]] |= set(frame["symbol"])
    assert names["mbp-10"] == {"ESH6", "ESM6"}
    assert names["trades"] == names["definition"] == {"ESH6", "ESM6", "ESH6-ESM6"}


@pytest.mark.parametrize("name", ["futures/mbp-10", "futures/trades", "options/tbbo", "options/trades"])
def test_records_arrive_in_order(two: Run, name: str) -> None:
    rows = two.read(name)
    assert (np.diff(rows["ts_recv"].astype(np.int64)) >= 0).all()
    assert (rows["ts_event"] <= rows["ts_recv"]).all()


def test_gateway_times_are_those_of_genuine_records(book: np.ndarray) -> None:
    live = book[book["flags"] & dbn.F_SNAPSHOT == 0]
    delay = live["ts_recv"].astype(np.int64) - live["ts_event"].astype(np.int64)
    assert delay.min() >= 79_000
    assert np.percentile(delay, 90) < 150_000
    assert live["ts_in_delta"].min() >= 12_700
    assert live["ts_in_delta"].max() < 25_000


# --- record semantics ----------------------------------------------------------------------------------------------------------


def events_of(rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.void]]:
    """(the record before, the T records, the book record) of each event; snapshot rows are passed over."""
    live = rows[rows["flags"] & dbn.F_SNAPSHOT == 0]
    ends = np.flatnonzero(live["flags"] & dbn.F_LAST)
    for before, end in pairwise(ends.tolist()):
        yield live[before], live[before + 1 : end], live[end]


def test_flags(book: np.ndarray) -> None:
    trades, snapshots = book["action"] == ord("T"), book["flags"] & dbn.F_SNAPSHOT > 0
    assert (book["flags"][trades] == 0).all()
    assert (book["flags"][~trades & ~snapshots] == 130).all()
    assert set(book["action"].tolist()) == set(b"ACMT")
    assert book["action"][-1] != ord("T")


def test_a_trade_stands_before_its_change_with_the_book_before_it(book: np.ndarray) -> None:
    for before, trades, after in events_of(book):
        for trade in trades:
            assert trade["levels"].tobytes() == before["levels"].tobytes()
            assert trade["ts_event"] == after["ts_event"]
        if len(trades):
            sequence = [*trades["sequence"].tolist(), int(after["sequence"])]
            assert sequence == list(range(sequence[0], sequence[0] + len(sequence)))


def test_the_side_of_a_trade_is_its_aggressor(book: np.ndarray) -> None:
    found = {BID: 0, ASK: 0, NONE: 0}
    for before, trades, _ in events_of(book):
        for side in set(trades["side"].tolist()) & {BID, ASK}:
            sign, resting = (1, "ask_px") if side == BID else (-1, "bid_px")
            prices = trades["price"]
            assert prices[0] == before["levels"][resting][0]
            assert (sign * np.diff(prices) >= 0).all()
            assert set(prices.tolist()) <= set(before["levels"][resting].tolist())
        for side in trades["side"].tolist():
            found[side] += 1
    assert found[BID] > 100
    assert found[ASK] > 100
    assert found[NONE] == 1  # the opening match


def visible(levels: np.ndarray, side: str) -> tuple[dict[int, int], int | None]:
    """size by price, and the worst price that is certain to be seen (None: the whole side)."""
    held = levels[f"{side}_sz"] > 0
    prices = levels[f"{side}_px"][held].tolist()
    return dict(zip(prices, levels[f"{side}_sz"][held].tolist(), strict=True)), prices[-1] if len(prices) == 10 else None


def test_books_change_as_events_say(book: np.ndarray) -> None:
    """One event changes at most two prices of the visible book; after trades by what was traded (and what rests)."""
    regular = np.searchsorted(book["ts_event"], calendar(CONFIG).session(TUESDAY).regular.start)
    for before, trades, after in events_of(book[regular - 2_000 : regular + 5_000]):
        sign = {"bid": 1, "ask": -1}
        changed: dict[tuple[str, int], int] = {}
        for side in ("bid", "ask"):
            (old, old_worst), (new, new_worst) = visible(before["levels"], side), visible(after["levels"], side)
            bounds = [worst * sign[side] for worst in (old_worst, new_worst) if worst is not None]
            for price in old.keys() | new.keys():
                if (not bounds or price * sign[side] >= max(bounds)) and (change := new.get(price, 0) - old.get(price, 0)):
                    changed[side, price] = change
        if len(trades) and trades["side"][0] != NONE:
            resting = "ask" if trades["side"][0] == BID else "bid"
            for price in set(trades["price"].tolist()):
                taken = int(trades["size"][trades["price"] == price].sum())
                assert changed.pop((resting, price)) == -taken
            if after["side"] == NONE:
                assert changed == {("bid" if resting == "ask" else "ask", int(after["price"])): int(after["size"])}
            else:
                assert not changed
                assert chr(after["side"]) == ("A" if resting == "ask" else "B")
        elif not len(trades):
            assert 1 <= len(changed) <= 2
            side = "bid" if after["side"] == BID else "ask"
            assert {key[0] for key in changed} == {side}
            assert (side, int(after["price"])) in changed
            if after["action"] == ord("A"):
                assert changed == {(side, int(after["price"])): int(after["size"])}
            if after["action"] == ord("C"):
                assert -changed[side, int(after["price"])] in (int(after["size"]), int(after["size"]) + 1)


def test_depth_is_the_level_of_the_price(book: np.ndarray) -> None:
    live = book[(book["flags"] & dbn.F_SNAPSHOT == 0) & (book["action"] == ord("A")) & (book["side"] != NONE)]
    for row in live[:5_000]:
        side = "bid_px" if row["side"] == BID else "ask_px"
        assert row["levels"][side][row["depth"]] == row["price"]


def test_books_are_sorted_counted_and_uncrossed_after_the_open(book: np.ndarray) -> None:
    levels, opened = book["levels"], calendar(CONFIG).session(TUESDAY).globex.start
    for side, sign in (("bid", -1), ("ask", 1)):
        prices, sizes, counts = levels[f"{side}_px"], levels[f"{side}_sz"], levels[f"{side}_ct"]
        held = prices != dbn.UNDEF_PRICE
        assert (held == (sizes > 0)).all()
        assert (held == (counts > 0)).all()
        assert (counts <= sizes).all()
        assert (held[:, :-1] | ~held[:, 1:]).all()
        assert (prices[held] % TICK == 0).all()
        assert np.where(held[:, 1:], sign * (prices[:, 1:].astype(object) - prices[:, :-1]) > 0, True).all()
        assert held[book["ts_event"] > opened].all()
    later = levels[book["ts_event"] > opened]
    assert (later["bid_px"][:, 0] < later["ask_px"][:, 0]).all()


def test_the_book_before_the_open_and_the_opening_match(book: np.ndarray) -> None:
    opened = calendar(CONFIG).session(TUESDAY).globex.start
    before = book[book["ts_event"] < opened]
    assert 24 <= len(before) <= 60
    assert set(before["action"].tolist()) == {ord("A")}
    assert before["ts_event"][0] >= opened - 15 * 60 * 10**9
    assert (before["levels"]["bid_px"] == dbn.UNDEF_PRICE).any()
    match, change = book[book["ts_event"] == opened]
    assert (match["action"], match["side"], match["flags"]) == (ord("T"), NONE, 0)
    assert (change["action"], change["side"], change["flags"]) == (ord("C"), NONE, 130)


def test_midnight_restates_the_last_book(one: Run) -> None:
    rows, midnight = one.read("futures/mbp-10"), utc_midnight(TUESDAY)
    snapshots = np.flatnonzero(rows["flags"] == 168)
    assert len(snapshots) == 2
    for at in snapshots:
        row = rows[at]
        last = rows[:at][rows["instrument_id"][:at] == row["instrument_id"]][-1]
        assert (row["action"], row["side"], row["ts_recv"], row["ts_in_delta"]) == (ord("A"), NONE, midnight, 0)
        assert row["levels"].tobytes() == last["levels"].tobytes()
        assert (row["ts_event"], row["sequence"]) == (last["ts_event"], last["sequence"])
    assert (rows["ts_recv"][snapshots[0] - 1] < midnight) and (rows["ts_event"][snapshots[-1] + 1] >= midnight)


def test_two_sided_changes_occur(book: np.ndarray) -> None:
    assert 0 < np.mean(book["side"] == NONE) < 0.02


def test_trades_reconcile_one_to_one(one: Run) -> None:
    rows, trades = one.read("futures/mbp-10"), one.read("futures/trades")
    spread = definitions.futures(TUESDAY, CONFIG)[2].number
    prints, outright = rows[rows["action"] == ord("T")], trades[trades["instrument_id"] != spread]
    assert 0 < (trades["instrument_id"] == spread).sum() < 100
    for name in dbn.TRADE.names or ():
        if name not in ("length", "rtype"):
            assert np.array_equal(prints[name], outright[name]), name


# --- budget, repeatability, memory ---------------------------------------------------------------------------------------------


def test_budget(book: np.ndarray) -> None:
    regular = calendar(CONFIG).session(TUESDAY).regular
    within = (book["ts_event"] > regular.start) & (book["ts_event"] <= regular.end)
    assert within.sum() == pytest.approx(EVENTS, rel=0.05)
    assert len(book) == pytest.approx(1.15 * EVENTS, rel=0.05)


def test_progress(two: Run) -> None:
    done = [told[1] for told in two.progress]
    assert done == sorted(done)
    assert two.progress[-1] == (str(TUESDAY), len(two.read("futures/mbp-10")), done[-1])


def test_golden_bytes(one: Run) -> None:
    reports = [path for path in one.paths if ".statistics." in path.name]
    assert digest([path for path in one.paths if path not in reports]) == GOLDEN
    assert digest(reports) == GOLDEN_REPORTS


def test_same_seed_same_bytes_other_seed_other_bytes(one: Run, tmp_path: Path) -> None:
    assert digest(run(tmp_path / "same", [TUESDAY]).paths) == digest(one.paths)
    assert digest(run(tmp_path / "other", [TUESDAY], seed=8).paths) != digest(one.paths)


@pytest.mark.parametrize("name", ["futures/mbp-10", "futures/trades", "options/tbbo", "options/trades"])
def test_a_date_alone_is_the_same_as_in_a_range(one: Run, two: Run, name: str) -> None:
    assert of_date(one.read(name), TUESDAY).tobytes() == of_date(two.read(name), TUESDAY).tobytes()


def test_prices_join_from_date_to_date(two: Run) -> None:
    rows = two.read("futures/mbp-10")
    front = rows[rows["instrument_id"] == definitions.futures(TUESDAY, CONFIG)[0].number]
    close, opening = of_date(front, MONDAY)["levels"][-1], of_date(front, TUESDAY)
    match = opening[opening["side"] == NONE]["price"][0]
    assert abs(int(close["bid_px"][0]) - int(match)) <= 8 * CONFIG.instrument.point


def in_process(landing: Path, events: int, **environment: str) -> str:
    """Simulate TUESDAY in another process; prints the digest and the peak memory in KiB."""
    code = (
        "import sys, datetime as dt; from pathlib import Path\n"
        "sys.path.insert(0, 'tests/simulator'); import test_simulator as t\n"
        f"made = t.run(Path({str(landing)!r}), [t.TUESDAY], events={events})\n"
        "lines = Path('/proc/self/status').read_text().splitlines()\n"  # ru_maxrss would begin at the size of this process
        "print(t.digest(made.paths), next(line.split()[1] for line in lines if line.startswith('VmHWM')))"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.slow
def test_another_processor_writes_the_same_bytes(one: Run, tmp_path: Path) -> None:
    """No vector units beyond the baseline and no fused multiply-add, in libm or in the compiled kernels."""
    found = in_process(tmp_path / "landing", EVENTS, GLIBC_TUNABLES="glibc.cpu.hwcaps=-AVX2,-FMA", NUMBA_CPU_NAME="generic")
    assert found.split()[0] == digest(one.paths)


def test_memory_is_bounded(tmp_path: Path) -> None:
    small, large = (int(in_process(tmp_path / str(events), events).split()[1]) for events in (100_000, 600_000))
    assert large < min(600 * 1024, small + 64 * 1024)


# --- options -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "code"),  # by hand, from the calendar of January and March 2026
    [
        ("2026-01-05", "E1AF6"),  # the first Monday
        ("2026-01-06", "E1BF6"),
        ("2026-01-14", "E2CF6"),  # the second Wednesday
        ("2026-01-08", "E2DF6"),  # the second Thursday: the first was New Year's Day
        ("2026-01-09", "EW2F6"),  # the genuine EW2F6 C7000 expired on this day at 21:00 UTC
        ("2026-01-30", "EWF6"),  # the last trading date of the month
        ("2026-03-20", "EYCH6"),  # the quarterly expiry
    ],
)
def test_own_options_expire_at_the_close_in_the_root_of_the_weekday(day: str, code: str) -> None:
    date = dt.date.fromisoformat(day)
    own = definitions.expiries(date, CONFIG)[0]
    option = own.option("C", 7000)
    assert option.symbol == f"{code} C7000"
    hour = 20 if day == "2026-03-20" else 21  # 16:00 in New York: daylight saving time began on March 8
    assert dt.datetime.fromtimestamp(option.expiration / 1e9, dt.UTC) == dt.datetime(*date.timetuple()[:3], hour, tzinfo=dt.UTC)


def test_definitions(one: Run) -> None:
    rows = one.read("options/definition")
    own = rows[np.char.startswith(rows["raw_symbol"], b"E1BF6")]
    assert set(own["expiration"].tolist()) == {utc_midnight(TUESDAY) + 21 * 3_600 * 10**9}
    assert set(own["security_type"].tolist()) == {b"OOF"}
    assert set(own["underlying"].tolist()) == {b"ESH6"}
    strikes = np.unique(own["strike_price"]) // CONFIG.instrument.point
    assert (np.diff(strikes) == 5).all()
    assert len(strikes) == 2 * (definitions.STRIKES + definitions.LATE_STRIKES) + 1
    assert set(own["instrument_class"].tolist()) == {ord("C"), ord("P")}
    special = rows[rows["user_defined_instrument"] == ord("Y")]
    assert set(special["instrument_class"].tolist()) == {ord("C"), ord("T")}
    assert (special["ts_recv"] > special["ts_event"]).all()
    assert len(np.unique(rows["expiration"])) == 4
    midnight = rows["ts_recv"] % (86_400 * 10**9) == 0
    assert midnight.sum() > 300
    assert (rows["ts_event"][midnight] < rows["ts_recv"][midnight]).all()


def test_option_trades_stand_at_their_quotes(one: Run) -> None:
    rows, trades = one.read("options/tbbo"), one.read("options/trades")
    assert len(rows) == pytest.approx(options.trades_of(EVENTS), rel=0.2)
    assert (rows["bid_px_00"] < rows["ask_px_00"]).all()
    for side, quote in ((BID, "ask_px_00"), (ASK, "bid_px_00")):
        assert (rows["price"] == rows[quote])[rows["side"] == side].all()
    assert ((rows["price"] >= rows["bid_px_00"]) & (rows["price"] <= rows["ask_px_00"])).all()
    for prices in (rows["price"], rows["bid_px_00"], rows["ask_px_00"]):
        assert (prices % np.where(prices < 10_000_000_000, 50_000_000, 250_000_000) == 0).all()
    for name in dbn.TRADE.names or ():
        if name not in ("length", "rtype"):
            assert np.array_equal(rows[name], trades[name]), name
    defined = one.read("options/definition")
    listed: dict[int, int] = {}
    for number, time in zip(defined["instrument_id"].tolist(), defined["ts_recv"].tolist(), strict=True):
        listed.setdefault(number, time)
    assert all(listed[int(row["instrument_id"])] <= row["ts_recv"] for row in rows)


def test_premium_is_that_of_black() -> None:
    """Against the closed form in floats, without smile at the money."""

    def phi(x: float) -> float:
        return (1 + erf(x / sqrt(2))) / 2

    for strike in (23_600, 24_000, 24_400):
        for spread in (20, 100, 300):
            forward = 24_000
            for call in (True, False):
                found = options.premium(forward * ONE, strike * ONE, spread * ONE, call, normal_table()) / ONE
                away = max(-4.0, min(4.0, (strike - forward) / spread))
                total = spread * (1 + (options.SKEW * away + options.SMILE * away * away) / ONE) / forward
                up = log(forward / strike) / total + total / 2
                value = forward * phi(up) - strike * phi(up - total)
                assert found == pytest.approx(value if call else value - forward + strike, abs=0.05)


@pytest.mark.parametrize("net", [0.8, -0.8])
def test_customer_net_is_planted(two: Run, tmp_path: Path, net: float) -> None:
    flow = two.flow[MONDAY] if net < 0 else run(tmp_path, [MONDAY], net={MONDAY: net}).flow[MONDAY]
    assert np.mean(flow["customer_side"]) == pytest.approx(net, abs=0.12)
    rows = two.read("options/tbbo") if net < 0 else None
    if rows is not None:
        of_day = of_date(rows, MONDAY)
        assert np.array_equal(of_day["ts_event"], flow["ts_event"])
        assert np.array_equal(of_day["sequence"], flow["sequence"])
        signed = of_day["side"] != NONE
        assert (flow["customer_side"][signed] == np.where(of_day["side"][signed] == BID, 1, -1)).all()


def test_a_net_outside_its_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"outside \[-1, 1\]"):
        run(tmp_path, [MONDAY], net={MONDAY: 1.5})
    with pytest.raises(ValueError, match="less than 5,000"):
        run(tmp_path, [MONDAY], events=10)


def test_half_days_end_early(tmp_path: Path) -> None:
    day = dt.date(2025, 11, 28)  # the day after Thanksgiving: New York closes at 13:00
    rows = run(tmp_path, [day], events=5_000).read("futures/mbp-10")
    assert rows["ts_event"].max() <= utc_midnight(day) + (18 * 60 + 15) * 60 * 10**9
