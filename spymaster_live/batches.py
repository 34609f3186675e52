"""What was read of a stream and is not on disk yet: messages placed, checked and laid out as the files of a batch. No I/O here.

MARKET becomes segments of DBN records by channel and a clock; LEVELS becomes payload lines and rows by table. A message that cannot
be read or does not belong to the run is dead here as it is for the engine: told with its sequence, never passed over in silence.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spymaster_assets import dbn
from spymaster_assets.columnar import to_arrow
from spymaster_assets.config import Config
from spymaster_assets.schema import TEXT, Table
from spymaster_assets.sessions import NotATradingDate, Window, calendar
from spymaster_live import messages
from spymaster_live.capture import OPENING, RUN, Write, opening
from spymaster_live.engine import check
from spymaster_live.messages import CHANNELS, ROWS, VERSION, BadMessage, Frame, Session, read, unpack
from spymaster_live.symbols import Mappings, of_instruments, unpacked

CLOCK_COLUMNS: Final = ("sequence", "watermark", *CHANNELS)
SIGNALS: Final = pa.schema([("sequence", pa.int64()), ("snap", pa.int32()), ("payload", pa.string())])


class Batch:
    """Messages of one stream from `first` to `last`, of one run. `size`: bytes of their data; `filled`: there is any to write."""

    def __init__(self, config: Config, last: int) -> None:
        self.config, self.last = config, last
        self.clear()

    def clear(self) -> None:
        """What there was is on disk."""
        self.first, self.size, self.filled = self.last + 1, 0, False
        self.lost: list[list[int]] = []  # sequences that the stream no longer held, first and last
        self.dead: list[dict[str, Any]] = []

    def take(self, sequence: int, subject: str, headers: Mapping[str, str] | None, data: bytes) -> None:
        """The next message of the stream; what cannot be used is dead."""
        if sequence > self.last + 1:
            self.lost.append([self.last + 1, sequence - 1])
            self.filled = True
        self.last = sequence
        self.size += len(data)
        facts = headers or {}
        try:
            self._take(sequence, subject, facts, data)
        except BadMessage as error:
            self.dead.append({"sequence": sequence, "subject": subject, "run": facts.get("Run"), "reason": str(error)})
            self.filled = True

    def _take(self, sequence: int, subject: str, headers: Mapping[str, str], data: bytes) -> None:
        raise NotImplementedError

    def _told(self) -> dict[str, Any]:
        return {"lost": self.lost, "dead": self.dead}


@dataclass
class Segment:
    """Records of a channel that follow one another, from number `first` on; `sequences`: of the first and last message."""

    channel: str
    schema: str
    first: int
    sequences: list[int]
    parts: list[np.ndarray] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(len(part) for part in self.parts)

    @property
    def name(self) -> str:
        return f"{self.channel}/{self.first}-{self.first + self.count - 1}.dbn.zst"


class Market(Batch):
    """Of MARKET. `run`: None until a session begins, at sequence `began`; `next`, `records`: of each channel, the next number and
    how many came."""

    def __init__(self, config: Config, last: int = 0) -> None:
        super().__init__(config, last)
        self.run: str | None = None
        self.began = 0
        self._begin_with(0)

    def _begin_with(self, end: int) -> None:
        self.window_end, self.watermark = end, 0
        self.next: Counter[str] = Counter()
        self.records: Counter[str] = Counter()
        self._symbology: Mapping[str, Mappings] = {}

    def clear(self) -> None:
        super().clear()
        self._segments: list[Segment] = []
        self._clock: list[tuple[int, ...]] = []
        self._gaps: list[dict[str, Any]] = []
        self._repeated = 0
        self._opening: Write | None = None

    def go_on(self, session: Session, manifest: Mapping[str, Any]) -> None:
        """Be where a run's latest manifest says that it stands."""
        self._start(session)
        self.next, self.records = Counter(manifest["next"]), Counter(manifest["records"])
        self.watermark, self.began = manifest["watermark"], manifest["began"]

    @property
    def over(self) -> bool:
        """Whether the run's date is over."""
        return self.run is not None and self.watermark >= self.window_end

    def begins(self, subject: str, headers: Mapping[str, str] | None) -> bool:
        """Whether a message begins another run, so that the batch has to end before it."""
        return subject == messages.SESSION and (headers or {}).get("Run") != self.run

    def _take(self, sequence: int, subject: str, headers: Mapping[str, str], data: bytes) -> None:
        message = read(subject, headers, data)
        if isinstance(message, Session):
            if message.run != self.run:  # else the feed was started again
                self._start(message)
                self._opening, self.began, self.filled = opening(headers, data), sequence, True
            return
        if self.run is None or message.run != self.run:
            raise BadMessage(f"run {message.run}: {f'the session is of run {self.run}' if self.run else 'no session has begun'}")
        check(message, self.next[message.channel] if isinstance(message, Frame) else 0, self.window_end, self.config)
        if isinstance(message, Frame):
            self._place(sequence, message)
        self.watermark = max(self.watermark, message.watermark)
        self._clock.append((sequence, message.watermark, *(self.records[name] for name in CHANNELS)))
        self.filled = True

    def _start(self, session: Session) -> None:
        window = _window(session, self.config)
        symbology = unpacked(session.symbology)
        self._begin_with(window.end)
        self.run, self._symbology = session.run, symbology

    def _place(self, sequence: int, frame: Frame) -> None:
        """Put a frame's records behind what there is of its channel: what came before is dropped, what is missing is told."""
        channel, expected = frame.channel, self.next[frame.channel]
        fresh = frame.records[max(0, expected - frame.first) :]
        self._repeated += len(frame.records) - len(fresh)
        if not len(fresh):
            return
        first = max(frame.first, expected)
        if first > expected:
            self._gaps.append({"channel": channel, "first": expected, "last": first - 1, "sequence": sequence})
        open_ = next((one for one in reversed(self._segments) if one.channel == channel), None)
        if open_ is None or open_.schema != frame.schema or first > expected:
            open_ = Segment(channel, frame.schema, first, [sequence, sequence])
            self._segments.append(open_)
        open_.parts.append(fresh)
        open_.sequences[1] = sequence
        self.next[channel] = first + len(fresh)
        self.records[channel] += len(fresh)

    def files(self) -> dict[str, Write]:
        """What writes each file of the batch, by its path in the run's folder."""
        found: dict[str, Write] = {} if self._opening is None else {OPENING: self._opening}
        found |= {one.name: partial(self._write, one) for one in self._segments}
        if self._clock:
            found[f"clock/{self.first}-{self.last}.parquet"] = partial(write_clock, np.array(self._clock, np.int64))
        return found

    def _write(self, segment: Segment, path: Path) -> None:
        records = np.concatenate(segment.parts)
        numbers = set(np.unique(records["instrument_id"]).tolist())
        mappings = of_instruments(self._symbology.get(segment.channel, {}), numbers)
        session = calendar(self.config).session(date_of(self.run or ""))
        write_records(path, segment.schema, [records], session.bronze, mappings, self.config)

    def facts(self) -> dict[str, Any]:
        """What the manifest says."""
        segments = {one.name: {"schema": one.schema, "records": one.count, "sequences": one.sequences} for one in self._segments}
        return {
            "run": self.run, "began": self.began, "segments": segments, "next": dict(self.next), "records": dict(self.records),
            "watermark": self.watermark, "over": self.over, "gaps": self._gaps, "repeated": self._repeated, **self._told(),
        }  # fmt: skip


