"""The read models in an SQLite file of their own, `<database file>-views.db`.

That is a link to the file that holds the tables, so that a new one can take its place while the old
one is still being read.
"""

import fcntl
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from glob import escape
from pathlib import Path
from queue import Empty, Full, LifoQueue
from threading import Lock
from urllib.parse import unquote
from uuid import uuid4

from lifecycle.refusals import StorageUnavailable
from projections.store import BadData, BeingRebuilt, Row, Store, is_known
from projections.tables import follower, making

READERS_MAX = 8
BUSY_SECONDS_MAX = 5.0
CACHE_KIB = 64 * 1024
"""Pages of a file that the one who writes keeps in memory."""

_SQLITE_WORDS = {
    "views": "main",
    "text": "TEXT",
    "number": "INTEGER",
    "clustered": "WITHOUT ROWID",
    "on": "",
    "locked": "",
}


@cache
def _for_sqlite(statement: str) -> str:
    for word, spelled in _SQLITE_WORDS.items():
        statement = statement.replace(f"{{{word}}}", spelled)
    return statement


@cache
def _bound_in_sqlite(statement: str, columns: int) -> str:
    """An INSERT that selects its rows from a list, with their values bound instead.

    SQLite takes each row of a list apart anew for each column; bound, it costs a third.
    """
    into, _, listed = statement.partition("SELECT")
    behind = listed.partition(".json_each(:rows)")[2].removeprefix(" WHERE true")
    return _for_sqlite(f"{into}VALUES ({', '.join('?' * columns)}){behind}")


class SqliteSession:
    """A connection to one file, which may be replaced by another."""

    def __init__(self, path: Path, *, writes: bool) -> None:
        """Connect; times out behind another writer after seconds."""
        self.target = path.resolve()
        self.connection = sqlite3.connect(
            f"{self.target.as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY_SECONDS_MAX,
            isolation_level=None,
            check_same_thread=False,  # a session is lent to one thread at a time
        )
        self.connection.execute("PRAGMA synchronous = OFF")
        self.connection.execute("PRAGMA secure_delete = ON")
        self.connection.execute("PRAGMA temp_store = MEMORY")
        if writes:
            self.connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")

    def rows(self, statement: str, **values: object) -> Sequence[Row]:
        """Answer what a statement selects."""
        return self.connection.execute(_for_sqlite(statement), values).fetchall()

    def run(self, statement: str, **values: object) -> None:
        """Have a statement done."""
        try:
            self.connection.execute(_for_sqlite(statement), values)
        except (sqlite3.DataError, sqlite3.IntegrityError, UnicodeEncodeError) as exc:
            raise BadData(str(exc)) from exc

    def write(self, statement: str, rows: Sequence[Row]) -> None:
        """Have a statement that takes `:rows` from a list done for these rows."""
        if not rows:
            return
        try:
            self.connection.executemany(_bound_in_sqlite(statement, len(rows[0])), rows)
        except (sqlite3.DataError, sqlite3.IntegrityError, OverflowError, UnicodeError) as exc:
            raise BadData(str(exc)) from exc

    def close(self) -> None:
        """Hang up."""
        self.connection.close()


