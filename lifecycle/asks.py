"""What one ask makes of everything that is known: the events it causes and the answer, or a no.

An ask names the streams it must know (`streams_of`); `settle` decides it against the memory of
those, purely. What it causes beyond its case stands here too: the stream of a reference, of a
refusal, of a remembered request.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from lifecycle import case as cases
from lifecycle.case import (
    Case,
    Change,
    Correct,
    Erase,
    Move,
    Open,
    ReleaseReference,
    SetFields,
    TakeReference,
    reference_key,
)
from lifecycle.events import (
    Answered,
    Asker,
    CaseEvent,
    DefinitionAdopted,
    Entry,
    Event,
    KeyIssued,
    KeyRevoked,
    ReferenceFreed,
    ReferenceHeld,
    Refused,
)
from lifecycle.fields import is_case_id
from lifecycle.hearing import (
    Hear,
    HeardState,
    Message,
    case_meant,
    hear,
    message_stream,
    release,
    remember,
    settle_claims,
)
from lifecycle.model import Lifecycle
from lifecycle.refusals import (
    CaseExists,
    ConditionNotMet,
    DefinitionNotAdopted,
    FieldsMissing,
    IdempotencyKeyReused,
    InvalidFields,
    NotNow,
    NotSignedIn,
    NotTheOwner,
    NotYours,
    ReasonRequired,
    ReferenceTaken,
    Refusal,
    StaffOnly,
    TransitionNotOpen,
    UnknownCase,
    UnknownCollection,
    UnknownReference,
    UnknownTool,
    UnknownTransition,
)
from lifecycle.reports import Hearing
from lifecycle.streams import (
    case_stream,
    claims_stream,
    definition_stream,
    key_stream,
    mirror_stream,
    parked_stream,
    reference_stream,
    refusals_stream,
    request_stream,
)

RECORDED = (TransitionNotOpen, NotTheOwner, ConditionNotMet, FieldsMissing)
"""The refusals that stand in the log, beside the case."""


# --- asks ---------------------------------------------------------------------------------------


class Look(Struct, frozen=True):
    """Only show the case."""


class LookUp(Struct, frozen=True):
    """Show the case that a tool's own id means."""

    tool: str
    ref: str
    kind: str = ""


class Request(Struct, frozen=True):
    """What an idempotency key is used for."""

    key: str
    content: str
    """Digest of method, path, body and `If-Match`."""
    refusals: bool = False
    """Whether a refusal is remembered too: the lines of an import are not decided again later."""


class Ask(Struct, frozen=True, kw_only=True):
    """Somebody wants something of one case."""

    asker: Asker
    collection: str
    id: str = ""
    """Empty only where `LookUp` finds it out."""
    what: Open | Change | Look | LookUp | Hear
    request: Request | None = None
    versions: tuple[int, ...] | None = None
    """The versions that the write is conditional on."""


class Answer(Struct, frozen=True):
    """What became of an ask that was not refused."""

    case: Case
    entry: Entry | None = None
    """The event that was asked for; None where nothing changed."""
    created: bool = False
    replayed: Answered | None = None
    """Set where the request was answered before: the case is as of that version, once loaded."""


class Taken(Struct, frozen=True):
    """What became of a message that was heard."""

    message: Message
    stream: str
    case: Case | None = None
    """The case that it is about, after everything that it caused."""
    replayed: bool = False
    """Whether the request was answered before."""

    @property
    def tool(self) -> str:
        """Whose word it is."""
        return self.message.heard.tool

    @property
    def name(self) -> str:
        """What it was taken for when it came."""
        again = self.message.outcome == "duplicate"
        return "duplicate" if again else self.message.heard.outcome


class Settled(Struct, frozen=True):
    """What an ask causes, and the answer to give once that stands."""

    answer: Answer | Taken | Refusal | None
    """None for what is recorded without being asked about a case."""
    entries: tuple[Entry, ...] = ()
    known: Mapping[str, "Known"] = {}
    """What its streams amount to then."""
    forget: tuple[str, ...] = ()
    """The streams whose keys are to be deleted with it."""


