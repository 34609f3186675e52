"""What became of a kind's earlier touches by the time of a new one. docs/physics.md, 4.5."""

from __future__ import annotations

import math

import numpy as np

from spymaster_assets.compute.clock import NS, Clock
from spymaster_assets.compute.context import resolved
from spymaster_assets.compute.kernel import kernel
from spymaster_assets.features.context import TRENDS
from spymaster_assets.states import BOUNCE, BREAK, CHOP, UP

HORIZON = 240  # seconds
_PENDING = -1


@kernel
def outcome_by(k: int, end: int, snaps: np.ndarray, prints: np.ndarray, touch: np.ndarray, tick: int) -> int:
    """What came of a touch by snap k: BREAK, BOUNCE, CHOP once `end` is over, else -1."""
    entry, theta, price = touch[0]["k"], touch[0]["theta_4min"] * tick, touch[0]["price"]
    if resolved(entry, touch[0]["theta_4min"], snaps, touch, tick):
        return _PENDING
    for number in range(snaps[entry]["prints"], snaps[min(end, k)]["prints"]):
        beyond = prints[number]["ticks"] * tick - price
        if abs(beyond) >= theta:
            return BREAK if (beyond > 0) == (touch[0]["direction"] == UP) else BOUNCE
    return CHOP if end <= k else _PENDING


def attempts(
    number: int, snaps: np.ndarray, prints: np.ndarray, touches: np.ndarray, approach: np.ndarray, tick: int, clock: Clock
) -> dict[str, float]:
    """The columns of touch `number`. `touches`: up to it at least; `approach`: features rows of the touches up to it."""
    touch = touches[number]
    k, t0 = int(touch["k"]), int(touch["t0"])
    earlier = [before for before in range(number) if touches[before]["kind"] == touch["kind"]]
    outcomes = []
    for before in earlier:
        end = int(touches[before]["k"]) + HORIZON * clock.second
        outcomes.append(outcome_by(k, end, snaps, prints, touches[before : before + 1], tick))
    known = [outcome for outcome in outcomes if outcome != _PENDING]
    found: dict[str, float] = {
        "attempt_index": int(touch["attempt_index"]),
        "minutes_since_touch": (t0 - int(touches[earlier[-1]]["t0"])) / (60 * NS) if earlier else math.nan,
        "prior_breaks": known.count(BREAK),
        "prior_bounces": known.count(BOUNCE),
        "prior_chops": known.count(CHOP),
        "last_outcome": {BREAK: 1.0, BOUNCE: -1.0, CHOP: 0.0}[known[-1]] if known else math.nan,
    }
    same = [before for before in earlier if touches[before]["direction"] == touch["direction"]]
    for name, of in TRENDS.items():
        found[name] = float(approach[number][of]) - float(approach[same[0]][of]) if same else math.nan
    return found
