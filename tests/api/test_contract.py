"""What tools and staff may rely on over HTTP: members, headers, statuses, refusals, in order."""

import itertools
import json
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.databases import NewDatabase, Postgres
from tests.running import Service, command, issue_key, over, running_service

NUMBERS = itertools.count(1)
PAID = {"deposit_due": "500.00 USD", "deposit_paid": "500.00 USD"}
BAKERY = {"customer_name": "Harbour Bakery", "email": "orders@harbour-bakery.example"}

CASE_MEMBERS = [
    *("collection", "id", "lifecycle", "lifecycle_version", "state", "states", "since"),
    *("version", "position", "fields", "references", "open_transitions", "tools", "overdue"),
]
EVENT_MEMBERS = [
    *("position", "time", "recorded_at", "type", "collection", "id", "version", "by"),
    *("sentence", "data"),
]
TRANSITION_DATA = [
    *("transition", "from", "to", "fields", "condition", "rule", "reason", "message"),
    *("auto", "override", "definition"),
]
WHY_MEMBERS = [
    *("collection", "id", "state", "since", "answer", "because", "told", "refused"),
    *("waiting", "next"),
]


def new_job(service: Service, **more: Any) -> str:
    """The address of a job that has just been quoted."""
    body = {"id": f"C-{next(NUMBERS)}", "fields": BAKERY, **more}
    answer = service.by("crm").post("/v1/jobs", json=body)
    assert answer.status_code == 201, answer.text
    return f"/v1/jobs/{body['id']}"


def paid_job(service: Service) -> str:
    """The address of a job whose deposit is there."""
    address = new_job(service)
    answer = service.by("accounting").patch(f"{address}/fields", json=PAID)
    assert answer.json()["state"] == "deposit_confirmed"
    return address


def code(answer: httpx.Response) -> str:
    """The code of a refusal, whose answer has to be a whole problem."""
    assert answer.headers["Content-Type"] == "application/problem+json", answer.text
    problem = answer.json()
    assert list(problem)[:4] == ["type", "title", "status", "detail"]
    assert problem["status"] == answer.status_code
    assert problem["title"]
    assert problem["detail"]
    prefix, _, found = problem["type"].rpartition("/")
    assert prefix == "/problems"
    return str(found)


def positioned(answer: httpx.Response) -> int:
    """The position that every answer carries."""
    return int(answer.headers["Statekeeper-Position"])


# --- every call about cases -----------------------------------------------------------------------


def test_opened_case_is_shown_whole(shared_service: Service) -> None:
    """Opening answers 201, where the case is, its version as a tag, and the case in full."""
    body = {"id": f"C-{next(NUMBERS)}", "fields": BAKERY, "references": {"crm": "c-opened"}}
    answer = shared_service.by("crm").post("/v1/jobs", json=body)
    case = answer.json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/v1/jobs/{body['id']}"
    assert answer.headers["ETag"] == '"1"'
    assert answer.headers["Content-Type"] == "application/json"
    assert positioned(answer) >= case["position"] > 0
    assert list(case) == CASE_MEMBERS
    assert case["fields"] == BAKERY
    assert case["references"] == {"crm": ["c-opened"]}
    assert case["overdue"] is None
    assert case["open_transitions"][1] == {
        "name": "cancel",
        "to": "cancelled",
        "by": ["crm", "projects"],
        "requires": [],
        "blocked": None,
    }
    assert case["tools"] == {
        "crm": {"dealstage": "presentationscheduled", "job_status": None},
        "projects": {"status": None},
        "accounting": {"stage": "Estimate sent"},
    }
    assert shared_service.by("crm").get(answer.headers["Location"]).json() == case


def test_case_without_an_id_is_given_one_in_order_of_time(shared_service: Service) -> None:
    """Ids made by the service sort by the time at which they were made."""
    made = [shared_service.by("crm").post("/v1/jobs", json={}).json()["id"] for _ in range(3)]
    assert len(set(made)) == 3
    assert made == sorted(made)


def test_transition_answers_with_case_and_event(shared_service: Service) -> None:
    """Making a transition answers 201 with the case after it and the event it was."""
    address = paid_job(shared_service)
    body = {"transition": "schedule", "fields": {"scheduled_for": "2026-05-11"}, "reason": "dry"}
    answer = shared_service.by("projects").post(f"{address}/transitions", json=body)
    told = answer.json()
    assert answer.status_code == 201
    assert answer.headers["ETag"] == '"4"'
    assert list(told) == ["case", "event"]
    assert list(told["case"]) == CASE_MEMBERS
    event = told["event"]
    assert list(event) == EVENT_MEMBERS
    assert list(event["data"]) == TRANSITION_DATA
    assert list(event["by"]) == ["tool", "key"]
    assert event["sentence"] == "Jobber scheduled the job for 11 May 2026: dry."
    assert event["type"] == "TransitionMade"
    assert event["version"] == told["case"]["version"] == 4
    assert event["position"] == told["case"]["position"]
    assert event["data"]["from"] == ["deposit_confirmed"]
    assert event["data"]["to"] == ["scheduled"]
    assert event["data"]["fields"] == {"scheduled_for": "2026-05-11"}
    assert event["data"]["reason"] == "dry"
    assert list(event["data"]["definition"]) == ["version", "digest"]


def test_open_transitions_say_who_and_what_blocks(shared_service: Service) -> None:
    """What is open names its target, its makers, what it requires, and what stands in its way."""
    address = paid_job(shared_service)
    answer = shared_service.by("crm").get(f"{address}/transitions")
    assert answer.status_code == 200
    assert answer.json()["items"][0] == {
        "name": "schedule",
        "to": "scheduled",
        "by": ["projects"],
        "requires": ["scheduled_for"],
        "blocked": "scheduled_for is not set",
    }


def test_fields_are_set_changed_and_forgotten(shared_service: Service) -> None:
    """Setting fields answers 200 with the case; null forgets, the same value makes no event."""
    address = new_job(shared_service)
    crm = shared_service.by("crm")
    query = {"reason": "they moved", "occurred_at": "2026-05-04T10:00:00+02:00"}
    answer = crm.patch(f"{address}/fields", params=query, json={"scope": "A new hood"})
    assert answer.status_code == 200
    assert answer.headers["ETag"] == '"2"'
    assert answer.json()["fields"]["scope"] == "A new hood"
    event = crm.get(f"{address}/history").json()["items"][-1]
    assert event["data"]["reason"] == "they moved"
    unchanged = crm.patch(f"{address}/fields", json={"scope": "A new hood"})
    assert unchanged.headers["ETag"] == '"2"'
    forgotten = crm.patch(f"{address}/fields", json={"scope": None})
    assert "scope" not in forgotten.json()["fields"]
    assert forgotten.headers["ETag"] == '"3"'


