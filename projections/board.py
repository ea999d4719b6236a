"""The board: where every case stands, in one row each, and the lists over it.

Which words a tool has for a case is not stored: the vocabulary is total and pure, so the states
that a word stands for are looked up when a list is asked for, and no change of a word rewrites a
row. What was erased leaves the row, and the words that the case could be found by.
"""

import re
import unicodedata
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from heapq import merge
from itertools import islice
from typing import Any, ClassVar, Final
from zlib import crc32

import msgspec
from msgspec import Struct

from lifecycle.case import Case, Entered, evolve
from lifecycle.events import ERASED, CaseEvent, Entry
from lifecycle.mapper import encode
from lifecycle.model import Lifecycle
from projections import tables
from projections.follower import Batch, Subject, written
from projections.store import Row, Session
from projections.views import due, is_declared

REMEMBERED_MAX: Final = 20_000
"""Cases that need not be read again when they change again."""
WORD_LENGTH_MAX: Final = 64
WORDS_MAX: Final = 200
"""Words that a case can be found by."""
HOLDERS_MAX: Final = 20_000
"""A word that more cases hold is common: the newest cases are looked through for it."""
FOUND_MAX: Final = 500
"""Cases found by a word that are looked at in one go."""
IMPRINT_BITS: Final = 124
"""In an imprint, half of them in each of two columns: whole numbers have 63 bits in both databases.
"""
BEGINNINGS: Final = (2, 3)
"""How many letters of a word leave a mark of their own, for those who ask for a beginning."""
POSITION_MAX: Final = 2**63 - 1
SEARCHED: Final = frozenset({"text", "email", "phone", "address", "choice", "case"})
"""The types of fields that words are taken from."""

_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode
_decode_references = msgspec.json.Decoder(dict[str, tuple[str, ...]]).decode
_decode_entered = msgspec.json.Decoder(dict[str, Entered]).decode

Found = tuple[str, str]
"""A word, and the personal field that it stands in; empty where all may see it."""


Bounds = tuple[str, str]
"""Between what a word has to stand."""


class OnBoard(Struct, frozen=True):
    """A case as the board has it."""

    opened: int
    """The position of its first event: which case it is, and the order of most lists."""
    case: Case
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
        self._write(session, before, after)
        for subject, row in after.items():
            self._remembered[subject] = row
            self._remembered.move_to_end(subject)
        while len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return failed

    def drop(self, session: Session, subject: Subject) -> None:
        """Take a case off the board, values and words."""
        collection, case_id = subject
        for statement in (
            tables.COUNT_CASE_OUT,
            tables.DELETE_CASE_WORDS,
            tables.DELETE_CASE_STATES,
            tables.DELETE_CASE,
        ):
            session.run(statement, collection=collection, id=case_id)
        session.run(tables.DELETE_NO_COUNTS)
        self._remembered.pop(subject, None)

    def forget(self) -> None:
        """Remember nothing: somebody else may have written, or what was written may be undone."""
        self._remembered.clear()

    # --- moving

    def _moved(
        self, row: OnBoard | None, entries: Sequence[Entry], seen_at: Mapping[int, datetime]
    ) -> OnBoard:
        case = row.case if row else None
        for entry in entries:
            case = evolve(case, entry)
        assert case is not None
        opened = row.opened if row else entries[0].position
        lifecycle = self._lifecycles.get(case.collection)
        first = due(case, lifecycle) if lifecycle else None
        due_at = written(first.at) if first else None
        return OnBoard(opened, case, written(seen_at[case.position]), due_at)

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
            rows = session.rows(tables.SELECT_CASES, names=_json(unknown))
            for row in map(on_board, rows):
                found[row.case.collection, row.case.id] = row
        return found

    def _write(
        self,
        session: Session,
        before: Mapping[Subject, OnBoard],
        after: Mapping[Subject, OnBoard],
    ) -> None:
        left, entered = list[Row](), list[Row]()
        lost, gained = list[Row](), list[Row]()
        moved = Counter[tuple[str, str]]()
        for subject, row in after.items():
            opened, collection = row.opened, subject[0]
            old = before[subject].case if subject in before else None
            new = row.case
            if old is None or old.states != new.states:
                was, now = self._states(old), self._states(new)
                left += [(opened, state) for state in was - now]
                entered += [(opened, state, collection) for state in now - was]
                moved.subtract((collection, state) for state in was - now)
                moved.update((collection, state) for state in now - was)
                moved[collection, ""] += old is None
            if old is None or old.fields is not new.fields or old.references is not new.references:
                had, has = self._words(old), self._words(new)
                if had != has:
                    lost.append((opened,))
                    marks = imprint(has)
                    gained += [(opened, *word, collection, *marks) for word in has]
        session.run(tables.UPSERT_CASES, rows=_json([_row(row) for row in after.values()]))
        for statement, rows in (
            (tables.DELETE_STATES, left),
            (tables.INSERT_STATES, entered),
            (tables.DELETE_WORDS, lost),
            (tables.INSERT_WORDS, gained),
        ):
            if rows:
                session.run(statement, rows=_json(rows))
        if counts := [(*where, cases) for where, cases in moved.items() if cases]:
            session.run(tables.UPSERT_COUNTS, rows=_json(counts))
            session.run(tables.DELETE_NO_COUNTS)

    def _states(self, case: Case | None) -> frozenset[str]:
        """The leaves that a case is in, their ancestors, and the leaves joined."""
        if case is None:
            return frozenset()
        lifecycle = self._lifecycles.get(case.collection)
        if lifecycle is None or not is_declared(case, lifecycle):
            return frozenset({*case.states, case.state})
        return lifecycle.chart.active(case.states).ids | {case.state}

    def _words(self, case: Case | None) -> frozenset[Found]:
        if case is None:
            return frozenset()
        return frozenset(islice(words_of(case, self._lifecycles.get(case.collection)), WORDS_MAX))


