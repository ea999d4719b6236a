"""Hearing a tool: its message, what it was taken to mean and all that it causes, in one append.

What comes too early waits: a claim for the next change of its case, a message about a record that
nobody knows for its reference. Both are decided again here, whatever brought the change about.
"""

from collections.abc import Mapping, Sequence
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
    Fetched,
    Heard,
    HeardAgain,
    Parked,
    ReferenceHeld,
    Reported,
    Understood,
    Unparked,
    is_worth_recording,
)
from lifecycle.messages import (
    NOT_FETCHED,
    Complete,
    Hear,
    Ledger,
    Message,
    Retry,
    Waiting,
    absent_of,
    addressed,
    case_meant,
    claims_of,
    content,
    message_stream,
    mirror_of,
    stream_to_be,
)
from lifecycle.mirror import Claim
from lifecycle.model import Lifecycle
from lifecycle.reports import Hearing, Outcome, Report, is_repeated, settle_claim, understand
from lifecycle.streams import (
    case_stream,
    claims_stream,
    mirror_stream,
    parked_stream,
    reference_stream,
    unfetched_stream,
)

SAID_AGAIN: Final = "said-again"
"""Why a claim is over whose word the tool has said once more."""
RELEASED_MAX: Final = 1000
"""Messages that one append decides when their reference is set."""
DECIDED_AGAIN: Final = frozenset({"parked", "ignored", "drift"})
"""What may become of a message that is not the end of it."""


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
        case = _released_before(ledger, report, case, lifecycle, asker, now)
    hearing = Hearing(
        by=asker,
        message=stream,
        reason=what.reason,
        now=now,
        absent=absent_of(ledger, report.fields, lifecycle),
        new_id=what.new_id,
    )
    if what.unfetched:
        outcome = Outcome(name="parked", why=NOT_FETCHED, at=report.at(now))
        _wait_for_record(ledger, report.tool, stream, asker, now)
    else:
        outcome = understand(report, case, mirror_of(ledger, case, report.tool), lifecycle, hearing)
    heard = _heard(report, case, outcome, digest, lifecycle, hearing)
    kept = {"raw": what.raw, "raw_length": len(what.raw), "unread": what.unread}
    ledger.add(stream, replace(heard, **kept, assumed=bool(what.among)))
    _cause(ledger, report, case, outcome, lifecycle, hearing)
    message = ledger.state(stream)
    assert isinstance(message, Message)
    return stream, message


def _heard_again(
    ledger: Ledger, stream: str, before: Message, asker: Asker, now: datetime
) -> Message:
    """Count it; what comes again and again is not piled up."""
    message = replace(before, times=before.times + 1)
    if is_worth_recording(before.times):
        ledger.add(stream, HeardAgain(recorded_at=now, by=asker, times=message.times))
    else:
        ledger.note(stream, message)
    return replace(message, outcome="duplicate", why="")


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
        said=_said_of(outcome),
        differing=outcome.differing,
        outcome=outcome.name,
        why=outcome.why,
        expected=outcome.expected,
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
    if early:  # what it claimed stays, unless this says the same once more
        before = [claim for claim in before[-1:] if claim.word == report.word]
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
    collection, told = lifecycle.collection, {"outcome": outcome.name, "why": outcome.why}
    ended = ClaimEnded(recorded_at=now, by=claim.by, message=claim.message, **told)
    ledger.add(claims_stream(collection, case_id), ended)
    case = f"{collection}/{case_id}"
    understood = Understood(recorded_at=now, by=claim.by, case=case, **told)
    ledger.add(claim.message, understood)
    if outcome.name == "drift":
        about = ledger.state(f"case:{case}")
        assert isinstance(about, Case)
        mirror = mirror_of(ledger, about, claim.tool)
        for event in drift.after_claim(claim, outcome, mirror, about, lifecycle, now):
            ledger.add(mirror_stream(collection, case_id, claim.tool), event)


def release(
    ledger: Ledger, parked: str, case_id: str, lifecycle: Lifecycle, hearing: Hearing
) -> None:
    """Decide the messages that waited for a reference, now that it means this case.

    Of very many those that came first; the others when it is next spoken of, or by retrying them.
    """
    waiting = ledger.state(parked)
    if not isinstance(waiting, Waiting) or not waiting.messages:
        return
    first = waiting.messages[:RELEASED_MAX]
    ledger.recall(first)
    messages = [(one, ledger.state(one)) for one in first]
    ours = [
        (stream, message.heard)
        for stream, message in messages
        if isinstance(message, Message)
        and (message.heard.assumed or message.heard.collection == lifecycle.collection)
    ]
    for stream, heard in sorted(ours, key=_heard_at):
        ledger.add(parked, Unparked(recorded_at=hearing.now, by=hearing.by, message=stream))
        _decide_again(ledger, stream, heard, case_id, lifecycle, hearing.now)


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


