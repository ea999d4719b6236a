"""`/metrics`: what Prometheus is told."""

from prometheus_client.parser import text_string_to_metric_families

from tests.running import Service, until
from tests.walks.walking import Walk

BAKERY = {"customer_name": "Harbour Bakery", "email": "orders@harbour-bakery.example"}
PAID = {"deposit_due": "500.00 USD", "deposit_paid": "500.00 USD"}


def scraped(service: Service) -> dict[tuple[str, str], float]:
    """Name and label of every sample → its value."""
    answer = service.by("nobody").get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_metrics_count_what_was_asked_and_what_became_of_it(service: Service) -> None:
    """Every ask has one outcome, every refusal its code, every append its time."""
    before = scraped(service)
    job = Walk(service, "jobs/P-1")
    job.opened("crm", BAKERY)
    job.refused("crm", "confirm_deposit", "not-the-owner")
    job.refused("crm", "confirm_deposit", "not-the-owner")
    job.told("accounting", "deposit_confirmed", **PAID)
    job.told("accounting", "deposit_confirmed", **PAID)
    job.seen()
    assert service.by("crm").get("/v1/jobs/P-9").status_code == 404
    lines = b'{"do": "open", "id": "P-2", "by": "crm"}\nno JSON\n'
    headers = {"Content-Type": "application/x-ndjson"}
    service.by("staff").post("/v1/jobs/import", content=lines, headers=headers)
    after = scraped(service)

    def more(name: str, label: str = "") -> float:
        return after.get((name, label), 0) - before.get((name, label), 0)

    assert more("statekeeper_asks_total", "applied") == 3
    assert more("statekeeper_asks_total", "unchanged") == 1
    assert more("statekeeper_asks_total", "refused") == 3
    assert more("statekeeper_asks_total", "looked") == 1
    assert more("statekeeper_refusals_total", "not-the-owner") == 2
    assert more("statekeeper_refusals_total", "unknown-case") == 1
    assert more("statekeeper_refusals_total", "malformed-request") == 1
    assert more("statekeeper_import_lines_total", "applied") == 1
    assert more("statekeeper_import_lines_total", "refused") == 1
    assert more("statekeeper_answers_total", "201") == 1
    assert more("statekeeper_append_seconds_count") >= 5
    assert (
        after["statekeeper_append_seconds_bucket", "+Inf"]
        == (after["statekeeper_append_seconds_count", ""])
    )
    assert more("statekeeper_events_total") == more("statekeeper_position") > 0
    assert after["statekeeper_ready", ""] == 1
    assert after["process_resident_memory_bytes", ""] > 2**20


def test_metrics_tell_how_far_read_models_are_behind(service: Service) -> None:
    """Once everything was followed, there is no lag, in events and in seconds."""
    Walk(service, "jobs/P-1").opened("crm", BAKERY)
    until(
        lambda: scraped(service)["statekeeper_follower_lag_events", ""] == 0,
        "the read models have caught up",
    )
    assert scraped(service)["statekeeper_follower_lag_seconds", ""] == 0


def test_metrics_count_what_every_tool_was_due_as_the_sum_of_what_became_of_it(
    service: Service,
) -> None:
    """At every moment; what has no address waits."""
    job = Walk(service, "jobs/P-1")
    job.opened("crm", BAKERY)
    job.told("accounting", "deposit_confirmed", **PAID)

    def notices() -> dict[str, dict[str, float]]:
        counted: dict[str, dict[str, float]] = {}
        text = service.by("nobody").get("/metrics").text
        for family in text_string_to_metric_families(text):
            for sample in family.samples if family.name == "statekeeper_notices" else ():
                states = counted.setdefault(sample.labels["tool"], {})
                states[sample.labels["state"]] = sample.value
        return counted

    until(lambda: notices().get("accounting", {}).get("due") == 2, "both are counted")
    for tool, states in notices().items():
        assert states.pop("due") == sum(states.values()), tool
    assert notices()["accounting"] == {
        "due": 2, "delivered": 0, "superseded": 1, "given-up": 0, "waiting": 1,
    }  # fmt: skip
