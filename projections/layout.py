"""Where everything in a picture of a lifecycle stands: pure, no text is written here.

The layout is layered, from top to bottom, after Sugiyama, Tagawa and Toda (1981), one level of
nesting at a time:

1. States stand in even ranks, by the longest path from the initial one; labels and the bends of
   long arrows stand in the odd ranks between, as small nodes of their own.
2. `rows` finds the order within the ranks, and every x.
3. A compound state is laid out first and is then one box for its parent; an arrow over its border
   goes through a port, which is a node of the first or last rank inside.

So no box, label or passing arrow can lie on another: each has its place in a rank, and between two
ranks are only curves.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from lifecycle.declaration import Declaration, State, walk
from projections.geometry import Arrow, Box, Curve, Geometry, Head, Label, Spot, Start
from projections.lettering import (
    LABEL_LINE,
    LABEL_SIZE,
    OWNER_SIZE,
    OWNER_WIDTH_MAX,
    TITLE_LINE,
    TITLE_SIZE,
    TITLE_WIDTH_MAX,
    broken,
    count_width,
    fit,
    grouped,
    label_line,
    tool_title,
    width_of,
    words_of,
)
from projections.rows import START, Joint, Node, Rows, Side, align, spread

LEAF_WIDTH_MIN = 116.0
PADDING, MARGIN, BAND = 16.0, 18.0, 40.0
"""Space around the inside of a compound box; around the picture; height of a compound's title."""
BOLT_WIDTH, LOOP_WIDTH = 12.0, 26.0
GAP_MIN, GAP_MAX = 19.0, 46.0
"""Height of the space between two ranks, by how far its arrows go sideways."""


def layout(declaration: Declaration, *, counts: Mapping[str, int] | None = None) -> Geometry:
    """Find the place of everything in the picture; a transition of unknown states has none.

    It depends on the declaration, and on `counts` only by their width: the picture of a case does
    not move while the case does.
    """
    return _Layout(declaration, counts or {}).geometry()


@dataclass(frozen=True)
class _Move:
    """An arrow before it has a place: its level is the innermost state around both its ends."""

    index: int
    level: str
    sources: tuple[str, ...]
    target: str
    transitions: tuple[int, ...]


@dataclass(frozen=True)
class _Visit:
    """An arrow that meets a compound state's border from outside."""

    move: int
    side: Side
    entering: bool
    sources: frozenset[str]


@dataclass(eq=False)
class _Level:
    """The inside of one state (or of the whole, whose id is empty), laid out for itself."""

    id: str
    states: dict[str, Node]
    last: int
    """The rank of the ports below."""
    nodes: list[Node] = field(default_factory=list)
    joints: list[Joint] = field(default_factory=list)
    ports: dict[tuple[int, Side], Node] = field(default_factory=dict)
    bands: dict[int, tuple[float, float]] = field(default_factory=dict)
    inner: dict[str, "_Level"] = field(default_factory=dict)
    left: float = 0.0
    width: float = 0.0
    height: float = 0.0

    def port(self, move: int, side: Side) -> Node:
        """Give the place where an arrow goes over the border, made when first asked for."""
        if (move, side) not in self.ports:
            rank = 0 if side == "top" else self.last
            self.ports[move, side] = Node("port", rank, 5, 5, move=move)
            self.nodes.append(self.ports[move, side])
        return self.ports[move, side]


