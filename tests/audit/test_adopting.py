"""From the audit to the service: the first day ends with the jobs in flight in place."""

import json
from pathlib import Path
from typing import Any

from api.audit.adopting import write_import
from api.audit.auditing import audit
from api.audit.findings import Audit, Held
from api.audit.records import Given
from tests.audit import firm
from tests.audit.exports import NOW, Exports, generate
from tests.running import Service, command, over

DEALS = "Record ID,Deal Name,Deal Stage,Associated Contact,Amount,Phone Number,Last Modified Date\n"
JOBS = "Job #,Client name,Title,Status,Client phone,Total revenue,Last updated\n"
BOOKS = "Date,Transaction Type,Num,Name,Memo/Description,Amount,Open Balance,Phone\n"


def opened(result: Audit, folder: Path) -> list[dict[str, Any]]:
    """The lines of the file that `--open` writes."""
    file = folder / "adopt.ndjson"
    written = write_import(result, firm.lifecycle(), file)
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert written == len(lines) == result.summary.jobs_agreed
    return lines


def audit_of(exports: Exports, decisions: dict[str, bool] | None = None) -> Audit:
    given = [Given(tool, path, firm.mapping(tool)) for tool, path in exports.files.items()]
    return audit(firm.lifecycle(), given, at=NOW, decisions=decisions)


def two_that_may_be_one(folder: Path, decisions: dict[str, bool] | None = None) -> Audit:
    """A deal and a job of nearly the same name, and nothing else that says they are one."""
    deals, jobs, books = (folder / f"{name}.csv" for name in ("deals", "jobs", "books"))
    deals.write_text(
        DEALS + "9001,Roof repair,Closed Won,Harbour Elbert Bakery,1250.00,,2026-11-20 08:00\n"
    )
    jobs.write_text(
        JOBS + "8001,Harbor Elbert Bakery,Roof repair,Upcoming,,1100.00,2026-11-20 09:00\n"
    )
    books.write_text(BOOKS + "11/13/2026,Invoice,7001,Mill Dental,Fence,80.00,0.00,2015550100\n")
    given = [
        firm.given("crm", deals),
        firm.given("accounting", books),
        firm.given("projects", jobs),
    ]
    return audit(firm.lifecycle(), given, at=NOW, decisions=decisions)


def test_every_certain_job_is_taken_in_by_a_running_service(
    tmp_path: Path, sqlite_service: Service
) -> None:
    """Each line opens one job in its state; the service shows it by id and by every reference."""
    result = audit_of(generate(tmp_path, 300, wrong=0.5))
    lines = opened(result, tmp_path)
    assert 0 < len(lines) < result.summary.jobs
    assert len({line["id"] for line in lines}) == len(lines)
    words = ("--as", "Operator", "--json", *over(sqlite_service.database))
    done = command("import", "jobs", str(tmp_path / "adopt.ndjson"), *words)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["applied"], told["refused"]) == (len(lines), {})
    staff = sqlite_service.by("staff")
    for line in lines[::25]:
        case = staff.get(f"/v1/jobs/{line['id']}").json()
        assert case["state"] == line["state"]
        assert case["references"] == line["references"]
        assert case["fields"].items() >= line.get("fields", {}).items()
        assert case["since"] == line["since"]


def test_a_job_whose_other_half_may_be_elsewhere_is_not_opened(tmp_path: Path) -> None:
    """A pair that waits to be confirmed holds both rows back, and the report says why."""
    result = two_that_may_be_one(tmp_path)
    assert [link.left.tool for link in result.to_confirm] == ["crm"]
    assert [line["id"] for line in opened(result, tmp_path) if line["id"] in {"9001", "8001"}] == []
    held = {job.held for job in result.jobs if job.references[0][1] in {"9001", "8001"}}
    assert Held.TO_CONFIRM in held
    assert sum(one.jobs for one in result.summary.unopened) == (
        result.summary.jobs - result.summary.jobs_agreed
    )


def test_what_a_person_confirmed_is_one_job(tmp_path: Path) -> None:
    """Joined by somebody, both rows are one job; kept apart, they hold nobody back."""
    (link,) = two_that_may_be_one(tmp_path).to_confirm
    same = two_that_may_be_one(tmp_path, {link.key: True})
    assert any({"9001", "8001"} <= {ref for _, ref in job.references} for job in same.jobs)
    apart = two_that_may_be_one(tmp_path, {link.key: False})
    assert Held.TO_CONFIRM not in {job.held for job in apart.jobs}


def test_the_reason_says_who_agrees(tmp_path: Path) -> None:
    """It stands in the history of the job for ever, so it names the tools and the state."""
    lines = opened(audit_of(generate(tmp_path, 60, wrong=0)), tmp_path)
    reasons = {line["state"]: line["reason"] for line in lines}
    assert "HubSpot, QuickBooks Online and Jobber agree on Scheduled" in reasons["scheduled"]
    assert "HubSpot and QuickBooks Online agree on Quoted" in reasons["quoted"]


def test_an_estimate_has_no_number_of_an_invoice(tmp_path: Path) -> None:
    """Nor is a number for people a reference: the product's messages name another id."""
    lines = opened(audit_of(generate(tmp_path, 60, wrong=0)), tmp_path)
    quoted = [line for line in lines if line["state"] == "quoted"]
    assert quoted
    for line in quoted:
        assert set(line["references"]) == {"crm"}
        assert "invoice_no" not in line["fields"]
