"""What this service really answered on one job's walk: the examples of the document and pages.

The walk itself stands among the tests, which hold what is kept against what is answered today.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

KEPT = Path(__file__).with_name("examples.json")


class Exchange(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request, and its answer."""

    operation: str
    """Method and path as the document names them; empty where nothing has that address."""
    method: str
    address: str
    """Path and query."""
    headers: Mapping[str, str] = {}
    """What was sent besides the key."""
    body: Any = None
    status: int
    media_type: str
    answer: Any

    @property
    def code(self) -> str | None:
        """The refusal's code; None where it was none."""
        if self.media_type != "application/problem+json":
            return None
        return str(self.answer["type"]).removeprefix("/problems/")


@cache
def exchanges() -> tuple[Exchange, ...]:
    """Everything that is kept, in the order of the walk."""
    return msgspec.json.decode(KEPT.read_bytes(), type=tuple[Exchange, ...])


def answered(operation: str) -> list[Exchange]:
    """What an operation answered where it did not refuse."""
    return [one for one in exchanges() if one.operation == operation and one.code is None]


def refused(code: str, operation: str | None = None) -> Exchange | None:
    """How a refusal was answered (there, if at all); None where the walk does not meet it."""
    met = (one for one in exchanges() if one.code == code and operation in {one.operation, None})
    return next(met, None)
