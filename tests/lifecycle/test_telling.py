"""Somebody sees to it that a tool is told: a notice again, one carried by hand, what it lacks."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from lifecycle.asks import Taken
from lifecycle.events import (
    Answered,
    Asker,
    Entry,
    FlowStarted,
    NoticeDelivered,
    NoticeDue,
    NoticeRecovered,
)
from lifecycle.known import learn
from lifecycle.messages import Hear
from lifecycle.mirror import SILENT, Mirror
from lifecycle.notices import Tell
from lifecycle.refusals import NotYours, StaffOnly, UnknownCase
from lifecycle.reports import Report
from lifecycle.streams import flow_stream, mirror_stream
from lifecycle.telling import (
    NOBODY,
    Decision,
    delivered,
    failing,
    given_up,
    lacks,
    started,
    stopped,
    superseded,
    ticked_off,
    working,
)
from tests.lifecycle.given import (
    CONFIRMED,
    HOUR,
    STAFF,
    Given,
    Then,
    given,
    opened,
    scheduled,
)

BOOKS = "accounting"


def mirror(story: Given, tool: str) -> Mirror:
    """What a tool was told and says."""
    found = story.streams[mirror_stream("jobs", "C-1", tool)].state
    return found if isinstance(found, Mirror) else SILENT


def lacking(story: Given, tool: str) -> list[str]:
    """The status fields whose word a tool lacks."""
    return lacks(tool, mirror(story, tool), story.case, story.lifecycle)


def seen_to(
    story: Given, how: Any, tool: str = BOOKS, by: str = STAFF, key: str | None = None, **more: Any
) -> Then:
    """Have a tool told, with a reason."""
    what = Tell(tool=tool, how=how, **{"reason": "it is back", **more})
    return story.when(what, by=by, key=key)


def decided(story: Given, stream: str, decision: Decision) -> None:
    """Have a courier record something."""
    known = story.streams[stream]
    event = decision(known, story.now)
    assert event is not None
    entry = Entry(stream, known.version + 1, event)
    story.keep([entry], {stream: learn(known, entry)})


def only_due(story: Given, tool: str = BOOKS) -> str:
    """The one notice that a tool is due."""
    (name,) = mirror(story, tool).due
    return name


def due_event(story: Given, name: str) -> NoticeDue:
    """A notice as it became due."""
    found = (one.event for one in story.entries if isinstance(one.event, NoticeDue))
    return next(one for one in found if one.id == name)


# --- what a tool lacks --------------------------------------------------------------------------


def test_who_was_never_told_lacks_the_word() -> None:
    """A case that came by a quiet import: nothing is due, and no tool has said what it shows."""
    story = Given(given().lifecycle)
    story.when(opened.what, by="crm", quiet=True).done()
    assert lacking(story, BOOKS) == ["stage"]
    assert lacking(story, "projects") == [], "of a job that is quoted it is told no word"
    told = seen_to(story, "missing")
    assert [(one.word, one.why, one.reason) for one in told.due] == [
        ("Estimate sent", "missing", "it is back")
    ]
    assert lacking(story, BOOKS) == [], "it is due now"


def test_what_is_due_or_was_told_is_not_missing() -> None:
    """A tool that is about to be told lacks nothing, nor one that was."""
    story = given(opened)
    assert lacking(story, BOOKS) == []
    seen_to(story, "by-hand", notice=only_due(story)).done()
    assert lacking(story, BOOKS) == []


def test_who_was_told_an_older_word_lacks_the_newer() -> None:
    """The case moved on unsaid; what the tool was told last is not true any more."""
    story = given(opened)
    seen_to(story, "by-hand", notice=only_due(story)).done()
    for did in CONFIRMED[1:]:
        story.when(did.what, by=did.by, quiet=True).done()
    assert lacking(story, BOOKS) == ["stage"]
    assert [one.word for one in seen_to(story, "missing").due] == ["Deposit paid"]


def test_what_was_struck_out_is_missing() -> None:
    """Where nobody needed to be told for a while, and nothing took its place, it can be told."""
    story = given(opened)
    notice = due_event(story, only_due(story))
    decided(story, mirror_stream("jobs", "C-1", BOOKS), superseded(notice, 0, "erased"))
    assert lacking(story, BOOKS) == ["stage"]


def test_what_was_given_up_is_not_missing() -> None:
    """It stands on the list of what was given up, and is told from there."""
    story = given(opened)
    notice = due_event(story, only_due(story))
    decided(story, mirror_stream("jobs", "C-1", BOOKS), given_up(notice, 10, "no answer"))
    assert lacking(story, BOOKS) == []


@pytest.mark.parametrize(
    ("tool", "field", "word", "outcome"),
    [
        (BOOKS, "stage", "Void", "drift"),
        ("projects", "status", "upcoming", "early"),
        ("crm", "dealstage", "qualifiedtobuy", "ignored"),
    ],
)
def test_what_a_tool_says_otherwise_is_not_missing(
    tool: str, field: str, word: str, outcome: str
) -> None:
    """Telling what is missing overrules nobody: drift, claims, workarounds have their own way."""
    story = Given(given().lifecycle)
    story.when(opened.what, by="crm", quiet=True).done()
    report = Report(tool=tool, status_field=field, word=word)
    heard = story.when(Hear(report=report, arrival="1", new_id="N-1"), by=tool, quiet=True)
    heard.done()
    assert mirror(story, tool).words[field].outcome == outcome
    assert field not in lacking(story, tool)


# --- what comes back ----------------------------------------------------------------------------

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def carried(story: Given, sent_at: datetime | None) -> None:
    """Have the books take what they are due; a person carried it where nobody sent it."""
    name = only_due(story)
    how = ticked_off(name, "jobs/C-1", BOOKS, Asker(staff=STAFF))
    if sent_at is not None:
        how = delivered(due_event(story, name), 2, 204, sent_at)
    decided(story, mirror_stream("jobs", "C-1", BOOKS), how)


def comes_back(sent: timedelta | None, seen: timedelta) -> str:
    """Say that the books saw the older of two words; answers what that is taken for.

    The older was taken at once. The newer was first sent so long after that, and the answer to it
    came after three minutes.
    """
    story = given(opened)
    begun = story.now
    carried(story, begun)
    for did in CONFIRMED[1:]:
        story.now -= HOUR  # which goes by with every ask
        story.when(did.what, by=did.by).done()
    story.now = begun + 3 * MINUTE
    carried(story, None if sent is None else begun + sent)
    story.now += MINUTE - HOUR
    report = Report(
        tool=BOOKS, status_field="stage", word="Estimate sent", occurred_at=begun + seen
    )
    heard = story.when(Hear(report=report, arrival="1", new_id="N-1"), by=BOOKS)
    assert isinstance(heard.outcome, Taken)
    return heard.outcome.name


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [(MINUTE - SECOND, "echo"), (MINUTE, "drift"), (MINUTE + SECOND, "drift")],
)
def test_a_word_is_no_echo_once_a_newer_one_was_sent(seen: timedelta, outcome: str) -> None:
    """The tool may have taken the newer at once, and have changed back before we knew."""
    assert comes_back(sent=MINUTE, seen=seen) == outcome


@pytest.mark.parametrize(
    ("seen", "outcome"), [(3 * MINUTE - SECOND, "echo"), (3 * MINUTE, "drift")]
)
def test_a_word_that_a_person_carried_counts_from_when_they_said_so(
    seen: timedelta, outcome: str
) -> None:
    """Nobody noted when they did it; nor did older programs of what they had sent."""
    assert comes_back(sent=None, seen=seen) == outcome


def test_a_word_counts_as_sent_after_the_one_before_was_taken() -> None:
    """Whatever the clocks of two couriers say: what the tool saw at that moment is the older."""
    assert comes_back(sent=-MINUTE, seen=-SECOND) == "echo"


# --- who may, and what follows ------------------------------------------------------------------


def test_what_is_told_again_starts_a_flow_that_was_stopped() -> None:
    """Notice and flow are one append; where nothing is told the flow stays as it is."""
    story = given(opened)
    name = only_due(story)
    decided(story, flow_stream(BOOKS), stopped(BOOKS, "410 Gone", ""))
    again = seen_to(story, "again", notice=name)
    kinds = [type(one.event) for one in again.entries]
    assert kinds == [NoticeRecovered, FlowStarted]
    decided(story, flow_stream(BOOKS), stopped(BOOKS, "410 Gone", ""))
    nothing = story.when(Tell(tool=BOOKS, how="again", notice="ntc_0", reason="why"))
    assert nothing.entries == ()
    assert nothing.answer.entry is None


def test_a_flow_that_staff_start_is_failing_until_it_works() -> None:
    """Nobody is told of it once more meanwhile, and that it works again is said."""
    story, flow = given(opened), flow_stream(BOOKS)
    decided(story, flow, stopped(BOOKS, "410 Gone", ""))
    decided(story, flow, started(BOOKS, Asker(staff="Dispatcher")))
    assert failing(BOOKS, "no answer", "")(story.streams[flow], story.now) is None
    decided(story, flow, working(BOOKS, ""))


def test_a_flow_that_was_started_long_ago_keeps_its_meaning() -> None:
    """In an older log it counted as working from then on: its next failure is told of."""
    story, flow = given(opened), flow_stream(BOOKS)
    decided(story, flow, stopped(BOOKS, "410 Gone", ""))
    decided(story, flow, lambda _, now: FlowStarted(recorded_at=now, by=NOBODY, tool=BOOKS))
    assert working(BOOKS, "")(story.streams[flow], story.now) is None
    decided(story, flow, failing(BOOKS, "no answer", ""))


def test_a_key_has_it_told_once() -> None:
    """The same again is answered as before, as of then, and records nothing."""
    story = given(opened)
    name = only_due(story)
    first = seen_to(story, "again", notice=name, key="K-1")
    (answered,) = [one.event for one in first.entries if isinstance(one.event, Answered)]
    again = seen_to(story, "again", notice=name, key="K-1")
    assert again.entries == ()
    assert again.answer.replayed == answered
    assert answered.event_version == story.streams[mirror_stream("jobs", "C-1", BOOKS)].version


def test_what_was_carried_is_delivered_by_nobodys_server() -> None:
    """Ticked off, it is delivered without a status; what has ended is not ticked off again."""
    story = given(opened)
    name = only_due(story)
    (entry,) = seen_to(story, "by-hand", notice=name).entries
    assert isinstance(entry.event, NoticeDelivered)
    assert (entry.event.id, entry.event.status) == (name, None)
    assert story.when(Tell(tool=BOOKS, how="by-hand", notice=name)).entries == ()


def test_tools_may_have_their_own_told_again() -> None:
    """Not others' notices; and what a person has carried, or what is missing, staff say."""
    story = given(*CONFIRMED, scheduled)
    name = next(iter(mirror(story, BOOKS).due))
    assert seen_to(story, "again", by=BOOKS, notice=name, reason=None).entries
    seen_to(story, "again", by="crm", notice=name).refused(NotYours)
    for how in ("by-hand", "missing"):
        seen_to(story, how, by=BOOKS, notice=name).refused(StaffOnly)
    what = Tell(tool=BOOKS, how="missing", reason="why")
    story.when(what, id="C-9").refused(UnknownCase)
