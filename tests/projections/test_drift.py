"""Where tools differ, counted: as of a moment, like the list behind the number."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from lifecycle.drift import Resolve
from lifecycle.mirror import Mirror
from lifecycle.streams import mirror_stream
from projections.drift import Drift, counts
from projections.records import Wanted
from tests.databases import NewDatabase
from tests.lifecycle.given import opened
from tests.lifecycle.journals import ask
from tests.lifecycle.test_reports import hear
from tests.projections.following import Following, following


@pytest.fixture
def log(new_database: NewDatabase) -> Iterator[Following]:
    """A log that is followed."""
    with following(new_database()) as log:
        yield log


@pytest.mark.parametrize(
    ("days", "passed", "expected"),
    [
        (None, 400, {"dismissed": 1}),
        (7, 6, {"dismissed": 1}),
        (7, 8, {"standing": 1}),
    ],
)
def test_what_was_dismissed_for_a_while_counts_again_after_it(
    log: Following, days: int | None, passed: int, expected: dict[str, int]
) -> None:
    """Nothing happens at that moment; whoever counts then finds it standing, as the list does."""
    journal = log.journal
    journal.answer_now(ask(opened.what))
    journal.hear_now(ask(hear("accounting", "Void", status_field="stage"), "accounting"))
    mirror = journal.memory[mirror_stream("jobs", "C-1", "accounting")].state
    assert isinstance(mirror, Mirror)
    now = journal.clock()
    until = None if days is None else now + timedelta(days=days)
    what = Resolve(
        drift=mirror.drifts["stage"].id,
        tool="accounting",
        how="dismiss",
        reason="known",
        until=until,
    )
    journal.answer_now(ask(what, "staff"))
    log.followed()
    then = now + timedelta(days=passed)
    with log.store.reading() as session:
        assert counts(session, then) == {("accounting", sort): n for sort, n in expected.items()}
        listed = Drift.page(session, Wanted(now=then, sort="open"), 10)
    assert len(listed) == expected.get("standing", 0)
