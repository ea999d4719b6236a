"""Everything that was heard, with what became of it; and deciding it again, one or many."""

import asyncio
from base64 import b64encode
from collections.abc import Mapping, Sequence
from os import urandom
from time import time
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from api import asking
from api.asking import Reason, hidden_from
from api.bulk import Bulk, Filter, Plan, run
from api.door import Answer, Keeper, Operation, Visit, told
from api.keys import identify, identify_now
from api.paging import PAGED, Choice, Listing
from lifecycle import fields
from lifecycle.asks import Ask, Taken
from lifecycle.events import Asker, Done, Entry, Heard, Value
from lifecycle.journal import Outcome
from lifecycle.known import NOTHING, learn
from lifecycle.messages import Message, Retry
from lifecycle.refusals import NotYours, UnknownCollection, UnknownTool
from lifecycle.reports import OUTCOMES
from lifecycle.streams import streams_about
from projections import messages
from projections.messages import OnList
from projections.timeline import EventView, view

LISTING: Final = Listing(
    model=messages.Messages,
    noun="message",
    whose="what this tool said",
    why="because of this, like `unknown-reference` or `not-the-owner`",
    came="heard",
    choices=(
        Choice(
            "outcome",
            "sort",
            OUTCOMES,
            "of which this became; `duplicate`: those that came more than once, whatever became of"
            " them",
        ),
    ),
)


class MessageItem(Struct):
    """A message, with what it is taken for by now."""

    id: str
    tool: str
    """Whose word it is."""
    collection: str
    case: str | None
    """The case that it is about, like `jobs/J-1042`; null where that is not known."""
    ref: str
    kind: str
    event_id: str
    status_field: str
    word: str
    fields: list[str]
    """The fields that it spoke of."""
    at: str
    """When the tool saw it."""
    heard_at: str
    outcome: str
    why: str
    expected: str | None
    times: int
    """How often it came."""
    unread: list[str]
    """Parts that the tool's connector could not read, such as `occurred_at`: then it counts as of
    when it was heard, and nothing is older than it."""


class Messages(Struct):
    """A page of what was heard, newest first."""

    items: list[MessageItem]
    next: str | None
    """Give it as `cursor` for the next page; null at the end."""


class MessageView(MessageItem):
    """A message, whole."""

    values: dict[str, Value]
    """What it says the fields are; personal values stand with the case once they are taken."""
    taken: Sequence[str]
    not_taken: Mapping[str, str]
    """Field → why it was not taken."""
    by: Asker
    """Who said it: the tool, or staff in its place."""
    reason: str | None
    """Why staff passed it on."""
    raw: str | None
    """What came, in base64; null where nothing was kept, or it is kept no longer."""
    became: list[EventView]
    """What was made of it, oldest first."""
    caused: list[EventView]
    """What it changed, oldest first."""


class RetryBody(Struct, forbid_unknown_fields=True):
    """Why it is to be decided again."""

    reason: Reason | None = None


class RetriedMessages(Plan, omit_defaults=True):
    """What became of each message; or, planned, how many there are."""

    sample: list[MessageItem] | None = None
    """With `plan`: the newest of them."""


class RetryMany(Filter, forbid_unknown_fields=True):
    """Which messages are to be decided again: the filters of their list."""

    outcome: str | None = None


async def list_messages(keeper: Keeper, visit: Visit) -> Answer:
    """A page of what was heard."""
    part = await LISTING.part(keeper, visit)
    items = [_item(one) for one in part.records]
    return told(Messages(items, part.next), position=part.position)


async def show_message(keeper: Keeper, visit: Visit) -> Answer:
    """One message: what was said, what became of it, what it caused."""
    visit.query()
    asker = await identify_now(keeper, visit)
    row = await LISTING.one(keeper, asker, visit.segment(3))
    return told(await view_of(keeper, asker, row))


async def retry_message(keeper: Keeper, visit: Visit) -> Answer:
    """Decide a message again, as things are now."""
    body = visit.read_as(RetryBody) if visit.body else RetryBody()
    visit.query()
    asker = await identify(keeper, visit)
    row = await LISTING.one(keeper, asker, visit.segment(3))
    ask = _retry(row, asker, body.reason)
    taken = await asking.decide_again(keeper, visit, ask)
    headers = [(b"idempotency-replayed", b"true")] if taken.replayed else []
    return told(await view_of(keeper, asker, _as_now(row, taken)), 200, headers)


async def retry_messages(keeper: Keeper, scope: Any, receive: Any, send: Any) -> None:
    """Decide all messages of a filter again, or tell how many there are."""
    await run(keeper, scope, receive, send, RetryMany, lambda _: _Retrying)


# --- how it is shown ----------------------------------------------------------------------------


def _members(row: OnList) -> dict[str, Any]:
    return {
        "id": row.id,
        "tool": row.tool,
        "collection": row.collection,
        "case": row.case or None,
        "ref": row.ref,
        "kind": row.kind,
        "event_id": row.event_id,
        "status_field": row.status_field,
        "word": row.word,
        "fields": row.fields.split(),
        "at": asking.short(row.at),
        "heard_at": asking.short(row.recorded_at),
        "outcome": row.outcome,
        "why": row.why,
        "expected": row.expected or None,
        "times": row.times,
        "unread": row.unread.split(),
    }


