"""Where a tool and the shared state differ: found as it speaks, ended as soon as they agree.

Words and fields alike. Pure: what a tool said, or what became of a case, and the tool's mirror go
in; the events for its mirror come out. A wrong word is told again only where nobody's truth is
overruled by that, and not for ever: two systems that put each other right are a fight, which is for
people.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from lifecycle import changes
from lifecycle.case import Case
from lifecycle.changes import SetFields
from lifecycle.events import (
    ERASED,
    Asker,
    CaseEvent,
    DriftFound,
    DriftResolved,
    Erased,
    Event,
    NoticeDelivered,
    NoticeDue,
    Value,
)
from lifecycle.mirror import Claim, Drift, Mirror
from lifecycle.model import Lifecycle
from lifecycle.notices import tell_again, tell_value
from lifecycle.refusals import ConditionNotMet
from lifecycle.reports import Hearing, Outcome, Report, walk_as_steward
from lifecycle.streams import short_id
from lifecycle.values import normalised

ROUNDS_AN_HOUR_MAX: Final = 3
"""How often a tool is told again of one field, before that is a fight."""
FIGHT: Final = "fight"
HOUR: Final = timedelta(hours=1)

Found = DriftFound | DriftResolved


class Resolve(Struct, frozen=True, kw_only=True):
    """Staff settle a difference: the tool is told, or believed, or let be."""

    drift: str
    """Its id."""
    tool: str
    how: Literal["tell", "accept", "dismiss"]
    reason: str | None = None
    until: datetime | None = None
    """Of what is dismissed; None: until the tool says something else."""


# --- finding ------------------------------------------------------------------------------------


def after_report(
    report: Report,
    outcome: Outcome,
    mirror: Mirror,
    case: Case,
    lifecycle: Lifecycle,
    hearing: Hearing,
) -> Iterator[Found]:
    """What a tool's report says about differences: which begin by it, and which end."""
    whose = _Whose(case, report.tool, hearing.by, hearing.now)
    if report.word:
        yield from _of_word(report, outcome, mirror, whose, hearing)
    if report.fields:
        yield from _of_fields(report, outcome, mirror, whose, lifecycle, hearing)


def after_claim(
    claim: Claim, outcome: Outcome, mirror: Mirror, case: Case, now: datetime
) -> Iterator[Found]:
    """The difference that there is once a claim cannot come true: the tool shows its word still."""
    name, said = claim.status_field, mirror.words.get(claim.status_field)
    if outcome.name == "drift" and said is not None and said.word == claim.word:
        told = {"reported": claim.word, "expected": outcome.expected, "why": outcome.why}
        whose = _Whose(case, claim.tool, claim.by, now)
        yield from _found(name, mirror, whose, claim.message, is_word=True, **told)


def after_change(
    events: Sequence[CaseEvent],
    case: Case,
    tool: str,
    mirror: Mirror,
    lifecycle: Lifecycle,
    now: datetime,
) -> Iterator[Found]:
    """The differences of a tool that these changes of the case have ended, or have changed."""
    if not events:
        return
    whose = _Whose(case, tool, events[0].by, now)
    is_erased = any(isinstance(event, Erased) for event in events)
    for name, drift in mirror.drifts.items():
        field = lifecycle.vocabulary.named.get((tool, name))
        if field is None:
            declared = lifecycle.fields.get(name)
            if declared is None or case.fields.get(name) == drift.value:
                yield whose.resolved(name, drift, "moved")
            elif is_erased and declared.personal:
                yield whose.resolved(name, drift, "erased")
            continue
        words = lifecycle.vocabulary.words(field, case.states)
        if not words or drift.reported in words:
            yield whose.resolved(name, drift, "moved")
        elif drift.expected != words[0] and not drift.is_dismissed:
            told = {"reported": drift.reported, "expected": words[0], "why": drift.why}
            yield whose.found(name, drift.id, drift.message, is_word=True, **told)


