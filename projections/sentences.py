"""One plain sentence for each event, for somebody who does not know the system.

An event carries all that happened; the lifecycle lends only the names people use (titles of tools,
states and fields, whose word counts). So a sentence can always be said: of what the lifecycle
declares no more, or with no lifecycle at all, the recorded ids are written as plain words.

Read downward: sentences by kind of event, then the parts they are made of. How a transition reads
is remembered: a sentence is said with every transition that is made.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Final

from msgspec import Struct

from lifecycle.declaration import Transition
from lifecycle.events import (
    ERASED,
    Answered,
    CarriedOver,
    CaseAdopted,
    CaseEvent,
    CaseOpened,
    ClaimEnded,
    ClaimMade,
    Condition,
    DefinitionAdopted,
    DriftFound,
    DriftResolved,
    Erased,
    Event,
    Fetched,
    FieldsSet,
    FlowFailing,
    FlowRecovered,
    FlowStarted,
    FlowStopped,
    Heard,
    HeardAgain,
    KeyIssued,
    KeyRevoked,
    MessagesLetGo,
    OfNotice,
    Parked,
    ReactionDropped,
    ReactionPlanned,
    ReferenceFreed,
    ReferenceHeld,
    ReferenceReleased,
    ReferenceTaken,
    Refused,
    Reported,
    SessionsEnded,
    StateCorrected,
    TransitionMade,
    Understood,
    Unparked,
    Valued,
)
from lifecycle.model import Lifecycle
from lifecycle.moves import AND
from projections.tellings import told
from projections.wording import (
    REMEMBERED_MAX,
    any_of,
    asker,
    condition,
    kind_of,
    label,
    mentions,
    noun,
    phrase,
    plain,
    quote,
    some_of,
    spaced,
    state_titles,
    tool_title,
    unhidden,
    write,
)

TWICE: Final = 2
OWNERS_MAX: Final = 2
"""Tools that staff are said to have stood in for; of more they acted as the steward."""


def sentence(
    event: Event,
    lifecycle: Lifecycle | None,
    case_name: str | None = None,
    *,
    hidden: Collection[str] = (),
) -> str:
    """Say what happened, in one sentence that ends with a full stop.

    `case_name` is what the case is called (`the job`, by default from the collection). Facts whose
    names are `hidden` are left out, and so is every condition or refusal that speaks of them.
    """
    case = case_name or noun(lifecycle)
    said = _said(event, lifecycle, case, hidden)
    if isinstance(event, CaseEvent) and event.reason:
        said = f"{said}: {quote(event.reason)}"
    return f"{said[0].upper()}{said[1:]}."


def _said(  # noqa: C901, PLR0911 - one for each kind of event
    event: Event, lifecycle: Lifecycle | None, case: str, hidden: Collection[str]
) -> str:
    match event:
        case TransitionMade():
            return _moved(event, lifecycle, case, hidden)
        case FieldsSet():
            return _set(event, lifecycle, case, hidden)
        case CaseOpened():
            return _begun(event, lifecycle, case, hidden)
        case ReferenceTaken():
            return _linked(event, lifecycle, case)
        case StateCorrected():
            left, now = state_titles(event.left, lifecycle), state_titles(event.to, lifecycle)
            return f"{event.by.name} put {case} where it really is, from {left} to {now}"
        case CarriedOver():
            now = state_titles(event.to, lifecycle)
            version = event.definition.version
            return (
                f"version {version} of the definition was adopted, in which {case} stands at {now}"
            )
        case Erased():
            return f"{event.by.name} erased the personal values of {case} for good"
        case Refused():
            return _refused(event, lifecycle, case, hidden)
        case Reported() | ClaimMade() | ClaimEnded():
            return _reported(event, lifecycle, case)
        case (
            OfNotice()
            | ReactionPlanned()
            | ReactionDropped()
            | DriftFound()
            | DriftResolved()
            | FlowFailing()
            | FlowRecovered()
            | FlowStopped()
            | FlowStarted()
        ):
            return told(event, lifecycle, case)
        case _:
            return _beside(event, lifecycle)


# --- what happened to a case --------------------------------------------------------------------


def _moved(
    event: TransitionMade, lifecycle: Lifecycle | None, case: str, hidden: Collection[str]
) -> str:
    made = act(event.transition, event.left, event.to, lifecycle, case)
    said = f"{_who(event, lifecycle, made.makers)} {made.past}"
    facts = _facts(event, lifecycle, hidden)
    for name in list(facts):
        link = made.links.get(name)
        if link and facts[name]:
            said = f"{said} {link} {facts.pop(name)}"
    if facts:
        said = f"{said}, with {_with(facts, lifecycle)}"
    because = _because(event.condition, lifecycle, case, hidden)
    if event.auto:
        said = f"{said} automatically"
        said = f"{said}, because {because}" if because else said
    elif because:
        said = f"{said}, now that {because}"
    return f"{said}{made.then}"


def _set(event: FieldsSet, lifecycle: Lifecycle | None, case: str, hidden: Collection[str]) -> str:
    owners: list[str] = []
    if event.override and lifecycle:
        names = [name for name in (*event.fields, *event.personal) if name in lifecycle.fields]
        owners = [tool for name in names for tool in lifecycle.ownership.field_owners(name)]
    who = _who(event, lifecycle, tuple(dict.fromkeys(owners)))
    facts = _facts(event, lifecycle, hidden)
    if not facts:
        return f"{who} changed facts about {case} that are not shown here"
    known = [f"the {label(n, lifecycle)} to {v}" for n, v in facts.items() if v]
    gone = [f"the {label(name, lifecycle)}" for name, value in facts.items() if not value]
    parts = [f"set {some_of(known)}"] if known else []
    parts += [f"removed {some_of(gone)}"] if gone else []
    return f"{who} {', and '.join(parts)}"


def _begun(
    event: CaseOpened, lifecycle: Lifecycle | None, case: str, hidden: Collection[str]
) -> str:
    state = state_titles(event.to, lifecycle)
    facts = _facts(event, lifecycle, hidden)
    known = f", with {_with(facts, lifecycle)}" if facts else ""
    for key, refs in event.references.items():
        tool, _, kind = key.partition(":")
        known += f", known in {tool_title(tool, lifecycle)} as {_record(tool, kind, lifecycle)} "
        known += some_of([quote(ref) for ref in refs])
    if isinstance(event, CaseAdopted):
        return f"{asker(event.by, lifecycle)} took in {case} as already {state}{known}"
    openers = lifecycle.ownership.openers(lifecycle.chart.initial) if lifecycle else ()
    return f"{_who(event, lifecycle, openers)} opened {case} as {state}{known}"


def _linked(event: ReferenceTaken, lifecycle: Lifecycle | None, case: str) -> str:
    record = f"{_record(event.tool, event.kind, lifecycle)} {quote(event.ref)}"
    whose = "its" if event.by.tool == event.tool else f"{tool_title(event.tool, lifecycle)}'s"
    if isinstance(event, ReferenceReleased):
        return f"{asker(event.by, lifecycle)} unlinked {case} from {whose} {record}"
    return f"{asker(event.by, lifecycle)} linked {case} to {whose} {record}"


def _refused(
    event: Refused, lifecycle: Lifecycle | None, case: str, hidden: Collection[str]
) -> str:
    wanted = _wanted(event, lifecycle, case)
    often = f" {event.times} times" if event.times > 1 else ""
    said = f"{asker(event.by, lifecycle)} asked{often} to {wanted}, which was refused"
    if mentions(event.detail, hidden):
        return said
    return f"{said}: {why_not(event.code, event.detail, event.state, lifecycle)}"


def _wanted(event: Refused, lifecycle: Lifecycle | None, case: str) -> str:
    asked = event.asked
    if asked in _OTHER_ASKS:
        return _OTHER_ASKS[asked].format(case=case)
    declared = lifecycle is not None and asked in lifecycle.transitions
    is_field = lifecycle is None or asked in lifecycle.fields or "," in asked or not declared
    if is_field and "may not set" in event.detail:
        names = [name.strip() for name in asked.split(",")]
        return f"set {some_of([f'the {label(name, lifecycle)}' for name in names])}"
    return act(asked, event.state, (), lifecycle, case).base


_OTHER_ASKS: Final = {
    "TakeReference": "link {case} to another record",
    "ReleaseReference": "unlink {case} from a record",
    "Correct": "correct the state of {case}",
    "Erase": "erase the personal values of {case}",
    "Open": "open {case}",
}


_UNMET: Final = re.compile(rf"(?:^|{AND})(.*?) does not hold \((.*?)\)(?=$|{AND})", re.DOTALL)
"""Each condition that does not hold, and what it saw."""


def why_not(code: str, detail: str, states: Sequence[str], lifecycle: Lifecycle | None) -> str:
    """Say why something was refused in these states, in plain words; the detail speaks in ids."""
    case, detail = noun(lifecycle), detail.partition(": ")[2] or detail
    match code:
        case "transition-not-open":
            return f"that cannot be done while {case} is {state_titles(states, lifecycle)}"
        case "fields-missing" if found := re.search(r"it needs (.*), already known", detail):
            names = [f"the {label(name, lifecycle)}" for name in found[1].split(", ")]
            return f"it needs {some_of(names)}, not known yet"
        case "condition-not-met" if _UNMET.search(detail):
            unmet = [
                f"{condition(when, lifecycle, case)}, but {plain(seen, lifecycle)}"
                for when, seen in _UNMET.findall(detail)
            ]
            return f"it needs that {'; or that '.join(unmet)}"
        case _:
            return plain(detail, lifecycle)


# --- what tools say of a case -------------------------------------------------------------------


def _reported(
    event: Reported | ClaimMade | ClaimEnded, lifecycle: Lifecycle | None, case: str
) -> str:
    match event:
        case Reported():
            said = f"{tool_title(event.tool, lifecycle)} said {_what_was_said(event, lifecycle)}"
            if event.by.staff:
                said = f"{event.by.staff} passed on that {said}"
            means = _OUTCOMES.get(event.outcome, "") if event.word else ""
            because = _DRIFTS.get(event.why, "") if event.outcome == "drift" else ""
            return f"{said}{means.format(case=case)}{because.format(case=case)}"
        case ClaimMade():
            tool = tool_title(event.tool, lifecycle)
            return f"{tool}'s word “{quote(event.word)}” waits until {case} has come that far"
        case ClaimEnded():
            ended = _ENDS.get(event.why) or _ENDS.get(event.outcome, "waits no more")
            return f"what {asker(event.by, lifecycle)} said of {case} before its time {ended}"


def _message(
    event: Heard | Fetched | HeardAgain | Understood | Parked | Unparked,
    lifecycle: Lifecycle | None,
) -> str:
    who = asker(event.by, lifecycle)
    match event:
        case Heard():
            return f"{who} sent a message{_HEARD.get(event.why or event.outcome, '')}"
        case Fetched():
            return f"{who} was asked for the record that a message named"
        case HeardAgain():
            often = f", {event.times} times by now" if event.times > TWICE else ""
            return f"{who} sent the same message again{often}"
        case Understood():
            about = f" about {event.case}" if event.case else ""
            looked = f"{who} had a message{about} looked at again" if event.by.staff else ""
            return f"{looked or f'a message{about} was looked at again'}: {event.outcome}"
        case Parked():
            return f"{who} sent a message about a record that is not known yet"
        case Unparked():
            return "a message waits for its record no more"


_HEARD: Final = {
    "unknown-reference": " about a record that is not linked to anything",
    "no-reference": " that names no record",
    "unknown-word": " with a word that nobody has declared",
    "unknown-field": " about a field that nobody has declared",
    "not-fetched": " that only names a record, which is to be asked for",
    "stale": " that is older than what it said before",
}
"""Why a message means nothing for a case, or its outcome → how its sentence ends."""


def _what_was_said(event: Reported, lifecycle: Lifecycle | None) -> str:
    named = [f"the {label(name, lifecycle)}" for name in event.said]
    names = some_of(named) if named else ""
    word = f"“{quote(event.word)}”" if event.word else ""
    if word and names:
        return f"{word}, and {names}"
    return word or (f"what {names} is" if names else "what cannot be taken")


_OUTCOMES: Final = {
    "agrees": ", which agrees",
    "echo": ", which repeats what it was told",
    "applied": ", and {case} was moved by it",
    "early": ", which comes too early for {case} and waits",
    "drift": ", which is not so",
    "ignored": ", which means nothing here",
}
"""Outcome of a report → how its sentence ends."""

_DRIFTS: Final = {
    "not-the-owner": ": its word does not count for that",
    "ambiguous-word": ": which state it means cannot be told",
    "overtaken": ": {case} has gone on since",
}

_ENDS: Final = {
    "applied": "came true",
    "agrees": "is so by now",
    "stale": "was taken back",
    "said-again": "was said once more",
    "drift": "cannot come true any more",
}


# --- what happened beside the cases -------------------------------------------------------------


def _beside(event: Event, lifecycle: Lifecycle | None) -> str:  # noqa: PLR0911 - one for each kind
    who = asker(event.by, lifecycle)
    match event:
        case ReferenceHeld():
            return f"{who} linked a record to {event.case}"
        case ReferenceFreed():
            return f"{who} released a record, which is linked to no case any more"
        case Answered():
            return f"{who} was answered about {event.case.partition(':')[2] or event.case}"
        case KeyIssued():
            whom = tool_title(event.tool, lifecycle) if event.tool else event.staff or "nobody"
            return f"{who} issued a {'read-only ' if event.read_only else ''}key to {whom}"
        case KeyRevoked():
            return f"{who} revoked a key"
        case SessionsEnded():
            return f"{who} signed out everywhere"
        case Heard() | Fetched() | HeardAgain() | Understood() | Parked() | Unparked():
            return _message(event, lifecycle)
        case MessagesLetGo():
            count = f"{event.messages:,} message{'' if event.messages == 1 else 's'}"
            return f"{who} let go of how {count} had come, as long ago as is kept"
        case DefinitionAdopted():
            same = lifecycle is not None and lifecycle.name == event.lifecycle
            title = lifecycle.declaration.title if lifecycle and same else spaced(event.lifecycle)
            return f"{who} adopted version {event.version} of the lifecycle “{title}”"
        case _:
            return f"{who} recorded: {_words_of_class(type(event).__name__)}"


def _words_of_class(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower()


# --- the parts of a sentence --------------------------------------------------------------------


def _who(event: CaseEvent, lifecycle: Lifecycle | None, owners: Collection[str]) -> str:
    """Name the asker; of staff also in whose place, where that is plain."""
    if not event.override or not event.by.staff:
        return asker(event.by, lifecycle)
    if not 0 < len(owners) <= OWNERS_MAX:
        return f"{event.by.staff}, as the steward,"
    titles = any_of([tool_title(tool, lifecycle) for tool in owners])
    return f"{event.by.staff}, in place of {titles},"


def _facts(event: Valued, lifecycle: Lifecycle | None, hidden: Collection[str]) -> dict[str, str]:
    """Field → its value as people write it, empty where it was forgotten."""
    facts = {
        name: "" if value is None else write(value, kind_of(name, lifecycle))
        for name, value in event.fields.items()
    }
    for name, value in event.personal.items():
        if value == ERASED:
            facts[name] = "(erased)"
        else:
            facts[name] = "" if value is None else write(value, kind_of(name, lifecycle))
    return {**unhidden(facts, hidden, lifecycle)}


def _with(facts: Mapping[str, str], lifecycle: Lifecycle | None) -> str:
    return some_of(
        [f"{label(name, lifecycle)} {value or 'removed'}" for name, value in facts.items()]
    )


def _record(tool: str, kind: str, lifecycle: Lifecycle | None) -> str:
    if not kind and lifecycle and tool in lifecycle.declaration.tools:
        kind = lifecycle.main_kind(tool)
    return spaced(kind) or "record"


def _because(
    seen: Condition | None, lifecycle: Lifecycle | None, case: str, hidden: Collection[str]
) -> str:
    if seen is None:
        return ""
    if hidden and (not seen.values.keys().isdisjoint(hidden) or mentions(seen.when, hidden)):
        return "what it asks for holds"
    return condition(seen.when, lifecycle, case, seen.values)


class Act(Struct, frozen=True):
    """A transition in words."""

    past: str
    """As it is said to have been made: `scheduled the job`."""
    base: str
    """As it is asked for: `schedule the job`."""
    links: dict[str, str]
    """Fields that complete the verb, and how: `scheduled_for` → `for`."""
    then: str
    """What the case is now, where the verb does not say it."""
    makers: tuple[str, ...]
    """The tools whose word it is."""


@lru_cache(maxsize=REMEMBERED_MAX)
def act(
    name: str,
    left: tuple[str, ...],
    to: tuple[str, ...],
    lifecycle: Lifecycle | None,
    case: str,
) -> Act:
    """Put into words the transition of this name out of these states (and, if known, to those)."""
    rows = _rows(name, left, lifecycle)
    title = next((row.title for _, row in rows if row.title), None)
    said = phrase(name, title, case)
    makers = [m for index, _ in rows if lifecycle for m in lifecycle.ownership.makers[index]]
    verb = said.past.partition(" ")[0]
    links = {f"{verb}_{link}": "on" if link == "at" else link for link in _LINKS}
    now = _entered(left, to, lifecycle)
    evident = set(_words(said.past)).issuperset(_words(now))
    then = "" if evident else f", so {case} is now {now}"
    return Act(said.past, said.base, links, then, tuple(dict.fromkeys(makers)))


def _entered(left: tuple[str, ...], to: tuple[str, ...], lifecycle: Lifecycle | None) -> str:
    """Say what is new: the leaves, and the outermost state around them that was entered."""
    leaves = [state for state in to if state not in left]
    if not leaves:
        return ""
    titles = state_titles(leaves, lifecycle)
    places = lifecycle.chart.places if lifecycle else {}
    if any(leaf not in places for leaf in leaves):
        return titles
    before = {up for leaf in left if leaf in places for up in places[leaf].above}
    around = [
        up
        for up in places[leaves[0]].above
        if up not in before and all(up in places[leaf].above for leaf in leaves)
    ]
    return f"{state_titles(around[:1], lifecycle)} ({titles})" if around else titles


def _rows(
    name: str, left: tuple[str, ...], lifecycle: Lifecycle | None
) -> list[tuple[int, Transition]]:
    """Find the transitions of this name: those that lead out of here if there are any."""
    if lifecycle is None:
        return []
    places = lifecycle.chart.places
    active = {up for leaf in left if leaf in places for up in (leaf, *places[leaf].above)}
    named = [(i, row) for i, row in enumerate(lifecycle.chart.rows) if row.name == name]
    return [(i, row) for i, row in named if active.intersection(row.sources)] or named


_LINKS: Final = ("for", "on", "at", "until", "by")


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
