"""A case as it is shown: to people and tools alike, and as one tool says it."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from lifecycle.case import Case
from lifecycle.events import Value
from lifecycle.model import Lifecycle
from lifecycle.moves import OpenTransition, open_transitions
from projections.timeline import stamp
from projections.wording import REMEMBERED_MAX, mentions, unhidden

NO_WORDS: Final[Mapping[str, Mapping[str, str | None]]] = {}
HELD_UP: Final = "its condition does not hold"
"""What blocks a transition, to an asker who may not know more."""


class Overdue(Struct, frozen=True):
    """A state that a case should have left."""

    state: str
    """The state whose limit ran out first: an active one, or an ancestor of one."""
    since: str
    """When the case came to be in that state."""
    due: str
    """By when it should have gone on."""
    seconds: int
    """How long ago that was."""


class CaseView(Struct, frozen=True):
    """A case as everybody sees it."""

    collection: str
    id: str
    lifecycle: str
    lifecycle_version: int
    state: str
    states: tuple[str, ...]
    since: str
    version: int
    position: int
    fields: Mapping[str, Value]
    references: Mapping[str, tuple[str, ...]]
    open_transitions: Sequence[OpenTransition]
    tools: Mapping[str, Mapping[str, str | None]]
    overdue: Overdue | None


class ToolView(Struct, frozen=True):
    """A case as one tool says it."""

    id: str
    ref: str
    kind: str
    words: Mapping[str, str | None]
    """Status field → word; None where the tool is told nothing."""
    fields: Mapping[str, Value]
    version: int
    since: str


def case_view(
    case: Case, lifecycle: Lifecycle, now: datetime, *, hidden: Collection[str] = ()
) -> CaseView:
    """Show a case, without its `hidden` fields.

    States that the lifecycle does not declare any more have no words and no way out.
    """
    declared = is_declared(case, lifecycle)
    fields = unhidden(case.fields, hidden, lifecycle)
    return CaseView(
        case.collection,
        case.id,
        case.lifecycle,
        case.lifecycle_version,
        case.state,
        case.states,
        stamp(case.since),
        case.version,
        case.position,
        fields,
        case.references,
        ways_out(case, lifecycle, hidden=hidden) if declared else (),
        lifecycle.vocabulary.shown(case.states) if declared else NO_WORDS,
        overdue(case, lifecycle, now) if declared else None,
    )


def tool_view(case: Case, tool: str, kind: str, ref: str, lifecycle: Lifecycle) -> ToolView:
    """Show a case to one tool: what it reads under its own names, what it owns under ours."""
    reads = lifecycle.declaration.reads.get(tool, {})
    owns = lifecycle.ownership.field_owners
    fields = {
        reads.get(name, name): value
        for name, value in case.fields.items()
        if name in reads or (name in lifecycle.fields and tool in owns(name))
    }
    words = lifecycle.vocabulary.shown(case.states) if is_declared(case, lifecycle) else NO_WORDS
    return ToolView(
        case.id,
        ref,
        kind or lifecycle.main_kind(tool),
        words.get(tool, {}),
        fields,
        case.version,
        stamp(case.since),
    )


def ways_out(
    case: Case, lifecycle: Lifecycle, *, hidden: Collection[str] = ()
) -> Sequence[OpenTransition]:
    """List what is open; what blocks it is not told where it speaks of hidden fields."""
    ways = _open(case, lifecycle)
    if not hidden:
        return ways
    return [
        replace(way, blocked=HELD_UP)
        if way.blocked and not way.blocked.endswith("not set") and mentions(way.blocked, hidden)
        else way
        for way in ways
    ]


def _open(case: Case, lifecycle: Lifecycle) -> Sequence[OpenTransition]:
    """Remember what is open: it depends on the states and on a few fields alone.

    A condition on a personal field is judged every time, so that its value is not kept.
    """
    decisive = _decisive(lifecycle, case.states)
    if decisive is None:
        return open_transitions(case, lifecycle)
    judged, required = decisive
    known, memory = case.fields, _memory(lifecycle)
    key = (case.states, tuple(map(known.get, judged)), tuple(name in known for name in required))
    try:
        return memory[key]
    except KeyError:
        ways = tuple(open_transitions(case, lifecycle))
    except TypeError:  # a value without a hash, an address say
        return open_transitions(case, lifecycle)
    if len(memory) >= REMEMBERED_MAX:
        memory.pop(next(iter(memory)), None)
    memory[key] = ways
    return ways


@lru_cache(maxsize=REMEMBERED_MAX)
def _decisive(
    lifecycle: Lifecycle, states: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Name the fields whose value decides what is open here, and those that need only be set."""
    chart, rows = lifecycle.chart, lifecycle.chart.open_rows(states)
    judged = {name for row in rows if row in chart.guards for name in chart.guards[row].fields}
    required = {name for row in rows for name in chart.rows[row].requires} - judged
    return None if judged & lifecycle.personal else (tuple(judged), tuple(required))


