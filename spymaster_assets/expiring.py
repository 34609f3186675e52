"""The date's 0DTE options, from definitions: single calls and puts on our future that expire, in exchange time, on it.

Those that expire by the regular open, as the quarterly does, are over before anything is scored and are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from spymaster_assets.compute.clock import Clock
from spymaster_assets.config import Config
from spymaster_assets.landing import outright
from spymaster_assets.sessions import exchange_dates, utc_day

FACTS: Final = (
    "instrument_id", "raw_symbol", "security_type", "instrument_class", "user_defined_instrument", "underlying", "expiration",
    "strike_price",
)  # fmt: skip
KEPT: Final = "kept"


@dataclass(frozen=True)
class Contract:
    """One option of the date. `strike`: 1e-9 USD; `expiration`: ns UTC."""

    strike: int
    call: bool
    expiration: int


def sorted_out(facts: Mapping[str, np.ndarray], config: Config, clock: Clock) -> Iterator[Contract | str]:
    """Of each definition, the contract, or why it is none of the date's. `facts`: columns named as FACTS, text as str."""
    future, today = outright(config), np.datetime64(utc_day(clock.globex_end))
    dates = exchange_dates(facts["expiration"], config)
    for number, kind in enumerate(facts["security_type"].tolist()):
        right, under = facts["instrument_class"][number], facts["underlying"][number]
        if kind != "OOF" or right not in ("C", "P"):
            yield "spreads and futures"
        elif facts["user_defined_instrument"][number] == "Y":
            yield "user-defined"
        elif not under or future.fullmatch(under) is None:
            yield "another underlying"
        elif dates[number] != today:
            yield "another expiration"
        elif facts["expiration"][number] <= clock.regular_start:
            yield "expired by the open"
        else:
            yield Contract(int(facts["strike_price"][number]), right == "C", int(facts["expiration"][number]))
