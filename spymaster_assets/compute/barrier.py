"""Resting liquidity at a level: what was added, pulled and filled in its zone, and what that amounts to. docs/physics.md, 4.1."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spymaster_assets.compute.grid import EVERYTHING, LISTED, NO_ASK, NO_BID
from spymaster_assets.compute.kernel import kernel
from spymaster_assets.states import (
    ABSORPTION,
    ASK,
    BID,
    CONSUMED,
    NEUTRAL,
    PASSED,
    UNOBSERVED,
    UP,
    VACUUM,
    WALL,
    WEAK,
)

if TYPE_CHECKING:
    from spymaster_assets.config import Config


class BarrierParams(NamedTuple):
    """`zone`: prices of the zone; `interval`: seconds of a snap; `depth`: levels of the schema; the rest as in config."""

    zone: int
    depth: int
    interval: float
    r_vac: float
    r_wall: float
    f_thresh: float
    consumed_share: float
    weak_ratio: float
    turnover_min: float


class Ladder(NamedTuple):
    """The zone as a book shows it. `observed`: share of its prices; `position`: ticks of the best beyond the level, NaN without
    a best; `size`, `expected`: over the shown prices."""

    observed: float
    position: float
    size: int
    expected: float


class Barrier(NamedTuple):
    """The numbers over one volume clock, as the columns of the same names."""

    state: int
    turnover: float
    seconds: float
    replenishment: float
    replenishment_raw: float
    delta: float
    delta_raw: float
    delta_share: float
    pull_ratio: float


def barrier_params(config: Config, consumed_share: float, depth: int = 10) -> BarrierParams:
    """`consumed_share`: of priors, NaN without."""
    rules = config.barrier
    return BarrierParams(
        zone=rules.barrier_zone_es_ticks + 1,
        depth=depth,
        interval=config.grid.interval_ns / 1e9,
        r_vac=rules.r_vac,
        r_wall=rules.r_wall,
        f_thresh=rules.f_thresh,
        consumed_share=rules.consumed_share if np.isnan(consumed_share) else consumed_share,
        weak_ratio=rules.weak_ratio,
        turnover_min=rules.turnover_min,
    )


@kernel
def defending(direction: int) -> int:
    """The side of the book that stands at a level: asks where the price comes from below."""
    return ASK if direction == UP else BID


@kernel
def _shows(snap: np.ndarray, side: int, price: int, depth: int) -> bool:
    """Whether a snap's book shows a price of a side."""
    shown = snap[0]["ask_shown"] if side == ASK else snap[0]["bid_shown"]
    if shown == EVERYTHING:
        return True
    if shown != LISTED:
        return False
    return price <= snap[0]["ask_ticks"][depth - 1] if side == ASK else price >= snap[0]["bid_ticks"][depth - 1]


@kernel
def _size(snap: np.ndarray, side: int, price: int) -> int:
    """Size at a price, 0 if it is not listed."""
    ticks = snap[0]["ask_ticks"] if side == ASK else snap[0]["bid_ticks"]
    for level in range(ticks.size):
        if ticks[level] == price:
            return snap[0]["ask_size"][level] if side == ASK else snap[0]["bid_size"][level]
    return 0


@kernel
def _behind(snap: np.ndarray, side: int, price: int) -> int:
    """How many ticks a price lies behind the side's best; negative: better than it (or the side is empty)."""
    return price - snap[0]["ask_ticks"][0] if side == ASK else snap[0]["bid_ticks"][0] - price


@kernel
def _usual(behind: int, m: np.ndarray) -> float:
    """Usual size so many ticks behind the best."""
    return 0.0 if behind < 0 else m[min(behind, m.size - 1)]


@kernel
def ladder_at(snap: np.ndarray, touch: np.ndarray, params: BarrierParams) -> Ladder:
    """The zone of a touch in one snap's book. `snap`, `touch`: one row each."""
    side, sign = defending(touch[0]["direction"]), 1 if touch[0]["direction"] == UP else -1
    shown, size, expected = 0, 0, 0.0
    for i in range(params.zone):
        price = touch[0]["ticks"] + sign * i
        if _shows(snap, side, price, params.depth):
            shown += 1
            size += _size(snap, side, price)
            expected += _usual(_behind(snap, side, price), touch[0]["m"])
    best = snap[0]["ask_ticks"][0] if side == ASK else snap[0]["bid_ticks"][0]
    position = np.nan if best in (NO_ASK, NO_BID) else float(sign * (best - touch[0]["ticks"]))
    return Ladder(shown / params.zone, position, size, expected)


@kernel
def _shift(start: np.ndarray, end: np.ndarray, touch: np.ndarray, params: BarrierParams) -> float:
    """Change of the usual size in the zone from one book to another, over the prices that both show."""
    side, sign, m = defending(touch[0]["direction"]), 1 if touch[0]["direction"] == UP else -1, touch[0]["m"]
    before = after = 0.0
    for i in range(params.zone):
        price = touch[0]["ticks"] + sign * i
        if _shows(start, side, price, params.depth) and _shows(end, side, price, params.depth):
            before += _usual(_behind(start, side, price), m)
            after += _usual(_behind(end, side, price), m)
    return after - before


@kernel
def _zone(touch: np.ndarray, zone: int, attacking: bool) -> tuple[int, int, int]:
    """Side, lowest and highest price of a touch's zone; `attacking`: of the one before the level."""
    level = touch[0]["ticks"]
    if touch[0]["direction"] == UP:
        return (BID, level - zone + 1, level) if attacking else (ASK, level, level + zone - 1)
    return (ASK, level, level + zone - 1) if attacking else (BID, level - zone + 1, level)


