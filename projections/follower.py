"""Follows the log and keeps the read models up to date.

It reads the log in batches, decodes each event once, hands every read model what is new, and
commits their rows together with the position: whatever dies, nothing is counted twice and nothing
is left out. The position's row is locked meanwhile, so any number of followers may run; there is no
leader, and nothing outlives a transaction. Where there is nothing new it rests until the `lookout`
has seen something.

An event that a read model cannot digest parks its case there, named in the table `stale`; all other
cases go on. A rebuild mends it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from threading import Event as Signal
from time import monotonic
from typing import Protocol

import msgspec
import structlog
from eventsourcing.persistence import Notification
from msgspec import Struct

from lifecycle.events import BY_TOPIC, DefinitionAdopted, Entry, Erased, Event
from lifecycle.log import Recorder
from lifecycle.mapper import EntryMapper
from lifecycle.model import Lifecycle
from lifecycle.refusals import StorageUnavailable
from lifecycle.streams import definition_stream
from lifecycle.vault import WrongMasterKey
from projections.lookout import Lookout
from projections.store import BadData, BeingRebuilt, Session, Store, marks
from projections.tables import follower as tables

BATCH_EVENTS_MAX = 5000
PAUSE_SECONDS = 0.05
"""Between two batches: what comes in the meantime is one row for all that happened to a case."""
REST_SECONDS_MAX = 1.0
"""How long it rests at most, whatever the lookout says."""
BACK_OFF_SECONDS_MAX = 10.0
ERROR_LENGTH_MAX = 300
SUBJECTS_MAX = 10_000
"""Streams of which it is remembered what they are about."""
WRITTEN_MAX = 1000
"""Times that need not be written again: all that one ask has caused was recorded at once."""

Subject = tuple[str, str]
"""Collection and id of a case; what is about no case has its kind and its stream's name."""

log = structlog.get_logger("statekeeper.follower")


class Decoded(Struct, frozen=True):
    """A part of the log, read once."""

    entries: Mapping[str, Mapping[Subject, Sequence[Entry]]]
    """Read model → what it wants, case by case."""
    seen_at: Mapping[int, datetime]
    """Position → the latest time of recording up to there: it never runs back."""
    undecoded: Mapping[Subject, tuple[str, Exception]]
    """Where something cannot be read: of what kind it is, and why."""
    erased: frozenset[Subject]


class Batch(Struct, frozen=True):
    """What is new in the log, case by case."""

    entries: Mapping[Subject, Sequence[Entry]]
    """Each in the order of the log."""
    seen_at: Mapping[int, datetime]
    """Position → the latest time of recording up to there: it never runs back."""


class ReadModel(Protocol):
    """What is kept up to date."""

    @property
    def name(self) -> str:
        """Named so in the table `stale`."""

    @property
    def wants(self) -> type[Event] | tuple[type[Event], ...]:
        """Only events of these kinds are read for it."""

    def digest(self, session: Session, batch: Batch) -> Mapping[Subject, Exception]:
        """Write what follows from a batch; answer the cases of which nothing could be written."""

    def drop(self, session: Session, subject: Subject) -> None:
        """Keep nothing of a case."""

    def forget(self) -> None:
        """Remember nothing that the store may not hold."""


class MadeOtherwise(Exception):
    """The rows were derived with other definitions than this process has."""


class Lag(Struct, frozen=True):
    """How far the read models are behind the log."""

    events: int
    """Positions between the two; a position is not always used."""
    seconds: float
    """How long ago the first event that they do not know was recorded."""


