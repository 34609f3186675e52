"""How real the simulated market looks: its numbers beside their targets and beside a genuine hour, as one HTML page.

`report` reads the MBP-10 and trades files of one trading date chunk by chunk and measures the front contract three times: in the
regular session (what the targets of the simulator are about), and, where a genuine file is given, in that file's busiest clock
hour and in the same hour of the simulated date. All three are measured by the same code.

`observe` is the kernel: histograms and counters of one window in OBSERVED, one number per record. The TAPE of a date holds what
needs order in time on a grid: records by minute, the mid by second. Both are of fixed size, whatever the budget.

Words as in docs/physics.md, section 1: a book is that of a record with action A, C or M that ends its event; trades show the
book before them. Restatements (flags 32 and 4) set the book and are not counted. Windows are (start, end] in event time. Units: ns,
lots, ticks until the numbers are told in points and milliseconds.
"""

from __future__ import annotations

import datetime as dt
import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from spymaster_assets import dbn
from spymaster_assets.compute.kernel import kernel, signed
from spymaster_assets.config import Config, default
from spymaster_assets.dbn import BOOK_LEVELS, F_LAST, F_MAYBE_BAD_BOOK, F_SNAPSHOT, UNDEF_PRICE
from spymaster_assets.lake import write_atomic
from spymaster_assets.sessions import DAY, NS_PER_SECOND, Session, Window, calendar, nearest_contract, to_datetime, utc_day
from spymaster_assets.simulator.book import ADD, ASK, BID, CANCEL, MODIFY, ROW, SIZE, TRADE

REAL_HOUR: Final = "glbx/esh4-20231225.mbp-10.dbn.zst"  # of ES, the evening of Christmas day: below SPYMASTER_REAL_DATA
MINUTE: Final = 60 * NS_PER_SECOND
HOUR: Final = 60 * MINUTE
RESET: Final = ord("R")
SIZES: Final = 4096  # bins of lots; the last holds larger ones
WIDEST: Final = 10  # ticks; the last bin of spreads holds wider ones
LONGEST: Final = 64  # records of an event, likewise
FINE: Final = 256  # bins of a gap per octave: a bin's low edge is at most 0.4 % below what it holds
GAPS: Final = 48 * FINE  # up to 2**55 ns
MILLISECOND: Final = 1_000_000
WAITING: Final = 64  # prices that one event's trades may touch; lots at further ones are not followed
UNKNOWN: Final = -(2**62)  # of a mid
BUDGET: Final = 10_500_000  # records of the regular session for which the depth band was stated; depth goes with the square root

Progress = Callable[[str, int, int], None]

OBSERVED: Final = np.dtype(
    [
        ("records", "i8"),
        ("actions", "i8", (256,)),  # by the letter's code
        ("sides", "i8", (256,)),
        ("time", "i8"),  # ts_event of the last record
        ("ended", "i8"),  # the last record had F_LAST
        ("events", "i8"),
        ("length", "i8"),  # records of the running event
        ("lengths", "i8", (LONGEST,)),  # events by records, without the running one
        ("gaps", "i8", (GAPS,)),  # ns from event to event, by `gap_bin`
        ("gap_sum", "i8"),
        ("gap_squares", "f8"),
        ("gaps_short", "i8"),  # under a millisecond
        ("books", "i8"),
        ("crossed", "i8"),  # or locked
        ("adjacent", "i8"),  # books whose two sides list ten prices without a hole
        ("spread", "i8"),  # ticks, of the book in force; -1 unknown
        ("book_time", "i8"),
        ("spreads", "i8", (WIDEST + 1,)),  # books by ticks
        ("spread_ns", "i8", (WIDEST + 1,)),
        ("depths", "i8", (2, BOOK_LEVELS, SIZES)),  # books by lots at a level, where it is listed
        ("depth_sums", "i8", (2, BOOK_LEVELS)),
        ("orders", "i8"),  # all listed levels of all books
        ("by_depth", "i8", (3, BOOK_LEVELS)),  # A, C, M that are an event of their own, by the record's `depth`
        ("order_sizes", "i8", (SIZES,)),  # of such A
        ("modified", "i8", (3,)),  # such M after which the named price holds less, as much, more
        ("trade_sizes", "i8", (SIZES,)),
        ("lots", "i8", (3,)),  # sold, bought, without a side
        ("high", "i8"),  # of trades, 1e-9 USD
        ("low", "i8"),
        ("takers", "i8"),  # events with a trade that has an aggressor
        ("repeats", "i8"),  # of them with the aggressor of the one before
        ("aggressor", "i8"),  # 1 sold, 2 bought, of the last one
        ("taking", "i8"),  # the running event is one
        ("waiting", "i8"),  # prices
        ("waiting_at", "i8", (WAITING, 3)),  # side, price, lots
        ("settled", "i8"),  # lots traded at visible prices
        ("refilled", "i8"),  # of them more than the price lost
        ("known", "i8"),  # a book is in force
    ]
)  # fmt: skip


@kernel
def gap_bin(gap: int) -> int:
    """The bin of a gap in ns: exact below 512, then 256 bins an octave."""
    shift = 0
    while gap >> shift >= 2 * FINE:
        shift += 1
    return min(shift * FINE + (gap >> shift), GAPS - 1)


