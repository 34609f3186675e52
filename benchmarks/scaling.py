"""How cost grows: `python -m benchmarks.scaling [--only records|dates|options|clients]` renews its tables in docs/scaling.md.

    records  a date of more and more records, landing to Gold with every check: seconds, CPU, memory, bytes
    dates    a lake of more and more dates: backfill, and what reads all of it
    options  a date of more and more option trades: the tables that read them
    clients  a gateway with more and more clients

Each figure is that of a process of its own, which has done the same with a small date before, so that nothing is imported or
compiled within. What is simulated stays in --data, and a run that was ended goes on there. What it takes: docs/scaling.md.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from benchmarks.growth import PAGE, renew, shares, table

DATE = dt.date(2025, 6, 3)
FIRST = dt.date(2024, 3, 4)  # of the lake that grows
SMALL = 30_000  # records of a regular session: with far fewer Gold's check `coverage` refuses the date
SIZES: dict[str, tuple[int, ...]] = {
    "records": (1_000_000, 5_000_000, 15_000_000, 30_000_000),
    "dates": (1, 20, 250),
    "options": (2_000, 10_000, 30_000, 60_000),
    "clients": (1, 10, 100, 1_000),
}
OPTIONS_RECORDS = 300_000  # of the dates that differ in option trades
COMMAND = [sys.executable, "-c", "import sys; from spymaster_assets.cli import run; run()"]
Row = Mapping[str, float]


def _used() -> tuple[float, float]:
    """Now, and CPU seconds of this process and its children that ended."""
    own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter(), own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


def _since(before: tuple[float, float]) -> tuple[float, float]:
    """Wall and CPU seconds since then."""
    now = _used()
    return now[0] - before[0], now[1] - before[1]


def _simulated(root: Path, dates: Sequence[dt.date], events: int, trades: int | None = None) -> Path:
    """The folder whose landing holds the dates, simulated unless it is there. `trades`: about so many in options."""
    from spymaster_assets.config import Config
    from spymaster_assets.progress import terminal
    from spymaster_assets.simulator import options
    from spymaster_assets.simulator.write import simulate

    done = root / "simulated"
    if not done.exists():
        usual = options.EVENTS_PER_TRADE
        options.EVENTS_PER_TRADE = max(1, events // trades) if trades else usual  # type: ignore[misc]
        try:
            simulate(root / "landing", dates, events_per_session=events, seed=1, config=Config(), on_progress=terminal())
        finally:
            options.EVENTS_PER_TRADE = usual  # type: ignore[misc]
        done.touch()
    return root


# ---- measured in a process of its own ----


def _date(root: Path) -> dict[str, float]:
    """The date in `root`/landing, to Gold as `spymaster day` makes it; the small one in `root`/../small before."""
    from benchmarks.stages import DAGSTER
    from spymaster_assets.config import Config
    from spymaster_assets.daily import Runner
    from spymaster_assets.lake import Lake
    from spymaster_assets.store import size_of
    from spymaster_assets.tables import BRONZE, FUTURES_MBP10, GOLD, OPTION_TRADES, SILVER

    with tempfile.TemporaryDirectory(dir=root) as folder:
        home = Path(folder) / "dagster"
        home.mkdir()
        (home / "dagster.yaml").write_bytes(DAGSTER.read_bytes())
        os.environ["DAGSTER_HOME"] = str(home)
        for name, source in (("warm", root.parent / "small"), ("measured", root)):
            data = Path(folder) / name
            data.mkdir()
            (data / "landing").symlink_to(source / "landing")
            runner = Runner(Lake(data, Config()))
            _forget_peak()
            before = _used()
            report = runner.run(DATE)
            assert report.succeeded, report.trouble
            wall, cpu = _since(before)
        lake = runner.lake
        stored = {
            name: sum(found.size for one in tables if (found := lake.manifest(one, DATE)))
            for name, tables in (("Bronze", BRONZE), ("Silver", SILVER), ("Gold", GOLD))
        }
        book, trades = lake.manifest(FUTURES_MBP10, DATE), lake.manifest(OPTION_TRADES, DATE)
        assert book and trades
        found = {"records": sum(file["read"] for file in book.facts["files"]), "trades": trades.rows}
        sizes = {f"{name} MB": size / 1e6 for name, size in ({"landing": size_of(root / "landing")} | stored).items()}
        return found | {"wall s": wall, "CPU s": cpu, "peak MB": _peak() / 1e6} | sizes


def _forget_peak() -> None:
    """Have the kernel count this process's peak memory from now on."""
    Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """The most memory that this process had since, bytes."""
    return next(
        int(line.split()[1]) << 10 for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )


