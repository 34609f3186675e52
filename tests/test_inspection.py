"""The inspection page: its numbers are the lake's, and a real Chromium shows them from a file."""

from __future__ import annotations

import base64
import json
import math
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spymaster_assets import inspection
from spymaster_assets.features import FEATURES, HORIZONS
from spymaster_assets.fingerprint import Fingerprint
from spymaster_assets.lake import Lake, LakeError
from spymaster_assets.schema import TEXT, Table
from spymaster_assets.sessions import to_datetime
from spymaster_assets.states import ASK, BID, DIRECTIONS, LEVEL_KINDS
from spymaster_assets.tables import BARS, FEATURE_ROWS, FLOW, LABELS, LEVELS, PRINTS, SIGNALS, SNAPS, TOUCHES
from tests import short_day
from tests.rows import plain
from tests.test_browser import CHROMIUM, FLAGS

DATE = short_day.DATE
SECOND = 4  # snaps
TABLES = {FEATURE_ROWS: "features", SIGNALS: "signals", LABELS: "labels", TOUCHES: "touches"}


def publish(root: Path, with_touches: bool = True) -> Lake:
    """The tables of the short day, as a lake."""
    lake, day = Lake(root, short_day.CONFIG), short_day.run(short_day.records())
    touches, labels = day.touches.rows, day.labels()
    ids = np.array(
        [f"{DATE}_{LEVEL_KINDS[t['kind']]}_{t['ticks']}_{t['t0']}_{DIRECTIONS[t['direction']]}" for t in touches], dtype=object
    )
    features, signals = (np.sort(rows, order=["touch", "k"]) for rows in (day.features.rows, day.signals.rows))
    rows = {
        SNAPS: day.snaps, PRINTS: day.prints.rows, FLOW: day.flow.rows, LEVELS: day.levels.rows, TOUCHES: touches,
        BARS: np.concatenate([bars.rows for bars in day.bars.values()]), FEATURE_ROWS: features, SIGNALS: signals, LABELS: labels,
    }  # fmt: skip
    for table, found in rows.items():
        kept = found if with_touches or table not in TABLES else found[:0]
        texts = {}
        if "event_id" in table.names:
            texts["event_id"] = ids[kept["touch"]]
        if table is TOUCHES:
            texts["episode_id"] = ids[kept["episode"]]
        with lake.write(table, DATE, Fingerprint({}, "", "", table.digest)) as writer:
            writer.append_rows(kept, text=texts)
            writer.publish({})
    return lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return publish(tmp_path_factory.mktemp("lake"))


@pytest.fixture(scope="module")
def html(lake: Lake) -> str:
    return inspection.page(lake, DATE)