@lru_cache(maxsize=64)
def _memory(_: Lifecycle) -> dict[Hashable, tuple[OpenTransition, ...]]:
    """One memory a lifecycle."""
    return {}


class Due(Struct, frozen=True):
    """When a case should leave a state that it is in."""

    at: datetime
    state: str
    """An active state, or an ancestor of one."""
    since: datetime
    """When the case came to be there."""


def due(case: Case, lifecycle: Lifecycle) -> Due | None:
    """Tell which limit of where the case is runs out first; None where there is none.

    A limit counts from when its own leaf was entered, whatever other regions do meanwhile; that of
    a state with children from when the first of its active leaves was.
    """
    if not _is_limited(case.states, lifecycle):
        return None
    running = (
        Due(since + limit, state, since)
        for leaf, since in since_by_leaf(case).items()
        for state, limit in _limits(lifecycle, leaf)
    )
    return min(running, key=_first_due, default=None)


@lru_cache(maxsize=REMEMBERED_MAX)
def _is_limited(states: tuple[str, ...], lifecycle: Lifecycle) -> bool:
    """Tell whether any limit runs where a case is."""
    return _are_declared(states, lifecycle) and any(_limits(lifecycle, leaf) for leaf in states)


@lru_cache(maxsize=REMEMBERED_MAX)
def _limits(lifecycle: Lifecycle, leaf: str) -> tuple[tuple[str, timedelta], ...]:
    """The limits that run while a case is in a leaf."""
    limits = lifecycle.limits
    running = lifecycle.chart.active((leaf,)).ids.intersection(limits)
    return tuple((state, timedelta(seconds=limits[state])) for state in running)


def since_by_leaf(case: Case) -> dict[str, datetime]:
    """Tell when the case entered each of its leaves."""
    entered = case.entered
    return {leaf: entered[leaf].time if leaf in entered else case.since for leaf in case.states}


def _first_due(one: Due) -> tuple[datetime, str]:
    return one.at, one.state


def overdue(case: Case, lifecycle: Lifecycle, now: datetime) -> Overdue | None:
    """Tell whether a limit of where the case is has run out; if several have, the first."""
    first = due(case, lifecycle)
    if first is None or now <= first.at:
        return None
    late = int((now - first.at).total_seconds())
    return Overdue(first.state, stamp(first.since), stamp(first.at), late)


def is_declared(case: Case, lifecycle: Lifecycle) -> bool:
    """Tell whether the lifecycle still declares every state that the case is in, as a leaf."""
    return _are_declared(case.states, lifecycle)


@lru_cache(maxsize=REMEMBERED_MAX)
def _are_declared(states: tuple[str, ...], lifecycle: Lifecycle) -> bool:
    places = lifecycle.chart.places
    return all(state in places and not places[state].state.states for state in states)
