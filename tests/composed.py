"""docker-compose.yml without an engine: its services as processes, with their commands, environments and health checks.

What differs from containers is translated: names of services and their ports, mounted paths, secrets. Nothing else is.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from spymaster_live import server

ROOT = Path(__file__).parents[1]
PORTS = ("4222", "8222", "8000", "5432", "4000", "3000")  # in containers
NOBODY = pwd.getpwnam("nobody").pw_uid  # postgres refuses to run as root


@cache
def composed(file: str = "docker-compose.yml", **variables: str) -> dict[str, Any]:
    """The file, with ${NAME:-default} as the variable of that name says, else as default; ${NAME:?what} has to be there."""

    def said(found: re.Match[str]) -> str:
        return variables[found[1]] if found[2] == "?" else variables.get(found[1], found[3])

    return dict(yaml.safe_load(re.sub(r"\$\{(\w+):([-?])([^}]*)\}", said, (ROOT / file).read_text())))


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`docker compose -f base -f over`: maps by key, lists one behind the other; mounts by the path in the container."""
    found = dict(base)
    for name, value in over.items():
        if name == "volumes" and isinstance(value, list):
            found[name] = [*{mount.split(":")[1]: mount for mount in (*base.get(name, ()), *value)}.values()]
        elif isinstance(value, dict):
            found[name] = merged(base.get(name) or {}, value)
        elif isinstance(value, list):
            found[name] = [*base.get(name, ()), *(one for one in value if one not in base.get(name, ()))]
        else:
            found[name] = value
    return found


def postgres_folder() -> Path | None:
    """Where a Postgres's programs are."""
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


