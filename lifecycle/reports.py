"""What a report means: exactly one outcome, found in the order in which this file asks.

Pure: a report, the case as it is, what the tool said before and the time go in; the outcome comes
out, with the events of the case that it causes. Whether the very same was heard before is judged
beforehand: a duplicate means nothing at all.
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from lifecycle import changes
from lifecycle.case import Case, evolved
from lifecycle.changes import Move, Open, SetFields, automatic
from lifecycle.chart import Configuration
from lifecycle.declaration import Ignore, seconds
from lifecycle.events import Asker, CaseEvent, Value
from lifecycle.mirror import Claim, Mirror
from lifecycle.model import Lifecycle
from lifecycle.moves import steps
from lifecycle.refusals import TransitionNotOpen
from lifecycle.values import normalised
from lifecycle.vocabulary import StatusField

AHEAD_MAX: Final = timedelta(minutes=5)
"""How far a tool's clock may be ahead; a time further on is taken for that of receipt."""
SECOND: Final = timedelta(seconds=1)
ECHO_WITHIN: Final = timedelta(minutes=10)
"""How long a word may take to come back, where the flow does not say."""

Name = Literal[
    "duplicate", "parked", "ignored", "stale", "agrees", "echo", "applied", "early", "drift"
]
"""What becomes of a report."""

OUTCOMES: Final[tuple[Name, ...]] = (
    *("duplicate", "parked", "ignored", "stale", "agrees", "echo", "applied", "early", "drift"),
)
"""All of them, in the order in which they are judged."""

UNKNOWN: Final = "unknown"
"""Why a field was not taken that nobody has declared, here or in the tool's connector."""

Path = tuple[tuple[str, Configuration], ...]
"""A chain of transitions: the name of each, and where it leads."""


class Report(Struct, frozen=True, kw_only=True):
    """A tool saying what it sees."""

    tool: str
    ref: str = ""
    """The tool's own id of the case; empty where it named the case by ours, or not at all."""
    kind: str = ""
    status_field: str = ""
    """Empty where the tool has only one."""
    word: str = ""
    fields: Mapping[str, Any] = {}
    event_id: str = ""
    occurred_at: datetime | None = None

    def at(self, now: datetime) -> datetime:
        """When it counts for: as claimed, or when it was received."""
        claimed = self.occurred_at
        return now if claimed is None or claimed > now + AHEAD_MAX else claimed


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of a report."""

    name: Name
    why: str = ""
    at: datetime
    status_field: str = ""
    expected: str | None = None
    """The word that the tool should show instead."""
    events: tuple[CaseEvent, ...] = ()
    """What it causes in the case's own stream."""
    taken: tuple[str, ...] = ()
    not_taken: Mapping[str, str] = {}
    """Field → why it was not taken."""
    differing: tuple[str, ...] = ()
    """Fields that were not taken, and whose value differs from ours."""


class Hearing(Struct, frozen=True, kw_only=True):
    """Who says it, as what, and when: what the events that are caused have to carry."""

    by: Asker
    message: str
    """The stream of the message."""
    reason: str | None = None
    now: datetime
    absent: Collection[str] = ()
    """Cases that its fields name and that nobody opened."""
    new_id: str = ""
    """The id of the case that it opens, if it does."""
    unread: Collection[str] = ()
    """Parts of what came that could not be read: `word`, `fields.scope`."""


