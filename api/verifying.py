"""`statekeeper verify`: is everything in the log as it has to be, and what is made of it too?

The log is read stream by stream, each whole, up to the position that is its last when the reading
begins: a service may run and write meanwhile. What is kept in memory is one page and its questions
to other streams, whatever the number of cases.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from time import monotonic, perf_counter, sleep
from typing import Final, TypeVar

from eventsourcing.persistence import Notification
from msgspec import Struct

from lifecycle.case import Case
from lifecycle.events import (
    ERASED,
    Answered,
    CaseOpened,
    ClaimMade,
    DefinitionAdopted,
    DefinitionMark,
    DriftFound,
    Entry,
    Erased,
    Event,
    FlowFailing,
    FlowStopped,
    Heard,
    KeyIssued,
    MessagesLetGo,
    NoticeDue,
    Parked,
    ReactionPlanned,
    ReferenceHeld,
    Refused,
    Reported,
    Valued,
)
from lifecycle.inherited import declared_by
from lifecycle.journal import Journal
from lifecycle.known import NOTHING, Known, learn
from lifecycle.mapper import SEALED, EntryMapper, encode
from lifecycle.model import Lifecycle
from lifecycle.streams import reference_stream
from lifecycle.vault import WrongMasterKey
from projections.board import OnBoard, as_kept, on_board
from projections.drift import Drift
from projections.messages import DUPLICATE, Messages
from projections.notices import Notices
from projections.records import Sort, counts
from projections.store import Store
from projections.tables import board, follower

BEGINNINGS: Final[Mapping[str, type[Event] | tuple[type[Event], ...]]] = {
    "case": CaseOpened,
    "refusals": Refused,
    "reference": ReferenceHeld,
    "request": Answered,
    "key": KeyIssued,
    "definition": DefinitionAdopted,
    "message": Heard,
    "parked": Parked,
    "unfetched": Parked,
    "releasing": Parked,
    "mirror": (Reported, NoticeDue, ReactionPlanned, DriftFound),
    "claims": ClaimMade,
    "flow": (FlowFailing, FlowStopped),
    "retention": MessagesLetGo,
}
"""What a stream of each kind has to begin with."""
PART = 1000
SHOWN_MAX = 10
PROBLEMS_MAX = 1000
"""Problems that are told one by one; all are counted."""
CATCH_UP_SECONDS_MAX = 10.0
"""How long read models that are behind are waited for."""
STILL_SECONDS_MAX = 1.0
"""The same where they come no further: no worker runs."""

Place = tuple[str, int]
"""A stream and a version in it."""

Tell = Callable[[int, int], None]
"""How many events were read, and of how many about."""


class Problem(Struct, frozen=True):
    """Something that is not as it has to be."""

    where: str
    """A stream, or `vault …`, or `board …`."""
    what: str


class Report(Struct):
    """What was found."""

    position: int
    """Everything up to here was looked at."""
    events: int = 0
    streams: int = 0
    cases: int = 0
    keys: int = 0
    """Of the vault."""
    heard: int = 0
    """Messages, each time that one came; the sum of `outcomes`."""
    outcomes: dict[str, int] = {}
    due: int = 0
    """Notices that ever were due; the sum of `notices`."""
    notices: dict[str, int] = {}
    on_board: int = 0
    """Cases whose row was compared; those that went on meanwhile are not."""
    behind: int = 0
    """Events that the read models did not have, though they were waited for."""
    problems: list[Problem] = []
    problems_found: int = 0
    seconds: float = 0.0


def verify(journal: Journal, store: Store | None, tell: Tell) -> Report:
    """Look at everything; raises `StorageUnavailable`."""
    started = perf_counter()
    verifying = Verifying(journal, store)
    verifying.read(tell)
    verifying.find_strays()
    verifying.find_keys()
    verifying.conserve()
    verifying.look_into_vault()
    verifying.report.seconds = perf_counter() - started
    return verifying.report


class Verifying:
    """One reading of the whole log."""

    def __init__(self, journal: Journal, store: Store | None) -> None:
        """Take the log as it is by now, and the read models if they are to be compared."""
        self._recorder = journal.recorder
        self._mapper = EntryMapper(journal.mapper.vault.apart())
        self._declared = journal.lifecycles
        self._lifecycles = dict(self._declared)
        """With those of the log that are declared no more."""
        self._store = store
        self.report = Report(self._recorder.last_position())
        self._followed = self._caught_up()
        self._marks: set[tuple[str, DefinitionMark]] = set()
        self._held = self._right = 0
        self._counted: dict[str, Counter[Sort]] = {
            one.name: Counter() for one in (Messages, Notices, Drift)
        }
        # What the streams of one page say of other streams.
        self._needed: dict[Place, str] = {}
        self._references: dict[str, str] = {}
        self._keyless: dict[str, int] = {}
        self._keyed: dict[str, int] = {}
        self._cases: dict[tuple[str, str], tuple[int, Case]] = {}

    # --- reading

    def read(self, tell: Tell) -> None:
        """Look at every stream by itself, and ask the others for what it says of them."""
        self._read_definitions()
        for page in self._pages(("", 0)):
            with suppress(WrongMasterKey):  # whose it is, is told where it is looked at itself
                self._mapper.recall_keys(page)
            for name, events in groupby(page, key=_stream):
                self._look_at(name, list(events))
            self._ask_others()
            self._mapper.vault.settle(stored=False)
            self.report.events += len(page)
            tell(self.report.events, self.report.position)

    def _pages(self, after: tuple[str, int]) -> Iterator[list[Notification]]:
        """Pages of whole streams."""
        rest: list[Notification] = []
        while page := self._recorder.by_stream(after, upto=self.report.position):
            after = _stream(page[-1]), page[-1].originator_version
            rest += page
            last = next(i for i, one in enumerate(rest) if _stream(one) == after[0])
            if last:
                yield rest[:last]
                rest = rest[last:]
        if rest:
            yield rest

    def _read_definitions(self) -> None:
        for page in self._pages(("definition:", 0)):
            for stored in page:
                if not _stream(stored).startswith("definition:"):
                    return
                event = self._mapper.to_domain_event(stored).event
                if isinstance(event, DefinitionAdopted):
                    mark = DefinitionMark(event.version, event.digest)
                    self._marks.add((event.lifecycle, mark))
                    self._remember(event)

    def _remember(self, adopted: DefinitionAdopted) -> None:
        """The last text of a lifecycle that is declared no more: by it its cases are understood."""
        declaration = declared_by(adopted)
        if declaration and declaration.collection not in self._declared:
            self._lifecycles[declaration.collection] = Lifecycle(declaration)

    def _look_at(self, name: str, stored: Sequence[Notification]) -> None:
        """One stream: whole, in order, begun as it has to be, and what it amounts to."""
        self.report.streams += 1
        versions = [one.originator_version for one in stored]
        if versions != list(range(1, len(stored) + 1)):
            self._wrong(name, f"its versions do not follow on from 1: {_shown(versions)}")
            return
        positions = [one.id for one in stored]
        if positions != sorted(positions):
            self._wrong(name, f"its positions do not rise with its versions: {_shown(positions)}")
        entries: list[Entry] = []
        known = NOTHING
        for one in stored:
            try:
                entries.append(self._mapper.to_domain_event(one))
                known = learn(known, entries[-1])
            except Exception as no:  # noqa: BLE001 - whatever keeps it from being read is told
                version = one.originator_version
                self._wrong(name, f"version {version} cannot be replayed: {_said(no)}")
                return
        kind = name.partition(":")[0]
        beginning = BEGINNINGS.get(kind)
        if beginning is None:
            self._wrong(name, f"no stream is of the kind {kind!r}")
        elif not isinstance(entries[0].event, beginning):
            self._wrong(name, f"it begins with {entries[0].event.TOPIC}")
        else:
            self._look_into(kind, name, stored, entries, known)

    def _look_into(
        self,
        kind: str,
        name: str,
        stored: Sequence[Notification],
        entries: Sequence[Entry],
        known: Known,
    ) -> None:
        match known.state:
            case Case() as case:
                self._look_at_case(name, stored, entries, case)
            case Answered(case=case, version=version) if version:
                self._needed[case, version] = name
            case str() if kind == "reference":
                self._held += 1
        if kind in {"message", "mirror"}:
            self._count(kind, name, entries)
            self._account_for_key(stored, entries)
        if kind == "refusals":
            self._needed[f"case:{name.partition(':')[2]}", 1] = name

    def _count(self, kind: str, name: str, entries: Sequence[Entry]) -> None:
        """What was heard, and what tools are due, by what has become of each."""
        for model in (Messages(),) if kind == "message" else (Notices(), Drift()):
            try:
                self._counted[model.name].update(model.counted(entries))
            except Exception as no:  # noqa: BLE001 - whatever keeps it from being counted is told
                self._wrong(name, f"it cannot be counted among the {model.name}: {_said(no)}")
        for entry in entries:
            if isinstance(entry.event, Heard):
                self.report.heard += 1
            elif isinstance(entry.event, NoticeDue):
                self.report.due += 1

    def conserve(self) -> None:
        """Everything heard has one outcome, everything due one state; the lists count the same."""
        heard, told = self._counted[Messages.name], self._counted[Notices.name]
        again = sum(number for (_, outcome), number in heard.items() if outcome == DUPLICATE)
        self.report.heard += again
        self.report.outcomes = dict(_by_name(heard))
        self.report.notices = dict(_by_name(told))
        for name, here, there in (
            ("messages", self.report.heard, heard.total()),
            ("notices", self.report.due, told.total()),
        ):
            if here != there:
                self._wrong(name, f"{here:,} stand in the log, {there:,} have an end or wait")
        self._compare_counts()

    def _compare_counts(self) -> None:
        """Where the lists have come exactly as far as what was looked at, they count the same."""
        if self._store is None:
            return
        with self._store.reading() as session:
            if session.rows(follower.SELECT_FOLLOWED)[0][0] != self.report.position:
                return
            for model, counted in self._counted.items():
                listed = counts(session, model)
                for sort in sorted({*listed, *(one for one, number in counted.items() if number)}):
                    if listed.get(sort, 0) != counted[sort]:
                        self._wrong(
                            f"{model} of {sort[0]}",
                            f"the log has {counted[sort]:,} {sort[1]}, the list"
                            f" {listed.get(sort, 0):,}",
                        )

    def _look_at_case(
        self, name: str, stored: Sequence[Notification], entries: Sequence[Entry], case: Case
    ) -> None:
        self.report.cases += 1
        self._cases[case.collection, case.id] = (entries[0].position, case)
        for entry in entries:
            mark = getattr(entry.event, "definition", None)
            if mark and (case.lifecycle, mark) not in self._marks:
                self._wrong(
                    name,
                    f"version {entry.version} was decided by version {mark.version}"
                    f" ({mark.digest}) of {case.lifecycle!r}, which was never adopted",
                )
        whose = f"{case.collection}/{case.id}"
        self._references.update(dict.fromkeys(self._references_of(case), whose))
        self._look_at_sealed(name, stored, entries)

    def _look_at_sealed(
        self, name: str, stored: Sequence[Notification], entries: Sequence[Entry]
    ) -> None:
        """What was erased is unreadable, and its key gone; all else can be read."""
        erased = max((e.version for e in entries if isinstance(e.event, Erased)), default=0)
        sealed = [
            entry
            for entry, one in zip(entries, stored, strict=True)
            if isinstance(entry.event, Valued) and SEALED in one.state
        ]
        for entry in sealed:
            readable = not _reads_erased(entry.event)
            if entry.version < erased and readable:
                self._wrong(name, f"version {entry.version} was erased, and can be read")
            elif entry.version > erased and not readable and not self._went_on(name):
                self._wrong(name, f"version {entry.version} cannot be read: its key is gone")
        if erased and not any(entry.version > erased for entry in sealed):
            self._keyless[name] = entries[erased - 1].position

    # --- what streams say of others

    def _ask_others(self) -> None:
        self._ask_for_needed()
        self._ask_references()
        self._ask_vault()
        self._ask_board()

    def _ask_for_needed(self) -> None:
        """What is remembered of a request, or beside a case, stands."""
        upto = self.report.position
        for part in _parts(list(self._needed)):
            found = set(self._recorder.standing(part, upto=upto))
            for place in part:
                if place not in found:
                    stream, version = place
                    self._wrong(self._needed[place], f"version {version} of {stream} is not there")
        self._needed.clear()

    def _ask_references(self) -> None:
        """Every reference of a case means that case."""
        for part in _parts(list(self._references)):
            means = self._folded(part)
            for name in part:
                case, meant = self._references[name], means.get(name, NOTHING).state
                if meant == case:
                    self._right += 1
                else:
                    self._wrong(f"case:{case}", f"it holds {name}, which means {meant or 'none'}")
        self._references.clear()

    def _ask_vault(self) -> None:
        for part in _parts(list(self._keyless)):
            for name in self._recorder.wrapped_keys(part):
                if not self._went_on(name):
                    self._keyed[name] = self._keyless[name]
        self._keyless.clear()

    def _account_for_key(self, stored: Sequence[Notification], entries: Sequence[Entry]) -> None:
        """A case that was erased has a key again where something about it was sealed since."""
        for one, entry in zip(stored, entries, strict=True):
            case = f"case:{getattr(entry.event, 'case', None)}"
            for erased in (self._keyless, self._keyed) if SEALED in one.state else ():
                if one.id > erased.get(case, self.report.position):
                    del erased[case]

    def find_keys(self) -> None:
        """Name the keys of erased cases that nothing since then accounts for."""
        for name in self._keyed:
            self._wrong(name, "it was erased, and its key is still in the vault")

    def find_strays(self) -> None:
        """Name references that are held by cases that do not know of them.

        There are none where as many are held as cases were found to hold rightly.
        """
        if self._right == self._held:
            return
        for page in self._pages(("reference:", 0)):
            streams = [name for name, _ in groupby(page, key=_stream)]
            names = [name for name in streams if name.startswith("reference:")]
            for part in _parts(names):
                known = self._folded(part)
                means = {name: str(one.state) for name, one in known.items() if one.state}
                cases = self._folded([f"case:{case}" for case in set(means.values())])
                for name, meant in means.items():
                    case = cases.get(f"case:{meant}", NOTHING).state
                    if not isinstance(case, Case) or name not in self._references_of(case):
                        self._wrong(name, f"it is held by {meant}, which does not know of it")
            if len(names) < len(streams):
                return

    def look_into_vault(self) -> None:
        """Every key in the vault is of a stream that is there."""
        stream = ""
        while page := self._recorder.vault_page(stream):
            stream = page[-1][0]
            self.report.keys += len(page)
            names = [(name, 1) for name, _ in page]
            there = set(self._recorder.standing(names, upto=self._recorder.last_position()))
            for name in names:
                if name not in there:
                    self._wrong(f"vault {name[0]}", "a key of a stream that is not there")

    # --- what is made of the log

    def _caught_up(self) -> int:
        """How far the read models are, once they have had time to take all that is looked at."""
        if self._store is None:
            return 0
        position = self._store.position()
        moved = began = monotonic() if position else 0.0
        while position < self.report.position and monotonic() < min(
            began + CATCH_UP_SECONDS_MAX, moved + STILL_SECONDS_MAX
        ):
            sleep(0.05)
            before, position = position, self._store.position()
            moved = monotonic() if position > before else moved
        self.report.behind = max(0, self.report.position - position)
        return position

    def _ask_board(self) -> None:
        """Every case stands on the board as its events make it, unless it went on meanwhile."""
        if self._store is None:
            self._cases.clear()
            return
        for part in _parts(list(self._cases)):
            rows = self._rows(part)
            for subject in part:
                opened, case = self._cases[subject]
                if case.position <= self._followed:
                    self._compare(f"board {'/'.join(subject)}", opened, case, rows.get(subject))
        self._cases.clear()

    def _compare(self, where: str, opened: int, case: Case, row: OnBoard | None) -> None:
        if row is None:
            self._wrong(where, "it is not on the board")
        elif row.case.position <= case.position:
            self.report.on_board += 1
            case = as_kept(case)
            if (row.opened, row.case) != (opened, case):
                differing = [
                    name
                    for name in Case.__struct_fields__
                    if getattr(row.case, name) != getattr(case, name)
                ]
                self._wrong(where, f"it is not as a replay makes it: {', '.join(differing)}")

    def _rows(self, subjects: Sequence[tuple[str, str]]) -> dict[tuple[str, str], OnBoard]:
        assert self._store is not None
        with self._store.reading() as session:
            found = map(on_board, session.rows(board.SELECT_CASES, names=encode(subjects).decode()))
            return {(row.case.collection, row.case.id): row for row in found}

    # --- the rest

    def _folded(self, names: Sequence[str]) -> dict[str, Known]:
        """What these streams amount to, up to the position."""
        known: dict[str, Known] = {}
        broken: set[str] = set()  # each is told where it is looked at itself
        for stored in self._recorder.streams(names):
            name = _stream(stored)
            if stored.id <= self.report.position and name not in broken:
                try:
                    entry = self._mapper.to_domain_event(stored)
                    known[name] = learn(known.get(name, NOTHING), entry)
                except Exception:  # noqa: BLE001 - whatever keeps it from being read
                    broken.add(name)
        return known

    def _references_of(self, case: Case) -> set[str]:
        return {
            self._reference(case, key, ref) for key, refs in case.references.items() for ref in refs
        }

    def _reference(self, case: Case, key: str, ref: str) -> str:
        tool, _, kind = key.partition(":")
        lifecycle = self._lifecycles.get(case.collection)
        if not kind and lifecycle and tool in lifecycle.declaration.tools:
            kind = lifecycle.main_kind(tool)
        return reference_stream(tool, kind, ref)

    def _went_on(self, name: str) -> bool:
        """Whether a stream has got further than what is looked at."""
        return self._recorder.streams([name])[-1].id > self.report.position

    def _wrong(self, where: str, what: str) -> None:
        self.report.problems_found += 1
        if len(self.report.problems) < PROBLEMS_MAX:
            self.report.problems.append(Problem(where, what))


T = TypeVar("T")


def _parts(all_: Sequence[T]) -> Iterator[Sequence[T]]:
    """No more at once than a database takes gladly."""
    return (all_[first : first + PART] for first in range(0, len(all_), PART))


def _stream(stored: Notification) -> str:
    return str(stored.originator_id)


def _reads_erased(event: Event) -> bool:
    assert isinstance(event, Valued)
    return any(value == ERASED for value in event.personal.values())


def _shown(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:SHOWN_MAX]))
    return f"{shown} …" if len(numbers) > SHOWN_MAX else shown


def _said(no: Exception) -> str:
    return " ".join(f"{type(no).__name__}: {no}".split())[:300]


def _by_name(counted: Counter[Sort]) -> Counter[str]:
    found: Counter[str] = Counter()
    for (_, name), number in counted.items():
        found[name] += number
    return found


def _sum(counted: Mapping[str, int]) -> str:
    parts = " + ".join(f"{number:,} {name}" for name, number in sorted(counted.items()) if number)
    return parts or "nothing"


def report_lines(report: Report) -> Iterator[str]:
    """The report for people."""
    yield from (f"{problem.where}: {problem.what}" for problem in report.problems)
    if report.problems_found > len(report.problems):
        yield f"… and {report.problems_found - len(report.problems):,} more"
    found = f"{report.problems_found:,} problems" if report.problems_found else "sound"
    yield (
        f"{found}: {report.events:,} events up to position {report.position:,}, in"
        f" {report.streams:,} streams, {report.cases:,} cases, {report.keys:,} keys,"
        f" {report.on_board:,} rows of the board ({report.seconds:.1f} s)"
    )
    if report.heard or report.due:
        yield f"heard {report.heard:,} = {_sum(report.outcomes)}"
        yield f"due {report.due:,} = {_sum(report.notices)}"
    if report.cases and not report.on_board and not report.behind:
        yield "no lists are here that could be compared with the log"
    if report.behind:
        yield f"the read models are {report.behind:,} events behind: is a worker running?"
