"""What happened, as it is shown: each event with its sentence, and a case's whole history."""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

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
    Entry,
    Event,
    FieldsSet,
    KeyIssued,
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
from projections.sentences import sentence
from projections.wording import mentions


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
        collection, id = _case_of(entry)  # noqa: A001 - as above
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
        event.by,
        sentence(event, lifecycle, hidden=hidden),
        _data(event, hidden),
    )


def history(
    entries: Iterable[Entry], lifecycle: Lifecycle | None, *, hidden: Collection[str] = ()
) -> list[EventView]:
    """Show a case's changes and what was refused beside it, oldest first.

    Of one refusal repeated only the last count stands, at the place of the first.
    """
    return [view(entry, lifecycle, hidden=hidden) for entry in settled(entries)]


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
        case ReferenceHeld(case=named):
            name = named
        case Reported(case=named):
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
    event: Event, hidden: Collection[str]
) -> dict[str, Any]:
    match event:
        case TransitionMade():
            return _of_transition(event, hidden)
        case FieldsSet():
            return {"fields": _values(event, hidden), **_circumstances(event)}
        case CaseOpened():
            return _of_opening(event, hidden)
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
        case _:
            return _beside(event)


def _of_transition(event: TransitionMade, hidden: Collection[str]) -> dict[str, Any]:
    condition = event.condition
    if hidden and condition:
        values = {name: value for name, value in condition.values.items() if name not in hidden}
        condition = Condition(condition.when, values)
    return {
        "transition": event.transition,
        "from": event.left,
        "to": event.to,
        "fields": _values(event, hidden),
        "condition": condition,
        "rule": event.rule,
        "reason": event.reason,
        "message": event.message,
        "auto": event.auto,
        "override": event.override,
        "definition": event.definition,
    }


def _of_opening(event: CaseOpened, hidden: Collection[str]) -> dict[str, Any]:
    return {
        "lifecycle": event.lifecycle,
        "to": event.to,
        "fields": _values(event, hidden),
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


def _beside(  # noqa: PLR0911 - as above
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
        case DefinitionAdopted():
            named = {"lifecycle": event.lifecycle, "version": event.version}
            return {**named, "digest": event.digest}
        case Reported():
            return {name: getattr(event, name) for name in _OF_REPORT}
        case ClaimMade():
            return {name: getattr(event, name) for name in _OF_CLAIM}
        case ClaimEnded():
            return {"message": event.message, "outcome": event.outcome, "why": event.why}
        case _:
            return {}


_OF_REPORT: Final = (
    *("tool", "status_field", "word", "outcome", "why", "expected"),
    *("said", "differing", "message"),
)
_OF_CLAIM: Final = ("tool", "status_field", "word", "message")


def _circumstances(event: CaseEvent) -> dict[str, Any]:
    return {"reason": event.reason, "message": event.message, "override": event.override}


def _values(event: Valued, hidden: Collection[str]) -> Mapping[str, Value]:
    values = {**event.fields, **event.personal} if event.personal else event.fields
    if not hidden:
        return values
    return {name: value for name, value in values.items() if name not in hidden}
