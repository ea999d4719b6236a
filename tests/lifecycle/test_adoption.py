"""Which text of a definition decides: adopted once, by version, every open case in its place."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lifecycle.adoption import NAMED_MAX, adopt, plan
from lifecycle.asks import Look
from lifecycle.case import Case
from lifecycle.changes import Open
from lifecycle.events import CarriedOver, DefinitionAdopted
from lifecycle.journal import Journal
from lifecycle.refusals import BadDefinition, DefinitionNotAdopted, TransitionNotOpen
from tests.databases import NewDatabase
from tests.lifecycle.given import declared, move, tell
from tests.lifecycle.journals import ask, entries_of, journal_on, remembered, replayed

FIRST = """
lifecycle: parcel
version: 1
title: Parcel
collection: parcels
tools: {desk: {title: Desk}}
fields:
  note: {type: text, owner: desk}
  name: {type: text, owner: desk, personal: true}
states:
  here: {owner: desk}
  gone: {owner: desk}
  lost: {owner: desk, final: true}
transitions:
  - {name: send, from: here, to: gone}
  - {name: back, from: gone, to: here}
  - {name: lose, from: [here, gone], to: lost}
words:
  desk: {shelf: {here: Here, gone: Gone, lost: Lost}}
"""
SECOND = FIRST.replace("version: 1", "version: 2")
WITHOUT_GONE = """
lifecycle: parcel
version: 2
title: Parcel
collection: parcels
tools: {desk: {title: Desk}}
states:
  here:  {owner: desk}
  found: {owner: desk, final: true}
transitions:
  - {name: find, from: here, to: found}
"""
RENAMED = (
    SECOND.replace("gone", "sent")
    .replace("name: send, from: here, to: sent", "name: post, from: here, to: sent")
    .replace("  note:", "  remark:")
    .replace("words:", "renamed: {gone: sent, note: remark}\nwords:")
)
WITH_A_REGION = """
lifecycle: parcel
version: 2
title: Parcel
collection: parcels
tools: {desk: {title: Desk}}
fields:
  note: {type: text, owner: desk}
  name: {type: text, owner: desk, personal: true}
states:
  open:
    owner: desk
    parallel: true
    states:
      place: {states: {here: {}, gone: {}}}
      money: {states: {unpaid: {}, paid: {}}}
  lost: {owner: desk, final: true}
transitions:
  - {name: send, from: here, to: gone}
  - {name: back, from: gone, to: here}
  - {name: pay, from: unpaid, to: paid}
  - {name: lose, from: open, to: lost}
