"""The log: what both of its recorders promise, and how one is opened.

A position is the place of an event in the whole log, from 1 and rising in commit order; a version
is its place in its stream. A recorder is used by one writer thread; its reads may come from any.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import msgspec
from eventsourcing.persistence import (
    ApplicationRecorder,
    InfrastructureFactory,
    IntegrityError,
    Notification,
    StoredEvent,
    Subscription,
    TrackingRecorder,
)

SCHEMA_VERSION = 1
"""The tables that this program knows; a database that says more is not touched."""

TAIL_MAX = 5000
"""The events that one reading of the tail gives at most; an append held open reads no more."""

NAME_LENGTH_MAX = 600
"""Characters of a stream's name: an index of PostgreSQL takes 2,704 bytes."""

NO_KEYS: Mapping[str, bytes] = {}


class BadDatabase(Exception):
    """The deployer named a database that cannot be the log; one line says why."""


class Stored(msgspec.Struct, frozen=True, gc=False):
    """An event as it is stored: what the library's `StoredEvent` is, made in a third of the time.

    A frozen dataclass sets each of its members through two calls: with several events for each ask,
    and each read by several, that is a noticeable part of all.
    """

    originator_id: str
    originator_version: int
    topic: str
    state: bytes


class Placed(Stored, frozen=True, gc=False):
    """An event as it stands in the log, as the library's `Notification` is."""

    id: int
    """Its position."""


def placed(rows: Iterable[Sequence[Any]]) -> list[Notification]:
    """Rows of the log, their columns in the order of a `Notification`'s members."""
    return cast("list[Notification]", [Placed(*row) for row in rows])


class Batch(msgspec.Struct, frozen=True):
    """What one append makes durable, all of it or nothing."""

    events: Sequence[StoredEvent]
    """In the order of the log; several streams may be mixed."""
    keys: Mapping[str, bytes] = {}
    """Wrapped keys by stream, for the vault; a stream that has one already is refused."""
    forget: Collection[str] = ()
    """Streams whose keys leave the vault, before `keys` come in."""


class Recorder(ApplicationRecorder, ABC):
    """The log in one database, with the vault and a few settings beside it.

    Every method raises `StorageUnavailable` where the database cannot be used, within seconds, and
    works again by itself when it can.
    """

    def append(
        self,
        events: Sequence[StoredEvent],
        *,
        after: int,
        keys: Mapping[str, bytes] = NO_KEYS,
        forget: Collection[str] = (),
    ) -> Sequence[int] | None:
        """Append only if `after` is the last position of the log (0: it is empty).

        Answers the positions in the order of `events`; None if the log has moved on, nothing
        written. Raises the library's `IntegrityError` where a stream has one of the versions, or
        the vault one of the keys, already (nothing written), and `StorageUnavailable`, whose fact
        `may_have_happened` is true only if the fate of the commit could not be known in time.
        """
        return self._append(checked(Batch(events, keys, forget)), after)

    @abstractmethod
    def _append(self, batch: Batch, after: int) -> Sequence[int] | None:
        """Append a batch that is in order."""

    @abstractmethod
    def append_held(
        self, decide: Callable[[Sequence[Notification]], Batch], *, after: int
    ) -> Sequence[int] | None:
        """Keep every other writer out, decide on the tail after `after`, and append.

        For when the log moves on faster than one can decide. `decide` gets all events after
        `after`; it may read the log besides, and is to be quick: a held append is cut off after
        seconds. What it raises goes through, nothing written; a batch without events writes
        nothing and answers (). None if the tail is longer than `TAIL_MAX` (undecided), or moved
        on while a commit was in doubt. Raises like `append`.
        """

    @abstractmethod
    def max_notification_id(self) -> int:
        """Answer the same as `last_position`, under the library's name."""

    @abstractmethod
    def streams(self, names: Collection[str]) -> Sequence[Notification]:
        """Answer all events of these streams, in order of position, as of one moment."""

    @abstractmethod
    def wrapped_keys(self, streams: Collection[str]) -> Mapping[str, bytes]:
        """Answer the vault's keys of those streams that have one."""

    @abstractmethod
    def by_stream(
        self, after: tuple[str, int], *, upto: int, limit: int = TAIL_MAX
    ) -> Sequence[Notification]:
        """Answer a page of the log in order of stream and version, behind one of them.

        Only events up to a position; streams in the order of their bytes, so each is whole.
        """

    @abstractmethod
    def standing(
        self, places: Collection[tuple[str, int]], *, upto: int
    ) -> Collection[tuple[str, int]]:
        """Answer those of these streams' versions that stand up to a position."""

    @abstractmethod
    def vault_page(self, after: str, limit: int = TAIL_MAX) -> Sequence[tuple[str, bytes]]:
        """Answer a page of the vault in order of stream: streams and their wrapped keys."""

    @abstractmethod
    def fill(
        self,
        pages: Iterable[Sequence[Notification]],
        keys: Iterable[Sequence[tuple[str, bytes]]],
    ) -> None:
        """Take a whole log, each event at its own position, and a whole vault; all or nothing.

        Raises `BadDatabase` where this log is not empty, and `StorageUnavailable`.
        """

    @abstractmethod
    def setting(self, name: str) -> bytes | None:
        """Answer a small value that stands beside the log."""

    @abstractmethod
    def keep_setting(self, name: str, value: bytes) -> bytes:
        """Set it if it is not set; answers what stands."""

    @abstractmethod
    def probe(self) -> None:
        """Commit something that changes nothing: the log can be written, or this raises."""

    @abstractmethod
    def hold_for_service(self) -> None:
        """Claim the log for one `serve`, until `close`, where only one may have it.

        Raises `BadDatabase` where another process has claimed it.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of every connection and lock."""

    def tail(self, after: int, limit: int = TAIL_MAX) -> Sequence[Notification]:
        """Answer the events that follow a position, in order."""
        return self.select_notifications(after, limit, inclusive_of_start=False)

    def last_position(self) -> int:
        """Answer the position of the last event; 0 in an empty log."""
        return self.max_notification_id()

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        """Append whatever the log's end is: how the library's own `EventStore` writes."""
        batch = Batch(stored_events)
        while (positions := self.append_held(lambda _: batch, after=self.last_position())) is None:
            continue
        return positions

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> Subscription[ApplicationRecorder]:
        """Not here: the library's subscriptions end with the first lost connection."""
        raise NotImplementedError("follow the log with `tail`")


