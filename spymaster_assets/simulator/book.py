"""A book of orders aggregated by price, the row in which an MBP-10 record shows it, and the channel that numbers and times records.

A record is one event and the book after it; `tell` puts the event's last message into the row, `show` a side's ten best levels,
`send` completes and copies it. What happens to a book, and how often, stands in `market`.

State is a BOOK per instrument and a WIRE for all, mutated in place; RULES are only read. Units: prices are ticks above RULES's
`origin`; sizes contracts; time ns UTC. Sides: 0 bid, 1 ask; `2 * side - 1` points away from the other side. A side is never empty
after the open: beyond the ten listed levels the book is stocked ahead of the price, unseen.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from spymaster_assets.compute.kernel import kernel
from spymaster_assets.dbn import BOOK_LEVELS, F_LAST, MBP10, UNDEF_PRICE
from spymaster_assets.simulator.rng import draw, exponential

ADD, CANCEL, MODIFY, TRADE = ord("A"), ord("C"), ord("M"), ord("T")
BID, ASK, NONE = ord("B"), ord("A"), ord("N")  # sides of a record; 0 and 1 in here
BOOK_FLAGS: Final = F_LAST | 2  # 130, as in genuine book records
PUBLISHER: Final = 1  # GLBX.MDP3.GLBX
PRICES: Final = 1 << 14  # ticks of the window in which the book lives: 4,096 points of ES
STOCKED: Final = 40  # ticks beyond each best that hold orders
Z_CELLS, Z_MOST = 64, 3  # entries per unit of z, and its bound
Z_LAST: Final = 2 * Z_CELLS * Z_MOST

_HEAD: Final[Any] = {name: place for name, place in (MBP10.fields or {}).items() if name != "levels"}
_LEVELS_AT: Final = 48  # bytes before the levels
ROW: Final[Any] = np.dtype(  # an MBP-10 row whose sides are indexed: price_at[k, side], size_at[k, SIZE + side], [k, ORDERS + side]
    {
        "names": [*_HEAD, "price_at", "size_at"],
        "formats": [*(place[0] for place in _HEAD.values()), ("<i8", (BOOK_LEVELS, 4)), ("<u4", (BOOK_LEVELS, 8))],
        "offsets": [*(place[1] for place in _HEAD.values()), _LEVELS_AT, _LEVELS_AT],
        "itemsize": MBP10.itemsize,
    }
)
SIZE, ORDERS = 4, 6
BOOK: Final = np.dtype(
    [
        ("rng", "u8", (1,)),
        ("time", "i8"),  # of the next event
        ("emitted", "i8"),  # records of the running session
        ("minute", "i8"),
        ("mean", "i8"),  # ns between records, on average, now
        ("pace", "i8"),  # multiplies it
        ("carry", "i8"),  # above the front contract's F, 1/65536 tick
        ("pull", "i8"),  # cells of z per tick of F - mid, in 1/256
        ("depth", "i8"),  # contracts at the best, on average
        ("best", "i8", (2,)),  # ticks above origin
        ("edge", "i8", (2,)),  # the last stocked price
        ("rates", "i8", (7,)),
        ("factors", "i8", (2, 3)),  # 16.16, by side: of market orders against it, of cancels and of adds behind its best
        ("row", ROW),  # the last record
        ("sizes", "i4", (2, PRICES)),
        ("orders", "i4", (2, PRICES)),
    ]
)  # one instrument: everything that changes
WIRE: Final = np.dtype(  # the channel that books share
    [("rng", "u8", (1,)), ("sequence", "i8"), ("ts_recv", "i8"), ("midnight", "i8"), ("records", "i8")]
)
RULES: Final = np.dtype(
    [
        ("open", "i8"),  # ns UTC
        ("origin", "i8"),  # tick of price 0 of the window
        ("tick", "i8"),  # 1e-9 USD
        ("added", "i8"),  # rate of adds of one side at z = 0
        ("typical", "i8"),  # mean total rate
        ("arrivals", "i8", (BOOK_LEVELS,)),  # rate of adds by distance
        ("leaving", "i8", (BOOK_LEVELS,)),  # rate of cancels per contract by distance
        ("take", "i8", (Z_LAST + 1,)),  # exp(z) in 16.16
        ("leave", "i8", (Z_LAST + 1,)),  # exp(LEAVE z) in 16.16
        ("inside", "i8", (Z_LAST + 1,)),  # 1 / (1 + exp(-2 z)) in 16.16
        ("waits", "i8", (4097,)),  # exponential quantiles
        ("trade_sizes", "i8", (4096,)),
        ("order_sizes", "i8", (4096,)),
    ]
)  # what a date's kernels only read


@kernel
def show(book: Any, rules: Any, side: int) -> None:
    """List the ten best levels of a side in the book's row; fewer leave undefined prices."""
    row, at, away = book["row"], book["best"][side], 2 * side - 1
    listed = 0
    while listed < BOOK_LEVELS and 0 <= at < PRICES:
        size = book["sizes"][side, at]
        if size > 0:
            row["price_at"][listed, side] = (rules["origin"] + at) * rules["tick"]
            row["size_at"][listed, SIZE + side] = size
            row["size_at"][listed, ORDERS + side] = book["orders"][side, at]
            listed += 1
        at += away
    for k in range(listed, BOOK_LEVELS):
        row["price_at"][k, side] = UNDEF_PRICE
        row["size_at"][k, SIZE + side] = 0
        row["size_at"][k, ORDERS + side] = 0


