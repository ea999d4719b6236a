"""Where the courier's book stands: a file beside the log, or a schema beside the log's.

Both are named after the log: `<database file>-courier.db`, `<schema>_courier`. What is written may
be lost with the power, but only whole commits: rows and position go back together, and are made
again from the log.
"""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from importlib import import_module
from typing import cast

from projections.store import Session
from projections.tables import book


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
        return cast("Shelf", import_module("projections.sqlite_shelf").SqliteShelf(database))
    return cast("Shelf", import_module("projections.postgres_shelf").PostgresShelf(database))


def make(session: Session) -> None:
    """Make the tables of a book that stands at the beginning of the log."""
    for statement in (*book.TABLES, *book.INDEXES):
        session.run(statement)
    session.run(book.INSERT_BOOK, book_version=book.BOOK_VERSION)
