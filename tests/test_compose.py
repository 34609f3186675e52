"""docker-compose.yml: what it promises of every service, and all of its services run as processes (tests/composed.py).

The slow tests are one story: a date is replayed, told, captured and handed over; then the vendor's files are taken away, and
Dagster makes the date from what was captured.
"""

import datetime as dt
import json
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pyarrow.parquet as pq
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from deploy.supply import read_lock
from spymaster_assets.config import Config, load
from spymaster_assets.lake import Lake
from spymaster_assets.simulator.write import simulate
from spymaster_assets.tables import FUTURES_MBP10
from spymaster_live import capture, server
from spymaster_live.access import MAY
from spymaster_live.gateway.guard import PROTOCOL, TOKEN
from spymaster_live.keys import make
from tests.composed import ROOT, Project, composed, merged, postgres_folder
from tests.live.asking import heard_until

DATE = dt.date(2025, 6, 3)
SERVICES = sorted(composed()["services"])
ONCE = {"provision"}  # is done when it ends


@pytest.mark.parametrize("file", ["docker-compose.yml", "deploy/compose-s3.yml"])
def test_the_file_is_what_compose_reads(file: str) -> None:
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", file]
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
    assert "--no-build-isolation --require-hashes -r lock.txt" in text and text.rstrip().endswith("USER 10001:10001")
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.M)
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert all(f"!{name}" in ignored and (ROOT / name).exists() for line in copied for name in line.split())


def test_what_live_hands_over_is_where_dagster_looks_for_it_by_itself() -> None:
    writer, code = (composed()["services"][name] for name in ("writer", "code"))
    assert writer["environment"]["SPYMASTER_DATA"] == code["environment"]["SPYMASTER_DATA"] == "/data"
    assert "lake:/data" in writer["volumes"] and "lake:/data" in code["volumes"]
    assert code["environment"]["SPYMASTER_LANDING_SENSOR"] == "on"


def test_every_part_goes_by_one_settings_file_and_without_one_by_the_defaults() -> None:
    of = {name: about for name, about in composed()["services"].items() if "SPYMASTER_DATA" in about.get("environment", {})}
    assert set(of) == {"provision", "feed", "feed-live", "engine", "writer", "gateway", "code"}
    for about in of.values():
        [settings] = [one for one in about["configs"] if one["source"] == "settings.toml"]
        assert about["environment"]["SPYMASTER_CONFIG"] == settings["target"]
    assert load(ROOT / composed()["configs"]["settings.toml"]["file"]) == Config()
    other = composed(SPYMASTER_SETTINGS="./spymaster_assets/settings/instruments/NQ.toml")["configs"]["settings.toml"]["file"]
    assert load(ROOT / other).instrument.root == "NQ"
    ports = composed(SPYMASTER_PORT="8001", DAGSTER_PORT="3001")["services"]  # a second project beside the first
    assert ports["gateway"]["ports"] == ["127.0.0.1:8001:8000"] and ports["webserver"]["ports"] == ["127.0.0.1:3001:3000"]


def test_with_the_store_every_reader_of_the_lake_is_let_in_and_reaches_it() -> None:
    """The client takes its credentials from the file, and can write what it copies."""
    named = {"SPYMASTER_DATA": "s3://lake/es", "AWS_ENDPOINT_URL": "http://store.example:8333"}
    both = merged(composed(), composed("deploy/compose-s3.yml", **named))
    readers = {name for name, about in composed()["services"].items() if any("/data" in one for one in about.get("volumes", ()))}
    readers -= {"postgres"}
    assert readers == set(composed("deploy/compose-s3.yml", **named)["services"])
    for name in readers:
        about = both["services"][name]
        assert about["environment"] | {"SPYMASTER_LOCAL": "/data"} | named == about["environment"]
        assert "lake:/data" in about["volumes"] and "lake:/data:ro" not in about["volumes"]
        assert "front" in about["networks"], "the other networks reach nothing outside"
        assert about["environment"]["AWS_SHARED_CREDENTIALS_FILE"].removeprefix("/run/secrets/") in about["secrets"]
        assert about["user"] == "10001:10001" and about["read_only"] is True and about["profiles"]
        assert about["environment"]["SPYMASTER_CONFIG"] == "/etc/spymaster/settings.toml"
    with pytest.raises(KeyError):
        composed("deploy/compose-s3.yml")


