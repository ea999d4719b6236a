"""`statekeeper verify`: what it finds, and that it finds nothing where nothing is wrong."""

import json
import shutil
import sqlite3
import threading
from base64 import b64decode
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from api.verifying import CATCH_UP_SECONDS_MAX, Problem, Report, verify
from lifecycle.catalogue import load
from lifecycle.events import Asker, DefinitionAdopted
from lifecycle.journal import Record
from lifecycle.known import Known
from lifecycle.opening import open_journal
from lifecycle.streams import definition_stream
from lifecycle.vault import Vault
from projections.store import open_store
from tests.databases import NewDatabase
from tests.lifecycle.journals import journal_on
from tests.projections.following import following
from tests.projections.following import job as told
from tests.running import DEFINITIONS, Service, command, over, running_service, until
from tests.walks.walking import Walk

BAKERY = {"customer_name": "Harbour Bakery", "email": "orders@harbour-bakery.example"}
PAID = {"deposit_due": "500.00 USD", "deposit_paid": "500.00 USD"}


def played(service: Service) -> None:
    """Some of everything that a log can hold."""
    staff = service.by("staff")
    jobs = [Walk(service, f"jobs/V-{number}") for number in range(3)]
    for number, job in enumerate(jobs):
        job.opened("crm", BAKERY, references={"crm": f"v{number}"})
        job.told("accounting", "deposit_confirmed", **PAID)
        job.refused("crm", "schedule", "not-the-owner", scheduled_for="2026-05-11")
    job = jobs[-1]
    path = f"{job.address}/transitions"
    schedule = {"transition": "schedule", "fields": {"scheduled_for": "2026-05-11"}}
    key = {"Idempotency-Key": "once"}
    assert service.by("projects").post(path, json=schedule, headers=key).status_code == 201
    job.done("staff", "corrections", state="completed", reason="it was done")
    job.done("staff", "erase", reason="asked to")
    other = "/v1/jobs/V-1/references/crm"
    assert service.by("crm").put(other, json={"ref": "more"}).status_code == 200
    assert service.by("crm").delete(f"{other}?ref=v1").status_code == 200
    lines = "\n".join(
        json.dumps({"do": "transition", "id": name, "transition": "cancel", "by": "crm"})
        for name in ("V-0", "V-9")
    )
    headers = {"Content-Type": "application/x-ndjson"}
    assert staff.post("/v1/jobs/import", content=lines, headers=headers).status_code == 200


