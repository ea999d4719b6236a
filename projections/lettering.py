"""What is written in a picture of a lifecycle: the words, and how much room they take."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from lifecycle.declaration import Declaration, Transition

TITLE_SIZE, OWNER_SIZE, LABEL_SIZE = 14.0, 11.5, 12.0
TITLE_LINE, LABEL_LINE = 18.0, 16.0
TITLE_WIDTH_MAX, OWNER_WIDTH_MAX, LABEL_WIDTH_MAX = 170.0, 196.0, 190.0
"""Pixels: the size of each kind of text, the height of its lines, and the width it may have."""


def words_of(name: str) -> str:
    """What is read of a name that was given no title."""
    return name.replace("_", " ").capitalize()


def name_of(move: Transition) -> str:
    """What is read of a transition."""
    return move.title or move.name.replace("_", " ")


def grouped(moves: Iterable[Transition]) -> list[list[Transition]]:
    """Group the moves of one arrow by what is read on it: one line each."""
    named: dict[tuple[str, str, bool], list[Transition]] = defaultdict(list)
    for move in moves:
        named[move.name, label_line(move), move.auto].append(move)
    return list(named.values())


def label_line(move: Transition) -> str:
    """What is read of a transition on its arrow, cut to fit."""
    return fit(name_of(move), LABEL_SIZE, LABEL_WIDTH_MAX, bold=True)


def tool_title(declaration: Declaration, owner: str) -> str:
    """Name the tool that an owner, a tool or a domain, stands for."""
    if owner in declaration.tools:
        return declaration.tools[owner].title
    records = (tool.title for tool in declaration.tools.values() if owner in tool.record_for)
    return next(records, owner)


def width_of(text: str, size: float, *, bold: bool = False) -> float:
    """How wide a text is, rather too much than too little: the reader's font is not known here."""
    return sum(map(_em, text)) * size * (1.07 if bold else 1.0)


def _em(char: str) -> float:
    if unicodedata.east_asian_width(char) in "WF":
        return 1.0
    if unicodedata.combining(char):
        return 0.0
    if char in "ijl.,:;'|!()[]/ tfrI":
        return 0.38
    if char in "mwMW@%":
        return 0.96
    return 0.71 if char.isupper() else 0.6


def fit(text: str, size: float, width: float, *, bold: bool = False) -> str:
    """Cut a text that is too wide with an ellipsis; the whole stands in its tooltip."""
    text = " ".join(text.split())
    if width_of(text, size, bold=bold) <= width:
        return text
    while text and width_of(text + "…", size, bold=bold) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def broken(text: str) -> tuple[str, ...]:
    """Break a title in one line or two."""
    words = text.split()
    first = ""
    while words:
        longer = f"{first} {words[0]}".strip()
        if width_of(longer, TITLE_SIZE, bold=True) > TITLE_WIDTH_MAX:
            break
        first = longer
        del words[0]
    rest = fit(" ".join(words), TITLE_SIZE, TITLE_WIDTH_MAX, bold=True)
    return tuple(line for line in (first, rest) if line) or ("",)


def count_width(count: int | None) -> float:
    """How wide the number of cases is, with the space before it; nothing where none is told."""
    if count is None:
        return 0.0
    return max(18.0, width_of(f"{count:,}", OWNER_SIZE, bold=True) + 12) + 8
