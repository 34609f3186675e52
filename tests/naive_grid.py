"""Slow, obvious twins of the grid: snaps, prints, flow, bars and option flow, written from docs/physics.md, sections 1 and 2.

A table is a list of dicts with the column names of tables.py; None is null, a code is its letter. Inside, a side of the book is
"A" (asks) or "B" (bids), prices are ticks.
"""

UNDEFINED_PRICE = 2**63 - 1
LAST, SNAPSHOT, MAYBE_BAD = 128, 32, 4
LEVELS = 10  # that a snap has
CLUSTER_CAP = 4095
INTERVAL_NS = 250_000_000
MINUTE_NS = 60_000_000_000
RESTING = {"B": "A", "A": "B"}  # aggressor -> side of the book that it trades against
AMOUNTS = ("added", "pulled", "filled", "bought", "sold")


def snap_of(time, open_ns, interval):
    """The number of the interval (open + (k - 1) intervals, open + k intervals] that holds a time; 0 up to the open."""
    return max(0, -((open_ns - time) // interval))


def plain_side(record, price, size, tick, depth):
    """The levels of one side as (ticks, lots); None where a level is not listed."""
    side = []
    for level in record["levels"][:depth]:
        listed = int(level[price]) != UNDEFINED_PRICE
        side.append((int(level[price]) // tick, int(level[size])) if listed else None)
    return side


def plain_records(records, open_ns, config, depth):
    """The records as dicts of plain values, with their effective time and interval."""
    tick, rows, effective = config.instrument.tick, [], None
    for record in records:
        event = int(record["ts_event"])
        effective = event if effective is None else max(effective, event)
        price = int(record["price"])
        rows.append(
            {
                "ts_event": event,
                "effective": effective,
                "k": snap_of(effective, open_ns, config.grid.interval_ns),
                "action": chr(record["action"]),
                "side": chr(record["side"]),
                "flags": int(record["flags"]),
                "ticks": None if price == UNDEFINED_PRICE else price // tick,
                "size": int(record["size"]),
                "B": plain_side(record, "bid_px", "bid_sz", tick, depth),
                "A": plain_side(record, "ask_px", "ask_sz", tick, depth),
            }
        )
    return rows


def unknown_book(depth):
    """A book of which nothing is known and nothing is visible."""
    return {"B": [None] * depth, "A": [None] * depth, "known": False, "flagged": True}


def book_of(row):
    """The book that a book record sets."""
    if row["action"] == "R":
        return unknown_book(len(row["A"]))
    return {"B": row["B"], "A": row["A"], "known": True, "flagged": bool(row["flags"] & MAYBE_BAD)}


def best(book, side):
    """The best price of a side, None if it is not listed."""
    return book[side][0][0] if book[side][0] else None


def sizes(book, side):
    """Price -> lots of the listed levels."""
    return dict(level for level in book[side] if level)


def shown(book, side):
    """0: nothing of the side is visible, 1: down to the worst listed level, 2: everything."""
    if not book["known"]:
        return 0
    return 1 if all(book[side]) else 2


def visible(book, side, ticks):
    """Whether the book tells how many lots rest at a price."""
    if shown(book, side) != 1:
        return shown(book, side) == 2
    return ticks >= min(sizes(book, side)) if side == "B" else ticks <= max(sizes(book, side))


def crossed(book):
    """Whether both sides are listed and the best bid is at or above the best ask."""
    bid, ask = best(book, "B"), best(book, "A")
    return bid is not None and ask is not None and bid >= ask


def book_ok(book):
    """Whether the book is two-sided, neither crossed nor locked, and its record neither R nor flagged."""
    two_sided = best(book, "B") is not None and best(book, "A") is not None
    return two_sided and not crossed(book) and not book["flagged"]


def imbalance(old, new, depth):
    """Order-flow imbalance at one depth between two books; an unlisted bid is at -infinity, an unlisted ask at +infinity."""
    far = float("inf")
    bid, bid_lots = new["B"][depth] or (-far, 0)
    bid_old, bid_lots_old = old["B"][depth] or (-far, 0)
    ask, ask_lots = new["A"][depth] or (far, 0)
    ask_old, ask_lots_old = old["A"][depth] or (far, 0)
    total = 0
    if bid >= bid_old:
        total += bid_lots
    if bid <= bid_old:
        total -= bid_lots_old
    if ask <= ask_old:
        total -= ask_lots
    if ask >= ask_old:
        total += ask_lots_old
    return total


class Grid:
    """The state while records come in: the book in force, the waiting lots, the flow so far, counters."""

    def __init__(self, depth):
        self.depth = depth
        self.book = unknown_book(depth)
        self.k = 0
        self.waiting = {}  # (side, ticks) -> lots
        self.waiting_event = None  # their ts_event
        self.flow = {}  # (side, ticks) -> amounts, of the interval
        self.path = []  # prices of the interval's prints
        self.flow_rows = []  # of the intervals that have ended
        self.discarded = 0
        self.ofi = [0] * LEVELS
        self.count = dict.fromkeys(
            ("records", "buy_volume", "sell_volume", "volume", "buy_prints", "sell_prints", "crossed", "resets", "late"), 0
        )
        self.prints = []
        self.latest = None  # effective time of the last record

    def add(self, side, ticks, **amounts):
        """Adds amounts to the flow row of the interval, a side and a price."""
        row = self.flow.setdefault((side, ticks), dict.fromkeys(AMOUNTS, 0))
        for name, lots in amounts.items():
            row[name] += lots

    def settle_unchanged(self):
        """Settles the waiting lots as if each price held as much after as before."""
        for (side, ticks), lots in self.waiting.items():
            self.add(side, ticks, filled=lots, added=lots)
        self.waiting = {}

    def compare_side(self, old, new, side):
        """Writes what happened between two books at every price that both show; settles the side's waiting lots."""
        before, after = sizes(old, side), sizes(new, side)
        traded = {ticks: lots for (where, ticks), lots in self.waiting.items() if where == side}
        for ticks in sorted(set(before) | set(after) | set(traded)):
            lots = traded.get(ticks, 0)
            if visible(old, side, ticks) and visible(new, side, ticks):
                rest = after.get(ticks, 0) - before.get(ticks, 0) + lots
                self.add(side, ticks, filled=lots, added=max(rest, 0), pulled=max(-rest, 0))
            elif lots:
                self.add(side, ticks, filled=lots, added=lots)

    def compare(self, new):
        """Compares the book in force with the next one, on both sides."""
        for side in ("A", "B"):
            self.compare_side(self.book, new, side)
        self.waiting = {}
        for depth in range(self.depth):
            self.ofi[depth] += imbalance(self.book, new, depth)

    def take_trade(self, row):
        """A trade: one print; its lots count at once, and wait if the resting side's price is visible."""
        if row["ticks"] is None:
            return
        aggressor, lots = row["side"], row["size"]
        self.prints.append({"ts": row["effective"], "k": row["k"], "ticks": row["ticks"], "size": lots, "side": aggressor})
        self.path.append(row["ticks"])
        self.count["volume"] += lots
        if aggressor not in RESTING:
            return
        bought = aggressor == "B"
        self.count["buy_volume" if bought else "sell_volume"] += lots
        self.count["buy_prints" if bought else "sell_prints"] += 1
        side = RESTING[aggressor]
        self.add(side, row["ticks"], **{"bought" if bought else "sold": lots})
        if visible(self.book, side, row["ticks"]):
            self.waiting[side, row["ticks"]] = self.waiting.get((side, row["ticks"]), 0) + lots
            self.waiting_event = row["ts_event"]

    def take_book(self, row):
        """A book record: a reset, passed over, or compared with the book in force."""
        reset = row["action"] == "R" or row["flags"] & (SNAPSHOT | MAYBE_BAD) or not self.book["known"]
        if not reset and self.waiting and not row["flags"] & LAST:
            return
        new = book_of(row)
        self.count["crossed"] += crossed(new)
        if reset:
            self.count["resets"] += 1
            self.discarded += sum(self.waiting.values())
            self.waiting = {}
        else:
            self.compare(new)
        self.book = new

    def take(self, row):
        """Any record. The waiting lots of another event settle first."""
        self.count["records"] += 1
        self.count["late"] += row["effective"] > row["ts_event"] and not row["flags"] & SNAPSHOT
        self.latest = row["effective"]
        if self.waiting and row["ts_event"] != self.waiting_event:
            self.settle_unchanged()
        if row["action"] == "T":
            self.take_trade(row)
        else:
            self.take_book(row)

    def end_interval(self, open_ns, interval):
        """Settles what waits, closes the interval's flow rows, and gives the interval's snap."""
        self.settle_unchanged()
        for (side, ticks), amounts in sorted(self.flow.items()):
            if any(amounts.values()):
                self.flow_rows.append({"k": self.k, "side": side, "ticks": ticks, **amounts})
        row = self.snap(open_ns + self.k * interval)
        self.flow, self.path, self.k = {}, [], self.k + 1
        return row

    def snap(self, end):
        """The book and the counters at the end of the interval."""
        bid, ask = best(self.book, "B"), best(self.book, "A")
        row = {"k": self.k, "ts": end}
        for name, place, unlisted in (("ticks", 0, None), ("size", 1, 0)):
            for word, side in (("bid", "B"), ("ask", "A")):
                for i in range(LEVELS):
                    level = self.book[side][i] if i < self.depth else None
                    row[f"{word}_{name}_{i:02}"] = level[place] if level else unlisted
        row["bid_shown"], row["ask_shown"] = shown(self.book, "B"), shown(self.book, "A")
        row["mid2"] = None if bid is None or ask is None else bid + ask
        row["book_ok"] = int(book_ok(self.book))
        row["last"] = self.prints[-1]["ticks"] if self.prints else None
        row["high"], row["low"] = max(self.path, default=None), min(self.path, default=None)
        row["gap_ns"] = None if self.latest is None else end - self.latest
        row.update(self.count)
        row["prints"] = len(self.prints)
        row.update({f"ofi_{i:02}": self.ofi[i] for i in range(LEVELS)})
        row["flow_rows"] = len(self.flow_rows)
        return row


def nearest_rank_99(values):
    """The 99th percentile of a list: its value of rank ceil(.99 n), counted from 1."""
    rank = -(-99 * len(values) // 100)
    return sorted(values)[rank - 1]


def add_clusters(prints, config, regular_start):
    """Adds the cluster columns to the prints. A cluster enters the list of closed ones with the print that begins the next."""
    closed = []  # final sizes
    members = []  # prints of the current cluster
    number = -1
    emptied = False
    for row in prints:
        after_open = row["ts"] > regular_start
        if after_open and not emptied:
            closed, emptied = [], True
        last = members[-1] if members else None
        goes_on = last and last["side"] == row["side"] and row["ts"] - last["ts"] <= config.grid.cluster_gap_ns
        if not goes_on:
            of_before = after_open and members and members[0]["ts"] <= regular_start
            if members and members[0]["side"] in RESTING and not of_before:
                closed.append(min(sum(p["size"] for p in members), CLUSTER_CAP))
            members = []
            number += 1
        members.append(row)
        row["cluster"] = number
        row["cluster_size"] = sum(p["size"] for p in members)
        row["cluster_span"] = max(p["ticks"] for p in members) - min(p["ticks"] for p in members)
        known = len(closed) >= config.grid.reference_clusters
        row["cluster_p99"] = nearest_rank_99(closed) if known else None


def naive_grid(records, open_ns, count, config, regular_start, depth=LEVELS):
    """(snaps 0 .. count, prints, flow rows, facts) of MBP-10 records in arrival order; later intervals are not read."""
    by_interval = {}
    for row in plain_records(records, open_ns, config, depth):
        by_interval.setdefault(row["k"], []).append(row)
    grid, snaps = Grid(depth), []
    for k in range(count + 1):
        for row in by_interval.get(k, []):
            grid.take(row)
        snaps.append(grid.end_interval(open_ns, config.grid.interval_ns))
    add_clusters(grid.prints, config, regular_start)
    return snaps, grid.prints, grid.flow_rows, {"discarded": grid.discarded}


def naive_bars(prints, open_ns, count, minutes):
    """All whole bars of so many minutes up to snap `count`."""
    length = minutes * MINUTE_NS
    by_bar = {}  # number from 1 -> prints; 0: up to the open
    for row in prints:
        by_bar.setdefault(snap_of(row["ts"], open_ns, length), []).append(row)
    close = by_bar[0][-1]["ticks"] if 0 in by_bar else None
    bars = []
    for number in range(1, count * INTERVAL_NS // length + 1):
        mine = by_bar.get(number, [])
        path = [p["ticks"] for p in mine] or [close]
        close = path[-1]
        bars.append(
            {
                "minutes": minutes,
                "k": number * length // INTERVAL_NS,
                "ts": open_ns + number * length,
                "open": path[0],
                "high": None if close is None else max(path),
                "low": None if close is None else min(path),
                "close": close,
                "volume": sum(p["size"] for p in mine),
                "prints": len(mine),
            }
        )
    return bars


def timed(rows, open_ns):
    """(k, row) of the rows of one schema, by the largest ts_event so far."""
    found, effective = [], None
    for row in rows:
        effective = row["ts_event"] if effective is None else max(effective, row["ts_event"])
        found.append((snap_of(effective, open_ns, INTERVAL_NS), row))
    return found


def defined(price):
    """A price, or None for an undefined one."""
    return None if price == UNDEFINED_PRICE else price


def naive_option_flow(trades, quotes, contracts, open_ns):
    """Rows (k, strike, call) with a trade or a quote in k of `contracts`: instrument_id -> (strike, call, expiration)."""
    all_trades, all_quotes = timed(trades, open_ns), timed(quotes, open_ns)
    rows = []
    for strike, call, expiration in set(contracts.values()):
        traded = [(k, t) for k, t in all_trades if contracts.get(t["instrument_id"]) == (strike, call, expiration)]
        quoted = [(k, q) for k, q in all_quotes if contracts.get(q["instrument_id"]) == (strike, call, expiration)]
        for k in {k for k, _ in traded + quoted}:
            mine = [t for at, t in traded if at == k]
            trade = [t for at, t in traded if at <= k][-1:]
            quote = [q for at, q in quoted if at <= k][-1:]
            rows.append(
                {
                    "k": k,
                    "strike": strike,
                    "call": call,
                    "expiration": expiration,
                    "signed": sum({"B": t["size"], "A": -t["size"]}.get(t["side"], 0) for t in mine),
                    "volume": sum(t["size"] for t in mine),
                    "unsigned": sum(t["size"] for t in mine if t["side"] == "N"),
                    "trades": len(mine),
                    "quotes": len([q for at, q in quoted if at == k]),
                    "premium": sum(t["price"] * t["size"] for t in mine if defined(t["price"]) is not None),
                    "last": defined(trade[0]["price"]) if trade else None,
                    "bid": defined(quote[0]["bid_px_00"]) if quote else None,
                    "ask": defined(quote[0]["ask_px_00"]) if quote else None,
                }
            )
    return sorted(rows, key=lambda row: (row["k"], row["strike"], row["call"]))
