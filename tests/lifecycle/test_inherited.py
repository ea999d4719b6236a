"""What was recorded under earlier definitions is never lost from sight by a later one."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime

import pytest

from lifecycle.adoption import adopt, foretell
from lifecycle.case import Case
from lifecycle.changes import Move, Open, TakeReference
from lifecycle.events import Asker, DefinitionAdopted
from lifecycle.journal import Journal, Record
from lifecycle.known import Known
from lifecycle.model import Lifecycle
from lifecycle.refusals import BadDefinition
from lifecycle.streams import definition_stream
from tests.databases import NewDatabase
from tests.lifecycle.given import declared
from tests.lifecycle.journals import ask, journal_on, replayed

PARCEL = """
lifecycle: parcel
version: 1
title: Parcel
collection: parcels
tools: {desk: {title: Desk, kinds: [parcel, label]}}
states:
  here: {owner: desk}
  gone: {owner: desk, final: true}
transitions:
  - {name: send, from: here, to: gone}
"""
LETTER = PARCEL.replace("parcel", "letter").replace("Parcel", "Letter")
SECOND = PARCEL.replace("version: 1", "version: 2")


@pytest.fixture
def database(new_database: NewDatabase) -> str:
    return new_database()


@contextmanager
def process(database: str, *texts: str) -> Iterator[tuple[Journal, Collection[Lifecycle]]]:
    lifecycles = {one.collection: one for one in map(declared, texts)}
    with journal_on(database, lifecycles) as journal:
        yield journal, lifecycles.values()


def do(journal: Journal, what: object, case_id: str) -> Case:
    return journal.answer_now(ask(what, "desk", case_id, collection="parcels")).case


def refused(database: str, *texts: str) -> str:
    """What a start with these definitions is refused for; `check --database` says the same."""
    with process(database, *texts) as (journal, lifecycles):
        told = [one.refused for one in foretell(journal, lifecycles) if one.refused]
        with pytest.raises(BadDefinition) as no:
            adopt(journal, lifecycles)
        assert [problem.message for problem in no.value.problems] == told
        (message,) = told
        return message


def starts(database: str, *texts: str) -> bool:
    """Whether a start with these definitions goes well, as it was foretold."""
    with process(database, *texts) as (journal, lifecycles):
        assert not [one.refused for one in foretell(journal, lifecycles) if one.refused]
        adopt(journal, lifecycles)
    return True


@pytest.fixture
def parcels(database: str) -> str:
    """A parcel on its way that the desk knows by a number, and one that has gone."""
    with process(database, PARCEL, LETTER) as (journal, lifecycles):
        adopt(journal, lifecycles)
        do(journal, Open(references={"desk": ("7",)}), "P-1")
        do(journal, Open(), "P-2")
        do(journal, Move(transition="send"), "P-2")
    return database


def test_open_cases_keep_their_lifecycle(parcels: str) -> None:
    """A definition that open cases follow cannot be taken away; the refusal names the cases."""
    assert refused(parcels, LETTER) == (
        "is declared no more, but these open cases follow it: parcels/P-1;"
        " declare it as it was until they end"
    )


def test_open_cases_keep_their_collection(parcels: str) -> None:
    """Under another name of their collection nobody would find them."""
    elsewhere = SECOND.replace("collection: parcels", "collection: boxes")
    assert refused(parcels, elsewhere, LETTER).startswith(
        "its collection was 'parcels' and is 'boxes' now, but these open cases follow it:"
        " parcels/P-1;"
    )


def test_open_cases_are_not_governed_by_another_lifecycle(parcels: str) -> None:
    """A lifecycle that takes over a collection says nothing of the cases that stand there."""
    other = PARCEL.replace("lifecycle: parcel", "lifecycle: package")
    assert "follow it: parcels/P-1" in refused(parcels, other, LETTER)


def test_a_lifecycle_ends_with_its_last_open_case(parcels: str) -> None:
    """What no open case follows may be taken away."""
    assert starts(parcels, PARCEL)
    with process(parcels, PARCEL) as (journal, _):
        do(journal, Move(transition="send"), "P-1")
    assert starts(parcels, LETTER)


def test_references_keep_their_main_kind(parcels: str) -> None:
    """An id that was given without a kind is one of the main kind; it must go on meaning that."""
    other = SECOND.replace("kinds: [parcel, label]", "kinds: [label, parcel]")
    assert refused(parcels, other, LETTER) == (
        "the main kind of 'desk' was parcel and would be label, but these cases hold"
        " references of it: parcels/P-1; keep 'parcel' first in its `kinds`"
    )


def test_further_kinds_come_behind_the_main_one(parcels: str) -> None:
    """As long as the main kind stays what it was, kinds come and go."""
    assert starts(parcels, SECOND.replace("label]", "label, box]"), LETTER)


def test_a_kind_that_is_named_may_change_its_place(database: str) -> None:
    """References that name their kind do not depend on which one is the main one."""
    with process(database, PARCEL) as (journal, lifecycles):
        adopt(journal, lifecycles)
        do(journal, Open(), "P-1")
        do(journal, TakeReference(tool="desk", ref="7", kind="parcel"), "P-1")
    assert starts(database, SECOND.replace("[parcel, label]", "[label, parcel]"))


class TestUnreadable:
    """A text that the log adopted, and that this version of the program cannot read any more."""

    THIRD = PARCEL.replace("version: 1", "version: 3")

    @pytest.fixture
    def of_old(self, parcels: str) -> str:
        """The parcels, since governed by a text of another time."""

        def adopted(_: Known, now: datetime) -> DefinitionAdopted:
            return DefinitionAdopted(
                recorded_at=now,
                by=Asker(),
                lifecycle="parcel",
                version=2,
                digest="of-old",
                text="parcel: of another time",
            )

        with process(parcels, PARCEL) as (journal, _):
            journal.record_now(Record(definition_stream("parcel"), adopted))
        return parcels

    def test_no_start_is_refused_for_it(self, of_old: str) -> None:
        """Nobody can mend what stands in the log: another lifecycle, and a new version, start."""
        assert starts(of_old, LETTER)
        assert starts(of_old, self.THIRD, LETTER)

    def test_open_cases_are_carried_over_all_the_same(self, of_old: str) -> None:
        """Which are open is told by the new text; the tools' earlier words are nobody's to tell."""
        third = self.THIRD.replace("title: Parcel", "title: Parcel\nrenamed: {here: there}", 1)
        third = third.replace("  here:", "  there:").replace("from: here", "from: there")
        with process(of_old, third) as (journal, lifecycles):
            adopt(journal, lifecycles, tell=True)
            stand = {one: replayed(journal, one, "parcels") for one in ("P-1", "P-2")}
            states = {name: case.states for name, case in stand.items() if case}
            assert states == {"P-1": ("there",), "P-2": ("gone",)}

    def test_cases_without_a_place_are_still_named(self, of_old: str) -> None:
        """That is not guessed away: what the new text has no state for refuses it by name."""
        third = self.THIRD.replace("  here:", "  there:").replace("from: here", "from: there")
        assert "parcels/P-1 (here)" in refused(of_old, third, LETTER)
