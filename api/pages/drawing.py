"""The picture of a lifecycle as it stands inside a page.

A page takes no style that stands inline; the picture's own is served as `picture.css`.
"""

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Final

from markupsafe import Markup

from api.pages.render import marked
from lifecycle.model import Lifecycle
from projections.geometry import Geometry
from projections.layout import layout
from projections.picture import STYLE, draw

PICTURES_MAX: Final = 64
WIDE_PIXELS: Final = 560.0
"""A picture that is wider cannot be read on a phone where it is made to fit."""
_SIZE: Final = re.compile(r'width="100%" style="max-width:([0-9.]+)px;height:auto"')


def drawn(
    lifecycle: Lifecycle,
    *,
    current: Collection[str] = (),
    path: Collection[str] = (),
    counts: Mapping[str, int] | None = None,
    links: Mapping[str, str] | None = None,
    geometry: Geometry | None = None,
) -> Markup:
    """Draw a lifecycle without any style of its own; with `counts`, in a geometry with room."""
    svg = draw(
        lifecycle.declaration,
        current=current,
        path=path,
        counts=counts,
        links=links,
        geometry=geometry or placed(lifecycle),
    )
    plain = _SIZE.sub(r'width="\1"', svg.replace(f"<style>{STYLE}</style>\n", ""), count=1)
    size = _SIZE.search(svg)
    if size and float(size[1]) > WIDE_PIXELS:
        plain = plain.replace('class="lifecycle"', 'class="lifecycle wide"', 1)
    return marked(plain)


@lru_cache(maxsize=PICTURES_MAX)
def placed(lifecycle: Lifecycle, digits: tuple[int, ...] = ()) -> Geometry:
    """Where everything stands: it takes long to find, and depends on the room for counts alone.

    `digits` are those of the count of each state, in their order; none where none are shown.
    """
    room = {one: 10**many - 1 for one, many in zip(lifecycle.chart.places, digits, strict=False)}
    return layout(lifecycle.declaration, counts=room)
