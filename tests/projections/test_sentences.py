import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.declaration import Declaration
from lifecycle.events import (
    ERASED,
    EVENTS,
    Answered,
    Asker,
    CarriedOver,
    CaseOpened,
    ClaimEnded,
    ClaimMade,
    Condition,
    DefinitionAdopted,
    DefinitionMark,
    DriftFound,
    DriftResolved,
    Event,
    Fetched,
    FieldsSet,
    FlowFailing,
    FlowRecovered,
    FlowStarted,
    FlowStopped,
    Heard,
    HeardAgain,
    KeyIssued,
    KeyRevoked,
    MessagesLetGo,
    NoticeDelivered,
    NoticeDue,
    NoticeGivenUp,
    NoticeRecovered,
    NoticeSuperseded,
    OfNotice,
    Parked,
    ReactionDropped,
    ReactionPlanned,
    ReferenceFreed,
    ReferenceHeld,
    Refused,
    Reported,
    SessionsEnded,
    TransitionMade,
    Understood,
    Unparked,
    Value,
)
from lifecycle.model import Lifecycle
from projections.sentences import sentence
from projections.wording import condition, label, noun, past, write
from tests.projections.stories import (
    MORNING,
    Story,
    every_transition,
    field_service,
    lifecycles,
    whole_job,
)

CRM, STAFF = Asker(tool="crm", key="k2"), Asker(staff="the owner", key="k1")


def reported(outcome: str, why: str = "", by: Asker = CRM, **said: Any) -> Reported:
    """What the CRM's mirror of a job says."""
    about: dict[str, Any] = {"case": "jobs/J-1", "tool": "crm", "message": "message:crm/e1"}
    told: dict[str, Any] = {"status_field": "dealstage", "outcome": outcome, "why": why, **said}
    return Reported(recorded_at=MORNING, by=by, at=MORNING, **about, **told)


