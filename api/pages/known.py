"""What is known of a case: each fact with whose it is and who said it; what tools call it."""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final

from msgspec import Struct

from lifecycle.case import Case
from lifecycle.declaration import Field
from lifecycle.events import (
    ERASED,
    CarriedOver,
    CaseEvent,
    CaseOpened,
    Entry,
    ReferenceReleased,
    ReferenceTaken,
    Valued,
)
from lifecycle.mirror import Mirror
from lifecycle.model import Lifecycle
from projections.timeline import stamp
from projections.wording import label, spaced, tool_title, write

CRUCIAL_MAX: Final = 8
"""Facts that a glance beside the state can take in."""


class Source(Struct, frozen=True):
    """Who said so, and when; the line of the history that tells it."""

    who: str
    at: str
    position: int
    for_owner: bool
    """Staff said it in the owner's place."""


class Fact(Struct, frozen=True):
    """One field of a case: what it is, whose word counts for it here, and whence it is known."""

    name: str
    label: str
    value: str
    """As people write it; empty where it is not known."""
    owner: str
    personal: bool
    erased: bool
    source: Source | None
    differs: tuple[str, ...]
    """The tools that show another value."""


class Link(Struct, frozen=True):
    """A tool's own id of the case."""

    tool: str
    title: str
    kind: str
    """As references are written; empty for the main one."""
    kind_title: str
    ref: str
    source: Source | None


def facts(
    case: Case, changes: Iterable[Entry], mirrors: Mapping[str, Mirror], lifecycle: Lifecycle
) -> Iterator[Fact]:
    """Every declared field in its order, then what is known under names declared no more."""
    sources = _sources(changes)
    active = lifecycle.chart.active(case.states).ids
    for name in dict.fromkeys((*lifecycle.fields, *case.fields)):
        field, value = lifecycle.fields.get(name), case.fields.get(name)
        owner = lifecycle.ownership.field_owner(name, active) if field else None
        erased = value == ERASED and name in case.personal
        entry = sources.get(name) if value is not None else None
        text = label(name, lifecycle)
        yield Fact(
            name=name,
            label=f"{text[0].upper()}{text[1:]}",
            value="" if value is None else ERASED if erased else _written(value, field),
            owner=tool_title(owner, lifecycle) if owner else "",
            personal=bool(field and field.personal),
            erased=erased,
            source=_source(entry, lifecycle) if entry else None,
            differs=tuple(
                tool_title(tool, lifecycle) for tool, one in mirrors.items() if name in one.drifts
            ),
        )


def _written(value: object, field: Field | None) -> str:
    """Whole, where a sentence would cut it short."""
    if isinstance(value, str) and (field is None or field.type in {"text", "email", "phone"}):
        return value
    return write(value, field.type if field else None)


def _sources(changes: Iterable[Entry]) -> dict[str, Entry]:
    """Field → the entry that last said what it is, under the names of today."""
    found: dict[str, Entry] = {}
    for entry in changes:
        event = entry.event
        if isinstance(event, Valued):
            found |= dict.fromkeys((*event.fields, *event.personal), entry)
        if isinstance(event, CarriedOver):
            found = {event.renamed.get(name, name): was for name, was in found.items()}
    return found


def _source(entry: Entry, lifecycle: Lifecycle) -> Source:
    event = entry.event
    assert isinstance(event, CaseEvent), (entry.stream, event.TOPIC)
    who = tool_title(event.by.tool, lifecycle) if event.by.tool else event.by.name
    return Source(who, stamp(event.time), entry.position, event.override)


def name_of(case: Case, lifecycle: Lifecycle) -> str:
    """Say whom the case is about: the first text that is called a name."""
    for name, field in lifecycle.fields.items():
        value = case.fields.get(name)
        if field.type == "text" and "name" in name.split("_") and isinstance(value, str):
            return "" if value == ERASED and name in case.personal else value
    return ""


@lru_cache(maxsize=64)
def crucial_fields(lifecycle: Lifecycle) -> tuple[str, ...]:
    """The fields that transitions ask for: by these cases go on, or do not."""
    asked: dict[str, None] = {}
    for index, row in enumerate(lifecycle.chart.rows):
        guard = lifecycle.chart.guards.get(index)
        asked |= dict.fromkeys((*(guard.fields if guard else ()), *row.requires))
    return tuple(name for name in lifecycle.fields if name in asked)[:CRUCIAL_MAX]


def links(case: Case, changes: Iterable[Entry], lifecycle: Lifecycle) -> Iterator[Link]:
    """What each tool calls the case, with who said so."""
    taken: dict[tuple[str, str], Entry] = {}
    for entry in changes:
        event = entry.event
        if isinstance(event, CaseOpened):
            taken |= {(key, ref): entry for key, refs in event.references.items() for ref in refs}
        if isinstance(event, ReferenceTaken) and not isinstance(event, ReferenceReleased):
            key = f"{event.tool}:{event.kind}" if event.kind else event.tool
            taken[key, event.ref] = entry
    for key, refs in case.references.items():
        tool, _, kind = key.partition(":")
        declared = lifecycle.declaration.tools.get(tool)
        main = declared.kinds[0] if declared and declared.kinds else "record"
        for ref in refs:
            found = taken.get((key, ref))
            source = _source(found, lifecycle) if found else None
            title = tool_title(tool, lifecycle)
            yield Link(tool, title, kind, spaced(kind or main), ref, source)
