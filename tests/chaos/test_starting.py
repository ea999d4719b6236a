"""What a service must not run on, it says in one line; what it runs on, it leaves in order."""

import asyncio
import signal
import socket
import sqlite3
from contextlib import closing, suppress
from importlib import import_module
from pathlib import Path
from threading import Event

import psutil
import psycopg
import pytest

from tests.chaos.book import MOVED, Book
from tests.chaos.clients import (
    Client,
    acknowledged,
    beside,
    crowd,
    schedules_until,
    statuses,
)
from tests.databases import NewDatabase, Postgres
from tests.forking import READ_BEFORE
from tests.running import ROOT, Service, command, free_port, over, running_service, until

pytestmark = pytest.mark.chaos


def refused(
    database: str,
    *more: str,
    definitions: Path = ROOT / "definitions",
    environment: dict[str, str] | None = None,
) -> str:
    """Try to serve; answers the one line in which that is refused."""
    done = command(
        "serve", *over(database, definitions), f"--port={free_port()}", *more,
        environment={"STATEKEEPER_LOG_LEVEL": "error", **(environment or {})},
    )  # fmt: skip
    lines = [line for line in done.stderr.splitlines() if line]
    assert (done.returncode, len(lines)) == (1, 1), done.stdout + done.stderr
    assert "KEY=" not in done.stdout, "keys were issued by a service that never ran"
    return lines[0]


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """It is named, and left as it was."""
    file = tmp_path / "notes.db"
    file.write_text("Ring the client back about the deposit.\n" * 40)
    before = file.read_bytes()
    line = refused(f"sqlite:///{file}")
    assert str(file) in line
    assert "not a database" in line
    assert file.read_bytes() == before


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    """Tables that nobody here has made are not touched."""
    file = tmp_path / "other.db"
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE invoices (number TEXT)")
    assert "another program" in refused(f"sqlite:///{file}")
    with closing(sqlite3.connect(file)) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("invoices",)]


def newer_sqlite(database: str) -> None:
    with closing(sqlite3.connect(database.removeprefix("sqlite:///"))) as file:
        file.execute("UPDATE meta SET value = CAST('99' AS BLOB) WHERE name = 'schema'")
        file.commit()


def newer_postgres(database: str) -> None:
    address, _, schema = database.partition("schema=")
    with psycopg.connect(address.rstrip("?&")) as server:
        server.execute(f"UPDATE {schema}.meta SET value = '99' WHERE name = 'schema'".encode())  # noqa: S608 - names of our own tables


def test_a_database_newer_than_the_program_is_refused(new_database: NewDatabase) -> None:
    """A newer program may have written what this one would misread."""
    database = new_database()
    assert command("keys", "issue", "--tool", "crm", *over(database)).returncode == 0
    newer_sqlite(database) if database.startswith("sqlite") else newer_postgres(database)
    line = refused(database)
    assert "newer version" in line
    assert "99" in line


def test_a_database_that_is_not_there_is_refused(postgres: Postgres) -> None:
    """A server that nobody runs is named as what it is."""
    assert postgres.socket.exists()
    line = refused(f"postgresql://postgres@127.0.0.1:{free_port()}/postgres")
    assert "refused" in line


@pytest.mark.parametrize("database", ["mysql://root@localhost/jobs", "jobs.db", "sqlite://jobs.db"])
def test_an_address_of_no_known_database_is_refused(database: str) -> None:
    """The line shows how addresses are written."""
    assert "sqlite:///relative.db" in refused(database)


def test_an_empty_definitions_folder_is_refused(new_sqlite: NewDatabase, tmp_path: Path) -> None:
    """Without a lifecycle there is nothing to keep."""
    folder = tmp_path / "definitions"
    folder.mkdir()
    assert str(folder) in refused(new_sqlite(), definitions=folder)


