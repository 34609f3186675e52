"""Retrieval: what came of the touches most like this one, as probabilities and as cases that can be looked at.

A row is a point: its features, each less its median and over its interquartile range, cut off at REACH, 0 where unknown. The index
tries some metrics (`METRICS`) by walk-forward and keeps the one whose probabilities lose least. For a query:

- its k nearest points of earlier dates (`nearest`), each weighing 1 - (distance / distance of the k-th)² (Epanechnikov 1969, with
  the bandwidth of Loftsgaarden, Quesenberry 1965); their effective number n = (Σ w)² / Σ w² (Kish 1965);
- shares of the classes among them, by weight, each carried to the query: times its own geometry over theirs, so that neighbours
  that stood elsewhere tell what was beyond position alone (a standardised ratio, as of deaths observed to expected);
- a Dirichlet posterior: as if n outcomes in these shares had been seen, and before them `strength` outcomes in the shares of the
  query's geometry. Its mean is the prediction; each class's probability is Beta distributed, with the credible interval of
  COVERED. Strengths are tried with the metrics, one for each group of landmarks, since what tells fades. Infinite, it is geometry
  exactly, and so it is where nothing beat geometry or there are not k points to know;
- how far its k-th neighbour is, as a percentile of the same distance for the index's own points among other dates: beyond FAR,
  there is no close analog.

What a page shows of a neighbour is kept with the index. Stored as Parquet and JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spymaster_assets.compute.kernel import kernel
from spymaster_assets.models import odds
from spymaster_assets.models.baselines import TEN
from spymaster_assets.models.credible import credible
from spymaster_assets.models.examples import GROUPS, Examples, groups_of, matrix
from spymaster_assets.models.metrics import check_outcomes, log_losses
from spymaster_assets.models.nearest import Points, lay_out, nearest, nearest_of_others
from spymaster_assets.models.odds import CLASSES
from spymaster_assets.models.space import Space, fit_space
from spymaster_assets.models.walk_forward import folds as walk
from spymaster_assets.models.weights import episodes_of

K: Final = 200  # neighbours
FOLDS: Final = 4  # in which metric and strength are tried
STRENGTHS: Final = (math.inf, 1000.0, 300.0, 100.0, 30.0, 10.0, 3.0)  # outcomes for which geometry stands
FAR: Final = 0.95  # percentile of distances beyond which there is no close analog
METRICS: Final = (
    "equal",  # every feature alike
    "relevant",  # features by what each alone tells of the outcome beyond geometry
    "whitened",  # features made uncorrelated, of equal variance, by a shrunk covariance
    "leaves",  # share of trees in which two rows lie in different leaves (if leaves are given)
)
SHOWN: Final = (
    "touch", "kind", "direction", "price", "elapsed", "t_decision", "t_label_end", "outcome_{}", "excursion_max_{}",
    "excursion_min_{}", "strength_signed_{}", "strength_abs_{}", "time_to_break_2_{}", "time_to_bounce_2_{}",
)  # columns of rows that are kept with the points, of which t_label_end and the outcome are needed; {}: the horizon  # fmt: skip
FEATURES: Final = {
    "stage_a": (
        *TEN["stage_a"],
        "approach_pull_ratio", "approach_filled_rate_60", "approach_attacking_filled_rate",
        "approach_tape_imbalance", "approach_tape_velocity", "approach_tape_rate", "approach_gamma_velocity",
        "ofi_30s", "ofi_60s", "ofi_120s", "ofi_near_level_60s", "ofi_acceleration",
        "gamma_wall_ahead", "gex_asymmetry", "velocity_1min", "velocity_5min", "acceleration_5min", "path_efficiency_5min",
        "force_mass_ratio", "confluence_pressure", "runway_sigma", "attempt_index", "minutes_since_open",
    ),
    "stage_b": (
        "elapsed", "position_sigma_4min", *TEN["stage_b"],
        "filled_rate_5", "added_rate_15", "pulled_rate_15", "filled_rate_15", "attacking_filled_rate", "barrier_turnover",
        "tape_rate", "tape_large_share", "gamma_velocity", "approach_pulled_rate_60", "approach_barrier_delta_share",
        "approach_tape_imbalance", "ofi_60s", "ofi_near_level_60s", "signed_volume_120s", "gex_asymmetry", "velocity_1min",
        "velocity_5min", "force_mass_ratio", "runway_sigma", "attempt_index", "minutes_since_open",
    ),
}  # fmt: skip


class Evidence(NamedTuple):
    """What the neighbours of n queries tell. `shares`: (n, 3), 0 without evidence; `effective`: (n,), number of neighbours."""

    squares: np.ndarray  # (n, k) f4 squared distances, rising; inf: there is none
    places: np.ndarray  # (n, k) in the index; -1: there is none
    weights: np.ndarray  # (n, k), from 1 down to 0
    shares: np.ndarray
    effective: np.ndarray

    def posterior(self, geometry: np.ndarray, strength: np.ndarray) -> np.ndarray:
        """Posterior means (n, 3): geometry exactly without evidence, or where `strength` (n,) is infinite."""
        return geometry + (self.effective / (self.effective + strength))[:, None] * (self.shares - geometry)


@dataclass(frozen=True)
class Analogs:
    """What is shown of n queries. `neighbours`: (n, k), rows of `Index.shown`; those at an infinite distance are not there."""

    probabilities: np.ndarray  # (n, 3)
    low: np.ndarray  # (n, 3), of the credible interval of each class
    high: np.ndarray
    effective: np.ndarray  # (n,) number of neighbours
    percentile: np.ndarray  # (n,) of the k-th neighbour's distance, 0 to 1
    no_close_analog: np.ndarray  # (n,) flags
    neighbours: np.ndarray
    episodes: np.ndarray  # (n, k) numbers of the neighbours' episodes
    distances: np.ndarray  # (n, k), rising; in the metric of the index
    weights: np.ndarray  # (n, k)


class _Facts(NamedTuple):
    """Of an index's points, laid out once. `ends`: (m + 1,), the latest end of a label of the first 0, 1, ..., m; `own`: rising."""

    outcomes: np.ndarray
    geometry: np.ndarray
    ends: np.ndarray
    own: np.ndarray


