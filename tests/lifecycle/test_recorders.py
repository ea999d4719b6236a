"""What both recorders of the log promise; every test runs on SQLite and on PostgreSQL."""

import os
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest
from eventsourcing.application import Application
from eventsourcing.persistence import IntegrityError, Notification, StoredEvent

from lifecycle.log import (
    SCHEMA_VERSION,
    TAIL_MAX,
    BadDatabase,
    Batch,
    Recorder,
    environment,
    open_log,
)
from lifecycle.refusals import StorageUnavailable
from tests.databases import NewDatabase, Postgres

ROOT = Path(__file__).parents[2]
RACE_SECONDS_MAX = 60


@pytest.fixture
def log(new_database: NewDatabase) -> Iterator[Recorder]:
    recorder = open_log(new_database())
    yield recorder
    recorder.close()


@pytest.fixture
def sqlite_log(new_sqlite: NewDatabase) -> Iterator[Recorder]:
    recorder = open_log(new_sqlite())
    yield recorder
    recorder.close()


def moved(stream: str, version: int, state: bytes = b"{}") -> StoredEvent:
    return StoredEvent(stream, version, "case.moved.v1", state)


def places(events: Sequence[StoredEvent]) -> list[tuple[int, str, int]]:
    """Say of each where it stands."""
    placed = cast("Sequence[Notification]", events)
    return [(event.id, str(event.originator_id), event.originator_version) for event in placed]


class TestAppending:
    def test_positions_follow_the_order_of_the_batch(self, log: Recorder) -> None:
        """The events of a batch stand in the log as they were given, whatever their streams."""
        batch = [moved("b", 1), moved("a", 1), moved("b", 2), moved("A", 1), moved("a", 2)]
        positions = log.append(batch, after=0)
        assert positions is not None
        assert places(log.tail(0)) == [
            (position, event.originator_id, event.originator_version)
            for position, event in zip(positions, batch, strict=True)
        ]
        assert log.last_position() == positions[-1]

    @pytest.mark.parametrize("number", [1, 7, 8, 65, 200])
    def test_an_append_has_any_number_of_events(self, log: Recorder, number: int) -> None:
        """However many are written at once, each stands at the position that was answered."""
        positions = log.append([moved("a", 1 + one) for one in range(number)], after=0)
        assert positions is not None
        expected = [(at, "a", version) for version, at in enumerate(positions, 1)]
        assert len(expected) == number
        assert places(log.tail(0)) == expected

    def test_events_come_back_as_they_went_in(self, log: Recorder) -> None:
        """Topic, state and a name outside ASCII are kept to the byte."""
        event = StoredEvent("reference:crm/Bär…/1", 1, "t.v1", bytes(range(256)))
        log.append([event], after=0)
        (kept,) = log.tail(0)
        assert (kept.originator_id, kept.topic, kept.state) == (
            event.originator_id,
            event.topic,
            event.state,
        )

    def test_nothing_is_appended_once_the_log_has_moved_on(self, log: Recorder) -> None:
        """Who has not seen the end of the log writes nothing: no event, no key, no forgetting."""
        log.append([moved("a", 1)], after=0, keys={"a": b"key of a"})
        late = log.append([moved("b", 1)], after=0, keys={"b": b"key of b"}, forget=["a"])
        assert late is None
        assert places(log.tail(0)) == [(log.last_position(), "a", 1)]
        assert log.wrapped_keys(["a", "b"]) == {"a": b"key of a"}

    def test_nothing_is_appended_after_a_position_that_is_not_there(self, log: Recorder) -> None:
        """Who believes to have seen more than the log holds writes nothing either."""
        assert log.append([moved("a", 1)], after=7) is None

    def test_a_version_stands_once(self, log: Recorder) -> None:
        """A second event of the same stream and version is refused with all of its batch."""
        log.append([moved("a", 1)], after=0)
        last = log.last_position()
        with pytest.raises(IntegrityError, match=r"\[a b\]"):
            log.append([moved("b", 1), moved("a", 1)], after=last, keys={"b": b"key"})
        assert log.last_position() == last
        assert log.wrapped_keys(["b"]) == {}
        assert log.append([moved("b", 1)], after=last) is not None

    @pytest.mark.parametrize(
        ("batch", "words"),
        [
            ([], "without events"),
            ([moved("a", 1), moved("a", 3)], r"\[a 1 3\]"),
            ([moved("a", 2), moved("b", 1), moved("a", 2)], r"\[a 2 2\]"),
            ([moved("a\0", 1)], "name of a stream"),
            ([moved("a" * 601, 1)], "name of a stream"),
        ],
        ids=["empty", "gap", "double", "nul", "long"],
    )
    def test_a_batch_out_of_order_is_our_mistake(
        self, log: Recorder, batch: Sequence[StoredEvent], words: str
    ) -> None:
        """Versions of a stream follow on within a batch, or it never reaches the database."""
        with pytest.raises(AssertionError, match=words):
            log.append(batch, after=0)
        assert log.last_position() == 0

    def test_a_position_is_never_used_again(self, new_database: NewDatabase) -> None:
        """Whatever is lost of the log's end, what comes later stands behind what was read."""
        database = new_database()
        with_two = open_log(database)
        positions = with_two.append([moved("a", 1), moved("a", 2)], after=0)
        assert positions is not None
        with_two.close()
        run_sql(database, "DELETE FROM stored_events WHERE originator_version = 2")
        log = open_log(database)
        (later,) = log.append([moved("b", 1)], after=positions[0]) or ()
        log.close()
        assert later > positions[-1]

    def test_the_library_writes_through_the_same_append(self, new_database: NewDatabase) -> None:
        """An `Application` is built over the log by its environment, and reads what it wrote."""
        application: Application[str] = Application(env=environment(new_database()))
        application.recorder.insert_events([moved("a", 1), moved("b", 1)])
        application.recorder.insert_events([moved("a", 2)])
        notified = application.notification_log.select(1, 10)
        application.close()
        assert [event.originator_id for event in notified] == ["a", "b", "a"]
        assert isinstance(application.recorder, Recorder)
        application.recorder.close()