def understand(  # noqa: PLR0911 - one for each question that is asked
    report: Report, case: Case | None, mirror: Mirror, lifecycle: Lifecycle, hearing: Hearing
) -> Outcome:
    """What becomes of a report that was not heard before."""
    at = report.at(hearing.now)
    field = _field_named(report, lifecycle)
    if case is None:
        return _of_nobody(report, at, field, lifecycle, hearing)
    name = field.name if field else report.status_field
    if strange := _strange(report, field, lifecycle, hearing):
        return Outcome(name="parked", why=strange, at=at, status_field=name)
    if ignored := _ignored(report, field, lifecycle, hearing):
        return Outcome(name="ignored", why=ignored, at=at, status_field=name)
    sifted = _sifted(report, at, case, mirror, lifecycle, hearing)
    if field is None or not report.word:
        said = Outcome(name="applied", at=at, status_field=name)
        return _with_fields(said, case, sifted, report, lifecycle, hearing)
    facts = {**case.fields, **sifted.taken}
    meaning = _meaning(report.tool, field, report.word, case, facts, lifecycle)
    shown = lifecycle.vocabulary.words(field, case.states)
    said = Outcome(name="agrees", at=at, status_field=name)
    judged = ("agrees", "") if meaning.here else _judged(meaning, report.tool, at, case)
    if not shown and not meaning.ahead and judged[0] not in {"agrees", "applied"}:
        return replace(said, name="ignored", why="silent")
    if mirror.says_later(name, at):
        return replace(said, name="stale")
    if not meaning.here:
        told = _was_told(report, name, mirror, lifecycle, hearing)
        judged = ("echo", "") if told else judged
    said = replace(said, name=judged[0], why=judged[1])
    if said.name == "applied":
        events = _walk(case, meaning.path, sifted.taken, at, report.tool, lifecycle, hearing)
        return replace(said, events=events, **sifted.told)
    said = _with_fields(said, case, sifted, report, lifecycle, hearing)
    return _expecting(said, evolved(case, said.events), field, lifecycle)


def _expecting(said: Outcome, case: Case, field: StatusField, lifecycle: Lifecycle) -> Outcome:
    """The same; of a word that drifts with the one that is right, after all that was taken."""
    if said.name != "drift":
        return said
    words = lifecycle.vocabulary.words(field, case.states)
    return replace(said, expected=words[0] if words else None)


def is_repeated(
    report: Report, outcome: Outcome, mirror: Mirror, lifecycle: Lifecycle, hearing: Hearing
) -> bool:
    """Whether a tool only repeats what it was just told; it takes back nothing by that."""
    name = outcome.status_field
    return bool(report.word) and _was_told(report, name, mirror, lifecycle, hearing)


def _was_told(
    report: Report, name: str, mirror: Mirror, lifecycle: Lifecycle, hearing: Hearing
) -> bool:
    since = hearing.now - _echo_within(report, lifecycle)
    return mirror.was_told(name, report.word, since, report.occurred_at)


def settle_claim(claim: Claim, case: Case, lifecycle: Lifecycle, now: datetime) -> Outcome:
    """What becomes of a claim now that the case has changed; `early` where it waits on."""
    said = Outcome(name="agrees", at=claim.at, status_field=claim.status_field)
    report = Report(tool=claim.tool, status_field=claim.status_field, word=claim.word)
    field = _field_named(report, lifecycle)
    if field is None:  # another version of the definition knows it no more
        return replace(said, name="ignored", why="not-mapped")
    meaning = _meaning(claim.tool, field, claim.word, case, case.fields, lifecycle)
    if meaning.here:
        return said
    nearer = _distance(meaning, case.states, lifecycle) < _distance(
        meaning, claim.states, lifecycle
    )
    # What it waited for is no reason against it, however late that came.
    at = now if nearer else claim.at
    name, why = _judged(meaning, claim.tool, at, case)
    if name != "applied":
        return _expecting(replace(said, name=name, why=why), case, field, lifecycle)
    hearing = Hearing(by=claim.by, message=claim.message, reason=claim.reason, now=now)
    events = _walk(case, meaning.path, {}, claim.at, claim.tool, lifecycle, hearing)
    return replace(said, name="applied", events=events)


