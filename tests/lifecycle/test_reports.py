"""What a report means: each outcome, the order in which they are judged, the laws of hearing."""

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from msgspec.structs import replace

from lifecycle.asks import Ask, Taken
from lifecycle.case import Case
from lifecycle.changes import TakeReference
from lifecycle.chart import Chart, Configuration
from lifecycle.connectors import Connector
from lifecycle.declaration import Declaration
from lifecycle.events import (
    Asker,
    CaseOpened,
    ClaimEnded,
    ClaimMade,
    Event,
    FieldsSet,
    Heard,
    HeardAgain,
    ReferenceHeld,
    ReferenceTaken,
    Reported,
    TransitionMade,
    Understood,
)
from lifecycle.messages import Hear, Message
from lifecycle.mirror import SILENT, Claims, Mirror, Told
from lifecycle.model import Lifecycle
from lifecycle.refusals import NotYours, ReasonRequired, UnknownCase, UnknownTool
from lifecycle.reports import OUTCOMES, Hearing, Report, understand
from lifecycle.settling import settle
from tests.lifecycle.charts import declarations
from tests.lifecycle.given import (
    CONFIRMED,
    DEFINITIONS,
    HOUR,
    MORNING,
    STAFF,
    Did,
    Given,
    Then,
    completed,
    correct,
    declared,
    deposit_due,
    deposit_paid,
    given,
    invoiced,
    move,
    opened,
    scheduled,
    shipped,
    tell,
)

MINUTE = timedelta(minutes=1)
DAY = {"scheduled_for": "2026-05-11"}
NUMBERS = itertools.count(1)


def hear(tool: str, word: str = "", *, reason: str | None = None, **said: Any) -> Hear:
    """Let a tool say something that differs from all that was said before."""
    number = next(NUMBERS)
    report = Report(tool=tool, word=word, **said)
    return Hear(report=report, arrival=f"a{number}", new_id=f"N-{number}", reason=reason)


def say(story: Given, tool: str, word: str = "", *, about: str = "C-1", **said: Any) -> Then:
    """Have it heard, an hour later than all before."""
    then = story.when(hear(tool, word, **said), by=tool, id=about)
    then.done()
    return then


def message(then: Then) -> Message:
    """The message as it stands after everything that it caused."""
    assert isinstance(then.outcome, Taken)
    return then.outcome.message


def outcome(then: Then) -> tuple[str, str]:
    """What became of it, and why."""
    return message(then).outcome, message(then).why


def kinds(then: Then) -> list[type[Event]]:
    """What it caused, in order, but what the tools are due by it."""
    return [type(event) for event in then.caused]


def claims(story: Given) -> Claims:
    """What waits for the case."""
    found = story.streams[f"claims:{story.collection}/C-1"].state
    return found if isinstance(found, Claims) else Claims()


def mirror(story: Given, tool: str) -> Mirror:
    """What a tool says of the case."""
    found = story.streams[f"mirror:{story.collection}/C-1/{tool}"].state
    return found if isinstance(found, Mirror) else SILENT


