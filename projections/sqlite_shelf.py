"""The courier's book in an SQLite file of its own, `<database file>-courier.db`."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from queue import Empty, Full, LifoQueue
from threading import Lock
from urllib.parse import unquote

import structlog

from lifecycle.refusals import StorageUnavailable
from projections.shelf import Shelf, make
from projections.sqlite_store import SqliteSession
from projections.tables import book

READERS_MAX = 4
"""Connections to a file that are kept for the next who reads."""

File = tuple[int, int]
"""Which file a path leads to: its device and its number there."""

log = structlog.get_logger("statekeeper.book")


class SqliteShelf(Shelf):
    """The book in a file of its own."""

    def __init__(self, database: str) -> None:
        """Make the file if there is none, or none that can be used."""
        log_file = Path(unquote(database.removeprefix("sqlite:///"))).absolute()
        self.path = log_file.with_name(f"{log_file.name}-courier.db")
        self._writer: SqliteSession | None = None
        self._writing = Lock()
        self._readers: LifoQueue[tuple[File, SqliteSession]] = LifoQueue(READERS_MAX)
        with _unavailable(self.path):
            if not self._is_sound():
                self._begin()

    @contextmanager
    def reading(self) -> Iterator[SqliteSession]:
        """Lend a connection that does nothing else meanwhile."""
        with _unavailable(self.path):
            file, session = self._kept() or (_file(self.path), self._new())
            try:
                yield session
                self._readers.put_nowait((file, session))
            except BaseException as exc:
                session.close()
                if not isinstance(exc, Full):  # there are enough
                    raise

    def _kept(self) -> "tuple[File, SqliteSession] | None":
        """A connection to the file that is there now: another process may have made it anew."""
        with suppress(Empty):
            while True:
                file, session = self._readers.get_nowait()
                if file == _file(self.path):
                    return file, session
                session.close()
        return None

    def _new(self) -> SqliteSession:
        return SqliteSession(self.path, writes=False)

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
            make(session)
            session.connection.execute("COMMIT")

    def close(self) -> None:
        """Let go of every connection."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        with suppress(Empty):
            while True:
                self._readers.get_nowait()[1].close()

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
        make(session)
        session.connection.execute("COMMIT")


def _file(path: Path) -> File:
    found = path.stat()
    return found.st_dev, found.st_ino


@contextmanager
def _unavailable(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as exc:
        raise StorageUnavailable(
            f"the courier's book at {path} cannot be used now: {exc}", may_have_happened=False
        ) from exc
