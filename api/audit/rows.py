"""A file as rows of cells, and the refusal of one that cannot be read."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Final, TypeAlias

from msgspec import Struct

COLUMNS_MAX: Final = 702
"""Up to column ZZ."""
ROWS_MAX: Final = 2_000_000

Cell: TypeAlias = str | float | bool | date | datetime | None
"""A cell as its file types it; CSV knows only text."""


class BadExport(ValueError):
    """An export that cannot be read: where, what stands there, and what would do."""

    def __init__(self, file: str, message: str, row: int = 0) -> None:
        """Name the file, and the row where there is one."""
        place = f"{file}, row {row}" if row else file
        super().__init__(f"{place}: {message}")
        self.file = file
        self.row = row
        self.message = message

    def __reduce__(self) -> tuple[object, ...]:
        """Let it come whole out of the process that reads the file."""
        return _again, (type(self), self.args, self.__dict__)


def _again(
    kind: type[BadExport], args: tuple[object, ...], attributes: dict[str, object]
) -> BadExport:
    exc = kind.__new__(kind, *args)
    exc.__dict__.update(attributes)
    return exc


class Row(Struct, frozen=True, gc=False):
    """One row, and the columns (from 0) in which a formula stands instead of a value."""

    number: int
    """As a spreadsheet counts, from 1."""
    cells: Sequence[Cell]
    formulas: tuple[int, ...] = ()


class Sheet(ABC):
    """The rows of one file (of one of its sheets), to be read as often as needed."""

    def __init__(self, file: str, understood: tuple[str, ...]) -> None:
        """Name the file, without its folder, and say how it is understood."""
        self.file = file
        self.understood = understood

    @abstractmethod
    def rows(self) -> Iterator[Row]:
        """Give every row, blank ones too; raises `BadExport` at the first that is none."""
