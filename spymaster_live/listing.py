"""What the vendor's definitions say: which numbers are our futures and which options that expire on the date."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

import numpy as np

from spymaster_assets.compute.clock import clock_of
from spymaster_assets.config import Config
from spymaster_assets.dbn import Interval
from spymaster_assets.expiring import Contract, sorted_out
from spymaster_assets.landing import outright
from spymaster_assets.sessions import DAY, Session


@dataclass
class Listing:
    """Instruments of a trading date, by number; a later definition of a number counts from then on. `parents`: of the options."""

    session: Session
    config: Config
    outrights: dict[int, str] = field(default_factory=dict)
    options: dict[int, str] = field(default_factory=dict)
    parents: set[str] = field(default_factory=set)
    seen: int = 0

    def take(self, records: np.ndarray) -> None:
        """Definitions, in order of arrival."""
        if not len(records):
            return
        self.seen += len(records)
        letters = {name: records[name].view("S1") for name in ("instrument_class", "user_defined_instrument")}
        words = letters | {name: records[name] for name in ("security_type", "underlying")}
        facts = {name: np.char.decode(values, "latin-1") for name, values in words.items()}
        facts |= {"expiration": records["expiration"].view("i8"), "strike_price": records["strike_price"]}
        future = outright(self.config)
        rows = zip(
            records["instrument_id"].tolist(), records["raw_symbol"].tolist(), records["asset"].tolist(),
            facts["instrument_class"].tolist(), sorted_out(facts, self.config, clock_of(self.session, self.config)), strict=True,
        )  # fmt: skip
        for number, raw, asset, letter, found in rows:
            symbol = raw.decode("latin-1")
            self.outrights.pop(number, None)
            self.options.pop(number, None)
            if isinstance(found, Contract):
                self.options[number] = symbol
                self.parents.add(asset.decode("latin-1"))
            elif letter == "F" and future.fullmatch(symbol):
                self.outrights[number] = symbol

    def symbology(self, contract: str) -> dict[str, dict[str, list[Interval]]]:
        """Of each channel the numbers of its symbols, on each UTC day of the date as they are known now."""
        futures = _mapped(self.outrights, self.session.utc_days)
        options = _mapped(self.options, self.session.utc_days)
        return {
            "definitions": futures | options, "option_statistics": options, "option_quotes": options, "option_trades": options,
            "futures_mbp10": {contract: futures[contract]}, "futures_trades": futures,
        }  # fmt: skip


def _mapped(symbols: dict[int, str], days: tuple[dt.date, ...]) -> dict[str, list[Interval]]:
    found: dict[str, list[Interval]] = {}
    for number, symbol in sorted(symbols.items(), key=lambda one: (one[1], one[0])):
        found.setdefault(symbol, []).extend(Interval(day, day + DAY, number) for day in days)
    return found
