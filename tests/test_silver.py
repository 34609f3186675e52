"""Silver from genuine and simulated records: what the book loses is what was traded, and the same input gives the same bytes."""

import datetime as dt
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spymaster_assets import dbn, silver
from spymaster_assets.catalog import connect
from spymaster_assets.compute.barrier import barrier_params
from spymaster_assets.compute.growing import Growing
from spymaster_assets.compute.stream import Day
from spymaster_assets.compute.summary import share_around
from spymaster_assets.config import Config
from spymaster_assets.ingest import Intake, ingest_date
from spymaster_assets.lake import Lake
from spymaster_assets.landing import Landing
from spymaster_assets.maker import Maker
from spymaster_assets.sessions import Session, Window, calendar, wall
from spymaster_assets.silver import SILVER_STAGES, book_records
from spymaster_assets.simulator.write import simulate
from spymaster_assets.tables import (
    DAY_SUMMARY,
    FEATURE_ROWS,
    FLOW,
    OPEN_INTEREST,
    OPTION_FLOW,
    PRINTS,
    PRIORS,
    SILVER,
    SNAPS,
    TOUCHES,
)
from tests.rows import plain

CONFIG = Config()
REAL_DATE = dt.date(2023, 12, 26)
DATES = [dt.date(2025, 6, day) for day in (2, 3, 4, 5)]
TICK = CONFIG.instrument.tick


# Genuine records


@pytest.fixture(scope="module")
def real_records() -> np.ndarray:
    """The real hour's records of its trading date."""
    named = os.environ.get("SPYMASTER_REAL_DATA")
    if not named:
        pytest.skip("SPYMASTER_REAL_DATA is not set: the genuine samples are not at hand")
    chunks = [chunk.copy() for chunk in dbn.read(Path(named) / "glbx" / "esh4-20231225.mbp-10.dbn.zst", "mbp-10")]
    records = np.concatenate(chunks)
    return dbn.pick(records, records["ts_event"].astype(np.int64) > calendar(CONFIG).session(REAL_DATE).bronze.start)


@pytest.fixture(scope="module")
def real_day(real_records: np.ndarray) -> Day:
    day = Day(calendar(CONFIG).session(REAL_DATE), CONFIG)
    day.step(real_records, day.clock.globex_end)
    return day


def test_every_signed_lot_of_the_real_hour_fills_and_the_book_lost_most_of_them(real_day: Day) -> None:
    signed = int(real_day.prints.rows["size"][real_day.prints.rows["side"] != ord("N")].sum())
    assert signed == 9_848
    assert int(real_day.flow.rows["filled"].sum()) == signed
    assert int((real_day.flow.rows["bought"] + real_day.flow.rows["sold"]).sum()) == signed
    assert int(real_day.grid.hidden["discarded"][0]) == 0
    assert int(real_day.grid.hidden["covered"][0]) == 9_516  # 96.6 %; the rest was refilled or hidden