"""


@pytest.fixture
def database(new_database: NewDatabase) -> str:
    return new_database()


@contextmanager
def process(database: str, text: str, *, starts: bool = True) -> Iterator[Journal]:
    """Run a process that holds this text, and adopts it at its start."""
    lifecycle = declared(text)
    with journal_on(database, {"parcels": lifecycle}) as journal:
        if starts:
            adopt(journal, [lifecycle])
        yield journal


def do(journal: Journal, what: object, case_id: str = "P-1") -> Case:
    return journal.answer_now(ask(what, "desk", case_id, collection="parcels")).case


def adopted(journal: Journal) -> list[int]:
    """List the versions that the log has adopted, in order."""
    events = [entry.event for entry in entries_of(journal, "definition:parcel")]
    return [event.version for event in events if isinstance(event, DefinitionAdopted)]


def test_the_first_text_is_adopted_and_kept(database: str) -> None:
    """Its full text stands in the log, so that history can be read when the file has changed."""
    with process(database, FIRST) as journal:
        (entry,) = entries_of(journal, "definition:parcel")
        assert isinstance(entry.event, DefinitionAdopted)
        assert (entry.event.version, entry.event.text) == (1, FIRST)


@pytest.mark.parametrize(
    "text",
    [
        FIRST,
        FIRST.replace("title: Parcel", "title: A parcel, says the desk"),
        "# Nothing but a remark.\n" + FIRST,
        SECOND,
    ],
    ids=["same", "title", "remark", "version only"],
)
def test_what_means_the_same_changes_nothing(database: str, text: str) -> None:
    """Titles, remarks and a raised version alone are no other meaning: nothing is recorded."""
    with process(database, FIRST):
        pass
    with process(database, text) as journal:
        assert adopted(journal) == [1]
        assert do(journal, Open()).state == "here"


def test_another_meaning_wants_a_raised_version(database: str) -> None:
    """A text that was changed in secret is refused, with what would do."""
    with process(database, FIRST):
        pass
    changed = FIRST.replace("from: [here, gone]", "from: gone")
    with process(database, changed, starts=False) as other:
        with pytest.raises(BadDefinition, match="raise `version` to 2 or more"):
            adopt(other, other.lifecycles.values())
        with pytest.raises(DefinitionNotAdopted):
            do(other, Open())
        assert adopted(other) == [1]


def test_a_raised_version_decides_from_now_on(database: str) -> None:
    """Who holds the old text decides nothing more, and still shows what is."""
    with process(database, FIRST) as old:
        do(old, Open())
        with process(database, SECOND.replace("name: lose", "name: drop")) as new:
            assert adopted(new) == [1, 2]
            assert do(new, move("drop")).state == "lost"
        with pytest.raises(DefinitionNotAdopted, match="the log last adopted version 2"):
            do(old, Open(), "P-2")


def test_an_old_text_does_not_come_back(database: str) -> None:
    """Once a later version is adopted, the earlier one is not, however it is asked."""
    with process(database, FIRST):
        pass
    with process(database, RENAMED) as journal:
        assert adopted(journal) == [1, 2]
    with pytest.raises(BadDefinition, match="version 2"), process(database, FIRST):
        pass


def test_cases_that_have_no_place_are_named(database: str) -> None:
    """Every open case must find its state and its fields in the new text; else it is refused."""
    with process(database, FIRST) as journal:
        do(journal, Open())
        for number in range(NAMED_MAX + 3):
            do(journal, Open(), f"G-{number}")
            do(journal, move("send"), f"G-{number}")
        do(journal, Open(fields={"note": "fragile"}), "N-1")
    with process(database, WITHOUT_GONE, starts=False) as journal:
        with pytest.raises(BadDefinition, match=r"parcels/G-0 \(gone\).* and 4 more"):
            adopt(journal, journal.lifecycles.values())
        assert adopted(journal) == [1]


def test_what_has_ended_needs_no_place(database: str) -> None:
    """A case in a final state may stay as it was; neither is there a need for forgotten fields."""
    with process(database, FIRST) as journal:
        do(journal, Open(fields={"note": "fragile"}))
        do(journal, move("lose"))
        do(journal, Open(fields={"note": "fragile"}), "P-2")
        do(journal, tell(note=None), "P-2")
    with process(database, WITHOUT_GONE) as journal:
        assert adopted(journal) == [1, 2]
        assert do(journal, move("find"), "P-2").state == "found"
        with pytest.raises(TransitionNotOpen, match="it has ended"):
            do(journal, move("find"))
        assert do(journal, Look()).state == "lost"
        assert journal.lifecycles["parcels"].chart.ended(("lost",))


def test_renamed_states_and_fields_are_carried_over(database: str) -> None:
    """Open cases stand under the new names, by an event of their own, with all values."""
    with process(database, FIRST) as journal:
        do(journal, Open(fields={"note": "fragile", "name": "A. Customer"}))
        do(journal, move("send"))
    with process(database, RENAMED) as journal:
        (entry,) = entries_of(journal, "case:parcels/P-1")[2:]
        assert isinstance(entry.event, CarriedOver)
        assert (entry.event.left, entry.event.to) == (("gone",), ("sent",))
        case = do(journal, tell(remark="handle with care"))
        assert (case.state, case.version, case.lifecycle_version) == ("sent", 4, 2)
        assert case.fields == {"remark": "handle with care", "name": "A. Customer"}
        assert remembered(journal, "P-1", "parcels") == replayed(journal, "P-1", "parcels")


def test_a_new_region_is_entered_at_its_initial_state(database: str) -> None:
    """A case that stood in one region stands in all of them afterwards."""
    with process(database, FIRST) as journal:
        do(journal, Open())
        do(journal, move("send"))
    with process(database, WITH_A_REGION) as journal:
        assert do(journal, move("pay")).states == ("gone", "paid")


def test_to_plan_changes_nothing(database: str) -> None:
    """What would happen is told beforehand: which cases move, how many change words."""
    with process(database, FIRST) as journal:
        do(journal, Open())
        do(journal, Open(), "P-2")
        do(journal, move("send"), "P-2")
    with process(database, RENAMED.replace("Gone", "Sent"), starts=False) as journal:
        before = journal.recorder.last_position()
        planned = plan(journal, journal.lifecycles["parcels"])
        assert journal.recorder.last_position() == before
        assert (planned.adopted, planned.version, planned.changes) == (1, 2, True)
        assert (planned.open_cases, dict(planned.carried)) == (2, {"parcels/P-2": ("sent",)})
        assert (planned.reworded, planned.refused) == (1, None)


def test_a_plan_tells_why_not(database: str) -> None:
    """Before the first adoption there is nothing to compare; later a plan may be refused."""
    with process(database, FIRST, starts=False) as journal:
        first = plan(journal, journal.lifecycles["parcels"])
        assert (first.adopted, first.changes, first.refused) == (None, True, None)
        adopt(journal, journal.lifecycles.values())
        assert not plan(journal, journal.lifecycles["parcels"]).changes
        secretly = declared(FIRST.replace("from: [here, gone]", "from: gone"))
        assert "raise `version`" in (plan(journal, secretly).refused or "")


def test_two_processes_that_start_at_once_adopt_once(database: str) -> None:
    """The second finds the same text adopted, and records nothing."""
    with process(database, FIRST) as one, process(database, FIRST) as other:
        assert adopted(one) == adopted(other) == [1]
        do(one, Open())
        assert do(other, move("send")).state == "gone"
