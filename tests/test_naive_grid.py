"""The twins themselves, on cases small enough to work out on paper from docs/physics.md."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest

from spymaster_assets.sessions import Window
from spymaster_assets.tables import BARS, FLOW, LEVELS, OPTION_FLOW, PRINTS, SNAPS, TOUCHES
from tests.build import CONFIG, SESSION
from tests.flow_cases import ASKS, BIDS, CASES, COUNT, LAST, MAYBE_BAD, MS, OPEN, SNAPSHOT, THREE, Case, book, but, clear, trade
from tests.naive_grid import UNDEFINED_PRICE, naive_bars, naive_grid, naive_option_flow
from tests.naive_touches import (
    naive_levels,
    naive_references,
    naive_returns,
    naive_shape,
    naive_sigma,
    naive_theta,
    naive_touches,
)

SNAP, SECOND, MINUTE, TICK = 250_000_000, 1_000_000_000, 60_000_000_000, CONFIG.instrument.tick
NINE_THIRTY = SESSION.regular.start


def grid(*rows, count=COUNT, regular_start=NINE_THIRTY):
    return naive_grid(np.concatenate(rows), OPEN, count, CONFIG, regular_start)


def changed(group, **values):
    """The default configuration with other values in one group."""
    return CONFIG.model_copy(update={group: getattr(CONFIG, group).model_copy(update=values)})


def subset(row, names):
    return {name: row[name] for name in names.split()}


# Grid


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_flow(case: Case) -> None:
    snaps, _, flow, facts = naive_grid(case.records, OPEN, COUNT, CONFIG, NINE_THIRTY, case.depth)
    assert flow == case.expected_flow
    assert facts["discarded"] == case.discarded
    assert snaps[-1]["flow_rows"] == len(flow)


def test_columns() -> None:
    snaps, prints, flow, _ = grid(book(0), trade(10, "B", 1, 100), count=480)
    assert set(snaps[0]) == set(SNAPS.names)
    assert set(prints[0]) == set(PRINTS.names)
    assert set(flow[0]) == set(FLOW.names)
    assert set(naive_bars(prints, OPEN, 480, 1)[0]) == set(BARS.names)


def test_snap_holds_the_book_and_cumulative_counters() -> None:
    """Prints 100 and 99 in interval 1, 101 in interval 3; nothing in interval 2, where the book repeats."""
    snaps, _, _, _ = grid(
        trade(10, "B", 7, 100),
        book(10),
        trade(100, "A", 2, 99),
        trade(600, "N", 4, 101),
        book(700, {}, but(ASKS, _100=0)),
    )
    assert snaps[0]["gap_ns"] is None and snaps[0]["bid_shown"] == 0 and snaps[0]["mid2"] is None and snaps[0]["book_ok"] == 0
    facts = "ts bid_ticks_09 ask_size_00 bid_shown mid2 book_ok last high low gap_ns records prints volume"
    assert subset(snaps[1], facts) == {
        "ts": OPEN + SNAP, "bid_ticks_09": 90, "ask_size_00": 20, "bid_shown": 1, "mid2": 199, "book_ok": 1,
        "last": 99, "high": 100, "low": 99, "gap_ns": 150 * MS, "records": 3, "prints": 2, "volume": 9,
    }  # fmt: skip
    assert subset(snaps[2], "mid2 last high low gap_ns records") == {
        "mid2": 199, "last": 99, "high": None, "low": None, "gap_ns": 400 * MS, "records": 3,
    }  # fmt: skip
    assert subset(snaps[3], "bid_ticks_00 bid_size_00 bid_shown ask_ticks_08 ask_ticks_09 ask_shown mid2 book_ok last") == {
        "bid_ticks_00": None, "bid_size_00": 0, "bid_shown": 2, "ask_ticks_08": 109, "ask_ticks_09": None, "ask_shown": 2,
        "mid2": None, "book_ok": 0, "last": 101,
    }  # fmt: skip
    assert subset(snaps[4], "buy_volume sell_volume volume buy_prints sell_prints prints records resets late") == {
        "buy_volume": 7, "sell_volume": 2, "volume": 13, "buy_prints": 1, "sell_prints": 1, "prints": 3, "records": 5,
        "resets": 1, "late": 0,
    }  # fmt: skip


def test_resets_crossed_late_and_good_books() -> None:
    """Resets: the first book, flag 4, R, the book after R, a snapshot row. Late: the record of 100 ms, not the snapshot's."""
    snaps, _, _, _ = grid(
        book(10),
        book(260, flags=LAST | MAYBE_BAD),
        clear(510),
        book(760, but(BIDS, _101=1)),
        book(100, but(BIDS, _100=1)),
        book(50, flags=LAST | SNAPSHOT),
    )
    assert [snap["book_ok"] for snap in snaps] == [0, 1, 0, 0, 1]
    assert [snap["bid_shown"] for snap in snaps] == [0, 1, 1, 0, 1]
    assert [snap["resets"] for snap in snaps] == [0, 1, 2, 3, 5]
    assert snaps[4]["crossed"] == 2 and snaps[4]["late"] == 1 and snaps[4]["gap_ns"] == 240 * MS


