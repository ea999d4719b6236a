"""A work list as it is shown: its parts, and in each, by cause, what waits for somebody.

The heads of all work lists are the same and stand here: what is asked for, which part of the list
that is, what there is in the others, and where the next page begins.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeVar
from urllib.parse import urlencode

from msgspec import Struct

from api import paging
from api.door import Answer, Keeper, Visit
from api.pages.render import Link, page
from api.pages.session import Session, signed_in
from api.pages.worklists import Asked, Desk, Part
from projections.records import Record

ENTRIES: Final = 5
"""Records of a group that are shown where there are other groups."""

R = TypeVar("R", bound=Record)


class Wish(Struct, frozen=True):
    """What somebody wants to see of a list."""

    session: Session
    asked: Asked
    """The filters, with the part of the list among them."""
    part: str
    paged: paging.Paged
    other: Mapping[str, Part]
    """Parts without a tab of their own, one of which may be asked for."""


async def wished(
    desk: Desk[R], keeper: Keeper, visit: Visit, other: Mapping[str, Part] | None = None
) -> Wish:
    """What is asked for; `MalformedRequest` where the list has nothing like that."""
    session = await signed_in(keeper, visit)
    query = {desk.by: desk.first, **visit.query(*desk.groups, "cursor")}
    paged = paging.paged(query, of=f"page {desk.address}")
    query.pop("cursor", None)
    paging.tool_asked(query, session.asker, keeper)
    part, other = query[desk.by], other or {}
    known = {**desk.parts, **other}
    if part not in known:
        paging.one_of(desk.by, query, tuple(known))
    return Wish(session, query, part, paged, other)


class Contents(Struct, frozen=True):
    """What there is to be shown of it."""

    groups: Sequence["Group"]
    counts: Mapping[str, int]
    """Part → records in it."""
    more: int | None
    """The position behind which there may be more; None where there are none."""
    position: int
    overall: Sequence["Doable"] = ()
    """What may be done to everything in this part."""


def shelf(
    desk: Desk[R],
    keeper: Keeper,
    visit: Visit,
    wish: Wish,
    contents: Contents,
    untold: Sequence[object] = (),
) -> Answer:
    """The page of a list; `untold` are the tools that are not being told."""
    parts = {**desk.parts, **{one: wish.other[one] for one in wish.other if one == wish.part}}
    following = wish.paged.next(contents.more) if contents.more is not None else ""
    everything = f"{desk.address}?{urlencode({desk.by: wish.part})}"
    context = {
        "desk": desk,
        "tabs": [
            Tab(
                f"{desk.address}?{urlencode({desk.by: one})}",
                part.title,
                contents.counts.get(one, 0),
                one == wish.part,
            )
            for one, part in parts.items()
        ],
        "untold": untold,
        "current": everything,
        "overall": contents.overall,
        "groups": contents.groups,
        "filtered": wish.asked.keys() - {desk.by},
        "everything": everything,
        "part": parts[wish.part],
        "next": f"{desk.address}?{urlencode({**wish.asked, 'cursor': following})}"
        if following
        else "",
        "first": f"{desk.address}?{urlencode(wish.asked)}" if wish.paged.before is not None else "",
    }
    session, position = wish.session, contents.position
    return page(keeper, visit, "worklist.html", context, session=session, position=position)


# --- what stands on it --------------------------------------------------------------------------


class Doable(Struct, frozen=True):
    """A way to an act."""

    href: str
    title: str
    is_main: bool = False
    says: str = ""
    """What it does, in a sentence; empty where its title says so."""


class Entry(Struct, frozen=True):
    """A record as its list shows it."""

    id: str
    case: str
    """Like `jobs/J-1042`; empty where it is about none."""
    title: str
    """What it is called where there is no case; a customer where there is."""
    states: Sequence[str]
    says: str
    at: str
    """When it came to be, by which it has its place."""
    ended: str = ""
    """When it came to an end; empty where it stands."""
    acts: Sequence[Doable] = ()
    more: Link | None = None
    """Where there is more about it."""
    records: Sequence[str] = ()
    """The records of the tool to which that is to be done."""
    steps: Sequence[str] = ()
    """What a person is to do, one after the other."""
    ref: str = ""
    """The record of a tool that can be linked to a case."""


class Group(Struct, frozen=True):
    """What has one cause."""

    title: str
    says: Sequence[str]
    count: int
    """Of them on this page of the list."""
    entries: Sequence[Entry]
    acts: Sequence[Doable] = ()
    at_last: Sequence[Doable] = ()
    """What may be done to all once each was looked at: it stands below them."""
    whole: str = ""
    """The address of this group alone; empty where this is it."""
    how: str = ""
    """What has to be done to the service for it, for who looks after that."""
    add: str = ""
    """Lines of the definition that would mend it."""


class Tab(Struct, frozen=True):
    """One part of a work list."""

    href: str
    title: str
    count: int | None
    is_current: bool


def grouped(
    desk: Desk[R], records: Sequence[R], keys: Mapping[str, Asked], asked: Asked
) -> Iterator[tuple[Asked, Sequence[R], str]]:
    """Give the groups of these records in their order: its filters, records and address."""
    groups: dict[tuple[tuple[str, str], ...], list[R]] = {}
    for record in records:
        groups.setdefault(tuple(keys[record.id].items()), []).append(record)
    for key, members in groups.items():
        filters = {**asked, **dict(key)}
        is_alone = len(groups) == 1 or filters == asked
        whole = "" if is_alone else f"{desk.address}?{urlencode(filters)}"
        yield dict(key), members, whole


def doable(desk: Desk[R], how: str, asked: Asked, title: str, *, main: bool = False) -> Doable:
    """The way to an act on one record (`one`), or on a group."""
    query = urlencode({"how": how, **asked})
    return Doable(f"{desk.address}/act?{query}", title, main, desk.acts[how].says)
