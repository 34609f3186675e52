"""A closed snap as JSON: what `levels.signals` carries, one line a snap.

Prices in points, times in ns UTC, what is unknown is null; nothing in it comes from a wall clock, a frame or a run. The parts of
a level are columns of silver/signals under the names below, so that their units and meanings are those of tables.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson

from spymaster_assets.compute.grid import NO_ASK, NO_BID, UNKNOWN
from spymaster_assets.compute.stream import Day
from spymaster_assets.features import FEATURES
from spymaster_assets.maker import event_id
from spymaster_assets.models.conformal import abstains
from spymaster_assets.models.predicting import odds_of, sets_of
from spymaster_assets.sessions import utc_day
from spymaster_assets.states import DIRECTIONS, DOWN, KEY_KINDS, LEVEL_KINDS, NO_VETO, OUTCOMES, UP, VETOES
from spymaster_assets.tables import SIGNALS

if TYPE_CHECKING:
    from spymaster_assets.served import Served

SCHEMA: Final = "levels.1"
PARTS: Final[Mapping[str, Mapping[str, str]]] = {  # part of a level -> its names -> columns of signals
    "barrier": {
        "state": "barrier_state", "turnover": "barrier_turnover", "replenishment_ratio": "replenishment_ratio",
        "delta_liq": "barrier_delta_liq", "wall_ratio": "wall_ratio", "score": "score_liquidity",
    },
    "tape": {
        "imbalance": "tape_imbalance", "velocity": "tape_velocity", "rate": "tape_rate", "prints": "tape_prints",
        "sweep": "sweep_direction", "score": "score_tape",
    },
    "fuel": {"effect": "fuel_effect", "exposure": "gamma_exposure", "score": "score_hedge"},
}  # fmt: skip
OWN: Final = ("break_score_raw", "break_score_smooth", "signal", "confidence")  # of the level itself
CONTEXT: Final[Mapping[str, Mapping[str, str]]] = {  # part of a level -> its names -> features that were known at the touch
    "runway": {"distance": "runway", "sigma": "runway_sigma"},
    "confluence": {
        "count": "level_stacking_5pt", "weight": "confluence_count", "pressure": "confluence_pressure",
        "alignment": "confluence_alignment",
    },
    "approach": {
        "velocity": "approach_velocity", "bars": "approach_bars", "distance": "approach_distance",
        "prior_breaks": "prior_breaks", "prior_bounces": "prior_bounces",
    },
}  # fmt: skip
MODEL: Final[Mapping[str, tuple[str, str]]] = {  # names within `model` -> unit, meaning
    "name": (
        "name",
        "which model serves: the champion when the run began, on past dates too; trained on earlier dates alone",
    ),
    "version": ("id", "hash of its files"),
    "break": ("probability", "calibrated, within 4 minutes from now; null: geometry is unknown, and so are the other two"),
    "bounce": ("probability", "as above"),
    "chop": ("probability", "neither, as above"),
    "set": ("names", "conformal set: outcomes that cannot be excluded at 90 %"),
    "abstain": ("flag", "the set holds both BREAK and BOUNCE, or neither"),
    "veto": ("name", "why no trade is to be had whatever the odds: BOOK, SPREAD, OPTIONS, END; null: nothing speaks against one"),
    "elapsed": ("s", "the landmark at which what follows was said"),
    "strength": ("points", "expected strength, toward the break; null: no trees"),
    "analogs": ("count", "effective number of earlier rows that retrieval goes by; null: no index"),
    "distance": ("share", "of the index's own rows that lie closer to their neighbours"),
    "interval": ("probabilities", "90 % credible interval of break by retrieval, low and high"),
}
_AT: Final = {name: place for place, name in enumerate(SIGNALS.dtype.names or ())}
_WORDS: Final = {column.name: column.categories for column in SIGNALS.columns if column.categories}


Opinions = Mapping[tuple[int, int], Mapping[str, Any]]  # (touch, snap) -> the object `model`


def opinions(served: Served, day: Day, signals: np.ndarray, predictions: np.ndarray) -> Opinions:
    """What the champion says at rows of silver/signals. `predictions`: of the landmarks up to now."""
    found = {}
    landmarks: dict[int, list[np.void]] = {}
    for row in predictions[np.isin(predictions["touch"], signals["touch"])]:
        landmarks.setdefault(int(row["touch"]), []).append(row)
    said = served.say(day, signals["touch"], signals["k"])
    silent = abstains(said["set"])
    for one, abstained in zip(said, silent.tolist(), strict=True):
        touch, k = int(one["touch"]), int(one["k"])
        odds = one["odds"].tolist()
        latest = next((row for row in reversed(landmarks.get(touch, [])) if row["k"] <= k), None)
        found[touch, k] = {
            "name": served.name, "version": served.version, "break": odds[0], "bounce": odds[1], "chop": odds[2],
            "set": [word for word, held in zip(OUTCOMES, one["set"], strict=False) if held], "abstain": abstained,
            "veto": _veto(one["veto"]), **_landmark(latest),
        }  # fmt: skip
    return found


def stored_opinions(serving: str, signals: np.ndarray, predictions: np.ndarray) -> Opinions:
    """The same from rows of gold/predictions: what was said at the latest landmark. `serving`: as Artifacts.serving names it."""
    name, _, version = serving.partition(" ")
    found = {}
    for touch, k in signals[["touch", "k"]].tolist() if name else ():
        rows = predictions[(predictions["touch"] == touch) & (predictions["k"] <= k)]
        if not len(rows):
            continue
        odds, held = odds_of(rows[-1:], name)[0], sets_of(rows[-1:], name)
        found[touch, k] = {
            "name": name, "version": version, **dict(zip(("break", "bounce", "chop"), odds.tolist(), strict=True)),
            "set": [word for word, there in zip(OUTCOMES, held[0].tolist(), strict=False) if there],
            "abstain": bool(abstains(held)[0]), "veto": _veto(rows[-1]["veto"]), **_landmark(rows[-1]),
        }  # fmt: skip
    return found


def _veto(code: int) -> str | None:
    return VETOES[code] if code != NO_VETO else None


def _landmark(row: np.void | None) -> dict[str, Any]:
    """What was said at a landmark and holds until the next."""
    names = {"elapsed": "elapsed", "strength": "strength", "analogs": "analogs", "distance": "analogs_distance"}
    told: dict[str, Any] = {name: None if row is None else float(row[column]) for name, column in names.items()}
    unknown = row is None or np.isnan(row["analogs_low_break"])
    return told | {"interval": None if unknown else [float(row[f"analogs_{end}_break"]) for end in ("low", "high")]}  # type: ignore[index]


def lines(
    day: Day, ks: np.ndarray, signals: np.ndarray, missing: int, partial: bool, said: Opinions = MappingProxyType({})
) -> bytes:
    """The payloads of closed snaps `ks`, one line each. `signals`: the rows of silver/signals at these snaps.

    `missing`: records that never came; `partial`: the run does not hold the date from its open on; `said`: by the champion.
    """
    of: dict[int, list[tuple[Any, ...]]] = {}
    for row in signals.tolist():
        of.setdefault(row[_AT["k"]], []).append(row)
    touches = {number: _Touch(day, number) for number in {row[_AT["touch"]] for rows in of.values() for row in rows}}
    levels = [_Level(row) for row in day.levels.rows[day.levels.rows["valid_to"] >= day.snaps["ts"][ks[0]]]] if len(ks) else []
    return b"".join(_line(day, int(k), of.get(int(k), []), touches, levels, missing, partial, said) for k in ks)


class _Level:
    """A row of levels as plain numbers."""

    def __init__(self, row: np.void) -> None:
        self.kind, self.price = int(row["kind"]), int(row["price"])
        self.valid_from, self.valid_to = int(row["valid_from"]), int(row["valid_to"])


class _Touch:
    """What holds for a touch's life."""

    def __init__(self, day: Day, number: int) -> None:
        row = day.touches.rows[number]
        self.kind, self.direction, self.price = int(row["kind"]), int(row["direction"]), int(row["price"])
        day.advance_approach(number)
        known = day.approach.rows[number]
        self.context = {
            part: {name: None if np.isnan(known[column]) else float(known[column]) for name, column in names.items()}
            for part, names in CONTEXT.items()
        }
        self.facts = {
            "event_id": event_id(utc_day(day.clock.globex_end), row),
            "t0": int(row["t0"]),
            "attempt": int(row["attempt_index"]),
            "price": self.price / day.config.instrument.point,
        }


