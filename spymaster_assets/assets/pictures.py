"""Small pictures for asset metadata, as Markdown that the Dagster UI shows."""

import base64
import datetime as dt
import io

import duckdb
import matplotlib

matplotlib.use("Agg")
from matplotlib.figure import Figure

from spymaster_assets.lake import Lake, scan
from spymaster_assets.sessions import NS_PER_SECOND, calendar, to_datetime
from spymaster_assets.tables import FUTURES_MBP10

MINUTE = 60 * NS_PER_SECOND


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
