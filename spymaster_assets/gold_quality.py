"""What is measured on a published Gold partition: whether a model may learn from it.

Blocking checks keep a date out of what lies downstream in the same run: its records, its rows and its outcomes must be sound. How
it compares with other dates (history_quality.py) only warns. Thresholds marked ° in config.py are proposals.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from spymaster_assets.features import CHANNELS, HORIZONS
from spymaster_assets.history_quality import calendar_complete, drift, telling
from spymaster_assets.quality import Check, Outcome, Partition, Value, schema
from spymaster_assets.sessions import NS_PER_SECOND
from spymaster_assets.silver_quality import counted, few, unexpected_nulls
from spymaster_assets.states import BOUNCE, BREAK, CENSORED, CHOP, OUTCOMES, RESOLVED, UP
from spymaster_assets.tables import (
    FEATURE_ROWS,
    FUTURES_MBP10,
    GOLD,
    LABELS,
    SCORED,
    SIGNALS,
    SNAPS,
    TOUCHES,
    TRAINING,
)

MINUTE: Final = 60 * NS_PER_SECOND
_OF_A_WHOLE_HORIZON: Final = (
    "excursion_max", "excursion_min", "strength_signed", "strength_abs", "tradeable_1", "tradeable_2", "future_price",
)  # columns of labels that are known only where the whole horizon was observed  # fmt: skip


def nulls(part: Partition) -> Outcome:
    """Columns are null only where their declaration says; an outcome's numbers are null where it has none."""
    broken = unexpected_nulls()
    for name in HORIZONS:
        times = [f"time_to_{side}_{step}_{name}" for side in ("break", "bounce") for step in (1, 2)]
        numbers = [f"{column}_{name}" for column in _OF_A_WHOLE_HORIZON]
        broken |= {
            f"untimed_{name}": f"""(outcome_{name} = 'BREAK' and time_to_break_2_{name} is null)
                                or (outcome_{name} = 'BOUNCE' and time_to_bounce_2_{name} is null)""",
            f"timed_{name}": f"""outcome_{name} not in ('BREAK', 'BOUNCE')
                                 and coalesce(time_to_break_2_{name}, time_to_bounce_2_{name}) is not null""",
            f"resolved_with_numbers_{name}": f"outcome_{name} = 'RESOLVED' and coalesce({', '.join(times + numbers)}) is not null",
            f"censored_with_numbers_{name}": f"outcome_{name} = 'CENSORED' and coalesce({', '.join(numbers)}) is not null",
            f"chop_without_numbers_{name}": f"outcome_{name} = 'CHOP' and ({' or '.join(f'{n} is null' for n in numbers)})",
        }
    broken["score_of_nothing"] = "(score_liquidity is null and score_hedge is null) <> (break_score_raw is null)"
    well, ill = "nulls are where they are declared", "a column is null, or known, against its declaration"
    return few(counted(part, broken, "{rows}", well, ill))


def ranges(part: Partition) -> Outcome:
    """Numbers lie in their declared range and are finite; odds sum to 1; a wider horizon has the wider barrier."""
    floats = [c for c in part.table.columns if c.dtype in ("f4", "f8")]
    bounded = [
        (c, beyond, limit) for c in part.table.columns for beyond, limit in (("<", c.low), (">", c.high)) if limit is not None
    ]
    broken = {
        "out_of_range": " or ".join(f'"{c.name}" {beyond} {limit}' for c, beyond, limit in bounded),
        "not_finite": " or ".join(f'not isfinite("{c.name}")' for c in floats),
    }
    if part.table is TRAINING:
        broken["thetas_falling"] = "theta_2min > theta_4min or theta_4min > theta_8min"
        broken["odds_not_summing_to_1"] = " or ".join(
            f"abs(geometry_break_{name} + geometry_bounce_{name} + geometry_chop_{name} - 1) > 1e-9" for name in HORIZONS
        )
    return counted(part, broken, "{rows}", "numbers are in range", "a number cannot be what its column says")


