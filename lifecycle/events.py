"""What is recorded, each with its own stable topic.

An event carries all that explains it, so history stays readable when the definition moves on.
Recorded events are patient with the future: unknown members are let through, new ones have
defaults. Personal values stand apart from the others (`personal`): they are sealed before they are
stored, and read `erased` once their key is gone.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from msgspec import Struct

Value = Any
"""A canonical value, as `fields.normalise` gives it; None forgets what was known."""

ERASED = "erased"
"""What a personal value reads once its key is gone."""


class Asker(Struct, frozen=True, omit_defaults=True):
    """Who is asking: a tool or a member of staff, and with which key."""

    tool: str | None = None
    staff: str | None = None
    key: str | None = None
    read_only: bool = False

    @property
    def name(self) -> str:
        """The tool's id or the person's name."""
        return self.tool or self.staff or "statekeeper"


class Condition(Struct, frozen=True):
    """What a transition's condition was, and the values it saw."""

    when: str
    values: dict[str, Value]


class DefinitionMark(Struct, frozen=True):
    """Which text of the definition decided."""

    version: int
    digest: str


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One recorded fact."""

    TOPIC: ClassVar[str]

    recorded_at: datetime
    """When it was recorded, UTC."""
    by: Asker

    @property
    def happened_at(self) -> datetime:
        """When it happened: as claimed, where a time was claimed."""
        return self.recorded_at


class CaseEvent(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A change of a case; its version is its place in the case's stream."""

    time: datetime
    """When it happened: as claimed, but never before the change it follows, nor after now."""
    reason: str | None = None
    override: bool = False
    """Staff acted in a tool's place."""
    message: str | None = None
    """The message that caused it."""

    @property
    def happened_at(self) -> datetime:
        """When it happened."""
        return self.time


class Valued(CaseEvent, frozen=True, kw_only=True, omit_defaults=True):
    """A change that may set fields."""

    fields: dict[str, Value] = {}
    personal: dict[str, Value] = {}


class CaseOpened(Valued, frozen=True, kw_only=True, omit_defaults=True):
    """A case began."""

    TOPIC = "case.opened.v1"

    lifecycle: str
    definition: DefinitionMark
    to: tuple[str, ...]
    references: dict[str, tuple[str, ...]] = {}
    rule: str = ""


class CaseAdopted(CaseOpened, frozen=True, kw_only=True, omit_defaults=True):
    """A case already under way was taken in, in the state it was in."""

    TOPIC = "case.adopted.v1"


class TransitionMade(
    Valued, frozen=True, kw_only=True, omit_defaults=True, rename={"left": "from"}
):
    """A case moved."""

    TOPIC = "case.transition-made.v1"

    transition: str
    left: tuple[str, ...]
    to: tuple[str, ...]
    definition: DefinitionMark
    rule: str
    """Why this asker might."""
    condition: Condition | None = None
    auto: bool = False


class FieldsSet(Valued, frozen=True, kw_only=True, omit_defaults=True):
    """Facts about a case became known, changed, or were forgotten (null)."""

    TOPIC = "case.fields-set.v1"


class ReferenceTaken(CaseEvent, frozen=True, kw_only=True, omit_defaults=True):
    """A tool's own id of this case became known."""

    TOPIC = "case.reference-taken.v1"

    tool: str
    kind: str
    """Empty for the tool's main kind."""
    ref: str


class ReferenceReleased(ReferenceTaken, frozen=True, kw_only=True, omit_defaults=True):
    """A tool's id no longer means this case."""

    TOPIC = "case.reference-released.v1"


class StateCorrected(
    CaseEvent, frozen=True, kw_only=True, omit_defaults=True, rename={"left": "from"}
):
    """Staff put a case where it really is."""

    TOPIC = "case.state-corrected.v1"

    left: tuple[str, ...]
    to: tuple[str, ...]
    definition: DefinitionMark


class CarriedOver(
    CaseEvent, frozen=True, kw_only=True, omit_defaults=True, rename={"left": "from"}
):
    """A new version of the definition was adopted; the case stands in its words now."""

    TOPIC = "case.carried-over.v1"

    left: tuple[str, ...]
    to: tuple[str, ...]
    """Renamed states under their new names; a new region at its initial state."""
    definition: DefinitionMark
    renamed: dict[str, str] = {}
    """Field of the version before → its name now."""
    renamed_states: dict[str, str] = {}
    """State of the version before → its name now."""


class Erased(CaseEvent, frozen=True, kw_only=True, omit_defaults=True):
    """The personal values of a case were made unreadable for good."""

    TOPIC = "case.erased.v1"