def test_references_are_set_and_released(shared_service: Service) -> None:
    """Any tool may set a free reference; its own tool releases it; both answer with the case."""
    address = new_job(shared_service)
    ref = address.rpartition("/")[2]
    where = f"{address}/references/accounting"
    body = {"ref": f"{ref}/1", "kind": "invoice", "reason": "billed"}
    answer = shared_service.by("projects").put(where, json=body)
    assert answer.status_code == 200
    assert answer.headers["ETag"] == '"2"'
    assert answer.json()["references"] == {"accounting:invoice": [f"{ref}/1"]}
    again = shared_service.by("crm").put(where, json=body)
    assert again.headers["ETag"] == '"2"'
    query = {"ref": f"{ref}/1", "kind": "invoice"}
    released = shared_service.by("accounting").delete(where, params=query)
    assert released.status_code == 200
    assert released.json()["references"] == {}
    gone = shared_service.by("accounting").delete(where, params=query)
    assert code(gone) == "unknown-reference"


def test_corrections_and_erasures_answer_with_the_case(shared_service: Service) -> None:
    """Staff correct and erase, and are shown the case."""
    address = new_job(shared_service)
    staff = shared_service.by("staff")
    corrected = staff.post(f"{address}/corrections", json={"state": "scheduled", "reason": "it is"})
    assert (corrected.status_code, corrected.headers["ETag"]) == (200, '"2"')
    erased = staff.post(f"{address}/erase", json={"reason": "asked for"})
    assert (erased.status_code, erased.headers["ETag"]) == (200, '"3"')
    assert list(erased.json()) == CASE_MEMBERS
    assert erased.json()["fields"] == {"customer_name": "erased", "email": "erased"}


def test_history_and_why_have_their_members(shared_service: Service) -> None:
    """History lists events oldest first; why explains with the chain newest first."""
    address = paid_job(shared_service)
    crm = shared_service.by("crm")
    history = crm.get(f"{address}/history").json()
    assert list(history) == ["items"]
    changes = [event["version"] for event in history["items"] if event["version"]]
    assert changes == [1, 2, 3]
    assert all(list(event) == EVENT_MEMBERS for event in history["items"])
    why = crm.get(f"{address}/why").json()
    assert list(why) == WHY_MEMBERS
    assert [event["version"] for event in why["because"]] == [3, 2, 1]
    assert why["because"][0]["data"]["condition"] == {
        "when": "deposit_paid >= deposit_due",
        "values": {"deposit_paid": "500.00 USD", "deposit_due": "500.00 USD"},
    }
    assert [one["name"] for one in why["next"]] == ["schedule", "cancel"]


def test_lifecycles_are_shown_drawn_and_marked(shared_service: Service) -> None:
    """Definitions are listed, shown whole, and drawn; a picture marks where a case is."""
    crm = shared_service.by("crm")
    listed = crm.get("/v1/lifecycles").json()["items"]
    assert {one["collection"] for one in listed} >= {"jobs", "policies", "loans", "clients"}
    shown = crm.get("/v1/lifecycles/field_service").json()
    assert shown["owners"]["deposit_confirmed"] == "accounting"
    mermaid = crm.get("/v1/lifecycles/field_service.mermaid")
    assert mermaid.headers["Content-Type"].startswith("text/plain")
    picture = crm.get("/v1/lifecycles/field_service.svg")
    assert picture.headers["Content-Type"] == "image/svg+xml"
    case = paid_job(shared_service).rpartition("/")[2]
    marked = crm.get("/v1/lifecycles/field_service.svg", params={"case": case})
    assert marked.text != picture.text
    assert code(crm.get("/v1/lifecycles/nothing")) == "not-found"


def test_health_is_open_to_all(shared_service: Service) -> None:
    """Whether the service lives and is ready is told without a key."""
    nobody = shared_service.by("nobody")
    assert nobody.get("/health/live").json()["status"] == "live"
    assert nobody.get("/health/ready").json()["status"] == "ready"


def test_position_asked_for_is_waited_for(shared_service: Service) -> None:
    """A request that carries a position is answered when that position is visible."""
    address = new_job(shared_service)
    crm = shared_service.by("crm")
    seen = positioned(crm.get(address))
    again = crm.get(address, headers={"Statekeeper-Position": str(seen)})
    assert again.status_code == 200
    assert positioned(again) >= seen
    assert code(crm.get(address, headers={"Statekeeper-Position": "soon"})) == "malformed-request"


def test_position_that_does_not_come_is_refused_in_time(shared_sqlite_service: Service) -> None:
    """What has not become visible after a while is 503 with the time to wait before asking."""
    crm = shared_sqlite_service.by("crm")
    answer = crm.get("/v1/lifecycles", headers={"Statekeeper-Position": "999999999"})
    assert answer.status_code == 503
    assert code(answer) == "storage-unavailable"
    assert int(answer.headers["Retry-After"]) > 0


def test_times_are_never_ahead_nor_before_what_they_follow(shared_service: Service) -> None:
    """A claimed time is held between the change before it and now."""
    address = new_job(shared_service, occurred_at="2026-05-04T10:00:00Z")
    crm = shared_service.by("crm")
    for claimed in ("2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"):
        query = {"occurred_at": claimed}
        crm.patch(f"{address}/fields", params=query, json={"scope": claimed})
    items = crm.get(f"{address}/history").json()["items"]
    changes = [event for event in items if event["version"]]
    times = [event["time"] for event in changes]
    recorded = changes[-1]["recorded_at"]
    assert times == ["2026-05-04T10:00:00.000Z", "2026-05-04T10:00:00.000Z", recorded]


# --- refusals, one by one -------------------------------------------------------------------------

Asking = tuple[str, str, str, Any]
"""Who, method, address (`{job}`: a job whose deposit is there), body."""

