import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from msgspec.structs import replace

from lifecycle.events import (
    Asker,
    Entry,
    Event,
    FlowFailing,
    FlowStarted,
    FlowStopped,
    NoticeDelivered,
    NoticeDue,
    NoticeGivenUp,
    NoticeRecovered,
    NoticeSuperseded,
    ReactionPlanned,
)
from projections.alerts import SECONDS_MAX
from projections.book import HOLD, PLANS_MAX, Book, Followed, Taken, open_book
from projections.patience import failed, millis
from projections.sqlite_store import SqliteSession
from projections.tables import book as tables
from tests.databases import NewDatabase

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
NOW = millis(NOON)


class Told:
    """A book, and a log that is told to it by hand."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.log: list[Entry] = []

    def follows(self, *events: Event, now: int = NOW) -> Followed | None:
        """Let these come."""
        for event in events:
            self.log.append(Entry("mirror:jobs/J-1/crm", 1, event, len(self.log) + 1))
        return self.book.follow(lambda at: (self.log[at:], len(self.log)), now)

    def takes(self, holder: str = "a", now: int = NOW, free: int = 9, **more: Any) -> Taken:
        """Take what may be told."""
        interval = more.get("interval", 0.0)
        taken = self.book.take(
            "crm", ["jobs"], holder=holder, now=now, free=free, interval=interval
        )
        assert taken is not None
        return taken

    def taken(self, holder: str = "a", now: int = NOW, free: int = 9) -> list[str]:
        """Name what may be told."""
        return [row.id for row in self.takes(holder, now, free).rows]

    def waits(self, name: str, seconds: int) -> None:
        """Let a notice wait so long."""
        (row,) = self.book.notices([name])
        self.book.later(
            row, row.holder, attempts=1, ready_at=NOW + seconds * 1000, why="answered 500", now=NOW
        )

    def tally(self) -> dict[str, int]:
        """What became of what the CRM was due, without what is none."""
        return {state: number for state, number in self.book.tallies()["crm"].items() if number}


@pytest.fixture
def told(new_database: NewDatabase) -> Iterator[Told]:
    with closing(open_book(new_database())) as book:
        yield Told(book)


def by_name(told: Told, names: Sequence[str]) -> dict[str, Any]:
    return {row.id: row for row in told.book.notices(names)}


def of(kind: type[Any], name: str, case: str = "J-1", **more: Any) -> Any:
    about = {"id": name, "case": f"jobs/{case}", "tool": "crm", "type": "case.word_changed"}
    return kind(recorded_at=NOON, by=Asker(), **about, **more)


def due(*names: str, case: str = "J-1") -> Sequence[NoticeDue]:
    return [of(NoticeDue, name, case, case_version=1, status_field="stage") for name in names]


def test_the_first_of_each_line_may_be_taken_and_by_one_only(told: Told) -> None:
    """A line is what one tool is told of one case; who takes it holds it."""
    told.follows(*due("a1", "a2"), *due("b1", case="J-2"))
    assert told.taken("one") == ["a1", "b1"]
    assert told.taken("two") == []
    told.follows(of(NoticeDelivered, "a1", attempts=1))
    assert told.taken("two") == ["a2"]


def test_a_hold_ends_and_can_be_kept_up(told: Told) -> None:
    """Who says so again keeps it; of who does not, another takes it."""
    told.follows(*due("a1"), *due("b1", case="J-2"))
    assert told.taken("one") == ["a1", "b1"]
    told.book.hold(["a1"], "one", NOW + 2 * HOLD)
    assert told.taken("two", NOW + HOLD) == ["b1"]
    assert told.taken("two", NOW + 2 * HOLD) == ["a1", "b1"]


def test_who_lost_a_hold_changes_nothing_any_more(told: Told) -> None:
    """What it says too late of a notice that another holds is not heard."""
    told.follows(*due("a1"))
    (row,) = told.takes("one").rows
    assert told.taken("two", NOW + HOLD) == ["a1"]
    told.book.later(row, "one", attempts=9, ready_at=NOW, why="late", now=NOW + HOLD)
    told.book.hold(["a1"], "one", NOW)
    (row,) = told.book.notices(["a1"])
    assert (row.holder, row.attempts, row.ready_at) == ("two", 0, NOW + 2 * HOLD)


def test_what_waits_for_its_next_attempt_keeps_its_line_waiting(told: Told) -> None:
    """And is taken first when its time has come."""
    told.follows(*due("a1", "a2"))
    assert told.taken() == ["a1"]
    told.waits("a1", 5)
    assert told.takes(now=NOW + 4_999).next_look == NOW + 5_000
    assert told.taken(now=NOW + 5_000) == ["a1"]


def test_what_is_superseded_while_it_waits_is_struck_out(told: Told) -> None:
    """The next of its line may be taken."""
    told.follows(*due("a1", "a2"))
    told.follows(of(NoticeSuperseded, "a1", why="newer-word"))
    assert told.taken() == ["a2"]
    assert told.tally() == {"due": 2, "superseded": 1, "waiting": 1}


def test_what_is_superseded_under_way_keeps_its_place_until_it_is_back(told: Told) -> None:
    """Nothing overtakes it; whether it was taken all the same is counted in the end."""
    told.follows(*due("a1", "a2"))
    (row,) = told.takes().rows
    told.follows(of(NoticeSuperseded, "a1", why="newer-word"))
    assert told.taken() == []
    assert told.tally() == {"due": 2, "superseded": 1, "waiting": 1}
    told.book.later(row, "a", attempts=1, ready_at=NOW, why="answered 500", now=NOW)
    assert told.taken() == ["a2"]
    told.follows(of(NoticeDelivered, "a1", attempts=1))
    assert told.tally() == {"due": 2, "delivered": 1, "waiting": 1}


def test_what_was_given_up_holds_up_nobody_and_goes_to_the_end_when_recovered(
    told: Told,
) -> None:
    """Its attempts begin anew."""
    told.follows(*due("a1", "a2", "a3"))
    assert told.taken() == ["a1"]
    told.follows(of(NoticeGivenUp, "a1", attempts=10, why="answered 422"))
    assert told.taken() == ["a2"]
    assert told.tally() == {"due": 3, "given-up": 1, "waiting": 2}
    told.follows(of(NoticeRecovered, "a1"), of(NoticeDelivered, "a2", attempts=1))
    assert told.taken() == ["a3"]
    told.follows(of(NoticeDelivered, "a3", attempts=1))
    (row,) = told.takes().rows
    assert (row.id, row.attempts, row.recovered) == ("a1", 0, 1)
    assert told.tally() == {"due": 3, "delivered": 2, "waiting": 1}


def test_the_book_knows_when_a_notice_was_first_sent(told: Told) -> None:
    """Whoever sends it again: who sent it first may have been killed, or its answer lost."""
    told.follows(*due("a1"))
    assert told.takes("one").rows[0].sent_at is None
    (row,) = told.takes("two", NOW + HOLD).rows
    assert row.sent_at == NOW
    told.waits("a1", 60)
    (row,) = told.takes("two", NOW + 60_000).rows
    assert row.sent_at == NOW


def test_an_attempt_in_which_nothing_was_sent_does_not_count(told: Told) -> None:
    """Who lets go of it says so."""
    told.follows(*due("a1"))
    (row,) = told.takes().rows
    told.book.later(row, "a", attempts=1, ready_at=NOW, why="it has no such value", now=NOW)
    assert told.book.notices(["a1"])[0].sent_at is None
    assert told.takes(now=NOW + 1).rows[0].sent_at is None
    assert told.book.notices(["a1"])[0].sent_at == NOW + 1


def test_what_was_recovered_is_sent_anew(told: Told) -> None:
    """As with its attempts; what is only hastened goes on as it was."""
    told.follows(*due("a1"))
    assert told.taken() == ["a1"]
    told.waits("a1", 60)
    told.follows(of(NoticeRecovered, "a1"))
    assert told.book.notices(["a1"])[0].sent_at == NOW
    told.follows(of(NoticeGivenUp, "a1", attempts=10, why="answered 422"))
    told.follows(of(NoticeRecovered, "a1"))
    assert told.book.notices(["a1"])[0].sent_at is None


def test_what_was_followed_is_not_followed_twice(told: Told) -> None:
    """The position stands with the rows."""
    told.follows(*due("a1", "a2"))
    assert told.follows() == Followed(2)
    assert told.tally() == {"due": 2, "waiting": 2}


def test_a_book_made_anew_from_the_whole_log_says_the_same(told: Told) -> None:
    """In one page, or event by event."""
    events = [
        *due("a1", "a2", "a3", "a4"), *due("b1", case="J-2"),
        of(NoticeDelivered, "a1", attempts=1),
        of(NoticeSuperseded, "a2", why="newer-word"),
        of(NoticeDelivered, "a2", attempts=1),
        of(NoticeGivenUp, "a3", attempts=10, why="answered 422"),
        of(NoticeRecovered, "a3"),
        of(NoticeGivenUp, "b1", case="J-2", attempts=10, why="answered 422"),
    ]  # fmt: skip
    for event in events:
        told.follows(event)
    names = ["a1", "a2", "a3", "a4", "b1"]
    before = by_name(told, names), told.book.tallies()
    told.book.start_over()
    told.follows()
    assert (by_name(told, names), told.book.tallies()) == before
    assert told.tally() == {"due": 5, "delivered": 2, "given-up": 1, "waiting": 2}


def test_a_tool_whose_breaker_is_open_is_tried_by_one_notice_before_its_time(
    told: Told,
) -> None:
    """And by no other until that is back."""
    told.follows(*due("a1"), *due("b1", case="J-2"))
    assert told.taken() == ["a1", "b1"]
    told.waits("a1", 60)
    told.waits("b1", 90)
    told.book.change_flow(
        "crm", lambda flow: failed(replace(flow, failures=4), NOW, 1, probe=False)
    )
    assert told.taken(now=NOW + 4_999) == []
    probe = told.takes(now=NOW + 5_000)
    assert (probe.probe, [row.id for row in probe.rows]) == (True, ["a1"])
    assert told.taken(now=NOW + 5_001) == []


LATER = NOON + timedelta(days=14)


def planned(name: str, case: str) -> ReactionPlanned:
    return ReactionPlanned(
        recorded_at=NOON, by=Asker(), id=name, case=case, tool="crm",
        reaction="ask_for_review", request="review_request", fires_at=LATER, states=("invoiced",),
    )  # fmt: skip


def test_plans_wait_for_their_time_and_go_when_they_have_come(told: Told) -> None:
    """The notice that comes of a plan bears its name."""
    told.follows(planned("p1", "jobs/J-1"))
    assert told.book.plans_due(millis(LATER) - 1, ["jobs"]) == []
    assert [one.id for one in told.book.plans_due(millis(LATER), ["jobs"])] == ["p1"]
    told.follows(*due("p1"))
    assert told.book.plans_due(millis(LATER), ["jobs"]) == []


def test_plans_of_a_collection_that_is_declared_no_more_keep_nobody_waiting(told: Told) -> None:
    """However many they are; they come when it is declared again."""
    old = [planned(f"o{number:03}", f"job/J-{number}") for number in range(PLANS_MAX)]
    told.follows(*old, planned("p1", "jobs/J-1"))
    due_now = millis(LATER)
    assert [one.id for one in told.book.plans_due(due_now, ["clients", "jobs"])] == ["p1"]
    assert len(told.book.plans_due(due_now, ["job"])) == PLANS_MAX


def test_a_steward_is_told_of_what_is_new_and_again_until_it_is_said_to_be_told(
    told: Told,
) -> None:
    """What is an hour old is no news; of notices that are given up once a day."""
    known: dict[str, Any] = {"by": Asker(), "tool": "crm", "why": "no connection"}
    told.follows(
        FlowFailing(recorded_at=NOON - timedelta(hours=2), **known),
        FlowStopped(recorded_at=NOON, **known),
        *due("a1", "a2"),
        of(NoticeGivenUp, "a1", attempts=10, why="answered 422"),
        of(NoticeGivenUp, "a2", attempts=10, why="answered 422"),
    )
    alerts = [alert for _ in range(3) if (alert := told.book.alert(NOW))]
    assert [alert.what for alert in alerts] == ["stopped", "given-up"]
    told.book.told(alerts[0], NOW)
    again = told.book.alert(NOW + 60_000)
    assert again is not None
    assert again.what == "given-up"


@pytest.mark.parametrize("unproven", [True, False])
def test_a_flow_that_was_started_again_fails_until_it_works(told: Told, *, unproven: bool) -> None:
    """So that its first success is said; in an older log it counted as working at once."""
    known: dict[str, Any] = {"recorded_at": NOON, "by": Asker(), "tool": "crm"}
    told.follows(FlowStopped(**known, why="410"), FlowStarted(**known, unproven=unproven))
    assert [(one.stopped, one.failing) for one in told.book.flows()] == [(0, int(unproven))]


def test_an_alert_is_held_by_whoever_tells_it_for_longer_than_that_may_take(told: Told) -> None:
    """And no other with it: what waits for its turn may be told by somebody else."""
    known: dict[str, Any] = {"by": Asker(), "why": "no connection"}
    told.follows(*(FlowFailing(recorded_at=NOON, tool=tool, **known) for tool in ("crm", "books")))
    (first, other) = (told.book.alert(NOW), told.book.alert(NOW + 2 * round(SECONDS_MAX * 1000)))
    assert first is not None
    assert other is not None
    assert (first.tool, other.tool) == ("crm", "books")


def test_processes_that_open_a_book_at_once_find_one(new_database: NewDatabase) -> None:
    """Whoever comes first makes it."""
    database = new_database()
    books: list[Book] = []
    threads = [Thread(target=lambda: books.append(open_book(database))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = Told(books[0])
    told.follows(*due("a1"))
    assert [book.tallies()["crm"]["waiting"] for book in books] == [1] * 6
    for book in books:
        book.close()


@pytest.mark.parametrize("content", [b"", b"Ring the client back. " * 999], ids=["empty", "torn"])
def test_a_file_that_is_no_book_is_made_one(tmp_path: Path, content: bytes) -> None:
    """What it held beyond the log is lost, and the log is followed from its beginning."""
    file = tmp_path / "log.db-courier.db"
    file.write_bytes(content)
    with closing(open_book(f"sqlite:///{tmp_path}/log.db")) as book:
        assert book.position() == 0


def test_a_book_of_another_version_is_made_anew(tmp_path: Path) -> None:
    """Its tables are not guessed at."""
    database = f"sqlite:///{tmp_path}/log.db"
    with closing(open_book(database)) as book:
        Told(book).follows(*due("a1"))
    with closing(sqlite3.connect(tmp_path / "log.db-courier.db")) as file:
        file.execute("UPDATE book SET book_version = 99")
        file.commit()
    with closing(open_book(database)) as book:
        assert (book.position(), book.tallies()) == (0, {})


def test_a_book_that_another_process_has_made_anew_is_read_from_then_on(tmp_path: Path) -> None:
    """Nobody goes on reading a file that is no longer there."""
    database = f"sqlite:///{tmp_path}/log.db"
    with closing(open_book(database)) as reader:
        with closing(open_book(database)) as book:
            Told(book).follows(*due("a1"))
        assert reader.tallies()["crm"]["waiting"] == 1
        for file in tmp_path.glob("log.db-courier.db*"):
            file.unlink()
        with closing(open_book(database)) as book:
            assert reader.tallies() == {}
            Told(book).follows(*due("a1"), *due("a2"))
            assert reader.tallies()["crm"]["waiting"] == 2


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        (tables.UPDATE_FIRST, {"lines": '[["crm", "jobs/J-7"]]', "now": NOW}),
        (tables.UPDATE_HASTENED, {"lines": '[["crm", "jobs/J-7"]]', "now": NOW}),
        (tables.UPDATE_TAKEN, {"ids": '[["n7"]]', "holder": "a", "until": NOW, "now": NOW}),
        (tables.UPDATE_HELD, {"ids": '[["n7"]]', "holder": "a", "until": NOW}),
        (tables.DELETE_WAITING, {"ids": '[["n7"]]'}),
        (tables.SELECT_WAITING, {"ids": '[["n7"]]'}),
        (tables.SELECT_READY, {"tool": "crm", "collection": "jobs", "now": NOW, "most": 9}),
        (tables.SELECT_NEXT_READY, {"tool": "crm", "collection": "jobs"}),
    ],
    ids=["first", "hastened", "taken", "held", "struck-out", "named", "ready", "next-ready"],
)
def test_what_waits_for_one_tool_is_not_read_through_for_another(
    told: Told, statement: str, values: dict[str, Any]
) -> None:
    """However much it is: nothing that is done at every step reads the whole table."""
    told.follows(*(one for n in range(500) for one in due(f"n{n}", case=f"J-{n}")))
    with told.book._shelf.writing() as session:
        sqlite = isinstance(session, SqliteSession)
        how = "EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN "
        plan = "\n".join(str(row) for row in session.rows(how + statement, **values))
    assert not re.search(
        r"Seq Scan on waiting|SCAN (w|waiting)\b(?! USING (COVERING )?INDEX)", plan
    )
