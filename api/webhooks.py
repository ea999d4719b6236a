"""What products send: verified, understood, kept, and answered, in one go.

A delivery is believed once its signature holds; before that no more is read of it than the
signature needs, within bounds. Each message in it becomes a report of its tool; all of them are
durable before the product reads a 2xx, and one that cannot be understood is kept beside the others.

A message that only names a record waits a moment for it (half of the time that the product gives
us, two seconds at most). If the record does not come, the message is kept as `not-fetched`, the
product is answered, and `completing` goes on asking.
"""

import asyncio
from collections.abc import Callable, Sequence
from hmac import compare_digest
from typing import Final, TypeVar
from urllib.parse import parse_qsl

import structlog
from msgspec import Struct

from api import problems
from api.door import Answer, Keeper, Operation, Visit
from api.ears import Ear, ear_of, heard, hearing
from api.fetching import NotFetched
from api.problems import MalformedRequest, MethodNotAllowed, UnsupportedMediaType
from lifecycle import refusals
from lifecycle.asks import Taken
from lifecycle.bodies import NotUnderstood, Pairs
from lifecycle.deliveries import Delivery, Message, Reply, introduced, kept, understand
from lifecycle.journal import IMPORT_ASKS_MAX
from lifecycle.messages import Message as Known
from lifecycle.messages import message_stream
from lifecycle.refusals import UnknownTool
from lifecycle.signatures import BadSignature, Unsigned, verify

ASIDE_BYTES: Final = 32 * 1024
"""A longer body is read beside the event loop, so that it keeps nobody waiting."""
KEPT_BYTES_MAX: Final = 2 * 2**20
"""How much is kept of one body's messages, each as it came."""
PARAMETERS_MAX: Final = 100
"""Parameters of an address."""
TOKEN_LENGTH_MIN: Final = 16
"""A shorter token in an address can be guessed."""
TOKEN_AT: Final = 5
"""Which part of the address the token is."""

T = TypeVar("T")

log = structlog.get_logger("statekeeper.webhooks")


class Request(Struct, frozen=True):
    """A request as connectors look at it."""

    method: str
    url: str
    """The address that the product was given."""
    headers: Pairs
    query: Pairs
    body: bytes
    token: str
    """What stands behind the address proper; empty where nothing does."""


async def webhook(keeper: Keeper, visit: Visit) -> Answer:
    """Take in what a product sends of its own accord."""
    ear, request = _ear(keeper, visit), _request(keeper, visit)
    said = await _aside(request, lambda: _understood(keeper, ear, request))
    if isinstance(said, Reply):
        return _replied(said)
    await _keep(keeper, ear, said, request.body)
    return _replied(said.answer)


async def webhook_at_token(keeper: Keeper, visit: Visit) -> Answer:
    """Take in the same at an address that nobody can guess."""
    return await webhook(keeper, visit)


async def greeting(keeper: Keeper, visit: Visit) -> Answer:
    """Answer a product that looks whether somebody is here, or wants something read back."""
    ear, request = _ear(keeper, visit), _request(keeper, visit)
    reply = await _aside(request, lambda: _introduced(ear, request))
    if reply is not None:
        return _replied(reply)
    if visit.method == "HEAD":
        return Answer(200, b"", media_type=b"text/plain; charset=utf-8")
    raise MethodNotAllowed("messages are sent by POST", allowed=["HEAD", "POST"])


# --- what came ----------------------------------------------------------------------------------


def _ear(keeper: Keeper, visit: Visit) -> Ear:
    tool = visit.segment(3)
    ear = ear_of(keeper, tool)
    if ear is None:
        raise UnknownTool(f"no lifecycle has a tool {tool[:80]!r}", tool=tool[:80])
    return ear


