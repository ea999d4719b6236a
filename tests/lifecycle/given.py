"""Given what happened, when somebody asks, then this: told over the real decisions.

`given(opened, paid).when(move("schedule"), by="projects").refused(FieldsMissing)`. Nothing is
faked but the clock, which goes on an hour with every ask; what is known of each stream is a
dictionary, where the journal has its memory of the log. After every ask, what was heard and told
has to add up, by the events and by what is known.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct

from lifecycle.asks import Answer, Ask, Request, Settled
from lifecycle.case import Case
from lifecycle.changes import Change, Correct, Erase, Move, Open, SetFields
from lifecycle.checks import Source, check
from lifecycle.definition import read
from lifecycle.events import (
    Asker,
    DriftFound,
    DriftResolved,
    Entry,
    Event,
    NoticeDue,
    NoticeSuperseded,
    ReactionDropped,
    ReactionPlanned,
)
from lifecycle.known import NOTHING, Known
from lifecycle.messages import Message
from lifecycle.mirror import Mirror
from lifecycle.model import Lifecycle
from lifecycle.refusals import Refusal
from lifecycle.settling import settle
from tests.conserving import Sum, fact_of

DEFINITIONS = Path(__file__).parents[2] / "definitions"
MORNING = datetime(2026, 5, 4, 14, 3, 11, 120_000, UTC)
HOUR = timedelta(hours=1)
TOLD = NoticeDue | NoticeSuperseded | ReactionPlanned | ReactionDropped | DriftFound | DriftResolved
STAFF = "staff"
"""Who asks as the steward; every other name is a tool."""


@cache
def shipped() -> dict[str, Lifecycle]:
    """Read every shipped definition, by its name."""
    declared = [
        read(file.read_bytes(), file.name)[0] for file in sorted(DEFINITIONS.glob("*.yaml"))
    ]
    return {one.lifecycle: Lifecycle(one) for one in declared}


def declared(text: str) -> Lifecycle:
    """Declare a lifecycle of the test's own, as sound as a shipped one."""
    source = Source(*read(text.encode(), "test.yaml"))
    wrong = [problem for problem in check([source], {}, {}) if not problem.warning]
    assert not wrong, "\n".join(map(str, wrong))
    return Lifecycle(source.declaration, text)


# --- what is asked ------------------------------------------------------------------------------


def move(transition: str, *, reason: str | None = None, **fields: Any) -> Move:
    """Ask for a transition, with the facts that go with it."""
    return Move(transition=transition, fields=fields, reason=reason)


def tell(*, reason: str | None = None, **fields: Any) -> SetFields:
    """State facts."""
    return SetFields(fields=fields, reason=reason)


def correct(state: str, reason: str | None = "it is so") -> Correct:
    """Put the case somewhere."""
    return Correct(state=state, reason=reason)


def erase(reason: str | None = "asked to") -> Erase:
    """Make the personal values unreadable."""
    return Erase(reason=reason)


def asker(name: str) -> Asker:
    """Let a tool ask, or a member of staff."""
    return Asker(staff="Dispatcher") if name == STAFF else Asker(tool=name)


class Did(Struct, frozen=True):
    """Somebody asked something, and it was done."""

    by: str
    what: Open | Change
    id: str = "C-1"


# --- what happens -------------------------------------------------------------------------------


class Streams(dict[str, Known]):
    """What is known of every stream."""

    def __missing__(self, stream: str) -> Known:
        return NOTHING

    def recall(self, streams: Iterable[str]) -> None:
        """Know nothing more."""


