"""The cases of a collection: opened, shown as they are or as they were, corrected, erased."""

from datetime import datetime
from os import urandom
from time import time
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from api import asking
from api.asking import ClaimedTime, FieldValues, Reason, ask, show
from api.door import Answer, Keeper, Operation, Visit
from api.keys import identify
from api.problems import MalformedRequest, MethodNotAllowed
from lifecycle.asks import Look
from lifecycle.case import Case
from lifecycle.changes import Correct, Erase, Open
from lifecycle.events import CaseEvent
from lifecycle.fields import is_case_id, new_case_id
from lifecycle.refusals import (
    CaseExists,
    InvalidFields,
    NotTheOwner,
    ReasonRequired,
    ReferenceTaken,
    StaffOnly,
    UnknownReference,
    UnknownTool,
    UnknownTransition,
    UnknownVersion,
)
from projections.timeline import stamp
from projections.views import CaseView

REF_PATTERN = r"^[^\x00-\x1f\x7f]{1,200}(?![\s\S])"
"""No control character (`$` would let a line end through)."""
Ref = Annotated[str, Meta(min_length=1, max_length=200, pattern=REF_PATTERN)]
"""A tool's own id of a case."""


CaseId = Annotated[str, Meta(extra_json_schema={"$ref": "#/components/schemas/CaseId"})]
References = Annotated[
    dict[str, Ref | list[Ref]],
    Meta(extra_json_schema={"propertyNames": {"$ref": "#/components/schemas/ReferenceKey"}}),
]
"""Tool, or tool and kind → its own ids of the case."""


class OpenBody(Struct, forbid_unknown_fields=True):
    """A case to begin, or (staff, with `state`) one already under way to take in."""

    id: CaseId | None = None
    fields: FieldValues = {}
    references: References = {}
    reason: Reason | None = None
    occurred_at: ClaimedTime | None = None
    state: str | None = None
    since: ClaimedTime | None = None


class CorrectionBody(Struct, forbid_unknown_fields=True):
    """Where the case really is, and how that is known."""

    state: str
    reason: Reason | None = None


class ErasureBody(Struct, forbid_unknown_fields=True):
    """Why the personal values of the case are erased."""

    reason: Reason | None = None


async def open_case(keeper: Keeper, visit: Visit) -> Answer:
    """Begin a case."""
    body = visit.read_as(OpenBody)
    visit.query()
    what = opening(body, body.reason)
    asker = await identify(keeper, visit)
    case_id = body.id or new_case_id(int(time() * 1000), urandom(10))
    answer = await ask(keeper, visit, asker, what, case_id=case_id)
    case = answer.case
    location = (b"location", f"/v1/{case.collection}/{case.id}".encode())
    return show(keeper, answer, asker, 201, [location])


def opening(body: OpenBody, reason: str | None) -> Open:
    """What it is that is to begin; `MalformedRequest` where its parts do not go together."""
    if body.id is not None and not is_case_id(body.id):
        raise MalformedRequest(
            f"{body.id[:140]!r} is no id: 1 to 128 letters, digits and ._:-,"
            " beginning with a letter or digit"
        )
    if body.since is not None and body.state is None:
        raise MalformedRequest("`since` goes with `state`: the case is in that state since then")
    return Open(
        fields=body.fields,
        references={
            key: (refs,) if isinstance(refs, str) else tuple(dict.fromkeys(refs))
            for key, refs in body.references.items()
        },
        reason=reason,
        occurred_at=asking.claimed(body.since or body.occurred_at),
        state=body.state,
    )


async def show_case(keeper: Keeper, visit: Visit) -> Answer:
    """Show a case as it is, or as it was."""
    query = visit.query("version", "at", "known_at")
    moments = {name: asking.moment(name, query[name]) for name in query if name != "version"}
    version = asking.version(query["version"]) if "version" in query else None
    asker = await identify(keeper, visit)
    answer = await ask(keeper, visit, asker, Look())
    if query:
        case = await as_it_was(keeper, answer.case, version=version, **moments)
        answer = msgspec.structs.replace(answer, case=case)
    return show(keeper, answer, asker)


async def correct(keeper: Keeper, visit: Visit) -> Answer:
    """Put a case where it really is."""
    body = visit.read_as(CorrectionBody)
    visit.query()
    asker = await identify(keeper, visit)
    answer = await ask(keeper, visit, asker, Correct(state=body.state, reason=body.reason))
    return show(keeper, answer, asker)


async def erase(keeper: Keeper, visit: Visit) -> Answer:
    """Make the personal values of a case unreadable for good."""
    body = visit.read_as(ErasureBody)
    visit.query()
    asker = await identify(keeper, visit)
    answer = await ask(keeper, visit, asker, Erase(reason=body.reason))
    return show(keeper, answer, asker)


async def as_it_was(
    keeper: Keeper,
    case: Case,
    *,
    version: int | None = None,
    at: datetime | None = None,
    known_at: datetime | None = None,
) -> Case:
    """The case as of a version, of a claimed time, of what was recorded by a time, or all these."""
    if version == case.version and at is None and known_at is None:
        return case
    entries = await asking.case_entries(keeper, case)
    last = 0
    for entry in entries:
        event = entry.event
        if version is not None and entry.version > version:
            break
        if at is not None and event.happened_at > at:
            break
        if known_at is not None and event.recorded_at > known_at:
            break
        last = entry.version
    if not last or (version is not None and version > last):
        moment, began = at or known_at, entries[0].event
        since = began.time if at and isinstance(began, CaseEvent) else began.recorded_at
        asked = f"was not there at {stamp(moment)}" if moment else f"has no version {version}"
        raise UnknownVersion(
            f"{case.id} {asked}: it stands at version {case.version} and began at {stamp(since)}",
            version_found=case.version,
        )
    return asking.replayed(entries[:last])


OPERATIONS = (
    Operation(
        "POST",
        "/v1/{collection}",
        open_case,
        "Open a case; staff may adopt one already under way",
        gives=CaseView,
        takes=OpenBody,
        status=201,
        writes=True,
        refuses=(
            MethodNotAllowed,
            StaffOnly,
            UnknownTool,
            UnknownReference,
            UnknownTransition,
            CaseExists,
            ReferenceTaken,
            NotTheOwner,
            InvalidFields,
            ReasonRequired,
        ),
    ),
    Operation(
        "GET",
        "/v1/{collection}/{id}",
        show_case,
        "The case as it is, or as it was",
        gives=CaseView,
        query={
            "version": "as of this version, from 1",
            "at": "as it was at this time, as claimed (RFC 3339)",
            "known_at": "as it was known at this time: only what was recorded by then (RFC 3339)",
        },
        refuses=(UnknownVersion,),
    ),
    Operation(
        "POST",
        "/v1/{collection}/{id}/corrections",
        correct,
        "Staff: put a case where it really is",
        gives=CaseView,
        takes=CorrectionBody,
        writes=True,
        refuses=(StaffOnly, UnknownTransition, ReasonRequired),
    ),
    Operation(
        "POST",
        "/v1/{collection}/{id}/erase",
        erase,
        "Staff: erase the personal values of a case, everywhere and for good",
        gives=CaseView,
        takes=ErasureBody,
        writes=True,
        refuses=(StaffOnly, ReasonRequired),
    ),
)