@pytest.fixture(scope="module")
def data(html: str) -> dict[str, Any]:
    """The JSON of the page, by the letter of the standard: no NaN, no Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"not JSON: {constant}")

    [blob] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    return json.loads(blob, parse_constant=refuse)


def unpacked(text: str) -> np.ndarray:
    kind, coded = text.split(":")
    return np.frombuffer(base64.b64decode(coded), f"<{kind}").astype(np.int64)


def same(shown: Any, stored: Any) -> bool:
    if shown is None or stored is None:
        return shown is stored
    return bool(shown == stored or (isinstance(stored, float) and math.isclose(shown, stored, rel_tol=1e-8)))


def compare(shown: dict[str, list[Any]], table: Table, rows: np.ndarray) -> None:
    """The columns that are shown, but text, against rows of the lake."""
    stored = plain(table, rows)
    for column in table.columns:
        if column.name in shown and column.dtype != TEXT:
            names = column.categories
            told = [names[value] if names and value is not None else value for value in shown[column.name]]
            wanted = [row[column.name] for row in stored]
            assert len(told) == len(wanted) and all(map(same, told, wanted)), column.name


def test_the_short_day_is_worth_looking_at(lake: Lake) -> None:
    touches, features = lake.rows(TOUCHES, DATE), lake.rows(FEATURE_ROWS, DATE)
    assert len(touches) >= 5 and len(features) > len(touches)


@pytest.mark.parametrize("table", [FEATURE_ROWS, LABELS, TOUCHES], ids=lambda table: table.name)
def test_rows_of_touches_are_those_of_the_lake(lake: Lake, data: dict[str, Any], table: Table) -> None:
    shown = data[TABLES[table]]
    left_out = {column.name for column in table.columns} - set(shown)
    assert all(table[name].unit in {"ns UTC", "id"} for name in left_out)
    compare(shown, table, lake.rows(table, DATE))


def test_signals_at_the_landmarks_are_those_of_the_lake(lake: Lake, data: dict[str, Any]) -> None:
    features, signals = lake.rows(FEATURE_ROWS, DATE), lake.rows(SIGNALS, DATE)
    wanted = set(zip(features["touch"].tolist(), features["k"].tolist(), strict=True))
    chosen = np.array([pair in wanted for pair in zip(signals["touch"].tolist(), signals["k"].tolist(), strict=True)])
    assert chosen.sum() == len(features)
    compare(data["signals"], SIGNALS, signals[chosen])


def test_identities_prices_and_moments_are_those_of_the_lake(lake: Lake, data: dict[str, Any]) -> None:
    touches, levels = lake.rows(TOUCHES, DATE), lake.rows(LEVELS, DATE)
    texts = lake.arrays(TOUCHES, DATE, ("event_id", "episode_id"))
    assert {name: data["touches"][name] for name in texts} == {name: words.tolist() for name, words in texts.items()}
    assert [round(p * 1e9) for p in data["touches"]["points"]] == touches["price"].tolist()
    assert [round(p * 1e9) for p in data["levels"]["points"]] == levels["price"].tolist()
    assert data["levels"]["kind"] == levels["kind"].tolist()
    start = data["open_ms"] * 1_000_000
    assert start == lake.rows(SNAPS, DATE)["ts"][0]
    for edge, name in (("from_s", "valid_from"), ("to_s", "valid_to")):
        assert [start + round(s * 1e9) for s in data["levels"][edge]] == levels[name].tolist()
    assert [start + round(k * data["snap_s"] * 1e9) for k in data["touches"]["k"]] == touches["t0"].tolist()
    assert data["offset_s"] == -4 * 3600


def test_bars_are_those_of_the_lake(lake: Lake, data: dict[str, Any]) -> None:
    bars = lake.rows(BARS, DATE)
    compare(data["bars"], BARS, bars[bars["minutes"] == 1])
    assert len(data["bars"]["k"]) == 170  # minutes of the short day


def test_every_second_near_a_touch_has_its_price(lake: Lake, data: dict[str, Any]) -> None:
    snaps = plain(SNAPS, lake.rows(SNAPS, DATE))
    covered: set[int] = set()
    for segment in data["segments"]:
        a, b = segment["from_k"], segment["to_k"]
        series = {name: (unpacked(price["above"]), price["base"]) for name, price in segment["price"].items()}
        for j, k in enumerate(range(a + SECOND, b + 1, SECOND)):
            told = {name: None if above[j] < 0 else int(above[j]) + base for name, (above, base) in series.items()}
            inside = snaps[k - SECOND + 1 : k + 1]
            highs, lows = [s["high"] for s in inside if s["high"] is not None], [s["low"] for s in inside if s["low"] is not None]
            assert told == {
                "mid2": snaps[k]["mid2"], "last": snaps[k]["last"], "high": max(highs, default=None), "low": min(lows, default=None)
            }  # fmt: skip
        assert not covered & set(range(a + 1, b + 1))
        covered |= set(range(a + 1, b + 1))
    last = snaps[-1]["k"]
    for k in data["touches"]["k"]:
        assert covered >= set(range(max(1, k - 300 * SECOND), min(last - 8, k + 540 * SECOND) + 1))


@pytest.mark.parametrize("which", ["near", "regular"])
def test_liquidity_is_that_of_the_lake(lake: Lake, data: dict[str, Any], which: str) -> None:
    snaps, flow = plain(SNAPS, lake.rows(SNAPS, DATE)), plain(FLOW, lake.rows(FLOW, DATE))
    for heat in [segment["heat"] for segment in data["segments"]] if which == "near" else [data["regular"]]:
        a, step, bins = heat["from_k"], heat["step"], heat["bins"]
        wanted: dict[tuple[int, int, int], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        for row in flow:
            if a < row["k"] <= a + bins * step:
                cell = wanted[(row["k"] - 1 - a) // step, ord(row["side"]), row["ticks"]]
                for i, name in enumerate(("added", "pulled", "filled"), 1):
                    cell[i] += row[name]
        for number in range(bins):
            end = snaps[a + (number + 1) * step]
            for side, code in (("bid", BID), ("ask", ASK)):
                for i in range(10):
                    if end[f"{side}_size_{i:02}"]:
                        wanted[number, code, end[f"{side}_ticks_{i:02}"]][0] = end[f"{side}_size_{i:02}"]
        first, count = unpacked(heat["first"]) + heat["base"], unpacked(heat["count"])
        values = iter(zip(*(unpacked(heat[name]).tolist() for name in ("rest", "added", "pulled", "filled")), strict=True))
        found = {
            (place // 2, (BID, ASK)[place % 2], int(first[place]) + j): list(next(values))
            for place in range(2 * bins) for j in range(count[place])
        }  # fmt: skip
        assert next(values, None) is None and bins > 0
        assert {cell: v for cell, v in found.items() if any(v)} == {cell: v for cell, v in wanted.items() if any(v)}


def test_the_trace_is_the_signals_second_by_second(lake: Lake, data: dict[str, Any]) -> None:
    signals = plain(SIGNALS, lake.rows(SIGNALS, DATE))
    for number, trace in enumerate(data["traces"]):
        rows = [row for row in signals if row["touch"] == number and row["elapsed"] % 1 == 0]
        assert len(rows) == len(trace["break_score_raw"])
        for name in inspection.TRACED:
            for shown, row in zip(trace[name], rows, strict=True):
                assert (shown is None) == (row[name] is None) and (shown is None or abs(shown - row[name]) <= 0.005 + 1e-9)
        for name in inspection.TRACED_STATES:
            assert [SIGNALS[name].categories[int(digit)] for digit in trace[name]] == [row[name] for row in rows]


def test_the_page_is_one_file_and_small(html: str, data: dict[str, Any]) -> None:
    assert not re.search(r"""(src|href)=["'](?!data:|#)|https?://|@import|url\(""", html.replace('href="#${', ""))
    assert len(html.encode()) < 2_000_000
    assert {f["name"] for f in data["columns"]["features"]} == {f.name for f in FEATURES}
    assert inspection.PLACE not in html


