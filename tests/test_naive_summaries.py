"""The naive twin of what the context adds to summaries and priors (physics.md, section 7) against numbers worked out by hand."""

from tests import toy_days
from tests.naive_labels import LOADINGS, SESSION_COLUMNS, naive_day_summary, naive_priors
from tests.toy_context import CONFIG, loadings, mid_book
from tests.toy_days import QUIET_BOOK, L, toy_day, toy_session
from tests.toy_physics import has, rows_of


def summary(day):
    found = naive_day_summary(rows_of(day), day.bars1, day.session, CONFIG)
    names = (*SESSION_COLUMNS, *LOADINGS, "acceleration_coefficient")
    assert all(row[name] == found[0][name] for row in found for name in names)
    return found[0]


def test_prices_of_the_session():
    """09:30 is at 300 s, the regular close at 1,200 s: prints at 300 and after 1,200 s do not count."""
    trades = [(1200, 250, L + 99, 1, "B"), (1201, 1, L - 3, 1, "B"), (3000, 1, L + 5, 1, "N"), (4800, 250, L + 1, 1, "A")]
    day = toy_day(4900, {0: QUIET_BOOK}, [*trades, (4801, 1, L - 99, 1, "A")], session=toy_session(regular=300, end=300))
    has(summary(day), {"session_high": L + 5, "session_low": L - 3, "session_close": L + 1})
    has(summary(toy_days.barrier_day({})), dict.fromkeys(SESSION_COLUMNS))


def minutes_of_imbalance(*minutes, signals=540.0):
    """A day of ten minutes, "09:30" after five of them, with so much imbalance in the minutes from the sixth on, by depth."""
    day = toy_day(2401, {0: QUIET_BOOK}, session=toy_session(regular=300, signals=signals))
    total = [0] * 10
    for snap in day.snaps:
        number, rest = divmod(snap["k"] - 1201, 240)
        if rest == 0 and 0 <= number < len(minutes):
            total = [one + more for one, more in zip(total, (*minutes[number], *(0,) * 10), strict=False)]
        snap.update({f"ofi_{i:02}": value for i, value in enumerate(total)})
    return day


def test_loadings():
    """All but a constant varies along (3, 4), more than along depth 2; the tenth minute lies after the signal window."""
    day = minutes_of_imbalance((10, 3, 4, 0), (10, -3, -4, 0), (10, 0, 0, 1), (10, 0, 0, -1), (999, 0, 0, 0))
    has(summary(day), loadings(0.0, 3 / 7, 4 / 7))


def test_loadings_sum_to_a_positive_number():
    """Along (-1, 3) and (-3, 1): entries of three to one, turned so that the larger one is positive."""
    has(summary(minutes_of_imbalance((-1, 3), (1, -3), (-2, 6), (2, -6))), loadings(-0.25, 0.75))
    has(summary(minutes_of_imbalance((-3, 1), (3, -1), (6, -2))), loadings(0.75, -0.25))


def test_loadings_where_nothing_varies():
    nothing = dict.fromkeys((*LOADINGS, "acceleration_coefficient"))
    has(summary(minutes_of_imbalance(*[(5, 7)] * 5)), nothing)
    has(summary(minutes_of_imbalance((5, 7), signals=360.0)), nothing)  # one minute
    has(summary(toy_days.barrier_day({})), nothing)  # none


def pushed_day(**other):
    """Two minutes: nothing in the first but 40 lots; in the last 30 s of the second 45 lots of imbalance and 40 bought ones.

    The mid is (seconds before the end)^2 eighths above the level, in the first minute that of a minute before the end.
    """
    books = {k: mid_book(2 * L + min(60, (480 - k) // 4) ** 2) for k in range(481)}
    trades = [(8, 1, L + 900, 40, "B"), (400, 1, L, 40, "B")]
    day = toy_day(481, books, trades, session=toy_session(signals=120), **other)
    for snap in day.snaps:
        snap["ofi_00"] = 45 * (snap["k"] > 400)
    return day


def test_acceleration_coefficient():
    """At the first close nothing pushes. At the second: D = 90, .5 + 40/20 = 2.5 over a mass of 2, and a = .25 points/s^2; the
    other direction has both negative: the slope is .25 / 1.25."""
    has(summary(pushed_day()), loadings(1.0) | {"acceleration_coefficient": 0.2})


def test_acceleration_coefficient_where_little_is_known():
    """No good books in the second minute: no acceleration at its close. Nothing pushes at the first: no slope."""
    day = pushed_day()
    for snap in day.snaps[244:]:
        snap["book_ok"] = 0
    has(summary(day), {"ofi_loading_00": 1.0, "acceleration_coefficient": None})


def test_priors_of_the_new_columns():
    """Loadings and coefficient are medians of dates; the session's prices are those of the date right before alone."""
    dates = [
        [{"bucket": b, "ofi_loading_03": x, "acceleration_coefficient": x, **dict.fromkeys(SESSION_COLUMNS, x)} for b in range(144)]
        for x in (1.0, 2.0, 6.0)
    ]
    dates = [[dict.fromkeys(LOADINGS) | row for row in date] for date in dates]
    has(
        naive_priors(dates, CONFIG, dates[2])[9],
        {"ofi_loading_03": 2, "acceleration_coefficient": 2, "session_high": 6, "dates": 3},
    )
    has(naive_priors(dates, CONFIG)[9], {"ofi_loading_03": 2, **dict.fromkeys(SESSION_COLUMNS)})
    has(naive_priors(dates[1:], CONFIG, dates[2])[9], {"ofi_loading_03": None, "session_low": 6, "session_close": 6})
