"""Why a case is where it is, over HTTP: also what only the courier knows."""

from pathlib import Path

from tests.databases import NewDatabase
from tests.running import Service, free_port, running_service, until


def test_attempts_are_counted_while_a_notice_waits(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """Whoever asks why a tool shows another word learns how often it was tried to tell it."""
    environment = {
        "ACCOUNTING_URL": f"http://127.0.0.1:{free_port()}/",  # where nobody listens
        "ACCOUNTING_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    }
    with running_service(new_database(), tmp_path, environment=environment) as service:
        service.by("crm").post("/v1/jobs", json={"id": "J-1"}).raise_for_status()
        until(lambda: told(service)[2] >= 1, "it was tried to tell the books")
        assert told(service)[:2] == ("Estimate sent", "waiting")


def told(service: Service) -> tuple[str, str, int]:
    """What the books are to show of the job, how they stand to that, and the attempts made."""
    items = service.by("staff").get("/v1/jobs/J-1/why").json()["told"]
    (books,) = [one for one in items if one["tool"] == "accounting"]
    return books["word"], books["outcome"], books["attempts"]
