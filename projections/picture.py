"""A lifecycle as a picture: SVG that stands alone, drawn here, the same bytes every time.

Read downward: `draw` writes what `layout` has placed. The layout is layered, from top to bottom,
after Sugiyama, Tagawa and Toda (1981), one level of nesting at a time:

1. States stand in even ranks, by the longest path from the initial one; labels and the bends of
   long arrows stand in the odd ranks between, as small nodes of their own.
2. The order within a rank follows the barycentres of its neighbours; the x follow from least
   squares that keep the order and the distances.
3. A compound state is laid out first and is then one box for its parent; an arrow over its border
   goes through a port, which is a node of the first or last rank inside.

So no box, label or passing arrow can lie on another: each has its place in a rank, and between two
ranks are only curves.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from math import inf
from typing import Literal

from msgspec import Struct

from lifecycle.declaration import Declaration, State, Transition, walk

TITLE_SIZE, OWNER_SIZE, LABEL_SIZE = 14.0, 11.5, 12.0
TITLE_LINE, LABEL_LINE = 18.0, 16.0
LEAF_WIDTH_MIN, TITLE_WIDTH_MAX, OWNER_WIDTH_MAX, LABEL_WIDTH_MAX = 116.0, 170.0, 196.0, 190.0
PADDING, MARGIN, BAND = 16.0, 18.0, 40.0
"""Space around the inside of a compound box; around the picture; height of a compound's title."""
BOLT_WIDTH, LOOP_WIDTH = 12.0, 26.0
GAP_MIN, GAP_MAX = 19.0, 46.0
"""Height of the space between two ranks, by how far its arrows go sideways."""
SWEEPS_ORDER, SWEEPS_PLACE = 16, 100
KINK_MAX = 60.0
"""A step aside in a long line that is smaller than this is better none."""

Side = Literal["top", "bottom"]
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


# What the reader came for: the picture itself.


def draw(
    declaration: Declaration,
    *,
    current: Collection[str] = (),
    path: Collection[str] = (),
    counts: Mapping[str, int] | None = None,
) -> str:
    """Give the picture as an SVG document that may also stand inside a page.

    `current` are ids of active states, `path` the names of transitions made (ids of states passed
    may stand among them), `counts` the number of cases per state. Unknown ids are passed over.
    """
    counts = counts or {}
    geometry = layout(declaration, counts=counts)
    scene = _Scene(declaration, frozenset(current), frozenset(path), counts)
    compounds = [spot for spot in geometry.states if scene.states[spot.id].states]
    leaves = [spot for spot in geometry.states if not scene.states[spot.id].states]
    width, height = _number(geometry.width), _number(geometry.height)
    name = escape(declaration.lifecycle)
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" class="lifecycle" role="img" '
                f'viewBox="0 0 {width} {height}" width="100%" '
                f'style="max-width:{width}px;height:auto" '
                f'aria-labelledby="picture-{name}-title picture-{name}-desc">'
            ),
            f'<title id="picture-{name}-title">{_text(declaration.title)}</title>',
            f'<desc id="picture-{name}-desc">{_text(scene.told())}</desc>',
            f"<style>{STYLE}</style>",
            f'<rect class="surface" width="{width}" height="{height}" rx="8"/>',
            *(scene.compound(spot) for spot in compounds),
            *(scene.start(start) for start in geometry.starts),
            *(scene.lines(arrow) for arrow in sorted(geometry.arrows, key=scene.is_taken)),
            *(scene.leaf(spot) for spot in leaves),
            *(scene.label(arrow, label) for arrow in geometry.arrows for label in arrow.labels),
            "</svg>\n",
        ]
    )