def test_order_flow_imbalance() -> None:
    """Depth 0: bid 10 -> 14 lots, +4; ask 100 -> 101, +20. Depth 1: ask 101 -> 102, +30. Depth 9: ask 109 -> 110, +5."""
    snaps, _, _, _ = grid(book(10), book(20, but(BIDS, _99=14), but(ASKS, _100=0, _110=7)))
    assert snaps[-1]["ofi_00"] == 24 and snaps[-1]["ofi_01"] == 30 and snaps[-1]["ofi_09"] == 5


def test_order_flow_imbalance_of_unlisted_levels() -> None:
    """Depth 1: bid 98 -> none, -10; ask 101 -> 101, 0. Depth 3: ask 103 (50 lots) -> none, +50, bid -10. Back: the reverse."""
    snaps, _, _, _ = grid(book(10), book(20, {99: 10}, THREE), book(260))
    assert [snaps[1][name] for name in ("ofi_00", "ofi_01", "ofi_03")] == [0, -10, 40]
    assert [snaps[2][name] for name in ("ofi_00", "ofi_01", "ofi_03")] == [0, 0, 0]


def test_identities_of_flow() -> None:
    """Random books and trades of one session without resets: sizes move by added - pulled - filled; every waiting lot is filled."""
    dice = random.Random(7)
    rows, waited = [book(0)], 0
    for i in range(1, 400):
        for _ in range(dice.choice((0, 0, 1, 2))):
            ticks, side, lots = dice.randint(85, 112), dice.choice("ABN"), dice.randint(1, 9)
            rows.append(trade(5 * i, side, lots, ticks))
            waited += lots * ((side == "B" and ticks <= 109) or (side == "A" and ticks >= 90))
        asks = {ticks: dice.randint(1, 30) for ticks in range(100, 110)}  # the same prices: every one stays in range
        bids = {ticks: dice.randint(1, 30) for ticks in range(90, 100)}
        rows.append(book(5 * i, bids, asks, flags=dice.choice((0, LAST))))
    snaps, _, flow, facts = grid(*rows, count=8)
    assert sum(row["filled"] for row in flow) == waited > 300 and facts["discarded"] == 0
    for side, word in (("A", "ask"), ("B", "bid")):
        for i in range(10):
            ticks = snaps[0][f"{word}_ticks_{i:02}"]
            mine = [row for row in flow if row["side"] == side and row["ticks"] == ticks]
            moved = sum(row["added"] - row["pulled"] - row["filled"] for row in mine)
            assert snaps[-1][f"{word}_size_{i:02}"] - snaps[0][f"{word}_size_{i:02}"] == moved


def test_clusters() -> None:
    """100 ms apart goes on, 101 ms begins another, so does another side."""
    _, prints, _, _ = grid(
        trade(0, "B", 1, 100), trade(100, "B", 2, 102), trade(201, "B", 3, 102), trade(201, "N", 4, 102), trade(201, "N", 5, 99)
    )  # fmt: skip
    assert [p["cluster"] for p in prints] == [0, 0, 1, 2, 2]
    assert [p["cluster_size"] for p in prints] == [1, 3, 3, 4, 9]
    assert [p["cluster_span"] for p in prints] == [0, 2, 0, 0, 3]
    assert [p["cluster_p99"] for p in prints] == [None] * 5


