"""A trading date as growing tables, and the order of the steps that make them: one path for batch and live.

`Day.take` feeds records, `Day.complete` says up to when they came; every step then runs over the snaps that were closed. Each step
is a function of the tables up to its snap and of its own state, so chunks, frames and restarts do not show in the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spymaster_assets.compute.approach_at import Known, approach_at, approach_params
from spymaster_assets.compute.bars import advance_bars
from spymaster_assets.compute.clock import NS, clock_of
from spymaster_assets.compute.context import resolved
from spymaster_assets.compute.features_at import features_at
from spymaster_assets.compute.fuel import Chain
from spymaster_assets.compute.grid import ROOM, GridParams, advance_grid, close_grid, new_grid
from spymaster_assets.compute.growing import Growing
from spymaster_assets.compute.labels import label_params, labels_at
from spymaster_assets.compute.levels import SUMS, Path, advance_levels, level_params
from spymaster_assets.compute.option_flow import OptionGrid
from spymaster_assets.compute.physics import physics
from spymaster_assets.compute.references import freeze, reference_params
from spymaster_assets.compute.score import SCORING, advance_signals, score_params
from spymaster_assets.compute.sequences import sequence_at, sequence_params
from spymaster_assets.compute.summary import day_summary
from spymaster_assets.compute.touches import KINDS, advance_touches, new_touches, touch_params
from spymaster_assets.compute.volatility import SAMPLE, advance_samples, sigma_at, stated_shape, theta_ticks, volatility_params
from spymaster_assets.features import HORIZONS
from spymaster_assets.tables import BARS, FEATURE_ROWS, FLOW, LABELS, LEVELS, PRINTS, PRIORS, SEQUENCES, SIGNALS, SNAPS, TOUCHES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from spymaster_assets.config import Config
    from spymaster_assets.sessions import Session

NO_PRIORS = np.zeros(0, PRIORS.dtype)


class Day:
    """The tables of one trading date in memory. `priors`: 144 rows, or NO_PRIORS; `depth`: levels of the records' schema.
    `complete_from`: ns UTC after which every record comes, if not from the open on.

    `snaps` has room for the whole date; rows up to `closed` are there. The other tables grow. Everything is a plain array, so a Day
    can be pickled at any moment and goes on afterwards.
    """

    def __init__(
        self, session: Session, config: Config, priors: np.ndarray = NO_PRIORS, depth: int = 10, complete_from: int | None = None
    ) -> None:
        clock = clock_of(session, config, complete_from)
        self.config, self.clock = config, clock
        known = len(priors) > 0 and not np.isnan(priors["diffusion"]).all()
        self.priors, self.given = priors if known else NO_PRIORS, priors  # as given they may know the day before alone
        self.grid_params = GridParams(
            open=clock.open, interval=clock.interval, count=clock.count, regular_start=clock.regular_start,
            tick=config.instrument.tick, depth=depth, cluster_gap=config.grid.cluster_gap_ns,
            cluster_permille=round(config.tape.sweep_percentile * 1000), reference_clusters=config.grid.reference_clusters,
        )  # fmt: skip
        self.touch_params, self.volatility_params = touch_params(config), volatility_params(config)
        self.reference_params = reference_params(config, depth)
        self.physics = physics(config, clock, self.priors)
        self.physics = self.physics._replace(barrier=self.physics.barrier._replace(depth=depth))
        self.level_params = level_params(config, self.physics.fuel)
        self.approach_params = approach_params(config, self.physics, self.priors)
        self.score_params, self.label_params = score_params(config, clock.second), label_params(config, clock.second)
        self.sequence_params = sequence_params(config, clock.second)
        self.diffusion = np.ascontiguousarray(self.priors["diffusion"]) if known else stated_shape(config)

        self.grid, self.touching = new_grid(self.grid_params), new_touches()
        self.snaps, self.closed = np.zeros(clock.count + 1, SNAPS.dtype), -1
        self.prints, self.flow = Growing(PRINTS.dtype), Growing(FLOW.dtype)
        self.bars = {minutes: Growing(BARS.dtype) for minutes in config.levels.bar_minutes}
        self.options, self.chain = OptionGrid(clock), Chain()
        self.samples, self.levels, self.touches = Growing(SAMPLE), Growing(LEVELS.dtype), Growing(TOUCHES.dtype, 64)
        self.scoring, self.signals, self.features = Growing(SCORING, 64), Growing(SIGNALS.dtype), Growing(FEATURE_ROWS.dtype, 64)
        self.approach = Growing(FEATURE_ROWS.dtype, 64)
        self.vwap_sums = np.zeros(1, SUMS)

    @classmethod
    def of(cls, session: Session, config: Config, priors: np.ndarray, tables: Mapping[str, np.ndarray]) -> Day:
        """A finished day from its tables by name, those that there are; the steps run over the others."""
        day = cls(session, config, priors)
        day.snaps, day.closed = tables["snaps"], day.clock.count
        for name in ("prints", "flow", "levels", "touches"):
            if name in tables:
                setattr(day, name, Growing.of(tables[name]))
        day.options.flow = Growing.of(tables.get("option_flow", day.options.flow.rows))
        if "open_interest" in tables:
            day.chain.open_with(tables["open_interest"])
        day.advance_options()
        if "bars" in tables:
            day.bars = {minutes: Growing.of(tables["bars"][tables["bars"]["minutes"] == minutes]) for minutes in day.bars}
        return day

    # ---- the grid ----

    def take(self, records: np.ndarray) -> None:
        """Feed MBP-10 rows, in arrival order. Raises ValueError for a record after the date's end."""
        start, records = 0, np.ascontiguousarray(records)
        words = records.view(np.uint64).reshape(len(records), records.dtype.itemsize // 8)
        while start < len(records):
            prints, flow = self.prints.reserve(len(records) - start), self.flow.reserve(2 * ROOM)
            try:
                start = advance_grid(records, words, start, *self.grid, self.snaps, prints, flow, self.grid_params)
            finally:  # what came before a record that is refused counts
                self.prints.count, self.flow.count = int(self.grid.now["prints"][0]), int(self.grid.now["flow_rows"][0])

    def complete(self, watermark: int) -> None:
        """Everything with an effective time up to `watermark` (ns UTC) was fed, options too: close the snaps that end by then."""
        close_grid(watermark, *self.grid, self.snaps, self.flow.reserve(ROOM), self.grid_params)
        ended = (watermark - self.clock.open) // self.clock.interval
        self.closed = max(self.closed, min(ended, int(self.grid.hidden["k"][0]) - 1))
        self.options.advance(self.closed)

    # ---- the steps after it, each over the snaps it has not seen ----

    def step(self, records: np.ndarray, watermark: int | None = None) -> None:
        """Feed records and run every step over the snaps that they close; `watermark`: everything up to it has come."""
        self.take(records)
        if watermark is not None:
            self.complete(watermark)
        self.advance_options()
        self.advance_path()
        self.advance_touches()
        self.advance_features()
        self.advance_signals()

    def advance_path(self) -> None:
        """Bars, volatility and levels up to the last closed snap."""
        self.advance_bars()
        self.advance_samples()
        self.advance_levels()

    def advance_options(self) -> None:
        """States of the options up to the last closed snap."""
        self.chain.advance(self.options.flow.rows, self.snaps, self.physics.fuel)

    def advance_bars(self) -> None:
        """Bars up to the last closed snap."""
        for minutes, bars in self.bars.items():
            advance_bars(self.snaps, self.prints.array, bars, minutes, self.closed, self.clock)

    def advance_samples(self) -> None:
        """Samples of the volatility up to the last closed snap."""
        first, stop = self.samples.count, max(self.samples.count, self.closed // self.volatility_params.step + 1)
        samples = self.samples.reserve(stop - first)
        advance_samples(first, stop, self.snaps, samples, self.diffusion, self.volatility_params, self.clock)
        self.samples.count = stop

    def advance_levels(self) -> None:
        """Levels up to the last closed snap."""
        path = Path(self.snaps, self.prints.array, self.bars[2].rows, self.chain.options, self.given, self.vwap_sums)
        advance_levels(path, self.levels, self._levels_until, self.closed, self.level_params, self.clock)
        self._levels_until = self.closed

    _levels_until = -1  # a session without anything before its regular open has levels from its very beginning on

    def advance_touches(self) -> None:
        """Touches up to the last closed snap, with what is frozen at them."""
        before = self.touches.count
        room = KINDS * (
            1 + (self.closed - self._touches_until) * self.clock.interval // max(self.touch_params.cooldown, self.clock.interval)
        )
        touches = self.touches.reserve(room + KINDS)
        self.touches.count = advance_touches(
            self._touches_until, self.closed, before, self.snaps, self.prints.array, self.levels.rows, *self.touching,
            touches, self.touch_params, self.clock,
        )  # fmt: skip
        self._touches_until = max(self.closed, 0)
        for number in range(before, self.touches.count):
            self._freeze(self.touches.rows[number : number + 1])

    _touches_until = 0

    def _freeze(self, touch: np.ndarray) -> None:
        """Volatility, distances and references of a touch."""
        k = int(touch["k"][0])
        sigma = self.sigma_at(k)
        touch["sigma"], touch["sigma_cold"] = sigma, len(self.priors) == 0
        for name, seconds in HORIZONS.items():
            touch[f"theta_{name}"] = theta_ticks(sigma, seconds, self.config)
        minute = 60 * NS // self.clock.interval
        freeze(
            touch, self.snaps, self.prints.rows, self.bars[1].array[: k // minute], self.priors, self.reference_params, self.clock
        )

    def sigma_at(self, k: int) -> float:
        """Volatility at a closed snap, points per sqrt(s); NaN if unknown."""
        return sigma_at(k, self.snaps, self.samples.array, self.diffusion, self.volatility_params, self.clock)

    def landmarks(self, number: int) -> list[int]:
        """The snaps at which touch `number` is looked at, as far as they are closed and it was not resolved by then."""
        touch = self.touches.rows[number : number + 1]
        at = [int(touch["k"][0]) + seconds * self.clock.second for seconds in self.config.touches.landmarks]
        theta, tick = int(touch["theta_8min"][0]), self.config.instrument.tick
        return [k for k in at if k <= self.closed and not resolved(k, theta, self.snaps, touch, tick)]

    def advance_features(self) -> None:
        """Features at the landmarks up to the last closed snap."""
        last = max(self.config.touches.landmarks) * self.clock.second
        for number in range(self.touches.count):
            if int(self.touches.array["k"][number]) + last > self._features_until:
                for k in self.landmarks(number):
                    if k > self._features_until:
                        self.features_at(number, k, self.features.reserve(1)[self.features.count : self.features.count + 1])
                        self.features.count += 1
        self._features_until = max(self.closed, 0)

    _features_until = 0

    def features_at(self, number: int, k: int, row: np.ndarray) -> None:
        """Write the features of touch `number` at snap k into one row of features."""
        self.advance_approach(number)
        row[:] = self.approach.array[number : number + 1]
        touch = self.touches.array[number : number + 1]
        features_at(
            k, self.snaps, self.prints.array, self.flow.array, self.chain.options, touch, self.sigma_at(k), self.physics, row
        )

    def advance_approach(self, number: int) -> None:
        """What was known at the touches up to `number` and stays."""
        known = Known(
            self.snaps, self.prints.array, self.flow.array, self.chain.options, self.bars[1].rows, self.samples.rows,
            self.levels.rows, self.touches.array,
        )  # fmt: skip
        while self.approach.count <= number:
            approach_at(self.approach.count, known, self.approach_params, self.approach.reserve(1))
            self.approach.count += 1

    def advance_signals(self) -> None:
        """Scores of the unresolved touches up to the last closed snap."""
        while self.scoring.count < self.touches.count:
            row = self.scoring.reserve(1)[self.scoring.count : self.scoring.count + 1]
            row["smooth"], row["raw_k"] = np.nan, -1
            self.scoring.count += 1
        open_ = int((self.scoring.rows["done"] == 0).sum())
        signals = self.signals.reserve(open_ * min(self.closed - self._signals_until, self.score_params.longest + 1))
        self.signals.count = advance_signals(
            self._signals_until, self.closed, self.snaps, self.prints.array, self.flow.array, self.chain.options,
            self.touches.rows, self.scoring.rows, self.physics, self.score_params, signals, self.signals.count,
        )  # fmt: skip
        self._signals_until = max(self.closed, 0)

    _signals_until = 0

    def sequences(self, at: Iterable[tuple[int, int]], count: int) -> np.ndarray:
        """The sequences of `count` pairs (touch, closed snap), one below the other."""
        size = self.sequence_params.rows
        rows = np.zeros(count * size, SEQUENCES.dtype)
        for i, (number, k) in enumerate(at):
            touch, part = self.touches.array[number : number + 1], rows[i * size : (i + 1) * size]
            sequence_at(
                k, self.snaps, self.flow.array, self.chain.options, touch, self.sequence_params, self.physics.fuel, self.clock, part
            )
        return rows

    # ---- what only a finished date has ----

    def labels(self) -> np.ndarray:
        """The labels of all landmarks; of a date whose snaps are all closed."""
        at = [(number, k) for number in range(self.touches.count) for k in self.landmarks(number)]
        rows = np.zeros(len(at), LABELS.dtype)
        for i, (number, k) in enumerate(at):
            touch = self.touches.array[number : number + 1]
            labels_at(k, self.snaps, self.prints.array, touch, self.label_params, self.clock, rows[i : i + 1])
        return rows

    def summary(self) -> np.ndarray:
        """The 144 rows of day_summary; of a date whose snaps are all closed."""
        return day_summary(
            self.snaps, self.prints.rows, self.flow.rows, self.bars[1].rows, self.samples.rows, self.chain.options,
            self.config, self.clock, self.grid_params.depth,
        )  # fmt: skip
