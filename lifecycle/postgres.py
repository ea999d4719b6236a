"""The log in a schema of a PostgreSQL database.

The library's recorder, with what stands against it in the facts mended: an advisory lock instead
of a lock on the table, an append in one round trip, no wait without an end, a commit in doubt
settled by looking, events that know their position.
"""

import functools
import hashlib
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from threading import Lock
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from eventsourcing import postgres as library
from eventsourcing.persistence import BaseInfrastructureFactory, Notification
from eventsourcing.utils import Environment, EnvType
from psycopg import sql
from psycopg.rows import TupleRow, tuple_row

from lifecycle.connections import TRANSACTION_TIMEOUT_SINCE, Line, Lines, unavailable
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

SETTLE_SECONDS_MAX = 5.0
"""How long to look for what became of a commit whose answer did not come."""

SETTLE_PAUSE_SECONDS = 0.1
"""Between two attempts to reach a server that has gone away."""

POSITION_MAX = 2**63 - 1

OUR_TABLES = {"stored_events", "vault", "meta"}

Values = Sequence[Any]

# An append is a function: it takes the lock when all of the batch has arrived, so that whoever is
# frozen or cut off while sending keeps nobody out; it is one statement, so that all limits of the
# server hold for the whole of it; and it costs what the INSERT costs.
TABLES = """
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE IF NOT EXISTS {schema}.stored_events (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    originator_id text COLLATE "C" NOT NULL,
    originator_version bigint NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    UNIQUE (originator_id, originator_version)
);
CREATE TABLE IF NOT EXISTS {schema}.vault (
    stream text COLLATE "C" PRIMARY KEY,
    wrapped bytea NOT NULL
);
CREATE TABLE IF NOT EXISTS {schema}.meta (
    name text COLLATE "C" PRIMARY KEY,
    value bytea NOT NULL
);
CREATE OR REPLACE FUNCTION {schema}.append(
    lock_key bigint, after bigint,
    names text[], versions bigint[], topics text[], states bytea[],
    key_streams text[] DEFAULT '{{}}', key_values bytea[] DEFAULT '{{}}',
    forgotten text[] DEFAULT '{{}}'
) RETURNS SETOF bigint LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE 'an append needs the isolation level read committed';
    END IF;
    PERFORM pg_advisory_xact_lock(lock_key);
    -- Each statement from here on sees what the holder of the lock before us has committed.
    IF after <> coalesce(
        (SELECT position FROM {schema}.stored_events ORDER BY position DESC LIMIT 1), 0
    ) THEN
        RETURN;
    END IF;
    IF cardinality(forgotten) > 0 THEN
        DELETE FROM {schema}.vault WHERE stream = ANY (forgotten);
    END IF;
    IF cardinality(key_streams) > 0 THEN
        INSERT INTO {schema}.vault (stream, wrapped) SELECT * FROM unnest(key_streams, key_values);
    END IF;
    RETURN QUERY
        INSERT INTO {schema}.stored_events (originator_id, originator_version, topic, state)
        SELECT * FROM unnest(names, versions, topics, states)
        RETURNING position;
END
$$;
"""

# Which of our tables are there.
SELECT_TABLES = "SELECT tablename::text FROM pg_tables WHERE schemaname = %b::text"

# Keep every other writer of this schema out until the end of a transaction, begun in the same round
# trip. Not in a pipeline: the flush that psycopg sends behind one stops the server's clock for
# sessions idle in a transaction, and a frozen writer would keep the lock for ever.
BEGIN_LOCKED = "BEGIN; SELECT pg_advisory_xact_lock({key})"

SELECT_LAST = "SELECT position FROM {schema}.stored_events ORDER BY position DESC LIMIT 1"

# Append what `append` of the schema gets, and commit with it, in one round trip.
APPEND = """
SELECT {schema}.append(%b::bigint, %b::bigint, %b::text[], %b::bigint[], %b::text[], %b::bytea[])
"""
APPEND_WITH_VAULT = """
SELECT {schema}.append(%b::bigint, %b::bigint, %b::text[], %b::bigint[], %b::text[], %b::bytea[],
                       %b::text[], %b::bytea[], %b::text[])
"""

# Where these versions of these streams stand, and what they say.
SELECT_SAME = """
SELECT s.position, s.topic, s.state
FROM unnest(%b::text[], %b::bigint[]) WITH ORDINALITY AS e (id, version, place)
JOIN {schema}.stored_events AS s ON s.originator_id = e.id AND s.originator_version = e.version
ORDER BY e.place
"""

