"""Random declarations: nested, parallel and guarded states, up to about twenty."""

from collections.abc import Iterator, Sequence
from itertools import pairwise, product

from hypothesis import strategies as st

from lifecycle.chart import Chart, Configuration
from lifecycle.declaration import Declaration, Field, Place, State, Tool, Transition, walk

STATES_MAX = 20
DEPTH_MAX = 4
TOOL = "desk"


@st.composite
def declarations(draw: st.DrawFn) -> Declaration:
    """Declare what the library takes; it need not be of use to anybody."""
    names = iter([f"s{number}" for number in range(STATES_MAX)])
    states = draw_siblings(draw, names, depth=0, at_least=2)
    places = {place.id: place for place in walk(states)}
    rows: list[Transition] = []
    for index in range(draw(st.integers(1, 14))):
        row = draw_transition(draw, index, places)
        if row is not None and not in_two_regions([*rows, row], places):
            rows.append(row)
    return Declaration(
        lifecycle="random",
        version=1,
        title="Random",
        collection="cases",
        tools={TOOL: Tool(title="Desk")},
        states=states,
        transitions=tuple(rows),
        fields={"f": Field(type="number", owner=TOOL)},
    )


def draw_siblings(
    draw: st.DrawFn, names: Iterator[str], *, depth: int, at_least: int, regions: bool = False
) -> dict[str, State]:
    """Draw states that stand beside each other; regions run at once."""
    siblings: dict[str, State] = {}
    initial = draw(st.integers(0, 2))
    for number in range(draw(st.integers(at_least, 4))):
        name = next(names, None)
        if name is None:
            break
        kinds = ["leaf", "final"] if depth == DEPTH_MAX else ["leaf", "final", "nested", "parallel"]
        kind = draw(st.sampled_from(["nested", "leaf"] if regions else kinds))
        below = draw_below(draw, names, kind, depth)
        siblings[name] = State(
            owner=TOOL,
            initial=not regions and number == initial,
            final=kind == "final" and number > 0,
            parallel=kind == "parallel" and len(below) > 1,
            states=below,
        )
    return siblings


def draw_below(draw: st.DrawFn, names: Iterator[str], kind: str, depth: int) -> dict[str, State]:
    """Draw what stands in a state."""
    if kind not in {"nested", "parallel"}:
        return {}
    regions = kind == "parallel"
    return draw_siblings(
        draw, names, depth=depth + 1, at_least=2 if regions else 1, regions=regions
    )


def draw_transition(draw: st.DrawFn, index: int, places: dict[str, Place]) -> Transition | None:
    """Draw a row; None where it would lead out of an end."""
    names = st.sampled_from(sorted(places))
    sources = draw(st.lists(names, min_size=1, max_size=2, unique=True))
    ends = [one for one in sources if places[one].state.final]
    if ends:
        return None
    return Transition(
        name=f"t{draw(st.integers(0, 4))}",
        source=tuple(sources),
        to=draw(names),
        when=draw(st.sampled_from([None, f"f > {index}"])),
    )


def in_two_regions(rows: Sequence[Transition], places: dict[str, Place]) -> bool:
    """Tell whether one name stands in two regions of a parallel state: checks refuse that."""
    held: dict[tuple[str, str], str] = {}
    return any(
        held.setdefault((row.name, outer), region) != region
        for row in rows
        for source in row.sources
        for outer, region in pairwise((*places[source].above, source))
        if places[outer].state.parallel
    )


def every_verdict(
    chart: Chart, configuration: Configuration, name: str
) -> Iterator[dict[int, bool]]:
    """Let the conditions on the open transitions of a name hold and fail in every combination."""
    rows = [row for row in chart.open_rows(configuration) if chart.rows[row].name == name]
    guarded = [row for row in rows if row in chart.guards]
    for verdicts in product([True, False], repeat=len(guarded)):
        yield dict(zip(guarded, verdicts, strict=True))
