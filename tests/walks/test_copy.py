"""`statekeeper copy`: a whole log in another database, as it was."""

import json
from base64 import b64encode
from contextlib import closing
from pathlib import Path

import pytest

from lifecycle.log import open_log
from tests.databases import NewDatabase, Postgres
from tests.running import command, over, running_service
from tests.walks.walking import Walk

BAKERY = {"customer_name": "Harbour Bakery", "email": "orders@harbour-bakery.example"}
PAID = {"deposit_due": "500.00 USD", "deposit_paid": "500.00 USD"}
MASTER_KEY = b64encode(bytes(range(32))).decode()


def rows(database: str) -> list[tuple[object, ...]]:
    """Every event of a log, with its place."""
    with closing(open_log(database)) as log:
        return [
            (one.id, one.originator_id, one.originator_version, one.topic, bytes(one.state))
            for one in log.tail(0)
        ]


@pytest.mark.parametrize("kinds", ["sqlite postgres", "postgres sqlite"])
def test_a_firm_moves_to_another_database_and_loses_nothing(
    kinds: str, new_sqlite: NewDatabase, postgres: Postgres, tmp_path: Path
) -> None:
    """Cases, keys, what is remembered and what is sealed go on on the other side, in place."""
    new = {"sqlite": new_sqlite, "postgres": postgres.new}
    source, target = (new[kind]() for kind in kinds.split())
    headers = {"Idempotency-Key": "once"}
    schedule = {"transition": "schedule", "fields": {"scheduled_for": "2026-05-11"}}
    with running_service(source, tmp_path) as service:
        job = Walk(service, "jobs/M-1")
        job.opened("crm", BAKERY, references={"crm": "m1"})
        job.told("accounting", "deposit_confirmed", **PAID)
        path = f"{job.address}/transitions"
        first = service.by("projects").post(path, json=schedule, headers=headers).json()
        gone = Walk(service, "jobs/M-2")
        gone.opened("crm", BAKERY)
        gone.done("staff", "erase", reason="asked to")
        keys = service.keys
    environment = {"STATEKEEPER_MASTER_KEY": MASTER_KEY}
    done = command("copy", source, target, "--json", environment=environment)
    assert done.returncode == 0, done.stderr
    assert rows(source) == rows(target)
    assert json.loads(done.stdout)["events"] == len(rows(source))
    assert json.loads(done.stdout)["keys"] == 1
    with running_service(target, tmp_path, environment=environment) as moved:
        with moved.with_key(keys["projects"]) as http:
            again = http.post(path, json=schedule, headers=headers)
            assert again.headers["idempotency-replayed"] == "true"
            assert again.json()["event"] == first["event"]
            # And it goes on: the next event comes after the last that was copied.
            went_on = http.post(path, json={"transition": "complete"})
            assert went_on.status_code == 201, went_on.text
            assert went_on.json()["event"]["position"] > rows(source)[-1][0]
        with moved.with_key(keys["crm"]) as http:
            fields = http.get("/v1/jobs/M-1").json()["fields"]
            assert fields["customer_name"] == "Harbour Bakery"
            assert http.get("/v1/jobs/M-2").json()["fields"]["customer_name"] == "erased"
    assert command("verify", *over(target), environment=environment).returncode == 0


def test_nothing_is_copied_over_something(new_sqlite: NewDatabase, tmp_path: Path) -> None:
    """A target that holds anything, a source that is being served, or none, is refused."""
    source, target = new_sqlite(), new_sqlite()
    with running_service(source, tmp_path):
        served = command("copy", source, target)
    assert served.returncode == 1
    assert "is being served" in served.stderr
    assert command("copy", source, target).returncode == 0
    before = rows(target)
    again = command("copy", source, target)
    assert again.returncode == 1
    assert "is not empty" in again.stderr
    assert rows(target) == before
    missing = command("copy", f"sqlite:///{tmp_path}/none.db", new_sqlite())
    assert missing.returncode == 1
    assert "there is no database" in missing.stderr
    assert not (tmp_path / "none.db").exists()
