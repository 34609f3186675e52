"""What the simulator planted beside what the pipeline sees: does it find what is there, and nothing else?

Reads the training tables of simulated dates and the truth beside them. No model is chosen here: the scorers are the plain ones that
every model must beat, and the oracle, which knows the efficient price, its volatility and the drift that runs.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np

from spymaster_assets.lake import Lake
from spymaster_assets.models import baselines, metrics
from spymaster_assets.models.examples import GROUPS, landmark_weights, usable
from spymaster_assets.models.metrics import Interval
from spymaster_assets.models.odds import clipped
from spymaster_assets.models.odds import geometry as geometry_of
from spymaster_assets.models.walk_forward import out_of_sample
from spymaster_assets.progress import Progress
from spymaster_assets.simulator.oracle import odds_of
from spymaster_assets.states import BREAK, CHOP, UP
from spymaster_assets.tables import PATH_TRUTH, TOUCHES, TOUCHES_TRUTH, TRAINING

NAME: Final = "4min"
SECONDS: Final = 240.0
FIRST: Final = 20  # dates before the first that is tested
STEP: Final = 5  # dates from one fit to the next
LATENTS: Final = {"w": "withdrawal of the defending side", "a": "aggression toward the break", "g": "dealers' gamma"}
SEEN: Final = {  # columns at the touch -> the latent that should move them, and which way
    "approach_replenishment_ratio": ("w", -1), "approach_barrier_delta_share": ("w", -1), "wall_ratio": ("w", -1),
    "approach_pulled_rate_60": ("w", 1), "approach_added_rate_60": ("w", -1),
    "signed_volume_30s": ("a", 1), "signed_volume_60s": ("a", 1), "approach_tape_imbalance": ("a", 1),
    "gamma_exposure": ("g", 1), "gex_above_3strike": ("g", 1), "gex_below_3strike": ("g", 1),
}  # fmt: skip


@dataclass(frozen=True)
class Scorer:
    """How a scorer does at one landmark, on the dates that are tested. `gain`: nats a row over geometry, by whole dates."""

    name: str
    elapsed: int
    rows: int
    log_loss: float
    gain: Interval
    auc: float
    stratified: float


@dataclass(frozen=True)
class Share:
    """Share of an outcome at a landmark beside geometry's and the oracle's, and the standard errors of whole dates between.

    Geometry estimates the volatility from the returns before, the oracle knows it. Where only the first is off, the estimate is.
    """

    outcome: str
    elapsed: int
    rows: int
    share: float
    geometry: float
    z: float
    oracle: float
    z_oracle: float


@dataclass(frozen=True)
class Seen:
    """Rank correlation of a column at the touch with each latent. `own`: the latent that should move it; `way`: its sign."""

    column: str
    own: str
    way: int
    rows: int
    correlations: dict[str, float]


@dataclass(frozen=True)
class Found:
    """Everything of one check."""

    world: str
    dates: list[dt.date]
    touches: int
    same_touches: int
    shares: list[Share]
    scorers: list[Scorer]
    seen: list[Seen]
    permuted: list[float]  # stratified AUC of the logistic regression on outcomes that were dealt anew


def dates_with_truth(lake: Lake) -> list[dt.date]:
    """Dates that have both training and the truth of a world."""
    return [date for date in lake.dates(TRAINING) if lake.local.readable(PATH_TRUTH, date) and lake.readable(TRAINING, date)]


def check(lake: Lake, dates: Sequence[dt.date], permutations: int = 5, on_progress: Progress | None = None) -> Found:
    """Compare the dates with their truth. ValueError without dates, for several worlds, or if a truth is another market's."""
    if not dates:
        raise ValueError("no date has both training and the truth of a world: simulate with --world, then backfill")
    worlds = {date: str(manifest.facts["world"]) for date in dates if (manifest := lake.local.manifest(PATH_TRUTH, date))}
    if len(set(worlds.values())) > 1:
        raise ValueError(f"dates of several worlds, {', '.join(sorted(set(worlds.values())))}: name some of one by --dates")
    parts = []
    for done, date in enumerate(dates):
        parts.append(_date(lake, date))
        if on_progress:
            on_progress("truth", done + 1, len(dates))
    rows, days, odds, latents, own, same, touches = (np.concatenate([part[place] for part in parts]) for place in range(7))
    kept = usable(rows, NAME) & ~np.isnan(odds[:, 0])
    weights = landmark_weights(rows[kept], days[kept], NAME)
    return Found(
        world=worlds[dates[0]],
        dates=list(dates),
        touches=int(touches.sum()),
        same_touches=int(same.sum()),
        shares=_shares(rows[kept], days[kept], odds[kept]),
        scorers=_scorers(rows[kept], days[kept], odds[kept], weights),
        seen=_seen(rows, latents, own),
        permuted=_permuted(rows[kept], days[kept], weights, permutations),
    )


