"""Asks in, events durable, answers out.

One writer thread a process. It takes everything that is waiting (bounded), decides each ask on the
memory of the log and on what it decided a moment ago in the same batch, appends all events of the
batch in one transaction, and answers after the commit: alone, an ask waits for nobody; under load,
a hundred share one disk write.

Memory follows the log: an append counts only if the log's last position is the one this process
has seen. Else the batch is decided again, on the tail, while the append lock is held. So every
decision, yes or no, was made on the whole truth, with any number of processes writing.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from time import monotonic, time_ns
from typing import Protocol

import structlog
from eventsourcing.persistence import Notification
from msgspec import Struct
from msgspec.structs import replace

from lifecycle.asks import Answer, Ask, Causing, Look, LookUp, Settled, Taken, record, streams_of
from lifecycle.case import Case
from lifecycle.changes import Erase, Move, Open, SetFields
from lifecycle.events import Event
from lifecycle.known import NOTHING, Known, Same, Tally, written
from lifecycle.log import TAIL_MAX, Batch, Recorder
from lifecycle.mapper import EntryMapper
from lifecycle.memory import Draft, Memory
from lifecycle.messages import Hear, message_stream
from lifecycle.model import Lifecycle
from lifecycle.pulse import Pulse
from lifecycle.refusals import NotNow, Overloaded, Refusal, StorageUnavailable
from lifecycle.settling import settle
from lifecycle.streams import case_stream, reference_stream

BATCH_ASKS_MAX = 256
BATCH_BYTES_MAX = 4 * 2**20
IMPORT_ASKS_MAX = BATCH_ASKS_MAX // 2
"""Lines of an import that are asked together: no batch holds more of them."""
QUEUE_ASKS_MAX = 4096
QUEUE_BYTES_MAX = 32 * 2**20
SILENCE_SECONDS_MAX = 3.0
"""How long the log may keep the writer waiting before newcomers are refused: longer than a server
lets somebody who froze hold the log."""
IDLE_SECONDS = 0.5
"""How long the writer rests before it looks at the log without being asked."""


log = structlog.get_logger("statekeeper.journal")


def utc_now() -> datetime:
    """The clock: UTC in whole milliseconds, as answers write it."""
    return datetime.fromtimestamp(time_ns() // 1_000_000 / 1000, UTC)


Outcome = Answer | Taken | BaseException | None
"""What becomes of an ask; None where something was recorded that nobody asks about."""


Places = Mapping[tuple[str, int], int]
"""Stream and version → the position in the whole log."""


class Waiting(Struct):
    """Asks in the queue that are answered together."""

    asks: "Sequence[Ask | Record]"
    size: int
    future: "asyncio.Future[list[Outcome]] | Future[list[Outcome]]"
    loop: asyncio.AbstractEventLoop | None = None


class Record(Struct, frozen=True):
    """Something the operator records in a stream that is no case's: a key, a definition."""

    stream: str
    decide: Callable[[Known, datetime], Event | None]
    """What is known of the stream and the time → the event, None if it stands already."""
    forget: Collection[str] = ()
    """Streams whose keys are deleted with it."""


class Clock(Protocol):
    """Tells the time."""

    def __call__(self) -> datetime:
        """Now, UTC."""


