"""Several processes write one log at once: it reads as if one had."""

import asyncio
from contextlib import ExitStack
from pathlib import Path
from threading import Event

import pytest

from tests.chaos.book import Book
from tests.chaos.clients import Ask, Client, beside, contested_until, on_jobs, schedules, statuses
from tests.databases import NewDatabase, Postgres
from tests.running import IssuedKey, command, issue_key, over, running_service

pytestmark = pytest.mark.chaos

JOBS = [f"J-{number}" for number in range(5)]
CLIENTS = 20
KEYS = 3


@pytest.mark.parametrize(("services", "new"), [(1, "new_sqlite"), (2, "postgres")])
def test_services_and_command_lines_write_at_once(
    request: pytest.FixtureRequest, tmp_path: Path, services: int, new: str
) -> None:
    """All on the same few cases: each yes stands once, and each no was the truth when said."""
    source: NewDatabase | Postgres = request.getfixturevalue(new)
    database = source.new() if isinstance(source, Postgres) else source()
    issued: list[IssuedKey] = []
    done = Event()
    with ExitStack() as running:
        ports = [
            running.enter_context(running_service(database, tmp_path)) for _ in range(services)
        ]
        key = on_jobs(ports[0], JOBS)
        clients = [Client(ports[number % services].port, key) for number in range(CLIENTS)]

        async def contend() -> None:
            async with asyncio.TaskGroup() as group:
                for number, client in enumerate(clients):
                    jobs = JOBS[number % len(JOBS) :] + JOBS[: number % len(JOBS)]
                    asks = contested_until(jobs, f"client-{number}", done)
                    group.create_task(client.insist_on_all(asks))

        def issue() -> None:
            try:
                issued.extend(issue_key(database, tool="crm") for _ in range(KEYS))
            finally:
                done.set()

        asyncio.run(beside([contend()], issue))
        book = Book(database)
        listed = command("keys", "list", *over(database))
    print(f"{services} services and {len(issued)} keys issued beside: {dict(statuses(clients))}")
    book.holds_each_once(clients)
    book.refused_rightly(clients)
    assert set(statuses(clients)) == {201, 409, "none"}
    assert statuses(clients)["none"] == 0
    for one in issued:
        assert len(book.streams[f"key:{one.id}"]) == 1
        assert one.id in listed.stdout


def test_a_key_revoked_by_another_process_opens_nothing_any_more(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """The very next request with it is refused, whatever it asks; the service runs on."""
    with running_service(new_database(), tmp_path) as service:
        key = issue_key(service.database, tool="projects")
        on_jobs(service, ["J-1"])
        client = Client(service.port, key.key)
        (schedule,) = schedules("J-1", 1)
        show = Ask("GET", "/v1/jobs/J-1", {})
        lifecycles = Ask("GET", "/v1/lifecycles", {})

        def revoke() -> None:
            done = command("keys", "revoke", key.id, *over(service.database))
            assert done.returncode == 0, done.stderr

        async def use() -> list[int]:
            before = [(await client.ask(ask)).status for ask in (show, lifecycles)]
            await asyncio.to_thread(revoke)
            after = [(await client.ask(ask)).status for ask in (lifecycles, show, schedule)]
            client.close()
            return before + after

        assert asyncio.run(use()) == [200, 200, 401, 401, 401]
        assert not Book(service.database).moves("J-1")
