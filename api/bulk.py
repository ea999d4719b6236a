"""The same for all that a filter names: planned, or done one after the other and told as it goes.

The answer is one JSON object whose items come a line each as they are done, so a client that only
reads JSON and one that wants to see progress read the same. What is done stays done: the same again
goes on where it was broken off, and with an `Idempotency-Key` gives the first answer.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from itertools import chain, islice, zip_longest
from threading import Event
from typing import Annotated, Any, ClassVar, Final, Generic, TypeVar

import msgspec
import structlog
from litestar.types import HTTPScope, Receive, Send
from msgspec import Meta, Struct

from api.asking import Reason, request_of
from api.door import Keeper, Visit, begin, reach, read_body, refused, respond, told
from api.keys import identify_now
from api.paging import Listing
from api.problems import JSON, InternalFault, status_of
from api.remembering import Remembered
from lifecycle.asks import Ask
from lifecycle.events import Asker, Done
from lifecycle.journal import Outcome
from lifecycle.refusals import (
    NotYours,
    Overloaded,
    ReasonRequired,
    Refusal,
    StaffOnly,
    StorageUnavailable,
)
from lifecycle.values import legible

AT_ONCE: Final = 50
"""Asks that are put to the journal together, and are one append; people's asks go first."""
ITEMS_MAX: Final = 100_000
"""What one call does at most: the oldest of them; the next call does the rest."""
SAMPLE: Final = 10
PAUSE_SECONDS: Final = 0.05
SEND_SECONDS_MAX: Final = 30.0
OUR_FAULT: Final = "this is our fault; the service's log says more"
GONE: Final = "it is not on the list any more"

ToolId = Annotated[str, Meta(extra_json_schema={"$ref": "#/components/schemas/ToolId"})]
Collection = Annotated[str, Meta(extra_json_schema={"$ref": "#/components/schemas/Collection"})]
CaseId = Annotated[str, Meta(extra_json_schema={"$ref": "#/components/schemas/CaseId"})]
Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]

log = structlog.get_logger("statekeeper.bulk")


class Filter(Struct, forbid_unknown_fields=True):
    """Which: as their list is filtered."""

    tool: ToolId | None = None
    why: str | None = None
    collection: Collection | None = None
    id: CaseId | None = None
    since: Moment | None = None
    until: Moment | None = None
    plan: bool = False
    """Only tell how many there are, and show some."""
    reason: Reason | None = None
    """Why."""

    def query(self) -> dict[str, str]:
        """The same as the query of their list."""
        given = msgspec.structs.asdict(self)
        return {name: value for name, value in given.items() if isinstance(value, str)}


class Plan(Struct, omit_defaults=True):
    """How many there are; what became of each, or with `plan` some of them."""

    count: int
    items: list[Done] | None = None
    """Oldest first, as they were done."""


R = TypeVar("R", bound=Any)


class Bulk(ABC, Generic[R]):
    """One kind of such an act."""

    about: ClassVar[str]
    """What it is about, in a word."""
    listing: ClassVar[Listing[Any]]
    """The list whose records those are, unless it finds them itself."""
    staff_only: ClassVar[bool] = False
    needs_reason: ClassVar[bool] = False
    """Whether staff act in a tool's place by it."""
    walks_all: ClassVar[bool] = False
    """Whether every case is looked at to find them."""

    def __init__(self, keeper: Keeper, asker: Asker, asked: Any) -> None:
        """Take what is asked, as a `Filter`, or refuse all of it."""
        self.keeper = keeper
        self.asker = asker
        self.asked = asked
        self.left = Event()
        """Set once nobody waits for the answer any more: there is no need to go on looking."""
        self._may()
        self.check()

    def check(self) -> None:
        """Refuse what cannot be asked."""
        self.wanted = self.listing.wanted(self.asked.query(), self.asker, self.keeper)

    def found(self) -> Iterator[R]:
        """All of them, newest first."""
        return self.listing.walk(self.keeper, self.wanted)

    def named(self, ids: Sequence[str]) -> Sequence[R]:
        """Those of these ids, as they are now, in any order."""
        return self.listing.named(self.keeper, ids)

    @abstractmethod
    def shown(self, records: Sequence[R]) -> Sequence[Struct]:
        """Some of them, for a plan; called in a thread."""

    @abstractmethod
    def ask(self, record: R) -> Ask:
        """What is asked about one of them."""

    @abstractmethod
    def became(self, record: R, outcome: Outcome) -> Done:
        """What has become of it."""

    def _may(self) -> None:
        if self.staff_only and not self.asker.staff:
            raise StaffOnly(f"{self.asker.name!r} is a tool; this is for staff to do")
        if self.asked.plan:
            return
        if self.asker.read_only:
            raise NotYours(f"the key of {self.asker.name} is for reading only")
        if self.needs_reason and legible(self.asked.reason) is None:
            raise ReasonRequired("staff who act on many at once say why")


class Left(Exception):
    """Nobody waits for the answer any more."""


class Work(Struct, frozen=True):
    """What there is to do."""

    bulk: Bulk[Any]
    before: Remembered
    """What was answered before under the same key."""
    sample: Sequence[Struct] = ()
    parts: Sequence[Sequence[str]] = ()
    """The ids of what is not done yet, the oldest first; each part is one append."""

    @property
    def count(self) -> int:
        """How many there are, those that were done before included."""
        return len(self.before.done) + sum(map(len, self.parts))


