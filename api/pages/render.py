"""How a page is made: a template, what every page needs, and what browsers are to see to.

A page runs our own scripts and shows our own styles and pictures; nothing stands inline, nothing
comes from elsewhere, and nobody may put a page into a frame.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import cache
from gzip import compress
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from msgspec import Struct

from api.door import Answer, Handler, Headers, Keeper, Operation, Visit, refused
from api.pages import assets
from api.pages.session import Session, csrf, peek, see_other, taken_up
from api.problems import InternalFault, status_of
from lifecycle.refusals import NotSignedIn, Refusal, UnknownCase

HERE: Final = Path(__file__).parent
HTML: Final = b"text/html; charset=utf-8"
PACKED_FROM_BYTES: Final = 1000
PACKING: Final = 5
"""Of gzip: 1 is quickest, 9 smallest."""

POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
SECURITY: Final[Headers] = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"vary", b"accept-encoding, cookie"),
]


SPANS: Final = ((86_400, "day"), (3600, "hour"), (60, "minute"))


class Link(Struct, frozen=True):
    """An entry of the navigation."""

    href: str
    title: str


WORK: Final[tuple[Link, ...]] = (
    Link("/drift", "Drift"),
    Link("/messages", "Messages"),
    Link("/notices", "Notices"),
    Link("/lifecycles", "Lifecycles"),
)
"""What there is besides Now and the collections."""


def page(
    keeper: Keeper,
    visit: Visit | None,
    template: str,
    context: Mapping[str, object],
    *,
    session: Session | None = None,
    status: int = 200,
    headers: Headers | None = None,
    position: int | None = None,
) -> Answer:
    """A page, with the frame around it for who is signed in.

    Templates find, besides the context: `session`, `csrf` (the hidden field of a form), `here`
    (the path), `said` (what the page before did), `collections` and `work` (the navigation),
    `asset(name)`; the filters below: `when`, `day`, `span`, `count` …
    """
    said, once = taken_up(keeper, visit) if visit else ("", [])
    frame = {
        "session": session,
        "csrf": _hidden(csrf(keeper, session)) if session else "",
        "here": b"/".join(visit.segments).decode("latin-1") if visit else "",
        "said": said,
        "collections": collections(keeper),
        "work": WORK,
        "position": keeper.journal.position if position is None else position,
    }
    text = environment().get_template(template).render({**frame, **context})
    return _sent(text, visit, status, [*SECURITY, *once, *(headers or [])], position)


def page_at(method: str, path: str, handle: Handler, summary: str) -> Operation:
    """A page's place: refusals read as pages, and who is not signed in is led there."""
    return Operation(method, path, handle, summary, gives=None, visible="views", refuse=refuse)


def refuse(keeper: Keeper, visit: Visit | None, refusal: Refusal) -> Answer:
    """A refusal as a page; as a problem in JSON to those who do not ask for pages."""
    if visit is None or not wants_page(visit.headers.get(b"accept", b"")):
        return refused(refusal)
    if isinstance(refusal, NotSignedIn):
        return see_other(_way_in(visit))
    status = status_of(refusal)
    context = {
        "refusal": refusal,
        "status": HTTPStatus(status),
        "fault": isinstance(refusal, InternalFault),
        "search": _search(keeper, visit, refusal),
        "request": visit.id,
    }
    headers = [one for one in refused(refusal).headers if one[0] != b"www-authenticate"]
    session = peek(keeper, visit)
    return page(
        keeper, visit, "refused.html", context, session=session, status=status, headers=headers
    )


def _search(keeper: Keeper, visit: Visit, refusal: Refusal) -> Link | None:
    """The list in which a case may be looked for that is not where the address says."""
    asked = visit.segment(1) if len(visit.segments) > 1 else ""
    known = isinstance(refusal, UnknownCase) and asked in keeper.catalogue.lifecycles
    return Link(f"/{asked}", asked.replace("_", " ")) if known else None


def wants_page(accept: bytes) -> bool:
    """Whether a browser asks."""
    return b"text/html" in accept.lower()


def collections(keeper: Keeper) -> list[Link]:
    """The lists of cases."""
    known = keeper.catalogue.lifecycles
    return [Link(f"/{one}", one.replace("_", " ").capitalize()) for one in known]


def _way_in(visit: Visit) -> str:
    if visit.method != "GET":
        return "/sign-in"
    asked = b"/".join(visit.segments).decode("latin-1")
    if visit.query_string:
        asked += f"?{visit.query_string.decode('latin-1')}"
    return "/sign-in" if asked == "/" else f"/sign-in?next={quote(asked, safe='/')}"


def _sent(
    text: str, visit: Visit | None, status: int, headers: Headers, position: int | None
) -> Answer:
    body = text.encode()
    packs = visit is not None and b"gzip" in visit.headers.get(b"accept-encoding", b"")
    if packs and len(body) >= PACKED_FROM_BYTES:
        body = compress(body, PACKING, mtime=0)
        headers = [*headers, (b"content-encoding", b"gzip")]
    return Answer(status, body, headers, HTML, position=position)


def _hidden(token: str) -> Markup:
    return Markup('<input type="hidden" name="csrf" value="{}">').format(token)


# --- templates ----------------------------------------------------------------------------------


@cache
def environment() -> Environment:
    """The templates: everything in them is escaped, and a name that is not there is a fault."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals["asset"] = assets.address
    made.filters |= {
        "when": when,
        "day": day,
        "segment": segment,
        "count": count,
        "span": span,
        "sentence": sentence,
    }
    return made


def when(time: datetime | str | None, form: str = "full") -> Markup:
    """A time for people: in UTC, until the script puts it into the reader's zone.

    `full` has day and time, `brief` leaves the year out, `clock` the day too.
    """
    if time is None:
        return Markup("")
    moment = (datetime.fromisoformat(time) if isinstance(time, str) else time).astimezone(UTC)
    shown = {
        "full": f"{moment.day} {moment:%B %Y, %H:%M} UTC",
        "brief": f"{moment.day} {moment:%b, %H:%M} UTC",
        "clock": f"{moment:%H:%M} UTC",
    }[form]
    return Markup('<time datetime="{}" title="{}" data-form="{}">{}</time>').format(
        f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z",
        f"{moment:%Y-%m-%d %H:%M:%S} UTC",
        form,
        shown,
    )


def day(value: date | str) -> Markup:
    """A day for people; it has no zone."""
    given = date.fromisoformat(value) if isinstance(value, str) else value
    return Markup('<time datetime="{}">{} {}</time>').format(
        given.isoformat(), given.day, f"{given:%b %Y}"
    )


def segment(text: str) -> str:
    """A text as one part of an address."""
    return quote(text, safe="")


def count(number: int, one: str, many: str = "") -> Markup:
    """So many of something: `3 cases`, `1 case`."""
    return Markup("{} {}").format(f"{number:,}", one if number == 1 else many or f"{one}s")


def sentence(text: str) -> str:
    """A text with a capital at its beginning and a stop at its end."""
    stop = "" if text.endswith((".", "?", "!", "…")) else "."
    return f"{text[:1].upper()}{text[1:]}{stop}"


def span(seconds: float) -> str:
    """How long, in the largest unit that has begun: `3 days`, `1 hour`."""
    for size, unit in SPANS:
        if seconds >= size:
            many = int(seconds // size)
            return f"{many:,} {unit}" if many == 1 else f"{many:,} {unit}s"
    return "moments"


def marked(html: str) -> Markup:
    """Markup that was made here of escaped parts, such as a picture."""
    return Markup(html)  # noqa: S704 - its makers escape what they are given
