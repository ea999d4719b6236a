"""The same for all that a filter names: planned, or done one after the other and told as it goes.

The answer is one JSON object whose items come a line each as they are done, so a client that only
reads JSON and one that wants to see progress read the same. What is done stays done: the same again
goes on where it was broken off.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Final, Generic, TypeVar

import msgspec
import structlog
from litestar.types import HTTPScope, Receive, Send
from msgspec import Meta, Struct

from api.asking import Reason
from api.door import Keeper, Visit, reach, read_body, refused, respond, told
from api.keys import identify
from api.problems import JSON, InternalFault, status_of
from lifecycle.asks import Ask
from lifecycle.events import Asker
from lifecycle.journal import Outcome, Record
from lifecycle.refusals import Overloaded, Refusal, StorageUnavailable

AT_ONCE: Final = 50
"""Asks that are put to the journal together; people's asks go first."""
ITEMS_MAX: Final = 100_000
"""What one call does at most: the oldest of them; the next call does the rest."""
SAMPLE: Final = 10
PAGE: Final = 500
PAUSE_SECONDS: Final = 0.05
SEND_SECONDS_MAX: Final = 30.0
OUR_FAULT: Final = "this is our fault; the service's log says more"

ToolId = Annotated[str, Meta(extra_json_schema={"$ref": "#/components/schemas/ToolId"})]
Collection = Annotated[str, Meta(extra_json_schema={"$ref": "#/components/schemas/Collection"})]
CaseId = Annotated[str, Meta(extra_json_schema={"$ref": "#/components/schemas/CaseId"})]
Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]

log = structlog.get_logger("statekeeper.bulk")


class Filter(Struct, forbid_unknown_fields=True):
    """Which: as their list is filtered."""

    tool: ToolId | None = None
    collection: Collection | None = None
    id: CaseId | None = None
    since: Moment | None = None
    until: Moment | None = None
    plan: bool = False
    """Only tell how many there are, and show some."""
    reason: Reason | None = None
    """Why; needed from staff."""

    def query(self) -> dict[str, str]:
        """The same as the query of their list."""
        filters = msgspec.structs.asdict(self)
        return {name: value for name, value in filters.items() if isinstance(value, str)}


class Item(Struct, omit_defaults=True):
    """What became of one."""

    id: str
    outcome: str = ""
    """What it is now; empty where it could not be done."""
    was: str = ""
    why: str = ""
    status: int = 200
    """As it would have been answered alone."""
    problem: str = ""
    """Why it could not be done."""


class Plan(Struct, omit_defaults=True):
    """How many there are; what became of each, or with `plan` some of them."""

    count: int
    items: list[Item] | None = None
    """Oldest first, as they were done."""


R = TypeVar("R", bound=Any)


class Bulk(ABC, Generic[R]):
    """One kind of such an act."""

    filters: ClassVar[type[Filter]]

    def __init__(self, keeper: Keeper) -> None:
        """Work for one service."""
        self.keeper = keeper

    @abstractmethod
    def admit(self, asker: Asker, asked: Filter) -> None:
        """Take what is asked, or refuse all of it."""

    @abstractmethod
    def page(self, before: int | None, most: int) -> Sequence[R]:
        """The next part of the list, newest first."""

    @abstractmethod
    def named(self, ids: Sequence[str]) -> Sequence[R]:
        """Those of these ids, as they are now, in any order."""

    @abstractmethod
    def shown(self, record: R) -> Struct:
        """One of them, in the sample of a plan."""

    @abstractmethod
    def ask(self, record: R, asker: Asker, reason: str | None) -> Ask | Record:
        """What is asked about one of them."""

    @abstractmethod
    def became(self, record: R, outcome: Outcome) -> Item:
        """What has become of it."""


