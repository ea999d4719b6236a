from datetime import timedelta

import pytest
from msgspec.structs import replace

from api.pages.sheet import Sheet, sheet
from api.pages.shown import Shown
from api.pages.steps import LINES_MAX, History, Wish, history
from api.pages.telling import in_words
from api.pages.trail import moments
from lifecycle.events import (
    Asker,
    ClaimMade,
    DriftFound,
    Entry,
    Event,
    NoticeDelivered,
    NoticeDue,
    Reported,
)
from projections.waits import Wait
from tests.projections.stories import MORNING, Story, field_service, lifecycles, whole_job

JOBBER = Asker(tool="projects", key="k2")


def laid(story: Story) -> Sheet:
    return sheet(story.case, story.entries, story.lifecycle, story.now)


def awaited(story: Story) -> list[tuple[str, str, str]]:
    return [(one.who, one.what, one.then) for one in laid(story).awaited]


def scheduled() -> Story:
    return (
        Story()
        .opened(fields={"customer_name": "A. Customer"}, references={"crm": ("987",)})
        .says("accounting", deposit_due="500.00 USD", deposit_paid="500.00 USD")
        .makes("projects", "schedule", scheduled_for="2026-05-11")
    )


def beside(story: Story, event: Event, stream: str = "mirror:jobs/J-1/projects") -> Story:
    version = 1 + sum(entry.stream == stream for entry in story.entries)
    story.entries.append(Entry(stream, version, event, len(story.entries) + 1))
    story.now += timedelta(hours=1)
    return story


def said(story: Story, word: str, outcome: str = "agrees") -> Story:
    reported = Reported(
        recorded_at=story.now,
        by=JOBBER,
        case="jobs/J-1",
        tool="projects",
        message="message:projects/1",
        at=story.now,
        status_field="status",
        word=word,
        outcome=outcome,
    )
    return beside(story, reported)


def differing(story: Story, tool: str) -> Story:
    found = DriftFound(
        recorded_at=story.now,
        by=Asker(tool=tool, key="k3"),
        id="d-1",
        case="jobs/J-1",
        tool=tool,
        field="stage" if tool == "accounting" else "status",
        is_word=True,
        expected="upcoming",
        reported="late",
        why="not-the-owner",
    )
    return beside(story, found, f"mirror:jobs/J-1/{tool}")


def jobber_shows(story: Story) -> Shown:
    return next(one for one in laid(story).shown if one.tool == "projects")


# --- what it waits for --------------------------------------------------------------------------


def test_the_owner_of_a_missing_fact_is_waited_for() -> None:
    """Where a condition lacks facts, their owner has to say them, and the case goes on."""
    story = Story().opened().says("accounting", deposit_due="500.00 USD")
    assert awaited(story) == [
        (
            "QuickBooks Online",
            "to say the deposit paid",
            "It then goes on to Deposit confirmed by itself.",
        )
    ]


def test_the_maker_of_the_way_ahead_is_waited_for() -> None:
    """Where nothing is in the way, who may make the transition ahead is waited for."""
    assert awaited(scheduled()) == [("Jobber", "to complete the job", "")]


def test_a_case_that_has_ended_waits_for_nothing() -> None:
    """A case in a final state has no way on, and says that it has ended."""
    story = scheduled().makes("crm", "cancel")
    assert laid(story).ended
    assert laid(story).awaited == []
    assert laid(story).ways == []


def test_a_state_that_is_declared_no_more_is_shown_all_the_same() -> None:
    """Of a case in a state that the definition forgot, everything is told that can be."""
    story = scheduled()
    case = replace(story.case, states=("parked_forever",))
    shown = sheet(case, story.entries, story.lifecycle, story.now)
    assert (shown.state, shown.declared, shown.ended) == ("Parked forever", False, False)
    assert [*shown.awaited, *shown.ways, *shown.shown] == []
    assert shown.facts


def test_every_part_of_a_parallel_case_waits_for_its_own() -> None:
    """Where a case stands in several states at once, each is told what it waits for."""
    lifecycle = lifecycles()["installation_project"]
    states = lifecycle.chart.entered("scope_locked")
    story = Story(lifecycle, "I-1").opened("crm")
    case = replace(story.case, states=states)
    shown = sheet(case, story.entries, lifecycle, story.now)
    assert [(one.who, one.what) for one in shown.awaited] == [
        ("Jobber", "to complete the packet, and to say the permit number"),
        (
            "Supplier orders",
            "to order the materials, and to say the order number and the material due",
        ),
    ]


