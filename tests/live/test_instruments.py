"""Other instruments from landing to Gold, every check passed, and live: the rows of an engine are those of Silver, byte for byte.

BTC joins its dates at weekends, GC has a tick of 0.1 and options, CL one of 0.01 and prices below zero; the others are slow, and so
are all of them over a real bus: `python -m pytest -m slow tests/live/test_instruments.py`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from spymaster_assets import dbn
from spymaster_assets.config import Config, load
from spymaster_assets.daily import run_dates
from spymaster_assets.ingest import Intake, ingest_date
from spymaster_assets.lake import Lake
from spymaster_assets.landing import Landing
from spymaster_assets.maker import Maker
from spymaster_assets.sessions import DAY, calendar
from spymaster_assets.silver import SILVER_STAGES
from spymaster_assets.simulator.write import simulate
from spymaster_assets.states import FUEL_UNKNOWN, KEY_KINDS, LEVEL_KINDS, OR_HIGH, PD_CLOSE
from spymaster_assets.tables import LEVELS, PRINTS, TOUCHES, TRAINING, UNDEF_PRICE
from spymaster_live.engine import Engine
from spymaster_live.feed import plan
from spymaster_live.messages import ROWS, Clock, Frame, Session, read, unpack
from spymaster_live.parity import Said, differences
from tests import build
from tests.instruments import FOLDER, NAMES, config_of, stated
from tests.live.rig import rig

HOUR = 3_600_000_000_000
TUESDAY, SATURDAY = dt.date(2025, 6, 3), dt.date(2025, 6, 7)
EVENTS, SEED = 12_000, 11
THIN = {  # thin dates pass
    "covered_share_min": 0.3, "silent_share_max": 0.9, "geometry_z_max": 50.0, "resolved_share_max": 1.0, "censored_share_max": 1.0,
}  # fmt: skip


def coarse(name: str, **more: dict[str, object]) -> Config:
    """The configuration of an instrument with a snap a second, a quarter of them."""
    return config_of(name, quality=THIN, grid={**stated(name).get("grid", {}), "interval_ns": 1_000_000_000}, **more)


def made(root: Path, config: Config, date: dt.date) -> Lake:
    """Everything from landing to Gold; what a blocking check refuses is an AssertionError."""
    lake = Lake(root, config)
    with dg.partition_loading_context(effective_dt=dt.datetime(2025, 6, 1, tzinfo=dt.UTC)):
        [report] = run_dates(lake, [date])
    assert report.trouble == []
    return lake


def silver(root: Path, config: Config, date: dt.date, *stages: str) -> None:
    """Bronze of a date, and its Silver or some stages of it."""
    lake = Lake(root, config)
    ingest_date(Intake(date, lake, Landing(root / "landing", config)))
    for stage in SILVER_STAGES:
        if not stages or stage.name in stages:
            Maker(date, lake).make(stage)


def said_live(lake: Lake, date: dt.date, sent: Iterable[Session | Frame | Clock] = ()) -> Said:
    """What an engine says to the date's feed, or to other messages, each through its bytes as on the bus."""
    engine, ids = Engine(lake.config), []
    parts: list[dict[str, np.ndarray]] = []
    for item in sent or plan(lake, date, 0).messages("run"):
        one = item.message()
        for told in engine.take(read(one.subject, one.headers, one.data)):
            ids.append(told.headers["Nats-Msg-Id"])
            if told.subject == "levels.rows":
                parts.append(unpack(ROWS, told.headers["Rows"], told.data))
    assert engine.done
    rows = {table.name: np.concatenate([np.zeros(0, table.dtype), *(part[table.name] for part in parts)]) for table in ROWS}
    return Said(rows, {}, tuple(ids))


