"""Commits whose answer is lost, servers that die, writers that freeze: the log stays true."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event, Thread

import psycopg
import pytest
from eventsourcing.persistence import Notification, StoredEvent
from psycopg import sql

from lifecycle import sqlite
from lifecycle.log import Batch, open_log
from lifecycle.postgres import PostgresRecorder, lock_key
from lifecycle.refusals import StorageUnavailable
from tests.chaos.proxy import Fate, Proxy
from tests.databases import NewDatabase, Postgres, running_postgres
from tests.running import until

HERE = Path(__file__).parent
PATIENCE_SECONDS = 0.6
ROUNDS_MAX = 500
WAIT_SECONDS_MAX = 20


@pytest.fixture(scope="module")
def mortal() -> Iterator[Postgres]:
    """Run a server that only the tests of this file may kill."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="module", params=[16, 18], ids=["postgres-16", "postgres-18"])
def postgres(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """Run a server that knows no limit for a transaction as a whole, and one that does."""
    with running_postgres(request.param) as server:
        yield server


@pytest.fixture
def schema(postgres: Postgres) -> str:
    return postgres.new().partition("&schema=")[2]


@pytest.fixture
def direct(postgres: Postgres, schema: str) -> Iterator[PostgresRecorder]:
    """Open the same log, without anything in between."""
    log = impatient(postgres.url(schema))
    yield log
    log.close()


@pytest.fixture
def proxy(postgres: Postgres) -> Iterator[Proxy]:
    with Proxy(postgres.socket) as proxy:
        yield proxy


@pytest.fixture
def log(proxy: Proxy, schema: str) -> Iterator[PostgresRecorder]:
    """Open the log through a proxy that may lose answers; its first event is appended."""
    log = impatient(f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres?schema={schema}")
    assert log.append([moved("a", 1)], after=0) == [1]
    yield log
    log.close()


def impatient(database: str) -> PostgresRecorder:
    log = open_log(database)
    assert isinstance(log, PostgresRecorder)
    log.datastore.answer_seconds_max = PATIENCE_SECONDS
    log.settle_seconds_max = 2.0
    return log


def moved(stream: str, version: int, state: bytes = b"{}") -> StoredEvent:
    return StoredEvent(stream, version, "case.moved.v1", state)


def stand(log: PostgresRecorder) -> list[tuple[str, int, bytes]]:
    return [
        (str(event.originator_id), event.originator_version, event.state) for event in log.tail(0)
    ]


every_fate = pytest.mark.parametrize("fate", Fate, ids=[fate.name.lower() for fate in Fate])


class TestLostAnswers:
    @every_fate
    def test_an_append_in_doubt_is_done_once(
        self, log: PostgresRecorder, direct: PostgresRecorder, proxy: Proxy, fate: Fate
    ) -> None:
        """Whether the server had it or not: the answer is where the events stand, once."""
        proxy.next_request(fate)
        batch = [moved("a", 2), moved("b", 1)]
        positions = log.append(batch, after=1, keys={"b": b"key"})
        assert positions == [event.id for event in direct.tail(1)]
        assert stand(direct) == [("a", 1, b"{}"), ("a", 2, b"{}"), ("b", 1, b"{}")]
        assert direct.wrapped_keys(["b"]) == {"b": b"key"}

    @every_fate
    def test_a_held_append_in_doubt_is_done_once(
        self, log: PostgresRecorder, direct: PostgresRecorder, proxy: Proxy, fate: Fate
    ) -> None:
        """The same where the log was held, whose lock dies with the connection."""

        def decide(_: Sequence[Notification]) -> Batch:
            proxy.next_request(fate)
            return Batch([moved("a", 2)])

        positions = log.append_held(decide, after=1)
        assert positions == [event.id for event in direct.tail(1)]
        assert stand(direct) == [("a", 1, b"{}"), ("a", 2, b"{}")]

    def test_the_same_version_of_somebody_else_is_not_taken_for_ours(
        self, log: PostgresRecorder, direct: PostgresRecorder, proxy: Proxy
    ) -> None:
        """Another's event may stand under our stream and version: then the log has moved on."""
        proxy.next_request(Fate.CUT_BEFORE, then_refuse=True)

        def other() -> None:
            until(lambda: proxy.refuses, "ours is lost")
            direct.append([moved("a", 2, b"theirs")], after=1)
            proxy.refuses = False

        meanwhile = Thread(target=other)
        meanwhile.start()
        appended = log.append([moved("a", 2, b"ours")], after=1)
        meanwhile.join()
        assert appended is None
        assert stand(direct) == [("a", 1, b"{}"), ("a", 2, b"theirs")]

    def test_a_commit_still_on_its_way_is_waited_for(
        self, log: PostgresRecorder, postgres: Postgres, schema: str, proxy: Proxy
    ) -> None:
        """A dead session holds the append lock until its commit is decided: so does our look.

        Here another session stands for the dead one, with our events not yet committed.
        """
        ours = moved("a", 2)
        with psycopg.connect(postgres.url(schema).partition("&schema=")[0]) as dead:
            dead.execute("SELECT pg_advisory_xact_lock(%s)", (lock_key(schema),))
            dead.execute(
                sql.SQL(
                    "INSERT INTO {}.stored_events (originator_id, originator_version, topic, state)"
                    " VALUES (%s, %s, %s, %s)"
                ).format(sql.Identifier(schema)),
                (ours.originator_id, ours.originator_version, ours.topic, ours.state),
            )

            def commit_once_somebody_waits() -> None:
                waiting = (
                    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                )
                for _ in range(ROUNDS_MAX):
                    if dead.execute(waiting).fetchone() != (0,):
                        break
                    time.sleep(0.01)
                dead.commit()

            committing = Thread(target=commit_once_somebody_waits)
            committing.start()
            proxy.next_request(Fate.CUT_BEFORE)
            positions = log.append([ours], after=1)
            committing.join()
        assert positions == [event.id for event in log.tail(1)]
        assert stand(log) == [("a", 1, b"{}"), ("a", 2, b"{}")]

    @pytest.mark.parametrize("fate", [Fate.CUT_BEFORE, Fate.CUT_AFTER], ids=["before", "after"])
    def test_what_cannot_be_known_in_time_is_said(
        self, log: PostgresRecorder, direct: PostgresRecorder, proxy: Proxy, fate: Fate
    ) -> None:
        """With no way left to the server, the answer is that it may have happened; or may not."""
        proxy.next_request(fate, then_refuse=True)
        with pytest.raises(StorageUnavailable) as unknown:
            log.append([moved("a", 2)], after=1)
        assert unknown.value.facts["may_have_happened"] is True
        happened = fate is Fate.CUT_AFTER
        assert len(stand(direct)) == (2 if happened else 1)
        proxy.refuses = False
        again = log.append([moved("a", 2)], after=1)
        assert (again is None) == happened

    def test_a_read_that_hangs_ends(self, log: PostgresRecorder, proxy: Proxy) -> None:
        """A read waits no longer than a write; the next one finds another way."""
        log.tail(0)
        proxy.next_request(Fate.HANG_BEFORE)
        with pytest.raises(StorageUnavailable):
            log.tail(0)
        assert len(log.tail(0)) == 1


class TestFrozenWriters:
    def test_a_writer_frozen_in_its_decision_frees_the_others(
        self, log: PostgresRecorder, direct: PostgresRecorder
    ) -> None:
        """The server hangs up on who holds the log too long; what they decided is void."""
        frozen, thawed = Event(), Event()
        outcomes: list[Sequence[int] | None] = []

        def decide(_: Sequence[Notification]) -> Batch:
            frozen.set()
            thawed.wait(WAIT_SECONDS_MAX)
            return Batch([moved("a", 2, b"frozen")])

        writer = Thread(target=lambda: outcomes.append(log.append_held(decide, after=1)))
        writer.start()
        frozen.wait(WAIT_SECONDS_MAX)
        direct.datastore.answer_seconds_max = 30.0
        assert direct.append([moved("a", 2, b"free")], after=1) is not None
        thawed.set()
        writer.join()
        assert outcomes == [None]
        assert stand(direct) == [("a", 1, b"{}"), ("a", 2, b"free")]

    def test_who_waits_for_a_frozen_writer_is_told_in_time(
        self, log: PostgresRecorder, direct: PostgresRecorder
    ) -> None:
        """The lock is not waited for without end; nothing was written."""
        direct.datastore.answer_seconds_max = 30.0

        def decide(_: Sequence[Notification]) -> Batch:
            with pytest.raises(StorageUnavailable, match="lock timeout") as refused:
                log.append([moved("b", 1)], after=1)
            assert refused.value.facts["may_have_happened"] is False
            return Batch([moved("a", 2)])

        log.append([moved("a", 2)], after=0)
        assert direct.append_held(decide, after=1) is not None
        assert stand(direct) == [("a", 1, b"{}"), ("a", 2, b"{}")]

    def test_a_locked_file_is_not_waited_for_without_end(
        self, new_sqlite: NewDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nobody can break the lock of a frozen process on a file: others say so, and recover."""
        monkeypatch.setattr(sqlite, "BUSY_SECONDS_MAX", 0.1)
        database = new_sqlite()
        log = open_log(database)
        frozen = sqlite3.connect(database.removeprefix("sqlite:///"), isolation_level=None)
        frozen.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageUnavailable, match="locked") as refused:
            log.append([moved("a", 1)], after=0)
        assert refused.value.facts["may_have_happened"] is False
        assert log.tail(0) == []
        frozen.execute("ROLLBACK")
        frozen.close()
        assert log.append([moved("a", 1)], after=0) is not None
        log.close()


class TestDeadServers:
    def test_a_log_lives_on_with_its_server(self, mortal: Postgres) -> None:
        """With the server dead all is refused as certain; when it is back, all is as it was."""
        log = open_log(mortal.new())
        log.append([moved("a", 1)], after=0)
        assert len(log.tail(0)) == 1
        mortal.kill()
        with pytest.raises(StorageUnavailable) as refused:
            log.append([moved("a", 2)], after=1)
        assert refused.value.facts["may_have_happened"] is False
        with pytest.raises(StorageUnavailable):
            log.append_held(lambda _: Batch([moved("a", 2)]), after=1)
        with pytest.raises(StorageUnavailable):
            log.tail(0)
        with pytest.raises(StorageUnavailable):
            open_log(mortal.new())
        mortal.start()
        assert len(log.tail(0)) == 1
        assert log.append([moved("a", 2)], after=1) is not None
        log.close()

    def test_a_server_that_restarted_unnoticed_is_no_reason_to_refuse(
        self, mortal: Postgres
    ) -> None:
        """Connections that died while nobody used them are replaced, not reported."""
        log = open_log(mortal.new())
        log.append([moved("a", 1)], after=0)
        log.tail(0)
        mortal.kill()
        mortal.start()
        assert log.append([moved("a", 2)], after=1) is not None
        assert len(log.tail(0)) == 2
        log.close()


class TestUnsynchronisedFiles:
    @pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
    def test_a_commit_that_was_refused_does_not_come_back(
        self, new_sqlite: NewDatabase, tmp_path: Path
    ) -> None:
        """A commit whose synchronisation failed stands in the write-ahead log; it is overwritten.

        Otherwise it would be there again once the file is recovered after a crash.
        """
        library, flag, database = tmp_path / "failing.so", tmp_path / "fail", new_sqlite()
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-o", library, HERE / "failing_fsync.c", "-ldl"],  # noqa: S607 - found where the machine keeps it
            check=True,
        )
        died = subprocess.run(
            [sys.executable, HERE / "unsynchronised.py", database, flag],
            env={
                **os.environ,
                "PYTHONPATH": str(HERE.parents[1]),
                "LD_PRELOAD": str(library),
                "FAIL_WHEN_THERE": str(flag),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert (died.stdout, died.stderr) == ("False\n", "")
        assert not flag.exists()
        file = Path(database.removeprefix("sqlite:///"))
        file.with_name(f"{file.name}-shm").unlink()  # as after a loss of power
        log = open_log(database)
        assert [event.originator_id for event in log.tail(0)] == ["a"]
        log.close()