def words_of(case: Case, lifecycle: Lifecycle | None) -> Iterator[Found]:
    """Every word that a case can be found by: of its id, its references, its texts."""
    for text in (case.id, *(ref for refs in case.references.values() for ref in refs)):
        for word in words(text):
            yield word, ""
    if lifecycle is None:
        return
    for name, value in case.fields.items():
        field = lifecycle.fields.get(name)
        if field is None or field.type not in SEARCHED:
            continue
        if field.personal and value == ERASED:
            continue
        where = name if field.personal else ""
        for text in _texts(value):
            for word in words(text):
                yield word, where


def words(text: str) -> list[str]:
    """The words of a text as they are compared: without case and accents.

    What is no letter and no digit parts them.
    """
    if text.isascii():
        text = text.lower()
    else:
        plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
        text = "".join(sign for sign in plain if not unicodedata.combining(sign))
    return [word[:WORD_LENGTH_MAX] for word in _WORD.findall(text)]


_WORD = re.compile(r"[^\W_]+")


def imprint(found: Iterable[Found]) -> tuple[int, int]:
    """Marks of all these words: a case without one of them surely lacks what leaves it.

    What has all marks of a word does not surely hold it.
    """
    marks = 0
    for word, _ in found:
        marks |= _marks(word, whole=True)
    return _halves(marks)


@lru_cache(maxsize=REMEMBERED_MAX)
def _marks(word: str, *, whole: bool) -> int:
    """The marks of a word, or of what a word begins with."""
    left = [word[:length] for length in BEGINNINGS if len(word) >= length]
    if whole:
        left.append(f"={word}")
    marks = 0
    for one in left:
        marks |= 1 << crc32(one.encode()) % IMPRINT_BITS
    return marks


def _halves(marks: int) -> tuple[int, int]:
    half = IMPRINT_BITS // 2
    return marks & ((1 << half) - 1), marks >> half


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _texts(inner)


# --- rows ---------------------------------------------------------------------------------------


def _row(row: OnBoard) -> Row:
    case = row.case
    fields = case.fields
    if case.personal:
        fields = {name: value for name, value in fields.items() if name not in case.personal}
    # Also a personal field without a value is named: when it is set again, it is known as such.
    personal = {name: case.fields.get(name) for name in case.personal}
    return (
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
        encode(fields).decode(),
        encode(personal).decode(),
        encode(case.references).decode(),
        encode(case.entered).decode(),
    )


def cases_named(session: Session, names: Sequence[Subject]) -> dict[Subject, Case]:
    """The cases of these collections and ids that are on the board."""
    if not names:
        return {}
    rows = session.rows(tables.SELECT_CASES, names=_json(names))
    return {(row.case.collection, row.case.id): row.case for row in map(on_board, rows)}


def on_board(row: Row) -> OnBoard:
    """A row as a case."""
    (opened, collection, case_id, lifecycle, lifecycle_version, state, since, due_at) = row[:8]
    (version, position, changed_at, seen_at, fields, personal, references, entered) = row[8:]
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
    return OnBoard(opened, case, seen_at, due_at)


def as_kept(case: Case) -> Case:
    """The case with what the board keeps of it."""
    return on_board(_row(OnBoard(0, case))).case


def _json(rows: object) -> str:
    return encode(rows).decode()


# --- lists --------------------------------------------------------------------------------------

