"""Everything that tools were or are to be told; and having it told after all."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from api import asking
from api.asking import Reason, hidden_from
from api.bulk import Bulk, Filter, Moment, Plan, run
from api.door import Answer, Keeper, Operation, Visit, told
from api.keys import identify_now
from api.missing import Missing, MissingItem
from api.paging import PAGED, Choice, Listing
from lifecycle.asks import Answer as Settled
from lifecycle.asks import Ask
from lifecycle.events import Asker, Done, Entry, NoticeDue, OfNotice
from lifecycle.journal import Outcome
from lifecycle.known import FlowState
from lifecycle.notices import Tell
from lifecycle.refusals import (
    NotYours,
    StaffOnly,
    UnknownCollection,
    UnknownTool,
)
from lifecycle.streams import flow_stream
from projections import notices
from projections.courier import body_of
from projections.notices import STATES, TYPES, OnList
from projections.routes import routes
from projections.timeline import EventView, stamp, view
from projections.waits import Tried, Wait, waits

LISTING: Final = Listing(
    model=notices.Notices,
    noun="notice",
    whose="what this tool is told",
    why="due because of this: `drift`, `missing`, or `asked` by staff",
    came="due",
    choices=(
        Choice("state", "sort", STATES, "`waiting`, `delivered`, `superseded` or `given-up`"),
        Choice("type", "type", TYPES, "of this type, as it is posted"),
    ),
    ends="delivered, superseded or given up",
)


class NoticeItem(Struct):
    """A notice, with what has become of it."""

    id: str
    """The `webhook-id` of every attempt."""
    tool: str
    collection: str
    case: str
    """The case that it is about, like `jobs/J-1042`."""
    type: str
    status_field: str
    word: str
    request: str
    reaction: str
    why: str
    """Empty where the case changed; `drift` where a wrong word is put right, `asked` by staff;
    `missing` where staff have the tool told what it was never told."""
    case_version: int
    due_at: str
    state: Literal["waiting", "delivered", "superseded", "given-up"]
    ended_at: str | None
    ended_why: str
    """Why it was given up, or need not be told."""
    newer: str
    """The notice that has taken its place."""
    attempts: int
    """Those made, of what has ended."""
    status: int | None
    """What the tool's server answered; null where a person carried it, or nothing was answered."""
    waits: Wait | None
    """Null where it waits no more."""


class Notices(Struct):
    """A page of notices, newest first."""

    items: list[NoticeItem]
    next: str | None
    """Give it as `cursor` for the next page; null at the end."""


class NoticeView(NoticeItem):
    """A notice, whole."""

    last_try: str
    """What became of the last attempt, while it waits."""
    next_try: str | None
    """When it is tried again; null where it was not tried yet, or has ended."""
    body: Any
    """What is posted to the tool: its values under the tool's own names, `erased` once they are."""
    became: list[EventView]
    """What has happened to it, oldest first."""


class NoticeBody(Struct, forbid_unknown_fields=True):
    """Why it is done, for those who read the history."""

    reason: Reason | None = None


Sample = Annotated[
    list[Any],
    Meta(
        extra_json_schema={
            "items": {
                "anyOf": [
                    {"$ref": "#/components/schemas/NoticeItem"},
                    msgspec.json.schema(MissingItem)["$defs"]["MissingItem"],
                ]
            }
        }
    ),
]
"""Notices, or what is missing."""


class RecoveredNotices(Plan, omit_defaults=True):
    """What became of each notice; or, planned, how many there are."""

    sample: Sample | None = None
    """With `plan`: the newest of them."""


class RecoverMany(Filter, forbid_unknown_fields=True):
    """Which notices are to be told now: the filters of their list."""

    state: Literal["waiting", "given-up", "missing"] | None = None
    """Unless told: what was given up, and what waits for a flow that its tool has stopped (410),
    which runs again by it. `missing`: no notices at all, but the words that tools were never told,
    or do not show, and that nothing is due for; staff only, by `tool`, `collection` and `id`."""
    type: str | None = None
    ended_since: Moment | None = None
    """Given up since."""


async def list_notices(keeper: Keeper, visit: Visit) -> Answer:
    """A page of what tools are told."""
    part = await LISTING.part(keeper, visit)
    items = await asyncio.to_thread(_items, keeper, part.records)
    return told(Notices(items, part.next), position=part.position)