# A page of the log. The columns stand in the order of a Notification's fields, everywhere.
SELECT_PAGE = """
SELECT originator_id, originator_version, topic, state, position FROM {schema}.stored_events
WHERE position >= %b::bigint AND position <= %b::bigint ORDER BY position LIMIT %b::bigint
"""
SELECT_PAGE_OF_TOPICS = """
SELECT originator_id, originator_version, topic, state, position FROM {schema}.stored_events
WHERE position >= %b::bigint AND position <= %b::bigint AND topic = ANY(%b::text[])
ORDER BY position LIMIT %b::bigint
"""

# Some events of one stream.
SELECT_STREAM = """
SELECT originator_id, originator_version, topic, state, position FROM {schema}.stored_events
WHERE originator_id = %b::text
AND originator_version > %b::bigint AND originator_version <= %b::bigint
ORDER BY originator_version LIMIT %b::bigint
"""
SELECT_STREAM_BACKWARDS = """
SELECT originator_id, originator_version, topic, state, position FROM {schema}.stored_events
WHERE originator_id = %b::text
AND originator_version > %b::bigint AND originator_version <= %b::bigint
ORDER BY originator_version DESC LIMIT %b::bigint
"""

# Many streams. The sum keeps the planner from walking the whole log to spare itself the sorting.
SELECT_STREAMS = """
SELECT originator_id, originator_version, topic, state, position FROM {schema}.stored_events
WHERE originator_id = ANY(%b::text[]) ORDER BY position + 0
"""

# A page of the log, stream by stream. The sum keeps the planner on the index by stream.
SELECT_BY_STREAM = """
SELECT originator_id, originator_version, topic, state, position FROM {schema}.stored_events
WHERE (originator_id, originator_version) > (%b::text COLLATE "C", %b::bigint)
AND position + 0 <= %b::bigint
ORDER BY originator_id, originator_version LIMIT %b::bigint
"""

# Which versions of which streams stand.
SELECT_STANDING = """
SELECT s.originator_id, s.originator_version
FROM unnest(%b::text[], %b::bigint[]) AS e (id, version)
JOIN {schema}.stored_events AS s ON s.originator_id = e.id AND s.originator_version = e.version
WHERE s.position <= %b::bigint
"""

SELECT_VAULT_PAGE = """
SELECT stream, wrapped FROM {schema}.vault WHERE stream > %b::text COLLATE "C"
ORDER BY stream LIMIT %b::bigint
"""

# Fill an empty log, with each event where it stood in another one. It takes as long as it takes.
SET_PATIENT = """
SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0
"""
SET_PATIENT_TRANSACTION = "SET LOCAL transaction_timeout = 0"
COPY_EVENTS = """
COPY {schema}.stored_events (originator_id, originator_version, topic, state, position)
FROM STDIN (FORMAT BINARY)
"""
COPY_VAULT = "COPY {schema}.vault (stream, wrapped) FROM STDIN (FORMAT BINARY)"
SELECT_ANY_KEY = "SELECT 1 FROM {schema}.vault LIMIT 1"
# The next position comes after the last one copied.
SET_NEXT_POSITION = """
SELECT setval(pg_get_serial_sequence(%b::text, 'position'), position)
FROM {schema}.stored_events ORDER BY position DESC LIMIT 1
"""

SELECT_KEYS = "SELECT stream, wrapped FROM {schema}.vault WHERE stream = ANY(%b::text[])"
SELECT_SETTING = "SELECT value FROM {schema}.meta WHERE name = %b::text"
INSERT_SETTING = (
    "INSERT INTO {schema}.meta (name, value) VALUES (%b::text, %b::bytea) ON CONFLICT DO NOTHING"
)