class _Layout:
    def __init__(self, declaration: Declaration, counts: Mapping[str, int]) -> None:
        self.declaration = declaration
        self.counts = counts
        self.places = {place.id: place for place in walk(declaration.states)}
        self.order = {state: index for index, state in enumerate(self.places)}
        self.moves: list[_Move] = []
        self.loops: dict[str, list[int]] = defaultdict(list)
        self._gather()
        self.spots: list[Spot] = []
        self.curves: dict[int, list[Curve]] = defaultdict(list)
        self.heads: dict[int, list[Head]] = defaultdict(list)
        self.labels: dict[int, list[Label]] = defaultdict(list)
        self.loop_arrows: list[Arrow] = []
        self.starts: list[Start] = []

    def geometry(self) -> Geometry:
        whole = self._arrange("", ())
        self._emit(whole, MARGIN - whole.left, MARGIN)
        arrows = [
            Arrow(
                move.transitions,
                tuple(self.curves[move.index]),
                tuple(self.heads[move.index]),
                tuple(self.labels[move.index]),
            )
            for move in self.moves
        ]
        return Geometry(
            width=whole.width + 2 * MARGIN,
            height=whole.height + 2 * MARGIN,
            states=tuple(self.spots),
            arrows=(*arrows, *self.loop_arrows),
            starts=tuple(self.starts),
        )

    # Which arrows there are.

    def _line(self, state: str) -> tuple[str, ...]:
        """List all that is around the state, from the whole inward, and itself."""
        return ("", *self.places[state].above, state)

    def _child(self, level: str, state: str) -> str:
        """Find the child of the level that is the state or holds it; the level for itself."""
        line = self._line(state)
        at = line.index(level) + 1
        return line[at] if at < len(line) else level

    def _gather(self) -> None:
        gathered: dict[tuple[str, tuple[str, ...], str], list[int]] = defaultdict(list)
        for index, move in enumerate(self.declaration.transitions):
            if move.to not in self.places:
                continue
            by_level: dict[str, set[str]] = defaultdict(set)
            for source in move.sources:
                if source == move.to:
                    self.loops[source].append(index)
                elif source in self.places:
                    shared = [a for a in self._line(source) if a in self._line(move.to)]
                    by_level[shared[-1]].add(source)
            for level, sources in by_level.items():
                ordered = tuple(sorted(sources, key=self.order.__getitem__))
                gathered[level, ordered, move.to].append(index)
        self.moves = [
            _Move(number, level, sources, target, tuple(indices))
            for number, ((level, sources, target), indices) in enumerate(gathered.items())
        ]

    def _children(self, level: str) -> Mapping[str, State]:
        return self.places[level].state.states if level else self.declaration.states

    def _is_parallel(self, level: str) -> bool:
        return bool(level) and self.places[level].state.parallel

    # Ranks: by the longest path, back edges left out.

    def _ranks(self, level: str) -> dict[str, int]:
        children = list(self._children(level))
        ranks = dict.fromkeys(children, 2)
        if self._is_parallel(level):
            return ranks
        first = initial(self._children(level))
        ordered = sorted(children, key=lambda child: child != first)
        for child, following in _forward(ordered, self._after(level)):
            for state in following:
                ranks[state] = max(ranks[state], ranks[child] + 2)
        return ranks

    def _after(self, level: str) -> dict[str, list[str]]:
        """Which children of a level follow each other by its arrows, in the declared order."""
        after: dict[str, set[str]] = {child: set() for child in self._children(level)}
        for move in self.moves:
            if move.level == level and level != move.target:
                target = self._child(level, move.target)
                for source in move.sources:
                    if source != level:
                        after[self._child(level, source)].add(target)
        return {child: sorted(then, key=self.order.__getitem__) for child, then in after.items()}

    # One level: nodes, joints, order, places.

    def _arrange(self, level: str, visits: Iterable[_Visit]) -> _Level:
        ranks = self._ranks(level)
        states = {child: Node("state", rank, id=child) for child, rank in ranks.items()}
        placed = _Level(level, states, max(ranks.values(), default=0) + 2)
        placed.nodes += [self._title(level), *states.values()] if level else states.values()
        first = initial(self._children(level))
        if first and not self._is_parallel(level):
            dot = Node("dot", 1, 6, 6, 10)
            placed.nodes.append(dot)
            placed.joints.append(Joint(dot, states[first], START, frozenset()))
        for move in self.moves:
            if move.level == level:
                self._lead(placed, move)
        for visit in visits:
            self._pass(placed, visit)
        for child in states.values():
            self._size(placed, child)
        self._settle(placed)
        self._measure(placed)
        return placed

    def _settle(self, placed: _Level) -> None:
        """Find the order in the ranks, then every x."""
        rows = Rows(placed.nodes, placed.joints)
        rows.reorder(keep=2 if self._is_parallel(placed.id) else None)
        simple = [node for node in placed.states.values() if node.id not in placed.inner]
        for node in simple:
            spread(node, rows, room=self._room(node.id))
        rows.settle()
        for node in simple:
            align(node, rows, room=self._room(node.id))

    def _title(self, level: str) -> Node:
        state = self.places[level].state
        title = fit(state.title or words_of(level), TITLE_SIZE, TITLE_WIDTH_MAX, bold=True)
        width = width_of(title, TITLE_SIZE, bold=True) + count_width(self.counts.get(level)) + 10
        if state.owner:
            owner = tool_title(self.declaration, state.owner)
            fitted = fit(owner, OWNER_SIZE, OWNER_WIDTH_MAX)
            width = max(width, width_of(fitted, OWNER_SIZE))
        return Node("title", 0, 0, width, BAND, id=title)

    def _lead(self, placed: _Level, move: _Move) -> None:
        """Draw an arrow of this level: a trunk from above, one from below, a label on each."""
        sources: dict[Node, set[str]] = defaultdict(set)
        for source in move.sources:
            begin = placed.states.get(self._child(placed.id, source))
            sources[begin or placed.port(move.index, "top")].add(source)
        end = placed.states.get(self._child(placed.id, move.target))
        target = end or placed.port(move.index, "bottom")
        above = {node: names for node, names in sources.items() if node.rank < target.rank}
        below = {node: names for node, names in sources.items() if node.rank > target.rank}
        beside = {node: names for node, names in sources.items() if node.rank == target.rank}
        labels: list[Node] = []
        for group in (above, below):
            if group:
                trunk = self._trunk(placed, move.index, group, target)
                # Many sources have their name where they have met, one has it where it leaves.
                labels.append(trunk[-1] if len(group) > 1 else trunk[0])
        if beside:
            labels.append(Node("label", target.rank + 1))
            placed.nodes.append(labels[-1])
            for node, names in beside.items():
                placed.joints.append(Joint(node, labels[-1], move.index, frozenset(names)))
            everything = frozenset(name for names in beside.values() for name in names)
            turn = Joint(target, labels[-1], move.index, everything, upward=True, turns=True)
            placed.joints.append(turn)
        for label in labels:
            label.kind, label.move, label.again = "label", move.index, label is not labels[0]
            width, label.height = self._label_size(move.transitions)
            label.left = label.right = width / 2

    @staticmethod
    def _trunk(
        placed: _Level, move: int, group: Mapping[Node, set[str]], target: Node
    ) -> list[Node]:
        """Draw one line towards the target that the sources join where they stand.

        All sources stand on one side of the target. The answer is the line's bends, in its order.
        """
        upward = next(iter(group)).rank > target.rank
        step = -1 if upward else 1
        begin = (max if upward else min)(node.rank for node in group) + step
        bends = {
            rank: Node("bend", rank, 4, 4, move=move) for rank in range(begin, target.rank, step)
        }
        placed.nodes += bends.values()
        pieces = [(node, bends[node.rank + step], frozenset(group[node])) for node in group]
        carried: frozenset[str] = frozenset()
        for rank, bend in bends.items():
            joined = [names for node, names in group.items() if node.rank + step == rank]
            carried = carried.union(*joined)
            pieces.append((bend, bends.get(rank + step, target), carried))
        for begins, ends, names in pieces:
            upper, lower = (ends, begins) if upward else (begins, ends)
            placed.joints.append(Joint(upper, lower, move, names, upward))
        return list(bends.values())

    def _label_size(self, transitions: Sequence[int]) -> tuple[float, float]:
        moves = [self.declaration.transitions[index] for index in transitions]
        lines = [
            width_of(label_line(named[0]), LABEL_SIZE, bold=True)
            + (BOLT_WIDTH if named[0].auto else 0)
            for named in grouped(moves)
        ]
        return max(lines) + 10, len(lines) * LABEL_LINE + 6

    def _pass(self, placed: _Level, visit: _Visit) -> None:
        """Go on inside with an arrow of a level above, from or to its port."""
        port = placed.port(visit.move, visit.side)
        if visit.move == START:
            return
        move = self.moves[visit.move]
        if visit.entering:
            if move.target != placed.id:
                target = placed.states[self._child(placed.id, move.target)]
                self._trunk(placed, move.index, {port: set(visit.sources)}, target)
            return
        group: dict[Node, set[str]] = defaultdict(set)
        for source in move.sources:
            if placed.id in self._line(source)[:-1]:
                group[placed.states[self._child(placed.id, source)]].add(source)
        if group:
            self._trunk(placed, move.index, group, port)

    def _size(self, placed: _Level, node: Node) -> None:
        """How much room a state takes, its loop included."""
        state = self.places[node.id].state
        if state.states:
            inner = self._arrange(node.id, _visits(node, placed.joints))
            placed.inner[node.id] = inner
            node.left = node.right = inner.width / 2
            node.height = inner.height
            middle = inner.left + inner.width / 2
            node.ports = {
                (port.move, "top" if port.rank == 0 else "bottom"): port.x - middle
                for port in inner.ports.values()
            }
        else:
            lines = broken(state.title or words_of(node.id))
            owner = fit(self._owner(node.id), OWNER_SIZE, OWNER_WIDTH_MAX)
            text = max(
                *(width_of(line, TITLE_SIZE, bold=True) for line in lines),
                width_of(owner, OWNER_SIZE),
            )
            width = max(LEAF_WIDTH_MIN, text + 34 + count_width(self.counts.get(node.id)))
            node.left = node.right = width / 2
            node.height = len(lines) * TITLE_LINE + (15 if owner else 0) + 20
        node.right += self._room(node.id)

    def _room(self, state: str) -> float:
        """Measure what a state's moves to itself take, right of it."""
        loops = self.loops.get(state)
        return LOOP_WIDTH + self._label_size(loops)[0] if loops else 0.0

    def _owner(self, state: str) -> str:
        for at in reversed(self._line(state)[1:]):
            owner = self.places[at].state.owner
            if owner:
                return tool_title(self.declaration, owner)
        return ""

    # Sizes and places.

    def _measure(self, placed: _Level) -> None:
        """Stack the bands of the ranks from top to bottom, and put a box around all."""
        rows: dict[int, list[Node]] = defaultdict(list)
        for node in placed.nodes:
            rows[node.rank].append(node)
        y = 0.0
        order = sorted(rows)
        for rank in order:
            height = max(self._tall(node) for node in rows[rank])
            placed.bands[rank] = (y, y + height)
            for node in rows[rank]:
                node.y = y + (height - node.height) / 2
                if self._is_parallel(placed.id) and node.id in placed.inner:
                    node.y, node.height = y, height
            y += height
            if rank != order[-1]:
                y += self._gap(placed, rank)
        ends_in_ports = all(node.kind == "port" for node in rows[order[-1]]) if order else False
        padding = PADDING if placed.id else 0.0
        placed.height = y if ends_in_ports or not placed.id else y + padding
        placed.left = min((node.x - node.left for node in placed.nodes), default=0.0) - padding
        right = max((node.x + node.right for node in placed.nodes), default=0.0) + padding
        placed.width = right - placed.left

    def _tall(self, node: Node) -> float:
        if node.id in self.loops:
            return max(node.height, self._label_size(self.loops[node.id])[1])
        return node.height

    @staticmethod
    def _gap(placed: _Level, rank: int) -> float:
        aside = [
            abs(j.upper.x + j.end(of=j.upper) - j.lower.x - j.end(of=j.lower))
            for j in placed.joints
            if j.upper.rank == rank
        ]
        return min(GAP_MAX, max(GAP_MIN, max(aside, default=0.0) * 0.3))

    def _emit(self, placed: _Level, x: float, y: float) -> None:
        """Move a level, laid out for itself, to its place in the picture, and all inside it."""
        for node in placed.nodes:
            if node.kind == "state":
                self._emit_state(placed, node, x, y)
            elif node.kind == "label":
                top, width = y + node.y, node.left + node.right
                box = Box(x + node.x - node.left, top, width, node.height)
                move = self.moves[node.move]
                self.labels[node.move].append(Label(move.transitions, box, node.again))
        for joint in placed.joints:
            curve = self._curve(placed, joint, x, y)
            head = self._joint_head(placed, joint, curve)
            if joint.move == START and head:
                dot = (x + joint.upper.x, y + joint.upper.y + joint.upper.height / 2)
                self.starts.append(Start(dot, curve, head))
                continue
            self.curves[joint.move].append(curve)
            if head and head not in self.heads[joint.move]:
                self.heads[joint.move].append(head)

    def _emit_state(self, placed: _Level, node: Node, x: float, y: float) -> None:
        state, inner = self.places[node.id].state, placed.inner.get(node.id)
        loops = self.loops.get(node.id, [])
        width = node.left + node.right - self._room(node.id)
        box = Box(x + node.x - node.left, y + node.y, width, node.height)
        lines = broken(state.title or words_of(node.id))
        dividers: tuple[float, ...] = ()
        if inner:
            lines = (next(n.id for n in inner.nodes if n.kind == "title"),)
            if state.parallel:
                regions = [n for n in inner.nodes if n.kind == "state"]
                dividers = tuple(
                    box.x - inner.left + (one.x + one.right + two.x - two.left) / 2
                    for one, two in pairwise(regions)
                )
        region = self._is_parallel(placed.id) and bool(inner)
        self.spots.append(Spot(node.id, box, lines, dividers, region))
        if loops:
            middle, (label_width, height) = box.y + box.height / 2, self._label_size(loops)
            label = Box(box.x + width + LOOP_WIDTH, middle - height / 2, label_width, height)
            loop = Box(box.x + width, middle - 9, LOOP_WIDTH - 4, 18)
            head = Head((box.x + width, middle + 9), (-1.0, 0.0))
            labels = (Label(tuple(loops), label, again=False),)
            self.loop_arrows.append(Arrow(tuple(loops), (), (head,), labels, loop))
        if inner:
            self._emit(inner, box.x - inner.left, box.y)

    def _curve(self, placed: _Level, joint: Joint, x: float, y: float) -> Curve:
        """From node to node: straight through the rank's band, and curved between the bands."""
        upper, lower = joint.upper, joint.lower
        upper_x = x + upper.x + joint.end(of=upper)
        lower_x = x + lower.x + joint.end(of=lower)
        below, above = placed.bands[upper.rank], placed.bands[lower.rank]
        # A bend's own band belongs to the piece that leaves it, so that no dash is drawn twice.
        starts, ends = upper.y + upper.height, lower.y
        if upper.id in placed.inner:
            starts = upper.y + placed.inner[upper.id].height
        if upper.kind in {"bend", "label"}:
            starts = below[1] if joint.upward else below[0]
        if lower.kind in {"bend", "label"}:
            ends = above[1] if joint.upward and not joint.turns else above[0]
        if upper.kind == "port":
            starts = below[0]
        if lower.kind == "port":
            ends = above[1]
        points = (
            (upper_x, y + starts),
            (upper_x, y + below[1]),
            (lower_x, y + above[0]),
            (lower_x, y + ends),
        )
        if joint.upward:
            return Curve((points[3], points[2], points[1], points[0]), joint.sources)
        return Curve(points, joint.sources)

    def _joint_head(self, placed: _Level, joint: Joint, curve: Curve) -> Head | None:
        """Tip the arrow, where this piece comes to the state it leads to."""
        end = joint.upper if joint.upward else joint.lower
        target = end.id if end.kind == "state" else ""
        if end.kind == "port" and joint.move != START:
            move = self.moves[joint.move]
            target = placed.id if move.level == placed.id == move.target else ""
        wanted = self.moves[joint.move].target if joint.move != START else target
        if not target or target != wanted:
            return None
        return Head(curve.points[3], (0.0, -1.0 if joint.upward else 1.0))