class _Scene:
    """What is to be seen in the picture, beside where it stands."""

    def __init__(
        self,
        declaration: Declaration,
        current: frozenset[str],
        path: frozenset[str],
        counts: Mapping[str, int],
    ) -> None:
        places = walk(declaration.states)
        self.declaration = declaration
        self.counts = counts
        self.path = path
        self.states = {place.id: place.state for place in places}
        self.above = {place.id: place.above for place in places}
        self.current = current & self.states.keys()
        self.holding = frozenset(a for state in self.current for a in self.above[state])
        self.taken = frozenset(
            index for index, move in enumerate(declaration.transitions) if move.name in path
        )
        self.passed = self._passed(path)

    def _passed(self, path: frozenset[str]) -> frozenset[str]:
        """Find the states that the path shows to have been active, and all around them."""
        moves = [self.declaration.transitions[index] for index in self.taken]
        entered = [move.to for move in moves if move.to in self.states]
        left = [move.sources[0] for move in moves if len(move.sources) == 1]
        seen = self.states.keys() & {*left, *self.current, *path}
        first = _initial(self.declaration.states)
        if path and first:
            entered.append(first)
        passed: set[str] = seen.union(*(self.above[state] for state in seen))
        opened: set[str] = set()
        while entered:
            state = entered.pop()
            if state not in opened:
                opened.add(state)
                passed |= {state, *self.above[state]}
                declared = self.states[state]
                children = _initial(declared.states)
                entered += declared.states if declared.parallel else [children] if children else []
        return frozenset(passed)

    def told(self) -> str:
        """Put the whole picture in sentences, for those who hear it."""
        moves = self.declaration.transitions
        told = [f"{len(self.states)} states and {len(moves)} transitions."]
        if self.current:
            now = [self.title(state) for state in self.states if state in self.current]
            told.append(f"Now in {' and '.join(now)}.")
        for move in moves:
            sources = " or ".join(self.title(source) for source in move.sources)
            auto = " by itself" if move.auto else ""
            told.append(f"{_name(move)}: from {sources} to {self.title(move.to)}{auto}.")
        return " ".join(told)

    def title(self, state: str) -> str:
        declared = self.states.get(state)
        return (declared.title if declared else None) or _words(state)

    def owner(self, state: str) -> str:
        """Name the tool whose word makes the state true, or what is declared instead."""
        for at in (state, *reversed(self.above[state])):
            owner = self.states[at].owner
            if owner:
                return _tool_title(self.declaration, owner)
        return ""

    def _opening(self, spot: Spot) -> str:
        state = self.states[spot.id]
        marks = {
            "compound": bool(state.states),
            "region": spot.region,
            "final": state.final,
            "passed": spot.id in self.passed,
            "holds": spot.id in self.holding,
            "current": spot.id in self.current,
        }
        classes = " ".join(["state", *(mark for mark, holds in marks.items() if holds)])
        count = self.counts.get(spot.id)
        told = [
            self.title(spot.id) + (" (now)" if spot.id in self.current else ""),
            f"Owner: {self.owner(spot.id)}" if self.owner(spot.id) else "",
            f"Time limit: {state.within}" if state.within else "No time limit",
            "Final" if state.final else "",
            f"Cases: {count:,}" if count is not None else "",
        ]
        title = _text("\n".join(line for line in told if line))
        return f'<g class="{classes}" data-state="{_text(spot.id)}"><title>{title}</title>'

    def leaf(self, spot: Spot) -> str:
        box, state = spot.box, self.states[spot.id]
        owner = _fitted(self.owner(spot.id), OWNER_SIZE, OWNER_WIDTH_MAX)
        x, text_height = box.x + 17, len(spot.lines) * TITLE_LINE + (15 if owner else 0)
        y = box.y + (box.height - text_height) / 2
        parts = [self._opening(spot), _rect(box, "frame", 9)]
        if state.final:
            parts.append(_rect(_inset(box, 3.5), "second", 6.5))
        for line in spot.lines:
            parts.append(_write(line, "title", x, y + 13.5))
            y += TITLE_LINE
        if owner:
            parts.append(_write(owner, "owner", x, y + 11))
        parts.append(self._count(spot, box.x + box.width - 12, box.y + box.height / 2))
        parts.append(self._marker(spot, (box.x, box.y + box.height / 2)))
        return "".join([*parts, "</g>"])

    def compound(self, spot: Spot) -> str:
        box, state = spot.box, self.states[spot.id]
        parts = [self._opening(spot), _rect(box, "frame", 9 if spot.region else 12)]
        if state.final:
            parts.append(_rect(_inset(box, 3.5), "second", 8.5))
        title_width = _width(spot.lines[0], TITLE_SIZE, bold=True)
        owner = _fitted(self.owner(spot.id), OWNER_SIZE, OWNER_WIDTH_MAX) if state.owner else ""
        parts.append(_write(spot.lines[0], "title", box.x + PADDING, box.y + 19))
        if owner:
            parts.append(_write(owner, "owner", box.x + PADDING, box.y + 33.5))
        end = box.x + PADDING + title_width + 10 + _count_width(self.counts.get(spot.id))
        parts.append(self._count(spot, end, box.y + 15))
        for x in spot.dividers:
            top, bottom = box.y + BAND + 4, box.y + box.height
            parts.append(f'<path class="divider" d="M{_at((x, top))}V{_number(bottom)}"/>')
        parts.append(self._marker(spot, (box.x, box.y + 15)))
        return "".join([*parts, "</g>"])

    def _marker(self, spot: Spot, at: Point) -> str:
        """Set a disc with a tick on the border: the current state shows without colour."""
        if spot.id not in self.current:
            return ""
        x, y = at
        return (
            f'<circle class="marker" cx="{_number(x)}" cy="{_number(y)}" r="10"/>'
            f'<path class="tick" d="M{_at((x - 4.5, y + 0.5))}l3.2 3.4 5.8-7"/>'
        )

    def _count(self, spot: Spot, right: float, middle: float) -> str:
        count = self.counts.get(spot.id)
        if count is None:
            return ""
        width = _count_width(count) - 8
        pill = _rect(Box(right - width, middle - 9, width, 18), "pill", 9)
        number = _write(f"{count:,}", "count", right - width / 2, middle + 4)
        return pill + number

    def is_taken(self, arrow: Arrow) -> bool:
        """Whether the path went along this arrow, by any of its arms."""
        made = self.taken.intersection(arrow.transitions)
        return bool(made) and (bool(arrow.loop) or any(map(self._flows, arrow.curves)))

    def _flows(self, curve: Curve) -> bool:
        return bool(curve.sources & self.passed)

    def _class(self, arrow: Arrow) -> str:
        moves = [self.declaration.transitions[index] for index in arrow.transitions]
        return "arrow auto" if all(move.auto for move in moves) else "arrow"

    def lines(self, arrow: Arrow) -> str:
        parts = [f'<g class="{self._class(arrow)}">']
        is_taken = self.is_taken(arrow)
        taken = [curve for curve in arrow.curves if is_taken and self._flows(curve)]
        plain = [curve for curve in arrow.curves if curve not in taken]
        mark = " taken" if is_taken else ""
        if plain:
            parts.append(f'<path class="line" d="{_curves(plain, arrow.heads)}"/>')
        if taken:
            parts.append(f'<path class="line taken" d="{_curves(taken, arrow.heads)}"/>')
        if arrow.loop:
            parts.append(f'<path class="line{mark}" d="{_loop(arrow.loop)}"/>')
        parts += [f'<path class="head{mark}" d="{_head(head)}"/>' for head in arrow.heads]
        return "".join([*parts, "</g>"])

    def start(self, start: Start) -> str:
        x, y = start.dot
        return (
            f'<g class="start"><circle class="dot" cx="{_number(x)}" cy="{_number(y)}" r="5"/>'
            f'<path class="line" d="{_curves([start.curve], (start.head,))}"/>'
            f'<path class="head" d="{_head(start.head)}"/></g>'
        )

    def label(self, arrow: Arrow, label: Label) -> str:
        box = label.box
        halo = _rect(box, "halo", 4)
        parts = ['<g class="again" aria-hidden="true">' if label.again else "<g>", halo]
        moves = [self.declaration.transitions[index] for index in label.transitions]
        is_taken = self.is_taken(arrow)
        for line, named in enumerate(_named(moves)):
            move = named[0]
            name, bolt = _label_line(move), BOLT_WIDTH if move.auto else 0
            width = _width(name, LABEL_SIZE, bold=True)
            left, y = box.x + (box.width - width - bolt) / 2, box.y + 3 + line * LABEL_LINE
            mark = " taken" if is_taken and move.name in self.path else ""
            names = "" if label.again else f' data-transition="{_text(move.name)}"'
            rules = _text("\n\n".join(self._rule(move) for move in named))
            parts.append(f'<g class="transition{mark}"{names}><title>{rules}</title>')
            if move.auto:
                parts.append(f'<path class="bolt" d="M{_at((left + 6, y + 2))}{BOLT}"/>')
            parts.append(_write(name, "label", left + bolt + width / 2, y + 12) + "</g>")
        return "".join([*parts, "</g>"])

    def _rule(self, move: Transition) -> str:
        """Tell what a transition asks for, a line each."""
        makers = [_tool_title(self.declaration, maker) for maker in move.makers]
        if not makers and move.to in self.states:
            makers = [self.owner(move.to)]
        told = [
            _name(move) + (" (auto)" if move.auto else ""),
            f"By: {', '.join(makers)}" if any(makers) else "",
            f"Requires: {', '.join(move.requires)}" if move.requires else "",
            f"When: {move.when}" if move.when else "",
        ]
        return "\n".join(line for line in told if line)