REFUSED: dict[str, tuple[int, Asking]] = {
    "malformed-request": (400, ("crm", "POST", "/v1/jobs", {"colour": "red"})),
    "not-found": (404, ("crm", "GET", "/v2/jobs", None)),
    "method-not-allowed": (405, ("crm", "PUT", "{job}", {})),
    "not-signed-in": (401, ("nobody", "GET", "{job}", None)),
    "staff-only": (403, ("crm", "POST", "{job}/erase", {"reason": "asked for"})),
    "not-yours": (403, ("carrier", "GET", "{job}", None)),
    "unknown-collection": (404, ("crm", "GET", "/v1/ships/S-1", None)),
    "unknown-tool": (404, ("crm", "PUT", "{job}/references/fax", {"ref": "1"})),
    "unknown-case": (404, ("crm", "GET", "/v1/jobs/nobody", None)),
    "unknown-reference": (404, ("crm", "GET", "/v1/tools/crm/jobs/nothing", None)),
    "unknown-version": (404, ("crm", "GET", "{job}?version=99", None)),
    "unknown-transition": (422, ("crm", "POST", "{job}/transitions", {"transition": "fly"})),
    "transition-not-open": (
        409,
        ("projects", "POST", "{job}/transitions", {"transition": "complete"}),
    ),
    "not-the-owner": (
        403,
        ("crm", "POST", "{job}/transitions", {"transition": "schedule"}),
    ),
    "invalid-fields": (422, ("projects", "PATCH", "{job}/fields", {"scheduled_for": "soon"})),
    "fields-missing": (
        422,
        ("projects", "POST", "{job}/transitions", {"transition": "schedule"}),
    ),
    "reason-required": (422, ("staff", "POST", "{job}/transitions", {"transition": "cancel"})),
}


def asked(service: Service, asking: Asking, job: str = "", **more: Any) -> httpx.Response:
    """Ask so."""
    who, method, address, body = asking
    return service.by(who).request(method, address.replace("{job}", job), json=body, **more)


@pytest.mark.parametrize("expected", REFUSED)
def test_refusal_has_its_status(shared_service: Service, expected: str) -> None:
    """Each refusal comes with the status of the contract's table, as a problem."""
    status, asking = REFUSED[expected]
    answer = asked(shared_service, asking, paid_job(shared_service))
    assert code(answer) == expected
    assert answer.status_code == status
    assert positioned(answer) > 0


def test_case_that_is_there_is_not_opened_again(shared_service: Service) -> None:
    """An id, and a reference, mean one case; the refusal names the one that has it."""
    job = new_job(shared_service)
    name = job.rpartition("/")[2]
    crm = shared_service.by("crm")
    crm.put(f"{job}/references/crm", json={"ref": f"ref-{name}"})
    again = crm.post("/v1/jobs", json={"id": name})
    assert (again.status_code, code(again)) == (409, "case-exists")
    other = {"id": f"{name}-other", "references": {"crm:deal": [f"ref-{name}"]}}
    taken = crm.post("/v1/jobs", json=other)
    assert (taken.status_code, code(taken)) == (409, "reference-taken")
    assert taken.json()["case"] == f"jobs/{name}"
    assert code(crm.get(f"/v1/jobs/{name}-other")) == "unknown-case"


def test_condition_that_does_not_hold_shows_what_it_saw(shared_service: Service) -> None:
    """A condition is refused with its text and the values it saw."""
    job = new_job(shared_service)
    accounting = shared_service.by("accounting")
    body = {"transition": "confirm_deposit", "fields": {**PAID, "deposit_paid": "499.99 USD"}}
    answer = accounting.post(f"{job}/transitions", json=body)
    assert (answer.status_code, code(answer)) == (409, "condition-not-met")
    assert answer.json()["values"] == {"deposit_paid": "499.99 USD", "deposit_due": "500.00 USD"}
    euros = {"transition": "confirm_deposit", "fields": {**PAID, "deposit_paid": "900.00 EUR"}}
    assert code(accounting.post(f"{job}/transitions", json=euros)) == "condition-not-met"
    assert accounting.get(job).json()["version"] == 1


def test_every_wrong_field_is_named_at_once(shared_service: Service) -> None:
    """Of several wrong fields each is named with its path and what it should be."""
    job = new_job(shared_service)
    body = {"deposit_due": "5 dollars", "deposit_paid": True, "colour": "red"}
    answer = shared_service.by("accounting").patch(f"{job}/fields", json=body)
    assert (answer.status_code, code(answer)) == (422, "invalid-fields")
    paths = [wrong["path"] for wrong in answer.json()["errors"]]
    assert paths == ["fields.deposit_due", "fields.deposit_paid", "fields.colour"]


def test_other_media_types_are_refused(shared_service: Service) -> None:
    """A body is JSON in UTF-8, and says so."""
    crm = shared_service.by("crm")
    for media_type in ("text/plain", "application/json; charset=latin-1"):
        answer = crm.post("/v1/jobs", content=b"{}", headers={"Content-Type": media_type})
        assert (answer.status_code, code(answer)) == (415, "unsupported-media-type")


def test_method_not_allowed_names_those_that_are(shared_service: Service) -> None:
    """Which methods an address takes is told."""
    answer = shared_service.by("crm").delete(new_job(shared_service))
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]


def test_refused_ask_is_kept_beside_the_case(shared_service: Service) -> None:
    """What was refused is recorded with who asked and why not; the same again is counted."""
    job = new_job(shared_service)
    crm = shared_service.by("crm")
    for _ in range(3):
        crm.post(f"{job}/transitions", json={"transition": "confirm_deposit"})
    crm.post(f"{job}/transitions", json={"transition": "fly"})
    items = crm.get(f"{job}/history").json()["items"]
    opened, refused = (event for event in items if event["type"] != "NoticeDue")
    assert opened["type"] == "CaseOpened"
    assert refused["type"] == "Refused"
    assert refused["data"]["times"] == 3
    assert refused["data"]["code"] == "not-the-owner"
    assert crm.get(job).json()["version"] == 1


# --- refusals, in their order ---------------------------------------------------------------------

FUTURE = {"If-Match": '"99"'}

