"""Toy days: a few dozen snaps made by hand, as plain dict rows, for the naive twins and for the code that they check.

A day is a grid of snaps from an invented open on, with the prints, flow and 1-minute bars that belong to it and an invented
Session. What is stated is stated independently: the flow of a toy day need not explain its books. Counters, numbers and clusters
are consistent, so that the rows may be turned into the structured arrays of tables.py.
"""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from spymaster_assets.sessions import Session, Window

SECOND = 1_000_000_000
INTERVAL = 250_000_000
OPEN = 1_748_901_600 * SECOND  # 2 June 2025, 17:00 Chicago
TICK = 250_000_000
L = 24_000  # ticks of the level in most days: 6000.00
K0 = 20  # snap of the touch in most days
TEN = (10,) * 10
Row = dict[str, Any]


@dataclass
class ToyDay:
    """The plain rows of a day; `touches` are the touches to look at."""

    snaps: list[Row]
    prints: list[Row]
    flow: list[Row]
    bars1: list[Row]
    session: Session
    touches: list[Row] = field(default_factory=list)


def at(seconds):
    """ns UTC so many seconds after the open."""
    return OPEN + round(seconds * SECOND)


def toy_session(premarket=0.0, regular=0.0, signals=70_000.0, end=80_000.0):
    """A session by seconds after its open: where "04:00" and "09:30" lie, and the ends of signals and outcomes."""
    return Session(
        date=dt.date(2025, 6, 3),
        bronze=Window(at(-3600), at(82_800)),
        globex=Window(at(0), at(82_800)),
        premarket=Window(at(premarket), at(regular)),
        opening_range=Window(at(regular), at(regular + 900)),
        signals=Window(at(regular), at(min(signals, end))),
        regular=Window(at(regular), at(end + 900)),
        end=at(end),
        early_close=False,
    )


def ladder(bid, ask, bids=TEN, asks=TEN, bid_shown=None, ask_shown=None):
    """The book columns of a snap: successive ticks from the best, one size each; a best of None leaves the side empty.

    With ten listed levels the side is visible down to the last of them (1), with fewer everywhere (2); 0: nothing is visible.
    """
    book: Row = {}
    for name, top, sizes, step, shown in (("bid", bid, bids, -1, bid_shown), ("ask", ask, asks, 1, ask_shown)):
        sizes = () if top is None else sizes
        for i in range(10):
            book[f"{name}_ticks_{i:02}"] = top + step * i if i < len(sizes) else None
            book[f"{name}_size_{i:02}"] = sizes[i] if i < len(sizes) else 0
        book[f"{name}_shown"] = shown if shown is not None else 1 if len(sizes) == 10 else 2
    two_sided = bid is not None and ask is not None
    book["mid2"] = bid + ask if two_sided else None
    book["book_ok"] = int(two_sided and bid < ask)
    return book


def toy_prints(trades, cluster_p99=None):
    """Print rows from (k, ms into the snap, ticks, size, side); clusters by side and gaps of 100 ms."""
    rows: list[Row] = []
    for k, ms, ticks, size, side in trades:
        ts = OPEN + (k - 1) * INTERVAL + round(ms * 1_000_000)
        same = bool(rows) and rows[-1]["side"] == side and ts - rows[-1]["ts"] <= 100_000_000
        cluster = (rows[-1]["cluster"] + (not same)) if rows else 0
        members = [row for row in rows if row["cluster"] == cluster]
        path = [*(row["ticks"] for row in members), ticks]
        rows.append(
            {
                "ts": ts, "k": k, "ticks": ticks, "size": size, "side": side, "cluster": cluster,
                "cluster_size": sum(row["size"] for row in members) + size,
                "cluster_span": max(path) - min(path),
                "cluster_p99": cluster_p99,
            }
        )  # fmt: skip
    return rows


