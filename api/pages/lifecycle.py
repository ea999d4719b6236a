"""The pages of the lifecycles: the picture, whose word counts, every tool's words, what changed."""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import PurePath
from typing import Any, Final

from msgspec import Struct

from api.door import Answer, Keeper, Visit
from api.pages.changes import Change, changes
from api.pages.drawing import drawn
from api.pages.render import page, page_at
from api.pages.session import signed_in
from api.problems import NotFound
from lifecycle.declaration import Flow, Ignore
from lifecycle.definition import read
from lifecycle.events import DefinitionAdopted
from lifecycle.model import Lifecycle
from lifecycle.refusals import BadDefinition, Problem
from lifecycle.streams import definition_stream
from projections.wording import any_of, label, noun, phrase, spaced, state_titles, tool_title


class Row(Struct, frozen=True):
    """A state: whose word makes it true, and what leads on from it."""

    id: str
    title: str
    depth: int
    kind: str
    """`begins here`, `ends here`, `side by side`, or nothing."""
    owner: str
    within: str
    leads: tuple[tuple[str, str, str], ...]
    """What may be done, to where, and by whom (with what it takes)."""


class Cell(Struct, frozen=True):
    """What a tool calls a state in one field: its words, the first of which is told."""

    words: tuple[str, ...]
    declared: bool
    """It stands here; else it is that of the state around it, or there is none."""


class Column(Struct, frozen=True):
    """One status field of a tool."""

    tool: str
    field: str
    hear_only: bool
    cells: Mapping[str, Cell]
    """State → what it is called; not told where there are no words."""


class FieldRow(Struct, frozen=True):
    """A field of the data model."""

    name: str
    label: str
    type: str
    owner: str
    personal: bool
    told: str
    """Which tools are told it."""


class Workaround(Struct, frozen=True):
    """A word that is passed over, perhaps only until a day."""

    tool: str
    field: str
    word: str
    until: date | None
    over: bool


class Connection(Struct, frozen=True):
    """How a tool is heard or told, and who answers for it."""

    tool: str
    direction: str
    how: str
    steward: str


class Version(Struct, frozen=True):
    """A text of the definition that was adopted."""

    number: int
    digest: str
    at: datetime
    changes: Sequence[Change] | None
    """Against the one before; None where it is the first, or one of them cannot be read."""
    readable: bool


async def show_all(keeper: Keeper, visit: Visit) -> Answer:
    """Every lifecycle of this business."""
    session = await signed_in(keeper, visit)
    visit.query()
    lifecycles = list(keeper.catalogue.lifecycles.values())
    warnings = {one.name: len(warnings_of(keeper, one)) for one in lifecycles}
    context = {"lifecycles": lifecycles, "warnings": warnings}
    return page(keeper, visit, "lifecycles.html", context, session=session)


async def show(keeper: Keeper, visit: Visit) -> Answer:
    """One lifecycle."""
    session = await signed_in(keeper, visit)
    visit.query()
    name = visit.segment(2)
    lifecycle = keeper.catalogue.named(name)
    if lifecycle is None:
        known = ", ".join(one.name for one in keeper.catalogue.lifecycles.values())
        raise NotFound(f"no lifecycle {name[:80]!r} (there are: {known})")
    adopted = await asyncio.to_thread(_adopted, keeper, lifecycle)
    context = {
        "lifecycle": lifecycle,
        "declared": lifecycle.declaration,
        "picture": drawn(lifecycle),
        "promised": promised,
        "noun": noun(lifecycle).removeprefix("the "),
        "rows": list(_rows(lifecycle)),
        "columns": list(_columns(lifecycle)),
        "fields": list(_fields(lifecycle)),
        "meanings": list(_meanings(lifecycle)),
        "workarounds": list(workarounds(lifecycle, keeper.journal.clock().date())),
        "connections": [_connection(flow, lifecycle) for flow in lifecycle.declaration.flows],
        "unconnected": _unconnected(lifecycle),
        "reactions": list(_reactions(lifecycle)),
        "openers": _openers(lifecycle),
        "warnings": warnings_of(keeper, lifecycle),
        "versions": list(versions(adopted, lifecycle.name))[::-1],
    }
    return page(keeper, visit, "lifecycle.html", context, session=session)


