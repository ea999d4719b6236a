"""Where a case was: the states it went through, how long it stayed, every moment of change."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from api.pages.ahead import done
from lifecycle.case import Case
from lifecycle.events import (
    CarriedOver,
    CaseEvent,
    CaseOpened,
    Entry,
    Erased,
    StateCorrected,
    TransitionMade,
)
from lifecycle.model import Lifecycle
from projections.timeline import stamp
from projections.why import span
from projections.wording import any_of, state_titles, tool_title

MOMENTS_MAX: Final = 2_000
"""Changes that the slider goes through; of a longer history the latest."""


class Stay(Struct, frozen=True):
    """One state, and the time that the case spent in it."""

    id: str
    title: str
    depth: int
    owner: str
    is_now: bool
    times: int
    entered: str | None
    """When it was entered last."""
    spent: str
    leads: tuple[str, ...]
    """What may be done here, and where that leads."""


def path(changes: Iterable[Entry]) -> frozenset[str]:
    """The transitions made and the states entered, for the picture."""
    passed: set[str] = set()
    for entry in changes:
        event = entry.event
        if isinstance(event, TransitionMade):
            passed |= {event.transition, *event.left, *event.to}
        elif isinstance(event, CaseOpened | StateCorrected | CarriedOver):
            passed |= {*event.to}
    return frozenset(passed)


def stays(
    case: Case, changes: Iterable[Entry], lifecycle: Lifecycle, now: datetime
) -> Iterator[Stay]:
    """Every state in the order of the definition, with the time spent there up to `now`."""
    times, entered, spent = _visits(changes, now)
    makers = lifecycle.ownership.makers
    for place in lifecycle.chart.places.values():
        owner = lifecycle.ownership.states.get(place.id)
        leads = tuple(
            f"{done(row.name, lifecycle)} → {state_titles((row.to,), lifecycle)}"
            f" ({any_of([tool_title(tool, lifecycle) for tool in makers[index]])})"
            for index, row in enumerate(lifecycle.chart.rows)
            if place.id in row.sources
        )
        yield Stay(
            id=place.id,
            title=state_titles((place.id,), lifecycle),
            depth=len(place.above),
            owner=tool_title(owner, lifecycle) if owner else "",
            is_now=place.id in case.states,
            times=times.get(place.id, 0),
            entered=stamp(entered[place.id]) if place.id in entered else None,
            spent=span(_seconds(spent[place.id])) if place.id in spent else "",
            leads=leads,
        )


def _visits(
    changes: Iterable[Entry], now: datetime
) -> tuple[Mapping[str, int], Mapping[str, datetime], Mapping[str, timedelta]]:
    """Leaf → how often it was entered, when last, and how long the case was there in all."""
    times: dict[str, int] = {}
    entered: dict[str, datetime] = {}
    spent: dict[str, timedelta] = {}
    standing: tuple[str, ...] = ()
    for entry in changes:
        event = entry.event
        if not isinstance(event, CaseOpened | TransitionMade | StateCorrected | CarriedOver):
            continue
        for leaf in set(standing) - set(event.to):
            spent[leaf] = spent.get(leaf, timedelta()) + (event.time - entered[leaf])
        for leaf in set(event.to) - set(standing):
            times[leaf], entered[leaf] = times.get(leaf, 0) + 1, event.time
        standing = event.to
    for leaf in standing:
        spent[leaf] = spent.get(leaf, timedelta()) + max(timedelta(), now - entered[leaf])
    return times, entered, spent


def moments(entries: Iterable[Entry]) -> list[tuple[int, int, int]]:
    """Every change of the case: its version, and when it happened and was recorded (Unix ms)."""
    changes = [
        (entry.version, _millis(entry.event.time), _millis(entry.event.recorded_at))
        for entry in entries
        if isinstance(entry.event, CaseEvent)
    ]
    return changes[-MOMENTS_MAX:]


def _millis(time: datetime) -> int:
    return int(time.timestamp() * 1000)


def erases(entries: Iterable[Entry]) -> bool:
    """Whether personal values of the case were erased at some time."""
    return any(isinstance(entry.event, Erased) for entry in entries)


def _seconds(length: timedelta) -> int:
    return max(0, int(length.total_seconds()))
