"""The command line: spymaster simulate | ingest | day | inspect | status | docs | doctor.

Dates are trading dates; a range is FROM:TO, both included. Everything lives below the data folder (--data, SPYMASTER_DATA, ./data).
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spymaster_assets.config import data_root, load
from spymaster_assets.sessions import NotATradingDate, calendar

if TYPE_CHECKING:
    from spymaster_assets.ingest import Intake
    from spymaster_assets.lake import Lake, Manifest
    from spymaster_assets.landing import LandingFile
    from spymaster_assets.schema import Table
    from spymaster_assets.silver import Silver

PROJECT = Path(__file__).parents[1]
MARKS = {"fresh": "✓", "holes": "!", "absent": "-", "stale": "~", "missing": "·"}
SHORT = {"futures": "fut", "option": "opt", "statistics": "stats", "definitions": "defs"}  # for column heads


class TradingDates(click.ParamType[list[dt.date]]):
    """FROM:TO or a single date, as the trading dates in it."""

    name = "FROM[:TO]"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> list[dt.date]:
        first, _, last = str(value).partition(":")
        try:
            start, end = dt.date.fromisoformat(first), dt.date.fromisoformat(last or first)
        except ValueError:
            self.fail(f"{value!r}: expected a date or FROM:TO, like 2025-06-02 or 2025-06-02:2025-06-06", param, ctx)
        trading = calendar(load())
        try:
            dates = trading.dates(start, end) if last else [trading.require(start)]
        except NotATradingDate as error:
            self.fail(str(error), param, ctx)
        if not dates:
            self.fail(f"no trading date from {start} to {end}", param, ctx)
        return dates


@click.group()
@click.version_option(package_name="spymaster")
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), help="The data folder (default: SPYMASTER_DATA, else ./data)."
)
def main(data: Path | None) -> None:
    """Spymaster: Databento files in, trustworthy tables out."""
    if data is not None:
        os.environ["SPYMASTER_DATA"] = str(data.absolute())
    try:
        load()
    except ValueError as error:
        raise click.ClickException(str(error)) from error


def _lake() -> Lake:
    from spymaster_assets.lake import Lake

    return Lake(data_root(), load())


def _intake(lake: Lake, date: dt.date) -> Intake:
    from spymaster_assets.ingest import Intake
    from spymaster_assets.landing import Landing

    return Intake(date, lake, Landing(lake.root / "landing", lake.config))


@main.command()
@click.option("--dates", type=TradingDates(), required=True, help="Trading dates to simulate.")
@click.option(
    "--events-per-session",
    type=click.IntRange(min=5000),
    default=1_000_000,
    show_default=True,
    help="MBP-10 records in a regular session.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same bytes.")
@click.option(
    "--customer-net",
    type=(str, float),
    multiple=True,
    metavar="DATE SHARE",
    help="Customers' net side in options that day, -1 (all sell) to 1.",
)
def simulate(dates: list[dt.date], events_per_session: int, seed: int, customer_net: tuple[tuple[str, float], ...]) -> None:
    """Write a simulated market as genuine DBN files into landing."""
    from spymaster_assets.progress import terminal
    from spymaster_assets.simulator.truth import Occupied, simulate_with_truth

    try:
        net = {dt.date.fromisoformat(day): share for day, share in customer_net}
        files = simulate_with_truth(_lake(), dates, events_per_session, seed, net, terminal())
    except (Occupied, ValueError) as error:
        raise click.ClickException(str(error)) from error
    size = sum(path.stat().st_size for path in files) / 1e6
    click.echo(f"{len(dates)} trading dates in {len(files)} DBN files, {size:,.1f} MB, below {_lake().root / 'landing'}")


@main.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--move", is_flag=True, help="Move the files instead of copying them.")
def ingest(paths: tuple[Path, ...], move: bool) -> None:
    """Check Databento files whole, bring them into landing, and say which trading dates they serve."""
    from spymaster_assets.landing import ENDINGS, receive

    lake = _lake()
    found = [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    files = [file for file in found if file.is_file() and file.name.endswith(ENDINGS)]
    if not files:
        raise click.ClickException(f"no file ending in {' or '.join(ENDINGS)} among {', '.join(map(str, paths))}")
    from spymaster_assets.progress import terminal

    refused = 0
    for file in files:
        outcome = receive(file, lake.root / "landing", lake.config, move, terminal())
        refused += not outcome.taken
        click.echo(f"{'taken  ' if outcome.taken else 'refused'}  {file}: {outcome.message}")
    if refused:
        sys.exit(1)


@main.command()
@click.argument("dates", type=TradingDates())
@click.option("--force", is_flag=True, help="Make the tables again even if nothing changed.")
def day(dates: list[dt.date], force: bool) -> None:
    """Make the tables of a trading date, or of a range of them, now. Runs are recorded in Dagster."""
    from spymaster_assets.daily import run_date

    lake, failed = _lake(), False
    prepare_dagster(lake.root)
    for date in dates:
        report = run_date(lake, date, force)
        click.echo("\n".join(report.lines))
        failed |= not report.succeeded
    if failed:
        sys.exit(1)


def prepare_dagster(root: Path) -> None:
    """Point DAGSTER_HOME, unless it is set, at `root`/dagster and put the project's dagster.yaml there."""
    home = Path(os.environ.get("DAGSTER_HOME", root / "dagster")).absolute()
    os.environ["DAGSTER_HOME"] = str(home)
    home.mkdir(parents=True, exist_ok=True)
    settings = PROJECT / "dagster.yaml"
    if settings.exists() and not (home / "dagster.yaml").exists():
        shutil.copy(settings, home / "dagster.yaml")


