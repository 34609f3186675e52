"""Commands that keep it: backup, migrate; and the generated pages of docs/."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from spymaster_assets.cli.group import PROJECT, dagster_home, main, the_lake

if TYPE_CHECKING:
    pass


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