def after_telling(
    delivered: NoticeDelivered, mirror: Mirror, now: datetime
) -> Iterator[DriftResolved]:
    """The differences that end because the tool took what is right; `mirror` as it was before."""
    taken = mirror.due.get(delivered.id)
    values = {*taken.names} if taken else set()
    for one, due in mirror.due.items():
        values -= {*due.names} if one != delivered.id else set()
    for name, drift in mirror.drifts.items():
        word = delivered.word if delivered.status_field == name else ""
        if (word and (drift.is_dismissed or word == drift.expected)) or drift.reads in values:
            yield DriftResolved(
                recorded_at=now,
                by=taken.asked_by if taken and taken.asked_by else delivered.by,
                id=drift.id,
                case=delivered.case,
                tool=delivered.tool,
                field=name,
                how="told",
                reason=taken.reason if taken else None,
            )


def _of_word(
    report: Report, outcome: Outcome, mirror: Mirror, whose: "_Whose", hearing: Hearing
) -> Iterator[Found]:
    name = outcome.status_field
    standing = mirror.drifts.get(name)
    match outcome.name:
        case "drift":
            told = {"reported": report.word, "expected": outcome.expected, "why": outcome.why}
            yield from _found(name, mirror, whose, hearing.message, is_word=True, **told)
        case "agrees" | "applied" if standing:
            yield whose.resolved(name, standing, "agrees")
        case "early" | "ignored" if standing:
            yield whose.resolved(name, standing, "said-otherwise")


def _of_fields(
    report: Report,
    outcome: Outcome,
    mirror: Mirror,
    whose: "_Whose",
    lifecycle: Lifecycle,
    hearing: Hearing,
) -> Iterator[Found]:
    values, _ = normalised(report.fields, lifecycle, hearing.absent)
    for name in outcome.differing:
        told = {
            "value": values[name],
            "why": "not-the-owner",
            "reads": lifecycle.declaration.reads.get(report.tool, {}).get(name, ""),
        }
        yield from _found(name, mirror, whose, hearing.message, **told)
    for name in values.keys() - set(outcome.differing):
        agrees = name in outcome.taken or outcome.not_taken.get(name) == "not-the-owner"
        if agrees and (standing := mirror.drifts.get(name)):
            yield whose.resolved(name, standing, "agrees")


def _found(
    name: str, mirror: Mirror, whose: "_Whose", message: str, **told: Any
) -> Iterator[Found]:
    """A difference that is new; one that the tool shows still is found once."""
    before = mirror.drifts.get(name)
    if before is not None:
        same = before.reported == told.get("reported", "") and before.value == told.get("value")
        if same and (not before.is_dismissed or not before.stands(whose.now)):
            return
        yield whose.resolved(name, before, "said-otherwise")
    times = mirror.rounds.get(name, ())
    last = times[-1].isoformat() if times else ""
    drift_id = f"dft_{short_id(whose.case_name, whose.tool, name, message, last)}"
    yield whose.found(name, drift_id, message, **told)


class _Whose(Struct, frozen=True):
    """Whose mirror it is, by whose act something is found in it, and when."""

    case: Case
    tool: str
    by: Asker
    now: datetime

    @property
    def case_name(self) -> str:
        return f"{self.case.collection}/{self.case.id}"

    def found(
        self,
        name: str,
        drift_id: str,
        message: str,
        *,
        is_word: bool = False,
        value: Value = None,
        **told: Any,
    ) -> DriftFound:
        return DriftFound(
            recorded_at=self.now,
            by=self.by,
            id=drift_id,
            case=self.case_name,
            tool=self.tool,
            field=name,
            is_word=is_word,
            personal={} if is_word else {name: value},
            message=message,
            **told,
        )

    def resolved(
        self,
        name: str,
        drift: Drift,
        how: str,
        reason: str | None = None,
        until: datetime | None = None,
    ) -> DriftResolved:
        return DriftResolved(
            recorded_at=self.now,
            by=self.by,
            id=drift.id,
            case=self.case_name,
            tool=self.tool,
            field=name,
            how=how,
            reason=reason,
            until=until,
        )


# --- mending ------------------------------------------------------------------------------------


