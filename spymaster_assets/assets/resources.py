"""What assets reach the world through: the lake and its landing folder, and DuckDB for checks."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import duckdb
from dagster_duckdb import DuckDBResource
from pydantic import PrivateAttr

from spymaster_assets.config import data_root, load
from spymaster_assets.lake import Lake
from spymaster_assets.landing import Landing


class LakeResource(dg.ConfigurableResource):
    """The lake below `root`; its landing folder is `root`/landing. `config_file`: parameters other than the defaults."""

    root: str
    config_file: str | None = None

    def lake(self) -> Lake:
        return Lake(Path(self.root), load(Path(self.config_file) if self.config_file else None))

    def landing(self) -> Landing:
        lake = self.lake()
        return Landing(lake.root / "landing", lake.config)


class RunDuckDBResource(DuckDBResource):
    """DuckDB, opened once a run rather than once a step: opening takes 20 ms, and a date has 18 steps."""

    _run: duckdb.DuckDBPyConnection | None = PrivateAttr(None)

    @contextmanager
    def get_connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor of the run's connection, or outside a run a connection of its own."""
        if self._run is None:
            with super().get_connection() as connection:
                yield connection
        else:
            with self._run.cursor() as cursor:
                yield cursor

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["RunDuckDBResource"]:
        with super().get_connection() as self._run:
            try:
                yield self
            finally:
                self._run = None


def resources(root: Path | None = None) -> dict[str, object]:
    """The resources of a code location whose lake lies at `root` (SPYMASTER_DATA, else ./data)."""
    return {"lake": LakeResource(root=str(root or data_root())), "duckdb": RunDuckDBResource(database=":memory:")}
