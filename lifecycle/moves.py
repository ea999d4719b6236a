"""The moves that are open to a case: where each leads, whose it is, and what stands in its way."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

from msgspec import Struct

from lifecycle.case import Case
from lifecycle.chart import Configuration, Lead
from lifecycle.comparable import comparable
from lifecycle.events import ERASED, Asker, Condition, Value
from lifecycle.model import Lifecycle
from lifecycle.refusals import ConditionNotMet, FieldsMissing, NotTheOwner, listed

AND: Final = "; and "
"""Stands between the conditions of transitions of one name, none of which holds."""
ANYBODY: Final = Asker()
REMEMBERED_MAX: Final = 10_000
"""What depends on where a case stands, and on nothing else of it, need not be found out again."""


class OpenTransition(Struct, frozen=True):
    """A transition that leads out of where the case is."""

    name: str
    to: str
    by: tuple[str, ...]
    requires: tuple[str, ...]
    blocked: str | None
    """What stands in its way, were its maker to ask now without further facts."""


def open_transitions(case: Case, lifecycle: Lifecycle) -> list[OpenTransition]:
    """Every transition that is open now, one a name: the one that would be taken."""
    chart, names = lifecycle.chart, dict[str, None]()
    for index in chart.open_rows(case.states):
        names[chart.rows[index].name] = None
    return [_open_transition(case, name, lifecycle) for name in names]


def steps(
    case: Case, tool: str | None, known: Mapping[str, Value], lifecycle: Lifecycle
) -> Iterator[tuple[str, Configuration]]:
    """Every transition that this tool could make now, knowing these facts, and where it leads.

    Without a tool those that the steward could make.
    """
    chart = lifecycle.chart
    for name in dict.fromkeys(chart.rows[row].name for row in chart.open_rows(case.states)):
        lead, _ = lead_of(case, name, rows_named(case, name, lifecycle), known, lifecycle)
        if (
            lead is not None
            and (tool is None or tool in lifecycle.ownership.makers[lead.row])
            and not facts_missing(lead.row, known, lifecycle)
        ):
            yield name, lead.configuration


def rows_named(case: Case, name: str, lifecycle: Lifecycle) -> Sequence[int]:
    """The rows of a transition that are open where the case stands, innermost first."""
    return _rows_named(case.states, name, lifecycle)


@lru_cache(maxsize=REMEMBERED_MAX)
def _rows_named(states: Configuration, name: str, lifecycle: Lifecycle) -> tuple[int, ...]:
    chart = lifecycle.chart
    return tuple(row for row in chart.open_rows(states) if chart.rows[row].name == name)


def lead_of(
    case: Case, name: str, rows: Sequence[int], known: Mapping[str, Value], lifecycle: Lifecycle
) -> tuple[Lead | None, dict[int, str | None]]:
    """What the chart decides, and per row why its condition does not hold (None: it is false)."""
    chart, holds, why = lifecycle.chart, dict[int, bool](), dict[int, str | None]()
    for row in rows:
        guard = chart.guards.get(row)
        if guard is None:
            continue
        if any(known.get(field) is None for field in guard.fields):
            holds[row], why[row] = False, None
            continue
        if erased := [field for field in guard.fields if _is_erased(field, known, lifecycle)]:
            holds[row], why[row] = False, f"{listed(erased)} was erased"
            continue
        values = {
            field: comparable(lifecycle.fields[field].type, known[field]) for field in guard.fields
        }
        verdict = guard.judge(values, chart.active(case.states))
        told = lifecycle.personal.isdisjoint(guard.fields)  # a reason may quote the values
        holds[row], why[row] = verdict.holds, verdict.why if told else None
    return chart.lead(case.states, name, holds), why


def nearest(
    rows: Sequence[int], asker: Asker, known: Mapping[str, Value], lifecycle: Lifecycle
) -> list[int]:
    """The rows of a transition none of whose conditions holds that came nearest to being made.

    One that only lacks facts; else all that are the asker's to make, where there are any.
    """
    makers, guards = lifecycle.ownership.makers, lifecycle.chart.guards
    mine = [row for row in rows if asker.tool is None or asker.tool in makers[row]] or list(rows)
    for row in mine:
        if any(known.get(field) is None for field in guards[row].fields):
            return [row]
    return mine


def check_maker(case: Case, row: int, asker: Asker, lifecycle: Lifecycle) -> None:
    """Only its makers may make a transition, else `NotTheOwner`."""
    makers = lifecycle.ownership.makers[row]
    if asker.tool is None or asker.tool in makers:
        return
    declared = lifecycle.chart.rows[row]
    whose = (
        f"that is for {listed(makers)}"
        if declared.makers
        else f"{declared.to!r} belongs to {listed(makers)}"
    )
    raise NotTheOwner(
        f"{asker.tool!r} may not {declared.name!r} {case.id}: {whose}",
        transition=declared.name,
        owner=makers[0] if makers else None,
        owners=list(makers),
    )


def rule_of(row: int, asker: Asker, lifecycle: Lifecycle) -> str:
    """The rule by which somebody may make a transition."""
    if asker.staff:
        return f"{asker.staff} acted as the steward"
    return _rule_of_tool(row, asker.tool, lifecycle)


@lru_cache(maxsize=REMEMBERED_MAX)
def _rule_of_tool(row: int, tool: str | None, lifecycle: Lifecycle) -> str:
    declared = lifecycle.chart.rows[row]
    if declared.makers:
        return f"{declared.name!r} may be made by {listed(lifecycle.ownership.makers[row])}"
    return f"{declared.to!r} belongs to {tool}"


def check_complete(case: Case, row: int, known: Mapping[str, Value], lifecycle: Lifecycle) -> None:
    """What a transition needs is known, else `FieldsMissing`."""
    if missing := facts_missing(row, known, lifecycle):
        declared = lifecycle.chart.rows[row]
        raise FieldsMissing(
            f"cannot {declared.name!r} {case.id}: it needs {listed(missing)},"
            " already known or in the same ask",
            transition=declared.name,
            missing=list(missing),
        )


def facts_missing(row: int, known: Mapping[str, Value], lifecycle: Lifecycle) -> tuple[str, ...]:
    """The fields that a transition needs, itself or in its condition, and that are not set."""
    guard, needed = lifecycle.chart.guards.get(row), lifecycle.chart.rows[row].requires
    if guard is not None:
        needed = (*needed, *guard.fields)
    if not needed:
        return ()
    return tuple(name for name in dict.fromkeys(needed) if known.get(name) is None)


def condition_of(row: int, known: Mapping[str, Value], lifecycle: Lifecycle) -> Condition | None:
    """The condition that stands on a transition, with the values that it sees."""
    guard = lifecycle.chart.guards.get(row)
    if guard is None:
        return None
    values = {
        name: "(personal)" if name in lifecycle.personal else known[name] for name in guard.fields
    }
    return Condition(guard.text, values)


def not_met(
    case: Case,
    rows: Sequence[int],
    known: Mapping[str, Value],
    verdicts: Mapping[int, str | None],
    lifecycle: Lifecycle,
) -> ConditionNotMet:
    """The refusal of a transition none of whose conditions holds; of several all are said."""
    name = lifecycle.chart.rows[rows[0]].name
    seen = [condition for row in rows if (condition := condition_of(row, known, lifecycle))]
    assert len(seen) == len(rows), name
    said = (
        f"{one.when} does not hold ({verdicts[row] or _as_seen(one) or f'state is {case.state}'})"
        for row, one in zip(rows, seen, strict=True)
    )
    several = {"conditions": seen} if rows[1:] else {}
    return ConditionNotMet(
        f"cannot {name!r} {case.id}: {AND.join(said)}",
        transition=name,
        when=seen[0].when,
        values=seen[0].values,
        **several,
    )


def _as_seen(condition: Condition) -> str:
    return ", ".join(
        f"{name} is {_YES[value] if isinstance(value, bool) else value}"
        for name, value in condition.values.items()
    )


_YES: Final = {True: "yes", False: "no"}


def open_now(case: Case, lifecycle: Lifecycle) -> str:
    """The transitions that are open, in words."""
    rows = [f"{one.name} by {listed(one.by)}" for one in open_transitions(case, lifecycle)]
    return f"open: {', '.join(rows)}" if rows else "nothing is open: it has ended"


def _open_transition(case: Case, name: str, lifecycle: Lifecycle) -> OpenTransition:
    rows = rows_named(case, name, lifecycle)
    lead, verdicts = lead_of(case, name, rows, case.fields, lifecycle)
    near = [lead.row] if lead else nearest(rows, ANYBODY, case.fields, lifecycle)
    row = lifecycle.chart.rows[near[0]]
    blocked = None
    if missing := facts_missing(near[0], case.fields, lifecycle):
        blocked = f"{listed(missing)} {'is' if len(missing) == 1 else 'are'} not set"
    elif lead is None:
        blocked = AND.join(_not_holding(one, verdicts[one], lifecycle) for one in near)
    makers = lifecycle.ownership.makers[near[0]]
    return OpenTransition(name, row.to, makers, row.requires, blocked)


def _not_holding(row: int, why: str | None, lifecycle: Lifecycle) -> str:
    return f"{lifecycle.chart.guards[row].text} does not hold{f': {why}' if why else ''}"


def _is_erased(field: str, known: Mapping[str, Value], lifecycle: Lifecycle) -> bool:
    return known[field] == ERASED and field in lifecycle.personal
