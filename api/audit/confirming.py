"""Walks a person through the rows that may be one job; every answer is kept as it is given."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct
from rich.console import Console
from rich.table import Table
from rich.text import Text

from api.audit.decisions import keep_decision, read_decisions
from api.audit.findings import Audit, Link
from api.audit.report import plain, tool_title, where

ANSWERS: Final = {"y": "the same job", "n": "two jobs", "l": "later", "q": "stop here"}


class Walked(Struct, frozen=True):
    """What came of a walk."""

    same: int
    apart: int
    left: int
    """Pairs that nobody has decided yet."""

    @property
    def answered(self) -> bool:
        """Whether anything was decided, so that the audit looks different now."""
        return bool(self.same or self.apart)


def walk(audit: Audit, file: Path, console: Console) -> Walked:
    """Ask about every doubtful pair that the file does not decide, the most likely first.

    Where the answers end (a closed terminal, the end of a pipe) the walk ends.
    """
    decided = read_decisions(file)
    open_still = [link for link in audit.to_confirm if link.key not in decided]
    same = apart = 0
    for number, link in enumerate(open_still, start=1):
        console.print(_shown(link, audit, f"{number} of {len(open_still)}"))
        answer = _asked(console)
        if answer == "q":
            break
        if answer != "l":
            keep_decision(file, link.key, same=answer == "y")
            same, apart = same + (answer == "y"), apart + (answer == "n")
    return Walked(same, apart, len(open_still) - same - apart)


def _asked(console: Console) -> str:
    choices = ", ".join(f"[{key}] {said}" for key, said in ANSWERS.items())
    while True:
        try:
            answer = console.input(Text(f"Are they one job? {choices}: "))
        except EOFError:
            return "q"
        if (key := answer.strip().lower()[:1]) in ANSWERS:
            return key


def _shown(link: Link, audit: Audit, at: str) -> Table:
    """Both rows side by side, and how much each part counts."""
    table = Table(title=Text(f"{at}: {link.score:.0%} alike"), title_justify="left")
    table.add_column("")
    for source in (link.left, link.right):
        table.add_column(Text(f"{tool_title(source.tool, audit)}, {where(source)}"))
    table.add_column("alike", justify="right")
    table.add_column("counts", justify="right")
    for row in _rows(link):
        table.add_row(*(Text(cell) for cell in row))
    return table


def _rows(link: Link) -> Iterator[Iterable[str]]:
    if not any(reason.what == "name" for reason in link.reasons):
        yield "name", plain(link.left_name), plain(link.right_name), "", ""
    for one in link.reasons:
        alike, counts = f"{one.likeness:.0%}", f"{one.weight:.0%}"
        yield one.what, plain(one.left), plain(one.right), alike, counts