def test_a_missing_partition_is_named(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="snaps"):
        inspection.page(Lake(tmp_path, short_day.CONFIG), DATE)


def test_neighbourhoods_merge_and_stay_within_the_date() -> None:
    assert inspection.neighbourhoods([], 4, 10_000) == []
    assert inspection.neighbourhoods([1000, 20_003, 21_000], 4, 23_005) == [(0, 3160), (18_800, 23_000)]
    assert inspection.neighbourhoods([5000, 5001], 4, 100_000) == [(3800, 7168)]


# ---- in a browser ----

browser = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM}: apt-get install chromium")


class Window:
    """A page of Chromium that remembers what it complained about and what it asked for."""

    def __init__(self, chromium: Any, file: Path, width: int, height: int, scheme: str = "light") -> None:
        self.page = chromium.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type in {"error", "warning"} else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.as_uri())
        self.page.locator("#heading").wait_for()

    def chosen(self) -> int:
        return int(self.page.locator("#touches [aria-selected=true]").get_attribute("data-touch"))


@pytest.fixture(scope="module")
def chromium() -> Any:
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield found
        found.close()


def number(text: str) -> float:
    """The first number of a text, whatever its minus sign."""
    return float(re.sub(r"[,\s]", "", re.match(r"[−-]?[\d.,]+(?:e[−-]?\d+)?", text.strip())[0]).replace("−", "-"))  # type: ignore[index]


