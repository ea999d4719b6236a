"""The ranks of a layout: each a row of nodes, ordered, and then placed from left to right.

The order follows the barycentres of a node's neighbours; the x follow from least squares that keep
the order and the distances.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from typing import Literal

SWEEPS_ORDER, SWEEPS_PLACE = 16, 100
KINK_MAX = 60.0
"""A step aside in a long line that is smaller than this is better none."""

START = -1
"""Stands for a move where the arrow from the initial dot is meant."""

Side = Literal["top", "bottom"]


@dataclass(eq=False)
class Node:
    """Something with a place in a rank: a state, a label, a bend, a port, a title or a dot."""

    kind: Literal["state", "label", "bend", "port", "title", "dot"]
    rank: int
    left: float = 0.0
    right: float = 0.0
    """How far it reaches to either side of its x."""
    height: float = 0.0
    id: str = ""
    move: int = -1
    again: bool = False
    ports: dict[tuple[int, Side], float] = field(default_factory=dict)
    """Where arrows meet it, from its x."""
    x: float = 0.0
    y: float = 0.0


@dataclass(eq=False)
class Joint:
    """A piece of an arrow between neighbouring ranks."""

    upper: Node
    lower: Node
    move: int
    sources: frozenset[str]
    upward: bool = False
    turns: bool = False
    """It comes up again from a label that all arms of its arrow go down to."""

    def end(self, *, of: Node) -> float:
        """Where it meets one of its nodes, from that node's x."""
        side: Side = "bottom" if of is self.upper else "top"
        return of.ports.get((self.move, side), 0.0)