# --- what is known of a stream ------------------------------------------------------------------


class Key(Struct, frozen=True):
    """A key as it stands."""

    id: str
    asker: Asker
    digest: str
    revoked: bool = False
    issued_at: datetime | None = None


class Tally(Struct, frozen=True):
    """The refusals beside one case, counted."""

    times: Mapping[tuple[str, str, str, int], int]


State = Case | Key | Tally | Answered | DefinitionAdopted | HeardState | str | None
"""What a stream amounts to; a reference's is the case it means."""


class Known(Struct, frozen=True):
    """A stream as far as it goes."""

    version: int
    state: State


NOTHING = Known(0, None)


class Memory(Protocol):
    """Knows streams; what it does not know, it reads."""

    def __getitem__(self, stream: str) -> Known:
        """The stream as far as it goes, `NOTHING` where it has not begun."""


class Causing:
    """Collects the events of one ask, each at the end of its stream."""

    def __init__(self, memory: Memory) -> None:
        """Begin with what is known."""
        self._memory = memory
        self.entries: list[Entry] = []
        self.known: dict[str, Known] = {}
        self._forgotten: list[str] = []

    def state(self, stream: str) -> State:
        """What a stream amounts to by now."""
        return (self.known.get(stream) or self._memory[stream]).state

    def add(self, stream: str, event: Event) -> Known:
        """One more event; answers what the stream amounts to with it."""
        known = self.known.get(stream) or self._memory[stream]
        entry = Entry(stream, known.version + 1, event)
        self.entries.append(entry)
        self.known[stream] = known = learn(known, entry)
        return known

    def forget(self, stream: str) -> None:
        """The key of a stream is to be deleted."""
        self._forgotten.append(stream)

    def settled(self, answer: Answer | Taken | Refusal | None) -> Settled:
        """All of it, with the answer."""
        return Settled(answer, tuple(self.entries), self.known, tuple(self._forgotten))


def learn(known: Known, entry: Entry) -> Known:
    """What is known after one more entry of the stream."""
    assert entry.version == known.version + 1, (entry.stream, known.version, entry.version)
    return Known(entry.version, _learned(known.state, entry))


def _learned(state: State, entry: Entry) -> State:  # noqa: PLR0911 - one for each kind of fact
    match entry.event:
        case CaseEvent():
            assert state is None or isinstance(state, Case)
            return cases.evolve(state, entry)
        case Refused() as event:
            times = dict(state.times) if isinstance(state, Tally) else {}
            same = _same(event.by, event.asked, event.code, event.case_version)
            times = {key: count for key, count in times.items() if key[3] == event.case_version}
            return Tally({**times, same: event.times})
        case ReferenceHeld(case=held):
            return held
        case ReferenceFreed():
            return None
        case KeyIssued() as event:
            key_id = entry.stream.removeprefix("key:")
            asker = Asker(event.tool, event.staff, key_id, event.read_only)
            return Key(key_id, asker, event.digest, issued_at=event.recorded_at)
        case KeyRevoked():
            assert isinstance(state, Key)
            return replace(state, revoked=True)
        case Answered() | DefinitionAdopted() as event:
            return event
    return remember(state, entry)


# --- what must be known -------------------------------------------------------------------------


def streams_of(ask: Ask, lifecycle: Lifecycle | None) -> list[str]:
    """What must be known to settle this ask, as far as can be told beforehand."""
    if lifecycle is None:
        return []
    streams = [definition_stream(lifecycle.name)]
    if ask.asker.key:
        streams.append(key_stream(ask.asker.key))
    if is_case_id(ask.id):
        streams.append(case_stream(ask.collection, ask.id))
        if not isinstance(ask.what, Look) and lifecycle.hears:
            streams.append(claims_stream(ask.collection, ask.id))
    if ask.request:
        streams.append(request_stream(ask.asker, ask.request.key))
    for tool, kind, ref in _references_named(ask):
        if tool in lifecycle.declaration.tools:
            named = (tool, kind or lifecycle.main_kind(tool), ref)
            streams += [reference_stream(*named), parked_stream(*named)]
    if isinstance(ask.what, Hear):
        streams.append(message_stream(ask.collection, ask.id, ask.what))
        if ask.id:
            streams.append(mirror_stream(ask.collection, ask.id, ask.what.report.tool))
    return streams


