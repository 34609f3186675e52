"""The stages of Silver: which tables each reads and makes, and which functions of compute it calls."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from spymaster_assets import dbn
from spymaster_assets.ahead import ahead
from spymaster_assets.columnar import to_numpy
from spymaster_assets.compute.clock import clock_of
from spymaster_assets.compute.growing import Growing
from spymaster_assets.compute.option_flow import EVENT, OptionGrid
from spymaster_assets.compute.stream import Day
from spymaster_assets.compute.transpose import Records, field_places
from spymaster_assets.expiring import FACTS, KEPT, Contract, sorted_out
from spymaster_assets.lateness import floors
from spymaster_assets.maker import Maker, Rows, Stage
from spymaster_assets.schema import Table
from spymaster_assets.sessions import calendar
from spymaster_assets.tables import (
    BARS,
    DAY_SUMMARY,
    DEFINITIONS,
    FEATURE_ROWS,
    FLOW,
    FUTURES_MBP10,
    LABELS,
    LEVELS,
    OPEN_INTEREST,
    OPTION_FLOW,
    OPTION_QUOTES,
    OPTION_STATISTICS,
    OPTION_TRADES,
    PRINTS,
    PRIORS,
    SIGNALS,
    SNAPS,
    TOUCHES,
)

BOOK_COLUMNS: Final = (
    "ts_event", "price", "size", "action", "side", "flags",
    *(f"{side}_{what}_{level:02}" for level in range(dbn.BOOK_LEVELS) for side in ("bid", "ask") for what in ("px", "sz")),
)  # fmt: skip
STEP: Final = 4096  # records handed to the grid at once: they stay in the cache


def book_records(maker: Maker) -> Iterator[np.ndarray]:
    """The date's book records, as rows of two buffers that take turns: some are laid out while those before are worked on."""
    return ahead(_book_rows(maker))


def _book_rows(maker: Maker) -> Iterator[np.ndarray]:
    rows = Records(dbn.MBP10, field_places(dbn.MBP10, BOOK_COLUMNS), STEP)
    manifest, done = maker.lake.manifest(FUTURES_MBP10, maker.date), 0
    for batch in maker.lake.batches(FUTURES_MBP10, maker.date, BOOK_COLUMNS):
        yield from rows.fill({name: to_numpy(FUTURES_MBP10[name], batch.column(name)) for name in BOOK_COLUMNS})
        done += batch.num_rows
        if maker.progress is not None and manifest is not None:
            maker.progress(f"grid {maker.date}", done, manifest.rows)


def _grid(maker: Maker) -> tuple[Rows, dict[str, Any]]:
    day = Day(maker.session, maker.config)
    marks, done = deque(maker.marks(FUTURES_MBP10)), 0
    for records in book_records(maker):
        start = 0
        while marks and marks[0][0] < done + len(records):  # live, this watermark stood before the row came
            row, watermark = marks.popleft()
            day.take(records[start : row - done])
            day.complete(watermark)
            start = row - done
        day.take(records[start:])
        done += len(records)
    day.complete(maker.session.globex.end)
    last, hidden = day.snaps[-1], day.grid.hidden[0]
    signed = day.prints.rows["side"] != ord("N")
    facts = {
        "records": int(last["records"]),
        "lots": int(last["volume"]),
        "lots_with_aggressor": int(day.prints.rows["size"][signed].sum()),
        "lots_filled": int(day.flow.rows["filled"].sum()),
        "lots_the_book_lost": int(hidden["covered"]),
        "lots_discarded": int(hidden["discarded"]),
        "trades_without_price": int(hidden["unpriced"]),
        **{name: int(last[name]) for name in ("crossed", "resets", "late")},
    }
    return {SNAPS: day.snaps, PRINTS: day.prints.rows, FLOW: day.flow.rows}, facts


