"""How soon the first byte of a page of staff comes, over many cases, and how heavy the pages are.

`python -m tests.benchmarks.pages --cases 100000` writes a log of jobs straight into the recorder,
starts the service over it, and opens pages as somebody who is signed in, one at a time.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import httpx

from projections.store import open_store
from projections.worker import rebuilt
from tests.benchmarks.rebuild import opened, write
from tests.databases import running_postgres
from tests.pages.browsing import visitor
from tests.running import running_service

TURNS = 60
PAGES = (
    "/?of=jobs",
    "/",
    "/jobs",
    "/jobs?state=scheduled",
    "/jobs?overdue=true",
    "/jobs?q=harbour+bak",
    "/jobs?q=J-99",
    "/jobs?says=crm:closedwon",
    "/jobs?changed=month",
    "/jobs/J-77",
    "/jobs/J-77/act/correct?state=cancelled",
    "/drift",
    "/messages?outcome=",
    "/notices?state=waiting",
    "/lifecycles/field_service",
    "/health/live",
)
"""The last is what any answer costs."""


def prepared(database: str, cases: int) -> None:
    """Write a log, and its read models."""
    journal = opened(database)
    store = open_store(database, journal.lifecycles)
    try:
        events = write(journal, cases)
        for _ in rebuilt(journal, store):
            pass
        print(f"{database.partition(':')[0]}: {cases:,} cases, {events:,} events")
    finally:
        store.close()
        journal.stop()
        journal.recorder.close()


def first_byte_ms(client: httpx.Client, path: str) -> float:
    """Ask for a page; how long its head took to come."""
    started = time.perf_counter()
    with client.stream("GET", path) as answer:
        took = time.perf_counter() - started
        answer.read()
    assert answer.status_code == httpx.codes.OK, f"{path}: {answer.status_code} {answer.text[:300]}"
    return took * 1000


def measure(database: str, cases: int) -> None:
    """Open every page in turns."""
    prepared(database, cases)
    with (
        tempfile.TemporaryDirectory() as folder,
        running_service(database, Path(folder)) as service,
        visitor(service, service.keys["staff"]) as client,
    ):
        client.headers["accept-encoding"] = "gzip"
        for path in PAGES:
            first_byte_ms(client, path)
        took: dict[str, list[float]] = {path: [] for path in PAGES}
        for _ in range(TURNS):
            for path in PAGES:
                took[path].append(first_byte_ms(client, path))
        for path, times in took.items():
            p95 = statistics.quantiles(times, n=20)[-1]
            weight = int(client.get(path).headers["content-length"])
            print(
                f"  {path:<28} p50 {statistics.median(times):6.1f} ms   p95 {p95:6.1f} ms"
                f"   {weight / 1000:5.1f} kB"
            )


def main() -> None:
    """Measure on both databases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    cases = parser.parse_args().cases
    with tempfile.TemporaryDirectory() as folder:
        measure(f"sqlite:///{folder}/log.db", cases)
    with running_postgres() as server:
        measure(server.new(), cases)


if __name__ == "__main__":
    main()
