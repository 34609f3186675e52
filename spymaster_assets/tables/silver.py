"""Silver: the book on the grid, levels, touches, physics, score and labels of a date. Formulas: docs/physics.md.

Prices in ticks (`price // tick`) or, for levels, in 1e-9 USD; what is unknown is null.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from spymaster_assets import dbn
from spymaster_assets.features import FEATURES, HORIZONS
from spymaster_assets.schema import DELTA, TEXT, Column, Table, series, time_column
from spymaster_assets.states import (
    BARRIER_STATES,
    CONFIDENCES,
    DIRECTIONS,
    FUEL_EFFECTS,
    LEVEL_KINDS,
    OUTCOMES,
    PHASES,
    SIDES,
    TRIGGERS,
)
from spymaster_assets.tables.bronze import UNDEF_PRICE

_UNKNOWN_BID: Final = -(2**31)  # an unlisted bid is worse than any price
_UNKNOWN_ASK: Final = 2**31 - 1
_UNKNOWN: Final = -(2**31)
_MOST: Final = 2**31 - 1
BOOK_SIDES: Final = {letter: SIDES[letter] for letter in "AB"}

K = Column("k", "i4", "snap", "number of the 250-ms interval since the open; 0 holds everything up to the open", encoding=DELTA)
TOUCH = Column("touch", "i4", "number", "which touch of the date, in order of (t0, kind), from 0", encoding=DELTA)
EVENT_ID = Column("event_id", TEXT, "id", "{date}_{kind}_{ticks}_{t0}_{direction} of the touch")
ELAPSED = Column("elapsed", "f8", "s", "since the touch", low=0)


def _ticks(name: str, meaning: str, *, unknown: int | None = None) -> Column:
    return Column(name, "i4", "ticks", meaning, null=unknown is not None, unknown=unknown)


def _count(name: str, unit: str, meaning: str) -> Column:
    return Column(name, "i8", unit, f"{meaning}; cumulative", encoding=DELTA)


def _known(name: str, unit: str, meaning: str, low: float | None = None, high: float | None = None) -> Column:
    return Column(name, "f8", unit, meaning, null=True, low=low, high=high)


SNAPS = Table(
    "snaps", "silver", "k", "the book at the end of every 250-ms interval of event time, and counters whose differences are sums",
    (
        K,
        time_column("ts", "end of the interval"),
        *series("bid_ticks", dbn.BOOK_LEVELS, "i4", "ticks", "bid price, level {i}", null=True, unknown=_UNKNOWN_BID),
        *series("ask_ticks", dbn.BOOK_LEVELS, "i4", "ticks", "ask price, level {i}", null=True, unknown=_UNKNOWN_ASK),
        *series("bid_size", dbn.BOOK_LEVELS, "i4", "contracts", "size at the bid, level {i}; 0 if not listed", low=0, high=_MOST),
        *series("ask_size", dbn.BOOK_LEVELS, "i4", "contracts", "size at the ask, level {i}; 0 if not listed", low=0, high=_MOST),
        Column("bid_shown", "i1", "code", "visible bids: 0 none, 1 down to the worst listed, 2 all", low=0, high=2),
        Column("ask_shown", "i1", "code", "visible asks: 0 none, 1 up to the worst listed, 2 all", low=0, high=2),
        _ticks("mid2", "best bid + best ask, twice the mid", unknown=_UNKNOWN),
        Column("book_ok", "i1", "flag", "1: two-sided, not crossed or locked, not flagged", low=0, high=1),
        _ticks("last", "latest print", unknown=_UNKNOWN),
        _ticks("high", "highest print of the interval; null without prints", unknown=_UNKNOWN),
        _ticks("low", "lowest print of the interval; null without prints", unknown=_UNKNOWN),
        Column("gap_ns", "i8", "ns", "since the last record", null=True, low=0, high=2**62, unknown=-1),
        _count("records", "count", "records of any kind"),
        _count("prints", "count", "prints, which are also numbered so"),
        _count("buy_volume", "contracts", "lots bought by aggressors"),
        _count("sell_volume", "contracts", "lots sold by aggressors"),
        _count("volume", "contracts", "lots traded, with or without an aggressor"),
        _count("buy_prints", "count", "prints with a buyer as aggressor"),
        _count("sell_prints", "count", "prints with a seller as aggressor"),
        *series("ofi", dbn.BOOK_LEVELS, "i8", "contracts", "order-flow imbalance at depth {i}, positive for buyers; cumulative"),
        _count("flow_rows", "count", "rows of flow, which are also numbered so"),
        _count("crossed", "count", "book records with bid at or above ask"),
        _count("resets", "count", "book records that set the book without being flow"),
        _count("late", "count", "records whose event time lies before their effective time"),
    ),
)  # fmt: skip
PRINTS = Table(
    "prints", "silver", "number", "one row per trade record of the book's stream: the trade path",
    (
        time_column("ts", "effective time"),
        K,
        _ticks("ticks", "price"),
        Column("size", "i4", "contracts", "lots", low=0, high=_MOST),
        Column("side", "u1", "code", "aggressor", codes=SIDES),
        Column("cluster", "i4", "number", "run of prints with one aggressor and short gaps", encoding=DELTA),
        Column("cluster_size", "i4", "contracts", "lots of the cluster up to and with this print", low=0, high=_MOST),
        Column("cluster_span", "i4", "ticks", "highest - lowest price of the cluster so far", low=0, high=_MOST),
        Column("cluster_p99", "i4", "contracts", "99th percentile of closed clusters; null under 200", null=True, unknown=-1),
    ),
)  # fmt: skip
FLOW = Table(
    "flow", "silver", "k, side, ticks", "what happened to the visible liquidity at a price within an interval",
    (
        K,
        Column("side", "u1", "code", "side of the book", codes=BOOK_SIDES),
        _ticks("ticks", "price"),
        *(
            Column(name, "i4", "contracts", meaning, low=0, high=_MOST)
            for name, meaning in (
                ("added", "resting lots that were added, refills of trades included"),
                ("pulled", "resting lots that were cancelled"),
                ("filled", "resting lots that were traded, at a visible price"),
                ("bought", "lots bought by aggressors from this side, visible or not"),
                ("sold", "lots sold by aggressors to this side, visible or not"),
            )
        ),
    ),
)  # fmt: skip
OPTION_FLOW = Table(
    "option_flow", "silver", "k, strike, call", "trades and quotes of the date's 0DTE options within an interval",
    (
        K,
        Column("strike", "i8", "1e-9 USD", "strike"),
        Column("call", "i1", "flag", "1 call, 0 put", low=0, high=1),
        time_column("expiration", "last moment of trading"),
        Column("signed", "i8", "contracts", "lots bought - lots sold by aggressors"),
        Column("volume", "i8", "contracts", "lots, with or without an aggressor", low=0, high=2**62),
        Column("unsigned", "i8", "contracts", "lots without an aggressor", low=0, high=2**62),
        Column("trades", "i4", "count", "trades", low=0, high=_MOST),
        Column("quotes", "i4", "count", "quotes, one beside each trade or sampled", low=0, high=_MOST),
        Column("premium", "i8", "1e-9 USD", "sum of price x lots, per unit of the multiplier", low=0, high=2**62),
        *(
            Column(name, "i8", "1e-9 USD", meaning, null=True, unknown=UNDEF_PRICE)
            for name, meaning in (
                ("last", "latest trade's price by the end of the interval"),
                ("bid", "latest best bid"),
                ("ask", "latest best ask"),
            )
        ),
    ),
)  # fmt: skip
OPEN_INTEREST = Table(
    "open_interest",
    "silver",
    "strike, call",
    "contracts of the date's 0DTE options that were open before 09:30, as last reported",
    (
        Column("strike", "i8", "1e-9 USD", "strike"),
        Column("call", "i1", "flag", "1 call, 0 put", low=0, high=1),
        Column("quantity", "i8", "contracts", "open interest", low=0, high=2**62),
        time_column("ts", "when it was reported"),
    ),
)
BARS = Table(
    "bars", "silver", "minutes, k", "bars of 1 and 2 minutes from prints",
    (
        Column("minutes", "i1", "minutes", "length", low=1, high=60),
        K,
        time_column("ts", "close of the bar; it is known from here on"),
        *(
            _ticks(name, meaning, unknown=_UNKNOWN)
            for name, meaning in (
                ("open", "first print"), ("high", "highest print"), ("low", "lowest print"),
                ("close", "last print; without prints the last close"),
            )
        ),
        Column("volume", "i8", "contracts", "lots", low=0, high=2**62),
        Column("prints", "i8", "count", "prints", low=0, high=2**62),
    ),
)  # fmt: skip
LEVELS = Table(
    "levels", "silver", "valid_from, kind", "key levels and when they hold",
    (
        Column("kind", "i1", "name", "which level", categories=LEVEL_KINDS),
        Column("price", "i8", "1e-9 USD", "price"),
        _ticks("ticks", "nearest tick, half up"),
        time_column("valid_from", "known, and valid after this moment"),
        time_column("valid_to", "valid up to and with this moment"),
    ),
)  # fmt: skip
TOUCHES = Table(
    "touches", "silver", "touch", "when a level was touched, and what was known then and holds for the touch's life",
    (
        TOUCH,
        EVENT_ID,
        Column("episode_id", TEXT, "id", "event_id of the first touch of confluent ones"),
        Column("episode", "i4", "number", "that touch's number"),
        Column("kind", "i1", "name", "which level", categories=LEVEL_KINDS),
        Column("direction", "i1", "name", "UP: from below, testing resistance", categories=DIRECTIONS),
        Column("price", "i8", "1e-9 USD", "the level's price, frozen"),
        _ticks("ticks", "its nearest tick, half up"),
        K,
        time_column("t0", "end of the snap of the touch"),
        _ticks("entry_ticks", "latest print at t0"),
        _ticks("entry_high", "highest print of the entry snap from the first in the band or beyond the level on"),
        _ticks("entry_low", "lowest of them"),
        Column("attempt_index", "i4", "count", "which touch of its kind on this date, from 1", low=1, high=10_000),
        _known("sigma", "points/sqrt(s)", "volatility at t0; null under 60 returns", low=0),
        Column("sigma_cold", "i1", "flag", "1: no priors, a stated shape of the day stands in", low=0, high=1),
        *(
            Column(f"theta_{name}", "i4", "ticks", f"distance that decides a horizon of {seconds} s", low=1, high=100_000)
            for name, seconds in HORIZONS.items()
        ),
        *(
            series("m", dbn.BOOK_LEVELS, "f8", "contracts", "usual size {i} ticks from the defending side's best", null=True, low=0)
        ),
        _known("depth", "contracts", "reference depth D: m_00 + .. + m_08, at least 1", low=1),
        _known("minute_volume", "contracts", "median volume of a minute before t0", low=0),
        _known("minute_prints", "count", "median number of prints of a minute before t0", low=0),
        _known("atr", "points", "mean true range of 14 minutes before t0", low=0),
        _known("print_spacing", "s", "median time between prints before t0", low=0),
    ),
)  # fmt: skip
FEATURE_ROWS = Table(
    "features", "silver", "touch, elapsed", "what was known at the landmarks of a touch",
    (TOUCH, EVENT_ID, K, time_column("ts", "the moment"), ELAPSED, *(feature.column for feature in FEATURES)),
)  # fmt: skip
_BY_NAME: Final = {feature.name: feature for feature in FEATURES}
SIGNALS = Table(
    "signals", "silver", "touch, k", "the mechanical score of a touch at every snap from t0 until resolved or 240 s",
    (
        TOUCH, EVENT_ID, K,
        time_column("ts", "the moment"),
        ELAPSED,
        _ticks("mid2", "best bid + best ask", unknown=_UNKNOWN),
        Column("barrier_state", "i1", "state", "of the approach for 5 s, then of the reaction", categories=BARRIER_STATES),
        *(
            _known(name, _BY_NAME[name].unit, f"{_BY_NAME[name].meaning}; of the approach for 5 s", _BY_NAME[name].low)
            for name in ("barrier_turnover", "replenishment_ratio", "barrier_delta_liq", "wall_ratio", "tape_velocity", "tape_rate")
        ),
        _known("tape_imbalance", "share", "aggression toward the break near the level, however few lots", -1, 1),
        Column("tape_prints", "i4", "count", "prints near the level", low=0, high=_MOST),
        Column("sweep_direction", "i1", "sign", "+1 toward the break: a sweep in the last 3 s; 0 none", low=-1, high=1),
        Column("fuel_effect", "i1", "state", "what dealers' hedging does to the move", categories=FUEL_EFFECTS),
        _known("gamma_exposure", "contracts/point", "contracts of the future that dealers must trade per point near the level"),
        _known("score_liquidity", "0-100", "S_L, of the barrier", 0, 100),
        _known("score_hedge", "0-100", "S_H, of fuel", 0, 100),
        _known("score_tape", "0-100", "S_T, of the tape", 0, 100),
        _known("break_score_raw", "0-100", "weighted mean of the known parts; higher: break", 0, 100),
        _known("break_score_smooth", "0-100", "its exponential average over 2 s", 0, 100),
        Column("trigger", "i1", "state", "what the score has been telling for 3 s", categories=TRIGGERS),
        Column("signal", "i1", "state", "the trigger while the price is in the band", categories=TRIGGERS),
        Column("phase", "i1", "state", "critical: in the band", categories=PHASES),
        Column("confidence", "i1", "state", "how much evidence there is", categories=CONFIDENCES),
    ),
)  # fmt: skip


def _outcome(name: str, seconds: int) -> Iterable[Column]:
    """The label columns of one horizon."""
    over = f"in (t, t + {seconds} s]"
    yield time_column(f"label_end_{name}", f"t + {seconds} s: the label reads (t, this]")
    yield Column(f"outcome_{name}", "i1", "name", f"which side was reached first {over}", categories=OUTCOMES)
    for side in ("break", "bounce"):
        for step, distance in ((1, ".33 theta"), (2, "theta")):
            yield _known(
                f"time_to_{side}_{step}_{name}", "s", f"to the first print {distance} from the level, {side} side; null if never", 0
            )
    yield _known(f"excursion_max_{name}", "points", f"farthest print beyond the level {over}", 0)
    yield _known(f"excursion_min_{name}", "points", f"farthest print before the level {over}", 0)
    yield _known(f"strength_signed_{name}", "points", "excursion_max - excursion_min")
    yield _known(f"strength_abs_{name}", "points", "the larger of both", 0)
    for step, distance in ((1, ".33 theta"), (2, "theta")):
        unknown = "null unless the whole horizon was observed"
        yield Column(
            f"tradeable_{step}_{name}",
            "i1",
            "flag",
            f"1: strength_abs >= {distance}; {unknown}",
            null=True,
            low=0,
            high=1,
            unknown=-1,
        )
    yield _ticks(f"future_price_{name}", f"latest print at t + {seconds} s", unknown=_UNKNOWN)


LABELS = Table(
    "labels", "silver", "touch, elapsed", "what came after the landmarks of a touch",
    (
        TOUCH, EVENT_ID, K,
        time_column("ts", "the moment of decision t; a label reads only what comes after it"),
        ELAPSED,
        Column("label_version", "i2", "number", "version of the rules", low=1, high=1000),
        _ticks("anchor_spot", "best bid + best ask at t", unknown=_UNKNOWN),
        *(column for name, seconds in HORIZONS.items() for column in _outcome(name, seconds)),
    ),
)  # fmt: skip


def _summary(of: str, before: str) -> tuple[Column, ...]:
    """What a 5-minute bucket of a date looked like. `of`, `before`: how priors' columns come from those of day_summary."""
    sides = [
        column
        for side in ("bid", "ask")
        for column in series(
            f"{side}_m", dbn.BOOK_LEVELS, "f8", "contracts", f"{of}median size {{i}} ticks from the best {side}", null=True, low=0
        )
    ]
    return (
        Column("bucket", "i2", "number", "5 minutes (grid.bucket_minutes) from the premarket's start on", low=0, high=143),
        *sides,
        _known("minute_volume", "contracts", f"{of}median volume of its minutes", 0),
        _known("minute_prints", "count", f"{of}median number of prints of its minutes", 0),
        _known("cluster_p99", "contracts", f"{of}99th percentile of cluster sizes", 0),
        _known("atr", "points", f"{of}mean true range of its minutes", 0),
        _known("print_spacing", "s", f"{of}median time between prints", 0),
        _known("diffusion", "points^2/s", f"{of}mean squared return over its seconds, of 5-s returns of the mid", 0),
        _known("consumed_share", "share", f"{of}80th percentile of F/(P+F) in the signal window (one number a date)", 0, 1),
        _known(
            "gamma_threshold",
            "contracts/point",
            f"{of}median |gamma_exposure| at the mid over the half hour",
            0,
        ),
        *series(
            "ofi_loading", dbn.BOOK_LEVELS, "f8", "share", f"{of}loading of depth {{i}} in the imbalances' first component",
            null=True, low=-1, high=1,
        ),
        _known("acceleration_coefficient", "points/s^2", f"{of}acceleration of the mid per force over mass"),
        *(
            _known(f"session_{what}", "ticks", f"{meaning} of the regular session{before}")
            for what, meaning in (("high", "highest print"), ("low", "lowest print"), ("close", "last print"))
        ),
    )  # fmt: skip


DAY_SUMMARY = Table("day_summary", "silver", "bucket", "the date by 5-minute buckets, for later dates' priors", _summary("", ""))
PRIORS = Table(
    "priors", "silver", "bucket", "what earlier dates tell about a date before it opens",
    (
        *_summary("median over dates of: ", " of the trading date right before; null if it had another contract"),
        Column("dates", "i2", "count", "dates that were there", low=0, high=1000),
    ),
)  # fmt: skip

SILVER: Final = (
    PRIORS, SNAPS, PRINTS, FLOW, OPTION_FLOW, OPEN_INTEREST, BARS, LEVELS, TOUCHES, FEATURE_ROWS, SIGNALS, LABELS, DAY_SUMMARY,
)  # fmt: skip
