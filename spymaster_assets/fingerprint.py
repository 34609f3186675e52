"""What a partition was made from and holds: its fingerprint and manifest; the digest of modules' code.

A manifest records the hashes of inputs, config and code (its fingerprint): the same fingerprint is not computed again. No wall
clock: the same data give the same manifest.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Fingerprint:
    """What an artifact was made from. `inputs`: name -> content hash of each input."""

    inputs: Mapping[str, str]
    config: str
    code: str
    schema: str

    @property
    def key(self) -> str:
        """16 hex digits over all of it; names the data file."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    def differences(self, other: Fingerprint) -> list[str]:
        """What changed against `other`, in words."""
        changed = [name for name in ("config", "code", "schema") if getattr(self, name) != getattr(other, name)]
        for name in sorted({*self.inputs, *other.inputs}):
            if self.inputs.get(name) != other.inputs.get(name):
                verb = "new" if name not in other.inputs else "gone" if name not in self.inputs else "changed"
                changed.append(f"input {name} {verb}")
        return changed


@dataclass(frozen=True)
class Manifest:
    """What a published partition holds. `size`: bytes of its file; `facts`: what its maker has to say (coverage, counts, ...)."""

    table: str
    date: str
    rows: int
    file: str
    size: int
    content: str
    fingerprint: Fingerprint
    facts: Mapping[str, Any] = field(default_factory=dict)

    def encode(self) -> bytes:
        return (
            json.dumps({**vars(self), "fingerprint": vars(self.fingerprint)}, indent=1, sort_keys=True, allow_nan=False) + "\n"
        ).encode()

    @staticmethod
    def decode(raw: bytes) -> Manifest:
        values = json.loads(raw)
        return Manifest(**{**values, "fingerprint": Fingerprint(**values["fingerprint"])})


def code_digest(*modules: str) -> str:
    """Hash (16 hex digits) of modules' code: their syntax trees, so that comments, docstrings and layout change nothing."""
    return hashlib.sha256("".join(_module_digest(module) for module in modules).encode()).hexdigest()[:16]


@cache
def _module_digest(module: str) -> str:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"expected a module {module}, found none")
    return hashlib.sha256(_spelled(ast.parse(Path(spec.origin).read_bytes())).encode()).hexdigest()


def _spelled(node: Any) -> str:
    """What `ast.dump` says of a node, without docstrings, in half the time: processes begin with this."""
    kind = type(node)
    if kind is list:
        return f"[{', '.join([_spelled(one) for one in node])}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    parts = []
    for name in node._fields:
        value = getattr(node, name, None)
        if value is None and (not hasattr(node, name) or getattr(kind, name, ...) is None):
            continue
        if name == "body" and type(value) is list and value and type(value[0]) is ast.Expr and type(value[0].value) is ast.Constant:
            value = value[1:]
        parts.append(f"{name}={_spelled(value)}")
    return f"{kind.__name__}({', '.join(parts)})"
