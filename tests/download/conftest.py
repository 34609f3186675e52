"""A double of the vendor that speaks its HTTP API and sells simulated dates, and a lake that bought one."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from spymaster_assets.config import Config
from spymaster_assets.simulator.write import simulate
from spymaster_live.keys import make
from tests.made_once import made_once
from tests.vendor.buying import DATE, HALF, HOLIDAY, ROLL, configure, download
from tests.vendor.historical import KEY, Historical


@pytest.fixture(scope="session")
def source() -> Path:
    """A landing folder of the simulator, which the vendor sells."""

    def make(folder: Path) -> None:
        simulate(folder, [DATE], events_per_session=20_000, seed=7, config=Config())
        simulate(folder, [*ROLL, *HOLIDAY, HALF], events_per_session=5_000, seed=7, config=Config())

    return made_once("sold", make)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make(folder)
    return folder


@pytest.fixture(scope="session")
def sold(source: Path) -> Historical:
    """A double that has read its data; each test's own shares them."""
    return Historical(source)


@pytest.fixture
def vendor(
    sold: Historical, source: Path, certificates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Historical]:
    """The double at work, and an environment that leads to it."""
    double = Historical(source)
    double.__dict__ |= {"_files": sold._files, "_parents": sold._parents, "_bodies": sold._bodies}
    with double.serving(certificates):
        for name in ("SPYMASTER_DATA", "DAGSTER_HOME", "DATABENTO_API_KEY_FILE"):
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)
        monkeypatch.setenv("DATABENTO_API_KEY", KEY)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates / "ca.pem"))
        configure(double, tmp_path, monkeypatch)
        yield double


@pytest.fixture
def downloaded(vendor: Historical, sold: Historical, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with DATE downloaded, and what that cost in the double's books."""
    kept: Path = sold.__dict__.get("kept") or tmp_path_factory.mktemp("kept")
    if "kept" not in sold.__dict__:
        result = download(kept, [DATE], "--yes")
        assert result.exit_code == 0, result.output
        sold.__dict__["kept"], sold.charges = kept, vendor.charges
    vendor.charges = list(sold.charges)
    return Path(shutil.copytree(kept, tmp_path / "lake"))