BESIDE: Sequence[tuple[Event, str]] = (
    (reported("agrees", word="closedwon"), "HubSpot said “closedwon”, which agrees."),
    (
        reported("drift", "not-the-owner", word="closedwon", said=("deposit_paid",)),
        (
            "HubSpot said “closedwon”, and the deposit paid, which is not so:"
            " its word does not count for that."
        ),
    ),
    (
        reported("early", by=STAFF, word="closedlost"),
        (
            "The owner passed on that HubSpot said “closedlost”, which comes too early for the job"
            " and waits."
        ),
    ),
    (reported("applied", said=("scope",)), "HubSpot said what the scope is."),
    (
        ClaimMade(
            recorded_at=MORNING,
            by=CRM,
            tool="crm",
            message="message:crm/e1",
            status_field="dealstage",
            word="closedlost",
            at=MORNING,
            states=("quoted",),
        ),
        "HubSpot's word “closedlost” waits until the job has come that far.",
    ),
    (
        ClaimEnded(recorded_at=MORNING, by=CRM, message="message:crm/e1", outcome="applied"),
        "What HubSpot said of the job before its time came true.",
    ),
    (
        Heard(
            recorded_at=MORNING,
            by=CRM,
            tool="crm",
            content="c0ffee",
            collection="jobs",
            at=MORNING,
            outcome="parked",
        ),
        "HubSpot sent a message.",
    ),
    (
        Fetched(recorded_at=MORNING, by=CRM, status_field="dealstage", word="closedwon"),
        "HubSpot was asked for the record that a message named.",
    ),
    (HeardAgain(recorded_at=MORNING, by=CRM), "HubSpot sent the same message again."),
    (
        HeardAgain(recorded_at=MORNING, by=CRM, times=20),
        "HubSpot sent the same message again, 20 times by now.",
    ),
    (
        ClaimEnded(recorded_at=MORNING, by=CRM, message="m", outcome="stale", why="said-again"),
        "What HubSpot said of the job before its time was said once more.",
    ),
    (
        Understood(recorded_at=MORNING, by=CRM, case="jobs/J-1", outcome="applied"),
        "A message about jobs/J-1 was looked at again: applied.",
    ),
    (
        Parked(recorded_at=MORNING, by=CRM, message="message:crm/e1"),
        "HubSpot sent a message about a record that is not known yet.",
    ),
    (
        Unparked(recorded_at=MORNING, by=CRM, message="message:crm/e1"),
        "A message waits for its record no more.",
    ),
    (
        CarriedOver(
            recorded_at=MORNING,
            time=MORNING,
            by=Asker(),
            left=("booked",),
            to=("scheduled",),
            definition=DefinitionMark(2, "c0ffee"),
        ),
        "Version 2 of the definition was adopted, in which the job stands at Scheduled.",
    ),
    (
        ReferenceHeld(recorded_at=MORNING, by=CRM, case="jobs/J-1"),
        "HubSpot linked a record to jobs/J-1.",
    ),
    (
        ReferenceFreed(recorded_at=MORNING, by=CRM),
        "HubSpot released a record, which is linked to no case any more.",
    ),
    (
        Answered(
            recorded_at=MORNING,
            by=CRM,
            content="c0ffee",
            case="case:jobs/J-1",
            version=1,
            event_version=1,
            status=201,
        ),
        "HubSpot was answered about jobs/J-1.",
    ),
    (
        KeyIssued(recorded_at=MORNING, by=STAFF, digest="c0ffee", tool="projects"),
        "The owner issued a key to Jobber.",
    ),
    (
        KeyIssued(recorded_at=MORNING, by=STAFF, digest="c0ffee", staff="them", read_only=True),
        "The owner issued a read-only key to them.",
    ),
    (KeyRevoked(recorded_at=MORNING, by=STAFF), "The owner revoked a key."),
    (SessionsEnded(recorded_at=MORNING, by=STAFF), "The owner signed out everywhere."),
    (
        MessagesLetGo(recorded_at=MORNING, by=Asker(), collection="jobs", upto=700, messages=1200),
        "Statekeeper let go of how 1,200 messages had come, as long ago as is kept.",
    ),
    (
        DefinitionAdopted(
            recorded_at=MORNING,
            by=Asker(),
            lifecycle="field_service",
            version=2,
            digest="c0ffee",
            text="…",
        ),
        "Statekeeper adopted version 2 of the lifecycle “Field-service job”.",
    ),
)


def notice(kind: type[OfNotice], **said: Any) -> OfNotice:
    """What became of something that the CRM is to be told."""
    about: dict[str, Any] = {"id": "ntc_1", "case": "jobs/J-1", "tool": "crm"}
    word = {"type": "case.word_changed", "status_field": "dealstage", "word": "closedwon"}
    who: dict[str, Any] = {"recorded_at": MORNING, "by": Asker()}
    return kind(**{**who, **about, **word, **said})


def differs(kind: type[DriftFound | DriftResolved], **said: Any) -> Event:
    """Where Jobber differs about a job."""
    about: dict[str, Any] = {"id": "dft_1", "case": "jobs/J-1", "tool": "projects"}
    who: dict[str, Any] = {"recorded_at": MORNING, "by": Asker(), "field": "status"}
    return kind(**{**who, **about, **said})


def flow(kind: type[Event], **said: Any) -> Event:
    """What became of telling Jobber."""
    who: dict[str, Any] = {"recorded_at": MORNING, "by": Asker(), "tool": "projects"}
    return kind(**{**who, **said})


REQUEST: dict[str, Any] = {"type": "case.request", "status_field": "", "word": ""}
PLAN: dict[str, Any] = {"id": "ntc_2", "case": "jobs/J-1", "reaction": "ask_for_review"}

