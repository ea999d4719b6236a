"""The messages: everything that was heard, each in one row with what became of it in the end.

No row holds a value: what was said stands in the log, where it can be erased.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar

from msgspec import Struct
from msgspec.structs import replace

from lifecycle.events import Entry, Event, Fetched, Heard, HeardAgain, Understood
from lifecycle.mapper import encode
from lifecycle.streams import message_id
from projections import tables
from projections.follower import written
from projections.records import LATEST, Record, Records, Sort
from projections.store import Row, Session

DUPLICATE = "duplicate"


class OnList(Record, frozen=True):
    """A message as the list has it; what is not known is empty."""

    stream: str
    tool: str
    collection: str
    case_id: str
    ref: str
    kind: str
    event_id: str
    status_field: str
    word: str
    fields: str
    """The names of the fields that it spoke of, joined by spaces."""
    at: str
    """When the tool saw it."""
    heard_at: str
    outcome: str
    """What it is taken for by now."""
    why: str
    expected: str
    times: int
    """How often it came."""


class Messages(Records[OnList]):
    """The read model."""

    name: ClassVar[str] = "messages"
    wants: ClassVar[tuple[type[Event], ...]] = (Heard, Fetched, HeardAgain, Understood)
    named: ClassVar[str] = tables.SELECT_MESSAGES_NAMED
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
                now = {"outcome": event.outcome, "why": event.why, "expected": ""}
                return replace(record, case_id=case_id or record.case_id, **now)
            case Fetched():
                spoken = _names(event)
                return replace(
                    record, status_field=event.status_field, word=event.word, fields=spoken
                )
        raise AssertionError(f"{event.TOPIC} is no message's [{entry.stream}]")

    def read(self, row: Row) -> OnList:
        """Take a row as the message that it is."""
        return OnList(*row)

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
        ref=event.ref,
        kind=event.kind,
        event_id=event.event_id,
        status_field=event.status_field,
        word=event.word,
        fields=_names(event),
        at=written(event.at),
        heard_at=written(event.recorded_at),
        outcome=event.outcome,
        why=event.why,
        expected=event.expected or "",
        times=1,
    )


def _names(event: Heard | Fetched) -> str:
    taken = (*event.taken, *event.not_taken) if isinstance(event, Heard) else ()
    return " ".join(dict.fromkeys((*event.fields, *event.personal, *taken)))


# --- lists --------------------------------------------------------------------------------------


class Wanted(Struct, frozen=True, kw_only=True):
    """Which messages a list is to hold; empty members ask for nothing."""

    tool: str = ""
    outcome: str = ""
    why: str = ""
    collection: str = ""
    case_id: str = ""
    """With `collection`."""
    since: datetime | None = None
    """Heard since."""
    until: datetime | None = None
    """Heard before."""


def page(
    session: Session, wanted: Wanted, most: int, *, before: int | None = None
) -> Sequence[OnList]:
    """List the newest messages, those that were heard last first."""
    if wanted.case_id:
        statement = tables.SELECT_MESSAGES_OF_CASE
    elif wanted.outcome:
        statement = tables.SELECT_MESSAGES_OF_OUTCOME
    elif wanted.tool:
        statement = tables.SELECT_MESSAGES_OF_TOOL
    else:
        statement = tables.SELECT_MESSAGES
    rows = session.rows(
        statement,
        tool=wanted.tool,
        outcome=wanted.outcome,
        why=wanted.why,
        collection=wanted.collection,
        case_id=wanted.case_id,
        since=written(wanted.since) if wanted.since else "",
        until=written(wanted.until) if wanted.until else "",
        before=LATEST if before is None else before,
        most=most,
    )
    return [OnList(*row) for row in rows]


def named(session: Session, ids: Sequence[str]) -> Sequence[OnList]:
    """Find messages by their ids, in any order; those that are there."""
    names = encode([[one] for one in ids]).decode()
    return [OnList(*row) for row in session.rows(tables.SELECT_MESSAGES_NAMED, ids=names)]
