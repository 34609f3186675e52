"""What assets reach the world through: the lake and its landing folder, and DuckDB for checks."""

from pathlib import Path

import dagster as dg
from dagster_duckdb import DuckDBResource

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


def resources(root: Path | None = None) -> dict[str, object]:
    """The resources of a code location whose lake lies at `root` (SPYMASTER_DATA, else ./data)."""
    return {"lake": LakeResource(root=str(root or data_root())), "duckdb": DuckDBResource(database=":memory:")}
