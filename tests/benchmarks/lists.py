"""What a page of a list costs over many cases.

`python -m tests.benchmarks.lists --cases 1000000` fills the read models through the follower, out
of a log that is told and never written, and then reads pages as the service does, in turns. With
`--over URL` it reads those that are there, of as many jobs as `tests.benchmarks.rebuild` wrote.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random

from eventsourcing.persistence import Notification

from lifecycle.catalogue import load
from lifecycle.mapper import EntryMapper
from lifecycle.model import Lifecycle
from lifecycle.vault import Vault
from projections.finding import Key, configurations_with, page
from projections.follower import Follower
from projections.sieve import CasesWanted
from projections.store import Store, marks, open_store
from projections.views import case_view
from projections.worker import models
from tests.benchmarks.rebuild import BEGAN, ROOT, jobs
from tests.databases import running_postgres

PAGES = 300
LIMIT = 50


class ToldLog:
    """A log of jobs that is made up while it is read, once, from its beginning."""

    def __init__(self, cases: int, lifecycle: Lifecycle) -> None:
        """Keep keys in memory: the values are sealed as in any log."""
        self._keys: dict[str, bytes] = {}
        vault = Vault(
            os.urandom(32), lambda names: {n: self._keys[n] for n in names if n in self._keys}
        )
        self.mapper = EntryMapper(vault)
        self._events = self._told(jobs(cases, lifecycle))
        self.events = 0

    def tail(self, after: int, limit: int) -> Sequence[Notification]:
        """What follows, if it is asked for in order."""
        assert after == self.events, (after, self.events)
        batch = list(islice(self._events, limit))
        vault = self.mapper.vault
        self._keys = dict(vault.made())
        vault.settle(stored=True)
        self.events += len(batch)
        return batch

    def _told(self, steps: Iterator[Sequence[object]]) -> Iterator[Notification]:
        position = 0
        for entries in steps:
            for entry in entries:
                position += 1
                one = self.mapper.to_stored_event(entry)  # type: ignore[arg-type]  # checked when it is built
                yield Notification(
                    one.originator_id, one.originator_version, one.topic, one.state, position
                )


def fill(store: Store, cases: int, lifecycles: dict[str, Lifecycle]) -> None:
    """Have the follower write so many cases."""
    told = ToldLog(cases, lifecycles["jobs"])
    follower = Follower(
        told,  # type: ignore[arg-type]  # the follower asks nothing else of it
        told.mapper,
        store,
        models(lifecycles),
        marks(lifecycles),
    )
    started = time.perf_counter()
    while follower.step():
        pass
    took = time.perf_counter() - started
    print(f"  {told.events:,} events followed, {told.events / took:,.0f}/s (telling them included)")


def asked(cases: int, lifecycle: Lifecycle, random: Random) -> dict[str, Callable[[], CasesWanted]]:
    """Every way of asking for a page."""
    visible = lifecycle.personal

    def wanted(**more: object) -> Callable[[], CasesWanted]:
        return lambda: CasesWanted(collection="jobs", visible=visible, **more)  # type: ignore[arg-type]  # checked when it is built

    def words(of: Callable[[], tuple[str, ...]]) -> Callable[[], CasesWanted]:
        return lambda: CasesWanted(collection="jobs", visible=visible, words=of())

    def number() -> str:
        return str(random.randrange(cases))

    return {
        "all": wanted(),
        "state": lambda: CasesWanted(
            collection="jobs", state=random.choice(["quoted", "completed"])
        ),
        "tool+word": wanted(
            configurations=configurations_with(lifecycle, "crm", "closedwon"),
        ),
        "updated_since": wanted(updated_since=BEGAN + timedelta(seconds=30 * cases)),
        "overdue": wanted(overdue_at=datetime(2030, 1, 1, tzinfo=UTC)),
        "overdue, in a state": wanted(
            overdue_at=datetime(2030, 1, 1, tzinfo=UTC), state="completed"
        ),
        "q: an id": words(lambda: ("j", number())),
        "q: a reference": words(lambda: (str(9_000_000 + random.randrange(cases)),)),
        "q: a name": words(lambda: ("harbour", "bakery", str(random.randrange(2000)))),
        "q: a name, two digits": words(
            lambda: ("harbour", "bakery", str(random.randrange(10, 99)))
        ),
        "q: two that never meet": words(lambda: ("harbour", "garden")),
        "q: a short number": words(lambda: (str(random.randrange(10, 1000)),)),
        "q and state, a number": lambda: CasesWanted(
            collection="jobs",
            state="quoted",
            visible=visible,
            words=(str(random.randrange(10, 1000)),),
        ),
        "q: a rare word": words(lambda: (f"office{number()}",)),
        "q: a common word": words(lambda: ("bakery",)),
        "q: a common beginning": words(lambda: ("ba",)),
        "q: a long beginning": words(lambda: ("offic",)),
        "q: one letter": words(lambda: ("j",)),
        "q and state": lambda: CasesWanted(
            collection="jobs", state="scheduled", visible=visible, words=("lake", "th")
        ),
        "q and state, never": lambda: CasesWanted(
            collection="jobs", state="quoted", visible=visible, words=("lake", "garden")
        ),
        "q and updated_since": wanted(
            updated_since=BEGAN + timedelta(seconds=30 * cases), words=("harbour", "15")
        ),
        "q and overdue, rare": lambda: CasesWanted(
            collection="jobs",
            overdue_at=datetime(2030, 1, 1, tzinfo=UTC),
            visible=visible,
            words=("harbour", "bakery", str(random.randrange(2000))),
        ),
    }


def measure(name: str, database: str, cases: int, *, filled: bool = False) -> None:
    """Fill, then read pages of every kind in turns, half of them from the middle of the list."""
    lifecycles = dict(load(ROOT / "definitions", {}).lifecycles)
    lifecycle, random = lifecycles["jobs"], Random(2)  # noqa: S311 - the same pages every time
    print(f"{name}, {cases:,} cases")
    store = open_store(database, lifecycles)
    if not filled:
        fill(store, cases, lifecycles)
        store.finish()
    took: dict[str, list[float]] = {}
    found: dict[str, int] = {}
    now = datetime.now(UTC)
    for turn in range(PAGES):
        for kind, wanted in asked(cases, lifecycle, random).items():
            list_wanted = wanted()
            after = None
            if turn % 2 and not kind.startswith(("updated", "overdue")):
                after = Key(opened=random.randrange(cases, cases * 6))
            started = time.perf_counter()
            with store.reading() as session:
                got = page(session, list_wanted, after, LIMIT)
            for row in got.rows:
                case_view(row.case, lifecycle, now)
            took.setdefault(kind, []).append((time.perf_counter() - started) * 1000)
            found[kind] = found.get(kind, 0) + len(got.rows)
    for kind, times in took.items():
        cuts = statistics.quantiles(times, n=100)
        print(
            f"  {kind:24} p50 {cuts[49]:7.2f}  p95 {cuts[94]:7.2f}  p99 {cuts[98]:7.2f} ms"
            f"  ({found[kind] / PAGES:.1f} cases a page)"
        )
    store.close()


def main() -> None:
    """Measure on both databases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=50_000)
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    parser.add_argument("--over", metavar="URL")
    given = parser.parse_args()
    if given.over:
        measure(given.over.partition(":")[0], given.over, given.cases, filled=True)
        return
    if given.only != "postgresql":
        with tempfile.TemporaryDirectory() as folder:
            measure("sqlite", f"sqlite:///{folder}/log.db", given.cases)
    if given.only != "sqlite":
        with running_postgres() as server:
            measure("postgresql", server.new(), given.cases)


if __name__ == "__main__":
    main()