@pytest.mark.browser
@browser
def test_a_user_chooses_a_touch_and_finds_its_numbers(lake: Lake, html: str, chromium: Any, tmp_path: Path) -> None:
    file = tmp_path / "inspect.html"
    file.write_text(html, encoding="utf-8")
    window = Window(chromium, file, 1280, 800)
    page, touches, features = window.page, lake.rows(TOUCHES, DATE), lake.rows(FEATURE_ROWS, DATE)
    at_15 = features[features["elapsed"] == 15]
    wanted = int(at_15["touch"][-1])
    touch, row = touches[wanted], at_15[-1]
    assert wanted > 0 and window.chosen() == 0

    # by click in the list
    page.locator(f"#touch{wanted}").click()
    assert window.chosen() == wanted
    title = page.locator("#title").inner_text()
    moment = to_datetime(int(touch["t0"]), "America/New_York")
    assert LEVEL_KINDS[touch["kind"]] in title and DIRECTIONS[touch["direction"]] in title and f"{moment:%H:%M:%S}." in title
    assert number(page.locator("#title [data-name=price]").inner_text()) == pytest.approx(touch["price"] / 1e9, abs=5e-4)
    for name in ("sigma", "depth", "minute_volume", "atr", "print_spacing"):
        shown = page.locator(f"#facts [data-name={name}]").inner_text()
        assert shown.startswith("–") if math.isnan(touch[name]) else number(shown) == pytest.approx(touch[name], rel=5e-3, abs=5e-4)
    for name in HORIZONS:
        assert number(page.locator(f"#facts [data-name=theta_{name}]").inner_text()) == touch[f"theta_{name}"] / 4
    event = page.locator("#facts [data-name=event_id]").inner_text().strip()
    assert event.endswith(f"_{touch['ticks']}_{touch['t0']}_{DIRECTIONS[touch['direction']]}")

    # every number of a landmark has its cell, or its row says why it is unknown; the foot of the card says it exactly
    cells = set(page.evaluate("[...document.querySelectorAll('#numbers [data-cell]')].map(cell => cell.dataset.cell)"))
    signal = next(s for s in lake.rows(SIGNALS, DATE) if (s["touch"], s["k"]) == (wanted, row["k"]))
    labels, before = lake.rows(LABELS, DATE), {feature.name for feature in FEATURES if feature.known == "t0"}
    label = labels[(labels["touch"] == wanted) & (labels["k"] == row["k"])][0]
    for table, found in ((FEATURE_ROWS, row), (SIGNALS, signal), (LABELS, label)):
        exact = page.evaluate("Object.fromEntries([...explained].map(([key, text]) => [key, text.split('<b>')[1]]))")
        told = 0
        for column in table.columns:
            if column.unit in {"ns UTC", "id"} or column.name in {"touch", "k", "elapsed"}:
                continue
            cell, value = f"{table.name}.{column.name},{'past' if column.name in before else 15}", found[column.name]
            unknown = column.null and bool(column.unknowns(np.array([value])) is not None)
            assert cell in cells or (unknown and f"{table.name}.{column.name},all" in cells), cell
            if column.categories and not unknown:
                assert exact[cell].startswith(column.categories[value]), cell
            elif not unknown and column.unit != "ticks":
                assert number(exact[cell]) == pytest.approx(value, rel=1e-8), cell
            told += not unknown
        assert told > 15
    page.locator('#numbers [data-cell="features.position,15"]').click()
    assert number(page.locator("#explain b").inner_text()) == pytest.approx(row["position"], rel=1e-8)
    assert "toward the break" in page.locator("#explain").inner_text()
    unknown = page.locator("#numbers td.null").first
    assert unknown.inner_text() == "–" and unknown.get_attribute("title")

    # by keyboard
    page.locator("#touches").focus()
    page.keyboard.press("Home")
    assert window.chosen() == 0
    page.keyboard.press("ArrowDown")
    assert window.chosen() == 1 and page.locator("#title").inner_text().split()[0] == "#1"
    page.keyboard.press("End")
    assert window.chosen() == len(touches) - 1
    assert page.locator("#touches").get_attribute("aria-activedescendant") == f"touch{len(touches) - 1}"

    # by click on its triangle
    page.keyboard.press("Home")
    page.wait_for_function("marks.length > 0")
    place = page.evaluate("marks.reduce((a, m) => m.i > a.i ? m : a)")
    box = page.locator("#dayCanvas").bounding_box()
    page.mouse.click(box["x"] + place["x"], box["y"] + place["y"])
    assert abs(window.chosen() - place["i"]) <= 3 and window.chosen() > 0

    # every control; the page stays one screen
    for control in page.locator(".bar button").all():
        control.click()
    for name in ("dayHeat", "nearHeat", "nearSide"):
        for option in page.locator(f"#{name} option").all():
            page.locator(f"#{name}").select_option(option.get_attribute("value"))
            page.mouse.move(box["x"] + 200, box["y"] + 80)
    page.mouse.wheel(0, -200)
    page.wait_for_function("document.querySelector('#dayReadout').textContent.includes('New York')")
    page.locator("#chips button").first.click()
    page.keyboard.press("?")
    assert page.locator("#manual").is_visible()
    assert page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]") == [1280, 800]
    assert window.errors == [] and window.requests == [file.as_uri()]