def gap_edges() -> np.ndarray:
    """The lowest gap of each bin, ns, int64 (GAPS)."""
    bins = np.arange(GAPS)
    shifts = np.maximum(bins // FINE - 1, 0)
    return (bins - shifts * FINE) << shifts


@kernel
def _size_at(row: Any, side: int, price: int) -> int:
    """Lots at a price of a side; 0 if not listed, -1 beyond what ten levels show."""
    for k in range(BOOK_LEVELS):
        if row["price_at"][k, side] == price:
            return signed(row["size_at"][k, SIZE + side])
    worst = row["price_at"][BOOK_LEVELS - 1, side]
    return -1 if worst != UNDEF_PRICE and (price - worst) * (2 * side - 1) > 0 else 0


@kernel
def _event(seen: Any, time: int) -> None:
    """A record begins an event at `time`, ns."""
    if seen["events"] > 0:
        seen["lengths"][min(seen["length"], LONGEST - 1)] += 1
        gap = max(time - seen["time"], 0)
        seen["gaps"][gap_bin(gap)] += 1
        seen["gap_sum"] += gap
        seen["gap_squares"] += float(gap) * float(gap)
        seen["gaps_short"] += gap < MILLISECOND
    seen["events"] += 1
    seen["length"] = seen["taking"] = 0


@kernel
def _trade(seen: Any, row: Any, book: Any) -> None:
    """Count a trade; its lots wait for the book's answer."""
    size, price = signed(row["size"]), row["price"]
    which = 1 if row["side"] == BID else (0 if row["side"] == ASK else 2)
    seen["trade_sizes"][min(size, SIZES - 1)] += 1
    seen["lots"][which] += size
    seen["high"], seen["low"] = max(seen["high"], price), min(seen["low"], price)
    if which == 2:
        return
    if not seen["taking"]:
        seen["taking"] = 1
        seen["takers"] += 1
        seen["repeats"] += seen["aggressor"] == which + 1
        seen["aggressor"] = which + 1
    if not seen["known"] or _size_at(book, which, price) < 0:
        return
    k = 0
    while k < seen["waiting"] and (seen["waiting_at"][k, 0] != which or seen["waiting_at"][k, 1] != price):
        k += 1
    if k == WAITING:
        return
    if k == seen["waiting"]:
        seen["waiting"] += 1
        seen["waiting_at"][k, 0], seen["waiting_at"][k, 1], seen["waiting_at"][k, 2] = which, price, 0
    seen["waiting_at"][k, 2] += size


@kernel
def _settle(seen: Any, before: Any, after: Any) -> None:
    """Compare what was traded with what its prices lost: the excess was refilled."""
    for k in range(seen["waiting"]):
        side, price, lots = seen["waiting_at"][k, 0], seen["waiting_at"][k, 1], seen["waiting_at"][k, 2]
        left = _size_at(after, side, price)
        lost = 0 if left < 0 else _size_at(before, side, price) - left
        seen["settled"] += lots
        seen["refilled"] += min(max(lots - lost, 0), lots)
    seen["waiting"] = 0


@kernel
def _order(seen: Any, row: Any, book: Any) -> None:
    """An A, C or M that is an event of its own: where it happened, and what an M did to its price."""
    action = row["action"]
    kind = 0 if action == ADD else (1 if action == CANCEL else 2)
    if row["depth"] < BOOK_LEVELS:
        seen["by_depth"][kind, row["depth"]] += 1
    if kind == 0:
        seen["order_sizes"][min(signed(row["size"]), SIZES - 1)] += 1
    if kind == 2 and seen["known"] and row["side"] in (BID, ASK):
        side = 0 if row["side"] == BID else 1
        change = max(_size_at(row, side, row["price"]), 0) - max(_size_at(book, side, row["price"]), 0)
        seen["modified"][1 if change == 0 else (2 if change > 0 else 0)] += 1


@kernel
def _book(seen: Any, row: Any, tick: int, time: int) -> None:
    """Count a book: spread, lots and orders by level."""
    if seen["spread"] >= 0:
        seen["spread_ns"][seen["spread"]] += max(time - seen["book_time"], 0)
    seen["book_time"], seen["spread"] = time, -1
    seen["books"] += 1
    bid, ask = row["price_at"][0, 0], row["price_at"][0, 1]
    if bid != UNDEF_PRICE and ask != UNDEF_PRICE:
        seen["spread"] = min(max((ask - bid) // tick, 0), WIDEST)
        seen["spreads"][seen["spread"]] += 1
        seen["crossed"] += bid >= ask
        last = BOOK_LEVELS - 1
        seen["adjacent"] += row["price_at"][last, 1] - ask == last * tick and bid - row["price_at"][last, 0] == last * tick
    for side in range(2):
        for k in range(BOOK_LEVELS):
            size = signed(row["size_at"][k, SIZE + side])
            if size > 0:
                seen["depths"][side, k, min(size, SIZES - 1)] += 1
                seen["depth_sums"][side, k] += size
                seen["orders"] += signed(row["size_at"][k, SIZE + 2 + side])


@kernel
def observe(rows: np.ndarray, tick: int, observed: np.ndarray, books: np.ndarray) -> None:
    """Count `rows` (ROW, one instrument, in order) in `observed` (OBSERVED, 1); `books` (ROW, 1): the book in force. Both change.

    Any chunking gives the same. `tick`: 1e-9 USD.
    """
    seen, book = observed[0], books[0]
    for i in range(rows.size):
        row = rows[i]
        time, action, ends = signed(row["ts_event"]), row["action"], row["flags"] & F_LAST
        if row["flags"] & (F_SNAPSHOT | F_MAYBE_BAD_BOOK):
            books[0], seen["known"], seen["waiting"] = row, 1, 0
            continue
        if seen["ended"] or time != seen["time"]:
            if seen["waiting"]:
                _settle(seen, book, book)
            _event(seen, time)
        seen["records"] += 1
        seen["length"] += 1
        seen["actions"][action] += 1
        seen["sides"][row["side"]] += 1
        seen["time"], seen["ended"] = time, 1 if ends else 0
        if action == TRADE:
            if row["price"] != UNDEF_PRICE:
                _trade(seen, row, book)
        elif action == RESET:
            seen["known"], seen["spread"], seen["waiting"] = 0, -1, 0
        elif ends:
            if seen["length"] == 1 and action in (ADD, CANCEL, MODIFY):
                _order(seen, row, book)
            _settle(seen, book, row)
            _book(seen, row, tick, time)
            books[0], seen["known"] = row, 1


class Observed:
    """One window of one contract, filled by `take`; `numbers` tells it."""

    def __init__(self, window: Window, config: Config) -> None:
        self.window, self._config = window, config
        self._state, self._book = np.zeros(1, OBSERVED), np.zeros(1, ROW)
        self._state["spread"], self._state["high"], self._state["low"] = -1, -(2**62), 2**62

    def take(self, records: np.ndarray) -> None:
        """Count those of `records` (MBP-10) that lie in the window."""
        times = records["ts_event"].view(np.int64)
        inside = (times > self.window.start) & (times <= self.window.end)
        if inside.any():
            observe(dbn.pick(records, inside).view(ROW), self._config.instrument.tick, self._state, self._book)

    @property
    def state(self) -> Any:
        """The row of OBSERVED."""
        return self._state[0]

    def numbers(self, tape: Tape) -> dict[str, float]:
        """What QUANTITIES name, as far as a window has it; NaN where there is nothing to divide by."""
        s, point, tick = self.state, self._config.instrument.point, self._config.instrument.tick
        gaps, edges = s["gaps"], gap_edges() / MILLISECOND
        count, mean = int(gaps.sum()), _ratio(s["gap_sum"], gaps.sum())
        variance = _ratio(s["gap_squares"], count) - mean**2
        depth = self.depth()
        listed = depth[~np.isnan(depth)]
        bins = np.arange(SIZES)
        trades, takers, lots = int(s["trade_sizes"].sum()), int(s["takers"]), int(s["lots"].sum())
        second, minute = (tape.returns(self.window, step) * tick / (2 * point) for step in (1, 60))
        return {
            "records": int(s["records"]),
            **{f"share_{letter}": _ratio(s["actions"][ord(letter)], s["records"]) for letter in "ACMTR"},
            "share_both": _ratio(s["sides"][ord("N")], s["records"]),
            "event_records": _ratio(s["records"], s["events"]),
            **{f"gap_{q}": _percentile(gaps, edges, q) for q in (10, 50, 90, 99)},
            "gap_short": _ratio(s["gaps_short"], count),
            "gap_middle": _ratio(_percentile(gaps, edges, 50) * MILLISECOND, mean) if count else math.nan,
            "gap_variation": _ratio(math.sqrt(max(variance, 0)), mean) if count else math.nan,
            "tick_books": _ratio(s["spreads"][1], s["spreads"].sum()),
            "tick_time": _ratio(s["spread_ns"][1], s["spread_ns"].sum()),
            "crossed": int(s["crossed"]),
            "depth_best": float(depth[:, 0].mean()),
            "depth_least": float(listed.min()) if listed.size else math.nan,
            "depth_most": float(listed.max()) if listed.size else math.nan,
            "order_lots": _ratio(s["depth_sums"].sum(), s["orders"]),
            "adjacent": _ratio(s["adjacent"], s["books"]),
            **{f"best_{letter}": _ratio(s["by_depth"][i, 0], s["by_depth"][i].sum()) for i, letter in enumerate("ACM")},
            "add_mean": _ratio(bins @ s["order_sizes"], s["order_sizes"].sum()),
            "add_one": _ratio(s["order_sizes"][1], s["order_sizes"].sum()),
            **{f"modify_{word}": _ratio(s["modified"][i], s["modified"].sum()) for i, word in enumerate(("less", "same", "more"))},
            "trade_mean": _ratio(lots, trades),
            "trade_one": _ratio(s["trade_sizes"][1], trades),
            "taker_lots": _ratio(s["lots"][:2].sum(), takers),
            "bought": _ratio(s["lots"][1], s["lots"][:2].sum()),
            "repeats": _ratio(s["repeats"], takers - 1),
            "refilled": _ratio(s["refilled"], s["settled"]),
            "points": (int(s["high"]) - int(s["low"])) / point if trades else math.nan,
            "volatility": math.sqrt(float(minute @ minute)),
            "autocorrelation": autocorrelation(second),
            "kurtosis_minute": kurtosis(minute),
            "kurtosis_second": kurtosis(second),
            "still": _ratio(int((second == 0).sum()), second.size),
        }

    def depth(self) -> np.ndarray:
        """Mean lots per side and level over the books that list it, float64 (2, 10); NaN where none does."""
        counts = self.state["depths"].sum(axis=2)
        return np.divide(self.state["depth_sums"], counts, out=np.full(counts.shape, np.nan), where=counts > 0)

    def depth_between(self, low: int, high: int) -> np.ndarray:
        """Two percentiles of lots, float64 (2, 2 sides, 10)."""
        bins, hists = np.arange(SIZES), self.state["depths"]
        return np.array([[[_percentile(hist, bins, q) for hist in side] for side in hists] for q in (low, high)])


class Tape:
    """A date from its open on. `minutes`, int64 (n, 2): records and lots traded; and the mid at the end of each second."""

    def __init__(self, session: Session) -> None:
        self.open = session.globex.start
        seconds = (session.globex.end - self.open) // NS_PER_SECOND
        self.minutes = np.zeros((seconds // 60, 2), np.int64)
        self.records = 0  # of the date, those before the open and restatements included
        self.trades = 0
        self._mid2 = np.full(seconds + 1, UNKNOWN)  # ticks, twice the mid; [k]: at open + k seconds

    def take(self, records: np.ndarray, tick: int) -> None:
        """Count MBP-10 records of the date; `tick`: 1e-9 USD."""
        self.records += len(records)
        self.trades += int((records["action"] == TRADE).sum())
        kept = (records["flags"] & (F_SNAPSHOT | F_MAYBE_BAD_BOOK)) == 0
        since = records["ts_event"].view(np.int64) - self.open - 1
        inside = kept & (since >= 0) & (since < len(self.minutes) * MINUTE)
        minute = since[inside] // MINUTE
        lots = np.where(records["action"] == TRADE, records["size"], 0)[inside]
        self.minutes[:, 0] += np.bincount(minute, minlength=len(self.minutes))
        self.minutes[:, 1] += np.bincount(minute, lots, len(self.minutes)).astype(np.int64)
        bid, ask = records["levels"]["bid_px"][:, 0], records["levels"]["ask_px"][:, 0]
        moves = (records["flags"] & F_LAST > 0) & (records["action"] != TRADE) & (records["action"] != RESET)
        moves &= (since < len(self.minutes) * MINUTE) & (bid != UNDEF_PRICE) & (ask != UNDEF_PRICE)
        second = np.maximum(since[moves] // NS_PER_SECOND + 1, 0)
        self._mid2[second] = bid[moves] // tick + ask[moves] // tick  # of several in a second, the last stays

    def returns(self, window: Window, step: int) -> np.ndarray:
        """Changes of the mid over `step` seconds, one after the other, half ticks, float64; without those from or to an unknown."""
        latest = np.maximum.accumulate(np.where(self._mid2 != UNKNOWN, np.arange(self._mid2.size), 0))
        first, last = ((edge - self.open) // NS_PER_SECOND for edge in window)
        values = self._mid2[latest][first : last + 1 : step]
        change = np.diff(values.astype(np.float64))
        return change[(values[:-1] != UNKNOWN) & (values[1:] != UNKNOWN)]

    def rate(self, window: Window) -> float:
        """Records a minute in a window of whole minutes."""
        first, last = ((edge - self.open) // MINUTE for edge in window)
        return float(self.minutes[first:last, 0].sum()) / (last - first)

    def numbers(self, session: Session) -> dict[str, float]:
        """What only a whole date has."""
        start, end = session.regular
        middle = self.rate(
            Window((start + end) // 2 // MINUTE * MINUTE - 30 * MINUTE, (start + end) // 2 // MINUTE * MINUTE + 30 * MINUTE)
        )
        total, at = (
            int(self.minutes[:, 0].sum()),
            [(edge - self.open) // MINUTE for edge in (*session.premarket, session.regular.end)],
        )
        night, premarket, _, evening = (int(part[:, 0].sum()) for part in np.split(self.minutes, at))
        return {
            "first_half_hour": _ratio(self.rate(Window(start, start + 30 * MINUTE)), middle),
            "last_half_hour": _ratio(self.rate(Window(end - 30 * MINUTE, end)), middle),
            "premarket": _ratio(premarket, total),
            "overnight": _ratio(night, total),
            "evening": _ratio(evening, total),
        }


def _ratio(part: Any, whole: Any) -> float:
    return float(part) / float(whole) if whole > 0 else math.nan


def _percentile(hist: np.ndarray, values: np.ndarray, q: int) -> float:
    """Nearest rank: the value of the bin in which the share of q per cent is reached; NaN without counts."""
    total = int(hist.sum())
    return float(values[np.searchsorted(np.cumsum(hist), -(-total * q // 100))]) if total else math.nan


def autocorrelation(values: np.ndarray) -> float:
    """Of neighbours (lag 1); NaN where nothing varies."""
    away = values - values.mean() if values.size else values
    return _ratio(away[:-1] @ away[1:], away @ away)


def kurtosis(values: np.ndarray) -> float:
    """Fourth moment over the square of the second: 3 for a normal distribution; NaN where nothing varies."""
    away = values - values.mean() if values.size else values
    return _ratio((away**4).mean(), (away**2).mean() ** 2) if values.size else math.nan


# --- numbers and their targets ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Quantity:
    """A number of the report. `low`, `high`: its target, both included; None: none. `shape`: comparable whatever the budget."""

    key: str
    group: str
    meaning: str
    form: str = ".1%"  # of a number: a format specification, then a unit
    low: float | None = None
    high: float | None = None
    shape: bool = True

    def told(self, value: float | None) -> str:
        if value is None or math.isnan(value):
            return "–"
        form, _, unit = self.form.partition(" ")
        return f"{value:{form}} {unit}".rstrip()

    @property
    def target(self) -> str:
        low, high = (None if edge is None else self.told(edge) for edge in (self.low, self.high))
        if low and high:
            return f"{low.split()[0]} to {high}"
        return f"at least {low}" if low else f"at most {high}" if high else ""


_RECORDS, _BOOK, _TRADES, _PRICE, _DATE = "records", "book", "trades", "price", "hours of the date"
_DEPTH: Final = "lots at a level, {}; band 82 to 272 at 10.5 M records a session, scaled with the root of this session's"
QUANTITIES: Final = (
    Quantity("records", _RECORDS, "records", ",.0f", shape=False),
    *(Quantity(f"share_{letter}", _RECORDS, f"share of {word}") for letter, word in (
        ("A", "adds (A)"), ("C", "cancels (C)"), ("M", "modifications (M)"), ("T", "trades (T)"), ("R", "resets (R)"))),
    Quantity("share_both", _RECORDS, "share of records without a side (N)", ".2%"),
    Quantity("event_records", _RECORDS, "records an event", ".3f"),
    *(Quantity(f"gap_{q}", _RECORDS, f"time from event to event: {word}", ",.4g ms", shape=False) for q, word in (
        (10, "10 % are shorter"), (50, "median"), (90, "10 % are longer"), (99, "1 % are longer"))),
    Quantity("gap_short", _RECORDS, "time from event to event: under 1 ms", shape=False),
    Quantity("gap_middle", _RECORDS, "time from event to event: median over mean (a Poisson flow: 0.69)", ".2g"),
    Quantity("gap_variation", _RECORDS, "time from event to event: standard deviation over mean (a Poisson flow: 1)", ".2f"),
    Quantity("tick_time", _BOOK, "spread of one tick, share of time (target 97.6 % ± 1)", low=0.966, high=0.986),
    Quantity("tick_books", _BOOK, "spread of one tick, share of books"),
    Quantity("crossed", _BOOK, "crossed or locked books", ",.0f", high=0),
    Quantity("depth_best", _BOOK, "lots at the best, mean", ",.1f", shape=False),
    Quantity("depth_least", _BOOK, _DEPTH.format("mean of the thinnest"), ",.1f", 82, 272, shape=False),
    Quantity("depth_most", _BOOK, _DEPTH.format("mean of the deepest"), ",.1f", 82, 272, shape=False),
    Quantity("order_lots", _BOOK, "lots an order, listed levels", ".2f"),
    Quantity("adjacent", _BOOK, "books whose ten prices a side leave no hole"),
    *(Quantity(f"best_{letter}", _BOOK, f"share of {letter} at the best") for letter in "ACM"),
    Quantity("add_mean", _BOOK, "lots of an A, mean", ".2f"),
    Quantity("add_one", _BOOK, "A of one lot"),
    *(Quantity(f"modify_{word}", _BOOK, f"M after which its price holds {told}") for word, told in (
        ("less", "less"), ("same", "as much"), ("more", "more"))),
    Quantity("trade_mean", _TRADES, "lots of a trade, mean", ".2f", 2.5, 3),
    Quantity("trade_one", _TRADES, "trades of one lot"),
    Quantity("taker_lots", _TRADES, "lots of a market order (all trades of an event), mean", ".2f"),
    Quantity("bought", _TRADES, "share of lots that buyers took"),
    Quantity("repeats", _TRADES, "market orders on the side of the one before"),
    Quantity("refilled", _TRADES, "lots traded beyond what the price lost (refilled)"),
    Quantity("points", _PRICE, "highest less lowest trade", ".2f points", 45, 52, shape=False),
    Quantity("volatility", _PRICE, "root of the sum of squared 1-minute changes", ".2f points", shape=False),
    Quantity("autocorrelation", _PRICE, "autocorrelation of 1-second changes of the mid", ".3f", -0.05, 0.05, shape=False),
    Quantity("kurtosis_minute", _PRICE, "kurtosis of 1-minute changes (normal: 3)", ".2f", 3.6, 7, shape=False),
    Quantity("kurtosis_second", _PRICE, "kurtosis of 1-second changes", ".2f", shape=False),
    Quantity("still", _PRICE, "seconds in which the mid ends where it began", shape=False),
    Quantity("first_half_hour", _DATE, "records a minute, first half hour over the middle hour", ".2f", low=1.01),
    Quantity("last_half_hour", _DATE, "records a minute, last half hour over the middle hour", ".2f", low=1.01),
    Quantity("premarket", _DATE, "premarket's share of records (target 10 % ± 2)", low=0.08, high=0.12),
    Quantity("overnight", _DATE, "share of records from the open to premarket"),
    Quantity("evening", _DATE, "share of records after the regular close"),
)  # fmt: skip


@dataclass(frozen=True)
class Number:
    """A measured quantity. `simulated`: the regular session, or the date; the others where a genuine hour was given."""

    quantity: Quantity
    simulated: float
    same_hour: float | None = None  # of the simulated date
    real: float | None = None

    @property
    def verdict(self) -> str:
        """ "within", "outside", or "" without a target."""
        low, high = self.quantity.low, self.quantity.high
        if low is None and high is None:
            return ""
        inside = (low is None or self.simulated >= low) and (high is None or self.simulated <= high)
        return "within" if inside else "outside"

    @property
    def factor(self) -> float | None:
        """Simulated over real, same hour; None where one of them is not positive or missing."""
        a, b = self.same_hour, self.real
        return a / b if a is not None and b is not None and a > 0 and b > 0 else None


@dataclass(frozen=True)
class Realism:
    """What the page tells. `hour`: the genuine one; `trades`: T records of the MBP-10 files, records of the trades files."""

    date: dt.date
    symbol: str
    numbers: Mapping[str, Number]
    trades: tuple[int, int | None]
    hour: Window | None = None

    @property
    def missed(self) -> list[Number]:
        """Numbers outside their targets."""
        return [number for number in self.numbers.values() if number.verdict == "outside"]

    @property
    def summary(self) -> str:
        """What came of the targets, in a sentence."""
        judged = [number for number in self.numbers.values() if number.verdict]
        missed = f"; missed: {', '.join(number.quantity.key for number in self.missed)}" if self.missed else ""
        return f"{len(judged) - len(self.missed)} of {len(judged)} targets of realism are met{missed}"

    @property
    def farthest(self) -> list[Number]:
        """Numbers that do not depend on the budget and differ from the genuine hour by a quarter or more, the farthest first."""
        apart = {n.quantity.key: abs(math.log(n.factor)) for n in self.numbers.values() if n.quantity.shape and n.factor}
        return [self.numbers[key] for key in sorted(apart, key=lambda key: -apart[key]) if apart[key] > math.log(1.25)]


@dataclass(frozen=True)
class _Measured:
    """One contract of one date, and its windows."""

    session: Session
    symbol: str
    tape: Tape
    parts: Sequence[Observed]


def report(
    files: Sequence[Path],
    out: Path,
    real: Path | None = None,
    on_progress: Progress | None = None,
    *,
    date: dt.date | None = None,
    config: Config | None = None,
) -> Realism:
    """Measure the simulated `date` in `files`, write the page to `out`, return its numbers.

    `files`: DBN files of any schema, of which the MBP-10 and trades files that name the front contract are read; `date` may be left
    out if they cover one only. `real`: a genuine MBP-10 file, or a folder that holds REAL_HOUR. `on_progress(label, done, total)`:
    bytes. Raises ValueError where the date or its contract is not in `files`, FileNotFoundError for a `real` that is not there.
    """
    config = config or default()
    headers = [header for path in sorted(files) if (header := dbn.read_header(path)).schema in ("mbp-10", "trades")]
    session = calendar(config).session(date or _only_date(headers, config))
    symbol = nearest_contract(session.date, config)
    headers = sorted((header for header in headers if symbol in header.mappings), key=lambda header: header.start)
    genuine = None if real is None else real_file(real)
    told = _Told(on_progress, [header.path for header in headers] + ([genuine] if genuine else []))
    windows, hour_real = [session.regular], None
    if genuine:
        hour = busiest_hour(genuine, config)
        day = calendar(config).date_of(hour.end)
        if day is None:
            raise ValueError(f"{genuine}: its busiest hour lies in no trading date")
        of_real = calendar(config).session(day)
        shift = session.globex.start - of_real.globex.start
        windows.append(Window(hour.start + shift, hour.end + shift))
        name = nearest_contract(day, config)
        hour_real = _measure([dbn.read_header(genuine)], of_real, name, [hour], config, told)
    simulated = _measure([header for header in headers if header.schema == "mbp-10"], session, symbol, windows, config, told)
    trades = _trades([header for header in headers if header.schema == "trades"], session, symbol, told)
    numbers = _numbers(simulated, hour_real)
    found = Realism(
        session.date, symbol, numbers, (simulated.tape.trades, trades), hour_real.parts[0].window if hour_real else None
    )
    write_atomic(out, _page(found, simulated, hour_real, config).encode())
    told.done()
    return found


class _Told:
    """Bytes read of all files, to whom it may concern."""

    def __init__(self, on_progress: Progress | None, paths: Sequence[Path]) -> None:
        self._tell, self._before, self._total = on_progress, 0, sum(path.stat().st_size for path in paths)

    def of(self, path: Path) -> Callable[[int], None]:
        """The listener of one file, from its beginning on."""
        before = self._before
        self._before += path.stat().st_size
        return lambda done: self._tell("realism", before + done, self._total + 1) if self._tell else None

    def done(self) -> None:
        if self._tell:
            self._tell("realism", self._total + 1, self._total + 1)


def _only_date(headers: Sequence[dbn.Header], config: Config) -> dt.date:
    """The trading date that the MBP-10 files cover."""
    books = [header for header in headers if header.schema == "mbp-10"]
    if not books:
        raise ValueError("no MBP-10 file among the files")
    first, last = min(header.start for header in books), max(header.end or header.start + 1 for header in books)
    dates = calendar(config).dates(utc_day(first) - DAY, utc_day(last) + DAY)
    found = [day for day in dates if (window := calendar(config).session(day).bronze).start < last and window.end > first]
    if len(found) != 1:
        raise ValueError(f"the files cover {len(found)} trading dates ({', '.join(map(str, found)) or 'none'}): name one")
    return found[0]


def real_file(real: Path) -> Path:
    """The genuine file that `real` means: itself, or the known one below it."""
    for path in (real, real / REAL_HOUR, real / Path(REAL_HOUR).name):
        if path.is_file():
            return path
    raise FileNotFoundError(f"no genuine MBP-10 hour: neither {real} nor {real / REAL_HOUR} is a file")


def busiest_hour(path: Path, config: Config) -> Window:
    """The clock hour of an MBP-10 file with the most records. Exchange hours are whole hours of UTC."""
    counts: dict[int, int] = {}
    for records in dbn.read(path, "mbp-10"):
        hours, found = np.unique((records["ts_event"].view(np.int64) - 1) // HOUR, return_counts=True)
        for hour, count in zip(hours.tolist(), found.tolist(), strict=True):
            counts[hour] = counts.get(hour, 0) + count
    if not counts:
        raise ValueError(f"{path} holds no records")
    most = max(counts, key=lambda hour: counts[hour])
    return Window(most * HOUR, (most + 1) * HOUR)


def _of_contract(header: dbn.Header, symbol: str, session: Session, told: _Told) -> Iterator[np.ndarray]:
    """A file's records of a contract in a date."""
    numbers = sorted({interval.instrument_id for interval in header.mappings.get(symbol, ())})
    for records in dbn.read(header.path, str(header.schema), on_bytes=told.of(header.path)):
        times = records["ts_event"].view(np.int64)
        kept = np.isin(records["instrument_id"], numbers) & (times > session.bronze.start) & (times <= session.bronze.end)
        if kept.any():
            yield dbn.pick(records, kept)


def _measure(
    headers: Sequence[dbn.Header], session: Session, symbol: str, windows: Sequence[Window], config: Config, told: _Told
) -> _Measured:
    """Read MBP-10 files once. Raises ValueError if they hold nothing of the contract and date."""
    tape, parts = Tape(session), [Observed(window, config) for window in windows]
    for header in headers:
        for records in _of_contract(header, symbol, session, told):
            tape.take(records, config.instrument.tick)
            for part in parts:
                part.take(records)
    if not tape.records:
        names = ", ".join(str(header.path) for header in headers) or "no MBP-10 file"
        raise ValueError(f"no record of {symbol} on {session.date} in {names}")
    return _Measured(session, symbol, tape, parts)


def _trades(headers: Sequence[dbn.Header], session: Session, symbol: str, told: _Told) -> int | None:
    """Records of the trades files; None without files."""
    if not headers:
        return None
    return sum(len(records) for header in headers for records in _of_contract(header, symbol, session, told))


def _numbers(simulated: _Measured, real: _Measured | None) -> dict[str, Number]:
    """Every quantity, with the depth band of this budget."""
    regular = simulated.parts[0].numbers(simulated.tape)
    of_date = simulated.tape.numbers(simulated.session)
    same = simulated.parts[1].numbers(simulated.tape) if real else {}
    genuine = real.parts[0].numbers(real.tape) if real else {}
    scale = math.sqrt(regular["records"] / BUDGET)
    found = {}
    for quantity in QUANTITIES:
        key = quantity.key
        if key in ("depth_least", "depth_most"):
            quantity = replace(quantity, low=82 * scale, high=272 * scale)
        found[key] = Number(quantity, {**regular, **of_date}[key], same.get(key), genuine.get(key))
    return found


# --- the page --------------------------------------------------------------------------------------------------------------------

SERIES: Final = ("regular session", "same hour", "genuine hour")
COLOURS: Final = ("#1f4e79", "#6fa8dc", "#c4560f")
STYLES: Final = ("-", "--", "-")
PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="color-scheme" content="light">
<link rel="icon" href="data:,">
<title>Realism of {{title}}</title>
<style>
body { margin: 0 auto; padding: 18px; max-width: 1180px; color: #15191e; background: #fff; font-variant-numeric: tabular-nums;
  font: 14px/1.45 -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif; }
h1 { font-size: 20px; margin: 0 0 6px; } h2 { font-size: 15px; margin: 22px 0 6px; } p { max-width: 76ch; margin: 6px 0; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; }
th, td { padding: 2px 12px 2px 0; text-align: right; border-bottom: 1px solid #e6e9ec; white-space: nowrap; vertical-align: top; }
th { font-weight: 600; } th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 30ch; max-width: 62ch; }
tbody th { padding-top: 9px; color: #5c6670; } .within { color: #1a7f37; } .outside { color: #b3261e; font-weight: 650; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(340px, 100%), 1fr)); gap: 10px; }
.plots svg { width: 100%; height: auto; } summary { cursor: pointer; margin-top: 14px; }
</style>
</head>
<body>
<h1>Realism of {{title}}</h1>
{{text}}
<h2>Shapes</h2>
<div class="plots">{{plots}}</div>
<h2>Numbers</h2>
<div class="wide">{{numbers}}</div>
<details><summary>Lots by level</summary><div class="wide">{{levels}}</div></details>
<details><summary>Volatility by hour</summary><div class="wide">{{hours}}</div></details>
</body>
</html>
"""


def _page(found: Realism, simulated: _Measured, real: _Measured | None, config: Config) -> str:
    parts = list(zip(SERIES, [*simulated.parts, *(real.parts if real else ())], strict=False))
    tapes = [simulated.tape, simulated.tape, *([real.tape] if real else [])]
    content = {
        "title": f"simulated {escape(found.symbol)}, {found.date}",
        "text": _text(found, config),
        "plots": "".join(_plots(parts, tapes, simulated, real, config)),
        "numbers": _number_table(found),
        "levels": _level_table(parts),
        "hours": _hour_table(simulated, real, config),
    }
    page = PAGE
    for name, value in content.items():
        page = page.replace("{{" + name + "}}", value)
    return page


def _text(found: Realism, config: Config) -> str:
    """What the page is about, in sentences made from the numbers."""
    numbers = found.numbers
    judged = [number for number in numbers.values() if number.verdict]
    missed = "; ".join(f"{n.quantity.meaning}: {n.quantity.told(n.simulated)}, not {n.quantity.target}" for n in found.missed)
    sentences = [
        "This market is simulated: plausible, not calibrated. Targets are bands that a day of ES may well show, set by hand, not "
        "fitted; and one date is one draw: points a day and the kurtosis of 390 minutes vary widely from date to date.",
        f"{len(judged) - len(found.missed)} of {len(judged)} targets are met. "
        + (f"<b>Missed</b>: {escape(missed)}." if missed else "None is missed."),
    ]
    books, apart = found.trades
    if apart is not None:
        same = "as many" if apart == books else f"<b>{apart:,}, a difference</b>"
        sentences.append(f"The MBP-10 files hold {books:,} trades of the date, the trades files {same}.")
    if found.hour is None:
        sentences.append("No genuine hour was given (SPYMASTER_REAL_DATA): the numbers stand beside their targets alone.")
    else:
        zone = config.sessions.exchange_zone
        start, end = (to_datetime(edge, zone) for edge in found.hour)
        sentences.append(
            f"The genuine hour is {start:%Y-%m-%d %H:%M} to {end:%H:%M} in {escape(zone)}, beside the same hour of the simulated "
            "date. One hour is one hour: it tells how records follow one another and what they look like, not how busy or how deep "
            "a usual day is. Records, depths and times between events go with the simulator's budget: factors stand where it does "
            "not matter."
        )
        far = ", ".join(f"{escape(n.quantity.meaning)} (× {n.factor:.3g})" for n in found.farthest[:8])
        sentences.append(f"Farthest from it, simulated over genuine: {far}." if far else "No shape differs by a quarter or more.")
    return "".join(f"<p>{sentence}</p>" for sentence in sentences)


def _number_table(found: Realism) -> str:
    """Every number, target and verdict; with a genuine hour also both hours and their factor."""
    hours = ("same hour", "genuine hour", "factor") if found.hour else ()
    rows = []
    for group, numbers in groupby(found.numbers.values(), key=lambda number: number.quantity.group):
        rows.append(f'<tr><th colspan="{4 + len(hours)}">{group}</th></tr>')
        for number in numbers:
            quantity, factor = number.quantity, number.factor if number.quantity.shape else None
            cells = [quantity.told(number.simulated), quantity.target, number.verdict]
            if hours:
                cells += [quantity.told(number.same_hour), quantity.told(number.real), "" if factor is None else f"{factor:.3g}"]
            told = "".join(
                f'<td class="{cell}">{cell}</td>' if cell in ("within", "outside") else f"<td>{cell}</td>" for cell in cells
            )
            rows.append(f"<tr><td>{escape(quantity.meaning)}</td>{told}</tr>")
    return _table(("", "regular session, or date", "target", "", *hours), rows)


def _level_table(parts: Sequence[tuple[str, Observed]]) -> str:
    """Mean lots and the range from the 10th to the 90th percentile, by side and level."""
    rows = []
    means, ranges = [part.depth() for _, part in parts], [part.depth_between(10, 90) for _, part in parts]
    for level in range(BOOK_LEVELS):
        cells = [
            f"{mean[side, level]:.1f} ({low[side, level]:.0f} to {high[side, level]:.0f})"
            for mean, (low, high) in zip(means, ranges, strict=True)
            for side in (0, 1)
        ]
        rows.append(f"<tr><td>{level + 1}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    return _table(("level", *(f"{side}, {name}" for name, _ in parts for side in ("bid", "ask"))), rows)


def _hour_table(simulated: _Measured, real: _Measured | None, config: Config) -> str:
    """Root of the sum of squared 1-minute changes of each hour, points; the genuine one beside the same hour."""
    tape, zone, half = simulated.tape, config.sessions.exchange_zone, config.instrument.tick / (2 * config.instrument.point)
    hour = simulated.parts[1].window.start if real else 0

    def volatility(one: Tape, window: Window) -> float:
        changes = one.returns(window, 60) * half
        return math.sqrt(float(changes @ changes))

    rows = []
    for start in range(tape.open, simulated.session.globex.end, HOUR):
        window = Window(start, start + HOUR)
        genuine = f"{volatility(real.tape, real.parts[0].window):.2f}" if real and start == hour else ""
        cells = (f"{volatility(tape, window):.2f}", f"{tape.rate(window):,.1f}", genuine)
        rows.append(f"<tr><td>{to_datetime(start, zone):%H:%M}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    names = ("points", "records a minute", "points, genuine hour" if real else "")
    return _table((f"from, {zone}", *names), rows)


def _table(names: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _plots(
    parts: Sequence[tuple[str, Observed]], tapes: Sequence[Tape], simulated: _Measured, real: _Measured | None, config: Config
) -> Iterator[str]:
    """Six small pictures as SVG."""
    half = config.instrument.tick / (2 * config.instrument.point)
    drawn = [(name, part, tape, {"color": c, "ls": ls, "lw": 1.2, "label": name})
             for (name, part), tape, c, ls in zip(parts, tapes, COLOURS, STYLES, strict=False)]  # fmt: skip

    figure, axes = _axes("Mean lots by level (bids left, asks right)", "level", "lots")
    levels = np.arange(1, BOOK_LEVELS + 1)
    axes.set_xticks([-10, -5, -1, 1, 5, 10], ["10", "5", "1", "1", "5", "10"])
    for _, part, _, style in drawn:
        bid, ask = part.depth()
        axes.plot([*-levels[::-1], *levels], [*bid[::-1], *ask], marker=".", ms=3, **style)
    yield _svg(figure, axes, "depth")

    figure, axes = _axes("Time from event to event", "ms", "share of a tenth of a decade")
    edges, bins = gap_edges() / MILLISECOND, np.logspace(-6, 6, 121)
    for _, part, _, style in drawn:
        shares = np.histogram(np.maximum(edges, bins[0]), bins, weights=part.state["gaps"])[0]
        axes.step(bins[:-1], shares / max(shares.sum(), 1), where="post", **style)
    axes.set_xscale("log")
    axes.set_xlim(1e-4, 1e5)
    yield _svg(figure, axes, "gaps")

    opened = to_datetime(simulated.tape.open, config.sessions.exchange_zone)
    figure, axes = _axes("Records by minute", f"hours since the open ({opened:%H:%M})", "records")
    minutes = simulated.tape.minutes[:, 0]
    axes.plot(np.arange(minutes.size) / 60, np.maximum(minutes, 0.5), color=COLOURS[0], lw=0.6, label="simulated date")
    if real:
        first, last = ((edge - real.tape.open) // MINUTE for edge in real.parts[0].window)
        genuine = np.maximum(real.tape.minutes[first:last, 0], 0.5)
        axes.plot(np.arange(first, last) / 60, genuine, color=COLOURS[2], lw=0.8, label=SERIES[2])
    axes.set_yscale("log")
    yield _svg(figure, axes, "minutes")

    figure, axes = _axes("Trades of at least so many lots", "lots", "share")
    for _, part, _, style in drawn:
        sizes = part.state["trade_sizes"]
        shares = sizes[::-1].cumsum()[::-1] / max(sizes.sum(), 1)
        used = (np.arange(SIZES) > 0) & (shares > 0)
        axes.step(np.arange(SIZES)[used], shares[used], where="pre", **style)
    axes.set_xscale("log")
    axes.set_yscale("log")
    yield _svg(figure, axes, "trades")

    figure, axes = _axes("Changes of the mid over a second", "points", "share of seconds")
    for _, part, tape, style in drawn:
        changes, counts = np.unique(tape.returns(part.window, 1), return_counts=True)
        axes.plot(changes * half, counts / max(counts.sum(), 1), marker=".", ms=5, **{**style, "ls": ""})
    axes.set_yscale("log")
    yield _svg(figure, axes, "seconds")

    figure, axes = _axes("Spread, share of time", "ticks", "share")
    for i, (_, part, _, style) in enumerate(drawn):
        spread = part.state["spread_ns"][:6] / max(int(part.state["spread_ns"].sum()), 1)
        at = np.arange(6) + 0.27 * (i - (len(drawn) - 1) / 2)
        axes.bar(at, np.maximum(spread, 1e-5), 0.25, color=style["color"], label=style["label"])
    axes.set_yscale("log")
    axes.set_ylim(1e-5, 1.5)
    yield _svg(figure, axes, "spread")


def _axes(title: str, x: str, y: str) -> tuple[Any, Any]:
    figure = Figure(figsize=(4.6, 2.9))
    axes = figure.subplots(gridspec_kw={"left": 0.14, "right": 0.98, "bottom": 0.16, "top": 0.91})
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(x, fontsize=8)
    axes.set_ylabel(y, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(lw=0.3, color="#dfe3e6")
    return figure, axes


def _svg(figure: Any, axes: Any, name: str) -> str:
    """The picture as an element; the same bytes for the same numbers. Text stays text."""
    axes.legend(fontsize=7, frameon=False)
    axes.minorticks_off()
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = re.sub(r"<metadata>.*?</metadata>", "", buffer.getvalue(), flags=re.DOTALL)
    return f'<figure style="margin:0" id="{name}">{text[text.index("<svg") :]}</figure>'
