"""What a durable transition costs over HTTP, beside a no-op and beside the libraries used plainly.

``python -m tests.benchmarks.service --help``. Sixty-four clients, each with a job of its own,
schedule and unschedule it. All servers run at once and are measured in turns (A B C A B C …), so
that a noisy machine is noisy for all: compare within one run, and read ratios rather than rates.
"""

import os
import platform
import signal
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import click
import msgspec
import uvloop
from rich.console import Console
from rich.table import Table

from tests.benchmarks.jobs import (
    Keys,
    answer_bytes,
    open_on_plain,
    open_on_statekeeper,
    transitions,
)
from tests.benchmarks.load import Measured, UnexpectedAnswer, load
from tests.benchmarks.long_case import LongCase, measure_long_case
from tests.benchmarks.noop import ANSWER_BYTES_DEFAULT
from tests.benchmarks.servers import (
    CouldNotStart,
    Server,
    noop,
    plain,
    postgres,
    slow_disk,
    statekeeper,
)

CLIENTS = 64
JOBS = [f"BENCH-{number}" for number in range(CLIENTS)]
WARM_UP_SECONDS = 1.0
PAUSE_SECONDS = 0.5
"""Between two turns: a follower catches up in its own time, not in its neighbour's."""
REST_SECONDS_MAX = 60.0
"""How long it may take to do so."""
AT_REST = 0.2
"""The part of a core that nobody who has caught up uses."""

TITLES = {
    "noop": "Litestar, no-op",
    "statekeeper-sqlite": "Statekeeper, SQLite FULL",
    "statekeeper-postgres": "Statekeeper, PostgreSQL 18",
    "plain-sqlite": "plain, SQLite FULL",
    "plain-postgres": "plain, PostgreSQL 18",
}


class Contestant(msgspec.Struct, frozen=True):
    """A server with its jobs opened, ready for its turn."""

    name: str
    server: Server
    next_requests: Sequence[Callable[[], bytes]]


class Turn(msgspec.Struct, frozen=True):
    """One turn of one contestant."""

    measured: Measured
    service_seconds: float
    """What it computed meanwhile and while it caught up."""
    worker_seconds: float


class Row(msgspec.Struct, frozen=True):
    """What the rounds of one contestant came to; each figure is the median of the rounds."""

    name: str
    rate: float
    """Transitions per second."""
    rates: Sequence[float]
    """The same, round by round."""
    p50_ms: float
    p99_ms: float
    of_noop: float | None
    """Median of the ratios to the no-op of the same round; None where it did not run."""
    service_us: float
    """What one transition costs the service itself, in microseconds of one core."""
    worker_us: float
    """The same for its worker, until it has caught up; 0 where there is none."""
    memory_mib: float
    """PSS of the server and its children after the last round, without PostgreSQL's."""


class Report(msgspec.Struct, frozen=True):
    """Everything that one run says."""

    machine: Mapping[str, str]
    fsync_delay_ms: float
    rounds: int
    seconds: float
    rows: Sequence[Row]
    long_cases: Sequence[LongCase]


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(TITLES)), help="May be repeated.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 20))
@click.option("--seconds", default=4.0, show_default=True, type=click.FloatRange(0.5, 60))
@click.option(
    "--fsync-delay-ms",
    default=0.0,
    type=click.FloatRange(0, 100),
    help="Let every fsync take so much longer, as on a disk without a battery (needs cc).",
)
@click.option("--long-case", is_flag=True, help="Also read a case of 1,000 events, warm and cold.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, no table.")
def main(
    *,
    only: Sequence[str],
    rounds: int,
    seconds: float,
    fsync_delay_ms: float,
    long_case: bool,
    as_json: bool,
) -> None:
    """Measure durable transitions over HTTP against a no-op and a plain version.

    Example: python -m tests.benchmarks.service --only noop --only statekeeper-sqlite --seconds 2
    """
    # Told to end, it ends as by Ctrl-C, which event loops understand: everything is cleared away.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    names = [name for name in TITLES if not only or name in only]
    try:
        with tempfile.TemporaryDirectory(prefix="statekeeper-bench-") as temporary:
            folder = Path(temporary)
            folder.chmod(0o755)  # PostgreSQL runs as another user where this one is root
            if fsync_delay_ms:
                os.environ.update(slow_disk(folder, fsync_delay_ms))
            rows, long_cases = measure(names, folder, rounds, seconds, with_long_case=long_case)
    except (CouldNotStart, UnexpectedAnswer, TimeoutError) as exc:
        raise click.ClickException(str(exc) or type(exc).__name__) from exc
    report = Report(machine(), fsync_delay_ms, rounds, seconds, rows, long_cases)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=2))
    else:
        show(report, Console())


def measure(
    names: Sequence[str], folder: Path, rounds: int, seconds: float, *, with_long_case: bool
) -> tuple[list[Row], list[LongCase]]:
    """Start what is named, take turns, read the long cases alone, end everything."""
    with ExitStack() as storage:
        database = databases(names, folder, storage)
        with ExitStack() as running:
            contestants = started(names, folder, database, running)
            rows = take_turns(contestants, rounds, seconds)
        long_cases = [
            measure_long_case(name, folder, database[name])
            for name in names
            if with_long_case and name.startswith("statekeeper")
        ]
    return rows, long_cases


def databases(names: Sequence[str], folder: Path, storage: ExitStack) -> dict[str, str]:
    """Give each contestant that keeps something the URL of an empty database."""
    on_sqlite = [name for name in names if name.endswith("-sqlite")]
    on_postgres = [name for name in names if name.endswith("-postgres")]
    urls = {name: f"sqlite:///{folder}/{name}.db" for name in on_sqlite}
    if on_postgres:
        urls |= storage.enter_context(postgres(folder, on_postgres))
    return urls


