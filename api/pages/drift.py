"""Drift: where a tool and the shared state differ, by what makes them, with what mends it."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from api import asking
from api.door import Answer, Keeper, Visit
from api.pages.ahead import steward_of
from api.pages.causes import ENTRIES, Contents, Doable, Entry, Group, doable, grouped, shelf, wished
from api.pages.columns import capital, columns
from api.pages.render import Link, page_at
from api.pages.settling import DESK, correction, is_told, on_day, stands_for
from api.pages.telling import Telling, Ways
from api.pages.worklists import ROWS, Asked, Found, find, show_plan, take
from lifecycle.case import Case
from lifecycle.drift import FIGHT
from lifecycle.events import DriftFound, Value
from lifecycle.memory import Memory
from lifecycle.mirror import Mirror
from lifecycle.model import Lifecycle
from lifecycle.streams import message_id
from projections import board
from projections import drift as differences
from projections.drift import ALWAYS, OnList
from projections.wording import (
    kind_of,
    label,
    noun,
    spaced,
    state_titles,
    tool_title,
    write,
)

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
    wish = await wished(DESK, keeper, visit)
    found, cases, counts, position = await asyncio.to_thread(
        _read, keeper, wish.asked, wish.paged.before
    )
    said, is_open = await _said(keeper, found.records), wish.part == "open"
    due = await asyncio.to_thread(_due, keeper, found.records) if is_open else {}
    acts = wish.session.may_act and wish.part != "resolved"
    shows = _Shows(keeper, cases, said, due, acts=acts)
    groups = list(shows.groups(found.records, wish.asked))
    return shelf(DESK, keeper, visit, wish, Contents(groups, counts, found.more, position))


def _read(
    keeper: Keeper, query: Asked, before: int | None
) -> tuple[Found[OnList], dict[tuple[str, str], Case], dict[str, int], int]:
    found = find(DESK, keeper, query, ROWS, behind=before)
    with keeper.store.reading() as session:
        position = asking.followed(session)
        counted = differences.counts(session, keeper.journal.clock())
        cases = board.cases_named(session, [(one.collection, one.case_id) for one in found.records])
    counts = {
        state: sum(number for (_, sort), number in counted.items() if sort == name)
        for state, name in COUNTED_AS.items()
    }
    return found, cases, counts, position


def _due(keeper: Keeper, rows: Sequence[OnList]) -> dict[str, Telling]:
    """Those differences of which the tool is to be told already → how it stands with that."""
    memory = Memory(keeper.journal.recorder, keeper.journal.mapper)
    memory.recall({row.stream for row in rows})
    ways, found = Ways(keeper), dict[str, Telling]()
    for row in rows:
        known = memory.peek(row.stream)
        if not (row.is_word and known and isinstance(known.state, Mirror)):
            continue
        due = known.state.due.items()
        if mine := [notice for notice, one in due if one.status_field == row.field]:
            tellings = ways.of_case(row.collection, {row.tool: known.state})
            found[row.id] = tellings[mine[-1]]
    return found


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
        due: Mapping[str, Telling],
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
            is_due = all(row.id in self._due for row in members)
            group = {**key, "state": asked.get("state", "open")}
            acts = self._ways(group, first, len(members), is_due=is_due)
            yield Group(
                title=_title(first, lifecycle),
                says=[*_why(first, lifecycle), *_whose(first, lifecycle)],
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
        told = is_told(row, lifecycle)
        ways = [doable(DESK, "tell", asked, f"Tell{many} again…", main=row.why != FIGHT)]
        if is_due:  # what mends it stands on another list
            where = {
                "state": self._due[row.id].part,
                "tool": row.tool,
                "collection": row.collection,
            }
            where |= {"id": row.case_id} if number == 1 else {}
            title = "Why it was not told" if number == 1 else "Why they were not told"
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
            at=asking.short(row.recorded_at),
            ended=asking.short(row.ended_at) if row.state(self._now) == "resolved" else "",
            acts=acts,
            more=Link(f"/messages/{message_id(row.message)}", "message") if row.message else None,
        )

    def _about(self, row: OnList, case: Case | None, lifecycle: Lifecycle | None) -> Iterator[str]:
        if not row.is_word:
            kind, ours = kind_of(row.field, lifecycle), case.fields.get(row.field) if case else None
            theirs = self._said.get(row.id)
            yield f"says {_written(theirs, kind)}; {_written(ours, kind)} is right."
        if row.id in self._due:
            telling = self._due[row.id]
            yield f"{capital(telling.says)}{f'; {telling.ends}' if telling.ends else ''}."
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
    if lifecycle and not is_told(row, lifecycle):
        what = f"its {label(row.field, lifecycle)}" if row.tool in lifecycle.told else "anything"
        says.append(f"Nobody tells {tool} {what}: put it right there by hand, or accept it.")
    return says


def _whose(row: OnList, lifecycle: Lifecycle | None) -> Iterator[str]:
    """Say who is to settle it."""
    if lifecycle is None or not row.standing:
        return
    who = steward_of(row.tool, lifecycle)
    answers = f"{who}, who answers for" if who else "staff; nobody is named to answer for"
    yield f"To be settled by {answers} the connection to {tool_title(row.tool, lifecycle)}."


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
