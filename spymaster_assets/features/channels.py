"""The channels of sequences: a date's last minutes before a landmark, step by step. Formulas: docs/physics.md, section 8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from spymaster_assets.features.physics import DEALERS, SIGMA
from spymaster_assets.schema import Column


@dataclass(frozen=True)
class Channel:
    """One channel of a sequence. `null`: when it is null besides where its step is not observed; `reads`: table.column each."""

    name: str
    unit: str
    meaning: str
    reads: tuple[str, ...]
    null: str = ""
    low: float | None = None
    high: float | None = None

    @property
    def column(self) -> Column:
        null = "; ".join(filter(None, ("not observed", self.null)))
        return Column(self.name, "f4", self.unit, f"{self.meaning}; null: {null}", null=True, low=self.low, high=self.high)


_S: Final = "touches.direction"
_MID: Final = ("snaps.mid2", "touches.sigma", _S)
_BEST_TICKS: Final = ("snaps.bid_ticks_00", "snaps.ask_ticks_00")
_BEST_SIZES: Final = ("snaps.bid_size_00", "snaps.ask_size_00")
_LADDER: Final = tuple(f"snaps.{side}_{what}_{i:02}" for side in ("bid", "ask") for what in ("ticks", "size") for i in range(10))
_D, _NO_DEPTH = "touches.depth", "reference depth unknown"

CHANNELS: Final = (
    Channel("distance", "sigma", "mid beyond the level, over volatility of 240 s", (*_MID, "touches.price"), SIGMA),
    Channel("return", "sigma", "change of the mid toward the break, over volatility of the step", _MID, SIGMA),
    Channel("volatility", "sigma", "root of summed squared changes of the mid, over volatility of the step", _MID[:2], SIGMA, 0),
    Channel("spread", "ticks", "best ask - best bid", _BEST_TICKS, low=0),
    Channel("microprice", "ticks", "microprice - mid, toward the break", (*_BEST_TICKS, *_BEST_SIZES, _S), "both best sizes are 0"),
    Channel("queue_imbalance", "share", "best sizes, toward the break", (*_BEST_SIZES, _S), "both best sizes are 0", -1, 1),
    Channel(
        "signed_volume", "ratio", "aggressors' lots toward the break, over the usual volume",
        ("snaps.buy_volume", "snaps.sell_volume", "touches.minute_volume", _S), "minute volume unknown or 0",
    ),
    Channel(
        "trades", "ratio", "prints over the usual number",
        ("snaps.prints", "touches.minute_prints"), "minute prints unknown or 0", 0,
    ),
    Channel("ofi_0", "D", "order-flow imbalance at the best, toward the break", ("snaps.ofi_00", _D, _S), _NO_DEPTH),
    Channel(
        "ofi_1_4", "D", "mean order-flow imbalance of depths 1 to 4, toward the break",
        (*(f"snaps.ofi_{i:02}" for i in range(1, 5)), _D, _S), _NO_DEPTH,
    ),
    *(
        Channel(f"{side}_depth", "D", f"size within 8 ticks of the {whose} best", (*_LADDER, _D, _S), _NO_DEPTH, 0)
        for side, whose in (("defending", "defending side's"), ("attacking", "other side's"))
    ),
    *(
        Channel(
            f"defending_{what}", "D/s", f"lots {what} on the defending side", (f"flow.{what}", "flow.side", _D, _S), _NO_DEPTH, 0,
        )
        for what in ("added", "pulled", "filled")
    ),
    Channel(
        "exposure", "contracts/point", "contracts of the future that dealers must trade per point near the level",
        ("option_flow.signed", "option_flow.last", "option_flow.bid", "option_flow.ask", "snaps.mid2", "touches.price"), DEALERS,
    ),
)  # fmt: skip
