"""The rows of one export as records, and what is refused of it."""

from pathlib import Path

import pytest
import xlsxwriter
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.audit.exports import Unsettled
from api.audit.mapping import ColumnsMissing, read_mapping
from api.audit.records import Given
from api.audit.rows import BadExport
from tests.audit import firm

DEALS = "Record ID,Deal Name,Deal Stage,Amount,Currency,Last Modified Date,Email\n"
INVOICES = "Date,Transaction Type,Num,Name,Memo/Description,Amount,Open Balance\n"


def test_a_row_becomes_a_record(tmp_path: Path) -> None:
    """Headings as the product writes them, words as it labels them, money and time in one form."""
    text = DEALS + "17,Roof,Closed Won (Sales Pipeline),99.50,EUR,2026-05-04 14:03,A@X.example\n"
    _, (record,) = firm.read(tmp_path, "crm", text)
    assert (record.row, record.ref, record.title) == (2, "17", "Roof")
    assert record.shown[0].states[0] == ("deposit_confirmed",)
    assert str(record.money) == "99.50 EUR"
    assert str(record.since) == "2026-05-04 14:03:00+00:00"
    assert record.email == "a@x.example"


def test_what_stands_above_and_below_the_table_is_passed_over(tmp_path: Path) -> None:
    """The report's title, its totals and the time of printing are no rows."""
    text = (
        "Springfield Services,,,,,,\nInvoice List,,,,,,\n,,,,,,\n"
        + INVOICES
        + '05/13/2026,Invoice,17,Mill Dental,Roof,"1,250.00",0.00\n'
        + 'TOTAL,,,,,"1,250.00",0.00\n,,,,,,\n"Saturday, May 16, 2026 - Accrual Basis",,,,,,\n'
    )
    export, (record,) = firm.read(tmp_path, "accounting", text)
    assert (record.row, record.ref) == (5, "17")
    assert (export.skipped, export.refused_count) == (3, 0)


def test_a_customer_called_total_is_no_total(tmp_path: Path) -> None:
    """Only a row that sums up is passed over; a name that begins with the word is a name."""
    text = "Name,Type,Num,Memo,Amount,Balance\nTotal Roofing,,17,,99.50,0.00\nTotal,,,,99.50,0.00\n"
    export, (record,) = firm.read(tmp_path, "accounting", text)
    assert (record.name, export.skipped) == ("Total Roofing", 1)


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ("Estimate,1,Mill,Roof,100.00,100.00", "Estimate sent"),
        ("Invoice,1,Mill,Roof,100.00,70.00", "Deposit paid or To invoice"),
        ("Invoice,1,Mill,Roof,100.00,0.00", "Invoiced"),
        ("Invoice,1,Mill,Voided,0.00,0.00", "Void"),
        ("Invoice,1,Mill,Roof,100.00,100.00", "Estimate sent or Invoiced"),
    ],
)
def test_a_word_is_derived_where_a_product_has_none(tmp_path: Path, row: str, word: str) -> None:
    """An invoice has a type, a memo and a balance; the first condition that holds says the rest."""
    _, (record,) = firm.read(tmp_path, "accounting", INVOICES + f"05/13/2026,{row}\n")
    assert [shown.word for shown in record.shown] == [word]
    assert record.shown[0].derived


@pytest.mark.parametrize(
    ("row", "said", "kept"),
    [
        ("18,Roof,Closed Won,99.50,EUR,2026-05-04,a@x.example,too,much", "separator", False),
        (",Roof,Closed Won,99.50,EUR,2026-05-04,a@x.example", "nothing stands under", False),
        ("18,Roof,Closed Won,lots,EUR,2026-05-04,a@x.example", "no amount", True),
        ("18,Roof,Closed Won,99.50,EUR,1899-12-31,a@x.example", "outside 1900", True),
        ("18,Roof,Closed Won,99.50,QQQ,2026-05-04,a@x.example", "no currency", True),
    ],
)
def test_what_cannot_be_read_is_told_by_row(
    tmp_path: Path, *, row: str, said: str, kept: bool
) -> None:
    """A row without an id or with too many cells is left out; of others only the cell is."""
    good = "17,Roof,Closed Won,99.50,EUR,2026-05-04,b@x.example\n"
    export, records = firm.read(tmp_path, "crm", DEALS + good + row + "\n")
    (refused,) = export.refused
    assert refused.row == 3
    assert said in refused.reason
    assert (len(records) == 2, bool(refused.column)) == (kept, kept)


