"""Models as assets, by trading date: each is the model as of the date, from earlier dates alone.

Their edge to earlier training goes through `history`, as that of priors does. What a model knows of itself, its checks and its
pictures stand in the results; what it is stands in the lake below `models`.
"""

from collections.abc import Iterator
from typing import Any, Final

import dagster as dg

from spymaster_assets.assets.bronze import column_schema
from spymaster_assets.assets.checks import key_of, result
from spymaster_assets.assets.history import earlier
from spymaster_assets.assets.partitions import CONFIG, date_of, trading_dates
from spymaster_assets.assets.resources import LakeResource
from spymaster_assets.evaluating import NAME as EVALUATION
from spymaster_assets.evaluating import evaluate, found_by, tested_dates
from spymaster_assets.fingerprint import code_digest
from spymaster_assets.lake import Lake
from spymaster_assets.maker import TROUBLE
from spymaster_assets.models.artifacts import ModelManifest
from spymaster_assets.models.examples import PRIMARY
from spymaster_assets.models.members import ALONE
from spymaster_assets.models_quality import MODEL_CHECKS, judge
from spymaster_assets.progress import terminal
from spymaster_assets.promoting import promote
from spymaster_assets.tables import PREDICTIONS, SEQUENCES, SNAPS, TOUCHES, TRAINING
from spymaster_assets.tables.predictions import MEMBERS
from spymaster_assets.training import CODE, Trainer

GROUP: Final = "models"
KINDS: Final = {"trees": {"lightgbm"}, "patchtst": {"torch"}, "retrieval": {"parquet"}, "ensemble": {"numpy"}}
MEANING: Final = {
    "trees": "Boosted trees around geometry, as of the date: three classes at three horizons, strength, reach.",
    "patchtst": "PatchTST on the time before a landmark, as of the date.",
    "retrieval": "The index of earlier touches, as of the date: the nearest ones and what became of them.",
    "ensemble": "The members' odds as one, as of the date; the best of them where all together are worse.",
}
_latest: list[Trainer] = []  # keeps what the dates of a week share, from one step of a run to the next


def model_key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["index" if name == "retrieval" else "model", name])


def _trainer(lake: Lake) -> Trainer:
    if not (_latest and _latest[0].lake == lake):
        _latest[:] = [Trainer(lake, terminal())]
    return _latest[0]


def _check_specs(name: str) -> list[dg.AssetCheckSpec]:
    return [
        dg.AssetCheckSpec(
            name=check.name,
            asset=model_key(name),
            blocking=check.blocking,
            description=check.description,
            partitions_def=trading_dates,
        )
        for check in MODEL_CHECKS
        if check.model == name
    ]


def _results(lake: LakeResource, name: str, context: dg.AssetExecutionContext) -> Iterator[dg.AssetCheckResult]:
    blocking = {check.name: check.blocking for check in MODEL_CHECKS if check.model == name}
    for check, outcome in judge(lake.lake(), name, date_of(context)).items():
        yield result(model_key(name), check, outcome, blocking[check])


def _facts(manifest: ModelManifest, carried: bool) -> dict[str, Any]:
    """What a model's result shows."""
    told = {name: fact for name, fact in manifest.facts.items() if name not in ("window", "losses")}
    window = manifest.facts["window"]
    return {
        "status": manifest.status, "carried": carried, "content": manifest.content, "as of": window["since"],
        "dates": len(window["dates"]), "missing": len(window["missing"]), "facts": dg.MetadataValue.json(told),
        "files": dg.MetadataValue.json(dict(manifest.files)),
    }  # fmt: skip


def model_asset(name: str) -> dg.AssetsDefinition:
    """The asset of one member with its checks."""
    deps = [dg.AssetDep(model_key(one)) for one in ALONE] if name == "ensemble" else [earlier(TRAINING), earlier(SEQUENCES)]

    @dg.asset(
        key=model_key(name),
        group_name=GROUP,
        partitions_def=trading_dates,
        deps=deps,
        check_specs=_check_specs(name),
        code_version=f"{code_digest(*CODE)}-{CONFIG.digest('models', 'sequences')}",
        description=MEANING[name],
        kinds=KINDS[name],
    )
    def asset(context: dg.AssetExecutionContext, lake: LakeResource) -> Iterator[object]:
        try:
            made = _trainer(lake.lake()).make(name, date_of(context))
        except TROUBLE as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        yield dg.MaterializeResult(metadata=_facts(made.manifest, made.carried), data_version=dg.DataVersion(made.manifest.content))
        yield from _results(lake, name, context)

    return asset


