"""The picture of a lifecycle as it stands inside a page.

A page takes no style that stands inline; the picture's own is served as `picture.css`.
"""

import re
from collections.abc import Collection, Mapping
from typing import Final

from markupsafe import Markup

from api.pages.render import marked
from lifecycle.declaration import Declaration
from projections.geometry import Geometry
from projections.picture import STYLE, draw

WIDE_PIXELS: Final = 560.0
"""A picture that is wider cannot be read on a phone where it is made to fit."""
_SIZE: Final = re.compile(r'width="100%" style="max-width:([0-9.]+)px;height:auto"')


def drawn(
    declaration: Declaration,
    *,
    current: Collection[str] = (),
    path: Collection[str] = (),
    counts: Mapping[str, int] | None = None,
    links: Mapping[str, str] | None = None,
    geometry: Geometry | None = None,
) -> Markup:
    """Draw a lifecycle without any style of its own."""
    svg = draw(
        declaration, current=current, path=path, counts=counts, links=links, geometry=geometry
    )
    plain = _SIZE.sub(r'width="\1"', svg.replace(f"<style>{STYLE}</style>\n", ""), count=1)
    size = _SIZE.search(svg)
    if size and float(size[1]) > WIDE_PIXELS:
        plain = plain.replace('class="lifecycle"', 'class="lifecycle wide"', 1)
    return marked(plain)