class TestOutcomes:
    """The table of the contract, on a field-service job."""

    @pytest.mark.parametrize(
        ("history", "tool", "said", "expected"),
        [
            ((opened,), "projects", {}, ("ignored", "nothing-said")),
            ((opened,), "crm", {"status_field": "mood", "word": "x"}, ("parked", "unknown-field")),
            ((opened,), "crm", {"word": "closedwon"}, ("parked", "unknown-field")),
            ((opened,), "projects", {"word": "gone"}, ("parked", "unknown-word")),
            (
                (opened,),
                "crm",
                {"status_field": "dealstage", "word": "qualifiedtobuy"},
                ("ignored", "hears"),
            ),
            (CONFIRMED, "projects", {"word": "unscheduled"}, ("agrees", "")),
            ((*CONFIRMED, scheduled), "projects", {"word": "late"}, ("agrees", "")),
            (CONFIRMED, "projects", {"word": "upcoming", "fields": DAY}, ("applied", "")),
            ((*CONFIRMED, scheduled), "projects", {"word": "unscheduled"}, ("applied", "")),
            (CONFIRMED, "projects", {"word": "requires_invoicing", "fields": DAY}, ("applied", "")),
            (CONFIRMED, "projects", {"fields": DAY}, ("applied", "")),
            (CONFIRMED, "projects", {"word": "upcoming"}, ("early", "")),
            ((opened,), "projects", {"word": "upcoming", "fields": DAY}, ("early", "")),
            ((opened,), "projects", {"word": "unscheduled"}, ("drift", "not-the-owner")),
            (
                (opened,),
                "crm",
                {"status_field": "dealstage", "word": "closedwon"},
                ("drift", "not-the-owner"),
            ),
            (
                (*CONFIRMED, scheduled),
                "projects",
                {"word": "archived"},
                ("drift", "ambiguous-word"),
            ),
            (
                (*CONFIRMED, scheduled, completed),
                "crm",
                {"status_field": "dealstage", "word": "closedlost"},
                ("drift", "overtaken"),
            ),
            (
                (*CONFIRMED, scheduled, completed, invoiced),
                "projects",
                {"word": "requires_invoicing"},
                ("drift", "overtaken"),
            ),
        ],
    )
    def test_each_report_has_the_outcome_of_the_table(
        self, history: Sequence[Did], tool: str, said: Any, expected: tuple[str, str]
    ) -> None:
        """What a report means hangs on the case, on the words, and on whose word counts."""
        assert outcome(say(given(*history), tool, **said)) == expected

    def test_a_drift_names_the_word_that_would_be_right(self) -> None:
        """Who hears of a drift hears which word was expected, and which one came."""
        then = say(given(*CONFIRMED), "crm", "presentationscheduled", status_field="dealstage")
        assert (message(then).heard.expected, message(then).heard.word) == (
            "closedwon",
            "presentationscheduled",
        )

    def test_a_word_that_moves_a_case_is_its_transition(self) -> None:
        """The transition carries the message, the claimed time and the facts of the report."""
        story = given(*CONFIRMED)
        seen = story.now + 30 * MINUTE
        then = say(story, "projects", "upcoming", fields=DAY, occurred_at=seen, event_id="e1")
        made = then.caused[-2]
        assert kinds(then) == [Heard, TransitionMade, Reported]
        assert isinstance(made, TransitionMade)
        assert (made.message, made.time, made.fields) == ("message:projects/e1", seen, DAY)
        assert made.by == Asker(tool="projects")

    def test_a_chain_makes_every_transition_of_it(self) -> None:
        """A word further on is reached by the shortest chain, all of it this tool's to make."""
        story = given(*CONFIRMED)
        then = say(story, "projects", "requires_invoicing", fields=DAY)
        assert [event.transition for event in then] == ["schedule", "complete"]
        assert story.case.states == ("completed",)

    def test_a_chain_needs_every_transition_of_it(self) -> None:
        """Where one transition of the chain is another's to make, the word waits."""
        then = say(given(*CONFIRMED, scheduled), "accounting", "Invoiced", status_field="stage")
        assert outcome(then) == ("early", "")
        assert then.given.case.states == ("scheduled",)

    def test_hears_names_the_transition(self) -> None:
        """A word that `hears` gives a transition makes that one, though it ends the case."""
        story = given(*CONFIRMED)
        then = say(story, "crm", "closedlost", status_field="dealstage")
        assert outcome(then) == ("applied", "")
        assert story.case.states == ("cancelled",)

    def test_a_word_that_names_an_act_may_be_said_again(self) -> None:
        """A transition back into the same state is made for each message that says so."""
        lifecycle = declared(
            """
lifecycle: cover
version: 1
title: Cover
collection: covers
tools: {carrier: {title: Carrier}, crm: {title: CRM}}
states:
  quoted: {owner: crm}
  in_force: {owner: carrier}
  ended: {owner: carrier, final: true}
transitions:
  - {name: bind, from: quoted, to: in_force}
  - {name: endorse, from: in_force, to: in_force}
  - {name: end, from: in_force, to: ended}
words:
  carrier: {status: {quoted: ~, in_force: Active, ended: Ended}}
hears:
  carrier: {status: {Endorsed: endorse}}
"""
        )
        story = begun(lifecycle, "crm")
        assert outcome(say(story, "carrier", "Endorsed")) == ("applied", "")
        assert outcome(say(story, "carrier", "Endorsed")) == ("applied", "")
        assert story.case.version == 4


def begun(lifecycle: Lifecycle, by: str) -> Given:
    """A case of this lifecycle, just opened."""
    return given(replace(opened, by=by, what=replace(opened.what, fields={})), lifecycle=lifecycle)


