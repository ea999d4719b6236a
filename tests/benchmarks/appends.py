"""What an append costs over the plain INSERT that it contains, on both databases.

Run as `python -m tests.benchmarks.appends`. Plain and ours take turns within one run, on tables of
the same shape; the figures are medians, and their ratio is what to read.
"""

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence

import psycopg
from eventsourcing.persistence import StoredEvent

from lifecycle.log import Recorder, open_log
from tests.databases import running_postgres

ROUNDS = {1: 2000, 100: 200}
STATE = b'{"transition":"schedule","from":"deposit_confirmed","to":"scheduled"}' * 4

PLAIN_SQLITE = """
INSERT INTO plain.stored_events (originator_id, originator_version, topic, state)
VALUES (?, ?, ?, ?)
"""
PLAIN_POSTGRES = """
INSERT INTO plain.stored_events (originator_id, originator_version, topic, state)
SELECT * FROM unnest(%b::text[], %b::bigint[], %b::text[], %b::bytea[]) RETURNING position
"""

Append = Callable[[Sequence[StoredEvent]], object]


def main() -> None:
    """Print one line per database and size."""
    with tempfile.TemporaryDirectory() as folder:
        compare("SQLite", open_log(f"sqlite:///{folder}/ours.db"), plain_sqlite(folder))
        with running_postgres() as server:
            ours = open_log(server.url("ours"))
            open_log(server.url("plain")).close()
            compare("PostgreSQL", ours, plain_postgres(server.url("plain")))


def compare(name: str, recorder: Recorder, plain: Append) -> None:
    """Let both append the same events, in turns."""
    last = 0

    def ours(events: Sequence[StoredEvent]) -> None:
        nonlocal last
        positions = recorder.append(events, after=last)
        if positions is None:
            raise AssertionError(f"nobody else writes here [{last}]")
        last = positions[-1]

    for size, rounds in ROUNDS.items():
        seconds: dict[Append, list[float]] = {plain: [], ours: []}
        for turn in range(rounds):
            events = [
                StoredEvent(f"case:jobs/{size}-{turn}-{place}", 1, "case.moved.v1", STATE)
                for place in range(size)
            ]
            for append, taken in seconds.items():
                start = time.perf_counter()
                append(events)
                taken.append(time.perf_counter() - start)
        middle_plain, middle_ours = (statistics.median(taken) for taken in seconds.values())
        print(
            f"{name:<10} {size:>3} a commit: plain {size / middle_plain:>7,.0f} events/s, "
            f"ours {size / middle_ours:>7,.0f} events/s, ratio {middle_plain / middle_ours:.2f}"
        )
    recorder.close()


def plain_sqlite(folder: str) -> Append:
    """Append without looking, durable all the same."""
    open_log(f"sqlite:///{folder}/plain.db").close()
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("ATTACH ? AS plain", (f"{folder}/plain.db",))
    connection.execute("PRAGMA plain.synchronous = FULL")

    def append(events: Sequence[StoredEvent]) -> None:
        connection.execute("BEGIN")
        connection.executemany(
            PLAIN_SQLITE,
            [(e.originator_id, e.originator_version, e.topic, e.state) for e in events],
        )
        connection.execute("COMMIT")

    return append


def plain_postgres(url: str) -> Append:
    """Append without looking, one statement a commit."""
    connection = psycopg.connect(url.partition("&schema=")[0], autocommit=True, prepare_threshold=0)

    def append(events: Sequence[StoredEvent]) -> None:
        columns = zip(
            *((e.originator_id, e.originator_version, e.topic, e.state) for e in events),
            strict=True,
        )
        cursor = connection.cursor(binary=True)
        cursor.execute(PLAIN_POSTGRES, [list(column) for column in columns])
        cursor.fetchall()

    return append


if __name__ == "__main__":
    main()
