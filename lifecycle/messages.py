"""Messages: what is heard, how one is told from another, what it is about, what is known of it."""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from lifecycle.case import Case
from lifecycle.events import (
    ClaimEnded,
    ClaimMade,
    Entry,
    Event,
    Fetched,
    Heard,
    HeardAgain,
    Parked,
    Understood,
    Unparked,
)
from lifecycle.mirror import SILENT, Claim, Claims, Mirror, reflect, wait
from lifecycle.model import Lifecycle
from lifecycle.readings import shaped
from lifecycle.reports import Report, opened_by
from lifecycle.streams import (
    case_stream,
    claims_stream,
    cut,
    mirror_stream,
    reference_stream,
)
from lifecycle.values import cases_named

NOT_FETCHED: Final = "not-fetched"
"""Why a message is parked whose record could not be had yet."""


class Hear(Struct, frozen=True, kw_only=True):
    """A tool says something; without the id of a case it is found by its reference."""

    report: Report
    arrival: str
    """Tells this message from all others, where it says nothing itself that would."""
    new_id: str
    """The id of the case that it may open."""
    reason: str | None = None
    """Why staff pass it on."""
    among: tuple[str, ...] = ()
    """The collections that it can be about, where a product's webhook says none (`addressed`)."""
    zone: str | None = None
    """The time zone in which its moments are days."""
    said: str = ""
    """The digest of what came, where that is more, or less, than the report."""
    raw: bytes = b""
    """What came."""
    unread: tuple[str, ...] = ()
    """Parts of it that could not be read."""
    unfetched: bool = False
    """It only names a record, which could not be had yet."""
    empty: bool = False
    """There was no message in what came."""


class Complete(Struct, frozen=True, kw_only=True):
    """What the record says that a message only named; it is decided again with that."""

    message: str
    """Its stream."""
    report: Report | None
    """None: the record is not to be had, and nobody waits for it any longer."""
    new_id: str
    """The id of the case that it may open."""
    among: tuple[str, ...]
    zone: str | None = None
    unread: tuple[str, ...] = ()
    """Parts of it that could not be read."""


class Retry(Struct, frozen=True, kw_only=True):
    """Decide a message again, as things are now."""

    message: str
    """Its stream."""
    new_id: str
    """The id of the case that it may open."""
    reason: str | None = None
    """Why staff want it."""


class Release(Struct, frozen=True):
    """Decide more of the messages that wait for a reference, by the stream in which they do."""

    parked: str


class Message(Struct, frozen=True):
    """A message as it stands: what was said, and what became of it in the end."""

    heard: Heard
    outcome: str
    why: str
    case: str | None
    times: int = 1
    """How often it came."""

    @property
    def waits_for_record(self) -> bool:
        """Whether the record that it names is still to be fetched."""
        return self.why == NOT_FETCHED


class Waiting(Struct, frozen=True):
    """The messages that wait for one reference, or for their records, by their streams.

    Also the references, by the streams of those that wait for them, that are released in parts.
    """

    messages: tuple[str, ...] = ()


HeardState = Message | Waiting | Mirror | Claims
"""What a stream of hearing amounts to."""


class Ledger(Protocol):
    """Knows every stream, and takes what is caused, each event at the end of its stream."""

    def state(self, stream: str) -> object:
        """What a stream amounts to; None where it has not begun."""

    def add(self, stream: str, event: Event) -> object:
        """One more event."""

    def recall(self, streams: Iterable[str]) -> None:
        """These are about to be asked for: what is not known of them is read at once."""

    def forget(self, stream: str) -> None:
        """The key of what is sealed in a stream is to be deleted."""


# --- telling messages apart ---------------------------------------------------------------------


def message_stream(collection: str, case_id: str, what: Hear) -> str:
    """Where a message stands: by its id, by what it says and when, or by its arrival."""
    report = what.report
    timed = content(collection, case_id, what) if report.occurred_at else what.arrival
    return cut(f"message:{report.tool}/{report.event_id or timed}")


def content(collection: str, case_id: str, what: Hear) -> str:
    """The digest of all that a message says."""
    if what.said:
        return what.said
    said = (collection, case_id, msgspec.structs.astuple(what.report))
    return sha256(msgspec.json.encode(said, order="sorted")).hexdigest()[:32]


def stream_to_be(ledger: Ledger, stream: str, digest: str) -> str:
    """The same, or where its id was used for something else, one that says so."""
    before = ledger.state(stream)
    if isinstance(before, Message) and before.heard.content != digest:
        return cut(f"{stream}~{digest}")
    return stream


# --- what a webhook is about --------------------------------------------------------------------


def addressed(
    ledger: Ledger,
    report: Report,
    lifecycles: Sequence[Lifecycle],
    zone: str | None = None,
) -> tuple[Lifecycle, Report]:
    """Find the lifecycle that a product's message is about, and put it in that one's terms.

    Products know nothing of our collections. Of those in which the tool stands it is the one where
    the record is held; else the first that opens a case at this word; else the first that knows
    the kind of record; else the first. A message that waits there is decided by whichever comes to
    hold its record.
    """
    found = max(lifecycles, key=lambda one: _nearness(ledger, report, one))
    held = _nearness(ledger, report, found)[0]
    # Of a record that nobody holds yet, another lifecycle may want other fields.
    said = in_form(report.fields, [found] if held else [found, *lifecycles], zone)
    kind = found.kind_of(report.tool, report.kind)
    return found, replace(report, kind=kind, fields=said)


