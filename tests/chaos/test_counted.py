"""How often something came is known exactly, also after a loss of power."""

import httpx

from tests import conserving
from tests.running import Service, until

TIMES = 65


def test_each_repeat_of_a_message_is_counted_though_the_service_is_killed(
    service: Service,
) -> None:
    """Heard 65 times is 65 in the log, the lists and the metrics, before a crash and after it."""
    service.by("crm").post("/v1/jobs", json={"id": "J-1"}).raise_for_status()
    report = {"collection": "jobs", "id": "J-1", "word": "closedwon", "event_id": "e-1"}
    for _ in range(TIMES):
        answer = service.by("crm").post(
            "/v1/tools/crm/reports", json={**report, "status_field": "dealstage"}
        )
        assert answer.status_code == httpx.codes.OK
    assert sum(scraped(service, "statekeeper_messages_total").values()) == TIMES
    service.kill()
    service.start()

    assert sum(conserving.conserved(service.database).heard.values()) == TIMES
    until(lambda: times(service) == [TIMES], "the list has followed")
    kept = scraped(service, "statekeeper_messages_kept")
    assert kept == {("crm", "drift"): 1, ("crm", "duplicate"): TIMES - 1}


def scraped(service: Service, name: str) -> conserving.Sums:
    """What the service says of itself."""
    return conserving.scraped(service.by("nobody").get("/metrics").text, name)


def times(service: Service) -> list[int]:
    """How often each message came, by the list."""
    items = service.by("staff").get("/v1/messages").json()["items"]
    return [one["times"] for one in items]