def heal(
    found: Iterable[DriftFound],
    mirror: Mirror,
    case: Case,
    lifecycle: Lifecycle,
    now: datetime,
) -> Iterator[NoticeDue | DriftFound]:
    """Tell the tool again what it was just found to differ in, where it is declared so.

    After three rounds an hour it is a fight, and told no more.
    """
    for one in found:
        drift = mirror.drifts.get(one.field)
        if drift is None or drift.id != one.id or drift.is_dismissed or drift.why == FIGHT:
            continue
        if not _is_told(one, lifecycle):
            continue
        recent = [at for at in mirror.rounds.get(one.field, ()) if at > now - HOUR]
        if len(recent) > ROUNDS_AN_HOUR_MAX:
            yield _Whose(case, one.tool, Asker(), now).found(
                one.field,
                one.id,
                one.message,
                is_word=one.is_word,
                value=drift.value,
                reported=one.reported,
                reads=one.reads,
                expected=drift.expected,
                why=FIGHT,
            )
        elif due := told_again(one.tool, one.field, mirror, case, lifecycle, Asker(), now, "drift"):
            yield due


def told_again(
    tool: str,
    field: str,
    mirror: Mirror,
    case: Case,
    lifecycle: Lifecycle,
    by: Asker,
    now: datetime,
    why: str,
) -> NoticeDue | None:
    """What puts a tool right in one field, a word or a value; None where it is told no such thing.

    Also None where that is due already.
    """
    if (tool, field) in lifecycle.vocabulary.named:
        return tell_again(case, tool, field, mirror, lifecycle, by=by, now=now, why=why)
    return tell_value(case, tool, field, mirror, lifecycle, by=by, now=now, why=why)


def told_as_asked(
    what: Resolve,
    field: str,
    mirror: Mirror,
    case: Case,
    lifecycle: Lifecycle,
    by: Asker,
    now: datetime,
) -> NoticeDue | None:
    """The same because staff want it; a `Refusal` where the tool is told no such thing."""
    told = told_again(what.tool, field, mirror, case, lifecycle, by, now, "asked")
    if told is None and (why := _untold(what.tool, field, case, lifecycle)):
        raise ConditionNotMet(
            f"cannot tell {what.tool!r} its {field!r} of {case.id}: {why}; accept what it says,"
            " dismiss it, or correct the case",
            tool=what.tool,
            field=field,
        )
    return told if told is None else replace(told, reason=what.reason)


def _untold(tool: str, field: str, case: Case, lifecycle: Lifecycle) -> str:
    """Why a tool is told nothing of a field; empty where it is told."""
    declared = lifecycle.vocabulary.named.get((tool, field))
    if tool not in lifecycle.told:
        return "the definition has no flow out to it"
    if declared is None:
        if field not in lifecycle.declaration.reads.get(tool, {}):
            return "it does not read that field (the definition's `reads`)"
        return "the value was erased" if case.fields.get(field) == ERASED else ""
    if declared.hear_only:
        return "the tool computes that itself"
    if lifecycle.vocabulary.shown(case.states).get(tool, {}).get(field) is None:
        return f"it is told nothing of that in state {case.state!r}"
    return ""


def _is_told(found: DriftFound, lifecycle: Lifecycle) -> bool:
    """Whether it is put right by itself: never where the tool owns what its word stands for."""
    if lifecycle.declaration.tools[found.tool].drift != "tell":
        return False
    field = lifecycle.vocabulary.named.get((found.tool, found.field))
    if field is None:
        return True
    stands_for = (state for state, words in field.entries.items() if found.reported in words)
    return all(lifecycle.ownership.states.get(state) != found.tool for state in stands_for)


# --- settling -----------------------------------------------------------------------------------


def accepted(
    field: str,
    drift: Drift,
    case: Case,
    what: Resolve,
    by: Asker,
    lifecycle: Lifecycle,
    now: datetime,
) -> Sequence[CaseEvent]:
    """What makes true what the tool shows, as the steward, conditions and all; or a `Refusal`."""
    if (what.tool, field) not in lifecycle.vocabulary.named:
        ask = SetFields(fields={field: drift.value}, reason=what.reason)
        events: Sequence[CaseEvent] = changes.change(case, ask, by, lifecycle, now)
    else:
        events = walk_as_steward(
            what.tool, field, drift.reported, case, by, what.reason, lifecycle, now
        )
    return [replace(event, message=drift.message) for event in events]


