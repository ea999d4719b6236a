from collections.abc import Sequence
from datetime import timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.changes import Correct
from lifecycle.declaration import Declaration
from lifecycle.events import Value
from lifecycle.model import Lifecycle
from lifecycle.moves import OpenTransition, open_transitions
from projections.views import case_view, due, overdue, tool_view, ways_out
from tests.projections.stories import (
    MORNING,
    Story,
    every_configuration,
    field_service,
    lifecycles,
    sample,
)


def scheduled() -> Story:
    story = Story().opened(
        fields={"customer_name": "A. Customer", "email": "a@example.com", "scope": "Boiler"},
        references={"crm": ("987",), "projects": ("55",)},
    )
    story.says("accounting", deposit_due="500.00 USD", deposit_paid="500.00 USD")
    return story.makes("projects", "schedule", scheduled_for="2026-05-11")


def test_a_case_is_shown_as_the_contract_writes_it() -> None:
    """Where it is, what is known, what may come next and what each tool shows: in that order."""
    story = scheduled()

    shown = msgspec.json.encode(case_view(story.case, story.lifecycle, story.now))

    assert list(msgspec.json.decode(shown).items()) == [
        ("collection", "jobs"),
        ("id", "J-1"),
        ("lifecycle", "field_service"),
        ("lifecycle_version", 1),
        ("state", "scheduled"),
        ("states", ["scheduled"]),
        ("since", "2026-05-04T16:03:11.120Z"),
        ("version", 4),
        ("position", 4),
        (
            "fields",
            {
                "scope": "Boiler",
                "customer_name": "A. Customer",
                "email": "a@example.com",
                "deposit_due": "500.00 USD",
                "deposit_paid": "500.00 USD",
                "scheduled_for": "2026-05-11",
            },
        ),
        ("references", {"crm": ["987"], "projects": ["55"]}),
        (
            "open_transitions",
            [
                _way("unschedule", "deposit_confirmed", ["projects"]),
                _way("complete", "completed", ["projects"]),
                _way("cancel", "cancelled", ["crm", "projects"]),
            ],
        ),
        (
            "tools",
            {
                "crm": {"dealstage": "closedwon", "job_status": "Scheduled"},
                "projects": {"status": "upcoming"},
                "accounting": {"stage": "Deposit paid"},
            },
        ),
        ("overdue", None),
    ]


def _way(name: str, to: str, by: list[str]) -> dict[str, object]:
    return {"name": name, "to": to, "by": by, "requires": [], "blocked": None}


def test_what_may_not_be_read_is_not_shown() -> None:
    """A tool's view of a case has every field but those that are hidden from it."""
    story = scheduled()
    hidden = set(story.lifecycle.fields) - story.lifecycle.readable("accounting")

    shown = case_view(story.case, story.lifecycle, story.now, hidden=hidden)

    assert hidden == {"customer_name", "email"}
    assert set(shown.fields) == {"scope", "deposit_due", "deposit_paid", "scheduled_for"}


@given(hidden=st.sets(st.sampled_from(["deposit_due", "deposit_paid", "scope"])))
def test_what_blocks_a_transition_leaks_nothing(hidden: set[str]) -> None:
    """A condition that cannot be judged names its values only to those who may read them."""
    story = Story().opened(fields={"scope": "Xq boiler"})
    story.says("accounting", deposit_due="7711.00 USD", deposit_paid="7722.00 EUR")
    values = {"deposit_due": "7711", "deposit_paid": "7722", "scope": "Xq boiler"}

    shown = case_view(story.case, story.lifecycle, story.now, hidden=hidden)

    text = msgspec.json.encode(shown).decode()
    for name, value in values.items():
        assert (value in text) == (name not in hidden), name
    assert _confirming(shown.open_transitions).blocked


def test_a_missing_field_is_named_to_everybody() -> None:
    """That a fact is missing tells none of its values."""
    story = Story().opened()

    shown = case_view(story.case, story.lifecycle, story.now, hidden={"deposit_due"})

    blocked = _confirming(shown.open_transitions).blocked
    assert blocked == "deposit_paid, deposit_due are not set"


def _confirming(ways: object) -> OpenTransition:
    listed = msgspec.convert(ways, list[OpenTransition])
    return next(way for way in listed if way.name == "confirm_deposit")


@given(data=st.data())
def test_what_is_remembered_to_be_open_is_what_is_open(data: st.DataObject) -> None:
    """Whatever is known of a case, wherever it is, its view tells what the case itself tells."""
    lifecycle = data.draw(st.sampled_from(list(lifecycles().values())))
    states = data.draw(st.sampled_from(sorted(lifecycle.chart.configurations)))
    names = data.draw(st.sets(st.sampled_from(sorted(lifecycle.fields))))
    fields = {name: data.draw(some(lifecycle, name), label=name) for name in names}
    case = msgspec.structs.replace(Story(lifecycle).opened("staff", reason="x").case, states=states)
    case = msgspec.structs.replace(case, fields=fields)

    for _ in range(2):
        assert list(ways_out(case, lifecycle)) == open_transitions(case, lifecycle)


def some(lifecycle: Lifecycle, name: str) -> st.SearchStrategy[Value]:
    """Draw one of a few values of a field, so that conditions hold and do not."""
    field = lifecycle.fields[name]
    values: dict[str, Sequence[Value]] = {
        "money": ("1.00 USD", "2.00 USD", "2.00 EUR"),
        "number": (0, 1),
        "boolean": (True, False),
        "date": ("2026-05-11", "2026-05-12"),
        "choice": field.choices,
    }
    return st.sampled_from(values.get(field.type, (sample(lifecycle, name),)))


