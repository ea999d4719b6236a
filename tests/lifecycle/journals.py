"""Journals over real databases, and the asks that tests put to them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lifecycle.asks import Answer, Ask, Request
from lifecycle.case import Case
from lifecycle.events import Asker, Entry
from lifecycle.journal import Journal, Outcome, Record
from lifecycle.memory import Memory
from lifecycle.model import Lifecycle
from lifecycle.opening import open_journal
from lifecycle.streams import case_stream
from tests.lifecycle.given import asker, shipped

MASTER_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@contextmanager
def journal_on(
    database: str, lifecycles: Mapping[str, Lifecycle] | None = None
) -> Iterator[Journal]:
    """Run one journal of one process; several on one database are as many processes."""
    shown = {one.collection: one for one in shipped().values()}
    journal = open_journal(database, lifecycles or shown, MASTER_KEY)
    try:
        yield journal
    finally:
        journal.stop()
        journal.recorder.close()


def ask(
    what: Any,
    by: str = "crm",
    id: str = "C-1",  # noqa: A002 - what a case's name is called
    *,
    collection: str = "jobs",
    request: Request | None = None,
    asker_is: Asker | None = None,
) -> Ask:
    """Ask something of a job."""
    return Ask(
        asker=asker_is or asker(by), collection=collection, id=id, what=what, request=request
    )


def together(journal: Journal, *asks: Ask | Record) -> list[Outcome]:
    """Put asks to the journal so that they are decided in one batch, and wait for all."""
    return journal.answer_many_later(asks, 0).result()


def answers(outcomes: list[Outcome]) -> list[str]:
    """Say of each outcome what it is: a version, or the refusal's name."""
    return [
        str(one.case.version) if isinstance(one, Answer) else type(one).__name__ for one in outcomes
    ]


def entries_of(journal: Journal, stream: str) -> list[Entry]:
    """Read a stream as it stands in the log."""
    return [journal.mapper.to_domain_event(one) for one in journal.recorder.streams([stream])]


def replayed(journal: Journal, case_id: str = "C-1", collection: str = "jobs") -> Case | None:
    """Make a case again from nothing but the log."""
    case = Memory(journal.recorder, journal.mapper)[case_stream(collection, case_id)].state
    assert case is None or isinstance(case, Case)
    return case


def remembered(journal: Journal, case_id: str = "C-1", collection: str = "jobs") -> Case | None:
    """Look at what the journal remembers."""
    known = journal.memory.peek(case_stream(collection, case_id))
    case = known.state if known else None
    assert case is None or isinstance(case, Case)
    return case
