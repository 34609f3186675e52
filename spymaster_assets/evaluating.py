"""What the predictions in the lake were worth up to a date, and the report that says so.

It reads training and predictions of all dates and writes `models/evaluation`: evaluation.json, report.html and report.md. Nothing
is trained here but the baselines.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from spymaster_assets.fingerprint import Fingerprint, code_digest
from spymaster_assets.lake import Lake
from spymaster_assets.models import explaining, metrics, reliability
from spymaster_assets.models.artifacts import TRAINED, Artifacts, ModelManifest, Trained
from spymaster_assets.models.as_of import rows_of
from spymaster_assets.models.conformal import abstains, coverage
from spymaster_assets.models.drift import kolmogorov_smirnov, psi, regime, rolling
from spymaster_assets.models.evaluation import Tested, scores, suspicious, with_baselines
from spymaster_assets.models.examples import GROUPS, PRIMARY, STAGES, examples, feature_names, usable
from spymaster_assets.models.odds import geometry
from spymaster_assets.models.predicting import odds_of, sets_of
from spymaster_assets.models.report import page, text
from spymaster_assets.models.significance import power_statement
from spymaster_assets.progress import Progress
from spymaster_assets.sessions import to_datetime
from spymaster_assets.states import BREAK, CHOP, DIRECTIONS, LEVEL_KINDS, OUTCOMES
from spymaster_assets.tables import PATH_TRUTH, PREDICTIONS, TRAINING
from spymaster_assets.tables.predictions import MEMBERS
from spymaster_assets.training import Trainer

NAME: Final = "evaluation"
MODULES: Final = (
    "ablation", "baselines", "calibrate", "conformal", "drift", "evaluation", "examples", "explaining", "metrics", "odds",
    "predicting", "reliability", "report", "report_pictures", "report_tables", "report_words", "significance",
    "walk_forward", "weights",
)  # whose code decides an evaluation  # fmt: skip
LATEST: Final = 20  # dates whose features are compared with those before
SHOWN: Final = 20  # features, of importance and of drift
CASES: Final = 4  # touches whose analogs are shown
NEIGHBOURS: Final = 5  # of a case


def evaluate(lake: Lake, date: dt.date, progress: Progress | None = None, with_ablations: bool = False) -> ModelManifest:
    """The evaluation as of a date, over all predictions up to it; made unless it is there. ValueError without any.

    `with_ablations`: trees are trained anew with some families of features, which takes minutes.
    """
    dates = tested_dates(lake, date)
    if not dates:
        by_geometry = [one for one in lake.dates(PREDICTIONS) if one <= date and lake.readable(PREDICTIONS, one)]
        if by_geometry:
            raise ValueError(f"{date}: nothing to report: {untrained(lake, by_geometry)}")
        raise ValueError(f"{date}: no predictions up to this date; spymaster walk-forward makes them")
    inputs = {}
    for table in (TRAINING, PREDICTIONS):
        for one in dates:
            manifest = lake.manifest(table, one)
            assert manifest is not None, "dates that are there have manifests"
            inputs[f"{table.stage}/{table.name} {one}"] = manifest.content
    code = code_digest(*(f"spymaster_assets.models.{name}" for name in MODULES), __name__)
    inputs |= {"ablations": "made"} if with_ablations else {}
    fingerprint = Fingerprint(inputs, lake.config.digest("models"), code, f"{TRAINING.digest} {PREDICTIONS.digest}")

    def write(folder: Path) -> Trained:
        found = _evaluation(lake, dates, progress, with_ablations)
        (folder / "evaluation.json").write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
        (folder / "report.html").write_text(page(found))
        (folder / "report.md").write_text(text(found))
        return Trained(TRAINED, {"dates": len(dates), "rows": found["rows"], "leak": found["leak"]})

    return Artifacts(lake).make(NAME, date, fingerprint, write)[0]


def found_by(lake: Lake, manifest: ModelManifest) -> dict[str, Any]:
    """What an evaluation found, and its report as "markdown"."""
    folder = Artifacts(lake).folder(manifest)
    return {**json.loads((folder / "evaluation.json").read_text()), "markdown": (folder / "report.md").read_text()}


def tested_dates(lake: Lake, date: dt.date) -> list[dt.date]:
    """Dates up to `date` that have training and predictions in which a model was trained."""
    found = []
    for one in lake.dates(PREDICTIONS):
        manifest = lake.manifest(PREDICTIONS, one) if one <= date and lake.readable(PREDICTIONS, one) else None
        if manifest and manifest.rows and lake.readable(TRAINING, one) and TRAINED in manifest.facts["models"].values():
            found.append(one)
    return found


def untrained(lake: Lake, dates: Sequence[dt.date]) -> str:
    """How many of the dates were predicted by geometry alone, and what a model wants; empty if there are none."""
    rules, found = lake.config.models, [lake.published(PREDICTIONS, date) for date in dates]
    count = sum(manifest is not None and TRAINED not in manifest.facts["models"].values() for manifest in found)
    wanted = f"a model wants {rules.min_dates} dates and {rules.min_episodes} touches before its first one"
    return f"geometry alone speaks on {count} of {len(dates)} dates; {wanted}" if count else ""


def simulated(lake: Lake, dates: Sequence[dt.date]) -> bool:
    """Whether all of the dates are simulated ones with a planted truth."""
    return all(lake.local.manifest(PATH_TRUTH, one) is not None for one in dates)


def tested(lake: Lake, dates: Sequence[dt.date], horizon: str = PRIMARY) -> Tested:
    """The usable rows of dates at a horizon: what the members said of them, and the baselines, which know all dates before, too."""
    before = [one for one in lake.dates(TRAINING) if one < dates[0] and lake.readable(TRAINING, one)]
    rows, days = rows_of(lake, TRAINING, (*before, *dates))
    told, of = rows_of(lake, PREDICTIONS, tuple(dates))
    asked = np.isin(days, of)
    if asked.sum() != len(told) or (rows["touch"][asked] != told["touch"]).any() or (rows["k"][asked] != told["k"]).any():
        raise ValueError("training and predictions are not of the same rows: make the predictions again")
    kept = usable(rows, horizon)
    said = np.zeros(len(rows), np.int64)
    said[asked] = np.arange(len(told))
    at, known = said[kept], asked[kept]
    odds, sets = {}, {}
    for name in MEMBERS if horizon == PRIMARY else ("trees",):
        one = np.where(known[:, None], odds_of(told, name, horizon)[at], np.nan)
        if not np.isnan(one).all():
            odds[name] = one
            sets[name] = sets_of(told, name)[at]
    every = Tested(examples(rows, days, horizon), odds, sets if horizon == PRIMARY else {})
    walked = with_baselines(every, max(len(before), lake.config.models.embargo + 1), horizon)
    return walked.at(np.isin(walked.examples.days, of))


def _evaluation(lake: Lake, dates: Sequence[dt.date], progress: Progress | None, with_ablations: bool) -> dict[str, Any]:
    """Everything that the report tells, as JSON: what each part holds stands beside the function that makes it."""
    steps = ("scores", "importance", "cases")
    main = tested(lake, dates)
    found: dict[str, list[Any]] = {PRIMARY: scores(main)}
    for horizon in ("2min", "8min"):
        found[horizon] = scores(tested(lake, dates, horizon))
    _tell(progress, steps, 0)
    members = [name for name in MEMBERS if name in main.odds and len(main.examples)]
    if not members:
        raise ValueError("no model says anything about a row that can be tested")
    spoken = {name: int((~np.isnan(main.odds[name][:, 0])).sum()) for name in members}
    best = max((name for name in members if spoken[name] == max(spoken.values())), key=lambda name: _pooled(main, name).mean)
    at_touch = main.at(main.examples.rows["elapsed"] == 0)
    first = next((one for one in found[PRIMARY] if one.elapsed == 0), None)
    resolved = float((at_touch.examples.outcomes != CHOP).mean()) if len(at_touch.examples) else 0.0
    trainer = Trainer(lake)
    importance = _importance(trainer, main, dates)
    _tell(progress, steps, 1)
    cases = _cases(trainer, main, dates)
    _tell(progress, steps, 2)
    return plain({
        "date": dates[-1].isoformat(),
        "dates": [one.isoformat() for one in dates],
        "rows": len(main.examples),
        "touches": len(at_touch.examples),
        "simulated": sum(simulated(lake, [one]) for one in dates),
        "best": best,
        "power": power_statement(first.n_eff * resolved if first else 0.0),
        "horizons": {horizon: [asdict(one) for one in some] for horizon, some in found.items()},
        "reliability": {name: _reliability(at_touch, name) for name in ("geometry", *members)},
        "curves": {name: _curves(at_touch, name) for name in ("geometry", *members)},
        "over_time": {name: _over_time(main, name) for name in members},
        "by": _by(main, best),
        "importance": importance,
        "coverage": {name: _coverage(main, name) for name in members},
        "drift": _drift(main, best),
        "cases": cases,
        "leak": [] if simulated(lake, dates) else suspicious(found[PRIMARY]),
        "ablations": _ablations(lake, dates, progress) if with_ablations else None,
    })  # fmt: skip


def _ablations(lake: Lake, dates: Sequence[dt.date], progress: Progress | None) -> list[dict[str, Any]]:
    """Trees with some families of features, on the dates that the models were tested on."""
    from spymaster_assets.models.ablation import ablations  # with lightgbm, whose import takes seconds

    before = [one for one in lake.dates(TRAINING) if one < dates[0] and lake.readable(TRAINING, one)]
    every = examples(*rows_of(lake, TRAINING, (*before, *dates)))
    return ablations(every, max(len(before), lake.config.models.folds + 1), lake.config.models, progress)


def _pooled(part: Tested, name: str) -> metrics.Interval:
    """Gain of a scorer over geometry on all rows that it knows."""
    known = part.at(~np.isnan(part.odds[name][:, 0]))
    every = known.examples
    saved = metrics.log_losses(known.geometry, every.outcomes) - metrics.log_losses(known.odds[name], every.outcomes)
    return metrics.day_bootstrap(saved, every.weights, every.days)


def _resolved(part: Tested, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """P(break | resolved), whether it broke, and weights, of the resolved rows that a scorer knows."""
    odds, outcomes = part.odds[name], part.examples.outcomes
    kept = ~np.isnan(odds[:, 0]) & (outcomes != CHOP)
    return metrics.break_given_resolved(odds[kept]), outcomes[kept] == BREAK, part.examples.weights[kept]


def _reliability(part: Tested, name: str) -> dict[str, Any]:
    """Of the touches: mean probability, frequency and consistency band of each bin of P(break | resolved), and Murphy's parts."""
    told, broke, weights = _resolved(part, name)
    if not len(told) or broke.all() or not broke.any():
        return {}
    return {**reliability.reliability(told, broke, weights)._asdict(), "murphy": reliability.murphy(told, broke, weights)._asdict()}


