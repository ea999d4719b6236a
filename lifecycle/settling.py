"""Decides an ask: the events it causes and the answer, or a no.

Pure, on what is known of its streams. What it causes beyond its case stands here too: the stream of
a reference, of a remembered request, of what a tool is told.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from lifecycle import changes, drift
from lifecycle.asks import (
    Answer,
    Ask,
    Causing,
    Look,
    LookUp,
    Settled,
    Taken,
    references_named,
)
from lifecycle.case import Case
from lifecycle.changes import (
    Change,
    Correct,
    Erase,
    Move,
    Open,
    ReleaseReference,
    SetFields,
    TakeReference,
)
from lifecycle.drift import Resolve
from lifecycle.events import (
    Answered,
    Asker,
    CaseEvent,
    DefinitionAdopted,
    DriftFound,
    Event,
    ReferenceFreed,
    ReferenceHeld,
)
from lifecycle.fields import is_case_id
from lifecycle.hearing import as_heard, hear, release, settle_claims
from lifecycle.known import Key, Memory, State
from lifecycle.messages import Complete, Hear, Message, Release, Retry, addressed, case_meant
from lifecycle.mirror import SILENT, Mirror
from lifecycle.model import Lifecycle
from lifecycle.notices import Reword, Tell, due, effect_of, reworded
from lifecycle.references import declared_tool, reference_key
from lifecycle.refusals import (
    CaseExists,
    DefinitionNotAdopted,
    IdempotencyKeyReused,
    NotSignedIn,
    NotThere,
    NotYours,
    ReasonRequired,
    ReferenceTaken,
    StaffOnly,
    UnknownCase,
    UnknownCollection,
    UnknownReference,
)
from lifecycle.refusing import OVERTAKEN, RECORDED, refused
from lifecycle.rehearing import complete, release_more, retry
from lifecycle.reports import Hearing
from lifecycle.streams import (
    case_stream,
    definition_stream,
    key_stream,
    mirror_stream,
    parked_stream,
    reference_stream,
    request_stream,
    tool_of,
)
from lifecycle.telling import tell_now
from lifecycle.values import cases_named, legible


def settle(ask: Ask, memory: Memory, lifecycles: Mapping[str, Lifecycle], now: datetime) -> Settled:
    """Decide one ask on what is known; raises the `Refusal`s that are not recorded."""
    _signed_in(ask.asker, memory)
    ask = _with_reason(ask)
    if isinstance(ask.what, Hear) and ask.what.among:
        ask = _addressed(ask, ask.what, memory, lifecycles)
    lifecycle = lifecycles.get(ask.collection)
    _may(ask, lifecycle)
    if (replayed := _answered_before(ask, memory)) is not None:
        return Settled(replayed)
    if lifecycle is None:
        raise UnknownCollection(
            f"no collection is called {ask.collection[:80]!r} (there are: {', '.join(lifecycles)})",
            collection=ask.collection[:80],
        )
    if isinstance(ask.what, Complete):
        return _complete(ask.what, memory, lifecycles, now)
    if isinstance(ask.what, Retry):
        return _retry(ask, ask.what, memory, lifecycles, now)
    if isinstance(ask.what, Release):
        return _release(ask.what, memory, lifecycles, now)
    return _decided(ask, memory, lifecycle, now)


def _decided(  # noqa: C901, PLR0911 - a table: one answer for each kind of ask
    ask: Ask, memory: Memory, lifecycle: Lifecycle, now: datetime
) -> Settled:
    match ask.what:
        case Hear():
            return _hear(ask, ask.what, memory, lifecycle, now)
        case Open():
            return _open(ask, ask.what, memory, lifecycle, now)
        case Look():
            return Settled(Answer(_case(ask, memory)))
        case LookUp():
            return Settled(Answer(_case_meant(ask.what, memory, lifecycle)))
        case Resolve():
            return _resolve(ask, ask.what, memory, lifecycle, now)
        case Tell():
            _adopted(lifecycle, memory)
            return tell_now(ask, ask.what, _case(ask, memory), memory, lifecycle, now)
        case Reword():
            return _reword(ask, ask.what, memory, lifecycle, now)
        case Complete() | Retry() | Release():
            raise AssertionError("a message is of no single lifecycle")
        case TakeReference(tool=tool):
            declared_tool(tool, lifecycle)  # an unknown one goes before an unknown case
    case = _case(ask, memory)
    try:
        return _change(ask, ask.what, case, memory, lifecycle, now)
    except RECORDED as refusal:
        return refused(ask, refusal, case, memory, now)


def _with_reason(ask: Ask) -> Ask:
    """The same, without a reason that says nothing."""
    reason = getattr(ask.what, "reason", None)
    if reason is None or legible(reason) is not None:
        return ask
    blank: Any = {"reason": None}
    return replace(ask, what=replace(ask.what, **blank))


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
    if before.refused and not before.content:
        raise OVERTAKEN[before.refused](before.detail, replayed=True)
    if before.refused:
        return None  # older logs remember other refusals too; they are decided again
    if before.content != ask.request.content:
        raise IdempotencyKeyReused(
            f"the idempotency key {ask.request.key!r} was used for something else;"
            " a new ask needs a new key",
            key=ask.request.key,
        )
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
    if isinstance(ask.what, Move | SetFields):
        return  # who may do that, the case says
    if isinstance(ask.what, Hear) and asker.tool and asker.tool != ask.what.report.tool:
        other = ask.what.report.tool
        raise NotYours(f"{asker.tool!r} may report only for itself, not for {other[:80]!r}")
    if isinstance(ask.what, Retry) and asker.tool and asker.tool != tool_of(ask.what.message):
        raise NotYours(f"{asker.tool!r} may have only its own messages decided again")
    staff_only = isinstance(ask.what, Correct | Erase | Resolve) or (
        isinstance(ask.what, Open) and ask.what.state is not None
    )
    if staff_only and not asker.staff:
        raise StaffOnly(
            f"{asker.name!r} is a tool; adopting, correcting, erasing and settling differences"
            " are for staff"
        )


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
    changes.check_named(what, lifecycle)
    if memory[stream].version:
        raise CaseExists(f"{ask.collection} has a case {ask.id!r} already", id=ask.id)
    held = _references_free(what.references, ask, memory, lifecycle)
    absent = _absent(what.fields, memory, lifecycle)
    events = changes.open_case(ask.id, what, ask.asker, lifecycle, now, absent)
    whose = f"{ask.collection}/{ask.id}"
    beside = [(one, ReferenceHeld(recorded_at=now, by=ask.asker, case=whose)) for one in held]
    return _caused(ask, stream, events, beside, memory, lifecycle, now)


def _change(
    ask: Ask, what: Change, case: Case, memory: Memory, lifecycle: Lifecycle, now: datetime
) -> Settled:
    _adopted(lifecycle, memory)
    _not_ahead(case, lifecycle)
    stream = case_stream(ask.collection, ask.id)
    changes.check_version(case, what, ask.versions, lifecycle)
    if isinstance(what, TakeReference) and not isinstance(what, ReleaseReference):
        taken = {reference_key(what.tool, what.kind, lifecycle): (what.ref,)}
        _references_free(taken, ask, memory, lifecycle)
    fields = what.fields if isinstance(what, Move | SetFields) else {}
    absent = _absent(fields, memory, lifecycle)
    events = changes.change(case, what, ask.asker, lifecycle, now, absent)
    beside = [_beside(ask, what, lifecycle, now)] if isinstance(what, TakeReference) else []
    return _caused(ask, stream, events, beside if events else [], memory, lifecycle, now)


def _hear(ask: Ask, what: Hear, memory: Memory, lifecycle: Lifecycle, now: datetime) -> Settled:
    _adopted(lifecycle, memory)
    report = what.report
    declared_tool(report.tool, lifecycle)  # tools may send what nobody here has a kind for
    causing = Causing(memory)
    case = _case(ask, memory) if ask.id else case_meant(causing, report, lifecycle, "")
    if case is not None:
        _not_ahead(case, lifecycle)
    if ask.asker.staff and not what.reason:
        raise ReasonRequired(f"staff who report in place of {report.tool} say why")
    stream, message = hear(causing, what, ask.asker, lifecycle, now, case_id=ask.id)
    after = causing.state(f"case:{message.case}") if message.case else None
    assert after is None or isinstance(after, Case), message.case
    if after is not None and not ask.quiet:
        _tell(causing, case, after, lifecycle, now)
    _answered(ask, causing, stream, now)
    return causing.settled(Taken(message, stream, after))


def _answered(ask: Ask, causing: Causing, stream: str, now: datetime) -> None:
    """What the idempotency key was used for, where there is one: about a message."""
    if ask.request:
        record = Answered(
            recorded_at=now,
            by=ask.asker,
            content=ask.request.content,
            case=stream,
            version=causing.version(stream),
            event_version=0,
            status=200,
        )
        causing.add(request_stream(ask.asker, ask.request.key), record)


def _retry(
    ask: Ask, what: Retry, memory: Memory, lifecycles: Mapping[str, Lifecycle], now: datetime
) -> Settled:
    """Decide a message again, by the lifecycle that it is about now."""
    causing = Causing(memory)
    known = memory[what.message].state
    if not isinstance(known, Message):
        raise NotThere("no message is called so")
    lifecycle = lifecycles[known.heard.collection]
    if known.heard.assumed and known.case is None:
        tool = known.heard.tool
        among = [one for one in lifecycles.values() if tool in one.declaration.tools]
        lifecycle, _ = addressed(causing, as_heard(known.heard, lifecycle), among)
    _adopted(lifecycle, memory)
    message = retry(causing, what, lifecycle, ask.asker, now)
    after = causing.state(f"case:{message.case}") if message.case else None
    if isinstance(after, Case) and causing.entries:
        _not_ahead(after, lifecycle)
        before = memory[f"case:{message.case}"].state
        _tell(causing, before if isinstance(before, Case) else None, after, lifecycle, now)
    _answered(ask, causing, what.message, now)
    return causing.settled(Taken(message, what.message, _or_none(after), again=True))


def _reword(ask: Ask, what: Reword, memory: Memory, lifecycle: Lifecycle, now: datetime) -> Settled:
    """Tell the tools what a new version calls the state in which the case is."""
    _adopted(lifecycle, memory)
    case, causing = _case(ask, memory), Causing(memory)
    _not_ahead(case, lifecycle)
    for tool in lifecycle.told:
        theirs = mirror_stream(ask.collection, ask.id, tool)
        known = memory[theirs].state
        mirror = known if isinstance(known, Mirror) else SILENT
        for event in reworded(case, tool, what.before.get(tool, {}), mirror, lifecycle, now):
            causing.add(theirs, event)
    return causing.settled(Answer(case))


def _or_none(state: State) -> Case | None:
    return state if isinstance(state, Case) else None


def _resolve(
    ask: Ask, what: Resolve, memory: Memory, lifecycle: Lifecycle, now: datetime
) -> Settled:
    """Settle a difference as staff want it."""
    _adopted(lifecycle, memory)
    case = _case(ask, memory)
    _not_ahead(case, lifecycle)
    theirs = mirror_stream(ask.collection, ask.id, what.tool)
    mirror = memory[theirs].state
    found = mirror.drift_named(what.drift) if isinstance(mirror, Mirror) else None
    if found is None or not isinstance(mirror, Mirror):
        raise NotThere(f"no such difference stands between {what.tool!r} and {case.id} any more")
    if not what.reason:
        raise ReasonRequired("staff who settle a difference say why")
    field, difference = found
    events: Sequence[CaseEvent] = ()
    beside: list[tuple[str, Event]] = []
    if what.how == "accept":
        events = drift.accepted(field, difference, case, what, ask.asker, lifecycle, now)
    if what.how == "tell":
        told = drift.told_as_asked(what, field, mirror, case, lifecycle, ask.asker, now)
        beside += [(theirs, told)] if told else []
    else:
        beside += [(theirs, drift.settled(field, difference, case, what, ask.asker, now))]
    stream = case_stream(ask.collection, ask.id)
    return _caused(ask, stream, events, beside, memory, lifecycle, now)


def _addressed(ask: Ask, what: Hear, memory: Memory, lifecycles: Mapping[str, Lifecycle]) -> Ask:
    """The same about the lifecycle that it is about; a case that is not there is none."""
    among = [lifecycles[one] for one in what.among]
    there = [
        one
        for one in among
        if is_case_id(ask.id) and memory[case_stream(one.collection, ask.id)].version
    ]
    lifecycle, report = addressed(Causing(memory), what.report, there or among, what.zone)
    what = replace(what, report=report)
    return replace(ask, collection=lifecycle.collection, id=ask.id if there else "", what=what)


def _complete(
    what: Complete, memory: Memory, lifecycles: Mapping[str, Lifecycle], now: datetime
) -> Settled:
    among = [lifecycles[one] for one in what.among]
    for lifecycle in among:
        _adopted(lifecycle, memory)
    causing = Causing(memory)
    message = complete(causing, what, among, now)
    if message is None:
        known = memory[what.message].state
        assert isinstance(known, Message), what.message
        return Settled(Taken(known, what.message, again=True))
    after = causing.state(f"case:{message.case}") if message.case else None
    if isinstance(after, Case):
        _not_ahead(after, lifecycles[after.collection])
        before = memory[f"case:{message.case}"].state
        told = before if isinstance(before, Case) else None
        _tell(causing, told, after, lifecycles[after.collection], now)
    return causing.settled(Taken(message, what.message, again=True))


def _release(
    what: Release, memory: Memory, lifecycles: Mapping[str, Lifecycle], now: datetime
) -> Settled:
    """Decide more of what waited for a reference."""
    causing = Causing(memory)
    if case := release_more(causing, what, lifecycles, now):
        before, after = memory[f"case:{case}"].state, causing.state(f"case:{case}")
        assert isinstance(before, Case), case
        assert isinstance(after, Case), case
        lifecycle = lifecycles[after.collection]
        _adopted(lifecycle, memory)
        _not_ahead(before, lifecycle)
        _tell(causing, before, after, lifecycle, now)
    return causing.settled(None)


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
    if events:
        _hear_again(ask, beside, causing, lifecycle, now)
        after = causing.known[stream]
    assert isinstance(after.state, Case)
    if (events or beside) and not ask.quiet:
        told = before.state if isinstance(before.state, Case) else None
        _tell(causing, told, after.state, lifecycle, now)
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
    if beside and any(isinstance(fact, ReferenceHeld) for _, fact in beside):
        for tool, kind, ref in references_named(ask):
            parked = parked_stream(tool, kind or lifecycle.main_kind(tool), ref)
            release(causing, parked, ask.id, lifecycle, Hearing(by=ask.asker, message="", now=now))
    if lifecycle.hears:
        settle_claims(causing, ask.id, lifecycle, now)


def _tell(
    causing: Causing, before: Case | None, after: Case, lifecycle: Lifecycle, now: datetime
) -> None:
    """What the tools are due by all that was caused."""
    stream = case_stream(after.collection, after.id)
    events = [
        entry.event
        for entry in causing.entries
        if entry.stream == stream and isinstance(entry.event, CaseEvent)
    ]
    effect = effect_of(before, after, events, lifecycle) if events else None
    for tool in lifecycle.mirrored:
        theirs = mirror_stream(after.collection, after.id, tool)
        mirror = causing.state(theirs)
        known = mirror if isinstance(mirror, Mirror) else SILENT
        told = effect and tool in lifecycle.told and due(effect, tool, known, lifecycle, now)
        if told:
            causing.add_all(theirs, told)
        if known.drifts:  # what is due is none of them
            _put_right(causing, events, after, tool, lifecycle, now)


def _put_right(
    causing: Causing,
    events: Sequence[CaseEvent],
    case: Case,
    tool: str,
    lifecycle: Lifecycle,
    now: datetime,
) -> None:
    """What has become of the differences between a tool and the case; some are told again."""
    theirs = mirror_stream(case.collection, case.id, tool)
    found = [
        entry.event
        for entry in causing.entries
        if entry.stream == theirs and isinstance(entry.event, DriftFound)
    ]
    if not events and not found:
        return
    mirror = causing.state(theirs)
    assert isinstance(mirror, Mirror), theirs
    causing.add_all(theirs, drift.after_change(events, case, tool, mirror, lifecycle, now))
    mirror = causing.state(theirs)
    assert isinstance(mirror, Mirror), theirs
    causing.add_all(theirs, drift.heal(found, mirror, case, lifecycle, now))


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
    named = cases_named(given, lifecycle)
    return [case for case in named.values() if not memory[f"case:{case}"].version]
