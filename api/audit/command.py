"""`statekeeper audit`: exports in, a report out; nothing is connected, nothing is changed."""

import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, TextIO

import click

if TYPE_CHECKING:
    from api.audit.exports import Progress
    from api.audit.findings import Audit
    from api.audit.records import Given
    from api.audit.rows import BadExport
    from lifecycle.catalogue import Catalogue
    from lifecycle.connectors import Export
    from lifecycle.model import Lifecycle

FORMATS: Final = ("terminal", "html", "markdown", "csv", "xlsx", "json")
SUFFIXES: Final[Mapping[str, str]] = {
    ".html": "html", ".htm": "html", ".md": "markdown", ".csv": "csv", ".xlsx": "xlsx",
    ".json": "json", ".txt": "terminal",
}  # fmt: skip
"""The format that a name of a file asks for."""


class ToolAndFile(click.ParamType[tuple[str, Path]]):
    """`TOOL=FILE`, as it is given for exports and mappings."""

    name = "TOOL=FILE"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Path]:
        """Split it; the file must be there."""
        tool, equals, file = value.partition("=")
        if not equals or not tool or not file:
            self.fail(f"{value!r}: write TOOL=FILE, like crm=deals.csv", param, ctx)
        path = Path(file)
        if not path.is_file():
            self.fail(f"there is no file {file}", param, ctx)
        return tool, path


def _file() -> click.Path:
    return click.Path(dir_okay=False, path_type=Path)


@click.command("audit")
@click.option("--lifecycle", required=True, metavar="NAME", help="What the jobs go through.")
@click.option(
    "--export",
    "exports",
    type=ToolAndFile(),
    multiple=True,
    required=True,
    help="An export of one tool, CSV or XLSX; one for each tool.",
)
@click.option(
    "--mapping",
    "mappings",
    multiple=True,
    metavar="[TOOL=]FILE",
    help="What the columns of an export mean, where its connector does not know.",
)
@click.option("--format", "form", type=click.Choice(FORMATS), help="How the report is written.")
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
@click.option(
    "--output", type=_file(), metavar="FILE", help="Where to; its ending tells the format."
)
@click.option(
    "--confirm",
    type=_file(),
    metavar="FILE",
    help="Ask about rows that may be one job; keep the answers here.",
)
@click.option(
    "--open",
    "adopted",
    type=_file(),
    metavar="FILE",
    help="Write all jobs agreed on, for `statekeeper import`.",
)
@click.option(
    "--definitions", metavar="DIR", help="Folder of the declared lifecycles.  [definitions]"
)
@click.option(
    "--at",
    type=click.DateTime(("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S")),
    metavar="TIME",
    help="When the exports were drawn (UTC); ages count to then.  [now]",
)
def audit(
    *,
    lifecycle: str,
    exports: tuple[tuple[str, Path], ...],
    mappings: tuple[str, ...],
    form: str | None,
    output: Path | None,
    confirm: Path | None,
    adopted: Path | None,
    definitions: str | None,
    at: datetime | None,
) -> None:
    """Find what the tools disagree on: how bad it is, which job first, whom to believe.

    It reads exports and writes a report. Nothing is connected, and nothing is changed in any tool.

    Example: statekeeper audit --lifecycle field_service --export crm=deals.csv
    --export accounting=invoices.xlsx --export projects=jobs.csv --output audit.html
    """
    from api.audit.declaring import completed
    from api.audit.rows import BadExport

    form = _form(form, output)
    if form == "xlsx" and output is None:
        raise click.UsageError("a workbook needs a file: --output audit.xlsx")
    for path in filter(None, (output, confirm, adopted)):
        if not path.parent.is_dir():
            raise click.UsageError(f"there is no folder {path.parent}")
    catalogue, chosen = _declared(lifecycle, definitions)
    files = _by_tool(exports, chosen)
    given = _given(files, _mapped(mappings, files, catalogue, chosen))
    moment = at.replace(tzinfo=UTC) if at else datetime.now(UTC)
    try:
        found = _audited(given, chosen, moment, confirm)
        if confirm is not None and _walked(found, confirm):
            found = _audited(given, chosen, moment, confirm)
        found, problems = completed(found, chosen, catalogue.connectors)
        for problem in problems:
            click.echo(f"what the plan declares needs a hand: {problem}", err=True)
        if adopted is not None:
            _adopt(found, chosen, adopted)
        _report(found, chosen, form, output)
    except BadExport as exc:
        raise click.ClickException(_told(exc)) from exc