def test_the_image_has_what_the_store_needs() -> None:
    assert "boto3" in read_lock("lock.txt")


def test_dagsters_instance_is_the_same_but_for_its_storage() -> None:
    import yaml

    here, there = (yaml.safe_load((ROOT / path).read_text()) for path in ("dagster.yaml", "deploy/dagster.yaml"))
    assert {k: v for k, v in here.items() if k != "event_log_storage"} == {k: v for k, v in there.items() if k != "storage"}


def asked(project: Project, query: str) -> dict[str, Any]:
    """An answer of the webserver."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{project.ports['3000']}/graphql",
        json.dumps({"query": query}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as found:
        return dict(json.loads(found.read())["data"])


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    """Every service of the profile replay, over a date at 400 times real time."""
    if postgres_folder() is None:
        pytest.skip("no Postgres: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="compose"))
    keys = folder / "keys"
    made = Project(folder, keys, SPYMASTER_SPEED="400")
    try:
        make(keys)
        simulate(made.volume("lake") / "landing", [DATE], events_per_session=20_000, seed=5, config=Config())
        made.up("replay")
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder)


def healthy(project: Project, profile: str, *but: str) -> None:
    """Until every service of a profile is."""
    for service, about in project.file["services"].items():
        if profile in about["profiles"] and service not in (*ONCE, *but):
            project.healthy(service)


@pytest.fixture(scope="module")
def heard(project: Project) -> list[dict[str, Any]]:
    """Payloads that the gateway told, up to 09:40, to one who knows the token and trusts the CA."""
    port, token = int(project.ports["8000"]), (project.keys / "gateway.token").read_text().strip()
    server.wait(port, 60)
    trusted = ssl.create_default_context(cafile=str(project.keys / "ca.pem"))
    address = f"wss://localhost:{port}/ws/stream?topics=signals"
    with pytest.raises(InvalidStatus, match="401"):
        connect(address, subprotocols=[PROTOCOL], ssl=trusted)
    words = {"subprotocols": [PROTOCOL, f"{TOKEN}{token}"], "compression": None, "max_size": None}
    with connect(address, ssl=trusted, **words) as stream:
        till = (6 * 60 + 9 * 60 + 40) * 240
        told = heard_until(stream, lambda one: one["type"] == "signals" and one["data"][-1]["snap"] >= till, 120)
    return [payload for one in told if one["type"] == "signals" for payload in one["data"]]


@pytest.mark.slow
def test_a_replay_is_told_while_every_service_of_it_is_healthy(project: Project, heard: list[dict[str, Any]]) -> None:
    project.healthy("feed")  # before it has published all
    healthy(project, "replay", "feed")
    snaps = [payload["snap"] for payload in heard]
    assert len(snaps) > 100 and snaps == sorted(set(snaps)) and {payload["date"] for payload in heard} == {str(DATE)}


@pytest.mark.slow
def test_it_is_captured_and_handed_over(project: Project, heard: list[dict[str, Any]]) -> None:
    """What was told is what was captured."""
    landed, end = project.volume("lake") / "landing" / "capture" / str(DATE), time.monotonic() + 240
    while not landed.exists():
        assert time.monotonic() < end, project.log("writer")
        assert project.processes["writer"].poll() is None, project.log("writer")
        time.sleep(0.5)
    assert project.processes["feed"].wait(10) == 0
    run = json.loads((landed / "run.json").read_text())["run"]
    files = sorted((project.volume("lake") / "capture" / str(DATE) / run / "signals").glob("*.parquet"), key=capture.span)
    lines = [line for path in files for line in pq.read_table(path)["payload"].to_pylist()]
    captured = {payload["snap"]: payload for payload in map(json.loads, lines)}
    assert [payload for payload in heard if captured[payload["snap"]] != payload] == []


RUNS = """{ runsOrError { ... on Runs { results {
  runId status jobName tags { key value }
} } } }"""


@pytest.mark.slow
def test_dagsters_sensor_makes_the_date_from_what_was_captured(project: Project) -> None:
    """Nobody asks for it: the daemon runs the sensor, the sensor sees the files, the run is one of the service `code`."""
    for vendors in ("futures", "options"):
        shutil.rmtree(project.volume("lake") / "landing" / vendors)
    project.up("batch")
    healthy(project, "batch")
    run: dict[str, Any] = {}
    end = time.monotonic() + 400
    while run.get("status") not in ("SUCCESS", "FAILURE", "CANCELED"):
        assert time.monotonic() < end, f"{run}: {project.log('code')}{project.log('daemon')}"
        time.sleep(1)
        [run] = asked(project, RUNS)["runsOrError"]["results"] or [{}]
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    assert (run["status"], run["jobName"]) == ("SUCCESS", "date_job"), project.log("code")
    assert (tags["dagster/sensor_name"], tags["dagster/partition"]) == ("landing_sensor", str(DATE))
    password = (project.keys / "postgres.password").read_text().strip()
    with closing(psycopg2.connect(host="127.0.0.1", port=project.ports["5432"], user="dagster", password=password)) as storage:
        cursor = storage.cursor()
        cursor.execute("select run_id, status, partition from runs")
        assert cursor.fetchall() == [(run["runId"], "SUCCESS", str(DATE))]
    book = Lake(project.volume("lake"), Config()).manifest(FUTURES_MBP10, DATE)
    assert book is not None and {*book.facts["coverage"].values()} == {"full (capture)"}


LAUNCH = """mutation { launchRun(executionParams: {
  selector: { repositoryLocationName: "spymaster", repositoryName: "__repository__", jobName: "date_job" }, runConfigData: {},
  executionMetadata: { tags: [{ key: "dagster/partition", value: "DATE" }] } }) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""


def runs(project: Project) -> dict[str, dict[str, Any]]:
    """By id; tags as a mapping."""
    found = asked(project, RUNS)["runsOrError"]["results"]
    return {one["runId"]: {**one, "tags": {tag["key"]: tag["value"] for tag in one["tags"]}} for one in found}


@pytest.mark.slow
def test_a_run_whose_process_dies_is_started_again_by_itself(project: Project) -> None:
    """kill -9 in the midst of it; the code location says that it died, the daemon starts it again, and that run makes the date."""
    shutil.rmtree(project.volume("lake") / "silver")
    code, end = psutil.Process(project.processes["code"].pid), time.monotonic() + 300
    before = {child.pid for child in code.children(recursive=True)}
    answer = asked(project, LAUNCH.replace("DATE", str(DATE)))["launchRun"]
    assert answer["__typename"] == "LaunchRunSuccess", answer
    first = answer["run"]["runId"]
    while runs(project)[first]["status"] != "STARTED":
        assert time.monotonic() < end, project.log("daemon")
        time.sleep(0.1)
    for child in code.children(recursive=True):
        if child.pid not in before:  # the run, and what watches over its memory
            child.kill()
    again: list[dict[str, Any]] = []
    while not again or again[0]["status"] not in ("SUCCESS", "FAILURE"):
        assert time.monotonic() < end, f"{runs(project)}{project.log('daemon')}"
        time.sleep(0.5)
        again = [one for one in runs(project).values() if one["tags"].get("dagster/parent_run_id") == first]
    assert runs(project)[first]["status"] == "FAILURE" and again[0]["status"] == "SUCCESS", project.log("code")
    assert again[0]["tags"]["dagster/retry_number"] == "1"


@pytest.mark.slow
def test_what_dagster_made_is_what_live_said(project: Project) -> None:
    done = project.run("writer", "python", "-m", "spymaster_live", "parity")
    assert done.returncode == 0 and "the same bytes as Dagster's Silver" in done.stdout, done.stdout + done.stderr
    counts = {name: int(count.replace(",", "")) for count, name in re.findall(r"(\d[\d,]*) (\w+)", done.stdout.rpartition(": ")[2])}
    assert counts.keys() >= {"bars", "levels", "touches", "features", "signals"} and min(counts.values()) > 0


@pytest.mark.slow
def test_no_secret_is_in_a_log_or_in_a_command(project: Project) -> None:
    secrets = [line for path in project.keys.iterdir() if path.suffix in (".nk", ".key", ".token", ".password", ".pgpass")
               for line in path.read_text().replace("*:", "").split() if len(line) > 20]  # fmt: skip
    said = "".join(path.read_text(errors="replace") for path in project.folder.glob("*.log"))
    said += "".join(str(project.command(name, composed()["services"][name]["command"])) for name in project.processes)
    assert set(project.processes) == {*SERVICES} - {"feed-live"}  # which wants the vendor
    assert len(secrets) > 10 and not [secret for secret in secrets if secret in said]
