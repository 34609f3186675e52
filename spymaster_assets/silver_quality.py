"""What is measured on a published Silver partition: that the rules of docs/physics.md hold in what is stored.

The queries state the rules anew, over the stored tables, and share no code with what computed them. Blocking checks stop everything
downstream in the same run; the others warn.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from spymaster_assets import dbn
from spymaster_assets.compute.clock import BUCKETS, clock_of
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
    OPEN_INTEREST,
    OPTION_FLOW,
    PRINTS,
    PRIORS,
    SIGNALS,
    SILVER,
    SNAPS,
    TOUCHES,
    UNDEF_PRICE,
)


def counted(part: Partition, broken: dict[str, str], source: str, well: str, otherwise: str) -> Outcome:
    """A check of rules: `broken` names each and says in SQL which rows of `source` break it; none may."""
    tests = ", ".join(f"count(*) filter ({condition})" for condition in broken.values())
    found = dict(zip(broken, part.row(f"select {tests} from {source}"), strict=True))
    return Outcome(not any(found.values()), found, dict.fromkeys(broken, 0), well if not any(found.values()) else otherwise)


def _off_the_grid(part: Partition) -> str:
    """SQL of a row whose `ts` is not the end of its snap k."""
    clock = clock_of(part.session, part.lake.config)
    return f"ts <> {clock.open} + k::bigint * {clock.interval}"


def dense(part: Partition) -> Outcome:
    """One snap per 250 ms from the open to the end of Globex, counters that never fall, and every record of Bronze in them."""
    clock = clock_of(part.session, part.lake.config)
    book = part.beside(FUTURES_MBP10)
    rising = (
        "records", "prints", "volume", "buy_volume", "sell_volume", "buy_prints", "sell_prints", "flow_rows", "resets", "crossed",
        "late",
    )  # fmt: skip
    falls = " or ".join(f"{name} < lag({name}) over (order by k)" for name in rising)
    rows, misplaced, wrong, fallen, records = part.row(f"""
        select count(*), count(*) filter (k <> place), count(*) filter ({_off_the_grid(part)}), count(*) filter (falls),
               max(records)
        from (select *, row_number() over () - 1 as place, ({falls}) as falls from {{rows}})""")
    wanted = {
        "rows": clock.count + 1, "misplaced": 0, "off_the_grid": 0, "falling_counters": 0, "records": book.rows if book else 0
    }  # fmt: skip
    found = dict(zip(wanted, (rows, misplaced, wrong, fallen, records), strict=True))
    return Outcome(
        found == wanted, found, wanted, "every record is in a snap" if found == wanted else "snaps are missing or doubled"
    )


def prints_are_trades(part: Partition) -> Outcome:
    """The prints are the trade records of the book's stream with a price, in order, lot for lot; the snaps count the same."""
    tick, clock = part.lake.config.instrument.tick, clock_of(part.session, part.lake.config)
    prints, lots, backward, misplaced = part.row(f"""
        select count(*), coalesce(sum(size), 0)::bigint, count(*) filter (earlier),
               count(*) filter (k <> greatest(0, (ts - {clock.open} + {clock.interval} - 1) // {clock.interval}))
        from (select *, ts < lag(ts) over () as earlier from {{rows}})""")
    trades, traded, unlike, off_tick = part.row(f"""
        with book as (select row_number() over () as n, price, (price - (price % {tick} + {tick}) % {tick}) // {tick} as ticks,
                             size, side from {part.other(FUTURES_MBP10)}
                      where action = 'T' and price <> {UNDEF_PRICE}),
             ours as (select row_number() over () as n, ticks, size, side from {{rows}})
        select count(*), coalesce(sum(book.size), 0)::bigint,
               count(*) filter (ours.ticks <> book.ticks or ours.size <> book.size or ours.side <> book.side),
               count(*) filter (book.price % {tick} <> 0)
        from book left join ours using (n)""")
    counted, volume = part.row(f"select max(prints), max(volume) from {part.other(SNAPS)}")
    found = {
        "prints": prints, "lots": lots, "counted": counted, "counted_lots": volume, "backward": backward, "misplaced": misplaced,
        "unlike_their_trade": unlike, "off_tick": off_tick,
    }  # fmt: skip
    wanted = {"prints": trades, "lots": traded, "counted": trades, "counted_lots": traded}
    wanted |= {"backward": 0, "misplaced": 0, "unlike_their_trade": 0, "off_tick": 0}
    return Outcome(
        found == wanted, found, wanted, "prints are the trades" if found == wanted else "trades were lost, doubled or changed"
    )


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
def _change(flow: np.ndarray, first: int, stop: int, ask: bool, price: int) -> int:
    """added - pulled - filled at a price in the flow rows first .. stop - 1, 0 without a row."""
    for number in range(first, stop):
        if flow[number]["ticks"] == price and (flow[number]["side"] == ord("A")) == ask:
            return flow[number]["added"] - flow[number]["pulled"] - flow[number]["filled"]
    return 0


