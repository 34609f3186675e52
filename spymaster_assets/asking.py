"""What is asked of the vendor, what it says of that, and how it may go wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

DONE: Final = "done"  # states of a batch job
EXPIRED: Final = "expired"


class VendorError(RuntimeError):
    """What the vendor refused or did not manage, in a sentence. `final`: no other request will fare better."""

    def __init__(self, message: str, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


class Broken(RuntimeError):
    """An answer that is not whole, or not what was asked for: worth another attempt."""


@dataclass(frozen=True)
class Request:
    """Records of one schema: of `symbols` (named as `stype` says), received in [start, end), ns UTC."""

    dataset: str
    schema: str
    symbols: tuple[str, ...]
    stype: str
    start: int
    end: int

    @property
    def terms(self) -> dict[str, Any]:
        """The same in the words of Databento's client."""
        return {
            "dataset": self.dataset, "schema": self.schema, "symbols": list(self.symbols), "stype_in": self.stype,
            "start": self.start, "end": self.end,
        }  # fmt: skip


@dataclass(frozen=True)
class Quote:
    """What the vendor says of a request: USD, bytes that it charges for (uncompressed), records."""

    usd: float
    bytes: int
    records: int


@dataclass(frozen=True)
class RemoteFile:
    """A file of a job that is done; `sha256` in hex."""

    url: str
    size: int
    sha256: str
