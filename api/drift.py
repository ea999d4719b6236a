"""Where tools and the shared state differ, and what staff do about it."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

from msgspec import Struct

from api import asking, paging
from api.asking import ClaimedTime, Reason, claimed, hidden_from
from api.door import Answer, Keeper, Operation, Visit, told
from api.keys import identify, identify_now
from api.paging import OF_A_CASE, PAGED, Paged, paged
from api.problems import MalformedRequest
from lifecycle.case import Case
from lifecycle.drift import Resolve
from lifecycle.events import Asker, DriftFound, Value
from lifecycle.refusals import (
    ConditionNotMet,
    NotThere,
    NotYours,
    ReasonRequired,
    StaffOnly,
    TransitionNotOpen,
    UnknownCollection,
    UnknownTool,
)
from lifecycle.streams import message_id
from projections import board, drift
from projections.drift import ALWAYS, STATES, OnList, Wanted
from projections.views import CaseView, case_view

FILTERS: Final[Mapping[str, str]] = {
    "tool": "where this tool differs",
    "state": "`open` unless told; `dismissed` by staff, or `resolved`",
    "why": "because of this, like `not-the-owner` or `fight`",
    **OF_A_CASE,
    "since": "found since (RFC 3339)",
}


class DriftItem(Struct):
    """A difference between what a tool shows and what is true."""

    id: str
    tool: str
    collection: str
    case: str
    """Like `jobs/J-1042`."""
    field: str
    """The status field of the tool, or the field of ours."""
    is_word: bool
    """Whether it is a status field."""
    expected: Value
    """What is true: the word, or the value as it is now."""
    reported: Value
    """What the tool says."""
    why: str
    """Why that was not taken; `fight` where it has put its own back time after time."""
    since: str
    message: str
    """In which it said so: `/v1/messages/{message}`."""
    state: Literal["open", "dismissed", "resolved"]
    dismissed_until: str | None
    """Null also where it is so until the tool says something else."""
    how: str
    """How it was settled: `agrees`, `moved`, `told`, `accepted`, `dismissed`, …"""
    settled_at: str | None
    settled_by: str
    reason: str


class Drift(Struct):
    """A page of differences, newest first."""

    items: list[DriftItem]
    next: str | None
    """Give it as `cursor` for the next page; null at the end."""


class ResolveBody(Struct, forbid_unknown_fields=True):
    """What is to be done about a difference."""

    how: Literal["tell", "accept", "dismiss"]
    """Tell the tool what is true; make true what it says; let it be."""
    reason: Reason
    until: ClaimedTime | None = None
    """Of what is dismissed: until then, or until the tool says something else."""


class Resolved(Struct):
    """What was done, and the case after it."""

    id: str
    how: str
    case: CaseView


async def list_drift(keeper: Keeper, visit: Visit) -> Answer:
    """A page of differences."""
    query = visit.query(*FILTERS, *PAGED)
    asker = await identify_now(keeper, visit)
    part = paged(query, of="drift")
    now = keeper.journal.clock()
    wanted = _wanted(query, asker, now, keeper)
    position, found, cases = await asyncio.to_thread(_page, keeper, wanted, part)
    rows = found[: part.limit]
    said = await _said(keeper, rows)
    last = rows[-1].position if len(found) > part.limit else None
    items = [_item(row, said.get(row.id), cases, asker, now, keeper) for row in rows]
    return told(Drift(items, None if last is None else part.next(last)), position=position)


async def resolve_drift(keeper: Keeper, visit: Visit) -> Answer:
    """Have it settled."""
    body = visit.read_as(ResolveBody)
    visit.query()
    asker = await identify(keeper, visit)
    if asker.tool:
        raise StaffOnly(f"{asker.tool!r} is a tool; settling differences is for staff")
    if body.until is not None and body.how != "dismiss":
        raise MalformedRequest("until: only what is dismissed is so until a time")
    until = claimed(body.until)
    if until is not None and until <= keeper.journal.clock():
        raise MalformedRequest("until: that time has passed already")
    row = await asyncio.to_thread(_row, keeper, visit.segment(3))
    lifecycle = keeper.catalogue.lifecycles.get(row.collection)
    if lifecycle and body.how == "tell" and row.tool not in lifecycle.told:
        raise MalformedRequest(f"how: {row.tool!r} is told nothing: the definition has no flow out")
    what = Resolve(
        drift=row.id,
        tool=row.tool,
        how=body.how,
        reason=body.reason,
        until=until,
    )
    answer = await asking.ask(
        keeper, visit, asker, what, case_id=row.case_id, collection=row.collection
    )
    view = case_view(answer.case, asking.lifecycle_of(keeper, answer.case), keeper.journal.clock())
    return told(Resolved(row.id, body.how, view), 200, asking.tagged(answer))


def _wanted(query: Mapping[str, str], asker: Asker, now: datetime, keeper: Keeper) -> Wanted:
    state: Any = paging.one_of("state", query, STATES, "open")
    return Wanted(
        now=now,
        state=state,
        tool=paging.tool_asked(query, asker, keeper),
        why=paging.word("why", query),
        **paging.case_asked(query, keeper),
        since=paging.moment("since", query),
    )


def _page(
    keeper: Keeper, wanted: Wanted, part: Paged
) -> tuple[int, Sequence[OnList], dict[tuple[str, str], Case]]:
    with keeper.store.reading() as session:
        rows = drift.page(session, wanted, part.limit + 1, before=part.before)
        names = [(row.collection, row.case_id) for row in rows if not row.is_word]
        return asking.followed(session), rows, board.cases_named(session, names)


def _row(keeper: Keeper, name: str) -> OnList:
    with keeper.store.reading() as session:
        found = drift.named(session, [name]) if name.isprintable() else ()
    if not found:
        raise NotThere(f"no difference has the id {name[:80]!r}")
    return found[0]


async def _said(keeper: Keeper, rows: Sequence[OnList]) -> dict[str, Value]:
    """What tools say of fields, by the id of the difference; it stands in the log alone."""
    places = {(row.stream, row.version): row for row in rows if not row.is_word}
    if not places:
        return {}
    entries = await asking.entries_of(keeper, list({stream for stream, _ in places}))
    return {
        entry.event.id: entry.event.personal.get(entry.event.field)
        for entry in entries
        if (entry.stream, entry.version) in places and isinstance(entry.event, DriftFound)
    }


def _item(
    row: OnList,
    said: Value,
    cases: Mapping[tuple[str, str], Case],
    asker: Asker,
    now: datetime,
    keeper: Keeper,
) -> DriftItem:
    case = cases.get((row.collection, row.case_id))
    lifecycle = keeper.catalogue.lifecycles.get(row.collection)
    hidden = hidden_from(asker, lifecycle) if lifecycle else ()
    ours = case.fields.get(row.field) if case and row.field not in hidden else None
    until = row.silent_until
    return DriftItem(
        id=row.id,
        tool=row.tool,
        collection=row.collection,
        case=f"{row.collection}/{row.case_id}",
        field=row.field,
        is_word=bool(row.is_word),
        expected=(row.expected or None) if row.is_word else ours,
        reported=row.reported if row.is_word else said,
        why=row.why,
        since=asking.short(row.found_at),
        message=message_id(row.message),
        state=row.state(now),
        dismissed_until=None if until in {"", ALWAYS} else asking.short(until),
        how=row.how,
        settled_at=asking.short(row.ended_at) or None,
        settled_by=row.ended_by,
        reason=row.reason,
    )


OPERATIONS = (
    Operation(
        "GET",
        "/v1/drift",
        list_drift,
        "Where tools and the shared state differ, newest first; a tool sees its own",
        gives=Drift,
        query={**FILTERS, **PAGED},
        refuses=(UnknownCollection, UnknownTool, NotYours),
        visible="views",
    ),
    Operation(
        "POST",
        "/v1/drift/{drift}/resolve",
        resolve_drift,
        "Staff: tell the tool again, accept what it says, or let it be",
        gives=Resolved,
        takes=ResolveBody,
        writes=True,
        refuses=(NotThere, StaffOnly, ReasonRequired, TransitionNotOpen, ConditionNotMet),
        visible="views",
    ),
)
