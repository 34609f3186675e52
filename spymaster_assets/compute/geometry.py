"""What position alone says: a driftless Brownian motion between two barriers. docs/physics.md, 4.3."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spymaster_assets.compute.kernel import kernel

SMALLEST = 1e-18  # terms of the series below it change nothing
DISCRETE = 0.5826  # -zeta(1/2) / sqrt(2 pi): how far a discretely watched barrier lies off (Broadie, Glasserman, Kou 1997)


class Odds(NamedTuple):
    """Probabilities, sum 1; NaN if unknown."""

    break_: float
    bounce: float
    chop: float


@kernel
def geometry(x: float, theta: float, sigma: float, spacing: float, horizon: float, tick: float) -> Odds:
    """Odds from position x and barriers theta (points), sigma (points/sqrt(s)), print spacing and horizon (s)."""
    if np.isnan(x) or np.isnan(sigma) or np.isnan(spacing):
        return Odds(np.nan, np.nan, np.nan)
    barrier = theta - tick / 2.0 + DISCRETE * sigma * np.sqrt(spacing)
    if x >= barrier:
        return Odds(1.0, 0.0, 0.0)
    if x <= -barrier:
        return Odds(0.0, 1.0, 0.0)
    u = (x + barrier) / (2.0 * barrier)
    up, down = u, 1.0 - u
    pace = np.pi * np.pi * sigma * sigma * horizon / (8.0 * barrier * barrier)
    n = 1
    while True:
        weight = np.exp(-n * n * pace)
        if weight < SMALLEST:
            break
        term = 2.0 / (n * np.pi) * np.sin(n * np.pi * u) * weight
        up += term if n % 2 == 0 else -term
        down -= term
        n += 1
    up, down = min(max(up, 0.0), 1.0), min(max(down, 0.0), 1.0)
    return Odds(up, down, max(1.0 - up - down, 0.0))
