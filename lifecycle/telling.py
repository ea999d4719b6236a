"""What becomes of a notice, a plan or a flow: decided on its stream, by whoever carries it.

Each function gives a decision for the journal (`Record(stream, decision)`): what is known of the
stream and the time → the event, or None where it stands already, or has become something else
meanwhile. So that two workers, or one that was killed and started again, record it once.

- A notice and a plan stand in `mirror_stream(collection, id, tool)`: `delivered`, `superseded`,
  `given_up`, `recovered` (staff have it tried again at once, given up or still waiting),
  `ticked_off` (a person has carried it), `fired`.
- A flow stands in `flow_stream(tool)`: `failing`, `working`, `stopped`, `started`.

`tell_now` settles what somebody asks of one case: a notice told again or ticked off, or what a tool
lacks.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from lifecycle.asks import Answer, Ask, Causing, Settled, record
from lifecycle.case import Case
from lifecycle.drift import standing
from lifecycle.events import (
    Answered,
    Asker,
    Event,
    FlowFailing,
    FlowRecovered,
    FlowStarted,
    FlowStopped,
    NoticeDelivered,
    NoticeDue,
    NoticeGivenUp,
    NoticeRecovered,
    NoticeSuperseded,
    OfNotice,
)
from lifecycle.known import FlowState, Known, Memory
from lifecycle.mirror import SILENT, Due, Mirror
from lifecycle.model import Lifecycle
from lifecycle.notices import Tell, fire, tell_again
from lifecycle.refusals import NotYours, StaffOnly
from lifecycle.streams import case_stream, flow_stream, mirror_stream, request_stream

Decision = Callable[[Known, datetime], Event | None]
"""What is known of a stream, and the time → the event to record there, if any."""

NOBODY = Asker()
"""What happens by itself is nobody's act."""


# --- notices ------------------------------------------------------------------------------------


def delivered(notice: NoticeDue, attempts: int, status: int, sent_at: datetime) -> Decision:
    """The tool took it, also where it was superseded while it was under way.

    `sent_at` is when the first attempt began: it may have taken it then, and the answer was lost.
    """

    def decide(known: Known, now: datetime) -> Event | None:
        mirror = _mirror(known)
        if notice.id not in mirror.due and notice.id not in mirror.superseded:
            return None
        about = _ended(notice, now)
        return NoticeDelivered(**about, attempts=attempts, status=status, sent_at=sent_at)

    return decide


def superseded(notice: NoticeDue, attempts: int, why: str, newer: str = "") -> Decision:
    """Nobody needs to be told this any more."""

    def decide(known: Known, now: datetime) -> Event | None:
        if notice.id not in _mirror(known).due:
            return None
        about = _ended(notice, now)
        return NoticeSuperseded(**about, why=why, newer=newer, attempts=attempts)

    return decide


def given_up(notice: NoticeDue, attempts: int, why: str) -> Decision:
    """It could not be told; somebody is to recover it."""

    def decide(known: Known, now: datetime) -> Event | None:
        if notice.id not in _mirror(known).due:
            return None
        return NoticeGivenUp(**_ended(notice, now), attempts=attempts, why=why)

    return decide


def recovered(notice: str, case: str, tool: str, by: Asker, reason: str | None = None) -> Decision:
    """Staff have it tried again, now: what was given up, or still waits for its time.

    `case` is like `jobs/J-1042`. None where it is no longer to be told.
    """

    def decide(known: Known, now: datetime) -> Event | None:
        mirror = _mirror(known)
        due = mirror.given_up.get(notice) or mirror.due.get(notice)
        if due is None:
            return None
        return NoticeRecovered(**_named(notice, case, tool, due, by, now), reason=reason)

    return decide


def ticked_off(notice: str, case: str, tool: str, by: Asker, reason: str | None = None) -> Decision:
    """A person has carried it to the tool; the reason is what they noted."""

    def decide(known: Known, now: datetime) -> Event | None:
        due = _mirror(known).due.get(notice)
        if due is None:
            return None
        named = _named(notice, case, tool, due, by, now)
        return NoticeDelivered(**named, attempts=0, reason=reason)

    return decide


def fired(
    plan: str, tool: str, lifecycle: Lifecycle, case_now: Callable[[], Case | None]
) -> Decision:
    """What was planned comes, with the values as they are then; once, whoever fires it."""

    def decide(known: Known, now: datetime) -> Event | None:
        planned = _mirror(known).planned.get(plan)
        case = case_now()
        if planned is None or case is None or planned.fires_at > now:
            return None
        return fire(plan, planned, case, tool, lifecycle, now)

    return decide


# --- flows --------------------------------------------------------------------------------------


def failing(tool: str, why: str, steward: str) -> Decision:
    """A tool takes nothing at present; said once until it works again."""

    def decide(known: Known, now: datetime) -> Event | None:
        if _flow(known).failing_since is not None:
            return None
        return FlowFailing(recorded_at=now, by=NOBODY, tool=tool, why=why, steward=steward)

    return decide


