"""Commands that make dates: day, backfill, train, walk-forward, report."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spymaster_assets.cli.group import TradingDates, main, prepare_dagster, the_lake
from spymaster_assets.config import load
from spymaster_assets.sessions import calendar

if TYPE_CHECKING:
    from spymaster_assets.backfill import Outcome
    from spymaster_assets.lake import Lake


@main.command()
@click.argument("dates", type=TradingDates())
@click.option("--force", is_flag=True, help="Make the tables again even if nothing changed.")
def day(dates: list[dt.date], force: bool) -> None:
    """Make the tables of a trading date, or of a range of them, now. Runs are recorded in Dagster."""
    from spymaster_assets.daily import run_dates

    lake, failed = the_lake(), False
    prepare_dagster(lake.root)
    for report in run_dates(lake, dates, force):
        click.echo("\n".join(report.lines))
        failed |= not report.succeeded
    if not _publish_views(lake) or failed:
        sys.exit(1)


@main.command()
@click.argument("first", type=click.DateTime(["%Y-%m-%d"]), metavar="FROM")
@click.argument("last", type=click.DateTime(["%Y-%m-%d"]), metavar="TO")
@click.option("--workers", type=click.IntRange(min=1), help="Processes (default: one a core).")
def backfill(first: dt.datetime, last: dt.datetime, workers: int | None) -> None:
    """Make all trading dates FROM ... TO, in parallel. Interrupted or killed, run it again: it goes on where it was."""
    from spymaster_assets.backfill import backfill as fill
    from spymaster_assets.backfill import default_workers

    lake, dates = the_lake(), calendar(load()).dates(first.date(), last.date())
    if not dates:
        raise click.ClickException(f"no trading date from {first.date()} to {last.date()}")
    prepare_dagster(lake.root)
    outcome = fill(lake, dates, workers or default_workers())
    _conclude(lake, dates, outcome, "are complete", "were so before", "no book in landing")


@main.command()
@click.argument("dates", type=TradingDates())
def train(dates: list[dt.date]) -> None:
    """Train the models as of a trading date, from earlier dates, now: those to use on it. Works before the date is over."""
    from spymaster_assets.maker import TROUBLE
    from spymaster_assets.models.as_of import as_of
    from spymaster_assets.progress import terminal
    from spymaster_assets.tables.predictions import MEMBERS
    from spymaster_assets.training import Trainer

    lake = the_lake()
    trainer = Trainer(lake, terminal())
    for date in dates:
        if not as_of(lake, date).dates:
            raise click.ClickException(
                f"{date}: nothing to learn from: no date of its window has Gold (spymaster backfill FROM TO makes it);"
                f" a model needs {lake.config.models.min_dates} dates"
            )
        for name in MEMBERS:
            try:
                made = trainer.make(name, date)
            except TROUBLE as error:
                raise click.ClickException(str(error)) from error
            click.echo(f"{date} {name:<10} {made.told}")


@main.command("walk-forward")
@click.option("--dates", type=TradingDates(), help="Which trading dates; all that have Gold.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes (default: one a core).")
def walk(dates: list[dt.date] | None, workers: int | None) -> None:
    """Models of every date from the dates before it, and what they say of it: predictions that are all out of sample.

    Runs are recorded in Dagster. Interrupted or killed, run it again: it goes on where it was.
    """
    from spymaster_assets.backfill import default_workers, walk_forward
    from spymaster_assets.evaluating import untrained
    from spymaster_assets.tables import TRAINING

    lake = the_lake()
    wanted = dates or lake.dates(TRAINING)
    if not wanted:
        raise click.ClickException(f"no date below {lake.root} has Gold: spymaster backfill FROM TO makes it")
    prepare_dagster(lake.root)
    outcome = walk_forward(lake, wanted, workers or default_workers())
    there = [date for date in wanted if date not in outcome.bad and date not in outcome.absent]
    _conclude(lake, wanted, outcome, "have models and predictions", "had before", "no Gold", untrained(lake, there))


@main.command()
@click.argument("date", type=TradingDates(), required=False)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Copy the page here, too.")
@click.option("--ablations", is_flag=True, help="Train trees with some families of features, too (minutes).")
def report(date: list[dt.date] | None, out: Path | None, ablations: bool) -> None:
    """What all predictions up to a date (the latest) were worth, and which model serves from now on."""
    from spymaster_assets.evaluating import NAME, evaluate, found_by
    from spymaster_assets.maker import TROUBLE
    from spymaster_assets.models.report import decided
    from spymaster_assets.models.report_words import headline, serving
    from spymaster_assets.progress import terminal
    from spymaster_assets.promoting import promote
    from spymaster_assets.tables import PREDICTIONS

    lake = the_lake()
    known = lake.dates(PREDICTIONS)
    if not known:
        raise click.ClickException("no predictions yet; spymaster walk-forward makes them")
    day = date[-1] if date else known[-1]
    try:
        manifest = evaluate(lake, day, terminal(), ablations)
        decision = promote(lake, day)
    except TROUBLE as error:
        raise click.ClickException(str(error)) from error
    page = lake.root / "models" / NAME / manifest.content / "report.html"
    found = found_by(lake, manifest)
    click.echo("\n".join([*headline(found), *serving(found, decision)]))
    if out:
        out.write_text(decided(page.read_text(), found, decision))
    click.echo(f"Report: {out or page}")


def _conclude(lake: Lake, dates: list[dt.date], outcome: Outcome, done: str, before: str, absent: str, note: str = "") -> None:
    """Say what became of many dates, and a note, and renew the SQL views; exit with 1 unless all is well."""
    fine = [date for date in dates if date not in outcome.bad and date not in outcome.absent]
    unchanged = sum(date not in outcome.made for date in fine)
    click.echo(f"{len(fine)} of {len(dates)} trading dates {done}, {unchanged} of them {before}")
    if note:
        click.echo(note)
    for date, trouble in sorted(outcome.bad.items()):
        click.echo(f"bad: {date}: {'; '.join(trouble)}")
    if outcome.absent:
        click.echo(f"{absent}: {', '.join(map(str, outcome.absent))}")
    if not _publish_views(lake) or outcome.bad or outcome.absent:
        sys.exit(1)


def _publish_views(lake: Lake) -> bool:
    """Renew spymaster.duckdb; what goes wrong there is said in a line, and is no trouble of a date."""
    import duckdb

    from spymaster_assets import catalog

    if lake.url:  # views in a file would read a folder
        return True
    try:
        catalog.publish(lake)
    except (OSError, duckdb.Error) as error:
        click.echo(f"{lake.root / catalog.FILE} was not renewed: {' '.join(str(error).split())}", err=True)
        return False
    return True
