"""Where a tool and the shared state differ: how that begins and ends, and what staff may do."""

from datetime import timedelta
from functools import cache
from typing import Any

import pytest

from lifecycle.asks import Causing, Taken, record
from lifecycle.changes import Open
from lifecycle.drift import Resolve, standing
from lifecycle.events import (
    Asker,
    DriftFound,
    DriftResolved,
    Event,
    FieldsSet,
    NoticeDelivered,
    NoticeDue,
    TransitionMade,
)
from lifecycle.messages import Message
from lifecycle.mirror import SILENT, Drift, Mirror
from lifecycle.model import Lifecycle
from lifecycle.refusals import (
    ConditionNotMet,
    NotThere,
    ReasonRequired,
    StaffOnly,
    TransitionNotOpen,
)
from tests.lifecycle.given import (
    CONFIRMED,
    Given,
    Then,
    declared,
    deposit_due,
    erase,
    given,
    move,
    opened,
    scheduled,
)
from tests.lifecycle.given import tell as told
from tests.lifecycle.test_reports import hear, say

STAGE = {"status_field": "dealstage"}
"""The field of the CRM that shows how far a deal has come."""
OTHER = "b@other.example"


def mirror(story: Given, tool: str) -> Mirror:
    """What a tool says of the case, and is told."""
    found = story.streams[f"mirror:{story.collection}/C-1/{tool}"].state
    return found if isinstance(found, Mirror) else SILENT


def drifts(story: Given, tool: str) -> dict[str, Drift]:
    """How a tool differs, by field."""
    return dict(mirror(story, tool).drifts)


def state_of(story: Given, then: Then) -> Message:
    """A message as it stands by now."""
    assert isinstance(then.outcome, Taken)
    state = story.streams[then.outcome.stream].state
    assert isinstance(state, Message)
    return state


def found(then: Then) -> list[DriftFound]:
    """The differences that were found by an ask."""
    return [one.event for one in then.entries if isinstance(one.event, DriftFound)]


def resolved(then: Then) -> list[str]:
    """How differences ended by an ask."""
    return [one.event.how for one in then.entries if isinstance(one.event, DriftResolved)]


def again(then: Then) -> list[str]:
    """The words that are told again by an ask, because of a difference."""
    due = (one.event for one in then.entries if isinstance(one.event, NoticeDue))
    return [one.word for one in due if one.why]


def settle(story: Given, tool: str, field: str, how: Any, **more: Any) -> Then:
    """Have staff settle a difference."""
    named = drifts(story, tool)[field].id
    more = {"reason": "they called", **more}
    return story.when(Resolve(drift=named, tool=tool, how=how, **more))


def deliver(story: Given, tool: str, *, only: str = "") -> list[Event]:
    """Have a tool take all that it is due, or one status field of it."""
    stream = f"mirror:{story.collection}/C-1/{tool}"
    causing = Causing(story.streams)
    for notice, due in mirror(story, tool).due.items():
        if only and due.status_field != only:
            continue
        taken = NoticeDelivered(
            recorded_at=story.now,
            by=Asker(),
            id=notice,
            case=f"{story.collection}/C-1",
            tool=tool,
            type=due.type,
            status_field=due.status_field,
            word=due.word,
            attempts=1,
            status=200,
        )
        record(causing, stream, taken)
    story.keep(causing.entries, causing.known)
    return [entry.event for entry in causing.entries]


@cache
def telling() -> Lifecycle:
    """A job whose board is told again by itself, and which the shop alone moves."""
    return declared(
        """
lifecycle: repair
version: 1
title: Repair
collection: repairs
steward: owner@example.com
tools:
  shop: {title: Shop, record_for: [work]}
  board: {title: Board, record_for: [parts], drift: tell}
fields:
  bike: {type: text, owner: work}
  plate: {type: text, owner: work, personal: true}
states:
  waiting: {title: Waiting, owner: work, initial: true}
  ordered: {title: Parts ordered, owner: parts}
  mended: {title: Mended, owner: work, final: true}
transitions:
  - {name: order, from: waiting, to: ordered}
  - {name: mend, from: [waiting, ordered], to: mended}
words:
  board: {column: {waiting: To do, ordered: Parts, mended: Done}}
reads:
  board: {bike: label, plate: sign}
flows:
  - {tool: board, direction: out, how: webhook, url: env:BOARD_URL, secret: env:BOARD_SECRET}
  - {tool: board, direction: in, how: webhook}
  - {tool: shop, direction: in, how: api}
"""
    )


def repair(*moves: str) -> Given:
    """A repair that the board knows of."""
    story = given(lifecycle=telling())
    fields = {"bike": "Tandem", "plate": "AB 1"}
    story.when(Open(fields=fields), by="shop").done()
    for one in moves:
        story.when(move(one), by="shop").done()
    deliver(story, "board")
    return story


