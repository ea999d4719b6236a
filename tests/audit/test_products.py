"""Exports of products that no connector knows, read by a mapping as somebody would fill it in."""

from pathlib import Path

import pytest
import xlsxwriter

from api.audit.mapping import read_mapping
from api.audit.records import Given, Record
from api.audit.rows import BadExport
from tests.audit import firm

PRODUCTS = {
    "pipedrive": (
        "crm",
        ("\ufeffDeal - ID,Deal - Title,Deal - Value,"
         "Deal - Currency of Value,Deal - Stage,Deal - Status,"
        "Person - Name,Person - Email - Work,Person - Phone - Work,Deal - Update time\r\n"
        '1041,Roof repair,"12,400.50",EUR,Negotiations Started,Won,Mill Dental,A@Mill.example,'
        "+1 (201) 555-0100,2026-05-13 08:15:00\r\n"),
        ("ref: Deal - ID\nstatus: {dealstage: Deal - Status}\nwords: "
         "{Won: closedwon, Lost: closedlost,"
        " Open: presentationscheduled}\nname: Person - Name\ntitle: Deal - Title\n"
        "email: Person - Email - Work\nphone: Person - Phone - Work\nmoney: Deal - Value\n"
        "currency: Deal - Currency of Value\nsince: Deal - Update time\n"),
        "1041 closedwon 12400.50 EUR 2026-05-13",
    ),
    "zoho": (
        "crm",
        ("Record Id,Deal Name,Stage,Amount,Contact Name,Modified Time\n"
        'zcrm_5003,Roof repair,Closed Won,"US$ 12,400.50",Mill Dental,"May 13, 2026 08:15 AM"\n'),
        ("ref: Record Id\nstatus: {dealstage: Stage}\nname: Contact Name\ntitle: Deal Name\n"
        "money: Amount\ncurrency_unnamed: USD\nsince: Modified Time\n"),
        "zcrm_5003 closedwon 12400.50 USD 2026-05-13",
    ),
    "freshbooks": (
        "accounting",
        ("Client Name,Invoice #,Date Issued,Invoice Status,Date Paid,"
         "Item Name,Line Total,Currency\n"
        "Mill Dental,0000042,2026-05-13,Paid,2026-05-13,Roof,400.00,USD\n"
        "Mill Dental,0000042,2026-05-13,Paid,2026-05-13,Gutter,99.00,USD\n"),
        ("ref: 'Invoice #'\nlines: true\nstatus: {stage: Invoice Status}\nwords: {paid: Invoiced}\n"
        "name: Client Name\nmoney: Line Total\ncurrency: Currency\nsince: Date Issued\n"),
        "0000042 Invoiced 400.00 USD 2026-05-13",
    ),
    "xero": (
        "accounting",
        ("*ContactName,EmailAddress,*InvoiceNumber,Reference,*InvoiceDate,*DueDate,Total,"
        "InvoiceAmountDue,Currency,Status\n"
        "Mill Dental,a@mill.example,INV-0042,Roof,13/05/2026,27/05/2026,12400.50,0.00,GBP,Paid\n"
        "Mill Dental,a@mill.example,INV-0042,Roof,13/05/2026,27/05/2026,12400.50,0.00,GBP,Paid\n"),
        ("ref: InvoiceNumber\nlines: true\nstatus: {stage: Status}\nwords: {Paid: Invoiced}\n"
        "name: ContactName\nmoney: Total\ncurrency: Currency\nsince: InvoiceDate\n"),
        "INV-0042 Invoiced 12400.50 GBP 2026-05-13",
    ),
    "wave": (
        "accounting",
        ("Invoice Number;Customer;Status;Invoice Date;Total Amount;Amount Due\n"
        "42;Mill Dental;Paid;2026-05-13;$12.400,50;$0,00\n"),
        ("ref: Invoice Number\nname: Customer\nmoney: Total Amount\ncurrency_unnamed: CAD\n"
        "since: Invoice Date\ncolumns: {due: {heading: Amount Due, type: money}}\n"
        "derived: {stage: [{when: due <= 0, word: Invoiced}, {word: Deposit paid}]}\n"),
        "42 Invoiced 12400.50 CAD 2026-05-13",
    ),
    "servicetitan": (
        "projects",
        ("Job #\tJob Status\tCustomer Name\tCompletion Date\tJobs Total\tLocation Address\n"
        "100042\tCompleted\tMill Dental\t5/13/2026\t$12,400.50\t1 Elm Street\n"
        "Total\t\t\t\t$12,400.50\t\n"),
        ("ref: 'Job #'\nstatus: {status: Job Status}\nwords: {Completed: requires_invoicing}\n"
        "name: Customer Name\nmoney: Jobs Total\ncurrency_unnamed: USD\nsince: Completion Date\n"
        "address: Location Address\n"),
        "100042 requires_invoicing 12400.50 USD 2026-05-13",
    ),
    "housecall": (
        "projects",
        ('"Job #","HCP Id","Job status","Customer","Job amount ($)","Finished"\n'
        '"1042-1","job_8f2a","Complete unrated","Mill Dental",'
        '"12400.5","2026-05-13T08:15:00-07:00"\n'),
        ("ref: HCP Id\nalso: 'Job #'\nstatus: {status: Job status}\n"
        "words: {Complete unrated: requires_invoicing}\nname: Customer\nmoney: Job amount ($)\n"
        "currency_unnamed: USD\nsince: Finished\n"),
        "job_8f2a requires_invoicing 12400.50 USD 2026-05-13",
    ),
    "asana": (
        "projects",
        ("Task ID,Created At,Completed At,Last Modified,Name,Section/Column,Assignee,Tags,Notes\n"
        '1204,2026-05-01,,2026-05-13,Mill Dental roof,Scheduled,,,"Two lines,\nand a comma"\n'),
        ("ref: Task ID\nstatus: {status: Section/Column}\nwords: {Scheduled: upcoming}\n"
        "title: Name\nsince: Last Modified\n"),
        "1204 upcoming None 2026-05-13",
    ),
}  # fmt: skip