def singles(first: int, sizes: list[int]) -> list[np.ndarray]:
    """Prints 200 ms apart: a cluster each."""
    return [trade(first + 200 * i, "B", lots, 100) for i, lots in enumerate(sizes)]


def test_percentile_of_clusters() -> None:
    """Print 200 (from 0) closes the cluster of print 199 and is the first by which 200 clusters were closed.

    Sizes 1 .. 200: rank ceil(198) = 198. With 5,000 more: rank ceil(198.99) = 199. With another 1: rank ceil(199.98) = 200, again
    the size 199. A size above 4,095 enters as 4,095.
    """
    _, prints, _, _ = grid(*singles(0, [*range(1, 201), 5000, 1, 1]), count=200)
    assert [p["cluster_p99"] for p in prints[199:]] == [None, 198, 199, 199]
    _, prints, _, _ = grid(*singles(0, [5000] * 202), count=200)
    assert prints[201]["cluster_p99"] == 4095


def test_percentile_of_clusters_starts_anew_at_the_open() -> None:
    """Prints 0 .. 200 come up to 09:30, 201 is the first after it; the cluster of print 200 is never in the new list.

    Print 200 has the 200 of the old list. The cluster of print 400 is the 200th of the new one; print 401 closes it.
    """
    _, prints, _, _ = grid(*singles(0, [1] * 201 + [2] * 203), count=400, regular_start=OPEN + 200 * 200 * MS)
    assert [p["cluster_p99"] for p in prints[200:203]] == [1, None, None]
    assert [p["cluster_p99"] for p in prints[400:]] == [None, 2, 2, 2]


def test_bars() -> None:
    """60.000 s is in bar 1, 60.001 s in bar 2; bar 3 is empty; the print at 0 ms sets a last close only."""
    _, prints, _, _ = grid(
        trade(0, "B", 9, 90), trade(60_000, "B", 1, 100), trade(60_001, "A", 2, 97), trade(61_000, "N", 3, 98), count=1000
    )  # fmt: skip
    bars = naive_bars(prints, OPEN, 959, 1)
    assert [bar["k"] for bar in bars] == [240, 480, 720]  # the fourth minute ends at snap 960
    assert [[bar[name] for name in ("open", "high", "low", "close", "volume", "prints")] for bar in bars] == [
        [100, 100, 100, 100, 1, 1],
        [97, 98, 97, 98, 5, 2],
        [98, 98, 98, 98, 0, 0],
    ]
    assert [bar["ts"] for bar in naive_bars(prints, OPEN, 960, 2)] == [OPEN + 2 * MINUTE, OPEN + 4 * MINUTE]
    assert naive_bars([], OPEN, 240, 1)[0]["high"] is None and naive_bars([], OPEN, 240, 1)[0]["volume"] == 0
    assert naive_bars(prints[:1], OPEN, 240, 1)[0]["close"] == 90


def test_option_flow() -> None:
    def sold(ms, instrument, price, size, side):
        return {"ts_event": OPEN + ms * MS, "instrument_id": instrument, "price": price, "size": size, "side": side}

    def quoted(ms, instrument, bid, ask):
        return {"ts_event": OPEN + ms * MS, "instrument_id": instrument, "bid_px_00": bid, "ask_px_00": ask}

    trades = [
        sold(10, 1, 7, 3, "B"),
        sold(20, 1, 8, 1, "A"),
        sold(20, 1, 9, 5, "N"),
        sold(600, 9, 1, 1, "B"),
        sold(30, 2, 4, 2, "A"),
    ]
    quotes = [quoted(400, 1, 6, UNDEFINED_PRICE), quoted(610, 2, 3, 5)]
    rows = naive_option_flow(trades, quotes, {1: (6000, 1, 99), 2: (6000, 0, 99)}, OPEN)
    assert set(rows[0]) == set(OPTION_FLOW.names)
    assert [list(row.values()) for row in rows] == [  # k, strike, call, expiration, signed, volume, unsigned, trades, ..
        [1, 6000, 1, 99, 2, 9, 5, 3, 0, 74, 9, None, None],
        [2, 6000, 1, 99, 0, 0, 0, 0, 1, 0, 9, 6, None],
        [3, 6000, 0, 99, -2, 2, 0, 1, 1, 8, 4, 3, 5],  # the trade of 30 ms comes after one of 600 ms
    ]


