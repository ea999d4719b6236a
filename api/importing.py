"""`statekeeper import`: a file of lines into the log, beside whatever service runs over it."""

import gc
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from time import perf_counter, sleep
from typing import BinaryIO

from msgspec import Struct
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from api.asking import moved_since, states_of
from api.door import Keeper
from api.imports import PAUSE_SECONDS
from api.lines import (
    ENDED,
    FEW_LINES,
    Chunk,
    Company,
    Import,
    LineAnswer,
    Overtaken,
    answers,
    not_asked,
    settled,
    stopped_by,
)
from lifecycle.adoption import adopt
from lifecycle.asks import Answer
from lifecycle.events import Asker
from lifecycle.journal import Journal, Outcome, Record
from lifecycle.refusals import (
    DefinitionNotAdopted,
    NotNow,
    Overloaded,
    Refusal,
    StorageUnavailable,
    UnknownCollection,
    UnknownTool,
)
from lifecycle.streams import definition_stream

PIECE_BYTES = 2**16
GARBAGE_THRESHOLD = 50_000
LINES_ALONE = 512
"""Asked together while nobody else writes: nobody waits behind them."""
NOT_NOW = {StorageUnavailable.code, DefinitionNotAdopted.code}


class Example(Struct):
    """Lines refused with one code, and the first of them."""

    times: int
    line: int
    detail: str


class Report(Struct):
    """What became of an import."""

    lines: int = 0
    applied: int = 0
    repeated: int = 0
    """Lines that an earlier import of the same bytes applied; nothing changed."""
    refused: dict[str, Example] = {}
    """By code, the commonest first. With what was applied and repeated, these are all lines."""
    seconds: float = 0.0
    per_second: float = 0.0
    stopped: str | None = None
    """Why the rest of the lines was not asked; the same file again mends it."""


def begun(
    keeper: Keeper, collection: str, source: str, *, staff: str | None, tool: str | None
) -> Import:
    """An import on the word of whoever sits at the database.

    A log that knows no definition yet adopts those that are here. Raises `UnknownCollection`,
    `UnknownTool`.
    """
    lifecycle = keeper.catalogue.lifecycles.get(collection)
    if lifecycle is None:
        there = ", ".join(keeper.catalogue.lifecycles)
        raise UnknownCollection(f"no collection is called {collection!r} (there are: {there})")
    if tool and tool not in lifecycle.declaration.tools:
        there = ", ".join(lifecycle.declaration.tools)
        raise UnknownTool(f"{collection} know no tool {tool!r} (declared: {there})")
    if not keeper.journal.known_now(definition_stream(lifecycle.name)).version:
        adopt(keeper.journal, keeper.catalogue.lifecycles.values())
    return Import(lifecycle, Asker(tool=tool, staff=staff), source)


def import_file(keeper: Keeper, coming: Import, file: BinaryIO, console: Console) -> Report:
    """Import all lines of a file, telling on the console how far it is."""
    report, started = Report(), perf_counter()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[lines]:,} lines"),
        TimeRemainingColumn(),
    )
    gc.freeze()  # as in a service: what stands by now is not looked at again and again
    gc.set_threshold(GARBAGE_THRESHOLD)
    size = Path(file.name).stat().st_size if Path(file.name).is_file() else None
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("importing", total=size, lines=0)
        for taken, answered in _answered(keeper, coming, file):
            for one in answered:
                _count(report, one)
            bar.update(task, completed=taken, lines=report.lines)
    report.seconds = perf_counter() - started
    report.per_second = report.lines / report.seconds
    report.stopped = next(
        (one.detail for code, one in report.refused.items() if code in NOT_NOW), None
    )
    report.refused = dict(sorted(report.refused.items(), key=lambda one: -one[1].times))
    return report


def summary(report: Report) -> str:
    """The report for people."""
    lines = [
        f"{report.lines:,} lines in {report.seconds:.1f} s ({report.per_second:,.0f} a second)",
        f"{report.applied:>12,} applied",
        f"{report.repeated:>12,} repeated: imported before, changed nothing",
    ]
    lines += [
        f"{one.times:>12,} {code}, like line {one.line}: {one.detail}"
        for code, one in report.refused.items()
    ]
    return "\n".join(lines)


def refused_lines(report: Report) -> int:
    """How many lines were refused."""
    return sum(one.times for one in report.refused.values())


def _count(report: Report, answer: LineAnswer | tuple[int, Refusal]) -> None:
    report.lines += 1
    if isinstance(answer, LineAnswer):
        report.repeated += answer.replayed
        report.applied += not answer.replayed
        return
    number, refusal = answer
    example = report.refused.setdefault(refusal.code, Example(0, number, refusal.detail))
    example.times += 1


LineAnswers = Iterator[LineAnswer | tuple[int, Refusal]]


def _answered(keeper: Keeper, coming: Import, file: BinaryIO) -> Iterator[tuple[int, LineAnswers]]:
    """Bytes taken so far, and the answers to the lines that were asked together.

    A chunk is made ready while the one before it is decided, and asked once that one stands.
    """
    journal, company, overtaken = keeper.journal, Company(keeper), Overtaken()
    asked: Asked | None = None
    taken = 0  # counted, not asked of the file: a pipe cannot tell
    began = perf_counter()
    for taken, chunk in _chunks(coming, file):
        stopped, answered = _finished(keeper, asked, overtaken)
        sleep(company.share(perf_counter() - began))
        began = perf_counter()
        asked = Asked(chunk, stopped) if stopped else _asked(journal, chunk, overtaken.take())
        coming.at_once = FEW_LINES if company.has_come() else LINES_ALONE
        yield taken, answered
    yield taken, _finished(keeper, asked, overtaken)[1]
    journal.record_many(overtaken.take())


def _chunks(coming: Import, file: BinaryIO) -> Iterator[tuple[int, Chunk]]:
    taken = 0
    while piece := file.read(PIECE_BYTES):
        taken += len(piece)
        for chunk in coming.chunks(piece):
            yield taken, chunk
    for chunk in coming.chunks(ENDED):
        yield taken, chunk


class Asked(Struct, frozen=True):
    """A chunk, and what becomes of it; or why it was not asked."""

    chunk: Chunk
    future: Future[list[Outcome]] | NotNow
    beside: int = 0
    """How many records of what was overtaken go before its asks."""


def _asked(journal: Journal, chunk: Chunk, over: Sequence[Record]) -> Asked:
    """Ask; where too much waits already, people go first."""
    while True:
        try:
            future = journal.answer_many_later([*over, *chunk.asks], chunk.size)
        except Overloaded:
            sleep(PAUSE_SECONDS)
        else:
            return Asked(chunk, future, len(over))


def _finished(
    keeper: Keeper, asked: Asked | None, overtaken: Overtaken
) -> tuple[NotNow | None, LineAnswers]:
    """What ends the import, if anything does, and the answers to what was asked."""
    if asked is None:
        return None, iter(())
    chunk, future = asked.chunk, asked.future
    if isinstance(future, NotNow):
        return future, answers(chunk, [not_asked(future) for _ in chunk.asks], {})
    outcomes = settled(future.result()[asked.beside :])
    overtaken.learn(chunk.asks, outcomes)
    states: dict[tuple[str, int], str] = {}
    if moved := moved_since(one for one in outcomes if isinstance(one, Answer)):
        journal = keeper.journal
        stored = journal.recorder.streams(moved)
        states = states_of(journal.mapper.to_domain_event(one) for one in stored)
    return stopped_by(outcomes), answers(chunk, outcomes, states)