def _stages(root: Path) -> dict[str, float]:
    """CPU of each table of Bronze and each stage after it of the date in `root`, made the second time."""
    from spymaster_assets.config import Config
    from spymaster_assets.gold import STAGES
    from spymaster_assets.ingest import Intake
    from spymaster_assets.lake import Lake
    from spymaster_assets.landing import Landing
    from spymaster_assets.maker import Maker
    from spymaster_assets.schema import Table
    from spymaster_assets.tables import BRONZE, OPTION_TRADES

    with tempfile.TemporaryDirectory(dir=root) as folder:
        lake = Lake(Path(folder), Config())
        landing = Landing(root / "landing", lake.config, Path(folder) / "index.json")
        found: dict[str, float] = {}
        for _ in range(2):  # warm, then measured
            maker, intake = Maker(DATE, lake), Intake(DATE, lake, landing)
            for one in (*BRONZE, *STAGES):
                before = _used()
                if isinstance(one, Table):
                    intake.ingest(one, force=True)
                else:
                    maker.make(one, force=True)
                found[one.name] = _since(before)[1]
        trades = lake.manifest(OPTION_TRADES, DATE)
        assert trades
        bronze = sum(found[name] for name in ("option_trades", "option_quotes", "option_statistics"))
        told = {"Bronze of options": bronze, "option flow": found["option_flow"], "features": found["features"]}
        told |= {"signals": found["signals"], "all of the date": sum(found.values())}
        return {"trades": trades.rows} | {f"{name}, CPU s": cpu for name, cpu in told.items()}


MEASURED: dict[str, Callable[[Path], dict[str, float]]] = {"date": _date, "stages": _stages}


def _measured(what: str, root: Path, repeats: int) -> dict[str, float]:
    """The medians of some runs, each in a process of its own."""
    runs = []
    for _ in range(repeats):
        words = [sys.executable, "-m", "benchmarks.scaling", "--measure", what, str(root)]
        done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    return {name: statistics.median(one[name] for one in runs) for name in runs[0]}


# ---- pieces ----