def in_form(
    fields: Mapping[str, Any], lifecycles: Sequence[Lifecycle], zone: str | None
) -> dict[str, Any]:
    """The values of a product in the form of the fields that the first lifecycle has that knows it.

    What is known to none stays as it came.
    """
    formed = dict[str, Any]()
    for name, value in fields.items():
        field = next((one.fields[name] for one in lifecycles if name in one.fields), None)
        shape = value if field is None else shaped(field.type, value, zone)
        if shape is not None or value is None:  # which forgets
            formed[name] = shape
    return formed


def _nearness(ledger: Ledger, report: Report, lifecycle: Lifecycle) -> tuple[bool, bool, bool]:
    kinds = lifecycle.declaration.tools[report.tool].kinds
    said = replace(report, kind=lifecycle.kind_of(report.tool, report.kind))
    knows = not report.kind or not kinds or report.kind in kinds
    opens = knows and opened_by(report, lifecycle)
    return _held(ledger, said, lifecycle) is not None, opens, knows


# --- what is known ------------------------------------------------------------------------------


def remember(  # noqa: PLR0911 - one for each kind of fact
    state: object, entry: Entry
) -> HeardState:
    """What a stream of hearing amounts to after one more entry."""
    match entry.event, state:
        case Heard() as heard, None:
            kept = replace(heard, raw=b"") if heard.raw else heard
            return Message(kept, heard.outcome, heard.why, heard.case)
        case Fetched() as now, Message() as message:
            told = {"word": now.word, "fields": now.fields, "personal": now.personal}
            at = now.at or message.heard.at
            heard = replace(message.heard, status_field=now.status_field, at=at, **told)
            return replace(message, heard=heard)
        case HeardAgain() as again, Message() as message:
            return replace(message, times=max(message.times + 1, again.times))
        case Understood() as now, Message() as message:
            heard = message.heard
            if now.outcome != "parked":
                heard = replace(heard, personal=now.personal)
            heard = replace(heard, **_taken_since(heard, now), expected=now.expected)
            return replace(message, heard=heard, outcome=now.outcome, why=now.why, case=now.case)
        case Parked(message=stream), None | Waiting():
            before = state.messages if isinstance(state, Waiting) else ()
            return Waiting((*before, stream))
        case Unparked(message=stream), Waiting() as waiting:
            place = waiting.messages.index(stream)
            return Waiting(waiting.messages[:place] + waiting.messages[place + 1 :])
        case ClaimMade() | ClaimEnded(), None | Claims():
            return wait(state if isinstance(state, Claims) else Claims(), entry)
        case reflected, None | Mirror():
            return reflect(state if isinstance(state, Mirror) else SILENT, reflected)
    raise AssertionError(f"nothing is learned from {entry.event.TOPIC} [{entry.stream}]")


def _taken_since(heard: Heard, now: Understood) -> dict[str, Any]:
    """The fields that were taken of a message by now, and those that were not."""
    not_taken = {**heard.not_taken, **now.not_taken}
    return {
        "taken": tuple(dict.fromkeys((*heard.taken, *now.taken))),
        "not_taken": {name: why for name, why in not_taken.items() if name not in now.taken},
    }


def mirror_of(ledger: Ledger, case: Case | None, tool: str) -> Mirror:
    """What a tool says of a case and was told; nothing of a case that is not there."""
    if case is None:
        return SILENT
    mirror = ledger.state(mirror_stream(case.collection, case.id, tool))
    return mirror if isinstance(mirror, Mirror) else SILENT


def claims_of(ledger: Ledger, collection: str, case_id: str) -> Iterable[Claim]:
    """What waits for a case, in order of claimed time."""
    claims = ledger.state(claims_stream(collection, case_id))
    return claims.open if isinstance(claims, Claims) else ()


def case_meant(ledger: Ledger, report: Report, lifecycle: Lifecycle, case_id: str) -> Case | None:
    """The case that a report is about; None where nobody knows its reference."""
    if not case_id:
        held = _held(ledger, report, lifecycle)
        if held is None:
            return None
        case_id = held.partition("/")[2]
    case = ledger.state(case_stream(lifecycle.collection, case_id))
    assert isinstance(case, Case), case_id
    return case


def _held(ledger: Ledger, report: Report, lifecycle: Lifecycle) -> str | None:
    """The case of its collection that holds a report's reference, like `jobs/J-1042`."""
    if not report.ref:
        return None
    kind = report.kind or lifecycle.main_kind(report.tool)
    held = ledger.state(reference_stream(report.tool, kind, report.ref))
    unnamed = kind_to_be_named(report, lifecycle)
    if unnamed and not isinstance(held, str):
        held = ledger.state(unnamed)
    if not isinstance(held, str) or not held.startswith(f"{lifecycle.collection}/"):
        return None
    return held


def kind_to_be_named(report: Report, lifecycle: Lifecycle) -> str | None:
    """The stream in which a reference may stand without the kind that this report names.

    Where a tool declares no kinds its references were set without one. The first record that says
    something about such a one is what it means, and gives it the name of its kind.
    """
    kinds = lifecycle.declaration.tools[report.tool].kinds
    says = report.word or report.fields
    if kinds or not (report.kind and report.ref and says):
        return None
    return reference_stream(report.tool, "", report.ref)


def absent_of(ledger: Ledger, fields: Mapping[str, Any], lifecycle: Lifecycle) -> list[str]:
    """The cases that these fields name, and that nobody opened."""
    named = cases_named(fields, lifecycle)
    return [case for case in named.values() if ledger.state(f"case:{case}") is None]