async def show_notice(keeper: Keeper, visit: Visit) -> Answer:
    """One notice, with what it tells and what has become of it."""
    visit.query()
    asker = await identify_now(keeper, visit)
    row = await LISTING.one(keeper, asker, visit.segment(3))
    return told(await _view(keeper, asker, row))


async def retry_notice(keeper: Keeper, visit: Visit) -> Answer:
    """Have a notice told now: one that was given up, or waits for its next attempt."""
    return await _told(keeper, visit, "again")


async def deliver_notice(keeper: Keeper, visit: Visit) -> Answer:
    """Staff have carried a notice themselves."""
    return await _told(keeper, visit, "by-hand")


async def recover_notices(keeper: Keeper, scope: Any, receive: Any, send: Any) -> None:
    """Have all notices of a filter told now, or what is missing; or tell how many there are."""
    await run(
        keeper,
        scope,
        receive,
        send,
        RecoverMany,
        lambda asked: Missing if asked.state == "missing" else _Recovering,
    )


# --- how it is shown ----------------------------------------------------------------------------


def _items(keeper: Keeper, rows: Sequence[OnList]) -> list[NoticeItem]:
    tried = why_waiting(keeper, rows)
    return [NoticeItem(**_members(one, tried.get(one.id))) for one in rows]


def _members(row: OnList, tried: Tried | None = None) -> dict[str, Any]:
    known = tried.known if tried else None
    return {
        "id": row.id,
        "tool": row.tool,
        "collection": row.collection,
        "case": row.case,
        "type": row.type,
        "status_field": row.status_field,
        "word": row.word,
        "request": row.request,
        "reaction": row.reaction,
        "why": row.why,
        "case_version": row.case_version,
        "due_at": asking.short(row.recorded_at),
        "state": row.state,
        "ended_at": asking.short(row.ended_at) or None,
        "ended_why": row.ended_why,
        "newer": row.newer,
        "attempts": known.attempts if known else row.attempts,
        "status": row.status or None,
        "waits": tried.wait if tried else None,
    }


async def _view(keeper: Keeper, asker: Asker, row: OnList, upto: int | None = None) -> NoticeView:
    """A notice with all that the log has of it, which is what counts; as of a version, where asked.

    That is a version of the stream that it stands in.
    """
    entries = [
        entry
        for entry in await asking.entries_of(keeper, [row.stream])
        if isinstance(entry.event, OfNotice) and entry.event.id == row.id
    ]
    then = [entry for entry in entries if upto is None or entry.version <= upto]
    due = entries[0].event
    assert isinstance(due, NoticeDue), row.id
    lifecycle = keeper.catalogue.lifecycles.get(row.collection)
    hidden = hidden_from(asker, lifecycle)
    tried = (await asyncio.to_thread(why_waiting, keeper, [_folded(row, entries)])).get(row.id)
    known = tried.known if tried else None
    next_at = known.ready_at if known else None
    return NoticeView(
        **_members(_folded(row, then), tried),
        last_try=known.why if known else "",
        next_try=stamp(datetime.fromtimestamp(next_at / 1000, UTC)) if next_at else None,
        body=msgspec.json.decode(body_of(due, entries[0].position)),
        became=[view(entry, lifecycle, hidden=hidden) for entry in then],
    )


def _folded(row: OnList, entries: Sequence[Entry]) -> OnList:
    """The notice as these entries leave it, the first of which made it due."""
    model, folded = notices.Notices(), None
    for entry in entries:
        folded = model.fold(folded, entry)
    return folded or row


def why_waiting(keeper: Keeper, rows: Sequence[OnList]) -> dict[str, Tried]:
    """Why those of these notices wait that do, by their ids."""
    ways = routes(keeper.catalogue.lifecycles, keeper.environment)
    return waits(rows, keeper.book, ways, partial(said_by, keeper), keeper.journal.clock())


def said_by(keeper: Keeper, tool: str) -> FlowState:
    """What a tool has said of being told anything."""
    journal, stream = keeper.journal, flow_stream(tool)
    state = (journal.memory.peek(stream) or journal.known_now(stream)).state
    return state if isinstance(state, FlowState) else FlowState()


# --- having it told -----------------------------------------------------------------------------

