"""Small pictures for asset metadata, as Markdown that the Dagster UI shows."""

import base64
import datetime as dt
import io
from collections.abc import Callable

import duckdb
import matplotlib

matplotlib.use("Agg")
import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from spymaster_assets.lake import Lake, LakeError, scan
from spymaster_assets.sessions import NS_PER_SECOND, calendar, to_datetime
from spymaster_assets.states import KEY_KINDS, LEVEL_KINDS, OUTCOMES, UP
from spymaster_assets.tables import BARS, FUTURES_MBP10, LEVELS, TRAINING

MINUTE = 60 * NS_PER_SECOND


def drawn(picture: Callable[[], str]) -> str:
    """A picture, or a note where its tables cannot be read: the checks say what is wrong with them."""
    try:
        return picture()
    except (LakeError, OSError, pa.ArrowException, duckdb.Error) as error:
        return f"no picture: {error}"


def _markdown(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80, metadata={"Software": None})
    return f"![picture](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})"


def date_picture(lake: Lake, date: dt.date, connection: duckdb.DuckDBPyConnection) -> str:
    """Price by minute above records by minute of a date's book, its premarket and opening range shaded; New York time."""
    rows = connection.execute(f"""
        select ts_event // {MINUTE} as minute, count(*),
               arg_max(price, ts_recv) filter (action = 'T') / {lake.config.instrument.point},
               coalesce(sum(size) filter (action = 'T'), 0)
        from ({scan([str(lake.path(FUTURES_MBP10, date))])}) group by minute order by minute""").fetchall()
    session, zone = calendar(lake.config).session(date), lake.config.sessions.market_zone
    hours = [(minute * MINUTE - session.globex.start) / (60 * MINUTE) for minute, *_ in rows]
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    price, activity = figure.subplots(2, sharex=True, height_ratios=[2, 1])
    price.plot(
        [h for h, row in zip(hours, rows, strict=True) if row[2]], [row[2] for row in rows if row[2]], lw=0.8, color="#1f4e79"
    )
    activity.fill_between(hours, [row[1] for row in rows], step="mid", color="#7f7f7f", lw=0)
    for window, colour in ((session.premarket, "#f5e6c8"), (session.regular, "#e4efe4"), (session.opening_range, "#f0b8a8")):
        edges = [(edge - session.globex.start) / (60 * MINUTE) for edge in window]
        price.axvspan(edges[0], edges[1], color=colour, zorder=0)
    ticks = range(0, 24, 2)
    labels = [to_datetime(session.globex.start + hour * 60 * MINUTE, zone).strftime("%H:%M") for hour in ticks]
    activity.set_xticks(list(ticks), labels)
    activity.set_xlim(-0.3, 23.3)
    contract = lake.manifest(FUTURES_MBP10, date)
    price.set_title(f"{contract.facts['contract']['symbol'] if contract else ''} {date}, New York time", fontsize=9)
    price.set_ylabel("points")
    activity.set_ylabel("records/min")
    return _markdown(figure)


MARKERS = {"BREAK": "#0072b2", "BOUNCE": "#e69f00", "CHOP": "#8c959f", "CENSORED": "#ffffff", "RESOLVED": "#ffffff"}
NAMES = {"BREAK": "blue", "BOUNCE": "amber", "CHOP": "grey", "CENSORED": "white", "RESOLVED": "white"}
COLOURS = dict(zip(KEY_KINDS, ("#b35900", "#b35900", "#6639ba", "#6639ba", "#0969da", "#218bff"), strict=True))
OTHERS = "#6e7781"


def gold_picture(lake: Lake, date: dt.date) -> str:
    """Price by minute from 08:00 to the regular close, signal levels while they hold, each touch by direction and outcome."""
    session, zone = calendar(lake.config).session(date), lake.config.sessions.market_zone
    point, tick = lake.config.instrument.point, lake.config.instrument.tick
    start, end = session.regular.start - 90 * MINUTE, session.regular.end

    def hours(times: np.ndarray) -> np.ndarray:
        return (times - start) / (60 * MINUTE)

    bars, levels, rows = lake.rows(BARS, date), lake.rows(LEVELS, date), lake.rows(TRAINING, date)
    bars = bars[(bars["minutes"] == 1) & (bars["ts"] > start) & (bars["ts"] <= end) & (bars["volume"] > 0)]
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.axvspan(*hours(np.array(session.signals)), color="#f3f6f3", zorder=0)
    for kind in lake.config.levels.signal_kinds:
        held = levels[(levels["kind"] == LEVEL_KINDS.index(kind)) & (levels["valid_to"] > start) & (levels["valid_from"] < end)]
        froms, tos = hours(np.maximum(held["valid_from"], start)), hours(np.minimum(held["valid_to"], end))
        style = "--" if kind in ("PM_LOW", "OR_LOW", "SMA_400") else "-"
        axes.hlines(
            held["price"] / point, froms, tos, colors=COLOURS.get(kind, OTHERS), lw=1, ls=style, label=kind if held.size else "_"
        )
    closes = bars["close"].astype(np.int64) * tick / point
    axes.plot(hours(bars["ts"]), closes, lw=0.8, color="#24292f")
    if closes.size:
        axes.set_ylim(closes.min() - 3, closes.max() + 3)
    axes.legend(fontsize=6, ncols=6, loc="lower left", frameon=False)
    first = rows[rows["elapsed"] == 0]
    counts = {word: int((first["outcome_4min"] == number).sum()) for number, word in enumerate(OUTCOMES)}
    for touch in first:
        word = OUTCOMES[touch["outcome_4min"]]
        at = float(hours(touch["t_decision"])), float(touch["price"] / point)
        axes.plot(*at, "^" if touch["direction"] == UP else "v", ms=6, mfc=MARKERS[word], mec="#24292f", mew=0.5)
    ticks = np.arange(0, int(hours(np.array(end))) + 1)
    axes.set_xticks(ticks, [to_datetime(start + int(hour) * 60 * MINUTE, zone).strftime("%H:%M") for hour in ticks])
    told = ", ".join(f"{n} {word} {NAMES[word]}" for word, n in counts.items() if n)
    axes.set_title(f"{date}: {len(first)} touches ({told or 'none'}) within 4 min; ▲ from below, ▼ from above", fontsize=9)
    axes.set_ylabel("points")
    return _markdown(figure)