TELLING: Sequence[tuple[Event, str]] = (
    (
        notice(NoticeDue, case_version=2),
        "HubSpot is to be told “closedwon” as its dealstage.",
    ),
    (
        notice(NoticeDue, case_version=2, why="drift"),
        (
            "HubSpot is to be told “closedwon” as its dealstage once more, for it shows something"
            " else."
        ),
    ),
    (
        notice(
            NoticeDue,
            tool="projects",
            type="case.fields_changed",
            word="",
            status_field="",
            case_version=2,
            personal={"clientEmail": "a@example.com", "instructions": "Ring"},
        ),
        "Jobber is to be told the email and the scope.",
    ),
    (
        notice(NoticeDue, **REQUEST, request="review_request", case_version=5),
        "HubSpot is to be asked for “review request”.",
    ),
    (
        notice(NoticeDelivered, attempts=1, status=200),
        "HubSpot was told “closedwon” as its dealstage.",
    ),
    (
        notice(NoticeDelivered, attempts=2, status=200),
        "HubSpot was told “closedwon” as its dealstage, at the second attempt.",
    ),
    (
        notice(NoticeDelivered, attempts=0, by=STAFF),
        "The owner has seen to it that HubSpot was told “closedwon” as its dealstage.",
    ),
    (
        notice(NoticeDelivered, attempts=0, by=STAFF, reason="Typed in"),
        "The owner has seen to it that HubSpot was told “closedwon” as its dealstage: Typed in.",
    ),
    (
        notice(NoticeSuperseded, why="newer-word"),
        ("HubSpot need not be told “closedwon” as its dealstage any more: there is a newer word."),
    ),
    (
        notice(NoticeGivenUp, attempts=10, why="it answered 500"),
        ("HubSpot could not be told “closedwon” as its dealstage in 10 attempts: it answered 500."),
    ),
    (
        notice(NoticeRecovered, by=STAFF, reason="it is back"),
        "The owner has HubSpot told “closedwon” as its dealstage now: it is back.",
    ),
    (
        flow(
            ReactionPlanned,
            **PLAN,
            request="review_request",
            fires_at=MORNING,
            states=("invoiced",),
        ),
        (
            "Jobber is to be asked for “review request” on 4 May 2026, 14:03 UTC, unless the job"
            " goes on before."
        ),
    ),
    (
        flow(ReactionDropped, **PLAN),
        "Jobber is not to be asked for “ask for review” any more: the job has gone on.",
    ),
    (
        differs(
            DriftFound, is_word=True, reported="late", expected="upcoming", why="not-the-owner"
        ),
        "Jobber says “late” where “upcoming” is true: its word does not count for that.",
    ),
    (
        differs(DriftFound, is_word=True, reported="late", expected="upcoming", why="fight"),
        (
            "Jobber says “late” where “upcoming” is true, time after time: it is told no more,"
            " somebody has to look."
        ),
    ),
    (
        differs(DriftFound, is_word=False, field="email", personal={"email": "b@example.com"}),
        "Jobber has another email than is known here.",
    ),
    (differs(DriftResolved, how="agrees"), "Jobber agrees about its status again."),
    (
        differs(DriftResolved, how="moved"),
        "Jobber is right about its status now that the job has changed.",
    ),
    (differs(DriftResolved, how="told"), "Jobber was put right about its status."),
    (
        differs(DriftResolved, how="told", by=STAFF, reason="they called"),
        "Jobber was put right about its status by the owner: they called.",
    ),
    (
        differs(DriftResolved, how="accepted", by=STAFF, reason="they called"),
        "The owner accepted what Jobber says of its status: they called.",
    ),
    (
        differs(DriftResolved, how="dismissed", by=STAFF, until=MORNING, reason="known"),
        ("The owner let Jobber differ in its status until 4 May 2026, 14:03 UTC: known."),
    ),
    (
        differs(DriftResolved, how="said-otherwise"),
        "Jobber says something else of its status now.",
    ),
    (
        differs(DriftResolved, how="erased", field="email"),
        "What Jobber said of its email was erased.",
    ),
    (
        flow(FlowFailing, why="no answer in 10 s"),
        "Jobber takes nothing at present: no answer in 10 s.",
    ),
    (flow(FlowRecovered), "Jobber takes what it is told again."),
    (
        flow(FlowStopped, why="410 Gone"),
        "Jobber wants to be told nothing any more: 410 Gone.",
    ),
    (
        flow(FlowStarted, by=STAFF, reason="they asked"),
        "The owner has Jobber told again: they asked.",
    ),
)


