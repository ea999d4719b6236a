"""`statekeeper demo`: what a newcomer has to look at afterwards."""

import json
from typing import Any

from tests.running import Service, command, over
from tests.walks.walking import Walk


def played(service: Service) -> dict[str, Any]:
    """Play the demo against a service, and give what it tells."""
    done = command("demo", "--url", service.url, "--json", *over(service.database))
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


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
    moved = Walk(service, examples["place"]).events()[-1]
    assert (moved["type"], moved["data"]["override"]) == ("TransitionMade", True)
    assert moved["by"]["staff"] == "Demo operator"
    refused = Walk(service, examples["ask"]).events()[-1]
    assert (refused["type"], refused["data"]["code"]) == ("Refused", "not-the-owner")
    assert Walk(service, examples["corrected"]).events()[-1]["type"] == "StateCorrected"
    assert Walk(service, examples["overdue"]).seen()["overdue"]
    assert Walk(service, examples["erased"]).seen()["fields"]["name"] == "erased"


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
    events = Walk(shared_sqlite_service, case).events()
    times = [event["time"] for event in events]
    assert times == sorted(times)
    assert len({time[:10] for time in times}) > 3
    assert [event["position"] for event in events] == sorted(event["position"] for event in events)


def test_demo_says_where_nothing_answers(sqlite_service: Service) -> None:
    """Without a service there is one line that says how to start one."""
    sqlite_service.kill()
    done = command("demo", "--url", sqlite_service.url, *over(sqlite_service.database))
    assert done.returncode == 1
    assert "no service answers at" in done.stderr
    assert "statekeeper serve" in done.stderr
