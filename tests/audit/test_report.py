import csv
import io
import re
import zipfile
from datetime import UTC, datetime
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
import python_calamine
from msgspec.structs import replace
from rich.console import Console

from api.audit.findings import (
    Audit,
    Belief,
    Count,
    Export,
    Finding,
    Kind,
    Link,
    Reason,
    RefusedRow,
    Said,
    Severity,
    Source,
    Step,
    Summary,
    Value,
    Worst,
)
from api.audit.html import html
from api.audit.json import write_json
from api.audit.markdown import markdown
from api.audit.report import percent, plain, told
from api.audit.tables import DANGEROUS, headings, quoted, rows, write_csv, write_xlsx
from api.audit.terminal import show
from lifecycle.comparable import Money

HOSTILE = (
    '=HYPERLINK("http://evil.example") <script>alert(1)</script> [x](javascript:1) \x1b[31m|\n#'
)
"""What somebody may have typed in as a customer's name."""
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
OWNERS = {
    "quoted": "crm",
    "scheduled": "projects",
    "completed": "projects",
    "invoiced": "accounting",
}


def a_finding(
    number: int = 1, name: str = "Harbour Bakery", kind: Kind = Kind.CONTRADICTED
) -> Finding:
    books = Source("accounting", "invoices.xlsx", 6 + number, f"14{number}")
    crew = Source("projects", "jobs.csv", 20 + number, f"J-{number}")
    sales = Source("crm", "deals.csv", 2 + number, f"98{number}")
    return Finding(
        number=number,
        kind=kind,
        severity=Severity.HIGH,
        case=name,
        case_number=number,
        summary="QuickBooks Online has invoiced it, and Jobber has not even begun.",
        said=(
            Said(books, "Invoiced", ("invoiced",), AT, "stage", "balance <= 0", "Invoiced"),
            Said(crew, "Upcoming", ("scheduled",), AT, "status", "", "Scheduled"),
        ),
        sources=(books, crew, sales),
        believe=Belief("projects", "Scheduled", "Jobber owns execution, so its word counts."),
        do="Look at the job in Jobber; if it is not done, void the invoice in QuickBooks Online.",
        state="scheduled",
        since=AT,
        age_days=number,
        money=Decimal("12400.50"),
        currency="USD",
    )


def a_field() -> Finding:
    values = (
        Value(Source("crm", "deals.csv", 9), "2026-05-04", owner=True),
        Value(Source("projects", "jobs.csv", 4), "2026-05-05"),
    )
    return replace(
        a_finding(3, kind=Kind.DISAGREE_FIELD),
        values=values,
        field="scheduled_for",
        sources=tuple(value.source for value in values),
    )


def an_audit(*findings: Finding, **more: object) -> Audit:
    findings = findings or (a_finding(1), a_finding(2, HOSTILE), a_field())
    counts = {finding.kind: 0 for finding in findings}
    for finding in findings:
        counts[finding.kind] += 1
    worst = tuple(Worst(one.number, one.case, one.summary) for one in findings[:5])
    summary = Summary(
        jobs=200,
        jobs_in_several=180,
        jobs_wrong=3,
        jobs_serious=2,
        jobs_agreed=150,
        money=(Money(Decimal("24801.00"), "USD"),),
        counts=tuple(
            Count(kind, count, count, (Money(Decimal(12400), "USD"),))
            for kind, count in counts.items()
        ),
        severities=((Severity.HIGH, len(findings)),),
        worst_by_money=worst,
        worst_by_age=worst,
        sentence="3 of 200 jobs are wrong somewhere, with 24,801 USD on them.",
        age_days_median=12,
        pairs=(("crm", "projects", 120, 3),),
    )
    step = Step(
        1,
        "Mend the jobs that were billed before they were done",
        "A customer who has paid and waits tells others.",
        (1, 2),
        2,
        (Money(Decimal(24801), "USD"),),
        "flows:\n  - {tool: projects, direction: in, how: webhook}",
    )
    audit = Audit(
        lifecycle="field_service",
        title="Field-service job",
        at=AT,
        tool_titles={"crm": "HubSpot", "accounting": "QuickBooks Online", "projects": "Jobber"},
        state_titles={"quoted": "Quoted", "scheduled": "Scheduled", "completed": "Completed"},
        exports=(
            Export(
                "crm", "deals.csv", 200, (RefusedRow(17, f"no date: {HOSTILE}", "Close Date"),), 5
            ),
            Export("projects", "jobs.csv", 190, understood=("UTF-8, separated by commas",)),
        ),
        jobs=(),
        to_confirm=(
            Link(
                "k1",
                Source("crm", "deals.csv", 30),
                Source("projects", "jobs.csv", 31),
                HOSTILE,
                "Mill Dental",
                "score",
                0.84,
                (Reason("name", HOSTILE, "Mill Dental", 0.8, 0.5),),
            ),
        ),
        findings=findings,
        summary=summary,
        plan=(step,),
    )
    return replace(audit, **more)


