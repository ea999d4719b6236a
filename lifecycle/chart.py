"""The declared states as a python-statemachine chart; what a transition leads to.

The library decides: a declaration is compiled into its native form and read by its own restricted
loader. It costs some tenths of a millisecond a decision, so the chart remembers. What it decides
is a pure function of (configuration, transition, verdicts of the conditions that stand on it), and
each such combination is run through the library once. That is why conditions are judged outside
the chart (`Guard`) and the chart is run on their verdicts, named `g0`, `g1` … by row.

Ids are prefixed inside the library (`s_` states, `t_` transitions), whose own attribute names they
could otherwise take.
"""

import ast
import re
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from statemachine import StateChart
from statemachine.exceptions import InvalidDefinition, TransitionNotAllowed
from statemachine.io import load
from statemachine.io.evaluators import evaluator_for
from statemachine.orderedset import OrderedSet

from lifecycle.declaration import Declaration, Place, State, Transition, walk

Configuration = tuple[str, ...]
"""The active leaves, in the order of the definition."""

REMEMBERED_MAX = 20_000
"""Decisions kept per chart; the oldest goes first."""

JUDGED_MAX = 1000
"""Verdicts kept per condition: the values they hang on may be long texts."""

MACHINES_MAX = 32
"""Charts kept as the library has read them: what is checked is then used."""

K = TypeVar("K")
V = TypeVar("V")

RESERVED_FIELDS = frozenset(
    {"event", "machine", "model", "source", "state", "target", "transition", "event_data"}
)
"""Names that the library keeps for itself inside conditions."""


ALLOWED = (
    *(ast.Expression, ast.BoolOp, ast.boolop, ast.Compare, ast.UnaryOp, ast.Not, ast.USub),
    *(ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE),
    *(ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div),
    *(ast.Name, ast.Load, ast.Constant, ast.Call),
)
"""What a condition may be made of."""


class BadCondition(ValueError):
    """A condition that the restricted language does not take."""


class TooManyConfigurations(ValueError):
    """More configurations are reachable than anybody could map words for."""


class Verdict(Struct, frozen=True):
    """What a condition said, and why where it could not be judged."""

    holds: bool
    why: str | None = None


class Lead(Struct, frozen=True):
    """What a transition leads to."""

    row: int
    """Which of the declared transitions was taken."""
    configuration: Configuration


class Guard:
    """One condition, compiled once by the library's restricted evaluator.

    Literals are taken out of the text first: numbers become exact decimals, and words inside
    quotes reach the comparison as they were written.
    """

    def __init__(self, text: str) -> None:
        """Compile, or raise `BadCondition`."""
        self.text = text.strip()
        lifter = _Lifter(self.text)
        try:
            lifted = lifter.visit(ast.parse(self.text, mode="eval"))
            self._judge = evaluator_for().compile_bool(ast.unparse(lifted))
        except (SyntaxError, ValueError, RecursionError, MemoryError, InvalidDefinition) as exc:
            raise BadCondition(str(exc).split("Pass trusted")[0].strip()) from exc
        self.fields = tuple(lifter.fields)
        """The fields it names, in the order of reading."""
        self.states = tuple(lifter.states)
        """The states it asks about with `In('…')`."""
        self._literals = lifter.literals
        self._remembered: dict[tuple[object, ...], Verdict] = {}

    def judge(self, values: Mapping[str, Any], active: "Active") -> Verdict:
        """Does it hold for these values, in these states? Every named field must be there.

        `values` are comparable ones (`comparable`); what cannot be compared, such as two
        currencies, does not hold, and the verdict says why.
        """
        key = (*(values[name] for name in self.fields), active.ids if self.states else None)
        try:
            return self._remembered[key]
        except KeyError:
            verdict = self._judge_anew(values, active)
        except TypeError:  # a value without a hash, an address say, is judged every time
            return self._judge_anew(values, active)
        if len(self._remembered) >= JUDGED_MAX:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[key] = verdict
        return verdict

    def _judge_anew(self, values: Mapping[str, Any], active: "Active") -> Verdict:
        named = {name: values[name] for name in self.fields}
        try:
            return Verdict(bool(self._judge(machine=active, **named, **self._literals)))
        except (TypeError, ValueError, ArithmeticError) as exc:
            return Verdict(holds=False, why=str(exc))


