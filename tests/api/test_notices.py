"""What tools are told, over HTTP: listed, shown to who may see it, ticked off, told after all."""

import itertools
from typing import Any

import httpx
import pytest

from api.missing import MEANT
from api.notices import RecoverMany
from tests.api.test_messages import asked
from tests.running import Service

NUMBERS = itertools.count(1)


@pytest.fixture
def job(shared_service: Service) -> str:
    """A job of the test's own, of which its tools are due the first words."""
    name = f"N-{next(NUMBERS)}"
    opened = {"id": name, "fields": {"email": "orders@bakery.example"}}
    assert shared_service.by("crm").post("/v1/jobs", json=opened).status_code == 201
    return name


def listed(service: Service, job: str, by: str = "staff", **filters: Any) -> list[Any]:
    """What tools are told of a job."""
    params = {"collection": "jobs", "id": job, **filters}
    items: list[Any] = asked(service, "GET", "/v1/notices", by, params=params)["items"]
    return items


def test_what_is_due_is_listed(shared_service: Service, job: str) -> None:
    """Each notice stands with what it tells, to whom, and that it waits."""
    told = {(one["tool"], one["type"], one["word"]) for one in listed(shared_service, job)}
    assert ("accounting", "case.word_changed", "Estimate sent") in told
    assert ("projects", "case.fields_changed", "") in told
    assert {one["state"] for one in listed(shared_service, job)} == {"waiting"}
    assert listed(shared_service, job, state="delivered") == []


def test_a_notice_shows_its_body_to_those_it_is_for(shared_service: Service, job: str) -> None:
    """Staff and the tool see what is posted; other tools do not even see that it is."""
    (notice,) = listed(shared_service, job, "projects")
    for who in ("staff", "projects"):
        body = asked(shared_service, "GET", f"/v1/notices/{notice['id']}", who)["body"]
        assert body["data"]["fields"] == {"clientEmail": "orders@bakery.example"}
    other = shared_service.by("crm").get(f"/v1/notices/{notice['id']}")
    assert other.status_code == httpx.codes.NOT_FOUND


def test_an_erased_value_is_not_shown(shared_service: Service, job: str) -> None:
    """What a notice carried is unreadable once the case is erased, and need not be told."""
    (notice,) = listed(shared_service, job, "projects")
    erased = shared_service.by("staff").post(f"/v1/jobs/{job}/erase", json={"reason": "asked to"})
    assert erased.status_code == 200
    shown = asked(shared_service, "GET", f"/v1/notices/{notice['id']}")
    assert shown["body"]["data"]["fields"] == {"clientEmail": "erased"}
    assert (shown["state"], shown["ended_why"]) == ("superseded", "erased")


def test_staff_tick_off_what_they_have_carried(shared_service: Service, job: str) -> None:
    """A notice that a person took to the tool is delivered, by them; once is enough."""
    (notice,) = listed(shared_service, job, tool="accounting")
    path = f"/v1/notices/{notice['id']}/delivered"
    no = shared_service.by("accounting").post(path, json={})
    assert (no.status_code, no.json()["type"]) == (403, "/problems/staff-only")
    for body in ({}, {"reason": "by telephone"}):
        shown = asked(shared_service, "POST", path, json=body)
        assert (shown["state"], shown["status"]) == ("delivered", None)
        assert [one["type"] for one in shown["became"]] == ["NoticeDue", "NoticeDelivered"]
    told = asked(shared_service, "GET", f"/v1/jobs/{job}/why")["told"]
    (stage,) = [one for one in told if one["tool"] == "accounting"]
    assert (stage["outcome"], stage["word"]) == ("delivered", "Estimate sent")


def test_what_waits_is_told_at_once(shared_service: Service, job: str) -> None:
    """To retry is an act with a reason, and stands in the history of the notice."""
    (notice,) = listed(shared_service, job, tool="accounting")
    path = f"/v1/notices/{notice['id']}/retry"
    shown = asked(shared_service, "POST", path, json={"reason": "it is back"})
    assert [one["type"] for one in shown["became"]] == ["NoticeDue", "NoticeRecovered"]
    where = {"collection": "jobs", "id": job, "state": "waiting"}
    plan = asked(shared_service, "POST", "/v1/notices/recover", json={**where, "plan": True})
    assert plan["count"] == len(listed(shared_service, job))
    what = {**where, "tool": "accounting", "reason": "it is back"}
    done = asked(shared_service, "POST", "/v1/notices/recover", json=what)
    assert done["items"] == [{"id": notice["id"], "outcome": "waiting", "was": "waiting"}]


def test_a_key_tells_once(shared_service: Service, job: str) -> None:
    """The same again is answered as of then; another ask under the key is refused."""
    (notice,) = listed(shared_service, job, tool="accounting")
    path, key = f"/v1/notices/{notice['id']}", {"Idempotency-Key": f"{job}-again"}
    staff, body = shared_service.by("staff"), {"reason": "they are back"}
    first = staff.post(f"{path}/retry", json=body, headers=key)
    other = staff.post(f"{path}/retry", json={"reason": "because"}, headers=key)
    assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-key-reused")
    ticked = {"Idempotency-Key": f"{job}-ticked"}
    done = staff.post(f"{path}/delivered", json=body, headers=ticked)
    assert done.json()["state"] == "delivered"
    again = staff.post(f"{path}/retry", json=body, headers=key)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
    assert again.json() | {"waits": None} == first.json() | {"waits": None}
    twice = staff.post(f"{path}/delivered", json=body, headers=ticked)
    assert (twice.json(), twice.headers["idempotency-replayed"]) == (done.json(), "true")


