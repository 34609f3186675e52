"""What the records of a window look like: the counters and histograms of the realism report.

`observe` is the kernel: histograms and counters of one window in OBSERVED, one number per record. The TAPE of a date holds what
needs order in time on a grid: records by minute, the mid by second. Both are of fixed size, whatever the budget.

Words as in docs/physics.md, section 1: a book is that of a record with action A, C or M that ends its event; trades show the
book before them. Restatements (flags 32 and 4) set the book and are not counted. Windows are (start, end] in event time. Units: ns,
lots, ticks; the numbers are told in points and milliseconds.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from spymaster_assets import dbn
from spymaster_assets.compute.kernel import kernel, signed
from spymaster_assets.config import Config
from spymaster_assets.dbn import BOOK_LEVELS, F_LAST, F_MAYBE_BAD_BOOK, F_SNAPSHOT, UNDEF_PRICE
from spymaster_assets.sessions import NS_PER_SECOND, Session, Window
from spymaster_assets.simulator.book import ADD, ASK, BID, CANCEL, MODIFY, ROW, SIZE, TRADE

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
