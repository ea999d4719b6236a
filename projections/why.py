"""Why a case is where it is: the chain that led here, what it rests on, and what may come next.

Everything is told from the case and its entries; the lifecycle lends the names, and says what is
open now.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

from msgspec import Struct

from lifecycle.case import Case
from lifecycle.drift import Standing, standing
from lifecycle.events import (
    CarriedOver,
    CaseEvent,
    CaseOpened,
    ClaimEnded,
    ClaimMade,
    DriftFound,
    DriftResolved,
    Entry,
    Heard,
    NoticeDelivered,
    NoticeGivenUp,
    OfNotice,
    ReactionDropped,
    ReactionPlanned,
    Refused,
    Reported,
    StateCorrected,
    TransitionMade,
    Understood,
    Valued,
)
from lifecycle.mirror import SILENT, Claim, Claims, Mirror, reflect, wait
from lifecycle.model import Lifecycle
from lifecycle.moves import AND, OpenTransition
from lifecycle.streams import message_id
from projections.sentences import act, sentence
from projections.timeline import EventView, settled, stamp, view
from projections.views import HELD_UP, is_declared, overdue, ways_out
from projections.wording import (
    all_of,
    any_of,
    condition,
    label,
    mentions,
    moment,
    noun,
    plain,
    spaced,
    state_titles,
    tool_title,
)

_BELONGS: Final = re.compile("^(.+) belongs to (.+)$")
FACTS_TOLD_MAX: Final = 4
"""Facts that the answer tells of; all stand in `because`."""
DAY_SECONDS: Final = 86_400
NO_ATTEMPTS: Final[Mapping[str, int]] = {}
"""What is known of them without the courier's book."""
_UNITS: Final = ((DAY_SECONDS, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


class Told(Struct, frozen=True):
    """What a tool is told of this state, and how it stands to that."""

    tool: str
    status_field: str
    word: str | None
    """What it should show."""
    outcome: Literal["delivered", "agrees", "waiting", "given-up", "differs", "unknown"]
    at: str | None
    """Since when that is so."""
    attempts: int
    """Made to tell it, so far."""
    shown: str | None = None
    """What it shows, as far as is known."""
    why: str = ""
    """Why it differs."""


class Waiting(Struct, frozen=True):
    """What a tool said that waits: before the case had come that far, or in unknown words."""

    tool: str
    status_field: str
    word: str
    since: str
    """When the tool saw it."""
    message: str
    why: str
    """`early`, or why nobody can know what it means."""


class Why(Struct, frozen=True):
    """Why a case is where it is."""

    collection: str
    id: str
    state: str
    since: str
    answer: str
    """A short paragraph for a stranger."""
    because: Sequence[EventView]
    """The changes of state that led here and the facts they rested on, newest first."""
    told: Sequence[Told]
    refused: Sequence[EventView]
    """What was refused, newest first."""
    waiting: Sequence[Waiting]
    """Claims that came too early, in the order in which they are decided again."""
    next: Sequence[OpenTransition]


def why(
    case: Case,
    entries: Sequence[Entry],
    lifecycle: Lifecycle,
    *,
    hidden: Collection[str] = (),
    now: datetime,
    attempts: Mapping[str, int] = NO_ATTEMPTS,
) -> Why:
    """Say why, from all entries of the case and beside it up to the moment asked about.

    `now` is that moment: what is overdue is overdue then. What is between a tool and Statekeeper is
    told as far as it stands among the entries; of what still waits (`waits_to_be_told`) nobody but
    the courier knows the `attempts` so far, by notice.
    """
    changes = [entry for entry in entries if isinstance(entry.event, CaseEvent)]
    chain = _chain(changes, lifecycle)
    refusals = [entry for entry in settled(entries) if isinstance(entry.event, Refused)][::-1]
    ways = ways_out(case, lifecycle, hidden=hidden) if is_declared(case, lifecycle) else ()

    def views(shown: Sequence[Entry]) -> list[EventView]:
        named = {"collection": case.collection, "id": case.id}
        return [view(entry, lifecycle, hidden=hidden, **named) for entry in shown]

    return Why(
        case.collection,
        case.id,
        case.state,
        stamp(case.since),
        " ".join(_answer(case, chain, refusals, ways, lifecycle, hidden, now)),
        views(sorted({id(e): e for link in chain for e in link}.values(), key=_newest)),
        list(_told(case, entries, lifecycle, attempts)),
        views(refusals),
        waiting(entries),
        ways,
    )


def reasons(case: Case, entries: Sequence[Entry], lifecycle: Lifecycle) -> list[str]:
    """Say only why it is there: where it is and what comes next stand beside it already."""
    changes = [entry for entry in entries if isinstance(entry.event, CaseEvent)]
    refusals = [entry for entry in settled(entries) if isinstance(entry.event, Refused)][::-1]
    return [*_reasons(case, _chain(changes, lifecycle), refusals, lifecycle, ())]


def waiting(entries: Sequence[Entry]) -> list[Waiting]:
    """List what came too early, in the order in which it is decided again, and what is parked."""
    claims = Claims()
    for entry in entries:
        if isinstance(entry.event, ClaimMade | ClaimEnded):
            claims = wait(claims, entry)
    return [*map(_waiting, claims.open), *_parked(entries)]


def _waiting(claim: Claim) -> Waiting:
    since = stamp(claim.at)
    message = message_id(claim.message)
    return Waiting(claim.tool, claim.status_field, claim.word, since, message, "early")


def _parked(entries: Sequence[Entry]) -> Iterator[Waiting]:
    """Tell what was said in words that nobody has declared."""
    parked: dict[str, Heard] = {}
    for entry in entries:
        if isinstance(entry.event, Heard):
            parked[entry.stream] = entry.event
        elif isinstance(entry.event, Understood) and entry.event.outcome != "parked":
            parked.pop(entry.stream, None)
    for stream, heard in parked.items():
        if heard.outcome == "parked":
            about = (heard.tool, heard.status_field, heard.word)
            yield Waiting(*about, stamp(heard.happened_at), message_id(stream), heard.why)


def waits_to_be_told(entries: Sequence[Entry]) -> list[str]:
    """Name the notices that no tool has taken yet."""
    return [notice for mirror in _mirrors(entries).values() for notice in mirror.due]


def _mirrors(entries: Sequence[Entry]) -> dict[str, Mirror]:
    """Give the mirrors of the tools whose events these are."""
    mirrors: dict[str, Mirror] = {}
    for entry in entries:
        event = entry.event
        if isinstance(event, OF_MIRROR):
            mirrors[event.tool] = reflect(mirrors.get(event.tool, SILENT), event)
    return mirrors


def _told(
    case: Case, entries: Sequence[Entry], lifecycle: Lifecycle, attempts: Mapping[str, int]
) -> Iterator[Told]:
    """Tell how the tools whose events these are stand to the state."""
    if not is_declared(case, lifecycle):
        return
    ended = _ended(entries)
    for tool, mirror in _mirrors(entries).items():
        for one in standing(tool, mirror, case, lifecycle):
            if one.is_word and one.expected is not None:
                tries = ended.get((tool, one.field, one.expected), {})
                due = [
                    notice
                    for notice, waits in mirror.due.items()
                    if (waits.status_field, waits.word) == (one.field, one.expected)
                ]
                made = sum(tries.get(notice, 0) + attempts.get(notice, 0) for notice in due)
                last = next(reversed(tries.values()), 0)
                yield _standing(one, mirror, made if due else last)


def _ended(entries: Sequence[Entry]) -> dict[tuple[str, str, str], dict[str, int]]:
    """Tool, status field and word → the notices that came to an end, with the attempts made."""
    ended: dict[tuple[str, str, str], dict[str, int]] = {}
    for entry in entries:
        event = entry.event
        if isinstance(event, NoticeDelivered | NoticeGivenUp) and event.word:
            tries = ended.setdefault((event.tool, event.status_field, event.word), {})
            tries.pop(event.id, None)
            tries[event.id] = event.attempts
    return ended


def _standing(one: Standing, mirror: Mirror, attempts: int) -> Told:
    outcome: Any = one.stands
    if one.stands == "agrees" and mirror.told.get(one.field):
        outcome = "delivered"
    elif one.why == "given-up":
        outcome = "given-up"
    since = stamp(one.since) if one.since else None
    return Told(one.tool, one.field, one.expected, outcome, since, attempts, one.shown, one.why)


OF_MIRROR: Final = (
    *(Reported, OfNotice, ReactionPlanned, ReactionDropped, DriftFound, DriftResolved),
)
"""What stands in a mirror."""


# --- the chain ----------------------------------------------------------------------------------


def _chain(changes: Sequence[Entry], lifecycle: Lifecycle) -> list[list[Entry]]:
    """Follow the changes of state: each with the facts that it rested on, the latest last."""
    chain: list[list[Entry]] = []
    known: dict[str, Entry] = {}
    for entry in sorted(changes, key=_version):
        event = entry.event
        if isinstance(event, Valued):
            known |= dict.fromkeys((*event.fields, *event.personal), entry)
        if isinstance(event, CaseOpened | TransitionMade | StateCorrected | CarriedOver):
            facts = {id(known[name]): known[name] for name in _rests_on(event, lifecycle, known)}
            facts.pop(id(entry), None)
            chain.append([entry, *sorted(facts.values(), key=_newest)])
    return chain


def _rests_on(event: CaseEvent, lifecycle: Lifecycle, known: Collection[str]) -> Iterator[str]:
    """Name the known fields that a transition saw or required."""
    if not isinstance(event, TransitionMade):
        return
    named = dict.fromkeys(event.condition.values if event.condition else ())
    places = lifecycle.chart.places
    entered = {up for leaf in event.to if leaf in places for up in (leaf, *places[leaf].above)}
    for row in lifecycle.chart.rows:
        if row.name == event.transition and row.to in entered:
            named |= dict.fromkeys(row.requires)
    yield from (name for name in named if name in known)


def _version(entry: Entry) -> int:
    return entry.version


def _newest(entry: Entry) -> int:
    return -entry.version


# --- the answer, a sentence at a time -----------------------------------------------------------


def _answer(
    case: Case,
    chain: Sequence[Sequence[Entry]],
    refusals: Sequence[Entry],
    ways: Sequence[OpenTransition],
    lifecycle: Lifecycle,
    hidden: Collection[str],
    now: datetime,
) -> Iterator[str]:
    state = state_titles(case.states, lifecycle)
    yield f"{noun(lifecycle).capitalize()} {case.id} has been {state} since {moment(case.since)}."
    yield from _reasons(case, chain, refusals, lifecycle, hidden)
    yield from _late(case, lifecycle, now)
    yield from _next(case, ways, lifecycle, hidden)


def _reasons(
    case: Case,
    chain: Sequence[Sequence[Entry]],
    refusals: Sequence[Entry],
    lifecycle: Lifecycle,
    hidden: Collection[str],
) -> Iterator[str]:
    """Say what brought it there, why that counted, and what was refused since."""
    if chain:
        last, *facts = chain[-1]
        yield sentence(last.event, lifecycle, hidden=hidden)
        yield from _whose_word(last, case, lifecycle)
        if facts:
            yield f"It rests on this: {_facts(facts, lifecycle, hidden)}"
        yield from _refused_since(last, refusals, lifecycle, hidden)


def _whose_word(entry: Entry, case: Case, lifecycle: Lifecycle) -> Iterator[str]:
    """Say why the asker might, by the rule that the event recorded."""
    event = entry.event
    assert isinstance(event, CaseEvent), (entry.stream, event.TOPIC)
    if event.override:
        yield f"“{event.by.name}” is staff, who may act in any tool's place, with a reason."
    elif isinstance(event, TransitionMade) and event.rule:
        yield f"{_who(event, lifecycle)} is believed here, because {_rule(event, lifecycle)}."
    elif isinstance(event, CaseOpened) and event.rule:
        rule = plain(event.rule.replace(case.collection, spaced(case.collection)), lifecycle)
        yield f"{_who(event, lifecycle)} is believed here, because {rule}."


def _who(event: CaseEvent, lifecycle: Lifecycle) -> str:
    return tool_title(event.by.tool, lifecycle) if event.by.tool else event.by.name


def _rule(event: TransitionMade, lifecycle: Lifecycle) -> str:
    """Put into words whose the transition, or the state it led to, was."""
    makers = event.rule.removeprefix(f"{event.transition!r} may be made by ")
    if makers == event.rule:
        return _BELONGS.sub(r"\1 is for \2 to say", plain(event.rule, lifecycle))
    titles = any_of([tool_title(tool, lifecycle) for tool in makers.split(", ")])
    made = act(event.transition, event.left, (), lifecycle, noun(lifecycle))
    return f"it is for {titles} to {made.base}"


def _facts(facts: Sequence[Entry], lifecycle: Lifecycle, hidden: Collection[str]) -> str:
    told = [
        f"{sentence(entry.event, lifecycle, hidden=hidden)[:-1]} ({moment(entry.event.time)})"
        for entry in facts[:FACTS_TOLD_MAX]
        if isinstance(entry.event, CaseEvent)
    ]
    return f"{'; '.join(told)}."


def _refused_since(
    last: Entry, refusals: Sequence[Entry], lifecycle: Lifecycle, hidden: Collection[str]
) -> Iterator[str]:
    """Tell of the latest refusal since the last change of state."""
    since = [
        entry
        for entry in refusals
        if isinstance(entry.event, Refused) and entry.event.case_version >= last.version
    ]
    if since:
        others = f" ({len(since) - 1} more stand below)" if len(since) > 1 else ""
        said = sentence(since[0].event, lifecycle, hidden=hidden)[:-1]
        yield f"Since then, {said}{others}."


def _late(case: Case, lifecycle: Lifecycle, now: datetime) -> Iterator[str]:
    if is_declared(case, lifecycle) and (late := overdue(case, lifecycle, now)):
        owner = lifecycle.ownership.states.get(late.state)
        whose = f" ({tool_title(owner, lifecycle)} answers for it)" if owner else ""
        state = state_titles((late.state,), lifecycle)
        yield f"It has been {state} {span(late.seconds)} longer than it should{whose}."


def _next(
    case: Case, ways: Sequence[OpenTransition], lifecycle: Lifecycle, hidden: Collection[str]
) -> Iterator[str]:
    """Say who may do what now, and what must be known or hold before."""
    if not is_declared(case, lifecycle):
        yield "What may come next cannot be said: this state is not declared any more."
    elif not ways:
        yield "Nothing more is to come: it has ended."
    free = [_way(case, way, lifecycle) for way in ways if not way.blocked]
    if free:
        yield f"Next, {'; or '.join(free)}."
    for way in ways:
        if way.blocked:
            yield f"{_way(case, way, lifecycle)} once {once(case, way, lifecycle, hidden)}."


def _way(case: Case, way: OpenTransition, lifecycle: Lifecycle) -> str:
    makers = any_of([tool_title(tool, lifecycle) for tool in way.by]) if way.by else "staff"
    return f"{makers} may {act(way.name, case.states, (), lifecycle, noun(lifecycle)).base}"


def once(case: Case, way: OpenTransition, lifecycle: Lifecycle, hidden: Collection[str]) -> str:
    """Say what would unblock it."""
    blocked = way.blocked or ""
    if missing := re.fullmatch(r"(.*) (?:is|are) not set", blocked):
        names = [f"the {label(name, lifecycle)}" for name in missing[1].split(", ")]
        return f"{all_of(names)} {'is' if len(names) == 1 else 'are'} known"
    parts = [part.partition(" does not hold") for part in blocked.split(AND)]
    if blocked == HELD_UP or any(not found or mentions(when, hidden) for when, found, _ in parts):
        return "its condition holds"
    case_is = noun(lifecycle)
    return any_of([condition(when, lifecycle, case_is, case.fields) for when, *_ in parts])


def span(seconds: int) -> str:
    """Write a length of time in its two largest units: `2 days and 3 hours`."""
    parts: list[str] = []
    for size, unit in _UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}{'s' if count > 1 else ''}")
    return all_of(parts[:2]) if parts else "less than a second"
