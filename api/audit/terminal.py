"""The report in a terminal: the first page, and the worst of every kind."""

from collections.abc import Iterable

from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from api.audit.findings import Severity
from api.audit.report import Report, Section, Told

COLOURS = {Severity.HIGH: "red", Severity.MEDIUM: "yellow", Severity.LOW: "cyan"}
TONES = {"high": "red", "medium": "yellow", "good": "green"}
LISTED_MAX = 10
"""Findings of one kind that are worth scrolling for."""
ROOMY = 100
"""Columns from which a table of findings has room for all that it says."""


def show(report: Report, console: Console) -> None:
    """Print the report. What comes out of an export is text, never markup."""
    console.print(Text(f"{report.title}: what the tools disagree on", style="bold"))
    console.print(Text(report.made, style="dim"))
    console.print()
    console.print(Text("How bad is it?  ", style="bold cyan") + Text(report.verdict, style="bold"))
    for part in report.meter:
        console.print(
            Text(f"{part.value:>20}  ", style=f"bold {TONES[part.tone]}") + Text(part.label)
        )
    for figure in report.figures:
        console.print(Text(f"{figure.value:>20}  ", style="bold") + Text(figure.label))
    if report.first:
        console.print()
        console.print(_first(report.first))
    _trusts(report, console)
    _plan(report, console)
    _five("The five with the most money", report.by_money, console)
    _five("The five that have been wrong for longest", report.by_age, console)
    _kinds(report, console)
    for section in report.sections:
        _section(section, console)
    _found(report, console)


def _first(one: Told) -> Panel:
    facts = "  ".join(filter(None, (one.case, one.money, one.age)))
    body = Text.assemble(one.summary, "\n", (f"Believe {one.believe}. ", "green"), one.why, "\n")
    body.append(one.do, style="bold")
    for line in one.lines:
        means = f" ({line.means})" if line.means else ""
        body.append(f"\n  {line.tool}: {line.said}{means}, {line.where}", style="dim")
    title = Text("Which job first?  ", style="bold cyan") + Text(facts, style="bold")
    return Panel(body, title=title, title_align="left", border_style=COLOURS[one.severity])


def _trusts(report: Report, console: Console) -> None:
    if not report.trusts:
        return
    console.print()
    console.print(Text("Whom to believe?", style="bold cyan"))
    for trust in report.trusts:
        console.print(
            Text(f"  {trust.tool}", style="bold green")
            + Text(f" on {trust.about}")
            + Text(f"  {trust.times}", style="dim")
        )


def _plan(report: Report, console: Console) -> None:
    if not report.plan:
        return
    console.print()
    console.print(Text("What to mend, in this order", style="bold cyan"))
    for step in report.plan:
        console.print(Text(f"  {step.number}. ") + Text(step.title, style="bold"))
        said = " ".join(filter(None, (step.why, f"It {step.settles}." if step.settles else "")))
        console.print(Padding(Text(said), (0, 0, 0, 5)))
        if step.declare:
            yaml = Syntax(step.declare, "yaml", theme="ansi_dark", background_color="default")
            console.print(Padding(yaml, (0, 0, 0, 5)))


def _five(title: str, worst: Iterable[Told], console: Console) -> None:
    if worst:
        console.print()
        console.print(_table(title, worst, console))


def _kinds(report: Report, console: Console) -> None:
    if not report.sections:
        return
    console.print()
    table = Table(title=Text("What is wrong", style="bold cyan"), title_justify="left", box=None)
    for heading in ("", "findings", "jobs", "money"):
        table.add_column(heading, justify="right" if heading else "left")
    for one in report.sections:
        table.add_row(one.title, f"{one.findings:,}", f"{one.jobs:,}", Text(one.money))
    console.print(table)
    for pair in report.pairs:
        console.print(
            Text(
                f"  {pair.tools}: both know {pair.both:,} jobs, {pair.apart:,} ({pair.share}) apart"
            )
        )


def _section(section: Section, console: Console) -> None:
    console.print()
    console.print(_table(f"{section.title} ({section.findings:,})", section.told, console))
    if section.more:
        console.print(Text(f"  and {section.more:,} more: --format xlsx lists them all"))


def _table(title: str, findings: Iterable[Told], console: Console) -> Table:
    table = Table(
        title=Text(title, style="bold cyan"), title_justify="left", show_lines=True, expand=True
    )
    roomy = console.width >= ROOMY
    table.add_column("no.", justify="right", no_wrap=True)
    table.add_column("job, and what is wrong", ratio=5)
    table.add_column("what each tool says, and where", ratio=5)
    if roomy:
        table.add_column("believe", ratio=2)
    table.add_column("money, age", justify="right", ratio=2)
    for one in findings:
        what = Text.assemble((one.case, f"bold {COLOURS[one.severity]}"), "\n", one.summary)
        if not roomy:
            what.append(f"\nBelieve {one.believe}", style="green")
        cells = [Text(str(one.number)), what, _says(one)]
        if roomy:
            cells.append(Text(one.believe, style="green"))
        table.add_row(*cells, Text("\n".join(filter(None, (one.money, one.age)))))
    return table


def _says(one: Told) -> Text:
    said = Text()
    for line in one.lines:
        said.append(f"{line.tool}: {line.said}", style="green" if line.believed else "")
        said.append(f"  {line.where}\n", style="dim")
    if one.also:
        said.append(f"also {one.also}\n", style="dim")
    said.rstrip()
    return said


def _found(report: Report, console: Console) -> None:
    console.print()
    if report.doubts:
        count = len(report.doubts) + report.doubts_more
        console.print(
            Text(f"{count:,} pairs of rows may be the same job: --confirm FILE asks about each.")
        )
    if report.left:
        console.print()
        console.print(Text(f"{report.opened} can be taken over (--open FILE). Not opened:"))
        for one in report.left:
            console.print(Padding(Text(f"{one.jobs} because {one.why}"), (0, 0, 0, 2)))
            console.print(Padding(Text(f"such as {one.where}", style="dim"), (0, 0, 0, 4)))
        console.print()
    for reading in report.readings:
        console.print(Text(f"{reading.file}: {reading.rows}", style="dim"))
        for sentence in (*reading.understood, *reading.refused):
            console.print(Padding(Text(sentence, style="dim"), (0, 0, 0, 2)))
        if reading.more:
            console.print(Text(f"  and {reading.more:,} more rows left out", style="dim"))