def toy_flow(flow):
    """Flow rows from {(k, side, ticks): (added, pulled, filled)}."""
    return [
        {
            "k": k, "side": side, "ticks": ticks, "added": added, "pulled": pulled, "filled": filled,
            "bought": filled if side == "A" else 0, "sold": filled if side == "B" else 0,
        }
        for (k, side, ticks), (added, pulled, filled) in sorted(flow.items())
    ]  # fmt: skip


def toy_snaps(count, books, prints, flow, quiet):
    """Snap rows 0 … count - 1. `books`: {k: ladder}, each until the next. A snap that is not in `quiet` ends with a record."""
    rows: list[Row] = []
    counters = dict.fromkeys(
        ("records", "prints", "buy_volume", "sell_volume", "volume", "buy_prints", "sell_prints", "flow_rows"), 0
    )
    book, last, record = books[0], None, OPEN
    for k in range(count):
        ts = OPEN + k * INTERVAL
        book = books.get(k, book)
        new = [row for row in prints if row["k"] == k]
        record = record if k in quiet else ts
        last = new[-1]["ticks"] if new else last
        counters["records"] += len(new) + (k not in quiet)
        counters["prints"] += len(new)
        counters["volume"] += sum(row["size"] for row in new)
        for name, side in (("buy", "B"), ("sell", "A")):
            counters[f"{name}_volume"] += sum(row["size"] for row in new if row["side"] == side)
            counters[f"{name}_prints"] += sum(row["side"] == side for row in new)
        counters["flow_rows"] += sum(row["k"] == k for row in flow)
        rows.append(
            {
                "k": k, "ts": ts, **book, "last": last,
                "high": max((row["ticks"] for row in new), default=None),
                "low": min((row["ticks"] for row in new), default=None),
                "gap_ns": ts - record, **counters, **{f"ofi_{i:02}": 0 for i in range(10)},
                "crossed": 0, "resets": 1, "late": 0,
            }
        )  # fmt: skip
    return rows


def toy_bars1(count, prints):
    """The 1-minute bars that are closed by the last snap."""
    rows: list[Row] = []
    close = None
    for k in range(240, count, 240):
        new = [row for row in prints if k - 240 < row["k"] <= k]
        path = [row["ticks"] for row in new] or [close]
        prices = {"open": path[0], "high": None, "low": None, "close": path[-1]}
        if path != [None]:
            prices |= {"high": max(path), "low": min(path)}
        close = path[-1]
        rows.append(
            {
                "minutes": 1, "k": k, "ts": OPEN + k * INTERVAL, **prices,
                "volume": sum(row["size"] for row in new), "prints": len(new),
            }
        )  # fmt: skip
    return rows


def toy_day(count, books, trades=(), flow=None, quiet=(), session=None, cluster_p99=None):
    """A day of `count` snaps; the arguments are those of the functions above."""
    prints, flows = toy_prints(trades, cluster_p99), toy_flow(flow or {})
    return ToyDay(toy_snaps(count, books, prints, flows, quiet), prints, flows, toy_bars1(count, prints), session or toy_session())


def toy_touch(day, direction="UP", k=K0, ticks=L, entry=None, m=TEN, thetas=(8, 8, 8), **other):
    """A touch row. `entry`: (low, high) of the entry snap; `m`: m_00 … m_09; `thetas` in ticks; `other` replaces columns."""
    low, high = entry or (ticks, ticks)
    t0 = OPEN + k * INTERVAL
    depth = None if None in m[:9] else float(max(1, sum(m[:9])))
    event = f"{day.session.date}_PM_HIGH_{ticks}_{t0}_{direction}"
    return {
        "touch": 0, "event_id": event, "episode_id": event, "episode": 0, "kind": "PM_HIGH", "direction": direction,
        "price": ticks * TICK, "ticks": ticks, "k": k, "t0": t0, "entry_ticks": ticks, "entry_high": high, "entry_low": low,
        "attempt_index": 1, "sigma": 0.1, "sigma_cold": 1,
        "theta_2min": thetas[0], "theta_4min": thetas[1], "theta_8min": thetas[2],
        **{f"m_{i:02}": None if size is None else float(size) for i, size in enumerate(m)},
        "depth": depth, "minute_volume": 200.0, "minute_prints": 60.0, "atr": 1.0, "print_spacing": 1.0,
        **other,
    }  # fmt: skip