BEGINNING: Final = ("", 0)
"""Before everything, in an order of time."""
END: Final = "\U0010ffff"
"""Sorts behind whatever may follow a word's beginning."""


class Wanted(Struct, frozen=True, kw_only=True):
    """Which cases of a collection a list is to hold."""

    collection: str
    state: str = ""
    """An active state, ancestors included, or leaves joined by `+`; empty for any."""
    entries: tuple[str, ...] = ()
    """The states under which a tool's word is declared; see `entries_with`."""
    configurations: tuple[str, ...] = ()
    """With `entries`: the leaves, joined, for which the word really applies."""
    updated_since: datetime | None = None
    overdue_at: datetime | None = None
    """Only those whose limit has run out by then."""
    differing_at: datetime | None = None
    """Only those that some tool differs from, where that is not dismissed at that time."""
    differs: str = ""
    """With `differing_at`: this tool."""
    words: tuple[str, ...] = ()
    """All of them, the last of which may only begin so."""
    visible: frozenset[str] = frozenset()
    """The personal fields in which a word may be found."""


class Key(Struct, frozen=True, array_like=True):
    """Where a page ended, in the order of its list."""

    opened: int = 0
    time: str = ""
    position: int = 0


class Page(Struct, frozen=True):
    """A part of a list."""

    rows: Sequence[OnBoard]
    next: Key | None
    """Where the next one begins; None at the end."""


def page(session: Session, wanted: Wanted, after: Key | None, limit: int) -> Page:
    """A page of a list.

    Newest opened first, which no change disturbs; with `updated_since` in the order of change, with
    `overdue_at` the longest overdue first.
    """
    asked = _asked(wanted)
    most = limit + 1  # one more tells whether there is a next page
    if wanted.updated_since is not None:
        time, position = (
            (after.time, after.position) if after else (written(wanted.updated_since), -1)
        )
        rows = session.rows(
            tables.SELECT_CHANGED, seen_at=time, position=position, most=most, **asked
        )
    elif wanted.overdue_at is not None:
        time, opened = (after.time, after.opened) if after else BEGINNING
        rows = session.rows(tables.SELECT_OVERDUE, due_at=time, opened=opened, most=most, **asked)
    else:
        before = after.opened if after else POSITION_MAX
        rows = _newest(session, wanted, asked, before, most)
    found = [on_board(row) for row in rows[:limit]]
    return Page(found, _key(found[-1], wanted) if len(rows) > limit else None)


def _key(last: OnBoard, wanted: Wanted) -> Key:
    if wanted.updated_since is not None:
        return Key(time=last.seen_at, position=last.case.position)
    if wanted.overdue_at is not None:
        return Key(opened=last.opened, time=last.due_at or "")
    return Key(opened=last.opened)


def _newest(
    session: Session, wanted: Wanted, asked: Mapping[str, Any], before: int, most: int
) -> Sequence[Row]:
    """Newest first, by whatever leads to few cases."""
    if wanted.differing_at is not None:
        ((standing,),) = session.rows(tables.COUNT_DIFFERENCES, most=HOLDERS_MAX)
        if standing < HOLDERS_MAX:
            return session.rows(tables.SELECT_DIFFERING, before=before, most=most, **asked)
    if wanted.words and (bounds := _rarest(session, wanted)):
        return _found(session, wanted, bounds, before, most)
    if wanted.words[:-1]:
        return _holding(session, wanted, before, most)
    if wanted.state:
        entered: tuple[str, ...] = (wanted.state,)
        asked = {**asked, "state": ""}
    else:
        entered = wanted.entries
    if not entered:
        return session.rows(tables.SELECT_NEWEST, before=before, most=most, **asked)
    parts = [
        session.rows(tables.SELECT_IN_STATE, entered=one, before=before, most=most, **asked)
        for one in entered
    ]
    if len(parts) == 1:
        return parts[0]
    unique = {row[0]: row for row in merge(*parts, key=_newest_first)}
    return list(islice(unique.values(), most))


def _newest_first(row: Row) -> int:
    return -int(row[0])


def _rarest(session: Session, wanted: Wanted) -> Bounds | None:
    """The word that the fewest cases hold; None where each is common."""
    found: list[tuple[int, Bounds]] = []
    for first, last in _bounds(wanted.words):
        ((held,),) = session.rows(
            tables.COUNT_HOLDERS, first=first, last=last, most=HOLDERS_MAX, **_whose(wanted)
        )
        if held < HOLDERS_MAX:
            found.append((held, (first, last)))
    return min(found)[1] if found else None