def _item(row: OnList) -> MessageItem:
    return MessageItem(**_members(row))


def _as_now(row: OnList, taken: Taken) -> OnList:
    """The row as it will be once the read models have followed."""
    message = taken.message
    case_id = (message.case or "").partition("/")[2]
    return replace(
        row,
        case_id=case_id or row.case_id,
        outcome=message.outcome,
        why=message.why,
        expected=message.heard.expected or "",
        times=message.times,
    )


async def view_of(keeper: Keeper, asker: Asker, row: OnList) -> MessageView:
    """A message with all that the log has of it."""
    streams = [row.stream]
    if row.case_id:
        lifecycle = keeper.catalogue.lifecycles.get(row.collection)
        tools = lifecycle.declaration.tools if lifecycle else ()
        streams += streams_about(row.collection, row.case_id, tools)
    entries = await asking.entries_of(keeper, streams)
    own = [entry for entry in entries if entry.stream == row.stream]
    heard, became = own[0].event, _as_it_stands(own)
    assert isinstance(heard, Heard), row.stream
    raw = await asyncio.to_thread(_raw, keeper, row.stream)
    return MessageView(
        **_members(row),
        values={**heard.fields, **heard.personal, **became.personal},
        taken=became.taken,
        not_taken=became.not_taken,
        by=heard.by,
        reason=heard.reason,
        raw=b64encode(raw).decode() if raw else None,
        became=_views(own, row, asker, keeper),
        caused=_views([one for one in entries if _is_caused(one, row)], row, asker, keeper),
    )


def _as_it_stands(own: Sequence[Entry]) -> Heard:
    """What was said, with what has become of it."""
    known = NOTHING
    for entry in own:
        known = learn(known, entry)
    assert isinstance(known.state, Message), own[0].stream
    return known.state.heard


def _is_caused(entry: Entry, row: OnList) -> bool:
    """Whether an event beside the message names it as its cause."""
    return entry.stream != row.stream and getattr(entry.event, "message", None) == row.stream


def _views(entries: Sequence[Entry], row: OnList, asker: Asker, keeper: Keeper) -> list[EventView]:
    lifecycle = keeper.catalogue.lifecycles.get(row.collection)
    hidden = hidden_from(asker, lifecycle)
    about = {"collection": row.collection, "id": row.case_id or None}
    return [view(entry, lifecycle, hidden=hidden, **about) for entry in entries]


def _raw(keeper: Keeper, stream: str) -> bytes | None:
    journal = keeper.journal
    stored = journal.recorder.streams([stream])
    return journal.mapper.raw(stored[0]) if stored else None


# --- deciding again -----------------------------------------------------------------------------


def _retry(row: OnList, asker: Asker, reason: str | None) -> Ask:
    what = Retry(
        message=row.stream,
        new_id=fields.new_case_id(int(time() * 1000), urandom(10)),
        reason=reason,
    )
    return Ask(asker=asker, collection=row.collection, what=what)


class _Retrying(Bulk[OnList]):
    """All messages of a filter, decided again one by one."""

    about = "messages"
    listing = LISTING

    def shown(self, records: Sequence[OnList]) -> Sequence[MessageItem]:
        """Some of them, for a plan."""
        return [_item(one) for one in records]

    def ask(self, record: OnList) -> Ask:
        """Decide it again."""
        return _retry(record, self.asker, self.asked.reason)

    def became(self, record: OnList, outcome: Outcome) -> Done:
        """What it is taken for now."""
        assert isinstance(outcome, Taken), outcome
        now = outcome.message
        return Done(id=record.id, outcome=now.outcome, why=now.why, was=record.outcome)


OPERATIONS = (
    Operation(
        "GET",
        "/v1/messages",
        list_messages,
        "Everything heard, newest first, with what became of it; a tool sees its own",
        gives=Messages,
        query={**LISTING.filters, **PAGED},
        refuses=(UnknownCollection, UnknownTool, NotYours),
        visible="views",
    ),
    Operation(
        "GET",
        "/v1/messages/{message}",
        show_message,
        "One message: what was said, what became of it, and what it changed",
        gives=MessageView,
        visible="views",
    ),
    Operation(
        "POST",
        "/v1/messages/{message}/retry",
        retry_message,
        "Decide a message again, as things are now; what is settled stays as it is",
        gives=MessageView,
        takes=RetryBody,
        bodiless=True,
        writes=True,
        visible="views",
    ),
    Operation(
        "POST",
        "/v1/messages/retry",
        None,
        "Decide all messages of a filter again: a line for each as it is done;"
        " with `plan` only how many there are",
        gives=RetriedMessages,
        takes=RetryMany,
        converse=retry_messages,
        writes=True,
        refuses=(UnknownCollection, UnknownTool),
    ),
)
