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
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from time import monotonic
from typing import Protocol

from eventsourcing.persistence import Notification
from msgspec import Struct
from msgspec.structs import replace

from lifecycle.asks import (
    NOTHING,
    Answer,
    Ask,
    Causing,
    Known,
    Look,
    LookUp,
    Settled,
    case_stream,
    learn,
    settle,
    streams_of,
)
from lifecycle.case import Case
from lifecycle.events import Entry, Erased, Event
from lifecycle.log import TAIL_MAX, Batch, Recorder
from lifecycle.mapper import EntryMapper
from lifecycle.model import Lifecycle
from lifecycle.refusals import Overloaded, StorageUnavailable

BATCH_ASKS_MAX = 256
BATCH_BYTES_MAX = 4 * 2**20
QUEUE_ASKS_MAX = 4096
QUEUE_BYTES_MAX = 32 * 2**20
MEMORY_STREAMS_MAX = 40_000
MEMORY_BYTES_MAX = 40 * 2**20
STREAM_BYTES = 1000
"""What remembering a stream costs at least."""
IDLE_SECONDS = 0.5
"""How long the writer rests before it looks at the log without being asked."""


def utc_now() -> datetime:
    """The clock: UTC in whole milliseconds, as answers write it."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


class Memory:
    """What this process knows of the log's streams, as of one position; bounded."""

    def __init__(self, recorder: Recorder, mapper: EntryMapper) -> None:
        """Know nothing yet."""
        self._recorder = recorder
        self._mapper = mapper
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._bytes = 0
        self.position = 0
        """The last position that everything known is at least as new as."""

    def __getitem__(self, stream: str) -> Known:
        """The stream as far as it goes; read, if it is not known."""
        known = self.peek(stream)
        if known is None:
            self.recall((stream,))
            known = self._known[stream]
        return known

    def peek(self, stream: str) -> Known | None:
        """The stream, if it is known; from any thread."""
        return self._known.get(stream)

    def recall(self, streams: Iterable[str]) -> None:
        """Read what is not known of these, all in one query."""
        unknown: dict[str, Known] = {}
        for stream in streams:
            if stream in self._known:
                self._known.move_to_end(stream)
            else:
                unknown[stream] = NOTHING
        if not unknown:
            return
        for stored in self._recorder.streams(list(unknown)):
            entry = self._mapper.to_domain_event(stored)
            unknown[entry.stream] = learn(unknown[entry.stream], entry)
        for stream, known in unknown.items():
            self.put(stream, known)

    def put(self, stream: str, known: Known) -> None:
        """Know this of a stream."""
        self._bytes += _weight(known) - _weight(self._known.get(stream))
        self._known[stream] = known
        self._known.move_to_end(stream)

    def follow(self, tail: Sequence[Notification]) -> None:
        """Bring what is known up to date."""
        for stored in tail:
            stream = str(stored.originator_id)
            if stored.topic == Erased.TOPIC:
                self._mapper.vault.mistrust(stream)
            known = self._known.get(stream)
            if known is not None and stored.originator_version > known.version:
                entry = self._mapper.to_domain_event(stored)
                self.put(stream, learn(known, entry))
        if tail:
            self.position = tail[-1].id

    def shrink(self) -> None:
        """Let go of what was used longest ago."""
        while len(self._known) > MEMORY_STREAMS_MAX or self._bytes > MEMORY_BYTES_MAX:
            _, known = self._known.popitem(last=False)
            self._bytes -= _weight(known)

    def __len__(self) -> int:
        """How many streams are known."""
        return len(self._known)


def _weight(known: Known | None) -> int:
    if known is None:
        return 0
    if isinstance(known.state, Case):
        texts = (len(value) for value in known.state.fields.values() if isinstance(value, str))
        return 2 * STREAM_BYTES + sum(texts)
    return STREAM_BYTES


class Draft:
    """A batch as it is being decided: what is known, and on top what this batch adds."""

    def __init__(self, memory: Memory) -> None:
        """Begin with what is remembered."""
        self._memory = memory
        self.added: dict[str, Known] = {}
        self.entries: list[Entry] = []
        self.forget: set[str] = set()

    def __getitem__(self, stream: str) -> Known:
        """The stream as it will be after this batch."""
        return self.added.get(stream) or self._memory[stream]

    def add(self, settled: Settled) -> None:
        """Let the asks that follow see this."""
        self.added.update(settled.known)
        self.entries += settled.entries
        if settled.forget:
            self.forget.add(settled.forget)


Outcome = Answer | BaseException | None
"""What becomes of an ask; None where something was recorded that nobody asks about."""


