"""The page in a real Chromium: every state it can be in, and that its numbers are the lake's and the stream's.

One gateway with a token; the tests stand in the order of what happens on the bus. Pictures lie in `shots` below pytest's folder.
They stay in one file, because lake, server, gateway and browser take seconds to start and one session runs through them.
"""

import http.client
import json
import signal
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spymaster_assets.config import Config
from spymaster_assets.fingerprint import Fingerprint
from spymaster_assets.lake import Lake
from spymaster_assets.models.artifacts import ModelManifest
from spymaster_assets.states import OUTCOMES
from spymaster_assets.tables import BARS, FEATURE_ROWS, FLOW, LABELS, LEVELS, PATH_TRUTH, PREDICTIONS, SIGNALS, SNAPS, TOUCHES
from spymaster_live.gateway import wire
from spymaster_live.gateway.serving import PAGE
from tests.chromium import CHROMIUM
from tests.live.asking import TOKEN, Asked, said, start
from tests.live.rig import make_silver, short, small_lake
from tests.live.screen import AWAY, Apart, Screen, chromium, proxy
from tests.live.test_faults import DATE

VENDOR = PAGE / "vendor" / "lightweight-charts.mjs"
QUICK = """
[live.gateway]
stale_seconds = 6.0
requests_per_second = 1000.0
connects_per_second = 1000.0
"""
MODEL = "0123456789abcdef"
TICK = 0.25

browser_tests = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM}: apt-get install chromium"),
    pytest.mark.skipif(not VENDOR.exists(), reason=f"no {VENDOR.name}: make page"),
]


def browser(test: Any) -> Any:
    for mark in browser_tests:
        test = mark(test)
    return test


# ---- a browser, a server, a gateway ----


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = small_lake(tmp_path_factory.mktemp("lake"), DATE, 20_000)
    make_silver(root, DATE)
    with Lake(root, Config()).write(PATH_TRUTH, DATE, Fingerprint({}, "config", "code", PATH_TRUTH.digest)) as writer:
        writer.append_rows(np.zeros(1, PATH_TRUTH.dtype), {})  # what the simulator leaves
        writer.publish({})
    return root


