"""Who is asking: keys are issued once, kept as digests, and honoured until they are revoked."""

import asyncio
import re
from datetime import datetime
from hashlib import sha256
from hmac import compare_digest
from secrets import choice, token_urlsafe
from typing import TYPE_CHECKING

from msgspec import Struct

from lifecycle.events import Asker, Event, KeyIssued, KeyRevoked, SessionsEnded
from lifecycle.journal import Journal, Record
from lifecycle.known import NOTHING, Key, Known, learn
from lifecycle.refusals import NotSignedIn
from lifecycle.streams import key_stream

if TYPE_CHECKING:  # the command line issues keys without any door
    from api.door import Keeper, Visit

SECRET_BYTES = 32
ID_LENGTH = 10
KEYS_PAGE = 1000
ID_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"

_KEY = re.compile(r"sk_([a-z0-9]{10})_([A-Za-z0-9_-]{20,100})")


class IssuedKey(Struct, frozen=True):
    """A new key; its secret is shown this once."""

    id: str
    key: str


async def identify(keeper: "Keeper", visit: "Visit") -> Asker:
    """Who asks; `NotSignedIn` where no key that is honoured says so.

    What was so a moment ago will do for who goes on to ask the journal, which judges the key again
    as it decides; who does not asks `identify_now`.
    """
    given = visit.headers.get(b"authorization")
    if given is None:
        raise NotSignedIn("no key was sent: `Authorization: Bearer <key>`")
    kind, _, text = given.decode("latin-1").partition(" ")
    found = _KEY.fullmatch(text)
    if kind != "Bearer" or not found:
        raise NotSignedIn("the Authorization header does not hold a key: `Bearer sk_…`")
    return (await _honoured(keeper, *found.groups())).asker


async def key_named(keeper: "Keeper", text: str) -> Key:
    """The key that this text is; `NotSignedIn` where it is none, or is not honoured."""
    found = _KEY.fullmatch(text)
    if found is None:
        raise NotSignedIn("this is no key: one begins with `sk_`")
    return await _honoured(keeper, *found.groups())


async def _honoured(keeper: "Keeper", key_id: str, secret: str) -> Key:
    state = (await keeper.journal.known(key_stream(key_id))).state
    digest = state.digest if isinstance(state, Key) else ""
    honoured = compare_digest(_digest(secret), digest)
    if not isinstance(state, Key) or not honoured or state.revoked:
        raise NotSignedIn("this key is not known here, or is not honoured any more")
    return state


async def identify_now(keeper: "Keeper", visit: "Visit") -> Asker:
    """Who asks, for answers that are not the journal's: what others have written is read first."""
    asker = await identify(keeper, visit)
    await asyncio.to_thread(keeper.journal.known_now, key_stream(asker.key or ""))
    return await identify(keeper, visit)


def issue(
    journal: Journal, *, tool: str | None = None, staff: str | None = None, read_only: bool = False
) -> IssuedKey:
    """Issue a key to a tool or to a member of staff."""
    key_id = "".join(choice(ID_LETTERS) for _ in range(ID_LENGTH))
    secret = token_urlsafe(SECRET_BYTES)

    def decide(known: Known, now: datetime) -> Event:
        assert not known.version, f"key {key_id} was issued before"
        return KeyIssued(
            recorded_at=now,
            by=Asker(),
            digest=_digest(secret),
            tool=tool,
            staff=staff,
            read_only=read_only,
        )

    journal.record_now(Record(key_stream(key_id), decide))
    return IssuedKey(key_id, f"sk_{key_id}_{secret}")


def revoke(journal: Journal, key_id: str) -> bool:
    """Honour a key no more; False where there is none to revoke."""
    known_before = False

    def decide(known: Known, now: datetime) -> Event | None:
        nonlocal known_before
        known_before = isinstance(known.state, Key) and not known.state.revoked
        return KeyRevoked(recorded_at=now, by=Asker()) if known_before else None

    journal.record_now(Record(key_stream(key_id), decide))
    return known_before


def end_sessions(journal: Journal, asker: Asker) -> None:
    """Sign out whoever is signed in with the asker's key, wherever that is."""
    assert asker.key is not None, "nobody signs in without a key"

    def decide(known: Known, now: datetime) -> Event | None:
        honoured = isinstance(known.state, Key) and not known.state.revoked
        return SessionsEnded(recorded_at=now, by=asker) if honoured else None

    journal.record_now(Record(key_stream(asker.key), decide))


def any_issued(journal: Journal) -> bool:
    """Was a key ever issued? Looked up by the names of streams, however long the log is."""
    recorder = journal.recorder
    first = recorder.by_stream(("key:", 0), upto=recorder.last_position(), limit=1)
    return any(str(one.originator_id).startswith("key:") for one in first)


def issued(journal: Journal) -> list[Key]:
    """Every key, in the order of issue; revoked ones too."""
    keys: dict[str, Known] = {}
    position, topics = 0, (KeyIssued.TOPIC, KeyRevoked.TOPIC, SessionsEnded.TOPIC)
    while page := journal.recorder.select_notifications(
        position, KEYS_PAGE, topics=topics, inclusive_of_start=False
    ):
        for stored in page:
            entry = journal.mapper.to_domain_event(stored)
            keys[entry.stream] = learn(keys.get(entry.stream, NOTHING), entry)
        position = page[-1].id
    return [known.state for known in keys.values() if isinstance(known.state, Key)]


def _digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
