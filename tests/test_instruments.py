"""Other instruments through the same pipeline: settings files, calendars, hours around the clock, prices below zero, and parity.

The scaling test says that nothing of ES hides in the code: the same book with another tick, and every distance in points changed by
the same ratio, gives the same rows in ticks and the scaled ones in points.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from spymaster_assets import dbn
from spymaster_assets.compute.stream import Day
from spymaster_assets.config import Config, load
from spymaster_assets.daily import run_dates
from spymaster_assets.expiring import Contract
from spymaster_assets.lake import Lake
from spymaster_assets.schema import TEXT, Table
from spymaster_assets.sessions import DAY, MONTHS, calendar, expiry_of, nearest_contract, to_datetime
from spymaster_assets.simulator.write import simulate
from spymaster_assets.states import FUEL_UNKNOWN, KEY_KINDS, LEVEL_KINDS, OR_HIGH, PD_CLOSE
from spymaster_assets.tables import (
    BARS,
    DAY_SUMMARY,
    FEATURE_ROWS,
    FLOW,
    LABELS,
    LEVELS,
    OPTION_FLOW,
    PRINTS,
    PRIORS,
    SEQUENCES,
    SIGNALS,
    SNAPS,
    TOUCHES,
    TRAINING,
    UNDEF_PRICE,
)
from spymaster_live.engine import Engine
from spymaster_live.feed import plan
from spymaster_live.gateway.rest import _rules
from spymaster_live.messages import ROWS, read, unpack
from spymaster_live.parity import Said, differences
from spymaster_live.rehearsal import rehearse
from tests import build, short_day

FOLDER = Path(__file__).parents[1] / "instruments"
NAMES = sorted(path.stem for path in FOLDER.glob("*.toml"))
HOUR = 3_600_000_000_000


def config_of(name: str, **more: Mapping[str, Any]) -> Config:
    """The configuration of a settings file, overlaid by groups."""
    settings = tomllib.loads((FOLDER / f"{name}.toml").read_text())
    return Config.model_validate(settings | {group: {**settings.get(group, {}), **values} for group, values in more.items()})


# ---- settings files ----


def test_the_file_of_es_states_the_defaults() -> None:
    assert load(FOLDER / "ES.toml") == Config()


def test_each_file_says_by_its_name_what_it_is_of() -> None:
    assert NAMES == ["BTC", "CL", "ES", "GC", "MES", "NQ"]
    assert [load(FOLDER / f"{name}.toml").instrument.root for name in NAMES] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_distance_that_means_es_is_stated_or_means_the_same(name: str) -> None:
    """A file of another tick or price states whatever ES.toml states in points; MES has ES's prices."""
    wanted, stated = (tomllib.loads((FOLDER / f"{one}.toml").read_text()) for one in ("ES", name))
    groups = ("levels", "touches", "tape", "labels", *(("fuel",) if load(FOLDER / f"{name}.toml").instrument.option_parents else ()))
    missing = {(group, key) for group in groups for key in wanted[group] if key not in stated.get(group, {})}
    if name == "MES":
        assert "levels" not in stated and "touches" not in stated and "labels" not in stated
    elif name == "NQ":
        assert missing == {("labels", "diurnal_shape"), ("fuel", "option_tick"), ("fuel", "option_large_tick")}  # as ES's
    else:
        assert missing == set()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"touches": {"monitor_band": 0.3}}, "monitor_band: 0.3 points are not a whole number of ticks"),
        ({"instrument": {"tick": 100_000_000}}, "monitor_band: 0.25 points are not a whole number of ticks, which are 0.1 points"),
        ({"instrument": {"tick": 300_000_000}}, "neither is a point a whole number of ticks"),
        ({"touches": {"rearm_points": 0.25}}, "rearm_points: expected more than monitor_band"),
        ({"labels": {"label_barrier_max_points": 1.0}}, "label_barrier_min_points <= label_barrier_max_points"),
        ({"labels": {"label_barrier_max_points": 30_000.0}}, "100,000 ticks"),
        ({"instrument": {"months": "ZH"}}, "in the order of the year"),
        ({"instrument": {"option_parents": []}, "fuel": {"w_g": 30.0}}, "nothing of it counts without options"),
        ({"instrument": {"option_parents": []}, "levels": {"signal_kinds": ["CALL_WALL"], "context_kinds": []}}, "no walls without"),
        ({"sessions": {"premarket_start": "09:31"}}, "premarket_start <= regular_open"),
        ({"sessions": {"regular_close": "09:30"}}, "regular_open < regular_close"),
        ({"sessions": {"globex_open": "15:00"}}, "globex_close <= bronze_cut <= globex_open"),
        ({"sessions": {"premarket_start": "-18:00"}, "labels": {"diurnal_shape": [["-18:00", 1.0]]}}, "signals_end is later"),
        ({"sessions": {"premarket_start": "03:00"}}, "the first not after sessions.premarket_start"),
        ({"levels": {"stacking_points": [5.0, 2.0, 10.0]}}, "three rising distances"),
        ({"grid": {"bucket_minutes": 7}}, "5 or 10"),
    ],
)
def test_nonsense_is_refused_in_a_sentence(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config.model_validate(settings)


def test_times_that_fit_into_no_session_are_refused() -> None:
    early = Config.model_validate({"sessions": {"globex_open": "23:30", "exchange_zone": "America/New_York", "premarket_start": "-22:00"},
                                   "grid": {"bucket_minutes": 10}, "labels": {"diurnal_shape": [["-22:00", 1.0]]}})  # fmt: skip
    with pytest.raises(ValueError, match="on 2025-06-03 expected globex_open <= premarket_start"):
        calendar(early).session(dt.date(2025, 6, 3))


# ---- contracts: expiries as the exchange published them ----


@pytest.mark.parametrize(
    ("name", "symbol", "near", "expiry"),
    [
        ("CL", "CLK0", "2020-04-01", "2020-04-21"),  # the day after prices fell below zero
        ("CL", "CLF4", "2023-12-01", "2023-12-19"),
        ("CL", "CLG4", "2024-01-02", "2024-01-22"),
        ("CL", "CLN5", "2025-06-03", "2025-06-20"),
        ("GC", "GCZ3", "2023-12-01", "2023-12-27"),
        ("GC", "GCQ5", "2025-06-03", "2025-08-27"),
        ("BTC", "BTCF4", "2024-01-02", "2024-01-26"),
        ("BTC", "BTCM5", "2025-06-03", "2025-06-27"),
        ("MES", "MESM5", "2025-06-03", "2025-06-20"),
        ("NQ", "NQZ5", "2025-06-03", "2025-12-19"),
    ],
)
def test_expiries(name: str, symbol: str, near: str, expiry: str) -> None:
    config = config_of(name, sessions={"first_date": "2020-01-02"}) if near < "2022" else config_of(name)
    assert expiry_of(symbol, dt.date.fromisoformat(near), config) == dt.date.fromisoformat(expiry)


@pytest.mark.parametrize(
    ("name", "day", "contract"),
    [
        ("CL", "2025-06-03", "CLN5"), ("CL", "2025-06-16", "CLN5"), ("CL", "2025-06-17", "CLQ5"), ("CL", "2025-12-03", "CLF6"),
        ("GC", "2025-06-03", "GCQ5"), ("GC", "2025-07-28", "GCQ5"), ("GC", "2025-07-29", "GCZ5"), ("GC", "2025-12-01", "GCG6"),
        ("BTC", "2025-06-24", "BTCM5"), ("BTC", "2025-06-25", "BTCN5"), ("BTC", "2025-12-24", "BTCF6"), ("NQ", "2025-06-03", "NQM5"),
    ],
)  # fmt: skip
def test_the_calendar_rule_takes_every_month_that_counts(name: str, day: str, contract: str) -> None:
    assert nearest_contract(dt.date.fromisoformat(day), config_of(name)) == contract


# ---- around the clock ----


def test_dates_of_a_market_without_a_pause_join() -> None:
    config = config_of("BTC")
    trading = calendar(config)
    days = trading.dates(dt.date(2025, 3, 1), dt.date(2025, 11, 30))
    assert [after - before for before, after in zip(days, days[1:], strict=False)] == [DAY] * 274  # weekends and holidays too
    for before, after in zip(map(trading.session, days), map(trading.session, days[1:]), strict=False):
        assert before.globex == before.bronze and before.globex.end == after.globex.start
        assert before.regular == before.globex and before.premarket.start == before.premarket.end == before.globex.start
        assert not before.early_close and before.end == before.globex.end - HOUR // 4
        assert trading.date_of(before.globex.end) == before.date and trading.date_of(before.globex.end + 1) == after.date


def test_days_of_23_and_25_hours() -> None:
    """Chicago's clocks were put forward on 9 March 2025, and back on 2 November."""
    trading = calendar(config_of("BTC"))
    for day, hours in (("2025-03-08", 24), ("2025-03-09", 23), ("2025-03-10", 24), ("2025-11-02", 25), ("2025-11-03", 24)):
        start, end = trading.session(dt.date.fromisoformat(day)).globex
        assert (end - start) // HOUR == hours
        assert to_datetime(end, "America/Chicago").hour == 17


def test_a_regular_close_of_its_own_ends_the_date_before_the_calendar_does() -> None:
    """CL's day session ends at 14:30 New York time; on 3 July 2025 the stock market closes at 13:00."""
    trading = calendar(config_of("CL"))
    usual, half = (trading.session(dt.date(2025, 7, day)) for day in (2, 3))
    assert [to_datetime(one.regular.end, "America/New_York").strftime("%H:%M") for one in (usual, half)] == ["14:30", "13:00"]
    assert [one.early_close for one in (usual, half)] == [False, True]
    assert to_datetime(usual.end, "America/New_York").strftime("%H:%M") == "14:15"


# ---- the same in ticks ----

RATIO = 25  # of the two ticks, 0.25 and 0.01
POWER = {  # of the ratio in a number of this unit
    "points": -1, "points/s": -1, "points/s^2": -1, "points/min": -1, "points/sqrt(s)": -1, "points^2/s": -2, "1e-9 USD": -1, "USD": -1,
    "contracts/point": 1, "contracts/point/s": 1,
}  # fmt: skip
IN_POINTS = {
    "levels": ("round_points", "stacking_points", "confluence_points", "trend_points"),
    "touches": ("monitor_band", "rearm_points", "episode_points"),
    "tape": ("tape_band",),
    "fuel": (
        "fuel_strike_range", "smile_range", "es_0dte_strike_spacing", "flip_step", "option_tick", "option_large_tick",
        "option_large_from", "total_volatility_floor",
    ),
    "labels": ("label_barrier_min_points", "label_barrier_max_points", "sigma_min"),
}  # fmt: skip
PER_POINT = {"fuel": ("threshold_min", "threshold_cold")}


def scaled_config(config: Config) -> Config:
    """The configuration for a tick of 0.01 instead of 0.25."""
    settings = config.model_dump()
    for names, ratio in ((IN_POINTS, 1 / RATIO), (PER_POINT, RATIO)):
        for group, keys in names.items():
            for key in keys:
                value = settings[group][key]
                settings[group][key] = tuple(round(v * ratio, 9) for v in value) if isinstance(value, tuple) else round(value * ratio, 9)
    settings["instrument"]["tick"] //= RATIO
    return Config.model_validate(settings)


def scaled_prices(rows: np.ndarray, *names: str) -> None:
    for name in names:
        known = rows[name] != UNDEF_PRICE
        assert (rows[name][known] % RATIO == 0).all()
        rows[name] = np.where(known, rows[name] // RATIO, UNDEF_PRICE)


def scaled_table(table: Table, rows: np.ndarray, power: int) -> np.ndarray:
    """Rows with everything in points, or per point, changed by the ratio."""
    out = rows.copy()
    for column in table.columns:
        if column.dtype == "f8" and column.unit in POWER:
            values = table.place(column, out)
            values *= float(RATIO) ** (power * POWER[column.unit])
    return out


def apart(table: Table, mine: np.ndarray, scaled: np.ndarray) -> list[str]:
    """Columns in which the scaled rows are not what the others say."""
    assert len(mine) == len(scaled), table.name
    found = []
    for column in table.columns:
        if column.dtype == TEXT:
            continue
        ours, theirs = table.place(column, mine), table.place(column, scaled)
        power = POWER.get(column.unit, 0)
        if ours.dtype.kind == "f":
            with np.errstate(invalid="ignore"):
                same = np.allclose(theirs, ours * float(RATIO) ** power, rtol=1e-6 if ours.dtype.itemsize == 4 else 1e-9, atol=1e-9, equal_nan=True)
        elif power:
            same = bool((np.abs(np.where(ours == theirs, 0, theirs * RATIO - ours)) < RATIO).all())  # rounded to 1e-9 USD
        else:
            same = np.array_equal(ours, theirs)
        if not same:
            found.append(f"{table.name}.{column.name}")
    return found


def tables_of(config: Config, records: np.ndarray, events: np.ndarray, priors: np.ndarray, of: Mapping[int, Contract]) -> dict[Table, np.ndarray]:
    day = short_day.begin(Day(short_day.SESSION, config, priors), events, of)
    day.step(records, short_day.SESSION.globex.end)
    bars = np.concatenate([one.rows for one in day.bars.values()])
    return {
        SNAPS: day.snaps, PRINTS: day.prints.rows, FLOW: day.flow.rows, BARS: bars, LEVELS: day.levels.rows, TOUCHES: day.touches.rows,
        OPTION_FLOW: day.options.flow.rows, FEATURE_ROWS: day.features.rows, SIGNALS: day.signals.rows, LABELS: day.labels(),
        DAY_SUMMARY: day.summary(), SEQUENCES: short_day.sequences(day),
    }  # fmt: skip


def test_the_same_book_with_another_tick_is_the_same_in_ticks() -> None:
    config = short_day.CONFIG
    records, events = short_day.records().copy(), short_day.option_events().copy()
    mine = tables_of(config, records, events.copy(), short_day.priors(), short_day.contracts())
    scaled_prices(records, "price")
    for name in ("bid_px", "ask_px"):
        scaled_prices(records["levels"], name)
    scaled_prices(events, "price", "ask")
    of = {number: Contract(one.strike // RATIO, one.call, one.expiration) for number, one in short_day.contracts().items()}
    scaled = tables_of(scaled_config(config), records, events, scaled_table(PRIORS, short_day.priors(), 1), of)
    assert [text for table in mine for text in apart(table, mine[table], scaled[table])] == []
    assert len(mine[TOUCHES]) > 5 and (mine[FEATURE_ROWS]["fuel_effect"] != FUEL_UNKNOWN).mean() > 0.9
    assert not np.isnan(mine[FEATURE_ROWS]["gamma_flip"]).all() and not np.isnan(mine[FEATURE_ROWS]["gamma_wall_ahead"]).all()


def test_the_scaling_test_sees_a_constant_that_is_not_scaled() -> None:
    """The check of the check: every distance but one is scaled."""
    config = scaled_config(short_day.CONFIG)
    left = config.model_copy(update={"touches": config.touches.model_copy(update={"rearm_points": 2.0})})
    records = short_day.records().copy()
    scaled_prices(records, "price")
    for name in ("bid_px", "ask_px"):
        scaled_prices(records["levels"], name)
    touches = []
    for one in (config, left):
        day = Day(short_day.SESSION, one, scaled_table(PRIORS, short_day.priors(), 1))
        day.step(records, short_day.SESSION.globex.end)
        touches.append(day.touches.count)
    assert touches[0] > touches[1]


def simulated(folder: Path, config: Config) -> dict[str, np.ndarray]:
    simulate(folder, [short_day.DATE], events_per_session=5_000, seed=3, config=config)
    found = {}
    for path in sorted(folder.rglob("*.dbn.zst")):
        schema = path.name.split(".")[1]
        found[f"{path.parent.name}/{path.name}"] = np.concatenate([chunk.copy() for chunk in dbn.read(path, schema)])
    return found


def test_the_simulated_market_is_the_same_in_ticks(tmp_path: Path) -> None:
    mine, scaled = simulated(tmp_path / "es", Config()), simulated(tmp_path / "scaled", scaled_config(Config()))
    assert list(mine) == list(scaled)
    for name, rows in mine.items():
        theirs = scaled[name]
        assert len(rows) == len(theirs) and rows.dtype == theirs.dtype
        for field in {"price", "bid_px_00", "ask_px_00", "strike_price"} & {*(rows.dtype.names or ())}:
            known = rows[field] != UNDEF_PRICE
            if "spread" not in name and "trades" not in name:
                same = rows[field][known] == theirs[field][known] * RATIO
                assert same.mean() > 0.999, (name, field)  # a premium in 1/65536 tick may round to the other side of an option tick
        if "levels" in (rows.dtype.names or ()):
            for side in ("bid_px", "ask_px"):
                prices, other = rows["levels"][side], theirs["levels"][side]
                assert np.array_equal(np.where(prices == UNDEF_PRICE, 0, prices), np.where(other == UNDEF_PRICE, 0, other * RATIO))


# ---- through the lake, and live ----

SMALL = {  # thin dates pass
    "covered_share_min": 0.3, "silent_share_max": 0.9, "geometry_z_max": 50.0, "resolved_share_max": 1.0, "censored_share_max": 1.0,
}  # fmt: skip
SECOND = {"interval_ns": 1_000_000_000}  # a quarter of the snaps


def made(root: Path, config: Config, dates: list[dt.date]) -> Lake:
    """Everything from landing to Gold; what a blocking check refuses is an AssertionError."""
    lake = Lake(root, config)
    with dg.partition_loading_context(effective_dt=dt.datetime(2025, 6, 1, tzinfo=dt.UTC)):
        reports = list(run_dates(lake, dates))
    assert [report.trouble for report in reports] == [[]] * len(dates)
    return lake


def said_live(lake: Lake, date: dt.date) -> Said:
    """What an engine says to the date's feed, every message through its bytes as on the bus."""
    engine, ids = Engine(lake.config), []
    parts: list[dict[str, np.ndarray]] = []
    for item in plan(lake, date, 0).messages("run"):
        sent = item.message()
        for told in engine.take(read(sent.subject, sent.headers, sent.data)):
            ids.append(told.headers["Nats-Msg-Id"])
            if told.subject == "levels.rows":
                parts.append(unpack(ROWS, told.headers["Rows"], told.data))
    assert engine.done
    rows = {table.name: np.concatenate([np.zeros(0, table.dtype), *(part[table.name] for part in parts)]) for table in ROWS}
    return Said(rows, {}, tuple(ids))


TUESDAY, SATURDAY = dt.date(2025, 6, 3), dt.date(2025, 6, 7)
DATES = {"BTC": [SATURDAY, SATURDAY + DAY]}  # the first tells the second of the day before
EVENTS = 12_000


@pytest.mark.parametrize("name", [name for name in NAMES if name != "ES"])
def test_an_instrument_from_landing_to_gold_and_live(name: str, tmp_path: Path) -> None:
    grid = {**tomllib.loads((FOLDER / f"{name}.toml").read_text()).get("grid", {}), **SECOND}
    config, dates = config_of(name, quality=SMALL, grid=grid), DATES.get(name, [TUESDAY])
    simulate(tmp_path / "landing", dates, events_per_session=EVENTS, seed=11, config=config)
    lake, date = made(tmp_path, config, dates), dates[-1]
    found, counts = differences(lake, date, said_live(lake, date))
    assert found == []
    assert min(counts.values()) > 0, counts
    rows = lake.rows(TRAINING, date)
    assert len(rows) and ((rows["fuel_effect"] == FUEL_UNKNOWN).all() if not config.instrument.option_parents else True)
    kinds = {LEVEL_KINDS[kind] for kind in lake.rows(LEVELS, date)["kind"].tolist()}
    if name == "BTC":
        assert {*KEY_KINDS} - kinds == {"PM_HIGH", "PM_LOW"} and {"PD_HIGH", "PD_LOW", "PD_CLOSE"} <= kinds
        session = calendar(config).session(date)
        levels = lake.rows(LEVELS, date)
        assert set(levels["valid_from"][levels["kind"] == PD_CLOSE].tolist()) == {session.globex.start}
        assert set(levels["valid_from"][levels["kind"] == OR_HIGH].tolist()) == {session.globex.start + HOUR // 4}
        times = (lake.rows(TOUCHES, date)["t0"] - session.globex.start) // HOUR
        assert times.min() < 8 and times.max() >= 12  # touches through the day
        assert not np.isnan(lake.rows(TOUCHES, date)["sigma"][times >= 12]).any()  # what is usual is known beyond 12 hours
    else:
        assert {*KEY_KINDS} <= kinds
    if config.instrument.option_parents:
        assert (rows["fuel_effect"] != FUEL_UNKNOWN).any()


def test_prices_below_zero(tmp_path: Path) -> None:
    """As crude oil's in April 2020: the simulated book is moved until its middle stands at zero; it is the same but for the prices."""
    config = config_of("CL", quality=SMALL, grid=SECOND)
    above, below = tmp_path / "above", tmp_path / "below"
    for root in (above, below):
        simulate(root / "landing", [TUESDAY], events_per_session=EVENTS, seed=11, config=config)
    tick = config.instrument.tick
    book = next((above / "landing").rglob(f"*-{TUESDAY:%Y%m%d}.mbp-10.dbn.zst"))
    middle = int(np.median(next(dbn.read(book, "mbp-10"))["levels"]["bid_px"][:, 0])) // (50 * tick) * 50 * tick  # a round number

    def lowered(rows: np.ndarray) -> np.ndarray:
        for prices in [rows["price"], *(rows["levels"][side] for side in ("bid_px", "ask_px") if "levels" in (rows.dtype.names or ()))]:
            prices[prices != UNDEF_PRICE] -= middle
        return rows

    for path in sorted((below / "landing").rglob("*.dbn.zst")):
        if "definition" not in path.name:
            build.rewrite(path, lowered)
    lakes = [made(root, config, [TUESDAY]) for root in (above, below)]
    found, _ = differences(lakes[1], TUESDAY, said_live(lakes[1], TUESDAY))
    assert found == []
    prints = lakes[1].rows(PRINTS, TUESDAY)["ticks"]
    assert prints.min() < -20 and prints.max() > 20
    one, other = (lake.rows(TRAINING, TUESDAY) for lake in lakes)
    assert np.array_equal(one["price"] - middle, other["price"]) and len(one)
    changed = [
        column for column in TRAINING.names
        if column in one.dtype.names and not np.array_equal(one[column], other[column], equal_nan=one[column].dtype.kind == "f")
    ]  # fmt: skip
    assert set(changed) <= {"price", "ticks", "entry_ticks", "entry_high", "entry_low", "sweep_notional", "approach_sweep_notional", *moved(one)}


def moved(rows: np.ndarray) -> set[str]:
    """Columns in ticks from zero."""
    return {column.name for column in TRAINING.columns if column.unit == "ticks" and not column.name.startswith("theta")}


# ---- what is shown, and what is compiled before a session ----


@pytest.mark.parametrize("name", NAMES)
def test_a_rehearsal_has_a_touch(name: str) -> None:
    assert rehearse(config_of(name)) > 0


@pytest.mark.parametrize(("name", "digits", "tick"), [("ES", 2, 0.25), ("CL", 2, 0.01), ("GC", 1, 0.1), ("BTC", 0, 5.0)])
def test_the_page_is_told_what_a_price_looks_like(name: str, digits: int, tick: float) -> None:
    rules = _rules(config_of(name))
    assert (rules["digits"], rules["tick"], rules["point"]) == (digits, tick, 10**9)


def test_months_are_all_of_the_year() -> None:
    assert len(MONTHS) == 12 and {*config_of("CL").instrument.months} == {*MONTHS}
