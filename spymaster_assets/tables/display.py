"""What is told to be looked at, and stored nowhere: made from Silver, or from the running date, by compute/display.py."""

from __future__ import annotations

from typing import Final

from spymaster_assets.schema import Column, Table
from spymaster_assets.states import FUEL_EFFECTS, SIDES
from spymaster_assets.tables.bronze import UNDEF_PRICE
from spymaster_assets.tables.silver import K

_MOST: Final = 2**62

HEAT = Table(
    "heat", "display", "k, side, ticks", "the visible liquidity at a price, minute by minute of the signal window",
    (
        K,
        Column("side", "u1", "code", "side of the book", codes={letter: SIDES[letter] for letter in "AB"}),
        Column("ticks", "i4", "ticks", "price"),
        *(
            Column(name, "i8", "contracts", meaning, low=0, high=_MOST)
            for name, meaning in (
                ("rest", "resting lots at the end of the minute; 0 if not listed"),
                ("added", "resting lots that were added within it"),
                ("pulled", "resting lots that were cancelled within it"),
                ("filled", "resting lots that were traded within it"),
            )
        ),
    ),
)  # fmt: skip
DEALERS = Table(
    "dealers", "display", "k", "dealers' gamma around the mid in the date's 0DTE options",
    (
        K,
        Column("effect", "i1", "state", "what their hedging does to a move", categories=FUEL_EFFECTS),
        Column("exposure", "f8", "contracts/point", "futures that they must trade a point; positive: against the move", null=True),
        Column("flip", "f8", "points", "price nearest to the mid where all their gamma changes sign; null: none near", null=True),
        *(
            Column(f"wall_{side}", "i8", "1e-9 USD", f"strike {side} the mid at which they dampen most; null: none", null=True,
                   unknown=UNDEF_PRICE)
            for side in ("above", "below")
        ),
    ),
)  # fmt: skip
STRIKES = Table(
    "strikes", "display", "k, strike", "dealers' gamma by strike near the mid",
    (
        K,
        Column("strike", "i8", "1e-9 USD", "strike"),
        Column("calls", "i8", "contracts", "dealers' inventory of calls: lots that customers sold - bought since the open"),
        Column("puts", "i8", "contracts", "dealers' inventory of puts"),
        Column("volatility", "f8", "per year", "implied volatility of the smile there; null: unknown", null=True, low=0),
        Column("exposure", "f8", "contracts/point", "gamma of both, in contracts of the future; null: unknown", null=True),
    ),
)  # fmt: skip
DISPLAY: Final = (HEAT, DEALERS, STRIKES)
