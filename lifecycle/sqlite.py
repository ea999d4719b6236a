"""The log in an SQLite file.

The library's recorder, with what stands against it in the facts mended: positions that are never
used again, all of a batch in one commit, no wait without an end, events that know their position.
"""

import fcntl
import json
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import UUID

from eventsourcing import sqlite as library
from eventsourcing.persistence import Notification, PersistenceError, StoredEvent

from lifecycle.log import (
    SCHEMA_VERSION,
    TAIL_MAX,
    BadDatabase,
    Batch,
    Recorder,
    checked,
    known_schema,
    placed,
    refused_twice,
)
from lifecycle.refusals import StorageUnavailable

BUSY_SECONDS_MAX = 5
"""How long to wait for another process that writes. A frozen one keeps its lock; nobody can break
it, so others answer that the storage is unavailable."""

BUSY_PAUSE_SECONDS = 0.01
"""Between two attempts at what SQLite does not wait for by itself."""

WRITER_CACHE_KIB = 16 * 1024
"""Pages that the writer keeps in memory: the ends of all streams that are being written."""

WRITTEN_AHEAD_PAGES = 4000
"""How long the write-ahead log grows (16 MiB) before what stands in it is copied into the file. A
page that is written again and again, as the end of a stream's index is, is copied once."""

TABLES = (
    """
    CREATE TABLE IF NOT EXISTS stored_events (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        originator_id TEXT NOT NULL,
        originator_version INTEGER NOT NULL,
        topic TEXT NOT NULL,
        state BLOB NOT NULL,
        UNIQUE (originator_id, originator_version)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS vault (
        stream TEXT PRIMARY KEY,
        wrapped BLOB NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE IF NOT EXISTS meta (
        name TEXT PRIMARY KEY,
        value BLOB NOT NULL
    ) WITHOUT ROWID
    """,
)

# Which of our tables are there.
SELECT_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"

# The last position. Not max(): this one is written so that both databases walk the index backwards.
SELECT_LAST = "SELECT position FROM stored_events ORDER BY position DESC LIMIT 1"

INSERT_EVENTS = """
INSERT INTO stored_events (originator_id, originator_version, topic, state) VALUES (?, ?, ?, ?)
"""
INSERT_KEY = "INSERT INTO vault (stream, wrapped) VALUES (?, ?)"
DELETE_KEY = "DELETE FROM vault WHERE stream = ?"

# A page of the log. The columns stand in the order of a Notification's fields, everywhere.
SELECT_PAGE = """
SELECT originator_id, originator_version, topic, state, position FROM stored_events
WHERE position >= ? AND position <= ? AND (? OR topic IN (SELECT value FROM json_each(?)))
ORDER BY position LIMIT ?
"""

# Some events of one stream.
SELECT_STREAM = """
SELECT originator_id, originator_version, topic, state, position FROM stored_events
WHERE originator_id = ? AND originator_version > ? AND originator_version <= ?
ORDER BY originator_version LIMIT ?
"""
SELECT_STREAM_BACKWARDS = """
SELECT originator_id, originator_version, topic, state, position FROM stored_events
WHERE originator_id = ? AND originator_version > ? AND originator_version <= ?
ORDER BY originator_version DESC LIMIT ?
"""

# Many streams. The plus keeps the planner from walking the whole log to spare itself the sorting.
SELECT_STREAMS = """
SELECT originator_id, originator_version, topic, state, position FROM stored_events
WHERE originator_id IN (SELECT value FROM json_each(?)) ORDER BY +position
"""

# Where one version of a stream stands, and what it says.
SELECT_EVENT = """
SELECT topic, state, position FROM stored_events WHERE originator_id = ? AND originator_version = ?
"""

# A page of the log, stream by stream.
SELECT_BY_STREAM = """
SELECT originator_id, originator_version, topic, state, position FROM stored_events
WHERE (originator_id, originator_version) > (?, ?) AND +position <= ?
ORDER BY originator_id, originator_version LIMIT ?
"""

# Which versions of which streams stand.
SELECT_STANDING = """
SELECT s.originator_id, s.originator_version FROM json_each(?) AS e
JOIN stored_events AS s ON s.originator_id = e.value ->> 0 AND s.originator_version = e.value ->> 1
WHERE s.position <= ?
"""