BOLT = "l-4.6 6.6h3.2l-1.2 5 4.8-6.8h-3.3z"

STYLE = """
.lifecycle{--p-surface:#fff;--p-ink:#18202b;--p-soft:#586375;--p-line:#76829a;--p-edge:#a9b3c3;
--p-box:#f3f5f8;--p-strong:#1550c0;--p-on-strong:#fff;--p-hold:#eaf1fe;--p-trail:#1550c0;
font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
@media(prefers-color-scheme:dark){.lifecycle{--p-surface:#12161d;--p-ink:#e8ecf3;--p-soft:#a3aec0;
--p-line:#8491a8;--p-edge:#4b586c;--p-box:#1d242f;--p-strong:#8ab6ff;--p-on-strong:#0b1526;
--p-hold:#182540;--p-trail:#8ab6ff}}
.lifecycle .surface,.lifecycle .halo{fill:var(--p-surface)}
.lifecycle .frame{fill:var(--p-box);stroke:var(--p-edge);stroke-width:1.25}
.lifecycle .second{fill:none;stroke:var(--p-edge);stroke-width:1.25}
.lifecycle .compound>.frame{fill:var(--p-surface);stroke-width:1.5}
.lifecycle .state.region:not(.current)>.frame{fill:none;stroke:none}
.lifecycle .divider{fill:none;stroke:var(--p-edge);stroke-width:1.5;stroke-dasharray:6 5}
.lifecycle text{fill:var(--p-ink);font-size:12px}
.lifecycle .title{font-size:14px;font-weight:600}
.lifecycle .owner{font-size:11.5px;fill:var(--p-soft)}
.lifecycle .label,.lifecycle .count{text-anchor:middle}
.lifecycle .label{stroke:var(--p-surface);stroke-width:3px;stroke-linejoin:round;paint-order:stroke}
.lifecycle .pill{fill:var(--p-surface);stroke:var(--p-edge)}
.lifecycle .count{font-size:11.5px;font-weight:600;font-variant-numeric:tabular-nums}
.lifecycle .line{fill:none;stroke:var(--p-line);stroke-width:1.5;stroke-linecap:round}
.lifecycle .head,.lifecycle .bolt{fill:var(--p-line)}
.lifecycle .dot{fill:var(--p-ink)}
.lifecycle .auto .line{stroke-dasharray:3 4}
.lifecycle .passed>.frame,.lifecycle .passed>.second{stroke:var(--p-trail);stroke-width:1.75}
.lifecycle .line.taken{stroke:var(--p-trail);stroke-width:3}
.lifecycle .head.taken,.lifecycle .taken .bolt{fill:var(--p-trail)}
.lifecycle .taken .label{fill:var(--p-trail);font-weight:600}
.lifecycle .holds>.frame{stroke:var(--p-strong);stroke-width:2}
.lifecycle .current>.frame{fill:var(--p-strong);stroke:var(--p-ink);stroke-width:3.5}
.lifecycle .current>.second{stroke:var(--p-on-strong)}
.lifecycle .current>.title,.lifecycle .current>.owner{fill:var(--p-on-strong)}
.lifecycle .current.compound>.frame{fill:var(--p-hold)}
.lifecycle .current.compound>.second{stroke:var(--p-ink)}
.lifecycle .current.compound>.title,.lifecycle .current.compound>.owner{fill:var(--p-ink)}
.lifecycle .marker{fill:var(--p-ink);stroke:var(--p-surface);stroke-width:2}
.lifecycle .tick{fill:none;stroke:var(--p-surface);stroke-width:2.2;stroke-linecap:round;
stroke-linejoin:round}
@media(forced-colors:active){.lifecycle .current>.frame{stroke-width:5}}
""".replace("\n", "")


