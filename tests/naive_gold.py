"""Naive twins of physics.md, section 8 (Gold): sequences and training, from the page alone.

Rows are mappings with the column names of the tables, None for null; `snaps` is indexed by the snap's number. Nothing here
imports the code that it checks.
"""

import math
from itertools import pairwise

from spymaster_assets.features import FEATURES, HORIZONS
from spymaster_assets.tables.silver import LABELS
from tests import naive_fuel
from tests.naive_labels import SECOND, best, listed, mid_points, points, seconds_of, sign, snaps_in

DISTANCE_SECONDS = 240  # of the volatility that measures the distance
OFI_DEPTHS = (1, 2, 3, 4)
CHANNELS = (
    "distance", "return", "volatility", "spread", "microprice", "queue_imbalance", "signed_volume", "trades", "ofi_0", "ofi_1_4",
    "defending_depth", "attacking_depth", "defending_added", "defending_pulled", "defending_filled", "exposure",
)  # fmt: skip
OF_TOUCH = (
    "episode", "kind", "direction", "price", "sigma_cold", "theta_2min", "theta_4min", "theta_8min",
)  # fmt: skip
OF_SIGNALS = (
    "score_liquidity", "score_hedge", "score_tape", "break_score_raw", "break_score_smooth", "trigger", "signal", "phase",
    "confidence",
)  # fmt: skip
KEYS_OF_LABELS = ("touch", "event_id", "k", "ts", "elapsed")
DECIDED = ("BREAK", "BOUNCE", "CHOP")


# ---- sequences ----


def over(value, unit):
    """A quotient; None over something unknown."""
    return None if value is None or unit is None else value / unit


def usual(per_minute, seconds):
    """What is usual in so many seconds; None where a minute's is unknown or 0."""
    return None if per_minute is None or per_minute == 0 else per_minute * seconds / 60


def sides(touch):
    """(defending, attacking) side of the book."""
    return ("A", "B") if touch["direction"] == "UP" else ("B", "A")


def flow_between(flow, side, a, b):
    """(added, pulled, filled) lots of one side in the snaps a + 1 … b, at any price."""
    found = [row for k in range(a + 1, b + 1) for row in flow.get(k, []) if row["side"] == side]
    return tuple(sum(row[what] for row in found) for what in ("added", "pulled", "filled"))


def size_near_best(snap, side, config):
    """Listed lots at most so many ticks from the best of a side."""
    top = best(snap, side)
    return sum(size for ticks, size in listed(snap, side).items() if abs(ticks - top) <= config.sequences.depth_ticks)


def root_of_squares(snaps, a, b, config):
    """Root of the summed squared changes of the mid, from each good book among a … b to the next good one."""
    mids = [mid_points(snaps[j], config) for j in range(a, b + 1) if snaps[j]["book_ok"]]
    return math.sqrt(sum((later - earlier) ** 2 for earlier, later in pairwise(mids)))


def queue_imbalance(snap):
    """(q_b - q_a) / (q_b + q_a) of the best sizes; None if both are 0."""
    bid, ask = snap["bid_size_00"], snap["ask_size_00"]
    return (bid - ask) / (bid + ask) if bid + ask else None


def exposure(options, level, k):
    """What naive_fuel says of a level, None where fuel is UNKNOWN."""
    return naive_fuel.exposure(options, level, k) if options and naive_fuel.fuel_known(options, level, k) else None


