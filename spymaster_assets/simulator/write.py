"""A simulated market as the vendor's files: one set per UTC day, by `simulate`.

    landing/futures/glbx-mdp3-YYYYMMDD.{mbp-10,trades,definition}.dbn.zst
    landing/options/glbx-mdp3-YYYYMMDD.{trades,tbbo,definition,statistics}.dbn.zst

A trading date runs from 16:45 Chicago time of the calendar day before (the book before the open) to 16:00, over two UTC days. A
UTC day's files hold the end of one date and the evening of the next, as far as both are simulated, and their headers' range says
how far (definitions: the whole day). An instrument without options has no files of them; the dates of a market without a daily
pause have no book before the open. Each date depends on the arguments and itself alone: its records are the same bytes whichever
dates are simulated with it.

**The budget** `events_per_session` is the number of MBP-10 records of the front contract with an event time in the regular
session (half days too), kept within 5 %, and within 1 % from a million on. The night adds 3.5 % of it, premarket (04:00 to 09:30
New York) 10 %, the hour after the close 1.5 %: 1.15 times the budget a date. The next contract adds 1.5 to 2.5 % of it.

A file is written as NAME.part and renamed when complete; memory does not depend on the budget (option trades of a date apart).
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from spymaster_assets import dbn
from spymaster_assets.config import Config
from spymaster_assets.sessions import DAY, NS_PER_SECOND, calendar, nearest_contract, utc_day, utc_midnight
from spymaster_assets.simulator import book, definitions, drive, market, options, price
from spymaster_assets.simulator.definitions import Instrument
from spymaster_assets.simulator.drive import Driven
from spymaster_assets.simulator.rng import ONE, mix, stream
from spymaster_assets.simulator.world import World

CHUNK: Final = 1 << 14  # rows per kernel call: 6 MB
ZSTD_LEVEL: Final = 1
PRE_OPEN: Final = 15 * price.MINUTE  # before the Globex open
FEWEST_EVENTS: Final = 5_000
SEQUENCES_PER_WEEKDAY: Final = 400_000_000  # numbers of a channel that a date may use
LAST: Final = NS_PER_SECOND  # before the close: the last record is received within the date
SPREAD_TRADES: Final = 40  # of the calendar spread, a date
ROLL_TRADES: Final = 400  # of the next contract, on the eve of a roll
SPREAD_TICK: Final = 50_000_000  # 1e-9 USD
SCHEMAS: Final = {"futures": ("mbp-10", "trades", "definition"), "options": ("trades", "tbbo", "definition", "statistics")}

Progress = Callable[[str, int, int], None]
OnTruth = Callable[[dt.date, np.ndarray, Driven], None]


@dataclass(frozen=True)
class _Date:
    """What is known of a date before its first record."""

    times: price.Clock
    front: Instrument
    following: Instrument
    spread: Instrument
    middle: float  # strike
    options: list[Instrument]

    @property
    def days(self) -> tuple[dt.date, dt.date]:
        return utc_day(self.times.open), utc_day(self.times.close)


def _date(day: dt.date, seed: int, config: Config) -> _Date:
    times = price.clock(day, config)
    front, following, spread = definitions.futures(day, config)
    middle = 0.0
    if config.instrument.option_parents:
        middle = definitions.middle_strike(seed, day, price.carry(front.symbol, day, config), config)
    return _Date(times, front, following, spread, middle, definitions.options(day, times, middle, seed, config))


class _Day:
    """The files of one UTC day, under temporary names until `publish`."""

    def __init__(self, landing: Path, day: dt.date, dates: Sequence[_Date], seed: int, config: Config) -> None:
        self.day = day
        listed, asked = _listed(dates, day), _asked(dates, day, config)
        self._writers: dict[tuple[str, str], dbn.Writer] = {}
        self._paths: list[Path] = []
        for kind, instruments in listed.items():
            if not instruments:
                continue
            folder = landing / kind
            folder.mkdir(parents=True, exist_ok=True)
            sent = definitions.records(instruments, day, seed, config)
            known = set(sent["instrument_id"].tolist())
            mappings = {
                one.symbol: (dbn.Interval(day, day + DAY, one.number),)
                for one in sorted(instruments, key=lambda one: one.symbol)
                if one.number in known
            }
            root = config.instrument.root
            parents = [f"{root}.FUT"] if kind == "futures" else sorted({f"{one.asset}.OPT" for one in instruments})
            for schema in SCHEMAS[kind]:
                path = folder / f"glbx-mdp3-{day:%Y%m%d}.{schema}.dbn.zst"
                start, end = (utc_midnight(day), utc_midnight(day + DAY)) if schema == "definition" else asked
                self._paths.append(path)
                self._writers[kind, schema] = dbn.Writer(
                    path.with_name(path.name + ".part"), schema, dataset=config.instrument.dataset, start=start,
                    end=end, symbols=parents, mappings=mappings, stype_in="parent", level=ZSTD_LEVEL,
                )  # fmt: skip
            self.write(kind, "definition", sent)

    def write(self, kind: str, schema: str, records: np.ndarray) -> None:
        if len(records):
            self._writers[kind, schema].write(records)

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()

    def publish(self) -> list[Path]:
        """Complete the files and give them their names."""
        self.close()
        for path in self._paths:
            part = path.with_name(path.name + ".part")
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(path)
        return self._paths

    def discard(self) -> None:
        """Leave nothing of files that were not published."""
        self.close()
        for path in self._paths:
            path.with_name(path.name + ".part").unlink(missing_ok=True)


def _as_trades(rows: np.ndarray) -> np.ndarray:
    """The T records of MBP-10 or MBP-1 rows in the trades layout, which is the first 48 bytes of theirs."""
    prints = rows[rows["action"] == book.TRADE]
    size = dbn.TRADE.itemsize
    trades = prints.view(np.uint8).reshape(-1, rows.itemsize)[:, :size].copy().reshape(-1).view(dbn.TRADE)
    trades["length"], trades["rtype"] = size // 4, dbn.SCHEMAS["trades"].rtype
    return trades


def _spread_trades(date: _Date, seed: int) -> np.ndarray:
    """Trades of the calendar spread, spread evenly over the regular session with some disorder; they have no book. Sequence 0."""
    trades = np.zeros(SPREAD_TRADES, dbn.TRADE)
    first, end = (date.times.open + minute * price.MINUTE for minute in date.times.regular)
    gap = (end - first) // SPREAD_TRADES
    away = price.CARRY * ((date.following.expiration - date.front.expiration) // (86_400 * NS_PER_SECOND)) * 5  # in 0.05 points
    word = stream(seed, date.times.date, "spread")
    for k, row in enumerate(trades):
        word = mix(word + 1)
        row["ts_event"] = first + gap * k + gap * (word & 0xFFFF) // ONE
        row["ts_recv"] = int(row["ts_event"]) + 80_000 + (word >> 16) % 30_000
        row["ts_in_delta"] = 12_700 + (word >> 32) % 4_900
        row["price"], row["size"] = (away + (word >> 48) % 3 - 1) * SPREAD_TICK, 1 + (word >> 52) % 5
        row["side"] = book.BID if word >> 63 else book.ASK
    trades["length"], trades["publisher_id"] = dbn.TRADE.itemsize // 4, book.PUBLISHER
    trades["instrument_id"], trades["action"] = date.spread.number, book.TRADE
    return trades


def _roll_trades(date: _Date, path: np.ndarray, events: int, seed: int, config: Config) -> np.ndarray:
    """On the eve of a roll, the next contract's legs of spreads in the regular session: more lots than the front contract trades.

    They have no side and come from no book. Of other dates, none.
    """
    following: dt.date = calendar(config).after(date.times.date)
    if nearest_contract(following, config) == date.front.symbol:
        return np.zeros(0, dbn.TRADE)
    trades = np.zeros(ROLL_TRADES, dbn.TRADE)
    first, end = (date.times.open + minute * price.MINUTE for minute in date.times.regular)
    near, far = (price.carry(one.symbol, date.times.date, config) for one in (date.front, date.following))
    for k, row in enumerate(trades):
        word = mix(stream(seed, date.times.date, "roll") + k)
        row["ts_event"] = first + (end - first) * k // ROLL_TRADES + word % 1_000_000_000
        row["ts_recv"] = int(row["ts_event"]) + 80_000 + (word >> 16) % 30_000
        ticks = (int(path[(int(row["ts_event"]) - date.times.open) // price.STEP]) >> 16) + far - near
        row["price"], row["size"], row["side"] = ticks * config.instrument.tick, events // ROLL_TRADES + 1, book.NONE
    trades["length"], trades["publisher_id"], trades["ts_in_delta"] = dbn.TRADE.itemsize // 4, book.PUBLISHER, 12_700
    trades["instrument_id"], trades["action"] = date.following.number, book.TRADE
    return trades


def _merged(rows: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The trades in `rows` with those of `others` that arrive by the last of them; and the rest of `others`.

    An inserted trade takes the sequence of the record before it: both came in one packet.
    """
    trades = _as_trades(rows)
    due = int(np.searchsorted(others["ts_recv"], rows["ts_recv"][-1], side="right"))
    if not due:
        return trades, others
    inserted = others[:due].copy()
    before = np.searchsorted(rows["ts_recv"], inserted["ts_recv"], side="right") - 1
    inserted["sequence"] = rows["sequence"][np.maximum(before, 0)]
    at = np.searchsorted(trades["ts_recv"], inserted["ts_recv"], side="right")
    return np.insert(trades, at, inserted), others[due:]


