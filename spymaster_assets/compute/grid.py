"""Raw MBP-10 records -> snaps, prints and flow: one sequential pass over the integers of a date.

A record is an event and shows the book after it; a trade record (T) shows the book before its effect, and the next record of the
same event carries the change. What happened to the liquidity at a price therefore comes from comparing consecutive books, never
from a record's own size. docs/physics.md, section 1, has every rule; the names here are its names.

`advance_grid` may be fed any cut of the stream: everything unfinished waits in the state, so that chunks do not show in the result.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from spymaster_assets.compute.kernel import inlined, kernel, signed
from spymaster_assets.states import ASK, BID, BUYER, SELLER
from spymaster_assets.tables import SNAPS, UNDEF_PRICE

NOTHING, LISTED, EVERYTHING = 0, 1, 2  # what of a side is visible
NO_BID: Final = -(2**31)
NO_ASK: Final = 2**31 - 1
UNKNOWN: Final = -(2**31)
FARTHEST: Final = 2**30  # ticks from 0: what is farther does not fit
ABSENT: Final = -(2**31 - 1)  # sign x ticks of an unlisted level, at most
WAITING: Final = 256  # prices at which trades can wait; one more settles at once
HISTOGRAM: Final = 4096  # cluster sizes told apart
ROOM: Final = 2 * WAITING + 64  # flow rows that one record can begin

TRADE, CLEAR = ord("T"), ord("R")
LAST, SNAPSHOT, MAYBE_BAD = 128, 32, 4

_WORDS: Final = 4  # of 8 bytes in a level: bid price, ask price, both sizes, both counts
_FIRST: Final = 6  # word of a record at which its levels begin: byte 48 of a 368-byte MBP-10 row
_LOW: Final = np.uint64(0xFFFFFFFF)
_HIDDEN: Final = np.dtype(
    [
        ("words", "u8", (10 * _WORDS,)),  # levels of the last book record compared, as they came
        ("time", "i8"),  # effective time of the last record
        ("watermark", "i8"),
        ("k", "i8"),  # the interval that is open
        ("end", "i8"),  # its end
        ("flow_start", "i8"),  # its first flow row
        ("comparable", "i1"),  # whether the next book can be compared with the one in force
        ("new_ticks", "i4", (10,)),  # scratch: a side of the next book
        ("new_size", "i4", (10,)),
        ("discarded", "i8"),  # lots whose event was cut off by a reset
        ("covered", "i8"),  # traded lots that the book lost; the rest was refilled or hidden
        ("unpriced", "i8"),  # trades without a price
        ("event", "i8"),  # ts_event of the waiting trades
        ("waiting", "i8"),
        ("waiting_side", "u1", (WAITING,)),
        ("waiting_ticks", "i4", (WAITING,)),
        ("waiting_lots", "i4", (WAITING,)),
        ("cluster_time", "i8"),
        ("cluster_side", "u1"),
        ("cluster_size", "i8"),
        ("cluster_low", "i4"),
        ("cluster_high", "i4"),
        ("cluster_counts", "i1"),  # whether the running cluster enters the percentile when it closes
        ("regular", "i1"),  # whether a print after 09:30 was seen
        ("clusters", "i8"),  # closed ones in the histogram
        ("p99", "i8"),
        ("under_p99", "i8"),  # closed clusters smaller than it
        ("histogram", "i4", (HISTOGRAM,)),
    ]
)


class GridParams(NamedTuple):
    """What the kernel needs to know. Times ns UTC, prices 1e-9 USD."""

    open: int
    interval: int
    count: int  # type: ignore[assignment]  # snaps after the open; hides tuple.count
    regular_start: int
    tick: int
    depth: int  # levels of the schema
    cluster_gap: int
    cluster_permille: int
    reference_clusters: int


class Book(NamedTuple):
    """Views of the book in force and of what is counted with it, made once a call: each costs as much as a comparison."""

    bid_ticks: np.ndarray
    ask_ticks: np.ndarray
    bid_size: np.ndarray
    ask_size: np.ndarray
    ofi: np.ndarray
    words: np.ndarray


class GridState(NamedTuple):
    """`now`: the open interval's snap so far (SNAPS, one row); `hidden`: the rest. Mutated in place."""

    now: np.ndarray
    hidden: np.ndarray


