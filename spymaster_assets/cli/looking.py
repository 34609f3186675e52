"""Commands that look at what is there: status, outcomes, inspect, sql, doctor."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spymaster_assets.cli.group import DAGSTER, TradingDates, dagster_home, main, the_lake

if TYPE_CHECKING:
    pass


@main.command()
@click.option("--dates", type=TradingDates(), help="Only these trading dates.")
@click.option("--tables", is_flag=True, help="Every table, not only the stages.")
def status(dates: list[dt.date] | None, tables: bool) -> None:
    """Trading dates by stages: rows, what is missing, refused or stale and why, disk used."""
    from spymaster_assets.status import MARKS, WORDS, Status

    lake = the_lake()
    found = Status(lake, dates)
    if not found.dates:
        for line in found.landing():
            click.echo(line)
        raise click.ClickException(found.nothing())
    for line in found.by_table() if tables else found.by_stage():
        click.echo(line)
    click.echo("\n" + "   ".join(f"{mark} {WORDS[state]}" for state, mark in MARKS.items()))
    click.echo("Each table: spymaster status --tables. What the checks say of a date: spymaster day DATE\n")
    for line in (*found.reasons(), "", *found.disk()):
        click.echo(line)


@main.command()
@click.option("--dates", type=TradingDates(), help="Only these trading dates.")
def outcomes(dates: list[dt.date] | None) -> None:
    """How touches came out, level by level, beside what chance would do."""
    from spymaster_assets.outcomes import table

    click.echo("\n".join(table(the_lake(), dates)))


@main.command()
@click.argument("date", type=TradingDates())
@click.option(
    "--out",
    "--output",
    "output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write it (default: inspect/DATE.html).",
)
def inspect(date: list[dt.date], output: Path | None) -> None:
    """One HTML file about a trading date: price and levels, touches and outcomes, flow, every number of a touch."""
    from spymaster_assets.inspection import page
    from spymaster_assets.lake import LakeError

    if len(date) != 1:
        raise click.BadParameter(f"expected one date, found {len(date)}", param_hint="DATE")
    lake = the_lake()
    path = output or lake.root / "inspect" / f"{date[0]}.html"
    try:
        text = page(lake, date[0])
    except LakeError as error:
        raise click.ClickException(f"{error}; make it with: spymaster day {date[0]}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    click.echo(f"{path} ({len(text) / 1e6:.1f} MB); open it in a browser")


@main.command()
@click.argument("query")
@click.option("--csv", "as_csv", is_flag=True, help="As CSV, with every row.")
def sql(query: str, as_csv: bool) -> None:
    """Ask the lake in SQL: views gold_training, silver_touches, bronze_futures_mbp10, ... (`show tables`), each with a date.

    The same views stand in spymaster.duckdb in the data folder, for any SQL tool.
    """
    import csv

    import duckdb

    from spymaster_assets import catalog

    lake = the_lake()
    if not lake.url and not lake.root.exists():
        raise click.ClickException(f"{lake.root} is not there: simulate or ingest something first, or name another folder (--data)")
    try:
        answer = catalog.connect(lake, query=query).sql(query)
        if answer is None:  # a statement without rows
            return  # type: ignore[unreachable]
        if as_csv:
            writer = csv.writer(sys.stdout)
            writer.writerow(answer.columns)
            writer.writerows(answer.fetchall())
        else:
            click.echo(str(answer), nl=False)
    except duckdb.Error as error:
        raise click.ClickException(" ".join(str(error).partition("\n\nLINE ")[0].split())) from error


@main.command("doctor")
def examine() -> None:
    """Look for trouble: installation, disk, landing, downloads, stored hashes, models, refused and missing dates, live."""
    from itertools import chain

    from spymaster_assets import doctor
    from spymaster_assets.finding import counted

    problems, lake = 0, the_lake()
    for finding in chain(
        doctor.examine_installation(), doctor.examine_dagster(dagster_home(lake.root), DAGSTER),
        doctor.examine_lake(lake), doctor.examine_models(lake), doctor.examine_downloads(lake), doctor.examine_live(lake.root),
    ):  # fmt: skip
        click.echo(str(finding))
        problems += not finding.well
    click.echo(f"\n{counted(problems)}")
    if problems:
        sys.exit(1)
