"""One list of records, page by page, newest first: of messages, of notices, of drift.

Each says as data what it is filtered by; how filters are read, where a page ended, and to whom a
record is there at all, is the same for all and stands here.
"""

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from api import asking
from api.digits import whole
from api.door import Keeper, Visit
from api.keys import identify_now
from api.problems import MalformedRequest
from lifecycle.events import Asker
from lifecycle.fields import is_case_id
from lifecycle.refusals import NotThere, NotYours, UnknownCollection, UnknownTool
from projections.records import Record, Records, Wanted

LIMIT: Final = 50
LIMIT_MAX: Final = 500
CURSOR_LENGTH_MAX: Final = 400
FILTER_LENGTH_MAX: Final = 200

PAGED: Final[Mapping[str, str]] = {
    "limit": f"how many, 1 to {LIMIT_MAX}; {LIMIT} unless told",
    "cursor": "`next` of the page before, with the same filters",
}
WALKED: Final = 500
"""Records that are read at once by who reads all of a list."""

R = TypeVar("R", bound=Record)


class Choice(Struct, frozen=True):
    """A filter that takes one of a few words."""

    name: str
    asks: Literal["sort", "type"]
    """What of a record it is about."""
    words: tuple[str, ...]
    meaning: str
    otherwise: str = ""
    """What is asked where nothing is; empty: for all of them."""


class Part(Struct, Generic[R], frozen=True):
    """A page of a list."""

    records: Sequence[R]
    next: str | None
    """The cursor of the page behind it; None at the end."""
    asker: Asker
    position: int
    """How far the read models had come."""


class Listing(Struct, Generic[R], frozen=True):
    """One list, as data."""

    model: type[Records[R]]
    noun: str
    """What one record is called."""
    whose: str
    """What the filter by tool means."""
    why: str
    """What the filter by cause means."""
    came: str
    """How a record comes to be, in a word."""
    choices: tuple[Choice, ...]
    ends: str = ""
    """How a record comes to an end; empty where it is not asked for by that."""

    @property
    def filters(self) -> dict[str, str]:
        """Each filter with what it means."""
        return {
            "tool": self.whose,
            **{one.name: one.meaning for one in self.choices},
            "why": self.why,
            "collection": "about cases of this collection",
            "id": "with `collection`: about this case",
            "since": f"{self.came} since (RFC 3339)",
            "until": f"{self.came} before",
            **({"ended_since": f"{self.ends} since"} if self.ends else {}),
        }

    async def part(self, keeper: Keeper, visit: Visit) -> Part[R]:
        """The page that a visit asks for, as far as the asker may see the list."""
        query = visit.query(*self.filters, *PAGED)
        asker = await identify_now(keeper, visit)
        asked = paged(query, of=self.model.name)
        wanted = self.wanted(query, asker, keeper)
        position, found = await asyncio.to_thread(self._read, keeper, wanted, asked)
        records = found[: asked.limit]
        following = asked.next(records[-1].position) if len(found) > asked.limit else None
        return Part(records, following, asker, position)

    async def one(self, keeper: Keeper, asker: Asker, name: str) -> R:
        """A record by its id; `NotThere`, to a tool also where it is another's."""
        found = await asyncio.to_thread(self.named, keeper, [name])
        if not found or asker.tool not in {None, found[0].tool}:
            raise NotThere(f"no {self.noun} has the id {name[:80]!r}")
        return found[0]

    def wanted(self, query: Mapping[str, str], asker: Asker, keeper: Keeper) -> Wanted:
        """What filters ask for; a refusal says what could be asked."""
        chosen: dict[str, Any] = {
            one.asks: one_of(one.name, query, one.words, one.otherwise) for one in self.choices
        }
        return Wanted(
            tool=tool_asked(query, asker, keeper),
            why=word("why", query),
            **chosen,
            **case_asked(query, keeper),
            since=moment("since", query),
            until=moment("until", query),
            ended_since=moment("ended_since", query),
            now=keeper.journal.clock(),
        )

    def named(self, keeper: Keeper, ids: Sequence[str]) -> Sequence[R]:
        """Those of these ids, in any order; to be called in a thread."""
        with keeper.store.reading() as session:
            return self.model.named(session, ids)

    def walk(self, keeper: Keeper, wanted: Wanted) -> Iterator[R]:
        """All that is wanted, newest first; to be called in a thread."""
        before: int | None = None
        while True:
            with keeper.store.reading() as session:
                found = self.model.page(session, wanted, WALKED, before=before)
            yield from found
            if len(found) < WALKED:
                return
            before = found[-1].position

    def _read(self, keeper: Keeper, wanted: Wanted, asked: "Paged") -> tuple[int, Sequence[R]]:
        with keeper.store.reading() as session:
            position = asking.followed(session)
            return position, self.model.page(session, wanted, asked.limit + 1, before=asked.before)


