"""Hearing a tool: its message, what it was taken to mean and all that it causes, in one append.

What comes too early waits: a claim for the next change of its case, a message about a record that
nobody knows for its reference. Both are decided again here, whatever brought the change about.
"""

from datetime import datetime
from typing import Any, Final

from msgspec.structs import replace

from lifecycle import drift
from lifecycle.case import Case
from lifecycle.events import (
    ERASED,
    Asker,
    CaseOpened,
    ClaimEnded,
    ClaimMade,
    Heard,
    HeardAgain,
    Parked,
    ReferenceFreed,
    ReferenceHeld,
    ReferenceReleased,
    ReferenceTaken,
    Reported,
    Understood,
    Unparked,
)
from lifecycle.messages import (
    NOT_FETCHED,
    Hear,
    Ledger,
    Message,
    Waiting,
    absent_of,
    case_meant,
    claims_of,
    content,
    in_form,
    kind_to_be_named,
    message_stream,
    mirror_of,
    stream_to_be,
)
from lifecycle.mirror import Claim
from lifecycle.model import Lifecycle
from lifecycle.reports import (
    UNKNOWN,
    Hearing,
    Outcome,
    Report,
    is_repeated,
    settle_claim,
    understand,
)
from lifecycle.streams import (
    case_stream,
    claims_stream,
    mirror_stream,
    parked_stream,
    reference_stream,
    releasing_stream,
    unfetched_stream,
)

SAID_AGAIN: Final = "said-again"
"""Why a claim is over whose word the tool has said once more."""
NOTHING_SAID: Final = "nothing-said"
RELEASED_MAX: Final = 200
"""Messages that one append decides when their reference is set."""
CLAIMS_MAX: Final = 50
"""Claims of one tool on one status field of a case: of more the oldest is over."""


def hear(
    ledger: Ledger,
    what: Hear,
    asker: Asker,
    lifecycle: Lifecycle,
    now: datetime,
    *,
    case_id: str = "",
) -> tuple[str, Message]:
    """Take a message in, with everything that it causes; answers its stream and what became of it.

    `case_id` is a case that is there, where the message names it.
    """
    report, collection = what.report, lifecycle.collection
    digest = content(collection, case_id, what)
    stream = stream_to_be(ledger, message_stream(collection, case_id, what), digest)
    before = ledger.state(stream)
    if isinstance(before, Message):
        return stream, _heard_again(ledger, stream, before, asker, now)
    case = case_meant(ledger, report, lifecycle, case_id)
    if case is not None and report.ref:
        name_kind(ledger, report, case, lifecycle, asker, now)
        case = _released_before(ledger, report, case, lifecycle, asker, now)
    hearing = Hearing(
        by=asker,
        message=stream,
        reason=what.reason,
        now=now,
        absent=absent_of(ledger, report.fields, lifecycle),
        new_id=what.new_id,
        unread=what.unread,
    )
    if what.empty:
        outcome = Outcome(name="ignored", why=NOTHING_SAID, at=report.at(now))
    elif what.unfetched:
        outcome = Outcome(name="parked", why=NOT_FETCHED, at=report.at(now))
        wait_for_record(ledger, report.tool, stream, asker, now)
    else:
        outcome = understand(report, case, mirror_of(ledger, case, report.tool), lifecycle, hearing)
    heard = heard_as(report, case, outcome, digest, lifecycle, hearing)
    kept = {"raw": what.raw, "raw_length": len(what.raw), "unread": what.unread}
    ledger.add(stream, replace(heard, **kept, assumed=bool(what.among)))
    cause(ledger, report, case, outcome, lifecycle, hearing)
    message = ledger.state(stream)
    assert isinstance(message, Message)
    return stream, message


def name_kind(
    ledger: Ledger,
    report: Report,
    case: Case,
    lifecycle: Lifecycle,
    asker: Asker,
    now: datetime,
) -> None:
    """Give a reference without a kind that of the first record that speaks of it.

    So that no record of another kind, whose numbers may be the same, is taken for it later.
    """
    unnamed, whose = kind_to_be_named(report, lifecycle), f"{lifecycle.collection}/{case.id}"
    named = reference_stream(report.tool, report.kind, report.ref)
    if unnamed is None or ledger.state(unnamed) != whose or isinstance(ledger.state(named), str):
        return
    theirs = case_stream(lifecycle.collection, case.id)
    about: dict[str, Any] = {"recorded_at": now, "time": max(now, case.changed_at), "by": asker}
    about |= {"tool": report.tool, "ref": report.ref}
    ledger.add(theirs, ReferenceReleased(**about, kind=""))
    ledger.add(theirs, ReferenceTaken(**about, kind=report.kind))
    ledger.add(unnamed, ReferenceFreed(recorded_at=now, by=asker))
    ledger.add(named, ReferenceHeld(recorded_at=now, by=asker, case=whose))


def _heard_again(
    ledger: Ledger, stream: str, before: Message, asker: Asker, now: datetime
) -> Message:
    """Each time is an event: what was heard is counted by the log alone, whatever happens next."""
    times = before.times + 1
    ledger.add(stream, HeardAgain(recorded_at=now, by=asker, times=times))
    return replace(before, times=times, outcome="duplicate", why="")


