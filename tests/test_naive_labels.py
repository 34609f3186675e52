"""The naive twins of labels, summaries and priors (physics.md, sections 6 and 7) against numbers worked out by hand on toy days."""

from spymaster_assets.tables import DAY_SUMMARY, PRIORS
from tests import toy_days
from tests.naive_labels import cluster_percentile, naive_day_summary, naive_priors
from tests.toy_days import K0, L
from tests.toy_physics import CONFIG, has, labels, rows_of

# ---- 6 labels: horizons of 120, 240, 480 s need 2, 2.5 and 3 points; a third of them .66, .825, .99 ----


def test_labels_of_a_break_and_a_bounce():
    found = labels(toy_days.label_day(), K0)
    t0 = toy_days.OPEN + 5 * toy_days.SECOND
    has(found, {"touch": 0, "k": K0, "ts": t0, "elapsed": 0, "label_version": 1, "anchor_spot": 2 * L - 1})
    has(
        found,
        {
            "label_end_2min": t0 + 120 * toy_days.SECOND, "outcome_2min": "BREAK",
            "time_to_break_1_2min": 10, "time_to_break_2_2min": 20, "time_to_bounce_1_2min": 25, "time_to_bounce_2_2min": 25,
            "excursion_max_2min": 2, "excursion_min_2min": 2, "strength_signed_2min": 0, "strength_abs_2min": 2,
            "tradeable_1_2min": 1, "tradeable_2_2min": 1, "future_price_2min": L - 8,
            "outcome_4min": "BREAK", "time_to_break_1_4min": 20, "time_to_break_2_4min": 130,
            "time_to_bounce_1_4min": 25, "time_to_bounce_2_4min": None,
            "excursion_max_4min": 2.5, "excursion_min_4min": 2, "strength_signed_4min": 0.5, "future_price_4min": L + 10,
            "outcome_8min": "BOUNCE", "time_to_break_2_8min": None, "time_to_bounce_1_8min": 25, "time_to_bounce_2_8min": 300,
            "excursion_max_8min": 2.5, "excursion_min_8min": 3, "strength_signed_8min": -0.5, "strength_abs_8min": 3,
        },
    )  # fmt: skip
    down = labels(toy_days.label_day(), K0, 1)
    has(down, {"outcome_2min": "BOUNCE", "outcome_8min": "BREAK", "time_to_break_2_2min": 25, "excursion_max_8min": 3})


def test_labels_of_a_chop():
    """Three ticks are .75 points: more than .66, less than .825."""
    found = labels(toy_days.label_day(trades=((10, 3),)), K0)
    has(found, {"outcome_2min": "CHOP", "time_to_break_1_2min": 10, "time_to_break_2_2min": None, "future_price_2min": L + 3})
    has(found, {"excursion_max_2min": 0.75, "excursion_min_2min": 0, "tradeable_1_2min": 1, "tradeable_2_2min": 0})
    has(found, {"outcome_4min": "CHOP", "time_to_break_1_4min": None, "tradeable_1_4min": 0})
    silent = labels(toy_days.label_day(trades=()), K0)
    has(silent, {"outcome_8min": "CHOP", "excursion_max_8min": 0, "strength_abs_8min": 0, "future_price_8min": None})


def test_labels_after_a_resolution():
    """30 s after the touch: 2 points were reached at 20 s, 2.5 come 100 s later, 3 on the other side 270 s later."""
    found = labels(toy_days.label_day(), K0 + 120)
    assert found["outcome_2min"] == "RESOLVED"
    others = [name for name in found if name.endswith("_2min") and name not in ("outcome_2min", "label_end_2min")]
    assert len(others) == 11
    has(found, dict.fromkeys(others))
    has(
        found,
        {
            "elapsed": 30,
            "outcome_4min": "BREAK",
            "time_to_break_2_4min": 100,
            "outcome_8min": "BOUNCE",
            "time_to_bounce_2_8min": 270,
        },
    )


def test_labels_cut_by_the_session_end():
    """The session ends 95 s after the touch: a break at 20 s stands, without excursions; one at 110 s is not seen."""
    early = labels(toy_days.label_day(end=100), K0)
    has(early, {"outcome_2min": "BREAK", "time_to_break_2_2min": 20, "time_to_bounce_2_2min": 25, "outcome_4min": "CENSORED"})
    has(early, dict.fromkeys(("excursion_max_2min", "strength_abs_2min", "tradeable_1_2min", "future_price_2min")))
    late = labels(toy_days.label_day(trades=((110, 8),), end=100), K0)
    has(late, {"outcome_2min": "CENSORED", "time_to_break_2_2min": None, "time_to_break_1_2min": None})
    exact = labels(toy_days.label_day(trades=((110, 8),), end=125), K0)
    has(exact, {"outcome_2min": "BREAK", "excursion_max_2min": 2, "outcome_4min": "CENSORED", "excursion_max_4min": None})
    beyond = labels(toy_days.label_day(end=100), K0 + 480)  # t is 25 s after the session's end
    has(beyond, {"outcome_2min": "RESOLVED", "outcome_4min": "CENSORED", "time_to_break_2_4min": None})


