"""`spymaster download` where vendor, network or files misbehave: what is tried again and what is told; nothing wrong lands."""

import datetime as dt
import time
from collections import Counter
from email.utils import format_datetime
from pathlib import Path

import dagster as dg
import pytest

from spymaster_assets import dbn
from spymaster_assets.assets.resources import resources
from spymaster_assets.definitions import build
from spymaster_assets.staged import alone, entries
from tests.vendor.buying import DATE, ROLL, configure, contents, download, landing_of, on_its_way, utc, without_costs
from tests.vendor.historical import Fault, Historical


def in_a_second() -> str:
    return format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1), usegmt=True)


@pytest.mark.parametrize(
    ("faults", "charged"),
    [
        ([Fault(500), Fault(503)], 1),
        ([Fault(429, headers={"Retry-After": "0"})], 1),
        ([Fault(429, headers={"Retry-After": in_a_second()})], 1),
        ([Fault(drop_at=100), Fault(drop_at=20_000)], 3),
        ([Fault(cut_at=0), Fault(cut_at=20_000)], 3),
    ],
    ids=["errors", "busy", "busy until", "dropped", "cut"],
)
def test_a_stream_that_fails_is_tried_again(
    vendor: Historical, downloaded: Path, tmp_path: Path, faults: list[Fault], charged: int
) -> None:
    vendor.charges.clear()
    vendor.faults["timeseries.get_range"] = list(faults)
    result = download(tmp_path / "again", [DATE], "--yes", schemas="trades")
    assert result.exit_code == 1, "definitions were not asked for, so the options are not known"
    assert "option" in result.output and "definitions of the date tell them" in result.output
    [name] = entries(landing_of(tmp_path / "again"), DATE)
    path = f"landing/download/{DATE}/{name}.dbn.zst"
    assert contents(tmp_path / "again")[path] == contents(downloaded)[path]
    assert len(vendor.charges) == charged  # a stream is charged for what it sends, each time


def test_retry_after_is_honoured(vendor: Historical, tmp_path: Path) -> None:
    vendor.faults["metadata.get_cost"] = [Fault(429, headers={"Retry-After": "1"})]
    began = time.monotonic()
    download(tmp_path, [DATE], "--yes", schemas="definition")
    assert time.monotonic() - began >= 1


