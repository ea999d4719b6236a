"""The lifecycle's picture: what stands in it, and that nothing stands on anything else."""

import os
import subprocess
import sys
from itertools import combinations
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.declaration import Declaration, State, Tool, Transition, walk
from projections.geometry import Arrow, Box, Curve
from projections.layout import BAND, layout
from projections.picture import draw

SVG = "{http://www.w3.org/2000/svg}"
TOOLS = {
    "crm": Tool(title="HubSpot", record_for=("pipeline",)),
    "accounting": Tool(title="QuickBooks Online", record_for=("payment", "billing")),
    "projects": Tool(title="Jobber", record_for=("execution",)),
}


def declared(
    states: dict[str, State], *transitions: Transition, title: str = "Field-service job"
) -> Declaration:
    return Declaration(
        lifecycle="field_service",
        version=1,
        title=title,
        collection="jobs",
        tools=TOOLS,
        states=states,
        transitions=transitions,
    )


JOB = declared(
    {
        "quoted": State(title="Quoted", owner="pipeline", initial=True),
        "deposit_confirmed": State(title="Deposit confirmed", owner="payment", within="3 days"),
        "scheduled": State(title="Scheduled", owner="projects"),
        "completed": State(title="Completed", owner="execution"),
        "cancelled": State(title="Cancelled", owner="pipeline", final=True),
    },
    Transition(name="confirm_deposit", source="quoted", to="deposit_confirmed", auto=True),
    Transition(name="schedule", source="deposit_confirmed", to="scheduled"),
    Transition(name="unschedule", source="scheduled", to="deposit_confirmed"),
    Transition(name="reschedule", source="scheduled", to="scheduled"),
    Transition(name="complete", source="scheduled", to="completed"),
    Transition(name="force_complete", source="scheduled", to="completed"),
    Transition(name="cancel", source=("quoted", "deposit_confirmed", "scheduled"), to="cancelled"),
)

NESTED = declared(
    {
        "open": State(
            parallel=True,
            states={
                "money": State(states={"unpaid": State(), "paid": State()}, owner="payment"),
                "work": State(states={"planned": State(), "done": State()}, owner="execution"),
            },
        ),
        "closed": State(final=True, owner="billing"),
    },
    Transition(name="pay", source="unpaid", to="paid"),
    Transition(name="finish", source="planned", to="done"),
    Transition(name="close", source="open", to="closed"),
)


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - our own picture, and the test is that it parses


def groups(svg: str, mark: str) -> dict[str, list[ET.Element]]:
    found: dict[str, list[ET.Element]] = {}
    for element in parsed(svg).iter(f"{SVG}g"):
        if mark in element.attrib:
            found.setdefault(element.attrib[mark], []).append(element)
    return found


def classes(element: ET.Element) -> set[str]:
    return set(element.attrib.get("class", "").split())


def told(element: ET.Element) -> str:
    return element.findtext(f"{SVG}title") or ""


# What stands in the picture.


@pytest.mark.parametrize("declaration", [JOB, NESTED], ids=["flat", "nested"])
def test_everything_declared_is_drawn_once(declaration: Declaration) -> None:
    """Every state and every transition of a lifecycle stands in its picture exactly once."""
    svg = draw(declaration)

    states = {name: len(found) for name, found in groups(svg, "data-state").items()}
    moves = {name: len(found) for name, found in groups(svg, "data-transition").items()}

    assert states == {place.id: 1 for place in walk(declaration.states)}
    assert moves == {move.name: 1 for move in declaration.transitions}


def test_a_picture_is_heard_as_well_as_seen() -> None:
    """A screen reader is told the title, where the case is now, and every move."""
    svg = parsed(draw(JOB, current=["scheduled"]))
    described = svg.findtext(f"{SVG}desc") or ""

    assert svg.attrib["role"] == "img"
    assert svg.findtext(f"{SVG}title") == "Field-service job"
    assert "Now in Scheduled." in described
    assert "confirm deposit: from Quoted to Deposit confirmed by itself." in described
    assert set(svg.attrib["aria-labelledby"].split()) <= {e.attrib.get("id") for e in svg.iter()}


def test_a_state_tells_its_owner_and_its_time_limit() -> None:
    """A domain is told as the tool that is the record for it, and a limit as it was declared."""
    states = groups(draw(JOB), "data-state")

    assert told(states["deposit_confirmed"][0]).splitlines() == [
        "Deposit confirmed",
        "Owner: QuickBooks Online",
        "Time limit: 3 days",
    ]
    assert "Owner: Jobber" in told(states["scheduled"][0])
    assert "No time limit" in told(states["quoted"][0])


