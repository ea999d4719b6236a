"""Files as they come from anywhere: each is understood, or refused on one line that says where."""

import io
import zipfile
from collections.abc import Callable, Sequence
from contextlib import chdir
from datetime import date, datetime
from pathlib import Path

import pytest
import xlsxwriter
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.audit import command, report
from api.audit.auditing import audit
from api.audit.markdown import markdown
from api.audit.rows import BadExport
from tests.audit import firm
from tests.audit.exports import NOW
from tests.running import DEFINITIONS

DEALS = "Record ID,Deal Name,Deal Stage,Amount,Currency,Last Modified Date,Email"
DEAL = "17,Roof,Closed Won,99.50,EUR,2026-05-04 14:03,a@mill.example"
JOBS = (
    "Job #,Client name,Title,Status,Last updated,Client email\n8,Mill,Roof,Upcoming,2026-05-04,\n"
)


def told(deals: Path, folder: Path) -> tuple[bool, str]:
    """Whether this export of deals, beside a sound one of jobs, is understood; what is said."""
    jobs = folder / "jobs.csv"
    jobs.write_text(JOBS, encoding="utf-8")
    exports = [firm.given("crm", deals), firm.given("projects", jobs)]
    try:
        found = audit(firm.lifecycle(), exports, at=NOW)
    except BadExport as refused:
        return False, str(refused)
    return True, markdown(report.told(found)).replace("\\", "")


def is_told(result: tuple[bool, str], file: str) -> bool:
    """Whether it ended in a report, or on one line that names the file."""
    understood, said = result
    if understood:
        return "How bad is it?" in said
    return said.startswith(file) and len(said.splitlines()) == 1


def workbook(fill: Callable[[xlsxwriter.Workbook], None]) -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"strings_to_formulas": False}) as book:
        fill(book)
    return out.getvalue()


def sheet_of(*rows: Sequence[object]) -> bytes:
    def fill(book: xlsxwriter.Workbook) -> None:
        sheet = book.add_worksheet("Deals")
        shape = book.add_format({"num_format": "yyyy-mm-dd"})
        table: list[Sequence[object]] = [DEALS.split(","), *rows]
        for at, row in enumerate(table):
            for column, cell in enumerate(row):
                if isinstance(cell, date | datetime):
                    sheet.write_datetime(at, column, cell, shape)
                else:
                    sheet.write(at, column, cell)

    return workbook(fill)


