"""A field-service job, of which two tools are told each step in their own words."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.databases import NewDatabase
from tests.projections.tools import SECRET, FakeTool, Reply, fake_tools
from tests.running import Service, command, over, running_service, until
from tests.walks.walking import Walk


@pytest.fixture
def tools() -> Iterator[dict[str, FakeTool]]:
    """The books and the crew's tool, listening."""
    with fake_tools(2) as (books, crew):
        yield {"accounting": books, "projects": crew}


@pytest.fixture
def firm(
    new_database: NewDatabase, tmp_path: Path, tools: dict[str, FakeTool]
) -> Iterator[Service]:
    """The service, which knows where both listen; killed and started again within a walk."""
    environment = {
        f"{tool.upper()}_{name}": value
        for tool, fake in tools.items()
        for name, value in (("URL", fake.url), ("SECRET", SECRET))
    }
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


def words(tool: FakeTool) -> list[str]:
    """The words that a tool was told, each notice once, in order."""
    first = {post.id: post.data["word"] for post in list(tool.posts) if "word" in post.data}
    return list(first.values())


def stopped(service: Service) -> bool:
    """Whether a tool has said that it wants nothing any more."""
    items = service.by("staff").get("/v1/events", params={"limit": 500}).json()["items"]
    return any(one["type"] == "FlowStopped" for one in items)


def test_two_tools_are_told_each_step_in_their_own_words(
    firm: Service, tools: dict[str, FakeTool]
) -> None:
    """From the quotation to the invoice, in order, signed; killed in between, nothing is lost."""
    books, crew = tools["accounting"], tools["projects"]
    job = Walk(firm, "jobs/T-1")
    job.opened("crm", {"email": "a@bakery.example", "customer_name": "Bakery"})
    until(lambda: words(books) == ["Estimate sent"], "the books are told of the quotation")
    job.told("accounting", "quoted", deposit_due="500.00 USD")
    job.told("accounting", "deposit_confirmed", deposit_paid="500.00 USD")
    until(lambda: words(crew) == ["unscheduled"], "the crew is told that there is a job")
    job.moved("projects", "schedule", "scheduled", scheduled_for="2026-05-18")
    firm.kill()
    firm.start()
    until(lambda: words(crew)[-1] == "upcoming", "the crew is told when")
    job.moved("projects", "complete", "completed")
    until(lambda: words(crew)[-1] == "requires_invoicing", "the crew is told that it is done")
    job.moved("accounting", "invoice", "invoiced", invoice_no="INV-7")
    until(lambda: words(crew)[-1] == "archived", "the crew is told that it is over")
    until(lambda: words(books)[-1] == "Invoiced", "the books are told the word for it")
    assert words(crew) == ["unscheduled", "upcoming", "requires_invoicing", "archived"]
    (request,) = {post.id: post for post in books.posts if "request" in post.data}.values()
    assert request.data["request"] == "create_invoice"
    assert request.data["with"] == {"customer_name": "Bakery", "email": "a@bakery.example"}
    until(lambda: "waiting" not in states(firm, "projects"), "all of it is known to be told")
    shown = firm.by("projects").get(f"{job.address}/why").json()["told"]
    assert {(one["word"], one["outcome"]) for one in shown} == {("archived", "delivered")}
    verified = command("verify", *over(firm.database))
    assert verified.returncode == 0, verified.stderr


def test_a_tool_that_wants_nothing_is_told_again_once_staff_say_so(
    firm: Service, tools: dict[str, FakeTool]
) -> None:
    """410 stops the flow; to recover what waits starts it, and everything is told."""
    books, staff = tools["accounting"], firm.by("staff")
    books.answers(Reply(status=410))
    Walk(firm, "jobs/T-1").opened("crm", {})
    until(lambda: stopped(firm), "the flow has stopped")
    before = len(books.posts)
    Walk(firm, "jobs/T-2").opened("crm", {})
    until(lambda: states(firm, "accounting") == {"waiting": 2}, "both wait")
    assert len(books.posts) == before
    books.answers(Reply())
    what = {"tool": "accounting", "state": "waiting", "reason": "their server is back"}
    assert staff.post("/v1/notices/recover", json=what).status_code == 200
    until(lambda: states(firm, "accounting") == {"delivered": 2}, "both are told")
