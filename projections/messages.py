"""The messages: everything that was heard, each in one row with what became of it in the end.

No row holds a value: what was said stands in the log, where it can be erased.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec.structs import replace

from lifecycle.events import Entry, Event, Fetched, Heard, HeardAgain, Understood
from lifecycle.streams import message_id
from projections.follower import written
from projections.records import Record, Records, Sort, Wanted
from projections.store import Row
from projections.tables import messages as tables

DUPLICATE = "duplicate"
"""What is counted of a message each time that it comes again; its own outcome is another."""


class OnList(Record, frozen=True):
    """A message as the list has it: when it was heard, and why it is taken for what it is."""

    ref: str
    kind: str
    event_id: str
    status_field: str
    word: str
    fields: str
    """The names of the fields that it spoke of, joined by spaces."""
    at: str
    """When the tool saw it."""
    outcome: str
    """What it is taken for by now."""
    expected: str
    times: int
    """How often it came."""
    unread: str = ""
    """The parts of it that could not be read, joined by spaces."""


class Messages(Records[OnList]):
    """The read model."""

    name: ClassVar[str] = "messages"
    wants: ClassVar[tuple[type[Event], ...]] = (Heard, Fetched, HeardAgain, Understood)
    selects: ClassVar[Mapping[str, str]] = tables.SELECT_MESSAGES
    select_named: ClassVar[str] = tables.SELECT_MESSAGES_NAMED
    upsert: ClassVar[str] = tables.UPSERT_MESSAGES

    def id_of(self, entry: Entry) -> str:
        """Name a message by the stream that it stands in."""
        return message_id(entry.stream)

    def fold(self, record: OnList | None, entry: Entry) -> OnList:
        """Hear it, hear it again, understand it."""
        event = entry.event
        if isinstance(event, Heard):
            return _heard(entry, event)
        assert record is not None, entry.stream
        match event:
            case HeardAgain():
                return replace(record, times=max(record.times + 1, event.times))
            case Understood():
                _, _, case_id = (event.case or "").partition("/")
                now = {
                    "outcome": event.outcome,
                    "why": event.why,
                    "expected": event.expected or "",
                }
                return replace(record, case_id=case_id or record.case_id, **now)
            case Fetched():
                said = {"status_field": event.status_field, "word": event.word}
                at = written(event.at) if event.at else record.at
                return replace(record, **said, fields=_names(event), at=at)
        raise AssertionError(f"{event.TOPIC} is no message's [{entry.stream}]")

    @classmethod
    def read(cls, row: Row) -> OnList:
        """Take a row as the message that it is."""
        return OnList(*row)

    @classmethod
    def asked(cls, wanted: Wanted) -> dict[str, Any]:
        """Ask for what came again, whatever it was taken for, where duplicates are asked for."""
        if wanted.sort == DUPLICATE:
            return super().asked(wanted) | {"sort": "", "again": 1}
        return super().asked(wanted) | {"again": 0}

    def sorts(self, record: OnList) -> Mapping[Sort, int]:
        """Count it by its outcome, and each time that it came again as a duplicate."""
        again = record.times - 1
        counted = {(record.tool, record.outcome): 1}
        return {**counted, (record.tool, DUPLICATE): again} if again else counted


def _heard(entry: Entry, event: Heard) -> OnList:
    return OnList(
        position=entry.position,
        id=message_id(entry.stream),
        stream=entry.stream,
        tool=event.tool,
        collection=event.collection,
        case_id=(event.case or "").partition("/")[2],
        why=event.why,
        recorded_at=written(event.recorded_at),
        ref=event.ref,
        kind=event.kind,
        event_id=event.event_id,
        status_field=event.status_field,
        word=event.word,
        fields=_names(event),
        at=written(event.at),
        outcome=event.outcome,
        expected=event.expected or "",
        times=1,
        unread=" ".join(event.unread),
    )


def _names(event: Heard | Fetched) -> str:
    taken = (*event.taken, *event.not_taken) if isinstance(event, Heard) else ()
    return " ".join(dict.fromkeys((*event.fields, *event.personal, *taken)))