class _Lifter(ast.NodeTransformer):
    """Takes the literals out of a condition, and notes what it names."""

    def __init__(self, text: str) -> None:
        self.fields: dict[str, None] = {}
        self.states: list[str] = []
        self.literals: dict[str, object] = {}
        self._text = text

    def visit(self, node: ast.AST) -> Any:
        if not isinstance(node, ALLOWED):
            raise BadCondition(f"{type(node).__name__} is not allowed in a condition")
        return super().visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        match node:
            case ast.Call(ast.Name("In"), [ast.Constant(str(name))], []):
                self.states.append(name)
                return ast.Call(node.func, [ast.Constant(f"s_{name}")], [])
        called = ast.unparse(node)
        raise BadCondition(
            f"only In('state') can be called, and In takes one state in quotes: not {called}"
        )

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return self._literal(_exact(node, self._text))

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in {"true", "false"}:
            return self._literal(node.id == "true")
        self.fields[node.id] = None
        return node

    def _literal(self, value: object) -> ast.AST:
        name = f"LITERAL{len(self.literals)}"  # no field's id has capitals
        self.literals[name] = value
        return ast.Name(name, ast.Load())


def _exact(node: ast.Constant, text: str) -> object:
    """The literal as it was written: `0.1` is a tenth, not the nearest float."""
    if isinstance(node.value, bool | str):
        return node.value
    if isinstance(node.value, int | float):
        written = ast.get_source_segment(text, node) or repr(node.value)
        try:
            return Decimal(written)
        except ArithmeticError as exc:
            raise BadCondition(f"{written} is no decimal number") from exc
    raise BadCondition(f"{ast.unparse(node)} is no number, text, true or false")


class Active(Struct, frozen=True):
    """The active states, ancestors included, as the library's `In()` wants to see them."""

    ids: frozenset[str]
    configuration: tuple["_Named", ...]
    model: None = None


class _Named(Struct, frozen=True):
    id: str


