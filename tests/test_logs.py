"""Logs: one JSON object a line where that is asked for, with part, run and date; and never the credentials of an address."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from spymaster_assets import logs
from spymaster_assets.definitions import build
from spymaster_live import server
from spymaster_live.__main__ import main
from spymaster_live.connection import servers
from tests.build import DATE, SOUND, landing_of_a_date

SECRET = "hunter2"
ADDRESSES = {
    f"nats://user:{SECRET}@bus:4222": "nats://bus:4222",
    f"nats://{SECRET}@bus:4222": "nats://bus:4222",
    f"nats://user:{SECRET}@1@bus:4222,nats://user:{SECRET}@other:4222": "nats://bus:4222,nats://other:4222",
    f"said https://me:{SECRET}@host/path?x=a@b and mail@host": "said https://host/path?x=a@b and mail@host",
}


@pytest.mark.parametrize(("said", "shown"), ADDRESSES.items())
def test_credentials_are_taken_out_of_addresses(said: str, shown: str) -> None:
    assert logs.shown(said) == shown
    record = logging.LogRecord("x", logging.ERROR, "", 0, "%s is away", (said,), None)
    assert logs.Text().format(record).endswith(f" x {shown} is away")
    assert json.loads(logs.Json().format(record))["message"] == f"{shown} is away"


def test_a_trace_shows_them_neither() -> None:
    try:
        raise ValueError(f"nats://user:{SECRET}@bus")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "broken", None, sys.exc_info())
    told = json.loads(logs.Json().format(record))
    assert "ValueError: nats://bus" in told["trace"] and SECRET not in logs.Text().format(record)


@pytest.mark.parametrize(
    "url", [f"nats://user:{SECRET}/1@bus:4222", "nats://bus:port", "bus:4222", "http://bus", "nats://a:1,nats://"]
)
def test_an_address_that_is_none_is_refused_without_being_repeated(url: str) -> None:
    done = CliRunner().invoke(main, ["control", "state", "--nats", url])
    assert done.exit_code == 1 and "the address of the bus: expected nats://HOST:PORT" in done.stderr
    assert SECRET not in done.output


def test_several_servers_are_named_with_a_comma() -> None:
    assert servers("nats://a:1, nats://b:2,tls://c:3") == ["nats://a:1", "nats://b:2", "tls://c:3"]


def test_a_server_beyond_this_machine_is_refused_without_its_password() -> None:
    done = CliRunner().invoke(main, ["control", "state", "--nats", f"nats://user:{SECRET}@192.0.2.1:4222"])
    assert done.exit_code == 1 and "nats://192.0.2.1:4222 is not on this machine" in done.stderr and SECRET not in done.output


@pytest.mark.parametrize("asked", ["option", "environment"])
def test_why_a_command_ends_is_an_event_like_any_other(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    logs.about(run=None, date=None)  # other tests of this process may have been at one
    monkeypatch.setenv("SPYMASTER_LOG", "json" if asked == "environment" else "text")
    words = ["--log", "json"] if asked == "option" else []
    url = f"nats://user:{SECRET}@127.0.0.1:{server.free_port()}"
    done = CliRunner().invoke(main, [*words, "control", "state", "--nats", url])
    [line] = done.stderr.splitlines()
    told = json.loads(line)
    assert done.exit_code == 1 and told["message"].startswith("no NATS server at nats://127.0.0.1:") and SECRET not in line
    assert (told["part"], told["level"], told["run"]) == ("control", "ERROR", None) and told["time"].endswith("Z")


def test_a_format_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPYMASTER_LOG", "xml")
    done = CliRunner().invoke(main, ["control", "state"])
    assert done.exit_code == 1 and "SPYMASTER_LOG 'xml': expected text or json" in done.output


def test_what_nobody_caught_is_a_line_of_json(tmp_path: Path) -> None:
    program = f"from spymaster_assets import logs\nlogs.begin('feed', False)\nraise KeyError('nats://u:{SECRET}@h')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env={"SPYMASTER_LOG": "json"})
    [told] = map(json.loads, done.stderr.splitlines())
    assert (told["part"], told["level"]) == ("feed", "CRITICAL") and "KeyError" in told["trace"] and SECRET not in done.stderr


def test_a_dagster_run_logs_json_with_run_and_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import dagster as dg

    monkeypatch.setenv("SPYMASTER_LOG", "json")
    landing_of_a_date(tmp_path, *SOUND)
    job = build(tmp_path).resolve_job_def("bronze_job")
    with dg.DagsterInstance.ephemeral() as instance:
        done = job.execute_in_process(
            instance=instance, partition_key=str(DATE), asset_selection=[dg.AssetKey(["bronze", "futures_trades"])]
        )
    monkeypatch.delenv("SPYMASTER_LOG")
    build(tmp_path)  # as it was, for the tests that follow
    told = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    assert len(told) > 5 and {(one["part"], one["run"], one["date"]) for one in told} == {("dagster", done.run_id, str(DATE))}
    assert {one["step"] for one in told} == {None, "bronze__futures_trades"} and any(
        "RUN_SUCCESS" in one["message"] for one in told
    )
