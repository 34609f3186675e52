"""Commands that keep it: backup, migrate; settings to begin from; and the generated pages of docs/."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from spymaster_assets.cli.group import dagster_home, main, the_lake


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--landing", is_flag=True, help="The files in landing, too: Bronze holds their records.")
def backup(folder: Path, landing: bool) -> None:
    """Copy lake, models and Dagster's history to FOLDER while everything runs; again, only what is new. Back: docs/operate.md."""
    from spymaster_assets.backup import back_up
    from spymaster_assets.lake import LakeError
    from spymaster_assets.progress import terminal

    lake = the_lake()
    try:
        copied = back_up(lake, dagster_home(lake.root), folder, landing, terminal())
    except (LakeError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{copied.partitions} partitions, {copied.files} files in {folder}, {copied.bytes / 1e6:,.1f} MB of them copied now")
    if lake.url:
        click.echo(f"{lake.url} is not in it: back up the bucket too, after this, by its versions or by a copy")
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
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def settings(folder: Path) -> None:
    """Copy settings to begin from into FOLDER: instruments, Dagster's workspace and instance. What is there stays."""
    from spymaster_assets.config import SETTINGS

    try:
        for source in sorted(SETTINGS.rglob("*.*ml")):
            target = folder / source.relative_to(SETTINGS)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
                click.echo(f"wrote {target}")
    except OSError as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.option("--check", is_flag=True, help="Only say whether they are up to date.")
def docs(check: bool) -> None:
    """Write the generated pages below docs/, in a checkout."""
    from spymaster_assets import features, tables

    folder = Path(tables.__file__).parents[2] / "docs"
    if not folder.is_dir():
        raise click.ClickException(f"{folder} is not there: the pages belong to a checkout")
    for name, text in (("tables", tables.markdown()), ("features", features.markdown())):
        page = folder / f"{name}.md"
        if not check:
            page.write_text(text)
        elif not page.exists() or page.read_text() != text:
            raise click.ClickException(f"{page} is not what {name} says; run `make docs`")
