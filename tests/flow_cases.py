"""Tiny books and trades with the flow that they must give, worked out on paper from docs/physics.md, section 1.

Every case begins with the same book, which sets itself at 0 ms (interval 0) and is no flow:

    bids  99 .. 90, ten lots each
    asks  100: 20   101: 30   102: 40   103: 50   104 .. 109: five lots each

Moments are ms after the open: 1 .. 250 lie in interval 1, 251 .. 500 in interval 2, and so on. Prices are ticks. The sum behind
each expected row is `rest = after - before + traded; filled = traded; added = max(rest, 0); pulled = max(-rest, 0)`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spymaster_assets import dbn
from tests.build import CONFIG, SESSION

OPEN = SESSION.globex.start
COUNT = 4  # snaps 0 .. COUNT
LAST, SNAPSHOT, MAYBE_BAD = 128, 32, 4
MS = 1_000_000

Side = Mapping[int, int]  # ticks -> lots
BIDS: Side = {ticks: 10 for ticks in range(90, 100)}
ASKS: Side = {100: 20, 101: 30, 102: 40, 103: 50} | {ticks: 5 for ticks in range(104, 110)}


@dataclass(frozen=True)
class Case:
    """`records`: MBP-10 rows in arrival order; `expected_flow`: the flow table; `reading`: the choice that the case hangs on."""

    name: str
    records: np.ndarray
    expected_flow: list[dict]
    discarded: int = 0
    depth: int = 10
    reading: str = ""


def record(at: int, action: str, bids: Side, asks: Side, *, side: str = "N", flags: int = LAST) -> np.ndarray:
    """One MBP-10 row; the best ten of each side are listed."""
    row = np.zeros(1, dbn.MBP10)
    row["length"], row["rtype"], row["publisher_id"], row["instrument_id"] = 92, 10, 1, 101
    row["ts_event"], row["ts_recv"] = OPEN + at * MS, OPEN + at * MS + 100_000
    row["action"], row["side"], row["flags"], row["price"] = ord(action), ord(side), flags, dbn.UNDEF_PRICE
    levels = row["levels"][0]
    levels["bid_px"] = levels["ask_px"] = dbn.UNDEF_PRICE
    for i, ticks in enumerate(sorted(bids, reverse=True)[:10]):
        levels["bid_px"][i], levels["bid_sz"][i], levels["bid_ct"][i] = ticks * CONFIG.instrument.tick, bids[ticks], 1
    for i, ticks in enumerate(sorted(asks)[:10]):
        levels["ask_px"][i], levels["ask_sz"][i], levels["ask_ct"][i] = ticks * CONFIG.instrument.tick, asks[ticks], 1
    return row


def book(at: int, bids: Side = BIDS, asks: Side = ASKS, *, flags: int = LAST) -> np.ndarray:
    """A book record."""
    return record(at, "M", bids, asks, flags=flags)


def clear(at: int) -> np.ndarray:
    """An R record, which lists nothing."""
    return record(at, "R", {}, {})


def trade(at: int, side: str, lots: int, ticks: int | None, bids: Side = BIDS, asks: Side = ASKS, *, flags: int = 0) -> np.ndarray:
    """A T record; it carries the book before its effect."""
    row = record(at, "T", bids, asks, side=side, flags=flags)
    row["price"] = dbn.UNDEF_PRICE if ticks is None else ticks * CONFIG.instrument.tick
    row["size"] = lots
    return row


def but(side: Side, **changes: int) -> dict[int, int]:
    """A side with other sizes; `_100=0` takes the price away."""
    changed = {**side, **{int(name[1:]): lots for name, lots in changes.items()}}
    return {ticks: lots for ticks, lots in changed.items() if lots}


def flow(
    k: int, side: str, ticks: int, *, added: int = 0, pulled: int = 0, filled: int = 0, bought: int = 0, sold: int = 0
) -> dict:
    """One expected row of flow."""
    return {
        "k": k, "side": side, "ticks": ticks, "added": added, "pulled": pulled, "filled": filled, "bought": bought, "sold": sold
    }  # fmt: skip


def case(name: str, rows: Sequence[np.ndarray], expected: list[dict], **facts) -> Case:
    """A case that begins with the common book."""
    return Case(name, np.concatenate([book(0), *rows]), expected, **facts)


WITHOUT_105 = but(ASKS, _105=0, _110=9)  # ten asks: 100 .. 104, 106 .. 110
WITH_105 = but(ASKS, _105=8)  # ten asks: 100 .. 109
BIDS_WITHOUT_94 = but(BIDS, _94=0, _89=7)  # ten bids: 99 .. 95, 93 .. 89
THREE = {100: 20, 101: 30, 105: 4}  # fewer than ten asks: everything is visible
NINE = but(ASKS, _109=0)

CASES: list[Case] = [
    case("nothing but the first book", [], []),
    case(
        "one add, one cancel",  # 101: 30 -> 33; 98: 10 -> 6
        [book(10, but(BIDS, _98=6), but(ASKS, _101=33))],
        [flow(1, "A", 101, added=3), flow(1, "B", 98, pulled=4)],
    ),
    case(
        "an add and a cancel of one price do not net within an interval",  # 30 -> 37 -> 30
        [book(10, asks=but(ASKS, _101=37)), book(20)],
        [flow(1, "A", 101, added=7, pulled=7)],
    ),
    case(
        "they are rows of their own in two intervals",
        [book(10, asks=but(ASKS, _101=37)), book(251)],
        [flow(1, "A", 101, added=7), flow(2, "A", 101, pulled=7)],
    ),
    case(
        "the end of an interval belongs to it",
        [book(250, asks=but(ASKS, _101=37)), book(500)],
        [flow(1, "A", 101, added=7), flow(2, "A", 101, pulled=7)],
    ),
    case(
        "best fully eaten",  # 100: 20 -> 0 with 20 traded: rest 0. 110 slides in and was not visible before.
        [trade(10, "B", 20, 100), book(10, asks=but(ASKS, _100=0, _110=7))],
        [flow(1, "A", 100, filled=20, bought=20)],
    ),
    case(
        "best bid fully eaten",
        [trade(10, "A", 10, 99), book(10, bids=but(BIDS, _99=0, _89=7))],
        [flow(1, "B", 99, filled=10, sold=10)],
    ),
    case(
        "best partly eaten",  # 100: 20 -> 13 with 7 traded
        [trade(10, "B", 7, 100), book(10, asks=but(ASKS, _100=13))],
        [flow(1, "A", 100, filled=7, bought=7)],
    ),
    case(
        "eaten and pulled at once",  # 100: 20 -> 10 with 7 traded: rest -3
        [trade(10, "B", 7, 100), book(10, asks=but(ASKS, _100=10))],
        [flow(1, "A", 100, filled=7, pulled=3, bought=7)],
    ),
    case(
        "sweep of three levels",  # the third: 40 -> 30 with 10 traded
        [
            trade(10, "B", 20, 100), trade(10, "B", 30, 101), trade(10, "B", 10, 102),
            book(10, asks=but(ASKS, _100=0, _101=0, _102=30, _110=7, _111=7)),
        ],
        [
            flow(1, "A", 100, filled=20, bought=20), flow(1, "A", 101, filled=30, bought=30),
            flow(1, "A", 102, filled=10, bought=10),
        ],
    ),
    case(
        "sweep after which the bid follows",  # bids 101 and 100 are at or better than their worst: they were visible with size 0
        [
            trade(10, "B", 20, 100), trade(10, "B", 30, 101),
            book(10, but(BIDS, _101=6, _100=4, _91=0, _90=0), but(ASKS, _100=0, _101=0, _110=7, _111=7)),
        ],
        [
            flow(1, "A", 100, filled=20, bought=20), flow(1, "A", 101, filled=30, bought=30),
            flow(1, "B", 100, added=4), flow(1, "B", 101, added=6),
        ],
    ),
    case(
        "refill: 50 traded while 20 becomes 1",  # rest 1 - 20 + 50 = 31
        [trade(10, "B", 50, 100), book(10, asks=but(ASKS, _100=1))],
        [flow(1, "A", 100, filled=50, added=31, bought=50)],
    ),
    case(
        "refill of a bid: 25 traded while 10 stays",  # rest 25
        [trade(10, "A", 25, 99), book(10)],
        [flow(1, "B", 99, filled=25, added=25, sold=25)],
    ),
    case(
        "two trades of one event at one price add up",  # 20 -> 8 with 5 + 7 traded
        [trade(10, "B", 5, 100), trade(10, "B", 7, 100), book(10, asks=but(ASKS, _100=8))],
        [flow(1, "A", 100, filled=12, bought=12)],
    ),
    case(
        "T without a book record, then another event",  # settles with after = before; the later book is compared without it
        [trade(10, "B", 5, 100), book(20, but(BIDS, _98=12), but(ASKS, _100=15))],
        [flow(1, "A", 100, filled=5, added=5, pulled=5, bought=5), flow(1, "B", 98, added=2)],
    ),
    case(
        "T without a book record, then the interval ends",
        [trade(10, "B", 5, 100), book(260, asks=but(ASKS, _100=15))],
        [flow(1, "A", 100, filled=5, added=5, bought=5), flow(2, "A", 100, pulled=5)],
    ),
    case(
        "T without a book record, then nothing more",
        [trade(10, "A", 3, 97)],
        [flow(1, "B", 97, filled=3, added=3, sold=3)],
    ),
    case(
        "T, then T of another event with its book",  # the first settles unchanged; the second: 20 -> 16 with 4 traded
        [trade(10, "B", 5, 100), trade(20, "B", 4, 100), book(20, asks=but(ASKS, _100=16))],
        [flow(1, "A", 100, filled=9, added=5, bought=9)],
    ),
    case(
        "a T without a price settles what waits and is nothing itself",  # then 20 -> 15 is a cancel of another event
        [trade(10, "B", 5, 100), trade(20, "B", 9, None), book(20, asks=but(ASKS, _100=15))],
        [flow(1, "A", 100, filled=5, added=5, pulled=5, bought=5)],
    ),
    case(
        "a level slides out at the tenth and in again",  # only 105 happens; 110 is invisible in one of the two books
        [book(10, asks=WITHOUT_105, flags=LAST | SNAPSHOT), book(20, asks=WITH_105), book(260, asks=WITHOUT_105)],
        [flow(1, "A", 105, added=8), flow(2, "A", 105, pulled=8)],
    ),
    case(
        "the same on the bid side",
        [book(10, BIDS_WITHOUT_94, flags=LAST | SNAPSHOT), book(20), book(260, BIDS_WITHOUT_94)],
        [flow(1, "B", 94, added=10), flow(2, "B", 94, pulled=10)],
    ),
    case(
        "a waiting price slides out at the tenth",  # 110 settles unchanged
        [
            book(10, asks=WITHOUT_105, flags=LAST | SNAPSHOT),
            trade(20, "B", 2, 110, asks=WITHOUT_105),
            book(20, asks=WITH_105),
        ],
        [flow(1, "A", 105, added=8), flow(1, "A", 110, filled=2, added=2, bought=2)],
    ),
    case(
        "a trade beyond the tenth is not visible",
        [trade(10, "B", 3, 110), book(10, asks=but(ASKS, _101=31))],
        [flow(1, "A", 101, added=1), flow(1, "A", 110, bought=3)],
    ),
    case(
        "fewer than ten levels: everything is visible",  # 200 appears; then 101 vanishes
        [
            book(10, asks=THREE, flags=LAST | SNAPSHOT),
            book(20, asks=but(THREE, _200=6)),
            book(260, asks=but(THREE, _200=6, _101=0)),
        ],
        [flow(1, "A", 200, added=6), flow(2, "A", 101, pulled=30)],
    ),
    case(
        "fewer than ten levels: a trade where nothing was listed",  # 103: 0 -> 0 with 3 traded: rest 3
        [book(10, asks=THREE, flags=LAST | SNAPSHOT), trade(20, "B", 3, 103, asks=THREE), book(20, asks=THREE)],
        [flow(1, "A", 103, filled=3, added=3, bought=3)],
    ),
    case(
        "nine levels become ten",  # the new range ends at 112, where the tenth was added; all was visible before
        [book(10, asks=NINE, flags=LAST | SNAPSHOT), book(20, asks=but(NINE, _112=6))],
        [flow(1, "A", 112, added=6)],
    ),
    case(
        "ten levels become nine",  # 109 was visible and now, with everything visible, holds nothing
        [book(10, asks=NINE)],
        [flow(1, "A", 109, pulled=5)],
    ),
    case(
        "a side empties: nothing is left and everything visible",  # 140 + 30 lots leave
        [book(10, asks={})],
        [flow(1, "A", ticks, pulled=lots) for ticks, lots in sorted(ASKS.items())],
    ),
    case(
        "side N: no aggressor, so the decrease counts as pulled",
        [trade(10, "N", 5, 100), book(10, asks=but(ASKS, _100=15))],
        [flow(1, "A", 100, pulled=5)],
    ),
    case(
        "side N does not wait: a record without F_LAST is compared at once",  # 20 -> 15 -> 20
        [trade(10, "N", 5, 100), book(10, asks=but(ASKS, _100=15), flags=0), book(10)],
        [flow(1, "A", 100, pulled=5, added=5)],
    ),
    case(
        "snapshot between T and its book",  # discards 5; then 15 -> 14
        [
            trade(10, "B", 5, 100),
            book(10, asks=but(ASKS, _100=15), flags=LAST | SNAPSHOT),
            book(10, asks=but(ASKS, _100=14)),
        ],
        [flow(1, "A", 100, pulled=1, bought=5)],
        discarded=5,
    ),
    case(
        "flag 4 sets the book without flow",  # 101: 30 -> 90 unseen, then 90 -> 85
        [book(10, asks=but(ASKS, _101=90), flags=LAST | MAYBE_BAD), book(20, asks=but(ASKS, _101=85))],
        [flow(1, "A", 101, pulled=5)],
    ),
    case(
        "flag 4 discards what waits",
        [trade(10, "B", 5, 100), book(10, asks=but(ASKS, _100=15), flags=LAST | MAYBE_BAD), book(20)],
        [flow(1, "A", 100, added=5, bought=5)],
        discarded=5,
    ),
    case(
        "R, then a book, then a comparison",  # the first book after R has nothing to compare with
        [clear(10), book(20, asks=but(ASKS, _100=99)), book(30, asks=but(ASKS, _100=98))],
        [flow(1, "A", 100, pulled=1)],
    ),
    case(
        "after R nothing is visible, so nothing waits",
        [clear(10), trade(20, "B", 5, 100), book(20, asks=but(ASKS, _100=15))],
        [flow(1, "A", 100, bought=5)],
    ),
    case(
        "R discards what waits",
        [trade(10, "A", 4, 99), clear(10), book(10)],
        [flow(1, "B", 99, sold=4)],
        discarded=4,
    ),
    case(
        "without F_LAST while trades wait: passed over",  # settles at the last book: 20 -> 0 and 30 -> 20
        [
            trade(10, "B", 20, 100),
            book(10, asks=but(ASKS, _100=0, _110=7), flags=0),
            trade(10, "B", 10, 101),
            book(10, asks=but(ASKS, _100=0, _101=20, _110=7)),
        ],
        [flow(1, "A", 100, filled=20, bought=20), flow(1, "A", 101, filled=10, bought=10)],
    ),
    case(
        "passed over, then another event",  # the waiting lots settle unchanged, then 20 -> 0 is compared
        [
            trade(10, "B", 20, 100),
            book(10, asks=but(ASKS, _100=0, _110=7), flags=0),
            book(20, asks=but(ASKS, _100=0, _110=7)),
        ],
        [flow(1, "A", 100, filled=20, added=20, pulled=20, bought=20)],
    ),
    case(
        "without F_LAST while nothing waits: compared",
        [book(10, asks=but(ASKS, _101=33), flags=0), book(10)],
        [flow(1, "A", 101, added=3, pulled=3)],
    ),
    case(
        "late records lie where the latest event time lies",  # 300 ms so far: interval 2
        [book(300, but(BIDS, _98=12)), trade(100, "B", 7, 100), book(100, but(BIDS, _98=12), but(ASKS, _100=13))],
        [flow(2, "A", 100, filled=7, bought=7), flow(2, "B", 98, added=2)],
    ),
    case(
        "records up to the open lie in interval 0",
        [book(-50, asks=but(ASKS, _101=33)), trade(0, "B", 2, 100), book(0, asks=but(ASKS, _101=33, _100=18))],
        [flow(0, "A", 100, filled=2, bought=2), flow(0, "A", 101, added=3)],
    ),
    case(
        "MBP-1: the best is all that is visible",  # 100 eaten; 101 unseen before. Then 100 comes back, at or better than 101.
        [trade(10, "B", 20, 100), book(10, asks=but(ASKS, _100=0)), book(260, asks=but(ASKS, _100=6))],
        [flow(1, "A", 100, filled=20, bought=20), flow(2, "A", 100, added=6)],
        depth=1,
    ),
    case(
        "a reset of another event",
        [trade(10, "B", 5, 100), book(20, asks=but(ASKS, _100=15), flags=LAST | SNAPSHOT)],
        [flow(1, "A", 100, filled=5, added=5, bought=5)],
        reading="a record of another ts_event settles waiting lots before the reset could discard them",
    ),
    case(
        "flag 4 on a T",  # 20 -> 15 with 5 traded
        [trade(10, "B", 5, 100, flags=MAYBE_BAD), book(10, asks=but(ASKS, _100=15))],
        [flow(1, "A", 100, filled=5, bought=5)],
        reading="a T record never sets the book, whatever its flags",
    ),
    case(
        "a snapshot row without F_LAST while trades wait",  # discards 5; then 15 -> 14
        [trade(10, "B", 5, 100), book(10, asks=but(ASKS, _100=15), flags=SNAPSHOT), book(10, asks=but(ASKS, _100=14))],
        [flow(1, "A", 100, pulled=1, bought=5)],
        discarded=5,
        reading="a reset is never passed over",
    ),
]  # fmt: skip
