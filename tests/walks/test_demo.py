"""`statekeeper demo`: what a newcomer has to look at afterwards."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx

from tests.running import Service, command, over, until
from tests.walks.walking import Walk


def played(service: Service) -> dict[str, Any]:
    """Play the demo against a service, and give what it tells."""
    done = command("demo", "--url", service.url, "--json", *over(service.database))
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def events(service: Service, case: str) -> list[dict[str, Any]]:
    """What happened to a case, without what its tools were to be told of it."""
    return [
        event
        for event in Walk(service, case).events()
        if not event["type"].startswith(("Notice", "Reaction"))
    ]


def test_demo_leaves_jobs_in_every_state_and_one_of_everything(service: Service) -> None:
    """Played twice, it leaves as many jobs again, in all states, each incident with its example."""
    first, second = played(service), played(service)
    assert sum(first["states"].values()) >= 40
    assert set(first["states"]) == {
        "quoted",
        "deposit_confirmed",
        "scheduled",
        "completed",
        "invoiced",
        "cancelled",
    }
    assert first["states"] == second["states"]
    examples = {what.split()[-1]: case for what, case in first["look_at"].items()}
    assert set(first["look_at"].values()).isdisjoint(second["look_at"].values())
    moved = events(service, examples["place"])[-1]
    assert (moved["type"], moved["data"]["override"]) == ("TransitionMade", True)
    assert moved["by"]["staff"] == "Demo operator"
    refused = events(service, examples["ask"])[-1]
    assert (refused["type"], refused["data"]["code"]) == ("Refused", "not-the-owner")
    assert events(service, examples["corrected"])[-1]["type"] == "StateCorrected"
    assert Walk(service, examples["overdue"]).seen()["overdue"]
    assert Walk(service, examples["erased"]).seen()["fields"]["name"] == "erased"


def listed(service: Service, what: str, **query: str) -> list[dict[str, Any]]:
    """Everything on a list that lies open for staff."""
    client = service.by("staff")
    position = client.get("/v1/events?limit=1").headers["Statekeeper-Position"]

    def visible() -> httpx.Response:
        seen = {"Statekeeper-Position": position}
        return client.get(f"/v1/{what}", params=query, headers=seen)

    until(lambda: visible().status_code == httpx.codes.OK, "the lists have caught up")
    items: list[dict[str, Any]] = visible().json()["items"]
    return items


def test_demo_leaves_something_on_every_work_list(service: Service) -> None:
    """A tool shows a wrong word, a claim waits, messages are parked, a notice was given up."""
    cases = played(service)["look_at"]
    shown = {one["field"]: one for one in listed(service, "drift")}
    assert shown.keys() == {"stage", "customer_name"}
    wrong = shown["stage"]
    assert (wrong["reported"], wrong["why"]) == ("Void", "not-the-owner")
    assert wrong["case"] == cases["a job that a tool shows wrongly"]
    (claim,) = listed(service, "messages", outcome="early")
    assert claim["case"] == cases["a job with a claim that waits"]
    parked = listed(service, "messages", outcome="parked")
    assert {one["why"] for one in parked} == {"unknown-reference", "unknown-word"}
    (failed,) = listed(service, "notices", state="given-up")
    assert failed["case"] == cases["a job whose tool could not be told"]
    assert (failed["request"], failed["attempts"]) == ("create_invoice", 10)
    assert failed["ended_why"] == "answered 503"


def test_demo_claim_is_taken_once_the_deposit_has_come(sqlite_service: Service) -> None:
    """The crew's word that came too early moves the job as soon as it may."""
    job = Walk(sqlite_service, played(sqlite_service)["look_at"]["a job with a claim that waits"])
    due = job.seen()["fields"]["deposit_due"]
    job.told("accounting", "deposit_confirmed", deposit_paid=due)
    job.moved("projects", "schedule", "completed", scheduled_for="2026-05-11")


def test_demo_names_the_pages_to_look_at(shared_sqlite_service: Service) -> None:
    """Each page that it names is there for whoever signs in."""
    pages = played(shared_sqlite_service)["pages"]
    assert [address.removeprefix(shared_sqlite_service.url) for address in pages.values()] == [
        *("/", "/drift", "/messages", "/notices")
    ]
    html = {"accept": "text/html"}
    for address in pages.values():
        answer = shared_sqlite_service.by("nobody").get(address, headers=html)
        assert answer.status_code == httpx.codes.SEE_OTHER, address
        assert answer.headers["location"].startswith("/sign-in")


def test_demo_plays_beside_jobs_that_are_there(sqlite_service: Service) -> None:
    """Jobs of others, and what is left of a demo that broke off, are in nobody's way."""
    others = [f"jobs/J-{number}" for number in (1000, 1043, 1100)]
    broken_off = f"D-{datetime.now(UTC):%m%d}A-07"
    for case in (*others, f"jobs/{broken_off}"):
        Walk(sqlite_service, case).opened("crm", {}, references={"crm": f"deal-{case[7:]}"})
    before = [Walk(sqlite_service, case).seen() for case in others]
    assert sum(played(sqlite_service)["states"].values()) >= 40
    assert [Walk(sqlite_service, case).seen() for case in others] == before


def test_demo_leaves_no_key_behind(sqlite_service: Service) -> None:
    """The keys that it issues to itself are not honoured afterwards."""
    played(sqlite_service)
    done = command("keys", "list", "--json", *over(sqlite_service.database))
    keys = json.loads(done.stdout)
    assert [key["revoked"] for key in keys if key["staff"] == "Demo operator"] == [True]
    assert sum(key["revoked"] for key in keys) == 4


def test_demo_histories_lie_in_the_past(shared_sqlite_service: Service) -> None:
    """What happened to a job happened over days, in order, and was recorded in order."""
    case = played(shared_sqlite_service)["look_at"]["a job that was corrected"]
    told = events(shared_sqlite_service, case)
    times = [event["time"] for event in told]
    assert times == sorted(times)
    assert len({time[:10] for time in times}) > 3
    assert [event["position"] for event in told] == sorted(event["position"] for event in told)


def test_demo_says_where_nothing_answers(sqlite_service: Service) -> None:
    """Without a service there is one line that says how to start one."""
    sqlite_service.kill()
    done = command("demo", "--url", sqlite_service.url, *over(sqlite_service.database))
    assert done.returncode == 1
    assert "no service answers at" in done.stderr
    assert "statekeeper serve" in done.stderr
