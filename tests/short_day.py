"""Three hours of a simulated date with a session of their own, small enough for the naive twins and rich enough for every column.

The open is 08:00 New York time, "04:00" is 08:30, 09:30 stays, signals end at 10:40 and outcomes at 10:45; the averages are over 10
and 20 two-minute closes. Everything else is the product's.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from spymaster_assets import dbn
from spymaster_assets.compute.stream import NO_PRIORS, Day
from spymaster_assets.config import Config
from spymaster_assets.sessions import Session, Window, calendar, wall
from spymaster_assets.simulator.write import simulate
from spymaster_assets.tables import DAY_SUMMARY, PRIORS

DATE = dt.date(2025, 6, 3)
CONFIG = Config.model_validate({"levels": {"sma_bars": (10, 20)}})
EVENTS = 60_000  # of the whole regular session
HALT = ("10:20", "10:22")  # two minutes whose records are left out


def at(clock: str) -> int:
    return wall(DATE, clock, "America/New_York")


SESSION: Session = replace(
    calendar(CONFIG).session(DATE),
    globex=Window(at("08:00"), at("10:50")),
    premarket=Window(at("08:30"), at("09:30")),
    signals=Window(at("09:30"), at("10:40")),
    end=at("10:45"),
)


@cache
def records() -> np.ndarray:
    """The MBP-10 rows of the front contract in the session, without those of the halt."""
    with tempfile.TemporaryDirectory() as folder:
        simulate(Path(folder), [DATE], events_per_session=EVENTS, seed=3, config=CONFIG)
        files = sorted(Path(folder).rglob("*.mbp-10.dbn.zst"))
        rows = np.concatenate([chunk.copy() for path in files for chunk in dbn.read(path, "mbp-10")])
    times = rows["ts_event"].astype(np.int64)
    front = rows["instrument_id"] == np.bincount(rows["instrument_id"]).argmax()
    halted = (times > at(HALT[0])) & (times <= at(HALT[1]))
    return dbn.pick(rows, front & (times > SESSION.globex.start) & (times <= SESSION.globex.end) & ~halted)


@cache
def priors() -> np.ndarray:
    """Priors as three earlier dates might have left them: plausible, different in every bucket, some unknown."""
    rows, number = np.zeros(144, PRIORS.dtype), np.arange(144)
    rows["bucket"], rows["dates"] = number, 3
    for side in ("bid_m", "ask_m"):
        rows[side] = 4 + (number[:, None] + np.arange(10)) % 5
    rows["minute_volume"], rows["minute_prints"] = 40 + number % 7, 17 + number % 3
    rows["cluster_p99"], rows["atr"], rows["print_spacing"] = 6 + number % 4, 2.5, 0.9
    rows["diffusion"], rows["consumed_share"], rows["gamma_threshold"] = 0.05 + (number % 11) / 200, 0.2, np.nan
    for name in ("cluster_p99", "minute_prints", "atr"):
        rows[name][70] = np.nan
    return rows


def run(rows: np.ndarray, with_priors: np.ndarray = NO_PRIORS, until: int = SESSION.globex.end) -> Day:
    """A Day fed in one piece and completed up to `until`."""
    day = Day(SESSION, CONFIG, with_priors)
    day.step(rows, until)
    return day


def sequences(day: Day) -> np.ndarray:
    """The sequences of a day's landmarks, as far as it got, in order of (touch, k)."""
    rows = np.sort(day.features.rows, order=["touch", "k"])
    at = rows[np.isin(rows["elapsed"], day.config.sequences.landmarks)]
    return day.sequences(zip(at["touch"].tolist(), at["k"].tolist(), strict=True), len(at))


assert DAY_SUMMARY.names[1:] == PRIORS.names[1:-1], "priors are medians of summaries"