class SqliteStore(Store):
    """The read models in a file of their own."""

    def __init__(self, path: Path, made_with: str) -> None:
        """Take a file that is there, or a link to it."""
        self.path = path
        self._made_with = made_with
        self._readers: LifoQueue[SqliteSession] = LifoQueue(READERS_MAX)
        self._writer: SqliteSession | None = None
        self._writing = Lock()

    @classmethod
    def opened(cls, database: str, made_with: str, *, checking: bool) -> "SqliteStore":
        """Open the store, made anew where it is missing, old or damaged."""
        store = cls(_views_beside(database), made_with)
        with _unavailable(store.path):
            if not store._is_sound(checking=checking):
                store._make_anew()
        return store

    @classmethod
    def found(cls, database: str, made_with: str) -> "SqliteStore | None":
        """Open the store if it is there and sound."""
        store = cls(_views_beside(database), made_with)
        return store if store._is_sound(checking=False) else None

    @contextmanager
    def reading(self) -> Iterator[SqliteSession]:
        """Lend a connection that sees one moment, to the file that the link names now."""
        with _unavailable(self.path):
            session = self._reader()
            try:
                session.connection.execute("BEGIN")
                yield session
                session.connection.execute("COMMIT")
            except BaseException:
                session.close()
                raise
            try:
                self._readers.put_nowait(session)
            except Full:  # there are enough
                session.close()

    @contextmanager
    def following(self) -> Iterator[SqliteSession | None]:
        """Lend the file for writing; SQLite lets one do so at a time."""
        with _unavailable(self.path), self._locked() as writer:
            yield writer
            writer.connection.execute("COMMIT")

    def scrub(self) -> None:
        """Write the file anew where something was erased, and empty the write-ahead log.

        `secure_delete` puts zeros where a row was, but not where rows were moved away from when
        pages were balanced (tried: values stayed readable there). It takes some 20 s a GiB, during
        which lists are read, and lag.
        """
        with _unavailable(self.path), self._alone():
            writer = self._opened_writer()
            ((erased,),) = writer.rows(follower.SELECT_UNSCRUBBED)
            if not erased:
                return
            writer.connection.execute("PRAGMA temp_store = FILE")  # as large as the file itself
            writer.connection.execute("VACUUM")
            writer.connection.execute("PRAGMA temp_store = MEMORY")
            (busy, _, _) = writer.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                writer.run(follower.UPDATE_SCRUBBED, scrubbed=erased)

    @contextmanager
    def building(self) -> Iterator["SqliteStore"]:
        """Make an empty file beside; it is gone at the end unless it has taken a place."""
        with ExitStack() as held, _unavailable(self.path):
            claim = held.enter_context(self.path.with_suffix(".building").open("ab"))
            try:
                fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                raise BeingRebuilt(f"{self.path} is being rebuilt already") from exc
            self._sweep()
            built = SqliteStore(self._new_file(), self._made_with)
            _make(built.path, self._made_with, indexes=False)
            try:
                yield built
            finally:
                built.close()
                if self.path.resolve() != built.path:
                    _remove(built.path)

    @contextmanager
    def replaced_by(self, built: Store) -> Iterator[None]:
        """Keep followers of the old file out, and let the link name the new one."""
        assert isinstance(built, SqliteStore)
        with _unavailable(self.path), self._locked() as writer:
            yield
            built.close()
            self._link(built.path)
            writer.connection.execute("ROLLBACK")
        with self._alone():
            self._let_go_of_writer()
        _remove(writer.target)

    def finish(self) -> None:
        """Index what was written."""
        with _unavailable(self.path), self._alone():
            writer = self._opened_writer()
            for statement in making.INDEXES:
                writer.run(statement)
            writer.connection.execute("PRAGMA optimize")

    def close(self) -> None:
        """Let go of every connection."""
        self._let_go_of_writer()
        with suppress(Empty):
            while True:
                self._readers.get_nowait().close()

    # --- connections

    def _reader(self) -> SqliteSession:
        target = self.path.resolve()
        with suppress(Empty):
            while (session := self._readers.get_nowait()).target != target:
                session.close()
            return session
        return SqliteSession(self.path, writes=False)

    @contextmanager
    def _locked(self) -> Iterator[SqliteSession]:
        """Lend the writer inside BEGIN IMMEDIATE, on the file that the link names by then."""
        with self._alone():
            while True:
                writer = self._opened_writer()
                writer.connection.execute("BEGIN IMMEDIATE")
                if writer.target == self.path.resolve():
                    break
                self._let_go_of_writer()
            try:
                yield writer
            finally:
                if writer.connection.in_transaction:
                    writer.connection.execute("ROLLBACK")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other threads from the writer, as SQLite keeps other connections from writing."""
        if not self._writing.acquire(timeout=BUSY_SECONDS_MAX):
            raise TimeoutError("another thread writes")
        try:
            yield
        finally:
            self._writing.release()

    def _opened_writer(self) -> SqliteSession:
        if self._writer is not None and self._writer.target != self.path.resolve():
            self._let_go_of_writer()
        if self._writer is None:
            self._writer = SqliteSession(self.path, writes=True)
        return self._writer

    def _let_go_of_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    # --- files

    def _is_sound(self, *, checking: bool) -> bool:
        if not self.path.exists():
            return False
        try:
            with self.reading() as session:
                ((version,),) = session.rows(follower.SELECT_SCHEMA_VERSION)
                found = session.rows("PRAGMA quick_check(1)") if checking else [("ok",)]
        except (sqlite3.DatabaseError, StorageUnavailable, ValueError):
            return False
        return is_known(int(version), str(self.path)) and found == [("ok",)]

    def _make_anew(self) -> None:
        """Make an empty file, and let the link name it unless another process was quicker."""
        old = self.path.resolve() if self.path.is_symlink() else None
        made = self._new_file()
        _make(made, self._made_with, indexes=True)
        if not self.path.is_symlink():
            self.path.unlink(missing_ok=True)
        with suppress(FileExistsError):
            if old is None:
                self.path.symlink_to(made.name)
                return
        if old is not None and self.path.resolve() == old:
            self._link(made)
            _remove(old)
        else:
            _remove(made)

    def _new_file(self) -> Path:
        return self.path.parent.resolve() / f"{self.path.stem}-{uuid4().hex[:8]}.db"

    def _link(self, target: Path) -> None:
        """Name another file, in one step."""
        link = self.path.with_suffix(f".{uuid4().hex[:8]}")
        link.symlink_to(target.name)
        link.replace(self.path)

    def _sweep(self) -> None:
        """Remove what rebuilds that were killed have left behind."""
        named = self.path.resolve()
        for file in named.parent.glob(f"{escape(self.path.stem)}-????????.db"):
            if file != named:
                _remove(file)


def _views_beside(database: str) -> Path:
    log = Path(unquote(database.removeprefix("sqlite:///"))).absolute()
    return log.with_name(f"{log.name}-views.db")


def _make(path: Path, made_with: str, *, indexes: bool) -> None:
    """Make a file with empty tables."""
    path.touch(mode=0o600)
    session = SqliteSession(path, writes=True)
    try:
        session.connection.execute("PRAGMA journal_mode = WAL")
        session.connection.execute("BEGIN IMMEDIATE")
        for statement in (*making.TABLES, *(making.INDEXES if indexes else ())):
            session.run(statement)
        session.run(
            follower.INSERT_FOLLOWED,
            schema_version=making.SCHEMA_VERSION,
            build=uuid4().hex,
            made_with=made_with,
        )
        session.connection.execute("COMMIT")
    finally:
        session.close()


def _remove(path: Path) -> None:
    for end in ("", "-wal", "-shm"):
        path.with_name(f"{path.name}{end}").unlink(missing_ok=True)


@contextmanager
def _unavailable(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as exc:
        raise StorageUnavailable(
            f"the read models at {path} cannot be used now: {exc}", may_have_happened=False
        ) from exc
