"""From a visit to an ask, and from its answer to what is shown: what every case resource shares."""

import asyncio
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any

from msgspec import Meta
from msgspec.structs import replace

from api.door import Answer, Headers, Keeper, Visit, told
from api.problems import MalformedRequest
from lifecycle.asks import Answer as Settled
from lifecycle.asks import Ask, Look, LookUp, Request, Taken
from lifecycle.case import Case, evolve
from lifecycle.changes import Change, Open
from lifecycle.drift import Resolve
from lifecycle.events import Asker, Entry
from lifecycle.fields import NotThat, instant
from lifecycle.messages import Hear
from lifecycle.model import Lifecycle
from lifecycle.streams import case_stream, streams_about
from projections.messages import Messages
from projections.records import Wanted
from projections.store import Session
from projections.tables import follower
from projections.timeline import seen_by
from projections.views import case_view
from projections.wording import UNDECLARED

REASON_MAX = 2000
NOT_MIRRORED_MAX = 100
"""Messages of a case that a history shows though nothing came of them."""
VERSION_DIGITS_MAX = 9

Reason = Annotated[str, Meta(max_length=REASON_MAX)]
"""Why; one sentence for those who read the history. What shows nothing is no reason."""
FieldValues = Annotated[
    dict[str, Any], Meta(extra_json_schema={"$ref": "#/components/schemas/Fields"})
]
"""Field → value, as it came; what each may be, the lifecycle says."""
ClaimedTime = Annotated[datetime, Meta(tz=True, extra_json_schema={"pattern": "^(?!0001|9999)"})]
"""When it happened, by the asker's account."""


async def ask(
    keeper: Keeper,
    visit: Visit,
    asker: Asker,
    what: Open | Change | Look | LookUp | Resolve,
    *,
    case_id: str | None = None,
    collection: str | None = None,
) -> Settled:
    """Ask the journal; an answer given before comes with the case as of that version."""
    writes = not isinstance(what, Look | LookUp)
    if case_id is None:
        case_id = "" if isinstance(what, LookUp) else visit.segment(3)
    answer = await keeper.journal.answer(
        Ask(
            asker=asker,
            collection=visit.segment(2) if collection is None else collection,
            id=case_id,
            what=what,
            request=request_of(visit) if writes else None,
            versions=_versions(visit) if writes else None,
        ),
        len(visit.body),
    )
    return await _as_answered_before(keeper, answer) if answer.replayed else answer


async def hear(
    keeper: Keeper, visit: Visit, asker: Asker, collection: str, case_id: str, what: Hear
) -> Taken:
    """Have the journal take a message in."""
    request = request_of(visit)
    heard = Ask(asker=asker, collection=collection, id=case_id, what=what, request=request)
    return await keeper.journal.hear(heard, len(visit.body))


def show(
    keeper: Keeper, answer: Settled, asker: Asker, status: int = 200, headers: Headers | None = None
) -> Answer:
    """The case, as far as the asker may see it."""
    view = case_view(
        answer.case,
        lifecycle_of(keeper, answer.case),
        keeper.journal.clock(),
        hidden=hidden_from(asker, lifecycle_of(keeper, answer.case)),
    )
    return told(view, status, [*tagged(answer), *(headers or ())])


def tagged(answer: Settled) -> Headers:
    """The headers that go with a case."""
    tag = (b"etag", b'"%d"' % answer.case.version)
    return [tag, (b"idempotency-replayed", b"true")] if answer.replayed else [tag]


def lifecycle_of(keeper: Keeper, case: Case) -> Lifecycle:
    """The lifecycle that governs a case."""
    return keeper.catalogue.lifecycles[case.collection]


def hidden_from(asker: Asker, lifecycle: Lifecycle | None) -> frozenset[str]:
    """The fields whose values an asker may not see; staff may see all.

    Where no lifecycle is declared any more, nobody knows what was personal: a tool sees nothing.
    """
    if asker.tool is None:
        return frozenset()
    if lifecycle is None:
        return frozenset({UNDECLARED})
    theirs = asker.tool in lifecycle.declaration.tools
    readable = lifecycle.readable(asker.tool) if theirs else frozenset[str]()
    return lifecycle.personal - readable | {UNDECLARED}


async def case_entries(keeper: Keeper, case: Case) -> list[Entry]:
    """Everything in a case's stream, from the log."""
    return await entries_of(keeper, [case_stream(case.collection, case.id)])


async def all_entries(keeper: Keeper, case: Case, tool: str | None = None) -> list[Entry]:
    """Everything in a case's stream and beside it, in order; for a tool what it may know of.

    Messages that nobody could understand are found by the read models, if there are any.
    """
    lifecycle = keeper.catalogue.lifecycles.get(case.collection)
    tools = lifecycle.declaration.tools if lifecycle else ()
    streams = streams_about(case.collection, case.id, tools)
    unheard = await asyncio.to_thread(_not_mirrored, keeper, case)
    return seen_by(tool, await entries_of(keeper, [*streams, *unheard]))


