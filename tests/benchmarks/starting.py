"""What a service costs that nobody asks anything: to start, and to stand there.

``python -m tests.benchmarks.starting --help``. The web process and its worker are counted apart, by
the processor time that each has used; of several starts the least counts, as a busy machine only
adds to it.
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from tests.benchmarks.servers import postgres, statekeeper

SETTLE_SECONDS = 6.0
"""Until nobody looks out any more for what may follow the start."""
MINUTE = 60.0


class Cost(msgspec.Struct, frozen=True):
    """What a web process and its worker have used of a processor, in seconds."""

    web: float
    worker: float


class Start(msgspec.Struct, frozen=True):
    """One service, from its start to its end."""

    ready_after: float
    """Seconds on the clock."""
    ready: Cost
    idle_minute: Cost


def started(folder: Path, database: str, seconds: float) -> Start:
    """Start a service, let it stand idle for so many seconds, and end it."""
    begun = time.monotonic()
    with statekeeper(folder, database) as server:
        ready_after = time.monotonic() - begun
        ready = Cost(*server.cpu_seconds)
        time.sleep(SETTLE_SECONDS)
        before = Cost(*server.cpu_seconds)
        time.sleep(seconds)
        after = Cost(*server.cpu_seconds)
    a_minute = MINUTE / seconds
    idle = Cost((after.web - before.web) * a_minute, (after.worker - before.worker) * a_minute)
    return Start(ready_after, ready, idle)


def least(starts: Sequence[Start]) -> Iterator[float]:
    """The least of each figure."""
    yield min(one.ready_after for one in starts)
    for cost in ([one.ready for one in starts], [one.idle_minute for one in starts]):
        yield min(one.web for one in cost)
        yield min(one.worker for one in cost)


@click.command()
@click.option("--starts", default=5, show_default=True, help="Starts over each database.")
@click.option("--idle", default=20.0, show_default=True, help="Seconds that each stands idle.")
def main(starts: int, idle: float) -> None:
    """Measure starts over SQLite and PostgreSQL."""
    table = Table("", "ready after", title="Seconds, of the processor where not of the clock")
    for name in ("web, to ready", "worker", "web, an idle minute", "worker"):
        table.add_column(name, justify="right")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="statekeeper-")))
        server = stack.enter_context(postgres(folder, ["idle"]))
        databases = {"SQLite": f"sqlite:///{folder}/idle.db", "PostgreSQL": server["idle"]}
        for title, database in databases.items():
            figures = least([started(folder, database, idle) for _ in range(starts)])
            table.add_row(title, *(f"{one:.2f}" for one in figures))
    Console().print(table)


if __name__ == "__main__":
    main()