def started(
    names: Sequence[str], folder: Path, database: Mapping[str, str], running: ExitStack
) -> list[Contestant]:
    """Start the contestants and open their jobs; the no-op answers as many bytes as Statekeeper."""
    contestants = {}
    bytes_answered = ANSWER_BYTES_DEFAULT
    for name in sorted(names, key=lambda name: name == "noop"):
        key = "none"
        if name == "noop":
            server = running.enter_context(noop(folder, bytes_answered))
        elif name.startswith("plain"):
            server = running.enter_context(plain(folder, name, database[name]))
            open_on_plain(server, JOBS)
        else:
            server = running.enter_context(statekeeper(folder, database[name]))
            keys = Keys.issued(database[name])
            open_on_statekeeper(server, keys, JOBS)
            bytes_answered = answer_bytes(server, keys, JOBS[0])
            key = keys.projects
        contestants[name] = Contestant(name, server, [transitions(job, key=key) for job in JOBS])
    return [contestants[name] for name in names]


def take_turns(contestants: Sequence[Contestant], rounds: int, seconds: float) -> list[Row]:
    """Measure round by round, after one round that nobody counts."""
    for contestant in contestants:
        turn(contestant, WARM_UP_SECONDS)
    turns = [{each.name: turn(each, seconds) for each in contestants} for _ in range(rounds)]
    return [row(each, turns) for each in contestants]


def turn(contestant: Contestant, seconds: float) -> Turn:
    """Let all clients of one contestant work, and its followers catch up."""
    server = contestant.server
    service, worker = server.cpu_seconds
    try:
        measured = uvloop.run(load(server.port, contestant.next_requests, seconds=seconds))
    except (UnexpectedAnswer, TimeoutError) as exc:
        raise UnexpectedAnswer(
            f"{TITLES[contestant.name]}: {str(exc) or 'answers stayed away'}"
        ) from exc
    service_then, worker_then = rest(server)
    return Turn(measured, service_then - service, worker_then - worker)


def rest(server: Server) -> tuple[float, float]:
    """Wait until a server and its children have caught up; what they have computed by then."""
    give_up_at = time.monotonic() + REST_SECONDS_MAX
    before = server.cpu_seconds
    while time.monotonic() < give_up_at:
        time.sleep(PAUSE_SECONDS)
        now = server.cpu_seconds
        if sum(now) - sum(before) < AT_REST * PAUSE_SECONDS:
            break
        before = now
    return before


def row(contestant: Contestant, rounds: Sequence[Mapping[str, Turn]]) -> Row:
    """Sum up the rounds of one contestant."""
    own = [turns[contestant.name] for turns in rounds]
    ratios = [
        turns[contestant.name].measured.rate / turns["noop"].measured.rate
        for turns in rounds
        if "noop" in turns
    ]
    return Row(
        name=contestant.name,
        rate=statistics.median(one.measured.rate for one in own),
        rates=[one.measured.rate for one in own],
        p50_ms=statistics.median(one.measured.p50_ms for one in own),
        p99_ms=statistics.median(one.measured.p99_ms for one in own),
        of_noop=statistics.median(ratios) if ratios else None,
        service_us=statistics.median(one.service_seconds / one.measured.answers for one in own)
        * 1e6,
        worker_us=statistics.median(one.worker_seconds / one.measured.answers for one in own) * 1e6,
        memory_mib=contestant.server.memory_mib,
    )


def machine() -> dict[str, str]:
    """Say what it was measured on."""
    return {
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }


def show(report: Report, console: Console) -> None:
    """Print the report for people."""
    said = ", ".join(f"{what} {value}" for what, value in report.machine.items())
    slow = f", {report.fsync_delay_ms:g} ms added per fsync" if report.fsync_delay_ms else ""
    console.print(
        table(
            f"Durable transitions, {CLIENTS} clients, {report.rounds} rounds of "
            f"{report.seconds:g} s in turns{slow}\n{said}",
            ["", "per second", "p50 ms", "p99 ms", "of no-op", "CPU µs", "worker µs", "MiB"],
            [shown(row) for row in report.rows],
        )
    )
    if report.long_cases:
        console.print(
            table(
                "Reading a case, one client, medians",
                ["", "events", "warm ms", "warm ratio", "cold ms"],
                [line for case in report.long_cases for line in shown_long(case)],
            )
        )


def shown(row: Row) -> list[str]:
    """Write a row of the table of rates."""
    return [
        TITLES[row.name],
        f"{row.rate:,.0f}",
        f"{row.p50_ms:.1f}",
        f"{row.p99_ms:.1f}",
        "" if row.of_noop is None else f"{row.of_noop:.2f}",
        f"{row.service_us:.0f}",
        f"{row.worker_us:.0f}" if row.worker_us else "",
        f"{row.memory_mib:.0f}",
    ]


def shown_long(case: LongCase) -> list[list[str]]:
    """Write the two lines of a long case."""
    short = [TITLES[case.name], f"{case.events_short:,}", f"{case.warm_short_ms:.2f}", "1.00"]
    long = ["", f"{case.events_long:,}", f"{case.warm_long_ms:.2f}", f"{case.warm_ratio:.2f}"]
    return [[*short, f"{case.cold_short_ms:.2f}"], [*long, f"{case.cold_long_ms:.2f}"]]


def table(title: str, columns: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    """Make a table whose figures stand to the right."""
    made = Table(title=title, title_justify="left")
    for column in columns:
        made.add_column(column, justify="right" if column else "left", no_wrap=True)
    for line in lines:
        made.add_row(*line)
    return made


if __name__ == "__main__":
    main()
