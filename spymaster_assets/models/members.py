"""The models by name: how each is trained as of a date, kept in a folder, read back, and asked.

Every member answers with the three probabilities at the primary horizon, trees at all three. What a member says is recalibrated by
temperatures that its own out-of-fold answers gave, and comes with conformal sets of the same. Where there is too little to learn
from it is geometry.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spymaster_assets.config import Models
from spymaster_assets.features import HORIZONS
from spymaster_assets.models.artifacts import INSUFFICIENT, TRAINED, Trained
from spymaster_assets.models.calibrate import Calibrator, fit_calibrator
from spymaster_assets.models.conformal import Conformal, fit_conformal
from spymaster_assets.models.ensemble import Ensemble, fit_ensemble
from spymaster_assets.models.examples import GROUPS, PRIMARY, STAGES, Examples, examples, feature_names, groups_of, usable
from spymaster_assets.models.inner_folds import date_blocks
from spymaster_assets.models.metrics import log_loss
from spymaster_assets.models.odds import geometry, logs
from spymaster_assets.models.retrieval import FEATURES, Index, fit_index
from spymaster_assets.models.weights import episodes_of
from spymaster_assets.progress import Progress

if TYPE_CHECKING:
    from spymaster_assets.models.patchtst import Trained as PatchTST
    from spymaster_assets.models.trees import Heads, Trees

ALONE: Final = ("trees", "retrieval", "patchtst")
LIBRARIES: Final = {
    "trees": ("lightgbm", "numpy"),
    "retrieval": ("numpy", "numba"),
    "patchtst": ("torch", "numpy"),
    "ensemble": ("numpy",),
}
VALID: Final = 5  # the last one in so many dates is kept from PatchTST: its stopping, calibration and place in the ensemble
CALIBRATOR: Final = "calibrator.json"
OUT_OF_FOLD: Final = "out_of_fold.parquet"


@dataclass(frozen=True)
class Asked:
    """Rows to tell about, of training or with the same features. `days`: (n,), ordinal of each row's date.

    `values`, `observed`: the sequences of the rows at `places`, as patchtst.sequence_arrays gives them; None: of no row.
    """

    rows: np.ndarray
    days: np.ndarray
    values: np.ndarray | None = None
    observed: np.ndarray | None = None
    places: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def at(self, kept: np.ndarray) -> Asked:
        """Those of flags (n,)."""
        if self.values is None or self.observed is None:
            return Asked(self.rows[kept], self.days[kept])
        within = kept[self.places]
        places = (np.cumsum(kept) - 1)[self.places[within]]
        return Asked(self.rows[kept], self.days[kept], self.values[within], self.observed[within], places)


@dataclass(frozen=True)
class Calibrated:
    """What a member's out-of-fold answers at a horizon gave."""

    calibrator: Calibrator
    conformal: Conformal

    def apply(self, odds: np.ndarray, base: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Recalibrated odds (n, 3); NaN where the member is silent."""
        out, told = np.full(odds.shape, np.nan), ~np.isnan(odds).any(axis=1)
        out[told] = self.calibrator.apply(odds[told], base[told], groups[told])
        return out

    def sets(self, odds: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Conformal sets (n, 3) of recalibrated odds; all classes where the member is silent."""
        out, told = np.ones(odds.shape, bool), ~np.isnan(odds).any(axis=1)
        out[told] = self.conformal.sets(odds[told], groups[told])
        return out


Raw = Callable[[Asked, str], np.ndarray]  # odds (n, 3) at a horizon, NaN where it is silent


@dataclass(frozen=True)
class Member:
    """A model that can be asked. `calibrated`: by horizon; without any it knows geometry only.

    `heads`: trees' of strength and reach, `indexes`: retrieval's, by stage.
    """

    name: str
    raw: Raw
    calibrated: Mapping[str, Calibrated]
    heads: Mapping[str, Heads] = field(default_factory=dict)
    indexes: Mapping[str, Index] = field(default_factory=dict)

    def odds(self, asked: Asked, horizon: str = PRIMARY) -> np.ndarray:
        """Recalibrated probabilities (n, 3) of rows whose geometry is known; NaN where it is silent."""
        base = geometry(asked.rows, horizon)
        if not self.calibrated:
            return base
        return self.calibrated[horizon].apply(self.raw(asked, horizon), base, groups_of(asked.rows["elapsed"]))

    def sets(self, odds: np.ndarray, elapsed: np.ndarray, horizon: str = PRIMARY) -> np.ndarray:
        """Conformal sets (n, 3) of its odds at seconds after the touch (n,); all three classes where nothing is promised."""
        if not self.calibrated:
            return np.ones(odds.shape, bool)
        return self.calibrated[horizon].sets(odds, groups_of(elapsed))


# ---- training ----


@dataclass(frozen=True)
class Learnt:
    """What is learnt from: the training of a window, with its sequences."""

    asked: Asked
    rules: Models
    progress: Progress | None = None

    def examples(self, horizon: str = PRIMARY) -> Examples:
        return examples(self.asked.rows, self.asked.days, horizon)

    @property
    def lacking(self) -> str:
        """Why there is too little to learn from; empty if there is enough."""
        known = self.examples()
        dates, touched = len(np.unique(known.days)), len(np.unique(episodes_of(known.rows, known.days)))
        if dates < self.rules.min_dates or touched < self.rules.min_episodes:
            return f"{touched} episodes on {dates} dates; expected at least {self.rules.min_episodes} on {self.rules.min_dates}"
        happened = np.bincount(known.outcomes, minlength=3)
        return f"outcomes are {happened.tolist()}: at least two must occur" if (happened > 0).sum() < 2 else ""


class TooLittle(ValueError):
    """There is too little to learn from; says what is lacking."""


def train(name: str, learnt: Learnt, folder: Path, others: Mapping[str, Path] | None = None) -> Trained:
    """Train a member and write its files into a folder. `others`: of the ensemble: the folders of the members that are trained."""
    facts: dict[str, Any] = {"seed": learnt.rules.seed, "libraries": {one: version(one) for one in LIBRARIES[name]}}
    try:
        if lacking := learnt.lacking:
            raise TooLittle(lacking)
        if name == "ensemble":
            return Trained(TRAINED, facts | _train_ensemble(learnt, folder, others or {}))
        trainers = {"trees": _train_trees, "retrieval": _train_retrieval, "patchtst": _train_patchtst}
        return Trained(TRAINED, facts | trainers[name](learnt, folder))
    except TooLittle as error:
        return Trained(INSUFFICIENT, {**facts, "lacking": str(error)})


def _train_trees(learnt: Learnt, folder: Path) -> dict[str, Any]:
    from spymaster_assets.models.trees import fit_heads, fit_trees  # imports of seconds stand where they are needed

    facts: dict[str, Any] = {"rounds": {}, "features": {}}
    found = {}
    steps = [(horizon, stage) for horizon in HORIZONS for stage in STAGES]
    parts = {one: _enough(learnt.examples(one[0]).stage(one[1]), learnt.rules, " of ".join(one)) for one in steps}
    for done, ((horizon, stage), part) in enumerate(parts.items()):
        trees, odds = fit_trees(part, feature_names(stage), learnt.rules)
        trees.save(folder, f"{stage}_{horizon}")
        found[horizon, stage] = part, odds
        facts["rounds"][f"{stage} {horizon}"] = trees.rounds
        facts["features"][stage] = len(trees.features)
        _tell(learnt, "trees", done + 1, len(steps) + len(STAGES))
    for number, stage in enumerate(STAGES):
        fit_heads(learnt.examples().stage(stage), feature_names(stage), learnt.rules).save(folder, stage)
        _tell(learnt, "trees", len(steps) + number + 1, len(steps) + len(STAGES))
    oof = {horizon: _joined([found[horizon, stage] for stage in STAGES]) for horizon in HORIZONS}
    return facts | _calibrate(oof, folder, learnt.rules)


def _enough(part: Examples, rules: Models, what: str) -> Examples:
    """The examples as they are, if every fold of their dates leaves some to learn from; else TooLittle."""
    try:
        list(date_blocks(part.days, rules.folds, rules.embargo))
    except ValueError as error:
        raise TooLittle(f"{what}: {len(part)} rows on {len(np.unique(part.days))} dates: {error}") from error
    return part


def _train_retrieval(learnt: Learnt, folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = {"metric": {}, "strengths": {}}
    found = []
    for done, stage in enumerate(STAGES):
        part = _enough(learnt.examples().stage(stage), learnt.rules, stage)
        index = fit_index(part, FEATURES[stage], embargo=learnt.rules.embargo)
        (folder / stage).mkdir()
        index.save(folder / stage)
        facts["metric"][stage] = index.space.metric
        facts["strengths"][stage] = [one if np.isfinite(one) else None for one in index.strengths]
        found.append((part, index.predict(part.rows, part.days)))  # from dates before each row's own
        _tell(learnt, "retrieval", done + 1, len(STAGES))
    return facts | _calibrate({PRIMARY: _joined(found)}, folder, learnt.rules)


def _train_patchtst(learnt: Learnt, folder: Path) -> dict[str, Any]:
    """Learn from the earlier dates, stop by the latest ones, and be calibrated by them."""
    from spymaster_assets.models import patchtst

    kept = usable(learnt.asked.rows, PRIMARY)
    asked, every = learnt.asked.at(kept), learnt.examples()
    if asked.values is None or asked.observed is None or not len(asked.places):
        raise TooLittle("no sequences")
    part, values = every.at(asked.places), np.where(asked.observed[:, :, None], asked.values, np.float32(np.nan))
    dates = np.unique(part.days)
    held = max(1, len(dates) // VALID)
    if len(dates) <= held + learnt.rules.embargo:
        raise TooLittle(f"sequences on {len(dates)} dates")
    latest, earlier = part.days >= dates[-held], part.days < dates[-held - learnt.rules.embargo]
    offset = logs(geometry(part.rows, PRIMARY))

    def labelled(at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return values[at], offset[at], part.outcomes[at], part.weights[at]

    network = patchtst.fit(
        *labelled(earlier),
        labelled(latest),
        seed=learnt.rules.seed,
        epochs=learnt.rules.sequence_epochs,
        on_progress=learnt.progress,
    )
    network.save(folder)
    told = part.at(latest)
    odds = network.predict(values[latest], asked.observed[latest], offset[latest])
    facts = {"epoch": network.epoch, "losses": [list(one) for one in network.history], "latest": int(latest.sum())}
    return facts | _calibrate({PRIMARY: (told, odds)}, folder, learnt.rules)


def _train_ensemble(learnt: Learnt, folder: Path, others: Mapping[str, Path]) -> dict[str, Any]:
    """Learn from the members' answers out of fold, on the rows that trees answered."""
    if not others:
        raise TooLittle("no member is trained")
    every = learnt.examples()
    odds = {name: _out_of_fold(home, every) for name, home in others.items()}
    base = geometry(every.rows, PRIMARY)
    fitted = fit_ensemble(odds, base, every.outcomes, every.weights, every.groups, every.days, len(GROUPS))
    (folder / "ensemble.json").write_text(json.dumps(fitted.as_json(), indent=1, allow_nan=False) + "\n")
    facts = {"members": list(fitted.members), "server": fitted.server, "weights": fitted.weights.round(4).tolist()}
    return facts | _calibrate({PRIMARY: (every, fitted.predict(odds, base, every.groups))}, folder, learnt.rules)


def _calibrate(found: Mapping[str, tuple[Examples, np.ndarray]], folder: Path, rules: Models) -> dict[str, Any]:
    """Fit temperatures and sets to out-of-fold odds by horizon, keep both and the odds, and say what they lost against geometry."""
    kept, facts = {}, {}
    for horizon, (part, odds) in found.items():
        base = geometry(part.rows, horizon)
        calibrator = fit_calibrator(odds, base, part.outcomes, part.weights, part.groups)
        better = calibrator.apply(odds, base, part.groups)
        conformal = fit_conformal(better, part.outcomes, part.groups, rules.coverage_level)
        kept[horizon] = {"calibrator": calibrator.as_json(), "conformal": conformal.as_json()}
        losses = {"geometry": base, "raw": odds, "calibrated": better}
        facts[horizon] = {name: round(log_loss(one, part.outcomes, part.weights), 6) for name, one in losses.items()}
    (folder / CALIBRATOR).write_text(json.dumps(kept, indent=1, allow_nan=False) + "\n")
    part, odds = found[PRIMARY]
    columns = {"day": part.days, "touch": part.rows["touch"], "elapsed": part.rows["elapsed"]}
    table = pa.table({**columns, **{name: odds[:, place] for place, name in enumerate(("break", "bounce", "chop"))}})
    pq.write_table(table, folder / OUT_OF_FOLD, compression="zstd")
    return {"out_of_fold": facts}


def _out_of_fold(folder: Path, every: Examples) -> np.ndarray:
    """A member's out-of-fold odds of the examples, (n, 3); NaN where it has none."""
    table = pq.read_table(folder / OUT_OF_FOLD)
    key = row_key(every.days, every.rows["touch"], every.rows["elapsed"])
    there = row_key(*(table[name].to_numpy() for name in ("day", "touch", "elapsed")))
    order = np.argsort(there)
    place = order[np.searchsorted(there, key, sorter=order).clip(max=len(there) - 1)]
    odds = np.column_stack([table[name].to_numpy() for name in ("break", "bounce", "chop")])[place]
    return np.where((there[place] == key)[:, None], odds, np.nan)


def row_key(days: np.ndarray, touches: np.ndarray, elapsed: np.ndarray) -> np.ndarray:
    """One number, (n,) i8, per (ordinal of the date, touch, seconds after it)."""
    return (days.astype(np.int64) << 32) | (touches.astype(np.int64) << 10) | elapsed.astype(np.int64)


def _joined(parts: list[tuple[Examples, np.ndarray]]) -> tuple[Examples, np.ndarray]:
    """Examples of both stages with their odds, one below the other."""
    first = parts[0][0]
    rows, days, weights = (np.concatenate([getattr(part, name) for part, _ in parts]) for name in ("rows", "days", "weights"))
    return Examples(first.horizon, rows, days, weights), np.concatenate([odds for _, odds in parts])


def _tell(learnt: Learnt, label: str, done: int, total: int) -> None:
    if learnt.progress:
        learnt.progress(label, done, total)


# ---- asking ----


def load(name: str, status: str, folder: Path | None, others: Mapping[str, Member] | None = None) -> Member:
    """A member as it was kept; one of too little data is geometry. `others`: of the ensemble: its members, by name."""
    if status != TRAINED or folder is None or not (folder / CALIBRATOR).exists():
        return Member(name, lambda asked, horizon: geometry(asked.rows, horizon), {})
    kept = json.loads((folder / CALIBRATOR).read_text())
    calibrated = {
        horizon: Calibrated(Calibrator.from_json(one["calibrator"]), Conformal.from_json(one["conformal"]))
        for horizon, one in kept.items()
    }
    if name == "trees":
        from spymaster_assets.models.trees import Heads, Trees

        trees = {(horizon, stage): Trees.load(folder, f"{stage}_{horizon}") for horizon in HORIZONS for stage in STAGES}
        heads = {stage: Heads.load(folder, stage) for stage in STAGES}
        return Member(name, partial(_by_stage, trees), calibrated, heads=heads)
    if name == "retrieval":
        indexes = {stage: Index.load(folder / stage) for stage in STAGES}
        return Member(name, partial(_by_index, indexes), calibrated, indexes=indexes)
    if name == "patchtst":
        from spymaster_assets.models import patchtst

        return Member(name, partial(_by_sequence, patchtst.Trained.load(folder)), calibrated)
    fitted = Ensemble.from_json(json.loads((folder / "ensemble.json").read_text()))
    missing = [one for one in fitted.members if one not in (others or {})]
    if missing:
        raise ValueError(f"{folder}: the ensemble needs {', '.join(missing)}")
    return Member(name, partial(_by_all, fitted, {one: (others or {})[one] for one in fitted.members}), calibrated)


def _stages(rows: np.ndarray) -> dict[str, np.ndarray]:
    """Flags (n,) of the rows of each stage."""
    first = rows["elapsed"] == 0
    return {"stage_a": first, "stage_b": ~first}


def _by_stage(trees: Mapping[tuple[str, str], Trees], asked: Asked, horizon: str) -> np.ndarray:
    out = np.full((len(asked.rows), 3), np.nan)
    for stage, at in _stages(asked.rows).items():
        if at.any():
            out[at] = trees[horizon, stage].predict(asked.rows[at])
    return out


def _by_index(indexes: Mapping[str, Index], asked: Asked, horizon: str) -> np.ndarray:
    out = np.full((len(asked.rows), 3), np.nan)
    for stage, at in _stages(asked.rows).items():
        if at.any() and horizon == PRIMARY:
            out[at] = indexes[stage].predict(asked.rows[at], asked.days[at])
    return out


def _by_sequence(network: PatchTST, asked: Asked, horizon: str) -> np.ndarray:
    out = np.full((len(asked.rows), 3), np.nan)
    if asked.values is not None and asked.observed is not None and len(asked.places) and horizon == PRIMARY:
        offset = logs(geometry(asked.rows[asked.places], horizon))
        for number, place in enumerate(asked.places):  # one by one: in a batch the last bits differ
            one = slice(number, number + 1)
            out[place] = network.predict(asked.values[one], asked.observed[one], offset[one])[0]
    return out


def _by_all(fitted: Ensemble, members: Mapping[str, Member], asked: Asked, horizon: str) -> np.ndarray:
    odds = {name: member.raw(asked, horizon) for name, member in members.items()}
    return fitted.predict(odds, geometry(asked.rows, horizon), groups_of(asked.rows["elapsed"]))
