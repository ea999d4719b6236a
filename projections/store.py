"""The store of the read models, apart from the log that they are made of.

On SQLite it is another file, `<database file>-views.db`: a link to the file that holds the tables,
so that a new one can take its place while the old one is still being read. On PostgreSQL it is
another schema, `<schema>_views`. Either may be thrown away at any time; nothing here is durable
before it is fast.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any, Protocol, cast

from lifecycle.log import BadDatabase
from lifecycle.mapper import encode
from lifecycle.model import Lifecycle
from projections.tables import follower, making

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

    @classmethod
    @abstractmethod
    def opened(cls, database: str, made_with: str, *, checking: bool) -> "Store":
        """Open the one that belongs to this log, made anew where it cannot be used."""

    @classmethod
    @abstractmethod
    def found(cls, database: str, made_with: str) -> "Store | None":
        """Open the one that belongs to this log, if it is there and can be used."""

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
    return _kind_of(database).opened(database, marks(lifecycles), checking=checking)


def find_store(database: str, lifecycles: Mapping[str, Lifecycle]) -> Store | None:
    """Open the store that belongs to this log, where there is one; nothing is made.

    One of an older version, or damaged, is as good as none.
    """
    return _kind_of(database).found(database, marks(lifecycles))


def _kind_of(database: str) -> type[Store]:
    """The kind that this database takes; what only another one needs is not even loaded."""
    if database.startswith("sqlite:///"):
        return cast("type[Store]", import_module("projections.sqlite_store").SqliteStore)
    return cast("type[Store]", import_module("projections.postgres_store").PostgresStore)


def marks(lifecycles: Mapping[str, Lifecycle]) -> str:
    """Say which definitions the rows are derived with."""
    return " ".join(sorted(f"{one.name}:{one.mark.digest}" for one in lifecycles.values()))


def is_known(version: int, where: str) -> bool:
    """Whether tables of this version can be used; older ones are thrown away."""
    if version > making.SCHEMA_VERSION:
        raise BadDatabase(
            f"the read models in {where} were made by a newer version of this program"
            f" (version {version}, this one knows {making.SCHEMA_VERSION})"
        )
    return version == making.SCHEMA_VERSION