BEFORE: dict[str, tuple[str, Asking, dict[str, str]]] = {
    "shape before key": ("malformed-request", ("nobody", "POST", "/v1/jobs", []), {}),
    "address before key": ("not-found", ("nobody", "GET", "/v1/jobs/a/b/c", None), {}),
    "key before collection": ("not-signed-in", ("nobody", "GET", "/v1/ships/1", None), {}),
    "staff before case": (
        "staff-only",
        ("crm", "POST", "/v1/jobs/nobody/erase", {"reason": "asked for"}),
        {},
    ),
    "yours before idempotency": (
        "not-yours",
        ("carrier", "POST", "{job}/transitions", {"transition": "cancel"}),
        {"Idempotency-Key": "used"},
    ),
    "idempotency before case": (
        "idempotency-key-reused",
        ("crm", "POST", "/v1/jobs/nobody/transitions", {"transition": "cancel"}),
        {"Idempotency-Key": "used"},
    ),
    "idempotency before collection": (
        "idempotency-key-reused",
        ("crm", "POST", "/v1/ships", {"id": "S-1"}),
        {"Idempotency-Key": "used"},
    ),
    "case before transition": (
        "unknown-case",
        ("crm", "POST", "/v1/jobs/nobody/transitions", {"transition": "fly"}),
        {},
    ),
    "transition before version": (
        "unknown-transition",
        ("crm", "POST", "{job}/transitions", {"transition": "fly"}),
        FUTURE,
    ),
    "version before openness": (
        "version-moved",
        ("crm", "POST", "{job}/transitions", {"transition": "complete"}),
        FUTURE,
    ),
    "version before reference": (
        "version-moved",
        ("crm", "PUT", "{job}/references/crm", {"ref": "taken"}),
        FUTURE,
    ),
    "openness before owner": (
        "transition-not-open",
        ("crm", "POST", "{job}/transitions", {"transition": "complete"}),
        {},
    ),
    "openness before cases that fields name": (
        "transition-not-open",
        (
            "ams",
            "POST",
            "{policy}/transitions",
            {"transition": "endorse", "fields": {"client": "clients/nobody"}},
        ),
        {},
    ),
    "case that exists before owner": (
        "case-exists",
        ("projects", "POST", "/v1/jobs", {"id": "{id}"}),
        {},
    ),
    "reference before owner": (
        "reference-taken",
        ("projects", "POST", "/v1/jobs", {"references": {"crm": "taken"}}),
        {},
    ),
    "reference before fields": (
        "reference-taken",
        ("crm", "POST", "/v1/jobs", {"references": {"crm": "taken"}, "fields": {"email": "?"}}),
        {},
    ),
    "owner before fields": (
        "not-the-owner",
        (
            "crm",
            "POST",
            "{job}/transitions",
            {"transition": "schedule", "fields": {"scheduled_for": "soon"}},
        ),
        {},
    ),
    "owner before cases that fields name": (
        "not-the-owner",
        ("carrier", "POST", "/v1/policies", {"fields": {"client": "clients/nobody"}}),
        {},
    ),
    "fields before their owner": (
        "invalid-fields",
        (
            "projects",
            "POST",
            "{job}/transitions",
            {"transition": "schedule", "fields": {"scheduled_for": "soon", "invoice_no": "1"}},
        ),
        {},
    ),
    "owner of fields before missing ones": (
        "not-the-owner",
        (
            "projects",
            "POST",
            "{job}/transitions",
            {"transition": "schedule", "fields": {"invoice_no": "1"}},
        ),
        {},
    ),
    "missing fields before reason": (
        "fields-missing",
        ("staff", "POST", "{job}/transitions", {"transition": "schedule"}),
        {},
    ),
    "reason before condition": (
        "reason-required",
        (
            "staff",
            "POST",
            "{quoted}/transitions",
            {
                "transition": "confirm_deposit",
                "fields": {"deposit_due": "5.00 USD", "deposit_paid": "1.00 USD"},
            },
        ),
        {},
    ),
}


@pytest.fixture(scope="session")
def standing(shared_service: Service) -> dict[str, str]:
    """Cases that stand ready for refusals; a key and a reference that are used."""
    crm = shared_service.by("crm")
    job, quoted = paid_job(shared_service), new_job(shared_service)
    crm.put(f"{quoted}/references/crm", json={"ref": "taken"})
    used = {"headers": {"Idempotency-Key": "used"}, "json": {"id": f"C-{next(NUMBERS)}"}}
    assert crm.post("/v1/jobs", **used).status_code == 201  # type: ignore[arg-type]  # checked when it is built
    policy = shared_service.by("ams").post("/v1/policies", json={}).json()["id"]
    return {
        "{job}": job,
        "{quoted}": quoted,
        "{id}": quoted.rpartition("/")[2],
        "{policy}": f"/v1/policies/{policy}",
    }


@pytest.mark.parametrize("which", BEFORE)
def test_refusals_come_in_their_order(
    shared_service: Service, standing: dict[str, str], which: str
) -> None:
    """Of several reasons to refuse, the one that stands first in the contract's table is given."""
    expected, (who, method, address, body), headers = BEFORE[which]
    text = json.dumps(body)
    for name, value in standing.items():
        text, address = text.replace(name, value), address.replace(name, value)
    content = None if body is None else text.encode()
    more = {"Content-Type": "application/json", **headers}
    answer = shared_service.by(who).request(method, address, content=content, headers=more)
    assert code(answer) == expected, answer.text


# --- idempotency ----------------------------------------------------------------------------------


def test_same_key_and_content_is_done_once(shared_service: Service) -> None:
    """A repeat gives the first success's status and the case as of then, and changes nothing."""
    job = paid_job(shared_service)
    projects = shared_service.by("projects")
    key = {"Idempotency-Key": f"once-{job}"}
    body = {"transition": "schedule", "fields": {"scheduled_for": "2026-05-11"}}
    first = projects.post(f"{job}/transitions", json=body, headers=key)
    assert "Idempotency-Replayed" not in first.headers
    projects.post(f"{job}/transitions", json={"transition": "complete"})
    again = projects.post(f"{job}/transitions", json=body, headers=key)
    assert again.status_code == first.status_code == 201
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["ETag"] == first.headers["ETag"] == '"4"'
    assert again.json() == first.json()
    assert projects.get(job).json()["version"] == 5


