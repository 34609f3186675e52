"""A twin of the payload, from the tables of the finished day and the words of docs/live.md."""

import math

from spymaster_assets.tables import FEATURE_ROWS, LEVELS, SIGNALS, SNAPS, TOUCHES
from tests.live.spoken import BAND, NEAR, POINT, TICK


def known(table, name, row):
    """A column's value: None if unknown, a word for a category."""
    column, value = table[name], row[name].item()
    if column.categories:
        return None if value < 0 else column.categories[value]
    if isinstance(value, float):
        return None if math.isnan(value) else value
    return None if value == column.unknown else value


def twin(finished, k):
    """The payload of a snap from the tables of the finished day, notes aside."""
    snap, touches = finished.snaps[k], finished.touches.rows
    ts, spot = int(snap["ts"]), known(SNAPS, "last", snap)
    best = [None if abs(int(snap[side][0])) >= 2**31 - 1 else snap[side][0] / 4 for side in ("bid_ticks", "ask_ticks")]
    force = finished.levels.rows[(finished.levels.rows["valid_from"] < ts) & (finished.levels.rows["valid_to"] >= ts)]
    scored = {int(touches[row["touch"]]["kind"]): row for row in finished.signals.rows[finished.signals.rows["k"] == k]}
    levels = []
    for level in force:
        if level["kind"] >= 6:
            continue  # context
        price, name = int(level["price"]), known(LEVELS, "kind", level)
        distance = None if spot is None else abs(spot * TICK - price)
        told = {
            "id": name,
            "kinds": [known(LEVELS, "kind", other) for other in force if abs(int(other["price"]) - price) <= NEAR],
            "price": price / POINT,
            "direction": None if spot is None else "UP" if price > spot * TICK else "DOWN",
            "distance": None if distance is None else distance / POINT,
            "in_band": distance is not None and distance <= BAND,
            **dict.fromkeys(("touch", "break_score_raw", "break_score_smooth", "signal", "confidence", "barrier", "tape", "fuel")),
            **dict.fromkeys(("runway", "confluence", "approach", "model")),
        }
        if level["kind"] in scored:
            told |= twin_of_touch(scored[level["kind"]], touches)
            told |= twin_of_context(finished, scored[level["kind"]]["touch"])
        levels.append(told)
    return {
        "schema": "levels.1", "date": "2025-06-03", "snap": k, "ts": ts,
        "es": {"spot": None if spot is None else spot / 4, "bid": best[0], "ask": best[1]},
        "levels": levels,
        "quality": {"gaps": 0, "late": int(snap["late"]), "book_ok": snap["book_ok"] == 1, "partial": False},
    }  # fmt: skip


def twin_of_touch(row, touches):
    """What a row of signals tells about a level that is being touched."""
    touch = touches[row["touch"]]
    kind, direction = known(TOUCHES, "kind", touch), known(TOUCHES, "direction", touch)

    def of(name):
        return known(SIGNALS, name, row)

    return {
        "direction": direction,
        "touch": {
            "event_id": f"2025-06-03_{kind}_{touch['ticks']}_{touch['t0']}_{direction}", "t0": int(touch["t0"]),
            "attempt": int(touch["attempt_index"]), "price": int(touch["price"]) / POINT, "elapsed": of("elapsed"),
            "phase": of("phase"),
        },
        **{name: of(name) for name in ("break_score_raw", "break_score_smooth", "signal", "confidence")},
        "barrier": {
            "state": of("barrier_state"), "turnover": of("barrier_turnover"), "replenishment_ratio": of("replenishment_ratio"),
            "delta_liq": of("barrier_delta_liq"), "wall_ratio": of("wall_ratio"), "score": of("score_liquidity"),
        },
        "tape": {
            "imbalance": of("tape_imbalance"), "velocity": of("tape_velocity"), "rate": of("tape_rate"),
            "prints": of("tape_prints"), "sweep": of("sweep_direction"), "score": of("score_tape"),
        },
        "fuel": {"effect": of("fuel_effect"), "exposure": of("gamma_exposure"), "score": of("score_hedge")},
    }  # fmt: skip


CONTEXT = {
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


def twin_of_context(finished, touch):
    """What the first row of features tells about a touch."""
    row = next((row for row in finished.features.rows if row["touch"] == touch), None)
    assert row is not None, "the day has no touch that was resolved at once"
    return {part: {name: known(FEATURE_ROWS, column, row) for name, column in its.items()} for part, its in CONTEXT.items()}