def _line(
    day: Day, k: int, rows: list[tuple[Any, ...]], touches: Mapping[int, _Touch], levels: list[_Level], missing: int, partial: bool,
    said: Opinions,
) -> bytes:  # fmt: skip
    snap = day.snaps[k]
    tick, point, time, last = day.config.instrument.tick, day.config.instrument.point, int(snap["ts"]), int(snap["last"])
    spot = None if last == UNKNOWN else last * tick
    best = [None if snap[side][0] == none else int(snap[side][0]) * tick for side, none in _SIDES]
    scored = {touches[row[_AT["touch"]]].kind: row for row in rows}
    valid = [level for level in levels if level.valid_from < time <= level.valid_to]
    payload = {
        "schema": SCHEMA,
        "date": str(utc_day(day.clock.globex_end)),
        "snap": k,
        "ts": time,
        "es": {"spot": _points(spot, point), "bid": _points(best[0], point), "ask": _points(best[1], point)},
        "levels": [
            *(
                _level(day, level, valid, spot, scored.pop(level.kind, None), touches, said)
                for level in valid
                if day.touch_params.wanted[level.kind]
            ),
            *(_gone(day, row, spot, touches, said) for row in scored.values()),
        ],
        "quality": {"gaps": missing, "late": int(snap["late"]), "book_ok": bool(snap["book_ok"]), "partial": partial},
    }
    return orjson.dumps(payload, option=orjson.OPT_APPEND_NEWLINE)


