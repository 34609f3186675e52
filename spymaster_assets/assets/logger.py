"""How Dagster runs log to their process's stderr where JSON is asked for; otherwise Dagster's own console logger does it."""

import logging

import dagster as dg

from spymaster_assets.config import log_format
from spymaster_assets.logs import handler


@dg.logger(config_schema={"log_level": dg.Field(str, is_required=False, default_value="INFO")})
def json_console(context: dg.InitLoggerContext) -> logging.Logger:
    """Every event of a run as a line of JSON with run and date."""
    made = logging.Logger("dagster", context.logger_config["log_level"].upper())
    made.addHandler(handler())
    return made


def loggers() -> dict[str, dg.LoggerDefinition] | None:
    """Of the code location; None: Dagster's own."""
    return {"console": json_console} if log_format() == "json" else None
