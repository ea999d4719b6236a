"""What a transition leads to: the library decides, and the chart remembers it rightly."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.chart import (
    JUDGED_MAX,
    Active,
    BadCondition,
    Chart,
    Configuration,
    Guard,
    TooManyConfigurations,
)
from lifecycle.comparable import comparable
from lifecycle.declaration import Declaration
from tests.lifecycle.charts import declarations, every_verdict
from tests.lifecycle.given import declared, shipped

NOWHERE = Active(frozenset(), ())
REACHED_MAX = 20
"""Configurations of a random chart that are looked at."""


def reached(chart: Chart) -> list[Configuration]:
    """List configurations where a case gets by transitions, or is put by staff."""
    try:
        found = chart.reachable(limit=500)
    except TooManyConfigurations:
        found = (chart.initial,)
    put = [chart.entered(state) for state in chart.places]
    return list(dict.fromkeys([*found, *put]))[:REACHED_MAX]


def is_whole(chart: Chart, configuration: Configuration) -> bool:
    """Tell, straight from the declaration, whether exactly one leaf of each region is active."""
    active = {name for leaf in configuration for name in (leaf, *chart.places[leaf].above)}
    for name, place in chart.places.items():
        below = [child for child in place.state.states if child in active]
        wanted = len(place.state.states) if place.state.parallel else bool(place.state.states)
        if name in active and len(below) != wanted:
            return False
    return len([name for name in active if not chart.places[name].above]) == 1


class TestMemory:
    @settings(max_examples=40, deadline=None)
    @given(declarations())
    def test_memory_and_library_agree(self, declaration: Declaration) -> None:
        """What is remembered is what the library says, for every place and every verdict."""
        chart, witness = Chart(declaration), Chart(declaration)
        for configuration in reached(chart):
            for name in {row.name for row in declaration.transitions}:
                for verdicts in every_verdict(chart, configuration, name):
                    first = chart.lead(configuration, name, verdicts)
                    again = chart.lead(configuration, name, verdicts)
                    assert first == again == witness.lead_anew(configuration, name, verdicts)

    @settings(max_examples=40, deadline=None)
    @given(declarations())
    def test_what_is_open_is_what_can_lead_somewhere(self, declaration: Declaration) -> None:
        """A name is open exactly where some verdicts make the library take it."""
        chart = Chart(declaration)
        for configuration in reached(chart):
            opened = {chart.rows[row].name for row in chart.open_rows(configuration)}
            for name in {row.name for row in declaration.transitions}:
                leads = [
                    chart.lead_anew(configuration, name, verdicts)
                    for verdicts in every_verdict(chart, configuration, name)
                ]
                assert (name in opened) == any(leads)

    @settings(max_examples=40, deadline=None)
    @given(declarations())
    def test_the_first_open_row_that_holds_is_taken(self, declaration: Declaration) -> None:
        """Of one name, the first of the open rows whose condition holds is the one taken."""
        chart = Chart(declaration)
        for configuration in reached(chart):
            opened = chart.open_rows(configuration)
            for name in {chart.rows[row].name for row in opened}:
                for verdicts in every_verdict(chart, configuration, name):
                    lead = chart.lead(configuration, name, verdicts)
                    holding = [
                        row
                        for row in opened
                        if chart.rows[row].name == name and verdicts.get(row, True)
                    ]
                    assert (lead.row if lead else None) == next(iter(holding), None)

    @settings(max_examples=40, deadline=None)
    @given(declarations())
    def test_configurations_are_whole(self, declaration: Declaration) -> None:
        """Wherever a case gets, or is put, exactly one leaf of each region is active."""
        chart = Chart(declaration)
        for configuration in reached(chart):
            assert is_whole(chart, configuration)
            assert chart.is_whole(configuration)

    @settings(max_examples=40, deadline=None)
    @given(declarations(), st.data())
    def test_what_is_not_whole_is_told(self, declaration: Declaration, data: st.DataObject) -> None:
        """Any other set of leaves is known to be none that a case can be in."""
        chart = Chart(declaration)
        some = data.draw(st.sets(st.sampled_from(chart.leaves), min_size=1))
        assert chart.is_whole(chart.ordered(some)) == is_whole(chart, chart.ordered(some))
        assert not chart.is_whole((*chart.initial, "elsewhere"))


def regions(end: str = "", title: str = "title: Both") -> Chart:
    """Two regions side by side, each with an end of its own."""
    return Chart(
        declared(
            f"""
