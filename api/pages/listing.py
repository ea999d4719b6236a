"""The list of a collection: searched, filtered, a page at a time, and as a file.

What is asked stands in the address, so that a list can be sent to somebody.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from msgspec import Struct

from api import lists
from api.door import Answer, Keeper, Visit
from api.pages.columns import Row, capital, columns, one_of, row, title_of
from api.pages.export import KINDS, ROWS_MAX, as_csv, as_xlsx, cells, titles
from api.pages.render import page, page_at
from api.pages.session import signed_in
from api.problems import MalformedRequest, NotFound
from lifecycle.model import Lifecycle
from lifecycle.refusals import UnknownTool
from projections import board, finding
from projections.finding import Key
from projections.sieve import CasesWanted
from projections.timeline import stamp
from projections.wording import tool_title

ROWS: Final = 50
"""Cases on one page."""
EXPORT_PAGE: Final = 500
FILTERS: Final = ("q", "state", "says", "changed", "overdue", "drift", "order")
ORDERS: Final[Mapping[str, str]] = {
    "": "Last opened first",
    "unchanged": "Longest unchanged first",
}
"""In which order cases stand, unless they are asked for by their changes or deadlines."""
AT_ANY_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)
CHANGED: Final[Mapping[str, tuple[str, timedelta]]] = {
    "hour": ("in the last hour", timedelta(hours=1)),
    "day": ("in the last day", timedelta(days=1)),
    "week": ("in the last 7 days", timedelta(days=7)),
    "month": ("in the last 30 days", timedelta(days=30)),
}
STALE_MAX: Final = 20


class Choice(Struct, frozen=True):
    """One entry of a filter."""

    value: str
    title: str
    depth: int = 0
    count: int | None = None


class Filter(Struct, frozen=True):
    """A filter that is set, in words, and the list without it."""

    says: str
    without: str


class Shown(Struct, frozen=True):
    """What was read for a page."""

    rows: Sequence[Row]
    next: Key | None
    counts: Mapping[str, int]
    stale: Sequence[str]
    position: int


async def show(keeper: Keeper, visit: Visit) -> Answer:
    """A list of cases; with `.csv` or `.xlsx` at the end of its address, as a file."""
    session = await signed_in(keeper, visit)
    collection, _, form = visit.segment(1).partition(".")
    lifecycle = lists.governing(collection, session.asker, keeper)
    given = visit.query(*FILTERS, "cursor")
    asked = {name: given[name] for name in FILTERS if given.get(name, "").strip()}
    if form:
        return await _file(keeper, lifecycle, asked, form, visit)
    wrong, wanted = "", None
    try:
        wanted = _wanted(asked, lifecycle, keeper)
    except (MalformedRequest, UnknownTool) as no:
        wrong = no.detail
    digest = lists.digest_of(lifecycle, _as_asked(asked))
    after = lists.key_in(given["cursor"], digest) if given.get("cursor") else None
    shown = await asyncio.to_thread(_read, keeper, lifecycle, wanted, after)
    address = f"/{collection}"
    following = lists.cursor_at(digest, shown.next) if shown.next else ""
    context = {
        "lifecycle": lifecycle,
        "address": address,
        "title": capital(collection.replace("_", " ")),
        "noun": one_of(lifecycle),
        "asked": asked,
        "wrong": wrong,
        "filters": _set(asked, lifecycle, address),
        "rows": shown.rows,
        "stale": shown.stale,
        "total": shown.counts.get("", 0),
        "matching": _matching(asked, shown),
        "columns": columns(lifecycle),
        "states": _states(lifecycle, shown.counts),
        "words": _words(lifecycle),
        "changed": [Choice(value, says) for value, (says, _) in CHANGED.items()],
        "orders": _orders(asked),
        "next": f"{address}?{urlencode({**asked, 'cursor': following})}" if following else "",
        "first": _address(address, asked) if after else "",
        "files": [
            (_address(f"{address}.{name}", asked), kind.says) for name, kind in KINDS.items()
        ],
        "rows_max": ROWS_MAX,
        "openers": [
            tool_title(tool, lifecycle)
            for tool in lifecycle.ownership.openers(lifecycle.chart.initial)
        ],
    }
    return page(keeper, visit, "list.html", context, session=session, position=shown.position)


def _read(
    keeper: Keeper, lifecycle: Lifecycle, wanted: CasesWanted | None, after: Key | None
) -> Shown:
    now, of = keeper.journal.clock(), lifecycle.collection
    with keeper.store.reading() as session:
        position = board.position(session)
        found = finding.page(session, wanted, after, ROWS) if wanted else None
        counts = board.counts(session).get(of, {})
        stale = board.stale_ids(session, of, STALE_MAX)
        shown = found.rows if found else ()
        differ = finding.differing_among(session, shown, now)
    rows = [row(one.case, lifecycle, now, differs=one.case.id in differ) for one in shown]
    return Shown(rows, found.next if found else None, counts, stale, position)


# --- what is asked ------------------------------------------------------------------------------


def _wanted(asked: Mapping[str, str], lifecycle: Lifecycle, keeper: Keeper) -> CasesWanted:
    query = _as_asked(asked)
    if since := _since(asked, keeper.journal.clock()):
        query["updated_since"] = stamp(since)
    return lists.wanted_by(query, lifecycle, frozenset(), keeper)


def _as_asked(asked: Mapping[str, str]) -> dict[str, str]:
    """The same as the API's filters have it; what is counted from now is left in its own words."""
    query = {name: asked[name] for name in ("q", "state", "overdue", "drift") if name in asked}
    if "says" in asked:
        query["tool"], _, query["word"] = asked["says"].partition(":")
    if "changed" in asked:
        query["updated_since"] = asked["changed"]
    elif "order" in asked:
        query["updated_since"] = asked["order"]
    return query


