"""What can be asked of a case, and what it makes of the case.

Deciding is pure: a case (or none yet), an ask, who asks, the lifecycle and the time go in; events
come out, or a `Refusal` is raised.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, assert_never

from msgspec import Struct

from lifecycle.case import Case, evolve, evolved
from lifecycle.chart import Configuration
from lifecycle.events import (
    Asker,
    CaseAdopted,
    CaseEvent,
    CaseOpened,
    Entry,
    Erased,
    FieldsSet,
    ReferenceReleased,
    ReferenceTaken,
    StateCorrected,
    TransitionMade,
)
from lifecycle.model import Lifecycle
from lifecycle.moves import (
    check_complete,
    check_maker,
    condition_of,
    facts_missing,
    lead_of,
    nearest,
    not_met,
    open_now,
    rows_named,
    rule_of,
)
from lifecycle.references import once_each, reference_key, references_of
from lifecycle.refusals import (
    InvalidFields,
    NotTheOwner,
    ReasonRequired,
    StaffOnly,
    TransitionNotOpen,
    UnknownReference,
    UnknownTransition,
    VersionMoved,
    listed,
    quoted,
)
from lifecycle.values import (
    check_owned,
    differing,
    first_wrong,
    fitting,
    normalised,
    personal_of,
    plain_of,
)

AUTO_MAX = 10
"""Automatic transitions in a row; `checks` refuses cycles, so more is a fault."""


# --- what can be asked --------------------------------------------------------------------------


class Open(Struct, frozen=True, kw_only=True):
    """Begin a case; with `state`, take in one that is already under way."""

    fields: Mapping[str, Any] = {}
    references: Mapping[str, tuple[str, ...]] = {}
    reason: str | None = None
    occurred_at: datetime | None = None
    state: str | None = None


class Move(Struct, frozen=True, kw_only=True):
    """Make a transition, perhaps with the facts that go with it."""

    transition: str
    fields: Mapping[str, Any] = {}
    reason: str | None = None
    occurred_at: datetime | None = None


class SetFields(Struct, frozen=True, kw_only=True):
    """Set, change or (with null) forget facts."""

    fields: Mapping[str, Any]
    reason: str | None = None
    occurred_at: datetime | None = None


class TakeReference(Struct, frozen=True, kw_only=True):
    """Let a tool's own id mean this case."""

    tool: str
    ref: str
    kind: str = ""
    reason: str | None = None


class ReleaseReference(TakeReference, frozen=True, kw_only=True):
    """Let a tool's own id mean this case no more."""


class Correct(Struct, frozen=True, kw_only=True):
    """Put the case where it really is."""

    state: str
    reason: str | None


class Erase(Struct, frozen=True, kw_only=True):
    """Make its personal values unreadable for good."""

    reason: str | None


Change = Move | SetFields | TakeReference | ReleaseReference | Correct | Erase


# --- deciding -----------------------------------------------------------------------------------


def change(
    case: Case,
    ask: Change,
    asker: Asker,
    lifecycle: Lifecycle,
    now: datetime,
    absent: Collection[str] = (),
) -> tuple[CaseEvent, ...]:
    """What this ask makes of the case: events, none where nothing changes; or a `Refusal`.

    `absent` are those of the `cases_named` that nobody opened.
    """
    events: tuple[CaseEvent, ...]
    match ask:
        case ReleaseReference():
            return release_reference(case, ask, asker, lifecycle, now)
        case TakeReference():
            return take_reference(case, ask, asker, lifecycle, now)
        case Correct():
            return correct(case, ask, asker, lifecycle, now)
        case Erase():
            return erase(case, ask, asker, now)
        case Move():
            events = make_transition(case, ask, asker, lifecycle, now, absent)
        case SetFields():
            events = set_fields(case, ask, asker, lifecycle, now, absent)
        case _:
            assert_never(ask)
    return (*events, *automatic(case, events, asker, lifecycle, now))


def check_version(
    case: Case, ask: Change, versions: Collection[int] | None, lifecycle: Lifecycle
) -> None:
    """A conditional write needs the case to stand at one of these versions."""
    _resolved(case, ask, lifecycle)
    if versions is None or case.version in versions:
        return
    wanted = listed(map(str, versions))
    raise VersionMoved(
        f"{case.id} is at version {case.version}, the write was for version {wanted};"
        " read it again and decide anew",
        version_expected=sorted(versions),
        version_found=case.version,
    )