def _date(lake: Lake, date: dt.date) -> tuple[np.ndarray, ...]:
    """Rows of training, their day, the oracle's odds, latents at the touch, whether it began a drift; touches seen alike, all."""
    rows, path, touches = lake.rows(TRAINING, date), lake.local.rows(PATH_TRUTH, date), lake.rows(TOUCHES, date)
    planted = lake.local.rows(TOUCHES_TRUTH, date)
    of, tick = touches[rows["touch"]], lake.config.instrument.tick / lake.config.instrument.point
    sign, now = np.where(rows["direction"] == UP, 1.0, -1.0), path[rows["k"]]
    odds = odds_of(
        sign * (now["price"] - rows["price"] / lake.config.instrument.point), rows[f"theta_{NAME}"] * tick, now["sigma"],
        of["print_spacing"], sign * now["drift"], now["remaining"], SECONDS, tick,
    )  # fmt: skip
    odds[np.isnan(of["print_spacing"])] = np.nan
    at_touch = path[of["k"]]
    latents = np.column_stack([at_touch[name] for name in LATENTS])
    ours = {(int(one["t0"]), int(one["kind"]), int(one["direction"])) for one in touches}
    theirs = {(int(one["ts"]), int(one["kind"]), int(one["direction"])) for one in planted}
    if len(ours & theirs) < len(ours | theirs) / 2:
        raise ValueError(
            f"{date}: {len(ours & theirs)} of {len(ours | theirs)} touches are those of the truth: training was made from another"
            " market; make the date again"
        )
    days = np.full(len(rows), date.toordinal())
    began = {(int(one["ts"]), int(one["kind"])) for one in planted if one["own"]}
    own = np.array([(int(one["t0"]), int(one["kind"])) in began for one in of], bool)
    return rows, days, odds, latents, own, np.array([len(ours & theirs)]), np.array([len(ours | theirs)])


def _shares(rows: np.ndarray, days: np.ndarray, oracle: np.ndarray) -> list[Share]:
    """Outcomes beside geometry and the oracle, by landmark."""
    found, odds = [], geometry_of(rows, NAME)
    for elapsed in np.unique(rows["elapsed"]):
        at = rows["elapsed"] == elapsed
        for code, name in enumerate(("BREAK", "BOUNCE", "CHOP")):
            came = rows[f"outcome_{NAME}"][at] == code
            beside = [(float(one[at, code].mean()), _errors(came - one[at, code], days[at])) for one in (odds, oracle)]
            found.append(Share(name, int(elapsed), int(at.sum()), float(came.mean()), *beside[0], *beside[1]))
    return found


def _errors(apart: np.ndarray, days: np.ndarray) -> float:
    """How many standard errors of whole dates a sum lies from 0."""
    sums = np.bincount(np.unique(days, return_inverse=True)[1].reshape(-1), apart)
    error = np.sqrt((sums**2).sum())
    return float(sums.sum() / error) if error else 0.0


def _scorers(rows: np.ndarray, days: np.ndarray, odds: np.ndarray, weights: np.ndarray) -> list[Scorer]:
    """Every scorer at every landmark, out of sample where it learns."""
    found: list[Scorer] = []
    geometry = geometry_of(rows, NAME)
    learnt = {"base rate": _walk(rows, days, weights, False), "logistic on ten": _walk(rows, days, weights, True)}
    tested = ~np.isnan(learnt["base rate"][:, 0])
    everyone = {**learnt, "geometry": geometry, "oracle": clipped(odds)}
    for elapsed in np.unique(rows["elapsed"][tested]):
        at = tested & (rows["elapsed"] == elapsed)
        found += [_scored(name, int(elapsed), rows[at], days[at], odds_[at], geometry[at]) for name, odds_ in everyone.items()]
    return found