def new_grid(params: GridParams) -> GridState:
    """The state before the first record."""
    now, hidden = np.zeros(1, SNAPS.dtype), np.zeros(1, _HIDDEN)
    now["bid_ticks"], now["ask_ticks"] = NO_BID, NO_ASK
    now["mid2"] = now["last"] = now["high"] = now["low"] = UNKNOWN
    hidden["time"] = hidden["watermark"] = hidden["event"] = hidden["cluster_time"] = -(2**62)
    hidden["end"] = params.open
    return GridState(now, hidden)


@inlined
def _row(flow: np.ndarray, start: int, now: np.ndarray, k: int, side: int, ticks: int) -> int:
    """Number of the open interval's flow row of (side, ticks), begun if there is none."""
    for row in range(now[0]["flow_rows"] - 1, start - 1, -1):
        if flow[row]["ticks"] == ticks and flow[row]["side"] == side:
            return row
    row = now[0]["flow_rows"]
    flow[row]["k"], flow[row]["side"], flow[row]["ticks"] = k, side, ticks
    flow[row]["added"] = flow[row]["pulled"] = flow[row]["filled"] = flow[row]["bought"] = flow[row]["sold"] = 0
    now[0]["flow_rows"] = row + 1
    return row


@inlined
def _change(flow: np.ndarray, row: int, change: int, traded: int) -> None:
    """Attribute the change of size at a price: what was not traded was added or pulled."""
    rest = change + traded
    flow[row]["filled"] += traded
    if rest > 0:
        flow[row]["added"] += rest
    else:
        flow[row]["pulled"] -= rest


@kernel
def _size_at(ticks: np.ndarray, size: np.ndarray, price: int) -> int:
    """Size at a price of one side's listed levels, 0 if it is not listed."""
    for level in range(ticks.size):
        if ticks[level] == price:
            return size[level]
    return 0


@kernel
def _visible(ticks: np.ndarray, shown: int, depth: int, sign: int, price: int) -> bool:
    """Whether a side shows a price. `sign`: +1 bids, -1 asks (a higher sign x price is better)."""
    return shown == EVERYTHING or (shown == LISTED and sign * price >= sign * ticks[depth - 1])


@kernel
def _settle(now: np.ndarray, hidden: np.ndarray, flow: np.ndarray) -> None:
    """Waiting trades whose book change did not come: the size is what it was, so all of it was refilled."""
    state = hidden[0]
    for i in range(state["waiting"]):
        lots = state["waiting_lots"][i]
        row = _row(flow, state["flow_start"], now, state["k"], state["waiting_side"][i], state["waiting_ticks"][i])
        _change(flow, row, 0, lots)
    state["waiting"] = 0


@kernel
def _settle_side(
    now: np.ndarray, hidden: np.ndarray, flow: np.ndarray, side: int, sign: int, depth: int,
    old_ticks: np.ndarray, old_size: np.ndarray, new_ticks: np.ndarray, new_size: np.ndarray, new_shown: int,
) -> None:  # fmt: skip
    """Waiting trades of one side against the book that followed them."""
    state = hidden[0]
    for i in range(state["waiting"]):
        if state["waiting_side"][i] == side:
            price, lots, change = state["waiting_ticks"][i], state["waiting_lots"][i], 0
            if _visible(new_ticks, new_shown, depth, sign, price):
                change = _size_at(new_ticks, new_size, price) - _size_at(old_ticks, old_size, price)
            state["covered"] += min(max(-change, 0), lots)
            row = _row(flow, state["flow_start"], now, state["k"], side, price)
            _change(flow, row, change, lots)


@kernel
def _is_waiting(state: np.ndarray, side: int, price: int) -> bool:
    found = False
    for i in range(state[0]["waiting"]):
        found |= state[0]["waiting_ticks"][i] == price and state[0]["waiting_side"][i] == side
    return found


