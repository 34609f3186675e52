"""Naive twins of physics.md, section 5 (score, signals), from the page alone.

Rows are dicts with the column names of tables.py, None for null. Nothing here imports the code that it checks.
"""

import math

from tests import naive_fuel
from tests.naive_labels import prints_between, seconds_of, snaps_in
from tests.naive_physics import (
    approach_columns,
    approach_start,
    book_columns,
    imbalance,
    latest_sweep,
    naive_resolved,
    position,
    reaction_columns,
    reaction_start,
    toward_break,
)

APPROACH_UNTIL = 5  # seconds after the touch during which the score uses the approach
TANH_SCALE = 1.6
CONTESTED_SCORES = (30, 70)
CONTESTED_RATE = 2
LIQUIDITY_SCORE = {
    "VACUUM": 100, "WEAK": 80, "CONSUMED": 60, "NEUTRAL": 50, "PASSED": 50, "ABSORPTION": 20, "WALL": 0, "UNOBSERVED": None,
}  # fmt: skip
HEDGE_SCORE = {"AMPLIFY": 100, "NEUTRAL": 50, "DAMPEN": 0, "UNKNOWN": None}
SCORE_INPUTS = (
    "barrier_state", "barrier_turnover", "replenishment_ratio", "barrier_delta_liq", "tape_velocity", "tape_rate", "tape_prints",
)  # fmt: skip


def fuel_of_score(rows, touch, k, session, config, priors):
    """What the score knows of fuel: as at t0 for the first 5 s."""
    if rows.options is None:
        return {"fuel_effect": "UNKNOWN", "gamma_exposure": None}
    k = touch["k"] if k - touch["k"] < snaps_in(config.score.reaction_seconds, config) else k
    known = naive_fuel.fuel_known(rows.options, touch["price"], k)
    total = naive_fuel.exposure(rows.options, touch["price"], k) if known else None
    usual = naive_fuel.threshold(rows.snaps[k]["ts"], session, config, priors)
    return {"fuel_effect": naive_fuel.effect(total, usual), "gamma_exposure": total}


def score_tape(inputs, sigma, config):
    """S_T: None where the tape tells nothing."""
    if inputs["sweep_direction"]:
        return 100.0 if inputs["sweep_direction"] > 0 else 0.0
    if inputs["tape_prints"] < config.score.min_prints:
        return None
    speed = 0.0
    if inputs["tape_velocity"] is not None and sigma is not None:
        speed = math.tanh(inputs["tape_velocity"] / (TANH_SCALE * sigma))
    return 50 + 25 * speed + 25 * inputs["tape_imbalance"]


def raw_score(liquidity, hedge, tape, config):
    """Weighted mean of the known parts; None if both the barrier and fuel are unknown."""
    if liquidity is None and hedge is None:
        return None
    parts = ((config.score.w_l, liquidity), (config.score.w_h, hedge), (config.score.w_t, tape))
    known = [(weight, score) for weight, score in parts if score is not None]
    return sum(weight * score for weight, score in known) / sum(weight for weight, _ in known)


def smooth_scores(raws, config):
    """The smoothed score after each of the raw scores, one per snap."""
    smooth, last, found = None, None, []
    for number, raw in enumerate(raws):
        since = None if last is None else seconds_of(number - last, config)
        if raw is not None:
            smooth = raw if smooth is None else smooth + (1 - math.exp(-since / config.score.tau_score)) * (raw - smooth)
            last = number
        elif smooth is not None and since > config.score.hold_null_seconds:
            smooth = None
        found.append(smooth)
    return found


