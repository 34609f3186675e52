"""Models of dates in the lake: trained as of a date, found again, asked for predictions. The door between files and `models`.

Dagster's assets, the command line and the live service all come through here.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from spymaster_assets.fingerprint import Fingerprint, Manifest, code_digest
from spymaster_assets.lake import Lake, LakeError
from spymaster_assets.maker import MissingTable, event_id
from spymaster_assets.models.artifacts import TRAINED, Artifacts, ModelManifest, Trained
from spymaster_assets.models.as_of import AsOf, as_of, contents, rows_of
from spymaster_assets.models.examples import PRIMARY
from spymaster_assets.models.members import ALONE, Asked, Learnt, Member, load, row_key, train
from spymaster_assets.models.predicting import predict, vetoed
from spymaster_assets.progress import Progress
from spymaster_assets.sessions import calendar
from spymaster_assets.tables import PREDICTIONS, SEQUENCES, SNAPS, TOUCHES, TRAINING
from spymaster_assets.tables.predictions import MEMBERS

if TYPE_CHECKING:
    from spymaster_assets.models.trees import Trees

CODE: Final = tuple(
    f"spymaster_assets.models.{name}"
    for name in (
        "members", "trees", "retrieval", "space", "credible", "nearest", "patchtst", "networks", "ensemble", "calibrate",
        "conformal", "examples", "inner_folds", "walk_forward", "baselines", "metrics", "weights", "odds", "predicting", "as_of",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Made:
    """A model of a date, and whether it was there already, under this date or another of its week."""

    manifest: ModelManifest
    carried: bool

    @property
    def told(self) -> str:
        """One line for a reader."""
        facts, window = self.manifest.facts, self.manifest.facts["window"]
        if self.manifest.status != TRAINED:
            return f"geometry: {facts['lacking']}"
        lost = facts["out_of_fold"][PRIMARY]
        how = "carried" if self.carried else "trained"
        return (
            f"{how}, {len(window['dates'])} dates; out of fold {lost['calibrated']:.4f} nats a row, geometry {lost['geometry']:.4f}"
        )


class Trainer:
    """Trains and asks the models of dates, one after the other; what the dates of a week share is read once."""

    def __init__(self, lake: Lake, progress: Progress | None = None) -> None:
        self.lake, self.artifacts, self.progress = lake, Artifacts(lake), progress
        self._read: tuple[object, Learnt] | None = None
        self._asked: dict[tuple[str, str], Member] = {}

    # ---- training ----

    def make(self, name: str, date: dt.date) -> Made:
        """The model of a date, trained unless it is there. MissingTable if the ensemble's members are not."""
        window = as_of(self.lake, date)
        fingerprint = self.fingerprint(name, window)
        manifest, carried = self.artifacts.make(name, date, fingerprint, lambda folder: self._train(name, date, window, folder))
        return Made(manifest, carried)

    def _train(self, name: str, date: dt.date, window: AsOf, folder: Path) -> Trained:
        others = {}
        if name == "ensemble":
            found = {one: self._required(one, date) for one in ALONE}
            others = {one: self.artifacts.folder(manifest) for one, manifest in found.items() if manifest.status == TRAINED}
        trained = train(name, self._learnt(window), folder, others)
        return Trained(trained.status, {**trained.facts, "window": window.facts})

    def fingerprint(self, name: str, window: AsOf) -> Fingerprint:
        """What the model of a window would be made from now."""
        inputs = contents(self.lake, window) | {"since": window.since.isoformat()}
        inputs |= {f"missing {one}": "none" for one in window.missing}
        if name == "ensemble":
            inputs |= {one: self._required(one, window.date).content for one in ALONE}
        config = self.lake.config.digest("models", "sequences")
        return Fingerprint(inputs, config, code_digest(*CODE), f"{TRAINING.digest} {SEQUENCES.digest}")

    def _required(self, name: str, date: dt.date) -> ModelManifest:
        manifest = self.artifacts.manifest(name, date)
        if manifest is None:
            raise MissingTable(f"{date}: no {name} model; spymaster train {date} makes it")
        return manifest

    def _learnt(self, window: AsOf) -> Learnt:
        key = sorted(contents(self.lake, window).items())
        if self._read is None or self._read[0] != key:
            rows, days = rows_of(self.lake, TRAINING, window.dates)
            steps, of = rows_of(self.lake, SEQUENCES, window.dates)
            self._read = key, Learnt(asked(rows, days, steps, of), self.lake.config.models, self.progress)
        return self._read[1]

    def is_current(self, date: dt.date) -> bool:
        """Whether the date's models and predictions are there, made from what there is now."""
        window = as_of(self.lake, date)
        try:
            models = all(self.artifacts.current(name, date, self.fingerprint(name, window)) for name in MEMBERS)
            return models and self.lake.current(PREDICTIONS, date, self._predictions_from(date)) is not None
        except MissingTable:
            return False

    # ---- asking ----

    def member(self, name: str, date: dt.date) -> Member:
        """A model of a date, read back and compared with its hashes. LakeError for an ensemble of other members than there are."""
        manifest = self._required(name, date)
        if name == "ensemble":
            for one in ALONE:
                if manifest.fingerprint.inputs[one] != (found := self._required(one, date).content):
                    raise LakeError(f"{date}: the ensemble was not made of {one} {found}: train the date again")
        if (name, manifest.content) not in self._asked:
            others = {one: self.member(one, date) for one in ALONE} if name == "ensemble" else None
            folder = self.artifacts.folder(manifest) if manifest.status == TRAINED else None
            self._asked[name, manifest.content] = load(name, manifest.status, folder, others)
        return self._asked[name, manifest.content]

    def trees(self, date: dt.date, horizon: str, stage: str) -> Trees:
        """The trees of a date that are trained."""
        from spymaster_assets.models.trees import Trees

        return Trees.load(self.artifacts.folder(self._required("trees", date)), f"{stage}_{horizon}")

    def members(self, date: dt.date) -> dict[str, Member]:
        """All models of a date."""
        return {name: self.member(name, date) for name in MEMBERS}

    def predictions(self, date: dt.date) -> tuple[Manifest, bool]:
        """Make `gold/predictions` of a date, unless it is there; whether it was. MissingTable if a model or a table is not."""
        fingerprint = self._predictions_from(date)
        if current := self.lake.current(PREDICTIONS, date, fingerprint):
            return current, True
        rows, touches = self.lake.rows(TRAINING, date), self.lake.rows(TOUCHES, date)
        days = np.full(len(rows), date.toordinal(), np.int64)
        steps = self.lake.rows(SEQUENCES, date)
        end = calendar(self.lake.config).session(date).signals.end
        vetoes = vetoed(self.lake.rows(SNAPS, date), rows, end, self.lake.config)
        out = predict(self.members(date), asked(rows, days, steps, np.full(len(steps), date.toordinal(), np.int64)), vetoes)
        ids = pa.array([event_id(date, touch) for touch in touches], pa.string())
        with self.lake.write(PREDICTIONS, date, fingerprint) as writer:
            writer.append_rows(out, {"event_id": pa.DictionaryArray.from_arrays(pa.array(out["touch"], pa.int32()), ids)})
            models = {name: self._required(name, date).status for name in MEMBERS}
            return writer.publish({"models": models, "vetoes": int((out["veto"] > 0).sum())}), False

    def _predictions_from(self, date: dt.date) -> Fingerprint:
        """What predictions of a date would be made from now."""
        inputs = {f"models/{name}": self._required(name, date).content for name in MEMBERS}
        for table in (TRAINING, SEQUENCES, SNAPS, TOUCHES):
            manifest = self.lake.manifest(table, date)
            if manifest is None:
                raise MissingTable(f"{date}: predictions need {table.stage}/{table.name}, which is not there")
            inputs[f"{table.stage}/{table.name}"] = manifest.content
        config = self.lake.config.digest("models", "quality", "sessions")
        return Fingerprint(inputs, config, code_digest(*CODE), PREDICTIONS.digest)


def asked(rows: np.ndarray, days: np.ndarray, steps: np.ndarray, of: np.ndarray) -> Asked:
    """Rows of training and their dates, with their sequences: rows of `sequences` and the dates of those."""
    if not len(steps):
        return Asked(rows, days)
    from spymaster_assets.models.patchtst import sequence_arrays  # with torch, whose import takes seconds

    values, observed, touch, elapsed = sequence_arrays(steps)
    each = len(steps) // len(values)
    key = row_key(days, rows["touch"], rows["elapsed"])
    order = np.argsort(key)
    wanted = row_key(of[::each], touch, elapsed)
    places = order[np.searchsorted(key, wanted, sorter=order).clip(max=len(key) - 1)]
    if (key[places] != wanted).any():
        raise ValueError("a sequence belongs to no row of training")
    return Asked(rows, days, values, observed, places)
