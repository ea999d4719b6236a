"""Does a webhook come from where it says? Everything that a connector's `signature` can state.

A signature is read out of where it is written (`reads`), what was signed is put together again
(`signs`), and the two are compared in constant time, for each secret that holds at present. Work
is bounded before anything is believed, and whatever is wrong is one thing: `BadSignature`.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Final

from msgspec import Struct

from lifecycle.bodies import BYTES_MAX, JSON, NotUnderstood, Pairs, decoded
from lifecycle.connectors import InBody, Signature
from lifecycle.declaration import seconds
from lifecycle.expressions import FindsNothing, NotAnExpression, Place, find, pieces, written
from lifecycle.fields import NotThat
from lifecycle.readings import moment

TOLERANCE: Final = timedelta(minutes=5)
"""How old or early a signed timestamp may be where the connector says nothing."""
WRITTEN_LENGTH_MAX: Final = 4_096
"""The longest text in which signatures are looked for, in characters."""
SIGNATURES_MAX: Final = 16
"""How many signatures are tried; products send two at most while they rotate."""
SECRETS_MAX: Final = 8
"""How many secrets are tried."""


class BadSignature(Exception):
    """It is missing, cannot be read, is too old, or is not by any secret; the message says which.

    The door answers it as `bad-signature`; nothing else is said to whoever sent it.
    """


class Unsigned(BadSignature):
    """It carries no signature at all: it may be a product that introduces itself."""


class Verified(Struct, frozen=True):
    """A delivery that comes from where it says."""

    secret: int | None = None
    """Which of the secrets it was signed with, from 0; None where the product does not sign."""
    timestamp: datetime | None = None
    """When it says it was signed."""
    id: str | None = None
    """What the signature calls the message."""


def verify(
    signature: Signature,
    *,
    method: str,
    url: str,
    headers: Pairs,
    query: Pairs,
    body: bytes,
    secrets: Sequence[str],
    now: datetime,
) -> Verified:
    """Say that a delivery is genuine, or raise `BadSignature`; `Unsigned` where it carries none.

    `url` is the address the product was given; `body` the exact bytes that came; `secrets` those
    that hold at present, as they are written. Product's facts: each connector's own file.
    """
    if signature.none:
        return Verified()
    if len(body) > BYTES_MAX:
        raise BadSignature(f"{len(body):,} bytes are more than a webhook has")
    held = [secret for secret in secrets if secret][:SECRETS_MAX]
    request = _Request(method, url, headers, query, body)
    if signature.basic:
        return _by_password(headers, held)
    if signature.mac == "token":
        return _by_token(signature, request, held)
    claims = _claims(signature, request)
    if not claims and not any(_places(signature, request)):
        raise Unsigned("no signature stands where it is expected")
    _check_held(held)
    if not claims:
        raise BadSignature("the signature is not written as its connector says")
    fresh = [one for one in claims if not signature.is_timed or _is_fresh(one, signature, now)]
    if not fresh:
        raise BadSignature("its timestamp is missing, too old, or ahead of our clock")
    signs = _signs(signature)
    for index, secret in enumerate(held):
        for claim in _signed_with(secret, fresh, signs, signature, request):
            return Verified(index, claim.timestamp, claim.id or None)
    raise BadSignature("not signed with any secret that holds at present")


class _Request:
    """What came, as templates want it."""

    def __init__(self, method: str, url: str, headers: Pairs, query: Pairs, body: bytes) -> None:
        self.method, self.url, self.body = method, url, body
        self.headers = [(name.lower(), value) for name, value in headers]
        self.query = query
        self._said: JSON = None
        self._is_read = False

    def header(self, name: str | None) -> str | None:
        """Give the first header of this name."""
        return next((value for key, value in self.headers if key == (name or "").lower()), None)

    def found(self, expression: str) -> str:
        """Give what an expression finds in the body, as text."""
        text = written(self._find(expression))
        if text is None:
            raise BadSignature("the body does not hold what is signed")
        return text

    def several(self, expression: str) -> list[str]:
        """Give the text that an expression finds in the body, or all of a list of them."""
        try:
            found = self._find(expression)
        except BadSignature:
            return []
        texts = (written(one) for one in (found if isinstance(found, list) else [found]))
        return [text for text in texts if text]

    def at(self, place: str | InBody | None) -> str | None:
        """Give what stands in a header of this name, or there in the body."""
        if isinstance(place, InBody):
            return next(iter(self.several(place.body)), None)
        return self.header(place)

    def _find(self, expression: str) -> JSON:
        if not self._is_read:
            self._said = _readable(self.body, self.header("content-type") or "")
            self._is_read = True
        try:
            return find(expression, self._said)
        except FindsNothing as exc:
            raise BadSignature("the body does not hold what is signed") from exc


class _Claim(Struct, frozen=True):
    """One signature as it was written, with the time and the id beside it."""

    signature: str
    written_at: str | None
    id: str
    timestamp: datetime | None


def _by_password(headers: Pairs, secrets: Sequence[str]) -> Verified:
    given = next((value for name, value in headers if name.lower() == "authorization"), "")
    if not given:
        raise Unsigned("no user and password came along (HTTP Basic)")
    _check_held(secrets)
    scheme, _, coded = given[:WRITTEN_LENGTH_MAX].partition(" ")
    said = _unbase64(coded.strip())
    if scheme.lower() != "basic" or said is None:
        raise BadSignature("no user and password came along (HTTP Basic)")
    for index, secret in enumerate(secrets):
        if hmac.compare_digest(said, _bytes(secret)):
            return Verified(index)
    raise BadSignature("not a user and password that hold at present")


def _by_token(signature: Signature, request: _Request, secrets: Sequence[str]) -> Verified:
    """Compare what came with the secret itself; of several, each has to be it."""
    given = [_bytes(_stripped(text, signature.reads)) for text in _places(signature, request)]
    if not any(given):
        if any(_places(signature, request)):
            raise BadSignature("the token is not written as its connector says")
        raise Unsigned("no token stands where it is expected")
    _check_held(secrets)
    for index, secret in enumerate(secrets):
        if all(hmac.compare_digest(one, _bytes(secret)) for one in given):
            return Verified(index)
    raise BadSignature("not a token that holds at present")


def _stripped(text: str, reads: str) -> str:
    """Give the token without what is written around it: `Bearer {signature}`."""
    around = [piece if isinstance(piece, str) else "\0" for piece in pieces(reads)]
    before, _, after = "".join(around).partition("\0")
    if text[: len(before)].lower() != before.lower() or not text.endswith(after):
        return ""
    return text[len(before) : len(text) - len(after)].strip()


def _check_held(secrets: Sequence[str]) -> None:
    if not secrets:
        raise BadSignature("no secret is set for this tool")


def _claims(signature: Signature, request: _Request) -> list[_Claim]:
    """Read every signature out of where it is written, at most `SIGNATURES_MAX`."""
    claims: list[_Claim] = []
    for text in _places(signature, request):
        found = [
            match.groupdict()
            for part in _reads(signature.reads)
            for match in islice(part.finditer(text), SIGNATURES_MAX)
        ]
        # What stands once beside several signatures, such as their time, belongs to each.
        around = {name: value for said in reversed(found) for name, value in said.items()}
        for said in ({**around, **said} for said in found if "signature" in said):
            written_at = said.get("timestamp") or request.at(signature.timestamp)
            name = said.get("id") or request.at(signature.id) or ""
            claims.append(_Claim(said["signature"], written_at, name, _time(written_at)))
        if len(claims) >= SIGNATURES_MAX:
            break
    return claims[:SIGNATURES_MAX]


def _places(signature: Signature, request: _Request) -> Iterator[str]:
    """Give the texts in which signatures may stand."""
    if signature.body is not None:
        for text in request.several(signature.body):
            yield text[:WRITTEN_LENGTH_MAX]
    elif signature.query is not None:
        yield from (
            value[:WRITTEN_LENGTH_MAX] for name, value in request.query if name == signature.query
        )
    elif signature.header is not None:
        wanted = signature.header.lower()
        for name, value in request.headers[:200]:
            if name == wanted or (wanted.endswith("*") and name.startswith(wanted[:-1])):
                yield value[:WRITTEN_LENGTH_MAX]


@lru_cache(maxsize=256)
def _reads(template: str) -> tuple[re.Pattern[str], ...]:
    """Compile how a signature is written, part by part.

    A part is what stands between two commas, semicolons or spaces of the template; those before
    the first place belong to it (`v1,{signature}`). Parts are found anywhere, in any order.
    """
    parts, written_so_far = [""], False
    for piece in pieces(template):
        if isinstance(piece, Place):
            parts[-1] += f"(?P<{piece.expression}>{_VALUES[piece.expression]})"
            written_so_far = True
            continue
        before, cut, after = piece, "", ""
        if written_so_far and (found := _SEPARATOR.search(piece)):
            before, cut, after = piece[: found.start()], found[0], piece[found.end() :]
        parts[-1] += re.escape(before)
        if cut:
            parts.append(re.escape(after))
    return tuple(
        re.compile(rf"(?:^|(?<=[\s,;&])){part}(?=$|[\s,;&])") for part in parts if "(?P<" in part
    )


def _signs(signature: Signature) -> tuple[str | Place, ...]:
    try:
        return pieces(signature.signs)
    except NotAnExpression as exc:
        raise AssertionError(f"a connector was not checked: {exc}") from exc


def _is_fresh(claim: _Claim, signature: Signature, now: datetime) -> bool:
    if claim.timestamp is None:
        return False
    tolerance = TOLERANCE
    if signature.tolerance is not None:
        tolerance = timedelta(seconds=seconds(signature.tolerance))
    return abs(now - claim.timestamp) <= tolerance


def _signed_with(
    secret: str,
    claims: Sequence[_Claim],
    signs: Sequence[str | Place],
    signature: Signature,
    request: _Request,
) -> Iterator[_Claim]:
    """Give the claims that this secret makes; what several share is computed once."""
    key = _key(secret, signature.secret)
    if key is None:
        return
    made: dict[tuple[str | None, str], bytes] = {}
    for claim in claims:
        said = (claim.written_at, claim.id)
        if said not in made:
            made[said] = _mac(signature, key, _signed(signs, claim, request, key))
        given = _undo(claim.signature, signature.encoding)
        if given is not None and hmac.compare_digest(made[said], given):
            yield claim


def _signed(signs: Sequence[str | Place], claim: _Claim, request: _Request, key: bytes) -> bytes:
    """Put together again what was signed, byte for byte."""
    known: Mapping[str, bytes] = {
        "method": _bytes(request.method.upper()),
        "url": _bytes(request.url),
        "timestamp": _bytes(claim.written_at or ""),
        "id": _bytes(claim.id),
        "body": request.body,
        "secret": key,
    }
    signed = bytearray()
    for piece in signs:
        if isinstance(piece, str):
            signed += _bytes(piece)
        elif piece.expression in known:
            signed += known[piece.expression]
        else:
            signed += _bytes(request.found(piece.expression))
    return bytes(signed)


def _mac(signature: Signature, key: bytes, signed: bytes) -> bytes:
    if signature.mac == "digest":
        return hashlib.new(signature.algorithm, signed).digest()
    return hmac.digest(key, signed, signature.algorithm)


def _readable(body: bytes, content_type: str) -> JSON:
    try:
        return decoded(body, content_type)
    except NotUnderstood as exc:
        raise BadSignature("the body, which holds what is signed, cannot be read") from exc


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return moment(text[:_TIME_LENGTH_MAX])
    except NotThat:
        return None


def _key(secret: str, how: str) -> bytes | None:
    """Give the bytes of a secret; None where it is not written as the connector says."""
    if how == "plain":
        return _bytes(secret)
    if how == "hex":
        return _undo(secret, "hex") or None
    return _unbase64(secret.removeprefix("whsec_")) or None


def _undo(text: str, encoding: str) -> bytes | None:
    if encoding == "base64":
        return _unbase64(text)
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None


def _unbase64(text: str) -> bytes | None:
    """Read base64, also of the alphabet for addresses, also without its padding."""
    plain = text.translate(_ALPHABET).rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _bytes(text: str) -> bytes:
    """Write text as it came: half a character, which is no UTF-8, is written as it is."""
    return text.encode("utf-8", "surrogatepass")


_ALPHABET: Final = str.maketrans("-_", "+/")
_SEPARATOR: Final = re.compile(r"[\s,;&]+")
_TIME_LENGTH_MAX: Final = 64
_VALUES: Final = {
    "signature": r"[A-Za-z0-9+/=_-]{1,512}",
    "timestamp": r"[0-9TZtz:.+-]{1,40}",
    "id": r"[^\s,;&]{1,512}",
}
"""How each part may look; bounded, so that no text takes long to look through."""
