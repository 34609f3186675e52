"""A secured NATS server for tests, and who one is on it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spymaster_live import server
from spymaster_live.connection import CA, NKEY
from spymaster_live.keys import make
from tests.live.rig import Rig


class Secured(Rig):
    """A rig whose server wants TLS and an nkey; a process that it starts has the key of its name."""

    def __init__(self, lake: Path, folder: Path, configs: dict[str, Path] | None = None) -> None:
        super().__init__(lake, folder, configs)
        self.keys, self.monitor = folder / "keys", server.free_port()
        make(self.keys)

    def start(self, name: str, *words: str) -> None:
        if name == "nats-server":
            self.processes[name] = subprocess.Popen(
                [server.program(), "-c", "nats-secure.conf", "-a", "127.0.0.1", "-p", str(self.port), "-m", str(self.monitor),
                 "-sd", str(self.folder / "nats"), "-l", str(self.folder / "nats-server.log")],
                cwd=self.keys, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            server.wait(self.port)
        else:
            with self.being(name):
                super().start(name, *words)

    @contextmanager
    def being(self, service: str, authority: Path | None = None) -> Iterator[None]:
        """What is started or asked inside has the key of a service."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(NKEY, str(self.keys / f"{service}.nk"))
            patch.setenv(CA, str(authority or self.keys / "ca.pem"))
            yield

    def said_anywhere(self) -> str:
        """All logs."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))


def plainly() -> dict[str, str]:
    """The environment without credentials."""
    return {name: value for name, value in os.environ.items() if name not in (NKEY, CA)}
