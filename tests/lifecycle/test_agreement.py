"""Tools that hold their own state come to agree: four of them, played with at random.

Each fake tool has users who move things, rightly and wrongly, repeats what it is told, and is heard
late, twice, out of order, or not at all. What counts in the end is what each tool holds itself, not
what is written here about it.
"""

from collections import deque
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from lifecycle.asks import Causing, Taken
from lifecycle.changes import Open
from lifecycle.drift import after_telling
from lifecycle.events import Asker, NoticeDelivered, NoticeDue, TransitionMade
from lifecycle.messages import Hear
from lifecycle.mirror import SILENT, Mirror
from lifecycle.model import Lifecycle
from lifecycle.reports import OUTCOMES, Report
from tests.lifecycle.given import HOUR, Given, declared

ROUNDS_MAX = 20
"""After so many rounds of telling and hearing back it has to be quiet."""


@cache
def job() -> Lifecycle:
    """A job on which four tools have a say, each about what is its own."""
    return declared(
        """
lifecycle: job
version: 1
title: Job
collection: jobs
tools:
  sales:   {title: Sales, record_for: [deal], drift: tell}
  signing: {title: Signing, record_for: [contract], drift: tell}
  crew:    {title: Crew, record_for: [work], drift: tell}
  books:   {title: Books, record_for: [money], drift: tell}
states:
  offered: {owner: deal, initial: true}
  signed:  {owner: contract}
  planned: {owner: work}
  done:    {owner: work}
  paid:    {owner: money, final: true}
  lost:    {owner: deal, final: true}
transitions:
  - {name: sign, from: offered, to: signed}
  - {name: plan, from: signed, to: planned}
  - {name: unplan, from: planned, to: signed, by: work}
  - {name: finish, from: planned, to: done}
  - {name: pay, from: done, to: paid}
  - {name: lose, from: [offered, signed, planned], to: lost}
words:
  sales:   {stage: {offered: Offer, signed: Won, planned: In work, done: In work, paid: Closed,
                    lost: Lost}}
  signing: {state: {offered: sent, signed: completed, planned: completed, done: completed,
                    paid: completed, lost: voided}}
  crew:    {status: {offered: new, signed: to_plan, planned: [on, today], done: ready, paid: gone,
                     lost: dropped}}
  books:   {stage: {offered: A, signed: B, planned: C, done: D, paid: E, lost: F}}
flows:
  - {tool: sales, direction: out, how: manual, steward: a@example.com}
  - {tool: signing, direction: out, how: manual, steward: a@example.com}
  - {tool: crew, direction: out, how: manual, steward: a@example.com}
  - {tool: books, direction: out, how: manual, steward: a@example.com}
"""
    )


FIELDS = {"sales": "stage", "signing": "state", "crew": "status", "books": "stage"}