_SIDES: Final = (("bid_ticks", NO_BID), ("ask_ticks", NO_ASK))


def _points(price: int | None, point: int) -> float | None:
    return None if price is None else price / point


def _level(
    day: Day, level: _Level, valid: list[_Level], spot: int | None, row: tuple[Any, ...] | None, touches: Mapping[int, _Touch],
    said: Opinions,
) -> dict[str, Any]:  # fmt: skip
    """A level in force, with its touch if one is being scored."""
    near = round(day.config.touches.episode_points * day.config.instrument.point)
    kinds = [LEVEL_KINDS[other.kind] for other in valid if abs(other.price - level.price) <= near]
    return _described(day, level.kind, level.price, kinds, spot, row, touches, said)


def _gone(day: Day, row: tuple[Any, ...], spot: int | None, touches: Mapping[int, _Touch], said: Opinions) -> dict[str, Any]:
    """A touch whose level is in force no more."""
    touch = touches[row[_AT["touch"]]]
    return _described(day, touch.kind, touch.price, [LEVEL_KINDS[touch.kind]], spot, row, touches, said)


def _described(
    day: Day, kind: int, price: int, kinds: list[str], spot: int | None, row: tuple[Any, ...] | None, touches: Mapping[int, _Touch],
    said: Opinions,
) -> dict[str, Any]:  # fmt: skip
    point = day.config.instrument.point
    band = round(day.config.touches.monitor_band * point)
    touch = touches[row[_AT["touch"]]] if row is not None else None
    direction = touch.direction if touch else None if spot is None else UP if spot < price else DOWN
    described: dict[str, Any] = {
        "id": LEVEL_KINDS[kind],
        "kinds": kinds,
        "price": price / point,
        "direction": None if direction is None else DIRECTIONS[direction],
        "distance": None if spot is None else abs(spot - price) / point,
        "in_band": spot is not None and abs(spot - price) <= band,
        "touch": None,
    }
    if row is None or touch is None:
        return described | dict.fromkeys((*OWN, *PARTS, *CONTEXT, "model", "note"))
    described["touch"] = touch.facts | {"elapsed": row[_AT["elapsed"]], "phase": _value(row, "phase")}
    described |= {name: _value(row, name) for name in OWN}
    described |= {part: {name: _value(row, column) for name, column in names.items()} for part, names in PARTS.items()}
    model = said.get((row[_AT["touch"]], row[_AT["k"]]))
    return described | touch.context | {"model": model, "note": _note(row)}


