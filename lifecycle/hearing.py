"""Hearing a tool: its message, what it was taken to mean and all that it causes, in one append.

What comes too early waits: a claim for the next change of its case, a message about a record that
nobody knows for its reference. Both are decided again here, whatever brought the change about.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from lifecycle import case as cases
from lifecycle.case import Case
from lifecycle.events import (
    Asker,
    CaseOpened,
    ClaimEnded,
    ClaimMade,
    Entry,
    Event,
    Heard,
    HeardAgain,
    Parked,
    ReferenceHeld,
    Reported,
    Understood,
    Unparked,
)
from lifecycle.mirror import SILENT, Claim, Claims, Mirror, reflect, wait
from lifecycle.model import Lifecycle
from lifecycle.reports import Hearing, Outcome, Report, settle_claim, understand
from lifecycle.streams import (
    case_stream,
    claims_stream,
    cut,
    mirror_stream,
    parked_stream,
    reference_stream,
)


class Hear(Struct, frozen=True, kw_only=True):
    """A tool says something; without the id of a case it is found by its reference."""

    report: Report
    arrival: str
    """Tells this message from all others, where it says nothing itself that would."""
    new_id: str
    """The id of the case that it may open."""
    reason: str | None = None
    """Why staff pass it on."""


class Message(Struct, frozen=True):
    """A message as it stands: what was said, and what became of it in the end."""

    heard: Heard
    outcome: str
    why: str
    case: str | None
    times: int = 1
    """How often it came."""


class Waiting(Struct, frozen=True):
    """The messages that wait for one reference, by their streams."""

    messages: tuple[str, ...] = ()


HeardState = Message | Waiting | Mirror | Claims
"""What a stream of hearing amounts to."""


class Ledger(Protocol):
    """Knows every stream, and takes what is caused, each event at the end of its stream."""

    def state(self, stream: str) -> object:
        """What a stream amounts to; None where it has not begun."""

    def add(self, stream: str, event: Event) -> object:
        """One more event."""

    def forget(self, stream: str) -> None:
        """The key of what is sealed in a stream is to be deleted."""


# --- telling messages apart ---------------------------------------------------------------------


def message_stream(collection: str, case_id: str, what: Hear) -> str:
    """Where a message stands: by its id, by what it says and when, or by its arrival."""
    report = what.report
    timed = content(collection, case_id, report) if report.occurred_at else what.arrival
    return cut(f"message:{report.tool}/{report.event_id or timed}")


def content(collection: str, case_id: str, report: Report) -> str:
    """The digest of all that a message says."""
    said = (collection, case_id, msgspec.structs.astuple(report))
    return sha256(msgspec.json.encode(said, order="sorted")).hexdigest()[:32]


# --- hearing ------------------------------------------------------------------------------------


def hear(
    ledger: Ledger,
    what: Hear,
    asker: Asker,
    lifecycle: Lifecycle,
    now: datetime,
    *,
    case_id: str = "",
) -> Message:
    """Take a message in, with everything that it causes; answers what became of it.

    `case_id` is a case that is there, where the message names it.
    """
    report, collection = what.report, lifecycle.collection
    digest = content(collection, case_id, report)
    stream = message_stream(collection, case_id, what)
    before = ledger.state(stream)
    if isinstance(before, Message) and before.heard.content != digest:
        stream = cut(f"{stream}~{digest}")  # the same id for something else
        before = ledger.state(stream)
    if isinstance(before, Message):
        ledger.add(stream, HeardAgain(recorded_at=now, by=asker))
        return replace(before, outcome="duplicate", why="", times=before.times + 1)
    case = case_meant(ledger, report, lifecycle, case_id)
    hearing = Hearing(
        by=asker,
        message=stream,
        reason=what.reason,
        now=now,
        absent=_absent(ledger, report.fields, lifecycle),
        new_id=what.new_id,
    )
    outcome = understand(report, case, _mirror(ledger, case, report.tool), lifecycle, hearing)
    ledger.add(stream, _heard(report, case, outcome, digest, lifecycle, hearing))
    _cause(ledger, report, case, outcome, lifecycle, hearing)
    message = ledger.state(stream)
    assert isinstance(message, Message)
    return message


def _heard(
    report: Report,
    case: Case | None,
    outcome: Outcome,
    digest: str,
    lifecycle: Lifecycle,
    hearing: Hearing,
) -> Heard:
    plain = lifecycle.fields.keys() - lifecycle.personal
    fields = {name: value for name, value in report.fields.items() if name in plain}
    parked = outcome.name == "parked"
    about = case or (hearing.new_id if outcome.events else None)
    return Heard(
        recorded_at=hearing.now,
        by=hearing.by,
        tool=report.tool,
        content=digest,
        collection=lifecycle.collection,
        case=f"{lifecycle.collection}/{about.id if isinstance(about, Case) else about}"
        if about
        else None,
        ref=report.ref,
        kind=report.kind,
        event_id=report.event_id,
        occurred_at=report.occurred_at,
        at=outcome.at,
        status_field=outcome.status_field or report.status_field,
        word=report.word,
        fields=fields,
        personal={k: v for k, v in report.fields.items() if k not in plain} if parked else {},
        taken=outcome.taken,
        not_taken=dict(outcome.not_taken),
        reason=hearing.reason,
        outcome=outcome.name,
        why=outcome.why,
        expected=outcome.expected,
    )


def _cause(
    ledger: Ledger,
    report: Report,
    case: Case | None,
    outcome: Outcome,
    lifecycle: Lifecycle,
    hearing: Hearing,
) -> None:
    """Everything that follows from an outcome."""
    collection, kind = lifecycle.collection, report.kind or lifecycle.main_kind(report.tool)
    case_id = case.id if case else hearing.new_id
    if outcome.why == "unknown-reference":
        waits = Parked(recorded_at=hearing.now, by=hearing.by, message=hearing.message)
        ledger.add(parked_stream(report.tool, kind, report.ref), waits)
    if outcome.name == "parked":
        return
    for event in outcome.events:
        ledger.add(case_stream(collection, case_id), event)
    if outcome.name != "stale" and outcome.why != "nothing-said":
        _reflect(ledger, report, case_id, outcome, lifecycle, hearing)
    if any(isinstance(event, CaseOpened) for event in outcome.events):
        held = ReferenceHeld(recorded_at=hearing.now, by=hearing.by, case=f"{collection}/{case_id}")
        ledger.add(reference_stream(report.tool, kind, report.ref), held)
        release(ledger, parked_stream(report.tool, kind, report.ref), case_id, lifecycle, hearing)
    if outcome.events:
        settle_claims(ledger, case_id, lifecycle, hearing.now)


def _reflect(
    ledger: Ledger,
    report: Report,
    case_id: str,
    outcome: Outcome,
    lifecycle: Lifecycle,
    hearing: Hearing,
) -> None:
    """What the tool says now, and what it claims; what it claimed before it has taken back."""
    collection = lifecycle.collection
    reported = Reported(
        recorded_at=hearing.now,
        by=hearing.by,
        case=f"{collection}/{case_id}",
        tool=report.tool,
        message=hearing.message,
        at=outcome.at,
        status_field=outcome.status_field,
        word=report.word,
        said=(*outcome.taken, *outcome.differing),
        differing=outcome.differing,
        outcome=outcome.name,
        why=outcome.why,
        expected=outcome.expected,
    )
    ledger.add(mirror_stream(collection, case_id, report.tool), reported)
    if not report.word:
        return
    before = [
        claim
        for claim in _claims(ledger, collection, case_id)
        if (claim.tool, claim.status_field) == (report.tool, outcome.status_field)
    ]
    early = outcome.name == "early"
    if early:  # what it claimed stays, unless this says the same once more
        before = [claim for claim in before[-1:] if claim.word == report.word]
    for claim in before:
        taken_back = Outcome(name="stale", at=outcome.at)
        _end(ledger, claim, taken_back, case_id, lifecycle, hearing.now)
    if early:
        _claim(ledger, report, case_id, outcome, lifecycle, hearing)


def _claim(
    ledger: Ledger,
    report: Report,
    case_id: str,
    outcome: Outcome,
    lifecycle: Lifecycle,
    hearing: Hearing,
) -> None:
    collection = lifecycle.collection
    case = ledger.state(case_stream(collection, case_id))
    assert isinstance(case, Case)
    made = ClaimMade(
        recorded_at=hearing.now,
        by=hearing.by,
        tool=report.tool,
        message=hearing.message,
        status_field=outcome.status_field,
        word=report.word,
        at=outcome.at,
        reason=hearing.reason,
        states=case.states,
    )
    ledger.add(claims_stream(collection, case_id), made)


# --- deciding again -----------------------------------------------------------------------------


def settle_claims(ledger: Ledger, case_id: str, lifecycle: Lifecycle, now: datetime) -> None:
    """Decide what waits for a case once more, in order of claimed time, until nothing moves it."""
    collection = lifecycle.collection
    moved = True
    while moved:
        moved = False
        for claim in _claims(ledger, collection, case_id):
            case = ledger.state(case_stream(collection, case_id))
            assert isinstance(case, Case)
            outcome = settle_claim(claim, case, lifecycle, now)
            if outcome.name == "early":
                continue
            for event in outcome.events:
                ledger.add(case_stream(collection, case_id), event)
            _end(ledger, claim, outcome, case_id, lifecycle, now)
            moved = bool(outcome.events)
            if moved:
                break


def _end(
    ledger: Ledger,
    claim: Claim,
    outcome: Outcome,
    case_id: str,
    lifecycle: Lifecycle,
    now: datetime,
) -> None:
    """A claim waits no more; its message has another outcome."""
    collection, told = lifecycle.collection, {"outcome": outcome.name, "why": outcome.why}
    ended = ClaimEnded(recorded_at=now, by=claim.by, message=claim.message, **told)
    ledger.add(claims_stream(collection, case_id), ended)
    case = f"{collection}/{case_id}"
    understood = Understood(recorded_at=now, by=claim.by, case=case, **told)
    ledger.add(claim.message, understood)


def release(
    ledger: Ledger, parked: str, case_id: str, lifecycle: Lifecycle, hearing: Hearing
) -> None:
    """Decide the messages that waited for a reference, now that it means this case."""
    waiting = ledger.state(parked)
    if not isinstance(waiting, Waiting):
        return
    messages = [(one, ledger.state(one)) for one in waiting.messages]
    ours = [
        (stream, message.heard)
        for stream, message in messages
        if isinstance(message, Message) and message.heard.collection == lifecycle.collection
    ]
    for stream, heard in sorted(ours, key=_heard_at):
        ledger.add(parked, Unparked(recorded_at=hearing.now, by=hearing.by, message=stream))
        _decide_again(ledger, stream, heard, case_id, lifecycle, hearing.now)


def _heard_at(one: tuple[str, Heard]) -> datetime:
    return one[1].at


def _decide_again(
    ledger: Ledger,
    stream: str,
    heard: Heard,
    case_id: str,
    lifecycle: Lifecycle,
    now: datetime,
) -> None:
    case = ledger.state(case_stream(lifecycle.collection, case_id))
    assert isinstance(case, Case)
    report = Report(
        tool=heard.tool,
        ref=heard.ref,
        kind=heard.kind,
        status_field=heard.status_field,
        word=heard.word,
        fields={**heard.fields, **heard.personal},
        event_id=heard.event_id,
        occurred_at=heard.at,
    )
    hearing = Hearing(
        by=heard.by,
        message=stream,
        reason=heard.reason,
        now=now,
        absent=_absent(ledger, report.fields, lifecycle),
    )
    outcome = understand(report, case, _mirror(ledger, case, heard.tool), lifecycle, hearing)
    understood = Understood(
        recorded_at=now,
        by=heard.by,
        case=f"{lifecycle.collection}/{case_id}",
        outcome=outcome.name,
        why=outcome.why,
    )
    ledger.add(stream, understood)
    if heard.personal and outcome.name != "parked":
        ledger.forget(stream)  # what was taken of it stands with the case
    _cause(ledger, report, case, outcome, lifecycle, hearing)


# --- what is known ------------------------------------------------------------------------------


def remember(  # noqa: PLR0911 - one for each kind of fact
    state: object, entry: Entry
) -> HeardState:
    """What a stream of hearing amounts to after one more entry."""
    match entry.event, state:
        case Heard() as heard, None:
            return Message(heard, heard.outcome, heard.why, heard.case)
        case HeardAgain(), Message() as message:
            return replace(message, times=message.times + 1)
        case Understood() as now, Message() as message:
            heard = message.heard
            if now.outcome != "parked":
                heard = replace(heard, personal={})
            return replace(message, heard=heard, outcome=now.outcome, why=now.why, case=now.case)
        case Parked(message=stream), None | Waiting():
            before = state.messages if isinstance(state, Waiting) else ()
            return Waiting((*before, stream))
        case Unparked(message=stream), Waiting() as waiting:
            return Waiting(tuple(one for one in waiting.messages if one != stream))
        case Reported() as reported, None | Mirror():
            return reflect(state if isinstance(state, Mirror) else SILENT, reported)
        case ClaimMade() | ClaimEnded(), None | Claims():
            return wait(state if isinstance(state, Claims) else Claims(), entry)
    raise AssertionError(f"nothing is learned from {entry.event.TOPIC} [{entry.stream}]")


def _mirror(ledger: Ledger, case: Case | None, tool: str) -> Mirror:
    if case is None:
        return SILENT
    mirror = ledger.state(mirror_stream(case.collection, case.id, tool))
    return mirror if isinstance(mirror, Mirror) else SILENT


def _claims(ledger: Ledger, collection: str, case_id: str) -> Iterable[Claim]:
    claims = ledger.state(claims_stream(collection, case_id))
    return claims.open if isinstance(claims, Claims) else ()


def case_meant(ledger: Ledger, report: Report, lifecycle: Lifecycle, case_id: str) -> Case | None:
    """The case that a report is about; None where nobody knows its reference."""
    if not case_id:
        if not report.ref:
            return None
        kind = report.kind or lifecycle.main_kind(report.tool)
        held = ledger.state(reference_stream(report.tool, kind, report.ref))
        if not isinstance(held, str) or not held.startswith(f"{lifecycle.collection}/"):
            return None
        case_id = held.partition("/")[2]
    case = ledger.state(case_stream(lifecycle.collection, case_id))
    assert isinstance(case, Case), case_id
    return case


def _absent(ledger: Ledger, fields: Mapping[str, Any], lifecycle: Lifecycle) -> list[str]:
    """The cases that these fields name, and that nobody opened."""
    named = cases.cases_named(fields, lifecycle)
    return [case for case in named.values() if ledger.state(f"case:{case}") is None]