def walk_as_steward(
    tool: str,
    status_field: str,
    word: str,
    case: Case,
    by: Asker,
    reason: str | None,
    lifecycle: Lifecycle,
    now: datetime,
) -> tuple[CaseEvent, ...]:
    """Bring a case by the shortest chain to where a tool's word stands for; `by` is staff.

    `TransitionNotOpen` where there is none whose conditions hold, or more than one state is meant.
    """
    field = lifecycle.vocabulary.named[tool, status_field]
    heard = _heard(tool, status_field, word, lifecycle)
    named = heard if isinstance(heard, str) and heard in lifecycle.transitions else None
    states = tuple(state for state, words in field.entries.items() if word in words)
    path, ambiguous = _chain(None, field, word, named, states, case, case.fields, lifecycle)
    if ambiguous or not path:
        correction = f"/v1/{case.collection}/{case.id}/corrections"
        why = "it may mean several states" if ambiguous else "nothing that is open leads there"
        raise TransitionNotOpen(
            f"cannot accept {word!r} of {tool!r} for {case.id} in state {case.state!r}: {why};"
            f" if it is so, put the case where it really is (POST {correction})",
            state=case.state,
            states=list(states),
            correction=correction,
        )
    events = list[CaseEvent]()
    for name, _ in path:
        ask = Move(transition=name, reason=reason)
        events += changes.make_transition(evolved(case, events), ask, by, lifecycle, now)
    return (*events, *automatic(case, events, by, lifecycle, now))


# --- a report that is about no case -------------------------------------------------------------


def _of_nobody(
    report: Report,
    at: datetime,
    field: StatusField | None,
    lifecycle: Lifecycle,
    hearing: Hearing,
) -> Outcome:
    """It opens a case, where the definition hears that in its word; else it waits, parked."""
    parked = Outcome(name="parked", at=at, status_field=field.name if field else "")
    if not report.ref:
        return replace(parked, why="no-reference")
    chart = lifecycle.chart
    if not opened_by(report, lifecycle):
        return replace(parked, why="unknown-reference")
    sifted = _owned(report, lifecycle, chart.initial, hearing)
    key = f"{report.tool}:{report.kind}" if report.kind else report.tool
    ask = Open(fields=sifted.taken, references={key: (report.ref,)}, occurred_at=at)
    tool = Asker(tool=report.tool)
    opened = changes.open_case(hearing.new_id, ask, tool, lifecycle, hearing.now, hearing.absent)
    events = _signed(opened, hearing)
    return replace(parked, name="applied", events=events, **sifted.told)


def opened_by(report: Report, lifecycle: Lifecycle) -> bool:
    """Whether a case is opened at this word, about a record that nobody holds."""
    field = _field_named(report, lifecycle)
    if field is None or _heard(report.tool, field.name, report.word, lifecycle) != "open":
        return False
    kinds = lifecycle.declaration.tools[report.tool].kinds
    known = not report.kind or report.kind in kinds or not kinds
    return known and report.tool in lifecycle.ownership.openers(lifecycle.chart.initial)


# --- whether anybody declared it ----------------------------------------------------------------


def _field_named(report: Report, lifecycle: Lifecycle) -> StatusField | None:
    """The status field that it speaks of: by name, or the tool's only one."""
    fields = [one for one in lifecycle.vocabulary.status_fields if one.tool == report.tool]
    if not report.status_field and len(fields) == 1:
        return fields[0]
    named = next((one for one in fields if one.name == report.status_field), None)
    if named is None and report.status_field in lifecycle.declaration.hears.get(report.tool, {}):
        return StatusField(report.tool, report.status_field, {})
    return named


def _heard(tool: str, status_field: str, word: str, lifecycle: Lifecycle) -> str | Ignore | None:
    return lifecycle.declaration.hears.get(tool, {}).get(status_field, {}).get(word)


def _published(report: Report, field: StatusField | None, lifecycle: Lifecycle) -> bool:
    name = field.name if field else report.status_field
    return report.word in (lifecycle.published(report.tool, name) or ())