def duplicates(part: Partition) -> Outcome:
    """One row per touch and landmark, in order; one event_id per touch, and one touch per event_id."""
    key = "touch, elapsed" if part.table is TRAINING else "touch, elapsed, scale, step"
    names = key.replace("touch", "event_id", 1)
    counts = part.row(f"""
        select count(*) - count(distinct ({key})), count(*) - count(distinct ({names})),
               count(distinct (touch, event_id)) - count(distinct touch),
               count(distinct (touch, event_id)) - count(distinct event_id),
               count(*) filter ((touch, elapsed) < before)
        from (select *, lag((touch, elapsed)) over () as before from {{rows}})""")
    found = dict(zip(("rows_doubled", "ids_doubled", "ids_of_a_touch", "touches_of_an_id", "backward"), counts, strict=True))
    message = "every row is there once" if not any(found.values()) else "a touch stands twice, under two names, or out of order"
    return Outcome(not any(found.values()), found, dict.fromkeys(found, 0), message)


def label_after_decision(part: Partition) -> Outcome:
    """t_feature <= t_decision < t_label_start <= t_label_end, labels read (t, t + h] only, and no outcome comes before t."""
    broken = {
        "order": "not (t_feature <= t_decision and t_decision < t_label_start and t_label_start <= t_label_end)",
        "start": "t_label_start <> t_decision + 1",
        "end": f"t_label_end <> greatest({', '.join(f'label_end_{name}' for name in HORIZONS)})",
        "moment": f"t_decision <> {part.session.globex.start} + k::bigint * {part.lake.config.grid.interval_ns}",
    }
    for name, seconds in HORIZONS.items():
        times = [f"time_to_{side}_{step}_{name}" for side in ("break", "bounce") for step in (1, 2)]
        broken |= {
            f"end_{name}": f"label_end_{name} <> t_decision + {seconds * NS_PER_SECOND}",
            f"outside_{name}": " or ".join(f"{time} <= 0 or {time} > {seconds}" for time in times),
        }
    broken["elapsed"] = f"t_decision - (elapsed * {NS_PER_SECOND})::bigint <> split_part(event_id, '_', -2)::bigint"
    return counted(part, broken, "{rows}", "labels lie after their moments", "a label, or a feature, reads what it must not")


def geometry(part: Partition) -> Outcome:
    """Outcomes agree with the odds of a driftless price: how often each comes, how they follow the odds (slope), and both together.

    All are z values over the landmarks, whose variance takes the rows of an episode as one. Markets may drift or mean-revert, so
    the limits are wide: they catch labels that are turned around or all the same.
    """
    rows = part.rows_of(TRAINING)
    found: dict[str, Value] = {}
    name, limit = _primary(part), part.lake.config.quality.geometry_z_max
    known = np.isin(rows[f"outcome_{name}"], (BREAK, BOUNCE, CHOP)) & ~np.isnan(rows[f"geometry_break_{name}"])
    rows = rows[known]
    odds = np.column_stack([rows[f"geometry_{word}_{name}"] for word in ("break", "bounce", "chop")])
    came = rows[f"outcome_{name}"][:, None] == np.array([BREAK, BOUNCE, CHOP])
    found["touches"], found["rows"] = len(np.unique(rows["touch"])), len(rows)
    z: dict[str, float] = {}
    for at, word in enumerate(("BREAK", "BOUNCE", "CHOP")):
        expected = odds[:, at]
        found[f"{word}_share"], found[f"{word}_by_geometry"] = _mean(came[:, at]), _mean(expected)
        z[f"{word}_z"] = _z((came[:, at] - expected).sum(), np.sqrt(expected * (1 - expected)), rows["episode"])
    tilt = odds[:, 0] - odds[:, 1]
    surprise = (came[:, 0] * 1.0 - came[:, 1] - tilt) * tilt
    spread = np.sqrt(np.maximum(odds[:, 0] + odds[:, 1] - tilt**2, 0)) * np.abs(tilt)
    found["slope"] = 1 + float(surprise.sum() / (tilt**2).sum()) if (tilt**2).sum() > 0 else None
    z["slope_z"] = _z(surprise.sum(), spread, rows["episode"])
    z["CHOP_and_slope_z"] = float(np.hypot(z["CHOP_z"], z["slope_z"]))
    passed = all(abs(value) <= limit for value in z.values())
    message = "outcomes agree with geometry" if passed else "outcomes contradict geometry: labels, barriers or volatility are wrong"
    return Outcome(passed, {**found, **z}, dict.fromkeys(z, limit), message)


def _primary(part: Partition) -> str:
    """The name of the primary horizon."""
    return next(name for name, seconds in HORIZONS.items() if seconds == part.lake.config.labels.confirmation_window_seconds)


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if values.size else None