def _references_named(ask: Ask) -> Iterator[tuple[str, str, str]]:
    """Tool, kind (perhaps empty) and id."""
    match ask.what:
        case Open(references=references):
            for key, refs in references.items():
                tool, _, kind = key.partition(":")
                yield from ((tool, kind, ref) for ref in refs)
        case TakeReference(tool=tool, kind=kind, ref=ref):
            yield tool, kind, ref
        case Hear(report=report) if report.ref:
            yield report.tool, report.kind, report.ref


# --- settling -----------------------------------------------------------------------------------


def settle(ask: Ask, memory: Memory, lifecycles: Mapping[str, Lifecycle], now: datetime) -> Settled:
    """Decide one ask on what is known; raises the `Refusal`s that are not recorded."""
    _signed_in(ask.asker, memory)
    lifecycle = lifecycles.get(ask.collection)
    _may(ask, lifecycle)
    if (replayed := _answered_before(ask, memory)) is not None:
        return Settled(replayed)
    if lifecycle is None:
        raise UnknownCollection(
            f"no collection is called {ask.collection[:80]!r} (there are: {', '.join(lifecycles)})",
            collection=ask.collection[:80],
        )
    if ask.request is None or not ask.request.refusals:
        return _decided(ask, memory, lifecycle, now)
    try:
        settled = _decided(ask, memory, lifecycle, now)
    except NotNow:
        raise
    except Refusal as refusal:
        settled = Settled(refusal)
    if isinstance(settled.answer, Refusal):
        return _remembered(ask, ask.request, settled, settled.answer, memory, now)
    return settled


def _decided(ask: Ask, memory: Memory, lifecycle: Lifecycle, now: datetime) -> Settled:
    match ask.what:
        case Hear():
            return _hear(ask, ask.what, memory, lifecycle, now)
        case Open():
            return _open(ask, ask.what, memory, lifecycle, now)
        case Look():
            return Settled(Answer(_case(ask, memory)))
        case LookUp():
            return Settled(Answer(_case_meant(ask.what, memory, lifecycle)))
    case = _case(ask, memory)
    try:
        return _change(ask, ask.what, case, memory, lifecycle, now)
    except RECORDED as refusal:
        return _refused(ask, refusal, case, memory, now)


def _signed_in(asker: Asker, memory: Memory) -> None:
    if asker.key is None:
        return
    key = memory[key_stream(asker.key)].state
    if not isinstance(key, Key) or key.revoked:
        raise NotSignedIn("this key is not honoured any more")


def _answered_before(ask: Ask, memory: Memory) -> Answer | Taken | None:
    if ask.request is None:
        return None
    before = memory[request_stream(ask.asker, ask.request.key)].state
    if not isinstance(before, Answered):
        return None
    if before.content != ask.request.content:
        raise IdempotencyKeyReused(
            f"the idempotency key {ask.request.key!r} was used for something else;"
            " a new ask needs a new key",
            key=ask.request.key,
        )
    if before.refused:
        raise _REFUSALS[before.refused](before.detail, replayed=True)
    about = memory[before.case].state
    if isinstance(about, Message):
        return Taken(about, before.case, replayed=True)
    assert isinstance(about, Case), before.case
    return Answer(about, replayed=before)


