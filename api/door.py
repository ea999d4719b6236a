"""A request as it arrives, an answer as it leaves, and what stands between them.

Every operation of `/v1` goes through `serve`: read within bounds, handled, answered; a `Refusal`
becomes a problem, and so does anything unforeseen. Shape is judged here and nowhere else.
"""

import asyncio
import json
import re
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from functools import cache
from logging import DEBUG
from random import getrandbits
from time import monotonic, perf_counter
from types import UnionType
from typing import Any, Final, Literal, TypeVar
from urllib.parse import parse_qsl, unquote

import msgspec
import structlog
from litestar.types import HTTPScope, Receive, Send
from msgspec import Struct

from api.fetching import Fetcher
from api.pages.tries import Tries
from api.problems import (
    JSON,
    BodyTooLarge,
    InternalFault,
    MalformedRequest,
    PositionNotReached,
    UnsupportedMediaType,
    body_of,
    headers_of,
    status_of,
)
from lifecycle.catalogue import Catalogue
from lifecycle.journal import Journal
from lifecycle.refusals import NotNow, Refusal
from projections.book import Book
from projections.live import Live
from projections.store import Store

BODY_BYTES_MAX = 2**20
DRAIN_BYTES_MAX = 16 * 2**20
"""How much of a body that is too large is still read, so that its sender gets to see the answer."""
DEPTH_MAX = 32
BODY_SECONDS_MAX = 30.0
TOO_LATE = "the body is too late"
POSITION_SECONDS_MAX = 5.0
HEADER_TEXT_MAX = 255
REFUSED = 400
"""From this status on an answer is said in the log; what was accepted stands in the journal."""

Headers = list[tuple[bytes, bytes]]
NO_HEADERS: Final[Headers] = []
EVENT_STREAM: Final = b"text/event-stream; charset=utf-8"
"""A stream of server-sent events (WHATWG HTML, section 9.2)."""
T = TypeVar("T")

log = structlog.get_logger("statekeeper.http")


class Tally:
    """What the door counts since the process began."""

    def __init__(self) -> None:
        """Nobody has come yet."""
        self.answers: Counter[int] = Counter()
        """By status."""
        self.refusals: Counter[str] = Counter()
        """By code."""
        self.lines: Counter[str] = Counter()
        """Lines of imports: applied, replayed, refused."""
        self.unproven: Counter[str] = Counter()
        """Webhooks whose signature is missing or wrong, by tool."""


class Keeper(Struct, frozen=True):
    """What every handler works with."""

    journal: Journal
    catalogue: Catalogue
    tally: Tally = msgspec.field(default_factory=Tally)
    views: Store | None = None
    """The read models; None beside a service, where nobody asks for lists."""
    book: Book | None = None
    """The courier's book, only to look into; None beside a service."""
    live: Live = msgspec.field(default_factory=Live)
    environment: Mapping[str, str] = {}
    """Where secrets stand."""
    public_url: str | None = None
    """Where products find this service; None: where they say that they found it."""
    fetcher: Fetcher = msgspec.field(default_factory=Fetcher)
    starting: threading.Event = msgspec.field(default_factory=threading.Event)
    """Set where it is too early to send anybody here: the lists are not brought up to date yet."""
    tries: Tries = msgspec.field(default_factory=Tries)
    walking: asyncio.Lock = msgspec.field(default_factory=asyncio.Lock)
    """Held by who looks at every case there is: one at a time, as all others wait for the rest."""

    @property
    def store(self) -> Store:
        """The read models of a service."""
        assert self.views is not None, "this process has no read models"
        return self.views


class Answer(Struct, frozen=True):
    """What goes back."""

    status: int
    body: bytes
    headers: Headers = []
    media_type: bytes = b"application/json"
    position: int | None = None
    """What it has seen of the log; None where that is what the journal has."""
    keep: bytes = b"no-store"
    """For how long it may be kept (Cache-Control)."""


