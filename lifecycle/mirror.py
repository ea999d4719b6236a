"""What one tool says of one case, and what it was told: the last on each field, with its time.

A report that is older than what a tool said last says nothing new; one that repeats what the tool
was just told is an echo. Values are not kept here: what is true stands with the case.
"""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from lifecycle.events import Asker, ClaimEnded, ClaimMade, Entry, Reported


class Said(Struct, frozen=True):
    """The last word on a status field, and what it was taken to mean."""

    word: str
    at: datetime
    outcome: str
    why: str = ""
    expected: str | None = None


class Told(Struct, frozen=True):
    """A word that was delivered to the tool."""

    word: str
    at: datetime


class Mirror(Struct, frozen=True):
    """One tool and one case, seen from both sides."""

    words: Mapping[str, Said] = {}
    """Status field → what the tool said last."""
    fields: Mapping[str, datetime] = {}
    """Field → when the tool last said what it is."""
    differing: frozenset[str] = frozenset()
    """Fields for which it last said another value than ours."""
    told: Mapping[str, tuple[Told, ...]] = {}
    """Status field → the words delivered since the tool last spoke on it, the oldest first."""

    def says_later(self, status_field: str, at: datetime) -> bool:
        """Whether the tool has said something later on this status field."""
        said = self.words.get(status_field)
        return said is not None and at < said.at

    def was_told(self, status_field: str, word: str, since: datetime) -> bool:
        """Whether this word was delivered since then, and the tool has not spoken meanwhile."""
        return any(one.word == word and one.at >= since for one in self.told.get(status_field, ()))


SILENT = Mirror()
"""A tool that has neither said nor been told anything."""


def reflect(mirror: Mirror, event: Reported) -> Mirror:
    """The mirror after one more report."""
    words, told = mirror.words, mirror.told
    if event.word:
        said = Said(event.word, event.at, event.outcome, event.why, event.expected)
        words = {**words, event.status_field: said}
        told = {field: was for field, was in told.items() if field != event.status_field}
    if not event.said:
        return replace(mirror, words=words, told=told)
    times = mirror.fields
    spoken = {name: max(event.at, times.get(name, event.at)) for name in event.said}
    return replace(
        mirror,
        words=words,
        told=told,
        fields={**times, **spoken},
        differing=mirror.differing.difference(event.said).union(event.differing),
    )


class Claim(Struct, frozen=True):
    """What an owner said too early, and what is to come true by it."""

    message: str
    """The stream of the message that said so."""
    tool: str
    status_field: str
    word: str
    at: datetime
    by: Asker
    """Who said it: the tool, or staff in its place."""
    reason: str | None
    states: tuple[str, ...]
    """Where the case stood when it was heard."""


class Claims(Struct, frozen=True):
    """All that waits for one case, in order of claimed time."""

    open: tuple[Claim, ...] = ()


def wait(claims: Claims, entry: Entry) -> Claims:
    """What waits after one more claim was made, or ended."""
    match entry.event:
        case ClaimMade() as made:
            claim = Claim(
                made.message,
                made.tool,
                made.status_field,
                made.word,
                made.at,
                made.by,
                made.reason,
                made.states,
            )
            return Claims(tuple(sorted((*claims.open, claim), key=_at)))
        case ClaimEnded(message=message):
            return Claims(tuple(claim for claim in claims.open if claim.message != message))
    raise AssertionError(f"{entry.event.TOPIC} is no claim's [{entry.stream}]")


def _at(claim: Claim) -> datetime:
    return claim.at