def _z(total: float, spreads: np.ndarray, episodes: np.ndarray) -> float:
    """A sum over its standard deviation, where rows of one episode are fully dependent; 0 where nothing can vary."""
    _, of = np.unique(episodes, return_inverse=True)
    deviation = float(np.sqrt((np.bincount(of, spreads) ** 2).sum())) if spreads.size else 0.0
    return float(total) / deviation if deviation > 0 else 0.0


def outcomes(part: Partition) -> Outcome:
    """Few labels of the primary horizon were cut off or had come out before; all fit their barriers, and trainable fits them."""
    rules, name = part.lake.config.quality, _primary(part)
    rows = part.rows_of(TRAINING)
    counts = np.bincount(rows[f"outcome_{name}"], minlength=len(OUTCOMES))
    late = rows[f"outcome_{name}"][rows["elapsed"] == max(part.lake.config.touches.landmarks)]
    share = counts / max(len(rows), 1)
    found = {
        "rows": len(rows),
        **{word: int(n) for word, n in zip(OUTCOMES, counts, strict=True)},
        "censored_share": float(share[CENSORED]),
        "resolved_share": float(share[RESOLVED]),
        "resolved_share_last_landmark": _mean(late == RESOLVED),
        "unlike_their_barriers": sum(_unlike_its_barrier(part, rows, horizon) for horizon in HORIZONS),
        "trainable_wrong": sum(_trainable_wrong(rows, horizon) for horizon in HORIZONS),
    }
    exact = dict.fromkeys(("unlike_their_barriers", "trainable_wrong"), 0)
    observed = bool(share[CENSORED] <= rules.censored_share_max and share[RESOLVED] <= rules.resolved_share_max)
    passed = observed and not any(found[key] for key in exact)
    limits = {"censored_share": rules.censored_share_max, "resolved_share": rules.resolved_share_max, **exact}
    lost = "too few outcomes to learn from: halts, the session's end, or wrong barriers"
    message = lost if not observed else "outcomes were observed" if passed else "outcomes are not those of their barriers"
    return Outcome(passed, found, limits, message)


def _unlike_its_barrier(part: Partition, rows: np.ndarray, name: str) -> int:
    """Rows whose excursions reach the barrier, or do not, against what the outcome says; unknown ones say nothing."""
    instrument, came = part.lake.config.instrument, rows[f"outcome_{name}"]
    barrier = rows[f"theta_{name}"].astype(np.int64) * instrument.tick / instrument.point
    before = np.maximum(rows["excursion_max"], rows["excursion_min"]) >= barrier
    out, back = rows[f"excursion_max_{name}"], rows[f"excursion_min_{name}"]
    unlike = (before != (came == RESOLVED)) | ((came == CHOP) & (np.maximum(out, back) >= barrier))
    return int((unlike | ((came == BREAK) & (out < barrier)) | ((came == BOUNCE) & (back < barrier))).sum())


def _trainable_wrong(rows: np.ndarray, name: str) -> int:
    """Rows that are marked trainable without an outcome or volatility, or not in spite of both."""
    known = np.isin(rows[f"outcome_{name}"], (BREAK, BOUNCE, CHOP)) & ~np.isnan(rows["sigma"])
    return int((rows[f"trainable_{name}"] != known).sum())


def reconciliation(part: Partition) -> Outcome:
    """Gold is Silver, row for row and value for value, and no touch is left out."""
    wrong: dict[str, Value] = {}
    rows: dict[str, Value] = {}
    signals = ("event_id", *SCORED)
    for table, names in ((FEATURE_ROWS, _shared(FEATURE_ROWS)), (LABELS, _shared(LABELS)), (SIGNALS, signals)):
        unlike = " or ".join(f'ours."{name}" is distinct from theirs."{name}"' for name in names)
        matched, other = part.row(f"""
            select count(*), count(*) filter ({unlike}) from {{rows}} ours join {part.other(table)} theirs using (touch, k)""")
        rows[f"{table.name}_matched"], wrong[f"{table.name}_unlike"] = matched, other
    names = [name for name in _shared(TOUCHES) if name != "k"]
    unlike = " or ".join(f'ours."{name}" is distinct from theirs."{name}"' for name in names)
    rows["touches_matched"], wrong["touches_unlike"] = part.row(f"""
        select count(*), count(*) filter ({unlike}) from {{rows}} ours join {part.other(TOUCHES)} theirs using (touch)""")
    rows["snaps_matched"], wrong["snaps_unlike"] = part.row(f"""
        select count(*), count(*) filter (t_decision <> ts or t_feature <> ts - coalesce(gap_ns, 0))
        from {{rows}} ours join {part.other(SNAPS)} theirs using (k)""")
    features, labels = (part.row(f"select count(*) from {part.other(table)}")[0] for table in (FEATURE_ROWS, LABELS))
    found = {"features": features, "labels": labels, **rows, **wrong}
    wanted = dict.fromkeys(("features", "labels", *rows), part.manifest.rows) | dict.fromkeys(wrong, 0)
    message = "Gold is Silver" if found == wanted else "rows were lost, doubled or changed on the way from Silver"
    return Outcome(found == wanted, found, wanted, message)