class TestHoldingTheLog:
    def test_a_held_append_decides_on_all_that_others_wrote(self, log: Recorder) -> None:
        """Who holds the log sees its true end, may read besides, and writes right behind it."""
        seen = log.append([moved("a", 1)], after=0)
        log.append([moved("a", 2)], after=log.last_position())
        assert seen is not None
        tails = []

        def decide(tail: Sequence[Notification]) -> Batch:
            tails.append(places(tail))
            assert len(log.streams(["a"])) == 2
            return Batch([moved("a", 3)], keys={"a": b"key"})

        (position,) = log.append_held(decide, after=seen[-1]) or ()
        assert tails == [[(position - 1, "a", 2)]]
        assert log.last_position() == position
        assert log.wrapped_keys(["a"]) == {"a": b"key"}

    def test_a_decision_that_raises_writes_nothing(self, log: Recorder) -> None:
        """A decision may say no; the log is then free for the next."""

        def decide(_: Sequence[Notification]) -> Batch:
            raise LookupError

        with pytest.raises(LookupError):
            log.append_held(decide, after=0)
        assert log.append([moved("a", 1)], after=0) is not None

    def test_a_decision_for_nothing_writes_nothing(self, log: Recorder) -> None:
        """A batch without events is a decision too."""
        assert log.append_held(lambda _: Batch([]), after=0) == ()
        assert log.append([moved("a", 1)], after=0) is not None

    def test_a_version_stands_once_there_too(self, log: Recorder) -> None:
        """A held append cannot write over what stands either, and lets go of the log."""
        log.append([moved("a", 1)], after=0)
        with pytest.raises(IntegrityError):
            log.append_held(lambda _: Batch([moved("a", 1)]), after=0)
        assert log.append([moved("a", 2)], after=log.last_position()) is not None

    def test_who_is_far_behind_reads_first(self, log: Recorder) -> None:
        """The log is not held while more is read than one reading of the tail gives."""
        log.append([moved("a", version) for version in range(1, TAIL_MAX + 2)], after=0)
        assert log.append_held(lambda _: Batch([moved("b", 1)]), after=0) is None
        assert log.streams(["b"]) == []
        assert len(log.tail(0)) == TAIL_MAX


