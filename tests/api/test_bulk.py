"""Acts on all that a filter names: bounded, and true to the end where something breaks."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from msgspec import Struct

from api import bulk
from api.bulk import Bulk, Filter, Item
from api.door import Keeper
from lifecycle.asks import Ask
from lifecycle.events import Asker
from lifecycle.journal import Outcome, Record
from lifecycle.refusals import StorageUnavailable


class One(Struct, frozen=True):
    """A record of a long list."""

    id: str
    position: int


class LongList(Bulk[One]):
    """A list of so many records, which can be looked at, and cannot be read again."""

    filters = Filter
    count = 0
    broken: Exception = LookupError("of our own making")

    def admit(self, asker: Asker, asked: Filter) -> None:
        """Take anything."""

    def page(self, before: int | None, most: int) -> Sequence[One]:
        """The next part of them, newest first."""
        last = self.count if before is None else before - 1
        return [One(f"r-{number}", number) for number in range(last, max(last - most, 0), -1)]

    def named(self, ids: Sequence[str]) -> Sequence[One]:
        """Break, whichever are wanted."""
        del ids
        raise self.broken

    def shown(self, record: One) -> Struct:
        """Show it as it is."""
        return record

    def ask(self, record: One, asker: Asker, reason: str | None) -> Ask | Record:
        """Nothing gets here."""
        raise NotImplementedError

    def became(self, record: One, outcome: Outcome) -> Item:
        """Nothing gets here."""
        raise NotImplementedError


def long_list(count: int) -> LongList:
    """Make a list of so many; it needs nothing of the service."""
    made = LongList(cast("Any", None))
    made.count = count
    return made


def test_of_a_list_that_is_too_long_the_oldest_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more is held than one call does: the oldest, which come first; the rest comes later."""
    monkeypatch.setattr(bulk, "ITEMS_MAX", 700)
    for count, taken in ((0, 0), (499, 499), (500, 500), (2345, 700)):
        sample, ids = bulk._gathered(long_list(count))
        assert ids == [f"r-{number}" for number in range(1, taken + 1)]
        assert [one.position for one in sample] == list(range(count, max(count - 10, 0), -1))


@pytest.mark.parametrize(
    ("broken", "status"), [(LookupError("ours"), 500), (StorageUnavailable("gone"), 503)]
)
def test_what_breaks_midway_is_said_of_each(broken: Exception, status: int) -> None:
    """An answer that has begun goes on to its end, with a line for each that could not be done."""
    some = long_list(2)
    some.broken = broken
    done = bulk._done(cast("Keeper", None), some, ["r-1", "r-2"], Asker(staff="Steward"), "why")
    items = asyncio.run(done)
    assert [(one.id, one.status) for one in items] == [("r-1", status), ("r-2", status)]
    assert all(one.problem for one in items)
