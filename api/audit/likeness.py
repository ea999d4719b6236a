"""How much two records are alike: a score of everything that is known of both, explained."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from rapidfuzz import fuzz
from rapidfuzz.distance import JaroWinkler

from api.audit.findings import Reason
from api.audit.records import Record

WEIGHTS: Final[Mapping[str, float]] = {
    "name": 0.30,
    "email": 0.25,
    "phone": 0.15,
    "address": 0.10,
    "money": 0.10,
    "title": 0.10,
}
"""What each part counts, before it is shared out over those that both records have."""
KNOWN_OF_BOTH_MIN: Final = 0.5
"""So much of the weight must be known of both records before a score may link by itself."""


def compare(left: Record, right: Record) -> tuple[float, tuple[Reason, ...]]:
    """How much two records are alike, from 0 to 1, and why: the parts that both have."""
    parts = [
        (what, mine, theirs, likeness)
        for what, mine, theirs, likeness in _parts(left, right)
        if likeness is not None
    ]
    whole = sum(WEIGHTS[what] for what, _, _, _ in parts)
    if not whole:
        return 0.0, ()
    reasons = tuple(
        Reason(what, mine, theirs, round(likeness, 3), round(WEIGHTS[what] / whole, 3))
        for what, mine, theirs, likeness in parts
    )
    score = sum(WEIGHTS[what] * likeness for what, _, _, likeness in parts) / whole
    return round(score, 4), reasons


def enough(reasons: Sequence[Reason]) -> bool:
    """Whether so much is known of both that a score means something by itself."""
    return sum(WEIGHTS[reason.what] for reason in reasons) >= KNOWN_OF_BOTH_MIN


def blocks(one: Record) -> Iterator[str]:
    """What a record has in common with those that are worth comparing it with."""
    if one.email:
        yield "e" + one.email
        yield "l" + one.email.partition("@")[0]
    if one.phone:
        yield "p" + one.phone
    if one.name:
        tokens = sorted(_plain(one.name).split())
        yield "n" + " ".join(_VOWELS.sub("", token) for token in tokens)
        if len(tokens) > 2:  # noqa: PLR2004 - of three words one may be mistyped
            for left_out in range(len(tokens)):
                yield "m" + " ".join(tokens[:left_out] + tokens[left_out + 1 :])
    if one.address and (words := _plain(one.address).split()):
        yield "a" + " ".join(words[:2])
    if one.money and one.money.amount:  # to the cent: finds what is left where a name is mistyped
        yield f"${one.money}"


def name_likeness(left: Record, right: Record) -> float | None:
    """How much two names are alike, however their words are ordered."""
    if not left.name or not right.name:
        return None
    if left.name == right.name:
        return 1.0
    return fuzz.token_sort_ratio(_plain(left.name), _plain(right.name)) / 100


def _email_likeness(left: str, right: str) -> float | None:
    if not left or not right:
        return None
    if left == right:
        return 1.0
    likeness = JaroWinkler.similarity(left, right)
    return 0.7 if likeness >= _EMAIL_LIKE else 0.0


def _phone_likeness(left: str, right: str) -> float | None:
    if not left or not right:
        return None
    if left == right:
        return 1.0
    return 0.8 if left[-7:] == right[-7:] else 0.0


def _address_likeness(left: str, right: str) -> float | None:
    if not left or not right:
        return None
    if left == right:
        return 1.0
    mine, theirs = _plain(left), _plain(right)
    likeness = fuzz.token_set_ratio(mine, theirs) / 100
    numbers = set(_DIGITS.findall(mine)), set(_DIGITS.findall(theirs))
    if all(numbers) and not numbers[0] & numbers[1]:  # another house in the same street
        return likeness / 2
    return likeness


def money_likeness(left: Record, right: Record) -> float | None:
    """Whether two amounts are the same, or nearly; None across currencies."""
    mine, theirs = left.money, right.money
    if not mine or not theirs or mine.currency != theirs.currency:
        return None
    if mine.amount == theirs.amount:
        return 1.0
    apart = abs(mine.amount - theirs.amount) / max(abs(mine.amount), abs(theirs.amount))
    return 0.8 if apart <= _MONEY_NEAR else 0.0


def title_likeness(left: Record, right: Record) -> float | None:
    """How much alike the jobs are called."""
    if not left.title or not right.title:
        return None
    if left.title == right.title:
        return 1.0
    return fuzz.token_set_ratio(_plain(left.title), _plain(right.title)) / 100


# The parts; a likeness is None where either record does not have it.


def _parts(left: Record, right: Record) -> Iterator[tuple[str, str, str, float | None]]:
    yield "name", left.name, right.name, name_likeness(left, right)
    yield "email", left.email, right.email, _email_likeness(left.email, right.email)
    yield "phone", left.phone, right.phone, _phone_likeness(left.phone, right.phone)
    yield "address", left.address, right.address, _address_likeness(left.address, right.address)
    yield "money", str(left.money), str(right.money), money_likeness(left, right)
    yield "title", left.title, right.title, title_likeness(left, right)


def _plain(text: str) -> str:
    return _PUNCTUATION.sub(" ", text.casefold())


_PUNCTUATION: Final = re.compile(r"[\W_]+")
_VOWELS: Final = re.compile(r"(?<=.)[aeiou]")
_DIGITS: Final = re.compile(r"\d+")
_EMAIL_LIKE: Final = 0.93
_MONEY_NEAR: Final = 0.01
