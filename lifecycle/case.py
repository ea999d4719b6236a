"""One job or client, and how it evolves by what happened to it.

Evolving trusts history: it never looks at the definition.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from lifecycle.chart import Configuration
from lifecycle.events import (
    ERASED,
    CarriedOver,
    CaseAdopted,
    CaseEvent,
    CaseOpened,
    Entry,
    Erased,
    Event,
    ReferenceReleased,
    ReferenceTaken,
    StateCorrected,
    TransitionMade,
    Value,
    Valued,
)


class Entered(Struct, frozen=True):
    """How a case came to a state."""

    time: datetime
    by: str
    """The tool's id or the person's name."""
    opening: bool = False
    """Whether the case began there: that overrules nobody, however early they saw something."""


class Case(Struct, frozen=True):
    """A case as it is after some version."""

    collection: str
    id: str
    lifecycle: str
    lifecycle_version: int
    states: Configuration
    since: datetime
    """When it entered where it is."""
    version: int
    changed_at: datetime
    """When its last change happened."""
    fields: Mapping[str, Value]
    personal: frozenset[str] = frozenset()
    """The fields whose values stand encrypted in the log."""
    references: Mapping[str, tuple[str, ...]] = {}
    position: int = 0
    entered: Mapping[str, Entered] = {}
    """Leaf → whose act brought the case there, and when."""

    @property
    def state(self) -> str:
        """The active leaves, joined by `+`."""
        return "+".join(self.states)


def evolve(case: Case | None, entry: Entry) -> Case | None:
    """The case after one more entry of its stream."""
    event = entry.event
    if case is None:
        assert isinstance(event, CaseOpened), f"{entry.stream} begins with {event.TOPIC}"
        return _begun(entry, event)
    assert entry.version == case.version + 1, (entry.stream, case.version, entry.version)
    assert isinstance(event, CaseEvent), (entry.stream, event.TOPIC)
    case = replace(case, version=entry.version, position=entry.position, changed_at=event.time)
    match event:
        case TransitionMade() | StateCorrected():
            case = replace(
                case,
                states=event.to,
                since=event.time,
                lifecycle_version=event.definition.version,
                entered=_entered(case, event),
            )
        case CarriedOver():
            return _carried_over(case, event)
        case ReferenceReleased():
            return replace(case, references=_without(case.references, event))
        case ReferenceTaken():
            return replace(case, references=_with(case.references, event))
        case Erased():
            erased = {name: ERASED for name in case.personal if name in case.fields}
            return replace(case, fields={**case.fields, **erased})
    return _with_values(case, event) if isinstance(event, Valued) else case


def evolved(case: Case, events: Iterable[Event]) -> Case:
    """The case after these events, before they stand anywhere."""
    for event in events:
        evolved = evolve(case, Entry(f"case:{case.collection}/{case.id}", case.version + 1, event))
        assert evolved is not None
        case = evolved
    return case


def _begun(entry: Entry, event: CaseOpened) -> Case:
    begins = not isinstance(event, CaseAdopted)
    collection, _, case_id = entry.stream.partition(":")[2].partition("/")
    return Case(
        collection=collection,
        id=case_id,
        lifecycle=event.lifecycle,
        lifecycle_version=event.definition.version,
        states=event.to,
        since=event.time,
        version=entry.version,
        changed_at=event.time,
        fields={**event.fields, **event.personal},
        personal=frozenset(event.personal),
        references=event.references,
        position=entry.position,
        entered=dict.fromkeys(event.to, Entered(event.time, event.by.name, opening=begins)),
    )


def _entered(case: Case, event: TransitionMade | StateCorrected) -> dict[str, Entered]:
    """Where it stood before it has been since then; the rest is new."""
    now, before = Entered(event.time, event.by.name), case.entered
    return {leaf: before.get(leaf, now) if leaf in case.states else now for leaf in event.to}


def _carried_over(case: Case, event: CarriedOver) -> Case:
    """In the words of a new version; it entered where it is when it did, not now."""
    names = event.renamed
    return replace(
        case,
        states=event.to,
        lifecycle_version=event.definition.version,
        fields={names.get(name, name): value for name, value in case.fields.items()},
        personal=frozenset(names.get(name, name) for name in case.personal),
        entered=_entered_as(case, event),
    )


def _entered_as(case: Case, event: CarriedOver) -> dict[str, Entered]:
    """Each leaf with its own time under its new name; a new region is entered now."""
    before = {event.renamed_states.get(name, name): when for name, when in case.entered.items()}
    now = Entered(event.time, event.by.name)
    return {leaf: before.get(leaf, now) for leaf in event.to}


def _with_values(case: Case, event: Valued) -> Case:
    if not event.fields and not event.personal:
        return case
    values = {**case.fields, **event.fields, **event.personal}
    return replace(
        case,
        fields={name: value for name, value in values.items() if value is not None},
        personal=case.personal.union(event.personal),
    )


def _with(
    references: Mapping[str, tuple[str, ...]], event: ReferenceTaken
) -> dict[str, tuple[str, ...]]:
    key = f"{event.tool}:{event.kind}" if event.kind else event.tool
    return {**references, key: (*references.get(key, ()), event.ref)}


def _without(
    references: Mapping[str, tuple[str, ...]], event: ReferenceReleased
) -> dict[str, tuple[str, ...]]:
    key = f"{event.tool}:{event.kind}" if event.kind else event.tool
    left = tuple(ref for ref in references.get(key, ()) if ref != event.ref)
    others = {name: refs for name, refs in references.items() if name != key}
    return {**others, key: left} if left else others
