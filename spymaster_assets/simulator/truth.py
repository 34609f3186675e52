"""What the simulator knows and the market does not say, written into the lake beside the landing files.

`truth/option_flow`: for every simulated option trade, whether the customer bought or sold. No asset reads it; tests and reports
compare what the pipeline inferred with it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from spymaster_assets.dbn import columns
from spymaster_assets.lake import Fingerprint, Lake, code_digest
from spymaster_assets.simulator.write import simulate
from spymaster_assets.tables import OPTION_FLOW_TRUTH

CODE = tuple(f"spymaster_assets.simulator.{name}" for name in ("book", "definitions", "market", "options", "price", "rng", "write"))


def simulate_with_truth(
    lake: Lake,
    dates: Sequence[dt.date],
    events_per_session: int,
    seed: int,
    customer_net: Mapping[dt.date, float],
    on_progress: Callable[[str, int, int], None] | None = None,
) -> list[Path]:
    """Simulate dates into the lake's landing folder and their truth into the lake; the paths of the DBN files."""

    def keep(date: dt.date, flow: np.ndarray) -> None:
        inputs = {"seed": str(seed), "events": str(events_per_session), "net": str(customer_net.get(date, 0.0))}
        fingerprint = Fingerprint(
            inputs, lake.config.digest("instrument", "sessions"), code_digest(*CODE), OPTION_FLOW_TRUTH.digest
        )
        with lake.write(OPTION_FLOW_TRUTH, date, fingerprint) as writer:
            writer.append(columns(flow, OPTION_FLOW_TRUTH.names))
            writer.publish({})

    return simulate(
        lake.root / "landing",
        dates,
        events_per_session=events_per_session,
        seed=seed,
        config=lake.config,
        customer_net=customer_net,
        on_progress=on_progress,
        on_option_flow=keep,
    )
