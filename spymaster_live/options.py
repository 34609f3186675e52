"""Option records of the bus -> events of the day's option flow, as the assets take them from Bronze.

The bus knows instruments by number, so records wait until the definition of their instrument has come; the evening's first hour
does, since definitions are restated at midnight UTC. Each counts in the interval in which it came.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from spymaster_assets.compute.option_flow import ALWAYS, EVENT
from spymaster_assets.compute.stream import Day
from spymaster_assets.expiring import Contract, sorted_out
from spymaster_assets.tables import DEFINITIONS, OPTION_QUOTES, OPTION_STATISTICS, OPTION_TRADES

OTHER: Final = -1  # an instrument that is none of the date's options
UNDEFINED: Final = -2


class OptionRecords:
    """Definitions, open interest, trades and quotes of the date's options on their way into `day`."""

    def __init__(self, day: Day) -> None:
        self._day = day
        self._numbers: dict[int, int] = {}  # instrument -> contract, or OTHER
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []  # instruments, placed events
        self._defined = ALWAYS  # when the latest definition came
        self._watermark = ALWAYS  # up to which everything should have come: what comes behind it counts right after it
        self._reports: list[np.ndarray] = []  # of open interest, until the session opens
        self._opened = False

    def take(self, channel: str, schema: str, records: np.ndarray) -> None:
        """Records of one channel, in arrival order. Those of other channels are of no concern here."""
        if channel == DEFINITIONS.name:
            self._define(records)
        elif channel == OPTION_STATISTICS.name:
            self._reports.append(records.copy())
        elif channel in (OPTION_TRADES.name, OPTION_QUOTES.name):
            self._flow(channel == OPTION_QUOTES.name, schema, records)

    def open_by(self, watermark: int) -> None:
        """Everything up to a watermark has come; take the open interest once that is the regular open."""
        self._watermark = max(self._watermark, watermark)
        if self._opened or watermark < self._day.clock.regular_start:
            return
        self._opened = True
        if self._reports:
            reports = np.concatenate(self._reports)
            self._reports.clear()
            reports = reports[reports["ts_recv"].view("i8") <= self._day.clock.regular_start]
            self._day.chain.open_with(
                self._day.options.open_interest(
                    self._known(reports["instrument_id"]), reports["stat_type"], reports["update_action"], reports["quantity"],
                    reports["ts_event"].view("i8"),
                )
            )  # fmt: skip

    def _define(self, records: np.ndarray) -> None:
        letters = {name: records[name].view("S1") for name in ("instrument_class", "user_defined_instrument")}
        words = letters | {name: records[name] for name in ("security_type", "underlying")}
        facts = {name: np.char.decode(values, "latin-1") for name, values in words.items()}
        facts |= {"expiration": records["expiration"].view("i8"), "strike_price": records["strike_price"]}
        found = sorted_out(facts, self._day.config, self._day.clock)
        times = np.maximum.accumulate(np.maximum(records["ts_recv"].view("i8"), max(self._defined, self._watermark + 1)))
        self._defined = int(times[-1])
        options, known = self._day.options, self._numbers
        for instrument, one, time in zip(records["instrument_id"].tolist(), found, times.tolist(), strict=True):
            if instrument in known and time > self._day.clock.regular_start:
                continue
            known[instrument] = options.contract(one.strike, one.call, one.expiration, time) if isinstance(one, Contract) else OTHER
        waiting, self._waiting = self._waiting, []
        for instruments, events in waiting:
            self._sort(instruments, events)

    def _flow(self, quotes: bool, schema: str, records: np.ndarray) -> None:
        events = np.zeros(len(records), EVENT)
        times = records["ts_event" if schema in ("trades", "tbbo") else "ts_recv"].view("i8")
        events["ts"] = np.maximum(times, self._watermark + 1)
        events["size"], events["side"] = records["size"], records["side"]
        if quotes:
            events["price"], events["ask"] = records["bid_px_00"], records["ask_px_00"]
        else:
            events["price"] = events["ask"] = records["price"]
        self._day.options.place(events, quotes)
        self._sort(records["instrument_id"].copy(), events)

    def _known(self, instruments: np.ndarray) -> np.ndarray:
        """Numbers of contracts, OTHER or UNDEFINED."""
        unique, places = np.unique(instruments, return_inverse=True)
        return np.array([self._numbers.get(one, UNDEFINED) for one in unique.tolist()], np.int64)[places]

    def _sort(self, instruments: np.ndarray, events: np.ndarray) -> None:
        events["contract"] = self._known(instruments)
        self._day.options.add(events[events["contract"] >= 0])
        if (later := events["contract"] == UNDEFINED).any():
            self._waiting.append((instruments[later], events[later]))
