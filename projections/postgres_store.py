"""The read models in a PostgreSQL schema of their own, `<schema>_views`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from lifecycle.connections import TRANSACTION_TIMEOUT_SINCE, Line, Lines
from lifecycle.log import BadDatabase
from projections.store import BadData, BeingRebuilt, Row, Store, as_json, is_known
from projections.tables import follower, making

FOLLOW_SECONDS_MAX = 60.0
"""How long one batch may take to be written."""
IDENTIFIER_BYTES_MAX = 63
"""What PostgreSQL takes as the name of a schema."""

_NAMED = re.compile(r":([a-z_]+[0-9]?)")
_INDEXED = re.compile(r" INDEXED BY [a-z_]+")
"""What only SQLite is told, which plans without statistics until a rebuild makes some."""


@cache
def _for_postgres(statement: str, schema: str, built: str = "") -> bytes:
    text = _INDEXED.sub("", statement)
    text = _NAMED.sub(r"%(\1)s", text) if "$$" not in text else text
    return (
        sql.SQL(text)  # a constant of `tables`, in another spelling
        .format(
            views=sql.Identifier(schema),
            built=sql.Identifier(built),
            text=sql.SQL('text COLLATE "C"'),
            number=sql.SQL("bigint"),
            clustered=sql.SQL(""),
            on=sql.SQL("{}.").format(sql.Identifier(schema)),
            locked=sql.SQL("FOR UPDATE SKIP LOCKED"),
        )
        .as_bytes()
    )


class PostgresSession:
    """A connection, speaking of one schema."""

    def __init__(self, line: Line, schema: str, *, prepare: bool = True) -> None:
        """Take a connection that is lent; prepared statements are planned whatever their values."""
        self.line = line
        self.schema = schema
        self._prepare = prepare

    def rows(self, statement: str, **values: object) -> Sequence[Row]:
        """Answer what a statement selects."""
        return self._execute(statement, values).fetchall()

    def run(self, statement: str, **values: object) -> None:
        """Have a statement done."""
        try:
            self._execute(statement, values)
        except (psycopg.DataError, psycopg.IntegrityError, UnicodeEncodeError) as exc:
            raise BadData(str(exc)) from exc

    def write(self, statement: str, rows: Sequence[Row]) -> None:
        """Have a statement that takes `:rows` from a list done for these rows."""
        if rows:
            self.run(statement, rows=as_json(rows))

    def _execute(self, statement: str, values: Mapping[str, object]) -> psycopg.Cursor[Row]:
        cursor = self.line.cursor(row_factory=tuple_row)
        return cursor.execute(
            _for_postgres(statement, self.schema), values or None, prepare=self._prepare
        )


class PostgresStore(Store):
    """The read models in a schema of their own."""

    def __init__(self, database: str, schema: str, made_with: str) -> None:
        """Connect to nothing yet."""
        self._database = database
        self._readers, self._writers = Lines(database), Lines(database)
        self._writers.answer_seconds_max = FOLLOW_SECONDS_MAX
        self.schema = schema
        self._made_with = made_with

    @classmethod
    def opened(cls, database: str, made_with: str, *, checking: bool) -> "PostgresStore":  # noqa: ARG003 - a server looks after its tables itself
        """Open the store, made anew where it is missing or old."""
        schema = f"{Lines(database).schema}_views"
        if len(f"{schema}_new".encode()) > IDENTIFIER_BYTES_MAX:
            raise BadDatabase(f"the schema's name leaves no room for '_views_new' [{schema}]")
        store = cls(database, schema, made_with)
        with store._transaction() as session:
            # One at a time: who comes second finds it made.
            session.rows(making.CLAIM, name=schema)
            there = session.rows(making.SELECT_SCHEMA, name=schema)
            if not there or not store._is_known(session):
                session.run(making.DROP_SCHEMA)
                store._make(session, indexes=True)
        return store

    @classmethod
    def found(cls, database: str, made_with: str) -> "PostgresStore | None":
        """Open the store if it is there."""
        store = cls(database, f"{Lines(database).schema}_views", made_with)
        with store._transaction() as session:
            there = session.rows(making.SELECT_SCHEMA, name=store.schema)
            if there and store._is_known(session):
                return store
        store.close()
        return None

    @contextmanager
    def reading(self) -> Iterator[PostgresSession]:
        """Lend a connection that sees one moment, and walks along indexes.

        What is fresh has no statistics yet: without being told, the planner would rather sort it
        all. Statements are planned for their values each time.
        """
        with self._readers.get_connection() as line:
            line.execute(BEGIN_READING, prepare=False)
            yield PostgresSession(line, self.schema, prepare=False)
            line.execute("COMMIT", prepare=False)

    @contextmanager
    def following(self) -> Iterator[PostgresSession | None]:
        """Lend the position's row, if nobody else has it."""
        with self._transaction() as session:
            locked = session.rows(follower.LOCK_FOLLOWED)
            yield session if locked else None

    def scrub(self) -> None:
        """Nothing: what was deleted is the server's to overwrite."""

    @contextmanager
    def building(self) -> Iterator["PostgresStore"]:
        """Make an empty schema beside; it is gone at the end unless it was renamed."""
        built = PostgresStore(self._database, f"{self.schema}_new", self._made_with)
        # The claim is a transaction's own lock, so that it ends with us and passes any pooler.
        with self._transaction(seconds=None) as claim:
            ((mine,),) = claim.rows(making.TRY_CLAIM, name=built.schema)
            if not mine:
                raise BeingRebuilt(f"the schema {self.schema} is being rebuilt already")
            with built._transaction() as session:
                session.run(making.DROP_SCHEMA)
                built._make(session, indexes=False)
            try:
                yield built
            finally:
                with built._transaction() as session:
                    session.run(making.DROP_SCHEMA)
                built.close()

    @contextmanager
    def replaced_by(self, built: Store) -> Iterator[None]:
        """Keep followers out by the position's row, and rename the schemas."""
        assert isinstance(built, PostgresStore)
        with self._transaction(seconds=None) as session:
            session.rows(follower.WAIT_FOR_FOLLOWED)
            yield
            session.run(making.DROP_SCHEMA)
            session.line.execute(_for_postgres(making.RENAME_SCHEMA, self.schema, built.schema))

    def finish(self) -> None:
        """Index what was written."""
        with self._transaction(seconds=None) as session:
            for statement in (*making.INDEXES, making.ANALYZE):
                session.run(statement)

    def close(self) -> None:
        """Let go of every connection."""
        self._readers.close()
        self._writers.close()

    @contextmanager
    def _transaction(self, seconds: float | None = FOLLOW_SECONDS_MAX) -> Iterator[PostgresSession]:
        """Lend a connection inside a transaction, without end where `seconds` is None."""
        with self._writers.get_connection() as line:
            line.execute("BEGIN; SET LOCAL synchronous_commit = off", prepare=False)
            if seconds is None:
                line.until = float("inf")
                line.execute(_NO_LIMITS, prepare=False)
                if line.info.server_version >= TRANSACTION_TIMEOUT_SINCE:
                    line.execute("SET LOCAL transaction_timeout = 0", prepare=False)
            try:
                yield PostgresSession(line, self.schema)
                line.execute("COMMIT")
            except BaseException:
                line.until = 0.0
                line.close()
                raise

    def _is_known(self, session: PostgresSession) -> bool:
        try:
            with session.line.transaction():
                ((version,),) = session.rows(follower.SELECT_SCHEMA_VERSION)
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, ValueError):
            return False  # nobody finished it
        return is_known(int(version), f"the schema {self.schema}")

    def _make(self, session: PostgresSession, *, indexes: bool) -> None:
        mine = PostgresSession(session.line, self.schema)
        for statement in (making.CREATE_SCHEMA, making.CREATE_JSON_EACH, *making.TABLES):
            mine.run(statement)
        for statement in making.INDEXES if indexes else ():
            mine.run(statement)
        mine.run(
            follower.INSERT_FOLLOWED,
            schema_version=making.SCHEMA_VERSION,
            build=uuid4().hex,
            made_with=self._made_with,
        )


BEGIN_READING = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL enable_seqscan = off;"
    "SET LOCAL enable_bitmapscan = off; SET LOCAL enable_hashjoin = off;"
    "SET LOCAL enable_mergejoin = off; SET LOCAL enable_sort = off; SET LOCAL jit = off"
)
_NO_LIMITS = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"
