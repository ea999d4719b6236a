"""The load generator counts what was answered, and believes nothing that is not 2xx."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import cast

import pytest

from tests.benchmarks.load import HEAD_END, UnexpectedAnswer, load, percentile, request

CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}"
ASK = request("POST", "/v1/jobs/J-1/transitions", {"transition": "schedule"}, key="k")


@asynccontextmanager
async def answering(parts: Sequence[bytes]) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Answer every request with the same parts, one write each; give the port and what came."""
    asked: list[bytes] = []
    conversations: list[asyncio.Task[None]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversations.append(cast("asyncio.Task[None]", asyncio.current_task()))
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(HEAD_END)
                length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
                asked.append(head + await reader.readexactly(length))
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], asked
        async with asyncio.timeout(5):
            await asyncio.gather(*conversations)


def test_every_client_asks_at_least_once() -> None:
    """With no time at all each client asks once, and each answer is counted."""

    async def scene() -> None:
        async with answering([CREATED]) as (port, asked):
            measured = await load(port, [lambda: ASK] * 3, seconds=0)
            assert (measured.answers, measured.statuses) == (3, {201: 3})
            assert asked == [ASK] * 3

    asyncio.run(scene())


def test_a_client_sends_what_its_callback_gives_in_that_order() -> None:
    """A client's requests are those of its callback, one after the other."""
    asks = [request("POST", f"/{number}", {}) for number in range(10_000)]

    async def scene() -> None:
        async with answering([CREATED]) as (port, asked):
            measured = await load(port, [iter(asks).__next__], seconds=0.05)
            assert asked == asks[: measured.answers]

    asyncio.run(scene())


def test_an_answer_in_pieces_is_one_answer() -> None:
    """However the network cuts an answer, it counts once and when it is whole."""

    async def scene() -> None:
        async with answering([CREATED[:5], CREATED[5:30], CREATED[30:-1], CREATED[-1:]]) as (
            port,
            _,
        ):
            measured = await load(port, [lambda: ASK], seconds=0)
            assert measured.statuses == {201: 1}

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"HTTP/1.1 409 Conflict\r\nContent-Length: 8\r\n\r\nnot open", "not open"),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", "500"),
        (b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n", "without Content-Length"),
        (CREATED + CREATED, "another length"),
    ],
    ids=["refused", "broken", "chunked", "two at once"],
)
def test_what_is_not_one_good_answer_ends_the_load(answer: bytes, complaint: str) -> None:
    """The first answer that is not 2xx, or not readable, ends the load and is shown."""

    async def scene() -> None:
        async with answering([answer]) as (port, _):
            with pytest.raises(UnexpectedAnswer, match=complaint):
                await load(port, [lambda: ASK] * 4, seconds=30)

    asyncio.run(scene())


def test_a_percentile_is_a_value_that_was_seen() -> None:
    """The p-th percentile is the smallest value seen that p percent do not exceed."""
    hundred = [float(value) for value in range(1, 101)]
    assert [percentile(hundred, percent) for percent in (50, 99, 100)] == [50.0, 99.0, 100.0]
    assert percentile([7.0], 99) == 7.0