def same_live(lake: Lake, date: dt.date) -> None:
    found, counts = differences(lake, date, said_live(lake, date))
    assert found == []
    assert min(counts.values()) > 0, counts


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=pytest.mark.slow) if one != "GC" else one for one in ("CL", "GC", "MES", "NQ")]
)
def test_an_instrument_from_landing_to_gold_and_live(name: str, tmp_path: Path) -> None:
    config = coarse(name)
    simulate(tmp_path / "landing", [TUESDAY], events_per_session=EVENTS, seed=SEED, config=config)
    lake = made(tmp_path, config, TUESDAY)
    same_live(lake, TUESDAY)
    rows = lake.rows(TRAINING, TUESDAY)
    assert {*KEY_KINDS} <= {LEVEL_KINDS[kind] for kind in lake.rows(LEVELS, TUESDAY)["kind"].tolist()}
    assert (rows["fuel_effect"] != FUEL_UNKNOWN).any() == bool(config.instrument.option_parents)
    prices = lake.rows(TOUCHES, TUESDAY)["price"]
    assert (
        len(prices)
        and (lake.rows(TOUCHES, TUESDAY)["ticks"] == (2 * prices + config.instrument.tick) // (2 * config.instrument.tick)).all()
    )


def test_around_the_clock(tmp_path: Path) -> None:
    """A Saturday that knows its Friday: no premarket, levels from the beginning on, touches and what is usual through the day."""
    key = {*stated("BTC")["levels"]["signal_kinds"], "VWAP"}
    kinds = {"signal_kinds": [*key], "context_kinds": [kind for kind in LEVEL_KINDS if kind not in key]}
    config, date = coarse("BTC", levels=kinds), SATURDAY
    simulate(tmp_path / "landing", [date - DAY, date], events_per_session=EVENTS, seed=SEED, config=config)
    silver(tmp_path, config, date - DAY, "grid", "option_flow", "bars", "day_summary")
    lake = made(tmp_path, config, date)
    same_live(lake, date)
    session, levels, touches = calendar(config).session(date), lake.rows(LEVELS, date), lake.rows(TOUCHES, date)
    missing = {*LEVEL_KINDS} - {LEVEL_KINDS[kind] for kind in levels["kind"].tolist()}
    assert missing == {"PM_HIGH", "PM_LOW", "ON_HIGH", "ON_LOW", "CALL_WALL", "PUT_WALL"}
    assert set(levels["valid_from"][levels["kind"] == PD_CLOSE].tolist()) == {session.globex.start}
    assert set(levels["valid_from"][levels["kind"] == OR_HIGH].tolist()) == {session.globex.start + HOUR // 4}
    hours = (touches["t0"] - session.globex.start) // HOUR
    assert hours.min() < 4 and hours.max() >= 20
    assert not np.isnan(touches["sigma"][hours > 0]).any()  # what is usual is known beyond 12 hours


def test_prices_below_zero(tmp_path: Path) -> None:
    """As crude oil's in April 2020: the simulated book is moved until its middle is zero; all is the same but the prices."""
    config, tick = coarse("CL"), config_of("CL").instrument.tick
    above, below = tmp_path / "above", tmp_path / "below"
    for root in (above, below):
        simulate(root / "landing", [TUESDAY], events_per_session=EVENTS, seed=SEED, config=config)
    book = next((above / "landing").rglob(f"*-{TUESDAY:%Y%m%d}.mbp-10.dbn.zst"))
    middle = int(np.median(next(dbn.read(book, "mbp-10"))["levels"]["bid_px"][:, 0])) // (50 * tick) * 50 * tick  # a round number

    def lowered(rows: np.ndarray) -> np.ndarray:
        sides = [rows["levels"][side] for side in ("bid_px", "ask_px")] if "levels" in (rows.dtype.names or ()) else []
        for prices in (rows["price"], *sides):
            prices[prices != UNDEF_PRICE] -= middle
        return rows

    for path in sorted((below / "landing").rglob("*.dbn.zst")):
        if "definition" not in path.name:
            build.rewrite(path, lowered)
    lakes = [made(root, config, TUESDAY) for root in (above, below)]
    same_live(lakes[1], TUESDAY)
    ticks = lakes[1].rows(PRINTS, TUESDAY)["ticks"]
    assert ticks.min() < -20 and ticks.max() > 20
    one, other = (lake.rows(TRAINING, TUESDAY) for lake in lakes)
    assert len(one) and np.array_equal(one["price"] - middle, other["price"])
    moved = {"price", "sweep_notional", "approach_sweep_notional"}
    moved |= {column.name for column in TRAINING.columns if column.unit == "ticks" and not column.name.startswith("theta")}
    kept = [name for name in one.dtype.names or () if name not in moved]
    assert [name for name in kept if not np.array_equal(one[name], other[name], equal_nan=one[name].dtype.kind == "f")] == []
    assert not (other["sweep_notional"] < 0).any()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_over_a_bus(name: str, tmp_path: Path) -> None:
    """The settings file as it is, with a server, a feed and an engine of its own."""
    date = SATURDAY if name == "BTC" else TUESDAY
    config, root = FOLDER / f"{name}.toml", tmp_path / "lake"
    simulate(root / "landing", [date], events_per_session=20_000, seed=SEED, config=load(config))
    silver(root, load(config), date)
    with rig(root, tmp_path / "live", {"": config}) as live:
        live.engine()
        live.feed(date, "--speed", "0")
        live.finish(600)
        print(name, live.compared(date))