@kernel
def _identity(snaps: np.ndarray, flow: np.ndarray) -> tuple[int, int]:
    """(prices that changed or had net flow, those whose change is not added - pulled - filled), over all intervals.

    Compared are the listed prices of both books and the prices with flow, where both books show them and nothing was reset.
    """
    compared = wrong = 0
    for k in range(1, snaps.size):
        first, stop = snaps[k - 1]["flow_rows"], min(snaps[k]["flow_rows"], flow.size)
        if snaps[k]["records"] == snaps[k - 1]["records"] or snaps[k]["resets"] != snaps[k - 1]["resets"]:
            continue
        for ask in (False, True):
            for which in range(k - 1, k + 1):
                ticks = snaps[which]["ask_ticks"] if ask else snaps[which]["bid_ticks"]
                for level in range(ticks.size):
                    before, after = _shown(snaps[k - 1 : k], ask, ticks[level]), _shown(snaps[k : k + 1], ask, ticks[level])
                    if before >= 0 and after >= 0 and (which == k or after == 0):
                        change = _change(flow, first, stop, ask, ticks[level])
                        compared += change != 0 or after != before
                        wrong += after - before != change
        for number in range(first, stop):
            ask, price = flow[number]["side"] == ord("A"), flow[number]["ticks"]
            before, after = _shown(snaps[k - 1 : k], ask, price), _shown(snaps[k : k + 1], ask, price)
            if before == 0 and after == 0:
                compared += 1
                wrong += _change(flow, number, number + 1, ask, price) != 0
    return compared, wrong


_BOOKS_OF: Final = (  # columns of snaps
    "k", "records", "resets", "flow_rows", "bid_shown", "ask_shown",
    *(f"{side}_{what}_{level:02}" for side in ("bid", "ask") for what in ("ticks", "size") for level in range(dbn.BOOK_LEVELS)),
)  # fmt: skip


def flow_identity(part: Partition) -> Outcome:
    """Size after - size before = added - pulled - filled, but for prices that left the ten levels and came back within 250 ms."""
    snaps, flow = part.rows_of(SNAPS, _BOOKS_OF), part.rows_of(FLOW)
    compared, wrong = _identity(snaps, flow)
    ends = np.searchsorted(flow["k"], snaps["k"], side="right")
    keys = (flow["k"].astype(np.int64) * 2 + (flow["side"] == ord("B"))) * 2**32 + flow["ticks"]
    found = {
        "share_wrong": wrong / compared if compared else 0.0,
        "out_of_order": int((np.diff(keys) <= 0).sum()),
        "snaps_counting_otherwise": int((ends != snaps["flow_rows"]).sum()),
    }
    limit = part.lake.config.quality.identity_share_max
    passed = found["share_wrong"] <= limit and not found["out_of_order"] and not found["snaps_counting_otherwise"]
    return Outcome(
        passed,
        {"prices_changed": compared, "prices_wrong": wrong, **found},
        {"share_wrong": limit, "out_of_order": 0, "snaps_counting_otherwise": 0},
        "flow explains the books" if passed else "flow does not explain how the book changed",
    )