class Visit:
    """One request, read whole."""

    __slots__ = (
        "address",
        "body",
        "headers",
        "id",
        "is_secure",
        "method",
        "pairs",
        "query_string",
        "segments",
    )

    def __init__(self, scope: HTTPScope, body: bytes) -> None:
        """Take the request's parts as ASGI has them."""
        self.method: str = scope["method"]
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        self.segments = raw.split(b"/")
        """The parts of the path, still percent-encoded; the first is empty."""
        self.pairs: Sequence[tuple[bytes, bytes]] = list(scope["headers"])
        """The headers as they came, in their order; of `headers` the last of a name holds."""
        self.headers: dict[bytes, bytes] = dict(self.pairs)
        self.query_string: bytes = scope["query_string"]
        self.address: str = (scope.get("client") or ("", 0))[0]
        """Whom it comes from, as far as the network says; a proxy on this machine is believed."""
        self.is_secure: bool = scope["scheme"] == "https"
        self.body = body
        self.id = request_id(self.headers)

    def segment(self, index: int) -> str:
        """One part of the path, decoded."""
        raw = self.segments[index]
        if b"%" not in raw:
            return raw.decode("latin-1")
        try:
            text = unquote(raw.decode("ascii"), errors="strict")
        except UnicodeDecodeError as exc:
            raise MalformedRequest("the address is not UTF-8") from exc
        return text

    def header(self, name: bytes) -> str | None:
        """A header's text; `MalformedRequest` where it is not plain ASCII of bounded length."""
        raw = self.headers.get(name)
        if raw is None:
            return None
        if (
            not 0 < len(raw) <= HEADER_TEXT_MAX
            or not raw.isascii()
            or not raw.decode().isprintable()
        ):
            raise MalformedRequest(
                f"{name.decode().title()} has to be 1 to {HEADER_TEXT_MAX} printable ASCII signs"
            )
        return raw.decode()

    def query(self, *known: str) -> dict[str, str]:
        """The query's parameters, of which only these are known, each at most once."""
        if not self.query_string:
            return {}
        try:
            pairs = parse_qsl(
                self.query_string.decode("ascii"),
                keep_blank_values=True,
                strict_parsing=True,
                errors="strict",
            )
        except (UnicodeDecodeError, ValueError) as exc:
            raise MalformedRequest("the query cannot be read: it is not `name=value&…`") from exc
        found = dict(pairs)
        if len(found) < len(pairs):
            raise MalformedRequest("the query names a parameter twice")
        for name in found.keys() - set(known):
            allowed = ", ".join(known) or "none"
            raise MalformedRequest(f"no query parameter {name[:80]!r} here (known: {allowed})")
        return found

    def read_as(self, shape: type[T]) -> T:
        """The body, as this shape; `MalformedRequest` says where it is not."""
        value = self.json()
        try:
            return msgspec.convert(value, shape)
        except msgspec.ValidationError as exc:
            raise MalformedRequest(f"the body does not have the right shape: {exc}") from exc

    def json(self) -> Any:
        """The body as JSON, no name twice in an object and not too deep."""
        media_type = self.headers.get(b"content-type", b"application/json").lower()
        if not _JSON_TYPE.fullmatch(media_type):
            shown = media_type[:80].decode("latin-1")
            raise UnsupportedMediaType(f"the body is {shown!r}; send application/json, in UTF-8")
        return json_of(self.body)


_JSON_TYPE = re.compile(rb'application/(json|[a-z0-9.+-]+\+json)\s*(;\s*charset="?utf-8"?\s*)?')
_NAME = re.compile(rb'"\s*:')
_NESTING = (dict, list)
_decode = msgspec.json.Decoder(float_hook=Decimal).decode


def json_of(body: bytes) -> Any:
    """JSON in UTF-8, no name twice in an object and not too deep; else `MalformedRequest`."""
    try:
        value = _decode(body)
    except RecursionError as exc:
        raise MalformedRequest(f"the body is nested deeper than {DEPTH_MAX}") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise MalformedRequest(f"the body is not JSON in UTF-8: {str(exc)[:200]}") from exc
    if isinstance(value, _NESTING) and len(_NAME.findall(body)) != _names_in(value, 0):
        _refuse_names_twice(body)
    return value


def _names_in(value: dict[str, Any] | list[Any], depth: int) -> int:
    """How many names the objects of an object or array have."""
    if depth > DEPTH_MAX:
        raise MalformedRequest(f"the body is nested deeper than {DEPTH_MAX}")
    names, inside = (len(value), value.values()) if isinstance(value, dict) else (0, value)
    for one in inside:
        if isinstance(one, _NESTING):
            names += _names_in(one, depth + 1)
    return names


