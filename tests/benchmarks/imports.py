"""How fast an import goes, and what people notice of it while it does.

``python -m tests.benchmarks.imports --help``. First `statekeeper import` into an empty log, and the
same file again; then, against a service, the same load of people's transitions alone and beside an
import over HTTP, in turns.
"""

import itertools
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
import httpx
import msgspec
import uvloop

from tests.benchmarks.jobs import Keys, bearer, open_on_statekeeper, transitions
from tests.benchmarks.load import Measured, load
from tests.benchmarks.servers import ROOT, STATEKEEPER, Server, over, postgres, statekeeper

LINES_OF_A_JOB = 5
COMMAND_SECONDS_MAX = 600
WIDE = {"fields": {"scope": "Install a new oven. " * 50}}
"""What stands in lines beside people: wide ones, so that few wait in the sockets at the end."""
PAUSE_SECONDS = 0.5
SECONDS_MAX = 60.0


class Row(msgspec.Struct, frozen=True):
    """What one database came to."""

    name: str
    lines: int
    per_second: float
    """Lines of `statekeeper import` into an empty log."""
    again_per_second: float
    """The same file once more, which changes nothing."""
    people: int
    """Clients that ask for transitions, one after the other each."""
    p50_alone_ms: float
    p50_beside_ms: float
    p99_alone_ms: float
    p99_beside_ms: float
    rate_alone: float
    rate_beside: float


@click.command()
@click.option("--lines", default=50_000, show_default=True, type=click.IntRange(5, 10_000_000))
@click.option("--only", type=click.Choice(["sqlite", "postgres"]))
@click.option("--people", default=8, show_default=True, type=click.IntRange(1, 64))
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 20))
@click.option("--seconds", default=3.0, show_default=True, type=click.FloatRange(0.5, 60))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def main(
    *, lines: int, only: str | None, people: int, rounds: int, seconds: float, as_json: bool
) -> None:
    """Measure an import, and people's asks alone and beside one.

    Example: python -m tests.benchmarks.imports --only sqlite --lines 200000
    """
    with tempfile.TemporaryDirectory(prefix="statekeeper-bench-") as temporary, ExitStack() as held:
        folder = Path(temporary)
        folder.chmod(0o755)  # PostgreSQL runs as another user where this one is root
        names = [name for name in ("sqlite", "postgres") if only in {None, name}]
        urls = {f"sqlite-{use}": f"sqlite:///{folder}/{use}.db" for use in ("import", "people")}
        if "postgres" in names:
            wanted = ["postgres-import", "postgres-people"]
            urls |= held.enter_context(postgres(folder, wanted))
        rows = [
            measured(name, folder, urls[f"{name}-import"], urls[f"{name}-people"],
                     lines, people, rounds, seconds)
            for name in names
        ]  # fmt: skip
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(rows), indent=2))
        return
    for row in rows:
        click.echo(
            f"{row.name}: {row.per_second:,.0f} lines/s, again {row.again_per_second:,.0f}\n"
            f"  {row.people} people alone:  {row.rate_alone:,.0f}/s,"
            f" p50 {row.p50_alone_ms:.1f} ms, p99 {row.p99_alone_ms:.1f} ms\n"
            f"  beside an import: {row.rate_beside:,.0f}/s,"
            f" p50 {row.p50_beside_ms:.1f} ms, p99 {row.p99_beside_ms:.1f} ms"
        )


def measured(
    name: str,
    folder: Path,
    empty: str,
    served: str,
    lines: int,
    people: int,
    rounds: int,
    seconds: float,
) -> Row:
    """Import into one database, then let people work on the other."""
    file = folder / f"{name}.ndjson"
    write_jobs(file, lines)
    first, again = (command_import(empty, file) for _ in range(2))
    with statekeeper(folder, served) as server:
        alone, beside = take_turns(server, served, people, rounds, seconds)
    return Row(
        name=name,
        lines=lines,
        per_second=first,
        again_per_second=again,
        people=people,
        p50_alone_ms=statistics.median(one.p50_ms for one in alone),
        p50_beside_ms=statistics.median(one.p50_ms for one in beside),
        p99_alone_ms=statistics.median(one.p99_ms for one in alone),
        p99_beside_ms=statistics.median(one.p99_ms for one in beside),
        rate_alone=statistics.median(one.rate for one in alone),
        rate_beside=statistics.median(one.rate for one in beside),
    )