@dataclass(frozen=True)
class Index:
    """Points by date, and how to ask for them. `shown`: (m,) what is known of each point, its date ("day") first.

    `strengths`: of each group of landmarks. `losses`: nats out of fold, of geometry and of each metric with the strengths that it
    would have. `own`: (m,), squared distance of each point to its k-th neighbour among other dates. `embargo`: dates of the index.
    """

    horizon: str
    features: tuple[str, ...]
    k: int
    embargo: int
    space: Space
    strengths: tuple[float, ...]
    losses: dict[str, float]
    points: Points
    shown: np.ndarray
    own: np.ndarray

    def predict(self, rows: np.ndarray, days: np.ndarray, leaves: np.ndarray | None = None) -> np.ndarray:
        """Probabilities (n, 3) of rows of training or features whose geometry is known; `leaves` (n, trees) if compared.

        ValueError if a label of a date that a row may know ends after the row's decision.
        """
        geometry = odds.geometry(rows, self.horizon)
        return self._evidence(rows, days, leaves, geometry).posterior(geometry, self._strength(rows))

    def analogs(self, rows: np.ndarray, days: np.ndarray, leaves: np.ndarray | None = None) -> Analogs:
        """The same with what stands behind it."""
        geometry = odds.geometry(rows, self.horizon)
        found = self._evidence(rows, days, leaves, geometry)
        probabilities = found.posterior(geometry, self._strength(rows))
        low, high = credible(probabilities, found.effective + self._strength(rows))
        percentile = np.searchsorted(self._facts.own, found.squares[:, -1], side="right") / max(len(self.own), 1)
        percentile[np.isinf(found.squares[:, -1])] = 1.0
        neighbours = self.shown[found.places] if len(self.shown) else np.zeros(found.places.shape, self.shown.dtype)
        episodes = self.points.episodes[found.places] if len(self.shown) else found.places
        return Analogs(
            probabilities, low, high, found.effective, percentile, percentile > FAR,
            neighbours, episodes, np.sqrt(found.squares), found.weights,
        )  # fmt: skip

    def _strength(self, rows: np.ndarray) -> np.ndarray:
        return np.array(self.strengths)[groups_of(rows["elapsed"])]

    def _evidence(self, rows: np.ndarray, days: np.ndarray, leaves: np.ndarray | None, geometry: np.ndarray) -> Evidence:
        queries = self.space.points(matrix(rows, self.features), leaves)
        squares, places = nearest(self.points, queries, days, self.k, self.embargo)
        known, names = self.points.known(days, self.embargo), rows.dtype.names or ()
        late = self._facts.ends[known] >= rows["t_decision" if "t_decision" in names else "ts"]
        if late.any():
            raise ValueError(f"a label that a row of date {days[late][0]} may know of ends after its decision")
        return evidence(squares, places, self._facts.outcomes, self._facts.geometry, geometry)

    @cached_property
    def _facts(self) -> _Facts:
        ends = np.maximum.accumulate(np.concatenate(([np.iinfo(np.int64).min], self.shown["t_label_end"])))
        outcomes = self.shown[f"outcome_{self.horizon}"].astype(np.int64)
        return _Facts(outcomes, odds.geometry(self.shown, self.horizon), ends, np.sort(self.own))

    def save(self, folder: Path) -> None:
        """Write index.parquet (a row per point) and index.json: the same bytes for the same index."""
        dims = self.points.blocks.shape[1]
        values = self.points.blocks.transpose(0, 2, 1).reshape(-1, dims)[: len(self.points)]
        columns = {
            **{name: self.shown[name] for name in self.shown.dtype.names or ()},
            "episode": self.points.episodes,
            "own": self.own,
            **{f"point_{d:03}": values[:, d] for d in range(dims)},
        }
        folder.mkdir(parents=True, exist_ok=True)
        table = pa.table({name: np.ascontiguousarray(column) for name, column in columns.items()})
        pq.write_table(table, folder / "index.parquet", compression="zstd", use_dictionary=False)
        facts = {
            "horizon": self.horizon, "features": self.features, "k": self.k, "embargo": self.embargo, "metric": self.space.metric,
            "centre": self.space.centre.tolist(), "scale": self.space.scale.tolist(), "transform": self.space.transform.tolist(),
            "strengths": [one if math.isfinite(one) else None for one in self.strengths], "losses": self.losses,
        }  # fmt: skip
        (folder / "index.json").write_text(json.dumps(facts, indent=1, sort_keys=True, allow_nan=False) + "\n")

    @staticmethod
    def load(folder: Path) -> Index:
        """What `save` wrote. A null strength is infinite."""
        facts = json.loads((folder / "index.json").read_text())
        read = pq.read_table(folder / "index.parquet")
        table = {name: read[name].to_numpy() for name in read.column_names}
        values = [table.pop(name) for name in read.column_names if name.startswith("point_")]
        episodes, own = table.pop("episode"), table.pop("own")
        shown = np.empty(len(own), [(name, column.dtype) for name, column in table.items()])
        for name, column in table.items():
            shown[name] = column
        size = len(facts["features"])
        space = Space(
            facts["metric"], np.array(facts["centre"]), np.array(facts["scale"]), np.array(facts["transform"]).reshape(size, size)
        )  # fmt: skip
        points = lay_out(
            np.stack(values, axis=1) if values else np.zeros((len(own), 0)), shown["day"], episodes, differ=space.metric == "leaves"
        )  # fmt: skip
        strengths = tuple(math.inf if one is None else one for one in facts["strengths"])
        return Index(
            facts["horizon"], tuple(facts["features"]), facts["k"], facts["embargo"], space, strengths, facts["losses"],
            points, shown, own,
        )  # fmt: skip


