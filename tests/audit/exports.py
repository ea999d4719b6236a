"""Exports of one firm's three tools, in the shapes their products write, and what is wrong in them.

Nothing here is anybody's: names are put together from syllables and trades. The same seed makes the
same files. Headings are those of the products' own exports (HubSpot: deals; QuickBooks Online: the
report "Invoice List", title above, total below; Jobber: the report on one-off jobs), and of the
columns that a firm adds to them: the customer's e-mail and phone, and Jobber's number.
"""

import csv
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

import xlsxwriter

from api.audit.findings import Kind

NOW: Final = datetime(2026, 11, 21, 12, tzinfo=UTC)
"""When the exports were drawn."""

TOOLS: Final = ("crm", "accounting", "projects")
Row = dict[str, str]
"""Heading → what stands there."""


@dataclass(frozen=True)
class Planted:
    """Something that is wrong on purpose, and must be found."""

    job: int
    kind: Kind
    rows: frozenset[tuple[str, int]]
    """(tool, row) of all that the finding must name."""
    field: str = ""
    tool: str = ""
    """The tool that is wrong, or does not know the job."""


@dataclass(frozen=True)
class Exports:
    """The files, and the known truth about them."""

    files: Mapping[str, Path]
    jobs: int
    rows: int
    """In all files together, duplicates included."""
    job_of: Mapping[tuple[str, int], int]
    """(tool, row) → which job it really is."""
    planted: tuple[Planted, ...]
    noise: Mapping[str, int]
    """What makes matching hard, and how often it was done."""


@dataclass
class Job:
    """One job, as it really is, and what each tool holds of it."""

    number: int
    state: str
    since: datetime
    name: str
    email: str
    phone: str
    street: str
    title: str
    amount: Decimal
    records: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    wrong: list[tuple[Kind, str, str, tuple[str, ...]]] = field(default_factory=list)
    """(kind, field, tool, the tools whose rows must be named)."""


# --- the firm -----------------------------------------------------------------------------------

STATES: Final = {
    "quoted": 14, "deposit_confirmed": 10, "scheduled": 22,
    "completed": 9, "invoiced": 36, "cancelled": 9,
}  # fmt: skip
FRESH: Final = {"deposit_confirmed": 2 * 24, "completed": 20}
"""Hours within which nobody may call a job stale in these states."""

DEALSTAGE: Final = {
    "quoted": "Presentation Scheduled", "deposit_confirmed": "Closed Won",
    "scheduled": "Closed Won", "completed": "Closed Won", "invoiced": "Closed Won",
    "cancelled": "Closed Lost",
}  # fmt: skip
JOB_STATUS: Final = {
    "quoted": "", "deposit_confirmed": "To schedule", "scheduled": "Scheduled",
    "completed": "Done", "invoiced": "Invoiced", "cancelled": "Cancelled",
}  # fmt: skip
JOBBER: Final = {
    "deposit_confirmed": "Unscheduled", "scheduled": "Upcoming",
    "completed": "Requires invoicing", "invoiced": "Archived", "cancelled": "Archived",
}  # fmt: skip

