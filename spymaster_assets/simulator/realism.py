"""How real the simulated market looks: its numbers beside their targets and beside a genuine hour.

`report` reads the MBP-10 and trades files of one trading date chunk by chunk and measures the front contract three times
(`observing`): in the regular session (what the targets of the simulator are about), and, where a genuine file is given, in that
file's busiest clock hour and in the same hour of the simulated date. The page stands in `realism_page`.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from spymaster_assets import dbn
from spymaster_assets.config import Config, default
from spymaster_assets.sessions import DAY, Session, Window, calendar, nearest_contract, utc_day
from spymaster_assets.simulator.observing import HOUR, Observed, Tape
from spymaster_assets.simulator.realism_page import page
from spymaster_assets.store import write_atomic

REAL_HOUR: Final = "glbx/esh4-20231225.mbp-10.dbn.zst"  # of ES, the evening of Christmas day: below SPYMASTER_REAL_DATA
BUDGET: Final = 10_500_000  # records of the regular session for which the depth band was stated; depth goes with the square root

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Quantity:
    """A number of the report. `low`, `high`: its target, both included; None: none. `shape`: comparable whatever the budget."""

    key: str
    group: str
    meaning: str
    form: str = ".1%"  # of a number: a format specification, then a unit
    low: float | None = None
    high: float | None = None
    shape: bool = True

    def told(self, value: float | None) -> str:
        if value is None or math.isnan(value):
            return "–"
        form, _, unit = self.form.partition(" ")
        return f"{value:{form}} {unit}".rstrip()

    @property
    def target(self) -> str:
        low, high = (None if edge is None else self.told(edge) for edge in (self.low, self.high))
        if low and high:
            return f"{low.split()[0]} to {high}"
        return f"at least {low}" if low else f"at most {high}" if high else ""


_RECORDS, _BOOK, _TRADES, _PRICE, _DATE = "records", "book", "trades", "price", "hours of the date"
_DEPTH: Final = "lots at a level, {}; band 82 to 272 at 10.5 M records a session, scaled with the root of this session's"
QUANTITIES: Final = (
    Quantity("records", _RECORDS, "records", ",.0f", shape=False),
    *(Quantity(f"share_{letter}", _RECORDS, f"share of {word}") for letter, word in (
        ("A", "adds (A)"), ("C", "cancels (C)"), ("M", "modifications (M)"), ("T", "trades (T)"), ("R", "resets (R)"))),
    Quantity("share_both", _RECORDS, "share of records without a side (N)", ".2%"),
    Quantity("event_records", _RECORDS, "records an event", ".3f"),
    *(Quantity(f"gap_{q}", _RECORDS, f"time from event to event: {word}", ",.4g ms", shape=False) for q, word in (
        (10, "10 % are shorter"), (50, "median"), (90, "10 % are longer"), (99, "1 % are longer"))),
    Quantity("gap_short", _RECORDS, "time from event to event: under 1 ms", shape=False),
    Quantity("gap_middle", _RECORDS, "time from event to event: median over mean (a Poisson flow: 0.69)", ".2g"),
    Quantity("gap_variation", _RECORDS, "time from event to event: standard deviation over mean (a Poisson flow: 1)", ".2f"),
    Quantity("tick_time", _BOOK, "spread of one tick, share of time (target 97.6 % ± 1)", low=0.966, high=0.986),
    Quantity("tick_books", _BOOK, "spread of one tick, share of books"),
    Quantity("crossed", _BOOK, "crossed or locked books", ",.0f", high=0),
    Quantity("depth_best", _BOOK, "lots at the best, mean", ",.1f", shape=False),
    Quantity("depth_least", _BOOK, _DEPTH.format("mean of the thinnest"), ",.1f", 82, 272, shape=False),
    Quantity("depth_most", _BOOK, _DEPTH.format("mean of the deepest"), ",.1f", 82, 272, shape=False),
    Quantity("order_lots", _BOOK, "lots an order, listed levels", ".2f"),
    Quantity("adjacent", _BOOK, "books whose ten prices a side leave no hole"),
    *(Quantity(f"best_{letter}", _BOOK, f"share of {letter} at the best") for letter in "ACM"),
    Quantity("add_mean", _BOOK, "lots of an A, mean", ".2f"),
    Quantity("add_one", _BOOK, "A of one lot"),
    *(Quantity(f"modify_{word}", _BOOK, f"M after which its price holds {told}") for word, told in (
        ("less", "less"), ("same", "as much"), ("more", "more"))),
    Quantity("trade_mean", _TRADES, "lots of a trade, mean", ".2f", 2.5, 3),
    Quantity("trade_one", _TRADES, "trades of one lot"),
    Quantity("taker_lots", _TRADES, "lots of a market order (all trades of an event), mean", ".2f"),
    Quantity("bought", _TRADES, "share of lots that buyers took"),
    Quantity("repeats", _TRADES, "market orders on the side of the one before"),
    Quantity("refilled", _TRADES, "lots traded beyond what the price lost (refilled)"),
    Quantity("points", _PRICE, "highest less lowest trade", ".2f points", 45, 52, shape=False),
    Quantity("volatility", _PRICE, "root of the sum of squared 1-minute changes", ".2f points", shape=False),
    Quantity("autocorrelation", _PRICE, "autocorrelation of 1-second changes of the mid", ".3f", -0.05, 0.05, shape=False),
    Quantity("kurtosis_minute", _PRICE, "kurtosis of 1-minute changes (normal: 3)", ".2f", 3.6, 7, shape=False),
    Quantity("kurtosis_second", _PRICE, "kurtosis of 1-second changes", ".2f", shape=False),
    Quantity("still", _PRICE, "seconds in which the mid ends where it began", shape=False),
    Quantity("first_half_hour", _DATE, "records a minute, first half hour over the middle hour", ".2f", low=1.01),
    Quantity("last_half_hour", _DATE, "records a minute, last half hour over the middle hour", ".2f", low=1.01),
    Quantity("premarket", _DATE, "premarket's share of records (target 10 % ± 2)", low=0.08, high=0.12),
    Quantity("overnight", _DATE, "share of records from the open to premarket"),
    Quantity("evening", _DATE, "share of records after the regular close"),
)  # fmt: skip


@dataclass(frozen=True)
class Number:
    """A measured quantity. `simulated`: the regular session, or the date; the others where a genuine hour was given."""

    quantity: Quantity
    simulated: float
    same_hour: float | None = None  # of the simulated date
    real: float | None = None

    @property
    def verdict(self) -> str:
        """ "within", "outside", or "" without a target."""
        low, high = self.quantity.low, self.quantity.high
        if low is None and high is None:
            return ""
        inside = (low is None or self.simulated >= low) and (high is None or self.simulated <= high)
        return "within" if inside else "outside"

    @property
    def factor(self) -> float | None:
        """Simulated over real, same hour; None where one of them is not positive or missing."""
        a, b = self.same_hour, self.real
        return a / b if a is not None and b is not None and a > 0 and b > 0 else None


@dataclass(frozen=True)
class Realism:
    """What the page tells. `hour`: the genuine one; `trades`: T records of the MBP-10 files, records of the trades files."""

    date: dt.date
    symbol: str
    numbers: Mapping[str, Number]
    trades: tuple[int, int | None]
    hour: Window | None = None

    @property
    def missed(self) -> list[Number]:
        """Numbers outside their targets."""
        return [number for number in self.numbers.values() if number.verdict == "outside"]

    @property
    def summary(self) -> str:
        """What came of the targets, in a sentence."""
        judged = [number for number in self.numbers.values() if number.verdict]
        missed = f"; missed: {', '.join(number.quantity.key for number in self.missed)}" if self.missed else ""
        return f"{len(judged) - len(self.missed)} of {len(judged)} targets of realism are met{missed}"

    @property
    def farthest(self) -> list[Number]:
        """Numbers that do not depend on the budget and differ from the genuine hour by a quarter or more, the farthest first."""
        apart = {n.quantity.key: abs(math.log(n.factor)) for n in self.numbers.values() if n.quantity.shape and n.factor}
        return [self.numbers[key] for key in sorted(apart, key=lambda key: -apart[key]) if apart[key] > math.log(1.25)]


@dataclass(frozen=True)
class Measured:
    """One contract of one date, and its windows."""

    session: Session
    symbol: str
    tape: Tape
    parts: Sequence[Observed]


def report(
    files: Sequence[Path],
    out: Path,
    real: Path | None = None,
    on_progress: Progress | None = None,
    *,
    date: dt.date | None = None,
    config: Config | None = None,
) -> Realism:
    """Measure the simulated `date` in `files`, write the page to `out`, return its numbers.

    `files`: DBN files of any schema, of which the MBP-10 and trades files that name the front contract are read; `date` may be left
    out if they cover one only. `real`: a genuine MBP-10 file, or a folder that holds REAL_HOUR. `on_progress(label, done, total)`:
    bytes. Raises ValueError where the date or its contract is not in `files`, FileNotFoundError for a `real` that is not there.
    """
    config = config or default()
    headers = [header for path in sorted(files) if (header := dbn.read_header(path)).schema in ("mbp-10", "trades")]
    session = calendar(config).session(date or _only_date(headers, config))
    symbol = nearest_contract(session.date, config)
    headers = sorted((header for header in headers if symbol in header.mappings), key=lambda header: header.start)
    genuine = None if real is None else real_file(real)
    told = _Told(on_progress, [header.path for header in headers] + ([genuine] if genuine else []))
    windows, hour_real = [session.regular], None
    if genuine:
        hour = busiest_hour(genuine, config)
        day = calendar(config).date_of(hour.end)
        if day is None:
            raise ValueError(f"{genuine}: its busiest hour lies in no trading date")
        of_real = calendar(config).session(day)
        shift = session.globex.start - of_real.globex.start
        windows.append(Window(hour.start + shift, hour.end + shift))
        name = nearest_contract(day, config)
        hour_real = _measure([dbn.read_header(genuine)], of_real, name, [hour], config, told)
    simulated = _measure([header for header in headers if header.schema == "mbp-10"], session, symbol, windows, config, told)
    trades = _trades([header for header in headers if header.schema == "trades"], session, symbol, told)
    numbers = _numbers(simulated, hour_real)
    found = Realism(
        session.date, symbol, numbers, (simulated.tape.trades, trades), hour_real.parts[0].window if hour_real else None
    )
    write_atomic(out, page(found, simulated, hour_real, config).encode())
    told.done()
    return found


class _Told:
    """Bytes read of all files, to whom it may concern."""

    def __init__(self, on_progress: Progress | None, paths: Sequence[Path]) -> None:
        self._tell, self._before, self._total = on_progress, 0, sum(path.stat().st_size for path in paths)

    def of(self, path: Path) -> Callable[[int], None]:
        """The listener of one file, from its beginning on."""
        before = self._before
        self._before += path.stat().st_size
        return lambda done: self._tell("realism", before + done, self._total + 1) if self._tell else None

    def done(self) -> None:
        if self._tell:
            self._tell("realism", self._total + 1, self._total + 1)


def _only_date(headers: Sequence[dbn.Header], config: Config) -> dt.date:
    """The trading date that the MBP-10 files cover."""
    books = [header for header in headers if header.schema == "mbp-10"]
    if not books:
        raise ValueError("no MBP-10 file among the files")
    first, last = min(header.start for header in books), max(header.end or header.start + 1 for header in books)
    dates = calendar(config).dates(utc_day(first) - DAY, utc_day(last) + DAY)
    found = [day for day in dates if (window := calendar(config).session(day).bronze).start < last and window.end > first]
    if len(found) != 1:
        raise ValueError(f"the files cover {len(found)} trading dates ({', '.join(map(str, found)) or 'none'}): name one")
    return found[0]


def real_file(real: Path) -> Path:
    """The genuine file that `real` means: itself, or the known one below it."""
    for path in (real, real / REAL_HOUR, real / Path(REAL_HOUR).name):
        if path.is_file():
            return path
    raise FileNotFoundError(f"no genuine MBP-10 hour: neither {real} nor {real / REAL_HOUR} is a file")


def busiest_hour(path: Path, config: Config) -> Window:
    """The clock hour of an MBP-10 file with the most records. Exchange hours are whole hours of UTC."""
    counts: dict[int, int] = {}
    for records in dbn.read(path, "mbp-10"):
        hours, found = np.unique((records["ts_event"].view(np.int64) - 1) // HOUR, return_counts=True)
        for hour, count in zip(hours.tolist(), found.tolist(), strict=True):
            counts[hour] = counts.get(hour, 0) + count
    if not counts:
        raise ValueError(f"{path} holds no records")
    most = max(counts, key=lambda hour: counts[hour])
    return Window(most * HOUR, (most + 1) * HOUR)


def _of_contract(header: dbn.Header, symbol: str, session: Session, told: _Told) -> Iterator[np.ndarray]:
    """A file's records of a contract in a date."""
    numbers = sorted({interval.instrument_id for interval in header.mappings.get(symbol, ())})
    for records in dbn.read(header.path, str(header.schema), on_bytes=told.of(header.path)):
        times = records["ts_event"].view(np.int64)
        kept = np.isin(records["instrument_id"], numbers) & (times > session.bronze.start) & (times <= session.bronze.end)
        if kept.any():
            yield dbn.pick(records, kept)