class Journal:
    """The one writer of this process."""

    def __init__(
        self,
        recorder: Recorder,
        mapper: EntryMapper,
        lifecycles: Mapping[str, Lifecycle],
        clock: Clock = utc_now,
    ) -> None:
        """Take the log and the lifecycles by collection; `start` begins to write."""
        self.recorder = recorder
        self.mapper = mapper
        self.lifecycles = lifecycles
        self.memory = Memory(recorder, mapper)
        self.draft = Draft(self.memory)
        """The batch that is being decided, as far as it has come."""
        self.pulse = Pulse()
        self._trouble: str | None = None
        self._waits_since: float | None = None
        self.clock = clock
        self._asked: deque[Waiting] = deque()
        self._imported: deque[Waiting] = deque()
        self._queue_bytes = 0
        self._something = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._write, name="journal", daemon=True)

    def start(self) -> None:
        """Find the end of the log and begin to take asks; `StorageUnavailable` if it cannot."""
        self.memory.position = self.recorder.last_position()
        self._thread.start()

    def stop(self) -> None:
        """Answer everything that waits, then end."""
        with self._something:
            self._stopping = True
            self._something.notify()
        if self._thread.is_alive():
            self._thread.join()

    async def answer(self, ask: Ask, size: int = 0) -> Answer:
        """What becomes of this ask, once it is durable; or raises the `Refusal`."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Outcome]] = loop.create_future()
        self._enqueue(self._asked, Waiting((ask,), size, future, loop))
        return _answered(await future)

    async def hear(self, ask: Ask, size: int = 0) -> Taken:
        """What becomes of a message, once it is durable; or raises the `Refusal`."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Outcome]] = loop.create_future()
        self._enqueue(self._asked, Waiting((ask,), size, future, loop))
        return _taken(await future)

    async def hear_many(self, asks: Sequence[Ask], size: int) -> list[Outcome]:
        """What becomes of the messages of one webhook, in their order, once all are durable.

        At most `IMPORT_ASKS_MAX` at once, which are one append.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Outcome]] = loop.create_future()
        self._enqueue(self._asked, Waiting(asks, size, future, loop))
        return await future

    def hear_now(self, ask: Ask) -> Taken:
        """The same for a thread that may wait."""
        future: Future[list[Outcome]] = Future()
        self._enqueue(self._asked, Waiting((ask,), 0, future))
        return _taken(future.result())

    def answer_now(self, ask: Ask) -> Answer:
        """The same for a thread that may wait."""
        future: Future[list[Outcome]] = Future()
        self._enqueue(self._asked, Waiting((ask,), 0, future))
        return _answered(future.result())

    def record_now(self, record: Record) -> None:
        """Record something that is no case's, once it is durable."""
        future: Future[list[Outcome]] = Future()
        self._enqueue(self._asked, Waiting((record,), 0, future))
        for outcome in future.result():
            if outcome is not None:
                raise outcome if isinstance(outcome, BaseException) else AssertionError(outcome)

    def record_many(self, records: Sequence[Record]) -> None:
        """Record many things, in appends of their own, once all are durable."""
        for first in range(0, len(records), IMPORT_ASKS_MAX):
            chunk = records[first : first + IMPORT_ASKS_MAX]
            for outcome in self.answer_many_later(chunk, 0).result():
                if isinstance(outcome, BaseException):
                    raise outcome

    async def answer_many(self, asks: Sequence[Ask | Record], size: int) -> list[Outcome]:
        """What becomes of these asks of an import, in their order; people's asks go first.

        At most `IMPORT_ASKS_MAX` at once.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Outcome]] = loop.create_future()
        self._enqueue(self._imported, Waiting(asks, size, future, loop))
        return await future

    def answer_many_later(self, asks: Sequence[Ask | Record], size: int) -> "Future[list[Outcome]]":
        """The same for a thread, which may wait or go on."""
        future: Future[list[Outcome]] = Future()
        self._enqueue(self._imported, Waiting(asks, size, future))
        return future

    async def known(self, stream: str) -> Known:
        """What is known of a stream that is no case's: as remembered, else as committed now."""
        known = self.memory.peek(stream)
        if known is None:
            known = await asyncio.to_thread(self.known_now, stream)
        return known

    def known_now(self, stream: str) -> Known:
        """The same for a thread that may wait: as committed at this moment."""
        self.record_now(Record(stream, lambda _known, _now: None))
        return self.memory.peek(stream) or NOTHING

    def as_decided(self, stream: str) -> Known:
        """What is known of another stream at this point of a batch: for who decides a `Record`."""
        return self.draft[stream]

    @property
    def unavailable(self) -> str | None:
        """Why the log cannot be used, as of the last try, or of one that takes too long."""
        return self._silence() or self._trouble

    @property
    def queued(self) -> int:
        """The asks that wait, chunks of an import counted as one."""
        return len(self._asked) + len(self._imported)

    @property
    def position(self) -> int:
        """The last position of the log that answers of this process take into account."""
        return self.memory.position

    # --- the queue

    def _enqueue(self, queue: deque[Waiting], waiting: Waiting) -> None:
        with self._something:
            if self._stopping:
                raise StorageUnavailable("the service is stopping", may_have_happened=False)
            if silence := self._silence():
                raise StorageUnavailable(silence, may_have_happened=False)
            if len(queue) >= QUEUE_ASKS_MAX or self._queue_bytes + waiting.size > QUEUE_BYTES_MAX:
                raise Overloaded(f"{self.queued} asks are waiting already; try again shortly")
            queue.append(waiting)
            self._queue_bytes += waiting.size
            self._something.notify()

    def _silence(self) -> str | None:
        """What to say where the log keeps the writer waiting; what it waits for may yet succeed."""
        since = self._waits_since
        if since is None or (seconds := monotonic() - since) < SILENCE_SECONDS_MAX:
            return None
        return f"the log has not answered for {seconds:.0f} s"

    def _take(self) -> list[Waiting]:
        """All that waits, within bounds; of imports no more than half a batch.

        An erasing ends its batch: what comes after it is sealed with a new key.
        """
        with self._something:
            if not self.queued and not self._stopping:
                self._something.wait(IDLE_SECONDS)
            taken: list[Waiting] = []
            size, asks, erasing = 0, 0, False
            while self._asked and not erasing and asks < BATCH_ASKS_MAX and size < BATCH_BYTES_MAX:
                taken.append(self._asked.popleft())
                size += taken[-1].size
                asks += len(taken[-1].asks)
                erasing = any(_erases(ask) for ask in taken[-1].asks)
            if self._imported and not erasing and size < BATCH_BYTES_MAX:
                taken.append(self._imported.popleft())
                size += taken[-1].size
            self._queue_bytes -= size
            return taken

    # --- the writer

    def _write(self) -> None:
        looked = monotonic()
        while True:
            batch = self._take()
            try:
                if batch:
                    for part in self._parts(batch):
                        self._settle(part)
                    if self.memory.is_full:
                        self._write_counts()
                        self.memory.shrink()
                elif self._stopping:
                    with suppress(StorageUnavailable):  # what it cannot write is lost
                        self._write_counts()
                    return
                if not batch or monotonic() - looked > IDLE_SECONDS:
                    looked = monotonic()
                    self._look_after()
            except StorageUnavailable as refusal:
                left = batch if self._trouble else self._without_lookers(batch)
                self._trouble = refusal.detail
                self._hand_back([(one, [_again(refusal) for _ in one.asks]) for one in left])
            except Exception as fault:  # nobody who asked may be left waiting
                log.exception("fault", asks=sum(len(one.asks) for one in batch))
                self._trouble = f"a fault of ours: {type(fault).__name__}"
                self._hand_back([(one, [fault for _ in one.asks]) for one in batch])
            finally:
                self._waits_since = None

    def _parts(self, batch: list[Waiting]) -> list[list[Waiting]]:
        """All at once; while the log cannot be written, what can still be read goes first."""
        if self._trouble is None:
            return [batch]
        looking: list[Waiting] = []
        writing: list[Waiting] = []
        for one in batch:
            (looking if all(_only_looks(ask) for ask in one.asks) else writing).append(one)
        return [part for part in (looking, writing) if part]

    def _without_lookers(self, batch: list[Waiting]) -> list[Waiting]:
        """Answer what only looks, where nothing could be written; what is left of the batch."""
        looking = [one for one in batch if all(_only_looks(ask) for ask in one.asks)]
        if not looking or len(looking) == len(batch):
            return batch
        try:
            self._settle(looking)
        except StorageUnavailable:
            return batch
        return [one for one in batch if not all(_only_looks(ask) for ask in one.asks)]

    def _look_after(self) -> None:
        """Follow the log; where it could not be used, find out whether it can be written again."""
        self._waits_since = monotonic()
        if self._trouble is not None:
            self.recorder.probe()
        self._catch_up()
        self._trouble = None
        self._write_counts()

    def _write_counts(self) -> None:
        """Record how often refusals were repeated, where the log does not know it yet."""
        streams = list(self.memory.uncounted)
        for first in range(0, len(streams), BATCH_ASKS_MAX):
            records = [
                Record(stream, partial(_count, same))
                for stream in streams[first : first + BATCH_ASKS_MAX]
                for same in self.memory.repeated(stream)
            ]
            self._settle([Waiting(records, 0, Future())])

    def _settle(self, batch: list[Waiting]) -> None:
        self._waits_since = monotonic()
        if any(_only_looks(ask) for one in batch for ask in one.asks):
            self._catch_up()
        deciding = Deciding(self, batch)
        deciding.decide()
        if deciding.draft.entries:
            positions = self._append(deciding)
        else:
            positions = ()
            if self._catch_up():
                deciding.decide()
                positions = self._append(deciding) if deciding.draft.entries else ()
        at = deciding.positions(positions)
        self._commit(deciding, at)
        if positions:
            self.memory.position = positions[-1]
        self._hand_back(deciding.replies(at))

    def _hand_back(self, replies: "Sequence[tuple[Waiting, list[Outcome]]]") -> None:
        self._waits_since = None  # before anybody who hears of it can ask the next thing
        for one, outcomes in replies:
            for ask, outcome in zip(one.asks, outcomes, strict=True):
                self.pulse.asks[_became(ask, outcome)] += 1
                if isinstance(outcome, Taken) and not (outcome.replayed or outcome.again):
                    self.pulse.heard[outcome.tool, outcome.name] += 1
        self.pulse.batch_asks.add(sum(len(one.asks) for one, _ in replies))
        _reply(replies)

    def _append(self, deciding: "Deciding") -> Sequence[int]:
        """Append on the log as it was seen; if it has moved on, decide again and hold it."""
        vault = self.mapper.vault
        began = monotonic()
        try:
            batch = deciding.batch()
            positions = self.recorder.append(
                batch.events, after=self.memory.position, keys=batch.keys, forget=batch.forget
            )
            while positions is None:
                if self.recorder.last_position() - self.memory.position >= TAIL_MAX:
                    self.memory.catch_up()
                positions = self.recorder.append_held(
                    deciding.decide_on, after=self.memory.position
                )
        except BaseException:
            vault.settle(stored=False)
            raise
        vault.settle(stored=True)
        self._trouble = None
        self.pulse.append_seconds.add(monotonic() - began)
        self.pulse.events += len(positions)
        return positions

    def _catch_up(self) -> bool:
        """Take the tail; did the log move on?"""
        before = self.memory.position
        self.memory.catch_up()
        return self.memory.position != before

    def _commit(self, deciding: "Deciding", at: Places) -> None:
        for stream, known in deciding.draft.added.items():
            state = known.state
            if isinstance(state, Case):
                state = replace(state, position=at[stream, known.version])
            self.memory.put(stream, Known(known.version, state))
        for stream in deciding.draft.forget:
            self.memory.forget_messages(stream)


