"""Notices: what could not be told, what a person is to carry, and what is on its way."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

from msgspec import Struct

from api import asking, paging
from api.door import Answer, Keeper, Visit
from api.pages.carrying import DESK, carried_by_hand, in_short, is_carried
from api.pages.columns import capital
from api.pages.drift import known_by
from api.pages.render import page, page_at
from api.pages.session import signed_in
from api.pages.worklists import (
    ENTRIES,
    ROWS,
    Asked,
    Doable,
    Entry,
    Found,
    Group,
    Tab,
    doable,
    find,
    grouped,
    show_plan,
    take,
)
from lifecycle.case import Case
from lifecycle.events import NoticeDue, Value
from lifecycle.model import Lifecycle
from projections import board, notices, records
from projections.book import Waiting
from projections.notices import STATES, OnList
from projections.routes import routes
from projections.store import Session
from projections.wording import spaced, state_titles, tool_title, write

TABS: Final = {
    "given-up": "Given up",
    "by-hand": "To carry by hand",
    "waiting": "On their way",
    "delivered": "Delivered",
    "superseded": "Not needed any more",
}
WAITING_MAX: Final = 10_000
"""Notices to one tool that are told apart by collection, to count those that people carry."""


class Failing(Struct, frozen=True):
    """A tool that takes nothing."""

    tool: str
    title: str
    has_stopped: bool


class Seen(Struct, frozen=True):
    """What was read for the page."""

    found: Found[OnList]
    cases: Mapping[tuple[str, str], Case]
    counts: Mapping[str, int]
    attempts: Mapping[str, Waiting]
    failing: Sequence[Failing]
    position: int


async def show(keeper: Keeper, visit: Visit) -> Answer:
    """What tools are to be told, and what came of it."""
    session = await signed_in(keeper, visit)
    query = visit.query(*DESK.groups, "cursor")
    part = paging.paged(query, of="page notices")
    query.pop("cursor", None)
    state = paging.one_of("state", query, (*STATES, "by-hand"), "given-up")
    paging.tool_asked(query, session.asker, keeper)
    seen = await asyncio.to_thread(_read, keeper, {**query, "state": state}, part.before)
    carried = await _carried(keeper, seen.found.records)
    shows = _Shows(keeper, seen, carried, acts=session.may_act)
    lost = seen.counts["given-up"] if state == "given-up" else 0
    everything = f"Recover all {lost:,}…"
    following = part.next(seen.found.more) if seen.found.more is not None else ""
    context = {
        "desk": DESK,
        "lead": "What the tools are to be told, in their own words.",
        "tabs": [
            Tab(f"/notices?state={one}", title, seen.counts[one], one == state)
            for one, title in TABS.items()
        ],
        "failing": seen.failing,
        "overall": [doable(DESK, "recover", {"state": state}, everything, main=True)]
        if lost > 1 and session.may_act
        else [],
        "groups": list(shows.groups(seen.found.records, {**query, "state": state})),
        "filtered": query.keys() - {"state"},
        "everything": f"/notices?state={state}",
        "empty": _EMPTY[state],
        "next": f"/notices?{urlencode({**query, 'cursor': following})}" if following else "",
        "first": f"/notices?{urlencode(query)}" if part.before is not None else "",
    }
    return page(keeper, visit, "worklist.html", context, session=session, position=seen.position)


_EMPTY: Final = {
    "given-up": (
        "Nothing was given up",
        (
            "Everything that was due was told, or is still being tried. What a tool does not take"
            " for three days stands here until somebody has it tried again."
        ),
    ),
    "by-hand": (
        "Nothing is to be carried",
        (
            "What a tool is to be told stands here where a person carries it (a flow with"
            " `how: manual`), until it is ticked off."
        ),
    ),
    "waiting": (
        "Nothing is on its way",
        (
            "Every tool has been told what it is to know. A notice stands here from the moment a"
            " case changes until the tool takes it."
        ),
    ),
    "delivered": ("Nothing was delivered yet", "What tools took stands here."),
    "superseded": (
        "Nothing was overtaken",
        "A notice stands here when a newer one took its place before it was delivered.",
    ),
}


def _read(keeper: Keeper, query: Asked, before: int | None) -> Seen:
    found = find(DESK, keeper, query, ROWS, before)
    with keeper.store.reading() as session:
        position = asking.followed(session)
        counted = counts(keeper, session)
        names = [(one.collection, one.case_id) for one in found.records]
        cases = board.cases_named(session, names)
    waiting = [one.id for one in found.records if one.state == "waiting"]
    attempts = keeper.book.notices(waiting) if keeper.book and waiting else ()
    return Seen(
        found,
        cases,
        counted,
        {one.id: one for one in attempts},
        failing(keeper),
        position,
    )


def counts(keeper: Keeper, session: Session) -> dict[str, int]:
    """How many there are in each part of the list."""
    counted = dict.fromkeys(TABS, 0)
    for (_, state), number in records.counts(session, "notices").items():
        counted[state] += number
    for tool, collections in carried_by_hand(keeper).items():
        waits = notices.waiting(session, tool, WAITING_MAX)
        by_hand = sum(number for name, number in waits.items() if name in collections)
        counted["by-hand"] += by_hand
        counted["waiting"] -= by_hand
    return counted


def failing(keeper: Keeper) -> list[Failing]:
    """The tools that take nothing at present, as the courier's book has it."""
    if keeper.book is None:
        return []
    lifecycles = keeper.catalogue.lifecycles.values()
    return [
        Failing(
            one.tool,
            next(
                (tool_title(one.tool, of) for of in lifecycles if one.tool in of.declaration.tools),
                one.tool,
            ),
            bool(one.stopped),
        )
        for one in keeper.book.flows()
        if one.failing or one.stopped
    ]


