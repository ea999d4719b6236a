"""A lifecycle as a picture: SVG that stands alone, drawn here, the same bytes every time.

`draw` writes what `layout` has placed.
"""

import unicodedata
from collections.abc import Collection, Iterable, Mapping
from html import escape

from lifecycle.declaration import Declaration, Transition, walk
from projections.geometry import Arrow, Box, Curve, Geometry, Head, Label, Point, Spot, Start
from projections.layout import BAND, BOLT_WIDTH, PADDING, initial, layout
from projections.lettering import (
    LABEL_LINE,
    LABEL_SIZE,
    OWNER_SIZE,
    OWNER_WIDTH_MAX,
    TITLE_LINE,
    TITLE_SIZE,
    count_width,
    fit,
    grouped,
    label_line,
    name_of,
    tool_title,
    width_of,
    words_of,
)


def draw(
    declaration: Declaration,
    *,
    current: Collection[str] = (),
    path: Collection[str] = (),
    counts: Mapping[str, int] | None = None,
    links: Mapping[str, str] | None = None,
    geometry: Geometry | None = None,
) -> str:
    """Give the picture as an SVG document that may also stand inside a page.

    `current` are ids of active states, `path` the names of transitions made (ids of states passed
    may stand among them), `counts` the number of cases per state, `links` the address that a state
    leads to. Unknown ids are passed over. `geometry` is where everything stands, if that is known
    already: it takes most of the time.
    """
    counts, links = counts or {}, links or {}
    geometry = geometry or layout(declaration, counts=counts)
    scene = _Scene(declaration, frozenset(current), frozenset(path), counts, links)
    compounds = [spot for spot in geometry.states if scene.states[spot.id].states]
    leaves = [spot for spot in geometry.states if not scene.states[spot.id].states]
    width, height = _number(geometry.width), _number(geometry.height)
    name = escape(declaration.lifecycle)
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" class="lifecycle" '
                f'role="{"group" if links else "img"}" '
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
        links: Mapping[str, str],
    ) -> None:
        places = walk(declaration.states)
        self.declaration = declaration
        self.counts = counts
        self.links = links
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
        first = initial(self.declaration.states)
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
                children = initial(declared.states)
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
            told.append(f"{name_of(move)}: from {sources} to {self.title(move.to)}{auto}.")
        return " ".join(told)

    def title(self, state: str) -> str:
        declared = self.states.get(state)
        return (declared.title if declared else None) or words_of(state)

    def owner(self, state: str) -> str:
        """Name the tool whose word makes the state true, or what is declared instead."""
        for at in (state, *reversed(self.above[state])):
            owner = self.states[at].owner
            if owner:
                return tool_title(self.declaration, owner)
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
        owner = fit(self.owner(spot.id), OWNER_SIZE, OWNER_WIDTH_MAX)
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
        return self._linked(spot, "".join([*parts, "</g>"]))

    def compound(self, spot: Spot) -> str:
        box, state = spot.box, self.states[spot.id]
        parts = [self._opening(spot), _rect(box, "frame", 9 if spot.region else 12)]
        if state.final:
            parts.append(_rect(_inset(box, 3.5), "second", 8.5))
        title_width = width_of(spot.lines[0], TITLE_SIZE, bold=True)
        owner = fit(self.owner(spot.id), OWNER_SIZE, OWNER_WIDTH_MAX) if state.owner else ""
        parts.append(_write(spot.lines[0], "title", box.x + PADDING, box.y + 19))
        if owner:
            parts.append(_write(owner, "owner", box.x + PADDING, box.y + 33.5))
        end = box.x + PADDING + title_width + 10 + count_width(self.counts.get(spot.id))
        parts.append(self._count(spot, end, box.y + 15))
        for x in spot.dividers:
            top, bottom = box.y + BAND + 4, box.y + box.height
            parts.append(f'<path class="divider" d="M{_at((x, top))}V{_number(bottom)}"/>')
        parts.append(self._marker(spot, (box.x, box.y + 15)))
        return self._linked(spot, "".join([*parts, "</g>"]))

    def _linked(self, spot: Spot, drawn: str) -> str:
        """Let a state lead somewhere; who hears it is told how many cases are there."""
        link = self.links.get(spot.id)
        if link is None:
            return drawn
        count = self.counts.get(spot.id)
        told = self.title(spot.id) + ("" if count is None else f": {count:,}")
        return f'<a href="{_text(link)}" aria-label="{_text(told)}">{drawn}</a>'

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
        width = count_width(count) - 8
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
        for line, named in enumerate(grouped(moves)):
            move = named[0]
            name, bolt = label_line(move), BOLT_WIDTH if move.auto else 0
            width = width_of(name, LABEL_SIZE, bold=True)
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
        makers = [tool_title(self.declaration, maker) for maker in move.makers]
        if not makers and move.to in self.states:
            makers = [self.owner(move.to)]
        told = [
            name_of(move) + (" (auto)" if move.auto else ""),
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
