"""What happened, as it is shown: each event with its sentence, and a case's whole history."""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from lifecycle.case import Case
from lifecycle.events import (
    Answered,
    Asker,
    CarriedOver,
    CaseEvent,
    CaseOpened,
    ClaimEnded,
    ClaimMade,
    Condition,
    DefinitionAdopted,
    DriftFound,
    DriftResolved,
    Entry,
    Event,
    FieldsSet,
    FlowFailing,
    FlowRecovered,
    FlowStarted,
    FlowStopped,
    Heard,
    KeyIssued,
    MessagesLetGo,
    NoticeDue,
    OfNotice,
    ReactionDropped,
    ReactionPlanned,
    ReferenceHeld,
    ReferenceTaken,
    Refused,
    Reported,
    StateCorrected,
    TransitionMade,
    Value,
    Valued,
)
from lifecycle.model import Lifecycle
from lifecycle.streams import message_id, tool_of
from projections.sentences import sentence
from projections.wording import mentions, unhidden

STAMPED_MAX: Final = 1000
"""Times that need not be written again: an answer names the same several times."""


class Itself(Asker, frozen=True, omit_defaults=False):
    """Statekeeper itself: no tool asked for it and nobody of the staff, which both are null."""


ITSELF: Final = Itself()


class EventView(Struct, frozen=True):
    """An event as everybody sees it."""

    position: int
    time: str
    recorded_at: str
    type: str
    collection: str | None
    """None, like `id` and `version`, where the event is about no case."""
    id: str | None
    version: int | None
    """Of the case: after a change, or at which something was refused or answered."""
    by: Asker
    """Whose act it was; of Statekeeper itself `tool` and `staff` are null."""
    sentence: str
    data: Mapping[str, Any]
    """What an event of this type carries."""


def view(
    entry: Entry,
    lifecycle: Lifecycle | None,
    *,
    hidden: Collection[str] = (),
    collection: str | None = None,
    id: str | None = None,  # noqa: A002 - the member's name in the contract
) -> EventView:
    """Show one event, without the values of `hidden` fields.

    Whose it is stands in the stream's name; where that may have been cut, the caller says it.
    """
    event = entry.event
    if id is None or collection is None:
        collection, id = _case_of(entry)  # noqa: A001 - the member's name in the contract
    recorded_at = stamp(event.recorded_at)
    happened_at = event.happened_at
    time = recorded_at if happened_at is event.recorded_at else stamp(happened_at)
    version = entry.version if isinstance(event, CaseEvent) else _version_beside(event)
    return EventView(
        entry.position,
        time,
        recorded_at,
        type(event).__name__,
        collection,
        id,
        version,
        event.by if event.by.tool or event.by.staff else ITSELF,
        sentence(event, lifecycle, hidden=hidden),
        _data(event, lifecycle, hidden),
    )


def history(
    entries: Iterable[Entry],
    lifecycle: Lifecycle | None,
    *,
    hidden: Collection[str] = (),
    of: Case | None = None,
) -> list[EventView]:
    """Show a case's changes, and what was refused, said and told beside it, oldest first.

    Of one refusal repeated only the last count stands, at the place of the first.
    """
    about = {"collection": of.collection, "id": of.id} if of else {}
    return [view(entry, lifecycle, hidden=hidden, **about) for entry in settled(entries)]


def seen_by(tool: str | None, entries: Iterable[Entry]) -> list[Entry]:
    """Leave out what is between other tools and Statekeeper; staff see all."""
    return [entry for entry in entries if tool is None or between(entry) in {None, tool}]


def between(entry: Entry) -> str | None:
    """Name the tool of an event that is between one tool and Statekeeper; None of all others."""
    match entry.event:
        case ClaimEnded(message=message):
            return tool_of(message)
        case Heard() | Reported() | ClaimMade() | OfNotice() | DriftFound() | DriftResolved():
            return entry.event.tool
        case ReactionPlanned() | ReactionDropped():
            return entry.event.tool
        case FlowFailing() | FlowRecovered() | FlowStopped() | FlowStarted():
            return entry.event.tool
    return None