def _strange(
    report: Report, field: StatusField | None, lifecycle: Lifecycle, hearing: Hearing
) -> str:
    """Why nobody can know what it means; empty where somebody declared it."""
    if "word" in hearing.unread:
        return "unknown-word"
    if not report.word:
        named = _fields_named(report, hearing)
        known = lifecycle.fields.keys() | _mapped(report.tool, lifecycle)
        # One that is known is taken by itself; beside it the others are kept, and told.
        unheard_of = named - known and not named & lifecycle.fields.keys()
        return "unknown-field" if unheard_of else ""
    return _strange_word(report, field, lifecycle, hearing)


def _strange_word(
    report: Report, field: StatusField | None, lifecycle: Lifecycle, hearing: Hearing
) -> str:
    if "status_field" in hearing.unread:
        return "unknown-field"
    if _published(report, field, lifecycle):
        return ""
    if field is None:
        return "unknown-field"
    if any(report.word in words for words in field.entries.values()):
        return ""
    heard = _heard(report.tool, field.name, report.word, lifecycle)
    known = _stands(heard, hearing.now) if isinstance(heard, Ignore) else heard is not None
    return "" if known else "unknown-word"


def _fields_named(report: Report, hearing: Hearing) -> frozenset[str]:
    """The fields that it speaks of, also those whose values could not be read."""
    unread = frozenset(
        part.removeprefix("fields.") for part in hearing.unread if part.startswith("fields")
    )
    return unread.union(report.fields)


def _mapped(tool: str, lifecycle: Lifecycle) -> frozenset[str]:
    """The fields that the tool's connector can read, whether or not this lifecycle has them."""
    connector = lifecycle.connector(tool)
    return connector.fields_read if connector else frozenset()


def _ignored(
    report: Report, field: StatusField | None, lifecycle: Lifecycle, hearing: Hearing
) -> str:
    """Why it is to be passed over, by the definition; empty where it is not."""
    if not report.word:
        named = _fields_named(report, hearing)
        if not named:
            return "nothing-said"
        return "" if named & lifecycle.fields.keys() else "not-mapped"
    if field is None:
        return "not-mapped"
    heard = _heard(report.tool, field.name, report.word, lifecycle)
    if heard == "ignore" or (isinstance(heard, Ignore) and _stands(heard, hearing.now)):
        return "hears"
    mapped = any(report.word in words for words in field.entries.values())
    return "" if mapped or isinstance(heard, str) else "not-mapped"


def _stands(ignore: Ignore, now: datetime) -> bool:
    return ignore.until is None or now.date() < date.fromisoformat(ignore.until)


def _echo_within(report: Report, lifecycle: Lifecycle) -> timedelta:
    told = (
        seconds(flow.echo_within)
        for flow in lifecycle.declaration.flows
        if flow.tool == report.tool and flow.echo_within
    )
    return timedelta(seconds=next(told, ECHO_WITHIN.total_seconds()))


# --- what its word means ------------------------------------------------------------------------


class _Meaning(Struct, frozen=True):
    """What a word means for a case that stands where it stands."""

    states: tuple[str, ...]
    """The states that it stands for."""
    here: bool
    """The case is in one of them."""
    path: Path
    """The shortest chain of transitions that this tool can make to one: each, and where to."""
    ambiguous: bool
    """Which state is meant cannot be told."""
    ahead: bool
    """All of them may still come."""
    owned: tuple[str, ...]
    """Those whose truth is the tool's."""
    coming: bool
    """One of those that it owns may still come."""