class Project:
    """The services below `folder`; `keys`: the secrets' files; `variables`: the environment of `docker compose`."""

    def __init__(self, folder: Path, keys: Path, **variables: str) -> None:
        self.folder, self.keys, self.file = folder, keys, composed(**variables)
        self.ports = {port: str(server.free_port()) for port in PORTS}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._met: set[str] = set()  # services that have been as those that depend on them want them
        folder.chmod(0o755)

    def volume(self, name: str) -> Path:
        made = self.folder / "volumes" / name
        made.mkdir(parents=True, exist_ok=True)
        return made

    def here(self, service: str, text: str) -> str:
        """A word of the file as it is on this machine."""
        for mounted in self.file["services"][service].get("volumes", ()):
            name, path = mounted.split(":")[:2]
            text = text.replace(path, str(self.volume(name)))
        text = text.replace("/run/secrets", str(self.folder / "secrets" / service))
        text = text.replace("/etc/spymaster", str(self.folder / "settings" / service))
        text = text.replace("/app/deploy", str(self.folder / "deploy"))
        text = re.sub(r"\b(nats|postgres|code)(?=:\d)|0\.0\.0\.0|(?<=host: )code", "127.0.0.1", text)
        return re.sub(r"(?<![\d/])(" + "|".join(PORTS) + r")\b", lambda found: self.ports[found[0]], text)

    def environment(self, service: str) -> dict[str, str]:
        """What the file says, and what the image does."""
        said = self.file["services"][service].get("environment", {})
        programs = f"{Path(sys.executable).parent}:{postgres_folder()}:/usr/bin:/bin"
        image = {"PATH": programs, "PYTHONPATH": str(ROOT), "HOME": str(self.folder)}
        return image | {name: self.here(service, value) for name, value in said.items()}

    def mount(self, service: str) -> None:
        """Secrets and configurations where the service finds them."""
        about, place = self.file["services"][service], self.folder / "secrets" / service
        place.mkdir(parents=True, exist_ok=True)
        for name in about.get("secrets", ()):
            shutil.copy(self.keys / Path(self.file["secrets"][name]["file"]).name, place / name)
        for one in about.get("configs", ()):
            target = Path(self.here(service, one["target"]))
            target.parent.mkdir(parents=True, exist_ok=True)
            if one["source"] == "settings.toml":  # its numbers are no ports
                shutil.copy(ROOT / self.file["configs"][one["source"]]["file"], target)
                continue
            target.write_text(self.here(service, (ROOT / self.file["configs"][one["source"]]["file"]).read_text()))
        workspace = self.folder / "deploy" / "workspace.yaml"
        workspace.parent.mkdir(exist_ok=True)
        workspace.write_text(self.here(service, (ROOT / "deploy" / "workspace.yaml").read_text()))

    def command(self, service: str, words: list[str]) -> dict[str, Any]:
        """Arguments of subprocess for words of a service."""
        where = self.here(service, self.file["services"][service].get("working_dir", str(ROOT)))
        return {"args": [self.here(service, word) for word in words], "env": self.environment(service), "cwd": where}

    def start(self, service: str) -> None:
        """Start a service as soon as those it depends on are healthy, or have ended well, as the file wants it of each."""
        for other, wanted in self.file["services"][service].get("depends_on", {}).items():
            if other not in self.processes:
                self.start(other)
            if other not in self._met:
                self._meet(other, wanted["condition"])
        self.mount(service)
        words, settings = list(self.file["services"][service]["command"]), {}
        if service == "postgres":
            words += self._database()
            settings = {"user": NOBODY, "group": NOBODY} if os.getuid() == 0 else {}
        with self._log(service).open("ab") as log:
            self.processes[service] = subprocess.Popen(
                **self.command(service, words), **settings, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def up(self, profile: str) -> None:
        """`docker compose --profile PROFILE up`."""
        for service, about in self.file["services"].items():
            if profile in about["profiles"] and service not in self.processes:
                self.start(service)

    def run(self, service: str, *words: str) -> subprocess.CompletedProcess[str]:
        """`docker compose run SERVICE WORDS`: another command with what the service has."""
        return subprocess.run(**self.command(service, list(words)), capture_output=True, text=True, timeout=120)

    def _meet(self, service: str, condition: str) -> None:
        """Wait until a service is as one that depends on it wants it."""
        if condition == "service_completed_successfully":
            assert self.processes[service].wait(60) == 0, self.log(service)
        else:
            assert condition == "service_healthy"
            self.healthy(service)
        self._met.add(service)

    def _database(self) -> list[str]:
        """What the image's entry point does before the server starts; the words that it adds."""
        data, password = self.volume("postgres"), self.folder / "secrets" / "postgres" / "postgres.password"
        said = self.file["services"]["postgres"]["environment"]
        assert said["POSTGRES_USER"] == said["POSTGRES_DB"] == "dagster", "the database of the user's name is made by initdb's user"
        owner = {}
        if os.getuid() == 0:
            owner = {"user": NOBODY, "group": NOBODY}
            for path in (data, password):
                os.chown(path, NOBODY, NOBODY)
        programs = postgres_folder()
        assert programs is not None
        once = {"check": True, "capture_output": True, "cwd": data, **owner}
        words = ["-D", str(data), "-U", "dagster", f"--pwfile={password}", "--auth-host=scram-sha-256", "--auth-local=trust"]
        subprocess.run([programs / "initdb", *words], **once)
        single = [programs / "postgres", "--single", "-D", str(data), "postgres"]
        subprocess.run(single, input=b"create database dagster\n", **once)
        return ["-D", str(data), "-p", self.ports["5432"], "-k", "", "-c", "listen_addresses=127.0.0.1"]

    def healthy(self, service: str, seconds: float = 120) -> None:
        """Until the file's health check passes."""
        kind, *words = self.file["services"][service]["healthcheck"]["test"]
        assert kind == "CMD"
        end = time.monotonic() + seconds
        while True:
            assert self.processes[service].poll() is None, f"{service} ended:\n{self.log(service)}"
            done = subprocess.run(**self.command(service, words), capture_output=True, text=True, timeout=60)
            if done.returncode == 0:
                return
            assert time.monotonic() < end, f"{service} is not healthy: {done.stdout}{done.stderr}\n{self.log(service)}"
            time.sleep(0.3)

    def _log(self, service: str) -> Path:
        return self.folder / f"{service}.log"

    def log(self, service: str) -> str:
        return self._log(service).read_text(errors="replace")[-3000:]

    def stop(self) -> None:
        for process in reversed(list(self.processes.values())):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
