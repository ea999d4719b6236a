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


class Retry(Struct, frozen=True, kw_only=True):
    """Decide a message again, as things are now."""

    message: str
    """Its stream."""
    new_id: str
    """The id of the case that it may open."""
    reason: str | None = None
    """Why staff want it."""


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
    """The messages that wait for one reference, or for their records, by their streams."""

    messages: tuple[str, ...] = ()


HeardState = Message | Waiting | Mirror | Claims
"""What a stream of hearing amounts to."""


class Ledger(Protocol):
    """Knows every stream, and takes what is caused, each event at the end of its stream."""

    def state(self, stream: str) -> object:
        """What a stream amounts to; None where it has not begun."""

    def add(self, stream: str, event: Event) -> object:
        """One more event."""

    def note(self, stream: str, state: "Message") -> None:
        """What a stream amounts to has changed, but not so that it is worth recording."""

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
    known = [found] if held else [found, *lifecycles]
    fields = {
        name: shaped(field.type, value, zone)
        for name, value in report.fields.items()
        if (field := next((one.fields[name] for one in known if name in one.fields), None))
    }
    # Where no kinds are declared there is one, whatever the product calls it.
    kinds = found.declaration.tools[report.tool].kinds
    kind = "" if not kinds or report.kind == kinds[0] else report.kind
    said = {
        name: value
        for name, value in fields.items()
        if value is not None or report.fields[name] is None  # which forgets
    }
    return found, replace(report, kind=kind, fields=said)


def _nearness(ledger: Ledger, report: Report, lifecycle: Lifecycle) -> tuple[bool, bool, bool]:
    kinds = lifecycle.declaration.tools[report.tool].kinds
    kind = report.kind if kinds and report.kind else lifecycle.main_kind(report.tool)
    held = ledger.state(reference_stream(report.tool, kind, report.ref)) if report.ref else None
    knows = not report.kind or not kinds or report.kind in kinds
    opens = knows and opened_by(report, lifecycle)
    ours = isinstance(held, str) and held.startswith(f"{lifecycle.collection}/")
    return ours, opens, knows


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
            heard = replace(message.heard, status_field=now.status_field, **told)
            return replace(message, heard=heard)
        case HeardAgain() as again, Message() as message:
            return replace(message, times=max(message.times + 1, again.times))
        case Understood() as now, Message() as message:
            heard = message.heard
            if now.outcome != "parked":
                heard = replace(heard, personal={})
            return replace(message, heard=heard, outcome=now.outcome, why=now.why, case=now.case)
        case Parked(message=stream), None | Waiting():
            before = state.messages if isinstance(state, Waiting) else ()
            return Waiting((*before, stream))
        case Unparked(message=stream), Waiting() as waiting:
            return Waiting(tuple(one for one in waiting.messages if one != stream))
        case ClaimMade() | ClaimEnded(), None | Claims():
            return wait(state if isinstance(state, Claims) else Claims(), entry)
        case reflected, None | Mirror():
            return reflect(state if isinstance(state, Mirror) else SILENT, reflected)
    raise AssertionError(f"nothing is learned from {entry.event.TOPIC} [{entry.stream}]")


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
        if not report.ref:
            return None
        kind = report.kind or lifecycle.main_kind(report.tool)
        held = ledger.state(reference_stream(report.tool, kind, report.ref))
        if not isinstance(held, str) or not held.startswith(f"{lifecycle.collection}/"):
            return None
        case_id = held.partition("/")[2]
    case = ledger.state(case_stream(lifecycle.collection, case_id))
    assert isinstance(case, Case), case_id
    return case


def absent_of(ledger: Ledger, fields: Mapping[str, Any], lifecycle: Lifecycle) -> list[str]:
    """The cases that these fields name, and that nobody opened."""
    named = cases_named(fields, lifecycle)
    return [case for case in named.values() if ledger.state(f"case:{case}") is None]