SELECT_VAULT_PAGE = "SELECT stream, wrapped FROM vault WHERE stream > ? ORDER BY stream LIMIT ?"

# Put an event where it stood in another log.
INSERT_PLACED = """
INSERT INTO stored_events (originator_id, originator_version, topic, state, position)
VALUES (?, ?, ?, ?, ?)
"""

SELECT_KEYS = "SELECT stream, wrapped FROM vault WHERE stream IN (SELECT value FROM json_each(?))"
SELECT_SETTING = "SELECT CAST(value AS BLOB) FROM meta WHERE name = ?"
INSERT_SETTING = "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING"

# Something to commit on top of a commit that failed.
UPSERT_SETTLED = """
INSERT INTO meta (name, value) VALUES ('settled', ?1) ON CONFLICT DO UPDATE SET value = ?1
"""

NO_LOG = ("SQLITE_NOTADB", "SQLITE_CANTOPEN", "SQLITE_CORRUPT")
"""What SQLite calls a file that will not do, however long one waits."""

# Something to commit that finds room only where a batch of its size does.
UPSERT_PROBED = """
INSERT INTO meta (name, value) VALUES ('probed', zeroblob(?1))
ON CONFLICT DO UPDATE SET value = zeroblob(?1)
"""

PROBED_BYTES_MIN = 64 * 1024
EVENT_BYTES = 200
"""What an event takes in the log beside what it says, about,"""
PAGE_BYTES = 4096
"""and what a stream of a batch takes in the index of streams: the page on which it ends."""

UNWRITTEN = frozenset({"SQLITE_FULL", "SQLITE_IOERR_WRITE"})
"""What SQLite says where there was no room to write."""

POSITION_MAX = 2**63 - 1

ROWS_AT_ONCE = (64, 8, 1)
"""How many events a statement inserts, as long as there are so many: before each statement the
interpreter lets other threads go first, and waits for them."""