def _refuse_names_twice(body: bytes) -> None:
    """Look closely where the quick count leaves a doubt: a text may hold what looks like a name."""

    def unique(pairs: list[tuple[str, object]]) -> None:
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise MalformedRequest(f"the body names {name[:80]!r} twice in one object")
            seen.add(name)

    json.loads(body, object_pairs_hook=unique, parse_int=str, parse_float=str)


def request_id(headers: Mapping[bytes, bytes]) -> str:
    """The caller's own `X-Request-Id` where it is a plain word, else a new one."""
    given = headers.get(b"x-request-id")
    if given and _PLAIN.fullmatch(given):
        return given.decode()
    # It names and guards nothing. What the system gives as random is waited for: the interpreter
    # lets the journal's thread go first, and comes back when that has decided its batch.
    return f"{getrandbits(128):032x}"


_PLAIN = re.compile(rb"[A-Za-z0-9._:-]{1,64}")

Handler = Callable[[Keeper, Visit], Awaitable[Answer]]
Visible = Literal["journal", "views"]
"""What an answer is made from: the log itself, or the read models that follow it."""
Conversation = Callable[[Keeper, HTTPScope, Receive, Send], Awaitable[None]]
Refuser = Callable[[Keeper, Visit | None, Refusal], Answer]
"""What goes back instead, to a visit that may not even have been read."""


class Form(Struct, frozen=True):
    """Another form of what an operation shows, asked for by the end of the address."""

    suffix: str
    media_type: str
    summary: str
    query: Mapping[str, str] = {}
    refuses: tuple[type[Refusal], ...] = ()


class Operation(Struct, frozen=True):
    """One method at one address: what it does, for the machine and for its readers."""

    method: str
    path: str
    """With `{names}` where parts vary."""
    handle: Handler | None
    """None where it converses."""
    summary: str
    gives: type | None
    takes: type | UnionType | None = None
    status: int = 200
    query: Mapping[str, str] = {}
    """Parameter → what it means."""
    signed: bool = False
    """It takes no key: what comes proves itself."""
    bodiless: bool = False
    """Its body may be left out."""
    writes: bool = False
    """It takes `Idempotency-Key` (and, on a case that is there, `If-Match`)."""
    needed: tuple[str, ...] = ()
    """The query's parameters that cannot be left out."""
    refuses: tuple[type[Refusal], ...] = ()
    """Its own ways of saying no, beyond those that its address and its body bring with them."""
    forms: tuple[Form, ...] = ()
    converse: Conversation | None = None
    """Takes the place of `handle` where body or answer have no bound: it reads and sends itself."""
    media_type: str = "application/json"
    """Of what it takes and gives."""
    visible: Visible = "journal"
    """Where a position has to be visible before it is handled."""
    refuse: Refuser | None = None
    """How it says no; None where that is a problem in JSON."""

    @property
    def name(self) -> str:
        """What the function behind it is called."""
        handle = self.converse or self.handle
        assert handle is not None, self.path
        return handle.__name__


async def serve(
    operation: Operation, keeper: Keeper, scope: HTTPScope, receive: Receive, send: Send
) -> None:
    """Read, handle, answer."""
    if operation.converse:
        await operation.converse(keeper, scope, receive, send)
        return
    assert operation.handle is not None, operation.path
    started = perf_counter()
    refuse = operation.refuse or _problem
    visit: Visit | None = None
    try:
        body = await read_body(receive)
        visit = Visit(scope, body)
        if b"statekeeper-position" in visit.headers:
            await reach(operation.visible, keeper, visit)
        answer = await operation.handle(keeper, visit)
    except Refusal as refusal:
        keeper.tally.refusals[refusal.code] += 1
        answer = refuse(keeper, visit, refusal)
        if isinstance(refusal, NotNow):
            log.warning("not now", code=refusal.code, detail=refusal.detail)
    except Exception:
        fault = visit.id if visit else request_id(dict(scope["headers"]))
        log.exception("fault", request=fault, operation=operation.path)
        ours = InternalFault("this is our fault; the service's log says more", request=fault)
        answer = refuse(keeper, visit, ours)
    identity = visit.id if visit else ""
    await respond(answer, keeper, identity, send)
    if answer.status < REFUSED and not _says_all():
        return
    say = log.debug if answer.status < REFUSED else log.info
    say(
        "answered",
        request=identity,
        method=operation.method,
        path=_shown(operation, scope["path"]),
        status=answer.status,
        ms=round((perf_counter() - started) * 1000, 1),
    )


