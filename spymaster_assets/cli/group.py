"""What all commands share: the group itself, trading dates as a parameter, the lake, Dagster's folder."""

from __future__ import annotations

import atexit
import datetime as dt
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spymaster_assets.collecting import collect_rarely
from spymaster_assets.config import SETTINGS, data_url, load, name_data
from spymaster_assets.object_store import StoreError
from spymaster_assets.sessions import NotATradingDate, calendar
from spymaster_assets.version import VERSION

if TYPE_CHECKING:
    from spymaster_assets.lake import Lake

DAGSTER = SETTINGS / "dagster.yaml"  # how Dagster's instance is kept


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
@click.version_option(VERSION, prog_name="spymaster")
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


def run() -> None:
    """`spymaster`, the program. When what is to be done at exit is done it ends: to take apart all that was loaded is a second."""
    collect_rarely()
    while (spare := os.open(os.devnull, os.O_RDWR)) <= 2:  # a closed standard stream: its number would be the next file's
        os.set_inheritable(spare, True)
    os.close(spare)
    try:
        main()
    except SystemExit as leaving:
        if leaving.code is not None and not isinstance(leaving.code, int):
            raise
        atexit._run_exitfuncs()
        with suppress(OSError):  # who reads our words is gone: Python's own end says so
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:  # it was closed before the program began
                    stream.flush()
            os._exit(leaving.code or 0)
        raise


def the_lake() -> Lake:
    from spymaster_assets.lake import LakeError, opened

    try:
        return opened(load())
    except LakeError as error:
        raise click.ClickException(str(error)) from error


def dagster_home(root: Path) -> Path:
    """The folder of Dagster's instance: DAGSTER_HOME, else `root`/dagster."""
    return Path(os.environ.get("DAGSTER_HOME", root / "dagster")).absolute()


def prepare_dagster(root: Path) -> None:
    """Point DAGSTER_HOME, unless it is set, at `root`/dagster and put the project's dagster.yaml there."""
    home = dagster_home(root)
    os.environ["DAGSTER_HOME"] = str(home)
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "dagster.yaml").exists():
        shutil.copy(DAGSTER, home / "dagster.yaml")
