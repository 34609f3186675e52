"""What the predictions of many dates were worth: every scorer against geometry, at each landmark, on rows that all of them know.

Rows are out of sample: a member's odds for a date come from the model of that date, baselines are walked forward here. Skill is
the gain in log loss over geometry, with an interval by whole dates; the family of all gains is corrected after Holm. Raw AUC is
told too, but position alone decides it after the touch: the stratified AUC is what tells (docs/evaluation.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import numpy as np

from spymaster_assets.models import baselines, metrics
from spymaster_assets.models.calibrate import slope_and_intercept
from spymaster_assets.models.examples import GROUPS, PRIMARY, Examples
from spymaster_assets.models.metrics import Interval
from spymaster_assets.models.odds import clipped, geometry
from spymaster_assets.models.reliability import ece, ece_floor
from spymaster_assets.models.significance import gain_p_value, holm
from spymaster_assets.models.walk_forward import out_of_sample
from spymaster_assets.models.weights import average_uniqueness, day_design_effect, episodes_of, n_eff
from spymaster_assets.states import BREAK, CHOP

SUSPICIOUS: Final = 0.65  # stratified AUC on real data above which a leak is assumed until explained
SURE: Final = 2.0  # standard errors
SHRINK: Final = 50.0  # episodes that speak for the base rate of all against that of a kind and direction
STEP: Final = 5  # dates from one fit of a baseline to the next
DRAWS: Final = 20_000  # of dates, for a p-value that a correction for a hundred tests leaves room for
LEAST_ROWS: Final = 30  # of a landmark: below, nothing is told


@dataclass(frozen=True)
class Score:
    """One scorer at one horizon and landmark (elapsed -1: all together). `gain`: nats a row over geometry, by whole dates.

    `stratified_error`: standard error of `stratified` if the score told nothing. `p`: of no gain, one-sided, by whole dates;
    `holm`: the same, corrected for all that were tried. `slope`, `intercept`: of the recalibration of P(break | resolved). `ece`,
    `floor`: its calibration error, and what a perfect model would show.
    """

    name: str
    horizon: str
    elapsed: int
    rows: int
    n_eff: float
    log_loss: float
    brier: float
    gain: Interval
    p: float
    auc: float
    stratified: float
    stratified_error: float
    resolved_auc: float
    slope: float
    intercept: float
    ece: float
    floor: float
    holm: float = float("nan")


@dataclass(frozen=True)
class Tested:
    """Examples of one horizon with the odds that scorers gave them beforehand: name -> (n, 3), NaN where one was silent."""

    examples: Examples
    odds: Mapping[str, np.ndarray]
    sets: Mapping[str, np.ndarray] = field(default_factory=dict)  # name -> (n, 3) flags, conformal

    @property
    def geometry(self) -> np.ndarray:
        return geometry(self.examples.rows, self.examples.horizon)

    def at(self, kept: np.ndarray) -> Tested:
        return Tested(
            self.examples.at(kept),
            {name: odds[kept] for name, odds in self.odds.items()},
            {name: sets[kept] for name, sets in self.sets.items()},
        )

    @property
    def common(self) -> Tested:
        """The rows that every scorer knows which knows any of their landmark."""
        elapsed, kept = self.examples.rows["elapsed"], np.ones(len(self.examples), bool)
        for odds in self.odds.values():
            known = ~np.isnan(odds[:, 0])
            kept &= known | ~np.isin(elapsed, np.unique(elapsed[known]))
        return self.at(kept)


def with_baselines(tested: Tested, first: int, horizon: str = PRIMARY) -> Tested:
    """Add what every model must beat, walked forward by date: the first `first` dates tell nothing and are left out."""
    every = tested.examples
    found = {"geometry": tested.geometry}
    makers: dict[str, tuple[Any, Any]] = {
        "base rate": (_fit_base, _predict_base),
        "base rate by kind": (_fit_kinds, _predict_kinds),
        "score, isotonic": (_fit_isotonic, partial(_predict_isotonic, horizon=horizon)),
    }
    for name, (fit, predict) in makers.items():
        found[name] = _walked(every, partial(fit, horizon=horizon), predict, first)
    found["logistic on ten"] = np.full((len(every), 3), np.nan)
    for number, group in enumerate(GROUPS):
        at, ten = every.groups == number, baselines.TEN["stage_b" if any(group) else "stage_a"]
        fit = partial(_fit_logistic, horizon=horizon, features=ten)
        found["logistic on ten"][at] = _walked(every.at(at), fit, _predict_logistic, first)
    kept = ~np.isnan(found["base rate"][:, 0])
    return Tested(every, {**found, **tested.odds}, tested.sets).at(kept)


def scores(tested: Tested) -> list[Score]:
    """Every scorer at every landmark and all together, best mean gain first; p-values corrected over all of them."""
    common, found = tested.common, []
    elapsed = common.examples.rows["elapsed"]
    for landmark in (-1, *np.unique(elapsed).tolist()):
        part = common.at((elapsed == landmark) | (landmark < 0))
        if len(part.examples) < LEAST_ROWS:
            continue
        for name in part.odds:
            known = part.at(~np.isnan(part.odds[name][:, 0]))
            if landmark < 0 and len(known.examples) < len(part.examples):
                continue  # a scorer of some landmarks has no share in the sum of all
            if len(known.examples) >= LEAST_ROWS:
                found.append(score(name, int(landmark), known))
    tried = [one for one in found if one.name != "geometry" and not np.isnan(one.p)]
    corrected = dict(zip(map(id, tried), holm(np.array([one.p for one in tried])), strict=True))
    found = [replace(one, holm=float(corrected[id(one)])) if id(one) in corrected else one for one in found]
    return sorted(found, key=lambda one: (one.elapsed, -one.gain.mean))


def score(name: str, elapsed: int, tested: Tested) -> Score:
    """How one scorer does on rows that it knows all of; weights as in `examples`, one for each episode."""
    every, odds, base = tested.examples, tested.odds[name], tested.geometry
    outcomes, weights = every.outcomes, every.weights
    losses = metrics.log_losses(odds, outcomes)
    saved = metrics.log_losses(base, outcomes) - losses
    known = outcomes != CHOP
    told, broke = metrics.break_given_resolved(odds[known]), outcomes[known] == BREAK
    slope, intercept = slope_and_intercept(told, broke, weights[known])
    rows, episodes = every.rows, episodes_of(every.rows, every.days)
    unique = average_uniqueness(rows["t_label_start"], rows[f"label_end_{every.horizon}"], episodes)
    position = metrics.break_given_resolved(base[known])
    effect = day_design_effect(losses, weights, episodes, every.days) if len(np.unique(every.days)) > 1 else 1.0
    independent = n_eff(unique, effect)
    return Score(
        name, every.horizon, elapsed, len(every), independent,
        float(np.average(losses, weights=weights)), metrics.brier(odds, outcomes, weights),
        metrics.day_bootstrap(saved, weights, every.days), gain_p_value(saved, weights, every.days, draws=DRAWS),
        metrics.auc(told, broke, weights[known]),
        metrics.stratified_auc(told, broke, weights[known], position),
        metrics.stratified_auc_error(broke, position) * float(np.sqrt(len(every) / independent)),
        metrics.auc(1 - odds[:, CHOP], known, weights), slope, intercept,
        ece(told, broke, weights[known]) if len(told) else np.nan, ece_floor(told, weights[known]) if len(told) else np.nan,
    )  # fmt: skip


def suspicious(scored: list[Score]) -> list[str]:
    """What is too good to be true, in words: stratified AUC of a model surely above SUSPICIOUS, by SURE standard errors."""
    return [
        f"{one.name}, {one.elapsed} s: stratified AUC {one.stratified:.3f} above {SUSPICIOUS}"
        for one in scored
        if one.elapsed >= 0 and one.name != "geometry"
        and one.stratified - SURE * one.stratified_error > SUSPICIOUS
    ]  # fmt: skip


# ---- baselines, as fit and predict of `out_of_sample` ----


def _walked(every: Examples, fit: Any, predict: Any, first: int) -> np.ndarray:
    return out_of_sample(every.rows, every.days, every.weights, fit, predict, first=first, step=STEP)


def _outcomes(rows: np.ndarray, horizon: str) -> np.ndarray:
    return rows[f"outcome_{horizon}"].astype(np.int64)


def _fit_base(rows: np.ndarray, weights: np.ndarray, horizon: str) -> np.ndarray:
    return baselines.base_rate(_outcomes(rows, horizon), weights)


def _predict_base(shares: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.repeat(shares[None], len(rows), axis=0)


def _fit_kinds(rows: np.ndarray, weights: np.ndarray, horizon: str) -> dict[tuple[int, int], np.ndarray]:
    """Shares by kind and direction, drawn toward those of all by SHRINK episodes; (-1, -1): all."""
    outcomes, shares = _outcomes(rows, horizon), {}
    shares[-1, -1] = baselines.base_rate(outcomes, weights)
    for kind, direction in {(int(one["kind"]), int(one["direction"])) for one in rows}:
        at = (rows["kind"] == kind) & (rows["direction"] == direction)
        sums = np.bincount(outcomes[at], weights[at], minlength=3) + SHRINK * shares[-1, -1]
        shares[kind, direction] = sums / sums.sum()
    return shares


def _predict_kinds(shares: dict[tuple[int, int], np.ndarray], rows: np.ndarray) -> np.ndarray:
    return np.array([shares.get((int(one["kind"]), int(one["direction"])), shares[-1, -1]) for one in rows]).reshape(-1, 3)


def _fit_isotonic(rows: np.ndarray, weights: np.ndarray, horizon: str) -> tuple[np.ndarray, np.ndarray]:
    """The 0-100 score -> share that broke among the resolved, rising (pool adjacent violators; Barlow et al. 1972)."""
    outcomes = _outcomes(rows, horizon)
    kept = (outcomes != CHOP) & ~np.isnan(rows["break_score_smooth"])
    at, number = np.unique(rows["break_score_smooth"][kept], return_inverse=True)
    mass = np.bincount(number, weights[kept], minlength=len(at))
    blocks: list[list[float]] = []  # share, weight, scores in it
    for share, weight in zip(
        np.bincount(number, weights[kept] * (outcomes[kept] == BREAK), minlength=len(at)) / mass, mass, strict=True
    ):
        blocks.append([share, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            last, before = blocks.pop(), blocks.pop()
            total = last[1] + before[1]
            blocks.append([(last[0] * last[1] + before[0] * before[1]) / total, total, last[2] + before[2]])
    return at, np.repeat([block[0] for block in blocks], [int(block[2]) for block in blocks])


def _predict_isotonic(fitted: tuple[np.ndarray, np.ndarray], rows: np.ndarray, horizon: str) -> np.ndarray:
    """Geometry says how likely anything is resolved, the score which way; unknown, geometry says that too."""
    base = geometry(rows, horizon)
    at, shares = fitted
    if not len(at):
        return base
    scored = rows["break_score_smooth"]
    broke = np.interp(np.nan_to_num(scored), at, shares)
    broke = np.where(np.isnan(scored), metrics.break_given_resolved(base), broke)
    resolved = 1 - base[:, CHOP]
    return clipped(np.stack([resolved * broke, resolved * (1 - broke), base[:, CHOP]], axis=1))


def _fit_logistic(rows: np.ndarray, weights: np.ndarray, horizon: str, features: tuple[str, ...]) -> baselines.Logistic:
    return baselines.fit_logistic(rows, weights, horizon, features)


def _predict_logistic(model: baselines.Logistic, rows: np.ndarray) -> np.ndarray:
    return model.predict(rows)
