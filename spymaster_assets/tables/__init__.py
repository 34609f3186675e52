"""Every table of the system, each column declared once: bronze.py, silver.py, gold.py; here is what shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from spymaster_assets.schema import Column, Table, time_column
from spymaster_assets.states import DIRECTIONS, KEY_KINDS
from spymaster_assets.tables.bronze import (
    BRONZE,
    DEFINITIONS,
    FUTURES_MBP10,
    FUTURES_TRADES,
    INSTRUMENT,
    OPTION_QUOTES,
    OPTION_STATISTICS,
    OPTION_TRADES,
    SEQUENCE,
    SYMBOL,
    UNDEF_PRICE,
)
from spymaster_assets.tables.display import DEALERS, DISPLAY, HEAT, STRIKES
from spymaster_assets.tables.gold import GOLD, SCORED, SEQUENCES, TRAINING
from spymaster_assets.tables.predictions import PREDICTIONS
from spymaster_assets.tables.silver import (
    BARS,
    DAY_SUMMARY,
    FEATURE_ROWS,
    FLOW,
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
    K,
)

__all__ = [
    "BARS", "BRONZE", "DAY_SUMMARY", "DEALERS", "DEFINITIONS", "DISPLAY", "FEATURE_ROWS", "FLOW", "FUTURES_MBP10",
    "FUTURES_TRADES", "GOLD", "HEAT", "LABELS", "LEVELS", "OPEN_INTEREST", "OPTION_FLOW", "OPTION_QUOTES", "OPTION_STATISTICS",
    "OPTION_TRADES", "PREDICTIONS", "PRINTS", "PRIORS", "SCORED", "SEQUENCES", "SIGNALS", "SILVER", "SNAPS", "STRIKES",
    "TABLES", "TOUCHES", "TRAINING", "UNDEF_PRICE", "describe", "markdown",
]  # fmt: skip

OPTION_FLOW_TRUTH = Table(
    "option_flow", "truth", "arrival", "the simulator's answer: who the customer was in each simulated option trade",
    (
        time_column("ts_event", "event time of the trade"),
        SEQUENCE,
        INSTRUMENT,
        SYMBOL,
        Column("customer_side", "i1", "sign", "1: the customer bought, -1: the customer sold", low=-1, high=1),
    ),
)  # fmt: skip
PATH_TRUTH = Table(
    "path", "truth", "k", "the simulator's answer: the efficient price and what moves it at the end of every snap",
    (
        K,
        time_column("ts", "the moment"),
        Column("price", "f8", "points", "efficient price F of the front contract"),
        Column("sigma", "f8", "points/sqrt(s)", "its volatility", low=0),
        Column("drift", "f8", "points/s", "its drift: of the touch whose 240 s run"),
        Column("remaining", "f8", "s", "how long it runs on", low=0, high=240),
        *(
            Column(name, "f8", "std", f"latent: {meaning}")
            for name, meaning in (
                ("w", "withdrawal of the defending side"), ("a", "aggression toward the break"), ("g", "dealers' gamma"),
            )
        ),
    ),
)  # fmt: skip
TOUCHES_TRUTH = Table(
    "touches", "truth", "ts", "the simulator's answer: the touches that it saw itself, and what they started",
    (
        time_column("ts", "end of the interval of the touch"),
        Column("kind", "i1", "name", "which level", categories=KEY_KINDS),
        Column("direction", "i1", "name", "UP: from below", categories=DIRECTIONS),
        Column("price", "i8", "1e-9 USD", "the level's price"),
        *(Column(name, "f8", "std", f"latent {name} at the touch, as in truth/path") for name in ("w", "a", "g")),
        Column("score", "f8", "std", "S: what pushes toward the break"),
        Column("drift", "f8", "points/s", "the drift that runs from then on, upward"),
        Column("own", "i1", "flag", "1: it began with this touch", low=0, high=1),
    ),
)  # fmt: skip
TABLES: Final[Mapping[str, Table]] = {
    f"{table.stage}/{table.name}": table
    for table in (*BRONZE, *SILVER, *GOLD, PREDICTIONS, *DISPLAY, OPTION_FLOW_TRUTH, PATH_TRUTH, TOUCHES_TRUTH)
}


def markdown() -> str:
    """docs/tables.md."""
    lines = ["# Tables", "", "Generated from `spymaster_assets/tables/`; edit there and run `make docs`.", ""]
    for key, table in TABLES.items():
        lines += [f"## {key}", "", f"{table.meaning[0].upper()}{table.meaning[1:]}. Order: {table.grain}.", ""]
        lines += ["| column | type | unit | unknown | meaning |", "|---|---|---|---|---|"]
        lines += [f"| {c.name} | {_type(c)} | {c.unit} | {_unknown(c)} | {_meaning(c)} |" for c in table.columns]
        lines.append("")
    return "\n".join(lines)


def _type(column: Column) -> str:
    return "text" if column.is_text else str(np.dtype(column.dtype))


def _unknown(column: Column) -> str:
    return "null" if column.null else "" if column.unknown is None else str(column.unknown)


def _meaning(column: Column) -> str:
    codes = "; ".join(f"{letter} {text}" for letter, text in (column.codes or {}).items()) or ", ".join(column.categories or ())
    return f"{column.meaning} ({codes})" if codes else column.meaning


def describe(table: Table) -> list[dict[str, Any]]:
    """The columns as plain facts, for whoever shows them (Dagster, web page)."""
    return [
        {"name": c.name, "type": _type(c), "nullable": c.null, "description": f"{_meaning(c)} [{c.unit}]"} for c in table.columns
    ]