# ---- the days ----

QUIET_BOOK = ladder(L - 1, L)  # best bid a tick before the level, best ask at it, ten lots everywhere


def barrier_day(flow, book=QUIET_BOOK, first_book=QUIET_BOOK, m=TEN, **touch):
    """41 snaps with a touch at snap 20: `first_book` until then, `book` after it; flow as {(k, side, ticks): (A, P, F)}."""
    day = toy_day(41, {0: first_book, K0 + 1: book}, flow=flow)
    day.touches.append(toy_touch(day, m=m, **touch))
    return day


RISING_M = (5, 10, 15, 20, 25, 30, 35, 40, 45, 50)  # D = 225

BARRIER_DAYS = {  # state: the arguments of barrier_day; what comes out at snap 30 stands in test_naive_physics.py
    "VACUUM": {"flow": {(25, "A", L + 1): (0, 30, 0), (27, "A", L + 3): (6, 20, 10)}},
    "WALL": {"flow": {(25, "A", L): (60, 20, 0), (27, "A", L + 8): (40, 0, 10)}},
    "CONSUMED": {"flow": {(26, "A", L): (20, 10, 30)}},
    "ABSORPTION": {"flow": {(26, "A", L): (45, 10, 30)}},
    "WEAK": {"flow": {(26, "A", L): (0, 10, 0)}, "book": ladder(L - 1, L, asks=(6,) * 10)},
    "NEUTRAL": {"flow": {(26, "A", L + 9): (0, 99, 0), (26, "B", L): (0, 99, 0)}},
    "PASSED": {"flow": {(26, "A", L): (0, 0, 60)}, "book": ladder(L + 8, L + 9)},
    "UNOBSERVED": {"flow": {(26, "A", L): (0, 60, 0)}, "book": ladder(L - 7, L - 6)},
}


