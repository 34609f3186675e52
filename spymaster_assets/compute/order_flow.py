"""Order-flow imbalance before a touch: by depth, by the depths' common component, and near the level. docs/physics.md, 4.5."""

from __future__ import annotations

import numpy as np

from spymaster_assets.compute.kernel import kernel
from spymaster_assets.states import BID


def imbalances(k: int, window: int, snaps: np.ndarray) -> np.ndarray:
    """Imbalance by depth over the snaps (k - window, k], contracts, positive for buyers."""
    difference: np.ndarray = snaps[k]["ofi"] - snaps[max(k - window, 0)]["ofi"]
    return difference


def share_of(loadings: np.ndarray) -> np.ndarray:
    """Loadings over the sum of their sizes; NaN where they are unknown."""
    total = float(np.abs(loadings).sum())
    return np.asarray(loadings / total) if total else np.full(loadings.shape, np.nan)


def first_component(vectors: np.ndarray) -> np.ndarray:
    """Loadings of the first principal component of rows of imbalances, over the sum of their sizes; NaN where nothing varies.

    Rounded to 1e-9: what machines differ by lies beyond.

    Source: Cont, Cucuringu, Zhang (2023), Cross-impact of order flow imbalance in equity markets.
    """
    varied = len(vectors) > 1 and bool((vectors != vectors[0]).any())
    if not varied:
        return np.full(vectors.shape[1], np.nan)
    component = np.linalg.eigh(np.cov(vectors.T.astype(np.float64)))[1][:, -1]
    return np.asarray(np.round(share_of(component if component.sum() >= 0 else -component), 9))


@kernel
def near_flow(k: int, windows: np.ndarray, ticks: int, reach: int, snaps: np.ndarray, flow: np.ndarray, out: np.ndarray) -> None:
    """Net additions of bids less those of asks within `reach` ticks of a price: out[w] over (k - windows[w], k], rising windows."""
    net, number = 0, snaps[k]["flow_rows"] - 1
    for window in range(windows.size):
        start = max(k - windows[window], 0)
        while number >= 0 and flow[number]["k"] > start:
            row = flow[number]
            if abs(row["ticks"] - ticks) <= reach:
                change = row["added"] - row["pulled"] - row["filled"]
                net += change if row["side"] == BID else -change
            number -= 1
        out[window] = net
