"""The stages that are measured, each with its floor and peer where there are any, on the MBP-10 files of one simulated date.

Every function takes the folder of a prepared lake and returns how many records (or moments) it worked on and how many bytes it
wrote. What it needs is imported and compiled before the clock starts (`warm`); what it works on in memory is loaded there too
(`held`).
"""

from __future__ import annotations

import datetime as dt
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spymaster_assets.maker import Maker

DATE = dt.date(2025, 6, 3)
DAGSTER = Path(__file__).parents[1] / "spymaster_assets" / "settings" / "dagster.yaml"
NAUTILUS = os.environ.get("SPYMASTER_NAUTILUS_PYTHON")  # the interpreter that has it; it does not fit our pins


@dataclass(frozen=True)
class Sample:
    """One run: records read, bytes written, CPU and wall seconds, peak memory in bytes."""

    records: int
    written: int
    cpu: float
    wall: float
    peak: int


Work = Callable[[Path], "tuple[int, int] | Sample"]  # (records, bytes written), or a Sample if it ran as a process of its own


def files(root: Path) -> list[Path]:
    return sorted((root / "landing" / "futures").glob("*.mbp-10.dbn.zst"))


def prepare(root: Path, records: int) -> int:
    """Simulate a date with about `records` MBP-10 records, unless it is there; the bytes of its decoded records."""
    from spymaster_assets.config import Config
    from spymaster_assets.progress import terminal
    from spymaster_assets.simulator.write import simulate

    if not files(root):
        simulate(root / "landing", [DATE], events_per_session=records * 100 // 117, seed=1, config=Config(), on_progress=terminal())
    _silver(root)
    return decode(root)[0] * 368


@cache
def _silver(root: Path) -> Maker:
    """Silver of the date, made unless it is there; found once, outside the clock."""
    from spymaster_assets.config import Config
    from spymaster_assets.ingest import Intake, ingest_date
    from spymaster_assets.lake import Lake
    from spymaster_assets.landing import Landing
    from spymaster_assets.maker import Maker
    from spymaster_assets.silver import SILVER_STAGES

    lake = Lake(root, Config())
    ingest_date(Intake(DATE, lake, Landing(root / "landing", lake.config)))
    silver = Maker(DATE, lake)
    for stage in SILVER_STAGES:
        silver.make(stage)
    return silver


@cache
def held(root: Path, what: str) -> Any:
    """What a stage works on in memory: the book's records as rows or as a Polars frame, or the date's Day."""
    import numpy as np

    from benchmarks import peers
    from spymaster_assets.silver import book_records
    from spymaster_assets.tables import (
        BARS,
        FLOW,
        FUTURES_MBP10,
        LEVELS,
        OPEN_INTEREST,
        OPTION_FLOW,
        PRINTS,
        PRIORS,
        SNAPS,
        TOUCHES,
    )  # fmt: skip

    if what == "options":
        from benchmarks.options import options

        return options(IN_MEMORY)
    if what == "points":
        from benchmarks import retrieval

        return retrieval.points()
    if what in ("problem", "served"):
        from benchmarks import models

        return getattr(models, what)()
    silver = _silver(root)
    if what == "rows":
        records = (rows.copy() for rows in book_records(silver))
        return np.concatenate([rows for rows, _ in zip(records, range(IN_MEMORY // 4096), strict=False)])
    if what == "frame":
        return peers.read(silver.lake.path(FUTURES_MBP10, DATE)).head(IN_MEMORY // 4096 * 4096).collect()
    day = silver.day(SNAPS, PRINTS, FLOW, OPTION_FLOW, OPEN_INTEREST, BARS, LEVELS, TOUCHES, PRIORS)
    day.advance_samples()
    return day, np.array([k for number in range(day.touches.count) for k in day.landmarks(number)])


def implied(root: Path) -> tuple[int, int]:
    """Ours: implied volatility and gamma of options in memory."""
    import numpy as np

    from benchmarks.options import invert

    forward, strike, call, value = held(root, "options")
    assert not np.isnan(invert(forward, strike, call, value)).any()
    return len(value), 0


def implied_peer(root: Path) -> tuple[int, int]:
    """QuantLib: implied volatility alone, of the first fifty thousand, option by option."""
    import QuantLib

    options = [values[:50_000].tolist() for values in held(root, "options")]
    for forward, strike, call, value in zip(*options, strict=True):
        kind = QuantLib.Option.Call if call else QuantLib.Option.Put
        QuantLib.blackFormulaImpliedStdDev(kind, strike, forward, value)
    return len(options[0]), 0


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
    encodings = {column.name: column.stored for column in FUTURES_MBP10.columns}
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
                                use_dictionary=[name for name, encoding in encodings.items() if encoding is None],
                                column_encoding={name: encoding for name, encoding in encodings.items() if encoding},
                                max_rows_per_page=columns.capacity,
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


def grid_kernel(root: Path) -> tuple[int, int]:
    """Ours: snaps, prints and flow from rows in memory, 4,096 at a time."""
    silver, rows = _silver(root), held(root, "rows")
    from spymaster_assets.compute.stream import Day

    day = Day(silver.session, silver.config)
    for start in range(0, len(rows), 4096):
        day.take(rows[start : start + 4096])
    return len(rows), 0


def grid_kernel_floor(root: Path) -> tuple[int, int]:
    """Touching every word of the rows once."""
    import numpy as np

    rows = held(root, "rows")
    np.bitwise_xor.reduce(rows.view(np.uint64))
    return len(rows), 0


def grid_kernel_peer(root: Path) -> tuple[int, int]:
    """Polars: 61 of the snaps' columns from a frame in memory, no flow."""
    from benchmarks import peers

    frame, clock = held(root, "frame"), held(root, "day")[0].clock
    peers.snaps(frame, clock.open, clock.interval, 250_000_000)
    return len(frame), 0


def grid(root: Path) -> tuple[int, int]:
    """Ours: from Bronze to snaps, prints and flow in memory."""
    from spymaster_assets.compute.stream import Day
    from spymaster_assets.silver import book_records

    silver, records = _silver(root), 0
    day = Day(silver.session, silver.config)
    for rows in book_records(silver):
        day.take(rows)
        records += len(rows)
    day.complete(silver.session.globex.end)
    return records, 0


def grid_floor(root: Path) -> tuple[int, int]:
    """Reading the columns that the grid needs."""
    from spymaster_assets.silver import BOOK_COLUMNS
    from spymaster_assets.tables import FUTURES_MBP10

    batches = _silver(root).lake.batches(FUTURES_MBP10, DATE, BOOK_COLUMNS)
    return sum(batch.num_rows for batch in batches), 0


def grid_peer(root: Path) -> tuple[int, int]:
    """Polars: the same, 61 of the snaps' columns, no flow."""
    from benchmarks import peers
    from spymaster_assets.tables import FUTURES_MBP10

    silver, clock = _silver(root), held(root, "day")[0].clock
    found = peers.snaps(peers.read(silver.lake.path(FUTURES_MBP10, DATE)), clock.open, clock.interval, 250_000_000)
    return int(found["records"][-1]), 0


def features(root: Path) -> tuple[int, int]:
    """Ours: every feature at every landmark of the date, ten times."""
    day, _ = held(root, "day")
    for _ in range(10):
        day.features.count, day.approach.count, day._features_until = 0, 0, 0
        day.advance_features()
    return day.features.count * 10, 0


def signals(root: Path) -> tuple[int, int]:
    """Ours: the score of every open touch at every snap."""
    import numpy as np

    day, _ = held(root, "day")
    day.signals.count, day.scoring.count, day._signals_until = 0, 0, 0
    day.scoring.array[:] = np.zeros(1, day.scoring.array.dtype)
    day.advance_signals()
    return day.signals.count, 0


def silver(root: Path) -> tuple[int, int]:
    """Ours: all Silver tables of the date from Bronze, published."""
    from spymaster_assets.config import Config
    from spymaster_assets.lake import Lake
    from spymaster_assets.maker import Maker
    from spymaster_assets.silver import SILVER_STAGES
    from spymaster_assets.tables import FUTURES_MBP10, SILVER

    found = Maker(DATE, Lake(root, Config()))
    for stage in SILVER_STAGES:
        found.make(stage, force=True)
    manifests = [found.lake.manifest(table, DATE) for table in (FUTURES_MBP10, *SILVER)]
    return manifests[0].rows if manifests[0] else 0, sum(one.size for one in manifests[1:] if one)


@cache
def _runner(root: Path) -> Any:
    """Dagster's side of a lake, with an instance of its own; a process makes it once for all its dates."""
    import shutil

    from spymaster_assets.config import Config
    from spymaster_assets.daily import Runner
    from spymaster_assets.lake import Lake

    home = root / "dagster"
    home.mkdir(exist_ok=True)
    shutil.copy(DAGSTER, home)
    os.environ["DAGSTER_HOME"] = str(home)
    return Runner(Lake(root, Config()))


def date(root: Path) -> tuple[int, int]:
    """Ours: a whole date from landing to Gold, as `spymaster day` does it: Dagster, every check, everything published."""
    import shutil

    from spymaster_assets.tables import FUTURES_MBP10, TRAINING

    with tempfile.TemporaryDirectory(dir=root) as folder:
        shutil.copytree(root / "landing", Path(folder) / "landing", copy_function=os.link)
        runner = _runner(Path(folder))
        report = runner.run(DATE)
        assert report.succeeded, report.trouble
        book, training = (runner.lake.manifest(table, DATE) for table in (FUTURES_MBP10, TRAINING))
        return sum(file["read"] for file in book.facts["files"]), training.size


def date_peer(root: Path) -> Sample:
    """nautilus_trader: loading and replaying the first million records."""
    from benchmarks.nautilus import figures

    found = figures(files(root), 1_000_000)
    return Sample(found.count, 0, found.load_cpu + found.replay_cpu, found.load_wall + found.replay_wall, found.peak)


def orchestration(root: Path) -> tuple[int, int]:
    """Ours: a date on which nothing changed, through Dagster, in a process that did another before."""
    assert _runner(root).run(DATE).succeeded
    return 1, 0


def orchestration_floor(root: Path) -> tuple[int, int]:
    """The same without Dagster: every table looked up, every verdict read, the picture drawn."""
    import duckdb

    from spymaster_assets.assets.checks import EVERY_CHECK
    from spymaster_assets.assets.pictures import date_picture, gold_picture
    from spymaster_assets.gold import STAGES as EVERY_STAGE
    from spymaster_assets.ingest import Intake, ingest_date
    from spymaster_assets.landing import Landing
    from spymaster_assets.maker import Maker
    from spymaster_assets.quality import examine
    from spymaster_assets.tables import BRONZE

    lake = _silver(root).lake
    ingest_date(Intake(DATE, lake, Landing(lake.root / "landing", lake.config)))
    maker = Maker(DATE, lake)
    for stage in EVERY_STAGE:
        maker.make(stage)
    for table in (*BRONZE, *(table for stage in EVERY_STAGE for table in stage.tables)):
        examine(lake, table, DATE, EVERY_CHECK)
    date_picture(lake, DATE, duckdb.connect())
    gold_picture(lake, DATE)
    return 1, 0


IN_MEMORY = 1_000_000  # records of the stages that work in memory


@dataclass(frozen=True)
class Stage:
    """A stage, its floor and its peer. `goal`: what we want, in words; `needs`: what is loaded before the clock starts."""

    name: str
    ours: Work
    floor: Work | None
    peer: Work | None
    goal: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Later:
    """A function of another file of benchmarks, imported once it is called: its libraries take seconds."""

    module: str
    name: str

    @property
    def work(self) -> Work:
        return getattr(import_module(f"benchmarks.{self.module}"), self.name)

    def __call__(self, root: Path) -> tuple[int, int]:
        return self.work(root)


def _later(module: str, *names: str | None) -> tuple[Any, ...]:
    return tuple(Later(module, name) if name else None for name in names)


STAGES = (
    Stage("decode DBN.zst", decode, decode_floor, decode_peer, "1.3x floor"),
    Stage("bronze MBP-10", bronze, bronze_floor, bronze_peer, "1.2x floor, 1.4x peer"),
    Stage("grid kernel", grid_kernel, grid_kernel_floor, grid_kernel_peer, "60 ns, 3x peer", ("rows", "frame", "day")),
    Stage("grid from Bronze", grid, grid_floor, grid_peer, "900 ns, 3x peer", ("day",)),
    Stage("features, per moment", features, None, None, "100,000 ns", ("day",)),
    Stage("score, per touch and snap", signals, None, None, "10,000 ns for its inputs", ("day",)),
    Stage("implied volatility and gamma, per option", implied, None, implied_peer, "500 ns: 2 M a second", ("options",)),
    Stage("Silver of a date", silver, grid_floor, None, "2,000 ns: 15 M records in 30 s", ("day",)),
    Stage("a date, landing to Gold", date, None, date_peer if NAUTILUS else None, "4,000 ns: 15 M records in 60 s; 6x peer"),
    Stage(
        "retrieval, per query of 256 at once", *_later("retrieval", "batch", "batch_floor", "batch_peer"), "1.2x peer", ("points",)
    ),
    Stage("retrieval, per query alone", *_later("retrieval", "single", "single_floor", "single_peer"), "1.2x peer", ("points",)),
    Stage("trees, per row trained", *_later("models", "trees", None, "trees_peer"), "1x peer", ("problem",)),
    Stage("trees, per snap of 8 levels scored", *_later("models", "scoring", None, None), "1,000,000 ns", ("served",)),
    Stage("simulator, per record", *_later("models", "simulator", "simulator_floor", None), "60 s for 15 M records", ("rows",)),
    Stage("orchestration, per date", orchestration, orchestration_floor, None, "1.5e9 ns beyond its floor", ("day",)),
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