class Levels(Batch):
    """Of LEVELS: signals and rows. `run`: the batch's; None while nothing of a run came."""

    def clear(self) -> None:
        super().clear()
        self.run: str | None = None
        self._signals: list[tuple[int, int, str]] = []
        self._rows: dict[str, list[pa.RecordBatch]] = {table.name: [] for table in ROWS}

    def begins(self, subject: str, headers: Mapping[str, str] | None) -> bool:
        """Whether a message is of another run than the batch."""
        kept = subject in (messages.LEVELS_SIGNALS, messages.LEVELS_ROWS)
        return kept and self.run is not None and (headers or {}).get("Run") != self.run

    def _take(self, sequence: int, subject: str, headers: Mapping[str, str], data: bytes) -> None:
        if subject not in (messages.LEVELS_SIGNALS, messages.LEVELS_ROWS):
            return
        if headers.get("Version") != str(VERSION):
            raise BadMessage(f"version {headers.get('Version')}; this writer reads version {VERSION}")
        run = headers.get("Run", "")
        date_of(run)
        try:
            if subject == messages.LEVELS_ROWS:
                rows = unpack(ROWS, headers.get("Rows", ""), data)
                made = {table.name: _batch(table, sequence, rows[table.name]) for table in ROWS if len(rows[table.name])}
                for name, part in made.items():
                    self._rows[name].append(part)
            else:
                self._signals += [(sequence, _snap(line), line.decode()) for line in data.splitlines()]
        except ValueError as error:
            raise BadMessage(str(error)) from error
        self.run, self.filled = run, True

    def files(self) -> dict[str, Write]:
        """What writes each file of the batch, by its path in the run's folder."""
        name, found = f"{self.first}-{self.last}.parquet", dict[str, Write]()
        if self._signals:
            columns = [pa.array(values, kind.type) for values, kind in zip(zip(*self._signals, strict=True), SIGNALS, strict=True)]
            found[f"signals/{name}"] = partial(_write_parquet, pa.Table.from_arrays(columns, schema=SIGNALS))
        for table in ROWS:
            if parts := self._rows[table.name]:
                found[f"rows/{table.name}/{name}"] = partial(_write_parquet, pa.Table.from_batches(parts))
        return found

    def facts(self) -> dict[str, Any]:
        """What the manifest says."""
        counts = {table.name: sum(part.num_rows for part in self._rows[table.name]) for table in ROWS}
        return {"run": self.run, "signals": len(self._signals), "rows": counts, **self._told()}