class TestOrder:
    """Which outcome goes before which."""

    def test_the_same_message_again_is_a_duplicate(self) -> None:
        """An id that came with the same content changes nothing, whatever it would mean now."""
        story = given(*CONFIRMED)
        one = hear("projects", "upcoming", fields=DAY, event_id="e1")
        story.when(one, by="projects").done()
        story.also(Did("projects", move("unschedule")))
        then = story.when(one, by="projects")
        assert outcome(then) == ("duplicate", "")
        assert kinds(then) == [HeardAgain]
        assert story.case.states == ("deposit_confirmed",)

    def test_the_same_id_for_something_else_is_no_duplicate(self) -> None:
        """Products use ids twice: other content under the same id is another message."""
        story = given(*CONFIRMED)
        say(story, "projects", "unscheduled", event_id="e1")
        then = say(story, "projects", "upcoming", fields=DAY, event_id="e1")
        assert outcome(then) == ("applied", "")
        assert outcome(say(story, "projects", "unscheduled", event_id="e1")) == ("duplicate", "")

    def test_without_an_id_the_content_and_its_time_tell(self) -> None:
        """Without an id the digest tells, if it carries a time; else nothing can."""
        story = given(*CONFIRMED)
        seen = story.now
        assert outcome(say(story, "projects", "unscheduled", occurred_at=seen))[0] == "agrees"
        assert outcome(say(story, "projects", "unscheduled", occurred_at=seen))[0] == "duplicate"
        assert outcome(say(story, "projects", "unscheduled"))[0] == "agrees"
        assert outcome(say(story, "projects", "unscheduled"))[0] == "agrees"

    def test_an_older_word_is_stale(self) -> None:
        """What a tool saw before it said something else says nothing new, and its facts neither."""
        story = given(*CONFIRMED)
        say(story, "projects", "upcoming", fields=DAY, occurred_at=story.now)
        late: dict[str, Any] = {
            "occurred_at": story.now - 2 * HOUR,
            "fields": {"scheduled_for": "2026-06-01"},
        }
        then = say(story, "projects", "unscheduled", **late)
        assert outcome(then) == ("stale", "")
        assert kinds(then) == [Heard]

    def test_equally_old_is_not_older(self) -> None:
        """Two words of one moment are taken in the order of their arrival."""
        story = given(*CONFIRMED)
        seen = story.now
        say(story, "projects", "upcoming", fields=DAY, occurred_at=seen)
        assert outcome(say(story, "projects", "unscheduled", occurred_at=seen)) == ("applied", "")

    @pytest.mark.parametrize(("ahead", "counts"), [(4 * MINUTE, "stale"), (6 * MINUTE, "agrees")])
    def test_a_clock_far_ahead_is_not_believed(self, ahead: timedelta, counts: str) -> None:
        """A time more than five minutes ahead counts as that of receipt."""
        story = given(*CONFIRMED)
        say(story, "projects", "unscheduled", occurred_at=story.now + HOUR + ahead)
        story.now -= HOUR - MINUTE
        assert outcome(say(story, "projects", "unscheduled"))[0] == counts

    def test_another_field_of_the_same_tool_has_its_own_time(self) -> None:
        """What a tool says on one status field makes nothing stale on another."""
        story = given(*CONFIRMED)
        say(story, "crm", "closedwon", status_field="dealstage")
        seen: dict[str, Any] = {"occurred_at": story.now - 2 * HOUR}
        assert outcome(say(story, "crm", "To schedule", status_field="job_status", **seen)) == (
            "agrees",
            "",
        )

    def test_an_echo_is_the_word_that_was_delivered(self) -> None:
        """A word told a moment ago and repeated is an echo; told long ago it is not."""
        case, now = given(*CONFIRMED, scheduled).case, MORNING + 9 * HOUR
        hearing = Hearing(by=Asker(tool="crm"), message="message:crm/e1", now=now)
        report = Report(tool="crm", status_field="job_status", word="To schedule")

        def heard(minutes: int) -> str:
            at = now - minutes * MINUTE
            told = Mirror(told={"job_status": (Told("To schedule", at, sent_at=at),)})
            return understand(report, case, told, shipped()["field_service"], hearing).name

        assert (heard(9), heard(11)) == ("echo", "drift")

    def test_what_the_definition_ignores_is_never_stale(self) -> None:
        """A word that is passed over is passed over, however old it is."""
        story = given(opened)
        say(story, "crm", "presentationscheduled", status_field="dealstage")
        old: dict[str, Any] = {"status_field": "dealstage", "occurred_at": MORNING}
        assert outcome(say(story, "crm", "qualifiedtobuy", **old)) == ("ignored", "hears")

    def test_what_is_ignored_until_a_day_counts_from_then(self) -> None:
        """A workaround ends: from its day on the word means what it means."""
        text = shipped_text().replace(
            "qualifiedtobuy: ignore", "qualifiedtobuy: {ignore: true, until: 2026-05-05}"
        )
        story = begun(declared(text), "crm")
        said: dict[str, Any] = {"status_field": "dealstage", "word": "qualifiedtobuy"}
        assert outcome(say(story, "crm", **said)) == ("ignored", "hears")
        story.now = datetime(2026, 5, 4, 23, tzinfo=UTC)
        assert outcome(say(story, "crm", **said)) == ("parked", "unknown-word")

    def test_a_word_of_the_product_that_is_not_used_is_not_mapped(self) -> None:
        """What the connector knows and the lifecycle does not use is passed over, not parked."""
        jobber = Connector("jobber", "Jobber", status_field="'status'", vocabulary={
            "job": ("on_hold",), "mood": ("happy",),
        })  # fmt: skip
        plain = shipped()["field_service"]
        story = begun(Lifecycle(plain.declaration, plain.text, {"jobber": jobber}), "crm")
        assert outcome(say(story, "projects", "on_hold")) == ("ignored", "not-mapped")
        other = {"status_field": "mood"}
        assert outcome(say(story, "projects", "happy", **other)) == ("ignored", "not-mapped")

    def test_a_silent_state_hears_only_what_moves_it_or_lies_ahead(self) -> None:
        """Where a tool is told nothing, a word of a state behind says nothing."""
        lifecycle = declared(
            """
lifecycle: order
version: 1
title: Order
collection: orders
tools: {shop: {title: Shop}, till: {title: Till}}
states:
  placed: {owner: shop}
  paid: {owner: till}
  kept: {owner: shop}
  gone: {owner: shop, final: true}
transitions:
  - {name: pay, from: placed, to: paid}
  - {name: keep, from: paid, to: kept}
  - {name: go, from: kept, to: gone, by: till}
words:
  till: {status: {placed: open, paid: paid, kept: ~, gone: closed}}
"""
        )
        story = begun(lifecycle, "shop")
        assert outcome(say(story, "till", "paid")) == ("applied", "")
        story.also(Did("shop", move("keep")))
        assert outcome(say(story, "till", "paid")) == ("ignored", "silent")
        assert outcome(say(story, "till", "closed")) == ("applied", "")

    def test_a_later_act_of_another_is_not_undone(self) -> None:
        """A report that would leave a state entered since by somebody else is overtaken."""
        story = given(*CONFIRMED, scheduled)
        seen = story.now
        story.also(
            Did(STAFF, move("unschedule", reason="the customer asked")),
            Did("projects", tell(**DAY)),
        )
        then = say(story, "projects", "upcoming", occurred_at=seen)
        assert outcome(then) == ("drift", "overtaken")
        assert outcome(say(story, "projects", "upcoming")) == ("applied", "")

    def test_the_beginning_of_a_case_overtakes_nothing(self) -> None:
        """What an owner saw before the case was opened here is true of it all the same."""
        story = given(opened)
        seen = story.now - timedelta(days=1)
        paid = {"deposit_due": "5.00 USD", "deposit_paid": "5.00 USD"}
        say(story, "accounting", "Deposit paid", fields=paid, occurred_at=seen)
        assert story.case.state == "deposit_confirmed"

    def test_a_time_in_whole_seconds_stands_for_all_of_its_second(self) -> None:
        """Many products tell no more: what was done in the same second is not later."""
        story = given(*CONFIRMED)
        second = story.case.since.replace(microsecond=0)
        then = say(story, "projects", "upcoming", fields=DAY, occurred_at=second)
        assert outcome(then) == ("applied", "")

    def test_an_act_of_ones_own_overtakes_nothing(self) -> None:
        """A tool may say late what it saw before its own last act."""
        story = given(*CONFIRMED, scheduled)
        seen = story.now - 30 * MINUTE
        assert outcome(say(story, "projects", "requires_invoicing", occurred_at=seen)) == (
            "applied",
            "",
        )


