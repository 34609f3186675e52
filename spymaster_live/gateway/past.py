"""A date of the lake as the page shows it: what live said, or would have said, at any of its moments. Only reads."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

import numpy as np

from spymaster_assets.compute.display import dealers, heat
from spymaster_assets.compute.growing import Growing
from spymaster_assets.compute.stream import Day
from spymaster_assets.lake import Lake
from spymaster_assets.maker import Maker
from spymaster_assets.models.artifacts import TRAINED, Artifacts
from spymaster_assets.models.retrieval import Index
from spymaster_assets.schema import Table
from spymaster_assets.states import DIRECTIONS, LEVEL_KINDS, OUTCOMES
from spymaster_assets.tables import (
    FEATURE_ROWS,
    FLOW,
    LABELS,
    LEVELS,
    OPEN_INTEREST,
    OPTION_FLOW,
    PREDICTIONS,
    PRIORS,
    SIGNALS,
    SNAPS,
    TOUCHES,
)
from spymaster_assets.training import Trainer
from spymaster_live.payload import lines, stored_opinions

NEAREST: Final = 8  # analogs that are shown
BINS: Final = tuple(n / 10 for n in range(11))  # of the odds of a break
_SHOWN: Final = (SNAPS, LEVELS, TOUCHES, OPTION_FLOW, OPEN_INTEREST, PRIORS)
_BOOK: Final = tuple(f"{side}_{what}_{i:02}" for side in ("bid", "ask") for what in ("ticks", "size") for i in range(10))


class Past:
    """The lake's dates. The one that was asked for last stays in memory."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self._day = lru_cache(1)(self._read)
        self._index = lru_cache(1)(self._load)
        self._results = lru_cache(512)(self._read_results)

    # ---- a moment ----

    def content(self, date: dt.date, *tables: Table) -> str:
        """What tells these tables of a date from other versions of them."""
        found = [self.lake.manifest(table, date) for table in tables]
        return ".".join(one.content if one else "" for one in found)

    def moment(self, date: dt.date, k: int) -> tuple[bytes, np.ndarray, np.ndarray, np.ndarray]:
        """The payload of a closed snap, and the rows of SNAPS, DEALERS and STRIKES there. ValueError outside of the date."""
        day, signals, predictions, model = self._day(date, self.content(date, *_SHOWN, SIGNALS, FEATURE_ROWS, PREDICTIONS))
        if not 0 <= k <= day.closed:
            raise ValueError(f"snap {k}: the date has 0 to {day.closed}")
        ks, scored = np.array([k]), signals[signals["k"] == k]
        said = stored_opinions(model, scored, predictions)
        row, strikes = dealers(k, day.snaps, day.chain.options, day.physics.fuel, day.clock)
        return lines(day, ks, scored, 0, False, said).rstrip(), day.snaps[k : k + 1], row, strikes

    def _read(self, date: dt.date, content: str) -> tuple[Day, np.ndarray, np.ndarray, str]:
        maker = Maker(date, self.lake)
        day = maker.day(*(table for table in _SHOWN if self.lake.manifest(table, date) is not None))
        features = maker.rows(FEATURE_ROWS)
        day.approach = Growing.of(first_of_each(features, day.touches.count))
        there = self.lake.manifest(PREDICTIONS, date) is not None
        predictions = maker.rows(PREDICTIONS) if there else np.zeros(0, PREDICTIONS.dtype)
        return day, maker.rows(SIGNALS), predictions, Artifacts(self.lake).serving(date)

    def first(self, date: dt.date, touch: int) -> np.ndarray | None:
        """(1,) the first row of features of a touch, None if it has none."""
        rows = self.lake.rows(FEATURE_ROWS, date)
        return rows[rows["touch"] == touch][:1] if (rows["touch"] == touch).any() else None

    # ---- pictures ----

    def heat(self, date: dt.date, step: int) -> np.ndarray:
        """Liquidity by minutes of `step` snaps, of the signal window."""
        clock = Maker(date, self.lake).session
        start, end = ((edge - clock.globex.start) // self.lake.config.grid.interval_ns for edge in clock.signals)
        names = ("k", *_BOOK)
        snaps = self.lake.arrays(SNAPS, date, names)
        at = np.flatnonzero((snaps["k"] > start) & (snaps["k"] <= end) & (snaps["k"] % step == 0))
        rows = np.zeros(len(at), SNAPS.dtype)
        for name in names:
            SNAPS.place(SNAPS[name], rows)[:] = snaps[name][at]
        flow = self.lake.rows(FLOW, date)
        return heat(rows, flow[(flow["k"] > start) & (flow["k"] <= end // step * step)], step)

    def trace(self, date: dt.date, touch: int) -> np.ndarray:
        """The rows of SIGNALS of a touch."""
        rows = self.lake.rows(SIGNALS, date)
        return rows[rows["touch"] == touch]

    # ---- what came of it before ----

    def analogs(self, date: dt.date, row: np.ndarray) -> dict[str, Any] | None:
        """The touches of earlier dates most like one at t0, and what came of them; None without an index as of the date.

        `row`: (1,) of FEATURE_ROWS, with geometry known.
        """
        manifest = Artifacts(self.lake).manifest("retrieval", date)
        if manifest is None or manifest.status != TRAINED:
            return None
        index = self._index(date, manifest.content)
        found = index.analogs(row, np.full(1, date.toordinal(), np.int64))
        there = np.isfinite(found.distances[0])
        near, outcome = found.neighbours[0][there], f"outcome_{index.horizon}"
        return {
            "date": date, "of": int(there.sum()), "effective": float(found.effective[0]), "far": bool(found.no_close_analog[0]),
            "outcomes": {word: int((near[outcome] == code).sum()) for code, word in enumerate(OUTCOMES[:3])},
            "nearest": [
                {
                    "date": dt.date.fromordinal(int(one["day"])), "ts": int(one["t_decision"]), "kind": LEVEL_KINDS[one["kind"]],
                    "direction": DIRECTIONS[one["direction"]], "outcome": OUTCOMES[one[outcome]],
                    "price": int(one["price"]) / self.lake.config.instrument.point,
                    "strength": _number(one[f"strength_signed_{index.horizon}"]), "distance": float(distance),
                }
                for one, distance in zip(near[:NEAREST], found.distances[0][there], strict=False)
            ],
        }  # fmt: skip

    def _load(self, date: dt.date, content: str) -> Index:
        return Trainer(self.lake).member("retrieval", date).indexes["stage_a"]

    def outcomes(self, before: dt.date) -> dict[str, Any]:
        """What came of the touches of earlier dates, at t0 and within 4 minutes: by level, and by the odds that the champion gave.

        Predictions of a date come from models of earlier dates: all of it is out of sample. Dates without a trained champion hold
        geometry's odds under its name, and are not counted as its own.
        """
        name = Artifacts(self.lake).champion()["name"]
        dates = [date for date in self.lake.dates(LABELS) if date < before and self.lake.readable(LABELS, date)]
        parts = [self._results(date, name, self.content(date, TOUCHES, LABELS, PREDICTIONS)) for date in dates]
        rows = np.concatenate([np.zeros(0, _RESULT), *parts])
        told = rows[~np.isnan(rows["odds"])]
        return {
            "before": before, "dates": len(dates), "champion": name,
            "told": sum(not np.isnan(part["odds"]).all() for part in parts),
            "levels": [{"kind": word, **_counts(rows[rows["kind"] == code])} for code, word in enumerate(LEVEL_KINDS)
                       if (rows["kind"] == code).any()],
            "odds": [{"low": low, "high": high, **_counts(told[(told["odds"] >= low) & (told["odds"] < high + (high == 1.0))])}
                     for low, high in pairwise(BINS)],
        }  # fmt: skip

    def _read_results(self, date: dt.date, name: str, content: str) -> np.ndarray:
        """One row a touch that was decided: its kind, its outcome, and the odds of a break that were given."""
        labels, touches = self.lake.rows(LABELS, date), self.lake.rows(TOUCHES, date)
        labels = labels[(labels["elapsed"] == 0) & (labels["outcome_4min"] < 3)]
        rows = np.zeros(len(labels), _RESULT)
        rows["kind"], rows["outcome"], rows["odds"] = touches["kind"][labels["touch"]], labels["outcome_4min"], np.nan
        column, model = f"{name}_break", Artifacts(self.lake).manifest(name, date)
        trained = model is not None and model.status == TRAINED
        if trained and self.lake.readable(PREDICTIONS, date) and column in PREDICTIONS.names:
            said = self.lake.rows(PREDICTIONS, date)
            said = said[said["elapsed"] == 0]
            odds = np.full(len(touches), np.nan)
            odds[said["touch"]] = said[column]
            rows["odds"] = odds[labels["touch"]]
        return rows


def first_of_each(features: np.ndarray, touches: int) -> np.ndarray:
    """(touches,) the first row of features of every touch; unknown numbers where it has none."""
    found = np.zeros(touches, features.dtype)
    for name in features.dtype.names or ():
        if found[name].dtype.kind == "f":
            found[name] = np.nan
    found[features["touch"][::-1]] = features[::-1]  # of the rows of one touch the last that is written, its first, stays
    return found


_RESULT: Final = np.dtype([("kind", "i1"), ("outcome", "i1"), ("odds", "f8")])


def _counts(rows: np.ndarray) -> dict[str, int]:
    return {"touches": len(rows)} | {word.lower(): int((rows["outcome"] == code).sum()) for code, word in enumerate(OUTCOMES[:3])}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
