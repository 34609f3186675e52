"""docker-compose.yml: what it promises of every service, and all of its services run as processes (tests/composed.py)."""

import datetime as dt
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spymaster_assets.config import Config
from spymaster_assets.lake import Lake
from spymaster_assets.simulator.write import simulate
from spymaster_assets.tables import FUTURES_MBP10
from spymaster_live.__main__ import main
from spymaster_live.access import MAY
from spymaster_live.keys import make
from tests.composed import ROOT, Project, composed, postgres_folder

DATE = dt.date(2025, 6, 3)
SERVICES = sorted(composed()["services"])
ONCE = {"provision"}  # is done when it ends


def test_the_file_is_what_compose_reads() -> None:
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_profiles() -> None:
    profiles = {name: composed()["services"][name]["profiles"] for name in SERVICES}
    of = {profile: {name for name in SERVICES if profile in profiles[name]} for profile in ("batch", "replay", "live")}
    assert of["batch"] == {"postgres", "code", "webserver", "daemon"}
    assert of["replay"] == {"nats", "provision", "feed", "engine", "writer", "gateway"}
    assert of["live"] == of["replay"] - {"feed"} | {"feed-live"}
    assert set.union(*of.values()) == {*SERVICES}


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_held_tight(service: str) -> None:
    about = composed()["services"][service]
    assert about["read_only"] is True and about["cap_drop"] == ["ALL"] and about["security_opt"] == ["no-new-privileges:true"]
    assert int(about["user"].split(":")[0]) > 0
    assert {"cpus", "memory", "pids"} == {*about["deploy"]["resources"]["limits"]}
    assert "latest" not in about["image"] and re.fullmatch(r"[a-z]+:\d+\.\d+[\w.-]*", about["image"])
    assert ("healthcheck" in about) != (service in ONCE)
    for port in about.get("ports", ()):
        assert port.startswith("127.0.0.1:"), "by default nothing is reached from other machines"


@pytest.mark.parametrize("service", SERVICES)
def test_no_service_has_a_secret_that_is_not_a_file_or_not_its_own(service: str) -> None:
    about = composed()["services"][service]
    said = about.get("environment", {})
    for name, value in said.items():
        if re.search("KEY|SECRET|TOKEN|PASS|CREDENTIAL", name):
            assert value.startswith("/run/secrets/") and value.removeprefix("/run/secrets/") in about["secrets"], name
    own = {name for name in about.get("secrets", ()) if name.endswith(".nk")}
    user = service.removesuffix("-live")  # either feed is the bus's user feed
    assert own == ({f"{user}.nk"} if user in MAY else set())
    for secret in about.get("secrets", ()):
        assert composed()["secrets"][secret].keys() == {"file"}


def test_the_keys_command_makes_every_secret(tmp_path: Path) -> None:
    make(tmp_path)
    for name, about in composed()["secrets"].items():
        if name == "vendor.key":  # the vendor's own
            continue
        assert (tmp_path / Path(about["file"]).name).stat().st_size > 0


def test_the_image_is_pinned_and_not_root() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    assert {*re.findall(r"^FROM (\S+)", text, re.M)} == {"python:3.11.13-slim-bookworm"}
    assert "-c constraints.txt" in text and text.rstrip().endswith("USER 10001:10001")
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.M)
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert all(f"!{name}" in ignored and (ROOT / name).exists() for line in copied for name in line.split())


def test_dagsters_instance_is_the_same_but_for_its_storage() -> None:
    import yaml

    here, there = (yaml.safe_load((ROOT / path).read_text()) for path in ("dagster.yaml", "deploy/dagster.yaml"))
    assert {k: v for k, v in here.items() if k != "event_log_storage"} == {k: v for k, v in there.items() if k != "storage"}


def asked(project: Project, query: str, **variables: Any) -> dict[str, Any]:
    """An answer of the webserver."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{project.ports['3000']}/graphql",
        json.dumps({"query": query, "variables": variables}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as found:
        return dict(json.loads(found.read())["data"])


LAUNCH = """mutation ($parameters: ExecutionParams!) {
  launchRun(executionParams: $parameters) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}"""
STATUS = "query ($id: ID!) { runOrError(runId: $id) { __typename ... on Run { status } } }"


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    """Every service that there is a command for, started in the order of the file's dependencies; all were healthy once."""
    if postgres_folder() is None:
        pytest.skip("no Postgres: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="compose"))
    keys = folder / "keys"
    made = Project(folder, keys)
    try:
        make(keys)
        simulate(made.volume("lake") / "landing", [DATE], events_per_session=5_000, seed=5, config=Config())
        for service in SERVICES:
            if service == "feed-live":  # wants the vendor; its command runs in tests/live/test_live_feed.py
                continue
            if service in made.processes or (service in ("writer", "gateway") and service not in main.commands):
                continue
            made.start(service)
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder)


@pytest.mark.slow
def test_every_service_runs_as_the_file_says(project: Project) -> None:
    for service in project.processes:
        if service not in ONCE:
            project.healthy(service, 30)


@pytest.mark.slow
def test_a_date_is_materialized_in_the_files_dagster(project: Project) -> None:
    selector = {"repositoryLocationName": "spymaster", "repositoryName": "__repository__", "jobName": "bronze_job"}
    tags = [{"key": "dagster/partition", "value": str(DATE)}]
    parameters = {"selector": selector, "runConfigData": {}, "executionMetadata": {"tags": tags}}
    launched = asked(project, LAUNCH, parameters=parameters)["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    status, end = "", time.monotonic() + 180
    while status not in ("SUCCESS", "FAILURE", "CANCELED"):
        assert time.monotonic() < end, f"{status}: {project.log('code')}{project.log('daemon')}"
        time.sleep(1)
        status = asked(project, STATUS, id=launched["run"]["runId"])["runOrError"]["status"]
    assert status == "SUCCESS", project.log("code")
    assert Lake(project.volume("lake"), Config()).manifest(FUTURES_MBP10, DATE) is not None


@pytest.mark.slow
def test_no_secret_is_in_a_log_or_in_a_command(project: Project) -> None:
    secrets = [line for path in project.keys.iterdir() if path.suffix in (".nk", ".key", ".token", ".password", ".pgpass")
               for line in path.read_text().replace("*:", "").split() if len(line) > 20]  # fmt: skip
    said = "".join(path.read_text(errors="replace") for path in project.folder.glob("*.log"))
    said += "".join(str(project.command(name, composed()["services"][name]["command"])) for name in project.processes)
    assert len(secrets) > 10 and not [secret for secret in secrets if secret in said]
