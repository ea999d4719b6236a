"""What a change makes due to which tool, on a field-service job and on jobs of the tests' own."""

from datetime import timedelta
from functools import cache
from typing import Any

from hypothesis import given as for_all
from hypothesis import strategies as st

from lifecycle.changes import Open
from lifecycle.events import (
    ERASED,
    Asker,
    NoticeDelivered,
    NoticeDue,
    NoticeGivenUp,
    NoticeSuperseded,
    ReactionDropped,
    ReactionPlanned,
)
from lifecycle.messages import Hear
from lifecycle.mirror import SILENT, Mirror, reflect
from lifecycle.model import Lifecycle
from lifecycle.notices import FIELDS_CHANGED, REQUEST, WORD_CHANGED, fire, tell_again
from lifecycle.reports import Report
from tests.lifecycle.given import (
    CONFIRMED,
    Given,
    Then,
    correct,
    declared,
    deposit_due,
    deposit_paid,
    erase,
    given,
    invoiced,
    move,
    opened,
    scheduled,
    shipped,
    tell,
)
from tests.lifecycle.test_drift import deliver

DAY = {"scheduled_for": "2026-05-11"}


def words(then: Then, tool: str) -> dict[str, str]:
    """Status field → the word that a tool is due."""
    return {one.status_field: one.word for one in then.due if one.tool == tool and one.word}


def mirror(story: Given, tool: str) -> Mirror:
    """What a tool was told and says."""
    found = story.streams[f"mirror:{story.collection}/C-1/{tool}"].state
    return found if isinstance(found, Mirror) else SILENT


def say(story: Given, tool: str, word: str = "", **said: Any) -> Then:
    """Have a tool report something about the job."""
    report = Report(tool=tool, word=word, **said)
    then = story.when(Hear(report=report, arrival=repr(report), new_id="N-1"), by=tool)
    then.done()
    return then


@cache
def with_reactions() -> Lifecycle:
    """A job after which something is asked at once, and something later."""
    return declared(
        """
lifecycle: small
version: 1
title: Small job
collection: jobs
tools: {crm: {title: CRM, record_for: [work]}, books: {title: Books}}
fields: {price: {type: money, owner: work}, email: {type: email, owner: work, personal: true}}
states:
  begun: {owner: work, initial: true}
  done:  {owner: work}
  over:  {owner: work, final: true}
transitions:
  - {name: finish, from: begun, to: done}
  - {name: resume, from: done, to: begun}
  - {name: end, from: done, to: over}
words: {crm: {stage: {begun: Begun, done: Done, over: Over}}}
reads: {books: {price: amount}}
reactions:
  - {name: bill, after: finish, tell: books, request: create_invoice, with: [price, email]}
  - {name: ask, after: finish, wait: 14 days, tell: crm, request: review, with: [email]}
flows:
  - {tool: crm, direction: out, how: manual, steward: a@example.com}
  - {tool: books, direction: out, how: manual, steward: a@example.com}
"""
    )


