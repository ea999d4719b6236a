from typing import Any

import pytest

from api.pages.changes import Change, changes
from api.pages.lifecycle import versions
from api.pages.plan import Plan, plan
from lifecycle.asks import Ask
from lifecycle.changes import Open
from lifecycle.events import Asker, DefinitionAdopted
from lifecycle.refusals import FieldsMissing
from projections.routes import Route
from tests.lifecycle.given import DEFINITIONS, MORNING, Given, correct, erase, move, shipped, tell

STEWARD = Asker(staff="Dispatcher")
TEXT = (DEFINITIONS / "field_service.yaml").read_text()


def quoted() -> Given:
    given = Given(shipped()["field_service"])
    fields = {"customer_name": "A. Customer", "deposit_due": "500.00 USD"}
    opening = Open(fields=fields, references={"crm": ("987",)}, reason="by phone")
    return given.when(opening).done()


def planned(given: Given, what: Any) -> Plan:
    ask = Ask(asker=STEWARD, collection="jobs", id="C-1", what=what)
    return plan(ask, given.streams, given.lifecycle, given.now)


def test_a_plan_tells_the_state_the_facts_and_the_words() -> None:
    """Beforehand it is seen where the case will be, and what each tool will have to show."""
    shown = planned(quoted(), move("confirm_deposit", deposit_paid="500.00 USD", reason="cash"))
    assert shown.state is not None
    assert (shown.state.before, shown.state.after) == ("Quoted", "Deposit confirmed")
    assert [(one.name, one.before, one.after) for one in shown.facts] == [
        ("Deposit paid", "", "500.00 USD")
    ]
    words = {one.name: (one.before, one.after) for one in shown.words}
    assert words["HubSpot · dealstage"] == ("presentationscheduled", "closedwon")
    assert words["Jobber · status"] == ("", "unscheduled")


def test_a_plan_says_in_one_line_what_it_comes_to() -> None:
    """Above a plan stands what is done to whom, what was paid, and whether that is the end."""
    paid = move("confirm_deposit", deposit_paid="500.00 USD", reason="cash")
    given = quoted().when(paid).done()
    shown = planned(given, move("cancel", reason="They moved away")).foretold
    assert shown.says == ("This will cancel the job C-1 of A. Customer (deposit paid 500.00 USD)")
    assert shown.facts == (("deposit due", "500.00 USD"), ("deposit paid", "500.00 USD"))
    assert shown.final == "Cancelled"
    told = planned(given, correct("quoted", reason="A mistake")).foretold
    assert told.says.startswith("This will put the job C-1 of A. Customer")
    assert told.says.endswith("from Deposit confirmed to Quoted")
    assert not told.final


def test_a_plan_tells_who_is_told_and_how() -> None:
    """Every tool that will hear of it is named, with how that reaches it."""
    shown = planned(quoted(), move("confirm_deposit", deposit_paid="500.00 USD", reason="cash"))
    told = {one.tool: one.how for one in shown.told}
    assert told["HubSpot"] == "by hand, by sales@example.com"
    assert told["Jobber"] == "by webhook"


def test_a_plan_does_not_promise_what_cannot_be_told_yet() -> None:
    """A tool whose address is not set is named as due, and the plan says what is lacking."""
    given = quoted()
    what = move("confirm_deposit", deposit_paid="500.00 USD", reason="cash")
    ask = Ask(asker=STEWARD, collection="jobs", id="C-1", what=what)
    lacks = Route("projects", "jobs", "", waits="no address: PROJECTS_URL is not set")
    shown = plan(ask, given.streams, given.lifecycle, given.now, {"projects": lacks})
    told = {one.tool: one.how for one in shown.told}
    assert told["Jobber"] == "not yet, as it is not connected: PROJECTS_URL is not set"


def test_a_plan_tells_what_follows_by_itself() -> None:
    """A fact that completes a condition shows the transition that it will bring about."""
    shown = planned(quoted(), tell(deposit_paid="500.00 USD", reason="cash"))
    assert shown.follows == 1
    assert "automatically" in shown.happens[1]
    assert shown.state is not None


