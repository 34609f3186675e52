"""The champion of a date as the live service asks it: features of a session's touches in, odds and predictions out.

The same functions as for `gold/predictions`, on the same rows, so what live says at a landmark has the bytes of the table. Between
landmarks only the champion's odds are asked for, at every snap.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from spymaster_assets.compute.stream import Day
from spymaster_assets.lake import Lake, LakeError
from spymaster_assets.models.artifacts import Artifacts
from spymaster_assets.models.examples import PRIMARY
from spymaster_assets.models.members import ALONE, Asked, Member
from spymaster_assets.models.odds import geometry_known
from spymaster_assets.models.predicting import predict, vetoed
from spymaster_assets.sessions import utc_day
from spymaster_assets.tables import FEATURE_ROWS
from spymaster_assets.training import Trainer, asked

SAID: Final = np.dtype([("touch", "i4"), ("k", "i4"), ("odds", "f8", (3,)), ("set", "?", (3,)), ("veto", "i1")])


@dataclass(frozen=True)
class Served:
    """A champion that is trained. `version`: the content of its model; `members`: those that it needs, itself included."""

    name: str
    version: str
    members: Mapping[str, Member]

    def predictions(self, day: Day, rows: np.ndarray) -> np.ndarray:
        """Rows of PREDICTIONS of features at landmarks (n,); members that the champion does not need are silent."""
        return predict(self.members, _asked(day, rows), self._vetoes(day, rows))

    def say(self, day: Day, touches: np.ndarray, ks: np.ndarray) -> np.ndarray:
        """What the champion says of touches at closed snaps, (n,) of SAID; odds are NaN where geometry is unknown.

        `touches`, `ks`: (n,). Features are computed at each snap; sequences are looked at where they are learnt, at landmarks.
        """
        rows = np.zeros(len(touches), FEATURE_ROWS.dtype)
        for place, (touch, k) in enumerate(zip(touches.tolist(), ks.tolist(), strict=True)):
            day.features_at(touch, k, rows[place : place + 1])
        out = np.zeros(len(rows), SAID)
        out["touch"], out["k"], out["odds"], out["set"] = touches, ks, np.nan, True
        out["veto"] = self._vetoes(day, rows)
        known = geometry_known(rows, PRIMARY)
        if known.any():
            odds = self.members[self.name].odds(_asked(day, rows[known]))
            out["odds"][known] = odds
            out["set"][known] = self.members[self.name].sets(odds, rows["elapsed"][known])
        return out

    def _vetoes(self, day: Day, rows: np.ndarray) -> np.ndarray:
        return vetoed(day.snaps, rows, day.clock.signals_end, day.config)


def _asked(day: Day, rows: np.ndarray) -> Asked:
    """Rows of features with the sequences of those that have one: at the landmarks where sequences are learnt."""
    at = rows[np.isin(rows["elapsed"], day.config.sequences.landmarks)]
    steps = day.sequences(zip(at["touch"].tolist(), at["k"].tolist(), strict=True), len(at))
    date = utc_day(day.clock.globex_end).toordinal()
    return asked(rows, np.full(len(rows), date, np.int64), steps, np.full(len(steps), date, np.int64))


def served(lake: Lake, date: dt.date, model: str) -> Served:
    """The model that `Artifacts.serving` named. LakeError if the lake has another version by now, or lost or changed it."""
    name, _, version = model.partition(" ")
    manifest = Artifacts(lake).manifest(name, date)
    if manifest is None or manifest.content != version:
        raise LakeError(f"{date}: no {name} model {version}; the lake has {manifest.content if manifest else 'none'}")
    trainer = Trainer(lake)
    needed = (*ALONE, name) if name == "ensemble" else (name,)
    return Served(name, version, {one: trainer.member(one, date) for one in needed})
