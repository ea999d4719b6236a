"""What nobody has declared: it is told, kept sealed, and taken once somebody does declare it."""

from functools import cache
from typing import Any

import pytest
from msgspec.structs import replace

from lifecycle.asks import Taken
from lifecycle.changes import TakeReference
from lifecycle.connectors import Connector
from lifecycle.definition import read
from lifecycle.events import ERASED, FieldsSet, Heard, Understood
from lifecycle.messages import Hear, Message, Retry
from lifecycle.model import Lifecycle
from lifecycle.reports import Report
from tests.databases import NewDatabase
from tests.lifecycle.given import (
    CONFIRMED,
    STAFF,
    Given,
    Then,
    erase,
    given,
    opened,
)
from tests.lifecycle.journals import ask, entries_of, journal_on, replayed
from tests.lifecycle.test_reports import hear, message, outcome, say

COLOUR = {"colour": "red"}
STAGE = {"status_field": "dealstage"}
QUOTED = "presentationscheduled"
BREWING = """
lifecycle: brewing
version: 1
title: Brewing
collection: brews
tools: {kettle: {title: Kettle, connector: kettle}}
fields:
  strength: {type: number, owner: kettle}
%s
states: {begun: {owner: kettle}, brewed: {owner: kettle, final: true}}
transitions: [{name: brew, from: begun, to: brewed}]
words: {kettle: {light: {begun: on, brewed: off}}}
"""
LATER = "  colour: {type: text, owner: kettle, personal: true}\n  day: {type: date, owner: kettle}"


@cache
def brewing(more: str = "", reads: str = "@") -> Lifecycle:
    """A lifecycle of the kettle, whose connector can read a colour or takes all under our names."""
    fields: Any = {"colour": "c", "day": "d"} if reads == "named" else reads
    kettle = Connector(connector="kettle", title="Kettle", fields=fields)
    text = BREWING % more
    return Lifecycle(read(text.encode(), "brewing.yaml")[0], text, {"kettle": kettle})


def brews(lifecycle: Lifecycle) -> Given:
    """A brew that has begun."""
    story = Given(lifecycle)
    begun = replace(opened.what, fields={})
    story.when(begun, by="kettle").done()
    return story


def told_by_product(said: dict[str, Any], word: str = "") -> Hear:
    """What the kettle's webhook says about the brew, whatever it is."""
    report = Report(tool="kettle", word=word, fields=said, event_id="e1")
    return Hear(report=report, arrival="a", new_id="N-1", among=("brews",), said="x", raw=b"{}")


class TestOutcomes:
    @pytest.mark.parametrize(
        ("said", "expected", "not_taken"),
        [
            ({"fields": COLOUR}, ("parked", "unknown-field"), {}),
            ({"fields": {"scope": "A roof", **COLOUR}}, ("applied", ""), {"colour": "unknown"}),
            ({"fields": {"invoice_no": "7", **COLOUR}}, ("applied", ""), {"colour": "unknown"}),
            ({"word": QUOTED, "fields": COLOUR}, ("agrees", ""), {"colour": "unknown"}),
            ({"word": "nonsense", "fields": COLOUR}, ("parked", "unknown-word"), {}),
            ({"word": "qualifiedtobuy", "fields": COLOUR}, ("ignored", "hears"), {}),
            ({}, ("ignored", "nothing-said"), {}),
        ],
    )  # fmt: skip
    def test_what_a_report_with_undeclared_fields_becomes(
        self, said: Any, expected: tuple[str, str], not_taken: dict[str, str]
    ) -> None:
        """Alone they park a report; beside what is declared they are told, and the rest counts."""
        then = say(given(opened), "crm", **STAGE, **said)
        assert outcome(then) == expected
        assert not_taken.items() <= message(then).heard.not_taken.items()

    def test_what_only_the_connector_knows_is_not_mapped(self) -> None:
        """A field that the product is known to have, and nobody here uses, is no riddle."""
        story = brews(brewing(reads="named"))
        assert outcome(say(story, "kettle", fields=COLOUR)) == ("ignored", "not-mapped")
        then = say(story, "kettle", fields={**COLOUR, "strength": 3})
        assert outcome(then) == ("applied", "")
        assert message(then).heard.not_taken == {}

    def test_under_our_own_names_it_is_unknown(self) -> None:
        """Who writes our names for what nobody here has waits for somebody to declare it."""
        then = brews(brewing()).when(told_by_product(COLOUR), by="kettle")
        assert outcome(then) == ("parked", "unknown-field")
        assert message(then).heard.personal == COLOUR

    @pytest.mark.parametrize(
        ("unread", "said", "expected"),
        [
            (("word",), {}, ("parked", "unknown-word")),
            (("word",), {"fields": {"strength": 3}}, ("parked", "unknown-word")),
            (("status_field",), {"word": "on"}, ("parked", "unknown-field")),
            (("fields",), {}, ("parked", "unknown-field")),
            (("fields.strength",), {}, ("applied", "")),
            (("occurred_at",), {"word": "on"}, ("agrees", "")),
        ],
    )
    def test_what_could_not_be_read_is_not_taken_for_silence(
        self, unread: tuple[str, ...], said: Any, expected: tuple[str, str]
    ) -> None:
        """A word or a field that stood there and cannot be read is nobody's `nothing-said`."""
        one = replace(hear("kettle", **said), unread=unread)
        then = brews(brewing()).when(one, by="kettle")
        assert outcome(then) == expected
        invalid = {"strength": "invalid"} if unread == ("fields.strength",) else {}
        assert message(then).heard.not_taken == invalid