def channel_values(a, b, w, snaps, flow, touch, config, options):
    """The channels of the step (a, b] of w seconds. `flow`: rows by snap; `options`: of naive_fuel, or None."""
    s, first, last = sign(touch), snaps[a], snaps[b]
    sigma, depth = touch["sigma"], touch["depth"]
    defending, attacking = sides(touch)

    def during(column):
        """Sum over (a, b] of a cumulative column."""
        return last[column] - first[column]

    def volatility_of(seconds):
        return None if sigma is None else sigma * math.sqrt(seconds)

    spread = best(last, "A") - best(last, "B")
    queue = queue_imbalance(last)
    added, pulled, filled = flow_between(flow, defending, a, b)
    bought, sold = during("buy_volume"), during("sell_volume")
    deeper = sum(during(f"ofi_{i:02}") for i in OFI_DEPTHS)
    return {
        "distance": over(s * (mid_points(last, config) - points(touch["price"], config)), volatility_of(DISTANCE_SECONDS)),
        "return": over(s * (mid_points(last, config) - mid_points(first, config)), volatility_of(w)),
        "volatility": over(root_of_squares(snaps, a, b, config), volatility_of(w)),
        "spread": spread,
        "microprice": None if queue is None else spread / 2 * (s * queue),
        "queue_imbalance": None if queue is None else s * queue,
        "signed_volume": over(s * (bought - sold), usual(touch["minute_volume"], w)),
        "trades": over(during("prints"), usual(touch["minute_prints"], w)),
        "ofi_0": over(s * during("ofi_00"), depth),
        "ofi_1_4": over(s * deeper / len(OFI_DEPTHS), depth),
        "defending_depth": over(size_near_best(last, defending, config), depth),
        "attacking_depth": over(size_near_best(last, attacking, config), depth),
        "defending_added": over(added / w, depth),
        "defending_pulled": over(pulled / w, depth),
        "defending_filled": over(filled / w, depth),
        "exposure": exposure(options, touch["price"], b),
    }


def naive_sequence(k, snaps, flow, touch, config, options=None):
    """The rows of SEQUENCES of a touch at a landmark that is snap k, without event_id."""
    by_snap = {}
    for row in flow:
        by_snap.setdefault(row["k"], []).append(row)

    found = []
    for w, n in sorted(zip(config.sequences.scales, config.sequences.steps, strict=True)):
        for i in range(n):
            b = k - (n - 1 - i) * snaps_in(w, config)
            a = b - snaps_in(w, config)
            observed = a >= 0 and bool(snaps[a]["book_ok"]) and bool(snaps[b]["book_ok"])
            row = {
                "touch": touch["touch"],
                "k": k,
                "ts": snaps[k]["ts"],
                "elapsed": seconds_of(k - touch["k"], config),
                "scale": w,
                "step": i,
                "observed": int(observed),
            }
            if observed:
                row |= channel_values(a, b, w, snaps, by_snap, touch, config, options)
            else:
                row |= dict.fromkeys(CHANNELS)
            found.append(row)
    return found


# ---- training ----


def the_row(rows, touch, k):
    """The one row of a touch at snap k."""
    (found,) = [row for row in rows if row["touch"] == touch and row["k"] == k]
    return found


def naive_training(snaps, touches, features, signals, labels, config):
    """The rows of TRAINING, without event_id and episode_id, in the order of features."""
    found = []
    for feature in features:
        number, k = feature["touch"], feature["k"]
        (touch,) = [row for row in touches if row["touch"] == number]
        signal, label = the_row(signals, number, k), the_row(labels, number, k)
        end, gap = snaps[k]["ts"], snaps[k]["gap_ns"]
        row = {
            "touch": number,
            **{name: touch[name] for name in OF_TOUCH},
            "k": k,
            "elapsed": seconds_of(k - touch["k"], config),
            "t_feature": end if gap is None else end - gap,
            "t_decision": end,
            "t_label_start": end + 1,
            "t_label_end": end + 480 * SECOND,
        }
        for name in HORIZONS:
            decided = label[f"outcome_{name}"] in DECIDED
            row[f"trainable_{name}"] = int(decided and touch["sigma"] is not None)
        row |= {declared.name: feature[declared.name] for declared in FEATURES}
        row |= {name: signal[name] for name in OF_SIGNALS}
        row |= {name: label[name] for name in LABELS.names if name not in KEYS_OF_LABELS}
        found.append(row)
    return found
