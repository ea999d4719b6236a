"""What one tool says of one case, and what it was told: the last on each field, with its time.

A report that is older than what a tool said last says nothing new; one that repeats what the tool
was just told is an echo. Values are not kept here: what is true stands with the case.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from lifecycle.events import (
    Asker,
    ClaimEnded,
    ClaimMade,
    DriftFound,
    DriftResolved,
    Entry,
    Event,
    NoticeDelivered,
    NoticeDue,
    NoticeGivenUp,
    NoticeRecovered,
    NoticeSuperseded,
    ReactionDropped,
    ReactionPlanned,
    Reported,
    Value,
)

T = TypeVar("T")

SUPERSEDED_MAX: Final = 20
TOLD_MAX: Final = 20
"""How many delivered words are remembered for each status field while the tool is silent."""
ROUNDS_MAX: Final = 4
"""How many times of finding a difference are remembered for each field."""


class Said(Struct, frozen=True):
    """The last word on a status field, and what it was taken to mean."""

    word: str
    at: datetime
    outcome: str
    why: str = ""
    expected: str | None = None
    latest: datetime | None = None
    """The latest time that the tool has told of this field; None where none could be read."""


class Told(Struct, frozen=True):
    """A word that was delivered to the tool."""

    word: str
    at: datetime
    """When that was recorded."""
    sent_at: datetime
    """When it was first sent; where nobody knows, as where a person carried it, the same."""


class Due(Struct, frozen=True):
    """Something that the tool is to be told, and has not been told yet."""

    type: str
    status_field: str
    word: str
    request: str
    sealed: bool
    """Whether it carries values."""
    at: datetime
    spoken: bool = False
    """Whether the tool has said something itself on that status field since."""
    names: tuple[str, ...] = ()
    """What the tool calls the values that it carries."""
    asked_by: Asker | None = None
    """Who of the staff wants it told."""
    reason: str | None = None
    """Why."""


class Planned(Struct, frozen=True):
    """A reaction that comes later, unless the case leaves where it is."""

    reaction: str
    request: str
    fires_at: datetime
    states: tuple[str, ...]


class Drift(Struct, frozen=True):
    """A difference that stands, or was dismissed for as long as the tool shows the same."""

    id: str
    reported: str
    """The word; empty of a field."""
    expected: str | None
    since: datetime
    message: str
    why: str = ""
    value: Value = None
    """What the tool says of a field."""
    reads: str = ""
    """What the tool calls the field, where it is told its value."""
    is_dismissed: bool = False
    dismissed_until: datetime | None = None
    """None: until the tool says something else."""

    def stands(self, now: datetime) -> bool:
        """Whether it is to be looked after: not dismissed, or not any more."""
        until = self.dismissed_until
        return not self.is_dismissed or (until is not None and until <= now)


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

    due: Mapping[str, Due] = {}
    """What is still to be told, by id, the oldest first."""
    given_up: Mapping[str, Due] = {}
    """What could not be told, and waits to be recovered."""
    superseded: tuple[str, ...] = ()
    """The last notices that were no longer needed: one may have been under way, and be taken."""
    planned: Mapping[str, Planned] = {}
    """What is to be asked of it later."""
    drifts: Mapping[str, Drift] = {}
    """Status field or field → how it differs."""
    rounds: Mapping[str, tuple[datetime, ...]] = {}
    """Status field or field → when it was found to differ, the last times."""
    handed: Mapping[str, datetime] = {}
    """The tool's own name of a field → when its value was delivered last."""

    def shows(self, status_field: str) -> str | None:
        """The word that it said last, was told since, or is due since; None where there is none."""
        for due in reversed(tuple(self.due.values())):
            if due.word and due.status_field == status_field and not due.spoken:
                return due.word
        if told := self.told.get(status_field):
            return told[-1].word
        said = self.words.get(status_field)
        return said.word if said else None

    def drift_named(self, drift_id: str) -> tuple[str, Drift] | None:
        """A difference that stands or was dismissed, with the field that it is of."""
        return next((one for one in self.drifts.items() if one[1].id == drift_id), None)

    def says_later(self, status_field: str, at: datetime) -> bool:
        """Whether the tool has said something later on this status field."""
        said = self.words.get(status_field)
        return said is not None and said.latest is not None and at < said.latest

    def was_told(
        self, status_field: str, word: str, since: datetime, claimed_at: datetime | None = None
    ) -> bool:
        """Whether this word was delivered since then, so that its coming back is an echo.

        The tool has not spoken meanwhile. What it claims to have seen once another word was sent
        is no echo of the one before: it may have shown the other long before we knew.
        """
        told = self.told.get(status_field, ())
        for place, one in enumerate(told):
            later = told[place + 1 : place + 2]
            replaced = claimed_at is not None and any(claimed_at >= new.sent_at for new in later)
            if one.word == word and one.at >= since and not replaced:
                return True
        return False


SILENT = Mirror()
"""A tool that has neither said nor been told anything."""


