"""What a feature is, and the windows whose names columns bear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from spymaster_assets.schema import Column

HORIZONS: Final = {"2min": 120, "4min": 240, "8min": 480}  # seconds; the names are those of columns
REACTION_WINDOWS: Final = (5, 15, 60)  # seconds, fixed windows after the touch
APPROACH_WINDOWS: Final = (5, 15, 60, 240)  # seconds, before the touch


@dataclass(frozen=True)
class Feature:
    """One column of the features table. `null`: when it is null; `window`: what it reads."""

    name: str
    family: str
    unit: str
    meaning: str
    window: str
    null: str
    known: str = "t"
    reaction: bool = False
    mirror: str | None = None
    exact: bool = True
    low: float | None = None
    high: float | None = None
    categories: tuple[str, ...] | None = None

    @property
    def column(self) -> Column:
        dtype = "i1" if self.categories else "f8"
        meaning = f"{self.meaning}; null: {self.null}" if self.null else self.meaning
        return Column(
            self.name, dtype, self.unit, meaning, null=bool(self.null), low=self.low, high=self.high, categories=self.categories
        )
