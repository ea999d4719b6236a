"""The notices: everything that a tool was or is to be told, each in one row with what became of it.

No row holds a value that a notice carries: that stands in the log, where it can be erased.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final, Literal

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
from lifecycle.mapper import encode
from projections import tables
from projections.follower import written
from projections.records import LATEST, Record, Records, Sort
from projections.store import Row, Session

State = Literal["waiting", "delivered", "superseded", "given-up"]
STATES: Final[tuple[State, ...]] = ("waiting", "delivered", "superseded", "given-up")


class OnList(Record, frozen=True):
    """A notice as the list has it; what is not known is empty."""

    stream: str
    version: int
    """Where in its stream it became due: its values stand there."""
    tool: str
    collection: str
    case_id: str
    type: str
    status_field: str
    word: str
    request: str
    reaction: str
    why: str
    case_version: int
    due_at: str
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
    named: ClassVar[str] = tables.SELECT_NOTICES_NAMED
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
        ended: dict[str, Any] = {"ended_at": written(event.recorded_at)}
        match event:
            case NoticeDelivered():
                ended |= {"state": "delivered", "status": event.status or 0}
                return replace(record, **ended, attempts=event.attempts, ended_why="", newer="")
            case NoticeSuperseded():
                ended |= {"state": "superseded", "ended_why": event.why, "newer": event.newer}
                return replace(record, **ended, attempts=event.attempts)
            case NoticeGivenUp():
                ended |= {"state": "given-up", "ended_why": event.why}
                return replace(record, **ended, attempts=event.attempts)
            case NoticeRecovered():
                return replace(record, state="waiting", ended_at="", ended_why="")
        raise AssertionError(f"{event.TOPIC} is no notice's [{entry.stream}]")

    def read(self, row: Row) -> OnList:
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
        version=entry.version,
        tool=event.tool,
        collection=collection,
        case_id=case_id,
        type=event.type,
        status_field=event.status_field,
        word=event.word,
        request=event.request,
        reaction=event.reaction,
        why=event.why,
        case_version=event.case_version,
        due_at=written(event.recorded_at),
        state="waiting",
        ended_at="",
        ended_why="",
        newer="",
        attempts=0,
        status=0,
    )


# --- lists --------------------------------------------------------------------------------------


class Wanted(Struct, frozen=True, kw_only=True):
    """Which notices a list is to hold; empty members ask for nothing."""

    tool: str = ""
    state: str = ""
    why: str = ""
    collection: str = ""
    case_id: str = ""
    """With `collection`."""
    since: datetime | None = None
    """Due since."""
    until: datetime | None = None
    """Due before."""


def page(
    session: Session, wanted: Wanted, most: int, *, before: int | None = None
) -> Sequence[OnList]:
    """List the newest notices, those that became due last first."""
    if wanted.case_id:
        statement = tables.SELECT_NOTICES_OF_CASE
    elif wanted.state:
        statement = tables.SELECT_NOTICES_IN_STATE
    elif wanted.tool:
        statement = tables.SELECT_NOTICES_OF_TOOL
    else:
        statement = tables.SELECT_NOTICES
    rows = session.rows(
        statement,
        tool=wanted.tool,
        state=wanted.state,
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
    """Find notices by their ids, in any order; those that are there."""
    names = encode([[one] for one in ids]).decode()
    return [OnList(*row) for row in session.rows(tables.SELECT_NOTICES_NAMED, ids=names)]


def waiting(session: Session, tool: str, most: int) -> dict[str, int]:
    """How many of a tool's newest notices that wait, of at most so many, each collection has."""
    rows = session.rows(tables.COUNT_WAITING, tool=tool, most=most)
    return {str(collection): int(number) for collection, number in rows}
