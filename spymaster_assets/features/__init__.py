"""The feature registry: every number known at (touch, moment), declared once. Formulas: docs/physics.md, sections 4 and 8.

`known`: "t0" for approach columns, which look back from the touch and never change; "t" for what moves with the moment. A reaction
column looks forward from the touch and is null at e = 0. `mirror`: what the column becomes when book and tape are reflected
through the level: itself, or the named column, negated after "-"
(sweep_notional, a value in USD, moves with the price all the same). `exact`: made of integers and + - x / sqrt alone, so it has
the same bytes on every machine (given priors); the others agree within 1e-12. The features table, its checks, tests and
documentation iterate over FEATURES; those of sequences over CHANNELS.
"""

from __future__ import annotations

from typing import Final

from spymaster_assets.features.channels import CHANNELS, Channel
from spymaster_assets.features.context import CONTEXT
from spymaster_assets.features.feature import APPROACH_WINDOWS, HORIZONS, REACTION_WINDOWS, Feature
from spymaster_assets.features.physics import PHYSICS

__all__ = ["APPROACH_WINDOWS", "CHANNELS", "FEATURES", "HORIZONS", "REACTION_WINDOWS", "Channel", "Feature", "markdown"]

FEATURES: Final[tuple[Feature, ...]] = (*PHYSICS, *CONTEXT)


def markdown() -> str:
    """docs/features.md."""
    families = dict.fromkeys(feature.family for feature in FEATURES)
    lines = [
        "# Features",
        "",
        "Generated from `spymaster_assets/features/`; edit there and run `make docs`. Formulas: [physics](physics.md).",
        "",
        f"{len(FEATURES)} columns of `silver/features` in {len(families)} families, each known at (touch, moment): *t0* looks back",
        "from the touch and never changes, *t* moves with the moment, *reaction* looks forward from the touch to t. Mirror: the",
        "column that it becomes when the market is turned upside down, if not itself (- negated).",
        "",
    ]
    for family in families:
        lines += [
            f"## {family}",
            "",
            "| column | unit | meaning | reads | known | null | mirror |",
            "|---|---|---|---|---|---|---|",
        ]
        for one in (feature for feature in FEATURES if feature.family == family):
            known = "reaction" if one.reaction else one.known
            words = f" ({', '.join(one.categories)})" if one.categories else ""
            lines.append(
                f"| `{one.name}` | {one.unit} | {one.meaning}{words} | {one.window} | {known} | {one.null} | {one.mirror or ''} |"
            )
        lines.append("")
    return "\n".join(lines)
