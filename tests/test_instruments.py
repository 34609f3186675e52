"""Other instruments: their settings files, contracts, hours, and what is refused. Expiries are those that the exchange published.

The same rows in ticks whatever the tick: test_ticks.py. From landing to Gold, and live: live/test_instruments.py.
"""

import datetime as dt
from itertools import pairwise
from typing import Any

import pytest

from spymaster_assets.config import EARLIER, Config, Sessions, load
from spymaster_assets.sessions import DAY, calendar, expiry_of, nearest_contract, to_datetime
from spymaster_live.gateway.rest import _rules
from spymaster_live.rehearsal import rehearse
from tests.instruments import FOLDER, NAMES, config_of, stated

HOUR = 3_600_000_000_000


# ---- settings files ----


def test_the_file_of_es_states_the_defaults() -> None:
    assert load(FOLDER / "ES.toml") == Config()


def test_each_file_says_by_its_name_what_it_is_of() -> None:
    assert NAMES == ["BTC", "CL", "ES", "GC", "MES", "NQ"]
    assert [config_of(name).instrument.root for name in NAMES] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_distance_that_means_es_is_stated_or_means_the_same(name: str) -> None:
    """A file of another tick or price states whatever ES.toml states in points; MES has ES's prices."""
    wanted, there = stated("ES"), stated(name)
    groups = (
        "levels",
        "touches",
        "tape",
        "labels",
        *(("fuel",) if config_of(name).instrument.option_parents else ()),
    )
    missing = {(group, key) for group in groups for key in wanted[group] if key not in there.get(group, {})}
    if name == "MES":
        assert "levels" not in there and "touches" not in there and "labels" not in there
    elif name == "NQ":
        assert missing == {("labels", "diurnal_shape"), ("fuel", "option_tick"), ("fuel", "option_large_tick")}  # as ES's
    else:
        assert missing == set()


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_another_day_session_states_every_clock_of_it(name: str) -> None:
    """Those in the market's zone, in which ES.toml states all."""
    known = Sessions.model_json_schema()["properties"]
    clocks = {clock for clock in known if known[clock].get("pattern") == EARLIER}
    there = stated(name).get("sessions", {}).keys()
    assert len(clocks) > 4 and ("regular_open" not in there or sorted(clocks - there) == []), f"{name}.toml, [sessions]"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"touches": {"monitor_band": 0.3}}, "monitor_band: 0.3 points are not a whole number of ticks"),
        ({"instrument": {"tick": 100_000_000}}, "monitor_band: 0.25 points are not a whole number of ticks, which are 0.1 points"),
        ({"instrument": {"tick": 300_000_000}}, "neither is a point a whole number of ticks"),
        ({"touches": {"rearm_points": 0.25}}, "rearm_points: expected more than monitor_band"),
        ({"labels": {"label_barrier_max_points": 1.0}}, "label_barrier_min_points <= label_barrier_max_points"),
        ({"labels": {"label_barrier_max_points": 30_000.0}}, "100,000 ticks"),
        ({"instrument": {"months": "ZH"}}, "in the order of the year"),
        ({"instrument": {"option_parents": []}, "fuel": {"w_g": 30.0}}, "nothing of it counts without options"),
        (
            {"instrument": {"option_parents": []}, "levels": {"signal_kinds": ["CALL_WALL"], "context_kinds": []}},
            "no walls without",
        ),
        ({"sessions": {"premarket_start": "09:31"}}, "premarket_start <= regular_open"),
        ({"sessions": {"regular_close": "09:30"}}, "regular_open < regular_close"),
        ({"sessions": {"globex_open": "15:00"}}, "globex_close <= bronze_cut <= globex_open"),
        ({"sessions": {"premarket_start": "-18:00"}, "labels": {"diurnal_shape": [["-18:00", 1.0]]}}, "signals_end is later"),
        ({"sessions": {"premarket_start": "03:00"}}, "the first not after sessions.premarket_start"),
        ({"levels": {"stacking_points": [5.0, 2.0, 10.0]}}, "three rising distances"),
        ({"grid": {"bucket_minutes": 7}}, "5 or 10"),
    ],
)
def test_nonsense_is_refused_in_a_sentence(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Config.model_validate(settings)


def test_times_that_fit_into_no_session_are_refused() -> None:
    """A premarket that begins before Globex opens: the clocks of two zones, which only a date can compare."""
    sessions = {"globex_open": "23:30", "exchange_zone": "America/New_York", "premarket_start": "-22:00"}
    early = Config.model_validate(
        {"sessions": sessions, "grid": {"bucket_minutes": 10}, "labels": {"diurnal_shape": [["-22:00", 1.0]]}}
    )
    with pytest.raises(ValueError, match="on 2025-06-03 expected globex_open <= premarket_start"):
        calendar(early).session(dt.date(2025, 6, 3))


# ---- contracts: expiries as the exchange published them ----


@pytest.mark.parametrize(
    ("name", "symbol", "near", "expiry"),
    [
        ("CL", "CLK0", "2020-04-01", "2020-04-21"),  # the day after prices fell below zero
        ("CL", "CLF4", "2023-12-01", "2023-12-19"),
        ("CL", "CLG4", "2024-01-02", "2024-01-22"),
        ("CL", "CLN5", "2025-06-03", "2025-06-20"),
        ("GC", "GCZ3", "2023-12-01", "2023-12-27"),
        ("GC", "GCQ5", "2025-06-03", "2025-08-27"),
        ("BTC", "BTCF4", "2024-01-02", "2024-01-26"),
        ("BTC", "BTCM5", "2025-06-03", "2025-06-27"),
        ("MES", "MESM5", "2025-06-03", "2025-06-20"),
        ("NQ", "NQZ5", "2025-06-03", "2025-12-19"),
    ],
)
def test_expiries(name: str, symbol: str, near: str, expiry: str) -> None:
    config = config_of(name, sessions={"first_date": "2020-01-02"}) if near < "2022" else config_of(name)
    assert expiry_of(symbol, dt.date.fromisoformat(near), config) == dt.date.fromisoformat(expiry)


@pytest.mark.parametrize(
    ("name", "day", "contract"),
    [
        ("CL", "2025-06-03", "CLN5"), ("CL", "2025-06-16", "CLN5"), ("CL", "2025-06-17", "CLQ5"), ("CL", "2025-12-03", "CLF6"),
        ("GC", "2025-06-03", "GCQ5"), ("GC", "2025-07-28", "GCQ5"), ("GC", "2025-07-29", "GCZ5"), ("GC", "2025-12-01", "GCG6"),
        ("BTC", "2025-06-24", "BTCM5"), ("BTC", "2025-06-25", "BTCN5"), ("BTC", "2025-12-24", "BTCF6"),
    ],
)  # fmt: skip
def test_the_calendar_rule_takes_every_month_that_counts(name: str, day: str, contract: str) -> None:
    assert nearest_contract(dt.date.fromisoformat(day), config_of(name)) == contract


# ---- around the clock ----


def test_dates_of_a_market_without_a_pause_join() -> None:
    config = config_of("BTC")
    trading = calendar(config)
    days = trading.dates(dt.date(2025, 3, 1), dt.date(2025, 11, 30))
    assert [after - before for before, after in pairwise(days)] == [DAY] * 274  # weekends and holidays too
    for before, after in pairwise(map(trading.session, days)):
        assert before.globex == before.bronze and before.globex.end == after.globex.start
        assert before.regular == before.globex and before.premarket.start == before.premarket.end == before.globex.start
        assert not before.early_close and before.end == before.globex.end - HOUR // 4
        assert trading.date_of(before.globex.end) == before.date and trading.date_of(before.globex.end + 1) == after.date


def test_days_of_23_and_25_hours() -> None:
    """Chicago's clocks were put forward on 9 March 2025, and back on 2 November."""
    trading = calendar(config_of("BTC"))
    for day, hours in (("2025-03-08", 24), ("2025-03-09", 23), ("2025-03-10", 24), ("2025-11-02", 25), ("2025-11-03", 24)):
        start, end = trading.session(dt.date.fromisoformat(day)).globex
        assert (end - start) // HOUR == hours
        assert to_datetime(end, "America/Chicago").hour == 17


def test_a_regular_close_of_its_own_ends_the_date_before_the_calendar_does() -> None:
    """CL's day session ends at 14:30 New York time; on 3 July 2025 the stock market closes at 13:00."""
    trading = calendar(config_of("CL"))
    usual, half = (trading.session(dt.date(2025, 7, day)) for day in (2, 3))
    assert [to_datetime(one.regular.end, "America/New_York").strftime("%H:%M") for one in (usual, half)] == ["14:30", "13:00"]
    assert [one.early_close for one in (usual, half)] == [False, True]
    assert to_datetime(usual.end, "America/New_York").strftime("%H:%M") == "14:15"


# ---- what is shown, and what is compiled before a session ----


@pytest.mark.parametrize("name", NAMES)
def test_a_rehearsal_has_a_touch(name: str) -> None:
    assert rehearse(config_of(name)) > 0


@pytest.mark.parametrize(("name", "digits", "tick"), [("ES", 2, 0.25), ("CL", 2, 0.01), ("GC", 1, 0.1), ("BTC", 0, 5.0)])
def test_the_page_is_told_what_a_price_looks_like(name: str, digits: int, tick: float) -> None:
    rules = _rules(config_of(name))
    assert (rules["digits"], rules["tick"]) == (digits, tick)
