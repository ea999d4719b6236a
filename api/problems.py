"""Refusal → HTTP, one table; every refusal is a problem of RFC 9457 with a page of its own."""

from collections.abc import Iterator

import msgspec

from lifecycle import refusals
from lifecycle.refusals import NotNow, Refusal

JSON = msgspec.json.Encoder(decimal_format="number")
"""How every answer is written: numbers exact, never a float."""


class MalformedRequest(Refusal):
    """It cannot be read: no JSON, not the declared shape, a header or address that is none."""

    code = "malformed-request"
    title = "Malformed request"


class BodyTooLarge(Refusal):
    """The body is longer than this service reads."""

    code = "body-too-large"
    title = "Body too large"


class UnsupportedMediaType(Refusal):
    """The body is not JSON, or not UTF-8."""

    code = "unsupported-media-type"
    title = "Unsupported media type"


class NotFound(Refusal):
    """Nothing has this address."""

    code = "not-found"
    title = "Not found"


class MethodNotAllowed(Refusal):
    """This address does not take this method."""

    code = "method-not-allowed"
    title = "Method not allowed"


class BadSignature(Refusal):
    """Nothing proves that a webhook comes from the tool that it says."""

    code = "bad-signature"
    title = "Bad signature"


class TooManyRequests(Refusal):
    """Too many wrong keys were tried from this address; `retry_after` says how long to wait."""

    code = "too-many-requests"
    title = "Too many requests"


class InternalFault(Refusal):
    """We are wrong; the log has the fault under the request's id."""

    code = "internal-fault"
    title = "Our fault"


class PositionNotReached(refusals.StorageUnavailable):
    """The position that the request wants to see has not become visible here in time."""


class BeingAnswered(refusals.Overloaded):
    """The same ask, under the same idempotency key, is being answered at this moment."""


STATUS: dict[type[Refusal], int] = {
    MalformedRequest: 400,
    BodyTooLarge: 413,
    UnsupportedMediaType: 415,
    NotFound: 404,
    MethodNotAllowed: 405,
    InternalFault: 500,
    refusals.NotSignedIn: 401,
    BadSignature: 401,
    refusals.StaffOnly: 403,
    refusals.NotYours: 403,
    refusals.IdempotencyKeyReused: 422,
    refusals.UnknownCollection: 404,
    refusals.UnknownTool: 404,
    refusals.UnknownCase: 404,
    refusals.UnknownReference: 404,
    refusals.UnknownVersion: 404,
    refusals.NotThere: 404,
    refusals.UnknownTransition: 422,
    refusals.VersionMoved: 412,
    refusals.TransitionNotOpen: 409,
    refusals.CaseExists: 409,
    refusals.ReferenceTaken: 409,
    refusals.ConditionNotMet: 409,
    refusals.NotTheOwner: 403,
    refusals.InvalidFields: 422,
    refusals.FieldsMissing: 422,
    refusals.ReasonRequired: 422,
    TooManyRequests: 429,
    refusals.StorageUnavailable: 503,
    PositionNotReached: 503,
    refusals.Overloaded: 503,
    BeingAnswered: 503,
    refusals.DefinitionNotAdopted: 503,
}
"""Every refusal that can be raised, in the order in which an ask is judged."""

NO_HEADERS: list[tuple[bytes, bytes]] = []


def kinds() -> Iterator[type[Refusal]]:
    """Every refusal that can be raised."""
    waiting = [Refusal]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if hasattr(kind, "code"):
            yield kind


def status_of(refusal: Refusal) -> int:
    """The HTTP status of a refusal."""
    return STATUS[type(refusal)]


def body_of(refusal: Refusal) -> bytes:
    """The problem details of a refusal (RFC 9457), the facts behind it among them."""
    return JSON.encode(
        {
            "type": f"/problems/{refusal.code}",
            "title": refusal.title,
            "status": status_of(refusal),
            "detail": refusal.detail,
            **refusal.facts,
        }
    )


def headers_of(refusal: Refusal) -> list[tuple[bytes, bytes]]:
    """What goes with a refusal besides its body."""
    match refusal:
        case NotNow():
            return [(b"retry-after", str(refusal.retry_after_seconds).encode())]
        case TooManyRequests(facts={"retry_after": int(seconds)}):
            return [(b"retry-after", str(seconds).encode())]
        case refusals.NotSignedIn():
            return [(b"www-authenticate", b'Bearer realm="statekeeper"')]
        case BadSignature():
            return [(b"www-authenticate", b'Signature realm="statekeeper"')]
        case MethodNotAllowed(facts={"allowed": list(allowed)}):
            return [(b"allow", ", ".join(allowed).encode())]
    return NO_HEADERS
