"""Slow, obvious twins of the fast code: plain loops over plain values, written from the definitions and not from the code.

A twin answers one question in the fewest ideas possible, so that a reader can see that it is right. Speed is no concern, and
nothing here imports the code that it checks.
"""

import struct
from pathlib import Path

import zstandard

ZSTD_FRAME = 0xFD2FB528
ZSTD_SKIPPABLE = 0x184D2A50  # and the fifteen numbers that follow


def naive_zstd(data: bytes) -> bytes:
    """The content of zstd frames laid end to end; a skippable frame has none. ValueError for anything else."""
    content = b""
    while data:
        if len(data) < 8:
            raise ValueError("cut in a frame's head")
        magic, size = struct.unpack("<II", data[:8])
        if ZSTD_SKIPPABLE <= magic < ZSTD_SKIPPABLE + 16:
            if len(data) < 8 + size:
                raise ValueError("cut in a skippable frame")
            data = data[8 + size :]
            continue
        if magic != ZSTD_FRAME:
            raise ValueError("not a zstd frame")
        frame = zstandard.ZstdDecompressor().decompressobj()
        content += frame.decompress(data)
        if not frame.eof:
            raise ValueError("cut in a frame")
        data = frame.unused_data
    return content


def naive_dbn_records(path: Path, rtype: int | None = None) -> list[tuple[int, bytes]]:
    """The records of a DBN file as (rtype, raw bytes), as written; of one `rtype` only where it is given.

    A DBN file is "DBN", a byte of version, four bytes that count the rest of the header, the header, and the records. A
    record's first byte counts its words of four bytes, its second is its type.
    """
    data = path.read_bytes()
    if not data.startswith(b"DBN"):
        data = naive_zstd(data)
    if not data.startswith(b"DBN"):
        raise ValueError("not a DBN file")
    (header,) = struct.unpack("<I", data[4:8])
    at = 8 + header
    records = []
    while at < len(data):
        size, kind = 4 * data[at], data[at + 1]
        record = data[at : at + size]
        if size < 16 or len(record) < size:
            raise ValueError("a broken record")
        if rtype is None or kind == rtype:
            records.append((kind, record))
        at += size
    return records