def working(tool: str, steward: str) -> Decision:
    """The tool takes notices again."""

    def decide(known: Known, now: datetime) -> Event | None:
        if _flow(known).failing_since is None:
            return None
        return FlowRecovered(recorded_at=now, by=NOBODY, tool=tool, steward=steward)

    return decide


def stopped(tool: str, why: str, steward: str) -> Decision:
    """The tool has said that it does not want to be told any more."""

    def decide(known: Known, now: datetime) -> Event | None:
        if _flow(known).stopped_since is not None:
            return None
        return FlowStopped(recorded_at=now, by=NOBODY, tool=tool, why=why, steward=steward)

    return decide


def started(tool: str, by: Asker, reason: str | None = None) -> Decision:
    """Staff let a stopped flow run again."""

    def decide(known: Known, now: datetime) -> Event | None:
        if _flow(known).stopped_since is None:
            return None
        return FlowStarted(recorded_at=now, by=by, tool=tool, reason=reason, unproven=True)

    return decide


# --- what somebody asks -------------------------------------------------------------------------


def tell_now(
    ask: Ask, what: Tell, case: Case, memory: Memory, lifecycle: Lifecycle, now: datetime
) -> Settled:
    """Have a tool told of a case, and its flow run again if the tool had stopped it (410 Gone).

    What has ended meanwhile stays as it is.
    """
    _may(ask.asker, what)
    causing = Causing(memory)
    theirs = mirror_stream(ask.collection, ask.id, what.tool)
    for event in _told(what, memory[theirs], case, lifecycle, ask.asker, now):
        record(causing, theirs, event)
    entry = causing.entries[0] if causing.entries else None
    flow = flow_stream(what.tool)
    runs = started(what.tool, ask.asker, what.reason)(memory[flow], now)
    if entry and what.how != "by-hand" and runs:
        causing.add(flow, runs)
    if ask.request:
        answered = Answered(
            recorded_at=now,
            by=ask.asker,
            content=ask.request.content,
            case=case_stream(ask.collection, ask.id),
            version=case.version,
            event_version=causing.version(theirs),
            status=200,
        )
        causing.add(request_stream(ask.asker, ask.request.key), answered)
    return causing.settled(Answer(case, entry))


def lacks(tool: str, mirror: Mirror, case: Case, lifecycle: Lifecycle) -> list[str]:
    """The status fields whose word a tool was never told, or does not show, and is not due.

    Not where it has said something else itself: that is drift, or too early, or to be ignored. Nor
    what was given up, which can be told again.
    """
    if tool not in lifecycle.told:
        return []
    lost = {due.status_field for due in mirror.given_up.values()}
    return [
        one.field
        for one in standing(tool, mirror, case, lifecycle)
        if one.is_word
        and (one.stands == "unknown" or one.why == "not-told")
        and one.field not in lost
        and not lifecycle.vocabulary.named[tool, one.field].hear_only
        and not _says_what_is_ignored(mirror, one.field)
    ]


def _says_what_is_ignored(mirror: Mirror, status_field: str) -> bool:
    said = mirror.words.get(status_field)
    return said is not None and said.outcome == "ignored" and not mirror.told.get(status_field)


def _may(asker: Asker, what: Tell) -> None:
    if asker.tool and what.how != "again":
        raise StaffOnly(
            f"{asker.tool!r} is a tool; what a person has carried, and what is missing, is for"
            " staff to say"
        )
    if asker.tool and asker.tool != what.tool:
        raise NotYours(f"{asker.tool!r} may have only its own notices told")


def _told(
    what: Tell, known: Known, case: Case, lifecycle: Lifecycle, by: Asker, now: datetime
) -> Iterator[Event]:
    if what.how == "missing":
        mirror = _mirror(known)
        for name in lacks(what.tool, mirror, case, lifecycle):
            due = tell_again(
                case, what.tool, name, mirror, lifecycle, by=by, now=now, why="missing"
            )
            if due is not None:
                yield replace(due, reason=what.reason)
        return
    about = (what.notice, f"{case.collection}/{case.id}", what.tool, by)
    decide = (ticked_off if what.how == "by-hand" else recovered)(*about, what.reason)
    event = decide(known, now)
    if event is not None:
        yield event


# --- what is known ------------------------------------------------------------------------------


def _mirror(known: Known) -> Mirror:
    return known.state if isinstance(known.state, Mirror) else SILENT


def _flow(known: Known) -> FlowState:
    return known.state if isinstance(known.state, FlowState) else FlowState()


def _ended(notice: OfNotice, now: datetime) -> dict[str, Any]:
    """What every event of a notice says of it."""
    return {
        "recorded_at": now,
        "by": NOBODY,
        "id": notice.id,
        "case": notice.case,
        "tool": notice.tool,
        "type": notice.type,
        "status_field": notice.status_field,
        "word": notice.word,
        "request": notice.request,
    }


def _named(notice: str, case: str, tool: str, due: Due, by: Asker, now: datetime) -> dict[str, Any]:
    """The same of a notice that the mirror remembers."""
    return {
        "recorded_at": now,
        "by": by,
        "id": notice,
        "case": case,
        "tool": tool,
        "type": due.type,
        "status_field": due.status_field,
        "word": due.word,
        "request": due.request,
    }
