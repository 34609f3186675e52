"""What is released: the wheel holds what it should and nothing else, and says which version it is; installed elsewhere, it works.

The slow tests run an installation as a user would: in another folder, with no checkout in sight. It is the interpreter that
SPYMASTER_RELEASED names (`make release` makes one with nothing but the wheel and what pip brings), else one made here, which sees
the packages of this environment but not this tree.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import tomllib
import urllib.error
import urllib.request
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from deploy import release
from spymaster_live.server import free_port

ROOT = Path(__file__).parents[1]
LIBRARY = release.VENDOR[0].removeprefix("spymaster_live/page/")
FIRST, LAST = "2025-06-03", "2025-06-04"


def tree_of(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not all((ROOT / name).exists() for name in release.VENDOR):
        pytest.skip("what the page takes from npm is not there: make page")
    return release.build(tmp_path_factory.mktemp("dist"), ("wheel",))[0]


# ---- the wheel ----


def test_the_wheel_holds_every_file_of_the_packages_and_no_other(wheel: Path) -> None:
    assert release.trouble(wheel) == []
    held = tree_of(wheel)
    for part in ("spymaster_assets", "spymaster_live"):  # whatever git says
        there = {str(one.relative_to(ROOT)) for one in (ROOT / part).rglob("*.py")}
        assert there and there == {name for name in held if name.startswith(f"{part}/") and name.endswith(".py")}
    wanted = ("settings/dagster.yaml", "settings/workspace.yaml", "settings/instruments/NQ.toml", "inspection.html")
    assert {f"spymaster_assets/{name}" for name in wanted} < held.keys()
    assert {"spymaster_live/nats/nats.conf", "spymaster_live/page/index.html", *release.VENDOR} < held.keys()
    assert all(held[name] == (ROOT / name).read_bytes() for name in release.expected())


def test_a_wheel_that_lacks_or_holds_what_it_should_not_is_told(wheel: Path, tmp_path: Path) -> None:
    held, spoilt = tree_of(wheel), tmp_path / wheel.name
    seed = b"SU" + b"A2" * 28
    held["spymaster_live/page/words.js"] += b"// " + seed
    held |= {"spymaster_assets/tests/test_one.py": b"", "landing/a.dbn.zst": b""}
    del held["spymaster_live/nats/nats.conf"]
    with zipfile.ZipFile(spoilt, "w") as packed:
        for name, content in held.items():
            packed.writestr(name, content)
    assert release.trouble(spoilt) == [
        "lacks spymaster_live/nats/nats.conf", "landing/a.dbn.zst does not belong there",
        "spymaster_assets/tests/test_one.py does not belong there", "spymaster_live/page/words.js holds an nkey's seed",
    ]  # fmt: skip


def test_the_same_tree_gives_the_same_bytes(wheel: Path, tmp_path: Path) -> None:
    again = release.build(tmp_path, ("wheel",))[0]
    assert again.read_bytes() == wheel.read_bytes()


def test_the_wheel_asks_for_what_pyproject_does(wheel: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    about = tree_of(wheel)[f"spymaster-{release.version()}.dist-info/METADATA"].decode().split("\n\n")[0]
    asked = re.findall(r"^Requires-Dist: ([\w-]+)[^;\n]*$", about, re.M)
    assert sorted(asked) == sorted(re.match(r"[\w-]+", one)[0] for one in project["dependencies"])  # type: ignore[index]
    assert f"\nVersion: {project['version']}\n" in about


def test_the_version_is_the_same_wherever_it_is_written() -> None:
    """pyproject.toml says it; the changelog has it, with its date, and images are named by it."""
    heads = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    released = [head for head in heads if head != "Unreleased"]
    assert re.fullmatch(rf"{re.escape(release.version())} \(\d{{4}}-\d\d-\d\d\)", released[0])
    files = (ROOT / "docker-compose.yml", ROOT / "docs" / "operate.md", *(ROOT / "deploy" / "kubernetes").glob("*.yaml"))
    tags = [tag for one in files for tag in re.findall(r"\bspymaster(?::|, tag: )(\d[\w.]*\w)", one.read_text())]
    assert len(tags) > 8 and {*tags} == {release.version()}


# ---- installed elsewhere ----


def environment_of(python: Path, folder: Path) -> dict[str, str]:
    """As a user has it: nothing of this tree, a home of its own. nats-server may stand in the environment that is borrowed from."""
    programs = f"{python.parent}:{sysconfig.get_path('scripts')}:/usr/bin:/bin"
    kept = {name: os.environ[name] for name in ("LANG", "TMPDIR") if name in os.environ}
    return kept | {"PATH": programs, "HOME": str(folder), "SPYMASTER_DATA": str(folder / "data")}


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter that has the wheel installed."""
    if named := os.environ.get("SPYMASTER_RELEASED"):
        return Path(named)
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    found = folder / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(found), "install", "--quiet", "--no-deps", "--no-index", str(wheel)],
        check=True,
    )
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"))  # its own .pth files are not read: our tree is not on them
    return found


