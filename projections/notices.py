"""The notices: everything that a tool was or is to be told, each in one row with what became of it.

No row holds a value that a notice carries: that stands in the log, where it can be erased.
"""

from collections.abc import Mapping
from typing import ClassVar, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from lifecycle.events import (
    Entry,
    Event,
    NoticeDelivered,
    NoticeDue,
    NoticeGivenUp,
    NoticeRecovered,
    NoticeSuperseded,
    OfNotice,
)
from lifecycle.notices import FIELDS_CHANGED, REQUEST, WORD_CHANGED
from projections.follower import written
from projections.records import Record, Records, Sort
from projections.store import Row, Session
from projections.tables import notices as tables

State = Literal["waiting", "delivered", "superseded", "given-up"]
STATES: Final[tuple[State, ...]] = ("waiting", "delivered", "superseded", "given-up")
TYPES: Final = (WORD_CHANGED, FIELDS_CHANGED, REQUEST)


class OnList(Record, frozen=True):
    """A notice as the list has it: when it became due, and why, if not by a change of the case."""

    version: int
    """Where in its stream it became due: its values stand there."""
    type: str
    status_field: str
    word: str
    request: str
    reaction: str
    case_version: int
    state: State
    ended_at: str
    """When it was delivered, superseded or given up."""
    ended_why: str
    newer: str
    """The notice that has taken its place."""
    attempts: int
    """As many as are known of since it ended; while it waits, the courier's book has them."""
    status: int
    """What the tool's server answered; 0 where a person carried it, or nothing did."""


class Notices(Records[OnList]):
    """The read model."""

    name: ClassVar[str] = "notices"
    wants: ClassVar[tuple[type[Event], ...]] = (OfNotice,)
    selects: ClassVar[Mapping[str, str]] = tables.SELECT_NOTICES
    select_named: ClassVar[str] = tables.SELECT_NOTICES_NAMED
    upsert: ClassVar[str] = tables.UPSERT_NOTICES

    def id_of(self, entry: Entry) -> str:
        """Name it as the tool is given it."""
        assert isinstance(entry.event, OfNotice), entry.stream
        return entry.event.id

    def fold(self, record: OnList | None, entry: Entry) -> OnList:
        """Make it due; deliver, supersede, give up and recover it."""
        event = entry.event
        if isinstance(event, NoticeDue):
            return _due(entry, event)
        assert record is not None, entry.stream
        ended_at = written(event.recorded_at)
        match event:
            case NoticeDelivered(attempts=attempts, status=status):
                return replace(
                    record,
                    state="delivered",
                    ended_at=ended_at,
                    ended_why="",
                    newer="",
                    attempts=attempts,
                    status=status or 0,
                )
            case NoticeSuperseded(attempts=attempts, why=why, newer=newer):
                return replace(
                    record,
                    state="superseded",
                    ended_at=ended_at,
                    ended_why=why,
                    newer=newer,
                    attempts=attempts,
                )
            case NoticeGivenUp(attempts=attempts, why=why):
                return replace(
                    record, state="given-up", ended_at=ended_at, ended_why=why, attempts=attempts
                )
            case NoticeRecovered():
                return replace(record, state="waiting", ended_at="", ended_why="")
        raise AssertionError(f"{event.TOPIC} is no notice's [{entry.stream}]")

    @classmethod
    def read(cls, row: Row) -> OnList:
        """Take a row as the notice that it is."""
        return OnList(*row)

    def sorts(self, record: OnList) -> Mapping[Sort, int]:
        """Count it by its state."""
        return {(record.tool, record.state): 1}


def _due(entry: Entry, event: NoticeDue) -> OnList:
    collection, _, case_id = event.case.partition("/")
    return OnList(
        position=entry.position,
        id=event.id,
        stream=entry.stream,
        tool=event.tool,
        collection=collection,
        case_id=case_id,
        why=event.why,
        recorded_at=written(event.recorded_at),
        version=entry.version,
        type=event.type,
        status_field=event.status_field,
        word=event.word,
        request=event.request,
        reaction=event.reaction,
        case_version=event.case_version,
        state="waiting",
        ended_at="",
        ended_why="",
        newer="",
        attempts=0,
        status=0,
    )


class Queue(Struct, frozen=True):
    """What waits to be told to a tool, of the cases of one collection."""

    count: int
    since: str
    """When the first of them became due."""


def waiting(session: Session, tool: str, most: int) -> dict[str, Queue]:
    """Collection → its share of a tool's newest notices that wait, of at most so many."""
    rows = session.rows(tables.COUNT_WAITING, tool=tool, most=most)
    return {str(collection): Queue(int(number), str(since)) for collection, number, since in rows}
