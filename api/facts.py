"""The fields of a case: set, changed, forgotten."""

from typing import Any

from api import asking
from api.asking import REASON_MAX, FieldValues, ask, show
from api.door import Answer, Keeper, Operation, Visit
from api.keys import identify
from api.problems import MalformedRequest
from lifecycle.changes import SetFields
from lifecycle.refusals import InvalidFields, NotTheOwner, ReasonRequired
from projections.views import CaseView


async def set_fields(keeper: Keeper, visit: Visit) -> Answer:
    """Set fields of a case."""
    fields = visit.read_as(dict[str, Any])
    query = visit.query("reason", "occurred_at")
    reason = query.get("reason")
    if reason is not None and len(reason) > REASON_MAX:
        raise MalformedRequest(f"reason: at most {REASON_MAX} characters")
    occurred_at = (
        asking.moment("occurred_at", query["occurred_at"]) if "occurred_at" in query else None
    )
    asker = await identify(keeper, visit)
    what = SetFields(fields=fields, reason=reason, occurred_at=occurred_at)
    return show(keeper, await ask(keeper, visit, asker, what), asker)


OPERATIONS = (
    Operation(
        "PATCH",
        "/v1/{collection}/{id}/fields",
        set_fields,
        "Set fields; null forgets a value, an unchanged value makes no event",
        gives=CaseView,
        takes=FieldValues,
        query={"reason": "why", "occurred_at": "when it happened (RFC 3339)"},
        writes=True,
        refuses=(NotTheOwner, InvalidFields, ReasonRequired),
    ),
)
