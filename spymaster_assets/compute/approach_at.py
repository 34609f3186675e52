"""What was known at a touch and stays: the approach, and what surrounds the level. Made once a touch, for batch and live.

Nothing after the touch's snap is read. docs/physics.md, section 4.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spymaster_assets.compute.attempts import attempts
from spymaster_assets.compute.barrier import Barrier, attacking_at, clocked, evolution, rates
from spymaster_assets.compute.clock import NS, Clock
from spymaster_assets.compute.force import force_mass, integrated
from spymaster_assets.compute.fuel import Options, exposure_at
from spymaster_assets.compute.grid import UNKNOWN
from spymaster_assets.compute.kernel import kernel
from spymaster_assets.compute.kinematics import MIN_POINTS, parabola
from spymaster_assets.compute.order_flow import imbalances, near_flow, share_of
from spymaster_assets.compute.physics import Physics, velocity
from spymaster_assets.compute.surroundings import SurroundingsParams, surroundings, surroundings_params
from spymaster_assets.compute.tape import Tape, tape_over
from spymaster_assets.compute.touches import TouchParams, enters, touch_params
from spymaster_assets.compute.volatility import VolatilityParams, volatility_params
from spymaster_assets.features import APPROACH_WINDOWS
from spymaster_assets.features.context import (
    DWELL_WINDOWS,
    EVOLUTION_WINDOWS,
    FLOWS,
    KINEMATIC_WINDOWS,
    OFI_WINDOWS,
    VOLATILITY_WINDOWS,
)
from spymaster_assets.states import UNOBSERVED, UP

if TYPE_CHECKING:
    from spymaster_assets.config import Config

assert APPROACH_WINDOWS == (5, 15, 60, 240), "the column names below"


class Known(NamedTuple):
    """The tables of a date up to at least the touch's snap: `bars` of 1 minute, `samples` of the volatility."""

    snaps: np.ndarray
    prints: np.ndarray
    flow: np.ndarray
    options: Options
    bars: np.ndarray
    samples: np.ndarray
    levels: np.ndarray
    touches: np.ndarray


class ApproachParams(NamedTuple):
    """`loadings`: of the depths' imbalances, sizes adding up to 1; `response`: points/s^2 of acceleration per force over mass."""

    physics: Physics
    clock: Clock
    touches: TouchParams
    volatility: VolatilityParams
    surroundings: SurroundingsParams
    minutes: int
    loadings: np.ndarray
    response: float


def approach_params(config: Config, physics: Physics, priors: np.ndarray) -> ApproachParams:
    """`priors`: 144 rows, or none."""
    return ApproachParams(
        physics=physics,
        clock=physics.clock,
        touches=touch_params(config),
        volatility=volatility_params(config),
        surroundings=surroundings_params(config),
        minutes=config.levels.approach_minutes,
        loadings=share_of(priors["ofi_loading"][0]) if len(priors) else np.full(10, np.nan),
        response=float(priors["acceleration_coefficient"][0]) if len(priors) else math.nan,
    )


def approach_at(number: int, known: Known, at: ApproachParams, approach: np.ndarray) -> None:
    """Write the columns of touch `number` that stay into its row of `approach`, rows of features in order of touches."""
    touch, row = known.touches[number : number + 1], approach[number : number + 1]
    sides = np.full((1, 3), np.nan)
    _physics(known.snaps, known.prints, known.flow, known.options, touch, at.physics, sides, row)
    found: dict[str, Any] = {"sigma": touch["sigma"][0], "atr": touch["atr"][0]}
    found |= {f"approach_attacking_{what}_rate": rate for what, rate in zip(FLOWS, sides[0], strict=True)}
    found |= _order_flow(touch, known, at) | _motion(touch, known, at) | _evolution(touch, known, at)
    found |= _way(touch, known, at) | _dwell(touch, known, at) | _volatility(touch, known, at)
    found |= surroundings(known.snaps[int(touch["k"][0])], touch[0], known.levels, at.surroundings)
    found["minutes_since_open"] = (int(touch["t0"][0]) - at.clock.regular_start) / (60 * NS)
    found |= _force(touch, known, at, float(found["acceleration_1min"]))
    for name, value in found.items():
        row[name] = value
    for name, value in attempts(number, known.snaps, known.prints, known.touches, approach, at.touches.tick, at.clock).items():
        row[name] = value


