"""The cases of a collection, by what is asked of them: read from the board."""

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from api.asking import hidden_from, moment
from api.door import Answer, Keeper, Operation, Visit, told
from api.keys import identify_now
from api.paging import PAGED, limit_asked
from api.problems import MalformedRequest, MethodNotAllowed
from lifecycle.events import Asker
from lifecycle.model import Lifecycle
from lifecycle.refusals import NotYours, UnknownCollection, UnknownTool
from projections import board, finding
from projections.finding import Key, Page
from projections.sieve import CasesWanted
from projections.views import CaseView, case_view
from projections.words import words

QUERY_LENGTH_MAX: Final = 200
WORDS_ASKED_MAX: Final = 5
STALE_MAX: Final = 100
CURSOR_LENGTH_MAX: Final = 400
FILTERS: Final[Mapping[str, str]] = {
    "state": "in this state; ancestors count, and so do leaves joined by `+`",
    "tool": "with `word`: the tool that has this word for them",
    "word": "with `tool`: what the tool calls where they are",
    "updated_since": "changed since (RFC 3339, as recorded), in the order of change: what changes"
    " while you read comes again at the end",
    "overdue": "`true`: their time has run out; the longest overdue first",
    "drift": "`true`: some tool, or yours, shows something else than is true",
    "q": "holding these words in id, references or texts; the last word may only begin so",
}


class Cases(Struct, omit_defaults=True):
    """A page of a list."""

    items: list[CaseView]
    next: str | None
    """Give it as `cursor` for the next page; null at the end."""
    stale: list[str] = []
    """Cases that could not be read for lists: shown as they were, or missing, until a rebuild."""


class Cursor(Struct, array_like=True, forbid_unknown_fields=True):
    """Where a page ended, and of which list."""

    list: str
    key: Key


async def list_cases(keeper: Keeper, visit: Visit) -> Answer:
    """A page of the cases of a collection, as far as the asker may see them."""
    query = visit.query(*FILTERS, *PAGED)
    limit = limit_asked(query)
    asker = await identify_now(keeper, visit)
    lifecycle = governing(visit.segment(2), asker, keeper)
    hidden = hidden_from(asker, lifecycle)
    wanted = wanted_by(query, lifecycle, hidden, keeper)
    wanted = replace(wanted, differs=asker.tool or "")
    digest = digest_of(lifecycle, query)
    after = key_in(query["cursor"], digest) if "cursor" in query else None

    def read() -> tuple[int, Page, list[str]]:
        with keeper.store.reading() as session:
            position = board.position(session)
            page = finding.page(session, wanted, after, limit)
            return position, page, board.stale_ids(session, lifecycle.collection, STALE_MAX)

    position, page, stale = await asyncio.to_thread(read)
    now = keeper.journal.clock()
    return told(
        Cases(
            [case_view(row.case, lifecycle, now, hidden=hidden) for row in page.rows],
            cursor_at(digest, page.next) if page.next else None,
            stale,
        ),
        position=position,
    )


def governing(collection: str, asker: Asker, keeper: Keeper) -> Lifecycle:
    """The lifecycle behind a collection; `UnknownCollection`, or `NotYours` for other tools."""
    lifecycle = keeper.catalogue.lifecycles.get(collection)
    if lifecycle is None:
        there = ", ".join(keeper.catalogue.lifecycles)
        raise UnknownCollection(
            f"no collection is called {collection[:80]!r} (there are: {there})",
            collection=collection[:80],
        )
    if asker.tool and asker.tool not in lifecycle.declaration.tools:
        raise NotYours(
            f"{asker.tool!r} does not stand in the lifecycle of {lifecycle.collection}"
            f" (its tools: {', '.join(lifecycle.declaration.tools)})"
        )
    return lifecycle


