"""One list of records: messages, notices and drift are read models of one row for each, by its id.

Each folds the events of a record into its row, and counts its rows by tool and sort as it goes, so
that sums need no reading of them all. All are asked for in one way: filters, and pages of which the
newest come first, or the oldest, in an order that no change disturbs.
"""

from abc import ABC, abstractmethod
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import asdict, astuple

from lifecycle.events import Entry, Event
from projections.follower import Batch, Subject, written
from projections.store import Row, Session, as_json
from projections.tables import records as tables

REMEMBERED_MAX: Final = 20_000
"""Records that need not be read again when something more becomes of them."""
MOMENTS: Final = {"since", "until", "ended_since", "now"}
"""What is asked of times."""
LATEST: Final = 2**63 - 1
"""Before this position stands everything."""

Sort = tuple[str, str]
"""A tool, and the sort of record that is counted for it."""


class Record(Struct, frozen=True):
    """One row, its members in the order of the columns; what is not known is empty."""

    position: int
    """Of its first event: the order of lists."""
    id: str
    stream: str
    tool: str
    collection: str
    case_id: str
    why: str
    recorded_at: str
    """When it came to be: heard, due, found."""

    @property
    def case(self) -> str:
        """The case that it is about, like `jobs/J-1042`; empty where that is not known."""
        return f"{self.collection}/{self.case_id}" if self.case_id else ""


class Wanted(Struct, frozen=True, kw_only=True):
    """Which records a list is to hold; empty members ask for nothing."""

    tool: str = ""
    sort: str = ""
    """What has become of it, as its read model calls that: an outcome, a state."""
    why: str = ""
    type: str = ""
    """Of notices."""
    collection: str = ""
    case_id: str = ""
    """With `collection`."""
    since: datetime | None = None
    """Come to be since."""
    until: datetime | None = None
    """Come to be before."""
    ended_since: datetime | None = None
    """Of notices: come to an end since."""
    now: datetime | None = None
    """As of when, where what has become of it depends on that."""


R = TypeVar("R", bound=Record)


class Records(ABC, Generic[R]):
    """A read model of such rows."""

    name: ClassVar[str]
    wants: ClassVar[tuple[type[Event], ...]]
    selects: ClassVar[Mapping[str, str]]
    """The statements that select a page, each under the filter that leads to few rows; the first
    that is asked for is taken, or the one without a name."""
    select_named: ClassVar[str]
    """The statement that selects rows by their ids."""
    upsert: ClassVar[str]
    """The statement that writes rows."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._remembered: OrderedDict[str, R] = OrderedDict()

    @abstractmethod
    def id_of(self, entry: Entry) -> str:
        """Say which record an event is about."""

    @abstractmethod
    def fold(self, record: R | None, entry: Entry) -> R:
        """Say what the record is after one more event."""

    @classmethod
    @abstractmethod
    def read(cls, row: Row) -> R:
        """Take a row as the record that it is."""

    @abstractmethod
    def sorts(self, record: R) -> Mapping[Sort, int]:
        """Say as what it counts, and how often."""

    # --- asking

    @classmethod
    def asked(cls, wanted: Wanted) -> dict[str, Any]:
        """What the statements of its pages are given."""
        asked = asdict(wanted)
        times = {name: written(at) if at else "" for name, at in asked.items() if name in MOMENTS}
        return asked | times

    @classmethod
    def page(
        cls, session: Session, wanted: Wanted, most: int, *, before: int | None = None
    ) -> list[R]:
        """Answer the newest of what is wanted, of those before a position."""
        place = LATEST if before is None else before
        rows = session.rows(cls._statement(wanted), **cls.asked(wanted), place=place, most=most)
        return [cls.read(row) for row in rows]

    @classmethod
    def oldest(
        cls, session: Session, wanted: Wanted, most: int, *, after: int | None = None
    ) -> list[R]:
        """Answer the oldest of what is wanted, of those after a position."""
        statement = tables.oldest_first(cls._statement(wanted))
        rows = session.rows(statement, **cls.asked(wanted), place=after or 0, most=most)
        return [cls.read(row) for row in rows]

    @classmethod
    def _statement(cls, wanted: Wanted) -> str:
        asked = cls.asked(wanted)
        return next(one for name, one in cls.selects.items() if not name or asked[name])

    @classmethod
    def named(cls, session: Session, ids: Sequence[str]) -> list[R]:
        """Find records by their ids, in any order; those that are there."""
        names = as_json([[one] for one in ids if one.isprintable()])
        return [cls.read(row) for row in session.rows(cls.select_named, ids=names)]

    # --- following

    def digest(self, session: Session, batch: Batch) -> dict[Subject, Exception]:
        """Fold what is new; answer the subjects of which nothing could be written."""
        about = {
            subject: [(self.id_of(entry), entry) for entry in entries]
            for subject, entries in batch.entries.items()
        }
        before = self._recalled(session, {name for named in about.values() for name, _ in named})
        after: dict[str, R] = {}
        failed: dict[Subject, Exception] = {}
        for subject, named in about.items():
            try:
                after |= self._folded(before, named)
            except Exception as no:  # noqa: BLE001 - one that cannot be read stops no other
                failed[subject] = no
        self._write(session, before, after)
        for record_id, record in after.items():
            self._remembered[record_id] = record
            self._remembered.move_to_end(record_id)
        while len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return failed

    def counted(self, entries: Iterable[Entry]) -> Counter[Sort]:
        """Count the records that these entries make, which are all that there are of them."""
        records: dict[str, R] = {}
        for entry in entries:
            if isinstance(entry.event, self.wants):
                record_id = self.id_of(entry)
                records[record_id] = self.fold(records.get(record_id), entry)
        counted: Counter[Sort] = Counter()
        for record in records.values():
            counted.update(self.sorts(record))
        return counted

    def drop(self, session: Session, subject: Subject) -> None:
        """Nothing: no row holds a value that could be erased."""

    def forget(self) -> None:
        """Remember nothing: somebody else may have written, or what was written may be undone."""
        self._remembered.clear()

    def _folded(self, before: Mapping[str, R], named: Iterable[tuple[str, Entry]]) -> dict[str, R]:
        folded: dict[str, R] = {}
        for record_id, entry in named:
            folded[record_id] = self.fold(folded.get(record_id) or before.get(record_id), entry)
        return folded

    def _recalled(self, session: Session, wanted: Collection[str]) -> dict[str, R]:
        found = {one: self._remembered[one] for one in wanted if one in self._remembered}
        if unknown := [one for one in wanted if one not in found]:
            found |= {record.id: record for record in self.named(session, unknown)}
        return found

    def _write(self, session: Session, before: Mapping[str, R], after: Mapping[str, R]) -> None:
        if not after:
            return
        rows = [astuple(record) for record in after.values()]
        session.write(self.upsert, rows)
        counted: Counter[Sort] = Counter()
        for record_id, record in after.items():
            for sort, number in self.sorts(record).items():
                counted[sort] += number
            if record_id in before:
                for sort, number in self.sorts(before[record_id]).items():
                    counted[sort] -= number
        more = [(self.name, *sort, number) for sort, number in counted.items() if number]
        if more:
            session.run(tables.UPSERT_RECORD_COUNTS, rows=as_json(more))


def counts(session: Session, model: str) -> dict[Sort, int]:
    """How many records of each sort a read model has."""
    rows = session.rows(tables.SELECT_RECORD_COUNTS, model=model)
    return {(tool, name): int(number) for tool, name, number in rows}