class TestWords:
    """A tool is told the word that its field should show."""

    def test_every_tool_is_told_each_step_in_its_own_word(self) -> None:
        """Where a state has another word for a tool, the append that enters it makes it due."""
        then = given(*CONFIRMED).when(move("schedule", **DAY), by="projects")
        assert words(then, "crm") == {"job_status": "Scheduled"}
        assert words(then, "projects") == {"status": "upcoming"}
        assert words(then, "accounting") == {}

    def test_what_a_tool_came_to_show_by_itself_is_withdrawn(self) -> None:
        """A word that is still to be told would put it back: the tool has spoken since."""
        story = given(*CONFIRMED)
        then = say(story, "projects", "late", fields=DAY)
        ended = [e.event for e in then.entries if isinstance(e.event, NoticeSuperseded)]
        assert [(one.tool, one.word, one.why) for one in ended if one.tool == "projects"] == [
            ("projects", "unscheduled", "shown-already")
        ]
        assert not [due for due in mirror(story, "projects").due.values() if due.word]

    def test_what_is_due_says_what_stood_there_before(self) -> None:
        """A notice carries the word, the one before, the case's version and the tool's own ids."""
        story = given(opened)
        then = story.also(deposit_due).when(deposit_paid.what, by="accounting")
        (stage,) = (one for one in then.due if one.tool == "accounting")
        assert (stage.type, stage.status_field, stage.word) == (
            WORD_CHANGED,
            "stage",
            "Deposit paid",
        )
        assert (stage.was, stage.case, stage.case_version) == ("Estimate sent", "jobs/C-1", 4)

    def test_a_tool_that_shows_it_already_is_told_nothing(self) -> None:
        """What a tool says itself, it needs not be told; each of the words of a state will do."""
        then = say(given(*CONFIRMED), "projects", "late", fields=DAY)
        assert words(then, "projects") == {}
        assert words(then, "crm") == {"job_status": "Scheduled"}

    def test_a_word_that_stays_is_not_told_again(self) -> None:
        """A move that changes no word of a tool makes nothing due to it."""
        then = given(*CONFIRMED, scheduled).when(move("unschedule"), by="projects")
        assert words(then, "accounting") == {}
        assert "dealstage" not in words(then, "crm")

    def test_a_state_in_which_a_tool_is_told_nothing_makes_nothing_due(self) -> None:
        """`~` is silence: a job that is being quoted is none of the crew's business."""
        assert words(given().when(opened.what, by="crm"), "projects") == {}

    def test_a_correction_is_told_like_any_change(self) -> None:
        """Where staff put a case, the tools are told, but no reaction fires."""
        then = given(*CONFIRMED).when(correct("completed"))
        assert words(then, "accounting") == {"stage": "To invoice"}
        assert not [one for one in then.due if one.type == REQUEST]

    def test_a_newer_word_takes_the_place_of_one_not_yet_told(self) -> None:
        """What nobody was told is superseded, in the same append, by what is true now."""
        story = given(*CONFIRMED, scheduled)
        (older,) = (name for name, due in mirror(story, "projects").due.items() if due.word)
        then = story.when(move("complete"), by="projects")
        ended = [e.event for e in then.entries if isinstance(e.event, NoticeSuperseded)]
        assert ("projects", older) in {(one.tool, one.id) for one in ended}
        left = [one.word for one in mirror(story, "projects").due.values() if one.word]
        assert left == ["requires_invoicing"]

    def test_several_moves_in_one_append_tell_only_where_they_end(self) -> None:
        """A chain is told as one step: the words in between were true for nobody."""
        then = say(given(*CONFIRMED), "projects", "requires_invoicing", fields=DAY)
        assert [one.word for one in then.due if one.tool == "crm" and one.word] == ["Done"]

    def test_a_quiet_ask_tells_nobody(self) -> None:
        """What an import brings, the tools know already."""
        story = given(*CONFIRMED)
        assert not story.when(move("schedule", **DAY), by="projects", quiet=True).due

    def test_a_tool_without_a_flow_out_is_told_nothing(self) -> None:
        """Who is to be told has to be declared."""
        lifecycle = shipped()["field_service"]
        assert set(lifecycle.told) == {"crm", "accounting", "projects"}
        assert with_reactions().told == ("crm", "books")

    def test_the_same_decision_twice_is_the_same_notice(self) -> None:
        """A batch that is decided again names its notices as before; no two changes share one."""
        first, second = given(*CONFIRMED), given(*CONFIRMED)
        ids = [
            [one.id for one in story.when(scheduled.what, by="projects").due]
            for story in (first, second)
        ]
        assert ids[0] == ids[1]
        later = [one.id for one in first.when(move("complete"), by="projects").due]
        assert not set(later) & set(ids[0])
        assert not any("." in one for one in ids[0])