def fit_index(
    examples: Examples, features: Sequence[str], *, k: int = K, folds: int = FOLDS, embargo: int = 1,
    leaves: np.ndarray | None = None,
) -> Index:  # fmt: skip
    """Index the examples by these features; metric and strengths are those that lose least over the last two thirds of the dates.

    These are tried in `folds` steps, each from dates before it but the `embargo` latest. `leaves`: (n, trees), the leaf of each
    example in each tree; the trees must not have learnt from the example itself, or the trial flatters the metric.
    ValueError if an outcome is not one of the three, a feature may not be read, or geometry is unknown.
    """
    check_outcomes(examples.outcomes)
    order = np.argsort(examples.days, kind="stable")
    examples, leaves = examples.at(order), None if leaves is None else leaves[order]
    values = matrix(examples.rows, features)
    losses, best = _tried(examples, values, leaves, k, folds, embargo)
    space = fit_space(best.metric, examples, values)
    at = space.points(values, leaves)
    points = lay_out(at, examples.days, episodes_of(examples.rows, examples.days), differ=best.metric == "leaves")
    own = nearest_of_others(points, at, examples.days, k)[0][:, -1]
    return Index(
        examples.horizon, tuple(features), k, embargo, space, best.strengths, losses, points, _shown(examples), own
    )  # fmt: skip