class Rows:
    """The ranks of one level, ordered and then placed from left to right."""

    def __init__(self, nodes: Iterable[Node], joints: Iterable[Joint]) -> None:
        self.rows: dict[int, list[Node]] = defaultdict(list)
        for node in nodes:
            self.rows[node.rank].append(node)
        self.up: dict[Node, list[Joint]] = defaultdict(list)
        self.down: dict[Node, list[Joint]] = defaultdict(list)
        for joint in joints:
            self.down[joint.upper].append(joint)
            self.up[joint.lower].append(joint)
        self.ranks = sorted(self.rows)
        self.at: dict[Node, int] = {}
        self._number()

    def _number(self) -> None:
        for row in self.rows.values():
            self.at.update((node, index) for index, node in enumerate(row))

    def position(self, node: Node, joint: Joint) -> float:
        """Give the place in its row, and within a compound the place of the port."""
        return self.at[node] + joint.end(of=node) / (node.left + node.right + 1) * 0.9

    def reorder(self, *, keep: int | None) -> None:
        """Sweeps of barycentres, down and up; the order with the fewest crossings is kept."""
        best = {rank: list(row) for rank, row in self.rows.items()}
        fewest = self.crossings()
        for sweep in range(SWEEPS_ORDER):
            if not fewest:
                break
            downward = sweep % 2 == 0
            for rank in self.ranks if downward else reversed(self.ranks):
                if rank != keep:
                    self.rows[rank].sort(key=self._barycentre(downward=downward))
                    self.at.update((node, i) for i, node in enumerate(self.rows[rank]))
            crossings = self.crossings()
            if crossings < fewest:
                best, fewest = {rank: list(row) for rank, row in self.rows.items()}, crossings
        self.rows.update(best)
        self._number()

    def _barycentre(self, *, downward: bool) -> Callable[[Node], float]:
        def key(node: Node) -> float:
            if node.kind == "title":
                return -1.0
            joints = self.up[node] if downward else self.down[node]
            if not joints:
                return float(self.at[node])
            ends = [(j.upper if downward else j.lower, j) for j in joints]
            return sum(self.position(end, joint) for end, joint in ends) / len(ends)

        return key

    def crossings(self) -> int:
        """How many pairs of pieces cross, all ranks together."""
        crossed = 0
        for rank in self.ranks:
            joints = [joint for node in self.rows[rank] for joint in self.down[node]]
            ends = [(self.position(j.upper, j), self.position(j.lower, j)) for j in joints]
            ends.sort()
            for index, (upper, lower) in enumerate(ends):
                for other_upper, other_lower in ends[index + 1 :]:
                    crossed += upper < other_upper and lower > other_lower
        return crossed

    def settle(self) -> None:
        """Find all x by least squares, reweighted in the end so that long lines become straight."""
        for row in self.rows.values():
            x = 0.0
            for before, node in zip([None, *row], row, strict=False):
                x += _distance(before, node) if before else 0.0
                node.x = x
            middle = (row[0].x + row[-1].x) / 2
            for node in row:
                node.x -= middle
        for sweep in range(SWEEPS_PLACE):
            ranks = self.ranks if sweep % 2 == 0 else self.ranks[::-1]
            for rank in ranks:
                self._settle_row(self.rows[rank], tolerance=40.0 * 0.95**sweep)
        self._straighten()
        for title in (node for node in self.rows.get(0, []) if node.kind == "title"):
            leftmost = min(node.x - node.left for row in self.rows.values() for node in row)
            title.x = leftmost

    def _entrance(self) -> float:
        nodes = [node for row in self.rows.values() for node in row]
        for node in nodes:
            if node.kind == "dot":
                return node.x
        states = [node for node in nodes if node.kind == "state"]
        return (min(s.x - s.left for s in states) + max(s.x + s.right for s in states)) / 2

    def _stiffness(self, one: Node, two: Node) -> float:
        """How much a line wants to be straight: long ones in their middle, short ones wholly."""
        thin = {"bend", "label", "port"}
        if one.kind in thin and two.kind in thin:
            return 8.0
        return 6.0 if self._is_between_states(one if one.kind == "label" else two) else 0.6

    def _is_between_states(self, label: Node) -> bool:
        ends = [_other(label, joint).kind for joint in self.up[label] + self.down[label]]
        return label.kind == "label" and all(kind == "state" for kind in ends)

    def is_short(self, node: Node, move: int, joints: Iterable[Joint]) -> bool:
        """Whether the arrow leads from the node to the next rank of states and no further."""
        others = [_other(node, joint) for joint in joints if joint.move == move]
        return move == START or any(map(self._is_between_states, others))

    def _straighten(self) -> None:
        """Take the last small kinks out of long lines, where their neighbours leave room."""
        thin = {"bend", "label"}
        done: set[Node] = set()
        for rank in self.ranks:
            for node in self.rows[rank]:
                if node.kind not in thin or node in done:
                    continue
                chain = [node]
                while following := [
                    joint.lower
                    for joint in self.down[chain[-1]]
                    if joint.lower.kind in thin and abs(joint.lower.x - chain[-1].x) < KINK_MAX
                ]:
                    chain.append(following[0])
                done.update(chain)
                lowest, highest = -inf, inf
                for bend in chain:
                    row, at = self.rows[bend.rank], self.at[bend]
                    if at > 0:
                        lowest = max(lowest, row[at - 1].x + _distance(row[at - 1], bend))
                    if at + 1 < len(row):
                        highest = min(highest, row[at + 1].x - _distance(bend, row[at + 1]))
                if lowest <= highest:
                    x = min(highest, max(lowest, sorted(bend.x for bend in chain)[len(chain) // 2]))
                    for bend in chain:
                        bend.x = x

    def _settle_row(self, row: list[Node], *, tolerance: float) -> None:
        wanted, weights = [], []
        for node in row:
            joints = self.up[node] + self.down[node]
            # An arrow that ends on the border itself comes in where the eye goes on.
            total, weight = self._entrance() if node.kind == "port" and not joints else node.x, 1.0
            if joints:
                total, weight = total * 0.01, 0.01
            for joint in joints:
                other = _other(node, joint)
                x = other.x + joint.end(of=other) - joint.end(of=node)
                stiff = self._stiffness(node, other)
                stiff *= 20 / max(abs(x - node.x), tolerance)
                total += x * stiff
                weight += stiff
            wanted.append(total / weight)
            weights.append(weight)
        steps = [0.0, *(_distance(one, two) for one, two in pairwise(row))]
        for node, x in zip(row, _apart(wanted, weights, steps), strict=True):
            node.x = x


def _distance(one: Node, two: Node) -> float:
    """Give the least distance of two neighbours' x."""
    space = {"state": 15.0, "label": 8.0, "title": 14.0}
    return one.right + two.left + space.get(one.kind, 6.0) + space.get(two.kind, 6.0)


def _apart(wanted: list[float], weights: list[float], steps: list[float]) -> list[float]:
    """Find the places nearest to those wanted that keep the order and the distances.

    Isotonic regression: neighbours that would come too near are pooled and move together.
    """
    shifts: list[float] = []
    for step in steps:
        shifts.append((shifts[-1] if shifts else 0.0) + step)
    pools: list[tuple[float, float, int]] = []
    for want, weight, shift in zip(wanted, weights, shifts, strict=True):
        value, heavy, size = want - shift, weight, 1
        while pools and pools[-1][0] > value:
            before, mass, many = pools.pop()
            value = (before * mass + value * heavy) / (mass + heavy)
            heavy, size = mass + heavy, many + size
        pools.append((value, heavy, size))
    pooled = [value for value, _, size in pools for _ in range(size)]
    return [value + shift for value, shift in zip(pooled, shifts, strict=True)]


def spread(node: Node, rows: Rows, *, room: float) -> None:
    """Give every arrow its own place on a simple state's upper and lower edge."""
    width = node.left + node.right - room
    for side, joints in _sides(node, rows):
        place = {j.move: rows.position(_other(node, j), j) for j in joints}
        moves = sorted(place, key=lambda move: (place[move], move))
        short = [index for index, move in enumerate(moves) if rows.is_short(node, move, joints)]
        middles = short or range(len(moves))
        middle = sum(middles) / len(middles) if moves else 0.0
        widest = max(middle, len(moves) - 1 - middle, 1.0)
        step = min(46.0, (width / 2 - 16) / widest)
        for index, move in enumerate(moves):
            node.ports[move, side] = (index - middle) * step


def align(node: Node, rows: Rows, *, room: float) -> None:
    """Move the places on a simple state's edges to where the arrows come straight."""
    reach = (node.left + node.right - room) / 2 - 16
    for side, joints in _sides(node, rows):
        ends = {j.move: _other(node, j).x + j.end(of=_other(node, j)) - node.x for j in joints}
        moves = sorted(ends, key=lambda move: node.ports[move, side])
        step = min(24.0, 2 * reach / max(1, len(moves) - 1))
        wanted = [min(reach, max(-reach, ends[move])) for move in moves]
        places = _apart(wanted, [1.0] * len(moves), [step] * len(moves)) if moves else []
        for index, (move, place) in enumerate(zip(moves, places, strict=True)):
            lowest, highest = index * step - reach, reach - (len(moves) - 1 - index) * step
            node.ports[move, side] = min(highest, max(lowest, place))


def _sides(node: Node, rows: Rows) -> tuple[tuple[Side, list[Joint]], ...]:
    return ("top", rows.up[node]), ("bottom", rows.down[node])


def _other(node: Node, joint: Joint) -> Node:
    return joint.lower if node is joint.upper else joint.upper
