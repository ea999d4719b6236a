"""What the report says, and in which order; the renderers only lay it out.

The first page answers three questions: how bad is it, which job first, whom to believe. Then what
to mend, in which order; then the list, where every finding names file and row.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final

from msgspec import Struct

from api.audit.findings import (
    Audit,
    Export,
    Finding,
    Kind,
    Link,
    RefusedRow,
    Said,
    Severity,
    Source,
    Worst,
)
from lifecycle.comparable import Money
from projections.wording import MONTHS, day, write

LISTED_MAX: Final = 50
"""Findings of one kind that a report to be read lists; the spreadsheet lists them all."""
CONFIRM_MAX: Final = 30
"""Doubtful pairs that a report to be read lists."""
REFUSED_MAX: Final = 30
"""Rows left out of one file that a report to be read lists."""
TEXT_LENGTH_MAX: Final = 300
"""Characters of one text out of an export."""

UNWANTED: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+")
"""What a terminal obeys, or what turns a line round: no text of an export may bring it along."""

KINDS: Final[Mapping[Kind, tuple[str, str]]] = {
    Kind.CONTRADICTED: (
        "Contradicted by the owner",
        "A tool shows something that the tool in charge of it denies. Here money is lost first.",
    ),
    Kind.DISAGREE_STATE: (
        "Different states",
        "The tools show different states. The tool in charge of it settles which one is true.",
    ),
    Kind.MISSING: (
        "Missing",
        "One tool knows the job, and another that must know it by now does not.",
    ),
    Kind.DUPLICATE: (
        "Twice in one tool",
        "One tool holds the same job in several rows, so one of them is out of date.",
    ),
    Kind.DISAGREE_FIELD: (
        "Different values",
        "The tools hold different values. The value of the tool in charge of it stands first.",
    ),
    Kind.UNKNOWN_WORD: (
        "Words that nobody declared",
        "A tool uses a word that the lifecycle does not know, so nobody can say what it means.",
    ),
    Kind.STALE: (
        "Stuck",
        "All agree, and the job has stood there for longer than it may.",
    ),
}
"""What each kind of finding is called, and what it means to somebody who owns the business."""


class Figure(Struct, frozen=True):
    """One number of the first page."""

    value: str
    label: str


class Segment(Struct, frozen=True):
    """One part of all jobs, as a bar shows it."""

    tone: str
    """`high`, `medium` or `good`."""
    value: str
    label: str
    share: float
    """From 0 to 1; the shares of all segments add up to 1."""


class Trust(Struct, frozen=True):
    """Whom to believe, about what."""

    tool: str
    about: str
    """The states on which its word counts."""
    times: str
    """How often that settles something here."""


class Line(Struct, frozen=True):
    """What one tool says of one job."""

    tool: str
    says: str
    means: str
    since: str
    where: str
    """File and row."""
    believed: bool = False
    because: str = ""
    """The condition by which the word was derived, where the tool has no status of its own."""

    @property
    def said(self) -> str:
        """What it says, and by which condition."""
        return f"{self.says} (because {self.because})" if self.because else self.says


class Told(Struct, frozen=True):
    """One finding, ready to be laid out."""

    number: int
    kind: str
    severity: Severity
    case: str
    summary: str
    money: str
    age: str
    lines: tuple[Line, ...]
    also: str
    """File and row of what is not among the lines."""
    believe: str
    why: str
    do: str


class Section(Struct, frozen=True):
    """All findings of one kind."""

    id: str
    title: str
    means: str
    findings: int
    jobs: int
    money: str
    share: float
    """Of the most frequent kind, from 0 to 1: the length of its bar."""
    told: tuple[Told, ...]
    more: int
    """How many are not listed."""


class Todo(Struct, frozen=True):
    """One step of the plan."""

    number: int
    title: str
    why: str
    settles: str
    declare: str


class Pair(Struct, frozen=True):
    """How far two tools agree."""

    tools: str
    both: int
    apart: int
    share: str


class Doubt(Struct, frozen=True):
    """Two rows that may be one job."""

    left: str
    right: str
    left_where: str
    right_where: str
    score: str
    reasons: tuple[str, ...]


class Left(Struct, frozen=True):
    """Jobs that are not opened in the service, for one reason."""

    why: str
    jobs: str
    money: str
    where: str
    """A row of each of the first few."""


class Reading(Struct, frozen=True):
    """How one file was read."""

    tool: str
    file: str
    rows: str
    understood: tuple[str, ...]
    refused: tuple[str, ...]
    more: int


class Report(Struct, frozen=True):
    """The whole report, in its order."""

    title: str
    made: str
    verdict: str
    meter: tuple[Segment, ...]
    figures: tuple[Figure, ...]
    first: Told | None
    """The job to mend first."""
    trusts: tuple[Trust, ...]
    plan: tuple[Todo, ...]
    by_money: tuple[Told, ...]
    by_age: tuple[Told, ...]
    pairs: tuple[Pair, ...]
    sections: tuple[Section, ...]
    doubts: tuple[Doubt, ...]
    doubts_more: int
    opened: str
    """How many jobs `--open` opens."""
    left: tuple[Left, ...]
    readings: tuple[Reading, ...]


def told(
    audit: Audit,
    owners: Mapping[str, str | None] | None = None,
    listed_max: int = LISTED_MAX,
) -> Report:
    """Say an audit in plain words.

    `owners` are the tools in charge of each state, as the lifecycle declares them; without them,
    those are named whose word settled something.
    """
    by_number = {finding.number: finding for finding in audit.findings}
    sections = _sections(audit, listed_max)
    worst = audit.findings[0] if audit.findings else None
    return Report(
        title=audit.title,
        made=_made(audit),
        verdict=plain(audit.summary.sentence),
        meter=tuple(_meter(audit)),
        figures=_figures(audit),
        first=tell(worst, audit) if worst else None,
        trusts=_trusts(audit, owners),
        plan=tuple(
            Todo(
                step.number,
                plain(step.title),
                plain(step.why),
                _settles(step.findings_count, step.findings, sums(step.money)),
                step.declare.strip("\n"),
            )
            for step in audit.plan
        ),
        by_money=_worst(audit.summary.worst_by_money, by_number, audit),
        by_age=_worst(audit.summary.worst_by_age, by_number, audit),
        pairs=tuple(
            Pair(
                f"{tool_title(left, audit)} and {tool_title(right, audit)}",
                both,
                apart,
                percent(apart, both),
            )
            for left, right, both, apart in audit.summary.pairs
        ),
        sections=sections,
        doubts=tuple(_doubt(link, audit) for link in audit.to_confirm[:CONFIRM_MAX]),
        doubts_more=max(0, len(audit.to_confirm) - CONFIRM_MAX),
        opened=counted(audit.summary.jobs_agreed, "job"),
        left=tuple(
            Left(
                one.why.value,
                counted(one.jobs, "job"),
                sums(one.money),
                ", ".join(map(where, one.examples)),
            )
            for one in audit.summary.unopened
        ),
        readings=tuple(_reading(export, audit) for export in audit.exports),
    )


def tell(finding: Finding, audit: Audit) -> Told:
    """One finding in plain words."""
    lines = tuple(_value_lines(finding, audit)) if finding.values else tuple(_lines(finding, audit))
    shown = {(one.tool, one.file, one.row) for one in _shown(finding)}
    also = [one for one in finding.sources if (one.tool, one.file, one.row) not in shown]
    return Told(
        number=finding.number,
        kind=KINDS[finding.kind][0],
        severity=finding.severity,
        case=plain(finding.case) or f"Job {finding.case_number}",
        summary=plain(finding.summary),
        money=money(finding.money, finding.currency),
        age=age(finding.age_days),
        lines=lines,
        also=", ".join(where(one) for one in also),
        believe=believe(finding, audit),
        why=plain(finding.believe.why),
        do=plain(finding.do),
    )


def believe(finding: Finding, audit: Audit) -> str:
    """Who should be believed, and what is true then: `Jobber: Completed`."""
    if not finding.believe.tool:
        return "Nobody yet: somebody has to look"
    says = plain(finding.believe.says)
    title = tool_title(finding.believe.tool, audit)
    return f"{title}: {said_value(says)}" if says else title


def where(source: Source) -> str:
    """File and row, as anybody finds them: `deals.csv row 12`."""
    return f"{plain(source.file)} row {source.row:,}".replace(",", "")


def tool_title(tool: str, audit: Audit) -> str:
    """The tool as people call it."""
    return plain(audit.tool_titles.get(tool, tool))


def state_title(state: str, audit: Audit) -> str:
    """The state as people call it; regions that run side by side are joined."""
    return audit.state_titles.get(state) or " and ".join(map(spaced, state.split("+")))


def spaced(name: str) -> str:
    """A name of the definition, where it has no title: `deposit_due` is Deposit due."""
    return name.replace("_", " ").capitalize()


def money(amount: Decimal | None, currency: str) -> str:
    """An amount as people write it: `12,400.00 USD`; empty where none is known."""
    return f"{amount:,f} {currency}".strip() if amount is not None else ""


def sums(amounts: Iterable[Money]) -> str:
    """Several sums, one a currency."""
    return " and ".join(f"{one.amount:,.0f} {one.currency}" for one in amounts if one.amount)


def age(days: int | None) -> str:
    """How long something has been so."""
    if days is None:
        return ""
    return {0: "today", 1: "1 day"}.get(days, f"{days:,} days")


def short_day(time: datetime | None) -> str:
    """A date that fits into a table: `11 May 2026`, its month cut short."""
    return f"{time.day} {MONTHS[time.month - 1][:3]} {time.year}" if time else ""


def percent(part: int, whole: int) -> str:
    """A share in percent, never rounded to nothing or to all."""
    if not whole or not part:
        return "0 %"
    share = 100 * part / whole
    if share < 1:
        return "under 1 %"
    return f"{min(round(share), 99) if part < whole else 100} %"


def plain(text: str) -> str:
    """A text out of an export, on one line, without what a terminal or a page would obey."""
    text = " ".join(UNWANTED.sub(" ", text).split())
    return text if len(text) <= TEXT_LENGTH_MAX else f"{text[: TEXT_LENGTH_MAX - 1]}…"


def said_value(value: str) -> str:
    """A value as people write it: dates and money in words, anything else as it stands."""
    return write(value, None).strip("“”")


def counted(number: int, what: str) -> str:
    """A number and its noun: `1 job`, `2,041 jobs`."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


