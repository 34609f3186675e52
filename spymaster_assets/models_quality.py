"""What is measured of a date's models and of an evaluation: nothing looked ahead, and skill is neither absurd nor unsound."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from spymaster_assets.evaluating import NAME as EVALUATION
from spymaster_assets.evaluating import found_by
from spymaster_assets.lake import Lake
from spymaster_assets.models.artifacts import TRAINED, Artifacts, ModelManifest
from spymaster_assets.models.evaluation import SUSPICIOUS
from spymaster_assets.models.examples import PRIMARY
from spymaster_assets.models.promotion import SLOPES
from spymaster_assets.quality import Outcome
from spymaster_assets.sessions import calendar
from spymaster_assets.tables import TRAINING
from spymaster_assets.training import Trainer

COVERED: Final = 0.05  # by which the coverage of conformal sets may miss its level
LEAST_ROWS: Final = 300  # of a group of landmarks: below, coverage is not judged


@dataclass(frozen=True)
class ModelCheck:
    """A check of a model, or of an evaluation, of a date. `blocking`: its failure stops what lies downstream."""

    name: str
    model: str
    blocking: bool
    measure: Callable[[Lake, dt.date, ModelManifest], Outcome]

    @property
    def description(self) -> str:
        return (self.measure.__doc__ or "").strip()


def judge(lake: Lake, model: str, date: dt.date) -> dict[str, Outcome]:
    """The outcomes of a model's checks, by name."""
    manifest = Artifacts(lake).manifest(model, date)
    assert manifest is not None, "a model is judged once it is made"
    return {check.name: check.measure(lake, date, manifest) for check in MODEL_CHECKS if check.model == model}


def leak_timestamps(lake: Lake, date: dt.date, manifest: ModelManifest) -> Outcome:
    """Everything that was learnt from was over before the date opened, and the embargo was kept.

    The dates of the window precede the date as of which the model is trained by more than the embargo, and no label of them ends
    after the date's open.
    """
    window = manifest.facts["window"]
    dates = [dt.date.fromisoformat(one) for one in window["dates"]]
    since, days = dt.date.fromisoformat(window["since"]), calendar(lake.config)
    embargoed = days.before(since, lake.config.models.embargo)
    latest, ends = dates[-1] if dates else None, 0
    if latest is not None and lake.readable(TRAINING, latest) and len(rows := lake.rows(TRAINING, latest)):
        ends = int(rows["t_label_end"].max())
    opened = days.session(date).globex.start
    fine = since <= date and (latest is None or (latest < min(embargoed) and ends < opened))
    told = f"learnt from {len(dates)} dates up to {latest or 'none'}, for use from {since} on"
    return Outcome(fine, {"latest": str(latest), "last label ends": ends}, {"before": str(min(embargoed)), "opens": opened}, told)


def coverage_of_dates(lake: Lake, date: dt.date, manifest: ModelManifest) -> Outcome:
    """The window's trading dates, since the lake's first, have training: missing ones make a model of less."""
    window, least = manifest.facts["window"], lake.config.models.coverage
    missing = window["missing"]
    told = f"{len(window['dates'])} dates, {len(missing)} missing{': ' + ', '.join(missing[:5]) if missing else ''}"
    return Outcome(window["coverage"] >= least or not window["dates"], {"share": window["coverage"]}, {"at least": least}, told)


def better_out_of_fold(lake: Lake, date: dt.date, manifest: ModelManifest) -> Outcome:
    """Out of fold and recalibrated, the model loses no more than geometry: else it has learnt noise."""
    if manifest.status != TRAINED:
        return Outcome(True, {"status": manifest.status}, {}, f"geometry serves: {manifest.facts.get('lacking', 'nothing learnt')}")
    found = manifest.facts["out_of_fold"][PRIMARY]
    fine = found["calibrated"] <= found["geometry"] + 1e-9
    told = f"{found['calibrated']:.4f} nats a row, geometry {found['geometry']:.4f}"
    return Outcome(fine, {"calibrated": found["calibrated"]}, {"at most": found["geometry"]}, told)


