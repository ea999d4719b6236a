"""What stands in the log of a no: beside the case, and with the key of the request."""

from datetime import datetime
from typing import Any

from msgspec.structs import replace

from lifecycle.asks import Ask, Causing, Request, Settled
from lifecycle.case import Case
from lifecycle.changes import Move, SetFields
from lifecycle.events import (
    Answered,
    Refused,
    is_worth_recording,
)
from lifecycle.known import Known, Memory, Tally, same_refusal
from lifecycle.refusals import (
    CaseExists,
    ConditionNotMet,
    FieldsMissing,
    InvalidFields,
    NotTheOwner,
    ReasonRequired,
    ReferenceTaken,
    Refusal,
    StaffOnly,
    TransitionNotOpen,
    UnknownCase,
    UnknownTool,
    UnknownTransition,
)
from lifecycle.streams import (
    case_stream,
    refusals_stream,
    request_stream,
)

RECORDED = (TransitionNotOpen, NotTheOwner, ConditionNotMet, FieldsMissing)
"""The refusals that stand in the log, beside the case."""


def refused(ask: Ask, refusal: Refusal, case: Case, memory: Memory, now: datetime) -> Settled:
    """The refusal stands beside the case; the very same again is counted, not piled up."""
    asked = ask.what.transition if isinstance(ask.what, Move) else _asked(ask.what)
    stream = refusals_stream(ask.collection, ask.id)
    tally = memory[stream].state
    same = same_refusal(ask.asker, asked, refusal.code, case.version)
    times = 1 + (tally.times.get(same, 0) if isinstance(tally, Tally) else 0)
    if not is_worth_recording(times):
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


def remembered(
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


REFUSALS = {
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


def _asked(what: object) -> str:
    if isinstance(what, SetFields):
        return ", ".join(name[:80] for name in list(what.fields)[:20])
    return type(what).__name__
