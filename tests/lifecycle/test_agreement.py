"""Tools that hold their own state come to agree: four of them, played with at random.

Each fake tool has users who move things, rightly and wrongly, says what it does not hold, repeats
what it is told, and is heard late, twice, out of order, several times in one body, or not at all;
under ids that repeat, or none. What counts in the end is what each tool holds itself, not what is
written here about it.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from lifecycle.asks import Causing, Taken
from lifecycle.case import Entered
from lifecycle.changes import Open
from lifecycle.drift import FIGHT, after_telling
from lifecycle.events import Asker, NoticeDelivered, NoticeDue, Reported, TransitionMade
from lifecycle.messages import Hear, Message
from lifecycle.mirror import SILENT, Claim, Claims, Mirror
from lifecycle.model import Lifecycle
from lifecycle.moves import open_transitions
from lifecycle.reports import ECHO_WITHIN, SECOND, Report
from tests.lifecycle.given import HOUR, Given, correct, declared

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
IDS: dict[str, Callable[[int], str]] = {
    "sales": lambda number: f"e{number % 3}",
    "signing": lambda number: f"e{number}",
    "crew": lambda _: "",
    "books": lambda number: f"e{number}",
}
"""What each product calls its messages: HubSpot's ids repeat, and Jobber's have none."""


class Sent(NamedTuple):
    """A message on its way to us."""

    word: str
    at: datetime
    event: str
    by: str = "user"
    """Whose change it tells of: a user's, or that of a notice of ours; or a poll found it so."""


