"""The pictures of the page in the README: `python -m tests.live.pictures`, with SPYMASTER_DATA naming a lake with models.

A replay of the latest date in real time, from the minute of its first touch after 10:30 New York time, with a server of its own.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from zoneinfo import ZoneInfo

from spymaster_assets.config import Config
from spymaster_assets.lake import Lake
from spymaster_assets.sessions import calendar, to_datetime
from spymaster_assets.tables import TOUCHES
from tests.live.asking import start
from tests.live.rig import ROOT
from tests.live.screen import Apart, Screen, chromium

HOUR = 60 * 60 * 1_000_000_000  # ns
SEEN = "document.querySelector('.touched:not([hidden]) .state')?.textContent.match(/(\\d+) s ago/)?.[1] > 20"


def main() -> None:
    lake = Lake(Path(os.environ["SPYMASTER_DATA"]), Config())
    date = lake.dates(TOUCHES)[-1]
    opened = calendar(lake.config).session(date).regular.start
    touches = lake.rows(TOUCHES, date)
    touch = touches[touches["t0"] > opened + HOUR][0]
    minute = to_datetime(int(touch["t0"])).astimezone(ZoneInfo(lake.config.sessions.market_zone))
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        rig = Apart(lake.root, Path(folder))
        try:
            rig.serve()
            gateway = start(rig)
            rig.engine()
            rig.feed(date, "--speed", "1", "--from", f"{minute:%H:%M}")
            page = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="dark").new_page()
            screen = Screen(page, Path(folder))
            screen.goes(f"http://127.0.0.1:{gateway.port}/")
            screen.until(f"spymaster.at().market.payload?.ts > {touch['t0']}", "the touch")
            screen.until(SEEN, "a touch that is scored for 20 s")
            for theme in ("dark", "light"):
                screen.until(f"document.documentElement.dataset.theme === '{theme}'", theme)
                page.wait_for_timeout(500)
                page.screenshot(path=ROOT / "docs" / "images" / f"page-{theme}.png")
                page.keyboard.press("t")
        finally:
            rig.stop()


if __name__ == "__main__":
    main()