def test_a_child_shows_the_owner_around_it() -> None:
    """A state without an owner shows that of its nearest ancestor."""
    assert "Owner: Jobber" in told(groups(draw(NESTED), "data-state")["done"][0])


def test_current_states_are_marked_without_colour_too() -> None:
    """The current state, and no other, has a marker on its border; what holds it says so."""
    states = groups(draw(NESTED, current=["paid", "planned"]), "data-state")
    marked = {
        name
        for name, (group,) in states.items()
        if any("marker" in classes(shape) for shape in group)
    }
    current = {name for name, (group,) in states.items() if "current" in classes(group)}
    holding = {name for name, (group,) in states.items() if "holds" in classes(group)}

    assert marked == current == {"paid", "planned"}
    assert holding == {"open", "money", "work"}


def test_the_path_taken_is_emphasised_arm_by_arm() -> None:
    """Of an arrow with several sources only the arm that the case came along is emphasised."""
    svg = draw(JOB, current=["cancelled"], path=["confirm_deposit", "cancel"])
    moves = groups(svg, "data-transition")
    taken = {name for name, (group,) in moves.items() if "taken" in classes(group)}
    states = groups(svg, "data-state")
    passed = {name for name, (group,) in states.items() if "passed" in classes(group)}
    (cancel,) = (
        group
        for group in parsed(svg).iter(f"{SVG}g")
        if {"line", "line taken"} <= {shape.get("class") for shape in group}
    )

    assert taken == {"confirm_deposit", "cancel"}
    assert passed == {"quoted", "deposit_confirmed", "cancelled"}
    assert classes(cancel) == {"arrow"}


def test_moves_between_the_same_states_share_an_arrow() -> None:
    """Two ways from scheduled to completed are one arrow with two names on it."""
    arrows = [arrow for arrow in layout(JOB).arrows if len(arrow.transitions) > 1]

    (shared,) = arrows
    assert [JOB.transitions[index].name for index in shared.transitions] == [
        "complete",
        "force_complete",
    ]
    assert len(shared.heads) == len(shared.labels) == 1


def test_only_moves_that_make_themselves_are_dashed() -> None:
    """An auto transition has the class that dashes its line and the bolt before its name."""
    svg = draw(JOB)
    dashed = [g for g in parsed(svg).iter(f"{SVG}g") if classes(g) == {"arrow", "auto"}]
    bolts = {
        name
        for name, (group,) in groups(svg, "data-transition").items()
        if any("bolt" in classes(shape) for shape in group)
    }

    assert len(dashed) == 1
    assert bolts == {"confirm_deposit"}


def test_final_states_have_a_double_border() -> None:
    """A state is drawn with a second border exactly if it is final."""
    double = {
        name
        for name, (group,) in groups(draw(JOB), "data-state").items()
        if any("second" in classes(shape) for shape in group)
    }

    assert double == {"cancelled"}


def test_counts_are_shown_where_they_are_given() -> None:
    """The number of cases stands in its state, and nowhere else."""
    states = groups(draw(JOB, counts={"quoted": 1204, "gone": 3}), "data-state")
    shown = {
        name: [text.text for text in group.iter(f"{SVG}text") if "count" in classes(text)]
        for name, (group,) in states.items()
    }

    assert shown.pop("quoted") == ["1,204"]
    assert not any(shown.values())


def test_states_that_nobody_declared_are_passed_over() -> None:
    """A case from another version is drawn on this one without what this one does not know."""
    strange = Transition(name="vanish", source="quoted", to="nowhere")
    declaration = declared(JOB.states, *JOB.transitions, strange)

    assert "vanish" not in groups(draw(declaration, current=["gone"]), "data-transition")


HOSTILE = "</title><script>alert(1)</script>\"'&\x00\x1b]]>"


def test_titles_cannot_become_markup() -> None:
    """Whatever a title, an owner or a name contains is shown as text and never interpreted."""
    declaration = declared(
        {
            "one": State(title=HOSTILE, owner=HOSTILE, initial=True, within=HOSTILE),
            "two": State(title=HOSTILE, states={"inside": State(title=HOSTILE)}),
        },
        Transition(name="go", source="one", to="two", title=HOSTILE, by=HOSTILE, when=HOSTILE),
        title=HOSTILE,
    )
    svg = draw(declaration, current=["inside"])
    drawn = parsed(svg)

    assert "<script" not in svg
    assert {element.tag.removeprefix(SVG) for element in drawn.iter()} <= {
        *("svg", "title", "desc", "style", "g", "rect", "path", "circle", "text"),
    }
    assert drawn.findtext(f"{SVG}title") == HOSTILE.replace("\x00", "").replace("\x1b", "")


