"""Laws of every lifecycle: held on random walks over shipped definitions and random charts."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.case import Case
from lifecycle.changes import Move, Open, TakeReference
from lifecycle.declaration import Declaration
from lifecycle.events import Entry
from lifecycle.known import NOTHING, Known, learn
from lifecycle.mapper import EntryMapper
from lifecycle.model import Lifecycle
from lifecycle.moves import open_transitions
from lifecycle.refusals import Refusal, TransitionNotOpen, UnknownTransition
from lifecycle.vault import Vault
from tests.lifecycle.charts import declarations
from tests.lifecycle.given import STAFF, Given, correct, erase, move, shipped, tell

STEPS_MAX = 12
SAMPLES: dict[str, list[Any]] = {
    "text": ["A", "B", None],
    "number": [0, 1, 3, None],
    "money": ["1.00 USD", "5.00 USD", "5.00 EUR", None],
    "date": ["2026-05-11", "2026-06-30"],
    "datetime": ["2026-05-11T09:30:00Z"],
    "email": ["a@example.com", None],
    "phone": ["+12025550143"],
    "address": [{"city": "Springfield"}, None],
    "boolean": [True, False],
    "case": [None],
}


class Walk:
    """One case on its way, every step drawn."""

    def __init__(self, lifecycle: Lifecycle, data: st.DataObject) -> None:
        self.lifecycle = lifecycle
        self.data = data
        self.story = Given(lifecycle)
        self.story.when(Open(reason="to begin")).done()

    @property
    def case(self) -> Case:
        """Where it is."""
        return self.story.case

    def some(self, of: Any) -> Any:
        """Draw one."""
        return self.data.draw(st.sampled_from(sorted(of, key=str)))

    def values(self, *names: str) -> dict[str, Any]:
        """Draw a value for each of these fields."""
        return {name: self.some(self.samples(name)) for name in names}

    def samples(self, name: str) -> list[Any]:
        """Some values that a field may take."""
        field = self.lifecycle.fields[name]
        return [*field.choices] if field.type == "choice" else SAMPLES[field.type]

    def step(self) -> None:
        """Ask something; it may be refused."""
        tools = list(self.lifecycle.declaration.tools)
        kind = self.some(["open"] * 4 + ["move", "tell", "tell", "refer", "erase", "correct"])
        opened = {one.name: one.by for one in open_transitions(self.case, self.lifecycle)}
        if kind == "open" and opened:
            name = self.some(opened)
            self.ask(self.moving(name), [*opened[name], STAFF])
        elif kind == "move" and self.lifecycle.transitions:
            self.ask(self.moving(self.some(self.lifecycle.transitions)), [*tools, STAFF])
        elif kind == "tell" and self.lifecycle.fields:
            ask = tell(reason="a step", **self.values(self.some(self.lifecycle.fields)))
            self.ask(ask, [*tools, STAFF])
        elif kind == "refer":
            ref = TakeReference(tool=self.some(tools), ref=self.some("123"), reason="a step")
            self.ask(ref, tools)
        elif kind == "erase":
            self.ask(erase(), [STAFF])
        elif kind == "correct":
            self.ask(correct(self.some(self.lifecycle.chart.places)), [STAFF])

    def moving(self, name: str) -> Move:
        """Ask for a transition, with all that it may require."""
        rows = [row for row in self.lifecycle.chart.rows if row.name == name]
        needed = {field for row in rows for field in row.requires}
        return move(name, reason="a step", **self.values(*sorted(needed)))

    def ask(self, what: Any, askers: list[str]) -> None:
        """Let one of these ask."""
        self.story.when(what, by=self.some(askers))


def replayed(entries: list[Entry]) -> dict[str, Known]:
    """Store all entries, read them back, and learn every stream from nothing."""
    mapper = EntryMapper(Vault(bytes(32), lambda _: {}))
    streams: dict[str, Known] = {}
    for entry in entries:
        read = mapper.to_domain_event(mapper.to_stored_event(entry))
        streams[read.stream] = learn(streams.get(read.stream, NOTHING), read)
    return streams


def walk_and_replay(lifecycle: Lifecycle, data: st.DataObject) -> None:
    walk = Walk(lifecycle, data)
    for _ in range(data.draw(st.integers(0, STEPS_MAX))):
        walk.step()
    case = replayed(walk.story.entries)[f"case:{lifecycle.collection}/C-1"].state
    assert case == walk.case


def walk_and_try(lifecycle: Lifecycle, data: st.DataObject) -> None:
    walk = Walk(lifecycle, data)
    for _ in range(data.draw(st.integers(0, STEPS_MAX))):
        walk.step()
        makers = {
            one.name: one.by if one.blocked is None else ()
            for one in open_transitions(walk.case, lifecycle)
        }
        for name in lifecycle.transitions:
            for tool in lifecycle.declaration.tools:
                accepted = would_be_accepted(walk, name, tool)
                assert accepted == (tool in makers.get(name, ())), (name, tool)


def would_be_accepted(walk: Walk, name: str, tool: str) -> bool:
    """Ask on a copy of the case, without further facts."""
    copy = Given(walk.lifecycle, known=walk.story.streams)
    return not isinstance(copy.when(move(name), by=tool).outcome, Refusal)


@pytest.mark.parametrize("name", sorted(shipped()))
class TestShipped:
    @settings(max_examples=40, deadline=None)
    @given(data=st.data())
    def test_replay_gives_the_same_case(self, name: str, data: st.DataObject) -> None:
        """What was recorded, read back from the log, makes the case that was decided."""
        walk_and_replay(shipped()[name], data)

    @settings(max_examples=25, deadline=None)
    @given(data=st.data())
    def test_what_is_listed_as_open_is_accepted(self, name: str, data: st.DataObject) -> None:
        """A transition is listed as open and unblocked exactly when its maker's ask is taken."""
        walk_and_try(shipped()[name], data)