def said(record: Record) -> str:
    since = record.since.date() if record.since else None
    (shown,) = record.shown
    word = shown.word
    found = firm.lifecycle().vocabulary
    words = {
        one
        for field in found.status_fields
        for state in shown.states
        for one in found.words(field, state)
        if field.tool == record.tool and field.name == shown.status_field
    }
    meant = next((one for one in sorted(words) if one.casefold() == word.casefold()), "")
    return f"{record.ref} {meant or '/'.join(sorted(words))} {record.money} {since}"


@pytest.mark.parametrize("product", PRODUCTS)
def test_the_export_of_any_product_is_read_with_a_mapping(tmp_path: Path, product: str) -> None:
    """Headings, words, money and dates as this product writes them; nothing needs code."""
    tool, text, mapping, expected = PRODUCTS[product]
    file, filled = tmp_path / f"{product}.csv", tmp_path / "mapping.yaml"
    file.write_text(text, encoding="utf-8", newline="")
    filled.write_text(mapping, encoding="utf-8")
    export, (record,) = firm.records_of(Given(tool, file, read_mapping(filled)))
    ref, word, *rest = expected.split(" ")
    assert (record.ref, export.refused_count) == (ref, 0)
    assert word in said(record)
    assert said(record).endswith(" ".join(rest))


def test_a_board_with_groups_is_read(tmp_path: Path) -> None:
    """First the board's name, then each group's name, its headings again, its items (monday)."""
    file, filled = tmp_path / "board.xlsx", tmp_path / "mapping.yaml"
    with xlsxwriter.Workbook(str(file)) as book:
        sheet = book.add_worksheet("Jobs")
        for at, row in enumerate(
            [
                ["Jobs 2026"],
                ["This week"],
                ["Name", "Status", "Item ID"],
                ["Mill Dental", "Planned", 8001],
                [],
                ["Later"],
                ["Name", "Status", "Item ID"],
                ["Bridge Hall", "Planned", 8002],
            ]
        ):
            sheet.write_row(at, 0, row)
    filled.write_text(
        "ref: Item ID\nname: Name\nstatus: {status: Status}\nwords: {Planned: upcoming}\n"
    )
    export, records = firm.records_of(Given("projects", file, read_mapping(filled)))
    assert [(one.row, one.ref) for one in records] == [(4, "8001"), (8, "8002")]
    assert (export.refused_count, export.skipped) == (0, 3)


def test_an_estimate_has_no_invoice_number(tmp_path: Path) -> None:
    """Estimates and invoices are numbered apart: the number of one is not that of the other."""
    text = (
        "Date,Transaction Type,Num,Name,Memo/Description,Amount,Open Balance\n"
        "05/13/2026,Estimate,1042,Mill Dental,Roof,100.00,100.00\n"
        "05/13/2026,Invoice,1042,Bridge Hall,Fence,100.00,0.00\n"
    )
    _, (estimate, invoice) = firm.read(tmp_path, "accounting", text)
    assert "invoice_no" not in dict(estimate.fields)
    assert dict(invoice.fields)["invoice_no"] == "1042"
    assert (estimate.kind, invoice.kind) == ("estimate", "invoice")


def test_what_is_no_job_is_passed_over_and_told(tmp_path: Path) -> None:
    """A list of transactions holds payments too; the tool declares which kinds are jobs."""
    text = (
        "Date,Transaction Type,Num,Name,Memo/Description,Amount,Open Balance\n"
        "05/13/2026,Invoice,1042,Bridge Hall,Fence,100.00,0.00\n"
        "05/13/2026,Payment,77,Bridge Hall,,100.00,0.00\n"
    )
    export, records = firm.read(tmp_path, "accounting", text)
    assert (len(records), export.skipped) == (1, 1)
    assert any("Payment (1)" in sentence for sentence in export.understood)
    only = text.splitlines(keepends=True)[0] + text.splitlines(keepends=True)[2]
    with pytest.raises(BadExport, match="Payment"):
        firm.read(tmp_path, "accounting", only)