def test_a_picture_needs_nothing_from_elsewhere() -> None:
    """The document has one style of its own, no script, and refers to no other address."""
    svg = draw(NESTED)
    drawn = parsed(svg)

    assert len(list(drawn.iter(f"{SVG}style"))) == 1
    assert svg.count("http") == 1  # the name of SVG itself
    assert "url(" not in svg
    assert not [a for element in drawn.iter() for a in element.attrib if a.startswith("on")]


# Where it stands.


def test_time_runs_downward() -> None:
    """A move onward leads down, a move back leads up, by the longest path from the beginning."""
    geometry = layout(JOB)
    y = {spot.id: spot.box.y for spot in geometry.states}
    directions = {
        JOB.transitions[arrow.transitions[0]].name: arrow.heads[0].towards[1]
        for arrow in geometry.arrows
    }

    assert y["quoted"] < y["deposit_confirmed"] < y["scheduled"] < y["completed"]
    assert y["cancelled"] > y["scheduled"]
    assert directions == {
        **dict.fromkeys(("confirm_deposit", "schedule", "complete", "cancel"), 1.0),
        "unschedule": -1.0,
        "reschedule": 0.0,
    }


def test_parallel_regions_stand_side_by_side() -> None:
    """Between two regions runs one dashed line, and each lies on its side of it."""
    spots = {spot.id: spot for spot in layout(NESTED).states}
    (divider,) = spots["open"].dividers
    money, work = spots["money"].box, spots["work"].box

    assert money.x + money.width <= divider <= work.x
    assert (money.y, money.height) == (work.y, work.height)


def test_the_picture_stays_while_the_case_moves() -> None:
    """Which states are current changes how the picture looks and never where anything stands."""
    plain, moved = draw(JOB), draw(JOB, current=["scheduled"], path=["schedule"])

    assert [box(g) for g in parsed(plain).iter(f"{SVG}rect")] == [
        box(g) for g in parsed(moved).iter(f"{SVG}rect")
    ]


def box(rect: ET.Element) -> tuple[str | None, ...]:
    return tuple(rect.attrib.get(name) for name in ("x", "y", "width", "height"))


