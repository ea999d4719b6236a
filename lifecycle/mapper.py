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

from lifecycle.events import BY_TOPIC, ERASED, Entry, Event, Heard, Valued
from lifecycle.vault import Vault

SEALED = b',"sealed":'

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
        event = domain_event.event
        state = (
            self._seal(domain_event.stream, event)
            if isinstance(event, Valued | Heard) and event.personal
            else encode(event)
        )
        return StoredEvent(domain_event.stream, domain_event.version, event.TOPIC, state)

    def to_domain_event(self, stored_event: StoredEvent) -> Entry:  # type: ignore[override]  # entries in place of the library's events
        """One stored event as an entry, at its position where it comes with one."""
        state = bytes(stored_event.state)
        event: Event = self._decoders[stored_event.topic].decode(state)
        stream = str(stored_event.originator_id)
        if isinstance(event, Valued | Heard) and SEALED in state:
            event = replace(event, personal={**event.personal, **self._unseal(stream, state)})
        position = stored_event.id if isinstance(stored_event, Notification) else 0
        return Entry(stream, stored_event.originator_version, event, position)

    def recall_keys(self, stored_events: Iterable[StoredEvent]) -> None:
        """Read the keys that these events need, all in one query, before they are opened."""
        sealed = {str(one.originator_id): None for one in stored_events if SEALED in one.state}
        if len(sealed) > 1:
            self.vault.recall(sealed)

    def _seal(self, stream: str, event: Valued | Heard) -> bytes:
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