def premium_signs(part: Partition) -> Outcome:
    """No more lots were signed than traded, an interval without trades has no volume, and there is no row without an event."""
    broken = {
        "signed_beyond_volume": "abs(signed) + unsigned > volume",
        "volume_without_trades": "(trades = 0) <> (volume = 0)",
        "nothing_happened": "trades = 0 and quotes = 0",
    }
    return counted(part, broken, "{rows}", "option flow adds up", "option flow does not add up")


def reported_once(part: Partition) -> Outcome:
    """A contract has one number of open interest, reported by the regular open."""
    start = clock_of(part.session, part.lake.config).regular_start
    broken = {"late": f"ts > {start}", "doubled": "twice"}
    source = "(select *, count(*) over (partition by strike, call) > 1 as twice from {rows})"
    return counted(part, broken, source, "known before the open", "open interest is late or doubled")


def bars_hold_prints(part: Partition) -> Outcome:
    """Bars of each length hold every print after the open, their prices are in order, and none is missing."""
    clock = clock_of(part.session, part.lake.config)
    minutes = part.lake.config.levels.bar_minutes
    wrong, unlike, misplaced = 0, 0, 0
    for length in minutes:
        span = length * 60 * NS_PER_SECOND
        off, other, disordered = part.row(f"""
            with ours as (select *, row_number() over () as bar from {{rows}} where minutes = {length}),
                 theirs as (select (ts - {clock.open} + {span} - 1) // {span} as bar, arg_min(ticks, n) as open, max(ticks) as high,
                                   min(ticks) as low, arg_max(ticks, n) as close, sum(size)::bigint as volume, count(*) as prints
                            from (select *, row_number() over () as n from {part.other(PRINTS)}) where k > 0 group by bar)
            select count(*) filter (ts <> {clock.open} + bar * {span} or {_off_the_grid(part)}),
                   count(*) filter (case when theirs.bar is null then
                       ours.prints <> 0 or ours.volume <> 0 or ours.high <> ours.low
                       or ours.open <> ours.close or ours.low <> ours.close else
                       (ours.open, ours.high, ours.low, ours.close, ours.volume, ours.prints)
                       <> (theirs.open, theirs.high, theirs.low, theirs.close, theirs.volume, theirs.prints) end),
                   count(*) filter (ours.low > least(ours.open, ours.close) or ours.high < greatest(ours.open, ours.close)
                                or (ours.prints = 0 and ours.volume <> 0))
            from ours left join theirs using (bar)""")
        misplaced, unlike, wrong = misplaced + off, unlike + other, wrong + disordered
    rows = sum(clock.count // (length * 60 * clock.second) for length in minutes)
    found = {"rows": part.manifest.rows, "misplaced": misplaced, "unlike_their_prints": unlike, "disordered": wrong}
    wanted = {"rows": rows, "misplaced": 0, "unlike_their_prints": 0, "disordered": 0}
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
    found["invalid"], found["averages_outside"], found["doubled"], found["too_early"], found["off_tick"] = part.row(f"""
        select count(*) filter (valid_to <= valid_from),
               count(*) filter (kind like 'SMA%' and price not between least and most),
               count(*) - count(distinct (kind, valid_from)),
               count(*) filter (valid_from <> case when kind like 'PM%' then {part.session.premarket.end}
                                when kind like 'OR%' then {part.session.opening_range.end} else valid_from end),
               count(*) filter (price - ticks::bigint * {tick} not between {-(tick // 2)} and {(tick - 1) // 2})
        from {{rows}},
             (select min(close)::bigint * {tick} as least, max(close)::bigint * {tick} as most from {part.other(BARS)})""")
    wanted |= {"invalid": 0, "averages_outside": 0, "doubled": 0, "too_early": 0, "off_tick": 0}
    return Outcome(
        found == wanted, found, wanted, "levels are what their names say" if found == wanted else "a level is not its extreme"
    )


def touch_rules(part: Partition) -> Outcome:
    """Touches lie in the signal window, at a level in force, spaced by the cooldown, with prints at the level; ids are unique."""
    rules, instrument = part.lake.config.touches, part.lake.config.instrument
    band, signals = round(rules.monitor_band * instrument.point), part.session.signals
    source = f"""(select *, t0 - lag(t0) over (partition by kind order by t0) as pause,
                         row_number() over (partition by kind order by t0) as place,
                         count(*) over (partition by event_id) as same, row_number() over () - 1 as number,
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
        "misnumbered": "touch <> number",
        "off_the_grid": _off_the_grid(part).replace("ts", "t0"),
        "misnamed": f"event_id <> '{part.date}_' || kind || '_' || ticks || '_' || t0 || '_' || direction",
    }
    return counted(part, broken, source, "touches keep the rules", "touches break the rules of docs/physics.md, section 3")


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
        else "too few returns before a touch: its labels are flagged and not trained on"
    )
    return Outcome(
        passed,
        {"touches": rows, "no_volatility": unknown, "cold": cold, "no_references": bare},
        {"no_volatility": 0, "cold": 0},
        message,
    )


def null_policy(part: Partition) -> Outcome:
    """Columns are null only where their declaration says: never, at e = 0, or for a stated reason."""
    well, ill = "nulls are where they are declared", "a column is null, or known, against its declaration"
    return few(counted(part, unexpected_nulls(), "{rows}", well, ill))


def few(outcome: Outcome) -> Outcome:
    """Of many rules, only those that are broken."""
    measured = {name: count for name, count in outcome.measured.items() if count} or {"broken": 0}
    return Outcome(outcome.passed, measured, {"broken": 0}, outcome.message)


def unexpected_nulls() -> dict[str, str]:
    """Which rows break the null policy of a feature, as SQL by name of the breach."""
    never = [f.name for f in FEATURES if not f.null]
    reaction = [f.name for f in FEATURES if f.reaction]
    floats = {f.name for f in FEATURES if not f.categories}
    broken = {f"{n}_unexpected_null": f"{n} is null" + (f" or isnan({n})" if n in floats else "") for n in never}
    broken |= {f"{f.name}_null_later": f"elapsed > 0 and {f.name} is null" for f in FEATURES if f.null == "at e = 0"}
    broken |= {f"{name}_at_e_0": f"elapsed = 0 and {name} is not null" for name in reaction}
    broken["states_without_numbers"] = "barrier_state <> 'UNOBSERVED' and barrier_turnover is null"
    broken["numbers_unobserved"] = "barrier_state = 'UNOBSERVED' and barrier_turnover is not null"
    broken["fuel_without_numbers"] = "(fuel_effect = 'UNKNOWN') <> (gamma_exposure is null)"
    dealers = [f.name for f in FEATURES if f.null.startswith("fuel is UNKNOWN") and f.known == "t"]
    broken["numbers_of_unknown_fuel"] = f"fuel_effect = 'UNKNOWN' and coalesce({', '.join(dealers)}) is not null"
    return broken


def known_at_the_moment(part: Partition) -> Outcome:
    """A row's moment is its touch's t0 plus one of the landmarks, and there is one row per touch and landmark."""
    landmarks, tick = part.lake.config.touches.landmarks, part.lake.config.instrument.tick
    places = " ".join(f"when {seconds} then {place}" for place, seconds in enumerate(landmarks, 1))
    source = f"""(select r.*, t.t0, t.event_id as its_id, case elapsed {places} end as place,
                         row_number() over (partition by touch order by elapsed) as found
                  from {{rows}} r join {part.other(TOUCHES)} t using (touch))"""
    broken = {
        "not_a_landmark": "place is null",
        "landmarks_skipped": "place <> found",
        "another_moment": f"ts <> t0 + (elapsed * {NS_PER_SECOND})::bigint or {_off_the_grid(part)}",
        "another_touch": "event_id <> its_id",
    }
    outcome = counted(part, broken, source, "rows stand at their landmarks", "rows stand at other moments than they say")
    joined, keys = part.row(f"select count(*), count(distinct (touch, elapsed)) from {source}")
    left_out = part.row(f"select {_left_out(part, tick)}")[0]
    rows = part.manifest.rows
    measured = {**outcome.measured, "joined": joined, "keys": keys, "touches_left_out": left_out}
    wanted = {**outcome.threshold, "joined": rows, "keys": rows, "touches_left_out": 0}
    message = outcome.message if joined == keys == rows and not left_out else "rows are doubled or missing, or have no touch"
    return Outcome(measured == wanted, measured, wanted, message)


def _left_out(part: Partition, tick: int) -> str:
    """SQL of how many touches, unresolved at t0, have no rows."""
    return f"""(select count(*) from {part.other(TOUCHES)} t
                where greatest(entry_high::bigint * {tick} - price, price - entry_low::bigint * {tick})
                    < theta_8min::bigint * {tick}
                and not exists (select 1 from {{rows}} r where r.touch = t.touch))"""


def signal_rules(part: Partition) -> Outcome:
    """Snap by snap from t0 up to 240 s, a score where liquidity or hedging is known, a signal only in the band."""
    config = part.lake.config
    longest, tick = max(config.touches.landmarks), config.instrument.tick
    band, interval = round(config.touches.monitor_band * config.instrument.point), config.grid.interval_ns
    source = f"""(select r.*, t.k as entry, t.event_id as its_id, r.k - lag(r.k) over (partition by touch order by r.k) as pace,
                         coalesce(abs(r.mid2::bigint * {tick} - 2 * t.price) <= {2 * band}, false) as near
                  from {{rows}} r left join {part.other(TOUCHES)} t using (touch))"""
    broken = {
        "no_touch": "entry is null or event_id <> its_id",
        "snaps_skipped": "pace <> 1 or (pace is null and k <> entry)",
        "another_moment": f"{_off_the_grid(part)} or elapsed <> (k - entry) * {interval / NS_PER_SECOND}",
        "too_long": f"elapsed > {longest}",
        "score_of_nothing": "(score_liquidity is null and score_hedge is null) <> (break_score_raw is null)",
        "phase_unlike_price": "(phase = 'critical') <> near",
        "signal_outside_band": "phase = 'following' and signal <> 'NEUTRAL'",
        "signal_unlike_trigger": "phase = 'critical' and signal <> trigger",
    }
    well, ill = "signals keep the rules", "signals break the rules of docs/physics.md, section 5"
    outcome = counted(part, broken, source, well, ill)
    left_out = part.row(f"select {_left_out(part, tick)}")[0]
    measured, wanted = {**outcome.measured, "touches_left_out": left_out}, {**outcome.threshold, "touches_left_out": 0}
    return Outcome(measured == wanted, measured, wanted, well if measured == wanted else ill)


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
            f"order_{name}": f"""(outcome_{name} = 'BREAK' and time_to_bounce_2_{name} < time_to_break_2_{name})
                              or (outcome_{name} = 'BOUNCE' and time_to_break_2_{name} < time_to_bounce_2_{name})""",
            f"resolved_timed_{name}": f"outcome_{name} = 'RESOLVED' and coalesce({', '.join(times)}) is not null",
            f"steps_{name}": " or ".join(
                f"(time_to_{side}_2_{name} is not null and coalesce(time_to_{side}_1_{name}, 1e9) > time_to_{side}_2_{name})"
                for side in ("break", "bounce")
            ),
        }
    return counted(
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


def buckets(part: Partition) -> Outcome:
    """One row per 5-minute bucket, in order."""
    misplaced = part.row(
        "select count(*) filter (bucket <> place) from (select bucket, row_number() over () - 1 as place from {rows})"
    )[0]
    found, wanted = {"rows": part.manifest.rows, "misplaced": misplaced}, {"rows": BUCKETS, "misplaced": 0}
    return Outcome(found == wanted, found, wanted, "buckets are complete" if found == wanted else "buckets are missing or doubled")


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
    OPEN_INTEREST: (("reported_once", True, reported_once),),
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
    PRIORS: (("buckets", True, buckets), ("earlier_dates", False, earlier_dates)),
    DAY_SUMMARY: (("buckets", True, buckets),),
}
SILVER_CHECKS: Final = tuple(
    Check(name, table, blocking, measure)
    for table in SILVER
    for name, blocking, measure in (("schema", True, schema), *_RULES[table])
)
