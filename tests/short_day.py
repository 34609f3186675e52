"""Three hours of a simulated date with a session of their own, small enough for the naive twins and rich enough for every column.

The open is 08:00 New York time, "04:00" is 08:30, 09:30 stays, signals end at 10:40 and outcomes at 10:45; the averages are over 10
and 20 two-minute closes, round numbers lie 49 ticks apart. Everything else is the product's.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from spymaster_assets import dbn
from spymaster_assets.compute.clock import clock_of
from spymaster_assets.compute.option_flow import EVENT
from spymaster_assets.compute.stream import NO_PRIORS, Day
from spymaster_assets.config import Config
from spymaster_assets.expiring import Contract, sorted_out
from spymaster_assets.sessions import Session, Window, calendar, wall
from spymaster_assets.simulator.write import simulate
from spymaster_assets.tables import DAY_SUMMARY, OPEN_INTEREST, PRIORS
from tests.made_once import made_once

DATE = dt.date(2025, 6, 3)
CONFIG = Config.model_validate({"levels": {"sma_bars": (10, 20), "round_points": 12.25}})
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
def simulated() -> dict[str, np.ndarray]:
    """The records of the date by schema: the future's book, the options' tbbo, definitions and statistics."""
    schemas = {"mbp-10": "futures", "tbbo": "options", "definition": "options", "statistics": "options"}

    def make(folder: Path) -> None:
        simulate(folder, [DATE], events_per_session=EVENTS, seed=3, config=CONFIG)

    landing = made_once("short-day", make)
    return {
        schema: np.concatenate(
            [chunk.copy() for path in sorted((landing / kind).glob(f"*.{schema}.dbn.zst")) for chunk in dbn.read(path, schema)]
        )
        for schema, kind in schemas.items()
    }


@cache
def records() -> np.ndarray:
    """The MBP-10 rows of the front contract in the session, without those of the halt."""
    rows = simulated()["mbp-10"]
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
    rows["diffusion"], rows["consumed_share"] = 0.05 + (number % 11) / 200, 0.2
    rows["gamma_threshold"] = np.where(number % 5, 4.0 + number % 3, np.nan)
    rows["ofi_loading"] = (np.arange(10) - 1.5) / 40
    rows["acceleration_coefficient"] = 0.003
    middle = int(np.median(records()["levels"]["bid_px"][:, 0])) // CONFIG.instrument.tick
    rows["session_high"], rows["session_low"], rows["session_close"] = middle + 90, middle - 33, middle + 41
    for name in ("cluster_p99", "minute_prints", "atr"):
        rows[name][70] = np.nan
    return rows


@cache
def contracts() -> dict[int, Contract]:
    """The date's options by instrument."""
    sent = simulated()["definition"]
    facts = {name: np.char.decode(sent[name]) for name in ("security_type", "underlying")}
    facts |= {name: sent[name].view("S1").astype("U1") for name in ("instrument_class", "user_defined_instrument")}
    facts |= {"expiration": sent["expiration"].view("i8"), "strike_price": sent["strike_price"]}
    found = zip(sent["instrument_id"].tolist(), sorted_out(facts, CONFIG, clock_of(SESSION, CONFIG)), strict=True)
    return {instrument: one for instrument, one in found if isinstance(one, Contract)}


@cache
def option_events() -> np.ndarray:
    """Trades and quotes of the date's options in the session, in order of time; `contract` is the instrument."""
    rows = simulated()["tbbo"]
    rows = rows[np.isin(rows["instrument_id"], list(contracts())) & (rows["ts_event"].astype(np.int64) > SESSION.globex.start)]
    events = np.zeros(2 * len(rows), EVENT)
    for quote, part in ((1, events[::2]), (0, events[1::2])):
        part["ts"], part["contract"], part["quote"] = rows["ts_event"], rows["instrument_id"], quote
        part["price"], part["ask"] = (rows["bid_px_00"], rows["ask_px_00"]) if quote else (rows["price"], rows["price"])
        part["size"], part["side"] = rows["size"], rows["side"]
    return events[events["ts"] <= SESSION.globex.end]


@cache
def reports() -> np.ndarray:
    """The final reports of open interest, by instrument and quantity."""
    rows = simulated()["statistics"]
    return rows[(rows["stat_flags"] == 1) & np.isin(rows["instrument_id"], list(contracts()))]


def open_interest() -> list[dict[str, int]]:
    """The same as plain rows."""
    found = []
    for report in reports():
        one = contracts()[int(report["instrument_id"])]
        row = {"strike": one.strike, "call": int(one.call), "quantity": int(report["quantity"]), "ts": int(report["ts_event"])}
        found.append(row)
    return found


def offer(day: Day, events: np.ndarray, of: Mapping[int, Contract] | None = None) -> None:
    """Feed option events, whose `contract` is an instrument, to a day. `of`: other contracts than the date's."""
    of = of or contracts()
    for quotes in (True, False):
        part = events[events["quote"] == quotes]
        unique, places = np.unique(part["contract"], return_inverse=True)
        chosen = [of[instrument] for instrument in unique.tolist()]
        numbers = [day.options.contract(one.strike, one.call, one.expiration) for one in chosen]
        part["contract"] = np.array(numbers, np.int64)[places]
        day.options.place(part, quotes)
        day.options.add(part)


def begin(day: Day, events: np.ndarray, of: Mapping[int, Contract] | None = None) -> Day:
    """Feed open interest and option events to a new day."""
    of = of or contracts()
    rows = np.zeros(len(reports()), OPEN_INTEREST.dtype)
    for row, report in zip(rows, reports(), strict=True):
        one = of[int(report["instrument_id"])]
        row["strike"], row["call"], row["quantity"], row["ts"] = one.strike, one.call, report["quantity"], report["ts_event"]
    day.chain.open_with(rows)
    offer(day, events, of)
    return day


def run(
    rows: np.ndarray, with_priors: np.ndarray = NO_PRIORS, until: int = SESSION.globex.end, of: Mapping[int, Contract] | None = None
) -> Day:
    """A Day fed in one piece and completed up to `until`."""
    day = begin(Day(SESSION, CONFIG, with_priors), option_events()[option_events()["ts"] <= until], of)
    day.step(rows, until)
    return day


def sequences(day: Day) -> np.ndarray:
    """The sequences of a day's landmarks, as far as it got, in order of (touch, k)."""
    rows = np.sort(day.features.rows, order=["touch", "k"])
    at = rows[np.isin(rows["elapsed"], day.config.sequences.landmarks)]
    return day.sequences(zip(at["touch"].tolist(), at["k"].tolist(), strict=True), len(at))


assert DAY_SUMMARY.names[1:] == PRIORS.names[1:-1], "priors are medians of summaries"
