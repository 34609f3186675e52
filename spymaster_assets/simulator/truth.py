"""What the simulator knows and the market does not say, written into the lake beside the landing files.

`truth/option_flow`: for every simulated option trade, whether the customer bought or sold. `truth/path`, `truth/touches`, in a
world: the efficient price, its drift and the latents at every snap, and the touches that started drifts. No asset reads them; tests
and reports compare what the pipeline inferred with them. `truth/files.json` lists the landing files that the simulator wrote; it
replaces no others.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from spymaster_assets.config import Config
from spymaster_assets.dbn import columns
from spymaster_assets.fingerprint import Fingerprint, code_digest
from spymaster_assets.lake import Lake
from spymaster_assets.landing import Landing
from spymaster_assets.schema import Table
from spymaster_assets.sessions import NS_PER_SECOND, Session, calendar, utc_day
from spymaster_assets.simulator.drive import DRIFT_STEPS, INTERVAL, Driven
from spymaster_assets.simulator.price import STEP
from spymaster_assets.simulator.rng import ONE
from spymaster_assets.simulator.world import World
from spymaster_assets.simulator.write import simulate
from spymaster_assets.states import DOWN, UP
from spymaster_assets.store import write_atomic
from spymaster_assets.tables import OPTION_FLOW_TRUTH, PATH_TRUTH, TOUCHES_TRUTH


class Occupied(RuntimeError):
    """Simulating would replace files that must stay; says which and what to do."""


class _Written(TypedDict):
    """A file that the simulator wrote: its content's hash and the trading dates in it."""

    digest: str
    dates: list[str]


CODE = tuple(
    f"spymaster_assets.simulator.{name}"
    for name in ("book", "definitions", "drive", "market", "options", "price", "rng", "world", "write")
)


def _unit(config: Config) -> float:
    """Points of 1/65536 tick."""
    return config.instrument.tick / config.instrument.point / ONE


def _path(driven: Driven, session: Session, unit: float) -> np.ndarray:
    """F, volatility, drift and latents at the end of every interval of a date. `unit`: points of 1/65536 tick."""
    k = np.arange(len(driven.prints))
    steps = np.minimum(k * INTERVAL // STEP, len(driven.path) - 1)
    seconds = np.minimum(k * INTERVAL // NS_PER_SECOND, driven.latents.shape[1] - 1)
    rows = np.zeros(len(k), PATH_TRUTH.dtype)
    rows["k"], rows["ts"] = k, session.globex.start + k * INTERVAL
    rows["price"] = driven.path[steps] * unit
    rows["sigma"] = driven.sigma[np.minimum(seconds // 60, len(driven.sigma) - 1)] * unit * sqrt(NS_PER_SECOND / STEP)
    for touch in driven.touches[driven.touches["own"] == 1]:
        first = int(touch["k"]) * INTERVAL // STEP
        runs = (steps >= first) & (steps < first + DRIFT_STEPS)
        rows["drift"][runs] = int(touch["drift"]) * unit * (NS_PER_SECOND // STEP)
        rows["remaining"][runs] = (first + DRIFT_STEPS - steps[runs]) * STEP / NS_PER_SECOND
    for name, latent in zip("wag", driven.latents, strict=True):
        rows[name] = latent[seconds] / ONE
    return rows


def _touches(driven: Driven, session: Session, unit: float) -> np.ndarray:
    """What the simulator saw of touches."""
    found = driven.touches
    rows = np.zeros(len(found), TOUCHES_TRUTH.dtype)
    rows["ts"], rows["kind"], rows["price"] = session.globex.start + found["k"] * INTERVAL, found["kind"], found["price"]
    rows["direction"], rows["own"] = np.where(found["up"] > 0, UP, DOWN), found["own"]
    for name in ("w", "a", "g", "score"):
        rows[name] = found[name] / ONE
    rows["drift"] = found["drift"] * unit * (NS_PER_SECOND // STEP)
    return rows


def simulate_with_truth(
    lake: Lake,
    dates: Sequence[dt.date],
    events_per_session: int,
    seed: int,
    customer_net: Mapping[dt.date, float],
    on_progress: Callable[[str, int, int], None] | None = None,
    world: World | None = None,
) -> list[Path]:
    """Simulate dates into the lake's landing folder and their truth into the lake; the paths of the DBN files.

    Raises Occupied, before anything is written, where that would replace files of a vendor or simulated dates not in `dates`.
    """
    lake = lake.local
    landing, record = Landing(lake.root / "landing", lake.config), lake.root / "truth" / "files.json"
    written: dict[str, _Written] = json.loads(record.read_bytes()) if record.exists() else {}
    _make_sure(landing, [calendar(lake.config).session(date) for date in dates], written)

    def keep(date: dt.date, flow: np.ndarray, driven: Driven) -> None:
        inputs = {
            "seed": str(seed),
            "events": str(events_per_session),
            "net": str(customer_net.get(date, 0.0)),
            "world": str(world),
        }
        parts: dict[Table, Any] = {OPTION_FLOW_TRUTH: columns(flow, OPTION_FLOW_TRUTH.names)}
        if world is not None:
            parts |= {PATH_TRUTH: _path(driven, session_of(date), unit), TOUCHES_TRUTH: _touches(driven, session_of(date), unit)}
        for table in {PATH_TRUTH, TOUCHES_TRUTH} - {*parts}:  # of a market that is no more
            shutil.rmtree(lake.folder(table, date), ignore_errors=True)
        for table, rows in parts.items():
            fingerprint = Fingerprint(
                inputs, lake.config.digest("instrument", "sessions", "fuel"), code_digest(*CODE), table.digest
            )
            with lake.write(table, date, fingerprint) as writer:
                if isinstance(rows, np.ndarray):
                    writer.append_rows(rows, {})
                else:
                    writer.append(rows)
                writer.publish({"world": world.name if world else None})

    session_of, unit = calendar(lake.config).session, _unit(lake.config)

    files = simulate(
        landing.root,
        dates,
        events_per_session=events_per_session,
        seed=seed,
        config=lake.config,
        customer_net=customer_net,
        on_progress=on_progress,
        on_truth=keep,
        world=world,
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