# --- the first page -----------------------------------------------------------------------------


def _made(audit: Audit) -> str:
    read = "; ".join(
        f"{tool_title(export.tool, audit)}: {plain(export.file)}, {counted(export.rows, 'row')}"
        for export in audit.exports
    )
    return f"{day(audit.at)} · {read}"


def _meter(audit: Audit) -> Iterable[Segment]:
    """All jobs, from the worst to those that nothing is wrong with."""
    summary = audit.summary
    parts = (
        ("high", summary.jobs_serious, "cost money or mislead a customer"),
        ("medium", summary.jobs_wrong - summary.jobs_serious, "need a look"),
        ("good", summary.jobs - summary.jobs_wrong, "stand as they should"),
    )
    for tone, jobs, label in parts:
        if jobs:
            yield Segment(tone, f"{jobs:,}", label, jobs / summary.jobs)


def _figures(audit: Audit) -> tuple[Figure, ...]:
    """What the verdict and the bar have not said yet."""
    summary = audit.summary
    figures = []
    if summary.age_days_median:
        figures.append(Figure(age(summary.age_days_median), "is how long, typically"))
    if audit.to_confirm:
        figures.append(Figure(f"{len(audit.to_confirm):,}", "pairs of rows that may be one job"))
    figures.append(
        Figure(
            f"{summary.jobs_agreed:,}", f"of {counted(summary.jobs, 'job')} certain enough to open"
        )
    )
    return tuple(figures)