@kernel
def _compare(
    now: np.ndarray, hidden: np.ndarray, flow: np.ndarray, side: int, sign: int, depth: int,
    old_ticks: np.ndarray, old_size: np.ndarray, old_shown: int, new_ticks: np.ndarray, new_size: np.ndarray, new_shown: int,
) -> None:  # fmt: skip
    """Flow of one side between two books: every price in both visible ranges whose size changed. Levels are sorted, best first."""
    bound = -(2**40)
    if old_shown == LISTED:
        bound = sign * old_ticks[depth - 1]
    if new_shown == LISTED:
        bound = max(bound, sign * new_ticks[depth - 1])
    old = new = 0
    while True:
        at_old = sign * old_ticks[old] if old < depth else ABSENT
        at_new = sign * new_ticks[new] if new < depth else ABSENT
        at = max(at_old, at_new)
        if at < bound or at <= ABSENT:
            return
        before = after = 0
        if at_old == at:
            before = old_size[old]
            old += 1
        if at_new == at:
            after = new_size[new]
            new += 1
        if before != after and not (hidden[0]["waiting"] and _is_waiting(hidden, side, sign * at)):
            row = _row(flow, hidden[0]["flow_start"], now, hidden[0]["k"], side, sign * at)
            _change(flow, row, after - before, 0)


