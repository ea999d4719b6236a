"""State ↔ word: every tool has exactly one answer for every place where a case can be."""

import pytest

from lifecycle.chart import Configuration
from lifecycle.model import Lifecycle
from lifecycle.vocabulary import StatusField
from tests.lifecycle.given import shipped

PLACES = [
    pytest.param(lifecycle, field, id=f"{name}-{field.tool}-{field.name}")
    for name, lifecycle in shipped().items()
    for field in lifecycle.vocabulary.status_fields
]


@pytest.mark.parametrize(("lifecycle", "field"), PLACES)
class TestShipped:
    def test_exactly_one_entry_applies(self, lifecycle: Lifecycle, field: StatusField) -> None:
        """Wherever a case gets, each status field of each tool has one entry, no more, no less."""
        for configuration in lifecycle.chart.configurations:
            assert len(lifecycle.vocabulary.entries_for(field, configuration)) == 1

    def test_what_is_told_and_heard_back_agrees(
        self, lifecycle: Lifecycle, field: StatusField
    ) -> None:
        """The word that a tool is told is among the words that it may say of the same place."""
        for configuration in lifecycle.chart.configurations:
            told = lifecycle.vocabulary.shown(configuration)[field.tool][field.name]
            words = lifecycle.vocabulary.words(field, configuration)
            assert told in words if words else told is None

    def test_every_entry_is_of_use(self, lifecycle: Lifecycle, field: StatusField) -> None:
        """No word is declared for a state where another entry always goes before it."""
        used = {
            entry
            for configuration in lifecycle.chart.configurations
            for entry in lifecycle.vocabulary.entries_for(field, configuration)
        }
        assert used == set(field.entries)


@pytest.mark.parametrize(
    ("states", "words"),
    [
        (("quoted",), ("presentationscheduled", None, None, "Estimate sent")),
        (("scheduled",), ("closedwon", "Scheduled", "upcoming", "Deposit paid")),
        (("invoiced",), ("closedwon", "Invoiced", "archived", "Invoiced")),
    ],
)
def test_each_tool_has_its_own_word(states: Configuration, words: tuple[str | None, ...]) -> None:
    """One state, four fields, each in the words of its tool; the first of several is told."""
    shown = shipped()["field_service"].vocabulary.shown(states)
    assert words == (
        shown["crm"]["dealstage"],
        shown["crm"]["job_status"],
        shown["projects"]["status"],
        shown["accounting"]["stage"],
    )


def test_all_words_of_a_state_are_heard() -> None:
    """Of several words the first is told, and every one means the state."""
    vocabulary = shipped()["field_service"].vocabulary
    (field,) = (one for one in vocabulary.status_fields if one.tool == "projects")
    assert vocabulary.words(field, ("scheduled",)) == ("upcoming", "today", "late")


def test_an_inner_entry_goes_before_the_outer() -> None:
    """An entry serves all below its state, and gives way to an active state's own."""
    lifecycle = shipped()["client"]
    for state, word in (("in_good_standing", "Active"), ("on_hold", "On hold")):
        assert lifecycle.vocabulary.shown((state,))["crm"]["client_status"] == word


def test_words_of_one_region_follow_that_region() -> None:
    """While papers, checks and account go on at once, each tool sees its own side."""
    shown = shipped()["client"].vocabulary.shown(("papers_complete", "to_screen", "account_open"))
    assert shown["documents"]["folder"] == "Complete"
    assert shown["compliance"]["status"] == "Pending"
    assert shown["accounting"]["account"] == "Open"


def test_a_field_that_the_product_computes_is_marked() -> None:
    """`hear_only` stands beside the words, and is none of them."""
    fields = shipped()["mortgage_loan"].vocabulary.status_fields
    assert [one.tool for one in fields if one.hear_only] == ["esign"]
    assert all("hear_only" not in one.entries for one in fields)