def _curves(curves: Iterable[Curve], heads: Iterable[Head]) -> str:
    """Path data; a line ends inside its arrow's head, so that the tip stays sharp."""
    tips = {head.tip: head.towards for head in heads}
    data: list[str] = []
    last: Point | None = None
    for curve in curves:
        first, start, end, final = curve.points
        if final in tips:
            final = (final[0], final[1] - 6 * tips[final][1])
            if abs(end[1] - final[1]) < 6:  # noqa: PLR2004 - the head takes all that is left
                end = final
        if first != last:
            data.append(f"M{_at(first)}")
        if start != first:
            data.append(f"V{_number(start[1])}")
        if abs(start[0] - end[0]) < 0.25:  # noqa: PLR2004 - less than can be seen
            data.append(f"V{_number(end[1])}")
        else:
            middle = (start[1] + end[1]) / 2
            data.append(f"C{_at((start[0], middle))} {_at((end[0], middle))} {_at(end)}")
        if final != end:
            data.append(f"V{_number(final[1])}")
        last = final
    return "".join(data)


def _head(head: Head) -> str:
    (x, y), (dx, dy) = head.tip, head.towards
    left = (x - 9 * dx - 4.5 * dy, y - 9 * dy - 4.5 * dx)
    right = (x - 9 * dx + 4.5 * dy, y - 9 * dy + 4.5 * dx)
    return f"M{_at((x, y))}L{_at(left)}L{_at(right)}z"


