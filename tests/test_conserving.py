"""The check that every test ends with can fail: it misses whatever one event is taken away."""

import pytest
from eventsourcing.persistence import StoredEvent
from msgspec.structs import replace

from lifecycle.changes import TakeReference
from lifecycle.events import Asker
from lifecycle.journal import Record
from lifecycle.streams import mirror_stream
from lifecycle.telling import given_up, recovered, ticked_off
from tests.conserving import Fact, conserved, differing, facts, sum_of
from tests.databases import NewDatabase
from tests.lifecycle.given import deposit_due, deposit_paid, opened
from tests.lifecycle.journals import ask
from tests.lifecycle.test_reports import hear
from tests.projections.carrying import Carrying, carrying
from tests.projections.following import Following, following


def heard(log: Following) -> Following:
    """Hear some of everything: twice, too early, of nobody, and what is released by that."""
    journal = log.journal
    journal.answer_now(ask(opened.what))
    for did in (deposit_due, deposit_paid):
        journal.answer_now(ask(did.what, did.by))
    again = hear("crm", "closedwon", event_id="e-1", status_field="dealstage")
    for what, by, about in (
        (again, "crm", "C-1"),
        (again, "crm", "C-1"),
        (hear("projects", "requires_invoicing"), "projects", "C-1"),
        (hear("projects", "late", ref="visit-7"), "projects", ""),
        (hear("projects", "late", ref="visit-8"), "projects", ""),
        (hear("accounting", "Void", status_field="stage"), "accounting", "C-1"),
    ):
        journal.hear_now(ask(what, by, about))
    journal.answer_now(ask(TakeReference(tool="projects", ref="visit-7"), "projects"))
    return log.followed()


def test_whatever_event_of_hearing_is_missing_is_missed(new_database: NewDatabase) -> None:
    """A log without one of its events adds up to something else than what was made of it."""
    with following(new_database()) as log:
        whole = [fact for _, fact in facts(heard(log).database)]
        log.conserved(sum_of(whole))
        counted = {fact.topic for fact in whole if is_counted(fact)}
        for gone in filter(is_counted, whole):
            with pytest.raises(AssertionError):
                log.conserved(sum_of(one for one in whole if one is not gone))
            with pytest.raises(AssertionError):
                log.conserved(sum_of(closed_up(whole, gone)))
    assert {"message.heard.v1", "message.heard-again.v1", "message.understood.v1"} <= counted
    assert {"claim.made.v1", "parked.waits.v1", "notice.due.v1"} <= counted


def is_counted(fact: Fact) -> bool:
    """Whether something was heard, waits, or is to be told by this event."""
    return fact.topic.partition(".")[0] in {"message", "claim", "parked", "notice"}


def closed_up(facts: list[Fact], gone: Fact) -> list[Fact]:
    """The events without one of them, those behind it in its stream numbered anew."""
    return [
        replace(one, version=one.version - 1)
        if one.stream == gone.stream and one.version > gone.version
        else one
        for one in facts
        if one is not gone
    ]


def test_whatever_event_of_telling_is_missing_is_missed(new_database: NewDatabase) -> None:
    """The same of what tools were due, and of how each of it ended."""
    with carrying(new_database(), {}) as books:
        whole = [fact for _, fact in facts(told(books).database)]
        shown = metrics(books)
        assert differing(shown, sum_of(whole)) == ""
        for gone in (one for one in whole if one.topic.startswith("notice.")):
            assert is_missed(shown, [one for one in whole if one is not gone]), gone
            if gone.topic != "notice.given-up.v1":  # what only waits may be recovered as well
                assert is_missed(shown, closed_up(whole, gone)), gone


def told(books: Carrying) -> Carrying:
    """Have one notice delivered after it was given up; another is superseded, and others wait."""
    books.job("J-1", deposit_due, deposit_paid)
    (notice, *_) = books.waiting("accounting")
    stream, by = mirror_stream("jobs", "J-1", "accounting"), Asker(staff="Dispatcher")
    books.journal.record_now(Record(stream, given_up(notice, 10, "no answer")))
    books.journal.record_now(Record(stream, recovered(notice.id, "jobs/J-1", "accounting", by)))
    books.journal.record_now(Record(stream, ticked_off(notice.id, "jobs/J-1", "accounting", by)))
    return books


def metrics(books: Carrying) -> str:
    """What the book of couriers says, as `/metrics` writes it."""
    books.carried()
    books.conserved()
    books.rest()
    return "\n".join(
        f'statekeeper_notices{{tool="{tool}",state="{state}"}} {number}'
        for tool, states in books.book.tallies().items()
        for state, number in states.items()
    )


def is_missed(shown: str, log: list[Fact]) -> bool:
    """Whether the check finds that a log is not what is shown of it."""
    try:
        return differing(shown, sum_of(log)) != ""
    except AssertionError:
        return True


@pytest.mark.damages
def test_a_test_that_leaves_a_log_damaged_fails(new_database: NewDatabase) -> None:
    """It is read at the end from the database itself, past the code that wrote it."""
    again = StoredEvent("message:crm/e-1", 1, "message.heard-again.v1", b"{}")
    with (
        pytest.raises(AssertionError, match="first of all"),
        following(database := new_database()) as log,
    ):
        log.stored([again])
    with pytest.raises(AssertionError, match="first of all"):
        conserved(database)
