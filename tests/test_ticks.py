"""Nothing of ES hides in the code: the same book with another tick is the same in ticks.

The short day with a tick of 0.01 instead of 0.25 and every distance in points changed by the same ratio gives the same rows in
ticks, and in points, per point and in USD those that follow from a column's declared unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from spymaster_assets import dbn
from spymaster_assets.compute.black76 import gamma
from spymaster_assets.compute.stream import Day
from spymaster_assets.config import Config
from spymaster_assets.expiring import Contract
from spymaster_assets.features.context import TRENDS
from spymaster_assets.schema import TEXT, Table
from spymaster_assets.simulator.write import simulate
from spymaster_assets.states import FUEL_UNKNOWN
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
    UNDEF_PRICE,
)
from tests import short_day

RATIO = 25  # of the two ticks, 0.25 and 0.01
POWER = {  # of the ratio in a number of this unit
    "points": -1, "points/s": -1, "points/s^2": -1, "points/min": -1, "points/sqrt(s)": -1, "points^2/s": -2, "1e-9 USD": -1,
    "USD": -1, "contracts/point": 1, "contracts/point/s": 1,
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
                settings[group][key] = (
                    tuple(round(v * ratio, 9) for v in value) if isinstance(value, tuple) else round(value * ratio, 9)
                )
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


def unit_of(table: Table, name: str) -> str:
    """A column's unit; of the change of another column since an earlier touch, that one's."""
    return table[TRENDS.get(name, name)].unit


def apart(table: Table, mine: np.ndarray, scaled: np.ndarray) -> list[str]:
    """Columns in which the scaled rows are not what the others say."""
    assert len(mine) == len(scaled), table.name
    found = []
    for column in table.columns:
        if column.dtype == TEXT:
            continue
        ours, theirs = table.place(column, mine), table.place(column, scaled)
        power = POWER.get(unit_of(table, column.name), 0)
        if ours.dtype.kind == "f":
            rounded = ours.dtype.itemsize == 4 or "vwap" in column.name  # a mean price is a whole number of 1e-9 USD
            ours = ours * float(RATIO) ** power
            same = np.allclose(theirs, ours, rtol=1e-6 if rounded else 1e-9, atol=1e-9, equal_nan=True)
        elif power:
            same = bool((np.abs(np.where(ours == theirs, 0, theirs * RATIO - ours)) < RATIO).all())
        else:
            same = np.array_equal(ours, theirs)
        if not same:
            found.append(f"{table.name}.{column.name}")
    return found


def tables_of(
    config: Config, records: np.ndarray, events: np.ndarray, priors: np.ndarray, of: Mapping[int, Contract]
) -> dict[Table, np.ndarray]:
    day = short_day.begin(Day(short_day.SESSION, config, priors), events, of)
    day.step(records, short_day.SESSION.globex.end)
    bars = np.concatenate([one.rows for one in day.bars.values()])
    return {
        SNAPS: day.snaps, PRINTS: day.prints.rows, FLOW: day.flow.rows, BARS: bars, LEVELS: day.levels.rows,
        TOUCHES: day.touches.rows, OPTION_FLOW: day.options.flow.rows, FEATURE_ROWS: day.features.rows, SIGNALS: day.signals.rows,
        LABELS: day.labels(), DAY_SUMMARY: day.summary(), SEQUENCES: short_day.sequences(day),
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
    """But for quotes of options: a premium in 1/65536 tick may round to the other side of an option's tick."""
    mine, scaled = simulated(tmp_path / "es", Config()), simulated(tmp_path / "scaled", scaled_config(Config()))
    assert list(mine) == list(scaled)
    for name, rows in mine.items():
        theirs = scaled[name]
        assert len(rows) == len(theirs) > 0
        if "levels" in (rows.dtype.names or ()):
            assert [np.array_equal(in_ratio(rows["levels"][side]), theirs["levels"][side]) for side in ("bid_px", "ask_px")] == [
                True
            ] * 2
        front = rows["instrument_id"] == np.bincount(rows["instrument_id"]).argmax()  # a spread has a tick of its own
        for field in {"price", "bid_px_00", "strike_price"} & {*(rows.dtype.names or ())}:
            same = (in_ratio(rows[field]) == theirs[field])[front | name.startswith("options")]
            assert same.mean() > (0.999 if name.startswith("options") else 0.9999), (name, field)


def in_ratio(prices: np.ndarray) -> np.ndarray:
    return np.where(prices == UNDEF_PRICE, prices, prices // RATIO)


def test_below_zero_fuel_is_unknown_and_nothing_else_is_missed() -> None:
    """Black (1976) has no price there; the options of the short day stay where they are."""
    records = short_day.records().copy()
    prices = [records["price"], records["levels"]["bid_px"], records["levels"]["ask_px"]]
    for one in prices:
        one[one != UNDEF_PRICE] -= 10_000 * short_day.CONFIG.instrument.point
    day = short_day.begin(Day(short_day.SESSION, short_day.CONFIG, short_day.priors()), short_day.option_events().copy())
    day.step(records, short_day.SESSION.globex.end)
    expected = short_day.run(short_day.records(), short_day.priors())
    assert day.snaps["mid2"].max() < 0 and (day.features.rows["fuel_effect"] == FUEL_UNKNOWN).all()
    for name in ("k", "t0", "direction", "sigma", "theta_8min"):
        assert np.array_equal(day.touches.rows[name], expected.touches.rows[name])
    for name in ("score_liquidity", "score_tape", "barrier_state"):
        assert np.array_equal(day.signals.rows[name], expected.signals.rows[name], equal_nan=name != "barrier_state")
    assert np.isnan(day.signals.rows["score_hedge"]).all()
    assert gamma(-0.5, 1.0, 0.1) == gamma(1.0, -0.5, 0.1) == gamma(0.0, 1.0, 0.1) == 0.0