class TestFacts:
    """A tool is told the fields that it reads, by its own names for them."""

    def test_a_tool_is_told_what_it_reads_under_its_own_name(self) -> None:
        """And nothing that it does not read."""
        then = given().when(opened.what, by="crm")
        (told,) = (one for one in then.due if one.tool == "projects")
        assert (told.type, told.personal) == (FIELDS_CHANGED, {"clientEmail": "a@example.com"})

    def test_a_tool_is_not_told_what_it_said_itself(self) -> None:
        """The scope is the crew's own once the job is theirs."""
        then = given(*CONFIRMED).when(tell(scope="Boiler"), by="projects")
        assert not then.due

    def test_a_value_that_is_forgotten_is_told_as_nothing(self) -> None:
        """`null` under the tool's own name."""
        then = given(opened).when(tell(email=None), by="crm")
        (told,) = then.due
        assert told.personal == {"clientEmail": None}

    def test_erased_values_are_told_to_nobody(self) -> None:
        """What was still to be told with such a value is withdrawn with the erasing."""
        story = given(opened)
        then = story.when(erase())
        ended = [e.event for e in then.entries if isinstance(e.event, NoticeSuperseded)]
        assert [(one.tool, one.why) for one in ended] == [("projects", "erased")]
        assert not then.due
        assert not [due for due in mirror(story, "projects").due.values() if due.sealed]
        assert ERASED not in str([one.personal for one in then.due])


class TestReactions:
    """What happens next, without anybody checking."""

    def small(self) -> Given:
        """A job that has begun."""
        story = Given(with_reactions())
        story.when(Open(fields={"price": "10.00 USD", "email": "a@example.com"}), by="crm").done()
        return story

    def test_a_transition_asks_for_what_follows_it_once(self) -> None:
        """The request carries the declared fields, by the tool's names where it has some."""
        then = self.small().when(move("finish"), by="crm")
        (request,) = (one for one in then.due if one.type == REQUEST)
        assert (request.tool, request.request, request.reaction) == (
            "books",
            "create_invoice",
            "bill",
        )
        assert request.personal == {"amount": "10.00 USD", "email": "a@example.com"}

    def test_what_is_to_be_asked_later_is_planned(self) -> None:
        """It stands in the log when it will come, counted from when the transition happened."""
        story = self.small()
        then = story.when(move("finish"), by="crm")
        (plan,) = (e.event for e in then.entries if isinstance(e.event, ReactionPlanned))
        assert plan.fires_at == story.case.since + timedelta(days=14)
        assert plan.states == ("done",)
        assert list(mirror(story, "crm").planned) == [plan.id]

    def test_a_plan_is_dropped_when_the_case_moves_on(self) -> None:
        """Also if it comes back later: then it is planned anew."""
        story = self.small().also()
        story.when(move("finish"), by="crm").done()
        then = story.when(move("resume"), by="crm")
        assert [type(e.event) for e in then.entries if isinstance(e.event, ReactionDropped)]
        assert not mirror(story, "crm").planned
        story.when(move("finish"), by="crm").done()
        assert len(mirror(story, "crm").planned) == 1

    def test_what_was_planned_comes_with_the_values_of_its_day(self) -> None:
        """And with the id that the plan had; the plan is then done."""
        story = self.small()
        story.when(move("finish"), by="crm").done()
        story.when(tell(email="b@example.com"), by="crm").done()
        ((plan, planned),) = mirror(story, "crm").planned.items()
        later = story.now + timedelta(days=14)
        event = fire(plan, planned, story.case, "crm", story.lifecycle, later)
        assert isinstance(event, NoticeDue)
        assert (event.id, event.request, event.personal) == (
            plan,
            "review",
            {"email": "b@example.com"},
        )
        assert not reflect(mirror(story, "crm"), event).planned

    def test_what_was_planned_for_a_state_that_was_left_does_not_come(self) -> None:
        """However the case left it."""
        story = self.small()
        story.when(move("finish"), by="crm").done()
        ((plan, planned),) = mirror(story, "crm").planned.items()
        story.when(move("end"), by="crm").done()
        event = fire(plan, planned, story.case, "crm", story.lifecycle, story.now)
        assert isinstance(event, ReactionDropped)