class Follower:
    """One pair of eyes on the log."""

    def __init__(
        self,
        recorder: Recorder,
        mapper: EntryMapper,
        store: Store,
        models: Sequence[ReadModel],
        made_with: str,
    ) -> None:
        """Take the log, the store and what is kept in it; read nothing yet."""
        self._recorder = recorder
        self._mapper = EntryMapper(mapper.vault.apart())
        self._store = store
        self._models = models
        self._made_with = made_with
        self._wanted = {
            model.name: frozenset(
                topic for topic, event in BY_TOPIC.items() if issubclass(event, model.wants)
            )
            for model in models
        }
        self._wanted_by = {
            topic: [name for name, topics in self._wanted.items() if topic in topics]
            for topic in frozenset[str]().union(*self._wanted.values())
        }
        """Topic → the read models that want it; what is not here is not even decoded."""
        self._stale: dict[str, set[Subject]] | None = None
        self._build = ""
        self._scrub = True
        self._scrub_from = 0.0
        self.position = store.position()
        """The last event that is known to be in the store."""
        self.is_behind = False
        """Whether there was more of the log than fits into the last batch."""
        self.is_current = False
        """Whether the last look at the log found nothing that is not in the store."""

    def step(self) -> bool:
        """Take the next batch; False where there is none, or another follower has it.

        Raises `MadeOtherwise`, and `StorageUnavailable` where a database cannot be used.
        """
        tail = self._recorder.tail(self.position, BATCH_EVENTS_MAX)
        self.is_current = not tail
        if not tail:
            self._rest()
            return False
        try:
            return self._take(tail, careful=False)
        except BadData as cause:
            log.warning("a value that the database refuses", cause=str(cause))
            return self._take(tail, careful=True)

    def _rest(self) -> None:
        """Use the time to scrub what was erased, a tenth of the time at most."""
        started = monotonic()
        if not self._scrub or started < self._scrub_from:
            return
        try:
            self._store.scrub()
            self._scrub = False
        except StorageUnavailable as exc:
            log.warning("what was erased is to be scrubbed later", why=exc.detail)
        self._scrub_from = monotonic() + 10 * (monotonic() - started)

    def _take(self, tail: Sequence[Notification], *, careful: bool) -> bool:
        erased = False
        try:
            with self._store.following() as session:
                if session is None:
                    self._let_go()
                    return False
                ((position, seen_at, made_with, build),) = session.rows(tables.SELECT_FOLLOWED)
                self._check_definitions(made_with)
                if build != self._build:  # a rebuild has made other rows
                    self._let_go(self.position)
                    self._build = build
                if position != self.position:  # another follower was here
                    self._let_go(position)
                    tail = self._recorder.tail(position, BATCH_EVENTS_MAX)
                    if not tail:
                        return False
                last, erased = self._digest(session, tail, seen_at, careful=careful)
                session.run(
                    tables.UPDATE_FOLLOWED,
                    position=tail[-1].id,
                    seen_at=last,
                    erased=int(erased),
                )
        except BaseException:
            self._let_go(self.position)
            raise
        self.position = tail[-1].id
        self.is_behind = len(tail) == BATCH_EVENTS_MAX
        self._scrub |= erased
        return True

    def _check_definitions(self, made_with: str) -> None:
        if made_with != self._made_with:
            raise MadeOtherwise(made_with)

    def _let_go(self, position: int | None = None) -> None:
        """Somebody else writes, or what was written did not stand."""
        for model in self._models:
            model.forget()
        self._stale = None
        self.position = self._store.position() if position is None else position

    def _digest(
        self, session: Session, tail: Sequence[Notification], seen_at: str, *, careful: bool
    ) -> tuple[str, bool]:
        """Have every read model digest the tail; the latest time seen, and was anything erased?"""
        decoded = self._decoded(tail, seen_at)
        stale = self._parked(session)
        for model in self._models:
            parked, entries = stale[model.name], decoded.entries[model.name]
            failed: dict[Subject, Exception] = {
                subject: no
                for subject, (topic, no) in decoded.undecoded.items()
                if subject not in parked and self._concerns(model, topic)
            }
            if unfit := parked | failed.keys():
                entries = {one: found for one, found in entries.items() if one not in unfit}
            mine = Batch(entries, decoded.seen_at)
            if careful:
                failed |= self._one_by_one(session, model, mine)
            elif entries:
                failed |= model.digest(session, mine)
            for subject, no in failed.items():
                self._park(session, model, subject, tail, no)
            for subject in decoded.erased & stale[model.name]:
                model.drop(session, subject)
        latest = max(decoded.seen_at.values(), default=None)
        return written(latest) if latest else seen_at, bool(decoded.erased)

    def _concerns(self, model: ReadModel, topic: str) -> bool:
        """Whether a read model may miss an event; of one that nobody knows its kind decides."""
        if topic in BY_TOPIC:
            return topic in self._wanted[model.name]
        kind = topic.partition(".")[0]
        return any(one.partition(".")[0] == kind for one in self._wanted[model.name])

    def _one_by_one(
        self, session: Session, model: ReadModel, batch: Batch
    ) -> dict[Subject, Exception]:
        """Find out which case it is that the database does not take."""
        failed: dict[Subject, Exception] = {}
        for subject, entries in batch.entries.items():
            session.run("SAVEPOINT one")
            try:
                alone = Batch({subject: entries}, batch.seen_at)
                failed |= model.digest(session, alone)
            except BadData as no:
                session.run("ROLLBACK TO SAVEPOINT one")
                model.forget()
                failed[subject] = no
            session.run("RELEASE SAVEPOINT one")
        return failed

    def _decoded(self, tail: Sequence[Notification], seen_at: str) -> Decoded:
        wanted = [one for one in tail if one.topic in self._wanted_by or one.topic not in BY_TOPIC]
        vault = self._mapper.vault
        vault.settle(stored=False)  # we make no keys; this bounds what is remembered of them
        with suppress(WrongMasterKey):  # whose it is, is found out where it is unsealed itself
            self._mapper.recall_keys(wanted)
        entries: dict[str, dict[Subject, list[Entry]]] = {one.name: {} for one in self._models}
        times: dict[int, datetime] = {}
        latest = datetime.fromisoformat(seen_at) if seen_at else datetime.min.replace(tzinfo=UTC)
        undecoded: dict[Subject, tuple[str, Exception]] = {}
        erased: set[Subject] = set()
        for stored in wanted:
            stream = str(stored.originator_id)
            subject = subject_of(stream)
            if stored.topic == Erased.TOPIC:
                # Whoever erased has deleted the key: ours is of no use, and another may come.
                vault.mistrust(stream)
                erased.add(subject)
            try:
                entry = self._mapper.to_domain_event(stored)
            except StorageUnavailable:
                raise
            except Exception as no:  # noqa: BLE001 - an event of another time parks its case only
                undecoded.setdefault(subject, (stored.topic, no))
                continue
            latest = max(latest, entry.event.recorded_at)
            times[stored.id] = latest
            for name in self._wanted_by[stored.topic]:
                entries[name].setdefault(subject, []).append(entry)
        return Decoded(entries, times, undecoded, frozenset(erased))

    def _parked(self, session: Session) -> dict[str, set[Subject]]:
        if self._stale is None:
            self._stale = {model.name: set() for model in self._models}
            for name, collection, case_id, _, _ in session.rows(tables.SELECT_STALE):
                self._stale.setdefault(name, set()).add((collection, case_id))
        return self._stale

    def _park(
        self,
        session: Session,
        model: ReadModel,
        subject: Subject,
        tail: Sequence[Notification],
        no: Exception,
    ) -> None:
        position = next(one.id for one in tail if subject_of(str(one.originator_id)) == subject)
        error = f"{type(no).__name__}: {no}"[:ERROR_LENGTH_MAX]
        log.error("parked", model=model.name, case="/".join(subject), position=position, why=error)
        session.run(
            tables.INSERT_STALE,
            model=model.name,
            collection=subject[0],
            id=subject[1],
            position=position,
            error=error.encode("ascii", "backslashreplace").decode().replace("\0", "\\0"),
        )
        self._parked(session)[model.name].add(subject)


