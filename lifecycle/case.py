"""One job or client: deciding what may happen to it, and evolving by what did.

Deciding is pure: a case (or none yet), an ask, who asks, the lifecycle and the time go in; events
come out, or a `Refusal` is raised. Evolving trusts history and never looks at the definition.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, assert_never

from msgspec import Struct
from msgspec.structs import replace

from lifecycle import fields as formats
from lifecycle.chart import Configuration, Lead
from lifecycle.comparable import comparable
from lifecycle.events import (
    ERASED,
    Asker,
    CarriedOver,
    CaseAdopted,
    CaseEvent,
    CaseOpened,
    Condition,
    Entry,
    Erased,
    Event,
    FieldsSet,
    ReferenceReleased,
    ReferenceTaken,
    StateCorrected,
    TransitionMade,
    Value,
    Valued,
)
from lifecycle.model import Lifecycle
from lifecycle.refusals import (
    ConditionNotMet,
    FieldsMissing,
    InvalidFields,
    NotTheOwner,
    ReasonRequired,
    StaffOnly,
    TransitionNotOpen,
    UnknownReference,
    UnknownTool,
    UnknownTransition,
    VersionMoved,
)

AUTO_MAX = 10
"""Automatic transitions in a row; `checks` refuses cycles, so more is a fault."""


class Entered(Struct, frozen=True):
    """How a case came to a state."""

    time: datetime
    by: str
    """The tool's id or the person's name."""
    opening: bool = False
    """Whether the case began there: that overrules nobody, however early they saw something."""


class Case(Struct, frozen=True):
    """A case as it is after some version."""

    collection: str
    id: str
    lifecycle: str
    lifecycle_version: int
    states: Configuration
    since: datetime
    """When it entered where it is."""
    version: int
    changed_at: datetime
    """When its last change happened."""
    fields: Mapping[str, Value]
    personal: frozenset[str] = frozenset()
    """The fields whose values stand encrypted in the log."""
    references: Mapping[str, tuple[str, ...]] = {}
    position: int = 0
    entered: Mapping[str, Entered] = {}
    """Leaf → whose act brought the case there, and when."""

    @property
    def state(self) -> str:
        """The active leaves, joined by `+`."""
        return "+".join(self.states)


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
    wanted = _listed(map(str, versions))
    raise VersionMoved(
        f"{case.id} is at version {case.version}, the write was for version {wanted};"
        " read it again and decide anew",
        version_expected=sorted(versions),
        version_found=case.version,
    )


def cases_named(given: Mapping[str, Any], lifecycle: Lifecycle) -> dict[str, str]:
    """The cases that these fields name, like `clients/C-7`, by field."""
    named = {name: given[name] for name in lifecycle.case_fields.intersection(given)}
    values, _ = normalised(named, lifecycle)
    return {name: value for name, value in values.items() if value is not None}


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
            f"{asker.tool!r} may not open {lifecycle.collection}: that is for {_listed(openers)}",
            owners=list(openers),
        )
    states = chart.initial if ask.state is None else _state_named(lifecycle, ask.state)
    active = chart.active(states).ids
    given = _fitting(ask.fields, lifecycle, absent)
    _owned(given, asker, lifecycle, active, case_id)
    given = {name: value for name, value in given.items() if value is not None}
    if ask.state is not None and not ask.reason:
        raise ReasonRequired("an adopted case needs a reason: why is it known to be in that state?")
    if asker.staff and not ask.reason:
        raise ReasonRequired(f"staff who open a case in place of {_listed(openers)} say why")
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
        references=_once_each(ask.references, lifecycle),
        rule=_opening_rule(asker, openers, lifecycle),
        fields=_plain(given, lifecycle),
        personal=_personal(given, lifecycle),
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
    chart, rows = lifecycle.chart, _rows_named(case, name, lifecycle)
    if not rows:
        raise TransitionNotOpen(
            f"cannot {name!r} {case.id} in state {case.state!r} ({_open_now(case, lifecycle)})",
            transition=name,
            state=case.state,
            open=[chart.rows[row].name for row in chart.open_rows(case.states)],
        )
    given, wrong = normalised(ask.fields, lifecycle, absent)
    known = {**case.fields, **given}
    lead, verdicts = _lead(case, name, rows, known, lifecycle)
    row = lead.row if lead else rows[0]
    _may_make(case, row, asker, lifecycle)
    if wrong:
        raise InvalidFields(_first_wrong(wrong), errors=wrong)
    _owned(given, asker, lifecycle, chart.active(case.states).ids, case.id)
    _complete(case, row, known, lifecycle)
    if asker.staff and not ask.reason:
        raise ReasonRequired(f"staff who {name!r} {case.id} in a tool's place say why")
    condition = _condition(row, known, lifecycle)
    if lead is None:
        raise _not_met(case, row, condition, verdicts[row], lifecycle)
    changed = _changed(case, given)
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
            rule=_rule(row, asker, lifecycle),
            condition=condition,
            fields=_plain(changed, lifecycle),
            personal=_personal(changed, lifecycle),
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
    given = _fitting(ask.fields, lifecycle, absent)
    _owned(given, asker, lifecycle, lifecycle.chart.active(case.states).ids, case.id)
    if asker.staff and not ask.reason:
        raise ReasonRequired(f"staff who set fields of {case.id} in a tool's place say why")
    changed = _changed(case, given)
    if not changed:
        return ()
    return (
        FieldsSet(
            recorded_at=now,
            time=_time(ask.occurred_at, now, case),
            by=asker,
            reason=ask.reason,
            override=bool(asker.staff),
            fields=_plain(changed, lifecycle),
            personal=_personal(changed, lifecycle),
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
    if not lifecycle.autos:
        return ()
    case = evolved(case, events)
    made: list[TransitionMade] = []
    while event := _next_automatic(case, asker, lifecycle, now):
        assert len(made) < AUTO_MAX, f"{case.id}: more than {AUTO_MAX} automatic transitions"
        made.append(event)
        case = evolved(case, (event,))
    return tuple(made)


def _next_automatic(
    case: Case, asker: Asker, lifecycle: Lifecycle, now: datetime
) -> TransitionMade | None:
    chart = lifecycle.chart
    for index in chart.open_rows(case.states):
        row = chart.rows[index]
        if not row.auto or not (asker.staff or asker.tool in lifecycle.ownership.makers[index]):
            continue
        if _missing(index, case.fields, lifecycle):
            continue
        rows = _rows_named(case, row.name, lifecycle)
        lead, _ = _lead(case, row.name, rows, case.fields, lifecycle)
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
            rule=_rule(index, asker, lifecycle),
            condition=_condition(index, case.fields, lifecycle),
            auto=True,
        )
    return None


def steps(
    case: Case, tool: str | None, known: Mapping[str, Value], lifecycle: Lifecycle
) -> Iterator[tuple[str, Configuration]]:
    """Every transition that this tool could make now, knowing these facts, and where it leads.

    Without a tool those that the steward could make.
    """
    chart = lifecycle.chart
    for name in dict.fromkeys(chart.rows[row].name for row in chart.open_rows(case.states)):
        lead, _ = _lead(case, name, _rows_named(case, name, lifecycle), known, lifecycle)
        if (
            lead is not None
            and (tool is None or tool in lifecycle.ownership.makers[lead.row])
            and not _missing(lead.row, known, lifecycle)
        ):
            yield name, lead.configuration


# --- what is open -------------------------------------------------------------------------------


class OpenTransition(Struct, frozen=True):
    """A transition that leads out of where the case is."""

    name: str
    to: str
    by: tuple[str, ...]
    requires: tuple[str, ...]
    blocked: str | None
    """What stands in its way, were its maker to ask now without further facts."""


def open_transitions(case: Case, lifecycle: Lifecycle) -> list[OpenTransition]:
    """Every transition that is open now, one a name: the one that would be taken."""
    chart, names = lifecycle.chart, dict[str, None]()
    for index in chart.open_rows(case.states):
        names[chart.rows[index].name] = None
    return [_open_transition(case, name, lifecycle) for name in names]


def _open_transition(case: Case, name: str, lifecycle: Lifecycle) -> OpenTransition:
    rows = _rows_named(case, name, lifecycle)
    lead, verdicts = _lead(case, name, rows, case.fields, lifecycle)
    index = lead.row if lead else rows[0]
    row = lifecycle.chart.rows[index]
    blocked = None
    if missing := _missing(index, case.fields, lifecycle):
        blocked = f"{_listed(missing)} {'is' if len(missing) == 1 else 'are'} not set"
    elif lead is None:
        blocked = f"{row.when} does not hold"
        if why := verdicts[index]:
            blocked += f": {why}"
    makers = lifecycle.ownership.makers[index]
    return OpenTransition(name, row.to, makers, row.requires, blocked)


# --- evolving -----------------------------------------------------------------------------------


def evolve(case: Case | None, entry: Entry) -> Case | None:
    """The case after one more entry of its stream."""
    event = entry.event
    if case is None:
        assert isinstance(event, CaseOpened), f"{entry.stream} begins with {event.TOPIC}"
        return _begun(entry, event)
    assert entry.version == case.version + 1, (entry.stream, case.version, entry.version)
    assert isinstance(event, CaseEvent), (entry.stream, event.TOPIC)
    case = replace(case, version=entry.version, position=entry.position, changed_at=event.time)
    match event:
        case TransitionMade() | StateCorrected():
            case = replace(
                case,
                states=event.to,
                since=event.time,
                lifecycle_version=event.definition.version,
                entered=_entered(case, event),
            )
        case CarriedOver():
            return _carried_over(case, event)
        case ReferenceReleased():
            return replace(case, references=_without(case.references, event))
        case ReferenceTaken():
            return replace(case, references=_with(case.references, event))
        case Erased():
            erased = {name: ERASED for name in case.personal if name in case.fields}
            return replace(case, fields={**case.fields, **erased})
    return _with_values(case, event) if isinstance(event, Valued) else case


def _begun(entry: Entry, event: CaseOpened) -> Case:
    begins = not isinstance(event, CaseAdopted)
    collection, _, case_id = entry.stream.partition(":")[2].partition("/")
    return Case(
        collection=collection,
        id=case_id,
        lifecycle=event.lifecycle,
        lifecycle_version=event.definition.version,
        states=event.to,
        since=event.time,
        version=entry.version,
        changed_at=event.time,
        fields={**event.fields, **event.personal},
        personal=frozenset(event.personal),
        references=event.references,
        position=entry.position,
        entered=dict.fromkeys(event.to, Entered(event.time, event.by.name, opening=begins)),
    )


def _entered(case: Case, event: TransitionMade | StateCorrected) -> dict[str, Entered]:
    """Where it stood before it has been since then; the rest is new."""
    now, before = Entered(event.time, event.by.name), case.entered
    return {leaf: before.get(leaf, now) if leaf in case.states else now for leaf in event.to}


def _carried_over(case: Case, event: CarriedOver) -> Case:
    """In the words of a new version; it entered where it is when it did, not now."""
    names = event.renamed
    return replace(
        case,
        states=event.to,
        lifecycle_version=event.definition.version,
        fields={names.get(name, name): value for name, value in case.fields.items()},
        personal=frozenset(names.get(name, name) for name in case.personal),
        entered=_entered_as(case, event),
    )


def _entered_as(case: Case, event: CarriedOver) -> dict[str, Entered]:
    """Each leaf with its own time under its new name; a new region is entered now."""
    before = {event.renamed_states.get(name, name): when for name, when in case.entered.items()}
    now = Entered(event.time, event.by.name)
    return {leaf: before.get(leaf, now) for leaf in event.to}


def _with_values(case: Case, event: Valued) -> Case:
    if not event.fields and not event.personal:
        return case
    values = {**case.fields, **event.fields, **event.personal}
    return replace(
        case,
        fields={name: value for name, value in values.items() if value is not None},
        personal=case.personal.union(event.personal),
    )


def _with(
    references: Mapping[str, tuple[str, ...]], event: ReferenceTaken
) -> dict[str, tuple[str, ...]]:
    key = f"{event.tool}:{event.kind}" if event.kind else event.tool
    return {**references, key: (*references.get(key, ()), event.ref)}


def _without(
    references: Mapping[str, tuple[str, ...]], event: ReferenceReleased
) -> dict[str, tuple[str, ...]]:
    key = f"{event.tool}:{event.kind}" if event.kind else event.tool
    left = tuple(ref for ref in references.get(key, ()) if ref != event.ref)
    others = {name: refs for name, refs in references.items() if name != key}
    return {**others, key: left} if left else others


def evolved(case: Case, events: Iterable[Event]) -> Case:
    """The case after these events, before they stand anywhere."""
    for event in events:
        evolved = evolve(case, Entry(f"case:{case.collection}/{case.id}", case.version + 1, event))
        assert evolved is not None
        case = evolved
    return case


# --- references ---------------------------------------------------------------------------------


def reference_key(tool: str, kind: str, lifecycle: Lifecycle) -> str:
    """`tool` or `tool:kind`, as cases show it; `UnknownTool` where the lifecycle has neither."""
    declared = lifecycle.declaration.tools.get(tool)
    if declared is None:
        raise UnknownTool(
            f"{lifecycle.collection} know no tool {_quoted(tool)}"
            f" (declared: {', '.join(lifecycle.declaration.tools)})",
            tool=tool,
        )
    if kind and kind not in declared.kinds:
        kinds = ", ".join(declared.kinds) or "none"
        raise UnknownTool(f"{tool!r} has no kind {_quoted(kind)} (declared: {kinds})", tool=tool)
    return f"{tool}:{kind}" if kind else tool


def references_of(case: Case, tool: str, kind: str, lifecycle: Lifecycle) -> dict[str, str]:
    """The tool's references of one kind → the key under which the case shows each.

    A reference without a kind is one of the tool's main kind.
    """
    main = lifecycle.main_kind(tool)
    kinds = {kind, ""} if kind in {main, ""} else {kind}
    if "" in kinds:
        kinds.add(main)
    keys = [f"{tool}:{one}" if one else tool for one in sorted(kinds)]
    return {ref: key for key in keys for ref in case.references.get(key, ())}


def _once_each(
    references: Mapping[str, tuple[str, ...]], lifecycle: Lifecycle
) -> dict[str, tuple[str, ...]]:
    """These references as they are named, each under the first of the names it is given."""
    seen: set[tuple[str, str, str]] = set()
    kept: dict[str, tuple[str, ...]] = {}
    for key, refs in references.items():
        tool, _, kind = key.partition(":")
        for ref in refs:
            same = (tool, kind or lifecycle.main_kind(tool), ref)
            if same not in seen:
                seen.add(same)
                kept[key] = (*kept.get(key, ()), ref)
    return kept


# --- the parts of a decision --------------------------------------------------------------------


def _resolved(case: Case, ask: Change, lifecycle: Lifecycle) -> None:
    """Whatever the ask names is there."""
    match ask:
        case Move(transition=name) if name not in lifecycle.transitions:
            raise UnknownTransition(
                f"{lifecycle.collection} know no transition {_quoted(name)}"
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
                    f"{case.id} holds no reference {_quoted(ref)} of {tool!r}", tool=tool, ref=ref
                )


def _rows_named(case: Case, name: str, lifecycle: Lifecycle) -> list[int]:
    chart = lifecycle.chart
    return [row for row in chart.open_rows(case.states) if chart.rows[row].name == name]


def _lead(
    case: Case, name: str, rows: Sequence[int], known: Mapping[str, Value], lifecycle: Lifecycle
) -> tuple[Lead | None, dict[int, str | None]]:
    """What the chart decides, and per row why its condition does not hold (None: it is false)."""
    chart, holds, why = lifecycle.chart, dict[int, bool](), dict[int, str | None]()
    for row in rows:
        guard = chart.guards.get(row)
        if guard is None:
            continue
        if any(known.get(field) is None for field in guard.fields):
            holds[row], why[row] = False, None
            continue
        if erased := [field for field in guard.fields if _is_erased(field, known, lifecycle)]:
            holds[row], why[row] = False, f"{_listed(erased)} was erased"
            continue
        values = {
            field: comparable(lifecycle.fields[field].type, known[field]) for field in guard.fields
        }
        verdict = guard.judge(values, chart.active(case.states))
        told = lifecycle.personal.isdisjoint(guard.fields)  # a reason may quote the values
        holds[row], why[row] = verdict.holds, verdict.why if told else None
    return chart.lead(case.states, name, holds), why


def _is_erased(field: str, known: Mapping[str, Value], lifecycle: Lifecycle) -> bool:
    return known[field] == ERASED and field in lifecycle.personal


def _may_make(case: Case, row: int, asker: Asker, lifecycle: Lifecycle) -> None:
    makers = lifecycle.ownership.makers[row]
    if asker.tool is None or asker.tool in makers:
        return
    declared = lifecycle.chart.rows[row]
    whose = (
        f"that is for {_listed(makers)}"
        if declared.makers
        else f"{declared.to!r} belongs to {_listed(makers)}"
    )
    raise NotTheOwner(
        f"{asker.tool!r} may not {declared.name!r} {case.id}: {whose}",
        transition=declared.name,
        owner=makers[0] if makers else None,
        owners=list(makers),
    )


def _rule(row: int, asker: Asker, lifecycle: Lifecycle) -> str:
    declared = lifecycle.chart.rows[row]
    if asker.staff:
        return f"{asker.staff} acted as the steward"
    if declared.makers:
        return f"{declared.name!r} may be made by {_listed(lifecycle.ownership.makers[row])}"
    return f"{declared.to!r} belongs to {asker.tool}"


def _opening_rule(asker: Asker, openers: Sequence[str], lifecycle: Lifecycle) -> str:
    if asker.staff:
        return f"{asker.staff} acted as the steward"
    return f"{lifecycle.collection} are opened by {_listed(openers)}"


def _fitting(
    given: Mapping[str, Any], lifecycle: Lifecycle, absent: Collection[str]
) -> dict[str, Value]:
    values, wrong = normalised(given, lifecycle, absent)
    if wrong:
        raise InvalidFields(_first_wrong(wrong), errors=wrong)
    return values


def normalised(
    given: Mapping[str, Any], lifecycle: Lifecycle, absent: Collection[str] = ()
) -> tuple[dict[str, Value], list[dict[str, str]]]:
    """The canonical values, and every one that no format takes, with its path."""
    values: dict[str, Value] = {}
    wrong: list[dict[str, str]] = []
    for name, value in given.items():
        field = lifecycle.fields.get(name)
        if field is None:
            declared = ", ".join(lifecycle.fields) or "none"
            wrong.append({"path": _path(name), "detail": f"no such field (declared: {declared})"})
            continue
        try:
            values[name] = (
                None
                if value is None
                else formats.normalise(
                    field.type, value, choices=field.choices, signed=field.signed
                )
            )
        except formats.NotThat as exc:
            wrong.append({"path": _path(name), "detail": str(exc)})
        else:
            if field.type == "case" and values[name] in absent:
                detail = f"there is no case {values[name]!r}"
                wrong.append({"path": _path(name), "detail": detail})
                del values[name]
    return values, wrong


def _path(name: str) -> str:
    return f"fields.{name[:80]}"


def _first_wrong(wrong: Sequence[Mapping[str, str]]) -> str:
    more = f" (and {len(wrong) - 1} more, see errors)" if len(wrong) > 1 else ""
    return f"{wrong[0]['path']}: {wrong[0]['detail']}{more}"


def _owned(
    given: Iterable[str],
    asker: Asker,
    lifecycle: Lifecycle,
    active: frozenset[str],
    case_id: str,
) -> None:
    if asker.tool is None:
        return
    foreign = {
        name: lifecycle.ownership.field_owner(name, active)
        for name in given
        if lifecycle.ownership.field_owner(name, active) != asker.tool
    }
    for name, owner in foreign.items():
        raise NotTheOwner(
            f"{asker.tool!r} may not set {name!r} of {case_id}:"
            f" it belongs to {owner or 'nobody'} in this state",
            field=name,
            owner=owner,
            fields=sorted(foreign),
        )


def _complete(case: Case, row: int, known: Mapping[str, Value], lifecycle: Lifecycle) -> None:
    if missing := _missing(row, known, lifecycle):
        declared = lifecycle.chart.rows[row]
        raise FieldsMissing(
            f"cannot {declared.name!r} {case.id}: it needs {_listed(missing)},"
            " already known or in the same ask",
            transition=declared.name,
            missing=list(missing),
        )


def _missing(row: int, known: Mapping[str, Value], lifecycle: Lifecycle) -> tuple[str, ...]:
    guard = lifecycle.chart.guards.get(row)
    needed = (*lifecycle.chart.rows[row].requires, *(guard.fields if guard else ()))
    return tuple(name for name in dict.fromkeys(needed) if known.get(name) is None)


def _condition(row: int, known: Mapping[str, Value], lifecycle: Lifecycle) -> Condition | None:
    guard = lifecycle.chart.guards.get(row)
    if guard is None:
        return None
    values = {
        name: "(personal)" if name in lifecycle.personal else known[name] for name in guard.fields
    }
    return Condition(guard.text, values)


def _not_met(
    case: Case, row: int, condition: Condition | None, why: str | None, lifecycle: Lifecycle
) -> ConditionNotMet:
    assert condition is not None
    declared = lifecycle.chart.rows[row]
    seen = ", ".join(f"{name} is {value}" for name, value in condition.values.items())
    reason = why or seen or f"state is {case.state}"
    return ConditionNotMet(
        f"cannot {declared.name!r} {case.id}: {condition.when} does not hold ({reason})",
        transition=declared.name,
        when=condition.when,
        values=condition.values,
    )


def _changed(case: Case, given: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in given.items() if case.fields.get(name) != value}


def _plain(values: Mapping[str, Value], lifecycle: Lifecycle) -> dict[str, Value]:
    """The values that may stand in the log in the open."""
    return {name: value for name, value in values.items() if name not in lifecycle.personal}


def _personal(values: Mapping[str, Value], lifecycle: Lifecycle) -> dict[str, Value]:
    """The values that are sealed."""
    return {name: value for name, value in values.items() if name in lifecycle.personal}


def _time(claimed: datetime | None, now: datetime, case: Case) -> datetime:
    return max(case.changed_at, min(claimed or now, now))


def _state_named(lifecycle: Lifecycle, name: str) -> Configuration:
    """The configuration that a state, or leaves joined by `+`, stands for."""
    chart = lifecycle.chart
    named = name.split("+")
    unknown = [one for one in named if one not in chart.places]
    if unknown:
        raise UnknownTransition(
            f"{lifecycle.collection} know no state {_quoted(unknown[0])}"
            f" (declared: {', '.join(chart.places)})",
            state=name,
        )
    if len(named) == 1:
        return chart.entered(name)
    states = chart.ordered(named)
    if states not in chart.configurations:
        raise UnknownTransition(f"{_quoted(name)} is no combination that cases reach", state=name)
    return states


def _open_now(case: Case, lifecycle: Lifecycle) -> str:
    listed = [f"{one.name} by {_listed(one.by)}" for one in open_transitions(case, lifecycle)]
    return f"open: {', '.join(listed)}" if listed else "nothing is open: it has ended"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "nobody"


def _quoted(text: str) -> str:
    """What somebody sent, safe to show: short, with control characters escaped."""
    return repr(text if len(text) <= 80 else f"{text[:77]}...")  # noqa: PLR2004 - what fits into a sentence