def _forward(
    children: Iterable[str], after: Mapping[str, list[str]]
) -> Iterator[tuple[str, list[str]]]:
    """Give each child with those that follow it, earlier ones first, the arrows back left out.

    An arrow leads back if it closes a circle in a walk that begins with the first child.
    """
    finished: dict[str, list[str]] = {}
    standing: set[str] = set()

    def visit(child: str) -> None:
        standing.add(child)
        forward = [following for following in after[child] if following not in standing]
        for following in forward:
            if following not in finished:
                visit(following)
        standing.discard(child)
        finished[child] = forward

    for child in children:
        if child not in finished:
            visit(child)
    return reversed(finished.items())


def _visits(node: Node, joints: Iterable[Joint]) -> Iterator[_Visit]:
    """Collect what comes to a compound state's border, each once per side."""
    found: dict[tuple[int, Side], tuple[bool, frozenset[str]]] = {}
    for joint in joints:
        if node in {joint.upper, joint.lower}:
            side: Side = "bottom" if node is joint.upper else "top"
            entering = joint.upward == (node is joint.upper)
            _, sources = found.get((joint.move, side), (entering, frozenset()))
            found[joint.move, side] = (entering, sources | joint.sources)
    for (move, side), (entering, sources) in found.items():
        yield _Visit(move, side, entering, sources)


def initial(states: Mapping[str, State]) -> str | None:
    """Find the child that is entered first: the one that says so, else the first."""
    marked = (name for name, state in states.items() if state.initial)
    return next(marked, next(iter(states), None))
