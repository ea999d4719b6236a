"""Who is signed in, what a form of theirs may do, and for how long.

Signing in turns a staff key into a cookie that does not hold it: which key, as of how many times
everybody was signed out with it, until when; signed with a key made of the vault's master key, so
that every replica reads it. The key itself is looked up at every request: revoking it, or signing
out everywhere, ends a session at once, on every replica.
"""

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from hmac import compare_digest, digest
from secrets import token_urlsafe
from typing import Final
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from api.door import Answer, Headers, Keeper, Visit
from api.problems import MalformedRequest, UnsupportedMediaType
from lifecycle.events import Asker
from lifecycle.known import Key
from lifecycle.refusals import NotSignedIn, NotYours
from lifecycle.streams import key_stream

SESSION_SECONDS: Final = 12 * 3600
COOKIE: Final = "statekeeper"
HOST_ONLY: Final = "__Host-"
"""A browser takes a cookie whose name begins so only over https, and for this host alone."""
NAME_DIGITS: Final = 8
SAID: Final = "-said"
"""What ends the name of the cookie of what one page has the next one say."""
SAID_SECONDS: Final = 60
SAID_LENGTH_MAX: Final = 1000
COOKIES_BYTES_MAX: Final = 8000
FORM_FIELDS_MAX: Final = 1000
FORM_TYPE: Final = b"application/x-www-form-urlencoded"
CSRF: Final = "csrf"
"""The name of the hidden field that every form carries."""
PURPOSE: Final = "statekeeper: sessions of staff"
PURPOSE_OF_NAME: Final = "statekeeper: the name of its cookies"