def _trusts(audit: Audit, owners: Mapping[str, str | None] | None) -> tuple[Trust, ...]:
    """Every tool that is in charge of something, in the order of the lifecycle."""
    settled = Counter(finding.believe.tool for finding in audit.findings if finding.believe.tool)
    about: dict[str, list[str]] = defaultdict(list)
    if owners is None:
        owners = {
            finding.state: finding.believe.tool
            for finding in audit.findings
            if finding.state and finding.believe.tool and not finding.field
        }
    leaves = dict.fromkeys(leaf for state in audit.state_titles for leaf in state.split("+"))
    for leaf in leaves:
        if owner := owners.get(leaf):
            about[owner].append(state_title(leaf, audit))
    return tuple(
        Trust(
            tool_title(tool, audit),
            either(about.get(tool, ())) or "its own fields",
            f"right in {counted(settled[tool], 'finding')}" if settled[tool] else "",
        )
        for tool in audit.tool_titles
        if about.get(tool) or settled[tool]
    )


def either(names: Iterable[str]) -> str:
    """Names in one row: `A, B or C`."""
    *most, last = list(names) or [""]
    return f"{', '.join(most)} or {last}" if most else last


def _worst(
    worst: Iterable[Worst], by_number: Mapping[int, Finding], audit: Audit
) -> tuple[Told, ...]:
    return tuple(tell(by_number[one.finding], audit) for one in worst if one.finding in by_number)


def _settles(count: int, findings: tuple[int, ...], amount: str) -> str:
    if not count:
        return ""
    named = f" (first no. {', '.join(map(str, findings[:3]))})" if findings else ""
    return f"settles {counted(count, 'finding')}{named}{f', {amount}' if amount else ''}"


