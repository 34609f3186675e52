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
from spymaster_assets.tables import OPEN_INTEREST, OPTION_FLOW, UNDEF_PRICE

OPEN_REPORT: Final = 9  # Databento's StatType of open interest
NEW: Final = 1  # and its update action
UNDEF_QUANTITY: Final = 2**63 - 1

EVENT: Final = np.dtype(
    [
        ("ts", "i8"),  # event time, ns UTC; once placed, effective time
        ("k", "i8"),  # interval of the effective time
        ("contract", "i8"),  # number of what was defined, then of its contract; negative: none of the date's
        ("quote", "i1"),
        ("price", "i8"),  # trade's price, or best bid
        ("ask", "i8"),
        ("size", "i8"),
        ("side", "u1"),
    ]
)
CONTRACT: Final = np.dtype([("strike", "i8"), ("call", "i1"), ("expiration", "i8"), ("last", "i8"), ("bid", "i8"), ("ask", "i8")])
DEFINED: Final = np.dtype([("contract", "i8"), ("since", "i8")])  # `since`: effective time of its first event that counts
ALWAYS: Final = -(2**62)


class OptionGrid:
    """`rows`: option flow of the closed intervals, in order of (k, strike, call) among those that were closed at once."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self._closed = clock, -1
        self._numbers: dict[tuple[int, int, int], int] = {}  # of what was defined, by strike, call and `since`
        self._contracts = Growing(CONTRACT)  # with their latest prices
        self._defined = Growing(DEFINED)
        self._waiting: list[np.ndarray] = []
        self._time = [ALWAYS, ALWAYS]  # effective time of trades, of quotes
        self.flow = Growing(OPTION_FLOW.dtype)

    def contract(self, strike: int, call: bool, expiration: int, defined: int = ALWAYS) -> int:
        """The number by which events tell their contract, from a definition. `defined`: when that came, ns UTC.

        What an instrument did before it was defined counts if that came by the regular open, when nothing was scored yet. If it
        came later nobody knew whose events these were: they do not count, else features before the definition would tell of it.
        Instruments of one strike and side are one contract, each from its own definition on.
        """
        since = defined if defined > self.clock.regular_start else ALWAYS
        known = self._contracts.rows
        number = self._numbers.setdefault((strike, int(call), since), len(self._numbers))
        if number == self._defined.count:
            same = np.flatnonzero((known["strike"] == strike) & (known["call"] == call))
            if not len(same):
                self._contracts.reserve(1)[self._contracts.count] = strike, call, expiration, UNDEF_PRICE, UNDEF_PRICE, UNDEF_PRICE
                self._contracts.count += 1
            self._defined.reserve(1)[number] = same[0] if len(same) else self._contracts.count - 1, since
            self._defined.count += 1
        return number

    def place(self, events: np.ndarray, quotes: bool) -> None:
        """Fill in `ts`, `k` and `quote` of the next events (EVENT) of one stream, in arrival order, of whatever instruments."""
        if not len(events):
            return
        times = np.maximum.accumulate(np.maximum(events["ts"], self._time[int(quotes)]))
        self._time[int(quotes)] = int(times[-1])
        events["ts"] = times
        events["k"] = np.maximum(self._closed + 1, -((self.clock.open - times) // self.clock.interval))
        events["quote"] = quotes

    def add(self, events: np.ndarray) -> None:
        """Take placed events of the date's contracts, also of an interval that is closed: their definition came later."""
        defined = self._defined.rows[events["contract"]]
        kept = events["ts"] >= defined["since"]
        if kept.any():
            events = events[kept]
            events["contract"] = defined["contract"][kept]
            self._waiting.append(events)

    def advance(self, closed: int) -> None:
        """Intervals up to `closed` are complete: their rows."""
        self._closed = max(self._closed, closed)
        if not self._waiting:
            return
        events = np.concatenate(self._waiting)
        ready = events["k"] <= closed
        self._waiting = [events[~ready]] if not ready.all() else []
        events = events[ready]
        known = self._contracts.rows[events["contract"]]
        events = events[np.lexsort((known["call"], known["strike"], events["k"]))]  # stable: arrival order within
        out = self.flow.reserve(len(events))
        self.flow.count += _fold(events, self._contracts.rows, out[self.flow.count :])

    def open_interest(
        self, contracts: np.ndarray, kinds: np.ndarray, actions: np.ndarray, quantities: np.ndarray, times: np.ndarray
    ) -> np.ndarray:
        """Rows of open interest from reports in arrival order, up to the regular open; the last of a contract holds.

        `contracts`: numbers as `contract` gives them, negative for others; `kinds`, `actions`: Databento's StatType and update
        action; `times`: ns UTC.
        """
        wanted = (contracts >= 0) & (kinds == OPEN_REPORT) & (actions == NEW) & (quantities != UNDEF_QUANTITY)
        at = np.flatnonzero(wanted & (times <= self.clock.regular_start))
        at = at[self._defined.rows["since"][contracts[at]] == ALWAYS]  # of those defined by then
        numbers = self._defined.rows["contract"][contracts[at]]
        last = len(at) - 1 - np.unique(numbers[::-1], return_index=True)[1]
        at, known = at[last], self._contracts.rows[numbers[last]]
        rows = np.zeros(len(at), OPEN_INTEREST.dtype)
        rows["strike"], rows["call"], rows["quantity"], rows["ts"] = known["strike"], known["call"], quantities[at], times[at]
        return rows[np.lexsort((rows["call"], rows["strike"]))]


@kernel
def _fold(events: np.ndarray, contracts: np.ndarray, out: np.ndarray) -> int:
    """One row per (k, contract) of events sorted by both; how many. The latest prices in `contracts` are mutated."""
    count = 0
    for number in range(events.size):
        event, contract = events[number], contracts[events[number]["contract"]]
        if number == 0 or event["k"] != events[number - 1]["k"] or event["contract"] != events[number - 1]["contract"]:
            row = out[count]
            row["k"], row["strike"], row["call"] = event["k"], contract["strike"], contract["call"]
            row["expiration"] = contract["expiration"]
            row["signed"] = row["volume"] = row["unsigned"] = row["trades"] = row["quotes"] = row["premium"] = 0
            count += 1
        row = out[count - 1]
        if event["quote"]:
            row["quotes"] += 1
            contract["bid"], contract["ask"] = event["price"], event["ask"]
        else:
            size = event["size"]
            row["volume"] += size
            row["trades"] += 1
            if event["side"] == BUYER:
                row["signed"] += size
            elif event["side"] == SELLER:
                row["signed"] -= size
            else:
                row["unsigned"] += size
            if event["price"] != UNDEF_PRICE:
                row["premium"] += event["price"] * size
            contract["last"] = event["price"]
        row["last"], row["bid"], row["ask"] = contract["last"], contract["bid"], contract["ask"]
    return count