class TestWords:
    def test_a_word_that_was_not_taken_is_a_difference(self) -> None:
        """What a tool shows though it is not so is found, with what is right and why."""
        then = say(given(opened), "crm", "closedwon", **STAGE)
        (one,) = found(then)
        assert (one.reported, one.expected) == ("closedwon", "presentationscheduled")
        assert (one.why, one.is_word, one.case) == ("not-the-owner", True, "jobs/C-1")

    def test_the_same_word_again_is_the_same_difference(self) -> None:
        """A tool that keeps showing a wrong word differs once, since it began."""
        story = given(opened)
        (first,) = found(say(story, "crm", "closedwon", **STAGE))
        then = say(story, "crm", "closedwon", **STAGE)
        assert not found(then)
        assert drifts(story, "crm")["dealstage"].since == first.recorded_at

    def test_a_right_word_ends_it(self) -> None:
        """The tool that shows what is true again agrees."""
        story = given(opened)
        say(story, "crm", "closedwon", **STAGE)
        assert resolved(say(story, "crm", "presentationscheduled", **STAGE)) == ["agrees"]
        assert not drifts(story, "crm")

    def test_a_move_to_where_the_word_is_right_ends_it(self) -> None:
        """What a tool showed too early is true once the case has come there."""
        story = given(opened, deposit_due)
        say(story, "crm", "closedwon", **STAGE)
        then = story.when(told(deposit_paid="500.00 USD"), by="accounting")
        assert resolved(then) == ["moved"]

    def test_a_move_elsewhere_says_what_is_right_now(self) -> None:
        """The difference stands, and what the tool should show is another word."""
        story = given(*CONFIRMED, scheduled)
        say(story, "crm", "To schedule", status_field="job_status")
        before = drifts(story, "crm")["job_status"]
        story.when(move("complete"), by="projects").done()
        after = drifts(story, "crm")["job_status"]
        assert (before.expected, after.expected) == ("Scheduled", "Done")
        assert (after.id, after.since) == (before.id, before.since)

    def test_a_claim_that_cannot_come_true_is_a_difference(self) -> None:
        """The tool still shows what it said too early, and never will be so."""
        story = given(opened)
        say(story, "projects", "upcoming")
        assert not drifts(story, "projects")
        story.when(move("cancel"), by="crm").done()
        assert drifts(story, "projects")["status"].expected == "archived"

    def test_a_message_and_its_difference_expect_the_same(self) -> None:
        """Whichever way a word came to differ, both name the word that would be right then."""
        story = given(opened)
        early = say(story, "projects", "upcoming")
        story.when(move("cancel"), by="crm").done()
        assert state_of(story, early).heard.expected == drifts(story, "projects")["status"].expected

        story = given(opened, deposit_due)
        paid = {"deposit_paid": "500.00 USD"}
        then = say(story, "accounting", "To invoice", status_field="stage", fields=paid)
        assert drifts(story, "accounting")["stage"].expected == "Deposit paid"
        assert state_of(story, then).heard.expected == "Deposit paid"

    def test_what_was_told_ends_it(self) -> None:
        """Once the tool has taken the right word, it does not differ."""
        story = given(*CONFIRMED)
        deliver(story, "crm")
        say(story, "crm", "presentationscheduled", **STAGE)
        assert settle(story, "crm", "dealstage", "tell").given is story
        delivered, ended = deliver(story, "crm")
        assert isinstance(delivered, NoticeDelivered)
        assert isinstance(ended, DriftResolved)
        assert not drifts(story, "crm")

    def test_what_staff_had_told_is_settled_by_them(self) -> None:
        """Once the tool has taken it, the end of the difference says who wanted it, and why."""
        story = given(*CONFIRMED)
        deliver(story, "crm")
        say(story, "crm", "presentationscheduled", **STAGE)
        settle(story, "crm", "dealstage", "tell")
        ended = deliver(story, "crm")[-1]
        assert isinstance(ended, DriftResolved)
        assert (ended.how, ended.reason) == ("told", "they called")
        assert ended.by.staff

    def test_what_a_tool_is_not_told_cannot_be_told_again(self) -> None:
        """The no says what would do; nothing is recorded."""
        story = given(opened)
        say(story, "accounting", fields={"scope": "A tower"})
        asked = settle(story, "accounting", "scope", "tell")
        asked.refused(ConditionNotMet, "accept what it says, dismiss it, or correct the case")
        assert drifts(story, "accounting")


