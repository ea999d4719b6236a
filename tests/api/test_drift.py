"""Where tools differ, over HTTP: listed, settled, and found among the cases."""

import itertools
from typing import Any

import httpx
import pytest

from tests.api.test_messages import asked, said
from tests.running import Service

NUMBERS = itertools.count(1)
OTHER = "other@bakery.example"


@pytest.fixture
def job(shared_service: Service) -> str:
    """A job of the test's own, from which the books and the crews differ."""
    name = f"D-{next(NUMBERS)}"
    opened = {"id": name, "fields": {"email": "orders@bakery.example"}}
    assert shared_service.by("crm").post("/v1/jobs", json=opened).status_code == 201
    void = {"status_field": "stage", "word": "Void"}
    assert said(shared_service, "accounting", id=name, **void)["outcome"] == "drift"
    said(shared_service, "projects", id=name, fields={"email": OTHER})
    return name


def listed(service: Service, job: str, by: str = "staff", **filters: Any) -> list[Any]:
    """Where tools differ about a job."""
    params = {"collection": "jobs", "id": job, **filters}
    items: list[Any] = asked(service, "GET", "/v1/drift", by, params=params)["items"]
    return items


def settle(service: Service, drift: str, how: str, by: str = "staff", **more: Any) -> Any:
    """Have a difference settled; gives the answer."""
    body = {"how": how, "reason": "they called", **more}
    return service.by(by).post(f"/v1/drift/{drift}/resolve", json=body)


def test_differences_are_listed(shared_service: Service, job: str) -> None:
    """Who says what, what is true, since when and why it was not taken: of words and of fields."""
    field, word = listed(shared_service, job)
    assert (word["tool"], word["field"], word["is_word"]) == ("accounting", "stage", True)
    assert (word["reported"], word["expected"], word["why"]) == (
        "Void",
        "Estimate sent",
        "not-the-owner",
    )
    assert (field["tool"], field["reported"], field["expected"]) == (
        "projects",
        OTHER,
        "orders@bakery.example",
    )
    message = asked(shared_service, "GET", f"/v1/messages/{word['message']}")
    assert message["word"] == "Void"


def test_a_tool_sees_its_own(shared_service: Service, job: str) -> None:
    """What others differ in is none of a tool's business."""
    assert [one["tool"] for one in listed(shared_service, job, "projects")] == ["projects"]
    assert listed(shared_service, job, "crm") == []
    crm = shared_service.by("crm")
    assert crm.get("/v1/drift?tool=projects").status_code == httpx.codes.FORBIDDEN
    (word,) = listed(shared_service, job, tool="accounting")
    assert settle(shared_service, word["id"], "dismiss", "crm").status_code == 403


def test_accepting_moves_the_case(shared_service: Service, job: str) -> None:
    """The books say that it is off, staff believe it: the case is cancelled, and it shows."""
    (word,) = listed(shared_service, job, tool="accounting")
    answer = settle(shared_service, word["id"], "accept")
    assert (answer.status_code, answer.json()["case"]["state"]) == (200, "cancelled")
    assert listed(shared_service, job, tool="accounting") == []
    (settled,) = listed(shared_service, job, tool="accounting", state="resolved")
    assert (settled["how"], settled["reason"]) == ("accepted", "they called")
    again = settle(shared_service, word["id"], "accept")
    assert (again.status_code, again.json()["type"]) == (404, "/problems/not-found")
    history = asked(shared_service, "GET", f"/v1/jobs/{job}/history")["items"]
    assert "DriftResolved" in [one["type"] for one in history]


def test_an_idempotency_key_settles_once(shared_service: Service, job: str) -> None:
    """The same request again is given the first answer, though there is nothing left to settle."""
    (field,) = listed(shared_service, job, tool="projects")
    path, key = f"/v1/drift/{field['id']}/resolve", {"Idempotency-Key": f"{job}-accept"}
    body = {"how": "accept", "reason": "they called"}
    first = shared_service.by("staff").post(path, json=body, headers=key)
    assert first.json()["case"]["fields"]["email"] == OTHER
    asked(shared_service, "GET", "/v1/drift")
    again = shared_service.by("staff").post(path, json=body, headers=key)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
    assert again.json()["case"]["version"] == first.json()["case"]["version"]


def test_what_is_dismissed_is_not_in_the_way(shared_service: Service, job: str) -> None:
    """It is listed where it is asked for, with its time."""
    (word,) = listed(shared_service, job, tool="accounting")
    until = "2100-01-01T00:00:00Z"
    assert settle(shared_service, word["id"], "dismiss", until=until).status_code == 200
    assert listed(shared_service, job, tool="accounting") == []
    (dismissed,) = listed(shared_service, job, tool="accounting", state="dismissed")
    assert dismissed["dismissed_until"] == "2100-01-01T00:00:00.000Z"
    late = settle(shared_service, word["id"], "tell", until=until)
    assert (late.status_code, late.json()["type"]) == (400, "/problems/malformed-request")


def test_telling_again_is_a_notice(shared_service: Service, job: str) -> None:
    """What staff have told again is due, with why."""
    (word,) = listed(shared_service, job, tool="accounting")
    assert settle(shared_service, word["id"], "tell").status_code == 200
    params = {"collection": "jobs", "id": job, "tool": "accounting"}
    items = asked(shared_service, "GET", "/v1/notices", params=params)["items"]
    assert {one["word"] for one in items} == {"Estimate sent"}


def test_cases_that_tools_differ_from_are_listed(shared_service: Service, job: str) -> None:
    """Staff find them among the cases; a tool finds those that it differs from itself."""
    found = asked(shared_service, "GET", "/v1/jobs?drift=true&limit=500")["items"]
    assert job in {one["id"] for one in found}
    crm = asked(shared_service, "GET", "/v1/jobs?drift=true&limit=500", "crm")["items"]
    assert job not in {one["id"] for one in crm}
    for drift in listed(shared_service, job):
        settle(shared_service, drift["id"], "dismiss")
    after = asked(shared_service, "GET", "/v1/jobs?drift=true&limit=500&state=quoted")["items"]
    assert job not in {one["id"] for one in after}


def test_why_says_how_tools_stand(shared_service: Service, job: str) -> None:
    """Who asks why a tool shows something else is told, of each tool that was spoken with."""
    told = asked(shared_service, "GET", f"/v1/jobs/{job}/why")["told"]
    (stage,) = [one for one in told if one["tool"] == "accounting"]
    assert (stage["word"], stage["shown"]) == ("Estimate sent", "Void")
    own = asked(shared_service, "GET", f"/v1/jobs/{job}/why", "projects")["told"]
    assert {one["tool"] for one in own} <= {"projects"}


def test_the_log_shows_a_tool_its_own(shared_service: Service, job: str) -> None:
    """Events between another tool and Statekeeper are not in the log that a tool reads."""
    seen: list[Any] = []
    after: int | None = 0
    while after is not None:
        page = asked(shared_service, "GET", f"/v1/events?limit=500&after={after}", "projects")
        seen += [one for one in page["items"] if one["id"] == job]
        after = page["next"]
    tools = {one["data"]["tool"] for one in seen if one["type"].startswith(("Drift", "Notice"))}
    assert tools == {"projects"}
