"""Connections to PostgreSQL on which nothing is waited for without an end."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, LifoQueue
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg
from eventsourcing import postgres as library
from psycopg.abc import RV, PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row

from lifecycle.log import BadDatabase
from lifecycle.refusals import StorageUnavailable

CONNECT_SECONDS_MAX = 2
"""The least that psycopg takes; a server that is down refuses at once."""

ANSWER_SECONDS_MAX = 5.0
"""How long the server may take to answer; after that the connection is dropped."""

READERS_MAX = 8
"""Connections that read; who comes when all are busy waits for one."""

SESSION = {"default_transaction_isolation": "read committed"}
"""What every connection sets, whatever the database's default is."""

TRANSACTION_TIMEOUT_SINCE = 17_00_00
"""Older servers know no limit for a transaction as a whole."""


class Line(psycopg.Connection[DictRow]):
    """A connection on which no wait outlasts a moment that is set before it is used."""

    until = float("inf")
    """In seconds of the monotonic clock."""

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Wait as the library does, and no longer than allowed."""
        now = time.monotonic()
        until = self.until if timeout is None else min(self.until, now + timeout)
        return super().wait(_bounded(gen, until), interval)

    def is_idle(self) -> bool:
        """Whether it stands outside any transaction, and works."""
        return self.pgconn.transaction_status == TransactionStatus.IDLE

    def is_alive(self) -> bool:
        """Whether nobody has hung up meanwhile, as far as this end has heard."""
        try:
            self.pgconn.consume_input()  # a last word, where there is one
            self.pgconn.consume_input()  # the end behind it
        except psycopg.Error:
            return False
        return not self.closed


class Lines(library.PostgresDatastore):
    """Connections to the database, made when they are needed and dropped when they fail.

    The library's pool waits longer for a database that is down than people do; this one asks it
    every time. Raises `StorageUnavailable`.
    """

    def __init__(self, url: str) -> None:
        """Connect to nothing yet; raises `BadDatabase` for an address that cannot be one."""
        self.conninfo, schema = _address(url)
        # The library's own pool is made here, and never opened.
        super().__init__("", "", "", "", "", schema=schema, originator_id_type="text")
        self.answer_seconds_max = ANSWER_SECONDS_MAX
        self._closed = False
        self._idle: LifoQueue[Line | None] = LifoQueue()
        for _ in range(READERS_MAX):
            self._idle.put(None)

    def register_type_adapters(self) -> None:
        """None: arrays need no composite type."""

    @contextmanager
    def get_connection(self) -> Iterator[Line]:
        """Lend a connection for one read; any number of threads may ask."""
        try:
            line = self._idle.get(timeout=self.answer_seconds_max)
        except Empty as exc:
            raise unavailable("too many reads at once") from exc
        try:
            line = self.ready(line)
            yield line
        except psycopg.Error as exc:
            raise unavailable(exc) from exc
        finally:
            if line is not None and (self._closed or not line.is_idle()):
                line.close()
                line = None
            self._idle.put(line)

    def ready(self, line: Line | None) -> Line:
        """Take this connection, or another in its place; it has `answer_seconds_max` from now."""
        if line is not None and not (line.is_idle() and line.is_alive()):
            line.close()
            line = None
        line = line or self.connect()
        line.until = time.monotonic() + self.answer_seconds_max
        return line

    def connect(self) -> Line:
        """Connect, with the limits that the server is to keep for us.

        They end before our patience does: when we look for what became of an append, the server
        has decided it.
        """
        line = Line.connect(
            self.conninfo, autocommit=True, prepare_threshold=0, row_factory=dict_row
        )
        patience = int(self.answer_seconds_max * 1000)
        limits = {
            "idle_in_transaction_session_timeout": patience * 4 // 10,
            "lock_timeout": patience * 6 // 10,
            "statement_timeout": patience * 8 // 10,
        }
        if line.info.server_version >= TRANSACTION_TIMEOUT_SINCE:
            limits["transaction_timeout"] = patience * 8 // 10
        line.until = time.monotonic() + self.answer_seconds_max
        try:
            line.execute(
                "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) "
                "AS setting (name, value)",
                (
                    [*limits, *SESSION],
                    [*(f"{limit}ms" for limit in limits.values()), *SESSION.values()],
                ),
            )
        except BaseException:
            line.close()
            raise
        return line

    def close(self) -> None:
        """Hang up everywhere; what is lent is hung up when it comes back."""
        self._closed = True
        while True:
            try:
                line = self._idle.get_nowait()
            except (AttributeError, Empty):
                return
            if line is not None:
                line.close()


def unavailable(cause: Exception | str, *, may_have_happened: bool = False) -> StorageUnavailable:
    """Say that the log cannot be used now, in the database's own words."""
    words = " ".join(str(cause).split())
    return StorageUnavailable(
        f"the log cannot be used now: {words}", may_have_happened=may_have_happened
    )


def _bounded(gen: PQGen[RV], until: float) -> PQGen[RV]:
    """Let an exchange with the server go on until a moment, and fail it then."""
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if time.monotonic() >= until:
                raise psycopg.OperationalError("the server did not answer in time")
            wanted = gen.send(ready)
    except StopIteration as end:
        answer: RV = end.value
        return answer


def _address(url: str) -> tuple[str, str]:
    """Split an address into what libpq takes and the schema."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    schema = query.pop("schema", None)
    libpq = urlunsplit(parts._replace(query=urlencode(query, quote_via=quote)))
    try:
        given = conninfo_to_dict(libpq)
    except psycopg.Error as exc:
        raise BadDatabase(f"not the address of a PostgreSQL database: {exc}") from exc
    searched = re.search(r"search_path=([^\s,]+)", str(given.get("options", "")))
    defaults: dict[str, str | int | None] = {
        "application_name": "statekeeper",
        "connect_timeout": CONNECT_SECONDS_MAX,
        # A network that swallows packets is noticed without waiting for the system's two hours.
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 5000,
    }
    conninfo = make_conninfo("", **{**defaults, **given})
    return conninfo, schema or (searched[1].strip('"') if searched else "public")
