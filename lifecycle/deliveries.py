"""What a product's webhook says, as its connector reads it: one delivery, many messages.

A message is patient: what an expression cannot read is listed under `unread` and the rest stands,
for a product must not be refused over a field that nobody here uses. A delivery is strict: a body
that cannot be read at all, or is beyond the bounds, is `NotUnderstood`, and never anything else.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from lifecycle.bodies import JSON, NotUnderstood, Pairs, decoded
from lifecycle.connectors import Amount, Connector, Handshake, Header, Said
from lifecycle.expressions import FindsNothing, find, written
from lifecycle.fields import NotThat
from lifecycle.readings import moment, money

MESSAGES_MAX: Final = 1_000
"""How many messages one body may hold; HubSpot sends a hundred at most."""
NAME_LENGTH_MAX: Final = 200
"""The longest kind, reference or name of a status field, in characters."""
WORD_LENGTH_MAX: Final = 10_000
"""The longest word, in characters; who declares words writes much shorter ones."""
FIELDS_MAX: Final = 200
"""How many fields one message may carry under our own names."""
REPLY_LENGTH_MAX: Final = 4_096
"""The longest introduction that is given back, in characters."""

_T = TypeVar("_T")


class Reply(Struct, frozen=True):
    """What the product is to read back."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class Message(Struct, frozen=True):
    """One thing that a product says; None is what it does not say."""

    event_id: str | None
    """The product's own id of it, or the digest of the several parts that make one."""
    digest: str
    """Of what it says. Attempts at the same message have the same one, whatever else differs."""
    occurred_at: datetime | None
    kind: str | None
    """The kind of the reference; None: the tool's main one."""
    ref: str | None
    status_field: str | None
    """Which field shows the word; only where there is a word."""
    word: str | None
    fields: Mapping[str, JSON]
    """Canonical field → value as the product writes it; money already `1250.00 USD`."""
    collection: str | None
    """The collection and our own id of the case, of a product that knows them."""
    case: str | None
    needs_fetch: bool
    """It only names a record, which has to be asked for."""
    unread: Mapping[str, str] = {}
    """Part of the connector → why it could not be read here."""
    is_empty: bool = False
    """There was no message: this one stands for a delivery that holds none."""
    content: JSON = None
    """The message as it came, for asking for its record."""
    headers: Mapping[str, str] = {}
    """What the connector reads from headers, by their names in small letters."""


class Delivery(Struct, frozen=True):
    """One webhook: its messages in the order in which they happened, and what answers it."""

    messages: tuple[Message, ...]
    answer: Reply
    received_at: datetime


def understand(
    connector: Connector, *, headers: Pairs, query: Pairs, body: bytes, received_at: datetime
) -> Delivery:
    """Read a delivery that has been verified; raises `NotUnderstood`.

    Messages that carry no time count as from now, and those of one time stay as they came.
    """
    content = decoded(body, _header(headers, "content-type") or "")
    contents = _contents(connector, content)
    ids = _header_ids(connector, headers, len(contents))
    said = _said_in(headers, connector)
    messages = [
        _message(connector, one, said, header_id)
        for one, header_id in zip(contents, ids, strict=True)
    ]
    greeting = _greeting(connector, headers, query, content)
    if greeting is not None:
        messages = [one for one in messages if one.ref or one.case or one.word or one.fields]
    elif not messages:
        messages = [_nothing(content, _header_ids(connector, headers, 1)[0])]
    messages.sort(key=lambda one: one.occurred_at or received_at)
    return Delivery(tuple(messages), greeting or _answer(connector), received_at)


def introduced(connector: Connector, *, headers: Pairs, query: Pairs, body: bytes) -> Reply | None:
    """Give the answer to a product that introduces itself; None where this is no introduction.

    Products do so before anything is signed. Nothing else of such a request may be believed.
    """
    if connector.handshake is None:
        return None
    content: JSON = None
    if connector.handshake.body is not None:
        try:
            content = decoded(body, _header(headers, "content-type") or "")
        except NotUnderstood:
            return None
    return _greeting(connector, headers, query, content)


def named(connector: Connector, content: bytes) -> Message:
    """Read a single message again, by what was kept of it; raises `NotUnderstood`."""
    said = decoded(content)
    if isinstance(said, dict) and said.keys() == _ENVELOPE:
        headers = said[_HEADERS]
        if isinstance(headers, dict):  # else a product's own, kept before such were put into one
            read = {name: str(value) for name, value in headers.items()}
            return _message(connector, said[_CONTENT], read, None)
    return _message(connector, said, {}, None)


def kept(message: Message) -> bytes:
    """Give what is to be kept of one message among several, or of one that is not whole yet.

    What is read again later (`named`) goes into an envelope where headers say something too, or
    where the product's own content would be taken for one.
    """
    content = message.content
    looks_so = isinstance(content, dict) and content.keys() == _ENVELOPE
    if message.needs_fetch and (message.headers or looks_so):
        return _ENCODER.encode({_CONTENT: content, _HEADERS: message.headers})
    return _ENCODER.encode(content)


