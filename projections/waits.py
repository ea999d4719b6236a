"""Why a notice has not been told yet, since when and until when, as far as is known.

What stands in the way of all notices of a tool goes first: its flow, its breaker, its rate; then
what stands in the way of the one.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

from msgspec import Struct

from lifecycle.known import FlowState
from projections import routes
from projections.book import Book, Waiting
from projections.notices import OnList
from projections.patience import Flow, millis
from projections.routes import Route
from projections.timeline import stamp

Why = Literal[
    "undeclared",
    "by-hand",
    "no-address",
    "stopped",
    "breaker-open",
    "left-alone",
    "rate",
    "earlier-first",
    "under-way",
    "next-attempt",
    "its-turn",
]


class Wait(Struct, frozen=True):
    """Why a notice waits."""

    why: Why
    """`undeclared`: no flow out leads to the tool any more; `by-hand`: it is on a person's list;
    `no-address`: where it is sent, or its secret, is not set; `stopped`: the tool wanted nothing
    any more (410 Gone); `breaker-open`: it takes nothing at present; `left-alone`: it said for how
    long it is to be; `rate`: it was told as many as it may be; `earlier-first`: another of the same
    case goes before; `under-way`; `next-attempt`: it was not taken; `its-turn`: nothing is in the
    way."""
    detail: str = ""
    """In words: on whose list, what is not set, what the tool answered."""
    since: str | None = None
    until: str | None = None
    """When it is tried next, unless something happens before; null where it is not by itself."""


class Line(Struct, frozen=True):
    """What is known of the way to a tool."""

    route: Route | None
    """None where the definitions have no flow out."""
    said: FlowState
    """What the log says of the flow."""
    flow: Flow | None
    """What the courier's book says of it; None where it was never tried."""


class Tried(Struct, frozen=True):
    """A notice that waits, and what was tried."""

    wait: Wait
    known: Waiting | None
    """What the book has of it; None where it was never tried."""


def waits(
    rows: Sequence[OnList],
    book: Book | None,
    ways: Mapping[routes.Line, Route],
    said: Callable[[str], FlowState],
    now: datetime,
) -> dict[str, Tried]:
    """Why those of these notices wait that do, by id; `said` is what the log says of a tool."""
    waiting = [row for row in rows if row.state == "waiting"]
    if not waiting:
        return {}
    known = {one.id: one for one in book.notices([row.id for row in waiting])} if book else {}
    flows = {one.tool: one for one in book.flows()} if book else {}
    flow_states = {tool: said(tool) for tool in {row.tool for row in waiting}}
    found: dict[str, Tried] = {}
    for row in waiting:
        way, one = ways.get((row.tool, row.collection)), known.get(row.id)
        line = Line(way, flow_states[row.tool], flows.get(row.tool))
        found[row.id] = Tried(wait(line, one, now), one if one and one.attempts else None)
    return found


def wait(line: Line, known: Waiting | None, now: datetime) -> Wait:
    """Say why one notice waits; `known` is what the book has of it, None before it has any."""
    at = millis(now)
    return (
        _without_way(line.route)
        or _of_flow(line, at)
        or _of_notice(known, at)
        or _by_rate(line.flow, at)
    )


def _without_way(route: Route | None) -> Wait | None:
    if route is None:
        return Wait("undeclared")
    if route.manual:
        return Wait("by-hand", route.steward)
    return Wait("no-address", route.waits) if route.waits else None


def _of_flow(line: Line, now: int) -> Wait | None:
    said, flow = line.said, line.flow
    if said.stopped_since is not None:
        return Wait("stopped", said.why, stamp(said.stopped_since))
    if flow and flow.opened:
        since = stamp(said.failing_since) if said.failing_since else None
        return Wait("breaker-open", said.why, since, _time(flow.open_until))
    if flow and flow.slow_until > now:
        return Wait("left-alone", until=_time(flow.slow_until))
    return None


def _of_notice(known: Waiting | None, now: int) -> Wait | None:
    if known is None:
        return None
    if known.ready_at is None:
        return Wait("earlier-first")
    if known.ready_at <= now:
        return None
    if known.holder:
        return Wait("under-way")
    return Wait("next-attempt", known.why, until=_time(known.ready_at))


def _by_rate(flow: Flow | None, now: int) -> Wait:
    if flow and flow.next_start > now * 1000:
        return Wait("rate", until=_time(flow.next_start // 1000))
    return Wait("its-turn")


def _time(at: int) -> str:
    return stamp(datetime.fromtimestamp(at / 1000, UTC))
