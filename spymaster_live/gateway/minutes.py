"""Liquidity minute by minute, from the books and flows that the engine tells: rows of display/heat."""

from __future__ import annotations

import numpy as np

from spymaster_assets.compute.display import heat
from spymaster_assets.tables import FLOW, HEAT, SNAPS


class Minutes:
    """The minutes of a run. `step`: snaps of one. A minute of which a snap was not told does not count."""

    def __init__(self, step: int) -> None:
        self._step = step
        self._closed: list[np.ndarray] = []
        self._begin(0)

    def _begin(self, minute: int) -> None:
        """Another minute, by the snap that ends it."""
        self._minute, self._told = minute, 0
        self._end, self._flow = np.zeros(0, SNAPS.dtype), [np.zeros(0, FLOW.dtype)]

    def take(self, snaps: np.ndarray, flow: np.ndarray) -> None:
        """Rows of SNAPS in order, and those of FLOW within them."""
        ends, of_flow = (-(-rows["k"] // self._step) * self._step for rows in (snaps, flow))
        for minute in np.unique(ends).tolist():
            if minute != self._minute:
                self._begin(minute)
            within = snaps[ends == minute]
            self._told += len(within)
            self._end = within[-1:]
            self._flow.append(flow[of_flow == minute])
            if int(self._end["k"][0]) == minute and self._told == self._step:
                self._closed.append(self.forming)
                self._begin(0)

    @property
    def forming(self) -> np.ndarray:
        """The minute that is not closed yet, as far as it was told."""
        return heat(self._end, np.concatenate(self._flow), self._step)

    def closed(self, after: int = 0) -> np.ndarray:
        """The minutes that end after a snap."""
        return np.concatenate([np.zeros(0, HEAT.dtype), *(cells for cells in self._closed if len(cells) and cells["k"][0] > after)])