class Tool:
    """A tool as its users have it: one field, and what is on its way to us."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.word: str | None = None
        self.insists: str | None = None
        """What somebody there sets again whenever we set something else."""
        self.told: dict[str, tuple[str, datetime]] = {}
        """Notice → its word, and when it came first."""
        self.answered: set[str] = set()
        """The notices whose answer reached us: of others nobody knows that they came."""
        self.recorded: list[tuple[str, datetime]] = []
        """What it was told, as far as we know of it, since it last said something else."""
        self.latest = datetime.min.replace(tzinfo=UTC)
        """The latest moment of which it has spoken."""
        self.outbox: deque[Sent] = deque()

    def change(self, sent: Sent) -> None:
        """Somebody, or a notice, sets the field; the product will say so."""
        if sent.word != self.word:
            self.word = sent.word
            self.outbox.append(sent)


class Firm:
    """The four tools around one job."""

    def __init__(self) -> None:
        self.story = Given(job())
        self.tools = {name: Tool(name) for name in FIELDS}
        self.counted = self.heard = 0
        self.is_honest = True
        """Nothing was lost, no answer either, and nobody has said what is not so."""
        self.story.when(Open(), by="sales").done()

    def mirror(self, tool: str) -> Mirror:
        """What is written about a tool."""
        found = self.story.streams[f"mirror:jobs/C-1/{tool}"].state
        return found if isinstance(found, Mirror) else SILENT

    def event(self, tool: str, word: str, by: str = "user") -> Sent:
        """What a tool's product will say, a second after what was before."""
        self.counted += 1
        self.story.now += timedelta(seconds=1)
        return Sent(word, self.story.now, IDS[tool](self.counted), by)

    # --- what happens

    def user(self, tool: str, word: str) -> None:
        """Somebody sets a tool's field, for good reasons or for none."""
        self.tools[tool].change(self.event(tool, word))

    def lie(self, tool: str, word: str) -> None:
        """A tool's product says what the tool does not hold."""
        fake = self.tools[tool]
        if fake.word is not None:  # a poll will put it right
            self.is_honest = False
            fake.outbox.append(self.event(tool, word))

    def say(self, tool: str, place: int, *, twice: bool = False) -> None:
        """One of the messages on their way arrives, perhaps twice."""
        outbox = self.tools[tool].outbox
        if not outbox:
            return
        sent = outbox[place % len(outbox)]
        if not twice:
            del outbox[place % len(outbox)]
        self.hear(tool, [sent])

    def say_all(self, tool: str, *, backwards: bool = False) -> None:
        """All messages on their way arrive in one body, in an order of the product's own."""
        outbox = self.tools[tool].outbox
        said = [*reversed(outbox)] if backwards else [*outbox]
        outbox.clear()
        self.hear(tool, said)

    def lose(self, tool: str, place: int) -> None:
        """A message never arrives."""
        outbox = self.tools[tool].outbox
        if outbox:
            self.is_honest = False
            del outbox[place % len(outbox)]

    def work(self, turn: int) -> None:
        """Somebody does what comes next, and sets the field of the tool that it belongs in."""
        story = self.story
        steps = [one for one in open_transitions(story.case, story.lifecycle) if one.by]
        if steps:
            step = steps[turn % len(steps)]
            field = story.lifecycle.vocabulary.named[step.by[0], FIELDS[step.by[0]]]
            self.user(step.by[0], field.entries[step.to][0])

    def insist(self, tool: str, word: str) -> None:
        """Somebody, or an automation, has a tool show this for ever, whatever it is told."""
        self.tools[tool].insists = word
        self.user(tool, word)

    def back(self, tool: str) -> None:
        """Somebody sets what a tool was told before it was told what it holds."""
        if told := [*self.tools[tool].told.values()][-2:-1]:
            self.user(tool, told[0][0])

    def repeat(self, tool: str) -> None:
        """A tool's product says the last thing once more, of the same moment, as another event."""
        fake = self.tools[tool]
        if fake.outbox:
            event = self.event(tool, "").event
            fake.outbox.append(fake.outbox[-1]._replace(event=event))

    def wait(self, minutes: int) -> None:
        """Nothing happens for a while."""
        self.story.now += timedelta(minutes=minutes)

    def correct(self, state: str) -> None:
        """Staff put the job where it really is."""
        self.story.now += timedelta(minutes=1) - HOUR
        self.story.when(correct(state))

    def hear(self, tool: str, said: Sequence[Sent]) -> None:
        """Take in what a tool says at once, a minute after what was before."""
        self.story.now += timedelta(minutes=1)
        for sent in said:
            self.story.now -= HOUR  # which goes by with every ask
            self.heard += 1
            report = Report(
                tool=tool,
                status_field=FIELDS[tool],
                word=sent.word,
                event_id=sent.event,
                occurred_at=sent.at,
            )
            what = Hear(report=report, arrival=f"a{self.heard}", new_id="none")
            entered = self.story.case.entered
            then = self.story.when(what, by=tool)
            then.done()
            assert isinstance(then.outcome, Taken)
            self._is_rightly(then.outcome.name, self.tools[tool], sent, entered)
            self.is_told_once()
            self.waits_rightly()

    def _is_rightly(
        self, outcome: str, fake: Tool, sent: Sent, entered: Mapping[str, Entered]
    ) -> None:
        """Assert what a message may be taken for, by what is known of the tool from outside."""
        if outcome == "duplicate":
            return
        assert (outcome == "stale") == (sent.at < fake.latest), (outcome, sent, fake.latest)
        if outcome == "stale":
            return
        fake.latest = sent.at
        since = self.story.now - ECHO_WITHIN
        repeated = [at for word, at in fake.recorded if word == sent.word and at >= since]
        if outcome == "echo":  # no true change: it is what was told last before, or since
            assert repeated, f"{fake.name} was not told {sent} since it last spoke"
            told = [one for notice, one in fake.told.items() if notice in fake.answered]
            before = [word for word, at in told if at <= sent.at][-1:]
            assert sent.word in {*before, *(word for word, at in told if at > sent.at)}
        elif sent.by == "notice" and repeated:
            assert outcome == "agrees", f"{fake.name} repeats {sent}, which is {outcome}"
        if outcome == "applied":
            overtaken = [
                one
                for one in entered.values()
                if one.by != fake.name and one.time > sent.at + SECOND and not one.opening
            ]
            assert not overtaken, f"{fake.name} saw {sent} before {overtaken}"
        words = [word for word, _ in fake.recorded]
        place = words.index(sent.word) if outcome == "echo" else len(words)
        fake.recorded = fake.recorded[place + 1 :]

    def waits_rightly(self) -> None:
        """Assert that no claim waits for what its tool may do at once."""
        story = self.story
        for claim in self.claims():
            field = story.lifecycle.vocabulary.named[claim.tool, claim.status_field]
            for step in open_transitions(story.case, story.lifecycle):
                may = claim.tool in step.by and step.blocked is None
                assert not (may and claim.word in field.entries[step.to]), (claim, step)

    def is_told_once(self) -> None:
        """Assert that no tool waits to be told two words on one field: the newer is enough."""
        for tool in self.tools:
            words = Counter(due.status_field for due in self.mirror(tool).due.values())
            assert all(number == 1 for number in words.values()), (tool, words)

    def tell(self, tool: str, *, lost_answer: bool = False) -> None:
        """The oldest notice that a tool is due reaches it; its answer may be lost."""
        mirror = self.mirror(tool)
        if not mirror.due:
            return
        notice, due = next(iter(mirror.due.items()))
        fake = self.tools[tool]
        if notice not in fake.told:  # the same id again changes nothing there
            fake.change(self.event(tool, due.word, "notice"))
            fake.told[notice] = (due.word, self.story.now)
            if fake.insists is not None:
                fake.change(self.event(tool, fake.insists))
        if lost_answer:  # sent again, it changes nothing there, whatever was set meanwhile
            self.is_honest = False
        else:
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
            sent_at=self.tools[tool].told[notice][1],
        )
        causing = Causing(story.streams)
        stream = f"mirror:jobs/C-1/{tool}"
        causing.add(stream, delivered)
        for event in after_telling(delivered, mirror, story.now):
            causing.add(stream, event)
        story.keep(causing.entries, causing.known)
        self.tools[tool].answered.add(notice)
        self.tools[tool].recorded.append((due.word, story.now))

    # --- what comes of it

    def quiet(self, *, polled: bool) -> bool:
        """Let everything arrive, and have tools asked for what they hold, until nothing is due.

        Answers whether that came to an end.
        """
        for _ in range(ROUNDS_MAX):
            due = self.due()
            for tool, fake in self.tools.items():
                self.say_all(tool)
                while self.mirror(tool).due:
                    self.tell(tool)
                if polled and fake.word is not None:
                    self.hear(tool, [self.event(tool, fake.word, "poll")])
            if self.due() == due and not any(fake.outbox for fake in self.tools.values()):
                return True
        return False

    def due(self) -> list[NoticeDue]:
        """Everything that ever was to be written into a tool."""
        events = (entry.event for entry in self.story.entries)
        return [event for event in events if isinstance(event, NoticeDue)]

    def owns(self, tool: str, word: str) -> bool:
        """Whether a word of a tool stands for a state that is the tool's own to tell."""
        entries = self.story.lifecycle.vocabulary.named[tool, FIELDS[tool]].entries
        meant = [state for state, words in entries.items() if word in words]
        return any(self.story.lifecycle.ownership.states[state] == tool for state in meant)

    def is_ahead(self, tool: str, word: str) -> bool:
        """Whether a state of the tool's own that a word stands for may still come."""
        lifecycle, states = self.story.lifecycle, self.story.case.states
        entries = lifecycle.vocabulary.named[tool, FIELDS[tool]].entries
        beyond = lifecycle.chart.beyond(states)
        owners = lifecycle.ownership.states
        return any(word in entries[one] and owners[one] == tool for one in entries if one in beyond)

    def claims(self) -> Sequence[Claim]:
        """What waits."""
        found = self.story.streams["claims:jobs/C-1"].state
        return found.open if isinstance(found, Claims) else ()


