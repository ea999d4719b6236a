from collections.abc import Sequence
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.asks import Causing, record
from lifecycle.changes import Correct, Erase
from lifecycle.events import Asker, NoticeDue, Value
from lifecycle.model import Lifecycle
from lifecycle.moves import open_transitions
from lifecycle.streams import mirror_stream
from lifecycle.telling import given_up, recovered
from projections.timeline import history
from projections.views import case_view
from projections.why import span, waits_to_be_told, why
from tests.lifecycle.given import given as happened
from tests.lifecycle.given import opened
from tests.projections.stories import (
    Story,
    every_configuration,
    lifecycles,
    sample,
    whole_job,
)


def confirmed() -> Story:
    return (
        Story()
        .opened(fields={"scope": "Boiler"})
        .says("accounting", deposit_due="500.00 USD")
        .makes("crm", "complete")
        .says("accounting", deposit_paid="500.00 USD")
    )


def test_the_answer_reads_like_a_colleague_who_knows() -> None:
    """Where it is, who made it so and why they might, what it rests on, and what may come next."""
    story = confirmed().makes("projects", "complete").makes("projects", "complete")

    told = why(story.case, story.entries, story.lifecycle, now=story.now)

    assert told.answer == (
        "The job J-1 has been Deposit confirmed since 4 May 2026, 17:03 UTC."
        " QuickBooks Online confirmed the deposit automatically, because the deposit paid"
        " (500.00 USD) covers the deposit due (500.00 USD)."
        " QuickBooks Online is believed here, because Deposit confirmed is for QuickBooks Online"
        " to say."
        " It rests on this: QuickBooks Online set the deposit paid to 500.00 USD"
        " (4 May 2026, 17:03 UTC);"
        " QuickBooks Online set the deposit due to 500.00 USD (4 May 2026, 15:03 UTC)."
        " Since then, Jobber asked 2 times to complete the job, which was refused:"
        " that cannot be done while the job is Deposit confirmed."
        " Next, HubSpot or Jobber may cancel the job."
        " Jobber may schedule the job once the date scheduled is known."
    )


def test_the_chain_leads_from_the_latest_change_back_to_the_opening() -> None:
    """Only changes of state and the facts they rested on stand in it, newest first."""
    story = confirmed().says("projects", scheduled_for="2026-05-11").makes("projects", "schedule")

    told = why(story.case, story.entries, story.lifecycle, now=story.now)

    assert [(one.type, one.version) for one in told.because] == [
        ("TransitionMade", 6),
        ("FieldsSet", 5),
        ("TransitionMade", 4),
        ("FieldsSet", 3),
        ("FieldsSet", 2),
        ("CaseOpened", 1),
    ]


def test_facts_that_nothing_rested_on_are_no_reason() -> None:
    """A value that was overwritten before it counted, or never asked for, is not in the chain."""
    story = Story().opened().says("accounting", deposit_due="900.00 USD")
    story.says("crm", scope="Boiler").says("accounting", deposit_due="500.00 USD")
    story.says("accounting", deposit_paid="500.00 USD")

    told = why(story.case, story.entries, story.lifecycle, now=story.now)

    assert [one.version for one in told.because] == [6, 5, 4, 1]


def test_why_is_told_as_of_the_moment_asked_about() -> None:
    """From the entries up to a moment one learns why it was so then."""
    story = whole_job()
    before = Story().opened()

    told = why(before.case, story.entries[:1], story.lifecycle, now=before.now)

    assert told.state == "quoted"
    assert [one.type for one in told.because] == ["CaseOpened"]
    assert not told.refused


def test_every_refusal_stands_once_newest_first() -> None:
    """Refusals are evidence: each stands with its last count, the latest first."""
    story = whole_job()

    told = why(story.case, story.entries, story.lifecycle, now=story.now)

    assert [(one.data["asked"], one.data["times"]) for one in told.refused] == [
        ("schedule", 1),
        ("confirm_deposit", 1),
        ("deposit_paid", 1),
        ("complete", 2),
    ]
    assert "Since then" not in told.answer