def records(options: argparse.Namespace) -> Iterator[str]:
    """A date of more and more records."""
    _simulated(options.data / "small", [DATE], SMALL)
    rows = {}
    for size in tqdm(options.sizes or SIZES["records"], desc="records", disable=None):
        root = _simulated(options.data / f"records{size}", [DATE], size * 100 // 117)
        found = _measured("date", root, options.repeats if size <= 5_000_000 else 1)
        rows[found.pop("records")] = {name: value for name, value in found.items() if name != "trades"}
    spelled = {"wall s": ".1f", "CPU s": ".1f", "peak MB": ",.0f"}
    spelled |= {f"{stage} MB": ",.1f" for stage in ("landing", "Bronze", "Silver", "Gold")}
    yield table("records", rows, spelled)
    fixed, each = shares([*rows], [row["CPU s"] for row in rows.values()])
    yield f"\nCPU as a straight line: {fixed:.1f} s a date and {each * 1e6:.2f} us a record more."


def options(options: argparse.Namespace) -> Iterator[str]:
    """A date of more and more option trades."""
    rows = {}
    for size in tqdm(options.sizes or SIZES["options"], desc="option trades", disable=None):
        root = _simulated(options.data / f"options{size}", [DATE], OPTIONS_RECORDS, size)
        found = _measured("stages", root, options.repeats)
        rows[found.pop("trades")] = found
    yield table("option trades", rows, dict.fromkeys(next(iter(rows.values())), ".2f"))


def clients(options: argparse.Namespace) -> Iterator[str]:
    """A gateway with more and more clients, 2,000 bytes to each four times a second."""
    from benchmarks.gateway import EVERY_SECONDS, measured

    rows = {}
    for count in tqdm(options.sizes or SIZES["clients"], desc="clients", disable=None):
        runs = [measured("ours", count, 2_000, options.seconds) for _ in range(options.repeats)]
        frames = count * options.seconds / EVERY_SECONDS
        middle = [statistics.median(values) for values in zip(*((one.p50, one.p99, one.cpu) for one in runs), strict=True)]
        rows[count] = {
            "p50 ms": middle[0],
            "p99 ms": middle[1],
            "CPU %": 100 * middle[2] / options.seconds,
            "CPU us a message": 1e6 * middle[2] / frames,
        }
    yield table("clients", rows, {"p50 ms": ".2f", "p99 ms": ".2f", "CPU %": ".1f", "CPU us a message": ".0f"})


def _ran(words: Sequence[str], repeats: int, warm: bool = True) -> tuple[float, float]:
    """Median wall and CPU seconds of a command, after one that does not count."""
    found = []
    for _ in range(repeats + warm):
        before = _used()
        done = subprocess.run(words, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode and "doctor" not in words:  # which also finds that dates are missing
            raise SystemExit(f"{' '.join(words)}: {done.stderr}")
        found.append(_since(before))
    wall, cpu = (statistics.median(values) for values in zip(*found[warm:], strict=True))
    return wall, cpu


LOADING = "import dagster; from spymaster_assets.definitions import defs; defs.resolve_asset_graph()"
QUERY = "select date, count(*), avg(sigma) from gold_training group by date"
ONE_DATE = "select count(*) from silver_snaps where date = '{}'"


def _supply(source: Path, landing: Path, last: dt.date) -> None:
    """Link what there is up to a date into another landing folder."""
    for file in source.rglob("*.dbn.zst"):
        target = landing / file.relative_to(source)
        if file.name.split("-")[2][:8] <= f"{last:%Y%m%d}" and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(file, target)


def dates(options: argparse.Namespace) -> Iterator[str]:
    """A lake of more and more small dates."""
    from spymaster_assets.config import Config
    from spymaster_assets.lake import Lake
    from spymaster_assets.sessions import calendar
    from spymaster_assets.tables import TRAINING

    sizes = options.sizes or SIZES["dates"]
    every = calendar(Config()).dates(FIRST, FIRST + dt.timedelta(2 * max(sizes) + 10))[: max(sizes)]
    source, root = _simulated(options.data / "every", every, SMALL), options.data / "lake"
    os.environ |= {"SPYMASTER_DATA": str(root), "DAGSTER_HOME": str(root / "dagster")}
    _measured("date", _simulated(options.data / "small", [DATE], SMALL), 1)  # kernels are compiled
    kept = root / "figures.json"  # of sizes that are done
    known: dict[str, dict[str, float]] = json.loads(kept.read_text()) if kept.exists() else {}
    for size in tqdm(sizes, desc="dates", disable=None):
        if str(size) in known:
            continue
        there, last = len(Lake(root, Config()).dates(TRAINING)), every[size - 1]
        _supply(source / "landing", root / "landing", last)
        wall, cpu = _ran([*COMMAND, "backfill", str(every[0]), str(last)], 1, warm=False)
        row = {"dates a minute": 60 * (size - there) / wall, "CPU s a date": cpu / (size - there)}
        for name, words in {
            "backfill, nothing to do": ["backfill", str(every[0]), str(last)], "status": ["status"], "doctor": ["doctor"],
            "SQL, all dates": ["sql", QUERY], "SQL, one date": ["sql", ONE_DATE.format(last)],
        }.items():  # fmt: skip
            row[name] = _ran([*COMMAND, *words], options.repeats)[1]
        row["definitions"] = _ran([sys.executable, "-c", LOADING], options.repeats)[1]
        row["models of a date"] = _ran([*COMMAND, "walk-forward", "--dates", str(last), "--workers", "1"], 1, warm=False)[1]
        known[str(size)] = row
        kept.write_text(json.dumps(known, indent=1))
    rows = {int(size): row for size, row in known.items()}
    yield "CPU seconds, but for dates a minute.\n"
    yield table("dates", rows, dict.fromkeys(next(iter(rows.values())), ".2f"))


PIECES: dict[str, Callable[[argparse.Namespace], Iterator[str]]] = {
    "records": records, "dates": dates, "options": options, "clients": clients,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[*PIECES], help="one piece alone")
    parser.add_argument("--sizes", type=int, nargs="+", help="other sizes than the piece's (with --only)")
    parser.add_argument("--repeats", type=int, default=3, help="of what takes less than a minute")
    parser.add_argument("--seconds", type=float, default=8.0, help="that clients are told something")
    parser.add_argument("--data", type=Path, help="keep what is simulated here (default: a temporary folder)")
    parser.add_argument("--note", default="", help="what else is to be said of the machine, e.g. that it is busy")
    parser.add_argument("--print", action="store_true", help="do not write into docs/scaling.md")
    parser.add_argument("--measure", nargs=2, metavar=("WHAT", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(MEASURED[options.measure[0]](Path(options.measure[1]))))
        return
    if options.sizes and not options.only:
        parser.error("--sizes belongs to --only")
    with tempfile.TemporaryDirectory() as temporary:
        options.data = (options.data or Path(temporary)).absolute()
        options.data.mkdir(parents=True, exist_ok=True)
        for name in [options.only] if options.only else PIECES:
            text = "\n".join(PIECES[name](options)) + f"\n\n{_machine(options.note)}"
            print(text, flush=True)
            if not options.print:
                renew(PAGE, name, text)


def _machine(note: str) -> str:
    return f"{dt.date.today()}, {os.cpu_count()} cores, {platform.machine()}{f'; {note}' if note else ''}."


if __name__ == "__main__":
    main()
