"""Hand-over: the segments of a complete run become landing files, so that a live day is made into tables like any other.

    landing/capture/{date}/{channel}.dbn.zst    all records of a channel
                          /clock.parquet        after which message which watermark stood, and how many records had come
                          /run.json             which run, and the hash of each file

The folder appears at once, by one rename. Landing takes a vendor's files of a UTC day before these; the two are then reconciled:
records that only one of them holds are counted.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from spymaster_assets import dbn
from spymaster_assets.arrival import Overlap, align
from spymaster_assets.ingest import Intake
from spymaster_assets.lake import Lake
from spymaster_assets.landing import Landing, file_hash, landing_of
from spymaster_assets.lateness import CLOCK, Lateness
from spymaster_assets.schema import Table
from spymaster_assets.sessions import calendar
from spymaster_assets.store import sync
from spymaster_assets.tables import BRONZE
from spymaster_live import capture
from spymaster_live.batches import CLOCK_COLUMNS, clock_writer, write_records
from spymaster_live.bus import MARKET
from spymaster_live.capture import CaptureError, session_of
from spymaster_live.messages import CHANNELS
from spymaster_live.symbols import unpacked

FACTS: Final = "run.json"


class Refused(RuntimeError):
    """A run that is not handed over; says why."""


@dataclass(frozen=True)
class Reconciled:
    """Records of one table in the vendor's files and in the captured ones; `late`: captured ones that came behind the watermark."""

    both: int
    vendor_only: int
    capture_only: int
    late: int


@dataclass(frozen=True)
class Run:
    """A captured run and what all its manifests say."""

    folder: Path
    manifests: tuple[dict[str, Any], ...]

    @property
    def name(self) -> str:
        return self.folder.name

    def began(self) -> tuple[str, int]:
        """Which bus it came from, by the time when that was made, and its first sequence there."""
        return (self.manifests[0]["bus"], self.manifests[0]["first"]) if self.manifests else ("", 0)

    def segments(self, channel: str) -> list[tuple[Path, dict[str, Any]]]:
        """The segments of a channel in order of their records."""
        found = [(self.folder / name, its) for facts in self.manifests for name, its in facts["segments"].items()]
        return sorted([one for one in found if one[0].parent.name == channel], key=lambda one: capture.span(one[0]))

    def wanting(self, start: int) -> list[str]:
        """Why the run is no whole date, in words; empty if it is. `start`: ns UTC of the session's open."""
        if not self.manifests:
            return ["nothing is captured of it"]
        why = []
        if (joined := session_of(self.folder).complete_from) > start:
            why.append(f"partial: it holds records from {joined} on, the session opens at {start}")
        if not self.manifests[-1]["over"]:
            why.append(f"it stands at {self.manifests[-1]['watermark']}, before the end of the date")
        for facts in self.manifests:
            why += [
                f"{one['channel']} lacks records {one['first']}-{one['last']} before sequence {one['sequence']}"
                for one in facts["gaps"]
            ]
            why += [f"the stream no longer held sequences {first}-{last}" for first, last in facts["lost"] if last > facts["began"]]
            why += [
                f"sequence {one['sequence']} was dead: {one['reason']}"
                for one in facts["dead"]
                if one["run"] in (None, facts["run"])
            ]
        return why


def captured(root: Path, date: dt.date) -> list[Run]:
    """The runs of a date, in the order in which they began. CaptureError if a manifest cannot be read."""
    found = [Run(folder, tuple(capture.batches(folder, MARKET))) for folder in capture.runs(root, str(date))]
    return sorted(found, key=Run.began)


