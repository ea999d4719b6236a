"""A tool that says that it wants to be told nothing any more, and changes its mind."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.databases import NewDatabase
from tests.projections.tools import SECRET, FakeTool, Reply, fake_tools
from tests.running import Service, running_service, until
from tests.walks.walking import Walk


@pytest.fixture
def books() -> Iterator[FakeTool]:
    """The books, listening."""
    with fake_tools() as (books,):
        yield books


@pytest.fixture
def firm(new_database: NewDatabase, tmp_path: Path, books: FakeTool) -> Iterator[Service]:
    """The service, which knows where they listen."""
    environment = {"ACCOUNTING_URL": books.url, "ACCOUNTING_SECRET": SECRET}
    with running_service(new_database(), tmp_path, environment=environment) as service:
        yield service


def notices(service: Service, **query: str) -> list[dict[str, Any]]:
    """What tools are told."""
    items: list[dict[str, Any]] = (
        service.by("staff").get("/v1/notices", params=query).json()["items"]
    )
    return items


def states(service: Service, tool: str) -> dict[str, int]:
    """How many notices of a tool there are in each state."""
    counted: dict[str, int] = {}
    for one in notices(service, tool=tool):
        counted[one["state"]] = counted.get(one["state"], 0) + 1
    return counted


def happened(service: Service, kind: str) -> int:
    """How many events of a type there are."""
    items = service.by("staff").get("/v1/events", params={"limit": 500}).json()["items"]
    return sum(one["type"] == kind for one in items)


def test_a_tool_that_wants_nothing_is_told_again_once_staff_say_so(
    firm: Service, books: FakeTool
) -> None:
    """410 stops the flow; to recover what waits starts it, and everything is told."""
    staff = firm.by("staff")
    books.answers(Reply(status=410))
    Walk(firm, "jobs/T-1").opened("crm", {})
    until(lambda: happened(firm, "FlowStopped") == 1, "the flow has stopped")
    before = len(books.posts)
    Walk(firm, "jobs/T-2").opened("crm", {})
    until(lambda: states(firm, "accounting") == {"waiting": 2}, "both wait")
    assert len(books.posts) == before
    why = [one["waits"] for one in notices(firm, tool="accounting")]
    assert {(one["why"], one["since"] is not None, one["until"]) for one in why} == {
        ("stopped", True, None)
    }
    assert all("410" in one["detail"] for one in why)
    books.answers(Reply())
    for who, count in (({}, 2), ({"tool": "accounting"}, 2), ({"tool": "projects"}, 0)):
        plan = staff.post("/v1/notices/recover", json={**who, "plan": True})
        assert plan.json()["count"] == count
    assert staff.post("/v1/notices/recover", json={}).status_code == 200
    until(lambda: states(firm, "accounting") == {"delivered": 2}, "both are told")
    until(lambda: happened(firm, "FlowRecovered") == 1, "the steward hears of it, once")
