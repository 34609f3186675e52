"""What travels over the bus. A message is headers (text) and data (bytes); docs/live.md is generated from the names below.

A market message is a frame: records of one channel as Databento wrote them, in order of arrival. Its watermark says: everything
with an effective time up to it is in this message or an earlier one. Frames of a channel are numbered by their records, so
that a missing or repeated one shows. No message holds a wall-clock time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import xxhash

from spymaster_assets import dbn
from spymaster_assets.schema import Table
from spymaster_assets.tables import (
    BARS,
    DEALERS,
    FEATURE_ROWS,
    FLOW,
    LEVELS,
    PREDICTIONS,
    PRIORS,
    SIGNALS,
    SNAPS,
    STRIKES,
    TOUCHES,
)

VERSION: Final = 1  # of headers and payloads

# Channels in the order in which records of one effective time count, with their subjects.
CHANNELS: Final[Mapping[str, str]] = {
    "definitions": "market.definitions",
    "option_statistics": "market.options.statistics",
    "option_quotes": "market.options.quotes",
    "option_trades": "market.options.trades",
    "futures_mbp10": "market.futures.mbp10",
    "futures_trades": "market.futures.trades",
}
SCHEMAS: Final[Mapping[str, tuple[str, ...]]] = {  # what a channel's records may be
    "definitions": ("definition",),
    "option_statistics": ("statistics",),
    "option_quotes": ("tbbo", "bbo-1s", "bbo-1m"),
    "option_trades": ("trades",),
    "futures_mbp10": ("mbp-10",),
    "futures_trades": ("trades",),
}
SESSION: Final = "market.session"
CLOCK: Final = "market.clock"
LEVELS_SIGNALS: Final = "levels.signals"
LEVELS_ROWS: Final = "levels.rows"
LEVELS_FLOW: Final = "levels.flow"
LEVELS_STATUS: Final = "levels.status"
CONTROL: Final = "control.replay"
DEAD: Final = "dlq"  # dlq.{subject}: what could not be read

ROWS: Final = (BARS, LEVELS, TOUCHES, FEATURE_ROWS, SIGNALS, PREDICTIONS)  # of levels.rows, in this order
FLOWS: Final = (SNAPS, FLOW, DEALERS, STRIKES)  # of levels.flow

HEADERS: Final[Mapping[str, str]] = {
    "Nats-Msg-Id": "the message's id; a repetition is not stored",
    "Version": f"of headers and payload: {VERSION}",
    "Run": "one pass over one date; a new one begins with market.session",
    "Schema": "Databento's schema of the records, or the table of the rows",
    "First": "number of the first record in its channel and run, from 0",
    "Count": "records",
    "Start": "event time of the first record, ns UTC",
    "End": "event time of the last record, ns UTC",
    "Watermark": "everything with an effective time up to this, ns UTC, is in this message or an earlier one",
    "Hash": "xxh3_64 of the data, 16 hex digits",
    "Date": "trading date",
    "Contract": "the date's contract and how it was chosen",
    "Complete-From": "ns UTC from which on the run holds every record; the session's open unless one joined late",
    "Frame-Span": "ns of event time in a frame at most",
    "Paced-From": "ns UTC up to which frames hold more, because nobody waits for them; 0: from the start on they do not",
    "Frame-Records": "records in a frame at most, over all channels; 0: as many as fit",
    "Inputs": "hash of the files that the run was cut from",
    "Config": "hash of the configuration that the feed ran with",
    "Symbology": "bytes of the data behind the priors that tell which symbols the instruments' numbers mean",
    "Model": "the champion that scores the run, and its version; empty: none is trained",
    "Snaps": "first-last snap of the message",
    "Rows": "TABLE=COUNT of the tables in the data, one after the other",
    "Reason": "why a message could not be read",
    "Stream-Sequence": "where the message stood",
}


class BadMessage(ValueError):
    """A message that is not what it has to be: `reason` in one sentence."""


@dataclass(frozen=True)
class Message:
    """A message to publish."""

    subject: str
    headers: Mapping[str, str]
    data: bytes

    @property
    def id(self) -> str:
        return self.headers["Nats-Msg-Id"]


@dataclass(frozen=True)
class Frame:
    """Records [first, first + len(records)) of a channel, and the watermark after them."""

    run: str
    channel: str
    schema: str
    first: int
    records: np.ndarray
    watermark: int

    def message(self) -> Message:
        data = np.ascontiguousarray(self.records).tobytes()
        times = self.records[dbn.SCHEMAS[self.schema].index]
        headers = {
            "Nats-Msg-Id": f"{self.run}:{self.channel}:{self.first}-{self.first + len(self.records) - 1}",
            "Version": str(VERSION),
            "Run": self.run,
            "Schema": self.schema,
            "First": str(self.first),
            "Count": str(len(self.records)),
            "Start": str(int(times[0])),
            "End": str(int(times[-1])),
            "Watermark": str(self.watermark),
            "Hash": digest(data),
        }
        return Message(CHANNELS[self.channel], headers, data)


@dataclass(frozen=True)
class Session:
    """The first message of a run: the date, its contract, what earlier dates tell (144 rows of priors, or none).

    `symbology`: which symbol a number means on which day, as symbols.py packs it; empty where nobody told.
    """

    run: str
    date: str
    contract: str
    complete_from: int
    frame_span: int
    paced_from: int
    frame_records: int
    inputs: str
    config: str
    model: str
    priors: np.ndarray
    symbology: bytes = b""

    def message(self) -> Message:
        data = self.priors.tobytes() + self.symbology
        headers = {
            "Nats-Msg-Id": f"{self.run}:session",
            "Version": str(VERSION),
            "Run": self.run,
            "Date": self.date,
            "Contract": self.contract,
            "Complete-From": str(self.complete_from),
            "Frame-Span": str(self.frame_span),
            "Paced-From": str(self.paced_from),
            "Frame-Records": str(self.frame_records),
            "Inputs": self.inputs,
            "Config": self.config,
            "Model": self.model,
            "Schema": f"{PRIORS.name} {PRIORS.digest}",
            "Count": str(len(self.priors)),
            "Symbology": str(len(self.symbology)),
            "Hash": digest(data),
        }
        return Message(SESSION, headers, data)


@dataclass(frozen=True)
class Clock:
    """A watermark alone, where no frame carries one."""

    run: str
    watermark: int

    def message(self) -> Message:
        headers = {
            "Nats-Msg-Id": f"{self.run}:clock:{self.watermark}",
            "Version": str(VERSION),
            "Run": self.run,
            "Watermark": str(self.watermark),
            "Hash": digest(b""),
        }
        return Message(CLOCK, headers, b"")


def digest(data: bytes) -> str:
    return xxhash.xxh3_64_hexdigest(data)


def read(subject: str, headers: Mapping[str, str] | None, data: bytes) -> Frame | Session | Clock:
    """A market message. BadMessage says what is wrong with it."""
    facts = headers or {}
    if (version := _text(facts, "Version")) != str(VERSION):
        raise BadMessage(f"version {version}; this engine reads version {VERSION}")
    if (found := digest(data)) != _text(facts, "Hash"):
        raise BadMessage(f"the data's hash is {found}, the header says {facts['Hash']}")
    run = _text(facts, "Run")
    if subject == CLOCK:
        if data:
            raise BadMessage(f"{len(data)} bytes; expected none with a watermark alone")
        return Clock(run, _number(facts, "Watermark"))
    if subject == SESSION:
        return _session(run, facts, data)
    channel = next((name for name, its in CHANNELS.items() if its == subject), None)
    if channel is None:
        raise BadMessage(f"subject {subject} is not one of {', '.join((*CHANNELS.values(), SESSION, CLOCK))}")
    schema, first, count = _text(facts, "Schema"), _number(facts, "First"), _number(facts, "Count")
    if first < 0:
        raise BadMessage(f"header First is {first}; records are numbered from 0")
    if schema not in dbn.SCHEMAS:
        raise BadMessage(f"schema {schema} is unknown")
    layout = dbn.SCHEMAS[schema]
    if len(data) != count * layout.dtype.itemsize or not count:
        raise BadMessage(f"{len(data)} bytes; expected {count} records of {layout.dtype.itemsize}, at least one")
    records = np.frombuffer(data, layout.dtype)
    if not ((records["rtype"] == layout.rtype) & (records["length"] == layout.dtype.itemsize // 4)).all():
        raise BadMessage(f"a record is not of rtype {layout.rtype} with {layout.dtype.itemsize} bytes")
    return Frame(run, channel, schema, first, records, _number(facts, "Watermark"))


def _session(run: str, facts: Mapping[str, str], data: bytes) -> Session:
    if _text(facts, "Schema") != f"{PRIORS.name} {PRIORS.digest}":
        raise BadMessage(f"priors of the form {facts['Schema']}; expected {PRIORS.name} {PRIORS.digest}")
    size, names = _number(facts, "Count") * PRIORS.dtype.itemsize, _number(facts, "Symbology")
    if size < 0 or names < 0 or len(data) != size + names:
        expected = f"{facts['Count']} rows of {PRIORS.dtype.itemsize} and {names} bytes of symbology"
        raise BadMessage(f"{len(data)} bytes; expected {expected}")
    return Session(
        run, _text(facts, "Date"), _text(facts, "Contract"), _number(facts, "Complete-From"), _number(facts, "Frame-Span"),
        _number(facts, "Paced-From"), _number(facts, "Frame-Records"), _text(facts, "Inputs"), _text(facts, "Config"),
        _text(facts, "Model"), np.frombuffer(data[:size], PRIORS.dtype), data[size:],
    )  # fmt: skip


def _text(headers: Mapping[str, str], name: str) -> str:
    if name not in headers:
        raise BadMessage(f"header {name} is missing")
    return headers[name]


def _number(headers: Mapping[str, str], name: str) -> int:
    text = _text(headers, name)
    if not re.fullmatch(r"-?[0-9]{1,19}", text, re.ASCII):
        raise BadMessage(f"header {name} is {text!r}; expected a whole number")
    if not -(2**63) <= (number := int(text)) < 2**63:
        raise BadMessage(f"header {name} is {text}; expected a number of 64 bits")
    return number


def pack(tables: tuple[Table, ...], rows: Mapping[str, np.ndarray]) -> tuple[str, bytes]:
    """Rows of several tables as one piece of data, and the header that says how many of each."""
    counts = " ".join(f"{table.name}={len(rows[table.name])}" for table in tables)
    return counts, b"".join(rows[table.name].tobytes() for table in tables)


def unpack(tables: tuple[Table, ...], counts: str, data: bytes) -> dict[str, np.ndarray]:
    """The rows of each table. BadMessage if the data does not hold what the header says."""
    expected = " ".join(f"{table.name}=([0-9]{{1,9}})" for table in tables)
    found = re.fullmatch(expected, counts, re.ASCII)
    if found is None:
        raise BadMessage(f"header Rows is {counts!r}; expected a count for each of {', '.join(table.name for table in tables)}")
    rows, at = {}, 0
    for table, count in zip(tables, found.groups(), strict=True):
        size = int(count) * table.dtype.itemsize
        if at + size > len(data):
            raise BadMessage(f"{len(data)} bytes; expected {counts} of {', '.join(table.name for table in tables)}")
        rows[table.name] = np.frombuffer(data[at : at + size], table.dtype)
        at += size
    if at != len(data):
        raise BadMessage(f"{len(data)} bytes; expected {at} for {counts}")
    return rows