class Chart:
    """The states of one declaration, and where its transitions lead."""

    def __init__(self, declaration: Declaration) -> None:
        """Compile the declaration; names in it must resolve (`checks` sees to that)."""
        self.rows: tuple[Transition, ...] = declaration.transitions
        self.places: dict[str, Place] = {place.id: place for place in walk(declaration.states)}
        self.leaves = tuple(name for name, place in self.places.items() if not place.state.states)
        self.guards: dict[int, Guard] = {
            index: Guard(row.when) for index, row in enumerate(self.rows) if row.when is not None
        }
        self._machine = _compile(declaration)
        self._remembered: dict[tuple[Configuration, str, tuple[bool, ...]], Lead | None] = {}
        self._active: dict[Configuration, Active] = {}
        self._open: dict[Configuration, tuple[int, ...]] = {}
        self._beyond: dict[Configuration, dict[str, int]] = {}
        self.initial: Configuration = self.settle(self._machine(_Model(None)))

    def active(self, configuration: Configuration) -> Active:
        """The active leaves with their ancestors.

        A case that ended under an earlier version may stand at a leaf that is no more: out of it
        nothing leads.
        """
        if configuration not in self._active:
            standing = [self.places[leaf] for leaf in configuration if leaf in self.places]
            found = {name for place in standing for name in (place.id, *place.above)}
            named = tuple(_Named(f"s_{name}") for name in found)
            _keep(self._active, configuration, Active(frozenset(found), named))
        return self._active[configuration]

    def open_rows(self, configuration: Configuration) -> tuple[int, ...]:
        """The declared transitions that lead out of here: innermost source first, then file order.

        Conditions are not looked at.
        """
        if configuration not in self._open:
            active = self.active(configuration).ids
            ranked = sorted(
                (-max(len(self.places[name].above) for name in sources), index)
                for index, row in enumerate(self.rows)
                if (sources := active.intersection(row.sources))
            )
            _keep(self._open, configuration, tuple(index for _, index in ranked))
        return self._open[configuration]

    def lead(
        self, configuration: Configuration, name: str, verdicts: Mapping[int, bool]
    ) -> Lead | None:
        """Where the transition of this name leads, given which conditions hold; None: nowhere.

        `verdicts` by row, for the open rows of that name that have a condition.
        """
        key = (configuration, name, tuple(verdicts.values()))
        try:
            return self._remembered[key]
        except KeyError:
            lead = self.lead_anew(configuration, name, verdicts)
            _keep(self._remembered, key, lead)
            return lead

    def lead_anew(
        self, configuration: Configuration, name: str, verdicts: Mapping[int, bool]
    ) -> Lead | None:
        """The same, asked of the library."""
        machine = self._machine(_Model(self._restored(configuration)))
        taken = _Taken()
        machine.add_listener(taken)  # type: ignore[no-untyped-call]  # the library has no types there
        conditions: dict[str, Any] = {f"g{row}": verdicts.get(row, False) for row in self.guards}
        try:
            machine.send(f"t_{name}", **conditions)
        except TransitionNotAllowed:
            return None
        row = self._row_of(taken, name, verdicts)
        return Lead(row, self.settle(machine))

    def settle(self, machine: StateChart[Any]) -> Configuration:
        """The configuration a machine of the library rests in."""
        values = {str(value).removeprefix("s_") for value in machine.configuration_values}
        return tuple(leaf for leaf in self.leaves if leaf in values)

    def ordered(self, states: Collection[str]) -> Configuration:
        """These leaves in the order of the definition."""
        return tuple(leaf for leaf in self.leaves if leaf in states)

    def entered(self, state: str) -> Configuration:
        """The configuration of a case that is put into this state from outside.

        Other regions of a parallel ancestor stand at their initial state.
        """
        wanted = {state, *self.places[state].above}
        return self.ordered(set(self._enter(self._roots(), wanted)))

    def carried(self, states: Configuration) -> Configuration | None:
        """Where a case with these leaves stands in this chart: new regions at their beginning.

        None where it cannot stand here.
        """
        if not set(states) <= set(self.leaves):
            return None
        wanted = {name for leaf in states for name in (leaf, *self.places[leaf].above)}
        entered = self.ordered(set(self._enter(self._roots(), wanted)))
        return entered if set(states) <= set(entered) else None

    def _roots(self) -> dict[str, State]:
        return {place.id: place.state for place in self.places.values() if not place.above}

    def _enter(self, states: Mapping[str, State], wanted: Collection[str]) -> Iterator[str]:
        chosen = next((name for name in states if name in wanted), None) or first_of(states)
        state = states[chosen]
        if not state.states:
            yield chosen
        elif state.parallel:
            for name, region in state.states.items():
                yield from self._enter({name: region}, wanted)
        else:
            yield from self._enter(state.states, wanted)

    def reachable(self, limit: int = 5000) -> tuple[Configuration, ...]:
        """Every configuration that some transitions lead to, whatever their conditions say.

        Raises `TooManyConfigurations`, naming the regions that multiply.
        """
        found: dict[Configuration, None] = {self.initial: None}
        waiting = [self.initial]
        while waiting:
            configuration = waiting.pop()
            for target in self._next(configuration):
                if target not in found:
                    found[target] = None
                    waiting.append(target)
            if len(found) > limit:
                raise TooManyConfigurations(self._regions())
        return tuple(found)

    def _next(self, configuration: Configuration) -> Iterator[Configuration]:
        rows = self.open_rows(configuration)
        for index in rows:
            name = self.rows[index].name
            verdicts = {
                row: row == index
                for row in rows
                if row in self.guards and self.rows[row].name == name
            }
            if lead := self.lead(configuration, name, verdicts):
                yield lead.configuration

    def beyond(self, configuration: Configuration) -> Mapping[str, int]:
        """The states that may still be entered from here, and in how many transitions at least.

        Conditions are not looked at, nor that regions may wait for each other: it errs on the side
        of what may come.
        """
        if configuration not in self._beyond:
            found: dict[str, int] = {}
            standing, steps = set(self.active(configuration).ids), 0
            waiting = {(source, row.to) for row in self.rows for source in row.sources}
            while taken := {move for move in waiting if move[0] in standing}:
                steps += 1
                waiting -= taken
                entering = {state for move in taken for state in self._entering(*move)}
                found = {**dict.fromkeys(entering, steps), **found}
                standing |= entering
            _keep(self._beyond, configuration, found)
        return self._beyond[configuration]

    def _entering(self, source: str, to: str) -> Iterator[str]:
        """The states that a transition enters: all below what source and target have in common.

        That is a state of which one child is active at a time (SCXML 3.13); in regions around it
        nothing changes.
        """
        above = self.places[to].above
        common = [state for state in self.places[source].above if state in above]
        while common and self.places[common[-1]].state.parallel:
            common.pop()
        for state in self.active(self.entered(to)).ids:
            path = (*self.places[state].above, state)
            if path[: len(common)] == tuple(common) and len(path) > len(common):
                yield state

    def _regions(self) -> str:
        return ", ".join(
            name
            for name, place in self.places.items()
            if place.above and self.places[place.above[-1]].state.parallel
        )

    @cached_property
    def configurations(self) -> frozenset[Configuration]:
        """All of them."""
        return frozenset(self.reachable())

    def is_whole(self, configuration: Configuration) -> bool:
        """Is it one leaf of each region that its states have, and nothing else?"""
        if not set(configuration) <= set(self.leaves):
            return False
        active = self.active(configuration).ids
        return self.ordered(set(self._enter(self._roots(), active))) == configuration

    def ended(self, configuration: Configuration) -> bool:
        """Is nothing more to come: is every active leaf final, or below a final state?"""
        standing = [self.places[leaf] for leaf in configuration if leaf in self.places]
        return all(
            any(self.places[name].state.final for name in (place.id, *place.above))
            for place in standing
        )

    def mermaid(self) -> str:
        """The diagram, as the library writes it, under the declared names."""
        text = f"{self._machine:mermaid}"
        text = re.sub(r'state "S [^"]*" as s_(\w+)', self._drawn_state, text)
        drawn: set[tuple[str, ...]] = set()
        lines = (self._drawn_arrow(line, drawn) for line in text.splitlines())
        return re.sub(r"\bs_(\w+)", r"\1", "\n".join(filter(None, lines))) + "\n"

    def _drawn_state(self, found: re.Match[str]) -> str:
        title = (self.places[found[1]].state.title or found[1]).replace('"', "#quot;")
        return f'state "{title}" as s_{found[1]}'

    def _drawn_arrow(self, line: str, drawn: set[tuple[str, ...]]) -> str:
        """The line with the declared name; one for each row where rows differ by condition only."""
        arrow = re.fullmatch(r"( *)s_(\w+) --> s_(\w+) : T (.+?)( \[g\d+\])?", line)
        if arrow is None:
            return line
        indent, source, target, spaced = arrow.groups()[:4]
        name = spaced.replace(" ", "_")
        if (source, target, name) in drawn:
            return ""
        drawn.add((source, target, name))
        return "\n".join(
            f"{indent}s_{source} --> s_{target} : {name}" + (f" [{row.when}]" if row.when else "")
            for row in self.rows
            if row.name == name
            and any(self._draws(source, declared) for declared in row.sources)
            and self._draws(target, row.to)
        )

    def _draws(self, end: str, declared: str) -> bool:
        """An arrow to or from a compound state may be drawn to a state inside of it."""
        return declared == end or declared in self.places[end].above

    def _restored(self, configuration: Configuration) -> "OrderedSet[str] | str":
        """The stored form of a configuration: every active state, ancestors before children."""
        active = self.active(configuration).ids
        names = [f"s_{name}" for name in self.places if name in active]
        return names[0] if len(names) == 1 else OrderedSet(names)

    def _row_of(self, taken: "_Taken", name: str, verdicts: Mapping[int, bool]) -> int:
        assert len(taken.transitions) == 1, f"{name!r} fired in several regions"
        source = str(taken.transitions[0].source.id).removeprefix("s_")
        target = str(taken.transitions[0].target.id).removeprefix("s_")
        for index, row in enumerate(self.rows):
            if (
                row.name == name
                and source in row.sources
                and target == row.to
                and verdicts.get(index, index not in self.guards)
            ):
                return index
        raise AssertionError(f"the library took {source!r} to {target!r}, which nobody declared")