@cache
def _says_all() -> bool:
    """Whether what is accepted is said too: a thousand times a second that is not asked again."""
    return bool(log.is_enabled_for(DEBUG))


def _shown(operation: Operation, path: str) -> str:
    """An address as the log may have it: what nobody is to guess is left out."""
    if not operation.path.endswith("{token}"):
        return path
    return f"{path.rpartition('/')[0]}/…"


async def respond(answer: Answer, keeper: Keeper, identity: str, send: Send) -> None:
    """Send an answer, with what every answer carries."""
    keeper.tally.answers[answer.status] += 1
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [
                (b"content-type", answer.media_type),
                (b"content-length", b"%d" % len(answer.body)),
                (b"cache-control", answer.keep),
                (b"x-request-id", identity.encode()),
                (b"statekeeper-position", b"%d" % _seen(answer, keeper)),
                *answer.headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})


async def begin(
    keeper: Keeper, visit: Visit, send: Send, kind: bytes, more: Headers = NO_HEADERS
) -> None:
    """Begin a 200 that comes piece by piece; whoever is on the way is not to gather the pieces."""
    keeper.tally.answers[200] += 1
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [
                (b"content-type", kind),
                (b"cache-control", b"no-store"),
                (b"x-accel-buffering", b"no"),
                (b"x-request-id", visit.id.encode()),
                (b"statekeeper-position", b"%d" % keeper.journal.position),
                *more,
            ],
        }
    )


def _seen(answer: Answer, keeper: Keeper) -> int:
    return keeper.journal.position if answer.position is None else answer.position


def _problem(_keeper: Keeper, _visit: Visit | None, refusal: Refusal) -> Answer:
    return refused(refusal)


def refused(refusal: Refusal) -> Answer:
    """A refusal as an answer."""
    return Answer(
        status_of(refusal), body_of(refusal), headers_of(refusal), b"application/problem+json"
    )


def told(
    value: object,
    status: int = 200,
    headers: Headers | None = None,
    *,
    position: int | None = None,
) -> Answer:
    """A value as a JSON answer."""
    return Answer(status, JSON.encode(value), headers or [], position=position)


async def read_body(
    receive: Receive, most: int = BODY_BYTES_MAX, seconds: float = BODY_SECONDS_MAX
) -> bytes:
    """The whole body, in time; `BodyTooLarge` where it is longer than `most` bytes."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    # As `asyncio.timeout` does it, at a third of the cost: nearly every body is there already.
    late = loop.call_later(seconds, task.cancel, TOO_LATE)
    try:
        return await _read_whole(receive, most)
    except asyncio.CancelledError as exc:
        if exc.args != (TOO_LATE,) or task.uncancel():
            raise
        raise MalformedRequest(f"the body did not arrive in {seconds:.0f} s") from exc
    finally:
        late.cancel()


async def _read_whole(receive: Receive, most: int) -> bytes:
    parts: list[bytes] = []
    size, more = 0, True
    while more and size <= DRAIN_BYTES_MAX:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            raise MalformedRequest("the connection ended before the body did")
        part: bytes = message.get("body", b"")
        size += len(part)
        if size <= most:
            parts.append(part)
        more = message.get("more_body", False)
    if size > most:
        raise _too_large(most)
    return b"".join(parts)


def _too_large(most: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is longer than {most} bytes", bytes_max=most)


async def reach(visible: Visible, keeper: Keeper, visit: Visit) -> None:
    """Wait until the position that the request wants to see is visible here."""
    given = visit.header(b"statekeeper-position") or ""
    if not (given.isdigit() and len(given) < 19):  # noqa: PLR2004 - what a bigint holds
        raise MalformedRequest("Statekeeper-Position has to be a whole number")
    wanted, give_up_at = int(given), monotonic() + POSITION_SECONDS_MAX
    while (reached := await _visible(visible, keeper)) < wanted:
        if monotonic() > give_up_at:
            raise PositionNotReached(
                f"position {wanted} is not visible here yet (the last one is {reached})"
            )
        await asyncio.sleep(0.02)


async def _visible(visible: Visible, keeper: Keeper) -> int:
    if visible == "journal":
        return keeper.journal.position
    return await asyncio.to_thread(keeper.store.position)
