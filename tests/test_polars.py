"""Polars, which knows nothing of our kernels, computes the same snaps and bars of a simulated date from its Bronze columns."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks import peers
from spymaster_assets.lake import Lake
from spymaster_assets.maker import Maker
from spymaster_assets.tables import BARS, FUTURES_MBP10, PRINTS, SNAPS
from tests.defects import DATE, made_of


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, Maker]:
    lake = made_of(tmp_path_factory.mktemp("polars"), events=20_000, seed=5)
    return lake, Maker(DATE, lake)


def nulls(values: np.ndarray, unknown: int) -> list[int | None]:
    return [None if value == unknown else value for value in values.tolist()]


def test_snaps(made: tuple[Lake, Maker]) -> None:
    lake, silver = made
    clock = silver.day(SNAPS).clock
    found = peers.snaps(peers.read(Path(lake.path(FUTURES_MBP10, DATE))), clock.open, clock.interval, lake.config.instrument.tick)
    ours = silver.rows(SNAPS)[found["k"].to_numpy()]
    assert len(found) > 15_000
    for name in ("records", "prints", "volume", "buy_volume", "sell_volume", "buy_prints", "sell_prints"):
        assert found[name].to_list() == ours[name].tolist(), name
    for name in ("last", "high", "low"):
        assert found[name].to_list() == nulls(ours[name], SNAPS[name].unknown or 0), name
    for side in ("bid", "ask"):
        for level in range(10):
            column = SNAPS[f"{side}_ticks_{level:02}"]
            assert found[column.name].to_list() == nulls(SNAPS.place(column, ours), column.unknown or 0), column.name
            assert found[f"{side}_sz_{level:02}"].to_list() == ours[f"{side}_size"][:, level].tolist(), (side, level)


@pytest.mark.parametrize("minutes", [1, 2])
def test_bars(made: tuple[Lake, Maker], minutes: int) -> None:
    _, silver = made
    prints, clock = silver.rows(PRINTS), silver.day(SNAPS).clock
    frame = pl.DataFrame({name: np.ascontiguousarray(prints[name]) for name in ("ts", "ticks", "size")})
    found = peers.bars(frame, clock.open, minutes)
    ours = silver.rows(BARS)
    ours = ours[ours["minutes"] == minutes]
    held = ours[ours["prints"] > 0]
    assert found["bar"].to_list() == (np.flatnonzero(ours["prints"] > 0) + 1).tolist()
    for name in ("open", "high", "low", "close", "volume", "prints"):
        assert found[name].to_list() == held[name].tolist(), name
