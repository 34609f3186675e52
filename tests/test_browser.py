"""The Dagster UI as a user meets it: `dagster dev` as a real process, a real Chromium, four small simulated dates.

One server for the whole file. What a user launches is a fixture, what he then sees is a test; screenshots lie in the folder `shots`
below pytest's temporary one.
"""

import contextlib
import datetime as dt
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

import duckdb
import pytest

from spymaster_assets.assets.lineage import sources
from spymaster_assets.config import Config
from spymaster_assets.gold_quality import geometry
from spymaster_assets.lake import Lake
from spymaster_assets.quality import Partition
from spymaster_assets.simulator.write import simulate
from spymaster_assets.tables import BRONZE, FUTURES_MBP10, GOLD, PRIORS, SEQUENCES, SILVER, TRAINING
from tests.chromium import CHROMIUM, FLAGS

PROJECT = Path(__file__).parents[1]
WORKSPACE = "workspace.yaml"
FIRST, *LATER = (dt.date(2025, 6, day) for day in (2, 3, 4, 5))
GRID = "[grid]\ninterval_ns = 1000000000\n"  # a quarter of the snaps
MADE = (*BRONZE, *SILVER, *GOLD)
START = 60  # seconds until a page or the server must be there, on a busy machine
RUN = 180  # seconds until a run of one small date must be over

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
    """`dagster dev` on a free port: web server, daemon and code server, one process group. Settings are read from `settings`."""

    def __init__(self, root: Path) -> None:
        home, self.settings = root / "dagster", root / "settings.toml"
        home.mkdir()
        shutil.copy(PROJECT / "spymaster_assets" / "settings" / "dagster.yaml", home)
        self.settings.write_text(GRID)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url, self._log = f"http://127.0.0.1:{port}", root / "dagster.log"
        named = {"DAGSTER_HOME": str(home), "SPYMASTER_DATA": str(root), "SPYMASTER_CONFIG": str(self.settings)}
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dagster", "dev", "-w", WORKSPACE, "-h", "127.0.0.1", "-p", str(port)],
                cwd=PROJECT, env={**os.environ, **named}, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def answers(self) -> bool:
        assert self._process.poll() is None, f"dagster dev ended: {self._log.read_text()[-2000:]}"
        try:
            with urllib.request.urlopen(f"{self.url}/server_info", timeout=5) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False

    def ask(self, query: str) -> dict[str, Any]:
        body = json.dumps({"query": query}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as reply:
            found: dict[str, Any] = json.load(reply)["data"]
        return found

    def runs(self) -> dict[str, dict[str, Any]]:
        """Run id -> its status, partition and times."""
        fields = "runId status creationTime startTime endTime tags { key value }"
        runs = self.ask(f"{{ runsOrError {{ ... on Runs {{ results {{ {fields} }} }} }} }}")["runsOrError"]["results"]
        for run in runs:
            run["partition"] = next((tag["value"] for tag in run["tags"] if tag["key"] == "dagster/partition"), None)
        return {run["runId"]: run for run in runs}

    def over(self, known: set[str]) -> dict[str, Any] | None:
        """The one run that is not `known`, once it is over."""
        new = [run for name, run in self.runs().items() if name not in known]
        return new[0] if len(new) == 1 and new[0]["status"] in ("SUCCESS", "FAILURE", "CANCELED") else None

    def backfill(self, name: str) -> str:
        status = self.ask(f'{{ partitionBackfillOrError(backfillId: "{name}") {{ ... on PartitionBackfill {{ status }} }} }}')
        return str(status["partitionBackfillOrError"]["status"])

    def materialized(self, path: str) -> list[tuple[str, str, str]]:
        """Ranges of an asset's partitions by status, as the instance has them."""
        stage, name = path.split("/")
        ranges = "assetPartitionStatuses { ... on TimePartitionStatuses { ranges { status startKey endKey } } }"
        found = self.ask(f'{{ assetNodeOrError(assetKey: {{path: ["{stage}", "{name}"]}}) {{ ... on AssetNode {{ {ranges} }} }} }}')
        return [
            (one["status"], one["startKey"], one["endKey"]) for one in found["assetNodeOrError"]["assetPartitionStatuses"]["ranges"]
        ]

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


class User:
    """A browser at the server, what it complained about, and the lake below."""

    def __init__(self, page: Any, server: Server, root: Path) -> None:
        self.page, self.server, self.lake, self._shots = page, server, Lake(root, Config()), root / "shots"
        self.errors: list[str] = []
        page.set_default_timeout(START * 1000)
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def goes(self, path: str) -> None:
        self.page.goto(f"{self.server.url}/{path}")

    def shoots(self, name: str) -> None:
        self.page.screenshot(path=self._shots / f"{name}.png")

    def launches(self, dates: str, number: int, button: str) -> None:
        """From a page with a graph: *Materialize all* with `dates` typed into the dialog."""
        from playwright.sync_api import expect

        self.page.get_by_role("button", name="Materialize all").click()
        self.page.get_by_role("button", name="Show all partitions").click()  # the dialog opens on the last 90 days
        typed = self.page.get_by_placeholder("2022-01-03")
        typed.fill(dates)
        typed.press("Enter")
        expect(self.page.get_by_text(f"{number} partition", exact=number == 1)).to_be_visible()
        self.shoots(f"dialog-{number}")
        self.page.get_by_role("button", name=button).click()

    def row(self, name: str) -> Any:
        """The row of a table of metadata."""
        return self.page.get_by_role("row").filter(has=self.page.get_by_role("cell", name=name, exact=True))

    def opens(self, name: str, label: str) -> Any:
        """The dialog behind an entry of metadata."""
        self.row(name).get_by_text(label).click()
        return self.page.get_by_role("dialog")

    def closes(self) -> None:
        from playwright.sync_api import expect

        self.page.keyboard.press("Escape")
        expect(self.page.get_by_role("dialog")).to_have_count(0)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    simulate(folder / "landing", [FIRST, *LATER], events_per_session=20_000, seed=5, config=Config())
    return folder


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[Server]:
    dagster = Server(root)
    try:
        until(START, dagster.answers, "dagster dev answers")
        yield dagster
    finally:
        dagster.stop()


@pytest.fixture(scope="module")
def user(root: Path, server: Server) -> Iterator[User]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=START * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield User(browser.new_page(viewport={"width": 1400, "height": 1000}), server, root)
        browser.close()


@pytest.fixture(autouse=True)
def no_complaints(user: User) -> Iterator[None]:
    yield
    assert user.errors == []


@pytest.fixture(scope="module")
def first(user: User) -> dict[str, Any]:
    """The run that a user launched over FIRST, all assets, from the graph."""
    from playwright.sync_api import expect

    user.goes("asset-groups")
    user.launches(str(FIRST), 1, "Launch 1 run")
    expect(user.page.get_by_text("Launched run")).to_be_visible()
    run: dict[str, Any] = until(RUN, lambda: user.server.over(set()), "the run is over")
    return run


@pytest.fixture(scope="module")
def backfill(user: User, first: dict[str, Any]) -> str:
    """The backfill that a user launched over LATER, all assets, from the graph: its name, once it is over."""
    user.goes("asset-groups")
    user.launches(f"[{LATER[0]}...{LATER[-1]}]", 3, "Launch backfill")
    link = user.page.locator("a[href^='/runs/b/']").first  # of the message
    name = str(link.get_attribute("href")).split("/")[-1]
    link.click()
    started = ("REQUESTED", "CANCELING", "COMPLETING")
    until(RUN * len(LATER), lambda: user.server.backfill(name) not in started, "the backfill is over")
    return name


@pytest.fixture(scope="module")
def refused(user: User, backfill: str) -> dict[str, Any]:
    """The run that a user launched over Gold of the last date, after he had changed a threshold that no date can meet."""
    user.server.settings.write_text(f"{GRID}[quality]\ngeometry_z_max = 0.01\n")
    known = set(user.server.runs())
    user.goes("locations/spymaster/asset-groups/gold")
    user.launches(str(LATER[-1]), 1, "Launch 1 run")
    run: dict[str, Any] = until(RUN, lambda: user.server.over(known), "the run is over")
    return run


def test_the_graph_leads_from_landing_to_gold(user: User) -> None:
    from playwright.sync_api import expect

    page = user.page
    page.set_viewport_size({"width": 1800, "height": 1600})  # else names are not drawn when all of it fits
    user.goes("asset-groups")
    for group in ("landing", "history", "bronze", "silver", "gold"):
        expect(page.get_by_text(group, exact=True).first).to_be_visible()
    user.shoots("groups")
    page.keyboard.press("Alt+e")  # expand all
    page.locator("button:has([aria-label='panel_show_right'])").last.click()  # room for it: hide the list of groups
    page.locator("button:has([aria-label='settings'])").last.click()
    page.get_by_text("Change graph to vertical orientation").click()
    page.keyboard.press("Escape")
    expect(page.get_by_text("Change graph to")).to_have_count(0)
    page.wait_for_timeout(3000)  # until it is laid out anew
    page.mouse.dblclick(300, 1500)  # fit it in
    for table in (*SILVER, *GOLD):
        expect(page.get_by_text(table.name, exact=True).first).to_be_in_viewport()
    user.shoots("graph")
    for stage, tables in (("bronze", BRONZE), ("silver", SILVER), ("gold", GOLD)):
        user.goes(f"locations/spymaster/asset-groups/{stage}/list")
        for table in tables:
            expect(page.get_by_role("link", name=f"{stage} / {table.name}").first).to_be_visible()
    user.shoots("list")
    user.goes("locations/spymaster/asset-groups/gold")
    for name in ("training", "sequences", "features", "labels", "signals", "touches", "snaps", "flow"):
        expect(page.get_by_text(name, exact=True).first).to_be_visible()
    user.shoots("gold")
    page.set_viewport_size({"width": 1400, "height": 1000})


def test_a_date_is_made_from_landing_to_gold(user: User, first: dict[str, Any]) -> None:
    from playwright.sync_api import expect

    page, lake = user.page, user.lake
    assert (first["status"], first["partition"]) == ("SUCCESS", str(FIRST))
    assert [table.name for table in MADE if lake.dates(table) != [FIRST]] == []
    rows = lake.manifest(TRAINING, FIRST).rows
    assert rows > 50

    user.goes(f"assets/gold/training?view=partitions&partition={FIRST}")
    expect(page.get_by_text("Materialized", exact=True).first).to_be_visible()
    expect(user.row("dagster/row_count")).to_contain_text(str(rows))
    expect(user.row("content hash")).to_contain_text(lake.manifest(TRAINING, FIRST).content)
    user.shoots("training")
    expect(user.row("day view").get_by_role("link").first).to_have_attribute(
        "href", f"{lake.config.live.gateway.address}/?date={FIRST}"
    )

    picture = user.opens("picture", "Show Markdown").locator("img[src^='data:image/png']")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [720, 336]
    user.shoots("picture")
    user.closes()

    schema = user.opens("dagster/column_schema", "Show Table Schema")
    for name in TRAINING.names:
        expect(schema.get_by_text(name, exact=True).first).to_be_attached()
    schema.get_by_text("event_id", exact=True).first.scroll_into_view_if_needed()
    user.shoots("schema")
    user.closes()

    lineage = user.opens("columns made from", "Show Markdown")
    for name, made_from in list(sources(TRAINING).items())[::20]:
        line = lineage.get_by_role("row").filter(has=page.get_by_role("cell", name=name, exact=True))
        expect(line).to_contain_text(", ".join(f"{table.stage}/{table.name}.{column}" for table, column in made_from))
    lineage.get_by_text("made from", exact=True).scroll_into_view_if_needed()
    user.shoots("lineage")
    user.closes()


def test_bronze_shows_its_picture_and_what_its_checks_measured(user: User, first: dict[str, Any]) -> None:
    from playwright.sync_api import expect

    page = user.page
    user.goes(f"assets/bronze/futures_mbp10?view=partitions&partition={FIRST}")
    expect(user.row("dagster/row_count")).to_contain_text(str(user.lake.manifest(FUTURES_MBP10, FIRST).rows))
    picture = user.opens("picture", "Show Markdown").locator("img[src^='data:image/png']")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") == 640
    user.shoots("book")
    user.closes()

    user.goes("assets/bronze/futures_mbp10?view=checks&checkDetail=gaps")
    expect(page.get_by_text("no gap in the regular session")).to_be_visible()
    expect(user.row("threshold: longer_than_seconds")).to_contain_text("60")
    user.shoots("gaps")


def test_a_backfill_makes_the_dates_asked_for_in_order(user: User, backfill: str) -> None:
    from playwright.sync_api import expect

    page, lake = user.page, user.lake
    assert user.server.backfill(backfill) == "COMPLETED_SUCCESS"
    user.goes(f"runs/b/{backfill}")
    expect(page.get_by_text("Succeeded", exact=True).first).to_be_visible()
    expect(page.get_by_text(f"{LATER[0]}...{LATER[-1]}")).to_be_visible()
    user.shoots("backfill")
    for table in MADE:
        link = page.get_by_role("link", name=f"{table.stage} / {table.name}")
        link.scroll_into_view_if_needed()
        numbers = page.locator("div[class*='rowGrid']").filter(has=link).inner_text().split()[-4:]
        assert numbers == ["3", "0", "3", "0"], table.name  # targeted, in progress, succeeded, failed
    user.shoots("backfill-end")

    runs = [run for run in user.server.runs().values() if run["partition"] in map(str, LATER)]
    assert [run["status"] for run in runs] == ["SUCCESS"] * len(runs)
    assert {run["partition"] for run in runs} == set(map(str, LATER))
    for table in MADE:
        assert lake.dates(table) == [FIRST, *LATER], table.name
        assert user.server.materialized(f"{table.stage}/{table.name}") == [("MATERIALIZED", str(FIRST), str(LATER[-1]))]

    chosen = [lake.manifest(FUTURES_MBP10, date).facts["contract"] for date in (FIRST, *LATER)]
    before = [None, *map(str, (FIRST, *LATER[:-1]))]
    assert [choice["basis"] for choice in chosen] == ["calendar", "volume", "volume", "volume"]
    assert [choice["volume_date"] for choice in chosen] == before
    assert [sorted(lake.manifest(PRIORS, date).facts["dates"]) for date in LATER] == [before[1:end] for end in (2, 3, 4)]

    user.goes(f"assets/bronze/futures_mbp10?view=partitions&partition={LATER[-1]}")
    expect(user.row("facts")).to_contain_text(f'"volume_date": "{LATER[-2]}"')
    user.shoots("contract")
    user.goes(f"assets/gold/training?view=partitions&partition={LATER[-1]}")
    expect(page.get_by_text("Materialized (4)")).to_be_visible()
    expect(user.row("dagster/row_count")).to_contain_text(str(lake.manifest(TRAINING, LATER[-1]).rows))
    user.shoots("training-last")


def test_a_refused_date_shows_why_and_goes_no_further(user: User, refused: dict[str, Any]) -> None:
    from playwright.sync_api import expect

    page, date = user.page, LATER[-1]
    assert (refused["status"], refused["partition"]) == ("FAILURE", str(date))
    with duckdb.connect() as connection:
        measured = geometry(Partition(user.lake, TRAINING, date, connection)).measured

    user.goes("assets/gold/training?view=checks&checkDetail=geometry")
    expect(page.get_by_text("This is a blocking asset check.")).to_be_visible()
    expect(page.get_by_text("outcomes contradict geometry: labels, barriers or volatility are wrong")).to_be_visible()
    expect(page.get_by_text(str(date)).first).to_be_visible()
    for name in ("rows", "touches", "BREAK_z", "CHOP_z", "slope_z"):
        shown = user.row(name).get_by_role("cell").last.inner_text()
        assert float(shown) == pytest.approx(measured[name]), name
    for name in ("BREAK_z", "BOUNCE_z", "CHOP_z", "slope_z"):
        assert user.row(f"threshold: {name}").get_by_role("cell").last.inner_text() == "0.01"
    user.shoots("refused")

    user.goes(f"runs/{refused['runId']}")
    expect(page.get_by_text("Dependencies for step gold_sequences failed: ['gold_training']. Not executing.")).to_be_visible()
    user.shoots("refused-run")
    user.goes(f"assets/gold/sequences?view=partitions&partition={date}")
    expect(page.get_by_text(f"Run {refused['runId'][:8]} failed, and did not materialize this asset.")).to_be_visible()
    expect(user.row("dagster/row_count")).to_contain_text(str(user.lake.manifest(SEQUENCES, date).rows))
    user.shoots("refused-sequences")