def test_same_key_with_other_content_is_refused(shared_service: Service) -> None:
    """Method, path, query, body and `If-Match` are the content; another one needs another key."""
    job = new_job(shared_service)
    crm = shared_service.by("crm")
    key = {"Idempotency-Key": f"content-{job}"}
    fields = f"{job}/fields"
    assert crm.patch(fields, json={"scope": "a"}, headers=key).status_code == 200
    others = (
        crm.patch(fields, json={"scope": "b"}, headers=key),
        crm.patch(fields, json={"scope": "a"}, params={"reason": "so"}, headers=key),
        crm.patch(fields, json={"scope": "a"}, headers={**key, "If-Match": '"1"'}),
        crm.put(f"{job}/references/crm", json={"ref": "x"}, headers=key),
        crm.patch(f"{new_job(shared_service)}/fields", json={"scope": "a"}, headers=key),
    )
    assert [(one.status_code, code(one)) for one in others] == [
        (422, "idempotency-key-reused")
    ] * len(others)
    assert crm.get(job).json()["version"] == 2


def test_refusal_is_not_remembered(shared_service: Service) -> None:
    """After a refusal the same key serves when the ask has become right."""
    job = paid_job(shared_service)
    projects = shared_service.by("projects")
    key = {"Idempotency-Key": f"refused-{job}"}
    ask: dict[str, Any] = {"json": {"transition": "schedule"}, "headers": key}
    assert code(projects.post(f"{job}/transitions", **ask)) == "fields-missing"
    projects.patch(f"{job}/fields", json={"scheduled_for": "2026-05-11"})
    made = projects.post(f"{job}/transitions", **ask)
    assert made.status_code == 201
    assert "Idempotency-Replayed" not in made.headers


def test_keys_are_per_tool_and_per_staff_key(shared_service: Service) -> None:
    """Two tools, and two members of staff, may use the same idempotency key."""
    job = new_job(shared_service)
    key = {"Idempotency-Key": f"shared-{job}"}
    other = issue_key(shared_service.database, staff="night shift")
    with shared_service.with_key(other.key) as night:
        askers = [shared_service.by(who) for who in ("crm", "projects", "staff")] + [night]
        for number, asker in enumerate(askers):
            body = {"ref": f"{job}-{number}", "reason": "so"}
            answer = asker.put(f"{job}/references/crm", json=body, headers=key)
            assert answer.status_code == 200, answer.text
            assert "Idempotency-Replayed" not in answer.headers
    assert len(shared_service.by("crm").get(job).json()["references"]["crm"]) == 4


