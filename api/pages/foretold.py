"""What an act would do to a case, in one line: above everything else that a plan says of it."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from api.pages.known import crucial_fields, name_of
from lifecycle.case import Case
from lifecycle.events import (
    CaseEvent,
    Entry,
    Erased,
    FieldsSet,
    ReferenceReleased,
    ReferenceTaken,
    StateCorrected,
    TransitionMade,
)
from lifecycle.model import Lifecycle
from projections.wording import (
    all_of,
    kind_of,
    label,
    noun,
    phrase,
    state_titles,
    tool_title,
    write,
)

JUDGED_MAX: Final = 2
"""Facts that the line itself has room for: what conditions judge, such as what was paid."""


class Foretold(Struct, frozen=True):
    """The line, and what to know beside it."""

    says: str
    """`This will cancel the job J-7 of Old Mill Hotel`."""
    facts: tuple[tuple[str, str], ...]
    """What decides how the case goes on, as it is before: label and value, where it is known."""
    final: str
    """The state that it comes to, if no way leads on from there; else empty."""


def foretold(before: Case, after: Case, entries: Sequence[Entry], lifecycle: Lifecycle) -> Foretold:
    """Sum up what these entries would do."""
    events = [one.event for one in entries if isinstance(one.event, CaseEvent)]
    does = dict.fromkeys(_done(one, lifecycle) for one in events)
    about = f"{noun(lifecycle)} {before.id}"
    name = name_of(before, lifecycle)
    whom = f"{about} of {name}" if name else about
    known = {
        one: (label(one, lifecycle), write(value, kind_of(one, lifecycle)))
        for one in crucial_fields(lifecycle)
        if (value := before.fields.get(one)) is not None
    }
    judged = dict.fromkeys(one.fields[0] for one in lifecycle.chart.guards.values() if one.fields)
    if told := [" ".join(known[one]) for one in judged if one in known][:JUDGED_MAX]:
        whom += f" ({all_of(told)})"
    ends = before.states != after.states and lifecycle.chart.ended(after.states)
    return Foretold(
        f"This will {_aimed(all_of(does), noun(lifecycle), whom)}" if does else "",
        tuple(known.values()),
        state_titles(after.states, lifecycle) if ends else "",
    )


def _aimed(does: str, about: str, whom: str) -> str:
    """Say whom it is done to: where all cases are named, else at the end."""
    if about in does:
        return does.replace(about, whom, 1)
    return f"{does} of {whom}" if does.endswith("values") else f"{does} for {whom}"


def _done(event: CaseEvent, lifecycle: Lifecycle) -> str:
    """What an event does, as an order: `cancel the job`."""
    match event:
        case TransitionMade(transition=name):
            rows = (row.title for row in lifecycle.chart.rows if row.name == name and row.title)
            return phrase(name, next(rows, None), noun(lifecycle)).base
        case StateCorrected(left=left, to=to):
            was, now_is = state_titles(left, lifecycle), state_titles(to, lifecycle)
            return f"put {noun(lifecycle)} from {was} to {now_is}"
        case FieldsSet():
            names = (*event.fields, *event.personal)
            return f"set {all_of(f'the {label(one, lifecycle)}' for one in names)}"
        case ReferenceTaken(tool=tool, ref=ref):
            does = "take away" if isinstance(event, ReferenceReleased) else "link"
            return f"{does} the record {ref} of {tool_title(tool, lifecycle)}"
        case Erased():
            return "erase the personal values"
    return f"change {noun(lifecycle)}"