# Levels and touches: a session of a few seconds


TOY = replace(
    SESSION,
    globex=Window(OPEN, OPEN + 1000 * SNAP),
    premarket=Window(OPEN, OPEN + 2 * SNAP),
    opening_range=Window(OPEN + 2 * SNAP, OPEN + 4 * SNAP),
    signals=Window(OPEN + 4 * SNAP, OPEN + 900 * SNAP),
    regular=Window(OPEN + 2 * SNAP, OPEN + 1000 * SNAP),
)
L = 24_000  # 6000.00 in ticks


def path_tables(paths):
    """Snaps and prints of the prices that print in each interval; the books are unknown."""
    snaps, prints, last = [], [], None
    for k, path in enumerate(paths):
        last = path[-1] if path else last
        prints += [
            {"ts": OPEN + k * SNAP - len(path) + i + 1, "k": k, "ticks": p, "size": 1, "side": "B"} for i, p in enumerate(path)
        ]
        high, low = max(path, default=None), min(path, default=None)
        snaps.append({"k": k, "ts": OPEN + k * SNAP, "last": last, "high": high, "low": low, "book_ok": 0, "gap_ns": 0})
    return snaps, prints


def level(kind, ticks, first_k, last_k):
    return {
        "kind": kind, "price": ticks * TICK, "ticks": ticks,
        "valid_from": OPEN + first_k * SNAP, "valid_to": OPEN + last_k * SNAP,
    }  # fmt: skip


def touches_of(paths, levels, config, session=TOY):
    snaps, prints = path_tables(paths)
    return naive_touches(snaps, prints, [], levels, session, config, None, "2025-06-03")


def test_levels() -> None:
    """Prints at snaps 0 (up to the open: outside), 1, 2 (premarket), 3, 4 (opening range), 5."""
    _, prints = path_tables([[50], [103], [101], [99, 104], [100], [200]])
    config = changed("levels", sma_bars=(2, 3))
    bars = [{"ts": OPEN + 2 * MINUTE * i, "close": close} for i, close in enumerate((None, 10, 11, 11), 1)]
    levels = naive_levels(prints, bars, TOY, config)
    assert set(levels[0]) == set(LEVELS.names)
    end = TOY.globex.end
    assert [(row["kind"], row["price"], row["ticks"], row["valid_from"], row["valid_to"]) for row in levels] == [
        ("PM_HIGH", 103 * TICK, 103, OPEN + 2 * SNAP, end),
        ("PM_LOW", 101 * TICK, 101, OPEN + 2 * SNAP, end),
        ("OR_HIGH", 104 * TICK, 104, OPEN + 4 * SNAP, end),
        ("OR_LOW", 99 * TICK, 99, OPEN + 4 * SNAP, end),
        ("SMA_200", 2_625_000_000, 11, OPEN + 6 * MINUTE, OPEN + 8 * MINUTE),  # 10.5 ticks: half up
        ("SMA_200", 2_750_000_000, 11, OPEN + 8 * MINUTE, OPEN + 10 * MINUTE),
        ("SMA_400", 2_666_666_667, 11, OPEN + 8 * MINUTE, OPEN + 10 * MINUTE),  # 32 / 3 ticks
    ]
    assert naive_levels([], [], TOY, CONFIG) == []


