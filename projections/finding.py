"""Lists: which cases a list holds, in which order, and page by page."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

from msgspec import Struct

from lifecycle.model import Lifecycle
from projections.board import OnBoard, on_board
from projections.follower import written
from projections.sieve import CasesWanted, Sieve, differing
from projections.store import Row, Session, as_json
from projections.tables import board as tables

POSITION_MAX: Final = 2**63 - 1
WALKED_FIRST: Final = 200
"""Cases that are looked at in the beginning; in an order of time, it is asked after them whether
but few fit at all."""
WALKED_MAX: Final = 20_000
"""Cases that are looked at in one go."""
FEW: Final = 3000
"""So many cases are put in order rather than looked for along the order of all."""


class Key(Struct, frozen=True, array_like=True):
    """Where a page ended, in the order of its list."""

    opened: int = 0
    time: str = ""
    position: int = 0


class Page(Struct, frozen=True):
    """A part of a list."""

    rows: Sequence[OnBoard]
    next: Key | None
    """Where the next one begins; None at the end."""


def page(session: Session, wanted: CasesWanted, after: Key | None, limit: int) -> Page:
    """A page of a list.

    Newest opened first, which no change disturbs; with `updated_since` in the order of change, with
    `overdue_at` the longest overdue first.
    """
    sieve = Sieve(session, wanted)
    if wanted.updated_since is not None:
        found = _by_time(session, _changed(wanted, wanted.updated_since, after), sieve)
    elif wanted.overdue_at is not None:
        found = _by_time(session, _overdue(wanted, after), sieve)
    else:
        found = _newest(session, wanted.collection, after, sieve)
    # One more than the page holds tells whether there is a next one.
    rows = list(islice(_cases(session, wanted, found, limit + 1), limit + 1))
    more = len(rows) > limit
    return Page(rows[:limit], _key(rows[limit - 1], wanted) if more else None)


def _cases(
    session: Session, wanted: CasesWanted, found: Iterator[int], some: int
) -> Iterator[OnBoard]:
    """The cases of these numbers, in that order."""
    while asked := list(islice(found, some)):
        rows = session.rows(tables.SELECT_NUMBERED, numbers=as_json(asked), **differing(wanted))
        there = {row[0]: row for row in rows}
        yield from (on_board(there[number]) for number in asked if number in there)
        some = min(2 * some, WALKED_MAX)


def differing_among(session: Session, shown: Sequence[OnBoard], now: datetime) -> frozenset[str]:
    """Those of the cases on a page, by their ids, that some tool differs from."""
    asked = CasesWanted(collection="", differing_at=now)
    numbers = as_json([one.number for one in shown])
    rows = (
        session.rows(tables.SELECT_NUMBERED, numbers=numbers, **differing(asked)) if shown else ()
    )
    there = {row[0] for row in rows}
    return frozenset(one.case.id for one in shown if one.number in there)


def _key(last: OnBoard, wanted: CasesWanted) -> Key:
    if wanted.updated_since is not None:
        return Key(time=last.seen_at, position=last.case.position)
    if wanted.overdue_at is not None:
        return Key(opened=last.opened, time=last.due_at or "")
    return Key(opened=last.opened)


# --- newest first -------------------------------------------------------------------------------


def _newest(session: Session, collection: str, after: Key | None, sieve: Sieve) -> Iterator[int]:
    """The numbers of the cases that fit, the newest of those opened before one first."""
    before = after.opened if after else POSITION_MAX
    if not sieve.lets_all_through:
        rows = session.rows(tables.SELECT_NEWEST, collection=collection, before=before, most=1)
        for number, _ in rows:
            yield from sieve.up_to(number)
        return
    most = WALKED_FIRST
    while rows := session.rows(
        tables.SELECT_NEWEST, collection=collection, before=before, most=most
    ):
        yield from (number for number, _ in rows)
        before, most = rows[-1][1], min(4 * most, WALKED_MAX)


# --- in an order of time ------------------------------------------------------------------------


class Order(Struct, frozen=True):
    """An order of time, and where a page begins in it."""

    all: str
    """The statement that goes through it."""
    some: str
    """The statement that looks some cases up in it."""
    time: str
    place: int
    """A position; of two cases at one time the lower comes first."""
    asked: Mapping[str, Any]


def _changed(wanted: CasesWanted, since: datetime, after: Key | None) -> Order:
    time, place = (after.time, after.position) if after else (written(since), -1)
    return Order(tables.SELECT_CHANGED, tables.SELECT_CHANGED_OF, time, place, _due(wanted))


def _overdue(wanted: CasesWanted, after: Key | None) -> Order:
    time, place = (after.time, after.opened) if after else ("", 0)
    return Order(tables.SELECT_OVERDUE, tables.SELECT_OVERDUE_OF, time, place, _due(wanted))


def _due(wanted: CasesWanted) -> Mapping[str, Any]:
    before = written(wanted.overdue_at) if wanted.overdue_at else ""
    return {"collection": wanted.collection, "due_before": before}


def _by_time(session: Session, order: Order, sieve: Sieve) -> Iterator[int]:
    """The numbers of the cases that fit, in an order of time."""
    time, place, most = order.time, order.place, WALKED_FIRST
    few: Sequence[int] | None = None
    while rows := session.rows(order.all, time=time, place=place, most=most, **order.asked):
        yield from sieve.of([row[0] for row in rows])
        if len(rows) < most:
            return
        _, time, place = rows[-1]
        if few is None and not sieve.lets_all_through:
            few = _few(session, sieve)
            if len(few) <= FEW:
                yield from _put_in_order(session, order, few, time, place)
                return
        most = min(4 * most, WALKED_MAX)


def _few(session: Session, sieve: Sieve) -> Sequence[int]:
    """All cases that fit, or one more than are few."""
    ((last,),) = session.rows(tables.SELECT_LAST_NUMBER)
    return list(islice(sieve.up_to(last), FEW + 1))


def _put_in_order(
    session: Session, order: Order, numbers: Sequence[int], time: str, place: int
) -> Iterator[int]:
    """Those of some cases that follow."""
    rows: Sequence[Row] = session.rows(
        order.some, numbers=as_json(numbers), time=time, place=place, **order.asked
    )
    yield from (number for number, *_ in sorted(rows, key=_when))


def _when(row: Row) -> tuple[str, int]:
    return row[1], row[2]


# --- what tools call it -------------------------------------------------------------------------


def configurations_with(lifecycle: Lifecycle, tool: str, word: str) -> tuple[str, ...]:
    """The leaves, joined, in which a tool has this word for a case."""
    vocabulary = lifecycle.vocabulary
    fields = [field for field in vocabulary.status_fields if field.tool == tool]
    return tuple(
        "+".join(one)
        for one in sorted(lifecycle.chart.configurations)
        if any(word in vocabulary.words(field, one) for field in fields)
    )


def said_by(lifecycle: Lifecycle, tool: str) -> tuple[str, ...]:
    """Every word that a tool has for some state."""
    said = (
        word
        for field in lifecycle.vocabulary.status_fields
        if field.tool == tool
        for entry in field.entries.values()
        for word in entry
    )
    return tuple(dict.fromkeys(said))
