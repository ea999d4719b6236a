"""What tools are told, over HTTP: listed, shown to who may see it, ticked off, told after all."""

import itertools
from typing import Any

import httpx
import pytest

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
    without = shared_service.by("staff").post(path, json={})
    assert without.json()["type"] == "/problems/reason-required"
    for _ in range(2):
        shown = asked(shared_service, "POST", path, json={"reason": "by telephone"})
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