# Something to commit.
UPSERT_PROBED = """
INSERT INTO {schema}.meta (name, value) VALUES ('probed', '')
ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""


class PostgresRecorder(Recorder, library.PostgresApplicationRecorder):
    """The log in a schema: one connection that writes, a few that read."""

    datastore: Lines

    def __init__(self, datastore: Lines) -> None:
        """Connect to nothing before `create_table`."""
        super().__init__(datastore)
        self.settle_seconds_max = SETTLE_SECONDS_MAX
        self._lock_key = lock_key(datastore.schema)
        self._begin_locked = sql.SQL(BEGIN_LOCKED).format(key=self._lock_key).as_bytes()
        self._writing = Lock()
        self._writer: Line | None = None

    # ------------------------------------------------------------------------------- writing

    def _append(self, batch: Batch, after: int) -> Sequence[int] | None:
        with self._writing:
            line = self._open_writer()
            return self._insert_or_settle(line, batch, after)

    def append_held(
        self, decide: Callable[[Sequence[Notification]], Batch], *, after: int
    ) -> Sequence[int] | None:
        """Keep every other writer out, decide on the tail, and append; see `Recorder`."""
        with self._writing:
            line = self._open_writer()
            try:
                tail = self._lock_and_read_tail(line, after)
            except psycopg.Error as exc:
                self._let_go_of_writer()
                raise unavailable(exc) from exc
            if len(tail) > TAIL_MAX:
                self._roll_back(line)
                return None
            try:
                batch = decide(tail)
                if batch.events:
                    checked(batch)
            except BaseException:
                self._roll_back(line)
                raise
            if not batch.events:
                self._roll_back(line)
                return ()
            return self._insert_or_settle(line, batch, tail[-1].id if tail else after)

    def _lock_and_read_tail(self, line: Line, after: int) -> Sequence[Notification]:
        line.execute(self._begin_locked, prepare=False)
        page = self._execute(line, SELECT_PAGE, (after + 1, POSITION_MAX, TAIL_MAX + 1))
        return placed(page.fetchall())

    def _insert_or_settle(self, line: Line, batch: Batch, after: int) -> Sequence[int] | None:
        try:
            return self._insert(line, batch, after)
        except psycopg.IntegrityError as exc:
            self._roll_back(line)
            raise refused_twice(batch, exc) from exc
        except psycopg.Error as exc:
            self._let_go_of_writer()
            if _is_no(exc):
                raise unavailable(exc) from exc
            return self._settle(batch, after, exc)
        except BaseException:
            self._let_go_of_writer()
            raise

    def _insert(self, line: Line, batch: Batch, after: int) -> Sequence[int] | None:
        events = batch.events
        begun = not line.is_idle()
        values: Values = (
            self._lock_key,
            after,
            [event.originator_id for event in events],
            [event.originator_version for event in events],
            [event.topic for event in events],
            [event.state for event in events],
        )
        if batch.keys or batch.forget:
            vault = (list(batch.keys), list(batch.keys.values()), list(batch.forget))
            inserted = self._execute(line, APPEND_WITH_VAULT, (*values, *vault)).fetchall()
        else:
            inserted = self._execute(line, APPEND, values).fetchall()
        if begun:
            line.execute("COMMIT")
        return [position for (position,) in inserted] or None

    def _settle(self, batch: Batch, after: int, cause: psycopg.Error) -> Sequence[int] | None:
        """Find out what became of an append whose answer was lost, and do it if it was not done.

        A dead session keeps the append lock until its commit is decided: so look with the lock
        held. Raises `StorageUnavailable` with `may_have_happened` once time is up.
        """
        until = time.monotonic() + self.settle_seconds_max
        while True:
            try:
                line = self._writer = self.datastore.connect()
                line.until = until
                positions = self._locked_positions_of(line, batch, after)
                if positions:
                    self._roll_back(line)
                    return positions
                return self._insert_once_more(line, batch, after)
            except psycopg.Error as exc:
                self._let_go_of_writer()
                if time.monotonic() + SETTLE_PAUSE_SECONDS >= until:
                    raise unavailable(exc, may_have_happened=True) from cause
            time.sleep(SETTLE_PAUSE_SECONDS)

    def _locked_positions_of(self, line: Line, batch: Batch, after: int) -> Sequence[int]:
        """Take the lock; where exactly these events stand, () if any is missing or another."""
        names = [event.originator_id for event in batch.events]
        versions = [event.originator_version for event in batch.events]
        line.execute(self._begin_locked, prepare=False)
        rows = self._execute(line, SELECT_SAME, (names, versions)).fetchall()
        same = [(event.topic, event.state) for event in batch.events]
        if [(topic, state) for _, topic, state in rows] != same or rows[0][0] <= after:
            return ()
        return [position for position, _, _ in rows]

    def _insert_once_more(self, line: Line, batch: Batch, after: int) -> Sequence[int] | None:
        """Append what is known not to be there; a plain no is then a plain no."""
        try:
            return self._insert(line, batch, after)
        except psycopg.IntegrityError as exc:
            self._roll_back(line)
            raise refused_twice(batch, exc) from exc
        except psycopg.Error as exc:
            if _is_no(exc):
                self._let_go_of_writer()
                raise unavailable(exc) from exc
            raise

    def _open_writer(self) -> Line:
        try:
            self._writer = self.datastore.ready(self._writer)
        except psycopg.Error as exc:
            self._writer = None
            raise unavailable(exc) from exc
        return self._writer

    def _roll_back(self, line: Line) -> None:
        try:
            line.rollback()
        except psycopg.Error:
            self._let_go_of_writer()

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
        if topics:
            return self._notifications(SELECT_PAGE_OF_TOPICS, (first, last, list(topics), limit))
        return self._notifications(SELECT_PAGE, (first, last, limit))

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
        return self._notifications(
            SELECT_STREAM_BACKWARDS if desc else SELECT_STREAM,
            (
                str(originator_id),
                -1 if gt is None else gt,
                POSITION_MAX if lte is None else lte,
                POSITION_MAX if limit is None else limit,
            ),
        )

    def streams(self, names: Collection[str]) -> Sequence[Notification]:
        """Answer all events of these streams, in order of position, as of one moment."""
        return self._notifications(SELECT_STREAMS, (list(names),))

    def max_notification_id(self) -> int:
        """Answer the last position; 0 in an empty log."""
        rows = self._rows(SELECT_LAST, ())
        return int(rows[0][0]) if rows else 0

    def wrapped_keys(self, streams: Collection[str]) -> Mapping[str, bytes]:
        """Answer the vault's keys of those streams that have one."""
        return dict(self._rows(SELECT_KEYS, (list(streams),)))

    def by_stream(
        self, after: tuple[str, int], *, upto: int, limit: int = TAIL_MAX
    ) -> Sequence[Notification]:
        """Answer a page of the log in order of stream and version, behind one of them."""
        return self._notifications(SELECT_BY_STREAM, (*after, upto, limit))

    def standing(
        self, places: Collection[tuple[str, int]], *, upto: int
    ) -> Collection[tuple[str, int]]:
        """Answer those of these streams' versions that stand up to a position."""
        names = [name for name, _ in places]
        versions = [version for _, version in places]
        rows = self._rows(SELECT_STANDING, (names, versions, upto))
        return {(name, version) for name, version in rows}

    def vault_page(self, after: str, limit: int = TAIL_MAX) -> Sequence[tuple[str, bytes]]:
        """Answer a page of the vault in order of stream: streams and their wrapped keys."""
        return [(name, wrapped) for name, wrapped in self._rows(SELECT_VAULT_PAGE, (after, limit))]

    def fill(
        self,
        pages: Iterable[Sequence[Notification]],
        keys: Iterable[Sequence[tuple[str, bytes]]],
    ) -> None:
        """Take a whole log and a whole vault, all or nothing; see `Recorder`."""
        with self._writing:
            line = self._open_writer()
            line.until = float("inf")
            try:
                self._fill(line, pages, keys)
            except psycopg.Error as exc:
                raise unavailable(exc) from exc
            finally:
                self._let_go_of_writer()

    def _fill(
        self,
        line: Line,
        pages: Iterable[Sequence[Notification]],
        keys: Iterable[Sequence[tuple[str, bytes]]],
    ) -> None:
        schema = self.datastore.schema
        line.execute(self._begin_locked, prepare=False)
        line.execute(SET_PATIENT, prepare=False)
        if line.info.server_version >= TRANSACTION_TIMEOUT_SINCE:
            line.execute(SET_PATIENT_TRANSACTION, prepare=False)
        for statement in (SELECT_LAST, SELECT_ANY_KEY):
            if self._execute(line, statement).fetchall():
                raise BadDatabase(f"the schema '{schema}' is not empty")
        with line.cursor().copy(_in_schema(COPY_EVENTS, schema)) as copy:
            copy.set_types(("text", "int8", "text", "bytea", "int8"))
            for page in pages:
                for e in page:
                    copy.write_row((e.originator_id, e.originator_version, e.topic, e.state, e.id))
        with line.cursor().copy(_in_schema(COPY_VAULT, schema)) as copy:
            copy.set_types(("text", "bytea"))
            for wrapped in keys:
                for row in wrapped:
                    copy.write_row(row)
        table = sql.Identifier(schema, "stored_events").as_string()
        self._execute(line, SET_NEXT_POSITION, (table,))
        line.execute("COMMIT")

    def setting(self, name: str) -> bytes | None:
        """Answer a small value that stands beside the log."""
        rows = self._rows(SELECT_SETTING, (name,))
        return rows[0][0] if rows else None

    def keep_setting(self, name: str, value: bytes) -> bytes:
        """Set it if it is not set; answers what stands."""
        with self.datastore.get_connection() as line:
            self._execute(line, INSERT_SETTING, (name, value))
            ((standing,),) = self._execute(line, SELECT_SETTING, (name,)).fetchall()
        return bytes(standing)

    def probe(self) -> None:
        """Commit something that changes nothing: the log can be written, or this raises."""
        with self.datastore.get_connection() as line:
            self._execute(line, UPSERT_PROBED)

    def _notifications(self, statement: LiteralString, values: Values) -> Sequence[Notification]:
        return placed(self._rows(statement, values))

    def _rows(self, statement: LiteralString, values: Values) -> list[TupleRow]:
        with self.datastore.get_connection() as line:
            return self._execute(line, statement, values).fetchall()

    def _execute(
        self, line: Line, statement: LiteralString, values: Values = ()
    ) -> psycopg.Cursor[TupleRow]:
        cursor = line.cursor(row_factory=tuple_row, binary=True)
        return cursor.execute(_in_schema(statement, self.datastore.schema), values)

    # --------------------------------------------------------------------- opening and closing

    def create_table(self) -> None:
        """Make the tables in an empty schema; refuse one that cannot hold the log."""
        with self.datastore.get_connection() as line:
            found = self._schema_found(line)
        known_schema(found, f"the schema '{self.datastore.schema}'")

    def _schema_found(self, line: Line) -> bytes | None:
        """Look up the version of the tables, made here if there are none; None if unknown."""
        schema = self.datastore.schema
        tables = {name for (name,) in self._execute(line, SELECT_TABLES, (schema,))}
        if not tables & OUR_TABLES:
            line.execute(self._begin_locked, prepare=False)
            line.execute(_in_schema(TABLES, schema), prepare=False)
            self._execute(line, INSERT_SETTING, ("schema", str(SCHEMA_VERSION).encode()))
            line.execute("COMMIT")
        elif "meta" not in tables:
            return None
        row = self._execute(line, SELECT_SETTING, ("schema",)).fetchone()
        return bytes(row[0]) if row else None

    def hold_for_service(self) -> None:
        """Nothing: any number of services may share one database."""

    def close(self) -> None:
        """Let go of every connection."""
        self.datastore.close()
        with self._writing:
            self._let_go_of_writer()