def heard_as(
    report: Report,
    case: Case | None,
    outcome: Outcome,
    digest: str,
    lifecycle: Lifecycle,
    hearing: Hearing,
) -> Heard:
    """What stands in the log of a report, with what it was taken to mean."""
    plain = lifecycle.fields.keys() - lifecycle.personal
    fields = {name: value for name, value in report.fields.items() if name in plain}
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
        personal=_unplaced(report, outcome, lifecycle),
        taken=outcome.taken,
        not_taken=dict(outcome.not_taken),
        reason=hearing.reason,
        outcome=outcome.name,
        why=outcome.why,
        expected=outcome.expected,
    )


def _unplaced(report: Report, outcome: Outcome, lifecycle: Lifecycle) -> dict[str, Any]:
    """The values that are kept, sealed, with the message, because no case has them.

    Of what waits or was passed over those that do not stand in it in the open; of anything else
    those of fields that nobody has declared yet.
    """
    waits = outcome.name in {"parked", "ignored"}
    plain = lifecycle.fields.keys() - lifecycle.personal
    return {
        name: value
        for name, value in report.fields.items()
        if name not in plain and (waits or outcome.not_taken.get(name) == UNKNOWN)
    }


def cause(
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
    if outcome.name != "stale" and outcome.why != NOTHING_SAID:
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
        said=_said_of(outcome),
        differing=outcome.differing,
        outcome=outcome.name,
        why=outcome.why,
        expected=outcome.expected,
        timeless="occurred_at" in hearing.unread,
    )
    theirs = mirror_stream(collection, case_id, report.tool)
    case = ledger.state(case_stream(collection, case_id))
    assert isinstance(case, Case)
    repeats = is_repeated(report, outcome, mirror_of(ledger, case, report.tool), lifecycle, hearing)
    ledger.add(theirs, reported)
    mirror = mirror_of(ledger, case, report.tool)
    for event in drift.after_report(report, outcome, mirror, case, lifecycle, hearing):
        ledger.add(theirs, event)
    if not report.word or repeats:
        return
    before = [
        claim
        for claim in claims_of(ledger, collection, case_id)
        if (claim.tool, claim.status_field) == (report.tool, outcome.status_field)
    ]
    early = outcome.name == "early"
    if early:  # what it claimed stays, unless this says the same once more, or it is too much
        again = [claim for claim in before[-1:] if claim.word == report.word]
        before = again or before[: max(0, len(before) - CLAIMS_MAX + 1)]
    for claim in before:
        why = SAID_AGAIN if claim.word == report.word else ""
        over = Outcome(name="stale", why=why, at=outcome.at)
        _end(ledger, claim, over, case_id, lifecycle, hearing.now)
    if early:
        _claim(ledger, report, case, outcome, lifecycle, hearing)


def _said_of(outcome: Outcome) -> tuple[str, ...]:
    """The fields that the tool gave a value for, whosever they are."""
    others = (name for name, why in outcome.not_taken.items() if why == "not-the-owner")
    return (*outcome.taken, *others)


def _claim(
    ledger: Ledger,
    report: Report,
    case: Case,
    outcome: Outcome,
    lifecycle: Lifecycle,
    hearing: Hearing,
) -> None:
    collection, case_id = lifecycle.collection, case.id
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
        for claim in claims_of(ledger, collection, case_id):
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
    collection, case = lifecycle.collection, f"{lifecycle.collection}/{case_id}"
    ended = ClaimEnded(
        recorded_at=now,
        by=claim.by,
        message=claim.message,
        outcome=outcome.name,
        why=outcome.why,
    )
    ledger.add(claims_stream(collection, case_id), ended)
    said = ledger.state(claim.message)
    assert isinstance(said, Message), claim.message
    understood = Understood(
        recorded_at=now,
        by=claim.by,
        case=case,
        outcome=outcome.name,
        why=outcome.why,
        expected=outcome.expected,
        personal=said.heard.personal,
    )
    ledger.add(claim.message, understood)
    if outcome.name == "drift":
        about = ledger.state(f"case:{case}")
        assert isinstance(about, Case)
        mirror = mirror_of(ledger, about, claim.tool)
        for event in drift.after_claim(claim, outcome, mirror, about, now):
            ledger.add(mirror_stream(collection, case_id, claim.tool), event)


def release(
    ledger: Ledger, parked: str, case_id: str, lifecycle: Lifecycle, hearing: Hearing
) -> None:
    """Decide the messages that waited for a reference, now that it means this case.

    Of very many those that came first. That there are others stands in the log, and whoever looks
    there has them decided (`release_more`); so does the next report about the reference.
    """
    waiting = ledger.state(parked)
    if not isinstance(waiting, Waiting) or not waiting.messages:
        return
    ours = _ours(ledger, waiting, lifecycle)
    for stream, heard in sorted(ours[:RELEASED_MAX], key=_heard_at):
        ledger.add(parked, Unparked(recorded_at=hearing.now, by=hearing.by, message=stream))
        _decide_again(ledger, stream, heard, case_id, lifecycle, hearing.now)
    note_rest(ledger, parked, hearing.now, more=len(ours) > RELEASED_MAX)