def test_write_that_changed_nothing_is_repeated_too(shared_service: Service) -> None:
    """A success without an event is remembered like any other."""
    job = new_job(shared_service)
    crm = shared_service.by("crm")
    ask: dict[str, Any] = {
        "json": {"customer_name": BAKERY["customer_name"]},
        "headers": {"Idempotency-Key": f"nothing-{job}"},
    }
    first, again = (crm.patch(f"{job}/fields", **ask) for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert first.json() == again.json()


def test_idempotency_holds_across_a_restart(new_database: NewDatabase, tmp_path: Path) -> None:
    """What was done before a restart is not done again after it."""
    database = new_database()
    ask: dict[str, Any] = {"json": {}, "headers": {"Idempotency-Key": "restart"}}
    with running_service(database, tmp_path) as first:
        keys = first.keys
        opened = first.by("crm").post("/v1/jobs", **ask)
    with running_service(database, tmp_path) as second, second.with_key(keys["crm"]) as crm:
        again = crm.post("/v1/jobs", **ask)
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.json() == opened.json()
        assert again.headers["Location"] == opened.headers["Location"]


def test_idempotency_holds_across_two_services(postgres: Postgres, tmp_path: Path) -> None:
    """Two services over one database do one ask once, and see each other's cases at once."""
    database = postgres.new()
    with (
        running_service(database, tmp_path) as first,
        running_service(database, tmp_path) as second,
        second.with_key(first.keys["crm"]) as there,
    ):
        here = first.by("crm")
        for number in range(20):
            ask: dict[str, Any] = {
                "json": {"id": f"J-{number}", "references": {"crm": f"r-{number}"}},
                "headers": {"Idempotency-Key": f"two-{number}"},
            }
            pair = (here, there) if number % 2 else (there, here)
            opened, again = (one.post("/v1/jobs", **ask) for one in pair)
            assert (opened.status_code, again.status_code) == (201, 201)
            assert again.headers["Idempotency-Replayed"] == "true"
            assert again.json() == opened.json()
            assert code(pair[1].post("/v1/jobs", json={"id": f"J-{number}"})) == "case-exists"
            assert pair[1].get(f"/v1/jobs/J-{number}").json() == opened.json()


# --- conditional writes ---------------------------------------------------------------------------


def test_write_for_a_version_that_moved_is_refused(shared_service: Service) -> None:
    """`If-Match` lets a write through only at the version that its sender has seen."""
    job = new_job(shared_service)
    crm = shared_service.by("crm")
    fields = f"{job}/fields"
    seen = crm.get(job).headers["ETag"]
    first = crm.patch(fields, json={"scope": "a"}, headers={"If-Match": seen})
    assert first.headers["ETag"] == '"2"'
    second = crm.patch(fields, json={"scope": "b"}, headers={"If-Match": seen})
    assert (second.status_code, code(second)) == (412, "version-moved")
    assert second.json()["version_found"] == 2
    for tags in ('"1", "2"', "*"):
        answer = crm.patch(fields, json={"scope": tags}, headers={"If-Match": tags})
        assert answer.status_code in {200, 412}
    assert crm.get(job).json()["fields"]["scope"] == "*"
    for tag in ("2", 'W/"2"', "two"):
        refused = crm.patch(fields, json={"scope": "c"}, headers={"If-Match": tag})
        assert code(refused) == "malformed-request"


# --- who may read ---------------------------------------------------------------------------------


def test_personal_fields_are_hidden_from_tools_that_do_not_read_them(
    shared_service: Service,
) -> None:
    """A personal value is shown to its owner, to tools that read it, and to staff; to no other."""
    name = f"Secret Bakery {next(NUMBERS)}"
    job = new_job(shared_service, fields={**BAKERY, "customer_name": name})
    ref = job.rpartition("/")[2]
    for tool in ("crm", "accounting", "projects"):
        shared_service.by("crm").put(f"{job}/references/{tool}", json={"ref": ref})
    whats = ("", "/history", "/why", "?version=1", "/transitions")

    def read(who: str) -> str:
        return "".join(shared_service.by(who).get(f"{job}{what}").text for what in whats)

    assert name in read("crm")
    assert name in read("staff")
    assert name not in read("accounting")
    assert name not in read("projects")
    assert BAKERY["email"] in read("projects")
    assert BAKERY["email"] not in read("accounting")
    views = {
        tool: shared_service.by(tool).get(f"/v1/tools/{tool}/jobs/{ref}").text
        for tool in ("crm", "accounting", "projects")
    }
    assert [tool for tool, view in views.items() if name in view] == ["crm"]
    assert [tool for tool, view in views.items() if BAKERY["email"] in view] == ["crm", "projects"]


def test_write_does_not_show_its_tool_what_it_may_not_read(shared_service: Service) -> None:
    """The answer to a write hides the same as the answer to a read, also when replayed."""
    job = new_job(shared_service)
    ask: dict[str, Any] = {"json": PAID, "headers": {"Idempotency-Key": f"hide-{job}"}}
    for _ in range(2):
        answer = shared_service.by("accounting").patch(f"{job}/fields", **ask)
        assert answer.json()["fields"] == PAID


def test_staff_who_may_only_read_read_everything(shared_service: Service) -> None:
    """A read-only key sees all and changes nothing."""
    job = paid_job(shared_service)
    words = ("--staff", "auditor", "--read-only", "--json", *over(shared_service.database))
    key = json.loads(command("keys", "issue", *words).stdout)["key"]
    with shared_service.with_key(key) as auditor:
        assert auditor.get(job).json()["fields"].items() >= BAKERY.items()
        writes = (
            auditor.post("/v1/jobs", json={"reason": "so"}),
            auditor.post(f"{job}/transitions", json={"transition": "cancel", "reason": "so"}),
            auditor.patch(f"{job}/fields", json={}, params={"reason": "so"}),
            auditor.put(f"{job}/references/crm", json={"ref": "1", "reason": "so"}),
            auditor.delete(f"{job}/references/crm", params={"ref": "1", "reason": "so"}),
            auditor.post(f"{job}/corrections", json={"state": "scheduled", "reason": "so"}),
            auditor.post(f"{job}/erase", json={"reason": "so"}),
        )
    assert [(one.status_code, code(one)) for one in writes] == [(403, "not-yours")] * len(writes)
    assert shared_service.by("crm").get(job).json()["version"] == 3


WRONG_KEYS = {
    "none of ours": "Bearer sk_aaaaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "another scheme": "Basic Y3JtOnNlY3JldA==",
    "no scheme": "sk_aaaaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "empty": "Bearer",
    "long": f"Bearer sk_aaaaaaaaaa_{'a' * 5000}",
    "a name of SQL": "Bearer sk_' OR 1=1 --",
}


@pytest.mark.parametrize("which", WRONG_KEYS)
def test_wrong_keys_are_not_signed_in(shared_service: Service, which: str) -> None:
    """Without a key that is honoured nothing is told, and how to send one is."""
    headers = {"Authorization": WRONG_KEYS[which]}
    answer = shared_service.by("nobody").get("/v1/lifecycles", headers=headers)
    assert (answer.status_code, code(answer)) == (401, "not-signed-in")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_key_with_another_secret_is_not_honoured(shared_service: Service) -> None:
    """The id of a key is no secret and opens nothing."""
    key = shared_service.keys["crm"]
    with shared_service.with_key(f"{key[:-4]}AAAA") as guess:
        assert code(guess.get("/v1/lifecycles")) == "not-signed-in"


def test_revoked_key_is_refused_at_once(shared_service: Service) -> None:
    """A key revoked beside the running service is honoured no more, for reading or writing."""
    issued = issue_key(shared_service.database, tool="crm")
    job = new_job(shared_service)
    with shared_service.with_key(issued.key) as crm:
        assert crm.get(job).status_code == 200
        done = command("keys", "revoke", issued.id, *over(shared_service.database))
        assert done.returncode == 0
        answers = (crm.get(job), crm.patch(f"{job}/fields", json={"scope": "x"}))
        assert [code(one) for one in answers] == ["not-signed-in"] * 2


# --- bodies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2**20 + 1, 12_000_000], ids=["1 MiB and a byte", "12 MB"])
@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
def test_client_reads_that_its_body_is_too_large(
    shared_sqlite_service: Service, size: int, *, chunked: bool
) -> None:
    """However large the body, its sender gets to read the refusal."""
    content = b'{"id": "' + b"x" * (size - 10) + b'"}'
    parts = (content[start : start + 65_536] for start in range(0, size, 65_536))
    answer = shared_sqlite_service.by("crm").post(
        "/v1/jobs",
        content=parts if chunked else content,
        headers={"Content-Type": "application/json"},
    )
    assert (answer.status_code, code(answer)) == (413, "body-too-large")
    assert answer.json()["bytes_max"] == 2**20


def test_body_of_a_mebibyte_is_read(shared_service: Service) -> None:
    """What is just small enough is judged by what it says."""
    content = b'{"id": "A", "reason": "so"}'.ljust(2**20)
    headers = {"Content-Type": "application/json"}
    answer = shared_service.by("staff").post("/v1/ships", content=content, headers=headers)
    assert code(answer) == "unknown-collection"


def test_slow_body_holds_up_nobody(shared_sqlite_service: Service) -> None:
    """While one client dawdles over its body others are answered; then it is, too."""
    job = new_job(shared_sqlite_service)
    body = b'{"scope": "slowly"}'
    head = (
        f"PATCH {job}/fields HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Authorization: Bearer {shared_sqlite_service.keys['crm']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", shared_sqlite_service.port), timeout=20) as slow:
        slow.sendall(head.encode() + body[:5])
        assert shared_sqlite_service.by("crm").get(job).json()["version"] == 1
        slow.sendall(body[5:])
        assert slow.makefile("rb").readline().startswith(b"HTTP/1.1 200")
    assert shared_sqlite_service.by("crm").get(job).json()["fields"]["scope"] == "slowly"


def test_body_that_breaks_off_does_nothing(shared_sqlite_service: Service) -> None:
    """A connection that ends before its body leaves no trace and harms nobody."""
    job = new_job(shared_sqlite_service)
    head = (
        f"POST {job}/transitions HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {shared_sqlite_service.keys['crm']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", shared_sqlite_service.port), timeout=20) as broken:
        broken.sendall(head.encode() + b'{"transition": "cancel"}')
    assert shared_sqlite_service.by("crm").get(job).json()["version"] == 1
    assert "fault" not in shared_sqlite_service.said