def test_each_event_of_a_job_is_one_plain_sentence() -> None:
    """Somebody who does not know the system reads what happened, in the names people use."""
    story = whole_job()

    assert [sentence(event, story.lifecycle) for event in story.events] == [
        (
            "HubSpot opened the job as Quoted, with scope Boiler, customer name “A. Customer”"
            " and email a@example.com, known in HubSpot as deal 987."
        ),
        "QuickBooks Online set the deposit due to 500.00 USD.",
        (
            "HubSpot asked to complete the job, which was refused:"
            " that cannot be done while the job is Quoted."
        ),
        (
            "HubSpot asked 2 times to complete the job, which was refused:"
            " that cannot be done while the job is Quoted."
        ),
        (
            "HubSpot asked to set the deposit paid, which was refused:"
            " it belongs to QuickBooks Online in this state."
        ),
        "QuickBooks Online set the deposit paid to 100.00 USD.",
        (
            "QuickBooks Online asked to confirm the deposit, which was refused:"
            " it needs that the deposit paid covers the deposit due,"
            " but the deposit paid is 100.00 USD, the deposit due is 500.00 USD."
        ),
        "QuickBooks Online set the deposit paid to 500.00 USD.",
        (
            "QuickBooks Online confirmed the deposit automatically, because the deposit paid"
            " (500.00 USD) covers the deposit due (500.00 USD)."
        ),
        (
            "Jobber asked to schedule the job, which was refused:"
            " it needs the date scheduled, not known yet."
        ),
        "Jobber scheduled the job for 11 May 2026.",
        "Jobber unscheduled the job, so the job is now Deposit confirmed.",
        "The dispatcher, in place of Jobber, scheduled the job: they called.",
        "QuickBooks Online linked the job to its invoice 130.",
        "The dispatcher, in place of HubSpot or Jobber, removed the scope: to be measured.",
        (
            "The dispatcher put the job where it really is, from Scheduled to Completed:"
            " the crew is home."
        ),
        "QuickBooks Online invoiced the job, with invoice number INV-7.",
        "QuickBooks Online unlinked the job from its invoice 130.",
        "The dispatcher erased the personal values of the job for good: the customer asked.",
    ]


def test_an_adopted_case_is_said_to_have_been_under_way() -> None:
    """Who reads the history of an adopted case learns that it did not begin here."""
    story = Story().opened("staff", state="scheduled", reason="moved from the spreadsheet")

    assert sentence(story.last, story.lifecycle) == (
        "The dispatcher took in the job as already Scheduled: moved from the spreadsheet."
    )


def test_a_transition_that_was_asked_for_tells_its_condition() -> None:
    """A transition that was asked for says that its condition held, with the values it saw."""
    event = TransitionMade(
        recorded_at=MORNING,
        time=MORNING,
        by=Asker(tool="accounting"),
        transition="confirm_deposit",
        left=("quoted",),
        to=("deposit_confirmed",),
        definition=field_service().mark,
        rule="",
        condition=Condition("deposit_paid >= deposit_due", {"deposit_paid": "1500.00 USD"}),
    )

    assert sentence(event, field_service()) == (
        "QuickBooks Online confirmed the deposit, now that the deposit paid (1,500.00 USD)"
        " covers the deposit due."
    )


@pytest.mark.parametrize(("event", "said"), [*BESIDE, *TELLING])
def test_what_stands_beside_the_cases_is_said_too(event: Event, said: str) -> None:
    """Keys, references, requests and definitions have their sentences, without any digest."""
    assert sentence(event, field_service()) == said


def test_no_kind_of_event_is_without_a_sentence() -> None:
    """The examples of this file and the adopted case cover everything that the log can hold."""
    adopted = Story().opened("staff", state="scheduled", reason="moved")
    told = [*whole_job().events, *adopted.events, *(event for event, _ in (*BESIDE, *TELLING))]

    assert {type(event) for event in told} == set(EVENTS)


