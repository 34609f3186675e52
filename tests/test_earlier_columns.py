"""docs/earlier-columns.md accounts for every column of the earlier system, and what it names is there."""

import re
from pathlib import Path

import pytest

from spymaster_assets.features import FEATURES
from spymaster_assets.tables import TABLES

PAGE = Path(__file__).parents[1] / "docs" / "earlier-columns.md"
FEATURE_NAMES = {feature.name for feature in FEATURES}
NAME = re.compile(r"`([^`]+)`")
LABELS = (
    "outcome excursion_{max,min} strength_{signed,abs} time_to_threshold_{1,2} time_to_break_{1,2} time_to_bounce_{1,2} "
    "tradeable_{1,2} confirm_ts_ns anchor_spot future_price"
)
FAMILIES = {
    "Identity": "event_id ts_ns timestamp level_price level_kind level_kind_name direction entry_price zone_width date",
    "Barrier": "barrier_state barrier_delta_liq barrier_replenishment_ratio wall_ratio",
    "Tape": "tape_imbalance tape_{buy,sell}_vol tape_velocity sweep_detected",
    "Fuel": "gamma_exposure fuel_effect",
    "Kinematics": "velocity_{1,3,5,10,20}min acceleration_{1,3,5,10,20}min jerk_{1,3,5,10,20}min momentum_trend_{3,5,10,20}min",
    "Order flow": "ofi_{30,60,120,300}s ofi_near_level_{30,60,120,300}s ofi_acceleration",
    "Barrier before the event": "barrier_delta_{1,3,5}min barrier_pct_change_{1,3,5}min barrier_depth_current",
    "Distances of levels": (
        "dist_to_{pm_high,pm_low,or_high,or_low,sma_200,sma_400} dist_to_{pm_high,pm_low,or_high,or_low,sma_200,sma_400}_atr "
        "dist_to_tested_level level_stacking_{2,5,10}pt"
    ),
    "Dealers' gamma by strike": (
        "gex_above_{1,2,3}strike gex_below_{1,2,3}strike call_gex_above_{1,2,3}strike put_gex_below_{1,2,3}strike "
        "gex_asymmetry gex_ratio net_gex_2strike"
    ),
    "Force and mass": "predicted_accel accel_residual force_mass_ratio",
    "Approach, session, transforms": (
        "atr approach_velocity approach_bars approach_distance prior_touches minutes_since_open bars_since_open "
        "wall_ratio_nonzero barrier_delta_liq_nonzero wall_ratio_log barrier_delta_liq_log spot distance_signed{,_atr,_pct} "
        "dist_to_{pm_high,pm_low,sma_200,sma_400}_pct approach_distance_{atr,pct} level_price_pct"
    ),
    "Attempts": (
        "attempt_index attempt_cluster_id {barrier_replenishment,barrier_delta_liq}_trend {tape_velocity,tape_imbalance}_trend"
    ),
    "Labels": " ".join(name + suffix for suffix in ("_2min", "_4min", "_8min", "") for name in LABELS.split()),
}


def expanded(text):
    """The names in a text; one with braces is a name for each part between the commas in them."""
    for name in text.split():
        before, brace, rest = name.partition("{")
        parts, _, after = rest.partition("}")
        yield from ([f"{before}{part}{after}" for part in parts.split(",")] if brace else [name])


COLUMNS = {heading: list(expanded(text)) for heading, text in FAMILIES.items()}
EARLIER = [name for names in COLUMNS.values() for name in names]
LABELS_OF_4_MINUTES = {"excursion_max", "excursion_min"}  # there; here two features bear these names


def rows():
    """(heading, column, ours, why) of every row of the page."""
    heading = ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif line.startswith("| `"):
            column, ours, why = (cell.strip() for cell in line.strip("|").split("|"))
            yield heading, column.strip("`"), ours, why


ROWS = list(rows())


def exists(name):
    """Whether it is a feature, or the column of a Silver table."""
    table, _, column = name.rpartition(".")
    if not table:
        return column in FEATURE_NAMES
    return f"silver/{table}" in TABLES and column in TABLES[f"silver/{table}"].names


def test_there_were_182():
    assert len(EARLIER) == len(set(EARLIER)) == 182


def test_every_column_has_its_row_in_order_and_in_its_family():
    assert [column for _, column, _, _ in ROWS] == EARLIER
    assert {heading: [column for at, column, _, _ in ROWS if at == heading] for heading, *_ in ROWS} == COLUMNS


@pytest.mark.parametrize(("column", "ours", "why"), [row[1:] for row in ROWS], ids=[row[1] for row in ROWS])
def test_what_a_row_names_is_there(column, ours, why):
    """Either dropped, or names alone; a reason in any case, which mentions what was or is a column."""
    names = NAME.findall(ours)
    rest = NAME.sub("", ours).replace(",", "").strip()
    assert (rest == "dropped") if not names else rest in ("", "changed to"), ours
    assert [name for name in names if not exists(name)] == []
    assert why and {*NAME.findall(why)} <= {*EARLIER, *FEATURE_NAMES, "monitor_band"}
    if names and rest == "":
        assert why.startswith(("same meaning", "changed: ")), why


def test_a_dropped_column_is_not_ours_under_its_name():
    assert {column for _, column, ours, _ in ROWS if ours == "dropped" and exists(column)} == LABELS_OF_4_MINUTES


def test_the_test_would_see_a_name_that_is_none():
    assert exists("touches.event_id") and exists("labels.outcome_4min") and exists("wall_ratio")
    assert not (exists("touches.nothing") or exists("nowhere.event_id") or exists("outcome_4min"))