def _loop(box: Box) -> str:
    right, bottom = box.x + box.width * 1.25, box.y + box.height
    upper, lower = _at((right, box.y)), _at((right, bottom))
    return f"M{_at((box.x, box.y))}C{upper} {lower} {_at((box.x + 7, bottom))}"


def _inset(box: Box, by: float) -> Box:
    return Box(box.x + by, box.y + by, box.width - 2 * by, box.height - 2 * by)


def _rect(box: Box, kind: str, radius: float) -> str:
    return (
        f'<rect class="{kind}" x="{_number(box.x)}" y="{_number(box.y)}" '
        f'width="{_number(box.width)}" height="{_number(box.height)}" rx="{_number(radius)}"/>'
    )


def _write(text: str, kind: str, x: float, y: float) -> str:
    return f'<text class="{kind}" x="{_number(x)}" y="{_number(y)}">{_text(text)}</text>'


def _text(text: str) -> str:
    """Fit for text and attributes of XML, which has no control characters at all."""
    return escape("".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in UNFIT))


UNFIT = {"Cc", "Cs", "Cn"}


def _at(point: Point) -> str:
    return f"{_number(point[0])} {_number(point[1])}"


def _number(value: float) -> str:
    """At most one decimal: a tenth of a pixel is less than can be seen."""
    return f"{round(value, 1) + 0.0:.1f}".removesuffix(".0")


# Words and their sizes.


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _name(move: Transition) -> str:
    return move.title or move.name.replace("_", " ")


def _named(moves: Iterable[Transition]) -> list[list[Transition]]:
    """Group the moves of one arrow by what is read on it: one line each."""
    named: dict[tuple[str, str, bool], list[Transition]] = defaultdict(list)
    for move in moves:
        named[move.name, _label_line(move), move.auto].append(move)
    return list(named.values())