def settled(
    field: str, drift: Drift, case: Case, what: Resolve, by: Asker, now: datetime
) -> DriftResolved:
    """What staff have decided about a difference."""
    how = "accepted" if what.how == "accept" else "dismissed"
    return _Whose(case, what.tool, by, now).resolved(field, drift, how, what.reason, what.until)


# --- seeing -------------------------------------------------------------------------------------


class Standing(Struct, frozen=True):
    """How a tool stands to the shared state in one of its fields."""

    tool: str
    field: str
    """A status field, or a canonical field that the tool reads or has spoken of."""
    is_word: bool
    stands: Literal["agrees", "waiting", "differs", "unknown"]
    """`waiting`: it is to be told."""
    expected: str | None = None
    """The word that it should show."""
    shown: str | None = None
    """The word that it shows, as far as is known."""
    since: datetime | None = None
    why: str = ""
    """Why it differs: why its word was not taken, `early`, `given-up` or `not-told`."""
    drift: str = ""
    """The id of the difference, where there is one that staff can settle."""
    message: str = ""
    """The stream of the message in which it said so."""


def standing(tool: str, mirror: Mirror, case: Case, lifecycle: Lifecycle) -> list[Standing]:
    """How a tool stands to a case: each status field that has a word here, and each field."""
    words = [
        _standing_word(tool, name, expected, mirror, case, lifecycle)
        for name, expected in lifecycle.vocabulary.shown(case.states).get(tool, {}).items()
        if expected is not None or name in mirror.drifts
    ]
    reads = lifecycle.declaration.reads.get(tool, {})
    names = [name for name in mirror.drifts if (tool, name) not in lifecycle.vocabulary.named]
    fields = dict.fromkeys([*(one for one in reads if one in case.fields), *names])
    return [*words, *(_standing_field(tool, one, reads.get(one), mirror) for one in fields)]


def _standing_word(
    tool: str,
    name: str,
    expected: str | None,
    mirror: Mirror,
    case: Case,
    lifecycle: Lifecycle,
) -> Standing:
    shown, said = mirror.shows(name), mirror.words.get(name)
    about: dict[str, Any] = {"tool": tool, "field": name, "is_word": True, "expected": expected}
    drift = mirror.drifts.get(name)
    known: dict[str, Any] = {}
    if drift is not None:
        known = {"why": drift.why, "drift": drift.id, "message": drift.message}
        shown = drift.reported
    due = [one for one in mirror.due.values() if one.status_field == name and one.word == expected]
    if due:
        shows = said.word if said else None
        return Standing(**about, stands="waiting", shown=shows, since=due[-1].at, **known)
    if drift is not None:
        return Standing(**about, stands="differs", shown=shown, since=drift.since, **known)
    if shown is None:
        return Standing(**about, stands="unknown")
    field = lifecycle.vocabulary.named[tool, name]
    told = mirror.told.get(name)
    at = told[-1].at if told else said.at if said else None
    if shown in lifecycle.vocabulary.words(field, case.states):
        return Standing(**about, stands="agrees", shown=shown, since=at)
    why = "early" if said and said.outcome == "early" else "not-told"
    if any(one.status_field == name for one in mirror.given_up.values()):
        why = "given-up"
    return Standing(**about, stands="differs", shown=shown, since=case.since, why=why)


def _standing_field(tool: str, name: str, theirs: str | None, mirror: Mirror) -> Standing:
    about: dict[str, Any] = {"tool": tool, "field": name, "is_word": False}
    drift = mirror.drifts.get(name)
    due = [one for one in mirror.due.values() if theirs in one.names]
    if due:
        return Standing(**about, stands="waiting", since=due[-1].at)
    if drift is not None:
        about |= {"why": drift.why, "drift": drift.id, "message": drift.message}
        return Standing(**about, stands="differs", since=drift.since)
    if lost := [one for one in mirror.given_up.values() if theirs in one.names]:
        return Standing(**about, stands="differs", since=lost[-1].at, why="given-up")
    at = mirror.handed.get(theirs or "") or mirror.fields.get(name)
    return Standing(**about, stands="agrees" if at else "unknown", since=at)


def found_in(events: Iterable[Event], tool: str) -> list[DriftFound]:
    """The differences of a tool among these events."""
    return [one for one in events if isinstance(one, DriftFound) and one.tool == tool]