def warnings_of(keeper: Keeper, lifecycle: Lifecycle) -> list[Problem]:
    """What the checks remark about the file of a lifecycle."""
    return [one for one in keeper.catalogue.warnings if PurePath(one.file).stem == lifecycle.name]


def _title(owner: str, lifecycle: Lifecycle) -> str:
    """The tool that an owner stands for, with the kind of truth it is the record of."""
    tool = lifecycle.ownership.tool(owner)
    title = tool_title(tool, lifecycle) if tool else owner
    return title if tool == owner else f"{title} ({spaced(owner)})"


# --- states -------------------------------------------------------------------------------------


def _rows(lifecycle: Lifecycle) -> Iterator[Row]:
    places = lifecycle.chart.places
    for place in places.values():
        owner = lifecycle.ownership.states.get(place.id)
        marks = {
            "begins here": place.id in lifecycle.chart.initial,
            "ends here": place.state.final,
            "side by side": place.state.parallel,
        }
        yield Row(
            id=place.id,
            title=state_titles((place.id,), lifecycle),
            depth=len(place.above),
            kind=", ".join(mark for mark, holds in marks.items() if holds),
            owner=_title(place.state.owner, lifecycle)
            if place.state.owner
            else tool_title(owner, lifecycle)
            if owner
            else "",
            within=place.state.within or "",
            leads=tuple(_leads(place.id, lifecycle)),
        )


def _leads(state: str, lifecycle: Lifecycle) -> Iterator[tuple[str, str, str]]:
    for index, row in enumerate(lifecycle.chart.rows):
        if state not in row.sources:
            continue
        makers = any_of([tool_title(one, lifecycle) for one in lifecycle.ownership.makers[index]])
        takes = [f"by {makers}"]
        if row.auto:
            takes = ["by itself"]
        if row.when:
            takes.append(f"when {row.when}")
        if row.requires:
            names = ", ".join(label(name, lifecycle) for name in row.requires)
            takes.append(f"needs {names}")
        done = phrase(row.name, row.title, noun(lifecycle)).base
        yield done.capitalize(), state_titles((row.to,), lifecycle), " · ".join(takes)


def _openers(lifecycle: Lifecycle) -> str:
    openers = lifecycle.ownership.openers(lifecycle.chart.initial)
    return any_of([tool_title(one, lifecycle) for one in openers])


# --- words and fields ---------------------------------------------------------------------------


def _columns(lifecycle: Lifecycle) -> Iterator[Column]:
    for field in lifecycle.vocabulary.status_fields:
        cells: dict[str, Cell] = {}
        for place in lifecycle.chart.places.values():
            around = next((one for one in reversed(place.above) if one in field.entries), None)
            if place.id in field.entries:
                cells[place.id] = Cell(field.entries[place.id], declared=True)
            elif around:
                cells[place.id] = Cell(field.entries[around], declared=False)
        yield Column(tool_title(field.tool, lifecycle), field.name, field.hear_only, cells)


def _fields(lifecycle: Lifecycle) -> Iterator[FieldRow]:
    reads = lifecycle.declaration.reads
    for name, field in lifecycle.fields.items():
        text = label(name, lifecycle)
        owners = field.owner
        if isinstance(owners, str):
            owner = _title(owners, lifecycle)
        else:
            owner = " · ".join(
                f"{_title(whose, lifecycle)} "
                + ("elsewhere" if state == "*" else f"while {state_titles((state,), lifecycle)}")
                for state, whose in owners.items()
            )
        told = [
            f"{tool_title(tool, lifecycle)} as {names[name]}"
            for tool, names in reads.items()
            if name in names
        ]
        kind = f"{field.type}: {', '.join(field.choices)}" if field.choices else field.type
        title = f"{text[0].upper()}{text[1:]}"
        yield FieldRow(name, title, kind, owner, field.personal, ", ".join(told))