# --- the list -----------------------------------------------------------------------------------


def _sections(audit: Audit, listed_max: int) -> tuple[Section, ...]:
    found: dict[Kind, list[Finding]] = defaultdict(list)
    for finding in audit.findings:
        if len(found[finding.kind]) < listed_max:
            found[finding.kind].append(finding)
    counts = {count.kind: count for count in audit.summary.counts}
    most = max((count.findings for count in counts.values()), default=0)
    return tuple(
        Section(
            id=kind.value,
            title=title,
            means=means,
            findings=counts[kind].findings,
            jobs=counts[kind].jobs,
            money=sums(counts[kind].money),
            share=counts[kind].findings / most,
            told=tuple(tell(finding, audit) for finding in found[kind]),
            more=counts[kind].findings - len(found[kind]),
        )
        for kind, (title, means) in KINDS.items()
        if kind in counts
    )


def _shown(finding: Finding) -> Iterable[Source]:
    return (one.source for one in (finding.values or finding.said))


def _lines(finding: Finding, audit: Audit) -> Iterable[Line]:
    """What each tool says; where one says two things, each under the name of its field."""
    rows = Counter(said.source for said in finding.said)
    for said in finding.said:
        believed = said.source.tool == finding.believe.tool and (
            not finding.state or not said.states or finding.state in said.states
        )
        yield _line(said, audit, named=rows[said.source] > 1, believed=believed)


def _line(said: Said, audit: Audit, *, named: bool, believed: bool) -> Line:
    tool = tool_title(said.source.tool, audit)
    says = "(empty)" if said.word is None else plain(said.word)
    means = plain(said.title) or either(state_title(state, audit) for state in said.states)
    if not means:
        means = "" if said.word is None else "nobody declared this word"
    return Line(
        tool=f"{tool}, {plain(said.status_field)}" if named else tool,
        says=says,
        means=means,
        since=short_day(said.since),
        where=where(said.source),
        believed=believed,
        because=plain(said.derived) if said.word is not None else "",
    )


def _value_lines(finding: Finding, audit: Audit) -> Iterable[Line]:
    since = _since_by_source(finding)
    for value in finding.values:
        yield Line(
            tool=tool_title(value.source.tool, audit),
            says=said_value(plain(value.value)),
            means="in charge of it" if value.owner else "",
            since=since.get((value.source.tool, value.source.row), ""),
            where=where(value.source),
            believed=value.owner,
        )


def _since_by_source(finding: Finding) -> dict[tuple[str, int], str]:
    return {(said.source.tool, said.source.row): short_day(said.since) for said in finding.said}


# --- how it was found ---------------------------------------------------------------------------


def _doubt(link: Link, audit: Audit) -> Doubt:
    return Doubt(
        left=f"{tool_title(link.left.tool, audit)}: {plain(link.left_name)}",
        right=f"{tool_title(link.right.tool, audit)}: {plain(link.right_name)}",
        left_where=where(link.left),
        right_where=where(link.right),
        score=percent(round(link.score * 1000), 1000),
        reasons=reasons(link),
    )


def reasons(link: Link) -> tuple[str, ...]:
    """Why two rows may be one job, part by part, with its weight."""
    return tuple(
        f"{one.what}: {plain(one.left)} / {plain(one.right)}: {one.likeness:.0%} alike,"
        f" counts {one.weight:.0%}"
        for one in link.reasons
    )


def _reading(export: Export, audit: Audit) -> Reading:
    refused = tuple(refusal(row) for row in export.refused[:REFUSED_MAX])
    skipped = f", {export.skipped:,} blank or totals" if export.skipped else ""
    left_out = f", {export.refused_count:,} left out" if export.refused_count else ""
    return Reading(
        tool=tool_title(export.tool, audit),
        file=plain(export.file),
        rows=f"{counted(export.rows, 'row')} read{skipped}{left_out}",
        understood=(
            *(plain(sentence) for sentence in export.understood),
            *([_columns(export)] if export.columns else []),
        ),
        refused=refused,
        more=export.refused_count - len(refused),
    )


def _columns(export: Export) -> str:
    pairs = (f"{plain(heading)} → {plain(means)}" for means, heading in export.columns)
    return f"Columns: {', '.join(pairs)}"


def refusal(row: RefusedRow) -> str:
    """A row that was left out, and why."""
    column = f", column {plain(row.column)}" if row.column else ""
    return f"row {row.row}{column}: {plain(row.reason)}"
