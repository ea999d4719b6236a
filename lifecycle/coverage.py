"""What can be wrong with a chart whose names resolve: where cases can come, and with what words.

Every configuration that can be reached is visited, and asked what leads there, what leads on, and
whether every tool has exactly one word for it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Final

from lifecycle.chart import Chart, Configuration, first_of
from lifecycle.declaration import Place
from lifecycle.definition import listed
from lifecycle.ownership import ELSEWHERE
from lifecycle.scope import Problems, Scope
from lifecycle.vocabulary import StatusField, Vocabulary

CONFIGURATIONS_MAX: Final = 5000
"""How many configurations a lifecycle may reach."""
SHOWN_MAX: Final = 5
"""How many configurations one message names."""

_Steps = Mapping[Configuration, Sequence[tuple[int, Configuration]]]


def coverage(scope: Scope) -> Problems:
    """Find what is wrong with where cases can come; every name in the definition must resolve."""
    declared = scope.declaration
    chart = Chart(declared)
    found = _explore(chart)
    if len(found) > CONFIGURATIONS_MAX:
        regions = [name for name, place in scope.states.items() if _is_region(scope, place)]
        yield scope.problem(
            "states",
            f"more than {CONFIGURATIONS_MAX:,} configurations are reachable, because "
            f"{listed(regions)} multiply; give one a lifecycle of its own",
        )
        return
    active = [chart.active(configuration).ids for configuration in found]
    reached = frozenset().union(*active)
    yield from _unreachable(scope, reached)
    yield from _never_first(scope, reached, found)
    yield from _traps(scope, chart, found)
    yield from _circles(scope, chart, found)
    yield from _openers(scope, chart)
    yield from _owners_at_once(scope, active)
    vocabulary = Vocabulary(declared, chart)
    for field in vocabulary.status_fields:
        if all(state in scope.states for state in field.entries):
            yield from _one_word(scope, vocabulary, field, found)


def _is_region(scope: Scope, place: Place) -> bool:
    return bool(place.above) and scope.states[place.above[-1]].state.parallel


def _explore(chart: Chart) -> _Steps:
    """Find every configuration that transitions can lead to, and give up just above the limit."""
    found: dict[Configuration, Sequence[tuple[int, Configuration]]] = {}
    waiting = [chart.initial]
    while waiting and len(found) <= CONFIGURATIONS_MAX:
        configuration = waiting.pop()
        if configuration not in found:
            found[configuration] = [*steps(chart, configuration)]
            waiting += [target for _, target in found[configuration]]
    return found


def steps(chart: Chart, configuration: Configuration) -> Iterator[tuple[int, Configuration]]:
    """List the rows that can be taken here, and where each leads, whatever conditions say.

    The same as the library says, in a small part of its time, as thousands of configurations
    want it: all in the innermost compound state around both ends is left, and what the target
    enters there is entered.
    """
    active = chart.active(configuration).ids
    decided: set[str] = set()
    for index in chart.open_rows(configuration):
        row = chart.rows[index]
        if row.name in decided:
            continue
        if index not in chart.guards:
            decided.add(row.name)
        source = max(active.intersection(row.sources), key=lambda one: len(chart.places[one].above))
        within = _around(chart, source, row.to)
        yield (
            index,
            chart.ordered(
                {leaf for leaf in configuration if not within <= {*chart.places[leaf].above}}
                | {leaf for leaf in chart.entered(row.to) if within <= {*chart.places[leaf].above}}
            ),
        )


def _around(chart: Chart, source: str, target: str) -> frozenset[str]:
    """Name the innermost compound state that holds both; nothing stands for the whole chart."""
    above = chart.places[target].above
    shared = [
        name
        for name in chart.places[source].above
        if name in above and not chart.places[name].state.parallel
    ]
    return frozenset(shared[-1:])


def _unreachable(scope: Scope, reached: Collection[str]) -> Problems:
    for place in scope.places:
        inside = not place.above or place.above[-1] in reached
        if place.id not in reached and inside:
            yield scope.problem(
                place.path, f"'{place.id}' is never reached; no transition leads there"
            )


def _never_first(scope: Scope, reached: frozenset[str], found: _Steps) -> Problems:
    """A row is taken somewhere, unless one of its name further inside always wins."""
    taken = {row for leads in found.values() for row, _ in leads}
    for index, row in enumerate(scope.declaration.transitions):
        if index not in taken and not reached.isdisjoint(row.sources):
            yield scope.problem(
                f"transitions[{index}]",
                f"never taken: further inside, a '{row.name}' without a condition always wins",
            )


def _traps(scope: Scope, chart: Chart, found: _Steps) -> Problems:
    """From every state a final one can be reached, beside it or around it, not in other regions."""
    finals = [leaf for leaf in chart.leaves if scope.states[leaf].state.final]
    if not finals:
        yield scope.problem("states", "no state is final; mark where cases end with final: true")
        return
    before: dict[Configuration, list[Configuration]] = {}
    for configuration, taken in found.items():
        for _, target in taken:
            before.setdefault(target, []).append(configuration)
    ending: set[str] = set()
    for final in finals:
        ends = {configuration for configuration in found if final in configuration}
        waiting = [*ends]
        while waiting:
            nearer = [one for one in before.get(waiting.pop(), ()) if one not in ends]
            ends.update(nearer)
            waiting += nearer
        ending |= {leaf for one in ends for leaf in one if not _side_by_side(scope, leaf, final)}
    for leaf in chart.leaves:
        if leaf not in ending and any(leaf in configuration for configuration in found):
            yield scope.problem(
                scope.states[leaf].path,
                f"'{leaf}' reaches no final state; add a transition out, or final: true",
            )


def _side_by_side(scope: Scope, one: str, other: str) -> bool:
    """Tell whether two states stand in different regions of one parallel state."""
    shared = [name for name in scope.states[one].above if name in scope.states[other].above]
    return one != other and bool(shared) and scope.states[shared[-1]].state.parallel


def _circles(scope: Scope, chart: Chart, found: _Steps) -> Problems:
    """Transitions that are made by themselves must not lead back to where they began."""
    auto = {
        configuration: [(row, target) for row, target in taken if chart.rows[row].auto]
        for configuration, taken in found.items()
    }
    circling: dict[int, None] = {}
    for begin, first in auto.items():
        for row, target in first:
            passed, waiting = {target}, [target]
            while waiting and begin not in passed:
                further = [one for _, one in auto[waiting.pop()] if one not in passed]
                passed.update(further)
                waiting += further
            if begin in passed:
                circling[row] = None
    names = listed(f"'{chart.rows[row].name}'" for row in sorted(circling))
    for row in sorted(circling):
        yield scope.problem(
            f"transitions[{row}].auto", f"goes round for ever: {names} are all auto"
        )


def _openers(scope: Scope, chart: Chart) -> Problems:
    first = first_of(scope.declaration.states)
    owners = {scope.ownership.states[leaf] for leaf in chart.initial}
    if scope.declaration.opened_by or scope.ownership.states[first]:
        return
    if len(owners) != 1 or None in owners:
        yield scope.problem(
            scope.states[first].path,
            f"cases begin in '{first}', which has not one owner; name it, or `opened_by: [tools]`",
        )


def _owners_at_once(scope: Scope, together: Collection[Collection[str]]) -> Problems:
    """Whoever may set a field must be clear in every place a case can be in."""
    for name, field in scope.declaration.fields.items():
        if isinstance(field.owner, str):
            continue
        path = f"fields.{name}.owner"
        entries = {state: owner for state, owner in field.owner.items() if state != ELSEWHERE}
        for (one, owner), (other, another) in combinations(entries.items(), 2):
            differ = scope.ownership.tool(owner) != scope.ownership.tool(another)
            if differ and any(one in active and other in active for active in together):
                yield scope.problem(
                    f"{path}.{other}", f"'{one}' and '{other}' can be active at once; one owner"
                )
        if ELSEWHERE not in field.owner:
            bare = [active for active in together if not any(state in active for state in entries)]
            if bare:
                yield scope.problem(
                    path, f"nobody owns '{name}' in other states; add \"*\": owner", warning=True
                )


def _one_word(
    scope: Scope,
    vocabulary: Vocabulary,
    field: StatusField,
    reachable: Collection[Configuration],
) -> Problems:
    """Exactly one entry applies wherever a case can be."""
    path = f"words.{field.tool}.{field.name}"
    silent: list[str] = []
    clashes: dict[tuple[str, ...], str] = {}
    for configuration in reachable:
        applying = vocabulary.entries_for(field, configuration)
        if not applying:
            silent.append("+".join(configuration))
        elif len(applying) > 1:
            clashes.setdefault(applying, "+".join(configuration))
    if silent:
        more = f" and {len(silent) - SHOWN_MAX} more" if len(silent) > SHOWN_MAX else ""
        yield scope.problem(
            path, f"no word for {listed(silent[:SHOWN_MAX])}{more}; ~ where the tool is told none"
        )
    for states, where in clashes.items():
        yield scope.problem(
            f"{path}.{states[-1]}",
            f"{listed(states)} all have a word in '{where}'; words come from one region",
        )