@pytest.fixture(scope="module")
def live(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    folder = tmp_path_factory.mktemp("live")
    made = Apart(lake, folder, {"": short(folder / "quick.toml", QUICK)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPYMASTER_GATEWAY_TOKEN", TOKEN)
        try:
            made.serve()
            yield made
        finally:
            made.stop()


@pytest.fixture(scope="module")
def gateway(live: Apart) -> Asked:
    asked = start(live)
    asked.until(lambda told: told.get("why") == "no session has begun")
    return asked


@pytest.fixture(scope="module")
def tabs(gateway: Asked, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Makes a tab, with a token unless none is wanted."""
    folder = tmp_path_factory.mktemp("shots")
    with chromium() as running:

        def tab(path: str | None = "", authorized: bool = True) -> Screen:
            context = running.new_context(viewport={"width": 1280, "height": 800}, color_scheme="dark")
            screen = Screen(context.new_page(), folder)
            if path is not None:
                screen.goes(f"http://127.0.0.1:{gateway.port}/{path}" + (f"#token={TOKEN}" if authorized else ""))
            return screen

        yield tab


@pytest.fixture(scope="module")
def watched(tabs: Any) -> Screen:
    """A tab that stays open from before the session to its end, and is never loaded again."""
    screen = tabs()
    screen.value("window.first = true")
    return screen


def table(of: Any, rows: np.ndarray) -> list[dict[str, Any]]:
    told = json.loads(wire.encoded(of, rows))
    return [dict(zip(told["columns"], row, strict=True)) for row in told["rows"]]


def crown(lake: Path) -> None:
    """A champion that is named, and of which no file is there."""
    folder = lake / "models" / "trees" / f"date={DATE}"
    folder.mkdir(parents=True, exist_ok=True)
    model = ModelManifest(
        "trees", str(DATE), "trained", MODEL, {"trees.txt": "0" * 64}, Fingerprint({}, "config", "code", "schema")
    )
    (folder / "manifest.json").write_bytes(model.encode())
    (lake / "models" / "champion.json").write_text(json.dumps({"name": "trees", "since": None, "why": "a test", "verdicts": []}))


# ---- before anything begins ----


@browser
def test_while_it_loads_it_says_so(tabs: Any, gateway: Asked) -> None:
    screen = tabs(None)
    held: list[Any] = []
    screen.page.route("**/api/tables", lambda route: held.append(route))
    screen.goes(f"http://127.0.0.1:{gateway.port}/#token={TOKEN}")
    screen.is_in("loading")
    screen.says("Loading…")
    screen.shoots("loading")
    assert held
    held[0].continue_()
    screen.is_in("empty")
    screen.is_calm(*AWAY)
    screen.page.close()


@browser
def test_without_a_session_it_says_what_to_do(watched: Screen) -> None:
    watched.is_in("empty")
    watched.says("no session has begun: start a feed, or choose a date")
    watched.shoots("empty")
    watched.is_calm(*AWAY)  # /readyz answers 503


@browser
def test_the_token_leaves_the_address_at_once(watched: Screen, gateway: Asked) -> None:
    assert watched.page.url == f"http://127.0.0.1:{gateway.port}/"
    assert watched.value("document.referrer") == "" and watched.value("history.length") <= 2
    assert TOKEN not in watched.page.content()


@browser
def test_a_missing_and_a_wrong_token_are_told_and_a_right_one_lets_in(tabs: Any) -> None:
    screen = tabs(authorized=False)
    for token in ("a-wrong-token-for-tests", TOKEN):
        screen.is_in("token")
        screen.says("The gateway wants a token: the token is missing or wrong.")
        screen.shoots("token")
        with screen.page.expect_navigation():
            screen.page.locator("#token").fill(token)
            screen.page.keyboard.press("Enter")
    screen.is_in("empty")
    screen.is_calm(*AWAY)
    screen.page.close()


@browser
def test_a_wrong_origin_and_a_wrong_name_are_told(tabs: Any, gateway: Asked) -> None:
    screen = tabs(None)
    with proxy(gateway.port) as port:
        screen.goes(f"http://127.0.0.1:{port}/#token={TOKEN}")
        screen.is_in("refused")
        screen.says("this page may not ask: [live.gateway] origins")
        screen.shoots("refused")
        screen.is_calm(*AWAY)
    screen.goes(f"http://desk.localhost:{gateway.port}/")
    assert "this name is not one of the gateway's: [live.gateway] hosts" in screen.text("body")
    screen.page.close()


@browser
def test_the_page_is_told_to_ask_nobody_else(gateway: Asked) -> None:
    _, _, headers = gateway.ask("/")
    assert headers["content-security-policy"] == "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


# ---- a day of the lake ----


@pytest.fixture(scope="module")
def stored(lake: Path, live: Apart) -> Lake:
    return Lake(lake, live.config())


@pytest.fixture(scope="module")
def predicted(lake: Path, stored: Lake) -> np.ndarray:
    """Predictions of the date as a champion would have made them; live begins without one."""
    features = stored.rows(FEATURE_ROWS, DATE)
    rows = np.zeros(len(features), PREDICTIONS.dtype)
    for name in PREDICTIONS.dtype.names:
        if rows[name].dtype.kind == "f":
            rows[name] = np.nan
    for name in ("touch", "k", "ts", "elapsed"):
        rows[name] = features[name if name in features.dtype.names else "t_decision"]
    rng = np.random.default_rng(1)
    for name, share in zip(("break", "bounce", "chop"), rng.dirichlet((2, 2, 2), len(rows)).T, strict=True):
        rows[f"trees_{name}"] = share
    rows["trees_set"] = 7
    with stored.write(PREDICTIONS, DATE, Fingerprint({}, "config", "code", PREDICTIONS.digest)) as writer:
        writer.append_rows(rows, {"event_id": np.array(["of a test"] * len(rows), object)})
        writer.publish({})
    crown(lake)
    return rows


@pytest.fixture(scope="module")
def day(tabs: Any, predicted: np.ndarray) -> Iterator[Screen]:
    screen = tabs(f"?date={DATE}")
    screen.is_in("day")
    screen.until("spymaster.at().market.heat.size", "liquidity")
    yield screen
    screen.is_calm()
    screen.page.close()


def heat_of(lake: Lake, ends: set[int]) -> dict[tuple[int, str, int], list[int]]:
    """Liquidity by minute, side and price: resting at the minute's end, added, pulled, filled; added up here, row by row."""
    snaps, flow = lake.rows(SNAPS, DATE), lake.rows(FLOW, DATE)
    cells: dict[tuple[int, str, int], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for snap in snaps[np.isin(snaps["k"], list(ends))]:
        for side, name in (("B", "bid"), ("A", "ask")):
            for ticks, size in zip(snap[f"{name}_ticks"], snap[f"{name}_size"], strict=True):
                if size > 0:
                    cells[int(snap["k"]), side, int(ticks)][0] += int(size)
    for row in flow:
        end = -(-int(row["k"]) // 240) * 240
        if end in ends:
            cell = cells[end, chr(row["side"]), int(row["ticks"])]
            for place, name in enumerate(("added", "pulled", "filled"), 1):
                cell[place] += int(row[name])
    return {key: cell for key, cell in cells.items() if any(cell)}


def at(clock: str) -> int:
    """The snap that ends at a New York time."""
    hours, minutes = map(int, clock.split(":"))
    return ((hours + 6) * 60 + minutes) * 240


def same_as_the_lake(shown: dict[str, Any], lake: Lake) -> None:
    """Bars, levels, touches and liquidity."""
    bars = [bar for bar in table(BARS, lake.rows(BARS, DATE)) if bar["minutes"] == 1 and bar["close"] is not None]
    names = ("open", "high", "low", "close")
    assert [[bar["k"], bar["time"] + 60, *(bar[name] for name in names)] for bar in shown["bars"]] == [
        [bar["k"], bar["ts"] / 1e9, *(bar[name] * TICK for name in names)] for bar in bars
    ]
    for name, of in (("levels", LEVELS), ("touches", TOUCHES)):
        mine = [{**row, "points": row["price"] / 1e9} for row in table(of, lake.rows(of, DATE))]
        assert len(mine) > 3
        assert sorted(map(rounded, shown[name])) == sorted(map(rounded, mine)), name
    cells = {(cell["k"], cell["side"], cell["ticks"]): [cell[name] for name in ("rest", "added", "pulled", "filled")]
             for end, column in shown["heat"] if end <= shown["heatUntil"] for cell in column}  # fmt: skip
    ends = {k for k, _, _ in cells}
    assert set(range(at("09:30") + 240, at("10:30") + 1, 240)) <= ends  # and minutes after it in which a touch was still scored
    assert cells == heat_of(lake, ends) and len(cells) > 100


def rounded(row: dict[str, Any]) -> str:
    """A row as a browser has it: numbers are doubles."""
    return json.dumps(json.loads(json.dumps(row), parse_int=float), sort_keys=True)


@browser
def test_a_day_shows_the_numbers_of_the_lake(day: Screen, stored: Lake) -> None:
    shown = day.shown()
    same_as_the_lake(shown, stored)
    labels = stored.rows(LABELS, DATE)
    labels = labels[labels["elapsed"] == 0]
    assert dict(map(tuple, shown["outcomes"])) == {
        int(row["touch"]): OUTCOMES[row["outcome_4min"]] if row["outcome_4min"] >= 0 else None for row in labels
    }
    assert day.text("#mode") == "DAY" and day.text("#model") == f"Model: trees {MODEL}"
    day.says("what is paler came later")
    day.says("A simulated date: it tells nothing of the market.")
    day.says("No earlier date has outcomes", "#past")
    day.shoots("day")


@browser
def test_a_card_says_what_silver_and_the_predictions_say(day: Screen, stored: Lake, predicted: np.ndarray) -> None:
    """At every landmark of three touches: the words and numbers on the card, read from the page."""
    signals, touches = table(SIGNALS, stored.rows(SIGNALS, DATE)), table(TOUCHES, stored.rows(TOUCHES, DATE))
    of = {(row["touch"], row["k"]): row for row in signals}
    scored = [row for row in predicted if (int(row["touch"]), int(row["k"])) in of]
    chosen = scored[:: max(1, len(scored) // 6)]
    assert len(chosen) >= 3
    for row in chosen:
        touch, k = int(row["touch"]), int(row["k"])
        signal, kind = of[touch, k], touches[touch]["kind"]
        day.value(f"spymaster.page.day.go({k})")
        day.until(f"spymaster.at().market.payload.snap === {k}", "the moment")
        day.until("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))", "a frame")
        card = f'.card[aria-label="{kind}"]'
        told = [cell.split("\t") for cell in day.text(f"{card} table").split("\n")]
        parts = {"barrier": "score_liquidity", "fuel": "score_hedge", "tape": "score_tape"}
        assert [line[:2] for line in told if line[0] in parts] == [[part, whole(signal[name])] for part, name in parts.items()]
        assert day.page.locator(f"{card} .dial .number").text_content() == whole(signal["break_score_smooth"])
        points = [float(line[2]) for line in told if line[0] in parts and line[2] != "–"]
        assert sum(points) == pytest.approx(signal["break_score_raw"], abs=0.16)
        odds = [f"{round_half_up(100 * float(row[f'trees_{name}']))} %" for name in ("break", "bounce", "chop")]
        far = touches[touch]["theta_4min"] * TICK
        said = day.text(f"{card} .said")
        assert said.startswith(f"Within 4 min, {far:.2f} pt from the level: break {odds[0]}, bounce {odds[1]}, neither {odds[2]}.")
        price = touches[touch]["price"] / 1e9
        assert day.text(f"{card} h3") == f"{kind} {price:,.2f}" or kind.startswith("SMA")
    day.shoots("touch")


def whole(value: float | None) -> str:
    return "–" if value is None else str(round_half_up(value))


def round_half_up(value: float) -> int:
    return int(np.floor(value + 0.5))


@browser
def test_everything_is_done_without_a_mouse(day: Screen) -> None:
    """Tab reaches whatever can be used, in the order of the page, and every key does what the help says."""
    page, keys = day.page, day.page.keyboard
    page.locator("body").evaluate("body => { body.tabIndex = -1; body.focus(); }")
    reached = []
    for _ in range(24):
        keys.press("Tab")
        reached.append(
            str(day.value("document.activeElement.id || document.activeElement.className || document.activeElement.tagName"))
        )
    wanted = ["date", "theme", "help-open", "play", "step", "seek", "speed", "slider"]
    assert [name for name in dict.fromkeys(reached) if name in wanted] == wanted and "chart" in reached
    assert any(name.startswith("card") for name in reached)
    theme = day.value("document.documentElement.dataset.theme")
    keys.press("t")
    assert day.value("document.documentElement.dataset.theme") != theme
    keys.press("t")
    for wanted_mode in ("traded", "pulled", "added", "resting"):
        keys.press("h")
        assert day.text('#heat-modes [aria-pressed="true"]') == wanted_mode
    for key, focused in (("c", "chart"), ("d", "date")):
        keys.press(key)
        assert day.value("document.activeElement.id") == focused
        day.value("document.activeElement.blur()")
    keys.press("1")
    assert day.value("document.activeElement.className").startswith("card")
    touches = day.shown()["touches"]
    day.value(f"spymaster.page.day.go({touches[1]['k']})")
    for key, touch in (("ArrowRight", 2), ("ArrowLeft", 1), ("ArrowLeft", 0)):
        keys.press(key)
        assert day.value("spymaster.page.day.k") == touches[touch]["k"]
    keys.press(".")
    assert day.value("spymaster.page.day.k") == touches[0]["k"] + 4
    keys.press(" ")
    day.until(f"spymaster.page.day.k > {touches[0]['k']} + 40", "it plays")
    keys.press(" ")
    assert day.value("spymaster.page.day.playing") is False
    day.until("!spymaster.page.day.asking", "the moment is there")
    width = "(() => { const { from, to } = spymaster.at().chart.range; return [to - from, from]; })()"
    before = day.value(width)
    keys.press("+")
    day.until(f"Math.abs({width}[0] - {before[0]} * 0.7) < 0.01", "it zooms")
    keys.press("]")
    assert day.value(width)[1] > before[1]
    keys.press("?")
    assert day.value("document.getElementById('help').open")
    day.shoots("help")
    keys.press("Escape")
    assert not day.value("document.getElementById('help').open")
    page.locator("#seek").fill("10:00:01")
    keys.press("Enter")
    day.until(f"spymaster.page.day.k === {at('10:00') + 4}", "10:00:01")
    day.says("10:00:01 New York", "#clock")


@browser
def test_the_nearest_touches_say_why_there_are_none(day: Screen) -> None:
    k = day.shown()["touches"][0]["k"]
    day.value(f"spymaster.page.day.go({k})")
    day.page.locator(".card summary:visible").first.click()
    day.says("This date has no index of earlier touches.", ".analogs:visible")


@browser
def test_a_date_that_the_lake_does_not_have_is_told(tabs: Any) -> None:
    screen = tabs("?date=2025-06-04")
    screen.is_in("failed")
    screen.says("the lake has no")
    screen.says("spymaster day 2025-06-04")
    screen.shoots("failed")
    screen.goes(screen.page.url.replace("2025-06-04", "2025-06-07"))
    screen.says("weekend")
    screen.is_calm(*AWAY)
    screen.page.close()


# ---- a session ----


@pytest.fixture(scope="module")
def session(live: Apart, gateway: Asked, watched: Screen, lake: Path) -> Asked:
    """A replay in real time from a minute before scores begin."""
    (lake / "models" / "champion.json").unlink(missing_ok=True)
    live.engine()
    live.feed(DATE, "--speed", "1", "--from", "09:29")
    gateway.until(lambda told: told.get("run") is not None)
    return gateway


@browser
def test_before_the_open_it_waits(session: Asked, watched: Screen) -> None:
    watched.is_in("waiting")
    watched.says("scores begin at 09:30")
    assert watched.text("#mode") == "REPLAY"
    watched.says("No model serves this date")
    watched.shoots("waiting")


@browser
def test_a_paused_replay_is_steered_from_the_page(session: Asked, watched: Screen) -> None:
    watched.page.locator("#play").click()
    watched.is_in("paused")
    watched.says("The replay is paused.")
    watched.page.locator("#seek").fill("09:50")
    watched.page.keyboard.press("Enter")
    watched.until(f"(spymaster.at().market.payload?.snap ?? 0) >= {at('09:50')}", "09:50")
    watched.is_in("paused")
    watched.shoots("paused")
    before = watched.value("spymaster.at().market.payload.snap")
    watched.page.locator("#step").click()
    watched.until(f"spymaster.at().market.payload.snap > {before}", "a second more")
    watched.is_calm(*AWAY)


@browser
def test_a_time_that_is_none_is_refused_in_its_field(session: Asked, watched: Screen) -> None:
    watched.page.locator("#seek").fill("soon")
    watched.page.keyboard.press("Enter")
    assert not watched.value("document.getElementById('seek').validity.valid")
    watched.page.locator("#seek").fill("")
    watched.is_in("paused")


@browser
def test_an_engine_behind_its_replay_is_told(session: Asked, watched: Screen) -> None:
    """As after a seek far ahead: the feed's place is put ahead here, and what comes is not heard meanwhile."""
    watched.page.evaluate("const { market } = spymaster.at(); market.hear = () => {}; market.status.replay.position += 20 * 60e9")
    watched.is_in("behind")
    watched.says("Catching up: 20 min behind.")
    assert watched.text("#age") == ""
    watched.shoots("behind")
    watched.page.evaluate("Object.assign(spymaster.at().market, { payload: null, book: null }).status.watermark = null")
    watched.is_in("paused")  # where the engine stands is not known: that is not far behind
    watched.page.evaluate("delete spymaster.at().market.hear; spymaster.page.stream.socket.close()")  # all of it again
    watched.is_in("paused")


@browser
def test_while_all_is_well_it_says_nothing_and_goes_on(session: Asked, watched: Screen) -> None:
    watched.page.locator("#play").click()
    watched.is_in("fresh")
    seq = watched.value("spymaster.page.stream.place.after")
    watched.until(f"spymaster.page.stream.place.after > {seq} + 3", "messages")
    watched.is_in("fresh")
    assert watched.value("document.getElementById('stale').hidden === (document.body.dataset.state === 'fresh')")
    watched.says("No model serves this date")
    watched.shoots("fresh")


@browser
def test_silence_is_told_first_as_stale_then_with_its_reason(live: Apart, session: Asked, watched: Screen) -> None:
    live.signal("feed", signal.SIGSTOP)
    watched.is_in("stale")
    watched.says("Nothing new for")
    assert watched.page.locator("#stale").is_visible()
    watched.shoots("stale")
    watched.is_in("degraded")
    watched.says("Not to be trusted now: the market's clock stands")
    watched.shoots("degraded")
    live.signal("feed", signal.SIGCONT)
    watched.is_in("fresh")


@browser
@pytest.mark.parametrize("name", ["engine", "gateway", "nats-server"])
def test_a_kill_is_told_and_survived_without_a_reload(live: Apart, session: Asked, watched: Screen, name: str) -> None:
    watched.is_in("fresh")
    live.kill(name)
    watched.is_in(*(("disconnected",) if name == "gateway" else ("stale", "degraded")))
    assert watched.page.locator("#stale").is_visible()
    if name == "gateway":
        watched.says("Trying again")
        watched.shoots("disconnected")
    live.start(name)
    watched.is_in("fresh")
    snap = watched.value("spymaster.at().market.payload.snap")
    watched.until(f"spymaster.at().market.payload.snap > {snap}", "new scores")
    assert watched.value("window.first") is True
    watched.is_calm(*AWAY)


@pytest.mark.slow
@browser
def test_what_a_replay_ends_with_is_a_fresh_load_and_the_lake(
    live: Apart, session: Asked, watched: Screen, tabs: Any, stored: Lake
) -> None:
    for wanted in ({"do": "seek", "to": "16:59:59"}, {"do": "speed", "speed": 0}, {"do": "start"}):  # in large frames up to there
        code, told = session.order(**wanted)
        assert code == 200, told
    session.until(lambda told: told.get("rest") == "the date is over", seconds=120)
    watched.is_in("ended")
    watched.says("is over: this is how it ended.")
    end = at("10:30")
    watched.until(f"spymaster.at().market.heatUntil >= {end}", "liquidity of the last minute")
    fresh = tabs()
    fresh.is_in("ended")
    fresh.until(f"spymaster.at().market.heatUntil === {watched.value('spymaster.at().market.heatUntil')}", "the same")
    mine, theirs = watched.shown(), fresh.shown()
    for name in mine:
        assert mine[name] == theirs[name], name
    same_as_the_lake(mine, stored)
    assert watched.value("window.first") is True
    watched.shoots("ended")
    fresh.is_calm(*AWAY)  # the engine has ended, which /readyz tells
    fresh.page.close()
    assert rounded(mine["payload"]) == rounded(session.get("/api/levels"))


@browser
def test_a_day_says_what_live_said(live: Apart, session: Asked, stored: Lake) -> None:
    """The object of every landmark, member by member in its order; live had no model, and the lake's is taken away here."""
    told = {}
    run = live.run()
    for _, subject, headers, data in said(live):
        if subject == "levels.signals" and headers["Run"] == run:
            told |= {json.loads(line)["snap"]: line for line in data.splitlines()}
    landmarks = sorted({int(k) for k in stored.rows(FEATURE_ROWS, DATE)["k"]} & set(told))
    assert len(landmarks) > 10
    for k in landmarks:
        text = raw(session, f"/api/moment?date={DATE}&k={k}")
        assert b'"signals":[%b]' % told[k] in text, k


def raw(asked: Asked, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", asked.port, timeout=30)
    connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
    text = connection.getresponse().read()
    connection.close()
    return text


@browser
def test_who_joined_late_and_whose_model_cannot_be_used_is_told(live: Apart, session: Asked, lake: Path, watched: Screen) -> None:
    crown(lake)
    live.kill("feed")
    live.engine()
    live.feed(DATE, "--speed", "1", "--join", "09:00", "--from", "09:31")
    watched.says("Joined late: what reaches back before that is unknown.")
    watched.says("The model cannot be used: ")
    watched.shoots("partial")
    assert watched.value("window.first") is True
    watched.is_calm(*AWAY)


def test_the_token_is_in_no_log(live: Apart) -> None:
    for path in live.folder.glob("*.log"):
        assert TOKEN not in path.read_text()
