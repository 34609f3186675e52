"""The page in a real Chromium, what it shows and what it complained about; and a proxy that a browser may be sent through."""

from __future__ import annotations

import os
import re
import select
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nats.aio.client import Client

from tests.chromium import CHROMIUM, FLAGS
from tests.live.rig import Rig

SIZES = {"wide": (1280, 800), "phone": (390, 844)}
PATIENCE = 60  # seconds until something must be shown, on a busy machine
SHOWN = """() => {
  const { market } = spymaster.at();
  const { levels, touches, payload, dealers, strikes, book, heatUntil } = market;
  const heat = [...market.heat].sort(([a], [b]) => a - b);
  const named = ({ time, open, high, low, close, k }) => ({ time, open, high, low, close, k }); // the chart adds more to a bar
  const bars = market.bars.map(named);
  return { bars, levels, touches, outcomes: [...market.outcomes], heat, heatUntil, payload, dealers, strikes, book };
}"""  # everything that the page draws from


class Apart(Rig):
    """A rig beside a browser: Playwright's loop runs in this thread, so that the bus is asked from another one."""

    def ask(self, question: Callable[[Client], Awaitable[Any]]) -> Any:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(super().ask, question).result()


class Screen:
    """A tab. `errors`: of the console and of scripts; `foreign`: what it asked beyond this machine; `shots`: folder of pictures."""

    def __init__(self, page: Any, shots: Path) -> None:
        self.page, self._shots = page, shots
        self.errors: list[str] = []
        self.foreign: list[str] = []
        page.set_default_timeout(PATIENCE * 1000)
        page.on("console", lambda one: self.errors.append(one.text) if one.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self._look(request.url))
        page.on("websocket", lambda one: self._look(one.url))

    def _look(self, url: str) -> None:
        if not re.fullmatch(r"127\.0\.0\.1|(\w+\.)?localhost", urlsplit(url).hostname or ""):
            self.foreign.append(url)

    def goes(self, url: str) -> None:
        self.page.goto(url)

    def is_in(self, *states: str) -> None:
        """Wait until the page is in one of the states."""
        from playwright.sync_api import expect

        expect(self.page.locator("body")).to_have_attribute("data-state", re.compile("|".join(states)), timeout=PATIENCE * 1000)

    def says(self, words: str, at: str = "#notice") -> None:
        """Wait until an element contains words."""
        from playwright.sync_api import expect

        expect(self.page.locator(at).first).to_contain_text(words, timeout=PATIENCE * 1000)

    def text(self, at: str) -> str:
        return str(self.page.locator(at).first.inner_text())

    def value(self, script: str) -> Any:
        return self.page.evaluate(script)

    def until(self, script: str, what: str) -> Any:
        """Wait for a true value of a script."""
        for _ in range(2 * PATIENCE * 10):
            if found := self.page.evaluate(script):
                return found
            self.page.wait_for_timeout(100)
        raise AssertionError(f"{what}: not within {2 * PATIENCE} s")

    def shown(self) -> dict[str, Any]:
        return dict(self.page.evaluate(SHOWN))

    def shoots(self, name: str) -> None:
        """Nothing is cut off at the sides in either size; a picture of each. SPYMASTER_SHOTS: a folder for them, in both themes."""
        wanted = os.environ.get("SPYMASTER_SHOTS")
        folder = Path(wanted) if wanted else self._shots
        folder.mkdir(parents=True, exist_ok=True)
        for size, (width, height) in SIZES.items():
            self.page.set_viewport_size({"width": width, "height": height})
            assert self.page.evaluate("document.documentElement.scrollWidth") <= width, (name, size)
            for _ in ("dark", "light") if wanted else ("dark",):
                theme = self.page.evaluate("document.documentElement.dataset.theme")
                self.page.screenshot(path=folder / f"{name}-{size}-{theme}.png", full_page=bool(wanted))
                if wanted and self.page.evaluate("Boolean(spymaster.at().market)"):
                    self.page.locator("#theme").evaluate("button => button.click()")
                    self.page.wait_for_timeout(300)
        self.page.set_viewport_size({"width": 1280, "height": 800})

    def is_calm(self, *known: str) -> None:
        """It complained of nothing but what a browser itself says of a gateway that is away or refuses: `known` beginnings."""
        complaints = [one for one in self.errors if not one.startswith(known or ("\0",))]
        assert not complaints, complaints
        assert not self.foreign, self.foreign
        self.errors.clear()


AWAY = ("Failed to load resource: ", "WebSocket connection to ")  # what Chromium itself says, whatever a page does about it


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def proxy(port: int) -> Iterator[int]:
    """The port of a proxy to a port of this machine that puts the gateway's name into Host and leaves the browser's Origin."""

    ended = threading.Event()

    def forward(client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", port)) as server, suppress(OSError):
            while not ended.is_set():
                for source in select.select([client, server], [], [], 0.1)[0]:
                    if not (data := source.recv(1 << 16)):
                        return
                    if source is client:
                        server.sendall(re.sub(rb"(?i)\r\nhost: [^\r]*", b"\r\nHost: 127.0.0.1:%d" % port, data))
                    else:
                        client.sendall(data)

    def serve() -> None:
        with ThreadPoolExecutor(32) as pool, suppress(OSError):  # of the socket that is closed at the end
            while True:
                pool.submit(forward, listening.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = threading.Thread(target=serve)
        serving.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            ended.set()
            listening.shutdown(socket.SHUT_RDWR)
            serving.join()
