"""A service that freezes keeps nobody out for long, and goes on rightly when it thaws."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

import pytest

from tests.chaos.book import ANSWERED, Book
from tests.chaos.clients import (
    Client,
    beside,
    on_jobs,
    replays,
    schedules,
    schedules_until,
    slowest,
    statuses,
)
from tests.chaos.proxy import Fate, Proxy
from tests.databases import Postgres
from tests.running import WAIT_SECONDS_MAX, Service, running_service

pytestmark = pytest.mark.chaos

CLIENTS = 30
PAUSES = (0.11, 0.07, 0.13, 0.05, 0.17, 0.03, 0.19, 0.02, 0.23, 0.29)
"""Seconds between one thaw and the next freeze."""
FROZEN_SECONDS = (0.1, 0.3, 0.2, 0.1, 3.0, 0.1, 0.2, 0.3, 0.1, 0.2)
"""Once longer than the server lets anybody hold the log."""

Pair = tuple[Service, Service]


@pytest.fixture
def database(postgres: Postgres) -> str:
    return postgres.new()


@pytest.fixture
def proxy(postgres: Postgres) -> Iterator[Proxy]:
    with Proxy(postgres.socket) as proxy:
        yield proxy


@pytest.fixture
def freezing(database: str, proxy: Proxy, tmp_path: Path) -> Iterator[Service]:
    """Run the service that is to freeze; its way to the database is the proxy."""
    schema = urlsplit(database).query.rpartition("schema=")[2]
    address = f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres?schema={schema}"
    with running_service(address, tmp_path) as service:
        yield service


@pytest.fixture
def other(database: str, freezing: Service, tmp_path: Path) -> Iterator[Service]:
    """Run another service over the same database, once the first stands."""
    assert freezing.ready
    with running_service(database, tmp_path) as service:
        yield service


def test_frozen_again_and_again_under_load(database: str, tmp_path: Path) -> None:
    """Whatever it was doing when it froze: the other goes on, and each ask is done once."""
    with ExitStack() as running:
        freezing, other = (
            running.enter_context(running_service(database, tmp_path)) for _ in range(2)
        )
        jobs = [f"J-{number}" for number in range(2 * CLIENTS)]
        key = on_jobs(other, jobs)
        done = Event()
        clients = {job: Client(freezing.port, key) for job in jobs[:CLIENTS]}
        others = {job: Client(other.port, key) for job in jobs[CLIENTS:]}

        def freeze_and_thaw() -> None:
            try:
                for pause, frozen in zip(PAUSES, FROZEN_SECONDS, strict=True):
                    time.sleep(pause)
                    freezing.freeze()
                    time.sleep(frozen)
                    freezing.thaw()
            finally:
                freezing.thaw()
                done.set()

        both = {**clients, **others}
        work = [client.insist_on_all(schedules_until(job, done)) for job, client in both.items()]
        asyncio.run(beside(work, freeze_and_thaw))
        book = Book(database)
    print(
        f"frozen {len(PAUSES)} times: {dict(statuses(clients.values()))},"
        f" {replays(both.values())} replayed; the other {dict(statuses(others.values()))},"
        f" slowest {slowest(others.values(), 201):.2f} s"
    )
    book.holds_each_once(both.values())
    assert set(statuses(others.values())) == {201, "none"}
    assert statuses(both.values())["none"] == 0


def test_frozen_before_its_append_it_holds_nothing(
    freezing: Service, other: Service, proxy: Proxy, database: str
) -> None:
    """What it sends after the thaw was decided on a log that has moved on: it decides again."""
    slow, quick = clients_of_one_job(freezing, other)

    def freeze() -> None:
        assert proxy.befell(WAIT_SECONDS_MAX)
        freezing.freeze()
        asyncio.run(quick.insist_on_all(schedules("J-1", 3)))
        freezing.thaw()
        proxy.release()

    proxy.next_request(Fate.HELD, when=is_append)
    asyncio.run(beside([slow.insist_on_all(schedules("J-2", 2))], freeze))
    print(f"frozen before an append: the other's slowest {slowest([quick], 201):.2f} s")
    assert statuses([slow, quick]) == {201: 5, "none": 0}
    Book(database).holds_each_once([slow, quick])


def test_frozen_while_it_holds_the_log_it_is_cut_off(
    freezing: Service, other: Service, proxy: Proxy, database: str
) -> None:
    """The server frees the others in its time; the frozen one's append is void, and made again."""
    slow, quick = clients_of_one_job(freezing, other)
    first, *rest = schedules("J-1", 4)
    overtaken: list[bytes] = []

    def overtakes(request: bytes) -> bool:
        """Let the first append lose a race: the next one is made with the log held."""
        if not is_append(request):
            return False
        if not overtaken:
            overtaken.append(request)
            asyncio.run(quick.insist_on_all([first]))
            return False
        return True

    def freeze() -> None:
        assert proxy.befell(WAIT_SECONDS_MAX)
        freezing.freeze()
        asyncio.run(quick.insist_on_all(rest))
        freezing.thaw()
        proxy.release()

    proxy.next_request(Fate.HELD, when=overtakes)
    asyncio.run(beside([slow.insist_on_all(schedules("J-2", 2))], freeze))
    print(f"frozen with the log held: the other's slowest {slowest([quick], 201):.2f} s")
    assert statuses([quick]) == {201: 4, "none": 0}
    assert slowest([quick], 201) > 1, "the log was not held when it froze"
    Book(database).holds_each_once([slow, quick])


def clients_of_one_job(freezing: Service, other: Service) -> tuple[Client, Client]:
    """Adopt two jobs; answers a client at each service."""
    key = on_jobs(other, ["J-1", "J-2"])
    return Client(freezing.port, key), Client(other.port, key)


def is_append(request: bytes) -> bool:
    """Whether a request to the database is one that writes the answer to an ask."""
    return ANSWERED.encode() in request