def test_every_declared_transition_is_said_without_ids() -> None:
    """Whatever a shipped definition lets happen is a full sentence in which no id stands."""
    transitions = list(every_transition())

    assert transitions
    for lifecycle, event in transitions:
        said = sentence(event, lifecycle)
        assert said.endswith("."), said
        assert said[0].isupper(), said
        assert not _ids(lifecycle).intersection(re.findall(r"\w+", said)), said


def _ids(lifecycle: Lifecycle) -> set[str]:
    named = {*lifecycle.chart.places, *lifecycle.transitions, *lifecycle.declaration.tools}
    return {name for name in named if "_" in name}


@pytest.mark.parametrize("other", [None, "client", "mortgage_loan"])
def test_history_stays_readable_without_its_definition(other: str | None) -> None:
    """An event of which the lifecycle declares nothing any more is still a sentence."""
    lifecycle = lifecycles()[other] if other else None

    for event in [*whole_job().events, *(event for event, _ in (*BESIDE, *TELLING))]:
        said = sentence(event, lifecycle)
        assert said.endswith("."), said
        assert not re.search(r"[a-z]_[a-z]", said), said


def test_a_lost_definition_leaves_the_recorded_words() -> None:
    """Without a lifecycle the ids are read as plain words, and values by their shape."""
    scheduled = whole_job().events[10]

    assert sentence(scheduled, None) == "Projects scheduled the case for 11 May 2026."


def test_a_hidden_field_is_not_spoken_of() -> None:
    """A fact that the asker may not read, and a condition on it, are left out of the sentence."""
    story = whole_job()
    opened, *_, moved = story.events[:9]

    assert sentence(opened, story.lifecycle, hidden={"customer_name", "email"}) == (
        "HubSpot opened the job as Quoted, with scope Boiler, known in HubSpot as deal 987."
    )
    assert sentence(moved, story.lifecycle, hidden={"deposit_due"}) == (
        "QuickBooks Online confirmed the deposit automatically, because what it asks for holds."
    )
    assert sentence(story.events[1], story.lifecycle, hidden={"deposit_due"}) == (
        "QuickBooks Online changed facts about the job that are not shown here."
    )


def test_an_erased_value_reads_erased() -> None:
    """Once the key of a personal value is gone the sentence says so, and says no value."""
    event = FieldsSet(recorded_at=MORNING, time=MORNING, by=CRM, personal={"email": ERASED})

    assert sentence(event, field_service()) == "HubSpot set the email to (erased)."


def test_a_declared_title_is_the_verb_where_it_begins_with_it() -> None:
    """A transition's title is put into the past; one that is no such phrase is quoted."""
    assert _retitled("Schedule the visit") == "Jobber scheduled the visit for 11 May 2026."
    assert _retitled("Visit booked") == (
        "Jobber moved the job on (“Visit booked”), with date scheduled 11 May 2026,"
        " so the job is now Scheduled."
    )


def _retitled(title: str) -> str:
    plain = msgspec.to_builtins(field_service().declaration)
    for row in plain["transitions"]:
        if row["name"] == "schedule":
            row["title"] = title
    story = Story(Lifecycle(msgspec.convert(plain, Declaration)))
    story.opened().says("accounting", deposit_due="1.00 USD", deposit_paid="1.00 USD")
    story.makes("projects", "schedule", scheduled_for="2026-05-11")
    return sentence(story.last, story.lifecycle)


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        ("schedule", "scheduled"),
        ("confirm", "confirmed"),
        ("deny", "denied"),
        ("pay", "paid"),
        ("plan", "planned"),
        ("submit", "submitted"),
        ("limit", "limited"),
        ("open", "opened"),
        ("cancel", "cancelled"),
        ("send", "sent"),
        ("resend", "resent"),
        ("relay", "relayed"),
        ("release", "released"),
        ("outline", "outlined"),
        ("withdraw", "withdrew"),
        ("rescind", "rescinded"),
        ("fix", "fixed"),
        ("offer", "offered"),
        ("screen", "screened"),
    ],
)
def test_verbs_are_put_into_the_past(verb: str, said: str) -> None:
    """A transition is named by what is asked for; that it happened is said in the past."""
    assert past(verb) == said


