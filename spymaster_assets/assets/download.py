"""What was bought for a date, as an asset.

It is in no job but its own and spends nothing that it was not allowed: `usd` in the Launchpad, else `vendor.usd_per_date` of the
settings. Without a key, or with too little allowed, it buys nothing and its check says so; the rest goes on with what landing has.
What comes lies in landing, whose sensor makes the date's tables of it.
"""

import datetime as dt
import hashlib
from collections.abc import Iterator
from typing import Any, Final

import dagster as dg

from spymaster_assets.asking import VendorError
from spymaster_assets.assets.checks import result
from spymaster_assets.assets.partitions import CONFIG, date_of, trading_dates
from spymaster_assets.assets.resources import LakeResource
from spymaster_assets.config import KEY, KEY_FILE, vendor_key
from spymaster_assets.download import Download, Offer
from spymaster_assets.lacking import Lacking, NotTold
from spymaster_assets.lake import Lake
from spymaster_assets.landing import Landing
from spymaster_assets.progress import terminal
from spymaster_assets.quality import Outcome
from spymaster_assets.staged import Busy, damaged, entries, on_their_way

DOWNLOAD: Final = dg.AssetKey(["vendor", "download"])
POOL: Final = "vendor"
NO_KEY: Final = f"no key: set {KEY}, or {KEY_FILE} to the path of a file that holds it"
CHECKS: Final = {
    "complete": "Landing holds everything that the settings ask for of the date: definitions, trades, the book, its options.",
    "intact": "The downloaded files are what came.",
}
RETRIES: Final = dg.RetryPolicy(max_retries=2, delay=60, backoff=dg.Backoff.EXPONENTIAL)


class Allowance(dg.Config):
    """What the date may cost in all, what was bought of it before and streams that broke off included."""

    usd: float = CONFIG.vendor.usd_per_date


def judge(lake: Lake, date: dt.date, note: str = "") -> dict[str, Outcome]:
    """Is anything lacking, is anything damaged; asks nobody. `note`: why nothing was bought."""
    wrong = damaged(Landing(lake.root / "landing", lake.config), date)
    lacking, names = Lacking(lake, lake.config.vendor.schemas), []
    try:
        names = [one.name for step in (lacking.telling, lacking.told) for one in step(date)]
    except NotTold as error:
        names = [one.name for one in lacking.telling(date)] + [str(error)]
    lacks = f"lacking: {', '.join(names)}" if names else "nothing is lacking"
    return {
        "complete": Outcome(not names, {"lacking": len(names)}, {"lacking": 0}, f"{lacks}; {note}" if note else lacks),
        "intact": Outcome(not wrong, {"damaged": len(wrong)}, {"damaged": 0}, "; ".join(wrong) or "as it came"),
    }


def _key() -> str | None:
    try:
        return vendor_key()
    except ValueError as error:
        raise dg.Failure(str(error), allow_retries=False) from None


def _held(lake: Lake, date: dt.date) -> dict[str, dict[str, Any]]:
    return entries(Landing(lake.root / "landing", lake.config), date)


def _lost(lake: Lake, date: dt.date) -> float:
    """USD, at most, of streams of files that have not come."""
    landing = Landing(lake.root / "landing", lake.config)
    return sum(sum(state.begun) for staged in on_their_way(landing, date) if (state := staged.state()))


def _buy(lake: Lake, date: dt.date, key: str, usd: float) -> str:
    """Bring what the date lacks, if all of it costs at most `usd`; what is to be known of it. dg.Failure if it cannot be had."""
    from spymaster_assets.vendor import Vendor  # the vendor's client takes a second to import

    cost, paid = 0.0, _lost(lake, date) + sum(entry["usd"] for entry in _held(lake, date).values())

    def agree(offers: list[Offer]) -> bool:
        nonlocal cost
        lacking = {offer.wanted.name: offer.quote.usd for offer in offers}
        cost = _lost(lake, date) + sum({**{name: entry["usd"] for name, entry in _held(lake, date).items()}, **lacking}.values())
        return cost <= usd

    try:
        outcome = Download(lake, Vendor(lake.config, key), progress=terminal()).run([date], agree, usd - paid)
    except (Busy, VendorError, ValueError, OSError) as error:
        raise dg.Failure(str(error), allow_retries=not isinstance(error, VendorError) or not error.final) from error
    if outcome.refused:
        names = ", ".join(offer.wanted.name for offer in outcome.refused)
        return (
            f"with {names} it would cost {cost:,.2f} USD in all; it may cost {usd:,.2f} USD"
            " (`usd` in the Launchpad, usd_per_date in the settings)"
        )
    if outcome.trouble:
        raise dg.Failure(f"{date}: {'; '.join(outcome.trouble[date])}")
    return "; ".join(outcome.notes.get(date, []))


def _metadata(held: dict[str, dict[str, Any]], note: str) -> dict[str, Any]:
    return {
        "USD": sum(entry["usd"] for entry in held.values()),
        "bytes": sum(entry["bytes"] for entry in held.values()),
        "files": dg.MetadataValue.json({name: {**entry, "request": None} for name, entry in held.items()}),
        "conditions": dg.MetadataValue.json({day: state for one in held.values() for day, state in one["conditions"].items()}),
        **({"note": note} if note else {}),
    }


@dg.asset(
    key=DOWNLOAD,
    group_name="vendor",
    partitions_def=trading_dates,
    check_specs=[
        dg.AssetCheckSpec(name, asset=DOWNLOAD, description=meaning, partitions_def=trading_dates)
        for name, meaning in CHECKS.items()
    ],
    retry_policy=RETRIES,
    pool=POOL,
    description="What the date lacks in landing, bought from Databento. Spends what its configuration allows: nothing by default.",
    kinds={"databento"},
)
def download(context: dg.AssetExecutionContext, config: Allowance, lake: LakeResource) -> Iterator[object]:
    date, store, key = date_of(context), lake.lake(), _key()
    note = _buy(store, date, key, config.usd) if key else NO_KEY
    held = _held(store, date)
    digests = "".join(sorted(str(entry["digest"]) for entry in held.values()))
    version = dg.DataVersion(hashlib.sha256(digests.encode()).hexdigest()[:16])
    yield dg.MaterializeResult(metadata=_metadata(held, note), data_version=version)
    for name, outcome in judge(store, date, note).items():
        yield result(DOWNLOAD, name, outcome, blocking=False)


download_job = dg.define_asset_job(
    "download_job", selection=dg.AssetSelection.assets(DOWNLOAD), description="What a trading date lacks in landing, bought."
)
