"""Entries of the log ↔ stored events of the eventsourcing library: msgspec JSON, sealed in part.

A stored event is one JSON object, readable in any database shell. Personal values are not in it
in the open: they stand under `sealed`, in base64.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import msgspec
from eventsourcing.persistence import Mapper, Notification, StoredEvent
from msgspec.structs import replace

from lifecycle.events import (
    BY_TOPIC,
    ERASED,
    DriftFound,
    Entry,
    Event,
    Fetched,
    Heard,
    NoticeDue,
    Understood,
    Valued,
)
from lifecycle.log import Stored
from lifecycle.vault import Vault

SEALED = b',"sealed":'

Sealable = Valued | Heard | Fetched | Understood | NoticeDue | DriftFound
"""What may have personal values; those of a mirror are sealed with the key of its case."""

_SEALABLE = frozenset(topic for topic, kind in BY_TOPIC.items() if issubclass(kind, Sealable))

encode: Callable[[Any], bytes] = msgspec.json.Encoder(decimal_format="number").encode
"""How everything in the log and every answer is written: numbers exact, never a float."""


class _Sealed(msgspec.Struct):
    sealed: str = ""
    names: tuple[str, ...] = ()


class EntryMapper(Mapper[str]):
    """Carries our entries where the library's own mapper would use `vars()`."""

    def __init__(self, vault: Vault) -> None:
        """Seal and unseal with this vault."""
        self.vault = vault
        self._decoders = {
            topic: msgspec.json.Decoder(event, float_hook=Decimal)
            for topic, event in BY_TOPIC.items()
        }
        self._sealed = msgspec.json.Decoder(_Sealed)
        self._values = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)

    def to_stored_event(self, domain_event: Entry) -> StoredEvent:  # type: ignore[override]  # entries in place of the library's events
        """One entry as it is stored."""
        stream, event = domain_event.stream, domain_event.event
        if getattr(event, "personal", None) or isinstance(event, Heard):
            state = self._sealed_state(stream, event)
        else:
            state = encode(event)
        return Stored(stream, domain_event.version, event.TOPIC, state)  # type: ignore[return-value]  # it has all that the library's has

    def to_domain_event(self, stored_event: StoredEvent) -> Entry:  # type: ignore[override]  # entries in place of the library's events
        """One stored event as an entry, at its position where it comes with one."""
        state = bytes(stored_event.state)
        event: Event = self._decoders[stored_event.topic].decode(state)
        stream = str(stored_event.originator_id)
        if stored_event.topic in _SEALABLE and SEALED in state:
            assert isinstance(event, Sealable), stored_event.topic
            values = self._unseal(_key_stream(stream, event), state)
            event = replace(event, personal={**event.personal, **values})
        if stored_event.topic == Heard.TOPIC:
            event = replace(event, raw=b"")
        position: int = getattr(stored_event, "id", 0)
        return Entry(stream, stored_event.originator_version, event, position)

    def unopened(self, stored_event: Notification) -> Entry:
        """The same with what is sealed left out: no key is needed."""
        event: Event = self._decoders[stored_event.topic].decode(bytes(stored_event.state))
        stream = str(stored_event.originator_id)
        return Entry(stream, stored_event.originator_version, event, stored_event.id)

    def raw(self, stored_event: StoredEvent) -> bytes | None:
        """A message's bytes as they came; None where there are none, or a key of theirs is gone."""
        stream, event = str(stored_event.originator_id), None
        if stored_event.topic == Heard.TOPIC:
            event = self._decoders[Heard.TOPIC].decode(bytes(stored_event.state))
        if not isinstance(event, Heard):
            return None
        opened: bytes | None = event.raw or None
        for key in _closing(stream, event):
            opened = self.vault.unseal(key, opened) if opened is not None else None
        return opened

    def recall_keys(self, stored_events: Iterable[StoredEvent]) -> None:
        """Read the keys that these events need, all in one query, before they are opened."""
        sealed = {
            _sealing(str(one.originator_id)): None
            for one in stored_events
            if one.topic in _SEALABLE and SEALED in one.state
        }
        if len(sealed) > 1:
            self.vault.recall(sealed)

    def _sealed_state(self, stream: str, event: Event) -> bytes:
        if isinstance(event, Heard) and event.raw:
            event = replace(event, raw=self._close(stream, event))
        if getattr(event, "personal", None) and isinstance(event, Sealable):
            return self._seal(_key_stream(stream, event), event)
        return encode(event)

    def _close(self, stream: str, event: Heard) -> bytes:
        closed = event.raw
        for key in reversed(_closing(stream, event)):
            closed = self.vault.seal(key, closed)
        return closed

    def _seal(self, stream: str, event: Sealable) -> bytes:
        values = {name: value for name, value in event.personal.items() if value is not None}
        # That a value was forgotten is no secret, and must stay so when the key is gone.
        forgotten = dict.fromkeys(name for name in event.personal if name not in values)
        state = encode(replace(event, personal=forgotten))
        if not values:
            return state
        sealed = b64encode(self.vault.seal(stream, encode(values))).decode()
        return state[:-1] + b"," + encode(_Sealed(sealed, tuple(values)))[1:]

    def _unseal(self, stream: str, state: bytes) -> dict[str, Any]:
        beside = self._sealed.decode(state)
        if not beside.sealed:  # a field of that name
            return {}
        opened = self.vault.unseal(stream, b64decode(beside.sealed))
        if opened is None:
            return dict.fromkeys(beside.names, ERASED)
        return self._values.decode(opened)


def _key_stream(stream: str, event: Sealable) -> str:
    """The stream whose key seals an event: what is about a case has that of the case."""
    if isinstance(event, NoticeDue | DriftFound | Heard | Understood) and event.case:
        return f"case:{event.case}"
    return stream


def _closing(stream: str, event: Heard) -> tuple[str, ...]:
    """The streams whose keys seal a message's bytes, the outermost first.

    Either is enough to make them unreadable: a message is let go of after its time, or its case is
    erased.
    """
    return (stream, f"case:{event.case}") if event.case else (stream,)


def _sealing(stream: str) -> str:
    """The same, from the name alone; of a name that was cut it is found out later."""
    if not stream.startswith("mirror:"):
        return stream
    return f"case:{stream.removeprefix('mirror:').rpartition('/')[0]}"