def _curves(part: Tested, name: str) -> dict[str, Any]:
    """Of the touches: ROC and precision-recall of P(break | resolved), average precision, lift of the top tenth."""
    told, broke, weights = _resolved(part, name)
    if not len(told) or broke.all() or not broke.any():
        return {}
    roc, precision = reliability.roc_curve(told, broke, weights), reliability.precision_recall(told, broke, weights)
    return {
        "roc": {"x": roc.x, "y": roc.y}, "precision_recall": {"x": precision.x, "y": precision.y},
        "average_precision": reliability.average_precision(told, broke, weights),
        "lift": reliability.lift(told, broke, weights),
    }  # fmt: skip


def _gains(part: Tested, name: str) -> tuple[Tested, np.ndarray]:
    """The rows that a scorer knows, and its gain over geometry on each."""
    known = part.at(~np.isnan(part.odds[name][:, 0]))
    outcomes = known.examples.outcomes
    return known, metrics.log_losses(known.geometry, outcomes) - metrics.log_losses(known.odds[name], outcomes)


def _over_time(part: Tested, name: str) -> dict[str, Any]:
    """Mean gain of each date and over the last ten, share of silence over the last ten."""
    known, saved = _gains(part, name)
    every = known.examples
    dates, each = rolling(saved, every.weights, every.days, 1)
    return {
        "dates": [dt.date.fromordinal(int(one)).isoformat() for one in dates], "gain": each,
        "rolling": rolling(saved, every.weights, every.days)[1],
        "silent": rolling(abstains(known.sets[name]).astype(float), every.weights, every.days)[1],
    }  # fmt: skip