def _shared(table: Any) -> list[str]:
    """Columns that training takes over from a table."""
    ours = {*TRAINING.names}
    return [name for name in table.names if name in ours]


def gaps(part: Partition) -> Outcome:
    """Records stay away for a small part of the time from 09:30 to the session's end only."""
    rules = part.lake.config.quality
    start, end = part.session.regular.start, part.session.end
    silent, longest = part.row(f"""
        with snaps as (select k, ts, coalesce(gap_ns, ts - {start}) as gap
                       from {part.other(SNAPS)} where ts > {start} and ts <= {end}),
             paused as (select ts, gap, lead(gap) over (order by k) as ahead from snaps)
        select if(count(*) = 0, {end - start}, coalesce(sum(least(gap, ts - {start}))
                            filter (gap > {rules.gap_seconds} * 1e9 and coalesce(ahead < gap, true)), 0)) / 1e9,
               coalesce(max(least(gap, ts - {start})), {end - start}) / 1e9
        from paused""")
    share = float(silent) / ((end - start) / NS_PER_SECOND)
    passed = share <= rules.silent_share_max
    return Outcome(
        passed,
        {"silent_share": share, "silent_seconds": float(silent), "longest_seconds": float(longest)},
        {"silent_share": rules.silent_share_max, "longer_than_seconds": rules.gap_seconds},
        "records flow" if passed else "the session has holes: a long halt, or missing data",
    )


def crossed(part: Partition) -> Outcome:
    """From 09:30 to the session's end the book is two-sided and not crossed in almost every snap."""
    limit = part.lake.config.quality.unsound_share_max
    snaps, wrong, records = part.row(f"""
        select count(*), count(*) filter (book_ok = 0), max(crossed) - min(crossed) from {part.other(SNAPS)}
        where ts > {part.session.regular.start} and ts <= {part.session.end}""")
    share = wrong / snaps if snaps else 1.0
    return Outcome(
        share <= limit,
        {"snaps": snaps, "unsound": wrong, "share": share, "crossed_records": records},
        {"share": limit},
        "books are sound" if share <= limit else "too many crossed, locked or one-sided books to learn from",
    )


def coverage(part: Partition) -> Outcome:
    """The calendar's hours that Gold stands on, from the start of the premarket to the session's end, are covered by records."""
    limit = part.lake.config.quality.covered_share_min
    start, end = part.session.premarket.start, part.session.end
    minutes = (end - start) // MINUTE
    covered = part.row(f"""
        select count(*) from (select max(records) - min(records) as n, count(*) as snaps
            from {part.other(SNAPS)} where ts >= {start} and ts <= {end} group by (ts - {start}) // {MINUTE}) where n > 0""")[0]
    book = part.beside(FUTURES_MBP10)
    days = dict(book.facts["coverage"]) if book else {}
    share = covered / minutes
    return Outcome(
        share >= limit,
        {"covered_share": share, "minutes": minutes, **days},
        {"covered_share": limit},
        "the date is covered" if share >= limit else "hours of the date are missing: bring the missing files and make it again",
    )


