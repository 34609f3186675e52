"""Bronze: Databento's records by trading date, with Databento's names and integers.

Prices in 1e-9 USD, times in ns UTC, sizes in contracts, undefined prices as 2**63 - 1. Undefined timestamps, 2**64 - 1 at
Databento, read as -1 because times are stored as int64. Source of the fields: Databento's DBN records, version 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from spymaster_assets import dbn
from spymaster_assets.schema import DELTA, PLAIN, TEXT, Column, Table, time_column
from spymaster_assets.states import SIDES

UNDEF_PRICE: Final = int(dbn.UNDEF_PRICE)
ACTIONS: Final = {"A": "add", "C": "cancel", "M": "modify", "R": "clear", "T": "trade", "F": "fill", "N": "none"}


def _price(name: str, meaning: str) -> Column:
    return Column(name, "i8", "1e-9 USD", meaning, unknown=UNDEF_PRICE, encoding=PLAIN)


PUBLISHER = Column("publisher_id", "u2", "id", "Databento's number of the publisher (1: CME Globex)")
INSTRUMENT = Column("instrument_id", "u4", "id", "the exchange's number of the instrument, unique within a day only")
SYMBOL = Column(
    "symbol", TEXT, "symbol", "the instrument's raw symbol on its day; null if neither header nor definitions tell", null=True
)
TS_EVENT = time_column("ts_event", "when the matching engine handled the event")
TS_RECV = time_column("ts_recv", "when the publisher's capture received it; never used to order data")
TS_IN_DELTA = Column("ts_in_delta", "i4", "ns", "from the exchange's sending to ts_recv")
SEQUENCE = Column("sequence", "u4", "count", "the exchange's message number", encoding=DELTA)
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
            Column(c.name, c.dtype, c.unit, c.meaning + "; null for sampled quotes", null=True, codes=c.codes, encoding=c.encoding)
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
        time_column("ts_ref", "what the statistic refers to", unknown=-1),
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

BRONZE: Final = (DEFINITIONS, FUTURES_TRADES, FUTURES_MBP10, OPTION_TRADES, OPTION_QUOTES, OPTION_STATISTICS)
