"""Commands that bring files into landing: simulate, download, ingest, share; and what a simulated truth is compared with."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spymaster_assets.cli.group import TradingDates, main, the_lake
from spymaster_assets.config import load
from spymaster_assets.sessions import calendar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spymaster_assets.download import Offer, Way


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
        files = simulate_with_truth(the_lake(), dates, events_per_session, seed, net, terminal(), world)
        size = sum(path.stat().st_size for path in files) / 1e6
        click.echo(f"{len(dates)} trading dates in {len(files)} DBN files, {size:,.1f} MB, below {the_lake().root / 'landing'}")
        if report:
            found = realism.report(files, report, real, terminal(), date=dates[0], config=the_lake().config)
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

    lake = the_lake()
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

    lake, dates = the_lake(), calendar(load()).dates(first.date(), last.date())
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
    lost = f" and {outcome.lost:,.2f} USD more, at most, for what streams that broke off had sent" if outcome.lost else ""
    click.echo(f"{outcome.usd:,.2f} USD{lost}, {outcome.bytes / 1e6:,.1f} MB; next: spymaster backfill {dates[0]} {dates[-1]}")
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
    from spymaster_assets.landing import ENDINGS, Landing, receive

    lake = the_lake()
    found = [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    files = [file for file in found if file.is_file() and file.name.endswith(ENDINGS)]
    if not files:
        raise click.ClickException(f"no file ending in {' or '.join(ENDINGS)} among {', '.join(map(str, paths))}")
    from spymaster_assets.progress import terminal

    landing, refused = Landing(lake.root / "landing", lake.config), 0
    held = {file.digest: file.path for file in reversed(landing.scan()) if not file.problem}
    for file in files:
        outcome = receive(file, landing.root, lake.config, move, terminal(), held)
        refused += not outcome.taken
        name = str(file) if str(file).isprintable() else ascii(str(file))
        click.echo(f"{'taken  ' if outcome.taken else 'refused'}  {name}: {outcome.message.removeprefix(f'{name}: ')}")
    if refused:
        sys.exit(1)


@main.command()
def share() -> None:
    """Put landing's files onto the object store that holds the lake: other machines make their dates from there."""
    from spymaster_assets.progress import terminal
    from spymaster_assets.sharing import share as put

    lake = the_lake()
    try:
        files, size = put(lake, terminal())
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{files} files, {size / 1e6:,.1f} MB, went to {lake.url}; the others were there")
