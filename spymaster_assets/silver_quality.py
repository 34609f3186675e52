"""What is measured on a published Silver partition: that the rules of docs/physics.md hold in what is stored.

The queries state the rules anew, over the stored tables, and share no code with what computed them. Blocking checks stop everything
downstream in the same run; the others warn.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from spymaster_assets.compute.clock import clock_of
from spymaster_assets.compute.kernel import kernel
from spymaster_assets.features import FEATURES, HORIZONS
from spymaster_assets.quality import Check, Outcome, Partition, schema
from spymaster_assets.sessions import NS_PER_SECOND
from spymaster_assets.tables import (
    BARS,
    DAY_SUMMARY,
    FEATURE_ROWS,
    FLOW,
    FUTURES_MBP10,
    LABELS,
    LEVELS,
    OPTION_FLOW,
    PRINTS,
    PRIORS,
    SIGNALS,
    SILVER,
    SNAPS,
    TOUCHES,
    UNDEF_PRICE,
)


def _counted(part: Partition, broken: dict[str, str], source: str, well: str, otherwise: str) -> Outcome:
    """A check of rules: `broken` names each and says in SQL which rows of `source` break it; none may."""
    tests = ", ".join(f"count(*) filter ({condition})" for condition in broken.values())
    found = dict(zip(broken, part.row(f"select {tests} from {source}"), strict=True))
    return Outcome(not any(found.values()), found, dict.fromkeys(broken, 0), well if not any(found.values()) else otherwise)


def dense(part: Partition) -> Outcome:
    """One snap per 250 ms from the open to the end of Globex, counters that never fall, and every record of Bronze in them."""
    clock = clock_of(part.session, part.lake.config)
    book = part.lake.manifest(FUTURES_MBP10, part.date)
    rising = ("records", "prints", "volume", "flow_rows", "resets", "crossed", "late")
    falls = " or ".join(f"{name} < lag({name}) over (order by k)" for name in rising)
    rows, last, wrong, fallen, records = part.row(f"""
        select count(*), max(k), count(*) filter (ts <> {clock.open} + k::bigint * {clock.interval}),
               count(*) filter (falls), max(records)
        from (select *, ({falls}) as falls from {{rows}})""")
    wanted = {
        "rows": clock.count + 1,
        "last": clock.count,
        "off_the_grid": 0,
        "falling_counters": 0,
        "records": book.rows if book else 0,
    }
    found = dict(zip(wanted, (rows, last, wrong, fallen, records), strict=True))
    return Outcome(
        found == wanted, found, wanted, "every record is in a snap" if found == wanted else "snaps are missing or doubled"
    )


def prints_are_trades(part: Partition) -> Outcome:
    """The prints are the trade records of the book's stream with a price, in order, lot for lot; the snaps count the same."""
    prints, lots, backward = part.row("""
        select count(*), coalesce(sum(size), 0)::bigint, count(*) filter (earlier)
        from (select size, ts < lag(ts) over () as earlier from {rows})""")
    trades, traded = part.row(f"""
        select count(*), coalesce(sum(size), 0)::bigint from {part.other(FUTURES_MBP10)}
        where action = 'T' and price <> {UNDEF_PRICE}""")
    counted, volume = part.row(f"select max(prints), max(volume) from {part.other(SNAPS)}")
    found = {"prints": prints, "lots": lots, "counted": counted, "counted_lots": volume, "backward": backward}
    wanted = {"prints": trades, "lots": traded, "counted": trades, "counted_lots": traded, "backward": 0}
    return Outcome(found == wanted, found, wanted, "prints are the trades" if found == wanted else "trades were lost or doubled")


def volume_conservation(part: Partition) -> Outcome:
    """Every lot with an aggressor is bought or sold somewhere; what was filled was traded at its price, within the interval."""
    facts = part.manifest.facts
    traded = part.row(f"select coalesce(sum(size) filter (side <> 'N'), 0)::bigint from {part.other(PRINTS)}")[0]
    attributed, filled, excess = part.row("""
        select coalesce(sum(bought + sold), 0)::bigint, coalesce(sum(filled), 0)::bigint, count(*) filter (filled > bought + sold)
        from {rows}""")
    known = facts["lots_filled"] == filled and facts["lots_discarded"] + filled <= traded
    passed = attributed == traded and not excess and known
    return Outcome(
        passed,
        {"attributed": attributed, "filled": filled, "discarded": facts["lots_discarded"], "filled_beyond_traded": excess},
        {"attributed": traded, "filled_beyond_traded": 0},
        "lots are conserved" if passed else "flow and prints tell different volumes",
    )