def test_what_waits_says_why(shared_service: Service, job: str) -> None:
    """Where no address is set, and where a person carries it; what has ended waits no more."""
    why = {one["tool"]: one["waits"] for one in listed(shared_service, job)}
    assert why["crm"]["why"] == "by-hand"
    assert why["accounting"] == {
        "why": "no-address",
        "detail": "no address: ACCOUNTING_URL is not set",
        "since": None,
        "until": None,
    }
    (notice,) = listed(shared_service, job, tool="accounting")
    path = f"/v1/notices/{notice['id']}"
    assert asked(shared_service, "GET", path)["waits"] == why["accounting"]
    asked(shared_service, "POST", f"{path}/delivered", json={"reason": "by telephone"})
    assert asked(shared_service, "GET", path)["waits"] is None


# --- what is missing ----------------------------------------------------------------------------


@pytest.fixture
def imported(shared_service: Service) -> str:
    """A job of the test's own that came by an import, of which no tool was told."""
    name = f"N-{next(NUMBERS)}"
    line = {"do": "open", "id": name}
    lines = {"Content-Type": "application/x-ndjson"}
    answer = shared_service.by("crm").post("/v1/jobs/import", json=line, headers=lines)
    assert answer.json()["status"] == 201
    return name


def test_what_is_missing_is_planned_and_told(shared_service: Service, imported: str) -> None:
    """What nobody told a tool, and nobody will, is found by looking, and becomes due."""
    assert listed(shared_service, imported) == []
    what = {"collection": "jobs", "id": imported, "state": "missing"}
    path = "/v1/notices/recover"
    plan = asked(shared_service, "POST", path, json={**what, "plan": True})
    assert plan["count"] == len(plan["sample"]) == 2
    words = {one["tool"]: one["words"] for one in plan["sample"]}
    assert words == {
        "accounting": {"stage": "Estimate sent"},
        "crm": {"dealstage": "presentationscheduled"},
    }
    assert listed(shared_service, imported) == []
    done = asked(shared_service, "POST", path, json={**what, "reason": "the flow is new"})
    assert [(one["was"], one["outcome"]) for one in done["items"]] == [("missing", "waiting")] * 2
    due = {(one["tool"], one["word"], one["why"]) for one in listed(shared_service, imported)}
    assert due == {
        ("accounting", "Estimate sent", "missing"),
        ("crm", "presentationscheduled", "missing"),
    }
    assert asked(shared_service, "POST", path, json={**what, "plan": True})["count"] == 0


def test_what_is_missing_is_found_among_all_cases(shared_service: Service, imported: str) -> None:
    """Page by page, whatever else there is; of one tool, or of one collection."""
    what = {"state": "missing", "tool": "accounting", "collection": "jobs", "reason": "it is new"}
    done = asked(shared_service, "POST", "/v1/notices/recover", json=what)
    assert f"accounting jobs/{imported}" in {one["id"] for one in done["items"]}
    assert {one["id"].partition("/")[0] for one in done["items"]} == {"accounting jobs"}


def test_what_is_missing_is_for_staff(shared_service: Service, imported: str) -> None:
    """By filters that mean something of what is no notice yet."""
    of_notices = set(RecoverMany.__struct_fields__) - {"plan", *MEANT}
    assert {"since", "ended_since", "type"} <= of_notices
    asked_for: list[tuple[str, dict[str, str], int, str]] = [
        ("accounting", {}, 403, "staff-only"),
        ("staff", {"tool": "fax"}, 404, "unknown-tool"),
        *(("staff", {one: "given-up"}, 400, "malformed-request") for one in of_notices),
    ]
    for by, more, status, code in asked_for:
        what = {"state": "missing", "collection": "jobs", "id": imported, "plan": True, **more}
        answer = shared_service.by(by).post("/v1/notices/recover", json=what)
        assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{code}")


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("state=lost", "waiting, delivered, superseded, given-up"),
        ("type=word", "case.word_changed, case.fields_changed, case.request"),
        ("tool=fax", "accounting, "),
        ("collection=yachts", "clients"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_by_what_can(
    shared_sqlite_service: Service, query: str, named: str
) -> None:
    """A filter that means nothing is a mistake; the refusal names what would be none."""
    answer = shared_sqlite_service.by("staff").get(f"/v1/notices?{query}")
    assert answer.status_code in {400, 404}
    assert named in answer.json()["detail"]


def test_notices_are_found_by_type(shared_service: Service, job: str) -> None:
    """Words, facts and requests are told apart."""
    (facts,) = listed(shared_service, job, type="case.fields_changed")
    assert facts["tool"] == "projects"
    words = listed(shared_service, job, type="case.word_changed", tool="accounting")
    assert [one["word"] for one in words] == ["Estimate sent"]
    assert listed(shared_service, job, type="case.request") == []