def _form(form: str | None, output: Path | None) -> str:
    """The format asked for, else the one that the file's ending tells, else the terminal."""
    if form or output is None:
        return form or "terminal"
    try:
        return SUFFIXES[output.suffix.lower()]
    except KeyError:
        raise click.UsageError(
            f"the ending of {output.name} tells no format; name one: --format {', '.join(FORMATS)}"
        ) from None


def _declared(lifecycle: str, definitions: str | None) -> "tuple[Catalogue, Lifecycle]":
    from lifecycle.catalogue import load

    place = Path(definitions or os.environ.get("STATEKEEPER_DEFINITIONS") or "definitions")
    catalogue = load(place, os.environ)
    chosen = catalogue.named(lifecycle)
    if chosen is None:
        known = ", ".join(one.name for one in catalogue.lifecycles.values())
        raise click.UsageError(f"no lifecycle {lifecycle!r} is declared (declared: {known})")
    return catalogue, chosen


def _by_tool(exports: Sequence[tuple[str, Path]], lifecycle: "Lifecycle") -> dict[str, Path]:
    """One export for each tool that the lifecycle declares."""
    tools = lifecycle.declaration.tools
    files: dict[str, Path] = {}
    for tool, path in exports:
        if tool not in tools:
            known = ", ".join(tools)
            raise click.UsageError(
                f"{lifecycle.name} declares no tool {tool!r} (declared: {known})"
            )
        if tool in files:
            raise click.UsageError(f"two exports for {tool}: join them into one file")
        files[tool] = path
    return files


def _mapped(
    mappings: Sequence[str],
    files: Mapping[str, Path],
    catalogue: "Catalogue",
    lifecycle: "Lifecycle",
) -> "dict[str, Export | None]":
    """What the columns of each export mean: the mapping given, else its connector's, else None.

    A mapping that does not say whose it is belongs to the one tool whose connector brings none.
    """
    from api.audit.mapping import mapping_of, read_mapping

    given: dict[str, Path] = {}
    known = {tool: mapping_of(lifecycle, catalogue.connectors, tool) for tool in files}
    for value in mappings:
        tool, equals, file = value.partition("=")
        if not equals:
            file = value
            unknown = [one for one, mapping in known.items() if mapping is None] or list(files)
            if len(unknown) != 1:
                raise click.UsageError(f"whose mapping is {value}? Write --mapping TOOL={value}")
            tool = unknown[0]
        if tool not in files:
            raise click.UsageError(f"a mapping for {tool!r}, of which no export is given")
        given[tool] = Path(file)
    return {tool: read_mapping(given[tool]) if tool in given else known[tool] for tool in files}


def _given(files: Mapping[str, Path], mapped: "Mapping[str, Export | None]") -> "list[Given]":
    """Each export with its mapping; one that knows no column has one made ready when it is read."""
    from api.audit.records import Given
    from lifecycle.connectors import Export

    return [Given(tool, path, mapped[tool] or Export(ref=())) for tool, path in files.items()]


def _audited(
    given: "Sequence[Given]", lifecycle: "Lifecycle", at: datetime, confirm: Path | None
) -> "Audit":
    from api.audit.auditing import audit as audited
    from api.audit.decisions import read_decisions

    try:
        decisions = read_decisions(confirm) if confirm else None
    except ValueError as exc:
        raise click.ClickException(str(exc)) from exc
    with _progress({one.tool: one.file for one in given}) as tell:
        return audited(lifecycle, given, at=at, decisions=decisions, progress=tell)