def _value(row: tuple[Any, ...], name: str) -> Any:
    """A column's value: the word of a category, null for what is unknown (orjson writes NaN as null)."""
    value, words = row[_AT[name]], _WORDS.get(name)
    return value if words is None else words[value] if value >= 0 else None


_NOTES: Final = {  # of the barrier's state
    "VACUUM": "liquidity is pulled away", "WALL": "the wall is holding", "CONSUMED": "the wall is being consumed",
    "ABSORPTION": "the wall is eaten and refilled", "WEAK": "the wall is thin", "NEUTRAL": "the book is undecided",
    "PASSED": "the price is through the zone", "UNOBSERVED": "the zone is out of sight",
}  # fmt: skip


def _note(row: tuple[Any, ...]) -> str:
    """What the state says, in words."""
    sweep = row[_AT["sweep_direction"]]
    swept = "" if sweep == 0 else ", a sweep toward the break" if sweep > 0 else ", a sweep away from the break"
    return f"{_NOTES[_value(row, 'barrier_state')]}{swept}"


def described() -> Iterator[tuple[str, str, str]]:
    """(name, unit, meaning) of everything in a payload, for docs/live.md."""
    yield from (
        ("schema", "name", f"`{SCHEMA}`"), ("date", "date", "trading date"), ("snap", "number", "k of silver/snaps"),
        ("ts", "ns UTC", "end of the snap"), ("es.spot", "points", "latest print"),
        ("es.bid, es.ask", "points", "best bid and ask, null while that side is empty"),
        ("levels[].id", "name", f"kind of the level, of those whose touches are looked at: {', '.join(KEY_KINDS)}"),
        ("levels[].kinds", "names", "kinds of all levels within touches.episode_points (1 point) of it, itself included"),
        ("levels[].price", "points", "price"),
        ("levels[].direction", "name", "UP: tested from below; of a touch, frozen"),
        ("levels[].distance", "points", "from the latest print"),
        ("levels[].in_band", "flag", "whether the latest print lies in the band"),
        ("levels[].touch", "object", "null unless one is scored: event_id, t0, attempt, price (frozen), elapsed (s), phase"),
    )  # fmt: skip
    for name in OWN:
        yield f"levels[].{name}", SIGNALS[name].unit, SIGNALS[name].meaning
    for part, names in PARTS.items():
        for name, column in names.items():
            yield f"levels[].{part}.{name}", SIGNALS[column].unit, SIGNALS[column].meaning
    known = {feature.name: feature for feature in FEATURES}
    for part, names in CONTEXT.items():
        for name, column in names.items():
            yield f"levels[].{part}.{name}", known[column].unit, f"{known[column].meaning}; as it was at the touch"
    yield "levels[].model", "object", "what the champion says; null where geometry serves, or no model is trained as of the date"
    for name, (unit, meaning) in MODEL.items():
        yield f"levels[].model.{name}", unit, meaning
    yield "levels[].note", "text", "the barrier's state and the latest sweep in words"
    yield "quality.gaps", "count", "records that never came"
    yield "quality.late", "count", "records whose event time lies before their effective time"
    yield "quality.book_ok", "flag", "two-sided, not crossed or locked, not flagged"
    yield "quality.partial", "flag", "the run does not hold the date from its open on"
