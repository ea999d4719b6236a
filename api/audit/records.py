"""What one row of an export says of one case, and the forms in which rows are compared."""

import re
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final

from msgspec import Struct

from api.audit.mapping import fold
from api.audit.rows import Cell
from lifecycle.chart import Configuration
from lifecycle.comparable import Money
from lifecycle.connectors import Export
from lifecycle.fields import NotThat, normalise

TEXT_LENGTH_MAX: Final = 500
"""What is kept of a name, a title or an address, in characters."""
REFERENCES_MAX: Final = 20


class Given(Struct, frozen=True):
    """One export as it was given: whose it is, where it lies, what its columns mean."""

    tool: str
    path: Path
    mapping: Export
    label: str = ""
    """What the file is called in the report; empty: its name."""

    @property
    def file(self) -> str:
        """What the file is called in everything that is said of it."""
        return self.label or self.path.name


class Shown(Struct, frozen=True, gc=False, array_like=True):
    """What one status field of a record shows."""

    status_field: str
    word: str
    states: tuple[Configuration, ...]
    """Where a case may stand that shows this word; empty: nobody's word."""
    derived: str = ""
    """The condition that gave it, where the tool has no status of its own."""


class Record(Struct, frozen=True, gc=False, array_like=True):
    """What one row says of one case. Texts are as they were written, tidied."""

    tool: str
    row: int
    ref: str
    shown: tuple[Shown, ...] = ()
    also: tuple[str, ...] = ()
    kind: str = ""
    since: datetime | None = None
    name: str = ""
    title: str = ""
    email: str = ""
    phone: str = ""
    """Digits only, without the country's code where it has one."""
    address: str = ""
    money: Money | None = None
    references: tuple[tuple[str, str], ...] = ()
    """(tool, or `tool:kind`, that tool's id)."""
    fields: tuple[tuple[str, str], ...] = ()
    """Canonical field → its value as canonical text."""


def written(cell: Cell) -> str:
    """A cell as one line of text."""
    match cell:
        case str():
            cell = cell[:TEXT_LENGTH_MAX].strip()
            tidy = cell.isprintable() and "  " not in cell
            return cell if tidy else _UNPRINTABLE.sub("", " ".join(cell.split()))
        case None:
            return ""
        case bool():
            return str(cell).lower()
        case float():
            return str(int(cell)) if cell.is_integer() else repr(cell)
        case datetime() | date():
            return cell.isoformat()


def reference(cell: Cell) -> str:
    """A tool's id of a record as others may write it: without #, whatever its case."""
    return written(cell).lstrip("#").strip()[:128]


def references(cell: Cell) -> tuple[str, ...]:
    """Every id in a cell that may hold several."""
    text = written(cell)
    if not text:
        return ()
    if "," not in text and ";" not in text:
        return (found,) if (found := reference(text)) else ()
    parts = [found for part in re.split(r"[,;]", text) if (found := reference(part))]
    return tuple(parts[:REFERENCES_MAX])


def email_key(text: str) -> str:
    """An e-mail address as it is compared; empty where it is none."""
    if not text:
        return ""
    if _PLAIN_EMAIL.fullmatch(text):
        return text.casefold()
    try:
        return email(text).casefold()
    except NotThat:
        return ""


def email(text: str) -> str:
    """An e-mail address in canonical form; raises `NotThat`."""
    if _PLAIN_EMAIL.fullmatch(text):  # what normalising changes in these is the domain's case
        name, _, domain = text.partition("@")
        return f"{name}@{domain.lower()}"
    return _normal_email(text)


def phone_key(text: str) -> str:
    """The last ten digits of a phone number; empty where there are too few to tell it by.

    Exports write numbers with or without the country's code, so what is compared leaves it out.
    """
    digits = _NO_DIGIT.sub("", _EXTENSION.sub("", text)).lstrip("0")
    return digits[-10:] if len(digits) >= 7 else ""  # noqa: PLR2004 - the shortest that tell people apart


@lru_cache(maxsize=100)
def kind_key(text: str) -> str:
    """A kind of record as it is compared: `Purchase Order` is purchaseorder."""
    return fold(text)


@lru_cache(maxsize=10_000)
def _normal_email(text: str) -> str:
    return str(normalise("email", text))


_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_PLAIN_EMAIL: Final = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9_+-]*(?:\.[A-Za-z0-9_+-]+)*@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*\.[A-Za-z]{2,}",
    re.ASCII,
)
_NO_DIGIT: Final = re.compile(r"[^0-9]+")
_EXTENSION: Final = re.compile(r"(?:ext|x|#).*$", re.IGNORECASE)
