"""What the simulator knows and the market does not say, written into the lake beside the landing files.

`truth/option_flow`: for every simulated option trade, whether the customer bought or sold. No asset reads it; tests and reports
compare what the pipeline inferred with it. `truth/files.json` lists the landing files that the simulator wrote; it replaces no
others.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np

from spymaster_assets.dbn import columns
from spymaster_assets.lake import Fingerprint, Lake, code_digest, write_atomic
from spymaster_assets.landing import Landing
from spymaster_assets.sessions import Session, calendar, utc_day
from spymaster_assets.simulator.write import simulate
from spymaster_assets.tables import OPTION_FLOW_TRUTH


class Occupied(RuntimeError):
    """Simulating would replace files that must stay; says which and what to do."""


class _Written(TypedDict):
    """A file that the simulator wrote: its content's hash and the trading dates in it."""

    digest: str
    dates: list[str]


CODE = tuple(f"spymaster_assets.simulator.{name}" for name in ("book", "definitions", "market", "options", "price", "rng", "write"))


def simulate_with_truth(
    lake: Lake,
    dates: Sequence[dt.date],
    events_per_session: int,
    seed: int,
    customer_net: Mapping[dt.date, float],
    on_progress: Callable[[str, int, int], None] | None = None,
) -> list[Path]:
    """Simulate dates into the lake's landing folder and their truth into the lake; the paths of the DBN files.

    Raises Occupied, before anything is written, where that would replace files of a vendor or simulated dates not in `dates`.
    """
    landing, record = Landing(lake.root / "landing", lake.config), lake.root / "truth" / "files.json"
    written: dict[str, _Written] = json.loads(record.read_bytes()) if record.exists() else {}
    _make_sure(landing, [calendar(lake.config).session(date) for date in dates], written)

    def keep(date: dt.date, flow: np.ndarray) -> None:
        inputs = {"seed": str(seed), "events": str(events_per_session), "net": str(customer_net.get(date, 0.0))}
        fingerprint = Fingerprint(
            inputs, lake.config.digest("instrument", "sessions"), code_digest(*CODE), OPTION_FLOW_TRUTH.digest
        )
        with lake.write(OPTION_FLOW_TRUTH, date, fingerprint) as writer:
            writer.append(columns(flow, OPTION_FLOW_TRUTH.names))
            writer.publish({})

    files = simulate(
        landing.root,
        dates,
        events_per_session=events_per_session,
        seed=seed,
        config=lake.config,
        customer_net=customer_net,
        on_progress=on_progress,
        on_option_flow=keep,
    )
    names = {path.relative_to(landing.root).as_posix() for path in files}
    for file in landing.scan():
        if file.path in names:
            held = [date for date in dates if utc_day(file.start) in calendar(lake.config).session(date).utc_days]
            written[file.path] = {"digest": file.digest, "dates": sorted(map(str, held))}
    record.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(record, json.dumps(written, indent=0, sort_keys=True).encode())
    return files


def _make_sure(landing: Landing, sessions: Sequence[Session], written: Mapping[str, _Written]) -> None:
    """No vendor's file lies in the way, and no simulated date shares a UTC-day file with `sessions` without being one of them."""
    days, wanted = {day for session in sessions for day in session.utc_days}, {str(session.date) for session in sessions}
    for file in landing.scan():
        if file.problem or not (utc_day(file.start) in days or any(file.overlaps(*session.bronze) for session in sessions)):
            continue
        ours = written.get(file.path)
        if ours is None or ours["digest"] != file.digest:
            raise Occupied(
                f"{landing.path(file)} is not the simulator's: simulate other dates, or into another data folder (--data)"
            )
        if missed := set(ours["dates"]) - wanted:
            raise Occupied(
                f"{landing.path(file)} holds simulated {', '.join(sorted(missed))} too: simulate it together with these dates"
            )