def _books(date: _Date, driven: Driven, events: int, seed: int, config: Config) -> Iterator[tuple[dt.date, np.ndarray]]:
    """The MBP-10 records of a date with the UTC day of each chunk; a chunk is overwritten by the next. F ends as it was driven."""
    path = driven.path
    times, day = date.times, date.times.date
    midnight, first = utc_midnight(date.days[1]), times.open - PRE_OPEN
    near, far = (price.carry(one.symbol, day, config) for one in (date.front, date.following))
    seeds = [stream(seed, day, one) for one in ("front", "next")]
    plan, depth = market.new_plan(times, events), market.best_depth(events)
    rules = market.new_rules(times, int(path[0]) >> 16, events, config.instrument.tick)
    books = market.new_books((date.front.number, date.following.number), (0, (far - near) * ONE), seeds, depth, first)
    wire = market.new_wire(stream(seed, day, "wire"), 1_000 + day.weekday() * SEQUENCES_PER_WEEKDAY, first, midnight)
    rows = np.zeros(CHUNK, book.ROW)
    records = rows.view(dbn.MBP10)
    before = market.before_open(books, rules, wire, int(path[0]), rows)
    if calendar(config).session(day).bronze.start < times.open:  # else these times belong to the date before
        yield date.days[0], records[:before]
    for utc, until in ((date.days[0], midnight - 1), (date.days[1], times.close - LAST)):
        if utc == date.days[1]:
            yield utc, records[: market.snapshot(books, wire, rows)]
        done = False
        while not done:
            n, done = market.run(
                books,
                rules,
                wire,
                path,
                plan,
                until,
                driven.drive,
                driven.sigma,
                driven.latents,
                driven.prints,
                driven.touched,
                rows,
            )
            yield utc, records[:n]
    driven.finish()