def _since(asked: Mapping[str, str], now: datetime) -> datetime | None:
    if asked.get("order", "") not in ORDERS:
        raise MalformedRequest(f"order: one of {', '.join(filter(None, ORDERS))}")
    if "changed" not in asked:
        return AT_ANY_TIME if "order" in asked else None
    if asked["changed"] not in CHANGED:
        raise MalformedRequest(f"changed: one of {', '.join(CHANGED)}")
    return now - CHANGED[asked["changed"]][1]


def _orders(asked: Mapping[str, str]) -> list[Choice]:
    """In which order cases may stand: what is asked for by its deadlines or changes has its own."""
    if "changed" in asked:
        return [Choice("", "In the order of change")]
    first = "Longest overdue first" if "overdue" in asked else ORDERS[""]
    return [Choice(value, says if value else first) for value, says in ORDERS.items()]


def _set(asked: Mapping[str, str], lifecycle: Lifecycle, address: str) -> list[Filter]:
    """Each filter that is set, in words, with the address of the list without it."""
    return [
        Filter(
            _in_words(name, value, lifecycle),
            _address(address, {other: asked[other] for other in asked if other != name}),
        )
        for name, value in asked.items()
        if name != "order"
    ]


def _in_words(name: str, value: str, lifecycle: Lifecycle) -> str:
    match name:
        case "q":
            return f"holding “{value}”"
        case "state":
            return f"in {' + '.join(title_of(one, lifecycle) for one in value.split('+'))}"
        case "says":
            tool, _, word = value.partition(":")
            return f"“{word}” in {tool_title(tool, lifecycle)}"
        case "changed":
            return f"changed {CHANGED[value][0] if value in CHANGED else value}"
    return "in drift" if name == "drift" else "overdue"


def _address(address: str, asked: Mapping[str, str]) -> str:
    return f"{address}?{urlencode(asked)}" if asked else address


def _matching(asked: Mapping[str, str], shown: Shown) -> int | None:
    """How many cases there are in all, where that is known without counting them."""
    filters = asked.keys() - {"order"}
    if not filters:
        return shown.counts.get("", 0)
    if filters == {"state"}:
        return shown.counts.get(asked["state"], 0)
    return None


def _states(lifecycle: Lifecycle, counts: Mapping[str, int]) -> list[Choice]:
    return [
        Choice(place.id, title_of(place.id, lifecycle), len(place.above), counts.get(place.id, 0))
        for place in lifecycle.chart.places.values()
    ]


def _words(lifecycle: Lifecycle) -> list[tuple[str, list[Choice]]]:
    """By tool, the words that it has for some state."""
    return [
        (tool_title(tool, lifecycle), [Choice(f"{tool}:{word}", word) for word in said])
        for tool in lifecycle.declaration.tools
        if (said := finding.said_by(lifecycle, tool))
    ]


# --- as a file ----------------------------------------------------------------------------------


async def _file(
    keeper: Keeper, lifecycle: Lifecycle, asked: Mapping[str, str], form: str, visit: Visit
) -> Answer:
    if form not in KINDS:
        raise NotFound(f"nothing is at '{visit.segment(1)[:80]}' (there are: {', '.join(KINDS)})")
    wanted = _wanted(asked, lifecycle, keeper)
    body, position = await asyncio.to_thread(_written, keeper, lifecycle, wanted, form)
    name = f'attachment; filename="{lifecycle.collection}.{form}"'
    headers = [(b"content-disposition", name.encode()), (b"x-content-type-options", b"nosniff")]
    return Answer(200, body, headers, KINDS[form].media_type, position=position)


def _written(
    keeper: Keeper, lifecycle: Lifecycle, wanted: CasesWanted, form: str
) -> tuple[bytes, int]:
    now = keeper.journal.clock()
    rows: list[Row] = []
    after: Key | None = None
    with keeper.store.reading() as session:
        position = board.position(session)
        while len(rows) < ROWS_MAX:
            found = finding.page(session, wanted, after, min(EXPORT_PAGE, ROWS_MAX - len(rows)))
            differ = finding.differing_among(session, found.rows, now)
            rows += [
                row(one.case, lifecycle, now, differs=one.case.id in differ) for one in found.rows
            ]
            after = found.next
            if after is None:
                break
    head, body = titles(columns(lifecycle)), [cells(one) for one in rows]
    if form == "csv":
        return as_csv(head, body), position
    return as_xlsx(lifecycle.collection, head, body), position


PAGES: Final = (page_at("GET", "/{collection}", show, "The list of a collection"),)
