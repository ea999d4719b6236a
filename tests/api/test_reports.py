"""Reports over HTTP: what a tool says, what it is told about that, and what stands in the end."""

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.verifying import verify
from lifecycle.catalogue import load
from lifecycle.events import Heard, HeardAgain, Understood
from lifecycle.hearing import RELEASED_MAX
from lifecycle.opening import open_journal
from lifecycle.reports import OUTCOMES
from lifecycle.streams import message_id
from projections.store import open_store
from tests.databases import NewDatabase
from tests.running import DEFINITIONS, Service, running_service, until

NUMBERS = itertools.count(1)
STAGE = {"status_field": "dealstage"}
DAY = {"scheduled_for": "2026-05-11"}
DUE = {"deposit_due": "500.00 USD"}
PAID = {"deposit_paid": "500.00 USD"}


@pytest.fixture
def job(shared_service: Service) -> str:
    """A job of the test's own, quoted and linked to a deal of the same name."""
    name = f"R-{next(NUMBERS)}"
    opened = {"id": name, "references": {"crm": f"deal-{name}"}, "fields": {"scope": "A roof"}}
    assert shared_service.by("crm").post("/v1/jobs", json=opened).status_code == 201
    return name


def reported(service: Service, tool: str, by: str = "", **said: Any) -> dict[str, Any]:
    """What a tool's report is answered."""
    body = {"collection": "jobs", **said}
    answer = service.by(by or tool).post(f"/v1/tools/{tool}/reports", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def shown(service: Service, job: str, what: str = "") -> dict[str, Any]:
    """The job, or its history or why, as staff see it."""
    found: dict[str, Any] = service.by("staff").get(f"/v1/jobs/{job}{what}").json()
    return found


def test_a_job_is_heard_from_quotation_to_invoice(shared_service: Service, job: str) -> None:
    """Tools that only report bring a job to its end, whoever speaks first."""
    service = shared_service
    early = reported(service, "projects", id=job, word="upcoming", fields=DAY, event_id=f"{job}-1")
    assert early["outcome"] == "early"
    (waiting,) = shown(service, job, "/why")["waiting"]
    assert (waiting["tool"], waiting["word"]) == ("projects", "upcoming")
    assert reported(service, "accounting", id=job, fields={**DUE, **PAID})["outcome"] == "applied"
    assert shown(service, job)["state"] == "scheduled"
    assert not shown(service, job, "/why")["waiting"]
    done = reported(service, "projects", id=job, word="requires_invoicing")
    assert done["outcome"] == "applied"
    said: dict[str, Any] = {
        "status_field": "stage",
        "word": "Invoiced",
        "fields": {"invoice_no": "7"},
    }
    assert reported(service, "accounting", id=job, **said)["taken"] == ["invoice_no"]
    deal = {"ref": f"deal-{job}", "status_field": "dealstage", "word": "closedwon"}
    agrees = reported(service, "crm", **deal)
    assert (agrees["outcome"], agrees["id"]) == ("agrees", job)
    assert shown(service, job)["state"] == "invoiced"


def test_history_says_what_was_said(shared_service: Service, job: str) -> None:
    """A report stands in the history as a sentence, beside the transition that it caused."""
    reported(shared_service, "accounting", id=job, fields={**DUE, **PAID})
    reported(shared_service, "projects", id=job, word="upcoming", fields=DAY, event_id=f"{job}-1")
    history = shown(shared_service, job, "/history")["items"]
    items = [one for one in history if not one["type"].startswith("Notice")]
    assert [one["type"] for one in items][-2:] == ["TransitionMade", "Reported"]
    assert items[-2]["data"]["message"] == message_id(f"message:projects/{job}-1")
    assert items[-1]["sentence"].startswith("Jobber said “upcoming”")
    assert (items[-1]["collection"], items[-1]["id"]) == ("jobs", job)


def test_a_reference_set_later_releases_what_waited(shared_service: Service, job: str) -> None:
    """A message about an unknown record is decided in the append that makes it known."""
    service = shared_service
    reported(service, "accounting", id=job, fields={**DUE, **PAID})
    parked = reported(service, "projects", ref=f"visit-{job}", word="today", fields=DAY)
    assert (parked["outcome"], parked["reason"]) == ("parked", "unknown-reference")
    link = {"ref": f"visit-{job}"}
    linked = service.by("projects").put(f"/v1/jobs/{job}/references/projects", json=link)
    assert linked.json()["state"] == "scheduled"


def test_a_report_may_open_a_job(shared_service: Service, job: str) -> None:
    """A new deal that somebody only reports is a job, and its own words find it afterwards."""
    said: dict[str, Any] = {
        "ref": f"new-{job}",
        "status_field": "dealstage",
        "word": "presentationscheduled",
        "fields": {"customer_name": "Harbour Bakery", "invoice_no": "7"},
    }
    answer = reported(shared_service, "crm", **said)
    assert (answer["outcome"], answer["taken"]) == ("applied", ["customer_name"])
    assert answer["not_taken"] == {"invoice_no": "not-the-owner"}
    view = shared_service.by("crm").get(f"/v1/tools/crm/jobs/new-{job}").json()
    assert (view["id"], view["fields"]["customer_name"]) == (answer["id"], "Harbour Bakery")


def test_the_same_event_again_is_a_duplicate(shared_service: Service, job: str) -> None:
    """A product that sends an event again is told so, and nothing happens twice."""
    said: dict[str, Any] = {"id": job, "fields": {"scope": "A tower"}, "event_id": f"{job}-1"}
    assert reported(shared_service, "crm", **said)["outcome"] == "applied"
    version = shown(shared_service, job)["version"]
    assert reported(shared_service, "crm", **said)["outcome"] == "duplicate"
    assert shown(shared_service, job)["version"] == version


def test_an_idempotency_key_repeats_the_answer(shared_service: Service, job: str) -> None:
    """The same key and content is given the first answer; other content is refused."""
    crm, path = shared_service.by("crm"), "/v1/tools/crm/reports"
    body = {"collection": "jobs", "id": job, "fields": {"scope": "A tower"}}
    key = {"Idempotency-Key": f"{job}-once"}
    first, again = (crm.post(path, json=body, headers=key) for _ in range(2))
    assert (first.json(), first.headers.get("idempotency-replayed")) == (again.json(), None)
    assert again.headers["idempotency-replayed"] == "true"
    other = crm.post(path, json={**body, "word": "x"}, headers=key)
    assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-key-reused")


def test_staff_report_for_a_tool_with_a_reason(shared_service: Service, job: str) -> None:
    """Staff pass on what a tool says, and it shows that they did."""
    body = {"collection": "jobs", "id": job, "fields": PAID}
    path = "/v1/tools/accounting/reports"
    without = shared_service.by("staff").post(path, json=body)
    assert (without.status_code, without.json()["type"]) == (422, "/problems/reason-required")
    with_it = reported(shared_service, "accounting", "staff", id=job, fields=PAID, reason="a call")
    assert with_it["taken"] == ["deposit_paid"]
    history = shown(shared_service, job, "/history")["items"]
    (*_, last) = [one for one in history if one["type"] == "FieldsSet"]
    assert (last["type"], last["data"]["reason"], last["data"]["override"]) == (
        "FieldsSet",
        "a call",
        True,
    )


@pytest.mark.parametrize(
    ("by", "tool", "body", "status", "code"),
    [
        ("crm", "projects", {"id": "R-1", "word": "today"}, 403, "not-yours"),
        ("staff", "fax", {"id": "R-1", "word": "x", "reason": "so"}, 404, "unknown-tool"),
        ("crm", "crm", {"id": "no-such", "word": "x"}, 404, "unknown-case"),
        ("crm", "crm", {"collection": "yachts", "word": "x"}, 404, "unknown-collection"),
        ("crm", "crm", {"id": "R-1", "ref": "9", "word": "x"}, 400, "malformed-request"),
        ("crm", "crm", {"id": "R-1", "word": "a\u0000b"}, 400, "malformed-request"),
        ("crm", "crm", {"id": "R-1", "colour": "red"}, 400, "malformed-request"),
        ("crm", "crm", {"id": "", "word": "x"}, 400, "malformed-request"),
        ("nobody", "crm", {"id": "R-1"}, 401, "not-signed-in"),
    ],
)
def test_what_cannot_be_heard_is_refused(
    shared_service: Service, job: str, by: str, tool: str, body: Any, status: int, code: str
) -> None:
    """A report that names what is not there, or is none, is refused and leaves no message."""
    if body.get("id") == "R-1":
        body = {**body, "id": job}
    sent = {"collection": "jobs", **body}
    answer = shared_service.by(by).post(f"/v1/tools/{tool}/reports", json=sent)
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{code}")


def test_a_long_word_is_kept_and_parked(shared_service: Service, job: str) -> None:
    """A word that nobody has declared is parked whole; only one of absurd length is refused."""
    long = reported(shared_service, "crm", id=job, word="x" * 10_000, **STAGE)
    assert (long["outcome"], long["reason"]) == ("parked", "unknown-word")
    sent = {"collection": "jobs", "id": job, "word": "x" * 10_001, **STAGE}
    answer = shared_service.by("crm").post("/v1/tools/crm/reports", json=sent)
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed-request")


def test_what_nobody_has_declared_is_parked(shared_service: Service, job: str) -> None:
    """Fields that nobody has declared wait; beside others they are told, and hold up nothing."""
    alone = reported(shared_service, "crm", id=job, fields={"colour": "red"})
    assert (alone["outcome"], alone["reason"]) == ("parked", "unknown-field")
    beside = reported(shared_service, "crm", id=job, fields={"colour": "red", "scope": "A roof"})
    assert (beside["outcome"], beside["taken"]) == ("applied", ["scope"])
    assert beside["not_taken"] == {"colour": "unknown"}
    staff = shared_service.by("staff")
    last = staff.get("/v1/events?limit=1").headers["statekeeper-position"]
    seen = {"Statekeeper-Position": last}
    kept = staff.get(f"/v1/messages/{alone['message']}", headers=seen).json()
    assert kept["values"] == {"colour": "red"}


def test_very_many_that_waited_are_all_decided(shared_service: Service, job: str) -> None:
    """What one append does not decide when a reference is set is decided after it, by itself."""
    many, staff = RELEASED_MAX + 20, shared_service.by("staff")
    for number in range(many):
        said: dict[str, Any] = {"ref": f"visit-{job}", "fields": {"colour": str(number)}}
        assert reported(shared_service, "projects", **said)["reason"] == "unknown-reference"
    taken = {"ref": f"visit-{job}"}
    answer = shared_service.by("projects").put(f"/v1/jobs/{job}/references/projects", json=taken)
    assert answer.status_code == 200, answer.text

    def decided() -> bool:
        asked = {"collection": "jobs", "id": job, "why": "unknown-field", "limit": "500"}
        return len(staff.get("/v1/messages", params=asked).json()["items"]) == many

    until(decided, "all are decided")


# --- everything heard has one outcome -----------------------------------------------------------


def heard(service: Service) -> Iterator[str]:
    """Have each tool say everything that it can say of two jobs; give the answers' outcomes."""
    for name in ("C-1", "C-2"):
        service.by("crm").post("/v1/jobs", json={"id": name, "references": {"crm": name}})
    for name, tool, field, word in itertools.product(
        ("C-1", "C-2"),
        ("projects", "accounting"),
        ("status", "stage", "mood"),
        ("upcoming", "requires_invoicing", "Invoiced", "Void", "nonsense"),
    ):
        said: dict[str, Any] = {
            "status_field": field,
            "word": word,
            "fields": {**DAY, "email": "e@example.com"},
        }
        yield reported(service, tool, id=name, **said)["outcome"]
        yield reported(service, tool, ref=f"later-{name}", **said)["outcome"]
        yield reported(service, tool, event_id=f"{name}{field}{word}", **said)["outcome"]
        yield reported(service, tool, event_id=f"{name}{field}{word}", **said)["outcome"]
    for name in ("C-1", "C-2"):
        yield reported(service, "accounting", id=name, fields={**DUE, **PAID})["outcome"]
        for tool in ("projects", "accounting"):
            path = f"/v1/jobs/{name}/references/{tool}"
            answer = service.by(tool).put(path, json={"ref": f"later-{name}"})
            assert answer.status_code == 200, answer.text
    erased = service.by("staff").post("/v1/jobs/C-1/erase", json={"reason": "asked to"})
    assert erased.status_code == 200


def test_heard_is_the_sum_of_the_outcomes(new_database: NewDatabase, tmp_path: Path) -> None:
    """Each message in the log has one outcome; as many were heard as were sent; all is sound."""
    database = new_database()
    with running_service(database, tmp_path) as service:
        told = Counter(heard(service))
        position = int(service.by("staff").get("/v1/jobs/C-1").headers["statekeeper-position"])
        until(lambda: _followed(service, position), "the read models have followed")
        counted = service.by("nobody").get("/metrics").text
    lifecycles = load(DEFINITIONS, {}).lifecycles
    journal = open_journal(database, lifecycles, None)
    store = open_store(database, lifecycles)
    try:
        first: Counter[str] = Counter()
        last: dict[str, str] = {}
        entries = [journal.mapper.to_domain_event(one) for one in journal.recorder.tail(0)]
        for entry in entries:
            if isinstance(entry.event, Heard):
                first[entry.event.outcome] += 1
            if isinstance(entry.event, Heard | Understood):
                last[entry.stream] = entry.event.outcome
        first["duplicate"] += sum(isinstance(entry.event, HeardAgain) for entry in entries)
        report = verify(journal, store, lambda _done, _total: None)
    finally:
        store.close()
        journal.stop()
        journal.recorder.close()
    assert first == told
    assert set(last.values()) <= set(OUTCOMES)
    assert len(last) + first["duplicate"] == told.total()
    assert told.keys() >= {"parked", "duplicate", "early", "drift", "applied"}
    assert not report.problems
    shown = re.findall(r'statekeeper_messages_total{outcome="(\w+)",.*} ([0-9.]+)', counted)
    assert sum(float(count) for _, count in shown) == told.total()


def _followed(service: Service, position: int) -> bool:
    headers = {"Statekeeper-Position": str(position)}
    return service.by("staff").get("/v1/jobs", headers=headers).status_code == 200