def open_log(database: str) -> Recorder:
    """Open the log at `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://…`.

    On PostgreSQL the schema is named by `?schema=`, or by a search path among the `options`;
    default `public`. Tables are made if there are none. Raises `BadDatabase` and
    `StorageUnavailable`.
    """
    factory = InfrastructureFactory[TrackingRecorder].construct(environment(database))
    return cast("Recorder", factory.application_recorder())


def environment(database: str) -> dict[str, str]:
    """Name a database in the settings from which the library's `Application` builds itself."""
    scheme, _, rest = database.partition("://")
    match scheme:
        case "sqlite" if rest.startswith("/") and rest not in {"/", "/:memory:"}:
            file = Path(unquote(rest[1:])).absolute()
            module = {"PERSISTENCE_MODULE": "lifecycle.sqlite", "SQLITE_DBNAME": str(file)}
        case "postgresql" | "postgres":
            module = {"PERSISTENCE_MODULE": "lifecycle.postgres", "POSTGRES_URL": database}
        case _:
            raise BadDatabase(
                f"no database is named by '{scheme}://…' "
                "(sqlite:///relative.db, sqlite:////absolute.db, postgresql://user@host/name)"
            )
    return {**module, "ORIGINATOR_ID_TYPE": "text"}


def checked(batch: Batch) -> Batch:
    """Assert that a batch may enter the log.

    It has events; versions of a stream follow on; names are such as both databases take.
    """
    if not batch.events:
        raise AssertionError(f"an append without events [{sorted(batch.keys)} {batch.forget}]")
    last: dict[str, int] = {}
    for event in batch.events:
        name, version = str(event.originator_id), event.originator_version
        before = last.get(name)
        if before is None and (len(name) > NAME_LENGTH_MAX or "\0" in name):
            raise AssertionError(f"not the name of a stream [{name!r}]")
        if before is not None and version != before + 1:
            raise AssertionError(f"versions do not follow on [{name} {before} {version}]")
        last[name] = version
    return batch


def known_schema(found: bytes | None, database: str) -> None:
    """Refuse tables that are not this program's, or are newer than it knows."""
    if found is None or not found.isdigit():
        raise BadDatabase(f"{database} holds tables of another program")
    if int(found) > SCHEMA_VERSION:
        raise BadDatabase(
            f"{database} was written by a newer version of this program "
            f"(its tables are of version {int(found)}, this one knows {SCHEMA_VERSION})"
        )


def refused_twice(batch: Batch, cause: Exception) -> IntegrityError:
    """Say which streams were to be written when the log or the vault had one of them already."""
    names = sorted({str(event.originator_id) for event in batch.events} | set(batch.keys))
    return IntegrityError(f"{' '.join(str(cause).split())} [{' '.join(names)}]")