@kernel
def clocked(since: int, until: int, snaps: np.ndarray, flow: np.ndarray, touch: np.ndarray, params: BarrierParams) -> Barrier:
    """The barrier over the latest snaps of (since, until] in which pulled + filled reached D, over all of them if they did not."""
    depth = touch[0]["depth"]
    now = ladder_at(snaps[until : until + 1], touch, params)
    nan = np.nan
    if 2.0 * now.observed < 1.0 or np.isnan(depth) or np.isnan(now.expected):
        return Barrier(UNOBSERVED, nan, nan, nan, nan, nan, nan, nan, nan)
    side, lowest, highest = _zone(touch, params.zone, False)
    added = pulled = filled = 0
    start, k = since, until
    for number in range(snaps[until]["flow_rows"] - 1, -1, -1):
        at = flow[number]["k"]
        if at <= since:
            break
        if at < k:
            if pulled + filled >= depth:
                start = k - 1
                break
            k = at
        if flow[number]["side"] == side and lowest <= flow[number]["ticks"] <= highest:
            added += flow[number]["added"]
            pulled += flow[number]["pulled"]
            filled += flow[number]["filled"]
    if start == since and pulled + filled >= depth:
        start = k - 1
    left = pulled + filled
    shift = _shift(snaps[start : start + 1], snaps[until : until + 1], touch, params)
    if np.isnan(shift):
        return Barrier(UNOBSERVED, nan, nan, nan, nan, nan, nan, nan, nan)
    delta, turnover = added - left - shift, left / depth
    ratio = (added - shift) / max(left, 1)
    state = _state(now, turnover, ratio, delta, filled, left, depth, params)
    return Barrier(
        state, turnover, (until - start) * params.interval, ratio, added / max(left, 1), delta, float(added - left), delta / depth,
        pulled / left if left else nan,
    )  # fmt: skip


@kernel
def _state(
    now: Ladder, turnover: float, ratio: float, delta: float, filled: int, left: int, depth: float, params: BarrierParams
) -> int:
    """What happens to the barrier: the first state that holds."""
    if np.isnan(now.position) or now.position >= params.zone:
        return PASSED
    threshold = params.f_thresh * depth
    if turnover >= params.turnover_min:
        if ratio < params.r_vac and delta < -threshold:
            return VACUUM
        if ratio > params.r_wall and delta > threshold:
            return WALL
        if delta < -threshold and filled > params.consumed_share * left:
            return CONSUMED
        if filled > threshold and ratio >= 1.0 and delta > -threshold / 2.0:
            return ABSORPTION
    return WEAK if now.expected > 0.0 and now.size / now.expected < params.weak_ratio else NEUTRAL


@kernel
def rates(
    since: int, until: int, windows: np.ndarray, snaps: np.ndarray, flow: np.ndarray, touch: np.ndarray,
    params: BarrierParams, attacking: bool, out: np.ndarray,
) -> None:  # fmt: skip
    """added, pulled, filled per second over D in the zone: out[w] over the last windows[w] (rising, snaps), cut at `since`.

    `attacking`: in the zone before the level, on the other side.
    """
    side, lowest, highest = _zone(touch, params.zone, attacking)
    added = pulled = filled = 0
    number = snaps[until]["flow_rows"] - 1
    for window in range(windows.size):
        start = max(since, until - windows[window])
        while number >= 0 and flow[number]["k"] > start:
            if flow[number]["side"] == side and lowest <= flow[number]["ticks"] <= highest:
                added += flow[number]["added"]
                pulled += flow[number]["pulled"]
                filled += flow[number]["filled"]
            number -= 1
        whole = (until - start) * params.interval * touch[0]["depth"]
        out[window, 0], out[window, 1], out[window, 2] = added / whole, pulled / whole, filled / whole


@kernel
def attacking_at(snap: np.ndarray, touch: np.ndarray, params: BarrierParams) -> float:
    """Size at the prices from the level to 8 ticks before it on the attacking side; NaN if under half of them are shown."""
    side, sign = (BID, 1) if touch[0]["direction"] == UP else (ASK, -1)
    shown, size = 0, 0
    for i in range(params.zone):
        price = touch[0]["ticks"] - sign * i
        if _shows(snap, side, price, params.depth):
            shown += 1
            size += _size(snap, side, price)
    return float(size) if 2 * shown >= params.zone else np.nan


@kernel
def evolution(since: int, until: int, snaps: np.ndarray, touch: np.ndarray, params: BarrierParams) -> float:
    """Change of the size in the zone from one snap to another, net of the mechanical shift, over D, at prices that both show."""
    side, sign, m = defending(touch[0]["direction"]), 1 if touch[0]["direction"] == UP else -1, touch[0]["m"]
    start, end = snaps[since : since + 1], snaps[until : until + 1]
    shown, change = 0, 0
    shift = 0.0
    for i in range(params.zone):
        price = touch[0]["ticks"] + sign * i
        if _shows(start, side, price, params.depth) and _shows(end, side, price, params.depth):
            shown += 1
            change += _size(end, side, price) - _size(start, side, price)
            shift += _usual(_behind(end, side, price), m) - _usual(_behind(start, side, price), m)
    return (change - shift) / touch[0]["depth"] if 2 * shown >= params.zone else np.nan
