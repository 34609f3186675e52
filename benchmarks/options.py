"""Options to value: a million, and the loop over them that the stage measures."""

from __future__ import annotations

import numpy as np

from spymaster_assets.compute.black76 import gamma, implied_total, price
from spymaster_assets.compute.kernel import kernel

Options = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # forward, strike, call, value


def options(count: int) -> Options:
    """Out-of-the-money options as the last hours of a date have them, with their values."""
    rng = np.random.default_rng(1)
    forward = rng.uniform(4000, 7000, count)
    total = np.exp(rng.uniform(np.log(0.001), np.log(0.02), count))
    strike = forward * np.exp(total * rng.normal(0, 1.2, count))
    return forward, strike, strike > forward, values(forward, strike, total, strike > forward)


@kernel
def values(forward: np.ndarray, strike: np.ndarray, total: np.ndarray, call: np.ndarray) -> np.ndarray:
    found = np.empty(forward.size)
    for i in range(forward.size):
        found[i] = price(forward[i], strike[i], total[i], call[i])
    return found


@kernel
def invert(forward: np.ndarray, strike: np.ndarray, call: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Gamma of each option at its implied volatility."""
    found = np.empty(forward.size)
    for i in range(forward.size):
        total, _ = implied_total(value[i], forward[i], strike[i], call[i])
        found[i] = gamma(forward[i], strike[i], total)
    return found