def _meanings(lifecycle: Lifecycle) -> Iterator[tuple[str, str, str, str]]:
    """Tool, field, word and what it means, where that does not follow from the table."""
    for tool, fields in lifecycle.declaration.hears.items():
        for field, entries in fields.items():
            for word, means in entries.items():
                if isinstance(means, str) and means != "ignore":
                    said = f"opens a {noun(lifecycle).removeprefix('the ')}"
                    if means != "open":
                        said = phrase(means, None, noun(lifecycle)).base
                    yield tool_title(tool, lifecycle), field, word, said


def workarounds(lifecycle: Lifecycle, today: date) -> Iterator[Workaround]:
    """The words that are passed over, with the day on which that ends, if it does."""
    for tool, fields in lifecycle.declaration.hears.items():
        for field, entries in fields.items():
            for word, means in entries.items():
                if means == "ignore" or isinstance(means, Ignore):
                    until = means.until if isinstance(means, Ignore) else None
                    day = date.fromisoformat(until) if until else None
                    over = day is not None and day < today
                    yield Workaround(tool_title(tool, lifecycle), field, word, day, over)


# --- connections --------------------------------------------------------------------------------


def _connection(flow: Flow, lifecycle: Lifecycle) -> Connection:
    how = f"{flow.how}, every {flow.every}" if flow.every else flow.how
    return Connection(
        tool_title(flow.tool, lifecycle),
        "is told" if flow.direction == "out" else "is heard",
        "by hand" if flow.how == "manual" else how,
        flow.steward or lifecycle.declaration.steward or "",
    )


def promised(named: str) -> str:
    """What a service level is about, in plain words: `timeToDetect` is `time to detect`."""
    return spaced(re.sub("(?<=[a-z])(?=[A-Z])", "_", named).lower())


def _unconnected(lifecycle: Lifecycle) -> list[str]:
    connected = {flow.tool for flow in lifecycle.declaration.flows}
    tools = lifecycle.declaration.tools
    return [declared.title for tool, declared in tools.items() if tool not in connected]


def _reactions(lifecycle: Lifecycle) -> Iterator[tuple[str, str]]:
    for one in lifecycle.declaration.reactions:
        done = phrase(one.after, None, noun(lifecycle)).past
        when = f"{one.wait} later" if one.wait else "at once"
        asked = f"{tool_title(one.tell, lifecycle)} is asked: {spaced(one.request)}"
        yield f"After somebody {done}", f"{when}, {asked}"


# --- versions -----------------------------------------------------------------------------------


def _adopted(keeper: Keeper, lifecycle: Lifecycle) -> list[DefinitionAdopted]:
    journal = keeper.journal
    stored = journal.recorder.streams([definition_stream(lifecycle.name)])
    entries = [journal.mapper.to_domain_event(one) for one in stored]
    return [entry.event for entry in entries if isinstance(entry.event, DefinitionAdopted)]


def versions(adopted: Sequence[DefinitionAdopted], name: str) -> Iterator[Version]:
    """Every adopted text, the oldest first, with what it changed."""
    before: Any = None
    for event in adopted:
        try:
            declared = read(event.text.encode(), name)[0]
        except BadDefinition:  # written for an earlier version of this program
            declared = None
        changed = changes(before, declared) if before and declared else None
        yield Version(event.version, event.digest, event.recorded_at, changed, bool(declared))
        before = declared


PAGES: Final = (
    page_at("GET", "/lifecycles", show_all, "Every lifecycle"),
    page_at("GET", "/lifecycles/{name}", show, "A lifecycle"),
)
