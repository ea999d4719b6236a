"""The report as Markdown, to be pasted into a ticket or a wiki."""

import re
from collections.abc import Iterator
from typing import Final

from api.audit.report import Line, Report, Section, Told

SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>()#|~&$!])")
"""What Markdown would take for more than a character."""


def markdown(report: Report) -> str:
    """Write the report."""
    return "\n".join(_parts(report)).rstrip("\n") + "\n"


def escaped(text: str) -> str:
    """Keep a text of an export from becoming a link, a heading or a table."""
    return SPECIAL.sub(r"\\\1", text)


def _parts(report: Report) -> Iterator[str]:
    yield f"# {escaped(report.title)}: what the tools disagree on\n"
    yield f"{escaped(report.made)}\n"
    yield "## How bad is it?\n"
    yield f"**{escaped(report.verdict)}**\n"
    for part in report.meter:
        yield f"- **{escaped(part.value)}** {escaped(part.label)}"
    for figure in report.figures:
        yield f"- **{escaped(figure.value)}** {escaped(figure.label)}"
    if report.first:
        yield "\n## Which job first?\n"
        yield from _told(report.first)
    if report.trusts:
        yield "## Whom to believe?\n"
        for trust in report.trusts:
            times = f" ({escaped(trust.times)})" if trust.times else ""
            yield f"- **{escaped(trust.tool)}** on {escaped(trust.about)}{times}"
    if report.plan:
        yield "\n## What to mend, in this order\n"
    for step in report.plan:
        settles = f" *It {escaped(step.settles)}.*" if step.settles else ""
        yield f"{step.number}. **{escaped(step.title)}.** {escaped(step.why)}{settles}\n"
        if step.declare:
            yield f"{_fenced(step.declare)}\n"
    yield from _five("The five with the most money", report.by_money)
    yield from _five("The five that have been wrong for longest", report.by_age)
    yield from _kinds(report)
    for section in report.sections:
        yield from _section(section)
    yield from _found(report)


def _fenced(text: str) -> str:
    """A block of code, within a fence that the text itself does not hold."""
    fence = "```"
    while fence in text:
        fence += "`"
    block = f"{fence}yaml\n{text}\n{fence}"
    return "\n".join(f"   {line}" for line in block.splitlines())


def _five(title: str, worst: tuple[Told, ...]) -> Iterator[str]:
    if not worst:
        return
    yield f"## {title}\n"
    yield "| no. | job | what is wrong | believe | money | for |"
    yield "|---:|---|---|---|---:|---:|"
    for one in worst:
        cells = (one.case, one.summary, one.believe, one.money, one.age)
        yield f"| {one.number} | {' | '.join(escaped(cell) for cell in cells)} |"
    yield ""


def _kinds(report: Report) -> Iterator[str]:
    if report.sections:
        yield "## What is wrong\n"
        yield "| | findings | jobs | money |"
        yield "|---|---:|---:|---:|"
        for one in report.sections:
            yield f"| {one.title} | {one.findings:,} | {one.jobs:,} | {escaped(one.money)} |"
        yield ""
    if report.pairs:
        yield "| tools | jobs both know | of these apart |"
        yield "|---|---:|---:|"
        for pair in report.pairs:
            yield f"| {escaped(pair.tools)} | {pair.both:,} | {pair.apart:,} ({pair.share}) |"
        yield ""


def _section(section: Section) -> Iterator[str]:
    yield f"## {section.title} ({section.findings:,})\n"
    yield f"{escaped(section.means)}\n"
    for one in section.told:
        yield from _told(one)
    if section.more:
        yield f"And {section.more:,} more: the spreadsheet lists them all.\n"


def _told(one: Told) -> Iterator[str]:
    facts = ", ".join(escaped(fact) for fact in (one.money, one.age) if fact)
    yield f"### {one.number}. {escaped(one.case)}{f' ({facts})' if facts else ''}\n"
    yield f"{escaped(one.summary)}\n"
    for line in one.lines:
        yield f"- {_line(line)}"
    if one.also:
        yield f"- also: {escaped(one.also)}"
    yield f"\n**Believe** {escaped(one.believe)}. {escaped(one.why)}\n"
    yield f"**Do:** {escaped(one.do)}\n"


def _line(line: Line) -> str:
    means = f" ({escaped(line.means)})" if line.means else ""
    since = f", since {line.since}" if line.since else ""
    return f"{escaped(line.tool)}: {escaped(line.said)}{means}{since}: {escaped(line.where)}"


def _found(report: Report) -> Iterator[str]:
    if report.doubts:
        yield "## Perhaps the same job\n"
        for doubt in report.doubts:
            places = f"{escaped(doubt.left_where)}, {escaped(doubt.right_where)}"
            yield f"- {escaped(doubt.left)} and {escaped(doubt.right)} ({doubt.score}; {places})"
        if report.doubts_more:
            yield f"- and {report.doubts_more:,} more"
        yield ""
    if report.left:
        yield "## Not opened\n"
        yield f"{report.opened} can be taken over with `--open`. The others are not opened:\n"
        for one in report.left:
            yield f"- {one.jobs} because {escaped(one.why)}: {escaped(one.where)}"
        yield ""
    yield "## How the files were read\n"
    for reading in report.readings:
        yield f"- **{escaped(reading.file)}** ({escaped(reading.tool)}): {reading.rows}"
        for sentence in (*reading.understood, *reading.refused):
            yield f"  - {escaped(sentence)}"
        if reading.more:
            yield f"  - and {reading.more:,} more rows left out"
