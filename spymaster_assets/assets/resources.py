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


class KeptDuckDBResource(DuckDBResource):
    """DuckDB in memory, opened once rather than once a step: opening takes 20 ms, and a date has 18 steps."""

    _kept: duckdb.DuckDBPyConnection | None = PrivateAttr(None)

    @contextmanager
    def get_connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor, closed afterwards, of the connection that is kept."""
        if self._kept is None:
            self._kept = duckdb.connect(self.database, config=self.connection_config)
        with self._kept.cursor() as cursor:
            yield cursor


def resources(root: Path | None = None) -> dict[str, object]:
    """The resources of a code location whose lake lies at `root` (SPYMASTER_DATA, else ./data)."""
    return {"lake": LakeResource(root=str(root or data_root())), "duckdb": KeptDuckDBResource(database=":memory:")}
