"""A log, its book and couriers of the test's own; the clock can be put forward."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from lifecycle.asks import Ask
from lifecycle.events import (
    Asker,
    Entry,
    Event,
    FlowFailing,
    FlowRecovered,
    FlowStopped,
    NoticeDelivered,
    NoticeDue,
    OfNotice,
)
from lifecycle.journal import Record
from lifecycle.model import Lifecycle
from lifecycle.opening import open_journal
from lifecycle.streams import mirror_stream
from lifecycle.telling import Decision
from projections.alerts import Teller
from projections.book import TOPICS, Book, open_book
from projections.courier import Courier
from projections.lookout import Lookout
from projections.patience import millis
from projections.posting import Poster
from projections.routes import routes
from tests.conserving import Sums, conserved
from tests.lifecycle.given import Did, asker, opened, shipped
from tests.projections.tools import SECRET
from tests.running import until

STAFF = Asker(staff="Dispatcher")


class PutForward:
    """The clock: it goes on as it does, from wherever it was put."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        """Now."""
        now = datetime.now(UTC) + self.ahead
        return now.replace(microsecond=now.microsecond // 1000 * 1000)


class Carrying:
    """Field-service jobs, and couriers that tell of them."""

    def __init__(
        self,
        database: str,
        urls: Mapping[str, str],
        lifecycle: Lifecycle | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Take the address of each tool that has one; nobody carries anything yet."""
        lifecycle = lifecycle or shipped()["field_service"]
        self.database = database
        self.clock = PutForward()
        self.journal = open_journal(database, {lifecycle.collection: lifecycle}, None)
        self.journal.clock = self.clock
        self.environment = dict(environment or {})
        self.environment |= {f"{tool.upper()}_URL": url for tool, url in urls.items()}
        self.environment |= {f"{tool.upper()}_SECRET": SECRET for tool in urls}
        self.routes = routes(self.journal.lifecycles, self.environment)
        self.book: Book = open_book(database)
        self._stop = threading.Event()
        self._lookout = Lookout(self.journal.recorder, self._stop)
        self._threads: list[threading.Thread] = []
        self._books: list[Book] = []

    # --- what happens

    def job(self, case_id: str = "J-1", *more: Did) -> "Carrying":
        """Open a job, and let more happen to it."""
        for did in (opened, *more):
            self.does(did, case_id)
        return self

    def does(self, did: Did, case_id: str = "J-1") -> None:
        """Let something happen to a job."""
        ask = Ask(asker=asker(did.by), collection="jobs", id=case_id, what=did.what)
        self.journal.answer_now(ask)

    def record(self, notice: OfNotice, decision: Decision) -> None:
        """Record what staff decide of a notice."""
        self.journal.record_now(Record(mirror_of(notice), decision))

    def later(self, **span: float) -> None:
        """Put the clock forward."""
        self.clock.ahead += timedelta(**span)

    # --- who carries

    def carried(
        self,
        number: int = 1,
        *,
        poster: Callable[[], Poster] = Poster,
        teller: Callable[[Poster], Teller] | None = None,
    ) -> "Carrying":
        """Let couriers carry from now on, each with the book opened by itself."""
        if not self._threads:
            self._runs(self._lookout.watch)
        for _ in range(number):
            book = open_book(self.database)
            self._books.append(book)

            def carry(book: Book = book) -> None:
                theirs = poster()
                courier = Courier(
                    self.journal, book, self.routes, poster=theirs,
                    environment=self.environment,
                    teller=teller(theirs) if teller else None, chance=Random(1),  # noqa: S311 - jitter needs no secret chance
                )  # fmt: skip
                asyncio.run(courier.run(self._lookout, self._stop))

            self._runs(carry)
        return self

    def _runs(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work)
        thread.start()
        self._threads.append(thread)

    def rest(self) -> None:
        """Let the couriers end."""
        self._stop.set()
        while self._threads:
            self._threads.pop().join(10)
        while self._books:
            self._books.pop().close()
        self._stop.clear()

    def close(self) -> None:
        """Let go of everything."""
        self.rest()
        self.book.close()
        self.journal.stop()
        self.journal.recorder.close()

    def held_by_nobody(self, tool: str) -> list[str]:
        """Let a courier take what it may and never come back; answers what it holds."""
        now = millis(self.clock())

        def read(position: int) -> tuple[list[Entry], int]:
            entries = [one for one in self.entries() if one.position > position]
            return [one for one in entries if one.event.TOPIC in TOPICS], entries[-1].position

        self.book.follow(read, now)
        taken = self.book.take(tool, ["jobs"], holder="gone", now=now, free=99, interval=0)
        assert taken is not None
        return [row.id for row in taken.rows]

    # --- what came of it

    def events(self, kind: type[Event] = Event) -> list[Any]:
        """The events of a kind, in the order of the log."""
        return [entry.event for entry in self.entries() if isinstance(entry.event, kind)]

    def entries(self) -> list[Entry]:
        """The log as it stands."""
        tail = self.journal.recorder.tail(0)
        return [self.journal.mapper.to_domain_event(stored) for stored in tail]

    def due(self, tool: str) -> list[NoticeDue]:
        """What a tool was ever due."""
        return [one for one in self.events(NoticeDue) if one.tool == tool]

    def waiting(self, tool: str) -> list[NoticeDue]:
        """What a tool is still to be told, as the log has it."""
        ended = self.ended(tool)
        return [one for one in self.due(tool) if ended[one.id] in {"NoticeDue", "NoticeRecovered"}]

    def ended(self, tool: str) -> dict[str, str]:
        """Notice of a tool → what the log says last of it."""
        return {one.id: type(one).__name__ for one in self.events(OfNotice) if one.tool == tool}

    def until_delivered(self, tool: str, number: int) -> list[NoticeDelivered]:
        """Wait until so many notices of a tool were taken."""
        self.until(lambda: len(self._delivered(tool)) >= number, f"{number} told to {tool}")
        return self._delivered(tool)

    def until(self, happened: Callable[[], bool], what: str) -> None:
        """Wait for something that must happen."""
        until(happened, f"{what}; {self.book.tallies()} {self.book.flows()}")

    def until_tried(self, notice: NoticeDue, attempts: int) -> None:
        """Wait until a notice was tried so often, and waits again."""
        self.until(
            lambda: any(
                (row.attempts, row.holder) == (attempts, "")
                for row in self.book.notices([notice.id])
            ),
            f"{attempts} attempts",
        )

    def conserved(self) -> None:
        """Assert that the book says what the log adds up to, and that its sums hold."""
        self.until(lambda: self._ends() == conserved(self.database).told, "the book has followed")
        for tool, states in self.book.tallies().items():
            ends = sum(number for state, number in states.items() if state != "due")
            assert states["due"] == ends, (tool, states)

    def _delivered(self, tool: str) -> list[NoticeDelivered]:
        return [one for one in self.events(NoticeDelivered) if one.tool == tool]

    def _ends(self) -> Sums:
        """What became of everything that was due, by the book."""
        return +Counter(
            {
                (tool, state): number
                for tool, states in self.book.tallies().items()
                for state, number in states.items()
                if state != "due"
            }
        )


def mirror_of(notice: OfNotice) -> str:
    """Where it stands what becomes of a notice."""
    collection, _, case_id = notice.case.partition("/")
    return mirror_stream(collection, case_id, notice.tool)


def incidents(carrying: Carrying) -> list[str]:
    """What the log says of the flows, in a word each."""
    kinds = (FlowFailing, FlowRecovered, FlowStopped)
    return [type(one).__name__ for one in carrying.events() if isinstance(one, kinds)]


@contextmanager
def carrying(
    database: str,
    urls: Mapping[str, str],
    lifecycle: Lifecycle | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Carrying]:
    """Open a database for a test; at the end nothing is lost, and everything is closed."""
    opened_for_test = Carrying(database, urls, lifecycle, environment)
    try:
        yield opened_for_test
        opened_for_test.conserved()
    finally:
        opened_for_test.close()