class Deciding:
    """One batch being decided, perhaps more than once."""

    def __init__(self, journal: Journal, waiting: Sequence[Waiting]) -> None:
        """Take what is waiting."""
        self._journal = journal
        self._waiting = waiting
        self._asks = [ask for one in waiting for ask in one.asks]
        self.draft = Draft(journal.memory)
        self._outcomes: list[Outcome] = []

    def decide(self) -> None:
        """Decide every ask in order, each on what those before it leave."""
        journal = self._journal
        vault = journal.mapper.vault
        vault.settle(stored=False)
        journal.memory.recall(self._streams())
        vault.recall(self._sealing(), self._unbegun())
        self.draft = journal.draft = Draft(journal.memory)
        self._outcomes = []
        now = journal.clock()
        for ask in self._asks:
            try:
                settled = self._settled(ask, now)
                stored = [journal.mapper.to_stored_event(entry) for entry in settled.entries]
                self.draft.add(settled, stored)
                self._outcomes.append(settled.answer)
            except StorageUnavailable:
                raise
            except Exception as no:  # noqa: BLE001 - one ask's no, or fault, hurts no other
                self._outcomes.append(no)
        for stream in self.draft.forget:
            vault.forget(stream)

    def decide_on(self, tail: Sequence[Notification]) -> Batch:
        """Decide again, on the tail of a log that is held."""
        self._journal.memory.follow(tail)
        self.decide()
        return self.batch()

    def batch(self) -> Batch:
        """The events of the draft as they are stored."""
        made = self._journal.mapper.vault.made()
        return Batch(self.draft.stored, dict(made), tuple(self.draft.forget))

    def positions(self, positions: Sequence[int]) -> Places:
        """Where each event of the draft came to stand, by stream and version."""
        entries = self.draft.entries
        return {
            (entry.stream, entry.version): at for entry, at in zip(entries, positions, strict=True)
        }

    def replies(self, at: Places) -> "list[tuple[Waiting, list[Outcome]]]":
        """Everybody who waits with the outcomes, now that the positions are known."""
        outcomes = (
            _placed(outcome, at) if isinstance(outcome, Answer) else outcome
            for outcome in self._outcomes
        )
        return [(one, list(islice(outcomes, len(one.asks)))) for one in self._waiting]

    def _streams(self) -> dict[str, None]:
        wanted: dict[str, None] = {}
        for ask in self._asks:
            if isinstance(ask, Record):
                wanted[ask.stream] = None
            else:
                lifecycle = self._journal.lifecycles.get(ask.collection)
                wanted.update(dict.fromkeys(streams_of(ask, lifecycle)))
        return wanted

    def _sealing(self) -> list[str]:
        """The streams whose keys will be wanted, of cases and of messages, where it is several."""
        journal = self._journal
        streams = [one for one in self._closing() if self._has_begun(one)]
        streams += [
            case_stream(ask.collection, ask.id)
            for ask in self._asks
            if isinstance(ask, Ask)
            and isinstance(ask.what, Open | Move | SetFields)
            and (lifecycle := journal.lifecycles.get(ask.collection))
            and not lifecycle.personal.isdisjoint(ask.what.fields)
        ]
        return streams if len(streams) > 1 else []

    def _unbegun(self) -> list[str]:
        """Those of them that have no key for certain, because nothing stands in them."""
        return [one for one in self._closing() if self._has_begun(one) is False]

    def _has_begun(self, stream: str) -> bool | None:
        """None where it cannot be read: who needs it is told so, and nobody else is hurt."""
        try:
            return self._journal.memory[stream].version > 0
        except StorageUnavailable:
            raise
        except Exception:  # noqa: BLE001 - an event of another time, or a key of another master
            return None

    def _closing(self) -> Iterator[str]:
        """The streams whose keys seal what came, as far as can be told beforehand."""
        for ask in self._asks:
            if not (isinstance(ask, Ask) and isinstance(ask.what, Hear) and ask.what.raw):
                continue
            yield message_stream(ask.collection, ask.id, ask.what)
            report, lifecycle = ask.what.report, self._journal.lifecycles.get(ask.collection)
            if lifecycle and report.ref:
                kind = report.kind or lifecycle.main_kind(report.tool)
                held = self._journal.memory[reference_stream(report.tool, kind, report.ref)].state
                new = case_stream(ask.collection, ask.what.new_id)
                yield f"case:{held}" if isinstance(held, str) else new

    def _settled(self, ask: "Ask | Record", now: datetime) -> Settled:
        if isinstance(ask, Ask):
            return settle(ask, self.draft, self._journal.lifecycles, now)
        causing = Causing(self.draft)
        if event := ask.decide(self.draft[ask.stream], now):
            record(causing, ask.stream, event)
            for stream in ask.forget:
                causing.forget(stream)
        return causing.settled(None)


