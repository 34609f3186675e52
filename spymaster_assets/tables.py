"""Every table of the system, each column declared once.

Bronze keeps Databento's names and integers: prices in 1e-9 USD, times in ns UTC, sizes in contracts, undefined prices as
2**63 - 1. Undefined timestamps, 2**64 - 1 at Databento, read as -1 because times are stored as int64. Source of the fields:
Databento's DBN records, version 3. Silver counts prices in ticks (`price // tick`), and what it does not know is null; its
formulas stand in docs/physics.md, the features' declarations in features.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from spymaster_assets import dbn
from spymaster_assets.features import FEATURES, HORIZONS
from spymaster_assets.schema import TEXT, Column, Table, series
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

UNDEF_PRICE: Final = int(dbn.UNDEF_PRICE)
ACTIONS: Final = {"A": "add", "C": "cancel", "M": "modify", "R": "clear", "T": "trade", "F": "fill", "N": "none"}


def _time(name: str, meaning: str, *, delta: bool = True, unknown: int | None = None) -> Column:
    return Column(name, "i8", "ns UTC", meaning, delta=delta, unknown=unknown)


def _price(name: str, meaning: str) -> Column:
    return Column(name, "i8", "1e-9 USD", meaning, unknown=UNDEF_PRICE)


PUBLISHER = Column("publisher_id", "u2", "id", "Databento's number of the publisher (1: CME Globex)")
INSTRUMENT = Column("instrument_id", "u4", "id", "the exchange's number of the instrument, unique within a day only")
SYMBOL = Column(
    "symbol", TEXT, "symbol", "the instrument's raw symbol on its day; null if neither header nor definitions tell", null=True
)
TS_EVENT = _time("ts_event", "when the matching engine handled the event")
TS_RECV = _time("ts_recv", "when the publisher's capture received it; never used to order data")
TS_IN_DELTA = Column("ts_in_delta", "i4", "ns", "from the exchange's sending to ts_recv", delta=True)
SEQUENCE = Column("sequence", "u4", "count", "the exchange's message number", delta=True)
FLAGS = Column("flags", "u1", "bits", "128 last of its event, 32 snapshot, 8 bad ts_recv, 4 maybe bad book")
DEPTH = Column("depth", "u1", "level", "book level that the message changed", low=0, high=9)
ACTION = Column("action", "u1", "code", "what the event's last message did", codes=ACTIONS)
SIDE = Column("side", "u1", "code", "whose side; for a trade the aggressor", codes=SIDES)
PRICE = _price("price", "price of the event's last message")
SIZE = Column("size", "u4", "contracts", "size of the event's last message")
HEAD = (PUBLISHER, INSTRUMENT, TS_EVENT, PRICE, SIZE, ACTION, SIDE, FLAGS, DEPTH, TS_RECV, TS_IN_DELTA, SEQUENCE)


def _level(level: int) -> tuple[Column, ...]:
    at = f"level {level} (0 is the best)"
    return (
        _price(f"bid_px_{level:02}", f"bid price, {at}"),
        _price(f"ask_px_{level:02}", f"ask price, {at}"),
        Column(f"bid_sz_{level:02}", "u4", "contracts", f"size at the bid, {at}"),
        Column(f"ask_sz_{level:02}", "u4", "contracts", f"size at the ask, {at}"),
        Column(f"bid_ct_{level:02}", "u4", "orders", f"orders at the bid, {at}"),
        Column(f"ask_ct_{level:02}", "u4", "orders", f"orders at the ask, {at}"),
    )


FUTURES_MBP10 = Table(
    "futures_mbp10", "bronze", "arrival",
    "the book of the date's contract after every event: ten levels of price, size and order count",
    (*HEAD, *(column for level in range(dbn.BOOK_LEVELS) for column in _level(level))),
)  # fmt: skip
FUTURES_TRADES = Table("futures_trades", "bronze", "arrival", "trades of all outright contracts", (*HEAD, SYMBOL))
OPTION_TRADES = Table("option_trades", "bronze", "arrival", "trades of all options on the future", (*HEAD, SYMBOL))
OPTION_QUOTES = Table(
    "option_quotes", "bronze", "arrival",
    "best quotes of the options: at each trade (tbbo) where present, else sampled (bbo-1s, bbo-1m)",
    (
        *(
            Column(c.name, c.dtype, c.unit, c.meaning + "; null for sampled quotes", null=True, codes=c.codes, delta=c.delta)
            if c.name in {"action", "depth", "ts_in_delta"} else c
            for c in HEAD
        ),
        *_level(0),
        SYMBOL,
        Column("source", TEXT, "schema", "the schema that the quote came in"),
    ),
)  # fmt: skip
OPTION_STATISTICS = Table(
    "option_statistics", "bronze", "arrival", "daily statistics of the options: open interest, settlement and others",
    (
        PUBLISHER, INSTRUMENT, TS_EVENT, TS_RECV,
        _time("ts_ref", "what the statistic refers to", unknown=-1),
        _price("price", "value of a price statistic"),
        Column("quantity", "i8", "count", "value of a quantity statistic", unknown=2**63 - 1),
        SEQUENCE, TS_IN_DELTA,
        Column("stat_type", "u2", "code", "Databento's StatType: 3 settlement price, 9 open interest, ..."),
        Column("channel_id", "u2", "id", "the exchange's channel"),
        Column("update_action", "u1", "code", "1 new, 2 deleted"),
        Column("stat_flags", "u1", "bits", "1 final, 2 actual, 4 rounded to a tick, 8 intraday"),
        SYMBOL,
    ),
    optional=True,
)  # fmt: skip

_DEFINITION_UNITS: Final[Mapping[str, tuple[str, str]]] = {
    "ts_event": ("ns UTC", "when the exchange last changed the definition; may be days before"),
    "ts_recv": ("ns UTC", "when it was sent; 00:00:00Z for the daily restatement"),
    "min_price_increment": ("1e-9 USD", "tick; undefined for options"),
    "display_factor": ("1e-9", "factor from wire to display price"),
    "expiration": ("ns UTC", "last moment of trading; in exchange time its date decides what is 0DTE"),
    "activation": ("ns UTC", "first moment of trading"),
    "high_limit_price": ("1e-9 USD", "upper price limit of the day"),
    "low_limit_price": ("1e-9 USD", "lower price limit of the day"),
    "max_price_variation": ("1e-9 USD", "price banding"),
    "unit_of_measure_qty": ("1e-9", "quantity of the underlying in one contract"),
    "min_price_increment_amount": ("1e-9 USD", "value of a tick"),
    "price_ratio": ("1e-9", "ratio between the legs of a spread"),
    "strike_price": ("1e-9 USD", "strike of an option"),
    "raw_instrument_id": ("id", "the publisher's number of the instrument"),
    "leg_price": ("1e-9 USD", "tied price of the leg"),
    "leg_delta": ("1e-9", "delta of the leg"),
    "inst_attrib_value": ("bits", "the exchange's eligibility flags"),
    "underlying_id": ("id", "instrument_id of the underlying future"),
    "market_depth_implied": ("levels", "depth of the implied book"),
    "market_depth": ("levels", "depth of the book"),
    "market_segment_id": ("id", "the exchange's market segment"),
    "max_trade_vol": ("contracts", "largest order"),
    "min_lot_size": ("contracts", "smallest lot"),
    "min_lot_size_block": ("contracts", "smallest block"),
    "min_lot_size_round_lot": ("contracts", "round lot"),
    "min_trade_vol": ("contracts", "smallest order"),
    "contract_multiplier": ("count", "deliverables per contract; 2**31 - 1 undefined"),
    "decay_quantity": ("contracts", "daily decay; 2**31 - 1 undefined"),
    "original_contract_size": ("contracts", "size before decay; 2**31 - 1 undefined"),
    "leg_instrument_id": ("id", "instrument_id of the leg"),
    "leg_ratio_price_numerator": ("count", "price ratio of the leg"),
    "leg_ratio_price_denominator": ("count", "price ratio of the leg"),
    "leg_ratio_qty_numerator": ("count", "quantity ratio of the leg"),
    "leg_ratio_qty_denominator": ("count", "quantity ratio of the leg"),
    "leg_underlying_id": ("id", "underlying of the leg"),
    "appl_id": ("id", "the exchange's channel"),
    "maturity_year": ("year", "of the contract; 65535 undefined"),
    "decay_start_date": ("date", "65535 undefined"),
    "channel_id": ("id", "the exchange's channel"),
    "leg_count": ("count", "legs of the strategy, 0 for an outright"),
    "leg_index": ("count", "which leg this record describes"),
    "currency": ("ISO 4217", "of the price"),
    "settl_currency": ("ISO 4217", "of settlement"),
    "secsubtype": ("code", "strategy type of a spread"),
    "raw_symbol": ("symbol", "the exchange's symbol"),
    "group": ("code", "the exchange's product group"),
    "exchange": ("MIC", "market"),
    "asset": ("code", "product, e.g. ES, EW2"),
    "cfi": ("ISO 10962", "classification"),
    "security_type": ("code", "FUT future, OOF option on a future, MLEG strategy"),
    "unit_of_measure": ("code", "IPNT index point, CTRCT contract"),
    "underlying": ("symbol", "symbol of the underlying future"),
    "strike_price_currency": ("ISO 4217", "of the strike"),
    "leg_raw_symbol": ("symbol", "symbol of the leg"),
    "instrument_class": ("code", "F future, C call, P put, S future spread, T option spread, M mixed spread"),
    "match_algorithm": ("code", "how orders are matched"),
    "main_fraction": ("count", "price denominator; 255 undefined"),
    "price_display_format": ("code", "255 undefined"),
    "sub_fraction": ("count", "255 undefined"),
    "underlying_product": ("code", "product complex: 5 equity"),
    "security_update_action": ("code", "A added, M modified, D deleted"),
    "maturity_month": ("month", "255 undefined"),
    "maturity_day": ("day", "255 undefined"),
    "maturity_week": ("week", "255 undefined"),
    "user_defined_instrument": ("code", "Y if a user made it"),
    "contract_multiplier_unit": ("code", "127 undefined"),
    "flow_schedule_type": ("code", "127 undefined"),
    "tick_rule": ("code", "255 undefined"),
    "leg_instrument_class": ("code", "class of the leg"),
    "leg_side": ("code", "side of the leg"),
}
_LETTERS: Final = {
    "instrument_class",
    "match_algorithm",
    "security_update_action",
    "user_defined_instrument",
    "leg_instrument_class",
    "leg_side",
}


def _definition_columns() -> tuple[Column, ...]:
    columns = [PUBLISHER, INSTRUMENT]
    for name, (unit, meaning) in _DEFINITION_UNITS.items():
        kind = dbn.DEFINITION[name]
        stored = TEXT if kind.kind == "S" or name in _LETTERS else {"u8": "i8"}.get(kind.str[1:], kind.str[1:])
        unknown = UNDEF_PRICE if kind.str[1:] == "i8" else -1 if unit == "ns UTC" else None
        columns.append(Column(name, stored, unit, meaning, unknown=unknown))
    return tuple(columns)


DEFINITIONS = Table(
    "definitions", "bronze", "arrival", "what every future and option is, as sent within the date", _definition_columns()
)

_UNKNOWN_BID: Final = -(2**31)  # an unlisted bid is worse than any price
_UNKNOWN_ASK: Final = 2**31 - 1
_UNKNOWN: Final = -(2**31)
_MOST: Final = 2**31 - 1
BOOK_SIDES: Final = {letter: SIDES[letter] for letter in "AB"}

K = Column("k", "i4", "snap", "number of the 250-ms interval since the open; 0 holds everything up to the open", delta=True)
TOUCH = Column("touch", "i4", "number", "which touch of the date, in order of (t0, kind), from 0", delta=True)
EVENT_ID = Column("event_id", TEXT, "id", "{date}_{kind}_{ticks}_{t0}_{direction} of the touch")
ELAPSED = Column("elapsed", "f8", "s", "since the touch", low=0)


def _ticks(name: str, meaning: str, *, unknown: int | None = None) -> Column:
    return Column(name, "i4", "ticks", meaning, null=unknown is not None, unknown=unknown)


def _count(name: str, unit: str, meaning: str) -> Column:
    return Column(name, "i8", unit, f"{meaning}; cumulative", delta=True)


def _known(name: str, unit: str, meaning: str, low: float | None = None, high: float | None = None) -> Column:
    return Column(name, "f8", unit, meaning, null=True, low=low, high=high)


SNAPS = Table(
    "snaps", "silver", "k", "the book at the end of every 250-ms interval of event time, and counters whose differences are sums",
    (
        K,
        _time("ts", "end of the interval"),
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
        _time("ts", "effective time"),
        K,
        _ticks("ticks", "price"),
        Column("size", "i4", "contracts", "lots", low=0, high=_MOST),
        Column("side", "u1", "code", "aggressor", codes=SIDES),
        Column("cluster", "i4", "number", "run of prints with one aggressor and short gaps", delta=True),
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
        Column("signed", "i8", "contracts", "lots bought - lots sold by aggressors"),
        Column("volume", "i8", "contracts", "lots, with or without an aggressor", low=0, high=2**62),
        Column("trades", "i4", "count", "trades", low=0, high=_MOST),
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
BARS = Table(
    "bars", "silver", "minutes, k", "bars of 1 and 2 minutes from prints",
    (
        Column("minutes", "i1", "minutes", "length", low=1, high=60),
        K,
        _time("ts", "close of the bar; it is known from here on"),
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
        _time("valid_from", "known, and valid after this moment"),
        _time("valid_to", "valid up to and with this moment"),
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
        _time("t0", "end of the snap of the touch"),
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
    (TOUCH, EVENT_ID, K, _time("ts", "the moment"), ELAPSED, *(feature.column for feature in FEATURES)),
)  # fmt: skip
_BY_NAME: Final = {feature.name: feature for feature in FEATURES}
SIGNALS = Table(
    "signals", "silver", "touch, k", "the mechanical score of a touch at every snap from t0 until resolved or 240 s",
    (
        TOUCH, EVENT_ID, K,
        _time("ts", "the moment"),
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
    yield _time(f"label_end_{name}", f"t + {seconds} s: the label reads (t, this]")
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
        _time("ts", "the moment of decision t; a label reads only what comes after it"),
        ELAPSED,
        Column("label_version", "i2", "number", "version of the rules", low=1, high=1000),
        _ticks("anchor_spot", "best bid + best ask at t", unknown=_UNKNOWN),
        *(column for name, seconds in HORIZONS.items() for column in _outcome(name, seconds)),
    ),
)  # fmt: skip


def _summary(of: str) -> tuple[Column, ...]:
    """What a 5-minute bucket of a date looked like."""
    sides = [
        column
        for side in ("bid", "ask")
        for column in series(
            f"{side}_m", dbn.BOOK_LEVELS, "f8", "contracts", f"{of}median size {{i}} ticks from the best {side}", null=True, low=0
        )
    ]
    return (
        Column("bucket", "i2", "number", "5-minute bucket from 04:00 New York time on", low=0, high=143),
        *sides,
        _known("minute_volume", "contracts", f"{of}median volume of its minutes", 0),
        _known("minute_prints", "count", f"{of}median number of prints of its minutes", 0),
        _known("cluster_p99", "contracts", f"{of}99th percentile of cluster sizes", 0),
        _known("atr", "points", f"{of}mean true range of its minutes", 0),
        _known("print_spacing", "s", f"{of}median time between prints", 0),
        _known("diffusion", "points^2/s", f"{of}mean squared return over its seconds, of 5-s returns of the mid", 0),
        _known("consumed_share", "share", f"{of}80th percentile of F/(P+F) in the signal window (one number a date)", 0, 1),
        _known("gamma_threshold", "contracts/point", f"{of}median |G|; null until fuel is computed", 0),
    )


DAY_SUMMARY = Table("day_summary", "silver", "bucket", "the date by 5-minute buckets, for later dates' priors", _summary(""))
PRIORS = Table(
    "priors", "silver", "bucket", "what earlier dates tell about a date before it opens",
    (*_summary("median over dates of: "), Column("dates", "i2", "count", "dates that were there", low=0, high=1000)),
)  # fmt: skip

SILVER: Final = (
    PRIORS, SNAPS, PRINTS, FLOW, OPTION_FLOW, BARS, LEVELS, TOUCHES, FEATURE_ROWS, SIGNALS, LABELS, DAY_SUMMARY,
)  # fmt: skip

OPTION_FLOW_TRUTH = Table(
    "option_flow", "truth", "arrival", "the simulator's answer: who the customer was in each simulated option trade",
    (
        _time("ts_event", "event time of the trade"),
        SEQUENCE,
        INSTRUMENT,
        SYMBOL,
        Column("customer_side", "i1", "sign", "1: the customer bought, -1: the customer sold", low=-1, high=1),
    ),
)  # fmt: skip

BRONZE: Final = (DEFINITIONS, FUTURES_TRADES, FUTURES_MBP10, OPTION_TRADES, OPTION_QUOTES, OPTION_STATISTICS)
TABLES: Final[Mapping[str, Table]] = {f"{table.stage}/{table.name}": table for table in (*BRONZE, *SILVER, OPTION_FLOW_TRUTH)}


def markdown() -> str:
    """docs/tables.md."""
    lines = ["# Tables", "", "Generated from `spymaster_assets/tables.py`; edit there and run `make docs`.", ""]
    for key, table in TABLES.items():
        lines += [f"## {key}", "", f"{table.meaning[0].upper()}{table.meaning[1:]}. Order: {table.grain}.", ""]
        lines += ["| column | type | unit | unknown | meaning |", "|---|---|---|---|---|"]
        lines += [f"| {c.name} | {_type(c)} | {c.unit} | {_unknown(c)} | {_meaning(c)} |" for c in table.columns]
        lines.append("")
    return "\n".join(lines)


def _type(column: Column) -> str:
    return "text" if column.is_text else str(np.dtype(column.dtype))


def _unknown(column: Column) -> str:
    return "null" if column.null else "" if column.unknown is None else str(column.unknown)


def _meaning(column: Column) -> str:
    codes = "; ".join(f"{letter} {text}" for letter, text in (column.codes or {}).items()) or ", ".join(column.categories or ())
    return f"{column.meaning} ({codes})" if codes else column.meaning


def describe(table: Table) -> list[dict[str, Any]]:
    """The columns as plain facts, for whoever shows them (Dagster, web page)."""
    return [
        {"name": c.name, "type": _type(c), "nullable": c.null, "description": f"{_meaning(c)} [{c.unit}]"} for c in table.columns
    ]