@main.command()
@click.argument("date", type=TradingDates())
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Where to write it (default: inspect/DATE.html).")
def inspect(date: list[dt.date], output: Path | None) -> None:
    """One HTML file about a trading date: price and levels, touches and outcomes, flow, every number of a touch."""
    from spymaster_assets.inspection import page
    from spymaster_assets.lake import LakeError

    if len(date) != 1:
        raise click.BadParameter(f"expected one date, found {len(date)}", param_hint="DATE")
    lake = _lake()
    path = output or lake.root / "inspect" / f"{date[0]}.html"
    try:
        text = page(lake, date[0])
    except LakeError as error:
        raise click.ClickException(f"{error}; make it with: spymaster day {date[0]}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    click.echo(f"{path} ({len(text) / 1e6:.1f} MB); open it in a browser")


@main.command()
@click.option("--dates", type=TradingDates(), help="Only these trading dates.")
def status(dates: list[dt.date] | None) -> None:
    """Trading dates by tables: rows, what is missing or stale and why, disk used."""
    from spymaster_assets.silver import Silver
    from spymaster_assets.tables import BRONZE, SILVER

    lake = _lake()
    shown = dates or _known_dates(lake)
    if not shown:
        raise click.ClickException(
            f"nothing below {lake.root} yet: put Databento files into {lake.root / 'landing'}, or run `spymaster simulate`"
        )
    reasons: list[str] = []
    makers = {date: (_intake(lake, date), Silver(date, lake)) for date in shown}
    for tables in (BRONZE, SILVER):
        heads = ["_".join(SHORT.get(word, word) for word in table.name.split("_")) for table in tables]
        click.echo(f"{tables[0].stage:<10}  " + " ".join(f"{head:>{max(11, len(head))}}" for head in heads))
        for date in shown:
            cells = []
            for table, head in zip(tables, heads, strict=True):
                manifest, why = lake.manifest(table, date), _stale(table, *makers[date])
                state = "missing" if manifest is None else "stale" if why else _completeness(manifest)
                cells.append(
                    f"{(f'{manifest.rows:,} ' if manifest and state != 'absent' else '') + MARKS[state]:>{max(11, len(head))}}"
                )
                if state == "stale":
                    reasons.append(f"{date} {table.name}: {'; '.join(why)}")
            click.echo(f"{date}  " + " ".join(cells))
        click.echo()
    words = {"fresh": "complete", "holes": "files do not cover the whole date", "absent": "no files", "missing": "not made"}
    click.echo("   ".join(f"{mark} {words.get(state, state)}" for state, mark in MARKS.items()))
    click.echo("What the checks say of a date: spymaster day DATE\n")
    if reasons:
        click.echo("\n".join(["stale, made from other input than there is now:", *reasons, ""]))
    for name in ("landing", "bronze", "silver", "truth", "dagster"):
        click.echo(f"{name:<8} {_size(lake.root / name) / 1e6:>10,.1f} MB")
    for file in _landing_files(lake):
        if file.problem:
            click.echo(f"not used: {file.path}: {file.problem}")


def _stale(table: Table, intake: Intake, silver: Silver) -> list[str]:
    """Why a table is not what there would be now."""
    from spymaster_assets.silver import STAGES

    if table.stage == "bronze":
        return intake.stale(table)
    return silver.stale(next(stage for stage in STAGES if table in stage.tables), table)


def _completeness(manifest: Manifest) -> str:
    """How well the files of a partition cover its date, as a key of MARKS."""
    states = list(manifest.facts.get("coverage", {"": "full"}).values())
    return "fresh" if all(state.startswith("full") for state in states) else "absent" if set(states) == {"missing"} else "holes"


def _landing_files(lake: Lake) -> list[LandingFile]:
    from spymaster_assets.landing import Landing

    return Landing(lake.root / "landing", lake.config).scan()


def _known_dates(lake: Lake) -> list[dt.date]:
    """The trading dates whose regular session landing holds books of, or of which a partition is published."""
    from spymaster_assets.landing import dates_served
    from spymaster_assets.tables import BRONZE

    trading = calendar(lake.config)
    books = [file for file in _landing_files(lake) if file.schema == "mbp-10"]
    served = {date for file in books for date in dates_served(file, lake.config) if file.overlaps(*trading.session(date).regular)}
    return sorted(served | {date for table in BRONZE for date in lake.dates(table)})


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.exists() else 0


@main.command()
@click.option("--check", is_flag=True, help="Only say whether they are up to date.")
def docs(check: bool) -> None:
    """Write the generated pages below docs/."""
    from spymaster_assets.tables import markdown

    page, text = PROJECT / "docs" / "tables.md", markdown()
    if not check:
        page.write_text(text)
    elif not page.exists() or page.read_text() != text:
        raise click.ClickException(f"{page} is not what tables.py says; run `make docs`")


@main.command()
def doctor() -> None:
    """Look for trouble: installation, configuration, landing files, stored hashes, leftovers, missing dates."""
    from spymaster_assets.doctor import examine_installation, examine_lake

    problems = 0
    for finding in (*examine_installation(), *examine_lake(_lake())):
        click.echo(f"{'ok     ' if finding.well else 'PROBLEM'}  {finding.message}")
        problems += not finding.well
    click.echo(f"\n{problems} problem{'' if problems == 1 else 's'}" if problems else "\nall well")
    if problems:
        sys.exit(1)
