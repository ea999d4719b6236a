"""Who is believed: the lifecycle's own rules decide, and every planted fault is found."""

from collections import Counter
from datetime import UTC, datetime

import pytest

from api.audit.auditing import audit
from api.audit.course import Course
from api.audit.findings import Audit, Kind
from api.audit.grouping import Cluster
from api.audit.judging import Judge
from api.audit.records import Given, Record, Shown
from lifecycle.chart import Configuration
from lifecycle.vocabulary import StatusField
from tests.audit import firm
from tests.audit.exports import NOW, Exports, generate

FILES = {"crm": "deals.csv", "accounting": "invoices.csv", "projects": "jobs.csv"}


def means(tool: str, word: str) -> frozenset[Configuration]:
    """The states that a word of a tool stands for, in any of its status fields."""
    vocabulary = firm.lifecycle().vocabulary

    def stands(field: StatusField, state: Configuration) -> bool:
        return field.tool == tool and word in vocabulary.words(field, state)

    return frozenset(
        state
        for state in firm.lifecycle().chart.configurations
        if any(stands(field, state) for field in vocabulary.status_fields)
    )


@pytest.mark.parametrize(
    ("words", "state", "believed", "disagree", "contradicted"),
    [
        # All agree, each in its own words.
        (("crm:closedwon", "accounting:Deposit paid", "projects:upcoming"), "scheduled",
         "projects", False, ""),
        (("crm:presentationscheduled", "accounting:Estimate sent"), "quoted", "crm", False, ""),
        # Somebody lags behind: the owner of the later state is believed.
        (("crm:presentationscheduled", "accounting:Deposit paid"), "deposit_confirmed",
         "accounting", True, ""),
        (("crm:closedwon", "projects:requires_invoicing", "accounting:Invoiced"), "invoiced",
         "accounting", True, ""),
        (("crm:closedlost", "projects:upcoming"), "cancelled", "crm", True, ""),
        # Invoiced though not completed: the crew has not been there.
        (("crm:closedwon", "projects:upcoming", "accounting:Invoiced"), "scheduled",
         "projects", True, "invoiced"),
        # Planned though not paid: the books know no deposit.
        (("projects:upcoming", "accounting:Estimate sent"), "", "", True, "scheduled"),
        # Lost for sales, billed by the books: no owner's word settles it.
        (("crm:closedlost", "accounting:Invoiced"), "", "", True, "cancelled"),
        # Only a word that leaves much open.
        (("crm:closedwon",), "", "", False, ""),
    ],
)  # fmt: skip
def test_the_owner_of_a_state_is_believed(
    words: tuple[str, ...], state: str, believed: str, *, disagree: bool, contradicted: str
) -> None:
    """What the words leave open, whose state it is, and what must come before what."""
    said = tuple((tool, means(tool, word)) for tool, word in (one.split(":") for one in words))
    settled = Course(firm.lifecycle()).settle(said)
    assert settled.state == ((state,) if state else None)
    assert (settled.believed, settled.disagree) == (believed, disagree)
    assert settled.contradicted is None or settled.contradicted[0] == (contradicted,)
    assert bool(settled.contradicted) == bool(contradicted)


def test_every_lifecycle_shipped_can_be_judged() -> None:
    """Whatever one tool alone says in a state that it owns, it is believed."""
    for lifecycle in firm.catalogue().lifecycles.values():
        course = Course(lifecycle)
        for state in lifecycle.chart.configurations:
            owner = course.owner(state)
            if owner is not None:
                assert course.settle(((owner, frozenset({state})),)).state == state


def test_a_job_that_may_be_there_is_not_called_missing() -> None:
    """Where a pair waits to be confirmed, the finding waits too."""
    deal = Record("crm", 2, "d1", shown=(Shown("dealstage", "closedlost", (("cancelled",),)),))
    won = Record("crm", 3, "d2", shown=(Shown("job_status", "Scheduled", (("scheduled",),)),))
    records = [deal, won]
    at = datetime(2026, 11, 21, tzinfo=UTC)
    for doubts, missing in (({}, 2), ({1: frozenset({"projects", "accounting"})}, 0)):
        judge = Judge(firm.lifecycle(), FILES, at, doubts)
        judged = judge.judge(1, records, Cluster((1,), ()))
        kinds = Counter(one.kind for one in judged.findings)
        assert kinds[Kind.MISSING] == missing


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> tuple[Exports, Audit]:
    exports = generate(tmp_path_factory.mktemp("exports"), 4000, wrong=0.3)
    given = [Given(tool, path, firm.mapping(tool)) for tool, path in exports.files.items()]
    return exports, audit(firm.lifecycle(), given, at=NOW)


def test_every_planted_fault_is_found(audited: tuple[Exports, Audit]) -> None:
    """With its kind, and with file and row of all that it rests on."""
    exports, result = audited
    found: dict[tuple[int, Kind], set[tuple[str, int]]] = {}
    for one in result.findings:
        job = exports.job_of[one.sources[0].tool, one.sources[0].row]
        rows = {(source.tool, source.row) for source in one.sources}
        found.setdefault((job, one.kind), set()).update(rows)
    assert len(exports.planted) > 500
    for planted in exports.planted:
        assert planted.rows <= found.get((planted.job, planted.kind), set()), planted


def test_nothing_is_invented(audited: tuple[Exports, Audit]) -> None:
    """Every finding was planted: typos, swapped names and shared phones alone are none."""
    exports, result = audited
    planted = {(one.job, one.kind) for one in exports.planted}
    for one in result.findings:
        job = exports.job_of[one.sources[0].tool, one.sources[0].row]
        assert (job, one.kind) in planted, one


def test_the_summary_adds_up(audited: tuple[Exports, Audit]) -> None:
    """Its figures are those of the findings and of the jobs, each job counted once."""
    _, result = audited
    summary = result.summary
    assert summary.jobs == len(result.jobs)
    assert summary.jobs_agreed == sum(job.agreed for job in result.jobs)
    assert sum(count.findings for count in summary.counts) == len(result.findings)
    assert [one.number for one in result.findings] == list(range(1, len(result.findings) + 1))
    sums = {money.currency: money.amount for money in summary.money}
    wrong = {one.case_number for one in result.findings if one.severity != "low"}
    assert sums["USD"] == sum(
        job.money for job in result.jobs if job.number in wrong and job.money is not None
    )
    assert len({one.case for one in summary.worst_by_money}) == 5


def test_the_plan_ends_in_something_to_declare(audited: tuple[Exports, Audit]) -> None:
    """Its last step is a flow for every tool that nobody hears yet."""
    _, result = audited
    assert [step.number for step in result.plan] == list(range(1, len(result.plan) + 1))
    assert "tool: projects" in result.plan[-1].declare
