"""How Dagster runs log to their process's stderr: as Dagster does, or as JSON where the environment asks for it.

Dagster makes its console logger itself unless a run's own configuration names another one, and for what it says before that is
read. So where JSON is wanted that very logger is another one: the private `_logger_fn` of a Dagster whose version is pinned.
"""

import logging

import dagster as dg

from spymaster_assets.config import log_format
from spymaster_assets.logs import handler


def _json(context: dg.InitLoggerContext) -> logging.Logger:
    """Every event of a run as a line of JSON with run, date and step."""
    made = logging.Logger("dagster", str(context.logger_config["log_level"]).upper())
    made.addHandler(handler())
    return made


_COLOURED = dg.colored_console_logger.logger_fn


def begin() -> None:
    """From now on runs of this process log as the environment asks for."""
    dg.colored_console_logger._logger_fn = _json if log_format() == "json" else _COLOURED
