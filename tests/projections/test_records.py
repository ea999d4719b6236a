"""Messages, notices and drift as read models: disposable, bounded, and counted rightly."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from api.verifying import verify
from lifecycle.changes import TakeReference
from lifecycle.drift import Resolve
from lifecycle.mirror import Mirror
from lifecycle.streams import mirror_stream
from projections import drift, messages, notices
from projections.drift import Drift
from projections.messages import Messages
from projections.notices import Notices
from projections.records import Records, counts
from projections.worker import rebuilt
from tests.databases import NewDatabase
from tests.lifecycle.given import erase, move, opened, tell
from tests.lifecycle.journals import ask
from tests.lifecycle.test_reports import hear
from tests.projections.following import Following, following
from tests.projections.stories import MORNING

STAGE = {"status_field": "dealstage"}


@pytest.fixture
def log(new_database: NewDatabase) -> Iterator[Following]:
    with following(new_database()) as log:
        yield log


def lived(log: Following) -> Following:
    """A job of which its tools say all kinds of things, some of them again and again."""
    journal = log.journal
    journal.answer_now(ask(opened.what))
    again = hear("crm", "closedwon", event_id="e-1", **STAGE)
    for what, by, about in (
        *((again, "crm", "C-1") for _ in range(4)),
        (hear("crm", "nonsense", fields={"email": "b@example.com"}, **STAGE), "crm", "C-1"),
        (hear("projects", "upcoming", fields={"email": "c@example.com"}), "projects", "C-1"),
        (hear("projects", "late", ref="visit-7"), "projects", ""),
        (hear("accounting", "Void", status_field="stage"), "accounting", "C-1"),
    ):
        journal.hear_now(ask(what, by, about))
    journal.answer_now(ask(tell(deposit_due="5.00 USD", deposit_paid="5.00 USD"), "accounting"))
    journal.answer_now(ask(TakeReference(tool="projects", ref="visit-7"), "projects"))
    mirror = journal.memory[mirror_stream("jobs", "C-1", "accounting")].state
    assert isinstance(mirror, Mirror)
    for one in mirror.drifts.values():
        known = Resolve(drift=one.id, tool="accounting", how="dismiss", reason="known")
        journal.answer_now(ask(known, "staff"))
    journal.answer_now(ask(erase(), "staff"))
    return log.followed()


def test_a_rebuild_makes_the_same_rows(log: Following) -> None:
    """Every row can be thrown away and made again from the log."""
    before = lived(log).everything()
    assert len(before["messages"]) == 5
    assert len(before["notices"]) > 5
    assert before["drift"]
    list(rebuilt(log.journal, log.store))
    assert log.everything() == before


@pytest.mark.parametrize("model", [Messages(), Notices(), Drift()], ids=lambda one: one.name)
def test_the_counts_are_those_of_the_rows(log: Following, model: Records[messages.OnList]) -> None:
    """What is counted as it comes is what one would count in the end."""
    lived(log)
    rows = [model.read(row) for row in log.rows(f"SELECT * FROM {{views}}.{model.name}")]  # noqa: S608 - names of our own tables
    counted: Counter[tuple[str, str]] = Counter()
    for row in rows:
        counted.update(model.sorts(row))
    with log.store.reading() as session:
        assert counts(session, model.name) == {one: n for one, n in counted.items() if n}


def test_heard_is_the_sum_of_the_outcomes(log: Following) -> None:
    """Each message has one outcome, and each time that it came again is one more duplicate."""
    lived(log)
    with log.store.reading() as session:
        counted = counts(session, "messages")
    assert sum(counted.values()) == 8
    assert counted["crm", "duplicate"] == 3


def test_no_row_holds_a_value(log: Following) -> None:
    """What tools said of personal fields is nowhere but in the log, where it can be erased."""
    rows = lived(log).everything()
    for table in ("messages", "notices", "drift"):
        assert rows[table]
        assert "@example.com" not in repr(rows[table])


def test_lists_are_paged_by_position(log: Following) -> None:
    """Page by page the whole list comes, newest first, whatever leads to it."""
    lived(log)
    asked: list[tuple[Any, Any]] = [
        (messages.page, messages.Wanted()),
        (messages.page, messages.Wanted(tool="crm")),
        (messages.page, messages.Wanted(collection="jobs", case_id="C-1")),
        (notices.page, notices.Wanted()),
        (notices.page, notices.Wanted(tool="crm")),
        (notices.page, notices.Wanted(state="superseded")),
        (drift.page, drift.Wanted(now=MORNING, state="resolved")),
    ]
    with log.store.reading() as session:
        for page, wanted in asked:
            whole = [one.id for one in page(session, wanted, 500)]
            seen: list[str] = []
            before = None
            while found := page(session, wanted, 1, before=before):
                seen += [one.id for one in found]
                before = found[-1].position
            assert seen == whole
            assert whole


def test_verify_finds_all_of_it_conserved(log: Following) -> None:
    """Heard and due are the sums of what became of them; what is sealed after erasing is sound."""
    lived(log)
    # What the books are asked for is sealed, with a new key of the case that was erased.
    for what in (move("schedule", scheduled_for="2026-05-11", scope="Roof"), move("complete")):
        log.journal.answer_now(ask(what, "projects"))
    log.followed()
    report = verify(log.journal, log.store, lambda _done, _total: None)
    assert [one for one in report.problems if "never adopted" not in one.what] == []
    assert report.heard == sum(report.outcomes.values()) == 8
    assert report.due == sum(report.notices.values()) > 5