def test_labels_cut_by_a_halt():
    """No record for 60 s after 19.75 s censors what comes later, 59.75 s do not; a decision within the halt is censored too."""
    has(labels(toy_days.halt_day(239), K0), {"outcome_2min": "BREAK", "time_to_break_2_2min": 110, "excursion_max_2min": 2})
    halted = labels(toy_days.halt_day(240), K0)
    has(halted, {"outcome_2min": "CENSORED", "outcome_4min": "CENSORED", "time_to_break_2_2min": None, "excursion_max_2min": None})
    within = labels(toy_days.halt_day(240), K0 + 200)  # 30 s into it: it is complete 30 s later
    has(within, {"outcome_2min": "CENSORED"})
    after = labels(toy_days.halt_day(240), K0 + 320)  # the first snap with a record
    has(after, {"outcome_2min": "BREAK", "time_to_break_2_2min": 30})


# ---- 7 summaries and priors ----


def test_day_summary():
    """Two buckets of five minutes; the numbers stand beside the lines."""
    day = toy_days.summary_day()
    found = naive_day_summary(rows_of(day), day.bars1, day.session, CONFIG)
    assert len(found) == 144
    assert all(set(row) == set(DAY_SUMMARY.names) for row in found)
    assert [row["bucket"] for row in found] == list(range(144))
    sizes = {**{f"ask_m_{j:02}": 10 + j for j in range(10)}, **{f"bid_m_{j:02}": 20 + j for j in range(10)}}
    has(
        found[0],
        {
            **sizes,
            "minute_volume": 4,  # of 8, 4, 10, 0, 0
            "minute_prints": 1,  # of 2, 1, 1, 0, 0
            "atr": 0.0625,  # of .25, 0, 0, 0: the first minute has no previous close, the second lies a tick below it
            "print_spacing": 60,  # at 1, 3, 63, 123 s: 2, 60, 60
            "diffusion": 0,
            "cluster_p99": 5,
        },
    )
    # one return of .25 points in 5 s among 60: .0125 / 60
    has(found[1], {**sizes, "minute_volume": 0, "atr": 0, "print_spacing": None, "diffusion": 0.0125 / 60})
    # D of the asks 10 + … + 18 = 126, of the bids 216; closes at 360, 420, 480, 540 s. Asks: 60/90 three times (the 1,000 lots
    # before 09:30 do not count), then with the 90 pulled lots 60/180. Bids: 20/60 at 480 and 540, nothing before. Sorted:
    # 1/3 1/3 1/3 2/3 2/3 2/3, rank ceil(.8 x 6) = 5.
    assert {row["consumed_share"] for row in found} == {60 / 90}
    assert found[2]["ask_m_00"] is None and found[2]["minute_volume"] is None and found[2]["atr"] is None


def test_cluster_percentile():
    """Rank ceil(.99 x 200) = 198; of 199 again 198, which is the size 199 of 2 .. 200; sizes are capped."""
    lasts = [{"cluster_size": size} for size in range(1, 201)]
    assert cluster_percentile(lasts, CONFIG) == 198
    assert cluster_percentile(lasts[1:], CONFIG) == 199
    assert cluster_percentile([], CONFIG) is None
    assert cluster_percentile([{"cluster_size": 5000}] * 200, CONFIG) == 4095


def test_priors():
    """The median of the known values of three dates; nothing from two."""
    empty = dict.fromkeys(DAY_SUMMARY.names)
    dates = [[{**empty, "bucket": b, "atr": atr, "minute_volume": v} for b in range(144)] for atr, v in ((1, 4), (5, None), (2, 6))]
    priors = naive_priors(dates, CONFIG)
    assert [row["bucket"] for row in priors] == list(range(144))
    assert all(set(row) == set(PRIORS.names) for row in priors)
    has(priors[7], {"atr": 2, "minute_volume": 5, "print_spacing": None, "gamma_threshold": None, "dates": 3})
    has(naive_priors(dates[:2], CONFIG)[7], {"atr": None, "minute_volume": None, "dates": 2})