def _request(keeper: Keeper, visit: Visit) -> Request:
    coding = visit.headers.get(b"content-encoding", b"identity").strip().lower()
    if coding != b"identity":
        raise UnsupportedMediaType("the body is compressed; send it as it is")
    query = visit.query_string.decode("latin-1")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=PARAMETERS_MAX)
    except ValueError as exc:
        raise MalformedRequest("the address has too many parameters") from exc
    return Request(
        visit.method,
        _address(keeper, visit),
        [(name.decode("latin-1"), value.decode("latin-1")) for name, value in visit.pairs],
        pairs,
        visit.body,
        visit.segment(TOKEN_AT) if len(visit.segments) > TOKEN_AT else "",
    )


def _address(keeper: Keeper, visit: Visit) -> str:
    """The address that the product was given."""
    base = keeper.public_url
    if base is None:
        host = visit.headers.get(b"host", b"").decode("latin-1")
        base = f"{'https' if visit.is_secure else 'http'}://{host}"
    query = f"?{visit.query_string.decode('latin-1')}" if visit.query_string else ""
    return f"{base.rstrip('/')}{b'/'.join(visit.segments).decode('latin-1')}{query}"


async def _aside(request: Request, reading: Callable[[], T]) -> T:
    """What a reading gives; one that may take longer does not hold up the others."""
    if len(request.body) < ASIDE_BYTES:
        return reading()
    return await asyncio.to_thread(reading)


def _introduced(ear: Ear, request: Request) -> Reply | None:
    return introduced(
        ear.connector, headers=request.headers, query=request.query, body=request.body
    )


def _understood(keeper: Keeper, ear: Ear, request: Request) -> Delivery | Reply:
    """What a delivery says, once it is proved; what is not signed may be an introduction."""
    try:
        _prove(keeper, ear, request)
    except BadSignature as exc:
        unsigned = isinstance(exc, Unsigned)
        if unsigned and (reply := _introduced(ear, request)) is not None:
            return reply
        keeper.tally.unproven[ear.tool] += 1
        log.warning("bad signature", tool=ear.tool, why=str(exc))
        raise problems.BadSignature(
            f"nothing proves that this comes from {ear.tool!r}: the signature is missing, too old,"
            " or not by a secret that is set here",
            tool=ear.tool,
        ) from exc
    try:
        return understand(
            ear.connector,
            headers=request.headers,
            query=request.query,
            body=request.body,
            received_at=keeper.journal.clock(),
        )
    except NotUnderstood as exc:
        raise MalformedRequest(str(exc)) from exc


def _prove(keeper: Keeper, ear: Ear, request: Request) -> None:
    """Raise `BadSignature` unless the delivery comes from where it says."""
    signature = ear.connector.signature
    if signature is None:
        raise Unsigned("its connector does not say how it signs")
    if signature.none:
        _prove_by_token(ear, request.token)
        return
    verify(
        signature,
        method=request.method,
        url=request.url,
        headers=request.headers,
        query=request.query,
        body=request.body,
        secrets=ear.secrets,
        now=keeper.journal.clock(),
    )


def _prove_by_token(ear: Ear, token: str) -> None:
    """What is not signed is sent to an address that nobody can guess."""
    if not token:
        raise Unsigned("not the address that the product was given")
    held = [secret for secret in ear.secrets if len(secret) >= TOKEN_LENGTH_MIN]
    if not held:
        raise BadSignature(f"no token of {TOKEN_LENGTH_MIN} characters or more is set")
    if not any(compare_digest(token.encode(), secret.encode()) for secret in held):
        raise BadSignature("not the address that the product was given")


# --- what is kept -------------------------------------------------------------------------------


