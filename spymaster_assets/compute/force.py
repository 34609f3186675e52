"""Force and mass: how fast the mid should speed up, by what pushes it and what stands in its way. docs/physics.md, 4.5."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from spymaster_assets.compute.barrier import BarrierParams, ladder_at
from spymaster_assets.compute.order_flow import imbalances
from spymaster_assets.states import UP

SECONDS: Final = 30


def force_mass(k: int, snaps: np.ndarray, touch: np.ndarray, loadings: np.ndarray, params: BarrierParams, second: int) -> float:
    """Order flow and aggression toward the break over 1 + wall ratio, at snap k; NaN where a part is unknown.

    `loadings`: over the sum of their sizes; `second`: snaps in one.
    """
    sign, depth, volume = 1 if touch[0]["direction"] == UP else -1, float(touch[0]["depth"]), float(touch[0]["minute_volume"])
    now = ladder_at(snaps[k : k + 1], touch, params)
    if not (2.0 * now.observed >= 1.0 and now.expected > 0.0 and depth > 0.0 and volume > 0.0):
        return math.nan
    window = SECONDS * second
    pushed = sign * integrated(imbalances(k, window, snaps), loadings, depth)
    start, end = snaps[max(k - window, 0)], snaps[k]
    bought, sold = int(end["buy_volume"] - start["buy_volume"]), int(end["sell_volume"] - start["sell_volume"])
    return (pushed + sign * (bought - sold) / (volume / 2.0)) / (1.0 + now.size / now.expected)


def integrated(imbalance: np.ndarray, loadings: np.ndarray, depth: float) -> float:
    """Imbalances by depth as one number, in multiples of D."""
    total = 0.0
    for lots, loading in zip(imbalance.tolist(), loadings.tolist(), strict=True):
        total += loading * (lots / depth)
    return total
