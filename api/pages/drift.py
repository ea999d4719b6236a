"""Drift: where a tool and the shared state differ, by what makes them, with what mends it."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from api import asking, paging
from api.door import Answer, Keeper, Visit
from api.pages.columns import capital, columns
from api.pages.render import Link, page, page_at
from api.pages.session import signed_in
from api.pages.settling import DESK, correction, on_day, stands_for
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
from lifecycle.drift import FIGHT
from lifecycle.events import DriftFound, Value
from lifecycle.memory import Memory
from lifecycle.mirror import Mirror
from lifecycle.model import Lifecycle
from lifecycle.streams import message_id
from projections import board, records
from projections.drift import ALWAYS, STATES, OnList
from projections.wording import (
    kind_of,
    label,
    noun,
    spaced,
    state_titles,
    tool_title,
    write,
)

TABS: Final = {"open": "To settle", "dismissed": "Dismissed", "resolved": "Settled"}
COUNTED_AS: Final = {"open": "standing", "dismissed": "dismissed", "resolved": "resolved"}
ENDS: Final = {
    "agrees": "the tool came to say what is true",
    "said-otherwise": "the tool said something else",
    "moved": "the case came to where the tool had it",
    "told": "the tool was told, and took it",
    "accepted": "what the tool said was made true",
    "erased": "the value was erased",
}


async def show(keeper: Keeper, visit: Visit) -> Answer:
    """Everything that differs, by its cause."""
    session = await signed_in(keeper, visit)
    query = visit.query(*DESK.groups, "cursor")
    part = paging.paged(query, of="page drift")
    query.pop("cursor", None)
    state = paging.one_of("state", query, STATES, "open")
    paging.tool_asked(query, session.asker, keeper)
    found, cases, counts, position = await asyncio.to_thread(_read, keeper, query, part.before)
    said = await _said(keeper, found.records)
    due = await asyncio.to_thread(_due, keeper, found.records) if state == "open" else frozenset()
    shows = _Shows(keeper, cases, said, due, acts=session.may_act and state != "resolved")
    following = part.next(found.more) if found.more is not None else ""
    context = {
        "desk": DESK,
        "lead": "Where a tool shows something else than what is true.",
        "tabs": [
            Tab(
                f"/drift?state={one}" if one != "open" else "/drift",
                title,
                counts[one],
                one == state,
            )
            for one, title in TABS.items()
        ],
        "groups": list(shows.groups(found.records, query)),
        "filtered": query.keys() - {"state"},
        "everything": "/drift" if state == "open" else f"/drift?state={state}",
        "empty": _EMPTY[state],
        "next": f"/drift?{urlencode({**query, 'cursor': following})}" if following else "",
        "first": f"/drift?{urlencode(query)}" if part.before is not None else "",
    }
    return page(keeper, visit, "worklist.html", context, session=session, position=position)


_EMPTY: Final = {
    "open": (
        "Nothing differs",
        (
            "Every tool that has spoken shows what is true, as far as is known. A difference"
            " appears here as soon as a tool reports something that is not so."
        ),
    ),
    "dismissed": (
        "Nothing is dismissed",
        (
            "What staff let be for a while stands here until its day comes, or the tool says"
            " something else."
        ),
    ),
    "resolved": (
        "Nothing was settled yet",
        "Differences that have ended stand here, with how they ended and by whom.",
    ),
}


def _read(
    keeper: Keeper, query: Asked, before: int | None
) -> tuple[Found[OnList], dict[tuple[str, str], Case], dict[str, int], int]:
    found = find(DESK, keeper, query, ROWS, before)
    with keeper.store.reading() as session:
        position = asking.followed(session)
        counted = records.counts(session, "drift")
        cases = board.cases_named(session, [(one.collection, one.case_id) for one in found.records])
    counts = {
        state: sum(number for (_, sort), number in counted.items() if sort == name)
        for state, name in COUNTED_AS.items()
    }
    return found, cases, counts, position


def _due(keeper: Keeper, rows: Sequence[OnList]) -> frozenset[str]:
    """The differences of which the tool is about to be told already, by their ids."""
    memory = Memory(keeper.journal.recorder, keeper.journal.mapper)
    memory.recall({row.stream for row in rows})
    mirrors = {row.id: memory.peek(row.stream) for row in rows}
    return frozenset(
        row.id
        for row in rows
        if (known := mirrors[row.id])
        and isinstance(known.state, Mirror)
        and any(row.is_word and one.status_field == row.field for one in known.state.due.values())
    )


async def _said(keeper: Keeper, rows: Sequence[OnList]) -> dict[str, Value]:
    """What tools say of fields, by the id of the difference; it stands in the log alone."""
    streams = list({row.stream for row in rows if not row.is_word})
    entries = await asking.entries_of(keeper, streams) if streams else []
    return {
        one.event.id: one.event.personal.get(one.event.field)
        for one in entries
        if isinstance(one.event, DriftFound) and not one.event.is_word
    }


class _Shows:
    """Shows differences: what was read of them stands beside."""

    def __init__(
        self,
        keeper: Keeper,
        cases: Mapping[tuple[str, str], Case],
        said: Mapping[str, Value],
        due: frozenset[str],
        *,
        acts: bool,
    ) -> None:
        self._keeper = keeper
        self._cases = cases
        self._said = said
        self._due = due
        self._acts = acts
        self._now = keeper.journal.clock()

    def groups(self, rows: Sequence[OnList], asked: Asked) -> Iterator[Group]:
        keys = {row.id: _cause(row) for row in rows}
        for key, members, whole in grouped(DESK, rows, keys, asked):
            first = members[0]
            lifecycle = self._keeper.catalogue.lifecycles.get(first.collection)
            shown = members[:ENTRIES] if whole else members
            due = all(row.id in self._due for row in members)
            group = {**key, "state": asked.get("state", "open")}
            acts = self._ways(group, first, len(members), is_due=due)
            yield Group(
                title=_title(first, lifecycle),
                says=_why(first, lifecycle),
                count=len(members),
                entries=[self._entry(row, lifecycle) for row in shown],
                acts=acts if len(members) > 1 else (),
                whole=whole if len(members) > len(shown) else "",
            )

    def _ways(self, asked: Asked, row: OnList, number: int, *, is_due: bool) -> list[Doable]:
        lifecycle = self._keeper.catalogue.lifecycles.get(row.collection)
        if not self._acts or lifecycle is None:
            return []
        many = f" all {number}" if number > 1 else ""
        told = row.tool in lifecycle.told
        ways = [doable(DESK, "tell", asked, f"Tell{many} again…", main=row.why != FIGHT)]
        if is_due:  # what mends it stands on another list
            part = "by-hand" if is_by_hand(row.tool, lifecycle) else "waiting"
            where = {"state": part, "tool": row.tool, "collection": row.collection}
            where |= {"id": row.case_id} if number == 1 else {}
            title = "See its notice" if number == 1 else "See their notices"
            ways = [Doable(f"/notices?{urlencode(where)}", title, is_main=True)]
        more = [
            doable(DESK, "accept", asked, f"Accept{many}…", main=not told),
            doable(DESK, "dismiss", asked, f"Dismiss{many}…", main=told and row.why == FIGHT),
        ]
        return sorted([*(ways if told else ()), *more], key=lambda one: not one.is_main)

    def _entry(self, row: OnList, lifecycle: Lifecycle | None) -> Entry:
        case = self._cases.get((row.collection, row.case_id))
        acts = self._ways({"one": row.id}, row, 1, is_due=row.id in self._due)
        if acts and lifecycle and row.is_word:
            acts.append(Doable(correction(row, lifecycle), "Correct…"))
        return Entry(
            id=row.id,
            case=f"{row.collection}/{row.case_id}",
            title=known_by(case, lifecycle),
            states=[state_titles(case.states, lifecycle)] if case else [],
            says=" ".join(self._about(row, case, lifecycle)),
            at=asking.short(row.ended_at if row.state(self._now) == "resolved" else row.found_at),
            acts=acts,
            more=Link(f"/messages/{message_id(row.message)}", "message") if row.message else None,
        )

    def _about(self, row: OnList, case: Case | None, lifecycle: Lifecycle | None) -> Iterator[str]:
        if not row.is_word:
            kind, ours = kind_of(row.field, lifecycle), case.fields.get(row.field) if case else None
            theirs = self._said.get(row.id)
            yield f"says {_written(theirs, kind)}; {_written(ours, kind)} is right."
        if row.id in self._due:
            by_hand = lifecycle is not None and is_by_hand(row.tool, lifecycle)
            yield f"The right word is to be {'carried by hand' if by_hand else 'told'} already."
        match row.state(self._now):
            case "dismissed":
                until = row.silent_until
                day = f" until {on_day(datetime.fromisoformat(until))}" if until != ALWAYS else ""
                yield f"Dismissed{day} by {row.ended_by or 'staff'}: {row.reason}"
            case "resolved":
                by = f", by {row.ended_by}" if row.ended_by else ""
                why = f": {row.reason}" if row.reason else ""
                yield f"{capital(ENDS.get(row.how, spaced(row.how)))}{by}{why}"


def _written(value: Value, kind: str | None) -> str:
    return "nothing" if value is None else write(value, kind)


def known_by(case: Case | None, lifecycle: Lifecycle | None) -> str:
    """What people know a case by: a customer, a title."""
    if case is None or lifecycle is None:
        return ""
    value = next((case.fields.get(one.field) for one in columns(lifecycle)[:1]), None)
    return value if isinstance(value, str) else ""


def is_by_hand(tool: str, lifecycle: Lifecycle) -> bool:
    """Whether a person carries what this tool is told."""
    flows = lifecycle.declaration.flows
    return any(one.tool == tool and one.direction == "out" and one.how == "manual" for one in flows)


def _cause(row: OnList) -> Asked:
    key = {"tool": row.tool, "collection": row.collection, "field": row.field, "why": row.why}
    return key | ({"reported": row.reported, "expected": row.expected} if row.is_word else {})


def _title(row: OnList, lifecycle: Lifecycle | None) -> str:
    tool = tool_title(row.tool, lifecycle)
    if not row.is_word:
        return f"{tool} has another {label(row.field, lifecycle)}"
    right = f"where “{row.expected}” is right" if row.expected else "where nothing should stand"
    return f"{tool} shows “{row.reported}” as {spaced(row.field)}, {right}"


def _why(row: OnList, lifecycle: Lifecycle | None) -> list[str]:
    """Why it was not taken, and what mends it."""
    case, tool = noun(lifecycle), tool_title(row.tool, lifecycle)
    owners = _owners(row, lifecycle) if lifecycle else []
    whose = (
        f"that is for {' or '.join(owners)} to say" if owners else "its word does not count here"
    )
    meant = state_titles(stands_for(row, lifecycle), lifecycle) if lifecycle else ""
    match row.why:
        case "not-the-owner":
            says = [f"Not taken: {whose}."]
        case "ambiguous-word":
            says = [f"Not taken: the word stands for {meant}, and which is meant cannot be told."]
        case "overtaken":
            says = [f"Not taken: somebody else has moved {case} on since {tool} saw that."]
        case why if why == FIGHT:
            return [
                (
                    f"{tool} was put right time and again, and went back each time: two systems"
                    " correct each other. Find the other one and stop it; then tell it again."
                )
            ]
        case why:
            says = [f"Not taken: {spaced(why).replace('-', ' ')}."]
    if lifecycle and row.tool not in lifecycle.told:
        says.append(f"Nobody tells {tool} anything: put it right there by hand, or accept it.")
    return says


def _owners(row: OnList, lifecycle: Lifecycle) -> list[str]:
    """Whose word counts for what the tool says."""
    states = stands_for(row, lifecycle)
    owners = {lifecycle.ownership.states.get(one) for one in states}
    if not row.is_word:
        is_known = row.field in lifecycle.fields
        owners = {*lifecycle.ownership.field_owners(row.field)} if is_known else set()
    return sorted(tool_title(one, lifecycle) for one in owners if one and one != row.tool)


async def _show_plan(keeper: Keeper, visit: Visit) -> Answer:
    return await show_plan(DESK, keeper, visit)


async def _take(keeper: Keeper, visit: Visit) -> Answer:
    return await take(DESK, keeper, visit)


PAGES: Final = (
    page_at("GET", "/drift", show, "Where tools differ from what is true, by cause"),
    page_at("GET", "/drift/act", _show_plan, "What settling differences would do"),
    page_at("POST", "/drift/act", _take, "Settle differences: as planned"),
)