async def _keep(keeper: Keeper, ear: Ear, delivery: Delivery, body: bytes) -> None:
    """Have every message taken in; raises where one is not durable: the product sends it again."""
    raws = _raws(delivery.messages, body)
    messages = await _with_records(keeper, ear, delivery.messages)
    asks = [heard(ear, message, raw) for message, raw in zip(messages, raws, strict=True)]
    for first in range(0, len(asks), IMPORT_ASKS_MAX):
        size = sum(len(raw) for raw in raws[first : first + IMPORT_ASKS_MAX])
        for outcome in await keeper.journal.hear_many(asks[first : first + IMPORT_ASKS_MAX], size):
            if not isinstance(outcome, Taken):
                assert isinstance(outcome, BaseException), outcome
                raise outcome
    if any(message.needs_fetch for message in messages):
        keeper.fetcher.wanted(ear.tool).set()


def _raws(messages: Sequence[Message], body: bytes) -> list[bytes]:
    """What is kept of each: of the only one the body as it came, of several their own parts."""
    if len(messages) == 1 and not messages[0].needs_fetch:
        return [body]
    raws, left = [], KEPT_BYTES_MAX
    for message in messages:
        raw = kept(message)
        left -= len(raw)
        raws.append(raw if left >= 0 else b"")
    return raws


async def _with_records(keeper: Keeper, ear: Ear, messages: Sequence[Message]) -> list[Message]:
    """The same, with the records of those that only name one, as far as they come in time."""
    fetcher = keeper.fetcher
    patience = fetcher.patience(ear.tool, ear.connector)
    calls: dict[bytes, asyncio.Task[Message]] = {}
    for message in messages:
        if not (message.needs_fetch and patience) or _is_known(keeper, ear, message):
            continue
        if (same := kept(message)) not in calls:  # what a body says twice is asked for once
            call = fetcher.complete(ear.tool, ear.connector, message)
            calls[same] = asyncio.create_task(call)
    if not calls:
        return list(messages)
    _, late = await asyncio.wait(calls.values(), timeout=patience)
    if late:
        fetcher.was_slow(ear.tool)
        for task in late:
            task.cancel()
        await asyncio.wait(late)
    return [_with_record(message, calls.get(kept(message)), ear.tool) for message in messages]


def _with_record(message: Message, call: asyncio.Task[Message] | None, tool: str) -> Message:
    if call is None or call.cancelled():
        return message
    match call.exception():
        case None:
            return call.result()
        case NotFetched() as why:
            log.warning("not fetched", tool=tool, why=str(why))
        case fault:
            log.error("fault", tool=tool, exc_info=fault)
    return message


def _is_known(keeper: Keeper, ear: Ear, message: Message) -> bool:
    """Whether this process remembers the very same message: nobody asks for its record again."""
    what = hearing(ear, message, b"")
    known = keeper.journal.memory.peek(message_stream("", "", what))
    state = known.state if known else None
    return isinstance(state, Known) and state.heard.content == what.said


def _replied(reply: Reply) -> Answer:
    """What the product reads back."""
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in reply.headers]
    named = dict(headers)
    others = [(name, value) for name, value in headers if name != b"content-type"]
    medium = named.get(b"content-type", b"text/plain; charset=utf-8")
    return Answer(reply.status, reply.body, others, medium)


_REFUSES = (refusals.UnknownTool, UnsupportedMediaType, problems.BadSignature)
_SUMMARY = "Take in what a product sends, in its own payload and signature"

OPERATIONS = tuple(
    Operation(
        "POST",
        path,
        handle,
        summary,
        gives=None,
        media_type="text/plain",
        signed=True,
        refuses=(*_REFUSES, refusals.DefinitionNotAdopted),
    )
    for path, handle, summary in (
        ("/v1/tools/{tool}/webhook", webhook, _SUMMARY),
        (
            "/v1/tools/{tool}/webhook/{token}",
            webhook_at_token,
            f"{_SUMMARY}, at an address that nobody can guess",
        ),
    )
)
GREETINGS = tuple(
    Operation(method, one.path, greeting, "Answer a product that introduces itself", gives=None)
    for one in OPERATIONS
    for method in ("GET", "HEAD")
)
"""How some products look, before they send anything, whether the address is ours."""
