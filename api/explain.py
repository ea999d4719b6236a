"""Why a case is where it is, and everything that happened to it."""

import asyncio
from collections.abc import Sequence

from msgspec import Struct

from api import asking
from api.asking import all_entries, ask, hidden_from, lifecycle_of
from api.door import Answer, Keeper, Operation, Visit, told
from api.keys import identify
from lifecycle.asks import Look
from lifecycle.events import CaseEvent, Entry
from lifecycle.refusals import StorageUnavailable, UnknownVersion
from projections.timeline import EventView, history
from projections.why import Why, waits_to_be_told, why


class History(Struct):
    """Everything that happened, oldest first."""

    items: list[EventView]


async def show_history(keeper: Keeper, visit: Visit) -> Answer:
    """Everything that happened to a case."""
    visit.query()
    asker = await identify(keeper, visit)
    case = (await ask(keeper, visit, asker, Look())).case
    lifecycle = lifecycle_of(keeper, case)
    entries = await all_entries(keeper, case, asker.tool)
    hidden = hidden_from(asker, lifecycle)
    return told(History(history(entries, lifecycle, hidden=hidden, of=case)))


async def show_why(keeper: Keeper, visit: Visit) -> Answer:
    """Why a case is where it is, or was."""
    query = visit.query("at")
    at = asking.moment("at", query["at"]) if "at" in query else None
    asker = await identify(keeper, visit)
    case = (await ask(keeper, visit, asker, Look())).case
    lifecycle = lifecycle_of(keeper, case)
    entries = await all_entries(keeper, case, asker.tool)
    now = keeper.journal.clock()
    if at is not None:
        entries = [entry for entry in entries if entry.event.happened_at <= at]
        changes = [entry for entry in entries if isinstance(entry.event, CaseEvent)]
        if not changes:
            raise UnknownVersion(f"{case.id} was not there yet at {at.isoformat()}")
        case, now = asking.replayed(changes), at
    return told(
        why(
            case,
            entries,
            lifecycle,
            hidden=hidden_from(asker, lifecycle),
            now=now,
            attempts={} if at else await asyncio.to_thread(_attempts, keeper, entries),
        )
    )


def _attempts(keeper: Keeper, entries: Sequence[Entry]) -> dict[str, int]:
    """How often it was tried to tell what still waits; nothing where the book cannot be read."""
    waiting = waits_to_be_told(entries)
    if keeper.book is None or not waiting:
        return {}
    try:
        return {row.id: row.attempts for row in keeper.book.notices(waiting)}
    except StorageUnavailable:
        return {}


OPERATIONS = (
    Operation(
        "GET",
        "/v1/{collection}/{id}/history",
        show_history,
        "Everything that happened, oldest first; what was refused stands among it",
        gives=History,
    ),
    Operation(
        "GET",
        "/v1/{collection}/{id}/why",
        show_why,
        "Why it is so",
        gives=Why,
        query={"at": "why it was so at this time (RFC 3339)"},
        refuses=(UnknownVersion,),
    ),
)
