"""A queue that is full, a disk that is full: said at once, nothing half done, and it passes."""

import asyncio
import itertools
import resource
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from tests.chaos.book import Book
from tests.chaos.clients import (
    Ask,
    Client,
    acknowledged,
    beside,
    crowd,
    replays,
    schedules,
    slowest,
    statuses,
)
from tests.running import Service, issue_key, running_service, until

pytestmark = pytest.mark.chaos


@contextmanager
def written_by_another(database: str) -> Iterator[None]:
    """Keep the service's writer waiting, as a command line that writes does."""
    with closing(sqlite3.connect(database.removeprefix("sqlite:///"), timeout=10)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.rollback()


@pytest.mark.parametrize(
    ("clients", "padding", "refused"), [(150, 900_000, 60), (4500, 0, 50)], ids=["large", "many"]
)
def test_a_full_queue_refuses_at_once_and_empties(
    sqlite_service: Service, clients: int, padding: int, refused: int
) -> None:
    """What has no place is refused while the others still wait; what waits is done once."""
    service = sqlite_service
    crm = issue_key(service.database, tool="crm").key
    crowd = {f"J-{number}": Client(service.port, crm) for number in range(clients)}

    def overloaded() -> int:
        return sum(
            heard.status == 503 and heard.code == "overloaded"
            for client in crowd.values()
            for _, heard in client.heard
        )

    def wait_for_refusals() -> None:
        with written_by_another(service.database):
            until(lambda: overloaded() >= refused, "asks are refused while the writer waits")

    work = [
        client.insist_on_all([Ask("POST", "/v1/jobs", {"id": job}, job, padding)])
        for job, client in crowd.items()
    ]
    asyncio.run(beside(work, wait_for_refusals))
    book = Book(service.database)
    print(
        f"full queue: {dict(statuses(crowd.values()))}, {overloaded()} overloaded,"
        f" slowest 503 {slowest(crowd.values(), 503):.2f} s"
    )
    told = [heard for client in crowd.values() for _, heard in client.heard if heard.status == 503]
    assert {heard.headers["retry-after"] for heard in told} == {"1"}
    assert {heard.headers["content-type"] for heard in told} == {"application/problem+json"}
    assert statuses(crowd.values())[201] == clients
    for job in crowd:
        assert len(book.streams[f"case:jobs/{job}"]) == 1
        assert len(book.streams[f"request:tool:crm/{job}"]) == 1
    assert service.ready


Disk = tuple[Path, Callable[[], None] | None, Callable[[Service], None]]
"""A folder on it, what limits the process, and how room is made."""

FILE_BYTES_MAX = 1_500_000
ROOM_BYTES = 4 * 2**20
"""Here the lists and the courier's book stand too."""
DISK_BYTES = 32 * 2**20


@contextmanager
def small_file_system(folder: Path) -> Iterator[Disk]:
    """Mount a file system with little room; skips the test where that is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    with suppress(FileNotFoundError):
        if subprocess.run(mount, capture_output=True, check=False).returncode == 0:
            ballast = folder / "ballast"
            ballast.write_bytes(bytes(DISK_BYTES - ROOM_BYTES))
            try:
                yield folder, None, lambda _: ballast.unlink()
            finally:
                subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S607 - found where the machine keeps it
            return
    pytest.skip("no file system may be mounted here")


@contextmanager
def small_files(folder: Path) -> Iterator[Disk]:
    """Let no file of the service grow far."""
    folder.mkdir()
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES_MAX, resource.RLIM_INFINITY))

    def make_room(service: Service) -> None:
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, unlimited)

    yield folder, limit, make_room


@pytest.mark.parametrize("disk", [small_file_system, small_files])
def test_a_full_disk_is_said_and_passes(
    tmp_path: Path, disk: Callable[[Path], Iterator[Disk]]
) -> None:
    """Asks are refused and readiness is off until there is room; what is there can be read."""
    with (
        disk(tmp_path / "disk") as (folder, limit, make_room),  # type: ignore[attr-defined]  # of the kind that is meant here
        running_service(f"sqlite:///{folder}/log.db", tmp_path, before=limit) as service,
    ):
        clients = crowd(service, 20)
        asks = {job: iter(schedules(job, 5000)) for job in clients}
        reader = Client(service.port, issue_key(service.database, staff="Reader").key)
        readiness: list[bool] = []

        async def fill(job: str, client: Client) -> Ask:
            for ask in asks[job]:
                if (await client.ask(ask)).status == 503:
                    return ask
            raise AssertionError("the disk has room for everything")

        async def fill_and_read() -> list[Ask]:
            refused = await asyncio.gather(*(fill(job, one) for job, one in clients.items()))
            for _ in range(20):
                readiness.append(service.ready)
                await asyncio.sleep(0.1)
            again = [client.ask(ask) for client, ask in zip(clients.values(), refused, strict=True)]
            for job in clients:
                show = reader.ask(Ask("GET", f"/v1/jobs/{job}", {}))
                shown, *_ = await asyncio.gather(show, *again)
                again = []
                assert shown.status == 200, shown
            return refused

        async def write_again(refused: list[Ask]) -> None:
            todo = [[ask, *itertools.islice(asks[ask.path.split("/")[3]], 20)] for ask in refused]
            work = zip(clients.values(), todo, strict=True)
            await asyncio.gather(*(client.insist_on_all(more) for client, more in work))

        async def fail_and_recover() -> None:
            try:
                refused = await fill_and_read()
                make_room(service)
                await asyncio.to_thread(until, lambda: service.ready, "it is ready again")
                await write_again(refused)
            finally:
                for client in (reader, *clients.values()):
                    client.close()

        asyncio.run(fail_and_recover())
        book = Book(service.database)
    told = [h for client in clients.values() for _, h in client.heard if h.status == 503]
    print(
        f"full disk: {dict(statuses(clients.values()))}, {replays(clients.values())} replayed,"
        f" slowest 503 {slowest(clients.values(), 503):.2f} s,"
        f" {len(acknowledged(clients.values()))} acknowledged"
    )
    assert {(heard.code, heard.body["may_have_happened"]) for heard in told} == {
        ("storage-unavailable", False)
    }
    assert {heard.headers["retry-after"] for heard in told} == {"1"}
    assert not any(readiness)
    book.holds_each_once(clients.values())