def check_named(ask: Open, lifecycle: Lifecycle) -> None:
    """Whatever an ask to open names is declared."""
    for key in ask.references:
        tool, _, kind = key.partition(":")
        reference_key(tool, kind, lifecycle)
    if ask.state is not None:
        _state_named(lifecycle, ask.state)


def open_case(
    case_id: str,
    ask: Open,
    asker: Asker,
    lifecycle: Lifecycle,
    now: datetime,
    absent: Collection[str] = (),
) -> tuple[CaseEvent, ...]:
    """Begin a case, or adopt one: owned by the owner of where it starts."""
    chart, ownership = lifecycle.chart, lifecycle.ownership
    if ask.state is not None and not asker.staff:
        raise StaffOnly("only staff may adopt a case into a state that it is already in")
    openers = ownership.openers(chart.initial)
    if asker.tool and asker.tool not in openers:
        raise NotTheOwner(
            f"{asker.tool!r} may not open {lifecycle.collection}: that is for {listed(openers)}",
            owners=list(openers),
        )
    states = chart.initial if ask.state is None else _state_named(lifecycle, ask.state)
    active = chart.active(states).ids
    given = fitting(ask.fields, lifecycle, absent)
    check_owned(given, asker, lifecycle, active, case_id)
    given = {name: value for name, value in given.items() if value is not None}
    if ask.state is not None and not ask.reason:
        raise ReasonRequired("an adopted case needs a reason: why is it known to be in that state?")
    if asker.staff and not ask.reason:
        raise ReasonRequired(f"staff who open a case in place of {listed(openers)} say why")
    kind = CaseOpened if ask.state is None else CaseAdopted
    opened = kind(
        recorded_at=now,
        time=min(ask.occurred_at or now, now),
        by=asker,
        reason=ask.reason,
        override=bool(asker.staff),
        lifecycle=lifecycle.name,
        definition=lifecycle.mark,
        to=states,
        references=once_each(ask.references, lifecycle),
        rule=_opening_rule(asker, openers, lifecycle),
        fields=plain_of(given, lifecycle),
        personal=personal_of(given, lifecycle),
    )
    case = evolve(None, Entry(f"case:{lifecycle.collection}/{case_id}", 1, opened))
    assert case is not None
    return (opened, *automatic(case, (), asker, lifecycle, now))


def make_transition(
    case: Case,
    ask: Move,
    asker: Asker,
    lifecycle: Lifecycle,
    now: datetime,
    absent: Collection[str] = (),
) -> tuple[TransitionMade, ...]:
    """Move a case, if the transition is open, the asker's to make, and its condition holds."""
    _resolved(case, ask, lifecycle)
    name = ask.transition
    chart, rows = lifecycle.chart, rows_named(case, name, lifecycle)
    if not rows:
        raise TransitionNotOpen(
            f"cannot {name!r} {case.id} in state {case.state!r} ({open_now(case, lifecycle)})",
            transition=name,
            state=case.state,
            open=[chart.rows[row].name for row in chart.open_rows(case.states)],
        )
    given, wrong = normalised(ask.fields, lifecycle, absent)
    known = {**case.fields, **given}
    lead, verdicts = lead_of(case, name, rows, known, lifecycle)
    near = [lead.row] if lead else nearest(rows, asker, known, lifecycle)
    row = near[0]
    check_maker(case, row, asker, lifecycle)
    if wrong:
        raise InvalidFields(first_wrong(wrong), errors=wrong)
    check_owned(given, asker, lifecycle, chart.active(case.states).ids, case.id)
    check_complete(case, row, known, lifecycle)
    if asker.staff and not ask.reason:
        raise ReasonRequired(f"staff who {name!r} {case.id} in a tool's place say why")
    if lead is None:
        raise not_met(case, near, known, verdicts, lifecycle)
    changed = differing(case, given)
    return (
        TransitionMade(
            recorded_at=now,
            time=_time(ask.occurred_at, now, case),
            by=asker,
            reason=ask.reason,
            override=bool(asker.staff),
            transition=name,
            left=case.states,
            to=lead.configuration,
            definition=lifecycle.mark,
            rule=rule_of(row, asker, lifecycle),
            condition=condition_of(row, known, lifecycle),
            fields=plain_of(changed, lifecycle),
            personal=personal_of(changed, lifecycle),
        ),
    )