def test_a_cut_between_frames_and_records_is_seen_by_the_count(vendor: Historical, tmp_path: Path) -> None:
    """What no reader notices: a whole file of fewer records. The second time as few, they are all there are, and that is told."""
    real, short, allowed = vendor.body, [], 1

    def fewer(form: dict[str, str]) -> bytes:
        if form["symbols"] != "ES.FUT" or len(short) == allowed:
            return real(form)
        short.append(1)
        kept, mappings = vendor.select(form)
        with dbn.Writer(
            tmp_path / "short", "trades", dataset=form["dataset"], start=int(form["start"]), end=int(form["end"]),
            symbols=form["symbols"].split(","), mappings=mappings, stype_in=form["stype_in"],
        ) as writer:  # fmt: skip
            writer.write(kept[: len(kept) // 2])
        return (tmp_path / "short").read_bytes()

    vendor.body = fewer  # type: ignore[method-assign]
    for name in ("once", "always"):
        if name == "always":
            short, allowed = [], 9
        result = download(tmp_path / name, [DATE], "--yes", schemas="trades definition")
        assert result.exit_code == 0, result.output
        told = "records came, the vendor had counted" in result.output
        entry = entries(landing_of(tmp_path / name), DATE)["futures_trades"]
        counted = entry["billed_bytes"] // dbn.TRADE.itemsize
        assert (told, entry["records"]) == ((False, counted) if name == "once" else (True, counted // 2))


@pytest.mark.parametrize(
    ("fault", "message", "stopped"),
    [
        (Fault(402, "account_insufficient_funds"), "Databento asks for payment first: 402 account_insufficient_funds", True),
        (Fault(403, "license_not_found"), "Databento refused the key", True),
        (Fault(422, "symbology_invalid"), "futures_trades: a stream of trades: Databento refused: 422 symbology_invalid", False),
        (Fault(500), "gave up after 4 attempts", False),
        (Fault(cut_at=9_000), "gave up after 4 attempts", False),
    ],
    ids=lambda one: str(one.status or "cut") if isinstance(one, Fault) else None,
)
def test_what_is_refused_is_told_and_a_later_run_completes_it(
    vendor: Historical, downloaded: Path, tmp_path: Path, fault: Fault, message: str, stopped: bool
) -> None:
    root = tmp_path / "again"
    vendor.faults["timeseries.get_range"] = [Fault(), *4 * [fault]]
    result = download(root, [DATE], "--yes")
    assert result.exit_code == 1 and message in result.output
    assert list(entries(landing_of(root), DATE)) == ["definitions"]
    assert not stopped or len(result.output.splitlines()) < 8
    vendor.faults.clear()
    vendor.charges.clear()
    assert download(root, [DATE], "--yes").exit_code == 0
    assert Counter(charge.schema for charge in vendor.charges)["definition"] == 0
    assert without_costs(contents(root)) == without_costs(contents(downloaded))
    assert on_its_way(root) == []


def test_a_server_that_is_away_is_one_sentence(vendor: Historical, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vendor.port = 1
    configure(vendor, tmp_path, monkeypatch)
    result = download(tmp_path, [DATE], "--yes")
    assert result.exit_code == 1 and "gave up after 4 attempts" in result.output and "Traceback" not in result.output


def test_what_the_vendor_thinks_of_its_data_is_told_and_kept(vendor: Historical, tmp_path: Path) -> None:
    vendor.conditions = {"2025-06-03": "degraded", "2025-06-13": "pending"}
    vendor.warnings = ["BentoWarning: The streaming request contained one or more days which have reduced quality"]
    result = download(tmp_path, [DATE], "--yes", schemas="definition")
    assert result.exit_code == 0
    assert "the vendor calls 2025-06-03 degraded" in result.output and "reduced quality" in result.output
    [entry] = entries(landing_of(tmp_path), DATE).values()
    assert entry["conditions"] == {"2025-06-03": "degraded"}
    assert entry["remarks"] == ["The streaming request contained one or more days which have reduced quality"]
    pending = download(tmp_path, ROLL, "--yes", schemas="definition")
    assert pending.exit_code == 1 and "not available yet: the vendor calls 2025-06-13 pending" in pending.output
    assert list(entries(landing_of(tmp_path), ROLL[0])) == ["definitions"] and not entries(landing_of(tmp_path), ROLL[1])


def test_a_date_that_is_not_over_at_the_vendors_is_not_bought(vendor: Historical, tmp_path: Path) -> None:
    vendor.available_end = "2025-06-13T20:59:59.000000000Z"
    result = download(tmp_path, ROLL, "--yes", schemas="definition")
    assert result.exit_code == 1
    assert "not available yet: the vendor has GLBX.MDP3 until 2025-06-13 20:59 UTC" in result.output
    assert [charge.start for charge in vendor.charges] == [utc("2025-06-11 21:00")]


def test_two_at_once_are_refused_and_the_sensor_waits(vendor: Historical, downloaded: Path) -> None:
    (downloaded / "landing" / "download" / str(DATE) / "option_quotes.dbn.zst").unlink()

    def tick() -> bool:
        with dg.DagsterInstance.ephemeral() as instance:
            repository = build(downloaded).get_repository_def()
            context = dg.build_sensor_context(instance=instance, repository_def=repository, resources=resources(downloaded))
            return bool(repository.get_sensor_def("landing_sensor").evaluate_tick(context).run_requests)

    with alone(landing_of(downloaded), DATE):
        result = download(downloaded, [DATE], "--yes")
        assert not tick()
    assert result.exit_code == 1 and f"{DATE}: another process downloads it" in result.output
    assert tick()


def test_an_unknown_schema_is_refused(vendor: Historical, tmp_path: Path) -> None:
    result = download(tmp_path, [DATE], "--yes", schemas="mbo,trades")
    assert result.exit_code == 1 and "schema mbo: expected some of definition, trades, mbp-10" in result.output
