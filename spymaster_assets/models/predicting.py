"""Rows of `predictions` from the members of a date: the same function for a date of the lake and for a snap of a live session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from spymaster_assets.config import Config
from spymaster_assets.models.examples import PRIMARY, STAGES
from spymaster_assets.models.members import Asked, Member
from spymaster_assets.models.odds import CLASSES, geometry_known
from spymaster_assets.states import NO_VETO, VETO_BOOK, VETO_END, VETO_OPTIONS, VETO_SPREAD
from spymaster_assets.tables import PREDICTIONS
from spymaster_assets.tables.predictions import CLASS_WORDS, HEADS, MEMBERS

_BITS: Final = np.array([1, 2, 4], np.int8)  # of the classes in a set
_FLOATS: Final = tuple(column.name for column in PREDICTIONS.columns if column.dtype == "f8" and column.null)
NANOSECONDS: Final = 1_000_000_000


def predict(members: Mapping[str, Member], asked: Asked, vetoes: np.ndarray) -> np.ndarray:
    """Rows of PREDICTIONS, (n,), of rows of training or features. `vetoes`: (n,) codes.

    Where geometry is unknown everything is: nobody says anything about the row.
    """
    rows = asked.rows
    out = np.zeros(len(rows), PREDICTIONS.dtype)
    for name in ("touch", "k", "elapsed"):
        out[name] = rows[name]
    out["ts"] = rows["t_decision" if "t_decision" in (rows.dtype.names or ()) else "ts"]
    out["veto"] = vetoes
    for name in _FLOATS:
        out[name] = np.nan
    for name in MEMBERS:
        out[f"{name}_set"] = _BITS.sum()  # nothing is excluded by who says nothing
    for horizon in ("2min", PRIMARY, "8min"):
        known = geometry_known(rows, horizon)
        if known.any():
            _say(members, asked.at(known), horizon, out, known)
    return out


def vetoed(snaps: np.ndarray, rows: np.ndarray, end: int, config: Config) -> np.ndarray:
    """Why no trade is to be had at rows of training or features, (n,) codes; the first reason that holds.

    `snaps`: of the date, of which the row's own is looked at; `end`: ns UTC, of the signals.
    """
    at, rules = snaps[rows["k"]], config.models
    spread = at["ask_ticks"][:, 0] - at["bid_ticks"][:, 0]
    stale = at["gap_ns"] > config.quality.gap_seconds * NANOSECONDS
    late = at["ts"] > end - rules.veto_minutes_to_end * 60 * NANOSECONDS
    unknown = np.isnan(rows["gamma_exposure"])
    out = np.full(len(rows), NO_VETO, np.int8)
    for code, holds in ((VETO_END, late), (VETO_OPTIONS, unknown), (VETO_SPREAD, spread > rules.veto_spread_ticks)):
        out[holds] = code
    out[(at["book_ok"] != 1) | stale | (spread <= 0)] = VETO_BOOK
    return out


def odds_of(rows: np.ndarray, member: str, horizon: str = PRIMARY) -> np.ndarray:
    """A member's probabilities (n, 3) in rows of predictions."""
    where = "" if horizon == PRIMARY else f"_{horizon}"
    return np.stack([rows[f"{member}_{word}{where}"] for word in CLASS_WORDS], axis=1)


def sets_of(rows: np.ndarray, member: str) -> np.ndarray:
    """A member's conformal sets (n, 3), flags, in rows of predictions."""
    return (rows[f"{member}_set"][:, None] & _BITS) != 0


def speakers(rows: np.ndarray) -> tuple[str, ...]:
    """The members that say anything in rows of predictions."""
    return tuple(name for name in MEMBERS if not np.isnan(rows[f"{name}_{CLASS_WORDS[0]}"]).all())


def only(rows: np.ndarray, members: Sequence[str]) -> np.ndarray:
    """Rows of predictions in which the other members are silent, as live says them, which asks those that the champion needs."""
    out = rows.copy()
    silent = [name for name in MEMBERS if name not in members]
    of = {"trees": [head.name for head in HEADS], "retrieval": [name for name in _FLOATS if name.startswith("analogs")]}
    for name in silent:
        for column in (*(one for one in _FLOATS if one.startswith(f"{name}_")), *of.get(name, ())):
            out[column] = np.nan
        out[f"{name}_set"] = _BITS.sum()
    return out


def _say(members: Mapping[str, Member], asked: Asked, horizon: str, out: np.ndarray, known: np.ndarray) -> None:
    """What the members say of the rows whose geometry is known at a horizon."""
    where = "" if horizon == PRIMARY else f"_{horizon}"
    for name, member in members.items():
        if f"{name}_{CLASS_WORDS[0]}{where}" not in PREDICTIONS.names:
            continue
        odds = member.odds(asked, horizon)
        for place, word in enumerate(CLASS_WORDS):
            out[f"{name}_{word}{where}"][known] = odds[:, place]
        if horizon == PRIMARY:
            out[f"{name}_set"][known] = member.sets(odds, asked.rows["elapsed"]) @ _BITS
            _heads(member, asked, out, known)
            _analogs(member, asked, out, known)


def _heads(member: Member, asked: Asked, out: np.ndarray, known: np.ndarray) -> None:
    for stage in member.heads:
        at = (asked.rows["elapsed"] == 0) == (stage == STAGES[0])
        if at.any():
            places = np.flatnonzero(known)[at]
            for name, values in member.heads[stage].predict(asked.rows[at]).items():
                out[name][places] = values


def _analogs(member: Member, asked: Asked, out: np.ndarray, known: np.ndarray) -> None:
    for stage, index in member.indexes.items():
        at = (asked.rows["elapsed"] == 0) == (stage == STAGES[0])
        if at.any():
            found, places = index.analogs(asked.rows[at], asked.days[at]), np.flatnonzero(known)[at]
            for place, word in enumerate(CLASS_WORDS):
                out[f"analogs_low_{word}"][places] = found.low[:, place]
                out[f"analogs_high_{word}"][places] = found.high[:, place]
            out["analogs"][places], out["analogs_distance"][places] = found.effective, found.percentile


assert len(CLASSES) == len(CLASS_WORDS), "the table has a column for each"
