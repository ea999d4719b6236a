"""The drift: where tools and the shared state differ, each difference in one row.

No row holds the value of a field: that stands in the log, where it can be erased.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from lifecycle.events import DriftFound, DriftResolved, Entry, Event
from lifecycle.mapper import encode
from projections import tables
from projections.follower import written
from projections.records import LATEST, Record, Records, Sort
from projections.store import Row, Session

State = Literal["open", "dismissed", "resolved"]
STATES: Final[tuple[State, ...]] = ("open", "dismissed", "resolved")
ALWAYS: Final = "9999-12-31T23:59:59.999999Z"
"""How long something is silent that is so until the tool says something else."""
DISMISSED: Final = "dismissed"


class OnList(Record, frozen=True):
    """A difference as the list has it; what is not known is empty."""

    stream: str
    version: int
    """Where in its stream it was found: of a field, what the tool says stands there."""
    tool: str
    collection: str
    case_id: str
    field: str
    is_word: int
    expected: str
    reported: str
    why: str
    message: str
    """The stream of the message that said so."""
    found_at: str
    standing: int
    """1 as long as they differ, also while that is dismissed."""
    silent_until: str
    ended_at: str
    how: str
    reason: str
    ended_by: str

    def state(self, now: datetime) -> State:
        """Say whether somebody has to look after it."""
        if not self.standing:
            return "resolved"
        return "dismissed" if self.silent_until > written(now) else "open"


class Drift(Records[OnList]):
    """The read model."""

    name: ClassVar[str] = "drift"
    wants: ClassVar[tuple[type[Event], ...]] = (DriftFound, DriftResolved)
    named: ClassVar[str] = tables.SELECT_DRIFT_NAMED
    upsert: ClassVar[str] = tables.UPSERT_DRIFT

    def id_of(self, entry: Entry) -> str:
        """Name it as it was named when it was found."""
        assert isinstance(entry.event, DriftFound | DriftResolved), entry.stream
        return entry.event.id

    def fold(self, record: OnList | None, entry: Entry) -> OnList:
        """Find it, find more about it, settle it."""
        event = entry.event
        if isinstance(event, DriftFound):
            return _found_more(record, entry, event) if record else _found(entry, event)
        assert record is not None, entry.stream
        assert isinstance(event, DriftResolved), entry.stream
        ended: dict[str, Any] = {
            "ended_at": written(event.recorded_at),
            "how": event.how,
            "reason": event.reason or "",
            "ended_by": event.by.name,
        }
        if event.how == DISMISSED:
            until = written(event.until) if event.until else ALWAYS
            return replace(record, **ended, silent_until=until)
        return replace(record, **ended, standing=0)

    def read(self, row: Row) -> OnList:
        """Take a row as the difference that it is."""
        return OnList(*row)

    def sorts(self, record: OnList) -> Mapping[Sort, int]:
        """Count it as standing, dismissed or resolved."""
        if not record.standing:
            return {(record.tool, "resolved"): 1}
        return {(record.tool, DISMISSED if record.silent_until else "standing"): 1}


def _found(entry: Entry, event: DriftFound) -> OnList:
    collection, _, case_id = event.case.partition("/")
    return OnList(
        position=entry.position,
        id=event.id,
        stream=entry.stream,
        version=entry.version,
        tool=event.tool,
        collection=collection,
        case_id=case_id,
        field=event.field,
        is_word=int(event.is_word),
        expected=event.expected or "",
        reported=event.reported,
        why=event.why,
        message=event.message,
        found_at=written(event.recorded_at),
        standing=1,
        silent_until="",
        ended_at="",
        how="",
        reason="",
        ended_by="",
    )


def _found_more(record: OnList, entry: Entry, event: DriftFound) -> OnList:
    return replace(
        record, version=entry.version, expected=event.expected or "", why=event.why, standing=1
    )


# --- lists --------------------------------------------------------------------------------------


class Wanted(Struct, frozen=True, kw_only=True):
    """Which differences a list is to hold; empty members ask for nothing."""

    now: datetime
    state: State = "open"
    tool: str = ""
    why: str = ""
    collection: str = ""
    case_id: str = ""
    """With `collection`."""
    since: datetime | None = None
    """Found since."""


def page(
    session: Session, wanted: Wanted, most: int, *, before: int | None = None
) -> Sequence[OnList]:
    """List the newest differences, those that were found last first."""
    rows = session.rows(
        tables.SELECT_DRIFT_OF_CASE if wanted.case_id else tables.SELECT_DRIFT,
        standing=int(wanted.state != "resolved"),
        silent={"open": 0, "dismissed": 1, "resolved": -1}[wanted.state],
        now=written(wanted.now),
        tool=wanted.tool,
        why=wanted.why,
        collection=wanted.collection,
        case_id=wanted.case_id,
        since=written(wanted.since) if wanted.since else "",
        before=LATEST if before is None else before,
        most=most,
    )
    return [OnList(*row) for row in rows]


def named(session: Session, ids: Sequence[str]) -> Sequence[OnList]:
    """Find differences by their ids, in any order; those that are there."""
    names = encode([[one] for one in ids]).decode()
    return [OnList(*row) for row in session.rows(tables.SELECT_DRIFT_NAMED, ids=names)]
