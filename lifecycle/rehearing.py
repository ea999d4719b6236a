"""Hearing again what was heard: on request, with its record, or where much waited for a reference.

The same questions are asked of the case as it is now, and all that follows is one append. What has
come to an end stays so.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from lifecycle.events import Asker, Fetched, Understood, Unparked
from lifecycle.hearing import (
    NOTHING_SAID,
    as_heard,
    as_of_now,
    cause,
    heard_as,
    name_kind,
    note_rest,
    release,
    settle_claims,
    understood,
    wait_for_record,
)
from lifecycle.messages import (
    Complete,
    Ledger,
    Message,
    Release,
    Retry,
    Waiting,
    absent_of,
    addressed,
    case_meant,
    mirror_of,
)
from lifecycle.model import Lifecycle
from lifecycle.reports import UNKNOWN, Hearing, understand
from lifecycle.streams import parked_stream, reference_stream, unfetched_stream

DECIDED_AGAIN: Final = frozenset({"parked", "ignored", "drift"})
"""What may become of a message that is not the end of it."""


def retry(
    ledger: Ledger, what: Retry, lifecycle: Lifecycle, asker: Asker, now: datetime
) -> Message:
    """Decide a message again, as of now; what has come to an end stays as it is.

    Nothing is recorded where the outcome is the same.
    """
    before = ledger.state(what.message)
    assert isinstance(before, Message), what.message
    if before.waits_for_record:
        wait_for_record(ledger, before.heard.tool, what.message, asker, now)
        return before
    heard = before.heard
    if before.why == NOTHING_SAID:
        return before
    if before.outcome not in DECIDED_AGAIN:
        return _take_left(ledger, what, before, lifecycle, asker, now)
    report = as_heard(heard, lifecycle)
    case = case_meant(ledger, report, lifecycle, _case_id(before))
    waits = parked_stream(heard.tool, heard.kind or lifecycle.main_kind(heard.tool), heard.ref)
    hearing = Hearing(
        by=heard.by,
        message=what.message,
        reason=heard.reason,
        now=now,
        absent=absent_of(ledger, report.fields, lifecycle),
        new_id=what.new_id,
        unread=heard.unread,
    )
    outcome = understand(report, case, mirror_of(ledger, case, heard.tool), lifecycle, hearing)
    if (outcome.name, outcome.why) == (before.outcome, before.why) and not outcome.events:
        return before
    waiting = ledger.state(waits)
    if isinstance(waiting, Waiting) and what.message in waiting.messages:
        ledger.add(waits, Unparked(recorded_at=now, by=asker, message=what.message))
    if case is not None:
        name_kind(ledger, report, case, lifecycle, asker, now)
    understood(ledger, report, heard, case, outcome, lifecycle, hearing, asker, what.reason)
    message = ledger.state(what.message)
    assert isinstance(message, Message)
    return message


def _take_left(
    ledger: Ledger,
    what: Retry,
    before: Message,
    lifecycle: Lifecycle,
    asker: Asker,
    now: datetime,
) -> Message:
    """What has come to an end stays so; but a field that is declared by now is taken."""
    heard, report = before.heard, as_heard(before.heard, lifecycle)
    left = {
        name: value
        for name, value in report.fields.items()
        if heard.not_taken.get(name) == UNKNOWN and name in lifecycle.fields
    }
    case = case_meant(ledger, report, lifecycle, _case_id(before))
    if not left or case is None:
        return before
    report = replace(report, word="", fields=left)
    hearing = Hearing(
        by=heard.by,
        message=what.message,
        reason=heard.reason,
        now=now,
        absent=absent_of(ledger, left, lifecycle),
    )
    outcome = understand(report, case, mirror_of(ledger, case, heard.tool), lifecycle, hearing)
    more = Understood(
        recorded_at=now,
        by=asker,
        case=before.case,
        outcome=before.outcome,
        why=before.why,
        expected=heard.expected,
        taken=outcome.taken,
        not_taken=dict(outcome.not_taken),
        personal={name: value for name, value in heard.personal.items() if name not in left},
        reason=what.reason,
    )
    ledger.add(what.message, more)
    cause(ledger, report, case, outcome, lifecycle, hearing)
    message = ledger.state(what.message)
    assert isinstance(message, Message)
    return message


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
    # A message that came without a time has its record's, where that tells one.
    at = report.at(now) if report.occurred_at and not heard.occurred_at else heard.at
    report = replace(report, occurred_at=at)
    case = case_meant(ledger, report, lifecycle, "")
    if case is not None:
        name_kind(ledger, report, case, lifecycle, heard.by, now)
    hearing = Hearing(
        by=heard.by,
        message=stream,
        reason=heard.reason,
        now=now,
        absent=absent_of(ledger, report.fields, lifecycle),
        new_id=what.new_id,
        unread=what.unread,
    )
    outcome = understand(report, case, mirror_of(ledger, case, report.tool), lifecycle, hearing)
    said = heard_as(report, case, outcome, heard.content, lifecycle, hearing)
    fetched = Fetched(
        recorded_at=now,
        by=heard.by,
        status_field=said.status_field,
        word=said.word,
        fields=said.fields,
        personal=said.personal if outcome.name == "parked" else {},
        at=None if at == heard.at else at,
    )
    ledger.add(stream, fetched)
    ledger.add(stream, as_of_now(report, outcome, said.case, heard.by, lifecycle, now))
    if outcome.name != "parked":
        ledger.forget(stream)
    cause(ledger, report, case, outcome, lifecycle, hearing)
    message = ledger.state(stream)
    assert isinstance(message, Message)
    return message


def release_more(
    ledger: Ledger, what: Release, lifecycles: Mapping[str, Lifecycle], now: datetime
) -> str | None:
    """Decide the next of those that wait for a reference; answers the case, like `jobs/J-1042`.

    None where nobody holds the reference any more: they wait on.
    """
    held = _held(ledger, what.parked, lifecycles)
    lifecycle = lifecycles.get(held.partition("/")[0]) if held else None
    if held is None or lifecycle is None:
        note_rest(ledger, what.parked, now, more=False)
        return None
    case_id = held.partition("/")[2]
    release(ledger, what.parked, case_id, lifecycle, Hearing(by=Asker(), message="", now=now))
    settle_claims(ledger, case_id, lifecycle, now)
    return held


def _held(ledger: Ledger, parked: str, lifecycles: Mapping[str, Lifecycle]) -> str | None:
    """The case that the reference means for which these messages wait."""
    waiting = ledger.state(parked)
    if not isinstance(waiting, Waiting) or not waiting.messages:
        return None
    message = ledger.state(waiting.messages[0])
    assert isinstance(message, Message), waiting.messages[0]
    heard = message.heard
    lifecycle = lifecycles.get(heard.collection)
    kind = heard.kind or (lifecycle.main_kind(heard.tool) if lifecycle else "")
    held = ledger.state(reference_stream(heard.tool, kind, heard.ref))
    return held if isinstance(held, str) else None


def _case_id(message: Message) -> str:
    return (message.case or "").partition("/")[2]