@contextmanager
def _progress(files: Mapping[str, str]) -> "Iterator[Progress]":
    """On a terminal: the rows read of each tool's file, then those matched, and the jobs judged."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}"),
        TimeElapsedColumn(),
    )
    with Bars(
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
        refresh_per_second=4,
    ) as bars:
        tasks = {
            tool: bars.add_task(f"reading {escape(file)}", total=None)
            for tool, file in files.items()
        }

        def tell(what: str, done: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=None)
            bars.update(tasks[what], completed=done)

        yield tell


def _walked(found: "Audit", confirm: Path) -> bool:
    """Ask about doubtful pairs, where somebody is there to answer; say whether any was decided."""
    from rich.console import Console

    from api.audit.confirming import walk

    if not found.to_confirm:
        click.echo("No pair of rows is in doubt.", err=True)
        return False
    walked = walk(found, confirm, Console(stderr=True))
    click.echo(
        f"{walked.same:,} the same job, {walked.apart:,} apart, {walked.left:,} left open;"
        f" kept in {confirm}",
        err=True,
    )
    return walked.answered


def _adopt(found: "Audit", lifecycle: "Lifecycle", path: Path) -> None:
    """Write the import file: whole, or not at all."""
    from api.audit.adopting import write_import

    with _draft(path) as draft:
        count = write_import(found, lifecycle, draft)
    click.echo(
        f"{path} opens {count:,} jobs: statekeeper import {lifecycle.collection} {path} --as NAME",
        err=True,
    )
    for one in found.summary.unopened:
        click.echo(f"  not opened: {one.jobs:,} because {one.why.value}", err=True)


@contextmanager
def _draft(path: Path) -> Iterator[Path]:
    """A file beside it that takes its place once it is whole."""
    draft = path.with_name(f".{path.name}.part")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _report(found: "Audit", lifecycle: "Lifecycle", form: str, output: Path | None) -> None:
    """Write the report: whole, or not at all."""
    if output is None:
        if form == "terminal":
            _show(found, lifecycle, sys.stdout)
        else:
            _write(found, lifecycle, form, sys.stdout.buffer)
        return
    with _draft(output) as draft, draft.open("wb") as file:
        _write(found, lifecycle, form, file)
    click.echo(f"{found.summary.sentence} Read {output}.", err=True)


def _write(found: "Audit", lifecycle: "Lifecycle", form: str, out: BinaryIO) -> None:
    """Write the report in one of the formats."""
    from api.audit.report import told

    if form == "json":
        from api.audit.json import write_json

        return write_json(found, out)
    report = told(found, lifecycle.ownership.states)
    if form == "xlsx":
        from api.audit.tables import write_xlsx

        return write_xlsx(found, out, report)
    with _as_text(
        out, "utf-8-sig" if form == "csv" and out is not sys.stdout.buffer else "utf-8"
    ) as text:
        match form:
            case "csv":
                from api.audit.tables import write_csv

                write_csv(found, text)
            case "html":
                from api.audit.html import html

                text.write(html(report))
            case "markdown":
                from api.audit.markdown import markdown

                text.write(markdown(report))
            case _:
                _show(found, lifecycle, text)
    return None


@contextmanager
def _as_text(out: BinaryIO, encoding: str) -> Iterator[TextIO]:
    """Write text into a file of bytes."""
    text = io.TextIOWrapper(out, encoding=encoding, newline="")
    try:
        yield text
    finally:
        text.flush()
        text.detach()


def _show(found: "Audit", lifecycle: "Lifecycle", out: TextIO) -> None:
    from rich.console import Console

    from api.audit.report import told
    from api.audit.terminal import LISTED_MAX, show

    show(told(found, lifecycle.ownership.states, LISTED_MAX), Console(file=out))


def _told(exc: "BadExport") -> str:
    """One line; where a mapping would do, it is written to be filled in."""
    from api.audit.mapping import NeedsMapping

    if not isinstance(exc, NeedsMapping):
        return str(exc)
    ready = Path(f"mapping-{exc.tool}.yaml")
    try:
        with ready.open("x", encoding="utf-8") as file:
            file.write(exc.mapping)
    except FileExistsError:
        return f"{exc}: {ready} stands there already; delete it to have it made anew"
    return f"{exc}: {ready}; then give it with --mapping {exc.tool}={ready}"
