"""Every feature of one touch at one moment: the one place where features.py's columns are computed, for batch and live.

Nothing after snap k is read. docs/physics.md, section 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spymaster_assets.compute.barrier import Barrier, BarrierParams, barrier_params, clocked, ladder_at, rates
from spymaster_assets.compute.clock import Clock
from spymaster_assets.compute.context import excursions, position
from spymaster_assets.compute.dealers import dealers_at
from spymaster_assets.compute.fuel import FuelParams, Options, fuel_params
from spymaster_assets.compute.geometry import geometry
from spymaster_assets.compute.kernel import kernel
from spymaster_assets.compute.kinematics import slope
from spymaster_assets.compute.tape import Tape, TapeParams, tape_over, tape_params
from spymaster_assets.features import APPROACH_WINDOWS, HORIZONS, REACTION_WINDOWS
from spymaster_assets.states import UNOBSERVED, UP

if TYPE_CHECKING:
    from spymaster_assets.config import Config

assert (APPROACH_WINDOWS, REACTION_WINDOWS) == ((5, 15, 60, 240), (5, 15, 60)), "the column names below"
assert HORIZONS == {"2min": 120, "4min": 240, "8min": 480}, "the column names below"


class Physics(NamedTuple):
    """What features and score need to know. Windows in snaps."""

    barrier: BarrierParams
    tape: TapeParams
    fuel: FuelParams
    clock: Clock
    point: int
    approach: int
    reaction_barrier: int
    reaction_tape: int
    velocity: int
    approach_windows: np.ndarray
    reaction_windows: np.ndarray
    usual_p99: np.ndarray


def physics(config: Config, clock: Clock, priors: np.ndarray) -> Physics:
    """`priors`: 144 rows, or none."""
    consumed = float(priors["consumed_share"][0]) if len(priors) else np.nan
    return Physics(
        barrier=barrier_params(config, consumed),
        tape=tape_params(config),
        fuel=fuel_params(config, clock, priors),
        clock=clock,
        point=config.instrument.point,
        approach=round(config.barrier.approach_seconds * clock.second),
        reaction_barrier=round(config.barrier.w_b * clock.second),
        reaction_tape=round(config.tape.w_t * clock.second),
        velocity=config.tape.velocity_snaps,
        approach_windows=np.array(APPROACH_WINDOWS) * clock.second,
        reaction_windows=np.array(REACTION_WINDOWS) * clock.second,
        usual_p99=np.ascontiguousarray(priors["cluster_p99"]),
    )


@kernel
def velocity(since: int, k: int, snaps: np.ndarray, touch: np.ndarray, at: Physics) -> float:
    """Slope of the mid over the last snaps up to k, none before `since`, toward the break, points/s."""
    sign = 1.0 if touch[0]["direction"] == UP else -1.0
    raw = slope(max(since, k - at.velocity + 1), k, snaps)
    return sign * raw * (at.tape.tick / at.point) / (2.0 * at.tape.interval)


@kernel
def _approach(barrier: Barrier, tape: Tape, speed: float, flows: np.ndarray, row: np.ndarray) -> None:
    out = row[0]
    out["approach_barrier_state"], out["approach_barrier_turnover"] = barrier.state, barrier.turnover
    out["approach_barrier_seconds"], out["approach_pull_ratio"] = barrier.seconds, barrier.pull_ratio
    out["approach_replenishment_ratio"] = barrier.replenishment
    out["approach_replenishment_ratio_raw"] = barrier.replenishment_raw
    out["approach_barrier_delta_liq"], out["approach_barrier_delta_liq_raw"] = barrier.delta, barrier.delta_raw
    out["approach_barrier_delta_share"] = barrier.delta_share
    out["approach_added_rate_5"], out["approach_pulled_rate_5"], out["approach_filled_rate_5"] = flows[0]
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
def _reaction(barrier: Barrier, tape: Tape, speed: float, flows: np.ndarray, row: np.ndarray) -> None:
    out = row[0]
    out["barrier_state"], out["barrier_turnover"] = barrier.state, barrier.turnover
    out["barrier_seconds"], out["pull_ratio"] = barrier.seconds, barrier.pull_ratio
    out["replenishment_ratio"], out["replenishment_ratio_raw"] = barrier.replenishment, barrier.replenishment_raw
    out["barrier_delta_liq"], out["barrier_delta_liq_raw"] = barrier.delta, barrier.delta_raw
    out["barrier_delta_share"] = barrier.delta_share
    out["added_rate_5"], out["pulled_rate_5"], out["filled_rate_5"] = flows[0]
    out["added_rate_15"], out["pulled_rate_15"], out["filled_rate_15"] = flows[1]
    out["added_rate_60"], out["pulled_rate_60"], out["filled_rate_60"] = flows[2]
    out["tape_buy_volume"], out["tape_sell_volume"] = tape.buy, tape.sell
    out["tape_prints"], out["tape_imbalance"] = tape.prints, tape.imbalance
    out["tape_velocity"], out["tape_rate"] = speed, tape.rate
    out["tape_mean_size"], out["tape_large_share"] = tape.mean_size, tape.large_share
    out["sweep_direction"], out["sweep_size"], out["sweep_notional"] = tape.sweep_direction, tape.sweep_size, tape.sweep_notional


@kernel
def _no_reaction(row: np.ndarray) -> None:
    """At the touch itself nothing has happened after it."""
    nan = np.nan
    flows = np.full((3, 3), nan)
    _reaction(Barrier(-1, nan, nan, nan, nan, nan, nan, nan, nan), _NO_TAPE, nan, flows, row)
    row[0]["tape_buy_volume"] = row[0]["tape_sell_volume"] = row[0]["tape_prints"] = nan


_NO_TAPE = Tape(0, 0, 0, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, -1)


@kernel
def _place(k: int, snaps: np.ndarray, touch: np.ndarray, at: Physics, row: np.ndarray) -> None:
    """Position, volatility and geometry."""
    out, frozen = row[0], touch[0]
    tick = at.tape.tick / at.point
    x = position(k, snaps, touch, at.tape.tick, at.point)
    sigma, spacing = frozen["sigma"], frozen["print_spacing"]
    out["position"], out["sigma"], out["atr"] = x, sigma, frozen["atr"]
    out["position_theta_2min"] = x / (frozen["theta_2min"] * tick)
    out["position_theta_4min"] = x / (frozen["theta_4min"] * tick)
    out["position_theta_8min"] = x / (frozen["theta_8min"] * tick)
    out["position_sigma_4min"] = x / (sigma * np.sqrt(240.0))
    beyond, before = excursions(k, snaps, touch, at.tape.tick)
    out["excursion_max"], out["excursion_min"] = beyond / at.point, before / at.point
    odds = geometry(x, frozen["theta_2min"] * tick, sigma, spacing, 120.0, tick)
    out["geometry_break_2min"], out["geometry_bounce_2min"], out["geometry_chop_2min"] = odds.break_, odds.bounce, odds.chop
    odds = geometry(x, frozen["theta_4min"] * tick, sigma, spacing, 240.0, tick)
    out["geometry_break_4min"], out["geometry_bounce_4min"], out["geometry_chop_4min"] = odds.break_, odds.bounce, odds.chop
    odds = geometry(x, frozen["theta_8min"] * tick, sigma, spacing, 480.0, tick)
    out["geometry_break_8min"], out["geometry_bounce_8min"], out["geometry_chop_8min"] = odds.break_, odds.bounce, odds.chop


@kernel
def features_at(
    k: int, snaps: np.ndarray, prints: np.ndarray, flow: np.ndarray, options: Options, touch: np.ndarray, at: Physics,
    row: np.ndarray,
) -> None:  # fmt: skip
    """Write the features of a touch at snap k >= its own. `touch`: its row of touches; `row`: one row of features."""
    out, entry = row[0], touch[0]["k"]
    out["touch"], out["k"], out["ts"] = touch[0]["touch"], k, snaps[k]["ts"]
    out["elapsed"] = (k - entry) * at.tape.interval

    since = max(entry - at.approach, 0)
    barrier = clocked(since, entry, snaps, flow, touch, at.barrier)
    flows = np.full((4, 3), np.nan)
    if barrier.state != UNOBSERVED:
        rates(0, entry, at.approach_windows, snaps, flow, touch, at.barrier, flows)
    tape = tape_over(since, entry, snaps, prints, touch, at.usual_p99, at.tape, at.clock)
    _approach(barrier, tape, velocity(0, entry, snaps, touch, at), flows, row)

    now = ladder_at(snaps[k : k + 1], touch, at.barrier)
    seen = 2.0 * now.observed >= 1.0 and not np.isnan(now.expected) and not np.isnan(touch[0]["depth"])
    out["barrier_observed"], out["barrier_position"] = now.observed, now.position
    out["barrier_depth"] = float(now.size) if seen else np.nan
    out["wall_ratio"] = now.size / now.expected if seen and now.expected > 0.0 else np.nan

    if k == entry:
        _no_reaction(row)
    else:
        barrier = clocked(max(entry, k - at.reaction_barrier), k, snaps, flow, touch, at.barrier)
        flows = np.full((3, 3), np.nan)
        if barrier.state != UNOBSERVED:
            rates(entry, k, at.reaction_windows, snaps, flow, touch, at.barrier, flows)
            for window in range(1, 3):
                if k - entry <= at.reaction_windows[window - 1]:
                    flows[window] = np.nan
        tape = tape_over(max(entry, k - at.reaction_tape), k, snaps, prints, touch, at.usual_p99, at.tape, at.clock)
        _reaction(barrier, tape, velocity(entry, k, snaps, touch, at), flows, row)

    dealers_at(k, snaps, options, touch, at.fuel, at.clock, row)
    _place(k, snaps, touch, at, row)