@pytest.mark.parametrize(
    ("value", "kind", "written"),
    [
        ("1250.00 USD", "money", "1,250.00 USD"),
        ("-0.005 KWD", "money", "-0.005 KWD"),
        ("2026-05-11", "date", "11 May 2026"),
        ("2026-05-11T14:03:00.000Z", "datetime", "11 May 2026, 14:03 UTC"),
        ("2026-05-11T14:03:00.000+02:00", "datetime", "11 May 2026, 12:03 UTC"),
        (True, "boolean", "yes"),
        (False, "boolean", "no"),
        (1250000, "number", "1,250,000"),
        ("workers_compensation", "choice", "workers compensation"),
        (
            {"lines": ["1 High Street"], "city": "Springfield"},
            "address",
            "1 High Street, Springfield",
        ),
        ("two\nlines.", "text", "“two lines”"),
        ("2026-05-11", None, "11 May 2026"),
        ("not a date any more", "date", "“not a date any more”"),
    ],
)
def test_values_are_written_as_people_do(value: Value, kind: str | None, written: str) -> None:
    """Money, days, times, addresses and truth values read as they would in a letter."""
    assert write(value, kind) == written


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("deposit_paid >= deposit_due", "the deposit paid covers the deposit due"),
        ("deposit_paid < deposit_due", "the deposit paid is less than the deposit due"),
        ("not deposit_paid", "the deposit paid is no"),
        ("scope == 'repair' or scope != 'build'", "the scope is repair or the scope is not build"),
        ("In('quoted') and scope", "the job is Quoted and the scope is yes"),
        ("deposit_paid * 2 > 3.50", "the deposit paid times 2 is more than 3.5"),
        ("scheduled_for < scope", "the date scheduled is less than the scope"),
        ("1 < 2 <= 3", "1 is less than 2 and 2 is at most 3"),
        ("not a condition at_all", "not a condition at all"),
    ],
)
def test_conditions_are_read_aloud(when: str, said: str) -> None:
    """Nobody has to know the language of conditions to understand why something happened."""
    assert condition(when, field_service(), "the job") == said


def test_cases_and_fields_are_called_as_people_call_them() -> None:
    """One of the policies is a policy; a field of a date is a date."""
    assert noun(lifecycles()["insurance_policy"]) == "the policy"
    assert noun(field_service()) == "the job"
    assert noun(None) == "the case"
    assert label("scheduled_for", None) == "date scheduled"
    assert label("expires_on", None) == "date it expires"
    assert label("invoice_no", None) == "invoice number"


@given(text=st.text(max_size=400), reason=st.text(min_size=1, max_size=400))
def test_whatever_people_write_stays_one_sentence(text: str, reason: str) -> None:
    """Free text is cut, set in one line and closed by the sentence's own full stop."""
    event = CaseOpened(
        recorded_at=datetime(2026, 5, 4, tzinfo=UTC),
        time=datetime(2026, 5, 4, tzinfo=UTC),
        by=CRM,
        reason=reason,
        lifecycle="field_service",
        definition=field_service().mark,
        to=("quoted",),
        fields={"scope": text},
    )

    said = sentence(event, field_service())

    assert said.endswith(".")
    assert not said.endswith("..")
    assert len(said.splitlines()) == 1
    assert len(said) < 500


def test_each_condition_of_a_refusal_is_said() -> None:
    """Where transitions share a name, what each of them would need stands in the sentence."""
    detail = (
        "cannot 'complete' J-1: deposit_paid >= deposit_due does not hold (deposit_paid is"
        " 1.00 USD); and scope == 'Fence' does not hold (scope is yes)"
    )
    refused = Refused(
        recorded_at=MORNING,
        by=CRM,
        asked="complete",
        code="condition-not-met",
        detail=detail,
        state=("scheduled",),
        case_version=3,
    )
    said = sentence(refused, field_service())
    assert "covers the deposit due, but the deposit paid is 1.00 USD; or that the scope is" in said
    assert said.endswith("but the scope is yes.")
