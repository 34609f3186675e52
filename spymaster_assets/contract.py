"""Which futures contract a trading date is about: book, prints and option underlying all refer to this one.

Chosen from earlier dates only: the largest volume in `futures_trades` of the latest earlier trading date present within
`contract_lookback`; else the only outright that the date's files hold; else the nearest contract that expires at least
`roll_days` later. Contracts that have expired before the date are not candidates.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from spymaster_assets.config import Config
from spymaster_assets.lake import Lake
from spymaster_assets.sessions import calendar, expiry_of, nearest_contract
from spymaster_assets.tables import FUTURES_TRADES


@dataclass(frozen=True)
class Contract:
    """The choice and why. `dominance`: its share of the volume of `volume_date`; `flagged` if below the configured share."""

    symbol: str
    basis: Literal["volume", "only outright", "calendar"]
    volume_date: str | None = None
    dominance: float | None = None
    flagged: bool = False

    def facts(self) -> dict[str, Any]:
        return asdict(self)


Volumes = Callable[[dt.date], Mapping[str, int]]


def traded(lake: Lake, date: dt.date) -> Mapping[str, int]:
    """Lots of a date by outright, as its Bronze tells; empty without."""
    manifest = lake.manifest(FUTURES_TRADES, date)
    return manifest.facts.get("volumes", {}) if manifest else {}


def choose(date: dt.date, lake: Lake, present: Collection[str], config: Config, volumes: Volumes | None = None) -> Contract:
    """The contract of `date`. `present`: the outrights that its MBP-10 files name; `volumes`: of an earlier date, else `traded`."""
    for earlier in calendar(config).before(date, config.bronze.contract_lookback):
        lots = volumes(earlier) if volumes else traded(lake, earlier)
        alive = {symbol: volume for symbol, volume in lots.items() if expiry_of(symbol, date, config) >= date}
        if alive:
            symbol = min(alive, key=lambda name: (-alive[name], expiry_of(name, date, config)))
            dominance = alive[symbol] / sum(alive.values())
            return Contract(symbol, "volume", earlier.isoformat(), dominance, dominance < config.bronze.dominance_min)
    if len(present) == 1:
        return Contract(next(iter(present)), "only outright")
    return Contract(nearest_contract(date, config), "calendar")