def test_a_plan_records_nothing() -> None:
    """Planning leaves the log and the case as they are; doing it then does what was planned."""
    given = quoted()
    before, entries = given.case, len(given.entries)
    what = move("confirm_deposit", deposit_paid="500.00 USD", reason="cash")
    shown = planned(given, what)
    assert given.case == before
    assert len(given.entries) == entries
    done = given.when(what)
    assert shown.version == before.version
    assert shown.state is not None
    assert done.case.state == "deposit_confirmed"


def test_a_plan_is_refused_as_the_ask_would_be() -> None:
    """What could not be done is said with the plan already."""
    with pytest.raises(FieldsMissing):
        planned(quoted(), move("confirm_deposit", reason="cash"))


def test_a_plan_of_what_is_so_already_changes_nothing() -> None:
    """Saying once more what is known is seen to change nothing."""
    shown = planned(quoted(), tell(deposit_due="500.00 USD", reason="to be sure"))
    assert shown.nothing


def test_a_correction_sets_no_reaction_going() -> None:
    """A corrected case is told to the tools, but nothing is requested of them."""
    done = planned(quoted(), correct("completed"))
    assert done.later == ()
    assert not any("create invoice" in what for one in done.told for what in one.what)
    assert any("requires_invoicing" in what for one in done.told for what in one.what)


def test_the_plan_of_an_erasing_names_what_will_be_gone() -> None:
    """Each personal value that will be unreadable is named."""
    shown = planned(quoted(), erase())
    assert [(one.name, one.after) for one in shown.facts] == [("Customer name", "erased")]


# --- versions -----------------------------------------------------------------------------------


def adopted(version: int, text: str) -> DefinitionAdopted:
    return DefinitionAdopted(
        recorded_at=MORNING,
        by=Asker(),
        lifecycle="field_service",
        version=version,
        digest=f"digest {version}",
        text=text,
    )


def changed(old: str, new: str) -> list[Change]:
    assert old in TEXT
    texts = [adopted(1, TEXT), adopted(2, TEXT.replace(old, new))]
    first, second = versions(texts, "field_service")
    assert first.changes is None
    assert second.changes is not None
    return [*second.changes]


def test_a_version_tells_what_was_added() -> None:
    """A transition that the version before did not have is told with what is declared of it."""
    line = "  - {name: complete, from: scheduled, to: completed}\n"
    more = f"{line}  - {{name: redo, from: completed, to: scheduled, by: projects}}\n"
    (change,) = changed(line, more)
    assert (change.how, change.section, change.name) == ("added", "Transitions", "redo")
    assert ("to", "", "scheduled") in change.details


def test_a_version_tells_what_was_removed() -> None:
    """A transition that is no more is told by its name."""
    line = "  - {name: unschedule, from: scheduled, to: deposit_confirmed, by: projects}\n"
    (change,) = changed(line, "")
    assert (change.how, change.section, change.name) == ("removed", "Transitions", "unschedule")


def test_a_version_tells_what_means_something_else() -> None:
    """A limit and a word that changed are told with what they were and are."""
    (limit,) = changed("within: 3 days", "within: 2 days")
    assert (limit.how, limit.name) == ("changed", "deposit_confirmed")
    assert limit.details == (("within", "3 days", "2 days"),)
    (word,) = changed("completed: To invoice", "completed: ~")
    assert word.details == (("completed", "To invoice", "(not told)"),)


def test_the_same_text_changes_nothing() -> None:
    """Two versions of one meaning have nothing to tell."""
    lifecycle = shipped()["field_service"]
    assert changes(lifecycle.declaration, lifecycle.declaration) == []


def test_a_text_that_cannot_be_read_is_said_to_be_so() -> None:
    """A version that was written for another program hinders none of the others."""
    first, second, third = versions(
        [adopted(1, TEXT), adopted(2, "lifecycle: [\n"), adopted(3, TEXT)], "field_service"
    )
    assert (first.readable, second.readable, third.readable) == (True, False, True)
    assert third.changes is None
