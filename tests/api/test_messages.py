"""What was heard, over HTTP: listed, shown whole, decided again."""

import itertools
from typing import Any

import httpx
import pytest

from api.paging import paged
from tests.running import Service

NUMBERS = itertools.count(1)
STAGE = {"status_field": "dealstage"}


@pytest.fixture
def job(shared_service: Service) -> str:
    """A job of the test's own, quoted, of which the CRM has said three things."""
    name = f"M-{next(NUMBERS)}"
    opened = {"id": name, "fields": {"scope": "A roof"}}
    assert shared_service.by("crm").post("/v1/jobs", json=opened).status_code == 201
    said(shared_service, "crm", id=name, word="presentationscheduled", event_id=f"{name}-1")
    said(shared_service, "crm", id=name, word="closedwon", event_id=f"{name}-2")
    said(shared_service, "crm", id=name, word="nonsense", event_id=f"{name}-3")
    return name


def said(service: Service, tool: str, **report: Any) -> dict[str, Any]:
    """Have a tool say something; gives what became of it."""
    body = {"collection": "jobs", **(STAGE if tool == "crm" else {}), **report}
    answer = service.by(tool).post(f"/v1/tools/{tool}/reports", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def asked(service: Service, method: str, path: str, by: str = "staff", **more: Any) -> Any:
    """Ask for what the read models have seen by now."""
    last = service.by("staff").get("/v1/events?limit=1").headers["statekeeper-position"]
    seen = {"Statekeeper-Position": last}
    answer = service.by(by).request(method, path, headers=seen, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def listed(service: Service, job: str, by: str = "staff", **filters: Any) -> list[Any]:
    """The messages about a job."""
    params = {"collection": "jobs", "id": job, **filters}
    items: list[Any] = asked(service, "GET", "/v1/messages", by, params=params)["items"]
    return items


def test_what_was_heard_is_listed_newest_first(shared_service: Service, job: str) -> None:
    """Each message stands once, with what became of it and the case that it is about."""
    items = listed(shared_service, job)
    assert [one["outcome"] for one in items] == ["parked", "drift", "agrees"]
    parked, drift, _ = items
    assert (parked["why"], parked["word"], parked["case"]) == (
        "unknown-word",
        "nonsense",
        f"jobs/{job}",
    )
    assert (drift["expected"], drift["times"]) == ("presentationscheduled", 1)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"outcome": "drift"}, ["drift"]),
        ({"why": "unknown-word"}, ["parked"]),
        ({"tool": "crm", "outcome": "agrees"}, ["agrees"]),
        ({"tool": "projects"}, []),
        ({"since": "2100-01-01T00:00:00Z"}, []),
        ({"until": "2100-01-01T00:00:00Z", "outcome": "parked"}, ["parked"]),
    ],
)
def test_filters_hold_together(
    shared_service: Service, job: str, filters: dict[str, str], expected: list[str]
) -> None:
    """Everything that is asked for must be so."""
    items = listed(shared_service, job, **filters)
    assert [one["outcome"] for one in items] == expected


