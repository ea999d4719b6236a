"""References without a kind, of a tool that tells kinds of record apart and declares none."""

import itertools
from typing import Any

import pytest

from lifecycle.adoption import adopt
from lifecycle.changes import Open, ReleaseReference
from lifecycle.events import (
    CaseOpened,
    FieldsSet,
    Heard,
    ReferenceFreed,
    ReferenceHeld,
    ReferenceReleased,
    ReferenceTaken,
)
from lifecycle.known import Known
from lifecycle.messages import Complete, Hear, Retry
from lifecycle.reports import Report
from lifecycle.streams import reference_stream
from tests.databases import NewDatabase
from tests.lifecycle.given import STAFF, Given, Then, declared
from tests.lifecycle.journals import ask, journal_on, replayed
from tests.lifecycle.test_reports import message, outcome

SALE = """
lifecycle: sale
version: 1
title: Sale
collection: sales
tools: {shop: {title: Shop}}
fields: {total: {type: money, owner: shop}}
states: {begun: {owner: shop}, paid: {owner: shop, final: true}}
transitions: [{name: pay, from: begun, to: paid}]
words: {shop: {light: {begun: on, paid: off}}}
hears: {shop: {light: {"on": open}}}
"""
NUMBERS = itertools.count(1)
HELD = Open(references={"shop": ("130",)})
TOTAL: Any = {"fields": {"total": "5.00 USD"}}


def sale() -> Given:
    """A sale that the shop knows as 130; nobody said what kind of record that is."""
    story = Given(declared(SALE))
    story.when(HELD, by="shop").done()
    return story


def webhook(kind: str, *, unfetched: bool = False, **said: Any) -> Hear:
    """What the shop's webhook says of a record of this kind with the number 130."""
    number = next(NUMBERS)
    report = Report(tool="shop", ref="130", kind=kind, event_id=f"e{number}", **said)
    new = f"N-{number}"
    return Hear(
        report=report, arrival=new, new_id=new, among=("sales",), said=new, unfetched=unfetched
    )


def says(story: Given, kind: str, **said: Any) -> Then:
    """Have it heard."""
    then = story.when(webhook(kind, **said), by="shop", id="")
    then.done()
    return then


def test_a_reference_without_a_kind_means_the_record_that_speaks_first() -> None:
    """The record is found under the reference that was set, which has the kind's name from then."""
    story = sale()
    then = says(story, "invoice", **TOTAL)
    assert (outcome(then), message(then).case) == (("applied", ""), "sales/C-1")
    assert [type(one) for one in then] == [ReferenceReleased, ReferenceTaken, FieldsSet]
    assert story.case.references == {"shop:invoice": ("130",)}
    beside = {
        one.stream: type(one.event) for one in then.entries if one.stream.startswith("reference:")
    }
    assert beside == {
        reference_stream("shop", "", "130"): ReferenceFreed,
        reference_stream("shop", "invoice", "130"): ReferenceHeld,
    }
    assert [type(one) for one in says(story, "invoice", fields={"total": "6.00 USD"})] == [
        FieldsSet
    ]


def test_two_kinds_never_take_one_case() -> None:
    """Once the reference is an invoice's, a customer of the same number is somebody unknown."""
    story = sale()
    says(story, "invoice", **TOTAL)
    assert outcome(says(story, "customer", **TOTAL)) == ("parked", "unknown-reference")


def test_a_word_that_opens_cases_opens_no_second_one() -> None:
    """The record whose reference stands without a kind is held already; another kind's is not."""
    story = sale()
    assert message(says(story, "invoice", word="on")).case == "sales/C-1"
    then = says(story, "order", word="on")
    assert [type(one) for one in then] == [CaseOpened]
    assert message(then).case != "sales/C-1"


def test_a_record_that_says_nothing_names_nothing() -> None:
    """What is only mentioned leaves the reference to the record that says something of the case."""
    story = sale()
    says(story, "customer")
    says(story, "customer", unfetched=True)
    assert story.case.references == {"shop": ("130",)}
    assert outcome(says(story, "invoice", **TOTAL)) == ("applied", "")


def test_a_record_that_is_fetched_names_its_kind() -> None:
    """A message that only names a record finds the case when the record comes."""
    story = sale()
    first = webhook("invoice", unfetched=True)
    story.when(first, by="shop", id="").done()
    report = Report(tool="shop", ref="130", kind="invoice", **TOTAL)
    stream = f"message:shop/{first.report.event_id}"
    story.when(Complete(message=stream, report=report, new_id="N", among=("sales",)), by="shop")
    assert story.case.fields == {"total": "5.00 USD"}
    assert story.case.references == {"shop:invoice": ("130",)}


def test_a_message_that_waited_names_its_kind() -> None:
    """One that came before anybody knew the number is found a case when it is decided again."""
    story = Given(declared(SALE))
    says(story, "invoice", **TOTAL)
    (heard,) = [one.stream for one in story.entries if isinstance(one.event, Heard)]
    story.when(HELD, by="shop").done()
    then = story.when(Retry(message=heard, new_id="N", reason="known now"), id="")
    assert outcome(then) == ("applied", "")
    assert story.case.references == {"shop:invoice": ("130",)}


@pytest.mark.parametrize("kind", ["invoice", ""])
def test_what_has_got_its_kind_can_be_released(kind: str) -> None:
    """By the name that the case shows it under, by whom it may be; until then without a kind."""
    story = sale()
    if kind:
        says(story, kind, **TOTAL)
    release = ReleaseReference(tool="shop", ref="130", kind=kind, reason="wrong")
    story.when(release, by=STAFF).then(ReferenceReleased, kind=kind)
    assert outcome(says(story, "invoice", **TOTAL)) == ("parked", "unknown-reference")


def test_references_of_an_older_log_go_on_meaning_their_cases(new_database: NewDatabase) -> None:
    """A log from when every kind was one needs no mending: the next process finds its cases."""
    database, lifecycle = new_database(), declared(SALE)
    for number in (1, 2):
        with journal_on(database, {"sales": lifecycle}) as journal:
            adopt(journal, [lifecycle])
            if number == 1:
                journal.answer_now(ask(HELD, "shop", collection="sales"))
                continue
            said = ask(webhook("invoice", **TOTAL), "shop", "", collection="sales")
            assert journal.hear_now(said).message.outcome == "applied"
            case = replayed(journal, collection="sales")
            assert case is not None
            assert case.references == {"shop:invoice": ("130",)}
            unnamed: Known = journal.known_now(reference_stream("shop", "", "130"))
            assert unnamed.state is None