def _count(same: Same, known: Known, _: datetime) -> Event | None:
    """How often a refusal was repeated, unless that is written by now."""
    tally = known.state
    assert isinstance(tally, Tally), same
    return written(tally, same) if same in tally.unwritten else None


def _placed(answer: Answer, at: Places) -> Answer:
    case, entry = answer.case, answer.entry
    if case.position:
        return answer
    if entry is not None:
        entry = replace(entry, position=at[entry.stream, entry.version])
    stream = case_stream(case.collection, case.id)
    return replace(answer, entry=entry, case=replace(case, position=at[stream, case.version]))


def _only_looks(ask: "Ask | Record") -> bool:
    return isinstance(ask, Record) or isinstance(ask.what, Look | LookUp)


def _became(ask: "Ask | Record", outcome: Outcome) -> str:
    """What became of an ask, in a word."""
    if isinstance(outcome, Taken):
        return "replayed" if outcome.replayed else "heard"
    if isinstance(outcome, Answer):
        if outcome.replayed is not None:
            return "replayed"
        if outcome.entry is not None:
            return "applied"
        return "looked" if _only_looks(ask) else "unchanged"
    if isinstance(outcome, Refusal):
        return "not-now" if isinstance(outcome, NotNow) else "refused"
    return "recorded" if outcome is None else "failed"