def _option_flow(maker: Maker) -> tuple[Rows, dict[str, Any]]:
    lake, date = maker.lake, maker.date
    grid = OptionGrid(clock_of(maker.session, maker.config))
    numbers, reasons = _contracts(maker, grid)
    kept: dict[str, Counter[str]] = {}
    for table, price, ask in ((OPTION_TRADES, "price", "price"), (OPTION_QUOTES, "bid_px_00", "ask_px_00")):
        names = ["ts_event", "ts_recv", price, ask, "size", "side", "symbol", *(["source"] if table is OPTION_QUOTES else [])]
        told = kept[table.name] = Counter[str]()
        marks, done = maker.marks(table), 0
        for batch in lake.batches(table, date, list(dict.fromkeys(names))) if lake.manifest(table, date) else ():
            symbols = batch.column("symbol").dictionary.to_pylist()
            places = batch.column("symbol").indices.fill_null(len(symbols)).to_numpy()
            events = np.zeros(batch.num_rows, EVENT)
            events["contract"] = np.array([*(numbers.get(symbol, -1) for symbol in symbols), -1], np.int64)[places]
            sampled = table is OPTION_QUOTES and batch.num_rows and batch.column("source")[0].as_py() != "tbbo"
            for field, column in (
                ("ts", "ts_recv" if sampled else "ts_event"),
                ("price", price),
                ("ask", ask),
                ("size", "size"),
                ("side", "side"),
            ):
                events[field] = to_numpy(table[column], batch.column(column))
            events["ts"] = np.maximum(events["ts"], floors(marks, done, len(events)))
            done += len(events)
            grid.place(events, table is OPTION_QUOTES)
            grid.add(events[events["contract"] >= 0])
            for place, number in zip(*np.unique(places, return_counts=True), strict=True):
                name = symbols[place] if place < len(symbols) else None
                told[reasons.get(name, "not defined")] += int(number)
    grid.advance(grid.clock.count)
    facts = {"definitions": dict(Counter(reasons.values())), **{name: dict(told) for name, told in kept.items()}}
    return {OPTION_FLOW: grid.flow.rows, OPEN_INTEREST: _open_interest(maker, numbers, grid)}, facts


def _contracts(maker: Maker, grid: OptionGrid) -> tuple[dict[str, int], dict[str | None, str]]:
    """The date's contracts: number by symbol, and of every defined symbol whether it is one, or why not.

    What definitions say by the regular open holds for the date; later ones tell of what was not defined.
    """
    if not maker.lake.manifest(DEFINITIONS, maker.date):
        return {}, {}
    facts = maker.lake.arrays(DEFINITIONS, maker.date, (*FACTS, "ts_recv"))
    came = np.maximum(facts["ts_recv"], floors(maker.marks(DEFINITIONS), 0, len(facts["ts_recv"])))
    times = np.maximum.accumulate(came)
    numbers: dict[str, int] = {}
    reasons: dict[str | None, str] = {}
    found = sorted_out(facts, maker.config, grid.clock)
    for symbol, one, defined in zip(facts["raw_symbol"].tolist(), found, times.tolist(), strict=True):
        if symbol in reasons and defined > grid.clock.regular_start:
            continue
        reasons[symbol] = one if isinstance(one, str) else KEPT
        if isinstance(one, Contract):
            numbers[symbol] = grid.contract(one.strike, one.call, one.expiration, defined)
    return numbers, reasons


def _open_interest(maker: Maker, numbers: Mapping[str, int], grid: OptionGrid) -> np.ndarray:
    """The last report of each contract that came before the open."""
    if not maker.lake.manifest(OPTION_STATISTICS, maker.date):
        return np.zeros(0, OPEN_INTEREST.dtype)
    names = ("symbol", "ts_event", "ts_recv", "stat_type", "update_action", "quantity")
    facts = maker.lake.arrays(OPTION_STATISTICS, maker.date, names)
    numbered = np.array([numbers.get(symbol, -1) for symbol in facts["symbol"].tolist()], np.int64)
    came = np.maximum(facts["ts_recv"], floors(maker.marks(OPTION_STATISTICS), 0, len(numbered)))
    numbered[came > grid.clock.regular_start] = -1  # whatever event it is about
    return grid.open_interest(numbered, facts["stat_type"], facts["update_action"], facts["quantity"], facts["ts_event"])


def _bars(maker: Maker) -> tuple[Rows, dict[str, Any]]:
    day = maker.day(SNAPS, PRINTS)
    day.advance_bars()
    return {BARS: np.concatenate([bars.rows for _, bars in sorted(day.bars.items())])}, {}


def _levels(maker: Maker) -> tuple[Rows, dict[str, Any]]:
    day = maker.day(SNAPS, PRINTS, BARS, OPTION_FLOW, PRIORS)
    day.advance_levels()
    return {LEVELS: day.levels.rows}, {"levels": _counts(LEVELS, "kind", day.levels.rows)}


def _day_summary(maker: Maker) -> tuple[Rows, dict[str, Any]]:
    day = maker.day(SNAPS, PRINTS, FLOW, BARS, OPTION_FLOW)
    day.advance_samples()
    return {DAY_SUMMARY: day.summary()}, {"contract": maker.contract()}


def _priors(maker: Maker) -> tuple[Rows, dict[str, Any]]:
    dates = maker.summarised
    earlier = calendar(maker.config).before(maker.date, maker.config.priors.lookback)
    facts = {
        "contract": maker.contract(),
        "dates": [date.isoformat() for date in dates],
        "missing": [date.isoformat() for date in earlier[::-1] if date not in dates],
    }
    return {PRIORS: maker.usual((maker.contract() or {}).get("symbol"))}, facts


def _touches(maker: Maker) -> tuple[Rows, dict[str, Any]]:
    day = maker.day(SNAPS, PRINTS, BARS, LEVELS, PRIORS)
    day.advance_samples()
    day.advance_touches()
    rows = day.touches.rows
    facts = {
        "touches": _counts(TOUCHES, "kind", rows),
        "cold": int(rows["sigma_cold"].sum()),
        "no_volatility": int(np.isnan(rows["sigma"]).sum()),
    }
    return {TOUCHES: rows}, facts


