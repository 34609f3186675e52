"""Which columns Gold's columns come from, as Dagster shows it."""

from __future__ import annotations

import dagster as dg

from spymaster_assets.assets.checks import key_of
from spymaster_assets.features import CHANNELS, HORIZONS
from spymaster_assets.schema import Table
from spymaster_assets.tables import FEATURE_ROWS, LABELS, SCORED, SEQUENCES, SIGNALS, SILVER, TOUCHES, TRAINING

_SILVER = {table.name: table for table in SILVER}


def sources(table: Table) -> dict[str, list[tuple[Table, str]]]:
    """Column of a Gold table -> the columns it is made from; of a step's scale and number, none."""
    return _training() if table is TRAINING else _sequences()


def _training() -> dict[str, list[tuple[Table, str]]]:
    found: dict[str, list[tuple[Table, str]]] = {name: [(FEATURE_ROWS, name)] for name in FEATURE_ROWS.names}
    found |= {name: [(LABELS, name)] for name in LABELS.names if name not in FEATURE_ROWS.names}
    found |= {name: [(SIGNALS, name)] for name in SCORED}
    found |= {name: [(TOUCHES, name)] for name in TOUCHES.names if name not in found}
    found |= {
        "t_feature": [(FEATURE_ROWS, "ts"), (_SILVER["snaps"], "gap_ns")],
        "t_decision": [(FEATURE_ROWS, "ts")],
        "t_label_start": [(FEATURE_ROWS, "ts")],
        "t_label_end": [(LABELS, f"label_end_{name}") for name in HORIZONS],
        **{f"trainable_{name}": [(LABELS, f"outcome_{name}"), (TOUCHES, "sigma")] for name in HORIZONS},
    }
    return {name: found[name] for name in TRAINING.names}


def _sequences() -> dict[str, list[tuple[Table, str]]]:
    found = {name: [(TRAINING, name)] for name in ("touch", "event_id", "k", "elapsed")}
    found |= {"ts": [(TRAINING, "t_decision")], "observed": [(_SILVER["snaps"], "book_ok")], "scale": [], "step": []}
    for channel in CHANNELS:
        places = [read.split(".") for read in channel.reads]
        found[channel.name] = [(_SILVER[table], column) for table, column in places]
    return {name: found[name] for name in SEQUENCES.names}


def column_lineage(table: Table) -> dg.TableColumnLineage:
    """The same in Dagster's form."""
    return dg.TableColumnLineage(
        {name: [dg.TableColumnDep(key_of(of), column) for of, column in columns] for name, columns in sources(table).items()}
    )


def lineage_page(table: Table) -> str:
    """The same as a page, because Dagster's own UI shows column lineage only as JSON in the log of a run."""
    made_from = {
        name: ", ".join(f"`{of.stage}/{of.name}.{column}`" for of, column in found) for name, found in sources(table).items()
    }
    rows = [f"| `{name}` | {places} |" for name, places in made_from.items()]
    return "\n".join(["| column | made from |", "|---|---|", *rows])
