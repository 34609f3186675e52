"""Measures of a date beside the ones before it, on its training table. They only warn: a quiet day is no error."""

from __future__ import annotations

from typing import Final

import numpy as np

from spymaster_assets.features import FEATURES
from spymaster_assets.quality import Outcome, Partition
from spymaster_assets.sessions import calendar
from spymaster_assets.tables import FUTURES_MBP10, PRIORS, TRAINING

LOOKBACK: Final = 20  # trading dates


def calendar_complete(part: Partition) -> Outcome:
    """Few of the preceding trading dates are missing since the lake's first one; what is usual is known from them."""
    limit, usual = part.lake.config.quality.calendar_share_min, part.beside(PRIORS)
    facts = usual.facts if usual else {}
    there, missing = sorted(facts.get("dates", [])), sorted(facts.get("missing", []))
    first = min(part.lake.dates(FUTURES_MBP10), default=part.date).isoformat()
    holes = [date for date in missing if date >= first]
    share = len(there) / (len(there) + len(holes)) if there or holes else 1.0
    message = "no date is missing" if not holes else f"missing: {', '.join(holes[:10])}{' ...' if len(holes) > 10 else ''}"
    return Outcome(share >= limit, {"share": share, "dates": len(there), "missing": len(holes)}, {"share": limit}, message)


def drift(part: Partition) -> Outcome:
    """Few features lie far from where they lay on the last 20 dates: the date's median against theirs, and its share of nulls."""
    rules, lake = part.lake.config.quality, part.lake
    earlier = [date for date in calendar(lake.config).before(part.date, LOOKBACK) if lake.readable(TRAINING, date)]
    names = [f.name for f in FEATURES if not f.categories]
    if len(earlier) < rules.drift_dates_min:
        found = {"dates": len(earlier)}
        return Outcome(True, found, {"dates": rules.drift_dates_min}, "too few earlier dates to compare with")
    before = np.array([_medians_and_nulls(lake.arrays(TRAINING, date, names), names) for date in earlier])
    today = _medians_and_nulls(lake.arrays(TRAINING, part.date, names), names)
    of_each = [[_distance(before[:, i, j], today[i, j], (1e-9, 0.05)[i]) for i in (0, 1)] for j in range(len(names))]
    far = np.fmax(*np.array(of_each).T)
    known = ~np.isnan(far)
    drifted = [names[i] for i in np.argsort(-np.where(known, far, 0), kind="stable") if known[i] and far[i] > rules.drift_z_max]
    share = len(drifted) / max(int(known.sum()), 1)
    passed = share <= rules.drift_share_max
    return Outcome(
        passed,
        {
            "drifted_share": share, "features": int(known.sum()), "drifted": len(drifted), "dates": len(earlier),
            "farthest": ", ".join(drifted[:8]), "farthest_z": float(far[known].max()) if known.any() else None,
        },
        {"drifted_share": rules.drift_share_max, "drifted_beyond_z": rules.drift_z_max},
        "features lie where they used to" if passed else "the date is unlike the ones before: look at the farthest features",
    )  # fmt: skip


def _medians_and_nulls(columns: dict[str, np.ndarray], names: list[str]) -> np.ndarray:
    """The median of each column's known values and the share of unknown ones, NaN without: two rows."""
    unknown = [np.isnan(columns[name]) for name in names]
    known = [columns[name][~nulls] for name, nulls in zip(names, unknown, strict=True)]
    medians = [np.median(values) if values.size else np.nan for values in known]
    return np.array([medians, [nulls.mean() if nulls.size else np.nan for nulls in unknown]])


def _distance(before: np.ndarray, value: float, least: float) -> float:
    """How far a value lies from the median of earlier ones, in robust standard deviations of at least 2 % of it; or NaN."""
    before = before[~np.isnan(before)]
    if before.size < 2 or np.isnan(value):
        return np.nan
    usual = np.median(before)
    width = max(1.4826 * np.median(np.abs(before - usual)), 0.02 * abs(usual), least)
    return float(abs(value - usual) / width)


def telling(part: Partition) -> Outcome:
    """Over the date and the 20 before it every feature tells something of its own: none is constant or unknown throughout, and none
    is another one, up to a factor."""
    rules, lake = part.lake.config.quality, part.lake
    dates = [date for date in calendar(lake.config).before(part.date, LOOKBACK)[::-1] if lake.readable(TRAINING, date)]
    names = [feature.name for feature in FEATURES]
    tables = [lake.rows(TRAINING, date)[names] for date in (*dates, part.date)]
    count = sum(map(len, tables))
    if count < rules.telling_rows_min:
        return Outcome(True, {"rows": count}, {"rows": rules.telling_rows_min}, "too few rows to tell")
    values = {
        feature.name: _numbers(np.concatenate([rows[feature.name] for rows in tables]), feature.categories) for feature in FEATURES
    }
    constant = [name for name, column in values.items() if np.unique(column[~np.isnan(column)]).size < 2]
    alike = _alike({name: column for name, column in values.items() if name not in constant})
    told = [f"{name} is constant" for name in constant] + [f"{one} is {other}" for one, other in alike]
    return Outcome(
        not told,
        {"constant": len(constant), "alike": len(alike), "rows": count, "dates": len(tables)},
        {"constant": 0, "alike": 0},
        "; ".join(told[:8]) if told else "every feature tells something of its own",
    )


def _numbers(column: np.ndarray, categories: tuple[str, ...] | None) -> np.ndarray:
    """A column as floats; the number of a category, NaN for unknown."""
    return np.where(column < 0, np.nan, column.astype(np.float64)) if categories else column


def _alike(values: dict[str, np.ndarray]) -> list[tuple[str, str]]:
    """Pairs of columns that are known in the same rows and proportional there."""
    names = list(values)
    known = np.array([~np.isnan(column) for column in values.values()])
    centred = np.array([np.nan_to_num((column - np.nanmean(column)) / np.nanstd(column)) for column in values.values()])
    together = np.tril(np.abs(np.corrcoef(centred)) > 1 - 1e-9, -1)
    return [(names[one], names[other]) for one, other in np.argwhere(together) if (known[one] == known[other]).all()]
