"""The other levels around a touch: distances, confluence, runway. docs/physics.md, 4.5."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spymaster_assets.compute.grid import UNKNOWN
from spymaster_assets.states import KEY_KINDS, LEVEL_KINDS, SMA_200, SMA_400, UP

if TYPE_CHECKING:
    from spymaster_assets.config import Config


class SurroundingsParams(NamedTuple):
    """Distances in 1e-9 USD; `weights`: by kind."""

    tick: int
    point: int
    stacking: tuple[int, ...]
    confluence: int
    trend: int
    strong: float
    weights: tuple[float, ...]


def surroundings_params(config: Config) -> SurroundingsParams:
    rules, point = config.levels, config.instrument.point
    return SurroundingsParams(
        tick=config.instrument.tick,
        point=point,
        stacking=tuple(round(points * point) for points in rules.stacking_points),
        confluence=round(rules.confluence_points * point),
        trend=round(rules.trend_points * point),
        strong=rules.strong_weight,
        weights=tuple(getattr(rules.weights, kind) for kind in LEVEL_KINDS),
    )


def in_force(time: int, levels: np.ndarray) -> dict[int, int]:
    """Price (1e-9 USD) by kind of the levels that hold at an instant. `levels`: rows in order of valid_from."""
    known = levels[(levels["valid_from"] < time) & (levels["valid_to"] >= time)]
    return {int(row["kind"]): int(row["price"]) for row in known}


def surroundings(snap: np.void, touch: np.void, levels: np.ndarray, params: SurroundingsParams) -> dict[str, float]:
    """The columns of a touch. `snap`: at t0; `touch`: its row of touches; `levels`: at least those known by t0."""
    sign, price, own = 1 if touch["direction"] == UP else -1, int(touch["price"]), int(touch["kind"])
    prices = in_force(int(touch["t0"]), levels)
    others = {kind: other for kind, other in prices.items() if kind != own}
    scale = float(touch["sigma"]) * math.sqrt(240.0)
    found = _distances(sign, int(snap["mid2"]), others, float(touch["atr"]), scale, params)
    away = {kind: abs(other - price) for kind, other in others.items()}
    for points, reach in zip((2, 5, 10), params.stacking, strict=True):
        found[f"level_stacking_{points}pt"] = sum(distance <= reach for distance in away.values())
    near = {kind: distance for kind, distance in away.items() if distance <= params.confluence}
    total = sum(params.weights[kind] for kind in others)
    pressure = sum(params.weights[kind] * (1.0 - distance / params.confluence) for kind, distance in near.items())
    found["confluence_count"] = sum(params.weights[kind] for kind in near)
    found["confluence_pressure"] = pressure / total if total else math.nan
    found["confluence_alignment"] = sign * _trend(prices, params.trend)
    ahead = [sign * (other - price) for kind, other in others.items() if params.weights[kind] >= params.strong]
    found["runway"] = min((distance for distance in ahead if distance > 0), default=math.nan) / params.point
    found["runway_sigma"] = found["runway"] / scale
    return found


def _distances(
    sign: int, mid2: int, others: dict[int, int], atr: float, scale: float, params: SurroundingsParams
) -> dict[str, float]:
    """From the mid to each other kind, toward the break: points, over ATR, over the volatility of 240 s."""
    found: dict[str, Any] = {}
    for kind, name in enumerate(LEVEL_KINDS):
        points = math.nan
        if kind in others and mid2 != UNKNOWN:
            points = sign * (2 * others[kind] - mid2 * params.tick) / (2 * params.point)
        if name in KEY_KINDS:
            found[f"dist_to_{name.lower()}"] = points
            found[f"dist_to_{name.lower()}_atr"] = points / atr if atr else math.nan
        found[f"dist_to_{name.lower()}_sigma"] = points / scale
    return found


def _trend(prices: dict[int, int], least: int) -> float:
    """+1: the shorter average lies above the longer one; 0: they hardly differ."""
    if SMA_200 not in prices or SMA_400 not in prices:
        return math.nan
    apart = prices[SMA_200] - prices[SMA_400]
    return math.copysign(1.0, apart) if abs(apart) > least else 0.0