@cache
def shipped_text() -> str:
    """The field-service definition as it is written, of products that nobody describes."""
    text = (DEFINITIONS / "field_service.yaml").read_text()
    return re.sub(r"connector: \w+, ", "", text)


class TestFields:
    """What a report says besides its word."""

    def test_a_fact_that_completes_a_condition_moves_the_case(self) -> None:
        """Money moves a job though nobody said a word."""
        story = given(opened, deposit_due)
        then = say(story, "accounting", fields={"deposit_paid": "500.00 USD"}, event_id="p1")
        assert outcome(then) == ("applied", "")
        assert kinds(then) == [Heard, FieldsSet, TransitionMade, Reported]
        assert {event.message for event in then} == {"message:accounting/p1"}

    def test_only_what_the_tool_owns_is_taken(self) -> None:
        """Every field that is not taken is named, with why; the others are taken all the same."""
        story = given(*CONFIRMED)
        said = {"scheduled_for": "2026-05-11", "invoice_no": "7", "colour": "red", "scope": 7}
        then = say(story, "projects", "upcoming", fields=said)
        assert message(then).heard.taken == ("scheduled_for",)
        assert message(then).heard.not_taken == {
            "invoice_no": "not-the-owner",
            "colour": "unknown",
            "scope": "invalid",
        }
        assert mirror(story, "projects").differing == {"invoice_no"}
        assert story.case.fields["scheduled_for"] == "2026-05-11"

    @pytest.mark.parametrize("word", ["unscheduled", "upcoming", "To schedule"])
    def test_facts_are_taken_whatever_the_word_is(self, word: str) -> None:
        """Facts are taken where the word agrees, moves the case, or waits."""
        story = given(*CONFIRMED)
        say(story, "projects", word, fields={"scope": "A boiler"})
        assert story.case.fields.get("scope") == (None if word == "To schedule" else "A boiler")

    def test_a_fact_older_than_the_last_is_not_taken(self) -> None:
        """Each field has its own time: an older value does not come back."""
        story = given(*CONFIRMED)
        say(story, "projects", fields={"scope": "new"}, occurred_at=story.now)
        then = say(story, "projects", fields={"scope": "old"}, occurred_at=story.now - 2 * HOUR)
        assert message(then).heard.not_taken == {"scope": "older"}
        assert story.case.fields["scope"] == "new"

    def test_personal_values_stand_with_the_case_alone(self) -> None:
        """No message and no mirror keeps a personal value once its case is known."""
        story = given(*CONFIRMED)
        then = say(story, "crm", fields={"email": "new@example.com"})
        assert story.case.fields["email"] == "new@example.com"
        heard = message(then).heard
        assert (heard.fields, heard.personal, heard.taken) == ({}, {}, ("email",))