@kernel
def _read_side(
    prices: np.ndarray, sizes: np.ndarray, depth: int, tick: int, absent: int, ticks: np.ndarray, size: np.ndarray
) -> int:
    """Levels of one side as ticks and sizes; what is visible of it. A level that is not listed ends the side."""
    listed = 0
    while listed < depth and prices[listed] != UNDEF_PRICE:
        if abs(prices[listed] // tick) > FARTHEST:
            raise ValueError("a price of the book lies beyond 2**30 ticks")
        ticks[listed], size[listed] = prices[listed] // tick, sizes[listed]
        listed += 1
    for level in range(listed, ticks.size):
        ticks[level], size[level] = absent, 0
    return LISTED if listed == depth else EVERYTHING


@kernel
def _imbalance(
    ofi: np.ndarray, sign: int, old_ticks: np.ndarray, old_size: np.ndarray, ticks: np.ndarray, size: np.ndarray
) -> None:
    """Order-flow imbalance of one side at each depth (Cont, Kukanov, Stoikov 2014), added to `ofi`."""
    for level in range(ofi.size):
        was, now = sign * old_ticks[level], sign * ticks[level]
        if now >= was:
            ofi[level] += sign * size[level]
        if now <= was:
            ofi[level] -= sign * old_size[level]


@kernel
def _next_side(
    now: np.ndarray, hidden: np.ndarray, flow: np.ndarray, side: int, sign: int, depth: int, absent: int, tick: int,
    ticks: np.ndarray, size: np.ndarray, shown: int, prices: np.ndarray, sizes: np.ndarray, compared: bool,
) -> int:  # fmt: skip
    """Put one side of a new book in force (ticks, size), with its flow if it is compared; what of it is visible."""
    new_ticks, new_size = hidden[0]["new_ticks"], hidden[0]["new_size"]
    new_shown = _read_side(prices, sizes, depth, tick, absent, new_ticks, new_size)
    if compared:
        _compare(now, hidden, flow, side, sign, depth, ticks, size, shown, new_ticks, new_size, new_shown)
        if hidden[0]["waiting"]:
            _settle_side(now, hidden, flow, side, sign, depth, ticks, size, new_ticks, new_size, new_shown)
        _imbalance(now[0]["ofi"], sign, ticks, size, new_ticks, new_size)
    for level in range(ticks.size):
        ticks[level], size[level] = new_ticks[level], new_size[level]
    return new_shown


@inlined
def _sizes(
    now: np.ndarray, hidden: np.ndarray, flow: np.ndarray, side: int, sign: int, depth: int,
    ticks: np.ndarray, size: np.ndarray, ofi: np.ndarray, words: np.ndarray, number: int, shift: int,
) -> None:  # fmt: skip
    """The same for a side whose prices did not move and at which no trade waits. Sizes: 32 bits of a word, from bit `shift` on."""
    for level in range(depth):
        after = signed((words[number, _FIRST + _WORDS * level + 2] >> np.uint64(shift)) & _LOW)
        change = after - size[level]
        if change != 0 and sign * ticks[level] > ABSENT:
            row = _row(flow, hidden[0]["flow_start"], now, hidden[0]["k"], side, ticks[level])
            _change(flow, row, change, 0)
            ofi[level] += sign * change
            size[level] = after


@inlined
def _changes(words: np.ndarray, number: int, before: np.ndarray) -> tuple[np.uint64, np.uint64, np.uint64]:
    """Bits in which the bid prices, ask prices and sizes of record `number` differ from `before`."""
    bid = ask = sizes = np.uint64(0)
    for level in range(10):
        at = _WORDS * level
        bid |= words[number, _FIRST + at] ^ before[at]
        ask |= words[number, _FIRST + at + 1] ^ before[at + 1]
        sizes |= words[number, _FIRST + at + 2] ^ before[at + 2]
    return bid, ask, sizes


@inlined
def _set_book(
    records: np.ndarray, words: np.ndarray, number: int, reset: bool, now: np.ndarray, hidden: np.ndarray, flow: np.ndarray,
    book: Book, params: GridParams,
) -> None:  # fmt: skip
    """Book record `number`: compare it with the book in force, then put it in force."""
    snap, state, depth = now[0], hidden[0], params.depth
    compared = not reset and state["comparable"] == 1
    bid_px, ask_px, sizes = _changes(words, number, book.words)
    forced = not compared or state["waiting"] > 0
    if forced or bid_px != 0:
        levels = records[number]["levels"]
        snap["bid_shown"] = _next_side(
            now, hidden, flow, BID, 1, depth, NO_BID, params.tick, book.bid_ticks, book.bid_size, snap["bid_shown"],
            levels["bid_px"], levels["bid_sz"], compared,
        )  # fmt: skip
    elif sizes & _LOW != 0:
        _sizes(now, hidden, flow, BID, 1, depth, book.bid_ticks, book.bid_size, book.ofi, words, number, 0)
    if forced or ask_px != 0:
        levels = records[number]["levels"]
        snap["ask_shown"] = _next_side(
            now, hidden, flow, ASK, -1, depth, NO_ASK, params.tick, book.ask_ticks, book.ask_size, snap["ask_shown"],
            levels["ask_px"], levels["ask_sz"], compared,
        )  # fmt: skip
    elif sizes >> np.uint64(32) != 0:
        _sizes(now, hidden, flow, ASK, -1, depth, book.ask_ticks, book.ask_size, book.ofi, words, number, 32)
    if bid_px | ask_px | sizes != 0:
        for word in range(10 * _WORDS):
            book.words[word] = words[number, _FIRST + word]
    state["waiting"], state["comparable"] = 0, 1
    best_bid, best_ask = book.bid_ticks[0], book.ask_ticks[0]
    two_sided = best_bid != NO_BID and best_ask != NO_ASK
    crossed = two_sided and best_bid >= best_ask
    snap["mid2"] = best_bid + best_ask if two_sided else UNKNOWN
    snap["crossed"] += crossed
    snap["book_ok"] = two_sided and not crossed and not records[number]["flags"] & MAYBE_BAD


@kernel
def _discard(now: np.ndarray, hidden: np.ndarray) -> None:
    """A reset cuts off the event of the trades that wait."""
    state = hidden[0]
    for i in range(state["waiting"]):
        state["discarded"] += state["waiting_lots"][i]
    state["waiting"] = 0
    now[0]["resets"] += 1


@kernel
def _unset(now: np.ndarray, hidden: np.ndarray) -> None:
    """R: the book is unknown."""
    snap, state = now[0], hidden[0]
    snap["bid_ticks"][:], snap["ask_ticks"][:], snap["bid_size"][:], snap["ask_size"][:] = NO_BID, NO_ASK, 0, 0
    snap["bid_shown"] = snap["ask_shown"] = NOTHING
    snap["mid2"], snap["book_ok"] = UNKNOWN, 0
    state["comparable"] = 0


@kernel
def _close_cluster(hidden: np.ndarray, permille: int) -> None:
    """Enter the running cluster's size into the histogram and move the percentile to its nearest rank."""
    state = hidden[0]
    histogram, size = state["histogram"], min(max(state["cluster_size"], 0), HISTOGRAM - 1)
    histogram[size] += 1
    state["clusters"] += 1
    rank = (permille * state["clusters"] + 999) // 1000
    p99, under = state["p99"], state["under_p99"] + (size < state["p99"])
    while under + histogram[p99] < rank:
        under += histogram[p99]
        p99 += 1
    while under >= rank:
        p99 -= 1
        under -= histogram[p99]
    state["p99"], state["under_p99"] = p99, under


@kernel
def _cluster(prints: np.ndarray, number: int, hidden: np.ndarray, params: GridParams) -> None:
    """Cluster columns of a print."""
    state, print_ = hidden[0], prints[number]
    cluster = prints[number - 1]["cluster"] if number else -1
    if not state["regular"] and print_["ts"] > params.regular_start:
        state["regular"], state["cluster_counts"] = 1, 0
        state["clusters"] = state["p99"] = state["under_p99"] = 0
        state["histogram"][:] = 0
    if print_["side"] == state["cluster_side"] and print_["ts"] - state["cluster_time"] <= params.cluster_gap:
        state["cluster_size"] += print_["size"]
        state["cluster_low"] = min(state["cluster_low"], print_["ticks"])
        state["cluster_high"] = max(state["cluster_high"], print_["ticks"])
    else:
        if state["cluster_counts"] and (state["cluster_side"] == BUYER or state["cluster_side"] == SELLER):
            _close_cluster(hidden, params.cluster_permille)
        cluster += 1
        state["cluster_side"], state["cluster_size"], state["cluster_counts"] = print_["side"], print_["size"], 1
        state["cluster_low"] = state["cluster_high"] = print_["ticks"]
    state["cluster_time"] = print_["ts"]
    print_["cluster"], print_["cluster_size"] = cluster, state["cluster_size"]
    print_["cluster_span"] = state["cluster_high"] - state["cluster_low"]
    print_["cluster_p99"] = state["p99"] if state["clusters"] >= params.reference_clusters else -1


@kernel
def _trade(
    price: int, lots: int, side: int, now: np.ndarray, hidden: np.ndarray, prints: np.ndarray, flow: np.ndarray, params: GridParams
) -> None:  # fmt: skip
    """A trade record: a print, lots at its price, and lots that wait for the book change of their event."""
    snap, state = now[0], hidden[0]
    if price == UNDEF_PRICE:
        state["unpriced"] += 1
        return
    number, ticks = snap["prints"], price // params.tick
    if abs(ticks) > FARTHEST:
        raise ValueError("a trade's price lies beyond 2**30 ticks")
    row = prints[number]
    row["ts"], row["k"], row["ticks"], row["size"], row["side"] = state["time"], state["k"], ticks, lots, side
    _cluster(prints, number, hidden, params)
    snap["prints"] = number + 1
    snap["volume"] += lots
    snap["last"] = ticks
    snap["high"] = ticks if snap["high"] == UNKNOWN else max(snap["high"], ticks)
    snap["low"] = ticks if snap["low"] == UNKNOWN else min(snap["low"], ticks)
    if side == BUYER:
        snap["buy_volume"] += lots
        snap["buy_prints"] += 1
        at = _row(flow, state["flow_start"], now, state["k"], ASK, ticks)
        flow[at]["bought"] += lots
        if _visible(snap["ask_ticks"], snap["ask_shown"], params.depth, -1, ticks):
            _wait(now, hidden, flow, ASK, ticks, lots)
    elif side == SELLER:
        snap["sell_volume"] += lots
        snap["sell_prints"] += 1
        at = _row(flow, state["flow_start"], now, state["k"], BID, ticks)
        flow[at]["sold"] += lots
        if _visible(snap["bid_ticks"], snap["bid_shown"], params.depth, 1, ticks):
            _wait(now, hidden, flow, BID, ticks, lots)


@kernel
def _wait(now: np.ndarray, hidden: np.ndarray, flow: np.ndarray, side: int, ticks: int, lots: int) -> None:
    """Let lots wait for the book change of their event; where there is no room, they settle with the size unchanged."""
    state = hidden[0]
    for i in range(state["waiting"]):
        if state["waiting_ticks"][i] == ticks and state["waiting_side"][i] == side:
            state["waiting_lots"][i] += lots
            return
    if state["waiting"] == WAITING:
        _change(flow, _row(flow, state["flow_start"], now, state["k"], side, ticks), 0, lots)
        return
    i = state["waiting"]
    state["waiting_side"][i], state["waiting_ticks"][i], state["waiting_lots"][i] = side, ticks, lots
    state["waiting"] = i + 1


@kernel
def _sort(flow: np.ndarray, start: int, stop: int) -> None:
    """Sort the flow rows of one interval by (side, ticks) in place; they are few."""
    for i in range(start + 1, stop):
        j = i
        while j > start and (
            flow[j]["side"] < flow[j - 1]["side"]
            or (flow[j]["side"] == flow[j - 1]["side"] and flow[j]["ticks"] < flow[j - 1]["ticks"])
        ):
            _swap(flow, j, j - 1)
            j -= 1


@kernel
def _swap(flow: np.ndarray, i: int, j: int) -> None:
    """Exchange two flow rows of one interval."""
    a, b = flow[i], flow[j]
    a["side"], b["side"] = b["side"], a["side"]
    a["ticks"], b["ticks"] = b["ticks"], a["ticks"]
    a["added"], b["added"] = b["added"], a["added"]
    a["pulled"], b["pulled"] = b["pulled"], a["pulled"]
    a["filled"], b["filled"] = b["filled"], a["filled"]
    a["bought"], b["bought"] = b["bought"], a["bought"]
    a["sold"], b["sold"] = b["sold"], a["sold"]


@kernel
def _close(until: int, now: np.ndarray, hidden: np.ndarray, snaps: np.ndarray, flow: np.ndarray, params: GridParams) -> None:
    """Close the open interval and all before `until`, which becomes the open one."""
    snap, state = now[0], hidden[0]
    if state["waiting"]:
        _settle(now, hidden, flow)
    _sort(flow, state["flow_start"], snap["flow_rows"])
    for k in range(state["k"], until):
        snap["k"], snap["ts"] = k, params.open + k * params.interval
        snap["gap_ns"] = snap["ts"] - state["time"] if snap["records"] else -1
        snaps[k] = snap
        snap["high"] = snap["low"] = UNKNOWN
    state["k"], state["end"], state["flow_start"] = until, params.open + until * params.interval, snap["flow_rows"]


@kernel
def advance_grid(
    records: np.ndarray, words: np.ndarray, start: int, now: np.ndarray, hidden: np.ndarray,
    snaps: np.ndarray, prints: np.ndarray, flow: np.ndarray, params: GridParams,
) -> int:  # fmt: skip
    """Take records from `start` on, until done or until prints or flow have no room for one more; where it stopped.

    `records`: MBP10 rows; `words`: the same bytes as rows of 46 u8. Snaps, prints and flow are written behind what is there.
    Raises ValueError for a record after the last interval.
    """
    snap, state = now[0], hidden[0]
    book = Book(snap["bid_ticks"], snap["ask_ticks"], snap["bid_size"], snap["ask_size"], snap["ofi"], state["words"])
    for number in range(start, records.size):
        if snap["flow_rows"] + ROOM > flow.size or snap["prints"] == prints.size:
            return number
        ts, flags, action = signed(records[number]["ts_event"]), records[number]["flags"], records[number]["action"]
        time = max(ts, state["time"], state["watermark"] + 1)
        if time > state["end"]:
            k = (time - params.open + params.interval - 1) // params.interval
            if k > params.count:
                raise ValueError("a record lies after the last interval of its trading date")
            _close(k, now, hidden, snaps, flow, params)
        if time > ts and not flags & SNAPSHOT:
            snap["late"] += 1
        state["time"] = time
        snap["records"] += 1
        if state["waiting"] and ts != state["event"]:
            _settle(now, hidden, flow)
        if action == TRADE:
            state["event"] = ts
            price, lots, side = records[number]["price"], signed(records[number]["size"]), records[number]["side"]
            _trade(price, lots, side, now, hidden, prints, flow, params)
            continue
        reset = action == CLEAR or flags & (SNAPSHOT | MAYBE_BAD) != 0 or not state["comparable"]
        if reset:
            _discard(now, hidden)
        if action == CLEAR:
            _unset(now, hidden)
        elif reset or state["waiting"] == 0 or flags & LAST:
            _set_book(records, words, number, reset, now, hidden, flow, book, params)
    return records.size


@kernel
def close_grid(
    watermark: int, now: np.ndarray, hidden: np.ndarray, snaps: np.ndarray, flow: np.ndarray, params: GridParams
) -> None:
    """Everything up to `watermark` has come: close the intervals that end by then."""
    state = hidden[0]
    state["watermark"] = max(state["watermark"], watermark)
    until = min((watermark - params.open) // params.interval, params.count) + 1
    if until > state["k"]:
        _close(until, now, hidden, snaps, flow, params)
