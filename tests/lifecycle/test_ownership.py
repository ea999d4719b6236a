"""Whose word counts: for states, transitions, openings and fields."""

import pytest

from lifecycle.model import Lifecycle
from lifecycle.ownership import Ownership
from tests.lifecycle.given import declared, shipped

DESK = """
lifecycle: desk
version: 1
title: Desk
collection: desks
tools:
  front: {title: Front, record_for: [intake, advice]}
  back:  {title: Back, record_for: [work]}
fields:
  a: {type: text, owner: advice}
  b: {type: text, owner: {doing: work, "*": front}}
  c: {type: text, owner: {doing: back}}
states:
  asked: {owner: intake}
  doing:
    owner: work
    states:
      begun:   {}
      checked: {owner: advice}
  done: {owner: back, final: true}
transitions:
  - {name: start, from: asked, to: doing}
  - {name: check, from: begun, to: checked}
  - {name: finish, from: checked, to: done, by: [intake, advice, work]}
"""


@pytest.fixture
def ownership() -> Ownership:
    return declared(DESK).ownership


def test_a_domain_stands_for_the_tool_that_is_the_record_for_it(ownership: Ownership) -> None:
    """Whether a tool or its domain is named makes no difference; what is neither is nobody."""
    assert [ownership.tool(name) for name in ("front", "advice", "work", "nobody")] == [
        "front",
        "front",
        "back",
        None,
    ]


def test_a_state_without_an_owner_has_its_ancestors(ownership: Ownership) -> None:
    """The nearest ancestor's owner counts, and an own one goes before it."""
    assert ownership.states == {
        "asked": "front",
        "doing": "back",
        "begun": "back",
        "checked": "front",
        "done": "back",
    }


def test_a_transition_belongs_to_the_owner_of_where_it_leads(ownership: Ownership) -> None:
    """Unless `by` names others; each tool is named once, whatever it is called by."""
    assert ownership.makers == (("back",), ("front",), ("front", "back"))


def test_a_case_is_opened_by_the_owner_of_where_it_begins(ownership: Ownership) -> None:
    """Without `opened_by`, the owner of the initial state opens."""
    assert ownership.openers(["asked"]) == ("front",)
    also = declared(DESK.replace("tools:", "opened_by: [back, front]\ntools:"))
    assert also.ownership.openers(["asked"]) == ("back", "front")


@pytest.mark.parametrize(
    ("field", "in_asked", "in_doing"),
    [("a", "front", "front"), ("b", "front", "back"), ("c", None, "back")],
)
def test_a_fields_owner_may_follow_the_state(
    ownership: Ownership, field: str, in_asked: str | None, in_doing: str
) -> None:
    """An entry serves its state and all below it; `*` the rest; without one, nobody."""
    assert ownership.field_owner(field, {"asked"}) == in_asked
    assert ownership.field_owner(field, {"doing", "begun"}) == in_doing
    assert set(ownership.field_owners(field)) == {in_asked, in_doing} - {None}


@pytest.mark.parametrize("lifecycle", shipped().values(), ids=shipped())
class TestShipped:
    def test_every_truth_has_somebody(self, lifecycle: Lifecycle) -> None:
        """Every leaf and every transition belongs to a tool of the lifecycle."""
        tools = set(lifecycle.declaration.tools)
        assert all(lifecycle.ownership.states[leaf] in tools for leaf in lifecycle.chart.leaves)
        assert all(makers and set(makers) <= tools for makers in lifecycle.ownership.makers)

    def test_every_field_has_one_owner_everywhere(self, lifecycle: Lifecycle) -> None:
        """In whatever configuration, a field belongs to exactly one tool."""
        for configuration in lifecycle.chart.configurations:
            active = lifecycle.chart.active(configuration).ids
            for field in lifecycle.fields:
                assert lifecycle.ownership.field_owner(field, active) in lifecycle.declaration.tools

    def test_a_tool_reads_what_it_owns_or_is_told(self, lifecycle: Lifecycle) -> None:
        """Personal fields that a tool neither owns nor reads are not for it."""
        for tool in lifecycle.declaration.tools:
            told = lifecycle.declaration.reads.get(tool, {})
            hidden = set(lifecycle.fields) - lifecycle.readable(tool)
            assert hidden <= lifecycle.personal
            assert not hidden & set(told)
            assert not any(tool in lifecycle.ownership.field_owners(field) for field in hidden)