def _asked(dates: Sequence[_Date], day: dt.date, config: Config) -> tuple[int, int]:
    """The range of a UTC day that the files answer for: as much of it as the simulated dates cover."""
    windows = [calendar(config).session(date.times.date).bronze for date in dates if day in date.days]
    first, last = min(window.start for window in windows), max(window.end for window in windows)
    return max(utc_midnight(day), first), min(utc_midnight(day + DAY), last)


def _listed(dates: Sequence[_Date], day: dt.date) -> dict[str, list[Instrument]]:
    """The instruments of the dates that touch a UTC day, each once: as listed before the session if one date has it so."""
    found: dict[str, dict[int, Instrument]] = {"futures": {}, "options": {}}
    for date in dates:
        if day in date.days:
            for kind, instruments in (("futures", [date.front, date.following, date.spread]), ("options", date.options)):
                for one in instruments:
                    known = found[kind].get(one.number)
                    if known is None or known.born is not None:
                        found[kind][one.number] = one
    return {kind: list(instruments.values()) for kind, instruments in found.items()}


def simulate(
    landing: Path,
    dates: Sequence[dt.date],
    *,
    events_per_session: int,
    seed: int,
    config: Config,
    customer_net: Mapping[dt.date, float] | None = None,
    on_progress: Progress | None = None,
    on_truth: OnTruth | None = None,
    world: World | None = None,
) -> list[Path]:
    """Write the files of trading dates (any order) into `landing`; returns their paths.

    `events_per_session`: the budget (above). `customer_net`: per date, what customers buy of the option volume less what they
    sell, expected, -1 to 1; 0 where absent. `on_progress(date, done, total)`: MBP-10 records of the whole run, the total an
    estimate until the last call. `on_truth(date, flow, driven)`: the customers' sides in the option trades (`options.FLOW`), and
    what drove the price. `world`: what moves it at levels; None: nothing does, and no latent moves the book.
    Raises NotATradingDate, and ValueError for a budget under 5,000 or a net outside [-1, 1].
    """
    nets = dict(customer_net or {})
    if events_per_session < FEWEST_EVENTS:
        raise ValueError(f"a budget of {events_per_session:,} records a session is less than {FEWEST_EVENTS:,}")
    if wrong := {day: net for day, net in nets.items() if not -1 <= net <= 1}:
        raise ValueError(f"customer_net outside [-1, 1]: {wrong}")
    ordered = [_date(calendar(config).require(day), seed, config) for day in sorted(set(dates))]
    estimate, done = len(ordered) * events_per_session * 117 // 100, 0
    published: list[Path] = []
    files: dict[dt.date, _Day] = {}
    with ExitStack() as unfinished:
        for index, date in enumerate(ordered):
            day = date.times.date
            for utc in date.days:
                if utc not in files:
                    files[utc] = _Day(landing, utc, ordered, seed, config)
                    unfinished.callback(files[utc].discard)
            driven = drive.driven(world, seed, date.times, date.front.symbol, config)
            others = np.concatenate([_spread_trades(date, seed), _roll_trades(date, driven.path, events_per_session, seed, config)])
            others = others[np.argsort(others["ts_recv"], kind="stable")]
            for utc, rows in _books(date, driven, events_per_session, seed, config):
                if not len(rows):
                    continue
                files[utc].write("futures", "mbp-10", rows)
                trades, others = _merged(rows, others)
                files[utc].write("futures", "trades", trades)
                done += len(rows)
                if on_progress:
                    on_progress(str(day), done, max(estimate, done))
            flow = _options(date, driven, files, events_per_session, nets.get(day, 0.0), seed, config)
            if on_truth:
                on_truth(day, flow, driven)
            following = ordered[index + 1].days if index + 1 < len(ordered) else ()
            for utc in [utc for utc in files if utc not in following]:
                published += files.pop(utc).publish()
        unfinished.pop_all()
    if on_progress and ordered:
        on_progress(str(ordered[-1].times.date), done, done)
    return published