def in_a_terminal(audit: Audit, width: int = 120) -> str:
    out = io.StringIO()
    show(told(audit, OWNERS), Console(file=out, width=width))
    return out.getvalue()


def as_csv(audit: Audit) -> list[list[str]]:
    out = io.StringIO(newline="")
    write_csv(audit, out)
    return list(csv.reader(io.StringIO(out.getvalue(), newline="")))


def as_text(audit: Audit, written: str) -> str:
    match written:
        case "html":
            return html(told(audit, OWNERS))
        case "markdown":
            return markdown(told(audit, OWNERS)).replace("\\", "")
        case "csv":
            return "\n".join(", ".join(row) for row in as_csv(audit))
        case _:
            return in_a_terminal(audit, 250)


def test_the_first_page_answers_the_three_questions() -> None:
    """How bad it is, which job comes first and whom to believe stand before anything else."""
    text = re.sub(
        r"<style>.*?</style>|<[^>]*>|\s+", " ", html(told(an_audit(), OWNERS)), flags=re.DOTALL
    )
    bad, first, whom, plan = (
        text.index(said)
        for said in ("How bad is it?", "Which job first?", "Whom do I believe?", "What to mend")
    )
    assert bad < first < whom < plan
    assert "3 of 200 jobs are wrong somewhere" in text[bad:first]
    assert "Harbour Bakery" in text[first:whom]
    assert "12,400.50 USD" in text[first:whom]
    assert "Believe Jobber: Scheduled." in " ".join(text[first:whom].split())
    assert "Jobber on Scheduled or Completed" in " ".join(text[whom:plan].split())


@pytest.mark.parametrize("written", ["html", "markdown", "csv", "terminal"])
def test_every_finding_names_file_and_row(written: str) -> None:
    """Whoever reads a finding can open the file and look at the row."""
    text = as_text(an_audit(), written)
    for place in ("invoices.xlsx row 7", "jobs.csv row 21", "deals.csv row 3", "deals.csv row 9"):
        assert place in text


