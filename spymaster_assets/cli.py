"""The command line: spymaster simulate | truth-check | download | ingest | share | day | backfill | train | walk-forward | report |
status | outcomes | inspect | sql | backup | migrate | doctor | docs.

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

from spymaster_assets.config import data_url, load, name_data
from spymaster_assets.object_store import StoreError
from spymaster_assets.sessions import NotATradingDate, calendar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spymaster_assets.backfill import Outcome
    from spymaster_assets.download import Offer, Way
    from spymaster_assets.lake import Lake

PROJECT = Path(__file__).parents[1]


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


class Commands(click.Group):
    """Trouble with the object store is one sentence, whatever the command was at."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except StoreError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Commands)
@click.version_option(package_name="spymaster")
@click.option("--data", help="The data folder, or s3://BUCKET/PREFIX (default: SPYMASTER_DATA, else ./data).")
def main(data: str | None) -> None:
    """Spymaster: Databento files in, trustworthy tables out."""
    try:
        if data is not None:
            name_data(data)
        data_url()
        load()
    except ValueError as error:
        raise click.ClickException(str(error)) from error


def _lake() -> Lake:
    from spymaster_assets.lake import LakeError, opened

    try:
        return opened(load())
    except LakeError as error:
        raise click.ClickException(str(error)) from error


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
@click.option(
    "--world", "named", help="What truly moves the price at levels: NULL, LINEAR, INTERACTION, W, A, G, SHIFT, DUPLICATE, LEAKY."
)
@click.option("--strength", type=click.FloatRange(0, 5), help="Of the world; its own unless named.")
@click.option("--shift", type=click.DateTime(["%Y-%m-%d"]), help="World SHIFT: from which date on the other way; the middle one.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write a page: how real the first date looks.")
@click.option("--real", type=click.Path(exists=True, path_type=Path), help="A genuine MBP-10 file, or its folder, to compare with.")
def simulate(
    dates: list[dt.date], events_per_session: int, seed: int, customer_net: tuple[tuple[str, float], ...],
    named: str | None, strength: float | None, shift: dt.datetime | None, report: Path | None, real: Path | None,
) -> None:  # fmt: skip
    """Write a simulated market as genuine DBN files into landing."""
    from spymaster_assets.progress import terminal
    from spymaster_assets.simulator import realism
    from spymaster_assets.simulator.truth import Occupied, simulate_with_truth
    from spymaster_assets.simulator.world import world_of

    if (strength is not None and not named) or (shift and named != "SHIFT") or (real and not report):
        raise click.UsageError("--strength needs --world, --shift needs --world SHIFT, --real needs --report")
    if report and not report.absolute().parent.is_dir():
        raise click.UsageError(f"--report: there is no folder {report.absolute().parent}")
    try:
        net = {dt.date.fromisoformat(day): share for day, share in customer_net}
        if real:
            realism.real_file(real)  # found before anything is written
        world = world_of(named, strength, shift.date() if shift else dates[len(dates) // 2]) if named else None
        files = simulate_with_truth(_lake(), dates, events_per_session, seed, net, terminal(), world)
        size = sum(path.stat().st_size for path in files) / 1e6
        click.echo(f"{len(dates)} trading dates in {len(files)} DBN files, {size:,.1f} MB, below {_lake().root / 'landing'}")
        if report:
            found = realism.report(files, report, real, terminal(), date=dates[0], config=_lake().config)
            click.echo(f"{dates[0]}: {found.summary}\nPage: {report}")
    except (Occupied, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


@main.command("truth-check")
@click.option("--dates", type=TradingDates(), help="Which dates; all that have a truth.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("truth-check.html"), show_default=True, help="The page.")
def truth_check(dates: list[dt.date] | None, out: Path) -> None:
    """Compare what the pipeline found on simulated dates with what the simulator planted (dates made with --world)."""
    from spymaster_assets.progress import terminal
    from spymaster_assets.truth_check import check, dates_with_truth
    from spymaster_assets.truth_page import page, summary

    lake = _lake()
    try:
        there = [date for date in dates_with_truth(lake) if dates is None or date in dates]
        found = check(lake, there, on_progress=terminal())
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    out.write_text(page(found), encoding="utf-8")
    click.echo(f"{summary(found)}\nPage: {out}")


@main.command()
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), required=True, help="The first trading date.")
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), required=True, help="The last one.")
@click.option("--schemas", default="", help="Of definition, trades, mbp-10, tbbo (or bbo-1s, bbo-1m), statistics; comma between.")
@click.option("--yes", is_flag=True, help="Pay what it costs without being asked.")
@click.option("--batch/--stream", "by_batch", default=None, help="Every request as a batch job, or as a stream (default: by size).")
def download(first: dt.datetime, last: dt.datetime, schemas: str, yes: bool, by_batch: bool | None) -> None:
    """Bring what trading dates lack from Databento, after showing what it costs. Interrupted or killed, run it again.

    The key stands in DATABENTO_API_KEY, or in the file that DATABENTO_API_KEY_FILE names.
    """
    from spymaster_assets.asking import VendorError
    from spymaster_assets.config import vendor_key
    from spymaster_assets.download import Download
    from spymaster_assets.lacking import TELLING
    from spymaster_assets.progress import terminal
    from spymaster_assets.staged import Busy
    from spymaster_assets.vendor import Vendor

    lake, dates = _lake(), calendar(load()).dates(first.date(), last.date())
    if not dates:
        raise click.ClickException(f"no trading date from {first.date()} to {last.date()}")

    def agree(offers: list[Offer]) -> bool:
        due = sum(offer.due for offer in offers)
        click.echo("\n".join(_prices(offers)))
        if (first := sorted({offer.wanted.date for offer in offers if offer.wanted.table in TELLING})) and "mbp-10" in asked:
            click.echo(f"then, asked for with exact prices: books, about {bringer.outlook(first):,.2f} USD, and what options did")
        if yes:
            return True
        if not sys.stdin.isatty():
            raise click.ClickException(f"{due:,.2f} USD: nothing was bought, as there is no terminal to ask at; --yes agrees")
        return click.confirm(f"Buy this for {due:,.2f} USD?")

    way: Way | None = None if by_batch is None else "batch" if by_batch else "stream"
    asked = schemas.replace(",", " ").split() or list(lake.config.vendor.schemas)
    try:
        bringer = Download(lake, Vendor(lake.config, vendor_key()), asked, way, terminal())
        outcome = bringer.run(dates, agree)
    except (Busy, VendorError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    for date in dates:
        came, trouble = outcome.files.get(date, []), outcome.trouble.get(date, [])
        refused = [offer.wanted.name for offer in outcome.refused if offer.wanted.date == date]
        state = f"{len(came)} files came" if came else "not complete" if trouble or refused else "complete, nothing came"
        click.echo(f"{date}  {state}")
        unbought = [f"not bought: {', '.join(refused)}"] if refused else []
        for line in (*outcome.notes.get(date, []), *trouble, *unbought):
            click.echo(f"            {line}")
    click.echo(f"{outcome.usd:,.2f} USD, {outcome.bytes / 1e6:,.1f} MB; next: spymaster backfill {dates[0]} {dates[-1]}")
    if outcome.trouble or outcome.refused:
        sys.exit(1)


def _prices(offers: list[Offer]) -> Iterator[str]:
    """What is lacking and what it costs, as a table."""
    yield f"{'date':<10}  {'file':<22} {'schema':<10} {'symbols':>7} {'records':>13} {'MB':>9} {'USD':>9}"
    for offer in offers:
        one, request = offer.wanted, offer.wanted.request
        way = f"batch job {offer.job}, paid" if offer.job else offer.way
        symbols = request.symbols[0] if len(request.symbols) == 1 else f"{len(request.symbols):,}"
        yield (
            f"{one.date}  {one.name:<22} {request.schema:<10} {symbols:>7} {offer.quote.records:>13,}"
            f" {offer.quote.bytes / 1e6:>9,.1f} {offer.due:>9,.2f}  {way}"
        )
    size = sum(offer.quote.bytes for offer in offers) / 1e6
    yield f"{'total':<66} {size:>9,.1f} {sum(offer.due for offer in offers):>9,.2f}  (MB uncompressed, as they are charged)"


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
        name = str(file) if str(file).isprintable() else ascii(str(file))
        click.echo(f"{'taken  ' if outcome.taken else 'refused'}  {name}: {outcome.message}")
    if refused:
        sys.exit(1)


@main.command()
def share() -> None:
    """Put landing's files onto the object store that holds the lake: other machines make their dates from there."""
    from spymaster_assets.progress import terminal
    from spymaster_assets.sharing import share as put

    lake = _lake()
    try:
        files, size = put(lake, terminal())
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{files} files, {size / 1e6:,.1f} MB, went to {lake.url}; the others were there")


@main.command()
@click.argument("dates", type=TradingDates())
@click.option("--force", is_flag=True, help="Make the tables again even if nothing changed.")
def day(dates: list[dt.date], force: bool) -> None:
    """Make the tables of a trading date, or of a range of them, now. Runs are recorded in Dagster."""
    from spymaster_assets.daily import run_dates

    lake, failed = _lake(), False
    prepare_dagster(lake.root)
    for report in run_dates(lake, dates, force):
        click.echo("\n".join(report.lines))
        failed |= not report.succeeded
    if not _publish_views(lake) or failed:
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


def dagster_home(root: Path) -> Path:
    """The folder of Dagster's instance: DAGSTER_HOME, else `root`/dagster."""
    return Path(os.environ.get("DAGSTER_HOME", root / "dagster")).absolute()


def prepare_dagster(root: Path) -> None:
    """Point DAGSTER_HOME, unless it is set, at `root`/dagster and put the project's dagster.yaml there."""
    home = dagster_home(root)
    os.environ["DAGSTER_HOME"] = str(home)
    home.mkdir(parents=True, exist_ok=True)
    settings = PROJECT / "dagster.yaml"
    if settings.exists() and not (home / "dagster.yaml").exists():
        shutil.copy(settings, home / "dagster.yaml")


@main.command()
@click.argument("first", type=click.DateTime(["%Y-%m-%d"]), metavar="FROM")
@click.argument("last", type=click.DateTime(["%Y-%m-%d"]), metavar="TO")
@click.option("--workers", type=click.IntRange(min=1), help="Processes (default: one a core).")
def backfill(first: dt.datetime, last: dt.datetime, workers: int | None) -> None:
    """Make all trading dates FROM ... TO, in parallel. Interrupted or killed, run it again: it goes on where it was."""
    from spymaster_assets.backfill import backfill as fill
    from spymaster_assets.backfill import default_workers

    lake, dates = _lake(), calendar(load()).dates(first.date(), last.date())
    if not dates:
        raise click.ClickException(f"no trading date from {first.date()} to {last.date()}")
    prepare_dagster(lake.root)
    outcome = fill(lake, dates, workers or default_workers())
    _conclude(lake, dates, outcome, "are complete", "were so before", "no book in landing")


def _conclude(lake: Lake, dates: list[dt.date], outcome: Outcome, done: str, before: str, absent: str) -> None:
    """Say what became of many dates and renew the SQL views; exit with 1 unless all is well."""
    fine = [date for date in dates if date not in outcome.bad and date not in outcome.absent]
    unchanged = sum(date not in outcome.made for date in fine)
    click.echo(f"{len(fine)} of {len(dates)} trading dates {done}, {unchanged} of them {before}")
    for date, trouble in sorted(outcome.bad.items()):
        click.echo(f"bad: {date}: {'; '.join(trouble)}")
    if outcome.absent:
        click.echo(f"{absent}: {', '.join(map(str, outcome.absent))}")
    if not _publish_views(lake) or outcome.bad or outcome.absent:
        sys.exit(1)


@main.command()
@click.argument("dates", type=TradingDates())
def train(dates: list[dt.date]) -> None:
    """Train the models as of a trading date, from earlier dates, now: those to use on it. Works before the date is over."""
    from spymaster_assets.maker import TROUBLE
    from spymaster_assets.models.as_of import as_of
    from spymaster_assets.progress import terminal
    from spymaster_assets.tables.predictions import MEMBERS
    from spymaster_assets.training import Trainer

    lake = _lake()
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
    from spymaster_assets.tables import TRAINING

    lake = _lake()
    wanted = dates or lake.dates(TRAINING)
    if not wanted:
        raise click.ClickException(f"no date below {lake.root} has Gold: spymaster backfill FROM TO makes it")
    prepare_dagster(lake.root)
    outcome = walk_forward(lake, wanted, workers or default_workers())
    _conclude(lake, wanted, outcome, "have models and predictions", "had before", "no Gold")


@main.command()
@click.argument("date", type=TradingDates(), required=False)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Copy the page here, too.")
@click.option("--ablations", is_flag=True, help="Train trees with some families of features, too (minutes).")
def report(date: list[dt.date] | None, out: Path | None, ablations: bool) -> None:
    """What all predictions up to a date (the latest) were worth, and which model serves from now on."""
    from spymaster_assets.evaluating import NAME, evaluate, found_by
    from spymaster_assets.maker import TROUBLE
    from spymaster_assets.models.report import decided, headline, serving
    from spymaster_assets.progress import terminal
    from spymaster_assets.promoting import promote
    from spymaster_assets.tables import PREDICTIONS

    lake = _lake()
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
@click.option("--tables", is_flag=True, help="Every table, not only the stages.")
def status(dates: list[dt.date] | None, tables: bool) -> None:
    """Trading dates by stages: rows, what is missing, refused or stale and why, disk used."""
    from spymaster_assets.status import MARKS, WORDS, Status

    lake = _lake()
    found = Status(lake, dates)
    if not found.dates:
        for line in found.landing():
            click.echo(line)
        raise click.ClickException(
            f"nothing below {lake.root} yet: put Databento files into {lake.root / 'landing'}, or run `spymaster simulate`"
        )
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

    click.echo("\n".join(table(_lake(), dates)))


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

    lake = _lake()
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


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--landing", is_flag=True, help="The files in landing, too: Bronze holds their records.")
def backup(folder: Path, landing: bool) -> None:
    """Copy lake, models and Dagster's history to FOLDER while everything runs; again, only what is new. Back: docs/operate.md."""
    from spymaster_assets.backup import back_up
    from spymaster_assets.lake import LakeError
    from spymaster_assets.progress import terminal

    lake = _lake()
    try:
        copied = back_up(lake, dagster_home(lake.root), folder, landing, terminal())
    except (LakeError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{copied.partitions} partitions, {copied.files} files in {folder}, {copied.bytes / 1e6:,.1f} MB of them copied now")
    if not copied.history:
        click.echo("Dagster's history is not in it: it has none yet, or keeps it in Postgres (pg_dump: docs/operate.md#back-up)")


@main.command()
def migrate() -> None:
    """Bring a lake of an older format to this version's. Stop everything and back it up before."""
    from spymaster_assets.config import data_root, data_url
    from spymaster_assets.lake import LakeError
    from spymaster_assets.migration import migrate as bring

    try:
        if data_url():
            raise LakeError(f"{data_url()}: a lake on object storage is not migrated in place; backfill into a new prefix")
        click.echo(bring(data_root()))
    except (LakeError, OSError) as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.option("--check", is_flag=True, help="Only say whether they are up to date.")
def docs(check: bool) -> None:
    """Write the generated pages below docs/."""
    from spymaster_assets import features, tables

    for name, text in (("tables", tables.markdown()), ("features", features.markdown())):
        page = PROJECT / "docs" / f"{name}.md"
        if not check:
            page.write_text(text)
        elif not page.exists() or page.read_text() != text:
            raise click.ClickException(f"{page} is not what {name} says; run `make docs`")


@main.command("doctor")
def examine() -> None:
    """Look for trouble: installation, disk, landing, downloads, stored hashes, models, refused and missing dates, live."""
    from itertools import chain

    from spymaster_assets import doctor
    from spymaster_assets.finding import counted

    problems, lake = 0, _lake()
    for finding in chain(
        doctor.examine_installation(), doctor.examine_dagster(dagster_home(lake.root), PROJECT / "dagster.yaml"),
        doctor.examine_lake(lake), doctor.examine_models(lake), doctor.examine_downloads(lake), doctor.examine_live(lake.root),
    ):  # fmt: skip
        click.echo(str(finding))
        problems += not finding.well
    click.echo(f"\n{counted(problems)}")
    if problems:
        sys.exit(1)