def _measure(
    headers: Sequence[dbn.Header], session: Session, symbol: str, windows: Sequence[Window], config: Config, told: _Told
) -> Measured:
    """Read MBP-10 files once. Raises ValueError if they hold nothing of the contract and date."""
    tape, parts = Tape(session), [Observed(window, config) for window in windows]
    for header in headers:
        for records in _of_contract(header, symbol, session, told):
            tape.take(records, config.instrument.tick)
            for part in parts:
                part.take(records)
    if not tape.records:
        names = ", ".join(str(header.path) for header in headers) or "no MBP-10 file"
        raise ValueError(f"no record of {symbol} on {session.date} in {names}")
    return Measured(session, symbol, tape, parts)


def _trades(headers: Sequence[dbn.Header], session: Session, symbol: str, told: _Told) -> int | None:
    """Records of the trades files; None without files."""
    if not headers:
        return None
    return sum(len(records) for header in headers for records in _of_contract(header, symbol, session, told))


def _numbers(simulated: Measured, real: Measured | None) -> dict[str, Number]:
    """Every quantity, with the depth band of this budget."""
    regular = simulated.parts[0].numbers(simulated.tape)
    of_date = simulated.tape.numbers(simulated.session)
    same = simulated.parts[1].numbers(simulated.tape) if real else {}
    genuine = real.parts[0].numbers(real.tape) if real else {}
    scale = math.sqrt(regular["records"] / BUDGET)
    found = {}
    for quantity in QUANTITIES:
        key = quantity.key
        if key in ("depth_least", "depth_most"):
            quantity = replace(quantity, low=82 * scale, high=272 * scale)
        found[key] = Number(quantity, {**regular, **of_date}[key], same.get(key), genuine.get(key))
    return found
