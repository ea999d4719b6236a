"""What was heard and is decided again: on request, when a reference is set, in bounds."""

from collections.abc import Collection, Sequence
from typing import Any

import pytest
from eventsourcing.persistence import Notification

from lifecycle import hearing
from lifecycle.asks import Taken
from lifecycle.changes import Open, ReleaseReference, TakeReference
from lifecycle.events import (
    ERASED,
    Asker,
    ClaimEnded,
    Event,
    FieldsSet,
    HeardAgain,
    Parked,
    TransitionMade,
    Understood,
    Unparked,
)
from lifecycle.messages import Message, Release, Retry, Waiting
from lifecycle.mirror import Claims
from lifecycle.refusals import NotThere, NotYours
from lifecycle.streams import case_stream
from tests.databases import NewDatabase
from tests.lifecycle.given import (
    CONFIRMED,
    STAFF,
    Given,
    Then,
    declared,
    deposit_due,
    erase,
    given,
    opened,
    scheduled,
    tell,
)
from tests.lifecycle.journals import ask, entries_of, journal_on
from tests.lifecycle.test_reports import hear, message, say

STAGE = {"status_field": "dealstage"}
VISIT = TakeReference(tool="projects", ref="visit-7")


def stream(then: Then) -> str:
    """Where the message stands that was heard."""
    assert isinstance(then.outcome, Taken)
    return then.outcome.stream


def retry(story: Given, named: str, by: str = STAFF, reason: str | None = "mended") -> Then:
    """Have a message decided again."""
    return story.when(Retry(message=named, new_id="N-1", reason=reason), by=by, id="")


WORDLESS = """
lifecycle: parcel
version: 1
title: Parcel
collection: parcels
tools: {desk: {title: Desk}}
fields: {note: {type: text, owner: desk}}
states: {here: {owner: desk}, gone: {owner: desk, final: true}}
transitions: [{name: send, from: here, to: gone}]
"""
RELEASING = "releasing:projects"


def waiting(messages: int) -> Given:
    """A job of whose visit so many messages wait for the reference."""
    story = given(*CONFIRMED)
    for number in range(messages):
        one = hear("projects", ref="visit-7", fields={"scope": str(number)})
        story.when(one, by="projects", id="").done()
    return story


def left(story: Given) -> tuple[str, ...]:
    """The references for which more waits than was decided."""
    state = story.streams[RELEASING].state
    return state.messages if isinstance(state, Waiting) else ()


def caused(then: Then, kind: type[Event]) -> list[Any]:
    """The events of a kind that an ask caused."""
    return [one.event for one in then.entries if isinstance(one.event, kind)]


class TestRetry:
    def test_what_drifted_may_be_right_now(self) -> None:
        """A message is decided on the case as it is, and its outcome is another."""
        story = given(opened, deposit_due)
        named = stream(say(story, "crm", "closedwon", **STAGE))
        story.when(tell(deposit_paid="500.00 USD"), by="accounting").done()
        then = retry(story, named)
        assert message(then).outcome == "agrees"
        (understood,) = caused(then, Understood)
        assert (understood.by.staff, understood.reason) == ("Dispatcher", "mended")

    def test_the_same_outcome_is_not_recorded_again(self) -> None:
        """To look again and find the same changes nothing."""
        story = given(opened)
        then = retry(story, stream(say(story, "crm", "closedwon", **STAGE)))
        assert message(then).outcome == "drift"
        assert then.entries == ()

    @pytest.mark.parametrize(("word", "outcome"), [("presentationscheduled", "agrees")])
    def test_what_is_settled_stays_so(self, word: str, outcome: str) -> None:
        """Only what was parked, ignored or not taken is decided again."""
        story = given(opened)
        named = stream(say(story, "crm", word, **STAGE))
        story.when(tell(deposit_due="5.00 USD", deposit_paid="5.00 USD"), by="accounting").done()
        then = retry(story, named)
        assert (message(then).outcome, then.entries) == (outcome, ())

    def test_what_a_reference_has_released_is_settled(self) -> None:
        """A message that waited and was taken since is not decided once more."""
        story = given(*CONFIRMED)
        said: dict[str, Any] = {"ref": "visit-7", "fields": {"scheduled_for": "2026-05-11"}}
        heard = story.when(hear("projects", "upcoming", **said), by="projects", id="")
        assert message(heard).outcome == "parked"
        story.when(VISIT, by="projects").done()
        assert story.case.state == "scheduled"
        assert message(retry(story, stream(heard))).outcome == "applied"

    def test_who_may(self) -> None:
        """Staff may; a tool has only its own decided again; what is not there is not."""
        story = given(opened)
        named = stream(say(story, "crm", "closedwon", **STAGE))
        retry(story, named, reason=None).done()
        retry(story, named, by="projects").refused(NotYours)
        retry(story, "message:crm/none").refused(NotThere)
        retry(story, named, by="crm", reason=None).done()