def completed(connector: Connector, message: Message, answer: JSON) -> Message:
    """Read a message again, beside the record in what the product answered when asked for it.

    It stays the same message: its id, digest and time are those it came with. Where it came with
    no time the record's counts, and tells it from others that name the same record.
    """
    record = None
    if connector.fetch is not None:
        try:
            record = find(connector.fetch.record, answer)
        except FindsNothing:
            record = None
    content = message.content if isinstance(message.content, dict) else {}
    again = _message(connector, {**content, "record": record}, message.headers, None)
    digest = message.digest
    if message.occurred_at is None and again.occurred_at and not message.event_id:
        digest = _digest((digest, again.digest))
    return msgspec.structs.replace(
        again,
        event_id=message.event_id,
        digest=digest,
        occurred_at=message.occurred_at or again.occurred_at,
        needs_fetch=False,
        content=message.content,
    )


def _contents(connector: Connector, content: JSON) -> list[JSON]:
    """Divide a body into messages. One in which none is found is itself one that says nothing."""
    if content is None:
        return []
    try:
        found = find(connector.messages, content)
    except FindsNothing:
        found = None
    if not isinstance(found, list):
        return [content if found is None else found]
    contents: list[JSON] = [one for one in found if one is not None]
    if len(contents) > MESSAGES_MAX:
        raise NotUnderstood(f"{len(contents):,} messages; a body has at most {MESSAGES_MAX:,}")
    return contents


def _message(
    connector: Connector, content: JSON, headers: Mapping[str, str], header_id: str | None
) -> Message:
    reader = _Reader(content, headers)
    kind = reader.kind(connector.kind)
    # Without its kind, a reference would be taken for one of the main kind: another record.
    ref = None if "kind" in reader.unread else reader.name("ref", connector.ref)
    word = reader.text("word", connector.word, WORD_LENGTH_MAX)
    field = reader.name("status_field", connector.status_field) if word is not None else None
    time = reader.value("occurred_at", connector.occurred_at)
    occurred_at = None if time is None else reader.read("occurred_at", lambda: moment(time))
    fields = reader.fields(connector.fields)
    collection = reader.name("collection", connector.collection)
    case = reader.name("case", connector.case)
    says: tuple[object, ...] = (kind, ref, field, word, fields, occurred_at)
    if case or collection:
        says = (*says, collection, case)
    if reader.strange:
        says = (*says, reader.strange)
    return Message(
        event_id=header_id or reader.event_id(connector.id),
        digest=_digest(says),
        occurred_at=occurred_at,
        kind=kind,
        ref=ref,
        status_field=field,
        word=word,
        fields=fields,
        collection=collection,
        case=case,
        needs_fetch=connector.fetch is not None
        and bool(ref)
        and word is None
        and not fields
        and "word" not in reader.unread,
        unread=reader.unread,
        content=content,
        headers=headers,
    )


def _nothing(content: JSON, header_id: str | None) -> Message:
    """Give what stands for a delivery without a message, so that it is counted like any other."""
    return Message(
        event_id=header_id,
        digest=_digest(content),
        occurred_at=None,
        kind=None,
        ref=None,
        status_field=None,
        word=None,
        fields={},
        collection=None,
        case=None,
        needs_fetch=False,
        is_empty=True,
        content=content,
    )


class _Reader:
    """One message, and what could not be read of it."""

    def __init__(self, content: JSON, headers: Mapping[str, str]) -> None:
        self.content = content
        self.headers = headers
        self.unread: dict[str, str] = {}
        self.strange: dict[str, JSON] = {}
        """What was found there, where it is no text that can be taken."""

    def read(self, part: str, reading: Callable[[], _T]) -> _T | None:
        """Give what a reading gives; where it cannot, note why."""
        try:
            return reading()
        except (FindsNothing, NotThat) as exc:
            self.unread[part] = str(exc)[:200]
            return None

    def value(self, part: str, said: Said | None) -> JSON:
        """Give what an expression finds, or what stands in a header; empty text is nothing."""
        if said is None:
            return None
        if isinstance(said, Header):
            return self.headers.get(said.header.lower()) or None
        found = self.read(part, lambda: find(said, self.content))
        return None if found == "" else found

    def name(self, part: str, said: Said | None) -> str | None:
        """Give a name: short text, or a whole number as its digits."""
        found = self.value(part, said)
        if isinstance(found, bool):
            self.unread[part] = "a truth value is no name"
            return None
        return self._text(part, found, NAME_LENGTH_MAX)

    def kind(self, said: Said | None) -> str | None:
        """Give the kind of the reference."""
        found = self.name("kind", said)
        if found is None or "/" not in found:
            return found
        self.unread["kind"] = "a kind holds no '/'"
        return None

    def text(self, part: str, said: Said | None, length_max: int) -> str | None:
        """Give text; a number or a truth value as it was sent."""
        return self._text(part, self.value(part, said), length_max)

    def _text(self, part: str, found: JSON, length_max: int) -> str | None:
        if found is None:
            return None
        text = written(found)
        if text is None or len(text) > length_max or _UNPRINTABLE.search(text):
            self.strange[part] = found
            self.unread[part] = f"not a single text of at most {length_max} printable characters"
            return None
        return text

    def fields(self, wanted: Mapping[str, str | Amount] | str) -> dict[str, JSON]:
        """Give the canonical fields that the message carries."""
        if isinstance(wanted, str):
            return self._named(wanted)
        found = {
            name: self.value(f"fields.{name}", how)
            if isinstance(how, str)
            else self._money(f"fields.{name}", how)
            for name, how in wanted.items()
        }
        return {name: value for name, value in found.items() if value is not None}

    def _named(self, wanted: str) -> dict[str, JSON]:
        said = self.value("fields", wanted)
        if said is None:
            return {}
        if not isinstance(said, dict) or len(said) > FIELDS_MAX:
            self.unread["fields"] = f"not an object of at most {FIELDS_MAX} fields"
            return {}
        return {name: value for name, value in said.items() if _FIELD.fullmatch(name)}

    def _money(self, part: str, how: Amount) -> str | None:
        amount = self.value(part, how.amount)
        if amount is None:
            return None
        currency = self.value(part, how.currency)
        return self.read(part, lambda: money(amount, currency, minor=how.minor))

    def event_id(self, wanted: str | tuple[str, ...] | Header | None) -> str | None:
        """Give what tells this message from others.

        Several parts are taken together as their digest: among them may be what somebody wants
        forgotten, and the names of streams are not.
        """
        if isinstance(wanted, str):
            found = self.value("id", wanted)
            text = written(found)
            if text is None:
                return _digest(found) if found else None
            return _id(text)
        if not isinstance(wanted, tuple):
            return None
        parts = [self.value("id", part) for part in wanted]
        return None if all(part is None for part in parts) else _digest(parts)


