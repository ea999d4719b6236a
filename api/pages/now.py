"""Now: where everything stands, what is late, what waits for somebody, what happened last."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Final

from markupsafe import Markup
from msgspec import Struct

from api.door import Answer, Keeper, Visit
from api.events import shown_to
from api.pages.columns import Row, capital, one_of, row
from api.pages.concerns import Concerns, concerns
from api.pages.drawing import drawn, placed
from api.pages.render import page, page_at
from api.pages.session import signed_in
from api.problems import MalformedRequest
from lifecycle.declaration import Ignore
from lifecycle.events import BY_TOPIC, Asker, CaseEvent, Refused
from lifecycle.model import Lifecycle
from projections import board, finding, live
from projections.sieve import CasesWanted
from projections.timeline import EventView
from projections.wording import tool_title

LATE_SHOWN: Final = 8
LATE_MAX: Final = 1000
"""So many late cases are counted; more are `more than` that."""
LATELY_SHOWN: Final = 8
LATELY_LOOKED_AT: Final = 200
"""Positions behind the end of the log that are looked through for what happened last."""
HAPPENED: Final = frozenset(
    topic for topic, event in BY_TOPIC.items() if issubclass(event, CaseEvent | Refused)
)
"""What happens to cases: not what tools are told of it, which has pages of its own."""
WIDE_FROM: Final = 640
"""Of a picture, in pixels: from here on half a page is too narrow for its letters."""


class Collection(Struct, frozen=True):
    """What there is of one kind of case."""

    name: str
    title: str
    noun: str
    cases: int
    late: int

    @property
    def has_too_many_late(self) -> bool:
        """Whether there are more than were counted."""
        return self.late > LATE_MAX


class Workaround(Struct, frozen=True):
    """A word that is ignored for the time being."""

    tool: str
    status_field: str
    word: str
    until: date
    lifecycle: str


class Picture(Struct, frozen=True):
    """The lifecycle as it is drawn for the page."""

    svg: Markup
    is_wide: bool
    """Whether it needs the whole width to be read."""


class Seen(Struct, frozen=True):
    """What was read for the page."""

    counts: Mapping[str, Mapping[str, int]]
    late: Mapping[str, int]
    latest: Sequence[Row]
    concerns: Concerns
    lately: Sequence[EventView]
    position: int


async def show(keeper: Keeper, visit: Visit) -> Answer:
    """What is happening, and what is wrong."""
    session = await signed_in(keeper, visit)
    chosen = visit.query("of").get("of")
    lifecycles = keeper.catalogue.lifecycles
    if chosen is not None and chosen not in lifecycles:
        raise MalformedRequest(f"of: one of {', '.join(lifecycles)}")
    seen, lifecycle, picture = await asyncio.to_thread(_read, keeper, chosen, session.asker)
    kinds = [_collection(one, seen) for one in lifecycles.values()]
    context = {
        "now": keeper.journal.clock(),
        "lifecycle": lifecycle,
        "shown": _collection(lifecycle, seen),
        "collections_shown": kinds,
        "is_new": not any(one.cases for one in kinds),
        "late_max": LATE_MAX,
        "latest": seen.latest,
        "concerns": seen.concerns,
        "workarounds": workarounds(lifecycles.values(), keeper.journal.clock().date()),
        "lately": seen.lately,
        "picture": picture,
    }
    return page(keeper, visit, "now.html", context, session=session, position=seen.position)


def _read(keeper: Keeper, chosen: str | None, asker: Asker) -> tuple[Seen, Lifecycle, Picture]:
    lifecycles, now = keeper.catalogue.lifecycles, keeper.journal.clock()
    with keeper.store.reading() as session:
        position = board.position(session)
        counts = board.counts(session)
        lifecycle = lifecycles[chosen or _fullest(lifecycles, counts)]
        late = {of: board.overdue(session, of, now, LATE_MAX + 1) for of in lifecycles}
        wanted = CasesWanted(collection=lifecycle.collection, overdue_at=now)
        rows = finding.page(session, wanted, None, LATE_SHOWN).rows
        waits = concerns(keeper, session)
    seen = Seen(
        counts,
        late,
        [row(one.case, lifecycle, now) for one in rows],
        waits,
        _lately(keeper, asker),
        position,
    )
    return seen, lifecycle, picture(lifecycle, counts.get(lifecycle.collection, {}))


def _fullest(lifecycles: Mapping[str, Lifecycle], counts: Mapping[str, Mapping[str, int]]) -> str:
    return max(lifecycles, key=lambda one: counts.get(one, {}).get("", 0))


def _collection(lifecycle: Lifecycle, seen: Seen) -> Collection:
    name = lifecycle.collection
    return Collection(
        name,
        capital(name.replace("_", " ")),
        one_of(lifecycle),
        seen.counts.get(name, {}).get("", 0),
        seen.late[name],
    )


def _lately(keeper: Keeper, asker: Asker) -> list[EventView]:
    """What was heard of last, the latest to happen first."""
    after = max(0, keeper.journal.position - LATELY_LOOKED_AT)
    entries, _ = live.page(keeper.journal, after, LATELY_LOOKED_AT, topics=HAPPENED)
    shown: list[EventView] = []
    for entry in reversed(entries):
        event = shown_to(asker, entry, keeper)
        if event is not None and event.id is not None:
            shown.append(event)
        if len(shown) == LATELY_SHOWN:
            break
    return sorted(shown, key=lambda one: one.time, reverse=True)


def workarounds(lifecycles: Iterable[Lifecycle], today: date) -> list[Workaround]:
    """The words that are ignored until a day that is still to come, the first to end first."""
    found = [
        Workaround(
            tool_title(tool, lifecycle), field, word, date.fromisoformat(meaning.until),
            lifecycle.name,
        )
        for lifecycle in lifecycles
        for tool, fields in lifecycle.declaration.hears.items()
        for field, words in fields.items()
        for word, meaning in words.items()
        if isinstance(meaning, Ignore) and meaning.until
    ]  # fmt: skip
    return sorted((one for one in found if today < one.until), key=lambda one: one.until)


# --- the picture --------------------------------------------------------------------------------


def picture(lifecycle: Lifecycle, counts: Mapping[str, int]) -> Picture:
    """The lifecycle with how many cases stand where; each state leads to its cases."""
    places = lifecycle.chart.places
    known = {state: counts.get(state, 0) for state in places}
    links = {state: f"/{lifecycle.collection}?state={state}" for state in places}
    digits = tuple(len(str(count)) for count in known.values())
    geometry = placed(lifecycle, digits)
    some = {state: count for state, count in known.items() if count}
    svg = drawn(lifecycle, counts=some, links=links, geometry=geometry)
    return Picture(svg, geometry.width > WIDE_FROM)


PAGES: Final = (page_at("GET", "/", show, "What is happening now, and what is wrong"),)