class TestReading:
    @pytest.fixture(autouse=True)
    def _three_streams(self, log: Recorder) -> None:
        log.append([moved("a", 1), moved("b", 1), moved("c", 1), moved("a", 2)], after=0)
        log.append(
            [moved("a", 3), StoredEvent("c", 2, "case.opened.v1", b"")], after=log.last_position()
        )

    def test_the_tail_is_read_in_pages(self, log: Recorder) -> None:
        """Page after page, every event comes once and in order."""
        pages, after = [], 0
        while page := log.tail(after, limit=2):
            pages.append([event.originator_id for event in page])
            after = page[-1].id
        assert pages == [["a", "b"], ["c", "a"], ["a", "c"]]

    def test_many_streams_come_in_the_order_of_the_log(self, log: Recorder) -> None:
        """The events of several streams are read together, and nothing else."""
        read = log.streams(["c", "a", "nobody"])
        assert [(event.originator_id, event.originator_version) for event in read] == [
            ("a", 1),
            ("c", 1),
            ("a", 2),
            ("a", 3),
            ("c", 2),
        ]
        assert [event.id for event in read] == sorted(event.id for event in read)
        assert log.streams([]) == []

    def test_a_stream_is_read_as_the_library_asks(self, log: Recorder) -> None:
        """Bounds, direction and limit of the library's repository hold; events know their place."""

        def versions(events: Sequence[StoredEvent]) -> list[int]:
            return [event.originator_version for event in events]

        assert versions(log.select_events("a")) == [1, 2, 3]
        assert versions(log.select_events("a", gt=1, lte=2)) == [2]
        assert versions(log.select_events("a", desc=True, limit=1)) == [3]
        assert versions(log.select_events("A")) == []
        assert places(log.select_events("c"))[-1] == (log.last_position(), "c", 2)

    def test_a_page_is_read_as_the_library_asks(self, log: Recorder) -> None:
        """Start, stop, topics and limit of the library's notification log hold."""
        positions = [event.id for event in log.tail(0)]

        def read(page: Sequence[Notification]) -> list[int]:
            return [positions.index(event.id) for event in page]

        assert read(log.select_notifications(positions[1], 2)) == [1, 2]
        assert read(log.select_notifications(positions[1], 2, inclusive_of_start=False)) == [2, 3]
        assert read(log.select_notifications(None, 9, stop=positions[1])) == [0, 1]
        assert read(log.select_notifications(None, 9, topics=["case.opened.v1"])) == [5]


class TestBesideTheLog:
    def test_keys_come_and_go_with_the_events(self, log: Recorder) -> None:
        """A key enters the vault in the commit of its event, and leaves it in another's."""
        log.append([moved("a", 1), moved("b", 1)], after=0, keys={"a": b"1", "b": b"2"})
        assert log.wrapped_keys(["a", "b", "c"]) == {"a": b"1", "b": b"2"}
        log.append([moved("a", 2)], after=log.last_position(), forget=["a", "never there"])
        assert log.wrapped_keys(["a", "b"]) == {"b": b"2"}

    def test_a_key_is_never_replaced(self, log: Recorder) -> None:
        """A second key for a stream is refused with its events: what it hides would be lost."""
        log.append([moved("a", 1)], after=0, keys={"a": b"1"})
        with pytest.raises(IntegrityError):
            log.append([moved("a", 2)], after=log.last_position(), keys={"a": b"2"})
        assert log.wrapped_keys(["a"]) == {"a": b"1"}
        assert len(log.streams(["a"])) == 1

    def test_a_setting_is_kept_by_whoever_comes_first(self, log: Recorder) -> None:
        """Of two that set the same, both learn what stands."""
        assert log.setting("master key") is None
        assert log.keep_setting("master key", b"first") == b"first"
        assert log.keep_setting("master key", b"second") == b"first"
        assert log.setting("master key") == b"first"


