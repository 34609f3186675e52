"""How the mid moves. docs/physics.md, 4.2 (tape_velocity)."""

from __future__ import annotations

import numpy as np

from spymaster_assets.compute.kernel import kernel

MIN_POINTS = 8  # of a least-squares fit


@kernel
def slope(since: int, until: int, snaps: np.ndarray) -> float:
    """Least-squares slope of mid2 over the snaps since .. until (both included) with a good book, in half ticks per snap.

    In integers up to the one division; NaN under MIN_POINTS.
    """
    n = sx = sy = sxx = sxy = 0
    origin = 0
    for k in range(max(since, 0), until + 1):
        if snaps[k]["book_ok"]:
            if n == 0:
                origin = snaps[k]["mid2"]
            x, y = k - since, snaps[k]["mid2"] - origin
            n, sx, sy, sxx, sxy = n + 1, sx + x, sy + y, sxx + x * x, sxy + x * y
    return (n * sxy - sx * sy) / (n * sxx - sx * sx) if n >= MIN_POINTS else np.nan
