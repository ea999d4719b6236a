"""Every case judged, side by side where that pays; jobs and findings put away in files."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

from msgspec import Struct, field

from api.audit.exports import Progress
from api.audit.findings import Finding, Held, Job, Source
from api.audit.grouping import Clusters
from api.audit.judging import Judge
from api.audit.processes import side_by_side
from api.audit.records import Record
from api.audit.shelf import Filling, Shelf
from lifecycle.comparable import Money
from lifecycle.declaration import Declaration
from lifecycle.model import Lifecycle

JUDGING: Final = "judging jobs"
APART_FROM_CASES: Final = 50_000
"""From so many cases on, several processes pay."""
PROCESSES_MAX: Final = 8
TOLD_EVERY: Final = 5_000
EXAMPLES: Final = 3
"""Rows that stand for all jobs that are left out for one reason."""


class Evidence(Struct, frozen=True):
    """What the cases are made of, as every process that judges them finds it."""

    records: tuple[Path, ...]
    """The files of a `Shelf` of `Record`."""
    clusters: Clusters
    doubts: Mapping[int, frozenset[str]]
    """Place of a record → the tools in which its other half may stand, unconfirmed."""
    files: Mapping[str, str]
    """Tool → what its export is called."""
    at: datetime


class Tally(Struct):
    """What is counted while judging."""

    jobs: int = 0
    in_several: int = 0
    agreed: int = 0
    both: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Two tools → jobs that both know."""
    apart: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Two tools → jobs on whose state they disagree."""
    held: Counter[Held] = field(default_factory=Counter)
    held_money: Counter[tuple[Held, str]] = field(default_factory=Counter)
    """(reason, currency) → what stands on the jobs left out for it."""
    examples: dict[Held, list[Source]] = {}
    moments: tuple[datetime, datetime] | None = None
    """When any record says that it changed, at first and at last."""

    def take(self, job: Job, tools: Sequence[str]) -> None:
        """Count one job."""
        self.jobs += 1
        self.in_several += len({said.source.tool for said in job.said}) > 1
        if job.held:
            self.held[job.held] += 1
            if job.money is not None:
                self.held_money[job.held, job.currency] += job.money  # type: ignore[assignment]  # a Counter of Decimals
            examples = self.examples.setdefault(job.held, [])
            if len(examples) < EXAMPLES:
                examples.append(job.said[0].source)
        else:
            self.agreed += 1
        for said in job.said:
            if said.since:
                self._span(said.since, said.since)
        self._compare(job, tools)

    def add(self, other: "Tally") -> None:
        """Add what another process counted."""
        self.jobs += other.jobs
        self.in_several += other.in_several
        self.agreed += other.agreed
        self.both += other.both
        self.apart += other.apart
        self.held += other.held
        self.held_money.update(other.held_money)
        for held, examples in other.examples.items():
            there = self.examples.setdefault(held, [])
            there += examples[: EXAMPLES - len(there)]
        if other.moments:
            self._span(*other.moments)

    def _span(self, first: datetime, last: datetime) -> None:
        if self.moments is None:
            self.moments = first, last
        elif first < self.moments[0] or last > self.moments[1]:
            self.moments = min(first, self.moments[0]), max(last, self.moments[1])

    def _compare(self, job: Job, tools: Sequence[str]) -> None:
        states: dict[str, frozenset[str]] = {}
        for said in job.said:
            tool, mine = said.source.tool, frozenset(said.states)
            known = states.get(tool)
            states[tool] = mine if not known else (known & mine or known | mine)
        for at, left in enumerate(tools):
            for right in tools[at + 1 :]:
                if left in states and right in states:
                    self.both[left, right] += 1
                    mine, theirs = states[left], states[right]
                    if mine and theirs and not mine & theirs:
                        self.apart[left, right] += 1

    def money_held(self, held: Held) -> tuple[Money, ...]:
        """What stands on the jobs that are left out for a reason, one sum a currency."""
        sums = [
            Money(amount, currency)  # type: ignore[arg-type]  # a Counter of Decimals
            for (why, currency), amount in self.held_money.items()
            if why is held and currency
        ]
        return tuple(sorted(sums, key=lambda money: (-money.amount, money.currency)))


def judge_all(
    evidence: Evidence, declaration: Declaration, folder: Path, progress: Progress
) -> tuple[Tally, Shelf[Job], Shelf[Finding]]:
    """Judge every case; findings stand in the order of their cases, not yet numbered."""
    cases = len(evidence.clusters)
    apart = cases > APART_FROM_CASES
    parts = min(os.cpu_count() or 1, PROCESSES_MAX) if apart else 1
    bounds = [cases * part // parts for part in range(parts + 1)]
    done: Counter[str] = Counter()

    def tell(part: str, judged: int) -> None:
        done[part] = judged
        progress(JUDGING, done.total())

    pieces = [
        (
            JUDGING,
            partial(_judge, evidence, declaration, range(begin, end), folder / str(part)),
        )
        for part, (begin, end) in enumerate(pairwise(bounds))
    ]
    tally = Tally()
    for one in side_by_side(pieces, tell, apart=apart):
        tally.add(one)
    places = [folder / str(part) for part in range(parts)]
    return (
        tally,
        Shelf(Job, [place.with_suffix(".jobs") for place in places]),
        Shelf(Finding, [place.with_suffix(".findings") for place in places]),
    )


def _judge(
    evidence: Evidence, declaration: Declaration, cases: range, place: Path, progress: Progress
) -> Tally:
    judge = Judge(Lifecycle(declaration), evidence.files, evidence.at, evidence.doubts)
    records = Shelf(Record, evidence.records)
    tools = list(evidence.files)
    tally = Tally()
    with (
        Filling[Job](place.with_suffix(".jobs")) as jobs,
        Filling[Finding](place.with_suffix(".findings")) as found,
    ):
        for at in cases:
            judged = judge.judge(at + 1, records, evidence.clusters[at])
            jobs.put(judged.job)
            tally.take(judged.job, tools)
            for finding in judged.findings:
                found.put(finding)
            if tally.jobs % TOLD_EVERY == 0:
                progress(place.name, tally.jobs)
    progress(place.name, tally.jobs)
    return tally
