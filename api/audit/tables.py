"""All findings as a table: CSV, and XLSX with the first page and what is to be confirmed.

What an export says may begin with `=`, and a spreadsheet would obey it: such a cell begins with an
apostrophe here.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, Final, TextIO

import xlsxwriter

from api.audit.findings import Audit, Finding, Said
from api.audit.report import KINDS, Report, believe, percent, plain, state_title, told, where

Cell = str | int | Decimal | date | None

DANGEROUS: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""
SHEET_ROWS_MAX: Final = 1_048_576
"""Rows of one sheet, as Excel counts them."""
CELL_LENGTH_MAX: Final = 32_767
"""Characters of one cell, as Excel counts them."""


def quoted(cell: Cell) -> Cell:
    """Keep a spreadsheet from obeying a text; numbers and dates stay what they are."""
    if isinstance(cell, str) and cell.startswith(DANGEROUS):
        return f"'{cell}"
    return cell


def headings(audit: Audit) -> list[str]:
    """The columns: what is wrong, then what each tool says, and where."""
    each = (
        f"{plain(title)} {what}"
        for title in audit.tool_titles.values()
        for what in ("says", "since", "file and row")
    )
    return [
        "No.", "Kind", "How bad", "Job", "What is wrong", "Money", "Currency", "Days",
        "Field", "Believe", "Why", "What to do", "True state", *each, "All rows",
    ]  # fmt: skip


def rows(audit: Audit) -> Iterator[list[Cell]]:
    """Every finding, the worst first, under `headings`."""
    for finding in audit.findings:
        yield [quoted(cell) for cell in _row(finding, audit)]


def write_csv(audit: Audit, out: TextIO) -> None:
    """Write all findings as CSV."""
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([quoted(heading) for heading in headings(audit)])
    writer.writerows(rows(audit))


def write_xlsx(audit: Audit, out: Path | BinaryIO, report: Report | None = None) -> None:
    """Write a workbook: first page, findings, pairs to confirm, jobs not opened, rows left out.

    Rows are written through as they come, so that a million do not stand in memory.
    """
    report = report or told(audit)
    options = {
        "constant_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "default_date_format": "yyyy-mm-dd",
    }
    with xlsxwriter.Workbook(out, options) as book:
        sheet = _Sheets(book)
        sheet.write("Summary", (34, 90), _first_page(report), head=None)
        width = (6, 22, 9, 34, 70, 14, 9, 8, 14, 26, 50, 60, 18)
        sheet.write("Findings", width, rows(audit), headings(audit))
        sheet.write("To confirm", (34, 34, 26, 26, 8, 90), _doubts(audit), CONFIRM)
        sheet.write("Not opened", (34, 20, 60, 14, 9, 60), _unopened(audit), UNOPENED)
        sheet.write("Left out", (22, 26, 8, 20, 90), _left_out(audit), LEFT_OUT)


CONFIRM: Final = ("One row", "Perhaps the same", "Where", "Where", "Alike", "Why")
UNOPENED: Final = ("Job", "State", "Not opened because", "Money", "Currency", "Rows")
LEFT_OUT: Final = ("Tool", "File", "Row", "Column", "Why it was left out")


def _row(finding: Finding, audit: Audit) -> list[Cell]:
    row: list[Cell] = [
        finding.number,
        KINDS[finding.kind][0],
        finding.severity.value,
        plain(finding.case) or f"Job {finding.case_number}",
        plain(finding.summary),
        finding.money,
        finding.currency,
        finding.age_days,
        finding.field,
        believe(finding, audit),
        plain(finding.believe.why),
        plain(finding.do),
        state_title(finding.state, audit),
    ]
    for tool in audit.tool_titles:
        row += _tool_cells(finding, tool)
    row.append(", ".join(where(source) for source in finding.sources))
    return row


def _tool_cells(finding: Finding, tool: str) -> list[Cell]:
    """What a tool says, since when, and where; of a field its value, else its words."""
    said = [one for one in finding.said if one.source.tool == tool]
    values = [one for one in finding.values if one.source.tool == tool]
    says = [plain(one.value) for one in values] if finding.values else _words(said)
    places = dict.fromkeys(where(one.source) for one in (values or said))
    since = max((one.since for one in said if one.since), default=None)
    return ["; ".join(says), since.date() if since else None, ", ".join(places)]


def _words(said: Iterable[Said]) -> list[str]:
    words = [plain(one.word) for one in said if one.word is not None]
    return list(dict.fromkeys(words))


def _first_page(report: Report) -> Iterator[list[Cell]]:
    yield [plain(report.title), report.made]
    yield ["How bad is it?", report.verdict]
    for figure in report.figures:
        yield [figure.value, figure.label]
    if report.first:
        first = report.first
        yield []
        yield ["Which job first?", f"{first.case}: {first.summary}"]
        yield ["", f"{first.do} (finding {first.number})"]
    yield []
    yield ["Whom to believe?", ""]
    for trust in report.trusts:
        yield [trust.tool, ": ".join(filter(None, (trust.about, trust.times)))]
    yield []
    yield ["What to mend, in this order", ""]
    for step in report.plan:
        yield [f"{step.number}. {step.title}", " ".join(filter(None, (step.why, step.settles)))]
        if step.declare:
            yield ["Declare", step.declare]


def _doubts(audit: Audit) -> Iterator[list[Cell]]:
    from api.audit.report import reasons

    for link in audit.to_confirm:
        yield [
            plain(link.left_name),
            plain(link.right_name),
            where(link.left),
            where(link.right),
            percent(round(link.score * 1000), 1000),
            "; ".join(reasons(link)),
        ]


def _unopened(audit: Audit) -> Iterator[list[Cell]]:
    """Every job that `--open` leaves out, and why."""
    for job in audit.jobs:
        if job.held is not None:
            places = dict.fromkeys(where(said.source) for said in job.said)
            yield [
                plain(job.name),
                state_title(job.state, audit) if job.state else "",
                job.held.value,
                job.money,
                job.currency,
                ", ".join(places),
            ]


def _left_out(audit: Audit) -> Iterator[list[Cell]]:
    for export in audit.exports:
        for row in export.refused:
            yield [
                plain(audit.tool_titles.get(export.tool, export.tool)),
                plain(export.file),
                row.row,
                plain(row.column),
                plain(row.reason),
            ]


class _Sheets:
    """The sheets of one workbook; a table that is too long for one goes on in the next."""

    def __init__(self, book: Any) -> None:
        self._book = book
        self._bold = book.add_format({"bold": True, "text_wrap": True, "valign": "top"})
        self._text = book.add_format({"text_wrap": True, "valign": "top"})
        self._money = book.add_format({"num_format": "#,##0.00", "valign": "top"})
        self._date = book.add_format({"num_format": "yyyy-mm-dd", "valign": "top"})

    def write(
        self,
        name: str,
        widths: Sequence[int],
        table: Iterable[Sequence[Cell]],
        head: Sequence[str] | None,
    ) -> None:
        """Write a table under its heading, which stays in sight."""
        sheet, at, part = self._begun(name, widths, head), 1 if head else 0, 1
        for row in table:
            if at >= SHEET_ROWS_MAX:
                part += 1
                sheet, at = self._begun(f"{name} {part}", widths, head), 1 if head else 0
            for column, cell in enumerate(row):
                self._cell(sheet, at, column, quoted(cell), bold=not head and not column)
            at += 1
        if head:
            sheet.autofilter(0, 0, max(at - 1, 1), len(head) - 1)

    def _begun(self, name: str, widths: Sequence[int], head: Sequence[str] | None) -> Any:
        sheet = self._book.add_worksheet(name)
        for column, width in enumerate(widths):
            sheet.set_column(column, column, width)
        if head and len(head) > len(widths):
            sheet.set_column(len(widths), len(head) - 1, 22)
        if head:
            sheet.freeze_panes(1, 0)
            for column, heading in enumerate(head):
                sheet.write_string(0, column, str(quoted(heading)), self._bold)
        sheet.set_landscape()
        sheet.fit_to_pages(1, 0)
        return sheet

    def _cell(self, sheet: Any, row: int, column: int, cell: Cell, *, bold: bool) -> None:
        match cell:
            case None | "":
                return
            case Decimal() if not cell.is_finite():
                sheet.write_string(row, column, str(cell), self._text)
            case Decimal():
                sheet.write_number(row, column, cell, self._money)
            case int():
                sheet.write_number(row, column, cell, self._text)
            case date():
                sheet.write_datetime(row, column, cell, self._date)
            case str():
                style = self._bold if bold else self._text
                sheet.write_string(row, column, cell[:CELL_LENGTH_MAX], style)
