"""A download that is asked for again in other words, and what streams that break off cost: nothing paid is lost, nothing hidden."""

from pathlib import Path

import pytest

from spymaster_assets.staged import entries
from tests.vendor.buying import DATE, contents, download, landing_of, materialize
from tests.vendor.historical import Fault, Historical


def test_quotes_at_each_trade_are_not_replaced_by_samples(vendor: Historical, downloaded: Path) -> None:
    """Bronze takes the better of the two: the other one would be paid for nothing, and what was paid before be gone."""
    before = contents(downloaded)
    vendor.charges.clear()
    again = download(downloaded, [DATE], "--yes", schemas="definition trades mbp-10 bbo-1s statistics")
    assert again.exit_code == 0, again.output
    assert contents(downloaded) == before and vendor.charges == []


def test_what_streams_that_broke_off_cost_is_told_and_kept(vendor: Historical, tmp_path: Path) -> None:
    vendor.faults["timeseries.get_range"] = [Fault(), Fault(drop_at=100), Fault(cut_at=2_000), Fault(500)]
    result = download(tmp_path, [DATE], "--yes", schemas="definition statistics")
    assert result.exit_code == 0, result.output
    charged = sum(charge.usd for charge in vendor.charges)
    agreed = sum({charge.schema: charge.usd for charge in vendor.charges}.values())
    assert [charge.schema for charge in vendor.charges] == ["definition", *3 * ["statistics"]]
    told = f"{agreed:,.2f} USD and {charged - agreed:,.2f} USD more, at most, for what streams that broke off had sent, "
    assert told in result.output
    assert sum(entry["usd"] for entry in entries(landing_of(tmp_path), DATE).values()) == pytest.approx(charged)


def test_an_allowance_is_not_exceeded_by_streams_that_break_off(vendor: Historical, downloaded: Path, tmp_path: Path) -> None:
    """What a date may cost in all, with what came to nothing, however often it is run."""
    held = entries(landing_of(downloaded), DATE)
    quoted = [held[name]["usd"] for name in ("definitions", "futures_trades")]
    allowed = sum(quoted) + 0.5 * min(quoted)
    vendor.charges.clear()
    for _ in range(2):
        vendor.faults["timeseries.get_range"] = [Fault(cut_at=9_000)] * 3
        result = materialize(tmp_path / "broken", usd=allowed)
        assert 0 < sum(charge.usd for charge in vendor.charges) <= allowed
    assert result.success  # nothing more is bought, and the check says why
    [complete] = [found for found in result.get_asset_check_evaluations() if found.check_name == "complete"]
    assert f"it may cost {allowed:,.2f} USD" in (complete.description or "")