class _Choice(NamedTuple):
    metric: str
    strengths: tuple[float, ...]


def _tried(
    examples: Examples, values: np.ndarray, leaves: np.ndarray | None, k: int, folds: int, embargo: int
) -> tuple[dict[str, float], _Choice]:
    """Losses out of fold of geometry and the metrics, and the choice that loses least; geometry on a tie."""
    geometry, best = odds.geometry(examples.rows, examples.horizon), _Choice(METRICS[0], (math.inf,) * len(GROUPS))
    parts = list(_parts(examples.days, folds, embargo))
    if not parts:
        return {}, best
    asked = np.concatenate([test for _, test in parts])
    tested, prior = examples.at(asked), geometry[asked]
    plain = log_losses(prior, tested.outcomes)
    losses = {"geometry": float(np.average(plain, weights=tested.weights))}
    least = losses["geometry"]
    for metric in METRICS if leaves is not None else METRICS[:-1]:
        found = [_out_of_fold(metric, examples, values, leaves, geometry, known, test, k) for known, test in parts]
        joined = Evidence(*(np.concatenate(pieces) for pieces in zip(*found, strict=True)))
        every = [log_losses(joined.posterior(prior, np.full(len(asked), one)), tested.outcomes) for one in STRENGTHS]
        lost, strengths = plain.copy(), []
        for group in range(len(GROUPS)):
            at = tested.groups == group
            best_of_group = _surely_least([one[at] for one in every], tested.weights[at], tested.days[at])
            lost[at] = every[best_of_group][at]
            strengths.append(STRENGTHS[best_of_group])
        losses[metric] = float(np.average(lost, weights=tested.weights))
        if losses[metric] < least:
            least, best = losses[metric], _Choice(metric, tuple(strengths))
    return losses, best


def _surely_least(losses: Sequence[np.ndarray], weights: np.ndarray, days: np.ndarray) -> int:
    """Which of some losses (n,) is least, if it lies below the first by more than a standard error, else the first.

    The rule of Breiman et al. 1984, 3.4.3, paired, with whole dates as the independent units.
    """
    least = min(range(len(losses)), key=lambda one: float(weights @ losses[one]))
    saved = weights * (losses[0] - losses[least])
    date = np.unique(days, return_inverse=True)[1].reshape(-1)
    sums, weight = np.bincount(date, saved), np.bincount(date, weights)
    rest = sums - weight * (sums.sum() / weight.sum() if len(weight) else 0.0)
    return least if sums.sum() > math.sqrt(rest @ rest) else 0


