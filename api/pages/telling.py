"""How it stands with telling the tools: why a notice waits, who ends that, and who hears nothing.

In plain words, for everybody; what has to be done to the service itself stands apart, as how.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Final, Literal

from msgspec import Struct

from api.door import Keeper
from api.notices import said_by
from lifecycle.known import FlowState
from lifecycle.mirror import Mirror
from lifecycle.model import Lifecycle
from projections import notices, routes
from projections.records import counts
from projections.routes import Route
from projections.store import Session
from projections.waits import Line, Wait, Why, wait
from projections.wording import tool_title

WAITING_MAX: Final = 10_000
"""Notices to one tool that are told apart by collection."""
STOPPERS: Final[Collection[Why]] = frozenset(
    {"undeclared", "no-address", "stopped", "breaker-open", "next-attempt"}
)
"""Why a tool does not know what it should, and will not in a moment."""
DISTURBED: Final[Collection[Why]] = frozenset({"stopped", "breaker-open"})
"""What is wrong with a tool whether or not anything waits for it."""


class Telling(Struct, frozen=True):
    """How it stands with telling a tool something, in words."""

    says: str
    tone: Literal["warn", "bad"] = "warn"
    ends: str = ""
    """Who ends it, and by what; empty where it ends by itself."""
    how: str = ""
    """What has to be done to the service, for who looks after it."""
    part: Literal["waiting", "by-hand", "given-up"] = "waiting"
    """The part of the list of notices where it stands."""

    @property
    def is_stuck(self) -> bool:
        """Whether the tool hears nothing until somebody does something."""
        return self.tone == "bad" or self.part == "by-hand"


def in_words(known: Wait, who: str) -> Telling:
    """Say why a notice waits; `who` answers for the way to its tool."""
    who = who or "whoever looks after this service"
    match known.why:
        case "undeclared":
            says = "not told: no way to it is declared"
            return Telling(says, "bad", f"{who} declares one", "Add a flow to the definition.")
        case "by-hand":
            return Telling("to be carried by hand", ends=f"{who} carries it", part="by-hand")
        case "no-address":
            return _without_address(known.detail, who)
        case "stopped":
            says = "not told: it wants to be told nothing any more"
            return Telling(says, "bad", f"{who} finds out why, and has it told again", known.detail)
        case "breaker-open" | "next-attempt":
            says = "not told yet: it did not take it, and is tried again by itself"
            if known.why == "breaker-open":
                says = "not told: it takes nothing at present, and is tried again by itself"
            return Telling(says, "bad", f"{who} looks after it if it does not end", known.detail)
    return Telling(_PASSING.get(known.why, "about to be told"))


def _without_address(detail: str, who: str) -> Telling:
    brief, _, missing = detail.partition(": ")
    if not missing:
        return Telling(f"not told: {brief}", "bad", f"{who} changes that")
    how = f"{missing}. Set it in the environment of the service, and start that again."
    return Telling("not told: it is not connected", "bad", f"{who} connects it", how)


LOST: Final = Telling("could not be told", "bad", part="given-up")
"""What was tried for days, and not taken."""
DUE: Final = Telling("to be told")
"""What is due, where nothing more is known of it."""
NO_TELLINGS: Final[Mapping[str, Telling]] = {}
"""Nothing is known of how tools are told."""
_PASSING: Final[Mapping[Why, str]] = {
    "left-alone": "not told yet: it asked to be left alone for a while",
    "rate": "about to be told, no faster than it wants",
    "earlier-first": "waits for an earlier notice of the same case",
    "under-way": "being told now",
}


class Ways:
    """The ways to the tools, as they are at this moment."""

    def __init__(self, keeper: Keeper) -> None:
        """Look at the addresses, at the courier's book, and at what the log says."""
        self._keeper = keeper
        self._routes = routes.routes(keeper.catalogue.lifecycles, keeper.environment)
        self._flows = {one.tool: one for one in keeper.book.flows()} if keeper.book else {}
        self._now = keeper.journal.clock()

    def route(self, tool: str, collection: str) -> Route | None:
        """How a tool is told of the cases of a collection."""
        return self._routes.get((tool, collection))

    def steward(self, tool: str, collection: str) -> str:
        """Who answers for that way."""
        if route := self.route(tool, collection):
            return route.steward
        lifecycle = self._keeper.catalogue.lifecycles.get(collection)
        return (lifecycle.declaration.steward if lifecycle else None) or ""

    def of_tool(self, tool: str, collection: str) -> Wait:
        """What stands in the way of everything that a tool is to be told."""
        return wait(self._line(tool, collection), None, self._now)

    def of_case(self, collection: str, mirrors: Mapping[str, Mirror]) -> dict[str, Telling]:
        """Why everything that is due of a case waits, by the notice."""
        due = {one: tool for tool, mirror in mirrors.items() for one in mirror.due}
        book = self._keeper.book
        known = {one.id: one for one in book.notices(list(due))} if book and due else {}
        return {
            one: in_words(
                wait(self._line(tool, collection), known.get(one), self._now),
                self.steward(tool, collection),
            )
            for one, tool in due.items()
        }

    def lines(self) -> Iterator[tuple[str, Lifecycle]]:
        """Every tool that is told, with each lifecycle of which it is."""
        for tool, collection in self._routes:
            yield tool, self._keeper.catalogue.lifecycles[collection]

    def _line(self, tool: str, collection: str) -> Line:
        flow = self._flows.get(tool)
        is_well = self._keeper.book is not None and (
            flow is None or (flow.is_well and not flow.stopped)
        )
        said = FlowState() if is_well else said_by(self._keeper, tool)
        return Line(self._routes.get((tool, collection)), said, flow)


class Untold(Struct, frozen=True):
    """A tool that is not being told, and what waits for it."""

    tool: str
    title: str
    telling: Telling
    since: str
    """Since when, as far as is known; empty: it is not."""
    count: int
    collections: tuple[str, ...]


def untold(keeper: Keeper, session: Session) -> list[Untold]:
    """The tools that are not being told, each with why; one without an address if it is due."""
    ways, found = Ways(keeper), dict[tuple[str, str], Untold]()
    waits = {
        tool
        for (tool, state), many in counts(session, "notices").items()
        if many and state == "waiting"
    }
    queues = {tool: notices.waiting(session, tool, WAITING_MAX) for tool in waits}
    for tool, lifecycle in ways.lines():
        known = ways.of_tool(tool, lifecycle.collection)
        queue = queues.get(tool, {}).get(lifecycle.collection)
        if known.why not in STOPPERS or not (queue or known.why in DISTURBED):
            continue
        telling = in_words(known, ways.steward(tool, lifecycle.collection))
        since = known.since or (queue.since if queue else "")
        one = Untold(
            tool,
            tool_title(tool, lifecycle),
            telling,
            since,
            queue.count if queue else 0,
            (lifecycle.collection,) if queue else (),
        )
        same = found.get((tool, f"{telling}"))
        found[tool, f"{telling}"] = _both(same, one) if same else one
    return sorted(found.values(), key=lambda one: -one.count)


def _both(one: Untold, other: Untold) -> Untold:
    return Untold(
        one.tool,
        one.title,
        one.telling,
        min(filter(None, (one.since, other.since)), default=""),
        one.count + other.count,
        (*one.collections, *other.collections),
    )
