"""The drift: where tools and the shared state differ, each difference in one row.

No row holds the value of a field: that stands in the log, where it can be erased.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Final, Literal

from msgspec.structs import replace

from lifecycle.events import DriftFound, DriftResolved, Entry, Event
from projections import records
from projections.follower import written
from projections.records import Record, Records, Sort, Wanted
from projections.store import Row, Session
from projections.tables import drift as tables

State = Literal["open", "dismissed", "resolved"]
STATES: Final[tuple[State, ...]] = ("open", "dismissed", "resolved")
ALWAYS: Final = "9999-12-31T23:59:59.999999Z"
"""How long something is silent that is so until the tool says something else."""
DISMISSED: Final = "dismissed"
STANDING: Final = "standing"


class OnList(Record, frozen=True):
    """A difference as the list has it: when it was found, and why what the tool says counts not."""

    version: int
    """Where in its stream it was found: of a field, what the tool says stands there."""
    field: str
    is_word: int
    expected: str
    reported: str
    message: str
    """The stream of the message that said so."""
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
    selects: ClassVar[Mapping[str, str]] = tables.SELECT_DRIFT
    select_named: ClassVar[str] = tables.SELECT_DRIFT_NAMED
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

    @classmethod
    def read(cls, row: Row) -> OnList:
        """Take a row as the difference that it is."""
        return OnList(*row)

    @classmethod
    def asked(cls, wanted: Wanted) -> dict[str, Any]:
        """Ask for a state as of a moment: what was dismissed for a while is open again after it."""
        sort = wanted.sort or "open"
        silent = {"open": 0, "dismissed": 1, "resolved": -1}[sort]
        return super().asked(wanted) | {"standing": int(sort != "resolved"), "silent": silent}

    def sorts(self, record: OnList) -> Mapping[Sort, int]:
        """Count it as standing, dismissed or resolved."""
        if not record.standing:
            return {(record.tool, "resolved"): 1}
        return {(record.tool, DISMISSED if record.silent_until else STANDING): 1}


def _found(entry: Entry, event: DriftFound) -> OnList:
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
        field=event.field,
        is_word=int(event.is_word),
        expected=event.expected or "",
        reported=event.reported,
        message=event.message,
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


def counts(session: Session, now: datetime) -> dict[Sort, int]:
    """Count differences by tool and sort; what was dismissed until a time stands again after it."""
    counted = Counter(records.counts(session, Drift.name))
    for tool, again in session.rows(tables.COUNT_DRIFT_AGAIN, now=written(now)):
        counted[tool, STANDING] += int(again)
        counted[tool, DISMISSED] -= int(again)
    return {sort: number for sort, number in counted.items() if number}