def _by(part: Tested, name: str) -> dict[str, list[dict[str, Any]]]:
    """Gain over geometry by kind of level, direction, hour and volatility."""
    known, saved = _gains(part, name)
    rows, every = known.examples.rows, known.examples
    hours = np.array([to_datetime(int(one), "America/New_York").hour for one in rows["t_decision"]])
    thirds = np.searchsorted(np.quantile(rows["sigma"], (1 / 3, 2 / 3)), rows["sigma"])
    keys = {
        "level": np.array(LEVEL_KINDS)[rows["kind"]], "direction": np.array(DIRECTIONS)[rows["direction"]],
        "hour, New York": hours.astype(str), "volatility": np.array(["low", "middle", "high"])[thirds],
        "seconds after the touch": rows["elapsed"].astype(int).astype(str),
    }  # fmt: skip
    found: dict[str, list[dict[str, Any]]] = {}
    for label, values in keys.items():
        found[label] = []
        for value in sorted(set(values.tolist()), key=lambda one: (len(one), one)):
            at = values == value
            gain = metrics.day_bootstrap(saved[at], every.weights[at], every.days[at])
            found[label].append({"value": value, "rows": int(at.sum()), "gain": list(gain)})
    return found


def _importance(trainer: Trainer, part: Tested, dates: Sequence[dt.date]) -> dict[str, Any]:
    """What the trees of each date went by on that date: TreeSHAP by feature, loss without each family."""
    shares: list[Mapping[str, float]] = []
    sizes: list[int] = []
    lost: dict[str, list[np.ndarray]] = {}
    weights: list[np.ndarray] = []
    days: list[np.ndarray] = []
    for stage in STAGES:
        every = part.examples.stage(stage)
        models: dict[str, list[dt.date]] = {}
        for date in dates:
            manifest = trainer.artifacts.manifest("trees", date)
            if manifest and manifest.status == TRAINED:
                models.setdefault(manifest.content, []).append(date)
        for some in models.values():
            asked = every.at(np.isin(every.days, [date.toordinal() for date in some]))
            if not len(asked):
                continue
            trees = trainer.trees(some[0], PRIMARY, stage)
            shares.append(explaining.shap_shares(trees, asked.rows))
            sizes.append(len(asked))
            before = metrics.log_losses(trees.predict(asked.rows), asked.outcomes)
            for family, losses in explaining.losses_without(trees, asked).items():
                lost.setdefault(family, []).append(losses - before)
            weights.append(asked.weights)
            days.append(asked.days)
    if not sizes:
        return {"features": [], "families": []}
    joined = explaining.joined(shares, sizes)
    top = sorted(joined, key=lambda name: -joined[name])[:SHOWN]
    families = {
        family: metrics.day_bootstrap(np.concatenate(some), np.concatenate(weights), np.concatenate(days))
        for family, some in lost.items()
    }
    return {
        "features": [{"name": name, "family": explaining.FAMILY_OF.get(name, "clock"), "share": joined[name]} for name in top],
        "families": [
            {"name": family, "loss": list(loss)} for family, loss in sorted(families.items(), key=lambda one: -one[1].mean)
        ],
    }