def test_the_machine() -> None:
    """Band 1 tick, rearmed 8 ticks away, valid after snap 2, signals after snap 4, 1 s = 4 snaps between touches."""
    paths = [
        [L - 10],
        [L - 4],
        [L - 1],  # an entry before the level is valid: disarms
        [L - 5],
        [L],  # an entry, disarmed
        [L - 8],  # arms
        [L - 3, L - 1, L - 2, L + 3, L + 1],  # touch from below
        [L + 8],  # arms
        [L + 1],  # an entry .5 s after the touch: disarms
        [L + 10],  # arms
        [L - 20],  # touch from above, 1 s after the first; arms at once
        [],
        [L],  # an entry .5 s after the touch: disarms
        [L + 2, L - 7],
        [L],  # an entry, disarmed
        [L + 8],  # arms
        [],
        [L],  # 1.75 s after, but the level is valid up to snap 16
    ]
    config = changed("touches", cooldown_seconds=1.0)
    touches = touches_of(paths, [level("OR_HIGH", L, 2, 16)], config)
    names = "k direction entry_ticks entry_high entry_low attempt_index"
    assert [list(subset(touch, names).values()) for touch in touches] == [
        [6, "UP", L + 1, L + 3, L - 2, 1],
        [10, "DOWN", L - 20, L - 20, L - 20, 2],
    ]
    assert set(touches[0]) == set(TOUCHES.names)
    assert touches[0]["event_id"] == f"2025-06-03_OR_HIGH_{L}_{OPEN + 6 * SNAP}_UP"
    assert touches[0]["sigma"] is None and touches[0]["sigma_cold"] == 1 and touches[0]["theta_8min"] == 8
    assert touches[0]["m_00"] is None and touches[0]["depth"] is None


def test_no_touch_without_an_earlier_print_or_outside_of_the_signals() -> None:
    """Snap 5: no earlier print. Snap 6 starts in the band."""
    assert touches_of([[], [], [], [], [], [L], [L + 1]], [level("PM_LOW", L, 0, 99)], CONFIG) == []
    paths = [[L - 9], [L - 9], [L - 9], [L - 9], [L]]
    assert touches_of(paths, [level("PM_LOW", L, 0, 99)], CONFIG) == []  # T(4) is the start of the signals: outside
    assert len(touches_of([[L - 9], *paths], [level("PM_LOW", L, 0, 99)], CONFIG)) == 1


def test_a_moving_level_uses_the_price_of_the_snap() -> None:
    """The average jumps down over a price that stands: p' is measured against the new L, so the touch comes from above."""
    paths = [[L - 4], [L - 8], *[[L - 4]] * 4, [L - 4], [L - 6]]
    levels = [level("SMA_200", L, 0, 6), level("SMA_200", L - 7, 6, 12)]
    touches = touches_of(paths, levels, CONFIG)
    assert [(touch["k"], touch["direction"], touch["ticks"]) for touch in touches] == [(7, "DOWN", L - 7)]


def test_episodes() -> None:
    """Levels touched in one snap are numbered by kind. Two lie 4 ticks, 1.00 point, from the first; then one lies 5 ticks away."""
    levels = [level("OR_LOW", L, 0, 99), level("PM_HIGH", L + 4, 0, 99), level("SMA_200", L + 8, 0, 99)]
    touches = touches_of([[L - 9]] * 5 + [[L + 8]], levels, CONFIG)
    assert [touch["kind"] for touch in touches] == ["PM_HIGH", "OR_LOW", "SMA_200"]
    assert [touch["touch"] for touch in touches] == [0, 1, 2]
    assert [touch["episode"] for touch in touches] == [0, 0, 0]
    apart = [level("OR_LOW", L, 0, 99), level("PM_HIGH", L + 5, 0, 99)]
    touches = touches_of([[L - 9]] * 5 + [[L + 8]], apart, CONFIG)
    assert [touch["episode_id"] for touch in touches] == [touch["event_id"] for touch in touches]


# Volatility


def sample(seconds, mid2, gap=0):
    return {"ts": SESSION.premarket.start + round(seconds * SECOND), "mid2": mid2, "book_ok": 1, "gap_ns": gap}


def zigzag(count, first=5):
    """Samples every 5 s, each one tick of the mid from the last: (.25)**2 / 5 = .0125 points**2 / s."""
    return [sample(first + 5 * i, 2 * (i % 2)) for i in range(count)]


def test_shape() -> None:
    """Bucket 47 ends at 08:00, 48 begins there; 66 begins at 09:30."""
    steps = dict(CONFIG.labels.diurnal_shape)
    assert naive_shape(0, CONFIG) == naive_shape(47, CONFIG) == steps["04:00"]
    assert naive_shape(48, CONFIG) == steps["08:00"] and naive_shape(66, CONFIG) == steps["09:30"]


