"""Features of a touch at a moment: the one place where the columns of features/ that move are computed, for batch and live.

What was known at t0 and stays is made once, by approach_at.py. Nothing after snap k is read. docs/physics.md, section 4.
"""

from __future__ import annotations

import numpy as np

from spymaster_assets.compute.barrier import Barrier, attacking_at, clocked, ladder_at, rates
from spymaster_assets.compute.context import excursions, position
from spymaster_assets.compute.dealers import dealers_at
from spymaster_assets.compute.fuel import Options
from spymaster_assets.compute.geometry import geometry
from spymaster_assets.compute.kernel import kernel
from spymaster_assets.compute.physics import Physics, velocity
from spymaster_assets.compute.tape import Tape, tape_over
from spymaster_assets.features import HORIZONS, REACTION_WINDOWS
from spymaster_assets.states import UNOBSERVED

assert REACTION_WINDOWS == (5, 15, 60), "the column names below"
assert HORIZONS == {"2min": 120, "4min": 240, "8min": 480}, "the column names below"


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
    row[0]["attacking_added_rate"] = row[0]["attacking_pulled_rate"] = row[0]["attacking_filled_rate"] = nan


_NO_TAPE = Tape(0, 0, 0, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, -1)


@kernel
def _place(k: int, snaps: np.ndarray, touch: np.ndarray, sigma_now: float, at: Physics, row: np.ndarray) -> None:
    """Position, volatility and geometry."""
    out, frozen = row[0], touch[0]
    tick = at.tape.tick / at.point
    x = position(k, snaps, touch, at.tape.tick, at.point)
    spacing = frozen["print_spacing"]
    out["position"] = x
    out["position_theta_2min"] = x / (frozen["theta_2min"] * tick)
    out["position_theta_4min"] = x / (frozen["theta_4min"] * tick)
    out["position_theta_8min"] = x / (frozen["theta_8min"] * tick)
    out["position_sigma_4min"] = x / (frozen["sigma"] * np.sqrt(240.0))
    out["sigma_now"] = sigma_now
    beyond, before = excursions(k, snaps, touch, at.tape.tick)
    out["excursion_max"], out["excursion_min"] = beyond / at.point, before / at.point
    odds = geometry(x, frozen["theta_2min"] * tick, sigma_now, spacing, 120.0, tick)
    out["geometry_break_2min"], out["geometry_bounce_2min"], out["geometry_chop_2min"] = odds.break_, odds.bounce, odds.chop
    odds = geometry(x, frozen["theta_4min"] * tick, sigma_now, spacing, 240.0, tick)
    out["geometry_break_4min"], out["geometry_bounce_4min"], out["geometry_chop_4min"] = odds.break_, odds.bounce, odds.chop
    odds = geometry(x, frozen["theta_8min"] * tick, sigma_now, spacing, 480.0, tick)
    out["geometry_break_8min"], out["geometry_bounce_8min"], out["geometry_chop_8min"] = odds.break_, odds.bounce, odds.chop


@kernel
def features_at(
    k: int, snaps: np.ndarray, prints: np.ndarray, flow: np.ndarray, options: Options, touch: np.ndarray,
    sigma_now: float, at: Physics, row: np.ndarray,
) -> None:  # fmt: skip
    """Write the features of a touch at snap k >= its own. `touch`: its row of touches; `sigma_now`: volatility at k; `row`: its row
    of approach_at.py, which becomes one of features."""
    out, entry = row[0], touch[0]["k"]
    out["touch"], out["k"], out["ts"] = touch[0]["touch"], k, snaps[k]["ts"]
    out["elapsed"] = (k - entry) * at.tape.interval

    now = ladder_at(snaps[k : k + 1], touch, at.barrier)
    seen = 2.0 * now.observed >= 1.0 and not np.isnan(now.expected) and not np.isnan(touch[0]["depth"])
    out["barrier_observed"], out["barrier_position"] = now.observed, now.position
    out["barrier_depth"] = float(now.size) if seen else np.nan
    out["wall_ratio"] = now.size / now.expected if seen and now.expected > 0.0 else np.nan

    attacking = attacking_at(snaps[k : k + 1], touch, at.barrier)
    out["attacking_depth"] = attacking
    out["depth_imbalance"] = (attacking - now.size) / (attacking + now.size) if seen and attacking + now.size > 0.0 else np.nan

    if k == entry:
        _no_reaction(row)
    else:
        barrier = clocked(max(entry, k - at.reaction_barrier), k, snaps, flow, touch, at.barrier)
        flows = np.full((3, 3), np.nan)
        if barrier.state != UNOBSERVED:
            rates(entry, k, at.reaction_windows, snaps, flow, touch, at.barrier, False, flows)
            for window in range(1, 3):
                if k - entry <= at.reaction_windows[window - 1]:
                    flows[window] = np.nan
        tape = tape_over(max(entry, k - at.reaction_tape), k, snaps, prints, touch, at.usual_p99, at.tape, at.clock)
        _reaction(barrier, tape, velocity(entry, k, snaps, touch, at), flows, row)
        sides = np.full((1, 3), np.nan)
        if not np.isnan(attacking):
            rates(max(entry, k - at.reaction_tape), k, at.side_windows, snaps, flow, touch, at.barrier, True, sides)
        out["attacking_added_rate"], out["attacking_pulled_rate"], out["attacking_filled_rate"] = sides[0]

    dealers_at(k, snaps, options, touch, at.fuel, at.clock, row)
    _place(k, snaps, touch, sigma_now, at, row)