def first_of(states: Mapping[str, State]) -> str:
    """The initial one of sibling states: the marked one, else the first."""
    return next((name for name, state in states.items() if state.initial), next(iter(states)))


class _Model:
    """Where the library finds and leaves the stored state."""

    def __init__(self, state: "OrderedSet[str] | str | None") -> None:
        self.state = state


class _Taken:
    """Listens for the transition that the library takes."""

    def __init__(self) -> None:
        self.transitions: list[Any] = []

    def after_transition(self, transition: Any) -> None:
        if not transition.initial:
            self.transitions.append(transition)


def _compile(declaration: Declaration) -> type[StateChart[Any]]:
    rows: dict[str, list[dict[str, str]]] = {}
    for index, row in enumerate(declaration.transitions):
        native = {"event": f"t_{row.name}", "target": f"s_{row.to}"}
        if row.when is not None:
            native["cond"] = f"g{index}"
        for source in row.sources:
            rows.setdefault(source, []).append(native)
    states = {
        f"s_{name}": _native(name, state, rows, initial=name == first_of(declaration.states))
        for name, state in declaration.states.items()
    }
    return _read(msgspec.json.encode({"name": declaration.lifecycle, "states": states}).decode())


@lru_cache(maxsize=MACHINES_MAX)
def _read(native: str) -> type[StateChart[Any]]:
    """Have the library read a chart: as JSON, in a tenth of the time that YAML takes."""
    # What ends a line is no file's name.
    machine: type[StateChart[Any]] = load(native + "\n", format="json")
    machine.allow_event_without_transition = False
    machine.catch_errors_as_events = False
    return machine


def _native(
    name: str, state: State, rows: Mapping[str, list[dict[str, str]]], *, initial: bool
) -> dict[str, object]:
    native: dict[str, object] = {"initial": initial}
    if state.final and not state.states:
        native["final"] = True
    if state.parallel:
        native["parallel"] = True
    if rows.get(name):
        native["transitions"] = [dict(row) for row in rows[name]]
    if state.states:
        first = None if state.parallel else first_of(state.states)
        native["states"] = {
            f"s_{child}": _native(child, inner, rows, initial=child == first)
            for child, inner in state.states.items()
        }
    return native


def _keep(memory: dict[K, V], key: K, value: V) -> None:
    if len(memory) >= REMEMBERED_MAX:
        del memory[next(iter(memory))]
    memory[key] = value