class TestRacing:
    def test_processes_that_race_lose_nothing(self, new_database: NewDatabase) -> None:
        """Whoever writes beside whom, every event stands once, and readers never skip one."""
        database, count = new_database(), 60
        log = open_log(database)
        racers = [
            subprocess.Popen(
                [sys.executable, str(ROOT / "tests/chaos/racer.py"), database, name, str(count)],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            for name in ("first", "second")
        ]
        followed: list[Notification] = []
        given_up = time.monotonic() + RACE_SECONDS_MAX
        while any(racer.poll() is None for racer in racers) and time.monotonic() < given_up:
            followed.extend(log.tail(followed[-1].id if followed else 0))
        followed.extend(log.tail(followed[-1].id if followed else 0))
        for racer in racers:
            racer.kill()
            racer.wait()
        log.close()
        assert [racer.returncode for racer in racers] == [0, 0]
        for name in ("first", "second"):
            stream = [event for event in followed if event.originator_id == f"case:jobs/{name}"]
            assert [event.originator_version for event in stream] == list(range(1, count + 1))
        assert len(followed) == 2 * count


class TestOpening:
    def test_a_log_is_opened_again_as_it_was(self, new_database: NewDatabase) -> None:
        """Closing loses nothing, and opening changes nothing."""
        database = new_database()
        for version in (1, 2):
            log = open_log(database)
            assert log.append([moved("a", version)], after=log.last_position()) is not None
            log.close()
        log = open_log(database)
        assert len(log.tail(0)) == 2
        log.close()

    def test_many_may_open_an_empty_database_at_once(self, new_database: NewDatabase) -> None:
        """Whoever makes the tables, all find them, and nobody fails."""
        with ThreadPoolExecutor(4) as pool:
            for _ in range(5):
                for log in pool.map(open_log, [new_database()] * 4):
                    assert log.last_position() == 0
                    log.close()

    def test_tables_of_a_newer_program_are_not_touched(self, new_database: NewDatabase) -> None:
        """A database that a newer version wrote is refused, with both versions in one line."""
        database = new_database()
        open_log(database).close()
        run_sql(database, "UPDATE meta SET value = '7' WHERE name = 'schema'")
        with pytest.raises(BadDatabase, match=f"version 7, this one knows {SCHEMA_VERSION}"):
            open_log(database)

    def test_tables_of_another_program_are_not_touched(self, new_database: NewDatabase) -> None:
        """A database in which somebody else keeps events of theirs is refused."""
        database = new_database()
        open_log(database).close()
        run_sql(database, "DROP TABLE meta")
        with pytest.raises(BadDatabase, match="another program"):
            open_log(database)

    @pytest.mark.parametrize(
        "url", ["statekeeper.db", "sqlite:///", "sqlite:///:memory:", "mysql://host/db"]
    )
    def test_an_address_that_names_no_database_is_refused(self, url: str) -> None:
        """The line that refuses it says how databases are named."""
        with pytest.raises(BadDatabase, match=r"sqlite:///relative\.db"):
            open_log(url)

    def test_a_file_that_is_no_database_is_refused(self, tmp_path: Path) -> None:
        """A file of something else stays as it is."""
        file = tmp_path / "notes.txt"
        file.write_text("not a database " * 100)
        with pytest.raises(BadDatabase, match=r"notes\.txt cannot be the log"):
            open_log(f"sqlite:///{file}")
        assert file.read_text() == "not a database " * 100

    def test_a_folder_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        """No folder is made for a path that somebody mistyped."""
        with pytest.raises(BadDatabase, match="unable to open"):
            open_log(f"sqlite:///{tmp_path}/nowhere/statekeeper.db")

    def test_a_schema_is_a_log_of_its_own(self, postgres: Postgres) -> None:
        """Logs in two schemas know nothing of each other, however the schemas are named."""
        named, searched = postgres.new(), postgres.new()
        address, _, schema = searched.partition("&schema=")
        first, second = open_log(named), open_log(f"{address}&options=-csearch_path%3D{schema}")
        first.append([moved("a", 1)], after=0)
        assert second.last_position() == 0
        assert second.append([moved("a", 1)], after=0) is not None
        again = open_log(searched)
        assert places(again.tail(0)) == places(second.tail(0))
        for log in (first, second, again):
            log.close()

    def test_a_stricter_isolation_by_default_changes_nothing(self, postgres: Postgres) -> None:
        """An append sees what was committed just before it, whatever the database's default is."""
        database = postgres.new()
        strict = open_log(f"{database}&options=-cdefault_transaction_isolation%3Dserializable")
        log = open_log(database)
        log.append([moved("a", 1)], after=0)
        assert strict.append([moved("a", 2)], after=log.last_position()) is not None
        log.append([moved("a", 3)], after=log.last_position())
        assert strict.append_held(lambda _: Batch([moved("a", 4)]), after=0) is not None
        strict.close()
        log.close()

    def test_a_file_is_served_once(self, new_sqlite: NewDatabase) -> None:
        """A second `serve` on a file is kept out until the first ends; command lines are not."""
        database = new_sqlite()
        first, second = open_log(database), open_log(database)
        first.hold_for_service()
        with pytest.raises(BadDatabase, match="being served by another process"):
            second.hold_for_service()
        assert second.append([moved("a", 1)], after=0) is not None
        first.close()
        second.hold_for_service()
        second.close()

    def test_a_server_is_shared_by_any_number(self, postgres: Postgres) -> None:
        """Services over PostgreSQL stand beside each other."""
        database = postgres.new()
        logs = [open_log(database), open_log(database)]
        for log in logs:
            log.hold_for_service()
            log.close()


class TestFullDisk:
    def test_a_full_file_refuses_and_keeps_what_it_has(self, sqlite_log: Recorder) -> None:
        """What does not fit is not there, in whole; what fits afterwards is taken."""
        sqlite_log.append([moved("a", 1)], after=0)
        last = sqlite_log.last_position()
        limit_pages(sqlite_log, 12)
        with pytest.raises(StorageUnavailable, match="full") as refused:
            sqlite_log.append([moved("b", 1, b"x" * 200_000)], after=last)
        assert refused.value.facts["may_have_happened"] is False
        assert places(sqlite_log.tail(0)) == [(last, "a", 1)]
        assert sqlite_log.append([moved("b", 1)], after=last) is not None

    def test_a_disk_that_is_full_at_the_commit_refuses_too(self, sqlite_log: Recorder) -> None:
        """Where only the commit finds the disk full, it is looked up that nothing was written."""
        sqlite_log.append([moved("a", 1)], after=0)
        last = sqlite_log.last_position()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            with pytest.raises(StorageUnavailable) as refused:
                sqlite_log.append([moved("b", 1, b"x" * 200_000)], after=last)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert refused.value.facts["may_have_happened"] is False
        assert places(sqlite_log.tail(0)) == [(last, "a", 1)]
        assert sqlite_log.append([moved("b", 1)], after=last) is not None


def run_sql(database: str, statement: str) -> None:
    """Do to a database, behind the recorder's back, what an operator might."""
    if database.startswith("sqlite"):
        connection = sqlite3.connect(database.removeprefix("sqlite:///"))
        connection.execute(statement)
        connection.commit()
        connection.close()
        return
    import psycopg

    address, _, schema = database.partition("&schema=")
    with psycopg.connect(address, autocommit=True) as session:
        session.execute(f"SET search_path TO {schema}".encode())
        session.execute(statement.encode())


def limit_pages(log: Recorder, pages: int) -> None:
    """Make a file as full as a disk can be."""
    from lifecycle.sqlite import SqliteRecorder

    assert isinstance(log, SqliteRecorder)
    with log._writing:
        log._open_writer().execute(f"PRAGMA max_page_count = {pages}")
