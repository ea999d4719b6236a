"""Read models with one row for each record, found by its id: messages, notices, drift.

Each folds the events of a record into its row, and counts its rows by tool and sort as it goes, so
that sums need no reading of them all.
"""

from abc import ABC, abstractmethod
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Final, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import astuple

from lifecycle.events import Entry, Event
from lifecycle.mapper import encode
from projections import tables
from projections.follower import Batch, Subject
from projections.store import Row, Session

REMEMBERED_MAX: Final = 20_000
"""Records that need not be read again when something more becomes of them."""
LATEST: Final = 2**63 - 1
"""Before this position stands everything."""

Sort = tuple[str, str]
"""A tool, and the sort of record that is counted for it."""


class Record(Struct, frozen=True):
    """One row, its members in the order of the columns."""

    position: int
    """Of its first event: the order of lists."""
    id: str


R = TypeVar("R", bound=Record)


class Records(ABC, Generic[R]):
    """A read model of such rows."""

    name: ClassVar[str]
    wants: ClassVar[tuple[type[Event], ...]]
    named: ClassVar[str]
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

    @abstractmethod
    def read(self, row: Row) -> R:
        """Take a row as the record that it is."""

    @abstractmethod
    def sorts(self, record: R) -> Mapping[Sort, int]:
        """Say as what it counts, and how often."""

    def digest(self, session: Session, batch: Batch) -> dict[Subject, Exception]:
        """Fold what is new; answer the subjects of which nothing could be written."""
        before = self._recalled(session, batch.entries)
        after: dict[str, R] = {}
        failed: dict[Subject, Exception] = {}
        for subject, entries in batch.entries.items():
            try:
                after |= self._folded(before, entries)
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

    def _folded(self, before: Mapping[str, R], entries: Sequence[Entry]) -> dict[str, R]:
        folded: dict[str, R] = {}
        for entry in entries:
            record_id = self.id_of(entry)
            folded[record_id] = self.fold(folded.get(record_id) or before.get(record_id), entry)
        return folded

    def _recalled(
        self, session: Session, entries: Mapping[Subject, Sequence[Entry]]
    ) -> dict[str, R]:
        wanted = {self.id_of(entry) for events in entries.values() for entry in events}
        found = {one: self._remembered[one] for one in wanted if one in self._remembered}
        if unknown := [[one] for one in wanted if one not in found]:
            for row in session.rows(self.named, ids=encode(unknown).decode()):
                record = self.read(row)
                found[record.id] = record
        return found

    def _write(self, session: Session, before: Mapping[str, R], after: Mapping[str, R]) -> None:
        if not after:
            return
        rows = [astuple(record) for record in after.values()]
        session.run(self.upsert, rows=encode(rows).decode())
        counted: Counter[Sort] = Counter()
        for record_id, record in after.items():
            counted.update(self.sorts(record))
            if record_id in before:
                counted.subtract(self.sorts(before[record_id]))
        more = [(self.name, *sort, number) for sort, number in counted.items() if number]
        if more:
            session.run(tables.UPSERT_RECORD_COUNTS, rows=encode(more).decode())


def counts(session: Session, model: str) -> dict[Sort, int]:
    """How many records of each sort a read model has."""
    rows = session.rows(tables.SELECT_RECORD_COUNTS, model=model)
    return {(tool, name): int(number) for tool, name, number in rows}