def taken(then: Then) -> Taken:
    """What became of a message that was heard."""
    then.done()
    assert isinstance(then.outcome, Taken)
    return then.outcome


class TestLater:
    """The definition has changed since."""

    @pytest.mark.parametrize("word", ["", "on"])
    def test_what_is_declared_later_is_taken_on_retry(
        self, new_database: NewDatabase, word: str
    ) -> None:
        """The values were kept, and are the case's once it has such fields."""
        database = new_database()
        said = {**COLOUR, "day": 1_777_903_391}
        with journal_on(database, {"brews": brewing()}) as journal:
            journal.answer_now(ask(replace(opened.what, fields={}), "kettle", collection="brews"))
            heard = journal.hear_now(ask(told_by_product(said, word), "kettle", collection="brews"))
            assert heard.message.outcome == ("agrees" if word else "parked")
            stored = journal.recorder.streams([heard.stream])
            assert not any(b"red" in bytes(one.state) for one in stored)
        with journal_on(database, {"brews": brewing(LATER)}) as journal:
            retried = journal.hear_now(ask(again(heard.stream), STAFF, "", collection="brews"))
            assert retried.message.outcome == ("agrees" if word else "applied")
            assert retried.message.heard.taken == ("colour", "day")
            assert retried.message.heard.not_taken == {}
            case = replayed(journal, collection="brews")
            assert case is not None
            assert case.fields == {"colour": "red", "day": "2026-05-04"}
            before = len(entries_of(journal, heard.stream))
            journal.hear_now(ask(again(heard.stream), STAFF, "", collection="brews"))
            assert len(entries_of(journal, heard.stream)) == before

    def test_what_is_left_of_a_released_message_is_erased_with_the_case(
        self, new_database: NewDatabase
    ) -> None:
        """A released message keeps what no case has; it is sealed like all else about its case."""
        with journal_on(new_database()) as journal:
            said = hear("crm", ref="d1", event_id="e1", fields={**COLOUR, "scope": "A roof"})
            stream = journal.hear_now(ask(said, id="")).stream
            journal.answer_now(ask(opened.what))
            journal.answer_now(ask(TakeReference(tool="crm", ref="d1")))
            assert values(entries_of(journal, stream)[-1].event) == COLOUR
            journal.answer_now(ask(erase(), STAFF))
            assert values(entries_of(journal, stream)[-1].event) == {"colour": ERASED}

    def test_a_claim_keeps_what_nobody_has_declared(self) -> None:
        """What came with a word that had to wait is there when the word has come true."""
        story = given(*CONFIRMED)
        early = say(story, "projects", "upcoming", fields=COLOUR)
        assert outcome(early) == ("early", "")
        say(story, "projects", fields={"scheduled_for": "2026-05-11"})
        state = story.streams[taken(early).stream].state
        assert isinstance(state, Message)
        assert (state.outcome, state.heard.personal) == ("applied", COLOUR)

    def test_what_says_nothing_waits_for_nothing(self) -> None:
        """Nothing can be made of a delivery that held no message, however often it is tried."""
        story = brews(brewing())
        then = story.when(replace(told_by_product({}), empty=True), by="kettle", id="")
        assert outcome(then) == ("ignored", "nothing-said")
        assert story.when(again(taken(then).stream), id="").entries == ()


def again(stream: str) -> Retry:
    """Have a message decided again."""
    return Retry(message=stream, new_id="N-2", reason="declared by now")


def values(event: object) -> dict[str, Any]:
    """What stands sealed in an event of a message."""
    assert isinstance(event, Heard | Understood)
    return event.personal


def test_fields_that_are_taken_later_are_the_messages_doing() -> None:
    """What a message brings about later carries it, as if it had been understood at once."""
    story = brews(brewing())
    stream = taken(story.when(told_by_product(COLOUR, "on"), by="kettle")).stream
    story.lifecycles = {"brews": brewing(LATER)}
    then = story.when(again(stream), id="")
    (changed,) = then
    assert isinstance(changed, FieldsSet)
    assert changed.message == stream
