"""What assets reach the world through: the lake and its landing folder, and DuckDB for checks."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import duckdb
from dagster_duckdb import DuckDBResource
from pydantic import PrivateAttr

from spymaster_assets.config import data_root, data_url, load
from spymaster_assets.lake import Lake, opened
from spymaster_assets.landing import Landing, landing_of


class LakeResource(dg.ConfigurableResource):
    """The lake below `root`, or with its tables at `url`; its landing folder is `root`/landing.

    `config_file`: parameters other than the defaults.
    """

    root: str
    url: str = ""
    config_file: str | None = None

    def lake(self) -> Lake:
        return opened(load(Path(self.config_file) if self.config_file else None), Path(self.root), self.url)

    def landing(self) -> Landing:
        return landing_of(self.lake())


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


def resources(root: Path | None = None, url: str = "") -> dict[str, object]:
    """The resources of a code location whose lake lies at `root`, its tables at `url` if given; or where the environment says."""
    lake = LakeResource(root=str(root or data_root()), url=url if root else data_url())
    return {"lake": lake, "duckdb": KeptDuckDBResource(database=":memory:")}