class TestClaims:
    """What comes too early waits."""

    def test_claims_come_true_in_the_append_that_makes_them_possible(self) -> None:
        """The deposit arrives last, and the job is where the others said it was."""
        story = given(opened, deposit_due)
        say(story, "projects", "upcoming", fields=DAY, event_id="e1")
        say(story, "projects", "requires_invoicing", event_id="e2")
        said: dict[str, Any] = {"status_field": "stage", "fields": {"invoice_no": "INV-7"}}
        say(story, "accounting", "Invoiced", **said, event_id="i1")
        assert [one.word for one in claims(story).open] == [
            "upcoming",
            "requires_invoicing",
            "Invoiced",
        ]
        then = story.when(deposit_paid.what, by="accounting")
        assert [type(event) for event in then] == [FieldsSet] + [TransitionMade] * 4
        assert story.case.states == ("invoiced",)
        assert not claims(story).open
        last = story.streams["message:accounting/i1"].state
        assert isinstance(last, Message)
        assert (last.outcome, last.heard.outcome) == ("applied", "early")

    def test_a_claim_carries_its_own_message_and_asker(self) -> None:
        """The transition that a claim makes is its tool's, whoever made it possible."""
        story = given(opened, deposit_due)
        say(story, "projects", "upcoming", fields=DAY, event_id="e1")
        *_, made = story.when(deposit_paid.what, by="accounting")
        assert (made.by, made.message) == (Asker(tool="projects"), "message:projects/e1")

    def test_a_claim_that_others_brought_about_agrees(self) -> None:
        """Where the case gets there in another way, the claim ends as agreeing."""
        story = given(opened, deposit_due)
        say(story, "projects", "upcoming", event_id="e1")
        then = story.when(correct("scheduled"))
        assert tuple(kinds(then)[-2:]) == (ClaimEnded, Understood)
        assert then.caused[-1].outcome == "agrees"  # type: ignore[attr-defined]  # of the kind that is meant here

    def test_a_claim_that_cannot_come_true_drifts(self) -> None:
        """Where the case has gone past what was claimed, the claim ends as a drift."""
        story = given(opened)
        say(story, "projects", "upcoming")
        then = story.when(correct("cancelled"))
        assert then.caused[-1].outcome == "drift"  # type: ignore[attr-defined]  # of the kind that is meant here
        assert not claims(story).open

    def test_a_tool_that_says_otherwise_takes_its_claim_back(self) -> None:
        """What a tool claimed before it said something else does not come true later."""
        story = given(opened, deposit_due)
        say(story, "projects", "upcoming", fields=DAY)
        say(story, "projects", "unscheduled")
        assert not claims(story).open
        story.also(deposit_paid)
        assert story.case.states == ("deposit_confirmed",)

    def test_a_claim_that_is_said_again_does_not_pile_up(self) -> None:
        """A tool that says the same every day has one claim, its latest."""
        story = given(opened)
        for number in range(3):
            say(story, "projects", "upcoming", event_id=f"e{number}")
        assert [one.message for one in claims(story).open] == ["message:projects/e2"]
        first = story.streams["message:projects/e0"].state
        assert isinstance(first, Message)
        assert first.outcome == "stale"

    def test_a_claim_does_not_undo_what_others_did_later(self) -> None:
        """A claim that waits for a fact is overtaken by a later act that leads away from it."""
        story = given(*CONFIRMED, scheduled)
        said: dict[str, Any] = {"status_field": "stage", "fields": {"invoice_no": "INV-7"}}
        say(story, "accounting", "Invoiced", **said)
        then = story.when(move("cancel"), by="crm")
        assert [event.transition for event in then] == ["cancel"]
        assert then.caused[-1].outcome == "drift"  # type: ignore[attr-defined]  # of the kind that is meant here