def _coverage(part: Tested, name: str) -> list[dict[str, Any]]:
    """Coverage of the conformal sets and share of silence, by group of landmarks."""
    known = part.at(~np.isnan(part.odds[name][:, 0]))
    found = coverage(known.sets[name], known.examples.outcomes, known.examples.groups)
    return [{"group": list(group), **one._asdict()} for group, one in zip(GROUPS, found, strict=True)]


def _drift(part: Tested, name: str) -> dict[str, Any]:
    """Features of the latest dates against those before, and since when the best member does worse than it did."""
    known, saved = _gains(part, name)
    every = known.examples
    dates = np.unique(every.days)
    late = every.days > dates[-min(LATEST, max(1, len(dates) // 3)) - 1] if len(dates) > 1 else np.zeros(len(every), bool)
    found: list[dict[str, Any]] = []
    for feature in feature_names("stage_b"):
        values = every.rows[feature].astype(np.float64)
        ks = kolmogorov_smirnov(values[~late], values[late])
        found.append({"name": feature, "psi": psi(values[~late], values[late]), "ks": ks.distance, "chance": ks.chance})
    found.sort(key=lambda one: -one["psi"] if np.isfinite(one["psi"]) else np.inf)
    watch = regime(saved, every.weights, every.days)
    flagged = dt.date.fromordinal(int(watch.flagged)).isoformat() if watch.flagged is not None else None
    return {
        "features": found[:SHOWN], "beyond": sum(one["psi"] > 0.25 for one in found), "of": len(found),
        "flagged": flagged, "excess": watch.excess,
        "dates": [dt.date.fromordinal(int(one)).isoformat() for one in watch.days],
    }  # fmt: skip


def _cases(trainer: Trainer, part: Tested, dates: Sequence[dt.date]) -> list[dict[str, Any]]:
    """The latest touches with the nearest earlier ones and what became of them."""
    found: list[dict[str, Any]] = []
    every = part.examples.stage("stage_a")
    for place in range(len(every) - 1, -1, -1):
        date = dt.date.fromordinal(int(every.days[place]))
        index = trainer.member("retrieval", date).indexes.get("stage_a")
        if index is None or len(found) == CASES:
            break
        row = every.rows[place : place + 1]
        analogs = index.analogs(row, every.days[place : place + 1])
        near = [one for one in range(NEIGHBOURS) if np.isfinite(analogs.distances[0, one])]
        shown = analogs.neighbours[0]
        found.append({
            "date": date.isoformat(), **_touch(row[0]),
            "time": to_datetime(int(row[0]["t_decision"]), "America/New_York").isoformat(),
            "outcome": OUTCOMES[int(every.outcomes[place])],
            "geometry": geometry(row, PRIMARY)[0], "odds": analogs.probabilities[0],
            "low": analogs.low[0], "high": analogs.high[0], "effective": analogs.effective[0],
            "far": bool(analogs.no_close_analog[0]),
            "neighbours": [
                {
                    "date": dt.date.fromordinal(int(shown[one]["day"])).isoformat(), **_touch(shown[one]),
                    "distance": analogs.distances[0, one], "outcome": OUTCOMES[int(shown[one]["outcome_4min"])],
                    "strength": shown[one]["strength_signed_4min"],
                }
                for one in near
            ],
        })  # fmt: skip
    return found


def _touch(row: np.void) -> dict[str, Any]:
    return {
        "level": LEVEL_KINDS[int(row["kind"])],
        "direction": DIRECTIONS[int(row["direction"])],
        "price": float(row["price"]) / 1e9,
    }


def plain(value: Any) -> Any:
    """The same as JSON has it: arrays as lists, what is no number or infinite as null."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _tell(progress: Progress | None, steps: tuple[str, ...], done: int) -> None:
    if progress:
        progress("evaluation", done + 1, len(steps))