async def run(
    keeper: Keeper,
    scope: HTTPScope,
    receive: Receive,
    send: Send,
    filters: type[Filter],
    choose: Callable[[Any], type[Bulk[Any]]],
) -> None:
    """Plan it, or do it and tell of each as it is done."""
    visit = Visit(scope, b"")
    try:
        visit.body = await read_body(receive)
        work = await _begun(keeper, visit, receive, filters, choose)
    except Left:
        return
    except Refusal as refusal:
        keeper.tally.refusals[refusal.code] += 1
        answer = refused(refusal)
    except Exception:
        log.exception("fault", request=visit.id)
        answer = refused(InternalFault(OUR_FAULT, request=visit.id))
    else:
        if not work.bulk.asked.plan:
            await _do(keeper, visit, send, work)
            return
        answer = told({"count": work.count, "sample": work.sample})
    await respond(answer, keeper, visit.id, send)


async def _begun(
    keeper: Keeper,
    visit: Visit,
    receive: Receive,
    filters: type[Filter],
    choose: Callable[[Any], type[Bulk[Any]]],
) -> Work:
    """Take what is asked, and claim its key; or refuse it. `Left` where nobody waits for it."""
    asked = visit.read_as(filters)
    visit.query()
    asker = await identify_now(keeper, visit)
    if b"statekeeper-position" in visit.headers:
        await reach("views", keeper, visit)
    bulk = choose(asked)(keeper, asker, asked)
    request = request_of(visit)  # judged in any case; a plan does nothing, and claims no key
    before = await Remembered.of(keeper, asker, None if asked.plan else request)
    if before.is_over:
        return Work(bulk, before)
    async with _watched(receive, bulk.left), keeper.walking if bulk.walks_all else nullcontext():
        work = await asyncio.to_thread(_gathered, bulk, before)
    if bulk.left.is_set():
        raise Left
    await before.begin(bulk.about, next(iter(work.parts), ()))
    return work


@asynccontextmanager
async def _watched(receive: Receive, left: Event) -> AsyncIterator[None]:
    """Notice when the client goes."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            continue
        left.set()

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()


def _gathered(bulk: Bulk[R], before: Remembered) -> Work:
    """The newest of them, and the ids of the oldest that are not done; first what was begun."""
    found = bulk.found()
    sample = list(islice(found, SAMPLE))
    shown = bulk.shown(sample) if bulk.asked.plan else ()
    begun = [one for one in before.doing if one not in before.done]
    known = {*begun, *before.done}
    left = (one.id for one in chain(sample, found) if one.id not in known)
    ids = [*begun, *reversed(deque(left, ITEMS_MAX))]
    parts = [ids[first : first + AT_ONCE] for first in range(0, len(ids), AT_ONCE)]
    return Work(bulk, before, shown, parts)


async def _do(keeper: Keeper, visit: Visit, send: Send, work: Work) -> None:
    """Do it, and tell of each as it is done."""
    await _begin(keeper, visit, send, replayed=work.before.is_over)
    await _send(send, b'{"count": %d, "items": [' % work.count)
    between = b"\n"
    async for items in _worked(work):
        await _send(send, between + b",\n".join(map(JSON.encode, items)))
        between = b",\n"
    await send({"type": "http.response.body", "body": b"\n]}\n", "more_body": False})


async def _worked(work: Work) -> AsyncIterator[list[Done]]:
    """What was done before, and what is done now, part by part; each is told once it is kept."""
    if work.before.done:
        yield list(work.before.done.values())
    for part, following in zip_longest(work.parts, work.parts[1:], fillvalue=()):
        items = await _done(work.bulk, part)
        await work.before.add(items, following)
        yield items


async def _done(bulk: Bulk[R], ids: Sequence[str]) -> list[Done]:
    """What became of these, in their order; a fault is told of each, and hurts no others."""
    try:
        return await _tried(bulk, ids)
    except Refusal as refusal:
        return [_refused(one, refusal) for one in ids]
    except Exception:  # half an answer has gone already: its other half says so
        log.exception("fault", records=len(ids))
        return [Done(id=one, status=500, problem=OUR_FAULT) for one in ids]


async def _tried(bulk: Bulk[R], ids: Sequence[str]) -> list[Done]:
    found = {one.id: one for one in await asyncio.to_thread(bulk.named, ids)}
    records = [found[one] for one in ids if one in found]
    outcomes = await _asked(bulk.keeper, [bulk.ask(one) for one in records])
    done = {
        one.id: _refused(one.id, outcome)
        if isinstance(outcome, BaseException)
        else bulk.became(one, outcome)
        for one, outcome in zip(records, outcomes, strict=True)
    }
    return [done.get(one) or Done(id=one, status=404, problem=GONE) for one in ids]


async def _asked(keeper: Keeper, asks: Sequence[Ask]) -> Sequence[Outcome]:
    while True:
        try:
            return await keeper.journal.answer_many(asks, 0)
        except Overloaded:
            await asyncio.sleep(PAUSE_SECONDS)
        except StorageUnavailable as refusal:
            return [refusal for _ in asks]


def _refused(record_id: str, no: BaseException) -> Done:
    if not isinstance(no, Refusal):
        log.error("fault", record=record_id, exc_info=no)
        return Done(id=record_id, status=500, problem=OUR_FAULT)
    return Done(id=record_id, status=status_of(no), problem=no.detail)


# --- the answer ---------------------------------------------------------------------------------


async def _begin(keeper: Keeper, visit: Visit, send: Send, *, replayed: bool) -> None:
    more = [(b"idempotency-replayed", b"true")] if replayed else []
    await begin(keeper, visit, send, b"application/json", more)


async def _send(send: Send, body: bytes) -> None:
    async with asyncio.timeout(SEND_SECONDS_MAX):
        await send({"type": "http.response.body", "body": body, "more_body": True})
