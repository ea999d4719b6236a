"""What this process knows of the log's streams: bounded, and following the log."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

import structlog
from eventsourcing.persistence import Notification, StoredEvent

from lifecycle.asks import Settled
from lifecycle.case import Case
from lifecycle.events import Entry, Erased, MessagesLetGo
from lifecycle.known import NOTHING, Known, Same, Tally, learn
from lifecycle.log import Recorder
from lifecycle.mapper import EntryMapper
from lifecycle.messages import Message
from lifecycle.refusals import StorageUnavailable
from lifecycle.vault import WrongMasterKey

log = structlog.get_logger("statekeeper.memory")

MEMORY_STREAMS_MAX = 40_000
MEMORY_BYTES_MAX = 40 * 2**20
STREAM_BYTES = 1000
"""What remembering a stream costs at least."""
NOTHING_BYTES = 250
"""What it costs to remember that a stream has not begun."""
STEP_EVENTS = 500
"""So much of the log is followed at a time."""


class Memory:
    """What this process knows of the log's streams, as of one position; bounded."""

    def __init__(self, recorder: Recorder, mapper: EntryMapper) -> None:
        """Know nothing yet."""
        self._recorder = recorder
        self._mapper = mapper
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._bytes = 0
        self.uncounted: dict[str, None] = {}
        """Streams of refusals that were repeated more often than the log knows."""
        self.position = 0
        """The last position that everything known is at least as new as."""

    def __getitem__(self, stream: str) -> Known:
        """The stream as far as it goes; read, if it is not known."""
        known = self._known.get(stream)
        if known is None:
            unreadable = self.recall((stream,))
            if stream in unreadable:
                raise unreadable[stream]
            known = self._known[stream]
        return known

    def peek(self, stream: str) -> Known | None:
        """The stream, if it is known; from any thread."""
        return self._known.get(stream)

    def recall(self, streams: Iterable[str]) -> dict[str, Exception]:
        """Read what is not known of these, all in one query; answers those that cannot be read.

        Who needs one of those fails, by asking for it; nobody else does.
        """
        unknown: dict[str, Known] = {}
        for stream in streams:
            if stream in self._known:
                self._known.move_to_end(stream)
            else:
                unknown[stream] = NOTHING
        unreadable: dict[str, Exception] = {}
        if not unknown:
            return unreadable
        events = self._recorder.streams(list(unknown))
        with suppress(WrongMasterKey):  # whose it is, is found out where it is unsealed itself
            self._mapper.recall_keys(events)
        for stored in events:
            stream = str(stored.originator_id)
            if stream not in unreadable:
                try:
                    entry = self._mapper.to_domain_event(stored)
                    unknown[stream] = learn(unknown[stream], entry)
                except StorageUnavailable:
                    raise
                except Exception as no:  # noqa: BLE001 - an event of another time hurts its stream only
                    unreadable[stream] = no
        for stream in unknown.keys() - unreadable.keys():
            self.put(stream, unknown[stream])
        return unreadable

    def put(self, stream: str, known: Known) -> None:
        """Know this of a stream."""
        before = self._known.get(stream)
        if before is None or not before.version or isinstance(known.state, Case):
            self._bytes += _weight(known) - _weight(before)  # what goes on weighs the same
        self._known[stream] = known
        self._known.move_to_end(stream)
        if isinstance(known.state, Tally):
            self._mark(stream, known.state)

    def repeated(self, stream: str) -> Iterable[Same]:
        """The refusals of a stream that were repeated more often than the log knows."""
        known = self._known.get(stream)
        return known.state.unwritten if known and isinstance(known.state, Tally) else ()

    def _mark(self, stream: str, tally: Tally) -> None:
        if tally.unwritten:
            self.uncounted[stream] = None
        else:
            self.uncounted.pop(stream, None)

    def forget(self, stream: str) -> None:
        """Know nothing of a stream: who needs it reads it."""
        self._bytes -= _weight(self._known.pop(stream, None))
        self.uncounted.pop(stream, None)

    def forget_messages(self, keyed: str) -> None:
        """Know nothing of the messages that may hold what a key sealed, by the stream it is of.

        It is that of a case, or of one message; empty: of every message.
        """
        if keyed.startswith("message:"):
            self.forget(keyed)
            return
        for stream, known in list(self._known.items()):
            if isinstance(known.state, Message) and keyed in {"", f"case:{known.state.case}"}:
                self.forget(stream)

    def follow(self, tail: Sequence[Notification]) -> None:
        """Bring what is known up to date; a stream that cannot be followed is forgotten."""
        for stored in tail:
            stream = str(stored.originator_id)
            if stored.topic == Erased.TOPIC:
                self._mapper.vault.mistrust(stream)
                self.forget_messages(stream)
            if stored.topic == MessagesLetGo.TOPIC:
                self._mapper.vault.mistrust_all("message:")
                self.forget_messages("")
            known = self._known.get(stream)
            if known is not None and stored.originator_version > known.version:
                try:
                    self.put(stream, learn(known, self._mapper.to_domain_event(stored)))
                except StorageUnavailable:
                    raise
                except Exception as no:  # noqa: BLE001 - an event of another time hurts its stream only
                    log.warning("cannot be read", stream=stream, position=stored.id, why=str(no))
                    self.forget(stream)
        if tail:
            self.position = tail[-1].id

    def catch_up(self) -> None:
        """Follow the log to its end; a tail longer than what is known is not worth reading."""
        while tail := self._recorder.tail(self.position, STEP_EVENTS):
            if len(tail) == STEP_EVENTS:
                last = self._recorder.last_position()
                if last - self.position > len(self._known):
                    self._know_nothing(last)
                    continue
            self.follow(tail)

    def _know_nothing(self, position: int) -> None:
        """Begin anew at a position: what is wanted is read again, all in one query."""
        self._known.clear()
        self.uncounted.clear()
        self._bytes = 0
        self._mapper.vault.mistrust_all("")
        self.position = position

    @property
    def remembered(self) -> Mapping[str, Known]:
        """All that is known, as it is at any time; nothing is read."""
        return self._known

    @property
    def is_full(self) -> bool:
        """Whether something is to be let go of."""
        return len(self._known) > MEMORY_STREAMS_MAX or self._bytes > MEMORY_BYTES_MAX

    def shrink(self) -> None:
        """Let go of what was used longest ago."""
        while self.is_full:
            self.forget(next(iter(self._known)))

    def __len__(self) -> int:
        """How many streams are known."""
        return len(self._known)