def test_a_difference_waits_for_who_answers_for_that_tool() -> None:
    """Who settles a difference is named: the steward of its flow, else of the lifecycle."""
    unsettled = {
        tool: laid(differing(scheduled(), tool)).unsettled[0] for tool in ("accounting", "projects")
    }
    assert unsettled["accounting"].who == "bookkeeper@example.com"
    assert unsettled["projects"].who == "operations@example.com"
    assert unsettled["projects"].differs == ("shows “late” as status",)


# --- what the tools show ------------------------------------------------------------------------


def test_a_tool_that_never_spoke_is_unheard() -> None:
    """Of a tool that said nothing and was told nothing, nothing is claimed."""
    shown = jobber_shows(scheduled())
    assert (shown.should[0], shown.shows, shown.verdict) == ("upcoming", None, "unheard")


def test_a_tool_that_said_another_word_since_differs() -> None:
    """A word that is none of the right ones, said since the case came here, differs."""
    shown = jobber_shows(said(scheduled(), "archived", "drift"))
    assert (shown.shows, shown.said, shown.verdict) == ("archived", True, "differs")


def test_a_tool_that_spoke_before_the_move_is_behind() -> None:
    """A right word of yesterday is not held against a tool that was not heard since."""
    story = said(scheduled(), "today").makes("projects", "complete")
    assert jobber_shows(story).verdict == "behind"


def test_a_word_that_was_delivered_is_what_the_tool_shows() -> None:
    """A tool shows what it was told last, until it speaks again."""
    story = said(scheduled(), "archived", "drift")
    told = NoticeDelivered(
        recorded_at=story.now,
        by=Asker(),
        id="n-1",
        case="jobs/J-1",
        tool="projects",
        type="case.word_changed",
        status_field="status",
        word="upcoming",
        attempts=1,
    )
    shown = jobber_shows(beside(story, told))
    assert (shown.shows, shown.said, shown.verdict) == ("upcoming", False, "agrees")


@pytest.mark.parametrize(
    ("wait", "says", "stuck"),
    [
        (Wait("undeclared"), "not told: no way to it is declared", True),
        (Wait("no-address", "no address: X is not set"), "not told: it is not connected", True),
        (Wait("no-address", "no secret: X is not set"), "not told: it is not connected", True),
        (Wait("by-hand", "ops@example.com"), "to be carried by hand", True),
        (Wait("stopped", "410"), "not told: it wants to be told nothing any more", True),
        (Wait("earlier-first"), "waits for an earlier notice of the same case", False),
        (Wait("its-turn"), "about to be told", False),
    ],
)
def test_what_is_due_says_whether_it_can_be_told(wait: Wait, says: str, *, stuck: bool) -> None:
    """A tool without an address is not about to be told anything, and the page says so."""
    story = scheduled()
    due = NoticeDue(
        recorded_at=story.now,
        by=Asker(),
        id="n-1",
        case="jobs/J-1",
        tool="projects",
        type="case.word_changed",
        status_field="status",
        word="upcoming",
        case_version=3,
    )
    beside(story, due)
    told = {"n-1": in_words(wait, "ops@example.com")}
    laid_out = sheet(story.case, story.entries, story.lifecycle, story.now, told)
    telling = next(one for one in laid_out.shown if one.tool == "projects").telling
    assert telling is not None
    assert telling.says == says
    untold = [(one.title, one.telling.says) for one in laid_out.untold]
    assert untold == ([("Jobber", says)] if stuck else [])


def test_the_facts_that_conditions_speak_of_stand_beside_the_state() -> None:
    """What a case goes on by is said at the top, known or not; what no condition names is not."""
    story = Story().opened(fields={"customer_name": "A. Customer"})
    told = laid(story.says("accounting", deposit_due="500.00 USD")).crucial
    assert [(one.name, one.value) for one in told] == [
        ("deposit_due", "500.00 USD"),
        ("deposit_paid", ""),
        ("scheduled_for", ""),
        ("invoice_no", ""),
    ]


def test_a_word_that_came_too_early_waits() -> None:
    """An owner's word that a claim waits for is neither right nor wrong yet."""
    story = said(scheduled(), "requires_invoicing", "early")
    claim = ClaimMade(
        recorded_at=story.now,
        by=JOBBER,
        tool="projects",
        message="message:projects/1",
        status_field="status",
        word="requires_invoicing",
        at=story.now,
        states=("scheduled",),
    )
    story = beside(story, claim, "claims:jobs/J-1")
    assert jobber_shows(story).verdict == "waits"
    assert [one.word for one in laid(story).claims] == ["requires_invoicing"]


# --- what is known ------------------------------------------------------------------------------


