"""A bounded load generator: many clients, each with one request under way at a time.

Raw HTTP/1.1 over kept-alive connections of an asyncio protocol, because a comfortable client
would be slower than what it measures. It reads answers that have a ``Content-Length`` and knows
nothing else of HTTP: it speaks only to the servers of these benchmarks, on 127.0.0.1.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import cast

import msgspec

HEAD_END = b"\r\n\r\n"
ANSWER_BYTES_MAX = 1 << 20
SECONDS_AFTER_THE_END_MAX = 10.0
"""How long answers may still take when the time is over."""


class UnexpectedAnswer(Exception):
    """A server answered what is not 2xx, or not HTTP as it is read here, or hung up."""


class Measured(msgspec.Struct, frozen=True):
    """What one round of load saw."""

    answers: int
    seconds: float
    """From the first request to the last answer."""
    p50_ms: float
    p99_ms: float
    slowest_ms: float
    statuses: Mapping[int, int]
    """How many answers had which status."""

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.answers / self.seconds


async def load(
    port: int, next_requests: Sequence[Callable[[], bytes]], *, seconds: float
) -> Measured:
    """Drive one client per callback, which gives its next request, for so many seconds.

    A client stops only after an answer, so a callback's state stays true from round to round; with
    no seconds at all each client asks once.

    Raises:
        UnexpectedAnswer: with the first answer that is not 2xx; the load ends at once.
        TimeoutError: where answers do not come within ten seconds after the end.
    """
    loop = asyncio.get_running_loop()
    start = perf_counter()
    clients: list[Client] = []
    try:
        async with asyncio.timeout(seconds + SECONDS_AFTER_THE_END_MAX):
            for next_request in next_requests:
                protocol = partial(Client, next_request, start + seconds)
                _, client = await loop.create_connection(protocol, "127.0.0.1", port)
                clients.append(client)
            await asyncio.gather(*(client.done for client in clients))
    finally:
        for client in clients:
            client.close()
    return summary(clients, perf_counter() - start)


def summary(clients: Sequence["Client"], seconds: float) -> Measured:
    """Add up what the clients saw."""
    took = sorted(second for client in clients for second in client.took)
    statuses = sum((client.statuses for client in clients), Counter[int]())
    return Measured(
        answers=len(took),
        seconds=seconds,
        p50_ms=percentile(took, 50) * 1000,
        p99_ms=percentile(took, 99) * 1000,
        slowest_ms=took[-1] * 1000,
        statuses=dict(sorted(statuses.items())),
    )


def percentile(ordered: Sequence[float], percent: int) -> float:
    """Give the smallest value that so many percent of the ordered values do not exceed."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


class Client(asyncio.Protocol):
    """One connection: asks, waits for the whole answer, asks again until the end."""

    def __init__(self, next_request: Callable[[], bytes], end: float) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.took: list[float] = []
        self.statuses: Counter[int] = Counter()
        self._next_request = next_request
        self._end = end
        self._heard = b""
        self._asked_at = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first time."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by duck type
        self._ask(perf_counter())

    def data_received(self, data: bytes) -> None:
        """Count a whole answer, and ask again."""
        self._heard += data
        try:
            status = whole_answer(self._heard)
        except UnexpectedAnswer as unexpected:
            self._fail(unexpected)
            return
        if status is None:
            return
        now = perf_counter()
        self.took.append(now - self._asked_at)
        self.statuses[status] += 1
        self._heard = b""
        if now < self._end:
            self._ask(now)
        elif not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail where answers were still expected."""
        self._fail(UnexpectedAnswer(f"the server hung up: {exc}"))

    def close(self) -> None:
        """Hang up; what is still under way is given up."""
        if not self.done.cancel() and not self.done.cancelled():
            self.done.exception()  # looked at, so that asyncio does not report every client's
        if self._transport is not None:
            self._transport.abort()

    def _ask(self, now: float) -> None:
        assert self._transport is not None
        self._asked_at = now
        self._transport.write(self._next_request())

    def _fail(self, why: UnexpectedAnswer) -> None:
        if not self.done.done():
            self.done.set_exception(why)


def whole_answer(heard: bytes) -> int | None:
    """Give the status of the answer heard, or None while it is not whole.

    Raises:
        UnexpectedAnswer: where it is not 2xx, has no length, or goes on after its end.
    """
    head_end = heard.find(HEAD_END)
    if head_end < 0:
        return None
    head = heard[:head_end].lower()
    mark = head.find(b"\r\ncontent-length:")
    if mark < 0:
        raise UnexpectedAnswer(f"an answer without Content-Length: {said(heard)}")
    line_end = head.find(b"\r\n", mark + 2)
    length = int(head[mark + 17 : line_end if line_end > 0 else None])
    missing = head_end + len(HEAD_END) + length - len(heard)
    if missing > 0 and length <= ANSWER_BYTES_MAX:
        return None
    if missing != 0:
        raise UnexpectedAnswer(f"an answer of another length than it says: {said(heard)}")
    status = int(head[9:12])
    if not 200 <= status <= 299:
        raise UnexpectedAnswer(f"an answer that is not 2xx: {said(heard)}")
    return status


def said(heard: bytes) -> str:
    """Show the beginning of an answer."""
    return heard[:600].decode(errors="replace")


def request(method: str, path: str, body: object = None, *, key: str = "none") -> bytes:
    """Build the bytes of a request; a body of None is no body."""
    content = b"" if body is None else msgspec.json.encode(body)
    return (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    ).encode() + content