def settled(entries: Iterable[Entry]) -> list[Entry]:
    """Bring entries into the order of the log, each repeated refusal into one."""
    kept: list[Entry] = []
    places: dict[tuple[object, ...], int] = {}
    for entry in sorted(entries, key=_position):
        event = entry.event
        if isinstance(event, Refused):
            by = event.by
            same = (by.tool, by.staff, event.asked, event.code, event.case_version)
            place = places.setdefault(same, len(kept))
            if place < len(kept):
                first = kept[place]
                kept[place] = replace(first, event=replace(first.event, times=event.times))
                continue
        kept.append(entry)
    return kept


@lru_cache(maxsize=STAMPED_MAX)
def stamp(time: datetime) -> str:
    """Write a time in RFC 3339, UTC, cut to milliseconds: `2026-05-04T14:03:11.120Z`."""
    text = time.isoformat(timespec="milliseconds")
    if text.endswith("+00:00"):
        return f"{text[:-6]}Z"
    return f"{time.astimezone(UTC).isoformat(timespec='milliseconds')[:-6]}Z"


def _position(entry: Entry) -> int:
    return entry.position


def _case_of(entry: Entry) -> tuple[str | None, str | None]:
    match entry.event:
        case CaseEvent():  # most are, and the stream's name says it
            name = entry.stream.partition(":")[2]
        case ReferenceHeld(case=named):
            name = named
        case Reported(case=named) | OfNotice(case=named) | DriftFound(case=named):
            name = named
        case DriftResolved(case=named) | ReactionPlanned(case=named) | ReactionDropped(case=named):
            name = named
        case Heard(case=None):
            return None, None
        case Heard(case=str(named)):
            name = named
        case Answered(case=named) if named.startswith("case:"):
            name = named.partition(":")[2]
        case _:
            kind, _, name = entry.stream.partition(":")
            if kind not in {"case", "refusals", "claims"}:
                return None, None
    collection, _, case_id = name.partition("/")
    return collection, case_id


def _version_beside(event: Event) -> int | None:
    match event:
        case Refused():
            return event.case_version
        case Answered():
            return event.version
        case _:
            return None


# --- what each type carries ---------------------------------------------------------------------


def _data(  # noqa: PLR0911 - one for each kind of event
    event: Event, lifecycle: Lifecycle | None, hidden: Collection[str]
) -> dict[str, Any]:
    match event:
        case TransitionMade():
            return _of_transition(event, lifecycle, hidden)
        case FieldsSet():
            return {"fields": _values(event, lifecycle, hidden), **_circumstances(event)}
        case CaseOpened():
            return _of_opening(event, lifecycle, hidden)
        case ReferenceTaken():
            named = {"tool": event.tool, "kind": event.kind, "ref": event.ref}
            return {**named, **_circumstances(event)}
        case StateCorrected() | CarriedOver():
            moved = {"from": event.left, "to": event.to, "definition": event.definition}
            return {**moved, **_circumstances(event)}
        case CaseEvent():
            return _circumstances(event)
        case Refused():
            return _of_refusal(event, hidden)
        case OfNotice() | ReactionPlanned() | ReactionDropped():
            return _of_notice(event, hidden)
        case DriftFound() | DriftResolved():
            return _of_drift(event, lifecycle, hidden)
        case _:
            return _beside(event)


def _of_transition(
    event: TransitionMade, lifecycle: Lifecycle | None, hidden: Collection[str]
) -> dict[str, Any]:
    condition = event.condition
    if hidden and condition:
        values = unhidden(condition.values, hidden, lifecycle)
        condition = Condition(condition.when, dict(values))
    return {
        "transition": event.transition,
        "from": event.left,
        "to": event.to,
        "fields": _values(event, lifecycle, hidden),
        "condition": condition,
        "rule": event.rule,
        "reason": event.reason,
        "message": called(event.message),
        "auto": event.auto,
        "override": event.override,
        "definition": event.definition,
    }


