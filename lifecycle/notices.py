"""What a change makes due to which tool: decided with the change, recorded in the same append.

A tool is told a word when the word changes and the tool does not show it already; a field that it
reads, when the value changes and it was not the tool itself that said so; a request, when a
reaction asks for it. Only tools with a flow out are told anything. A newer word takes the place of
one that is still due; where that was under way already and was taken all the same, its delivery is
recorded after all: the last event of a notice says what became of it.

Pure: the case before and after, the tool's mirror and the time go in; the events for its mirror
come out.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, Literal

from msgspec import Struct

from lifecycle.case import Case
from lifecycle.declaration import Reaction, seconds
from lifecycle.events import (
    ERASED,
    Asker,
    CaseEvent,
    Erased,
    Event,
    NoticeDue,
    NoticeSuperseded,
    ReactionDropped,
    ReactionPlanned,
    TransitionMade,
    Value,
    Valued,
)
from lifecycle.mirror import Mirror, Planned
from lifecycle.model import Lifecycle
from lifecycle.vocabulary import Turn

WORD_CHANGED: Final = "case.word_changed"
FIELDS_CHANGED: Final = "case.fields_changed"
REQUEST: Final = "case.request"


class Tell(Struct, frozen=True, kw_only=True):
    """Somebody sees to it that a tool is told."""

    tool: str
    how: Literal["again", "by-hand", "missing"]
    """A notice that was given up, or waits, is told now; a person has carried it; or every word
    that the tool lacks becomes due."""
    notice: str = ""
    """Its id; empty of what is missing."""
    reason: str | None = None


class Reword(Struct, frozen=True):
    """A new version of the definition has other words for a case: its tools are told those."""

    before: Mapping[str, Mapping[str, str | None]]
    """Tool → status field → the word in the version before."""


class Effect(Struct, frozen=True):
    """What one append did to one case."""

    before: Case | None
    """None where it was opened."""
    after: Case
    events: Sequence[CaseEvent]
    """At least one."""
    name: str
    """The case, like `jobs/J-1042`."""
    made: Sequence[str]
    """The transitions made."""
    erases: bool
    """Whether values of it were erased."""
    turns: Mapping[str, Sequence[Turn]]
    """Tool → the words that it should show now."""

    @property
    def by(self) -> Asker:
        """Whose act it was."""
        return self.events[0].by


def effect_of(
    before: Case | None, after: Case, events: Sequence[CaseEvent], lifecycle: Lifecycle
) -> Effect:
    """What these events did to a case: looked at once, for all its tools."""
    name = f"{after.collection}/{after.id}"
    made = [event.transition for event in events if isinstance(event, TransitionMade)]
    turns = lifecycle.vocabulary.turns(before.states if before else (), after.states)
    return Effect(before, after, events, name, made, Erased in map(type, events), turns)


def due(
    effect: Effect, tool: str, mirror: Mirror, lifecycle: Lifecycle, now: datetime
) -> Sequence[Event]:
    """What a tool is due by a change: the facts first, then the words, then what it is asked."""
    events: list[Event] = []
    case = effect.after
    if mirror.planned or (mirror.due and effect.erases):
        events += _needless(effect, tool, mirror, now)
    if fields := _fields_changed(effect, tool, lifecycle):
        told: dict[str, Any] = {"type": FIELDS_CHANGED, "personal": fields}
        events.append(_notice(case, tool, effect.by, now, case_version=case.version, **told))
    for turn in effect.turns.get(tool, ()):
        events += _word(case, tool, turn, mirror, effect.by, now)
    if tool in lifecycle.asked and not lifecycle.asked[tool].isdisjoint(effect.made):
        events += _reactions(effect, tool, lifecycle, now)
    return events


def tell_again(
    case: Case,
    tool: str,
    status_field: str,
    mirror: Mirror,
    lifecycle: Lifecycle,
    *,
    by: Asker,
    now: datetime,
    why: str,
) -> NoticeDue | None:
    """The word of a status field once more; None where there is none, or it is due already."""
    word = lifecycle.vocabulary.shown(case.states).get(tool, {}).get(status_field)
    if word is None or tool not in lifecycle.told:
        return None
    if lifecycle.vocabulary.named[tool, status_field].hear_only:
        return None
    if any(one.status_field == status_field for one in mirror.due.values()):
        return None  # the last one due is the right word
    told: dict[str, Any] = {
        "type": WORD_CHANGED,
        "status_field": status_field,
        "word": word,
        "was": mirror.shows(status_field),
        "why": why,
    }
    return _notice(case, tool, by, now, case_version=case.version, again=why, **told)


def tell_value(
    case: Case,
    tool: str,
    field: str,
    mirror: Mirror,
    lifecycle: Lifecycle,
    *,
    by: Asker,
    now: datetime,
    why: str,
) -> NoticeDue | None:
    """The value of a field that the tool reads, once more; None as for `tell_again`."""
    name = lifecycle.declaration.reads.get(tool, {}).get(field)
    value = case.fields.get(field)
    if name is None or tool not in lifecycle.told or value == ERASED:
        return None
    if any(name in due.names for due in mirror.due.values()):
        return None
    told: dict[str, Any] = {"type": FIELDS_CHANGED, "personal": {name: value}, "why": why}
    return _notice(case, tool, by, now, case_version=case.version, again=why, **told)


def reworded(
    case: Case,
    tool: str,
    before: Mapping[str, str | None],
    mirror: Mirror,
    lifecycle: Lifecycle,
    now: datetime,
) -> Iterator[Event]:
    """The words that a tool does not show, where a new version has another than the one before."""
    for name, word in lifecycle.vocabulary.shown(case.states).get(tool, {}).items():
        field = lifecycle.vocabulary.named[tool, name]
        if word is None or word == before.get(name) or field.hear_only:
            continue
        turn = Turn(name, word, before.get(name), lifecycle.vocabulary.words(field, case.states))
        again = f"version {lifecycle.mark.version}"
        yield from _word(case, tool, turn, mirror, Asker(), now, again)


def fire(
    plan: str, planned: Planned, case: Case, tool: str, lifecycle: Lifecycle, now: datetime
) -> Event:
    """What was planned comes, with the values as they are now; or not, where the case moved on."""
    reaction = next(
        (one for one in lifecycle.declaration.reactions if one.name == planned.reaction), None
    )
    if reaction is None or tool not in lifecycle.told or not set(planned.states) <= {*case.states}:
        return ReactionDropped(
            recorded_at=now,
            by=Asker(),
            id=plan,
            case=f"{case.collection}/{case.id}",
            tool=tool,
            reaction=planned.reaction,
        )
    return _request(case, tool, reaction, Asker(), now, case.version, lifecycle, plan)


# --- what is not needed any more ----------------------------------------------------------------


def _needless(effect: Effect, tool: str, mirror: Mirror, now: datetime) -> Iterator[Event]:
    """Values that were erased are told nobody; what was planned for a state that was left goes."""
    if effect.erases:
        for notice, due in mirror.due.items():
            if due.sealed:
                yield NoticeSuperseded(
                    recorded_at=now,
                    by=effect.by,
                    id=notice,
                    case=effect.name,
                    tool=tool,
                    type=due.type,
                    request=due.request,
                    why="erased",
                )
    for plan, planned in mirror.planned.items():
        if _left(planned.states, effect.events, effect.after):
            yield ReactionDropped(
                recorded_at=now,
                by=effect.by,
                id=plan,
                case=effect.name,
                tool=tool,
                reaction=planned.reaction,
            )


def _superseded(
    case: Case, tool: str, status_field: str, mirror: Mirror, newer: str, by: Asker, now: datetime
) -> Iterator[NoticeSuperseded]:
    """What was still to be told on a status field is not needed any more.

    What is due and right already stays: the tool has not said since that it shows it.
    """
    for older, due in mirror.due.items():
        if due.status_field == status_field and (newer or due.spoken):
            yield NoticeSuperseded(
                recorded_at=now,
                by=by,
                id=older,
                case=f"{case.collection}/{case.id}",
                tool=tool,
                type=due.type,
                status_field=status_field,
                word=due.word,
                why="newer-word" if newer else "shown-already",
                newer=newer,
            )


def _left(states: Sequence[str], events: Sequence[CaseEvent], after: Case) -> bool:
    """Whether one of these states was left, be it for a moment."""
    left = {
        state
        for event in events
        if isinstance(event, TransitionMade)
        for state in ((*event.left,) if event.left == event.to else {*event.left} - {*event.to})
    }
    return bool(left & {*states}) or not {*states} <= {*after.states}


# --- what is due --------------------------------------------------------------------------------


def _fields_changed(effect: Effect, tool: str, lifecycle: Lifecycle) -> dict[str, Value]:
    """The new values of what the tool reads, under its own names; None where one was forgotten."""
    reads = lifecycle.declaration.reads.get(tool)
    before = effect.before.fields if effect.before else {}
    after = effect.after.fields
    if not reads or after is before:
        return {}
    changed = {
        field: after.get(field)
        for field in reads
        if after.get(field) != before.get(field) and after.get(field) != ERASED
    }
    own = _said_by(tool, effect) if changed else ()
    return {reads[field]: value for field, value in changed.items() if field not in own}


def _said_by(tool: str, effect: Effect) -> set[str]:
    """The fields that the tool itself gave."""
    return {
        field
        for event in effect.events
        if isinstance(event, Valued) and event.by.tool == tool
        for field in (*event.fields, *event.personal)
    }


def _word(
    case: Case, tool: str, turn: Turn, mirror: Mirror, by: Asker, now: datetime, again: str = ""
) -> Sequence[Event]:
    """Tell a word, in the place of what is still due on its field, unless the tool shows it."""
    name = turn.status_field
    shows = mirror.shows(name)
    if shows in turn.words:
        return list(_superseded(case, tool, name, mirror, "", by, now)) if mirror.due else ()
    notice = NoticeDue(
        recorded_at=now,
        by=by,
        id=_id(case, tool, name, case.version, again, now),
        case=f"{case.collection}/{case.id}",
        tool=tool,
        type=WORD_CHANGED,
        status_field=name,
        word=turn.word,
        was=shows or turn.was,
        refs=_refs(case, tool),
        case_version=case.version,
    )
    if not mirror.due:
        return (notice,)
    return [*_superseded(case, tool, name, mirror, notice.id, by, now), notice]


def _reactions(
    effect: Effect, tool: str, lifecycle: Lifecycle, now: datetime
) -> Iterator[NoticeDue | ReactionPlanned]:
    """What each transition made has the tool asked, at once or later."""
    first = effect.after.version - len(effect.events) + 1
    for version, event in enumerate(effect.events, first):
        if not isinstance(event, TransitionMade):
            continue
        for reaction in lifecycle.reactions.get((tool, event.transition), ()):
            if reaction.wait is None:
                yield _request(effect.after, tool, reaction, event.by, now, version, lifecycle)
            elif not _left(_entered(event), _after(event, effect), effect.after):
                yield _planned(effect.after, tool, reaction, event, now, version)


def _after(event: TransitionMade, effect: Effect) -> Sequence[CaseEvent]:
    return effect.events[effect.events.index(event) + 1 :]


def _entered(event: TransitionMade) -> tuple[str, ...]:
    """The states that a transition led to: all of them, where it led back to itself."""
    return tuple(state for state in event.to if state not in event.left) or event.to


def _planned(
    case: Case, tool: str, reaction: Reaction, event: TransitionMade, now: datetime, version: int
) -> ReactionPlanned:
    assert reaction.wait is not None, reaction.name
    return ReactionPlanned(
        recorded_at=now,
        by=event.by,
        id=_id(case, tool, f"{REQUEST} {reaction.name}", version, "", now),
        case=f"{case.collection}/{case.id}",
        tool=tool,
        reaction=reaction.name,
        request=reaction.request,
        fires_at=event.time + timedelta(seconds=seconds(reaction.wait)),
        states=_entered(event),
    )


def _request(
    case: Case,
    tool: str,
    reaction: Reaction,
    by: Asker,
    now: datetime,
    version: int,
    lifecycle: Lifecycle,
    plan: str = "",
) -> NoticeDue:
    """What a reaction asks of a tool, with what is known of its fields by their names there."""
    names = lifecycle.declaration.reads.get(tool, {})
    values = {
        names.get(field, field): case.fields[field]
        for field in reaction.fields
        if case.fields.get(field, ERASED) != ERASED
    }
    told: dict[str, Any] = {
        "type": REQUEST,
        "request": reaction.request,
        "reaction": reaction.name,
        "personal": values,
    }
    return _notice(case, tool, by, now, case_version=version, plan=plan, **told)


def _notice(
    case: Case,
    tool: str,
    by: Asker,
    now: datetime,
    *,
    case_version: int,
    plan: str = "",
    again: str = "",
    **told: Any,
) -> NoticeDue:
    # A reaction may be called like a status field, and two values may be told again at once.
    what = told.get("reaction") or " ".join(told.get("personal", ()))
    about = told.get("status_field") or f"{told['type']} {what}"
    return NoticeDue(
        recorded_at=now,
        by=by,
        id=plan or _id(case, tool, about, case_version, again, now),
        case=f"{case.collection}/{case.id}",
        tool=tool,
        refs=_refs(case, tool),
        case_version=case_version,
        **told,
    )


def _refs(case: Case, tool: str) -> dict[str, tuple[str, ...]]:
    """The tool's own ids of a case, by kind."""
    if not case.references:
        return {}
    return {
        kind or "main": refs
        for key, refs in case.references.items()
        for whose, _, kind in (key.partition(":"),)
        if whose == tool
    }


def _id(case: Case, tool: str, about: str, version: int, again: str, now: datetime) -> str:
    """Name what is due by what it is about and by the moment in which it became so.

    Decided twice at different times it has two names: that it is told once is for the mirror to
    say, in which it is due already. `again` is why something is told anew, which tells that from
    what one and the same append had made due. Names rise with time, so that indexes grow at their
    ends.
    """
    said = f"{case.collection}\x1f{case.id}\x1f{tool}\x1f{about}\x1f{version}\x1f{again}"
    return f"ntc_{_prefix(now)}{sha256(said.encode()).hexdigest()[:15]}"


@lru_cache(maxsize=1)
def _prefix(now: datetime) -> str:
    """A moment in eleven digits; all that one append makes due has the same."""
    return f"{int(now.timestamp() * 1000):011x}"
