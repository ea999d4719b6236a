"""What is known of a stream of the log: what its events amount to, one after the other."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from lifecycle import case as cases
from lifecycle.case import (
    Case,
)
from lifecycle.events import (
    Answered,
    Asker,
    CaseEvent,
    DefinitionAdopted,
    Entry,
    FlowFailing,
    FlowRecovered,
    FlowStarted,
    FlowStopped,
    KeyIssued,
    KeyRevoked,
    MessagesLetGo,
    OfNotice,
    ReferenceFreed,
    ReferenceHeld,
    Refused,
    SessionsEnded,
)
from lifecycle.messages import HeardState, remember
from lifecycle.mirror import SILENT, Mirror, reflect


class Key(Struct, frozen=True):
    """A key as it stands."""

    id: str
    asker: Asker
    digest: str
    revoked: bool = False
    issued_at: datetime | None = None
    sessions_ended: int = 0
    """How often everybody signed in with it was signed out: a session holds as of one count."""


Same = tuple[str, str, str, int]
"""What tells one refusal from another beside a case."""


class Repeated(Struct, frozen=True):
    """Refusals like one that stands in the log already, of which the log does not know yet."""

    count: int
    last: Refused
    """As it is written once that is due."""


class Tally(Struct, frozen=True):
    """The refusals beside one case, counted."""

    times: Mapping[Same, int] = {}
    """As the log has them."""
    unwritten: Mapping[Same, Repeated] = {}
    """What came since."""


class FlowState(Struct, frozen=True):
    """Whether a tool takes what it is told."""

    failing_since: datetime | None = None
    """When it was found to take nothing; None while it works."""
    stopped_since: datetime | None = None
    """When it said that it wants nothing any more; None unless so."""
    why: str = ""
    """What it answered, where it fails or has stopped."""


Recorded = Answered | DefinitionAdopted | MessagesLetGo
"""Facts of which the last one says all."""

State = Case | Key | Tally | FlowState | Recorded | HeardState | str | None
"""What a stream amounts to; a reference's is the case it means."""


class Known(Struct, frozen=True):
    """A stream as far as it goes."""

    version: int
    state: State


NOTHING = Known(0, None)


class Memory(Protocol):
    """Knows streams; what it does not know, it reads."""

    def __getitem__(self, stream: str) -> Known:
        """The stream as far as it goes, `NOTHING` where it has not begun."""

    def recall(self, streams: Iterable[str]) -> object:
        """Read what is not known of these, all at once."""


def learn(known: Known, entry: Entry) -> Known:
    """What is known after one more entry of the stream."""
    assert entry.version == known.version + 1, (entry.stream, known.version, entry.version)
    return Known(entry.version, _learned(known.state, entry))


def _learned(  # noqa: C901, PLR0911 - one for each kind of fact
    state: State, entry: Entry
) -> State:
    match entry.event:
        case CaseEvent():
            assert state is None or isinstance(state, Case)
            return cases.evolve(state, entry)
        case OfNotice() as event:
            return reflect(state if isinstance(state, Mirror) else SILENT, event)
        case Refused() as event:
            return _counted(state if isinstance(state, Tally) else Tally(), event)
        case ReferenceHeld(case=held):
            return held
        case ReferenceFreed():
            return None
        case KeyIssued() as event:
            key_id = entry.stream.removeprefix("key:")
            asker = Asker(event.tool, event.staff, key_id, event.read_only)
            return Key(key_id, asker, event.digest, issued_at=event.recorded_at)
        case KeyRevoked():
            assert isinstance(state, Key)
            return replace(state, revoked=True)
        case SessionsEnded():
            assert isinstance(state, Key)
            return replace(state, sessions_ended=state.sessions_ended + 1)
        case FlowFailing() | FlowRecovered() | FlowStopped() | FlowStarted() as event:
            return _flows(state if isinstance(state, FlowState) else FlowState(), event)
        case Answered() | DefinitionAdopted() | MessagesLetGo() as event:
            return event
    return remember(state, entry)


def _flows(
    flow: FlowState, event: FlowFailing | FlowRecovered | FlowStopped | FlowStarted
) -> FlowState:
    match event:
        case FlowFailing():
            return replace(flow, failing_since=event.recorded_at, why=event.why)
        case FlowRecovered():
            return replace(flow, failing_since=None, why="")
        case FlowStopped():
            return replace(flow, stopped_since=event.recorded_at, why=event.why)
        case FlowStarted(unproven=True):  # that it works is known once it takes something
            since = flow.failing_since or flow.stopped_since
            return replace(flow, failing_since=since, stopped_since=None)
        case FlowStarted():
            return replace(flow, stopped_since=None, why="")


def same_refusal(event: Refused) -> Same:
    """Tells one refusal from another beside a case."""
    return (event.by.name, event.asked, event.code, event.case_version)


def written(tally: Tally, same: Same) -> Refused:
    """The event that says how often the very same was refused by now."""
    mine = tally.unwritten[same]
    return replace(mine.last, times=tally.times.get(same, 0) + mine.count)


def _counted(tally: Tally, event: Refused) -> Tally:
    """Of what was refused at earlier versions of the case nothing is repeated any more."""
    same, unwritten = same_refusal(event), dict(tally.unwritten)
    times = {
        key: count
        for key, count in tally.times.items()
        if key[3] >= event.case_version or key in unwritten
    }
    mine = unwritten.get(same)
    if mine is not None and event == written(tally, same):  # else another process has counted
        del unwritten[same]
    return Tally({**times, same: event.times}, unwritten)
