"""Which words a case can be found by: those of its id, its references and its texts."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Final

from lifecycle.case import Case
from lifecycle.declaration import Field
from lifecycle.events import ERASED
from lifecycle.model import Lifecycle

WORD_LENGTH_MAX: Final = 64
WORDS_MAX: Final = 200
"""Words that a case can be found by."""
BEGINNING_MAX: Final = 3
"""Letters of a beginning that is kept like a word; whoever asks for a longer one looks through the
words that begin so, of which there are fewer."""
SEARCHED: Final = frozenset({"text", "email", "phone", "address", "choice", "case"})
"""The types of fields that words are taken from."""
END: Final = "\U0010ffff"
"""Sorts behind whatever may follow a word's beginning."""

Found = tuple[str, str]
"""The personal field that a word stands in, empty where all may see it; and the word."""
Bounds = tuple[str, str]
"""Between what a word has to stand, both included."""


def words(text: str) -> list[str]:
    """The words of a text as they are compared: without case and accents.

    What is no letter and no digit parts them.
    """
    if text.isascii():
        text = text.lower()
    else:
        plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
        text = "".join(sign for sign in plain if not unicodedata.combining(sign))
    return [word[:WORD_LENGTH_MAX] for word in _WORD.findall(text)]


_WORD = re.compile(r"[^\W_]+")


def words_of(case: Case, lifecycle: Lifecycle | None) -> frozenset[Found]:
    """Every word that a case can be found by; no more than `WORDS_MAX`."""
    return frozenset(islice(_words_of(case, lifecycle), WORDS_MAX))


@lru_cache(maxsize=64)
def searched(lifecycle: Lifecycle | None) -> Mapping[str, Field]:
    """The fields that words are taken from."""
    fields = lifecycle.fields if lifecycle else {}
    return {name: field for name, field in fields.items() if field.type in SEARCHED}


def _words_of(case: Case, lifecycle: Lifecycle | None) -> Iterator[Found]:
    for text in (case.id, *(ref for refs in case.references.values() for ref in refs)):
        for word in words(text):
            yield "", word
    for name, value in case.fields.items():
        field = searched(lifecycle).get(name)
        if field is None or (field.personal and value == ERASED):
            continue
        where = name if field.personal else ""
        for text in _texts(value):
            for word in words(text):
                yield where, word


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _texts(inner)


# --- as they are kept and asked for -------------------------------------------------------------


@lru_cache(maxsize=20_000)
def kept(word: str) -> tuple[str, ...]:
    """Under what a word is kept: itself, and its beginnings behind a star, which no word has."""
    return word, *(f"*{word[:length]}" for length in range(1, min(len(word), BEGINNING_MAX) + 1))


def looked_for(asked: Sequence[str]) -> tuple[list[str], Bounds | None]:
    """What to look for, to find all of these words, of which the last may only begin so.

    All of that is kept, the beginning first; a long one is looked for once more, between bounds.
    """
    if not asked:
        return [], None
    *whole, last = asked
    begins = f"*{last[:BEGINNING_MAX]}"
    return [begins, *whole], (last, last + END) if len(last) > BEGINNING_MAX else None