def test_a_case_that_stays_too_long_is_overdue() -> None:
    """Beyond its limit the view says which state, since and until when, and how late it is."""
    story = Story().opened().then("staff", Correct(state="completed", reason="seen"))
    at_the_limit = story.case.since + timedelta(days=1)

    on_time = case_view(story.case, story.lifecycle, at_the_limit).overdue
    late = case_view(story.case, story.lifecycle, at_the_limit + timedelta(minutes=2)).overdue

    assert on_time is None
    assert msgspec.to_builtins(late) == {
        "state": "completed",
        "since": "2026-05-04T15:03:11.120Z",
        "due": "2026-05-05T15:03:11.120Z",
        "seconds": 120,
    }


def onboarding() -> Story:
    """A client whose papers were completed long after everything else had begun."""
    client = lifecycles()["client"]
    story = Story(client, "C-1").opened(fields={"name": "Old Mill", "email": "m@mill.example"})
    story.makes("crm", "engage")
    story.now += timedelta(days=3)
    return story.then("staff", Correct(state=PAPERS_DONE, reason="all papers are there"))


PAPERS_DONE = "papers_complete+to_screen+account_to_open"


def test_a_limit_counts_from_when_its_own_leaf_was_entered() -> None:
    """What another region does meanwhile gives nobody more time."""
    story = onboarding()
    engaged = MORNING + timedelta(hours=1)
    assert story.case.since > engaged + timedelta(days=3)

    first = due(story.case, story.lifecycle)

    assert first is not None
    assert (first.state, first.since) in {
        ("to_screen", engaged),
        ("account_to_open", engaged),
    }
    assert first.at == engaged + timedelta(days=2)
    late = overdue(story.case, story.lifecycle, story.now)
    assert late is not None
    assert late.due == "2026-05-06T15:03:11.120Z"


def test_the_limit_of_an_ancestor_counts() -> None:
    """A compound state's limit binds its children; of several limits the shortest is told."""
    story = Story(lifecycles()["client"], "C-1").opened()
    story.then("staff", Correct(state="papers_complete+cleared+account_open", reason="seen"))

    late = overdue(story.case, story.lifecycle, story.case.since + timedelta(days=15))

    assert late is not None
    assert (late.state, late.seconds) == ("onboarding", 86_400)


def test_every_configuration_can_be_shown() -> None:
    """Wherever a case is, every tool has its words, and something is open unless it has ended."""
    for story in every_configuration():
        shown = case_view(story.case, story.lifecycle, story.now + timedelta(days=400))

        ended = story.lifecycle.chart.ended(story.case.states)
        assert set(shown.tools) == set(story.lifecycle.declaration.words)
        assert bool(shown.open_transitions) != ended
        if shown.overdue:
            assert shown.overdue.seconds > 0


def test_a_state_that_is_declared_no_more_is_still_shown() -> None:
    """An old case keeps its place and its facts; it has no words and no way out."""
    case = scheduled().case

    shown = case_view(case, lifecycles()["mortgage_loan"], MORNING)

    assert shown.state == "scheduled"
    assert shown.fields == case.fields
    assert not shown.tools
    assert not shown.open_transitions
    assert shown.overdue is None


def test_a_state_that_was_divided_since_is_still_shown() -> None:
    """A case that stands in what is now a compound state waits for its definition."""
    plain = msgspec.to_builtins(field_service().declaration)
    plain["states"]["scheduled"]["states"] = {"planned": {}, "agreed": {}}
    divided = Lifecycle(msgspec.convert(plain, Declaration))

    shown = case_view(scheduled().case, divided, MORNING)

    assert shown.state == "scheduled"
    assert not shown.open_transitions


def test_a_tool_reads_a_case_in_its_own_words() -> None:
    """What a tool reads stands under its own names, what it owns under the canonical ones."""
    story = scheduled()

    shown = tool_view(story.case, "projects", "", "55", story.lifecycle)

    assert msgspec.json.decode(msgspec.json.encode(shown)) == {
        "id": "J-1",
        "ref": "55",
        "kind": "job",
        "words": {"status": "upcoming"},
        "fields": {
            "instructions": "Boiler",
            "clientEmail": "a@example.com",
            "scheduled_for": "2026-05-11",
        },
        "version": 4,
        "since": "2026-05-04T16:03:11.120Z",
    }


def test_a_tool_is_shown_nothing_that_it_may_not_read() -> None:
    """No tool of any shipped definition finds in its view a field that is hidden from it."""
    for lifecycle in lifecycles().values():
        story = Story(lifecycle, "C-1").opened("staff", reason="seen", fields=_all(lifecycle))
        for tool in lifecycle.declaration.tools:
            named = lifecycle.declaration.reads.get(tool, {})
            readable = {named.get(name, name) for name in lifecycle.readable(tool)}

            shown = tool_view(story.case, tool, "", "1", lifecycle)

            assert readable.issuperset(shown.fields)
            assert set(named.values()).issubset(shown.fields)


def _all(lifecycle: Lifecycle) -> dict[str, object]:
    return {name: sample(lifecycle, name) for name in lifecycle.fields}


def test_a_tool_without_words_is_shown_none() -> None:
    """A tool that stands in no vocabulary has no words, and still its fields."""
    shown = tool_view(scheduled().case, "crm", "", "987", field_service())

    assert shown.kind == "deal"
    assert set(shown.fields) == {"customer_name", "email", "scope"}
