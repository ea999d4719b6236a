"""The courier's book in a PostgreSQL schema of its own, `<schema>_courier`."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from lifecycle.connections import Lines
from projections.postgres_store import PostgresSession
from projections.shelf import Shelf, make
from projections.tables import book, making

BEGIN_WRITING = (
    "BEGIN; SET LOCAL synchronous_commit = off; SET LOCAL enable_seqscan = off;"
    "SET LOCAL enable_bitmapscan = off; SET LOCAL enable_hashjoin = off;"
    "SET LOCAL enable_mergejoin = off; SET LOCAL jit = off"
)
"""Every statement is about a few rows of perhaps very many, and walks along an index to them: the
planner, which has no statistics yet of what was just written, would rather read it all."""


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
        """Lend a connection; a plan that was made while nothing waited would be kept for long."""
        with self._lines.get_connection() as line:
            yield PostgresSession(line, self.schema, prepare=False)

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
        make(session)
