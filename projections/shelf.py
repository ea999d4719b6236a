"""Where the courier's book stands: a file beside the log, or a schema beside the log's.

Both are named after the log: `<database file>-courier.db`, `<schema>_courier`. What is written may
be lost with the power, but only whole commits: rows and position go back together, and are made
again from the log.
"""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from threading import Lock
from urllib.parse import unquote

import psycopg
import structlog

from lifecycle.connections import Lines
from lifecycle.refusals import StorageUnavailable
from projections.store import PostgresSession, Session, SqliteSession
from projections.tables import book, making

BEGIN_WRITING = (
    "BEGIN; SET LOCAL synchronous_commit = off; SET LOCAL enable_seqscan = off;"
    "SET LOCAL enable_bitmapscan = off; SET LOCAL enable_hashjoin = off;"
    "SET LOCAL enable_mergejoin = off; SET LOCAL jit = off"
)
"""Every statement is about a few rows of perhaps very many, and walks along an index to them: the
planner, which has no statistics yet of what was just written, would rather read it all."""

log = structlog.get_logger("statekeeper.book")


class Shelf(ABC):
    """Where the book stands: lends connections, and makes the tables."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[Session]:
        """Lend a connection for single statements."""

    @abstractmethod
    def writing(self) -> AbstractContextManager[Session]:
        """Lend a connection inside a transaction, committed at the end of the block."""

    @abstractmethod
    def empty(self) -> None:
        """Make the tables anew."""

    @abstractmethod
    def close(self) -> None:
        """Let go of every connection."""


def open_shelf(database: str) -> Shelf:
    """Open what belongs to the log at this address; made, empty, if there is none."""
    if database.startswith("sqlite:///"):
        file = Path(unquote(database.removeprefix("sqlite:///"))).absolute()
        return SqliteShelf(file.with_name(f"{file.name}-courier.db"))
    return PostgresShelf(database)


class SqliteShelf(Shelf):
    """The book in a file of its own."""

    def __init__(self, path: Path) -> None:
        """Make the file if there is none, or none that can be used."""
        self.path = path
        self._writer: SqliteSession | None = None
        self._writing = Lock()
        with _unavailable(path):
            if not self._is_sound():
                self._begin()

    @contextmanager
    def reading(self) -> Iterator[SqliteSession]:
        """Lend a connection of its own."""
        with _unavailable(self.path), closing(SqliteSession(self.path, writes=False)) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[SqliteSession]:
        """Lend the one that writes."""
        with self._writing, _unavailable(self.path):
            session = self._opened()
            session.connection.execute("BEGIN IMMEDIATE")
            try:
                yield session
                session.connection.execute("COMMIT")
            finally:
                if session.connection.in_transaction:
                    session.connection.execute("ROLLBACK")

    def empty(self) -> None:
        """Make the tables anew."""
        with _unavailable(self.path), self._writing:
            session = self._opened()
            session.connection.execute("BEGIN IMMEDIATE")
            for (name,) in session.rows("SELECT name FROM sqlite_master WHERE type = 'table'"):
                session.connection.execute(f'DROP TABLE "{name}"')
            _make(session)
            session.connection.execute("COMMIT")

    def close(self) -> None:
        """Let go of the connection."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _opened(self) -> SqliteSession:
        if self._writer is None:
            self._writer = SqliteSession(self.path, writes=True)
            # A commit may be lost with the power, but whole: the position goes back with the rows.
            self._writer.connection.execute("PRAGMA synchronous = NORMAL")
        return self._writer

    def _is_sound(self) -> bool:
        if not self.path.exists():
            return False
        try:
            with closing(SqliteSession(self.path, writes=False)) as session:
                ((version,),) = session.rows(book.SELECT_BOOK_VERSION)
        except (sqlite3.DatabaseError, ValueError) as exc:
            if isinstance(exc, sqlite3.OperationalError) and "locked" in str(exc):
                raise
            return False
        return int(version) == book.BOOK_VERSION

    def _begin(self) -> None:
        """Make the tables, unless another process is quicker; a damaged file makes room."""
        self.path.touch(mode=0o600)
        try:
            session = self._opened()
            session.connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.DatabaseError:
            self.close()
            log.warning("the courier's book is damaged; it is made anew", file=str(self.path))
            for end in ("", "-wal", "-shm"):
                self.path.with_name(f"{self.path.name}{end}").unlink(missing_ok=True)
            self.path.touch(mode=0o600)
            session = self._opened()
            session.connection.execute("PRAGMA journal_mode = WAL")
        session.connection.execute("BEGIN IMMEDIATE")
        there = session.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
        if there and session.rows(book.SELECT_BOOK_VERSION) == [(book.BOOK_VERSION,)]:
            session.connection.execute("ROLLBACK")
            return
        for (name,) in there:
            session.connection.execute(f'DROP TABLE "{name}"')
        _make(session)
        session.connection.execute("COMMIT")


@contextmanager
def _unavailable(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as exc:
        raise StorageUnavailable(
            f"the courier's book at {path} cannot be used now: {exc}", may_have_happened=False
        ) from exc


class PostgresShelf(Shelf):
    """The book in a schema of its own."""

    def __init__(self, database: str) -> None:
        """Make the schema if there is none."""
        self._lines = Lines(database)
        self.schema = f"{self._lines.schema}_courier"
        with self.writing() as session:
            session.rows(making.CLAIM, name=self.schema)  # who comes second finds it made
            there = session.rows(making.SELECT_SCHEMA, name=self.schema)
            if not there or not self._is_known(session):
                self._make_anew(session)

    @contextmanager
    def reading(self) -> Iterator[PostgresSession]:
        """Lend a connection."""
        with self._lines.get_connection() as line:
            yield PostgresSession(line, self.schema)

    @contextmanager
    def writing(self) -> Iterator[PostgresSession]:
        """Lend one inside a transaction; a commit may be lost with the server, but whole."""
        with self._lines.get_connection() as line:
            line.execute(BEGIN_WRITING, prepare=False)
            try:
                yield PostgresSession(line, self.schema)
                line.execute("COMMIT")
            except BaseException:
                line.close()
                raise

    def empty(self) -> None:
        """Make the tables anew."""
        with self.writing() as session:
            self._make_anew(session)

    def close(self) -> None:
        """Let go of every connection."""
        self._lines.close()

    def _is_known(self, session: PostgresSession) -> bool:
        try:
            with session.line.transaction():
                ((version,),) = session.rows(book.SELECT_BOOK_VERSION)
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, ValueError):
            return False
        return int(version) == book.BOOK_VERSION

    def _make_anew(self, session: PostgresSession) -> None:
        for statement in (making.DROP_SCHEMA, making.CREATE_SCHEMA, making.CREATE_JSON_EACH):
            session.run(statement)
        _make(session)


def _make(session: Session) -> None:
    for statement in (*book.TABLES, *book.INDEXES):
        session.run(statement)
    session.run(book.INSERT_BOOK, book_version=book.BOOK_VERSION)
