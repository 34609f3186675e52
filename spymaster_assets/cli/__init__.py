"""The command line: spymaster simulate | truth-check | download | ingest | share | day | backfill | train | walk-forward | report |
status | outcomes | inspect | sql | backup | migrate | doctor | docs.

Dates are trading dates; a range is FROM:TO, both included. Everything lives below the data folder (--data, SPYMASTER_DATA, ./data).
"""

from spymaster_assets.cli import dates, files, keeping, looking
from spymaster_assets.cli.group import main, prepare_dagster, run

__all__ = ["dates", "files", "keeping", "looking", "main", "prepare_dagster", "run"]
