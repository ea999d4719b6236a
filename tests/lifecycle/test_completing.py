"""Messages that only name a record: they wait for it in the log, and are decided once."""

from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from lifecycle.asks import Ask, Taken
from lifecycle.changes import Open
from lifecycle.events import Asker, Heard
from lifecycle.journal import Journal
from lifecycle.messages import Complete, Hear, Retry, Waiting
from lifecycle.mirror import Claims
from lifecycle.reports import Report
from lifecycle.streams import unfetched_stream
from tests.databases import NewDatabase
from tests.lifecycle.journals import ask, entries_of, journal_on

PROJECTS = Asker(tool="projects")
STREAM = "message:projects/e1"
AMONG = ("jobs",)
SEEN = datetime(2026, 5, 4, 8, 3, 11, tzinfo=UTC)


def put(journal: Journal, what: Any, asker: Asker = PROJECTS) -> Taken:
    """Have the journal decide something about a message, as its webhook or staff want it."""
    return journal.hear_now(Ask(asker=asker, collection="jobs", what=what))


def named(ref: str = "9", **more: Any) -> Hear:
    """Hear of a record that could not be had."""
    report = Report(tool="projects", ref=ref, event_id="e1", occurred_at=SEEN)
    usual: dict[str, Any] = {"among": AMONG, "said": "d", "raw": b'{"id": 9}', "unfetched": True}
    return Hear(report=report, arrival="a", new_id="n", **{**usual, **more})


def record(word: str = "upcoming") -> Complete:
    """Say what the record says."""
    report = Report(tool="projects", ref="9", word=word, fields={"email": "e@example.com"})
    return Complete(message=STREAM, report=report, new_id="n", among=AMONG)


def waiting(journal: Journal) -> tuple[str, ...]:
    """Which messages wait for their records."""
    state = journal.known_now(unfetched_stream("projects", STREAM)).state
    return state.messages if isinstance(state, Waiting) else ()


def test_a_message_waits_for_its_record(new_database: NewDatabase) -> None:
    """It is parked until its record comes; the very same again waits no second time."""
    with journal_on(new_database()) as journal:
        assert put(journal, named()).message.why == "not-fetched"
        assert put(journal, named()).name == "duplicate"
        assert waiting(journal) == (STREAM,)
        done = put(journal, record())
        assert (done.message.outcome, done.message.why) == ("parked", "unknown-reference")
        assert (done.again, waiting(journal)) == (True, ())
        heard = done.message.heard
        assert (heard.word, heard.personal) == ("upcoming", {"email": "e@example.com"})
        stored = b"".join(one.state for one in journal.recorder.streams([STREAM]))
        assert b"example.com" not in stored
        assert journal.pulse.heard == {("projects", "parked"): 1, ("projects", "duplicate"): 1}


def test_a_record_counts_once(new_database: NewDatabase) -> None:
    """Two processes may ask for one record; the second answer changes nothing."""
    with journal_on(new_database()) as journal:
        put(journal, named())
        put(journal, record())
        known = len(entries_of(journal, STREAM))
        put(journal, record("archived"))
        assert len(entries_of(journal, STREAM)) == known


def test_who_is_not_asked_for_any_more_may_be_asked_for_again(new_database: NewDatabase) -> None:
    """A record that nobody asks for any longer leaves its message parked; staff have it retried."""
    with journal_on(new_database()) as journal:
        put(journal, named())
        put(journal, Complete(message=STREAM, report=None, new_id="n", among=AMONG))
        assert waiting(journal) == ()
        staff = Asker(staff="Office")
        again = put(journal, Retry(message=STREAM, new_id="n", reason="it is back"), staff)
        assert (again.message.why, waiting(journal)) == ("not-fetched", (STREAM,))
        assert put(journal, record()).message.why == "unknown-reference"


def test_what_came_is_for_who_asks_only(new_database: NewDatabase) -> None:
    """The bytes are in no event that is read, and are gone once the message has been decided."""
    with journal_on(new_database()) as journal:
        put(journal, named())
        (stored,) = journal.recorder.streams([STREAM])
        heard = journal.mapper.to_domain_event(stored).event
        assert isinstance(heard, Heard)
        assert (heard.raw, heard.raw_length) == (b"", 9)
        assert b'"id": 9' not in stored.state
        assert journal.mapper.raw(stored) == b'{"id": 9}'
        put(journal, record())
        assert journal.mapper.raw(stored) == b'{"id": 9}'
        journal.answer_now(ask(Open(references={"projects": ("9",)})))
        assert journal.known_now(STREAM).state.outcome == "early"  # type: ignore[union-attr]  # a message, as it was asked for
        assert journal.mapper.raw(stored) is None


def test_the_records_time_counts_where_the_message_had_none(new_database: NewDatabase) -> None:
    """Nothing is stale by the moment in which a record happened to be asked for."""
    with journal_on(new_database()) as journal:
        journal.answer_now(ask(Open(references={"projects": ("9",)})))
        bare = named()
        report = replace(bare.report, occurred_at=None)
        put(journal, replace(bare, report=report))
        told = record()
        assert told.report is not None
        done = put(journal, replace(told, report=replace(told.report, occurred_at=SEEN)))
        assert done.message.heard.at == SEEN
        assert done.message.outcome == "early"
        listed = journal.known_now(f"claims:{done.message.case}").state
        assert isinstance(listed, Claims)
        assert [claim.at for claim in listed.open] == [SEEN]