class Factory(library.PostgresFactory):
    """Builds the library's `Application` over this log: `PERSISTENCE_MODULE=lifecycle.postgres`.

    The database is named by `POSTGRES_URL`; `ORIGINATOR_ID_TYPE` is `text`.
    """

    datastore: Lines

    def __init__(self, env: Environment | EnvType | None) -> None:
        """Raise `BadDatabase` for an address that cannot be one."""
        # Past the library's own, which wants the address in pieces.
        BaseInfrastructureFactory.__init__(self, env)
        self.datastore = Lines(self.env["POSTGRES_URL"])

    def application_recorder(self) -> PostgresRecorder:
        """Open the log, and make its tables if there are none."""
        recorder = PostgresRecorder(self.datastore)
        if self.env_create_table():
            recorder.create_table()
        return recorder


def lock_key(schema: str) -> int:
    """Name the advisory lock that appends to a schema take; locks are a database's own."""
    digest = hashlib.sha256(f"statekeeper log {schema}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _is_no(exc: psycopg.Error) -> bool:
    """Whether a statement was refused, and so the transaction rolled back for certain.

    One that hangs up (FATAL) may do so after the commit, while it waits for its standby.
    """
    said_by_psycopg = isinstance(exc, psycopg.DataError | psycopg.ProgrammingError)
    return said_by_psycopg or exc.diag.severity_nonlocalized == "ERROR"


@functools.cache
def _in_schema(statement: LiteralString, schema: str) -> bytes:
    return sql.SQL(statement).format(schema=sql.Identifier(schema)).as_bytes()
