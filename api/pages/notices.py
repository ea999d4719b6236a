"""Notices: what could not be told, what a person is to carry, and what is on its way."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from api import asking
from api.door import Answer, Keeper, Visit
from api.notices import why_waiting
from api.pages.carrying import DESK, carried_by_hand, in_short, is_carried
from api.pages.causes import (
    ENTRIES,
    Contents,
    Doable,
    Entry,
    Group,
    Wish,
    doable,
    grouped,
    shelf,
    wished,
)
from api.pages.columns import capital
from api.pages.drift import known_by
from api.pages.handwork import by_record, step, where
from api.pages.render import page_at
from api.pages.telling import WAITING_MAX, Telling, Untold, Ways, in_words, untold
from api.pages.worklists import ROWS, Asked, Found, find, show_plan, take
from lifecycle.case import Case
from lifecycle.events import NoticeDue
from lifecycle.model import Lifecycle
from projections import board, notices, records
from projections.notices import OnList
from projections.store import Session
from projections.waits import Tried, Wait, Why
from projections.wording import spaced, state_titles, tool_title


class Seen(Struct, frozen=True):
    """What was read for the page."""

    found: Found[OnList]
    cases: Mapping[tuple[str, str], Case]
    counts: Mapping[str, int]
    tried: Mapping[str, Tried]
    """Why those wait that do, by id."""
    untold: Sequence[Untold]
    position: int


async def show(keeper: Keeper, visit: Visit) -> Answer:
    """What tools are to be told, and what came of it."""
    wish = await wished(DESK, keeper, visit)
    seen = await asyncio.to_thread(_read, keeper, wish.asked, wish.paged.before)
    carried = await _carried(keeper, seen.found.records)
    shows = _Shows(keeper, seen, carried, acts=wish.session.may_act)
    contents = Contents(
        groups=list(shows.groups(seen.found.records, wish.asked)),
        counts=seen.counts,
        more=seen.found.more,
        position=seen.position,
        overall=_overall(seen, wish),
    )
    return shelf(DESK, keeper, visit, wish, contents, seen.untold)


def _overall(seen: Seen, wish: Wish) -> list[Doable]:
    lost = seen.counts["given-up"] if wish.part == "given-up" else 0
    if lost <= 1 or not wish.session.may_act:
        return []
    return [doable(DESK, "recover", {"state": wish.part}, f"Recover all {lost:,}…", main=True)]


def _read(keeper: Keeper, query: Asked, before: int | None) -> Seen:
    found = find(DESK, keeper, query, ROWS, behind=before)
    with keeper.store.reading() as session:
        position = asking.followed(session)
        counted = counts(keeper, session)
        names = [(one.collection, one.case_id) for one in found.records]
        cases = board.cases_named(session, names)
        silent = untold(keeper, session)
    return Seen(
        found,
        cases,
        counted,
        why_waiting(keeper, found.records),
        silent,
        position,
    )


def counts(keeper: Keeper, session: Session) -> dict[str, int]:
    """How many there are in each part of the list."""
    counted = dict.fromkeys(DESK.parts, 0)
    for (_, state), number in records.counts(session, "notices").items():
        counted[state] += number
    for tool, collections in carried_by_hand(keeper).items():
        waits = notices.waiting(session, tool, WAITING_MAX)
        by_hand = sum(queue.count for name, queue in waits.items() if name in collections)
        counted["by-hand"] += by_hand
        counted["waiting"] -= by_hand
    return counted


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
        self._ways_out = Ways(keeper)

    def groups(self, rows: Sequence[OnList], asked: Asked) -> Iterator[Group]:
        keys = {row.id: self._cause(row) for row in rows}
        for key, members, whole in grouped(DESK, rows, keys, asked):
            first = members[0]
            lifecycle = self._keeper.catalogue.lifecycles.get(first.collection)
            by_hand = self._is_by_hand(first)
            records = by_record(members) if by_hand else [[row] for row in members]
            shown = records[:ENTRIES] if whole else records
            ways = self._ways({**asked, **key}, first, len(members)) if len(members) > 1 else []
            yield Group(
                title=_title(first, lifecycle),
                says=list(self._why(first)),
                how=self._how(first),
                count=len(members),
                entries=[
                    self._by_hand(rows, lifecycle) if by_hand else self._entry(rows[0], lifecycle)
                    for rows in shown
                ],
                acts=() if by_hand else ways,
                at_last=ways if by_hand else (),
                whole=whole if len(records) > len(shown) else "",
            )

    def _cause(self, row: OnList) -> Asked:
        key = {"tool": row.tool, "collection": row.collection}
        return key | ({"ended": row.ended_why} if row.state == "given-up" else {})

    def _why(self, row: OnList) -> Iterator[str]:
        if row.state == "given-up":
            who = self._ways_out.steward(row.tool, row.collection) or "Somebody"
            yield (
                f"It was tried for days. {who} sees to it that the tool"
                " works; then they can be tried again."
            )
        elif row.state == "waiting":
            telling = self._telling(row, self._ways_out.of_tool(row.tool, row.collection))
            yield f"{capital(telling.says)}{f'; {telling.ends}' if telling.ends else ''}."

    def _how(self, row: OnList) -> str:
        if row.state != "waiting":
            return ""
        return self._telling(row, self._ways_out.of_tool(row.tool, row.collection)).how

    def _telling(self, row: OnList, known: Wait) -> Telling:
        return in_words(known, self._ways_out.steward(row.tool, row.collection))

    def _ways(self, asked: Asked, row: OnList, number: int) -> list[Doable]:
        if not self._acts or row.state not in {"waiting", "given-up"}:
            return []
        many = f" all {number}" if number > 1 else ""
        if self._is_by_hand(row):
            return [doable(DESK, "deliver", asked, f"Tick off{many}…")]
        route = self._ways_out.route(row.tool, row.collection)
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
            at=asking.short(row.recorded_at),
            ended=asking.short(row.ended_at) if row.ended_at else "",
            acts=self._ways({"one": row.id}, row, 1),
        )

    def _is_by_hand(self, row: OnList) -> bool:
        route = self._ways_out.route(row.tool, row.collection)
        return row.state == "waiting" and route is not None and route.manual

    def _by_hand(self, rows: Sequence[OnList], lifecycle: Lifecycle | None) -> Entry:
        """One record of a tool, with all that a person is to do to it."""
        last = rows[-1]
        asked = {"tool": last.tool, "collection": last.collection, "id": last.case_id}
        acts = self._ways({"state": "by-hand", **asked}, last, 1)
        return replace(
            self._entry(rows[0], lifecycle),
            says=f"In {tool_title(last.tool, lifecycle)},",
            records=where(last, self._carried.get(last.id), lifecycle),
            steps=[step(row, self._carried.get(row.id)) for row in rows],
            acts=acts,
        )

    def _about(self, row: OnList) -> Iterator[str]:
        yield capital(in_short(row))
        tried = self._seen.tried.get(row.id)
        if tried and tried.wait.why not in _OF_ALL:
            yield capital(self._telling(row, tried.wait).says)
        if tried and tried.known:
            times = "once" if tried.known.attempts == 1 else f"{tried.known.attempts} times"
            why = tried.known.why
            yield f"Tried {times}{f', last answer: {why}' if why else ''}"
        elif row.attempts and row.state != "waiting":
            yield "Tried once" if row.attempts == 1 else f"Tried {row.attempts} times"


_OF_ALL: Final[frozenset[Why]] = frozenset(
    {"undeclared", "by-hand", "no-address", "stopped", "breaker-open", "its-turn"}
)
"""What keeps everything from a tool, and is said of all together."""


def _title(row: OnList, lifecycle: Lifecycle | None) -> str:
    tool, about = tool_title(row.tool, lifecycle), spaced(row.collection)
    if row.state == "given-up":
        return f"{tool} did not take what it was told of {about}: {row.ended_why or 'no answer'}"
    if row.state == "waiting":
        return f"{tool} is to be told of {about}"
    return f"{tool}, of {about}"


async def _show_plan(keeper: Keeper, visit: Visit) -> Answer:
    return await show_plan(DESK, keeper, visit)


async def _take(keeper: Keeper, visit: Visit) -> Answer:
    return await take(DESK, keeper, visit)


PAGES: Final = (
    page_at("GET", "/notices", show, "What tools could not be told, and what people carry"),
    page_at("GET", "/notices/act", _show_plan, "What telling notices now would do"),
    page_at("POST", "/notices/act", _take, "Have notices told, or ticked off: as planned"),
)