class SqliteRecorder(Recorder, library.SQLiteApplicationRecorder):
    """The log in a file: one writer connection, the library's pool for readers."""

    def __init__(self, datastore: library.SQLiteDatastore) -> None:
        """Nothing is opened before `create_table`."""
        super().__init__(datastore)
        self.path = Path(datastore.pool.db_name)
        self._writing = Lock()
        self._writer: sqlite3.Connection | None = None
        self._wanted_bytes = 0
        """How much room there was none for, since the log could last be written."""
        self._glancing = Lock()
        self._glance: sqlite3.Connection | None = None
        self._service = ExitStack()

    # ------------------------------------------------------------------------------- writing

    def _append(self, batch: Batch, after: int) -> Sequence[int] | None:
        return self._write(lambda writer: batch if _last_position(writer) == after else None)

    def append_held(
        self, decide: Callable[[Sequence[Notification]], Batch], *, after: int
    ) -> Sequence[int] | None:
        """Keep every other writer out, decide on the tail, and append; see `Recorder`."""

        def decide_on_tail(writer: sqlite3.Connection) -> Batch | None:
            rows = writer.execute(
                SELECT_PAGE, (after + 1, POSITION_MAX, True, "[]", TAIL_MAX + 1)
            ).fetchall()
            if len(rows) > TAIL_MAX:
                return None
            batch = decide(placed(rows))
            return checked(batch) if batch.events else batch

        return self._write(decide_on_tail)

    def _write(self, decide: Callable[[sqlite3.Connection], Batch | None]) -> Sequence[int] | None:
        """Commit what is decided, and in order, once no other process can write."""
        with self._transaction() as writer:
            batch = decide(writer)
            if batch is None or not batch.events:
                return None if batch is None else ()
            try:
                positions = _insert(writer, batch)
            except sqlite3.Error as cause:
                self._note_room(batch, cause)
                raise
            try:
                writer.execute("COMMIT")
            except sqlite3.Error as cause:
                self._note_room(batch, cause)
                return self._settle(batch, cause)
            return positions

    def _note_room(self, batch: Batch, cause: sqlite3.Error) -> None:
        """Remember how much room would have done, where there was none."""
        if cause.sqlite_errorname in UNWRITTEN:
            self._wanted_bytes = max(self._wanted_bytes, _room_for(batch))

    def _settle(self, batch: Batch, cause: sqlite3.Error) -> Sequence[int]:
        """Find out what became of a commit that failed: the positions, or `StorageUnavailable`.

        To look is not always enough. Where the file could not be synchronised, the commit may
        stand whole in the write-ahead log and come back after a crash; a commit of our own
        overwrites it there. Where a write failed, its end was never written.
        """
        unwritten = cause.sqlite_errorname in UNWRITTEN
        self._let_go_of_writer()
        try:
            writer = self._open_writer()
            writer.execute("BEGIN IMMEDIATE")
            positions = _positions_of(writer, batch)
            if not unwritten:
                writer.execute(UPSERT_SETTLED, (str(cause).encode(),))
            writer.execute("COMMIT")
        except sqlite3.Error as exc:
            self._let_go_of_writer()
            raise _unavailable(self.path, exc, may_have_happened=not unwritten) from cause
        if positions:
            return positions
        raise _unavailable(self.path, cause) from cause

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Hand out the writer inside BEGIN IMMEDIATE; rolled back unless the block commits."""
        with self._writing:
            try:
                writer = self._open_writer()
                writer.execute("BEGIN IMMEDIATE")
                yield writer
            except sqlite3.Error as exc:
                raise _unavailable(self.path, exc) from exc
            finally:
                self._roll_back()

    def _roll_back(self) -> None:
        if self._writer is not None and self._writer.in_transaction:
            try:
                self._writer.execute("ROLLBACK")
            except sqlite3.Error:
                self._let_go_of_writer()

    def _open_writer(self) -> sqlite3.Connection:
        if self._writer is None:
            with suppress(OSError):  # SQLite says better what is wrong
                self.path.touch(mode=0o600)  # it gives the files beside it the same mode
            writer = sqlite3.connect(
                self.path,
                timeout=BUSY_SECONDS_MAX,
                isolation_level=None,  # transactions are begun here, by name
                check_same_thread=False,  # `_writing` keeps threads apart
            )
            try:
                _keep_write_ahead_log(writer)
                writer.execute("PRAGMA synchronous = FULL")
                writer.execute(f"PRAGMA cache_size = -{WRITER_CACHE_KIB}")
                writer.execute(f"PRAGMA wal_autocheckpoint = {WRITTEN_AHEAD_PAGES}")
            except sqlite3.Error:
                writer.close()
                raise
            self._writer = writer
        return self._writer

    def _let_go_of_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    # ------------------------------------------------------------------------------- reading

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Answer a page of the log, in order of position."""
        first = 0 if start is None else start if inclusive_of_start else start + 1
        last = POSITION_MAX if stop is None else stop
        return self._notifications(
            SELECT_PAGE, (first, last, not topics, json.dumps(list(topics)), limit)
        )

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[Notification]:
        """Answer events of one stream, by version; they know their position."""
        statement = SELECT_STREAM_BACKWARDS if desc else SELECT_STREAM
        return self._notifications(
            statement,
            (
                str(originator_id),
                -1 if gt is None else gt,
                POSITION_MAX if lte is None else lte,
                -1 if limit is None else limit,
            ),
        )

    def streams(self, names: Collection[str]) -> Sequence[Notification]:
        """Answer all events of these streams, in order of position, as of one moment."""
        return self._notifications(SELECT_STREAMS, (json.dumps(list(names)),))

    def max_notification_id(self) -> int:
        """Answer the last position; 0 in an empty log.

        It is asked for all the time, by whoever waits for more, and costs less than the pool does:
        so it has a connection of its own.
        """
        with self._glancing:
            try:
                if self._glance is None:
                    self._glance = _glancing_at(self.path)
                return _last_position(self._glance)
            except sqlite3.Error as exc:
                self._let_go_of_glance()
                raise _unavailable(self.path, exc) from exc

    def _let_go_of_glance(self) -> None:
        if self._glance is not None:
            self._glance.close()
            self._glance = None

    def wrapped_keys(self, streams: Collection[str]) -> Mapping[str, bytes]:
        """Answer the vault's keys of those streams that have one."""
        return {row[0]: row[1] for row in self._rows(SELECT_KEYS, (json.dumps(list(streams)),))}

    def by_stream(
        self, after: tuple[str, int], *, upto: int, limit: int = TAIL_MAX
    ) -> Sequence[Notification]:
        """Answer a page of the log in order of stream and version, behind one of them."""
        return self._notifications(SELECT_BY_STREAM, (*after, upto, limit))

    def standing(
        self, places: Collection[tuple[str, int]], *, upto: int
    ) -> Collection[tuple[str, int]]:
        """Answer those of these streams' versions that stand up to a position."""
        rows = self._rows(SELECT_STANDING, (json.dumps(list(places)), upto))
        return {(row[0], row[1]) for row in rows}

    def vault_page(self, after: str, limit: int = TAIL_MAX) -> Sequence[tuple[str, bytes]]:
        """Answer a page of the vault in order of stream: streams and their wrapped keys."""
        return [(row[0], row[1]) for row in self._rows(SELECT_VAULT_PAGE, (after, limit))]

    def fill(
        self,
        pages: Iterable[Sequence[Notification]],
        keys: Iterable[Sequence[tuple[str, bytes]]],
    ) -> None:
        """Take a whole log and a whole vault, all or nothing; see `Recorder`."""
        with self._transaction() as writer:
            if _last_position(writer) or writer.execute("SELECT 1 FROM vault").fetchone():
                raise BadDatabase(f"{self.path} is not empty")
            for page in pages:
                writer.executemany(
                    INSERT_PLACED,
                    ((e.originator_id, e.originator_version, e.topic, e.state, e.id) for e in page),
                )
            for wrapped in keys:
                writer.executemany(INSERT_KEY, wrapped)
            writer.execute("COMMIT")

    def setting(self, name: str) -> bytes | None:
        """Answer a small value that stands beside the log."""
        rows = self._rows(SELECT_SETTING, (name,))
        return bytes(rows[0][0]) if rows else None

    def keep_setting(self, name: str, value: bytes) -> bytes:
        """Set it if it is not set; answers what stands."""
        with self._transaction() as writer:
            writer.execute(INSERT_SETTING, (name, value))
            (standing,) = writer.execute(SELECT_SETTING, (name,)).fetchone()
            writer.execute("COMMIT")
        return bytes(standing)

    def probe(self) -> None:
        """Commit something that changes nothing, as large as what could not be written last.

        The log can be written, or this raises.
        """
        for wanted in (max(self._wanted_bytes, PROBED_BYTES_MIN), 0):  # and gives the room back
            with self._transaction() as writer:
                writer.execute(UPSERT_PROBED, (wanted,))
                writer.execute("COMMIT")
        self._wanted_bytes = 0

    def _notifications(self, statement: str, values: Sequence[Any]) -> Sequence[Notification]:
        return placed(self._rows(statement, values))

    def _rows(self, statement: str, values: Sequence[Any]) -> Sequence[sqlite3.Row]:
        try:
            with self.datastore.transaction(commit=False) as reader:
                reader.execute(statement, values)
                rows: Sequence[sqlite3.Row] = reader.fetchall()
                return rows
        except (sqlite3.Error, PersistenceError) as exc:
            raise _unavailable(self.path, exc) from exc

    # --------------------------------------------------------------------- opening and closing

    def create_table(self) -> None:
        """Make the tables in an empty file; refuse one that cannot be the log."""
        with self._writing:
            try:
                known_schema(_schema_of(self._open_writer()), str(self.path))
            except BadDatabase:
                self._let_go_of_writer()
                raise
            except sqlite3.Error as exc:
                self._let_go_of_writer()
                if exc.sqlite_errorname.startswith(NO_LOG):
                    raise BadDatabase(f"{self.path} cannot be the log: {exc}") from exc
                raise _unavailable(self.path, exc) from exc

    def hold_for_service(self) -> None:
        """Claim the file for one `serve`; command lines write beside it and claim nothing."""
        claim = self.path.with_name(f"{self.path.name}.serve")
        try:
            with ExitStack() as opened:
                service = opened.enter_context(claim.open("ab"))
                fcntl.flock(service, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._service = opened.pop_all()
        except BlockingIOError as exc:
            raise BadDatabase(
                f"{self.path} is being served by another process (one `serve` per SQLite file)"
            ) from exc
        except OSError as exc:
            raise BadDatabase(f"{self.path} cannot be served from: {exc}") from exc

    def close(self) -> None:
        """Let go of every connection and lock."""
        self.datastore.close()
        with self._glancing:
            self._let_go_of_glance()
        with self._writing:
            self._let_go_of_writer()
        self._service.close()


class Factory(library.SQLiteFactory):
    """Builds the library's `Application` over this recorder: `PERSISTENCE_MODULE=lifecycle.sqlite`.

    The file is named by `SQLITE_DBNAME`; `ORIGINATOR_ID_TYPE` is `text`.
    """

    application_recorder_class: type[library.SQLiteApplicationRecorder] = SqliteRecorder


def _keep_write_ahead_log(writer: sqlite3.Connection) -> None:
    """Change the file's mode, once for all who open it.

    Two that do so at once would wait for each other: SQLite then refuses one without waiting.
    """
    until = time.monotonic() + BUSY_SECONDS_MAX
    while True:
        try:
            writer.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as exc:
            if not exc.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > until:
                raise
            time.sleep(BUSY_PAUSE_SECONDS)
        else:
            return


def _glancing_at(path: Path) -> sqlite3.Connection:
    """Connect to a file that is there, to read from whatever thread."""
    return sqlite3.connect(
        f"{path.as_uri()}?mode=rw",
        uri=True,
        timeout=BUSY_SECONDS_MAX,
        isolation_level=None,
        check_same_thread=False,  # `_glancing` keeps threads apart
    )


def _schema_of(writer: sqlite3.Connection) -> bytes | None:
    """Look up the version of the tables, made here if there are none; None if nobody wrote it."""
    tables = {name for (name,) in writer.execute(SELECT_TABLES)}
    if not tables:
        writer.execute("BEGIN IMMEDIATE")
        for table in TABLES:
            writer.execute(table)
        writer.execute(INSERT_SETTING, ("schema", str(SCHEMA_VERSION).encode()))
        writer.execute("COMMIT")
    elif "meta" not in tables:
        return None
    row = writer.execute(SELECT_SETTING, ("schema",)).fetchone()
    return bytes(row[0]) if row else None


def _last_position(writer: sqlite3.Connection) -> int:
    row = writer.execute(SELECT_LAST).fetchone()
    return int(row[0]) if row else 0


def _room_for(batch: Batch) -> int:
    """How many bytes a batch takes, about."""
    said = sum(len(event.state) + EVENT_BYTES for event in batch.events)
    return said + len({event.originator_id for event in batch.events}) * PAGE_BYTES


def _insert(writer: sqlite3.Connection, batch: Batch) -> Sequence[int]:
    """Insert a batch; the one writer's positions follow on, so the last of them tells all."""
    try:
        writer.executemany(DELETE_KEY, ((stream,) for stream in batch.forget))
        writer.executemany(INSERT_KEY, batch.keys.items())
        _insert_events(writer, batch.events)
    except sqlite3.IntegrityError as exc:
        raise refused_twice(batch, exc) from exc
    (last,) = writer.execute("SELECT last_insert_rowid()").fetchone()
    return range(last - len(batch.events) + 1, last + 1)


def _insert_events(writer: sqlite3.Connection, events: Sequence[StoredEvent]) -> None:
    first = 0
    for size in ROWS_AT_ONCE:
        statement = INSERT_EVENTS + ", (?, ?, ?, ?)" * (size - 1)
        while len(events) - first >= size:
            values: list[object] = []
            for one in events[first : first + size]:
                values += one.originator_id, one.originator_version, one.topic, one.state
            writer.execute(statement, values)
            first += size


def _positions_of(writer: sqlite3.Connection, batch: Batch) -> Sequence[int]:
    """Where exactly these events stand; () if any is not there, or says something else."""
    positions = []
    for event in batch.events:
        row = writer.execute(
            SELECT_EVENT, (event.originator_id, event.originator_version)
        ).fetchone()
        if row is None or (row[0], row[1]) != (event.topic, event.state):
            return ()
        positions.append(int(row[2]))
    return positions


def _unavailable(
    path: Path, cause: Exception, *, may_have_happened: bool = False
) -> StorageUnavailable:
    return StorageUnavailable(
        f"the log at {path} cannot be used now: {cause}", may_have_happened=may_have_happened
    )
