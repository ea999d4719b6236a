"""Who is asking: keys are issued once, kept as digests, and honoured until they are revoked."""

import asyncio
import re
from datetime import datetime
from hashlib import sha256
from hmac import compare_digest
from secrets import choice, token_urlsafe

from msgspec import Struct

from api.door import Keeper, Visit
from lifecycle.asks import NOTHING, Key, Known, learn
from lifecycle.events import Asker, Event, KeyIssued, KeyRevoked
from lifecycle.journal import Journal, Record
from lifecycle.refusals import NotSignedIn
from lifecycle.streams import key_stream

SECRET_BYTES = 32
ID_LENGTH = 10
KEYS_PAGE = 1000
ID_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"

_KEY = re.compile(r"Bearer sk_([a-z0-9]{10})_([A-Za-z0-9_-]{20,100})")


class IssuedKey(Struct, frozen=True):
    """A new key; its secret is shown this once."""

    id: str
    key: str


async def identify(keeper: Keeper, visit: Visit) -> Asker:
    """Who asks; `NotSignedIn` where no key that is honoured says so.

    What was so a moment ago will do for who goes on to ask the journal, which judges the key again
    as it decides; who does not asks `identify_now`.
    """
    given = visit.headers.get(b"authorization")
    if given is None:
        raise NotSignedIn("no key was sent: `Authorization: Bearer <key>`")
    found = _KEY.fullmatch(given.decode("latin-1"))
    if found is None:
        raise NotSignedIn("the Authorization header does not hold a key: `Bearer sk_…`")
    key_id, secret = found.groups()
    state = (await keeper.journal.known(key_stream(key_id))).state
    digest = state.digest if isinstance(state, Key) else ""
    honoured = compare_digest(_digest(secret), digest)
    if not isinstance(state, Key) or not honoured or state.revoked:
        raise NotSignedIn("this key is not known here, or is not honoured any more")
    return state.asker


async def identify_now(keeper: Keeper, visit: Visit) -> Asker:
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


def any_issued(journal: Journal) -> bool:
    """Was a key ever issued? The first ones stand near the beginning of the log."""
    topics = (KeyIssued.TOPIC,)
    return bool(journal.recorder.select_notifications(None, 1, topics=topics))


def issued(journal: Journal) -> list[Key]:
    """Every key, in the order of issue; revoked ones too."""
    keys: dict[str, Known] = {}
    position, topics = 0, (KeyIssued.TOPIC, KeyRevoked.TOPIC)
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
