"""Pictures of the market as rows: liquidity by minute and price, dealers' gamma by strike. Nothing is decided by them."""

from __future__ import annotations

import numpy as np

from spymaster_assets.compute.clock import Clock
from spymaster_assets.compute.dealers import profile_zero, walls
from spymaster_assets.compute.fuel import SURFACE, FuelParams, Options, exposure, middle_of, surface_at
from spymaster_assets.compute.grid import UNKNOWN
from spymaster_assets.compute.kernel import kernel
from spymaster_assets.states import ASK, BID, FUEL_UNKNOWN
from spymaster_assets.tables import FLOW, SNAPS, UNDEF_PRICE
from spymaster_assets.tables.display import DEALERS, HEAT, STRIKES

_SIDES = ((BID, "bid_ticks", "bid_size"), (ASK, "ask_ticks", "ask_size"))
_FLOWS = ("added", "pulled", "filled")


def heat(ends: np.ndarray, flow: np.ndarray, step: int) -> np.ndarray:
    """Rows of HEAT, sorted by key, in bins of `step` snaps that end at multiples of it.

    `ends`: rows of SNAPS, of each bin the one that it has got to; `flow`: rows of FLOW within these bins.
    """
    parts = []
    for side, ticks, sizes in _SIDES:
        listed = ends[sizes] > 0
        part = np.zeros(int(listed.sum()), HEAT.dtype)
        part["k"] = np.repeat(_bin(ends["k"], step), listed.sum(axis=1))
        part["side"], part["ticks"], part["rest"] = side, ends[ticks][listed], ends[sizes][listed]
        parts.append(part)
    part = np.zeros(len(flow), HEAT.dtype)
    part["k"] = _bin(flow["k"], step)
    for name in ("side", "ticks", *_FLOWS):
        part[name] = flow[name]
    rows = np.concatenate([*parts, part])
    keys = np.stack([rows[name].astype(np.int64) for name in ("k", "side", "ticks")])
    rows = rows[np.lexsort(keys[::-1])]
    first = np.flatnonzero(_new(rows))
    cells = rows[first]
    for name in ("rest", *_FLOWS):
        cells[name] = np.add.reduceat(rows[name], first) if len(first) else 0
    return cells[(cells["rest"] > 0) | (cells["added"] > 0) | (cells["pulled"] > 0) | (cells["filled"] > 0)]


def _bin(k: np.ndarray, step: int) -> np.ndarray:
    return -(-k // step) * step


def _new(rows: np.ndarray) -> np.ndarray:
    """Where another key begins."""
    begins = np.ones(len(rows), bool)
    begins[1:] = (
        (rows["k"][1:] != rows["k"][:-1]) | (rows["side"][1:] != rows["side"][:-1]) | (rows["ticks"][1:] != rows["ticks"][:-1])
    )
    return begins


def dealers(k: int, snaps: np.ndarray, options: Options, params: FuelParams, clock: Clock) -> tuple[np.ndarray, np.ndarray]:
    """One row of DEALERS and the rows of STRIKES at a closed snap."""
    row, strikes = np.zeros(1, DEALERS.dtype), np.zeros(len(options.strikes), STRIKES.dtype)
    count = _dealers(k, snaps, options, params, clock, row, strikes)
    return row, strikes[:count]


@kernel
def _dealers(
    k: int, snaps: np.ndarray, options: Options, params: FuelParams, clock: Clock, row: np.ndarray, strikes: np.ndarray
) -> int:  # fmt: skip
    """Write one row of DEALERS and rows of STRIKES; how many strikes."""
    out, mid2 = row[0], snaps[k]["mid2"]
    out["k"], out["effect"], out["exposure"], out["flip"] = k, FUEL_UNKNOWN, np.nan, np.nan
    out["wall_above"] = out["wall_below"] = UNDEF_PRICE
    if mid2 == UNKNOWN:
        return 0
    mid, price = 0.5 * mid2 * params.tick, middle_of(mid2, params)
    surface = np.empty(options.strikes.size, SURFACE)
    count, seconds = surface_at(k, k, price, snaps, options, params, surface)
    surface = surface[:count]
    found = exposure(k, k, price, seconds, surface, snaps, params, clock)
    known = found.effect != FUEL_UNKNOWN
    out["effect"], out["exposure"] = found.effect, found.gamma
    for number in range(count):
        one, told = surface[number], strikes[number]
        told["k"], told["strike"], told["calls"], told["puts"] = k, one["strike"], one["calls"], one["puts"]
        told["volatility"] = one["volatility"]
        told["exposure"] = (one["calls"] + one["puts"]) * one["gamma"] if known else np.nan
    if known:
        out["flip"] = profile_zero(mid, price, seconds, surface, params)
        above, below = walls(price, 1, surface, params)
        if above >= 0:
            out["wall_above"] = surface[above]["strike"]
        if below >= 0:
            out["wall_below"] = surface[below]["strike"]
    return count


assert SNAPS["bid_size_00"].part_of == "bid_size" and set(_FLOWS) <= set(FLOW.names), "columns of Silver"
