"""The store of the read models, apart from the log that they are made of.

On SQLite it is another file, `<database file>-views.db`: a link to the file that holds the tables,
so that a new one can take its place while the old one is still being read. On PostgreSQL it is
another schema, `<schema>_views`. Either may be thrown away at any time; nothing here is durable
before it is fast.
"""

import fcntl
import re
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import cache
from glob import escape
from pathlib import Path
from queue import Empty, LifoQueue
from threading import Lock
from typing import Any, Protocol
from urllib.parse import unquote
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from lifecycle.connections import TRANSACTION_TIMEOUT_SINCE, Line, Lines
from lifecycle.log import BadDatabase
from lifecycle.mapper import encode
from lifecycle.model import Lifecycle
from lifecycle.refusals import StorageUnavailable
from projections.tables import follower, making

READERS_MAX = 8
BUSY_SECONDS_MAX = 5.0
FOLLOW_SECONDS_MAX = 60.0
"""How long one batch may take to be written."""
CACHE_KIB = 64 * 1024
"""Pages of an SQLite file that the one who writes keeps in memory."""
IDENTIFIER_BYTES_MAX = 63
"""What PostgreSQL takes as the name of a schema."""

Row = tuple[Any, ...]


def as_json(value: object) -> str:
    """A value as columns hold it, or a list as statements take it apart."""
    return encode(value).decode()


class BadData(Exception):
    """The database refuses a value: no other try will change that."""


class BeingRebuilt(Exception):
    """Somebody else makes this store anew already."""


class Session(Protocol):
    """A connection, inside of whatever its lender promises."""

    def rows(self, statement: str, **values: object) -> Sequence[Row]:
        """Answer what a statement selects."""

    def run(self, statement: str, **values: object) -> None:
        """Have a statement done."""

    def write(self, statement: str, rows: Sequence[Row]) -> None:
        """Have a statement that takes `:rows` from a list done for these rows."""


class Store(ABC):
    """The tables of all read models, and how far they have come.

    Every method raises `StorageUnavailable` where the database cannot be used.
    """

    @abstractmethod
    def reading(self) -> AbstractContextManager[Session]:
        """Lend a connection for reading; any number of threads may ask."""

    @abstractmethod
    def following(self) -> AbstractContextManager[Session | None]:
        """Lend the store for writing, with the position locked; None while another has it.

        What was written is committed at the end of the block, all or nothing.
        """

    @abstractmethod
    def scrub(self) -> None:
        """Leave no trace of what was erased, as far as the database lets us."""

    @abstractmethod
    def building(self) -> AbstractContextManager["Store"]:
        """Make an empty store beside; `BeingRebuilt` where somebody does so already."""

    @abstractmethod
    def replaced_by(self, built: "Store") -> AbstractContextManager[None]:
        """Keep every follower out for the time of the block, then put the other store in place."""

    @abstractmethod
    def finish(self) -> None:
        """Index what was written: a store that is built has its indexes at the end."""

    @abstractmethod
    def close(self) -> None:
        """Let go of every connection."""

    def position(self) -> int:
        """Answer how far the read models have come."""
        with self.reading() as session:
            return int(session.rows(follower.SELECT_FOLLOWED)[0][0])


def open_store(
    database: str, lifecycles: Mapping[str, Lifecycle], *, checking: bool = False
) -> Store:
    """Open the store that belongs to the log at this address; made empty if there is none.

    One of an older version of this program is thrown away, and so is a file that is damaged;
    `checking` looks at all of a file, which takes a second for every few hundred MiB. Raises
    `BadDatabase` for a store of a newer version, and `StorageUnavailable`.
    """
    made_with = marks(lifecycles)
    if database.startswith("sqlite:///"):
        return SqliteStore.opened(_views_beside(database), made_with, checking=checking)
    return PostgresStore.opened(database, made_with)


def find_store(database: str, lifecycles: Mapping[str, Lifecycle]) -> Store | None:
    """Open the store that belongs to this log, where there is one; nothing is made.

    One of an older version, or damaged, is as good as none.
    """
    if database.startswith("sqlite:///"):
        return SqliteStore.found(_views_beside(database), marks(lifecycles))
    return PostgresStore.found(database, marks(lifecycles))


def _views_beside(database: str) -> Path:
    log = Path(unquote(database.removeprefix("sqlite:///"))).absolute()
    return log.with_name(f"{log.name}-views.db")


def marks(lifecycles: Mapping[str, Lifecycle]) -> str:
    """Say which definitions the rows are derived with."""
    return " ".join(sorted(f"{one.name}:{one.mark.digest}" for one in lifecycles.values()))


def _known(version: int, where: str) -> bool:
    """Whether tables of this version can be used; older ones are thrown away."""
    if version > making.SCHEMA_VERSION:
        raise BadDatabase(
            f"the read models in {where} were made by a newer version of this program"
            f" (version {version}, this one knows {making.SCHEMA_VERSION})"
        )
    return version == making.SCHEMA_VERSION


# --- SQLite -------------------------------------------------------------------------------------

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
    def opened(cls, path: Path, made_with: str, *, checking: bool) -> "SqliteStore":
        """Open the store, made anew where it is missing, old or damaged."""
        store = cls(path, made_with)
        with _unavailable(path):
            if not store._is_sound(checking=checking):
                store._make_anew()
        return store

    @classmethod
    def found(cls, path: Path, made_with: str) -> "SqliteStore | None":
        """Open the store if it is there and sound."""
        store = cls(path, made_with)
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
            except Exception:  # noqa: BLE001 - there are enough
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
        return _known(int(version), str(self.path)) and found == [("ok",)]

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


# --- PostgreSQL ---------------------------------------------------------------------------------

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
    def opened(cls, database: str, made_with: str) -> "PostgresStore":
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
        return _known(int(version), f"the schema {self.schema}")

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