@pytest.fixture(scope="module")
def installed(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs words of a program beside that interpreter, in a folder of its own, and gives what it said."""
    folder = tmp_path_factory.mktemp("elsewhere")

    def run(*words: str, code: int = 0, **more: str) -> str:
        command = [str(python.parent / words[0]), *words[1:]]
        done = subprocess.run(
            command, cwd=folder, env=environment_of(python, folder) | more, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    run.folder = folder  # type: ignore[attr-defined]
    return run


@pytest.fixture(scope="module")
def dates(installed: Callable[..., str]) -> Path:
    """The data folder, with two small dates made."""
    installed("spymaster", "simulate", "--dates", f"{FIRST}:{LAST}", "--events-per-session", "30000", "--seed", "7")
    assert "1 of 1 trading dates are complete" in installed("spymaster", "backfill", FIRST, FIRST)
    assert LAST in installed("spymaster", "day", LAST)
    return Path(installed.folder) / "data"  # type: ignore[attr-defined]


@pytest.mark.slow
def test_what_runs_is_what_was_installed(installed: Callable[..., str], python: Path) -> None:
    told = installed(
        "python", "-c", "import spymaster_assets, spymaster_live as live; print(spymaster_assets.__file__, live.__file__)"
    )
    assert all(Path(path).is_relative_to(python.parents[1]) for path in told.split())
    assert installed("spymaster", "--version").split()[-1] == release.version()
    assert installed("python", "-m", "spymaster_live", "--version").split()[-1] == release.version()


@pytest.mark.slow
def test_dates_are_made_and_everything_is_sound(installed: Callable[..., str], dates: Path) -> None:
    told = installed("spymaster", "doctor")
    assert f"spymaster {release.version()}" in told and "dagster.yaml is the project's" in told and told.endswith("all well\n")
    assert int(installed("spymaster", "sql", "--csv", "select count(*) from silver_snaps").split()[-1]) > 1000
    page = Path(installed("spymaster", "inspect", FIRST).split(" (")[0])
    assert page.stat().st_size > 100_000
    [manifest] = (dates / "silver" / "snaps" / f"date={FIRST}").glob("manifest*")
    assert orjson.loads(manifest.read_bytes())["facts"]["version"] == release.version()


@pytest.mark.slow
def test_settings_come_with_it(installed: Callable[..., str], dates: Path) -> None:
    folder = dates.parent / "mine"
    installed("spymaster", "settings", str(folder))
    assert {one.name for one in folder.iterdir()} == {"dagster.yaml", "workspace.yaml", "instruments"}
    (folder / "instruments" / "NQ.toml").write_text("[instrument]\nmultiplier = 21\n")
    assert "NQ.toml" not in installed("spymaster", "settings", str(folder)), "what is there stays"
    words = ("-m", "dagster", "definitions", "validate", "-w", str(folder / "workspace.yaml"))
    installed("python", *words, DAGSTER_HOME=str(dates / "dagster"))
    code = "from spymaster_assets.config import load; print(load().instrument.root, load().instrument.multiplier)"
    assert installed("python", "-c", code, SPYMASTER_CONFIG="NQ").split() == ["NQ", "20"]
    assert installed("python", "-c", code, SPYMASTER_CONFIG="mine/instruments/NQ.toml").split() == ["ES", "21"]
    installed("python", "-m", "spymaster_live", "keys", "keys")
    assert {f"nats{kind}.conf" for kind in ("", "-secure", "-cluster")} < {one.name for one in (folder.parent / "keys").iterdir()}


@pytest.mark.slow
def test_live_says_what_dagster_stored_and_the_page_is_served(python: Path, dates: Path) -> None:
    port = free_port()
    words = ["--date", FIRST, "--speed", "0", "--until-done", "--port", str(free_port()), "--gateway-port", str(port)]
    with (dates.parent / "live.log").open("w+") as said:
        live = subprocess.Popen(
            [python, "-m", "spymaster_live", "all", *words], cwd=dates.parent, env=environment_of(python, dates.parent),
            stdout=said, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            found: dict[str, bytes] = {}
            while live.poll() is None and not found:
                try:
                    found = {
                        name: asked(port, name) for name in ("", "main.js", f"vendor/{Path(release.VENDOR[0]).name}", "healthz")
                    }
                except (urllib.error.URLError, ConnectionError):
                    time.sleep(0.05)
            assert live.wait(600) == 0
        finally:
            live.kill()
        said.seek(0)
        told = said.read()
    assert "the same bytes as Dagster's Silver" in told, told
    page = ROOT / "spymaster_live" / "page"
    assert found[""] == (page / "index.html").read_bytes() and b"Spymaster" in found[""]
    assert found["main.js"] == (page / "main.js").read_bytes() and len(found[LIBRARY]) > 100_000
    assert orjson.loads(found["healthz"]) == {"ok": True, "version": release.version()}


def asked(port: int, name: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}", timeout=5) as answer:
        return bytes(answer.read())


@pytest.mark.slow
def test_the_source_distribution_gives_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    [source] = release.build(tmp_path / "source", ("sdist",))
    shutil.unpack_archive(source, tmp_path, filter="data")
    tree = tmp_path / source.name.removesuffix(".tar.gz")
    assert {"constraints.txt", "CHANGELOG.md", "docs", "deploy"} < {one.name for one in tree.iterdir()}
    again = release.build(tmp_path / "again", ("wheel",), tree)[0]
    assert tree_of(again) == tree_of(wheel)