class TestFields:
    def test_a_value_of_somebody_who_does_not_own_it_is_a_difference(self) -> None:
        """What a tool says of another's field is not taken; that it differs is found."""
        story = given(opened)
        (one,) = found(say(story, "projects", fields={"email": OTHER}))
        assert (one.field, one.is_word, one.personal) == ("email", False, {"email": OTHER})

    @pytest.mark.parametrize(("value", "expected"), [("a@example.com", []), (None, ["email"])])
    def test_only_what_differs_is_found(self, value: str | None, expected: list[str]) -> None:
        """A value that is ours too is none; that the tool knows none is one."""
        then = say(given(opened), "projects", fields={"email": value})
        assert [one.field for one in found(then)] == expected

    def test_it_ends_when_the_values_are_the_same(self) -> None:
        """By the tool's next report, or by the owner who says the same."""
        story = given(opened)
        say(story, "projects", fields={"email": OTHER})
        assert resolved(say(story, "projects", fields={"email": "a@example.com"})) == ["agrees"]
        say(story, "projects", fields={"email": OTHER})
        assert resolved(story.when(told(email=OTHER), by="crm")) == ["moved"]

    def test_another_value_is_another_difference(self) -> None:
        """What stands is what the tool says now."""
        story = given(opened)
        say(story, "projects", fields={"email": OTHER})
        then = say(story, "projects", fields={"email": "c@other.example"})
        assert (resolved(then), len(found(then))) == (["said-otherwise"], 1)

    def test_erasing_forgets_what_tools_said(self) -> None:
        """No value of an erased case is kept because some tool once differed."""
        story = given(opened)
        say(story, "projects", fields={"email": OTHER})
        assert resolved(story.when(erase())) == ["erased"]
        assert OTHER not in repr(mirror(story, "projects"))


class TestHealing:
    def test_a_wrong_word_is_told_again(self) -> None:
        """Where that is declared, the tool is told what is right, with why."""
        story = repair()
        assert again(say(story, "board", "Done")) == ["To do"]

    def test_a_wrong_value_is_told_again(self) -> None:
        """A field that the tool reads is put right as well."""
        story = repair()
        then = say(story, "board", fields={"bike": "Trike"})
        (due,) = then.due
        assert (due.why, due.personal) == ("drift", {"label": "Tandem"})
        deliver(story, "board")
        assert not drifts(story, "board")

    def test_an_owner_is_not_overruled(self) -> None:
        """A tool that owns what its word stands for is not told that it is wrong."""
        story = repair("mend")
        then = say(story, "board", "Parts")
        assert found(then)
        assert again(then) == []

    def test_who_is_to_be_asked_is_not_told(self) -> None:
        """Unless it is declared, a difference waits for staff."""
        then = say(given(*CONFIRMED), "accounting", "Void", status_field="stage")
        assert found(then)
        assert again(then) == []

    def test_two_systems_that_put_each_other_right_are_a_fight(self) -> None:
        """After three rounds within an hour it is told no more; somebody has to look."""
        story = repair()
        rounds = []
        for _ in range(6):
            story.now -= timedelta(minutes=50)  # ten minutes between two reports
            rounds.append(again(say(story, "board", "Done")))
            deliver(story, "board", only="column")
        assert rounds == [["To do"]] * 3 + [[]] * 3
        assert drifts(story, "board")["column"].why == "fight"

    def test_what_happens_now_and_then_is_no_fight(self) -> None:
        """Rounds that lie apart are each put right."""
        story = repair()
        for _ in range(6):
            assert again(say(story, "board", "Done")) == ["To do"]
            deliver(story, "board")
        assert not drifts(story, "board")