def test_sigma_of_a_steady_walk_is_its_own() -> None:
    snaps = zigzag(62)
    assert naive_sigma(snaps, 61, SESSION, CONFIG, None) == pytest.approx(math.sqrt(0.0125))
    assert naive_sigma(snaps, 60, SESSION, CONFIG, None) == pytest.approx(math.sqrt(0.0125))  # 60 returns
    assert naive_sigma(snaps, 59, SESSION, CONFIG, None) is None  # 59
    assert naive_sigma([sample(5 * i, 0) for i in range(1, 62)], 60, SESSION, CONFIG, None) == 0.03


def test_sigma_follows_the_shape_of_the_day() -> None:
    """Returns up to 08:00, bucket 47; t0 at 08:00 + .25 s, bucket 48, is no sample."""
    snaps = [*zigzag(62, first=4 * 3600 - 305), sample(4 * 3600 + 0.25, 0)]
    ratio = naive_shape(48, CONFIG) / naive_shape(47, CONFIG)
    assert naive_sigma(snaps, 61, SESSION, CONFIG, None) == pytest.approx(math.sqrt(0.0125))
    assert naive_sigma(snaps, 62, SESSION, CONFIG, None) == pytest.approx(math.sqrt(0.0125 * ratio))
    priors = [{"bucket": b, "diffusion": 3.0 if b == 48 else 1.0} for b in range(144)]
    assert naive_sigma(snaps, 62, SESSION, CONFIG, priors) == pytest.approx(math.sqrt(0.0125 * 3))


def test_sigma_fades() -> None:
    """Moves of 1 and 3 ticks, 5 s and 10 s apart: weights 2^(-10/600) and 1."""
    config = changed("labels", min_returns=2)
    fade = 2 ** (-10 / 600)
    mean = (0.0625 / 5 * fade + 9 * 0.0625 / 10) / (fade + 1)
    assert naive_sigma([sample(5, 0), sample(10, 2), sample(20, 8)], 2, SESSION, config, None) == pytest.approx(math.sqrt(mean))


def test_returns() -> None:
    """Not a sample: 04:00 itself, 7 s, a gap above 30 s, a bad book. 30 s join, 35 s do not."""
    bad = {**sample(45, 0), "book_ok": 0}
    snaps = [
        sample(0, 0), sample(5, 0), sample(7, 0), sample(35, 2), sample(40, 8, gap=30 * SECOND + 1), bad,
        sample(50, 2, gap=30 * SECOND), sample(85, 2), sample(90, 2),
    ]  # fmt: skip
    returns = naive_returns(snaps, len(snaps) - 1, SESSION, CONFIG, None)
    assert returns == [(30, pytest.approx(0.0625 / 30 / naive_shape(0, CONFIG))), (15, 0), (5, 0)]


def test_theta() -> None:
    """.2 * sqrt(120) = 2.19 points, up to 2.25; the least and the most are 2 and 50 points."""
    assert [naive_theta(sigma, 120, CONFIG) for sigma in (0.2, 0.1, None, 99.0)] == [9, 8, 8, 200]


# References


OPENED = OPEN + 30 * MINUTE
LATER = replace(SESSION, regular=Window(OPENED, SESSION.globex.end), premarket=Window(OPEN, OPENED))


def book_snap(seconds, bids=BIDS, asks=ASKS, good=1):
    """The snap of a book so many seconds after the toy's 09:30."""
    snaps, _, _, _ = grid(book(0, bids, asks), count=0)
    return {**snaps[0], "ts": OPENED + seconds * SECOND, "book_ok": good}


def minute_bars(count):
    """Bars from the open on: number n has volume n, 2 n prints, and rises by one tick from its low to its close."""
    return [
        {"ts": OPEN + n * MINUTE, "open": n, "high": n, "low": n - 1, "close": n, "volume": n, "prints": 2 * n}
        for n in range(1, count + 1)
    ]