PLACES: Final = (
    "Harbour", "Mill", "Station", "Bridge", "Orchard", "Quarry", "Market", "Chapel", "Hill",
    "River", "Meadow", "Forge", "Lantern", "Anchor", "Willow", "Copper", "Granite", "Juniper",
)  # fmt: skip
TRADES: Final = (
    "Bakery", "Dental", "Laundry", "Bookshop", "Brewery", "Nursery", "Garage", "Pharmacy",
    "Printers", "Optics", "Stables", "Joinery", "Textiles", "Fisheries", "Records", "Ceramics",
)  # fmt: skip
OPENINGS: Final = ("Bar", "Cor", "Dan", "El", "Fen", "Gar", "Hol", "Il", "Jor", "Kel", "Lor", "Mar")
MIDDLES: Final = ("a", "e", "i", "o", "u", "ae", "io", "ar", "en", "in", "ol", "un")
ENDINGS: Final = ("bert", "dan", "fin", "gard", "lan", "mond", "na", "rick", "sen", "ton", "va")
STREETS: Final = ("Alder", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Hazel", "Linden", "Maple")
WORKS: Final = (
    "Boiler replacement", "Roof repair", "Rewiring", "Drain survey", "Window fitting", "Heat pump",
    "Bathroom", "Gutter cleaning", "Solar panels", "Tree surgery", "Fence", "Kitchen extraction",
)  # fmt: skip

AREAS: Final = (
    201, 202, 203, 205, 206, 207, 208, 209, 210, 212, 213, 214, 215, 216, 217, 218, 219, 224, 225,
    228, 229, 231, 234, 239, 240, 248, 251, 252, 253, 254, 256, 260, 262, 267, 269, 270, 276, 281,
)  # fmt: skip
"""Area codes; the exchange 555 is nobody's."""


def generate(
    folder: Path,
    jobs: int = 100_000,
    *,
    seed: int = 1,
    wrong: float = 0.12,
    noisy: float = 0.10,
    accounting: str = "xlsx",
) -> Exports:
    """Write deals.csv, invoices.xlsx (or .csv) and jobs.csv into a folder; return the truth.

    `wrong` is the share of jobs with something planted, `noisy` of those that are hard to match.
    """
    chance = random.Random(seed)  # noqa: S311 - the same files every time
    noise: Counter[str] = Counter()
    made = [_job(number, chance) for number in range(jobs)]
    _come_again(made, chance, noise)
    for job in made:
        _record(job, chance)
        drawn = chance.random()
        if drawn < wrong:
            chance.choice(PLANTS[job.state])(job, chance)
        elif drawn < wrong + noisy:
            chance.choice(NOISES)(job, chance, noise)
    _share_phones(made, chance, noise)
    files = {
        "crm": folder / "deals.csv",
        "accounting": folder / f"invoices.{accounting}",
        "projects": folder / "jobs.csv",
    }
    rows_of: dict[tuple[int, str], list[int]] = defaultdict(list)
    job_of: dict[tuple[str, int], int] = {}
    for tool, file in files.items():
        ordered = [(job.number, row) for job in made for row in job.records[tool]]
        chance.shuffle(ordered)
        first = WRITERS[tool](file, [row for _, row in ordered])
        for at, (number, _) in enumerate(ordered, start=first):
            rows_of[number, tool].append(at)
            job_of[tool, at] = number
    planted = tuple(
        Planted(
            job.number,
            kind,
            frozenset((tool, row) for tool in named for row in rows_of[job.number, tool]),
            about,
            wrong_tool,
        )
        for job in made
        for kind, about, wrong_tool, named in job.wrong
    )
    return Exports(files, jobs, len(job_of), job_of, planted, noise)


def _job(number: int, chance: random.Random) -> Job:
    state = chance.choices(list(STATES), list(STATES.values()))[0]
    hours = chance.randint(1, FRESH.get(state, 300 * 24) - 1)
    if chance.random() < 0.5:
        name = f"{chance.choice(PLACES)} {_syllables(chance)} {chance.choice(TRADES)}"
    else:
        name = f"{_syllables(chance)} {_syllables(chance)}{chance.choice(ENDINGS)}"
    return Job(
        number=number,
        state=state,
        since=(NOW - timedelta(hours=hours)).replace(microsecond=0),
        name=name,
        email=f"{name.lower().replace(' ', '.')}{number}@{chance.choice(TRADES).lower()}.example",
        phone=f"{AREAS[number // 10_000 % len(AREAS)]}555{number % 10_000:04}",
        street=f"{chance.randint(1, 9999)} {chance.choice(STREETS)} {_syllables(chance)} Street",
        title=chance.choice(WORKS),
        amount=Decimal(chance.randint(20_000, 2_500_000)) / 100,
    )


def _syllables(chance: random.Random) -> str:
    return chance.choice(OPENINGS) + chance.choice(MIDDLES) + chance.choice(ENDINGS)


# --- what each tool holds, when all is well -----------------------------------------------------


def _record(job: Job, chance: random.Random) -> None:
    job.records["crm"].append(_deal(job))
    if job.state in JOBBER:
        job.records["projects"].append(_jobber(job, chance))
    job.records["accounting"].append(_invoice(job))


def _deal(job: Job) -> Row:
    return {
        "Record ID": str(9_000_000_000 + job.number * 7),
        "Deal Name": f"{job.name} - {job.title}",
        "Deal Stage": DEALSTAGE[job.state],
        "Pipeline": "Sales Pipeline",
        "Amount": f"{job.amount:.2f}",
        "Currency": "USD",
        "Create Date": f"{job.since - timedelta(days=20):%Y-%m-%d %H:%M}",
        "Close Date": f"{job.since - timedelta(days=2):%Y-%m-%d %H:%M}",
        "Last Modified Date": f"{job.since:%Y-%m-%d %H:%M}",
        "Deal owner": "Sales",
        "Associated Contact": job.name,
        "Associated Contact IDs": str(500_000 + job.number),
        "Email": job.email,
        "Phone Number": f"+1 {job.phone[:3]}-{job.phone[3:6]}-{job.phone[6:]}",
        "Street Address": job.street,
        "Job status": JOB_STATUS[job.state],
        "Jobber Job #": str(10_000 + job.number) if job.state in JOBBER else "",
    }


def _jobber(job: Job, chance: random.Random) -> Row:
    begins = job.since + timedelta(days=chance.randint(1, 30))
    done = job.state in {"completed", "invoiced"}
    planned = job.state in {"scheduled", "completed", "invoiced"}
    return {
        "Job #": str(10_000 + job.number),
        "Created date": f"{job.since - timedelta(days=10):%b %d, %Y}",
        "Scheduled start date": f"{begins:%b %d, %Y}" if planned else "",
        "Closed date": f"{job.since:%b %d, %Y}" if done else "",
        "Client name": job.name,
        "Client email": job.email,
        "Client phone": f"({job.phone[:3]}) {job.phone[3:6]}-{job.phone[6:]}",
        "Service street": job.street,
        "Service city": "Springfield",
        "Service province": "Illinois",
        "Service ZIP": "62701",
        "Title": job.title,
        "Status": JOBBER[job.state],
        "Last updated": f"{job.since:%Y-%m-%d %H:%M}",
        "Visits assigned to": "Crew",
        "Invoice #s": _invoice_no(job) if job.state != "quoted" else "",
        "Total revenue ($)": f"{job.amount:.2f}",
    }


def _invoice(job: Job) -> Row:
    kind = "Estimate" if job.state == "quoted" else "Invoice"
    amount = Decimal(0) if job.state == "cancelled" else job.amount
    paid = (amount * Decimal("0.3")).quantize(Decimal("0.01"))
    owed = {"quoted": amount, "cancelled": amount, "invoiced": Decimal(0)}
    return {
        "Date": f"{job.since - timedelta(days=9):%m/%d/%Y}",
        "Transaction Type": kind,
        "Num": _invoice_no(job),
        "Name": job.name,
        "Memo/Description": "Voided" if job.state == "cancelled" else job.title,
        "Due Date": f"{job.since + timedelta(days=21):%m/%d/%Y}",
        "Amount": f"{amount:,.2f}",
        "Open Balance": f"{owed.get(job.state, amount - paid):,.2f}",
        "Email": job.email,
        "Phone": job.phone,
        "Last Modified": f"{job.since:%m/%d/%Y %I:%M:%S %p}",
    }


def _invoice_no(job: Job) -> str:
    return str(1_000 + job.number)


# --- what is wrong on purpose -------------------------------------------------------------------


def _crm_behind(job: Job, _: random.Random) -> None:
    """Sales still shows the job as quoted: nobody told the CRM."""
    job.records["crm"][0] |= {"Deal Stage": DEALSTAGE["quoted"], "Job status": ""}
    named = ("crm", "accounting") if job.state == "deposit_confirmed" else ("crm", "projects")
    job.wrong.append((Kind.DISAGREE_STATE, "", "crm", named))


def _billed_early(job: Job, _: random.Random) -> None:
    """The books have billed all of it, and the crew has not been there."""
    job.records["accounting"][0]["Open Balance"] = "0.00"
    job.wrong.append((Kind.CONTRADICTED, "", "accounting", ("accounting", "projects")))


def _not_planned(job: Job, _: random.Random) -> None:
    """The deposit is there, and the crew's tool has never heard of the job."""
    job.records["projects"].clear()
    job.records["crm"][0]["Jobber Job #"] = ""
    job.wrong.append((Kind.MISSING, "", "projects", ("crm", "accounting")))


def _not_sold(job: Job, _: random.Random) -> None:
    """The crew and the books work on a job that sales has no deal for."""
    job.records["crm"].clear()
    job.wrong.append((Kind.MISSING, "", "crm", ("accounting", "projects")))


def _twice(job: Job, chance: random.Random) -> None:
    """Somebody typed the deal in again, or the export holds the same row twice."""
    again = dict(job.records["crm"][0])
    if chance.random() < 0.5:
        again["Record ID"] = str(int(again["Record ID"]) + 1)
    job.records["crm"].append(again)
    job.wrong.append((Kind.DUPLICATE, "", "crm", ("crm",)))


def _other_email(job: Job, _: random.Random) -> None:
    """The customer's address was changed in the CRM, and nowhere else."""
    job.records["crm"][0]["Email"] = f"new.{job.email}"
    job.wrong.append((Kind.DISAGREE_FIELD, "email", "projects", ("crm", "accounting", "projects")))


def _own_word(job: Job, chance: random.Random) -> None:
    """The crew made a word of its own."""
    job.records["projects"][0]["Status"] = chance.choice(("Waiting on parts", "=Permit pending"))
    job.wrong.append((Kind.UNKNOWN_WORD, "", "projects", ("projects",)))


def _own_stage(job: Job, chance: random.Random) -> None:
    """Sales made a stage of its own."""
    job.records["crm"][0]["Deal Stage"] = chance.choice(("On Ice", "Nurturing"))
    job.wrong.append((Kind.UNKNOWN_WORD, "", "crm", ("crm",)))


def _stuck(job: Job, chance: random.Random) -> None:
    """All agree, and nobody has touched it for weeks."""
    job.since = NOW - timedelta(days=chance.randint(10, 200), hours=1)
    job.records.clear()
    _record(job, chance)
    job.wrong.append((Kind.STALE, "", "", ("crm", "accounting", "projects")))


Plant = Callable[[Job, random.Random], None]
PLANTS: Final[Mapping[str, Sequence[Plant]]] = {
    "quoted": (_twice, _own_stage),
    "deposit_confirmed": (_crm_behind, _not_planned, _twice, _other_email, _own_stage, _stuck),
    "scheduled": (_crm_behind, _billed_early, _not_sold, _other_email, _own_word, _own_stage),
    "completed": (_crm_behind, _not_sold, _twice, _stuck),
    "invoiced": (_twice, _other_email, _own_stage),
    "cancelled": (_twice, _own_stage),
}
"""What may go wrong with a job, by the state that it is in."""


# --- what makes matching hard, and is not wrong -------------------------------------------------


def _without_ids(job: Job, _: random.Random, noise: Counter[str]) -> None:
    """Nobody wrote the other tool's number down: only who and where it is are left."""
    for deal in job.records["crm"]:
        deal["Jobber Job #"] = ""
    for row in job.records["projects"]:
        row["Invoice #s"] = ""
    noise["missing ids"] += 1


def _typo(job: Job, chance: random.Random, noise: Counter[str]) -> None:
    """Somebody typed the name anew, without the ids."""
    _without_ids(job, chance, noise)
    at = chance.randint(2, len(job.name) - 2)
    for row in job.records["accounting"]:
        row["Name"] = job.name[:at] + job.name[at + 1 :]
    noise["typos"] += 1


def _swapped(job: Job, chance: random.Random, noise: Counter[str]) -> None:
    """The books sort by the last word of a name."""
    _without_ids(job, chance, noise)
    first, _, last = job.name.rpartition(" ")
    for row in job.records["accounting"]:
        row["Name"] = f"{last}, {first}"
    noise["swapped names"] += 1


def _without_email(job: Job, chance: random.Random, noise: Counter[str]) -> None:
    """The books know no e-mail, and there are no ids: the phone is left."""
    _without_ids(job, chance, noise)
    for row in job.records["accounting"]:
        row["Email"] = ""
    noise["missing e-mails"] += 1


def _bare(job: Job, chance: random.Random, noise: Counter[str]) -> None:
    """The books know neither e-mail nor phone: a name, mistyped, and the money are left."""
    _typo(job, chance, noise)
    if job.state == "cancelled":  # voided, so the money is gone too: nobody could tell
        return
    for row in job.records["accounting"]:
        row |= {"Email": "", "Phone": ""}
    noise["bare names"] += 1


NOISES: Final[Sequence[Callable[[Job, random.Random, Counter[str]], None]]] = (
    _without_ids, _typo, _swapped, _without_email, _bare,
)  # fmt: skip


PHONES: Final = {"crm": "Phone Number", "projects": "Client phone", "accounting": "Phone"}


def _come_again(made: Sequence[Job], chance: random.Random, noise: Counter[str]) -> None:
    """Some customers have had a job done before: who they are does not tell which job it is."""
    for job, before in zip(made[1::25], made[::25], strict=False):
        job.name, job.email, job.phone = before.name, before.email, before.phone
        job.street = before.street
        others = [work for work in WORKS if work != before.title]
        job.title = chance.choice(others)
        noise["customers with two jobs"] += 1


def _share_phones(made: Sequence[Job], chance: random.Random, noise: Counter[str]) -> None:
    """Two customers behind one switchboard: a phone alone proves nothing."""
    for one, other in zip(made[::50], made[1::50], strict=False):
        if one.wrong or other.wrong or chance.random() < 0.5:
            continue
        for tool, heading in PHONES.items():
            shared = next((row[heading] for row in one.records[tool]), "")
            for row in other.records[tool]:
                row[heading] = shared
        noise["shared phones"] += 1


# --- files, as the products write them ----------------------------------------------------------


def _write_deals(file: Path, rows: Sequence[Row]) -> int:
    """HubSpot: UTF-8 with a byte-order mark, commas, dates as 2026-05-04 14:03."""
    with file.open("w", encoding="utf-8-sig", newline="") as out:
        writer = csv.DictWriter(out, list(_deal(_example())), lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(rows)
    return 2


def _write_jobs(file: Path, rows: Sequence[Row]) -> int:
    """Jobber: UTF-8, commas, dates as May 04, 2026."""
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(_jobber(_example(), random.Random(0))))  # noqa: S311 - no secret hangs on it
        writer.writeheader()
        writer.writerows(rows)
    return 2


def _write_invoices(file: Path, rows: Sequence[Row]) -> int:
    """QuickBooks: the report's title above, the total and the time of printing below."""
    headings = list(_invoice(_example()))
    total = sum((Decimal(row["Amount"].replace(",", "")) for row in rows), Decimal(0))
    owed = sum((Decimal(row["Open Balance"].replace(",", "")) for row in rows), Decimal(0))
    foot = ["TOTAL", "", "", "", "", "", f"{total:,.2f}", f"{owed:,.2f}", "", "", ""]
    printed = "Saturday, November 21, 2026 12:00 PM GMT+00:00 - Accrual Basis"
    table: Iterator[list[str]] = iter(
        [
            ["Springfield Home Services"],
            ["Invoice List"],
            ["January 1 - November 21, 2026"],
            [],
            headings,
            *([row[heading] for heading in headings] for row in rows),
            foot,
            [],
            [printed],
        ]
    )
    if file.suffix == ".csv":
        with file.open("w", encoding="cp1252", newline="") as out:
            csv.writer(out).writerows(table)
    else:
        _write_workbook(file, table)
    return 6


def _write_workbook(file: Path, table: Iterator[list[str]]) -> None:
    options = {"constant_memory": True, "strings_to_formulas": False}
    with xlsxwriter.Workbook(str(file), options) as book:
        sheet = book.add_worksheet("Invoice List")
        number = book.add_format({"num_format": "#,##0.00"})
        for at, row in enumerate(table):
            for column, cell in enumerate(row):
                if column in {6, 7} and at > 4:
                    sheet.write_number(at, column, float(cell.replace(",", "")), number)
                elif cell:
                    sheet.write_string(at, column, cell)


def _example() -> Job:
    return _job(0, random.Random(0))  # noqa: S311 - only its headings matter


WRITERS: Final[Mapping[str, Callable[[Path, Sequence[Row]], int]]] = {
    "crm": _write_deals,
    "accounting": _write_invoices,
    "projects": _write_jobs,
}
"""Each returns the number of the first row of data, as a spreadsheet counts."""
