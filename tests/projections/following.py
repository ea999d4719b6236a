"""A log, its read models and a follower of the test's own, over the real recorder of a database."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from eventsourcing.persistence import StoredEvent

from lifecycle.events import Entry
from lifecycle.journal import Journal
from lifecycle.model import Lifecycle
from lifecycle.opening import open_journal
from projections.board import OnBoard
from projections.finding import page
from projections.follower import Follower, ReadModel
from projections.records import counts
from projections.sieve import CasesWanted
from projections.store import Row, Store, marks, open_store
from projections.tables import follower as tables
from projections.worker import models
from tests.conserving import Sum, conserved
from tests.projections.stories import Story, lifecycles

EVERYTHING = 500


def by_collection() -> dict[str, Lifecycle]:
    return {one.collection: one for one in lifecycles().values()}


class Following:
    """A log that tests write into, and what is made of it."""

    def __init__(self, database: str, shape: dict[str, Lifecycle] | None = None) -> None:
        self.database = database
        self.lifecycles = shape or by_collection()
        self.journal: Journal = open_journal(database, self.lifecycles, None)
        self.store: Store = open_store(database, self.lifecycles)

    def close(self) -> None:
        """Let go of everything."""
        self.store.close()
        self.journal.stop()
        self.journal.recorder.close()

    def written(self, *stories: Story) -> "Following":
        """Write what was told of these cases, one after the other."""
        return self.told(entry for story in stories for entry in story.entries)

    def told(self, entries: Iterable[Entry]) -> "Following":
        """Write entries."""
        mapper = self.journal.mapper
        return self.stored([mapper.to_stored_event(entry) for entry in entries])

    def stored(self, events: Sequence[StoredEvent]) -> "Following":
        """Write events as they are, with the keys that sealed them."""
        recorder, vault = self.journal.recorder, self.journal.mapper.vault
        keys = dict(vault.made())
        assert recorder.append(events, after=recorder.last_position(), keys=keys) is not None
        vault.settle(stored=True)
        return self

    def erased(self, story: Story) -> "Following":
        """Write an erasing, and delete the key with it."""
        mapper, recorder = self.journal.mapper, self.journal.recorder
        stream = f"case:{story.lifecycle.collection}/{story.id}"
        event = mapper.to_stored_event(story.entries[-1])
        recorder.append([event], after=recorder.last_position(), forget=[stream])
        mapper.vault.mistrust(stream)
        return self

    def follower(self, store: Store | None = None, *more: ReadModel) -> Follower:
        """Have a pair of eyes on the log."""
        return Follower(
            self.journal.recorder,
            self.journal.mapper,
            store or self.store,
            [*models(self.lifecycles), *more],
            marks(self.lifecycles),
        )

    def followed(self) -> "Following":
        """Let a follower go to the end of the log."""
        follower = self.follower()
        while follower.step():
            continue
        return self

    def conserved(self, log: Sum | None = None) -> None:
        """Assert that the lists count what the log adds up to, once they know all of it."""
        log = log or conserved(self.database)
        if self.store.position() < self.journal.recorder.last_position() or self.stale():
            return
        with self.store.reading() as session:
            heard, told = counts(session, "messages"), counts(session, "notices")
        assert +Counter(heard) == log.heard
        assert +Counter(told) == log.told

    def rows(self, statement: str, **values: Any) -> list[Row]:
        """Look into the tables."""
        with self.store.reading() as session:
            return list(session.rows(statement, **values))

    def everything(self) -> dict[str, list[Row]]:
        """Every row of every read model, in an order that is the same for the same rows."""
        rows = {
            table: sorted(self.rows(f"SELECT * FROM {{views}}.{table}"), key=repr)  # noqa: S608 - names of our own tables
            for table in (
                "stale",
                "board",
                "board_states",
                "board_words",
                "board_counts",
                "messages",
                "notices",
                "drift",
                "record_counts",
            )
        }
        followed = [row[:3] for row in self.rows(tables.SELECT_FOLLOWED)]  # not which build it is
        return rows | {"followed": followed}

    def listed(self, collection: str = "jobs", **wanted: Any) -> list[str]:
        """The ids of a list, in its order."""
        return [row.case.id for row in self.board(collection, **wanted)]

    def board(self, collection: str = "jobs", **wanted: Any) -> Sequence[OnBoard]:
        """Give the rows of a list, in its order."""
        visible = wanted.pop("visible", self.lifecycles[collection].personal)
        asked = CasesWanted(collection=collection, visible=visible, **wanted)
        with self.store.reading() as session:
            return page(session, asked, None, EVERYTHING).rows

    def stale(self) -> list[Row]:
        """Give what is parked."""
        return self.rows(tables.SELECT_STALE)


@contextmanager
def following(database: str, shape: dict[str, Lifecycle] | None = None) -> Iterator[Following]:
    """Open a database for a test; at the end its lists add up, and everything is closed."""
    opened = Following(database, shape)
    try:
        yield opened
        opened.conserved()
    finally:
        opened.close()


def job(case_id: str, **fields: Any) -> Story:
    """Open a job by the CRM."""
    given = {"customer_name": "Harbour Bakery", "email": f"{case_id.lower()}@bakery.example"}
    return Story(case_id=case_id).opened(
        fields=given | fields, references={"crm": (f"D{case_id}",)}
    )