async def run(
    keeper: Keeper, scope: HTTPScope, receive: Receive, send: Send, bulk: Bulk[Any]
) -> None:
    """Plan it, or do it and tell of each as it is done."""
    visit = Visit(scope, b"")
    try:
        visit.body = await read_body(receive)
        asked = visit.read_as(bulk.filters)
        visit.query()
        asker = await identify(keeper, visit)
        if b"statekeeper-position" in visit.headers:
            await reach("views", keeper, visit)
        bulk.admit(asker, asked)
        sample, ids = await asyncio.to_thread(_gathered, bulk)
        shown = [bulk.shown(one) for one in sample] if asked.plan else []
    except Refusal as refusal:
        keeper.tally.refusals[refusal.code] += 1
        await respond(refused(refusal), keeper, visit.id, send)
        return
    except Exception:
        log.exception("fault", request=visit.id)
        fault = InternalFault(OUR_FAULT, request=visit.id)
        await respond(refused(fault), keeper, visit.id, send)
        return
    if asked.plan:
        await respond(told({"count": len(ids), "sample": shown}), keeper, visit.id, send)
        return
    await _begin(keeper, visit, send)
    await _send(send, b'{"count": %d, "items": [' % len(ids))
    between = b"\n"
    for first in range(0, len(ids), AT_ONCE):
        items = await _done(keeper, bulk, ids[first : first + AT_ONCE], asker, asked.reason)
        await _send(send, between + b",\n".join(map(JSON.encode, items)))
        between = b",\n"
    await send({"type": "http.response.body", "body": b"\n]}\n", "more_body": False})


def _gathered(bulk: Bulk[R]) -> tuple[Sequence[R], list[str]]:
    """The newest of them, and the ids of the oldest, these first."""
    found = sample = list(bulk.page(None, PAGE))
    ids = deque((one.id for one in found), ITEMS_MAX)
    while len(found) == PAGE:
        found = list(bulk.page(found[-1].position, PAGE))
        ids.extend(one.id for one in found)
    return sample[:SAMPLE], list(reversed(ids))


async def _begin(keeper: Keeper, visit: Visit, send: Send) -> None:
    keeper.tally.answers[200] += 1
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [
                (b"content-type", b"application/json"),
                (b"cache-control", b"no-store"),
                (b"x-accel-buffering", b"no"),
                (b"x-request-id", visit.id.encode()),
                (b"statekeeper-position", b"%d" % keeper.journal.position),
            ],
        }
    )


async def _done(
    keeper: Keeper, bulk: Bulk[R], ids: Sequence[str], asker: Asker, reason: str | None
) -> list[Item]:
    """What became of these, in their order; a fault is told of each, and hurts no others."""
    try:
        return await _tried(keeper, bulk, ids, asker, reason)
    except Refusal as refusal:
        return [_refused(one, refusal) for one in ids]
    except Exception:  # half an answer has gone already: its other half says so
        log.exception("fault", records=len(ids))
        return [Item(id=one, status=500, problem=OUR_FAULT) for one in ids]


async def _tried(
    keeper: Keeper, bulk: Bulk[R], ids: Sequence[str], asker: Asker, reason: str | None
) -> list[Item]:
    found = {one.id: one for one in await asyncio.to_thread(bulk.named, ids)}
    records = [found[one] for one in ids if one in found]
    asks = [bulk.ask(one, asker, reason) for one in records]
    outcomes = await _asked(keeper, asks)
    return [
        _refused(one.id, outcome)
        if isinstance(outcome, BaseException)
        else bulk.became(one, outcome)
        for one, outcome in zip(records, outcomes, strict=True)
    ]


async def _asked(keeper: Keeper, asks: Sequence[Ask | Record]) -> Sequence[Outcome]:
    while True:
        try:
            return await keeper.journal.answer_many(asks, 0)
        except Overloaded:
            await asyncio.sleep(PAUSE_SECONDS)
        except StorageUnavailable as refusal:
            return [refusal for _ in asks]


def _refused(record_id: str, no: BaseException) -> Item:
    if not isinstance(no, Refusal):
        log.error("fault", record=record_id, exc_info=no)
        return Item(id=record_id, status=500, problem=OUR_FAULT)
    return Item(id=record_id, status=status_of(no), problem=no.detail)


async def _send(send: Send, body: bytes) -> None:
    async with asyncio.timeout(SEND_SECONDS_MAX):
        await send({"type": "http.response.body", "body": body, "more_body": True})