def steps_complete(part: Partition) -> Outcome:
    """Every sequence has all its steps, in order, up to its moment, which is one of training; nothing in it is later."""
    rules = part.lake.config.sequences
    size, training = sum(rules.steps), part.other(TRAINING)
    landmarks = ", ".join(map(str, rules.landmarks))
    wanted_rows = part.row(f"select count(*) from {training} where elapsed in ({landmarks})")[0] * size
    ranks = " ".join(f"when {scale} then {rank}" for rank, scale in enumerate(rules.scales))
    rows, misplaced, unknown, moved = part.row(f"""
        with ours as (select *, row_number() over () - 1 as place from {{rows}}),
             sorted as (select *, lag(step) over (partition by touch, elapsed, scale order by place) + 1 as before,
                               row_number() over (order by touch, elapsed, case scale {ranks} end, step) - 1 as its_place from ours)
        select count(*),
               count(*) filter (step < 0 or step >= coalesce({_steps(part)}, 0) or step <> before and before is not null
                                or place <> its_place),
               count(*) filter (t.touch is null or elapsed not in ({landmarks})),
               count(*) filter (ours.ts <> t.t_decision or ours.k <> t.k or ours.event_id <> t.event_id)
        from sorted ours left join {training} t using (touch, elapsed)""")
    found = {"rows": rows, "misplaced": misplaced, "without_a_moment": unknown, "another_moment": moved}
    wanted = {"rows": wanted_rows, "misplaced": 0, "without_a_moment": 0, "another_moment": 0}
    message = "sequences are whole" if found == wanted else "steps are missing, doubled or out of order"
    return Outcome(found == wanted, found, wanted, message)


def _steps(part: Partition) -> str:
    """SQL of the number of steps of a row's scale, null of an unknown one."""
    rules = part.lake.config.sequences
    counts = " ".join(f"when {scale} then {count}" for scale, count in zip(rules.scales, rules.steps, strict=True))
    return f"case scale {counts} end"


def end_at_the_moment(part: Partition) -> Outcome:
    """The last step shows the price where training has it; channels are null just where, by the snaps, nothing was observed."""
    second = NS_PER_SECOND // part.lake.config.grid.interval_ns
    apart, compared = part.row(f"""
        select count(*) filter (distance is null or abs(distance - x) > 1e-5 * greatest(1, abs(x))), count(*)
        from {{rows}} join (select touch, elapsed, position_sigma_4min as x from {part.other(TRAINING)}) using (touch, elapsed)
        where step = {_steps(part)} - 1 and observed = 1 and x is not null""")
    names = ", ".join(f'"{channel.name}"' for channel in CHANNELS)
    unseen, blind = part.row(f"""
        select count(*) filter (observed = 0 and coalesce({names}) is not null), count(*) filter (observed = 1 and spread is null)
        from {{rows}}""")
    wrong = part.row(f"""
        with snaps as (select k, book_ok = 1 as sound from {part.other(SNAPS)}),
             ours as (select observed, scale * {second} as width, k - ({_steps(part)} - 1 - step) * scale * {second} as stop
                      from {{rows}})
        select count(*) filter ((observed = 1) <> coalesce(a.sound and b.sound, false))
        from ours left join snaps a on a.k = stop - width left join snaps b on b.k = stop""")[0]
    found = {"apart": apart, "unobserved_but_known": unseen, "observed_but_null": blind, "observed_wrong": wrong}
    passed = not any(found.values())
    message = "sequences end where training stands" if passed else "sequences do not end at their moment, or show what nobody saw"
    return Outcome(passed, {**found, "compared": compared}, dict.fromkeys(found, 0), message)


_STEPS_OF: Final = (  # columns of snaps
    "mid2", "bid_size_00", "ask_size_00", "bid_ticks_00", "ask_ticks_00", "buy_volume", "sell_volume", "prints",
    *(f"ofi_{level:02}" for level in range(5)),
)  # fmt: skip