def _weight(known: Known | None) -> int:
    if known is None:
        return 0
    if not known.version:
        return NOTHING_BYTES
    if isinstance(known.state, Case):
        weight = 2 * STREAM_BYTES
        for value in known.state.fields.values():
            if isinstance(value, str):
                weight += len(value)
        return weight
    return STREAM_BYTES


class Draft:
    """A batch as it is being decided: what is known, and on top what this batch adds."""

    def __init__(self, memory: Memory) -> None:
        """Begin with what is remembered."""
        self._memory = memory
        self._remembered = memory.remembered
        self.added: dict[str, Known] = {}
        self.entries: list[Entry] = []
        self.stored: list[StoredEvent] = []
        """The entries as they will stand in the log."""
        self.forget: set[str] = set()

    def __getitem__(self, stream: str) -> Known:
        """The stream as it will be after this batch."""
        return self.added.get(stream) or self._remembered.get(stream) or self._memory[stream]

    def recall(self, streams: Iterable[str]) -> None:
        """Read what is not known of these, all in one query."""
        self._memory.recall(stream for stream in streams if stream not in self.added)

    def add(self, settled: Settled, stored: Iterable[StoredEvent]) -> None:
        """Let the asks that follow see this."""
        self.added.update(settled.known)
        self.entries += settled.entries
        self.stored += stored
        self.forget.update(settled.forget)