def date_of(run: str) -> dt.date:
    """The trading date in a run's id. BadMessage if it is none."""
    found = RUN.fullmatch(run)
    try:
        return dt.date.fromisoformat(found[1] if found else "")
    except ValueError as error:
        raise BadMessage(f"run {run!r}; expected a date, a point and a number") from error


def _window(session: Session, config: Config) -> Window:
    """The records' window of the run's date. BadMessage if it is no trading date."""
    if session.date != str(date_of(session.run)):
        raise BadMessage(f"run {session.run} of date {session.date}")
    try:
        its = calendar(config).session(date_of(session.run))
    except NotATradingDate as error:
        raise BadMessage(str(error)) from error
    return Window(its.bronze.start, its.globex.end)


def _snap(line: bytes) -> int:
    """The snap of a payload. ValueError if it names none."""
    if (found := re.search(rb'"snap":(\d{1,9})\b', line)) is None:
        raise ValueError("a payload names no snap")
    return int(found[1])


def _batch(table: Table, sequence: int, rows: np.ndarray) -> pa.RecordBatch:
    """Rows of a message with its sequence. ValueError for a code or category that is not declared."""
    arrays = {c.name: to_arrow(c, np.ascontiguousarray(table.place(c, rows))) for c in table.columns if c.dtype != TEXT}
    return pa.record_batch({"sequence": np.full(len(rows), sequence), **arrays})


def write_records(
    path: Path, schema: str, parts: list[np.ndarray] | Iterator[np.ndarray], window: Window, mappings: Mappings, config: Config
) -> int:
    """A DBN file of a channel's records, whose header covers a date's window; how many records."""
    with dbn.Writer(
        path, schema, dataset=config.instrument.dataset, start=window.start, end=window.end, symbols=list(mappings),
        mappings=mappings, level=config.live.capture_zstd,
    ) as writer:  # fmt: skip
        for records in parts:
            writer.write(records)
    return writer.rows


def write_clock(rows: np.ndarray, path: Path) -> None:
    """A clock: rows of CLOCK_COLUMNS."""
    clock = pa.table(dict(zip(CLOCK_COLUMNS, rows.T, strict=True)))
    with clock_writer(path, clock.schema) as writer:
        writer.write_table(clock)


def clock_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A clock that is written in parts."""
    return pq.ParquetWriter(
        path, schema, compression="zstd", use_dictionary=False, write_page_checksum=True,
        column_encoding=dict.fromkeys(schema.names, "DELTA_BINARY_PACKED"),
    )  # fmt: skip


def _write_parquet(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)
