"""What stands in the log of a no: beside the case."""

from datetime import datetime

from msgspec.structs import replace

from lifecycle.asks import Ask, Causing, Settled
from lifecycle.case import Case
from lifecycle.changes import Move, SetFields
from lifecycle.events import Refused, is_worth_recording
from lifecycle.known import Known, Memory, Repeated, Tally, same_refusal, written
from lifecycle.refusals import (
    ConditionNotMet,
    FieldsMissing,
    NotTheOwner,
    ReferenceTaken,
    Refusal,
    TransitionNotOpen,
    UnknownCase,
)
from lifecycle.streams import refusals_stream

RECORDED = (TransitionNotOpen, NotTheOwner, ConditionNotMet, FieldsMissing)
"""The refusals that stand in the log, beside the case."""

OVERTAKEN = {kind.code: kind for kind in (*RECORDED, ReferenceTaken, UnknownCase)}
"""The refusals of a line of an import that depend on where things stood, by code: it stays refused
once a later line of its case was applied."""


def refused(ask: Ask, refusal: Refusal, case: Case, memory: Memory, now: datetime) -> Settled:
    """The refusal stands beside the case; the very same again is counted, not piled up.

    The count is written in steps, and by the journal as soon as there is time (`written`).
    """
    stream = refusals_stream(ask.collection, ask.id)
    known = memory[stream]
    tally = known.state if isinstance(known.state, Tally) else Tally()
    event = _event(ask, refusal, case, now)
    same = same_refusal(event)
    before = tally.unwritten.get(same)
    mine = Repeated(1 + (before.count if before else 0), event)
    tally = replace(tally, unwritten={**tally.unwritten, same: mine})
    event = written(tally, same)
    if not is_worth_recording(event.times):
        return Settled(refusal, known={stream: Known(known.version, tally)})
    causing = Causing(memory)
    causing.note(stream, tally)
    causing.add(stream, event)
    return causing.settled(refusal)


def _event(ask: Ask, refusal: Refusal, case: Case, now: datetime) -> Refused:
    claimed = ask.what.occurred_at if isinstance(ask.what, Move | SetFields) else None
    return Refused(
        recorded_at=now,
        claimed_at=claimed if claimed and claimed < now else None,
        by=ask.asker,
        asked=ask.what.transition if isinstance(ask.what, Move) else _asked(ask.what),
        code=refusal.code,
        detail=refusal.detail,
        state=case.states,
        case_version=case.version,
    )


def _asked(what: object) -> str:
    if isinstance(what, SetFields):
        return ", ".join(name[:80] for name in list(what.fields)[:20])
    return type(what).__name__