How = Literal["again", "by-hand"]


async def _told(keeper: Keeper, visit: Visit, how: How) -> Answer:
    body = visit.read_as(NoticeBody) if visit.body else NoticeBody()
    visit.query()
    asker = await identify_now(keeper, visit)
    row = await LISTING.one(keeper, asker, visit.segment(3))
    what = Tell(tool=row.tool, how=how, notice=row.id, reason=body.reason)
    ask = Ask(
        asker=asker,
        collection=row.collection,
        id=row.case_id,
        what=what,
        request=asking.request_of(visit),
    )
    answer = await keeper.journal.answer(ask, len(visit.body))
    before = answer.replayed
    headers = [(b"idempotency-replayed", b"true")] if before else []
    upto = before.event_version if before else None
    return told(await _view(keeper, asker, row, upto), 200, headers)


def _stopped(keeper: Keeper) -> list[str]:
    """The tools that have said that they want to be told nothing any more."""
    return [tool for tool in keeper.catalogue.tools() if said_by(keeper, tool).stopped_since]


class _Recovering(Bulk[OnList]):
    """All notices of a filter, told now."""

    about = "notices"
    listing = LISTING

    def check(self) -> None:
        """Refuse filters that are none."""
        asked = self.asked.query()
        self._asked = {"state": "given-up"} | asked
        self.wanted = LISTING.wanted(self._asked, self.asker, self.keeper)

    def found(self) -> Iterator[OnList]:
        """All of them; unless a state is told, also what waits for flows that were stopped."""
        yield from LISTING.walk(self.keeper, self.wanted)
        if self.asked.state or self.asked.ended_since:
            return
        for tool in _stopped(self.keeper):
            if self._asked.get("tool", tool) == tool and self.asker.tool in {None, tool}:
                waiting = {**self._asked, "state": "waiting", "tool": tool}
                wanted = LISTING.wanted(waiting, self.asker, self.keeper)
                yield from LISTING.walk(self.keeper, wanted)

    def shown(self, records: Sequence[OnList]) -> Sequence[NoticeItem]:
        """Some of them, for a plan."""
        return _items(self.keeper, records)

    def ask(self, record: OnList) -> Ask:
        """Have it told."""
        what = Tell(tool=record.tool, how="again", notice=record.id, reason=self.asked.reason)
        return Ask(asker=self.asker, collection=record.collection, id=record.case_id, what=what)

    def became(self, record: OnList, outcome: Outcome) -> Done:
        """What has become of it: it waits again, or has ended meanwhile."""
        assert isinstance(outcome, Settled), outcome
        if outcome.entry is None:
            return Done(id=record.id, was=record.state, why="it has ended meanwhile")
        return Done(id=record.id, outcome="waiting", was=record.state)


OPERATIONS = (
    Operation(
        "GET",
        "/v1/notices",
        list_notices,
        "Everything that tools were or are to be told, newest first; a tool sees its own",
        gives=Notices,
        query={**LISTING.filters, **PAGED},
        refuses=(UnknownCollection, UnknownTool, NotYours),
        visible="views",
    ),
    Operation(
        "GET",
        "/v1/notices/{notice}",
        show_notice,
        "One notice: what it tells, and what has become of it",
        gives=NoticeView,
        visible="views",
    ),
    Operation(
        "POST",
        "/v1/notices/{notice}/retry",
        retry_notice,
        "Have a notice told now: one that was given up, or waits for its next attempt",
        gives=NoticeView,
        takes=NoticeBody,
        bodiless=True,
        writes=True,
        visible="views",
    ),
    Operation(
        "POST",
        "/v1/notices/{notice}/delivered",
        deliver_notice,
        "Staff: tick off a notice that a person has carried to the tool",
        gives=NoticeView,
        takes=NoticeBody,
        bodiless=True,
        writes=True,
        refuses=(StaffOnly,),
        visible="views",
    ),
    Operation(
        "POST",
        "/v1/notices/recover",
        None,
        "Have all notices of a filter told now, or what is missing: a line for each as it is"
        " done; with `plan` only how many there are",
        gives=RecoveredNotices,
        takes=RecoverMany,
        converse=recover_notices,
        writes=True,
        refuses=(UnknownCollection, UnknownTool, StaffOnly),
    ),
)
