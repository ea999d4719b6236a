"""The first page: how many, how bad, the worst; from the findings and what was counted."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from heapq import nlargest
from statistics import median_low
from typing import Final

from api.audit.findings import (
    Count,
    Finding,
    Kind,
    Severity,
    Summary,
    Unopened,
    Worst,
)
from api.audit.verdicts import Tally
from lifecycle.comparable import Money

WORST: Final = 5
SEVERITIES: Final = (Severity.HIGH, Severity.MEDIUM, Severity.LOW)


class Sums:
    """What stands on several jobs, one sum a currency; every job counts once."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.jobs: set[int] = set()
        self._sums: dict[str, Decimal] = {}

    def take(self, finding: Finding) -> None:
        """Add the job of a finding, unless it is among them."""
        if finding.case_number in self.jobs:
            return
        self.jobs.add(finding.case_number)
        if finding.money is not None and finding.currency:
            there = self._sums.get(finding.currency, Decimal(0))
            self._sums[finding.currency] = there + finding.money

    def money(self) -> tuple[Money, ...]:
        """The sums, the largest first."""
        ordered = sorted(self._sums.items(), key=lambda item: (-item[1], item[0]))
        return tuple(Money(amount, currency) for currency, amount in ordered)


def worst_first(finding: Finding) -> tuple[int, Decimal, int, int, str, tuple[str, int], str]:
    """Where a finding stands among all: by severity, money, age, kind.

    What is as bad stands by name, and by file and row: the same exports, the same order.
    """
    first = finding.sources[0]
    return (
        SEVERITIES.index(finding.severity),
        -(finding.money or Decimal(0)),
        -(finding.age_days or 0),
        _KINDS[finding.kind],
        finding.case,
        (first.tool, first.row),
        finding.field,
    )


def summed(findings: Iterable[Finding], tally: Tally) -> Summary:
    """Sum up all findings, the worst first, and what was counted of all jobs."""
    by_kind: dict[Kind, tuple[list[int], Sums]] = defaultdict(lambda: ([], Sums()))
    severities: Counter[Severity] = Counter()
    wrong, serious, ages = Sums(), Sums(), []
    richest, oldest = _Worst(_by_money), _Worst(_by_age)
    for one in findings:
        numbers, sums = by_kind[one.kind]
        numbers.append(one.number)
        sums.take(one)
        severities[one.severity] += 1
        if one.severity is Severity.LOW:
            continue
        wrong.take(one)
        if one.severity is Severity.HIGH:
            serious.take(one)
        richest.take(one)
        oldest.take(one)
        if one.age_days is not None:
            ages.append(one.age_days)
    money = wrong.money()
    return Summary(
        jobs=tally.jobs,
        jobs_in_several=tally.in_several,
        jobs_wrong=len(wrong.jobs),
        jobs_serious=len(serious.jobs),
        jobs_agreed=tally.agreed,
        money=money,
        counts=tuple(_counts(by_kind)),
        severities=tuple((severity, severities[severity]) for severity in SEVERITIES),
        worst_by_money=richest.five(),
        worst_by_age=oldest.five(),
        sentence=_sentence(tally.jobs, len(wrong.jobs), money, max(ages, default=0)),
        age_days_median=median_low(ages) if ages else None,
        pairs=tuple((*pair, number, tally.apart[pair]) for pair, number in tally.both.items()),
        unopened=tuple(
            Unopened(why, jobs, tally.money_held(why), tuple(tally.examples[why]))
            for why, jobs in tally.held.most_common()
        ),
    )


class _Worst:
    """The five worst by some measure, each job once."""

    def __init__(self, size: Callable[[Finding], Decimal]) -> None:
        self._size = size
        self._kept: dict[int, Finding] = {}

    def take(self, finding: Finding) -> None:
        if not self._size(finding):
            return
        there = self._kept.get(finding.case_number)
        if there is None or self._rank(finding) > self._rank(there):
            self._kept[finding.case_number] = finding
        if len(self._kept) > WORST * 20:
            self._kept = {one.case_number: one for one in self._largest()}

    def five(self) -> tuple[Worst, ...]:
        return tuple(
            Worst(one.number, one.case, one.summary, one.age_days, one.money, one.currency)
            for one in self._largest()
        )

    def _largest(self) -> list[Finding]:
        return nlargest(WORST, self._kept.values(), key=self._rank)

    def _rank(self, one: Finding) -> tuple[bool, Decimal, int]:
        return one.severity is Severity.HIGH, self._size(one), -one.number


def _by_money(finding: Finding) -> Decimal:
    return finding.money or Decimal(0)


def _by_age(finding: Finding) -> Decimal:
    return Decimal(finding.age_days or 0)


def _sentence(jobs: int, wrong: int, money: Sequence[Money], oldest: int) -> str:
    if not wrong:
        return f"The tools agree on all {jobs:,} jobs."
    amount = f"; {_written(money)} stand on them" if money else ""
    age = f", the oldest for {oldest:,} days" if oldest else ""
    share = wrong / jobs
    return f"On {wrong:,} of {jobs:,} jobs ({share:.1%}) something is wrong{age}{amount}."


def _written(money: Iterable[Money]) -> str:
    return " and ".join(f"{one.amount:,.0f} {one.currency}" for one in money)


def _counts(by_kind: dict[Kind, tuple[list[int], Sums]]) -> Iterator[Count]:
    ordered = sorted(by_kind.items(), key=lambda item: (-len(item[1][0]), _KINDS[item[0]]))
    for kind, (numbers, sums) in ordered:
        yield Count(kind, len(numbers), len(sums.jobs), sums.money())


_KINDS: Final = {kind: at for at, kind in enumerate(Kind)}