def shown(record: np.void, ask: bool) -> tuple[dict[int, int], float]:
    """Sizes by price of one side of a record's book, and the worst price it shows (infinite: all)."""
    px, size = ("ask_px", "ask_sz") if ask else ("bid_px", "bid_sz")
    levels = {int(level[px]) // TICK: int(level[size]) for level in record["levels"] if level[px] != dbn.UNDEF_PRICE}
    everything = np.inf if ask else -np.inf
    return levels, everything if len(levels) < 10 else (max(levels) if ask else min(levels))


@pytest.mark.parametrize("ask", [False, True], ids=["bids", "asks"])
def test_flow_explains_every_visible_price_of_every_interval_of_the_real_hour(
    real_records: np.ndarray, real_day: Day, ask: bool
) -> None:
    """Walks the records: a price is judged if every book of its interval, and the one before it, shows it."""
    rows = {(row["k"], row["ticks"]): row for row in plain(FLOW, real_day.flow.rows) if (row["side"] == "A") == ask}
    books = [record for record in real_records if record["action"] != ord("T")]
    times = np.array([int(record["ts_event"]) for record in books])
    ks = np.maximum(0, -((real_day.clock.open - np.maximum.accumulate(times)) // real_day.clock.interval))
    judged = 0
    for k in np.unique(ks[ks > 0]):
        first, stop = np.searchsorted(ks, [k, k + 1])
        if any(int(record["flags"]) & 36 or record["action"] == ord("R") for record in books[first:stop]) or first == 0:
            continue
        sides = [shown(record, ask) for record in books[first - 1 : stop]]
        worst = min(edge for _, edge in sides) if ask else max(edge for _, edge in sides)
        before, after = sides[0][0], sides[-1][0]
        for price in {*(price for levels, _ in sides for price in levels), *(ticks for at, ticks in rows if at == k)}:
            if (price <= worst) if ask else (price >= worst):
                row = rows.get((k, price), {"added": 0, "pulled": 0, "filled": 0})
                change = row["added"] - row["pulled"] - row["filled"]
                assert after.get(price, 0) - before.get(price, 0) == change, (k, price, row)
                judged += 1
    assert judged > 20_000


def test_the_genuine_best_quotes_as_a_book_of_one_level_fill_251_of_253_lots(real_data: Path) -> None:
    """The other two were traded before the file's first book record."""
    [quotes] = [chunk.copy() for chunk in dbn.read(real_data / "futures_mbp-1_2024-07-01T23-58_2024-07-02T00-02.dbn.zst", "mbp-1")]
    rows = np.zeros(len(quotes), dbn.MBP10)
    for name in ("ts_event", "price", "size", "action", "side", "flags"):
        rows[name] = quotes[name]
    rows["levels"]["bid_px"], rows["levels"]["ask_px"] = dbn.UNDEF_PRICE, dbn.UNDEF_PRICE
    for name in dbn.LEVEL.names or ():
        rows["levels"][:, 0][name] = quotes[f"{name}_00"]
    session = calendar(CONFIG).session(dt.date(2024, 7, 2))
    day = Day(session, CONFIG, depth=1)
    day.step(rows, session.globex.end)
    assert int(day.prints.rows["size"].sum()) == 253
    assert int(day.flow.rows["filled"].sum()) == 251


def test_the_real_hour_has_touches_when_its_levels_and_signals_lie_in_it(real_records: np.ndarray) -> None:
    """A session set by hand: 'premarket' is the first quarter of the hour, averages are short."""
    config = Config.model_validate({"levels": {"sma_bars": (5, 10)}, "touches": {"rearm_points": 0.75, "cooldown_seconds": 60}})
    eve = wall(dt.date(2023, 12, 25), "18:00", "America/New_York")
    minute = 60_000_000_000

    def window(start: int, end: int) -> Window:
        return Window(eve + start * minute, eve + end * minute)

    session: Session = replace(
        calendar(config).session(REAL_DATE), premarket=window(0, 15), opening_range=window(15, 20), signals=window(15, 60),
        regular=window(15, 75), end=eve + 60 * minute,
    )  # fmt: skip
    day = Day(session, config)
    day.step(real_records, session.globex.end)
    assert day.levels.count > 40 and day.touches.count > 3 and day.features.count > 10 and day.signals.count > 1_000
    assert np.isfinite(day.touches.rows["sigma"]).any()


# Simulated dates through the lake


def make(root: Path, dates: list[dt.date]) -> Lake:
    lake = Lake(root, CONFIG)
    for date in dates:
        for result in ingest_date(Intake(date, lake, Landing(root / "landing", CONFIG))).values():
            assert not isinstance(result, Exception), result
    return lake


def contents(lake: Lake, date: dt.date) -> dict[str, str]:
    return {table.name: found.content for table in SILVER if (found := lake.manifest(table, date))}


def run(lake: Lake, date: dt.date) -> dict[str, str]:
    """All Silver of a date; its content hashes."""
    one = Maker(date, lake)
    for stage in SILVER_STAGES:
        one.make(stage)
    return contents(lake, date)


@pytest.fixture(scope="module")
def bronze(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with Bronze of four simulated dates."""
    root = tmp_path_factory.mktemp("bronze")
    simulate(root / "landing", DATES, events_per_session=20_000, seed=11, config=CONFIG)
    make(root, DATES)
    return root


@pytest.fixture(scope="module")
def made(bronze: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The same with Silver, made date by date in this process."""
    root = tmp_path_factory.mktemp("silver")
    shutil.copytree(bronze / "bronze", root / "bronze")
    lake = Lake(root, CONFIG)
    for date in DATES:
        run(lake, date)
    return lake


def test_two_clones_one_and_two_processes_and_any_chunk_give_the_same_content(
    made: Lake, bronze: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {date: contents(made, date) for date in DATES[:2]}
    assert all(set(found) == {table.name for table in SILVER} for found in expected.values())
    for clone in ("two_processes", "small_chunks"):
        shutil.copytree(bronze / "bronze", tmp_path / clone / "bronze")
    code = (
        "import sys, datetime as dt, pathlib\n"
        "from spymaster_assets.config import Config\n"
        "from spymaster_assets.lake import Lake\n"
        "from spymaster_assets.maker import Maker\nfrom spymaster_assets.silver import SILVER_STAGES\n"
        "one = Maker(dt.date.fromisoformat(sys.argv[2]), Lake(pathlib.Path(sys.argv[1]), Config()))\n"
        "[one.make(stage) for stage in SILVER_STAGES if stage.name not in sys.argv[3:]]\n"
    )

    def start(date: dt.date, *without: str) -> subprocess.Popen[bytes]:
        folder = str(tmp_path / "two_processes")
        return subprocess.Popen([sys.executable, "-c", code, folder, str(date), *without], cwd=Path(__file__).parents[1])

    later = ("priors", "levels", "touches", "features", "signals", "labels")  # of the second date: they wait for the first
    both = [start(DATES[0]), start(DATES[1], *later)]
    assert [process.wait(300) for process in both] == [0, 0]
    assert start(DATES[1]).wait(300) == 0
    assert {date: contents(Lake(tmp_path / "two_processes", CONFIG), date) for date in DATES[:2]} == expected

    monkeypatch.setattr(silver, "STEP", 777)
    assert run(Lake(tmp_path / "small_chunks", CONFIG), DATES[0]) == expected[DATES[0]]


def test_what_is_stored_is_what_a_day_in_one_piece_has(made: Lake) -> None:
    """The stages read each other's tables back; a Day that never leaves memory has the same rows."""
    date = DATES[3]
    one = Maker(date, made)
    day = Day(one.session, CONFIG, one.rows(PRIORS))
    for rows in book_records(one):
        day.take(rows)
    day.options.flow = Growing.of(one.rows(OPTION_FLOW))
    day.chain.open_with(one.rows(OPEN_INTEREST))
    day.step(np.zeros(0, dbn.MBP10), day.clock.globex_end)
    for table, rows in ((SNAPS, day.snaps), (PRINTS, day.prints.rows), (FLOW, day.flow.rows)):
        assert rows.tobytes() == made.rows(table, date).tobytes(), table.name
    assert plain(TOUCHES, day.touches.rows) == plain(TOUCHES, made.rows(TOUCHES, date))
    stored = made.rows(FEATURE_ROWS, date)
    rows = day.features.rows[np.lexsort((day.features.rows["k"], day.features.rows["touch"]))]
    assert len(stored) > 20 and plain(FEATURE_ROWS, rows) == plain(FEATURE_ROWS, stored)


def test_priors_are_known_once_three_earlier_dates_are_there(made: Lake) -> None:
    for date, dates in zip(DATES, range(4), strict=True):
        rows, manifest = made.rows(PRIORS, date), made.manifest(PRIORS, date)
        assert manifest is not None
        assert set(rows["dates"].tolist()) == {dates} and len(manifest.facts["dates"]) == dates
        assert len(manifest.facts["missing"]) == CONFIG.priors.lookback - dates
        assert manifest.facts["contract"]["symbol"] == "ESM5"
        assert np.isnan(rows["diffusion"]).all() == (dates < 3)
    summaries = [made.rows(DAY_SUMMARY, date) for date in DATES[:3]]
    middle = np.median([summary["minute_volume"] for summary in summaries], axis=0)
    assert made.rows(PRIORS, DATES[3])["minute_volume"].tolist() == middle.tolist()
    assert made.rows(TOUCHES, DATES[0])["sigma_cold"].all() and not made.rows(TOUCHES, DATES[3])["sigma_cold"].any()


def test_priors_do_not_change_when_the_date_itself_does(made: Lake, bronze: Path, tmp_path: Path) -> None:
    """priors(D) reads earlier dates only: D's own Silver may be gone."""
    shutil.copytree(made.root / "silver", tmp_path / "silver")
    shutil.copytree(bronze / "bronze", tmp_path / "bronze")
    for table in SILVER:
        shutil.rmtree(tmp_path / "silver" / table.name / f"date={DATES[3]}")
    lake = Lake(tmp_path, CONFIG)
    Maker(DATES[3], lake).make(next(stage for stage in SILVER_STAGES if stage.name == "priors"))
    assert lake.manifest(PRIORS, DATES[3]).content == made.manifest(PRIORS, DATES[3]).content  # type: ignore[union-attr]


def test_option_flow_holds_the_0dte_trades_and_nothing_else(made: Lake) -> None:
    """Counted anew from Bronze: options of the date's own expiry, lot by lot and sign by sign."""
    date = DATES[1]
    rows = made.rows(OPTION_FLOW, date)
    con = connect(made)
    trades, lots, signed, all_trades = con.execute(f"""
        select count(*), sum(size)::bigint, sum(case t.side when 'B' then size when 'A' then -size::bigint else 0 end)::bigint,
               (select count(*) from bronze_option_trades where date = '{date}')
        from bronze_option_trades t where t.date = '{date}' and symbol in (
            select raw_symbol from bronze_definitions where date = '{date}' and instrument_class in ('C', 'P')
            and security_type = 'OOF' and user_defined_instrument <> 'Y' and '{date}'
                = cast(make_timestamp_ns(expiration) at time zone 'UTC' at time zone 'America/Chicago' as date))
    """).fetchone() or (0, 0, 0, 0)
    assert (int(rows["trades"].sum()), int(rows["volume"].sum()), int(rows["signed"].sum())) == (trades, lots, signed)
    assert 100 < trades < all_trades
    assert (np.diff(rows["k"].astype(np.int64)) >= 0).all()


def test_a_bucket_without_usual_sizes_tells_nothing_about_what_is_consumed() -> None:
    """Unknown is not a depth of one lot: flow right at the mid, and no good book from which the bucket's medians could come."""
    session = calendar(CONFIG).session(DATES[0])
    day = Day(session, CONFIG)
    rows = np.zeros(144, DAY_SUMMARY.dtype)
    rows["bid_m"] = rows["ask_m"] = np.nan
    k = (session.signals.start - day.clock.open) // day.clock.interval + 240
    day.complete(session.globex.end)
    day.snaps["ask_ticks"], day.snaps["bid_ticks"] = 30_000, 20_000  # both far from the mid: the zone is better than the best
    day.snaps["ask_shown"] = day.snaps["bid_shown"] = 2
    day.snaps["mid2"], day.snaps["flow_rows"] = 48_000, 1
    flow = np.zeros(1, FLOW.dtype)
    flow["k"], flow["side"], flow["ticks"], flow["filled"] = k, ord("A"), 24_000, 5
    shares = [
        share_around(k, k - 4, direction, day.snaps, flow, rows, CONFIG, barrier_params(CONFIG, np.nan), day.clock)
        for direction in (0, 1)
    ]
    assert np.isnan(shares).all()