def test_each_fact_says_who_said_it_and_where() -> None:
    """A fact names its owner, who said it and when, and the line of the history that tells it."""
    story = scheduled().says("accounting", deposit_paid="600.00 USD")
    fact = next(one for one in laid(story).facts if one.name == "deposit_paid")
    assert (fact.value, fact.owner) == ("600.00 USD", "QuickBooks Online")
    assert fact.source is not None
    assert fact.source.position == story.entries[-1].position


def test_an_erased_fact_says_so() -> None:
    """Of a personal value that was erased, `erased` is shown and nothing else."""
    facts = {one.name: one for one in laid(whole_job()).facts}
    assert (facts["email"].value, facts["email"].erased) == ("erased", True)
    assert not facts["scope"].erased


def test_every_state_says_how_long_the_case_was_there() -> None:
    """The time in a state is counted over all visits; states never entered have none."""
    stays = {one.id: one for one in laid(whole_job()).stays}
    assert (stays["scheduled"].times, stays["scheduled"].spent) == (2, "4 hours")
    assert (stays["cancelled"].times, stays["cancelled"].spent) == (0, "")
    assert [one.id for one in stays.values() if one.is_now] == ["invoiced"]


def test_every_change_is_a_moment_to_look_back_at() -> None:
    """The moments are the changes of the case, in order; what stands beside it is none."""
    story = whole_job()
    assert [version for version, _, _ in moments(story.entries)] == [
        *range(1, story.case.version + 1)
    ]


# --- the history --------------------------------------------------------------------------------


def told(story: Story, wish: Wish) -> History:
    return history(story.entries, story.lifecycle, "jobs/J-1", wish)


def many_lines() -> Story:
    story = Story().opened()
    for number in range(2 * LINES_MAX):
        story.says("accounting", deposit_due=f"{number + 1}.00 USD")
    return story


def test_the_time_between_two_lines_stands_with_the_later_one() -> None:
    """Each line says how long after the one before it came; the first says nothing."""
    steps = told(scheduled(), Wish(newest_first=False)).steps
    assert [step.gap for step in steps] == ["", "1 hour", "", "1 hour"]


def test_refusals_and_acts_of_staff_are_marked() -> None:
    """What was refused, corrected, erased, done by staff or by itself is marked so."""
    steps = told(whole_job(), Wish()).steps
    marks = {mark.says for step in steps for mark in step.marks}
    assert {"refused", "corrected", "erased", "by staff", "by itself"} <= marks


def test_a_text_finds_the_lines_that_speak_of_it() -> None:
    """A search looks at everything a line tells, whatever the case of its letters."""
    found = told(whole_job(), Wish(text="inv-7"))
    assert [step.state for step in found.steps] == ["Invoiced"]
    assert found.whole > found.found == 1


def test_kinds_of_lines_can_be_chosen() -> None:
    """Only lines of the chosen kinds are shown, and all kinds are counted."""
    found = told(whole_job(), Wish(kinds=frozenset({"refused"})))
    assert {step.kind for step in found.steps} == {"refused"}
    assert found.counts["moves"] > 0


def test_a_long_history_comes_in_parts_without_gaps() -> None:
    """Going on after the last line that was shown brings every line once, in either order."""
    story = many_lines()
    for newest_first in (True, False):
        wish, positions = Wish(newest_first=newest_first), list[int]()
        while True:
            part = told(story, wish)
            positions += [step.position for step in part.steps]
            if not part.more_after:
                break
            wish = replace(wish, after=part.more_after)
        every = sorted(entry.position for entry in story.entries)
        assert positions == (every[::-1] if newest_first else every)


def test_a_link_to_a_line_shows_that_line() -> None:
    """However far down a line stands, the address that names it brings it."""
    story = many_lines()
    first = story.entries[0].position
    assert told(story, Wish(line=first)).steps[-1].position == first


def test_the_address_keeps_the_wish() -> None:
    """Whatever is chosen stands in the address; what is usual does not."""
    assert Wish().address() == ""
    wish = Wish("full", newest_first=False, text="a&b", kinds=frozenset({"moves", "facts"}))
    assert wish.address() == "look=full&order=oldest&text=a%26b&kind=moves&kind=facts"


def test_the_story_of_a_job_starts_in_the_morning() -> None:
    """The sheet tells since when the case is where it is, and for how long."""
    story = Story().opened()
    shown = laid(story)
    assert (shown.since, shown.spell) == ("2026-05-04T14:03:11.120Z", "1 hour")
    assert field_service().name == story.lifecycle.name
    assert story.now - MORNING == timedelta(hours=1)
