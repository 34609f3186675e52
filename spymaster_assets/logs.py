"""How processes log: lines for eyes, or (SPYMASTER_LOG=json) one JSON object a line, each with part, run and date.

Everything goes through here, whoever logs: what stands between :// and @ in an address, user and password or a token, is taken out.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from types import TracebackType
from typing import Any, Final

import click

from spymaster_assets.config import log_format

_CREDENTIALS: Final = re.compile(r"(?<=://)[^/\s]*@")
_ABOUT: dict[str, str | None] = {"part": None, "run": None, "date": None}


def shown(text: str) -> str:
    """A text without the credentials of the addresses in it."""
    return _CREDENTIALS.sub("", text)


def about(**facts: str | None) -> None:
    """What this process is at from now on: `part`, `run`, `date`."""
    _ABOUT.update(facts)


class Text(logging.Formatter):
    """Time, logger and message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return shown(super().format(record))


class Json(logging.Formatter):
    """`time` (UTC), `level`, `logger`, `part`, `run`, `date`, `message`, and `trace` of an exception.

    Of a Dagster run: part dagster, its id, its partition, and the `step`.
    """

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        told = {"time": at, "level": record.levelname, "logger": record.name, **_about(record), "message": record.getMessage()}
        if record.exc_info:
            told["trace"] = self.formatException(record.exc_info)
        return shown(json.dumps(told, ensure_ascii=False))


def _about(record: logging.LogRecord) -> dict[str, Any]:
    run: dict[str, Any] | None = getattr(record, "dagster_meta", None)
    if run is None:
        return dict(_ABOUT)
    date = (run.get("job_tags") or {}).get("dagster/partition")
    return {"part": "dagster", "run": run.get("run_id"), "date": date, "step": run.get("step_key")}


def handler() -> logging.Handler:
    """To stderr, in the format that the environment asks for. ValueError if that is none."""
    made = logging.StreamHandler(sys.stderr)
    made.setFormatter(Json() if log_format() == "json" else Text())
    return made


def begin(part: str | None, verbose: bool) -> None:
    """Log from now on; `verbose`: information too. ValueError for a format that there is not."""
    about(part=part)
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler()])
    if log_format() == "json":
        sys.excepthook = _unexpected


def say(text: str) -> None:
    """What a process has to say that is no warning: a line on stdout, or an event like any other."""
    if log_format() == "text":
        click.echo(shown(text))
    else:
        record = logging.LogRecord("spymaster", logging.INFO, "", 0, text, None, None)
        click.echo(Json().format(record), err=True)


class Failure(click.ClickException):
    """Why a command ends: click's one line, or an event like any other."""

    def __init__(self, message: str) -> None:
        super().__init__(shown(message))

    def show(self, file: Any = None) -> None:
        if log_format() == "text":
            super().show(file)
        else:
            click.echo(Json().format(logging.LogRecord("spymaster", logging.ERROR, "", 0, self.message, None, None)), err=True)


def _unexpected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger("spymaster").critical("%s", error or kind.__name__, exc_info=(kind, error, trace))
