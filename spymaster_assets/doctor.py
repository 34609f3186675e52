"""Looking for trouble: is the installation complete, is what is stored what was written, is anything missing, does live run."""

from __future__ import annotations

import datetime as dt
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from spymaster_assets.config import KEY, KEY_FILE, vendor_key
from spymaster_assets.daily import EVERY, refused
from spymaster_assets.finding import Finding
from spymaster_assets.lake import Lake, LakeError
from spymaster_assets.landing import Landing, landing_of
from spymaster_assets.models.artifacts import GEOMETRY, Artifacts
from spymaster_assets.progress import terminal
from spymaster_assets.schema import Table
from spymaster_assets.sessions import calendar
from spymaster_assets.staged import damaged, dates_downloaded, unfinished
from spymaster_assets.tables import FUTURES_MBP10, TABLES, TRAINING
from spymaster_assets.tables.predictions import MEMBERS
from spymaster_assets.whole import broken

NEEDED = (
    "spymaster",
    "dagster",
    "dagster-webserver",
    "dagster-duckdb",
    "databento",
    "duckdb",
    "numba",
    "numpy",
    "pyarrow",
    "exchange-calendars",
)
LIVE_SECONDS = 60.0  # for what live says of itself


def examine_installation() -> Iterator[Finding]:
    """Python and the packages that everything stands on."""
    yield Finding(sys.version_info >= (3, 11), f"Python {sys.version.split()[0]} (3.11 or later)")
    for package in NEEDED:
        try:
            yield Finding(True, f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            yield Finding(False, f"{package} is not installed: run `make install`, or docs/release.md says how to install")


def examine_lake(lake: Lake) -> Iterator[Finding]:
    """Landing files, stored partitions against their hashes, leftovers of killed writers, refused and missing dates, disk."""
    yield Finding(True, f"configuration {lake.config.digest()}")
    if lake.url:
        lake.root.mkdir(parents=True, exist_ok=True)
        try:
            lake.store.prove()
        except OSError as error:
            yield Finding(False, str(error))
            return
        yield Finding(True, f"{lake.url} can be written to, and puts there depend on what is there")
    if not lake.root.exists():
        yield Finding(False, f"{lake.root} is not there: simulate or ingest something first, or name another folder (--data)")
        return
    free, least = shutil.disk_usage(lake.root).free, lake.config.doctor.disk_bytes_min
    wanted = "" if free >= least else f", expected {least / 1e9:,.1f} GB: docs/operate.md#disk says what may go"
    yield Finding(free >= least, f"{free / 1e9:,.1f} GB free at {lake.root}{wanted}")
    landing = landing_of(lake)
    files = landing.scan()
    yield Finding(True, f"landing: {len(files)} DBN files, {sum(not file.problem for file in files)} used")
    for file in files:
        if trouble := file.problem or broken(landing.path(file)):
            yield Finding(False, f"landing/{file.path}: {trouble}")
    yield from _partitions(lake)
    for date in lake.dates(FUTURES_MBP10):  # as Bronze was made: it keeps what landing lost since
        found = lake.published(FUTURES_MBP10, date)
        coverage = found.facts["coverage"] if found else {}
        if not all(state.startswith("full") for state in coverage.values()):
            yield Finding(False, f"{date}: MBP-10 coverage {', '.join(f'{day} {state}' for day, state in coverage.items())}")
    for table in (FUTURES_MBP10, TRAINING):
        yield from _missing(lake, table)
    for table in EVERY:
        verdicts = {date: refused(lake, table, date) for date in lake.dates(table)}
        for date, names in verdicts.items():
            for name in names or ():
                yield Finding(False, f"{date} {table.stage}/{table.name}: blocking check {name} failed; see spymaster status")
        unjudged = [date for date, names in verdicts.items() if names is None]
        if unjudged:
            yield Finding(False, f"{table.stage}/{table.name}: not judged as it is now: {_listed(unjudged)}; run these dates again")


def _listed(dates: list[dt.date]) -> str:
    return ", ".join(map(str, dates[:5])) + (" ..." if len(dates) > 5 else "")


def examine_models(lake: Lake) -> Iterator[Finding]:
    """Every file of every model against its hash, and whether the champion is there."""
    artifacts = Artifacts(lake)
    looked, wrong = 0, 0
    for name in MEMBERS:
        seen: set[str] = set()  # dates of a week name the same folder
        for date in artifacts.dates(name):
            try:
                manifest = artifacts.manifest(name, date)
                if manifest is None or manifest.content in seen:
                    continue
                seen.add(manifest.content)
                artifacts.folder(manifest)
            except LakeError as error:
                wrong += 1
                yield Finding(False, f"{date}: {error}")
        looked += len(seen)
    if looked or wrong:
        yield Finding(not wrong, f"models: {looked - wrong} of {looked} are what their manifests say")
    try:
        name = artifacts.champion()["name"]
    except LakeError as error:
        yield Finding(False, str(error))
        return
    there = name == GEOMETRY or artifacts.dates(name)
    yield Finding(
        bool(there), f"{name} serves" if there else f"{name} serves, and no date has a model of it: spymaster walk-forward"
    )


def _missing(lake: Lake, table: Table) -> Iterator[Finding]:
    """Trading dates between the lake's first and last that a table lacks."""
    dates, book = lake.dates(table), lake.dates(FUTURES_MBP10)
    missing = sorted(set(calendar(lake.config).dates(book[0], book[-1])) - set(dates)) if book else []
    if missing:
        listed = ", ".join(map(str, missing[:10])) + (" ..." if len(missing) > 10 else "")
        yield Finding(
            False, f"{table.stage}/{table.name}: {len(missing)} trading dates missing between {book[0]} and {book[-1]}: {listed}"
        )


def examine_downloads(lake: Lake) -> Iterator[Finding]:
    """Whether there is a key for the vendor, and whether what was downloaded is there as it came."""
    try:
        told = "there is a key" if vendor_key() else f"no key, nothing can be downloaded (set {KEY} or {KEY_FILE})"
        yield Finding(True, f"vendor: {told}")
    except ValueError as error:
        yield Finding(False, f"vendor: {error}")
    landing = Landing(lake.root / "landing", lake.config)
    dates, wrong = dates_downloaded(landing), 0
    for date in dates:
        try:
            found = damaged(landing, date)
        except ValueError as error:
            found = [str(error)]
        wrong += bool(found)
        for one in found:
            yield Finding(False, f"{one}: spymaster download --from {date} --to {date} brings it again")
    if dates:
        yield Finding(not wrong, f"downloads: {len(dates) - wrong} of {len(dates)} dates are as they came")
    for state in unfinished(landing):
        day = state.parent.name
        yield Finding(False, f"{state.stem} of {day} is on its way: spymaster download --from {day} --to {day} goes on with it")


def examine_live(root: Path) -> Iterator[Finding]:
    """What `python -m spymaster_live doctor` finds: live is a package that this one does not know."""
    words = [sys.executable, "-m", "spymaster_live", "--data", str(root), "doctor"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=LIVE_SECONDS)
    except subprocess.TimeoutExpired:
        yield Finding(False, f"live: no answer within {LIVE_SECONDS:.0f} s")
        return
    found = [finding for line in done.stdout.splitlines() if (finding := Finding.read(line))]
    yield from found
    if not found:
        absent = "No module named" in done.stderr
        said = done.stderr.strip().rpartition("\n")[2]
        yield Finding(absent, f"live is not installed ({said})" if absent else f"live: {said}")


def examine_dagster(home: Path, settings: Path) -> Iterator[Finding]:
    """Whether Dagster's instance has the project's settings."""
    if not home.exists():
        yield Finding(True, f"no Dagster instance at {home} yet; the first run makes it")
        return
    mine = home / "dagster.yaml"
    same = mine.exists() and settings.exists() and mine.read_bytes() == settings.read_bytes()
    yield Finding(
        same,
        f"{mine} is the project's" if same else f"{mine} is not the project's dagster.yaml: copy it, or run `make dev`",
    )


def _partitions(lake: Lake) -> Iterator[Finding]:
    """Every published partition read back and compared with its manifest; those with other columns than now are named."""
    stored, show, wrong = list[tuple[Table, dt.date]](), terminal(), 0
    for table in TABLES.values():
        dates = lake.dates(table)
        older = [date for date in dates if (found := lake.published(table, date)) and found.fingerprint.schema != table.digest]
        stored += [(table, date) for date in dates if date not in older]
        if older:
            told = f"other columns than now, of another version: {_listed(older)}; run these dates again"
            yield Finding(False, f"{table.stage}/{table.name}: {told}")
    for done, (table, date) in enumerate(stored, 1):
        show("verifying partitions", done, len(stored))
        try:
            trouble = lake.verify(table, date, fresh=True)
        except LakeError as error:
            trouble = str(error)
        if trouble:
            wrong += 1
            again = f"; make it again: spymaster day {date} --force" if table in EVERY else ""
            yield Finding(False, f"{table.stage}/{table.name} {date}: {trouble}{again}")
            continue
        for path in lake.leftovers(table, date):
            yield Finding(False, f"{path}: left by a writer that was killed; the next run of the date removes it")
    yield Finding(not wrong, f"{len(stored) - wrong} of {len(stored)} partitions are what their manifests say")