def retry(
    ledger: Ledger, what: Retry, lifecycle: Lifecycle, asker: Asker, now: datetime
) -> Message:
    """Decide a message again, as of now; what has come to an end stays as it is.

    Nothing is recorded where the outcome is the same.
    """
    before = ledger.state(what.message)
    assert isinstance(before, Message), what.message
    if before.waits_for_record:
        _wait_for_record(ledger, before.heard.tool, what.message, asker, now)
        return before
    if before.outcome not in DECIDED_AGAIN:
        return before
    heard = before.heard
    report = as_heard(heard, lifecycle)
    case = case_meant(ledger, report, lifecycle, (before.case or "").partition("/")[2])
    waits = parked_stream(heard.tool, heard.kind or lifecycle.main_kind(heard.tool), heard.ref)
    hearing = Hearing(
        by=heard.by,
        message=what.message,
        reason=heard.reason,
        now=now,
        absent=absent_of(ledger, report.fields, lifecycle),
        new_id=what.new_id,
    )
    outcome = understand(report, case, mirror_of(ledger, case, heard.tool), lifecycle, hearing)
    if (outcome.name, outcome.why) == (before.outcome, before.why) and not outcome.events:
        return before
    waiting = ledger.state(waits)
    if isinstance(waiting, Waiting) and what.message in waiting.messages:
        ledger.add(waits, Unparked(recorded_at=now, by=asker, message=what.message))
    _understood(ledger, report, heard, case, outcome, lifecycle, hearing, asker, what.reason)
    message = ledger.state(what.message)
    assert isinstance(message, Message)
    return message


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
    )
    outcome = understand(report, case, mirror_of(ledger, case, heard.tool), lifecycle, hearing)
    _understood(ledger, report, heard, case, outcome, lifecycle, hearing, heard.by)


def as_heard(heard: Heard, lifecycle: Lifecycle) -> Report:
    """The report that a message was, without what was erased since."""
    values = {**heard.fields, **heard.personal}
    known = {name: value for name, value in values.items() if value != ERASED}
    return Report(
        tool=heard.tool,
        ref=heard.ref,
        kind=heard.kind,
        status_field=heard.status_field,
        word=heard.word,
        fields=_wanted(known, heard, lifecycle),
        event_id=heard.event_id,
        occurred_at=heard.at,
    )


def _understood(
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
    understood = Understood(
        recorded_at=hearing.now,
        by=by,
        case=f"{lifecycle.collection}/{about}" if about else None,
        outcome=outcome.name,
        why=outcome.why,
        reason=reason,
    )
    ledger.add(hearing.message, understood)
    if (heard.personal or heard.raw_length) and outcome.name != "parked":
        # What was taken of it stands with the case, which may be erased.
        ledger.forget(hearing.message)
    _cause(ledger, report, case, outcome, lifecycle, hearing)


def _wanted(fields: Mapping[str, Any], heard: Heard, lifecycle: Lifecycle) -> dict[str, Any]:
    """The fields of a message, of a webhook's only those that this lifecycle has."""
    wanted = lifecycle.fields if heard.assumed else fields
    return {name: value for name, value in fields.items() if name in wanted}


def _wait_for_record(ledger: Ledger, tool: str, message: str, asker: Asker, now: datetime) -> None:
    """Have the record of a message asked for, if it is not any more or not yet."""
    stream = unfetched_stream(tool, message)
    waiting = ledger.state(stream)
    if not isinstance(waiting, Waiting) or message not in waiting.messages:
        ledger.add(stream, Parked(recorded_at=now, by=asker, message=message))


def complete(
    ledger: Ledger, what: Complete, lifecycles: Sequence[Lifecycle], now: datetime
) -> Message | None:
    """Decide a message with the record that it named; None where it waits for none any more."""
    before = ledger.state(what.message)
    if not isinstance(before, Message) or not before.waits_for_record:
        return None
    heard, stream = before.heard, what.message
    waits = unfetched_stream(heard.tool, stream)
    waiting = ledger.state(waits)
    if isinstance(waiting, Waiting) and stream in waiting.messages:
        ledger.add(waits, Unparked(recorded_at=now, by=heard.by, message=stream))
    if what.report is None:
        return before
    lifecycle, report = addressed(ledger, what.report, lifecycles, what.zone)
    report = replace(report, occurred_at=heard.at)
    case = case_meant(ledger, report, lifecycle, "")
    hearing = Hearing(
        by=heard.by,
        message=stream,
        reason=heard.reason,
        now=now,
        absent=absent_of(ledger, report.fields, lifecycle),
        new_id=what.new_id,
    )
    outcome = understand(report, case, mirror_of(ledger, case, report.tool), lifecycle, hearing)
    said = _heard(report, case, outcome, heard.content, lifecycle, hearing)
    fetched = Fetched(
        recorded_at=now,
        by=heard.by,
        status_field=said.status_field,
        word=said.word,
        fields=said.fields,
        personal=said.personal,
    )
    ledger.add(stream, fetched)
    told = {"outcome": outcome.name, "why": outcome.why}
    ledger.add(stream, Understood(recorded_at=now, by=heard.by, case=said.case, **told))
    if outcome.name != "parked":
        ledger.forget(stream)
    _cause(ledger, report, case, outcome, lifecycle, hearing)
    message = ledger.state(stream)
    assert isinstance(message, Message)
    return message