def _may(ask: Ask, lifecycle: Lifecycle | None) -> None:
    """What an asker may not do, whatever the case."""
    asker = ask.asker
    if asker.tool and lifecycle and asker.tool not in lifecycle.declaration.tools:
        raise NotYours(
            f"{asker.tool!r} does not stand in the lifecycle of {lifecycle.collection}"
            f" (its tools: {', '.join(lifecycle.declaration.tools)})"
        )
    if isinstance(ask.what, Look | LookUp):
        return
    if asker.read_only:
        raise NotYours(f"the key of {asker.name} is for reading only")
    if isinstance(ask.what, Hear) and asker.tool and asker.tool != ask.what.report.tool:
        other = ask.what.report.tool
        raise NotYours(f"{asker.tool!r} may report only for itself, not for {other[:80]!r}")
    staff_only = isinstance(ask.what, Correct | Erase) or (
        isinstance(ask.what, Open) and ask.what.state is not None
    )
    if staff_only and not asker.staff:
        raise StaffOnly(f"{asker.name!r} is a tool; adopting, correcting and erasing are for staff")


def _adopted(lifecycle: Lifecycle, memory: Memory) -> None:
    adopted = memory[definition_stream(lifecycle.name)].state
    if isinstance(adopted, DefinitionAdopted) and adopted.digest != lifecycle.mark.digest:
        raise DefinitionNotAdopted(
            f"this process holds version {lifecycle.mark.version} of {lifecycle.name!r}"
            f" ({lifecycle.mark.digest}), the log last adopted version {adopted.version}"
            f" ({adopted.digest}): it does not decide until they agree"
        )


def _not_ahead(case: Case, lifecycle: Lifecycle) -> None:
    """A case that was carried over to a later version is not for this process to move."""
    if case.lifecycle_version > lifecycle.mark.version:
        raise DefinitionNotAdopted(
            f"{case.id} was carried over to version {case.lifecycle_version} of {lifecycle.name!r};"
            f" this process holds version {lifecycle.mark.version} and does not decide about it"
        )


def _case(ask: Ask, memory: Memory) -> Case:
    # What can be no id is not looked for: PostgreSQL's text, for one, has no place for NUL.
    there = is_case_id(ask.id)
    case = memory[case_stream(ask.collection, ask.id)].state if there else None
    if not isinstance(case, Case):
        raise UnknownCase(f"{ask.collection} has no case {ask.id[:140]!r}", id=ask.id[:140])
    return case


def _case_meant(what: LookUp, memory: Memory, lifecycle: Lifecycle) -> Case:
    reference_key(what.tool, what.kind, lifecycle)
    kind = what.kind or lifecycle.main_kind(what.tool)
    held = memory[reference_stream(what.tool, kind, what.ref)].state
    if isinstance(held, str) and held.startswith(f"{lifecycle.collection}/"):
        case = memory[f"case:{held}"].state
        assert isinstance(case, Case), held
        return case
    raise UnknownReference(
        f"no case of {lifecycle.collection} holds the reference {what.ref[:140]!r}"
        f" of {what.tool!r}",
        tool=what.tool,
        ref=what.ref[:140],
    )


def _open(ask: Ask, what: Open, memory: Memory, lifecycle: Lifecycle, now: datetime) -> Settled:
    _adopted(lifecycle, memory)
    stream = case_stream(ask.collection, ask.id)
    cases.check_named(what, lifecycle)
    if memory[stream].version:
        raise CaseExists(f"{ask.collection} has a case {ask.id!r} already", id=ask.id)
    held = _references_free(what.references, ask, memory, lifecycle)
    absent = _absent(what.fields, memory, lifecycle)
    events = cases.open_case(ask.id, what, ask.asker, lifecycle, now, absent)
    whose = f"{ask.collection}/{ask.id}"
    beside = [(one, ReferenceHeld(recorded_at=now, by=ask.asker, case=whose)) for one in held]
    return _caused(ask, stream, events, beside, memory, lifecycle, now)