def triggers(scores, contested, config):
    """The trigger after each smoothed score. `contested`: whether the other conditions of CONTESTED hold at that snap."""
    rules, held, high, low, found = config.score, "NEUTRAL", 0, 0, []
    for score, disputed in zip(scores, contested, strict=True):
        if score is None:
            held, high, low = "NEUTRAL", 0, 0
            found.append("NEUTRAL")
            continue
        high = high + 1 if score >= rules.break_score_threshold else 0
        low = low + 1 if score <= rules.reject_score_threshold else 0
        if (held == "BREAK" and score < rules.release_break) or (held == "REJECT" and score > rules.release_bounce):
            held = "NEUTRAL"
        if high >= rules.trigger_snaps:
            held = "BREAK"
        if low >= rules.trigger_snaps:
            held = "REJECT"
        between = CONTESTED_SCORES[0] <= score <= CONTESTED_SCORES[1]
        found.append("CONTESTED" if held == "NEUTRAL" and between and disputed else held)
    return found


def confidence(row, config):
    parts = [row["score_liquidity"], row["score_hedge"], row["score_tape"]]
    known = sum(part is not None for part in parts)
    turnover, prints = row["barrier_turnover"], row["tape_prints"]
    if row["break_score_raw"] is None or turnover is None or turnover < config.barrier.turnover_min:
        return "LOW"
    if prints < config.score.min_prints or known < 2:
        return "LOW"
    if turnover >= config.score.confident_turnover and prints >= config.score.confident_prints and known == 3:
        return "HIGH"
    return "MEDIUM"


def score_inputs(rows, touch, k, session, config, priors):
    """What the score reads: the approach as at t0 for 5 s, then the reaction."""
    early = seconds_of(k - touch["k"], config) < APPROACH_UNTIL
    moment = touch["k"] if early else k
    if early:
        found = approach_columns(rows, touch, session, config, priors)
        tape = approach_start(touch, config.tape.w_t, config)
    else:
        found = reaction_columns(rows, touch, k, session, config, priors)
        tape = reaction_start(touch, k, config.tape.w_t, config)
    sweep_from = max(0, moment - snaps_in(config.score.sweep_seconds, config))
    sweep = latest_sweep(rows, touch, sweep_from, moment, session, config, priors)
    return {
        **{name: found[name] for name in SCORE_INPUTS},
        "wall_ratio": book_columns(rows.snaps[moment], touch, config)["wall_ratio"],
        "tape_imbalance": imbalance(prints_between(rows, tape + 1, moment), touch, config),
        "sweep_direction": 0 if sweep is None else toward_break(sweep, touch),
    }


def signal_snaps(rows, touch, config):
    """The snaps of the touch's signal rows."""
    found = []
    for k in range(touch["k"], min(touch["k"] + snaps_in(240, config), len(rows.snaps) - 1) + 1):
        if naive_resolved(rows, touch, k, touch["theta_8min"], config):
            break
        found.append(k)
    return found


def naive_signals(rows, touch, session, config, priors):
    """The rows of SIGNALS of one touch, without event_id."""
    found = []
    for k in signal_snaps(rows, touch, config):
        snap = rows.snaps[k]
        row = {
            "touch": touch["touch"],
            "k": k,
            "ts": snap["ts"],
            "elapsed": seconds_of(k - touch["k"], config),
            "mid2": snap["mid2"],
            **score_inputs(rows, touch, k, session, config, priors),
            **fuel_of_score(rows, touch, k, session, config, priors),
        }
        row["score_liquidity"] = LIQUIDITY_SCORE[row["barrier_state"]]
        row["score_hedge"] = HEDGE_SCORE[row["fuel_effect"]]
        row["score_tape"] = score_tape(row, touch["sigma"], config)
        row["break_score_raw"] = raw_score(row["score_liquidity"], row["score_hedge"], row["score_tape"], config)
        row["confidence"] = confidence(row, config)
        found.append(row)

    scores = smooth_scores([row["break_score_raw"] for row in found], config)
    contested = [row["barrier_state"] == "CONSUMED" and (row["tape_rate"] or 0) > CONTESTED_RATE for row in found]
    for row, score, trigger in zip(found, scores, triggers(scores, contested, config), strict=True):
        x = position(rows.snaps[row["k"]], touch, config)
        critical = x is not None and abs(x) <= config.touches.monitor_band
        row["break_score_smooth"], row["trigger"] = score, trigger
        row["phase"] = "critical" if critical else "following"
        row["signal"] = trigger if critical else "NEUTRAL"
    return found