class TestParked:
    """What is about a record that nobody knows."""

    def test_a_reference_releases_what_waited_for_it(self) -> None:
        """Messages about an unknown record are decided when it is linked, in their own order."""
        story = given(*CONFIRMED)
        later, sooner = story.now + 2 * MINUTE, story.now + MINUTE
        one = say(story, "projects", "requires_invoicing", about="", ref="j1", occurred_at=later)
        assert outcome(one) == ("parked", "unknown-reference")
        say(story, "projects", "upcoming", about="", ref="j1", occurred_at=sooner, fields=DAY)
        then = story.when(TakeReference(tool="projects", ref="j1"), by="projects")
        assert [type(event) for event in then] == [ReferenceTaken, TransitionMade, TransitionMade]
        assert story.case.states == ("completed",)

    def test_a_parked_message_gives_its_personal_values_to_the_case(self) -> None:
        """Personal values wait sealed with the message, whose key goes once the case has them."""
        story = given(*CONFIRMED)
        said: dict[str, Any] = {"about": "", "ref": "d1", "event_id": "e1"}
        then = say(story, "crm", fields={"email": "b@example.com", "scope": "x"}, **said)
        assert message(then).heard.personal == {"email": "b@example.com"}
        ask = Ask(
            asker=Asker(tool="crm"), collection="jobs", id="C-1",
            what=TakeReference(tool="crm", ref="d1"),
        )  # fmt: skip
        settled = settle(ask, story.streams, story.lifecycles, story.now)
        assert settled.forget == ("message:crm/e1",)
        kept = settled.known["message:crm/e1"].state
        assert isinstance(kept, Message)
        assert (kept.heard.personal, kept.outcome) == ({}, "applied")

    def test_without_any_reference_it_is_parked(self) -> None:
        """A message that names no record waits for somebody to look at it."""
        then = say(given(opened), "projects", "upcoming", about="")
        assert outcome(then) == ("parked", "no-reference")

    def test_a_reference_of_another_collection_is_unknown(self) -> None:
        """A record that means something in another collection is not known in this one."""
        story = Given(shipped()["field_service"], shipped()["client"]).also(*CONFIRMED)
        crm = TakeReference(tool="crm", ref="9")
        story.when(crm, by="crm").done()
        report = hear("crm", "lead", status_field="lifecyclestage", ref="9")
        then = story.when(report, by="crm", id="", collection="clients")
        assert outcome(then) == ("parked", "unknown-reference")

    def test_a_report_may_open_a_case(self) -> None:
        """A word that `hears` calls `open` begins a case under the tool's own reference."""
        story = given(opened)
        first = say(story, "projects", "upcoming", about="", ref="d7")
        assert outcome(first) == ("parked", "unknown-reference")
        said: dict[str, Any] = {
            "status_field": "dealstage",
            "fields": {"scope": "A roof", "invoice_no": "7"},
        }
        then = say(story, "crm", "presentationscheduled", about="", ref="d7", **said)
        assert outcome(then) == ("applied", "")
        assert kinds(then) == [Heard, CaseOpened, Reported, ReferenceHeld]
        begun = then.entries[1].event
        assert isinstance(begun, CaseOpened)
        assert (begun.references, begun.fields) == ({"crm": ("d7",)}, {"scope": "A roof"})
        assert message(then).heard.not_taken == {"invoice_no": "not-the-owner"}
        again = say(story, "crm", "presentationscheduled", about="", ref="d7", **said)
        assert outcome(again) == ("agrees", "")