def looked_at(database: str, *, board: bool = True) -> Report:
    """The log and the board of a database, verified."""
    lifecycles = load(DEFINITIONS, {}).lifecycles
    journal = open_journal(database, lifecycles, None)
    store = open_store(database, lifecycles) if board else None
    try:
        return verify(journal, store, lambda _done, _total: None)
    finally:
        journal.stop()
        journal.recorder.close()
        if store is not None:
            store.close()


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a log in which all is as it has to be."""
    folder = tmp_path_factory.mktemp("verified")
    file = folder / "log.db"
    with running_service(f"sqlite:///{file}", folder) as service:
        played(service)
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return file


@pytest.fixture
def tampered(log: Path, tmp_path: Path) -> Callable[..., Report]:
    """Do something to a copy of the log, and verify it."""
    file = tmp_path / "log.db"
    for name in (log.name, f"{log.name}.key"):
        shutil.copy(log.with_name(name), tmp_path / name)

    def tamper(statement: str = "", values: tuple[object, ...] = ()) -> Report:
        with closing(sqlite3.connect(file)) as database:
            assert database.execute(statement, values).rowcount
            database.commit()
        return looked_at(f"sqlite:///{file}", board=False)

    return tamper


def test_a_log_that_is_sound_is_found_sound(tampered: Callable[..., Report]) -> None:
    """A log with some of everything in it has no problem; all of it was counted."""
    report = tampered()
    assert report.problems == []
    assert report.cases == 3
    assert report.keys == 2
    assert report.events == report.position


def test_cases_of_a_lifecycle_that_is_gone_are_sound(log: Path, tmp_path: Path) -> None:
    """A definition that was taken away leaves its cases and references as they were."""
    for name in (log.name, f"{log.name}.key"):
        shutil.copy(log.with_name(name), tmp_path / name)
    without = {
        name: one for name, one in load(DEFINITIONS, {}).lifecycles.items() if name != "jobs"
    }
    journal = open_journal(f"sqlite:///{tmp_path / log.name}", without, None)
    try:
        report = verify(journal, None, lambda _done, _total: None)
    finally:
        journal.stop()
        journal.recorder.close()
    assert report.problems == []
    assert report.cases == 3


FIRST = "case:jobs/V-0"
ERASED = "case:jobs/V-2"
DROP = "DELETE FROM stored_events WHERE originator_id = ?"
DROP_ONE = "DELETE FROM stored_events WHERE originator_id = ? AND originator_version = ?"
RENUMBER = "UPDATE stored_events SET originator_version = 9 WHERE originator_id = ?"
SCRIBBLE = "UPDATE stored_events SET state = x'7b' WHERE originator_id = ?"
RENAME = "UPDATE stored_events SET originator_id = ? WHERE originator_id = ?"
RETITLE = "UPDATE stored_events SET topic = 'case.fields-set.v1' WHERE originator_id = ?"
MOVE = "UPDATE stored_events SET position = 100000 WHERE originator_id = ?"
DROP_KEY = "DELETE FROM vault WHERE stream = ?"
COPY_KEY = "INSERT INTO vault SELECT ?, wrapped FROM vault WHERE stream = ?"
RENAME_KEY = "UPDATE vault SET stream = ? WHERE stream = ?"
ONE = " AND originator_version = ?"


class Damage(NamedTuple):
    """What was done to a log, and how that is told."""

    statement: str
    values: tuple[object, ...]
    where: str
    what: str


DAMAGES = {
    "an event is gone": Damage(DROP_ONE, (FIRST, 2), FIRST, "do not follow on from 1: 1, 3"),
    "a beginning is gone": Damage(DROP_ONE, (FIRST, 1), FIRST, "do not follow on from 1: 2"),
    "a version jumps": Damage(RENUMBER + ONE, (FIRST, 4), FIRST, "follow on from 1: 1, 2, 3, 9"),
    "an event is scribbled over": Damage(
        SCRIBBLE + ONE, (FIRST, 2), FIRST, "version 2 cannot be replayed"
    ),
    "a beginning is something else": Damage(
        RETITLE + ONE, (FIRST, 1), FIRST, "version 1 cannot be replayed"
    ),
    "an event was moved": Damage(MOVE + ONE, (FIRST, 2), FIRST, "positions do not rise"),
    "a stream of no kind": Damage(
        RENAME, ("strange:V-0", FIRST), "strange:V-0", "no stream is of the kind 'strange'"
    ),
    "a reference means nothing": Damage(
        DROP, ("reference:crm/deal/v0",), FIRST, "reference:crm/deal/v0, which means none"
    ),
    "a reference nobody holds": Damage(
        RENAME,
        ("reference:crm/deal/else", "reference:crm/deal/v0"),
        "reference:crm/deal/else",
        "it is held by jobs/V-0, which does not know of it",
    ),
    "a definition is gone": Damage(
        DROP, ("definition:field_service",), FIRST, "'field_service', which was never adopted"
    ),
    "an answer without its case": Damage(
        DROP, (ERASED,), "request:tool:projects/once", f"of {ERASED} is not there"
    ),
    "refusals of no case": Damage(
        RENAME,
        ("refusals:jobs/V-8", "refusals:jobs/V-0"),
        "refusals:jobs/V-8",
        "version 1 of case:jobs/V-8 is not there",
    ),
    "a key is gone": Damage(DROP_KEY, (FIRST,), FIRST, "version 1 cannot be read"),
    "a key is another's": Damage(COPY_KEY, (ERASED, FIRST), ERASED, "wrapped by another key"),
    "a key of nothing": Damage(
        RENAME_KEY,
        ("case:jobs/V-7", "case:jobs/V-1"),
        "vault case:jobs/V-7",
        "a key of a stream that is not there",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_is_wrong_is_named(tampered: Callable[..., Report], damage: Damage) -> None:
    """Whatever was done to the log behind our back is told, with what and where."""
    report = tampered(damage.statement, damage.values)
    assert report.problems_found == len(report.problems) > 0
    told = [one.what for one in report.problems if one.where == damage.where]
    assert any(damage.what in one for one in told), report.problems


def test_a_key_that_came_back_is_named(log: Path, tampered: Callable[..., Report]) -> None:
    """A case that was erased has no key, not even one that opens nothing."""
    master = b64decode(log.with_name(f"{log.name}.key").read_bytes())
    wrapped = Vault(master, lambda _: {}).wrap(ERASED, bytes(32))
    report = tampered("INSERT INTO vault VALUES (?, ?)", (ERASED, wrapped))
    assert report.problems == [Problem(ERASED, "it was erased, and its key is still in the vault")]


def test_verify_runs_beside_a_service_that_writes(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """Verified again and again while jobs move, a sound log is found sound, with its board."""
    with running_service(new_database(), tmp_path) as service:
        played(service)
        stop = threading.Event()
        written = []

        def write() -> None:
            job = Walk(service, "jobs/V-0")
            job.done("staff", "corrections", state="deposit_confirmed", reason="once more")
            while not stop.is_set():
                job.moved("projects", "schedule", "scheduled", scheduled_for="2026-05-11")
                job.moved("projects", "unschedule", "deposit_confirmed")
                written.append(1)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(3):
                before = len(written)
                report = looked_at(service.database)
                assert report.problems == []
                until(lambda before=before: len(written) > before, "jobs move")  # type: ignore[misc]  # bound at once
        finally:
            stop.set()
            writer.join()
        done = command("verify", "--json", *over(service.database))
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["problems"] == []


def test_verify_leaves_a_backup_as_it_found_it(log: Path, tmp_path: Path) -> None:
    """Without its key a log is not verified, with it it is: neither leaves a file behind."""
    shutil.copy(log, tmp_path / "log.db")
    backup = over(f"sqlite:///{tmp_path}/log.db")
    done = command("verify", *backup)
    assert (done.returncode, done.stdout) == (1, "")
    assert "put it back" in done.stderr
    shutil.copy(log.with_name("log.db.key"), tmp_path / "log.db.key")
    done = command("verify", *backup)
    assert done.returncode == 0, done.stdout
    assert "no lists are here" in done.stdout
    left = {one.name for one in tmp_path.iterdir()}
    assert left <= {"log.db", "log.db.key", "log.db-wal", "log.db-shm"}


def test_verify_does_not_wait_where_nobody_follows(new_database: NewDatabase) -> None:
    """Lists that stand still are compared as far as they go, and told to be behind."""
    lifecycles = load(DEFINITIONS, {}).lifecycles
    with following(new_database(), dict(lifecycles)) as log:
        log.written(told("J-1")).followed().written(told("J-2"))
        report = verify(log.journal, log.store, lambda _done, _total: None)
    assert (report.cases, report.on_board, report.behind) == (2, 1, 1)
    assert report.seconds < CATCH_UP_SECONDS_MAX


def test_verify_says_what_is_wrong_and_exits_with_1(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """On both databases a hole in a stream is named on the command line, and nothing else."""
    with running_service(new_database(), tmp_path) as service:
        played(service)
        database = service.database
    if database.startswith("sqlite:///"):
        with closing(sqlite3.connect(database.removeprefix("sqlite:///"))) as file:
            file.execute(DROP_ONE, (FIRST, 3))
            file.commit()
    else:
        address, _, schema = database.partition("schema=")
        with psycopg.connect(address.rstrip("?&")) as server:
            server.execute("SELECT set_config('search_path', %s, false)", (schema,))
            server.execute(DROP_ONE.replace("?", "%s").encode(), (FIRST, 3))
    done = command("verify", *over(database))
    assert done.returncode == 1
    assert f"{FIRST}: its versions do not follow on from 1: 1, 2, 4" in done.stdout


def test_a_text_that_nobody_can_read_any_more_is_no_damage(new_database: NewDatabase) -> None:
    """A definition that an earlier version of the program adopted hides nothing else."""

    def adopted(_: Known, now: datetime) -> DefinitionAdopted:
        return DefinitionAdopted(
            recorded_at=now,
            by=Asker(),
            lifecycle="gone",
            version=1,
            digest="d",
            text="gone: of another time",
        )

    with journal_on(new_database()) as journal:
        journal.record_now(Record(definition_stream("gone"), adopted))
        report = verify(journal, None, lambda _done, _total: None)
        assert (report.problems, report.events) == ([], 1)