async def _carried(keeper: Keeper, rows: Sequence[OnList]) -> dict[str, NoticeDue]:
    """Notices whose values a person has to see, by id; they stand in the log alone."""
    by_hand = {row.id for row in rows if row.state == "waiting" and is_carried(keeper, row)}
    streams = list({row.stream for row in rows if row.id in by_hand})
    entries = await asking.entries_of(keeper, streams) if streams else []
    return {
        one.event.id: one.event
        for one in entries
        if isinstance(one.event, NoticeDue) and one.event.id in by_hand
    }


class _Shows:
    """Shows notices: what was read of them stands beside."""

    def __init__(
        self, keeper: Keeper, seen: Seen, carried: Mapping[str, NoticeDue], *, acts: bool
    ) -> None:
        self._keeper = keeper
        self._seen = seen
        self._carried = carried
        self._acts = acts
        self._routes = routes(keeper.catalogue.lifecycles, keeper.environment)

    def groups(self, rows: Sequence[OnList], asked: Asked) -> Iterator[Group]:
        keys = {row.id: self._cause(row) for row in rows}
        for key, members, whole in grouped(DESK, rows, keys, asked):
            first = members[0]
            lifecycle = self._keeper.catalogue.lifecycles.get(first.collection)
            shown = members[:ENTRIES] if whole else members
            ways = self._ways({**asked, **key}, first, len(members)) if len(members) > 1 else []
            yield Group(
                title=_title(first, lifecycle),
                says=list(self._why(first)),
                count=len(members),
                entries=[self._entry(row, lifecycle) for row in shown],
                acts=ways,
                whole=whole if len(members) > len(shown) else "",
            )

    def _cause(self, row: OnList) -> Asked:
        key = {"tool": row.tool, "collection": row.collection}
        return key | ({"ended": row.ended_why} if row.state == "given-up" else {})

    def _why(self, row: OnList) -> Iterator[str]:
        route = self._routes.get((row.tool, row.collection))
        match row.state:
            case "given-up":
                yield "It was tried for days. See to the tool first, then recover them."
            case "waiting" if route and route.manual:
                by = f" by {route.steward}" if route.steward else ""
                yield f"To be put into the tool{by}, then ticked off here."
            case "waiting" if route and route.waits:
                yield f"Not sent: {route.waits}. Set it, and start the service again."
            case "waiting" if route is None:
                yield "Not sent: no way out to this tool is declared any more."

    def _ways(self, asked: Asked, row: OnList, number: int) -> list[Doable]:
        if not self._acts or row.state not in {"waiting", "given-up"}:
            return []
        many = f" all {number}" if number > 1 else ""
        route = self._routes.get((row.tool, row.collection))
        if row.state == "waiting" and route and route.manual:
            return [doable(DESK, "deliver", asked, f"Tick off{many}…", main=True)]
        if row.state == "waiting" and route and route.waits:
            return []
        title = f"Recover{many}…" if row.state == "given-up" else f"Try{many} now…"
        return [doable(DESK, "recover", asked, title, main=row.state == "given-up")]

    def _entry(self, row: OnList, lifecycle: Lifecycle | None) -> Entry:
        case = self._seen.cases.get((row.collection, row.case_id))
        return Entry(
            id=row.id,
            case=f"{row.collection}/{row.case_id}",
            title=known_by(case, lifecycle),
            states=[state_titles(case.states, lifecycle)] if case else [],
            says=". ".join(self._about(row)),
            at=asking.short(row.ended_at or row.due_at),
            acts=self._ways({"one": row.id}, row, 1),
        )

    def _about(self, row: OnList) -> Iterator[str]:
        due = self._carried.get(row.id)
        if due and due.personal:
            yield f"{capital(in_short(row))}: {', '.join(_values(due.personal))}"
        else:
            yield capital(in_short(row))
        if due and (refs := [ref for kind in due.refs.values() for ref in kind]):
            yield f"Its record there: {', '.join(refs)}"
        known = self._seen.attempts.get(row.id)
        if known and known.attempts:
            tried = "once" if known.attempts == 1 else f"{known.attempts} times"
            yield f"Tried {tried}{f', last answer: {known.why}' if known.why else ''}"
        elif row.attempts and row.state != "waiting":
            yield "Tried once" if row.attempts == 1 else f"Tried {row.attempts} times"


def _title(row: OnList, lifecycle: Lifecycle | None) -> str:
    tool, about = tool_title(row.tool, lifecycle), spaced(row.collection)
    if row.state == "given-up":
        return f"{tool} did not take what it was told of {about}: {row.ended_why or 'no answer'}"
    return f"{tool}, of {about}"


def _values(values: Mapping[str, Value]) -> Iterator[str]:
    for name, value in values.items():
        yield f"{name} “{'' if value is None else write(value, None)}”"


async def _show_plan(keeper: Keeper, visit: Visit) -> Answer:
    return await show_plan(DESK, keeper, visit)


async def _take(keeper: Keeper, visit: Visit) -> Answer:
    return await take(DESK, keeper, visit)


PAGES: Final = (
    page_at("GET", "/notices", show, "What tools could not be told, and what people carry"),
    page_at("GET", "/notices/act", _show_plan, "What telling notices now would do"),
    page_at("POST", "/notices/act", _take, "Have notices told, or ticked off: as planned"),
)