def test_staff_stand_by_name() -> None:
    """Where a person acted in a tool's place the answer says who, and that staff may."""
    story = confirmed().then("staff", Correct(state="completed", reason="the crew is home"))

    answer = why(story.case, story.entries, story.lifecycle, now=story.now).answer

    assert "The dispatcher put the job where it really is, from Deposit confirmed" in answer
    assert "“the dispatcher” is staff, who may act in any tool's place" in answer
    assert "QuickBooks Online may invoice the job once the invoice number is known." in answer


def test_a_declared_maker_is_the_reason_why_it_might() -> None:
    """Where `by` allowed a transition the answer says whose it is, in the names people use."""
    story = confirmed().makes("crm", "cancel")

    answer = why(story.case, story.entries, story.lifecycle, now=story.now).answer

    assert (
        "HubSpot is believed here, because it is for HubSpot or Jobber to cancel the job." in answer
    )
    assert answer.endswith("Nothing more is to come: it has ended.")


def test_a_condition_that_does_not_hold_is_told_with_its_values() -> None:
    """What is missing for the next step is said with the values as they stand."""
    story = Story().opened()
    story.says("accounting", deposit_due="500.00 USD", deposit_paid="100.00 USD")

    answer = why(story.case, story.entries, story.lifecycle, now=story.now).answer

    assert (
        "QuickBooks Online may confirm the deposit once the deposit paid (100.00 USD)"
        " covers the deposit due (500.00 USD)." in answer
    )


def test_what_is_overdue_is_said_with_who_answers_for_it() -> None:
    """A case that stays too long names the state, by how much, and the owner of the next word."""
    story = confirmed()
    late = story.case.since + timedelta(days=3, hours=5, minutes=1)

    answer = why(story.case, story.entries, story.lifecycle, now=late).answer

    assert (
        "It has been Deposit confirmed 5 hours and 1 minute longer than it should"
        " (QuickBooks Online answers for it)." in answer
    )


def test_every_reachable_case_can_be_explained() -> None:
    """Wherever a case of a shipped definition is, why is answered in sentences without ids."""
    for story in every_configuration():
        told = why(story.case, story.entries, story.lifecycle, now=story.now + timedelta(days=90))

        ids = {*story.lifecycle.chart.places, *story.lifecycle.transitions}
        words = set(told.answer.replace(".", " ").replace(",", " ").split())
        assert told.answer.endswith(".")
        assert not words.intersection(name for name in ids if "_" in name), told.answer
        assert told.because[-1].type == "CaseOpened"
        assert told.state == story.case.state
        assert bool(told.next) != story.lifecycle.chart.ended(story.case.states)


def test_a_case_of_an_older_definition_is_still_explained() -> None:
    """Where the state is declared no more the past is told, and that the future cannot be."""
    story = confirmed()

    told = why(story.case, story.entries, lifecycles()["mortgage_loan"], now=story.now)

    assert "has been Deposit confirmed since" in told.answer
    assert told.answer.endswith("this state is not declared any more.")
    assert not told.next


def test_an_erased_case_is_still_explained() -> None:
    """Erasing takes the personal values, not the reasons."""
    story = confirmed().then("staff", Erase(reason="the customer asked"))

    told = why(story.case, story.entries, story.lifecycle, now=story.now)

    assert [one.type for one in told.because] == [
        "TransitionMade", "FieldsSet", "FieldsSet", "CaseOpened",
    ]  # fmt: skip


FACTS = {
    "customer_name": "Xq Customer",
    "scope": "Xq boiler",
    "deposit_due": "7711.00 USD",
    "deposit_paid": "66.00 USD",
}


@given(hidden=st.sets(st.sampled_from(sorted(FACTS))))
def test_hidden_values_never_leak_into_why(hidden: set[str]) -> None:
    """Neither the answer nor an event under it shows a value that the asker may not read."""
    story = Story().opened(fields={name: FACTS[name] for name in ("customer_name", "scope")})
    story.says("accounting", deposit_due="7711.00 USD", deposit_paid="66.00 USD")
    story.makes("accounting", "confirm_deposit")

    told = why(story.case, story.entries, story.lifecycle, hidden=hidden, now=story.now)

    text = msgspec.json.encode(told).decode().replace("7,711", "7711")
    for name, value in FACTS.items():
        both = {"deposit_due", "deposit_paid"}
        unseen = name in hidden or (name in both and both & hidden)
        assert (value in text) == (not unseen), name