@kernel
def _shown(snap: np.ndarray, ask: bool, price: int) -> int:
    """Size at a price of a snap's book, -1 where it is not visible. `snap`: one row."""
    ticks, size = (snap[0]["ask_ticks"], snap[0]["ask_size"]) if ask else (snap[0]["bid_ticks"], snap[0]["bid_size"])
    shown = snap[0]["ask_shown"] if ask else snap[0]["bid_shown"]
    for level in range(ticks.size):
        if ticks[level] == price:
            return size[level]
    beyond = price > ticks[ticks.size - 1] if ask else price < ticks[ticks.size - 1]
    return -1 if shown == 0 or (shown == 1 and beyond) else 0


@kernel
def _identity(snaps: np.ndarray, flow: np.ndarray) -> tuple[int, int]:
    """(flow rows compared, rows whose sizes at both ends of the interval do not differ by added - pulled - filled)."""
    compared = wrong = 0
    for number in range(flow.size):
        k, ask, price = flow[number]["k"], flow[number]["side"] == ord("A"), flow[number]["ticks"]
        if k == 0 or snaps[k]["resets"] != snaps[k - 1]["resets"]:
            continue
        before, after = _shown(snaps[k - 1 : k], ask, price), _shown(snaps[k : k + 1], ask, price)
        if before >= 0 and after >= 0:
            compared += 1
            wrong += after - before != flow[number]["added"] - flow[number]["pulled"] - flow[number]["filled"]
    return compared, wrong


def flow_identity(part: Partition) -> Outcome:
    """Size after - size before = added - pulled - filled, but for prices that left the ten levels and came back within 250 ms."""
    compared, wrong = _identity(part.lake.rows(SNAPS, part.date), part.lake.rows(FLOW, part.date))
    share, limit = wrong / compared if compared else 0.0, part.lake.config.quality.identity_share_max
    return Outcome(
        share <= limit,
        {"rows_compared": compared, "rows_wrong": wrong, "share": share},
        {"share": limit},
        "flow explains the books" if share <= limit else "flow does not explain how the book changed",
    )


def premium_signs(part: Partition) -> Outcome:
    """No more lots were signed than traded, and an interval without trades has no volume."""
    broken = {"signed_beyond_volume": "abs(signed) > volume", "volume_without_trades": "(trades = 0) <> (volume = 0)"}
    return _counted(part, broken, "{rows}", "option flow adds up", "option flow does not add up")


