"""Where the price stands against the level: position, excursions, resolution. docs/physics.md, 3 and 4.3."""

from __future__ import annotations

import numpy as np

from spymaster_assets.compute.grid import UNKNOWN
from spymaster_assets.compute.kernel import kernel
from spymaster_assets.states import UP


@kernel
def position(k: int, snaps: np.ndarray, touch: np.ndarray, tick: int, point: int) -> float:
    """Points of the mid beyond the level, toward the break; NaN without a mid. `tick`, `point`: 1e-9 USD."""
    mid2, sign = snaps[k]["mid2"], 1 if touch[0]["direction"] == UP else -1
    return sign * (mid2 * tick - 2 * touch[0]["price"]) / (2.0 * point) if mid2 != UNKNOWN else np.nan


@kernel
def excursions(k: int, snaps: np.ndarray, touch: np.ndarray, tick: int) -> tuple[int, int]:
    """Farthest prints beyond and before the level (1e-9 USD, at least 0) from the entry to snap k."""
    high, low = touch[0]["entry_high"], touch[0]["entry_low"]
    for at in range(touch[0]["k"] + 1, k + 1):
        if snaps[at]["high"] != UNKNOWN:
            high, low = max(high, snaps[at]["high"]), min(low, snaps[at]["low"])
    above, below = max(high * tick - touch[0]["price"], 0), max(touch[0]["price"] - low * tick, 0)
    return (above, below) if touch[0]["direction"] == UP else (below, above)


@kernel
def resolved(k: int, theta: int, snaps: np.ndarray, touch: np.ndarray, tick: int) -> bool:
    """Whether a print from the entry to snap k lies at least `theta` ticks from the level."""
    beyond, before = excursions(k, snaps, touch, tick)
    return max(beyond, before) >= theta * tick
