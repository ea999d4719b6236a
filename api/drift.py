"""Where tools and the shared state differ, and what staff do about it."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

from msgspec import Struct

from api import asking
from api.asking import ClaimedTime, Reason, claimed, hidden_from
from api.bulk import Bulk, Filter, Plan, run
from api.door import Answer, Keeper, Operation, Visit, told
from api.keys import identify
from api.paging import PAGED, Choice, Listing
from api.problems import MalformedRequest
from lifecycle.asks import Answer as Settled
from lifecycle.asks import Ask
from lifecycle.case import Case
from lifecycle.drift import Resolve
from lifecycle.events import Asker, Done, DriftFound, Value
from lifecycle.journal import Outcome
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
from projections.drift import ALWAYS, STATES, OnList
from projections.views import CaseView, case_view
from projections.wording import is_hidden

LISTING: Final = Listing(
    model=drift.Drift,
    noun="difference",
    whose="where this tool differs",
    why="because of this, like `not-the-owner` or `fight`",
    came="found",
    choices=(
        Choice(
            "state",
            "sort",
            STATES,
            "`open` unless told; `dismissed` by staff, or `resolved`",
            otherwise="open",
        ),
    ),
)


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
    reason: Reason | None = None
    """Why; needed."""
    until: ClaimedTime | None = None
    """Of what is dismissed: until then, or until the tool says something else."""


class Resolved(Struct):
    """What was done, and the case after it."""

    id: str
    how: str
    case: CaseView


class ResolvedDrift(Plan, omit_defaults=True):
    """What became of each difference; or, planned, how many there are."""

    sample: list[DriftItem] | None = None
    """With `plan`: the newest of them."""


class ResolveMany(Filter, kw_only=True, forbid_unknown_fields=True):
    """Which differences are to be settled, by the filters of their list, and how."""

    state: Literal["open", "dismissed"] = "open"
    how: Literal["tell", "accept", "dismiss"]
    """Tell the tools what is true; make true what they say; let it be."""
    dismissed_until: ClaimedTime | None = None
    """Of what is dismissed: until then, or until the tool says something else."""


async def list_drift(keeper: Keeper, visit: Visit) -> Answer:
    """A page of differences."""
    part = await LISTING.part(keeper, visit)
    items = await asyncio.to_thread(_items, keeper, part.asker, part.records)
    return told(Drift(items, part.next), position=part.position)


async def resolve_drift(keeper: Keeper, visit: Visit) -> Answer:
    """Have it settled."""
    body = visit.read_as(ResolveBody)
    visit.query()
    asker = await identify(keeper, visit)
    if asker.tool:
        raise StaffOnly(f"{asker.tool!r} is a tool; settling differences is for staff")
    until = _until(body.until, body.how, keeper, "until")
    row = await LISTING.one(keeper, asker, visit.segment(3))
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


async def resolve_many(keeper: Keeper, scope: Any, receive: Any, send: Any) -> None:
    """Have all differences of a filter settled alike, or tell how many there are."""
    await run(keeper, scope, receive, send, ResolveMany, lambda _: _Resolving)


def _until(given: datetime | None, how: str, keeper: Keeper, name: str) -> datetime | None:
    """The time until which something is dismissed."""
    if given is not None and how != "dismiss":
        raise MalformedRequest(f"{name}: only what is dismissed is so until a time")
    until = claimed(given)
    if until is not None and until <= keeper.journal.clock():
        raise MalformedRequest(f"{name}: that time has passed already")
    return until


class _Resolving(Bulk[OnList]):
    """All differences of a filter, settled in one way."""

    about = "drift"
    listing = LISTING
    staff_only = True
    needs_reason = True

    def check(self) -> None:
        """Refuse a time that cannot be."""
        super().check()
        asked = self.asked
        self._until = _until(asked.dismissed_until, asked.how, self.keeper, "dismissed_until")

    def shown(self, records: Sequence[OnList]) -> Sequence[DriftItem]:
        """Some of them, for a plan."""
        return _items(self.keeper, self.asker, records)

    def ask(self, record: OnList) -> Ask:
        """Settle it."""
        what = Resolve(
            drift=record.id,
            tool=record.tool,
            how=self.asked.how,
            reason=self.asked.reason,
            until=self._until,
        )
        return Ask(asker=self.asker, collection=record.collection, id=record.case_id, what=what)

    def became(self, record: OnList, outcome: Outcome) -> Done:
        """How it stands now; what is told goes on until the tool has taken it."""
        assert isinstance(outcome, Settled), outcome
        was = record.state(self.keeper.journal.clock())
        if self.asked.how == "tell":
            return Done(id=record.id, outcome=was, was=was, why="it is to be told")
        now = "resolved" if self.asked.how == "accept" else "dismissed"
        return Done(id=record.id, outcome=now, was=was)


# --- how it is shown ----------------------------------------------------------------------------


def _items(keeper: Keeper, asker: Asker, rows: Sequence[OnList]) -> list[DriftItem]:
    """Differences with what is true by now, and what the tools say."""
    cases, said = _cases(keeper, rows), _said(keeper, rows)
    now = keeper.journal.clock()
    return [_item(one, said.get(one.id), cases, asker, now, keeper) for one in rows]


def _cases(keeper: Keeper, rows: Sequence[OnList]) -> dict[tuple[str, str], Case]:
    """The cases in whose fields tools differ."""
    with keeper.store.reading() as session:
        names = [(row.collection, row.case_id) for row in rows if not row.is_word]
        return board.cases_named(session, names)


def _said(keeper: Keeper, rows: Sequence[OnList]) -> dict[str, Value]:
    """What tools say of fields, by the id of the difference; it stands in the log alone."""
    places = {(row.stream, row.version): row for row in rows if not row.is_word}
    if not places:
        return {}
    journal = keeper.journal
    stored = journal.recorder.streams(list({stream for stream, _ in places}))
    entries = map(journal.mapper.to_domain_event, stored)
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
    hidden = hidden_from(asker, lifecycle)
    is_shown = case is not None and not is_hidden(row.field, hidden, lifecycle)
    ours = case.fields.get(row.field) if case and is_shown else None
    until = row.silent_until
    return DriftItem(
        id=row.id,
        tool=row.tool,
        collection=row.collection,
        case=row.case,
        field=row.field,
        is_word=bool(row.is_word),
        expected=(row.expected or None) if row.is_word else ours,
        reported=row.reported if row.is_word else said,
        why=row.why,
        since=asking.short(row.recorded_at),
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
        query={**LISTING.filters, **PAGED},
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
    Operation(
        "POST",
        "/v1/drift/resolve",
        None,
        "Staff: settle all differences of a filter in one way: a line for each as it is done;"
        " with `plan` only how many there are",
        gives=ResolvedDrift,
        takes=ResolveMany,
        converse=resolve_many,
        writes=True,
        refuses=(UnknownCollection, UnknownTool, StaffOnly, ReasonRequired),
    ),
)