WORDS = {
    tool: sorted(
        {word for words in job().vocabulary.named[tool, field].entries.values() for word in words}
    )
    for tool, field in FIELDS.items()
}
STATES = [state for state in job().chart.places if state not in {"paid", "lost"}]
tools = st.sampled_from(sorted(FIELDS))
users = st.one_of(
    *(
        st.tuples(
            st.sampled_from(["user", "user", "lie", "insist"]),
            st.just(name),
            st.sampled_from(words),
        )
        for name, words in WORDS.items()
    )
)
workers = st.one_of(
    st.tuples(st.just("work"), st.integers(0, 3)),
    st.tuples(st.just("work"), st.integers(0, 3)),
    st.tuples(st.just("correct"), st.sampled_from(STATES)),
    st.tuples(st.just("wait"), st.sampled_from([3, 12])),
    st.tuples(st.sampled_from(["back", "repeat"]), tools),
)
network = st.one_of(
    st.tuples(st.sampled_from(["say", "twice", "lose"]), tools, st.integers(-1, 2)),
    st.tuples(st.sampled_from(["say_all", "backwards", "tell", "tell", "half"]), tools),
)


def play(firm: Firm, step: tuple[Any, ...]) -> None:
    """One thing that happens, by the name of what the firm does then."""
    match step:
        case ("twice", tool, place):
            firm.say(tool, place, twice=True)
        case ("backwards", tool):
            firm.say_all(tool, backwards=True)
        case ("half", tool):
            firm.tell(tool, lost_answer=True)
        case (name, *values):
            getattr(firm, name)(*values)