def set_fields(
    case: Case,
    ask: SetFields,
    asker: Asker,
    lifecycle: Lifecycle,
    now: datetime,
    absent: Collection[str] = (),
) -> tuple[FieldsSet, ...]:
    """Set the facts that the asker owns here; values that stand already make no event."""
    given = fitting(ask.fields, lifecycle, absent)
    check_owned(given, asker, lifecycle, lifecycle.chart.active(case.states).ids, case.id)
    if asker.staff and not ask.reason:
        raise ReasonRequired(f"staff who set fields of {case.id} in a tool's place say why")
    changed = differing(case, given)
    if not changed:
        return ()
    return (
        FieldsSet(
            recorded_at=now,
            time=_time(ask.occurred_at, now, case),
            by=asker,
            reason=ask.reason,
            override=bool(asker.staff),
            fields=plain_of(changed, lifecycle),
            personal=personal_of(changed, lifecycle),
        ),
    )


def take_reference(
    case: Case, ask: TakeReference, asker: Asker, lifecycle: Lifecycle, now: datetime
) -> tuple[ReferenceTaken, ...]:
    """Any tool may set a reference that is not taken (whether it is, the journal knows)."""
    key = reference_key(ask.tool, ask.kind, lifecycle)
    if ask.ref in references_of(case, ask.tool, ask.kind, lifecycle):
        return ()
    if asker.staff and not ask.reason:
        raise ReasonRequired(f"staff who give {case.id} a reference say why")
    return (
        ReferenceTaken(
            recorded_at=now,
            time=_time(None, now, case),
            by=asker,
            reason=ask.reason,
            override=bool(asker.staff),
            tool=ask.tool,
            kind=key.partition(":")[2],
            ref=ask.ref,
        ),
    )


def release_reference(
    case: Case, ask: ReleaseReference, asker: Asker, lifecycle: Lifecycle, now: datetime
) -> tuple[ReferenceReleased, ...]:
    """Only the tool that a reference names, or staff, may release it."""
    _resolved(case, ask, lifecycle)
    if asker.tool and asker.tool != ask.tool:
        raise NotTheOwner(
            f"{asker.tool!r} may not release a reference of {ask.tool!r}:"
            f" that is for {ask.tool} or staff",
            owner=ask.tool,
        )
    held = references_of(case, ask.tool, ask.kind, lifecycle)
    if asker.staff and not ask.reason:
        raise ReasonRequired(f"staff who release a reference of {case.id} say why")
    return (
        ReferenceReleased(
            recorded_at=now,
            time=_time(None, now, case),
            by=asker,
            reason=ask.reason,
            override=bool(asker.staff),
            tool=ask.tool,
            kind=held[ask.ref].partition(":")[2],
            ref=ask.ref,
        ),
    )


def correct(
    case: Case, ask: Correct, asker: Asker, lifecycle: Lifecycle, now: datetime
) -> tuple[StateCorrected, ...]:
    """Staff put a case where it really is; nothing where it is there already."""
    if not asker.staff:
        raise StaffOnly("only staff may correct the state of a case")
    states = _state_named(lifecycle, ask.state)
    if not ask.reason:
        raise ReasonRequired(f"a correction of {case.id} needs a reason")
    if states == case.states:
        return ()
    return (
        StateCorrected(
            recorded_at=now,
            time=_time(None, now, case),
            by=asker,
            reason=ask.reason,
            override=True,
            left=case.states,
            to=states,
            definition=lifecycle.mark,
        ),
    )


def erase(case: Case, ask: Erase, asker: Asker, now: datetime) -> tuple[Erased, ...]:
    """Staff erase the personal values of a case; the journal then deletes its key."""
    if not asker.staff:
        raise StaffOnly("only staff may erase the personal values of a case")
    if not ask.reason:
        raise ReasonRequired(f"erasing the personal values of {case.id} needs a reason")
    when = _time(None, now, case)
    return (Erased(recorded_at=now, time=when, by=asker, reason=ask.reason, override=True),)


