"""What dealers' inventory looks like around a level: bands, walls, the price where gamma turns. docs/physics.md, 4.4."""

from __future__ import annotations

import numpy as np

from spymaster_assets.compute.black76 import gamma
from spymaster_assets.compute.clock import Clock
from spymaster_assets.compute.fuel import CALL, PUT, SURFACE, FuelParams, Options, exposure, middle_of, surface_at, total_at
from spymaster_assets.compute.grid import UNKNOWN
from spymaster_assets.compute.kernel import kernel
from spymaster_assets.states import FUEL_UNKNOWN, UP

BANDS = 3


@kernel
def _bands(price: int, sign: int, surface: np.ndarray, params: FuelParams, row: np.ndarray) -> None:
    """Exposure by distance of the strike from the level, by right."""
    above, below = np.zeros(BANDS), np.zeros(BANDS)
    calls, puts = np.zeros(BANDS), np.zeros(BANDS)
    at = 0.0
    for number in range(surface.size):
        one = surface[number]
        away = one["strike"] - price
        for band in range(BANDS):
            if 0 < away <= (band + 1) * params.spacing:
                above[band] += (one["calls"] + one["puts"]) * one["gamma"]
                calls[band] += one["calls"] * one["gamma"]
            elif -(band + 1) * params.spacing <= away < 0:
                below[band] += (one["calls"] + one["puts"]) * one["gamma"]
                puts[band] += one["puts"] * one["gamma"]
        if away == 0:
            at = (one["calls"] + one["puts"]) * one["gamma"]
    out = row[0]
    out["gex_at"] = at
    out["gex_above_1strike"], out["gex_above_2strike"], out["gex_above_3strike"] = above
    out["gex_below_1strike"], out["gex_below_2strike"], out["gex_below_3strike"] = below
    out["call_gex_above_1strike"], out["call_gex_above_2strike"], out["call_gex_above_3strike"] = calls
    out["put_gex_below_1strike"], out["put_gex_below_2strike"], out["put_gex_below_3strike"] = puts
    ahead, behind = (above[2], below[2]) if sign > 0 else (below[2], above[2])
    out["gex_asymmetry"] = ahead - behind
    out["gex_ratio"] = ahead / abs(behind) if behind != 0.0 else np.nan


@kernel
def walls(middle: int, sign: int, surface: np.ndarray, params: FuelParams) -> tuple[int, int]:
    """The strikes that dampen most ahead of the mid (1e-9 USD) and behind it: places in the surface, -1 without one."""
    ahead = behind = -1
    most_ahead = most_behind = 0.0
    for number in range(surface.size):
        one = surface[number]
        away = sign * (one["strike"] - middle)
        size = (one["calls"] + one["puts"]) * one["gamma"]
        if 0 < away <= params.smile and (
            size > most_ahead or (ahead >= 0 and size == most_ahead and away < sign * (surface[ahead]["strike"] - middle))
        ):
            ahead, most_ahead = number, size
        if 0 < -away <= params.smile and (
            size > most_behind or (behind >= 0 and size == most_behind and away > sign * (surface[behind]["strike"] - middle))
        ):
            behind, most_behind = number, size
    return ahead, behind


@kernel
def walls_at(k: int, snaps: np.ndarray, options: Options, params: FuelParams, clock: Clock) -> tuple[int, int]:
    """The strikes (1e-9 USD) above and below the mid at which dealers dampen most; 0 without one, or if fuel is unknown."""
    surface, mid2 = np.empty(options.strikes.size, SURFACE), snaps[k]["mid2"]
    if mid2 == UNKNOWN:
        return 0, 0
    price = middle_of(mid2, params)
    count, seconds = surface_at(k, k, price, snaps, options, params, surface)
    surface = surface[:count]
    if exposure(k, k, price, seconds, surface, snaps, params, clock).effect == FUEL_UNKNOWN:
        return 0, 0
    above, below = walls(price, 1, surface, params)
    return surface[above]["strike"] if above >= 0 else 0, surface[below]["strike"] if below >= 0 else 0