def bars_hold_prints(part: Partition) -> Outcome:
    """Bars of each length hold every print after the open, their prices are in order, and none is missing."""
    clock = clock_of(part.session, part.lake.config)
    minutes = part.lake.config.levels.bar_minutes
    lots = part.row(f"select coalesce(sum(size), 0)::bigint from {part.other(PRINTS)} where k > 0")[0]
    wrong, lengths, shortest, longest = part.row("""
        select count(*) filter (low > least(open, close) or high < greatest(open, close) or (volume = 0) <> (prints = 0)),
               count(distinct minutes), (select min(v) from (select sum(volume) as v from {rows} group by minutes)),
               (select max(v) from (select sum(volume) as v from {rows} group by minutes)) from {rows}""")
    rows = sum(clock.count // (length * 60 * clock.second) for length in minutes)
    found = {
        "rows": part.manifest.rows,
        "lengths": lengths,
        "least_lots": int(shortest),
        "most_lots": int(longest),
        "disordered": wrong,
    }
    wanted = {"rows": rows, "lengths": len(minutes), "least_lots": lots, "most_lots": lots, "disordered": 0}
    return Outcome(found == wanted, found, wanted, "bars hold every print" if found == wanted else "bars and prints differ")


def levels_are_extremes(part: Partition) -> Outcome:
    """Premarket and opening-range levels are the extremes of the prints of their windows; averages lie within the closes."""
    tick = part.lake.config.instrument.tick
    windows = {"PM": part.session.premarket, "OR": part.session.opening_range}
    found: dict[str, Any] = {}
    wanted: dict[str, Any] = {}
    for name, window in windows.items():
        inside = f"from {part.other(PRINTS)} where ts > {window.start} and ts <= {window.end}"
        for kind, aggregate in (("HIGH", "max"), ("LOW", "min")):
            wanted[f"{name}_{kind}"] = part.row(f"select {aggregate}(ticks)::bigint * {tick} {inside}")[0]
            found[f"{name}_{kind}"] = part.row(f"select max(price) from {{rows}} where kind = '{name}_{kind}'")[0]
    found["invalid"], found["averages_outside"], found["doubled"] = part.row(f"""
        select count(*) filter (valid_to <= valid_from),
               count(*) filter (kind like 'SMA%' and price not between least and most),
               count(*) - count(distinct (kind, valid_from))
        from {{rows}},
             (select min(close)::bigint * {tick} as least, max(close)::bigint * {tick} as most from {part.other(BARS)})""")
    wanted |= {"invalid": 0, "averages_outside": 0, "doubled": 0}
    return Outcome(
        found == wanted, found, wanted, "levels are what their names say" if found == wanted else "a level is not its extreme"
    )


def touch_rules(part: Partition) -> Outcome:
    """Touches lie in the signal window, at a level in force, spaced by the cooldown, with prints at the level; ids are unique."""
    rules, instrument = part.lake.config.touches, part.lake.config.instrument
    band, signals = round(rules.monitor_band * instrument.point), part.session.signals
    source = f"""(select *, t0 - lag(t0) over (partition by kind order by t0) as pause,
                         row_number() over (partition by kind order by t0) as place,
                         count(*) over (partition by event_id) as same,
                         exists (select 1 from {part.other(LEVELS)} l where l.kind = t.kind and l.price = t.price
                                 and l.valid_from < t.t0 and t.t0 <= l.valid_to) as valid from {{rows}} t)"""
    broken = {
        "outside_signals": f"t0 <= {signals.start} or t0 > {signals.end}",
        "too_soon": f"pause < {round(rules.cooldown_seconds * NS_PER_SECOND)}",
        "level_not_in_force": "not valid",
        "not_at_the_level": f"""case direction when 'UP' then entry_high::bigint * {instrument.tick} < price - {band}
                                else entry_low::bigint * {instrument.tick} > price + {band} end""",
        "attempts_out_of_order": "attempt_index <> place",
        "ids_doubled": "same > 1",
        "thetas_falling": "theta_2min > theta_4min or theta_4min > theta_8min",
    }
    return _counted(part, broken, source, "touches keep the rules", "touches break the rules of docs/physics.md, section 3")


def volatility_known(part: Partition) -> Outcome:
    """Few touches lack a volatility or its priors: those are not trained on, or stand on a stated shape of the day."""
    rows, unknown, cold, bare = part.row("""
        select count(*), count(*) filter (sigma is null), coalesce(sum(sigma_cold), 0)::bigint,
               count(*) filter (depth is null or minute_volume is null) from {rows}""")
    passed = unknown == 0 and cold == 0
    message = (
        "volatility and priors are known"
        if passed
        else "without priors: fewer than three earlier dates were there"
        if cold
        else "thin data"
    )
    return Outcome(
        passed,
        {"touches": rows, "no_volatility": unknown, "cold": cold, "no_references": bare},
        {"no_volatility": 0, "cold": 0},
        message,
    )


def null_policy(part: Partition) -> Outcome:
    """Columns are null only where their declaration says: never, always, at e = 0, or for a stated reason."""
    never = [f.name for f in FEATURES if not f.null]
    always = [f.name for f in FEATURES if f.null == "always"]
    reaction = [f.name for f in FEATURES if f.reaction]
    broken = {f"{name}_unexpected_null": f"{name} is null" for name in never}
    broken |= {f"{name}_known": f"{name} is not null" for name in always}
    broken |= {f"{name}_at_e_0": f"elapsed = 0 and {name} is not null" for name in reaction}
    broken["states_without_numbers"] = "barrier_state <> 'UNOBSERVED' and barrier_turnover is null"
    broken["numbers_unobserved"] = "barrier_state = 'UNOBSERVED' and barrier_turnover is not null"
    outcome = _counted(
        part, broken, "{rows}", "nulls are where they are declared", "a column is null, or known, against its declaration"
    )
    return Outcome(
        outcome.passed, {n: v for n, v in outcome.measured.items() if v} or {"broken": 0}, {"broken": 0}, outcome.message
    )


def known_at_the_moment(part: Partition) -> Outcome:
    """A row's moment is its touch's t0 plus one of the landmarks, and there is one row per touch and landmark."""
    landmarks = ", ".join(map(str, part.lake.config.touches.landmarks))
    source = f"(select r.*, t.t0 from {{rows}} r join {part.other(TOUCHES)} t using (touch))"
    broken = {
        "not_a_landmark": f"elapsed not in ({landmarks})",
        "another_moment": f"ts <> t0 + (elapsed * {NS_PER_SECOND})::bigint",
    }
    outcome = _counted(part, broken, source, "rows stand at their landmarks", "rows stand at other moments than they say")
    joined, keys = part.row(f"select count(*), count(distinct (touch, elapsed)) from {source}")
    rows = part.manifest.rows
    measured, wanted = {**outcome.measured, "joined": joined, "keys": keys}, {**outcome.threshold, "joined": rows, "keys": rows}
    return Outcome(
        measured == wanted, measured, wanted, outcome.message if joined == keys == rows else "rows are doubled or have no touch"
    )


def signal_rules(part: Partition) -> Outcome:
    """Snap by snap from t0 up to 240 s, a score where liquidity or hedging is known, a signal only in the band."""
    longest = max(part.lake.config.touches.landmarks)
    source = f"""(select r.*, t.k as entry, r.k - lag(r.k) over (partition by touch order by r.k) as pace
                  from {{rows}} r join {part.other(TOUCHES)} t using (touch))"""
    broken = {
        "snaps_skipped": "pace <> 1 or (pace is null and k <> entry)",
        "too_long": f"elapsed > {longest}",
        "score_of_nothing": "(score_liquidity is null and score_hedge is null) <> (break_score_raw is null)",
        "signal_outside_band": "phase = 'following' and signal <> 'NEUTRAL'",
        "signal_unlike_trigger": "phase = 'critical' and signal <> trigger",
    }
    return _counted(part, broken, source, "signals keep the rules", "signals break the rules of docs/physics.md, section 5")


def label_windows(part: Partition) -> Outcome:
    """Labels lie strictly after their moment: times within (0, h], ends at t + h, outcomes with their times."""
    broken: dict[str, str] = {}
    for name, seconds in HORIZONS.items():
        times = [f"time_to_{side}_{step}_{name}" for side in ("break", "bounce") for step in (1, 2)]
        broken |= {
            f"end_{name}": f"label_end_{name} <> ts + {seconds * NS_PER_SECOND}",
            f"not_after_{name}": " or ".join(f"{time} <= 0 or {time} > {seconds}" for time in times),
            f"break_untimed_{name}": f"outcome_{name} = 'BREAK' and time_to_break_2_{name} is null",
            f"bounce_untimed_{name}": f"outcome_{name} = 'BOUNCE' and time_to_bounce_2_{name} is null",
            f"chop_reached_{name}": f"outcome_{name} = 'CHOP' and least(time_to_break_2_{name}, time_to_bounce_2_{name}) > 0",
            f"order_{name}": f"outcome_{name} = 'BREAK' and time_to_bounce_2_{name} < time_to_break_2_{name}",
        }
    return _counted(
        part, broken, "{rows}", "labels lie after their moments", "a label reads what it must not, or says what did not happen"
    )


def outcomes_observed(part: Partition) -> Outcome:
    """Most labels of the primary horizon were observed to their end; and how they came out."""
    limit = part.lake.config.quality.censored_share_max
    names = ("BREAK", "BOUNCE", "CHOP", "CENSORED", "RESOLVED")
    counts = dict(
        zip(
            names,
            part.row("select " + ", ".join(f"count(*) filter (outcome_4min = '{n}')" for n in names) + " from {rows}"),
            strict=True,
        )
    )
    rows = sum(counts.values())
    share = counts["CENSORED"] / rows if rows else 0.0
    return Outcome(
        share <= limit,
        {**counts, "censored_share": share},
        {"censored_share": limit},
        "outcomes were observed" if share <= limit else "many outcomes were cut off: halts, or the end of the session",
    )


def earlier_dates(part: Partition) -> Outcome:
    """Enough earlier dates were there to know what is usual."""
    wanted, facts = part.lake.config.priors.min_dates, part.manifest.facts
    passed = len(facts["dates"]) >= wanted
    message = f"{len(facts['dates'])} of the {part.lake.config.priors.lookback} preceding dates were there"
    return Outcome(passed, {"dates": len(facts["dates"]), "missing": len(facts["missing"])}, {"dates": wanted}, message)


_RULES: Final = {
    SNAPS: (("dense", True, dense),),
    PRINTS: (("prints_are_trades", True, prints_are_trades),),
    FLOW: (("volume_conservation", True, volume_conservation), ("flow_identity", True, flow_identity)),
    OPTION_FLOW: (("premium_signs", False, premium_signs),),
    BARS: (("bars_hold_prints", True, bars_hold_prints),),
    LEVELS: (("levels_are_extremes", True, levels_are_extremes),),
    TOUCHES: (("touch_rules", True, touch_rules), ("volatility_known", False, volatility_known)),
    FEATURE_ROWS: (("null_policy", True, null_policy), ("known_at_the_moment", True, known_at_the_moment)),
    SIGNALS: (("signal_rules", True, signal_rules),),
    LABELS: (
        ("label_windows", True, label_windows),
        ("known_at_the_moment", True, known_at_the_moment),
        ("outcomes_observed", False, outcomes_observed),
    ),
    PRIORS: (("earlier_dates", False, earlier_dates),),
    DAY_SUMMARY: (),
}
SILVER_CHECKS: Final = tuple(
    Check(name, table, blocking, measure)
    for table in SILVER
    for name, blocking, measure in (("schema", True, schema), *_RULES[table])
)
