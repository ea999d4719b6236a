"""What can be asked, what must be known for it, and what becomes of it.

An ask names the streams it must know (`streams_of`); `settling` decides it on those. All that it
causes is collected here: each event at the end of its stream.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final

from msgspec import Struct

from lifecycle import drift
from lifecycle.case import Case
from lifecycle.changes import Change, Move, Open, SetFields, TakeReference
from lifecycle.drift import Resolve
from lifecycle.events import (
    Answered,
    Asker,
    Entry,
    Event,
    NoticeDelivered,
)
from lifecycle.fields import is_case_id
from lifecycle.known import Known, Memory, State, learn
from lifecycle.messages import Complete, Hear, Message, Release, Retry, message_stream
from lifecycle.mirror import Mirror
from lifecycle.model import Lifecycle
from lifecycle.notices import Reword, Tell
from lifecycle.refusals import (
    Refusal,
)
from lifecycle.reports import opened_by
from lifecycle.streams import (
    case_stream,
    claims_stream,
    definition_stream,
    flow_stream,
    key_stream,
    mirror_stream,
    parked_stream,
    reference_stream,
    request_stream,
)

NAMED_MAX: Final = 4000
"""Cases of which the names of the streams need not be put together again."""


class Look(Struct, frozen=True):
    """Only show the case."""


class LookUp(Struct, frozen=True):
    """Show the case that a tool's own id means."""

    tool: str
    ref: str
    kind: str = ""


class Request(Struct, frozen=True):
    """What an idempotency key is used for."""

    key: str
    content: str
    """Digest of method, path, body and `If-Match`."""


class Ask(Struct, frozen=True, kw_only=True):
    """Somebody wants something of one case."""

    asker: Asker
    collection: str
    id: str = ""
    """Empty only where `LookUp` finds it out."""
    what: (
        Open | Change | Look | LookUp | Hear | Complete | Retry | Release | Resolve | Tell | Reword
    )
    request: Request | None = None
    versions: tuple[int, ...] | None = None
    """The versions that the write is conditional on."""
    quiet: bool = False
    """No tool is told of what it changes: an import brings what the tools know already."""


class Answer(Struct, frozen=True):
    """What became of an ask that was not refused."""

    case: Case
    entry: Entry | None = None
    """The event that was asked for; None where nothing changed."""
    created: bool = False
    replayed: Answered | None = None
    """Set where the request was answered before: the case is as of that version, once loaded."""


class Taken(Struct, frozen=True):
    """What became of a message that was heard."""

    message: Message
    stream: str
    case: Case | None = None
    """The case that it is about, after everything that it caused."""
    replayed: bool = False
    """Whether the request was answered before."""
    again: bool = False
    """Whether it was heard before, and has only been decided again."""

    @property
    def tool(self) -> str:
        """Whose word it is."""
        return self.message.heard.tool

    @property
    def name(self) -> str:
        """What it was taken for when it came."""
        again = self.message.outcome == "duplicate"
        return "duplicate" if again else self.message.heard.outcome


class Settled(Struct, frozen=True):
    """What an ask causes, and the answer to give once that stands."""

    answer: Answer | Taken | Refusal | None
    """None for what is recorded without being asked about a case."""
    entries: tuple[Entry, ...] = ()
    known: Mapping[str, "Known"] = {}
    """What its streams amount to then."""
    forget: tuple[str, ...] = ()
    """The streams whose keys are to be deleted with it."""


# --- what must be known -------------------------------------------------------------------------


def streams_of(ask: Ask, lifecycle: Lifecycle | None) -> list[str]:
    """What must be known to settle this ask, as far as can be told beforehand."""
    if lifecycle is None:
        return []
    streams = [definition_stream(lifecycle.name)]
    if ask.asker.key:
        streams.append(key_stream(ask.asker.key))
    if is_case_id(ask.id):
        streams.append(case_stream(ask.collection, ask.id))
        if not isinstance(ask.what, Look):
            streams += _beside_case(lifecycle, ask.id, ask.quiet)
    if ask.request:
        streams.append(request_stream(ask.asker, ask.request.key))
    if not isinstance(ask.what, Move | SetFields | Look):
        streams += _named_by(ask, lifecycle)
    return streams