def _change(
    ask: Ask, what: Change, case: Case, memory: Memory, lifecycle: Lifecycle, now: datetime
) -> Settled:
    _adopted(lifecycle, memory)
    _not_ahead(case, lifecycle)
    stream = case_stream(ask.collection, ask.id)
    cases.check_version(case, what, ask.versions, lifecycle)
    if isinstance(what, TakeReference) and not isinstance(what, ReleaseReference):
        taken = {reference_key(what.tool, what.kind, lifecycle): (what.ref,)}
        _references_free(taken, ask, memory, lifecycle)
    fields = what.fields if isinstance(what, Move | SetFields) else {}
    absent = _absent(fields, memory, lifecycle)
    events = cases.change(case, what, ask.asker, lifecycle, now, absent)
    beside = [_beside(ask, what, lifecycle, now)] if isinstance(what, TakeReference) else []
    return _caused(ask, stream, events, beside if events else [], memory, lifecycle, now)


def _hear(ask: Ask, what: Hear, memory: Memory, lifecycle: Lifecycle, now: datetime) -> Settled:
    _adopted(lifecycle, memory)
    report = what.report
    reference_key(report.tool, report.kind, lifecycle)
    causing = Causing(memory)
    case = _case(ask, memory) if ask.id else case_meant(causing, report, lifecycle, "")
    if case is not None:
        _not_ahead(case, lifecycle)
    if ask.asker.staff and not what.reason:
        raise ReasonRequired(f"staff who report in place of {report.tool} say why")
    message = hear(causing, what, ask.asker, lifecycle, now, case_id=ask.id)
    stream = causing.entries[0].stream
    if ask.request:
        record = Answered(
            recorded_at=now,
            by=ask.asker,
            content=ask.request.content,
            case=stream,
            version=causing.known[stream].version,
            event_version=0,
            status=200,
        )
        causing.add(request_stream(ask.asker, ask.request.key), record)
    after = causing.state(f"case:{message.case}") if message.case else None
    assert after is None or isinstance(after, Case), message.case
    return causing.settled(Taken(message, stream, after))


def _beside(
    ask: Ask, what: TakeReference, lifecycle: Lifecycle, now: datetime
) -> tuple[str, Event]:
    """What stands in the reference's own stream."""
    stream = reference_stream(what.tool, what.kind or lifecycle.main_kind(what.tool), what.ref)
    if isinstance(what, ReleaseReference):
        return stream, ReferenceFreed(recorded_at=now, by=ask.asker)
    case = f"{ask.collection}/{ask.id}"
    return stream, ReferenceHeld(recorded_at=now, by=ask.asker, case=case)


def _caused(
    ask: Ask,
    stream: str,
    events: Sequence[CaseEvent],
    beside: Sequence[tuple[str, Event]],
    memory: Memory,
    lifecycle: Lifecycle,
    now: datetime,
) -> Settled:
    """The events of the case, those beside it, and the request's own record."""
    before = memory[stream]
    after, causing = before, Causing(memory)
    for event in events:
        after = causing.add(stream, event)
    entry = causing.entries[0] if events else None
    for other, fact in beside:
        causing.add(other, fact)
    if events and lifecycle.hears:
        _hear_again(ask, beside, causing, lifecycle, now)
        after = causing.known[stream]
    if ask.request:
        record = Answered(
            recorded_at=now,
            by=ask.asker,
            content=ask.request.content,
            case=stream,
            version=after.version,
            event_version=entry.version if entry else 0,
            status=201 if isinstance(ask.what, Open | Move) else 200,
        )
        causing.add(request_stream(ask.asker, ask.request.key), record)
    assert isinstance(after.state, Case)
    if isinstance(ask.what, Erase) and events:
        causing.forget(stream)
    return causing.settled(Answer(after.state, entry, created=before.version == 0))


def _hear_again(
    ask: Ask,
    beside: Sequence[tuple[str, Event]],
    causing: Causing,
    lifecycle: Lifecycle,
    now: datetime,
) -> None:
    """Decide again what was heard too early: about these references, and about the case."""
    for reference, fact in beside:
        if isinstance(fact, ReferenceHeld):
            parked = reference.replace("reference:", "parked:", 1)
            release(causing, parked, ask.id, lifecycle, Hearing(by=ask.asker, message="", now=now))
    settle_claims(causing, ask.id, lifecycle, now)


