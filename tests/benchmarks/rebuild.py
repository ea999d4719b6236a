"""How fast the read models are built anew, and what the lists over them cost.

`python -m tests.benchmarks.rebuild --cases 100000` writes a log of jobs past the journal, straight
into the recorder, and rebuilds all read models from it, on both databases.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from eventsourcing.persistence import StoredEvent

from lifecycle.catalogue import load
from lifecycle.events import (
    Asker,
    CaseOpened,
    Entry,
    Event,
    FieldsSet,
    ReferenceHeld,
    TransitionMade,
)
from lifecycle.journal import Journal
from lifecycle.model import Lifecycle
from lifecycle.opening import open_journal
from projections.store import open_store
from projections.worker import rebuilt
from tests.databases import running_postgres

ROOT = Path(__file__).resolve().parents[2]
APPENDED_TOGETHER = 2000
BEGAN = datetime(2024, 1, 1, 8, tzinfo=UTC)
FIRST = (
    "Harbour",
    "Garden",
    "Station",
    "Corner",
    "Village",
    "Old",
    "North",
    "Lake",
    "Mill",
    "River",
    "Castle",
    "Forest",
    "Park",
)
TRADES = (
    "Bakery",
    "Dental",
    "Cafe",
    "School",
    "Garage",
    "Hotel",
    "Library",
    "Studio",
    "Farm",
    "Theatre",
    "Clinic",
    "Brewery",
)
SCOPES = (
    "boiler",
    "solar",
    "heating",
    "roof",
    "kitchen",
    "bathroom",
    "wiring",
    "cooling",
    "windows",
    "drainage",
)
WALK = (
    ("confirm_deposit", "deposit_confirmed"),
    ("schedule", "scheduled"),
    ("complete", "completed"),
    ("invoice", "invoiced"),
)


def jobs(number: int, lifecycle: Lifecycle, seed: int = 1) -> Iterator[Sequence[Entry]]:
    """Tell of so many jobs, 64 of them going on at a time; a list of entries for each step."""
    random = Random(seed)  # noqa: S311 - the same jobs every time
    going = list[Iterator[Sequence[Entry]]]()
    begun = 0
    while going or begun < number:
        while len(going) < 64 and begun < number:
            going.append(_job(begun, lifecycle, random))
            begun += 1
        job = random.choice(going)
        step = next(job, None)
        if step is None:
            going.remove(job)
        else:
            yield step


def _job(number: int, lifecycle: Lifecycle, random: Random) -> Iterator[Sequence[Entry]]:
    case_id, deal = f"J-{number}", str(9_000_000 + number)
    name = f"{random.choice(FIRST)} {random.choice(TRADES)} {random.randrange(2000)}"
    stream, now, version = f"case:jobs/{case_id}", BEGAN + timedelta(seconds=60 * number), 0
    by = Asker(tool="crm", key="k")

    def entry(event: Event) -> Entry:
        nonlocal version, now
        version += 1
        now += timedelta(seconds=random.randrange(1, 3600))
        return Entry(stream, version, event)

    opened = CaseOpened(
        recorded_at=now,
        time=now,
        by=by,
        lifecycle=lifecycle.name,
        definition=lifecycle.mark,
        to=("quoted",),
        references={"crm": (deal,)},
        fields={"scope": f"{random.choice(SCOPES)} {random.choice(SCOPES)}"},
        personal={"customer_name": name, "email": f"office{number}@{name.split()[1]}.example"},
        rule="jobs are opened by crm",
    )
    held = ReferenceHeld(recorded_at=now, by=by, case=f"jobs/{case_id}")
    yield [entry(opened), Entry(f"reference:crm/deal/{deal}", 1, held)]
    for field in ("deposit_due", "deposit_paid"):
        money = FieldsSet(recorded_at=now, time=now, by=by, fields={field: "500.00 USD"})
        yield [entry(money)]
    left = "quoted"
    for transition, to in WALK[: random.randrange(len(WALK) + 1)]:
        fields = {"scheduled_for": "2026-05-11"} if transition == "schedule" else {}
        moved = TransitionMade(
            recorded_at=now,
            time=now,
            by=by,
            transition=transition,
            left=(left,),
            to=(to,),
            definition=lifecycle.mark,
            rule=f"{to!r} belongs to crm",
            fields=fields,
        )
        left = to
        yield [entry(moved)]


def write(journal: Journal, cases: int) -> int:
    """Append so many jobs; answers how many events that was."""
    mapper, recorder = journal.mapper, journal.recorder
    lifecycle = journal.lifecycles["jobs"]
    last, written = recorder.last_position(), 0
    waiting: list[StoredEvent] = []

    def append() -> None:
        nonlocal last, written
        positions = recorder.append(waiting, after=last, keys=dict(mapper.vault.made()))
        assert positions is not None, "somebody else writes"
        mapper.vault.settle(stored=True)
        last, written = positions[-1], written + len(waiting)
        waiting.clear()

    for entries in jobs(cases, lifecycle):
        waiting += [mapper.to_stored_event(entry) for entry in entries]
        if len(waiting) >= APPENDED_TOGETHER:
            append()
    if waiting:
        append()
    return written


def opened(database: str) -> Journal:
    """Open a log for the shipped definitions."""
    return open_journal(database, load(ROOT / "definitions", {}).lifecycles, None)


def measure(database: str, cases: int) -> None:
    """Write a log, and rebuild from it."""
    name = database.partition(":")[0]
    journal = opened(database)
    started = time.perf_counter()
    events = write(journal, cases)
    took = time.perf_counter() - started
    print(f"{name}: {cases:,} cases, {events:,} events written in {took:.1f} s")
    store = open_store(database, journal.lifecycles)
    started = time.perf_counter()
    for _ in rebuilt(journal, store):
        pass
    took = time.perf_counter() - started
    print(f"{name}: rebuilt in {took:.1f} s, {events / took:,.0f} events/s")
    store.close()
    journal.stop()
    journal.recorder.close()


def main() -> None:
    """Measure on both databases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000)
    cases = parser.parse_args().cases
    with tempfile.TemporaryDirectory() as folder:
        measure(f"sqlite:///{folder}/log.db", cases)
    with running_postgres() as server:
        measure(server.new(), cases)


if __name__ == "__main__":
    main()