def _named_by(ask: Ask, lifecycle: Lifecycle) -> Iterator[str]:
    """What an ask is about beside its case."""
    for tool, kind, ref in references_named(ask):
        if tool in lifecycle.declaration.tools:
            named = (tool, kind or lifecycle.main_kind(tool), ref)
            yield reference_stream(*named)
            yield parked_stream(*named)
    if isinstance(ask.what, Hear):
        yield from _heard_in(ask, ask.what, lifecycle)
    if isinstance(ask.what, Tell):
        yield flow_stream(ask.what.tool)


def _heard_in(ask: Ask, what: Hear, lifecycle: Lifecycle) -> Iterator[str]:
    """Where a message stands, and what it may be about."""
    yield message_stream(ask.collection, ask.id, what)
    about = ask.id
    if opened_by(what.report, lifecycle):
        yield case_stream(ask.collection, what.new_id)
        yield from _beside_case(lifecycle, what.new_id, ask.quiet)
        about = about or what.new_id
    if about:
        yield mirror_stream(ask.collection, about, what.report.tool)


@lru_cache(maxsize=NAMED_MAX)
def _beside_case(lifecycle: Lifecycle, case_id: str, quiet: bool) -> tuple[str, ...]:  # noqa: FBT001 - a call by name costs more than what is remembered spares
    """What waits for a case, and what its tools were told."""
    collection = lifecycle.collection
    waits = (claims_stream(collection, case_id),) if lifecycle.hears else ()
    told = () if quiet else lifecycle.mirrored
    return (*waits, *(mirror_stream(collection, case_id, tool) for tool in told))


def references_named(ask: Ask) -> Iterator[tuple[str, str, str]]:
    """Tool, kind (perhaps empty) and id."""
    match ask.what:
        case Open(references=references):
            for key, refs in references.items():
                tool, _, kind = key.partition(":")
                yield from ((tool, kind, ref) for ref in refs)
        case TakeReference(tool=tool, kind=kind, ref=ref):
            yield tool, kind, ref
        case Hear(report=report) if report.ref:
            yield report.tool, report.kind, report.ref


# --- what it causes -----------------------------------------------------------------------------


class Causing:
    """Collects the events of one ask, each at the end of its stream."""

    def __init__(self, memory: Memory) -> None:
        """Begin with what is known."""
        self._memory = memory
        self.entries: list[Entry] = []
        self.known: dict[str, Known] = {}
        self._forgotten: list[str] = []

    def state(self, stream: str) -> State:
        """What a stream amounts to by now."""
        return (self.known.get(stream) or self._memory[stream]).state

    def version(self, stream: str) -> int:
        """How far a stream goes by now."""
        return (self.known.get(stream) or self._memory[stream]).version

    def add(self, stream: str, event: Event) -> Known:
        """One more event; answers what the stream amounts to with it."""
        known = self.known.get(stream) or self._memory[stream]
        entry = Entry(stream, known.version + 1, event)
        self.entries.append(entry)
        self.known[stream] = known = learn(known, entry)
        return known

    def add_all(self, stream: str, events: Iterable[Event]) -> None:
        """Several more events of one stream."""
        known = self.known.get(stream) or self._memory[stream]
        for event in events:
            entry = Entry(stream, known.version + 1, event)
            self.entries.append(entry)
            known = learn(known, entry)
        self.known[stream] = known

    def note(self, stream: str, state: State) -> None:
        """What is known of a stream, without an event: a count that is not recorded each time."""
        known = self.known.get(stream) or self._memory[stream]
        self.known[stream] = Known(known.version, state)

    def recall(self, streams: Iterable[str]) -> None:
        """Read what is not known of these, all at once."""
        self._memory.recall(streams)

    def forget(self, stream: str) -> None:
        """The key of a stream is to be deleted."""
        self._forgotten.append(stream)

    def settled(self, answer: Answer | Taken | Refusal | None) -> Settled:
        """All of it, with the answer."""
        return Settled(answer, tuple(self.entries), self.known, tuple(self._forgotten))


def record(causing: Causing, stream: str, event: Event) -> None:
    """One event that somebody records, and what comes to its end by it."""
    before = causing.state(stream)
    causing.add(stream, event)
    if isinstance(event, NoticeDelivered) and isinstance(before, Mirror):
        for ended in drift.after_telling(event, before, event.recorded_at):
            causing.add(stream, ended)