def steps_are_snaps(part: Partition) -> Outcome:
    """What plain arithmetic on snaps gives for a step is what the sequence has; channels are null just where they may be."""
    rows, snaps = part.rows_of(part.table), part.rows_of(SNAPS, _STEPS_OF)
    known = part.rows_of(TOUCHES)
    strangers = rows["touch"] >= len(known)
    touches = known[np.where(strangers, 0, rows["touch"])] if len(known) else np.zeros(len(rows), TOUCHES.dtype)
    config, scale = part.lake.config, rows["scale"].astype(np.int64)
    width = scale * NS_PER_SECOND // config.grid.interval_ns
    lengths = dict(zip(config.sequences.scales, config.sequences.steps, strict=True))
    steps = np.array([lengths.get(one, 0) for one in scale.tolist()], np.int64)
    end = rows["k"] - (steps - 1 - rows["step"].astype(np.int64)) * width
    seen = rows["observed"] == 1
    start, end = np.where(seen, end - width, 0).clip(0, len(snaps) - 1), np.where(seen, end, 0).clip(0, len(snaps) - 1)
    first, last, sign = snaps[start], snaps[end], np.where(touches["direction"] == UP, 1.0, -1.0)
    half, sigma, depth = config.instrument.tick / config.instrument.point / 2, touches["sigma"], touches["depth"]
    bid, ask = last["bid_size"][:, 0], last["ask_size"][:, 0]
    spread, minutes = last["ask_ticks"][:, 0] - last["bid_ticks"][:, 0], scale / 60.0
    with np.errstate(divide="ignore", invalid="ignore"):
        queue = sign * (bid - ask) / (bid + ask)
        beyond = last["mid2"] * half - touches["price"] / config.instrument.point
        volume, prints = (np.where(touches[name] > 0, touches[name], np.nan) for name in ("minute_volume", "minute_prints"))
        bought, sold = (last[name] - first[name] for name in ("buy_volume", "sell_volume"))
        expected = {
            "distance": sign * beyond / (sigma * np.sqrt(240.0)),
            "return": sign * (last["mid2"] - first["mid2"].astype(np.int64)) * half / (sigma * np.sqrt(scale)),
            "spread": spread.astype(np.float64),
            "queue_imbalance": queue,
            "microprice": spread / 2.0 * queue,
            "signed_volume": sign * (bought - sold) / (volume * minutes),
            "trades": (last["prints"] - first["prints"]) / (prints * minutes),
            "ofi_0": sign * (last["ofi"][:, 0] - first["ofi"][:, 0]) / depth,
            "ofi_1_4": sign * (last["ofi"][:, 1:5] - first["ofi"][:, 1:5]).sum(axis=1) / (4 * depth),
        }
    found = {}
    for name, values in expected.items():
        apart = np.abs(rows[name] - values) > 1e-5 * np.maximum(np.abs(values), 1e-3)
        found[name] = int((seen & (apart | (np.isnan(rows[name]) != np.isnan(values)))).sum())
    found["volatility"] = int((seen & (np.isnan(rows["volatility"]) != np.isnan(sigma))).sum())
    for name in (channel.name for channel in CHANNELS if channel.name not in (*found, "exposure")):
        found[name] = int((seen & (np.isnan(rows[name]) != np.isnan(depth))).sum())
    found["exposure"] = _other_exposures(part, rows[seen & (rows["step"] == steps - 1)])
    found["without_a_touch"] = int(strangers.sum())
    passed = not any(found.values())
    message = "sequences are what the snaps say" if passed else "a channel is not what the snaps say of its step"
    return Outcome(passed, found, dict.fromkeys(found, 0), message)


def _other_exposures(part: Partition, rows: np.ndarray) -> int:
    """Last steps of sequences whose exposure is not that of training at the same moment."""
    training = part.rows_of(TRAINING)
    here, there = (one["touch"].astype(np.int64) << 32 | one["k"] for one in (rows, training))
    places = np.searchsorted(there, here).clip(max=len(training) - 1)
    expected = np.where(there[places] == here, training["gamma_exposure"][places], np.nan)
    apart = np.abs(rows["exposure"] - expected) > 1e-5 * np.maximum(np.abs(expected), 1e-3)
    return int((apart | (np.isnan(rows["exposure"]) != np.isnan(expected))).sum())


_TRAINING: Final = (
    ("nulls", True, nulls),
    ("ranges", True, ranges),
    ("duplicates", True, duplicates),
    ("label_after_decision", True, label_after_decision),
    ("geometry", True, geometry),
    ("outcomes", True, outcomes),
    ("reconciliation", True, reconciliation),
    ("gaps", True, gaps),
    ("crossed", True, crossed),
    ("coverage", True, coverage),
    ("calendar", False, calendar_complete),
    ("drift", False, drift),
    ("telling", False, telling),
)
_SEQUENCES: Final = (
    ("ranges", True, ranges),
    ("duplicates", True, duplicates),
    ("steps_complete", True, steps_complete),
    ("end_at_the_moment", True, end_at_the_moment),
    ("steps_are_snaps", True, steps_are_snaps),
)
GOLD_CHECKS: Final = tuple(
    Check(name, table, blocking, measure)
    for table, rules in zip(GOLD, (_TRAINING, _SEQUENCES), strict=True)
    for name, blocking, measure in (("schema", True, schema), *rules)
)
