"""Everything that tools were or are to be told; and having it told after all."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from api import asking, paging
from api.asking import Reason, hidden_from
from api.bulk import Bulk, Filter, Item, Plan, run
from api.door import Answer, Keeper, Operation, Visit, told
from api.keys import identify_now
from api.paging import OF_A_CASE, PAGED, Paged, paged
from lifecycle import telling
from lifecycle.events import Asker, Event, NoticeDue, OfNotice
from lifecycle.journal import Outcome, Record
from lifecycle.refusals import (
    NotThere,
    NotYours,
    ReasonRequired,
    StaffOnly,
    UnknownCollection,
    UnknownTool,
)
from lifecycle.streams import flow_stream
from projections import notices
from projections.book import Waiting
from projections.courier import body_of
from projections.notices import STATES, OnList, Wanted
from projections.timeline import EventView, stamp, view

FILTERS: Final[Mapping[str, str]] = {
    "tool": "what this tool is told",
    "state": "`waiting`, `delivered`, `superseded` or `given-up`",
    "why": "due because of this: `drift`, or `asked` by staff",
    **OF_A_CASE,
    "since": "due since (RFC 3339)",
    "until": "due before",
}
RECOVERABLE: Final = ("waiting", "given-up")


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
    """Empty where the case changed; `drift` where a wrong word is put right, `asked` by staff."""
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
    """Why it is done; needed from staff."""

    reason: Reason | None = None


class RecoveredNotices(Plan, omit_defaults=True):
    """What became of each notice; or, planned, how many there are."""

    sample: list[NoticeItem] | None = None
    """With `plan`: the newest of them."""


class RecoverMany(Filter, forbid_unknown_fields=True):
    """Which notices are to be told now: the filters of their list."""

    state: Literal["waiting", "given-up"] = "given-up"
    why: str | None = None


async def list_notices(keeper: Keeper, visit: Visit) -> Answer:
    """A page of what tools are told."""
    query = visit.query(*FILTERS, *PAGED)
    asker = await identify_now(keeper, visit)
    part = paged(query, of="notices")
    wanted = _wanted(query, asker, keeper)
    position, found = await asyncio.to_thread(_page, keeper, wanted, part)
    last = found[part.limit - 1].position if len(found) > part.limit else None
    tried = await asyncio.to_thread(_tried, keeper, found[: part.limit])
    items = [_item(one, tried.get(one.id)) for one in found[: part.limit]]
    return told(Notices(items, part.next(last) if last is not None else None), position=position)


async def show_notice(keeper: Keeper, visit: Visit) -> Answer:
    """One notice, with what it tells and what has become of it."""
    visit.query()
    asker = await identify_now(keeper, visit)
    row = await asyncio.to_thread(_row, keeper, asker, visit.segment(3))
    return told(await _view(keeper, asker, row))


async def retry_notice(keeper: Keeper, visit: Visit) -> Answer:
    """Have a notice told now: one that was given up, or waits for its next attempt."""
    return await _recorded(keeper, visit, _recovered)


async def deliver_notice(keeper: Keeper, visit: Visit) -> Answer:
    """Staff have carried a notice themselves."""
    return await _recorded(keeper, visit, _ticked_off)


async def recover_notices(keeper: Keeper, scope: Any, receive: Any, send: Any) -> None:
    """Have all notices of a filter told now, or tell how many there are."""
    await run(keeper, scope, receive, send, _Recovering(keeper))


# --- which --------------------------------------------------------------------------------------


def _wanted(query: Mapping[str, str], asker: Asker, keeper: Keeper) -> Wanted:
    return Wanted(
        tool=paging.tool_asked(query, asker, keeper),
        state=paging.one_of("state", query, STATES),
        why=paging.word("why", query),
        **paging.case_asked(query, keeper),
        since=paging.moment("since", query),
        until=paging.moment("until", query),
    )


def _page(keeper: Keeper, wanted: Wanted, part: Paged) -> tuple[int, Sequence[OnList]]:
    with keeper.store.reading() as session:
        found = notices.page(session, wanted, part.limit + 1, before=part.before)
        return asking.followed(session), found


def _row(keeper: Keeper, asker: Asker, name: str) -> OnList:
    """A notice by its id; to a tool only its own are there."""
    with keeper.store.reading() as session:
        found = notices.named(session, [name]) if name.isprintable() else ()
    if not found or asker.tool not in {None, found[0].tool}:
        raise NotThere(f"no notice has the id {name[:80]!r}")
    return found[0]


# --- how it is shown ----------------------------------------------------------------------------


def _members(row: OnList) -> dict[str, Any]:
    return {
        "id": row.id,
        "tool": row.tool,
        "collection": row.collection,
        "case": f"{row.collection}/{row.case_id}",
        "type": row.type,
        "status_field": row.status_field,
        "word": row.word,
        "request": row.request,
        "reaction": row.reaction,
        "why": row.why,
        "case_version": row.case_version,
        "due_at": asking.short(row.due_at),
        "state": row.state,
        "ended_at": asking.short(row.ended_at) or None,
        "ended_why": row.ended_why,
        "newer": row.newer,
        "attempts": row.attempts,
        "status": row.status or None,
    }


def _item(row: OnList, tried: Waiting | None = None) -> NoticeItem:
    members = _members(row)
    return NoticeItem(**members | {"attempts": tried.attempts} if tried else members)


async def _view(keeper: Keeper, asker: Asker, row: OnList) -> NoticeView:
    """A notice with all that the log has of it, which is what counts."""
    entries = [
        entry
        for entry in await asking.entries_of(keeper, [row.stream])
        if isinstance(entry.event, OfNotice) and entry.event.id == row.id
    ]
    due = entries[0].event
    assert isinstance(due, NoticeDue), row.id
    for entry in entries[1:]:
        row = notices.Notices().fold(row, entry)
    lifecycle = keeper.catalogue.lifecycles.get(row.collection)
    hidden = hidden_from(asker, lifecycle) if lifecycle else ()
    tried = (await asyncio.to_thread(_tried, keeper, [row])).get(row.id)
    members = {**_members(row), "attempts": tried.attempts} if tried else _members(row)
    next_at = tried.ready_at if tried else None
    return NoticeView(
        **members,
        last_try=tried.why if tried else "",
        next_try=stamp(datetime.fromtimestamp(next_at / 1000, UTC)) if next_at else None,
        body=msgspec.json.decode(body_of(due, entries[0].position)),
        became=[view(entry, lifecycle, hidden=hidden) for entry in entries],
    )


def _tried(keeper: Keeper, rows: Sequence[OnList]) -> Mapping[str, Waiting]:
    """What the courier's book has of those that wait and were tried before, by id."""
    waiting = [row.id for row in rows if row.state == "waiting"]
    if keeper.book is None or not waiting:
        return {}
    return {one.id: one for one in keeper.book.notices(waiting) if one.attempts}


