"""Tells the pages that are open when the log has moved; what they show of it, they fetch again."""

import asyncio
from time import monotonic
from typing import Final

from litestar.types import HTTPScope, Receive, Send

from api.door import EVENT_STREAM, Keeper, Operation, Visit, begin, read_body, refused, respond
from api.pages.session import signed_in
from api.problems import MalformedRequest
from lifecycle.refusals import NotSignedIn, Refusal

HEARTBEAT_SECONDS: Final = 15.0
LOOK_UP_SECONDS: Final = 1.0
"""How often a stream makes sure that its session stands, while nothing happens."""
PAUSE_SECONDS: Final = 0.5
"""Between two words that the log has moved."""
WRITE_SECONDS_MAX: Final = 30.0
POSITION_DIGITS_MAX: Final = 18
RETRY_MS: Final = 2000


async def stream(keeper: Keeper, scope: HTTPScope, receive: Receive, send: Send) -> None:
    """Tell whoever is signed in how far the log has come, whenever it comes further."""
    visit = Visit(scope, b"")
    try:
        await read_body(receive)
        position = _position(visit)
        await signed_in(keeper, visit)
        keeper.live.enter(keeper.journal)
    except Refusal as refusal:
        await respond(refused(refusal), keeper, visit.id, send)
        return
    gone = asyncio.create_task(_gone(receive))
    try:
        await _begin(keeper, visit, send)
        await _tell(keeper, visit, position, send, gone)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        keeper.live.leave()
        gone.cancel()


def _position(visit: Visit) -> int:
    """What the page has seen: as it heard last, else as it was made."""
    given = visit.query("after").get("after", "")
    given = visit.header(b"last-event-id") or given or "0"
    if not (given.isascii() and given.isdigit() and len(given) <= POSITION_DIGITS_MAX):
        raise MalformedRequest("after: a position, a whole number from 0")
    return int(given)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


async def _begin(keeper: Keeper, visit: Visit, send: Send) -> None:
    await begin(keeper, visit, send, EVENT_STREAM, [(b"x-content-type-options", b"nosniff")])
    await _send(send, b"retry: %d\n\n" % RETRY_MS)


async def _tell(
    keeper: Keeper, visit: Visit, position: int, send: Send, gone: asyncio.Task[None]
) -> None:
    """Tell until the visitor goes, the session ends, or the service does."""
    live, said_at = keeper.live, monotonic()
    while not gone.done() and not live.stopping:
        try:
            await signed_in(keeper, visit)
        except NotSignedIn:
            await _send(send, b"event: over\ndata: signed out\n\n")
            return
        reached = keeper.journal.position
        if reached > position:
            await _send(send, b"id: %d\nevent: moved\ndata: %d\n\n" % (reached, reached))
            position, said_at = reached, monotonic()
            await asyncio.wait((gone,), timeout=PAUSE_SECONDS)
            continue
        if monotonic() - said_at >= HEARTBEAT_SECONDS:
            await _send(send, b"event: still\ndata: here\n\n")
            said_at = monotonic()
        waiting = asyncio.create_task(live.news(LOOK_UP_SECONDS))
        await asyncio.wait((waiting, gone), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()


async def _send(send: Send, body: bytes) -> None:
    async with asyncio.timeout(WRITE_SECONDS_MAX):
        await send({"type": "http.response.body", "body": body, "more_body": True})


PAGES: Final = (
    Operation(
        "GET",
        "/live",
        None,
        "How far the log has come, to pages that are open: server-sent events",
        gives=None,
        converse=stream,
        media_type="text/event-stream",
    ),
)