def _label_line(move: Transition) -> str:
    return _fitted(_name(move), LABEL_SIZE, LABEL_WIDTH_MAX, bold=True)


def _tool_title(declaration: Declaration, owner: str) -> str:
    """Name the tool that an owner, a tool or a domain, stands for."""
    if owner in declaration.tools:
        return declaration.tools[owner].title
    records = (tool.title for tool in declaration.tools.values() if owner in tool.record_for)
    return next(records, owner)


def _width(text: str, size: float, *, bold: bool = False) -> float:
    """How wide a text is, rather too much than too little: the reader's font is not known here."""
    return sum(map(_em, text)) * size * (1.07 if bold else 1.0)


def _em(char: str) -> float:
    if unicodedata.east_asian_width(char) in "WF":
        return 1.0
    if unicodedata.combining(char):
        return 0.0
    if char in "ijl.,:;'|!()[]/ tfrI":
        return 0.38
    if char in "mwMW@%":
        return 0.96
    return 0.71 if char.isupper() else 0.6


def _fitted(text: str, size: float, width: float, *, bold: bool = False) -> str:
    """Cut a text that is too wide with an ellipsis; the whole stands in its tooltip."""
    text = " ".join(text.split())
    if _width(text, size, bold=bold) <= width:
        return text
    while text and _width(text + "…", size, bold=bold) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _broken(text: str) -> tuple[str, ...]:
    """Break a title in one line or two."""
    words = text.split()
    first = ""
    while words and _width(f"{first} {words[0]}".strip(), TITLE_SIZE, bold=True) <= TITLE_WIDTH_MAX:
        first = f"{first} {words.pop(0)}".strip()
    rest = _fitted(" ".join(words), TITLE_SIZE, TITLE_WIDTH_MAX, bold=True)
    return tuple(line for line in (first, rest) if line) or ("",)


def _count_width(count: int | None) -> float:
    return 0.0 if count is None else max(18.0, _width(f"{count:,}", OWNER_SIZE, bold=True) + 12) + 8


# The layout. Everything below is pure: no text is written, only places are found.


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


@dataclass(eq=False)
class _Node:
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
class _Joint:
    """A piece of an arrow between neighbouring ranks."""

    upper: _Node
    lower: _Node
    move: int
    sources: frozenset[str]
    upward: bool = False
    turns: bool = False
    """It comes up again from a label that all arms of its arrow go down to."""

    def end(self, *, of: _Node) -> float:
        """Where it meets one of its nodes, from that node's x."""
        side: Side = "bottom" if of is self.upper else "top"
        return of.ports.get((self.move, side), 0.0)


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
    states: dict[str, _Node]
    last: int
    """The rank of the ports below."""
    nodes: list[_Node] = field(default_factory=list)
    joints: list[_Joint] = field(default_factory=list)
    ports: dict[tuple[int, Side], _Node] = field(default_factory=dict)
    bands: dict[int, tuple[float, float]] = field(default_factory=dict)
    inner: dict[str, "_Level"] = field(default_factory=dict)
    left: float = 0.0
    width: float = 0.0
    height: float = 0.0

    def port(self, move: int, side: Side) -> _Node:
        """Give the place where an arrow goes over the border, made when first asked for."""
        if (move, side) not in self.ports:
            rank = 0 if side == "top" else self.last
            self.ports[move, side] = _Node("port", rank, 5, 5, move=move)
            self.nodes.append(self.ports[move, side])
        return self.ports[move, side]