class TestBounds:
    def test_what_comes_again_and_again_is_counted(self) -> None:
        """Each time stands in the log, so that no crash loses one; each is answered as one more."""
        story = given(opened)
        what = hear("crm", "closedwon", event_id="e-1", **STAGE)
        times = []
        recorded = 0
        for _ in range(60):
            then = story.when(what, by="crm")
            times.append(message(then).times)
            recorded += len(caused(then, HeardAgain))
        assert times == list(range(1, 61))
        assert recorded == 60 - 1

    def test_very_many_messages_are_decided_in_parts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Those that came first are decided with the reference, the others when it is spoken of."""
        monkeypatch.setattr(hearing, "RELEASED_MAX", 3)
        story = waiting(5)
        then = story.when(VISIT, by="projects")
        assert len(caused(then, Unparked)) == 3
        then = story.when(hear("projects", "", ref="visit-7"), by="projects", id="")
        assert left(story) == ()
        assert [type(one.event) for one in then.entries if one.stream == RELEASING] == [Unparked]

    def test_what_is_left_is_gone_on_with(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """That there is more stands in the log until all of it is decided, though nobody speaks."""
        monkeypatch.setattr(hearing, "RELEASED_MAX", 3)
        story = waiting(7)
        story.when(VISIT, by="projects").done()
        (parked,) = left(story)
        for number in (3, 1):
            then = story.when(Release(parked=parked), asker_is=Asker(), id="")
            assert len([one for one in then.entries if one.stream == parked]) == number
        assert left(story) == ()
        assert story.case.fields["scope"] == "6"
        assert story.when(Release(parked=parked), asker_is=Asker(), id="").entries == ()

    def test_who_lost_the_reference_is_not_given_more(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was left when the reference was released waits for whoever takes it next."""
        monkeypatch.setattr(hearing, "RELEASED_MAX", 3)
        story = waiting(5)
        story.when(VISIT, by="projects").done()
        (parked,) = left(story)
        story.when(ReleaseReference(tool="projects", ref="visit-7"), by="projects").done()
        story.when(Release(parked=parked), asker_is=Asker(), id="")
        assert (left(story), story.case.fields["scope"]) == ((), "2")
        story.when(VISIT, by="projects").done()
        assert story.case.fields["scope"] == "4"

    @pytest.mark.parametrize("ref", ["visit-7", "v" * 200])
    def test_facts_without_words_are_released_too(self, ref: str) -> None:
        """Also in a lifecycle in which no tool has words, and however long the reference is."""
        story = given(lifecycle=declared(WORDLESS))
        story.when(Open(), by="desk").done()
        report = hear("desk", ref=ref, fields={"note": "fragile"})
        story.when(report, by="desk", id="").done()
        story.when(TakeReference(tool="desk", ref=ref), by="desk").done()
        assert story.case.fields == {"note": "fragile"}

    def test_parked_messages_are_read_at_once(
        self, new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """To decide what waits for a reference takes a few questions to the log, not one each."""
        with journal_on(new_database()) as journal:
            journal.answer_now(ask(opened.what))
            for _ in range(20):
                report = hear("projects", "", ref="visit-7", fields={"scope": "Roof"})
                journal.hear_now(ask(report, "projects", ""))
            for known in list(journal.memory._known):
                journal.memory.forget(known)
            asked: list[int] = []
            streams = journal.recorder.streams

            def counted(names: Collection[str]) -> Sequence[Notification]:
                asked.append(len(names))
                return streams(names)

            monkeypatch.setattr(journal.recorder, "streams", counted)
            journal.answer_now(ask(VISIT, "projects"))
            assert len(asked) < 10
            assert max(asked) >= 20


class TestClaims:
    def test_a_claim_that_is_said_again_is_not_taken_back(self) -> None:
        """The same word once more replaces the claim, and says so."""
        story = given(opened)
        say(story, "projects", "upcoming")
        (ended,) = caused(say(story, "projects", "upcoming"), ClaimEnded)
        assert (ended.outcome, ended.why) == ("stale", "said-again")

    def test_a_claim_that_is_contradicted_is_taken_back(self) -> None:
        """A tool that says something else does not claim any more what it said before."""
        story = given(*CONFIRMED, scheduled)
        say(story, "accounting", "Invoiced", status_field="stage")
        (ended,) = caused(
            say(story, "accounting", "Deposit paid", status_field="stage"), ClaimEnded
        )
        assert (ended.outcome, ended.why) == ("stale", "")

    def test_claims_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A tool that goes back and forth before its time has its oldest claim struck out."""
        monkeypatch.setattr(hearing, "CLAIMS_MAX", 3)
        story = given(opened)
        for word in ("upcoming", "requires_invoicing", "upcoming"):
            say(story, "projects", word)
        then = say(story, "projects", "requires_invoicing")
        assert len(caused(then, ClaimEnded)) == 1
        state = story.streams["claims:jobs/C-1"].state
        assert isinstance(state, Claims)
        words = [claim.word for claim in state.open]
        assert words == ["requires_invoicing", "upcoming", "requires_invoicing"]


class TestErasing:
    def test_a_parked_message_about_the_case_is_erased_with_it(
        self, new_database: NewDatabase
    ) -> None:
        """Personal values in words that nobody understood are unreadable with those of the case."""
        with journal_on(new_database()) as journal:
            journal.answer_now(ask(opened.what))
            said = hear("crm", "nonsense", fields={"email": "b@example.com"}, **STAGE)
            taken = journal.hear_now(ask(said))
            assert taken.message.outcome == "parked"
            journal.answer_now(ask(erase(), STAFF))
            (heard,) = entries_of(journal, taken.stream)
            assert heard.event.personal == {"email": ERASED}  # type: ignore[attr-defined]  # of a message
            again = Retry(message=taken.stream, new_id="N-1", reason="to see")
            after = journal.hear_now(ask(again, STAFF, ""))
            assert after.message.outcome == "parked"
            state = journal.memory[taken.stream].state
            assert isinstance(state, Message)
            assert "b@example.com" not in repr(state)
            case = entries_of(journal, case_stream("jobs", "C-1"))
            assert not any(isinstance(one.event, TransitionMade | FieldsSet) for one in case)


def test_a_message_waits_once() -> None:
    """However often it is tried, a message waits in one place for its reference."""
    story = given(opened)
    then = story.when(hear("projects", "upcoming", ref="visit-7"), by="projects", id="")
    assert len(caused(then, Parked)) == 1
    assert retry(story, stream(then)).entries == ()
