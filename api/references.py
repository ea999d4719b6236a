"""The references of a case: what each tool calls it."""

from msgspec import Struct

from api.asking import Reason, ask, show
from api.cases import Ref
from api.door import Answer, Keeper, Operation, Visit
from api.keys import identify
from api.problems import MalformedRequest
from lifecycle.changes import ReleaseReference, TakeReference
from lifecycle.refusals import (
    NotTheOwner,
    ReasonRequired,
    ReferenceTaken,
    UnknownReference,
    UnknownTool,
)
from projections.views import CaseView


class ReferenceBody(Struct, forbid_unknown_fields=True):
    """A tool's own id of the case; `kind` where it is not the tool's main kind of record."""

    ref: Ref
    kind: str | None = None
    reason: Reason | None = None


async def take(keeper: Keeper, visit: Visit) -> Answer:
    """Let a tool's own id mean this case."""
    body = visit.read_as(ReferenceBody)
    visit.query()
    asker = await identify(keeper, visit)
    what = TakeReference(
        tool=visit.segment(5), ref=body.ref, kind=body.kind or "", reason=body.reason
    )
    return show(keeper, await ask(keeper, visit, asker, what), asker)


async def release(keeper: Keeper, visit: Visit) -> Answer:
    """Let a tool's own id mean this case no more."""
    query = visit.query("kind", "ref", "reason")
    if not query.get("ref"):
        raise MalformedRequest("ref: name the reference to release, `?ref=…`")
    asker = await identify(keeper, visit)
    what = ReleaseReference(
        tool=visit.segment(5),
        ref=query["ref"],
        kind=query.get("kind", ""),
        reason=query.get("reason") or None,
    )
    return show(keeper, await ask(keeper, visit, asker, what), asker)


OPERATIONS = (
    Operation(
        "PUT",
        "/v1/{collection}/{id}/references/{tool}",
        take,
        "Let a tool's own id mean this case",
        gives=CaseView,
        takes=ReferenceBody,
        writes=True,
        refuses=(UnknownTool, UnknownReference, ReferenceTaken, ReasonRequired),
    ),
    Operation(
        "DELETE",
        "/v1/{collection}/{id}/references/{tool}",
        release,
        "Release a reference",
        gives=CaseView,
        query={
            "ref": "the reference to release",
            "kind": "its kind, where it is not the main one",
            "reason": "why; staff have to say it",
        },
        needed=("ref",),
        writes=True,
        refuses=(UnknownTool, UnknownReference, NotTheOwner, ReasonRequired),
    ),
)
