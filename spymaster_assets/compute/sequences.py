"""The time before a landmark in equal steps, seen from the level: what a sequence model reads. docs/physics.md, 8."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spymaster_assets.compute.clock import Clock
from spymaster_assets.compute.context import position
from spymaster_assets.compute.fuel import FuelParams, Options, exposure_at
from spymaster_assets.compute.kernel import kernel
from spymaster_assets.states import ASK, BID, UP

if TYPE_CHECKING:
    from spymaster_assets.config import Config


class SequenceParams(NamedTuple):
    """`tick`, `point`: 1e-9 USD; `second`: snaps in one; `scales`: seconds of a step; `steps`: of each scale."""

    tick: int
    point: int
    second: int
    scales: np.ndarray
    steps: np.ndarray
    depth_ticks: int

    @property
    def rows(self) -> int:
        """Rows of one sequence."""
        return int(self.steps.sum())


def sequence_params(config: Config, second: int) -> SequenceParams:
    """Parameters of the configuration; `second`: snaps in one."""
    rules, instrument = config.sequences, config.instrument
    scales, steps = np.array(rules.scales, np.int64), np.array(rules.steps, np.int64)
    return SequenceParams(instrument.tick, instrument.point, second, scales, steps, rules.depth_ticks)


@kernel
def sequence_at(
    k: int, snaps: np.ndarray, flow: np.ndarray, options: Options, touch: np.ndarray, params: SequenceParams, fuel: FuelParams,
    clock: Clock, rows: np.ndarray,
) -> None:  # fmt: skip
    """Write the sequence of a touch that ends with snap k into `rows` (SEQUENCES.dtype, `params.rows` of them).

    Reads snaps up to k, their flow and options. `touch`: one row.
    """
    elapsed = (k - touch[0]["k"]) / params.second
    at = 0
    for number in range(params.scales.size):
        width = params.scales[number] * params.second
        for step in range(params.steps[number]):
            end = k - (params.steps[number] - 1 - step) * width
            row = rows[at : at + 1]
            row[0]["touch"], row[0]["k"], row[0]["ts"], row[0]["elapsed"] = touch[0]["touch"], k, snaps[k]["ts"], elapsed
            row[0]["scale"], row[0]["step"] = params.scales[number], step
            start = end - width
            known = start >= 0 and snaps[start]["book_ok"] == 1 and snaps[end]["book_ok"] == 1
            row[0]["observed"] = known
            if known:
                row[0]["exposure"] = exposure_at(end, end, touch[0]["price"], snaps, options, fuel, clock).gamma
                _prices(start, end, snaps, touch, params, params.scales[number], row)
                _activity(start, end, snaps, touch, params.scales[number], row)
                _liquidity(start, end, snaps, flow, touch, params, params.scales[number], row)
            else:
                _unknown(row)
            at += 1


@kernel
def _unknown(row: np.ndarray) -> None:
    """Every channel null."""
    row[0]["distance"] = row[0]["return"] = row[0]["volatility"] = row[0]["spread"] = row[0]["microprice"] = np.nan
    row[0]["queue_imbalance"] = row[0]["signed_volume"] = row[0]["trades"] = row[0]["ofi_0"] = row[0]["ofi_1_4"] = np.nan
    row[0]["defending_depth"] = row[0]["attacking_depth"] = np.nan
    row[0]["defending_added"] = row[0]["defending_pulled"] = row[0]["defending_filled"] = np.nan
    row[0]["exposure"] = np.nan


@kernel
def _prices(
    start: int, end: int, snaps: np.ndarray, touch: np.ndarray, params: SequenceParams, seconds: int, row: np.ndarray
) -> None:
    """Where the mid is, how it moved in (start, end], and what the best prices say."""
    sign = 1 if touch[0]["direction"] == UP else -1
    sigma, half_tick = touch[0]["sigma"], params.tick / (2.0 * params.point)
    row[0]["distance"] = position(end, snaps, touch, params.tick, params.point) / (sigma * np.sqrt(240.0))
    squares, before = 0, snaps[start]["mid2"]
    for at in range(start + 1, end + 1):
        if snaps[at]["book_ok"] == 1:
            move = snaps[at]["mid2"] - before
            squares += move * move
            before = snaps[at]["mid2"]
    usual = sigma * np.sqrt(seconds)
    row[0]["return"] = sign * (snaps[end]["mid2"] - snaps[start]["mid2"]) * half_tick / usual
    row[0]["volatility"] = np.sqrt(squares) * half_tick / usual
    bid, ask = snaps[end]["bid_size"][0], snaps[end]["ask_size"][0]
    spread = snaps[end]["ask_ticks"][0] - snaps[end]["bid_ticks"][0]
    imbalance = sign * (bid - ask) / (bid + ask) if bid + ask > 0 else np.nan
    row[0]["spread"], row[0]["queue_imbalance"], row[0]["microprice"] = spread, imbalance, spread / 2.0 * imbalance


@kernel
def _activity(start: int, end: int, snaps: np.ndarray, touch: np.ndarray, seconds: int, row: np.ndarray) -> None:
    """Trades and order-flow imbalance in (start, end]."""
    sign = 1 if touch[0]["direction"] == UP else -1
    share = seconds / 60.0
    bought = snaps[end]["buy_volume"] - snaps[start]["buy_volume"]
    sold = snaps[end]["sell_volume"] - snaps[start]["sell_volume"]
    volume, prints, depth = touch[0]["minute_volume"], touch[0]["minute_prints"], touch[0]["depth"]
    row[0]["signed_volume"] = sign * (bought - sold) / (volume * share) if volume > 0 else np.nan
    row[0]["trades"] = (snaps[end]["prints"] - snaps[start]["prints"]) / (prints * share) if prints > 0 else np.nan
    row[0]["ofi_0"] = sign * (snaps[end]["ofi"][0] - snaps[start]["ofi"][0]) / depth
    deeper = 0
    for level in range(1, 5):
        deeper += snaps[end]["ofi"][level] - snaps[start]["ofi"][level]
    row[0]["ofi_1_4"] = sign * deeper / (4.0 * depth)


@kernel
def _liquidity(
    start: int, end: int, snaps: np.ndarray, flow: np.ndarray, touch: np.ndarray, params: SequenceParams, seconds: int,
    row: np.ndarray,
) -> None:  # fmt: skip
    """Depth of both sides at `end`, and what became of the defending side's lots in (start, end]."""
    up = touch[0]["direction"] == UP
    asks = bids = 0
    for level in range(snaps[end]["ask_size"].size):
        if snaps[end]["ask_ticks"][level] - snaps[end]["ask_ticks"][0] <= params.depth_ticks:
            asks += snaps[end]["ask_size"][level]
        if snaps[end]["bid_ticks"][0] - snaps[end]["bid_ticks"][level] <= params.depth_ticks:
            bids += snaps[end]["bid_size"][level]
    depth, side = touch[0]["depth"], ASK if up else BID
    row[0]["defending_depth"], row[0]["attacking_depth"] = (asks if up else bids) / depth, (bids if up else asks) / depth
    added = pulled = filled = 0
    for at in range(snaps[start]["flow_rows"], snaps[end]["flow_rows"]):
        if flow[at]["side"] == side:
            added += flow[at]["added"]
            pulled += flow[at]["pulled"]
            filled += flow[at]["filled"]
    pace = depth * seconds
    row[0]["defending_added"], row[0]["defending_pulled"], row[0]["defending_filled"] = added / pace, pulled / pace, filled / pace
