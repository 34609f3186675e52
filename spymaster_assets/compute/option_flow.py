"""Trades and quotes of the date's 0DTE options -> option flow per interval. docs/physics.md, section 1.

Events wait until their interval is complete, so neither chunks nor the order in which the two streams arrive show in the result.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from spymaster_assets.compute.clock import Clock
from spymaster_assets.compute.growing import Growing
from spymaster_assets.compute.kernel import kernel
from spymaster_assets.states import BUYER, SELLER
from spymaster_assets.tables import OPTION_FLOW, UNDEF_PRICE

EVENT: Final = np.dtype(
    [
        ("ts", "i8"),  # event time, ns UTC
        ("k", "i8"),  # interval of the effective time
        ("contract", "i8"),  # row of the contracts
        ("quote", "i1"),
        ("price", "i8"),  # trade's price, or best bid
        ("ask", "i8"),
        ("size", "i8"),
        ("side", "u1"),
    ]
)
CONTRACT: Final = np.dtype([("strike", "i8"), ("call", "i1")])


class OptionGrid:
    """`contracts`: rows of CONTRACT in order of (strike, call). `rows`: option flow of the closed intervals."""

    def __init__(self, contracts: np.ndarray, clock: Clock) -> None:
        self._contracts, self._clock = contracts, clock
        self._waiting: list[np.ndarray] = []
        self._time = np.full(2, -(2**62))  # effective time of trades, of quotes
        self._latest = np.full((len(contracts), 3), UNDEF_PRICE)  # last, bid, ask
        self._rows = Growing(OPTION_FLOW.dtype)

    @property
    def rows(self) -> np.ndarray:
        return self._rows.rows

    def take(self, events: np.ndarray, quotes: bool) -> None:
        """Feed events (EVENT) of one stream, in arrival order; their `k` is filled in here."""
        if not len(events):
            return
        times = np.maximum.accumulate(np.append(self._time[int(quotes)], events["ts"]))[1:]
        self._time[int(quotes)] = times[-1]
        kept = events.copy()
        kept["k"] = np.maximum(0, -((self._clock.open - times) // self._clock.interval))
        kept["quote"] = quotes
        self._waiting.append(kept)

    def advance(self, closed: int) -> None:
        """Intervals up to `closed` are complete: their rows."""
        if not self._waiting:
            return
        events = np.concatenate(self._waiting)
        ready = events["k"] <= closed
        self._waiting = [events[~ready]] if not ready.all() else []
        events = events[ready]
        events = events[np.lexsort((events["contract"], events["k"]))]  # stable: arrival order within
        out = self._rows.reserve(len(events))
        self._rows.count += _fold(events, self._contracts, self._latest, out[self._rows.count :])


@kernel
def _fold(events: np.ndarray, contracts: np.ndarray, latest: np.ndarray, out: np.ndarray) -> int:
    """One row per (k, contract) of events sorted by both; how many. `latest`: last, bid, ask per contract, mutated."""
    count = 0
    for number in range(events.size):
        event, contract = events[number], events[number]["contract"]
        if number == 0 or event["k"] != events[number - 1]["k"] or contract != events[number - 1]["contract"]:
            row = out[count]
            row["k"], row["strike"], row["call"] = event["k"], contracts[contract]["strike"], contracts[contract]["call"]
            row["signed"] = row["volume"] = row["trades"] = row["premium"] = 0
            count += 1
        row = out[count - 1]
        if event["quote"]:
            latest[contract, 1], latest[contract, 2] = event["price"], event["ask"]
        else:
            size = event["size"]
            row["volume"] += size
            row["trades"] += 1
            row["signed"] += size if event["side"] == BUYER else -size if event["side"] == SELLER else 0
            if event["price"] != UNDEF_PRICE:
                row["premium"] += event["price"] * size
            latest[contract, 0] = event["price"]
        row["last"], row["bid"], row["ask"] = latest[contract, 0], latest[contract, 1], latest[contract, 2]
    return count