@lru_cache(maxsize=SUBJECTS_MAX)
def subject_of(stream: str) -> Subject:
    """Whom or what a stream is about."""
    kind, _, name = stream.partition(":")
    if kind in {"case", "refusals"}:
        collection, _, case_id = name.partition("/")
        return collection, case_id
    return kind, name


@lru_cache(maxsize=WRITTEN_MAX)
def written(time: datetime) -> str:
    """A time as it sorts: UTC, with microseconds."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"


def follow(
    follower: Follower,
    lookout: Lookout,
    stop: Signal,
    otherwise: Callable[[], None],
    *,
    caught_up: Callable[[], None] = lambda: None,
) -> None:
    """Follow until told to stop, whatever happens to the databases.

    `otherwise` is called where the rows were derived with other definitions than ours, `caught_up`
    wherever there is nothing more to follow.
    """
    pause = 0.0
    while not stop.is_set():
        try:
            moved = follower.step()
            pause = 0.0 if moved and follower.is_behind else PAUSE_SECONDS
            if follower.is_current:  # where another follower is at it, that goes on
                caught_up()
                lookout.wait(follower.position, REST_SECONDS_MAX)
                pause = 0.0
        except MadeOtherwise:
            otherwise()
            pause = 1.0
        except StorageUnavailable as exc:
            pause = min(BACK_OFF_SECONDS_MAX, max(0.1, pause * 2))
            log.warning("waiting for the database", why=exc.detail, seconds=pause)
        except Exception:
            pause = min(BACK_OFF_SECONDS_MAX, max(0.1, pause * 2))
            log.exception("could not follow", position=follower.position)
        if pause:
            stop.wait(pause)


def rebuild(
    recorder: Recorder,
    mapper: EntryMapper,
    store: Store,
    models: Sequence[ReadModel],
    lifecycles: Mapping[str, Lifecycle],
) -> Iterator[int]:
    """Build every read model anew beside, and put it in place; gives each position reached.

    The old ones are followed and read meanwhile. Raises `BeingRebuilt` where somebody does so.
    """
    with store.building() as built:
        follower = Follower(recorder, mapper, built, models, marks(lifecycles))
        while follower.step():
            yield follower.position
        built.finish()
        while follower.step():
            yield follower.position
        with store.replaced_by(built):
            while follower.step():
                pass
        yield follower.position


def adopted(recorder: Recorder, mapper: EntryMapper, lifecycles: Mapping[str, Lifecycle]) -> bool:
    """Whether these are the definitions that decide."""
    for lifecycle in lifecycles.values():
        stream = definition_stream(lifecycle.name)
        for stored in recorder.select_events(stream, desc=True, limit=1):
            event = mapper.to_domain_event(stored).event
            if isinstance(event, DefinitionAdopted) and event.digest != lifecycle.mark.digest:
                return False
    return True


def lag(recorder: Recorder, store: Store, now: datetime) -> Lag:
    """How far the read models are behind the log."""
    position = store.position()
    behind = recorder.last_position() - position
    waiting = recorder.tail(position, 1) if behind > 0 else ()
    if not waiting:
        return Lag(0, 0.0)
    recorded_at = _recorded(bytes(waiting[0].state)).recorded_at
    return Lag(behind, max(0.0, (now - recorded_at).total_seconds()))


class _Recorded(Struct):
    recorded_at: datetime


_recorded = msgspec.json.Decoder(_Recorded).decode

__all__ = ["BeingRebuilt", "Follower", "Lag", "adopted", "follow", "lag", "rebuild"]
