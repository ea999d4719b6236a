"""What waits for a reference is gone on with, part by part, whatever is wrong with one of them."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from api.door import Keeper
from api.releasing import _release
from lifecycle import hearing
from lifecycle.catalogue import Catalogue
from lifecycle.changes import TakeReference
from lifecycle.journal import Journal
from lifecycle.messages import Waiting
from lifecycle.streams import parked_stream, releasing_stream
from tests.databases import NewDatabase
from tests.lifecycle.given import opened
from tests.lifecycle.journals import ask, journal_on
from tests.lifecycle.test_reports import hear

BROKEN, SOUND = (parked_stream("projects", "job", ref) for ref in ("a", "b"))
SCRIBBLE = "UPDATE stored_events SET state = x'7b' WHERE originator_id = ?"


@pytest.fixture
def database(new_sqlite: NewDatabase, monkeypatch: pytest.MonkeyPatch) -> str:
    """Three messages waited for each of two references; of one of them the rest is damaged."""
    monkeypatch.setattr(hearing, "RELEASED_MAX", 1)
    made = new_sqlite()
    with journal_on(made) as journal:
        journal.answer_now(ask(opened.what))
        waited = [
            journal.hear_now(ask(hear("projects", "upcoming", ref=ref), "projects", "")).stream
            for ref in ("a", "a", "a", "b", "b", "b")
        ]
        for ref in ("a", "b"):
            journal.answer_now(ask(TakeReference(tool="projects", ref=ref), "projects"))
        assert left(journal) == (BROKEN, SOUND)
    with closing(sqlite3.connect(Path(made.removeprefix("sqlite:///")))) as file:
        file.execute(SCRIBBLE, (waited[1],))
        file.commit()
    return made


def left(journal: Journal) -> tuple[str, ...]:
    """The references that are not done with."""
    state = journal.known_now(releasing_stream("projects")).state
    return state.messages if isinstance(state, Waiting) else ()


@pytest.mark.damages
def test_one_that_cannot_be_decided_holds_up_no_other(database: str) -> None:
    """The others go on; what is wrong is logged once, though it is looked at time and again."""
    with journal_on(database) as journal, capture_logs() as logs:
        keeper, faulty = Keeper(journal, Catalogue(journal.lifecycles, {})), set[str]()
        for _ in range(3):
            asyncio.run(asyncio.wait_for(_release(keeper, "projects", faulty), 20))
        assert left(journal) == (BROKEN,)
        faults = [(one["tool"], one["parked"]) for one in logs if one["event"] == "fault"]
    assert faults == [("projects", BROKEN)]