def _not_mirrored(keeper: Keeper, case: Case) -> list[str]:
    """The newest messages about a case that stand in no mirror: they are parked, or stale."""
    if keeper.views is None:
        return []
    with keeper.views.reading() as session:
        return [
            one.stream
            for outcome in ("parked", "stale")
            for one in Messages.page(
                session,
                Wanted(collection=case.collection, case_id=case.id, sort=outcome),
                NOT_MIRRORED_MAX,
            )
        ]


async def decide_again(keeper: Keeper, visit: Visit, ask: Ask) -> Taken:
    """Have the journal decide a message again."""
    return await keeper.journal.hear(replace(ask, request=request_of(visit)), len(visit.body))


def followed(session: Session) -> int:
    """How far the read models have come."""
    return int(session.rows(follower.SELECT_FOLLOWED)[0][0])


def short(time: str) -> str:
    """A time as read models keep it, cut to milliseconds, as answers write it."""
    return f"{time[:23]}Z" if time else ""


async def entries_of(keeper: Keeper, streams: Sequence[str]) -> list[Entry]:
    """Everything in these streams, from the log, in order."""
    journal = keeper.journal

    def read() -> list[Entry]:
        return [journal.mapper.to_domain_event(one) for one in journal.recorder.streams(streams)]

    return await asyncio.to_thread(read)


def replayed(entries: Iterable[Entry]) -> Case:
    """The case that these entries of its stream make."""
    case: Case | None = None
    for entry in entries:
        case = evolve(case, entry)
    assert case is not None
    return case


async def states_then(keeper: Keeper, answers: Iterable[Settled]) -> dict[tuple[str, int], str]:
    """Case's stream and version → the state then, for answers given before; one reading for all."""
    moved = moved_since(answers)
    return states_of(await entries_of(keeper, moved)) if moved else {}


def moved_since(answers: Iterable[Settled]) -> list[str]:
    """The streams of those cases that have changed since the answer that is given again."""
    return list(
        dict.fromkeys(
            before.case
            for answer in answers
            if (before := answer.replayed) and before.version != answer.case.version
        )
    )


def states_of(entries: Iterable[Entry]) -> dict[tuple[str, int], str]:
    """Stream and version → the state then, for whole streams of cases."""
    cases: dict[str, Case | None] = {}
    states: dict[tuple[str, int], str] = {}
    for entry in entries:
        case = cases[entry.stream] = evolve(cases.get(entry.stream), entry)
        assert case is not None
        states[entry.stream, entry.version] = case.state
    return states


def moment(name: str, text: str) -> datetime:
    """A time in a query."""
    try:
        return instant(text)
    except NotThat as exc:
        raise MalformedRequest(f"{name}: {exc}") from exc


def claimed(time: datetime | None) -> datetime | None:
    """A time that is claimed, in UTC."""
    try:
        return time and time.astimezone(UTC)
    except OverflowError as exc:
        raise MalformedRequest(f"{time} is no time of the calendar in UTC") from exc


def version(text: str) -> int:
    """A version in a query."""
    if not (text.isascii() and text.isdigit() and len(text) <= VERSION_DIGITS_MAX and int(text)):
        raise MalformedRequest("version: a whole number from 1")
    return int(text)


async def _as_answered_before(keeper: Keeper, answer: Settled) -> Settled:
    before = answer.replayed
    assert before is not None
    entries = await case_entries(keeper, answer.case)
    entry = entries[before.event_version - 1] if before.event_version else None
    return replace(answer, case=replayed(entries[: before.version]), entry=entry)


def request_of(visit: Visit) -> Request | None:
    """What its idempotency key is used for, where it has one."""
    key = visit.header(b"idempotency-key")
    if key is None:
        return None
    digest = sha256()
    parts = (
        visit.method.encode(),
        b"/".join(visit.segments),
        visit.query_string,
        visit.headers.get(b"if-match", b""),
        visit.body,
    )
    for part in parts:
        digest.update(b"%d:" % len(part) + part)
    return Request(key, digest.hexdigest())


def _versions(visit: Visit) -> tuple[int, ...] | None:
    """The versions that `If-Match` allows (RFC 9110 §13.1.1); None where any is right."""
    given = visit.header(b"if-match")
    if given is None or given.strip() == "*":
        return None
    tags = [tag.strip() for tag in given.split(",")]
    if not all(_TAG.fullmatch(tag) for tag in tags):
        raise MalformedRequest('If-Match has to be the version in quotes, as ETag has it: "4"')
    return tuple(int(tag.strip('"')) for tag in tags)


_TAG = re.compile(r'"[0-9]{1,9}"')