def _features(maker: Maker) -> tuple[Rows, dict[str, Any]]:
    day = maker.day(SNAPS, PRINTS, FLOW, *OPTIONS, BARS, LEVELS, TOUCHES, PRIORS)
    day.advance_samples()
    day.advance_features()
    rows = _sorted(day.features)
    states = {name: _counts(FEATURE_ROWS, name, rows) for name in ("approach_barrier_state", "barrier_state")}
    return {FEATURE_ROWS: rows}, {**states, "null_share": _null_shares(FEATURE_ROWS, rows)}


def _signals(maker: Maker) -> tuple[Rows, dict[str, Any]]:
    day = maker.day(SNAPS, PRINTS, FLOW, *OPTIONS, TOUCHES, PRIORS)
    day.advance_signals()
    rows = _sorted(day.signals)
    states = {name: _counts(SIGNALS, name, rows) for name in ("barrier_state", "trigger", "signal", "confidence", "phase")}
    return {SIGNALS: rows}, {**states, "null_share": _null_shares(SIGNALS, rows)}


def _labels(maker: Maker) -> tuple[Rows, dict[str, Any]]:
    rows = maker.day(SNAPS, PRINTS, TOUCHES).labels()
    outcomes = {name: _counts(LABELS, name, rows) for name in LABELS.names if name.startswith("outcome_")}
    return {LABELS: rows}, outcomes


def _sorted(rows: Growing) -> np.ndarray:
    """Rows in order of (touch, k)."""
    return rows.rows[np.lexsort((rows.rows["k"], rows.rows["touch"]))]


def _counts(table: Table, name: str, rows: np.ndarray) -> dict[str, int]:
    """How often each category stands in a column."""
    words = table[name].categories or ()
    found = np.bincount(rows[name][rows[name] >= 0], minlength=len(words))
    return {word: int(n) for word, n in zip(words, found, strict=True) if n}


def _null_shares(table: Table, rows: np.ndarray) -> dict[str, float]:
    """Share of unknown values per column, of the columns that have any."""
    shares = {}
    for column in table.columns:
        unknown = column.unknowns(table.place(column, rows)) if column.null and column.dtype != "text" else None
        if unknown is not None:
            shares[column.name] = round(float(unknown.mean()), 4)
    return shares


OPTIONS: Final = (OPTION_FLOW, OPEN_INTEREST)
PATH: Final = ("instrument", "sessions", "grid")
SILVER_STAGES: Final = (
    Stage("grid", (SNAPS, PRINTS, FLOW), (FUTURES_MBP10,), (*PATH, "tape"), ("grid", "transpose", "clock", "growing"), _grid),
    Stage(
        "option_flow", OPTIONS, (DEFINITIONS, OPTION_TRADES, OPTION_QUOTES, OPTION_STATISTICS), PATH, ("option_flow",),
        _option_flow,
    ),
    Stage("bars", (BARS,), (SNAPS, PRINTS), (*PATH, "levels"), ("bars",), _bars),
    Stage(
        "day_summary", (DAY_SUMMARY,), (SNAPS, PRINTS, FLOW, BARS, OPTION_FLOW),
        (*PATH, "levels", "barrier", "tape", "fuel", "labels", "priors"),
        ("summary", "volatility"), _day_summary,
    ),
    Stage("priors", (PRIORS,), (), (*PATH, "priors"), ("summary",), _priors, earlier=True),
    Stage(
        "levels", (LEVELS,), (SNAPS, PRINTS, BARS, OPTION_FLOW, PRIORS), (*PATH, "levels", "fuel"), ("levels",), _levels,
    ),
    Stage(
        "touches", (TOUCHES,), (SNAPS, PRINTS, BARS, LEVELS, PRIORS), (*PATH, "levels", "touches", "labels", "priors"),
        ("touches", "references", "volatility"), _touches,
    ),
    Stage(
        "features", (FEATURE_ROWS,), (SNAPS, PRINTS, FLOW, *OPTIONS, BARS, LEVELS, TOUCHES, PRIORS),
        (*PATH, "levels", "touches", "barrier", "tape", "fuel", "labels", "priors"), ("features_at", "approach_at", "volatility"),
        _features,
    ),
    Stage(
        "signals", (SIGNALS,), (SNAPS, PRINTS, FLOW, *OPTIONS, TOUCHES, PRIORS),
        (*PATH, "touches", "barrier", "tape", "fuel", "score", "priors"), ("score",), _signals,
    ),
    Stage("labels", (LABELS,), (SNAPS, PRINTS, TOUCHES), (*PATH, "touches", "labels"), ("labels",), _labels),
)  # fmt: skip