@dg.asset(
    key=key_of(PREDICTIONS),
    group_name=GROUP,
    partitions_def=trading_dates,
    deps=[*(dg.AssetDep(model_key(name)) for name in MEMBERS), *(key_of(table) for table in (TRAINING, SEQUENCES, SNAPS, TOUCHES))],
    description=f"{PREDICTIONS.meaning[0].upper()}{PREDICTIONS.meaning[1:]}.",
    kinds={"parquet"},
    metadata={"dagster/column_schema": column_schema(PREDICTIONS)},
)
def predictions(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
    """Every member's odds of the date's touches, out of sample."""
    try:
        manifest, unchanged = _trainer(lake.lake()).predictions(date_of(context))
    except TROUBLE as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    metadata: dict[str, Any] = {
        "dagster/row_count": manifest.rows,
        "unchanged": unchanged,
        "facts": dg.MetadataValue.json(dict(manifest.facts)),
    }
    return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(manifest.content))


@dg.multi_asset(
    name="evaluation",
    group_name=GROUP,
    partitions_def=trading_dates,
    specs=[
        dg.AssetSpec(
            model_key(EVALUATION),
            deps=[key_of(PREDICTIONS), key_of(TRAINING)],
            description="What all predictions up to the date were worth: every scorer against geometry, by whole dates.",
            kinds={"html"},
        ),
        dg.AssetSpec(
            model_key("drift"),
            deps=[key_of(PREDICTIONS), key_of(TRAINING)],
            description="Whether features or skill of the latest dates are other than before.",
        ),
        dg.AssetSpec(
            model_key("champion"),
            deps=[model_key(EVALUATION)],
            description="Which model serves: changed only by the rule of promotion.",
        ),
    ],
    check_specs=_check_specs(EVALUATION),
)
def evaluation(context: dg.AssetExecutionContext, lake: LakeResource) -> Iterator[object]:
    """The evaluation as of the date, and the decision that follows from it."""
    store, date = lake.lake(), date_of(context)
    if not tested_dates(store, date):
        for name in (EVALUATION, "drift", "champion"):
            yield dg.MaterializeResult(asset_key=model_key(name), metadata={"note": "no model has predicted anything yet"})
        for check in _check_specs(EVALUATION):
            yield dg.AssetCheckResult(
                asset_key=check.asset_key, check_name=check.name, passed=True, description="nothing to judge yet"
            )
        return
    try:
        manifest = evaluate(store, date, terminal())
        found = found_by(store, manifest)
        decision = promote(store, date)
    except TROUBLE as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    first = [one for one in found["horizons"][PRIMARY] if one["elapsed"] == 0]
    yield dg.MaterializeResult(
        asset_key=model_key(EVALUATION),
        metadata={
            "dates": len(found["dates"]), "touches": found["touches"], "power": found["power"], "best": found["best"],
            "report": dg.MetadataValue.md(found["markdown"]),
            "page": dg.MetadataValue.path(str(store.root / "models" / EVALUATION / manifest.content / "report.html")),
            **{f"gain at the touch, {one['name']}": one["gain"][0] for one in first if one["gain"][0] is not None},
        },
        data_version=dg.DataVersion(manifest.content),
    )  # fmt: skip
    drift = found["drift"]
    yield dg.MaterializeResult(
        asset_key=model_key("drift"),
        metadata={
            "flagged": drift["flagged"] or "no", "features beyond PSI .25": drift["beyond"],
            "features": dg.MetadataValue.json(drift["features"]),
        },
    )  # fmt: skip
    yield dg.MaterializeResult(
        asset_key=model_key("champion"),
        metadata={"serves": decision["name"], "why": decision["why"], "verdicts": dg.MetadataValue.json(decision["verdicts"])},
    )
    yield from _results(lake, EVALUATION, context)


model_assets = [*(model_asset(name) for name in MEMBERS), predictions, evaluation]