class TestWho:
    """Who may report."""

    def test_a_tool_reports_only_for_itself(self) -> None:
        """Nobody speaks in another tool's name."""
        given(opened).when(hear("projects", "upcoming"), by="crm").refused(NotYours)

    def test_staff_pass_on_what_a_tool_says_with_a_reason(self) -> None:
        """Staff may report for any tool; it counts as that tool's word, and it shows."""
        story = given(*CONFIRMED)
        story.when(hear("projects", "upcoming", fields=DAY)).refused(ReasonRequired)
        then = story.when(hear("projects", "upcoming", fields=DAY, reason="by telephone"))
        (made,) = then
        assert (made.by.staff, made.override, made.reason) == ("Dispatcher", True, "by telephone")

    def test_staff_move_nothing_that_the_tool_could_not(self) -> None:
        """Passing a word on gives it no more weight than the tool has."""
        then = given(opened).when(
            hear("crm", "closedwon", status_field="dealstage", reason="by telephone")
        )
        assert outcome(then) == ("drift", "not-the-owner")

    def test_a_kind_that_nobody_declared_is_no_reason_to_send_it_away(self) -> None:
        """What a tool says of such a record waits, as what its webhooks say of it does."""
        story = given(opened)
        then = story.when(hear("crm", "closedwon", ref="7", kind="lead"), by="crm", id="")
        assert outcome(then) == ("parked", "unknown-reference")

    def test_what_is_named_has_to_be_there(self) -> None:
        """A case, or a tool, that nobody declared is refused, and leaves no message."""
        story = given(opened)
        story.when(hear("projects", "upcoming"), by="projects", id="C-9").refused(UnknownCase)
        story.when(hear("fax", "upcoming", reason="so")).refused(UnknownTool)
        assert not any(isinstance(entry.event, Heard) for entry in story.entries)


# --- laws ---------------------------------------------------------------------------------------

LIFECYCLES = sorted(shipped())


def somewhere(data: st.DataObject) -> Given:
    """A case of some shipped lifecycle, in some configuration that cases reach."""
    lifecycle = shipped()[data.draw(st.sampled_from(LIFECYCLES))]
    states = data.draw(st.sampled_from(sorted(lifecycle.chart.configurations)))
    adopt = replace(opened.what, fields={}, state="+".join(states), reason="so it is")
    return given(Did(STAFF, adopt), lifecycle=lifecycle)


def spoken(lifecycle: Lifecycle) -> list[tuple[str, str, str]]:
    """Every tool, status field and word that is declared, and one word that is not."""
    worded = [
        (field.tool, field.name, word)
        for field in lifecycle.vocabulary.status_fields
        for words in (*field.entries.values(), ("no such word",))
        for word in words
    ]
    heard = [
        (tool, field, word)
        for tool, fields in lifecycle.declaration.hears.items()
        for field, words in fields.items()
        for word in words
    ]
    return sorted({*worded, *heard})


@settings(max_examples=150, deadline=None)
@for_all(st.data())
def test_every_report_has_exactly_one_outcome(data: st.DataObject) -> None:
    """Whatever is heard, in whatever order and state: heard is the sum of the outcomes."""
    story = somewhere(data)
    words = spoken(story.lifecycle)
    sent = 0
    for _ in range(data.draw(st.integers(1, 6))):
        tool, field, word = data.draw(st.sampled_from(words))
        back = data.draw(st.integers(0, 3))
        said: dict[str, Any] = {
            "status_field": field,
            "event_id": data.draw(st.sampled_from(["", "e1", "e2"])),
        }
        say(story, tool, word, occurred_at=story.now - back * HOUR, **said)
        sent += 1
    messages = [known.state for known in story.streams.values() if isinstance(known.state, Message)]
    outcomes = Counter(one.outcome for one in messages)
    outcomes["duplicate"] += sum(one.times - 1 for one in messages)
    assert outcomes.total() == sent
    assert outcomes.keys() <= {*OUTCOMES}