# --- where a page ended -------------------------------------------------------------------------


class Cursor(Struct, array_like=True, forbid_unknown_fields=True):
    """Where a page ended, and of which list."""

    list: str
    position: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    """No database has a place for a greater one."""


class Paged(Struct, frozen=True):
    """Which part of a list is asked for."""

    limit: int
    before: int | None
    """The position at which the page before ended; None for the first page."""
    list: str

    def next(self, last: int) -> str:
        """The cursor of the page that follows one that ended here."""
        cursor = msgspec.json.encode(Cursor(self.list, last))
        return urlsafe_b64encode(cursor).decode().rstrip("=")


def paged(query: Mapping[str, str], *, of: str) -> Paged:
    """The page that a query asks for; a cursor goes on in its own list only."""
    filters = sorted((name, value) for name, value in query.items() if name not in PAGED)
    digest = sha256(repr((of, filters)).encode()).hexdigest()[:16]
    before = _position(query["cursor"], digest) if "cursor" in query else None
    return Paged(limit_asked(query), before, digest)


def limit_asked(query: Mapping[str, str], otherwise: int = LIMIT) -> int:
    """How many records a page is to hold at most."""
    if "limit" not in query:
        return otherwise
    limit = whole(query["limit"], 1, LIMIT_MAX)
    if limit is None:
        raise MalformedRequest(f"limit: a whole number from 1 to {LIMIT_MAX}")
    return limit


def _position(given: str, digest: str) -> int:
    given = given[:CURSOR_LENGTH_MAX]
    try:
        text = urlsafe_b64decode(given.encode("ascii") + b"=" * (-len(given) % 4))
        cursor = msgspec.json.decode(text, type=Cursor)
    except (ValueError, msgspec.MsgspecError) as exc:
        raise MalformedRequest("cursor: not one that this service gave") from exc
    if cursor.list != digest:
        raise MalformedRequest("cursor: it goes on in another list; ask with the same filters")
    return cursor.position


# --- what lists are filtered by -----------------------------------------------------------------


def tool_asked(query: Mapping[str, str], asker: Asker, keeper: Keeper) -> str:
    """The tool whose part of a list is shown: a tool sees its own only."""
    tool = query.get("tool", "")
    if "tool" in query and tool not in keeper.catalogue.tools():
        there = ", ".join(sorted(keeper.catalogue.tools()))
        raise UnknownTool(
            f"no definition names the tool {tool[:80]!r} (there are: {there})", tool=tool[:80]
        )
    if asker.tool and tool and tool != asker.tool:
        raise NotYours(f"{asker.tool!r} may see only what is its own, not that of {tool[:80]!r}")
    return asker.tool or tool


def case_asked(query: Mapping[str, str], keeper: Keeper) -> dict[str, str]:
    """The collection and the case that a list is about, where that is asked."""
    collection, case_id = query.get("collection", ""), query.get("id", "")
    if "collection" in query and collection not in keeper.catalogue.lifecycles:
        there = ", ".join(keeper.catalogue.lifecycles)
        raise UnknownCollection(
            f"no collection is called {collection[:80]!r} (there are: {there})",
            collection=collection[:80],
        )
    if case_id and not collection:
        raise MalformedRequest("`id` goes with `collection`: which cases it is an id of")
    if "id" in query and not is_case_id(case_id):
        raise MalformedRequest(f"id: no case can have the id {case_id[:140]!r}")
    return {"collection": collection, "case_id": case_id}


def one_of(name: str, query: Mapping[str, str], known: tuple[str, ...], otherwise: str = "") -> str:
    """A filter that takes one of these words."""
    given = query.get(name, otherwise)
    if name in query and given not in known:
        raise MalformedRequest(f"{name}: one of {', '.join(known)}")
    return given


def word(name: str, query: Mapping[str, str]) -> str:
    """A filter that takes any short text."""
    given = query.get(name, "")
    if len(given) > FILTER_LENGTH_MAX:
        raise MalformedRequest(f"{name}: a text of at most {FILTER_LENGTH_MAX} characters")
    return given.replace("\0", "\ufffd")  # PostgreSQL's text has no place for it


def moment(name: str, query: Mapping[str, str]) -> datetime | None:
    """A filter that takes a time."""
    return asking.moment(name, query[name]) if name in query else None
