"""What live said beside what Dagster stored: the rows of levels.rows, and those of Silver and of predictions, byte for byte."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from nats.aio.client import Client

from spymaster_assets.lake import Lake
from spymaster_assets.models.predicting import only, speakers
from spymaster_assets.schema import Table
from spymaster_assets.tables import PREDICTIONS
from spymaster_live import messages
from spymaster_live.bus import LEVELS, Reader
from spymaster_live.messages import ROWS, unpack

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "bars": ("minutes", "k"), "levels": ("valid_from", "kind"), "touches": ("touch",), "features": ("touch", "elapsed"),
    "signals": ("touch", "k"), "predictions": ("touch", "elapsed"),
}  # fmt: skip


@dataclass(frozen=True)
class Said:
    """Everything of one run on levels.*: rows by table, the payloads' lines by snap, how often an id stands in the stream."""

    rows: Mapping[str, np.ndarray]
    lines: Mapping[int, bytes]
    ids: tuple[str, ...]


async def said(client: Client, run: str) -> Said:
    """Read the stream from its first message on, for one run."""
    state = (await client.jsm().stream_info(LEVELS)).state
    reader, parts, found, ids = Reader(client, LEVELS, max(1, state.first_seq)), [], [], []
    while reader.next <= state.last_seq:
        for _, message in await reader.read(2.0):
            headers = message.headers or {}
            if headers.get("Run") != run:
                continue
            ids.append(headers["Nats-Msg-Id"])
            if message.subject == messages.LEVELS_ROWS:
                parts.append(unpack(ROWS, headers["Rows"], message.data))
            if message.subject == messages.LEVELS_SIGNALS:
                found.append(message.data)
    await reader.close()
    rows = {table.name: np.concatenate([np.zeros(0, table.dtype), *(part[table.name] for part in parts)]) for table in ROWS}
    lines = {int(line.split(b'"snap":', 1)[1].split(b",", 1)[0]): line for text in found for line in text.splitlines()}
    return Said(rows, lines, tuple(ids))


def difference(table: Table, live: np.ndarray, batch: np.ndarray) -> str | None:
    """Where rows from live and from Dagster differ first, in words; None if they are the same bytes."""
    keys = list(KEYS[table.name])
    live, batch = (_canonical(rows[np.lexsort([rows[key] for key in reversed(keys)])]) for rows in (live, batch))
    for number, (mine, theirs) in enumerate(zip(live, batch, strict=False)):
        if mine.tobytes() != theirs.tobytes():
            at = ", ".join(f"{key} {theirs[key]}" for key in keys)
            if any(mine[key] != theirs[key] for key in keys):
                here = ", ".join(f"{key} {mine[key]}" for key in keys)
                return f"{table.stage}/{table.name} row {number}: live has {here}, Dagster has {at}"
            name = next(name for name in table.dtype.names or () if mine[name].tobytes() != theirs[name].tobytes())
            told = f"column {name}: live has {mine[name]}, Dagster has {theirs[name]}"
            return f"{table.stage}/{table.name} row {number} ({at}), {told}"
    if len(live) != len(batch):
        same = min(len(live), len(batch))
        return f"{table.stage}/{table.name}: live has {len(live)} rows, Dagster has {len(batch)}; the first {same} agree"
    return None


def _canonical(rows: np.ndarray) -> np.ndarray:
    """The same rows with one kind of NaN: Parquet keeps null, not its bits."""
    rows = rows.copy()
    for name in rows.dtype.names or ():
        if rows[name].dtype.kind == "f":
            rows[name][np.isnan(rows[name])] = np.nan
    return rows


def differences(lake: Lake, date: dt.date, live: Said) -> tuple[list[str], dict[str, int]]:
    """What differs, in words, and how many rows of each table were compared."""
    found, counts = [], {}
    for table in ROWS:
        if table is PREDICTIONS:
            spoken = speakers(live.rows[table.name])
            if not spoken or lake.manifest(table, date) is None:
                continue  # no model scored the run, or its date has no predictions yet: they are not among what was compared
            batch = only(lake.rows(table, date), spoken)
        else:
            batch = lake.rows(table, date)
        counts[table.name] = len(batch)
        if (told := difference(table, live.rows[table.name], batch)) is not None:
            found.append(told)
    repeated = len(live.ids) - len(set(live.ids))
    if repeated:
        found.append(f"{repeated} messages of levels.* stand in the stream more than once")
    return found, counts


def verdict(run: str, found: list[str], counts: Mapping[str, int]) -> str:
    """The outcome as lines for a reader: every difference, then what was compared."""
    rows = ", ".join(f"{count:,} {table}" for table, count in counts.items())
    return "\n".join([*found, f"run {run}: {'DIFFERENT from' if found else 'the same bytes as'} Dagster's Silver: {rows}"])