# --- bad input ------------------------------------------------------------------------------------

NOT_READABLE: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{fields: {}}",
    "half of it": b'{"id": "A',
    "two values": b"{} {}",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a list": b"[]",
    "null": b"null",
    "nested without end": b"[" * 100_000,
    "nested and closed": b'{"fields": {"scope": ' + b"[" * 900_00 + b"]" * 900_00 + b"}}",
    "nested too deep": b'{"fields": {"scope": ' + b"[" * 40 + b"]" * 40 + b"}}",
    "invalid UTF-8": b'{"reason": "\xff\xfe"}',
    "half a surrogate": b'{"reason": "\\ud800"}',
    "a control character": b'{"reason": "a\nb"}',
    "NaN": b'{"fields": {"deposit_due": NaN}}',
    "Infinity": b'{"fields": {"deposit_due": -Infinity}}',
    "a name twice": b'{"id": "A", "id": "B"}',
    "a name twice inside": b'{"fields": {"scope": "a", "scope": "b"}}',
    "a name twice, escaped": b'{"id": "A", "\\u0069d": "B"}',
    "an unknown member": b'{"idd": "A"}',
    "a number for an id": b'{"id": 7}',
    "a number of thousands of digits": b'{"fields": {"scope": ' + b"9" * 5000 + b"}}",
    "an empty id": b'{"id": ""}',
    "an id too long": b'{"id": "' + b"a" * 129 + b'"}',
    "an id of a megabyte": b'{"id": "' + b"a" * 1_000_000 + b'"}',
    "an id with a slash": b'{"id": "a/b"}',
    "an id with a quote": b'{"id": "a\\"b"}',
    "an id with an apostrophe": b'{"id": "a\'b"}',
    "an id with a control character": b'{"id": "a\\u0000b"}',
    "an id with a line's end": b'{"id": "a\\n"}',
    "an id that begins with a dot": b'{"id": ".."}',
    "an id in other letters": '{"id": "Ä-1"}'.encode(),
    "fields that are a list": b'{"fields": []}',
    "a reference that is a number": b'{"references": {"crm": 7}}',
    "an empty reference": b'{"references": {"crm": ""}}',
    "a reference with a control character": b'{"references": {"crm": "a\\u0007"}}',
    "a reference with NUL": b'{"references": {"crm": "a\\u0000"}}',
    "a reference too long": b'{"references": {"crm": "' + b"r" * 201 + b'"}}',
    "a reason that is a number": b'{"reason": 7}',
    "a reason too long": b'{"reason": "' + b"r" * 2001 + b'"}',
    "a time without an offset": b'{"occurred_at": "2026-05-04T10:00:00"}',
    "a day that is none": b'{"occurred_at": "2026-02-30T10:00:00Z"}',
    "since without a state": b'{"since": "2026-05-04T10:00:00Z"}',
}


@pytest.mark.parametrize("which", NOT_READABLE)
def test_what_cannot_be_read_is_malformed(shared_service: Service, which: str) -> None:
    """A body that is not the declared shape is refused as such, whatever is wrong with it."""
    headers = {"Content-Type": "application/json"}
    answer = shared_service.by("crm").post("/v1/jobs", content=NOT_READABLE[which], headers=headers)
    assert (answer.status_code, code(answer)) == (400, "malformed-request"), answer.text
    assert len(answer.content) < 2000


NO_REASONS = (None, "", " ", "\t\n", "\u200b\ufeff", "\u2800")
"""Nothing at all, and what shows nothing: blanks, tabs, zero-width characters."""
OVERRIDES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "a correction": ("POST", "/corrections", {"state": "scheduled"}),
    "an erasing": ("POST", "/erase", {}),
    "a transition": ("POST", "/transitions", {"transition": "cancel"}),
    "a reference": ("PUT", "/references/crm", {"ref": "R-1"}),
}


@pytest.mark.parametrize("which", OVERRIDES)
def test_what_nobody_can_read_is_no_reason(shared_service: Service, which: str) -> None:
    """Staff act with a reason; one that is missing, empty or shows nothing is asked for alike."""
    method, path, body = OVERRIDES[which]
    job, staff = new_job(shared_service), shared_service.by("staff")
    for reason in NO_REASONS:
        asked = body if reason is None else {**body, "reason": reason}
        answer = staff.request(method, job + path, json=asked)
        assert (answer.status_code, code(answer)) == (422, "reason-required"), (reason, answer.text)
    assert staff.get(job).json()["version"] == 1
    for reason in NO_REASONS[1:]:
        answer = staff.patch(f"{job}/fields", json={"scope": "x"}, params={"reason": reason})
        assert (answer.status_code, code(answer)) == (422, "reason-required"), (reason, answer.text)


def test_a_tool_that_gives_no_reason_has_none(shared_service: Service) -> None:
    """What shows nothing is not kept as a reason, where none is needed."""
    job, crm = new_job(shared_service), shared_service.by("crm")
    answer = crm.post(f"{job}/transitions", json={"transition": "cancel", "reason": " \u200b"})
    assert answer.json()["event"]["data"]["reason"] is None


WRONG_VALUES: dict[str, tuple[str, str, str, bytes]] = {
    "negative money": ("accounting", "jobs", "deposit_due", b'"-5.00 USD"'),
    "an unknown currency": ("accounting", "jobs", "deposit_due", b'"5.00 XQQ"'),
    "no currency": ("accounting", "jobs", "deposit_due", b'"5.00"'),
    "too many decimals": ("accounting", "jobs", "deposit_due", b'"5.001 USD"'),
    "decimals of yen": ("accounting", "jobs", "deposit_due", b'"5.50 JPY"'),
    "money as a number": ("accounting", "jobs", "deposit_due", b"5.00"),
    "money without end": ("accounting", "jobs", "deposit_due", b'"' + b"9" * 5000 + b'.00 USD"'),
    "the thirtieth of February": ("projects", "jobs", "scheduled_for", b'"2026-02-30"'),
    "a date with a time": ("projects", "jobs", "scheduled_for", b'"2026-05-11T00:00:00Z"'),
    "a date as a number": ("projects", "jobs", "scheduled_for", b"20260511"),
    "no e-mail": ("crm", "jobs", "email", b'"orders at bakery"'),
    "text with NUL": ("crm", "jobs", "customer_name", b'"a\\u0000b"'),
    "text that is a number": ("crm", "jobs", "customer_name", b"7"),
    "text that is an object": ("crm", "jobs", "customer_name", b'{"a": 1}'),
    "a number past all bounds": ("los", "loans", "conditions_open", b"1e400"),
    "a number too small to tell": ("los", "loans", "conditions_open", b"1e-400"),
    "a number that is text": ("los", "loans", "conditions_open", b'"3"'),
    "a choice that is none": ("los", "loans", "purpose", b'"pleasure"'),
    "a case that is none": ("los", "loans", "client", b'"clients"'),
    "a truth that is text": ("documents", "clients", "identity_seen", b'"true"'),
    "a case with NUL": ("los", "loans", "client", b'"clients/a\\u0000b"'),
    "a case that is nowhere": ("los", "loans", "client", b'"clients/nobody"'),
    "an address with a planet": ("los", "loans", "property_address", b'{"planet": "Mars"}'),
    "an address that is text": ("los", "loans", "property_address", b'"4 Elm Street"'),
    "no telephone": ("crm", "clients", "phone", b'"call me"'),
}