# --- having it told -----------------------------------------------------------------------------

Deciding = Callable[[OnList, Asker, str | None], telling.Decision]


def let_run(keeper: Keeper, tool: str, asker: Asker, reason: str | None) -> None:
    """Have a flow that the tool had stopped (410 Gone) run again: somebody wants it told."""
    started = Record(flow_stream(tool), telling.started(tool, asker, reason))
    keeper.journal.answer_many_later([started], 0)


def _recovered(row: OnList, asker: Asker, reason: str | None) -> telling.Decision:
    return telling.recovered(row.id, f"{row.collection}/{row.case_id}", row.tool, asker, reason)


def _ticked_off(row: OnList, asker: Asker, _reason: str | None) -> telling.Decision:
    if asker.tool:
        raise StaffOnly(f"{asker.tool!r} is a tool; what a person has carried is for staff to say")
    return telling.ticked_off(row.id, f"{row.collection}/{row.case_id}", row.tool, asker)


async def _recorded(keeper: Keeper, visit: Visit, deciding: Deciding) -> Answer:
    body = visit.read_as(NoticeBody) if visit.body else NoticeBody()
    visit.query()
    asker = await identify_now(keeper, visit)
    _may(asker, body.reason)
    row = await asyncio.to_thread(_row, keeper, asker, visit.segment(3))
    if deciding is _recovered:
        let_run(keeper, row.tool, asker, body.reason)
    record = Record(row.stream, deciding(row, asker, body.reason))
    await asyncio.to_thread(keeper.journal.record_now, record)
    return told(await _view(keeper, asker, row))


def _may(asker: Asker, reason: str | None) -> None:
    if asker.read_only:
        raise NotYours(f"the key of {asker.name} is for reading only")
    if asker.staff and not reason:
        raise ReasonRequired("staff who see to it that a tool is told say why")


class _Recovering(Bulk[OnList]):
    """All notices of a filter, told now."""

    filters = RecoverMany

    def admit(self, asker: Asker, asked: Filter) -> None:
        """Staff say why; only what was not told can be told now."""
        if not asked.plan:
            _may(asker, asked.reason)
        self._wanted = _wanted(asked.query(), asker, self.keeper)
        self._happened: dict[str, Event | None] = {}
        self._running: set[str] = set()

    def page(self, before: int | None, most: int) -> Sequence[OnList]:
        """The next part of them."""
        with self.keeper.store.reading() as session:
            return notices.page(session, self._wanted, most, before=before)

    def named(self, ids: Sequence[str]) -> Sequence[OnList]:
        """Those of these ids."""
        with self.keeper.store.reading() as session:
            return notices.named(session, ids)

    def shown(self, record: OnList) -> NoticeItem:
        """One of them, in the sample of a plan."""
        return _item(record)

    def ask(self, record: OnList, asker: Asker, reason: str | None) -> Record:
        """Have it told."""
        if record.tool not in self._running:
            self._running.add(record.tool)
            let_run(self.keeper, record.tool, asker, reason)
        decide = _recovered(record, asker, reason)

        def noted(known: Any, now: Any) -> Event | None:
            self._happened[record.id] = event = decide(known, now)
            return event

        return Record(record.stream, noted)

    def became(self, record: OnList, _outcome: Outcome) -> Item:
        """What has become of it: it waits again, or has ended meanwhile."""
        if self._happened.pop(record.id, None) is None:
            return Item(id=record.id, was=record.state, why="it has ended meanwhile")
        return Item(id=record.id, outcome="waiting", was=record.state)


OPERATIONS = (
    Operation(
        "GET",
        "/v1/notices",
        list_notices,
        "Everything that tools were or are to be told, newest first; a tool sees its own",
        gives=Notices,
        query={**FILTERS, **PAGED},
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
        again="asked again it is tried once more, under the same `webhook-id`;"
        " what was told meanwhile is told no more: no `Idempotency-Key` is needed",
        refuses=(NotYours, ReasonRequired),
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
        again="asked again nothing changes: no `Idempotency-Key` is needed",
        refuses=(NotYours, StaffOnly, ReasonRequired),
        visible="views",
    ),
    Operation(
        "POST",
        "/v1/notices/recover",
        None,
        "Have all notices of a filter told now: a line for each as it is done;"
        " with `plan` only how many there are",
        gives=RecoveredNotices,
        takes=RecoverMany,
        converse=recover_notices,
        again="asked again what was told meanwhile is told no more: no `Idempotency-Key` is needed",
        refuses=(UnknownCollection, UnknownTool, NotYours, ReasonRequired),
    ),
)
