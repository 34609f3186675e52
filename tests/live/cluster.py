"""Three servers as one bus, secured: TLS between them and to clients, a key for every part, each message on all three."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spymaster_live import bus, server
from tests.live.secured import Secured

NODES = ("nats-1", "nats-2", "nats-3")


class Cluster(Secured):
    """A rig whose processes know all three servers."""

    def __init__(self, lake: Path, folder: Path, configs: dict[str, Path] | None = None) -> None:
        super().__init__(lake, folder, configs)
        self.ports = {node: (server.free_port(), server.free_port()) for node in NODES}  # of clients, of servers
        self.url = ",".join(f"nats://127.0.0.1:{port}" for port, _ in self.ports.values())
        self.staying.update(NODES)

    def start(self, name: str, *words: str) -> None:
        if name not in NODES:
            super().start(name, *words)
            return
        port, between = self.ports[name]
        routes = ",".join(f"nats://127.0.0.1:{other}" for _, other in self.ports.values())
        self.processes[name] = subprocess.Popen(
            [server.program(), "-c", "nats-cluster.conf", "-n", name, "-a", "127.0.0.1", "-p", str(port),
             "-m", str(server.free_port()), "--cluster", f"nats://127.0.0.1:{between}", "--routes", routes,
             "-sd", str(self.folder / name), "-l", str(self.folder / f"{name}.log")],
            cwd=self.keys, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        server.wait(port)

    def serve(self) -> None:
        """Start the servers and make the streams, which waits until the servers have found one another."""
        for node in NODES:
            self.start(node)
        self.start("provision", "provision")
        self.processes["provision"].wait(60)
        assert self.processes.pop("provision").poll() == 0, self.log("provision")

    def leader(self, stream: str, but: str = "", seconds: float = 30) -> str:
        """The server that leads a stream, once it is another than `but`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with self.being("writer"):
                info = self.ask(lambda client: bus.patiently(lambda: client.jsm().stream_info(stream)))
            found = (info.cluster and info.cluster.leader) or ""
            if found and found != but:
                return str(found)
            time.sleep(0.1)
        raise AssertionError(f"{stream} has no leader but {but} after {seconds} s")


@contextmanager
def cluster(lake: Path, folder: Path, configs: dict[str, Path] | None = None) -> Iterator[Cluster]:
    """Three servers that run; whatever is left is killed at the end."""
    made = Cluster(lake, folder, configs)
    try:
        made.serve()
        yield made
    finally:
        made.stop()
