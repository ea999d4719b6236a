"""What the door does with bodies that do not come."""

import asyncio

import pytest
from litestar.types import HTTPReceiveMessage

from api.door import read_body
from api.problems import MalformedRequest

SOON = 0.02


async def never() -> HTTPReceiveMessage:
    """Wait for a body that does not come."""
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


def test_a_body_that_does_not_come_is_refused() -> None:
    """Whoever sends no body in time is told so, and what handles the request can go on."""

    async def visit() -> int:
        with pytest.raises(MalformedRequest, match="did not arrive"):
            await read_body(never, seconds=SOON)
        await asyncio.sleep(2 * SOON)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert asyncio.run(visit()) == 0


def test_a_body_that_came_is_not_called_late_afterwards() -> None:
    """What takes longer than a body may is not ended by that."""

    async def at_once() -> HTTPReceiveMessage:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def visit() -> bytes:
        body = await read_body(at_once, seconds=SOON)
        await asyncio.sleep(2 * SOON)
        return body

    assert asyncio.run(visit()) == b"{}"


def test_who_is_told_to_end_while_a_body_is_awaited_ends() -> None:
    """A visit that is ended from outside is no late body."""

    async def visit() -> None:
        reading = asyncio.create_task(read_body(never))
        await asyncio.sleep(0)
        reading.cancel()
        await reading

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(visit())
