"""Having notices told, and ticking them off: what it would do, and what became of them."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final, Literal, cast

from api.door import Keeper
from api.pages.columns import capital
from api.pages.worklists import (
    Act,
    Asked,
    Desk,
    Line,
    Part,
    Turn,
)
from lifecycle.asks import Ask
from lifecycle.journal import Outcome
from lifecycle.memory import Memory
from lifecycle.mirror import Mirror
from lifecycle.model import Lifecycle
from lifecycle.notices import Tell
from lifecycle.refusals import Refusal
from projections.notices import Notices, OnList
from projections.records import Wanted
from projections.routes import Route, routes
from projections.wording import spaced, tool_title

ENDED: Final = {
    "delivered": "It was delivered meanwhile.",
    "superseded": "It need not be told any more: something newer has taken its place.",
    "given-up": "It was given up.",
    "waiting": "It waits to be told.",
}


class NoticeDesk(Desk[OnList]):
    """Notices."""

    address: ClassVar[str] = "/notices"
    title: ClassVar[str] = "Notices"
    noun: ClassVar[str] = "notice"
    groups: ClassVar[tuple[str, ...]] = ("state", "tool", "collection", "id", "why", "ended")
    lead: ClassVar[str] = (
        "What the tools are to be told when a case changes, each in its own words, and whether it"
        " reached them."
    )
    by: ClassVar[str] = "state"
    first: ClassVar[str] = "given-up"
    parts: ClassVar[Mapping[str, Part]] = {
        "given-up": Part(
            "Given up",
            "Nothing was given up",
            "Everything that was due was told, or is still being tried. What a tool does not take"
            " for three days stands here until somebody has it tried again.",
            lasts=True,
        ),
        "by-hand": Part(
            "To carry by hand",
            "Nothing is to be carried",
            "What a tool is to be told stands here where a person carries it (a flow with"
            " `how: manual`), until it is ticked off.",
            lasts=True,
        ),
        "waiting": Part(
            "Still to be told",
            "Nothing is on its way",
            "Every tool has been told what it is to know. A notice stands here from the moment a"
            " case changes until the tool takes it.",
            lasts=True,
        ),
        "delivered": Part("Delivered", "Nothing was delivered yet", "What tools took stands here."),
        "superseded": Part(
            "Not needed any more",
            "Nothing was overtaken",
            "A notice stands here when a newer one took its place before it was delivered.",
        ),
    }
    acts: ClassVar[Mapping[str, Act]] = {
        "recover": Act(
            "Tell it now",
            "It is tried again at once, and from then on as if it had just become due, in its order"
            " among what the tool is told of the same case.",
            "Try again now",
        ),
        "deliver": Act(
            "Tick off",
            "It counts as delivered: you say that a person has put it into the tool.",
            "Tick off",
            reason=False,
        ),
    }

    def wanted(self, keeper: Keeper, asked: Asked) -> tuple[type[Notices], Wanted]:
        """Ask for notices in a state, to a tool."""
        del keeper
        state = asked.get("state", "given-up")
        return Notices, Wanted(
            sort="waiting" if state == "by-hand" else state,
            tool=asked.get("tool", ""),
            why=asked.get("why", ""),
            collection=asked.get("collection", ""),
            case_id=asked.get("id", ""),
        )

    def fits(self, keeper: Keeper, record: OnList, asked: Asked) -> bool:
        """Tell whether it is carried as asked, and ended as asked."""
        state = asked.get("state", "given-up")
        if state in {"waiting", "by-hand"} and is_carried(keeper, record) != (state == "by-hand"):
            return False
        return "ended" not in asked or record.ended_why == asked["ended"]

    def named(self, keeper: Keeper, record_id: str) -> Sequence[OnList]:
        """Find a notice by its id."""
        with keeper.store.reading() as session:
            return Notices.named(session, [record_id])

    def planned(self, turn: Turn, record: OnList, memory: Memory) -> Line:
        """Tell what would become of it."""
        lifecycle = turn.keeper.catalogue.lifecycles.get(record.collection)
        mirror = memory[record.stream].state
        mirror = mirror if isinstance(mirror, Mirror) else Mirror()
        waits, lost = record.id in mirror.due, record.id in mirror.given_up
        if not waits and not (lost and turn.how == "recover"):
            state = "given-up" if lost else record.state
            said = ENDED[state] if state != "waiting" else "It has ended meanwhile."
            return _line(record, lifecycle, "no" if lost else "meanwhile", said)
        route = _route(turn.keeper, record)
        if turn.how == "deliver":
            return _line(record, lifecycle, "will", "It counts as delivered.")
        if route is None or route.waits:
            why = route.waits if route else "no way out to this tool is declared"
            return _line(record, lifecycle, "will", f"It waits again, but is not sent: {why}.")
        if _is_failing(turn.keeper, record.tool):
            says = (
                "It waits again, and is sent as soon as the tool takes anything: now it does not."
            )
            return _line(record, lifecycle, "will", says)
        return _line(record, lifecycle, "will", "It is sent at once.")

    def ask(self, turn: Turn, record: OnList) -> Ask:
        """Have it told, or ticked off."""
        what = Tell(
            tool=record.tool,
            how="by-hand" if turn.how == "deliver" else "again",
            notice=record.id,
            reason=turn.reason or None,
        )
        asker = turn.session.asker
        return Ask(asker=asker, collection=record.collection, id=record.case_id, what=what)

    def became(self, turn: Turn, record: OnList, outcome: Outcome, memory: Memory) -> Line:
        """Tell whether it waits, or has ended."""
        lifecycle = turn.keeper.catalogue.lifecycles.get(record.collection)
        if isinstance(outcome, Refusal):
            return _line(record, lifecycle, "no", f"{capital(outcome.detail)}.")
        if isinstance(outcome, BaseException):
            return _line(record, lifecycle, "no", "This is our fault; the service's log says more.")
        mirror = memory[record.stream].state
        due = mirror.due if isinstance(mirror, Mirror) else {}
        if record.id not in due:
            return _line(record, lifecycle, "done", "It is delivered.")
        route = _route(turn.keeper, record)
        waits = f": {route.waits}" if route and route.waits else ""
        return _line(record, lifecycle, "done", f"It waits to be told{waits}.")


DESK: Final = NoticeDesk()


def _line(record: OnList, lifecycle: Lifecycle | None, verdict: str, *says: str) -> Line:
    return Line(
        id=record.id,
        case=f"{record.collection}/{record.case_id}",
        what=f"{tool_title(record.tool, lifecycle)}: {in_short(record)}",
        says=says,
        verdict=cast("Literal['will', 'done', 'meanwhile', 'no']", verdict),
        mark=" ".join(says),
    )


def in_short(row: OnList) -> str:
    """What it tells, in a few words."""
    if row.request:
        return f"asked for: {spaced(row.request)}"
    if row.status_field:
        return f"{spaced(row.status_field)} is “{row.word}”"
    return "facts have changed"


def _route(keeper: Keeper, row: OnList) -> Route | None:
    return routes(keeper.catalogue.lifecycles, keeper.environment).get((row.tool, row.collection))


def is_carried(keeper: Keeper, row: OnList) -> bool:
    """Whether a person carries a notice."""
    return row.collection in carried_by_hand(keeper).get(row.tool, ())


def carried_by_hand(keeper: Keeper) -> dict[str, set[str]]:
    """Tool → the collections of which a person tells it."""
    found: dict[str, set[str]] = {}
    for lifecycle in keeper.catalogue.lifecycles.values():
        for flow in lifecycle.declaration.flows:
            if flow.direction == "out" and flow.how == "manual":
                found.setdefault(flow.tool, set()).add(lifecycle.collection)
    return found


def _is_failing(keeper: Keeper, tool: str) -> bool:
    flows = keeper.book.flows() if keeper.book else ()
    return any(one.tool == tool and (one.failing or one.stopped) for one in flows)
