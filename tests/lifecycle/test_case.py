"""What may happen to one case: on shipped definitions, and on one made for the rare rules."""

from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from typing import cast

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from lifecycle.changes import Open
from lifecycle.events import (
    ERASED,
    CaseAdopted,
    CaseOpened,
    Condition,
    Erased,
    FieldsSet,
    StateCorrected,
    TransitionMade,
)
from lifecycle.model import Lifecycle
from lifecycle.moves import open_transitions
from lifecycle.refusals import (
    ConditionNotMet,
    FieldsMissing,
    InvalidFields,
    NotTheOwner,
    ReasonRequired,
    StaffOnly,
    TransitionNotOpen,
    UnknownTransition,
)
from tests.lifecycle.given import (
    CONFIRMED,
    HOUR,
    STAFF,
    Did,
    completed,
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

applied = Did("desk", Open())


@cache
def loans() -> Lifecycle:
    """A lifecycle in which one word of the trade stands for three transitions."""
    return declared(
        """
lifecycle: loan
version: 1
title: Loan
collection: loans
tools:
  desk: {title: Desk}
  boss: {title: Boss}
  till: {title: Till}
fields:
  income:   {type: money, owner: desk}
  score:    {type: number, owner: desk}
  verified: {type: boolean, owner: desk}
states:
  applied: {title: Applied, owner: desk, initial: true}
  granted: {title: Granted, owner: boss, final: true}
transitions:
  - {name: decide, from: applied, to: granted, by: desk, when: "income >= '20.00 USD'"}
  - {name: decide, from: applied, to: granted, by: boss, when: score >= 600}
  - {name: decide, from: applied, to: granted, by: boss, when: verified}
"""
    )


@cache
def repairs() -> Lifecycle:
    """A lifecycle with everything that the shipped ones have no need of."""
    return declared(
        """
lifecycle: repair
version: 1
title: Repair
collection: repairs
tools:
  desk:  {title: Front desk, record_for: [intake]}
  bench: {title: Workbench, record_for: [work]}
  till:  {title: Till, record_for: [money]}
fields:
  client:  {type: case, owner: intake}
  name:    {type: text, owner: intake, personal: true}
  consent: {type: boolean, owner: intake, personal: true}
  note:    {type: text, owner: {testing: till, looking: bench, "*": desk}}
  faults:  {type: number, owner: work}
  weight:  {type: number, owner: {testing: bench}}
  price:   {type: money, owner: money}
  paid:    {type: money, owner: money}
  debt:    {type: money, owner: money, personal: true}
states:
  open:
    owner: work
    states:
      looking: {}
      testing: {}
      fixing:  {}
  waiting: {owner: intake}
  done:    {owner: work, final: true}
  paid_up: {owner: money, final: true}
  scrap:   {owner: intake, final: true}
transitions:
  - {name: on, from: open, to: waiting, by: desk}
  - {name: on, from: looking, to: testing, when: faults > 2}
  - {name: on, from: looking, to: fixing, when: faults > 0, by: till}
  - {name: back, from: [testing, fixing, waiting], to: open}
  - {name: finish, from: open, to: done, when: consent}
  - {name: settle, from: waiting, to: paid_up, when: paid >= price, by: [till, desk], auto: true,
     requires: [note]}
  - {name: drop, from: [open, waiting], to: scrap, when: paid < price * 0.1}
  - {name: forgive, from: waiting, to: scrap, when: debt < price}
"""
    )


intake = Did(STAFF, Open(reason="walked in"))


class TestOpening:
    def test_a_case_begins_where_the_definition_begins(self) -> None:
        """A case is opened by the owner of its initial state, and stands there from then on."""
        case = given(opened).case
        assert (case.state, case.version, case.since) == ("quoted", 1, case.changed_at)

    def test_only_the_owner_of_the_initial_state_opens(self) -> None:
        """Another tool may not open a case, and learns whose word that is."""
        refusal = given().when(Open(), by="accounting").refused(NotTheOwner, "that is for crm")
        assert refusal.facts == {"owners": ["crm"]}

    def test_opened_by_names_who_else_may_open(self) -> None:
        """Where the definition says `opened_by`, those tools open, and nobody else."""
        policies = shipped()["insurance_policy"]
        for tool in ("ams", "crm"):
            given(lifecycle=policies).when(Open(), by=tool).then(CaseOpened)
        given(lifecycle=policies).when(Open(), by="carrier").refused(NotTheOwner, "ams, crm")

    def test_staff_open_in_a_tools_place_with_a_reason(self) -> None:
        """Staff may open any case; they say why, and it shows as an override."""
        given().when(Open()).refused(ReasonRequired, "in place of crm")
        given().when(Open(reason="by phone")).then(CaseOpened, override=True, reason="by phone")

    def test_a_case_opens_with_what_its_opener_owns(self) -> None:
        """Fields that come with the opening are judged like any others; null says nothing."""
        ask = Open(fields={"scope": " Boiler ", "email": None})
        given().when(ask, by="crm").then(CaseOpened, fields={"scope": "Boiler"}, personal={})
        money = Open(fields={"deposit_due": "1.00 USD"})
        given().when(money, by="crm").refused(NotTheOwner, "deposit_due", "accounting")
        given().when(Open(fields={"email": "no"}), by="crm").refused(InvalidFields, "fields.email")

    def test_opening_may_complete_a_condition(self) -> None:
        """A transition that needs nobody is made with the opening itself."""
        ask = Open(fields={"deposit_due": "5.00 USD", "deposit_paid": "5.00 USD"}, reason="paper")
        event = given().when(ask).then(CaseOpened, TransitionMade, auto=True)
        assert event.to == ("deposit_confirmed",)

    def test_an_opening_may_be_claimed_for_earlier_but_not_later(self) -> None:
        """The time of an opening is the claimed one, never ahead of the clock."""
        begun = given()
        yesterday = begun.now - timedelta(days=1)
        begun.when(Open(occurred_at=yesterday), by="crm").then(CaseOpened, time=yesterday)
        ahead = given()
        ask = Open(occurred_at=ahead.now + timedelta(days=1))
        ahead.when(ask, by="crm").then(CaseOpened, time=ahead.now)


class TestAdoption:
    def test_staff_take_in_a_case_already_under_way(self) -> None:
        """An adopted case stands in the state it was in, since when it is said to be there."""
        story = given()
        since = story.now - timedelta(days=30)
        ask = Open(state="scheduled", reason="from the old sheet", occurred_at=since)
        story.when(ask).then(CaseAdopted, to=("scheduled",), time=since, override=True)
        assert (story.case.state, story.case.since) == ("scheduled", since)

    def test_only_staff_adopt(self) -> None:
        """A tool may not place a case into the middle of things, though it owns the state."""
        given().when(Open(state="scheduled"), by="crm").refused(StaffOnly)

    def test_adopting_needs_a_reason_and_a_declared_state(self) -> None:
        """Staff say why, and name a state that there is."""
        given().when(Open(state="scheduled")).refused(ReasonRequired)
        given().when(Open(state="lost", reason="?")).refused(UnknownTransition, "'lost'")

    def test_a_case_adopted_into_a_region_stands_in_every_region(self) -> None:
        """Regions that are not named stand at their initial state; leaves may be named with +."""
        loans = shipped()["mortgage_loan"]
        case = given(Did(STAFF, Open(state="curing", reason="?")), lifecycle=loans).case
        assert case.states == ("file_open", "curing", "disclosures_due")
        whole = Open(state="approved+title_clear+disclosures_due", reason="?")
        assert given(Did(STAFF, whole), lifecycle=loans).case.state == whole.state

    @pytest.mark.parametrize("state", ["approved+title_clear", "approved+recorded", "processing+x"])
    def test_what_no_case_can_be_in_is_not_adopted(self, state: str) -> None:
        """A combination of states that no case reaches is refused."""
        loans = given(lifecycle=shipped()["mortgage_loan"])
        loans.when(Open(state=state, reason="?")).refused(UnknownTransition)


class TestTransitions:
    def test_the_owner_of_where_it_leads_makes_it(self) -> None:
        """A transition is its target's owner's; the event says from where, to where and why."""
        event = given(*CONFIRMED).when(scheduled.what, by="projects").then(TransitionMade)
        assert (event.left, event.to) == (("deposit_confirmed",), ("scheduled",))
        assert event.rule == "'scheduled' belongs to projects"
        assert event.definition == shipped()["field_service"].mark

    def test_nobody_else_makes_it(self) -> None:
        """Another tool is refused, and told whose it is."""
        refusal = given(*CONFIRMED).when(move("schedule"), by="crm")
        facts = refusal.refused(NotTheOwner, "'scheduled' belongs to projects").facts
        assert facts == {"transition": "schedule", "owner": "projects", "owners": ["projects"]}

    def test_by_names_who_may_instead(self) -> None:
        """Those in `by` make a transition, whoever owns the state it leads to."""
        event = given(opened).when(move("cancel"), by="projects").then(TransitionMade)
        assert event.rule == "'cancel' may be made by crm, projects"
        given(opened).when(move("cancel"), by="accounting").refused(NotTheOwner, "crm, projects")

    def test_what_is_not_open_is_refused_with_what_is(self) -> None:
        """A transition that does not lead out of here is refused; the detail says what would do."""
        asked = given(*CONFIRMED).when(move("complete"), by="projects")
        detail = "cannot 'complete' C-1 in state 'deposit_confirmed'"
        ways = "(open: schedule by projects, cancel by crm, projects)"
        asked.refused(TransitionNotOpen, f"{detail} {ways}")

    def test_a_case_that_has_ended_goes_nowhere(self) -> None:
        """Out of a final state nothing leads."""
        story = given(*CONFIRMED, scheduled, completed, invoiced)
        story.when(move("cancel"), by="crm").refused(TransitionNotOpen, "it has ended")

    def test_an_undeclared_transition_is_unknown(self) -> None:
        """A name that nobody declared is refused with those that are."""
        given(opened).when(move("fly"), by="crm").refused(UnknownTransition, "'fly'", "schedule")

    def test_what_a_transition_requires_may_come_with_it(self) -> None:
        """A required field is known already, or in the same ask; else it is named as missing."""
        story = given(*CONFIRMED)
        refusal = story.when(move("schedule"), by="projects").refused(FieldsMissing)
        assert refusal.facts["missing"] == ["scheduled_for"]
        nothing = move("schedule", scheduled_for=None)
        story.when(nothing, by="projects").refused(FieldsMissing)
        known = Did("projects", tell(scheduled_for="2026-05-11"))
        given(*CONFIRMED, known).when(move("schedule"), by="projects").then(TransitionMade)

    def test_a_condition_that_does_not_hold_is_shown_with_its_values(self) -> None:
        """The refusal says what the condition is and what it saw."""
        story = given(opened, deposit_due, Did("accounting", tell(deposit_paid="499.99 USD")))
        refusal = story.when(move("confirm_deposit"), by="accounting").refused(ConditionNotMet)
        assert refusal.facts["when"] == "deposit_paid >= deposit_due"
        assert refusal.facts["values"] == {
            "deposit_paid": "499.99 USD",
            "deposit_due": "500.00 USD",
        }

    def test_another_currency_does_not_count(self) -> None:
        """Money in another currency is neither more nor less: the condition does not hold."""
        story = given(opened, deposit_due, Did("accounting", tell(deposit_paid="900.00 EUR")))
        asked = story.when(move("confirm_deposit"), by="accounting")
        asked.refused(ConditionNotMet, "different currencies")

    def test_a_field_that_a_condition_names_must_be_known(self) -> None:
        """A condition over a field that nobody has set is a missing field, not a no."""
        story = given(opened, deposit_due)
        refusal = story.when(move("confirm_deposit"), by="accounting").refused(FieldsMissing)
        assert refusal.facts["missing"] == ["deposit_paid"]

    def test_a_condition_sees_what_comes_with_the_ask(self) -> None:
        """Facts in the ask count at once, and the event keeps the values that decided."""
        ask = move("confirm_deposit", deposit_paid="500.00 USD")
        event = given(opened, deposit_due).when(ask, by="accounting").then(TransitionMade)
        assert event.condition.values == {
            "deposit_paid": "500.00 USD",
            "deposit_due": "500.00 USD",
        }


class TestSameNames:
    """`on` leads out of `looking` to `testing` or `fixing`, out of all of `open` to `waiting`."""

    @pytest.mark.parametrize(
        ("faults", "by", "to"),
        [(3, "bench", "testing"), (1, "till", "fixing"), (0, "desk", "waiting")],
    )
    def test_the_innermost_first_whose_condition_holds_is_taken(
        self, faults: int, by: str, to: str
    ) -> None:
        """Inner before outer, then file order; the first that holds decides where it leads."""
        story = given(intake, Did("bench", tell(faults=faults)), lifecycle=repairs())
        story.when(move("on"), by=by).then(TransitionMade, to=(to,))

    @pytest.mark.parametrize(("faults", "owner"), [(3, "bench"), (1, "till"), (0, "desk")])
    def test_then_its_owner_is_judged(self, faults: int, owner: str) -> None:
        """Whose transition it is follows from the one that is taken, not from its namesakes."""
        story = given(intake, Did("bench", tell(faults=faults)), lifecycle=repairs())
        (listed,) = (one for one in open_transitions(story.case, repairs()) if one.name == "on")
        assert listed.by == (owner,)
        for other in {"desk", "bench", "till"} - {owner}:
            story.when(move("on"), by=other).refused(NotTheOwner, owner)

    def test_a_state_below_has_its_ancestors_way_out(self) -> None:
        """Where no inner transition stands, the outer one of the name is taken."""
        story = given(intake, Did(STAFF, correct("fixing")), lifecycle=repairs())
        story.when(move("on"), by="desk").then(TransitionMade, to=("waiting",))

    def test_a_transition_into_a_compound_state_enters_its_initial_state(self) -> None:
        """To lead to a state with states in it is to lead to its first."""
        story = given(intake, Did(STAFF, correct("fixing")), lifecycle=repairs())
        story.when(move("back"), by="bench").then(TransitionMade, to=("looking",))


class TestFields:
    def test_a_field_is_its_owners(self) -> None:
        """Only the owner of a field sets it; the refusal names the field and its owner."""
        refusal = given(opened).when(tell(deposit_paid="1.00 USD"), by="crm").refused(NotTheOwner)
        assert (refusal.facts["field"], refusal.facts["owner"]) == ("deposit_paid", "accounting")

    def test_who_owns_a_field_may_hang_on_the_state(self) -> None:
        """The scope is the CRM's while the job is quoted, the project tool's ever after."""
        given(opened).when(tell(scope="Boiler"), by="crm").then(FieldsSet)
        given(opened).when(tell(scope="Boiler"), by="projects").refused(NotTheOwner, "crm")
        given(*CONFIRMED).when(tell(scope="Boiler"), by="projects").then(FieldsSet)
        given(*CONFIRMED).when(tell(scope="Boiler"), by="crm").refused(NotTheOwner, "projects")

    @pytest.mark.parametrize(
        ("state", "owner"), [("looking", "bench"), ("testing", "till"), ("waiting", "desk")]
    )
    def test_a_star_stands_for_the_states_that_are_not_named(self, state: str, owner: str) -> None:
        """Of a field's owners by state the active one counts, and * for the rest."""
        story = given(intake, Did(STAFF, correct(state)), lifecycle=repairs())
        for tool in ("desk", "bench", "till"):
            asked = story.when(tell(note=f"seen by {tool}"), by=tool)
            asked.then(FieldsSet) if tool == owner else asked.refused(NotTheOwner, owner)

    def test_where_no_owner_is_named_it_belongs_to_nobody(self) -> None:
        """Without an entry for the state, only staff may set the field."""
        story = given(intake, lifecycle=repairs())
        for tool in ("desk", "bench", "till"):
            story.when(tell(weight=3), by=tool).refused(NotTheOwner, "belongs to nobody")
        story.when(tell(weight=3, reason="weighed")).then(FieldsSet)

    def test_the_state_before_the_ask_decides_who_owns(self) -> None:
        """What comes with a transition is judged where the case stands before it."""
        ask = move("confirm_deposit", scope="Boiler")
        story = given(opened, deposit_due)
        story.when(ask, by="accounting").refused(NotTheOwner, "'scope'", "crm")

    def test_values_take_their_canonical_form(self) -> None:
        """What is recorded is the one form of the value, however it was written."""
        asked = given(opened).when(tell(email="A.Customer@EXAMPLE.com"), by="crm")
        assert asked.then(FieldsSet).personal == {"email": "A.Customer@example.com"}

    def test_every_wrong_value_is_named(self) -> None:
        """A refusal lists all values that no format takes, each with its path."""
        ask = tell(deposit_due="500", deposit_paid="1.001 USD", colour="red")
        refusal = given(opened).when(ask, by="accounting").refused(InvalidFields, "2 more")
        assert [one["path"] for one in refusal.facts["errors"]] == [  # type: ignore[attr-defined]  # of the kind that is meant here
            "fields.deposit_due",
            "fields.deposit_paid",
            "fields.colour",
        ]

    def test_what_is_known_already_makes_no_event(self) -> None:
        """A value that stands, in whatever form it is told again, changes nothing."""
        story = given(opened, deposit_due)
        asked = story.when(tell(deposit_due=" 500.00 usd "), by="accounting")
        assert (asked.then(), asked.case.version) == (None, 2)
        more = tell(deposit_due="500.00 USD", deposit_paid="1.00 USD")
        story.when(more, by="accounting").then(FieldsSet, fields={"deposit_paid": "1.00 USD"})

    def test_null_forgets(self) -> None:
        """Null makes a value unknown again; to forget what is not known changes nothing."""
        story = given(opened, deposit_due)
        story.when(tell(deposit_due=None), by="accounting").then(FieldsSet)
        assert "deposit_due" not in story.case.fields
        story.when(tell(deposit_due=None), by="accounting").then()

    def test_personal_values_stand_apart(self) -> None:
        """Personal values are kept apart from the others in the event, and together in the case."""
        ask = Open(fields={"email": "a@example.com", "scope": "Boiler"})
        event = given().when(ask, by="crm").then(CaseOpened)
        assert (event.fields, event.personal) == ({"scope": "Boiler"}, {"email": "a@example.com"})
        assert given(Did("crm", ask)).case.fields == ask.fields

    def test_a_condition_does_not_give_a_personal_value_away(self) -> None:
        """What a condition saw is kept in the open, so personal values are left out of it."""
        story = given(intake, Did("desk", tell(consent=True)), lifecycle=repairs())
        event = story.when(move("finish"), by="bench").then(TransitionMade)
        assert event.condition.values == {"consent": "(personal)"}

    def test_nor_does_its_refusal(self) -> None:
        """What keeps a condition from holding is told without the personal values in it."""
        money = Did("till", tell(price="9.00 USD", debt="5.17 EUR"))
        story = given(intake, money, Did(STAFF, correct("waiting")), lifecycle=repairs())
        refusal = story.when(move("forgive"), by="desk").refused(ConditionNotMet, "(personal)")
        blocked = [one.blocked for one in open_transitions(story.case, repairs())]
        assert "5.17" not in f"{refusal.detail} {refusal.facts} {blocked}"
        assert "5.17" not in repr([one.event for one in story.entries[2:]])

    def test_staff_set_fields_with_a_reason(self) -> None:
        """Staff may state any fact; they say why, and it shows."""
        given(opened).when(tell(deposit_due="1.00 USD")).refused(ReasonRequired)
        ask = tell(deposit_due="1.00 USD", reason="letter")
        given(opened).when(ask).then(FieldsSet, override=True, reason="letter")


class TestOneNameForSeveral:
    """Transitions that share a name: of a no it is said what came nearest."""

    MONEY = Did("desk", tell(income="10.00 USD"))

    def test_the_first_whose_condition_holds_is_chosen(self) -> None:
        """Then its owner is judged, whoever could make another of them."""
        story = given(applied, self.MONEY, Did("desk", tell(score=700)), lifecycle=loans())
        story.when(move("decide"), by="desk").refused(NotTheOwner, "for boss")
        assert story.when(move("decide"), by="boss").done().case.state == "granted"

    def test_one_that_only_lacks_facts_is_nearest(self) -> None:
        """However the conditions of the others stand: the asker learns what to find out."""
        story = given(applied, self.MONEY, lifecycle=loans())
        refusal = story.when(move("decide"), by="boss").refused(FieldsMissing, "score")
        assert refusal.facts["missing"] == ["score"]
        (way,) = open_transitions(story.case, loans())
        assert (way.to, way.blocked) == ("granted", "score is not set")

    def test_where_no_condition_holds_each_is_said(self) -> None:
        """With the values that each has seen, and a yes or no as people say it."""
        known = Did("desk", tell(score=100, verified=False))
        story = given(applied, self.MONEY, known, lifecycle=loans())
        refusal = story.when(move("decide"), by="boss").refused(
            ConditionNotMet, "score >= 600 does not hold (score is 100); and verified does not hold"
        )
        assert "(verified is no)" in refusal.detail
        conditions = cast("Sequence[Condition]", refusal.facts["conditions"])
        assert [one.values for one in conditions] == [{"score": 100}, {"verified": False}]
        (way,) = open_transitions(story.case, loans())
        assert way.blocked == (
            "income >= '20.00 USD' does not hold; and score >= 600 does not hold;"
            " and verified does not hold"
        )

    def test_only_those_count_that_the_asker_could_make(self) -> None:
        """What another might do with more facts is no news to somebody who may not do it."""
        story = given(applied, self.MONEY, lifecycle=loans())
        story.when(move("decide"), by="desk").refused(ConditionNotMet, "income")
        story.when(move("decide"), by="till").refused(NotTheOwner)


class TestAuto:
    def test_the_fact_that_completes_a_condition_moves_the_case(self) -> None:
        """The money moves the job in the same breath, on behalf of the tool that told of it."""
        asked = given(opened, deposit_due).when(deposit_paid.what, by="accounting")
        event = asked.then(FieldsSet, TransitionMade, auto=True, transition="confirm_deposit")
        assert (event.by.tool, event.to) == ("accounting", ("deposit_confirmed",))
        assert asked.case.state == "deposit_confirmed"

    def test_the_answer_is_about_what_was_asked(self) -> None:
        """The event of the answer is the asked one; the case is as it is after all of them."""
        answer = given(opened, deposit_due).when(deposit_paid.what, by="accounting").answer
        assert answer.entry is not None
        assert (answer.entry.version, answer.case.version) == (3, 4)

    def test_only_a_tool_that_may_make_it_sets_it_off(self) -> None:
        """What another tool completes waits for one of those that may."""
        facts = Did("till", tell(price="9.00 USD", paid="9.00 USD"))
        waiting = Did(STAFF, correct("waiting"))
        story = given(intake, facts, waiting, lifecycle=repairs())
        story.when(tell(faults=1), by="bench").then(FieldsSet)
        story.when(tell(note="paid"), by="desk").then(FieldsSet, TransitionMade)
        assert story.case.state == "paid_up"

    def test_it_waits_for_what_it_requires(self) -> None:
        """A condition that holds is not enough where a required field is not known."""
        waiting = Did(STAFF, correct("waiting"))
        story = given(intake, waiting, lifecycle=repairs())
        story.when(tell(price="9.00 USD", paid="9.00 USD"), by="till").then(FieldsSet)

    def test_the_last_of_three_regions_moves_the_whole(self) -> None:
        """The loan is clear to close when credit, title and papers are, whoever was last."""
        loans = shipped()["mortgage_loan"]
        almost = Open(state="approved+committed+disclosures_signed", reason="?")
        story = given(Did(STAFF, almost), lifecycle=loans)
        event = story.when(move("clear_title"), by="title_company").then(
            TransitionMade, TransitionMade, auto=True, transition="clear"
        )
        assert (event.by.tool, event.to) == ("title_company", ("clear_to_close",))


class TestStaff:
    def test_staff_act_as_the_steward_with_a_reason(self) -> None:
        """Staff may do what a tool may, and it shows who, why, and that it was an override."""
        story = given(*CONFIRMED)
        ask = move("schedule", scheduled_for="2026-05-11")
        story.when(ask).refused(ReasonRequired, "in a tool's place")
        event = story.when(move("schedule", scheduled_for="2026-05-11", reason="Jobber is down"))
        made = event.then(TransitionMade, override=True, reason="Jobber is down")
        assert (made.by.staff, made.rule) == ("Dispatcher", "Dispatcher acted as the steward")

    def test_a_tool_does_not_override(self) -> None:
        """What a tool does in its own right is no override."""
        given(*CONFIRMED).when(scheduled.what, by="projects").then(TransitionMade, override=False)

    def test_the_steward_is_bound_by_conditions(self) -> None:
        """A reason does not make a condition hold."""
        story = given(opened, deposit_due, Did("accounting", tell(deposit_paid="1.00 USD")))
        story.when(move("confirm_deposit", reason="trust me")).refused(ConditionNotMet)

    def test_a_correction_puts_the_case_where_it_is(self) -> None:
        """Staff may put a case anywhere, past every rule but a reason; nothing else changes."""
        story = given(opened)
        story.when(correct("invoiced", reason=None)).refused(ReasonRequired)
        story.when(correct("nowhere")).refused(UnknownTransition)
        event = story.when(correct("invoiced")).then(StateCorrected, override=True)
        assert (event.left, event.to) == (("quoted",), ("invoiced",))
        assert story.case.state == "invoiced"

    def test_a_correction_to_where_it_is_changes_nothing(self) -> None:
        """To say again where the case stands makes no event."""
        given(opened).when(correct("quoted")).then()

    def test_tools_do_not_correct(self) -> None:
        """Corrections and erasing are for staff."""
        given(opened).when(correct("invoiced"), by="crm").refused(StaffOnly)
        given(opened).when(erase(), by="crm").refused(StaffOnly)


class TestErasing:
    def test_personal_values_read_erased(self) -> None:
        """After erasing, what was personal reads so; the rest and the history stand."""
        story = given(opened, deposit_due)
        story.when(erase()).then(Erased, override=True)
        assert story.case.fields == {
            "customer_name": ERASED,
            "email": ERASED,
            "deposit_due": "500.00 USD",
        }

    def test_erasing_needs_a_reason(self) -> None:
        """It cannot be undone, so staff say why."""
        given(opened).when(erase(None)).refused(ReasonRequired)

    def test_what_was_erased_can_be_told_again(self) -> None:
        """A value set after erasing stands; the others stay erased."""
        story = given(opened, Did(STAFF, erase()), Did("crm", tell(email="b@example.com")))
        assert story.case.fields == {"customer_name": ERASED, "email": "b@example.com"}

    def test_an_erased_value_decides_nothing(self) -> None:
        """A condition over an erased value does not hold, whatever it was."""
        story = given(intake, Did("desk", tell(consent=True)), lifecycle=repairs())
        story.when(erase()).done()
        story.when(move("finish"), by="bench").refused(ConditionNotMet, "consent was erased")


class TestTime:
    def test_a_change_happened_when_its_teller_says(self) -> None:
        """The time of a change is the claimed one; when it was recorded stands beside it."""
        story = given(opened)
        claimed = story.now + HOUR / 2
        ask = tell(deposit_due="1.00 USD")
        ask = type(ask)(fields=ask.fields, occurred_at=claimed)
        story.when(ask, by="accounting").then(FieldsSet, time=claimed, recorded_at=story.now)

    @for_all(st.lists(st.integers(-500, 500), max_size=8))
    def test_time_never_runs_backwards_nor_ahead(self, claims: list[int]) -> None:
        """Whatever is claimed, no change is before the one it follows, nor ahead of the clock."""
        story = given(opened)
        for number, hours in enumerate(claims):
            before = story.case.changed_at
            ask = tell(deposit_due=f"{number}.00 USD")
            claimed = story.now + hours * HOUR
            ask = type(ask)(fields=ask.fields, occurred_at=claimed)
            event = story.when(ask, by="accounting").then(FieldsSet)
            assert event.time == max(before, min(claimed, story.now))
            assert story.case.changed_at == event.time

    def test_since_is_when_the_case_entered_where_it_is(self) -> None:
        """Facts that are told later leave `since` alone."""
        story = given(*CONFIRMED)
        since = story.case.since
        story.when(tell(scheduled_for="2026-05-11"), by="projects").then(FieldsSet)
        assert (story.case.since, story.case.changed_at) == (since, story.now)


class TestCasesAsFields:
    def test_a_field_may_name_a_case_that_is_there(self) -> None:
        """A field of type case names one that somebody opened."""
        story = given(intake, lifecycle=repairs())
        story.when(Open(reason="?"), id="R-2").then(CaseOpened)
        story.when(tell(client="repairs/R-2"), by="desk").then(FieldsSet)

    def test_a_case_that_nobody_opened_is_no_value(self) -> None:
        """It is listed with the other values that do not fit, in the words of the field."""
        asked = given(intake, lifecycle=repairs()).when(tell(client="repairs/R-9"), by="desk")
        refusal = asked.refused(InvalidFields)
        assert refusal.facts["errors"] == [
            {"path": "fields.client", "detail": "there is no case 'repairs/R-9'"}
        ]

    def test_a_case_that_is_not_there_is_judged_in_its_turn(self) -> None:
        """Whether the transition is open and whose it is comes before any of its fields."""
        story = given(intake, lifecycle=repairs())
        story.when(move("settle", client="repairs/R-9"), by="till").refused(TransitionNotOpen)
        story.when(move("back", client="repairs/R-9"), by="till").refused(TransitionNotOpen)
        story.when(move("finish", client="repairs/R-9"), by="till").refused(NotTheOwner)


class TestArithmetic:
    @pytest.mark.parametrize(
        ("paid", "holds"), [("0.09 USD", True), ("0.10 USD", False), ("0.11 USD", False)]
    )
    def test_a_share_of_money_is_exact(self, paid: str, holds: bool) -> None:  # noqa: FBT001 - a column of the table above
        """A tenth of a dollar is ten cents, not the nearest binary fraction."""
        story = given(intake, Did("till", tell(price="1.00 USD", paid=paid)), lifecycle=repairs())
        asked = story.when(move("drop"), by="desk")
        asked.then(TransitionMade) if holds else asked.refused(ConditionNotMet)


@settings(max_examples=30)
@for_all(st.lists(st.sampled_from([opened, deposit_due, deposit_paid, scheduled, completed])))
def test_a_refusal_changes_nothing(asks: list[Did]) -> None:
    """Whatever is asked in whatever order, a case only changes by its events."""
    story = given(opened)
    for did in asks:
        before = story.case
        outcome = story.when(did.what, by=did.by)
        assert story.case.version == before.version + len(list(outcome))
        if not list(outcome):
            assert story.case == before
