"""What of a configuration contradicts itself, or an instrument: settings that would be read, and tell nonsense."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from spymaster_assets.states import CALL_WALL, CONTEXT_KINDS, KEY_KINDS, LEVEL_KINDS, PUT_WALL

if TYPE_CHECKING:
    from spymaster_assets.config import Config

BUCKETS: Final = 144  # of priors: rows of their tables
MOST_TICKS: Final = 100_000  # of a distance that decides an outcome
IN_TICKS: Final = {  # distances that prices are compared with: what lies between two ticks would never be meant
    "touches": ("monitor_band", "rearm_points", "episode_points"),
    "levels": ("round_points",),
    "tape": ("tape_band",),
    "labels": ("label_barrier_min_points", "label_barrier_max_points"),
}


def minutes(clock: str) -> int:
    """Minutes of a wall clock from midnight of the trading date; "-18:00" is six hours before it."""
    hours, rest = clock.removeprefix("-").split(":")
    return int(hours) * 60 + int(rest) - (1440 if clock.startswith("-") else 0)


def contradictions(config: Config) -> Iterator[str]:
    """Each in a sentence."""
    yield from _of_numbers(config)
    yield from _of_names(config)
    yield from _of_the_instrument(config)
    yield from _of_times(config)


def _of_numbers(config: Config) -> Iterator[str]:
    weights = config.score.w_l + config.score.w_h + config.score.w_t
    if abs(weights - 1) > 1e-9:
        yield f"score weights sum to {weights}, not 1"
    if 1_000_000_000 % config.grid.interval_ns:
        yield "grid.interval_ns: a second is not a whole number of snaps"
    if round(config.labels.sample_seconds * 1e9) % config.grid.interval_ns:
        yield "labels.sample_seconds is not a whole number of snaps"
    if list(config.touches.landmarks) != sorted({0, *config.touches.landmarks}) or config.touches.landmarks[-1] > 240:
        yield "touches.landmarks: expected rising seconds from 0 to at most 240"
    if not set(config.sequences.landmarks) <= set(config.touches.landmarks):
        yield "sequences.landmarks: expected some of touches.landmarks"
    if len(config.sequences.scales) != len(config.sequences.steps):
        yield "sequences: expected a number of steps for each scale"


def _of_names(config: Config) -> Iterator[str]:
    """Of what columns and kinds are named after."""
    if config.labels.confirmation_windows_multi != (120, 240, 480):
        yield "labels.confirmation_windows_multi: columns are named after 120, 240 and 480 s"
    near, farther, farthest = config.levels.stacking_points
    if not 0 < near < farther < farthest:
        yield "levels.stacking_points: expected three rising distances"
    kinds = (*config.levels.signal_kinds, *config.levels.context_kinds)
    if len(set(kinds)) != len(kinds) or not {*kinds} <= {*LEVEL_KINDS}:
        yield f"levels: signal_kinds and context_kinds, each once, of {', '.join((*KEY_KINDS, *CONTEXT_KINDS))}"


def _of_the_instrument(config: Config) -> Iterator[str]:
    instrument = config.instrument
    tick, point = instrument.tick, instrument.point
    if point % tick and tick % point:
        yield "instrument: neither is a point a whole number of ticks, nor a tick one of points"
    if list(instrument.months) != sorted({*instrument.months}):
        yield f"instrument.months {instrument.months!r}: expected letters of months in the order of the year, each once"
    for group, names in IN_TICKS.items():
        for name in names:
            points = getattr(getattr(config, group), name)
            if abs(points * point / tick - round(points * point / tick)) > 1e-6:
                yield f"{group}.{name}: {points:g} points are not a whole number of ticks, which are {tick / point:g} points each"
    if config.touches.rearm_points <= config.touches.monitor_band:
        yield "touches.rearm_points: expected more than monitor_band, or a level would be armed while the price is at it"
    least, most = config.labels.label_barrier_min_points, config.labels.label_barrier_max_points
    if not least <= most <= MOST_TICKS * tick / point:
        yield f"labels: expected label_barrier_min_points <= label_barrier_max_points <= {MOST_TICKS:,} ticks"
    if not instrument.option_parents:
        if "fuel" in config.model_fields_set:
            yield "fuel: nothing of it counts without options; name their roots in instrument.option_parents, or leave it out"
        if {LEVEL_KINDS[CALL_WALL], LEVEL_KINDS[PUT_WALL]} & {*config.levels.signal_kinds}:
            yield "levels.signal_kinds: there are no walls without options; instrument.option_parents is empty"


def _of_times(config: Config) -> Iterator[str]:
    day = config.sessions
    start, opened, ranged, signals = map(
        minutes, (day.premarket_start, day.regular_open, day.opening_range_end, day.signals_end)
    )  # fmt: skip
    if not start <= opened < ranged <= signals:
        yield (
            "sessions: expected premarket_start <= regular_open < opening_range_end <= signals_end (without a premarket the first"
            " two are the same)"
        )
    if opened >= minutes(day.regular_close):
        yield "sessions: expected regular_open < regular_close"
    if not minutes(day.globex_close) <= minutes(day.bronze_cut) <= minutes(day.globex_open):
        yield "sessions: expected globex_close <= bronze_cut <= globex_open (without a daily pause all are the same)"
    if signals - start > BUCKETS * config.grid.bucket_minutes:
        hours = BUCKETS * config.grid.bucket_minutes // 60
        yield (
            f"sessions: what is usual is known for {hours} hours from premarket_start on, and signals_end is later; "
            "grid.bucket_minutes = 10 makes it 24"
        )
    clocks = [minutes(clock) for clock, _ in config.labels.diurnal_shape]
    if not clocks or clocks != sorted({*clocks}) or clocks[0] > start:
        yield "labels.diurnal_shape: expected rising times, the first not after sessions.premarket_start"