def _of_opening(
    event: CaseOpened, lifecycle: Lifecycle | None, hidden: Collection[str]
) -> dict[str, Any]:
    return {
        "lifecycle": event.lifecycle,
        "to": event.to,
        "fields": _values(event, lifecycle, hidden),
        "references": event.references,
        "rule": event.rule,
        **_circumstances(event),
        "definition": event.definition,
    }


def _of_refusal(event: Refused, hidden: Collection[str]) -> dict[str, Any]:
    """Leave out a detail that speaks of a hidden field: it may tell its value."""
    return {
        "asked": event.asked,
        "code": event.code,
        "detail": None if mentions(event.detail, hidden) else event.detail,
        "state": event.state,
        "case_version": event.case_version,
        "times": event.times,
    }


def _beside(  # noqa: C901, PLR0911 - one for each kind of event
    event: Event,
) -> dict[str, Any]:
    """Digests of keys and of requests, and whole definitions, are not for showing."""
    match event:
        case ReferenceHeld():
            return {"case": event.case}
        case Answered():
            return {"case": event.case, "version": event.version, "status": event.status}
        case KeyIssued():
            return {"tool": event.tool, "staff": event.staff, "read_only": event.read_only}
        case MessagesLetGo():
            return {"collection": event.collection, "messages": event.messages}
        case DefinitionAdopted():
            named = {"lifecycle": event.lifecycle, "version": event.version}
            return {**named, "digest": event.digest}
        case Reported():
            said = {name: getattr(event, name) for name in _OF_REPORT}
            return {**said, "message": called(event.message)}
        case ClaimMade():
            said = {name: getattr(event, name) for name in _OF_CLAIM}
            return {**said, "message": called(event.message)}
        case ClaimEnded():
            return {"message": called(event.message), "outcome": event.outcome, "why": event.why}
        case Heard():
            return {name: getattr(event, name) for name in _OF_MESSAGE}
        case FlowFailing() | FlowRecovered() | FlowStopped() | FlowStarted():
            return {"tool": event.tool, "why": getattr(event, "why", "")}
        case _:
            return {}


def _of_notice(
    event: OfNotice | ReactionPlanned | ReactionDropped, hidden: Collection[str]
) -> dict[str, Any]:
    """Tools are shown only which values it carries: who is told them reads them in the notice."""
    data = {name: getattr(event, name) for name in _OF_NOTICE if hasattr(event, name)}
    notice = {"notice": event.id, **data}
    if isinstance(event, NoticeDue):
        notice["names"] = list(event.personal)
        notice |= {} if hidden else {"fields": event.personal}
    return notice


def _of_drift(
    event: DriftFound | DriftResolved, lifecycle: Lifecycle | None, hidden: Collection[str]
) -> dict[str, Any]:
    drift = {"drift": event.id, "tool": event.tool, "field": event.field}
    if isinstance(event, DriftResolved):
        return {**drift, "how": event.how, "until": event.until, "reason": event.reason}
    said: Value = event.reported
    if not event.is_word:
        said = unhidden(event.personal, hidden, lifecycle).get(event.field)
    return {
        **drift,
        "reported": said,
        "expected": event.expected,
        "why": event.why,
        "message": called(event.message),
    }


_OF_NOTICE: Final = (
    *("tool", "type", "status_field", "word", "was", "request", "reaction", "fires_at"),
    *("attempts", "sent_at", "status", "why", "newer", "reason"),
)
_OF_MESSAGE: Final = ("tool", "status_field", "word", "ref", "kind", "event_id", "outcome", "why")
_OF_REPORT: Final = (
    *("tool", "status_field", "word", "outcome", "why", "expected"),
    *("said", "differing"),
)
_OF_CLAIM: Final = ("tool", "status_field", "word")


def called(message: str | None) -> str | None:
    """Call a message as it is called outside of the log, by its stream."""
    return message_id(message) if message else None


def _circumstances(event: CaseEvent) -> dict[str, Any]:
    return {"reason": event.reason, "message": called(event.message), "override": event.override}


def _values(
    event: Valued, lifecycle: Lifecycle | None, hidden: Collection[str]
) -> Mapping[str, Value]:
    values = {**event.fields, **event.personal} if event.personal else event.fields
    return unhidden(values, hidden, lifecycle)
