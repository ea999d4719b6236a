"""The page of a case: where it is and why, what each tool shows, and all that happened to it.

Under the same address stand its parts, which the script asks for: what it was at another moment
(`part=then`), and more of its history (`part=lines`).
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from msgspec import Struct

from api import asking
from api.asking import all_entries, lifecycle_of
from api.door import Answer, Keeper, Visit
from api.pages import steps
from api.pages.drawing import drawn
from api.pages.render import page, page_at
from api.pages.session import signed_in
from api.pages.sheet import sheet
from api.pages.shown import mirrors
from api.pages.steps import KINDS, LOOKS, Step, Wish
from api.pages.telling import Ways
from api.pages.trail import erases, moments
from api.problems import MalformedRequest
from lifecycle.asks import Ask, Look
from lifecycle.case import Case
from lifecycle.events import Asker, CaseEvent, Entry
from lifecycle.model import Lifecycle
from lifecycle.refusals import UnknownVersion
from projections.timeline import stamp
from projections.wording import noun

TEXT_LENGTH_MAX: Final = 200
"""Of what is searched for in a history."""
DIGITS_MAX: Final = 15
MOMENTS_LISTED_MAX: Final = 30
"""Moments that are links where there is no script to drag through all of them."""
PARTS: Final = {
    "then": "case_then.html",
    "lines": "case_lines.html",
    "history": "case_history.html",
}
"""What may be asked for alone → its template."""


class Then(Struct, frozen=True):
    """The moment that is looked at; neither: now."""

    at: datetime | None = None
    """As claimed."""
    known_at: datetime | None = None
    """Only what was recorded by then."""

    @property
    def moment(self) -> datetime | None:
        """The moment itself."""
        return self.at or self.known_at

    def shows(self, entry: Entry) -> bool:
        """Whether an entry was so by then."""
        event = entry.event
        if self.at is not None and event.happened_at > self.at:
            return False
        return self.known_at is None or event.recorded_at <= self.known_at

    def shows_time(self, step: Step) -> bool:
        """Whether a line of the history had been written by then."""
        if self.at is not None:
            return step.happened_at <= self.at
        return self.known_at is None or step.recorded_at <= self.known_at

    def address(self) -> str:
        """The query that leads to this moment."""
        pairs = {"at": self.at, "known_at": self.known_at}
        return urlencode({name: stamp(time) for name, time in pairs.items() if time})


async def show(keeper: Keeper, visit: Visit) -> Answer:
    """Show a case, now or as it was."""
    session = await signed_in(keeper, visit)
    asked = _asked(visit)
    wish, then = wished(asked), moment_of(asked)
    case = await case_named(keeper, visit, session.asker)
    lifecycle = lifecycle_of(keeper, case)
    entries = await all_entries(keeper, case)
    part = asked.get("part", "")
    context = {
        "case": case,
        "lifecycle": lifecycle,
        "base": address_of(case),
        "noun": noun(lifecycle).removeprefix("the "),
        "then": then,
        "may_act": session.may_act and then.moment is None,
    }
    if part not in {"history", "lines"}:
        context |= await asyncio.to_thread(_laid_out, keeper, case, entries, then)
    if part != "then":
        context |= await asyncio.to_thread(_told, case, entries, lifecycle, wish)
    template = PARTS.get(part, "case.html")
    return page(keeper, visit, template, context, session=session)


async def case_named(keeper: Keeper, visit: Visit, asker: Asker) -> Case:
    """The case that the address names; what may be no address of a case is `UnknownCase` too."""
    collection, case_id = visit.segment(1), visit.segment(2)
    look = Ask(asker=asker, collection=collection, id=case_id, what=Look())
    return (await keeper.journal.answer(look)).case


def _laid_out(keeper: Keeper, case: Case, entries: Sequence[Entry], then: Then) -> dict[str, Any]:
    """What stands above the history: the case at the moment that is looked at."""
    lifecycle, now, seen = lifecycle_of(keeper, case), keeper.journal.clock(), entries
    if then.moment is not None:
        seen = [entry for entry in entries if then.shows(entry)]
        case, now = _as_it_was(case, entries, seen, then), then.moment
    # How it stands with telling is known of now alone.
    tellings = Ways(keeper).of_case(case.collection, mirrors(seen)) if not then.moment else {}
    laid = sheet(case, seen, lifecycle, now, tellings)
    return {
        "sheet": laid,
        "picture": drawn(lifecycle, current=case.states, path=laid.path),
        "erased": erases(seen),
    }


def _told(case: Case, entries: Sequence[Entry], lifecycle: Lifecycle, wish: Wish) -> dict[str, Any]:
    """The history, and the moments that one can look back at."""
    return {
        "history": steps.history(entries, lifecycle, f"{case.collection}/{case.id}", wish),
        "kinds": KINDS,
        "looks": LOOKS,
        "moments": _compact(moments(entries)),
        "moments_listed": _listed(entries),
        "one_second": timedelta(seconds=1),
    }


def _as_it_was(case: Case, entries: Sequence[Entry], seen: Sequence[Entry], then: Then) -> Case:
    changes = [entry for entry in seen if isinstance(entry.event, CaseEvent)]
    if not changes:
        began = next(one.event for one in entries if isinstance(one.event, CaseEvent))
        raise UnknownVersion(
            f"{case.id} was not there yet at {stamp(then.moment or began.time)}:"
            f" it began at {stamp(began.time)}, recorded at {stamp(began.recorded_at)}",
            version_found=case.version,
        )
    return asking.replayed(changes)


def _compact(changes: Sequence[tuple[int, int, int]]) -> str:
    """The moments as the slider's script reads them: `version happened recorded`, in Unix ms."""
    return ",".join(f"{version} {at} {known}" for version, at, known in changes)