class Claims(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the cookie says, once its signature was found to be ours."""

    key: str
    sessions_ended: int
    until: int
    """Unix time, in seconds."""
    nonce: str
    """Makes every session another one."""


class Session(Struct, frozen=True):
    """Somebody who is signed in."""

    asker: Asker
    id: str
    """Tells this session from all others; no secret of it can be made from this alone."""
    until: int
    """When it ends, Unix time in seconds."""

    @property
    def may_act(self) -> bool:
        """Whether the key is for more than reading."""
        return not self.asker.read_only


class Form(Struct, frozen=True):
    """What was filled in."""

    fields: Mapping[str, tuple[str, ...]]

    def one(self, name: str) -> str:
        """What stands in a field, without the space around it; empty where nothing does."""
        return self.fields.get(name, ("",))[-1].strip()

    def all(self, name: str) -> tuple[str, ...]:
        """Everything that was ticked under a name."""
        return self.fields.get(name, ())


# --- reading ------------------------------------------------------------------------------------


async def signed_in(keeper: Keeper, visit: Visit) -> Session:
    """Who is signed in; `NotSignedIn`, which a page answers with the way to `/sign-in`."""
    claims = _claims(keeper, visit)
    if claims is None:
        raise NotSignedIn("nobody is signed in here")
    # What other processes wrote is read first: a key revoked there is not honoured here.
    known = await asyncio.to_thread(keeper.journal.known_now, key_stream(claims.key))
    session = _session(claims, known.state)
    if session is None:
        raise NotSignedIn("this session was ended")
    return session


def peek(keeper: Keeper, visit: Visit | None) -> Session | None:
    """Who seems to be signed in, as far as is known at once: to greet them, not to trust them."""
    claims = None if visit is None else _claims(keeper, visit)
    if claims is None:
        return None
    known = keeper.journal.memory.peek(key_stream(claims.key))
    return _session(claims, known.state) if known else None


async def acting(keeper: Keeper, visit: Visit) -> tuple[Session, Form]:
    """Who sends a form, and what it says; `NotYours` where it is not of their own session.

    Also `NotYours` with a key that is for reading only.
    """
    session, form = await signed_in(keeper, visit), read_form(visit)
    check_csrf(keeper, session, form)
    if not session.may_act:
        raise NotYours(f"the key of {session.asker.name} is for reading only")
    return session, form


def read_form(visit: Visit) -> Form:
    """What was filled in; `UnsupportedMediaType` or `MalformedRequest` where it is no form."""
    media_type = visit.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if media_type != FORM_TYPE:
        raise UnsupportedMediaType(f"a form is sent as {FORM_TYPE.decode()}")
    try:
        pairs = parse_qsl(
            visit.body.decode(),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=FORM_FIELDS_MAX,
        )
    except ValueError as exc:
        raise MalformedRequest("the form cannot be read") from exc
    fields: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        fields[name] = (*fields.get(name, ()), value)
    return Form(fields)


# --- forms of one's own -------------------------------------------------------------------------


def csrf(keeper: Keeper, session: Session) -> str:
    """What every form of this session carries; another text every time, good until it ends.

    (A text that never changed could be guessed from the size of compressed pages.)
    """
    nonce = token_urlsafe(9)
    return f"{nonce}.{_signature(keeper, f'form {session.id} {nonce}')}"


def check_csrf(keeper: Keeper, session: Session, form: Form) -> None:
    """Refuse a form that was not made for this session: `NotYours`."""
    nonce, _, given = form.one(CSRF).partition(".")
    if not _same(given, _signature(keeper, f"form {session.id} {nonce}")):
        raise NotYours("this form is not of your session any more: load the page again, and repeat")


# --- cookies ------------------------------------------------------------------------------------


def begun(keeper: Keeper, visit: Visit, key: Key) -> Headers:
    """The headers that sign somebody in with this key."""
    until = int(keeper.journal.clock().timestamp()) + SESSION_SECONDS
    claims = Claims(key.id, key.sessions_ended, until, token_urlsafe(12))
    body = urlsafe_b64encode(msgspec.json.encode(claims)).decode().rstrip("=")
    return [_cookie(keeper, visit, f"{body}.{_signature(keeper, body)}", SESSION_SECONDS)]


def ended(keeper: Keeper, visit: Visit) -> Headers:
    """The headers that sign somebody out of this browser."""
    return [_cookie(keeper, visit, "", 0)]


def see_other(address: str, headers: Headers | None = None) -> Answer:
    """Go on elsewhere in this service."""
    assert address.startswith("/"), address
    headers = [(b"location", address.encode("ascii")), *(headers or [])]
    return Answer(303, b"", headers, b"text/plain; charset=utf-8")


def saying(keeper: Keeper, visit: Visit, said: str) -> Headers:
    """The headers that have the next page say what was done."""
    text = urlsafe_b64encode(said[:SAID_LENGTH_MAX].encode()).decode()
    return [_set(visit, _name(keeper) + SAID, text, SAID_SECONDS)]


def taken_up(keeper: Keeper, visit: Visit) -> tuple[str, Headers]:
    """What the page before has this one say, and the headers that make sure it is said once."""
    given = _cookies(visit).get(_name(keeper) + SAID)
    if not given:
        return "", []
    try:
        said = urlsafe_b64decode(given.encode()).decode()
    except ValueError:
        said = ""
    return said, [_set(visit, _name(keeper) + SAID, "", 0)]


def _cookie(keeper: Keeper, visit: Visit, value: str, seconds: int) -> tuple[bytes, bytes]:
    return _set(visit, _name_of_session(keeper, visit), value, seconds)


def _name_of_session(keeper: Keeper, visit: Visit) -> str:
    return f"{HOST_ONLY if visit.is_secure else ''}{_name(keeper)}"


def _name(keeper: Keeper) -> str:
    """Name the cookies of this service: browsers do not tell the ports of a host apart."""
    return f"{COOKIE}-{keeper.journal.mapper.vault.derived(PURPOSE_OF_NAME).hex()[:NAME_DIGITS]}"


def _set(visit: Visit, name: str, value: str, seconds: int) -> tuple[bytes, bytes]:
    # `Lax`, not `Strict`: who follows a link from a mail would seem to be signed out.
    text = f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax"
    return b"set-cookie", f"{text}; Secure".encode() if visit.is_secure else text.encode()


def _cookies(visit: Visit) -> dict[str, str]:
    raw = visit.headers.get(b"cookie", b"")[:COOKIES_BYTES_MAX].decode("latin-1")
    parts = (part.strip().partition("=") for part in raw.split(";"))
    return {name: value for name, _, value in parts}


def _claims(keeper: Keeper, visit: Visit) -> Claims | None:
    body, _, given = _cookies(visit).get(_name_of_session(keeper, visit), "").partition(".")
    if not body or not _same(given, _signature(keeper, body)):
        return None
    try:
        text = urlsafe_b64decode(body.encode() + b"=" * (-len(body) % 4))
        claims = msgspec.json.decode(text, type=Claims)
    except (ValueError, msgspec.MsgspecError):  # signed by another version of this program
        return None
    now = keeper.journal.clock().timestamp()
    return claims if now < claims.until <= now + SESSION_SECONDS else None


def _session(claims: Claims, key: object) -> Session | None:
    """The session, if the key that it was begun with stands as it stood then."""
    if not isinstance(key, Key) or key.revoked or key.asker.staff is None:
        return None
    if key.sessions_ended != claims.sessions_ended:
        return None
    named = f"{claims.key} {claims.sessions_ended} {claims.until} {claims.nonce}"
    return Session(key.asker, sha256(named.encode()).hexdigest(), claims.until)


def _signature(keeper: Keeper, text: str) -> str:
    key = keeper.journal.mapper.vault.derived(PURPOSE)
    return urlsafe_b64encode(digest(key, text.encode(), "sha256")).decode().rstrip("=")


def _same(given: str, right: str) -> bool:
    return compare_digest(given.encode(), right.encode())