def _references_free(
    references: Mapping[str, Sequence[str]], ask: Ask, memory: Memory, lifecycle: Lifecycle
) -> list[str]:
    """The streams of these references, none of which means another case."""
    streams: dict[str, None] = {}
    for key, refs in references.items():
        tool, _, kind = key.partition(":")
        for ref in refs:
            stream = reference_stream(tool, kind or lifecycle.main_kind(tool), ref)
            held = memory[stream].state
            if isinstance(held, str) and held != f"{ask.collection}/{ask.id}":
                raise ReferenceTaken(
                    f"the reference {ref[:140]!r} of {tool!r} means {held} already;"
                    " release it there first",
                    tool=tool,
                    ref=ref[:140],
                    case=held,
                )
            streams[stream] = None
    return list(streams)


def _absent(given: Mapping[str, object], memory: Memory, lifecycle: Lifecycle) -> list[str]:
    """The cases that these fields name, and that nobody opened."""
    named = cases.cases_named(given, lifecycle)
    return [case for case in named.values() if not memory[f"case:{case}"].version]


def _refused(ask: Ask, refusal: Refusal, case: Case, memory: Memory, now: datetime) -> Settled:
    """The refusal stands beside the case; the very same again is counted, not piled up."""
    asked = ask.what.transition if isinstance(ask.what, Move) else _asked(ask.what)
    stream = refusals_stream(ask.collection, ask.id)
    tally = memory[stream].state
    same = _same(ask.asker, asked, refusal.code, case.version)
    times = 1 + (tally.times.get(same, 0) if isinstance(tally, Tally) else 0)
    if not _worth_recording(times):
        assert isinstance(tally, Tally)
        counted = Known(memory[stream].version, Tally({**tally.times, same: times}))
        return Settled(refusal, known={stream: counted})
    claimed = ask.what.occurred_at if isinstance(ask.what, Move | SetFields) else None
    event = Refused(
        recorded_at=now,
        claimed_at=claimed if claimed and claimed < now else None,
        by=ask.asker,
        asked=asked,
        code=refusal.code,
        detail=refusal.detail,
        state=case.states,
        case_version=case.version,
        times=times,
    )
    causing = Causing(memory)
    causing.add(stream, event)
    return causing.settled(refusal)


def _remembered(
    ask: Ask,
    request: Request,
    settled: Settled,
    refusal: Refusal,
    memory: Memory,
    now: datetime,
) -> Settled:
    """The same, with the refusal in the request's own record; none of it is personal."""
    stream = case_stream(ask.collection, ask.id)
    detail = refusal.detail
    if isinstance(refusal, InvalidFields):
        wrong: Any = refusal.facts["errors"]
        detail = f"not as declared: {', '.join(one['path'] for one in wrong)}"
    causing = Causing(memory)
    record = Answered(
        recorded_at=now,
        by=ask.asker,
        content=request.content,
        case=stream,
        version=memory[stream].version,
        event_version=0,
        status=0,
        refused=refusal.code,
        detail=detail,
    )
    causing.add(request_stream(ask.asker, request.key), record)
    return replace(
        settled,
        entries=(*settled.entries, *causing.entries),
        known={**settled.known, **causing.known},
    )


_REFUSALS = {
    kind.code: kind
    for kind in (
        CaseExists,
        ConditionNotMet,
        FieldsMissing,
        InvalidFields,
        NotTheOwner,
        ReasonRequired,
        ReferenceTaken,
        StaffOnly,
        TransitionNotOpen,
        UnknownCase,
        UnknownTool,
        UnknownTransition,
    )
}
"""What an ask to open or to move may be refused with, by code."""


def _worth_recording(times: int) -> bool:
    """Each of the first ten, then every tenth, past a hundred every hundredth, and so on."""
    step: int = 10 ** (len(str(times)) - 1)
    return times % step == 0


def _asked(what: object) -> str:
    if isinstance(what, SetFields):
        return ", ".join(name[:80] for name in list(what.fields)[:20])
    return type(what).__name__


def _same(by: Asker, asked: str, code: str, case_version: int) -> tuple[str, str, str, int]:
    return (by.name, asked, code, case_version)