def test_a_definitions_folder_that_is_not_there_is_refused(
    new_sqlite: NewDatabase, tmp_path: Path
) -> None:
    """Its name is in the line."""
    folder = tmp_path / "nowhere"
    assert str(folder) in refused(new_sqlite(), definitions=folder)


def test_a_port_in_use_is_refused_before_any_key_is_issued(new_sqlite: NewDatabase) -> None:
    """The port is in the line; nothing was done to the database, and no worker is left behind."""
    database = new_sqlite()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused(database, f"--port={port}")
    assert str(port) in line
    assert not Path(database.removeprefix("sqlite:///")).exists()
    until(lambda: not workers_over(database), "its worker has ended")


def workers_over(database: str) -> list[psutil.Process]:
    """The processes that were given this database by a service."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("STATEKEEPER_DATABASE") == database:
                found.append(process)
    return found


def test_a_service_starts_from_nothing(new_database: NewDatabase, tmp_path: Path) -> None:
    """Whatever is not read beforehand it reads itself, and its worker likewise."""
    with running_service(new_database(), tmp_path, before=lambda: None) as service:
        assert service.by("crm").post("/v1/jobs", json={"id": "J-1"}).status_code == 201
        listed = "/v1/jobs?q=J-1"
        until(lambda: bool(service.by("staff").get(listed).json()["items"]), "it is listed")


def test_what_a_fork_is_said_to_have_read_is_there() -> None:
    """A module that is gone would be read by none of them, and nobody would say so."""
    assert [import_module(name) for name in READ_BEFORE]


@pytest.mark.parametrize("key", ["secret", "c2hvcnQ=", "ä" * 32], ids=["text", "short", "foreign"])
def test_a_master_key_that_is_none_is_refused(new_sqlite: NewDatabase, key: str) -> None:
    """What it has to be is said; what it was is not."""
    line = refused(new_sqlite(), environment={"STATEKEEPER_MASTER_KEY": key})
    assert "32 bytes in base64" in line
    assert key not in line


def test_the_master_key_of_another_database_is_refused(new_database: NewDatabase) -> None:
    """Personal values could not be read with it, and new ones not by anybody else."""
    database = new_database()
    assert command("keys", "issue", "--tool", "crm", *over(database)).returncode == 0
    other = {"STATEKEEPER_MASTER_KEY": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}
    assert "not the one" in refused(database, environment=other)


def test_a_second_service_on_one_file_is_refused(sqlite_service: Service) -> None:
    """One `serve` per file; the first goes on, and a command line may write beside it."""
    line = refused(sqlite_service.database)
    assert "one `serve` per SQLite file" in line
    assert sqlite_service.ready
    issued = command("keys", "issue", "--tool", "crm", *over(sqlite_service.database))
    assert issued.returncode == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=["terminated", "interrupted"])
def test_a_service_that_is_told_to_stop_answers_what_it_took(
    new_database: NewDatabase, tmp_path: Path, how: signal.Signals
) -> None:
    """Under load: what was done was answered, what was not answered was not done; exit 0."""
    with running_service(new_database(), tmp_path) as service:
        clients = crowd(service, 100)
        done = Event()

        async def ask_until_hung_up(job: str, client: Client) -> None:
            for ask in schedules_until(job, done):
                if client.unanswered:
                    return
                await client.ask_if_served(ask)
            client.close()

        def stop() -> None:
            until(lambda: len(acknowledged(clients.values())) > 500, "the service is busy")
            service.signal(how)
            assert service.ended() == 0, service.said
            done.set()

        asyncio.run(beside([ask_until_hung_up(job, one) for job, one in clients.items()], stop))
        book = Book(service.database)
    counted = statuses(clients.values())
    print(f"stopped by {how.name}: {dict(counted)}")
    assert set(counted) <= {201, 503, "none"}
    book.holds_each_once(clients.values())
    moved = sum(fact.topic == MOVED for fact in book.facts)
    assert moved == counted[201]
    assert "Traceback" not in service.said
