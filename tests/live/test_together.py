"""`python -m spymaster_live all`: one command, real processes, twice in the same folder; and what stands beside it."""

import datetime as dt
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from spymaster_live import server
from spymaster_live.__main__ import main
from spymaster_live.reference import markdown
from tests.live.rig import make_silver, short, small_lake

DATE = dt.date(2025, 6, 3)
ROOT = Path(__file__).parents[2]


def live(data: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    command = [sys.executable, "-m", "spymaster_live", "--data", str(data), *words]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True, timeout=300)


def trouble(data: Path, *words: str) -> str:
    """What a command says that fails, in this process: one sentence, no exception that nobody expected."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPYMASTER_DATA", str(data))  # the command sets it; here it is put back
        done = CliRunner().invoke(main, ["--data", str(data), *words])
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit), done.exception
    return done.stderr


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_lake(tmp_path_factory.mktemp("lake"), DATE, 5_000)


def test_one_command_twice_and_what_it_says_without_and_with_silver(lake: Path) -> None:
    port, other, settings = str(server.free_port()), str(server.free_port()), str(lake / "short.toml")
    ports = ("--port", port, "--gateway-port", other)
    done = live(lake, "all", "--speed", "0", "--until-done", "--capture", *ports, SPYMASTER_CONFIG=settings)
    assert done.returncode == 0, done.stderr
    assert f"gateway http://127.0.0.1:{other}" in done.stdout
    assert f"{DATE} is handed over by run {DATE}.1" in done.stdout
    assert "has no Silver to compare with: spymaster day 2025-06-03" in done.stdout
    make_silver(lake, DATE)
    alone = ("--until-done", "--port", port, "--gateway-port", "0")
    done = live(lake, "all", "--date", str(DATE), "--speed", "0", *alone, SPYMASTER_CONFIG=settings)
    assert done.returncode == 0, done.stderr
    assert "the same bytes as Dagster's Silver" in done.stdout
    planted = short(lake / "planted.toml", "[tape]\ntape_band = 2.0\n")
    done = live(lake, "all", "--speed", "0", *alone, SPYMASTER_CONFIG=str(planted))
    assert done.returncode == 1 and "DIFFERENT from" in done.stdout and "silver/signals row" in done.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("all", "--date", "2025-06-07"), "2025-06-07 is a weekend"),
        (("feed", "--date", "2025-06-10"), "no futures_mbp10"),
        (("feed", "--date", "2025-06-03", "--from", "25:00"), "25:00"),
        (("feed", "--date", "2025-06-03", "--from", "17:30"), "outside of the trading date"),
    ],
)
def test_trouble_is_one_sentence(lake: Path, words: tuple[str, ...], told: str) -> None:
    assert told in trouble(lake, *words)


def test_trouble_of_a_part_ends_all_of_it(lake: Path) -> None:
    done = live(lake, "all", "--date", "2025-06-10", "--port", str(server.free_port()), "--gateway-port", "0")
    assert done.returncode == 1 and "no futures_mbp10" in done.stderr and "Traceback" not in done.stderr


def test_whoever_asks_a_bus_that_is_not_there_is_told_so(lake: Path) -> None:
    where = f"nats://127.0.0.1:{server.free_port()}"
    for words in (("control", "state"), ("parity",)):
        started = time.monotonic()
        assert f"no NATS server at {where}" in trouble(lake, *words, "--nats", where)
        assert time.monotonic() - started < 60


def test_a_bus_without_a_replay_says_so(tmp_path: Path) -> None:
    port = server.free_port()
    with server.start(port, tmp_path) as running:
        server.wait(port)
        told = trouble(tmp_path, "control", "state", "--nats", f"nats://127.0.0.1:{port}")
        running.terminate()
    assert "no replay is running" in told


def test_a_folder_has_one_server_and_a_port_too(lake: Path, tmp_path: Path) -> None:
    port, folder = server.free_port(), tmp_path / "nats"
    with server.start(port, folder) as running:
        server.wait(port)
        with pytest.raises(RuntimeError, match=r"a nats-server is at work in .*nats"):
            server.start(server.free_port(), folder)
        assert f"port {port} is taken" in trouble(lake, "all", "--port", str(port))
        running.kill()
    with server.start(port, folder) as again:  # the dead hold nothing
        again.terminate()


def test_an_empty_landing_says_what_to_do(tmp_path: Path) -> None:
    done = live(tmp_path, "all")
    assert done.returncode == 1 and "make demo" in done.stderr and "Traceback" not in done.stderr


def test_the_servers_configuration_is_valid(tmp_path: Path) -> None:
    done = subprocess.run([*server.command(4222, tmp_path), "-t"], capture_output=True, text=True)
    assert done.returncode == 0 and "is valid" in done.stderr


def test_the_page_names_every_subject_and_header() -> None:
    from spymaster_live.messages import CHANNELS, HEADERS

    text = markdown()
    assert all(f"`{name}`" in text for name in (*CHANNELS.values(), *HEADERS))
