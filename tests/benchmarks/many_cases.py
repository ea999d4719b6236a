"""What a million cases cost whoever starts a service over them, and whoever moves one of them.

`python -m tests.benchmarks.many_cases --cases 1000000` writes a log of so many jobs and builds its
read models, starts a service over it, and makes transitions there and on a service over a hundred
jobs, in turns. With `--over URL` it takes a log that is there, its read models built.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil

from projections.store import open_store
from projections.worker import rebuilt
from tests.benchmarks.jobs import ASKS, Keys, accepted, bearer, open_on_statekeeper
from tests.benchmarks.rebuild import opened, write
from tests.benchmarks.servers import Server, statekeeper
from tests.databases import running_postgres

FEW = 100
ROUNDS = 20
TOGETHER = 50
"""Transitions of one service before it is the other's turn."""
STARTS = 3


def fill(database: str, cases: int) -> None:
    """Write a log of so many jobs, and its read models."""
    journal = opened(database)
    started = time.perf_counter()
    events = write(journal, cases)
    print(f"  {events:,} events written in {time.perf_counter() - started:.0f} s")
    store = open_store(database, journal.lifecycles)
    started = time.perf_counter()
    for _ in rebuilt(journal, store):
        pass
    took = time.perf_counter() - started
    print(f"  read models built in {took:.0f} s, {events / took:,.0f} events/s")
    store.close()
    journal.stop()
    journal.recorder.close()


@contextmanager
def timed(name: str, folder: Path, database: str) -> Iterator[Server]:
    """Start a service, and say how long it took until it was ready."""
    folder.mkdir(exist_ok=True)
    began = time.perf_counter()
    with statekeeper(folder, database) as server:
        took = time.perf_counter() - began
        process = psutil.Process(server.pid)
        family = [process, *process.children(recursive=True)]
        busy = sum(sum(one.cpu_times()[:2]) for one in family)
        print(f"  {name}: ready after {took:.2f} s, {busy:.2f} s of them computing")
        yield server


def mover(server: Server, key: str, job: str) -> Callable[[], None]:
    """Give what makes the next transition of a job, round and round."""
    http = httpx.Client(base_url=server.url, headers=bearer(key), timeout=30)
    turn = 0

    def move() -> None:
        nonlocal turn
        accepted(http.post(f"/v1/jobs/{job}/transitions", json=ASKS[turn % len(ASKS)]))
        turn += 1

    return move


def measure(name: str, cases: int, many: str, few: str, folder: Path) -> None:
    """Start over both, and move a job of each in turns."""
    with ExitStack() as running:
        for _ in range(STARTS - 1):
            with timed(f"{name}, {cases:,} cases", folder / "many", many):
                pass
        services = {
            cases: (timed(f"{name}, {cases:,} cases", folder / "many", many), many),
            FEW: (timed(f"{name}, {FEW} cases", folder / "few", few), few),
        }
        moves: dict[int, Callable[[], None]] = {}
        for number, (service, database) in services.items():
            server, keys = running.enter_context(service), Keys.issued(database)
            job = f"B-{time.time_ns()}"
            open_on_statekeeper(server, keys, [job])
            moves[number] = mover(server, keys.projects, job)
        took: dict[int, list[float]] = {cases: [], FEW: []}
        for _ in range(ROUNDS):
            for number, move in moves.items():
                for _ in range(TOGETHER):
                    started = time.perf_counter()
                    move()
                    took[number].append((time.perf_counter() - started) * 1000)
    middle = {number: statistics.median(times) for number, times in took.items()}
    for number, times in took.items():
        cuts = statistics.quantiles(times, n=100)
        print(f"  a transition at {number:,} cases: p50 {cuts[49]:.2f}, p95 {cuts[94]:.2f} ms")
    print(f"  {name}: {middle[cases] / middle[FEW]:.2f} times as much")


def main() -> None:
    """Measure on both databases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    parser.add_argument("--over", metavar="URL")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place)
        pairs: dict[str, tuple[str, str]] = {}
        if given.over:
            pairs["sqlite"] = given.over, f"sqlite:///{folder}/few.db"
        elif given.only != "postgresql":
            pairs["sqlite"] = f"sqlite:///{folder}/many.db", f"sqlite:///{folder}/few.db"
        if not given.over and given.only != "sqlite":
            server = stack.enter_context(running_postgres())
            pairs["postgresql"] = server.new(), server.new()
        for name, (many, few) in pairs.items():
            print(f"{name}, {given.cases:,} cases")
            if not given.over:
                fill(many, given.cases)
            fill(few, FEW)
            measure(name, given.cases, many, few, folder)


if __name__ == "__main__":
    main()
