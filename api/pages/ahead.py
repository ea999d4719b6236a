"""What comes next: what may be done now, and what has to happen for the case to go on."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from api.pages.telling import LOST, Telling
from lifecycle.case import Case
from lifecycle.mirror import Mirror
from lifecycle.model import Lifecycle
from lifecycle.moves import OpenTransition
from projections.why import once
from projections.wording import (
    all_of,
    any_of,
    label,
    noun,
    phrase,
    quote,
    spaced,
    state_titles,
    tool_title,
)


class Way(Struct, frozen=True):
    """A transition that leads out of where the case is."""

    name: str
    title: str
    """What is done, as an order: `schedule the job`."""
    to: str
    by: str
    blocked: str | None
    """What has to be so before, in plain words."""
    auto: bool
    is_final: bool
    """Whether no way leads on from there."""


class Awaited(Struct, frozen=True):
    """What has to happen next for the case to go on."""

    who: str
    what: str
    """What they do: `to schedule the job`."""
    then: str
    """What follows by itself; empty where nothing does."""
    tools: tuple[str, ...] = ()
    """Those who have to do it."""


class Unsettled(Struct, frozen=True):
    """A tool that shows something else than is true, and who puts that right."""

    tool: str
    title: str
    differs: tuple[str, ...]
    """In what: `shows “Void” as stage`."""
    who: str
    """Who answers for it; empty where nobody is named."""


class Unheard(Struct, frozen=True):
    """A tool that was not told what it needs to know."""

    tool: str
    title: str
    telling: Telling


def unsettled(
    mirrors: Mapping[str, Mirror],
    lifecycle: Lifecycle,
    now: datetime,
) -> Iterator[Unsettled]:
    """Tell of each tool that differs, and whose it is to settle."""
    for tool, mirror in mirrors.items():
        names = [name for name, one in mirror.drifts.items() if one.stands(now)]
        if names:
            named = lifecycle.vocabulary.named
            told = tuple(
                f"shows “{quote(mirror.drifts[one].reported)}” as {spaced(one)}"
                if (tool, one) in named
                else f"has another {label(one, lifecycle)}"
                for one in names
            )
            title = tool_title(tool, lifecycle)
            yield Unsettled(tool, title, told, steward_of(tool, lifecycle))


def untold(
    ahead: Sequence[Awaited],
    mirrors: Mapping[str, Mirror],
    lifecycle: Lifecycle,
    tellings: Mapping[str, Telling],
) -> Iterator[Unheard]:
    """Tell which tools are waited for and do not know it yet, and why they do not."""
    for tool in dict.fromkeys(tool for one in ahead for tool in one.tools):
        mirror = mirrors.get(tool)
        stuck = [
            known
            for one in (mirror.due if mirror else ())
            if (known := tellings.get(one)) and known.is_stuck
        ]
        if stuck:
            yield Unheard(tool, tool_title(tool, lifecycle), stuck[-1])
        elif mirror and mirror.given_up:
            yield Unheard(tool, tool_title(tool, lifecycle), LOST)


def steward_of(tool: str, lifecycle: Lifecycle) -> str:
    """Who answers for the connection to a tool: for telling it, for hearing it, for all of them."""
    flows = sorted(lifecycle.declaration.flows, key=lambda one: one.direction != "out")
    named = (one.steward for one in flows if one.tool == tool and one.steward)
    return next(named, lifecycle.declaration.steward or "")


def awaited(case: Case, ways: Sequence[OpenTransition], lifecycle: Lifecycle) -> Iterator[Awaited]:
    """Tell for each part of the case which way is the one ahead, and who has to do what for it."""
    order = {state: index for index, state in enumerate(lifecycle.chart.places)}
    for leaf in case.states if ways else ():
        ahead = [
            way
            for way in ways
            if order.get(way.to, -1) > order[leaf] and _leads_out(leaf, way.name, lifecycle)
        ]
        if ahead:
            yield _what_for(case, min(ahead, key=lambda way: order[way.to]), lifecycle)


def _leads_out(leaf: str, transition: str, lifecycle: Lifecycle) -> bool:
    """Whether it leads out of this leaf itself, or of what it stands in."""
    standing = {leaf, *lifecycle.chart.places[leaf].above}
    return any(
        row.name == transition and standing.intersection(row.sources)
        for row in lifecycle.chart.rows
    )


def _what_for(case: Case, way: OpenTransition, lifecycle: Lifecycle) -> Awaited:
    made = done(way.name, lifecycle)
    to = state_titles((way.to,), lifecycle)
    makers = any_of([tool_title(tool, lifecycle) for tool in way.by]) if way.by else "staff"
    if not way.blocked:
        return Awaited(makers, f"to {made}", "", way.by)
    active = lifecycle.chart.active(case.states).ids
    lacking = _lacking(case, way, lifecycle)
    owning = dict.fromkeys(
        owner for name in lacking if (owner := lifecycle.ownership.field_owner(name, active))
    )
    owners = [tool_title(owner, lifecycle) for owner in owning]
    facts = all_of([f"the {label(name, lifecycle)}" for name in lacking])
    if not lacking or not owners:
        return Awaited(makers, f"to {made}, once {once(case, way, lifecycle, ())}", "", way.by)
    if _is_auto(way.name, case, lifecycle):
        then = f"It then goes on to {to} by itself."
    elif tuple(owners) == (makers,):
        return Awaited(makers, f"to {made}, and to say {facts}", "", way.by)
    else:
        then = f"Then {makers} can {made}."
    return Awaited(all_of(owners), f"to say {facts}", then, tuple(owning))


def _lacking(case: Case, way: OpenTransition, lifecycle: Lifecycle) -> list[str]:
    """Name the fields that keep it from being made: those not set, else those of its condition."""
    needed: dict[str, None] = {}
    for index in lifecycle.chart.open_rows(case.states):
        row = lifecycle.chart.rows[index]
        if row.name == way.name:
            guard = lifecycle.chart.guards.get(index)
            needed |= dict.fromkeys((*row.requires, *(guard.fields if guard else ())))
    return [name for name in needed if case.fields.get(name) is None] or list(needed)


def _is_auto(transition: str, case: Case, lifecycle: Lifecycle) -> bool:
    rows = (lifecycle.chart.rows[index] for index in lifecycle.chart.open_rows(case.states))
    return any(row.auto for row in rows if row.name == transition)


def done(transition: str, lifecycle: Lifecycle) -> str:
    """What a transition does, as an order: `schedule the job`."""
    rows = (row for row in lifecycle.chart.rows if row.name == transition)
    title = next((row.title for row in rows if row.title), None)
    return phrase(transition, title, noun(lifecycle)).base


def ways(case: Case, ways: Sequence[OpenTransition], lifecycle: Lifecycle) -> list[Way]:
    """What may be done, with what leads ahead first."""
    if not ways:
        return []
    order = {state: index for index, state in enumerate(lifecycle.chart.places)}
    here = max(order[leaf] for leaf in case.states)
    told = sorted(ways, key=lambda way: (order[way.to] <= here, order[way.to]))
    return [_way(case, way, lifecycle) for way in told]


def _way(case: Case, way: OpenTransition, lifecycle: Lifecycle) -> Way:
    return Way(
        name=way.name,
        title=done(way.name, lifecycle),
        to=state_titles((way.to,), lifecycle),
        by=any_of([tool_title(tool, lifecycle) for tool in way.by]) if way.by else "staff",
        blocked=once(case, way, lifecycle, ()) if way.blocked else None,
        auto=_is_auto(way.name, case, lifecycle),
        is_final=lifecycle.chart.places[way.to].state.final,
    )
