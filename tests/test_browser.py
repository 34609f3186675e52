"""The Dagster UI as a user meets it: `dagster dev` as a real process, a real Chromium, one trading date made by hand."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spymaster_assets.tables import BRONZE
from tests.build import DATE, lake_at, landing_of_a_date

PROJECT = Path(__file__).parents[1]
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox --disable-dev-shm-usage --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)
START = 60  # seconds until a page or the server must be there, on a busy machine
RUN = 120  # seconds until a run of one small date must be over

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM}: apt-get install chromium"),
]


def until(seconds: float, found: Callable[[], Any], what: str) -> Any:
    """The first true answer of `found`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := found():
            return answer
        time.sleep(0.3)
    raise AssertionError(f"{what}: not within {seconds} s")


class Server:
    """`dagster dev` on a free port: web server, daemon and code server, one process group."""

    def __init__(self, root: Path) -> None:
        home = root / "dagster"
        home.mkdir()
        shutil.copy(PROJECT / "dagster.yaml", home)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url, self._log = f"http://127.0.0.1:{port}", root / "dagster.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)],
                cwd=PROJECT, env={**os.environ, "DAGSTER_HOME": str(home), "SPYMASTER_DATA": str(root)},
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def answers(self) -> bool:
        assert self._process.poll() is None, f"dagster dev ended: {self._log.read_text()[-2000:]}"
        try:
            with urllib.request.urlopen(f"{self.url}/server_info", timeout=5) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False

    def runs(self) -> list[dict[str, Any]]:
        query = "{ runsOrError { ... on Runs { results { runId status tags { key value } } } } }"
        body = json.dumps({"query": query}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as reply:
            found: list[dict[str, Any]] = json.load(reply)["data"]["runsOrError"]["results"]
        return found

    def stop(self) -> None:
        """Ask it to end, then end what is left of the group."""
        self._process.send_signal(signal.SIGINT)
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(30)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    landing_of_a_date(tmp_path)
    dagster = Server(tmp_path)
    try:
        until(START, dagster.answers, "dagster dev answers")
        yield dagster
    finally:
        dagster.stop()


def test_a_user_makes_a_date_in_the_ui_and_sees_what_came_of_it(tmp_path: Path, server: Server) -> None:
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS.split())
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(START * 1000)
        expect.set_options(timeout=START * 1000)
        errors: list[str] = []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))

        page.goto(f"{server.url}/asset-groups")
        for group in ("bronze", "landing"):
            expect(page.get_by_text(group, exact=True).first).to_be_visible()

        page.goto(f"{server.url}/locations/spymaster/asset-groups/bronze/list")
        for table in BRONZE:
            expect(page.get_by_role("link", name=f"bronze / {table.name}").first).to_be_visible()
        page.screenshot(path=tmp_path / "group.png")

        page.get_by_role("tab", name="Lineage").click()
        page.get_by_role("button", name="Materialize all").click()
        page.get_by_role("button", name="Show all partitions").click()  # the dialog opens on the last 90 days
        dates = page.get_by_placeholder("2022-01-03")
        dates.fill(str(DATE))
        dates.press("Enter")
        page.screenshot(path=tmp_path / "dialog.png")
        page.get_by_role("button", name="Launch 1 run").click()
        expect(page.get_by_text("Launched run")).to_be_visible()

        over = ("SUCCESS", "FAILURE", "CANCELED")
        [run] = until(RUN, lambda: [run for run in server.runs() if run["status"] in over], "the run is over")
        assert run["status"] == "SUCCESS"
        assert {"key": "dagster/partition", "value": str(DATE)} in run["tags"]
        rows = {table.name: len(lake_at(tmp_path).arrays(table, DATE)["ts_event"]) for table in BRONZE}
        assert rows == dict.fromkeys(rows, 0) | {"futures_mbp10": 500, "futures_trades": 100}

        page.goto(f"{server.url}/assets/bronze/futures_mbp10?view=partitions&partition={DATE}")
        shown = page.get_by_role("row").filter(has_text="dagster/row_count")
        expect(shown).to_contain_text("500")
        page.screenshot(path=tmp_path / "partition.png")
        page.get_by_role("row").filter(has_text="picture").get_by_text("Show Markdown").click()
        picture = page.locator("img[src^='data:image/png']")
        expect(picture).to_be_visible()
        assert picture.evaluate("image => image.naturalWidth") == 640
        page.screenshot(path=tmp_path / "picture.png")

        page.goto(f"{server.url}/assets/bronze/futures_mbp10?view=checks&checkDetail=gaps")
        expect(page.get_by_text("the regular session has holes: a halt, or missing data")).to_be_visible()
        expect(page.get_by_role("cell", name="threshold: longer_than_seconds")).to_be_visible()
        page.screenshot(path=tmp_path / "checks.png")
        browser.close()
    assert errors == []