class Refused(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody asked what may not be; stands beside the case and does not change it."""

    TOPIC = "case.refused.v1"

    claimed_at: datetime | None = None
    """When it was tried, by the asker's account, where that was before now."""
    asked: str
    """The transition, or the names of the fields."""
    code: str
    detail: str
    state: tuple[str, ...]
    case_version: int
    times: int = 1
    """How often the very same was refused so far, while the case stood at this version.

    Written as often as `is_worth_recording` says, and once the asker pauses.
    """

    @property
    def happened_at(self) -> datetime:
        """When it was tried."""
        return self.claimed_at or self.recorded_at


def is_worth_recording(times: int) -> bool:
    """Whether what is repeated is written: each of the first ten times, then every tenth.

    Past a hundred it is every hundredth, and so on.
    """
    step: int = 10 ** (len(str(times)) - 1)
    return times % step == 0


class ReferenceHeld(Event, frozen=True, kw_only=True, omit_defaults=True):
    """In a reference's own stream: which case it means from now on."""

    TOPIC = "reference.held.v1"

    case: str


class ReferenceFreed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """In a reference's own stream: it means no case any more."""

    TOPIC = "reference.freed.v1"


class Answered(Event, frozen=True, kw_only=True, omit_defaults=True):
    """What an idempotency key was used for, and what the answer was about."""

    TOPIC = "request.answered.v1"

    content: str
    """Digest of method, path, body and `If-Match`."""
    case: str
    version: int
    """The case's version after everything that the ask caused."""
    event_version: int
    """The version of the event that was asked for."""
    status: int
    refused: str = ""
    """The code of a refusal: only in older logs; what was refused is decided again now."""
    detail: str = ""
    done: tuple["Done", ...] = ()
    """Of an ask about many, which is remembered part by part: what became of some, in order."""
    doing: tuple[str, ...] = ()
    """The ids of those that are done next: where it breaks off, some of them may be."""
    is_over: bool = False
    """Whether these are the last of them."""


class Done(Struct, frozen=True, omit_defaults=True):
    """What became of one of many."""

    id: str
    outcome: str = ""
    """What it is now; empty where it could not be done."""
    was: str = ""
    why: str = ""
    status: int = 200
    """As it would have been answered alone."""
    problem: str = ""
    """Why it could not be done."""


class KeyIssued(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A tool or a member of staff was given a key; only its digest is kept."""

    TOPIC = "key.issued.v1"

    digest: str
    """SHA-256 of the secret part, hex."""
    tool: str | None = None
    staff: str | None = None
    read_only: bool = False


class KeyRevoked(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A key is no longer honoured."""

    TOPIC = "key.revoked.v1"


class SessionsEnded(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Whoever was signed in with a key is so no more, anywhere; the key itself is honoured."""

    TOPIC = "key.sessions-ended.v1"


class Heard(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A tool said something; stands in a stream of its own, with what it was taken to mean."""

    TOPIC = "message.heard.v1"

    tool: str
    """Whose word it is; staff may have passed it on."""
    content: str
    """Digest of all that it says: the same again is a duplicate."""
    collection: str
    case: str | None = None
    """The case that it is about, like `jobs/J-1042`; None where that was not known."""
    ref: str = ""
    kind: str = ""
    event_id: str = ""
    occurred_at: datetime | None = None
    """When, by the tool's own account."""
    at: datetime
    """When, as it was taken: the time of receipt where none was claimed that can be."""
    status_field: str = ""
    word: str = ""
    fields: dict[str, Value] = {}
    personal: dict[str, Value] = {}
    """What no case has: personal values while it waits, and of fields that nobody declared."""
    raw: bytes = b""
    """As it came; sealed when it is stored, and opened only for who asks (`EntryMapper.raw`)."""
    raw_length: int = 0
    """How many bytes came, where they are kept."""
    assumed: bool = False
    """The collection was not said: it is the likeliest of those in which the tool stands."""
    unread: tuple[str, ...] = ()
    """Parts that the tool's connector could not read."""
    taken: tuple[str, ...] = ()
    """The fields that were taken."""
    not_taken: dict[str, str] = {}
    """Field → why it was not taken."""
    reason: str | None = None
    """Why staff passed it on."""
    outcome: str
    why: str = ""
    expected: str | None = None
    """The word that would have been right, where this one was not."""

    @property
    def happened_at(self) -> datetime:
        """When the tool saw it."""
        return min(self.at, self.recorded_at)


class Fetched(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The record that a message only named was asked for; this is what it says."""

    TOPIC = "message.fetched.v1"

    status_field: str = ""
    word: str = ""
    fields: dict[str, Value] = {}
    personal: dict[str, Value] = {}
    """Personal values, only while the message is parked; else they stand with the case."""
    at: datetime | None = None
    """When the record says it was, of a message that came without a time; else as it was heard."""


class HeardAgain(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The very same message came once more; it changes nothing."""

    TOPIC = "message.heard-again.v1"

    times: int = 2
    """How often it came so far."""


class Understood(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A message that waited has another outcome now."""

    TOPIC = "message.understood.v1"

    case: str | None = None
    outcome: str
    why: str = ""
    expected: str | None = None
    """The word that would have been right, where this one was not."""
    taken: tuple[str, ...] = ()
    """The fields that were taken now."""
    not_taken: dict[str, str] = {}
    personal: dict[str, Value] = {}
    """What still no case has, where the message's own key is deleted with this."""
    reason: str | None = None
    """Why staff had it decided again."""


class Parked(Event, frozen=True, kw_only=True, omit_defaults=True):
    """In the stream of what is missing, a reference or a record: a message waits for it."""

    TOPIC = "parked.waits.v1"

    message: str


class Unparked(Event, frozen=True, kw_only=True, omit_defaults=True):
    """It is there, or not to be had: the message waits for it no more."""

    TOPIC = "parked.released.v1"

    message: str


class Reported(Event, frozen=True, kw_only=True, omit_defaults=True):
    """In a tool's mirror of a case: what it says of it, and what that was taken to mean."""

    TOPIC = "mirror.reported.v1"

    case: str
    tool: str
    message: str
    at: datetime
    status_field: str = ""
    word: str = ""
    said: tuple[str, ...] = ()
    """The fields that it gave a value for, whether or not that was taken."""
    differing: tuple[str, ...] = ()
    """Those whose value differs from ours, and was not taken."""
    outcome: str
    why: str = ""
    expected: str | None = None
    timeless: bool = False
    """Its time could not be read, and `at` is when it was received: nothing is older than it."""

    @property
    def happened_at(self) -> datetime:
        """When the tool saw it."""
        return min(self.at, self.recorded_at)


class ClaimMade(Event, frozen=True, kw_only=True, omit_defaults=True):
    """An owner's report came too early; its claim waits."""

    TOPIC = "claim.made.v1"

    tool: str
    message: str
    status_field: str
    word: str
    at: datetime
    reason: str | None = None
    states: tuple[str, ...]
    """Where the case stood when it was heard."""


class ClaimEnded(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A claim waits no more: it was applied, is so already, or cannot come true."""

    TOPIC = "claim.ended.v1"

    message: str
    outcome: str
    why: str = ""


class OfNotice(Event, frozen=True, kw_only=True, omit_defaults=True):
    """In a tool's mirror of a case: what became of something that the tool is to be told."""

    id: str
    """Names the notice for good: the `webhook-id` of every attempt."""
    case: str
    """The case that it is about, like `jobs/J-1042`."""
    tool: str
    type: str
    """`case.word_changed`, `case.fields_changed` or `case.request`."""
    status_field: str = ""
    word: str = ""
    request: str = ""


class NoticeDue(OfNotice, frozen=True, kw_only=True, omit_defaults=True):
    """A tool is to be told something; stands in the append that made it so."""

    TOPIC = "notice.due.v1"

    was: str | None = None
    """The word before, as far as the tool was concerned."""
    personal: dict[str, Value] = {}
    """The values it is told, under the tool's own names; sealed with the key of the case."""
    refs: dict[str, tuple[str, ...]] = {}
    """Kind (`main` for the main one) → the tool's own ids of the case."""
    reaction: str = ""
    """The reaction that asks for it."""
    case_version: int
    why: str = ""
    """Empty where the case changed; `drift` where a wrong word is put right, `asked` by staff.

    `missing` where staff have the tool told what it was never told, or does not show.
    """
    reason: str | None = None
    """Why staff asked for it."""


class NoticeDelivered(OfNotice, frozen=True, kw_only=True, omit_defaults=True):
    """The tool took it."""

    TOPIC = "notice.delivered.v1"

    attempts: int
    status: int | None = None
    """What its server answered; None where a person carried it."""
    sent_at: datetime | None = None
    """When its first attempt began: the tool may have had it since. None where nobody sent it."""
    reason: str | None = None
    """What the person who carried it noted."""


class NoticeSuperseded(OfNotice, frozen=True, kw_only=True, omit_defaults=True):
    """Nobody needs to be told this any more."""

    TOPIC = "notice.superseded.v1"

    why: str
    """`newer-word`, `erased`, `shown-already`."""
    newer: str = ""
    """The notice that takes its place."""
    attempts: int = 0


class NoticeGivenUp(OfNotice, frozen=True, kw_only=True, omit_defaults=True):
    """It could not be told; it waits for somebody to recover it."""

    TOPIC = "notice.given-up.v1"

    attempts: int
    why: str


class NoticeRecovered(OfNotice, frozen=True, kw_only=True, omit_defaults=True):
    """What had been given up is to be told after all."""

    TOPIC = "notice.recovered.v1"

    reason: str | None = None


class ReactionPlanned(Event, frozen=True, kw_only=True, omit_defaults=True):
    """In a tool's mirror of a case: what it is to be asked later, unless the case moves on."""

    TOPIC = "reaction.planned.v1"

    id: str
    case: str
    tool: str
    reaction: str
    request: str
    fires_at: datetime
    states: tuple[str, ...]
    """The states that the transition entered: leaving one of them drops the plan."""


class ReactionDropped(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A planned reaction will not come: the case moved on."""

    TOPIC = "reaction.dropped.v1"

    id: str
    case: str
    tool: str
    reaction: str
    why: str = "moved-on"


class FlowFailing(Event, frozen=True, kw_only=True, omit_defaults=True):
    """In the stream of a flow: a tool takes nothing at present; its steward is told."""

    TOPIC = "flow.failing.v1"

    tool: str
    why: str
    steward: str = ""


class FlowRecovered(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The tool takes notices again."""

    TOPIC = "flow.recovered.v1"

    tool: str
    steward: str = ""


class FlowStopped(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The tool does not want to be told any more (410 Gone); staff may start it again."""

    TOPIC = "flow.stopped.v1"

    tool: str
    why: str
    steward: str = ""


class FlowStarted(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Staff let a stopped flow run again."""

    TOPIC = "flow.started.v1"

    tool: str
    reason: str | None = None
    unproven: bool = False
    """It counts as failing until the tool takes something; in older logs it counted as working."""


class DriftFound(Event, frozen=True, kw_only=True, omit_defaults=True):
    """In a tool's mirror of a case: what the tool shows differs from what is true."""

    TOPIC = "drift.found.v1"

    id: str
    case: str
    tool: str
    field: str
    """The status field, or the canonical field, that differs."""
    is_word: bool
    """Whether it is a status field."""
    expected: str | None = None
    """The word that would be right; of a field it stands with the case."""
    reported: str = ""
    """The word that the tool shows."""
    reads: str = ""
    """What the tool calls the field, where it is told its value."""
    personal: dict[str, Value] = {}
    """The value that the tool shows, under the field's name; sealed with the key of the case."""
    why: str = ""
    """Why it was not taken: `not-the-owner`, `ambiguous-word`, `overtaken`; or `fight`.

    Of a fight it is told no more: the tool has put its own word back, time after time.
    """
    message: str = ""


class DriftResolved(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The tool and the shared state agree again, or staff have settled that they need not."""

    TOPIC = "drift.resolved.v1"

    id: str
    case: str
    tool: str
    field: str
    how: str
    """`agrees`, `moved`, `told`, `accepted`, `dismissed`, `said-otherwise`, `erased`."""
    until: datetime | None = None
    """Dismissed until then, or until the tool says something else."""
    reason: str | None = None


class MessagesLetGo(Event, frozen=True, kw_only=True, omit_defaults=True):
    """What was heard long ago can be read no more as it came: the keys of it are deleted.

    What it was taken to mean stays. Stands in the stream of what is kept of a collection.
    """

    TOPIC = "retention.messages-let-go.v1"

    collection: str
    upto: int
    """The position of the log up to which everything heard of the collection was let go of."""
    messages: int
    """How many of them were so by this event."""


class DefinitionAdopted(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A definition became the one that decides; its full text is kept."""

    TOPIC = "definition.adopted.v1"

    lifecycle: str
    version: int
    digest: str
    text: str
    tells: bool = False
    """Whether the tools are to be told the words that it changes."""


EVENTS: tuple[type[Event], ...] = (
    CaseOpened, CaseAdopted, TransitionMade, FieldsSet, ReferenceTaken, ReferenceReleased,
    StateCorrected, CarriedOver, Erased, Refused, ReferenceHeld, ReferenceFreed, Answered,
    KeyIssued, KeyRevoked, SessionsEnded, DefinitionAdopted, Heard, Fetched, HeardAgain, Understood,
    Parked, Unparked, Reported, ClaimMade, ClaimEnded, NoticeDue, NoticeDelivered, NoticeSuperseded,
    NoticeGivenUp, NoticeRecovered, ReactionPlanned, ReactionDropped, FlowFailing, FlowRecovered,
    FlowStopped, FlowStarted, DriftFound, DriftResolved, MessagesLetGo,
)  # fmt: skip
"""Everything that can stand in the log."""

BY_TOPIC: Mapping[str, type[Event]] = {event.TOPIC: event for event in EVENTS}


class Entry(Struct, frozen=True):
    """An event at its place in the log."""

    stream: str
    """Named in plain text, like `case:jobs/J-1042`."""
    version: int
    """Its place in the stream, from 1."""
    event: Event
    position: int = 0
    """Its place in the whole log; 0 until it is committed."""