@kernel
def _approach(barrier: Barrier, tape: Tape, speed: float, flows: np.ndarray, row: np.ndarray) -> None:
    out = row[0]
    out["approach_barrier_state"], out["approach_barrier_turnover"] = barrier.state, barrier.turnover
    out["approach_barrier_seconds"], out["approach_pull_ratio"] = barrier.seconds, barrier.pull_ratio
    out["approach_replenishment_ratio"] = barrier.replenishment
    out["approach_replenishment_ratio_raw"] = barrier.replenishment_raw
    out["approach_barrier_delta_liq"], out["approach_barrier_delta_liq_raw"] = barrier.delta, barrier.delta_raw
    out["approach_barrier_delta_share"] = barrier.delta_share
    out["approach_added_rate_5"], out["approach_pulled_rate_5"] = flows[0, 0], flows[0, 1]
    out["approach_added_rate_15"], out["approach_pulled_rate_15"], out["approach_filled_rate_15"] = flows[1]
    out["approach_added_rate_60"], out["approach_pulled_rate_60"], out["approach_filled_rate_60"] = flows[2]
    out["approach_added_rate_240"], out["approach_pulled_rate_240"], out["approach_filled_rate_240"] = flows[3]
    out["approach_tape_buy_volume"], out["approach_tape_sell_volume"] = tape.buy, tape.sell
    out["approach_tape_prints"], out["approach_tape_imbalance"] = tape.prints, tape.imbalance
    out["approach_tape_velocity"], out["approach_tape_rate"] = speed, tape.rate
    out["approach_tape_mean_size"], out["approach_tape_large_share"] = tape.mean_size, tape.large_share
    out["approach_sweep_direction"], out["approach_sweep_size"] = tape.sweep_direction, tape.sweep_size
    out["approach_sweep_notional"] = tape.sweep_notional


@kernel
def _physics(
    snaps: np.ndarray, prints: np.ndarray, flow: np.ndarray, options: Options, touch: np.ndarray, at: Physics,
    sides: np.ndarray, row: np.ndarray,
) -> None:  # fmt: skip
    """Barrier, tape and fuel before the touch; `sides[0]`: rates of the attacking side."""
    entry = touch[0]["k"]
    since = max(entry - at.approach, 0)
    barrier = clocked(since, entry, snaps, flow, touch, at.barrier)
    flows = np.full((4, 3), np.nan)
    if barrier.state != UNOBSERVED:
        rates(0, entry, at.approach_windows, snaps, flow, touch, at.barrier, False, flows)
    if not np.isnan(attacking_at(snaps[entry : entry + 1], touch, at.barrier)):
        rates(0, entry, at.side_windows, snaps, flow, touch, at.barrier, True, sides)
    tape = tape_over(since, entry, snaps, prints, touch, at.usual_p99, at.tape, at.clock)
    _approach(barrier, tape, velocity(0, entry, snaps, touch, at), flows, row)
    before = exposure_at(entry, max(entry - at.fuel.window, 0), touch[0]["price"], snaps, options, at.fuel, at.clock)
    row[0]["approach_gamma_velocity"] = before.velocity


def _sign(touch: np.ndarray) -> int:
    return 1 if touch["direction"][0] == UP else -1


def _order_flow(touch: np.ndarray, known: Known, at: ApproachParams) -> dict[str, float]:
    """Imbalances by window, in multiples of D, and signed volume over the usual one."""
    k, sign, depth, second = int(touch["k"][0]), _sign(touch), float(touch["depth"][0]), at.clock.second
    found: dict[str, float] = {}
    near, windows = np.zeros(len(OFI_WINDOWS), np.int64), np.array(OFI_WINDOWS) * second
    near_flow(k, windows, int(touch["ticks"][0]), at.physics.barrier.zone - 1, known.snaps, known.flow, near)
    for seconds, net in zip(OFI_WINDOWS, near.tolist(), strict=True):
        imbalance = imbalances(k, seconds * second, known.snaps)
        for i, lots in enumerate(imbalance.tolist()):
            found[f"ofi_{i}_{seconds}s"] = sign * lots / depth
        found[f"ofi_{seconds}s"] = sign * int(imbalance.sum()) / (10 * depth)
        found[f"ofi_integrated_{seconds}s"] = sign * integrated(imbalance, at.loadings, depth)
        found[f"ofi_near_level_{seconds}s"] = sign * net / depth
        start, end, usual = (
            known.snaps[max(k - seconds * second, 0)],
            known.snaps[k],
            float(touch["minute_volume"][0]) * seconds / 60,
        )
        toward = sign * int(end["buy_volume"] - start["buy_volume"] - end["sell_volume"] + start["sell_volume"])
        found[f"signed_volume_{seconds}s"] = toward / usual if usual else math.nan
    found["ofi_acceleration"] = found["ofi_30s"] / 30 - found["ofi_120s"] / 120
    return found