def wanted_by(
    query: Mapping[str, str], lifecycle: Lifecycle, hidden: frozenset[str], keeper: Keeper
) -> CasesWanted:
    """What a query asks for; `MalformedRequest` or `UnknownTool` says what can be asked."""
    return CasesWanted(
        collection=lifecycle.collection,
        state=_state(query["state"], lifecycle) if "state" in query else "",
        configurations=_configurations(query, lifecycle),
        updated_since=moment("updated_since", query["updated_since"])
        if "updated_since" in query
        else None,
        overdue_at=keeper.journal.clock() if _is_asked("overdue", query) else None,
        differing_at=keeper.journal.clock() if _is_asked("drift", query) else None,
        words=_words(query["q"]) if "q" in query else (),
        visible=lifecycle.personal - hidden,
    )


def _state(given: str, lifecycle: Lifecycle) -> str:
    """A state, or leaves joined, in the order of the definition."""
    chart, named = lifecycle.chart, given.split("+")
    unknown = [one for one in named if one not in chart.places]
    if unknown:
        raise MalformedRequest(
            f"state: {lifecycle.collection} know no state {unknown[0][:80]!r}"
            f" (declared: {', '.join(chart.places)})"
        )
    return given if len(named) == 1 else "+".join(chart.ordered(named))


def _configurations(query: Mapping[str, str], lifecycle: Lifecycle) -> tuple[str, ...] | None:
    """The leaves, joined, for which the tool has the word; None where no word is asked for."""
    if "tool" not in query and "word" not in query:
        return None
    if "tool" not in query or "word" not in query:
        raise MalformedRequest("`tool` and `word` go together: what that tool calls where they are")
    tool, word = query["tool"], query["word"]
    if tool not in lifecycle.declaration.tools:
        raise UnknownTool(
            f"{lifecycle.collection} know no tool {tool[:80]!r}"
            f" (declared: {', '.join(lifecycle.declaration.tools)})",
            tool=tool[:80],
        )
    said = finding.said_by(lifecycle, tool)
    if word not in said:
        known = ", ".join(said) or "none"
        raise MalformedRequest(f"word: {tool!r} has no word {word[:80]!r} (its words: {known})")
    return finding.configurations_with(lifecycle, tool, word)


def _is_asked(name: str, query: Mapping[str, str]) -> bool:
    if query.get(name, "true") != "true":
        raise MalformedRequest(f"{name}: only `true` can be asked for")
    return name in query


def _words(given: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(words(given[:QUERY_LENGTH_MAX])))
    if len(given) > QUERY_LENGTH_MAX or not 0 < len(found) <= WORDS_ASKED_MAX:
        raise MalformedRequest(
            f"q: 1 to {WORDS_ASKED_MAX} words of letters and digits,"
            f" in at most {QUERY_LENGTH_MAX} characters"
        )
    return found


# --- cursors ------------------------------------------------------------------------------------


def digest_of(lifecycle: Lifecycle, query: Mapping[str, str]) -> str:
    """Which list this is: a cursor goes on in its own list only."""
    asked = [lifecycle.collection, *(query.get(name, "") for name in FILTERS)]
    return sha256("\0".join(asked).encode()).hexdigest()[:16]


def cursor_at(digest: str, key: Key) -> str:
    """Where a page of this list ended, as a text for an address."""
    return urlsafe_b64encode(msgspec.json.encode(Cursor(digest, key))).decode().rstrip("=")


def key_in(given: str, digest: str) -> Key:
    """Where the page before ended; `MalformedRequest` where it was a page of another list."""
    given = given[:CURSOR_LENGTH_MAX]
    try:
        text = urlsafe_b64decode(given.encode("ascii") + b"=" * (-len(given) % 4))
        cursor = msgspec.json.decode(text, type=Cursor)
    except (ValueError, msgspec.MsgspecError) as exc:
        raise MalformedRequest("cursor: not one that this service gave") from exc
    if cursor.list != digest:
        raise MalformedRequest("cursor: it goes on in another list; ask with the same filters")
    return cursor.key


OPERATIONS = (
    Operation(
        "GET",
        "/v1/{collection}",
        list_cases,
        "The cases of a collection, newest opened first, as far as you may see them",
        gives=Cases,
        query={
            **FILTERS,
            **PAGED,
        },
        refuses=(UnknownTool, MethodNotAllowed),
        visible="views",
    ),
)
