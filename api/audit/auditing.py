"""One audit from beginning to end: exports in, everything that is to be reported out."""

import gc
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from statistics import median_low
from time import perf_counter
from typing import Final

import yaml
from msgspec.structs import replace

from api.audit.exports import Given, Progress, Record, read_export
from api.audit.findings import (
    Audit,
    Count,
    Export,
    Finding,
    Job,
    Kind,
    Severity,
    Step,
    Summary,
    Worst,
)
from api.audit.judging import Judge, link_of, state_name
from api.audit.matching import KEYS, Tie, match
from api.audit.sheets import BadExport
from lifecycle.comparable import Money
from lifecycle.model import Lifecycle

WORST: Final = 5
STEP_FINDINGS_MAX: Final = 20
TO_CONFIRM_MAX: Final = 5000
"""So many doubtful pairs are shown, the likeliest; whoever has answered those is shown the next."""


def audit(
    lifecycle: Lifecycle,
    exports: Sequence[Given],
    *,
    at: datetime,
    decisions: Mapping[str, bool] | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Read the exports, match their records, judge every case, and sum it up.

    `decisions` are a person's answers about doubtful pairs (`matching.read_decisions`); `at` is
    the moment to which ages count. Raises `BadExport`, as `read_export` does.
    """
    if len(exports) < 2:  # noqa: PLR2004 - one tool agrees with itself
        file = exports[0].path.name if exports else "no export"
        raise BadExport(file, "an audit compares tools: give the exports of two or more")
    # Millions of values are made here and none of them in a circle: looking for circles would take
    # a quarter of the time.
    collected = gc.isenabled()
    gc.disable()
    try:
        return _audited(lifecycle, exports, at, decisions or {}, progress)
    finally:
        if collected:
            gc.enable()


def _audited(
    lifecycle: Lifecycle,
    exports: Sequence[Given],
    at: datetime,
    decisions: Mapping[str, bool],
    progress: Progress | None,
) -> Audit:
    began = perf_counter()
    read: list[Export] = []
    records: list[Record] = []
    for given in exports:
        export, found = read_export(given, lifecycle, at.date(), progress)
        read.append(export)
        records += found
    keys = [key for key in KEYS if all(key in given.mapping.match for given in exports)]
    matching = match(records, decisions, keys)
    files = {export.tool: export.file for export in read}
    judge = Judge(lifecycle, files, at, _doubts(records, matching.to_confirm))
    jobs: list[Job] = []
    findings: list[Finding] = []
    for number, cluster in enumerate(matching.clusters, 1):
        judged = judge.judge(number, records, cluster)
        jobs.append(judged.job)
        findings += judged.findings
    findings.sort(key=_worst_first)
    numbered = tuple(replace(one, number=number) for number, one in enumerate(findings, 1))
    days = [one.since.date() for one in records if one.since]
    return Audit(
        lifecycle=lifecycle.name,
        title=lifecycle.declaration.title,
        at=at,
        tool_titles={name: tool.title for name, tool in lifecycle.declaration.tools.items()},
        state_titles={
            state_name(one): judge.title(one)
            for one in sorted(
                lifecycle.chart.configurations,
                key=lambda one: [lifecycle.chart.leaves.index(leaf) for leaf in one],
            )
        },
        exports=tuple(read),
        jobs=tuple(jobs),
        to_confirm=tuple(
            link_of(records, tie, files) for tie in matching.to_confirm[:TO_CONFIRM_MAX]
        ),
        findings=numbered,
        summary=_summary(jobs, numbered, files),
        plan=tuple(_plan(numbered, len(matching.to_confirm), lifecycle, files)),
        seconds=round(perf_counter() - began, 3),
        dates_between=(min(days), max(days)) if days else None,
    )


def _doubts(records: Sequence[Record], ties: Iterable[Tie]) -> dict[int, set[str]]:
    doubts: dict[int, set[str]] = defaultdict(set)
    for tie in ties:
        doubts[tie.left].add(records[tie.right].tool)
        doubts[tie.right].add(records[tie.left].tool)
    return doubts


def _worst_first(finding: Finding) -> tuple[int, Decimal, int, int, int]:
    return (
        _SEVERITIES.index(finding.severity),
        -(finding.money or Decimal(0)),
        -(finding.age_days or 0),
        _KINDS.index(finding.kind),
        finding.case_number,
    )


# The first page.


def _summary(jobs: Sequence[Job], findings: Sequence[Finding], files: Iterable[str]) -> Summary:
    serious = [one for one in findings if one.severity is not Severity.LOW]
    wrong = {one.case_number for one in serious}
    money = _sums(jobs[number - 1] for number in wrong)
    ages = [one.age_days for one in serious if one.age_days is not None]
    return Summary(
        jobs=len(jobs),
        jobs_in_several=sum(len({one.source.tool for one in job.said}) > 1 for job in jobs),
        jobs_wrong=len(wrong),
        jobs_agreed=sum(job.agreed for job in jobs),
        money=money,
        counts=tuple(_counts(jobs, findings)),
        severities=tuple(
            (severity, sum(one.severity is severity for one in findings))
            for severity in _SEVERITIES
        ),
        worst_by_money=_worst(
            [one for one in serious if one.money], lambda one: one.money or Decimal(0)
        ),
        worst_by_age=_worst(
            [one for one in serious if one.age_days], lambda one: Decimal(one.age_days or 0)
        ),
        sentence=_sentence(len(jobs), len(wrong), money, max(ages, default=0)),
        age_days_median=median_low(ages) if ages else None,
        pairs=tuple(_pairs(jobs, tuple(files))),
    )


def _sentence(jobs: int, wrong: int, money: Sequence[Money], oldest: int) -> str:
    if not wrong:
        return f"The tools agree on all {jobs:,} jobs."
    amount = f"; {_written(money)} stand on them" if money else ""
    age = f", the oldest for {oldest:,} days" if oldest else ""
    share = wrong / jobs
    return f"On {wrong:,} of {jobs:,} jobs ({share:.1%}) something is wrong{age}{amount}."


def _written(money: Iterable[Money]) -> str:
    return " and ".join(f"{one.amount:,} {one.currency}" for one in money)


def _counts(jobs: Sequence[Job], findings: Sequence[Finding]) -> Iterator[Count]:
    by_kind: dict[Kind, list[int]] = defaultdict(list)
    for one in findings:
        by_kind[one.kind].append(one.case_number)
    for kind, cases in sorted(by_kind.items(), key=lambda item: -len(item[1])):
        distinct = dict.fromkeys(cases)
        money = _sums(jobs[number - 1] for number in distinct)
        yield Count(kind, len(cases), len(distinct), money)


def _sums(jobs: Iterable[Job]) -> tuple[Money, ...]:
    totals: dict[str, Decimal] = {}
    for job in jobs:
        if job.money is not None and job.currency:
            totals[job.currency] = totals.get(job.currency, Decimal(0)) + job.money
    return tuple(
        Money(amount, currency)
        for currency, amount in sorted(totals.items(), key=lambda item: -item[1])
    )


def _worst(findings: Sequence[Finding], size: Callable[[Finding], Decimal]) -> tuple[Worst, ...]:
    """The five worst, each job once."""
    seen: set[int] = set()
    worst: list[Worst] = []
    for one in sorted(
        findings, key=lambda one: (one.severity is Severity.HIGH, size(one)), reverse=True
    ):
        if one.case_number in seen:
            continue
        seen.add(one.case_number)
        worst.append(
            Worst(one.number, one.case, one.summary, one.age_days, one.money, one.currency)
        )
        if len(worst) == WORST:
            break
    return tuple(worst)


def _pairs(jobs: Sequence[Job], tools: Sequence[str]) -> Iterator[tuple[str, str, int, int]]:
    both: Counter[tuple[str, str]] = Counter()
    apart: Counter[tuple[str, str]] = Counter()
    for job in jobs:
        states: dict[str, frozenset[str]] = {}
        for said in job.said:
            known = states.get(said.source.tool)
            mine = frozenset(said.states)
            if mine:
                states[said.source.tool] = (known & mine or known | mine) if known else mine
            else:
                states.setdefault(said.source.tool, frozenset())
        for at, left in enumerate(tools):
            for right in tools[at + 1 :]:
                if left in states and right in states:
                    both[left, right] += 1
                    mine, theirs = states[left], states[right]
                    apart[left, right] += bool(mine and theirs and not mine & theirs)
    for (left, right), number in both.items():
        yield left, right, number, apart[left, right]


# The plan.


def _plan(
    findings: Sequence[Finding], to_confirm: int, lifecycle: Lifecycle, tools: Iterable[str]
) -> Iterator[Step]:
    by_kind: dict[Kind, list[Finding]] = defaultdict(list)
    for one in findings:
        by_kind[one.kind].append(one)
    number = 0
    for kind in _MEND_ORDER:
        if several := by_kind.get(kind):
            number += 1
            title, why = _STEPS[kind]
            declare = _words(several) if kind is Kind.UNKNOWN_WORD else ""
            yield _step(number, title, why, several, declare)
        if kind is Kind.CONTRADICTED and to_confirm:
            number += 1
            title = f"Say of {to_confirm:,} pairs whether they are one job (`--confirm FILE`)"
            yield Step(number, title, "What is not matched cannot be compared.")
    if flows := _flows(lifecycle, tools):
        yield Step(
            number + 1,
            "Connect the tools, so that it does not come back",
            "What was mended by hand drifts again unless every tool is heard.",
            declare=flows,
        )


def _step(number: int, title: str, why: str, findings: Sequence[Finding], declare: str) -> Step:
    cases = {one.case_number: one for one in findings}
    totals: dict[str, Decimal] = {}
    for one in cases.values():
        if one.money is not None:
            totals[one.currency] = totals.get(one.currency, Decimal(0)) + one.money
    money = sorted(totals.items(), key=lambda item: -item[1])
    return Step(
        number=number,
        title=title,
        why=why,
        findings=tuple(one.number for one in findings[:STEP_FINDINGS_MAX]),
        findings_count=len(findings),
        money=tuple(Money(amount, currency) for currency, amount in money),
        declare=declare,
    )


def _words(findings: Iterable[Finding]) -> str:
    """The unknown words under `hears`, ignored until somebody says what they mean."""
    hears: dict[str, dict[str, dict[str, str]]] = {}
    for one in findings:
        tools = {source.tool for source in one.sources}
        for said in one.said:
            if said.word and not said.states and said.source.tool in tools:
                fields = hears.setdefault(said.source.tool, {})
                fields.setdefault(said.status_field, {})[said.word] = "ignore"
    return yaml.safe_dump({"hears": hears}, allow_unicode=True, sort_keys=False, width=1000)


def _flows(lifecycle: Lifecycle, tools: Iterable[str]) -> str:
    """A flow in for every tool that nothing hears yet."""
    heard = {flow.tool for flow in lifecycle.declaration.flows if flow.direction == "in"}
    steward = lifecycle.declaration.steward
    flows = [
        {"tool": tool, "direction": "in", "how": "webhook"}
        | ({"steward": steward} if steward else {})
        for tool in tools
        if tool not in heard
    ]
    if not flows:
        return ""
    return yaml.safe_dump({"flows": flows}, allow_unicode=True, sort_keys=False, width=1000)


_SEVERITIES: Final = (Severity.HIGH, Severity.MEDIUM, Severity.LOW)
_KINDS: Final = tuple(Kind)
_MEND_ORDER: Final = (
    Kind.CONTRADICTED,
    Kind.MISSING,
    Kind.DISAGREE_STATE,
    Kind.DUPLICATE,
    Kind.UNKNOWN_WORD,
    Kind.STALE,
    Kind.DISAGREE_FIELD,
)
_STEPS: Final = {
    Kind.CONTRADICTED: (
        "Set right the jobs where one tool runs ahead of the facts",
        "Here money is asked for, or work begun, on something that has not happened.",
    ),
    Kind.MISSING: (
        "Enter the jobs that a tool does not know",
        "Nobody plans, bills or follows up a job that is not there.",
    ),
    Kind.DISAGREE_STATE: (
        "Bring the tools that lag behind up to the true state",
        "People act on what their own tool shows.",
    ),
    Kind.DUPLICATE: (
        "Join the jobs that stand twice in one tool",
        "One of two is mended, the other is believed.",
    ),
    Kind.UNKNOWN_WORD: (
        "Say what the unknown words mean",
        "A word that stands for no state tells nobody anything.",
    ),
    Kind.STALE: (
        "Ask what holds up the jobs that have stood still",
        "All agree on them, and nothing happens.",
    ),
    Kind.DISAGREE_FIELD: (
        "Copy the owner's values to the other tools",
        "The next message goes to the address that one tool still has.",
    ),
}