def _motion(touch: np.ndarray, known: Known, at: ApproachParams) -> dict[str, float]:
    """Parabolas through the mid, in units of the volatility."""
    k, second, found = int(touch["k"][0]), at.clock.second, {}
    unit = at.physics.tape.tick / (2 * at.physics.point) / float(touch["sigma"][0])  # of half a tick
    for minutes in KINEMATIC_WINDOWS:
        count = 60 * minutes
        whole, recent = parabola(k, count, second, known.snaps), parabola(k, count // 2, second, known.snaps)
        back = k - count // 2 * second
        earlier = math.nan if back < 0 else parabola(back, count // 2, second, known.snaps).acceleration
        found[f"velocity_{minutes}min"] = _sign(touch) * whole.velocity * unit
        found[f"acceleration_{minutes}min"] = _sign(touch) * whole.acceleration * unit
        found[f"jerk_{minutes}min"] = _sign(touch) * (recent.acceleration - earlier) / (count // 2) * unit
        found[f"fit_error_{minutes}min"] = whole.error * unit / math.sqrt(count)
        enough = whole.way and whole.points >= MIN_POINTS
        found[f"path_efficiency_{minutes}min"] = abs(whole.distance) / whole.way if enough else math.nan
    return found


def _evolution(touch: np.ndarray, known: Known, at: ApproachParams) -> dict[str, float]:
    """How the zone filled or emptied over the minutes before."""
    k, minute = int(touch["k"][0]), 60 * at.clock.second
    return {
        f"barrier_delta_{minutes}min": evolution(max(k - minutes * minute, 0), k, known.snaps, touch, at.physics.barrier)
        for minutes in EVOLUTION_WINDOWS
    }


def _way(touch: np.ndarray, known: Known, at: ApproachParams) -> dict[str, float]:
    """The last closed minutes."""
    sign, price, tick, point = _sign(touch), int(touch["price"][0]), at.touches.tick, at.physics.point
    closed = int(touch["k"][0]) // (60 * at.clock.second)
    bars = known.bars[max(closed - at.minutes, 0) : closed]
    bars = bars[bars["close"] != UNKNOWN]
    closes = [sign * close * tick for close in bars["close"].tolist()]
    steps = [after > before for before, after in pairwise(closes)]
    toward = next((i for i, step in enumerate(reversed(steps)) if not step), len(steps))
    distance = math.nan
    if len(bars):
        distance = max(price - int(bars["low"].min()) * tick if sign > 0 else int(bars["high"].max()) * tick - price, 0) / point
    atr = float(touch["atr"][0])
    return {
        "approach_velocity": (closes[-1] - closes[0]) / point / (len(closes) - 1) if len(closes) > 1 else math.nan,
        "approach_bars": toward,
        "approach_distance": distance,
        "approach_distance_atr": distance / atr if atr else math.nan,
    }


def _dwell(touch: np.ndarray, known: Known, at: ApproachParams) -> dict[str, float]:
    """Time near the level, and how often the price came to it."""
    windows, counts = np.array(DWELL_WINDOWS) * at.clock.second, np.zeros((len(DWELL_WINDOWS), 2), np.int64)
    zone = (at.physics.barrier.zone - 1) * at.touches.tick
    _count_near(int(touch["k"][0]), windows, known.snaps, int(touch["price"][0]), zone, at.touches, counts)
    found: dict[str, float] = {}
    for seconds, (inside, entries) in zip(DWELL_WINDOWS, counts.tolist(), strict=True):
        found[f"time_in_zone_{seconds}s"], found[f"touch_count_{seconds}s"] = inside * at.physics.tape.interval, entries
    return found


@kernel
def _count_near(
    k: int, windows: np.ndarray, snaps: np.ndarray, price: int, zone: int, params: TouchParams, out: np.ndarray
) -> None:  # fmt: skip
    """Snaps with the mid within `zone`, and entries before snap k, of the windows (k - windows[w], k], rising: out[w]."""
    inside = entries = 0
    at = k
    for window in range(windows.size):
        while at > max(k - windows[window], 0):
            mid2 = snaps[at]["mid2"]
            inside += mid2 != UNKNOWN and abs(mid2 * params.tick - 2 * price) <= 2 * zone
            entries += at < k and enters(snaps, at, price, params)
            at -= 1
        out[window, 0], out[window, 1] = inside, entries


def _volatility(touch: np.ndarray, known: Known, at: ApproachParams) -> dict[str, float]:
    """Root mean square of the mid's returns."""
    k, step, found = int(touch["k"][0]), at.volatility.step, {}
    for minutes in VOLATILITY_WINDOWS:
        first = max(k - 60 * minutes * at.clock.second, 0) // step + 1
        part = known.samples[first : k // step + 1]
        seconds = sum(part["seconds"].tolist())
        found[f"realized_volatility_{minutes}min"] = math.sqrt(sum(part["square"].tolist()) / seconds) if seconds else math.nan
    return found


def _force(touch: np.ndarray, known: Known, at: ApproachParams, acceleration: float) -> dict[str, float]:
    """What pushes against what stands in the way, and the acceleration that should follow."""
    ratio = force_mass(int(touch["k"][0]), known.snaps, touch, at.loadings, at.physics.barrier, at.clock.second)
    predicted = at.response * ratio
    residual = float(touch["sigma"][0]) * acceleration - predicted
    return {"force_mass_ratio": ratio, "predicted_accel": predicted, "accel_residual": residual}
