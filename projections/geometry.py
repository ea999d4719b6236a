"""Where things stand in a picture of a lifecycle: boxes, labels, curves; pixels, y downward."""

from msgspec import Struct

Point = tuple[float, float]


class Box(Struct, frozen=True):
    """A rectangle, in pixels of the picture; y grows downward."""

    x: float
    y: float
    width: float
    height: float

    def overlaps(self, other: "Box") -> bool:
        """Whether the two share more than a border."""
        return (
            self.x < other.x + other.width
            and other.x < self.x + self.width
            and self.y < other.y + other.height
            and other.y < self.y + self.height
        )

    def contains(self, other: "Box") -> bool:
        """Whether the other lies wholly inside."""
        return (
            self.x <= other.x
            and self.y <= other.y
            and other.x + other.width <= self.x + self.width
            and other.y + other.height <= self.y + self.height
        )


class Spot(Struct, frozen=True):
    """Where a state stands."""

    id: str
    box: Box
    lines: tuple[str, ...]
    """Its title, broken to fit."""
    dividers: tuple[float, ...] = ()
    """The x of the dashed lines between parallel regions."""
    region: bool = False
    """One of the parallel parts of its parent."""


class Label(Struct, frozen=True):
    """The names written on one arrow, one a line."""

    transitions: tuple[int, ...]
    """Positions in the declaration's list."""
    box: Box
    again: bool = False
    """The same names stand on the arrow's other arm already."""


class Curve(Struct, frozen=True):
    """One piece of an arrow: straight down or up, an S, straight again."""

    points: tuple[Point, Point, Point, Point]
    sources: frozenset[str]
    """The states whose moves go through this piece."""


class Head(Struct, frozen=True):
    """The tip of an arrow, and where it points: `(0, 1)` is down."""

    tip: Point
    towards: Point


class Arrow(Struct, frozen=True):
    """The moves from the same states to the same state."""

    transitions: tuple[int, ...]
    curves: tuple[Curve, ...]
    heads: tuple[Head, ...]
    labels: tuple[Label, ...]
    loop: Box | None = None
    """Where a move back to the same state is drawn, right of it."""


class Start(Struct, frozen=True):
    """The dot and arrow that lead to an initial state."""

    dot: Point
    curve: Curve
    head: Head


class Geometry(Struct, frozen=True):
    """Everything placed: states (parents before children), arrows, starts."""

    width: float
    height: float
    states: tuple[Spot, ...]
    arrows: tuple[Arrow, ...]
    starts: tuple[Start, ...]