def test_a_page_that_is_mailed_runs_nothing_and_fetches_nothing() -> None:
    """The HTML is one file: no script, nothing from elsewhere, whatever the exports hold."""

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag not in {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
            for name, value in attrs:
                assert not name.startswith("on")
                assert name not in {"src", "srcset", "action"}
                assert name != "href" or str(value).startswith("#")

    page = html(told(an_audit(), OWNERS))
    Tags(convert_charrefs=True).feed(page)
    assert "&lt;script&gt;" in page
    assert "url(" not in page
    assert "@import" not in page


def test_no_cell_of_a_table_is_a_formula() -> None:
    """A cell that begins with = + - @ is quoted, so that no spreadsheet obeys it."""
    for start in DANGEROUS:
        assert quoted(f"{start}1+1") == f"'{start}1+1"
    assert quoted("1+1") == "1+1"
    assert quoted(Decimal(-5)) == Decimal(-5)
    table = as_csv(an_audit(*(a_finding(n, f"{s}cmd") for n, s in enumerate("=+-@", start=1))))
    assert [row[3] for row in table[1:]] == ["'=cmd", "'+cmd", "'-cmd", "'@cmd"]
    assert not [cell for row in table for cell in row if cell.startswith(DANGEROUS)]


def test_the_workbook_holds_every_finding_and_no_formula(tmp_path: Path) -> None:
    """The workbook has the first page, all findings, doubtful pairs, and the rows left out."""
    file = tmp_path / "audit.xlsx"
    write_xlsx(an_audit(), file)
    book = python_calamine.load_workbook(file)
    assert book.sheet_names == ["Summary", "Findings", "To confirm", "Not opened", "Left out"]
    found = book.get_sheet_by_name("Findings").to_python()
    assert len(found) == 4
    assert found[0] == headings(an_audit())
    assert found[1][5] == 12400.50
    assert str(found[2][3]).startswith("'=HYPERLINK")
    assert book.get_sheet_by_name("Left out").to_python()[1][:3] == ["HubSpot", "deals.csv", 17]
    with zipfile.ZipFile(file) as parts:
        sheets = [parts.read(name) for name in parts.namelist() if "worksheets/sheet" in name]
    assert not [sheet for sheet in sheets if b"<f>" in sheet]


def test_markdown_takes_what_an_export_says_for_text() -> None:
    """A customer's name becomes no link, no heading, no table and no markup."""
    text = markdown(told(an_audit(), OWNERS))
    assert "\\[x\\]\\(javascript:1\\)" in text
    assert "\\<script\\>" in text
    assert "\x1b" not in text


def test_a_terminal_is_never_told_what_to_do_by_an_export() -> None:
    """Control characters and markup of an export are shown as text, or not at all."""
    text = in_a_terminal(an_audit(a_finding(1, "\x1b]0;owned\x07 [bold]Mill[/bold] \u202eDental")))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert "[bold]Mill[/bold]" in text


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_terminal_shows_all_at_any_width(width: int) -> None:
    """A narrow terminal loses columns, never what is wrong or where to look."""
    text = in_a_terminal(an_audit(a_finding()), width)
    assert max(map(len, text.splitlines())) <= width
    for said in ("Harbour", "Jobber: Upcoming", "invoices.xlsx"):
        assert said in text


def test_the_report_says_how_many_it_does_not_list() -> None:
    """A report to be read lists the worst of a kind and counts the rest; the table lists all."""
    audit = an_audit(*(a_finding(number) for number in range(1, 131)))
    report = told(audit, listed_max=50)
    assert [len(section.told) for section in report.sections] == [50]
    assert report.sections[0].more == 80
    assert "And 80 more" in html(report)
    assert "And 80 more" in markdown(report)
    assert len(list(rows(audit))) == 130


def test_an_audit_that_found_nothing_says_so() -> None:
    """Where all agree there is no first job, no plan and no list."""
    sound = an_audit()
    summary = replace(
        sound.summary,
        jobs_wrong=0,
        money=(),
        counts=(),
        severities=(),
        worst_by_money=(),
        worst_by_age=(),
        sentence="All 200 jobs agree.",
        age_days_median=None,
    )
    nothing = replace(sound, findings=(), summary=summary, plan=(), to_confirm=())
    report = told(nothing, OWNERS)
    assert report.first is None
    assert report.sections == ()
    for text in (html(report), markdown(report), in_a_terminal(nothing)):
        assert "All 200 jobs agree." in text
        assert "Which job first" not in text


def test_json_holds_the_whole_audit() -> None:
    """The JSON can be read back into the same audit: money exact, times with their zone."""
    audit = an_audit()
    out = io.BytesIO()
    write_json(audit, out)
    again = msgspec.json.decode(out.getvalue(), type=Audit)
    assert replace(again, findings=tuple(again.findings), jobs=tuple(again.jobs)) == audit


def test_a_field_shows_the_owners_value_beside_the_others() -> None:
    """Of a field that differs, both values stand in the report, and whose counts."""
    lines = told(an_audit(a_field())).sections[0].told[0].lines
    assert [(line.tool, line.says, line.believed) for line in lines] == [
        ("HubSpot", "4 May 2026", True),
        ("Jobber", "5 May 2026", False),
    ]


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [(0, 9, "0 %"), (1, 1000, "under 1 %"), (999, 1000, "99 %"), (7, 7, "100 %"), (0, 0, "0 %")],
)
def test_a_share_is_never_rounded_to_nothing_or_to_all(part: int, whole: int, said: str) -> None:
    """One job in a thousand is not none, and all but one are not all."""
    assert percent(part, whole) == said


def test_a_text_of_an_export_stands_on_one_line() -> None:
    """Line ends, tabs and what cannot be seen become spaces; what is very long is cut."""
    assert plain("a\r\n\tb\u200bc\x00") == "a b c"
    assert len(plain("x" * 5000)) == 300