@for_all(st.lists(st.one_of(users, workers, network, network), min_size=4, max_size=60))
@settings(max_examples=800, deadline=None)
def test_what_every_tool_holds_comes_to_be_the_truth_in_its_own_words(
    steps: list[tuple[Any, ...]],
) -> None:
    """Once it is quiet, a tool holds the case's word; or says what is its own to say, and is shown.

    Writes have stopped by then, every message has one outcome, and nobody but its owner has moved
    the case, or was told to show another word than its own.
    """
    firm = Firm()
    for step in steps:
        play(firm, step)
    for polled in (False, True):
        assert firm.quiet(polled=polled), "it is told again and again"
        if polled or firm.is_honest:
            for tool, fake in firm.tools.items():
                holds_the_truth(firm, tool, fake, polled=polled)
    every_message_has_one_outcome(firm)
    nobody_was_overruled(firm)


def holds_the_truth(firm: Firm, tool: str, fake: Tool, *, polled: bool) -> None:
    """Assert that a tool holds the right word, or that its own waits or stands on a list.

    What somebody else's later act has overtaken is on a list even where it may come: until its
    tool, asked once more, says it again.
    """
    story, drift = firm.story, firm.mirror(tool).drifts.get(FIELDS[tool])
    field = story.lifecycle.vocabulary.named[tool, FIELDS[tool]]
    assert fake.word is not None, f"{tool} was told nothing"
    if fake.word in story.lifecycle.vocabulary.words(field, story.case.states):
        assert drift is None, f"{tool} is right, and {drift} stands"
        return
    claimed = any((one.tool, one.word) == (tool, fake.word) for one in firm.claims())
    assert claimed or drift is not None, f"{tool} holds {fake.word}, in {story.case.states}"
    if drift is not None:
        assert drift.reported == fake.word, f"{tool} holds {fake.word}, and {drift} stands"
    assert firm.owns(tool, fake.word) or (drift and drift.why == FIGHT), (tool, fake.word, drift)
    if not (claimed or (drift and drift.why == "overtaken" and not polled)):
        assert not firm.is_ahead(tool, fake.word), f"{tool}: {fake.word} may come, {drift}"


def every_message_has_one_outcome(firm: Firm) -> None:
    """Assert that all that was heard stands once, as often as it came."""
    known = (one.state for one in firm.story.streams.values())
    assert sum(one.times for one in known if isinstance(one, Message)) == firm.heard


def nobody_was_overruled(firm: Firm) -> None:
    """Assert that owners have moved the case, and that none was told by drift what is its own."""
    said: dict[str, str] = {}
    for entry in firm.story.entries:
        match entry.event:
            case TransitionMade() as made:
                to = firm.story.lifecycle.ownership.states[made.to[0]]
                assert made.by.tool == {"unplan": "crew"}.get(made.transition, to)
            case Reported(tool=tool, word=word):
                said[tool] = word
            case NoticeDue(tool=tool, why="drift"):
                assert not firm.owns(tool, said[tool]), f"{tool} owns {said[tool]}"