def retrieval_exclusion(lake: Lake, date: dt.date, manifest: ModelManifest) -> Outcome:
    """No neighbour of the date's own touches is of the date, of the embargo or later, and none of one episode comes three times."""
    trainer = Trainer(lake)
    indexes = trainer.member("retrieval", date).indexes
    if not indexes or not lake.readable(TRAINING, date):
        return Outcome(True, {"touches": 0}, {}, "nothing to look up")
    rows = lake.rows(TRAINING, date)
    rows = rows[(rows["elapsed"] == 0) & ~np.isnan(rows[f"geometry_break_{PRIMARY}"])]
    days = np.full(len(rows), date.toordinal(), np.int64)
    limit = min(calendar(lake.config).before(date, lake.config.models.embargo)).toordinal()
    analogs = indexes["stage_a"].analogs(rows, days)
    there = np.isfinite(analogs.distances)
    latest = int(analogs.neighbours["day"][there].max()) if there.any() else 0
    counts = [np.unique(analogs.episodes[one][there[one]], return_counts=True)[1] for one in range(len(rows))]
    most = max((int(one.max()) for one in counts if len(one)), default=0)
    told = f"{len(rows)} touches, latest neighbour of {dt.date.fromordinal(latest) if latest else 'no date'}"
    return Outcome(latest < limit and most <= 2, {"latest": latest, "of one episode": most}, {"before": limit, "at most": 2}, told)


def absurd_skill(lake: Lake, date: dt.date, manifest: ModelManifest) -> Outcome:
    """No stratified AUC is too good to be true; simulated dates, whose truth is planted, are not judged."""
    leak = manifest.facts["leak"]
    return Outcome(not leak, {"beyond": len(leak)}, {"stratified AUC": SUSPICIOUS}, "; ".join(leak) or "nothing looks like a leak")


def calibration_slope(lake: Lake, date: dt.date, manifest: ModelManifest) -> Outcome:
    """The best member's P(break | resolved) at the touch is neither far too sure nor far too shy."""
    found = found_by(lake, manifest)
    at = [one for one in found["horizons"][PRIMARY] if one["name"] == found["best"] and one["elapsed"] == 0]
    slope = at[0]["slope"] if at else None
    fine = slope is None or SLOPES[0] <= slope <= SLOPES[1]
    told = f"{found['best']}: slope {slope:.2f}" if slope is not None else "too few rows for a slope"
    return Outcome(fine, {"slope": slope}, {"from": SLOPES[0], "to": SLOPES[1]}, told)


def conformal_coverage(lake: Lake, date: dt.date, manifest: ModelManifest) -> Outcome:
    """The conformal sets of the best member hold what happened about as often as they promise, per group of landmarks."""
    found, level = found_by(lake, manifest), lake.config.models.coverage_level
    groups = [one for one in found["coverage"][found["best"]] if one["rows"] >= LEAST_ROWS]
    worst = max((abs(one["covered"] - level) for one in groups), default=0.0)
    told = ", ".join(f"{one['group']} s: {one['covered']:.3f} of {one['rows']} rows" for one in groups) or "too few rows"
    return Outcome(worst <= COVERED, {"farthest": worst}, {"at most": COVERED, "level": level}, told)


def regime(lake: Lake, date: dt.date, manifest: ModelManifest) -> Outcome:
    """The best member does against geometry as it did before: CUSUM of the dates' mean gains."""
    drift = found_by(lake, manifest)["drift"]
    told = f"worse since about {drift['flagged']}" if drift["flagged"] else "no worse than before"
    return Outcome(drift["flagged"] is None, {"flagged": str(drift["flagged"]), "beyond": drift["beyond"]}, {"PSI": 0.25}, told)


MODEL_CHECKS: Final = (
    *(
        ModelCheck(name, model, blocking, measure)
        for model in ("trees", "retrieval", "patchtst", "ensemble")
        for name, blocking, measure in (
            ("leak_timestamps", True, leak_timestamps),
            ("coverage", False, coverage_of_dates),
            ("better_out_of_fold", False, better_out_of_fold),
        )
    ),
    ModelCheck("retrieval_exclusion", "retrieval", True, retrieval_exclusion),
    ModelCheck("absurd_skill", EVALUATION, True, absurd_skill),
    ModelCheck("calibration_slope", EVALUATION, False, calibration_slope),
    ModelCheck("conformal_coverage", EVALUATION, False, conformal_coverage),
    ModelCheck("regime", EVALUATION, False, regime),
)