@kernel
def profile_zero(mid: float, middle: int, seconds: float, surface: np.ndarray, params: FuelParams) -> float:
    """The price nearest to the mid at which all dealers' gamma turns from one sign to the other, NaN without one.

    On a grid of `flip_step` within `smile_range` of the mid, linear between its prices; time and volatilities stay as they are.
    `middle`: the mid in 1e-9 USD.
    """
    reach, width = params.smile // params.flip_step, params.flip_step / params.point
    found = before = np.nan
    for step in range(-reach, reach + 1):
        here = 0.0
        for number in range(surface.size):
            one = surface[number]
            held = one["calls"] + one["puts"]
            if held != 0 and abs(one["strike"] - middle) <= params.smile:
                here += held * gamma(mid + step * width, one["points"], total_at(one["volatility"], seconds, mid, params))
        zero = np.nan
        if before < 0.0 < here or here < 0.0 < before:
            zero = mid + step * width - width * (here / (here - before))
        if not np.isnan(zero) and (np.isnan(found) or abs(zero - mid) < abs(found - mid)):
            found = zero
        before = here
    return found


@kernel
def _interest(
    price: int, opened: bool, options: Options, surface: np.ndarray, params: FuelParams, row: np.ndarray
) -> None:  # fmt: skip
    """Exposure as if dealers were long all calls and short all puts that were open before 09:30."""
    total = above = below = np.nan
    if opened:
        total = above = below = 0.0
    known = known_above = known_below = False
    for number in range(surface.size):
        one = surface[number]
        away = one["strike"] - price
        if abs(away) <= params.reach:
            at = np.searchsorted(options.strikes, one["strike"])
            held = 0
            for right, side in ((CALL, 1), (PUT, -1)):
                if options.interest[at, right] >= 0:
                    known = True
                    known_above, known_below = known_above or away > 0, known_below or away < 0
                    held += side * options.interest[at, right]
            total += held * one["gamma"]
            if away > 0:
                above += held * one["gamma"]
            elif away < 0:
                below += held * one["gamma"]
    out = row[0]
    out["gex_oi"] = total if known else np.nan
    out["gex_oi_above"] = above if known_above else np.nan
    out["gex_oi_below"] = below if known_below else np.nan


@kernel
def _nothing(row: np.ndarray) -> None:
    """All of it is unknown."""
    out, nan = row[0], np.nan
    out["gex_at"] = out["gex_asymmetry"] = out["gex_ratio"] = nan
    out["gex_above_1strike"] = out["gex_above_2strike"] = out["gex_above_3strike"] = nan
    out["gex_below_1strike"] = out["gex_below_2strike"] = out["gex_below_3strike"] = nan
    out["call_gex_above_1strike"] = out["call_gex_above_2strike"] = out["call_gex_above_3strike"] = nan
    out["put_gex_below_1strike"] = out["put_gex_below_2strike"] = out["put_gex_below_3strike"] = nan
    out["gamma_wall_ahead"] = out["gamma_wall_behind"] = nan
    out["gamma_wall_ahead_size"] = out["gamma_wall_behind_size"] = out["gamma_flip"] = nan
    out["gex_oi"] = out["gex_oi_above"] = out["gex_oi_below"] = nan


@kernel
def dealers_at(
    k: int, snaps: np.ndarray, options: Options, touch: np.ndarray, params: FuelParams, clock: Clock, row: np.ndarray
) -> None:  # fmt: skip
    """Write the fuel columns of a touch at snap k into one row of features."""
    out, entry, price = row[0], touch[0]["k"], touch[0]["price"]
    sign = 1 if touch[0]["direction"] == UP else -1
    surface = np.empty(options.strikes.size, SURFACE)
    since = max(entry, k - params.window)
    count, seconds = surface_at(k, since, price, snaps, options, params, surface)
    surface = surface[:count]
    found = exposure(k, since, price, seconds, surface, snaps, params, clock)
    out["fuel_effect"], out["gamma_exposure"], out["gamma_velocity"] = found.effect, found.gamma, found.velocity
    _nothing(row)
    if np.isnan(seconds):
        return
    mid, middle = 0.5 * snaps[k]["mid2"] * params.tick, middle_of(snaps[k]["mid2"], params)
    _interest(price, snaps[k]["ts"] > clock.regular_start, options, surface, params, row)
    if found.effect != FUEL_UNKNOWN:
        _bands(price, sign, surface, params, row)
        ahead, behind = walls(middle, sign, surface, params)
        if ahead >= 0:
            one = surface[ahead]
            out["gamma_wall_ahead"] = sign * (one["points"] - mid)
            out["gamma_wall_ahead_size"] = (one["calls"] + one["puts"]) * one["gamma"]
        if behind >= 0:
            one = surface[behind]
            out["gamma_wall_behind"] = sign * (mid - one["points"])
            out["gamma_wall_behind_size"] = (one["calls"] + one["puts"]) * one["gamma"]
        out["gamma_flip"] = sign * (profile_zero(mid, middle, seconds, surface, params) - mid)
