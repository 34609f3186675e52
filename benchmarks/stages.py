"""The stages that are measured, each with its floor and peer, on the MBP-10 files of one simulated date.

Every function takes the folder of a prepared lake and returns how many records it read and how many bytes it wrote. What it needs
is imported before the clock starts (`warm`).
"""

from __future__ import annotations

import datetime as dt
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

DATE = dt.date(2025, 6, 3)
Work = Callable[[Path], tuple[int, int]]


def files(root: Path) -> list[Path]:
    return sorted((root / "landing" / "futures").glob("*.mbp-10.dbn.zst"))


def prepare(root: Path, records: int) -> int:
    """Simulate a date with about `records` MBP-10 records, unless it is there; the bytes of its decoded records."""
    from spymaster_assets.config import Config
    from spymaster_assets.progress import terminal
    from spymaster_assets.simulator.write import simulate

    if not files(root):
        simulate(root / "landing", [DATE], events_per_session=records * 100 // 117, seed=1, config=Config(), on_progress=terminal())
    return decode(root)[0] * 368


def decode(root: Path) -> tuple[int, int]:
    """Ours: every record checked for type and length."""
    from spymaster_assets import dbn

    return sum(len(chunk) for path in files(root) for chunk in dbn.read(path, "mbp-10")), 0


def decode_floor(root: Path) -> tuple[int, int]:
    """Decompression alone, into one buffer."""
    import zstandard

    buffer, total = bytearray(6 << 20), 0
    for path in files(root):
        with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as stream:
            while got := stream.readinto(buffer):
                total += got
    return total // 368, 0


def decode_peer(root: Path) -> tuple[int, int]:
    """Databento's own: DBNStore.to_ndarray."""
    import databento

    return sum(len(databento.DBNStore.from_file(path).to_ndarray()) for path in files(root)), 0


def bronze(root: Path) -> tuple[int, int]:
    """Ours: accounted, hashed, checksummed, published."""
    from spymaster_assets.config import Config
    from spymaster_assets.ingest import Intake
    from spymaster_assets.lake import Lake
    from spymaster_assets.landing import Landing
    from spymaster_assets.tables import FUTURES_MBP10

    lake = Lake(root, Config())
    manifest = Intake(DATE, lake, Landing(root / "landing", lake.config)).ingest(FUTURES_MBP10, force=True).manifest
    return sum(file["read"] for file in manifest.facts["files"]), manifest.size


def bronze_floor(root: Path) -> tuple[int, int]:
    """Decompress, turn rows into columns, write the same Parquet layout: nothing is checked, hashed or accounted for."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    import zstandard

    from spymaster_assets import dbn
    from spymaster_assets.compute.transpose import Columns, field_places
    from spymaster_assets.tables import FUTURES_MBP10

    columns = Columns(dbn.MBP10, field_places(dbn.MBP10, FUTURES_MBP10.names), 131_072)
    delta = [column.name for column in FUTURES_MBP10.columns if column.delta]
    buffer, rows = np.empty(16_384 * 368, np.uint8), 0
    with tempfile.TemporaryDirectory(dir=root) as folder:
        target, writer = Path(folder) / "floor.parquet", None
        for path in files(root):
            with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as stream:
                stream.read(8 + int.from_bytes(stream.read(8)[4:], "little") - 8)
                while True:
                    got = 0
                    while got < buffer.size and (more := stream.readinto(buffer.data[got:])):
                        got += more
                    records = buffer[:got].view(dbn.MBP10)
                    rows += len(records)
                    last = got < buffer.size
                    while len(records) or last:
                        records = records[columns.fill(records) :]
                        if columns.rows == columns.capacity or (last and not len(records)):
                            table = pa.table({name: pa.array(values) for name, values in columns.arrays().items()})
                            writer = writer or pq.ParquetWriter(
                                target, table.schema, compression="zstd", compression_level=1, write_statistics=False,
                                use_dictionary=[name for name in table.column_names if name not in delta],
                                column_encoding=dict.fromkeys(delta, "DELTA_BINARY_PACKED"),
                            )  # fmt: skip
                            writer.write_table(table, row_group_size=columns.capacity)
                            columns.clear()
                        if last and not len(records):
                            break
                    if last:
                        break
        assert writer is not None, "there are files"
        writer.close()
        return rows, target.stat().st_size


def bronze_peer(root: Path) -> tuple[int, int]:
    """Databento's own: DBNStore.to_parquet with its defaults."""
    import databento

    rows = size = 0
    with tempfile.TemporaryDirectory(dir=root) as folder:
        for path in files(root):
            target = Path(folder) / f"{path.name}.parquet"
            store = databento.DBNStore.from_file(path)
            store.to_parquet(target)
            import pyarrow.parquet as pq

            rows += pq.read_metadata(target).num_rows
            size += target.stat().st_size
    return rows, size


@dataclass(frozen=True)
class Stage:
    """A stage, its floor and its peer. `goal`: largest ratio to the floor that we want."""

    name: str
    ours: Work
    floor: Work
    peer: Work
    goal: float


STAGES = (
    Stage("decode DBN.zst", decode, decode_floor, decode_peer, 1.3),
    Stage("bronze MBP-10", bronze, bronze_floor, bronze_peer, 1.2),
)


def warm() -> None:
    """Import what the stages use, load their compiled kernels, lay out the calendar."""
    import databento  # noqa: F401
    import numpy as np
    import zstandard  # noqa: F401

    from spymaster_assets import dbn
    from spymaster_assets.compute.transpose import Columns, field_places
    from spymaster_assets.config import Config
    from spymaster_assets.ingest import Intake  # noqa: F401
    from spymaster_assets.sessions import calendar
    from spymaster_assets.tables import FUTURES_MBP10

    calendar(Config())
    Columns(dbn.MBP10, field_places(dbn.MBP10, FUTURES_MBP10.names), 8).fill(np.zeros(4, dbn.MBP10))
    os.sync()