class Given:
    """The cases of some lifecycles, as far as they have come."""

    def __init__(self, *lifecycles: Lifecycle, known: Mapping[str, Known] | None = None) -> None:
        """Begin with nothing; or in the middle, where the events before cannot be summed."""
        self.lifecycles = {one.collection: one for one in lifecycles}
        self.collection = lifecycles[0].collection
        self.streams = Streams(known or {})
        self.entries: list[Entry] = []
        self.sum = Sum() if known is None else None
        self.now = MORNING

    @property
    def lifecycle(self) -> Lifecycle:
        """The lifecycle that is told of."""
        return self.lifecycles[self.collection]

    @property
    def case(self) -> Case:
        """The case as it is, where only one is told of."""
        return self.case_named("C-1")

    def case_named(self, case_id: str) -> Case:
        """Find a case by its id."""
        case = self.streams[f"case:{self.collection}/{case_id}"].state
        assert isinstance(case, Case), case_id
        return case

    def also(self, *history: Did) -> "Given":
        """Let more have happened."""
        for did in history:
            self.when(did.what, by=did.by, id=did.id).done()
        return self

    def when(
        self,
        what: Any,
        by: str = STAFF,
        *,
        id: str = "C-1",  # noqa: A002 - what a case's name is called
        collection: str | None = None,
        key: str | None = None,
        content: str = "",
        asker_is: Asker | None = None,
        versions: tuple[int, ...] | None = None,
        quiet: bool = False,
    ) -> "Then":
        """Settle one more ask, an hour later, and keep what it causes."""
        self.now += HOUR
        ask = Ask(
            asker=asker_is or asker(by),
            collection=collection or self.collection,
            id=id,
            what=what,
            request=Request(key, content or repr(what)) if key else None,
            versions=versions,
            quiet=quiet,
        )
        try:
            settled = settle(ask, self.streams, self.lifecycles, self.now)
        except Refusal as refusal:
            settled = Settled(refusal)
        self.keep(settled.entries, settled.known)
        return Then(self, settled)

    def keep(self, entries: Sequence[Entry], known: Mapping[str, Known]) -> None:
        """Take in what was caused, all of which has to add up."""
        self.entries += entries
        self.streams.update(known)
        if self.sum is None:
            return
        for entry in entries:
            self.sum.take(fact_of(entry))
        self.sum.conserved()
        for stream in {entry.stream for entry in entries}:
            self._agrees(stream, self.sum)

    def _agrees(self, stream: str, log: Sum) -> None:
        """Assert that what is known of a stream is what the events add up to."""
        match self.streams[stream].state:
            case Message() as message:
                outcome = log.outcomes[stream.removeprefix("message:")]
                assert (message.outcome, message.why) == outcome
            case Mirror() as mirror:
                tool = stream.rpartition("/")[2]
                for notices, state in ((mirror.due, "waiting"), (mirror.given_up, "given-up")):
                    assert {log.notices[tool, one] for one in notices} <= {state}
                assert self._waiting(tool) == log.told[tool, "waiting"]

    def _waiting(self, tool: str) -> int:
        """How many notices wait for a tool, by what is known of its mirrors."""
        mirrors = (known.state for name, known in self.streams.items() if name.endswith(f"/{tool}"))
        return sum(len(one.due) for one in mirrors if isinstance(one, Mirror))


class Then:
    """What became of an ask."""

    def __init__(self, given: Given, settled: Settled) -> None:
        self.given = given
        self.entries = settled.entries
        self.outcome = settled.answer

    def __iter__(self) -> Iterator[Any]:
        """Give the events of the case itself."""
        return iter(entry.event for entry in self.entries if entry.stream.startswith("case:"))

    @property
    def caused(self) -> list[Event]:
        """All that it caused, but what the tools are due by it, and where they differ."""
        return [one.event for one in self.entries if not isinstance(one.event, TOLD)]

    @property
    def due(self) -> list[NoticeDue]:
        """What the tools are due by it."""
        return [one.event for one in self.entries if isinstance(one.event, NoticeDue)]

    @property
    def answer(self) -> Answer:
        """The answer; raises what refused it."""
        self.done()
        assert isinstance(self.outcome, Answer)
        return self.outcome

    @property
    def case(self) -> Case:
        """The case after everything that the ask caused."""
        return self.answer.case

    def done(self) -> Given:
        """Check that it was not refused."""
        if isinstance(self.outcome, Refusal):
            raise self.outcome
        return self.given

    def then(self, *kinds: type[Event], **members: object) -> Any:
        """Check which events of the case it caused, and what the last of them says."""
        self.done()
        assert tuple(type(event) for event in self) == kinds
        event = (*self, None)[-2] if kinds else None
        said = {name: getattr(event, name) for name in members}
        assert said == members
        return event

    def refused(self, kind: type[Refusal], *words: str) -> Refusal:
        """Check the refusal and some words of it; the case stands as it stood."""
        assert isinstance(self.outcome, Refusal), self.outcome
        assert type(self.outcome) is kind, self.outcome.detail
        assert all(word in self.outcome.detail for word in words), self.outcome.detail
        assert not list(self)
        return self.outcome


def given(*history: Did, lifecycle: Lifecycle | None = None) -> Given:
    """Let this have happened, by default to a field-service job."""
    return Given(lifecycle or shipped()["field_service"]).also(*history)


# --- a field-service job ------------------------------------------------------------------------

opened = Did("crm", Open(fields={"customer_name": "A. Customer", "email": "a@example.com"}))
deposit_due = Did("accounting", tell(deposit_due="500.00 USD"))
deposit_paid = Did("accounting", tell(deposit_paid="500.00 USD"))
scheduled = Did("projects", move("schedule", scheduled_for="2026-05-11"))
completed = Did("projects", move("complete"))
invoiced = Did("accounting", move("invoice", invoice_no="INV-7"))

CONFIRMED = (opened, deposit_due, deposit_paid)
"""Up to the deposit, which moves the job by itself."""
