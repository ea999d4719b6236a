"""A time that stood there and could not be read: what says it counts, and makes nothing stale."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from lifecycle.messages import Hear
from tests.lifecycle.given import Given
from tests.lifecycle.test_reports import hear, message, outcome
from tests.lifecycle.test_undeclared import brewing, brews

HALF_AN_HOUR = timedelta(minutes=30)


def untimed(word: str = "", **fields: Any) -> Hear:
    """Let the kettle say something at a time that nobody can read."""
    said: dict[str, Any] = {"fields": fields} if fields else {}
    return replace(hear("kettle", word, **said), unread=("occurred_at",))


def since(story: Given, what: Hear, word: str = "", **fields: Any) -> tuple[Any, ...]:
    """What becomes of a report that is half an hour older than the receipt of another."""
    before = story.when(what, by="kettle")
    before.done()
    at = message(before).heard.at - HALF_AN_HOUR
    said: dict[str, Any] = {"fields": fields} if fields else {}
    then = story.when(hear("kettle", word, occurred_at=at, **said), by="kettle")
    then.done()
    return outcome(then)[0], message(then).heard.not_taken


@pytest.mark.parametrize("unread", [True, False])
def test_what_was_said_before_is_not_stale_by_it(*, unread: bool) -> None:
    """Nobody knows which came first; of a message that says no time at all, receipt counts."""
    what = untimed("on") if unread else hear("kettle", "on")
    became, _ = since(brews(brewing()), what, "on")
    assert became == ("agrees" if unread else "stale")


@pytest.mark.parametrize("unread", [True, False])
def test_nor_is_a_field_older_than_it(*, unread: bool) -> None:
    """A value with a time that can be read is taken after it."""
    what = untimed(strength=3) if unread else hear("kettle", fields={"strength": 3})
    became, not_taken = since(brews(brewing()), what, strength=4)
    assert (became, not_taken) == ("applied", {} if unread else {"strength": "older"})


def test_what_was_said_at_a_known_time_still_makes_stale() -> None:
    """A time that cannot be read takes nothing back of one that could."""
    story = brews(brewing())
    known = story.when(hear("kettle", "on"), by="kettle")
    known.done()
    earlier = message(known).heard.at - HALF_AN_HOUR
    story.when(untimed("on"), by="kettle").done()
    then = story.when(hear("kettle", "on", occurred_at=earlier), by="kettle")
    then.done()
    assert outcome(then)[0] == "stale"
