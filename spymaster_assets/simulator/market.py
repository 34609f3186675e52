"""A queue-reactive limit order book, aggregated by price, as MBP-10 records.

Theory: Huang, Lehalle, Rosenbaum (2015), "Simulating and analyzing order book data: the queue-reactive model": orders come as
Poisson flows whose rates depend on the book. Here, per side and distance k from its best (0..9): adds at a fixed rate,
cancels proportional to the queue; market orders at both bests; an order inside a spread of more than a tick. The efficient
price F pulls: with z = pull * (F - mid), market orders toward F come exp(z) times as often, the side in its way cancels
exp(LEAVE z) times as often and adds as much less, the other side the reverse. Latents (`drive`) enter as factors of a side:
of market orders against it, and of cancels and adds behind its best.

Waiting times are exponential with the total rate, scaled so that the front contract has its planned records per minute; the
scale is corrected each minute by what the last ones brought.

Records: one event, the book after it. T stands before its book change and carries the book before it; a sweep is several T, then
one A, C or M. ts_event rises by at least 1 us per instrument from event to event.

Units: as in `book`; fixed point 16.16.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from math import isqrt
from typing import Any, Final

import numpy as np

from spymaster_assets.compute.kernel import kernel
from spymaster_assets.dbn import BOOK_LEVELS, F_BAD_TS_RECV, F_LAST, F_SNAPSHOT, MBP10, UNDEF_PRICE
from spymaster_assets.simulator.book import (
    ADD,
    BOOK,
    CANCEL,
    MODIFY,
    NONE,
    PRICES,
    PUBLISHER,
    RULES,
    TRADE,
    WIRE,
    Z_CELLS,
    Z_LAST,
    add,
    remove,
    send,
    show,
    standing_before,
    stock,
    tell,
)
from spymaster_assets.simulator.drive import advance, printed
from spymaster_assets.simulator.price import MINUTE, STEP, Clock
from spymaster_assets.simulator.rng import ONE, draw, exp, exponential, exponential_table, quantile_table

SNAPSHOT_FLAGS: Final = F_LAST | F_SNAPSHOT | F_BAD_TS_RECV  # 168
OPENING_LEVELS: Final = BOOK_LEVELS + 2  # of a side, before the open
MOST_RECORDS: Final = 16  # of one event
SWEEP: Final = 4  # price levels that one market order may take
HORIZON: Final = 10  # minutes over which a surplus of records is worked off
QUIET: Final = 1_000_000  # ns around a UTC midnight without events: no record's day is in doubt
BEST_DEPTH: Final = 28  # contracts at the best at a budget of a million records; grows with its square root
PROFILE: Final = (100, 165, 205, 225, 235, 240, 240, 235, 230, 225)  # per cent of it, by distance
ARRIVALS: Final = (100, 60, 40, 30, 24, 20, 17, 15, 13, 12)  # rate of adds by distance
ARRIVAL_UNIT: Final = 1 << 13  # of one in ARRIVALS
MARKET_SHARE: Final = 13  # per cent of one side's adds: market orders of one side at z = 0
INSIDE_FACTOR: Final = 64  # of one side's adds: orders inside a wide spread
LEAVE: Final = Decimal("1")  # of z: how strongly the side in the way of F withdraws
PULL: Final = 160 << 8  # cells of z per tick of F - mid, in 1/256: z is 2.5 a tick
PULLED: Final = Z_CELLS * 3 // 2  # cells of z beyond which whole levels are withdrawn
BUSIEST: Final = 3  # times the typical rate: the most by which the distance to F hastens events
CORRECTION: Final = 4  # the most by which a minute's pace departs from its plan
NEXT_PACE: Final = 200  # the next contract has a record for so many of the front's

TRADE_SIZES: Final = {
    1: 540, 2: 150, 3: 75, 4: 45, 5: 65, 6: 14, 7: 10, 8: 12, 10: 64, 12: 4, 15: 6, 20: 18, 25: 4, 40: 2, 50: 4, 100: 1,
}  # fmt: skip
ORDER_SIZES: Final = {1: 600, 2: 150, 3: 80, 4: 45, 5: 50, 8: 20, 10: 40, 15: 5, 20: 8, 50: 2}


def best_depth(events: int) -> int:
    """Contracts that rest at the best on average, by the budget: a large book when there are records to move it."""
    return max(3, BEST_DEPTH * isqrt(events) // 1000)


def new_plan(times: Clock, events: int) -> np.ndarray:
    """Front records before each minute, times 256, int64 (minutes + 1). `events`: those of the regular session."""
    plan = np.zeros(times.minutes + 1, np.int64)
    np.cumsum([int(share) * events * 256 >> 32 for share in times.records], out=plan[1:])
    return plan


def new_rules(times: Clock, start: int, events: int, tick: int) -> np.ndarray:
    """RULES (1) of a date. `start`: F at the open, ticks; `tick`: 1e-9 USD."""
    rules = np.zeros(1, RULES)
    cells = range(Z_LAST + 1)
    z = [Decimal(cell - Z_LAST // 2) / Z_CELLS for cell in cells]
    arrivals = np.array(ARRIVALS, np.int64) * ARRIVAL_UNIT
    added = int(arrivals.sum())
    rules["open"], rules["origin"], rules["tick"] = times.open, start - PRICES // 2, tick
    rules["added"], rules["typical"], rules["arrivals"] = added, 5 * added, arrivals
    rules["leaving"] = arrivals * 100 // (np.array(PROFILE, np.int64) * best_depth(events))
    rules["take"] = [exp(z[cell]) for cell in cells]
    rules["leave"] = [exp(z[cell] * LEAVE) for cell in cells]
    rules["inside"] = [(twice := exp(2 * z[cell])) * ONE // (ONE + twice) for cell in cells]
    rules["waits"] = exponential_table()
    rules["trade_sizes"], rules["order_sizes"] = quantile_table(TRADE_SIZES), quantile_table(ORDER_SIZES)
    return rules


def new_books(instrument_ids: Sequence[int], carries: Sequence[int], seeds: Sequence[int], depth: int, first: int) -> np.ndarray:
    """Empty BOOK (n): the front contract, then thinner ones. `carries`: 1/65536 tick above its F; `first`: ns of the pre-open."""
    others = len(instrument_ids) - 1
    books = np.zeros(others + 1, BOOK)
    books["rng"][:, 0], books["carry"], books["time"], books["minute"], books["best"] = seeds, carries, first, -1, -1
    books["pace"], books["pull"] = [1, *[NEXT_PACE] * others], [PULL, *[PULL // 4] * others]
    books["depth"], books["factors"] = [depth, *[max(3, depth // 3)] * others], ONE
    row = books["row"]
    row["length"], row["rtype"], row["publisher_id"], row["instrument_id"] = MBP10.itemsize // 4, 10, PUBLISHER, instrument_ids
    row["price_at"][:, :, :2] = UNDEF_PRICE
    return books


def new_wire(seed: int, sequence: int, first: int, midnight: int) -> np.ndarray:
    """WIRE (1). `midnight`: the UTC midnight within the date, ns."""
    return np.array([([seed], sequence, first, midnight, 0)], WIRE)


@kernel
def rates(book: Any, rules: Any, z: int) -> int:
    """Fill the book's rates: market orders against side 0, 1; cancels 2, 3; adds 4, 5; an order inside 6. Returns the sum.

    `z`: cell of the pull, Z_LAST // 2 where F is at the mid. The queues enter by the cancels and the spread.
    """
    rate, added, total = book["rates"], rules["added"], 0
    for side in range(2):
        toward, away = (z, Z_LAST - z) if side else (Z_LAST - z, z)
        rate[side] = ((added * MARKET_SHARE // 100 * rules["take"][toward]) >> 16) * book["factors"][side, 0] >> 16
        rate[2 + side] = _leaving(book, rules, side) * rules["leave"][toward] >> 16
        rate[4 + side] = _arriving(book, rules, side) * rules["leave"][away] >> 16
        total += rate[side] + rate[2 + side] + rate[4 + side]
    rate[6] = _inside(book, rules)
    return total + rate[6]


@kernel
def _leaving(book: Any, rules: Any, side: int) -> int:
    """Rate of cancels of a side at z = 0."""
    total, at = 0, book["best"][side]
    for k in range(BOOK_LEVELS):
        total += _leaving_at(book, rules, side, k, at)
        at += 2 * side - 1
    return total


@kernel
def _leaving_at(book: Any, rules: Any, side: int, k: int, at: int) -> int:
    """The part of the k-th price from the best, `at`, in it."""
    rate = rules["leaving"][k] * book["sizes"][side, at]
    return rate * book["factors"][side, 1] >> 16 if k else rate


@kernel
def _arriving(book: Any, rules: Any, side: int) -> int:
    """Rate of adds of a side at z = 0."""
    total = 0
    for k in range(BOOK_LEVELS):
        total += _arriving_at(book, rules, side, k)
    return total


@kernel
def _arriving_at(book: Any, rules: Any, side: int, k: int) -> int:
    """The part of the k-th price from the best in it."""
    return rules["arrivals"][k] * book["factors"][side, 2] >> 16 if k else rules["arrivals"][0]


@kernel
def _inside(book: Any, rules: Any) -> int:
    """Rate of orders inside the spread."""
    return rules["added"] * INSIDE_FACTOR if book["best"][1] - book["best"][0] > 1 else 0


@kernel
def _trade(book: Any, rules: Any, wire: Any, side: int, bits: int, out: np.ndarray) -> None:
    """A market order takes from `side`: sends T per price (some in two parts), then tells the change.

    Those that a latent adds meet hidden orders at the best: it is refilled as it is taken from.
    """
    size, aggressor, emptied = rules["trade_sizes"][bits & 0xFFF], 1 - side, False
    factor = book["factors"][side, 0]
    if ((bits >> 51) & 0x7FF) * factor < (factor - ONE) << 11:
        at = book["best"][side]
        tell(book, rules, TRADE, aggressor, at, size, 0)
        send(book, rules, wire, out)
        tell(book, rules, ADD, side, at, size, 0)
        return
    taken = at = sent = levels = 0
    while True:
        at = book["best"][side]
        resting = int(book["sizes"][side, at])
        taken = min(size, resting)
        part = taken // 2 if (bits >> 12) & 15 == 0 and sent == 0 and taken > 1 else taken - sent
        tell(book, rules, TRADE, aggressor, at, part, 0)
        send(book, rules, wire, out)
        sent += part
        if sent < taken:
            continue
        emptied = taken == resting
        remove(book, side, at, taken, max(1, book["orders"][side, at] * taken // resting))
        size -= taken
        levels += 1
        if size == 0 or levels == SWEEP:
            break
        sent = 0
    price, shown, action, last = at, side, CANCEL, taken
    if emptied and (bits >> 16) & 1:  # the rest of the order stays, as a bid or an offer, at the price that it emptied
        last = max(size, rules["order_sizes"][(bits >> 18) & 0xFFF])
        add(book, aggressor, at, last, 1)
        show(book, rules, aggressor)
        action, shown = ADD, -1
    elif not emptied and (bits >> 30) & 3 == 0:  # the last resting order keeps a part, not as much as was taken
        rest = 1 + (((bits >> 32) & 0xFF) * book["sizes"][side, at] >> 8)
        action, last = MODIFY, rest + (rest == taken)
    elif (bits >> 40) & 7:  # the last resting order was a part of what was taken
        last = 1 + (((bits >> 43) & 0xFF) * taken >> 8)
    show(book, rules, side)
    tell(book, rules, action, shown, price, last, 0)


@kernel
def _cancel(book: Any, rules: Any, side: int, z: int, bits: int) -> None:
    """Orders leave a queue: C of all of one, M of a part of one or of one that moves to another price."""
    away = 2 * side - 1
    mark = ((bits & 0x3FFFFFFF) * _leaving(book, rules, side)) >> 30
    at = book["best"][side]
    for k in range(BOOK_LEVELS):
        mark -= _leaving_at(book, rules, side, k, at)
        if mark < 0:
            break
        at += away
    resting, depth = int(book["sizes"][side, at]), standing_before(book, side, at)
    size = min(resting, rules["order_sizes"][(bits >> 30) & 0xFFF])
    if depth == 0 and (z - Z_LAST // 2) * away > PULLED:
        size = resting  # F is far beyond: all orders at the price are withdrawn
    action, named, kind = CANCEL, size, (bits >> 43) & 31
    if kind < 8 and size < resting:  # an order gets smaller; the record names what is left of it
        remove(book, side, at, size, 0)
        action, named = MODIFY, 1 + ((bits >> 48) & 7)
    else:
        remove(book, side, at, size, 1)
        if kind < 8 and depth > 0:  # or moves to the best
            at, action, depth = book["best"][side], MODIFY, 0
            add(book, side, at, size, 1)
        elif kind == 31 and book["sizes"][side, at] > 1:  # the last of two messages: one contract of the same price left before
            remove(book, side, at, 1, 1)
    show(book, rules, side)
    tell(book, rules, action, side, at, named, depth)


@kernel
def _arrive(book: Any, rules: Any, side: int, bits: int) -> None:
    """An order joins a queue (A), or one that rests gets larger (M)."""
    mark = ((bits & 0x3FFFFFFF) * _arriving(book, rules, side)) >> 30
    at, depth = book["best"][side], 0
    for k in range(BOOK_LEVELS):
        mark -= _arriving_at(book, rules, side, k)
        if mark < 0:
            break
        depth += book["sizes"][side, at] > 0
        at += 2 * side - 1
    size = rules["order_sizes"][(bits >> 30) & 0xFFF]
    grows = book["sizes"][side, at] > 0 and (bits >> 42) & 3 == 0
    add(book, side, at, size, 0 if grows else 1)
    show(book, rules, side)
    tell(book, rules, MODIFY if grows else ADD, side, at, size + (1 + ((bits >> 44) & 7) if grows else 0), depth)


@kernel
def _improve(book: Any, rules: Any, z: int, bits: int) -> None:
    """An order inside a wide spread, from the side that F favours."""
    side = 0 if (bits & 0xFFFF) < rules["inside"][z] else 1
    at, size = book["best"][side] + 1 - 2 * side, rules["order_sizes"][(bits >> 16) & 0xFFF]
    add(book, side, at, size, 1)
    show(book, rules, side)
    tell(book, rules, ADD, side, at, size, 0)


@kernel
def _event(book: Any, rules: Any, wire: Any, f: int, out: np.ndarray) -> None:
    """One event of a book at its time, and the time of its next one. `f`: F of the front contract, 1/65536 tick."""
    gap = f + book["carry"] - ((2 * rules["origin"] + book["best"][0] + book["best"][1]) << 15)
    z = min(max((gap * book["pull"]) >> 24, -(Z_LAST // 2)), Z_LAST // 2) + Z_LAST // 2
    total = rates(book, rules, z)
    bits, more = draw(book["rng"]), draw(book["rng"])
    mark = ((bits & 0x3FFFFFFF) * total) >> 30
    kind = 0
    while kind < 6 and mark >= book["rates"][kind]:
        mark -= book["rates"][kind]
        kind += 1
    if kind < 2:
        _trade(book, rules, wire, kind, more, out)
    elif kind < 4:
        _cancel(book, rules, kind - 2, z, more)
    elif kind < 6:
        _arrive(book, rules, kind - 4, more)
    else:
        _improve(book, rules, z, more)
    send(book, rules, wire, out)
    stock(book, 0)
    stock(book, 1)
    rate = min(total - book["rates"][6], BUSIEST * rules["typical"]) + _inside(book, rules)
    ratio = (rules["typical"] << 16) // rate
    wait = (((book["mean"] * exponential((bits >> 30) & 0xFFFFF, rules["waits"])) >> 24) * ratio) >> 8
    book["time"] = _awake(wire, book["time"] + max(wait, 1_000))


@kernel
def _awake(wire: Any, time: int) -> int:
    """`time`, moved out of the milliseconds around midnight."""
    midnight = wire["midnight"]
    return midnight + QUIET if midnight - QUIET <= time < midnight + QUIET else time


@kernel
def _pace(book: Any, rules: Any, plan: np.ndarray) -> None:
    """At a new minute, set the mean time between records: the plan's, corrected (front contract) by what is missing or too much."""
    minute = min((book["time"] - rules["open"]) // MINUTE, plan.size - 2)
    if minute == book["minute"]:
        return
    book["minute"] = minute
    ahead = plan[min(minute + HORIZON, plan.size - 1)]
    planned = max(ahead - plan[minute], 1)
    wanted = min(max(ahead - 256 * book["emitted"], planned // CORRECTION), CORRECTION * planned) if book["pace"] == 1 else planned
    rate = max((plan[minute + 1] - plan[minute]) * wanted // planned, 8)
    book["mean"] = MINUTE * 256 * book["pace"] // rate


@kernel
def _before_open(book: Any, rules: Any, wire: Any, best: int, k: int, time: int, out: np.ndarray) -> None:
    """The k-th order of a book before the open, the sides in turn; the last two meet at price `best`."""
    side, bits, at, depth = k & 1, draw(book["rng"]), best, book["depth"]
    size, orders = depth // 2 + 1, 1
    if k < 2 * OPENING_LEVELS:  # every price once: the distance 5 k mod 12 jumps about
        at += (2 * side - 1) * (1 + (k // 2) * 5 % OPENING_LEVELS)
        size = depth + (((bits >> 28) & 0xFF) * depth >> 8)
        orders += ((bits >> 36) & 0xFF) * size >> 9
    book["time"] = _awake(wire, time + (bits & 0xFFFFFFF))
    add(book, side, at, size, orders)
    show(book, rules, side)
    tell(book, rules, ADD, side, at, size, standing_before(book, side, at))
    send(book, rules, wire, out)


@kernel
def _match(book: Any, rules: Any, wire: Any, best: int, out: np.ndarray) -> None:
    """The opening match, stamped at the open: T without a side, then the book without the price at which both sides stood."""
    book["time"], size = rules["open"], book["depth"] // 2 + 1
    tell(book, rules, TRADE, -1, best, size, 0)
    send(book, rules, wire, out)
    for side in range(2):
        remove(book, side, best, size, 1)
        book["edge"][side] = best + (2 * side - 1) * OPENING_LEVELS
        stock(book, side)
        show(book, rules, side)
    tell(book, rules, CANCEL, -1, best, size, 0)
    send(book, rules, wire, out)
    book["emitted"], book["time"] = 0, rules["open"] + QUIET


@kernel
def before_open(books: np.ndarray, rules: np.ndarray, wire: np.ndarray, start: int, out: np.ndarray) -> int:
    """The records of all books before the open, from `books["time"]` on, and their opening matches, in order of time.

    `start`: F of the front contract at the open, 1/65536 tick. Returns the records written to `out` (ROW).
    """
    wire[0]["records"] = 0
    first, orders = books[0]["time"], 2 * OPENING_LEVELS + 2
    gap = (rules[0]["open"] - first) // (orders + 1)
    for k in range(orders + 1):
        for i in range(books.size):
            best = ((start + books[i]["carry"]) >> 16) - rules[0]["origin"]
            if k < orders:
                _before_open(books[i], rules[0], wire[0], best, k, first + gap * k + (i << 28), out)
            else:
                _match(books[i], rules[0], wire[0], best, out)
    return wire[0]["records"]


@kernel
def snapshot(books: np.ndarray, wire: np.ndarray, out: np.ndarray) -> int:
    """The books as they stand at midnight: A, side N, flags 168, time, price, size and sequence of the last record."""
    for i in range(books.size):
        row = books[i]["row"]
        row["action"], row["side"], row["flags"], row["depth"] = ADD, NONE, SNAPSHOT_FLAGS, 0
        row["ts_recv"], row["ts_in_delta"] = np.uint64(wire[0]["midnight"]), 0
        out[i] = row
    return books.size


@kernel
def run(
    books: np.ndarray, rules: np.ndarray, wire: np.ndarray, path: np.ndarray, plan: np.ndarray, until: int,
    drive: np.ndarray, sigma: np.ndarray, found: np.ndarray, prints: np.ndarray, touched: np.ndarray, out: np.ndarray,
) -> tuple[int, bool]:  # fmt: skip
    """Events of all books in order of time up to `until` (ns, included), as records in `out` (ROW).

    `path`: F per 100 ms, to which drifts are added; `sigma`: its volatility by minute; `plan`: `new_plan`; `drive`, `found`,
    `prints`, `touched`: of `drive.Driven`. Returns (records, done); not done: `out` is full, call again.
    """
    wire[0]["records"] = 0
    while wire[0]["records"] + MOST_RECORDS <= out.size:
        i = 0
        for j in range(1, books.size):
            if books[j]["time"] < books[i]["time"]:
                i = j
        book = books[i]
        if book["time"] > until:
            return wire[0]["records"], True
        _pace(book, rules[0], plan)
        now, first = book["time"] - rules[0]["open"], wire[0]["records"]
        if drive[0]["on"] and advance(drive[0], now, path, sigma, found, prints, touched):
            books[0]["factors"][:] = drive[0]["factors"]
        _event(book, rules[0], wire[0], path[min(now // STEP, path.size - 1)], out)
        if drive[0]["on"] and i == 0:
            for number in range(first, wire[0]["records"]):
                if out[number]["action"] == TRADE:
                    printed(drive[0], out[number]["price"] // rules[0]["tick"], prints)
    return wire[0]["records"], False
