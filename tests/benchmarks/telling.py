"""How long it takes from a transition to the tool's 2xx, also while another tool is dead.

``python -m tests.benchmarks.telling --help``. Two services run at once and are measured in turns,
so that a noisy machine is noisy for both: in one of them every other tool is well, in the other one
tool is dead, and so many notices wait for it. Jobs are scheduled and unscheduled at a steady rate,
whatever the answers; each transition is one notice for the project tool, which listens on loopback.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
import httpx
import msgspec
from rich.console import Console
from rich.table import Table

from lifecycle.catalogue import load as load_definitions
from lifecycle.events import Asker, Entry, NoticeDue
from lifecycle.opening import open_journal
from tests.benchmarks.jobs import ASKS, Keys, bearer, open_on_statekeeper
from tests.benchmarks.load import percentile
from tests.benchmarks.servers import (
    ROOT,
    STATEKEEPER,
    UVICORN,
    Server,
    free_port,
    over,
    postgres,
    started,
)

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZg=="
JOBS_PER_RATE = 2
"""So many jobs for each transition a second: one is asked of each in so many seconds."""
SETTLE_SECONDS = 2.0
PAGE = 5000


class Contestant(msgspec.Struct, frozen=True):
    """A service, and the tool that it tells."""

    name: str
    service: Server
    receiver: Server
    key: str


class Row(msgspec.Struct, frozen=True):
    """What the rounds of one service at one rate came to."""

    name: str
    rate: int
    notices: int
    p50_ms: float
    p95_ms: float
    p95s_ms: Sequence[float]
    """Round by round; the figure above is their median."""


@click.command()
@click.option("--database", type=click.Choice(["sqlite", "postgres"]), default="sqlite")
@click.option("--rate", "rates", multiple=True, type=int, default=(50, 200), show_default=True)
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 20))
@click.option("--seconds", default=5.0, show_default=True, type=click.FloatRange(1, 60))
@click.option("--waiting", default=100_000, show_default=True, help="For the dead tool.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, no table.")
def main(
    *,
    database: str,
    rates: Sequence[int],
    rounds: int,
    seconds: float,
    waiting: int,
    as_json: bool,
) -> None:
    """Measure from a transition to the tool's 2xx.

    Example: python -m tests.benchmarks.telling --database sqlite --rate 50 --rounds 1
    """
    with tempfile.TemporaryDirectory(prefix="statekeeper-bench-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        with ExitStack() as running:
            names = ("well", "dead")
            if database == "postgres":
                urls = running.enter_context(postgres(folder, names))
            else:
                urls = {name: f"sqlite:///{folder}/{name}.db" for name in names}
            let_wait(urls["dead"], waiting)
            jobs = [f"BENCH-{number}" for number in range(max(rates) * JOBS_PER_RATE)]
            contestants = [
                running.enter_context(contestant(name, urls[name], folder, jobs)) for name in names
            ]
            rows = take_turns(contestants, rates, rounds, seconds, jobs)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(rows), indent=2))
    else:
        show(rows, Console(), waiting)


def let_wait(database: str, waiting: int) -> None:
    """Write so many notices for a tool that is dead."""
    lifecycles = load_definitions(ROOT / "definitions", {}).lifecycles
    journal = open_journal(database, lifecycles, None)
    try:
        for first in range(0, waiting, PAGE):
            numbers = range(first, min(first + PAGE, waiting))
            events = [journal.mapper.to_stored_event(due(number)) for number in numbers]
            journal.recorder.append(events, after=journal.recorder.last_position())
    finally:
        journal.stop()
        journal.recorder.close()


def due(number: int) -> Entry:
    """One of the notices that wait."""
    case = f"jobs/DEAD-{number}"
    event = NoticeDue(
        recorded_at=datetime.now(UTC),
        by=Asker(),
        id=f"ntc_dead_{number}",
        case=case,
        tool="accounting",
        type="case.word_changed",
        status_field="stage",
        word="Deposit paid",
        case_version=1,
    )
    return Entry(f"mirror:{case}/accounting", 1, event)


@contextmanager
def contestant(name: str, database: str, folder: Path, jobs: Sequence[str]) -> Iterator[Contestant]:
    """Run a service that tells a tool of its own; the books are told at an address nobody has."""
    with ExitStack() as running:
        port = free_port()
        command = [*UVICORN, "--port", str(port), "tests.benchmarks.receiver:app"]
        receiver = running.enter_context(started(command, port, folder / f"{name}-tool.log", {}))
        environment = {"PROJECTS_URL": f"{receiver.url}/hook", "PROJECTS_SECRET": SECRET}
        if name == "dead":
            environment |= {"ACCOUNTING_URL": f"http://127.0.0.1:{free_port()}/hook"}
            environment |= {"ACCOUNTING_SECRET": SECRET}
        port = free_port()
        command = [*STATEKEEPER, "serve", *over(database), "--port", str(port)]
        log = folder / f"{name}.log"
        service = running.enter_context(
            started(command, port, log, environment, ready="/health/ready")
        )
        keys = Keys.issued(database)
        open_on_statekeeper(service, keys, jobs)
        yield Contestant(name, service, receiver, keys.projects)


def take_turns(
    contestants: Sequence[Contestant],
    rates: Sequence[int],
    rounds: int,
    seconds: float,
    jobs: Sequence[str],
) -> list[Row]:
    """Measure round by round, after one round that nobody counts."""
    asked = {each.name: dict.fromkeys(jobs, 0) for each in contestants}
    ages: dict[tuple[int, str], list[list[float]]] = {}
    for number in range(rounds + 1):
        for rate in rates:
            for each in contestants:
                took = turn(each, rate, seconds if number else 1.0, asked[each.name])
                if number:
                    ages.setdefault((rate, each.name), []).append(took)
    return [row(name, rate, measured) for (rate, name), measured in ages.items()]


def turn(each: Contestant, rate: int, seconds: float, asked: dict[str, int]) -> list[float]:
    """Make transitions at a rate; gives the ages of the notices that the tool took, sorted."""
    while waiting(each) or ages_since(each, SETTLE_SECONDS):
        continue  # what was due before is still being told
    made = asyncio.run(transitions(each, rate, seconds, asked))
    ages: list[float] = []
    give_up_at = time.monotonic() + 30
    while len(ages) < made and time.monotonic() < give_up_at:
        ages += ages_since(each, 0.1)
    if len(ages) != made:
        raise click.ClickException(f"{each.name}: {made} transitions, {len(ages)} notices")
    return sorted(ages)


def waiting(each: Contestant) -> bool:
    """Whether the tool that is well waits for something, or is yet to be told anything."""
    said = httpx.get(f"{each.service.url}/metrics").text
    return 'statekeeper_notices{state="waiting",tool="projects"} 0.0' not in said


def ages_since(each: Contestant, seconds: float) -> list[float]:
    """Wait a little; answers the ages of the notices that came, since it was asked last."""
    time.sleep(seconds)
    ages: list[float] = httpx.get(f"{each.receiver.url}/ages").json()
    return ages


async def transitions(each: Contestant, rate: int, seconds: float, asked: dict[str, int]) -> int:
    """Ask for the next transition of one job after another, on the beat; answers how many."""
    jobs, tasks = list(asked)[: rate * JOBS_PER_RATE], []
    in_turn = {job: asyncio.Lock() for job in jobs}
    limits = httpx.Limits(max_connections=64)
    async with httpx.AsyncClient(
        base_url=each.service.url, headers=bearer(each.key), limits=limits, timeout=30
    ) as http:

        async def asks(job: str) -> httpx.Response:
            async with in_turn[job]:  # a service that is late is asked nothing out of turn
                ask = ASKS[asked[job] % len(ASKS)]
                asked[job] += 1
                return await http.post(f"/v1/jobs/{job}/transitions", json=ask)

        began = time.monotonic()
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            tasks.append(asyncio.create_task(asks(jobs[number % len(jobs)])))
        answers = await asyncio.gather(*tasks)
    for answer in answers:
        answer.raise_for_status()
    return len(answers)


def row(name: str, rate: int, rounds: Sequence[Sequence[float]]) -> Row:
    """Sum up the rounds of one service at one rate."""
    p95s = [percentile(ages, 95) for ages in rounds]
    return Row(
        name=name,
        rate=rate,
        notices=sum(map(len, rounds)),
        p50_ms=statistics.median(percentile(ages, 50) for ages in rounds),
        p95_ms=statistics.median(p95s),
        p95s_ms=p95s,
    )


def show(rows: Sequence[Row], console: Console, waiting: int) -> None:
    """Print the figures for people."""
    titles: Mapping[str, str] = {
        "well": "all tools well",
        "dead": f"one tool dead, {waiting:,} notices wait for it",
    }
    made = Table(title="From transition to the tool's 2xx", title_justify="left")
    for column in ("", "per second", "notices", "p50 ms", "p95 ms", "round by round"):
        made.add_column(column, justify="right" if column else "left", no_wrap=True)
    for one in rows:
        rounds = " ".join(f"{value:.0f}" for value in one.p95s_ms)
        figures = f"{one.rate}", f"{one.notices:,}", f"{one.p50_ms:.0f}", f"{one.p95_ms:.0f}"
        made.add_row(titles[one.name], *figures, rounds)
    console.print(made)


if __name__ == "__main__":
    main()