START = -1
"""Stands for a move where the arrow from the initial dot is meant."""


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
        first = _initial(self._children(level))
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
        states = {child: _Node("state", rank, id=child) for child, rank in ranks.items()}
        placed = _Level(level, states, max(ranks.values(), default=0) + 2)
        placed.nodes += [self._title(level), *states.values()] if level else states.values()
        first = _initial(self._children(level))
        if first and not self._is_parallel(level):
            dot = _Node("dot", 1, 6, 6, 10)
            placed.nodes.append(dot)
            placed.joints.append(_Joint(dot, states[first], START, frozenset()))
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
        rows = _Rows(placed)
        rows.reorder(keep=2 if self._is_parallel(placed.id) else None)
        simple = [node for node in placed.states.values() if node.id not in placed.inner]
        for node in simple:
            _spread(node, rows, room=self._room(node.id))
        rows.settle()
        for node in simple:
            _align(node, rows, room=self._room(node.id))

    def _title(self, level: str) -> _Node:
        state = self.places[level].state
        title = _fitted(state.title or _words(level), TITLE_SIZE, TITLE_WIDTH_MAX, bold=True)
        width = _width(title, TITLE_SIZE, bold=True) + _count_width(self.counts.get(level)) + 10
        if state.owner:
            owner = _tool_title(self.declaration, state.owner)
            fitted = _fitted(owner, OWNER_SIZE, OWNER_WIDTH_MAX)
            width = max(width, _width(fitted, OWNER_SIZE))
        return _Node("title", 0, 0, width, BAND, id=title)

    def _lead(self, placed: _Level, move: _Move) -> None:
        """Draw an arrow of this level: a trunk from above, one from below, a label on each."""
        sources: dict[_Node, set[str]] = defaultdict(set)
        for source in move.sources:
            begin = placed.states.get(self._child(placed.id, source))
            sources[begin or placed.port(move.index, "top")].add(source)
        end = placed.states.get(self._child(placed.id, move.target))
        target = end or placed.port(move.index, "bottom")
        above = {node: names for node, names in sources.items() if node.rank < target.rank}
        below = {node: names for node, names in sources.items() if node.rank > target.rank}
        beside = {node: names for node, names in sources.items() if node.rank == target.rank}
        labels: list[_Node] = []
        for group in (above, below):
            if group:
                trunk = self._trunk(placed, move.index, group, target)
                # Many sources have their name where they have met, one has it where it leaves.
                labels.append(trunk[-1] if len(group) > 1 else trunk[0])
        if beside:
            labels.append(_Node("label", target.rank + 1))
            placed.nodes.append(labels[-1])
            for node, names in beside.items():
                placed.joints.append(_Joint(node, labels[-1], move.index, frozenset(names)))
            everything = frozenset(name for names in beside.values() for name in names)
            turn = _Joint(target, labels[-1], move.index, everything, upward=True, turns=True)
            placed.joints.append(turn)
        for label in labels:
            label.kind, label.move, label.again = "label", move.index, label is not labels[0]
            width, label.height = self._label_size(move.transitions)
            label.left = label.right = width / 2

    @staticmethod
    def _trunk(
        placed: _Level, move: int, group: Mapping[_Node, set[str]], target: _Node
    ) -> list[_Node]:
        """Draw one line towards the target that the sources join where they stand.

        All sources stand on one side of the target. The answer is the line's bends, in its order.
        """
        upward = next(iter(group)).rank > target.rank
        step = -1 if upward else 1
        begin = (max if upward else min)(node.rank for node in group) + step
        bends = {
            rank: _Node("bend", rank, 4, 4, move=move) for rank in range(begin, target.rank, step)
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
            placed.joints.append(_Joint(upper, lower, move, names, upward))
        return list(bends.values())

    def _label_size(self, transitions: Sequence[int]) -> tuple[float, float]:
        moves = [self.declaration.transitions[index] for index in transitions]
        lines = [
            _width(_label_line(named[0]), LABEL_SIZE, bold=True)
            + (BOLT_WIDTH if named[0].auto else 0)
            for named in _named(moves)
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
        group: dict[_Node, set[str]] = defaultdict(set)
        for source in move.sources:
            if placed.id in self._line(source)[:-1]:
                group[placed.states[self._child(placed.id, source)]].add(source)
        if group:
            self._trunk(placed, move.index, group, port)

    def _size(self, placed: _Level, node: _Node) -> None:
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
            lines = _broken(state.title or _words(node.id))
            owner = _fitted(self._owner(node.id), OWNER_SIZE, OWNER_WIDTH_MAX)
            text = max(
                *(_width(line, TITLE_SIZE, bold=True) for line in lines),
                _width(owner, OWNER_SIZE),
            )
            width = max(LEAF_WIDTH_MIN, text + 34 + _count_width(self.counts.get(node.id)))
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
                return _tool_title(self.declaration, owner)
        return ""

    # Sizes and places.

    def _measure(self, placed: _Level) -> None:
        """Stack the bands of the ranks from top to bottom, and put a box around all."""
        rows: dict[int, list[_Node]] = defaultdict(list)
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

    def _tall(self, node: _Node) -> float:
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

    def _emit_state(self, placed: _Level, node: _Node, x: float, y: float) -> None:
        state, inner = self.places[node.id].state, placed.inner.get(node.id)
        loops = self.loops.get(node.id, [])
        width = node.left + node.right - self._room(node.id)
        box = Box(x + node.x - node.left, y + node.y, width, node.height)
        lines = _broken(state.title or _words(node.id))
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

    def _curve(self, placed: _Level, joint: _Joint, x: float, y: float) -> Curve:
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

    def _joint_head(self, placed: _Level, joint: _Joint, curve: Curve) -> Head | None:
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


class _Rows:
    """The ranks of one level, ordered and then placed from left to right."""

    def __init__(self, placed: _Level) -> None:
        self.rows: dict[int, list[_Node]] = defaultdict(list)
        for node in placed.nodes:
            self.rows[node.rank].append(node)
        self.up: dict[_Node, list[_Joint]] = defaultdict(list)
        self.down: dict[_Node, list[_Joint]] = defaultdict(list)
        for joint in placed.joints:
            self.down[joint.upper].append(joint)
            self.up[joint.lower].append(joint)
        self.ranks = sorted(self.rows)
        self.at: dict[_Node, int] = {}
        self._number()

    def _number(self) -> None:
        for row in self.rows.values():
            self.at.update((node, index) for index, node in enumerate(row))

    def position(self, node: _Node, joint: _Joint) -> float:
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

    def _barycentre(self, *, downward: bool) -> Callable[[_Node], float]:
        def key(node: _Node) -> float:
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

    def _stiffness(self, one: _Node, two: _Node) -> float:
        """How much a line wants to be straight: long ones in their middle, short ones wholly."""
        thin = {"bend", "label", "port"}
        if one.kind in thin and two.kind in thin:
            return 8.0
        return 6.0 if self._is_between_states(one if one.kind == "label" else two) else 0.6

    def _is_between_states(self, label: _Node) -> bool:
        ends = [_other(label, joint).kind for joint in self.up[label] + self.down[label]]
        return label.kind == "label" and all(kind == "state" for kind in ends)

    def is_short(self, node: _Node, move: int, joints: Iterable[_Joint]) -> bool:
        """Whether the arrow leads from the node to the next rank of states and no further."""
        others = [_other(node, joint) for joint in joints if joint.move == move]
        return move == START or any(map(self._is_between_states, others))

    def _straighten(self) -> None:
        """Take the last small kinks out of long lines, where their neighbours leave room."""
        thin = {"bend", "label"}
        done: set[_Node] = set()
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

    def _settle_row(self, row: list[_Node], *, tolerance: float) -> None:
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


def _distance(one: _Node, two: _Node) -> float:
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


def _spread(node: _Node, rows: _Rows, *, room: float) -> None:
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


def _align(node: _Node, rows: _Rows, *, room: float) -> None:
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


def _sides(node: _Node, rows: _Rows) -> tuple[tuple[Side, list[_Joint]], ...]:
    return ("top", rows.up[node]), ("bottom", rows.down[node])


def _other(node: _Node, joint: _Joint) -> _Node:
    return joint.lower if node is joint.upper else joint.upper


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


def _visits(node: _Node, joints: Iterable[_Joint]) -> Iterator[_Visit]:
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


def _initial(states: Mapping[str, State]) -> str | None:
    """Find the child that is entered first: the one that says so, else the first."""
    marked = (name for name, state in states.items() if state.initial)
    return next(marked, next(iter(states), None))