class TestSettling:
    def test_accepting_a_word_makes_the_chain(self) -> None:
        """Staff may believe the tool: the case goes where its word stands for, and it shows."""
        story = given(*CONFIRMED, scheduled)
        say(story, "crm", "Done", status_field="job_status")
        then = settle(story, "crm", "job_status", "accept")
        made = then.then(TransitionMade, transition="complete", override=True)
        assert (made.reason, made.by.staff) == ("they called", "Dispatcher")
        assert made.message.startswith("message:crm/")
        assert resolved(then) == ["accepted"]

    def test_a_chain_that_is_not_open_offers_the_correction(self) -> None:
        """Conditions hold for staff too; where there is no way the refusal says what would do."""
        story = given(opened)
        say(story, "crm", "Done", status_field="job_status")
        no = settle(story, "crm", "job_status", "accept").refused(
            TransitionNotOpen, "nothing that is open leads there", "/v1/jobs/C-1/corrections"
        )
        assert no.facts["correction"] == "/v1/jobs/C-1/corrections"

    def test_a_word_that_may_mean_several_states_is_not_guessed(self) -> None:
        """Also staff do not move a case to one of two ends by accepting a word."""
        story = given(*CONFIRMED, scheduled)
        story.when(move("complete"), by="projects").done()
        story.when(told(invoice_no="INV-7"), by="accounting").done()
        deliver(story, "projects")
        then = say(story, "projects", "archived")
        assert found(then)
        settle(story, "projects", "status", "accept").refused(
            TransitionNotOpen, "it may mean several states"
        )

    def test_accepting_a_value_sets_it(self) -> None:
        """The value that the tool gave becomes ours, as the steward's act."""
        story = given(opened)
        say(story, "projects", fields={"email": OTHER})
        then = settle(story, "projects", "email", "accept")
        then.then(FieldsSet, personal={"email": OTHER}, override=True)
        assert resolved(then) == ["accepted"]

    def test_what_is_dismissed_is_silent_until_the_tool_says_something_else(self) -> None:
        """The same word is let be; another is a difference again."""
        story = given(opened)
        say(story, "crm", "closedwon", **STAGE)
        assert resolved(settle(story, "crm", "dealstage", "dismiss")) == ["dismissed"]
        assert not drifts(story, "crm")["dealstage"].stands(story.now)
        assert not found(say(story, "crm", "closedwon", **STAGE))
        say(story, "crm", "presentationscheduled", **STAGE)
        assert found(say(story, "crm", "closedwon", **STAGE))

    def test_a_dismissal_may_end(self) -> None:
        """After its time the same word is a difference again."""
        story = given(opened)
        say(story, "crm", "closedwon", **STAGE)
        settle(story, "crm", "dealstage", "dismiss", until=story.now + timedelta(hours=3))
        assert not found(say(story, "crm", "closedwon", **STAGE))
        story.now += timedelta(hours=3)
        assert found(say(story, "crm", "closedwon", **STAGE))

    def test_only_staff_settle_and_say_why(self) -> None:
        """A tool does not decide that it was right."""
        story = given(opened)
        say(story, "crm", "closedwon", **STAGE)
        settle(story, "crm", "dealstage", "dismiss", reason="").refused(ReasonRequired)
        named = drifts(story, "crm")["dealstage"].id
        what = Resolve(drift=named, tool="crm", how="dismiss", reason="no")
        story.when(what, by="crm").refused(StaffOnly)

    def test_what_is_over_cannot_be_settled(self) -> None:
        """Who comes too late is told so, and changes nothing."""
        story = given(opened)
        say(story, "crm", "closedwon", **STAGE)
        named = drifts(story, "crm")["dealstage"].id
        say(story, "crm", "presentationscheduled", **STAGE)
        what = Resolve(drift=named, tool="crm", how="accept", reason="late")
        story.when(what).refused(NotThere)


class TestStanding:
    def stands(self, story: Given, tool: str) -> dict[str, str]:
        """How a tool stands in each field."""
        rows = standing(tool, mirror(story, tool), story.case, story.lifecycle)
        return {one.field: one.stands for one in rows}

    def test_a_tool_that_was_told_nothing_is_unknown(self) -> None:
        """What nobody has said or told is not guessed."""
        rows = standing("crm", SILENT, given(opened).case, given(opened).lifecycle)
        assert {(one.field, one.stands) for one in rows} == {("dealstage", "unknown")}

    def test_it_waits_agrees_and_differs(self) -> None:
        """To be told; told; and showing something else."""
        story = given(*CONFIRMED)
        assert self.stands(story, "accounting")["stage"] == "waiting"
        deliver(story, "accounting")
        assert self.stands(story, "accounting")["stage"] == "agrees"
        say(story, "accounting", "Void", status_field="stage")
        (differs,) = standing(
            "accounting", mirror(story, "accounting"), story.case, story.lifecycle
        )
        assert (differs.stands, differs.shown) == ("differs", "Void")
        assert differs.expected == "Deposit paid"
        assert differs.drift == drifts(story, "accounting")["stage"].id

    def test_fields_that_it_reads_stand_too(self) -> None:
        """A value waits until it is delivered, and differs when the tool says so."""
        story = given(opened)
        assert self.stands(story, "projects")["email"] == "waiting"
        deliver(story, "projects")
        assert self.stands(story, "projects")["email"] == "agrees"
        say(story, "projects", fields={"email": OTHER})
        assert self.stands(story, "projects")["email"] == "differs"


def test_no_change_is_lost_on_the_way() -> None:
    """What ends a difference stands in the append that ended it, also where a report did."""
    story = given(opened, deposit_due)
    say(story, "crm", "closedwon", **STAGE)
    what = hear("accounting", fields={"deposit_paid": "500.00 USD"})
    then = story.when(what, by="accounting")
    assert [type(one) for one in then][-1] is TransitionMade
    assert resolved(then) == ["moved"]