@settings(max_examples=40, deadline=None)
@given(declarations(), st.data())
def test_replay_gives_the_same_case_in_any_lifecycle(
    declaration: Declaration, data: st.DataObject
) -> None:
    """Whatever is declared, what was recorded makes the case that was decided."""
    walk_and_replay(Lifecycle(declaration), data)


@settings(max_examples=40, deadline=None)
@given(declarations(), st.data())
def test_what_is_listed_as_open_is_accepted_in_any_lifecycle(
    declaration: Declaration, data: st.DataObject
) -> None:
    """Whatever is declared, the list of what is open is the truth."""
    walk_and_try(Lifecycle(declaration), data)


@settings(max_examples=40, deadline=None)
@given(declarations(), st.data())
def test_without_a_transition_old_cases_can_still_be_read(
    declaration: Declaration, data: st.DataObject
) -> None:
    """History needs no definition: a transition that was made and is no more is still told."""
    walk = Walk(Lifecycle(declaration), data)
    for _ in range(STEPS_MAX):
        walk.step()
    case = walk.case
    without = Lifecycle(msgspec.structs.replace(declaration, transitions=()))
    later = Given(without, known=replayed(walk.story.entries))
    assert later.case == case
    assert open_transitions(later.case, later.lifecycle) == []
    for name in walk.lifecycle.transitions:
        outcome = later.when(move(name), by="desk").outcome
        assert isinstance(outcome, UnknownTransition)


def test_a_transition_that_was_made_may_be_gone() -> None:
    """A job scheduled under the old definition is completed under one without `schedule`."""
    old = shipped()["field_service"]
    story = Given(old)
    story.when(Open(), by="crm").done()
    story.when(correct("deposit_confirmed")).done()
    story.when(move("schedule", scheduled_for="2026-05-11"), by="projects").done()
    rows = tuple(row for row in old.chart.rows if row.name != "schedule")
    without = Lifecycle(msgspec.structs.replace(old.declaration, transitions=rows))
    new = Given(without, known=replayed(story.entries))
    assert new.case == story.case
    assert new.when(move("complete"), by="projects").case.state == "completed"
    new.when(move("cancel"), by="crm").refused(TransitionNotOpen)
