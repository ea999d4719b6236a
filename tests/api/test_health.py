"""When a service says that it is ready."""

import signal
from pathlib import Path

from tests.databases import NewDatabase
from tests.running import running_service


def test_who_is_told_that_it_is_ready_finds_everything_on_the_lists(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """Readiness waits until the worker of the service has brought the lists up to the log."""
    database = new_database()
    with running_service(database, tmp_path, options=["--no-worker"]) as service:
        service.by("crm").post("/v1/jobs", json={"id": "J-1"}).raise_for_status()
        key = service.keys["crm"]
        service.signal(signal.SIGTERM)
        service.ended()
    with running_service(database, tmp_path) as service, service.with_key(key) as crm:
        items = crm.get("/v1/jobs").raise_for_status().json()["items"]
    assert [one["id"] for one in items] == ["J-1"]