@pytest.mark.browser
@browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(html: str, chromium: Any, tmp_path: Path, scheme: str) -> None:
    file = tmp_path / "inspect.html"
    file.write_text(html, encoding="utf-8")
    window = Window(chromium, file, 390, 844, scheme)
    assert window.page.evaluate("document.documentElement.scrollWidth") <= 390
    red, green, blue = map(int, re.findall(r"\d+", window.page.evaluate("getComputedStyle(document.body).backgroundColor"))[:3])
    assert (red + green + blue > 600) == (scheme == "light")
    assert window.errors == [] and window.requests == [file.as_uri()]


@pytest.mark.browser
@browser
def test_a_date_without_touches_is_shown_too(chromium: Any, tmp_path: Path) -> None:
    file = tmp_path / "inspect.html"
    file.write_text(inspection.page(publish(tmp_path / "lake", with_touches=False), DATE), encoding="utf-8")
    window = Window(chromium, file, 1280, 800)
    assert "0 touches" in window.page.locator("#heading").inner_text()
    assert "No level was touched" in window.page.locator("#touches").inner_text()
    window.page.locator("[data-view=touch]").click()
    window.page.locator("#dayCanvas").click()
    window.page.keyboard.press("ArrowRight")
    assert window.errors == [] and window.requests == [file.as_uri()]


@browser
def test_a_date_of_which_the_files_hold_an_hour_says_so(chromium: Any, tmp_path: Path) -> None:
    """No touch was seen, since nothing was: the whole date is shown, and why there is no touch."""
    lake, file = publish(tmp_path / "lake", with_touches=False), tmp_path / "inspect.html"
    bars = lake.rows(BARS, DATE)
    with lake.write(BARS, DATE, Fingerprint({}, "", "", BARS.digest)) as writer:
        for name in ("prints", "volume"):  # its prices stand still, as bars without a trade do
            bars[name][bars["k"] > 3600 * SECOND] = 0
        writer.append_rows(bars, {})
        writer.publish({})
    file.write_text(inspection.page(lake, DATE), encoding="utf-8")
    window = Window(chromium, file, 1280, 800)
    assert "the files do not cover it" in window.page.locator("#touches").inner_text()
    assert window.page.evaluate("dayView.a") == 0
    assert window.errors == []


@browser
def test_a_wall_that_jumps_is_no_line_from_price_to_price(html: str, chromium: Any, tmp_path: Path) -> None:
    """Two prices of a level are joined up to four ticks apart, as an average moves; not farther."""
    file = tmp_path / "inspect.html"
    file.write_text(html, encoding="utf-8")
    window = Window(chromium, file, 1280, 800)
    drawn = """(ticks) => {
      const kind = KIND.indexOf("CALL_WALL"), at = 10 * 3600, lines = [];
      const points = [6000, 6000 + ticks * TICK];
      Object.assign(D.levels, { kind: [kind, kind], from_s: [at, at + 60], to_s: [at + 60, at + 120], points });
      const g = new Proxy({}, { get: (_, name) => (...at) => name === "lineTo" && lines.push(at), set: () => true });
      levels(g, { x: 0, y: 0, w: 9, h: 9 }, at, at + 120, (s) => s - at, (p) => p, false);
      return lines;
    }"""
    assert [60, 6001] in window.page.evaluate(drawn, 4)
    assert [60, 6001.25] not in window.page.evaluate(drawn, 5)