def _found(
    session: Session, wanted: Wanted, rarest: Bounds, before: int, most: int
) -> Sequence[Row]:
    """Look at those that hold the rarest word, newest first, for all else that is asked."""
    asked = _asked(wanted, [bounds for bounds in _bounds(wanted.words) if bounds != rarest])
    first, last = rarest
    rows: list[Row] = []
    step = FOUND_MAX
    while len(rows) < most:
        holders = session.rows(
            tables.SELECT_HOLDERS, first=first, last=last, before=before, most=step, **asked
        )
        for start in range(0, len(holders), FOUND_MAX):
            found = _json([[opened] for (opened,) in holders[start : start + FOUND_MAX]])
            looked_at = session.rows(tables.SELECT_FOUND, found=found, **asked)
            rows += sorted(looked_at, key=_newest_first)
            if len(rows) >= most:
                break
        if len(holders) < step:
            break
        before, step = holders[-1][0], HOLDERS_MAX
    return rows[:most]


def _holding(session: Session, wanted: Wanted, before: int, most: int) -> Sequence[Row]:
    """Go through all that hold one of many common words; a long one is likely to be rarer."""
    held = max(wanted.words[:-1], key=len)
    asked = _asked(wanted, [bounds for bounds in _bounds(wanted.words) if bounds != (held, held)])
    unique: dict[int, Row] = {}
    while len(unique) < most:
        rows = session.rows(tables.SELECT_HOLDING, held=held, before=before, most=most, **asked)
        unique.update((row[0], row) for row in rows)
        if len(rows) < most:
            break
        before = rows[-1][0]
    return list(islice(unique.values(), most))


def _bounds(wanted: Sequence[str]) -> list[Bounds]:
    return [*((word, word) for word in wanted[:-1]), (wanted[-1], wanted[-1] + END)]


def _asked(wanted: Wanted, bounds: Sequence[Bounds] | None = None) -> dict[str, Any]:
    """Everything that is asked of a case, as the statements name it."""
    if bounds is None:
        bounds = _bounds(wanted.words) if wanted.words else ()
    assert len(bounds) <= tables.WORDS_ASKED_MAX, wanted.words
    asked: dict[str, Any] = {
        "state": wanted.state,
        "configurations": _json([[one] for one in wanted.configurations]) if wanted.entries else "",
        "due_before": written(wanted.overdue_at) if wanted.overdue_at else "",
        "differing_at": written(wanted.differing_at) if wanted.differing_at else "",
        "differs": wanted.differs,
        **_whose(wanted),
        **imprinted(wanted.words),
    }
    for number in range(tables.WORDS_ASKED_MAX):
        first, last = bounds[number] if number < len(bounds) else ("", "")
        asked |= {f"first{number}": first, f"last{number}": last}
    return asked


def imprinted(asked: Sequence[str]) -> dict[str, int]:
    """The marks that a case must have to hold these words, the last of which may only begin so."""
    marks = 0
    for number, word in enumerate(asked, 1):
        marks |= _marks(word, whole=number < len(asked))
    low, high = _halves(marks)
    return {"low": low, "high": high}


def _whose(wanted: Wanted) -> dict[str, Any]:
    visible = _json([[name] for name in wanted.visible])
    return {"collection": wanted.collection, "visible": visible}


def entries_with(lifecycle: Lifecycle, tool: str, word: str) -> tuple[str, ...]:
    """The states under which a tool's word is declared; none where the word is unknown.

    Which of the cases in such a state show the word, `configurations_with` says: an entry gives way
    to any active descendant's own.
    """
    found = (
        state
        for field in lifecycle.vocabulary.status_fields
        if field.tool == tool
        for state, said in field.entries.items()
        if word in said
    )
    return tuple(dict.fromkeys(found))


def configurations_with(lifecycle: Lifecycle, tool: str, word: str) -> tuple[str, ...]:
    """The leaves, joined, in which a tool has this word for a case."""
    vocabulary = lifecycle.vocabulary
    fields = [field for field in vocabulary.status_fields if field.tool == tool]
    return tuple(
        "+".join(one)
        for one in sorted(lifecycle.chart.configurations)
        if any(word in vocabulary.words(field, one) for field in fields)
    )


def said_by(lifecycle: Lifecycle, tool: str) -> tuple[str, ...]:
    """Every word that a tool has for some state."""
    said = (
        word
        for field in lifecycle.vocabulary.status_fields
        if field.tool == tool
        for entry in field.entries.values()
        for word in entry
    )
    return tuple(dict.fromkeys(said))


def position(session: Session) -> int:
    """How far the board has come."""
    return int(session.rows(tables.SELECT_FOLLOWED)[0][0])


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
        tables.SELECT_STALE_IDS, model=Board.name, collection=collection, most=most
    )
    return [case_id for (case_id,) in rows]