@settings(max_examples=150, deadline=None)
@for_all(st.data())
def test_no_owner_is_overruled(data: st.DataObject) -> None:
    """No report makes a transition that its tool may not make, in whatever chain."""
    story = somewhere(data)
    tool, field, word = data.draw(st.sampled_from(spoken(story.lifecycle)))
    then = say(story, tool, word, status_field=field)
    for event in then:
        assert isinstance(event, TransitionMade)
        makers = [
            maker
            for row, may in zip(
                story.lifecycle.chart.rows, story.lifecycle.ownership.makers, strict=True
            )
            for maker in may
            if row.name == event.transition
        ]
        assert event.by.tool == tool
        assert tool in makers
    assert bool(list(then)) <= (outcome(then)[0] == "applied")


@settings(max_examples=100, deadline=None)
@for_all(st.data())
def test_a_word_told_and_heard_back_agrees(data: st.DataObject) -> None:
    """What a tool should show, and says it shows, agrees in every configuration."""
    story = somewhere(data)
    for tool, shown in story.lifecycle.vocabulary.shown(story.case.states).items():
        for field, word in shown.items():
            heard = story.lifecycle.declaration.hears.get(tool, {}).get(field, {})
            if word is not None and heard.get(word) != "ignore":
                assert outcome(say(story, tool, word, status_field=field))[0] == "agrees"


DIRECT: Sequence[Mapping[str, Any]] = (
    {
        "tool": "accounting",
        "fields": {"deposit_due": "500.00 USD", "deposit_paid": "500.00 USD"},
    },
    {"tool": "projects", "word": "upcoming", "fields": DAY},
    {"tool": "crm", "word": "closedwon", "status_field": "dealstage"},
    {"tool": "projects", "word": "requires_invoicing"},
    {
        "tool": "accounting",
        "word": "Invoiced",
        "status_field": "stage",
        "fields": {"invoice_no": "INV-7"},
    },
)
"""What the tools say of one job, in the order of the world."""


def interleavings() -> list[tuple[int, ...]]:
    """Every order of arrival in which each tool's own reports stay in order."""
    tools = [one["tool"] for one in DIRECT]
    return [
        order
        for order in itertools.permutations(range(len(DIRECT)))
        if all(
            order.index(a) < order.index(b)
            for a, b in itertools.combinations(range(len(DIRECT)), 2)
            if tools[a] == tools[b]
        )
    ]


@pytest.mark.parametrize("order", interleavings())
def test_claims_end_where_the_direct_order_would_have(order: tuple[int, ...]) -> None:
    """In whatever order the tools are heard: once all have spoken, the job is where it belongs."""
    story = given(opened)
    seen = story.now
    story.now += 9 * HOUR
    for index in order:
        say(story, **DIRECT[index], occurred_at=seen + (index + 1) * MINUTE)
    assert story.case.states == ("invoiced",)
    assert not claims(story).open
    assert isinstance(story.case, Case)


@pytest.mark.parametrize("name", LIFECYCLES)
def test_whatever_transitions_lead_to_lies_ahead(name: str) -> None:
    """No state that a case can still come to is taken for one that it has passed."""
    chart = shipped()[name].chart
    for states in sorted(chart.configurations):
        all_lies_ahead(chart, states)


@settings(max_examples=100, deadline=None)
@for_all(declarations())
def test_whatever_random_charts_lead_to_lies_ahead(declaration: Declaration) -> None:
    """The same of charts that nobody would draw."""
    chart = Chart(declaration)
    all_lies_ahead(chart, chart.initial)


def all_lies_ahead(chart: Chart, states: Configuration) -> None:
    """Check every transition out of here, whichever conditions hold."""
    ahead = chart.beyond(states).keys()
    rows = chart.open_rows(states)
    for row in rows:
        name = chart.rows[row].name
        verdicts = {
            one: one == row for one in rows if one in chart.guards and chart.rows[one].name == name
        }
        if lead := chart.lead(states, name, verdicts):
            assert {*lead.configuration} - {*states} <= ahead
            assert chart.beyond(lead.configuration).keys() <= ahead


def test_claims_are_never_heard_of_by_a_case_alone() -> None:
    """What waits raises no version: the case has not changed."""
    story = given(opened)
    before = story.case.version
    assert ClaimMade in kinds(say(story, "projects", "upcoming"))
    assert story.case.version == before
