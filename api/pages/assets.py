"""What pages are made of besides their text: styles, scripts, the mark. Ours, and from here only.

An address that names the content (`?v=`) may be kept for ever; without, it is asked for again.
"""

from functools import cache
from gzip import compress
from hashlib import sha256
from pathlib import Path
from typing import Final

from msgspec import Struct

from api.door import Answer, Keeper, Operation, Visit
from api.problems import NotFound
from projections.picture import STYLE

HERE: Final = Path(__file__).parent / "static"
TYPES: Final = {
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}
DIGEST_LENGTH: Final = 16
FOR_EVER: Final = b"public, max-age=31536000, immutable"
ASK_AGAIN: Final = b"no-cache"
HARMLESS: Final = [
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; sandbox"),
    (b"vary", b"accept-encoding"),
]


class Asset(Struct, frozen=True):
    """A file as it is sent."""

    body: bytes
    packed: bytes
    """The same, in gzip."""
    digest: str
    media_type: bytes


@cache
def assets() -> dict[str, Asset]:
    """Every asset, by name: those of the folder, and the style of the pictures."""
    files = {file.name: file.read_bytes() for file in HERE.iterdir() if file.suffix in TYPES}
    return {name: _asset(name, body) for name, body in {**files, "picture.css": _STYLE}.items()}


_STYLE = STYLE.encode()


def _asset(name: str, body: bytes) -> Asset:
    digest = sha256(body).hexdigest()[:DIGEST_LENGTH]
    return Asset(body, compress(body, mtime=0), digest, TYPES[Path(name).suffix])


def address(name: str) -> str:
    """Where an asset stands, under an address that names its content too."""
    return f"/static/{name}?v={assets()[name].digest}"


async def show(_: Keeper, visit: Visit) -> Answer:
    """Give an asset, or say that the visitor has it already."""
    name = visit.segment(2)
    asset = assets().get(name)
    if asset is None:
        raise NotFound(f"nothing is at '/static/{name[:80]}'")
    named = visit.query_string == b"v=" + asset.digest.encode()
    tag = f'"{asset.digest}"'.encode()
    headers = [(b"etag", tag), *HARMLESS]
    keep = FOR_EVER if named else ASK_AGAIN
    if visit.headers.get(b"if-none-match") == tag:
        return Answer(304, b"", headers, asset.media_type, keep=keep)
    if b"gzip" in visit.headers.get(b"accept-encoding", b""):
        headers.append((b"content-encoding", b"gzip"))
        return Answer(200, asset.packed, headers, asset.media_type, keep=keep)
    return Answer(200, asset.body, headers, asset.media_type, keep=keep)


PAGES: Final = (
    Operation(
        "GET", "/static/{name}", show, "A style, a script or a picture of the pages", gives=None
    ),
)
