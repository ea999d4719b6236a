"""Pages of what is listed newest first: how many, and where one ended."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from api import asking
from api.door import Keeper
from api.problems import MalformedRequest
from lifecycle.events import Asker
from lifecycle.fields import is_case_id
from lifecycle.refusals import NotYours, UnknownCollection, UnknownTool

LIMIT: Final = 50
LIMIT_MAX: Final = 500
CURSOR_LENGTH_MAX: Final = 400
FILTER_LENGTH_MAX: Final = 200

OF_A_CASE: Final[Mapping[str, str]] = {
    "collection": "about cases of this collection",
    "id": "with `collection`: about this case",
}
"""The filters by case, as every list has them."""
PAGED: Final[Mapping[str, str]] = {
    "limit": f"how many, 1 to {LIMIT_MAX}; {LIMIT} unless told",
    "cursor": "`next` of the page before, with the same filters",
}


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
    return Paged(_limit(query.get("limit")), before, digest)


def _limit(given: str | None) -> int:
    if given is None:
        return LIMIT
    if not (given.isascii() and given.isdigit() and 0 < int(given[:9]) <= LIMIT_MAX):
        raise MalformedRequest(f"limit: a whole number from 1 to {LIMIT_MAX}")
    return int(given)


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
        raise UnknownTool(f"no definition names the tool {tool[:80]!r}", tool=tool[:80])
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