def reflect(  # noqa: PLR0911 - one for each kind of fact
    mirror: Mirror, event: Event
) -> Mirror:
    """The mirror after one more event of its stream."""
    match event:
        case NoticeDue():
            due = Due(
                event.type,
                event.status_field,
                event.word,
                event.request,
                sealed=bool(event.personal),
                at=event.recorded_at,
                names=tuple(event.personal),
                asked_by=event.by if event.why == "asked" else None,
                reason=event.reason,
            )
            # What was planned has come.
            planned = mirror.planned and _without(mirror.planned, event.id)
            return replace(mirror, due={**mirror.due, event.id: due}, planned=planned)
        case NoticeSuperseded():
            return replace(
                mirror,
                due=_without(mirror.due, event.id),
                given_up=mirror.given_up and _without(mirror.given_up, event.id),
                superseded=(*mirror.superseded[1 - SUPERSEDED_MAX :], event.id),
            )
        case NoticeDelivered():
            return _told(mirror, event)
        case Reported():
            return _said(mirror, event)
        case NoticeGivenUp():
            given_up = {**mirror.given_up, event.id: mirror.due[event.id]}
            return replace(mirror, due=_without(mirror.due, event.id), given_up=given_up)
        case NoticeRecovered():
            again = mirror.given_up.get(event.id) or mirror.due[event.id]
            due_again = {**_without(mirror.due, event.id), event.id: again}
            return replace(mirror, due=due_again, given_up=_without(mirror.given_up, event.id))
        case ReactionPlanned():
            plan = Planned(event.reaction, event.request, event.fires_at, event.states)
            return replace(mirror, planned={**mirror.planned, event.id: plan})
        case ReactionDropped():
            return replace(mirror, planned=_without(mirror.planned, event.id))
        case DriftFound() | DriftResolved():
            return _differs(mirror, event)
    raise AssertionError(f"{event.TOPIC} does not stand in a mirror")


def _said(mirror: Mirror, event: Reported) -> Mirror:
    words, told, due = mirror.words, mirror.told, mirror.due
    if event.word:
        before = words.get(event.status_field)
        latest = event.at if not event.timeless else before.latest if before else None
        said = Said(event.word, event.at, event.outcome, event.why, event.expected, latest)
        words = {**words, event.status_field: said}
        told = _untold(told, event)
        if due:
            due = {name: _spoken(one, event.status_field) for name, one in due.items()}
    if not event.said:
        return replace(mirror, words=words, told=told, due=due)
    times = mirror.fields
    named = () if event.timeless else event.said
    spoken = {name: max(event.at, times.get(name, event.at)) for name in named}
    return replace(
        mirror,
        words=words,
        told=told,
        due=due,
        fields={**times, **spoken},
        differing=mirror.differing.difference(event.said).union(event.differing),
    )


def _untold(
    told: Mapping[str, tuple[Told, ...]], event: Reported
) -> Mapping[str, tuple[Told, ...]]:
    """The tool has spoken since; but what was delivered after the word that it echoes stands."""
    if event.outcome != "echo":
        return _without(told, event.status_field)
    before = told.get(event.status_field, ())
    place = next((at for at, one in enumerate(before) if one.word == event.word), len(before))
    return {**told, event.status_field: before[place + 1 :]}


def _spoken(due: Due, status_field: str) -> Due:
    return replace(due, spoken=True) if due.status_field == status_field else due


def _told(mirror: Mirror, event: NoticeDelivered) -> Mirror:
    """What was delivered is due no more; a word of it is what the tool shows now."""
    due = mirror.due.get(event.id)
    mirror = replace(mirror, due=_without(mirror.due, event.id))
    if due and due.names:
        handed = {**mirror.handed, **dict.fromkeys(due.names, event.recorded_at)}
        mirror = replace(mirror, handed=handed)
    if not event.word:
        return mirror
    before = mirror.told.get(event.status_field, ())
    sent_at = event.sent_at or event.recorded_at
    if before:  # one is sent after the other, whatever the clocks of two couriers say
        sent_at = max(sent_at, before[-1].at)
    told = (*before[1 - TOLD_MAX :], Told(event.word, event.recorded_at, sent_at))
    return replace(mirror, told={**mirror.told, event.status_field: told})


def _differs(mirror: Mirror, event: DriftFound | DriftResolved) -> Mirror:
    drifts, field = mirror.drifts, event.field
    before = drifts.get(field)
    if isinstance(event, DriftResolved):
        if event.how != "dismissed" or before is None:
            return replace(mirror, drifts=_without(drifts, field))
        silent = replace(before, is_dismissed=True, dismissed_until=event.until)
        return replace(mirror, drifts={**drifts, field: silent})
    known = before is not None and before.id == event.id
    drift = Drift(
        event.id,
        event.reported,
        event.expected,
        before.since if before and known else event.recorded_at,
        event.message,
        event.why,
        event.personal.get(field),
        event.reads,
    )
    mirror = replace(mirror, drifts={**drifts, field: drift})
    if known:
        return mirror
    rounds = (*mirror.rounds.get(field, ())[1 - ROUNDS_MAX :], event.recorded_at)
    return replace(mirror, rounds={**mirror.rounds, field: rounds})


def _without(them: Mapping[str, T], name: str) -> Mapping[str, T]:
    if name not in them:
        return them
    left = {**them}
    del left[name]
    return left


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
