"""The tables of an evaluation's report: names of columns, and rows of cells. Null reads "-"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spymaster_assets.models.report_pictures import Found, landmark_words, score_of
from spymaster_assets.models.report_words import in_seconds, interval, mean_of, shown, verdict

Cell = str | tuple[str, str]  # text; text and its class
Table = tuple[Sequence[str], Sequence[Sequence[Cell] | str]]  # names; rows, of which a string is a heading


def leaderboard(found: Found, horizon: str, landmarks: Sequence[int]) -> Table:
    """Every scorer at each of the landmarks (-1: all together), best gain first."""
    rows: list[Sequence[Cell] | str] = []
    for elapsed in landmarks:
        if some := [one for one in found["horizons"].get(horizon) or [] if one["elapsed"] == elapsed]:
            rows += [landmark_words(elapsed), *map(_score_row, some)]
    names = (
        "scorer", "gain, nats", "95% interval", "p", "p, Holm", "rows", "effective", "stratified AUC", "raw AUC", "AUC resolved",
        "log loss", "Brier", "slope", "intercept", "ECE", "its floor",
    )  # fmt: skip
    return names, rows


def _score_row(one: Mapping[str, Any]) -> Sequence[Cell]:
    kind = {"skill": "good", "worse": "bad"}.get(verdict(one), "")
    numbers = [shown(one[key], ".3f") for key in ("stratified", "auc", "resolved_auc")]
    numbers += [shown(one[key], ".4f") for key in ("log_loss", "brier")]
    numbers += [shown(one["slope"], ".2f"), shown(one["intercept"], "+.2f")]
    numbers += [shown(one[key], ".3f") for key in ("ece", "floor")]
    return (
        one["name"], (mean_of(one["gain"]), kind), (interval(one["gain"]), kind), shown(one["p"], ".4f"),
        shown(one["holm"], ".4f"), shown(one["rows"], ",d"), shown(one["n_eff"], ",.0f"), *numbers,
    )  # fmt: skip


def calibration_table(found: Found) -> Table:
    """Murphy's parts and what the curves sum up to, of each scorer at the touch."""
    rows = []
    for name, told in found["reliability"].items():
        murphy, curve, score = told.get("murphy") or {}, found["curves"].get(name) or {}, score_of(found, name, 0) or {}
        parts = [shown(murphy.get(key), ".4f") for key in ("brier", "reliability", "resolution", "uncertainty", "within")]
        errors = [shown(score.get(key), ".3f") for key in ("ece", "floor")]
        rows.append((name, *errors, *parts, shown(curve.get("average_precision"), ".3f"), shown(curve.get("lift"), ".2f")))
    names = ("scorer", "ECE", "its floor", "Brier", "reliability", "resolution", "uncertainty", "within bins",
             "average precision", "lift of the top tenth")  # fmt: skip
    return names, rows


def bin_table(found: Found) -> Table:
    rows: list[Sequence[Cell] | str] = []
    for name, told in found["reliability"].items():
        if told:
            rows.append(name)
            each = zip(*(told[key] for key in ("share", "said", "happened", "low", "high")), strict=True)
            rows += [(f"bin {number}", *(shown(one, ".3f") for one in some)) for number, some in enumerate(each, 1)]
    return ("", "share of weight", "said", "happened", "band from", "to"), rows


def time_table(found: Found) -> Table:
    told = found["over_time"]
    by_date = {
        name: dict(zip(one["dates"], zip(one["gain"], one["rolling"], one["silent"], strict=True), strict=True))
        for name, one in told.items()
        if one
    }
    rows = []
    for date in sorted({date for some in by_date.values() for date in some}):
        three = [some.get(date, (None, None, None)) for some in by_date.values()]
        rows.append((date, *(shown(one, form) for some in three for one, form in zip(some, ("+.4f", "+.4f", ".1%"), strict=True))))
    return ("date", *(f"{name}: {what}" for name in by_date for what in ("gain", "rolling", "silent"))), rows


def group_table(found: Found) -> Table:
    rows: list[Sequence[Cell] | str] = []
    for label, some in found["by"].items():
        rows.append(label)
        rows += [(one["value"], shown(one["rows"], ",d"), mean_of(one["gain"]), interval(one["gain"])) for one in some]
    return ("part", "rows", "gain, nats", "95% interval"), rows


def family_table(found: Found) -> Table:
    families = found["importance"]["families"]
    return ("family", "loss, nats", "95% interval"), [
        (one["name"], mean_of(one["loss"]), interval(one["loss"])) for one in families
    ]


def feature_table(found: Found) -> Table:
    features = found["importance"]["features"]
    return ("feature", "TreeSHAP", "family"), [(one["name"], shown(one["share"], ".4f"), one["family"]) for one in features]


def ablation_table(found: Found) -> Table:
    return ("families", "stage", "gain, nats", "95% interval", "less full", "95% interval"), [
        (one["name"], one["stage"], *(told for key in ("gain", "delta") for told in (mean_of(one[key]), interval(one[key]))))
        for one in found["ablations"] or []
    ]  # fmt: skip


def drift_table(found: Found) -> Table:
    return ("feature", "PSI", "KS distance", "its chance"), [
        (one["name"], shown(one["psi"], ".3f"), shown(one["ks"], ".3f"), shown(one["chance"], ".4f"))
        for one in found["drift"]["features"]
    ]


def coverage_table(found: Found) -> Table:
    return ("member", "landmarks", "rows", "held what happened", "abstained"), [
        (name, in_seconds(one["group"]), shown(one["rows"], ",d"), shown(one["covered"], ".1%"), shown(one["abstained"], ".1%"))
        for name, some in found["coverage"].items()
        for one in some
    ]
