"""Everything that can be wrong with definitions that are well-formed, all of it at once.

What the files say of one another; what each says, name by name; then, where its names resolve, what
its chart does (`coverage`). Each rule is a generator of problems, in the order of the contract.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import Final

from msgspec import Struct

from lifecycle.chart import RESERVED_FIELDS
from lifecycle.conditions import condition
from lifecycle.connectors import Connector
from lifecycle.coverage import coverage
from lifecycle.declaration import HEAR_ONLY, Declaration, Field, Flow, Ignore, Place, State
from lifecycle.definition import UNREAD, Marks, listed, near
from lifecycle.fitting import kinds
from lifecycle.ownership import ELSEWHERE
from lifecycle.refusals import Problem
from lifecycle.scope import Problems, Scope
from lifecycle.writing import unset

RESERVED_COLLECTIONS: Final = frozenset(
    {"tools", "messages", "drift", "notices", "events", "promises", "lifecycles", "problems"}
    | {"schema", "health", "metrics", "static", "map", "sign-in", "live"}
)
"""First parts of our own addresses."""

OPEN: Final = "open"
IGNORE: Final = "ignore"
"""What a heard word may mean beside a transition."""


class Source(Struct, frozen=True):
    """A declaration, and where each part of it is written."""

    declaration: Declaration
    marks: Marks


def check(
    sources: Sequence[Source],
    connectors: Mapping[str, Connector],
    environment: Mapping[str, str],
    faulty: Collection[str] = (),
) -> list[Problem]:
    """Find every problem of these definitions, in the order of files and lines.

    Sources may be skimmed ones: then what is wrong in their shape is among the problems, and what
    could follow from that is not. `connectors` by name, and the names of those that are `faulty`
    and missing among them; `environment` tells which secrets are set. Definitions with nothing but
    warnings may run.
    """
    problems = [*_across(sources)]
    for source in sources:
        scope = Scope(source.declaration, source.marks, connectors, environment, faulty)
        structure = [*_states(scope), *_transitions(scope)]
        named = [problem for rule in _NAMES for problem in rule(scope)]
        problems += [*source.marks.problems, *filter(scope.stands, [*structure, *named])]
        if not source.marks.problems and all(problem.warning for problem in structure):
            problems += coverage(scope)
    return sorted(set(problems))


# Several files.


def _across(sources: Sequence[Source]) -> Problems:
    """One thing has one name, and one name means one thing, in every file."""
    said: dict[tuple[str, str], tuple[str | None, Marks]] = {}

    def twice(source: Source, path: str, key: tuple[str, str], value: str | None) -> Problems:
        if value is not None and value.startswith(UNREAD):
            return
        first, marks = said.setdefault(key, (value, source.marks))
        if first != value:
            here, there = (f"'{one}'" if one else "none" for one in (value, first))
            where = f"{marks.file}:{marks.line(path)}"
            yield source.marks.problem(
                path, f"the {key[0]} of '{key[1]}' is {here} here and {there} in {where}"
            )

    for source in sources:
        declared, file = source.declaration, source.marks.file
        for key, name in (("collection", declared.collection), ("lifecycle", declared.lifecycle)):
            first = said.setdefault((key, name), (file, source.marks))[1]
            if first is not source.marks and not name.startswith(UNREAD):
                yield source.marks.problem(key, f"{key} '{name}' is declared by {first.file} too")
        for name, tool in declared.tools.items():
            yield from twice(source, f"tools.{name}.title", ("title", name), tool.title)
            connector = ("connector", name)
            yield from twice(source, f"tools.{name}.connector", connector, tool.connector)


# One file, name by name.


def _heading(scope: Scope) -> Problems:
    declared = scope.declaration
    if declared.collection in RESERVED_COLLECTIONS:
        yield scope.problem(
            "collection", f"'{declared.collection}' is an address of Statekeeper's own; rename it"
        )
    for index, name in enumerate(declared.opened_by):
        yield from scope.owner(f"opened_by[{index}]", name)
    current = [*scope.states, *declared.fields]
    for old, new in declared.renamed.items():
        path = f"renamed.{old}"
        yield from scope.known(path, "state or field", new, current)
        if old in current:
            yield scope.problem(path, f"'{old}' is still declared; renamed is old: new")
    for index, promise in enumerate(declared.promises):
        if promise.tool is not None:
            yield from scope.known(f"promises[{index}].tool", "tool", promise.tool, scope.tools)


def _tools(scope: Scope) -> Problems:
    holders: dict[str, str] = {}
    told = {flow.tool for flow in scope.declaration.flows}
    for name, tool in scope.tools.items():
        path = f"tools.{name}"
        if tool.connector is not None:
            known = [*scope.connectors, *scope.faulty]
            yield from scope.known(f"{path}.connector", "connector", tool.connector, known)
        for index, domain in enumerate(tool.record_for):
            at = f"{path}.record_for[{index}]"
            holder = holders.setdefault(domain, name)
            if holder != name:
                yield scope.problem(at, f"'{holder}' is record_for '{domain}' already; one tool is")
            if domain in scope.tools and domain != name:
                yield scope.problem(at, f"domain '{domain}' has the name of a tool; rename one")
        if name not in told:
            yield scope.problem(path, f"no flow says how '{name}' is heard or told", warning=True)


def _fields(scope: Scope) -> Problems:
    for name, field in scope.declaration.fields.items():
        path = f"fields.{name}"
        if name in RESERVED_FIELDS | {"true", "false"}:
            yield scope.problem(path, f"'{name}' means something else in conditions; rename it")
        if scope.whole(path):
            yield from _format(scope, path, field)
        if isinstance(field.owner, str):
            yield from scope.owner(f"{path}.owner", field.owner)
            continue
        for state, owner in field.owner.items():
            at = f"{path}.owner.{state}"
            yield from scope.known(at, "state", state, [*scope.states, ELSEWHERE])
            yield from scope.owner(at, owner)


def _format(scope: Scope, path: str, field: Field) -> Problems:
    if field.type == "choice" and not field.choices:
        yield scope.problem(path, "a choice needs `choices: [...]`")
    for choice, count in Counter(field.choices).items():
        if count > 1:
            yield scope.problem(f"{path}.choices", f"'{choice}' stands twice")
    if field.type != "choice" and field.choices:
        yield scope.problem(f"{path}.choices", f"a {field.type} has no choices")
    if field.type != "money" and field.signed:
        yield scope.problem(f"{path}.signed", f"only money is signed, not a {field.type}")


def _states(scope: Scope) -> Problems:
    yield from _siblings(scope, "states", scope.declaration.states)
    first: dict[str, str] = {}
    for place in scope.places:
        state, path = place.state, place.path
        if first.setdefault(place.id, path) != path:
            yield scope.problem(path, f"state '{place.id}' stands at {first[place.id]} too")
        if place.id == HEAR_ONLY:
            yield scope.problem(path, f"'{HEAR_ONLY}' means something else in words; rename it")
        if state.owner is not None:
            yield from scope.owner(f"{path}.owner", state.owner)
        if not state.states and _is_bare(scope, place.id):
            yield scope.problem(path, f"'{place.id}' has no owner; name a tool or a domain")
        if state.final and state.states:
            yield scope.problem(
                f"{path}.final", f"'{place.id}' has states; final is for states without"
            )
        if state.final and state.within:
            yield scope.problem(
                f"{path}.within", f"'{place.id}' is final: no case there is late", warning=True
            )
        if state.parallel and not state.states:
            yield scope.problem(
                f"{path}.parallel", f"'{place.id}' has no states to run in parallel"
            )
        yield from (
            _regions(scope, place)
            if state.parallel
            else _siblings(scope, f"{path}.states", state.states)
        )


def _is_bare(scope: Scope, state: str) -> bool:
    """Tell whether neither a state nor any around it names an owner, known or not."""
    place = scope.states.get(state)
    around = (*place.above, state) if place else ()
    return bool(around) and not any(scope.states[name].state.owner for name in around)


def _siblings(scope: Scope, path: str, states: Mapping[str, State]) -> Problems:
    if path == "states" and not states:
        yield scope.problem(path, "no states; a lifecycle has at least one")
    initial = [name for name, state in states.items() if state.initial]
    for name in initial[1:]:
        yield scope.problem(f"{path}.{name}.initial", f"'{initial[0]}' is initial already; one is")


def _regions(scope: Scope, place: Place) -> Problems:
    for name, region in place.state.states.items():
        if region.initial:
            yield scope.problem(
                f"{place.path}.states.{name}.initial",
                f"every region of '{place.id}' is entered; initial says nothing here",
                warning=True,
            )


def _transitions(scope: Scope) -> Problems:
    rows = scope.declaration.transitions
    for index, row in enumerate(rows):
        path = f"transitions[{index}]"
        if row.name in {OPEN, IGNORE}:
            yield scope.problem(f"{path}.name", f"'{row.name}' means something else in hears")
        if not row.sources:
            yield scope.problem(f"{path}.from", "no state to lead out of")
        for at, source in _each(f"{path}.from", row.source):
            yield from scope.known(at, "state", source, scope.states)
            if source in scope.states and scope.states[source].state.final:
                yield scope.problem(at, f"'{source}' is final and has no way out")
            yield from _always_behind(scope, at, index, source)
        yield from scope.known(f"{path}.to", "state", row.to, scope.states)
        for at, maker in _each(f"{path}.by", row.by or ()):
            yield from scope.owner(at, maker)
        for at, field in _each(f"{path}.requires", row.requires):
            yield from scope.known(at, "field", field, scope.declaration.fields)
        if row.when is not None:
            yield from condition(scope, f"{path}.when", row.when)
        if not row.makers and _is_bare(scope, row.to) and scope.states[row.to].state.states:
            yield scope.problem(
                f"{path}.to", f"'{row.to}' has not one owner; name it there, or here who may (`by`)"
            )
    yield from _in_two_regions(scope)


def _always_behind(scope: Scope, path: str, index: int, source: str) -> Problems:
    """Refuse a row behind one of the same name and source that asks for no more than it."""
    rows = scope.declaration.transitions
    row = rows[index]
    for earlier, other in enumerate(rows[:index]):
        if other.name == row.name and source in other.sources and other.when in {None, row.when}:
            same = "with the same condition" if other.when else "without a condition"
            yield scope.problem(
                path,
                f"never taken from '{source}': transitions[{earlier}] stands before it, {same}",
            )
            return


def _in_two_regions(scope: Scope) -> Problems:
    """One name in two regions of a parallel state would be two moves at once."""
    held: dict[tuple[str, str], str] = {}
    for index, row in enumerate(scope.declaration.transitions):
        for at, source in _each(f"transitions[{index}].from", row.source):
            if source not in scope.states:
                continue
            line = (*scope.states[source].above, source)
            for outer, region in pairwise(line):
                if not scope.states[outer].state.parallel:
                    continue
                other = held.setdefault((row.name, outer), region)
                if other != region:
                    yield scope.problem(
                        at,
                        f"'{row.name}' stands in two regions of '{outer}', '{other}' and "
                        f"'{region}'; give each a name of its own",
                    )


def _words(scope: Scope) -> Problems:
    for tool, status_fields in scope.declaration.words.items():
        yield from scope.known(f"words.{tool}", "tool", tool, scope.tools)
        for name, entries in status_fields.items():
            path = f"words.{tool}.{name}"
            meanings: dict[str, list[str]] = {}
            for state, entry in entries.items():
                if state == HEAR_ONLY:
                    continue
                yield from scope.known(f"{path}.{state}", "state", state, scope.states)
                words = () if entry is None or isinstance(entry, bool) else entry
                for at, word in _each(f"{path}.{state}", words):
                    yield from _word(scope, at, tool, name, word)
                    meanings.setdefault(word, []).append(state)
                if isinstance(entry, tuple) and not entry:
                    yield scope.problem(f"{path}.{state}", "no word; ~ where the tool is told none")
            yield from _shared(scope, path, meanings)
            yield from _unmapped(scope, tool, name, meanings)


def _word(scope: Scope, path: str, tool: str, status_field: str, word: str) -> Problems:
    """Refuse a word that the product does not have."""
    if not word:
        yield scope.problem(path, "an empty word; ~ where the tool is told none")
    elif (published := scope.published(tool, status_field)) is not None:
        product = scope.tools[tool].title
        if word not in published:
            close = near(word, published) or f"; {listed(published)}"
            yield scope.problem(path, f"{product} has no word '{word}'{close}")


def _shared(scope: Scope, path: str, meanings: Mapping[str, Sequence[str]]) -> Problems:
    for word, states in meanings.items():
        for state, count in Counter(states).items():
            if count > 1:
                yield scope.problem(f"{path}.{state}", f"'{word}' stands twice")
        if len(set(states)) > 1:
            yield scope.problem(
                path,
                f"'{word}' stands for {listed(states)}: a report of it may be ambiguous",
                warning=True,
            )


def _unmapped(scope: Scope, tool: str, status_field: str, words: Collection[str]) -> Problems:
    heard = scope.declaration.hears.get(tool, {}).get(status_field, {})
    published = scope.published(tool, status_field) or ()
    left = [word for word in published if word not in words and word not in heard]
    if left:
        yield scope.problem(
            f"words.{tool}.{status_field}", f"no meaning for {listed(left)}", warning=True
        )


def _hears(scope: Scope) -> Problems:
    for tool, status_fields in scope.declaration.hears.items():
        yield from scope.known(f"hears.{tool}", "tool", tool, scope.tools)
        for name, meanings in status_fields.items():
            path = f"hears.{tool}.{name}"
            worded = scope.declaration.words.get(tool, {})
            if name not in worded:
                yield scope.problem(
                    path, f"no words for status field '{name}'{near(name, worded)}", warning=True
                )
            for word, meaning in meanings.items():
                yield from _word(scope, f"{path}.{word}", tool, name, word)
                yield from _meaning(scope, f"{path}.{word}", tool, meaning)


def _meaning(scope: Scope, path: str, tool: str, meaning: str | Ignore) -> Problems:
    if isinstance(meaning, Ignore):
        if not meaning.ignore:
            yield scope.problem(f"{path}.ignore", "true is all it can be; else leave the word out")
        if meaning.until is not None and not _is_day(meaning.until):
            yield scope.problem(
                f"{path}.until", f"'{meaning.until}' is no day; written like 2027-01-01"
            )
        return
    if meaning in {OPEN, IGNORE}:
        return
    if meaning not in scope.names:
        close = near(meaning, [*scope.names, OPEN, IGNORE])
        yield scope.problem(path, f"no transition '{meaning}'{close}, nor open or ignore")
        return
    makers = {
        maker
        for row, may in zip(scope.declaration.transitions, scope.ownership.makers, strict=True)
        if row.name == meaning
        for maker in may
    }
    if tool not in makers:
        yield scope.problem(
            path,
            f"'{tool}' may not '{meaning}' ({listed(sorted(makers))} may): it will be drift",
            warning=True,
        )


def _reads(scope: Scope) -> Problems:
    for tool, names in scope.declaration.reads.items():
        yield from scope.known(f"reads.{tool}", "tool", tool, scope.tools)
        told: dict[str, str] = {}
        for field, name in names.items():
            path = f"reads.{tool}.{field}"
            yield from scope.known(path, "field", field, scope.declaration.fields)
            if told.setdefault(name, field) != field:
                yield scope.problem(path, f"'{name}' is told for '{told[name]}' already")


def _reactions(scope: Scope) -> Problems:
    told = {flow.tool for flow in scope.declaration.flows if flow.direction == "out"}
    first: dict[str, int] = {}
    for index, reaction in enumerate(scope.declaration.reactions):
        path = f"reactions[{index}]"
        if first.setdefault(reaction.name, index) != index:
            at = f"reactions[{first[reaction.name]}]"
            yield scope.problem(f"{path}.name", f"{at} is called '{reaction.name}' already")
        yield from scope.known(f"{path}.after", "transition", reaction.after, scope.names)
        yield from scope.known(f"{path}.tell", "tool", reaction.tell, scope.tools)
        for at, field in _each(f"{path}.with", reaction.fields):
            yield from scope.known(at, "field", field, scope.declaration.fields)
        if reaction.tell in scope.tools and reaction.tell not in told and scope.whole("flows"):
            yield scope.problem(
                f"{path}.tell", f"'{reaction.tell}' cannot be told: it has no flow of direction out"
            )


def _flows(scope: Scope) -> Problems:
    told: dict[str, int] = {}
    for index, flow in enumerate(scope.declaration.flows):
        path = f"flows[{index}]"
        yield from scope.known(f"{path}.tool", "tool", flow.tool, scope.tools)
        if flow.direction == "out" and told.setdefault(flow.tool, index) != index:
            at = f"flows[{told[flow.tool]}]"
            yield scope.problem(path, f"{at} tells '{flow.tool}' already; one flow does")
        for key, value in (("url", flow.url), ("secret", flow.secret)):
            if value is not None and not re.fullmatch(r"env:[A-Za-z_][A-Za-z0-9_]*", value):
                yield scope.problem(
                    f"{path}.{key}", f"write env:NAME; a {key} does not belong in a definition"
                )
        if flow.direction == "out" and flow.how == "poll":
            yield scope.problem(f"{path}.how", "a poll only hears; tell by webhook, api or manual")
        if flow.how == "poll" and flow.every is None:
            yield scope.problem(path, "a poll needs `every`: a duration, or a five-field cron line")
        if flow.every is not None and not (_DURATION.fullmatch(flow.every) or _is_cron(flow.every)):
            yield scope.problem(
                f"{path}.every", f"'{flow.every}' is neither a duration nor a five-field cron line"
            )
        if flow.rate is not None and not _RATE.fullmatch(flow.rate):
            yield scope.problem(f"{path}.rate", f"'{flow.rate}' is no rate like 10 per second")
        if flow.steward is None:
            yield scope.problem(path, "no steward answers for this flow", warning=True)
        yield from _webhook(scope, path, flow)


def _webhook(scope: Scope, path: str, flow: Flow) -> Problems:
    """Ask for what has to be set: an address to send to, tokens, a secret to sign or verify with.

    Of a connector that could not be read nobody knows what it wants.
    """
    connector, declared = scope.connector(flow.tool), scope.tools.get(flow.tool)
    if flow.how != "webhook" or (declared and declared.connector in scope.faulty):
        return
    if flow.direction == "out" and connector and connector.write:
        if variable := unset(connector.write, scope.environment):
            message = f"{variable} is not set, by which its product is told"
            yield scope.problem(path, message, warning=True)
        return
    if flow.direction == "out":
        yield from _address(scope, path, flow)
    elif connector and connector.fetch:
        for variable in connector.fetch.variables:
            if not scope.environment.get(variable):
                message = f"{variable} is not set, by which its records are fetched"
                yield scope.problem(path, message, warning=True)
    secret = flow.secret or f"env:STATEKEEPER_{flow.tool.upper()}_SECRET"
    if not scope.environment.get(_variable(secret)):
        at = f"{path}.secret" if flow.secret else path
        yield scope.problem(
            at, f"the webhook's secret {_variable(secret)} is not set", warning=True
        )


def _address(scope: Scope, path: str, flow: Flow) -> Problems:
    if flow.url is None:
        yield scope.problem(path, "no url to send to; write url: env:NAME")
    elif not scope.environment.get(_variable(flow.url)):
        yield scope.problem(f"{path}.url", f"{_variable(flow.url)} is not set", warning=True)


_NAMES: Final = (_heading, _tools, kinds, _fields, _words, _hears, _reads, _reactions, _flows)


# Small grammars.

_DURATION: Final = re.compile(r"[1-9][0-9]{0,5} (second|minute|hour|day|week)s?")
_RATE: Final = re.compile(r"[1-9][0-9]{0,5} per (second|minute|hour|day)")
_CRON: Final = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_CRON_NAMES: Final = (
    *((),) * 3,
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    ("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
)


def _is_cron(line: str) -> bool:
    """Minute, hour, day, month, weekday: numbers or names, ranges, lists and steps."""
    parts = line.lower().split()
    return len(parts) == len(_CRON) and all(
        _is_cron_item(item, *bounds, names)
        for part, bounds, names in zip(parts, _CRON, _CRON_NAMES, strict=True)
        for item in part.split(",")
    )


def _is_cron_item(item: str, low: int, high: int, names: Sequence[str]) -> bool:
    number = "|".join(("[0-9]{1,2}", *names))
    found = re.fullmatch(rf"(?:\*|({number})(?:-({number}))?)(?:/([1-9][0-9]?))?", item)
    if found is None:
        return False
    ends = [
        names.index(end) + low if end in names else int(end) for end in found.groups()[:2] if end
    ]
    return all(low <= end <= high for end in ends) and ends == sorted(ends)


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _variable(value: str) -> str:
    return value.removeprefix("env:")


def _each(path: str, value: str | tuple[str, ...]) -> list[tuple[str, str]]:
    """One or several, each with its path."""
    if isinstance(value, str):
        return [(path, value)]
    return [(f"{path}[{index}]", item) for index, item in enumerate(value)]
