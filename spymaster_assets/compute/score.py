"""The mechanical 0-100 score of a touch, snap by snap, and its trigger. docs/physics.md, section 5."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from spymaster_assets.compute.barrier import Barrier, clocked, ladder_at
from spymaster_assets.compute.context import resolved
from spymaster_assets.compute.fuel import Exposure, Options, exposure_at
from spymaster_assets.compute.grid import UNKNOWN
from spymaster_assets.compute.kernel import kernel
from spymaster_assets.compute.physics import Physics, velocity
from spymaster_assets.compute.tape import Tape, tape_over
from spymaster_assets.states import (
    ABSORPTION,
    AMPLIFY,
    BREAK_TRIGGER,
    CONSUMED,
    CONTESTED,
    CRITICAL,
    DAMPEN,
    FOLLOWING,
    FUEL_NEUTRAL,
    HIGH,
    LOW,
    MEDIUM,
    NEUTRAL,
    NO_TRIGGER,
    PASSED,
    REJECT_TRIGGER,
    UNOBSERVED,
    VACUUM,
    WALL,
    WEAK,
)  # fmt: skip

if TYPE_CHECKING:
    from spymaster_assets.config import Config

SCORING: Final = np.dtype(
    [("smooth", "f8"), ("raw_k", "i8"), ("above", "i8"), ("below", "i8"), ("trigger", "i1"), ("done", "i1")]
)  # one row per touch: raw_k is the snap of the latest raw score, -1 without one


class ScoreParams(NamedTuple):
    """Weights, thresholds (0-100), times in snaps; `alpha`: per snap, exp(-interval / tau)."""

    liquidity: float
    hedge: float
    tape: float
    break_: float
    reject: float
    release_break: float
    release_reject: float
    trigger: int
    tau: float
    hold: int
    reaction: int
    longest: int
    sweep: int
    min_prints: int
    confident_prints: int
    confident_turnover: float
    turnover_min: float
    band: int
    velocity_scale: float
    contested_low: float
    contested_high: float
    contested_rate: float


class Inputs(NamedTuple):
    """What the score is made of at one moment."""

    barrier: Barrier
    tape: Tape
    velocity: float
    wall_ratio: float
    sweep: int
    fuel: Exposure


def score_params(config: Config, second: int) -> ScoreParams:
    """`second`: snaps in one."""
    rules = config.score
    return ScoreParams(
        liquidity=rules.w_l,
        hedge=rules.w_h,
        tape=rules.w_t,
        break_=rules.break_score_threshold,
        reject=rules.reject_score_threshold,
        release_break=rules.release_break,
        release_reject=rules.release_bounce,
        trigger=rules.trigger_snaps,
        tau=rules.tau_score,
        hold=round(rules.hold_null_seconds * second),
        reaction=round(rules.reaction_seconds * second),
        longest=max(config.touches.landmarks) * second,
        sweep=round(rules.sweep_seconds * second),
        min_prints=rules.min_prints,
        confident_prints=rules.confident_prints,
        confident_turnover=rules.confident_turnover,
        turnover_min=config.barrier.turnover_min,
        band=round(config.touches.monitor_band * config.instrument.point),
        velocity_scale=rules.velocity_scale,
        contested_low=rules.contested_low,
        contested_high=rules.contested_high,
        contested_rate=rules.contested_rate,
    )


@kernel
def score_inputs_at(
    k: int, snaps: np.ndarray, prints: np.ndarray, flow: np.ndarray, options: Options, touch: np.ndarray, at: Physics,
    params: ScoreParams,
) -> Inputs:  # fmt: skip
    """Inputs of a touch at snap k: the approach, as at t0, until the reaction has lasted 5 s; then the reaction."""
    entry = touch[0]["k"]
    if k - entry < params.reaction:
        k = entry
        since_barrier = since_tape = max(entry - at.approach, 0)
        speed = velocity(0, k, snaps, touch, at)
    else:
        since_barrier, since_tape = max(entry, k - at.reaction_barrier), max(entry, k - at.reaction_tape)
        speed = velocity(entry, k, snaps, touch, at)
    barrier = clocked(since_barrier, k, snaps, flow, touch, at.barrier)
    tape = tape_over(since_tape, k, snaps, prints, touch, at.usual_p99, at.tape, at.clock)
    now = ladder_at(snaps[k : k + 1], touch, at.barrier)
    wall_ratio = now.size / now.expected if barrier.state != UNOBSERVED and now.expected > 0.0 else np.nan
    sweep = int(tape.sweep_direction) if tape.sweep_k > k - params.sweep else 0
    fuel = exposure_at(k, k, touch[0]["price"], snaps, options, at.fuel, at.clock)
    return Inputs(barrier, tape, speed, wall_ratio, sweep, fuel)


@kernel
def liquidity_score(state: int) -> float:
    if state == VACUUM:
        return 100.0
    if state == WEAK:
        return 80.0
    if state == CONSUMED:
        return 60.0
    if state in (NEUTRAL, PASSED):
        return 50.0
    if state == ABSORPTION:
        return 20.0
    return 0.0 if state == WALL else np.nan


@kernel
def hedge_score(effect: int) -> float:
    if effect == AMPLIFY:
        return 100.0
    if effect == FUEL_NEUTRAL:
        return 50.0
    return 0.0 if effect == DAMPEN else np.nan


@kernel
def tape_score(inputs: Inputs, sigma: float, params: ScoreParams) -> float:
    """S_T: speed in units of volatility, and imbalance; a recent sweep decides."""
    if inputs.sweep:
        return 100.0 if inputs.sweep > 0 else 0.0
    if inputs.tape.prints < params.min_prints:
        return np.nan
    moving = 0.0 if np.isnan(inputs.velocity) or np.isnan(sigma) else np.tanh(inputs.velocity / (params.velocity_scale * sigma))
    return 50.0 + 25.0 * moving + 25.0 * inputs.tape.score_imbalance


@kernel
def combine(liquidity: float, hedge: float, tape: float, params: ScoreParams) -> float:
    """Weighted mean of the known parts; NaN if barrier and fuel are both unknown."""
    if np.isnan(liquidity) and np.isnan(hedge):
        return np.nan
    total = weights = 0.0
    for part, weight in ((liquidity, params.liquidity), (hedge, params.hedge), (tape, params.tape)):
        if not np.isnan(part):
            total += weight * part
            weights += weight
    return total / weights


@kernel
def smooth(k: int, raw: float, scoring: np.ndarray, tau: float, hold: int, interval: float) -> float:
    """The exponential average after this snap; a missing raw score holds it for a while, then it starts anew."""
    state = scoring[0]
    if not np.isnan(raw):
        if np.isnan(state["smooth"]):
            state["smooth"] = raw
        else:
            state["smooth"] += (1.0 - np.exp(-(k - state["raw_k"]) * interval / tau)) * (raw - state["smooth"])
        state["raw_k"] = k
    elif k - state["raw_k"] > hold:
        state["smooth"] = np.nan
    return state["smooth"]


@kernel
def trigger(score: float, state: int, rate: float, scoring: np.ndarray, params: ScoreParams) -> int:
    """What the smoothed score has been telling."""
    now = scoring[0]
    if np.isnan(score):
        now["above"], now["below"], now["trigger"] = 0, 0, NO_TRIGGER
        return NO_TRIGGER
    now["above"] = now["above"] + 1 if score >= params.break_ else 0
    now["below"] = now["below"] + 1 if score <= params.reject else 0
    if now["above"] >= params.trigger or (now["trigger"] == BREAK_TRIGGER and score >= params.release_break):
        now["trigger"] = BREAK_TRIGGER
    elif now["below"] >= params.trigger or (now["trigger"] == REJECT_TRIGGER and score <= params.release_reject):
        now["trigger"] = REJECT_TRIGGER
    elif params.contested_low <= score <= params.contested_high and state == CONSUMED and rate > params.contested_rate:
        now["trigger"] = CONTESTED
    else:
        now["trigger"] = NO_TRIGGER
    return now["trigger"]


@kernel
def confidence(inputs: Inputs, parts: int, raw: float, params: ScoreParams) -> int:
    """How much evidence the score has."""
    turnover = inputs.barrier.turnover
    if np.isnan(raw) or not turnover >= params.turnover_min or inputs.tape.prints < params.min_prints or parts < 2:
        return LOW
    sure = turnover >= params.confident_turnover and inputs.tape.prints >= params.confident_prints and parts == 3
    return HIGH if sure else MEDIUM


@kernel
def signal_at(
    k: int, snaps: np.ndarray, prints: np.ndarray, flow: np.ndarray, options: Options, touch: np.ndarray, scoring: np.ndarray,
    at: Physics, params: ScoreParams, row: np.ndarray,
) -> None:  # fmt: skip
    """Score a touch at snap k, which follows the snap scored before. `scoring`: its state, mutated; `row`: one row of signals."""
    out, inputs = row[0], score_inputs_at(k, snaps, prints, flow, options, touch, at, params)
    barrier, tape = inputs.barrier, inputs.tape
    out["touch"], out["k"], out["ts"] = touch[0]["touch"], k, snaps[k]["ts"]
    out["elapsed"], out["mid2"] = (k - touch[0]["k"]) * at.tape.interval, snaps[k]["mid2"]
    out["barrier_state"], out["barrier_turnover"], out["wall_ratio"] = barrier.state, barrier.turnover, inputs.wall_ratio
    out["replenishment_ratio"], out["barrier_delta_liq"] = barrier.replenishment, barrier.delta
    out["tape_velocity"], out["tape_rate"], out["tape_imbalance"] = inputs.velocity, tape.rate, tape.score_imbalance
    out["tape_prints"], out["sweep_direction"] = tape.prints, inputs.sweep
    out["fuel_effect"], out["gamma_exposure"] = inputs.fuel.effect, inputs.fuel.gamma
    liquidity, hedge = liquidity_score(barrier.state), hedge_score(inputs.fuel.effect)
    aggression = tape_score(inputs, touch[0]["sigma"], params)
    raw = combine(liquidity, hedge, aggression, params)
    parts = (not np.isnan(liquidity)) + (not np.isnan(hedge)) + (not np.isnan(aggression))
    out["score_liquidity"], out["score_hedge"], out["score_tape"], out["break_score_raw"] = liquidity, hedge, aggression, raw
    score = smooth(k, raw, scoring, params.tau, params.hold, at.tape.interval)
    out["break_score_smooth"] = score
    out["trigger"] = trigger(score, barrier.state, tape.rate, scoring, params)
    mid2 = snaps[k]["mid2"]
    near = mid2 != UNKNOWN and abs(mid2 * at.tape.tick - 2 * touch[0]["price"]) <= 2 * params.band
    out["phase"] = CRITICAL if near else FOLLOWING
    out["signal"] = out["trigger"] if near else NO_TRIGGER
    out["confidence"] = confidence(inputs, parts, raw, params)


@kernel
def advance_signals(
    since: int, until: int, snaps: np.ndarray, prints: np.ndarray, flow: np.ndarray, options: Options, touches: np.ndarray,
    scoring: np.ndarray, at: Physics, params: ScoreParams, signals: np.ndarray, count: int,
) -> int:  # fmt: skip
    """Score every unresolved touch at the snaps (since, until], snap by snap, writing signals from row `count` on; rows then.

    A touch is done once a print lay theta of the longest horizon from its level, or 240 s after t0. `signals` has room for one row
    per touch and snap.
    """
    for k in range(since + 1, until + 1):
        for number in range(touches.size):
            touch = touches[number : number + 1]
            if scoring[number]["done"] or touch[0]["k"] > k:
                continue
            if k - touch[0]["k"] > params.longest or resolved(k, touch[0]["theta_8min"], snaps, touch, at.tape.tick):
                scoring[number]["done"] = 1
                continue
            signal_at(k, snaps, prints, flow, options, touch, scoring[number : number + 1], at, params, signals[count : count + 1])
            count += 1
    return count
