"""Why a notice has not been told yet: what stands in the way of all goes before what is its own."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from lifecycle.known import FlowState
from projections.book import Waiting
from projections.patience import Flow, millis
from projections.routes import Route
from projections.timeline import stamp
from projections.waits import Line, Wait, wait

NOW = datetime(2026, 5, 4, 14, 3, 11, 120_000, UTC)
BEFORE, SOON, LATER = (NOW + timedelta(minutes=one) for one in (-5, 5, 50))
WELL = Line(
    Route("books", "jobs", "sales@example.com", url="https://x"), FlowState(), Flow("books")
)
NEW = Waiting("ntc_1", 7, 7, "books", "jobs", "jobs/J-1", ready_at=millis(BEFORE))


def why(line: Line = WELL, known: Waiting | None = NEW) -> Wait:
    """Why a notice waits."""
    return wait(line, known, NOW)


def flow(**how: Any) -> Line:
    """A tool with which it goes so."""
    return replace(WELL, flow=Flow("books", **how))


def route(**how: Any) -> Line:
    """A tool that is told so."""
    return replace(WELL, route=Route("books", "jobs", "sales@example.com", **how))


def test_where_nothing_is_in_the_way_it_is_its_turn() -> None:
    """Also before the courier has heard of it, or has ever tried the tool."""
    assert why() == why(known=None) == why(replace(WELL, flow=None)) == Wait("its-turn")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (replace(WELL, route=None), Wait("undeclared")),
        (
            route(manual=True, waits="carried by a person"),
            Wait("by-hand", "sales@example.com"),
        ),
        (route(waits="no address: X is not set"), Wait("no-address", "no address: X is not set")),
        (
            replace(WELL, said=FlowState(stopped_since=BEFORE, why="410 Gone")),
            Wait("stopped", "410 Gone", stamp(BEFORE)),
        ),
        (
            replace(
                flow(opened=2, open_until=millis(SOON)),
                said=FlowState(failing_since=BEFORE, why="refused"),
            ),
            Wait("breaker-open", "refused", stamp(BEFORE), stamp(SOON)),
        ),
        (flow(slow_until=millis(SOON)), Wait("left-alone", until=stamp(SOON))),
        (flow(next_start=millis(SOON) * 1000), Wait("rate", until=stamp(SOON))),
    ],
)
def test_a_tool_that_is_not_told_says_why(line: Line, expected: Wait) -> None:
    """What keeps a tool from being told, since when and until when."""
    assert why(line) == expected


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (replace(NEW, ready_at=None), Wait("earlier-first")),
        (
            replace(NEW, ready_at=millis(LATER), attempts=3, why="it answered 500"),
            Wait("next-attempt", "it answered 500", until=stamp(LATER)),
        ),
        (replace(NEW, ready_at=millis(LATER), holder="a courier"), Wait("under-way")),
    ],
)
def test_a_notice_that_is_not_told_says_why(known: Waiting, expected: Wait) -> None:
    """What keeps one notice, where its tool is told others."""
    assert why(known=known) == expected


def test_what_keeps_all_goes_first() -> None:
    """A stopped flow is the answer, however the one notice stands, until staff start it."""
    stopped = replace(flow(opened=1, open_until=millis(SOON)), said=FlowState(stopped_since=BEFORE))
    assert why(stopped, replace(NEW, ready_at=None)).why == "stopped"
    passed = flow(slow_until=millis(BEFORE), next_start=millis(BEFORE) * 1000)
    assert why(passed).why == "its-turn"