class Waiting(Struct):
    """An ask in the queue."""

    ask: "Ask | Record"
    size: int
    future: "asyncio.Future[Answer | None] | Future[Answer | None]"
    loop: asyncio.AbstractEventLoop | None = None


class Record(Struct, frozen=True):
    """Something the operator records in a stream that is no case's: a key, a definition."""

    stream: str
    decide: Callable[[Known, datetime], Event | None]
    """What is known of the stream and the time → the event, None if it stands already."""


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
        self.unavailable: str | None = None
        """Why the database cannot be used, as of the last try."""
        self.clock = clock
        self._queue: deque[Waiting] = deque()
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
        future: asyncio.Future[Answer | None] = loop.create_future()
        self._enqueue(Waiting(ask, size, future, loop))
        answer = await future
        assert isinstance(answer, Answer)
        return answer

    def answer_now(self, ask: Ask) -> Answer:
        """The same for a thread that may wait."""
        future: Future[Answer | None] = Future()
        self._enqueue(Waiting(ask, 0, future))
        answer = future.result()
        assert isinstance(answer, Answer)
        return answer

    def record_now(self, record: Record) -> None:
        """Record something that is no case's, once it is durable."""
        future: Future[Answer | None] = Future()
        self._enqueue(Waiting(record, 0, future))
        future.result()

    async def known(self, stream: str) -> Known:
        """What is known of a stream that is no case's, as committed at this moment."""
        known = self.memory.peek(stream)
        if known is not None:
            return known
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, self._look, stream)

    @property
    def queued(self) -> int:
        """The asks that wait."""
        return len(self._queue)

    @property
    def position(self) -> int:
        """The last position of the log that answers of this process take into account."""
        return self.memory.position

    # --- the queue

    def _enqueue(self, waiting: Waiting) -> None:
        with self._something:
            if self._stopping:
                raise StorageUnavailable("the service is stopping", may_have_happened=False)
            if (
                len(self._queue) >= QUEUE_ASKS_MAX
                or self._queue_bytes + waiting.size > QUEUE_BYTES_MAX
            ):
                raise Overloaded(f"{len(self._queue)} asks are waiting already; try again shortly")
            self._queue.append(waiting)
            self._queue_bytes += waiting.size
            self._something.notify()

    def _take(self) -> list[Waiting]:
        with self._something:
            if not self._queue and not self._stopping:
                self._something.wait(IDLE_SECONDS)
            taken: list[Waiting] = []
            size = 0
            while self._queue and len(taken) < BATCH_ASKS_MAX and size < BATCH_BYTES_MAX:
                waiting = self._queue.popleft()
                size += waiting.size
                taken.append(waiting)
            self._queue_bytes -= size
            return taken

    def _look(self, stream: str) -> Known:
        future: Future[Answer | None] = Future()
        self._enqueue(Waiting(Record(stream, lambda _known, _now: None), 0, future))
        future.result()
        return self.memory.peek(stream) or NOTHING

    # --- the writer

    def _write(self) -> None:
        looked = monotonic()
        while True:
            batch = self._take()
            try:
                if batch:
                    self._settle(batch)
                    self.memory.shrink()
                elif self._stopping:
                    return
                if not batch or monotonic() - looked > IDLE_SECONDS:
                    self._catch_up()
                    looked = monotonic()
                self.unavailable = None
            except StorageUnavailable as refusal:
                self.unavailable = refusal.detail
                _reply([(one, _again(refusal)) for one in batch])
            except Exception as fault:  # noqa: BLE001 - nobody who asked may be left waiting
                _reply([(one, fault) for one in batch])

    def _settle(self, batch: list[Waiting]) -> None:
        if any(_only_looks(one.ask) for one in batch):
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
        self._commit(deciding, positions)
        _reply(deciding.replies(positions))

    def _append(self, deciding: "Deciding") -> Sequence[int]:
        """Append on the log as it was seen; if it has moved on, decide again and hold it."""
        vault = self.mapper.vault
        try:
            batch = deciding.batch()
            positions = self.recorder.append(
                batch.events, after=self.memory.position, keys=batch.keys, forget=batch.forget
            )
            while positions is None:
                vault.settle(stored=False)
                while len(tail := self.recorder.tail(self.memory.position)) == TAIL_MAX:
                    self.memory.follow(tail)
                positions = self.recorder.append_held(
                    deciding.decide_on, after=self.memory.position
                )
        except BaseException:
            vault.settle(stored=False)
            raise
        vault.settle(stored=True)
        return positions

    def _catch_up(self) -> bool:
        """Take the tail; did the log move on?"""
        before = self.memory.position
        while tail := self.recorder.tail(self.memory.position):
            self.memory.follow(tail)
        return self.memory.position != before

    def _commit(self, deciding: "Deciding", positions: Sequence[int]) -> None:
        at = deciding.positions(positions)
        for stream, known in deciding.draft.added.items():
            state = known.state
            if isinstance(state, Case):
                state = replace(state, position=at[stream, known.version])
            self.memory.put(stream, Known(known.version, state))
        if positions:
            self.memory.position = positions[-1]


