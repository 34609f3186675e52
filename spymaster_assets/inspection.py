"""One trading date as one HTML file, to check by eye what was computed: price, levels, touches, liquidity, all numbers of a touch.

`page` reads the published Silver partitions of a date and puts their numbers as JSON into inspection.html, which holds everything
else: no network, no library, no server. Numbers stay what they are in the lake (prices in ticks, states as their numbers in
states.py); what they mean travels with them, from the declarations in tables/ and features/. To keep the file small,
price is there as 1-minute bars of the whole date and second by second in the *neighbourhood* of the touches (5 minutes before t0 to
9 minutes after it, overlapping ones merged); liquidity in bins of 2 s there and of a minute in the regular session; the trace of
the score second by second; long rows of integers are packed as base64.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from spymaster_assets.features import FEATURES, HORIZONS
from spymaster_assets.lake import Lake
from spymaster_assets.schema import TEXT, Column, Table
from spymaster_assets.sessions import NS_PER_SECOND, calendar, to_datetime
from spymaster_assets.states import ASK, BARRIER_STATES, BID, CONFIDENCES, DIRECTIONS, LEVEL_KINDS, OUTCOMES, PHASES, TRIGGERS
from spymaster_assets.tables import BARS, FEATURE_ROWS, FLOW, FUTURES_MBP10, LABELS, LEVELS, SIGNALS, SNAPS, TOUCHES

BEFORE: Final = 300  # seconds of the neighbourhood before t0
AFTER: Final = 540  # seconds of it after t0
FINE: Final = 2  # seconds of a bin of liquidity in a neighbourhood
COARSE: Final = 60  # seconds of a bin of liquidity in the regular session
DIGITS: Final = 9  # significant digits of features, labels and signals
TRACE_DECIMALS: Final = 2  # of the scores in the trace, which run from 0 to 100
PLACE: Final = "{{data}}"  # where the template takes the JSON
TRACED: Final = ("break_score_raw", "break_score_smooth", "score_liquidity", "score_tape", "score_hedge")
TRACED_STATES: Final = ("barrier_state", "trigger", "signal", "phase", "confidence")
FLOWS: Final = ("added", "pulled", "filled")  # lots, columns of FLOW
SIDES: Final = (BID, ASK)  # in the order of a bin's two bands

_SNAP_COLUMNS: Final = (
    "k", "ts", "mid2", "last", "high", "low",
    *(f"{side}_{what}_{i:02}" for side in ("bid", "ask") for what in ("ticks", "size") for i in range(10)),
)  # fmt: skip


def page(lake: Lake, date: dt.date) -> str:
    """The HTML of a trading date. LakeError if one of its Silver partitions is missing."""
    text = json.dumps(content(lake, date), separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    template = Path(__file__).with_suffix(".html").read_text(encoding="utf-8")
    before, after = template.split(PLACE)
    return before + text.replace("<", "\\u003c") + after


def content(lake: Lake, date: dt.date) -> dict[str, Any]:
    """What the page holds, ready for JSON. Moments: snaps k or seconds since the open. Prices: ticks unless a name says points."""
    config, session = lake.config, calendar(lake.config).session(date)
    snaps = lake.arrays(SNAPS, date, _SNAP_COLUMNS)
    flow = lake.arrays(FLOW, date, ("k", "side", "ticks", *FLOWS))
    touches, features, signals = lake.rows(TOUCHES, date), lake.rows(FEATURE_ROWS, date), lake.rows(SIGNALS, date)
    levels, bars, labels = lake.rows(LEVELS, date), lake.rows(BARS, date), lake.rows(LABELS, date)
    start = int(snaps["ts"][0])
    second = NS_PER_SECOND // config.grid.interval_ns  # snaps
    last = int(snaps["k"][-1])

    def since(moment: int) -> float:
        """Seconds from the open to a moment in ns UTC."""
        return (moment - start) / NS_PER_SECOND

    windows = ("globex", "premarket", "opening_range", "signals", "regular")
    regular = [min(max(int(since(edge) * second), 0), last) for edge in session.regular]
    texts = lake.arrays(TOUCHES, date, ("event_id", "episode_id"))
    offset = to_datetime(start, config.sessions.market_zone).utcoffset()
    landmarks = np.isin(_key(signals), _key(features))
    return {
        "date": date.isoformat(),
        "contract": _contract(lake, date),
        "open_ms": start // 1_000_000,
        "offset_s": offset.total_seconds() if offset else 0,
        "snap_s": config.grid.interval_ns / NS_PER_SECOND,
        "last_k": last,
        "tick_points": config.instrument.tick / config.instrument.point,
        "windows_s": {name: [since(edge) for edge in getattr(session, name)] for name in windows},
        "end_s": since(session.end),
        "horizons_s": HORIZONS,
        "primary": next(name for name, seconds in HORIZONS.items() if seconds == config.labels.confirmation_window_seconds),
        "landmarks_s": config.touches.landmarks,
        "neighbourhood_s": [-BEFORE, AFTER],
        "zone_ticks": config.barrier.barrier_zone_es_ticks,
        "band_points": config.touches.monitor_band,
        "scores": {
            "BREAK": config.score.break_score_threshold, "REJECT": config.score.reject_score_threshold,
            "weights": [config.score.w_l, config.score.w_h, config.score.w_t],
        },
        "words": {
            "kind": LEVEL_KINDS, "direction": DIRECTIONS, "outcome": OUTCOMES, "barrier_state": BARRIER_STATES,
            "trigger": TRIGGERS, "signal": TRIGGERS, "phase": PHASES, "confidence": CONFIDENCES,
        },
        "columns": {
            "touches": _described(TOUCHES),
            "features": [
                {
                    "name": f.name, "family": f.family, "unit": f.unit, "meaning": f.meaning, "window": f.window, "null": f.null,
                    "known": f.known, "categories": f.categories,
                }
                for f in FEATURES
            ],
            "signals": _described(SIGNALS),
            "labels": _described(LABELS),
        },
        "bars": _columns(BARS, bars[bars["minutes"] == 1], ("k", "open", "high", "low", "close", "volume", "prints")),
        "levels": {
            "kind": levels["kind"].tolist(),
            "points": [price / config.instrument.point for price in levels["price"].tolist()],
            "from_s": [since(moment) for moment in levels["valid_from"].tolist()],
            "to_s": [since(moment) for moment in levels["valid_to"].tolist()],
        },
        "touches": {
            **_columns(TOUCHES, touches),
            **{name: words.tolist() for name, words in texts.items()},
            "points": [price / config.instrument.point for price in touches["price"].tolist()],
        },
        "features": _columns(FEATURE_ROWS, features),
        "signals": _columns(SIGNALS, signals[landmarks]),
        "labels": _columns(LABELS, labels),
        "traces": [_trace(signals[signals["touch"] == number], second) for number in touches["touch"]],
        "segments": [
            {"from_k": a, "to_k": b, "price": _seconds(snaps, a, b, second), "heat": _heat(snaps, flow, a, b, FINE * second)}
            for a, b in neighbourhoods(touches["k"].tolist(), second, last)
        ],
        "regular": _heat(snaps, flow, regular[0], regular[1], COARSE * second),
    }  # fmt: skip


def neighbourhoods(moments: Sequence[int], second: int, last: int) -> list[tuple[int, int]]:
    """The neighbourhoods of touches at these snaps as (from, to], overlapping ones merged, whole numbers of bins since the open."""
    step = FINE * second
    merged: list[tuple[int, int]] = []
    for k in sorted(moments):
        a = max(0, (k - BEFORE * second) // step * step)
        b = min(-(-(k + AFTER * second) // step), last // step) * step
        if merged and a <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(b, merged[-1][1]))
        else:
            merged.append((a, b))
    return merged


def _contract(lake: Lake, date: dt.date) -> str | None:
    """The future that the date is about, from Bronze; None if Bronze is not here."""
    manifest = lake.manifest(FUTURES_MBP10, date)
    return str(manifest.facts["contract"]["symbol"]) if manifest and manifest.facts.get("contract") else None


def _key(rows: np.ndarray) -> np.ndarray:
    """One number for (touch, k)."""
    return rows["touch"].astype(np.int64) << 32 | rows["k"]


def _described(table: Table) -> list[dict[str, Any]]:
    """Columns with unit, meaning and, for named states, their names."""
    return [{"name": c.name, "unit": c.unit, "meaning": c.meaning, "categories": c.categories} for c in table.columns]


def _columns(table: Table, rows: np.ndarray, names: Sequence[str] = ()) -> dict[str, list[Any]]:
    """Columns of rows in their in-memory form, without text; the times that `k` tells already are left out."""
    chosen = [table[name] for name in names] if names else [c for c in table.columns if c.dtype != TEXT and c.unit != "ns UTC"]
    return {column.name: _plain(column, np.ascontiguousarray(table.place(column, rows))) for column in chosen}


def _plain(column: Column, values: np.ndarray) -> list[Any]:
    """Values as JSON takes them: numbers, states as their numbers, None for unknown."""
    plain = [float(f"{v:.{DIGITS}g}") for v in values.tolist()] if values.dtype.kind == "f" else values.tolist()
    unknown = column.unknowns(values)
    if unknown is None:
        return plain
    return [None if gone else value for value, gone in zip(plain, unknown.tolist(), strict=True)]


def _trace(rows: np.ndarray, second: int) -> dict[str, Any]:
    """The signals of one touch, every whole second from t0 on. States: a string, one digit a second."""
    rows = rows[: len(rows) : second]
    scores = {name: [None if math.isnan(v) else round(v, TRACE_DECIMALS) for v in rows[name].tolist()] for name in TRACED}
    return {**scores, **{name: "".join(map(str, rows[name].tolist())) for name in TRACED_STATES}}


def _seconds(snaps: dict[str, np.ndarray], a: int, b: int, second: int) -> dict[str, Any]:
    """Price second by second in (a, b]: mid (half ticks) and last print at the end of the second, its highest and lowest print."""
    ends = slice(a + second, b + 1, second)
    unknown = SNAPS["mid2"].unknown
    return {
        "mid2": packed_prices(snaps["mid2"][ends], unknown),
        "last": packed_prices(snaps["last"][ends], unknown),
        **{
            name: packed_prices(pick(np.where(values == unknown, other, values).reshape(-1, second), axis=1), other)
            for name, pick, other in (("high", np.max, -(2**31)), ("low", np.min, 2**31 - 1))
            for values in [snaps[name][a + 1 : b + 1]]
        },
    }


def _heat(snaps: dict[str, np.ndarray], flow: dict[str, np.ndarray], a: int, b: int, step: int) -> dict[str, Any]:
    """Liquidity in (a, b] by bins of `step` snaps, side and price, lots: resting at the end of a bin, flow within it.

    Each bin has a band of prices of the bids, then one of the asks: `count` prices from the tick `first` up. `rest`, `added`,
    `pulled`, `filled` hold the bands of all bins one after the other.
    """
    bins = (b - a) // step
    first, count = np.zeros((bins, 2), np.int64), np.zeros((bins, 2), np.int64)
    cells: list[np.ndarray] = []
    for begin in range(0, bins, 256):  # so many at once that prices stay close together
        end = min(begin + 256, bins)
        grid, low = _dense(snaps, flow, a + begin * step, step, end - begin)
        used = np.asarray(grid.any(axis=0))
        first[begin:end] = low + used.argmax(axis=2)
        count[begin:end] = np.where(used.any(axis=2), low + used.shape[2] - used[:, :, ::-1].argmax(axis=2) - first[begin:end], 0)
        prices = low + np.arange(used.shape[2])
        start = first[begin:end, :, None]
        cells.append(grid[:, (prices >= start) & (prices < start + count[begin:end, :, None])])
    whole = np.concatenate(cells, axis=1) if cells else np.zeros((4, 0), np.int64)
    base = int(first[count > 0].min()) if count.any() else 0
    return {
        "from_k": a, "step": step, "bins": bins, "base": base,
        "first": packed(np.where(count > 0, first - base, 0).ravel()), "count": packed(count.ravel()),
        **{name: packed(values) for name, values in zip(("rest", *FLOWS), whole, strict=True)},
    }  # fmt: skip


def _dense(snaps: dict[str, np.ndarray], flow: dict[str, np.ndarray], a: int, step: int, bins: int) -> tuple[np.ndarray, int]:
    """(4, bins, 2 sides, prices): rest and flows of the bins that follow snap a; and the tick of the first price."""
    rows = slice(*np.searchsorted(flow["k"], [a, a + bins * step], side="right").tolist())
    at = a + step * np.arange(1, bins + 1)
    ticks = np.stack([[snaps[f"{side}_ticks_{i:02}"][at] for i in range(10)] for side in ("bid", "ask")])  # side, level, bin
    sizes = np.stack([[snaps[f"{side}_size_{i:02}"][at] for i in range(10)] for side in ("bid", "ask")])
    listed = sizes > 0
    prices = np.concatenate([flow["ticks"][rows], ticks[listed]])
    low, high = (int(prices.min()), int(prices.max())) if len(prices) else (0, 0)
    width = high - low + 1
    grid = np.zeros((4, bins, 2, width), np.int64)
    side, _, moment = np.nonzero(listed)
    grid[0, moment, side, ticks[listed] - low] = sizes[listed]
    place = ((flow["k"][rows] - 1 - a) // step * 2 + (flow["side"][rows] == SIDES[1])) * width + flow["ticks"][rows] - low
    for i, name in enumerate(FLOWS, 1):
        grid[i] = np.bincount(place, flow[name][rows], bins * 2 * width).astype(np.int64).reshape(bins, 2, width)
    return grid, low


def packed_prices(ticks: np.ndarray, unknown: int | None) -> dict[str, Any]:
    """Prices as the lowest known one and, packed, how far each lies above it; -1: unknown."""
    known = ticks != unknown
    base = int(ticks[known].min()) if known.any() else 0
    return {"base": base, "above": packed(np.where(known, ticks.astype(np.int64) - base, -1))}


def packed(values: np.ndarray) -> str:
    """Integers as the smallest type that holds them, little-endian, in base64: `u1:...`, `i2:...`."""
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    kind = next(kind for kind in ("u1", "i1", "i2", "i4") if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)
    return f"{kind}:{base64.b64encode(values.astype(f'<{kind}').tobytes()).decode()}"