@kernel
def stock(book: Any, side: int) -> None:
    """Put orders at prices that the price has not come near to yet: unseen, beyond the ten levels."""
    away = 2 * side - 1
    while (book["best"][side] + away * STOCKED - book["edge"][side]) * away > 0:
        book["edge"][side] += away
        bits = draw(book["rng"])
        size = 1 + ((bits & 0xFFFF) * 3 * book["depth"] >> 16) + book["depth"] // 2
        book["sizes"][side, book["edge"][side]] = size
        book["orders"][side, book["edge"][side]] = 1 + (((bits >> 16) & 0xFFFF) * size >> 17)


@kernel
def add(book: Any, side: int, at: int, size: int, orders: int) -> None:
    """Add contracts in `orders` (0: to one that rests) at a price; the best follows."""
    book["sizes"][side, at] += size
    book["orders"][side, at] += orders
    if book["best"][side] < 0 or (at - book["best"][side]) * (2 * side - 1) < 0:
        book["best"][side] = at


@kernel
def remove(book: Any, side: int, at: int, size: int, orders: int) -> None:
    """Remove contracts of `orders` at a price, keeping 1 <= orders <= contracts; an emptied best gives way to the next level."""
    left = book["sizes"][side, at] - size
    book["sizes"][side, at] = left
    book["orders"][side, at] = min(max(book["orders"][side, at] - orders, 1), left)
    while book["sizes"][side, book["best"][side]] == 0:
        book["best"][side] += 2 * side - 1


@kernel
def standing_before(book: Any, side: int, at: int) -> int:
    """Levels that stand before a price."""
    price, found = book["best"][side], 0
    while price != at and found < BOOK_LEVELS:
        found += book["sizes"][side, price] > 0
        price += 2 * side - 1
    return found


@kernel
def tell(book: Any, rules: Any, action: int, side: int, at: int, size: int, depth: int) -> None:
    """Put an event's message into the book's row. `side` -1: none."""
    row = book["row"]
    row["action"], row["depth"] = action, depth
    row["side"] = NONE if side < 0 else (BID if side == 0 else ASK)
    row["price"], row["size"] = (rules["origin"] + at) * rules["tick"], size


@kernel
def send(book: Any, rules: Any, wire: Any, out: np.ndarray) -> None:
    """Complete the book's row as the channel's next record and copy it to `out`.

    Sequence: one more than the last; before a new event the channel sometimes carries others. Receipt: the gateway's delay,
    never before the last record's.
    """
    row, bits, time = book["row"], draw(wire["rng"]), np.uint64(book["time"])
    again = row["ts_event"] == time
    wire["sequence"] += 1 if again or bits & 7 else 1 + ((bits >> 3) & 3)
    delay = 79_000 + ((bits >> 5) & 0x3FFF) + (exponential((bits >> 19) & 0xFFFFF, rules["waits"]) * 9_000 >> 16)
    wire["ts_recv"] = max(wire["ts_recv"] + ((bits >> 39) & 0xFF) + (7_000 if again else 0), book["time"] + delay)
    row["ts_event"], row["ts_recv"] = time, np.uint64(wire["ts_recv"])
    row["ts_in_delta"] = 12_700 + ((bits >> 47) & 0xFFF) + (bits >> 60) * 1_000
    row["sequence"] = np.uint32(wire["sequence"])
    row["flags"] = 0 if row["action"] == TRADE else BOOK_FLAGS
    out[wire["records"]] = row
    wire["records"] += 1
    book["emitted"] += 1