def print_at(seconds):
    return {"ts": OPENED + round(seconds * SECOND), "ticks": 1, "size": 1, "side": "B"}


PRIORS = [
    {
        "bucket": b, "diffusion": None,
        "minute_volume": 100 + b, "minute_prints": 200 + b, "atr": 300 + b, "print_spacing": 400 + b,
        **{f"{word}_m_{j:02}": start + j for word, start in (("bid", 1), ("ask", 2)) for j in range(10)},
    }
    for b in range(144)
]  # fmt: skip


def test_references_from_the_trailing_windows() -> None:
    """t0 = 09:30 + 14 minutes. The snap at 09:30 lies outside; three books remain, one of them with three asks."""
    snaps = [
        book_snap(0, asks={100: 999}), book_snap(1), book_snap(2, asks={100: 999}, good=0), book_snap(300, asks=THREE),
        book_snap(840, asks=but(ASKS, _101=50)),
    ]  # fmt: skip
    prints = [print_at(s) for s in (240, 241, 241, 242.5, 244.5, 840)]
    found = naive_references(snaps, prints, minute_bars(60), 4, "UP", LATER, CONFIG, PRIORS)
    assert [found[f"m_{j:02}"] for j in range(10)] == [20, 30, 40, 50, 5, 5, 5, 5, 5, 5]  # 101: 30, 30, 50; 102: 40, 0, 40
    assert found["depth"] == 165
    assert found["minute_volume"] == 39.5 and found["minute_prints"] == 79  # bars 35 .. 44
    assert found["atr"] == 0.25  # each bar: high n, previous close n - 1
    assert found["print_spacing"] == 2  # 241, 242.5, 244.5, 840 s: 1.5, 2, 595.5; the print at 240 s lies outside
    down = naive_references(snaps, [], minute_bars(60), 4, "DOWN", LATER, CONFIG, None)
    assert down["m_09"] == 10 and down["depth"] == 90 and down["print_spacing"] is None


def test_a_price_that_is_not_visible_has_no_part_in_the_median() -> None:
    """Nine asks: everything is visible, 0 lots 9 ticks away. Ten asks 2 ticks apart: 0 lots between. MBP-1: the best alone."""
    near = {ticks: 7 for ticks in range(100, 109)}
    found = naive_references([book_snap(700), book_snap(840, asks=near)], [], [], 1, "UP", LATER, CONFIG, None)
    assert found["m_09"] == 2.5 and found["m_00"] == 13.5  # means of 5 and 0, of 20 and 7
    wide = {ticks: 3 for ticks in range(100, 120, 2)}
    found = naive_references([book_snap(840, asks=wide)], [], [], 0, "UP", LATER, CONFIG, None)
    assert [found["m_00"], found["m_01"], found["m_08"]] == [3, 0, 3]
    one = {**book_snap(840, asks={100: 3}), "ask_shown": 1}
    found = naive_references([one], [], [], 0, "UP", LATER, CONFIG, None)
    assert found["m_00"] == 3 and found["m_01"] is None and found["depth"] is None


def test_references_soon_after_the_open_are_priors() -> None:
    """t0 = 09:30 + 599 s: bucket 7 of the toy's day (30 minutes before 09:30 are six); 14 bars are whole from 840 s on."""
    early = naive_references([book_snap(599)], [], minute_bars(60), 0, "UP", LATER, CONFIG, PRIORS)
    assert early["m_03"] == 5 and early["depth"] == sum(range(2, 11)) and early["minute_volume"] == 107
    assert early["minute_prints"] == 207 and early["atr"] == 307 and early["print_spacing"] == 407
    assert set(naive_references([book_snap(599)], [], [], 0, "DOWN", LATER, CONFIG, None).values()) == {None}
    later = naive_references([book_snap(839)], [], minute_bars(60), 0, "DOWN", LATER, CONFIG, PRIORS)
    assert later["m_00"] == 10 and later["atr"] == 308
    on_time = naive_references([book_snap(600)], [], minute_bars(60), 0, "DOWN", LATER, CONFIG, PRIORS)
    assert on_time["m_00"] == 10 and on_time["minute_volume"] == 35.5 and on_time["atr"] == 307  # bucket (09:35, 09:40]