class Deciding:
    """One batch being decided, perhaps more than once."""

    def __init__(self, journal: Journal, waiting: Sequence[Waiting]) -> None:
        """Take what is waiting."""
        self._journal = journal
        self._waiting = waiting
        self.draft = Draft(journal.memory)
        self._outcomes: list[Outcome] = []

    def decide(self) -> None:
        """Decide every ask in order, each on what those before it leave."""
        journal = self._journal
        journal.memory.recall(self._streams())
        self.draft = Draft(journal.memory)
        self._outcomes = []
        for one in self._waiting:
            try:
                settled = self._settled(one.ask, journal.clock())
                self.draft.add(settled)
                self._outcomes.append(settled.answer)
            except StorageUnavailable:
                raise
            except Exception as no:  # noqa: BLE001 - one ask's no, or fault, hurts no other
                self._outcomes.append(no)

    def decide_on(self, tail: Sequence[Notification]) -> Batch:
        """Decide again, on the tail of a log that is held."""
        self._journal.memory.follow(tail)
        self.decide()
        return self.batch()

    def batch(self) -> Batch:
        """The events of the draft as they are stored."""
        mapper = self._journal.mapper
        stored = []
        for entry in self.draft.entries:
            stored.append(mapper.to_stored_event(entry))
            if isinstance(entry.event, Erased):
                mapper.vault.forget(entry.stream)
        return Batch(stored, dict(mapper.vault.made()), tuple(self.draft.forget))

    def positions(self, positions: Sequence[int]) -> dict[tuple[str, int], int]:
        """Where each event of the draft came to stand, by stream and version."""
        entries = self.draft.entries
        return {
            (entry.stream, entry.version): at for entry, at in zip(entries, positions, strict=True)
        }

    def replies(self, positions: Sequence[int]) -> list[tuple[Waiting, Outcome]]:
        """Each waiting ask with its outcome, now that the positions are known."""
        at = self.positions(positions)
        return [
            (one, _placed(outcome, at) if isinstance(outcome, Answer) else outcome)
            for one, outcome in zip(self._waiting, self._outcomes, strict=True)
        ]

    def _streams(self) -> dict[str, None]:
        wanted: dict[str, None] = {}
        for one in self._waiting:
            if isinstance(one.ask, Record):
                wanted[one.ask.stream] = None
            else:
                lifecycle = self._journal.lifecycles.get(one.ask.collection)
                wanted.update(dict.fromkeys(streams_of(one.ask, lifecycle)))
        return wanted

    def _settled(self, ask: "Ask | Record", now: datetime) -> Settled:
        if isinstance(ask, Ask):
            return settle(ask, self.draft, self._journal.lifecycles, now)
        causing = Causing(self.draft)
        if event := ask.decide(self.draft[ask.stream], now):
            causing.add(ask.stream, event)
        return causing.settled(None)


def _placed(answer: Answer, at: Mapping[tuple[str, int], int]) -> Answer:
    case, entry = answer.case, answer.entry
    if case.position:
        return answer
    if entry is not None:
        entry = replace(entry, position=at[entry.stream, entry.version])
    stream = case_stream(case.collection, case.id)
    return replace(answer, entry=entry, case=replace(case, position=at[stream, case.version]))


def _only_looks(ask: "Ask | Record") -> bool:
    return isinstance(ask, Record) or isinstance(ask.what, Look | LookUp)


def _again(refusal: StorageUnavailable) -> StorageUnavailable:
    """The same refusal for each who waited: one exception is raised once."""
    return StorageUnavailable(refusal.detail, **refusal.facts)


def _reply(replies: Sequence[tuple[Waiting, Outcome]]) -> None:
    """Hand every answer to who waits for it, waking each event loop once."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[Waiting, Outcome]]] = {}
    for one, outcome in replies:
        if one.loop is None:
            _resolve([(one, outcome)])
        else:
            loops.setdefault(one.loop, []).append((one, outcome))
    for loop, of_loop in loops.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_resolve, of_loop)


def _resolve(replies: Sequence[tuple[Waiting, Outcome]]) -> None:
    for one, outcome in replies:
        if one.future.done():
            continue
        if isinstance(outcome, BaseException):
            one.future.set_exception(outcome)
        else:
            one.future.set_result(outcome)
