"""The log as it is shown: in pages, and live.

What happened to cases is shown, and what was refused; keys, remembered requests, the inner book of
references and the texts of definitions are not, so positions have gaps.

A live stream keeps no queue: every client goes through the log at its own pace, and what is newest
is kept once for all. Who does not read is hung up on after a while, and resumes where it was.
"""

import asyncio
from collections.abc import Iterable
from time import monotonic
from typing import Final

import structlog
from litestar.types import HTTPScope, Receive, Send
from msgspec import Struct

from api.asking import hidden_from
from api.door import (
    EVENT_STREAM,
    Answer,
    Keeper,
    Operation,
    Visit,
    begin,
    read_body,
    refused,
    respond,
    told,
)
from api.keys import identify_now
from api.paging import LIMIT_MAX, limit_asked
from api.problems import JSON, MalformedRequest
from lifecycle.events import Asker, Entry
from lifecycle.refusals import NotSignedIn, Refusal
from projections.live import page
from projections.timeline import EventView, seen_by, view

LIMIT: Final = 100
POSITION_DIGITS_MAX: Final = 18
LOOKED_AT_MAX: Final = 5000
"""Events that one page looks through for those that the asker may see."""

HEARTBEAT_SECONDS: Final = 15.0
WRITE_SECONDS_MAX: Final = 30.0
"""How long a client may take to take what it is sent."""
LOOK_UP_SECONDS: Final = 1.0
"""How often a stream makes sure that its key is still honoured, while nothing happens."""
RETRY_MS: Final = 1000

log = structlog.get_logger("statekeeper.events")


class Events(Struct):
    """A page of the log."""

    items: list[EventView]
    next: int | None
    """Give it as `after` for the next page; null where the log ends for now."""


async def list_events(keeper: Keeper, visit: Visit) -> Answer:
    """A page of what happened, oldest first."""
    query = visit.query("after", "limit")
    after = _position("after", query.get("after", "0"))
    limit = limit_asked(query, LIMIT)
    asker = await identify_now(keeper, visit)

    def read() -> Events:
        shown: list[EventView] = []
        position, looked_at = after, 0
        while looked_at < LOOKED_AT_MAX:
            entries, reached = page(keeper.journal, position, min(2 * limit, LOOKED_AT_MAX))
            if reached == position:
                return Events(shown, None)
            for entry in entries:
                if (event := shown_to(asker, entry, keeper)) is not None:
                    shown.append(event)
                    if len(shown) == limit:
                        return Events(shown, entry.position)
            looked_at += 2 * limit
            position = reached
        return Events(shown, position)

    return told(await asyncio.to_thread(read))


def shown_to(asker: Asker, entry: Entry, keeper: Keeper) -> EventView | None:
    """An event as this asker may see it; None where it may not at all."""
    collection = entry.stream.partition(":")[2].partition("/")[0]
    lifecycle = keeper.catalogue.lifecycles.get(collection)
    if lifecycle is None:
        return None if asker.tool else view(entry, None)
    if asker.tool and asker.tool not in lifecycle.declaration.tools:
        return None
    if not seen_by(asker.tool, [entry]):
        return None
    return view(entry, lifecycle, hidden=hidden_from(asker, lifecycle))


def _position(name: str, given: str) -> int:
    if not (given.isascii() and given.isdigit() and len(given) <= POSITION_DIGITS_MAX):
        raise MalformedRequest(f"{name}: a position, a whole number from 0")
    return int(given)


# --- live ---------------------------------------------------------------------------------------


async def stream_events(keeper: Keeper, scope: HTTPScope, receive: Receive, send: Send) -> None:
    """Tell what happens as it happens, as server-sent events."""
    visit = Visit(scope, b"")
    try:
        await read_body(receive)
        position = _resumed(visit, keeper)
        asker = await identify_now(keeper, visit)
        keeper.live.enter(keeper.journal)
    except Refusal as refusal:
        await respond(refused(refusal), keeper, visit.id, send)
        return
    gone = asyncio.create_task(_gone(receive))
    try:
        await _begin(keeper, visit, send)
        await _tell(keeper, visit, asker, position, send, gone)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    except TimeoutError:
        log.info("hung up on a client that does not read", request=visit.id)
        raise
    finally:
        keeper.live.leave()
        gone.cancel()


def _resumed(visit: Visit, keeper: Keeper) -> int:
    """Where the client was: what it heard last, else what it asks for, else now."""
    query = visit.query("after")
    last = visit.header(b"last-event-id")
    if last is not None:
        return _position("Last-Event-ID", last)
    return _position("after", query["after"]) if "after" in query else keeper.journal.position


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


async def _begin(keeper: Keeper, visit: Visit, send: Send) -> None:
    await begin(keeper, visit, send, EVENT_STREAM)
    await _send(send, b"retry: %d\n\n" % RETRY_MS)


async def _tell(
    keeper: Keeper,
    visit: Visit,
    asker: Asker,
    position: int,
    send: Send,
    gone: asyncio.Task[None],
) -> None:
    """Tell until the client goes, the key is revoked, or the service ends."""
    live, said_at = keeper.live, monotonic()
    while not gone.done() and not live.stopping:
        entries, reached = await live.after(keeper.journal, position)
        try:
            await identify_now(keeper, visit)
        except NotSignedIn:
            return
        body = b"".join(_written(asker, entries, keeper))
        if body:
            await _send(send, body)
            said_at = monotonic()
        elif monotonic() - said_at >= HEARTBEAT_SECONDS:
            await _send(send, b": still here\n\n")
            said_at = monotonic()
        if reached == position:
            waiting = asyncio.create_task(live.news(LOOK_UP_SECONDS))
            await asyncio.wait((waiting, gone), return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
        position = reached


def _written(asker: Asker, entries: Iterable[Entry], keeper: Keeper) -> Iterable[bytes]:
    for entry in entries:
        event = shown_to(asker, entry, keeper)
        if event is not None:
            data = JSON.encode(event)
            kind = event.type.encode()
            yield b"id: %d\nevent: %s\ndata: %s\n\n" % (event.position, kind, data)


async def _send(send: Send, body: bytes) -> None:
    async with asyncio.timeout(WRITE_SECONDS_MAX):
        await send({"type": "http.response.body", "body": body, "more_body": True})


OPERATIONS = (
    Operation(
        "GET",
        "/v1/events",
        list_events,
        "What happened to cases, and what was refused, oldest first",
        gives=Events,
        query={
            "after": "what follows this position; from the beginning unless told",
            "limit": f"how many, 1 to {LIMIT_MAX}; {LIMIT} unless told",
        },
    ),
    Operation(
        "GET",
        "/v1/events/stream",
        None,
        "The same, live: server-sent events, whose `id` is the position;"
        " resumes from `Last-Event-ID`",
        gives=None,
        query={"after": "begin after this position; with what happens next unless told"},
        converse=stream_events,
        media_type="text/event-stream",
    ),
)