class Tool:
    """A tool as its users have it: one field, and what is on its way to us."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.word: str | None = None
        self.seen: set[str] = set()
        self.told: list[tuple[str, datetime]] = []
        self.outbox: deque[tuple[str, datetime, str]] = deque()

    def change(self, word: str, at: datetime, event: str) -> None:
        """Somebody, or a notice, sets the field; the product will say so."""
        if word != self.word:
            self.word = word
            self.outbox.append((word, at, event))


class Firm:
    """The four tools around one job."""

    def __init__(self) -> None:
        self.story = Given(job())
        self.tools = {name: Tool(name) for name in FIELDS}
        self.counted = 0
        self.heard: list[str] = []
        self.story.when(Open(), by="sales").done()

    def mirror(self, tool: str) -> Mirror:
        """What is written about a tool."""
        found = self.story.streams[f"mirror:jobs/C-1/{tool}"].state
        return found if isinstance(found, Mirror) else SILENT

    def user(self, tool: str, word: str) -> None:
        """Somebody sets a tool's field, for good reasons or for none."""
        self.counted += 1
        self.tools[tool].change(word, self.story.now, f"e{self.counted}")

    def say(self, tool: str, place: int, *, twice: bool = False) -> None:
        """One of the messages on their way arrives, perhaps twice."""
        outbox = self.tools[tool].outbox
        if not outbox:
            return
        word, at, event = outbox[place % len(outbox)]
        if not twice:
            del outbox[place % len(outbox)]
        self.hear(tool, word, at, event)

    def lose(self, tool: str) -> None:
        """A message never arrives."""
        if self.tools[tool].outbox:
            self.tools[tool].outbox.popleft()

    def hear(self, tool: str, word: str, at: datetime, event: str) -> None:
        """Take in what a tool says, a minute after what was before."""
        self.story.now += timedelta(minutes=1) - HOUR
        field = FIELDS[tool]
        report = Report(tool=tool, status_field=field, word=word, event_id=event, occurred_at=at)
        what = Hear(report=report, arrival=event, new_id="none")
        then = self.story.when(what, by=tool)
        then.done()
        assert isinstance(then.outcome, Taken)
        self.heard.append(then.outcome.name)
        if then.outcome.name == "echo":  # no true change: it is what was told last, or since
            told = self.tools[tool].told
            before = [one for one, when in told if when <= at][-1:]
            assert word in {*before, *(one for one, when in told if when > at)}

    def tell(self, tool: str, *, lost_answer: bool = False) -> None:
        """The oldest notice that a tool is due reaches it; its answer may be lost."""
        mirror = self.mirror(tool)
        if not mirror.due:
            return
        notice, due = next(iter(mirror.due.items()))
        fake = self.tools[tool]
        if notice not in fake.seen:  # the same id again changes nothing there
            fake.seen.add(notice)
            self.counted += 1
            fake.change(due.word, self.story.now, f"e{self.counted}")
            fake.told.append((due.word, self.story.now))
        if not lost_answer:
            self._record(tool, notice)

    def _record(self, tool: str, notice: str) -> None:
        mirror, story = self.mirror(tool), self.story
        due = mirror.due[notice]
        story.now += timedelta(seconds=1)  # its answer takes a moment to reach us
        delivered = NoticeDelivered(
            recorded_at=story.now,
            by=Asker(),
            id=notice,
            case="jobs/C-1",
            tool=tool,
            type=due.type,
            status_field=due.status_field,
            word=due.word,
            attempts=1,
        )
        causing = Causing(story.streams)
        stream = f"mirror:jobs/C-1/{tool}"
        causing.add(stream, delivered)
        for event in after_telling(delivered, mirror, story.now):
            causing.add(stream, event)
        story.entries += causing.entries
        story.streams.update(causing.known)

    def quiet(self) -> bool:
        """Let everything arrive, and every tool say what it holds, until nothing is due.

        Answers whether that came to an end.
        """
        for _ in range(ROUNDS_MAX):
            for tool, fake in self.tools.items():
                while fake.outbox:
                    self.say(tool, 0)
                while self.mirror(tool).due:
                    self.tell(tool)
                if fake.word is not None:  # as a poll would find it
                    self.counted += 1
                    self.hear(tool, fake.word, self.story.now, f"e{self.counted}")
            if not any(self.mirror(one).due or fake.outbox for one, fake in self.tools.items()):
                return True
        return False


WORDS = {
    tool: sorted(
        {word for words in job().vocabulary.named[tool, field].entries.values() for word in words}
    )
    for tool, field in FIELDS.items()
}
tools = st.sampled_from(sorted(FIELDS))
users = st.one_of(
    *(st.tuples(st.just("user"), st.just(name), st.sampled_from(WORDS[name])) for name in FIELDS)
)
network = st.one_of(
    st.tuples(st.just("say"), tools, st.integers(0, 3)),
    st.tuples(st.just("twice"), tools, st.integers(0, 3)),
    st.tuples(st.just("lose"), tools),
    st.tuples(st.just("tell"), tools),
    st.tuples(st.just("half"), tools),
)


def play(firm: Firm, step: tuple[Any, ...]) -> None:
    """One thing that happens."""
    match step:
        case ("user", tool, word):
            firm.user(tool, word)
        case ("say", tool, place):
            firm.say(tool, place)
        case ("twice", tool, place):
            firm.say(tool, place, twice=True)
        case ("lose", tool):
            firm.lose(tool)
        case ("tell", tool):
            firm.tell(tool)
        case ("half", tool):
            firm.tell(tool, lost_answer=True)


@for_all(st.lists(st.one_of(users, network), max_size=40))
@settings(max_examples=150, deadline=None)
def test_what_every_tool_holds_comes_to_be_the_truth_in_its_own_words(
    steps: list[tuple[Any, ...]],
) -> None:
    """Once it is quiet, a tool shows the case's word, or its difference stands on a list.

    Writes have stopped by then, every message has one outcome, and nobody but its owner has moved
    the case.
    """
    firm = Firm()
    for step in steps:
        play(firm, step)
    assert firm.quiet()
    story = firm.story
    for name, fake in firm.tools.items():
        field = story.lifecycle.vocabulary.named[name, FIELDS[name]]
        right = fake.word in story.lifecycle.vocabulary.words(field, story.case.states)
        claimed = [one for one in claims(firm) if one == name]
        assert right or fake.word is None or claimed or firm.mirror(name).drifts
    assert set(firm.heard) <= set(OUTCOMES)
    for entry in story.entries:
        if isinstance(entry.event, TransitionMade):
            to = story.lifecycle.ownership.states[entry.event.to[0]]
            own = {"unplan": "crew"}.get(entry.event.transition, to)
            assert entry.event.by.tool == own
    due = [e.event.id for e in story.entries if isinstance(e.event, NoticeDue)]
    assert len(due) == len(set(due))


def claims(firm: Firm) -> list[str]:
    """The tools whose claims wait."""
    found = firm.story.streams["claims:jobs/C-1"].state
    return [claim.tool for claim in getattr(found, "open", ())]
