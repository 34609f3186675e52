"""What the models of a date say about each of its touches and landmarks: one row, all members beside each other.

A date's predictions come from its own models, which earlier dates made: everything in this table is out of sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from spymaster_assets.schema import Column, Table, time_column
from spymaster_assets.states import OUTCOMES, VETOES
from spymaster_assets.tables.silver import ELAPSED, EVENT_ID, TOUCH, K

MEMBERS: Final = ("trees", "retrieval", "patchtst", "ensemble")
CLASS_WORDS: Final = tuple(word.lower() for word in OUTCOMES[:3])  # break, bounce, chop
QUANTILES: Final = (0.1, 0.5, 0.9)
REACH_SECONDS: Final = (60, 120, 180, 240)


@dataclass(frozen=True)
class Head:
    """What trees tell besides the classes. `target`: column of training; `seconds`: of a reach, else 0."""

    name: str
    target: str
    objective: str
    unit: str
    meaning: str
    quantile: float = 0.0
    seconds: int = 0

    @property
    def column(self) -> Column:
        meaning = f"{self.meaning}; null: no trees"
        return _share(self.name, self.unit, meaning) if self.seconds else Column(self.name, "f8", self.unit, meaning, null=True)


HEADS: Final = (
    Head("strength", "strength_signed_4min", "regression", "points", "expected strength within 4 minutes, toward the break"),
    *(
        Head(
            f"excursion_{side}_{round(100 * q)}", f"excursion_{side}_4min", "quantile", "points",
            f"{round(100 * q)} % quantile of the {side}imum excursion within 4 minutes, toward the break", q,
        )
        for side in ("max", "min")
        for q in QUANTILES
    ),
    *(
        Head(
            f"reach_{way}_{barrier}_{seconds}s", f"time_to_{way}_{barrier}_4min", "binary", "probability",
            f"the price goes {('a third of the barrier', 'the barrier')[barrier - 1]} toward the {way} within {seconds} s",
            seconds=seconds,
        )
        for way in ("break", "bounce")
        for barrier in (1, 2)
        for seconds in REACH_SECONDS
    ),
)  # fmt: skip


def _share(name: str, unit: str, meaning: str) -> Column:
    return Column(name, "f8", unit, meaning, null=True, low=0, high=1)


def _odds(member: str, horizon: str = "4min") -> tuple[Column, ...]:
    where = "" if horizon == "4min" else f"_{horizon}"
    told = f"within {horizon}; null: silent"
    return tuple(_share(f"{member}_{word}{where}", "probability", f"{member}: {word} {told}") for word in CLASS_WORDS)


PREDICTIONS: Final = Table(
    "predictions", "gold", "touch, elapsed", "what the models as of the date say about a touch at a landmark",
    (
        TOUCH, EVENT_ID, K,
        time_column("ts", "the moment of decision: end of snap k"),
        ELAPSED,
        *(column for member in MEMBERS for column in _odds(member)),
        *_odds("trees", "2min"),
        *_odds("trees", "8min"),
        *(
            Column(
                f"{member}_set", "i1", "classes",
                f"{member}: conformal set, the sum of 1 BREAK, 2 BOUNCE, 4 CHOP; with both or neither of the first two it abstains",
                low=0, high=7,
            )
            for member in MEMBERS
        ),
        *(
            _share(f"analogs_{end}_{word}", "probability", f"{end} end of retrieval's 90 % interval of {word}; null: silent")
            for word in CLASS_WORDS
            for end in ("low", "high")
        ),
        Column("analogs", "f8", "count", "effective number of earlier rows that retrieval goes by; null: silent", null=True, low=0),
        _share("analogs_distance", "share", "of the index's own rows that lie closer to their neighbours; null: silent"),
        *(head.column for head in HEADS),
        Column("veto", "i1", "name", "why no trade is to be had, whatever the odds", categories=VETOES),
    ),
)  # fmt: skip
