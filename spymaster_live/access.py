"""Who may do what on the bus: subjects that each service may publish to and listen on, and the server's configuration of that.

Everything that is not named here is refused. JetStream is asked for by publishing below $JS.API; what it may be asked for is what
bus.Reader and bus.Publisher ask for, of the streams that the service works with. Nobody listens to the subjects of a stream itself:
a consumer delivers to wherever somebody listens, and would let its maker write there (docs/decisions/0016).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from spymaster_live import messages
from spymaster_live.bus import DLQ, LEVELS, MARKET, STATE
from spymaster_live.connection import inbox
from spymaster_live.health import subject


@dataclass(frozen=True)
class Access:
    """Subjects, besides one's own inbox. `answers`: may answer whoever asks on a subject that it listens on."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...] = ()
    answers: bool = False


def looked_at(stream: str) -> tuple[str, ...]:
    """What tells where a stream stands, and single messages of it."""
    return f"$JS.API.STREAM.INFO.{stream}", f"$JS.API.STREAM.MSG.GET.{stream}"


def read(stream: str) -> tuple[str, ...]:
    """What bus.Reader needs of a stream: consumers of its own, with names that nobody can guess."""
    of_consumers = (f"$JS.API.CONSUMER.{what}.{stream}.*" for what in ("CREATE", "INFO", "MSG.NEXT"))
    return *looked_at(stream), *of_consumers


def made(stream: str) -> tuple[str, ...]:
    """What it takes to make a stream and to change its configuration; nobody may delete or purge one."""
    return tuple(f"$JS.API.STREAM.{what}.{stream}" for what in ("INFO", "CREATE", "UPDATE"))


def _service(name: str, *publish: str, listens: tuple[str, ...] = ()) -> Access:
    """A service that tells its health, and may ask for it: its container's health check has no other key."""
    return Access((*publish, subject(name)), (*listens, subject(name)), answers=True)


_KV: Final = f"KV_{STATE}"
MAY: Final[Mapping[str, Access]] = {
    "feed": _service("feed", "market.>", *looked_at(MARKET), listens=(messages.CONTROL,)),
    "engine": _service(
        "engine", "levels.>", f"{messages.DEAD}.>", f"$KV.{STATE}.>", f"$JS.API.STREAM.INFO.{_KV}", *read(MARKET), *read(LEVELS)
    ),
    "writer": _service("writer", *read(MARKET), *read(LEVELS)),
    "gateway": _service(
        "gateway",
        messages.CONTROL,
        subject("writer"),
        *looked_at(MARKET),
        *read(LEVELS),
        f"$JS.API.CONSUMER.CREATE.{LEVELS}.*.{messages.LEVELS_ROWS}",
    ),
    "provision": Access((*looked_at(LEVELS), *(one for stream in (MARKET, LEVELS, DLQ, _KV) for one in made(stream)))),
    "control": Access((messages.CONTROL, subject("*"))),
}


def configuration(public: Mapping[str, str]) -> str:
    """users.conf: the users of a nats-server, from the public nkey of each service."""
    users = "\n".join(_user(name, key, MAY[name]) for name, key in public.items())
    told = "# Written by `python -m spymaster_live keys`; who may do what: docs/security.md."
    return f"{told}\nauthorization {{\n  users = [\n{users}\n  ]\n}}\n"


def _user(name: str, key: str, access: Access) -> str:
    lines = [
        f"    {{ # {name}",
        f"      nkey: {key}",
        "      permissions: {",
        f"        publish: {{ allow: [{_listed(access.publish)}] }}",
        f"        subscribe: {{ allow: [{_listed((*access.subscribe, f'{inbox(key)}.>'))}] }}",
        *(['        allow_responses: { max: 1, expires: "1m" }'] if access.answers else []),
        "      }",
        "    }",
    ]
    return "\n".join(lines)


def _listed(subjects: tuple[str, ...]) -> str:
    return ", ".join(f'"{one}"' for one in subjects)