def bomb() -> bytes:
    """A spreadsheet whose sheet unpacks to 64 MiB of blanks."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(sheet_of(["17"]))) as sound,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for part in sound.namelist():
            sheet = part == "xl/worksheets/sheet1.xml"
            packed.writestr(part, b" " * 2**26 if sheet else sound.read(part))
    return out.getvalue()


REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the file is empty"),
    "blank": (b"\n\n \n", "nothing but blanks"),
    "only a mark": (b"\xef\xbb\xbf", "nothing but blanks"),
    "only headings": (f"{DEALS}\n".encode(), "nothing stands below its headings"),
    "only totals": (f"{DEALS}\nTotal,,,99.50,,,\n".encode(), "nothing stands below"),
    "nul": (f"{DEALS}\n17,Ro\0of,Closed Won,,,,\n".encode(), "row 2: this is no text"),
    "a bomb": (bomb(), "times its size"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(99), "a picture"),
    "a web page": (b"<html><table><tr><td>Record ID</td></tr></table>", "a web page"),
    "never closed": (f'{DEALS}\n17,"Roof,Closed Won\n18,x\n'.encode(), "quotation marks"),
    "a column too far": (
        workbook(lambda book: book.add_worksheet().write(0, 16_383, "Record ID") and None),
        "16,384",
    ),
    "no headings": (b"1,2,3\n4,5,6\n", "no column is known to hold"),
    "a date of two days": (
        f"{DEALS}\n17,Roof,Closed Won,1.00,EUR,03/04/2026,\n".encode(), "day first",
    ),
    "an amount of two sizes": (
        f'{DEALS}\n17,Roof,Closed Won,"1,234",EUR,2026-05-04,\n'.encode(), "point or a comma",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_understood_ends_on_one_line(tmp_path: Path, name: str) -> None:
    """It names the file and says what would do; it shows nothing of how it was read."""
    content, said = REFUSED[name]
    file = tmp_path / "deals.csv"
    file.write_bytes(content)
    result = told(file, tmp_path)
    assert not result[0]
    assert is_told(result, "deals.csv")
    assert said in result[1]


UNDERSTOOD: dict[str, tuple[bytes, str]] = {
    "utf-16": (f"{DEALS}\n{DEAL}\n".encode("utf-16"), "UTF-16"),
    "windows": (f"{DEALS}\n{DEAL.replace('Roof', 'Toit à Besançon')}\n".encode("cp1252"),
                "Windows-1252"),
    "semicolons": (f"{DEALS}\n{DEAL}\n".replace(",", ";").encode(), "semicolons"),
    "tabs": (f"{DEALS}\n{DEAL}\n".replace(",", "\t").encode(), "tabs"),
    "a line break in a cell": (
        f"{DEALS}\n{DEAL}\n".replace("Roof", '"Ro\nof"').encode(), "1 row read",
    ),
    "a heading twice": (
        f"{DEALS},Email,Amount\n{DEAL},b@mill.example,1.00\n".encode(), "1 row read",
    ),
    "a short row": (f"{DEALS}\n{DEAL}\n18,Fence\n".encode(), "2 rows read"),
    "a long row": (f"{DEALS}\n{DEAL}\n{DEAL},too,much\n".encode(), "separator stands inside"),
    "totals at the foot": (f"{DEALS}\n{DEAL}\nTotal,,,99.50,,,\n\nPrinted today,,,,,,\n".encode(),
                           "1 row read, 3 blank or totals"),
    "before 1900": (f"{DEALS}\n{DEAL}\n18,Fence,Closed Won,1.00,EUR,1899-12-31,\n".encode(),
                    "row 3, column Last Modified Date"),
    "a serial day before 1900": (
        sheet_of(["17", "Roof", "Closed Won", 99.5, "EUR", 0.5], ["18", "Fence", "", 1, "EUR", -3]),
        "a number, not a date",
    ),
    "a real day": (
        sheet_of(["17", "Roof", "Closed Won", 99.5, "EUR", date(2026, 5, 4)]), "1 row read",
    ),
    "a formula": (sheet_of(["17", "Roof", "Closed Won", "=1+1", "EUR"]), "no amount"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_what_can_be_understood_is_and_says_how(tmp_path: Path, name: str) -> None:
    """The report tells encoding, separator, and every row or cell that was left out."""
    content, said = UNDERSTOOD[name]
    file = tmp_path / "deals.csv"
    file.write_bytes(content)
    understood, text = told(file, tmp_path)
    assert understood, text
    assert said in text


CELLS = st.text(max_size=10) | st.sampled_from(
    ["17", "Closed Won", "1,234", "1.234,5", "03/04/2026", "1899-12-31", "TOTAL", "=1+1", "-", "€",
     "1e400", "NaN", "Infinity", "\0", "\ufeff", "\u202e", "'", '"', "a\nb", "9" * 400, "#REF!",
     "US$ 12", "(5.00)", "24:00", "31/02/2026", "2026-05-04T25:61", "@SUM(1)", "\r", "😀" * 5]
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(st.lists(CELLS, max_size=9), max_size=5),
    separator=st.sampled_from([",", ";", "\t", "|"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "latin-1"]),
    quoted=st.booleans(),
    line=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_any_text_is_told(
    tmp_path_factory: pytest.TempPathFactory,
    *,
    rows: list[list[str]],
    separator: str,
    encoding: str,
    quoted: bool,
    line: str,
) -> None:
    """Whatever the cells, the encoding, the separator: a report, or one line with the file."""

    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if quoted else text

    lines = [DEALS.replace(",", separator), *(separator.join(map(cell, row)) for row in rows)]
    folder = tmp_path_factory.mktemp("hostile")
    file = folder / "deals.csv"
    file.write_bytes(line.join(lines).encode(encoding, "replace"))
    assert is_told(told(file, folder), "deals.csv")


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(
        st.lists(
            CELLS
            | st.floats()
            | st.booleans()
            | st.integers(-(10**18), 10**18)
            | st.dates(date(1900, 1, 1)),
            max_size=8,
        ),
        max_size=5,
    )
)
def test_any_spreadsheet_is_told(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[object]]
) -> None:
    """Numbers where names should be, days beyond the calendar, booleans as money: told."""
    finite = [[None if isinstance(c, float) and c - c != 0 else c for c in row] for row in rows]
    folder = tmp_path_factory.mktemp("hostile")
    file = folder / "deals.xlsx"
    file.write_bytes(sheet_of(*finite))
    assert is_told(told(file, folder), "deals.xlsx")


def test_files_that_are_named_alike_are_told_apart(tmp_path: Path) -> None:
    """Two exports called the same in two folders: the report names the folder too."""
    crm, crew = tmp_path / "crm" / "export.csv", tmp_path / "crew" / "export.csv"
    for file, text in ((crm, f"{DEALS}\n{DEAL}\n"), (crew, JOBS)):
        file.parent.mkdir()
        file.write_text(text, encoding="utf-8")
    words = ["--lifecycle", "field_service", "--definitions", str(DEFINITIONS)]
    words += ["--export", f"crm={crm}", "--export", f"projects={crew}", "--format", "markdown"]
    result = CliRunner().invoke(command.audit, words)
    assert result.exit_code == 0, result.output
    plain = result.output.replace("\\", "")
    assert "crm/export.csv row 2" in plain
    assert "crew/export.csv row 2" in plain
    crew.write_text("a,b\n1,2\n", encoding="utf-8")
    with chdir(tmp_path):
        refused = CliRunner().invoke(command.audit, words)
        assert "crew/export.csv" in refused.stderr
        assert (tmp_path / "mapping-projects.yaml").is_file()