def test_the_same_lifecycle_gives_the_same_bytes() -> None:
    """A picture does not depend on the process that draws it, so it may be cached and compared."""
    program = (
        "import msgspec, sys; from lifecycle.declaration import Declaration;"
        "from projections.picture import draw;"
        "declaration = msgspec.json.decode(sys.stdin.read(), type=Declaration);"
        "print(draw(declaration, current={'paid', 'planned', 'done'}, path={'pay', 'finish'}))"
    )
    drawn = {
        subprocess.run(
            [sys.executable, "-c", program],
            input=msgspec.json.encode(NESTED),
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2", "3")
    }

    assert len(drawn) == 1
    assert drawn.pop().startswith(b"<svg")


# Laws, on charts that nobody would declare.


@st.composite
def charts(draw_from: st.DrawFn) -> Declaration:
    """Random lifecycles: nested, parallel, with moves from anywhere to anywhere."""
    count = draw_from(st.integers(1, 25))
    names = [f"s{number}" for number in range(count)]
    parents = [draw_from(st.integers(-1, number - 1)) for number in range(count)]
    text = st.text("aM iWö漢_", min_size=1, max_size=40)

    def grown(parent: int) -> dict[str, State]:
        return {
            names[number]: State(
                title=draw_from(st.none() | text),
                owner=draw_from(st.sampled_from([None, "crm", "payment"])),
                final=draw_from(st.booleans()),
                parallel=draw_from(st.booleans()),
                initial=draw_from(st.booleans()),
                states=grown(number),
            )
            for number in range(count)
            if parents[number] == parent
        }

    some = st.sampled_from(names)
    moves = draw_from(
        st.lists(
            st.tuples(
                st.lists(some, min_size=1, max_size=4, unique=True), some, text, st.booleans()
            ),
            max_size=20,
        )
    )
    transitions = [
        Transition(name=f"t{index}", source=tuple(sources), to=to, title=title, auto=auto)
        for index, (sources, to, title, auto) in enumerate(moves)
    ]
    return declared(grown(-1), *transitions)


some_charts = settings(max_examples=80, deadline=None)


def test_a_state_leads_where_it_is_told_to() -> None:
    """A link stands around its state and says what it leads to; other states are none."""
    links = {"quoted": "/jobs?state=quoted&a=<b>", "elsewhere": "/x"}
    drawn = ET.fromstring(draw(JOB, counts={"quoted": 1200}, links=links))  # noqa: S314 - our own
    (link,) = drawn.iter(f"{SVG}a")
    assert link.get("href") == "/jobs?state=quoted&a=<b>"
    assert link.get("aria-label") == "Quoted: 1,200"
    assert [state.get("data-state") for state in link] == ["quoted"]
    assert drawn.get("role") == "group"  # an image would hide its links from those who hear it


def test_a_picture_over_known_places_is_the_same() -> None:
    """Where everything stands may be found once and used again."""
    counts = {"quoted": 7}
    assert draw(JOB, counts=counts, geometry=layout(JOB, counts=counts)) == draw(JOB, counts=counts)


@some_charts
@given(charts())
def test_no_two_states_overlap(declaration: Declaration) -> None:
    """A state's box lies inside its parent's and apart from every other."""
    spots = {spot.id: spot.box for spot in layout(declaration).states}
    above = {place.id: place.above for place in walk(declaration.states)}

    assert spots.keys() == above.keys()
    for one, two in combinations(spots, 2):
        if one in above[two]:
            assert spots[one].contains(spots[two]), (one, two)
        else:
            assert not spots[one].overlaps(spots[two]), (one, two)


@some_charts
@given(charts())
def test_no_label_overlaps_anything(declaration: Declaration) -> None:
    """A label is apart from simple states, titles and other labels, and crosses no border."""
    geometry = layout(declaration)
    labels = [label.box for arrow in geometry.arrows for label in arrow.labels]
    compound = {place.id for place in walk(declaration.states) if place.state.states}
    whole = Box(0, 0, geometry.width, geometry.height)

    for one, two in combinations(labels, 2):
        assert not one.overlaps(two)
    for label in labels:
        assert whole.contains(label)
        for spot in geometry.states:
            title = Box(spot.box.x, spot.box.y, spot.box.width, BAND)
            inside = spot.id in compound and spot.box.contains(label)
            assert not (title if inside else spot.box).overlaps(label), spot.id


@some_charts
@given(charts())
def test_no_arrow_runs_over_what_it_has_no_business_with(declaration: Declaration) -> None:
    """An arrow meets no state but its own and those around them, and no label but its own."""
    geometry = layout(declaration)
    above = {place.id: place.above for place in walk(declaration.states)}
    compound = {place.id for place in walk(declaration.states) if place.state.states}

    for arrow in geometry.arrows:
        moves = [declaration.transitions[index] for index in arrow.transitions]
        ends = {move.to for move in moves}.union(*(curve.sources for curve in arrow.curves))
        around = {a for end in ends for a in (*above[end], end)} & compound
        others = [
            label for other in geometry.arrows if other is not arrow for label in other.labels
        ]
        barred = [spot.box for spot in geometry.states if spot.id not in around]
        for crossed in barred + [label.box for label in others]:
            for curve in arrow.curves:
                assert not any(piece.overlaps(crossed) for piece in pieces(curve))


def pieces(curve: Curve) -> list[Box]:
    """Give the boxes around a curve's three pieces, a hair narrower than they are."""
    corners = [sorted(pair) for pair in zip(curve.points, curve.points[1:], strict=False)]
    return [
        Box(
            min(a[0], b[0]),
            min(a[1], b[1]) + 0.001,
            abs(a[0] - b[0]),
            abs(a[1] - b[1]) - 0.002,
        )
        for a, b in corners
    ]


@some_charts
@given(charts())
def test_every_move_is_drawn_from_each_of_its_sources(declaration: Declaration) -> None:
    """For each source of each transition there is one arrow, with a name and a tip."""
    geometry = layout(declaration)

    def leaving(index: int, source: str) -> list[Arrow]:
        return [
            arrow
            for arrow in geometry.arrows
            if index in arrow.transitions
            and (
                any(source in curve.sources for curve in arrow.curves)
                or (arrow.loop and source == declaration.transitions[index].to)
            )
        ]

    for index, move in enumerate(declaration.transitions):
        for source in move.sources:
            (arrow,) = leaving(index, source)
            assert arrow.heads
            assert any(index in label.transitions for label in arrow.labels)


@some_charts
@given(charts(), st.data())
def test_any_chart_is_well_formed(declaration: Declaration, data: st.DataObject) -> None:
    """Whatever is declared, the picture is XML with each state once, the current ones marked."""
    names = [place.id for place in walk(declaration.states)]
    current = data.draw(st.sets(st.sampled_from(names)))
    states = groups(draw(declaration, current=current), "data-state")

    assert sorted(states) == sorted(names)
    assert {n for n, (group,) in states.items() if "current" in classes(group)} == current
