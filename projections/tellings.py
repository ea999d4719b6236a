"""One plain sentence for each event of telling: notices, reactions, flows, and where tools differ.

Values are never said: who may see them asks for the notice.
"""

from collections.abc import Mapping
from typing import Final

from lifecycle.events import (
    DriftFound,
    DriftResolved,
    Event,
    FlowFailing,
    FlowRecovered,
    FlowStarted,
    FlowStopped,
    NoticeDelivered,
    NoticeDue,
    NoticeGivenUp,
    NoticeRecovered,
    NoticeSuperseded,
    OfNotice,
    ReactionDropped,
    ReactionPlanned,
)
from lifecycle.model import Lifecycle
from projections.wording import asker, label, moment, quote, some_of, spaced, tool_title

FlowEvent = FlowFailing | FlowRecovered | FlowStopped | FlowStarted
Telling = OfNotice | ReactionPlanned | ReactionDropped | FlowEvent | DriftFound | DriftResolved
"""What this file says."""


def told(event: Telling, lifecycle: Lifecycle | None, case: str) -> str:
    """Say it, without the full stop."""
    match event:
        case OfNotice():
            return _noticed(event, lifecycle)
        case DriftFound():
            return _differs(event, lifecycle)
        case DriftResolved():
            return _settled(event, lifecycle, case)
        case ReactionPlanned() | ReactionDropped():
            return _planned(event, lifecycle, case)
        case _:
            return _flow(event, lifecycle)


# --- notices ------------------------------------------------------------------------------------


def _noticed(event: OfNotice, lifecycle: Lifecycle | None) -> str:
    tool, done, what = tool_title(event.tool, lifecycle), "told", _what(event, lifecycle)
    if event.request:
        done, what = "asked for", f"“{quote(spaced(event.request))}”"
    match event:
        case NoticeDue():
            return f"{tool} is to be {done} {what}{_AGAIN.get(event.why, '')}"
        case NoticeDelivered(status=None):
            why = f": {quote(event.reason)}" if event.reason else ""
            return f"{asker(event.by, lifecycle)} has seen to it that {tool} was {done} {what}{why}"
        case NoticeDelivered():
            late = f", at the {_ordinal(event.attempts)} attempt" if event.attempts > 1 else ""
            return f"{tool} was {done} {what}{late}"
        case NoticeSuperseded():
            because = _NEEDLESS.get(event.why)
            return f"{tool} need not be {done} {what} any more{f': {because}' if because else ''}"
        case NoticeGivenUp():
            tries = f"{event.attempts} attempt{'' if event.attempts == 1 else 's'}"
            return f"{tool} could not be {done} {what} in {tries}: {quote(event.why)}"
        case NoticeRecovered():
            why = f": {quote(event.reason)}" if event.reason else ""
            return f"{asker(event.by, lifecycle)} has {tool} {done} {what} now{why}"
    raise AssertionError(event.TOPIC)


def _what(event: OfNotice, lifecycle: Lifecycle | None) -> str:
    if event.word:
        return f"“{quote(event.word)}” as its {spaced(event.status_field)}"
    names = tuple(event.personal) if isinstance(event, NoticeDue) else ()
    reads = lifecycle.declaration.reads.get(event.tool, {}) if lifecycle else {}
    ours = {theirs: name for name, theirs in reads.items()}
    known = [f"the {label(ours.get(name, name), lifecycle)}" for name in names]
    return some_of(known) if known else "what has changed"


_AGAIN: Final[Mapping[str, str]] = {
    "drift": " once more, for it shows something else",
    "asked": " once more",
    "missing": ", which nobody has told it yet",
}
_NEEDLESS: Final[Mapping[str, str]] = {
    "newer-word": "there is a newer word",
    "erased": "it was erased",
    "shown-already": "it shows that already",
}
_ORDINALS: Final = ("", "first", "second", "third", "fourth", "fifth", "sixth", "seventh")


def _ordinal(number: int) -> str:
    if number < len(_ORDINALS):
        return _ORDINALS[number]
    ends = {1: "st", 2: "nd", 3: "rd"}
    teen = number % 100 in {11, 12, 13}
    return f"{number}{'th' if teen else ends.get(number % 10, 'th')}"


# --- where tools differ -------------------------------------------------------------------------


def _differs(event: DriftFound, lifecycle: Lifecycle | None) -> str:
    tool = tool_title(event.tool, lifecycle)
    because = _WHY.get(event.why, "")
    if not event.is_word:
        return f"{tool} has another {label(event.field, lifecycle)} than is known here{because}"
    right = f"“{quote(event.expected)}” is true" if event.expected else "that is not so"
    return f"{tool} says “{quote(event.reported)}” where {right}{because}"


def _settled(  # noqa: PLR0911 - one for each way to settle it
    event: DriftResolved, lifecycle: Lifecycle | None, case: str
) -> str:
    tool, who = tool_title(event.tool, lifecycle), asker(event.by, lifecycle)
    field = f"its {_field(event, lifecycle)}"
    why = f": {quote(event.reason)}" if event.reason else ""
    match event.how:
        case "moved":
            return f"{tool} is right about {field} now that {case} has changed"
        case "told":
            return (
                f"{tool} was put right about {field}{f' by {who}' if event.by.staff else ''}{why}"
            )
        case "accepted":
            return f"{who} accepted what {tool} says of {field}{why}"
        case "dismissed":
            until = moment(event.until) if event.until else "it says something else"
            return f"{who} let {tool} differ in {field} until {until}{why}"
        case "said-otherwise":
            return f"{tool} says something else of {field} now"
        case "erased":
            return f"what {tool} said of {field} was erased"
    return f"{tool} agrees about {field} again"


def _field(event: DriftResolved, lifecycle: Lifecycle | None) -> str:
    is_word = lifecycle is not None and (event.tool, event.field) in lifecycle.vocabulary.named
    return spaced(event.field) if is_word else label(event.field, lifecycle)


_WHY: Final[Mapping[str, str]] = {
    "not-the-owner": ": its word does not count for that",
    "ambiguous-word": ": which state it means cannot be told",
    "overtaken": ": that is over",
    "fight": ", time after time: it is told no more, somebody has to look",
}


# --- reactions and flows ------------------------------------------------------------------------


def _planned(
    event: ReactionPlanned | ReactionDropped, lifecycle: Lifecycle | None, case: str
) -> str:
    tool = tool_title(event.tool, lifecycle)
    if isinstance(event, ReactionDropped):
        what = quote(spaced(event.reaction))
        return f"{tool} is not to be asked for “{what}” any more: {case} has gone on"
    what, when = quote(spaced(event.request)), moment(event.fires_at)
    return f"{tool} is to be asked for “{what}” on {when}, unless {case} goes on before"


def _flow(event: FlowEvent, lifecycle: Lifecycle | None) -> str:
    tool = tool_title(event.tool, lifecycle)
    match event:
        case FlowFailing():
            return f"{tool} takes nothing at present: {quote(event.why)}"
        case FlowRecovered():
            return f"{tool} takes what it is told again"
        case FlowStopped():
            return f"{tool} wants to be told nothing any more: {quote(event.why)}"
        case FlowStarted():
            why = f": {quote(event.reason)}" if event.reason else ""
            return f"{asker(event.by, lifecycle)} has {tool} told again{why}"


TELLINGS: Final[tuple[type[Event], ...]] = (
    *(OfNotice, ReactionPlanned, ReactionDropped, DriftFound, DriftResolved),
    *(FlowFailing, FlowRecovered, FlowStopped, FlowStarted),
)
"""The kinds of event that are said here."""