def test_a_short_row_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """Products leave out the empty cells at the end of a row."""
    _, (record,) = firm.read(tmp_path, "crm", DEALS + "17,Roof,Closed Won\n")
    assert (record.ref, record.money, record.email) == ("17", None, "")


def test_a_column_that_could_mean_two_things_is_asked_about(tmp_path: Path) -> None:
    """The question names file, column and what may be answered; the answer settles it."""
    text = DEALS + "17,Roof,Closed Won,99.50,EUR,03/04/2026,a@x.example\n"
    with pytest.raises(Unsettled) as asked:
        firm.read(tmp_path, "crm", text)
    assert (asked.value.heading, asked.value.setting) == ("Last Modified Date", "dates")
    assert asked.value.choices == ("day first", "month first")
    filled = tmp_path / "mapping.yaml"
    ready = asked.value.mapping.replace("FILL IN", "day first")
    filled.write_text(ready, encoding="utf-8")
    path = tmp_path / "crm.csv"
    _, (record,) = firm.records_of(Given("crm", path, read_mapping(filled)))
    assert str(record.since).startswith("2026-04-03")


def test_a_missing_column_leaves_a_mapping_to_be_filled_in(tmp_path: Path) -> None:
    """It is YAML, names what the file has, and once filled in it reads the export."""
    path = tmp_path / "jobs.csv"
    path.write_text("Auftrag,Stand,Kunde\n17,upcoming,Mill Dental\n", encoding="utf-8")
    with pytest.raises(ColumnsMissing) as missing:
        firm.records_of(firm.given("projects", path))
    assert missing.value.found == ("Auftrag", "Stand", "Kunde")
    ready = missing.value.mapping
    assert set(yaml.safe_load(ready)) == {"ref", "status"}
    filled = tmp_path / "mapping.yaml"
    filled.write_text(
        ready.replace("ref: FILL IN", "ref: Auftrag")
        .replace("status: FILL IN", "status: Stand")
        .replace("# name:  ", "name: Kunde #"),
        encoding="utf-8",
    )
    _, (record,) = firm.records_of(Given("projects", path, read_mapping(filled)))
    assert (record.ref, record.name) == ("17", "Mill Dental")
    assert record.shown[0].states == (("scheduled",),)


def test_a_mapping_may_only_name_what_the_lifecycle_knows(tmp_path: Path) -> None:
    """A status field that nobody declared is refused, with those that are."""
    with pytest.raises(BadExport, match="dealstage, job_status"):
        firm.read(tmp_path, "crm", DEALS + "17,,,,,,\n", status={"stage": "Deal Stage"})


def test_a_formula_is_not_taken_for_a_value(tmp_path: Path) -> None:
    """Its result was computed elsewhere and may be anything: the cell is left out and told."""
    path = tmp_path / "deals.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet()
        sheet.write_row(1, 1, ["Record ID", "Deal Stage", "Amount"])
        sheet.write_row(2, 1, ["17", "Closed Won"])
        sheet.write_formula(2, 3, "=1+1", value=2)
    export, (record,) = firm.records_of(firm.given("crm", path))
    assert (record.row, record.money) == (3, None)
    assert [(one.row, one.column) for one in export.refused] == [(3, "Amount")]


CELLS = st.text(max_size=12) | st.sampled_from(
    ["17", "Closed Won", "1,234", "1.234,5", "03/04/2026", "TOTAL", "=1+1", "Infinity", "-", "€"]
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(CELLS, max_size=9), max_size=6))
def test_any_table_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    """Every row under the headings is a record, refused or passed over; nothing is lost."""
    quoted = "".join(
        ",".join('"' + cell.replace('"', '""') + '"' for cell in row) + "\r\n" for row in rows
    )
    folder = tmp_path_factory.mktemp("fuzz")
    try:
        path = folder / "crm.csv"
        path.write_bytes((DEALS + quoted).encode("utf-8", "surrogatepass"))
        export, records = firm.records_of(firm.given("crm", path))
    except BadExport as refused:
        assert refused.message  # noqa: PT017 - either end is right
        return
    left_out = sum(not one.column for one in export.refused)
    assert len(records) + left_out + export.skipped == len(rows)