def _options(
    date: _Date,
    driven: Driven,
    files: Mapping[dt.date, _Day],
    events: int,
    net: float,
    seed: int,
    config: Config,
) -> np.ndarray:
    """Write a date's option trades, if the instrument has options; returns the customers' sides."""
    day = date.times.date
    expiries = definitions.expiries(day, config)
    if not expiries:
        return np.zeros(0, options.FLOW)
    rows, flow = options.trade(
        date.times, driven, expiries, date.options, middle=date.middle, events=events, net=net, seed=seed,
        sequence=1_000 + day.weekday() * SEQUENCES_PER_WEEKDAY, config=config,
    )  # fmt: skip
    midnight = np.uint64(utc_midnight(date.days[1]))
    split = int(np.searchsorted(rows["ts_recv"], midnight))
    for utc, part in ((date.days[0], rows[:split]), (date.days[1], rows[split:])):
        files[utc].write("options", "tbbo", part)
        files[utc].write("options", "trades", _as_trades(part))
    reports = options.open_interest(date.times, date.options, expiries[0].step, utc_midnight(date.days[1]), seed)
    split = int(np.searchsorted(reports["ts_recv"], midnight))
    for utc, part in ((date.days[0], reports[:split]), (date.days[1], reports[split:])):
        files[utc].write("options", "statistics", part)
    return flow