def _meaning(
    tool: str,
    field: StatusField,
    word: str,
    case: Case,
    facts: Mapping[str, Value],
    lifecycle: Lifecycle,
) -> _Meaning:
    heard = _heard(tool, field.name, word, lifecycle)
    named = heard if isinstance(heard, str) and heard in lifecycle.transitions else None
    states = tuple(state for state, words in field.entries.items() if word in words)
    here = word in lifecycle.vocabulary.words(field, case.states)
    if not states and named:  # only its transition says what it stands for
        rows, active = lifecycle.chart.rows, lifecycle.chart.active(case.states).ids
        states = tuple(dict.fromkeys(row.to for row in rows if row.name == named))
        again = named in {rows[row].name for row in lifecycle.chart.open_rows(case.states)}
        here = not again and not active.isdisjoint(states)
    path: Path = ()
    ambiguous = False
    if not here:
        path, ambiguous = _chain(tool, field, word, named, states, case, facts, lifecycle)
    beyond = lifecycle.chart.beyond(case.states)
    owned = tuple(one for one in states if _owner(one, lifecycle) == tool)
    return _Meaning(
        states,
        here,
        path,
        ambiguous,
        bool(states) and all(state in beyond for state in states),
        owned,
        any(state in beyond for state in owned),
    )


def _owner(state: str, lifecycle: Lifecycle) -> str | None:
    return lifecycle.ownership.states.get(state)


def _chain(
    tool: str | None,
    field: StatusField,
    word: str,
    named: str | None,
    states: tuple[str, ...],
    case: Case,
    facts: Mapping[str, Value],
    lifecycle: Lifecycle,
) -> tuple[Path, bool]:
    """The shortest chain that ends in a state of this word; and whether that leaves a doubt.

    A transition that `hears` names is the chain's last one, and leaves none.
    """
    vocabulary, chart = lifecycle.vocabulary, lifecycle.chart
    waiting: list[Path] = [()]
    seen = {case.states}
    while waiting:
        reached: list[Path] = []
        found: dict[tuple[str, ...], Path] = {}
        for path in waiting:
            at = replace(case, states=path[-1][1]) if path else case
            for name, to in steps(at, tool, facts, lifecycle):
                longer = (*path, (name, to))
                if name == named or (named is None and word in vocabulary.words(field, to)):
                    found.setdefault(vocabulary.entries_for(field, to), longer)
                elif to not in seen:
                    seen.add(to)
                    reached.append(longer)
        if found:
            first = next(iter(found.values()))
            shared = named is None and len(states) > 1
            return first, shared and (
                len(found) > 1 or any(chart.ended(path[-1][1]) for path in found.values())
            )
        waiting = reached
    return (), False


def _judged(meaning: _Meaning, tool: str, at: datetime, case: Case) -> tuple[Name, str]:
    """What becomes of a word that is not the case's, and why."""
    if meaning.path:
        if meaning.ambiguous:
            return "drift", "ambiguous-word"
        overtaken = _is_overtaken(meaning.path, tool, at, case)
        return ("drift", "overtaken") if overtaken else ("applied", "")
    if meaning.coming:
        return "early", ""
    return "drift", "overtaken" if meaning.owned else "not-the-owner"


def _is_overtaken(path: Path, tool: str, at: datetime, case: Case) -> bool:
    """Whether it would leave a state that somebody else entered later than this was seen."""
    if not at.microsecond:  # many products tell only the second in which it was
        at += SECOND
    if at >= case.since:
        return False
    left = {leaf for leaf in case.states for _, to in path if leaf not in to}
    entered = (case.entered[leaf] for leaf in left if leaf in case.entered)
    return any(one.by != tool and one.time > at and not one.opening for one in entered)


def _distance(meaning: _Meaning, states: Configuration, lifecycle: Lifecycle) -> float:
    """How many transitions are left at least until one of the states that the tool owns."""
    beyond = lifecycle.chart.beyond(states)
    return min((beyond[state] for state in meaning.owned if state in beyond), default=float("inf"))


# --- the fields of a report ---------------------------------------------------------------------


class _Sifted(Struct, frozen=True):
    """What a report says besides its word, told apart."""

    taken: Mapping[str, Value]
    not_taken: Mapping[str, str]
    differing: tuple[str, ...] = ()

    @property
    def told(self) -> dict[str, Any]:
        """The same as members of an outcome."""
        return {
            "taken": tuple(self.taken),
            "not_taken": self.not_taken,
            "differing": self.differing,
        }


