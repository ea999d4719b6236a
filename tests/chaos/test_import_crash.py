"""An import that is killed in the middle: the same file again, and every line stands once."""

import json
import os
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from lifecycle.log import Recorder, open_log
from tests.databases import NewDatabase
from tests.forking import Fork
from tests.running import ROOT, Service, command, over, running_service, until

pytestmark = pytest.mark.chaos

JOBS = 800
STEPS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("confirm_deposit", "accounting", {"deposit_due": "500.00 USD", "deposit_paid": "500.00 USD"}),
    ("schedule", "projects", {"scheduled_for": "2026-03-09"}),
    ("unschedule", "projects", {}),
    ("schedule", "projects", {"scheduled_for": "2026-03-09"}),
    ("complete", "projects", {}),
)
"""The second `schedule` is, line for line, the same as the first."""


def lines() -> bytes:
    """Every job opened, then every job moved step by step: a job's lines stand far apart."""
    opened = [{"do": "open", "id": f"K-{number}", "by": "crm"} for number in range(JOBS)]
    moved = [
        {"do": "transition", "id": one["id"], "transition": name, "by": by, "fields": fields}
        for name, by, fields in STEPS
        for one in opened
    ]
    return "".join(json.dumps(line) + "\n" for line in [*opened, *moved]).encode()


def last_position(database: str) -> int:
    """How long the log is by now."""
    recorder = open_log(database)
    try:
        return recorder.last_position()
    finally:
        recorder.close()


def events_of_jobs(recorder: Recorder) -> Counter[str]:
    """Job's stream → how many events it has."""
    found: Counter[str] = Counter()
    position = 0
    while page := recorder.tail(position):
        found.update(str(one.originator_id) for one in page)
        position = page[-1].id
    return Counter({name: count for name, count in found.items() if name.startswith("case:")})


def holds_every_line_once(database: str) -> bool:
    """Whether every job has exactly the events that its lines make."""
    recorder = open_log(database)
    try:
        return events_of_jobs(recorder) == {
            f"case:jobs/K-{number}": 1 + len(STEPS) for number in range(JOBS)
        }
    finally:
        recorder.close()


def post(service: Service, body: bytes) -> list[dict[str, object]]:
    """Import into the service; what was answered as far as it came."""
    headers = {"Content-Type": "application/x-ndjson"}
    heard = b""
    with service.with_key(service.keys["staff"]) as http:
        try:
            with http.stream("POST", "/v1/jobs/import", content=body, headers=headers) as answer:
                for piece in answer.iter_raw():
                    heard += piece
        except httpx.TransportError:
            heard = heard[: heard.rfind(b"\n") + 1]
    return [json.loads(line) for line in heard.splitlines()]


@pytest.mark.parametrize("after", [800, 2_800])
def test_import_killed_with_its_service_is_whole_after_the_same_again(
    new_database: NewDatabase, tmp_path: Path, after: int
) -> None:
    """Killed in the middle of an import: what was answered stands, the same lines mend the rest."""
    database, body = new_database(), lines()
    with running_service(database, tmp_path) as service:
        answered: list[dict[str, object]] = []
        client = threading.Thread(target=lambda: answered.extend(post(service, body)))
        client.start()
        until(lambda: last_position(database) > after, "the import is in its middle")
        service.kill()
        client.join()
        service.start()
        assert len(answered) < JOBS * (1 + len(STEPS))
        again = post(service, body)
    assert {one["status"] for one in again} == {201}
    assert [one["line"] for one in again] == list(range(1, len(again) + 1))
    # What was acknowledged before the crash is known to be done.
    assert all(again[int(str(one["line"])) - 1]["replayed"] for one in answered)
    assert any("replayed" not in one for one in again)
    assert holds_every_line_once(database)


def test_import_killed_on_the_command_line_is_whole_after_the_same_again(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """The command killed in its middle, and run again: every line stands once."""
    database, file = new_database(), tmp_path / "jobs.ndjson"
    file.write_bytes(lines())
    words = ["import", "jobs", str(file), "--as", "Operator", *over(database)]
    open_log(database).close()
    said = tmp_path / "said"
    running = Fork(words, folder=ROOT, environment=os.environ, stdout=said, stderr=said)
    until(lambda: last_position(database) > 1_500, "the import is in its middle")
    running.kill()
    running.wait()
    done = command(*words, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["applied"] > 0
    assert report["repeated"] > 0
    assert report["applied"] + report["repeated"] == JOBS * (1 + len(STEPS))
    assert holds_every_line_once(database)
