"""A live stream of Databento, in whatever pieces it comes, as records by type. No I/O here.

The stream is one DBN header, then records of several types, each of which begins with its length (in words of 4 bytes) and its
type. The pieces are walked by length alone, so that a type nobody knows costs nothing and stops nothing; no record becomes a
Python object.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import databento_dbn as databento
import numpy as np

from spymaster_assets import dbn
from spymaster_assets.compute.kernel import kernel

ERROR: Final = 21  # types of records that the gateway itself writes
MAPPING: Final = 22
SYSTEM: Final = 23
HEARTBEAT, SLOW_READER, REPLAY_COMPLETED = (
    int(code)
    for code in (databento.SystemCode.HEARTBEAT, databento.SystemCode.SLOW_READER_WARNING, databento.SystemCode.REPLAY_COMPLETED)
)
AUTH_FAILED, DEACTIVATED, SKIPPED, AGED_OUT, UNRESOLVED, INVALID = (
    int(code)
    for code in (
        databento.ErrorCode.AUTH_FAILED, databento.ErrorCode.API_KEY_DEACTIVATED,
        databento.ErrorCode.SKIPPED_RECORDS_AFTER_SLOW_READING, databento.ErrorCode.REPLAY_DATA_AGED_OUT,
        databento.ErrorCode.SYMBOL_RESOLUTION_FAILED, databento.ErrorCode.INVALID_SUBSCRIPTION,
    )
)  # fmt: skip
UNTOLD: Final = 255  # a code that an older gateway does not send
_HEAD: Final = np.dtype([("length", "u1"), ("rtype", "u1"), ("publisher_id", "u2"), ("instrument_id", "u4"), ("ts_event", "u8")])
MAX_HEADER: Final = 1 << 20  # bytes; a live stream's header names no symbols
_PREFIX: Final = 8  # of the header: "DBN", its version, its length


class Damaged(ValueError):
    """A stream that is not DBN: says at which byte and what was expected."""


@dataclass(frozen=True)
class Told:
    """What the gateway says: `ts` by its clock, ns UTC; `code` UNTOLD where there is none; `place` in the piece."""

    rtype: int
    ts: int
    code: int
    words: str
    place: int


@kernel
def _walk(raw: np.ndarray, starts: np.ndarray) -> tuple[int, int]:
    """Where the whole records in `raw` start; (how many, bytes walked). A record of no length ends the walk."""
    count = at = 0
    while at + 2 <= raw.size:
        length = int(raw[at]) * 4
        if length < 16 or at + length > raw.size:
            break
        starts[count] = at
        count += 1
        at += length
    return count, at


@kernel
def _gather(raw: np.ndarray, starts: np.ndarray, out: np.ndarray) -> None:
    """Copy the records that start there into rows of one length."""
    size = out.shape[1]
    for row in range(starts.size):
        out[row, :] = raw[starts[row] : starts[row] + size]


class Piece:
    """Whole records of several types, in order of arrival. `rtypes`: of each."""

    def __init__(self, raw: np.ndarray, starts: np.ndarray, version: int) -> None:
        self._raw, self._starts, self._version = raw, starts, version
        self.rtypes = raw[starts + 1] if len(starts) else np.zeros(0, np.uint8)
        self._lengths = raw[starts] if len(starts) else self.rtypes

    def __len__(self) -> int:
        return len(self._starts)

    def records(self, layout: dbn.Layout) -> tuple[np.ndarray, np.ndarray]:
        """(places in the piece, records) of one type, in today's form. Those of another length are left out."""
        dtype = layout.written_by(self._version)
        places = np.flatnonzero((self.rtypes == layout.rtype) & (self._lengths == dtype.itemsize // 4))
        rows = np.empty((len(places), dtype.itemsize), np.uint8)
        if len(places):
            _gather(self._raw, self._starts[places], rows)
        return places, dbn.widen(rows.reshape(-1).view(dtype), layout.dtype)

    def told(self) -> list[Told]:
        """What the gateway says in this piece."""
        found = []
        for place in np.flatnonzero((self.rtypes == SYSTEM) | (self.rtypes == ERROR)).tolist():
            start, size = int(self._starts[place]), int(self._lengths[place]) * 4
            record = self._raw[start : start + size].tobytes()
            head = np.frombuffer(record[:16], _HEAD)[0]
            rtype, longest = int(head["rtype"]), 303 if head["rtype"] == SYSTEM else 302
            words = record[16 : 16 + longest].partition(b"\0")[0].decode("utf-8", "replace")
            code = record[16 + longest] if size > 16 + longest else UNTOLD  # shorter: of DBN version 1
            if code == UNTOLD and rtype == SYSTEM and words == "Heartbeat":
                code = HEARTBEAT
            found.append(Told(rtype, int(head["ts_event"]), code, words, place))
        return found


class Splitter:
    """Pieces of one connection, as they come."""

    def __init__(self) -> None:
        self._rest = b""
        self._done = 0
        self._version = 0  # of DBN; 0: the header has not come

    def take(self, data: bytes) -> Piece:
        """The whole records so far that were not handed out. Damaged if this is no DBN stream."""
        data = self._rest + data if self._rest else data
        if not self._version:
            data = data[self._header(data) :]
        if not self._version:
            self._rest = data
            return Piece(np.zeros(0, np.uint8), np.zeros(0, np.int64), self._version)
        raw, starts = np.frombuffer(data, np.uint8), np.empty(len(data) // 16 + 1, np.int64)
        count, walked = _walk(raw, starts)
        if walked < len(data) and data[walked] < 4:
            raise Damaged(
                f"at byte {self._done + walked:,} of the stream: expected a record with a length, found {data[walked] * 4} bytes"
            )
        self._rest = data[walked:]
        self._done += walked
        return Piece(raw, starts[:count], self._version)

    def _header(self, data: bytes) -> int:
        """Read the header once it is whole; its bytes."""
        if not b"DBN".startswith(data[:3]):
            raise Damaged(f"expected the DBN header, found {data[:8]!r}")
        if len(data) < _PREFIX:
            return 0
        version, size = data[3], int.from_bytes(data[4:_PREFIX], "little")
        if not 1 <= version <= databento.DBN_VERSION:
            raise Damaged(f"expected DBN version 1 to {databento.DBN_VERSION}, found {version}")
        if not dbn.MIN_HEADER <= size <= MAX_HEADER:
            raise Damaged(f"expected a header of {dbn.MIN_HEADER} to {MAX_HEADER:,} bytes, found {size:,}")
        size += _PREFIX
        if len(data) < size:
            return 0
        try:
            meta = dbn.metadata(data[:size])
        except ValueError as error:
            raise Damaged(f"expected DBN metadata: {error}") from error
        if meta.ts_out:
            raise Damaged("expected records without a send time (ts_out off)")
        self._version, self._done = version, size  # the decoder would say the version that it can make of it
        return size
