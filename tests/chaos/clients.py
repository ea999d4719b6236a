"""Clients that ask one thing at a time over HTTP, repeat it until answered, and keep every answer.

Raw HTTP/1.1 over kept-alive connections: some hundred of them fit beside a service on two cores.
Every ask carries an idempotency key, and its repeats carry the same.
"""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from threading import Event
from typing import Any

import httpx
import msgspec

from tests.running import Service, issue_key

REPEAT_SECONDS = 0.1
ANSWER_SECONDS_MAX = 20.0
"""Longer than anything that the service allows itself."""
TRIES_MAX = 200


class Ask(msgspec.Struct, frozen=True):
    """One thing to ask for, and the key under which it is asked, however often."""

    method: str
    path: str
    body: dict[str, Any]
    key: str | None = None
    padding: int = 0
    """Bytes of white space after the body."""


class Heard(msgspec.Struct, frozen=True):
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: Any
    seconds: float
    """From the first byte asked to the last byte heard."""
    since: int = 0
    """A position that was in the log before the question was sent."""

    @property
    def position(self) -> int:
        """How far the service had read the log when it answered."""
        return int(self.headers["statekeeper-position"])

    @property
    def code(self) -> str:
        """The last part of a problem's type."""
        return str(self.body["type"]).rpartition("/")[2]


class NoAnswer(Exception):
    """The connection ended, or could not be made, before the answer was whole."""


class Client:
    """One connection of one tool; what it asked and heard is kept."""

    def __init__(self, port: int, key: str) -> None:
        """Connect to nothing yet."""
        self.port = port
        self.heard: list[tuple[Ask, Heard]] = []
        self.unanswered: list[Ask] = []
        """One entry for every time that no answer came."""
        self._key = key
        self._position = 0
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, ask: Ask) -> Heard:
        """Ask once; `NoAnswer` where the connection ends first."""
        started, since = time.monotonic(), self._position
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                status, headers, body = await self._exchange(self._written(ask))
        except (OSError, EOFError, asyncio.IncompleteReadError) as exc:
            self.unanswered.append(ask)
            self.close()
            raise NoAnswer(str(ask)) from exc
        if headers.get("connection") == "close":
            self.close()
        heard = Heard(status, headers, msgspec.json.decode(body), time.monotonic() - started, since)
        self._position = max(self._position, int(headers.get("statekeeper-position", 0)))
        self.heard.append((ask, heard))
        return heard

    async def ask_if_served(self, ask: Ask) -> Heard | None:
        """Ask once; None where nobody answers."""
        try:
            return await self.ask(ask)
        except NoAnswer:
            return None

    async def insist(self, ask: Ask) -> Heard:
        """Repeat an ask until the service has an answer to it."""
        for _ in range(TRIES_MAX):
            try:
                heard = await self.ask(ask)
            except NoAnswer:
                await asyncio.sleep(REPEAT_SECONDS)
                continue
            if heard.status != httpx.codes.SERVICE_UNAVAILABLE:
                return heard
            await asyncio.sleep(REPEAT_SECONDS)
        raise AssertionError(f"not answered in {TRIES_MAX} tries: {ask}")

    async def insist_on_all(self, asks: Iterable[Ask]) -> None:
        """Ask one after the other, each until it is answered."""
        for ask in asks:
            await self.insist(ask)
        self.close()

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    def _written(self, ask: Ask) -> bytes:
        body = msgspec.json.encode(ask.body) if ask.body else b""
        body += b" " * ask.padding
        key = f"Idempotency-Key: {ask.key}\r\n" if ask.key else ""
        head = (
            f"{ask.method} {ask.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {self._key}\r\n{key}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    async def _exchange(self, request: bytes) -> tuple[int, Mapping[str, str], bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self._streams
        writer.write(request)
        await writer.drain()
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(int(headers["content-length"]))
        return int(status.split()[1]), headers, body


def schedules(job: str, count: int) -> list[Ask]:
    """Schedule a job and take it back, and so on: done once each, and in turn, all succeed."""
    return list(itertools.islice(_alternating(job, job), count))


def schedules_until(job: str, done: Event) -> Iterator[Ask]:
    """Do the same until something else is done."""
    return itertools.takewhile(lambda _: not done.is_set(), _alternating(job, job))


def contested_until(jobs: Sequence[str], whose: str, done: Event) -> Iterator[Ask]:
    """Ask the same of several jobs in turn, whatever others have made of them meanwhile."""
    for each in zip(*(_alternating(job, f"{whose}-{job}") for job in jobs), strict=True):
        for ask in each:
            if done.is_set():
                return
            yield ask


def _alternating(job: str, key: str) -> Iterator[Ask]:
    path = f"/v1/jobs/{job}/transitions"
    schedule = {"transition": "schedule", "fields": {"scheduled_for": "2026-05-11"}}
    for number in itertools.count():
        body = {"transition": "unschedule"} if number % 2 else schedule
        yield Ask("POST", path, body, f"{key}-{number}")


def crowd(service: Service, count: int) -> dict[str, Client]:
    """Adopt so many jobs, and give each a client of the tool that moves them."""
    jobs = [f"J-{number}" for number in range(count)]
    projects = on_jobs(service, jobs)
    return {job: Client(service.port, projects) for job in jobs}


def on_jobs(service: Service, jobs: Iterable[str]) -> str:
    """Adopt these jobs; answers a key of the tool that moves them."""
    adopt(service.port, issue_key(service.database, staff="Dispatch").key, jobs)
    return issue_key(service.database, tool="projects").key


def adopt(port: int, staff_key: str, jobs: Iterable[str]) -> None:
    """Take in jobs whose deposit is confirmed."""
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {staff_key}"}
    ) as http:
        for job in jobs:
            body = {"id": job, "state": "deposit_confirmed", "reason": "already under way"}
            adopted = http.post("/v1/jobs", json=body)
            assert adopted.status_code == httpx.codes.CREATED, adopted.text


async def beside(work: Iterable[Awaitable[None]], meanwhile: Callable[[], None]) -> None:
    """Let clients work while something that blocks is done to the service; end with both."""
    await asyncio.gather(*work, asyncio.to_thread(meanwhile))


def acknowledged(clients: Iterable[Client]) -> list[tuple[Ask, Heard]]:
    """Everything that was answered with success, repeats too."""
    return [
        (ask, heard)
        for client in clients
        for ask, heard in client.heard
        if heard.status < httpx.codes.BAD_REQUEST
    ]


def statuses(clients: Iterable[Client]) -> Counter[int | str]:
    """How often which answer was heard, and how often none."""
    counted: Counter[int | str] = Counter()
    for client in clients:
        counted.update(heard.status for _, heard in client.heard)
        counted["none"] += len(client.unanswered)
    return counted


def replays(clients: Iterable[Client]) -> int:
    """How many answers were given to asks that had been done before."""
    return sum("idempotency-replayed" in heard.headers for _, heard in acknowledged(clients))


def slowest(clients: Iterable[Client], status: int) -> float:
    """Seconds that the slowest answer with this status took; 0 where there was none."""
    heard = (heard for client in clients for _, heard in client.heard)
    return max((one.seconds for one in heard if one.status == status), default=0.0)