def write_jobs(file: Path, lines: int) -> None:
    """Write the lines of jobs from their quotation to their invoice."""
    with file.open("wb") as out:
        for number in range(lines // LINES_OF_A_JOB):
            for line in job_lines(f"H-{number}"):
                out.write(msgspec.json.encode(line) + b"\n")


def job_lines(name: str) -> Iterator[dict[str, object]]:
    """What happened to a job, by the tools whose word counts."""
    yield {
        "do": "open", "id": name, "by": "crm", "occurred_at": "2026-03-02T09:00:00Z",
        "fields": {"customer_name": "Harbour Bakery", "email": "office@harbour.example",
                   "scope": "Install a new oven"},
        "references": {"crm": name},
    }  # fmt: skip
    moves: Sequence[tuple[str, str, dict[str, str]]] = (
        ("confirm_deposit", "accounting",
         {"deposit_due": "500.00 USD", "deposit_paid": "500.00 USD"}),
        ("schedule", "projects", {"scheduled_for": "2026-03-09"}),
        ("complete", "projects", {}),
        ("invoice", "accounting", {"invoice_no": f"INV-{name}"}),
    )  # fmt: skip
    for day, (transition, by, fields) in enumerate(moves, 3):
        yield {
            "do": "transition", "id": name, "transition": transition, "by": by, "fields": fields,
            "occurred_at": f"2026-03-{day:02}T10:00:00Z",
        }  # fmt: skip


def command_import(database: str, file: Path) -> float:
    """Import a file by the command line; answers its lines per second."""
    words = ["import", "jobs", str(file), "--as", "Operator", "--json", *over(database)]
    done = subprocess.run(
        [*STATEKEEPER, *words],
        cwd=ROOT,
        capture_output=True,
        timeout=COMMAND_SECONDS_MAX,
        check=True,
    )
    return float(msgspec.json.decode(done.stdout)["per_second"])


def take_turns(
    server: Server, database: str, people: int, rounds: int, seconds: float
) -> tuple[list[Measured], list[Measured]]:
    """Measure people alone and beside an import, round by round."""
    keys = Keys.issued(database)
    jobs = [f"BENCH-{number}" for number in range(people)]
    open_on_statekeeper(server, keys, jobs)
    asks = [transitions(job, key=keys.projects) for job in jobs]
    uvloop.run(load(server.port, asks, seconds=1.0))
    alone, beside = list[Measured](), list[Measured]()
    for number in range(rounds):
        time.sleep(PAUSE_SECONDS)
        alone.append(uvloop.run(load(server.port, asks, seconds=seconds)))
        with importing(server, keys, f"B{number}"):
            time.sleep(PAUSE_SECONDS)
            beside.append(uvloop.run(load(server.port, asks, seconds=seconds)))
    return alone, beside


@contextmanager
def importing(server: Server, keys: Keys, prefix: str) -> Iterator[None]:
    """Import jobs over HTTP, as fast as they are taken, for the time of the block."""
    stop = threading.Event()

    def lines() -> Iterator[bytes]:
        for number in itertools.count():
            if stop.is_set():
                return
            yield msgspec.json.encode({"do": "open", "id": f"{prefix}-{number}", **WIDE}) + b"\n"

    def post() -> None:
        headers = {**bearer(keys.crm), "Content-Type": "application/x-ndjson"}
        address = f"{server.url}/v1/jobs/import"
        httpx.post(address, content=lines(), headers=headers, timeout=SECONDS_MAX)

    client = threading.Thread(target=post)
    client.start()
    try:
        yield
    finally:
        stop.set()
        client.join()


if __name__ == "__main__":
    main()