class TestMirror:
    """What a tool shows, as far as it can be known."""

    def test_a_tool_shows_what_it_will_have_been_told(self) -> None:
        """The last word due, else the last delivered, else what it said itself."""
        story = given(*CONFIRMED)
        assert mirror(story, "projects").shows("status") == "unscheduled"
        ((notice, due),) = (
            (name, due) for name, due in mirror(story, "projects").due.items() if due.word
        )
        told: Any = {"id": notice, "case": "jobs/C-1", "tool": "projects", "type": due.type}
        word: Any = {"status_field": "status", "word": "unscheduled"}
        done = NoticeDelivered(recorded_at=story.now, by=Asker(), **told, **word, attempts=1)
        after = reflect(mirror(story, "projects"), done)
        assert (notice in after.due, after.shows("status")) == (False, "unscheduled")
        no = NoticeGivenUp(recorded_at=story.now, by=Asker(), **told, **word, attempts=9, why="x")
        given_up = reflect(mirror(story, "projects"), no)
        assert (notice in given_up.due, given_up.shows("status")) == (False, None)
        assert list(given_up.given_up) == [notice]

    def test_a_word_is_not_told_again_while_it_is_due(self) -> None:
        """Telling again is for a tool that was told, and shows something else."""
        story = given(*CONFIRMED)

        def again(mirror: Mirror) -> NoticeDue | None:
            at: Any = {"by": Asker(), "now": story.now, "why": "drift"}
            return tell_again(story.case, "projects", "status", mirror, story.lifecycle, **at)

        assert again(mirror(story, "projects")) is None
        notice = again(SILENT)
        assert notice is not None
        assert (notice.word, notice.why) == ("unscheduled", "drift")
        assert notice.id not in mirror(story, "projects").due, "of the same moment and version"


STEPS = (
    (scheduled.what, "projects"),
    (move("unschedule"), "projects"),
    (move("complete"), "projects"),
    (invoiced.what, "accounting"),
    (move("cancel"), "crm"),
    (tell(scope="Boiler"), "projects"),
    (tell(email="b@example.com"), "crm"),
)


@for_all(st.lists(st.sampled_from(STEPS), max_size=12))
def test_once_all_is_told_every_tool_shows_the_word_of_where_the_case_is(
    steps: list[tuple[Any, str]],
) -> None:
    """Whatever happened, the words due and told amount to the vocabulary's, field by field."""
    story = given(*CONFIRMED)
    for what, by in steps:
        story.when(what, by=by)
    shown = story.lifecycle.vocabulary.shown(story.case.states)
    for tool, fields in shown.items():
        for name, word in fields.items():
            if word is not None:
                assert mirror(story, tool).shows(name) == word
                pending = [d for d in mirror(story, tool).due.values() if d.status_field == name]
                assert len(pending) == 1


@cache
def namesakes() -> Lifecycle:
    """A shop that is told by drift, and whose status field is called like what it is asked."""
    return declared(
        """
lifecycle: job
version: 1
title: Job
collection: jobs
tools:
  sales: {title: Sales, record_for: [deal]}
  shop: {title: Shop, drift: tell}
fields:
  size: {type: text, owner: deal}
  colour: {type: text, owner: deal}
states:
  offered: {owner: deal, initial: true}
  sold: {owner: deal, final: true}
transitions:
  - {name: sell, from: offered, to: sold}
words:
  shop: {order: {offered: new, sold: open}}
reads:
  shop: {size: size, colour: colour}
reactions:
  - {name: order, after: sell, tell: shop, request: make, with: [size]}
flows:
  - {tool: shop, direction: out, how: manual, steward: a@example.com}
"""
    )


def test_no_two_notices_have_the_same_id() -> None:
    """What a tool is told twice under one id it takes for a repeat, and never acts upon."""
    story = Given(namesakes())
    story.when(Open(fields={"size": "L", "colour": "red"}), by="sales").done()
    deliver(story, "shop")
    report = Report(tool="shop", fields={"size": "S", "colour": "blue"})
    story.when(Hear(report=report, arrival="a", new_id="none"), by="shop", id="C-1").done()
    sold = story.when(move("sell"), by="sales")
    assert [one.type for one in sold.due] == [WORD_CHANGED, REQUEST]
    ids = [one.event.id for one in story.entries if isinstance(one.event, NoticeDue)]
    assert len(ids) == len({*ids}) == 6
