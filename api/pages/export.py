"""A list as a file: CSV and XLSX of what the page shows, as far as a bound.

A cell that begins like a formula is quoted, so that no spreadsheet runs what a customer wrote.
"""

import csv
from collections.abc import Iterable, Sequence
from decimal import Decimal
from io import BytesIO, StringIO
from typing import Final

from msgspec import Struct

from api.pages.columns import Column, Row
from projections.timeline import stamp

ROWS_MAX: Final = 10_000
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""
WIDTH_MAX: Final = 40


class Kind(Struct, frozen=True):
    """A kind of file."""

    media_type: bytes
    says: str


KINDS: Final = {
    "csv": Kind(b"text/csv; charset=utf-8", "CSV"),
    "xlsx": Kind(
        b"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "Excel (XLSX)"
    ),
}


def titles(shown: Sequence[Column]) -> list[str]:
    """The head of the list, in the order of the page."""
    known_by, *others = [one.title for one in shown] or [""]
    return ["Case", known_by, "State", "Since", "Overdue since", "Differs", "Next by", *others]


def cells(row: Row) -> list[str | Decimal]:
    """A row of the list."""
    known_by, *others = [_cell(one.text, one.value) for one in row.cells] or [""]
    return [
        row.id,
        known_by,
        " + ".join(state.title for state in row.states),
        stamp(row.since),
        row.late.due if row.late else "",
        "yes" if row.differs else "",
        ", ".join(row.acts),
        *others,
    ]


def _cell(text: str, value: object) -> str | Decimal:
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Decimal(value)
    return text


def quoted(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def as_csv(head: Sequence[str], rows: Iterable[Sequence[str | Decimal]]) -> bytes:
    """A file of commas, in UTF-8 that says so itself: Excel would guess otherwise."""
    text = StringIO()
    writer = csv.writer(text)
    for one in (head, *rows):
        writer.writerow([quoted(cell) if isinstance(cell, str) else cell for cell in one])
    return text.getvalue().encode("utf-8-sig")


def as_xlsx(name: str, head: Sequence[str], rows: Iterable[Sequence[str | Decimal]]) -> bytes:
    """A workbook of one sheet, in which every text is a text."""
    file = BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    from xlsxwriter import Workbook  # few ask for one, and it is large

    with Workbook(file, options) as book:
        sheet = book.add_worksheet(name[:31])
        bold, text = book.add_format({"bold": True}), book.add_format({"quote_prefix": True})
        widths = [len(one) for one in head]
        for column, title in enumerate(head):
            sheet.write_string(0, column, title, bold)
        for number, one in enumerate(rows, start=1):
            for column, cell in enumerate(one):
                widths[column] = max(widths[column], len(str(cell)))
                if isinstance(cell, str):
                    risky = cell.startswith(FORMULA)
                    sheet.write_string(number, column, cell, text if risky else None)
                else:
                    sheet.write_number(number, column, cell)
        for column, width in enumerate(widths):
            sheet.set_column(column, column, min(width, WIDTH_MAX) + 2)
        sheet.freeze_panes(1, 1)
        sheet.autofilter(0, 0, 0, len(head) - 1)
    return file.getvalue()
