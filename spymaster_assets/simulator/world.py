"""Worlds: what truly moves the price at a level, and how strongly. The pipeline must find it, and nothing where nothing is."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from math import sqrt
from typing import Final


@dataclass(frozen=True)
class World:
    """What moves the price at a level. `s`: strength; weights of withdrawal, aggression, dealers' gamma and of w g in S.

    `shift`: the first date from which S counts the other way. `leaky`: the book shows the future. `confluent`: the opening range
    has the extremes of the premarket.
    """

    name: str
    s: float = 0.0
    w: float = 0.6
    a: float = 0.6
    g: float = -0.53
    wg: float = 0.0
    shift: dt.date | None = None
    leaky: bool = False
    confluent: bool = False

    def weights(self) -> tuple[float, float, float, float]:
        """Of w, a, g and w g in S, such that S has variance 1 over independent standard normal latents."""
        deviation = sqrt(self.w**2 + self.a**2 + self.g**2 + self.wg**2)
        return self.w / deviation, self.a / deviation, self.g / deviation, self.wg / deviation

    def strength(self, date: dt.date) -> float:
        """s on a date."""
        return -self.s if self.shift is not None and date >= self.shift else self.s


WORLDS: Final = {
    one.name: one
    for one in (
        World("NULL"),
        World("LINEAR", 0.6),
        World("INTERACTION", 0.6, wg=-0.35),
        World("W", 0.6, 1, 0, 0),
        World("A", 0.6, 0, 1, 0),
        World("G", 0.6, 0, 0, -1),
        World("SHIFT", 0.6),
        World("DUPLICATE", 0.6, confluent=True),
        World("LEAKY", leaky=True),
    )
}


def world_of(name: str, strength: float | None, shift: dt.date) -> World:
    """A world by its name; `shift`: of SHIFT. ValueError for a name that there is not."""
    if name not in WORLDS:
        raise ValueError(f"world {name!r}: expected one of {', '.join(WORLDS)}")
    world = WORLDS[name]
    if strength is not None and world.s == 0:
        raise ValueError(f"world {name} has no strength: nothing drifts in it")
    return replace(world, s=world.s if strength is None else strength, shift=shift if name == "SHIFT" else None)