def _scored(name: str, elapsed: int, rows: np.ndarray, days: np.ndarray, odds: np.ndarray, geometry: np.ndarray) -> Scorer:
    """One scorer at one landmark; every touch weighs the same."""
    outcomes, even = rows[f"outcome_{NAME}"].astype(np.int64), np.ones(len(rows))
    losses = metrics.log_losses(odds, outcomes)
    gain = metrics.day_bootstrap(metrics.log_losses(geometry, outcomes) - losses, even, days)
    known = outcomes != CHOP
    score, broke = metrics.break_given_resolved(odds[known]), outcomes[known] == BREAK
    strata = metrics.stratified_auc(score, broke, even[known], metrics.break_given_resolved(geometry[known]))
    return Scorer(name, elapsed, len(rows), float(losses.mean()), gain, metrics.auc(score, broke, even[known]), strata)


def _walk(rows: np.ndarray, days: np.ndarray, weights: np.ndarray, regression: bool) -> np.ndarray:
    """Probabilities of the regression, or of the base rate, by earlier dates; one fit for each group of landmarks."""
    out = np.full((len(rows), 3), np.nan)
    for group in GROUPS:
        part, stage = np.isin(rows["elapsed"], group), "stage_b" if any(group) else "stage_a"
        fit: Any = partial(_fit_logistic, features=baselines.TEN[stage]) if regression else _fit_base
        predict: Any = _predict_logistic if regression else _predict_base
        out[part] = out_of_sample(rows[part], days[part], weights[part], fit, predict, first=FIRST, step=STEP)
    return out


def _fit_base(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return baselines.base_rate(rows[f"outcome_{NAME}"].astype(np.int64), weights)


def _predict_base(shares: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.repeat(shares[None], len(rows), axis=0)


def _fit_logistic(rows: np.ndarray, weights: np.ndarray, features: tuple[str, ...]) -> baselines.Logistic:
    return baselines.fit_logistic(rows, weights, NAME, features)


def _predict_logistic(model: baselines.Logistic, rows: np.ndarray) -> np.ndarray:
    return model.predict(rows)


def _seen(rows: np.ndarray, latents: np.ndarray, began: np.ndarray) -> list[Seen]:
    """How the columns at the touch follow the latents; of touches that started a drift: the book faces their levels."""
    found, at = [], (rows["elapsed"] == 0) & began
    for column, (own, way) in SEEN.items():
        values = rows[column][at]
        known = ~np.isnan(values)
        ranks = _ranks(values[known])
        correlations = {
            name: float(np.corrcoef(ranks, _ranks(latents[at][known, place]))[0, 1]) if known.sum() > 2 else np.nan
            for place, name in enumerate(LATENTS)
        }
        found.append(Seen(column, own, way, int(known.sum()), correlations))
    return found


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks, ties at their mean."""
    _, number, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts + 1) / 2)[number])


def _permuted(rows: np.ndarray, days: np.ndarray, weights: np.ndarray, permutations: int) -> list[float]:
    """Stratified AUC at e = 0 of the logistic regression, once the outcomes of a date's touches are dealt anew among them."""
    found, first = [], rows["elapsed"] == 0
    rows, days, weights = rows[first], days[first], weights[first]
    for seed in range(permutations):
        of, dealt = np.random.default_rng(seed), rows.copy()
        for day in np.unique(days):
            at = np.flatnonzero(days == day)
            dealt[f"outcome_{NAME}"][at] = rows[f"outcome_{NAME}"][of.permutation(at)]
        fit = partial(_fit_logistic, features=baselines.TEN["stage_a"])
        odds = out_of_sample(dealt, days, weights, fit, _predict_logistic, first=FIRST, step=STEP)
        at = ~np.isnan(odds[:, 0]) & (dealt[f"outcome_{NAME}"] != CHOP)
        if at.sum() > 2:
            score, base = metrics.break_given_resolved(odds[at]), metrics.break_given_resolved(geometry_of(dealt[at], NAME))
            found.append(metrics.stratified_auc(score, dealt[f"outcome_{NAME}"][at] == BREAK, np.ones(int(at.sum())), base))
    return found
