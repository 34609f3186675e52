"""Which model serves: a challenger replaces the champion only by a rule, and geometry serves until one does.

The rule, on out-of-sample rows that both know: the 95 % interval of the challenger's gain in log loss over the champion, by whole
dates, lies above 0; these are LEAST_DATES at least; the slope of its calibration lies within SLOPES; and nothing looks like a leak.

Of few dates the interval is too narrow: of a challenger that gains nothing it lies above 0 in 2.5 % of cases if dates are many, in
5 % if they are ten, in 12 % if three (Student's t with n - 1 degrees of freedom above 1.96 sqrt((n - 1) / n)).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from spymaster_assets.models import metrics
from spymaster_assets.models.artifacts import GEOMETRY
from spymaster_assets.models.calibrate import slope_and_intercept
from spymaster_assets.models.evaluation import LEAST_ROWS, Tested, suspicious
from spymaster_assets.models.evaluation import score as scored
from spymaster_assets.models.metrics import Interval
from spymaster_assets.states import BREAK, CHOP

SLOPES: Final = (0.5, 1.5)
LEAST_DATES: Final = 10
LEAST_GAIN: Final = 1e-9  # nats: what rounding may give


@dataclass(frozen=True)
class Verdict:
    """What the rule says of a challenger. `reasons`: why not; empty if it may serve."""

    name: str
    rows: int
    dates: int
    gain: Interval  # nats a row over the champion
    slope: float
    reasons: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "gain": list(self.gain), "reasons": list(self.reasons)}


def judge(tested: Tested, name: str, champion: str, planted: bool = False) -> Verdict:
    """Compare a challenger with the champion on the rows that both know. `planted`: the truth is known; no skill is too good."""
    base = tested.odds.get(champion, tested.geometry)  # of a champion that says nothing, geometry serves
    known = ~np.isnan(tested.odds[name][:, 0]) & ~np.isnan(base[:, 0])
    part, base = tested.at(known), base[known]
    every, odds = part.examples, part.odds[name]
    if not len(every):
        return Verdict(name, 0, 0, Interval(0.0, -np.inf, np.inf), float("nan"), ("it has said nothing yet",))
    outcomes = every.outcomes
    saved = metrics.log_losses(base, outcomes) - metrics.log_losses(odds, outcomes)
    gain = metrics.day_bootstrap(saved, every.weights, every.days)
    resolved = outcomes != CHOP
    line = slope_and_intercept(metrics.break_given_resolved(odds[resolved]), outcomes[resolved] == BREAK, every.weights[resolved])
    reasons, dates = [], len(np.unique(every.days))
    if dates < LEAST_DATES:
        reasons.append(f"it was tested on {dates} {'date' if dates == 1 else 'dates'}, {LEAST_DATES} are needed")
    if not gain.low > LEAST_GAIN:
        told = f"{gain.mean:+.4f} nats ({gain.low:+.4f} to {gain.high:+.4f})"
        reasons.append(f"its gain over {champion}, {told}, is not surely above 0")
    if not SLOPES[0] <= line.slope <= SLOPES[1]:
        reasons.append(f"the slope of its calibration is {line.slope:.2f}; expected {SLOPES[0]} to {SLOPES[1]}")
    elapsed = every.rows["elapsed"]
    landmarks = [one for one in np.unique(elapsed) if (elapsed == one).sum() >= LEAST_ROWS]
    reasons += [] if planted else suspicious([scored(name, int(one), part.at(elapsed == one)) for one in landmarks])
    return Verdict(name, len(every), dates, gain, line.slope, tuple(reasons))


def decide(tested: Tested, champion: str, challengers: tuple[str, ...], planted: bool = False) -> tuple[str, list[Verdict]]:
    """The model that serves from now on, and what the rule said of each; of several that may, the one with the largest gain.

    A champion that is surely worse than geometry serves no longer, whoever comes after it.
    """
    told = champion != GEOMETRY and champion in tested.odds
    if told and judge(tested, champion, GEOMETRY, planted).gain.high < -LEAST_GAIN:
        champion = GEOMETRY
    verdicts = [judge(tested, name, champion, planted) for name in challengers if name != champion and name in tested.odds]
    able = [one for one in verdicts if not one.reasons]
    return (max(able, key=lambda one: one.gain.mean).name if able else champion), verdicts