def _parts(days: np.ndarray, folds: int, embargo: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places of examples to know and to ask about, fold by fold."""
    dates = np.unique(days)
    first = max(embargo + 1, len(dates) // 3)
    for known, test in walk(dates, first, max(1, math.ceil((len(dates) - first) / folds)), embargo):
        yield np.flatnonzero(np.isin(days, dates[known])), np.flatnonzero(np.isin(days, dates[test]))


def _out_of_fold(
    metric: str, examples: Examples, values: np.ndarray, leaves: np.ndarray | None, geometry: np.ndarray,
    known: np.ndarray, test: np.ndarray, k: int,
) -> Evidence:  # fmt: skip
    learnt = examples.at(known)
    space = fit_space(metric, learnt, values[known])
    at = space.points(values, leaves)
    points = lay_out(at[known], learnt.days, episodes_of(learnt.rows, learnt.days), differ=metric == "leaves")
    return evidence(
        *nearest(points, at[test], examples.days[test], k, 0), learnt.outcomes, geometry[known], geometry[test]
    )  # `known` leaves the embargo out already


def _shown(examples: Examples) -> np.ndarray:
    wanted = (*SHOWN, *odds.geometry_columns(examples.horizon))
    names = [name for one in wanted if (name := one.format(examples.horizon)) in (examples.rows.dtype.names or ())]
    shown = np.empty(len(examples), [("day", "i8"), *((name, examples.rows.dtype[name]) for name in names)])
    shown["day"] = examples.days
    for name in names:
        shown[name] = examples.rows[name]
    return shown


# Points


# What neighbours tell


def evidence(
    squares: np.ndarray, places: np.ndarray, outcomes: np.ndarray, geometry: np.ndarray, asked: np.ndarray
) -> Evidence:  # fmt: skip
    """What the neighbours at squared distances (n, k) tell. `places`: (n, k) in `outcomes` (m,) and `geometry` (m, 3), theirs.

    `asked`: (n, 3), geometry of the queries. Neither may hold 0.
    """
    weights, shares = np.zeros(squares.shape), np.zeros((len(squares), len(CLASSES)))
    effective = np.zeros(len(squares))
    _weigh(squares, places, outcomes, geometry, asked, weights, shares, effective)
    return Evidence(squares, places, weights, shares, effective)


@kernel
def _weigh(
    squares: np.ndarray, places: np.ndarray, outcomes: np.ndarray, geometry: np.ndarray, asked: np.ndarray,
    weights: np.ndarray, shares: np.ndarray, effective: np.ndarray,
) -> None:  # fmt: skip
    """`weights`, `shares` and `effective` are given as zeros, and stay so for a query without k neighbours."""
    count, expected = squares.shape[1], np.empty(shares.shape[1])
    for i in range(squares.shape[0]):
        bandwidth = np.float64(squares[i, count - 1])
        if np.isinf(bandwidth):
            continue
        even = squares[i, 0] == squares[i, count - 1]  # all at one distance
        total, squared = 0.0, 0.0
        expected[:] = 0.0
        for j in range(count):
            weight, place = 1.0 if even else 1.0 - squares[i, j] / bandwidth, places[i, j]
            weights[i, j] = weight
            total += weight
            squared += weight * weight
            shares[i, outcomes[place]] += weight
            for c in range(expected.size):
                expected[c] += weight * geometry[place, c]
        carried = 0.0
        for c in range(expected.size):
            shares[i, c] *= asked[i, c] / expected[c]
            carried += shares[i, c]
        for c in range(expected.size):
            shares[i, c] /= carried
        effective[i] = total * total / squared
