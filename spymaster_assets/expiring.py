"""The date's 0DTE options, from definitions: single calls and puts on our future that expire, in exchange time, on it."""

from __future__ import annotations

import datetime as dt

import numpy as np

from spymaster_assets.compute.option_flow import CONTRACT
from spymaster_assets.lake import Lake
from spymaster_assets.landing import outright
from spymaster_assets.sessions import exchange_dates
from spymaster_assets.tables import DEFINITIONS

_FACTS = ("raw_symbol", "security_type", "instrument_class", "user_defined_instrument", "underlying", "expiration", "strike_price")


def expiring(lake: Lake, date: dt.date) -> tuple[dict[str, int], np.ndarray]:
    """Symbol -> row of the contracts, and the contracts in order of (strike, call)."""
    facts = lake.arrays(DEFINITIONS, date, _FACTS)
    keep = (facts["security_type"] == "OOF") & np.isin(facts["instrument_class"], ["C", "P"])
    keep &= (facts["user_defined_instrument"] != "Y") & (exchange_dates(facts["expiration"], lake.config) == np.datetime64(date))
    future = outright(lake.config)
    keep &= np.array([bool(under) and future.fullmatch(under) is not None for under in facts["underlying"]], bool)
    of = {
        str(symbol): (int(strike), int(letter == "C"))
        for symbol, strike, letter in zip(
            facts["raw_symbol"][keep], facts["strike_price"][keep], facts["instrument_class"][keep], strict=True
        )
    }
    rows = np.array(sorted(set(of.values())), CONTRACT)
    places = {(int(row["strike"]), int(row["call"])): number for number, row in enumerate(rows)}
    return {symbol: places[facts_] for symbol, facts_ in of.items()}, rows
