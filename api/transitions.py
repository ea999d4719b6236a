"""The transitions of a case: what is open now, and making one."""

from typing import Annotated

from msgspec import Meta, Struct

from api.asking import (
    ClaimedTime,
    FieldValues,
    Reason,
    ask,
    claimed,
    hidden_from,
    lifecycle_of,
    tagged,
)
from api.door import Answer, Keeper, Operation, Visit, told
from api.keys import identify
from lifecycle.asks import Look
from lifecycle.changes import Move
from lifecycle.moves import OpenTransition
from lifecycle.refusals import (
    ConditionNotMet,
    FieldsMissing,
    InvalidFields,
    NotTheOwner,
    ReasonRequired,
    TransitionNotOpen,
    UnknownTransition,
)
from projections.timeline import EventView, view
from projections.views import CaseView, case_view, ways_out

TransitionName = Annotated[
    str, Meta(extra_json_schema={"$ref": "#/components/schemas/TransitionName"})
]


class TransitionBody(Struct, forbid_unknown_fields=True):
    """A transition to make, perhaps with the facts that go with it."""

    transition: TransitionName
    fields: FieldValues = {}
    reason: Reason | None = None
    occurred_at: ClaimedTime | None = None


class TransitionAnswer(Struct):
    """The case after it, and the event."""

    case: CaseView
    event: EventView


class OpenTransitions(Struct):
    """What leads out of where the case is."""

    items: list[OpenTransition]


async def make_transition(keeper: Keeper, visit: Visit) -> Answer:
    """Move a case."""
    body = visit.read_as(TransitionBody)
    visit.query()
    asker = await identify(keeper, visit)
    what = Move(
        transition=body.transition,
        fields=body.fields,
        reason=body.reason,
        occurred_at=claimed(body.occurred_at),
    )
    answer = await ask(keeper, visit, asker, what)
    assert answer.entry is not None
    lifecycle = lifecycle_of(keeper, answer.case)
    hidden = hidden_from(asker, lifecycle)
    told_back = TransitionAnswer(
        case_view(answer.case, lifecycle, keeper.journal.clock(), hidden=hidden),
        view(answer.entry, lifecycle, hidden=hidden),
    )
    return told(told_back, 201, tagged(answer))


async def list_transitions(keeper: Keeper, visit: Visit) -> Answer:
    """What is open now, and what blocks it."""
    visit.query()
    asker = await identify(keeper, visit)
    answer = await ask(keeper, visit, asker, Look())
    lifecycle = lifecycle_of(keeper, answer.case)
    ways = ways_out(answer.case, lifecycle, hidden=hidden_from(asker, lifecycle))
    return told(OpenTransitions(list(ways)), 200, tagged(answer))


MAKE = Operation(
    "POST",
    "/v1/{collection}/{id}/transitions",
    make_transition,
    "Make a transition",
    gives=TransitionAnswer,
    takes=TransitionBody,
    status=201,
    writes=True,
    refuses=(
        UnknownTransition,
        TransitionNotOpen,
        NotTheOwner,
        InvalidFields,
        FieldsMissing,
        ReasonRequired,
        ConditionNotMet,
    ),
)

OPERATIONS = (
    MAKE,
    Operation(
        "GET",
        "/v1/{collection}/{id}/transitions",
        list_transitions,
        "What is open now, who may make it, and what blocks it",
        gives=OpenTransitions,
    ),
)
