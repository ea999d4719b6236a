"""What each tool shows of a case, as far as is known, beside what it should."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from api.pages.telling import DUE, LOST, Telling
from lifecycle.case import Case
from lifecycle.events import Entry, NoticeDelivered, Reported
from lifecycle.mirror import SILENT, Mirror, Said, Told, reflect
from lifecycle.model import Lifecycle
from lifecycle.vocabulary import StatusField
from projections.timeline import stamp
from projections.why import OF_MIRROR, Waiting
from projections.wording import tool_title

Verdict = Literal["agrees", "differs", "waits", "behind", "unheard", "untold"]
"""How what a tool shows, as far as is known, compares with what it should:

- `agrees`, it shows one of the right words;
- `differs`, it said another since the case came to be where it is;
- `waits`, its word came too early;
- `behind`, nothing was heard from it since the case moved, and its last word fits no more;
- `unheard`, it neither said nor was told anything;
- `untold`, in this state it is told nothing.
"""


class Shown(Struct, frozen=True):
    """What one status field of a tool shows, as far as is known, beside what it should."""

    tool: str
    title: str
    status_field: str
    should: tuple[str, ...]
    """The words that are right here, the one that is told first; empty: it is told nothing."""
    shows: str | None
    at: str | None
    """Since when that is known."""
    said: bool
    """It said so itself; else it was told."""
    line: int
    """Where in the history that stands; 0 where it does not."""
    verdict: Verdict
    telling: Telling | None
    """What keeps it from knowing the right word, where it was not told that."""


def mirrors(entries: Iterable[Entry]) -> dict[str, Mirror]:
    """Tool → what it said and was told."""
    mirrors: dict[str, Mirror] = {}
    for entry in entries:
        event: Any = entry.event
        if isinstance(event, OF_MIRROR):
            mirrors[event.tool] = reflect(mirrors.get(event.tool, SILENT), event)
    return mirrors


def shown(
    case: Case,
    entries: Sequence[Entry],
    claims: Sequence[Waiting],
    mirrors: Mapping[str, Mirror],
    lifecycle: Lifecycle,
    tellings: Mapping[str, Telling],
) -> Iterator[Shown]:
    """Every status field of every tool, as the definition lists them.

    `tellings` say by the notice how it stands with telling what is due.
    """
    lines: dict[tuple[str, str], int] = {}
    for entry in entries:
        event = entry.event
        if isinstance(event, Reported | NoticeDelivered) and event.word:
            lines[event.tool, event.status_field] = entry.position
    early = {(claim.tool, claim.status_field, claim.word) for claim in claims}
    for field in lifecycle.vocabulary.status_fields:
        mirror = mirrors.get(field.tool, SILENT)
        known = _known(mirror, field)
        waits = known is not None and (field.tool, field.name, known.word) in early
        should = lifecycle.vocabulary.words(field, case.states)
        yield Shown(
            tool=field.tool,
            title=tool_title(field.tool, lifecycle),
            status_field=field.name,
            should=should,
            shows=known.word if known else None,
            at=stamp(known.at) if known else None,
            said=isinstance(known, Said),
            line=lines.get((field.tool, field.name), 0),
            verdict="waits" if waits else _verdict(known, should, case, mirror, field),
            telling=_telling(mirror, field, tellings),
        )


def _known(mirror: Mirror, field: StatusField) -> Said | Told | None:
    """What the tool was told since it spoke, else what it said."""
    told = mirror.told.get(field.name)
    return told[-1] if told else mirror.words.get(field.name)


def _verdict(
    known: Said | Told | None,
    should: Collection[str],
    case: Case,
    mirror: Mirror,
    field: StatusField,
) -> Verdict:
    if field.name in mirror.drifts:
        return "differs"
    if known is not None and known.word in should:
        return "agrees"
    if not should:
        return "untold"
    if known is None:
        return "unheard"
    return "differs" if isinstance(known, Said) and known.at >= case.since else "behind"


def _telling(mirror: Mirror, field: StatusField, tellings: Mapping[str, Telling]) -> Telling | None:
    for notice, one in mirror.due.items():
        if one.status_field == field.name:
            return tellings.get(notice, DUE)
    if any(one.status_field == field.name for one in mirror.given_up.values()):
        return LOST
    return None