def ramp_day():
    """The mid rises by half a tick a snap: half a point a second. No good book at snaps 31 … 36."""
    books = {k: ladder(L - 10 + k // 2, L - 9 + (k + 1) // 2) for k in range(41)}
    for k in range(31, 37):
        books[k] = books[k] | {"book_ok": 0}
    day = toy_day(41, books)
    day.touches.append(toy_touch(day))
    return day


def step_day():
    """The mid jumps by a point after snap 13."""
    day = toy_day(41, {0: QUIET_BOOK, 14: ladder(L + 3, L + 4)})
    day.touches.append(toy_touch(day))
    return day


def tape_day():
    """Four prints after the touch, three of them near the level; one more, near, before it."""
    trades = [
        (15, 100, L, 2, "A"),
        (24, 50, L + 1, 30, "B"),
        (25, 50, L - 1, 10, "A"),
        (26, 50, L + 3, 5, "B"),
        (27, 50, L, 4, "N"),
    ]
    day = toy_day(41, {0: QUIET_BOOK}, trades)
    day.touches += [toy_touch(day, entry=(L - 2, L + 1)), toy_touch(day, "DOWN", entry=(L - 2, L + 1), touch=1)]
    return day


def span_sweep_day():
    """A cluster of buyers through three prices within 90 ms, then one beyond the reach of the level."""
    trades = [
        (25, 10, L, 5, "B"),
        (25, 50, L + 1, 7, "B"),
        (25, 100, L + 2, 3, "B"),
        (29, 10, L + 9, 5, "A"),
        (29, 20, L + 10, 5, "A"),
    ]
    day = toy_day(41, {0: QUIET_BOOK}, trades)
    day.touches += [toy_touch(day, thetas=(20, 20, 20)), toy_touch(day, "DOWN", thetas=(20, 20, 20), touch=1)]
    return day


def size_sweep_day(cluster_p99=40):
    """A cluster of sellers at one price that grows to 41 lots, then to 43; a large cluster of unknown side follows."""
    trades = [(25, 10, L, 30, "A"), (25, 50, L, 11, "A"), (25, 100, L, 2, "A"), (28, 10, L, 99, "N")]
    day = toy_day(41, {0: QUIET_BOOK}, trades, cluster_p99=cluster_p99)
    day.touches.append(toy_touch(day))
    return day


def trigger_day():
    """60 lots are pulled at 0.5 s, 100 added at 15 s; at 22.5 s the price leaves the band."""
    flow = {(K0 + 2, "A", L): (0, 60, 0), (K0 + 60, "A", L): (100, 0, 0)}
    day = toy_day(K0 + 101, {0: QUIET_BOOK, K0 + 90: ladder(L - 2, L - 1)}, flow=flow)
    day.touches.append(toy_touch(day))
    return day


def hold_day():
    """60 lots are pulled at 0.5 s; from 12.5 to 18.75 s nothing of the asks is visible."""
    books = {0: QUIET_BOOK, K0 + 50: ladder(L - 1, L, ask_shown=0), K0 + 76: QUIET_BOOK}
    day = toy_day(K0 + 101, books, flow={(K0 + 2, "A", L): (0, 60, 0)})
    day.touches.append(toy_touch(day))
    return day


def label_day(trades=None, quiet=(), end=725.0):
    """Prints at 10 s (+3 ticks), 20 s (+8), 25 s (-8), 130 s (+10) and 300 s (-12) after the touch; horizons need 2, 2.5, 3 points.

    The session ends 8 minutes after the last landmark, with the last snap.
    """
    if trades is None:
        trades = ((10, 3), (20, 8), (25, -8), (130, 10), (300, -12))
    rows = [(K0 + 4 * seconds, 250, L + ticks, 1, "B" if ticks > 0 else "A") for seconds, ticks in trades]
    day = toy_day(K0 + 2881, {0: QUIET_BOOK}, rows, quiet=quiet, session=toy_session(end=end))
    day.touches += [toy_touch(day, thetas=(8, 10, 12)), toy_touch(day, "DOWN", thetas=(8, 10, 12), touch=1)]
    return day


def halt_day(quiet_snaps):
    """No record for so many snaps from the 20th second after the touch on, then a break at 110 s."""
    return label_day(trades=((110, 8),), quiet=range(K0 + 80, K0 + 80 + quiet_snaps))


def summary_day():
    """Ten minutes from "04:00" on, "09:30" after five of them, signals to 9 minutes; the book rises a tick at 302.5 s."""
    sizes = {"bids": range(20, 30), "asks": range(10, 20)}
    books = {0: ladder(L - 1, L, **sizes), 1210: ladder(L, L + 1, **sizes)}
    trades = [(5, 1, L, 3, "B"), (13, 1, L + 2, 5, "B"), (253, 1, L + 1, 4, "A"), (493, 1, L + 1, 10, "N")]
    flow = {
        (1160, "A", L + 2): (0, 1000, 0),  # 290 s: before 09:30
        (1320, "A", L + 2): (0, 30, 60),  # 330 s
        (1800, "B", L): (0, 40, 20),  # 450 s
        (2000, "A", L + 3): (0, 90, 0),  # 500 s
    }
    return toy_day(2401, books, trades, flow, session=toy_session(regular=300, signals=540))


def all_days():
    """(name, day) of every day that has touches."""
    for state, facts in BARRIER_DAYS.items():
        yield state, barrier_day(**facts)
    for build in (ramp_day, step_day, tape_day, span_sweep_day, size_sweep_day, trigger_day, hold_day, label_day):
        yield build.__name__, build()
    yield "halt_day", halt_day(300)