def test_pages_hold_each_message_once(shared_service: Service, job: str) -> None:
    """Page by page the whole list comes, and a cursor goes on in its own list only."""
    crm, seen = shared_service.by("crm"), list[str]()
    cursor: dict[str, str] = {}
    whole = [one["id"] for one in listed(shared_service, job)]
    while True:
        page = crm.get(
            "/v1/messages", params={"collection": "jobs", "id": job, "limit": 1, **cursor}
        ).json()
        seen += [one["id"] for one in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
        other = crm.get("/v1/messages", params={"limit": 1, **cursor})
        assert other.status_code == httpx.codes.BAD_REQUEST
    assert seen == whole


def test_a_tool_sees_its_own(shared_service: Service, job: str) -> None:
    """What others said is none of a tool's business, by list or by id."""
    said(shared_service, "projects", id=job, word="upcoming")
    assert {one["tool"] for one in listed(shared_service, job, "crm")} == {"crm"}
    assert {one["tool"] for one in listed(shared_service, job)} == {"crm", "projects"}
    (theirs,) = listed(shared_service, job, tool="projects")
    crm = shared_service.by("crm")
    assert crm.get(f"/v1/messages/{theirs['id']}").status_code == httpx.codes.NOT_FOUND
    assert crm.get("/v1/messages?tool=projects").status_code == httpx.codes.FORBIDDEN
    again = crm.post(f"/v1/messages/{theirs['id']}/retry", json={})
    assert again.status_code == httpx.codes.NOT_FOUND


def test_a_message_tells_what_it_changed(shared_service: Service, job: str) -> None:
    """One message is shown with what was said, what became of it, and what it caused."""
    answer = said(shared_service, "crm", id=job, fields={"scope": "A tower"}, word="closedlost")
    shown = asked(shared_service, "GET", f"/v1/messages/{answer['message']}")
    assert (shown["outcome"], shown["values"]) == ("applied", {"scope": "A tower"})
    assert [one["type"] for one in shown["became"]] == ["Heard"]
    assert [one["type"] for one in shown["caused"]][:1] == ["TransitionMade"]
    assert shown["raw"] is None


def test_what_comes_again_is_counted(shared_service: Service, job: str) -> None:
    """A message that comes many times is one row, and as often as it came it is told so."""
    for _ in range(25):
        again = said(shared_service, "crm", id=job, word="closedwon", event_id=f"{job}-2")
        assert again["outcome"] == "duplicate"
    (drift,) = listed(shared_service, job, outcome="drift")
    assert drift["times"] == 1 + 25
    assert listed(shared_service, job, outcome="duplicate") == [drift]
    assert listed(shared_service, job, outcome="duplicate", tool="projects") == []


def test_a_message_is_decided_again(shared_service: Service, job: str) -> None:
    """What was too much then may be right now; nobody has to say why."""
    (drift,) = listed(shared_service, job, outcome="drift")
    path = f"/v1/messages/{drift['id']}/retry"
    assert asked(shared_service, "POST", path)["outcome"] == "drift"
    same = asked(shared_service, "POST", path, json={"reason": "to see"})
    assert (same["outcome"], len(same["became"])) == ("drift", 1)
    paid = {"deposit_due": "5.00 USD", "deposit_paid": "5.00 USD"}
    said(shared_service, "accounting", id=job, fields=paid)
    now = asked(shared_service, "POST", path, "crm", json={})
    assert (now["outcome"], now["why"]) == ("agrees", "")
    assert [one["type"] for one in now["became"]] == ["Heard", "Understood"]
    # What is settled stays so.
    assert asked(shared_service, "POST", path, "crm", json={})["became"] == now["became"]


def test_many_are_planned_and_decided_again(shared_service: Service, job: str) -> None:
    """The plan counts and changes nothing; the run tells what became of each, oldest first."""
    where = {"collection": "jobs", "id": job}
    plan = asked(shared_service, "POST", "/v1/messages/retry", json={**where, "plan": True})
    assert (plan["count"], len(plan["sample"])) == (3, 3)
    paid = {"deposit_due": "5.00 USD", "deposit_paid": "5.00 USD"}
    said(shared_service, "accounting", id=job, fields=paid)
    what = {**where, "tool": "crm", "reason": "it was mended"}
    done = asked(shared_service, "POST", "/v1/messages/retry", json=what)
    became = [(one["was"], one["outcome"]) for one in done["items"]]
    assert became == [("agrees", "agrees"), ("drift", "agrees"), ("parked", "parked")]
    assert done["count"] == 3


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("outcome=lost", 400),
        ("limit=0", 400),
        ("limit=501", 400),
        ("limit=000000001" + "9" * 30, 400),
        ("cursor=zzz", 400),
        ("id=J-1", 400),
        ("since=yesterday", 400),
        ("colour=red", 400),
        ("collection=yachts", 404),
        ("tool=fax", 404),
    ],
)
def test_what_cannot_be_asked_is_refused(
    shared_sqlite_service: Service, query: str, status: int
) -> None:
    """A filter that means nothing is a mistake, and is told as one."""
    answer = shared_sqlite_service.by("staff").get(f"/v1/messages?{query}")
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize("position", [2**63, 10**40, -1])
def test_a_cursor_that_no_database_could_look_for_is_refused(
    shared_service: Service, position: int
) -> None:
    """Whoever writes a cursor of their own is told so, however far it leads."""
    cursor = paged({}, of="messages").next(position)
    answer = shared_service.by("staff").get("/v1/messages", params={"cursor": cursor})
    assert answer.status_code == 400, answer.text
    assert "not one that this service gave" in answer.json()["detail"]


def test_what_is_kept_is_counted(shared_service: Service, job: str) -> None:
    """The metrics have every message that was ever heard, by tool and outcome."""
    listed(shared_service, job)
    text = shared_service.by("nobody").get("/metrics").text
    assert 'statekeeper_messages_kept{outcome="parked",tool="crm"}' in text
    assert 'statekeeper_drift{state="standing",tool="crm"}' in text