def automatic(
    case: Case,
    events: Sequence[CaseEvent],
    asker: Asker,
    lifecycle: Lifecycle,
    now: datetime,
) -> tuple[TransitionMade, ...]:
    """The transitions that these events made possible and that nobody needs to ask for."""
    if not _may_go_on(case, events, lifecycle):
        return ()
    case = evolved(case, events)
    made: list[TransitionMade] = []
    while event := _next_automatic(case, asker, lifecycle, now):
        assert len(made) < AUTO_MAX, f"{case.id}: more than {AUTO_MAX} automatic transitions"
        made.append(event)
        case = evolved(case, (event,))
    return tuple(made)


def _may_go_on(case: Case, events: Sequence[CaseEvent], lifecycle: Lifecycle) -> bool:
    """Whether any automatic transition leads out of where these events leave the case."""
    if not lifecycle.autos:
        return False
    states = case.states
    for event in events:
        if isinstance(event, TransitionMade):
            states = event.to
    chart = lifecycle.chart
    return any(chart.rows[row].auto for row in chart.open_rows(states))


def _next_automatic(
    case: Case, asker: Asker, lifecycle: Lifecycle, now: datetime
) -> TransitionMade | None:
    chart = lifecycle.chart
    for index in chart.open_rows(case.states):
        row = chart.rows[index]
        if not row.auto or not (asker.staff or asker.tool in lifecycle.ownership.makers[index]):
            continue
        if facts_missing(index, case.fields, lifecycle):
            continue
        rows = rows_named(case, row.name, lifecycle)
        lead, _ = lead_of(case, row.name, rows, case.fields, lifecycle)
        if lead is None or lead.row != index:
            continue
        return TransitionMade(
            recorded_at=now,
            time=case.changed_at,
            by=asker,
            override=bool(asker.staff),
            transition=row.name,
            left=case.states,
            to=lead.configuration,
            definition=lifecycle.mark,
            rule=rule_of(index, asker, lifecycle),
            condition=condition_of(index, case.fields, lifecycle),
            auto=True,
        )
    return None


# --- the parts of a decision --------------------------------------------------------------------


def _resolved(case: Case, ask: Change, lifecycle: Lifecycle) -> None:
    """Whatever the ask names is there."""
    match ask:
        case Move(transition=name):
            if name not in lifecycle.transitions:
                raise UnknownTransition(
                    f"{lifecycle.collection} know no transition {quoted(name)}"
                    f" (declared: {', '.join(sorted(lifecycle.transitions))})",
                    transition=name,
                )
        case Correct(state=name):
            _state_named(lifecycle, name)
        case TakeReference(tool=tool, kind=kind, ref=ref):
            reference_key(tool, kind, lifecycle)
            held = references_of(case, tool, kind, lifecycle)
            if isinstance(ask, ReleaseReference) and ref not in held:
                raise UnknownReference(
                    f"{case.id} holds no reference {quoted(ref)} of {tool!r}", tool=tool, ref=ref
                )


def _opening_rule(asker: Asker, openers: Sequence[str], lifecycle: Lifecycle) -> str:
    if asker.staff:
        return f"{asker.staff} acted as the steward"
    return f"{lifecycle.collection} are opened by {listed(openers)}"


def _time(claimed: datetime | None, now: datetime, case: Case) -> datetime:
    return max(case.changed_at, min(claimed or now, now))


def _state_named(lifecycle: Lifecycle, name: str) -> Configuration:
    """The configuration that a state, or leaves joined by `+`, stands for."""
    chart = lifecycle.chart
    named = name.split("+")
    unknown = [one for one in named if one not in chart.places]
    if unknown:
        raise UnknownTransition(
            f"{lifecycle.collection} know no state {quoted(unknown[0])}"
            f" (declared: {', '.join(chart.places)})",
            state=name,
        )
    if len(named) == 1:
        return chart.entered(name)
    states = chart.ordered(named)
    if states not in chart.configurations:
        raise UnknownTransition(f"{quoted(name)} is no combination that cases reach", state=name)
    return states
