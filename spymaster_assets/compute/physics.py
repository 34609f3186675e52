"""What features and score need to know of configuration, clock and priors, and the speed that both read."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spymaster_assets.compute.barrier import BarrierParams, barrier_params
from spymaster_assets.compute.clock import Clock
from spymaster_assets.compute.fuel import FuelParams, fuel_params
from spymaster_assets.compute.kernel import kernel
from spymaster_assets.compute.kinematics import slope
from spymaster_assets.compute.tape import TapeParams, tape_params
from spymaster_assets.features import APPROACH_WINDOWS, REACTION_WINDOWS
from spymaster_assets.states import UP

if TYPE_CHECKING:
    from spymaster_assets.config import Config


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
    side_windows: np.ndarray
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
        side_windows=np.array([round(config.tape.w_t * clock.second)]),
        usual_p99=np.ascontiguousarray(priors["cluster_p99"]),
    )


@kernel
def velocity(since: int, k: int, snaps: np.ndarray, touch: np.ndarray, at: Physics) -> float:
    """Slope of the mid over the last snaps up to k, none before `since`, toward the break, points/s."""
    sign = 1.0 if touch[0]["direction"] == UP else -1.0
    raw = slope(max(since, k - at.velocity + 1), k, snaps)
    return sign * raw * (at.tape.tick / at.point) / (2.0 * at.tape.interval)