def hand_over(lake: Lake, date: dt.date, name: str | None = None) -> str:
    """Make landing files of the date's latest complete run, or of the one that is named, unless that was done before.

    What became of it, in a sentence. Refused says which runs there are and why none is taken; CaptureError names a file that is not
    what was written.
    """
    target = Landing(lake.root / "landing", lake.config).captured(date)
    capture.make(target.parent)
    with (target.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = _hand_over(lake, date, name, target)
    return f"{told}; spymaster share brings it to {lake.url}" if lake.url else told


def _hand_over(lake: Lake, date: dt.date, name: str | None, target: Path) -> str:
    if target.exists():
        there = orjson.loads((target / FACTS).read_bytes())["run"]
        if name not in (None, there):
            raise Refused(f"{date} was handed over by run {there}; remove {target} to take {name}")
        return f"{date} was handed over before, by run {there}"
    run = _chosen(lake, date, name)
    if wrong := capture.verify(run.folder):
        raise CaptureError("; ".join(wrong))
    building = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    try:
        counts = _build(run, building, lake, date)
        building.rename(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    sync(target.parent)
    return f"{date} is handed over by run {run.name}: {', '.join(f'{count:,} {channel}' for channel, count in counts.items())}"


def _chosen(lake: Lake, date: dt.date, name: str | None) -> Run:
    start = calendar(lake.config).session(date).globex.start
    there = [run for run in captured(lake.root / capture.FOLDER, date) if name in (None, run.name)]
    why = {run.name: run.wanting(start) for run in there}
    whole = [run for run in there if not why[run.name]]
    if not whole:
        told = "; ".join(f"run {one}: {', '.join(reasons[:3])}" for one, reasons in why.items())
        raise Refused(f"{date} is not handed over: {told or 'no run of it is captured'}")
    return whole[-1]


def _build(run: Run, folder: Path, lake: Lake, date: dt.date) -> dict[str, int]:
    """Write the files of a run into a folder; how many records of each channel."""
    symbology, window = unpacked(session_of(run.folder).symbology), calendar(lake.config).session(date).bronze
    counts = {}
    for channel in CHANNELS:
        if segments := run.segments(channel):
            schemas = {its["schema"] for _, its in segments}
            if len(schemas) > 1:
                raise Refused(f"run {run.name}: {channel} holds {', '.join(sorted(schemas))}; a landing file holds one schema")
            path, schema = folder / f"{channel}.dbn.zst", schemas.pop()
            records = (part for segment, _ in segments for part in dbn.read(segment, schema))
            counts[channel] = write_records(path, schema, records, window, symbology.get(channel, {}), lake.config)
    if counts != (expected := {name: count for name, count in run.manifests[-1]["records"].items() if count}):
        raise CaptureError(f"{run.folder}: expected {expected} records, found {counts}")
    _join_clock(run, folder / CLOCK)
    facts = {"run": run.name, "records": counts, "files": {path.name: file_hash(path) for path in sorted(folder.iterdir())}}
    (folder / FACTS).write_bytes(orjson.dumps(facts, option=orjson.OPT_INDENT_2))
    for path in folder.iterdir():
        sync(path)
    sync(folder)
    return counts


def _join_clock(run: Run, path: Path) -> None:
    """The run's clock as one file. Rows that say nothing new are left out: the last message of a date may not be captured yet."""
    paths = [run.folder / name for facts in run.manifests for name in facts["files"] if name.startswith("clock/")]
    before = np.full((1, len(CLOCK_COLUMNS) - 1), -1)
    with clock_writer(path, pq.read_schema(paths[0])) as writer:
        for part in paths:
            clock = pq.read_table(part, page_checksum_verification=True)
            said = np.column_stack([clock[name].to_numpy() for name in CLOCK_COLUMNS[1:]])
            writer.write_table(clock.filter(pa.array((said != np.vstack([before, said[:-1]])).any(axis=1))))
            before = said[-1:]


def reconcile(lake: Lake, date: dt.date) -> dict[str, Reconciled]:
    """Compare the captured files of a date with the vendor's, record by record; tables that both have."""
    landing = landing_of(lake)
    files = landing.scan()
    sides = [Intake(date, lake, landing, files=[one for one in files if one.origin == origin]) for origin in ("vendor", "capture")]
    clock = landing.captured(date) / CLOCK
    found = {}
    for table in BRONZE:
        if all(side.supply(table).sources for side in sides):
            lateness = Lateness(clock, table.name) if clock.exists() else None
            found[table.name] = _compared(sides[0], sides[1], table, lateness)
    return found


def _compared(vendor: Intake, ours: Intake, table: Table, lateness: Lateness | None) -> Reconciled:
    supplied = [side.supply(table).schema or "" for side in (vendor, ours)]
    if supplied[0] != supplied[1]:
        raise Refused(f"{table.name}: the vendor's files hold {supplied[0]}, the captured ones {supplied[1]}")
    seen, counts, index = Overlap(), [0, 0], dbn.SCHEMAS[supplied[1]].index

    def counted(number: int, records: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        for part in records:
            counts[number] += len(part)
            if number and lateness is not None:
                lateness.see(part[index].view("i8"), np.full(len(part), True))
            yield part

    for _ in align(counted(0, vendor.records(table)), counted(1, ours.records(table)), seen):
        pass
    return Reconciled(seen.same, counts[0] - seen.same, counts[1] - seen.same, lateness.late if lateness else 0)


def in_words(reconciled: dict[str, Reconciled]) -> list[str]:
    """A line for each table that vendor and capture both have."""
    return [
        f"{name}: {one.both:,} in both, {one.vendor_only:,} in the vendor's files alone, {one.capture_only:,} in ours alone,"
        f" {one.late:,} late"
        for name, one in reconciled.items()
    ]
