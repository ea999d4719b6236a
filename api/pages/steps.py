"""The history of a case as lines: each with its mark and the time that lay before it.

All of it is made into lines, once; what the reader wants to see of them (kinds, words, order, how
many) is chosen from these.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.structs import replace

from lifecycle.events import (
    CarriedOver,
    CaseEvent,
    CaseOpened,
    DriftFound,
    Entry,
    Erased,
    Event,
    NoticeGivenUp,
    Refused,
    Reported,
    StateCorrected,
    TransitionMade,
)
from lifecycle.model import Lifecycle
from projections.timeline import EventView, settled, stamp, view
from projections.why import span
from projections.wording import kind_of, label, spaced, state_titles, tool_title, write

LINES_MAX: Final = 100
"""Lines that come at once; more come as one scrolls."""

Look = Literal["compact", "timeline", "full"]
LOOKS: Final[tuple[Look, ...]] = ("compact", "timeline", "full")

KINDS: Final[Mapping[str, str]] = {
    "moves": "Moves",
    "facts": "Facts",
    "links": "Links",
    "refused": "Refused and failed",
    "tools": "What tools said",
    "told": "What tools were told",
    "drift": "Drift",
    "other": "Other",
}
"""Kinds of lines, in words."""

_KINDS: Final[Mapping[str, str]] = {
    "CaseOpened": "moves",
    "CaseAdopted": "moves",
    "TransitionMade": "moves",
    "StateCorrected": "moves",
    "CarriedOver": "moves",
    "FieldsSet": "facts",
    "Erased": "facts",
    "ReferenceTaken": "links",
    "ReferenceReleased": "links",
    "Refused": "refused",
    "Reported": "tools",
    "ClaimMade": "tools",
    "ClaimEnded": "tools",
    "DriftFound": "drift",
    "DriftResolved": "drift",
    "NoticeDue": "told",
    "NoticeDelivered": "told",
    "NoticeSuperseded": "told",
    "NoticeGivenUp": "refused",
    "NoticeRecovered": "told",
    "ReactionPlanned": "told",
    "ReactionDropped": "told",
}
"""Type of event → kind of line."""


class Mark(Struct, frozen=True):
    """What is out of the ordinary about a line."""

    tone: Literal["bad", "warn", "staff", "quiet"]
    says: str


class Step(Struct, frozen=True):
    """One line of the history."""

    position: int
    kind: str
    happened_at: datetime
    recorded_at: datetime
    shown: EventView
    who: str
    gap: str
    """The time since the line before it that is shown, in its two largest units."""
    marks: tuple[Mark, ...]
    state: str | None
    """Where the case stood after it, where it was moved by it."""
    details: tuple[tuple[str, str], ...]
    """Everything that was recorded with it, in words."""

    @property
    def known_ms(self) -> int:
        """When it was recorded, Unix ms."""
        return int(self.recorded_at.timestamp() * 1000)

    @property
    def at_ms(self) -> int:
        """When it happened, Unix ms."""
        return int(self.happened_at.timestamp() * 1000)

    @property
    def recorded_later(self) -> bool:
        """Whether it was recorded at another time than it happened."""
        return self.shown.time != self.shown.recorded_at


class Wish(Struct, frozen=True):
    """What of the history the reader wants to see, as the address says it."""

    look: Look = "compact"
    newest_first: bool = True
    text: str = ""
    kinds: frozenset[str] = frozenset()
    """Empty: those that this look shows by itself."""
    after: int = 0
    """The last position that was shown already."""
    line: int = 0
    """A position that has to be among what is shown."""

    @property
    def default_kinds(self) -> frozenset[str]:
        """The kinds that are shown unless others are chosen; the compact look leaves out much."""
        return frozenset(KINDS) - ({"told", "drift"} if self.look == "compact" else frozenset())

    @property
    def chosen(self) -> frozenset[str]:
        """The kinds that are shown."""
        return self.kinds or self.default_kinds

    def address(self, **changes: Any) -> str:
        """The query of an address that keeps this wish, but for these changes."""
        wish = replace(self, **changes)
        pairs: list[tuple[str, str]] = []
        if wish.look != "compact":
            pairs.append(("look", wish.look))
        if not wish.newest_first:
            pairs.append(("order", "oldest"))
        if wish.text:
            pairs.append(("text", wish.text))
        pairs += [("kind", kind) for kind in KINDS if kind in wish.kinds]
        pairs += [(name, str(at)) for name in ("after", "line") if (at := getattr(wish, name))]
        return urlencode(pairs)


class History(Struct, frozen=True):
    """The lines that are shown, and what there is besides."""

    steps: Sequence[Step]
    wish: Wish
    counts: Mapping[str, int]
    """Kind → lines of it in the whole history."""
    found: int
    """Lines that fit the wish, shown or not."""
    more_after: int
    """The position after which more lines come; 0 where none do."""
    whole: int


def history(entries: Sequence[Entry], lifecycle: Lifecycle, case: str, wish: Wish) -> History:
    """The lines of a case's entries that are wished for; `case` is named `collection/id`."""
    told = settled(entries)
    kinds = [kind_of_event(entry.event) for entry in told]
    lines = _Lines(lifecycle, case)
    fitting = [entry for entry, kind in zip(told, kinds, strict=True) if kind in wish.chosen]
    if wish.text:
        fitting = [entry for entry in fitting if lines.says(entry, wish.text)]
    chosen = [*zip(fitting, (None, *fitting), strict=False)]
    if wish.newest_first:
        chosen.reverse()
    found = len(chosen)
    rest = [pair for pair in chosen if _is_behind(pair[0].position, wish)]
    many = max(LINES_MAX, 1 + _place(wish.line, rest))
    shown = [lines.step(entry, before) for entry, before in rest[:many]]
    more = shown[-1].position if len(rest) > many else 0
    return History(shown, wish, Counter(kinds), found, more, len(told))