SECRETS: dict[str, Value] = {
    "email": "xq@example.com",
    "phone": "+12025550177",
    "money": "7711.00 USD",
    "address": {"lines": ["77 Xq Street"], "city": "Springfield", "country": "US"},
}
MARKS = {"email": "xq@", "phone": "+12025550177", "money": "7,711", "address": "77 Xq Street"}


def test_attempts_are_those_of_the_notice_that_stands() -> None:
    """What waits was tried as often as the courier says, and before it was given up once."""
    story = happened(opened)
    due = next(
        entry.event
        for entry in story.entries
        if isinstance(entry.event, NoticeDue) and entry.event.status_field == "stage"
    )

    def attempts(known: dict[str, int]) -> int:
        told = why(story.case, story.entries, story.lifecycle, now=story.now, attempts=known).told
        return next(one.attempts for one in told if one.status_field == "stage")

    assert due.id in waits_to_be_told(story.entries)
    assert (attempts({}), attempts({due.id: 3}), attempts({"another": 3})) == (0, 3, 0)
    for decide in (
        given_up(due, 10, "answered 500"),
        recovered(due.id, due.case, due.tool, Asker(staff="Kim")),
    ):
        stream = mirror_stream("jobs", "C-1", due.tool)
        event = decide(story.streams[stream], story.now)
        assert event is not None
        causing = Causing(story.streams)
        record(causing, stream, event)
        story.streams.update(causing.known)
        story.entries += causing.entries
    assert (attempts({}), attempts({due.id: 2})) == (10, 12)


@given(data=st.data())
def test_no_tool_learns_what_it_may_not_read(data: st.DataObject) -> None:
    """Wherever a case wanders, whoever moves it: personal values reach only tools that read them.

    And the wandering is told in whole sentences.
    """
    lifecycle = data.draw(st.sampled_from(list(lifecycles().values())))
    story = Story(lifecycle, "C-1").opened("staff", reason="by hand", fields=_secrets(lifecycle))
    for _ in range(data.draw(st.integers(0, 8))):
        ways = open_transitions(story.case, lifecycle)
        if not ways:
            break
        way = data.draw(st.sampled_from(ways))
        by = data.draw(st.sampled_from([*lifecycle.declaration.tools, "staff"]))
        given = {name: sample(lifecycle, name) for name in _open_fields(way.requires, lifecycle)}
        story.makes(by, way.name, **given)

    for tool in lifecycle.declaration.tools:
        hidden = lifecycle.fields.keys() - lifecycle.readable(tool)
        told = why(story.case, story.entries, lifecycle, hidden=hidden, now=story.now)
        shown = case_view(story.case, lifecycle, story.now, hidden=hidden)
        passed = history(story.entries, lifecycle, hidden=hidden)

        assert all(event.sentence.endswith(".") for event in passed)
        text = msgspec.json.encode([told, shown, passed]).decode().replace("7711.00", "7,711")
        for name in lifecycle.personal:
            mark = MARKS.get(lifecycle.fields[name].type, f"Xq {name}")
            assert (mark in text) == (name not in hidden), (tool, name)


def _secrets(lifecycle: Lifecycle) -> dict[str, Value]:
    """Give every personal field a value that cannot be mistaken."""
    kinds = {name: lifecycle.fields[name].type for name in lifecycle.personal}
    return {name: SECRETS.get(kind, f"Xq {name}") for name, kind in kinds.items()}


def _open_fields(names: Sequence[str], lifecycle: Lifecycle) -> list[str]:
    return [name for name in names if name not in lifecycle.personal]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "less than a second"),
        (1, "1 second"),
        (61, "1 minute and 1 second"),
        (3600, "1 hour"),
        (200_000, "2 days and 7 hours"),
    ],
)
def test_lengths_of_time_are_told_in_two_units(seconds: int, said: str) -> None:
    """Nobody needs the seconds of something that is two days late."""
    assert span(seconds) == said