def _said_in(headers: Pairs, connector: Connector) -> dict[str, str]:
    """Give what the connector reads from headers."""
    parts = (connector.occurred_at, connector.kind, connector.ref)
    named = [*parts, connector.status_field, connector.word]
    read = {one.header.lower(): one.header for one in named if isinstance(one, Header)}
    found = {name: _header(headers, named) for name, named in read.items()}
    return {name: value.strip() for name, value in found.items() if value}


def _header_ids(connector: Connector, headers: Pairs, count: int) -> list[str | None]:
    """Give each message the id in the header; several in one body are numbered."""
    if not isinstance(connector.id, Header):
        return [None] * count
    said = _header(headers, connector.id.header)
    if not said:
        return [None] * count
    return [_id(said)] if count == 1 else [_id(f"{said}:{index}") for index in range(count)]


def _answer(connector: Connector) -> Reply:
    said = connector.answer
    headers = tuple(said.headers.items())
    return Reply(said.status, said.body.encode(), headers or _PLAIN)


def _greeting(connector: Connector, headers: Pairs, query: Pairs, content: JSON) -> Reply | None:
    match connector.handshake:
        case Handshake(header=str(name)):
            said = _header(headers, name)
            if said and len(said) <= REPLY_LENGTH_MAX and _HEADER_VALUE.fullmatch(said):
                return Reply(200, headers=((name, said),))
        case Handshake(query=str(name)):
            said = next((value for key, value in query if key == name), None)
            return _echo(said)
        case Handshake(body=str(expression)):
            try:
                return _echo(find(expression, content))
            except FindsNothing:
                return None
    return None


def _echo(found: JSON) -> Reply | None:
    """Give back what was found, in a form in which no browser takes it for more than text."""
    if found is None or found == "":
        return None
    text = written(found)
    if text is None:
        body, medium = _ENCODER.encode(found), _JSON
    else:
        body, medium = text.encode("utf-8", "replace"), _PLAIN
    return Reply(200, body, medium) if len(body) <= REPLY_LENGTH_MAX else None


def _header(headers: Pairs, name: str) -> str | None:
    return next((value for key, value in headers if key.lower() == name.lower()), None)


def _id(text: str) -> str:
    """Keep an id that a stream can be named after; any other is its digest."""
    return text if _ID.fullmatch(text) else _digest(text.encode("utf-8", "surrogatepass").hex())


def _digest(content: object) -> str:
    return hashlib.sha256(_ENCODER.encode(content)).hexdigest()[:32]


_CONTENT: Final = "@content"
_HEADERS: Final = "@headers"
"""What is kept of a message whose headers say something too, until its record comes."""
_ENVELOPE: Final = {_CONTENT, _HEADERS}
_SAFE: Final = ("X-Content-Type-Options", "nosniff")
_PLAIN: Final = (("Content-Type", "text/plain; charset=utf-8"), _SAFE)
_JSON: Final = (("Content-Type", "application/json"), _SAFE)
_ENCODER: Final = msgspec.json.Encoder(order="deterministic", decimal_format="number")
_FIELD: Final = re.compile(r"[a-z][a-z0-9_]{0,79}")
_ID: Final = re.compile(r"[!-~]{1,128}")
_HEADER_VALUE: Final = re.compile(r"[ -~]+")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