def _ours(ledger: Ledger, waiting: Waiting, lifecycle: Lifecycle) -> list[tuple[str, Heard]]:
    """Those that are about this lifecycle, as they came: one part of them, and one more."""
    ours: list[tuple[str, Heard]] = []
    for first in range(0, len(waiting.messages), RELEASED_MAX):
        part = waiting.messages[first : first + RELEASED_MAX]
        ledger.recall(part)
        messages = [(one, ledger.state(one)) for one in part]
        ours += [
            (stream, message.heard)
            for stream, message in messages
            if isinstance(message, Message)
            and (message.heard.assumed or message.heard.collection == lifecycle.collection)
        ]
        if len(ours) > RELEASED_MAX:
            break
    return ours


def note_rest(ledger: Ledger, parked: str, now: datetime, *, more: bool) -> None:
    """Have it stand in the log whether there is more to decide for a reference."""
    stream = releasing_stream(parked.removeprefix("parked:").partition("/")[0])
    state = ledger.state(stream)
    noted = isinstance(state, Waiting) and parked in state.messages
    if more and not noted:
        ledger.add(stream, Parked(recorded_at=now, by=Asker(), message=parked))
    elif noted and not more:
        ledger.add(stream, Unparked(recorded_at=now, by=Asker(), message=parked))


def _heard_at(one: tuple[str, Heard]) -> datetime:
    return one[1].at


def _released_before(
    ledger: Ledger,
    report: Report,
    case: Case,
    lifecycle: Lifecycle,
    asker: Asker,
    now: datetime,
) -> Case:
    """The case, once what is left of those that waited for its reference was decided."""
    kind = report.kind or lifecycle.main_kind(report.tool)
    hearing = Hearing(by=asker, message="", now=now)
    release(ledger, parked_stream(report.tool, kind, report.ref), case.id, lifecycle, hearing)
    after = ledger.state(case_stream(case.collection, case.id))
    assert isinstance(after, Case)
    return after


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
    report = as_heard(heard, lifecycle)
    hearing = Hearing(
        by=heard.by,
        message=stream,
        reason=heard.reason,
        now=now,
        absent=absent_of(ledger, report.fields, lifecycle),
        unread=heard.unread,
    )
    outcome = understand(report, case, mirror_of(ledger, case, heard.tool), lifecycle, hearing)
    understood(ledger, report, heard, case, outcome, lifecycle, hearing, heard.by)


def as_heard(heard: Heard, lifecycle: Lifecycle) -> Report:
    """The report that a message was, without what was erased since."""
    values = {**heard.fields, **heard.personal}
    known = {name: value for name, value in values.items() if value != ERASED}
    if heard.assumed:  # a product's, of fields that may have been declared since
        connector = lifecycle.connector(heard.tool)
        known = in_form(known, [lifecycle], connector.zone if connector else None)
    return Report(
        tool=heard.tool,
        ref=heard.ref,
        kind=heard.kind,
        status_field=heard.status_field,
        word=heard.word,
        fields=known,
        event_id=heard.event_id,
        occurred_at=heard.at,
    )


def understood(
    ledger: Ledger,
    report: Report,
    heard: Heard,
    case: Case | None,
    outcome: Outcome,
    lifecycle: Lifecycle,
    hearing: Hearing,
    by: Asker,
    reason: str | None = None,
) -> None:
    """A message that waited is understood otherwise now; `by` and `reason` say who had it so."""
    about = case.id if case else hearing.new_id if outcome.events else ""
    # Its own key goes: what was taken of it stands with the case, which may be erased.
    is_sealed = bool(heard.personal or heard.raw_length) and outcome.name != "parked"
    named = f"{lifecycle.collection}/{about}" if about else None
    understood = as_of_now(report, outcome, named, by, lifecycle, hearing.now)
    ledger.add(hearing.message, replace(understood, reason=reason))
    if is_sealed:
        ledger.forget(hearing.message)
    cause(ledger, report, case, outcome, lifecycle, hearing)


def as_of_now(
    report: Report,
    outcome: Outcome,
    case: str | None,
    by: Asker,
    lifecycle: Lifecycle,
    now: datetime,
) -> Understood:
    """What has become of a message; what still waits keeps its values where they are."""
    return Understood(
        recorded_at=now,
        by=by,
        case=case,
        outcome=outcome.name,
        why=outcome.why,
        expected=outcome.expected,
        taken=outcome.taken,
        not_taken=dict(outcome.not_taken),
        personal={} if outcome.name == "parked" else _unplaced(report, outcome, lifecycle),
    )


def wait_for_record(ledger: Ledger, tool: str, message: str, asker: Asker, now: datetime) -> None:
    """Have the record of a message asked for, if it is not any more or not yet."""
    stream = unfetched_stream(tool, message)
    waiting = ledger.state(stream)
    if not isinstance(waiting, Waiting) or message not in waiting.messages:
        ledger.add(stream, Parked(recorded_at=now, by=asker, message=message))