def _owned(
    report: Report, lifecycle: Lifecycle, states: Configuration, hearing: Hearing
) -> _Sifted:
    """The fields that this tool may set in these states, in their canonical form."""
    values, _ = normalised(report.fields, lifecycle, hearing.absent)
    named = _fields_named(report, hearing)
    strange = named - lifecycle.fields.keys() - _mapped(report.tool, lifecycle)
    not_taken = dict.fromkeys(sorted(strange), UNKNOWN)
    bad = (name for name in lifecycle.fields if name in named and name not in values)
    not_taken |= dict.fromkeys(bad, "invalid")
    active = lifecycle.chart.active(states).ids
    taken: dict[str, Value] = {}
    for name, value in values.items():
        if lifecycle.ownership.field_owner(name, active) == report.tool:
            taken[name] = value
        else:
            not_taken[name] = "not-the-owner"
    return _Sifted(taken, not_taken)


def _sifted(
    report: Report,
    at: datetime,
    case: Case,
    mirror: Mirror,
    lifecycle: Lifecycle,
    hearing: Hearing,
) -> _Sifted:
    """The fields to take: owned, and not older than what the tool last said of each."""
    if not _fields_named(report, hearing):
        return _NO_FIELDS
    owned = _owned(report, lifecycle, case.states, hearing)
    older = {name for name in owned.taken if at < mirror.fields.get(name, at)}
    taken = {name: value for name, value in owned.taken.items() if name not in older}
    values, _ = normalised(report.fields, lifecycle, hearing.absent)
    differing = tuple(
        name
        for name, why in owned.not_taken.items()
        if why == "not-the-owner" and case.fields.get(name) != values[name]
    )
    return _Sifted(taken, {**owned.not_taken, **dict.fromkeys(older, "older")}, differing)


_NO_FIELDS: Final = _Sifted({}, {})


# --- what it causes -----------------------------------------------------------------------------


def _with_fields(
    said: Outcome,
    case: Case,
    sifted: _Sifted,
    report: Report,
    lifecycle: Lifecycle,
    hearing: Hearing,
) -> Outcome:
    """The outcome with the fields that are taken, and what those bring about by themselves."""
    if not _fields_named(report, hearing):
        return said
    tool = Asker(tool=report.tool)
    ask = SetFields(fields=sifted.taken, occurred_at=said.at)
    events = changes.change(case, ask, tool, lifecycle, hearing.now, hearing.absent)
    return replace(said, events=_signed(events, hearing), **sifted.told)


def _walk(
    case: Case,
    path: Path,
    fields: Mapping[str, Value],
    at: datetime,
    tool: str,
    lifecycle: Lifecycle,
    hearing: Hearing,
) -> tuple[CaseEvent, ...]:
    """The transitions of a chain; the first one sets the fields."""
    asker, events = Asker(tool=tool), list[CaseEvent]()
    for index, (name, to) in enumerate(path):
        ask = Move(transition=name, fields={} if index else fields, occurred_at=at)
        (event,) = changes.make_transition(
            evolved(case, events), ask, asker, lifecycle, hearing.now, hearing.absent
        )
        assert event.to == to, (case.id, name, event.to, to)
        events.append(event)
    events += automatic(case, events, asker, lifecycle, hearing.now)
    return _signed(events, hearing)


def _signed(events: Collection[CaseEvent], hearing: Hearing) -> tuple[CaseEvent, ...]:
    """The same, by who really said it, and because of this message."""
    return tuple(_sign(events, hearing))


def _sign(events: Collection[CaseEvent], hearing: Hearing) -> Iterator[CaseEvent]:
    staff = hearing.by.staff is not None
    for event in events:
        yield replace(
            event, by=hearing.by, message=hearing.message, reason=hearing.reason, override=staff
        )
