"""When a level is touched: one small machine per kind, on the snaps of the trade path. docs/physics.md, section 3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from spymaster_assets.compute.clock import NS, Clock
from spymaster_assets.compute.grid import UNKNOWN
from spymaster_assets.compute.kernel import kernel
from spymaster_assets.states import DOWN, LEVEL_KINDS, UP

if TYPE_CHECKING:
    from spymaster_assets.config import Config

KINDS: Final = len(LEVEL_KINDS)
_MACHINE: Final = np.dtype(
    [
        ("level", "i8"),  # row of levels in force, -1 before the first
        ("armed", "i1"),
        ("attempts", "i8"),
        ("last_t0", "i8"),
    ]
)


class TouchParams(NamedTuple):
    """Distances in 1e-9 USD, times in ns."""

    tick: int
    band: int
    rearm: int
    cooldown: int
    episode_distance: int
    episode_time: int
    wanted: np.ndarray  # kinds whose touches are looked at


class TouchState(NamedTuple):
    """`machines`: one row per kind; `next_level`: the first row of levels not yet in force. Mutated in place."""

    machines: np.ndarray
    next_level: np.ndarray


def touch_params(config: Config) -> TouchParams:
    point, rules = config.instrument.point, config.touches
    return TouchParams(
        tick=config.instrument.tick,
        band=round(rules.monitor_band * point),
        rearm=round(rules.rearm_points * point),
        cooldown=round(rules.cooldown_seconds * NS),
        episode_distance=round(rules.episode_points * point),
        episode_time=round(rules.episode_seconds * NS),
        wanted=np.array([kind in config.levels.signal_kinds for kind in LEVEL_KINDS]),
    )


def new_touches() -> TouchState:
    """The state before the first snap."""
    machines = np.zeros(KINDS, _MACHINE)
    machines["level"], machines["last_t0"] = -1, -(2**62)
    return TouchState(machines, np.zeros(1, np.int64))


@kernel
def enters(snaps: np.ndarray, k: int, price: int, params: TouchParams) -> bool:
    """Whether the trade path comes within the band at snap k, from outside."""
    before = snaps[k - 1]["last"]
    if before == UNKNOWN or snaps[k]["high"] == UNKNOWN or abs(before * params.tick - price) <= params.band:
        return False
    low = min(before, snaps[k]["low"]) * params.tick
    high = max(before, snaps[k]["high"]) * params.tick
    return low <= price + params.band and high >= price - params.band


@kernel
def _is_far(snaps: np.ndarray, k: int, price: int, params: TouchParams) -> bool:
    last = snaps[k]["last"]
    return last != UNKNOWN and abs(last * params.tick - price) >= params.rearm


@kernel
def _armed_before(snaps: np.ndarray, until: int, price: int, params: TouchParams) -> bool:
    """What is left of the snaps 1 .. until - 1, had the level stood at `price` all the time."""
    armed = False
    for k in range(1, until):
        if enters(snaps, k, price, params):
            armed = False
        if _is_far(snaps, k, price, params):
            armed = True
    return armed


@kernel
def _entry_range(snaps: np.ndarray, prints: np.ndarray, k: int, price: int, direction: int, params: TouchParams) -> tuple[int, int]:
    """Highest and lowest print of snap k from the first one in the band or beyond the level on."""
    sign = 1 if direction == UP else -1
    inside, high, low = False, UNKNOWN, UNKNOWN
    for number in range(snaps[k - 1]["prints"], snaps[k]["prints"]):
        ticks = prints[number]["ticks"]
        if sign * (ticks * params.tick - price) >= -params.band:
            inside = True
        if inside:
            high = ticks if high == UNKNOWN else max(high, ticks)
            low = ticks if low == UNKNOWN else min(low, ticks)
    return high, low


@kernel
def _episode(touches: np.ndarray, number: int, params: TouchParams) -> int:
    """The earliest episode that a touch joins; itself if none."""
    for first in range(number):
        if (
            touches[first]["episode"] == first
            and touches[number]["t0"] - touches[first]["t0"] <= params.episode_time
            and abs(touches[number]["price"] - touches[first]["price"]) <= params.episode_distance
        ):
            return first
    return number


@kernel
def _fire(
    kind: int, k: int, number: int, level: np.ndarray, attempts: int,
    snaps: np.ndarray, prints: np.ndarray, touches: np.ndarray, params: TouchParams,
) -> None:  # fmt: skip
    """Write a touch: everything but the references. `level`: its row of levels."""
    touch, price = touches[number], level[0]["price"]
    touch["touch"], touch["kind"], touch["k"], touch["t0"] = number, kind, k, snaps[k]["ts"]
    touch["price"], touch["ticks"] = price, level[0]["ticks"]
    touch["direction"] = UP if snaps[k - 1]["last"] * params.tick < price else DOWN
    touch["entry_ticks"], touch["attempt_index"] = snaps[k]["last"], attempts
    high, low = _entry_range(snaps, prints, k, price, touch["direction"], params)
    touch["entry_high"], touch["entry_low"] = high, low
    touch["episode"] = _episode(touches, number, params)


@kernel
def advance_touches(
    since: int, until: int, count: int, snaps: np.ndarray, prints: np.ndarray, levels: np.ndarray,
    machines: np.ndarray, next_level: np.ndarray, touches: np.ndarray, params: TouchParams, clock: Clock,
) -> int:  # fmt: skip
    """Run the machines over snaps (since, until], writing touches from row `count` on; the number of touches then.

    `levels`: rows in order of (valid_from, kind), at least those valid by `until`. `touches` has room for one touch per kind and
    snap that may fire. Source: the episode rules of docs/physics.md, section 3.
    """
    for k in range(max(since, 0) + 1, until + 1):
        time = snaps[k]["ts"]
        while next_level[0] < levels.size and levels[next_level[0]]["valid_from"] < time:
            kind = levels[next_level[0]]["kind"]
            if params.wanted[kind] and machines[kind]["level"] < 0:
                machines[kind]["armed"] = _armed_before(snaps, k, levels[next_level[0]]["price"], params)
            machines[kind]["level"] = next_level[0]
            next_level[0] += 1
        for kind in range(machines.size):
            machine = machines[kind]
            at = machine["level"]
            if not params.wanted[kind] or at < 0 or time > levels[at]["valid_to"]:
                continue
            price = levels[at]["price"]
            if enters(snaps, k, price, params):
                wanted = clock.signals_start < time <= clock.signals_end
                if machine["armed"] and wanted and time - machine["last_t0"] >= params.cooldown:
                    machine["attempts"] += 1
                    machine["last_t0"] = time
                    _fire(kind, k, count, levels[at : at + 1], machine["attempts"], snaps, prints, touches, params)
                    count += 1
                machine["armed"] = 0
            if _is_far(snaps, k, price, params):
                machine["armed"] = 1
    return count