@pytest.mark.parametrize("which", WRONG_VALUES)
def test_value_that_no_format_takes_is_named(shared_service: Service, which: str) -> None:
    """A value that is none of its type is refused with its path, and nothing is recorded."""
    tool, collection, field, value = WRONG_VALUES[which]
    opener = "los" if collection == "loans" else "crm"
    opened = shared_service.by(opener).post(f"/v1/{collection}", json={})
    address = opened.headers["Location"]
    content = b'{"' + field.encode() + b'": ' + value + b"}"
    headers = {"Content-Type": "application/json"}
    answer = shared_service.by(tool).patch(f"{address}/fields", content=content, headers=headers)
    assert (answer.status_code, code(answer)) == (422, "invalid-fields"), answer.text
    assert [wrong["path"] for wrong in answer.json()["errors"]] == [f"fields.{field}"]
    assert len(answer.content) < 2000
    assert shared_service.by(tool).get(address).json()["version"] == 1


ODD_ADDRESSES: dict[str, tuple[str, str]] = {
    "a slash": ("/v1/jobs/a%2Fb", "not-found unknown-case"),
    "a quote": ("/v1/jobs/%22", "unknown-case"),
    "an apostrophe": ("/v1/jobs/'%20OR%201=1", "unknown-case"),
    "NUL": ("/v1/jobs/a%00b", "unknown-case"),
    "a line's end": ("/v1/jobs/a%0Ab", "unknown-case"),
    "no UTF-8": ("/v1/jobs/%FF", "malformed-request"),
    "very long": (f"/v1/jobs/{'a' * 5000}", "unknown-case"),
    "NUL in a collection": ("/v1/a%00b/1", "unknown-collection"),
    "NUL in a reference": ("/v1/tools/crm/jobs/a%00b", "malformed-request"),
    "no UTF-8 in a reference": ("/v1/tools/crm/jobs/%FF", "malformed-request"),
    "a slash in a reference": ("/v1/tools/crm/jobs/a%2Fb/c", "unknown-reference"),
    "an unknown kind": ("/v1/tools/crm/jobs/ship:7", "unknown-reference"),
    "an unknown parameter": ("/v1/jobs/C-1?colour=red", "malformed-request"),
    "a parameter twice": ("/v1/jobs/C-1?version=1&version=2", "malformed-request"),
    "version nought": ("/v1/jobs/C-1?version=0", "malformed-request"),
    "a version past all bounds": (f"/v1/jobs/C-1?version={'9' * 400}", "malformed-request"),
    "a version in other digits": ("/v1/jobs/C-1?version=%D9%A1", "malformed-request"),
    "a time that is none": ("/v1/jobs/C-1?at=yesterday", "malformed-request"),
    "a time without an offset": ("/v1/jobs/C-1?known_at=2026-05-04T10:00:00", "malformed-request"),
}


@pytest.mark.parametrize("which", ODD_ADDRESSES)
def test_odd_addresses_are_answered_clearly(shared_service: Service, which: str) -> None:
    """Whatever stands in an address, the answer is a problem that says what is wrong with it."""
    new_job(shared_service)
    address, expected = ODD_ADDRESSES[which]
    answer = shared_service.by("crm").get(address)
    assert code(answer) in expected.split(), answer.text
    assert len(answer.content) < 2000


@pytest.mark.parametrize(
    "headers",
    [
        {"Idempotency-Key": ""},
        {"Idempotency-Key": "k" * 256},
        {"Idempotency-Key": "ключ".encode()},
        {"Idempotency-Key": b"a\tb"},
        {"If-Match": "4"},
        {"If-Match": '"' + "9" * 40 + '"'},
        {"Statekeeper-Position": "-1"},
        {"Statekeeper-Position": "9" * 40},
    ],
    ids=str,
)
def test_odd_headers_are_malformed(
    shared_service: Service, headers: dict[str, str | bytes]
) -> None:
    """A header that cannot mean anything is refused, never guessed at."""
    job = new_job(shared_service)
    sent = [
        (name.encode(), value if isinstance(value, bytes) else value.encode())
        for name, value in headers.items()
    ]
    answer = shared_service.by("crm").patch(f"{job}/fields", json={"scope": "x"}, headers=sent)
    assert (answer.status_code, code(answer)) == (400, "malformed-request")
    assert shared_service.by("crm").get(job).json()["version"] == 1


def test_odd_text_is_kept_as_it_is(shared_service: Service) -> None:
    """Quotes, backslashes, other alphabets and pictures in a text are only text."""
    odd = "O'Brien & \"Söhne\" \\ %s {} '); DROP TABLE stored_events; -- Ω 漢字 🧱 \u202e"
    job = new_job(shared_service, fields={"customer_name": odd}, references={"crm": f"{odd}"[:99]})
    crm = shared_service.by("crm")
    assert crm.get(job).json()["fields"]["customer_name"] == odd
    assert crm.get(job).json()["references"] == {"crm": [odd]}


def test_nothing_of_all_this_was_a_fault(shared_service: Service) -> None:
    """After every bad input the service has found no fault of its own, and is ready."""
    shared_service.by("crm").post("/v1/jobs", content=b"\x00" * 1000)
    assert '"event":"fault"' not in shared_service.said
    assert "Traceback" not in shared_service.said
    assert shared_service.ready
