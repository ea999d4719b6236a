"""PostgreSQL dies under load, or its answers do: the service says so, recovers, and is right."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.chaos.book import ANSWERED, Book
from tests.chaos.clients import (
    Ask,
    Client,
    Heard,
    acknowledged,
    beside,
    crowd,
    on_jobs,
    replays,
    schedules,
    slowest,
    statuses,
)
from tests.chaos.proxy import Fate, Proxy
from tests.databases import Postgres, running_postgres
from tests.running import Service, running_service, until

pytestmark = pytest.mark.chaos

CLIENTS = 100
ASKS = 30
KILLS = 4
LOST = 8
HANGING_SECONDS = 10.0
"""No bound of the service's is as long as this where the server is dead, not silent."""
SEEN_SECONDS = 0.3
"""How long the server stays away after that is noticed."""


@pytest.fixture(scope="module")
def mortal() -> Iterator[Postgres]:
    """Run a server that only the tests of this file may kill."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def proxy(postgres: Postgres) -> Iterator[Proxy]:
    with Proxy(postgres.socket) as proxy:
        yield proxy


@pytest.fixture
def direct(postgres: Postgres) -> str:
    """The database that `through` reaches through the proxy."""
    return postgres.new()


@pytest.fixture
def through(proxy: Proxy, direct: str, tmp_path: Path) -> Iterator[Service]:
    """Run a service whose way to its database is the proxy."""
    schema = urlsplit(direct).query.rpartition("schema=")[2]
    address = f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres?schema={schema}"
    with running_service(address, tmp_path) as service:
        yield service


def test_a_server_that_is_killed_is_waited_for_and_nothing_is_lost(
    mortal: Postgres, tmp_path: Path
) -> None:
    """While it is dead asks are refused at once; when it is back all goes on, each done once."""
    with running_service(mortal.new(), tmp_path) as service:
        clients = crowd(service, CLIENTS)
        noticed: list[float] = []
        back: list[float] = []

        def under_way() -> bool:
            done = len(acknowledged(clients.values()))
            return done > CLIENTS * ASKS * (len(back) + 1) // (KILLS + 1)

        def kill_and_restart() -> None:
            for _ in range(KILLS):
                until(under_way, "it is busy")
                mortal.kill()
                try:
                    noticed.append(until(lambda: not service.ready, "it says that it is not ready"))
                    time.sleep(SEEN_SECONDS)
                finally:
                    mortal.start()
                back.append(until(lambda: service.ready, "it is ready again"))

        work = [client.insist_on_all(schedules(job, ASKS)) for job, client in clients.items()]
        asyncio.run(beside(work, kill_and_restart))
        book = Book(service.database)
    refused = [
        heard for client in clients.values() for _, heard in client.heard if heard.status == 503
    ]
    print(
        f"PostgreSQL killed: {dict(statuses(clients.values()))},"
        f" {replays(clients.values())} replayed,"
        f" slowest 503 {slowest(clients.values(), 503):.2f} s,"
        f" not ready after {max(noticed):.2f} s, ready {max(back):.2f} s after the start,"
        f" {sum(heard.body['may_have_happened'] for heard in refused)} may have happened"
    )
    assert refused
    assert set(statuses(clients.values())) <= {201, 503, "none"}
    assert statuses(clients.values())["none"] == 0
    assert {(heard.code, heard.headers["retry-after"]) for heard in refused} == {
        ("storage-unavailable", "1")
    }
    assert slowest(clients.values(), 503) < HANGING_SECONDS
    book.holds_each_once(clients.values())
    assert all(len(book.moves(job)) == ASKS for job in clients)


def is_append(request: bytes) -> bool:
    """Whether a request to the database is one that writes the answer to an ask."""
    return ANSWERED.encode() in request


LOSING = [Fate.CUT_BEFORE, Fate.CUT_AT_ONCE, Fate.CUT_AFTER, Fate.HANG_AFTER]


@pytest.mark.parametrize("fate", LOSING, ids=[fate.name.lower() for fate in LOSING])
def test_an_answer_that_the_database_loses_is_found_out(
    through: Service, direct: str, proxy: Proxy, fate: Fate
) -> None:
    """Cut off or left hanging around a commit, the ask is done once, and answered so."""
    client = Client(through.port, on_jobs(through, ["J-1"]))
    proxy.next_request(fate, when=is_append)
    asyncio.run(client.insist_on_all(schedules("J-1", 3)))
    assert proxy.befell(0)
    print(f"{fate.name}: {statuses([client])}, slowest {slowest([client], 201):.2f} s")
    assert statuses([client])[201] == 3
    Book(direct).holds_each_once([client])


@pytest.mark.parametrize("fate", [Fate.CUT_BEFORE, Fate.CUT_AFTER], ids=["undone", "done"])
def test_what_cannot_be_known_is_said_and_the_repeat_gives_the_truth(
    through: Service, direct: str, proxy: Proxy, fate: Fate
) -> None:
    """With the way to the database gone, the answer is that it may have happened."""
    client = Client(through.port, on_jobs(through, ["J-1"]))
    (ask,) = schedules("J-1", 1)

    async def doubt() -> tuple[Heard, Heard]:
        proxy.next_request(fate, then_refuse=True, when=is_append)
        doubted = await client.ask(ask)
        proxy.refuses = False
        repeated = await client.insist(ask)
        client.close()
        return doubted, repeated

    doubted, repeated = asyncio.run(doubt())
    print(f"{fate.name}: 503 after {doubted.seconds:.2f} s")
    assert (doubted.status, doubted.code) == (503, "storage-unavailable")
    assert doubted.body["may_have_happened"] is True
    assert "retry-after" in doubted.headers
    assert ("idempotency-replayed" in repeated.headers) == (fate is Fate.CUT_AFTER)
    Book(direct).holds_each_once([client])
    assert len(Book(direct).moves("J-1")) == 1


def test_nobody_queues_behind_a_commit_in_doubt(
    through: Service, direct: str, proxy: Proxy
) -> None:
    """While one ask waits for a log that is silent, the next ones are refused at once."""
    key = on_jobs(through, ["J-1", "J-2"])
    doubted, refused = Client(through.port, key), Client(through.port, key)

    def ask_meanwhile() -> None:
        until(lambda: not through.ready, "it says that it is not ready")
        heard = asyncio.run(once(refused, *schedules("J-2", 1)))
        assert (heard.status, heard.code) == (503, "storage-unavailable")
        assert heard.body["may_have_happened"] is False
        assert not doubted.heard, "the one in doubt was answered first"
        proxy.refuses = False

    proxy.next_request(Fate.HANG_AFTER, then_refuse=True, when=is_append)
    asyncio.run(beside([doubted.insist_on_all(schedules("J-1", 1))], ask_meanwhile))
    until(lambda: through.ready, "it is ready again")
    print(f"in doubt: {slowest([doubted], 201):.2f} s, meanwhile {slowest([refused], 503):.2f} s")
    asyncio.run(refused.insist_on_all(schedules("J-2", 1)))
    Book(direct).holds_each_once([doubted, refused])


async def once(client: Client, ask: Ask) -> Heard:
    """Ask and hang up."""
    heard = await client.ask(ask)
    client.close()
    return heard


def test_many_commits_whose_answers_are_lost_are_each_done_once(
    through: Service, direct: str, proxy: Proxy
) -> None:
    """Again and again under load the answer to a commit is lost: nothing is doubled or lost."""
    clients = crowd(through, 40)

    def lose_answers() -> None:
        for _ in range(LOST):
            proxy.next_request(Fate.CUT_AFTER, when=is_append)
            until(lambda: proxy.befell(0), "an append came by")

    work = [client.insist_on_all(schedules(job, 40)) for job, client in clients.items()]
    asyncio.run(beside(work, lose_answers))
    print(
        f"{LOST} answers lost: {dict(statuses(clients.values()))},"
        f" {replays(clients.values())} replayed, slowest {slowest(clients.values(), 201):.2f} s"
    )
    book = Book(direct)
    book.holds_each_once(clients.values())
    assert all(len(book.moves(job)) == 40 for job in clients)
