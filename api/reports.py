"""What tools report: one message, and what was taken of it."""

from collections.abc import Mapping, Sequence
from os import urandom
from time import time
from typing import Annotated, Any

from msgspec import Meta, Struct

from api.asking import ClaimedTime, Reason, claimed, hear
from api.cases import CaseId, Ref
from api.door import Answer, Keeper, Operation, Visit, told
from api.keys import identify
from api.problems import MalformedRequest
from lifecycle import fields, refusals
from lifecycle.asks import Taken
from lifecycle.deliveries import WORD_LENGTH_MAX
from lifecycle.messages import Hear
from lifecycle.reports import Report
from lifecycle.streams import message_id

FIELDS_MAX = 200
"""Fields that one report may name."""

Collection = Annotated[str, Meta(extra_json_schema={"$ref": "#/components/schemas/Collection"})]


Word = Annotated[
    str, Meta(min_length=1, max_length=WORD_LENGTH_MAX, pattern=r"^[^\x00-\x1f\x7f]+(?![\s\S])")
]


class ReportBody(Struct, forbid_unknown_fields=True):
    """What a tool sees: of which case, and its word for it, or facts, or both."""

    collection: Collection
    ref: Ref | None = None
    """The tool's own id of the case."""
    id: CaseId | None = None
    """Ours, in its place."""
    kind: str | None = None
    """The kind of record that `ref` names, where it is not the tool's main one."""
    status_field: Ref | None = None
    """Where the tool shows the word; may be left out where it has one such field."""
    word: Word | None = None
    fields: Annotated[dict[str, Any], Meta(max_length=FIELDS_MAX)] = {}
    """Canonical field → value; what cannot be taken is told, and stops nothing else."""
    event_id: Ref | None = None
    """What tells this message from others; the same again with the same content is a duplicate."""
    occurred_at: ClaimedTime | None = None
    reason: Reason | None = None
    """Why staff pass it on."""


class ReportAnswer(Struct, omit_defaults=True):
    """What became of a report."""

    outcome: str
    """One of duplicate, parked, ignored, stale, agrees, echo, applied, early, drift."""
    message: str
    """Its id: `/v1/messages/{message}` shows it."""
    reason: str | None = None
    """Why it was parked or ignored, or not taken."""
    collection: str | None = None
    id: str | None = None
    """The case that it is about."""
    expected: str | None = None
    """The word that would be right, where this one drifts."""
    taken: Sequence[str] = ()
    """The fields that were taken."""
    not_taken: Mapping[str, str] = {}
    """Field → why it was not."""


async def report(keeper: Keeper, visit: Visit) -> Answer:
    """Take in what a tool says."""
    body = visit.read_as(ReportBody)
    visit.query()
    if body.ref is not None and body.id is not None:
        raise MalformedRequest("name the case once: by `ref`, the tool's own id, or by `id`, ours")
    if body.id is not None and not fields.is_case_id(body.id):
        raise MalformedRequest(f"no case can have the id {body.id[:140]!r}")
    asker = await identify(keeper, visit)
    what = Hear(
        report=Report(
            tool=visit.segment(3),
            ref=body.ref or "",
            kind=body.kind or "",
            status_field=body.status_field or "",
            word=body.word or "",
            fields=body.fields,
            event_id=body.event_id or "",
            occurred_at=claimed(body.occurred_at),
        ),
        arrival=urandom(16).hex(),
        new_id=fields.new_case_id(int(time() * 1000), urandom(10)),
        reason=body.reason,
    )
    taken = await hear(keeper, visit, asker, body.collection, body.id or "", what)
    headers = [(b"idempotency-replayed", b"true")] if taken.replayed else []
    return told(_answer(taken), 200, headers)


def _answer(taken: Taken) -> ReportAnswer:
    """What became of it when it was heard; of one that came again, that it did."""
    message, heard = taken.message, taken.message.heard
    again = taken.name == "duplicate"
    collection, _, case_id = (message.case or "").partition("/")
    return ReportAnswer(
        outcome=taken.name,
        message=message_id(taken.stream),
        reason=None if again else heard.why or None,
        collection=collection or None,
        id=case_id or None,
        expected=None if again else heard.expected,
        taken=() if again else heard.taken,
        not_taken={} if again else heard.not_taken,
    )


OPERATIONS = (
    Operation(
        "POST",
        "/v1/tools/{tool}/reports",
        report,
        "Report what a tool sees; everything heard has one outcome",
        gives=ReportAnswer,
        takes=ReportBody,
        writes=True,
        refuses=(
            refusals.UnknownCollection,
            refusals.UnknownTool,
            refusals.UnknownReference,
            refusals.UnknownCase,
            refusals.ReasonRequired,
        ),
    ),
)
