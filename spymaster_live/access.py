"""Who may do what on the bus: subjects that each service may publish to and listen on, and the server's configuration of that.

Everything that is not named here is refused. JetStream is asked for by publishing below $JS.API; what it may be asked for is what
bus.Reader and bus.Publisher ask for, of the streams that the service works with.

Permissions alone do not hold: whoever asks names the subject of the answer, and the server answers there, no matter who may publish
to it. So each service has an account of its own, and the streams have one in which there is no user. What a service may publish
beyond itself is imported into its account, and an answer stays in the account of the one who asked (docs/decisions/0016).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
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
        subject("feed"),
        *looked_at(MARKET),
        *read(LEVELS),
        *(f"$JS.API.CONSUMER.CREATE.{LEVELS}.*.{subject}" for subject in (messages.LEVELS_ROWS, messages.LEVELS_FLOW)),
    ),
    "provision": Access((*looked_at(LEVELS), *(one for stream in (MARKET, LEVELS, DLQ, _KV) for one in made(stream)))),
    "control": Access((messages.CONTROL, subject("*"))),
}


BUS: Final = "BUS"  # the account of the streams
_API: Final = "$JS.API."  # how requests to JetStream begin; they are about the streams of one's own account


def destinations(name: str) -> Iterator[tuple[str, str]]:
    """Whom a service reaches beyond its own account: account and subject. Who listens, else the streams."""
    for wanted in dict.fromkeys(MAY[name].publish):
        listeners = [(_account(one), heard) for one, its in MAY.items() for heard in its.subscribe if fnmatchcase(heard, wanted)]
        yield from (one for one in listeners or [(BUS, wanted)] if one[0] != _account(name))


def configuration(public: Mapping[str, str]) -> str:
    """users.conf: the accounts and users of a nats-server, from the public nkey of each service."""
    accounts = [_streams(), *(_service_account(name, key) for name, key in public.items())]
    told = "# Written by `python -m spymaster_live keys`; who may do what: docs/security.md."
    return f"{told}\naccounts {{\n" + "\n".join(accounts) + "\n}\n"


def _account(name: str) -> str:
    return name.upper()


def _streams() -> str:
    return f"  {BUS} {{\n    jetstream: enabled\n{_exports(BUS)}  }}"


def _exports(account: str) -> str:
    """What others reach of an account, and which of them. A request for messages is answered by several, any other by one."""
    asked: dict[str, list[str]] = {}
    for name in MAY:
        for owner, wanted in destinations(name):
            if owner == account:
                asked.setdefault(wanted, []).append(_account(name))
    lines = []
    for wanted, names in asked.items():
        answers = "stream" if ".MSG.NEXT." in wanted else "single"
        lines.append(f'      {{ service: "{wanted}", accounts: [{", ".join(names)}], response_type: {answers} }}\n')
    return f"    exports: [\n{''.join(lines)}    ]\n" if lines else ""


def _service_account(name: str, key: str) -> str:
    imports = "".join(
        f'      {{ service: {{ account: {owner}, subject: "{wanted}" }}, to: "{_meant(wanted)}" }}\n'
        for owner, wanted in destinations(name)
    )
    return (
        f"  {_account(name)} {{\n    users: [\n{_user(key, MAY[name])}\n    ]\n{_exports(_account(name))}"
        f'    mappings: {{ "{_API}>": "{_meant(_API)}>" }}\n    imports: [\n{imports}    ]\n  }}'
    )


def _meant(wanted: str) -> str:
    """What the server takes a subject for before it looks at permissions: a request to JetStream is about the streams of BUS."""
    return f"{BUS}.{wanted}" if wanted.startswith(_API) else wanted


def _user(key: str, access: Access) -> str:
    lines = [
        "      {",
        f"        nkey: {key}",
        "        permissions: {",
        f"          publish: {{ allow: [{_listed(tuple(map(_meant, access.publish)))}] }}",
        f"          subscribe: {{ allow: [{_listed((*access.subscribe, f'{inbox(key)}.>'))}] }}",
        *(['          allow_responses: { max: 1, expires: "1m" }'] if access.answers else []),
        "        }",
        "      }",
    ]
    return "\n".join(lines)


def _listed(subjects: tuple[str, ...]) -> str:
    return ", ".join(f'"{one}"' for one in subjects)
