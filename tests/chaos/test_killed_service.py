"""A service that is killed under load: what it acknowledged stands, the rest can be repeated."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.book import Book
from tests.chaos.clients import Client, acknowledged, beside, crowd, replays, schedules, statuses
from tests.databases import NewDatabase
from tests.running import running_service, until

pytestmark = pytest.mark.chaos

CLIENTS = 200
ASKS = 8
KILLS = 2


def answers(clients: dict[str, Client], count: int) -> Callable[[], bool]:
    return lambda: len(acknowledged(clients.values())) >= count


def test_what_a_killed_service_acknowledged_stands_and_the_rest_is_done_once(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """Killed under load and started again: every answer is in the log, every repeat done once."""
    with running_service(new_database(), tmp_path) as service:
        clients = crowd(service, CLIENTS)

        def kill_and_restart() -> None:
            for kill in range(1, KILLS + 1):
                until(answers(clients, CLIENTS * ASKS * kill // 4), "the service is busy")
                service.kill()
                service.start()

        work = [client.insist_on_all(schedules(job, ASKS)) for job, client in clients.items()]
        asyncio.run(beside(work, kill_and_restart))
        book = Book(service.database)
    counted = statuses(clients.values())
    print(f"killed: {dict(counted)}, {replays(clients.values())} replayed")
    assert counted["none"] > 0
    assert set(counted) <= {201, "none", 503}
    book.holds_each_once(clients.values())
    assert all(len(book.moves(job)) == ASKS for job in clients)