lifecycle: twin
version: 1
title: Twin
collection: twins
tools: {{desk: {{title: Desk}}}}
states:
  both:
    {title}
    owner: desk
    parallel: true
    states:
      left:  {{states: {{a: {{}}, b: {{{end}}}}}}}
      right: {{states: {{c: {{}}, d: {{{end}}}}}}}
  over: {{owner: desk, final: true}}
transitions:
  - {{name: go_left, from: a, to: b}}
  - {{name: go_right, from: c, to: d}}
  - {{name: leave, from: both, to: over}}
"""
        ).declaration
    )


class TestRegions:
    def test_regions_move_side_by_side(self) -> None:
        """A transition in one region leaves the other where it is."""
        chart = regions()
        lead = chart.lead(("a", "c"), "go_right", {})
        assert lead is not None
        assert lead.configuration == ("a", "d")

    @pytest.mark.parametrize("end", ["", "final: true"])
    def test_a_case_whose_regions_have_all_ended_still_moves(self, end: str) -> None:
        """Where every region is at its end, what leads out of the whole is still open."""
        chart = regions(end)
        for configuration in (("a", "d"), ("b", "d")):
            lead = chart.lead(configuration, "leave", {})
            assert lead is not None
            assert lead.configuration == ("over",)

    def test_only_the_end_of_all_is_the_end(self) -> None:
        """A case has ended when every active leaf is final, or stands in a final state."""
        chart = regions("final: true")
        assert [chart.ended(one) for one in (("a", "d"), ("b", "d"), ("over",))] == [
            False,
            True,
            True,
        ]

    def test_too_many_configurations_name_the_regions(self) -> None:
        """Regions multiply; past the limit they are named."""
        with pytest.raises(TooManyConfigurations, match="left, right"):
            regions().reachable(limit=2)


def judged(text: str, active: Active = NOWHERE, **values: Any) -> bool:
    """Judge a condition over values that are compared as they are."""
    return Guard(text).judge(values, active).holds


class TestGuards:
    @pytest.mark.parametrize("text", ["n == 0.1", "n >= 0.1", "n * 3 == 0.3", "0.1 + 0.2 == n * 3"])
    def test_a_literal_is_as_it_is_written(self, text: str) -> None:
        """A tenth is a tenth, in comparisons and in arithmetic."""
        assert judged(text, n=comparable("number", Decimal("0.1")))

    @pytest.mark.parametrize("word", ["null", "true", "false", "&&", "a && b", "<", "!", "In('x')"])
    def test_words_in_quotes_are_kept(self, word: str) -> None:
        """Nothing inside quotes is rewritten on the way to the comparison."""
        guard = Guard(f'w == "{word}"')
        assert guard.judge({"w": word}, NOWHERE).holds
        assert not guard.judge({"w": f"{word} "}, NOWHERE).holds
        assert guard.fields == ("w",)

    def test_fields_and_states_are_listed_in_the_order_of_reading(self) -> None:
        """A condition knows which fields and states it asks about."""
        guard = Guard("b > a and (In('x') or b < 2) and not In('y')")
        assert (guard.fields, guard.states) == (("b", "a"), ("x", "y"))

    def test_in_asks_for_an_active_state(self) -> None:
        """In('…') holds for every active state, ancestors included, and is remembered by place."""
        chart, guard = regions(), Guard("In('both') and In('b')")
        assert guard.judge({}, chart.active(("b", "c"))).holds
        assert not guard.judge({}, chart.active(("a", "c"))).holds
        assert guard.judge({}, chart.active(("b", "c"))).holds

    @pytest.mark.parametrize(
        ("paid", "holds"), [("5.00 USD", True), ("4.99 USD", False), ("9.00 EUR", False)]
    )
    def test_another_currency_does_not_hold(self, paid: str, holds: bool) -> None:  # noqa: FBT001 - a column of the table above
        """Money compares within its currency; another one does not hold, and it is said why."""
        guard = Guard("paid >= due")
        values = {"paid": comparable("money", paid), "due": comparable("money", "5.00 USD")}
        for _ in range(2):
            verdict = guard.judge(values, NOWHERE)
            assert verdict.holds == holds
            assert bool(verdict.why) == ("EUR" in paid)

    @pytest.mark.parametrize(
        ("text", "holds"),
        [
            ("a + b == 5", True),
            ("a - b < 0 and -a < 0", True),
            ("a * b / 2 == 3", True),
            ("1 < a <= 2 < b", True),
            ("not (a == 2 or b == 2)", False),
            ("a / 0 > 1", False),
            ("a > 'x'", False),
        ],
    )
    def test_arithmetic_and_logic(self, text: str, holds: bool) -> None:  # noqa: FBT001 - a column of the table above
        """Sums, comparisons and logic work; what cannot be computed does not hold."""
        two, three = comparable("number", 2), comparable("number", 3)
        assert judged(text, a=two, b=three) == holds

    def test_truth_values_have_their_names(self) -> None:
        """`true` and `false` are values, not fields."""
        assert judged("flag == true", flag=True)
        assert Guard("flag == false").fields == ("flag",)

    def test_a_value_without_a_hash_is_judged_too(self) -> None:
        """What cannot be remembered is judged anew each time."""
        guard = Guard("a == b")
        assert guard.judge({"a": [1], "b": [1]}, NOWHERE).holds

    def test_memory_of_verdicts_is_bounded(self) -> None:
        """However many values come by, only so many verdicts are kept, and all are right."""
        guard = Guard("n > 10")
        for number in range(JUDGED_MAX + 20):
            value = comparable("number", number)
            assert guard.judge({"n": value}, NOWHERE).holds == (number > 10)
        assert len(guard._remembered) == JUDGED_MAX

    @pytest.mark.parametrize(
        "text",
        [
            "len(a) > 1",
            "a.strip() == 'x'",
            "In(b)",
            "In('a', 'b')",
            "In(state='a')",
            "a.__class__",
            "a.b",
            "a[0] == 1",
            "lambda: 1",
            "[x for x in a]",
            "a if b else c",
            "(a := 1)",
            "f'{a}'",
            "a > 1j",
            "a == None",
            "a == b'x'",
            "a is b",
            "a >",
            "",
            "a; b",
            "import os",
            "(" * 500 + "a" + ")" * 500,
            "\0",
        ],
    )
    def test_more_than_the_language_has_is_refused(self, text: str) -> None:
        """No calls but In, no attributes, no lambdas, no comprehensions, no half sentences."""
        with pytest.raises(BadCondition):
            Guard(text)


class TestPicture:
    @pytest.mark.parametrize("name", sorted(shipped()))
    def test_the_diagram_shows_all_that_is_declared(self, name: str) -> None:
        """Every state and every transition stands in the diagram, under its declared name."""
        chart = shipped()[name].chart
        lines = [line.strip() for line in chart.mermaid().splitlines()]
        for name_of_state, place in chart.places.items():
            drawn = f'state "{place.state.title}" as {name_of_state}'
            assert lines.count(drawn) + lines.count(drawn + " {") == 1, drawn
        arrows = [line.split(" --> ") for line in lines if " : " in line]
        drawn_arrows = [(start, *rest.split(" : ", 1)) for start, rest in arrows]
        for row in chart.rows:
            label = f"{row.name} [{row.when}]" if row.when else row.name
            for source in row.sources:
                ways = [
                    (start, end)
                    for start, end, said in drawn_arrows
                    if said == label
                    and source in (start, *chart.places[start].above)
                    and row.to in (end, *chart.places[end].above)
                ]
                assert len(ways) == 1, (source, row.to, label)

    def test_a_title_with_quotes_is_written_as_mermaid_wants_it(self) -> None:
        """Quotes inside a title do not end it."""
        title = 'title: "Both \\"sides\\""'
        assert 'state "Both #quot;sides#quot;" as both {' in regions(title=title).mermaid()