def _erases(ask: "Ask | Record") -> bool:
    return bool(ask.forget) if isinstance(ask, Record) else isinstance(ask.what, Erase)


def _again(refusal: StorageUnavailable) -> StorageUnavailable:
    """The same refusal for each who waited: one exception is raised once."""
    return StorageUnavailable(refusal.detail, **refusal.facts)


def _answered(outcomes: "Sequence[Outcome]") -> Answer:
    """The answer to a single ask; raises where it is a no."""
    (outcome,) = outcomes
    if isinstance(outcome, BaseException):
        raise outcome
    assert isinstance(outcome, Answer), outcome
    return outcome


def _taken(outcomes: "Sequence[Outcome]") -> Taken:
    """What became of a single message; raises where it was refused."""
    (outcome,) = outcomes
    if isinstance(outcome, BaseException):
        raise outcome
    assert isinstance(outcome, Taken), outcome
    return outcome


def _reply(replies: "Sequence[tuple[Waiting, list[Outcome]]]") -> None:
    """Hand the outcomes to all who wait for them, waking each event loop once."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[Waiting, list[Outcome]]]] = {}
    for one, outcomes in replies:
        if one.loop is None:
            _resolve([(one, outcomes)])
        else:
            loops.setdefault(one.loop, []).append((one, outcomes))
    for loop, of_loop in loops.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_resolve, of_loop)


def _resolve(replies: "Sequence[tuple[Waiting, list[Outcome]]]") -> None:
    for one, outcomes in replies:
        if not one.future.done():
            one.future.set_result(outcomes)
