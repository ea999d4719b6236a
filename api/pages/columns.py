"""What a list shows of a case: the same columns on the page, in CSV and in XLSX."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final

from msgspec import Struct

from lifecycle.case import Case
from lifecycle.events import ERASED, Value
from lifecycle.model import Lifecycle
from lifecycle.moves import OpenTransition
from projections.views import CaseView, Overdue, case_view
from projections.wording import label, noun, spaced, tool_title

FIELDS_MAX: Final = 5
"""Fields of a case that a list has room for."""
CONTACT: Final = frozenset({"email", "phone", "address"})
"""The types of fields that say how to reach somebody, not how things stand: the case has them."""


class StateShown(Struct, frozen=True):
    """A state as people read it."""

    id: str
    title: str
    is_final: bool


class Column(Struct, frozen=True):
    """A field that the list has a column for."""

    field: str
    title: str
    kind: str


class Cell(Struct, frozen=True):
    """What stands in a column."""

    title: str
    kind: str
    text: str
    value: Value
    is_erased: bool


class Row(Struct, frozen=True):
    """A case in a list."""

    id: str
    states: Sequence[StateShown]
    since: datetime
    late: Overdue | None
    differs: bool
    """Some tool shows it otherwise than it is."""
    acts: Sequence[str]
    """Who may move it on from here."""
    cells: Sequence[Cell]


@lru_cache(maxsize=64)
def columns(lifecycle: Lifecycle) -> tuple[Column, ...]:
    """The fields that a list shows: what a case is known by first, then as they are declared."""
    fields = lifecycle.fields
    fit = [name for name in fields if fields[name].type not in CONTACT]
    known_by = next((name for name in fit if fields[name].type == "text"), "")
    fit.sort(key=lambda name: name != known_by)
    return tuple(
        Column(name, capital(label(name, lifecycle)), fields[name].type)
        for name in fit[:FIELDS_MAX]
    )


def row(case: Case, lifecycle: Lifecycle, now: datetime, *, differs: bool = False) -> Row:
    """A case as its list shows it."""
    view = case_view(case, lifecycle, now)
    return Row(
        case.id,
        states(case.states, lifecycle),
        case.since,
        view.overdue,
        differs,
        acts(view, lifecycle),
        [_cell(column, case.fields) for column in columns(lifecycle)],
    )


def states(ids: Iterable[str], lifecycle: Lifecycle) -> list[StateShown]:
    """States as people read them; also those that are not declared any more."""
    places = lifecycle.chart.places
    return [
        StateShown(one, title_of(one, lifecycle), one in places and places[one].state.final)
        for one in ids
    ]


def title_of(state: str, lifecycle: Lifecycle) -> str:
    """A state's title; its id in plain words where it has none."""
    place = lifecycle.chart.places.get(state)
    return (place.state.title if place else None) or capital(spaced(state))


def acts(view: CaseView, lifecycle: Lifecycle) -> list[str]:
    """Who may move a case on; where it can only end, who may end it."""
    places = lifecycle.chart.places

    def goes_on(way: OpenTransition) -> bool:
        return way.to in places and not places[way.to].state.final

    ways = [way for way in view.open_transitions if goes_on(way)] or view.open_transitions
    makers = dict.fromkeys(maker for way in ways for maker in way.by)
    return [tool_title(maker, lifecycle) for maker in makers]


def _cell(column: Column, fields: Mapping[str, Value]) -> Cell:
    value = fields.get(column.field)
    is_erased = value == ERASED
    text = ERASED if is_erased else written(value, column.kind)
    return Cell(column.title, column.kind, text, value, is_erased)


def written(value: Value, kind: str) -> str:  # noqa: PLR0911 - one for each kind
    """A value as it reads in a cell; empty where there is none."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case str() if kind == "money":
            amount, _, currency = value.partition(" ")
            return f"{Decimal(amount):,f} {currency}"
        case str() if kind == "choice":
            return spaced(value)
        case str():
            return value
        case Mapping():
            return ", ".join(_parts(value.values()))
    return f"{value:,}"


def _parts(values: Iterable[Value]) -> Iterable[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif value:
            yield from _parts(value)


def one_of(lifecycle: Lifecycle) -> str:
    """What one case is called: `job`."""
    return noun(lifecycle).removeprefix("the ")


def capital(text: str) -> str:
    """A text with a capital at its beginning."""
    return text[:1].upper() + text[1:]
