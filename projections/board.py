"""The board: where every case stands, in one row each, and what it can be found by.

Which words a tool has for a case is not stored: the vocabulary is total and pure, so the states
that a word stands for are looked up when a list is asked for, and no change of a word rewrites a
row. What was erased leaves the row, and the words that the case could be found by.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from lifecycle.case import Case, Entered, evolve
from lifecycle.events import CaseEvent, Entry
from lifecycle.model import Lifecycle
from projections.blocks import bit_of, block_of, unpacked
from projections.follower import Batch, Subject, written
from projections.sets import Sets
from projections.store import Row, Session, as_json
from projections.tables import board as tables
from projections.tables import follower as followed
from projections.views import due, is_declared
from projections.words import kept, searched, words_of

REMEMBERED_MAX: Final = 20_000
"""Cases that need not be read again when they change again."""

_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode
_decode_references = msgspec.json.Decoder(dict[str, tuple[str, ...]]).decode
_decode_entered = msgspec.json.Decoder(dict[str, Entered]).decode


class OnBoard(Struct, frozen=True):
    """A case as the board has it."""

    opened: int
    """The position of its first event: the order of most lists."""
    case: Case
    number: int = 0
    """How many cases were opened before it, and it; 0 while it is not written."""
    seen_at: str = ""
    """When its last change was recorded; never before what stands earlier in the log."""
    due_at: str | None = None


class Board:
    """The read model."""

    name: ClassVar[str] = "board"
    wants: ClassVar[type[CaseEvent]] = CaseEvent

    def __init__(self, lifecycles: Mapping[str, Lifecycle]) -> None:
        """Take the lifecycles by collection."""
        self._lifecycles = lifecycles
        self._remembered: OrderedDict[Subject, OnBoard] = OrderedDict()
        self._last: int | None = None

    def digest(self, session: Session, batch: Batch) -> dict[Subject, Exception]:
        """Move the cases of a batch; answer those that cannot be, of which nothing is written."""
        before = self._recalled(session, batch.entries)
        after: dict[Subject, OnBoard] = {}
        failed: dict[Subject, Exception] = {}
        for subject, entries in batch.entries.items():
            try:
                after[subject] = self._moved(before.get(subject), entries, batch.seen_at)
            except Exception as no:  # noqa: BLE001 - one case that cannot be read stops no other
                failed[subject] = no
        self._number(session, after)
        self._write(session, before, after)
        for subject, row in after.items():
            self._remembered[subject] = row
            self._remembered.move_to_end(subject)
        while len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return failed

    def drop(self, session: Session, subject: Subject) -> None:
        """Take a case off the board, values and words."""
        self.forget()
        for row in session.rows(tables.SELECT_CASES, names=as_json([subject])):
            number, collection = int(row[0]), subject[0]
            in_block = {"collection": collection, "block": block_of(number)}
            states, words = (
                [
                    tuple(key)
                    for cases, *key in session.rows(select, **in_block)
                    if unpacked(cases) & bit_of(number)
                ]
                for select in (tables.SELECT_BLOCK_STATES, tables.SELECT_BLOCK_WORDS)
            )
            entries = {
                (*where, entry, block) for *where, word, block in words for entry in kept(word)
            }
            for sets, keys in ((Sets.of_states(), states), (Sets.of_words(), entries)):
                sets.move(number, keys, ())
                sets.write(session)
            left = [(collection, state) for collection, state, _ in states]
            _count(session, dict.fromkeys([*left, (collection, "")], -1))
            session.run(tables.DELETE_CASE, number=number)

    def forget(self) -> None:
        """Remember nothing: somebody else may have written, or what was written may be undone."""
        self._remembered.clear()
        self._last = None

    # --- moving

    def _moved(
        self, row: OnBoard | None, entries: Sequence[Entry], seen_at: Mapping[int, datetime]
    ) -> OnBoard:
        case = row.case if row else None
        for entry in entries:
            case = evolve(case, entry)
        assert case is not None
        opened, number = (row.opened, row.number) if row else (entries[0].position, 0)
        lifecycle = self._lifecycles.get(case.collection)
        first = due(case, lifecycle) if lifecycle else None
        due_at = written(first.at) if first else None
        return OnBoard(opened, case, number, written(seen_at[case.position]), due_at)

    def _recalled(
        self, session: Session, entries: Mapping[Subject, Sequence[Entry]]
    ) -> dict[Subject, OnBoard]:
        found: dict[Subject, OnBoard] = {}
        unknown: list[Subject] = []
        for subject, events in entries.items():
            if row := self._remembered.get(subject):
                found[subject] = row
            elif events[0].version > 1:
                unknown.append(subject)
        if unknown:
            rows = session.rows(tables.SELECT_CASES, names=as_json(unknown))
            for row in map(on_board, rows):
                found[row.case.collection, row.case.id] = row
        return found

    def _number(self, session: Session, after: dict[Subject, OnBoard]) -> None:
        """Give those that are new the next numbers, in the order in which they were opened."""
        new = sorted((row.opened, subject) for subject, row in after.items() if not row.number)
        if not new:
            return
        if self._last is None:
            ((last,),) = session.rows(tables.SELECT_LAST_NUMBER)
            self._last = int(last)
        for _, subject in new:
            self._last += 1
            after[subject] = replace(after[subject], number=self._last)

    # --- writing

    def _write(
        self,
        session: Session,
        before: Mapping[Subject, OnBoard],
        after: Mapping[Subject, OnBoard],
    ) -> None:
        states, words, moved = Sets.of_states(), Sets.of_words(), Counter[tuple[str, str]]()
        for subject, row in after.items():
            old, new, collection = before.get(subject), row.case, subject[0]
            if old is None or old.case.states != new.states:
                was, now = self._states(old.case if old else None), self._states(new)
                block = block_of(row.number)
                states.move(
                    row.number,
                    ((collection, state, block) for state in was - now),
                    ((collection, state, block) for state in now - was),
                )
                moved.subtract((collection, state) for state in was - now)
                moved.update((collection, state) for state in now - was)
                moved[collection, ""] += old is None
            if old is None or not self._reads_alike(old.case, new):
                had, has = self._words(old), self._words(row)
                words.move(row.number, had - has, has - had)
        session.write(tables.UPSERT_CASES, [_row(row) for row in after.values()])
        states.write(session)
        words.write(session)
        _count(session, moved)

    def _states(self, case: Case | None) -> frozenset[str]:
        """The leaves that a case is in, their ancestors, and the leaves joined."""
        if case is None:
            return frozenset()
        lifecycle = self._lifecycles.get(case.collection)
        if lifecycle is None or not is_declared(case, lifecycle):
            return frozenset({*case.states, case.state})
        return lifecycle.chart.active(case.states).ids | {case.state}

    def _reads_alike(self, old: Case, new: Case) -> bool:
        """Whether a case can be found by the same words: what they are taken from is as it was."""
        if old.references is not new.references:
            return False
        if old.fields is new.fields:
            return True
        names = searched(self._lifecycles.get(new.collection))
        was, now = old.fields, new.fields
        return all(was.get(name) == now.get(name) for name in names)

    def _words(self, row: OnBoard | None) -> frozenset[Row]:
        """Under what the words of a case are kept."""
        if row is None:
            return frozenset()
        collection, block = row.case.collection, block_of(row.number)
        found = words_of(row.case, self._lifecycles.get(collection))
        return frozenset(
            (collection, field, entry, block) for field, word in found for entry in kept(word)
        )


def _count(session: Session, moved: Mapping[tuple[str, str], int]) -> None:
    """Count cases into states, and out of them."""
    if rows := [(*where, cases) for where, cases in moved.items() if cases]:
        session.run(tables.UPSERT_COUNTS, rows=as_json(rows))
        session.run(tables.DELETE_NO_COUNTS)


# --- rows ---------------------------------------------------------------------------------------


def _row(row: OnBoard) -> Row:
    case = row.case
    fields = case.fields
    if case.personal:
        fields = {name: value for name, value in fields.items() if name not in case.personal}
    # Also a personal field without a value is named: when it is set again, it is known as such.
    personal = {name: case.fields.get(name) for name in case.personal}
    return (
        row.number,
        row.opened,
        case.collection,
        case.id,
        case.lifecycle,
        case.lifecycle_version,
        case.state,
        written(case.since),
        row.due_at,
        case.version,
        case.position,
        written(case.changed_at),
        row.seen_at,
        as_json(fields),
        as_json(personal),
        as_json(case.references),
        as_json(case.entered),
    )


def cases_named(session: Session, names: Sequence[Subject]) -> dict[Subject, Case]:
    """The cases of these collections and ids that are on the board."""
    if not names:
        return {}
    rows = session.rows(tables.SELECT_CASES, names=as_json(names))
    return {(row.case.collection, row.case.id): row.case for row in map(on_board, rows)}


def on_board(row: Row) -> OnBoard:
    """A row as a case."""
    (number, opened, collection, case_id, lifecycle, lifecycle_version, state, since) = row[:8]
    (due_at, version, position, changed_at, seen_at) = row[8:13]
    (fields, personal, references, entered) = row[13:]
    known = _decode(personal)
    values = _decode(fields)
    values.update((name, value) for name, value in known.items() if value is not None)
    case = Case(
        collection=collection,
        id=case_id,
        lifecycle=lifecycle,
        lifecycle_version=lifecycle_version,
        states=tuple(state.split("+")),
        since=datetime.fromisoformat(since),
        version=version,
        changed_at=datetime.fromisoformat(changed_at),
        fields=values,
        personal=frozenset(known),
        references=_decode_references(references),
        position=position,
        entered=_decode_entered(entered),
    )
    return OnBoard(opened, case, number, seen_at, due_at)


def as_kept(case: Case) -> Case:
    """The case with what the board keeps of it."""
    return on_board(_row(OnBoard(0, case))).case


# --- in all -------------------------------------------------------------------------------------


def position(session: Session) -> int:
    """How far the board has come."""
    return int(session.rows(followed.SELECT_FOLLOWED)[0][0])


def counts(session: Session) -> dict[str, dict[str, int]]:
    """By collection and state, ancestors included, how many cases there are; `""` is all."""
    found: dict[str, dict[str, int]] = {}
    for collection, state, cases in session.rows(tables.SELECT_COUNTS):
        found.setdefault(collection, {})[state] = cases
    return found


def overdue(session: Session, collection: str, now: datetime, most: int) -> int:
    """How many cases of a collection are overdue, counted no further than `most`."""
    ((late,),) = session.rows(
        tables.COUNT_OVERDUE, collection=collection, due_before=written(now), most=most
    )
    return int(late)


def stale_ids(session: Session, collection: str, most: int) -> list[str]:
    """The cases that the board could not digest: they stand there as they were, or not at all."""
    rows: Iterable[Row] = session.rows(
        followed.SELECT_STALE_IDS, model=Board.name, collection=collection, most=most
    )
    return [case_id for (case_id,) in rows]