def kind_of_event(event: Event) -> str:
    """What kind of line tells of an event."""
    return _KINDS.get(type(event).__name__, "other")


def _is_behind(position: int, wish: Wish) -> bool:
    if not wish.after:
        return True
    return position < wish.after if wish.newest_first else position > wish.after


def _place(line: int, rest: Sequence[tuple[Entry, Entry | None]]) -> int:
    places = (place for place, (entry, _) in enumerate(rest) if entry.position == line)
    return next(places, 0) if line else 0


class _Lines:
    """Makes lines of the entries of one case."""

    def __init__(self, lifecycle: Lifecycle, case: str) -> None:
        self._lifecycle = lifecycle
        self._collection, _, self._id = case.partition("/")

    def says(self, entry: Entry, text: str) -> bool:
        """Whether a line speaks of this, anywhere in it."""
        shown = self._view(entry)
        told = [shown.sentence, shown.time, shown.type, *(v for _, v in self._details(shown))]
        return text.casefold() in "\n".join(told).casefold()

    def step(self, entry: Entry, before: Entry | None) -> Step:
        """One line."""
        event, shown = entry.event, self._view(entry)
        gap = ""
        if before is not None:
            seconds = (event.happened_at - before.event.happened_at).total_seconds()
            gap = span(int(seconds)) if seconds >= 1 else ""
        return Step(
            position=entry.position,
            kind=kind_of_event(event),
            happened_at=event.happened_at,
            recorded_at=event.recorded_at,
            shown=shown,
            who=self._who(shown),
            gap=gap,
            marks=tuple(_marks(event)),
            state=self._entered(event),
            details=tuple(self._details(shown)),
        )

    def _entered(self, event: Event) -> str | None:
        if isinstance(event, CaseOpened | TransitionMade | StateCorrected | CarriedOver):
            return state_titles(event.to, self._lifecycle)
        return None

    def _view(self, entry: Entry) -> EventView:
        return view(entry, self._lifecycle, collection=self._collection, id=self._id)

    def _who(self, shown: EventView) -> str:
        by = shown.by
        return tool_title(by.tool, self._lifecycle) if by.tool else by.name.capitalize()

    def _details(self, shown: EventView) -> Iterator[tuple[str, str]]:
        for name, value in shown.data.items():
            if written := self._written(name, value):
                yield spaced(name).capitalize(), written

    def _written(  # noqa: PLR0911 - one for each shape of what is recorded
        self, name: str, value: Any
    ) -> str:
        match value:
            case None | "" | False | [] | ():
                return ""
            case True:
                return "yes"
            case datetime():
                return stamp(value)
            case dict() if name == "fields":
                told = (
                    f"{label(field, self._lifecycle)}: {write(one, self._kind(field))}"
                    for field, one in value.items()
                )
                return " · ".join(told)
            case dict():
                return " · ".join(f"{key}: {self._written('', one)}" for key, one in value.items())
            case list() | tuple() if name in {"from", "to", "state"}:
                return state_titles(value, self._lifecycle)
            case list() | tuple():
                return ", ".join(str(one) for one in value)
            case Struct():
                parts = ((part, getattr(value, part)) for part in value.__struct_fields__)
                told = (f"{part}: {self._written(part, one)}" for part, one in parts)
                return " · ".join(told)
        return str(value)

    def _kind(self, field: str) -> str | None:
        return kind_of(field, self._lifecycle)


def _marks(event: Event) -> Iterator[Mark]:
    """What is out of the ordinary, said in a word or two."""
    match event:
        case Refused(times=times):
            yield Mark("bad", f"refused {times} times" if times > 1 else "refused")
        case Reported(outcome="drift") | DriftFound():
            yield Mark("bad", "not so")
        case NoticeGivenUp():
            yield Mark("bad", "given up")
        case Reported(outcome="early"):
            yield Mark("warn", "too early, waits")
        case StateCorrected():
            yield Mark("staff", "corrected")
        case Erased():
            yield Mark("staff", "erased")
        case CaseEvent(override=True):
            yield Mark("staff", "by staff")
        case TransitionMade(auto=True):
            yield Mark("quiet", "by itself")