def _listed(entries: Sequence[Entry]) -> list[tuple[Entry, str]]:
    """The latest moments, the newest first, each with the query that leads there."""
    changes = [entry for entry in entries if isinstance(entry.event, CaseEvent)]
    return [
        (entry, Then(at=entry.event.happened_at).address())
        for entry in changes[: -MOMENTS_LISTED_MAX - 1 : -1]
    ]


def address_of(case: Case) -> str:
    """Where the page of a case stands; ids need no escaping."""
    return f"/{case.collection}/{case.id}"


# --- what is asked for --------------------------------------------------------------------------


def _asked(visit: Visit) -> dict[str, str]:
    """The parameters of the address; those of a form that may stand twice are joined by commas."""
    try:
        pairs = parse_qsl(visit.query_string.decode("ascii"), errors="strict")
    except (UnicodeDecodeError, ValueError) as exc:
        raise MalformedRequest("the address cannot be read: it is not `name=value&…`") from exc
    asked: dict[str, str] = {}
    for name, value in pairs:
        asked[name] = f"{asked[name]},{value}" if name in asked and name == "kind" else value
    return asked


def wished(asked: Mapping[str, str]) -> Wish:
    """What of the history is wished for; what makes no sense is passed over."""
    kinds = frozenset(asked.get("kind", "").split(",")) & KINDS.keys()
    look = next((one for one in LOOKS if one == asked.get("look")), LOOKS[0])
    return Wish(
        look=look,
        newest_first=asked.get("order") != "oldest",
        text=asked.get("text", "").strip()[:TEXT_LENGTH_MAX],
        kinds=kinds,
        after=_number(asked.get("after", "")),
        line=_number(asked.get("line", "")),
    )


def moment_of(asked: Mapping[str, str]) -> Then:
    """The moment that is asked for."""
    at, known_at = (
        asking.moment(name, asked[name]).astimezone(UTC) + _LAST_OF_IT if asked.get(name) else None
        for name in ("at", "known_at")
    )
    return Then(at, known_at)


_LAST_OF_IT: Final = timedelta(microseconds=999)
"""Addresses tell times to the millisecond: all of that millisecond is meant."""


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX else 0


PAGES: Final = (page_at("GET", "/{collection}/{id}", show, "A case"),)
